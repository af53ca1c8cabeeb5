"""Recordings from elsewhere: a grid of rhythms that were made, in all forms, and what must not be taken for another thing."""

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator import cli
from pyloric_simulator.config import find_circuit
from pyloric_simulator.files.recording import as_recording, left_out, pieces, read_recording
from pyloric_simulator.fitting.losses import calcium_mismatch, criteria_mismatch, recording_of, rhythm_mismatch
from pyloric_simulator.lab.voltage_clamp import voltage_clamp
from pyloric_simulator.models.channels import HodgkinHuxley1952
from pyloric_simulator.models.networks import Cell
from pyloric_simulator.prinz2004 import Prinz2004
from pyloric_simulator.rhythm import CRITERIA, features, report, summary

# ---------------------------------------------------------------- rhythms that were made

DURATION = 12_000.0  # ms
SPIKE_SD, HEIGHT = 0.7, 80.0  # ms, mV, of a Gaussian
SPIKES = {"PD": (0.0, 0.385, 14), "LP": (0.52, 0.27, 11), "PY": (0.75, 0.35, 8)}  # phase, duty cycle, spikes of a burst


class Case(NamedTuple):
    """One recording of the grid."""

    sampling: float  # ms
    noise: float  # mV, s.d.
    offset: float  # mV
    drift: float  # mV, over the whole
    gap: tuple[float, float] | None  # ms, left out
    unit: str  # of the potentials
    axis: str  # of the times
    period: float  # ms


def trains(period: float) -> dict[str, np.ndarray]:
    """Spike times (ms) of the three cells."""
    cycles = 300 + period * np.arange(int((DURATION - 300) / period) + 1)
    made = {
        cell: (cycles[:, None] + period * (φ + duty * np.linspace(0, 1, n))).ravel()
        for cell, (φ, duty, n) in SPIKES.items()
    }
    return {cell: x[x < DURATION - 5] for cell, x in made.items()}


def trace(t: np.ndarray, spikes: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Potentials (mV) at times t (ms): a level, and a Gaussian for each spike."""
    V = level.copy()
    for x in spikes:
        k = slice(*np.searchsorted(t, (x - 5, x + 5)))
        V[k] += HEIGHT * np.exp(-(((t[k] - x) / SPIKE_SD) ** 2) / 2)
    return V


def potentials(c: Case, seed: int) -> pd.DataFrame:
    """Potentials in mV, index in ms: spikes on a slow wave, with noise, offset, drift and gap."""
    rng, t = np.random.default_rng(seed), np.arange(0, DURATION, c.sampling)
    V = {}
    for cell, x in trains(c.period).items():
        φ, duty, _ = SPIKES[cell]
        wave = -52 + 8 * np.cos(2 * np.pi * ((t - 300) / c.period - φ - duty / 2))
        V[cell] = trace(t, x, wave + c.offset + c.drift * t / DURATION) + rng.normal(0, c.noise, len(t))
    whole = pd.DataFrame(V, index=t)
    return whole if c.gap is None else whole[(t < c.gap[0]) | (t >= c.gap[1])]


NIGHT = pd.Timestamp("2024-10-27 00:59:55", tz="UTC").tz_convert(
    "Europe/Berlin"
)  # its hour from two to three comes twice
UNITS = {"mV": 1.0, "V": 1e-3, "µV": 1e3}
AXES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "ms": lambda V: V,
    "a column in s": lambda V: V.set_axis(V.index / 1e3).rename_axis("time (s)").reset_index(),
    "durations": lambda V: V.set_axis(pd.to_timedelta(V.index, unit="ms")),
    "dates": lambda V: V.set_axis(NIGHT + pd.to_timedelta(V.index, unit="ms")),
    "s, unsaid": lambda V: V.set_axis(V.index / 1e3),
}


def grid() -> list[Case]:
    """Sixty cases; each value of each axis comes often, and with many others."""
    rng = np.random.default_rng(10)
    of = lambda values: [values[i] for i in rng.permutation(np.resize(np.arange(len(values)), 60))]  # noqa: E731
    gaps = (None, None, (5000.0, 6700.0), (2050.0, 2350.0), (7003.0, 7010.0))
    columns = (
        of((0.05, 0.1, 0.2, 0.5, 1.0)), of((0.0, 0.5, 1.0, 2.0)), of((0.0, 10.0, -10.0)), of((0.0, 6.0, -6.0)), of(gaps),
        of(("mV", "mV", "mV", "mV", "V", "µV")), of(("ms", "a column in s", "durations", "dates", "s, unsaid")),
        of((1200.0, 1500.0, 1777.0)),
    )  # fmt: skip
    return [Case(*values) for values in zip(*columns, strict=True)]


def expected(c: Case) -> pd.Series:
    """The features of the trains that the recording was made of."""
    return features(trains(c.period), (0.0, DURATION))


def right(found: Mapping[str, float], truth: Mapping[str, float], period: float) -> None:
    """All features are right to 1%; those that may be near 0 to 1% of the cycle."""
    for criterion in CRITERIA:
        name = criterion.name
        scale = period if criterion.unit == "ms" else 1.0
        near = scale if name.startswith(("gap", "phase_gap")) else abs(truth[name])
        assert abs(found[name] - truth[name]) <= 0.01 * near, f"{name}: {found[name]} for {truth[name]}"


@pytest.mark.parametrize("number", range(60))
def test_a_made_rhythm_is_measured_or_refused(number: int) -> None:
    c = grid()[number]
    data = potentials(c, number) * UNITS[c.unit]
    data = AXES[c.axis](data)
    if c.unit != "mV" or c.axis == "s, unsaid":
        with pytest.raises(ValueError, match=r"multiply it by (1000|0\.001)"):
            features(data)
        return
    found = features(data)
    assert set(found.attrs["why"].values()) == {""}
    right(found, expected(c), c.period)
    table, window = summary(data), as_recording(data).window
    np.testing.assert_allclose(table["period (ms)"], c.period, rtol=0.002)
    assert window[1] - window[0] == pytest.approx(DURATION - c.sampling, rel=1e-6)


def test_the_grid_has_all_kinds() -> None:
    cases = grid()
    assert len(cases) == 60
    measured = [c for c in cases if c.unit == "mV" and c.axis != "s, unsaid"]
    assert len(measured) >= 30
    for field, values in (
        ("sampling", 5),
        ("noise", 4),
        ("offset", 3),
        ("drift", 3),
        ("gap", 4),
        ("axis", 4),
        ("period", 3),
    ):
        assert len({getattr(c, field) for c in measured}) == values
    assert sum(c.gap is not None for c in measured) >= 15
    assert {c.unit for c in cases} == set(UNITS)


# ---------------------------------------------------------------- time axes

T = np.arange(2000, 6000, 0.5)  # ms
WAVE = pd.DataFrame({"PD": -50 + 20 * np.sin(T / 100), "LP": -40 + 9 * np.cos(T / 70)}, index=T)


def of_times(index: Any, name: Any = None) -> np.ndarray:
    """The times (ms) that are read from an index."""
    t = as_recording(WAVE.set_axis(pd.Index(index, name=name))).t
    assert t is not None
    return t


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "America/Los_Angeles"])
def test_dates_count_from_the_first_whatever_their_resolution(unit: str, zone: str | None) -> None:
    step = pd.Timedelta(1, unit) if unit in ("s", "ms") else pd.Timedelta(0.5, "ms")
    index = pd.date_range(
        "2024-10-27 00:59:58", periods=2000, freq=step, tz=zone, unit=unit
    )  # a night with two hours of two
    t = as_recording(pd.DataFrame({"PD": WAVE["PD"].to_numpy()[:2000]}, index=index)).t if unit != "s" else None
    if t is not None:
        np.testing.assert_allclose(t, np.arange(2000) * step / pd.Timedelta(1, "ms"), rtol=0, atol=1e-9)


def test_durations_are_what_they_say() -> None:
    for unit in ("ns", "us"):
        np.testing.assert_allclose(of_times(pd.to_timedelta(T, unit="ms").as_unit(unit)), T, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "form", ["time ({})", "Time [{}]", "t_{}", "t/{}", "TIME, {}", "elapsed time ({})", "t {}", "Times({})"]
)
@pytest.mark.parametrize(
    ("unit", "ms"), [("s", 1e3), ("ms", 1.0), ("us", 1e-3), ("µs", 1e-3), ("sec", 1e3), ("msec", 1.0)]
)
def test_a_name_with_a_unit_tells_the_times(form: str, unit: str, ms: float) -> None:
    name = form.format(unit)
    np.testing.assert_allclose(of_times(T / ms, name), T, rtol=1e-12)
    for rows in (WAVE.reset_index(drop=True), WAVE.set_axis(np.arange(len(T)) + 7)):
        found = as_recording(rows.assign(**{name: T / ms}))
        np.testing.assert_allclose(found.t, T, rtol=1e-12)
        assert found.cells == ("PD", "LP")


def test_a_column_of_durations_or_dates_tells_the_times() -> None:
    for values in (
        pd.to_timedelta(T, unit="ms"),
        pd.Timestamp("2024", tz="Asia/Tokyo") + pd.to_timedelta(T - 2000, unit="ms"),
    ):
        found = as_recording(WAVE.reset_index(drop=True).assign(t=values))
        assert found.t is not None
        np.testing.assert_allclose(found.t - found.t[0], T - 2000, rtol=0, atol=1e-9)


def test_numbers_of_ms_stay_as_they_are() -> None:
    for index in (T, T.astype(np.float32), pd.Index(T, dtype=object), np.arange(len(T)) * 2):
        np.testing.assert_array_equal(of_times(index), np.asarray(index, float))
    np.testing.assert_array_equal(of_times(np.arange(len(T)), "time"), np.arange(len(T)))


@pytest.mark.parametrize("dtype", [np.float32, "Float64", object, int])
def test_potentials_of_any_type_of_numbers_are_read(dtype: Any) -> None:
    found = as_recording(WAVE.round().astype(dtype))
    assert found.V is not None
    np.testing.assert_allclose(found.V["LP"], WAVE["LP"].round(), rtol=1e-6)


def test_extracellular_and_other_small_or_shifted_potentials_are_no_mistake() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.05, len(T))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for V in (
            noise,
            8 * noise,
            0.2 * np.sin(T) + noise,
            -10 + 90 * (noise > 0.1),
            0 * T,
            0 * T - 65,
            40 + 9 * np.sin(T / 50),
        ):
            assert len(as_recording(pd.DataFrame({"PD": V}, index=T)).cells) == 1


def test_a_cell_at_rest_is_no_hole_that_was_filled() -> None:
    """Without noise a cell that fires, and is then at rest, may be constant to the last bit."""
    tonic = np.where(T < 4500, -40 + 60 * np.sin(T) ** 9, -60.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_recording(pd.DataFrame({"PD": tonic}, index=T)).cells == ("PD",)


# ---------------------------------------------------------------- gaps


def test_parts_that_were_left_out_make_pieces() -> None:
    found = as_recording(WAVE[(T < 3000) | (T >= 3400)])
    assert found.pieces.tolist() == [[2000, 2999.5], [3400, 5999.5]]
    assert left_out(found) == "1 gap of 400.5 ms in all (2999.5 to 3400 ms)"
    assert as_recording(found, (2500, 3200)).pieces.tolist() == [[2500, 2999.5]]
    assert as_recording(found, (3100, 6000)).pieces.tolist() == [[3400, 6000]]
    assert left_out(as_recording(WAVE)) == ""


def test_rows_without_numbers_can_be_left_out_as_the_message_says() -> None:
    V = WAVE.copy()
    V.loc[3000.0:3400.0, "LP"] = np.nan
    V.loc[5990.0:, "PD"] = np.inf
    with pytest.raises(ValueError, match=r"np.isfinite\(V\).all\(axis=1\)"):
        as_recording(V)
    assert as_recording(V[np.isfinite(V).all(axis=1)]).pieces.tolist() == [[2000, 2999.5], [3400.5, 5989.5]]


def steps(*parts: tuple[float, int]) -> np.ndarray:
    """Times (ms) with intervals of a length, so often each."""
    return np.cumsum([0.0, *(d for d, n in parts for _ in range(n))])


@pytest.mark.parametrize(
    ("t", "n"),
    [
        (steps((0.05, 400), (0.1, 1), (0.05, 400)), 1),  # a lost sample
        (steps((1.0, 400), (2.0, 1), (1.0, 400)), 1),
        (steps((1.0, 400), (4.0, 1), (1.0, 400)), 2),
        (steps((0.05, 400), (20.0, 1), (0.05, 400)), 2),
        (steps((0.05, 1), (20.0, 1), (0.05, 400)), 2),  # near an end
        (steps((0.05, 400), (20.0, 1), (0.05, 1)), 2),
        (steps((0.05, 400), (20.0, 1), (0.05, 3), (20.0, 1), (0.05, 400)), 3),
        (steps((0.05, 400), (5.0, 100), (0.05, 400)), 1),  # two rates
        (steps((5.0, 100), (0.05, 400)), 1),
        (steps((5.0, 50), (300.0, 1), (5.0, 50)), 2),
        (np.cumsum(np.random.default_rng(0).uniform(0.1, 1.9, 1000)), 1),  # jitter
        (np.cumsum(np.random.default_rng(0).exponential(0.1, 10000)), 1),
        (np.array([3.0]), 1),
        (np.array([3.0, 400.0]), 1),  # two samples have no usual interval
    ],
)
def test_only_what_could_hide_a_spike_is_a_gap(t: np.ndarray, n: int) -> None:
    found = pieces(t)
    assert len(found) == n
    assert found[0, 0] == t[0]
    assert found[-1, 1] == t[-1]


def test_a_cycle_over_a_gap_is_not_counted() -> None:
    """Of a regular rhythm of 1500 ms, rows from 5.0 to 6.7 s are missing."""
    c = Case(0.1, 0.0, 0.0, 0.0, (5000.0, 6700.0), "mV", "ms", 1500.0)
    data = potentials(c, 0)
    table = summary(data)
    np.testing.assert_allclose(table["period (ms)"], 1500, atol=0.1)
    right(features(data), expected(c), 1500)
    whole = summary(potentials(c._replace(gap=None), 0))
    assert (table["spikes"] < whole["spikes"]).all()
    np.testing.assert_allclose(table["phase"], whole["phase"], atol=1e-3)


# ---------------------------------------------------------------- files


@pytest.fixture(scope="module")
def run() -> Any:
    """The paper's circuit, six seconds."""
    return Prinz2004.from_toml(find_circuit("paper"))(np.arange(0, 6000, 0.25))[1000:]


READERS: dict[str, Callable[[Path], Any]] = {
    "a path": lambda path: path,
    "text": str,
    "pandas": lambda path: pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, comment="#"),
    "pandas, by index": lambda path: (
        pd.read_parquet(path).set_index("time")
        if path.suffix == ".parquet"
        else pd.read_csv(path, comment="#", index_col="time")
    ),
    "the package": read_recording,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_own_files_are_read_as_the_run_they_are_of(run: Any, tmp_path: Path, reader: str, suffix: str) -> None:
    path = tmp_path / f"run.{suffix}"
    getattr(run, f"to_{suffix}")(path)
    found = as_recording(READERS[reader](path))
    assert found.cells == ("AB/PD 0", "LP 0", "PY 0")
    assert found.window == (1000.0, 5999.75)
    table, own = summary(READERS[reader](path)), summary(run)
    np.testing.assert_allclose(
        table.drop(columns="activity").astype(float), own.drop(columns="activity").astype(float), rtol=1e-12
    )
    pd.testing.assert_frame_equal(report(READERS[reader](path)), report(run))


def test_a_table_of_a_result_keeps_its_times_as_a_column(run: Any) -> None:
    pd.testing.assert_frame_equal(report(run.V.reset_index()), report(run))


def test_labels_with_the_sign_of_comments_are_read_in_own_files(tmp_path: Path) -> None:
    model = Prinz2004({"LP #2": 1}, {}, cell_types={"LP #2": "LP"}, g_ion=[[100, 0, 8, 40, 5, 75, 0.05, 0.02]])
    result = model(np.arange(0, 50, 0.5), state=model.cold)
    result.to_csv(tmp_path / "run.csv")
    found = as_recording(tmp_path / "run.csv")
    assert found.cells == ("LP #2 0",)
    np.testing.assert_array_equal(found.V["LP #2 0"], result.states.V[:, 0])


FORMS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "rows and a column with its unit": lambda V, path: (
        V.set_axis(V.index / 1e3).rename_axis("time (s)").reset_index().to_csv(path)
    ),
    "a column with its unit": lambda V, path: V.set_axis(V.index / 1e3).rename_axis("Time [s]").to_csv(path),
    "the unit in the last column": lambda V, path: V.assign(t_us=V.index * 1e3).to_csv(path, index=False),
    "durations": lambda V, path: V.set_axis(pd.to_timedelta(V.index, unit="ms")).to_parquet(
        path.with_suffix(".parquet")
    ),
    "comments": lambda V, path: (
        path.write_text(f"# of a crab\n{V.iloc[:9].to_csv()}# a pulse\n{V.iloc[9:].to_csv(header=False)}") and None
    ),
    "no name": lambda V, path: V.rename_axis(None).to_csv(path),
    "compressed": lambda V, path: V.to_csv(path.with_suffix(".csv.gz")),
}


def test_a_label_may_have_the_sign_of_comments(tmp_path: Path) -> None:
    WAVE.rename_axis("time").set_axis(["PD #1", "LP #2"], axis=1).to_csv(tmp_path / "x.csv")
    found = read_recording(tmp_path / "x.csv")
    assert list(found) == ["PD #1", "LP #2"]
    np.testing.assert_array_equal(found, WAVE)


@pytest.mark.parametrize("form", FORMS)
def test_files_of_others_are_read(tmp_path: Path, form: str) -> None:
    FORMS[form](WAVE.rename_axis("time"), tmp_path / "x.csv")
    (path,) = tmp_path.iterdir()
    found = read_recording(path)
    np.testing.assert_allclose(found.index, T, rtol=1e-12)
    np.testing.assert_array_equal(found, WAVE)
    assert list(found) == ["PD", "LP"]


# ---------------------------------------------------------------- results


def test_cells_that_spike_by_a_rule_bring_their_spikes() -> None:
    from pyloric_simulator.models.lif import LIF

    result = LIF(2)(np.arange(0, 500, 0.1), I_ext=[0.0, 1.0])
    found = as_recording(result)
    assert found.V is None
    assert found.trains is not None
    assert [len(x) for x in found.trains.values()] == [len(x) for x in result.spike_times().values()]
    assert summary(result)["spikes"].tolist() == [len(x) for x in result.spike_times().values()]


def test_a_recording_is_taken_as_it_is_in_another_window() -> None:
    found = as_recording(WAVE, (2500, 5000))
    assert as_recording(found) is found
    assert as_recording(found, (2000, 6000)).window == (2000, 6000)
    assert as_recording(found, [np.int64(3000), np.array(4000.0)]).window == (3000, 4000)


# ---------------------------------------------------------------- labels of recordings to be fitted


@pytest.fixture(scope="module")
def paper() -> Prinz2004:
    return Prinz2004.from_toml(find_circuit("paper"))


def test_columns_are_told_by_their_labels(paper: Prinz2004, tmp_path: Path) -> None:
    t = np.arange(0, 40, 0.5)
    result = paper(t, state=paper.cold)
    V = result.V
    result.to_csv(tmp_path / "x.csv")
    names = ["AB/PD", "LP", "PY"]
    forms = [
        result, V, V[[("PY", 0), ("AB/PD", 0), ("LP", 0)]], V.set_axis(names, axis=1)[["PY", "LP", "AB/PD"]],
        V.set_axis([f"V {x} 0" for x in names], axis=1).iloc[:, ::-1], V.set_axis(["AB/PD", ("LP", 0), "PY 0"], axis=1).iloc[:, [2, 0, 1]],
        (t, V.to_numpy()), (t, V[[("PY", 0), ("LP", 0), ("AB/PD", 0)]]), (list(t), V.to_numpy().tolist()),
        pd.DataFrame(V.to_numpy(), index=t),
        V.set_axis(pd.to_timedelta(t, unit="ms")).iloc[:, [1, 0, 2]], tmp_path / "x.csv", str(tmp_path / "x.csv"),
    ]  # fmt: skip
    for data in forms:
        found = recording_of(data, paper)
        np.testing.assert_allclose(found.t, t, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(found.V, result.states.V)


def test_cells_of_a_population_are_told_by_their_numbers() -> None:
    model = Prinz2004({"LP": 2, "LP 1": 1}, {}, Prinz2004.from_toml(find_circuit("paper")).params.g[[1, 1]])
    t, V = np.arange(0, 10, 0.5), np.arange(60.0).reshape(20, 3) - 60
    frame = pd.DataFrame(V, index=t, columns=pd.MultiIndex.from_tuples([("LP 1", 0), ("LP", 1), ("LP", 0)]))
    np.testing.assert_array_equal(recording_of(frame, model).V, V[:, ::-1])
    with pytest.raises(ValueError, match=r"'LP 1' means two cells, \('LP', 1\) and \('LP 1', 0\)"):
        recording_of(frame.set_axis(["LP 1", "LP 0", "LP 1 0"], axis=1), model)


def test_one_cell_needs_no_label() -> None:
    one = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
    t, V = np.arange(0, 10, 0.5), np.linspace(-60, -50, 20)
    for data in ((t, V), pd.DataFrame({"V": V}, index=t), (t, pd.Series(V)), pd.DataFrame({"AB/PD 2": V}, index=t)):
        np.testing.assert_array_equal(recording_of(data, one).V[:, 0], V)


@pytest.mark.slow
def test_cells_of_losses_are_named_or_numbered(paper: Prinz2004) -> None:
    t, wanted = np.arange(0, 300, 0.5), dict(period=200, duty_cycle=0.3)
    loss = lambda cell: float(jax.jit(rhythm_mismatch(paper, t, cell=cell, state=paper.cold, **wanted))(paper.params))  # noqa: E731
    assert loss(1) == loss("LP") == loss(("LP", 0)) == loss(np.int64(1)) == loss(-2)
    by = lambda roles: float(jax.jit(criteria_mismatch(paper, t, roles=roles, state=paper.cold))(paper.params))  # noqa: E731
    assert by((0, 1, 2)) == by(["AB/PD", "LP", ("PY", 0)])
    calcium = lambda target: float(jax.jit(calcium_mismatch(paper, target, t, state=paper.cold))(paper.params))  # noqa: E731
    assert (
        calcium([1.0, 2.0, 3.0]) == calcium({"PY": 3.0, "AB/PD": 1.0, "LP": 2.0}) == calcium(jnp.array([1.0, 2.0, 3.0]))
    )


# ---------------------------------------------------------------- recordings that drive


def test_a_command_has_its_times_in_any_form() -> None:
    axon = Cell(
        [HodgkinHuxley1952.Na(120), HodgkinHuxley1952.K(36), HodgkinHuxley1952.leak(0.3)], V=-65, temperature=6.3
    )
    t, times = np.arange(0, 20, 0.5), np.arange(0, 21, 0.1)
    V = -60 + 20 * np.sin(times / 3)
    own = voltage_clamp(axon, t, pd.Series(V, times)).clamp
    for command in (
        (times, V), (list(times), V), (jnp.asarray(times), jnp.asarray(V)), pd.Series(V, pd.to_timedelta(times, unit="ms")),
        pd.Series(V, pd.Index(times / 1e3, name="time (s)")), pd.Series(V, pd.Timestamp("2024") + pd.to_timedelta(times, unit="ms")),
    ):  # fmt: skip
        np.testing.assert_allclose(voltage_clamp(axon, t, command).clamp, own, rtol=1e-6)


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """`pyloric rhythm` of a table in a file: status, standard output and standard error."""

    def run(data: pd.DataFrame, *options: str, name: str = "x.csv", **write: Any) -> tuple[int, str, str]:
        getattr(data, "to_parquet" if name.endswith("parquet") else "to_csv")(tmp_path / name, **write)
        with warnings.catch_warnings(), pytest.raises(SystemExit) as done:
            cli.main(["rhythm", str(tmp_path / name), *options])
        return int(done.value.code or 0), *capsys.readouterr()

    return run


def test_the_command_counts_no_cycle_over_a_gap_and_says_so(command: Any) -> None:
    data = potentials(Case(0.2, 0.0, 0.0, 0.0, (5000.0, 6700.0), "mV", "ms", 1500.0), 0)
    status, text, err = command(data.rename_axis("time"))
    assert (status, err) == (0, "")
    assert re.search(r"^cycle_period +1500\.000 ", text, re.MULTILINE)
    assert "The recording has 1 gap of 1700.2 ms in all (4999.8 to 6700 ms)" in text


@pytest.mark.parametrize(
    "number", [n for n, c in enumerate(grid()) if c.unit == "mV" and c.axis == "a column in s" and c.sampling >= 0.2]
)
def test_the_command_and_python_read_a_file_to_the_same_numbers(command: Any, tmp_path: Path, number: int) -> None:
    c = grid()[number]
    status, text, err = command(AXES[c.axis](potentials(c, number)), index=False)
    assert (status, err) == (0, "")
    for name, value in features(tmp_path / "x.csv").items():
        assert re.search(rf"^{name} +{value:.3f} ", text, re.MULTILINE)
    right(features(tmp_path / "x.csv"), expected(c), c.period)


@pytest.mark.parametrize("axis", ["durations", "dates"])
def test_the_command_reads_times_of_parquet(command: Any, axis: str) -> None:
    data = AXES[axis](potentials(Case(0.5, 0.5, 0.0, 0.0, None, "mV", axis, 1500.0), 1))
    status, text, err = command(data, name="x.parquet")
    assert (status, err) == (0, "")
    assert re.search(r"^cycle_period +(1499\.9|1500\.[01])", text, re.MULTILINE)


def test_the_command_says_which_part_it_describes(command: Any) -> None:
    data = potentials(Case(0.5, 0.0, 0.0, 0.0, None, "mV", "ms", 1500.0), 0)
    assert "From 3000 to 11999.5 ms, of a recording from 0 ms." in command(data, "--start", "3000")[1]
    assert "From" not in command(data)[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda V: V * 1e-3, "in V, multiply it by 1000"),
        (lambda V: V.set_axis(V.index / 1e3), "in s, multiply it by 1000"),
        (lambda V: V.reset_index(drop=True), "counts rows"),
        (lambda V: V.reset_index().rename(columns={"index": "time"}), "counts rows"),
        (lambda V: V.assign(LP=V["LP"].where(V.index > 9)), "nan at 0 ms"),
    ],
)
def test_the_command_refuses_in_one_line(command: Any, change: Any, reason: str) -> None:
    status, text, err = command(change(potentials(Case(0.5, 0.0, 0.0, 0.0, None, "mV", "ms", 1500.0), 0)))
    assert (status, text) == (2, "")
    assert re.fullmatch(r"Error: [^\n]+\n", err)
    assert reason in err
