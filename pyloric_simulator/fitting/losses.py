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
# # What resembles a recording
#
# How far is a model from a recording? A fit needs one number for that, the **loss**: small where the
# model does what is wanted, and with a derivative that leads there. The obvious choice, the mean squared
# difference of the potentials, is a bad one for cells that fire.
#
# {numref}`fig-landscape` shows why. An isolated {term}`pacemaker` was simulated with 50 mS/cm² of A
# current, and is compared with itself at other values. By the trace mismatch there are 22 false minima,
# in each of which a fit would end: a model whose {term}`spikes <spike>` come two milliseconds late is no
# better than one without spikes. The prediction error, which lets the recording steer the model, has
# none.

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
# import numpy as np
#
# from .losses import CRITERIA, calcium_mismatch, outside, prediction_error, spike_density, trace_mismatch
# from .parameters import with_values
# from ..prinz2004 import Prinz2004, precision
#
# cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
# truth = cell(np.arange(0, 1500, 0.25))
# values = np.linspace(20, 100, 81)
#
#
# def along_A(loss):
#     """A loss at each value of the conductance of A."""
#     with precision():
#         return np.asarray(jax.jit(jax.vmap(lambda g: loss(with_values(cell.params, {"AB/PD 2 A": g}))))(values))
#
#
# landscapes = {
#     "trace": along_A(trace_mismatch(cell, truth)),
#     "prediction error": along_A(prediction_error(cell, truth)),
# }

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Two losses along one conductance (mS/cm²), each relative to its largest value; the true value is 50.", "name": "fig-landscape"}}
# minima = {name: int(((y[1:-1] < y[:-2]) & (y[1:-1] < y[2:])).sum()) for name, y in landscapes.items()}
# assert minima["prediction error"] == 1 < minima["trace"]
# curves = [
#     hv.Curve((values, y / y.max()), "conductance of A (mS/cm²)", "relative loss", label=name)
#     for name, y in landscapes.items()
# ]
# hv.Overlay(curves).opts(width=560, height=260, toolbar=None, legend_position="right")

# %% [markdown]
# ## Which loss
#
# There are six, and any function of `model.params` to a number may be another. All are made before a fit
# from what is wanted, and called many times in it.
#
# | loss | compares | unit | when |
# |:--|:--|:--|:--|
# | `trace_mismatch` | potentials | mV² | no spikes, or the last step of a fit |
# | `prediction_error` | currents, in effect | mV² | a recording of the very cell |
# | `density_mismatch` | smoothed spike trains | (1/s)² | spike times only, or cells with a threshold |
# | `calcium_mismatch` | mean calcium | 1 | a cell that regulates itself |
# | `rhythm_mismatch` | period and {term}`duty cycle` | 1 | a rhythm that is wanted |
# | `criteria_mismatch` | the fifteen {term}`criteria <criterion>` | 1 | a {term}`pyloric` circuit |
#
# A recording is a result, a table with times and a column for each cell, told by its label, the file of
# one, or times and potentials. Every model has losses; a `Cell` counts as a network of one. A run starts
# where it was told to, or else where the model starts by itself: a `Prinz2004` with
# {term}`thermalized <thermalization>` cells, a `Network` cold. Where the recorded cell was at time 0 is
# often not known; then the start is one more thing that a fit gets wrong, and the first part of a
# recording should not count (`skip`).
#
# One evaluation costs a run over the times of the recording, and its derivative a few of them. A loss
# that is read from a rhythm, and not from the first potential on, first goes through a transient from
# time 0 without a derivative.
#
# What the chapter takes from elsewhere, and what others take from it:

# %%
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..engine import checks
from ..engine.detection import SPIKE_THRESHOLD, STANDARD, Detection
from ..engine.inputs import ON_TIME
from ..engine.scale import CALCIUM_INSIDE, DENSITY, suspicion
from ..files.recording import cell_number, check_spacing, check_units, evenly_sampled, order_of, warn_of_coarse
from ..models.networks import any_model
from ..models.neurons import Driven
from ..prinz2004 import CM2_MS_TO_US, MS_PER_S, Circuit, Model
from ..rhythm import CRITERIA, Criterion
from .sensitivity import no_resets, settled_run, simulation_of, warn_of_resets
from .soft_features import DEFAULT_TEMPERATURE, Features, Train, of_soft, soft_features, train

__all__ = [
    "calcium_mismatch", "criteria_mismatch", "density_mismatch", "prediction_error", "rhythm_mismatch", "spike_density",
    "trace_mismatch",
]  # fmt: skip

# %% [markdown]
# ## Potentials
#
# The **trace mismatch** of recorded potentials $\hat V_i(t_k)$ of the cells $i$ is the mean of squares
#
# $$
# L = \frac{1}{n\,N} \sum_{k=1}^{n} \sum_{i=1}^{N} \left(V_i(t_k) - \hat V_i(t_k)\right)^2.
# $$ (eq-trace)
#
# A spike lasts a few milliseconds. As soon as two trains are apart by more than that, the loss is twice
# that of no spikes at all, and does not say in which direction to shift them. Where cells do not fire, as
# in a {term}`voltage-clamp <clamp>` experiment or between bursts, it is a good loss, and near a solution
# the best one: it counts everything.
#
# A recording has equally spaced times, and its columns are put in the order of the model's cells. A loss
# is a closure: a function that remembers the recording.

# %%
Loss = Callable[[Any], Array]  # of `model.params`


class Recording(NamedTuple):
    """Potentials to be fitted."""

    t: np.ndarray  # (time,) ms, equally spaced
    V: np.ndarray  # (time, cell) mV


def recording_of(data: Any, model: Any) -> Recording:
    """A recording from a result, a DataFrame (index: ms), a file or (t, V); labels tell which column is which of the model's cells."""
    return Recording(*evenly_sampled(data, model.cells))


def times_of(t: Any) -> np.ndarray:
    """Times of a run (time,) ms from which features are taken: equally spaced, and dense enough to show spikes."""
    t = checks.times(t, 0.0)
    check_spacing(t, "t")
    check_units("the run", t, {})
    warn_of_coarse(t)
    return t


def trace_mismatch(model: Any, data: Any, *, state: Any = None, dt: float | None = None, I_ext: Any = None) -> Loss:
    """Loss: mean squared difference (mV²) from recorded potentials.

    data: a result, a DataFrame or (t, V), see `recording_of`; state: at the first time, by default that from which the model starts;
    dt: ms, by default the model's; I_ext: as of a call of the model. Warns (UserWarning) where cells are reset.
    """
    t, V = recording_of(data, any_model(model))
    s = simulation_of(model, t, state=state, dt=dt, I_ext=I_ext)
    warn_of_resets(s, t)
    return lambda params: jnp.mean((s.states(params, t).V - V) ** 2)


# %% [markdown]
# ## The prediction error
#
# The **prediction-error method** {cite:p}`Ljung1999` steers the model by the recording: each cell gets
# the extra current $K\,(V_\mathrm{data} - V)$, which holds its potential near the recorded one, so that a
# spike is never late for long. What is left of the difference says which current is wrong. If the model's
# current is off by $ΔI$, then for slow changes the potential is off by about $ΔI/K$: the loss has the
# shape of the squared error of *currents*, and these are smooth functions of the conductances, even
# linear ones as long as the gates follow the recorded potential.
#
# This extra current is a leak with the conductance $K$ and the {term}`reversal potential`
# $V_\mathrm{data}(t)$, so it needs no new equation: with
#
# $$
# g_\mathrm{leak}(V - E_\mathrm{leak}) + K\,(V - V_\mathrm{data})
# = (g_\mathrm{leak} + K)(V - E_\mathrm{leak}) - K\,(V_\mathrm{data} - E_\mathrm{leak}),
# $$ (eq-steering)
#
# add $K$ to the leak conductance, and inject $K\,(V_\mathrm{data} - E_\mathrm{leak})$. First the place of
# the leak has to be found: a channel without gates that passes a current $g\,(V - E)$. Which one does not
# matter, since its own $E$ cancels.


# %%
def leaks(circuit: Circuit) -> tuple[np.ndarray, np.ndarray]:
    """Population and channel without gates, that passes a current g (V − E), of each population. Raises ValueError where there is none."""
    found = []
    for m in circuit.membranes:
        plain = [i for i, c in enumerate(m.channels) if c.m is None and c.h is None and not hasattr(c.E, "linear")]
        if not plain:
            raise ValueError(
                f"the channels are {checks.listing(c.name for c in m.channels)}, none of them without gates; the prediction error steers "
                "through a channel without gates. Add one, such as Channel('leak', -50)."
            )
        found.append(plain[0])
    populations = circuit.populations
    return np.arange(len(populations)), np.array([found[p.membrane] for p in populations])


# %% [markdown]
# `Steering` does the two changes. Densities are in mS/cm² and currents in nA, hence the area of each cell
# in between. A `Neuron`, whose equations are the user's own, has no leak that the program would know;
# there the current is added to the input, and the scheme is told its slope $K$, so that a strong steering
# stays stable.


# %%
class Steering(NamedTuple):
    """What holds cells near a recording."""

    K: Any  # mS/cm²
    at: (
        tuple[np.ndarray, np.ndarray] | None
    )  # population and channel of each leak, (population,) each; None of equations of one's own
    target: np.ndarray  # (step, cell) mV
    I: Any  # the input, as of `Simulation.at`

    def steered(self, params: Any) -> tuple[Any, Any]:
        """The parameters with stronger leaks, and the current (step, cell) nA that goes with them and with the input."""
        if self.at is None:
            return params, Driven(self.I + self.K * self.target, self.K)
        per_population = []
        for p, channel in zip(params.circuit.populations, self.at[1], strict=True):
            m = params.circuit.membranes[p.membrane]
            per_population.append((self.K * m.constants.A * CM2_MS_TO_US, m.channels[channel].E))
        G, E = (
            jnp.stack([jnp.asarray(x, float) for x in of])[params.circuit.rows]
            for of in zip(*per_population, strict=True)
        )
        return params.replace(g=jnp.asarray(params.g).at[self.at].add(self.K)), G * (self.target - E) + self.I


# %% [markdown]
# How strong? With 1 mS/cm² of steering there would be seven false minima; with much more than 5 little is
# left of the error. The default is 5 mS/cm², more than a hundred times the largest leak of the paper's
# cells, 0.03. The recording is needed at every step of the scheme, not only where it was sampled. A cubic
# spline gives these values: of a spike that was sampled every 0.25 ms straight lines would cut off the
# top.

# %%
DEFAULT_STEERING = 5.0  # mS/cm²


def prediction_error(
    model: Any,
    data: Any,
    *,
    K: float = DEFAULT_STEERING,
    state: Any = None,
    skip: float = 0.0,
    dt: float | None = None,
    I_ext: Any = None,
) -> Loss:
    """Loss: mean squared error (mV²) of a model that is steered by recorded potentials with conductance K (mS/cm²).

    data, state, dt, I_ext: as for `trace_mismatch`. skip: ms at the start that do not count, while the gates find their values. Of a `Neuron`
    the steering is the input K (V_data − V), in its units. Raises ValueError if a cell has no channel without gates, if a cell is
    reset where it spikes, or if nothing is left.
    """
    from scipy.interpolate import CubicSpline

    model = any_model(model)
    t, V = recording_of(data, model)
    no_resets(model, "the recording steers the potential", "Take `lif.prediction_error`, from recorded states")
    at = leaks(model.circuit) if isinstance(model, Model) else None
    K = checks.positive("K", K, "mS/cm²")
    if wrong := not model.own_units and suspicion("K", K, DENSITY):
        checks.warn(wrong)
    late = t >= t[0] + checks.number("skip", skip, "ms")
    if skip < 0 or not late.any():
        raise ValueError(
            f"skip is {skip:g} ms of a recording of {t[-1] - t[0]:g} ms; it must leave some of it. Say 0 for all."
        )
    s = simulation_of(model, t, state=state, dt=dt, I_ext=I_ext)
    steps = t[0] + s.dt * np.arange(round((t[-1] - t[0]) / s.dt) + 1)
    steering = Steering(K, at, CubicSpline(t, V)(np.minimum(steps, t[-1])), s.at(steps))

    def loss(params: Any) -> Array:
        steered, injected = steering.steered(params)
        return jnp.mean((s._replace(I=injected).states(steered, t).V - V)[late] ** 2)

    return loss


# %% [markdown]
# ## Calcium
#
# **Mean calcium** is what a cell could know of its own activity. Models of homeostasis have a cell
# compare it with a target and change its channels accordingly; the
# [chapter on regulation](../lab/regulation.py) is about these. The loss is $\ln^2$ of the ratio: twice
# too much is as bad as half, and 0.48, whatever the target. Concentrations are in µM, and a target of
# which the unit looks mistaken is remarked upon.


# %%
def calcium_target(target: Any, cells: list[tuple[str, int]]) -> np.ndarray:
    """Mean calcium that is wanted, () or (cell,) µM; labels tell whose it is."""
    labelled = pd.Series(target) if isinstance(target, Mapping) else target
    if isinstance(labelled, pd.Series):
        labelled = labelled.iloc[order_of(labelled.index, cells, "target has no calcium")]
    x = checks.numbers("target", labelled)
    if not (good := np.isfinite(x) & (x > 0)).all():
        raise ValueError(f"target contains {x[~good][0]:g} µM; all of it must be positive. Give numbers above 0.")
    if x.shape not in ((), (len(cells),)):
        raise ValueError(
            f"target has shape {x.shape}; it must be one number, or one for each of the {len(cells)} cells. Give one of these."
        )
    for size in {float(x.min()), float(x.max())}:
        if wrong := suspicion("target", size, CALCIUM_INSIDE):
            checks.warn(wrong)
    return x


def calcium_mismatch(
    model: Any, target: Any, t: Any, *, state: Any = None, dt: float | None = None, I_ext: Any = None
) -> Loss:
    """Loss: mean over cells of log²(mean calcium / target); target: µM, a number, (cell,), or a mapping or Series with labels."""
    model = any_model(model)
    if "Ca" not in model.cold._fields:
        raise ValueError(
            f"{model!r} has the variables {checks.listing(model.cold._fields)}; calcium, Ca, must be one of them. Take another loss."
        )
    t, target = checks.times(t, 0.0), calcium_target(target, list(model.cells))
    check_units("the run", t, {})
    s = simulation_of(model, t, t0=0.0, state=state, dt=dt, I_ext=I_ext)
    return lambda params: jnp.mean(jnp.log(s.states(params, t, 0.0).Ca.mean(0) / target) ** 2)


# %% [markdown]
# ## Spike density
#
# **Spike density** forgives small shifts: every upstroke through the threshold counts one, smoothed by a
# Gaussian of a given width $σ$. Of two spikes at a distance $d$ the squared difference of densities,
# integrated over time, is
#
# $$
# \frac{1}{\sqrt{π}\,σ} \left(1 - e^{-d^2/4σ^2}\right),
# $$ (eq-density)
#
# a parabola for small $d$ and flat beyond $4σ$ or so. So the width says from how far apart spikes still
# attract each other, and how exactly they will be placed.
#
# To count an upstroke in a differentiable way, the potential goes through a sigmoid of a width of 5 mV
# around the threshold, and only its rises count: one spike is a rise from 0 to 1, whatever its height
# above. The derivative then is felt where the potential is within some 10 mV of the threshold. Cells with
# a reset have spikes of their own; these come from the model, with the derivative of a
# {term}`surrogate gradient`.

# %%
UPSTROKE = 5.0  # mV, over which a spike counts softly as it rises through the threshold


def spike_density(t: Any, V: Array, width: float, threshold: float = SPIKE_THRESHOLD) -> Array:
    """Spikes per second, smoothed by a Gaussian of s.d. `width` (ms): (time − 1, cell), of V (time, cell) mV."""
    return smoothed(t, jax.nn.relu(jnp.diff(jax.nn.sigmoid((V - threshold) / UPSTROKE), axis=0)), width)


def smoothed(t: Any, spikes: Array, width: float) -> Array:
    """Spikes per second (time − 1, cell), of spikes between the times t."""
    step = float(t[1] - t[0])
    n = math.ceil(4 * width / step)
    kernel = jnp.asarray(np.exp(-((np.arange(-n, n + 1) * step / width) ** 2) / 2), spikes.dtype)
    smooth = lambda x: jnp.convolve(x, kernel / kernel.sum(), mode="full")[n : n + len(x)]  # noqa: E731
    return jax.vmap(smooth, in_axes=1, out_axes=1)(spikes) / step * MS_PER_S


# %% [markdown]
# Of recorded cells with a threshold the spikes are known as times, and need not be sought in a potential.
# A spike at a sampled time belongs to the interval that it ends, since that is where the model's step
# counts it. The rest is as above: the density of both, and the mean squared difference, in squared spikes
# per second.


# %%
def spikes_in(data: Any, t: np.ndarray, cells: Iterable[Any]) -> np.ndarray | None:
    """Spikes (time − 1, cell) between the times t (ms) of a result of cells with a threshold, None of other data."""
    if not getattr(getattr(data, "model", None), "resets", False):
        return None
    edges = t + ON_TIME  # a spike at a time belongs to the interval that it ends
    trains = data.spike_times()
    return np.stack([np.diff(np.searchsorted(trains[cell], edges)) for cell in cells], 1).astype(float)


def density_mismatch(
    model: Any,
    data: Any,
    *,
    width: float = 50.0,
    state: Any = None,
    dt: float | None = None,
    detection: Detection = STANDARD,
    I_ext: Any = None,
) -> Loss:
    """Loss: mean squared difference ((1/s)²) of spike densities. width: ms; data, state, dt, I_ext: as for `trace_mismatch`.

    Of the detection only the threshold counts. Cells that are reset by a threshold have its spikes, with the derivative of the surrogate
    `lif.SURROGATE`, and so has data that is a result of them.
    """
    model = any_model(model)
    threshold = of_soft(detection).threshold
    t, V = recording_of(data, model)
    s = simulation_of(model, t, state=state, dt=dt, I_ext=I_ext)
    own, width = spikes_in(data, t, model.cells), checks.positive("width", width, "ms")
    if not t[1] - t[0] <= width <= t[-1] - t[0]:
        raise ValueError(
            f"width is {width:g} ms, with samples from {t[0]:g} to {t[-1]:g} ms, each {t[1] - t[0]:g}; it must lie between the interval and "
            "the whole. 50 is usual."
        )

    of_V = lambda V: spike_density(t, V, width, threshold)  # noqa: E731

    def loss(params: Any) -> Array:
        ours = smoothed(t, s.spikes(params, t), width) if model.resets else of_V(s.states(params, t).V)
        theirs = of_V(jnp.asarray(V, ours.dtype)) if own is None else smoothed(t, jnp.asarray(own, ours.dtype), width)
        return jnp.mean((ours - theirs) ** 2)

    return loss


# %% [markdown]
# ## A rhythm
#
# **Features**: the distance from a wanted period $P^*$ and duty cycle $δ^*$, in logarithms so that both
# count alike,
#
# $$
# L = \ln^2 \frac{P}{P^*} + \ln^2 \frac{δ}{δ^*}.
# $$ (eq-rhythm-loss)
#
# A period that is 5% off costs 0.0024. Where no period is defined, as in a tonic cell, the longest
# silence (softly, over all silences of a run) still is; the loss then asks for one as long as in the
# wanted rhythm, $(1 - δ^*) P^*$, and adds 4 so that no tonic cell is better than a bursting one. The
# softly longest of silences $d_i$ is $T \ln \sum_i e^{d_i/T}$: the longest one, and where several are
# about equal, all of them have a share in the derivative. A tonic cell so is led, by its longest
# interval, to a first pause.
#
# In `log_ratio` stands the usual precaution: where a number is not known, something harmless is put in
# its place *before* the logarithm is taken, so that no NaN gets into the derivative.


# %%
def log_ratio(a: Array, b: Any) -> tuple[Array, Array]:
    """log² (a/b), or 0 where a is undefined or not positive; and whether it is defined."""
    known = jnp.isfinite(a) & (a > 0)
    return jnp.log(jnp.where(known, a, b) / b) ** 2, known


def longest_silence(spikes: Train, window: tuple[Any, Any], T: Any) -> Array:
    """Longest time between two spikes (ms), softly, at temperature T (ms)."""
    x = jnp.where(spikes.real, spikes.times, window[1])
    both = spikes.real[:-1] & spikes.real[1:]
    gaps = jnp.where(both, jnp.diff(x), 0.0)
    longest = T * jax.nn.logsumexp(gaps / T, where=both | ~both.any())
    return jnp.where(both.any(), longest, window[1] - window[0])


# %% [markdown]
# The run has a transient, from time 0 to the first time that is given, through which no derivative goes.
# A wanted period has to be possible: {term}`bursts <burst>` of at least 40 ms that are 150 ms apart, and
# shorter than the run.


# %%
def rhythm_mismatch(
    model: Any, t: Any, *, period: float, duty_cycle: float, cell: Any = 0, temperature: float = DEFAULT_TEMPERATURE,
    state: Any = None, dt: float | None = None, detection: Detection = STANDARD, I_ext: Any = None,
) -> Loss:  # fmt: skip
    """Loss: log² of the ratios of a cell's period (ms) and duty cycle to wanted ones; times t (ms) as in `soft_features`.

    cell: its number or its label. dt, I_ext: as for `trace_mismatch`. Raises TypeError or ValueError, as for a period that no cell can have in
    this run, or cells that are reset where they spike.
    """
    model = any_model(model)
    no_resets(model, *RHYTHM)
    period = checks.positive("period", period, "ms")
    share = checks.number("duty_cycle", duty_cycle, "1", above=0, below=1)
    t, cell, temperature = (
        times_of(t),
        cell_number("cell", cell, model.cells),
        checks.positive("temperature", temperature, "ms"),
    )
    d = of_soft(detection)
    check_period(period, t[-1] - t[0], d)
    s = simulation_of(model, t, t0=0.0, state=state, dt=dt, I_ext=I_ext)

    def loss(params: Any) -> Array:
        V = settled_run(s, params, t)
        f = jax.tree.map(lambda x: x[cell], soft_features(t, V, temperature, detection=d))
        (a, bursting), (b, _) = log_ratio(f.period, period), log_ratio(f.duty_cycle, share)
        silence = longest_silence(train(jnp.asarray(t, V.dtype), V[:, cell], d), (t[0], t[-1]), temperature)
        c, _ = log_ratio(silence, (1 - share) * period)
        return jnp.where(bursting, a + b, UNDEFINED + c)

    return loss


def check_period(period: float, duration: float, d: Detection) -> None:
    """Refuse a period (ms) that is shorter than bursts and the silence between, or longer than the run."""
    if not d.gap + d.min_duration < period < duration:
        raise ValueError(
            f"period is {period:g} ms in a run of {duration:g} ms; it must be shorter than that, and more than {d.gap + d.min_duration:g} ms, since "
            f"bursts of {d.min_duration:g} ms lie {d.gap:g} ms apart. If it is in s, multiply it by 1000, or simulate longer."
        )


RHYTHM = "a rhythm is read from spikes in the potential", "Compare spikes with `density_mismatch`"
UNDEFINED = 4.0  # loss of a rhythm that has no period, more than that of a wrong one

# %% [markdown]
# ## Fifteen criteria
#
# The **fifteen criteria** as one loss: how far each feature lies outside its accepted range, in standard
# deviations of the lobsters', squared. With the mean period $P$, durations and {term}`phases <phase>` of
# a circuit, delays and gaps follow, such as $φ_{LP} P$ for the delay of LP. So fifteen numbers come from
# six: one period, three durations, two phases, all of them soft features.


# %%
def fifteen(f: Features, roles: Sequence[int]) -> dict[str, Array]:
    """The features of `rhythm.CRITERIA` from soft ones; roles: the cells that are PD, LP and PY."""
    PD, LP, PY = roles
    P = f.period[PD]
    φ_LP, φ_PY = f.phase[LP], f.phase[PY]
    burst = {"PD": f.burst[PD], "LP": f.burst[LP], "PY": f.burst[PY]}
    gap_1, gap_2 = φ_LP * P - burst["PD"], (φ_PY - φ_LP) * P - burst["LP"]
    return {
        "cycle_period": P, **{f"burst_duration_{x}": d for x, d in burst.items()},
        "gap_PDend_LPstart": gap_1, "gap_LPend_PYstart": gap_2,
        "delay_PDstart_LPstart": φ_LP * P, "delay_PDstart_PYstart": φ_PY * P,
        **{f"duty_cycle_{x}": d / P for x, d in burst.items()},
        "phase_gap_PD_LP": gap_1 / P, "phase_gap_LP_PY": gap_2 / P, "phase_LPstart": φ_LP, "phase_PYstart": φ_PY,
    }  # fmt: skip


# %% [markdown]
# For a feature $x$ with the range from $a$ to $b$ and the standard deviation $s$, and with a margin $m$,
# the term is
#
# $$
# \left(\frac{\max(a + m s - x,\, 0) + \max(x - b + m s,\, 0)}{s}\right)^2,
# $$ (eq-outside)
#
# at most one of the two being positive. It is 0 inside of the shrunken range and $m^2$ on the edge of the
# true one. The loss is the mean of fifteen such terms. So wherever it is below $m^2/15$, no feature can
# be out of its range: with the default margin of 0.25, below 0.0042. (Terms add up, so that it may also
# be above with all features inside.) The widest margin is that at which the narrowest range is gone,
# 1.98.

# %%
WIDEST = min(
    (c.high - c.low) / (2 * c.sd) for c in CRITERIA
)  # standard deviations; a wider margin leaves nothing of some range


def three_cells(roles: Any, model: Any) -> tuple[int, ...]:
    """Numbers of the cells that are PD, LP and PY."""
    if len(model.cells) < 3:
        raise ValueError(
            f"{model!r} has {len(model.cells)} cells; the fifteen criteria must have three, PD, LP and PY. Take `rhythm_mismatch` for one cell."
        )
    given = [] if isinstance(roles, (str, Mapping)) or not isinstance(roles, Iterable) else list(roles)
    found = [cell_number("a role", x, model.cells) for x in given]
    if len(found) != 3:
        raise TypeError(
            f"roles is {roles!r}; it must be the three cells that are PD, LP and PY, such as (0, 1, 2). Give them in this order."
        )
    if len(set(found)) < 3:
        raise ValueError(f"roles is {roles!r}; PD, LP and PY must be three cells. Name each once.")
    return tuple(found)


def outside(x: Array, c: Criterion, margin: float) -> Array:
    """Squared distance from the accepted range, shrunk at both ends by a margin, in standard deviations of the lobsters."""
    inner = margin * c.sd
    return ((jax.nn.relu(c.low + inner - x) + jax.nn.relu(x - c.high + inner)) / c.sd) ** 2


# %% [markdown]
# Two more things are wanted of a pyloric circuit. A feature that is not defined, such as the phase of a
# silent LP, costs 4, as two standard deviations out would, and has no derivative: the fit must find its
# way by the others. And LP and PY are to burst as often as PD, give or take one burst at the ends of the
# run; that the features are means would hide a cell that bursts every other cycle.


# %%
def criteria_mismatch(
    model: Any, t: Any, *, roles: Sequence[Any] = (0, 1, 2), margin: float = 0.25, temperature: float = DEFAULT_TEMPERATURE,
    state: Any = None, dt: float | None = None, detection: Detection = STANDARD, I_ext: Any = None,
) -> Loss:  # fmt: skip
    """Loss: 0 if all fifteen criteria hold with a margin (standard deviations) and LP and PY burst as often as PD, give or take one.

    roles: the numbers or the labels of the cells that are PD, LP and PY. Below margin²/15 all fifteen hold. Raises TypeError or
    ValueError for cells that are not there.
    """
    model = any_model(model)
    no_resets(model, *RHYTHM)
    t, roles, temperature = times_of(t), three_cells(roles, model), checks.positive("temperature", temperature, "ms")
    if not 0 <= checks.number("margin", margin, "standard deviations") < WIDEST:
        raise ValueError(
            f"margin is {margin:g}; it must be from 0 to below {WIDEST:.3g}, where a range ends. Say 0 for the ranges themselves."
        )
    d = of_soft(detection)
    s = simulation_of(model, t, t0=0.0, state=state, dt=dt, I_ext=I_ext)

    def loss(params: Any) -> Array:
        V = settled_run(s, params, t)
        f = soft_features(t, V, temperature, roles[0], d)
        known = {name: jnp.isfinite(x) for name, x in fifteen(lax.stop_gradient(f), roles).items()}
        found = fifteen(jax.tree.map(lambda x: jnp.where(jnp.isfinite(x), x, 1.0), f), roles)
        terms = [jnp.where(known[c.name], outside(found[c.name], c, margin), UNDEFINED) for c in CRITERIA]
        extra = jnp.stack([jax.nn.relu(abs(f.bursts[i] - f.bursts[roles[0]]) - 1) ** 2 for i in roles[1:]])
        return (sum(terms) + extra.sum()) / len(terms)

    return loss


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-steering
# With a stronger steering the model follows the recording more closely. What becomes of the largest loss
# in {numref}`fig-landscape` with $K$ = 1, 5 and 20 mS/cm², and of the number of minima?
# ```
#
# ```{solution-start} ex-steering
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def minima_and_height(K):
#     """How many minima a landscape has, and its largest value, mV²."""
#     y = along_A(prediction_error(cell, truth, K=K))
#     return int(((y[1:-1] < y[:-2]) & (y[1:-1] < y[2:])).sum()), round(float(y.max()), 2)
#
#
# steered = {K: minima_and_height(K) for K in (1, 5, 20)}
# assert steered[1][0] == 8 and steered[5][0] == steered[20][0] == 1
# steered

# %% [markdown]
# From 1 to 5 it falls by a factor of 26, since spikes that are not in the recording vanish, and with them
# the false minima. From 5 to 20 it falls by 32; four times the steering would make it $4^2 = 16$, were
# the currents the same. What is left at 20 is less than half a millivolt at the most, which is hard to
# tell from the noise of a real recording.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-density
# Two spikes are 20 ms apart. For which of the widths 5, 20, 50 and 200 ms does the density mismatch tell
# that they should come closer? Compare {eq}`eq-density` with `spike_density`.
# ```
#
# ```{solution-start} ex-density
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# times, apart = np.arange(0, 1000, 0.1), 20.0
# spike_at = lambda x: -60 + 100 * np.exp(-((times - x) ** 2))[:, None]
#
#
# def squared_difference(width):
#     """Of the densities of two spikes, integrated over time, spikes² per second."""
#     with precision():
#         a, b = (
#             np.asarray(spike_density(times, jax.numpy.asarray(spike_at(x)), width)) for x in (500.0, 500.0 + apart)
#         )
#     return ((a - b) ** 2).sum() * 0.1 / 1000
#
#
# σ = np.array([5.0, 20.0, 50.0, 200.0])
# measured = np.array([squared_difference(width) for width in σ])
# expected = 1000 / (np.sqrt(np.pi) * σ) * (1 - np.exp(-(apart**2) / (4 * σ**2)))
# assert np.allclose(measured, expected, rtol=0.01)
# measured.round(3)

# %% [markdown]
# With 5 ms the exponential is $e^{-4}$: the spikes hardly see each other, and the loss is that of two
# strangers. With 20 ms and more they do. With 200 ms the loss is a parabola, but so flat that 20 ms
# hardly count.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-margin
# A feature lies on the very edge of its range. What does it cost with a margin of 0.25, and what if it
# lies a standard deviation further out? Above which total can a circuit fail a criterion?
# ```
#
# ```{solution-start} ex-margin
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# period = CRITERIA[0]
# edge, further = (float(outside(np.float64(x), period, 0.25)) for x in (period.low, period.low - period.sd))
# assert np.allclose([edge, further], [0.25**2, 1.25**2])
# edge / 15, further / 15

# %% [markdown]
# $0.25^2 = 0.0625$ and $1.25^2 = 1.5625$, each divided by fifteen. If all other features are well inside,
# a circuit may fail with any loss above 0.0042, and not below.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-calcium-ratio
# The mean calcium of the pacemaker is 116 µM over 3 s. Which target costs it more: half of that, or
# twice?
# ```
#
# ```{solution-start} ex-calcium-ratio
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# three_seconds = np.arange(0, 3000, 0.5)
# mean_calcium = float(cell(three_seconds).Ca.to_numpy().mean())
# with precision():
#     costs = [float(calcium_mismatch(cell, x * mean_calcium, three_seconds)(cell.params)) for x in (0.5, 1, 2)]
# assert np.allclose(costs, [np.log(2) ** 2, 0, np.log(2) ** 2])
# costs

# %% [markdown]
# Both cost $\ln^2 2 = 0.48$. Had the loss the squared difference of concentrations instead, the target of
# twice as much would cost four times what that of half costs.
# ```{solution-end}
# ```
