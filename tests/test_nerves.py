"""Spikes on nerves: how many are found of those that are known, whose they are, and the rhythm that follows."""

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rigs import electrode_of, nwb_file, write_abf, write_nwb

from pyloric_simulator import cli
from pyloric_simulator.files.nerves import NerveDetection, height_windows, nerve, nerve_spikes, read_nerves
from pyloric_simulator.rhythm import features, report, summary

DURATION, PERIOD = 20_000.0, 1500.0  # ms
BURSTS = {"PD": (0.0, 0.385, 14), "LP": (0.52, 0.27, 11), "PY": (0.75, 0.35, 8)}  # phase, duty cycle, spikes of a burst


def trains() -> dict[str, np.ndarray]:
    """Spike times (ms) of a rhythm."""
    starts = 300 + PERIOD * np.arange(12)
    return {
        cell: (starts[:, None] + PERIOD * (φ + duty * np.linspace(0, 1, n))).ravel()
        for cell, (φ, duty, n) in BURSTS.items()
    }


TRUE = trains()
ON_NERVES = {"lvn": [(TRUE["LP"], 0.4), (TRUE["PD"], 0.15)], "pdn": [(TRUE["PD"], -0.2)], "pyn": [(TRUE["PY"], 0.12)]}
MADE = nerve(ON_NERVES, DURATION, noise=0.02, seed=3)
UNITS = {"PD": ("pdn", 0.1), "LP": ("lvn", 0.25), "PY": ("pyn", 0.06, 0.3)}


def near(x: np.ndarray, others: np.ndarray) -> float:
    """The share of times (ms) that have one of others within a millisecond."""
    k = np.clip(np.searchsorted(others, x), 1, len(others) - 1)
    return float((np.minimum(abs(x - others[k - 1]), abs(x - others[k])) < 1).mean())


@pytest.mark.parametrize("height", [0.1, -0.1, 250.0])
@pytest.mark.parametrize("rate", [10_000.0, 20_000.0, 30_000.0])
@pytest.mark.parametrize("seed", range(3))
def test_spikes_of_five_deviations_of_the_noise_are_found(seed: int, rate: float, height: float) -> None:
    times = np.cumsum(np.random.default_rng(seed).uniform(12, 60, 1000))
    made = nerve({"n": [(times, height)]}, float(times[-1]) + 20, noise=abs(height) / 5, rate=rate, seed=seed)
    found = nerve_spikes(made, ["n"])
    assert near(found["time"].to_numpy(), times) > 0.98  # precision
    assert near(times, found["time"].to_numpy()) > 0.98  # recall
    assert np.median(np.sign(found["height"])) == np.sign(height)


def test_spikes_in_noise_of_their_own_frequencies_are_found() -> None:
    signal = pytest.importorskip("scipy.signal")
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(12, 60, 1500))
    clean = nerve({"n": [(times, 0.1)]}, float(times[-1]) + 20)
    noise = signal.sosfiltfilt(
        signal.butter(2, [300, 3000], "band", fs=20_000, output="sos"), rng.normal(0, 1, len(clean))
    )
    found = nerve_spikes(clean.add(0.02 * noise / noise.std(), axis=0), ["n"])["time"].to_numpy()
    assert near(found, times) > 0.98
    assert near(times, found) > 0.98


def test_times_lie_between_samples() -> None:
    times = 100 + 37.013 * np.arange(200)
    found = nerve_spikes(nerve({"n": [(times, 0.3)]}, 8000), ["n"], detection=NerveDetection(threshold=0.1))
    np.testing.assert_allclose(found["time"], times, atol=0.01)
    np.testing.assert_allclose(found["height"], 0.3, rtol=0.25)


def test_large_spikes_leave_no_ghosts_in_little_noise() -> None:
    times = 100 + 37.013 * np.arange(50)
    found = nerve_spikes(nerve({"n": [(times, 1.0)]}, 3000, noise=0.003), ["n"])
    large = found[found["height"].abs() > 0.1]
    np.testing.assert_allclose(large["time"], times, atol=0.02)
    assert len(found) - len(large) <= 2  # noise; each spike has two sides


def test_drift_is_no_spike_and_hides_none() -> None:
    t = MADE.index.to_numpy()
    drift = 3 * np.sin(2 * np.pi * t / 700)[:, None]
    a, b = (nerve_spikes(x, ["pyn"])["time"].to_numpy() for x in (MADE, MADE + drift))
    assert near(a, b) > 0.99
    assert abs(len(a) - len(b)) <= 2


def test_of_close_peaks_the_highest_is_the_spike() -> None:
    """As of two axons that fire within the refractory time."""
    made = nerve({"n": [([100.0, 200.0, 300.0], 0.3), ([101.0, 202.5, 304.0], 0.15)]}, 500)
    for refractory, n in ((1.5, 5), (3.0, 4), (5.0, 3), (0.0, 5)):
        d = NerveDetection(threshold=0.1, refractory=refractory)
        found = nerve_spikes(made, ["n"], detection=d)["time"].to_numpy()
        assert len(found) >= n if refractory == 0 else len(found) == n
        assert near(np.array([100.0, 200.0, 300.0]), found) == 1


def test_units_are_told_by_their_heights() -> None:
    found = read_nerves(MADE, UNITS | {"PD of lvn": ("lvn", 0.06, 0.25)})
    assert found.trains is not None
    for cell in ("PD", "LP", "PY"):
        assert near(found.trains[cell], TRUE[cell]) > 0.98
        assert near(TRUE[cell], found.trains[cell]) > 0.98
    assert near(TRUE["PD"], found.trains["PD of lvn"]) > 0.98


def test_windows_part_two_axons() -> None:
    (zero, border), (again, end) = height_windows(nerve_spikes(MADE, ["lvn"])["height"], 2)
    assert (zero, end) == (0, np.inf)
    assert 0.17 < border == again < 0.3
    assert height_windows([1.0, -2.0, 1.5], 1) == [(0.0, np.inf)]


def test_the_criteria_follow_from_nerves_alone() -> None:
    found = read_nerves(MADE, UNITS)
    wanted = features(TRUE, (0.0, DURATION))
    values = features(found)
    for name, value in wanted.items():
        assert values[name] == pytest.approx(value, abs=0.01 * (PERIOD if abs(value) > 1 else 1))
    assert report(found)["passes"].all()
    assert (summary(found)["bursts"] == 12).all()
    assert features(found, (3000, 15_000)).notna().all()


def test_no_burst_goes_over_a_gap() -> None:
    part = MADE[(MADE.index < 7000) | (MADE.index > 9000)]
    found = read_nerves(part, UNITS)
    assert len(found.pieces) == 2
    assert features(found)["cycle_period"] == pytest.approx(PERIOD, abs=1)


def test_artefacts_are_left_out_and_said() -> None:
    made = MADE.copy()
    made.loc[(made.index % 1000) < 0.5] += 8.0
    with pytest.warns(UserWarning, match="200 samples beyond 5 mV"):
        found = nerve_spikes(made, ["pdn"], detection=NerveDetection(artefact=5.0))
    assert found["height"].abs().max() < 0.3
    assert near(found["time"].to_numpy(), TRUE["PD"]) > 0.98
    assert nerve_spikes(made, ["pdn"])["height"].max() > 1


def test_a_window_without_spikes_is_said() -> None:
    with pytest.warns(
        UserWarning, match=r"'LP' has no spike from 5 to inf mV on 'lvn'; spikes there are 0\.\d+ to 0\.\d+ mV high"
    ):
        read_nerves(MADE, {"LP": ("lvn", 5.0)})


# ---------------------------------------------------------------- files


def test_files_give_what_tables_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces, whose edges leave no trace."""
    pytest.importorskip("neo")
    pynwb = pytest.importorskip("pynwb")
    step = write_abf(tmp_path / "x.abf", {name: ("mV", MADE[name].to_numpy()) for name in MADE}, 20_000.0, largest=2.0)
    whole, nwb = np.round(MADE / step) * step, nwb_file()
    for name in whole:
        series = dict(data=whole[name].to_numpy(), conversion=1e-3, electrode=electrode_of(nwb), rate=20_000.0)
        nwb.add_acquisition(pynwb.icephys.CurrentClampSeries(name=name, **series))
    write_nwb(tmp_path / "x.nwb", nwb)
    (whole * 1e3).add_suffix(" (µV)").to_parquet(tmp_path / "x.parquet")
    wanted = read_nerves(whole, UNITS).trains
    monkeypatch.setattr("pyloric_simulator.files.nerves.PIECE", 7001)
    for kind in ("abf", "nwb", "parquet"):
        found = read_nerves(tmp_path / f"x.{kind}", UNITS).trains
        assert wanted is not None
        assert found is not None
        for cell, times in wanted.items():
            np.testing.assert_allclose(found[cell], times, rtol=1e-6)


def command(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """`pyloric rhythm`: status, standard output and standard error."""
    with warnings.catch_warnings(), pytest.raises(SystemExit) as done:
        cli.main(["rhythm", *map(str, arguments)])
    return int(done.value.code or 0), *capsys.readouterr()


def test_the_command_judges_nerves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.parquet"
    MADE.to_parquet(file)
    status, out, err = command(capsys, file, "--nerves", "PD=pdn:0.1,LP=lvn:0.25,PY=pyn:0.06:0.3")
    assert (status, err) == (0, "")
    assert "Pyloric-like: yes. Pyloric: yes." in out
    for name, value in features(read_nerves(file, UNITS)).items():
        assert re.search(rf"^{name} +{value:.3f} ", out, re.MULTILINE)
    for options, reason in (
        (["--nerves", "PD=pdn,LP=lvn:high,PY=pyn"], "'lvn:high'; a channel and heights"),
        (["--nerves", "pdn,lvn,pyn"], "must name a channel for each cell"),
        (["--nerves", "PD=pdn,LP=lvn:0.25"], "must name those that are PD, LP, PY"),
        (["--nerves", "PD=pdn,LP=lvn,PY=pyn", "--kind", "maxima"], "--kind is 'maxima'"),
        (["--artefact", "5"], "it is for nerves"),
    ):
        status, out, err = command(capsys, file, *options)
        assert (status, out) == (2, "")
        assert re.fullmatch(r"Error: [^\n]+\n", err)
        assert reason in err


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no such nerve": (lambda: read_nerves(MADE, {"PD": "pdm"}), "Did you mean 'pdn'"),
    "no cells": (lambda: read_nerves(MADE, {}), "at least"),
    "windows that overlap": (lambda: read_nerves(MADE, {"PD": ("lvn", 0.1, 0.3), "LP": ("lvn", 0.25)}), "from 0.25 to 0.3 mV"),
    "a window that ends first": (lambda: read_nerves(MADE, {"PD": ("lvn", 0.3, 0.1)}), "the first must be the smaller"),
    "four numbers": (lambda: read_nerves(MADE, {"PD": ("lvn", 1, 2, 3)}), "least and its largest height"),
    "a height below 0": (lambda: read_nerves(MADE, {"PD": ("lvn", -1)}), "least height of 'PD'"),
    "a share of 0": (lambda: read_nerves(MADE, UNITS, detection=NerveDetection(share=0)), "share is 0"),
    "another polarity": (lambda: read_nerves(MADE, UNITS, detection=NerveDetection(polarity="up")), "'up'"),
    "a refractory time below 0": (lambda: read_nerves(MADE, UNITS, detection=NerveDetection(refractory=-1)), "at least 0"),
    "coarse samples": (lambda: read_nerves(MADE[::20], UNITS), "0.25 ms at most"),
    "times in s": (lambda: read_nerves(MADE.set_axis(MADE.index / 1e3), UNITS), "in s, multiply it by 1000"),
    "few samples": (lambda: read_nerves(MADE[:50], UNITS), "too few"),
    "a hole": (lambda: read_nerves(MADE.assign(pyn=MADE["pyn"].where(MADE.index < 100)), UNITS), "must be finite"),
    "a channel that was off": (lambda: nerve_spikes(0 * MADE, ["pdn"]), "less than any electrode"),
    "few heights": (lambda: height_windows([1.0, 2.0], 2), "two spikes at least"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_wrong_nerves_are_refused_in_words(case: str) -> None:
    call, reason = BAD[case]
    with pytest.raises(ValueError, match=re.escape(reason)):
        call()


@pytest.mark.parametrize(
    "wrong", [NerveDetection(refractory=0.0015), NerveDetection(refractory=1500.0), NerveDetection(guard=0.005)]
)
def test_numbers_in_other_units_are_warned_of(wrong: NerveDetection) -> None:
    with pytest.warns(UserWarning, match="If it is in"):
        nerve_spikes(MADE[:20_000], ["pdn"], detection=wrong)


def test_what_is_no_recording_of_nerves_is_refused() -> None:
    with pytest.raises(TypeError, match="table in mV"):
        read_nerves(MADE.to_numpy(), UNITS)
    with pytest.raises(TypeError, match="a mapping from cells"):
        read_nerves(MADE, ["pdn"])
    with pytest.raises(TypeError, match="a NerveDetection"):
        read_nerves(MADE, UNITS, detection=4.5)  # type: ignore[arg-type]


LONG = """
import sys
from pyloric_simulator.files.nerves import read_nerves
from pyloric_simulator.rhythm import report
import resource
found = read_nerves(sys.argv[1], {"PD": "pdn", "LP": ("lvn", 0.25), "PY": "pyn", "PD of lvn": ("lvn", 0.06, 0.25), "LP of lpn": "lpn"})
assert report(found)["passes"].all()
used = resource.getrusage(resource.RUSAGE_SELF)
most = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1]
print(used.ru_utime + used.ru_stime, most)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the memory")
def test_ten_minutes_of_four_nerves_take_ten_seconds_and_a_gigabyte(tmp_path: Path) -> None:
    pytest.importorskip("neo")
    starts = 300 + PERIOD * np.arange(399)
    of = {
        c: (starts[:, None] + PERIOD * (φ + duty * np.linspace(0, 1, n))).ravel() for c, (φ, duty, n) in BURSTS.items()
    }
    axons = {
        "lvn": [(of["LP"], 0.4), (of["PD"], 0.15)],
        "pdn": [(of["PD"], 0.2)],
        "lpn": [(of["LP"], -0.2)],
        "pyn": [(of["PY"], 0.12)],
    }
    made = nerve(axons, 600_000.0, noise=0.02)
    write_abf(tmp_path / "x.abf", {name: ("mV", made[name].to_numpy()) for name in made}, 20_000.0, largest=2.0)
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path / "x.abf")], capture_output=True, text=True, check=True
    )
    seconds, memory = map(float, done.stdout.split())
    assert seconds < 10
    assert memory < 1e6  # kB
