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
# # Sensitivities
#
# How much does the rhythm of a model depend on each of its numbers? At a rig one would block a current a
# little and see what becomes of the period. In a model every number can be changed by itself, and by as
# little as one likes: that is a derivative, and it comes with no second run.
#
# {numref}`fig-elasticity` is the answer for the isolated {term}`pacemaker` AB/PD 2. Each field says by
# how many per cent a feature of its rhythm changes when a {term}`maximal conductance` grows by one per
# cent, its {term}`elasticity`. By these slopes, one per cent more of the slow calcium current (CaS) would
# shorten the bursts by 3.4% and the period by 0.9%; the A current does the opposite. Sodium, whose spikes
# one sees, matters little.

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
# from .parameters import conductance_names, model_with, parameters, with_values
# from ..prinz2004 import Prinz2004, precision, simulate
# from .sensitivity import sensitivity
# from .soft_features import SAMPLING, soft_features
#
# cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
# elasticity = sensitivity(cell, duration=8000).drop(index="phase", level=1)
# assert np.isfinite(elasticity).all(axis=None)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Elasticities of the rhythm of AB/PD 2: per cent of change for one per cent of a conductance.", "name": "fig-elasticity"}}
# from ..plotting import heat_map
#
# heat_map(elasticity)

# %% [markdown]
# ## What it does and what it costs
#
# `sensitivity(model)` returns a table with a row for each feature of each cell and a column for each
# parameter. The **elasticity** of a feature $f$ with respect to a parameter $p$ is
#
# $$
# e = \frac{p}{f} \frac{\partial f}{\partial p} = \frac{\partial \ln f}{\partial \ln p}.
# $$ (eq-elasticity)
#
# It has no unit, so that a conductance in nS and one in mS/cm² can stand side by side. By default the
# features are period, burst duration, {term}`duty cycle` and {term}`phase` of every cell, and the
# parameters all conductances that are not zero; both may be others, so that a `features` function of
# times and potentials gives the sensitivity of whatever it computes. Where a feature is undefined, such
# as the period of a silent cell, or zero, the table has NaN.
#
# The cost is one run, and one way back through it for each feature, whatever the number of parameters.
# The first call compiles, which takes some ten seconds on a small server; with the code in JAX's cache a
# table of a cell takes three.
#
# ## How to read it
#
# An elasticity is local, and a burster is rough: whenever a {term}`burst` gains or loses a {term}`spike`,
# its period jumps. In the isolated AB/PD 2 the period falls with CaS at the very point, with an
# elasticity of −0.95, as central differences of a ten-thousandth to both sides confirm; but with 2% more
# CaS each burst has 29 spikes in place of 28, and the period is 0.9% *longer*, with the usual steps as
# with those of 0.00625 ms. With 1% some bursts have the 29th spike and others not. So read the map as
# what the rhythm does as long as each burst keeps its spikes.
#
# ### How derivatives grow
#
# Along a limit cycle, the derivative of $V(t)$ does not settle. A parameter that changes the period $P$
# shifts the $n$-th burst by $n\, \partial P/\partial p$, and the potential at a fixed time by
# $-\dot V\, n\, \partial P / \partial p$, which grows with $t$ and is large during spikes. Features do
# not see this growth: a period is a difference of two times over the number of cycles between.
# {numref}`fig-growth` shows both for the CaS conductance of AB/PD 2, by forward mode.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Above: largest |dV/dg| in each 250 ms. Below: elasticity of the period, from windows of growing length.", "name": "fig-growth"}}
# name, t = "AB/PD 2 CaS", np.arange(2000, 12000, SAMPLING)
# settled, g, windows = cell(np.array([0, 2000])).final_state, parameters(cell)[name], [4000, 5500, 7000, 8500, 10_000]
#
#
# def potential_and_periods(g):
#     V = simulate(with_values(cell.params, {name: g}), settled, t, t0=t[0]).V
#     return V[:, 0], [soft_features(t[: round(w / SAMPLING)], V[: round(w / SAMPLING)]).period[0] for w in windows]
#
#
# with precision():
#     run_both = jax.jit(lambda g: jax.jvp(potential_and_periods, (g,), (1.0,)))
#     (V, periods), (slope, slopes) = jax.tree.map(np.asarray, run_both(g))
#     sides = [np.asarray(run_both(g * (1 + h))[0][1][-1]) for h in (-1e-4, 1e-4)]
# elasticities = [float(s * g / x) for s, x in zip(slopes, periods, strict=True)]
# assert np.allclose(elasticities, (sides[1] - sides[0]) / (2e-4 * periods[-1]), rtol=0.01)
# largest = np.abs(slope).reshape(-1, round(250 / SAMPLING)).max(1)
# assert largest[-8:].max() > 3 * largest[4:12].max()
# above = hv.Curve((t[:: round(250 / SAMPLING)], largest), "time (ms)", "|dV/dg| (mV per mS/cm²)").opts(
#     width=560, height=200
# )
# below = hv.Curve((windows, elasticities), "window (ms)", "elasticity of the period").opts(
#     width=560, height=160, ylim=(-1.2, 0)
# )
# hv.Layout([above, below * hv.Scatter((windows, elasticities))]).opts(shared_axes=False, toolbar=None).cols(1)

# %% [markdown]
# The lower curve is nearly level. So a few cycles are enough for an elasticity, and the default of 4 s
# after a transient of 2 s has two or three of them.
#
# ### Adaptive solvers
#
# An adaptive solver of diffrax has derivatives, too, by its own {term}`adjoint`. As the tolerance falls
# they come to agree with those of the fixed step. But the steps that it chooses depend on the parameter,
# and the error of the solution jumps with them; a derivative magnifies such jumps. {numref}`fig-rough`
# shows the derivative of the mean calcium over one burst. With a tolerance of $10^{-4}$, at which the
# burst itself looks the same, it is useless.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "d(mean calcium)/d(conductance of A), by the fixed step and by Tsit5 with two tolerances; values beyond the axis are on its edge.", "name": "fig-rough"}}
# import diffrax
#
# from ..rhythm import bursts
#
# onset = bursts(cell(np.arange(0, 3000, 0.5)).spike_times()["AB/PD 2", 0])[0, 0]
# before, short, values = (
#     cell(np.array([0, round(onset) - 20])).final_state,
#     np.arange(0, 301.0),
#     np.linspace(48, 52, 17),
# )
#
#
# def burst_calcium(g, **scheme):
#     return simulate(with_values(cell.params, {"AB/PD 2 A": g}), before, short, **scheme).Ca.mean()
#
#
# schemes = {"fixed step, 0.05 ms": {}} | {
#     f"Tsit5, {tol:g}": dict(solver=diffrax.Tsit5(), rtol=tol, atol=tol) for tol in (1e-5, 1e-4)
# }
# with precision():
#     slopes = {
#         name: np.asarray(jax.jit(lambda x, o=o: jax.lax.map(jax.grad(lambda g: burst_calcium(g, **o)), x))(values))
#         for name, o in schemes.items()
#     }
# fixed, tight, loose = slopes.values()
# assert np.allclose(tight, fixed, rtol=0.03) and np.std(loose) > 10 * np.std(tight)
# shown = {name: np.clip(x, -2.2, -1.2) for name, x in slopes.items()}
# curves = [
#     hv.Curve((values, x), "conductance of A (mS/cm²)", "slope (µM per mS/cm²)", label=name)
#     for name, x in shown.items()
# ]
# hv.Overlay(curves).opts(width=560, height=260, toolbar=None, legend_position="right")

# %% [markdown]
# ### What to beware of
#
# A derivative is exact for the scheme that is run, and the scheme may be rougher than the equations. A
# tonic AB/PD 1 cell with 9 mS/cm² of CaS shows it: with steps of 0.05 ms the derivative of its potential
# grows along with time, as it must where the period depends on a parameter, to $10^5$ mV per mS/cm²
# within 3.6 s. With steps of 0.1 ms the intervals between its spikes jitter by 0.2 ms without end, which
# is a faint chaos of the scheme, and the derivative passes $10^{60}$. Features and losses through such a
# run have no useful derivatives. So take 0.05 ms or less for derivatives, even where 0.1 ms would do for
# the rhythm.
#
# The same goes for circuits whose cycles are not alike. In that of Fig. 3e, where they differ by a few
# per cent, the table gives the period of AB/PD an elasticity of −35 to the synapse AB-PY over the default
# transient and 6 s. That is the true derivative of that very run, and no number to plan an experiment
# with. A table with elasticities far above 10 says that the rhythm has no derivative worth the name; a
# [trend](fit.py) over a finite change is then the better question.
#
# What the chapter takes from elsewhere, and what others take from it:

# %%
from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax
from jax.interpreters.partial_eval import dce_jaxpr

from ..engine import checks
from ..engine.inputs import Samples, current
from ..engine.scale import CURRENT
from ..models.networks import any_model, has_potential, start_of
from ..prinz2004 import DEFAULT_SOLVER, Model, Params, precision, simulate
from .parameters import at, check_names, conductance_names, parameters, places, with_values
from .soft_features import SAMPLING, soft_features

__all__ = ["rhythm_of_cells", "sensitivity"]

# %% [markdown]
# ## A run as a function of its numbers
#
# A derivative needs a *function* from numbers to states, and a model is called with times. A `Simulation`
# holds all that stays the same from one evaluation to the next: the model, its start, the step and the
# input. What varies, `params`, is the argument. Losses are made of the same object.
#
# The input is given in nA and depolarizes. Its values at the steps are needed apart from the run where a
# loss adds a current of its own to it, such as the prediction error. Spikes of cells with a threshold and
# a reset are events and not a matter of potentials; such models have a function of their own for them.


# %%
class Simulation(NamedTuple):
    """How a model is run again and again, with other numbers."""

    model: Any
    start: Any  # a state
    dt: float  # ms
    I: Any  # None, (cell,) nA, or a function of t

    def states(self, params: Any, t: Any, t0: Any = None) -> Any:
        """States at the times t (ms) of a run from t0, by default t[0]."""
        return self.model.trajectory(params, self.start, t, self.I, dt=self.dt, t0=t[0] if t0 is None else t0)

    def at(self, t: np.ndarray) -> Any:
        """The input at times t (ms): 0, (cell,) or (time, cell) nA."""
        if self.I is None:
            return 0.0
        return jax.vmap(self.I)(jnp.asarray(t)) if callable(self.I) else self.I

    def spikes(self, params: Any, t: Any) -> Array:
        """Spikes (time − 1, cell) between the times t (ms) of a run from t[0], of cells with a threshold."""
        found: Array = self.model.spikes_between(params, self.start, t, self.I, dt=self.dt, t0=t[0])
        return found


def simulation_of(
    model: Any, t: Any, *, t0: Any = None, state: Any = None, dt: float | None = None, I_ext: Any = None
) -> Simulation:
    """How to run a model at the times t (ms), from t0 on, by default t[0]. Raises ValueError or TypeError."""
    model, t = has_potential(any_model(model)), np.asarray(t, float)
    dt, t0 = model.step if dt is None else dt, t[0] if t0 is None else t0
    scale = None if model.own_units else CURRENT
    I = None if I_ext is None else current(I_ext, model.labels, model.rows, t, t0, scale)
    return Simulation(model, start_of(model, state, dt=dt), dt, I.at if isinstance(I, Samples) else I)


# %% [markdown]
# ## The transient counts as given
#
# The run goes through a transient first, since a feature belongs to the rhythm and not to the start. No
# derivative is taken through the transient: its end counts as given. A stable rhythm forgets where it
# began, so this changes nothing but the cost; above, the elasticities of the period change by 0.2%.
#
# `stop_gradient` is JAX's word for it: the value passes, the derivative is 0. Two kinds of numbers have
# to be stopped. The conductances are leaves of a pytree, over which one can map. Kinetics and
# {term}`reversal potentials <reversal potential>` are part of the circuit, which is static and no leaf;
# of those, only numbers that JAX is tracing at the moment have a derivative to be stopped, and so only
# these are put back without it. For a circuit the transient uses `simulate` and not its adjoint, which
# would keep states that nobody asks for.


# %%
def without_slopes(params: Params) -> Params:
    """The same numbers without derivatives."""
    of_circuit = {name: at(params, place.paths[0]) for name, place in places(params).items() if not place.conducts}
    traced = {name: lax.stop_gradient(x) for name, x in of_circuit.items() if isinstance(x, jax.core.Tracer)}
    return jax.tree.map(lax.stop_gradient, with_values(params, traced))


def settled_run(s: Simulation, params: Any, t: np.ndarray) -> Array:
    """Potentials (time, cell) mV at the times t (ms) of a run from time 0, without a derivative through the time before t[0]."""
    start = jax.tree.map(lax.stop_gradient, s.start)
    if isinstance(params, Params):
        first = simulate(without_slopes(params), start, t[:1], s.I, dt=s.dt)
    else:
        first = s._replace(start=start).states(jax.tree.map(lax.stop_gradient, params), t[:1], 0.0)
    return s._replace(start=jax.tree.map(lambda x: lax.stop_gradient(x[0]), first)).states(params, t).V


# %% [markdown]
# ## Numbers without a derivative
#
# Some numbers act through a threshold alone. The potential of an integrate-and-fire cell before its first
# spike does not depend on *where* its threshold is, and its derivative by the threshold is 0 by
# construction. An elasticity of 0.000 in a table would look like a measurement. So the question is put to
# the *program* of the derivative, which JAX writes down before anything runs: in the linear program from
# changes of the numbers to changes of the features, which inputs does the output read at all? JAX's own
# pass for removing dead code answers. It costs a trace and no run.


# %%
def without_derivative(f: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any]) -> list[str]:
    """The numbers whose derivatives of f are 0 by construction, as the program of the derivative tells that JAX traces."""
    slope = lambda x, dx: jax.jvp(f, (x,), (dx,))[1]  # noqa: E731
    program = jax.make_jaxpr(slope)(values, values).jaxpr
    used = dce_jaxpr(program, [True] * len(program.outvars))[1][len(values) :]
    return [name for name, felt in zip(sorted(values), used, strict=True) if not felt]


def felt(f: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any], *, all_: bool = True) -> dict[str, Any]:
    """The numbers that have a derivative and are not 0; with all_ it is an error if one has none."""
    names = without_derivative(f, values)
    if names and all_:
        raise ValueError(
            f"the derivative with respect to {names[0]!r} is 0 by construction; it must not be, but this number acts through a threshold alone, "
            "or not at all. Leave it out, compare spikes with `density_mismatch`, or let a fit follow the trend, fit(…, width=0.05)."
        )
    return {name: x for name, x in values.items() if name not in names and (all_ or x != 0)}


# %% [markdown]
# The other half of that trouble: of cells with a threshold and a reset the derivative of a potential
# holds between spikes only. That a spike moves, and the potential jumps with it, it does not know. Such a
# derivative is not zero but incomplete, and whether it matters depends on the run. So the run is made
# once, and the user is warned, with the time, if a cell fires in it.


# %%
def warn_of_resets(s: Simulation, t: np.ndarray, *, t0: Any = None) -> None:
    """Warn where cells are reset during a run, which derivatives of potentials do not see."""
    if not s.model.resets:
        return
    with precision(s.model.dtype):
        y = s.start if t0 is None else jax.tree.map(lambda x: x[0], s.states(s.model.params, t[:1], t0))
        spikes = np.asarray(s._replace(start=y).spikes(s.model.params, t))
    if spikes.any():
        when, cell = np.argwhere(spikes)[0]
        checks.warn(
            f"cell {cell} fires at about {t[when + 1]:g} ms; a derivative of the potential does not know that a spike moves, and the potential "
            "jumps with it. Use times without spikes, or compare spikes with `density_mismatch`."
        )


def no_resets(model: Any, why: str, cure: str) -> None:
    """Refuse cells whose potential shows no spikes."""
    if model.resets:
        raise ValueError(f"{model!r} is reset where it spikes; it must not be, for {why}. {cure}.")


# %% [markdown]
# ## The features
#
# By default these are the smooth features of the [chapter on soft features](soft_features.py) for every
# cell, by the cell's name. A spike is a top of the potential there. Cells that are reset where they spike
# have none, and are refused.


# %%
def rhythm_of_cells(model: Any) -> Callable[[Array, Array], dict[Any, Array]]:
    """Period, burst duration, duty cycle and phase of every cell, as a function of times and potentials.

    Raises ValueError for cells whose spikes are those of a threshold.
    """
    model = any_model(model)
    no_resets(
        model,
        "a rhythm is read from spikes in the potential",
        "Give features of your own, lambda t, V: {'mean': V.mean()}",
    )
    names = [" ".join(map(str, cell)) for cell in model.cells]

    def chosen(t: Array, V: Array) -> dict[Any, Array]:
        found = soft_features(t, V)._asdict()
        return {
            (cell, f): found[f][i] for i, cell in enumerate(names) for f in ("period", "burst", "duty_cycle", "phase")
        }

    return chosen


# %% [markdown]
# ## The table
#
# Reverse mode (`jax.jacrev`) goes back once for each feature; with some thirty conductances and twelve
# features, as in a circuit of three cells, that is the cheaper direction. Value and derivatives come from
# one compiled function, and the division by $f$ is done in NumPy, where a feature of 0 gives an infinity
# that is turned into NaN rather than an error.
#
# The checks come in the order of their cost: names and times from the arguments alone; the features from
# a trace with shapes only; cells with resets by a run. Only then the derivative is compiled.


# %%
def sensitivity(
    model: Any, features: Callable[[Array, Array], Mapping[Any, Any]] | None = None, names: Sequence[str] | None = None, *,
    duration: float = 6000.0, transient: float = 2000.0, dt: float | None = None, every: float = SAMPLING, I_ext: Any = None,
) -> pd.DataFrame:  # fmt: skip
    """Elasticities (feature, parameter) of a model's rhythm; NaN where a feature is undefined or zero.

    features: a function of times (time,) ms and potentials (time, cell) mV to named scalars; by default
    `rhythm_of_cells`. names: of `parameters(model)`; by default all conductances that are not zero, and without channels all
    numbers that have a derivative. duration and transient of the run, step dt and sampling: ms. I_ext: as of a call of the model.
    Raises ValueError for unknown names, for numbers that are zero, of which there are no per cents, or whose derivative is 0 by
    construction, and for times that are not whole steps.
    """
    model = any_model(model)
    known, dt = parameters(model), model.step if dt is None else dt
    if names is not None or isinstance(model, Model):
        names = conductance_names(model) if names is None else checks.names("names", names, "['LP Na']")
        check_elasticities(names, known)
    t = sampled_times(duration, transient, every, dt, rhythm=features is None, whole=isinstance(model, Model))
    chosen = rhythm_of_cells(model) if features is None else features
    checks.function("features", chosen, "lambda t, V: {'mean': V.mean()}")
    shapes = (jax.ShapeDtypeStruct(shape, np.float32) for shape in (t.shape, (len(t), len(model.rows))))
    named_scalars(lambda: jax.eval_shape(chosen, *shapes))
    s = simulation_of(model, np.append(t, duration), t0=0.0, dt=dt, I_ext=I_ext)

    def observed(values: Mapping[str, Any]) -> Mapping[Any, Any]:
        V = settled_run(s, with_values(model.params, values), t)
        return chosen(jnp.asarray(t, V.dtype), V)

    with precision(model.dtype):
        values = {n: jnp.asarray(known[n]) for n in (known if names is None else names)}
        if not isinstance(model, Model):
            warn_of_resets(s, t, t0=0.0)
            values = felt(observed, values, all_=names is not None)
        found, slopes = jax.jit(lambda x: (observed(x), jax.jacrev(observed)(x)))(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        table = {n: {f: known[n] * float(by[n]) / float(found[f]) for f, by in slopes.items()} for n in values}
    return pd.DataFrame(table).replace([np.inf, -np.inf], np.nan).rename_axis(columns="parameter")


# %% [markdown]
# ## What is refused
#
# Spikes last about 2 ms, so that a sampling of more than 0.5 ms misses some, and a rhythm needs more than
# 100 ms; a run that is shorter was probably given in seconds. The times that are recorded have to lie on
# the steps of the scheme, since a state between two steps would have to be interpolated.

# %%
LONGEST_SAMPLING = 0.5  # ms, at which spikes are still seen
SHORTEST_RHYTHM = 100.0  # ms, a run that is shorter was probably given in s


def sampled_times(duration: Any, transient: Any, every: Any, dt: Any, *, rhythm: bool, whole: bool) -> np.ndarray:
    """Times (ms) of a run after its transient; `rhythm`: dense and long enough to show one; `whole`: at whole steps."""
    checks.recording(duration, transient)
    every, dt = checks.positive("every", every, "ms"), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    if rhythm and every > LONGEST_SAMPLING:
        raise ValueError(
            f"every is {every:g} ms; it must be at most {LONGEST_SAMPLING:g}, or spikes are missed. Take {SAMPLING:g}."
        )
    if rhythm and duration - transient < SHORTEST_RHYTHM:
        checks.warn(
            f"the run lasts {duration - transient:g} ms after its transient, too short for a rhythm. If that is in s, multiply it by 1000."
        )
    checks.memory("the recording", 8 * (duration - transient) / every)
    t = np.arange(transient, duration, every)
    checks.on_steps(t, 0.0, dt, not whole or np.allclose(t / dt, np.rint(t / dt), rtol=0, atol=1e-6))
    return t


# %% [markdown]
# A per cent of 0 is 0: for a conductance that is not there the question for its elasticity has no answer,
# though the one for its derivative has. And features of one's own must be real numbers with names, which
# a trace without a run can tell.


# %%
def check_elasticities(names: Sequence[str], known: Mapping[str, float]) -> None:
    """Refuse names that are none, and numbers of which there are no per cents."""
    if not names:
        raise ValueError(
            "names is empty; there must be one at least. Say names=['LP Na'], for example, or leave it out for all."
        )
    check_names(names, known)
    for name in names:
        if known[name] == 0:
            raise ValueError(
                f"{name!r} is 0, and an elasticity is by per cent; it must be another number. Leave it out, or take its derivative."
            )


def named_scalars(trace: Callable[[], Any]) -> None:
    """Features that come by name, each one real number; `trace` returns their shapes and types."""
    cure = "Return a mapping from names to numbers, made with jax.numpy, such as {'mean': V.mean()}."
    try:
        found = trace()
    except Exception as error:
        raise TypeError(
            f"the features cannot be traced by JAX: {checks.reason(error)}; they must be numbers. {cure}"
        ) from error
    if not isinstance(found, Mapping) or not found:
        raise TypeError(f"the features are {reprlib.repr(found)}; they must come by name. {cure}")
    for name, x in found.items():
        if getattr(x, "shape", None) != () or x.dtype.kind != "f":
            raise ValueError(f"the feature {name!r} is {x}; it must be one real number. {cure}")


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-elasticity
# The period of AB/PD 2 has an elasticity of −0.95 to CaS. By how much should 0.1% more CaS change it, and
# by how much 2% more? Check both by a run.
# ```
#
# ```{solution-start} ex-elasticity
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..rhythm import summary
#
# pacemaker = Prinz2004({"AB/PD 2": 1}, gs={})
#
#
# def observed(g):
#     """Period (ms) and spikes per burst, with g mS/cm² of CaS."""
#     run = model_with(pacemaker, {"AB/PD 2 CaS": g})(np.arange(3000, 13000, 0.1))
#     return summary(run)[["period (ms)", "spikes per burst"]].iloc[0].astype(float)
#
#
# before, little, more = (observed(g) for g in (6.0, 6.006, 6.12))
# changes = [float(x["period (ms)"] / before["period (ms)"] - 1) for x in (little, more)]
# assert abs(changes[0] / 0.001 + 0.95) < 0.02 and changes[1] > 0.005
# changes, [float(x["spikes per burst"]) for x in (before, little, more)]

# %% [markdown]
# By −0.095%, which is what happens, and by −1.9%, which is not: each burst gains a spike, and the period
# grows by 0.9%. The elasticity holds on one side of a jump.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-scaling
# All conductances of a cell and its capacitance grow by one per cent. What has to become of the constant
# $f$, which turns a calcium current into a concentration, for nothing to change? What does that say about
# the elasticities of *any* feature?
# ```
#
# ```{solution-start} ex-scaling
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# short, start, known = np.arange(0, 400, 0.5), pacemaker.get_thermalization(), parameters(pacemaker)
#
#
# def scaled(factors):
#     """The potential (time,) with all conductances, C and f times these three factors."""
#     g, C, f = factors
#     values = {n: g * known[n] for n in conductance_names(pacemaker)} | {"C": C * known["C"], "f": f * known["f"]}
#     return simulate(with_values(pacemaker.params, values), start, short).V[:, 0]
#
#
# with precision():
#     J = np.asarray(jax.jit(jax.jacfwd(scaled))(np.ones(3)))
# along = {"conductances": (1, 0, 0), "and C": (1, 1, 0), "and 1/f": (1, 1, -1)}
# largest_slope = {name: float(abs(J @ np.array(d)).max()) for name, d in along.items()}  # mV
# assert largest_slope["and 1/f"] < 1e-9 < 1e-4 < largest_slope["and C"] < 0.01 < largest_slope["conductances"]
# largest_slope

# %% [markdown]
# It has to fall by one per cent. $C\, dV/dt = -\sum I$ is the same equation if both sides grow, and the
# calcium that comes in is $f$ times a current that has grown. So along this direction no feature changes:
# the elasticities to all conductances and to $C$, less that to $f$, add up to 0. (In the 400 ms before
# the first burst calcium hardly matters, and without $f$ little changes either.) In the default table,
# which has no $C$ and no $f$, there is no such rule.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-shift
# By how much does a change of CaS by 0.003 mS/cm² shift the first, second, third … burst of AB/PD 2?
# Predict it from the elasticity of the period, −0.95, the period, 1498 ms, and the 6 mS/cm² of CaS.
# ```
#
# ```{solution-start} ex-shift
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..rhythm import bursts
#
#
# settled = pacemaker(np.array([0, 3000])).final_state
#
#
# def onsets(g):
#     """The beginnings of bursts (ms), with g mS/cm² of CaS from a settled cell on."""
#     run = model_with(pacemaker, {"AB/PD 2 CaS": g})(np.arange(3000, 9000, 0.05), state=settled, t0=3000)
#     return bursts(run.spike_times()["AB/PD 2", 0])[:, 0]
#
#
# per_burst = (onsets(6.003) - onsets(6.0)) / 0.003
# predicted = -0.949 * 1498 / 6
# assert np.allclose(np.diff(per_burst), predicted, rtol=0.1)
# per_burst.round(), round(predicted)

# %% [markdown]
# Each burst comes earlier than the one before by about another 240 ms per mS/cm², as
# $\frac{\partial P}{\partial p} = e P/p$ says. The shift of the $n$-th is $n$ times as large: this is the
# growth in the upper half of {numref}`fig-growth`.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-zero-phase
# Above, the row of the phase is dropped. Look at it. Should one worry about elasticities of −30 and 20?
# ```
#
# ```{solution-start} ex-zero-phase
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# own_run = pacemaker(np.arange(2000, 6000, SAMPLING))
# with precision():
#     own_phase = float(jax.jit(soft_features)(own_run.t, own_run.states.V).phase[0])
# whole = sensitivity(pacemaker)
# assert min(own_phase, 1 - own_phase) < 0.01
# own_phase, whole.loc[(slice(None), "phase"), :].round(1)

# %% [markdown]
# No. A cell has the phase 0 in its own cycles; what is left is a rounding of the soft features. The
# change is small and so is what it is divided by. An elasticity says nothing where the feature is close
# to zero by definition.
# ```{solution-end}
# ```
