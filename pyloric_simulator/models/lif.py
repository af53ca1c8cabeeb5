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
# # Cells with a threshold and a reset
#
# How much of a neuron is left if only the times of its {term}`spikes <spike>` matter? The spike of a
# conductance-based cell is a part of its potential, and its derivative comes with that of the potential. A
# *leaky integrate-and-fire* cell has no spike of its own: when its potential reaches a threshold, a spike
# is noted and the potential is reset. Such cells are cheap, their rate is known in closed form, and
# networks of them are trained; but whether a cell has reached its threshold is a step function, whose
# derivative is 0 wherever it exists. This chapter has the cell, called like the circuit, and the
# {term}`surrogate derivatives <surrogate gradient>` that stand in for that of the step. They find the time
# constant of a cell from nothing but the times of its spikes.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=200), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "Two cells with different time constants and one input; strokes are spikes.", "name": "fig-lif"}}
# import numpy as np
#
# from .lif import LIF
#
# cells = LIF(2, τ=[10, 30])
# run = cells(np.arange(0, 300, 0.1), I_ext=lambda t: 1.2 + 0.008 * t)
# run.plot()

# %% [markdown]
# Both cells have the same threshold and the same input, which grows slowly. The one with the shorter time
# constant follows it closely and fires more often; the other one smooths it. Between two spikes there is
# only the relaxation of a leaky capacitor, as in a cell whose channels are all blocked but the leak.
#
# ## Rate and current
#
# At a constant current the cell fires regularly, if it fires, at the rate
#
# $$
# f = \left( t_\mathrm{ref} + τ \ln
# \frac{R I + V_\mathrm{rest} - V_\mathrm{reset}}{R I + V_\mathrm{rest} - V_\mathrm{th}} \right)^{-1}.
# $$ (eq-lif-rate)
#
# The potential heads for $V_∞ = V_\mathrm{rest} + R I$, its distance shrinks as $e^{-t/τ}$, and the
# logarithm is the time in which it shrinks from $V_∞ - V_\mathrm{reset}$ to $V_∞ - V_\mathrm{th}$. With the
# numbers below and 2 nA, $V_∞$ is −45 mV: the interval is 2 ms + 20 ms · ln(25/5) = 34.2 ms, and the rate
# 29.2 Hz. Below 1.5 nA, where $V_∞$ is the threshold, there is none.

# %% tags=["active-ipynb"]
# import jax
# import jax.numpy as jnp
#
# from ..prinz2004 import precision
# from .lif import CELL, descend, prediction_error, rate, simulate_lif, van_rossum
# from .lif import fast_sigmoid, heaviside, superspike, surrogate

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Rate and current: closed form (line) and simulation (dots).", "name": "fig-lif-rate"}}
# I, t = np.linspace(1, 6, 51), np.arange(0, 2000.5, 0.5)
# trains = LIF(len(I))(t, I_ext=I).spike_times().values()
# found = np.array([1000 / np.diff(x).mean() if len(x) > 1 else 0 for x in trains])
# expected = np.asarray(rate(CELL, I))
# assert (found <= expected + 1e-3).all() and (expected - found <= 0.1e-3 * expected**2 + 1e-3).all()
# fine = np.linspace(1, 6, 2001)
# line = hv.Curve((fine, rate(CELL, fine)), "I_ext (nA)", "rate (Hz)")
# (line * hv.Scatter((I, found)).opts(color="black", size=4)).opts(width=480, height=250, toolbar=None)

# %% [markdown]
# A simulated spike waits for the end of its step. The reset after it starts there, too, so that each
# interval is the exact one rounded up to a multiple of $dt$, and the rate is low by a share of $dt\, f$ at
# most: by 2% with a step of 1 ms at 29 Hz, by 0.03% with the usual 0.1 ms.
#
# ## A time constant from the spikes alone
#
# A cell with $τ$ = 20 ms receives a fluctuating current. Can gradient descent find its $τ$, starting 50%
# off? Once it sees the potential between the spikes, and once only the times of the spikes. The second is
# what an electrode outside a cell records, and it is the hard case: a small change of $τ$ moves no spike to
# another step, so that the true derivative is 0, and only the surrogate shows the way.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Gradient descent to τ = 20 ms, from the potential and from the spikes alone.", "name": "fig-lif-fit"}}
# t = np.arange(10001) * 0.1
# I = 1.5 + np.interp(t, np.arange(0, 1001, 5), np.random.default_rng(0).normal(size=201))[:, None]
# cell = LIF(1)
# data = cell(t, I)
#
#
# def from_potential(τ):
#     return prediction_error(CELL._replace(τ=τ), data.states, I, n=50)
#
#
# def from_spikes(τ):
#     return van_rossum(simulate_lif(CELL._replace(τ=τ), cell.rest, t, I).spikes, data.states.spikes, τ_D=20.0).sum()
#
#
# curves = []
# for name, error, color in (("potential", from_potential, "#3060a8"), ("spikes", from_spikes, "#c05020")):
#     for start in (10.0, 30.0):
#         with precision("float64"):
#             path = np.asarray(descend(error, start, rate=0.03, steps=150))
#         assert abs(path[-1] / 20 - 1) < 1e-3
#         curves.append(hv.Curve(path, "step of descent", "τ (ms)", label=f"from the {name}").opts(color=color))
# truth = hv.HLine(20).opts(color="black", line_width=0.5)
# hv.Overlay([*curves, truth]).opts(legend_position="right", height=250, toolbar=None)

# %% [markdown]
# Both lead to 20 ms, from 10 as from 30 ms, with an error below 0.1%. What is minimized is derived at the
# end of the chapter.
#
# ## What it does and what it costs
#
# `LIF(size)` is a model like any other: it is called with times and an input, and returns potentials in mV,
# spike counts and spike times, tables and plots. Parameters are in mV, ms, nA and MΩ, one number for all
# cells or one for each. `simulate_lif` is the pure function under it, which JAX differentiates, vectorizes
# and compiles.
#
# One cell for a second, 10,000 steps of 0.1 ms, takes 12 ms on one core of a server, and a thousand cells
# 0.75 s. All steps of a run are kept, so that a run of many cells for long takes memory: 24 bytes for each
# cell and step. The cells have no connections and no channels; a cell with further variables, such as an
# adaptation, is a `Neuron` of the [chapter before](neurons.py). Training networks of such cells is a field
# with packages of its own; the chapter on [PyTorch](../fitting/torch_bridge.py) makes these cells a module
# of the most common one.
#
# ## Units and parameters
#
# The definitions need the checks and inputs of the engine, results, and from the first chapter the share of
# its way that an exponential covers in a step.

# %%
from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..config import load_settings
from ..engine import checks, circuits
from ..engine.inputs import Samples, current, input_at, pure_current, run_is_finite
from ..engine.labelled import WithoutChannels
from ..engine.scale import HELD, MEMBRANE_TIME, POTENTIAL, RESISTANCE, suspicion
from ..engine.schedule import steps_of
from ..files.results import Result, dims, run_of
from ..prinz2004 import MS_PER_S, covered_exactly, precision

__all__ = [
    "LIF", "LIFResult", "Params", "State", "descend", "fast_sigmoid", "prediction_error", "rate", "simulate_lif",
    "superspike", "surrogate", "van_rossum",
]  # fmt: skip

# %% [markdown]
# mV, ms, nA and MΩ: $R I$ is in mV, so that no equation carries a factor. A positive current depolarizes.
# Every parameter is one number for all cells, or one for each.
#
# The defaults make a cell as it stands in textbooks: 15 mV from rest to threshold, an input resistance of
# 10 MΩ, so that 1.5 nA reach it, and a membrane that forgets within 20 ms. $τ = RC$ gives it a capacitance
# of 2 nF. The reset lies 5 mV below the rest, in the place of the undershoot that potassium leaves after a
# real spike; the refractory time of 2 ms stands for the spike itself and the inactivation of sodium.


# %%
class Params(NamedTuple):
    """Parameters of integrate-and-fire cells, each () or (cell,); those of one cell by default."""

    V_rest: Any = -65.0  # mV, potential without input
    V_reset: Any = -70.0  # mV, potential after a spike
    V_th: Any = -50.0  # mV, a cell that reaches it spikes
    R: Any = 10.0  # MΩ, input resistance
    τ: Any = 20.0  # ms, membrane time constant
    t_ref: Any = 2.0  # ms, for which a spike holds the potential at its reset


CELL = Params()
PARAMETER_UNITS = Params("mV", "mV", "mV", "MΩ", "ms", "ms")
USUAL = {"R": RESISTANCE, "τ": MEMBRANE_TIME, "t_ref": HELD}  # sizes, in which another unit shows

# %% [markdown]
# The state has three fields. The refractory time that is left is a part of it, so that a run that is
# continued goes on where it was. Spikes are *counted* between two recorded times: at a coarse recording
# there may be several.


# %%
class State(NamedTuple):
    """State of all cells; with a leading time axis, a trajectory."""

    V: Any  # (cell,) mV, membrane potential
    refractory: Any  # (cell,) ms, for which the potential is still held
    spikes: Any  # (cell,) spikes since the time before; a start has none


# %% [markdown]
# ## The cell
#
# $$
# τ \frac{dV}{dt} = V_\mathrm{rest} - V + R\, I_\mathrm{ext}; \qquad
# V \ge V_\mathrm{th}: \quad V \leftarrow V_\mathrm{reset}, \text{ held for } t_\mathrm{ref}.
# $$ (eq-lif)
#
# The input is held through a step. Between spikes the step is then exact {cite:p}`Rotter1999`: after a time
# $h$, of which $h_+ = \max(h - r, 0)$ remain where the potential is held for another $r$,
#
# $$
# V \leftarrow V + (V_∞ - V)\,(1 - e^{-h_+/τ}), \qquad V_∞ = V_\mathrm{rest} + R\, I_\mathrm{ext}.
# $$ (eq-lif-flow)
#
# In a step of 0.1 ms a potential with $τ$ = 20 ms covers 0.5% of its way. Two such steps cover as much as
# one of 0.2 ms, to the last digit but one: the step has no error of its own, and its only purpose is to
# look at the threshold.
#
# The refractory time is a real number that runs out within a step, not a number of steps. It is therefore
# not rounded to one, and the potential is differentiable in it. A conductance $G$ beside the current, as of
# a dynamic clamp, makes the cell both less sensitive and faster: $R$ and $τ$ are divided by $1 + RG$, and
# the step stays exact.


# %%
def flow(params: Params, y: State, I: Array, h: Any, G: Any = None) -> Array:
    """Potential (mV) a time h (ms) after the state y if no spike comes, {eq}`eq-lif-flow`; I: (cell,) nA.

    G: (cell,) µS, with which a conductance takes G V from the current I; a higher conductance, a shorter time.
    """
    V_inf, τ = params.V_rest + params.R * I, params.τ
    if G is not None:
        V_inf, τ = V_inf / (1 + params.R * G), τ / (1 + params.R * G)
    return y.V + (V_inf - y.V) * covered_exactly(jnp.maximum(h - y.refractory, 0) / τ)


# %% [markdown]
# ## Spikes with a derivative
#
# At the end of a step the potential is compared with the threshold: $S = Θ(V - V_\mathrm{th})$, 1 at the
# threshold and above it, else 0. A **surrogate** leaves $S$ as it is, and puts a function
# $σ'(V - V_\mathrm{th})$ in the place of $dS/dV$ {cite:p}`Neftci2019`. In SuperSpike
# {cite:p}`ZenkeGanguli2018` it is, with a slope $β$ in 1/mV,
#
# $$
# σ'(v) = \frac{1}{(1 + β|v|)^2},
# $$ (eq-superspike)
#
# of height 1. The step $\tfrac12 + \tfrac12\, βv/(1 + β|v|)$, a fast sigmoid that rises from 0 to 1, has
# $β/2$ times this as its derivative, in 1/mV and of area 1. Any other function will do as well.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The derivatives that JAX computes of the same step, the last of a Gaussian of one's own.", "name": "fig-surrogates"}}
# v = jnp.linspace(-4, 4, 401)
# steps = {"fast sigmoid, β = 1/mV": fast_sigmoid(1), "fast sigmoid, β = 2/mV": fast_sigmoid(2),
#          "SuperSpike, β = 1/mV": superspike(1),
#          "Gaussian": surrogate(lambda v: jnp.exp(-(v**2) / 2) / np.sqrt(2 * np.pi))}
# assert all((spike(v) == heaviside(v)).all() for spike in steps.values())
# slopes = [hv.Curve((v, jax.vmap(jax.grad(spike))(v)), "V − V_th (mV)", "derivative of S", label=name)
#           for name, spike in steps.items()]
# hv.Overlay(slopes).opts(legend_position="right", legend_opts={"title": ""}, height=220, toolbar=None)

# %% [markdown]
# What is such a derivative worth? It has the sign of the truth: a cell that comes closer to its threshold
# is more likely to spike. Its size depends on the function that was chosen. For a descent this is enough,
# since the size only scales the steps, and the exact number is wanted nowhere; for a sensitivity it is not.
# One of the exercises compares the two.
#
# Any function of one's own is looked at before it is used. It has to work element by element: a function
# that returns one number for an array of potentials would be added to all cells alike, in silence.

# %%
Spike = Callable[[Any], Any]  # S of v = V − V_th in mV


def heaviside(v: Any) -> Array:
    """The threshold: 1 where v ≥ 0, else 0; its derivative is 0."""
    return jnp.heaviside(v, 1)


def check_elementwise(what: str, f: Any) -> None:
    """A function of v = V − V_th that JAX can trace, and that keeps the shape of v."""
    cure = (
        "Take fast_sigmoid(1.0), superspike(1.0), or write one with jax.numpy, such as lambda v: "
        "1 / (1 + jnp.abs(v)) ** 2."
    )
    if not callable(f):
        raise TypeError(f"{what} is {f!r}; it must be a function of v = V − V_th in mV. {cure}")
    try:
        found = jax.eval_shape(f, jax.ShapeDtypeStruct((3,), np.float32))
    except Exception as error:
        raise TypeError(
            f"{what}(v) cannot be traced by JAX: {checks.reason(error)}; it must return numbers, as v. {cure}"
        ) from error
    shape = getattr(found, "shape", found)
    if shape != (3,):
        raise ValueError(f"{what}(v) has shape {shape} for v of shape (3,); it must work on each element of v. {cure}")
    if found.dtype.kind != "f":
        raise TypeError(
            f"{what}(v) is of type {found.dtype}; it must be a real number for each element of v, no truth value. "
            f"{cure}"
        )


# %% [markdown]
# JAX lets a function have a derivative that is not its own, by `custom_jvp`. It is given in forward mode,
# as what a small change of $v$ does to $S$; the reverse mode follows from that, since the rule is linear in
# the change.


# %%
def surrogate(derivative: Callable[[Any], Any], forward: Spike = heaviside) -> Spike:
    """A function with the values of `forward` and the derivative `derivative` (1/mV), both elementwise functions of v
    in mV.

    Works in forward and in reverse mode. Raises TypeError or ValueError for what JAX cannot trace or is not
    elementwise.
    """
    check_elementwise("derivative", derivative)
    check_elementwise("forward", forward)
    spike = jax.custom_jvp(lambda v: forward(v))
    spike.defjvp(lambda v, dv: (spike(*v), derivative(*v) * dv[0]))
    return spike


def superspike(slope: float) -> Spike:
    """The threshold with the derivative {eq}`eq-superspike`, of height 1; slope β in 1/mV."""
    β = checks.positive("slope", slope, "1/mV")
    return surrogate(lambda v: 1 / (1 + β * jnp.abs(v)) ** 2)


def fast_sigmoid(slope: float) -> Spike:
    """The threshold with the derivative of a fast sigmoid from 0 to 1, of height β/2; slope β in 1/mV."""
    β = checks.positive("slope", slope, "1/mV")
    return surrogate(lambda v: β / 2 / (1 + β * jnp.abs(v)) ** 2)


SURROGATE = fast_sigmoid(1.0)

# %% [markdown]
# The reset itself is not differentiated. Through a surrogate it would say that a higher potential, which
# brings a spike forward, lowers the potential after it; in truth that is then higher, too. (So
# differentiated, the search for $τ$ = 20 ms at the top of this chapter ends between 7 and 40 ms.)


# %%
def step(params: Params, y: State, I: Array, dt: float, spike: Spike, G: Any = None) -> State:
    """The state after a step dt (ms), {eq}`eq-lif`; I: (cell,) nA, G: as in `flow`."""
    V = flow(params, y, I, dt, G)
    v, refractory = V - params.V_th, jnp.maximum(y.refractory - dt, 0)
    fires = (v >= 0) & jnp.isfinite(v)  # an overflow must stay in V, where it is found, and not be reset
    return State(jnp.where(fires, params.V_reset, V), jnp.where(fires, params.t_ref, refractory), spike(v))


# %% [markdown]
# ## From a start to the requested times
#
# A run goes through all steps and keeps them. A requested time between two steps has the exact potential
# {eq}`eq-lif-flow` that follows from the earlier one, and counts the spikes since the requested time before
# it. A spike at the end of a step belongs to the first requested time that is not before it. So no spike is
# lost between two times, none is counted twice, and a train can be recovered from counts at every step.


# %%
def counts(spikes: Array, k: Array, fraction: Array) -> Array:
    """Spikes (time, cell) since the time before, of those at the end of each step; the times are fractions after the
    steps k."""
    ends = jnp.arange(1, len(spikes) + 1)
    seen = jnp.where(fraction[0] > 0, ends > k[0], ends >= k[0])
    row = jnp.where(seen, jnp.searchsorted(k, ends), len(k))  # those before the first time go to a row that is dropped
    return jnp.zeros((len(k), spikes.shape[1]), spikes.dtype).at[row].add(spikes, mode="drop")


# %% [markdown]
# Numbers may come as they are or traced, in single or in double precision; the precision of the start
# decides. The scan has one step for all cells, since they do not know each other: a row of the state is a
# vector of potentials. Times, steps and the surrogate are fixed in the compiled program, all else is data.


# %%
def integrate(
    params: Params, state: State, I: Any, k: Any, fraction: Any, *, n: int, dt: float, t0: Any, spike: Spike,
    G: Any = None,
) -> tuple[State, Array]:  # fmt: skip
    """States a fraction of a step after each of the steps k, both (time,), and the spikes of all n steps, (step,
    cell)."""
    k, dtype = jnp.asarray(k), jnp.asarray(state.V).dtype
    params = Params(*(jnp.asarray(x, dtype) for x in params))
    start = State(*(jnp.asarray(x, dtype) for x in state))
    value, conductance = (input_at(x, dt, t0, dtype) for x in (I, G))
    current = lambda k: jnp.broadcast_to(value(k), start.V.shape)  # noqa: E731
    through = (lambda _: None) if G is None else conductance
    one = lambda y, k: (step(params, y, current(k), dt, spike, through(k)),) * 2  # noqa: E731
    ys = lax.scan(one, start, jnp.arange(n))[1]
    y = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b])[k], start, ys)
    fraction = jnp.asarray(fraction, dtype)
    h = dt * fraction[:, None]
    at_k = jax.vmap(lambda k: (current(k), through(k)))(k)
    V, refractory = flow(params, y, at_k[0], h, at_k[1]), jnp.maximum(y.refractory - h, 0)
    return State(V, refractory, counts(ys.spikes, k, fraction)), ys.spikes


# %% [markdown]
# `simulate_lif` is the pure function under everything else: `jax.jit`, `vmap` and `grad` work on it. What
# its derivatives mean:
#
# - Those of `V` and `refractory` with respect to all parameters but $V_\mathrm{th}$, to the input and to
#   the start are exact as long as no spike moves to another step. That a spike may move, and a potential
#   jump with it, they do not know; so the one with respect to $V_\mathrm{th}$ is 0.
# - Those of `spikes` follow by the chain rule from the potential before the reset, with the surrogate as
#   their first link. With respect to $V_\mathrm{th}$, too, they are not 0.
# - The times $t$ and the step $dt$ are fixed when a run is compiled.
#
# Where a derivative is 0 by construction, as that of the potential with respect to $V_\mathrm{th}$, `fit`
# and `sensitivity` refuse the number, and a loss of potentials warns where cells fire. A loss of spikes,
# `losses.density_mismatch`, takes the surrogate.

# %%
DEFAULT_DT = 0.1  # ms
SOLVER = "exact"  # the only one


def simulate_lif(
    params: Params, state: State, t: Any, I_ext: Any = None, *, dt: float = DEFAULT_DT, t0: float = 0.0,
    spike: Spike = SURROGATE,
) -> State:  # fmt: skip
    """States at the times t, shape (time, cell) in each field of `State`.

    params: each () or (cell,); state: (cell,) in each field, at t0; t: (time,) ms, increasing, concrete (not traced),
    not before t0. I_ext: None, () or (cell,) nA, (step, cell) nA at the steps t0 + k dt, or a function of t; held
    through a step. dt: ms. spike: the step with its surrogate derivative; the reset obeys the threshold whatever it is.
    The precision is that of `state` under JAX's settings. Raises TypeError or ValueError for what cannot be used.
    """
    t = checks.times(t, t0)
    state = check_start(state)
    params = check_params(params, len(state.V))
    dt = check_step(dt, params.τ)
    checks.steps(t, t0, dt)
    check_elementwise("spike", spike)
    checks.memory(f"a run of {len(state.V)} cells", bytes_of_run(len(state.V), t, t0, dt))
    k, fraction = steps_of(t, t0, dt)
    pure_current(I_ext, len(state.V), k[-1] + 1)
    return integrate(params, state, I_ext, k, fraction, n=int(k[-1]), dt=dt, t0=t0, spike=spike)[0]


compiled_integrate = jax.jit(partial(integrate, spike=heaviside), static_argnames=("n", "dt"))
compiled_with_function = jax.jit(partial(integrate, spike=heaviside), static_argnames=("I", "n", "dt"))

# %% [markdown]
# ## The model
#
# `LIF` reads its arguments in the forms in which `Prinz2004` reads them, and its result offers what that of
# a circuit offers. A spike has the time of the end of its step. A potential that is reset never shows its
# spike, so that plots draw a stroke of 40 mV for it, from the threshold up.

# %%
STROKE = 40.0  # mV, drawn from the threshold for a spike


@dataclass(frozen=True, repr=False)
class LIFResult(Result):
    """What a run of integrate-and-fire cells recorded; slices, tables, files and plots as those of a circuit."""

    units: ClassVar[Mapping[str, str]] = {"V": "mV", "spikes": "1", "refractory": "ms"}
    exported = ("V", "spikes")

    trains: tuple[np.ndarray, ...]  # ms, spike times of each cell in the whole run

    @property
    def spikes(self) -> pd.DataFrame:
        """Number of spikes since the time before: index time, columns pop and index."""
        return self._table(self.states.spikes)

    @property
    def refractory(self) -> pd.DataFrame:
        """For how long the potential is still held, ms: index time, columns pop and index."""
        return self._table(self.states.refractory)

    def spike_times(self) -> dict[tuple[str, int], np.ndarray]:
        """Times (ms) of the spikes of each cell between the first and the last recorded time, at the resolution of
        dt."""
        first, last = self.t[[0, -1]]
        return {cell: x[(x >= first) & (x <= last)] for cell, x in zip(self.model.cells, self.trains, strict=True)}

    def plot(self) -> Any:
        """Potentials and a stroke for each spike, one panel for each cell (HoloViews; load a backend with
        hv.extension)."""
        import holoviews as hv

        strokes = [
            hv.Segments([(t, θ, t, θ + STROKE) for t in times], [dims.t, dims.V, "end", "top"])
            for times, θ in zip(self.spike_times().values(), self.model.params.V_th, strict=True)
        ]
        panels = zip(super().plot(), strokes, strict=True)
        return hv.Layout([hv.Overlay([V.relabel(""), s], label=V.label) for V, s in panels]).cols(1)

    @property
    def about(self) -> dict[str, Any]:
        """What files say about the cells: their parameters."""
        return {"cells": {name: x.tolist() for name, x in self.model.params._asdict().items()}}


# %% [markdown]
# The class comes in three pieces. First the numbers: each is checked, spread over the cells and kept in
# double precision, whatever the precision of a run. Cells with other numbers are new cells, checked as the
# first ones were.


# %%
class Leaky(WithoutChannels):
    """Integrate-and-fire cells as their numbers say."""

    labels = ("LIF",)
    step, scheme = DEFAULT_DT, SOLVER  # ms, and the name of the scheme
    own_units, resets = False, True

    def __init__(
        self, size: int, *, V_rest: Any = CELL.V_rest, V_reset: Any = CELL.V_reset, V_th: Any = CELL.V_th,
        R: Any = CELL.R, τ: Any = CELL.τ, t_ref: Any = CELL.t_ref, dtype: str | None = None,
    ) -> None:  # fmt: skip
        self.size = checks.count("size", size, checks.MAX_STEPS)
        checks.memory(f"{self.size:,} cells", checks.BYTES_PER_CELL * self.size)
        params = check_params(Params(V_rest, V_reset, V_th, R, τ, t_ref), self.size, infinite=())
        self.params = Params(*(np.full(self.size, x, float) for x in params))
        check_units(self.params)
        self.dtype = load_settings().precision if dtype is None else dtype
        checks.choice("dtype", self.dtype, ("float64", "float32"))

    @property
    def rest(self) -> State:
        """All cells at V_rest."""
        return State(self.params.V_rest, np.zeros(self.size), np.zeros(self.size))

    cold = rest  # as of other models

    def like(self, params: Params) -> LIF:
        """The same cells with other numbers. Raises ValueError for those that cells cannot have."""
        return LIF(self.size, **params._asdict(), dtype=self.dtype)

    def __repr__(self) -> str:
        return f"LIF({self.size})"


# %% [markdown]
# Then what other chapters ask of such cells: files, trajectories for fits, and runs under a conductance.
# Since all of a cell is numbers, a file holds it as a whole, unlike a `Neuron` with its functions.


# %%
class Asked(Leaky):
    """What files, fits, clamps and noise ask of such cells."""

    def to_toml(self: Any, path: Any, title: str = "Integrate-and-fire cells") -> None:
        """Write the numbers of the cells as TOML, so that `from_toml` gives them back. Raises OSError if the file
        cannot be written."""
        from .network_files import write_lif  # a later module

        write_lif(self, path, title)

    @classmethod
    def from_toml(cls, path: Any, **kwargs: Any) -> LIF:
        """The cells in a TOML file; kwargs as for the class. Raises ValueError naming the key in the file."""
        from .network_files import read_lif

        return read_lif(path, **kwargs)

    def trajectory(
        self, params: Params, state: State, t: Any, I_ext: Any = None, *, dt: float, t0: float = 0.0
    ) -> State:
        """As `Model.trajectory`; `spikes` with the derivative of the surrogate."""
        return simulate_lif(params, state, t, I_ext, dt=dt, t0=t0)

    def spikes_between(self, *run: Any, **steps: Any) -> Array:
        """Spikes (time − 1, cell) between the times of a `trajectory`."""
        return self.trajectory(*run, **steps).spikes[1:]

    def _result(self, t: np.ndarray, found: Any, k: np.ndarray, fraction: np.ndarray, run_is: Any) -> LIFResult:
        """What was recorded, as from `integrate`, at fractions of steps after the steps k."""
        states, fired = jax.tree.map(np.asarray, found)
        run_is_finite(states, t, self.cells)
        ends = run_is.t0 + run_is.dt * np.arange(len(fired) + 1)
        ends[k[fraction == 0]] = t[fraction == 0]  # to the last digit, so that `t` contains them
        return LIFResult(t, states, self, tuple(ends[1:][x > 0] for x in fired.T), run=run_is)

    def driven(self, start: State, t: np.ndarray, I: Any, G: Any, *, dt: float, t0: float, run_is: Any) -> LIFResult:
        """A run under a current I − G V in the place of the input, (cell,) or at the steps (step, cell) nA and µS."""
        check_step(dt, self.params.τ)
        k, fraction = steps_of(t, t0, dt)
        found = compiled_integrate(self.params, start, I=I, G=G, k=k, fraction=fraction, n=int(k[-1]), dt=dt, t0=0.0)
        return self._result(t, found, k, fraction, run_is)


# %% [markdown]
# And the call. It compiles for each length of a run and each number of cells; numbers, starts and sampled
# inputs are data. An input that is a function of time is compiled with the run.


# %%
class LIF(Asked):
    """Leaky integrate-and-fire cells without connections: `result = LIF(size)(t, I_ext=…)` simulates them.

    size: number of cells. V_rest, V_reset, V_th (mV), R (MΩ), τ, t_ref (ms): a number or one for each cell, see
    `Params`. dtype: "float64" or "float32". Raises ValueError or TypeError on bad input.
    """

    def __call__(
        self, t: Any, I_ext: Any = None, state: State | None = None, *,
        solver: Any = SOLVER, dt: float = DEFAULT_DT, t0: float = 0.0,
    ) -> LIFResult:  # fmt: skip
        """Simulate and record at the times t.

        t: (time,) ms, increasing, from t0, the time of the start. I_ext (nA, depolarizing): a number, one per cell,
        an array (time,) or (time, cell) sampled at t, a DataFrame with its own times, or a JAX function of t; held
        through a step of dt (ms). state: start; V_rest by default. solver: "exact", between spikes. Raises ValueError
        or TypeError before anything is compiled, and FloatingPointError naming the cell and the time if the run turns
        non-finite.
        """
        check_params(self.params, self.size)
        checks.choice("solver", solver, (SOLVER,))
        t, dt = checks.times(t, t0), check_step(dt, self.params.τ)
        checks.steps(t, t0, dt)
        I = current(I_ext, self.labels, np.zeros(self.size, int), t, t0)
        start = check_start(self.rest if state is None else circuits.given_state(state, self.rest))
        checks.memory(f"a run of {self.size} cells", bytes_of_run(self.size, t, t0, dt))
        k, fraction = steps_of(t, t0, dt)
        n = int(k[-1])
        run = compiled_with_function if callable(I) else compiled_integrate
        with precision(self.dtype):
            start = State(*(np.asarray(x, self.dtype) for x in start))
            I = I.at(t0 + dt * np.arange(n + 1)) if isinstance(I, Samples) else I
            found = run(self.params, start, I=I, k=k, fraction=fraction, n=n, dt=dt, t0=t0)
        run_is = run_of(self, SOLVER, t0, "at rest" if state is None else "given", dt=dt)
        return self._result(t, found, k, fraction, run_is)


# %% [markdown]
# ## What is refused
#
# A comparison with NaN is false, so that a cell with an undefined threshold would be silent and have no
# rate. Numbers that JAX does not trace have to be defined, and a state of whole numbers is taken for what
# it says, not rounded at every step.


# %%
def bytes_of_run(size: int, t: np.ndarray, t0: float, dt: float) -> float:
    """What a run keeps: all fields of the state, at all steps of dt from t0 (ms) and at the times t."""
    return 8.0 * size * len(State._fields) * ((t[-1] - t0) / dt + len(t))


def defined(what: str, x: Any, *, finite: bool = False) -> Any:
    """An array in floating point without NaN, or without infinite numbers either, unless JAX traces it."""
    if isinstance(x, jax.core.Tracer):
        return x
    x = checks.numbers(what, x)
    if (wrong := ~np.isfinite(x) if finite else np.isnan(x)).any():
        raise ValueError(
            f"{what} contains {x[wrong].flat[0]:g}; all of it must be defined{' and finite' * finite}. Fill the gap."
        )
    return x


# %% [markdown]
# Of the parameters, $R$ and $τ$ have to be positive: a negative $τ$ would let the potential run away from
# its rest. A threshold may be infinite where it is asked for, for a cell that must not spike. Of a traced
# number, as in a fit, only the shape is known.

# %%
POSITIVE = ("R", "τ")  # parameters


def check_params(params: Any, size: int, *, infinite: Collection[str] = ("V_th",)) -> Params:
    """Parameters, () or (cell,) each: finite, R and τ positive, V_reset below V_th; of what JAX traces only the shape
    is looked at.

    An infinite threshold is never reached.
    """
    checks.of_type("params", params, Params, "a `Params`, such as CELL or `LIF(2).params`")
    known = {name: x for name, x in params._asdict().items() if not isinstance(x, jax.core.Tracer)}
    for name, x in known.items():
        checks.in_order(name, x)
        known[name] = checks.numbers(name, x)
    params = params._replace(**known)
    for name, x in params._asdict().items():
        if np.shape(x) not in ((), (size,)):
            raise ValueError(
                f"{name} has shape {np.shape(x)}; it must be a number or have one value for each cell, ({size},). "
                "Give one of these."
            )
    for name, x in known.items():
        unit = getattr(PARAMETER_UNITS, name)
        if (bad := np.isnan(x) if name in infinite else ~np.isfinite(x)).any():
            raise ValueError(f"{name} contains {x[bad].flat[0]}; it must be finite, in {unit}. Fill the gap.")
        if name in POSITIVE and (x <= 0).any():
            raise ValueError(
                f"{name} contains {x.min():g} {unit}; it must be positive. Take one of a cell: `lif.CELL.{name}`."
            )
    if "t_ref" in known and (least := known["t_ref"].min()) < 0:
        raise ValueError(f"t_ref contains {least:g} ms; it must not be negative. Say 0 for no refractory time.")
    if "V_reset" in known and "V_th" in known:
        check_reset(np.full(size, known["V_reset"]), np.full(size, known["V_th"]))
    return params


# %% [markdown]
# A reset at the threshold or above it makes a cell fire at every step. A step longer than the shortest time
# constant leaps over the way to the threshold: the potential would still be right at its end, but a spike
# might be noticed long after it was due.


# %%
def check_reset(V_reset: np.ndarray, V_th: np.ndarray) -> None:
    """Potentials (mV) after a spike, (cell,), that are below the threshold."""
    if (wrong := np.flatnonzero(V_reset >= V_th)).size:
        i = wrong[0]
        raise ValueError(
            f"cell {i} has V_reset = {V_reset[i]:g} mV and V_th = {V_th[i]:g} mV; a cell that is reset to its "
            "threshold "
            "or above it fires at every step. Lower V_reset."
        )


def check_step(dt: Any, τ: Any) -> float:
    """The time step in ms: positive, and no longer than a time constant (if that is no tracer)."""
    dt = checks.number("dt", dt, "ms")
    if dt <= 0:
        raise ValueError(f"dt is {dt:g} ms; it must be positive. 0.1 is usual.")
    if not isinstance(τ, jax.core.Tracer) and dt > (shortest := float(np.min(τ))):
        raise ValueError(
            f"dt is {dt:g} ms and the shortest τ is {shortest:g} ms; a longer step does not resolve the way to the "
            "threshold. Take a smaller one, such as 0.1."
        )
    return dt


# %% [markdown]
# A start has to be one of this model, with the same number of cells in each field. It is what a run returns
# as `final_state`, or `LIF(size).rest`.


# %%
def check_start(state: Any) -> State:
    """A start, (cell,) in each field, in floating point, and (if that is no tracer) without a negative refractory
    time."""
    if getattr(state, "_fields", None) != State._fields:
        raise TypeError(
            f"state is of type {type(state).__name__}; it must be a State, such as `LIF(size).rest`. Take that of a "
            "run."
        )
    state = State(*(defined(f"state.{name}", x) for name, x in state._asdict().items()))
    if (shape := np.shape(state.V)) != (len(state.V) if shape else 0,) or any(np.shape(x) != shape for x in state):
        raise ValueError(
            f"the fields of state have the shapes {', '.join(str(np.shape(x)) for x in state)}; each must be (cell,). "
            "Take the start of a model, `LIF(size).rest`."
        )
    if not isinstance(state.refractory, jax.core.Tracer) and (least := np.min(state.refractory)) < 0:
        raise ValueError(
            f"state.refractory contains {least:g} ms; it must not be negative. Say 0 for a cell that is not held."
        )
    return state


# %% [markdown]
# Papers give this cell in many units. A potential of −0.065 is in V, a resistance of 0.01 in GΩ, a time
# constant of 0.02 in s, and each of these, taken for another unit, gives a cell that is silent, or fires at
# its refractory limit. Sizes far from the usual ones draw a warning. Models with their rest at 0 are in no
# unit at all, and their potentials are left alone.


# %%
def check_units(params: Params) -> None:
    """Warn of parameters (cell,) each that look like another unit. A rest of 0 or above is in no unit at all, as in
    many a model."""
    potentials = np.abs([params.V_rest, params.V_reset, params.V_th]).max()
    found = {name: (float(getattr(params, name).max()), scale) for name, scale in USUAL.items()}
    if (params.V_rest < 0).any():
        found["the largest of V_rest, V_reset and V_th"] = float(potentials), POTENTIAL
    for name, (size, scale) in found.items():
        if size and (doubt := suspicion(name, size, scale)):
            checks.warn(doubt)


# %% [markdown]
# Recorded states and currents have to be there at every step, and in the same shape, for predictions to
# start from them.


# %%
def check_recorded(recorded: Any, I: Any) -> State:
    """A recording (step, cell) of each field, and a current of the same shape."""
    if getattr(recorded, "_fields", None) != State._fields:
        raise TypeError(
            f"recorded is of type {type(recorded).__name__}; it must be recorded states. Take `result.states`."
        )
    found = State(*(defined(f"recorded.{name}", x) for name, x in recorded._asdict().items()))
    shapes = {name: np.shape(x) for name, x in (found._asdict() | {"I": defined("I", I)}).items()}
    if len(set(shapes.values())) > 1 or len(shapes["V"]) != 2:
        raise ValueError(
            f"the recording and the current have the shapes {shapes}; each must be (step, cell). Record at every step."
        )
    return found


# %% [markdown]
# ## The rate in closed form
#
# The rate {eq}`eq-lif-rate` as a function, so that fits and figures can use it. Where the cell does not
# reach its threshold, the logarithm is undefined; it is computed for a harmless number there and not used.
# Without that care the derivative of the rate would be NaN for silent cells: JAX differentiates both
# branches of a choice, and 0 times NaN is NaN.


# %%
def rate(params: Params, I: Any) -> Array:
    """Rate (Hz) of a cell at a constant current I (nA), {eq}`eq-lif-rate`; 0 if it does not reach its threshold."""
    checks.of_type("params", params, Params, "a `Params`, such as CELL")
    for name, x in (params._asdict() | {"I": I}).items():
        defined(name, x, finite=True)
    V_inf = params.V_rest + params.R * jnp.asarray(I)
    fires = V_inf > params.V_th
    V_inf = jnp.where(fires, V_inf, params.V_th + 1)  # so that the logarithm has a derivative where it is not used, too
    T = params.t_ref + params.τ * jnp.log((V_inf - params.V_reset) / (V_inf - params.V_th))
    return jnp.where(fires, MS_PER_S / T, 0)


# %% [markdown]
# ## Errors to go down
#
# Both searches at the top of the chapter need a number that is least where $τ$ is right. The first compares
# potentials. Between spikes the recorded potential tells $τ$: from each of many recorded states the cell is
# let run for a while, without a threshold, and its potential is compared with the recorded one. Windows in
# which a spike was recorded are left out, for there the potential jumps as $τ$ changes. A single run from
# the first state would not do: after one spike at a wrong time all that follows is compared with the wrong
# moment.


# %%
def prediction_error(params: Params, recorded: State, I: Any, *, n: int, dt: float = DEFAULT_DT) -> Array:
    """Mean squared error (mV²) of predictions for n steps of dt (ms) from every n-th recorded state.

    recorded: (step, cell) in each field; I: (step, cell) nA. Windows in which a cell spiked count for nothing.
    """
    checks.of_type("params", params, Params, "a `Params`, such as CELL")
    recorded, n = check_recorded(recorded, I), checks.count("n", n)
    dt = checks.positive("dt", dt, "ms")
    if len(recorded.V) <= n:
        raise ValueError(
            f"the recording has {len(recorded.V)} steps, and n is {n}; there must be more than n. Predict for fewer "
            "steps."
        )
    windows = np.arange(0, len(recorded.V) - n, n)[:, None] + np.arange(n + 1)
    silent, t = params._replace(V_th=np.inf), dt * np.arange(n + 1)
    starts = jax.tree.map(lambda x: x[windows[:, 0]], recorded)
    V = jax.vmap(lambda y, I: simulate_lif(silent, y, t, I, dt=dt).V)(starts, I[windows])
    quiet = (recorded.spikes[windows[:, 1:]] == 0).all(1, keepdims=True)
    return jnp.mean((V - recorded.V[windows]) ** 2, where=jnp.broadcast_to(quiet, V.shape))


# %% [markdown]
# The second knows the spikes only. The distance of {cite:t}`vanRossum2001` between two spike trains
# replaces each spike by an exponential and compares the results:
#
# $$
# D^2 = \frac{1}{τ_D} \int_0^∞ \Big( \sum_i e^{-(t - t_i)/τ_D} - \sum_j e^{-(t - t_j)/τ_D} \Big)^2 dt,
# $$ (eq-van-rossum)
#
# where each sum runs over the spikes before $t$. One spike too many costs ½, two at the same time cost 2,
# and one that is shifted by $δ$ costs $1 - e^{-|δ|/τ_D}$. (The sum over steps that stands for the integral
# adds a share of $dt/τ_D$.) With $τ_D$ = 20 ms, a shift by 5 ms costs 0.22, and one by 100 ms as much as
# two spikes that have nothing to do with each other. A short $τ_D$ asks for coincidences, a long one for
# rates. The distance depends on the spikes only, and its gradient exists by the surrogate.


# %%
def van_rossum(a: Array, b: Array, *, τ_D: float, dt: float = DEFAULT_DT) -> Array:
    """D² {eq}`eq-van-rossum` of spikes at each step, both (step, cell): (cell,); τ_D and dt in ms."""
    a, b = defined("a", a), defined("b", b)
    if jnp.ndim(a) != 2 or jnp.shape(a) != jnp.shape(b):
        raise ValueError(
            f"a and b have the shapes {jnp.shape(a)} and {jnp.shape(b)}; both must be (step, cell). Give spikes of "
            "the same run."
        )
    τ_D, dt = checks.positive("τ_D", τ_D, "ms"), checks.positive("dt", dt, "ms")
    decay = math.exp(-dt / τ_D)
    one = lambda f, s: (decay * f + s,) * 2  # noqa: E731
    f = lax.scan(one, jnp.zeros_like(a[0]), a - b)[1]
    return dt / τ_D * (f**2).sum(0)


# %% [markdown]
# Adam, from the package optax, takes down both errors, in the logarithm of $τ$, so that it stays positive.
# It divides each step by the usual size of the gradient. That suits a surrogate, whose size is a matter of
# choice. A step of 0.03 is one of 3% of $τ$.


# %%
def descend(error: Callable[[Any], Array], start: float, *, rate: float, steps: int) -> Array:
    """Values (step + 1,) of a positive parameter on its way from `start` down the gradient of an error, by Adam
    (needs optax)."""
    optax = checks.package("optax", "fit", "Adam")
    start, rate = checks.positive("start", start, "its unit"), checks.positive("rate", rate, "1")
    steps = checks.count("steps", steps)
    checks.function("error", error, "lambda τ: (τ - 20) ** 2")
    checks.scalar_loss(lambda: jax.eval_shape(lambda x: jnp.asarray(error(x)), jnp.asarray(start)))
    adam, slope = optax.adam(rate), jax.grad(lambda x: error(jnp.exp(x)))

    def one(now: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], Array]:
        x, memory = now
        downhill = slope(x)
        with jax.numpy_dtype_promotion("standard"):  # optax counts in integers
            change, memory = adam.update(downhill, memory)
        return (optax.apply_updates(x, change), memory), x

    x = jnp.log(jnp.asarray(start))
    (end, _), path = jax.jit(lambda x: lax.scan(one, (x, adam.init(x)), length=steps))(x)
    return jnp.exp(jnp.append(path, end))


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-lif-rheobase
# Which is the least current that makes the default cell fire for ever, and how fast does it fire a little
# above that? The axon of the squid starts at 50 Hz. Compare.
# ```
#
# ```{solution-start} ex-lif-rheobase
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# least = (CELL.V_th - CELL.V_rest) / CELL.R
# just_above = rate(CELL, least * np.array([0.999, 1.0001, 1.001, 1.01, 1.1]))
# assert least == 1.5 and just_above[0] == 0 and (np.diff(just_above) > 0).all() and just_above[1] < 7
# least, just_above.round(1)

# %% [markdown]
# 1.5 nA. Above it any rate occurs, however slow, since the way to the threshold can take as long as one
# likes. The axon jumps from silence to 50 Hz: such cells are said to be of the second class, this one of
# the first.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-lif-noise
# A current of 1.4 nA does not reach the threshold. Does a current that fluctuates around that mean? Let it
# change every 5 ms, with a standard deviation of 0.5 nA, and then compare 1.4 with 2 nA.
# ```
#
# ```{solution-start} ex-lif-noise
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# times, change = np.arange(0, 2000, 0.1), np.random.default_rng(0).normal(size=401)
# fluctuation = 0.5 * np.interp(times, np.arange(0, 2001, 5.0), change)
# per_second = {}
# for mean_current in (1.4, 2.0):
#     for name, I in (("steady", np.full(len(times), mean_current)), ("fluctuating", mean_current + fluctuation)):
#         per_second[mean_current, name] = len(LIF(1)(times, I).spike_times()["LIF", 0]) / 2
# assert per_second[1.4, "steady"] == 0 < 5 < per_second[1.4, "fluctuating"]
# per_second

# %% [markdown]
# It fires ten times a second, at the moments at which the current was high for long enough. Well above the
# threshold the same fluctuations change the rate by a twentieth only: there the mean decides. Cells of the
# cortex are often thought to work in the first way.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-lif-surrogate
# How does the number of spikes in 500 ms at 2 nA change with $τ$? Take the derivative of the closed form, a
# difference quotient of the simulation, its derivative, and the one with a surrogate. Which of them are
# right, and what is the last one good for?
# ```
#
# ```{solution-start} ex-lif-surrogate
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def number(τ, spike):
#     """Spikes of one cell in 500 ms."""
#     return simulate_lif(CELL._replace(τ=τ), LIF(1).rest, np.arange(0, 500, 0.1), 2.0, spike=spike).spikes.sum()
#
#
# with precision("float64"):
#     closed = jax.grad(lambda τ: 0.5 * rate(CELL._replace(τ=τ), 2.0))(20.0)
#     quotient = (number(22.0, heaviside) - number(18.0, heaviside)) / 4
#     true, by_surrogate = (jax.grad(number)(20.0, spike) for spike in (heaviside, fast_sigmoid(1)))
# values = {"closed form": closed, "quotient": quotient, "derivative": true, "surrogate": by_surrogate}
# found = {name: float(x) for name, x in values.items()}
# assert -0.8 < found["closed form"] < -0.6 and found["derivative"] == 0 and found["surrogate"] < -50
# found

# %% [markdown]
# The closed form says −0.7 spikes per ms, the quotient −0.75: these are right. The derivative of the
# simulation is 0, which is right as well, since a small change adds no spike. The surrogate has the right
# sign and a hundred times the size, as it adds up over all the steps that the potential spends near the
# threshold. It tells where to go, not how far.
# ```{solution-end}
# ```
