# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version,-jupytext.text_representation.format_version
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["active-ipynb", "remove-cell"]
# from _notebook import __spec__

# %% [markdown]
# # From voltage to rhythm
#
# What a circuit does is read off the times of its spikes: spikes form bursts, the bursts of the
# pacemaker divide time into cycles, and every cell has its place in the cycle. This chapter takes
# these steps one after the other, for any spike times in ms: those of a run, or recorded ones.
# The circuit of Fig. 3e of {cite:t}`Prinz2004` serves as the example.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"

# %% tags=["active-ipynb"]
# import numpy as np
#
# from .config import find_circuit
# from .prinz2004 import Prinz2004
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# run = circuit(np.arange(0, 10000, 0.1))[2000:]
# {cell: len(times) for cell, times in run.spike_times().items()}

# %%
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .prinz2004 import PACEMAKERS

# %% [markdown]
# ## Bursts
#
# Spikes belong to one **burst** as long as no silence between them exceeds 150 ms, if the last of
# them comes more than 40 ms after the first. A single spike and a quick doublet are no bursts.

# %%
GAP = 150.0  # ms, a longer silence separates bursts
MIN_BURST = 40.0  # ms, bursts are longer
Window = tuple[float, float]  # ms, start and end of a recording


def bursts(spikes: ArrayLike, *, gap: float = GAP, min_duration: float = MIN_BURST) -> np.ndarray:
    """Bursts among increasing spike times (ms).

    Returns (burst, 3): time of the first and of the last spike in ms, and number of spikes.
    """
    x = np.asarray(spikes, float)
    split = np.flatnonzero(np.diff(x, prepend=-np.inf, append=np.inf) > gap)
    first, last = x[split[:-1]], x[split[1:] - 1]
    found = np.stack([first, last, np.diff(split)], axis=1)
    return found[last - first > min_duration]


# %% [markdown]
# The silence must be seen. Where a recording begins or ends within 150 ms of a spike, nobody knows
# how much of the burst is missing. Such a burst would look too short, and so would its cycle. Below,
# a burst *begins* where the silence before it was seen, and is *whole* where the one after it was
# seen, too. A train of spikes that fills the recording never begins.


# %%
def begun(found: np.ndarray, window: Window) -> np.ndarray:
    """Those of the bursts (burst, 3) that begin in the recording."""
    return found[found[:, 0] - window[0] > GAP]


def whole(found: np.ndarray, window: Window) -> np.ndarray:
    """Those of the bursts (burst, 3) that lie in the recording as a whole."""
    return begun(found[window[1] - found[:, 1] > GAP], window)


# %% [markdown]
# In the picture each stroke is a spike and each box a burst. While the pacemaker bursts, LP and PY are
# silent. LP recovers first, then PY joins, and LP falls silent again before PY does.

# %% tags=["active-ipynb", "hide-input"]
# trains = {f"{pop} {index}": spikes for (pop, index), spikes in run.spike_times().items()}
# rows = list(enumerate(trains.values()))
# boxes = [(a, -y - 0.4, b, -y + 0.4) for y, spikes in rows for a, b, _ in bursts(spikes)]
# strokes = [(x, -y - 0.3, x, -y + 0.3) for y, spikes in rows for x in spikes]
# raster = hv.Rectangles(boxes).opts(color="#c6dbef", line_color=None)
# raster = raster * hv.Segments(strokes).opts(color="black", line_width=0.7, xlabel="time (ms)", ylabel="")
# raster.opts(width=680, height=200, toolbar=None, yticks=[(-y, name) for y, name in enumerate(trains)])

# %% [markdown]
# ## Cycles and phases
#
# The **period** of a cell is the mean interval between the first spikes of its successive bursts.
# The intervals' coefficient of variation (CV), standard deviation over mean, says how regular it
# is. It takes two intervals, so three bursts, to know one.


# %%
def mean(x: np.ndarray) -> float:
    """Mean; NaN, without a warning, of nothing."""
    return float(x.mean()) if len(x) else np.nan


def period(starts: np.ndarray) -> tuple[float, float]:
    """Mean interval between the starts of bursts, in their unit, and its CV; NaN where undefined."""
    intervals = np.diff(starts)
    return mean(intervals), float(intervals.std() / intervals.mean()) if len(intervals) > 1 else np.nan


# %% [markdown]
# A **cycle** lasts from one burst of the pacemaker to the next. A burst that starts at time $t$ in
# a cycle from $t_k$ to $t_{k+1}$ has the phase $φ = (t - t_k)/(t_{k+1} - t_k)$. Phases lie on a
# circle, where 0.99 and 0.01 are close and their mean is 0, not 0.5; so the mean is taken there:
#
# $$
# \bar φ = \frac{1}{2π} \arg \sum_j e^{2πi φ_j} \mod 1.
# $$ (eq-phase)


# %%
def mean_phase(starts: np.ndarray, cycles: np.ndarray) -> float:
    """Mean phase, 0…1, {eq}`eq-phase`, of bursts starting in the cycles that start at `cycles`."""
    k = np.searchsorted(cycles, starts, side="right")
    inside = (k > 0) & (k < len(cycles))
    k, starts = k[inside], starts[inside]
    φ = (starts - cycles[k - 1]) / (cycles[k] - cycles[k - 1])
    return float(np.angle(np.exp(2j * np.pi * φ).sum()) / (2 * np.pi) % 1) if len(φ) else np.nan


# %% [markdown]
# The pacemaker is the first cell of type AB, PD or AB/PD, even if it is silent: then there are no
# cycles and no phases. In a circuit without such a cell, the first one that bursts takes its place.


# %%
def pacemaker(result: Any, found: Mapping[Any, np.ndarray]) -> Any:
    """The cell whose bursts begin the cycles, among those of `found` (cell -> bursts); None without one.

    The model of the result knows the types of its cells; otherwise a cell's label tells, "PD" or "PD 1".
    """
    if hasattr(result, "model"):
        paces = result.model.circuit.pacemakers
    else:
        labels = [str(cell[0] if isinstance(cell, tuple) else cell) for cell in found]
        paces = [label.split(" ")[0] in PACEMAKERS for label in labels]
    typed = [cell for cell, paced in zip(found, paces, strict=True) if paced]
    return next(iter(typed or [cell for cell, b in found.items() if len(b) > 1]), None)


# %% [markdown]
# ## What a cell does
#
# {cite:t}`Prinz2003` sort cells into silent, tonic, bursting and irregular ones. Here, in this
# order:
#
# silent
# : no spike.
#
# bursting
# : at least two bursts that begin in the recording, and a period whose CV, where known, is at most
#   10%. That is generous, since a recording may hold few cycles, and the first ones still settle.
#
# tonic
# : spikes without a pause: no silence, those at the edges of the recording included, is longer than
#   twice the median interval between spikes. A cell that fires one spike in every cycle is tonic.
#
# irregular
# : everything else. A cell with a single burst is here as well, for nothing shows that it repeats.

# %%
MAX_CV = 0.1  # of the period of a bursting cell
MAX_PAUSE = 2.0  # median intervals of a tonic cell


def activity(spikes: ArrayLike, window: Window) -> str:
    """One of the four words above, for spike times and the ends of the recording in ms."""
    x = np.asarray(spikes, float)
    if len(x) == 0:
        return "silent"
    starts = begun(bursts(x), window)[:, 0]
    if len(starts) > 1 and not period(starts)[1] > MAX_CV:
        return "bursting"
    pause = np.diff(x, prepend=window[0], append=window[1]).max()
    return "tonic" if len(x) > 1 and pause <= MAX_PAUSE * np.median(np.diff(x)) else "irregular"


# %% [markdown]
# ## Summary
#
# One row for each cell. The **duty cycle** is the mean duration of a burst over the period.


# %%
def recorded(result: Any, window: Window | None) -> tuple[dict[Any, np.ndarray], Window]:
    """Spike times of each cell within the window (ms), and the window."""
    trains = result.spike_times() if hasattr(result, "spike_times") else result
    spikes = {cell: np.asarray(x, float) for cell, x in trains.items()}
    if window is None:
        every = result.t if hasattr(result, "t") else np.concatenate([[], *spikes.values()])
        window = (float(np.min(every)), float(np.max(every))) if len(every) else (0.0, 0.0)
    return {c: x[(x >= window[0]) & (x <= window[1])] for c, x in spikes.items()}, window


def describe(spikes: np.ndarray, window: Window, cycles: np.ndarray) -> dict[str, Any]:
    """One row of the summary; `cycles`: starts of the pacemaker's bursts in ms."""
    begin = begun(bursts(spikes), window)
    start, end, n = whole(begin, window).T
    T, cv = period(begin[:, 0])
    return {
        "spikes": len(spikes), "bursts": len(begin), "spikes per burst": mean(n),
        "burst (ms)": mean(end - start), "period (ms)": T, "period CV": cv, "duty cycle": mean(end - start) / T,
        "phase": mean_phase(begin[:, 0], cycles), "activity": activity(spikes, window),
    }  # fmt: skip


def summary(result: Any, window: Window | None = None) -> pd.DataFrame:
    """What each cell does, one row per cell; NaN where undefined, as for all of a silent cell.

    result: anything with `spike_times()`, or a mapping from cells to increasing spike times in ms.
    window: start and end of the recording in ms; by default those of `result.t`, or else the first
    and the last spike of all. Duty cycle, and phase of the burst's start in the pacemaker's cycle,
    run from 0 to 1. `.attrs` holds "pacemaker", the cell that sets the cycles, and "window".
    """
    spikes, window = recorded(result, window)
    begin = {cell: begun(bursts(x), window) for cell, x in spikes.items()}
    paces = pacemaker(result, begin)
    cycles = begin[paces][:, 0] if paces is not None else np.empty(0)
    rows = [describe(x, window, cycles) for x in spikes.values()]
    table = pd.DataFrame(rows, index=pd.Index(list(spikes)))
    table.index.names = ["pop", "index"] if table.index.nlevels == 2 else ["cell"]
    table.attrs = {"pacemaker": paces, "window": window}
    return table


# %% tags=["active-ipynb"]
# summary(run).round(3)

# %% [markdown]
# The order of the phases is that of the rhythm: the pacemaker, LP, PY.

# %% tags=["active-ipynb"]
# order = summary(run)["phase"].sort_values().index
# assert list(order.get_level_values("pop")) == ["AB/PD", "LP", "PY"]
