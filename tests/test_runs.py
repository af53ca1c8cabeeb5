"""Inputs, thermalized starts, and what a result offers."""

import json
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
from pyloric_simulator.engine import circuits, thermalization
from pyloric_simulator.engine.inputs import Sampled
from pyloric_simulator.files.store import ThermalizationStore
from pyloric_simulator.models import channels
from pyloric_simulator.prinz2004 import (
    CHANNELS,
    CONSTANTS,
    Channel,
    Gate,
    Prinz2004,
    State,
    derivative,
    dims,
    neuron_models,
)

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


# ---------------------------------------------------------------- input


def test_all_spellings_of_an_input_agree(paper: Prinz2004, start: State) -> None:
    def V(I: Any) -> np.ndarray:
        return paper(T, I, start).states.V

    constant = V([0, 0.2, 0])
    short = pd.DataFrame({("LP", 0): [0.2, 0.2]}, [50.0, 60.0])
    for I in ({"LP": 0.2}, {("LP", 0): 0.2}, pd.Series({"LP": 0.2}), np.tile([0, 0.2, 0], (len(T), 1)),
              pd.DataFrame({"LP": [0.2, 0.2]}, [0, 200]), Sampled(short, outside="hold"), lambda _: jnp.array([0, 0.2, 0])):  # fmt: skip
        np.testing.assert_allclose(V(I), constant, rtol=0, atol=1e-9)
    ramp = V(lambda t: 0.001 * t)
    np.testing.assert_allclose(V(0.001 * T), ramp, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        V(pd.DataFrame({p: [0.0, 0.2] for p in paper.labels}, [0, 200])), ramp, rtol=0, atol=1e-9
    )


def test_samples_hold_what_is_said_outside_of_them(paper: Prinz2004, start: State) -> None:
    """A pulse of 50 ms, given as samples of it alone, as the whole current and as a function."""
    t, on = np.arange(0, 201, 0.5), np.arange(50, 100.5, 0.5)
    pulse = pd.Series(-1.0, pd.Index(on, name="time"))
    whole = pd.Series(np.where((t >= 50) & (t <= 100), -1.0, 0.0), t)
    V = lambda I: paper(t, I, start, dt=0.25).states.V  # noqa: E731
    expected = V(lambda t: jnp.where((t >= 50) & (t <= 100), -1.0, 0.0))
    assert abs(expected - V(None)).max() > 1
    np.testing.assert_allclose(V(Sampled(pulse, outside=0)), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(V(Sampled(pulse.to_numpy(), times=on, outside=0)), expected, rtol=0, atol=1e-9)
    assert abs(V(whole) - expected).max() < 0.5  # which is linear between its samples, and so 0.5 ms longer
    np.testing.assert_allclose(V(Sampled(pulse, outside="hold")), V(-1.0), rtol=0, atol=1e-9)
    held = Sampled(pulse.set_axis(pd.to_timedelta(on, unit="ms")), outside=-1)
    np.testing.assert_allclose(V(held), V(-1.0), rtol=0, atol=1e-9)
    table = pd.DataFrame({"LP": np.full(len(on), -1.0)})
    np.testing.assert_allclose(V(Sampled(table, times=on, outside="hold")), V({"LP": -1.0}), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(V((t, whole.to_numpy())), V(whole))


def test_the_last_sample_stands_for_its_interval(paper: Prinz2004) -> None:
    """A recording at 1 kHz covers a run that is recorded more finely."""
    t = np.arange(0, 10, 0.25)
    I = pd.Series(0.1, np.arange(10.0))
    np.testing.assert_allclose(paper(t, I, paper.cold).states.V, paper(t, 0.1, paper.cold).states.V, rtol=0, atol=1e-9)


def test_samples_of_cells_in_another_order_go_by_their_labels(nine: Prinz2004) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(-0.1, 0.1, (2, 9)), [0.0, 50.0], nine.cells)
    t, shuffled = np.arange(0, 50.5, 0.5), frame.iloc[:, rng.permutation(9)]
    one, other = nine(t, frame, nine.cold), nine(t, shuffled, nine.cold)
    np.testing.assert_array_equal(one.states.V, other.states.V)
    assert len(set(one.states.V[-1])) == 9


# ---------------------------------------------------------------- what is recorded


@pytest.mark.parametrize(
    "t", [np.arange(0, 50, 0.5), np.sort(np.random.default_rng(1).uniform(0, 50, 60)), np.array([7.03])]
)
def test_a_run_may_record_the_potential_alone_and_goes_on(
    paper: Prinz2004, start: State, t: np.ndarray, tmp_path: Path
) -> None:
    whole, part = paper(t, state=start), paper(t, state=start, record=("V",))
    np.testing.assert_array_equal(part.states.V, whole.states.V)
    for a, b in zip(part.final_state, whole.final_state, strict=True):
        np.testing.assert_array_equal(a, b)
    assert part.spike_times().keys() == whole.spike_times().keys()
    part.to_csv(tmp_path / "r.csv")
    assert pd.read_csv(tmp_path / "r.csv", comment="#").shape == (len(t), 4)
    on = paper([t[-1], t[-1] + 5], state=part.final_state, t0=t[-1])
    np.testing.assert_array_equal(on.states.V, paper([t[-1], t[-1] + 5], state=whole.final_state, t0=t[-1]).states.V)
    for ask in (lambda: part.Ca, lambda: part.s, lambda: part.m, lambda: part.currents):
        with pytest.raises(ValueError, match=r"was not recorded.*record"):
            ask()


def test_a_part_of_a_run_without_all_variables_has_no_final_state(paper: Prinz2004, start: State) -> None:
    part = paper(np.arange(0, 20.0), state=start, record=["V", "Ca"])
    assert part[5:19].final_state.m.shape == start.m.shape
    assert part[0:10].Ca.shape == (11, 3)
    with pytest.raises(ValueError, match="not recorded"):
        part[0:10].final_state.m.sum()


def test_recording_the_potential_alone_takes_an_eighth_of_the_memory(nine: Prinz2004) -> None:
    size = lambda record: circuits.bytes_of(nine.params, nine.circuit, record, nine.dtype)  # noqa: E731
    assert size(("V",)) == 2 * 9 * 8
    assert size(None) == 15 * size(("V",))


# ---------------------------------------------------------------- thermalization


def test_a_thermalization_that_turns_non_finite_names_the_cell_and_the_time() -> None:
    slow = Gate(
        lambda V: jnp.where(V > -45, jnp.nan, 0.0), lambda V: 5 + 0 * V
    )  # which the check of gates sees; so it is told not to
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channels, "check_gate", lambda *_: None)
        model = Prinz2004({"LP 2": 1}, {}, channels=(*CHANNELS, Channel("X", -80, 1, slow)), ge=0)
    with pytest.raises(
        FloatingPointError, match=r"thermalization .* of cell \('LP 2', 0\) is not finite at t = \d+ ms; it was"
    ):
        model.get_thermalization(store=None)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many cells each run of isolated cells computes from now on."""
    counts: list[int] = []
    physics = prinz2004.Model.physics

    def counted(params: Any, *args: Any, **kwargs: Any) -> Any:
        counts.append(len(params.circuit.populations))
        return physics.integrate(params, *args, **kwargs)

    monkeypatch.setattr(prinz2004.Model, "physics", physics._replace(integrate=counted))
    return counts


def test_each_cell_is_thermalized_once_and_shared(
    tmp_path: Path, paper: Prinz2004, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = counting(monkeypatch)
    first = paper.get_thermalization(store=tmp_path)
    thermalization.open_store.cache_clear()  # as in a new process
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
    assert run.t[-1] == thermalization.THERMALIZATION
    for a, b in zip(run.final_state, start, strict=True):
        np.testing.assert_allclose(a[[0, 2]], b[[0, 2]], rtol=1e-6)


def test_the_start_is_a_state_of_isolated_cells(paper: Prinz2004, start: State) -> None:
    result = paper([0.0])
    for a, b in zip(result.final_state, start, strict=True):
        np.testing.assert_array_equal(a, b)


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
    slopes = jax.jit(jax.vmap(lambda y: derivative(nine.params, y)))(result.states)
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


def test_a_thermalized_cell_does_not_depend_on_its_company() -> None:
    """To the last bit: whoever computes a cell first, and with whichever others, puts the same state into the store."""
    names = ["AB/PD 1", "LP 1", "LP 4", "PY 1", "PY 5"]
    alone = [Prinz2004({name: 1}, {}, ge=0).thermalize().states for name in names]
    together = Prinz2004(dict.fromkeys(neuron_models.index, 1), {}, ge=0).thermalize().states
    for name, one in zip(names, alone, strict=True):
        i = list(neuron_models.index).index(name)
        for a, b in zip(one, together, strict=True):
            np.testing.assert_array_equal(a[:, 0], b[:, i])
