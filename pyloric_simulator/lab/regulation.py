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
# Channels live for days, cells for years: a cell rebuilds all of its conductances, again and again. Who
# tells it how many it needs? There is no list to look them up. A cell can only sense what its channels *do*.
# In this chapter it senses its calcium, which rises with activity, and makes channels as long as there is
# too little of it.
#
# Below, three cells start with few channels, a random share below one half of those of the
# {term}`pacemaker` AB/PD 2, and regulate themselves toward its mean calcium of 116 µM. All three become
# bursters, with different densities: {term}`degeneracy` that grows by itself.

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
# from ..rhythm import bursts, spikes
# from .regulation import regulate
#
# pacemaker = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
# run = pacemaker(np.arange(0, 20000, 0.5))
# cycles = bursts(spikes(run.t, run.states.V[:, 0]))[:, 0]
# target = float(run.states.Ca[(run.t >= cycles[1]) & (run.t < cycles[-1])].mean())
# few = [np.random.default_rng(seed).uniform(0, 0.5, 8) for seed in range(3)]
# grown = [regulate(pacemaker, target, start=share) for share in few]

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Sodium and calcium conductance, mean calcium in µM, and the last two seconds, of three cells.", "name": "fig-regulation"}}
# tables = [g.history["AB/PD 2"] for g in grown]
# shown = {"Na": "Na (mS/cm²)", "CaS": "CaS (mS/cm²)", "Ca": "calcium (µM)"}
# panels = [hv.Overlay([hv.Curve((x.index, x[c]), "time (s)", label) for x in tables]) for c, label in shown.items()]
# ends = [g.model(np.arange(0, 8000, 0.5), state=g.state) for g in grown]
# assert all(len(bursts(spikes(r.t, r.states.V[:, 0]))) > 3 for r in ends)
# panels += [hv.Curve((r[6000:].t, r[6000:].states.V[:, 0]), "time (ms)", "V (mV)") for r in ends]
# hv.Layout(panels).opts(hv.opts.Curve(width=225, height=180)).cols(3)

# %% [markdown]
# Calcium overshoots where conductances run ahead of it, and then settles near the target; it does not stand
# still, since every block of time has another share of a {term}`burst` in it. The three cells end with
# periods of 1.29, 1.26 and 1.89 s. The first has 129 mS/cm² of sodium, the third 79. The target says how
# active a cell shall be on average, not how.
#
# ## What it does
#
# `regulate(model, target)` lets the densities of a model's channels grow toward a mean calcium
# concentration in µM, in every cell of a circuit or network by itself. It returns three things: `history`,
# a table with the densities in mS/cm² and the mean calcium of each block of time; `model`, the model with
# the densities at the end; and `state`, from which that can go on. `start` says with which share of the
# model's densities a cell begins, 0 by default: a cell without any gated channels.
#
# The model that is given is the *recipe*. Its densities say in which proportion channels are made, not how
# many. One does not get a new kind of cell out of it, but finds whether a kind of cell is reached from far
# away, whether it comes back after a disturbance, and what happens when a channel is missing. Leaks and
# synapses are not regulated, and a cell needs a {term}`calcium pool`, for there is nothing else that it
# senses.
#
# A minute of the cell takes a few seconds of computation. Cells take days for it; all that matters is that
# regulation is much slower than the rhythm.

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
# all channels: messenger $m_i$ of a channel integrates the distance to a target, and the density $g_i$
# follows it,
#
# $$
# τ_i \frac{dm_i}{dt} = [Ca]_\mathrm{target} - [Ca], \qquad τ_g \frac{dg_i}{dt} = m_i - g_i.
# $$ (eq-regulation)
#
# The first equation is an *integral controller*, as in a thermostat that goes on turning the valve as long
# as the room is too cold. It comes to rest only at the target, whatever the cell is made of. The second
# stands for the time that it takes to make a channel from its messenger RNA and put it in place.
#
# The time constants $τ_i$ say in which proportion the conductances grow. Here they are
# $τ_m\, [Ca]_\mathrm{target}/\bar g_i$, with the densities $\bar g_i$ of a model that is known to burst: a
# silent cell, with next to no calcium, would grow all of these within $τ_m$. With them the first equation
# becomes
#
# $$
# \frac{d}{dt} \frac{m_i}{\bar g_i} = \frac{1}{τ_m} \left(1 - \frac{[Ca]}{[Ca]_\mathrm{target}}\right),
# $$ (eq-regulation-common)
#
# and its right-hand side is the same for all channels of a cell. Relative to the recipe all messengers rise
# and fall together. This is why the three cells above keep their differences: what they began with is never
# forgotten, it is only carried along. It is also the reason for correlations between conductances that
# {cite:t}`OLeary2014` set out to explain: two kinds of channels that follow the same signal are
# proportional to each other from cell to cell.
#
# Regulation is slower than the rhythm by orders of magnitude, so a *block* of the fast equations runs with
# fixed densities, and its mean calcium drives {eq}`eq-regulation` over the block. Leaks and synapses are
# not regulated. With $τ_m$ = 20 s and $τ_g$ = 5 s regulation is done in a minute, which saves computation.
# A block of 1.5 s is about one period of the pacemaker. A messenger moves by at most 1.5/20 of its recipe
# within it, that is 7.5% while there is no calcium; a block as long as $τ_m$ would make the controller
# overshoot, and is refused.


# %%
class Regulated(NamedTuple):
    """What a regulation went through."""

    # index: time in s; columns (population, channel) in mS/cm², and (population, "Ca") in µM, the mean of the block
    history: pd.DataFrame
    model: Any  # with the densities at the end; a cell as a network of one
    state: State  # at the end


TAU_M, TAU_G = 20000.0, 5000.0  # ms


class Controller(NamedTuple):
    """The state of a regulation."""

    y: State
    m: Array  # (population, channel) mS/cm²
    g: Array  # same


# %% [markdown]
# One step of regulation is a block. The fast equations run for its time and are recorded every millisecond,
# of which the mean calcium is taken, over time and over the cells of a population, since these share their
# densities. Then the messenger moves by what {eq}`eq-regulation` says for that mean, but not below zero,
# and the density follows it by the exact solution of its linear equation for a constant messenger,
#
# $$
# g_i \leftarrow m_i + (g_i - m_i)\, e^{-t/τ_g}.
# $$ (eq-regulation-step)
#
# Channels that are not regulated have the rate 0 and keep their densities. The whole is a pure function, so
# that JAX can compile a chain of blocks as one loop, and differentiate it.


# %%
def population_mean(circuit: Circuit, Ca: Array) -> Array:
    """Mean over time and the cells of each population, (population,); Ca: (time, cell)."""
    sizes = np.array([p.size for p in circuit.populations], Ca.dtype)
    return jax.ops.segment_sum(Ca.mean(0), circuit.rows, len(sizes)) / sizes


def controlled(
    params: Params, now: Controller, rate: Array, target: Any, τ_g: Any, t: np.ndarray, dt: float
) -> tuple[Controller, Any]:
    """The controller after a block of the fast equations at the times t (ms), and its densities and mean calcium (µM).

    Pure.
    """
    ys = simulate(params.replace(g=now.g), now.y, t, dt=dt)
    Ca = population_mean(params.circuit, ys.Ca)
    m = jnp.maximum(now.m + t[-1] * rate * (target - Ca)[:, None], 0.0)
    g = jnp.where(rate > 0, m + (now.g - m) * jnp.exp(-t[-1] / τ_g), now.g)
    return Controller(jax.tree.map(lambda x: x[-1], ys), m, g), (g, Ca)


# %% [markdown]
# ## What is refused
#
# Times must fit: a block is a whole number of steps, the duration a whole number of blocks. A target of
# 0.0001, meant in M, would be taken for that many µM; the size of the number raises a doubt. A membrane
# without a pool cannot be regulated at all. Where a channel of the recipe has the density 0 its rate is 0,
# and it never comes: the cell does not have the gene, as it were.


# %%
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
            f"start is {start!r}; it must be a number that is not negative, or one for each of the {widths[0]} "
            "channels. Give one of these."
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
                f"the cell {p.label!r} has no pool of calcium, which regulation follows; say "
                "calcium=Prinz2003.calcium, or another."
            )
    checks.doubt("target", target, CALCIUM_INSIDE)


# %% [markdown]
# The history is a table with two levels of columns, population and channel, and calcium beside them, with
# the time at the end of each block in seconds.


# %%
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
# ## A regulation
#
# Here it is put together. `lax.scan` runs the blocks one after another within one compiled program and
# collects densities and calcium. What comes out at the end is a model of the same kind as the one that went
# in.


# %%
def regulate(
    model: Any, target: float, *, duration: float = 60000.0, start: Any = 0.0, τ_m: float = TAU_M, τ_g: float = TAU_G,
    block: float = 1500.0, state: Any = None, dt: float = DEFAULT_DT,
) -> Regulated:  # fmt: skip
    """Let the densities of a model's channels regulate themselves toward a mean calcium concentration (µM).

    duration, block, τ_m, τ_g: ms; a block is a whole number of steps, and the duration one of blocks. start:
    densities relative to those of the model, a number for all, or one for each channel. Raises ValueError or
    TypeError on bad input, and warns (UserWarning) of units that look mistaken.
    """
    model, dt = model_of(model), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    target = checks.positive("target", target, "µM")
    τ_m, τ_g = checks.positive("τ_m", τ_m, "ms"), checks.positive("τ_g", τ_g, "ms")
    whole("block", milliseconds("block", block), dt, "steps of dt")
    n = whole("duration", milliseconds("duration", duration), block, "blocks")
    if τ_m < block:
        raise ValueError(
            f"τ_m is {τ_m:g} ms, shorter than a block of {block:g} ms; it must be longer. If it is in s, multiply it "
            "by 1000."
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


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-common-signal
# The three cells at the top began with different shares of the recipe. By {eq}`eq-regulation-common` all
# channels of a cell grow by the same share. Test it: take the shares at the end, subtract those of the
# start, and compare the channels of each cell.
# ```
#
# ```{solution-start} ex-common-signal
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# recipe = np.asarray(pacemaker.params.g)[0]
# gated = recipe > 0  # all but the leak, of which this cell has none
# gained = [np.asarray(g.model.params.g)[0][gated] / recipe[gated] - share[gated] for g, share in zip(grown, few)]
# assert all(np.ptp(x) < 1e-6 for x in gained)
# [x[0] for x in gained]

# %% [markdown]
# To the last digits all seven channels of a cell gained the same share of their recipe. The cells differ
# because they started differently. A controller with one signal can find the right activity; it cannot find
# a *particular* set of conductances.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-less-target
# Halve the target, and take a tenth of it. Which densities does a cell grow from nothing, and does it still
# burst?
# ```
#
# ```{solution-start} ex-less-target
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def outcome(result, name="AB/PD 2"):
#     """Share of the recipe in sodium, bursts and spikes within eight seconds, and calcium (µM) at the end."""
#     after = result.model(np.arange(0, 8000, 0.5), state=result.state)
#     times = spikes(after.t, after.states.V[:, 0])
#     calcium = float(result.history[name, "Ca"].iloc[-10:].mean())
#     return float(result.history[name, "Na"].iloc[-1] / 100), len(bursts(times)), len(times), calcium
#
#
# less = {share: outcome(regulate(pacemaker, share * target)) for share in (1.0, 0.5, 0.1)}
# assert less[1.0][1] > 3 and less[0.5][1] > 3 and less[0.1][1] == 0
# less

# %% [markdown]
# With half of the target the cell grows 56% of each density and bursts all the same, every 1.6 s. With a
# tenth it grows 28%, which suffices for 15 single spikes in eight seconds, and these already bring in the
# calcium that is asked for. Calcium is a measure of how much a cell does, not of what.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-knockout
# Take away a channel for good: KCa in one cell, CaS in another. Predict for each whether regulation reaches
# its target, and whether the cell bursts in the end.
# ```
#
# ```{solution-start} ex-knockout
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# names = [c.name for c in pacemaker.circuit.channels]
# without = lambda name: pacemaker.like(pacemaker.params.replace(g=np.where(np.array(names) == name, 0.0, [recipe])))
# knocked_out = {name: outcome(regulate(without(name), target, start=1.0)) for name in ("KCa", "CaS")}
# assert abs(knocked_out["KCa"][3] / target - 1) < 0.1 and knocked_out["KCa"][1] < 3
# assert knocked_out["CaS"][0] > 3 and knocked_out["CaS"][3] < 1
# knocked_out

# %% [markdown]
# Without KCa the target is reached, and with fewer channels of all kinds, 58% of the recipe. But nothing
# ends a burst any more: the cell fires 321 spikes in a row. Without CaS the cell is silent, and regulation
# makes more and more of everything, nearly four times the recipe after a minute and no end in sight. Most
# of these are potassium channels, which hold it down. {cite:t}`OLeary2014` call this *pathological
# compensation*: what keeps a healthy cell in order does harm to one that lacks a part.
# ```{solution-end}
# ```
