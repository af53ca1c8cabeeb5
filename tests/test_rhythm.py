"""From spike times to bursts, periods, phases and activities: trains with known answers, then a real run."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine.detection import Detection
from pyloric_simulator.models.channels import HodgkinHuxley1952 as HH
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Cell, Network
from pyloric_simulator.prinz2004 import Prinz2004
from pyloric_simulator.rhythm import (
    GAP,
    MIN_BURST,
    activity,
    bursts,
    features,
    is_pyloric,
    mean_phase,
    period,
    spike_trains,
    summary,
)

LONG = (0.0, 10_000.0)  # ms
PERIOD, BURSTS = 1000.0, 9


def train(first: float, n: int, interval: float, cycle: float = PERIOD, count: int = BURSTS) -> np.ndarray:
    """`count` bursts of n spikes, `interval` ms apart, one in every cycle."""
    return (first + cycle * np.arange(count)[:, None] + interval * np.arange(n)).ravel()


TRIPHASIC = {
    ("AB/PD", 0): train(500, 11, 20),  # 200 ms
    ("LP", 0): train(800, 6, 50),  # 250 ms
    ("PY", 0): train(1100, 4, 100),  # 300 ms
}


# ---------------------------------------------------------------- bursts


def test_bursts_are_split_at_long_silences_only() -> None:
    spikes = np.array([0, 50, 100, 100 + GAP, 100 + GAP + 50, 600, 700])
    assert bursts(spikes).tolist() == [[0, 300, 5], [600, 700, 2]]


def test_spikes_and_quick_doublets_are_no_bursts() -> None:
    spikes = np.array([0, 1000, 1000 + MIN_BURST, 2000, 2000 + MIN_BURST + 1])
    assert bursts(spikes).tolist() == [[2000, 2041, 2]]


def test_gap_and_duration_can_be_chosen() -> None:
    spikes = np.array([0, 10, 100, 110])
    assert len(bursts(spikes, gap=50)) == 0
    assert bursts(spikes, gap=50, min_duration=5).tolist() == [[0, 10, 2], [100, 110, 2]]


@pytest.mark.parametrize("spikes", [[], [3.0]])
def test_too_few_spikes_have_no_burst(spikes: list[float]) -> None:
    assert bursts(spikes).shape == (0, 3)


def test_bursts_shift_with_the_clock_and_cover_every_spike() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        spikes = np.cumsum(rng.choice([5.0, 20, 100, 150, 151, 400], size=rng.integers(1, 60)))
        found = bursts(spikes, min_duration=-1)
        assert found[:, 2].sum() == len(spikes)
        assert np.all(found[1:, 0] - found[:-1, 1] > GAP)
        shift = np.array([64, 64, 0])
        np.testing.assert_array_equal(bursts(spikes + 64), bursts(spikes) + shift)


# ---------------------------------------------------------------- periods and phases


def test_period_and_its_coefficient_of_variation() -> None:
    assert period(np.array([0, 900, 2000])) == (1000, 0.1)


def test_variation_takes_two_intervals_and_a_period_one() -> None:
    assert np.isnan(period(np.array([0, 900]))[1])
    assert np.isnan(period(np.array([5.0]))).all()


def test_phases_are_averaged_on_the_circle() -> None:
    cycles = np.arange(0, 5000, 1000.0)
    assert mean_phase(cycles + 250, cycles) == pytest.approx(0.25, abs=1e-12)
    around_zero = np.array([990, 1010, 1990, 2010.0])
    assert min(mean_phase(around_zero, cycles), 1 - mean_phase(around_zero, cycles)) < 1e-12
    assert np.isnan(mean_phase(np.array([-5, 4000.0]), cycles))  # before the first cycle, after the last


# ---------------------------------------------------------------- activity


@pytest.mark.parametrize(
    ("spikes", "expected"),
    [
        ([], "silent"),
        ([5000], "irregular"),
        (np.arange(0, 10_000, 25), "tonic"),
        (np.arange(100, 10_000, 800), "tonic"),  # slower than any burst
        (np.arange(0, 6000, 25), "irregular"),  # stops
        (train(500, 11, 20), "bursting"),
        (train(500, 11, 20, count=2), "bursting"),
        (train(500, 11, 20, count=1), "irregular"),
        (train(500, 2, 30), "irregular"),  # doublets, too quick for a burst
        (train(500, 2, 60), "bursting"),  # slow doublets
        (np.concatenate([train(500, 5, 20, count=4), train(5000, 5, 20, 3000, 2)]), "irregular"),
    ],
)  # fmt: skip
def test_activity(spikes: Any, expected: str) -> None:
    assert activity(spikes, LONG) == expected


# ---------------------------------------------------------------- summary


def test_triphasic_train_has_the_rhythm_it_was_made_of() -> None:
    table = summary(TRIPHASIC, LONG)
    assert table.attrs == {"pacemaker": ("AB/PD", 0), "window": LONG}
    assert list(table.index.names) == ["pop", "index"]
    assert list(table["bursts"]) == [BURSTS] * 3
    assert list(table["spikes"]) == [11 * BURSTS, 6 * BURSTS, 4 * BURSTS]
    assert list(table["spikes per burst"]) == [11, 6, 4]
    np.testing.assert_allclose(table["burst (ms)"], [200, 250, 300])
    np.testing.assert_allclose(table["period (ms)"], PERIOD)
    np.testing.assert_allclose(table["period CV"], 0, atol=1e-12)
    np.testing.assert_allclose(table["duty cycle"], [0.2, 0.25, 0.3])
    np.testing.assert_allclose(table["phase"], [0, 0.3, 0.6], atol=1e-12)
    assert set(table["activity"]) == {"bursting"}


def test_bursts_cut_by_the_window_count_only_for_what_is_seen_of_them() -> None:
    whole, cut = summary(TRIPHASIC, LONG), summary(TRIPHASIC, (2600, 6600))  # within two bursts of AB/PD
    assert cut.loc[("AB/PD", 0), "bursts"] == 4  # the last one begins, but does not end
    columns = ["spikes per burst", "burst (ms)", "period (ms)", "duty cycle", "phase"]
    np.testing.assert_allclose(cut[columns], whole[columns], atol=1e-12)


def test_silent_cells_are_described_too() -> None:
    table = summary({"PD": [], "LP": train(500, 6, 50), "PY": [4000.0]}, LONG)
    assert list(table["activity"]) == ["silent", "bursting", "irregular"]
    assert list(table["bursts"]) == [0, BURSTS, 0]
    assert table["phase"].isna().all()  # the pacemaker is silent, so there is no cycle
    assert table.attrs["pacemaker"] == "PD"
    measures = ["spikes per burst", "burst (ms)", "period (ms)", "period CV", "duty cycle"]
    assert table.loc[["PD", "PY"], measures].isna().all(axis=None)


@pytest.mark.parametrize("trains", [{}, {"PD": []}, {"LP": [], "PY": []}, {"PD": [7.0]}])
def test_almost_nothing_is_enough(trains: dict[str, list[float]]) -> None:
    assert len(summary(trains)) == len(trains)


def test_without_a_pacemaker_the_first_bursting_cell_sets_the_cycle() -> None:
    table = summary({"a": [100.0], "b": train(500, 6, 50), "c": train(750, 6, 50)}, LONG)
    assert table.attrs["pacemaker"] == "b"
    assert table.loc["c", "phase"] == pytest.approx(0.25)


@pytest.mark.parametrize("label", ["AB", "PD", "AB/PD", "PD 3", ("AB/PD 2", 0)])
def test_labels_tell_the_pacemaker(label: Any) -> None:
    cells = {("LP", 0) if isinstance(label, tuple) else "LP": train(800, 6, 50), label: train(500, 6, 50)}
    assert summary(cells, LONG).attrs["pacemaker"] == label


def test_synchronous_pacemakers_have_phase_zero() -> None:
    rng = np.random.default_rng(1)
    jitter = np.repeat(rng.normal(0, 2, BURSTS), 11)
    table = summary({"PD": train(500, 11, 20), "AB": train(500, 11, 20) + jitter}, LONG)
    assert min(table.loc["AB", "phase"], 1 - table.loc["AB", "phase"]) < 0.01


# ---------------------------------------------------------------- a run


@pytest.fixture(scope="module")
def paper() -> Any:
    return Prinz2004.from_toml(find_circuit("paper"))(np.arange(0, 10_000, 0.1))


def test_the_circuit_of_the_paper_bursts_in_order(paper: Any) -> None:
    table = summary(paper[2000:])
    assert set(table["activity"]) == {"bursting"}
    start, end = table["phase"], table["phase"] + table["duty cycle"]
    pd_, lp, py = paper.model.cells
    assert end[pd_] < start[lp] < start[py] < end[lp] < end[py] < 1
    assert (table["period CV"] < 0.05).all()


def test_summary_of_a_run_is_that_of_its_spike_times(paper: Any) -> None:
    window = (float(paper.t[0]), float(paper.t[-1]))
    pd.testing.assert_frame_equal(summary(paper), summary(spike_trains(paper), window))


def test_the_type_of_a_cell_comes_from_its_model(paper: Any) -> None:
    types = {"follower": "LP", "pacer": "AB/PD"}
    renamed = Prinz2004({"follower": 1, "pacer": 1}, {}, paper.model.params.g[[1, 0]], cell_types=types)
    assert summary(renamed(np.arange(0, 100, 0.5))).attrs["pacemaker"] == ("pacer", 0)


# ---------------------------------------------------------------- gaps

REGULAR = 1500.0  # ms


def of_rhythm(cycles: int = 8) -> dict[str, np.ndarray]:
    """Three cells with a period of 1,500 ms."""
    return {
        "PD": train(300, 11, 50, REGULAR, cycles),
        "LP": train(1100, 6, 60, REGULAR, cycles),
        "PY": train(1400, 5, 90, REGULAR, cycles),
    }


def potentials(trains: dict[str, np.ndarray], t: np.ndarray, height: float = 90.0, base: float = -60.0) -> pd.DataFrame:
    """Potentials (mV) at times t (ms) with a Gaussian for each spike."""
    V = {cell: base + height * sum(np.exp(-(((t - x) / 1.5) ** 2)) for x in times) for cell, times in trains.items()}
    return pd.DataFrame(V, index=t)


@pytest.mark.parametrize("gap", [(5000, 6700), (3100, 3300), (6900, 7000), (2000, 8000)])
def test_no_cycle_goes_over_a_gap(gap: tuple[float, float]) -> None:
    V = potentials(of_rhythm(), np.arange(0, 12_300, 0.25))
    cut = V[(V.index < gap[0]) | (V.index >= gap[1])]
    whole, table = summary(V), summary(cut)
    columns = ["period (ms)", "burst (ms)", "duty cycle", "phase"]
    np.testing.assert_allclose(table[columns], whole[columns], rtol=1e-5, atol=1e-5)
    assert (table["period CV"] < 1e-4).all()
    assert (table["bursts"] < whole["bursts"]).any()
    assert f"{gap[0] - 0.25:g} to {gap[1]:g}" in table.attrs["left out"]
    assert "left out" not in whole.attrs


def test_a_gap_makes_no_spike_and_no_pause() -> None:
    t = np.arange(0, 6000, 0.25)
    tonic = potentials({"a": np.arange(20, 6000, 25.0)}, t)
    rising = tonic.assign(b=np.where(t < 3000, -60 + t / 50, -60.0))  # ends above the threshold before the gap
    cut = rising[(t < 3000) | (t >= 4000)]
    table = summary(cut)
    assert list(table["activity"]) == ["tonic", "silent"]
    assert activity(np.array([]), (0, 100)) == "silent"


# ---------------------------------------------------------------- what counts as spikes and bursts


def test_detection_reaches_the_summary() -> None:
    """Spikes of 8 mV that peak at −37 mV, as in the somata of real cells."""
    V = potentials(of_rhythm(), np.arange(0, 12_300, 0.25), 8, -45)
    table = summary(V, detection=Detection(threshold=-41))
    expected = summary(of_rhythm(), (0, float(V.index[-1])))
    np.testing.assert_array_equal(table["spikes"], expected["spikes"])
    np.testing.assert_allclose(
        table[["period (ms)", "burst (ms)", "phase"]], expected[["period (ms)", "burst (ms)", "phase"]], rtol=1e-9
    )
    with pytest.warns(UserWarning, match=r"88 fast peaks of 8 mV up to -37 mV; it counts as silent.*threshold=-4"):
        assert list(summary(V[["PD"]])["activity"]) == ["silent"]


def test_the_gap_between_bursts_counts_at_the_edges_too() -> None:
    """Doublets 300 ms apart are bursts with a gap of 100 ms; the first and the last are seen as a whole."""
    trains = {"PD": (200 + 300 * np.arange(10)[:, None] + np.array([0.0, 50.0])).ravel()}
    table = summary(trains, (90, 3060), detection=Detection(gap=100, min_duration=10))
    assert table["bursts"].tolist() == [10]
    assert table["period (ms)"].tolist() == [300]
    assert summary(trains, (110, 3060), detection=Detection(gap=100, min_duration=10))["bursts"].tolist() == [9]
    assert summary(trains, (90, 3060), detection=Detection(min_duration=10))["bursts"].tolist() == [9]


def test_slow_waves_and_synaptic_potentials_are_no_spikes_and_no_reason_to_warn() -> None:
    t = np.arange(0, 10_000, 0.2)
    slow = -50 + 20 * np.sin(t / 80)  # within 500 ms, far below the threshold
    noise = np.random.default_rng(0).normal(0, 1, len(t))
    sizes = np.random.default_rng(1).uniform(0.5, 9, 200)  # of synaptic potentials, mV
    synaptic = -60 + sum(s * np.exp(-(((t - 25 - 49 * k) / 4) ** 2)) for k, s in enumerate(sizes))
    table = summary(pd.DataFrame({"slow": slow, "noisy": -60 + noise, "synaptic": synaptic}, index=t))
    assert list(table["activity"]) == ["silent"] * 3


# ---------------------------------------------------------------- models of one's own


def test_networks_are_told_by_their_labels_and_threshold_cells_by_their_own_spikes() -> None:
    axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65)
    run = Network(dict.fromkeys(("PD", "LP", "PY"), axon))(np.arange(0, 40, 0.1), {"PD": 20.0})
    assert summary(run).attrs["pacemaker"] == ("PD", 0)
    assert set(features(run).attrs["why"].values()) <= {"silent", "no bursts"}
    assert not is_pyloric(run)
    lif = LIF(2)(np.arange(0, 500, 0.5), [0.0, 2.0])
    table = summary(lif)
    assert table["spikes"].tolist() == [len(x) for x in lif.spike_times().values()]
    assert table["spikes"].iloc[1] > 3
    with pytest.raises(ValueError, match=r"no cell plays PD.*cells="):
        is_pyloric(lif)
