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
# A **loss** is a function of `Params` that is small where the model does what is wanted. The functions below
# build such losses; so may any function of your own that calls `simulate_with_adjoint`. A recording is a result, a table with times and a
# column for each cell, told by its label, the file of one, or times and potentials. Every model has losses; a `Cell` counts as a network of one. A run starts where it was told to, or else where the model starts by itself: a `Prinz2004` with
# thermalized cells, a `Network` cold.

# %% tags=["active-ipynb"]
# import holoviews as hv
# import jax
# import numpy as np
# import panel as pn
#
# from .losses import prediction_error, trace_mismatch
# from .parameters import with_values
# from ..prinz2004 import Prinz2004, precision
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)

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
# The **trace mismatch** is the mean squared difference of potentials. It has many false minima: a model whose spikes come
# two milliseconds late is no better than one without spikes.


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
# The **prediction-error method** {cite:p}`Ljung1999` steers the model by the recording: each cell gets the extra current $K\,(V_\mathrm{data} -
# V)$, which holds its potential near the recorded one, so that a spike is never late for long. What is left of the difference says
# which current is wrong. This extra current is a leak with the conductance $K$ and the reversal potential $V_\mathrm{data}(t)$,
# so it needs no new equation: add $K$ to the leak conductance, and inject $K\,(V_\mathrm{data} - E_\mathrm{leak})$.


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
# Both losses along one conductance, of an isolated pacemaker that was simulated with 50 mS/cm² of A current: the trace
# mismatch has 22 false minima, the prediction error none. (With 1 mS/cm² of steering it would have seven; with much more than 5 little
# is left of the error.)

# %% tags=["active-ipynb"]
# truth = cell(np.arange(0, 1500, 0.25))
# losses = {"trace": trace_mismatch(cell, truth), "prediction error": prediction_error(cell, truth)}
# values = np.linspace(20, 100, 81)
# with precision():
#     landscapes = {name: np.asarray(jax.jit(jax.vmap(lambda g, loss=loss: loss(with_values(cell.params, {"AB/PD 2 A": g}))))(values))
#                   for name, loss in losses.items()}

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Two losses along one conductance (mS/cm²), each relative to its largest value; the true value is 50.", "name": "fig-landscape"}}
# minima = {name: int(((y[1:-1] < y[:-2]) & (y[1:-1] < y[2:])).sum()) for name, y in landscapes.items()}
# assert minima["prediction error"] == 1 < minima["trace"]
# curves = [hv.Curve((values, y / y.max()), "conductance of A (mS/cm²)", "relative loss", label=name) for name, y in landscapes.items()]
# hv.Overlay(curves).opts(width=560, height=260, toolbar=None, legend_position="right")

# %% [markdown]
# **Mean calcium** is what a cell could know of its own activity. **Spike density** forgives small shifts: every upstroke through
# the threshold counts one, smoothed by a Gaussian of a given width.


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
# **Features**: the distance from a wanted period and duty cycle. Where no period is defined, as in a tonic cell, the
# longest silence (softly, over all silences of a run) still is; the loss then asks for one as long as in the wanted rhythm.


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
# The **fifteen criteria** as one loss: how far each feature lies outside its accepted range, in standard deviations of the lobsters',
# squared. With the mean period $P$, durations and phases of a circuit, delays and gaps follow, such as $φ_{LP} P$ for the delay
# of LP.


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
