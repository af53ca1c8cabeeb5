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
# # Regulation
#
# Channels live for days, cells for years: a cell rebuilds all of its conductances, again and again. Which would a circuit, cell or network grow by
# itself? In this chapter calcium decides.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"]
# import numpy as np
#
# from ..prinz2004 import Prinz2004
# from .regulation import regulate
# from ..rhythm import bursts, spikes
#
# pacemaker = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)

# %%
from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..engine import checks
from ..engine.scale import CALCIUM_INSIDE
from ..models.networks import model_of, start_of
from ..prinz2004 import (
    DEFAULT_DT,
    DEFAULT_SOLVER,
    MS_PER_S,
    Circuit,
    Model,
    Params,
    State,
    precision,
    simulate,
)
from .protocols import EDGE, milliseconds

__all__ = ["TAU_G", "TAU_M", "Regulated", "regulate"]

# %% [markdown]
# ## Activity-dependent regulation
#
# {cite:t}`OLeary2014` let the calcium concentration, as a measure of activity, control the expression of
# all channels: messenger $m_i$ of a channel integrates the distance to a target, and the density $g_i$ follows it,
#
# $$
# τ_i \frac{dm_i}{dt} = [Ca]_\mathrm{target} - [Ca], \qquad τ_g \frac{dg_i}{dt} = m_i - g_i.
# $$ (eq-regulation)
#
# The time constants $τ_i$ say in which proportion the conductances grow. Here they are $τ_m\, [Ca]_\mathrm{target}/\bar g_i$, with the densities $\bar g_i$ of
# a model that is known to burst: a silent cell would grow all of these within $τ_m$. Regulation is slower than the rhythm by orders of magnitude, so a *block* of the fast equations runs with fixed
# densities, and its mean calcium drives {eq}`eq-regulation` over the block. Leaks and synapses are not regulated. With
# $τ_m$ = 20 s and $τ_g$ = 5 s regulation is done in a minute, which saves computation. Cells take days.


# %%
class Regulated(NamedTuple):
    """What a regulation went through."""

    history: (
        pd.DataFrame
    )  # index: time in s; columns (population, channel) in mS/cm², and (population, "Ca") in µM, the mean of the block
    model: Any  # with the densities at the end; a cell as a network of one
    state: State  # at the end


TAU_M, TAU_G = 20000.0, 5000.0  # ms


class Controller(NamedTuple):
    """The state of a regulation."""

    y: State
    m: Array  # (population, channel) mS/cm²
    g: Array  # same


def population_mean(circuit: Circuit, Ca: Array) -> Array:
    """Mean over time and the cells of each population, (population,); Ca: (time, cell)."""
    sizes = np.array([p.size for p in circuit.populations], Ca.dtype)
    return jax.ops.segment_sum(Ca.mean(0), circuit.rows, len(sizes)) / sizes


def controlled(
    params: Params, now: Controller, rate: Array, target: Any, τ_g: Any, t: np.ndarray, dt: float
) -> tuple[Controller, Any]:
    """The controller after a block of the fast equations at the times t (ms); and densities and mean calcium (µM) of it. Pure."""
    ys = simulate(params.replace(g=now.g), now.y, t, dt=dt)
    Ca = population_mean(params.circuit, ys.Ca)
    m = jnp.maximum(now.m + t[-1] * rate * (target - Ca)[:, None], 0.0)
    g = jnp.where(rate > 0, m + (now.g - m) * jnp.exp(-t[-1] / τ_g), now.g)
    return Controller(jax.tree.map(lambda x: x[-1], ys), m, g), (g, Ca)


def regulate(
    model: Any, target: float, *, duration: float = 60000.0, start: Any = 0.0, τ_m: float = TAU_M, τ_g: float = TAU_G,
    block: float = 1500.0, state: Any = None, dt: float = DEFAULT_DT,
) -> Regulated:  # fmt: skip
    """Let the densities of a model's channels regulate themselves toward a mean calcium concentration (µM).

    duration, block, τ_m, τ_g: ms; a block is a whole number of steps, and the duration one of blocks. start: densities relative to those of
    the model, a number for all, or one for each channel. Raises ValueError or TypeError on bad input, and warns (UserWarning) of
    units that look mistaken.
    """
    model, dt = model_of(model), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    target = checks.positive("target", target, "µM")
    τ_m, τ_g = checks.positive("τ_m", τ_m, "ms"), checks.positive("τ_g", τ_g, "ms")
    whole("block", milliseconds("block", block), dt, "steps of dt")
    n = whole("duration", milliseconds("duration", duration), block, "blocks")
    if τ_m < block:
        raise ValueError(
            f"τ_m is {τ_m:g} ms, shorter than a block of {block:g} ms; it must be longer. If it is in s, multiply it by 1000."
        )
    t = np.linspace(0, block, max(round(block), 1) + 1)
    old, gated = np.asarray(model.params.g, float), gated_channels(model.circuit)
    share = shares(start, model.circuit)
    can_be_regulated(model.circuit, target)
    with precision(model.dtype):
        g = jnp.asarray(np.where(gated, old * share, old))
        rate = jnp.asarray(old * gated / (τ_m * target))
        first = Controller(jax.tree.map(jnp.asarray, start_of(model, state)), g, g)
        step = lambda now, _: controlled(model.params, now, rate, target, τ_g, t, dt)  # noqa: E731
        end, (gs, Ca) = jax.jit(lambda first: lax.scan(step, first, None, length=n))(first)
    grown = model.like(model.params.replace(g=np.asarray(end.g, float)))
    return Regulated(
        regulation_history(grown, np.asarray(gs), np.asarray(Ca), block), grown, type(end.y)(*map(np.asarray, end.y))
    )


def whole(what: str, time: float, unit: float, name: str) -> int:
    """How many times a unit (ms) is contained in a time (ms), a whole number."""
    n = round(time / unit)
    if n < 1 or abs(time - n * unit) > EDGE * unit:
        raise ValueError(
            f"{what} is {time:g} ms; it must be a whole number of {name} of {unit:g} ms. Take {max(n, 1) * unit:g}."
        )
    return n


def shares(start: Any, circuit: Circuit) -> np.ndarray:
    """Densities relative to those of a model, a number or one for each channel."""
    x, widths = checks.finite("start", start), [len(m.channels) for m in circuit.membranes]
    if (x.ndim and any(x.shape != (n,) for n in widths)) or (x < 0).any():
        raise ValueError(
            f"start is {start!r}; it must be a number that is not negative, or one for each of the {widths[0]} channels. Give one of these."
        )
    return x


def gated_channels(circuit: Circuit) -> np.ndarray:
    """Which channels of each population have gates, (population, channel)."""
    membranes = [circuit.membranes[p.membrane] for p in circuit.populations]
    width = max(len(m.channels) for m in membranes)
    return np.array(
        [[k < len(m.channels) and bool(m.channels[k].m or m.channels[k].h) for k in range(width)] for m in membranes]
    )


def can_be_regulated(circuit: Circuit, target: float) -> None:
    """Cells with a pool of calcium, and a target that it may have."""
    for p in circuit.populations:
        if not circuit.membranes[p.membrane].pool:
            raise ValueError(
                f"the cell {p.label!r} has no pool of calcium, which regulation follows; say calcium=Prinz2003.calcium, or another."
            )
    checks.doubt("target", target, CALCIUM_INSIDE)


def regulation_history(model: Model, g: np.ndarray, Ca: np.ndarray, block: float) -> pd.DataFrame:
    """Densities (block, population, channel) and calcium (block, population) as a table."""
    columns = dict[tuple[str, str], np.ndarray]()
    for i, p in enumerate(model.circuit.populations):
        columns |= {(p.label, c.name): g[:, i, k] for k, c in enumerate(model.circuit.membranes[p.membrane].channels)}
        columns[p.label, "Ca"] = Ca[:, i]
    index = pd.Index(block / MS_PER_S * np.arange(1, len(g) + 1), name="time")
    names = pd.MultiIndex.from_tuples(columns, names=["pop", "channel"])
    return pd.DataFrame(np.column_stack(list(columns.values())), index, names)


# %% [markdown]
# The pacemaker AB/PD 2 has 116 µM of calcium, on average over whole cycles. Three cells with this target, started with random densities below
# half of its own, become bursters with different densities.

# %% tags=["active-ipynb"]
# run = pacemaker(np.arange(0, 20000, 0.5))
# cycles = bursts(spikes(run.t, run.states.V[:, 0]))[:, 0]
# target = float(run.states.Ca[(run.t >= cycles[1]) & (run.t < cycles[-1])].mean())
# grown = [regulate(pacemaker, target, start=np.random.default_rng(seed).uniform(0, 0.5, 8)) for seed in range(3)]

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Sodium and calcium conductance, mean calcium in µM, and the last two seconds, of three cells.", "name": "fig-regulation"}}
# tables = [g.history["AB/PD 2"] for g in grown]
# panels = [hv.Overlay([hv.Curve((x.index, x[c]), "time (s)", label) for x in tables])
#           for c, label in (("Na", "Na (mS/cm²)"), ("CaS", "CaS (mS/cm²)"), ("Ca", "calcium (µM)"))]
# ends = [g.model(np.arange(0, 8000, 0.5), state=g.state) for g in grown]
# assert all(len(bursts(spikes(r.t, r.states.V[:, 0]))) > 3 for r in ends)
# panels += [hv.Curve((r[6000:].t, r[6000:].states.V[:, 0]), "time (ms)", "V (mV)") for r in ends]
# hv.Layout(panels).opts(hv.opts.Curve(width=225, height=180)).cols(3)
