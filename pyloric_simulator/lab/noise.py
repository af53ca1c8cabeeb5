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
# # Noise
#
# Why does the same cell never do the same thing twice? Its inputs come from many synapses that nobody
# controls, and its channels are few and open at random. Both are added here to the cells of any model.
# Below, an axon gets a current at which it fires just once when there is no noise. A small patch of it,
# with a few thousand channels, fires again and again; a tiny one hardly rests at all.

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
# from ..models.channels import HodgkinHuxley1952 as HH
# from ..models.networks import Cell
# from .current_clamp import current_clamp
# from .noise import EXCITATION, INHIBITION, noisy
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# rest = current_clamp(axon, [500.0], 0).final_state

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "4.8 µA/cm², at which the axon fires once: without noise; patches of 100 and of 2 µm², with 6000 and 1800, and with 120 and 36 channels; and the axon with the synaptic conductances of a cortical cell.", "name": "fig-noise"}}
# times, density = np.arange(0, 400, 0.1), 4.8
# patch = lambda area: Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3, area=area)
# noises = {
#     "no noise": (axon, {}),
#     "100 µm²": (patch(1e-6), dict(channels={"Na": 6000, "K": 1800})),
#     "2 µm²": (patch(2e-8), dict(channels={"Na": 120, "K": 36})),
#     "synaptic conductances": (axon, dict(conductances=[EXCITATION, INHIBITION])),
# }
# runs = {name: noisy(cell, times, state=rest, I_ext=density * cell.area * 1000, seed=1, **noise)
#         for name, (cell, noise) in noises.items()}
# hv.Layout([hv.Curve((times, run.V["cell", 0]), "time (ms)", "V (mV)", label=name).opts(height=130)
#            for name, run in runs.items()]).cols(1)

# %% [markdown]
# The axon of {cite:t}`HodgkinHuxley1952` has 60 sodium and 18 potassium channels of 20 pS on each µm². So
# 6,000 and 1,800 channels are those of a patch of 100 µm², or $10^{-6}$ cm², which gets a current in
# proportion. At rest only 1 in 11,000 sodium channels is open: in the patch of 100 µm² that is half a
# channel on average, and it makes a difference whether it is none or two. So patches fire by themselves,
# without any current, the smaller the more often. On the whole axon, of 62,800 µm², 333 ± 18 channels are
# open at rest, and the noise is too weak to make it fire.
#
# | channels of Na and K | patch | spikes per second, counted | each channel by itself |
# |---|---|---|---|
# | 600 and 180 | 10 µm² | 39.0 ± 0.2 | 39.2 ± 0.2 |
# | 1200 and 360 | 20 µm² | 32.6 ± 0.3 | 32.7 ± 0.3 |
# | 6000 and 1800 | 100 µm² | 9.9 ± 0.2 | 9.7 ± 0.2 |
#
# These are means with their standard errors over 12 to 32 patches, 10 s of each
# (`benchmarks/single_channels.py`). The last column comes from a program that shares nothing with this
# chapter and follows every gate of every channel, one event after the other. Both agree, and it does not
# matter that channels are counted once in a step: with steps half as
# long the two larger patches fire 32.6 ± 0.2 and 10.1 ± 0.2 times.
#
# ## What it does
#
# `noisy(model, t, ...)` is a run of a model with noise in every cell, and returns what a run returns. It
# knows three kinds, which may be combined:
#
# | argument | what it is | example |
# |---|---|---|
# | `current` | a noisy current into each cell, nA | `White(0.1)`, `OU(0, 0.2, 5)` |
# | `conductances` | inputs of many synapses, nS | `[EXCITATION, INHIBITION]` |
# | `channels` | how many channels of a kind a cell has | `{"Na": 6000, "K": 1800}` |
#
# `seed` makes it repeatable. The noise of a cell depends on the seed, on the number of the cell and on the
# time, and on nothing else: a cell has the same noise whatever cells or trials run beside it, and a run
# that is continued goes on with the noise that it would have had. Two runs with one seed differ in the
# model alone, which makes small effects visible that other noise would hide.
#
# Noise in current costs next to nothing. Counted channels cost more, since each kind in each cell needs
# random numbers for every way in which its gates can move; several seconds of compilation come before them.
# Derivatives of a noisy run exist, and are those with the noise as it came.

# %%
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..engine import checks
from ..engine.junctions import KineticState, contracted
from ..engine.layout import activating, inactivating, split
from ..engine.scale import SYNAPSE
from ..models.channels import whole
from ..models.networks import any_model, model_of
from ..prinz2004 import (
    NS_TO_US,
    Circuit,
    Flows,
    Model,
    Prepared,
    State,
    Working,
    covered_exactly,
    kinetics,
    precision,
    unpack,
)
from .protocols import EDGE, Drive, Setup, allocated, injected, millivolts, plausible, run, set_up

__all__ = ["EXCITATION", "INHIBITION", "OU", "Bombardment", "White", "noisy"]

# %% [markdown]
# ## Noisy currents
#
# White noise of a current is known by its integral, whose variance grows like $σ^2 t$. A step of length
# $dt$ gets the mean over the step,
#
# $$
# I_k = \frac{σ}{\sqrt{dt}}\, ξ_k, \qquad ξ_k \sim N(0, 1),
# $$ (eq-white)
#
# so that its power does not depend on $dt$: half as long a step gets a noise larger by $\sqrt 2$, two of
# which average to the old one. That is why $σ$ has the odd unit nA √ms. Who draws numbers of a fixed size
# at each step has noise that vanishes as the step gets small.
#
# What does it do to a passive membrane of conductance $g$? $C\, dV/dt = -gV + I$ forgets with the rate
# $g/C$, and in the steady state as much variance is lost, $2 (g/C) \operatorname{var} V$ per ms, as comes
# in, $σ^2/C^2$ per ms. So
#
# $$
# \operatorname{var} V = \frac{σ^2}{2 g C}.
# $$ (eq-passive-variance)
#
# With 20 µS/cm², $g$ = 0.01256 µS and $C$ = 0.628 nF, $σ$ = 0.1 nA √ms moves the potential by 0.80 mV; a
# run of 20 s has 0.79 mV.
#
# Real inputs are not white. The Ornstein–Uhlenbeck process has a memory of $τ$, a mean $μ$ and a standard
# deviation $σ$, and is known from step to step:
#
# $$
# x_{k+1} = μ + (x_k - μ)\, e^{-dt/τ} + σ \sqrt{1 - e^{-2dt/τ}}\; ξ_k.
# $$ (eq-ou)
#
# This is exact for any step, and stationary: if $x_k$ has the variance $σ^2$, then $x_{k+1}$ has
# $σ^2 e^{-2dt/τ} + σ^2 (1 - e^{-2dt/τ}) = σ^2$ again.
#
# Random numbers in JAX come from *keys*, not from a hidden state: the same key gives the same number, on
# any machine and in any order. Each cell has its own key, made of the seed and its number, and each step
# its own, made of that and of the number of the step since time 0. A process with memory has to be computed
# from time 0 on, even where a run starts later, or it would not go on as it should.


# %%
def normals(key: Array, k: Array) -> Array:
    """A standard normal number for each step k, (step,)."""
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(key, k), ()))(k)


class White(NamedTuple):
    """White noise, {eq}`eq-white`."""

    σ: float  # nA √ms

    def samples(self, key: Array, first: int, n: int, dt: float) -> Array:
        """Values at n steps from step `first` on, (step,) nA."""
        return self.σ / np.sqrt(dt) * normals(key, first + jnp.arange(n))


class OU(NamedTuple):
    """An Ornstein–Uhlenbeck process, {eq}`eq-ou`, stationary."""

    μ: float  # nA; nS for a conductance
    σ: float  # same unit, standard deviation
    τ: float  # ms

    def later(self, x: Array, ξ: Array, dt: float) -> Array:
        """The distance from the mean, in standard deviations, after a step; ξ: normal."""
        decay = float(np.exp(-dt / self.τ))
        return decay * x + np.sqrt(1 - decay**2) * ξ

    def samples(self, key: Array, first: int, n: int, dt: float) -> Array:
        """Values at n steps from step `first` on, (step,)."""
        ξ = normals(key, jnp.arange(first + n))
        step = lambda x, ξ: (self.later(x, ξ, dt), x)  # noqa: E731
        return self.μ + self.σ * lax.scan(step, ξ[0], jnp.append(ξ[1:], 0.0))[1][first:]


# %% [markdown]
# ## Noisy conductances
#
# A cell in a living brain gets thousands of synaptic events per second. {cite:t}`Destexhe2001` found that
# two fluctuating conductances, one excitatory and one inhibitory, each an Ornstein–Uhlenbeck process cut
# off at 0, do to a cell what they do together. The values here are theirs. The excitation forgets within
# 2.7 ms, as the channels of AMPA do, and the inhibition within 10.5 ms.
#
# A conductance is not a current. It pulls the potential toward its {term}`reversal potential`, and the more
# it is open, the less all other currents can do. The axon at the top gets 57 nS of inhibition and 12 nS of
# excitation, and stays where it was, 0.3 mV above rest: both are small against its own 730 nS. On a cell
# with a leak of a few nS they would decide everything.
#
# A `Neuron`, a model of equations of one's own, has no conductances: there $g\,(E - V)$ is added to its
# input, in its units, and an integrate-and-fire cell stays exact in each step.


# %%
class Bombardment(NamedTuple):
    """A noisy conductance, as of many synapses."""

    g: OU  # nS
    E: float  # mV, reversal potential


EXCITATION = Bombardment(OU(12.1, 3.0, 2.728), 0.0)  # of a cortical cell, Destexhe et al. (2001)
INHIBITION = Bombardment(OU(57.3, 6.6, 10.49), -75.0)

# %% [markdown]
# Noise with a number in the wrong unit looks like noise, only too strong or too weak. So its size is judged
# like that of any other current, conductance or potential. A memory shorter than a step warns: either $τ$
# is in seconds, or white noise is meant. A conductance with a negative mean is refused, since what inhibits
# is the reversal potential.


# %%
def check_noise(current: Any, conductances: Any, s: Setup) -> None:
    """Refuse what is no noise, and warn where its unit looks mistaken."""
    if isinstance(conductances, (Bombardment, str)) or not isinstance(conductances, Sequence):
        raise TypeError(
            f"conductances is {conductances!r}; it must be a list of Bombardments. Write conductances=[EXCITATION], "
            "for example."
        )
    for x in conductances:
        checks.of_type(
            "one of the conductances",
            x,
            Bombardment,
            "a Bombardment such as EXCITATION, or Bombardment(OU(12, 3, 2.7), 0)",
        )
        checks.of_type("g of a Bombardment", x.g, OU, "an OU process, such as OU(12, 3, 2.7)")
        if s.model.own_units:
            checks.number("E of a Bombardment", x.E, "its unit")
            checks.number(
                "μ of a conductance", x.g.μ, "its unit", least=0, cure="Noise inhibits by its reversal potential."
            )
        else:
            millivolts("E of a Bombardment", x.E)
            checks.quantity(
                "μ of a conductance", x.g.μ, SYNAPSE, least=0, cure="Noise inhibits by its reversal potential."
            )
    for x in (*([] if current is None else [current]), *(x.g for x in conductances)):
        check_process(x, s.dt)
    if current is not None or len(conductances):
        allocated(f"noise up to {s.last:g} ms, made from time 0 on,", s.steps[-1] / s.dt * len(s.model.rows))
    sizes = [] if current is None else [current.σ, abs(getattr(current, "μ", 0.0))]
    plausible("the noise", np.full(len(s.model.rows), max(sizes, default=0.0)), s.model)


def check_process(noise: Any, dt: float) -> None:
    """Noise with plausible numbers, for steps of dt (ms)."""
    checks.of_type("the noise", noise, (White, OU), "White(σ) or OU(μ, σ, τ), such as OU(0, 0.5, 10)")
    checks.number("σ", noise.σ, "its unit", least=0)
    if isinstance(noise, OU) and checks.positive("τ", noise.τ, "ms") < dt:
        checks.warn(
            f"τ is {noise.τ:g} ms, shorter than a step of {dt:g} ms; noise without memory is White(σ). If τ is in s, "
            "multiply it by 1000."
        )


# %% [markdown]
# The values at all steps are drawn before the run, and reach the cell as any other current or conductance
# does, by the `Drive` of the chapter on [protocols](protocols.py). Each kind of noise of an experiment has
# a number, which goes into the key too: otherwise the excitation and the inhibition of a cell would be the
# same noise.


# %%
def first_step(s: Setup) -> int:
    """Number of the first step of a run since time 0."""
    return round(s.steps[0] / s.dt)


def noise_of_cells(noise: White | OU, key: Array, s: Setup, number: int) -> Array:
    """Values of one kind of noise, the `number`-th of an experiment, for each cell at the steps, (step + 1, cell)."""
    keys = jax.vmap(lambda cell: jax.random.fold_in(jax.random.fold_in(key, cell), number))(
        jnp.arange(len(s.model.rows))
    )
    return jax.vmap(lambda key: noise.samples(key, first_step(s), len(s.steps), s.dt))(keys).T


# %% [markdown]
# ## Channels that open at random
#
# A membrane has a finite number $N$ of channels of a kind, and each of them opens and closes at random. Its
# $p$ gates of {term}`activation` and $q$ of inactivation do so one by one: a closed gate opens within a
# step with the probability $x_∞ (1 - e^{-dt/τ})$, and an open one closes with $(1 - x_∞)(1 - e^{-dt/τ})$. A
# channel conducts while all of its gates are open.
#
# Together many gates follow equation {eq}`eq-gate`: if the share $x$ is open, within a step $x_∞ (1 - x)$
# of them open and $(1 - x_∞)\, x$ close, each times $1 - e^{-dt/τ}$, and the difference is
# $(x_∞ - x)(1 - e^{-dt/τ})$. So the equations of all other chapters are what remains for $N \to ∞$.
#
# The state of a membrane is how many channels have $i$ open gates of activation and $j$ of inactivation.
# For sodium, with $m^3 h$, these are $4 · 2 = 8$ numbers. They form a Markov chain, and here they are just
# that: binomial random numbers say at each step how many channels go where. At constant potential the chain
# is right for steps of any length, and the share of open channels has in the end the mean and the variance
#
# $$
# \bar o = m_∞^p h_∞^q, \qquad σ^2 = \frac{\bar o\, (1 - \bar o)}{N}.
# $$ (eq-open)
#
# Noise of the *gates*, of one $m$ and one $h$ for all channels, would be simpler, and does not give what
# the channels do {cite:p}`Goldwyn2011`: the three gates $m$ of one channel flicker independently of each
# other, but those of a single noisy $m$ would flicker together. Noise of their states, with one random
# number for each transition {cite:p}`FoxLu1994`, is an approximation for many channels. The chain holds for
# few, too.
#
# Recorded are the $h$ of all channels together, and an $m$ with which $m^p h^q$ is the share of open
# channels, so that currents and energies follow from them as ever. The numbers themselves are in the state,
# as `n`, for a run that goes on.


# %%
class NoisyState(NamedTuple):
    """A state in which channels are counted; with a leading time axis, a trajectory."""

    V: Any  # (cell,) mV
    Ca: Any  # (cell,) µM
    s: Any  # (cell, transmitter)
    m: Any  # (cell, activating channel); of channels that are counted such that the share m^p h^q is open
    h: Any  # (cell, inactivating channel)
    z: Any  # (cell, kinetic synapse onto the cell), none in most circuits
    n: Any  # (cell, state of a channel) how many channels are in it, the kinds side by side; filled up with 0

    @property
    def plain(self) -> State | KineticState:
        """Without the numbers, for a run without noise."""
        return KineticState(*self[:-1]) if np.shape(self.z)[-1] else State(*self[:-2])


def noisy_state(y: Any, n: Any) -> NoisyState:
    """A state, or a trajectory, with the numbers of channels."""
    return NoisyState(y.V, y.Ca, y.s, y.m, y.h, y.z if isinstance(y, KineticState) else y.s[..., :0], n)


# %% [markdown]
# A `Kind` is a kind of channel whose channels are counted: which membrane has it, how many gates of each
# sort, which rows of the membrane's gates are its own, and which columns of `n` hold its numbers. Of the
# kinds of one membrane the columns stand side by side. Kinds that are not named stay without noise, so that
# one can ask which kind matters.


# %%
class Kind(NamedTuple):
    """A kind of channel that is counted."""

    membrane: int
    channel: int  # its number in the membrane
    gates: tuple[int, int]  # how many gates of activation and of inactivation it has
    rows: tuple[int | None, int | None]  # of m and h among all gates of the membrane
    cells: np.ndarray  # (cell,) that have it
    place: tuple[Any, Any]  # rows and columns of `NoisyState.n`
    end: int  # the column behind it

    def of(self, x: Sequence[Array]) -> list[Array]:
        """Its m and h from those of all channels, for each membrane (gate, cell); 1 for a gate that is not there."""
        gates = x[self.membrane]
        return [jnp.ones_like(gates[0]) if i is None else gates[i] for i in self.rows]

    def counts(self, n: Array) -> Array:
        """How many channels of a cell have so many open gates, (cell, open m, open h)."""
        return n[self.place].reshape(-1, *(i + 1 for i in self.gates))


def kinds_of(circuit: Circuit, N: Any) -> list[Kind]:
    """All kinds that are counted; N: as `RandomChannels.N`."""
    found = []
    for i, (membrane, cells, numbers) in enumerate(zip(circuit.membranes, circuit.groups, N, strict=True)):
        m, h = ([c.name for c in names(membrane)] for names in (activating, inactivating))
        place = 0
        for k, (c, number) in enumerate(zip(membrane.channels, numbers, strict=True)):
            if number is not None:
                rows = m.index(c.name) if c.m else None, len(m) + h.index(c.name) if c.h else None
                gates = c.p if c.m else 0, c.q if c.h else 0
                end = place + (gates[0] + 1) * (gates[1] + 1)
                all_alike = len(cells) == len(circuit.rows)
                where = (slice(None), slice(place, end)) if all_alike else (cells[:, None], np.arange(place, end)[None])
                found.append(Kind(i, k, gates, rows, cells, where, end))
                place = end
    return found


# %% [markdown]
# Of $g$ gates $i$ are open before a step. How probable is it that $j$ are open after it? Say $l$ of the $i$
# stay open, so that $i - l$ close, $j - l$ of the others open, and the rest stay closed. With the
# probabilities $a$ of opening and $b$ of closing
#
# $$
# P(j \mid i) = \sum_l \binom{i}{l} (1 - b)^l\, b^{i - l} \binom{g - i}{j - l} a^{j - l} (1 - a)^{g - i - j + l}.
# $$ (eq-moves)
#
# For up to a few gates these sums are short. The binomials and the exponents depend on $g$ only, and are
# made once for all.


# %%
def comb(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Binomial coefficients."""
    return np.vectorize(math.comb)(n, np.minimum(k, n))


@cache
def ways(gates: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """In how many ways of some gates i are open before a step, j after it and l both times, (i, j, l).

    And how many stay open, close, open and stay closed then.
    """
    i, j, both = np.indices((gates + 1,) * 3)
    some = both, i - both, j - both, gates - i - j + both
    possible = np.all([x >= 0 for x in some], 0)
    fates = tuple(np.where(possible, x, 0) for x in some)
    return (possible * comb(i, fates[0]) * comb(gates - i, fates[2])).astype(float), fates


def moves(gates: int, inf: Array, τ: Array, dt: float) -> Array:
    """Probabilities that of some gates i are open before a step, and j after it, (i, j)."""
    opens, closes = inf * covered_exactly(dt / τ), (1 - inf) * covered_exactly(dt / τ)
    number, fates = ways(gates)
    powers = jnp.arange(gates + 1, dtype=inf.dtype)
    chances = [x**powers for x in (1 - closes, closes, opens, 1 - opens)]
    return (jnp.asarray(number, inf.dtype) * math.prod(x[n] for x, n in zip(chances, fates, strict=True))).sum(-1)


# %% [markdown]
# How many of $n$ channels go, if each does with the probability $p$? A binomial random number, for millions
# of channels at each step. Where few go, the probabilities of 0, 1, 2, … are added up until they exceed a
# uniform random number: exact, and up to 20 terms suffice for a mean below 4. Where many do, a normal
# distribution takes its place, with the same mean, variance and *skewness*. It is bent by the term
# $z^2 - 1$ to one side, as the binomial is, and rounded to whole numbers, which adds a variance of 1/12
# that is taken away beforehand. (JAX has a binomial generator of its own. It rejects candidates in a loop,
# and side by side all lanes wait for the slowest.)

# %%
FEW, TERMS = 4.0, 20  # up to that mean the probabilities of 0 to 20 are added up: those of more than 20 are below 1e-8


def binomial(u: Array, n: Array, p: Array) -> Array:
    """How many of n go, each with the chance p, from a uniform number u; all have one shape.

    Where less than `FEW` of them go or stay on average, by the inverse of the distribution function, else from a
    normal distribution with the same mean, variance and skewness, rounded.
    """
    q = jnp.minimum(p, 1 - p)

    def term(k: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        (pmf, cdf, few), k = now, k.astype(n.dtype)
        after = pmf * (n - k) / (k + 1) * q / (1 - q)
        return after, cdf + after, few + jnp.where(u > cdf, 1.0, 0.0)

    none = jnp.exp(n * jnp.log1p(-q))
    few = lax.fori_loop(0, TERMS, term, (none, none, jnp.zeros_like(n)))[2]
    z, skew = jax.scipy.special.ndtri(u), 1 - 2 * q
    variance = n * q * (1 - q) - 1 / 12 - skew**2 / 18  # without what rounding and skewness add
    many = jnp.floor(n * q + 0.5 + jnp.sqrt(jnp.maximum(variance, 0)) * z + skew * (z * z - 1) / 6)
    found = jnp.clip(jnp.where(n * q < FEW, few, many), 0, n)
    return jnp.where(p > 0.5, n - found, found)


# %% [markdown]
# From one state channels go to several. The first binomial number says how many go to state 0, the next how
# many of the *rest* go to state 1, with a chance that is larger by as much as the rest is smaller, and so
# on: together that is a multinomial number, and no channel is lost. Gates of activation and of inactivation
# move independently, so that a step moves the rows first, and then the columns. For a channel with one sort
# of gates the other has a single state, and nothing is to be done.

# %%
TINY = 1e-30


def scattered(key: Array, n: Array, chances: Array) -> Array:
    """How many channels are in each state after a step, (other, j); n: (other, i) before it, chances: (i, j)."""
    if n.shape[1] == 1:
        return n

    def to_one(now: tuple[Array, Array], x: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (left, rest), (u, chance) = now, x
        moved = binomial(u, left, jnp.broadcast_to(jnp.clip(chance / jnp.maximum(rest, TINY), 0, 1), left.shape))
        return (left - moved, rest - chance), moved.sum(1)

    u = jax.random.uniform(key, (n.shape[1] - 1, *n.shape), n.dtype)
    (left, _), found = lax.scan(to_one, (n, jnp.ones_like(n[0])), (u, chances[:, :-1].T))
    return jnp.concatenate([found, left.sum(1)[None]]).T


def random_step(key: Array, n: Array, m: Sequence[Array], h: Sequence[Array], dt: float) -> Array:
    """The channels of a cell after a step of length dt (ms), (open m, open h); m, h: x∞ and τ (ms) of a gate."""
    first, second = jax.random.split(key)
    n = scattered(first, n.T, moves(n.shape[0] - 1, m[0], m[1], dt)).T
    return scattered(second, n, moves(n.shape[1] - 1, h[0], h[1], dt))


# %% [markdown]
# Around the flows of a circuit, all this is one more flow. The potential moves as it did, with the gates
# that channels have together; then all else moves, the channels as well. Where the scheme of the first
# chapter would move their gates, the result is replaced by that of the channels. They see the potential in
# the middle of their step, as gates do, so that the mean behaviour keeps its second order.


# %%
class Counted(NamedTuple):
    """The state of a run in which channels are counted."""

    y: Working
    n: tuple[Array, ...]  # of each kind, as `Kind.counts`


class RandomChannels(NamedTuple):
    """Channels of which a cell has a finite number: a pytree, for `Drive.channels`."""

    N: Any  # for each membrane, for each of its channels, (cell,) how many a cell has, or None without noise
    key: Any
    first: Any = 0  # steps from time 0 to the start of the run

    def check(self, circuit: Circuit) -> None:
        """Refuse numbers that do not belong to the channels of a circuit."""
        wanted = [[(len(cells),)] * len(m.channels) for m, cells in zip(circuit.membranes, circuit.groups, strict=True)]
        found = [[None if x is None else np.shape(x) for x in numbers] for numbers in self.N]
        if len(found) != len(wanted) or any(
            len(a) != len(b) or not {*a} <= {None, *b} for a, b in zip(found, wanted, strict=True)
        ):
            raise ValueError(
                f"N has the shapes {found}; it must be {wanted}, or None for channels without noise. See "
                "numbers_of_channels."
            )

    def joined(
        self, circuit: Circuit, p: Prepared, f: Flows, y: Working, n: Any, dt: float
    ) -> tuple[Flows, Counted, Callable[[Counted], Any]]:
        """Flows with random channels around those of a circuit, the start, and what is recorded; n: of a run before."""
        kinds = kinds_of(circuit, self.N)
        stepped = lambda now, y, V, k: with_random_steps(circuit, kinds, self, Counted(y, now.n), V, k, dt)  # noqa: E731
        around = Flows(
            charge=lambda now, k, h: now._replace(y=f.charge(now.y, k, h)),
            relax=lambda now, k: stepped(now, f.relax(now.y, k), contracted(p.gap, now.y.V)[0], k),
            close=lambda now, k: now._replace(y=f.close(now.y, k)),
            euler=lambda now, k: stepped(now, f.euler(now.y, k), now.y.V, k),
        )
        seen = lambda now: noisy_state(unpack(circuit, now.y), as_array(len(y.V), kinds, now.n))  # noqa: E731
        return around, drawn(kinds, self, y, n), seen

    def keys(self, kind: Kind, key: Any, k: Any) -> Array:
        """The keys for a kind of channel in all cells that have it, for the step k of a run, from one of all cells."""
        of_cell = lambda cell: jax.random.fold_in(jax.random.fold_in(key, cell), self.first + k)  # noqa: E731
        return jax.vmap(lambda cell: jax.random.fold_in(of_cell(cell), kind.channel))(jnp.asarray(kind.cells))


# %% [markdown]
# A step computes the targets $x_∞$ and time constants $τ$ once for all gates of a membrane, and moves the
# channels of each kind toward them. The gates that others read follow from the numbers: $h$ is the share
# with all gates of inactivation open, and $m^p$ the share of *these* that conduct. Derivatives stop at the
# numbers of channels, which cannot change a little.


# %%
def as_array(cells: int, kinds: Sequence[Kind], counts: Sequence[Array]) -> Array:
    """The channels of all kinds as in `NoisyState.n`."""
    n = jnp.zeros((cells, max(kind.end for kind in kinds)), counts[0].dtype)
    for kind, x in zip(kinds, counts, strict=True):
        n = n.at[kind.place].set(x.reshape(len(x), -1))
    return n


def with_gates(kinds: Sequence[Kind], now: Counted) -> Counted:
    """The gates that channels have together, with m such that m^p h^q of them are open."""
    x = list(now.y.x)
    for kind, n in zip(kinds, now.n, strict=True):
        opened, available, all_ = n[:, -1, -1], n[:, :, -1].sum(1), n.sum((1, 2))
        shares = opened / jnp.maximum(available, 1), available / all_
        for i, gates, share in zip(kind.rows, kind.gates, shares, strict=True):
            if i is not None:
                x[kind.membrane] = x[kind.membrane].at[i].set(share ** (1 / gates))
    return Counted(now.y._replace(x=tuple(x)), now.n)


def with_random_steps(
    circuit: Circuit, kinds: Sequence[Kind], c: RandomChannels, now: Counted, V: Array, k: Any, dt: float
) -> Counted:
    """The channels after step k, at the potentials V (mV), and their gates with them."""
    parts, after = zip(circuit.membranes, split(circuit, V), split(circuit, now.y.Ca), strict=True), []
    targets = [tuple(kinetics(circuit, *part))[1] for part in parts]
    inf, τ = (lax.stop_gradient([x[i] for x in targets]) for i in (0, 1))
    for kind, n in zip(kinds, now.n, strict=True):
        m, h = zip(kind.of(inf), kind.of(τ), strict=True)
        after.append(jax.vmap(partial(random_step, dt=dt))(c.keys(kind, c.key, k), n, m, h))
    return with_gates(kinds, Counted(now.y, tuple(after)))


# %% [markdown]
# At the start channels are drawn from the gates of the state: each gate is open with the probability $x$,
# which is a step of infinite length toward it. If the state comes from an earlier noisy run, its own
# channels go on, provided that the state has not been changed: the gates must be theirs, and the numbers
# those that are asked for.

# %%
START = 2**32 - 1  # in the place of a cell's number, for the keys with which channels are drawn at the start


def drawn(kinds: Sequence[Kind], c: RandomChannels, y: Working, old: Any) -> Counted:
    """The start of a run: channels drawn from the gates, or the old ones where the gates are theirs."""
    fresh = []
    for kind in kinds:
        some = [(x, jnp.ones_like(x)) for x in lax.stop_gradient(kind.of(y.x))]
        N = jnp.asarray(c.N[kind.membrane][kind.channel], y.V.dtype)
        closed = jnp.zeros((len(kind.cells), *(i + 1 for i in kind.gates)), N.dtype).at[:, 0, 0].set(N)
        keys = c.keys(kind, jax.random.fold_in(c.key, START), 0)
        fresh.append(jax.vmap(partial(random_step, dt=jnp.inf))(keys, closed, *some))
    if old is not None and old.shape[-1] == max(kind.end for kind in kinds):
        fresh = gone_on(kinds, y, fresh, [kind.counts(jnp.asarray(old, y.V.dtype)) for kind in kinds])
    return with_gates(kinds, Counted(y, tuple(fresh)))


def gone_on(kinds: Sequence[Kind], y: Working, fresh: Sequence[Array], old: Sequence[Array]) -> list[Array]:
    """The old channels of cells that have as many as asked for, with the gates of the state, else fresh ones."""
    theirs, found = with_gates(kinds, Counted(y, tuple(old))).y.x, []
    for kind, a, b in zip(kinds, old, fresh, strict=True):
        same = a.sum((1, 2)) == b.sum((1, 2))
        for x, wanted in zip(kind.of(theirs), kind.of(y.x), strict=True):
            same &= jnp.abs(x - wanted) < EDGE
        found.append(jnp.where(same[:, None, None], a, b))
    return found


# %% [markdown]
# Who counts channels says so by name. A number must be whole, and one that the precision can count with
# room to spare: $2^{23}$ at most in single precision, and $2^{52}$ in double. So many channels make no
# noise that one could see.


# %%
def numbers_of_channels(model: Model, channels: Mapping[str, float]) -> tuple[tuple[np.ndarray | None, ...], ...]:
    """`RandomChannels.N`: for each membrane, for each of its channels, (cell,) the number in a cell, or None."""
    circuit, gated = model.circuit, lambda c: c.m or c.h
    most, rule = 2.0 ** np.finfo(model.dtype).nmant, "a mapping from names to numbers, such as {'Na': 6000, 'K': 1800}"
    checks.of_type("channels", channels, Mapping, rule)
    for name, n in channels.items():
        checks.choice("a channel with noise", name, {c.name for m in circuit.membranes for c in m.channels if gated(c)})
        n = whole(f"the number of {name!r} channels", n, least=1)
        if n > most:
            raise ValueError(
                f"the number of {name!r} channels is {n:g}; at most {most:g} can be counted. Leave it out: there is "
                "no noise."
            )
    counted = lambda c: c.name in channels and gated(c)  # noqa: E731
    given = lambda c, cells: np.full(len(cells), float(channels[c.name])) if counted(c) else None  # noqa: E731
    return tuple(
        tuple(given(c, cells) for c in m.channels) for m, cells in zip(circuit.membranes, circuit.groups, strict=True)
    )


# %% [markdown]
# ## A noisy run
#
# All of it in one function. The current of the noise is added to that of the experiment; a conductance is
# converted from nS to µS and cut off at 0, and brings the current $g E$ along. Without counted channels the
# run is that of any other experiment. With them the state becomes a `NoisyState`, and the key for the
# channels is one that no other noise uses.


# %%
def noisy(
    model: Any, t: Any, *, current: White | OU | None = None, conductances: Sequence[Bombardment] = (),
    channels: Mapping[str, float] | None = None, seed: int = 0, I_ext: Any = None, state: Any = None,
    dt: float | None = None, t0: float = 0.0,
) -> Any:  # fmt: skip
    """A result of a model with noise in every cell.

    current: into each cell. conductances: fluctuating inputs, in nS, or for a `Neuron` in its units. channels:
    name -> number in a cell, for channels that open at random; states are then `NoisyState`s. seed: a whole number;
    the noise of a cell depends on it, on the cell's number and on the time only. Raises ValueError or TypeError.
    """
    s = set_up(model, t, state, dt, t0, any_model)
    seed = checks.count("seed", seed, 2**32 - 1, least=0)
    check_noise(current, conductances, s)
    N = None if channels is None or channels == {} else numbers_of_channels(model_of(s.model), channels)
    with precision(s.model.dtype):
        key, I, G = jax.random.key(seed), injected(s, I_ext), None
        if current is not None:
            I = I + noise_of_cells(current, key, s, 0)
        for i, x in enumerate(conductances, 1):
            g = jnp.maximum(noise_of_cells(x.g, key, s, i), 0) * (1.0 if s.model.own_units else NS_TO_US)
            G, I = g if G is None else G + g, I + g * x.E
        if N is None:
            return run(s, Drive(I, G))
        counted = RandomChannels(N, jax.random.fold_in(key, len(conductances) + 1), first_step(s))
        start = noisy_state(s.start, state.n) if isinstance(state, NoisyState) else s.start
        return run(s._replace(start=start), Drive(I, G, channels=counted))


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-passive-noise
# White noise of what strength moves the potential of a passive cell by a millivolt? Its variance is
# proportional to the square of the strength.
# ```
#
# ```{solution-start} ex-passive-noise
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..models.channels import Prinz2003
#
# passive, t_long = Cell([Prinz2003.leak(0.02)], V=-50), np.arange(0, 20000, 0.5)
# deviation = lambda σ: float(noisy(passive, t_long, current=White(σ), seed=1).V.iloc[400:, 0].std())
# one, two = deviation(0.1), deviation(0.2)
# assert abs(two / one - 2) < 1e-3
# 0.1 / one  # nA √ms

# %% [markdown]
# The ratio of the two is exactly two, since a passive cell is linear and the seed is the same.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-mean-input
# Noise with a mean is noise and a current. Compare `OU(μ, σ, τ)` with `OU(0, σ, τ)` and a constant current
# of μ.
# ```
#
# ```{solution-start} ex-mean-input
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# t_noise = np.arange(0, 500, 0.5)
# with_mean = noisy(passive, t_noise, current=OU(0.1, 0.2, 5), seed=2).V
# apart = noisy(passive, t_noise, current=OU(0.0, 0.2, 5), I_ext=0.1, seed=2).V
# assert np.allclose(with_mean, apart, atol=1e-9)

# %% [markdown]
# They are the same.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-slow-noise
# Two noisy currents have the same standard deviation of 20 pA, but one forgets within 5 ms, the other
# within 200 ms. Which of them moves a passive cell with a time constant of $τ_m$ = 50 ms more, and by what
# factor? The theory is $\frac{σ}{g} \sqrt{τ / (τ + τ_m)}$.
# ```
#
# ```{solution-start} ex-slow-noise
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# t_slow, g, τ_m = np.arange(0, 40000, 0.5), 0.02 * 0.628, 50.0
# with_memory = lambda τ: noisy(passive, t_slow, current=OU(0.0, 0.02, τ), seed=1).V.iloc[2000:, 0]
# moved = {τ: float(with_memory(τ).std()) for τ in (5.0, 200.0)}
# theory = {τ: 0.02 / g * np.sqrt(τ / (τ + τ_m)) for τ in moved}
# assert all(abs(moved[τ] / theory[τ] - 1) < 0.1 for τ in moved)
# moved, theory

# %% [markdown]
# The slow one, by a factor of three. A membrane averages over its time constant: of fast noise many
# independent values cancel, while slow noise is followed all the way, to $σ/g$ = 1.6 mV.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-count-channels
# How can one count channels without seeing them? Step the potassium channels of the axon from −65 to 0 mV
# four hundred times. At each time after the step some mean number $M$ is open, and the number varies from
# one repetition to the next with a variance of $M - M^2/N$, by {eq}`eq-open`. Estimate $N$ from the two,
# for 1000 channels.
# ```
#
# ```{solution-start} ex-count-channels
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..engine.kinetics import at
#
# with precision("float64"):
#     gate, one_, potential = HH.K.m, jnp.ones(()), jnp.array([-65.0, 0.0])
#     (before, after), (_, τ_after) = at(gate.inf, potential, 0.05), at(gate.tau, potential, 0.05)
#
#     def repetition(key):
#         """Open channels at 100 steps of 0.1 ms after the step of the potential."""
#         first, *others = jax.random.split(key, 101)
#         closed = jnp.zeros((5, 1)).at[0, 0].set(1000)  # by open gates n, of which there are four
#         start = random_step(first, closed, (before, one_), (one_, one_), jnp.inf)
#         moved = lambda n, key: (random_step(key, n, (after, τ_after), (one_, one_), 0.1),) * 2
#         return lax.scan(moved, start, jnp.stack(others))[1][:, -1, -1]
#
#     opened = np.asarray(jax.jit(jax.vmap(repetition))(jax.random.split(jax.random.key(0), 400)))
# M, variance = opened.mean(0), opened.var(0)
# counted = (M**4).sum() / (M**2 * (M - variance)).sum()  # least squares of variance = M − M²/N
# assert 900 < counted < 1100
# counted

# %% [markdown]
# It finds 986. At the rig the numbers are currents, $i M$ with the current $i$ of one channel, and the
# variance is $i^2 (M - M^2/N)$: a parabola, whose slope at the origin gives $i$ and whose curvature gives
# $N$. This *fluctuation analysis* told the conductance of single channels before anyone saw one open.
# ```{solution-end}
# ```
