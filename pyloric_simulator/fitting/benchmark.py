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
# # The benchmark of inference
#
# Methods that infer the parameters of a simulator are compared on this circuit: {cite:t}`Goncalves2020` and
# {cite:t}`Deistler2022` draw its 31 parameters from a prior, run it for eleven seconds with noise, and ask
# which parameters go with eighteen numbers of a rhythm. Does our circuit do there what theirs does? A setting
# has a name, and one line runs it:

# %% tags=["active-ipynb"]
# import numpy as np
# import pandas as pd
#
# from .inference import STATISTICS, prior, setting, simulator, statistics
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
#
# theirs = setting("deistler2022")
# theta = prior("mS").sample(2, seed=1)  # mS/cm², and ln(mS) of the synapses, as they write it
# short = theirs._replace(duration=1500.0, transient=500.0)
# found = simulator(theta, seed=1, setting=short, units="mS")
# assert found.shape == (2, 18)
# np.isfinite(found).all(axis=1)  # whether all eighteen are defined

# %% [markdown]
# Neither of the two draws has a rhythm, and that is what one expects: all eighteen numbers are defined in one
# of a hundred draws. The same numbers of a circuit that has one, that of Fig. 3e, are
# taken from its potentials:

# %% tags=["active-ipynb"]
# paper = Prinz2004.from_toml(find_circuit("paper"))
# of_paper = statistics(paper(np.arange(2000, 10000, 0.05)))
# assert of_paper.notna().all() and 1700 < of_paper["cycle_period"] < 1900
# of_paper.round(3)

# %% [markdown]
# ## What it does and what it costs
#
# `setting("deistler2022")` is a `Setting`, an immutable tuple with a field for each choice; `_replace` makes
# a variant, with the staggered scheme and a step of 0.05 ms for instance. `simulator(theta, seed,
# setting=...)` returns `STATISTICS`, and with `energy=True` in the setting also `ENERGIES`. `statistics` takes
# the eighteen from a result or a recording.
#
# Their statistics are not our fifteen features with three more. Spikes, bursts and cycles are read a little
# differently, and one of the delays is another:
#
# | | `features`, of the chapter [on rhythm](../rhythm.py) | `statistics`, as Deistler et al. |
# |---|---|---|
# | a spike | maximum above −10 mV | the same; they smooth the potential over 0.5 ms first, here maxima closer than 1 ms to the last spike are left out |
# | a burst ends | by a silence of more than 150 ms | by a silence of 150 ms or more |
# | shortest burst | more than 40 ms | the same |
# | bursts at the edges | left out if they may be cut | counted as they are |
# | triphasic | one burst of LP and PY in every cycle | in 90% of the cycles, and the others are left out |
# | duty cycles, phases, phase gaps | mean over cycles of the quotients | quotient of the means |
# | second delay | from the start of PD to that of PY | from the start of LP to that of PY |
# | plateau | one number of a trace | of each burst the longest time above −30 mV; their mean, and 2.5 ms if it is below 5 ms |
#
# How much do the differences matter? On the potentials of twelve draws, computed with the code of Deistler et al. and
# read by both, the eighteen numbers agreed to a thousandth, and all twelve verdicts on whether all are
# defined were the same. So smoothing and the refractory time come to the same.
#
# A plateau is looked for from the first spike of a burst to that of the next one, or to the last spike of
# all, and one that is not over by then does not count. Their code looks at every tenth sample, so that its
# plateaus are multiples of 0.25 ms; here each sample counts.
#
# The eighteen statistics cost no more than the features of the same run, and energy one percent; noise costs half as
# much again (`benchmarks/README.md`). A draw of eleven seconds at 0.025 ms takes 1.65 times as long as a
# row of the [database](../database.py), thirteen seconds at the same step: some forty milliseconds of a core.
#
# ## What is to be repeated
#
# Numbers that others have published with a simulator of their own are the best test of this one. Three can be
# asked for with draws from the prior alone:
#
# | number | published | source |
# |---|---|---|
# | draws of which all eighteen statistics are defined | 29,193 of 3,000,000, 0.9731% | {cite:t}`Deistler2022` |
# | share of the synapses in the energy of circuits that match the recording of a crab | 0.0782%, mean of 200 | the same |
# | mean period of the draws with all statistics | 1595.7 ms | a benchmark that uses the same simulator, npe-pfn |
# | mean durations of bursts of PD, LP and PY | 409.3, 435.0 and 367.9 ms | the same |
# | mean duty cycles of PD, LP and PY | 0.230, 0.277 and 0.245 | the same |
#
# How many draws does it take? Of $n$ draws $0.0097\,n$ are valid, give or take the square root of that: 292 ± 17
# of 30,000, and 973 ± 31 of 100,000. So 30,000 can tell 0.97% from 0.85%, and 100,000 from 0.91%. The
# valid ones vary in their periods by about as much as their mean, so that the mean of 292 of them is known to six
# percent or so.
#
# `tools/prior_sample.py` runs both samples, with their scheme and step and with the staggered scheme at 0.05 ms,
# in pieces of 1,024 that a run which was stopped goes on from. It writes the rows that are valid, the shares with
# their intervals, and the table below: what is published beside what was found, with intervals of 95%, and whether
# the published number lies within.

# %% tags=["active-ipynb", "hide-input"]
# from importlib.resources import files
#
# data = files("pyloric_simulator") / "data"
# shares = pd.read_csv(data / "prior_shares.csv")
# shares[["setting", "solver", "dt", "draws", "valid", "share", "low", "high"]].round(4)

# %% tags=["active-ipynb", "hide-input"]
# pd.read_csv(data / "prior_checks.csv").round(5)

# %% [markdown]
# The share of valid draws agrees with theirs, with both schemes and steps. So do all fifteen means with their
# scheme, and fourteen with ours: the mean period of 888 draws is 1.535 s, and its interval ends 11 ms below the
# published mean. An interval of 95% misses the truth once in twenty, of thirty means in one or two, and which
# mean is missed has changed as the samples grew; but the two schemes may differ a little, too. The sample with
# our scheme is not yet the 100,352 draws for which the script is set; it goes on from there, and the table is then
# made anew.
#
# The energy of synapses does not agree, and it is not the same question. Their 200 circuits match the
# recording of a crab; ours are valid draws, whose rhythm may be any, and their synapses use 0.11%. A part of
# the difference is plateaus. A cell on a plateau keeps the synapses from it open for as long, and nearly half
# of the valid draws have some. A circuit that matches must have none. Among the valid draws without a plateau
# the share is 0.09%, nearer to 0.078% and still above it. The rest is the crab's rhythm: of circuits that come
# near to it the [next chapter](../../book/posterior.md) has two hundred, and their synapses use 0.076%, as published.
#
# ## Mechanics
#
# What is asked for comes first, then how it is found while circuits run side by side, and then the same once
# more in NumPy, slow and obvious, by which the fast version is checked.

# %%
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..database import MODEL, conductances
from ..engine import checks
from ..engine.detection import GAP, MIN_BURST, REFRACTORY, SPIKE_THRESHOLD
from ..engine.layout import by_membrane, join
from ..ensembles import batches
from ..ensembles.batches import Tell, Work, silent
from ..ensembles.lanes import (
    LANES,
    OFFSET,
    compiled,
    conductances_in_lanes,
    padded,
    steps_of_block,
    ticks_for,
    to_lanes,
)
from ..files.recording import Window, as_recording

# %% [markdown]
# The equations are those of the first chapter, heat and warmth those of the laboratory, and the roles of cells those
# of the chapter on rhythm. Nothing of the model is written anew here.
# %%
from ..lab.energy import NJ, reversal, squared
from ..lab.temperature import Q10s, warm
from ..prinz2004 import (
    SCHEMES,
    Circuit,
    Flows,
    Params,
    Prepared,
    State,
    Working,
    chemical,
    cold_start,
    flows,
    opened,
    precision,
)
from ..rhythm import PLATEAU, ROLES, named_roles, roles

__all__ = ["ENERGIES", "STATISTICS", "Setting", "setting", "statistics"]

# %% [markdown]
# ### The eighteen numbers
#
# Their order is that of the columns in the code of Deistler et al.: durations, shares, phases, delays and
# gaps. The names are those of the fifteen features where these have them.


# %%
SHORTEST_PLATEAU, SPIKE_WIDTH = 5.0, 2.5  # ms: a mean below the first is that of spikes, and counts as the second
TRIPHASIC = 0.9  # of the cycles

STATISTICS = (
    "cycle_period", "burst_duration_PD", "burst_duration_LP", "burst_duration_PY", "duty_cycle_PD", "duty_cycle_LP",
    "duty_cycle_PY", "phase_LPstart", "phase_PYstart", "delay_PDstart_LPstart", "delay_LPstart_PYstart",
    "gap_PDend_LPstart", "gap_LPend_PYstart", "phase_gap_PD_LP", "phase_gap_LP_PY", "plateau_PD", "plateau_LP",
    "plateau_PY",
)  # fmt: skip
ENERGIES = tuple(f"{kind}_{role}" for kind in ("energy", "synaptic_energy") for role in ROLES)

# %% [markdown]
# ### A setting
#
# What a study decides beside the parameters is one tuple. Their noise is a normal number of 0.001 at each step of
# 0.025 ms, added to the currents as they are, in mS·mV = µA: a standard deviation of 1 nA. As white noise has a
# variance that grows with time, the same noise at any step is
#
# $$
# σ = 1\,\mathrm{nA} \cdot \sqrt{0.025\,\mathrm{ms}} = 0.158\,\mathrm{nA}\sqrt{\mathrm{ms}},
# \qquad I_k = \frac{σ}{\sqrt{dt}}\, ξ_k .
# $$ (eq-their-noise)
#
# The current $I_k$ acts on each cell during step $k$, with a number $ξ_k$ of its own for each cell, each step and
# each row; none of them depends on another.
#
# At 0.025 ms this is theirs; at 0.05 ms each number is smaller by $\sqrt 2$. In their code it is not rescaled,
# so that a smaller step would have weaker noise.
#
# Their temperature is in kelvin, and their kinetics hold at 283 K as they stand; ours do at 10 °C, which is taken
# to be the same. The temperature also stands in the Nernst potential of calcium: $RT/2F$ is 12.1936 mV at 283 K.
# Their cells have 0.6283 nF and 14.961 µM/nA. These differ from ours in the fourth digit, and are in the setting
# so that no difference is left to wonder about. One is left: their synapses move by forward Euler, and ours by
# the exponential, which differ by the square of $dt/τ_s$.
#
# Where do they start? At −50 mV, with 0.05 µM of calcium, and with *all* gates closed, those of inactivation too:
# their code first sets these to 1, as {cite:t}`Prinz2003` do, and then to 0. In the circuit of Fig. 3e that is
# the start from which LP wins and there is no rhythm, as the chapter on rhythm shows.


# %%
class Setting(NamedTuple):
    """How the circuits of a study are run and measured; `_replace` makes a variant."""

    solver: str = "exponential_euler"  # the scheme, "exponential_euler" or "staggered"
    dt: float = 0.025  # ms, the step
    duration: float = 11_000.0  # ms, of the whole run
    transient: float = 1_000.0  # ms, left out at its beginning
    temperature: float = 283.0  # K; the kinetics hold as they are at 283 K
    q10: Q10s = Q10s()  # factors of growth with 10 K
    noise: float = 0.0  # nA √ms, white noise of the current into each cell
    h: float = 1.0  # all gates of inactivation at the start; all others are closed
    γ: float = 12.2  # mV, RT/2F at 283 K
    C: float = 0.628  # nF, capacitance of a cell
    f: float = 14.96  # µM/nA, calcium that a current brings
    energy: bool = False  # whether `ENERGIES` are measured, too
    dtype: str = "float32"  # precision, "float32" or "float64"

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names of what is measured."""
        return STATISTICS + ENERGIES if self.energy else STATISTICS

    def check(self) -> None:
        """Raise ValueError or TypeError where the setting cannot be run."""
        checks.choice("solver", self.solver, SCHEMES)
        checks.scheme(self.solver, self.dt, SCHEMES)
        checks.choice("dtype", self.dtype, ("float64", "float32"))
        checks.recording(self.duration, self.transient)
        checks.number("noise", self.noise, "nA √ms", least=0)
        checks.truth("energy", self.energy)
        if not 233 <= checks.number("temperature", self.temperature, "K") <= 333:
            raise ValueError(
                f"temperature is {self.temperature:g} K; it must be from 233 to 333 K. Add 273.15 to a temperature in °C."
            )
        if not 0 <= checks.number("h", self.h, "1") <= 1:
            raise ValueError(f"h is {self.h:g}; it is the share of open gates, from 0 to 1. Give 0 or 1.")


# %% [markdown]
# The factors of growth are theirs: 2.4 for activation, 2.8 for inactivation, and the two that {cite:t}`Caplan2014`
# name, 2.0 for CaS and 1.6 for KCa. The pump gets faster by 2.0, and what a current brings stays. At 283 K
# all of them are 1.


# %%
DEISTLER2022 = Setting(
    q10=Q10s(
        m={"Na": 2.4, "CaT": 2.4, "CaS": 2.0, "A": 2.4, "KCa": 1.6, "Kd": 2.4, "H": 2.4},
        h=2.8, g=1.5, synapse=1.7, gs=1.5, calcium=2.0,
    ),
    noise=1.0 * 0.025**0.5, h=0.0, γ=12.1936, C=0.6283, f=14.961,
)  # fmt: skip
SETTINGS = {"deistler2022": DEISTLER2022}


def setting(name: str) -> Setting:
    """A setting by its name."""
    checks.choice("the name of a setting", name, SETTINGS)
    return SETTINGS[name]


# %% [markdown]
# ### What is compiled
#
# A `Plan` is the setting as the compiler sees it, with a circuit of its temperature. Blocks are a millisecond, as
# in the chapter [on lanes](../ensembles/lanes.py), whose flows are used as they are.


# %%
class Plan(NamedTuple):
    """What is fixed when a batch is compiled."""

    circuit: Circuit
    solver: str
    dt: float  # ms
    duration: float  # ms, of what is measured
    transient: float  # ms
    dtype: str
    noise: float  # nA √ms
    h: float  # inactivation at the start
    energy: bool

    @property
    def n(self) -> int:
        """Steps in a block."""
        return steps_of_block(self.dt)

    @property
    def ticks(self) -> int:
        """Ticks in a step."""
        return ticks_for(self.blocks(self.duration) * self.n)

    @property
    def room(self) -> int:
        """More bursts than can begin in the recording."""
        return int(self.duration / (GAP + MIN_BURST)) + 2

    def blocks(self, time: float) -> int:
        """Blocks in a time (ms), rounded up."""
        return int(np.ceil(round(time / self.dt) / self.n))


# %% [markdown]
# A circuit at another temperature has other constants and faster gates, and its conductances are larger by
# factors. Only the factors are computed here, and the batch multiplies.


# %%
def at_temperature(s: Setting) -> tuple[Circuit, np.ndarray, np.ndarray]:
    """The circuit of a setting, and by what its densities (cell, channel) and strengths (synapse,) grow."""
    circuit = MODEL.circuit
    (membrane,) = circuit.membranes
    constants = membrane.constants._replace(γ=s.γ, C=s.C, f=s.f)
    circuit = circuit._replace(membranes=(membrane._replace(constants=constants),))
    g, gs = np.ones_like(MODEL.params.g), np.ones_like(MODEL.params.gs)
    if s.temperature == 283.0:
        return circuit, g, gs
    params = warm(Params(g, gs, np.zeros(()), circuit), membrane.temperature + s.temperature - 283.0, s.q10)
    constants = params.circuit.membranes[0].constants._replace(γ=s.γ * s.temperature / 283.0)
    warmer = params.circuit.membranes[0]._replace(constants=constants)
    return params.circuit._replace(membranes=(warmer,)), np.asarray(params.g), np.asarray(params.gs)


# %% [markdown]
# ### Looking at blocks
#
# The [lanes](../ensembles/lanes.py) look for spikes after each step, and keep all of them. Here a cell under noise
# may sit above −10 mV and have a maximum every millisecond, ten thousand in a run; and plateaus need the
# potential below the spikes. So the potentials of a block, forty steps, are kept, and looked at together. What
# is carried from one block to the next is small: two samples, the last spike, and how long the potential has
# been above −30 mV.


# %%
class Watch(NamedTuple):
    """What is remembered from block to block, each (cell, lane)."""

    before: Array  # mV, two steps before the block
    last: Array  # mV, one step before
    spike: Array  # time of the last spike, in steps since the block began
    run: Array  # steps above the plateau's level until now
    longest: Array  # steps, longest run that is over, since the group began
    at_spike: Array  # the same at the last spike


def watch_from(V: Array) -> Watch:
    """A watch that has seen nothing but V."""
    zero = jnp.zeros_like(V)
    return Watch(V, V, jnp.full_like(V, -jnp.inf), zero, zero, zero)


# %% [markdown]
# A block has one spike at most, since the refractory time is a block. It matters whether a silence came before
# it, for then it is the first of a *group* of spikes. Whether the group will be a burst, longer than 40 ms, shows
# only at its end.


# %%
class Block(NamedTuple):
    """What a block shows, each (cell, lane)."""

    found: Array  # whether it has a spike
    began: Array  # whether a silence before the spike makes it the first of a group
    held: Array  # steps, longest run of the group before, up to that spike


def look(w: Watch, V: Array, dt: float) -> tuple[Watch, Block]:
    """Look at the potentials V (step, cell, lane) of a block."""
    n, never = len(V), jnp.inf
    all_V = jnp.concatenate([w.before[None], w.last[None], V])
    a, b, c = all_V[:-2], all_V[1:-1], all_V[2:]
    j = jnp.arange(n, dtype=V.dtype)[:, None, None] - 1
    steps = j + (a - c) / (2 * (a - 2 * b + c))
    top = (b > SPIKE_THRESHOLD) & (b > a) & (b >= c) & (steps - w.spike >= REFRACTORY / dt)
    at = jnp.where(top, j, never).min(0)
    spike = jnp.where(top, steps, never).min(0)
    found = jnp.isfinite(at)
    began = found & (spike - w.spike >= GAP / dt)
    before, over, run = runs(b > PLATEAU, j, w.run, at, jnp.where(began, at, -never))
    held = jnp.maximum(w.longest, before)
    longest = jnp.where(began, over, jnp.maximum(w.longest, over))
    at_spike = jnp.where(found, jnp.where(began, 0, held), w.at_spike)
    spike = jnp.where(found, spike, w.spike)
    return Watch(V[-2], V[-1], spike - n, run, longest, at_spike), Block(found, began, held)


# %% [markdown]
# A *run* is an unbroken stretch above −30 mV. Runs are counted step by step, a loop with two comparisons in each
# turn. Where a group begins they start anew, at the sample of the spike's top.


# %%
def runs(above: Array, j: Array, run: Array, spike: Array, reset: Array) -> tuple[Array, Array, Array]:
    """Longest run that is over by the spike, longest that is over in the block, and the one at hand, in steps.

    above: (step, cell, lane) at the steps j (step, 1, 1); run: steps of the one at hand before; spike: step of the
    spike; reset: step from which runs are counted anew.
    """

    def step(now: tuple[Array, Array, Array], x: tuple[Array, Array]) -> tuple[tuple[Array, Array, Array], None]:
        (run, before, over), (up, j) = now, x
        before = jnp.where(~up & (j <= spike), jnp.maximum(before, run), before)
        over = jnp.where(~up & (j > reset), jnp.maximum(over, run), over)
        return (jnp.where(up, jnp.where(j == reset, 1, run + 1), 0), before, over), None

    zero = jnp.zeros_like(run)
    run, before, over = lax.scan(step, (run, zero, zero), (above, j))[0]
    return before, over, run


# %% [markdown]
# ### Groups and bursts
#
# Groups are followed from one to the next. A group that ends, because another one begins, is a burst if it lasted
# long enough; then it gets a place in the table of bursts. There are 54 places for ten seconds: a burst and the
# silence after it last 190 ms at least.
#
# The plateau of a burst reaches to the *next burst*, over groups that are none. So the longest run since the last
# burst is kept apart, as `segment`, until the next burst is known to be one.


# %%
class Groups(NamedTuple):
    """Groups of spikes, each field (cell, lane) but for start and end."""

    first: Array  # ticks, first spike of the group at hand
    latest: Array  # ticks, its last spike so far
    segment: Array  # steps, longest run from the last burst to the group at hand; -1 without a burst
    total: Array  # steps, of the longest runs of all bursts before
    number: Array  # of bursts
    spikes: Array  # their number
    start: Array  # (burst, cell, lane) ticks
    end: Array  # (burst, cell, lane) ticks


def no_groups(plan: Plan, V: Array) -> Groups:
    """Before the first spike."""
    whole, zero = jnp.zeros(V.shape, jnp.int32), jnp.zeros_like(V)
    room = jnp.zeros((plan.room, *V.shape), jnp.int32)
    return Groups(whole, whole, zero - 1, zero, whole, whole, room, room)


# %% [markdown]
# Writing into the table at a place beyond its end does nothing. That is how a lane in which no burst has ended
# takes part without an effect.


# %%
def closed(plan: Plan, g: Groups, ended: Array, longest: Array) -> Groups:
    """The groups where those at hand have ended, with their longest runs."""
    burst = ended & (g.latest - g.first > round(MIN_BURST / plan.dt * plan.ticks))
    slot = jnp.where(burst, g.number, plan.room)
    cell, lane = jnp.indices(slot.shape, jnp.int32)
    put = lambda x, t: x.at[slot, cell, lane].set(t, mode="drop")  # noqa: E731
    segment = jnp.where(burst, longest, jnp.where(g.segment < 0, -1, jnp.maximum(g.segment, longest)))
    return g._replace(
        segment=jnp.where(ended, segment, g.segment),
        total=g.total + jnp.where(burst, jnp.maximum(g.segment, 0), 0),
        number=g.number + burst.astype(jnp.int32), start=put(g.start, g.first), end=put(g.end, g.latest),
    )  # fmt: skip


# %% [markdown]
# Times are whole numbers of ticks, 1,024 to a step, since the beginning of the recording. In single precision a time
# of ten seconds would be right to a thousandth of a millisecond at best; as whole numbers all of them are as exact as
# the parabola that found them.


# %%
def settled(plan: Plan, g: Groups, spike: Array, seen: Block, k: Array) -> Groups:
    """The groups after a block, with the spike at some step since step k of the recording."""
    t = k * plan.ticks + jnp.round(spike * plan.ticks).astype(jnp.int32)
    g = closed(plan, g, seen.began & (g.spikes > 0), seen.held)
    return g._replace(
        first=jnp.where(seen.began, t, g.first), latest=jnp.where(seen.found, t, g.latest),
        spikes=g.spikes + seen.found.astype(jnp.int32),
    )  # fmt: skip


def after_block(plan: Plan, w: Watch, g: Groups, V: Array, k: Array) -> tuple[Watch, Groups]:
    """What is known after a block with the potentials V (step, cell, lane), the first of which is step k."""
    w, seen = look(w, V, plan.dt)
    seen = seen._replace(found=seen.found & (k >= 0), began=seen.began & (k >= 0))
    return w, settled(plan, g, w.spike + len(V), seen, k)


# %% [markdown]
# ### Energy
#
# Heat is that of the chapter [on energy](../lab/energy.py), $\sum_i γ_i (V - E_i)^2$, the same sum that Deistler
# et al. take, summed over all steps. They call it energy per area and run; divided by the ten seconds it is ours,
# in nJ/(cm² s). In each step the open conductances are computed anyway, so that it costs a few
# multiplications.


# %%
def heats(circuit: Circuit, p: Prepared, y: Working) -> Array:
    """What channels and synapses dissipate, (2, cell, lane) pW."""
    of_cells = []
    for membrane, g, V, Ca, _, x in by_membrane(circuit, p, y):
        E = [reversal(channel, membrane.constants, Ca) for channel in membrane.channels]
        of_cells.append(sum(γ * (V - E_i) ** 2 for (_, γ), E_i in zip(opened(membrane, g, x), E, strict=True)))
    (G, J), (_, J2) = chemical(circuit, p, y), chemical(squared(circuit), p, y)
    return jnp.stack([join(circuit, of_cells), G * y.V**2 - 2 * J * y.V + J2])


# %% [markdown]
# A scheme knows flows and nothing else, and a state may be anything that the flows understand. Here it is a triple:
# the circuit's own state, the potentials of the block so far, and the heat of the block, which is summed by itself
# and then added to that of the run, so that no small number meets a large one.
#
# Around the flows of the circuit goes what keeps potentials and heat. With the staggered scheme heat is taken where
# gates are at the beginning of a step and potentials in its middle, with exponential Euler both at the beginning.


# %%
class Watched(NamedTuple):
    """A state, the potentials of the block, and its heat."""

    y: Working
    V: Array  # (step, cell, lane) mV
    heat: Any  # (2, cell, lane) pW, summed over steps, or None


# %% [markdown]
# Potentials are written into an array of forty steps at the place of the step. It is the same array in each turn of
# the loop, which stays where it is in memory.


# %%
def watched(plan: Plan, p: Prepared, f: Flows) -> Flows:
    """Flows that keep the potential after each step, and add up heat."""

    def warmed(w: Watched, y: Working) -> Watched:
        return w if w.heat is None else w._replace(heat=w.heat + heats(plan.circuit, p, y))

    def charge(w: Watched, k: Any, h: Any) -> Watched:
        y = f.charge(w.y, k, h)
        return warmed(w, y)._replace(y=y)

    def seen(w: Watched, y: Working, k: Any) -> Watched:
        return w._replace(y=y, V=lax.dynamic_update_index_in_dim(w.V, y.V, k, 0))

    return Flows(
        charge=charge,
        relax=lambda w, k: seen(w, f.relax(w.y, k), k),
        close=lambda w, k: w._replace(y=f.close(w.y, k)),
        euler=lambda w, k: seen(warmed(w, w.y), f.euler(w.y, k), k),
    )


# %% [markdown]
# ### Noise
#
# Each row has a key, of the seed and its position in the table, and each block of it two numbers. So a row's noise
# depends on nothing else in the table, not on the size of a batch either; and another seed, or another row, has
# other noise. The staggered scheme moves the potential by the current of step $k$ both at the end of step $k - 1$
# and at the beginning of step $k$, half a step each, so that a block also needs the first number of the next
# one.


# %%
def noise_of(plan: Plan, keys: Array, b: Array) -> Array | None:
    """The noise of block b, (step + 1, cell, lane) nA, the last one that of the first step of the next block."""
    if not plan.noise:
        return None
    size = jnp.asarray(plan.noise / np.sqrt(plan.dt), plan.dtype)
    draw = lambda key, shape: jax.random.normal(key, shape, plan.dtype)  # noqa: E731
    some = lambda key, i, steps: draw(jax.random.fold_in(key, i), (steps, len(ROLES)))  # noqa: E731
    of = lambda i, steps: jax.vmap(lambda key: some(key, i, steps))(keys)  # noqa: E731
    every = jnp.concatenate([of(2 * b, 1), of(2 * b + 1, plan.n - 1), of(2 * b + 2, 1)], axis=1)
    return size * jnp.moveaxis(every, 0, -1)


# %% [markdown]
# ### A run
#
# Nothing of the transient counts: at its end the watch begins anew.


# %%
class Found(NamedTuple):
    """What a batch finds of each circuit; the leading axis is that of circuits."""

    start: Any  # (burst, cell) ms, the first `number` of them
    end: Any  # (burst, cell) ms
    number: Any  # (cell,) of bursts
    plateau: Any  # (cell,) ms
    spikes: Any  # (cell,) their number
    energy: Any  # (2, cell) nJ/(cm² s), of channels and of synapses, or None
    finite: Any  # () whether the run did not break down


# %% [markdown]
# All circuits start in the same state and are not thermalized, as theirs are not: what is random is the noise. A second
# is left out, in which most of them find what they will do. Some do not, and that is part of the share of draws that
# have a rhythm.


# %%
def starts(plan: Plan, n: int) -> State:
    """The state from which n circuits start, (circuit, cell, …)."""
    cold = cold_start(plan.circuit)
    cold = cold._replace(h=plan.h * cold.h)
    return State(*(np.broadcast_to(x, (n, *np.shape(x))) for x in cold))


# %% [markdown]
# The loop over blocks has a number of turns that the compiler is not told, and steps are not written out four at a
# time as in the lanes. Both were measured: with potentials kept, four steps in a row take twice the time.


# %%
def run_in_lanes(plan: Plan, g: Any, gs: Any, start: State, keys: Array) -> Found:
    """Circuits with densities g (circuit, cell, channel) mS/cm² and strengths gs (circuit, synapse) nS; pure."""
    p = conductances_in_lanes(plan.circuit, g, gs, plan.dtype)
    y = to_lanes(plan.circuit, start, plan.dtype)
    before, n = plan.blocks(plan.transient), plan.n
    nothing = jnp.zeros((2, *y.V.shape), y.V.dtype) if plan.energy else None
    unseen = jnp.zeros((n, *y.V.shape), y.V.dtype)

    def block(b: Array, carry: Any) -> Any:
        y, watch, groups, heat = carry
        k, noise = (b - before) * n, noise_of(plan, keys, b)
        watch = jax.tree.map(lambda new, old: jnp.where(k == 0, new, old), watch_from(y.V), watch)
        f = flows(plan.circuit, p, lambda i: None if noise is None else noise[i], plan.dt, LANES)
        y, V, more = SCHEMES[plan.solver](watched(plan, p, f), Watched(y, unseen, nothing), 0, n, plan.dt)
        watch, groups = after_block(plan, watch, groups, V, k)
        heat = None if heat is None else heat + jnp.where(k >= 0, more, 0)
        return y, watch, groups, heat

    carry = y, watch_from(y.V), no_groups(plan, y.V), nothing
    # A number of turns that the compiler knows would make another program, slower and with other roundings.
    every = lax.optimization_barrier(jnp.int32(before + plan.blocks(plan.duration)))
    y, watch, groups, heat = lax.fori_loop(0, every, block, carry)
    return found_in(plan, y, watch, groups, heat)


# %% [markdown]
# At the end the last group is closed, as one that ends with the last spike of all. A mean below 5 ms is the width of
# spikes and no plateau.


# %%
def found_in(plan: Plan, y: Working, w: Watch, g: Groups, heat: Any) -> Found:
    """What a run has found at its end, circuits first."""
    g = closed(plan, g, g.spikes > 0, w.at_spike)
    wide = jnp.result_type(float)
    ms = lambda t: (t.astype(wide) / plan.ticks + OFFSET[plan.solver]) * plan.dt  # noqa: E731
    mean = (g.total + jnp.maximum(g.segment, 0)).astype(wide) / g.number.astype(wide) * plan.dt
    plateau = jnp.where(g.number > 0, jnp.where(mean < SHORTEST_PLATEAU, SPIKE_WIDTH, mean), jnp.nan)
    steps = plan.blocks(plan.duration) * plan.n
    area = plan.circuit.membranes[0].constants.A
    energy = None if heat is None else heat.astype(wide) / steps * (NJ / area)
    found = Found(ms(g.start), ms(g.end), g.number, plateau, g.spikes, energy, jnp.isfinite(y.V).all(0))
    return jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), found)


# %% [markdown]
# ### From bursts to statistics
#
# What is left is a table of bursts, a hundred numbers for a cell, and NumPy does the rest for all circuits at
# once. Places that are not filled are NaN. A cycle goes from one burst of the pacemaker to the next.


# %%
def of_bursts(start: np.ndarray, end: np.ndarray, number: np.ndarray, plateau: np.ndarray) -> np.ndarray:
    """`STATISTICS` (circuit, 18) of the bursts of many circuits, as in `Found`; NaN where undefined."""
    there = np.arange(start.shape[1])[None, :, None] < number[:, None, :]
    start, end = (np.where(there, x, np.nan) for x in (start, end))
    with np.errstate(invalid="ignore", divide="ignore"):
        duration = np.nansum(end - start, 1) / number
        paces = start[..., 0]
        is_cycle = np.isfinite(paces[:, 1:])
        n = is_cycle.sum(1)
        period = np.nansum(np.diff(paces, axis=1), 1) / n
        first, last, alone = zip(*(only_burst(start, end, cell) for cell in range(len(ROLES))), strict=True)
        triphasic = is_cycle & alone[1] & alone[2]
        valid = triphasic.sum(1) >= TRIPHASIC * n
        mean = lambda x: np.where(valid, np.where(triphasic, x, 0).sum(1) / triphasic.sum(1), np.nan)  # noqa: E731
        delays = [mean(first[1] - first[0]), mean(first[2] - first[1])]
        gaps = [mean(first[1] - last[0]), mean(first[2] - last[1])]
        phases = [delays[0] / period, mean(first[2] - first[0]) / period]
        found = [
            period,
            *duration.T,
            *(duration / period[:, None]).T,
            *phases,
            *delays,
            *gaps,
            *(x / period for x in gaps),
        ]
    return np.column_stack([*found, plateau])


# %% [markdown]
# For each cycle all bursts of a cell are compared with its two ends, 54 bursts with 53 cycles in 512 circuits, a
# million and a half comparisons. If exactly one begins inside, its start and end are picked. A cycle that lacks one
# is left out of the means, as long as nine of ten have it; a tenth of irregular cycles is what noise does to a
# rhythm that is otherwise sound.


# %%
def only_burst(start: np.ndarray, end: np.ndarray, cell: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start and end of the only burst of a cell in each cycle of the pacemaker, and whether there is one."""
    a, b, paces = start[:, None, :, cell], end[:, None, :, cell], start[..., 0]
    inside = (a >= paces[:, :-1, None]) & (a < paces[:, 1:, None])
    one = inside.sum(2) == 1
    pick = lambda x: np.where(one, np.where(inside, x, 0).sum(2), np.nan)  # noqa: E731
    return pick(a), pick(b), one


# %% [markdown]
# ### Batches
#
# A batch has 512 circuits. Larger ones are not faster, since the potentials of a block, a quarter of a megabyte, then
# no longer fit into the cache of a core; and less is lost when a run is stopped. It is a work of the chapter [on
# batches](../ensembles/batches.py): it can be kept in a folder, stopped, and continued.


# %%
LANES_OF_A_BATCH = 512


def plan_of(s: Setting) -> tuple[Plan, np.ndarray, np.ndarray]:
    """The plan of a setting, and by what densities and strengths grow."""
    circuit, g, gs = at_temperature(s)
    measured = s.duration - s.transient
    return Plan(circuit, s.solver, s.dt, measured, s.transient, s.dtype, float(s.noise), s.h, s.energy), g, gs


# %% [markdown]
# A batch is filled up with its own rows, as one of the database is, and what is computed twice is thrown away. A
# row's key comes from its label, its position in the whole table. So a sample may be enlarged: the first thousand
# rows of ten thousand are those of one thousand. A run that broke down has no statistics at all, rather than
# those of the part before.


# %%
def measured_rows(
    rows: pd.DataFrame, seed: int, setting: Setting, batch: int, device: Any = None, tell: Tell = silent
) -> pd.DataFrame:
    """The circuits of a batch with their statistics; it is filled up with its own rows."""
    plan, growth, growth_of_synapses = plan_of(setting)
    fill = np.arange(padded(batch)) % len(rows)
    g, gs = (x[fill] for x in conductances(rows))
    device = jax.devices()[0] if device is None else device
    with precision("float64"):
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(jnp.asarray(rows.index.to_numpy()[fill]))
        arguments = jax.device_put((g * growth, gs * growth_of_synapses, starts(plan, len(g)), keys), device)
        found = jax.tree.map(np.asarray, compiled(device.platform, run_in_lanes)(plan, *arguments))
    tell(1.0)
    values = values_of(found)[: len(rows)]
    return pd.concat([rows, pd.DataFrame(values, rows.index, list(setting.statistics))], axis=1)


# %% [markdown]
# Statistics and, where they were asked for, energies are the columns of a row: first what the channels of the
# pacemaker, of LP and of PY dissipate, then what the synapses onto them do. Their code adds the two; kept apart they
# answer the second question of the table above.


# %%
def values_of(found: Found) -> np.ndarray:
    """`Setting.statistics` of each circuit, NaN where undefined."""
    values = of_bursts(found.start, found.end, found.number, found.plateau)
    if found.energy is not None:
        values = np.column_stack([values, found.energy.reshape(len(values), -1)])
    return np.where(found.finite[:, None], values, np.nan)


# %% [markdown]
# The facts of a run are the setting as a whole and the seed. Two folders with the same facts hold the same
# numbers, and a run that differs in a Q10 is refused in a folder of another one, even at 283 K where no Q10 matters: it
# is easier to see that two settings are equal than that they have equal consequences.


# %%
@dataclass(frozen=True, eq=False)
class Runs(Work):
    """Circuits by their 31 parameters, under a setting."""

    circuits: pd.DataFrame  # in natural units, labelled by position
    seed: int
    setting: Setting

    what = "circuits"

    @property
    def facts(self) -> dict[str, Any]:
        """What decides the results."""
        return {"seed": self.seed, "setting": self.setting._asdict() | {"q10": self.setting.q10._asdict()}}

    def __len__(self) -> int:
        return len(self.circuits)

    def rows(self, first: int, last: int) -> pd.DataFrame:
        """Some of the circuits."""
        return self.circuits.iloc[first:last]

    def prepared(self) -> batches.Compute:
        """`measured_rows` with the seed."""
        return partial(measured_rows, seed=self.seed, setting=self.setting, batch=self.batch)

    @property
    def batch(self) -> int:
        """Circuits that are computed together."""
        return padded(min(LANES_OF_A_BATCH, -(-len(self) // len(batches.local_devices()))))


# %% [markdown]
# ### The same in NumPy
#
# Once more, for one recording, one sample after the other. Whoever wants to know what a number means should read
# this version.


# %%
def statistics(data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None) -> pd.Series:
    """The `STATISTICS` of a result, a table of potentials (index: times in ms) or a file of one; NaN where undefined.

    Its times must be evenly spaced, and as close as the steps. window: start and end in ms. cells: the labels that
    play "PD", "LP" and "PY", by default the first cell of each type. Raises TypeError if there are no potentials.
    """
    recording = as_recording(data, window)
    if recording.V is None or recording.t is None:
        raise TypeError("the recording has spike times only; plateaus need potentials. Give a table of them.")
    chosen = roles(recording.source, list(recording.V)) if cells is None else named_roles(cells)
    inside = (recording.t >= recording.window[0]) & (recording.t <= recording.window[1])
    t = recording.t[inside]
    found = [bursts_of(t, recording.V[chosen[role]][inside]) for role in ROLES]
    return pd.Series(in_cycles(*found), list(STATISTICS), name="value")


# %% [markdown]
# What a recording must have: potentials, evenly spaced in time, of three cells that play the roles. Which cell
# plays which role is found as in the chapter on rhythm, and may be said by name. There is no transient here:
# whoever has one leaves it out with a window.


# %%
class Train(NamedTuple):
    """The bursts of a cell."""

    start: np.ndarray  # (burst,) ms
    end: np.ndarray  # (burst,) ms
    plateau: float  # ms


# %% [markdown]
# A spike's time is that of the top of the parabola through three samples, as everywhere here; theirs is that of the
# sample.


# %%
def bursts_of(t: np.ndarray, V: np.ndarray) -> Train:
    """Bursts of one cell from times t (ms) and potentials V (mV), (time,)."""
    dt = float(np.median(np.diff(t)))
    samples: list[int] = []
    times: list[float] = []
    for i in range(1, len(V) - 1):
        a, b, c = V[i - 1 : i + 2]
        if b > SPIKE_THRESHOLD and b > a and b >= c:
            top = t[i] + dt * (a - c) / (2 * (a - 2 * b + c))
            if not times or top - times[-1] >= REFRACTORY:
                samples.append(i)
                times.append(top)
    spike, times_of = np.array(samples, int), np.array(times)
    cut = np.flatnonzero(np.diff(times_of, prepend=-np.inf, append=np.inf) >= GAP)
    groups = [(a, b - 1) for a, b in pairwise(cut)]
    found = [(a, b) for a, b in groups if times_of[b] - times_of[a] > MIN_BURST]
    first, last = np.array(found, int).reshape(-1, 2).T
    return Train(times_of[first], times_of[last], plateau_of(V, spike[first], spike[-1:], dt))


# %% [markdown]
# For the plateau of a burst one walks from sample to sample, and counts how many in a row are above −30 mV. Only a
# run that has come to its end counts. The last one may go on beyond the recording, and that of the next burst's first
# spike has only begun.


# %%
def plateau_of(V: np.ndarray, first: np.ndarray, last: np.ndarray, dt: float) -> float:
    """Mean over bursts of the longest time (ms) above the level, up to the next burst or to the last spike.

    first: samples of the first spikes (burst,); last: that of the last spike of all. A run that is not over by then
    does not count.
    """
    longest = []
    for a, b in zip(first, [*first[1:], *last], strict=False):
        run = most = 0
        for x in V[a : b + 1] > PLATEAU:
            run, most = (run + 1, most) if x else (0, max(most, run))
        longest.append(most)
    if not longest:
        return np.nan
    mean = float(np.mean(longest)) * dt
    return SPIKE_WIDTH if mean < SHORTEST_PLATEAU else mean


# %% [markdown]
# The eighteen numbers need the cycles in which LP and PY burst once. Period, durations and duty cycles do not, and
# so a rhythm that is not triphasic has ten numbers of eighteen.


# %%
def in_cycles(PD: Train, LP: Train, PY: Train) -> list[float]:
    """The eighteen numbers of three trains of bursts."""
    mean = lambda x: float(np.mean(x)) if len(x) else np.nan  # noqa: E731
    period = mean(np.diff(PD.start))
    durations = [mean(x.end - x.start) for x in (PD, LP, PY)]
    triphasic = []
    for k in range(len(PD.start) - 1):
        inside = [np.flatnonzero((x.start >= PD.start[k]) & (x.start < PD.start[k + 1])) for x in (LP, PY)]
        if all(len(i) == 1 for i in inside):
            (i,), (j,) = inside
            triphasic.append((PD.start[k], PD.end[k], LP.start[i], LP.end[i], PY.start[j]))
    if len(triphasic) < TRIPHASIC * (len(PD.start) - 1) or not triphasic:
        rest = [np.nan] * 8
    else:
        start, end, LP_start, LP_end, PY_start = np.array(triphasic).T
        delays = [mean(LP_start - start), mean(PY_start - LP_start)]
        gaps = [mean(LP_start - end), mean(PY_start - LP_end)]
        phases = [delays[0] / period, mean(PY_start - start) / period]
        rest = [*phases, *delays, *gaps, *(x / period for x in gaps)]
    return [period, *durations, *(x / period for x in durations), *rest, PD.plateau, LP.plateau, PY.plateau]


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-noise-of-a-step
# How far does their noise move the potential of a cell in one step, and how far in a second, if nothing
# held it?
# ```
#
# ```{solution-start} ex-noise-of-a-step
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# in_a_step = 1.0 * 0.025 / 0.6283  # nA ms/nF = mV
# in_a_second = theirs.noise * np.sqrt(1000) / 0.6283
# assert np.isclose(in_a_second, in_a_step * np.sqrt(40_000))
# round(in_a_step, 3), round(in_a_second, 1)

# %% [markdown]
# By 0.04 mV, and by 8 mV, $\sqrt{40{,}000}$ times as much: independent steps add up like a random walk.
# Membranes hold their potential, so that far less of it is seen.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-two-definitions
# Take features and statistics of the same eight seconds of the circuit of Fig. 3e. Which numbers differ, and
# why?
# ```
#
# ```{solution-start} ex-two-definitions
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..rhythm import features
#
# both = pd.DataFrame({"features": features(paper(np.arange(2000, 10000, 0.05))), "statistics": of_paper}).dropna()
# assert both.loc["burst_duration_PY", "statistics"] != both.loc["burst_duration_PY", "features"]
# both.round(3)

# %% [markdown]
# The durations: bursts at the two edges of the recording count as they are in the statistics, and are left out of
# the features. What is left of a burst that was cut is too short, and so is the mean.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-their-units
# What is $θ$ of a synapse of 10 nS in each of the two units of `prior`?
# ```
#
# ```{solution-start} ex-their-units
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# row = prior().frame(prior().sample(1, seed=1)).assign(**{"PY-LP": 10.0})
# in_nS, in_mS = (prior(units).theta(row)[0, -1] for units in ("nS", "mS"))
# assert np.isclose(in_nS - in_mS, np.log(1e6))
# round(in_nS, 3), round(in_mS, 3)

# %% [markdown]
# 2.303 and −11.513. A million lies between nS and mS, and its logarithm, 13.8155, between the two.
# ```{solution-end}
# ```
