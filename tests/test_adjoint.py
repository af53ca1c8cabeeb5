"""The adjoint of the staggered scheme against JAX's own derivatives, finite differences and known limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import AXON, LIU, mixed

from pyloric_simulator.config import find_circuit
from pyloric_simulator.fitting.adjoint import has_a_fast_way_back, many_at_once, simulate_with_adjoint
from pyloric_simulator.models.channels import GHK, Prinz2003
from pyloric_simulator.models.networks import Cell, GapJunction, Graded, Network, Synapse
from pyloric_simulator.prinz2004 import GLUTAMATE, B, Channel, Gate, Nernst, Prinz2004, neuron_models, simulate


@pytest.fixture(scope="module")
def paper():
    return Prinz2004.from_toml(find_circuit("paper"))


@pytest.fixture(scope="module")
def apart():
    """AB and two PD cells, coupled and unequal, with two PY cells."""
    return Prinz2004(
        {"AB": 1, "PD": 2, "LP": 1, "PY": 2},
        {("AB", "LP"): 30, ("PD", "LP"): 15, ("LP", "AB"): 30, ("LP", "PD"): 30, ("PY", "LP"): 30},
        neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4", "PY 1"]],
    )


def as_arrays(state):
    return jax.tree.map(jnp.asarray, state)


@pytest.fixture
def rng():
    """The same random numbers for each test, whichever ran before."""
    return np.random.default_rng(4)


def scrambled(model):
    """A cold start whose cells differ."""
    y = model.cold
    return as_arrays(y._replace(V=y.V + np.arange(len(y.V)), m=y.m + 0.1, s=y.s + 0.2))


def weighted(model, y, t, I, run, weights, **options):
    """Value and gradient of a weighted sum over all recorded variables, with respect to everything."""

    def loss(numbers):
        g, gs, ge, start, I_ext = numbers
        current = (lambda time: I_ext * jnp.sin(time / 10)) if I == "function" else I_ext
        states = run(model.params.replace(g=g, gs=gs, ge=ge), start, t, current, **options)
        return sum((w * x).mean() for w, x in zip(weights, states, strict=True) if w.size)

    I_ext = jnp.asarray(0.5) if I == "function" else I
    numbers = (*(jnp.asarray(getattr(model.params, x)) for x in ("g", "gs", "ge")), y, I_ext)
    return jax.jit(jax.value_and_grad(loss))(numbers)


CASES = {
    "first record late, uneven last segment, and segments that are run again": (
        "paper",
        np.arange(1.25, 20, 0.5),
        "function",
        {"t0": -3.0},
    ),
    "gap junctions, sampled input": ("apart", np.arange(0, 10, 0.5), "steps", {}),
    "lanes of unequal length": ("apart", np.arange(0, 10, 0.05 * 37), "steps", {}),
    "every step": ("paper", np.arange(53) * 0.05, None, {}),
    "exponential Euler": ("paper", np.arange(0, 5, 0.5), None, {"solver": "exponential_euler", "dt": 0.025}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_equals_the_derivative_that_jax_takes_through_the_scheme(case, request, rng):
    circuit, t, I, options = CASES[case]
    model = request.getfixturevalue(circuit)
    n = len(model.cells)
    y = scrambled(model)
    steps = round((t[-1] - options.get("t0", 0.0)) / options.get("dt", 0.05)) + 1
    I = jnp.asarray(rng.normal(size=(steps, n))) if I == "steps" else I
    weights = [jnp.asarray(rng.normal(size=(len(t), *x.shape))) for x in y]
    plain = weighted(model, y, t, I, simulate, weights, **options)
    for memory in ({}, {"memory": 0.001}) if "again" in case else ({},):
        fast = weighted(model, y, t, I, simulate_with_adjoint, weights, **options, **memory)
        assert float(fast[0]) == pytest.approx(float(plain[0]), rel=1e-12)
        for a, b in zip(jax.tree.leaves(fast[1]), jax.tree.leaves(plain[1]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * max(1.0, float(jnp.abs(b).max())))


def odd() -> Cell:
    """All kinds of driving forces, of calcium channels and of gates."""
    P, of_calcium = Prinz2003, Gate(lambda V: 1 / (1 + jnp.exp(-(V + 30) / 5)), lambda V, Ca: 2 + 0 * V + Ca / (1 + Ca))
    return Cell([
        Channel("L", GHK(), 2, of_calcium, ion="Ca")(2e-5), P.CaS._replace(q=2, source="")(3), P.CaT(1), P.KCa(10), P.Na(100),
        Channel("fixed", 120.0, 3, P.CaS.m, P.CaS.h, ion="Ca")(0.2), Channel("sodium", GHK(1, 440e3, 50e3), 1, of_calcium)(1e-7),
        Channel("potassium", Nernst(1, 4000.0, 140000.0))(0.02), Channel("pump", Nernst(2, None, 3.0))(0.01), P.Kd(50),
    ], calcium=P.calcium)  # fmt: skip


def ring() -> Network:
    """Cells of three membranes in turn, one of them two, that graded synapses and gap junctions join."""
    passive = Cell([Prinz2003.leak(0.05)], V=-60)
    by_calcium = Graded(
        "by calcium", -75.0, Gate(lambda V, Ca: Ca / (Ca + 0.1) / (1 + jnp.exp(-(V + 50) / 5)), lambda V: 5 + 0 * V)
    )
    joined = [
        Synapse("axon", "odd", GLUTAMATE, 20),
        Synapse("odd", "last", by_calcium, 10),
        Synapse("last", "last", GLUTAMATE, 5),
    ]
    cells = {"axon": AXON, "odd": odd(), "last": AXON, "passive": passive}
    return Network(
        cells, [*joined, GapJunction("odd", "last", 5), GapJunction("last", "passive", 3)], sizes={"last": 2}
    )


def plain_pair() -> Network:
    """Two different cells, a graded synapse and a gap junction; without calcium in one of them."""
    graded = Graded("fast", -75.0, Gate(B(60, -5), B(0, 5) + 1))
    return Network({"axon": AXON, "liu": LIU}, [Synapse("axon", "liu", graded, 20), GapJunction("axon", "liu", 5)])


OWN = {
    "Liu cell": (lambda: Network({"cell": LIU}), None),
    "cell of odd channels": (lambda: Network({"cell": odd()}), None),
    "two membranes": (plain_pair, "steps"),
    "three membranes in turn": (ring, "steps"),
}


@pytest.mark.slow
@pytest.mark.parametrize("which", OWN)
def test_own_cells_equal_the_derivative_that_jax_takes(which, rng):
    make, I = OWN[which]
    model, t = make(), np.arange(0, 5, 0.5)
    assert has_a_fast_way_back(model.circuit, "staggered")
    y = scrambled(model)
    I = jnp.asarray(3 * rng.normal(size=(91, len(y.V)))) if I else None
    weights = [jnp.asarray(rng.normal(size=(len(t), *x.shape))) for x in y]
    fast, plain = (weighted(model, y, t, I, run, weights) for run in (simulate_with_adjoint, simulate))
    assert float(fast[0]) == pytest.approx(float(plain[0]), rel=1e-12)
    for a, b in zip(jax.tree.leaves(fast[1]), jax.tree.leaves(plain[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * float(jnp.abs(b).max(initial=0)))
    runs = (jax.jit(lambda y, run=run: run(model.params, y, t, I))(y) for run in (simulate_with_adjoint, simulate))
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_synapses_with_an_equation_of_their_own_take_the_way_of_jax():
    model, t = mixed(), np.arange(0, 5, 0.5)
    assert not has_a_fast_way_back(model.circuit, "staggered")
    slopes = [
        jax.jit(jax.grad(lambda gz, run=run: (run(model.params.replace(gz=gz), model.cold, t).V ** 2).mean()))(
            jnp.asarray(model.params.gz)
        )
        for run in (simulate_with_adjoint, simulate)
    ]
    np.testing.assert_allclose(*slopes, rtol=1e-9)


def test_agrees_with_central_differences_over_200_ms_of_a_burst(rng):
    cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
    t, y = np.arange(0, 200, 0.5), as_arrays(cell(np.arange(0, 650.0)).final_state)
    g = jnp.asarray(cell.params.g)
    f = jax.jit(jax.value_and_grad(lambda g: simulate_with_adjoint(cell.params.replace(g=g), y, t).V[-40:].mean()))
    slope = f(g)[1]
    for _ in range(3):
        direction = g * rng.normal(size=g.shape)
        h = 1e-7
        difference = (f(g + h * direction)[0] - f(g - h * direction)[0]) / (2 * h)
        assert float((slope * direction).sum()) == pytest.approx(float(difference), rel=1e-5)


@pytest.mark.slow
def test_agrees_with_central_differences_over_3_s_of_bursts():
    """Mean calcium of a pacemaker, through two bursts and the silences between."""
    cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
    start, t, h = cell.get_thermalization(), np.arange(0, 3000, 1.0), 1e-6

    def calcium(g):
        return simulate_with_adjoint(
            cell.params.replace(g=jnp.asarray(cell.params.g).at[0, 5].set(g)), start, t
        ).Ca.mean()

    value = jax.jit(calcium)
    differences = (value(100 * (1 + h)) - value(100 * (1 - h))) / (200 * h)
    assert float(jax.jit(jax.grad(calcium))(100.0)) == pytest.approx(float(differences), rel=1e-5)


@pytest.mark.slow
def test_memory_grows_much_more_slowly_than_the_steps(paper):
    y = as_arrays(paper.get_thermalization())

    def memory(steps):
        f = lambda g: simulate_with_adjoint(paper.params.replace(g=g), y, np.array([steps * 0.05])).V.sum()  # noqa: E731
        return jax.jit(jax.grad(f)).lower(jnp.asarray(paper.params.g)).compile().memory_analysis().temp_size_in_bytes

    few, many = memory(10_000), memory(160_000)
    assert many < 6 * few  # sixteen times the steps; what one window needs stays
    assert many < 50e6


@pytest.mark.slow
def test_derivatives_with_respect_to_the_numbers_of_the_circuit(paper):
    y, t = as_arrays(paper.get_thermalization()), np.arange(0, 20, 0.5)
    circuit = paper.circuit

    def f(E, C):
        channels = (circuit.channels[0]._replace(E=E), *circuit.channels[1:])
        changed = circuit.with_membrane(channels=channels, constants=circuit.constants._replace(C=C))
        return simulate_with_adjoint(paper.params.replace(circuit=changed), y, t).V.mean()

    value_and_slopes = jax.jit(jax.value_and_grad(f, argnums=(0, 1)))
    slopes = value_and_slopes(50.0, 0.628)[1]
    for i, h in enumerate((1e-3, 1e-6)):
        up, down = ([50.0, 0.628], [50.0, 0.628])
        up[i], down[i] = up[i] + h, down[i] - h
        difference = float(value_and_slopes(*up)[0] - value_and_slopes(*down)[0]) / (2 * h)
        assert float(slopes[i]) == pytest.approx(difference, rel=1e-5)


def test_states_are_those_of_simulate_to_the_last_bit(paper):
    y, p = as_arrays(paper.get_thermalization()), paper.params
    times = (np.arange(0, 20, 0.5), np.array([7.0, 30.0]))
    pairs = (jax.jit(lambda y, run=run: [run(p, y, t) for t in times])(y) for run in (simulate, simulate_with_adjoint))
    for a, b in zip(*map(jax.tree.leaves, pairs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["gap junctions", "input", "both"])
def test_batches_equal_the_derivative_that_jax_takes(apart, which, rng):
    """What is mapped over circuits, and what is the same for all, in coupled populations of several cells with a sampled input."""
    t, y = np.arange(0, 5, 0.5), scrambled(apart)
    ge, I = jnp.asarray([5.0, 20.0]), jnp.asarray(rng.normal(size=(2, 91, len(apart.cells))))
    axes = (None if which == "input" else 0, None if which == "gap junctions" else 0, None)
    x = (ge if axes[0] == 0 else ge[0], I if axes[1] == 0 else I[0], jnp.asarray(apart.params.gs))

    def slopes(run):
        f = lambda ge, I, gs: (run(apart.params.replace(ge=ge, gs=gs), y, t, I).V ** 2).mean()  # noqa: E731
        return jax.jit(jax.vmap(jax.grad(f, (0, 1, 2)), axes))(*x)

    for a, b in zip(slopes(simulate_with_adjoint), slopes(simulate), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * max(1.0, float(jnp.abs(b).max())))


@pytest.mark.slow
def test_derivatives_with_respect_to_a_number_that_a_function_refers_to():
    cell, t = Prinz2004({"LP 1": 1}, gs={}, ge=0), np.arange(0, 2, 0.5)
    first, *others = cell.circuit.channels

    def f(a, run):
        gate = Gate(lambda V: 1 / (1 + jnp.exp(-(V + a) / 5)), lambda V: 2 + 0 * V)
        changed = cell.circuit.with_membrane(channels=(first._replace(m=gate), *others))
        return run(cell.params.replace(circuit=changed), cell.cold, t).V[-1, 0]

    slopes = [jax.jit(jax.grad(f), static_argnums=1)(40.0, run) for run in (simulate_with_adjoint, simulate)]
    assert float(slopes[0]) == pytest.approx(float(slopes[1]), rel=1e-9)


@pytest.mark.slow
def test_runs_in_batches_and_in_single_precision(paper):
    y, t = as_arrays(paper.get_thermalization()), np.arange(0, 10, 0.5)
    f = lambda gs: simulate_with_adjoint(paper.params.replace(gs=gs), y, t).V.mean()  # noqa: E731
    gs = jnp.asarray(paper.params.gs)
    batch = jax.jit(jax.vmap(jax.grad(f)))(jnp.stack([gs, 2 * gs]))
    np.testing.assert_allclose(batch[1], jax.jit(jax.grad(f))(2 * gs), rtol=1e-9, atol=1e-15)
    y32 = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), y)
    single = lambda gs: simulate_with_adjoint(paper.params.replace(gs=gs), y32, t).V.mean()  # noqa: E731
    slope = jax.jit(jax.grad(single))(gs.astype(jnp.float32))
    assert slope.dtype == jnp.float32
    np.testing.assert_allclose(slope, batch[0], rtol=1e-2, atol=1e-5)


@pytest.mark.slow
def test_no_derivative_is_nan_where_functions_have_limits(paper):
    """Silent cells, conductances of zero, closed and open gates, extreme potentials."""
    t = np.arange(0, 10, 0.5)

    @jax.jit
    def slope(g, V, x):
        y = as_arrays(paper.cold)
        y = y._replace(
            V=jnp.full_like(y.V, V), m=jnp.full_like(y.m, x), h=jnp.full_like(y.h, x), s=jnp.full_like(y.s, x)
        )
        f = lambda g, gs, y: simulate_with_adjoint(paper.params.replace(g=g, gs=gs), y, t).V.sum()  # noqa: E731
        return jax.grad(f, argnums=(0, 1, 2))(g, jnp.zeros(7), y)

    for g in (0.0, 1.0):
        for V in (-200.0, -50.0, 0.0, 100.0):
            for x in (0.0, 1.0):
                slopes = slope(g * jnp.asarray(paper.params.g), V, x)
                assert all(bool(jnp.isfinite(s).all()) for s in jax.tree.leaves(slopes)), (g, V, x)


@pytest.mark.slow
def test_no_derivative_is_nan_in_a_thousand_random_circuits(paper):
    t, rng = np.arange(0, 60, 1.0), np.random.default_rng(1)
    g = neuron_models.to_numpy()[rng.integers(16, size=(1000, 3))] * rng.choice([0.0, 0.5, 1.0, 2.0], (1000, 3, 8))
    gs = rng.choice([0.0, 1.0, 10.0, 100.0], (1000, 7))
    f = lambda g, gs: simulate_with_adjoint(paper.params.replace(g=g, gs=gs), as_arrays(paper.cold), t, dt=0.1).V.mean()  # noqa: E731
    slopes = jax.jit(jax.vmap(jax.grad(f, argnums=(0, 1))))(jnp.asarray(g), jnp.asarray(gs))
    assert all(bool(jnp.isfinite(s).all()) for s in slopes)


@pytest.mark.parametrize(
    ("t", "options", "error"),
    [
        (np.array([0.0, 1.0, 3.0]), {}, "equally spaced"),
        (np.array([0.0, 0.12]), {}, "whole number of steps"),
        (np.array([0.0, -1.0]), {}, "increas"),
        (np.arange(0, 5, 0.5), {"solver": "euler"}, "must be one of"),
        (np.arange(0, 5, 0.5), {"dt": -1.0}, "positive"),
        (np.arange(0, 5, 0.5), {"memory": 0.0}, "memory is 0 MB; it must be positive"),
    ],
)
def test_refusals(paper, t, options, error):
    with pytest.raises(ValueError, match=error):
        simulate_with_adjoint(paper.params, paper.cold, t, **options)


def squares(run):
    """Mean square of the potential of an axon as a function of its conductances, (1, 3)."""
    axon = Network({"axon": AXON})
    y = axon.cold._replace(V=np.array([-30.0]))
    return lambda g: (run(axon.params.replace(g=g), as_arrays(y), np.arange(0, 2, 0.5)).V ** 2).mean()


G = jnp.array([[120.0, 36, 0.3]])  # mS/cm²


@pytest.mark.slow
def test_second_derivatives_in_forward_mode_are_those_of_jax():
    v = jnp.array([[1.0, -2, 3]])
    both = [jax.jit(jax.hessian(squares(run)))(G)[0, :, 0] for run in (simulate_with_adjoint, simulate)]
    np.testing.assert_allclose(*both, rtol=1e-7)
    slope = jax.grad(squares(simulate_with_adjoint))
    product = jax.jit(lambda g: jax.jvp(slope, (g,), (v,))[1])(G)
    np.testing.assert_allclose(product[0], both[1] @ v[0], rtol=1e-7)


def test_second_derivatives_in_reverse_mode_are_refused_in_words():
    slope = jax.grad(squares(simulate_with_adjoint))
    with pytest.raises(TypeError, match=r"gradient of `simulate_with_adjoint`.*jax\.jvp"):
        jax.jit(jax.grad(lambda g: slope(g).sum()))(G)


@pytest.mark.parametrize(
    "f", [lambda g: (jnp.sin(g) ** 2).mean(), pytest.param(squares(simulate_with_adjoint), marks=pytest.mark.slow)]
)
def test_many_at_once_is_each_alone(f):
    """On all cores, the last part not full; traced, too; and what does not fit is refused."""
    g = G * jnp.linspace(0.5, 2, 5)[:, None, None]
    both = jax.value_and_grad(f)
    many = many_at_once(both)
    results = [many(g), jax.jit(many)(g)]
    single = jax.jit(both)(g[4])
    for found in results:
        for a, b in zip(found, single, strict=True):
            np.testing.assert_allclose(a[4], b, rtol=1e-9)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    for wrong in ((g, g[:3]), (1.0,), (g[:0],), ()):
        with pytest.raises(ValueError, match="leading axes"):
            many_at_once(lambda *x: x)(*wrong)


def test_forward_mode_is_refused_in_words(paper):
    f = lambda gs: simulate_with_adjoint(paper.params.replace(gs=gs), paper.cold, np.arange(0, 5, 0.5)).V  # noqa: E731
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jit(lambda gs: jax.jvp(f, (gs,), (gs,))).lower(paper.params.gs)  # before anything is compiled
