"""Signs and units by hand, populations, starts, gradients, and what a result offers."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pyloric_simulator import prinz2004
from pyloric_simulator.config import find_circuit
from pyloric_simulator.prinz2004 import (
    CHANNELS,
    CONSTANTS,
    Gate,
    Prinz2004,
    State,
    derivative,
    dims,
    kinetics,
    neuron_models,
    simulate,
    steady_and_tau_plain,
)
from pyloric_simulator.store import ThermalizationStore

T = np.arange(0, 201.0)
NINE = {"PD": 2, "AB": 1, "LP": 1, "PY": 5}
NINE_GS = [[0, 0, 3, 0], [0, 0, 3, 3], [3, 3, 0, 3], [3, 3, 3, 0]]
NINE_ROWS = neuron_models.loc[["AB/PD 3", "AB/PD 3", "LP 1", "PY 5"]]


@pytest.fixture(scope="module")
def paper() -> Prinz2004:
    return Prinz2004.from_toml(find_circuit("paper"))


@pytest.fixture(scope="module")
def start(paper: Prinz2004) -> State:
    return paper.get_thermalization()


@pytest.fixture(scope="module")
def nine() -> Prinz2004:
    return Prinz2004(NINE, NINE_GS, NINE_ROWS)


def state(model: Prinz2004, V: Any, s: float = 0.0, gate: float = 0.5, Ca: float = 1.0) -> State:
    """All gates at one value."""
    cold = model.cold
    return State(np.asarray(V, float), np.full_like(cold.Ca, Ca), cold.s + s, 0 * cold.m + gate, 0 * cold.h + gate)


# ---------------------------------------------------------------- signs and units


def test_each_current_by_hand() -> None:
    """ḡ = 1 mS/cm² on 0.628e-3 cm² is 0.628 µS; all gates 0.5, V = −40 mV, Ca = 1 µM."""
    model = Prinz2004({"X": 1}, {}, np.ones((1, 8)), cell_types={"X": "LP"})
    I = model.currents(State(*(x[None] for x in state(model, [-40.0]))))[0, 0]
    E_Ca = 12.2 * np.log(3000)  # mV
    by_hand = [
        0.628 * 0.5**4 * (-40 - 50),  # Na: m³h
        0.628 * 0.5**4 * (-40 - E_Ca),  # CaT
        0.628 * 0.5**4 * (-40 - E_Ca),  # CaS
        0.628 * 0.5**4 * (-40 + 80),  # A
        0.628 * 0.5**4 * (-40 + 80),  # KCa: m⁴
        0.628 * 0.5**4 * (-40 + 80),  # Kd: m⁴
        0.628 * 0.5 * (-40 + 20),  # H: m
        0.628 * (-40 + 50),  # leak
        0,  # no synapse
        0,  # no gap junction
    ]
    np.testing.assert_allclose(I, by_hand, rtol=1e-12)
    slope = model.derivative(0, state(model, [-40.0]))
    assert slope.V[0] == pytest.approx(-sum(by_hand) / 0.628, rel=1e-12)
    calcium = (-14.96 * (by_hand[1] + by_hand[2]) - 1 + 0.05) / 200
    assert slope.Ca[0] == pytest.approx(calcium, rel=1e-12)


def test_positive_input_depolarizes(paper: Prinz2004, start: State) -> None:
    with_input, without = (paper.derivative(0, start, I) for I in ({"LP": 0.3}, None))
    np.testing.assert_allclose(with_input.V - without.V, [0, 0.3 / CONSTANTS.C, 0], atol=1e-12)


@pytest.mark.parametrize(("terminal", "E"), [("AB", -70.0), ("PD", -80.0)])
def test_a_synapse_inhibits_by_its_absolute_conductance(terminal: str, E: float) -> None:
    """30 nS fully active at −40 mV: 0.03 µS × (−40 − E), whatever the area of the membrane."""
    model = Prinz2004({"AB/PD 1": 1, "LP 1": 1}, {(terminal, "LP 1"): 30})
    I = model.currents(State(*(x[None] for x in state(model, [0.0, -40.0], s=1.0))))[0]
    assert I[1, 8] == pytest.approx(0.03 * (-40 - E), rel=1e-12)
    assert I[0, 8] == 0


@pytest.mark.parametrize(("terminal", "E"), [("AB", -70.0), ("PD", -80.0)])
def test_LP_under_a_strong_synapse_is_pulled_to_its_reversal_potential(terminal: str, E: float) -> None:
    """The presynaptic cell is held depolarized by a strong input."""
    model = Prinz2004({"AB/PD 1": 1, "LP 1": 1}, {(terminal, "LP 1"): 3000})
    V = model(np.arange(0, 500.0), {"AB/PD 1": 30.0}).V["LP 1", 0]
    assert abs(V.iloc[-1] - E) < 2
    weak = Prinz2004({"AB/PD 1": 1, "LP 1": 1}, {(terminal, "LP 1"): 30})
    free = Prinz2004({"AB/PD 1": 1, "LP 1": 1}, {(terminal, "LP 1"): 0})
    held, alone = (m(np.arange(0, 500.0), {"AB/PD 1": 30.0}).V["LP 1", 0][200:].mean() for m in (weak, free))
    assert E < held < alone - 5


def test_synaptic_activation_follows_the_presynaptic_potential() -> None:
    """s∞(−35 mV) = 1/2, τ_s = (1 − s∞)/k₋: 20 ms for glutamate, 50 ms for acetylcholine."""
    model = Prinz2004({"AB/PD 1": 1}, {})
    slope = model.derivative(0, state(model, [-35.0]))
    np.testing.assert_allclose(slope.s[0], [0.5 / 20, 0.5 / 50], rtol=1e-12)


def test_gap_junctions_pull_together_and_cancel_in_sum() -> None:
    model = Prinz2004({"PD 1": 2, "AB 1": 1, "LP 1": 1}, {}, ge=7)
    V = np.array([-60.0, -50.0, -40.0, 0.0])
    I = model.currents(State(*(x[None] for x in state(model, V))))[0, :, 9]
    by_hand = [7e-3 * sum(V[i] - V[j] for j in range(3)) for i in range(3)]
    np.testing.assert_allclose(I, [*by_hand, 0], rtol=1e-12, atol=1e-15)
    assert I.sum() == pytest.approx(0, abs=1e-15)


def test_every_presynaptic_cell_counts_and_none_inhibits_itself() -> None:
    model = Prinz2004({"PY 1": 4, "LP 1": 1}, {("PY 1", "LP 1"): 2, ("PY 1", "PY 1"): 1})
    I = model.currents(State(*(x[None] for x in state(model, np.full(5, -40.0), s=1.0))))[0, :, 8]
    np.testing.assert_allclose(I, [3 * 1e-3 * 30] * 4 + [4 * 2e-3 * 30], rtol=1e-12)


# ---------------------------------------------------------------- kinetics


def test_all_gates_at_once_equal_one_after_the_other(paper: Prinz2004) -> None:
    V = np.linspace(-120, 80, 401)
    Ca = np.geomspace(0.01, 500, 401)
    for gates, fast in zip(kinetics(paper.circuit).groups, kinetics(paper.circuit)(V, Ca), strict=True):
        slow = steady_and_tau_plain(gates, V, Ca)
        np.testing.assert_allclose(fast[0], slow[0], rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(fast[1], np.maximum(slow[1], CONSTANTS.τ_min), rtol=1e-12)


def test_plain_functions_may_stand_for_curves(start: State, paper: Prinz2004) -> None:
    def plain(gate: Gate | None) -> Gate | None:
        if gate is None:
            return None
        inf, tau = gate.inf, gate.tau
        return Gate(lambda V: inf(V), lambda V: tau(V), gate.K)

    channels = tuple(c._replace(m=plain(c.m), h=plain(c.h)) for c in CHANNELS)
    gs = dict(zip(paper.synapses, paper.params.gs, strict=True))
    own = Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, gs, paper.params.g, channels=channels)
    t = np.arange(0, 21.0)
    np.testing.assert_allclose(own(t, state=start).V, paper(t, state=start).V, rtol=1e-9)


# ---------------------------------------------------------------- populations


def test_cells_that_are_alike_run_as_one(nine: Prinz2004) -> None:
    alike = nine.get_thermalization()
    V = alike.V.copy()
    V[-1] += 1e-11  # mV, so that all nine cells are integrated
    fast, slow = nine(T, state=alike), nine(T, state=alike._replace(V=V))
    np.testing.assert_allclose(fast.states.V, slow.states.V, rtol=0, atol=1e-7)
    assert fast.V.shape == (len(T), 9)


def test_the_order_of_populations_does_not_matter(nine: Prinz2004) -> None:
    order = ["PY", "LP", "PD", "AB"]
    gs = pd.DataFrame(NINE_GS, list(NINE), list(NINE)).loc[order, order]
    rows = pd.DataFrame(NINE_ROWS.to_numpy(), list(NINE), NINE_ROWS.columns).loc[order]
    other = Prinz2004({pop: NINE[pop] for pop in order}, gs.to_numpy(), rows)
    np.testing.assert_allclose(other(T).V[list(NINE)], nine(T).V, rtol=0, atol=1e-8)


def test_three_spellings_of_the_synapses(nine: Prinz2004) -> None:
    frame = pd.DataFrame(NINE_GS, list(NINE), list(NINE))
    pairs = {(pre, post): float(frame.loc[post, pre]) for post in NINE for pre in NINE if frame.loc[post, pre]}
    shuffled = frame.iloc[::-1, ::-1]
    for gs in (frame, shuffled, pairs):
        model = Prinz2004(NINE, gs, NINE_ROWS)
        assert dict(zip(model.synapses, model.params.gs, strict=True)) == pairs
    assert dict(zip(nine.synapses, nine.params.gs, strict=True)) == pairs


def test_labels_name_types_and_cells() -> None:
    model = Prinz2004({"PD 1": 2, "AB 2": 1, "LP 4": 1, "soma": 1}, {("soma", "LP 4"): 1},
                      neuron_models.loc[["AB/PD 1", "AB/PD 2", "LP 4", "PY 3"]], cell_types={"soma": "PY"})  # fmt: skip
    assert [p.type for p in model.circuit.populations] == ["PD", "AB", "LP", "PY"]
    named = Prinz2004({"PD 1": 2, "AB 2": 1}, np.zeros((2, 2)))
    np.testing.assert_array_equal(named.params.g, neuron_models.loc[["AB/PD 1", "AB/PD 2"]])


def test_two_lumped_cells_have_terminals_of_their_own() -> None:
    sizes = {"AB/PD 1": 1, "AB/PD 2": 1}
    model = Prinz2004(sizes, {("AB/PD 1:AB", "AB/PD 2"): 3, ("AB/PD 2:PD", "AB/PD 1"): 3})
    assert [e.label for e in model.terminals] == ["AB/PD 1:AB", "AB/PD 1:PD", "AB/PD 2:AB", "AB/PD 2:PD"]


def test_a_new_row_is_a_new_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    more = pd.concat([neuron_models, neuron_models.loc[["LP 1"]].set_axis(["LP 6"])])
    monkeypatch.setattr(Prinz2004, "models", more)
    np.testing.assert_array_equal(Prinz2004({"LP 6": 1}, {}).params.g, neuron_models.loc[["LP 1"]])


# ---------------------------------------------------------------- input


def test_all_spellings_of_an_input_agree(paper: Prinz2004, start: State) -> None:
    def V(I: Any) -> np.ndarray:
        return paper(T, I, start).states.V

    constant = V([0, 0.2, 0])
    for I in ({"LP": 0.2}, np.tile([0, 0.2, 0], (len(T), 1)), pd.DataFrame({"LP": [0.2, 0.2]}, [0, 1]),
              pd.DataFrame({("LP", 0): [0.2]}, [50.0]), lambda _: jnp.array([0, 0.2, 0])):  # fmt: skip
        np.testing.assert_allclose(V(I), constant, rtol=0, atol=1e-9)
    ramp = V(lambda t: 0.001 * t)
    np.testing.assert_allclose(V(0.001 * T), ramp, rtol=0, atol=1e-9)
    np.testing.assert_allclose(V(pd.DataFrame({p: [0.0, 0.2] for p in paper.labels}, [0, 200])), ramp, rtol=0, atol=1e-9)


# ---------------------------------------------------------------- thermalization


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many cells each run of isolated cells computes from now on."""
    counts: list[int] = []
    run = prinz2004.compiled_integrate

    def counted(params: Any, *args: Any, **kwargs: Any) -> Any:
        counts.append(len(params.circuit.populations))
        return run(params, *args, **kwargs)

    monkeypatch.setattr(prinz2004, "compiled_integrate", counted)
    return counts


def test_each_cell_is_thermalized_once_and_shared(tmp_path: Path, paper: Prinz2004, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counting(monkeypatch)
    first = paper.get_thermalization(store=tmp_path)
    prinz2004.open_store.cache_clear()  # as in a new process
    again = paper.get_thermalization(store=tmp_path)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    Prinz2004({"LP 4": 1, "PY 2": 1}, {}).get_thermalization(store=tmp_path)
    assert counts == [3, 1]
    assert len(ThermalizationStore(tmp_path).keys()) == 4
    assert Prinz2004.clear_thermalization_store(tmp_path) == 4
    assert ThermalizationStore(tmp_path).keys() == []


def test_a_change_of_physics_never_meets_an_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counting(monkeypatch)
    rows = neuron_models.loc[["LP 1"]]
    variants: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"constants": CONSTANTS._replace(γ=12.19)}, {}),
        ({"dtype": "float32"}, {}),
        ({"g_ion": rows * 1.0001}, {}),
        ({"channels": tuple(c._replace(E=51) if c.name == "Na" else c for c in CHANNELS)}, {}),
        ({}, {"dt": 0.1}),
        ({}, {"solver": "exponential_euler"}),
    ]
    for arguments, scheme in variants:
        model = Prinz2004({"LP": 1}, {}, **({"g_ion": rows} | arguments))
        model.get_thermalization(store=tmp_path, **scheme)
    assert counts == [1] * len(variants)


def test_the_thermalization_run_ends_in_the_thermalized_state(paper: Prinz2004, start: State) -> None:
    """PY 1 and AB/PD 2 to rounding; an isolated LP 4 is chaotic."""
    run = paper.thermalize()
    assert run.t[-1] == prinz2004.THERMALIZATION
    for a, b in zip(run.final_state, start, strict=True):
        np.testing.assert_allclose(a[[0, 2]], b[[0, 2]], rtol=1e-6)


def test_the_start_is_a_state_of_isolated_cells(paper: Prinz2004, start: State) -> None:
    result = paper([0.0])
    for a, b in zip(result.final_state, start, strict=True):
        np.testing.assert_array_equal(a, b)


# ---------------------------------------------------------------- the pure core


def functional(start: State) -> Callable[[Any], Any]:
    return lambda p, y=start, I=0.0: simulate(p, y, np.array([10.0, 35.0, 50.0]), I).V.sum()


def slopes(f: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    """Central differences, fourth order."""
    x = np.asarray(x, float)
    out = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = 3e-5 * max(abs(x[i]), 1)
        out[i] = (8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * e[i])
    return out


def test_gradients_equal_central_differences() -> None:
    model = Prinz2004({"AB": 1, "PD": 1, "LP": 1}, {("AB", "LP"): 30, ("PD", "LP"): 10, ("LP", "AB"): 20},
                      neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4"]])  # fmt: skip
    start = model.get_thermalization()
    f = functional(start)
    p = model.params
    gradient = jax.jit(jax.grad(f, argnums=(0, 1, 2)))(p, start, np.zeros(3))
    value = jax.jit(f)
    cases = [
        (gradient[0].gs, lambda x: value(p.replace(gs=x), start, np.zeros(3)), p.gs),
        (gradient[0].ge, lambda x: value(p.replace(ge=x), start, np.zeros(3)), p.ge),
        (gradient[0].g[:, :6], lambda x: value(p.replace(g=np.hstack([x, p.g[:, 6:]])), start, np.zeros(3)), p.g[:, :6]),
        (gradient[1].V, lambda x: value(p, start._replace(V=x), np.zeros(3)), start.V),
        (gradient[2], lambda x: value(p, start, x), np.zeros(3)),
    ]
    for exact, g, x in cases:
        np.testing.assert_allclose(exact, slopes(g, x), rtol=1e-5, atol=1e-7 * float(np.abs(exact).max()))


def test_forward_and_reverse_mode_agree(paper: Prinz2004, start: State) -> None:
    f = functional(start)
    direction = jax.tree.map(np.ones_like, paper.params)
    forward = jax.jit(lambda p: jax.jvp(f, (p,), (direction,))[1])(paper.params)
    gradient = jax.jit(jax.grad(f))(paper.params)
    assert float(forward) == pytest.approx(float(sum(x.sum() for x in jax.tree.leaves(gradient))), rel=1e-9)


def test_zero_conductances_have_finite_gradients(paper: Prinz2004) -> None:
    nothing = jax.tree.map(np.zeros_like, paper.params)
    gradient = jax.jit(jax.grad(functional(paper.cold)))(nothing)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradient))


def test_vmap_is_a_loop_and_jit_changes_nothing(paper: Prinz2004, start: State) -> None:
    t = np.arange(0, 21.0)
    many = np.linspace(0.5, 1.5, 3)[:, None] * paper.params.gs
    run = lambda gs: simulate(paper.params.replace(gs=gs), start, t).V  # noqa: E731
    together, single = jax.jit(jax.vmap(run))(many), jax.jit(run)
    for i, gs in enumerate(many):
        np.testing.assert_allclose(together[i], single(gs), rtol=1e-11)
    np.testing.assert_allclose(run(many[1]), single(many[1]), rtol=1e-11)
    np.testing.assert_allclose(paper(t, state=start).states.V, single(paper.params.gs), rtol=1e-11)


def test_float32_runs_in_float32(paper: Prinz2004, start: State) -> None:
    t = np.arange(0, 51.0)
    single = Prinz2004.from_toml(find_circuit("paper"), dtype="float32")
    result = single(t, state=start)
    assert all(x.dtype == np.float32 for x in result.states)
    np.testing.assert_allclose(result.V, paper(t, state=start).V, atol=0.05)


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("solver", ["staggered", "exponential_euler"])
@pytest.mark.parametrize("I", [None, lambda t: 0.1 * jnp.sin(t / 20)])
def test_a_run_can_be_continued_without_a_seam(paper: Prinz2004, start: State, solver: str, I: Any) -> None:
    whole = paper(T, I, start, solver=solver)
    first = paper(T[:101], I, start, solver=solver)
    second = paper(T[100:], I, first.final_state, solver=solver, t0=T[100])
    for a, b in zip(second.states, whole.states, strict=True):
        np.testing.assert_allclose(a, b[100:], rtol=1e-12, atol=1e-13)


def test_times_off_the_grid_are_interpolated(paper: Prinz2004, start: State) -> None:
    t = np.sort(np.random.default_rng(0).uniform(0, 60, 200))
    dense = paper(np.arange(0, 60.1, 0.05), state=start)
    result = paper(t, state=start)
    for c in range(3):
        np.testing.assert_allclose(result.states.V[:, c], np.interp(t, dense.t, dense.states.V[:, c]), atol=1e-9)
    assert paper([0.013], state=start).V.shape == (1, 3)


def test_tables(nine: Prinz2004) -> None:
    result = nine(T)
    assert result.V.columns.names == ["pop", "index"]
    assert result.V.index.name == "time"
    assert list(result.V["PY"].columns) == [0, 1, 2, 3, 4]
    assert list(result.m.columns.levels[2].sort_values()) == sorted(c.name for c in CHANNELS if c.m)
    assert list(result.h["LP"][0].columns) == [c.name for c in CHANNELS if c.h]
    assert list(result.currents["AB"][0].columns) == [*(c.name for c in CHANNELS), "synaptic", "electrical"]
    assert result.s.shape == (len(T), 9)
    part = result[50:100]
    assert (part.t[0], part.t[-1]) == (50, 100)
    pd.testing.assert_frame_equal(part.Ca, result.Ca.loc[50:100])


def test_lumped_cells_show_both_terminals(paper: Prinz2004, start: State) -> None:
    assert list(paper(T, state=start).s.columns) == [("AB", 0), ("PD", 0), ("LP", 0), ("PY", 0)]


def test_currents_balance(nine: Prinz2004) -> None:
    result = nine(T)
    slopes = jax.vmap(lambda y: derivative(nine.params, y))(jax.tree.map(jnp.asarray, result.states))
    total = result.currents.T.groupby(level=["pop", "index"], sort=False).sum().T
    np.testing.assert_allclose(-total.to_numpy() / CONSTANTS.C, slopes.V, rtol=1e-9, atol=1e-9)


def test_spike_times_are_the_local_maxima(paper: Prinz2004, start: State) -> None:
    result = paper(np.arange(0, 1500, 0.1), state=start)
    V = result.V["AB/PD", 0]
    spikes = result.spike_times()["AB/PD", 0]
    assert len(spikes) > 10
    for x in spikes:
        around = V.loc[x - 0.15 : x + 0.15]
        assert around.idxmax() == x
        assert around.max() > -10


def test_files_carry_their_units(paper: Prinz2004, start: State, tmp_path: Path) -> None:
    result = paper(T, state=start)
    result.to_csv(tmp_path / "r.csv")
    read = pd.read_csv(tmp_path / "r.csv", comment="#", index_col="time")
    np.testing.assert_allclose(read["V LP 0"], result.V["LP", 0], rtol=1e-12)
    about = (tmp_path / "r.csv").read_text(encoding="utf-8").splitlines()[1]
    assert json.loads(about.removeprefix("# units: "))["Ca LP 0"] == "µM"
    result.to_parquet(tmp_path / "r.parquet", ["V", "currents"])
    table = pq.read_table(tmp_path / "r.parquet")
    assert table.schema.field("currents LP 0 CaS").metadata[b"unit"] == b"nA"
    assert json.loads(table.schema.metadata[b"circuit"])["gs (nS)"][0] == ["AB", "LP", 30.0]
    np.testing.assert_array_equal(table["V LP 0"].to_numpy(), result.V["LP", 0])


@pytest.mark.parametrize("backend", ["bokeh", "matplotlib"])
def test_plot(paper: Prinz2004, start: State, backend: str) -> None:
    hv.extension(backend)
    assert hv.render(paper(T, state=start).plot(), backend=backend) is not None
    assert dims.V.unit == "mV"


def test_circuit_files_round_trip(nine: Prinz2004, tmp_path: Path) -> None:
    nine.to_toml(tmp_path / "nine.toml")
    again = Prinz2004.from_toml(tmp_path / "nine.toml")
    assert again.circuit == nine.circuit
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(nine.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_importing_changes_no_setting_and_loads_nothing_heavy() -> None:
    code = """
import sys, jax
settings = lambda: {k: getattr(jax.config, k) for k in dir(jax.config) if k.startswith("jax_")}
before = settings()
import pyloric_simulator.prinz2004, pyloric_simulator.rhythm
assert len(before) > 20 and before == settings()
print([m for m in ("holoviews", "diffrax", "matplotlib", "pyarrow.parquet", "bokeh") if m in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
