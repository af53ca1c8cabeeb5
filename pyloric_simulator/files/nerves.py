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
# import sys
#
# sys.path.append("..")
# from _notebook import __spec__

# %% [markdown]
# # The rhythm of nerves
#
# Most recordings of the {term}`pyloric rhythm` have no electrode in a cell. A pin in a well around a motor
# nerve shows the spikes of all axons that run in it: PD alone in the pdn, PY in the pyn, and all three in the
# lvn, where they differ in size. Can one tell from three pins whether the rhythm is {term}`pyloric`? Here are
# ten seconds of such nerves, made from the spikes of the paper's circuit, with noise of a fifth of the smallest
# spike.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"

# %% tags=["active-ipynb"]
# import numpy as np
#
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
# from ..rhythm import report
# from .nerves import nerve, read_nerves
#
# run = Prinz2004.from_toml(find_circuit("paper"))(np.arange(0, 10000, 0.1))
# true = {cell: times for (cell, _), times in run.spike_times().items()}
# made = nerve({"lvn": [(true["LP"], 0.4), (true["AB/PD"], 0.15)], "pyn": [(true["PY"], 0.1)]}, 10_000, noise=0.02, seed=1)
# found = read_nerves(made, {"PD": ("lvn", 0.07, 0.25), "LP": ("lvn", 0.25), "PY": "pyn"})
# {cell: (len(times), len(x)) for (cell, times), x in zip(found.trains.items(), (true["AB/PD"], true["LP"], true["PY"]))}

# %% [markdown]
# The first number of each pair is that of the spikes that were found, the second one of those that were there.
# What was found has the form of all recordings, so that pictures and criteria take it as it is
# ({numref}`fig-nerve`).

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Two seconds of a made lateral ventricular nerve: the large spikes are of LP, the small ones of PD. The lines part the windows.", "name": "fig-nerve"}}
# part = made.loc[3000:5000]
# trace = hv.Curve((part.index, part["lvn"]), "time (ms)", "lvn (mV)").opts(width=680, height=220, color="#3060a8", line_width=0.7, toolbar=None)
# trace * hv.HLine(0.07).opts(color="#c05020", line_width=1) * hv.HLine(0.25).opts(color="#c05020", line_width=1)

# %% tags=["active-ipynb"]
# judged = report(found)
# by_run = report(run)
# assert (judged["passes"] == by_run["passes"]).all()
# assert abs(judged["value"] / by_run["value"] - 1).max() < 0.01
# int(judged["passes"].sum()), int(by_run["passes"].sum())

# %% [markdown]
# ## What it does and what it costs
#
# `read_nerves(data, units)` takes a file of any kind that the chapter [on recordings](instruments.py) tells of,
# or a table, and a mapping from cells to where their spikes are: the name of a channel, or the channel with the
# least and the largest height of the spikes in mV. It gives a recording of spike times, which `report`,
# `summary`, `features` and `raster` take. `nerve_spikes` gives all spikes of some channels with their heights,
# and `height_windows` proposes windows. At a terminal, `pyloric rhythm FILE --nerves
# PD=pdn,LP=lvn:0.25,PY=pyn`.
#
# Files of instruments are read in pieces of a million samples. Ten minutes of four nerves at 20 kHz, 48 million
# samples of an `.abf` file, take 2 s and 0.44 GB of memory, from the start of Python to the fifteen criteria;
# four potentials of cells take 6 s of processor time and 0.84 GB (AMD EPYC).
#
# **Limits.** Two spikes closer than the refractory time are one: where PD and PY fire together on the lvn, the
# smaller one is lost. Units are told by height alone, not by shape; where two units have the same height, take
# another nerve.

# %%
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..engine import checks
from ..engine.scale import INTERVAL, SAMPLING, suspicion
from .recording import TIME, Recording, gaps, is_kind, pieces, potentials, source_of, spelled, unit_of

__all__ = ["NerveDetection", "height_windows", "nerve", "nerve_spikes", "read_nerves"]

# %% [markdown]
# ## What is a spike on a nerve
#
# Outside an axon a spike is a current that flows in here and out there, so that the pin sees two or three
# phases of opposite sign within one or two milliseconds. Which phase is the largest depends on how the well is
# wired, so both polarities count, and of all peaks within the **refractory** time, 1.5 ms, the highest one is
# the spike.
#
# The **threshold** follows from the noise. A trace is averaged first, over 0.25 ms to either side with weights
# that fall to 0, which takes out what is faster than any spike, and its level over 10 ms to either side is
# subtracted, which takes out what is slower. What is left has a standard deviation that the median of its sizes
# tells,
#
# $$
# σ = \operatorname{median} |x| \,/\, 0.6745,
# $$
#
# almost undisturbed by spikes, since they fill a small share of the time. A peak that is higher than $4.5\,σ$
# is a spike. White noise sampled at 20 kHz reaches this height a few times a minute.
#
# An **artefact**, as of a stimulus, is known by a size that no axon has here. Whatever comes within the guard
# time of a sample beyond `artefact` is left out.


# %%
class NerveDetection(NamedTuple):
    """What counts as a spike on a nerve: `NerveDetection(artefact=5.0)` where stimuli are higher than 5 mV."""

    threshold: float | None = None  # mV, a spike is higher, on either side of 0; None: `share` times the noise
    share: float = 4.5  # standard deviations of the averaged noise
    refractory: float = 1.5  # ms, between spikes of a nerve at least
    polarity: str = "both"  # or "positive", "negative"
    artefact: float | None = None  # mV, what is higher is none of an axon; None: nothing is
    guard: float = 5.0  # ms to either side of an artefact that are left out


STANDARD = NerveDetection()
POLARITIES = ("both", "positive", "negative")
AVERAGE = 0.25  # ms to either side, over which a trace is averaged
LEVEL = 10.0  # ms to either side, over which its level is taken
NORMAL = 0.6745  # median of the sizes of normal numbers with a standard deviation of 1
COARSEST = 0.25  # ms, between samples that show every spike of an axon


def checked(d: Any) -> NerveDetection:
    """The same, after a look at every number."""
    checks.of_type("detection", d, NerveDetection, "a NerveDetection, such as NerveDetection(artefact=5.0)")
    checks.choice("polarity", d.polarity, POLARITIES)
    height = lambda name, x: None if x is None else checks.positive(name, x, "mV")  # noqa: E731
    refractory, guard = (checks.number(name, getattr(d, name), "ms", least=0) for name in ("refractory", "guard"))
    for name, x in (("refractory", refractory), ("guard", guard)):
        if 0 < x < 0.02:
            checks.warn(f"{name} is {x:g} ms, less than an axon's spike lasts. If it is in s, multiply it by 1000.")
    if refractory > 50:
        checks.warn(
            f"refractory is {refractory:g} ms, longer than the intervals in a burst. If it is in µs, multiply it by 0.001."
        )
    share = checks.positive("share", d.share, "standard deviations")
    return NerveDetection(
        height("threshold", d.threshold), share, refractory, d.polarity, height("artefact", d.artefact), guard
    )


# %% [markdown]
# How often is noise a spike? In ten minutes of three made nerves, 26 to 38 peaks of white noise were higher than
# $4.5\,σ$, three or four a minute, beside five to nine true spikes a second. That matters only where a burst is
# found by its first spike: a false one 100 ms before it moves its start by as much. A window that begins above
# the noise takes it out, so give one to each cell whose smallest spike you know.
#
# How many true spikes are lost? One of height $h$ is missed if noise of the opposite sign takes it below the
# threshold. The average leaves a third of white noise at 20 kHz and 85% of a spike, so that a spike of five
# standard deviations of the raw noise stands 13 averaged ones high, eight above the threshold. Noise in the
# band of the spikes is not reduced like that, which is why the second number at the end of this chapter is
# lower than the first one.
#
# All numbers are checked before anything is read. A refractory time of 0.0015 is taken for one in seconds, and
# said to be.
#
# ## A trace in pieces
#
# What is averaged over needs neighbours. So each piece of a million samples is read with some more at both
# ends, and peaks are kept only of its own part. No piece goes over a gap of the recording.

# %%
PIECE = 1 << 20  # samples


class Traces(NamedTuple):
    """Channels of a file or of a table, which are read in pieces."""

    names: tuple[Any, ...]
    t: np.ndarray  # (time,) ms
    read: Any  # function of a name, a number of a sample and one after the last, gives mV
    source: Any


def opened(data: Any, channels: Sequence[Any], **options: Any) -> Traces:
    """The channels of a file, of a table of potentials in mV with an index in ms, or of one that was opened."""
    if isinstance(data, (str, os.PathLike)):
        source = source_of(data, list(channels), **options)
    else:
        checks.of_type(
            "the recording of nerves", data, pd.DataFrame, "a table in mV with an index in ms, or the path of a file"
        )
        kept = [c for c in data.columns if c in channels or unit_of(c) or is_kind(data[c], "mM") or spelled(c) in TIME]
        whole = potentials(data[kept] if set(channels) <= set(data) else data)
        for channel in channels:
            checks.choice("a nerve", channel, list(whole.columns))
        source = whole[list(channels)]
    if isinstance(source, pd.DataFrame):
        t, read = source.index.to_numpy(float), lambda name, a, b: source[name].to_numpy()[a:b]
        names = tuple(source.columns)
    else:
        t, read, names = source.clock.times(), source.millivolts, tuple(source)
    check_sampling(t)
    return Traces(names, t, read, source)


# %% [markdown]
# A spike of an axon lasts a millisecond or two. Sampled each 0.25 ms it has half a dozen samples, and its top
# is missed by little; at 1 ms, as some export for a plot, it may fall between two. Such a recording is refused,
# since what is found of it would depend on chance. Rigs sample nerves at 10 kHz or more.


# %%
def check_sampling(t: np.ndarray) -> None:
    """Refuse times (ms) that are too few, in another unit, or too coarse for spikes of axons."""
    if len(t) < 100:
        raise ValueError(f"the recording of nerves has {len(t)} samples, too few for spikes; give some seconds of it.")
    if (usual := float(np.median(np.diff(t[:PIECE])))) > COARSEST:
        wrong = suspicion("the sampling interval", usual, SAMPLING) or f"the sampling interval is {usual:g} ms."
        raise ValueError(
            f"{wrong} Spikes of axons last a millisecond; it takes {COARSEST:g} ms at most. Record nerves at 10 kHz or more."
        )
    if usual < SAMPLING.least:
        raise ValueError(suspicion("the sampling interval of the nerves", usual, SAMPLING))


def ranges(t: np.ndarray, margin: int) -> Iterator[tuple[int, int, int, int]]:
    """Pieces of a recording: first and last sample to be read, first and last of its own part, each last one excluded."""
    edges = [0, *(gaps(t) + 1).tolist(), len(t)]
    for first, last in pairwise(edges):
        for a in range(first, last, PIECE):
            b = min(a + PIECE, last)
            yield max(a - margin, first), min(b + margin, last), a, b


# %% [markdown]
# ## Averages
#
# Why not a proper filter? One of Butterworth's kind rings: a large spike of LP is followed by ripples that a
# small threshold takes for spikes of PY, and run forwards only it delays all times. Weights that are positive
# and symmetric do neither. They also need no library, and leave the height of a spike nearly as it is: 85% of
# that of a made one.
#
# The weights of the average are a triangle, and so are those of the level, which is a mean of means over 10 ms.
# A plain mean over 20 ms would not do: where a spike enters its window it changes by a percent of the spike,
# which beside little noise is a spike of its own. A mean is the difference of two running sums, whose cost does
# not depend on its length. Near the ends of a recording it is that of fewer samples, as many before as after,
# so that a slow drift makes no spike there.


# %%
def moving(x: np.ndarray, half: int) -> np.ndarray:
    """The mean of x (time,) over `half` samples to either side, or fewer near the ends."""
    n = len(x)
    half = min(half, (n - 1) // 2)
    sums = np.concatenate([[0.0], np.cumsum(x)])
    found = np.empty(n)
    np.subtract(sums[2 * half + 1 :], sums[: n - 2 * half], out=found[half : n - half])
    found[half : n - half] /= 2 * half + 1
    ends = np.append(np.arange(half), np.arange(n - half, n))
    width = np.minimum(ends, n - 1 - ends)  # samples to either side
    found[ends] = (sums[ends + width + 1] - sums[ends - width]) / (2 * width + 1)
    return found


def flattened(x: np.ndarray, step: float) -> np.ndarray:
    """A trace (time,), sampled each `step` ms, without what is slower and what is faster than spikes of axons."""
    reach, half = round(AVERAGE / step), max(round(LEVEL / step / 2), 1)
    level = moving(moving(x, half), half)
    if reach == 0:
        return x - level
    weights = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    y = np.convolve(np.pad(x, reach, mode="edge"), weights / weights.sum(), mode="valid")
    y -= level
    return y


# %% [markdown]
# Forty parts of 4096 samples, spread over the recording, tell the noise. At 20 kHz they are 8 s, long enough
# for a median to three digits. A nerve that is silent in half of the recording and noisy in the other half, as
# when a pin loses its seal, gets one threshold for both; look at such a recording in two windows.

# %%
SAMPLES = (40, 4096)  # parts that are looked at for the noise, and samples of each
QUIET = 1e-6  # mV, less than the noise of any electrode


def noise_of(traces: Traces, name: Any, step: float) -> float:
    """The standard deviation (mV) of the averaged noise of a channel, from parts all over the recording. Raises ValueError without any."""
    n, (parts, size) = len(traces.t), SAMPLES
    starts = np.unique(np.linspace(0, max(n - size, 0), parts).astype(int))
    sizes = [np.abs(flattened(traces.read(name, a, min(a + size, n)), step)) for a in starts.tolist()]
    found = float(np.median(np.concatenate(sizes))) / NORMAL
    if found < QUIET:
        raise ValueError(
            f"the nerve {name!r} has noise of {found:.2g} mV, less than any electrode; its channel was off, or it is made. Say what a spike is: "
            "detection=NerveDetection(threshold=0.05)."
        )
    return found


# %% [markdown]
# ## Peaks
#
# The highest sample of a spike is not its top. At 10 kHz the two differ by up to 0.05 ms, which no rhythm
# minds, but conduction delays between two nerves are measured in tenths of milliseconds. A parabola through
# three samples puts the top of a made spike to 0.01 ms where it was.
#
# Samples above the threshold are few. Of them those are peaks that are higher than the one before and not lower
# than the one after, and the time of a peak is that of the top of the parabola through the three.


# %%
class Peaks(NamedTuple):
    """Peaks of a nerve, in their order."""

    time: np.ndarray  # (peak,) ms
    height: np.ndarray  # (peak,) mV, below 0 where the peak points down


def peaks_of(traces: Traces, name: Any, d: NerveDetection) -> tuple[Peaks, int]:
    """All peaks of a channel that are higher than its threshold, and how many samples were those of artefacts."""
    step = float(np.median(np.diff(traces.t[:PIECE])))
    least = d.share * noise_of(traces, name, step) if d.threshold is None else d.threshold
    margin = int((LEVEL + d.guard + 1) / step)
    found, high = [], 0
    for first, last, a, b in ranges(traces.t, margin):
        x = np.asarray(traces.read(name, first, last), float)
        beyond = np.flatnonzero(np.abs(x) > (np.inf if d.artefact is None else d.artefact))
        near = around(beyond, round(d.guard / step), len(x))
        high += int(((beyond >= a - first) & (beyond < b - first)).sum())
        y = flattened(bridged(x, near), step)
        i = tops(y, least, d.polarity)
        i = i[~near[i]]
        i = i[(i >= a - first) & (i < b - first)]
        found.append((traces.t[first + i] + step * shift(y, i), y[i]))
    times, heights = zip(*found, strict=True)
    return Peaks(np.concatenate(times), np.concatenate(heights)), high


# %% [markdown]
# The loop above reads a piece, bridges artefacts, averages, and looks for tops. Bridging matters: a stimulus of
# 8 mV that lasts half a millisecond raises the level around it by up to 0.4 mV, more than a spike of the pyn,
# and hides what is there. A straight line in place of the artefact has neither.


# %%
def tops(y: np.ndarray, least: float, polarity: str) -> np.ndarray:
    """Numbers of the samples at peaks of y (time,) that are higher than `least`, on the sides that count."""
    size = np.abs(y) if polarity == "both" else y if polarity == "positive" else -y
    i = np.flatnonzero(size > least)
    i = i[(i > 0) & (i < len(y) - 1)]
    return i[(size[i] > size[i - 1]) & (size[i] >= size[i + 1])]


def around(beyond: np.ndarray, guard: int, n: int) -> np.ndarray:
    """Which of n samples are within `guard` samples of some."""
    if not len(beyond):
        return np.zeros(n, bool)
    edges = np.zeros(n + 1, np.int32)
    np.add.at(edges, np.maximum(beyond - guard, 0), 1)
    np.add.at(edges, np.minimum(beyond + guard + 1, n), -1)
    return np.cumsum(edges[:-1]) > 0


def bridged(x: np.ndarray, near: np.ndarray) -> np.ndarray:
    """A trace with straight lines in place of some samples, so that an artefact does not bend what is around it."""
    if not near.any() or near.all():
        return x
    i = np.arange(len(x))
    return np.where(near, np.interp(i, i[~near], x[~near]), x)


def shift(y: np.ndarray, i: np.ndarray) -> np.ndarray:
    """By how many samples the top of the parabola through a peak and its neighbours lies after the peak."""
    a, b, c = y[i - 1], y[i], y[i + 1]
    bend = a - 2 * b + c
    return np.divide(a - c, 2 * bend, out=np.zeros(len(i)), where=bend != 0)


# %% [markdown]
# A spike has several peaks: its main phase, the two beside it, and on each of them some of the noise. The
# refractory time is longer than all of them together, and shorter than the shortest interval of an axon here,
# some 8 ms. Of peaks that are close to each other the highest one stays. Then the highest of those that are
# left and not within the refractory time of it, and so on: for all groups of close peaks at once, since a group
# has few.


# %%
def spaced(peaks: Peaks, refractory: float) -> Peaks:
    """The highest peaks, none closer than the refractory time (ms) to a higher one."""
    rest, kept = np.arange(len(peaks.time)), []
    size = np.abs(peaks.height)
    while len(rest):
        t = peaks.time[rest]
        begins = np.flatnonzero(np.diff(t, prepend=-np.inf) >= refractory)
        group = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(rest))))
        largest = np.maximum.reduceat(size[rest], begins)
        first = np.flatnonzero(size[rest] == largest[group])
        first = first[np.unique(group[first], return_index=True)[1]]  # of equal ones the first
        kept.append(rest[first])
        far = np.abs(t - t[first][group]) >= refractory
        rest = rest[far & (np.arange(len(rest)) != first[group])]
    order = np.sort(np.concatenate(kept)) if kept else np.empty(0, int)
    return Peaks(peaks.time[order], peaks.height[order])


# %% [markdown]
# Two functions of the outside follow from this. One gives the spikes of nerves as they are, with their heights,
# for a histogram or for a look at what is there. The other one comes below, when units are known.


# %%
def spikes_of(traces: Traces, name: Any, d: NerveDetection) -> Peaks:
    """The spikes of a channel. Warns of artefacts that hide some."""
    found, high = peaks_of(traces, name, d)
    if high:
        checks.warn(
            f"{name!r} has {high} samples beyond {d.artefact:g} mV; what is within {d.guard:g} ms of them is left out."
        )
    return spaced(found, d.refractory)


def nerve_spikes(
    data: Any, nerves: Sequence[Any], *, detection: NerveDetection = STANDARD, **options: Any
) -> pd.DataFrame:
    """All spikes of some nerves: columns nerve, time (ms) and height (mV), in the order of times.

    data: a table (index: times in ms, columns in mV) or a file, for which options are those of `read_recording`. The height is that of the averaged
    trace, and below 0 where its largest phase points down. Raises ValueError or TypeError for what are no such nerves.
    """
    d, traces = (
        checked(detection),
        opened(data, checks.items("nerves", nerves, "channels, such as ['lvn', 'pdn']"), **options),
    )
    rows = [pd.DataFrame({"nerve": name, **spikes_of(traces, name, d)._asdict()}) for name in traces.names]
    return pd.concat(rows, ignore_index=True).sort_values("time", kind="stable", ignore_index=True)


# %% [markdown]
# ## Units
#
# On one nerve, the spikes of one axon have nearly one height, which is larger the thicker the axon is. A
# histogram of heights has a hill for each, so a unit is a window of heights. `height_windows` proposes them. It
# groups the logarithms of the heights around as many centres as there are units, as $k$-means does, and puts
# each border where heights are rarest between two centres.


# %%
def height_windows(heights: Any, n: int) -> list[tuple[float, float]]:
    """Windows (least, largest) in mV for n units, the smallest spikes first, from heights (spike,) of either sign.

    The first one begins at 0, the last one has no end. Raises ValueError for fewer heights than units.
    """
    n = checks.count("n", n)
    x = np.sort(np.log(np.abs(checks.finite("heights", heights, "be heights in mV")).ravel() + 1e-12))
    if len(x) < 2 * n:
        raise ValueError(
            f"heights has {len(x)} numbers, and n is {n}; each unit needs two spikes at least. Give more of them."
        )
    centres = np.quantile(x, (np.arange(n) + 0.5) / n)
    for _ in range(100):
        nearest = np.abs(x[:, None] - centres).argmin(1)
        centres = np.sort([x[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(n)])
    borders = [rarest(x[(x >= a) & (x <= b)]) for a, b in pairwise(centres)]
    edges = [0.0, *np.exp(borders).tolist(), np.inf]
    return list(pairwise(edges))


def rarest(x: np.ndarray) -> float:
    """The middle of the widest interval between increasing numbers."""
    if len(x) < 2:
        return float(x.mean()) if len(x) else 0.0
    i = int(np.argmax(np.diff(x)))
    return float(x[i] + x[i + 1]) / 2


# %% [markdown]
# Why logarithms? The height of an extracellular spike grows with the thickness of its axon, and the scatter
# around it is a share of it, by the distance to the pin and by what overlaps. On a logarithmic scale hills of
# small and large units are equally wide, so that one border between them is as good as another. No proposal is
# better than a look at the histogram: with three units on the lvn of which two are alike, the border lies
# within them.
#
# The windows of a nerve must not overlap, because then a spike would be of two cells. They need not touch: what
# lies between two windows is of nobody, which is right for heights at which two axons may have fired together.


# %%
class Unit(NamedTuple):
    """Where the spikes of a cell are."""

    nerve: Any  # channel
    low: float = 0.0  # mV, least height
    high: float = np.inf  # mV, below which all heights are


def unit_on(cell: Any, given: Any) -> Unit:
    """A unit, from a channel, or a channel and one or two heights."""
    what = f"the unit of {cell!r}"
    parts = (
        [given]
        if isinstance(given, (str, int, np.integer))
        else checks.items(what, given, "a nerve and heights, such as ('lvn', 0.2, 0.5)")
    )
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            f"{what} is {given!r}; it must be a nerve, its least and its largest height in mV. Write ('lvn', 0.2, 0.5)."
        )
    low, high = [*parts[1:], *((0.0, np.inf) if len(parts) == 1 else (np.inf,))][:2]
    low = checks.number(f"the least height of {cell!r}", low, "mV", least=0)
    if high != np.inf and checks.number(f"the largest height of {cell!r}", high, "mV") <= low:
        raise ValueError(
            f"{what} has heights from {low:g} to {high:g} mV; the first must be the smaller one. Exchange them."
        )
    return Unit(parts[0], low, float(high))


def units_of(units: Any) -> dict[Any, Unit]:
    """Units by cell. Raises ValueError where two have the same spikes."""
    checks.of_type("units", units, Mapping, "a mapping from cells to nerves, such as {'PD': 'pdn', 'LP': ('lvn', 0.2)}")
    found = {cell: unit_on(cell, x) for cell, x in units.items()}
    if not found:
        raise ValueError("units is empty; it must name one cell at least. Write {'PD': 'pdn'}.")
    of = list(found.items())
    for i, (a, x) in enumerate(of):
        for b, y in of[i + 1 :]:
            if x.nerve == y.nerve and x.low < y.high and y.low < x.high:
                raise ValueError(
                    f"{a!r} and {b!r} both have the spikes of {x.nerve!r} from {max(x.low, y.low):g} to {min(x.high, y.high):g} mV; a spike is "
                    "of one cell. Part their windows; height_windows proposes some."
                )
    return found


# %% [markdown]
# ## From nerves to a recording
#
# What comes back is what all functions of the rhythm take: spike times for each cell, and which times were
# recorded. Cells keep the order in which they were named. The labels "PD", "LP" and "PY" are those by which
# `report` knows its roles; others need `cells=`, as for all recordings. A window without a single spike is more
# often a mistake of the unit or of the channel than a silent axon, so it is warned of, with the heights that
# are there.
#
# Spikes on a nerve come later than those in the cell, by the way from the ganglion to the pin: 20 mm at 1 m/s
# are 20 ms. It is the same for all spikes of an axon, so that periods, durations and duty cycles are those of
# the cell. Gaps and phases between nerves move by the difference of two such delays; pins that are equally far
# from the ganglion make it small.


# %%
def read_nerves(data: Any, units: Any, *, detection: NerveDetection = STANDARD, **options: Any) -> Recording:
    """The spikes of cells on nerves, as a recording that `report`, `summary`, `features` and `raster` take.

    data: a table (index: times in ms, columns in mV) or a file, for which options are those of `read_recording` but `cells`; here `units` are the
    cells, and the units of channels are `channel_units`. units: a mapping from cells to a channel, or to (channel, least, largest height in mV).
    Raises ValueError or TypeError for what cannot be meant; a UserWarning names cells without spikes.
    """
    chosen, d = units_of(units), checked(detection)
    if "channel_units" in options:
        options["units"] = options.pop("channel_units")
    nerves = list(dict.fromkeys(unit.nerve for unit in chosen.values()))
    traces = opened(data, nerves, **options)
    found = {nerve: spikes_of(traces, name, d) for nerve, name in zip(nerves, traces.names, strict=True)}
    trains = {cell: train_of(cell, unit, found[unit.nerve]) for cell, unit in chosen.items()}
    ends = float(traces.t[0]), float(traces.t[-1])
    return Recording(tuple(trains), trains, traces.t, None, pieces(traces.t), ends, traces.source)


# %%
def train_of(cell: Any, unit: Unit, found: Peaks) -> np.ndarray:
    """The spike times (spike,) of a unit, ms."""
    size = np.abs(found.height)
    mine = (size >= unit.low) & (size < unit.high)
    if not mine.any():
        seen = (
            f"spikes there are {size.min():.3g} to {size.max():.3g} mV high"
            if len(size)
            else "there is no spike at all"
        )
        checks.warn(
            f"{cell!r} has no spike from {unit.low:g} to {unit.high:g} mV on {unit.nerve!r}; {seen}. Check the window and the channel."
        )
    return found.time[mine]


# %% [markdown]
# ## Made nerves
#
# How good is the detection? Only where all spikes are known can one say. `nerve` makes such nerves: a spike of
# an axon is the second derivative of a Gaussian of 0.35 ms, the form of a potential that runs past a pin, with
# a main phase and two smaller ones of opposite sign; noise is white.


# %%
WIDTH = 0.35  # ms, standard deviation of the Gaussian
AROUND = 2.0  # ms to either side, of a made spike


def nerve(
    axons: Mapping[str, Any], duration: float, *, noise: float = 0.0, rate: float = 20_000.0, seed: int = 0
) -> pd.DataFrame:
    """Traces in mV with an index in ms, made of spikes and white noise.

    axons: nerve -> list of (spike times in ms, height in mV, below 0 for a main phase that points down); duration in ms; noise: its standard deviation
    in mV; rate in Hz.
    """
    step = 1e3 / checks.positive("rate", rate, "Hz")
    t = step * np.arange(
        int(checks.quantity("duration", duration, INTERVAL._replace(what="durations", most=1e8), above=0) / step)
    )
    rng, made = np.random.default_rng(seed), {}
    for name, of in checks.mapping("axons", axons, "{'lvn': [(times, 0.3)]}").items():
        x = rng.normal(0, checks.number("noise", noise, "mV", least=0), len(t)) if noise else np.zeros(len(t))
        for times, height in of:
            for a in np.asarray(checks.finite("spike times", times), float):
                k = slice(*np.searchsorted(t, (a - AROUND, a + AROUND)))
                z = ((t[k] - a) / WIDTH) ** 2
                x[k] += height * (1 - z) * np.exp(-z / 2)
        made[name] = x
    return pd.DataFrame(made, pd.Index(t, name="time (ms)"))


# %% [markdown]
# **Precision** is the share of what was found that was there, **recall** the share of what was there that was
# found, within a millisecond. Where the spikes are five times as high as the standard deviation of the noise,
# few are lost ({numref}`tbl-nerve`). With one of three, a peak of the noise is often as high as a spike.

# %% tags=["active-ipynb"]
# def share_near(x, others):
#     """The share of the times x (ms) that have one of others, which increase, within a millisecond."""
#     k = np.clip(np.searchsorted(others, x), 1, len(others) - 1)
#     return float((np.minimum(abs(x - others[k - 1]), abs(x - others[k])) < 1).mean())
#
#
# rng, rows = np.random.default_rng(1), []
# times = np.cumsum(rng.uniform(12, 60, 1500))  # ms
# for ratio in (2.5, 3, 4, 5, 8):
#     seen = nerve_spikes(nerve({"lvn": [(times, 0.1)]}, times[-1] + 20, noise=0.1 / ratio, seed=2), ["lvn"])["time"].to_numpy()
#     rows.append((ratio, share_near(seen, times), share_near(times, seen)))
# assert all(precision > 0.98 and recall > 0.98 for ratio, precision, recall in rows if ratio >= 5)

# %% tags=["active-ipynb", "remove-input"]
# from ..book import list_table
#
# list_table("Detection of 1,500 spikes by their height in standard deviations of white noise.", "tbl-nerve", ("height", "precision", "recall"),
#            [(f"{ratio:g}", f"{p:.4f}", f"{r:.4f}") for ratio, p, r in rows])

# %% [markdown]
# Noise that an amplifier has filtered to 300 to 3000 Hz has the frequencies of the spikes, so that the average
# takes out less of it. With a height of five standard deviations of such noise 99.9% of what is found is right,
# and 99.4 to 99.9% of the spikes are found (three seeds, 1,600 spikes each); with one of four, 90 to 92%.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-nerve-windows
# The windows at the beginning were set by eye. Let `height_windows` propose them from the spikes of the lvn.
# How many spikes change their cell?
# ```
#
# ```{solution-start} ex-nerve-windows
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# heights = nerve_spikes(made, ["lvn"])["height"]
# small, large = height_windows(heights, 2)
# proposed = read_nerves(made, {"PD": ("lvn", *small), "LP": ("lvn", *large), "PY": "pyn"})
# assert all((proposed.trains[cell] == found.trains[cell]).all() for cell in ("LP", "PY"))
# small, large, len(proposed.trains["PD"]) - len(found.trains["PD"])

# %% [markdown]
# None. The first window begins at 0, so that it would also take noise above the threshold, of which these ten
# seconds have none on the lvn.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-nerve-threshold
# Lower the threshold to three standard deviations. What becomes of the criteria, and which of them suffer
# first?
# ```
#
# ```{solution-start} ex-nerve-threshold
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# low = read_nerves(made, {"PD": ("lvn", *small), "LP": ("lvn", *large), "PY": "pyn"}, detection=NerveDetection(share=3.0))
# spoilt = report(low)
# assert spoilt["passes"].sum() < judged["passes"].sum()
# spoilt[["value", "passes", "why"]].round(3)

# %% [markdown]
# Noise now has spikes in every silence, so that the bursts of PD and PY, whose windows reach down to the noise,
# run together. LP, whose window begins high, keeps its burst duration.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-nerve-polarity
# Turn the lvn upside down. Which of the results change, and which would with `polarity="positive"`?
# ```
#
# ```{solution-start} ex-nerve-polarity
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# turned = read_nerves(-made, {"LP": ("lvn", 0.25)})
# up_only = nerve_spikes(-made, ["lvn"], detection=NerveDetection(polarity="positive"))
# assert (turned.trains["LP"] == found.trains["LP"]).all()
# float(up_only["height"].max())  # mV

# %% [markdown]
# Nothing changes, since the height is taken without its sign. On one side alone, the spikes would be their
# smaller phases, less than half as high.
# ```{solution-end}
# ```
