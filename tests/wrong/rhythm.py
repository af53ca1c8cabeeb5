"""Spikes as physiologists mean them: what counts as a spike, a burst, a cycle in order, and what cannot be meant."""

import numpy as np
import pandas as pd

from pyloric_simulator.engine.detection import Detection
from pyloric_simulator.files.results import local_maxima
from pyloric_simulator.plotting import criteria_chart, phase_diagram, raster
from pyloric_simulator.rhythm import (
    activity,
    bursts,
    features,
    is_pyloric,
    is_pyloric_like,
    mean_phase,
    period,
    report,
    spike_trains,
    spikes,
    statistics,
    summary,
    verdict,
)

from . import Case, mistyped, refused, warned

STARTS = 300 + 1500.0 * np.arange(4)  # ms
WINDOW = (0.0, 6300.0)  # ms


def train(delay: float, duration: float, n: int) -> np.ndarray:
    """A burst of n spikes in every cycle, in ms."""
    return (STARTS[:, None] + delay + np.linspace(0, duration, n)).ravel()


RHYTHM = {"PD": train(0, 570, 13), "LP": train(800, 400, 11), "PY": train(1125, 500, 6)}
T = np.arange(0, 6300, 0.5)  # ms


def potentials(height: float, base: float) -> pd.DataFrame:
    """Potentials (mV) with a Gaussian of a height on a base for each spike."""
    V = {cell: base + height * sum(np.exp(-(((T - x) / 2) ** 2)) for x in times) for cell, times in RHYTHM.items()}
    return pd.DataFrame(V, index=T)


SOMATA = potentials(8, -45)
LARGE = potentials(90, -60)
PD = LARGE["PD"].to_numpy()
MS = np.arange(0.0, 6300)  # ms
COARSE = pd.DataFrame({"PD": -62 + 72 * np.exp(-(((MS[:, None] - RHYTHM["PD"]) / 0.6) ** 2)).sum(1)}, index=MS)
RNG = np.random.default_rng(1)
NOISY = pd.DataFrame({"PD": potentials(7, -46)["PD"] + RNG.normal(0, 1, len(T))})
NAN, INF = float("nan"), float("inf")


def of(**options: object) -> Detection:
    """A detection with options of any type."""
    return Detection(**options)  # type: ignore[arg-type]


CASES: dict[str, Case] = {
    # spike times
    "bursts: NaN": refused(lambda: bursts([1, NAN, 3]), "nan", "finite", "Leave"),
    "bursts: infinite": refused(lambda: bursts([1, 2, INF]), "inf", "finite"),
    "bursts: unsorted": refused(lambda: bursts([3, 1, 2]), "3", "1", "Sort"),
    "bursts: a spike twice": refused(lambda: bursts([1, 5, 5]), "5 to 5", "np.unique"),
    "bursts: text": mistyped(lambda: bursts(["1", "2"]), "text", "times in ms"),
    "bursts: truth values": mistyped(lambda: bursts([True, False]), "True", "ms"),
    "bursts: two axes": refused(lambda: bursts([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]", "(n,)"),
    "bursts: a number": refused(lambda: bursts(3.0), "3.0", "(n,)"),
    "bursts: None": refused(lambda: bursts(None), "missing"),
    "bursts: dates": mistyped(lambda: bursts(pd.date_range("2020", periods=3)), "dates"),
    "bursts: seconds": refused(lambda: bursts(RHYTHM["PD"] / 1000), "0.0475", "multiply it by 1000"),
    "bursts: a mask": refused(lambda: bursts(np.ma.masked_equal([1.0, 2.0, 3.0], 2.0)), "1 masked"),
    "bursts: a gap in seconds": warned(lambda: bursts(RHYTHM["PD"], gap=0.15), "0.15", "multiply it by 1000"),
    "bursts: no gap": refused(lambda: bursts(RHYTHM["PD"], gap=0), "gap is 0", "150"),
    "bursts: a negative gap": refused(lambda: bursts(RHYTHM["PD"], gap=-150), "-150", "negative"),
    "bursts: gap NaN": refused(lambda: bursts(RHYTHM["PD"], gap=NAN), "nan", "finite"),
    "bursts: a gap as text": mistyped(lambda: bursts(RHYTHM["PD"], gap="150"), "'150'", "number in ms"),  # type: ignore[arg-type]
    "bursts: a duration in seconds": warned(
        lambda: bursts(RHYTHM["PD"], min_duration=0.04), "0.04", "multiply it by 1000"
    ),
    "bursts: a duration that is true": mistyped(lambda: bursts(RHYTHM["PD"], min_duration=True), "True", "ms"),
    "period: NaN": refused(lambda: period([0, NAN, 2000]), "nan", "finite"),
    "period: unsorted": refused(lambda: period([0, 2000, 1000]), "2000 to 1000", "Sort"),
    "period: text": mistyped(lambda: period("abc"), "'abc'", "text"),
    "period: intervals of two cells": refused(lambda: period([[0, 1000], [0, 900]]), "(n,)"),
    "mean phase: NaN": refused(lambda: mean_phase([100, NAN], [0, 1000]), "nan", "finite"),
    "mean phase: unsorted": refused(lambda: mean_phase([500, 100], [0, 1000]), "500 to 100", "Sort"),
    "mean phase: cycles unsorted": refused(lambda: mean_phase([100], [1000, 0]), "1000 to 0", "Sort"),
    "mean phase: a cycle twice": refused(lambda: mean_phase([100], [0, 0, 1000]), "0 to 0", "np.unique"),
    "activity: NaN": refused(lambda: activity([1, NAN], WINDOW), "nan", "finite"),
    "activity: unsorted": refused(lambda: activity([3, 1], WINDOW), "3", "Sort"),
    "activity: a reversed window": refused(lambda: activity([1, 3], (100, 0)), "(100, 0)", "before its end"),
    "activity: a window with NaN": refused(lambda: activity([1, 3], (0, NAN)), "nan", "finite"),
    "activity: a window as text": mistyped(lambda: activity([1, 3], ("0", "9")), "'0'", "ms"),  # type: ignore[arg-type]
    "activity: seconds": refused(lambda: activity(RHYTHM["PD"] / 1000, (0, 6.3)), "0.0475", "1000"),
    "features: NaN in a train": refused(lambda: features(RHYTHM | {"LP": [1.0, NAN]}, WINDOW), "nan", "'LP'"),
    "features: an unsorted train": refused(lambda: features(RHYTHM | {"LP": [3.0, 1.0]}, WINDOW), "'LP'", "Sort"),
    "features: a window in seconds": refused(lambda: features(RHYTHM, (0, 6.3)), "(0, 6.3)", "(0, 6300)"),
    "summary: a train of text": mistyped(lambda: summary({"PD": ["a"]}), "'PD'", "text"),
    "trains: infinite": refused(lambda: spike_trains({"PD": [1.0, INF]}), "inf", "'PD'"),
    # spikes of one trace
    "spikes: t not finite": refused(lambda: spikes([0, 1, INF], [0, 1, 0]), "inf", "finite"),
    "spikes: t NaN": refused(lambda: spikes([0, NAN, 2], [0, 1, 0]), "nan", "increase"),
    "spikes: V NaN": refused(lambda: spikes([0, 1, 2], [0, NAN, 0]), "nan", "finite"),
    "spikes: V as text": mistyped(lambda: spikes([0, 1, 2], ["0", "1", "0"]), "text"),
    "spikes: t of durations": mistyped(lambda: spikes(pd.to_timedelta([0, 1, 2]), [0, 1, 0]), "durations"),
    "spikes: V in volts": refused(lambda: spikes(T, PD / 1000), "0.06", "multiply it by 1000"),
    "spikes: V in µV": refused(lambda: spikes(T, PD * 1000), "6e+04", "0.001"),
    "spikes: t in s": refused(lambda: spikes(T / 1000, PD), "0.0005", "multiply it by 1000"),
    "spikes: two cells": refused(lambda: spikes(T, LARGE), "(12600, 3)", "one cell"),
    "spikes: t reversed": refused(lambda: spikes(T[::-1], PD), "6299.5", "increase"),
    "spikes: one sample short": refused(lambda: spikes(T[1:], PD), "(12599,)", "(12600,)"),
    "spikes: threshold NaN": refused(lambda: spikes(T, PD, threshold=NAN), "nan", "finite"),
    "spikes: threshold infinite": refused(lambda: spikes(T, PD, threshold=-INF), "-inf", "finite"),
    "spikes: threshold in volts": warned(lambda: spikes(T, PD, threshold=-0.01), "-0.01", "multiply it by 1000"),
    "spikes: threshold in µV": warned(lambda: spikes(T, PD, threshold=-10_000), "-10000", "0.001"),
    "spikes: no threshold": mistyped(lambda: spikes(T, PD, threshold=None), "None", "mV"),  # type: ignore[arg-type]
    "spikes: a threshold that is true": mistyped(lambda: spikes(T, PD, threshold=True), "True", "mV"),
    "spikes: a negative refractory time": refused(lambda: spikes(T, PD, refractory=-1), "-1", "negative"),
    "spikes: refractory time NaN": refused(lambda: spikes(T, PD, refractory=NAN), "nan", "finite"),
    "spikes: a refractory time in s": warned(lambda: spikes(T, PD, refractory=0.001), "0.001", "multiply it by 1000"),
    "spikes: another kind": refused(lambda: spikes(T, PD, kind="peaks"), "'peaks'", "'crossings'"),
    "spikes: a kind nearly right": refused(lambda: spikes(T, PD, kind="crossing"), "Did you mean 'crossings'?"),
    "spikes: a negative prominence": refused(lambda: spikes(T, PD, prominence=-5), "-5", "negative", "Give 5"),
    "spikes: prominence NaN": refused(lambda: spikes(T, PD, prominence=NAN), "nan", "finite"),
    "spikes: a prominence in V": warned(lambda: spikes(T, PD, prominence=0.005), "0.005", "multiply it by 1000"),
    "spikes: a prominence as text": mistyped(lambda: spikes(T, PD, prominence="5"), "'5'", "mV"),  # type: ignore[arg-type]
    "spike times: threshold NaN": refused(lambda: local_maxima(T, PD, NAN), "nan", "finite"),
    "spike times: threshold in volts": warned(lambda: local_maxima(T, PD, -0.01), "-0.01", "1000"),
    # detections
    "detection: a number": mistyped(lambda: summary(RHYTHM, WINDOW, detection=-45), "-45", "Detection("),  # type: ignore[arg-type]
    "detection: a mapping": mistyped(lambda: features(RHYTHM, detection={"gap": 1}), "{'gap': 1}", "Detection("),  # type: ignore[arg-type]
    "detection: None": mistyped(lambda: report(RHYTHM, detection=None), "None", "Detection("),  # type: ignore[arg-type]
    "detection: a tuple": mistyped(lambda: raster(RHYTHM, detection=(-10, 5)), "(-10, 5)", "Detection("),  # type: ignore[arg-type]
    "detection: threshold NaN": refused(lambda: summary(RHYTHM, detection=of(threshold=NAN)), "nan", "finite"),
    "detection: two thresholds": mistyped(lambda: summary(RHYTHM, detection=of(threshold=[-10, -20])), "[-10, -20]"),
    "detection: gap of a duration": mistyped(
        lambda: summary(RHYTHM, detection=of(gap=pd.Timedelta("150ms"))), "Timedelta"
    ),
    "detection: no gap": mistyped(lambda: features(RHYTHM, detection=of(gap=None)), "None", "ms"),
    "detection: a gap in s": warned(lambda: features(RHYTHM, WINDOW, detection=of(gap=0.15)), "0.15", "1000"),
    "detection: a kind of a list": refused(lambda: is_pyloric(RHYTHM, detection=of(kind=["maxima"])), "['maxima']"),
    "detection: in statistics": refused(lambda: statistics(LARGE, detection=of(threshold=INF)), "inf", "finite"),
    "detection: in pictures": refused(lambda: criteria_chart(RHYTHM, detection=of(refractory=-2)), "-2", "negative"),
    "detection: in phases": refused(lambda: phase_diagram(RHYTHM, detection=of(kind="top")), "'top'", "'maxima'"),
    # verdicts
    "max_cv: per cent": refused(lambda: is_pyloric_like(RHYTHM, max_cv=2), "max_cv is 2", "2% is 0.02"),
    "max_cv: one per cent": refused(lambda: is_pyloric(RHYTHM, max_cv=1), "max_cv is 1", "1% is 0.01"),
    "max_cv: negative": refused(lambda: report(RHYTHM, max_cv=-0.1), "-0.1", "share"),
    "max_cv: NaN": refused(lambda: is_pyloric(RHYTHM, max_cv=NAN), "nan", "finite"),
    "max_cv: text": mistyped(lambda: is_pyloric(RHYTHM, max_cv="2%"), "'2%'", "0.02"),  # type: ignore[arg-type]
    "max_cv: None": mistyped(lambda: is_pyloric_like(RHYTHM, max_cv=None), "None", "0.02"),  # type: ignore[arg-type]
    "max_cv: of a table": refused(lambda: verdict(np.zeros(15), 0.01, 2), "max_cv is 2", "0.02"),
    "order: per cent": refused(lambda: is_pyloric_like(RHYTHM, order=70), "order is 70", "70% is 0.7"),
    "order: another word": refused(lambda: is_pyloric(RHYTHM, order="all"), "'all'", "1.0 for all"),
    "order: none of them": refused(lambda: report(RHYTHM, order=0), "order is 0", "above 0"),
    "order: NaN": refused(lambda: report(RHYTHM, order=NAN), "nan", "0.7"),
    "order: true": mistyped(lambda: is_pyloric(RHYTHM, order=True), "True", "0.7"),
    "order: without the cycles": refused(lambda: verdict(np.zeros(15), 0.01, order=0.7), "0.7", "ordered"),
    # who plays what
    "cells: a list": mistyped(lambda: features(RHYTHM, cells=["PD", "LP", "PY"]), "['PD', 'LP', 'PY']", "mapping"),  # type: ignore[arg-type]
    "cells: one only": refused(lambda: features(RHYTHM, cells={"PD": "PD"}), "{'PD': 'PD'}", "three cells"),
    "cells: one twice": refused(lambda: report(RHYTHM, cells={"PD": "PD", "LP": "LP", "PY": "LP"}), "three cells"),
    "cells: a role misspelt": refused(
        lambda: features(RHYTHM, cells={"Pd": "PD", "LP": "LP", "PY": "PY"}), "'Pd'", "'PD'"
    ),
    "cells: numbers": refused(
        lambda: features(RHYTHM, cells={"PD": 0, "LP": 1, "PY": 2}), "no cell plays PD", "cells={"
    ),
    "cells: unknown labels": refused(lambda: features({"a": [1.0], "b": [2.0]}), "no cell plays PD", "'a'", "cells={"),
    # spikes that are not seen
    "somata: summary": warned(
        lambda: summary(SOMATA), "'PD' has no spike", "52 fast peaks", "silent", "Detection(threshold=-4"
    ),
    "somata: features": warned(lambda: features(SOMATA), "8 mV", "detection=Detection(threshold="),
    "somata: is_pyloric": warned(lambda: is_pyloric(SOMATA), "'LP' has no spike"),
    "somata: raster": warned(lambda: spike_trains(SOMATA), "'PY' has no spike"),
    "a threshold above all spikes": warned(lambda: summary(LARGE, detection=of(threshold=50)), "no spike above 50 mV"),
    "a prominence above all spikes": warned(
        lambda: summary(LARGE, detection=of(prominence=200)), "stands out by 200 mV"
    ),
    "tops between samples": warned(lambda: summary(COARSE), "below -10 mV", "1 ms apart", "Record more often"),
    "spikes as low as the noise": warned(lambda: summary(NOISY, detection=of(threshold=-44)), "noise", "prominence="),
    "statistics of spike times": mistyped(lambda: statistics(RHYTHM), "spike times only", "potentials"),
}
