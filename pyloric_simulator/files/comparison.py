"""Do others see the same spikes? The features of runs by eFEL, by elephant, and by this package, side by side.

Mechanics of `exchange`, whose first table it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..engine import checks
from ..engine.detection import GAP, MIN_BURST, SPIKE_THRESHOLD
from .exchange import efel_values, label, to_neo

__all__ = ["agreement"]


def agreement(runs: Sequence[Any]) -> pd.DataFrame:
    """How far eFEL, elephant and this package agree on the features of runs: a row for each feature of each of the two.

    Columns: feature, of, cells (that have the feature), largest difference, unit.
    """
    rows: dict[tuple[str, str, str], list[float]] = {}
    for result in runs:
        ours = {label(cell): x for cell, x in ours_of(result).items()}
        others = {"eFEL": of_efel(result), "elephant": of_elephant(result)}
        for tool, cells in others.items():
            for cell, features in cells.items():
                for (name, unit), x in features.items():
                    wanted = ours[cell][name, unit]
                    same = np.shape(x) == np.shape(wanted)
                    worst = float(np.abs(np.subtract(x, wanted)).max(initial=0.0)) if same else np.inf
                    if np.size(wanted) and np.isfinite(np.sum(wanted)):
                        rows.setdefault((name, tool, unit), []).append(worst)
    return pd.DataFrame(
        [
            {"feature": name, "of": tool, "cells": len(x), "largest difference": max(x), "unit": unit}
            for (name, tool, unit), x in rows.items()
        ]
    )


Features = dict[tuple[str, str], Any]  # (feature, unit) -> value, or values
COUNT, TIMES, ISI, CV = ("spikes", ""), ("spike times", "ms"), ("mean interval", "ms"), ("CV of intervals", "")
PER_BURST, BURSTS = ("spikes per burst", ""), ("bursts", "")


EDGE = 5.0  # ms at the ends of a recording, where a spike may be cut, and the tools differ in whether it counts


def of_times(x: np.ndarray) -> Features:
    """The features of spike times (ms), by NumPy alone."""
    d = np.diff(x)
    return {
        COUNT: len(x),
        TIMES: x,
        ISI: d.mean() if len(d) else np.nan,
        CV: d.std() / d.mean() if len(d) > 1 else np.nan,
    }


def whole(result: Any, x: np.ndarray) -> np.ndarray:
    """Those of the spike times (ms) that are not at an end of the recording."""
    return x[(x > result.t[0] + EDGE) & (x < result.t[-1] - EDGE)]


def ours_of(result: Any) -> dict[Any, Features]:
    """Our own features of each cell."""
    from ..rhythm import bursts, spike_trains

    found = {}
    for cell, times in spike_trains(result).items():
        x = whole(result, times)
        of = bursts(x)
        found[cell] = of_times(x) | {BURSTS: len(of), PER_BURST: of[:, 2].mean() if len(of) else np.nan}
    return found


def of_efel(result: Any) -> dict[str, Features]:
    """eFEL's features of each cell; its bursts are by its own rule."""
    names, window = ["peak_time", "all_ISI_values", "burst_number"], (float(result.t[0]), float(result.t[-1]))
    found = {}
    for cell, of in efel_values(result, names, window, None).items():
        x, d, n = (np.zeros(0) if of[name] is None else np.asarray(of[name], float) for name in names)
        inside = np.isin(x, whole(result, x))
        mine = d[inside[1:] & inside[:-1]]
        intervals = {ISI: mean(mine), CV: mine.std() / mean(mine) if len(mine) > 1 else np.nan}
        found[label(cell)] = {
            COUNT: int(inside.sum()),
            TIMES: x[inside],
            **intervals,
            BURSTS: float(n[0]) if len(n) else 0.0,
        }
    return found


def mean(x: np.ndarray) -> float:
    """Mean; NaN of nothing."""
    return float(x.mean()) if len(x) else np.nan


def of_elephant(result: Any) -> dict[str, Features]:
    """elephant's features of each cell, from the block of Neo; bursts are parts of its trains without a long interval."""
    spike_train_generation = checks.package("elephant.spike_train_generation", "elephant", "the comparison")
    pq = checks.package("quantities", "elephant", "the comparison")
    statistics = checks.package("elephant.statistics", "elephant", "the comparison")
    found = {}
    (segment,) = to_neo(result, ["V"]).segments
    (signal,) = segment.analogsignals
    from_zero = signal.time_shift(-signal.t_start)  # the times that elephant gives count from the first sample
    trains = spike_train_generation.peak_detection(from_zero, SPIKE_THRESHOLD * pq.mV, always_as_list=True)
    for name, train in zip(signal.array_annotations["channel_names"], trains, strict=True):
        x = whole(result, train.rescale("ms").magnitude + result.t[0])
        d = np.asarray(statistics.isi(x)) if len(x) > 1 else np.zeros(0)
        intervals = {CV: float(statistics.cv(d)), ISI: d.mean()} if len(d) > 1 else {}
        groups = [g for g in np.split(x, np.flatnonzero(d > GAP) + 1) if len(g) and g[-1] - g[0] > MIN_BURST]
        per = {PER_BURST: np.mean([len(g) for g in groups])} if groups else {}
        found[str(name)] = {COUNT: len(x), TIMES: x, BURSTS: len(groups), **per, **intervals}
    return found
