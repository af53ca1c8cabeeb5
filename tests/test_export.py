"""Models as formulas: what is read equals what was written, in any language; what cannot be said is refused by its name."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import AXON, HH, LIU, Opening, circuit

from pyloric_simulator.engine.kinetics import at, exprel
from pyloric_simulator.export.equations import (
    ARITHMETIC,
    NUMPY,
    Term,
    described,
    evaluated,
    expression,
    identifiers,
    name,
    number,
    numbers_of,
    simpler,
    text,
)
from pyloric_simulator.models.channels import GHK, Prinz2003
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Cell, GapJunction, Kinetic, Network, Synapse
from pyloric_simulator.prinz2004 import CHANNELS, GLUTAMATE, B, Channel, Gate, currents, derivative

V = np.linspace(-120, 80, 401)
GATES = [(f"{c.name} {x}", g) for c in CHANNELS for x, g in (("m", c.m), ("h", c.h)) if g]
GATES += [
    (f"axon {c.channel.name} {x}", g)
    for c in [HH.Na(1), HH.K(1)]
    for x, g in (("m", c.channel.m), ("h", c.channel.h))
    if g
]


def values(f: Callable[..., Any], Ca: float) -> Any:
    """A function of a gate on a grid."""
    return at(f, jnp.asarray(V), jnp.full(V.shape, Ca))


@pytest.mark.parametrize(("what", "gate"), GATES, ids=[x for x, _ in GATES])
@pytest.mark.parametrize("part", ["inf", "tau"])
def test_a_formula_is_its_function(what: str, gate: Gate, part: str) -> None:
    f = getattr(gate, part)
    assert what
    found = evaluated(expression(lambda V, Ca: values_at(f, V, Ca), ("V", "Ca")), V=V, Ca=2.0)
    assert np.allclose(found, values(f, 2.0), rtol=1e-13, atol=0)


def values_at(f: Any, V: Any, Ca: Any) -> Any:
    """One value of a function of a gate."""
    return at(f, V, Ca)


OWN: dict[str, Callable[..., Any]] = {
    "choice": lambda V: jnp.where(V > -40, jnp.tanh((V + 40) / 30), jnp.abs(V) / 100),
    "clip": lambda V: jnp.clip((V + 50) / 40, 0.1, 0.9),
    "logistic": lambda V: jax.nn.sigmoid((V + 30) / 7) ** 3,
    "powers": lambda V: jnp.sqrt(1 + V**2) ** -1.5 + jnp.square(V) / 1e4 + jnp.cbrt(2.0 + 0 * V),
    "both": lambda V: jnp.where((V > -60) & ~(V > 0) | (V < -100), jnp.minimum(V, -20) / 100, jnp.maximum(V, 3) / 9),
    "nested": jax.jit(lambda V: jax.jit(jnp.exp)(V / 50) - 2 / (3 - V / 500) / 4),
    "logarithm": lambda V: jnp.log1p(jnp.exp(V / 20)) + jnp.log(2 + jnp.sin(V)) - jnp.expm1(V / 100),
    "derivative": jax.grad(lambda V: jnp.exp(-((V / 30) ** 2))),
}


@pytest.mark.parametrize("what", OWN)
def test_functions_of_ones_own(what: str) -> None:
    term = expression(OWN[what], ("V",))
    expected = jax.vmap(OWN[what])(jnp.asarray(V))
    assert np.allclose(evaluated(term, V=V), expected, rtol=1e-12, atol=1e-15)
    assert np.allclose(python(term, V), expected, rtol=1e-12, atol=1e-15)


def python(x: Term, V: Any, **more: Any) -> Any:
    """The value of a formula that was written as text, by Python's own rules for what binds how closely."""
    words = {"and": "({}) & ({})", "or": "({}) | ({})", "not": "~({})"}
    return eval(text(x, ARITHMETIC | words), {**NUMPY, "V": V, **more})


def random_term(rng: np.random.Generator, depth: int) -> Term:
    """A formula of V and W."""
    if depth == 0 or rng.random() < 0.15:
        return [name("V"), name("W"), number(round(float(rng.normal()), 2)), number(2)][rng.integers(4)]
    op = ["add", "sub", "mul", "div", "neg", "pow", "exp", "max", "where"][rng.integers(9)]
    a, b, c = (random_term(rng, depth - 1) for _ in range(3))
    if op == "pow":
        return simpler("pow", simpler("abs", a), number(int(rng.integers(-3, 4))))
    if op == "where":
        return simpler("where", simpler("lt", a, b), b, c)
    if op == "exp":
        return simpler("exp", simpler("neg", simpler("abs", a)))
    return simpler(op, *((a,) if op == "neg" else (a, b)))


def test_text_means_what_the_tree_means() -> None:
    rng, W = np.random.default_rng(0), np.linspace(0.3, 2, 7)
    for _ in range(500):
        x = random_term(rng, 5)
        if not np.isfinite(numbers_of(x)).all():
            continue
        with np.errstate(all="ignore"):
            expected, found = evaluated(x, V=W - 1.1, W=W), python(x, W - 1.1, W=W)
        sizes = 1e-9 * (1 + np.abs(expected))
        assert (np.isclose(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True) | (sizes > 1e5)).all(), text(x)


def test_written_as_by_hand() -> None:
    Na = CHANNELS[0]
    assert text(expression(Na.m.inf, ("V",))) == "1/(exp((V + 25.5)/(-5.29)) + 1)"
    assert text(expression(Na.m.tau, ("V",))) == "2.64 - 2.52/(exp((V + 120)/(-25)) + 1)"
    assert text(expression(exprel, ("x",))) == "exprel(x)"
    assert text(expression(lambda V: 2 / exprel(V / 3), ("V",))) == "2/exprel(V/3)"


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "a table": (lambda V: jnp.interp(V, jnp.array([-100.0, 100.0]), jnp.array([0.0, 1.0])), "array of shape"),
    "a loop": (lambda V: jax.lax.fori_loop(0, 3, lambda _, x: x / 2, V) / 1e3, "'scan'|'while'"),
    "a special function": (lambda V: jax.scipy.special.erf(V / 50) ** 2, "'erf'"),
    "a whole array": (lambda V: jnp.stack([V, V]), "shape"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_formula_is_refused_by_its_name(what: str) -> None:
    f, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        expression(f, ("V",))


def test_the_gate_is_named() -> None:
    cell = Cell([Channel("X", -80, 1, Gate(lambda V: jax.scipy.special.erf(V / 50) ** 2, lambda V: 1 + V**2))(1.0)])
    with pytest.raises(ValueError, match=r"x∞ of the gate m of 'X' uses the operation 'erf'"):
        described(cell)


def test_identifiers() -> None:
    assert identifiers(["AB/PD", "β-cell", "2", "ß", "AB PD", "é"]) == ["AB_PD", "beta_cell", "x2", "x", "AB_PD_2", "e"]
    assert identifiers(["v"], ["V"]) == ["v_2"]


def everything() -> Network:
    """Two kinds of cells, all kinds of junctions, a GHK current, a function of one's own."""
    own = Channel(
        "own",
        -60,
        2,
        Gate(lambda V: jnp.where(V > -40, jnp.tanh((V + 40) / 30) ** 2, 0.0), lambda V, Ca: 20 + Ca + 0 * V),
    )
    CaP = Channel("CaP", GHK(), 2, Gate(B(20, -5), B(20, -5) + 1), ion="Ca")
    cell = Cell([HH.Na(120), HH.K(36), HH.leak(0.3), own(1), CaP(1e-6)], calcium=Prinz2003.calcium)
    joined = [
        Synapse("a", "b", GLUTAMATE, 30),
        GapJunction("a", "b", 5),
        GapJunction("b", "b", 2),
        Synapse("b", "a", Kinetic("slow", 0, Opening(0.1)), 10),
    ]
    return Network({"a": LIU, "b": cell}, joined, sizes={"b": 2})


def test_described_cells_have_our_derivative() -> None:
    """The slopes of all variables, computed from the formulas and numbers alone."""
    model = everything()
    state = model(np.arange(0, 30.5, 0.5), I_ext=3.0).final_state
    d, expected = described(model, state, 3.0), jax.jit(lambda y: derivative(model.params, y, 3.0))(state)
    V = [c.V for c in d.cells]
    onto = np.zeros(len(V))
    for s in d.synapses:
        onto[s.post] -= s.g * d.cells[s.pre].s[s.kind] * (V[s.post] - d.transmitters[s.kind].E)
    for s in d.bonds:
        onto[s.post] -= s.g * s.start * (V[s.post] - d.kinetic[s.kind].E)
    for s in d.gaps:
        onto[s.post] -= s.g * (V[s.post] - V[s.pre])
        onto[s.pre] -= s.g * (V[s.pre] - V[s.post])
    for i, c in enumerate(d.cells):
        kind, at = d.kinds[c.kind], {"V": c.V, "Ca": c.Ca}
        gates = [x.m for x in kind.currents if x.m] + [x.h for x in kind.currents if x.h]
        x = {k.id: x for k, x in zip(gates, c.x, strict=True)}
        γ = [
            g * (x[y.m.id] ** y.p if y.m else 1) * (x[y.h.id] ** y.q if y.h else 1)
            for g, y in zip(c.g, kind.currents, strict=True)
        ]
        I = [evaluated(y.I, γ=a, **at) for a, y in zip(γ, kind.currents, strict=True)]
        tangent = [
            evaluated(y.G, γ=a, **at) * c.V - evaluated(y.J, γ=a, **at) for a, y in zip(γ, kind.currents, strict=True)
        ]
        assert np.allclose(tangent, I, rtol=1e-9, atol=1e-12)
        constants = kind.constants
        assert np.isclose((evaluated(c.I) - sum(I) + onto[i]) / constants.C, expected.V[i], rtol=1e-10)
        Ca = (
            -(
                constants.f * sum(a for a, y in zip(I, kind.currents, strict=True) if y.calcium)
                + c.Ca
                - constants.Ca_rest
            )
            / constants.τ_Ca
        )
        assert np.isclose(Ca, expected.Ca[i], rtol=1e-10)
        slope = [(evaluated(k.inf, **at) - x[k.id]) / evaluated(k.tau, **at) for k in gates]
        n = len([y for y in kind.currents if y.m])
        assert np.allclose(slope, [*expected.m[i, :n], *expected.h[i, : len(slope) - n]], rtol=1e-10)
        released = [
            (evaluated(k.inf, **at) - s) / evaluated(k.tau, **at) for k, s in zip(kind.releases, c.s, strict=True)
        ]
        assert np.allclose(released, expected.s[i], rtol=1e-10)


def test_currents_of_the_paper() -> None:
    model = circuit()
    result = model(np.arange(0, 20.5, 0.5), state=model.cold)
    d = described(model, result.final_state)
    assert [c.id for c in d.cells] == ["AB_PD_0", "LP_0", "PY_0"]
    found = np.asarray(currents(model.params, result.states))[-1]
    for i, c in enumerate(d.cells):
        kind = d.kinds[c.kind]
        m, h = iter(c.x), iter(c.x[sum(x.m is not None for x in kind.currents) :])
        for j, (g, y) in enumerate(zip(c.g, kind.currents, strict=True)):
            γ = g * (next(m) ** y.p if y.m else 1) * (next(h) if y.h else 1)
            assert np.isclose(evaluated(y.I, γ=γ, V=c.V, Ca=c.Ca), found[i, j], rtol=1e-10, atol=1e-14)


def test_external_currents() -> None:
    two = Network({"a": AXON, "b": AXON})
    assert [evaluated(c.I) for c in described(two, I_ext={"a": 1.0, "b": -2.0}).cells] == [1.0, -2.0]
    ramp = described(two, I_ext=lambda t: jnp.where(t > 5, 0.1 * t, 0.0)).cells[1].I
    assert np.allclose(evaluated(ramp, t=np.array([1.0, 10.0])), [0, 1])
    with pytest.raises(ValueError, match="one current for all cells"):
        described(two, I_ext=lambda t: jnp.array([t, 0.0]))


def test_models_without_channels_are_refused() -> None:
    with pytest.raises(TypeError, match="must be a Prinz2004, a Cell or a Network"):
        described(LIF(1))
