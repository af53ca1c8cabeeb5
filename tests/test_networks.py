"""Components against the circuit of the first chapter, against SciPy and diffrax, and against closed forms."""
# ruff: noqa: ARG001, ARG005 (an equation has the arguments of all equations, whichever it reads)

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import HH, STRENGTHS, axon, burster, pair, prinz
from scipy.integrate import solve_ivp

from pyloric_simulator.engine.inputs import Sampled
from pyloric_simulator.engine.kinetics import exprel, linoid
from pyloric_simulator.models.channels import GHK, Q10, Calcium, Liu1998, Prinz2003, check_gate, rates
from pyloric_simulator.models.networks import Cell, GapJunction, Graded, Kinetic, Network, Synapse, upstrokes
from pyloric_simulator.prinz2004 import (
    ACETYLCHOLINE,
    CONSTANTS,
    GLUTAMATE,
    B,
    Channel,
    Curve,
    Gate,
    Nernst,
    Params,
    Prinz2004,
    calcium_balance,
    current_of,
    derivative,
    linear,
    neuron_models,
    prepare,
    simulate,
)
from pyloric_simulator.rhythm import summary

ROWS = {"AB/PD": "AB/PD 2", "LP": "LP 4", "PY": "PY 1"}


def wired(strengths: Any) -> list[Synapse]:
    """Synapses of the first chapter in a network."""
    source = {
        "AB": ("AB/PD", GLUTAMATE),
        "PD": ("AB/PD", ACETYLCHOLINE),
        "LP": ("LP", GLUTAMATE),
        "PY": ("PY", GLUTAMATE),
    }
    return [Synapse(source[pre][0], post, source[pre][1], g) for (pre, post), g in strengths.items()]


def both(sizes: dict[str, int] | None = None) -> tuple[Prinz2004, Network]:
    """The circuit of the paper in both forms."""
    sizes = sizes or dict.fromkeys(ROWS, 1)
    old = Prinz2004(sizes, STRENGTHS, neuron_models.loc[list(ROWS.values())])
    return old, Network({label: prinz(row) for label, row in ROWS.items()}, wired(STRENGTHS), sizes=sizes)


def orders(run: Callable[[float], np.ndarray], reference: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """Orders of convergence from each step to the next, half as long."""
    errors = np.array([np.abs(np.asarray(run(dt)) - reference).max() for dt in steps])
    return np.log2(errors[:-1] / errors[1:])


# ---------------------------------------------------------------- the circuit of the first chapter


@pytest.mark.parametrize(("solver", "dt"), [("staggered", 0.05), ("exponential_euler", 0.025)])
def test_the_papers_circuit_bit_for_bit(solver: str, dt: float) -> None:
    old, new = both()
    t = np.arange(0, 600, 0.5)
    a, b = old(t, state=old.cold, solver=solver, dt=dt), new(t, solver=solver, dt=dt)
    for name in a.states._fields:
        np.testing.assert_array_equal(getattr(a.states, name), getattr(b.states, name), err_msg=name)
    pd.testing.assert_frame_equal(a.currents, b.currents)
    pd.testing.assert_frame_equal(a.V, b.V)
    pd.testing.assert_frame_equal(a.m, b.m)
    pd.testing.assert_frame_equal(a.h, b.h)
    assert {k: x.tolist() for k, x in a.spike_times().items()} == {k: x.tolist() for k, x in b.spike_times().items()}


@pytest.mark.slow
def test_populations_irregular_times_inputs_and_states() -> None:
    old, new = both({"AB/PD": 1, "LP": 1, "PY": 3})
    t = np.sort(np.random.default_rng(0).uniform(0, 200, 40))
    I = Sampled(pd.DataFrame({("PY", 1): [0.0, 3.0]}, index=[0.0, 200.0]), outside="hold")
    a, b = old(t, I, state=old.cold), new(t, I)
    np.testing.assert_allclose(b.states.V, a.states.V, rtol=1e-12, atol=1e-10)
    c, d = old(t + 300, I, state=a.final_state, t0=t[-1]), new(t + 300, I, b.final_state, t0=t[-1])
    np.testing.assert_allclose(d.states.V, c.states.V, rtol=1e-9, atol=1e-7)
    slope, other = (jax.jit(lambda y, m=m: m.derivative(0, y))(x.final_state) for m, x in ((old, a), (new, b)))
    for name in slope._fields:
        np.testing.assert_allclose(getattr(other, name), getattr(slope, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("solver", ["staggered", pytest.param("exponential_euler", marks=pytest.mark.slow)])
def test_gap_junctions_to_rounding(solver: str) -> None:
    rows = {"AB": "AB/PD 2", "PD": "AB/PD 3"}
    old = Prinz2004({"AB": 1, "PD": 2}, {}, neuron_models.loc[list(rows.values())], ge=10)
    gaps = [GapJunction("AB", "PD", 10), GapJunction("PD", "PD", 10)]
    new = Network({label: prinz(row) for label, row in rows.items()}, gaps, sizes={"PD": 2})
    t = np.arange(0, 300, 0.5)
    a, b = old(t, state=old.cold, solver=solver), new(t, solver=solver)
    np.testing.assert_allclose(b.states.V, a.states.V, rtol=0, atol=1e-7)
    electrical = [x.xs("electrical", axis=1, level="channel").to_numpy() for x in (a.currents, b.currents)]
    np.testing.assert_allclose(electrical[1], electrical[0], rtol=0, atol=1e-8)


def test_cells_of_different_channels_run_side_by_side() -> None:
    t = np.arange(0, 100, 0.5)
    cells = {"axon": axon(), "burster": burster(), "second": axon(), "lp": prinz("LP 2")}
    run = Network(cells)(t, I_ext={"second": 6.28})
    assert [len(cells) for cells in run.model.circuit.groups] == [2, 1, 1]
    for label, cell in cells.items():
        alone = cell(t, I_ext=6.28 if label == "second" else 0.0)
        np.testing.assert_allclose(
            run.states.V[:, run.model.labels.index(label)], alone.states.V[:, 0], rtol=1e-10, atol=1e-8
        )
    assert list(run.currents["second"][0].columns) == ["Na", "K", "leak", "synaptic", "electrical"]
    assert run.m.shape == (200, 2 * 2 + 7 + 7)
    assert (run.states.m[:, [0, 2], 2:] == 0).all()


# ---------------------------------------------------------------- against other solvers


def right_hand_side(network: Network, I: float = 0.0) -> dict[str, Any]:
    """dy/dt and its Jacobian for solve_ivp, compiled."""

    def f(t: Any, y: Any) -> Any:
        return jnp.concatenate([x.ravel() for x in derivative(network.params, unflat(y), I)])

    def unflat(y: Any) -> Any:
        parts = jnp.split(y, np.cumsum([np.size(x) for x in network.cold])[:-1])
        return type(network.cold)(*(x.reshape(np.shape(like)) for x, like in zip(parts, network.cold, strict=True)))

    return {"fun": jax.jit(f), "jac": jax.jit(jax.jacfwd(f, 1))}


@pytest.mark.parametrize(
    "density", [pytest.param(x, marks=[pytest.mark.slow] * (x != 10)) for x in (7.0, 10.0, 40.0)]
)  # µA/cm²
def test_axon_fires_at_the_rate_of_lsoda(density: float) -> None:
    network, I = Network({"axon": axon()}), density * axon().area * 1000
    y = solve_ivp(**right_hand_side(network, I), t_span=(0, 150), y0=network.flatten(network.cold), method="LSODA", rtol=1e-9, atol=1e-9,
                  t_eval=np.arange(0, 150, 0.01))  # fmt: skip
    expected = np.diff(upstrokes(y.t, y.y[0])[3:]).mean()
    t = np.arange(0, 150, 0.05)
    assert np.diff(upstrokes(t, network(t, I).states.V[:, 0])[3:]).mean() == pytest.approx(expected, rel=2e-3)
    if density == 10:
        assert 1000 / expected == pytest.approx(68.3, abs=0.1)  # the textbook's


@pytest.mark.parametrize(
    ("cell", "end", "last"),
    [(burster, 1500, 10), pytest.param(lambda: prinz("AB/PD 1"), 5000, 1, marks=pytest.mark.slow)],
)
def test_bursting_period_is_that_of_bdf(cell: Callable[[], Cell], end: float, last: int) -> None:
    network = Network({"cell": cell()})

    def period(t: np.ndarray, V: np.ndarray) -> float:
        """Mean interval (ms) between the first spikes of the last bursts."""
        times = upstrokes(t, V)
        return float(np.diff(times[1:][np.diff(times) > 60])[-last:].mean())

    y = solve_ivp(**right_hand_side(network), t_span=(0, end), y0=network.flatten(network.cold), method="BDF", rtol=1e-7, atol=1e-7,
                  t_eval=np.arange(0, end, 0.1))  # fmt: skip
    t = np.arange(0, end, 0.1)
    assert period(t, network(t, dt=0.025).states.V[:, 0]) == pytest.approx(period(y.t, y.y[0]), rel=1e-3)


@pytest.mark.slow
def test_adaptive_solver() -> None:
    network, t = (
        Network({"burster": burster(), "axon": axon()}, [Synapse("axon", "burster", GLUTAMATE, 20)]),
        np.arange(0, 20, 0.5),
    )
    exact = network(t, {"axon": 7}, solver=diffrax.Tsit5(), rtol=1e-8, atol=1e-8).states.V
    assert (orders(lambda dt: network(t, {"axon": 7}, dt=dt).states.V, exact, (0.02, 0.01)) > 1.7).all()


# ---------------------------------------------------------------- each component


def test_linoid_and_exprel() -> None:
    x = np.array([-700.0, -30, -1e-3, -1e-7, 0, 1e-7, 1e-3, 0.5, 30])
    big = x[np.abs(x) > 1e-3]
    np.testing.assert_allclose(exprel(big), np.expm1(big) / big, rtol=1e-14)
    np.testing.assert_allclose(exprel(x[2:7]), 1 + x[2:7] / 2 + x[2:7] ** 2 / 6, rtol=1e-9)
    np.testing.assert_allclose(linoid(big), big / (1 - np.exp(-big)), rtol=1e-13)
    assert jax.grad(lambda x: linoid(x))(0.0) == pytest.approx(0.5)


def test_liu_is_prinz_twice_as_fast() -> None:
    V = jnp.linspace(-90, 50, 15)
    for name in ("Na", "CaT", "CaS", "A", "KCa", "Kd"):
        for gate in ("m", "h"):
            a, b = getattr(getattr(Liu1998, name), gate), getattr(getattr(Prinz2003, name), gate)
            if a:
                np.testing.assert_allclose(a.tau(V), 0.5 * b.tau(V), rtol=1e-14)
                np.testing.assert_array_equal(a.inf(V), b.inf(V))
    influx = [c.f / c.τ for c in (Liu1998.calcium, Prinz2003.calcium)]
    assert influx[0] == pytest.approx(influx[1], rel=1e-3)
    assert float(Liu1998.H.m.tau(jnp.array(-42.2))) == pytest.approx(272 + 1499 / 2)
    assert isinstance(Liu1998.Na.h.tau, Curve)  # so that the sweep through all exponentials serves it, too


def test_rates_of_the_axon_by_hand() -> None:
    V = np.array([-65.0, -55.0, -40.0, 0.0])
    m, n = HH.Na.m, HH.K.m
    α = np.array([-2.5 / (1 - np.exp(2.5)), -1.5 / (1 - np.exp(1.5)), 1.0, 4 / (1 - np.exp(-4))])
    β = 4 * np.exp(-(V + 65) / 18)
    one = jnp.asarray(V)
    np.testing.assert_allclose(m.inf(one, one), α / (α + β), rtol=1e-12)
    np.testing.assert_allclose(n.tau(jnp.array([-55.0]), jnp.ones(1)), 1 / (0.1 + 0.125 * np.exp(-10 / 80)), rtol=1e-12)


def test_ghk_current() -> None:
    V, Ca = jnp.linspace(-100, 150, 26), jnp.full(26, 0.5)
    channel = Channel("Ca", GHK(), ion="Ca")
    I = np.asarray(jax.jit(lambda V: current_of(channel, CONSTANTS, jnp.ones(26), V, Ca))(V))
    u = np.asarray(V) / CONSTANTS.γ
    with np.errstate(invalid="ignore"):
        by_hand = 2 * 96485.33212e-3 * u * (0.5 - 3000 * np.exp(-u)) / (1 - np.exp(-u))
    np.testing.assert_allclose(I[u != 0], by_hand[u != 0], rtol=1e-12)
    E = CONSTANTS.γ * jnp.log(jnp.array([3000 / 0.5]))
    np.testing.assert_allclose(current_of(channel, CONSTANTS, jnp.ones(1), E, Ca[:1]), 0, atol=1e-9)
    G, J = jax.jit(lambda V: linear(channel, CONSTANTS, jnp.ones(26), V, Ca))(V)
    np.testing.assert_allclose(np.asarray(G) * np.asarray(V) - np.asarray(J), I, rtol=1e-9, atol=1e-9)
    assert (np.asarray(G) > 0).all()


def test_nernst_potentials() -> None:
    K = Nernst(1, outside=11_000.0, inside=310_000.0)
    assert float(K.potential(CONSTANTS, jnp.ones(()))) == pytest.approx(24.4 * np.log(11 / 310))
    cell = Cell([Channel("K", K, 4, Prinz2003.Kd.m)(100), Channel("leak", -50)(0.02)])
    V = cell(np.array([0, 500.0])).states.V[-1, 0]
    assert -81 < V < -50


OWN_CALCIUM = {
    "GHK": Channel("CaS", GHK(), 3, Prinz2003.CaS.m, Prinz2003.CaS.h, ion="Ca")(2e-4),
    "fixed": Channel("CaS", 120.0, 3, Prinz2003.CaS.m, Prinz2003.CaS.h, ion="Ca")(6),
    "squared": Channel("CaS", Nernst(), 3, Prinz2003.CaS.m, Prinz2003.CaS.h, q=2, ion="Ca")(6),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OWN_CALCIUM)
def test_calcium_of_any_channel_is_second_order(kind: str) -> None:
    P = Prinz2003
    cell = Cell([P.Na(100), OWN_CALCIUM[kind], P.A(50), P.KCa(5), P.Kd(100), P.H(0.01)], calcium=P.calcium)
    network, t = Network({"cell": cell}), np.arange(0, 60, 1.0)
    exact = network(t, solver=diffrax.Tsit5(), rtol=1e-9, atol=1e-9)
    for name in ("V", "Ca"):
        found = orders(
            lambda dt, name=name: getattr(network(t, dt=dt).states, name), getattr(exact.states, name), (0.02, 0.01)
        )
        assert (found > 1.7).all(), name
    assert exact.states.Ca.max() > 0.1


def test_general_influx_is_that_of_the_first_chapter() -> None:
    first, V, Ca = Network({"cell": prinz("AB/PD 2")}), jnp.array([-30.0]), jnp.array([2.0])
    membrane, g, x = first.circuit.only, prepare(first.params, V.dtype, 0.05).g[0], jnp.full((11, 1), 0.3)
    balance = jax.jit(lambda V, membrane: calcium_balance(membrane, g, V, Ca, x), static_argnums=1)
    spelled_out = Nernst(outside=CONSTANTS.Ca_out)
    channels = tuple(c._replace(E=spelled_out) if c.ion else c for c in membrane.channels)
    general = balance(V, membrane._replace(channels=channels))
    np.testing.assert_allclose(general, balance(V, membrane), rtol=1e-12)


def nmda(s: Any, V_pre: Any, V_post: Any) -> Any:
    """Opens with a presynaptic spike, closes slowly where the postsynaptic cell is depolarized; quadratic in s."""
    return (1 - s) ** 2 / (1 + jnp.exp(-(V_pre + 10) / 3)) - s * 0.02 / (1 + jnp.exp((V_post + 40) / 20))


@pytest.mark.slow
def test_kinetic_synapse_is_second_order() -> None:
    kind = Kinetic("slow", 0.0, nmda, start=0.1)
    network = Network(
        {"a": axon(), "b": axon()}, [Synapse("a", "b", kind, 300), Synapse("b", "a", kind, 50)], sizes={"a": 2}
    )
    assert network.cold.z.shape == (3, 2)
    assert (network.cold.z == [[0.1, 0], [0.1, 0], [0.1, 0.1]]).all()
    t = np.arange(0, 15, 0.5)
    exact = network(t, {"a": 7}, solver=diffrax.Tsit5(), rtol=1e-9, atol=1e-9)
    for name in ("V", "z"):
        found = orders(
            lambda dt, name=name: getattr(network(t, {"a": 7}, dt=dt).states, name),
            getattr(exact.states, name),
            (0.02, 0.01),
        )
        assert (found > 1.7).all(), name
    I = network(t, {"a": 7}).currents["b", 0, "synaptic"].to_numpy()
    y = network(t, {"a": 7}).states
    np.testing.assert_allclose(I, 0.3 * y.z[:, 2].sum(1) * y.V[:, 2], rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_graded_synapse_of_ones_own_and_gap_junction_of_unequal_cells() -> None:
    kind = Graded("own", -75.0, Gate(lambda V: 1 / (1 + jnp.exp(-(V + 35) / 5)), lambda V: 10.0))
    network = Network({"a": axon(), "b": burster()}, [Synapse("a", "b", kind, uS=0.05), GapJunction("a", "b", 100)])
    assert network.params.gs.tolist() == [50.0]
    t = np.arange(0, 15, 0.5)
    exact = network(t, {"a": 7}, solver=diffrax.Tsit5(), rtol=1e-9, atol=1e-9).states.V
    assert (orders(lambda dt: network(t, {"a": 7}, dt=dt).states.V, exact, (0.02, 0.01)) > 1.7).all()
    electrical = network(t).currents.xs("electrical", axis=1, level="channel").to_numpy()
    np.testing.assert_allclose(electrical.sum(1), 0, atol=1e-12)


def test_functions_of_calcium() -> None:
    m = Gate(lambda V, Ca: Ca / (Ca + 3) / (1 + jnp.exp(-(V + 28.3) / 12.6)), Prinz2003.KCa.m.tau)
    own = Channel("KCa", -80, 4, m)
    row = neuron_models.loc["AB/PD 2"]
    listed = [own(g) if name == "KCa" else getattr(Prinz2003, name)(g) for name, g in row.items()]
    t = np.arange(0, 300, 1.0)
    a, b = Cell(listed, calcium=Prinz2003.calcium)(t), prinz("AB/PD 2")(t)
    np.testing.assert_allclose(a.states.V, b.states.V, rtol=1e-9, atol=1e-7)


def test_microsiemens_and_densities() -> None:
    cell = Cell([HH.Na(uS=120 * 0.01 * 1e3), HH.K(36), HH.leak(0.3)], area=0.01, capacitance=2.0)
    assert cell.g.tolist() == [120, 36, 0.3]
    np.testing.assert_allclose(cell.constants.C, 20.0)  # nF


# ---------------------------------------------------------------- transformations


@cache
def mixed() -> Network:
    """A network with a component of every kind."""
    kind = Kinetic("slow", 0.0, nmda)
    connections = [Synapse("b", "a", GLUTAMATE, 20), Synapse("a", "b", kind, 20), GapJunction("a", "b", 30)]
    ghk = Cell([HH.Na(120), HH.K(36), HH.leak(0.3), OWN_CALCIUM["GHK"]], calcium=Calcium(14.96, 200.0), V=-65)
    return Network({"a": axon(), "b": ghk}, connections)


@pytest.mark.slow
def test_jit_vmap_and_grad() -> None:
    network, t = mixed(), np.arange(0, 12, 0.5)
    y = jax.tree.map(jnp.asarray, network.cold)
    I = np.array([7.0, 3.0])

    @jax.jit
    def mean(p: Params) -> Any:
        return simulate(p, y, t, I, dt=0.05).V.mean()

    value, slope = jax.jit(jax.value_and_grad(mean))(network.params)
    assert np.isfinite(value)
    for pick, put in (
        (lambda p: p.g[0, 1], lambda p, x: p.replace(g=p.g + np.eye(2, 4, 1)[:1] * [[x], [0]])),
        (lambda p: p.g[1, 3], lambda p, x: p.replace(g=p.g + np.eye(1, 4, 3) * [[0], [x]])),
        (lambda p: p.gs[0], lambda p, x: p.replace(gs=p.gs + x)),
        (lambda p: p.gz[0], lambda p, x: p.replace(gz=p.gz + x)),
        (lambda p: p.ge[0], lambda p, x: p.replace(ge=p.ge + x)),
    ):
        ε = 1e-5 * max(1e-2, abs(float(pick(network.params))))
        measured = (mean(put(network.params, ε)) - mean(put(network.params, -ε))) / (2 * ε)
        assert float(pick(slope)) == pytest.approx(float(measured), rel=1e-4, abs=1e-9)
    many = jax.jit(jax.vmap(lambda x: mean(network.params.replace(gs=x * network.params.gs))))(jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(many[1], value, rtol=1e-10)


@pytest.mark.slow
def test_derivative_by_a_number_of_a_component() -> None:
    t = np.arange(0, 20, 0.5)
    network = Network({"cell": prinz("AB/PD 2")})

    def mean(C: Any) -> Any:
        circuit = network.circuit.with_membrane(constants=network.circuit.constants._replace(C=C))
        return simulate(network.params.replace(circuit=circuit), network.cold, t).V.mean()

    value_and_slope = jax.jit(jax.value_and_grad(mean))
    difference = value_and_slope(0.628 + 1e-6)[0] - value_and_slope(0.628 - 1e-6)[0]
    assert float(value_and_slope(0.628)[1]) == pytest.approx(float(difference) / 2e-6, rel=1e-4)


@pytest.mark.slow
def test_the_gradient_is_that_of_the_circuit() -> None:
    old, new = both()
    t = np.arange(0, 30, 0.5)
    a, b = (
        jax.jit(jax.grad(lambda gs, m=m: simulate(m.params.replace(gs=gs), m.cold, t).V.mean()))(m.params.gs)
        for m in (old, new)
    )
    np.testing.assert_allclose(a, b, rtol=1e-8)


@pytest.mark.slow
def test_single_precision() -> None:
    t = np.arange(0, 20, 0.5)
    single, double = (
        Network({"a": axon(), "b": burster()}, [GapJunction("a", "b", 10)], dtype=dtype)(t)
        for dtype in ("float32", "float64")
    )
    assert all(x.dtype == np.float32 for x in single.states)
    np.testing.assert_allclose(single.states.V, double.states.V, rtol=0, atol=0.05)


# ---------------------------------------------------------------- temperature


def test_warmer_cells() -> None:
    warm = axon().warmed(16.3)
    V = jnp.linspace(-80, 20, 11)
    np.testing.assert_allclose(warm.channels[0].m.tau(V, V), axon().channels[0].m.tau(V, V) / 3, rtol=1e-12)
    assert warm.constants.γ == pytest.approx(CONSTANTS.γ * (273.15 + 16.3) / 283.15)
    assert warm.warmed(6.3).constants.γ == pytest.approx(axon().constants.γ)
    t = np.arange(0, 40, 0.05)
    widths = [(cell(t, 6.28).states.V[t < 5, 0] > 0).sum() for cell in (axon(), axon().warmed(12.6))]
    assert widths[1] < widths[0]


def test_warmer_networks() -> None:
    q10 = Q10(rate=2.0, g=1.5)
    kinds = Graded("g", -75, GLUTAMATE.gate(CONSTANTS), q10), Kinetic("k", 0, nmda, q10=q10)
    fast = [c._replace(q10=q10) for c in (HH.Na, HH.K, HH.leak)]
    cell = Cell([c(g) for c, g in zip(fast, (120, 36, 0.3), strict=True)], V=-65, calcium=Calcium(10, 100, q10=3))
    network = Network(
        {"a": cell, "b": cell}, [Synapse("a", "b", kind, 10) for kind in kinds] + [GapJunction("a", "b", 5)]
    )
    network.params = network.params.replace(gs=np.array([20.0]), g=network.params.g * [[2.0], [1.0]])
    warm = network.warmed(20.0)
    assert len(warm.circuit.membranes) == 1  # equal cells stay equal
    np.testing.assert_allclose(warm.params.gs, 30)
    np.testing.assert_allclose(warm.params.gz, 15)
    np.testing.assert_allclose(warm.params.ge, 5)
    np.testing.assert_allclose(warm.params.g, network.params.g * 1.5)
    gate = warm.circuit.transmitters[0].gate(CONSTANTS)
    assert float(gate.tau(jnp.array(-60.0))) == pytest.approx(
        float(GLUTAMATE.gate(CONSTANTS).tau(jnp.array(-60.0))) / 2
    )
    assert float(warm.circuit.kinds[0].rate(0.2, -5.0, -50.0)) == pytest.approx(2 * float(nmda(0.2, -5.0, -50.0)))
    pool = warm.made_of["a"].calcium
    assert pool is not None
    assert (pool.τ, pool.f) == pytest.approx((100 / 3, 10))
    same = network.warmed(10.0)(np.arange(0, 10, 0.5))
    np.testing.assert_array_equal(same.states.V, network(np.arange(0, 10, 0.5)).states.V)


# ---------------------------------------------------------------- results


@cache
def of_mixed() -> Any:
    """A run of 50 ms."""
    return mixed()(np.arange(0, 50, 0.1), {"a": 7})


def test_results() -> None:
    network, run = mixed(), of_mixed()
    assert run.Ca.shape == run.V.shape == (500, 2)
    m = run.monitor(lambda y: y.m[..., 0] ** 3)
    np.testing.assert_allclose(m["a", 0], run.m["a", 0, "Na"] ** 3)
    C = network.made_of["a"].constants.C
    total = run.currents["a"][0].sum(axis=1).to_numpy()
    slopes = jax.jit(lambda y: network.derivative(0, y, {"a": 7}))
    slope = [slopes(jax.tree.map(lambda x, k=k: x[k], run.states)).V[0] for k in (10, 200)]
    np.testing.assert_allclose((7 - total[[10, 200]]) / C, slope, rtol=1e-9, atol=1e-9)
    flat = network.flatten(run.final_state)
    np.testing.assert_allclose(
        network.vector_field(0, flat, np.array([7.0, 0])), network.flatten(slopes(run.final_state)), rtol=1e-9
    )
    assert len(run[10:20].t) == 101
    assert repr(run).startswith("SimResult(500 times")
    with pytest.raises(ValueError, match=r"shape \(500, 2, 3\).*must be \(time, cell\)"):
        run.monitor(lambda y: y.m)


def test_files(tmp_path: Any) -> None:
    run = of_mixed()
    run.to_csv(tmp_path / "run.csv")
    back = pd.read_csv(tmp_path / "run.csv", comment="#", index_col="time")
    np.testing.assert_allclose(back["V b 0"], run.V["b", 0])


def test_a_run_that_overflows_names_the_cell() -> None:
    bad = Kinetic("bad", 0, lambda s, V_pre, V_post: s * s * 1e4 + 1e4)
    with pytest.raises(FloatingPointError, match=r"of cell \('b', 0\) is not finite at t = "):
        Network({"a": axon(), "b": axon()}, [Synapse("a", "b", bad, 10)])(np.arange(0, 20, 0.5))


# ---------------------------------------------------------------- refusals and warnings

SIGMOID, SLOW = B(40, -5), lambda V: 5.0


def gated(inf: Any, tau: Any) -> Callable[[], Any]:
    return lambda: Cell([Channel("X", 0, 1, Gate(inf, tau))(1)])


REFUSALS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "gate above 1": (gated(lambda V: 1.2 / (1 + jnp.exp(-V)), SLOW), ValueError,
                     r"x∞ of the gate m of 'X' is 1\.\d+ at V = .*between 0 and 1"),
    "gate of V only": (gated(lambda V: V, SLOW), ValueError, "x∞ of the gate m of 'X' is -100 at V = -100 mV"),
    "singular rate": (
        gated(*rates(lambda V: 0.01 * (V + 55) / (1 - jnp.exp(-(V + 55) / 10)), lambda V: 0.1)[:2]), ValueError, "nan at V = -55.*linoid"),
    "negative τ": (gated(SIGMOID, lambda V: V), ValueError, "τ of the gate m of 'X' is -100 ms at V = -100 mV.*positive"),
    "shape": (gated(lambda V: V[:3], SLOW), ValueError, r"has shape \(3,\) for V of shape \(805,\)"),
    "branch": (gated(lambda V: 1.0 if V > 0 else 0.0, SLOW), TypeError, "cannot be evaluated by JAX.*jnp.where"),
    "no function": (gated(0.5, SLOW), TypeError, "x∞ of the gate m of 'X' is 0.5; it must be a function"),
    "twice": (lambda: Cell([HH.Na(120), HH.Na(100)]), ValueError, "'Na' twice.*Rename"),
    "no density": (lambda: Cell([HH.Na]), TypeError, "'Na' comes without a density; write Na"),
    "not a channel": (lambda: Cell([3]), TypeError, "channels contains 3"),
    "no list": (lambda: Cell(HH.Na(3)), TypeError, "must be a list of channels"),
    "two conductances": (lambda: HH.Na(3, uS=4), ValueError, "must be one of the two"),
    "permeability": (lambda: OWN_CALCIUM["GHK"].channel(uS=1), ValueError, "has a permeability; it must be given in cm/s"),
    "no conductance": (lambda: HH.Na(), ValueError, "must be one of the two"),
    "negative": (lambda: HH.Na(-3), ValueError, "must not be negative"),
    "area": (lambda: Cell([HH.Na(120)], area=0), ValueError, "area is 0 cm²; it must be positive"),
    "no pool": (lambda: Cell([Prinz2003.CaT(2.5)]), ValueError, "'CaT' lets calcium in or reads it, but the cell has no calcium"),
    "no pool to read": (lambda: Cell([Prinz2003.KCa(5)]), ValueError, "'KCa' lets calcium in or reads it"),
    "τ of the pool": (lambda: Cell([Prinz2003.CaT(2.5)], calcium=Calcium(1, -5)), ValueError, "τ of calcium is -5 ms; it must be positive"),
    "no cells": (lambda: Network({}), TypeError, "cells is {}"),
    "a list of cells": (lambda: Network([axon()]), TypeError, "must be a mapping"),
    "not a cell": (lambda: Network({"a": HH.Na}), TypeError, "must be a label and a Cell"),
    "missing cell": (lambda: Network({"AB": axon()}, [Synapse("AB", "LP", GLUTAMATE, 3)]), ValueError, r"names 'LP'; the circuit has 'AB'"),
    "missing end": (lambda: Network({"AB": axon()}, [GapJunction("LP", "AB", 3)]), ValueError, "names 'LP'"),
    "not a synapse": (lambda: Network({"AB": axon()}, [("AB", "AB", 3)]), TypeError, "must consist of Synapse"),
    "strength": (lambda: Network({"a": axon(), "b": axon()}, [GapJunction("a", "b")]), ValueError, "one of the two"),
    "negative strength": (lambda: Network({"a": axon(), "b": axon()}, [GapJunction("a", "b", -1)]), ValueError, "not be negative"),
    "own": (lambda: Network({"a": axon()}, [Synapse("a", "a", GLUTAMATE, 3)]), ValueError, "onto itself"),
    "sizes": (lambda: Network({"a": axon()}, sizes={"b": 2}), ValueError, "sizes names 'b'"),
    "size": (lambda: Network({"a": axon()}, sizes={"a": 0}), ValueError, "size 0"),
    "dtype": (lambda: Network({"a": axon()}, dtype="half"), ValueError, "dtype is 'half'"),
    "times": (lambda: axon()([1, 0]), ValueError, "times must increase"),
    "solver": (lambda: axon()([0, 1], solver="euler"), ValueError, "solver is 'euler'"),
    "state": (lambda: axon()([0, 1], state=prinz("LP 4").area), TypeError, "must be a State"),
    "gate of a synapse": (lambda: Network({"a": axon(), "b": axon()}, [Synapse("a", "b", Graded("x", 0, Gate(lambda V: V, SLOW)), 1)]),
                          ValueError, "x∞ of the gate s of 'x' is -100"),
    "rate of a synapse": (lambda: Network({"a": axon(), "b": axon()}, [Synapse("a", "b", Kinetic("x", 0, lambda s, V: s), 1)]), TypeError,
                          "the rate of 'x' cannot be evaluated"),
    "kind": (lambda: Network({"a": axon(), "b": axon()}, [Synapse("a", "b", "glutamate", 1)]), TypeError, "kind"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    call, error, message = REFUSALS[name]
    with pytest.raises(error, match=message):
        call()


WARNINGS: dict[str, tuple[Callable[[], Any], str]] = {
    "Liu with Prinz's densities": (
        lambda: Cell([getattr(Liu1998, n)(g) for n, g in neuron_models.loc["AB/PD 2"].items()], calcium=Liu1998.calcium),
        r"in the range of Prinz et al\. \(2003\).*those of Liu et al\. \(1998\): KCa\(5\) is off by a factor of 8",
    ),
    "µS/mm²": (lambda: Cell([Liu1998.Na(1831 * 4)]), r"Na\(7324\) is far .*factor of 10\.5 or more; perhaps it is in µS/mm²"),
    "S/cm²": (lambda: Cell([HH.Na(0.12)]), r"Na\(0\.12\) is far .*factor of 1e\+03 or more; perhaps it is in S/cm²"),
    "synapse in µS": (lambda: Network({"a": axon(), "b": axon()}, [Synapse("a", "b", GLUTAMATE, 0.03)]), r"in µS, multiply it by 1000"),
    "synapse in pS": (lambda: Network({"a": axon(), "b": axon()}, [Synapse("a", "b", GLUTAMATE, 30_000)]), r"in pS, divide it by 1000"),
    "τ in s": (lambda: Cell([Channel("X", 0, 1, Gate(SIGMOID, lambda V: 5e-3))(1)]),
               "at most 0.005 ms; if it is in s, multiply it by 1000"),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNINGS)
def test_mistaken_units_draw_a_warning(name: str) -> None:
    call, message = WARNINGS[name]
    check_gate.cache_clear()
    with pytest.warns(UserWarning, match=message) as caught:
        call()
    assert len(caught) == 1


def test_correct_cells_and_synapses_draw_no_warning() -> None:
    """Of other animals, sizes and temperatures. Tests turn warnings into errors."""
    gate, K = Gate(SIGMOID, SLOW), Nernst(1, 5400, 140_000)
    plain = [Channel("K", K, 4, gate)(36), Channel("Cl", Nernst(-1, 110e3, 5e3))(0.1), Channel("mixed", 0, 1, gate)(5)]
    for options in (
        dict(area=1e-7, temperature=37),
        dict(area=0.05, capacitance=2),
        dict(capacitance=0.75, V=0, temperature=0),
    ):
        Cell(plain, **options)
    pool = Calcium(f=0.5, τ=5, rest=0.1, outside=1500)
    Cell(
        [Channel("L", GHK(), 2, gate, ion="Ca")(2e-4), Channel("T", GHK(2, 2000, 0.1), 2.0, gate, gate, 2)(1e-6)],
        calcium=pool,
    )
    Cell([HH.Na(uS=75), HH.leak(0)])
    kinds = [Graded("fast", 0, gate), Kinetic("slow", -75.0, nmda, start=1), GLUTAMATE]
    Network(
        {"a": axon(), "b": axon()}, [*(Synapse("a", "b", kind, 10) for kind in kinds), GapJunction("a", "b", uS=0.001)]
    )


def test_a_state_of_whole_numbers_is_no_run_in_whole_numbers() -> None:
    network, t = pair(), [0.0, 1.0, 2.0]
    starts = [network.cold._replace(V=np.array([-65, -50], kind)) for kind in (int, float)]
    a, b = jax.jit(lambda: [simulate(network.params, y, t).V for y in starts])()
    np.testing.assert_array_equal(a, b)
    assert upstrokes([0, 1, 2], [-10, 10, 0]).tolist() == [0.5]


def test_every_cell_of_prinz_is_told_from_liu() -> None:
    for row in neuron_models.index:
        prinz(row)  # without a warning
        with pytest.warns(UserWarning, match="Prinz"):
            Cell([getattr(Liu1998, n)(g) for n, g in neuron_models.loc[row].items()], calcium=Liu1998.calcium)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        o_leary = dict(Na=183.1, CaT=2.3, CaS=2.7, A=24.6, KCa=98, Kd=61, H=1.01, leak=0.099)
        Cell([getattr(Liu1998, n)(g) for n, g in o_leary.items()], calcium=Liu1998.calcium)


def test_the_rhythm_of_a_network() -> None:
    """Labels tell the pacemaker where no circuit does; the same rhythm as from the potentials alone."""
    run = burster()(np.arange(1000, 2500, 0.5))
    pd.testing.assert_frame_equal(summary(run), summary(run.V))
    assert summary(run)["spikes"].iloc[0] > 10
