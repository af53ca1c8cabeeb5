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
# How much does the rhythm of a model depend on each of its numbers? The answer is a table of elasticities, for a `Prinz2004`, a `Network` or a
# `Cell` alike. What a derivative of a rhythm means, and where it means nothing, is the rest of this chapter.

# %% tags=["active-ipynb"]
# import holoviews as hv
# import jax
# import numpy as np
# import panel as pn
#
# from .parameters import parameters, with_values
# from ..prinz2004 import Prinz2004, precision, simulate
# from .sensitivity import sensitivity
# from .soft_features import SAMPLING, soft_features
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"

# %%
from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..engine import checks
from ..models.components import model_of, start_of
from ..prinz2004 import DEFAULT_DT, DEFAULT_SOLVER, Params, State, precision, simulate
from .adjoint import simulate_with_adjoint
from .parameters import at, check_names, conductance_names, parameters, places, with_values
from .soft_features import SAMPLING, soft_features

# %% [markdown]
# ## Elasticities
#
# The **elasticity** of a feature $f$ with respect to a parameter $p$ is $\frac{p}{f} \frac{\partial f}{\partial p}$: by how
# many per cent the feature changes when the parameter grows by one per cent.
#
# The run goes through a transient first, since a feature belongs to the rhythm and not to the start. No derivative is taken through
# the transient: its end counts as given. A stable rhythm forgets where it began, so this changes nothing but the cost; below, the
# elasticities of the period change by 0.2%.


# %%
def rhythm_of_cells(model: Any) -> Callable[[Array, Array], dict[Any, Array]]:
    """Period, burst duration, duty cycle and phase of every cell, as a function of times and potentials."""
    names = [" ".join(map(str, cell)) for cell in model_of(model).cells]

    def chosen(t: Array, V: Array) -> dict[Any, Array]:
        found = soft_features(t, V)._asdict()
        return {
            (cell, f): found[f][i] for i, cell in enumerate(names) for f in ("period", "burst", "duty_cycle", "phase")
        }

    return chosen


def settled_run(params: Params, start: State, t: np.ndarray, dt: float) -> Array:
    """Potentials (time, cell) mV at the times t (ms) of a run from time 0, without a derivative through the time before t[0]."""
    of_circuit = {name: at(params, place.paths[0]) for name, place in places(params).items() if not place.conducts}
    traced = {name: lax.stop_gradient(x) for name, x in of_circuit.items() if isinstance(x, jax.core.Tracer)}
    fixed, start = jax.tree.map(lax.stop_gradient, (with_values(params, traced), start))
    first = jax.tree.map(lambda x: lax.stop_gradient(x[0]), simulate(fixed, start, t[:1], dt=dt))
    return simulate_with_adjoint(params, first, t, dt=dt, t0=t[0]).V


def sensitivity(
    model: Any, features: Callable[[Array, Array], Mapping[Any, Any]] | None = None, names: Sequence[str] | None = None, *,
    duration: float = 6000.0, transient: float = 2000.0, dt: float = DEFAULT_DT, every: float = SAMPLING,
) -> pd.DataFrame:  # fmt: skip
    """Elasticities (feature, parameter) of a model's rhythm; NaN where a feature is undefined or zero.

    features: a function of times (time,) ms and potentials (time, cell) mV to named scalars; by default
    `rhythm_of_cells`. names: of `parameters(model)`; by default all conductances that are not zero. duration and
    transient of the run, step dt and sampling: ms. Raises ValueError for unknown names, for numbers that are zero, of which there
    are no per cents, and for times that are not whole steps.
    """
    model = model_of(model)
    known = parameters(model)
    names = conductance_names(model) if names is None else checks.names("names", names, "['LP Na']")
    if not names:
        raise ValueError(
            "names is empty; there must be one at least. Say names=['LP Na'], for example, or leave it out for all."
        )
    check_names(names, known)
    no_zeros({n: known[n] for n in names})
    t = sampled_times(duration, transient, every, dt, rhythm=features is None)
    chosen = rhythm_of_cells(model) if features is None else features
    checks.function("features", chosen, "lambda t, V: {'mean': V.mean()}")
    shapes = (jax.ShapeDtypeStruct(shape, np.float32) for shape in (t.shape, (len(t), len(model.circuit.rows))))
    named_scalars(lambda: jax.eval_shape(chosen, *shapes))
    start = start_of(model, dt=dt)

    def observed(values: Mapping[str, Any]) -> Mapping[Any, Any]:
        V = settled_run(with_values(model.params, values), start, t, dt)
        return chosen(jnp.asarray(t, V.dtype), V)

    with precision(model.dtype):
        values = {n: jnp.asarray(known[n]) for n in names}
        found, slopes = jax.jit(lambda x: (observed(x), jax.jacrev(observed)(x)))(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        table = {n: {f: known[n] * float(by[n]) / float(found[f]) for f, by in slopes.items()} for n in names}
    return pd.DataFrame(table).replace([np.inf, -np.inf], np.nan).rename_axis(columns="parameter")


LONGEST_SAMPLING = 0.5  # ms, at which spikes are still seen
SHORTEST_RHYTHM = 100.0  # ms, a run that is shorter was probably given in s


def sampled_times(duration: Any, transient: Any, every: Any, dt: Any, *, rhythm: bool) -> np.ndarray:
    """Times (ms) of a run after its transient; `rhythm`: dense and long enough to show one."""
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
    checks.on_steps(t, 0.0, dt, np.allclose(t / dt, np.rint(t / dt), rtol=0, atol=1e-6))
    return t


def no_zeros(values: Mapping[str, float]) -> None:
    """Refuse numbers of which there are no per cents."""
    for name, x in values.items():
        if x == 0:
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
# An elasticity is local, and a burster is rough: whenever a burst gains or loses a spike, its period jumps. In the isolated
# AB/PD 2 the period falls with CaS at the very point, with an elasticity of −0.95, as central differences of a ten-thousandth to both sides
# confirm; but 1% more CaS leaves the period almost what it is (−0.04% with steps of 0.00625 ms), a jump included. So read the map as what the rhythm does as long
# as each burst keeps its spikes.

# %% tags=["active-ipynb"]
# cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
# elasticity = sensitivity(cell, duration=8000).drop(index="phase", level=1)
# assert np.isfinite(elasticity).all(axis=None)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Elasticities of the rhythm of AB/PD 2: per cent of change for one per cent of a conductance.", "name": "fig-elasticity"}}
# from ..plotting import heat_map
#
# heat_map(elasticity)

# %% [markdown]
# ## How derivatives grow
#
# Along a limit cycle, the derivative of $V(t)$ does not settle. A parameter that changes the period $P$ shifts the $n$-th burst by
# $n\, \partial P/\partial p$, and the potential at a fixed time by $-\dot V\, n\, \partial P / \partial p$, which grows with $t$ and is large
# during spikes. Features do not see this growth: a period is a difference of two times over the number of cycles between.
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
# above = hv.Curve((t[:: round(250 / SAMPLING)], largest), "time (ms)", "|dV/dg| (mV per mS/cm²)").opts(width=560, height=200)
# below = hv.Curve((windows, elasticities), "window (ms)", "elasticity of the period").opts(width=560, height=160, ylim=(-1.2, 0))
# hv.Layout([above, below * hv.Scatter((windows, elasticities))]).opts(shared_axes=False, toolbar=None).cols(1)

# %% [markdown]
# ### Adaptive solvers
#
# An adaptive solver of diffrax has derivatives, too, by its own adjoint. As the tolerance falls they come to agree with those of the
# fixed step. But the steps that it chooses depend on the parameter, and the error of the solution jumps with them; a derivative
# magnifies such jumps. {numref}`fig-rough` shows the derivative of the mean calcium over one burst. With a tolerance of $10^{-4}$, at which the
# burst itself looks the same, it is useless.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "d(mean calcium)/d(conductance of A), by the fixed step and by Tsit5 with two tolerances; values beyond the axis are on its edge.", "name": "fig-rough"}}
# import diffrax
#
# from ..rhythm import bursts
#
# onset = bursts(cell(np.arange(0, 3000, 0.5)).spike_times()["AB/PD 2", 0])[0, 0]
# before, short, values = cell(np.array([0, round(onset) - 20])).final_state, np.arange(0, 301.0), np.linspace(48, 52, 17)
#
#
# def burst_calcium(g, **scheme):
#     return simulate(with_values(cell.params, {"AB/PD 2 A": g}), before, short, **scheme).Ca.mean()
#
#
# schemes = {"fixed step, 0.05 ms": {}} | {f"Tsit5, {tol:g}": dict(solver=diffrax.Tsit5(), rtol=tol, atol=tol) for tol in (1e-5, 1e-4)}
# with precision():
#     slopes = {name: np.asarray(jax.jit(lambda x, o=o: jax.lax.map(jax.grad(lambda g: burst_calcium(g, **o)), x))(values))
#               for name, o in schemes.items()}
# fixed, tight, loose = slopes.values()
# assert np.allclose(tight, fixed, rtol=0.03) and np.std(loose) > 10 * np.std(tight)
# shown = {name: np.clip(x, -2.2, -1.2) for name, x in slopes.items()}
# curves = [hv.Curve((values, x), "conductance of A (mS/cm²)", "slope (µM per mS/cm²)", label=name) for name, x in shown.items()]
# hv.Overlay(curves).opts(width=560, height=260, toolbar=None, legend_position="right")

# %% [markdown]
# ## What to beware of
#
# A derivative is exact for the scheme that is run, and the scheme may be rougher than the equations. A tonic AB/PD 1 cell with 9
# mS/cm² of CaS shows it: with steps of 0.05 ms the derivative of its potential grows along with time, as it must where the
# period depends on a parameter, to $10^5$ mV per mS/cm² within 3.6 s. With steps of 0.1 ms the
# intervals between its spikes jitter by 0.2 ms without end, which is a faint chaos of the scheme, and the derivative passes $10^{60}$.
# Features and losses through such a run have no useful derivatives. So take 0.05 ms or less for derivatives, even where 0.1 ms
# would do for the rhythm.
