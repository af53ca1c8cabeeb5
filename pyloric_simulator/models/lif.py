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
# The spike of a conductance-based cell is a part of its potential, and its derivative comes with that
# of the potential. A *leaky integrate-and-fire* cell has no spike of its own: when its potential
# reaches a threshold, a spike is noted and the potential is reset. Such cells are cheap, their rate is
# known in closed form, and networks of them are trained; but whether a cell has reached its threshold
# is a step function, whose derivative is 0 wherever it exists. This chapter has the cell, called like
# the circuit, and the *surrogate* derivatives that stand in for that of the step. At the end they find
# the time constant of a cell from nothing but the times of its spikes.

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
# ## Units and parameters
#
# mV, ms, nA and MΩ: $R I$ is in mV, so that no equation carries a factor. A positive current
# depolarizes. Every parameter is one number for all cells, or one for each.


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
# The input is held through a step. Between spikes the step is then exact {cite:p}`Rotter1999`: after a
# time $h$, of which $h_+ = \max(h - r, 0)$ remain where the potential is held for another $r$,
#
# $$
# V \leftarrow V + (V_∞ - V)\,(1 - e^{-h_+/τ}), \qquad V_∞ = V_\mathrm{rest} + R\, I_\mathrm{ext}.
# $$ (eq-lif-flow)
#
# The refractory time is a real number that runs out within a step, not a number of steps. It is
# therefore not rounded to one, and the potential is differentiable in it.


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
# At the end of a step the potential is compared with the threshold: $S = Θ(V - V_\mathrm{th})$, 1 at
# the threshold and above it, else 0. A **surrogate** leaves $S$ as it is, and puts a function
# $σ'(V - V_\mathrm{th})$ in the place of $dS/dV$ {cite:p}`Neftci2019`. In SuperSpike
# {cite:p}`ZenkeGanguli2018` it is, with a slope $β$ in 1/mV,
#
# $$
# σ'(v) = \frac{1}{(1 + β|v|)^2},
# $$ (eq-superspike)
#
# of height 1. The step $\tfrac12 + \tfrac12\, βv/(1 + β|v|)$, a fast sigmoid that rises from 0 to 1, has
# $β/2$ times this as its derivative, in 1/mV and of area 1. Any other function will do as well.


# %%
Spike = Callable[[Any], Any]  # S of v = V − V_th in mV


def heaviside(v: Any) -> Array:
    """The threshold: 1 where v ≥ 0, else 0; its derivative is 0."""
    return jnp.heaviside(v, 1)


def check_elementwise(what: str, f: Any) -> None:
    """A function of v = V − V_th that JAX can trace, and that keeps the shape of v."""
    cure = "Take fast_sigmoid(1.0), superspike(1.0), or write one with jax.numpy, such as lambda v: 1 / (1 + jnp.abs(v)) ** 2."
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
            f"{what}(v) is of type {found.dtype}; it must be a real number for each element of v, no truth value. {cure}"
        )


def surrogate(derivative: Callable[[Any], Any], forward: Spike = heaviside) -> Spike:
    """A function with the values of `forward` and the derivative `derivative` (1/mV), both elementwise functions of v in mV.

    Works in forward and in reverse mode. Raises TypeError or ValueError for what JAX cannot trace or is not elementwise.
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

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The derivatives that JAX computes of the same step, the last of a Gaussian of one's own.", "name": "fig-surrogates"}}
# v = jnp.linspace(-4, 4, 401)
# steps = {"fast sigmoid, β = 1/mV": fast_sigmoid(1), "fast sigmoid, β = 2/mV": fast_sigmoid(2), "SuperSpike, β = 1/mV": superspike(1),
#          "Gaussian": surrogate(lambda v: jnp.exp(-(v**2) / 2) / np.sqrt(2 * np.pi))}
# assert all((spike(v) == heaviside(v)).all() for spike in steps.values())
# slopes = [hv.Curve((v, jax.vmap(jax.grad(spike))(v)), "V − V_th (mV)", "derivative of S", label=name) for name, spike in steps.items()]
# hv.Overlay(slopes).opts(legend_position="right", legend_opts={"title": ""}, height=220, toolbar=None)

# %% [markdown]
# The reset itself is not differentiated. Through a surrogate it would say that a higher potential,
# which brings a spike forward, lowers the potential after it; in truth that is then higher, too. (So
# differentiated, the search for $τ$ = 20 ms at the end of this chapter ends between 7 and 40 ms.)


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
# A run goes through all steps and keeps them. A requested time between two steps has the exact
# potential {eq}`eq-lif-flow` that follows from the earlier one, and counts the spikes since the
# requested time before it.


# %%
def counts(spikes: Array, k: Array, fraction: Array) -> Array:
    """Spikes (time, cell) since the time before, of those at the end of each step; the times are fractions after the steps k."""
    ends = jnp.arange(1, len(spikes) + 1)
    seen = jnp.where(fraction[0] > 0, ends > k[0], ends >= k[0])
    row = jnp.where(seen, jnp.searchsorted(k, ends), len(k))  # those before the first time go to a row that is dropped
    return jnp.zeros((len(k), spikes.shape[1]), spikes.dtype).at[row].add(spikes, mode="drop")


def integrate(
    params: Params, state: State, I: Any, k: Any, fraction: Any, *, n: int, dt: float, t0: Any, spike: Spike,
    G: Any = None,
) -> tuple[State, Array]:  # fmt: skip
    """States a fraction of a step after each of the steps k, both (time,), and the spikes of all n steps, (step, cell)."""
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
# `simulate_lif` is the pure function under everything else: `jax.jit`, `vmap` and `grad` work on it.
# What its derivatives mean:
#
# - Those of `V` and `refractory` with respect to all parameters but $V_\mathrm{th}$, to the input and to
#   the start are exact as long as no spike moves to another step. That a spike may move, and a
#   potential jump with it, they do not know; so the one with respect to $V_\mathrm{th}$ is 0.
# - Those of `spikes` follow by the chain rule from the potential before the reset, with the surrogate
#   as their first link. With respect to $V_\mathrm{th}$, too, they are not 0.
# - The times $t$ and the step $dt$ are fixed when a run is compiled.
#
# Where a derivative is 0 by construction, as that of the potential with respect to $V_\mathrm{th}$, `fit` and `sensitivity` refuse the
# number, and a loss of potentials warns where cells fire. A loss of spikes, `losses.density_mismatch`, takes the surrogate.

# %%
DEFAULT_DT = 0.1  # ms
SOLVER = "exact"  # the only one


def simulate_lif(
    params: Params, state: State, t: Any, I_ext: Any = None, *, dt: float = DEFAULT_DT, t0: float = 0.0, spike: Spike = SURROGATE
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
# `LIF` reads its arguments in the forms in which `Prinz2004` reads them, and its result offers what
# that of a circuit offers. A spike has the time of the end of its step.

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
        """Times (ms) of the spikes of each cell between the first and the last recorded time, at the resolution of dt."""
        first, last = self.t[[0, -1]]
        return {cell: x[(x >= first) & (x <= last)] for cell, x in zip(self.model.cells, self.trains, strict=True)}

    def plot(self) -> Any:
        """Potentials and a stroke for each spike, one panel for each cell (HoloViews; load a backend with hv.extension)."""
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


class LIF(WithoutChannels):
    """Leaky integrate-and-fire cells without connections: `result = LIF(size)(t, I_ext=…)` simulates them.

    size: number of cells. V_rest, V_reset, V_th (mV), R (MΩ), τ, t_ref (ms): a number or one for each cell, see
    `Params`. dtype: "float64" or "float32". Raises ValueError or TypeError on bad input.
    """

    labels = ("LIF",)
    step, scheme = DEFAULT_DT, SOLVER  # ms, and the name of the scheme
    own_units, resets = False, True

    def __init__(
        self, size: int, *, V_rest: Any = CELL.V_rest, V_reset: Any = CELL.V_reset, V_th: Any = CELL.V_th, R: Any = CELL.R,
        τ: Any = CELL.τ, t_ref: Any = CELL.t_ref, dtype: str | None = None,
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

    def to_toml(self, path: Any, title: str = "Integrate-and-fire cells") -> None:
        """Write the numbers of the cells as TOML, so that `from_toml` gives them back. Raises OSError if the file cannot be written."""
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

    def __repr__(self) -> str:
        return f"LIF({self.size})"

    def __call__(
        self,
        t: Any,
        I_ext: Any = None,
        state: State | None = None,
        *,
        solver: Any = SOLVER,
        dt: float = DEFAULT_DT,
        t0: float = 0.0,
    ) -> LIFResult:
        """Simulate and record at the times t.

        t: (time,) ms, increasing, from t0, the time of the start. I_ext (nA, depolarizing): a number, one per cell, an
        array (time,) or (time, cell) sampled at t, a DataFrame with its own times, or a JAX function of t; held through a
        step of dt (ms). state: start; V_rest by default. solver: "exact", between spikes. Raises ValueError or TypeError before anything is compiled, and
        FloatingPointError naming the cell and the time if the run turns non-finite.
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
# ## What is refused
#
# A comparison with NaN is false, so that a cell with an undefined threshold would be silent, and its rate 0. Numbers that JAX
# does not trace have to be defined, and a state of whole numbers is taken for what it says, not rounded at every step.


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


POSITIVE = ("R", "τ")  # parameters


def check_params(params: Any, size: int, *, infinite: Collection[str] = ("V_th",)) -> Params:
    """Parameters, () or (cell,) each: finite, R and τ positive, V_reset below V_th; of what JAX traces only the shape is looked at.

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
                f"{name} has shape {np.shape(x)}; it must be a number or have one value for each cell, ({size},). Give one of these."
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


def check_reset(V_reset: np.ndarray, V_th: np.ndarray) -> None:
    """Potentials (mV) after a spike, (cell,), that are below the threshold."""
    if (wrong := np.flatnonzero(V_reset >= V_th)).size:
        i = wrong[0]
        raise ValueError(
            f"cell {i} has V_reset = {V_reset[i]:g} mV and V_th = {V_th[i]:g} mV; a cell that is reset to its threshold "
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


def check_start(state: Any) -> State:
    """A start, (cell,) in each field, in floating point, and (if that is no tracer) without a negative refractory time."""
    if getattr(state, "_fields", None) != State._fields:
        raise TypeError(
            f"state is of type {type(state).__name__}; it must be a State, such as `LIF(size).rest`. Take that of a run."
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


def check_units(params: Params) -> None:
    """Warn of parameters (cell,) each that look like another unit. A rest of 0 or above is in no unit at all, as in many a model."""
    potentials = np.abs([params.V_rest, params.V_reset, params.V_th]).max()
    found = {name: (float(getattr(params, name).max()), scale) for name, scale in USUAL.items()}
    if (params.V_rest < 0).any():
        found["the largest of V_rest, V_reset and V_th"] = float(potentials), POTENTIAL
    for name, (size, scale) in found.items():
        if size and (doubt := suspicion(name, size, scale)):
            checks.warn(doubt)


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
# ## Experiments
#
# ### Rate and current
#
# At a constant current the cell fires regularly, if it fires, at the rate
#
# $$
# f = \left( t_\mathrm{ref} + τ \ln \frac{R I + V_\mathrm{rest} - V_\mathrm{reset}}{R I + V_\mathrm{rest} - V_\mathrm{th}} \right)^{-1}.
# $$ (eq-lif-rate)


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
# A simulated spike waits for the end of its step. The reset after it starts there, too, so that each
# interval is the exact one rounded up to a multiple of $dt$, and the rate is low by a share of $dt\, f$
# at most.

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
# ### A time constant from the potential
#
# A cell with $τ$ = 20 ms receives a fluctuating current. Can gradient descent find its $τ$, starting
# 50% off? Between spikes the recorded potential tells it: from each of many recorded states the cell
# is let run for a while, without a threshold, and its potential is compared with the recorded one.
# Windows in which a spike was recorded are left out, for there the potential jumps as $τ$ changes.


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
            f"the recording has {len(recorded.V)} steps, and n is {n}; there must be more than n. Predict for fewer steps."
        )
    windows = np.arange(0, len(recorded.V) - n, n)[:, None] + np.arange(n + 1)
    silent, t = params._replace(V_th=np.inf), dt * np.arange(n + 1)
    starts = jax.tree.map(lambda x: x[windows[:, 0]], recorded)
    V = jax.vmap(lambda y, I: simulate_lif(silent, y, t, I, dt=dt).V)(starts, I[windows])
    quiet = (recorded.spikes[windows[:, 1:]] == 0).all(1, keepdims=True)
    return jnp.mean((V - recorded.V[windows]) ** 2, where=jnp.broadcast_to(quiet, V.shape))


# %% [markdown]
# ### A time constant from the spikes alone
#
# The distance of {cite:t}`vanRossum2001` between two spike trains replaces each spike by an
# exponential and compares the results:
#
# $$
# D^2 = \frac{1}{τ_D} \int_0^∞ \Big( \sum_i e^{-(t - t_i)/τ_D} - \sum_j e^{-(t - t_j)/τ_D} \Big)^2 dt,
# $$ (eq-van-rossum)
#
# where each sum runs over the spikes before $t$. One spike too many costs ½, two at the same time cost 2,
# and one that is shifted by $δ$ costs $1 - e^{-|δ|/τ_D}$. (The sum over steps that stands for the integral adds a share of
# $dt/τ_D$.) It depends on the spikes only, and its gradient exists by the surrogate.


# %%
def van_rossum(a: Array, b: Array, *, τ_D: float, dt: float = DEFAULT_DT) -> Array:
    """D² {eq}`eq-van-rossum` of spikes at each step, both (step, cell): (cell,); τ_D and dt in ms."""
    a, b = defined("a", a), defined("b", b)
    if jnp.ndim(a) != 2 or jnp.shape(a) != jnp.shape(b):
        raise ValueError(
            f"a and b have the shapes {jnp.shape(a)} and {jnp.shape(b)}; both must be (step, cell). Give spikes of the same run."
        )
    τ_D, dt = checks.positive("τ_D", τ_D, "ms"), checks.positive("dt", dt, "ms")
    decay = math.exp(-dt / τ_D)
    one = lambda f, s: (decay * f + s,) * 2  # noqa: E731
    f = lax.scan(one, jnp.zeros_like(a[0]), a - b)[1]
    return dt / τ_D * (f**2).sum(0)


# %% [markdown]
# Adam, from the package optax, takes down both errors, in the logarithm of $τ$, so that it stays
# positive. Both lead to 20 ms, from 10 as from 30 ms, with an error below 0.1%.


# %%
def descend(error: Callable[[Any], Array], start: float, *, rate: float, steps: int) -> Array:
    """Values (step + 1,) of a positive parameter on its way from `start` down the gradient of an error, by Adam (needs optax)."""
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
# hv.Overlay([*curves, hv.HLine(20).opts(color="black", line_width=0.5)]).opts(legend_position="right", height=250, toolbar=None)
