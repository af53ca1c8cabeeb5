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
# # Soft features
#
# How does the period of a rhythm change with a conductance, and how does one take that derivative? A
# period is the distance between two {term}`bursts <burst>`, and a burst is a matter of yes or no: is this
# silence longer than 150 ms? A number that answers such a question is constant, and jumps; its derivative
# is 0, or does not exist.
#
# This chapter has spikes, bursts, periods and {term}`phases <phase>` as smooth functions of the
# potentials of a run, of whatever model, so that derivatives with respect to its parameters can be taken.
# The yes and no becomes more or less, with a **temperature** that says how much more or less.
# {numref}`fig-soft` shows what that costs for LP in the circuit of Fig. 3e of {cite:t}`Prinz2004`: below
# 5 ms the features are those of the [chapter on rhythms](../rhythm.py) to eight digits, beyond 20 ms they
# are others.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(
#     hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None)
# )

# %% tags=["active-ipynb"]
# import jax
# import jax.numpy as jnp
# import numpy as np
#
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004, precision
# from .soft_features import Soft, Train, soft_bursts, soft_features, soft_phase
#
# model = Prinz2004.from_toml(find_circuit("paper"))

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Soft features of LP less those of `rhythm.summary`.", "name": "fig-soft"}}
# from ..rhythm import summary
#
# recording = model(np.arange(2000, 9000, 0.25))
# hard = summary(recording).loc[("LP", 0)]
# temperatures = np.geomspace(0.3, 60, 24)
# with precision():
#     soft = jax.jit(jax.vmap(soft_features, (None, None, 0)))(recording.t, recording.states.V, temperatures)
#     soft = jax.tree.map(lambda x: np.asarray(x)[:, 1], soft)
# error = {
#     "period": abs(soft.period / hard["period (ms)"] - 1),
#     "duty cycle": abs(soft.duty_cycle / hard["duty cycle"] - 1),
#     "phase": abs(soft.phase / hard["phase"] - 1),
# }
# assert all(e[0] < 1e-9 for e in error.values())
# curves = [
#     hv.Curve((temperatures, np.maximum(e, 1e-12)), "temperature (ms)", "relative difference", label=name)
#     for name, e in error.items()
# ]
# hv.Overlay(curves).opts(logx=True, logy=True, width=560, height=260, toolbar=None, legend_position="right")

# %% [markdown]
# ## What it does and what it costs
#
# `soft_features(t, V)` takes times (time,) in ms, equally spaced, and potentials (time, cell) in mV, and
# returns six numbers for each cell: period and burst duration in ms, {term}`duty cycle`, phase in the
# cycle of the {term}`pacemaker`, the number of bursts, and spikes per second. What is undefined, such as
# the period of a cell with one burst, is NaN. It is pure JAX: `jit`, `vmap` and `grad` go through it, and
# it takes what a run recorded, by whatever model.
#
# Samples may be 0.5 ms apart for the features, and should be 0.1 ms apart for their derivatives, for a
# reason that follows. A cell may have 1,024 maxima in a run; with more, all of its features are NaN. The
# temperature is 5 ms unless one says otherwise: within a burst spikes follow each other after some 20 to
# 60 ms, and between bursts a silence lasts a second or so, so that all of them are far from 150 ms,
# counted in temperatures.
#
# Two chapters live on this one. [Sensitivities](sensitivity.py) are derivatives of these features, and
# [losses](losses.py) compare them with wanted ones.
#
# What the chapter takes from elsewhere, and what others take from it:

# %%
from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..engine import checks
from ..engine.detection import (
    PROMINENCE,
    SHARE,
    SIDE,
    STANDARD,
    Detection,
    Sides,
    checked,
    is_maximum,
    parabola,
    stand_out,
)
from ..files.recording import cell_number, check_potentials, check_spacing, check_units
from ..prinz2004 import MS_PER_S

__all__ = ["Features", "Train", "soft_features", "train"]

# %% [markdown]
# ## Spikes as functions of the parameters
#
# A {term}`spike` is what `rhythm.spikes` takes for one in a recording without noise: a maximum that
# stands out of the potential, and its time is that of the top of a parabola through three samples. Which
# samples hold a maximum is a discrete matter; given the samples, the time depends smoothly on the
# potential, and with it on all parameters. A buffer holds a fixed number of maxima, since compiled code
# wants to know all shapes; a truth value beside each says which are real.

# %%
MAX_SPIKES = 1024  # maxima of a cell, in one run


class Train(NamedTuple):
    """The spikes of one cell."""

    times: Array  # (MAX_SPIKES,) ms; the end of the run where there is no spike
    real: Array  # (MAX_SPIKES,) whether there is one
    lost: Array  # () number of maxima for which there is no room


# %% [markdown]
# Undefined numbers need care. A quotient that is not known is NaN, and the derivative of $a/b$ is NaN or
# infinite wherever $b$ is 0, even if the quotient is not used: JAX multiplies that derivative by 0, and 0
# times NaN is NaN. So the function `ratio` puts harmless numbers in before it divides, and takes the
# result out again afterwards. This double `where` returns in every chapter about derivatives.


# %%
def ratio(a: Array, b: Array, otherwise: float = jnp.nan) -> Array:
    """a/b, or else a constant, without derivative, where a is undefined or b is not positive."""
    known = jnp.isfinite(a) & (b > 0)
    return jnp.where(known, jnp.where(known, a, 0.0) / jnp.where(known, b, 1.0), otherwise)


# %% [markdown]
# But the time of a top does not move evenly: while a spike moves from one sample to the next, the top of
# the parabola runs ahead and falls behind. With samples 0.1 ms apart the period that follows is right to
# a few microseconds, and yet its derivative is off by more than a half, since the top goes to and fro
# within 0.1 ms. So the *derivative* of a spike's time is that of its centre, the mean time with a weight,
#
# $$
# \bar t = \frac{\sum_k w_k t_k}{\sum_k w_k}, \qquad w_k = \max(V(t_k) - V_θ, 0)^3,
# $$ (eq-centre)
#
# with $V_θ$ = −10 mV, which moves as the spike does. The cube lets the weights begin smoothly where the
# potential passes the threshold, so that it hardly matters how the samples lie there. The sum goes over 2
# ms to both sides, which hold a spike; the 64 samples on each side are the room for that with steps of
# 0.03 ms.

# %%
REACH = 2.0  # ms, half of the time that holds a spike
ROOM = 64  # samples, the most within that time


def centre(t: Array, V: Array, i: Array, threshold: float) -> Array:
    """Mean time (ms) of the spike whose largest sample is i, less t[i]; 0 without one. t, V: (time,); i: ()."""
    k = jnp.arange(-ROOM, ROOM + 1)
    later = k.astype(V.dtype) * (t[1] - t[0])
    near = (abs(later) <= REACH) & (i + k >= 0) & (i + k < len(V))
    height = jnp.where(near, jax.nn.relu(V[jnp.clip(i + k, 0, len(V) - 1)] - threshold), 0.0)
    return ratio((height**3 * later).sum(), (height**3).sum(), 0.0)


# %% [markdown]
# ## Which maxima are spikes
#
# Of a cluster of maxima, closer than the refractory time or with no valley between them, the highest one
# counts, and only if it stands out on both sides. These are the rules of `detection.tops`, as a loop and
# as windows of fixed length. No derivative goes through this choice.
#
# The loop goes through the maxima once. It carries the time and height of the highest one of the present
# cluster, and the lowest valley since then. A new cluster begins where the smaller of two maxima stands
# at least the prominence above the valley between them, and comes late enough; what counts is the last
# one in each cluster that was higher than those before.


# %%
def highest(time: Array, height: Array, valley: Array, found: Array, prominence: Any, refractory: float) -> Array:
    """Which maxima are the highest ones of their clusters, (maximum,): `detection.highest`, compiled."""

    def step(last: tuple[Array, Array, Array], x: Any) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        (time_0, height_0, low), (time, height, valley, found) = last, x
        low = jnp.minimum(low, valley)
        apart = (jnp.minimum(height, height_0) - low >= prominence) & (time - time_0 >= refractory)
        first = found & (apart | jnp.isneginf(height_0))
        kept = first | (found & (height > height_0))
        now = (jnp.where(kept, time, time_0), jnp.where(kept, height, height_0), jnp.where(kept, jnp.inf, low))
        return now, (first, kept)

    none = jnp.full((), -jnp.inf, time.dtype)
    first, kept = lax.scan(step, (none, none, -none), (time, height, valley, found))[1]
    cluster, i = jnp.cumsum(first), jnp.arange(len(time))
    return kept & (i == jax.ops.segment_max(jnp.where(kept, i, -1), cluster, len(time) + 1)[cluster])


# %% [markdown]
# Standing out means: within 20 ms before and within 20 ms after, the potential is lower by 5 mV, or by a
# quarter of the whole swing of the cell where that is less. The lowest of a window could be found by a
# look at all samples of every window. It is quicker by doubling: the lowest of $2^{k+1}$ samples from
# each on is the lower one of two neighbours of length $2^k$, and a window of any length is two such that
# overlap. That is 12 passes over the run, whatever the width.

# %%
WINDOWS = 12  # a window has at most 2¹² samples


def lowest_beside(t: Array, V: Array, i: Array, width: float) -> Sides:
    """By how much V (time,) at samples i (maximum,) stands above the lowest within a width (ms) before and after: `detection.sides`, compiled."""
    most = 2**WINDOWS
    n = jnp.clip((width / (t[1] - t[0]) + ROUNDING).astype(i.dtype), 1, most)
    reached, low = jnp.pad(V, most, constant_values=jnp.inf), jnp.full(len(V) + 2 * most, jnp.inf, V.dtype)
    length = jnp.ones_like(n)
    for k in range(
        WINDOWS + 1
    ):  # `reached`: the lowest of 2^k samples from each on; `low`: with the largest 2^k that fits into n
        low, length = jnp.where(2**k <= n, reached, low), jnp.where(2**k <= n, 2**k, length)
        reached = jnp.minimum(reached, jnp.append(reached[2**k :], jnp.full(2**k, jnp.inf, V.dtype))[: len(low)])
    lowest = lambda first: jnp.minimum(low[most + first], low[most + first + n - length])  # noqa: E731
    return Sides(V[i] - lowest(i - n), V[i] - lowest(i + 1), i <= n, i + n >= len(V) - 1)


ROUNDING = 1e-6  # of a sample


def are_spikes(t: Array, V: Array, peak: Array, i: Array, time: Array, found: Array, d: Detection) -> Array:
    """Which maxima at samples i, at the times (maximum,) ms, are spikes. peak: of all samples but the first and the last."""
    least = jnp.minimum(PROMINENCE, SHARE * (V.max() - V.min())) if d.prominence is None else d.prominence
    before = jnp.cumsum(jnp.pad(peak, 1))  # maxima up to each sample
    valley = jax.ops.segment_min(V, before, len(i) + 1, indices_are_sorted=True)[:-1]
    kept = highest(time, V[i], valley, found, least, d.refractory)
    return kept & stand_out(lowest_beside(t, V, i, SIDE), least)


# %% [markdown]
# `train` puts the two halves together. The value of a spike's time is that of the parabola; to it the
# centre is added and subtracted again, once with and once without its derivative. So the sum has the
# value of the one and the derivative of the other. Spikes come first in the buffer, and the rest of it
# has the time at which the run ends.


# %%
def train(t: Array, V: Array, d: Detection = STANDARD) -> Train:
    """Spikes of V (time,) mV at equally spaced times t (time,) ms: those of `rhythm.spikes` of a run without noise, and differentiable."""
    peak = is_maximum(V, d.threshold)
    i = 1 + jnp.nonzero(peak, size=MAX_SPIKES, fill_value=0)[0]
    found = jnp.arange(MAX_SPIKES) < peak.sum()
    a, b, c = (jnp.where(found, V[i + k], y) for k, y in ((-1, 0.0), (0, 1.0), (1, 0.0)))
    times = lax.stop_gradient(jnp.where(found, parabola(t[i - 1], t[i], t[i + 1], a, b, c), t[-1]))
    real = are_spikes(t, lax.stop_gradient(V), peak, i, times, found, d)
    moving = jax.vmap(centre, (None, None, 0, None))(t, V, i, d.threshold)
    times = times + jnp.where(found, moving - lax.stop_gradient(moving), 0.0)
    order = jnp.argsort(~real, stable=True)  # those that are none go to the end
    return Train(jnp.where(real, times, t[-1])[order], real[order], jnp.maximum(peak.sum() - MAX_SPIKES, 0))


# %% [markdown]
# ## Soft bursts
#
# Whether a silence separates two bursts is a question of yes or no: longer than 150 ms or not. Softly,
# with a **temperature** $T$ (ms), silence $i$ of the length $d_i$ after spike $i$ separates with the
# weight $p_i = σ((d_i - 150)/T)$, where $σ(x) = 1/(1 + e^{-x})$. With 5 ms, a silence of 140 ms separates
# with 0.12, one of 120 ms with 0.002. The time from spike $i$ to the last one of its burst, and the
# weight with which a burst of at least 40 ms starts at spike $i$, then follow
#
# $$
# D_i = (1 - p_i)(d_i + D_{i+1}), \qquad w_i = p_{i-1}\, σ\!\left(\frac{D_i - 40}{T}\right).
# $$ (eq-soft)
#
# The first is a recursion that begins at the last spike and goes backward: with the weight $1 - p_i$ the
# burst goes on to the next spike, and then lasts as long as what is left there. As $T \to 0$, weights
# become 0 or 1, and everything below becomes what `rhythm.summary` says.
#
# A burst whose end the run does not show has no duration. Whether it does is a weight, too: the last
# spike of the run ends a burst as far as the silence after it is longer than 150 ms, and that is carried
# backward together with $D_i$.


# %%
class Soft(NamedTuple):
    """The bursts of one cell, softly; (spike,) in each field."""

    start: Array  # ms, of the burst that starts here
    duration: Array  # ms, of that burst
    weight: Array  # 0…1, of that start
    whole: Array  # 0…1, of that start, if the burst's end is seen as well


def soft_bursts(spikes: Train, window: tuple[Any, Any], T: Any, d: Detection = STANDARD) -> Soft:
    """Bursts by {eq}`eq-soft`; window: first and last time of the run in ms; T: temperature in ms."""
    x = jnp.where(spikes.real, spikes.times, window[1])
    after = jnp.diff(x, append=x[-1:])
    last = spikes.real & ~jnp.append(spikes.real[1:], False)
    separates = lambda silence: jax.nn.sigmoid((silence - d.gap) / T)  # noqa: E731
    p = jnp.where(last, 1.0, separates(after))
    end_seen = jnp.where(last, separates(window[1] - x), 1.0)

    def back(later: tuple[Array, Array], i: tuple[Array, ...]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        p, silence, seen, real = i
        D = jnp.where(real, (1 - p) * (silence + later[0]), 0.0)
        seen = jnp.where(real, p * seen + (1 - p) * later[1], 0.0)
        return (D, seen), (D, seen)

    zero = jnp.zeros((), x.dtype)
    D, seen = lax.scan(back, (zero, zero), (p, jnp.where(last, 0.0, after), end_seen, spikes.real), reverse=True)[1]
    before = jnp.concatenate([separates(x[:1] - window[0]), p[:-1]])
    weight = jnp.where(spikes.real, before * jax.nn.sigmoid((D - d.min_duration) / T), 0.0)
    return Soft(x, D, weight, weight * seen)


# %% [markdown]
# ## Periods and phases
#
# The latest start up to spike $i$ is spike $i$ itself with the weight $w_i$, and else the latest one
# before. So its time is $\bar t_i = w_i t_i + (1 - w_i)\, \bar t_{i-1}$, with a weight that adds up in
# the same way and by which it is divided at the end. Backward in time, that gives the next start. Both
# are one function.


# %%
def latest(weight: Array, start: Array, reverse: bool = False) -> tuple[Array, Array]:
    """Time (ms) of the latest start up to each spike, and the weight with which there is one; `reverse`: of the next."""

    def step(before: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        w, x = now
        here = (w * x + (1 - w) * before[0], w + (1 - w) * before[1])
        return here, here

    zero = jnp.zeros((), start.dtype)
    sums, weights = lax.scan(step, (zero, zero), (weight, start), reverse=reverse)[1]
    return ratio(sums, weights, 0.0), weights


# %% [markdown]
# The **period** is the time from the first start of all to the last, over the number of cycles between,
#
# $$
# P = \frac{t_\mathrm{last} - t_\mathrm{first}}{\sum_i w_i - 1}.
# $$ (eq-soft-period)
#
# Only the two ends enter, so that a little more or less weight in the middle of a burst changes the
# number of cycles and nothing else. The **phase** of a start is its place between the latest and the next
# start of the pacemaker. The mean of phases is taken on the circle, as the direction of the mean of unit
# vectors: 0.95 and 0.05 are neighbours, and their mean is 0. A start counts with its own weight and with
# those of the two pacemaker's starts around it, since where there is none on one side there is no phase.


# %%
def soft_period(b: Soft) -> Array:
    """Mean interval between the starts of bursts, ms."""
    span = latest(b.weight, b.start)[0][-1] - latest(b.weight, b.start, reverse=True)[0][0]
    return ratio(span, b.weight.sum() - 1)


def soft_phase(b: Soft, pacemaker: Soft) -> Array:
    """Mean phase of b's starts in the pacemaker's cycles, 0…1, on the circle."""
    k = jnp.searchsorted(pacemaker.start, b.start, side="right")
    inner = lambda x, i: jnp.where((i >= 0) & (i < len(x)), x[jnp.clip(i, 0, len(x) - 1)], 0.0)  # noqa: E731
    t0, m0 = (inner(x, k - 1) for x in latest(pacemaker.weight, pacemaker.start))
    t1, m1 = (inner(x, k) for x in latest(pacemaker.weight, pacemaker.start, reverse=True))
    w = m0 * m1 * b.weight
    φ = 2 * jnp.pi * ratio(b.start - t0, t1 - t0, 0.0)
    x, y = (w * jnp.cos(φ)).sum(), (w * jnp.sin(φ)).sum()
    some = w.sum() > 0
    return jnp.where(some, jnp.arctan2(jnp.where(some, y, 1.0), jnp.where(some, x, 1.0)) / (2 * jnp.pi) % 1, jnp.nan)


# %% [markdown]
# ## The features
#
# The features of all cells have one container, in the order in which one asks for them. 5 ms is the
# default temperature.


# %%
class Features(NamedTuple):
    """What each cell does, softly; (cell,) in each field, NaN where undefined."""

    period: Array  # ms
    burst: Array  # ms, duration
    duty_cycle: Array  # 0…1
    phase: Array  # 0…1, of the burst's start in the pacemaker's cycle
    bursts: Array  # number of bursts that begin
    rate: Array  # spikes per second


DEFAULT_TEMPERATURE = 5.0  # ms

# %% [markdown]
# What is refused: shapes that do not fit, and a pacemaker that is not there, which JAX would take for the
# last one. (An index beyond the end of an array is no error in compiled code.) Values can only be looked
# at where they are known: NumPy's are, JAX's may not be. And a detection of crossings has no tops to be
# centred.


# %%
def check_traces(t: Any, V: Any, pacemaker: Any) -> None:
    """Refuse shapes of times and potentials that do not fit, and a number of no cell, which JAX would take for the last one.

    Arrays of NumPy are looked at as recordings are; those of JAX may not be known yet.
    """
    if np.ndim(V) != 2 or np.shape(t) != np.shape(V)[:1] or len(t) < 3:
        raise ValueError(
            f"t has the shape {np.shape(t)} and V {np.shape(V)}; they must be (time,), three times at least, and (time, cell). Give V[:, None]."
        )
    if not isinstance(pacemaker, jax.core.Tracer):
        cell_number("pacemaker", pacemaker, [("cell", i) for i in range(np.shape(V)[1])])
    if isinstance(t, np.ndarray):
        check_spacing(t, "t")
        check_units("the run", t, {})
    if isinstance(V, np.ndarray):
        check_potentials("the largest potential", V)


def of_soft(detection: Any) -> Detection:
    """A detection that soft features can follow."""
    d = checked(detection)
    if d.kind != "maxima":
        raise ValueError(
            f"detection has kind {d.kind!r}; the spikes of soft features have the times of their tops. Say kind='maxima'."
        )
    return d


# %% [markdown]
# The function itself is short: spikes of every cell, bursts of every cell, features. `vmap` goes over
# cells, which are the last axis of the potentials. A cell whose maxima did not fit into the buffer gets
# NaN in everything, as a wrong number would be worse. Only bursts with a beginning and an end in the run
# have a share in the mean duration.


# %%
def soft_features(
    t: Any, V: Any, temperature: Any = DEFAULT_TEMPERATURE, pacemaker: int = 0, detection: Detection = STANDARD
) -> Features:
    """Period, duty cycle and phase of every cell as smooth functions of its potential; pure JAX.

    t: (time,) ms, equally spaced and dense enough to resolve spikes (0.5 ms or less for the features, 0.1 ms for
    derivatives); V: (time, cell) mV.
    temperature: ms, {eq}`eq-soft`. pacemaker: the cell whose bursts begin the cycles. detection: what counts as a spike and as a
    burst. Of a cell with more than `MAX_SPIKES` spikes all features are NaN. Raises ValueError for shapes that do not fit, for a
    pacemaker that is not there, and for a temperature that is not positive.
    """
    check_traces(t, V, pacemaker)
    if not isinstance(temperature, jax.core.Tracer):
        temperature = checks.positive("temperature", temperature, "ms")
    d = of_soft(detection)
    V = jnp.asarray(V)
    t = jnp.asarray(t, V.dtype)
    window = t[0], t[-1]
    trains = jax.vmap(lambda t, V: train(t, V, d), in_axes=(None, 1))(t, V)
    fits = trains.lost == 0
    b = jax.vmap(lambda x: soft_bursts(x, window, temperature, d))(trains)
    period = jax.vmap(soft_period)(b)
    duration = ratio((b.whole * b.duration).sum(1), b.whole.sum(1))
    phase = jax.vmap(lambda x: soft_phase(x, jax.tree.map(lambda y: y[pacemaker], b)))(b)
    rate = trains.real.sum(1).astype(V.dtype) / (window[1] - window[0]) * MS_PER_S
    found = Features(period, duration, ratio(duration, period), phase, b.weight.sum(1), rate)
    return jax.tree.map(lambda x: jnp.where(fits, x, jnp.nan), found)


SAMPLING = 0.1  # ms, dense enough for the derivatives of features

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-soft-count
# Two groups of three spikes are separated by a silence of $s$. How many bursts are there, softly, at $s$
# = 140, 150 and 160 ms and $T$ = 5 ms? And what is the derivative of that number at 150 ms?
# ```
#
# ```{solution-start} ex-soft-count
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def train_of(times, room=16):
#     """A train with these spikes (ms), in a run of a second."""
#     times = jnp.stack([jnp.asarray(x, float) for x in times])
#     return Train(
#         jnp.full(room, 1000.0).at[: len(times)].set(times), jnp.arange(room) < len(times), jnp.zeros((), int)
#     )
#
#
# def number(s, T=5.0):
#     """Bursts of two groups of spikes, s (ms) apart."""
#     group = (200.0, 240.0, 280.0)
#     return soft_bursts(train_of([*group, *(x + 80 + s for x in group)]), (0.0, 1000.0), T).weight.sum()
#
#
# with precision():
#     numbers = [round(float(number(float(s))), 3) for s in (140, 150, 160)]
#     rise = float(jax.grad(number)(150.0))
# assert np.allclose(numbers, [1.12, 1.5, 1.88], atol=0.01) and abs(rise - 0.05) < 1e-3
# numbers, rise

# %% [markdown]
# $1 + σ((s - 150)/T)$: 1.12, 1.5 and 1.88, with the derivative $1/4T$ = 0.05 per ms. A colder rule is
# steeper and closer to the hard one, and its derivative is 0 almost everywhere: with $T$ = 1 ms it would
# be $5 \cdot 10^{-5}$ per ms at 140 ms. That is the trade that a temperature makes.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-single-spikes
# Single spikes follow each other after 200 ms. Each silence is longer than 150 ms. How many bursts are
# there?
# ```
#
# ```{solution-start} ex-single-spikes
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# with precision():
#     lonely = float(soft_bursts(train_of([100, 300, 500, 700]), (0.0, 1000.0), 5.0).weight.sum())
# assert lonely < 0.002
# lonely

# %% [markdown]
# Almost none. Each would begin with a weight near 1 and has the duration 0, so that it counts
# $σ(-40/5) = 0.0003$. A cell that fires single spikes, even slowly, does not burst.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-hot
# Why does the period in {numref}`fig-soft` break down at a temperature of 60 ms? Look at the number of
# bursts of LP, which are four.
# ```
#
# ```{solution-start} ex-hot
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# with precision():
#     counts = {
#         T: float(jax.jit(soft_features)(recording.t, recording.states.V, T).bursts[1]) for T in (5.0, 20.0, 60.0)
#     }
# assert abs(counts[5.0] - 4) < 1e-6 and 4 < counts[20.0] < 4.5 and counts[60.0] > 8
# counts

# %% [markdown]
# Within a burst spikes are some 25 ms apart, and $σ((25 - 150)/60) = 0.11$: every spike of the 73 begins
# a little burst. They add up to 4.5 bursts too many, and the same time divided by more cycles is a
# shorter period. At 20 ms that weight is 0.002.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-circle
# A cell starts its bursts 50 ms before and 50 ms after the pacemaker, whose cycle is a second. What is
# its mean phase?
# ```
#
# ```{solution-start} ex-circle
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def certain(*starts):
#     """Bursts that start for certain at these times (ms)."""
#     x = jnp.array(starts, float)
#     return Soft(x, jnp.full_like(x, 100.0), jnp.ones_like(x), jnp.ones_like(x))
#
#
# with precision():
#     mean_phase = float(soft_phase(certain(950, 2050), certain(0, 1000, 2000, 3000)))
# assert min(mean_phase, 1 - mean_phase) < 1e-9
# mean_phase

# %% [markdown]
# 0, or 1, which is the same, and not the mean of 0.95 and 0.05, which would be 0.5: in antiphase, where
# the cell never is.
# ```{solution-end}
# ```
