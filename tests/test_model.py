"""Parameters, right-hand side and populations, by numbers worked out by hand."""

import subprocess
import sys
import textwrap
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator.prinz2004 import (
    CHANNELS,
    CONSTANTS,
    TRANSMITTERS,
    B,
    Channel,
    Gate,
    Nernst,
    Prinz2004,
    SimResult,
    State,
    bell,
    dims,
    kinetics,
    neuron_models,
    steady_and_tau_plain,
)

GLUTAMATE, ACETYLCHOLINE = 0, 1  # columns of State.s

# Table 2 of Prinz, Bucher & Marder (2004), mS/cm²: Na, CaT, CaS, A, KCa, Kd, H, leak
TABLE = """
AB/PD 1  400 2.5  6 50 10 100 0.01 0
AB/PD 2  100 2.5  6 50  5 100 0.01 0
AB/PD 3  200 2.5  4 50  5  50 0.01 0
AB/PD 4  200 5.0  4 40  5 125 0.01 0
AB/PD 5  300 2.5  2 10  5 125 0.01 0
LP 1     100 0.0  8 40  5  75 0.05 0.02
LP 2     100 0.0  6 30  5  50 0.05 0.02
LP 3     100 0.0 10 50  5 100 0.00 0.03
LP 4     100 0.0  4 20  0  25 0.05 0.03
LP 5     100 0.0  6 30  0  50 0.03 0.02
PY 1     100 2.5  2 50  0 125 0.05 0.01
PY 2     200 7.5  0 50  0  75 0.05 0
PY 3     200 10   0 50  0 100 0.03 0
PY 4     400 2.5  2 50  0  75 0.05 0
PY 5     500 2.5  2 40  0 125 0.01 0.03
PY 6     500 2.5  2 40  0 125 0.00 0.02
"""


def silent(n: int) -> np.ndarray:
    """Conductances of n populations whose membranes pass no current."""
    return np.zeros((n, len(CHANNELS)))


def at(model: Prinz2004, **changes: Any) -> State:
    """The cold start with some fields replaced."""
    fields = {k: np.asarray(v, float) for k, v in changes.items()}
    return model.cold._replace(**fields)


def printed(code: str) -> list[str]:
    """Lines that a fresh Python prints."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def currents(model: Prinz2004, state: State) -> pd.Series:
    """Of every cell and channel in one state, nA."""
    states = State(*(np.asarray(x)[None] for x in state))
    return SimResult(np.zeros(1), states, model).currents.iloc[0]


def slope(model: Prinz2004, state: State, I_ext: float | None = None) -> State:
    """Derivative of a state, per ms."""
    return model.unflatten(model.vector_field(0, model.flatten(state), I_ext))


# --------------------------------------------------------------------------------- parameters


def test_the_cells_are_those_of_the_paper() -> None:
    rows = [line.split() for line in TABLE.strip().splitlines()]
    names = [" ".join(row[:2]) for row in rows]
    assert list(neuron_models.index) == names
    assert list(neuron_models.columns) == ["Na", "CaT", "CaS", "A", "KCa", "Kd", "H", "leak"]
    np.testing.assert_array_equal(neuron_models, np.array([row[2:] for row in rows], float))


def test_a_row_is_all_that_a_new_cell_needs() -> None:
    code = """
    from pyloric_simulator.prinz2004 import Prinz2004, neuron_models
    neuron_models.loc["LP 6"] = [100, 1, 2, 3, 4, 5, 0.6, 0.07]
    print(Prinz2004({"LP 6": 1}, {}).params.g.tolist())
    """
    assert printed(code) == ["[[100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.6, 0.07]]"]


def test_dimensions_carry_units() -> None:
    assert [dims[x].unit for x in ("t", "V", "Ca", "g", "gs", "I")] == [
        "ms", "mV", "µM", "mS/cm²", "nS", "nA",
    ]  # fmt: skip
    assert dims["V"] == dims.V
    assert dims.s.unit is None


def test_the_cold_start_is_that_of_the_paper() -> None:
    start = Prinz2004({"AB/PD": 1, "LP": 2}, {}, neuron_models.iloc[[0, 5]]).cold
    assert {x.shape[0] for x in start} == {3}
    values = [-50, 0.05, 0, 0, 1]  # V, Ca, s, m, h
    for x, value in zip(start, values, strict=True):
        assert (x == value).all()
    assert start.m.shape[1] == 7
    assert start.h.shape[1] == 4


# --------------------------------------------------------------------------- membrane currents


@pytest.fixture(scope="module")
def one() -> tuple[Prinz2004, State]:
    """A cell with all channels, in a state with round numbers."""
    g = [[100, 2.5, 6, 50, 5, 100, 0.01, 0.03]]
    model = Prinz2004({"LP": 1}, {}, g)
    m = [[0.5, 0.5, 0.4, 0.2, 0.3, 0.5, 0.6]]  # Na, CaT, CaS, A, KCa, Kd, H
    h = [[0.5, 0.25, 0.5, 0.5]]  # Na, CaT, CaS, A
    return model, at(model, V=[-30], Ca=[1], m=m, h=h)


# E_Ca = 12.2 mV · ln(3000/1) = 97.67768432533 mV; 1 mS/cm² on 0.628e-3 cm² is 0.628 µS
HAND = {  # nA = g · 0.628 µS · m^p · h · (V − E)
    "Na": -314.0,  # 62.8 · 0.5³ · 0.5 · (−30 − 50)
    "CaT": -6.264186387209,  # 1.57 · 0.5³ · 0.25 · (−30 − 97.67768432533)
    "CaS": -15.39486446521,  # 3.768 · 0.4³ · 0.5 · (−30 − 97.67768432533)
    "A": 6.28,  # 31.4 · 0.2³ · 0.5 · (−30 + 80)
    "KCa": 1.2717,  # 3.14 · 0.3⁴ · (−30 + 80)
    "Kd": 196.25,  # 62.8 · 0.5⁴ · (−30 + 80)
    "H": -0.03768,  # 0.00628 · 0.6 · (−30 + 20)
    "leak": 0.3768,  # 0.01884 · (−30 + 50)
    "synaptic": 0.0,
    "electrical": 0.0,
}


def test_membrane_currents(one: tuple[Prinz2004, State]) -> None:
    found = currents(*one)
    assert list(found["LP", 0].index) == list(HAND)
    np.testing.assert_allclose(found, list(HAND.values()), rtol=1e-11, atol=1e-14)


def test_derivative_of_V_and_of_calcium(one: tuple[Prinz2004, State]) -> None:
    """The total calcium current counts, −21.65905085242 nA, not one per area."""
    found = slope(*one)
    # −(−314 − 6.264186387209 − 15.39486446521 + 6.28 + 1.2717 + 196.25 − 0.03768 + 0.3768)/0.628
    np.testing.assert_allclose(found.V, [209.42393448], rtol=1e-9)
    # (14.96 · 21.65905085242 − 1 + 0.05)/200
    np.testing.assert_allclose(found.Ca, [1.61534700376], rtol=1e-10)


def test_derivatives_of_gates(one: tuple[Prinz2004, State]) -> None:
    """Some of each form, at V = −30 mV and [Ca] = 1 µM."""
    found = slope(*one)
    # Na m: x∞ = 1/(1 + e^(4.5/5.29)) = 0.2992941; τ = 2.64 − 2.52/(1 + e^(−90/25)) = 0.1870244
    np.testing.assert_allclose(found.m[0, 0], (0.2992941 - 0.5) / 0.1870244, rtol=1e-6)
    # KCa m: x∞ = 1/4 · 1/(1 + e^(1.7/12.6)) = 0.1165802; τ = 180.6 − 150.2/(1 + e^(−16/22.7))
    np.testing.assert_allclose(found.m[0, 4], (0.1165802 - 0.3) / 80.0769565, rtol=1e-6)
    # CaS h: x∞ = 1/(1 + e^(30/6.2)) = 0.0078551; τ = 120 + 300/(e^(25/9) + e^(−35/16)) = 138.5237
    np.testing.assert_allclose(found.h[0, 2], (0.0078551 - 0.5) / 138.5237, rtol=1e-6)
    # s: x∞ = 1/(1 + e^(−5/5)) = 0.7310586; τ = 0.2689414 · 40 and · 100
    wanted = [0.7310586 / 10.757657, 0.7310586 / 26.894142]
    np.testing.assert_allclose(found.s[0], wanted, rtol=1e-6)


def test_the_reversal_potential_of_calcium() -> None:
    # 12.2 · ln(3000/0.05) = 12.2 · ln 60000; each e-fold of calcium takes 12.2 mV away
    found = Nernst().potential(CONSTANTS, np.array([0.05, 0.05 * np.e, 3000.0]))
    np.testing.assert_allclose(found, [134.225618, 122.025618, 0], atol=1e-6)


def test_positive_input_depolarizes(one: tuple[Prinz2004, State]) -> None:
    model, state = one
    rest = slope(model, state).V
    derivative = jax.jit(lambda y: model.derivative(0, y, {"LP": 0.314}))
    for pushed in (slope(model, state, 0.314), derivative(state)):
        np.testing.assert_allclose(pushed.V - rest, [0.5], rtol=1e-9)  # 0.314 nA / 0.628 nF
    passive = Prinz2004({"LP": 1}, {}, silent(1))
    run = passive([10], 0.0628, passive.cold)  # nothing but the capacitance: 0.1 mV/ms
    np.testing.assert_allclose(run.states.V, [[-49]], rtol=1e-12)


# ------------------------------------------------------------------------------------ synapses


def test_synaptic_currents() -> None:
    """Absolute conductances: the area of the membrane does not enter."""
    model = Prinz2004({"AB/PD": 1, "LP": 1}, {("AB", "LP"): 30, ("PD", "LP"): 10}, silent(2))
    state = at(model, V=[-20, -60], s=[[0.5, 0.25], [1, 1]])
    found = currents(model, state)
    # 0.03 µS · 0.5 · (−60 + 70) + 0.01 µS · 0.25 · (−60 + 80)
    np.testing.assert_allclose(found["LP", 0, "synaptic"], 0.2, rtol=1e-12)
    assert found["AB/PD", 0, "synaptic"] == 0
    np.testing.assert_allclose(slope(model, state).V, [0, -0.2 / 0.628], rtol=1e-12)


@pytest.mark.parametrize(("pre", "E"), [("AB", -70), ("PD", -80)])
def test_inhibition_pulls_toward_its_reversal_potential(pre: str, E: float) -> None:
    """From a cell without currents, which stays depolarized, onto one without, and onto LP 1."""
    sizes, gs = {pre: 1, "LP": 1, "LP 1": 1}, {(pre, "LP"): 30, (pre, "LP 1"): 30}
    g = np.vstack([silent(2), neuron_models.loc[["LP 1"]]])
    model = Prinz2004(sizes, gs, g)
    run = model(np.arange(0, 1000.5), state=at(model, V=[20, -40, -40]))
    assert (run.V[pre, 0] == 20).all()
    assert run.s[pre, 0].iloc[-1] == pytest.approx(1, abs=1e-4)
    assert run.V["LP", 0].iloc[-1] == pytest.approx(E, abs=1e-6)
    inhibited = run[500:].V["LP 1", 0]
    assert E < inhibited.min() < inhibited.max() < E + 14  # H holds against the synapse
    alone = Prinz2004({"LP 1": 1}, {})
    free = alone(np.arange(0, 1000.5), state=at(alone, V=[-40]))
    assert free[500:].V.max().item() > 0


def test_every_presynaptic_cell_counts() -> None:
    model = Prinz2004({"PD": 2, "LP": 1, "AB": 1}, [[0, 0, 0], [10, 0, 3], [0, 0, 0]], silent(3), ge=0)
    s = np.zeros((4, 2))
    s[:2, ACETYLCHOLINE], s[3, GLUTAMATE] = [0.2, 0.4], 0.5
    s[2] = 1  # LP makes no synapse
    found = currents(model, at(model, V=[0, 0, -50, 0], s=s))
    # 0.01 · (0.2 + 0.4) · (−50 + 80) + 0.003 · 0.5 · (−50 + 70)
    np.testing.assert_allclose(found["LP", 0, "synaptic"], 0.21, rtol=1e-12)


def test_no_cell_inhibits_itself() -> None:
    """A synapse within a population of N comes from the N − 1 others."""
    model = Prinz2004({"PY": 3}, [[10]], silent(1))
    s = np.zeros((3, 2))
    s[:, GLUTAMATE] = [0.1, 0.2, 0.4]
    found = currents(model, at(model, V=[-60, -60, -50], s=s)).xs("synaptic", level="channel")
    # 0.01 · 0.6 · 10, 0.01 · 0.5 · 10, 0.01 · 0.3 · 20
    np.testing.assert_allclose(found, [0.06, 0.05, 0.06], rtol=1e-12)


def test_electrical_currents() -> None:
    """Between any two of the pacemaker cells, and no others."""
    model = Prinz2004({"PD": 1, "LP": 1, "AB": 1, "AB/PD": 1}, {}, silent(4), ge=10)
    state = at(model, V=[-40, 30, -50, -60])
    found = currents(model, state).xs("electrical", level="channel")
    # 0.01 µS · (10 + 20), none for LP, 0.01 · (−10 + 10), 0.01 · (−10 − 20)
    np.testing.assert_allclose(found, [0.3, 0, 0, -0.3], atol=1e-14)
    np.testing.assert_allclose(slope(model, state).V, -found / 0.628, atol=1e-14)
    uneven = currents(model, at(model, V=[-17.3, 4, 21.9, -77.7]))
    assert uneven.xs("electrical", level="channel").sum() == pytest.approx(0, abs=1e-15)


def test_the_default_coupling_can_be_switched_off() -> None:
    models = [Prinz2004({"AB": 1, "PD": 1}, {}, silent(2), ge=ge) for ge in (None, 10, 0)]
    found = [currents(m, at(m, V=[-40, -60]))["AB", 0, "electrical"] for m in models]
    np.testing.assert_allclose(found, [0.2, 0.2, 0], rtol=1e-12)


# --------------------------------------------------------------------------- labels and forms


def described(model: Prinz2004) -> dict[tuple[str, str], float]:
    return dict(zip(model.synapses, map(float, model.params.gs), strict=True))


def test_forms_of_gs_agree() -> None:
    sizes = {"PD": 2, "AB": 1, "LP": 1, "PY": 5}
    g = neuron_models.loc[["AB/PD 3", "AB/PD 3", "LP 1", "PY 5"]]
    matrix = [[0, 0, 3, 0], [0, 0, 4, 5], [6, 7, 0, 8], [9, 10, 11, 0]]
    frame = pd.DataFrame(matrix, list(sizes), list(sizes), dtype=float)
    mapping = {(pre, post): frame.loc[post, pre] for pre in sizes for post in sizes if frame.loc[post, pre]}
    shuffled = frame.loc[["PY", "LP", "AB", "PD"], ["AB", "PY", "PD", "LP"]]
    sparse = frame.loc[["LP"], ["AB"]]
    models = [Prinz2004(sizes, gs, g) for gs in (matrix, np.array(matrix), frame, shuffled, mapping)]
    assert all(described(m) == mapping for m in models)
    assert described(Prinz2004(sizes, sparse, g)) == {("AB", "LP"): 7}
    rng = np.random.default_rng(0)
    state = at(models[0], s=rng.uniform(0, 1, (9, 2)), V=rng.uniform(-70, 0, 9))
    slopes = [slope(m, state).V for m in models]
    for other in slopes[1:]:
        np.testing.assert_allclose(other, slopes[0], rtol=1e-12)


def test_the_lumped_cell_has_two_terminals() -> None:
    sizes, g = {"AB/PD": 1, "LP": 1}, neuron_models.loc[["AB/PD 2", "LP 4"]]
    mapping = {("AB", "LP"): 30, ("PD", "LP"): 20, ("LP", "AB/PD"): 10}
    frame = pd.DataFrame([[0, 0, 10], [30, 20, 0]], ["AB/PD", "LP"], ["AB", "PD", "LP"])
    by_mapping, by_frame = Prinz2004(sizes, mapping, g), Prinz2004(sizes, frame, g)
    assert described(by_mapping) == described(by_frame) == mapping
    assert [TRANSMITTERS[s.transmitter].name for s in by_mapping.circuit.synapses] == [
        "glutamate", "acetylcholine", "glutamate",
    ]  # fmt: skip


def test_two_lumped_cells_name_their_terminals() -> None:
    model = Prinz2004({"AB/PD 1": 1, "AB/PD 2": 1, "LP 1": 1}, {("AB/PD 2:PD", "LP 1"): 5})
    assert [end.label for end in model.terminals] == [
        "AB/PD 1:AB", "AB/PD 1:PD", "AB/PD 2:AB", "AB/PD 2:PD", "LP 1",
    ]  # fmt: skip
    assert model.circuit.synapses[0].pre == 1


def test_labels_name_cells_and_types() -> None:
    model = Prinz2004({"PD 1": 2, "AB 4": 1, "LP 2": 1, "PY 6": 5}, np.zeros((4, 4)))
    rows = neuron_models.loc[["AB/PD 1", "AB/PD 4", "LP 2", "PY 6"]]
    np.testing.assert_array_equal(model.params.g, rows)
    assert [p.type for p in model.circuit.populations] == ["PD", "AB", "LP", "PY"]
    other = Prinz2004(
        {"left": 1, "right": 2},
        {("left", "right"): 3},
        rows.iloc[2:],
        cell_types={"left": "PD", "right": "LP"},
    )
    assert [p.type for p in other.circuit.populations] == ["PD", "LP"]
    assert TRANSMITTERS[other.circuit.synapses[0].transmitter].name == "acetylcholine"
    assert list(other.cells) == [("left", 0), ("right", 0), ("right", 1)]


def test_columns_of_g_ion_may_come_in_any_order() -> None:
    g = neuron_models.loc[["LP 4"]]
    model = Prinz2004({"LP": 1}, {}, g[g.columns[::-1]])
    np.testing.assert_array_equal(model.params.g, g)


# --------------------------------------------------------------------------------- populations

SIZES = {"PD": 2, "AB": 1, "LP": 1, "PY": 3}
SYNAPSES = {
    ("AB", "LP"): 20, ("PD", "LP"): 10, ("LP", "PD"): 15, ("LP", "PY"): 5, ("PY", "LP"): 8, ("PY", "PY"): 6,
}  # fmt: skip
CELLS = {"PD": "AB/PD 2", "AB": "AB/PD 4", "LP": "LP 4", "PY": "PY 1"}


def ordered(labels: list[str]) -> tuple[Prinz2004, State]:
    """The circuit with its populations in some order, its cells in states of their own."""
    rng = np.random.default_rng(1)
    like = Prinz2004({"LP": 1}, {}, silent(1)).cold
    states = {x: State(*(rng.uniform(0.2, 0.8, y.shape) for y in like)) for x in SIZES}
    states = {x: y._replace(V=rng.uniform(-50, -30, 1)) for x, y in states.items()}
    model = Prinz2004({x: SIZES[x] for x in labels}, SYNAPSES, neuron_models.loc[[CELLS[x] for x in labels]])
    parts = [states[label] for label in labels for _ in range(SIZES[label])]
    return model, State(*(np.concatenate(x) for x in zip(*parts, strict=True)))


@pytest.mark.parametrize("solver", ["staggered", "exponential_euler"])
def test_populations_of_alike_cells_are_integrated_once(solver: str) -> None:
    """And that is what comes of integrating all cells, a hair apart."""
    model, start = ordered(list(SIZES))
    nudge = np.zeros(len(start.V))
    nudge[[1, 5]] = 1e-12
    t = np.arange(0, 60.5, 0.5)
    once = model(t, 0.5, start, solver=solver)
    every = model(t, 0.5, start._replace(V=start.V + nudge), solver=solver)
    assert (once.states.V[:, 0] == once.states.V[:, 1]).all()
    assert (every.states.V[1:, 0] != every.states.V[1:, 1]).any()
    assert (once.states.V.max(0) > 0).any()
    for a, b in zip(once.states, every.states, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)


def test_the_order_of_populations_does_not_matter() -> None:
    t = np.arange(0, 60.5, 0.5)
    runs = [model(t, 0.5, start) for model, start in (ordered(list(SIZES)), ordered(["PY", "AB", "LP", "PD"]))]
    for variable in ("V", "Ca", "s", "m", "h", "currents"):
        one, other = (getattr(run, variable) for run in runs)
        assert set(one.columns) == set(other.columns)
        np.testing.assert_allclose(one, other[one.columns], rtol=1e-8, atol=1e-12)


# ------------------------------------------------------------------------------ slow and fast


def test_all_gates_together_are_the_gates_one_by_one() -> None:
    circuit = Prinz2004({"LP": 1}, {}, silent(1)).circuit
    V = jnp.linspace(-120, 80, 401)
    Ca = jnp.geomspace(1e-3, 1e3, 401)
    fast = jax.jit(lambda V, Ca: list(kinetics(circuit, circuit.only, V, Ca)))(V, Ca)
    groups = (
        [x.gate(CONSTANTS) for x in TRANSMITTERS],
        [c.m for c in CHANNELS if c.m] + [c.h for c in CHANNELS if c.h],
    )
    for (inf, tau), gates in zip(fast, groups, strict=True):
        slow_inf, slow_tau = jax.jit(lambda V, Ca, gates=gates: steady_and_tau_plain(gates, V, Ca))(V, Ca)
        np.testing.assert_allclose(inf, slow_inf, rtol=1e-12)
        np.testing.assert_allclose(tau, np.maximum(slow_tau, CONSTANTS.τ_min), rtol=1e-12)


def as_functions(channel: Channel) -> Channel:
    """The channel with functions that nothing is known about in place of its curves."""

    def hidden(gate: Gate | None) -> Gate | None:
        return gate and Gate(lambda V: gate.inf(V), lambda V: gate.tau(V), gate.K)

    return channel._replace(m=hidden(channel.m), h=hidden(channel.h))


@pytest.mark.parametrize("hidden", [range(8), [0, 4]], ids=["all", "some"])
def test_channels_of_plain_functions_give_the_same_run(hidden: Any) -> None:
    channels = tuple(as_functions(c) if i in hidden else c for i, c in enumerate(CHANNELS))
    t = np.arange(0, 100.5, 0.5)
    curves = Prinz2004({"AB/PD 1": 1}, {})
    functions = Prinz2004({"AB/PD 1": 1}, {}, channels=channels)
    runs = [model(t, 0.5, model.cold) for model in (curves, functions)]
    assert runs[0].states.V.max() > 0
    for a, b in zip(*(run.states for run in runs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_channel_of_ones_own() -> None:
    """A second leak with another reversal potential: the cell settles between the two."""
    channels = (CHANNELS[-1], Channel("more", -70.0))
    model = Prinz2004({"LP": 1}, {}, [[0.1, 0.3]], channels=channels)
    run = model(np.arange(0, 201.0), state=model.cold)
    assert run.states.V[-1, 0] == pytest.approx(-65, abs=1e-6)  # (0.1 · −50 + 0.3 · −70)/0.4
    assert list(run.currents["LP", 0].columns) == ["leak", "more", "synaptic", "electrical"]


def test_curves_are_the_functions_they_are_written_as() -> None:
    V = jnp.linspace(-90, 40, 27)
    sigmoid = 1 / (1 + np.exp((np.asarray(V) + 40) / -7))
    other = 1 / (1 + np.exp((np.asarray(V) + 20) / 9))
    np.testing.assert_allclose(B(40, -7)(V), sigmoid, rtol=1e-13)
    np.testing.assert_allclose((3 - 2 * B(40, -7))(V), 3 - 2 * sigmoid, rtol=1e-13)
    product = 5 * B(40, -7) * (2 + B(20, 9))
    np.testing.assert_allclose(product(V), 5 * sigmoid * (2 + other), rtol=1e-13)
    np.testing.assert_allclose((2 * product)(V), 2 * product(V), rtol=1e-13)
    wanted = 1 / (np.exp((np.asarray(V) + 3) / 8) + np.exp((np.asarray(V) - 4) / -6))
    np.testing.assert_allclose(bell(3, 8, -4, -6)(V), wanted, rtol=1e-13)


PRODUCT = B(1, 2) * B(3, 4)


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: PRODUCT + 1,
        lambda: 1 - PRODUCT,
        lambda: PRODUCT * B(5, 6),
        lambda: B(5, 6) * PRODUCT,
        lambda: B(1, 2) * bell(1, 2, 3, 4),
        lambda: B(1, 2) + B(3, 4),
        lambda: 1 - B(1, 2) + B(3, 4),
    ],
)
def test_curves_refuse_what_they_cannot_be(misuse: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="function of V"):
        misuse()


# ------------------------------------------------------------------------------------- import


def test_importing_changes_no_setting_and_loads_nothing_heavy() -> None:
    """And a model computes in 64 bits all the same."""
    code = """
    import sys
    import jax, pandas
    before, loaded = dict(jax.config.values), set(sys.modules)
    import pyloric_simulator.prinz2004 as p
    heavy = ("holoviews", "bokeh", "diffrax", "equinox", "matplotlib", "pyarrow", "scipy", "tqdm", "typer")
    print([x for x in heavy if x in set(sys.modules) - loaded])
    model = p.Prinz2004({"LP 1": 1}, {})
    y = model([1.0], state=model.cold).states
    print([x.dtype.name for x in y], model.vector_field(0, model.flatten(model.cold)).dtype)
    print({k: (v, jax.config.values[k]) for k, v in before.items() if jax.config.values[k] != v})
    print(jax.numpy.zeros(1).dtype, before["jax_enable_x64"])
    """
    assert printed(code) == [
        "[]",
        f"{['float64'] * 5} float64",
        "{}",
        "float32 False",
    ]
