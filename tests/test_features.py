"""Spikes, the fifteen features and the verdict: trains and traces whose answers follow from how they were made."""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine.detection import Detection
from pyloric_simulator.plotting import raster
from pyloric_simulator.prinz2004 import Prinz2004, State
from pyloric_simulator.rhythm import (
    CRITERIA,
    FEATURES,
    MAX_CV,
    MAX_PERIOD_CV,
    bursts,
    features,
    is_pyloric,
    is_pyloric_like,
    report,
    spikes,
    statistics,
    summary,
)

WINDOW = (0.0, 12_000.0)  # ms
PERIOD = 1500.0  # ms
STARTS = 1000 + PERIOD * np.arange(7)  # ms, of the bursts of PD
Train = np.ndarray


def burst_train(starts: Sequence[float] | Train, delay: float, duration: float, n: int) -> Train:
    """A burst of n equally distant spikes a delay after each start, all in ms."""
    return (np.asarray(starts)[:, None] + delay + np.linspace(0, duration, n)).ravel()


def made(starts: Any = STARTS, *, PD: float = 600, LP: Any = (800, 400), PY: Any = (1125, 525)) -> dict[str, Train]:  # fmt: skip
    """Trains of the three cells: duration of PD, delay and duration of LP and of PY, in ms."""
    return {
        "PD": burst_train(starts, 0, PD, 13),
        "LP": burst_train(starts, *LP, 11),
        "PY": burst_train(starts, *PY, 6),
    }


BY_HAND = {
    "cycle_period": 1500,
    "burst_duration_PD": 600,
    "burst_duration_LP": 400,
    "burst_duration_PY": 525,
    "gap_PDend_LPstart": 800 - 600,
    "gap_LPend_PYstart": 1125 - (800 + 400),
    "delay_PDstart_LPstart": 800,
    "delay_PDstart_PYstart": 1125,
    "duty_cycle_PD": 0.4,
    "duty_cycle_LP": 4 / 15,
    "duty_cycle_PY": 0.35,
    "phase_gap_PD_LP": 2 / 15,
    "phase_gap_LP_PY": -0.05,
    "phase_LPstart": 8 / 15,
    "phase_PYstart": 0.75,
}
OWN = {"PD": ("burst_duration_LP", "burst_duration_PY")}  # what is defined without a cell, if not told by names


def taking(cell: str) -> set[str]:
    """The features that cannot be taken without a cell."""
    return set(FEATURES) - set(OWN[cell]) if cell in OWN else {name for name in FEATURES if cell in name}


def check_undefined(found: pd.Series, names: set[str], reason: str) -> None:
    """The named features, and no others, are NaN for this reason; the others are as they were made."""
    assert {name: why for name, why in found.attrs["why"].items() if why} == dict.fromkeys(names, reason)
    assert set(found.index[found.isna()]) == names
    rest = found.dropna()
    np.testing.assert_allclose(rest, [BY_HAND[name] for name in rest.index], rtol=0, atol=1e-9)


# ---------------------------------------------------------------- criteria


def test_criteria_are_those_of_the_paper() -> None:
    table = {c.name: c[3:] for c in CRITERIA}
    assert len(table) == len(CRITERIA) == 15
    assert table["cycle_period"] == (1509, 279, 952, 2067)
    assert table["gap_LPend_PYstart"] == (-61, 60, -181, 59)
    assert table["phase_PYstart"] == (0.758, 0.06, 0.638, 0.877)
    assert all(c.unit == ("1" if c.name.startswith(("duty", "phase")) else "ms") for c in CRITERIA)


@pytest.mark.parametrize("criterion", CRITERIA, ids=FEATURES)
def test_ranges_are_about_two_standard_deviations_around_the_mean(criterion: Any) -> None:
    c = criterion
    assert c.low < c.mean < c.high
    assert 1 < (c.high - c.low) / (2 * c.sd) < 2.2


# ---------------------------------------------------------------- a rhythm that was made


def test_features_are_those_the_trains_were_made_of() -> None:
    found = features(made(), WINDOW)
    assert list(found.index) == list(FEATURES) == list(BY_HAND)
    check_undefined(found, set(), "")
    assert found.attrs["period CV"] == 0


def test_made_rhythm_is_pyloric() -> None:
    assert is_pyloric_like(made(), WINDOW) is True
    assert is_pyloric(made(), WINDOW) is True


def test_report_says_the_same() -> None:
    table, found = report(made(), WINDOW), features(made(), WINDOW)
    np.testing.assert_array_equal(table["value"], found)
    assert table["low"].tolist() == [c.low for c in CRITERIA]
    assert table["high"].tolist() == [c.high for c in CRITERIA]
    assert table["passes"].all()
    assert set(table["why"]) == {""}
    assert table.attrs == {"period CV": 0.0, "pyloric_like": True, "pyloric": True}


def test_one_failed_criterion_leaves_a_rhythm_pyloric_like() -> None:
    short = made(PD=400)  # 4/15 of the cycle
    assert is_pyloric_like(short, WINDOW)
    assert not is_pyloric(short, WINDOW)
    table = report(short, WINDOW)
    assert table.index[~table["passes"]].tolist() == ["duty_cycle_PD"]
    assert (table.attrs["pyloric_like"], table.attrs["pyloric"]) == (True, False)


@pytest.mark.parametrize(
    "changed",
    [dict(LP=(500, 400)), dict(PY=(750, 525)), dict(PY=(900, 210))],
    ids=["LP before PD ends", "PY before LP", "PY ends before LP"],
)
def test_wrong_order_is_not_pyloric_like(changed: Any) -> None:
    trains = made(**changed)
    assert features(trains, WINDOW).notna().all()
    for verdict in (is_pyloric_like, is_pyloric):
        assert not verdict(trains, WINDOW)
        assert not verdict(trains, WINDOW, max_cv=np.inf)


# ---------------------------------------------------------------- what cannot be taken


@pytest.mark.parametrize("cell", ["PD", "LP", "PY"])
@pytest.mark.parametrize(
    ("train", "reason"),
    [
        (np.empty(0), "silent"),
        (np.arange(10, 12_000, 50.0), "no bursts"),  # tonic
        (burst_train(STARTS, 800, 20, 2), "no bursts"),  # quick doublets
        (STARTS, "no bursts"),  # single spikes
    ],
    ids=["silent", "tonic", "doublets", "single"],
)
def test_cell_without_bursts(cell: str, train: Train, reason: str) -> None:
    trains = made() | {cell: train}
    check_undefined(features(trains, WINDOW), taking(cell), reason)
    assert not is_pyloric_like(trains, WINDOW, max_cv=np.inf)
    assert not is_pyloric(trains, WINDOW, max_cv=np.inf)
    table = report(trains, WINDOW)
    assert not table["passes"][sorted(taking(cell))].any()
    assert set(table["why"][sorted(taking(cell))]) == {reason}


def test_silence_of_one_cell_goes_before_the_bursts_of_another() -> None:
    trains = made() | {"LP": np.empty(0), "PY": np.arange(10, 12_000, 50.0)}
    why = features(trains, WINDOW).attrs["why"]
    assert why["gap_LPend_PYstart"] == why["duty_cycle_LP"] == "silent"
    assert why["duty_cycle_PY"] == "no bursts"


@pytest.mark.parametrize("cell", ["LP", "PY"])
def test_missing_burst_is_not_triphasic(cell: str) -> None:
    trains = made()
    trains[cell] = np.delete(trains[cell], np.arange(len(trains[cell])).reshape(len(STARTS), -1)[3])
    check_undefined(features(trains, WINDOW), taking(cell) - {f"burst_duration_{cell}"}, "not triphasic")
    assert not is_pyloric_like(trains, WINDOW, max_cv=np.inf)


def test_second_burst_in_a_cycle_is_not_triphasic() -> None:
    trains = made()
    trains["LP"] = np.sort(np.append(trains["LP"], STARTS[2] + np.linspace(100, 500, 5)))
    check_undefined(features(trains, WINDOW), taking("LP") - {"burst_duration_LP"}, "not triphasic")


def test_one_burst_of_the_pacemaker_has_a_duration_and_no_cycle() -> None:
    found = features(made(STARTS[:1]), WINDOW)
    check_undefined(found, {n for n in FEATURES if "burst_duration" not in n}, "no bursts")


@pytest.mark.parametrize("window", [None, WINDOW])
def test_nothing_raises_on_empty_trains(window: Any) -> None:
    empty: dict[str, list[float]] = {"PD": [], "LP": [], "PY": []}
    assert set(features(empty, window).attrs["why"].values()) == {"silent"}
    assert not is_pyloric_like(empty, window, max_cv=np.inf)
    assert not is_pyloric(empty, window)
    assert not report(empty, window)["passes"].any()


# ---------------------------------------------------------------- edges of the window


def test_bursts_cut_by_the_window_do_not_change_the_features() -> None:
    for start in np.arange(900, 900 + PERIOD, 35):
        for length in (5000, 5730):
            check_undefined(features(made(), (start, start + length)), set(), "")


def test_burst_of_which_the_window_shows_a_single_spike_does_not_change_the_features() -> None:
    late = made(PY=(1490, 525))  # PY begins 10 ms before the next cycle
    expected = features(late, WINDOW)
    for end in np.arange(7000, 7000 + PERIOD, 20):
        found = features(late, (0.0, end))
        assert set(found.attrs["why"].values()) == {""}, f"the window ends at {end} ms"
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


# ---------------------------------------------------------------- irregular periods


IRREGULAR = np.array([1000.0, 2200, 3900])  # ms, cycles of 1200 and 1700 ms


def test_features_are_means_over_cycles() -> None:
    found = features(made(IRREGULAR), WINDOW)
    assert found["cycle_period"] == pytest.approx(1450, abs=1e-9)
    assert found["duty_cycle_PD"] == pytest.approx((600 / 1200 + 600 / 1700) / 2, abs=1e-9)
    assert found["phase_gap_LP_PY"] == pytest.approx((-75 / 1200 - 75 / 1700) / 2, abs=1e-9)
    assert found["phase_PYstart"] == pytest.approx((1125 / 1200 + 1125 / 1700) / 2, abs=1e-9)
    assert found.attrs["period CV"] == pytest.approx(250 / 1450, rel=1e-6)


def test_irregular_period_is_refused_unless_any_is_allowed() -> None:
    trains = made(IRREGULAR)
    assert report(trains, WINDOW)["passes"].all()
    for verdict in (is_pyloric_like, is_pyloric):
        assert not verdict(trains, WINDOW)
        assert not verdict(trains, WINDOW, max_cv=0.17)
        assert verdict(trains, WINDOW, max_cv=0.18)
        assert verdict(trains, WINDOW, max_cv=np.inf)


@pytest.mark.parametrize(("cv", "periodic"), [(0.99 * MAX_PERIOD_CV, True), (1.01 * MAX_PERIOD_CV, False)])
def test_period_may_vary_by_two_per_cent(cv: float, periodic: bool) -> None:
    starts = 1000 + np.append(0, np.cumsum(PERIOD * (1 + cv * np.array([1, -1, 1, -1, -1, 1]))))
    assert features(made(starts), WINDOW).attrs["period CV"] == pytest.approx(cv, rel=1e-6)
    assert is_pyloric(made(starts), WINDOW) is periodic


def test_one_cycle_is_periodic_only_if_nothing_is_asked() -> None:
    trains = made(STARTS[:2])
    assert np.isnan(features(trains, WINDOW).attrs["period CV"])
    assert not is_pyloric_like(trains, WINDOW)
    assert is_pyloric(trains, WINDOW, max_cv=np.inf)


# ---------------------------------------------------------------- who plays what, and from what


def potentials(trains: dict[str, Train], t: Train) -> pd.DataFrame:
    """Potentials (mV) at times t (ms) with a spike of one sample at each spike time."""
    V = {cell: np.where(np.isin(t, x), 20.0, -50.0) for cell, x in trains.items()}
    return pd.DataFrame(V, index=t)


def test_potentials_give_the_features_of_their_spikes() -> None:
    trains, t = made(), np.arange(0, 12_000, 0.5)
    trains["LP"] = np.round(trains["LP"])  # on samples, as the others are
    trains = {cell: x[x < t[-1]] for cell, x in trains.items()}
    window = (0.0, float(t[-1]))
    found = features(potentials(trains, t))
    pd.testing.assert_series_equal(found, features(trains, window), rtol=0, atol=1e-9)
    assert found.attrs["why"] == dict.fromkeys(FEATURES, "")
    assert is_pyloric(potentials(trains, t))


def test_cells_can_be_named() -> None:
    trains = made()
    renamed = {"c": trains["PY"], "a": trains["PD"], "b": trains["LP"]}
    cells = {"PD": "a", "LP": "b", "PY": "c"}
    pd.testing.assert_series_equal(features(renamed, WINDOW, cells=cells), features(trains, WINDOW))
    pd.testing.assert_frame_equal(report(renamed, WINDOW, cells=cells), report(trains, WINDOW))
    assert is_pyloric(renamed, WINDOW, cells=cells)
    assert not is_pyloric_like(renamed, WINDOW, cells=cells | {"LP": "c", "PY": "b"})


@pytest.mark.parametrize("label", ["PD", "PD 2", "AB/PD", "AB", ("AB/PD", 0)])
def test_labels_tell_who_is_the_pacemaker(label: Any) -> None:
    trains: dict[Any, Train] = made()
    trains[label] = trains.pop("PD")
    check_undefined(features(trains, WINDOW), set(), "")


def test_the_first_cell_of_a_type_plays_its_part_and_pd_goes_before_ab() -> None:
    trains = {"AB 1": np.empty(0), **made(), "PD 2": np.empty(0), "LP 2": np.empty(0)}
    check_undefined(features(trains, WINDOW), set(), "")


@pytest.mark.parametrize("role", ["PD", "LP", "PY"])
@pytest.mark.parametrize("function", [features, is_pyloric_like, is_pyloric, report])
def test_missing_role_is_refused(role: str, function: Any) -> None:
    trains = made()
    with pytest.raises(ValueError, match=f"no cell plays {role}"):
        function({cell: x for cell, x in trains.items() if cell != role}, WINDOW)
    with pytest.raises(ValueError, match=f"no cell plays {role}"):
        function(trains, WINDOW, cells={"PD": "PD", "LP": "LP", "PY": "PY", role: "other"})


# ---------------------------------------------------------------- two rhythms of one circuit


@pytest.fixture(scope="module", params=[("staggered", 0.05), ("exponential_euler", 0.025)], ids=["default", "paper"])
def joined(request: pytest.FixtureRequest) -> Any:
    """The circuit of the paper from a start, which a function of its thermalization may choose; after 2 s, with a scheme."""
    circuit = Prinz2004.from_toml(find_circuit("paper"))
    scheme = dict(zip(("solver", "dt"), request.param, strict=True))
    t = np.arange(0, 8000, 0.1)
    return lambda start: circuit(t, state=start(circuit, scheme), **scheme)[2000:]


def cold_without_h(circuit: Prinz2004, scheme: dict[str, Any]) -> State:  # noqa: ARG001
    return circuit.cold._replace(h=0 * circuit.cold.h)


def late_in_the_burst(circuit: Prinz2004, scheme: dict[str, Any]) -> State:
    """The isolated cells 150 ms before the end of the pacemaker's last burst."""
    alone = circuit.thermalize(**scheme)
    end = bursts(alone.spike_times()["AB/PD", 0])[-1, 1]
    return alone[: end - 150].final_state


def test_thermalized_circuit_is_triphasic(joined: Any) -> None:
    run = joined(lambda circuit, scheme: circuit.get_thermalization(**scheme))
    assert list(summary(run)["activity"]) == ["bursting"] * 3
    assert is_pyloric_like(run, max_cv=MAX_CV)


@pytest.mark.parametrize(("start", "rate"), [(cold_without_h, 1.9), (late_in_the_burst, 18)])
def test_lp_silences_the_same_circuit_from_other_starts(joined: Any, start: Any, rate: float) -> None:
    run = joined(start)
    table = summary(run)
    assert list(table["activity"]) == ["silent", "tonic", "silent"]
    assert table["spikes"].tolist() == [0, pytest.approx(6 * rate, rel=0.1), 0]
    assert not is_pyloric_like(run, max_cv=np.inf)
    assert set(report(run)["why"]) == {"silent", "no bursts"}
    assert run.V["AB/PD"].to_numpy().max() < -55


# ---------------------------------------------------------------- pictures


def boxes(picture: Any) -> list[tuple[float, float]]:
    """Start and end of each box of a raster, in ms."""
    return [tuple(x) for x in picture.Rectangles.I.array([0, 2])]


def test_raster_boxes_the_bursts_that_begin_in_the_window() -> None:
    hv.extension("bokeh")
    trains = made() | {"LP": np.arange(10, 12_000, 50.0), "PY": np.empty(0)}  # LP tonic, PY silent
    start, end = STARTS[1] + 300, STARTS[3] + 300  # ms, within bursts of PD
    picture = raster(trains, (start, end))
    last = trains["PD"][trains["PD"] <= end][-1]
    assert boxes(picture) == [(STARTS[2], STARTS[2] + 600), (STARTS[3], last)]


# ---------------------------------------------------------------- spikes


@pytest.mark.parametrize("top", [5.0, 5.01, 5.2, 5.249, 5.3])
@pytest.mark.parametrize("dt", [0.5, 0.1, 0.025])
def test_top_of_a_parabola_is_found_between_samples(top: float, dt: float) -> None:
    t = np.arange(0, 10, dt)
    np.testing.assert_allclose(spikes(t, 20 - 3 * (t - top) ** 2), [top], rtol=0, atol=1e-9)


def test_maxima_below_the_threshold_and_at_the_ends_do_not_count() -> None:
    t = np.arange(7.0)
    V = np.array([20, -50, -11, -50, -9, -50, 20])
    assert spikes(t, V).tolist() == [4]
    assert spikes(t, V, threshold=-12).tolist() == [2, 4]
    assert spikes(t[:2], V[:2]).tolist() == []


def test_crossings_of_ramps_are_exact() -> None:
    t = np.array([0, 1, 2.5, 4, 5, 7, 9.5, 10])
    V = np.interp(t, [0, 4, 7, 10], [-30, 10, -50, 70])  # 10, -20 and 40 mV/ms
    np.testing.assert_allclose(spikes(t, V, kind="crossings"), [2, 8], rtol=0, atol=1e-12)
    np.testing.assert_allclose(spikes(t, V, kind="crossings", threshold=0), [3, 8.25], rtol=0, atol=1e-12)


def test_within_the_refractory_time_the_first_spike_counts() -> None:
    t = np.arange(0, 60) / 10
    V = np.where(np.isin(np.arange(60), [10, 16, 22, 40]), 20.0, -50.0)
    np.testing.assert_allclose(spikes(t, V), [1, 2.2, 4], atol=1e-12)  # 2.2 is 1.2 ms after the last that counts
    np.testing.assert_allclose(spikes(t, V, refractory=0.5), [1, 1.6, 2.2, 4], atol=1e-12)
    np.testing.assert_allclose(spikes(t, V, refractory=1.5), [1, 4], atol=1e-12)
    np.testing.assert_allclose(spikes(t, V, kind="crossings"), np.array([1, 2.2, 4]) - 3 / 70, atol=1e-12)


@pytest.mark.parametrize(
    ("t", "V", "kind", "rule"),
    [
        ([0, 1, 2], [0, 1, 0], "peaks", "must be one of"),
        ([0, 1, 1], [0, 1, 0], "maxima", "must increase"),
        ([0, 2, 1], [0, 1, 0], "crossings", "must increase"),
        ([0, np.nan, 1], [0, 1, 0], "maxima", "must increase"),
        ([0, 1], [0, 1, 0], "maxima", "must be"),
        ([[0, 1], [2, 3]], [[0, 1], [1, 0]], "maxima", "must be"),
        ([0, 1, 2], [0, np.nan, 0], "maxima", "must be finite"),
        ([0, 1, 2], [0, np.inf, 0], "crossings", "must be finite"),
    ],
)
def test_bad_recordings_are_refused(t: Any, V: Any, kind: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        spikes(t, V, kind=kind)


# ---------------------------------------------------------------- statistics


def test_statistics_of_known_traces() -> None:
    V = pd.DataFrame(
        {
            "two spikes": [-60, -20, 20, -20, -60, -60, 0, -60],
            "two levels": [-60, -20] * 4,
            "a quarter": [-60, -60, -60, -20] * 2,  # of the time at the upper level
            "rest": [-60] * 8,
        },
        index=2.0 * np.arange(8),
    )
    table = statistics(V)
    heights = [10, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(table["spike height (mV)"], heights)
    np.testing.assert_allclose(table["plateau (ms)"], [4, 0, 0, 0])
    np.testing.assert_allclose(table["mean V (mV)"], [-32.5, -40, -50, -60])
    np.testing.assert_allclose(table["sd V (mV)"][1:], [20, np.sqrt(300), 0])
    np.testing.assert_allclose(table["skewness"][1:], [0, 2 / np.sqrt(3), np.nan], atol=1e-12)
    np.testing.assert_allclose(table["kurtosis"][1:], [-2, -2 / 3, np.nan])


def test_statistics_take_the_same_spikes_and_leave_gaps_out() -> None:
    t = np.arange(0, 400, 0.05)
    clean = -60 + 90 * sum(np.exp(-(((t - x) / 1.0) ** 2)) for x in (50, 120, 300, 350))
    V = pd.DataFrame({"a": clean + np.random.default_rng(0).normal(0, 1, len(t)), "b": 0.2 * clean - 30}, index=t)
    table = statistics(V, detection=Detection(threshold=-35))
    np.testing.assert_allclose(table["spike height (mV)"], [30, -24], rtol=0, atol=0.05)
    whole, cut = statistics(V), statistics(V[(t < 100) | (t > 250)])
    assert cut.loc["a", "mean V (mV)"] > whole.loc["a", "mean V (mV)"]
    assert cut.loc["b", "plateau (ms)"] == pytest.approx(whole.loc["b", "plateau (ms)"], abs=1e-9)


# ---------------------------------------------------------------- spikes in noise, and between uneven samples

MOMENTS = 50.0 * np.arange(1, 101) + np.random.default_rng(3).uniform(-1, 1, 100)  # ms
CLOCK = np.arange(0, 5100, 0.05)  # ms, 20 kHz


def spiking(width: float, skew: float = 0.0) -> Train:
    """Potentials (mV) with spikes of 90 mV and a width (s.d., ms), skewed to the right, at the moments."""
    x = CLOCK[:, None] - MOMENTS
    shape = np.exp(-((x / (width * (1 + skew * np.tanh(x)))) ** 2) / 2)
    return -60 + 90 * shape.sum(1)


@pytest.mark.parametrize("kind", ["maxima", "crossings"])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(("width", "skew"), [(0.4, 0.0), (1.0, 0.0), (1.5, 0.0), (0.8, 0.4)])
def test_a_hundred_spikes_in_noise_are_a_hundred(width: float, skew: float, noise: float, kind: str) -> None:
    clean = spiking(width, skew)
    expected = spikes(CLOCK, clean, kind=kind)
    assert len(expected) == 100
    for seed in range(3):
        found = spikes(CLOCK, clean + np.random.default_rng(seed).normal(0, noise, len(CLOCK)), kind=kind)
        assert len(found) == 100
        assert abs(found - expected).max() < 0.1


@pytest.mark.parametrize("kind", ["maxima", "crossings"])
@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("every", [0.02, 0.05, 0.1, 0.5, 1.0])
def test_a_potential_that_hovers_at_the_threshold_has_no_spikes(every: float, noise: float, kind: str) -> None:
    t = np.arange(0, 3000, every)
    hover = -10 + np.random.default_rng(5).normal(0, noise, len(t))
    assert len(spikes(t, hover, kind=kind)) == 0
    step = np.where((t > 1000) & (t < 2000), hover, hover - 50)  # out of rest, and back
    assert len(spikes(t, step, kind=kind)) == 0
    assert summary(pd.DataFrame({"PD": hover}, index=t + 0.5))["activity"].tolist() == ["silent"]


def test_of_a_cluster_the_highest_counts() -> None:
    t = np.arange(0, 60) / 10
    V = np.full(60, -50.0)
    V[[10, 16, 40, 45]] = 20, 30, 30, 20
    np.testing.assert_allclose(spikes(t, V), [1.6, 4], atol=1e-12)


def test_a_spike_stands_out_on_both_sides() -> None:
    t = np.arange(0, 400, 0.1)
    shoulder = (
        -60 + 80 * np.exp(-(((t - 100) / 3) ** 2)) + 4 * np.exp(-(((t - 101.5) / 0.1) ** 2))
    )  # a bump on the way down
    plateau = np.where((t > 50) & (t < 350), 0.0, -60.0) + np.exp(-(((t - 200) / 2) ** 2))
    assert len(spikes(t, shoulder)) == 1
    assert len(spikes(t, plateau)) == 0
    assert len(spikes(t, shoulder, prominence=0.1)) == 2
    assert len(spikes(t, 20 * np.sin(t / 2))) == len(spikes(t, 20 * np.sin(t / 2), prominence=39)) == 32
    assert len(spikes(t, 20 * np.sin(t / 2), prominence=41)) == 0


def test_the_top_between_uneven_samples_is_that_of_the_parabola_through_them() -> None:
    assert spikes([0, 10, 10.1, 12], [-9, 20, 19.9, -20]) == pytest.approx(8.7551282, abs=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(50):
        top, t = rng.uniform(4, 6), np.cumsum(rng.uniform(0.02, 0.4, 60))
        np.testing.assert_allclose(spikes(t, 20 - 3 * (t - top) ** 2), [top], rtol=0, atol=1e-9)


@pytest.mark.parametrize("t", [np.arange(0, 5000, 0.1), 1e6 + np.arange(50_000) * 0.1, np.linspace(0, 5000, 50_001)])
def test_on_even_samples_the_top_is_the_usual_one_to_the_last_bit(t: Train) -> None:
    x = t - t[0]
    V = -60 + 90 * np.exp(-(((x % 37.7 - 18) / 1.1) ** 2))
    a, b, c = V[:-2], V[1:-1], V[2:]
    i = 1 + np.flatnonzero((b > -10) & (b > a) & (b >= c))
    expected = t[i] + (t[i + 1] - t[i - 1]) * (V[i - 1] - V[i + 1]) / (V[i - 1] - 2 * V[i] + V[i + 1]) / 4
    np.testing.assert_array_equal(spikes(t, V), expected)


# ---------------------------------------------------------------- order of the cycles


def partly(wrong: int) -> dict[str, Train]:
    """Six cycles, in the last ones of which LP starts before PD has ended."""
    LP = (
        np.concatenate([burst_train(STARTS[:-wrong], 800, 400, 11), burst_train(STARTS[-wrong:], 500, 400, 11)])
        if wrong
        else made()["LP"]
    )
    return made() | {"LP": LP}


@pytest.mark.parametrize(("wrong", "share"), [(0, 1.0), (2, 5 / 6), (3, 4 / 6), (7, 0.0)])
def test_a_share_of_the_cycles_may_be_asked_to_be_in_order(wrong: int, share: float) -> None:
    """The last of the seven bursts of PD begins no cycle."""
    trains = partly(wrong)
    assert features(trains, WINDOW).attrs["cycles in order"] == pytest.approx(share)
    for order in (0.5, 0.7, 1.0):
        assert is_pyloric_like(trains, WINDOW, order=order) is (share >= order)
        table = report(trains, WINDOW, order=order)
        assert table.attrs["pyloric_like"] is (share >= order)
        assert table.attrs["cycles in order"] == pytest.approx(share)
    by_mean = bool(features(trains, WINDOW)["gap_PDend_LPstart"] > 0)
    assert is_pyloric_like(trains, WINDOW) is is_pyloric_like(trains, WINDOW, order="mean") is by_mean


def test_a_cycle_without_a_burst_is_not_in_order() -> None:
    trains = made()
    trains["PY"] = np.delete(trains["PY"], np.arange(len(trains["PY"])).reshape(len(STARTS), -1)[3])
    assert features(trains, WINDOW).attrs["cycles in order"] == pytest.approx(5 / 6)
    assert is_pyloric_like(trains, WINDOW, order=0.8)
    assert not is_pyloric_like(trains, WINDOW)  # its mean is not defined
    assert not is_pyloric(trains, WINDOW, order=0.8)  # nor are its features


@pytest.mark.parametrize("gap", [(3000.0, 4700.0), (2900.0, 3200.0), (9000.0, 9300.0)])
def test_features_leave_cycles_over_a_gap_out(gap: tuple[float, float]) -> None:
    t = np.arange(0, 12_000, 0.5)
    trains = {cell: np.round(x) for cell, x in made(np.arange(900, 10_000, PERIOD)).items()}
    V = potentials(trains, t)
    cut = V[(t < gap[0]) | (t >= gap[1])]
    found = features(cut)
    np.testing.assert_allclose(found, features(V), rtol=0, atol=1e-9)
    assert f"{gap[0] - 0.5:g} to {gap[1]:g}" in found.attrs["left out"]
    assert found.attrs["period CV"] == 0
    assert "left out" in report(cut).attrs
    assert is_pyloric(cut)
