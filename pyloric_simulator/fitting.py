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
# # Sensitivities and fits
#
# What a circuit does is a smooth function of its conductances, as long as no spike appears or
# disappears. This chapter names every number of a model, measures how the rhythm depends on them, states
# what it means for a model to resemble a recording, and searches for the conductances that do.

# %% tags=["active-ipynb"]
# import holoviews as hv
# import jax
# import numpy as np
# import pandas as pd
# import panel as pn
#
# from .adjoint import simulate_with_adjoint
# from .config import find_circuit
# from .fitting import *
# from .prinz2004 import Prinz2004, precision, simulate
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# model = Prinz2004.from_toml(find_circuit("paper"))

# %%
from __future__ import annotations

import copy
import glob
import hashlib
import io
import json
import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from . import checks
from .adjoint import simulate_with_adjoint
from .detection import SPIKE_THRESHOLD, STANDARD, Detection, checked
from .files import SHOWN, remove_drafts, write_whole
from .prinz2004 import (
    CM2_MS_TO_US,
    DEFAULT_DT,
    DEFAULT_SOLVER,
    MS_PER_S,
    Circuit,
    Params,
    Prinz2004,
    State,
    coupled,
    precision,
    simulate,
)
from .recording import (
    cell_number,
    check_potentials,
    check_spacing,
    check_units,
    evenly_sampled,
    order_of,
    warn_of_coarse,
)
from .rhythm import CRITERIA, Criterion
from .scale import CALCIUM_INSIDE, DENSITY, REVERSAL, suspicion
from .seals import blank, is_intact, sealed

# %% [markdown]
# ## Every number has a name
#
# Maximal conductances are named by population and channel, "LP Na" (mS/cm²), synapses by terminal and
# population, "PD-LP" (nS), and gap junctions "ge" (nS), as in the tables of the chapters before. The
# numbers of the circuit itself follow: "E Na" and "E glutamate" (mV), "C" (nF) and the other constants of the membrane,
# and those of the kinetics, such as "Na m inf a1". `parameters` lists them all; `with_values` puts others in their
# place, JAX's traced values included, so that a derivative can be taken with respect to any of them.

# %%
Path_ = tuple[Any, ...]  # attributes and indices that lead from `Params` to a number
CONDUCTANCES = ("g", "gs", "ge")  # fields of `Params`, searched on a logarithmic scale


def numbers_in(node: Any, path: Path_) -> dict[str, Path_]:
    """The finite numbers inside a curve, a gate or another container, by the names of the attributes that lead there."""
    if isinstance(node, (int, float)):
        return {"": path} if math.isfinite(node) else {}
    inner = node._fields if hasattr(node, "_fields") else [f.name for f in fields(node)] if is_dataclass(node) else ()
    found = {name: numbers_in(getattr(node, name), (*path, name)) for name in inner}
    return {f"{name} {rest}".rstrip(): p for name, more in found.items() for rest, p in more.items()}


def places(circuit: Circuit) -> dict[str, Path_]:
    """Where in `Params` each named number is."""
    c, labels = circuit, [p.label for p in circuit.populations]
    found: dict[str, Path_] = {f"{a} {k.name}": ("g", (i, j)) for i, a in enumerate(labels) for j, k in enumerate(c.channels)}
    found |= {f"{s.terminal}-{labels[s.post]}": ("gs", (i,)) for i, s in enumerate(c.synapses)}
    found |= {"ge": ("ge", ())} if coupled(c) else {}
    found |= {f"E {x.name}": ("circuit", "channels", i, "E") for i, x in enumerate(c.channels) if x.E is not None}
    found |= {f"E {x.name}": ("circuit", "transmitters", i, "E") for i, x in enumerate(c.transmitters)}
    found |= {name: ("circuit", "constants", name) for name in c.constants._fields}
    found |= {f"k {x.name}": ("circuit", "transmitters", i, "k") for i, x in enumerate(c.transmitters)}
    for i, channel in enumerate(c.channels):
        for x in ("m", "h"):
            inside = numbers_in(getattr(channel, x), ("circuit", "channels", i, x))
            found |= {f"{channel.name} {x} {name}": path for name, path in inside.items()}
    return found


def at(node: Any, path: Path_) -> Any:
    """What a path leads to."""
    for step in path:
        node = getattr(node, step) if isinstance(step, str) else node[step]
    return node


def put(node: Any, path: Path_, value: Any) -> Any:
    """The same node, with another value at the end of the path."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(first, str):
        change = {first: put(getattr(node, first), rest, value)}
        return node._replace(**change) if hasattr(node, "_replace") else replace(node, **change)
    if isinstance(node, tuple):
        return (*node[:first], put(node[first], rest, value), *node[first + 1 :])
    value = jnp.asarray(value, None if jnp.issubdtype(jnp.result_type(value), jnp.floating) else float)
    return jnp.asarray(node, value.dtype).at[first].set(value)  # one type, whichever precision is in force


def parameters(model: Any) -> dict[str, float]:
    """Name and value of every number of a model, conductances first; units as in the text above."""
    check_model(model)
    return {name: float(at(model.params, path)) for name, path in places(model.circuit).items()}


def with_values(params: Params, values: Mapping[str, Any]) -> Params:
    """The same parameters with some numbers, by their names, replaced; pure JAX.

    Raises ValueError or TypeError for unknown names, and for values, unless JAX traces them, that the number cannot have.
    """
    checks.of_type("params", params, Params, "those of a Prinz2004, `model.params`")
    known, values = places(params.circuit), checks.mapping("values", values, "{'LP Na': 100}")
    checks.known_parameters(values, known)
    for name, value in values.items():
        check_value(name, known[name], value)
        params = put(params, known[name], value)
    return params


def check_model(model: Any) -> None:
    """Names, sensitivities and fits are those of a circuit of the first chapter."""
    if not isinstance(model, Prinz2004):
        raise TypeError(
            f"the model is {reprlib.repr(model)}, a {type(model).__name__}; it must be a Prinz2004, whose numbers have names. For a Network "
            "differentiate `simulate_network` with respect to `network.params`."
        )


def check_value(name: str, path: Path_, value: Any) -> None:
    """Refuse what a number of a circuit cannot be; of what JAX traces only the shape is looked at."""
    if isinstance(value, jax.core.Tracer):
        if value.shape != ():
            raise ValueError(f"{name!r} has shape {value.shape}; it must be one number. Vectorize with jax.vmap.")
        return
    x = checks.number(repr(name), value, "its unit")
    if path[0] in CONDUCTANCES or path[-1] == "K":
        checks.at_least(repr(name), x, 0, "")
    elif path[-1] in checks.POSITIVE or path[-1] == "k":
        checks.positive(repr(name), x, "")
    elif path[-1] == "E" and x and (doubt := suspicion(repr(name), abs(x), REVERSAL)):
        checks.warn(doubt)
    elif x == 0 and path[-1] in ("k1", "k2", "k3"):
        raise ValueError(f"{name!r} is 0; it must not be, since a potential is divided by it. Give a slope in mV.")


# %% tags=["active-ipynb"]
# def potential_after(E_K, g_A):
#     """Mean potential of all cells over 200 ms."""
#     params = with_values(model.params, {"E Kd": E_K, "AB/PD A": g_A})
#     return simulate(params, start, np.arange(0, 200, 0.5)).V.mean()
#
#
# start = model.get_thermalization()
# with precision():
#     slopes = jax.jit(jax.grad(potential_after, argnums=(0, 1)))(-80.0, 50.0)
# print(f"{len(parameters(model))} numbers; dV/dE_K = {slopes[0]:.4f}, dV/dg_A = {slopes[1]:.5f} mV per mS/cm²")

# %% [markdown]
# ## Spikes as functions of the parameters
#
# A spike's time is that of the top of a parabola through three samples, as in `rhythm.spikes`. Which samples hold
# a maximum is a discrete matter; given the samples, the time depends smoothly on the potential, and with it on all
# parameters. But not evenly: while a spike moves from one sample to the next, the top of the parabola runs ahead and falls behind. With
# samples 0.1 ms apart the period that follows is right to a few microseconds, and yet its derivative is off by more than a half, since the top goes to
# and fro within 0.1 ms. So the *derivative* of a spike's time is that of its centre, the mean time with the weights
# $\max(V - V_θ, 0)^3$, $V_θ$ = −10 mV, which moves as the spike does. The buffer holds a fixed number of spikes, since compiled code
# wants to know all shapes.


# %%
MAX_SPIKES = 1024  # of a cell, in one run


class Train(NamedTuple):
    """The spikes of one cell."""

    times: Array  # (MAX_SPIKES,) ms; the end of the run where there is no spike
    real: Array  # (MAX_SPIKES,) whether there is one
    lost: Array  # () number of maxima for which there is no room


def late_enough(times: Array, refractory: float) -> Array:
    """Which of increasing times (spike,) ms come a refractory time (ms) after the last of them that did."""

    def step(last: Array, x: Array) -> tuple[Array, Array]:
        late = x - last >= refractory
        return jnp.where(late, x, last), late

    return lax.scan(step, times[0] - refractory, times)[1]


def ratio(a: Array, b: Array, otherwise: float = jnp.nan) -> Array:
    """a/b, or else a constant, without derivative, where a is undefined or b is not positive."""
    known = jnp.isfinite(a) & (b > 0)
    return jnp.where(known, jnp.where(known, a, 0.0) / jnp.where(known, b, 1.0), otherwise)


REACH = 2.0  # ms, half of the time that holds a spike
ROOM = 64  # samples, the most within that time


def centre(t: Array, V: Array, i: Array, threshold: float) -> Array:
    """Mean time (ms) of the spike whose largest sample is i, less t[i]; 0 without one. t, V: (time,); i: ()."""
    k = jnp.arange(-ROOM, ROOM + 1)
    later = k.astype(V.dtype) * (t[1] - t[0])
    near = (abs(later) <= REACH) & (i + k >= 0) & (i + k < len(V))
    height = jnp.where(near, jax.nn.relu(V[jnp.clip(i + k, 0, len(V) - 1)] - threshold), 0.0)
    return ratio((height**3 * later).sum(), (height**3).sum(), 0.0)


def train(t: Array, V: Array, d: Detection = STANDARD) -> Train:
    """Spikes of V (time,) mV at equally spaced times t (time,) ms: those of `rhythm.spikes` of a run without noise, and differentiable."""
    a, b, c = V[:-2], V[1:-1], V[2:]
    peak = (b > d.threshold) & (b > a) & (b >= c)
    (i,) = jnp.nonzero(peak, size=MAX_SPIKES, fill_value=0)
    found = jnp.arange(MAX_SPIKES) < peak.sum()
    a, b, c = (jnp.where(found, x[i], y) for x, y in ((a, 0.0), (b, 1.0), (c, 0.0)))
    times = jnp.where(found, t[i + 1] + (t[1] - t[0]) * (a - c) / (a - 2 * b + c) / 2, t[-1])
    moving = jax.vmap(centre, (None, None, 0, None))(t, V, i + 1, d.threshold)
    times = lax.stop_gradient(times) + jnp.where(found, moving - lax.stop_gradient(moving), 0.0)
    real = found & late_enough(lax.stop_gradient(times), d.refractory)
    order = jnp.argsort(~real, stable=True)  # those that are too early go to the end
    return Train(jnp.where(real, times, t[-1])[order], real[order], jnp.maximum(peak.sum() - MAX_SPIKES, 0))


# %% [markdown]
# ## Soft bursts
#
# Whether a silence separates two bursts is a question of yes or no: longer than 150 ms or not. Softly,
# with a **temperature** $T$ (ms), silence $i$ after spike $i$ separates with the weight $p_i = σ((d_i - 150)/T)$.
# The time from spike $i$ to the last one of its burst, and the weight with which a burst of at least
# 40 ms starts at spike $i$, then follow
#
# $$
# D_i = (1 - p_i)(d_i + D_{i+1}), \qquad w_i = p_{i-1}\, σ\!\left(\frac{D_i - 40}{T}\right).
# $$ (eq-soft)
#
# As $T \to 0$, weights become 0 or 1, and everything below becomes what `rhythm.summary` says.


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
# The latest start up to spike $i$ is spike $i$ itself with the weight $w_i$, and else the latest one before. So is,
# backward in time, the next one. The **period** is the time from the first start of all to the last, over the number of
# cycles between; the **phase** of a start is its place between the latest and the next start of the pacemaker.


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


class Features(NamedTuple):
    """What each cell does, softly; (cell,) in each field, NaN where undefined."""

    period: Array  # ms
    burst: Array  # ms, duration
    duty_cycle: Array  # 0…1
    phase: Array  # 0…1, of the burst's start in the pacemaker's cycle
    bursts: Array  # number of bursts that begin
    rate: Array  # spikes per second


DEFAULT_TEMPERATURE = 5.0  # ms


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
    if d.kind != "maxima" or d.prominence is not None:
        raise ValueError(
            f"detection has kind {d.kind!r} and prominence {d.prominence}; soft features take all maxima of a run, which has no noise. Leave "
            "both as they are."
        )
    return d


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
# The figure shows the period, duty cycle and phase of LP in the circuit of Fig. 3e as the temperature
# falls, against those of the chapter on rhythms.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Soft features of LP less those of `rhythm.summary`.", "name": "fig-soft"}}
# from .rhythm import summary
#
# recording = model(np.arange(2000, 9000, 0.25))
# hard = summary(recording).loc[("LP", 0)]
# temperatures = np.geomspace(0.3, 60, 24)
# with precision():
#     soft = jax.jit(jax.vmap(soft_features, (None, None, 0)))(recording.t, recording.states.V, temperatures)
#     soft = jax.tree.map(lambda x: np.asarray(x)[:, 1], soft)
# error = {"period": abs(soft.period / hard["period (ms)"] - 1), "duty cycle": abs(soft.duty_cycle / hard["duty cycle"] - 1),
#          "phase": abs(soft.phase / hard["phase"] - 1)}
# assert all(e[0] < 1e-9 for e in error.values())
# curves = [hv.Curve((temperatures, np.maximum(e, 1e-12)), "temperature (ms)", "relative difference", label=name) for name, e in error.items()]
# hv.Overlay(curves).opts(logx=True, logy=True, width=560, height=260, toolbar=None, legend_position="right")

# %% [markdown]
# ## Sensitivities
#
# The **elasticity** of a feature $f$ with respect to a parameter $p$ is $\frac{p}{f} \frac{\partial f}{\partial p}$: by how
# many per cent the feature changes when the parameter grows by one per cent.
#
# The run goes through a transient first, since a feature belongs to the rhythm and not to the start. No derivative is taken through
# the transient: its end counts as given. A stable rhythm forgets where it began, so this changes nothing but the cost; below, the
# elasticities of the period change by 0.2%.


# %%
def conductance_names(model: Any) -> list[str]:
    """Names of the conductances of membranes, synapses and gap junctions of a model that are not zero."""
    check_model(model)
    return [n for n, path in places(model.circuit).items() if path[0] in CONDUCTANCES and at(model.params, path) != 0]


def rhythm_of_cells(model: Any) -> Callable[[Array, Array], dict[Any, Array]]:
    """Period, burst duration, duty cycle and phase of every cell, as a function of times and potentials."""
    names = [" ".join(map(str, cell)) for cell in model.cells]

    def chosen(t: Array, V: Array) -> dict[Any, Array]:
        found = soft_features(t, V)._asdict()
        return {(cell, f): found[f][i] for i, cell in enumerate(names) for f in ("period", "burst", "duty_cycle", "phase")}

    return chosen


def settled_run(params: Params, start: State, t: np.ndarray, dt: float) -> Array:
    """Potentials (time, cell) mV at the times t (ms) of a run from time 0, without a derivative through the time before t[0]."""
    params_fixed, start = jax.tree.map(lax.stop_gradient, (params, start))
    first = jax.tree.map(lambda x: lax.stop_gradient(x[0]), simulate(params_fixed, start, t[:1], dt=dt))
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
    known = parameters(model)
    names = conductance_names(model) if names is None else checks.names("names", names, "['LP Na']")
    if not names:
        raise ValueError("names is empty; there must be one at least. Say names=['LP Na'], for example, or leave it out for all.")
    checks.known_parameters(names, known)
    no_zeros({n: known[n] for n in names})
    t = sampled_times(duration, transient, every, dt, rhythm=features is None)
    chosen = rhythm_of_cells(model) if features is None else features
    checks.function("features", chosen, "lambda t, V: {'mean': V.mean()}")
    shapes = (jax.ShapeDtypeStruct(shape, np.float32) for shape in (t.shape, (len(t), len(model.circuit.rows))))
    named_scalars(lambda: jax.eval_shape(chosen, *shapes))
    start = model.get_thermalization(dt=dt)

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
        raise ValueError(f"every is {every:g} ms; it must be at most {LONGEST_SAMPLING:g}, or spikes are missed. Take {SAMPLING:g}.")
    if rhythm and duration - transient < SHORTEST_RHYTHM:
        checks.warn(f"the run lasts {duration - transient:g} ms after its transient, too short for a rhythm. If that is in s, multiply it by 1000.")
    checks.memory("the recording", 8 * (duration - transient) / every)
    t = np.arange(transient, duration, every)
    checks.on_steps(t, 0.0, dt, np.allclose(t / dt, np.rint(t / dt), rtol=0, atol=1e-6))
    return t


def no_zeros(values: Mapping[str, float]) -> None:
    """Refuse numbers of which there are no per cents."""
    for name, x in values.items():
        if x == 0:
            raise ValueError(f"{name!r} is 0, and an elasticity is by per cent; it must be another number. Leave it out, or take its derivative.")


def named_scalars(trace: Callable[[], Any]) -> None:
    """Features that come by name, each one real number; `trace` returns their shapes and types."""
    cure = "Return a mapping from names to numbers, made with jax.numpy, such as {'mean': V.mean()}."
    try:
        found = trace()
    except Exception as error:
        raise TypeError(f"the features cannot be traced by JAX: {checks.reason(error)}; they must be numbers. {cure}") from error
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
# from .plotting import heat_map
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
# from .rhythm import bursts
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
# ## What resembles a recording
#
# A **loss** is a function of `Params` that is small where the model does what is wanted. The functions below
# build such losses; so may any function of your own that calls `simulate_with_adjoint`. A recording is a result, a table with times and a
# column for each cell, told by its label, the file of one, or times and potentials.
#
# The **trace mismatch** is the mean squared difference of potentials. It has many false minima: a model whose spikes come
# two milliseconds late is no better than one without spikes.


# %%
Loss = Callable[[Params], Array]


class Recording(NamedTuple):
    """Potentials to be fitted."""

    t: np.ndarray  # (time,) ms, equally spaced
    V: np.ndarray  # (time, cell) mV


def recording_of(data: Any, model: Any) -> Recording:
    """A recording from a result, a DataFrame (index: ms), a file or (t, V); labels tell which column is which of the model's cells."""
    return Recording(*evenly_sampled(data, model.cells))


def start_of(model: Any, state: State | None, **scheme: Any) -> State:
    """The start of runs: a state that was given, or else the thermalized one."""
    check_model(model)
    return model.get_thermalization(**scheme) if state is None else checks.state(state, model.cold)


def times_of(t: Any) -> np.ndarray:
    """Times of a run (time,) ms from which features are taken: equally spaced, and dense enough to show spikes."""
    t = checks.times(t, 0.0)
    check_spacing(t, "t")
    check_units("the run", t, {})
    warn_of_coarse(t)
    return t


def trace_mismatch(model: Any, data: Any, *, state: State | None = None, dt: float = DEFAULT_DT) -> Loss:
    """Loss: mean squared difference (mV²) from recorded potentials.

    data: a result, a DataFrame or (t, V), see `recording_of`; state: at the first time, thermalized by default.
    """
    check_model(model)
    t, V = recording_of(data, model)
    start = start_of(model, state, dt=dt)

    def loss(params: Params) -> Array:
        return jnp.mean((simulate_with_adjoint(params, start, t, dt=dt, t0=t[0]).V - V) ** 2)

    return loss


# %% [markdown]
# The **prediction-error method** {cite:p}`Ljung1999` steers the model by the recording: each cell gets the extra current $K\,(V_\mathrm{data} -
# V)$, which holds its potential near the recorded one, so that a spike is never late for long. What is left of the difference says
# which current is wrong. This extra current is a leak with the conductance $K$ and the reversal potential $V_\mathrm{data}(t)$,
# so it needs no new equation: add $K$ to the leak conductance, and inject $K\,(V_\mathrm{data} - E_\mathrm{leak})$.


# %%
def leak(circuit: Circuit) -> int:
    """Index of a channel without gates, that passes a current g (V − E)."""
    found = [i for i, c in enumerate(circuit.channels) if c.m is None and c.h is None and c.E is not None]
    checks.has_leak(found, [c.name for c in circuit.channels])
    return found[0]


DEFAULT_STEERING = 5.0  # mS/cm²


def prediction_error(
    model: Any, data: Any, *, K: float = DEFAULT_STEERING, state: State | None = None, skip: float = 0.0, dt: float = DEFAULT_DT
) -> Loss:
    """Loss: mean squared error (mV²) of a model that is steered by recorded potentials with conductance K (mS/cm²).

    data, state: as for `trace_mismatch`. skip: ms at the start that do not count, while the gates find their values.
    Raises ValueError if the circuit has no channel without gates, or if nothing is left.
    """
    from scipy.interpolate import CubicSpline

    check_model(model)
    t, V = recording_of(data, model)
    c, n = model.circuit, leak(model.circuit)
    K = checks.positive("K", K, "mS/cm²")
    if wrong := suspicion("K", K, DENSITY):
        checks.warn(wrong)
    start = start_of(model, state, dt=dt)
    steps = t[0] + dt * np.arange(round((t[-1] - t[0]) / dt) + 2)
    target = CubicSpline(t, V)(np.minimum(steps, t[-1]))
    injected = K * c.constants.A * CM2_MS_TO_US * (target - c.channels[n].E)
    late = t >= t[0] + checks.number("skip", skip, "ms")
    if skip < 0 or not late.any():
        raise ValueError(f"skip is {skip:g} ms of a recording of {t[-1] - t[0]:g} ms; it must leave some of it. Say 0 for all.")

    def loss(params: Params) -> Array:
        steered = params.replace(g=jnp.asarray(params.g).at[:, n].add(K))
        V_model = simulate_with_adjoint(steered, start, t, injected[: len(steps) - 1], dt=dt, t0=t[0]).V
        return jnp.mean((V_model - V)[late] ** 2)

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
def mean_calcium(params: Params, start: State, t: Any, *, dt: float = DEFAULT_DT, **run: Any) -> Array:
    """Mean calcium (µM) of each cell over the times t (ms), (cell,)."""
    return simulate_with_adjoint(params, start, t, dt=dt, **run).Ca.mean(0)


def calcium_target(target: Any, cells: list[tuple[str, int]]) -> np.ndarray:
    """Mean calcium that is wanted, () or (cell,) µM; labels tell whose it is."""
    labelled = pd.Series(target) if isinstance(target, Mapping) else target
    if isinstance(labelled, pd.Series):
        labelled = labelled.iloc[order_of(labelled.index, cells, "target has no calcium")]
    x = checks.positive_values("target", labelled, "µM")
    if x.shape not in ((), (len(cells),)):
        raise ValueError(f"target has shape {x.shape}; it must be one number, or one for each of the {len(cells)} cells. Give one of these.")
    for size in {float(x.min()), float(x.max())}:
        if wrong := suspicion("target", size, CALCIUM_INSIDE):
            checks.warn(wrong)
    return x


def calcium_mismatch(
    model: Any, target: Any, t: Any, *, state: State | None = None, dt: float = DEFAULT_DT
) -> Loss:
    """Loss: mean over cells of log²(mean calcium / target); target: µM, a number, (cell,), or a mapping or Series with labels."""
    start = start_of(model, state, dt=dt)
    target = calcium_target(target, list(model.cells))
    check_units("the run", checks.times(t, 0.0), {})
    return lambda params: jnp.mean(jnp.log(mean_calcium(params, start, t, dt=dt) / target) ** 2)


UPSTROKE = 5.0  # mV, over which a spike counts softly as it rises through the threshold


def spike_density(t: Any, V: Array, width: float, threshold: float = SPIKE_THRESHOLD) -> Array:
    """Spikes per second, smoothed by a Gaussian of s.d. `width` (ms): (time − 1, cell), of V (time, cell) mV."""
    step = float(t[1] - t[0])
    upstrokes = jax.nn.relu(jnp.diff(jax.nn.sigmoid((V - threshold) / UPSTROKE), axis=0))
    reach = np.arange(-math.ceil(4 * width / step), math.ceil(4 * width / step) + 1) * step
    kernel = jnp.asarray(np.exp(-((reach / width) ** 2) / 2), V.dtype)
    smooth = lambda x: jnp.convolve(x, kernel / kernel.sum(), mode="same")  # noqa: E731
    return jax.vmap(smooth, in_axes=1, out_axes=1)(upstrokes) / step * MS_PER_S


def density_mismatch(
    model: Any, data: Any, *, width: float = 50.0, state: State | None = None, dt: float = DEFAULT_DT, detection: Detection = STANDARD
) -> Loss:
    """Loss: mean squared difference ((1/s)²) of spike densities. width: ms; data, state: as for `trace_mismatch`.

    Of the detection only the threshold counts.
    """
    check_model(model)
    threshold = of_soft(detection).threshold
    t, V = recording_of(data, model)
    start = start_of(model, state, dt=dt)
    wanted, width = np.asarray(V), checks.positive("width", width, "ms")
    if not t[1] - t[0] <= width <= t[-1] - t[0]:
        raise ValueError(
            f"width is {width:g} ms, with samples from {t[0]:g} to {t[-1]:g} ms, each {t[1] - t[0]:g}; it must lie between the interval and "
            "the whole. 50 is usual."
        )

    def loss(params: Params) -> Array:
        V = simulate_with_adjoint(params, start, t, dt=dt, t0=t[0]).V
        ours, theirs = (spike_density(t, x, width, threshold) for x in (V, jnp.asarray(wanted, V.dtype)))
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
    state: State | None = None, dt: float = DEFAULT_DT, detection: Detection = STANDARD,
) -> Loss:  # fmt: skip
    """Loss: log² of the ratios of a cell's period (ms) and duty cycle to wanted ones; times t (ms) as in `soft_features`.

    cell: its number or its label. Raises TypeError or ValueError, as for a period that no cell can have in this run.
    """
    period, share = checks.positive("period", period, "ms"), checks.fraction("duty_cycle", duty_cycle)
    t, cell, temperature = times_of(t), cell_number("cell", cell, model.cells), checks.positive("temperature", temperature, "ms")
    d = of_soft(detection)
    check_period(period, t[-1] - t[0], d)
    start = start_of(model, state, dt=dt)

    def loss(params: Params) -> Array:
        V = settled_run(params, start, t, dt)
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


WIDEST = min((c.high - c.low) / (2 * c.sd) for c in CRITERIA)  # standard deviations; a wider margin leaves nothing of some range


def three_cells(roles: Any, model: Any) -> tuple[int, ...]:
    """Numbers of the cells that are PD, LP and PY."""
    given = [] if isinstance(roles, (str, Mapping)) or not isinstance(roles, Iterable) else list(roles)
    found = [cell_number("a role", x, model.cells) for x in given]
    if len(found) != 3:
        raise TypeError(f"roles is {roles!r}; it must be the three cells that are PD, LP and PY, such as (0, 1, 2). Give them in this order.")
    if len(set(found)) < 3:
        raise ValueError(f"roles is {roles!r}; PD, LP and PY must be three cells. Name each once.")
    return tuple(found)


def outside(x: Array, c: Criterion, margin: float) -> Array:
    """Squared distance from the accepted range, shrunk at both ends by a margin, in standard deviations of the lobsters."""
    inner = margin * c.sd
    return ((jax.nn.relu(c.low + inner - x) + jax.nn.relu(x - c.high + inner)) / c.sd) ** 2


def criteria_mismatch(
    model: Any, t: Any, *, roles: Sequence[Any] = (0, 1, 2), margin: float = 0.25, temperature: float = DEFAULT_TEMPERATURE,
    state: State | None = None, dt: float = DEFAULT_DT, detection: Detection = STANDARD,
) -> Loss:  # fmt: skip
    """Loss: 0 if all fifteen criteria hold with a margin (standard deviations) and LP and PY burst as often as PD, give or take one.

    roles: the numbers or the labels of the cells that are PD, LP and PY. Below margin²/15 all fifteen hold. Raises TypeError or
    ValueError for cells that are not there.
    """
    t, roles, temperature = times_of(t), three_cells(roles, model), checks.positive("temperature", temperature, "ms")
    if not 0 <= checks.number("margin", margin, "standard deviations") < WIDEST:
        raise ValueError(f"margin is {margin:g}; it must be from 0 to below {WIDEST:.3g}, where a range ends. Say 0 for the ranges themselves.")
    d = of_soft(detection)
    start = start_of(model, state, dt=dt)

    def loss(params: Params) -> Array:
        V = settled_run(params, start, t, dt)
        f = soft_features(t, V, temperature, roles[0], d)
        known = {name: jnp.isfinite(x) for name, x in fifteen(lax.stop_gradient(f), roles).items()}
        found = fifteen(jax.tree.map(lambda x: jnp.where(jnp.isfinite(x), x, 1.0), f), roles)
        terms = [jnp.where(known[c.name], outside(found[c.name], c, margin), UNDEFINED) for c in CRITERIA]
        extra = jnp.stack([jax.nn.relu(abs(f.bursts[i] - f.bursts[roles[0]]) - 1) ** 2 for i in roles[1:]])
        return (sum(terms) + extra.sum()) / len(terms)

    return loss


# %% [markdown]
# ## Fitting
#
# `fit` searches a box of parameters, conductances and synapses on a logarithmic scale, with any optimizer of
# [optax](https://optax.readthedocs.io). All starts run side by side in one compiled function.


# %%
class Box(NamedTuple):
    """The parameters to be searched, and where; (parameter,) in each array."""

    names: tuple[str, ...]
    low: np.ndarray  # natural unit
    high: np.ndarray  # natural unit
    log: np.ndarray  # whether the scale is logarithmic

    def inside(self, values: Any) -> Any:
        """Coordinates 0…1 (…, parameter) of values in natural units."""
        f = lambda x: np.where(self.log, np.log(np.where(self.log, x, 1.0)), x)  # noqa: E731
        return (f(values) - f(self.low)) / (f(self.high) - f(self.low))

    def natural(self, x: Any) -> Array:
        """Values in natural units of coordinates x (…, parameter)."""
        low, high = jnp.asarray(self.low, x.dtype), jnp.asarray(self.high, x.dtype)
        safe = lambda a: jnp.where(self.log, a, 1.0)  # noqa: E731
        return jnp.where(self.log, safe(low) * (safe(high) / safe(low)) ** x, low + (high - low) * x)


DEFAULT_SPAN = 4.0  # conductances are searched between a quarter and four times their value


def box(model: Any, names: Sequence[str], bounds: Mapping[str, tuple[float, float]] | None = None) -> Box:
    """The box around a model: bounds in natural units, by default a factor of `DEFAULT_SPAN` both ways."""
    known, where = parameters(model), places(model.circuit)
    checks.known_parameters(checks.names("parameters", names, "['LP Na']"), known)
    bounds = {} if bounds is None else checks.mapping("bounds", bounds, "{'LP Na': (50, 500)}")
    checks.known_parameters(bounds, names)
    log = np.array([where[n][0] in CONDUCTANCES for n in names])
    ends = [
        bounds.get(n, tuple(sorted((known[n] / DEFAULT_SPAN, known[n] * DEFAULT_SPAN)))) for n in names
    ]
    checks.bounds(names, ends, [known[n] for n in names], log)
    low, high = np.array(ends, float).T
    return Box(tuple(names), low, high, log)


@dataclass(frozen=True)
class Fit:
    """What a fit found."""

    model: Any  # the model with the best values
    values: pd.Series  # best values, natural units
    loss: float  # of the best values
    history: pd.DataFrame  # one row for each start and step: loss, norm of the gradient, values
    failed: pd.DataFrame  # starts that turned non-finite: the step and the values
    stopped: str  # why it ended: "steps", "patience" or "goal"


# %% [markdown]
# Where spikes come and go, a feature jumps, and its derivative knows nothing of the jumps: in {numref}`fig-elasticity` more CaS
# shortens the period, at a given number of spikes per burst, and yet a tenth more of it lengthens the period by 8%, since it adds spikes. A
# fit that follows such derivatives goes astray. So `fit` can follow the **trend**: the derivative, averaged over $x_i ± w$, is the
# difference of the two ends,
#
# $$
# \overline{\partial_i f} = \frac{1}{2w} \int_{-w}^{w} \partial_i f(x + u\, e_i)\, du = \frac{f(x + w e_i) - f(x - w e_i)}{2 w},
# $$ (eq-trend)
#
# jumps included. It costs two runs for each parameter, side by side, and no gradient.


# %%
def ends(f: Callable[[Array], Array], x: Array, w: float) -> tuple[Array, Array]:
    """f at x + w and at x − w in each parameter, (parameter, …) each; x: (parameter,)."""
    δ = w * jnp.eye(len(x), dtype=x.dtype)
    return jax.vmap(f)(x + δ), jax.vmap(f)(x - δ)


def with_trend(f: Callable[[Array], Array], w: float) -> Callable[[Array], Array]:
    """A scalar f of x (parameter,) with the derivative {eq}`eq-trend`."""
    trending = jax.custom_jvp(f)

    @trending.defjvp
    def derivative(x: tuple[Array], dx: tuple[Array]) -> tuple[Array, Array]:
        up, down = ends(f, *x, w)
        return f(*x), (dx[0] * (up - down)).sum() / (2 * w)

    return trending


class Search(NamedTuple):
    """The state of a fit, a pytree."""

    x: Any  # (start, parameter) coordinates
    optimizer: Any  # state of the optimizer of each start
    alive: Any  # (start,) whether loss and gradient have been finite so far


def stepper(loss: Callable[[Array], Array], optimizer: Any, clip: float | None) -> Callable[[Search], tuple[Search, Array, Array]]:
    """One step of all starts: the next search, the loss and the norm of the gradient at the present one."""
    optax = checks.package("optax", "fit", "fit")
    optimizer = optax.with_extra_args_support(optimizer)  # line searches want to evaluate the loss themselves

    def step(x: Array, inner: Any, alive: Array) -> tuple[Array, Any, Array, Array, Array]:
        value, slope = jax.value_and_grad(loss)(x)
        norm = jnp.sqrt((slope**2).sum())
        good = alive & jnp.isfinite(value) & jnp.isfinite(norm)
        slope = jnp.where(good, slope, 0.0) * (1.0 if clip is None else jnp.minimum(1.0, clip / jnp.maximum(norm, 1e-300)))
        with jax.numpy_dtype_promotion("standard"):  # optimizers mix their counters with floats
            change, inner = optimizer.update(slope, inner, x, value=value, grad=slope, value_fn=loss)
        return jnp.where(good, jnp.clip(optax.apply_updates(x, change), 0, 1), x), inner, good, value, norm

    def all_starts(s: Search) -> tuple[Search, Array, Array]:
        x, inner, alive, value, norm = jax.vmap(step)(s.x, s.optimizer, s.alive)
        return Search(x, inner, alive), value, norm

    return jax.jit(all_starts)


# %% [markdown]
# The first start is the model itself; the others are drawn from the box with a seed. Everything that the search needs to go
# on is written to a checkpoint file, under a name that is only given once the file is complete. It belongs to its fit, that is, to the
# parameters, bounds and starts, to the model's other numbers, and to the loss and the optimizer. Two losses cannot be compared as such.
# So the file also keeps what one step from points near the starts gives: the loss, its gradient, and what the optimizer makes of it.


# %%
def starts_of(box: Box, model: Any, starts: Any, seed: int) -> np.ndarray:
    """Coordinates (start, parameter): a number of starts, or a table or array of values in natural units."""
    own = np.array([[parameters(model)[n] for n in box.names]])
    seed = checks.count("seed", seed, least=0)
    if np.ndim(starts) == 0:
        checks.count("starts", starts)
        checks.memory(f"a search from {starts} starts", 100.0 * starts * len(box.names), "Take fewer.")
        drawn = np.random.default_rng(seed).random((starts - 1, len(box.names)))
        return np.concatenate([box.inside(own), drawn])
    if isinstance(starts, pd.DataFrame):
        for name in box.names:
            checks.choice(f"the column of starts for {name!r}", name, list(map(str, starts.columns)))
        starts = starts[list(box.names)]
    values = np.atleast_2d(checks.numbers("starts", starts))
    checks.starts(values, box.names, box.low, box.high)
    return box.inside(values)


class Log(NamedTuple):
    """What a fit has done so far; (step, start, …) in each field."""

    x: list[np.ndarray]
    loss: list[np.ndarray]
    slope: list[np.ndarray]


PROBE = 0.05  # of the box, between a start and the point near it from which a step is compared


class Identity(NamedTuple):
    """By what a checkpoint knows its fit."""

    about: str  # parameters, bounds, options and the model's numbers
    starts: np.ndarray  # (start, parameter) coordinates
    step: tuple[np.ndarray, ...]  # all that a step from points near the starts gives


def near_step(advance: Callable[[Search], tuple[Search, Array, Array]], search: Search) -> tuple[np.ndarray, ...]:
    """What a step from points near the starts of a search gives."""
    x = np.asarray(search.x)
    shift = PROBE * np.where(x < 0.5, 1, -1) * np.random.default_rng(0).random(x.shape)
    return tuple(np.asarray(leaf) for leaf in jax.tree.leaves(advance(search._replace(x=jnp.asarray(x + shift, x.dtype)))))


def other_numbers(model: Any, names: Sequence[str]) -> str:
    """A fingerprint of all numbers of a model but those that are fitted."""
    others = [[name, value] for name, value in parameters(model).items() if name not in names]
    return hashlib.sha256(json.dumps(others).encode()).hexdigest()


def save(path: Path, fit: Identity, search: Search, log: Log) -> None:
    """Write a checkpoint; it appears under its name only when it is complete."""
    leaves = {f"search{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(search))}
    steps = {f"step{i}": x for i, x in enumerate(fit.step)}
    done = {k: np.array(v) for k, v in log._asdict().items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, about=np.array(fit.about), starts=fit.starts, **steps, **leaves, **done)
    write_whole(path, sealed(file.getvalue() + blank()))


Stored = Mapping[str, np.ndarray]  # the arrays of a checkpoint


def stored(path: Path | None) -> Stored | None:
    """The arrays of a checkpoint, if there is one. Raises ValueError if it is damaged."""
    if path is None or not path.exists():
        return None
    data = path.read_bytes()
    if not is_intact(data):
        raise ValueError(
            f"{path} is no checkpoint of this version, or it is damaged: {len(data)} bytes without a checksum that fits. Delete it to begin anew, or "
            "give another file."
        )
    with np.load(io.BytesIO(data[: -len(blank())]), allow_pickle=False) as file:
        return dict(file)


def restore(found: Stored, like: Search) -> tuple[Search, Log]:
    """A search and its log from a checkpoint."""
    leaves = [found[f"search{i}"] for i in range(len(jax.tree.leaves(like)))]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), Log(*(list(found[name]) for name in Log._fields))


def same_fit(path: Path, same: bool, what: str) -> None:
    """Refuse a checkpoint of another fit."""
    if not same:
        raise ValueError(
            f"the checkpoint {path} belongs to a fit with other {what}; it cannot go on with these. Give another file, or delete this one."
        )


def taken_up(
    file: Path, found: Stored | None, about: str, advance: Callable[[Search], tuple[Search, Array, Array]], search: Search
) -> tuple[Callable[[Search, Log], None], Search, Log]:
    """How a fit is kept in a file, and where it stands: at the start of its search, or where the checkpoint found ended."""
    about, starts = about + str(jax.tree.structure(search)), np.asarray(search.x)
    same = found is None or (str(found["about"]) == about and alike(found["starts"], starts))
    same_fit(file, same, "parameters, bounds, starts, options or numbers of the model")
    step = near_step(advance, search)
    same_fit(file, found is None or all(alike(found[f"step{i}"], x) for i, x in enumerate(step)), "loss, data or optimizer")
    remove_drafts(file.parent, glob.escape(file.name[:SHOWN]))
    keep = partial(save, file, Identity(about, starts, step))
    return (keep, search, Log([], [], [])) if found is None else (keep, *restore(found, search))


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal up to rounding, for the same computation on another machine."""
    rtol = 0.0 if b.dtype.kind != "f" else float(np.sqrt(np.finfo(b.dtype).eps))
    return a.shape == b.shape and np.allclose(a, b, rtol=rtol, atol=0, equal_nan=True)


def checkpoint_at(checkpoint: Any) -> Path | None:
    """The path of a checkpoint, in a folder that is there."""
    if checkpoint is None:
        return None
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, (str, os.PathLike)) or not str(checkpoint):
        raise TypeError(f"checkpoint is {checkpoint!r}; it must be the path of a file, such as 'fit.npz', or None. Give one of these.")
    path = Path(checkpoint)
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"is in {path.parent}, which is no folder"
        raise ValueError(f"the checkpoint {path} {what}; it must be a file. Give another path, or make the folder.")
    return path


def told(box: Box, log: Log, dtype: Any) -> pd.DataFrame:
    """The history: one row for each start and step."""
    n_steps, n = len(log.loss), len(log.loss[0])
    values = np.asarray(box.natural(jnp.asarray(np.array(log.x), dtype))).reshape(n_steps * n, -1)
    index = pd.MultiIndex.from_product([range(n_steps), range(n)], names=["step", "start"])
    table = pd.DataFrame({"loss": np.ravel(log.loss), "gradient": np.ravel(log.slope)}, index=index)
    return pd.concat([table, pd.DataFrame(values, index=index, columns=list(box.names))], axis=1)


def reason_to_stop(log: Log, goal: float | None, patience: int | None) -> str | None:
    """Whether the goal is reached, or the best loss has not fallen by 0.1% for `patience` steps."""
    best = np.fmin.accumulate([np.nanmin(x) if np.isfinite(x).any() else np.inf for x in log.loss])
    if goal is not None and best[-1] <= goal:
        return "goal"
    still = patience is not None and len(best) > patience and best[-1] > (1 - LEAST_FALL) * best[-1 - patience]
    return "patience" if still else None


LEAST_FALL = 1e-3  # of the best loss, relative


def fit(
    model: Any, loss: Loss, parameters: Sequence[str], *, optimizer: Any = None, bounds: Mapping[str, tuple[float, float]] | None = None,
    clip: float | None = 1.0, width: float | None = None, starts: Any = 1, steps: int = 100, patience: int | None = 20, goal: float | None = None, seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None, progress: bool = True,
) -> Fit:  # fmt: skip
    """Minimize a loss over some parameters of a model.

    loss: a function of `Params` to a scalar, such as those above. parameters: names, see `parameters`. optimizer: of
    optax, on coordinates that run from 0 to 1 between the bounds (natural units; a factor of 4 both ways by
    default). clip: largest norm of the gradient, None for none. width: half of the range over which the derivative is averaged,
    {eq}`eq-trend`, as a share of the box; None for the derivative itself. starts: how many, or their values. patience:
    steps without progress. goal: a loss that is good enough. checkpoint: a file; a fit that finds it goes on from there.
    Raises ValueError or TypeError before compiling for unknown names, impossible bounds and losses that are not scalar, and
    ValueError if no start has a finite loss.
    """
    checks.optimizer(optimizer)
    checks.function("loss", loss, "trace_mismatch(model, recording)")
    clip, goal = None if clip is None else checks.positive("clip", clip, "1"), None if goal is None else checks.number("goal", goal, "its unit")
    progress = checks.truth("progress", progress)
    chosen, space = optimizer or default_optimizer(), box(model, parameters, bounds)
    steps, patience = checks.count("steps", steps), None if patience is None else checks.count("patience", patience)
    width, file = None if width is None else checks.fraction("width", width), checkpoint_at(checkpoint)
    found = stored(file)

    def at_point(x: Array) -> Array:
        return loss(with_values(model.params, dict(zip(space.names, space.natural(x), strict=True))))

    objective = at_point if width is None else with_trend(at_point, width)

    with precision(model.dtype):
        x = jnp.asarray(starts_of(space, model, starts, seed), model.dtype)
        checks.scalar_loss(lambda: jax.eval_shape(objective, jax.ShapeDtypeStruct(x.shape[1:], x.dtype)))
        search = Search(x, jax.vmap(chosen.init)(x), jnp.ones(len(x), bool))
        advance, log, keep = stepper(objective, chosen, clip), Log([], [], []), lambda *_: None
        if file is not None:
            about = json.dumps([space.names, space.low.tolist(), space.high.tolist(), seed, clip, width, other_numbers(model, space.names)])
            keep, search, log = taken_up(file, found, about, advance, search)
        stopped = search_on(advance, search, log, steps, patience, goal, keep, progress)
        history = told(space, log, model.dtype)
    return concluded(model, space, history, stopped)


def default_optimizer() -> Any:
    """Adam with a step of 0.03 of the box."""
    return checks.package("optax", "fit", "fit").adam(0.03)


def search_on(
    advance: Callable[[Search], tuple[Search, Array, Array]], search: Search, log: Log, steps: int, patience: int | None,
    goal: float | None, keep: Callable[[Search, Log], None], progress: bool,
) -> str:  # fmt: skip
    """Step until a reason to stop, filling the log and keeping it after each step; returns the reason."""
    from tqdm import tqdm

    with tqdm(total=steps, initial=len(log.loss), disable=not progress, desc="fit", unit="step") as bar:
        while len(log.loss) < steps:
            following, value, slope = advance(search)
            for kept, new in zip(log, (search.x, value, slope), strict=True):
                kept.append(np.asarray(new))
            if not log.loss[1:]:
                checks.finite_start(log.loss[0])
            search = following
            keep(search, log)
            bar.set_postfix(loss=f"{np.nanmin(log.loss[-1]):.4g}", refresh=False)
            bar.update()
            if why := reason_to_stop(log, goal, patience):
                return why
    return "steps"


def concluded(model: Any, box: Box, history: pd.DataFrame, stopped: str) -> Fit:
    """The best of all starts and steps."""
    names = list(box.names)
    best = history.iloc[int(np.nanargmin(history["loss"]))]
    broken = ~np.isfinite(history["loss"]) | ~np.isfinite(history["gradient"])
    failed = history[broken].groupby("start").head(1).reset_index("step")[["step", *names]]
    values = best[names].rename("value")
    return Fit(model_with(model, dict(zip(names, values, strict=True))), values, float(best["loss"]), history, failed, stopped)


def model_with(model: Any, values: Mapping[str, float]) -> Any:
    """A copy of a model with other conductances."""
    check_model(model)
    other = copy.copy(model)
    with precision():
        params = with_values(model.params, values)
    other.params = params.replace(**{x: np.asarray(getattr(params, x), float) for x in CONDUCTANCES})
    other.circuit = other.params.circuit
    return other


# %% [markdown]
# ### Conductances of a cell from its voltage
#
# Three conductances of an isolated pacemaker, half again too large or half too small, are found from 0.8 s of its
# potential by the prediction error.

# %% tags=["active-ipynb"]
# import optax
#
# names = ["AB/PD 2 Na", "AB/PD 2 CaS", "AB/PD 2 Kd"]
# true = np.array([parameters(cell)[n] for n in names])
# wrong = model_with(cell, dict(zip(names, true * [1.5, 0.5, 1.5], strict=True)))
# loss = prediction_error(wrong, truth[:800], state=cell.get_thermalization())
# found = fit(wrong, loss, names, optimizer=optax.adam(optax.cosine_decay_schedule(0.1, 40)), steps=40, patience=None, progress=False)
# assert np.allclose(found.values, true, rtol=0.02)
# pd.DataFrame({"true": true, "start": [parameters(wrong)[n] for n in names], "found": found.values}).round(2)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Each conductance relative to its true value, along the fit.", "name": "fig-recovery"}}
# path = found.history.xs(0, level="start")
# curves = [hv.Curve((path.index, path[n] / x), "step", "value / true value", label=n.split()[-1]) for n, x in zip(names, true, strict=True)]
# hv.Overlay(curves).opts(width=560, height=240, toolbar=None, legend_position="right")

# %% [markdown]
# ### A tonic cell becomes a burster
#
# With 2 mS/cm² of KCa in place of 5, AB/PD 2 fires tonically. We want bursts every 1.2 s with a duty cycle of a quarter. There is no
# period to begin with, so the first fit only has to find bursts, and follows the derivative of the longest silence. The second one follows the
# trend {eq}`eq-trend`, through bursts with more spikes and with fewer.

# %% tags=["active-ipynb"]
# from .rhythm import summary
#
# tonic, t = model_with(cell, {"AB/PD 2 KCa": 2}), np.arange(2000, 6000, SAMPLING)
# names, wanted = [f"AB/PD 2 {x}" for x in ("KCa", "A", "CaS", "H")], dict(period=1200, duty_cycle=0.25)
# mismatch = rhythm_mismatch(tonic, t, **wanted)
# bursting = fit(tonic, mismatch, names, steps=20, goal=1.0, progress=False)
# burster = fit(bursting.model, mismatch, names, optimizer=optax.adam(0.01), width=0.02, steps=60, patience=None, goal=1e-3, progress=False)
# rows = {"tonic": tonic, "first fit": bursting.model, "second fit": burster.model}
# found = pd.concat({name: summary(x(np.arange(2000, 12000, 0.25))).iloc[0] for name, x in rows.items()}, axis=1).T
# assert found.activity.tolist() == ["tonic", "bursting", "bursting"]
# assert abs(found["period (ms)"].iloc[-1] / 1200 - 1) < 0.05 and abs(found["duty cycle"].iloc[-1] / 0.25 - 1) < 0.05
# found[["activity", "period (ms)", "duty cycle", "spikes per burst"]]

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The tonic cell, and the burster that it became.", "name": "fig-burster"}}
# (tonic(np.arange(0, 4000, 0.5)).plot() + burster.model(np.arange(0, 4000, 0.5)).plot()).opts(toolbar=None).cols(1)

# %% [markdown]
# ### A circuit becomes pyloric
#
# Circuit 5,356,279 of the database has a triphasic rhythm that fails five of the fifteen criteria. Its seven synapses and four conductances of LP
# and PY may change.

# %% tags=["active-ipynb"]
# from .database import circuit
# from .rhythm import is_pyloric, report
#
# almost = circuit(5_356_279)
# names = [n for n in conductance_names(almost) if "-" in n] + ["PY A", "PY Kd", "LP A", "LP Kd"]
# criteria = criteria_mismatch(almost, np.arange(2000, 7000, SAMPLING), margin=0.5)
# pyloric = fit(almost, criteria, names, optimizer=optax.adam(0.02), width=0.03, steps=40, patience=None, goal=0.006, progress=False)
# before, after = (report(x(np.arange(3000, 13000, 0.25))) for x in (almost, pyloric.model))
# assert not before["passes"].all() and after["passes"].all() and is_pyloric(pyloric.model(np.arange(3000, 13000, 0.25)))
# pd.concat({"before": before[["value", "passes"]], "after": after[["value", "passes"]]}, axis=1).round(3)

# %% tags=["active-ipynb"]
# pd.DataFrame({"before": [parameters(almost)[n] for n in names], "after": pyloric.values}).round(2)

# %% [markdown]
# ## What to beware of
#
# A derivative is exact for the scheme that is run, and the scheme may be rougher than the equations. A tonic AB/PD 1 cell with 9
# mS/cm² of CaS shows it: with steps of 0.05 ms the derivative of its potential grows along with time, as it must where the
# period depends on a parameter, to $10^5$ mV per mS/cm² within 3.6 s. With steps of 0.1 ms the
# intervals between its spikes jitter by 0.2 ms without end, which is a faint chaos of the scheme, and the derivative passes $10^{60}$.
# Features and losses through such a run have no useful derivatives. So take 0.05 ms or less for derivatives, even where 0.1 ms
# would do for the rhythm.
