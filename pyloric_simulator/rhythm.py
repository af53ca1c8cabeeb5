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
# these steps one after the other, for a run, for recorded potentials, or for spike times in ms, up to
# the fifteen criteria by which {cite:t}`Prinz2004` call a circuit *pyloric*. The circuit of their
# Fig. 3e serves as the example.

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
# {cell: len(times) for cell, times in run.spike_times().items()}  # spikes in eight seconds

# %%
from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from . import checks
from .prinz2004 import PACEMAKERS
from .results import SPIKE_THRESHOLD

# %% [markdown]
# ## Spikes
#
# A spike is a local maximum of the potential above −10 mV. Its time is that of the top of the parabola
# through the highest sample and its neighbours, so that it does not jump with the sampling. Upward
# crossings of the threshold, interpolated linearly, are the other usual definition; they come about
# 1 ms earlier. Of maxima closer than a refractory time of 1 ms the first counts: noise in a recording
# makes such pairs, cells do not.

# %%
THRESHOLD = SPIKE_THRESHOLD  # mV
REFRACTORY = 1.0  # ms, between spikes of a cell at least
KINDS = ("maxima", "crossings")


def maxima(t: np.ndarray, V: np.ndarray, threshold: float) -> np.ndarray:
    """Times of the local maxima of V above the threshold, between samples."""
    a, b, c = V[:-2], V[1:-1], V[2:]
    peak = np.flatnonzero((b > threshold) & (b > a) & (b >= c))
    a, b, c = a[peak], b[peak], c[peak]
    return t[1:-1][peak] + (t[2:] - t[:-2])[peak] * (a - c) / (a - 2 * b + c) / 4


def crossings(t: np.ndarray, V: np.ndarray, threshold: float) -> np.ndarray:
    """Times at which V rises through the threshold, between samples."""
    up = np.flatnonzero((V[:-1] <= threshold) & (V[1:] > threshold))
    return t[up] + (threshold - V[up]) / (V[up + 1] - V[up]) * (t[up + 1] - t[up])


def spikes(
    t: ArrayLike, V: ArrayLike, *, threshold: float = THRESHOLD, refractory: float = REFRACTORY, kind: str = "maxima"
) -> np.ndarray:  # fmt: skip
    """Spike times (ms) of one cell, from times t (ms) and potentials V (mV), each (time,).

    kind: "maxima" or "crossings"; refractory: ms. Raises ValueError or TypeError if t does not increase, if the
    lengths differ or if V is not finite.
    """
    checks.choice("kind", kind, KINDS)
    t, V = np.asarray(t, float), np.asarray(V, float)
    checks.trace(t, V)
    kept: list[float] = []
    for time in (maxima if kind == "maxima" else crossings)(t, V, threshold):
        if not kept or time - kept[-1] >= refractory:
            kept.append(float(time))
    return np.array(kept)


# %% [markdown]
# ## Bursts
#
# Spikes belong to one **burst** as long as no silence between them exceeds 150 ms, if the last of
# them comes more than 40 ms after the first. A single spike and a quick doublet are no bursts. The
# two numbers are not in the paper. Within a burst of these cells spikes follow each other in 8 to
# 115 ms, while the shortest pause that the fifteen criteria allow, of a PY cell that is active for
# half of the shortest cycle, lasts 500 ms; 150 ms lies between them.

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
# While the pacemaker bursts, LP and PY are silent ({numref}`fig-raster`). LP recovers first, then PY
# joins, and LP falls silent again before PY does.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Spikes (strokes), and the bursts that begin in the recording (boxes).", "name": "fig-raster"}}
# from .plotting import raster
#
# raster(run)

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

    A circuit knows the types of its cells; otherwise a cell's label tells, "PD" or "PD 1".
    """
    circuit = getattr(getattr(result, "model", None), "circuit", None)
    if circuit is not None:
        paces = circuit.pacemakers
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
def spike_trains(data: Any) -> dict[Any, np.ndarray]:
    """Spike times (ms) of each cell: of a result, of a DataFrame (index: times in ms, a column of potentials in mV
    for each cell), or of a mapping from cells to increasing spike times."""
    if isinstance(data, pd.DataFrame):
        t = np.asarray(data.index, float)
        return {cell: spikes(t, data[cell].to_numpy()) for cell in data}
    if hasattr(data, "states"):
        return {cell: spikes(data.t, V) for cell, V in zip(data.model.cells, data.states.V.T, strict=True)}
    checks.mapping_of_trains(data)
    return {cell: np.asarray(x, float) for cell, x in data.items()}


def recorded(data: Any, window: Window | None) -> tuple[dict[Any, np.ndarray], Window]:
    """Spike times of each cell within the window (ms), and the window."""
    trains = spike_trains(data)
    if window is None:
        times = data.t if hasattr(data, "states") else data.index if isinstance(data, pd.DataFrame) else None
        every = np.concatenate([[], *trains.values()]) if times is None else np.asarray(times, float)
        window = (float(np.min(every)), float(np.max(every))) if len(every) else (0.0, 0.0)
    return {c: x[(x >= window[0]) & (x <= window[1])] for c, x in trains.items()}, window


def describe(x: np.ndarray, window: Window, cycles: np.ndarray) -> dict[str, Any]:
    """One row of the summary, for spike times x; `cycles`: starts of the pacemaker's bursts in ms."""
    begin = begun(bursts(x), window)
    start, end, n = whole(begin, window).T
    T, cv = period(begin[:, 0])
    return {
        "spikes": len(x), "bursts": len(begin), "spikes per burst": mean(n),
        "burst (ms)": mean(end - start), "period (ms)": T, "period CV": cv, "duty cycle": mean(end - start) / T,
        "phase": mean_phase(begin[:, 0], cycles), "activity": activity(x, window),
    }  # fmt: skip


def summary(result: Any, window: Window | None = None) -> pd.DataFrame:
    """What each cell does, one row per cell; NaN where undefined, as for all of a silent cell.

    result: a result, a DataFrame of potentials or a mapping from cells to spike times, see `spike_trains`.
    window: start and end of the recording in ms; by default the first and the last time, or else the
    first and the last spike of all. Duty cycle, and phase of the burst's start in the pacemaker's cycle,
    run from 0 to 1. `.attrs` holds "pacemaker", the cell that sets the cycles, and "window".
    """
    trains, window = recorded(result, window)
    begin = {cell: begun(bursts(x), window) for cell, x in trains.items()}
    paces = pacemaker(result, begin)
    cycles = begin[paces][:, 0] if paces is not None else np.empty(0)
    rows = [describe(x, window, cycles) for x in trains.values()]
    table = pd.DataFrame(rows, index=pd.Index(list(trains)))
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

# %% [markdown]
# ## Fifteen features
#
# {cite:t}`Prinz2004` compare a circuit with lobsters by fifteen numbers, for which
# {cite:t}`Bucher2005` give mean and standard deviation in the animal. A circuit passes a criterion if
# its number lies within two standard deviations of that mean; the ranges are those of the paper, whose
# limits are rounded.


# %%
class Criterion(NamedTuple):
    """One feature of the rhythm and its accepted range (P04; B05)."""

    name: str
    cells: tuple[str, ...]  # whose bursts it takes
    unit: str
    mean: float  # of the lobsters
    sd: float  # of the lobsters
    low: float  # least accepted value
    high: float  # largest accepted value


ROLES = ("PD", "LP", "PY")
CRITERIA = (
    Criterion("cycle_period", ("PD",), "ms", 1509, 279, 952, 2067),
    Criterion("burst_duration_PD", ("PD",), "ms", 582, 133, 317, 847),
    Criterion("burst_duration_LP", ("LP",), "ms", 399, 113, 172, 625),
    Criterion("burst_duration_PY", ("PY",), "ms", 530, 150, 230, 830),
    Criterion("gap_PDend_LPstart", ("PD", "LP"), "ms", 221, 109, 4, 439),
    Criterion("gap_LPend_PYstart", ("PD", "LP", "PY"), "ms", -61, 60, -181, 59),
    Criterion("delay_PDstart_LPstart", ("PD", "LP"), "ms", 803, 169, 464, 1142),
    Criterion("delay_PDstart_PYstart", ("PD", "PY"), "ms", 1141, 216, 709, 1572),
    Criterion("duty_cycle_PD", ("PD",), "1", 0.385, 0.04, 0.305, 0.464),
    Criterion("duty_cycle_LP", ("PD", "LP"), "1", 0.264, 0.059, 0.146, 0.383),
    Criterion("duty_cycle_PY", ("PD", "PY"), "1", 0.348, 0.054, 0.24, 0.456),
    Criterion("phase_gap_PD_LP", ("PD", "LP"), "1", 0.148, 0.065, 0.018, 0.278),
    Criterion("phase_gap_LP_PY", ("PD", "LP", "PY"), "1", -0.04, 0.034, -0.108, 0.029),
    Criterion("phase_LPstart", ("PD", "LP"), "1", 0.533, 0.054, 0.426, 0.64),
    Criterion("phase_PYstart", ("PD", "PY"), "1", 0.758, 0.06, 0.638, 0.877),
)  # fmt: skip
FEATURES = tuple(c.name for c in CRITERIA)

# %% tags=["active-ipynb", "remove-input"]
# from .book import list_table
#
# list_table("The fifteen criteria, rendered from `CRITERIA`.", "tbl-criteria", ["feature", "unit", "lobsters", "accepted"],
#            [(f"`{c.name}`", c.unit, f"{c.mean:g} ± {c.sd:g}", f"{c.low:g} … {c.high:g}") for c in CRITERIA])

# %% [markdown]
# All but the durations of bursts are taken cycle by cycle and averaged over the cycles. A cycle is
# *seen* if the pacemaker's next burst is in the recording and no spikes of LP or PY that begin in the
# cycle go on within 150 ms of the recording's end, where a burst would be cut.


# %%
class Cycles(NamedTuple):
    """The cycles of a rhythm; times in ms, NaN where a cell has no burst or more than one."""

    PD_start: Any  # (cycle,)
    PD_end: Any  # (cycle,)
    next: Any  # (cycle,) start of the next cycle
    LP_start: Any  # (cycle,)
    LP_end: Any  # (cycle,)
    PY_start: Any  # (cycle,)
    PY_end: Any  # (cycle,)


def of_each_cycle(c: Cycles) -> dict[str, Any]:
    """The features that are averaged over cycles, each (cycle,), for NumPy and JAX arrays."""
    P = c.next - c.PD_start
    gap_1, gap_2 = c.LP_start - c.PD_end, c.PY_start - c.LP_end
    LP, PY = c.LP_start - c.PD_start, c.PY_start - c.PD_start
    return {
        "cycle_period": P, "gap_PDend_LPstart": gap_1, "gap_LPend_PYstart": gap_2,
        "delay_PDstart_LPstart": LP, "delay_PDstart_PYstart": PY,
        "duty_cycle_PD": (c.PD_end - c.PD_start) / P, "duty_cycle_LP": (c.LP_end - c.LP_start) / P,
        "duty_cycle_PY": (c.PY_end - c.PY_start) / P,
        "phase_gap_PD_LP": gap_1 / P, "phase_gap_LP_PY": gap_2 / P, "phase_LPstart": LP / P, "phase_PYstart": PY / P,
    }  # fmt: skip


def cut_short(x: np.ndarray, window: Window) -> np.ndarray:
    """The spikes x at the end of the window that may be the beginning of a longer burst, (0 or 1, 3)."""
    last = begun(bursts(x, min_duration=-1), window)[-1:]
    return last[window[1] - last[:, 1] <= GAP]


def seen_cycles(found: Mapping[str, np.ndarray], cut: Mapping[str, np.ndarray]) -> Cycles:
    """The seen cycles, from the bursts (burst, 3) of PD, LP and PY that begin in the window, and those of `cut_short`."""
    rows = []
    for (start, end, _), (following, _, _) in zip(found["PD"], found["PD"][1:], strict=False):
        inside = [[b for b in found[x] if start <= b[0] < following] for x in ("LP", "PY")]
        if any(start <= b[0] < following for x in ("LP", "PY") for b in cut[x]):
            continue
        only = [t for bs in inside for t in (bs[0][:2] if len(bs) == 1 else (np.nan, np.nan))]
        rows.append((start, end, following, *only))
    return Cycles(*np.array(rows, float).reshape(-1, len(Cycles._fields)).T)


# %% [markdown]
# A feature that cannot be taken is NaN, with the reason beside it. The first reason that holds counts.

# %%
WHY = (
    "",  # the feature is defined
    "silent",  # a cell it takes has no spikes
    "no bursts",  # a cell it takes has spikes, but too few bursts (two of the pacemaker, one of the others)
    "not triphasic",  # in some cycle a cell it takes has no burst or several
    "overflow",  # more spikes than there was room for (batches only)
    "not finite",  # the simulation broke down (batches only)
)


class Measures(NamedTuple):
    """The rhythm in numbers; in a batch every field has a leading axis."""

    values: Any  # (feature,) in the order of CRITERIA, ms and 1
    why: Any  # (feature,) index into WHY
    cv: Any  # () coefficient of variation of the pacemaker's period; NaN with fewer than two cycles


PER_CYCLE = frozenset(of_each_cycle(Cycles(*[np.nan] * len(Cycles._fields))))


def all_of(holds: Mapping[str, Any], cells: Sequence[str]) -> Any:
    """Whether something holds for all of some cells."""
    return reduce(operator.and_, [holds[x] for x in cells])


def reasons(n_spikes: Any, n_begun: Any, n_whole: Any, cycles: Cycles, seen: Any) -> list[Any]:
    """Index into WHY for each feature; NumPy or JAX arrays.

    Numbers, (role,), of spikes, of bursts that begin and of bursts that lie in the recording; cycles, and which of them
    are seen, (cycle,).
    """
    of_roles = lambda holds: dict(zip(ROLES, holds, strict=True))  # noqa: E731
    spiking, bursting = of_roles(n_spikes > 0), of_roles(n_whole > 0)
    cycling = bursting | {"PD": n_begun[0] > 1}  # the cycles are between its bursts
    starts = (cycles.PD_start, cycles.LP_start, cycles.PY_start)
    alone = of_roles([seen.any() & ((x == x) | ~seen).all() for x in starts])  # none is NaN
    codes = []
    for c in CRITERIA:
        cycle = c.name in PER_CYCLE
        silent, few = ~all_of(spiking, c.cells), ~all_of(cycling if cycle else bursting, c.cells)
        mixed = ~all_of(alone, c.cells) if cycle else silent
        codes.append(sum(k * x.astype(np.int32) for k, x in ((1, silent), (2, ~silent & few), (3, ~silent & ~few & mixed))))
    return codes


# %% [markdown]
# Averages are sums from first to last, so that the version for batches gives the same to the last bit.
# For the same reason the deviations in the CV are rounded to single precision, which makes their
# squares exact.


# %%
def average(x: np.ndarray) -> float:
    """Mean of x, summed from first to last; NaN of nothing."""
    return float(x.cumsum()[-1] / len(x)) if len(x) else np.nan


def variation(x: np.ndarray) -> float:
    """Standard deviation over mean; NaN of fewer than two numbers."""
    if len(x) < 2:
        return np.nan
    deviations = (x / average(x) - 1).astype(np.float32).astype(float)
    return float(np.sqrt(average(deviations * deviations)))


def measure(trains: Mapping[str, np.ndarray], window: Window) -> Measures:
    """Features from the spike times (ms) of "PD", "LP" and "PY" within the window (ms)."""
    found = {x: begun(bursts(trains[x]), window) for x in ROLES}
    lie = {x: whole(b, window) for x, b in found.items()}
    cycles = seen_cycles(found, {x: cut_short(trains[x], window) for x in ROLES})
    values = {name: average(x) for name, x in of_each_cycle(cycles).items()}
    values |= {f"burst_duration_{x}": average(b[:, 1] - b[:, 0]) for x, b in lie.items()}
    n_spikes, n_begun, n_whole = (np.array([len(d[x]) for x in ROLES]) for d in (trains, found, lie))
    why = np.array(reasons(n_spikes, n_begun, n_whole, cycles, np.ones(len(cycles.next), bool)))
    numbers = np.array([values[name] for name in FEATURES])
    return Measures(np.where(why == 0, numbers, np.nan), why, variation(np.diff(found["PD"][:, 0])))


# %% [markdown]
# ## Pyloric or not
#
# A circuit is **pyloric-like** if its rhythm is triphasic, with one burst of each cell in every cycle,
# and in the right order: LP starts after PD ends, LP starts before PY starts, and LP ends before PY
# ends. The rhythm must be periodic, too: the CV of the pacemaker's period is at most 2%. The paper
# asks for a periodic rhythm without giving a number; the chapter [on the database](database.md)
# shows what the number changes. A circuit is **pyloric** if it is pyloric-like and meets all
# fifteen criteria.

# %%
MAX_PERIOD_CV = 0.02
LOW, HIGH = (np.array([getattr(c, x) for c in CRITERIA]) for x in ("low", "high"))


def verdict(values: Any, cv: Any, max_cv: float = MAX_PERIOD_CV) -> tuple[Any, Any]:
    """Whether rhythms are pyloric-like and pyloric; values (…, feature), cv (…). NumPy or JAX arrays."""
    v = {name: values[..., i] for i, name in enumerate(FEATURES)}
    order = (v["gap_PDend_LPstart"] > 0) & (v["delay_PDstart_LPstart"] < v["delay_PDstart_PYstart"])
    order = order & (v["gap_LPend_PYstart"] + v["burst_duration_PY"] > 0) & ((cv <= max_cv) | np.isinf(max_cv))
    return order, order & within(values).all(-1)


def within(values: Any) -> Any:
    """Whether each feature (…, feature) lies in its accepted range; not if it is NaN."""
    return (values >= LOW) & (values <= HIGH)


def measured(data: Any, window: Window | None, cells: Mapping[str, Any] | None) -> Measures:
    """`measure` of the cells that play PD, LP and PY."""
    trains, window = recorded(data, window)
    chosen = roles(data, list(trains)) if cells is None else dict(cells)
    checks.roles(chosen, list(trains), ROLES)
    return measure({role: trains[chosen[role]] for role in ROLES}, window)


def roles(data: Any, labels: Sequence[Any]) -> dict[str, Any]:
    """The first cells that are PD (or else AB/PD, or else AB), LP and PY, by the model or else by the label."""
    if hasattr(data, "model"):
        circuit = data.model.circuit
        types = [circuit.populations[i].type for i in circuit.rows for _ in range(circuit.populations[i].copies)]
    else:
        types = [str(x[0] if isinstance(x, tuple) else x).split(" ")[0] for x in labels]
    wanted = {"PD": ("PD", "AB/PD", "AB"), "LP": ("LP",), "PY": ("PY",)}
    found = {role: [labels[types.index(t)] for t in names if t in types] for role, names in wanted.items()}
    return {role: first[0] for role, first in found.items() if first}


# %% [markdown]
# The functions that take a result, a DataFrame of potentials, or spike times:


# %%
def features(data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None) -> pd.Series:
    """The fifteen features, in ms and 1; NaN where undefined, with the reasons in `.attrs["why"]`.

    data: see `spike_trains`; window: start and end in ms, by default of the whole recording; cells: the labels that play
    "PD", "LP" and "PY", by default the first cell of each type. Raises ValueError if a cell is missing. (P04 p. 1348)
    """
    found = measured(data, window, cells)
    series = pd.Series(found.values, pd.Index(FEATURES, name="feature"), name="value")
    series.attrs = {"why": dict(zip(FEATURES, [WHY[i] for i in found.why], strict=True)), "period CV": float(found.cv)}
    return series


def is_pyloric_like(
    data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None, max_cv: float = MAX_PERIOD_CV
) -> bool:  # fmt: skip
    """Whether the rhythm is periodic, triphasic and in the right order (P04 p. 1348). max_cv: np.inf asks for no period."""
    found = measured(data, window, cells)
    return bool(verdict(found.values, found.cv, max_cv)[0])


def is_pyloric(
    data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None, max_cv: float = MAX_PERIOD_CV
) -> bool:  # fmt: skip
    """Whether the rhythm is pyloric-like and meets the fifteen criteria (P04 p. 1348)."""
    found = measured(data, window, cells)
    return bool(verdict(found.values, found.cv, max_cv)[1])


def report(data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row for each criterion: value, accepted range, whether it passes, and why a value is missing."""
    found = measured(data, window, cells)
    table = pd.DataFrame(
        {"value": found.values, "low": LOW, "high": HIGH, "unit": [c.unit for c in CRITERIA],
         "passes": within(found.values), "why": [WHY[i] for i in found.why]}, index=pd.Index(FEATURES, name="feature"),
    )  # fmt: skip
    like, pyloric = verdict(found.values, found.cv)
    table.attrs = {"period CV": float(found.cv), "pyloric_like": bool(like), "pyloric": bool(pyloric)}
    return table


# %% tags=["active-ipynb"]
# report(run).round(3)

# %% [markdown]
# The circuit of Fig. 3e meets twelve of the criteria. Its PY cell starts too early for the other
# three ({numref}`fig-criteria`). Its period never settles: it varies between 1.75 and 1.88 s, with a
# CV of 2.5% in these eight seconds and of 2.1% in the 50 s after them.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Above, each feature (dot) in standard deviations of the lobsters from their mean, and its accepted range (bar). Below, each cell's burst in the cycle (bar), and mean ± s.d. of where it starts in the lobsters (dot and whiskers).", "name": "fig-criteria"}}
# from .plotting import criteria_chart, phase_diagram
#
# (criteria_chart(run) + phase_diagram(run)).opts(shared_axes=False, toolbar=None).cols(1)

# %% [markdown]
# ## More about a cell
#
# Statistics that models of this kind are compared by, beside those of the summary: the height of
# spikes, the longest *plateau*, the time that the potential stays above −30 mV
# {cite:p}`Goncalves2020`, and the moments of the potential.

# %%
PLATEAU = -30.0  # mV


def longest_above(t: np.ndarray, V: np.ndarray, level: float) -> float:
    """The longest time (ms) for which V stays above a level (mV)."""
    edges = np.flatnonzero(np.diff((level < V).astype(int), prepend=0, append=0))
    return float(max((t[b - 1] - t[a] for a, b in edges.reshape(-1, 2)), default=0.0))


def statistics(data: Any) -> pd.DataFrame:
    """One row for each cell of a result or a DataFrame of potentials (index: times in ms); NaN where undefined."""
    V = data if isinstance(data, pd.DataFrame) else data.V
    t, rows = np.asarray(V.index, float), []
    for cell in V:
        x = V[cell].to_numpy(float)
        peak = (x[1:-1] > x[:-2]) & (x[1:-1] >= x[2:]) & (x[1:-1] > THRESHOLD)
        mean_V, sd = x.mean(), x.std()
        z = (x - mean_V) / sd if sd else np.full_like(x, np.nan)
        rows.append({"spike height (mV)": mean(x[1:-1][peak]), "plateau (ms)": longest_above(t, x, PLATEAU),
                     "mean V (mV)": mean_V, "sd V (mV)": sd, "skewness": (z**3).mean(), "kurtosis": (z**4).mean() - 3})  # fmt: skip
    return pd.DataFrame(rows, index=V.columns)


# %% tags=["active-ipynb"]
# statistics(run).round(2)

# %% [markdown]
# ## Two rhythms of one circuit
#
# The same circuit, with the same parameters, has a second stable rhythm, in which LP fires tonically
# and its synapse holds the pacemaker below −59 mV, far from a spike. Where the cells start decides
# which of the two follows. Two starts that lead to the second one: cells taken out of their own
# rhythms late in the pacemaker's burst, and the cold start with every inactivation gate $h$ closed
# instead of open.

# %% tags=["active-ipynb"]
# alone = circuit.thermalize()  # each cell in its own rhythm, for 5 s
# paces = bursts(alone.spike_times()["AB/PD", 0])
# starts = {
#     "thermalized": circuit.get_thermalization(),
#     "late in the pacemaker's burst": alone[: paces[-1, 1] - 150].final_state,  # 150 ms before its end
#     "cold, all h = 0": circuit.cold._replace(h=0 * circuit.cold.h),
# }
# times = np.arange(0, 10000, 0.1)
# runs = {name: circuit(times, state=start)[2000:] for name, start in starts.items()}
#
# triphasic, *dominated = runs.values()
# assert is_pyloric_like(triphasic, max_cv=MAX_CV)
# for result in dominated:
#     assert list(summary(result)["activity"]) == ["silent", "tonic", "silent"]
#     assert not report(result)["passes"].any()

# %% tags=["active-ipynb", "remove-input"]
# says = lambda row: f"{row['activity']}, {row['spikes'] / 8:.1f}/s" if row["spikes"] else row["activity"]
# list_table("What each cell does after two seconds, with its spikes per second.", "tbl-rhythms", ["start", *circuit.labels],
#            [(name, *map(says, summary(result).to_dict("records"))) for name, result in runs.items()])

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "One circuit from the three starts of {numref}`tbl-rhythms`.", "name": "fig-rhythms"}}
# panels = [raster(result, (2000, 6000)).opts(title=name, height=170) for name, result in runs.items()]
# hv.Layout(panels).opts(toolbar=None).cols(1)

# %% [markdown]
# LP has two ways to dominate: with the closed gates it fires twice a second instead of 18 times. Both
# rhythms of LP, like the triphasic one, went on for the whole of runs of 60 s, with the default scheme
# at 0.05 and at 0.0125 ms and with exponential Euler at 0.025 ms. They are states of the circuit, not
# of a scheme, and not transients.
#
# When isolated cells are joined, the phase of the pacemaker decides ({numref}`fig-moments`): from about
# 0.2 s after its burst begins to about 0.1 s after it ends LP wins, at other moments the triphasic
# rhythm does. The phases of LP and PY matter little. With both taken at random, all of 64 circuits
# joined between those limits ended with LP, and 149 of 152 joined clearly outside of them in the
# triphasic rhythm. So the parameters of a circuit alone do not tell its rhythm. Circuits here start as
# those of the paper do: thermalized, every cell in the state that it reaches alone after 5 s. For
# AB/PD 2 that is a moment between two bursts.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The isolated pacemaker, and the rhythm that follows if the cells are joined at a moment of their isolated runs.", "name": "fig-moments"}}
# import jax
#
# from .prinz2004 import precision, simulate
#
# moments = np.arange(2450, 4000, 75)  # ms
# joined = jax.tree.map(lambda x: x[moments], alone.states)
# with precision():
#     V = jax.jit(jax.vmap(lambda start: simulate(circuit.params, start, np.arange(0.0, 6000)).V))(joined)
# paced = np.asarray(V)[:, 4000:, 0].max(axis=1) > THRESHOLD  # more than a period, after what may be a late first burst
# since = moments - paces[np.searchsorted(paces[:, 0], moments) - 1, 0]
# assert paced[(since < 150) | (since > 800)].mean() > 0.8 and not paced[(since > 300) & (since < 550)].any()
#
# trace = alone[moments[0] - 50 : moments[-1] + 50]
# dots = [hv.Points((moments[x], np.full(x.sum(), 60.0)), label=name).opts(size=8, color=color)
#         for x, name, color in ((paced, "triphasic", "#3060a8"), (~paced, "LP dominates", "#c05020"))]
# shown = hv.Curve((trace.t, trace.states.V[:, 0]), "time (ms)", "V of AB/PD (mV)").opts(color="gray", line_width=1)
# hv.Overlay([shown, *dots]).opts(width=680, height=230, toolbar=None, legend_position="right", ylim=(-80, 75))
