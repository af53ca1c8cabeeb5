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
# # Thousands of circuits at once
#
# How long does it take to simulate twenty million circuits, thirteen seconds each? A circuit of three cells
# takes 260,000 {term}`time steps <time step>`, and in each of them 93 exponentials. A loop over cells and
# channels that was compiled by numba does 3.0 million steps of a circuit per second on two cores: three
# weeks for all. This chapter does 52 million: 28 hours (`benchmarks/README.md`, in single precision; 18
# million in double). It computes the same equations. A circuit that runs in a **{term}`lane`** beside 63
# copies of itself has the rhythm that it has alone:

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=560, height=230, line_width=1.2), hv.opts.Overlay(toolbar=None))

# %% tags=["active-ipynb", "hide-input"]
# import numpy as np
# import pandas as pd
#
# from .lanes import MULTIPLE, Plan, compiled
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004, State, precision
# from ..rhythm import features
#
# paper = Prinz2004.from_toml(find_circuit("paper"))
# start = paper.get_thermalization()
# plan = Plan(paper.circuit, "staggered", 0.05, 6000.0, 2000.0, "float64")
# program = compiled("cpu")
#
#
# def copies(x):
#     """The same numbers in every lane."""
#     return np.repeat(np.asarray(x)[None], MULTIPLE, 0)
#
#
# with precision("float64"):
#     lanes = program(plan, copies(paper.params.g), copies(paper.params.gs), State(*map(copies, start)))
# by_itself = features(paper(np.arange(2000, 8000.05, 0.05), state=start), window=(2000, 8000))
# np.testing.assert_allclose(np.asarray(lanes.values)[0], by_itself, rtol=1e-3)
# pd.DataFrame({"in a lane": np.asarray(lanes.values)[0], "alone": by_itself}).round(3)

# %% [markdown]
# A processor computes eight or sixteen numbers with one instruction if they lie side by side. One circuit
# has little that lies side by side: three cells with eight channels each, all different. So the circuits
# do. The last axis of every array is the lane, one circuit each, and no equation mixes lanes. Constants,
# channels, curves and the two schemes are those of the chapter [on the circuit](../prinz2004.py), and
# {term}`spikes <spike>` and {term}`bursts <burst>` those of the chapter [on rhythm](../rhythm.py); each
# part is checked against them.
#
# ## What it does and what it costs
#
# `simulate_and_measure` takes a plan, densities $g$ (circuit, cell, channel) in mS/cm², strengths $g_s$
# (circuit, synapse) in nS, and perhaps states to start from. It returns `Measures`, the fifteen features of
# each circuit with the reasons where one is not defined, the variation of the period, and the share of
# cycles in order. A `Plan` holds what is fixed when a program is compiled: the circuit's wiring, scheme,
# step, duration and precision. Compiling took from fifteen to twenty-five seconds on two busy cores, once
# for each plan and number of lanes.
#
# No voltage is kept. Spikes are found while the circuit runs and their times, a few thousand numbers, are
# all that is left of a run. Of a hundred thousand circuits over ten seconds the potentials would take 240
# GB; a process that ran so many took one.
#
# Three things make the difference to an ordinary loop, each with a section below: exponentials that are
# computed side by side and no more exactly than single precision can tell; divisions that were taken
# together; and arrays that stay where they are while time goes on. What it cannot do: a circuit has one
# cell of each population and no {term}`gap junctions <gap junction>`, all lanes have one wiring and one
# step, and nothing comes from outside. [Ensembles](ensemble.py) lift most of that with the same lanes.
# Users meet this chapter through these, through [the database](../database.py) and through
# [inference](../fitting/inference.py).
#
# ## Mechanics
#
# First the layout of the numbers, then what is done with them in a step: exponentials, gates, potentials.
# Then what is looked for after each step, spikes, and what is made of those at the end, features. The last
# sections put it together.

# %%
from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..engine import checks
from ..engine.detection import GAP, MIN_BURST, REFRACTORY, SPIKE_THRESHOLD
from ..engine.kinetics import value
from ..engine.layout import Arithmetic
from ..engine.thermalization import THERMALIZATION
from ..prinz2004 import (
    DEFAULT_DT,
    SCHEMES,
    Circuit,
    Curve,
    Flows,
    Gate,
    Membrane,
    Params,
    Prepared,
    State,
    Working,
    cold_start,
    converted,
    covered,
    flows,
    gates_of,
    growth,
    pack,
    unpack,
)
from ..rhythm import FEATURES, ROLES, WHY, Cycles, Measures, in_right_order, of_each_cycle, reasons

__all__ = ["Plan", "feasible", "in_parts", "simulate_and_measure"]

# %% [markdown]
# ### Lanes
#
# A state in lanes is a `Working` state of the first chapter, all of whose arrays have one more axis, the
# last one. In memory the lanes of one number are neighbours then: the potential of the LP cell in all
# circuits, then that of the PY cell. That is the order in which they are needed, since the same is done to
# all of them.
#
# Its gates are separate arrays, since each is computed by itself. XLA makes one loop of each of them, in
# which all intermediate results stay in registers.


# %%
def in_arrays(y: Working) -> Working:
    """A state with one array for each transmitter and each gate."""
    return y._replace(s=tuple(y.s), x=tuple(map(tuple, y.x)))


def to_lanes(circuit: Circuit, states: State, dtype: Any) -> Working:
    """States with a leading axis of circuits, (circuit, cell, …), as lanes."""
    return in_arrays(pack(circuit, jax.tree.map(lambda x: jnp.moveaxis(jnp.asarray(x, dtype), 0, -1), states)))


def from_lanes(circuit: Circuit, y: Working) -> Any:
    """The state (cell, …, lane) of all lanes."""
    cells = [len(numbers) for numbers in circuit.groups]
    x = tuple(
        jnp.stack(x) if x else jnp.zeros((0, n, *y.V.shape[1:]), y.V.dtype) for x, n in zip(y.x, cells, strict=True)
    )
    return unpack(circuit, y._replace(s=jnp.stack(y.s) if y.s else jnp.zeros((0, *y.V.shape), y.V.dtype), x=x))


# %% [markdown]
# Conductances become µS, as in `prepare` of the first chapter. Their lanes come first when they are given,
# as the rows of a table, and are moved to the end.


# %%
def prepared_in_lanes(params: Params, dtype: Any, dt: float) -> Prepared:
    """Conductances in µS; each field of the parameters has the lanes behind its last axis."""
    p = converted(params, dtype, dt)
    return p._replace(g=tuple(map(tuple, p.g)), w=tuple(p.w))


def conductances_in_lanes(circuit: Circuit, g: Any, gs: Any, dtype: Any) -> Prepared:
    """Densities g (circuit, cell, channel) in mS/cm² and strengths gs (circuit, synapse) in nS, in µS."""
    g, gs = (jnp.moveaxis(jnp.asarray(x, dtype), 0, -1) for x in (g, gs))
    return prepared_in_lanes(Params(g, gs, jnp.zeros((), dtype), circuit), dtype, DEFAULT_DT)


# %% [markdown]
# ### Exponentials
#
# Exponentials are most of the work: a cell needs 31 in each step. The one of a mathematical library is
# right to the last bit of any number, handles infinities, and takes its time. Here the precision is single,
# and the numbers are known to be moderate. So
#
# $$
# 2^t = 2^n\,(1 + r\,p(r)), \qquad n = \mathrm{round}(t), \qquad r = t - n,
# $$ (eq-exp2)
#
# with a polynomial $p$ of degree 5 whose coefficients make the relative error least on $|r| \le 1/2$; it is
# then $2·10^{-9}$, well below the rounding of $6·10^{-8}$. The factor $2^n$ is an addition to the exponent,
# and the form $1 + r\,p(r)$ also gives $2^t - 1$ without cancellation.
#
# That matters for the gates, which move by $1 - e^{-dt/τ}$ in a step. Take $dt/τ = 10^{-4}$, a slow gate:
# in single precision $e^x$ is 1.0001000, and once 1 is subtracted $1.00017·10^{-4}$ remains, wrong in the
# fourth digit. The polynomial gives $1.0000500·10^{-4}$, right to the eighth.

# %%
SHORT = (0.693147203, 0.240226479, 0.0555033247, 0.00961843736, 0.00133988744, 0.000153533619)
MANTISSA = 23  # bits after which the exponent of a single-precision number begins
LOG2_E = math.log2(math.e)

# %% [markdown]
# A number in single precision has 23 bits of mantissa and above them eight of exponent. Shifted to the left
# by 23 a whole number $n$ stands where the exponent stands, and one addition of whole numbers multiplies by
# $2^n$, as long as the result does not leave the range: $|t| < 126$.


# %%
def reduced(t: Array) -> tuple[Array, Array]:
    """r p(r), and n where it stands in the exponent, of {eq}`eq-exp2`."""
    n = jnp.round(t)
    r = t - n
    p = jnp.full_like(t, SHORT[-1])
    for c in SHORT[-2::-1]:
        p = p * r + np.float32(c)
    return r * p, lax.shift_left(n.astype(jnp.int32), jnp.int32(MANTISSA))


def raised(x: Array, n: Array) -> Array:
    """x 2ⁿ, n standing in the exponent."""
    return lax.bitcast_convert_type(lax.bitcast_convert_type(x, jnp.int32) + n, jnp.float32)


# %% [markdown]
# Double precision is left to the library: a polynomial would need twice the degree, and whoever asks for it
# wants to be sure. With $e^x = 2^{x \log_2 e}$ the natural exponential is the same function.


# %%
def exp2(t: Array) -> Array:
    """2^t for |t| < 126."""
    if t.dtype != jnp.float32:
        return jnp.exp2(t)
    rp, n = reduced(t)
    return raised(1 + rp, n)


def expm1(x: Array) -> Array:
    """e^x − 1 for |x| < 87."""
    if x.dtype != jnp.float32:
        return jnp.expm1(x)
    rp, n = reduced(x * np.float32(LOG2_E))
    scale = raised(jnp.ones_like(x), n)
    return rp * scale + (scale - 1)


# %% [markdown]
# What is the best polynomial worth? That of Taylor with the same number of terms is exact at 0 and bad at
# the ends, eighty times worse in its largest error, and above the rounding. The coefficients here spread
# the error evenly, so that it goes up and down between equal bounds.

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "Relative error of two polynomials for 2^r, in double precision: the one used, and that of Taylor.", "name": "fig-exp2"}}
# r = np.linspace(-0.5, 0.5, 501)
#
#
# def error_of(coefficients):
#     """Relative error of 1 + r p(r)."""
#     return (1 + r * np.polyval(coefficients[::-1], r)) / 2**r - 1
#
#
# taylor = [math.log(2) ** k / math.factorial(k) for k in range(1, 7)]
# best, worse = np.abs(error_of(SHORT)), np.abs(error_of(taylor))
# assert best.max() < 2.2e-9 and worse.max() > 70 * best.max()
# looks = dict(logy=True, ylim=(1e-12, 1e-6), legend_position="right")
# curve = lambda e, name: hv.Curve((r, np.maximum(e, 1e-12)), "r", "relative error", label=name)
# hv.Overlay([curve(best, "used"), curve(worse, "Taylor")]).opts(**looks)

# %% [markdown]
# As it is computed, in single precision, the error is that of the rounding, one unit in the last place at
# most:

# %% tags=["active-ipynb"]
# t = np.linspace(-100, 100, 10_001, dtype=np.float32)
# error = np.abs(np.asarray(exp2(t)) / 2.0 ** t.astype(float) - 1).max()
# assert error < 2**-23
# f"{error:.1e}"

# %% [markdown]
# ### Gates
#
# A gate covers the share $1 - e^{-r}$ of the way to its steady state, $r = dt/τ$. With $q = e^{r} - 1$ that
# share is $q/(1+q)$. A `Curve` is a quotient as well, $x_∞ = N_∞/D_∞$, and so is $τ$. Written as quotients,
# all divisions of a gate become two:
#
# $$
# x \leftarrow x + \frac{(N_∞ - x D_∞)\,q}{D_∞\,(1 + q)}, \qquad
# x_∞ = \frac{N_∞}{D_∞}, \qquad r = \frac{dt\,D_τ}{N_τ}.
# $$ (eq-lane-gate)
#
# The sodium gate of the first chapter, for instance, jumps from −50 to −20 mV, where $m_∞ = 0.74$ and $τ =
# 0.17$ ms. In a step of 0.05 ms $r = 0.29$, $q = 0.34$, and so $m$ goes from 0.01 to $0.01 + 0.73 ·
# 0.34/1.34 = 0.20$. A circuit of three cells has 156 divisions in a step, which take 7 of its 57 ns by the
# tables of `benchmarks/README.md`; its 93 exponentials take 13.
#
# Potentials beyond ±100 mV, where every gate is saturated, count as ±100 mV, so that no product leaves the
# range of single precision. For the same reason $r$ is 60 at most: the share is 1 to the last bit long
# before.

# %%
SATURATED = 100.0  # mV
LARGEST = 60.0  # of r; the share is then 1 to the last bit
TINY = 1e-4  # (1 - e^(-z))/z is 1 - z/2 to rounding below

# %% [markdown]
# A number of a curve may be fixed, or vary from lane to lane. What is fixed is known to the compiler, and
# what is 1, 0 or infinite can be left out; of what varies nothing can be known.


# %%
def fixed(x: Any) -> bool:
    """Whether a number is the same in all lanes, and known when a run is compiled."""
    return not isinstance(x, Array)


def exponential(V: Array, a: Any, k: Any) -> Any:
    """e^((V+a)/k), V in mV."""
    if fixed(k) and np.isinf(k):
        return 1.0
    slope, offset = LOG2_E / k, a * LOG2_E / k
    return exp2(V * jnp.asarray(slope, V.dtype) + jnp.asarray(offset, V.dtype))


# %% [markdown]
# A `Curve` is $(c_0 + c_1/D)(κ + λ/D_3)$, {eq}`eq-curve`, with $D$ a sum of one or two exponentials. Its
# numerator is $(c_0 D + c_1)(κ D_3 + λ)$, its denominator $D D_3$: no division at all. Any other function
# of $V$ is its own numerator.


# %%
def quotient(f: Any, V: Array, Ca: Array) -> tuple[Any, Any]:
    """Numerator and denominator of a function of V in mV, and perhaps Ca in µM."""
    if not isinstance(f, Curve):
        return value(f, V, Ca), 1.0
    D = exponential(V, f.a1, f.k1) + exponential(V, f.a2, f.k2)
    N = f.c1 if fixed(f.c0) and not f.c0 else f.c0 * D + f.c1
    if fixed(f.k3) and np.isinf(f.k3):
        return N * f.κ, D
    D3 = 1 + exponential(V, f.a3, f.k3)
    return N * (f.κ * D3 + f.λ), D * D3


# %% [markdown]
# Two quotients, and calcium for the gates that it opens, make a step of a gate. The staggered scheme takes
# $q = e^r - 1$ to fourth order in $r$, which is enough for its order and costs no exponential; exponential
# Euler, as in the paper, takes all of it. `grow` says which.


# %%
def gate_step(gate: Gate, V: Array, Ca: Array, x: Array, *, dt: float, τ_min: Any, grow: Any) -> Array:
    """x after a time dt (ms), {eq}`eq-lane-gate`; grow: r -> q."""
    (N, D), (N_τ, D_τ) = quotient(gate.inf, V, Ca), quotient(gate.tau, V, Ca)
    if not fixed(gate.K) or gate.K:
        N, D = N * Ca, D * (Ca + gate.K)
    most = min(dt / τ_min, LARGEST) if fixed(τ_min) else jnp.minimum(dt / τ_min, LARGEST)
    q = grow(jnp.minimum(dt * D_τ / N_τ, most))
    return x + (N - x * D) * q / (D * (1 + q))


def gates_in_lanes(
    circuit: Circuit, membrane: Membrane, V: Array, Ca: Array, s: Any, x: Any, dt: float, share: Callable[[Any], Array]
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """s and x after a time dt (ms) with V and Ca frozen."""
    V = jnp.clip(V, -SATURATED, SATURATED)
    grow = growth if share is covered else expm1
    move = partial(gate_step, dt=dt, τ_min=membrane.constants.τ_min, grow=grow)
    released, gates = gates_of(circuit, membrane)
    return (
        tuple(move(gate, V, Ca, s_i) for gate, s_i in zip(released, s, strict=True)),
        tuple(move(gate, V, Ca, x_i) for gate, x_i in zip(gates, x, strict=True)),
    )


# %% [markdown]
# ### Potentials
#
# With the gates frozen the potential follows $C \dot V = J - G V$, whose exact solution over a time $h$ is
#
# $$
# V(h) = V + (J - G V)\,\frac{h}{C}\;\frac{1 - e^{-z}}{z}, \qquad z = \frac{G h}{C}.
# $$ (eq-lane-flow)
#
# The last factor is 1 for small $z$, where the quotient would be one of two zeros; below $10^{-4}$ it is $1
# - z/2$, which is right to rounding there. Both are computed in all lanes, and the right one is taken: side
# by side nothing can be skipped.


# %%
def flow_in_lanes(V: Array, G: Array, J: Array, C: Any, h: Any) -> Array:
    """V after a time h (ms), from G (µS), J (nA) and C (nF)."""
    z = G * (h / C)
    share = -expm1(-jnp.minimum(z, LARGEST)) / z
    return V + (J - G * V) * (h / C) * jnp.where(z < TINY, 1 - z / 2, share)


LANES = Arithmetic(flow_in_lanes, gates_in_lanes)

# %% [markdown]
# ### Spikes
#
# A spike is a local maximum of $V$ above the threshold of −10 mV, at least a refractory time of a
# millisecond after the last one. Its time is that of the top of the parabola through three samples $a$,
# $b$, $c$, of which $b$ is the largest:
#
# $$
# t = t_b + \frac{a - c}{2\,(a - 2b + c)}\, dt.
# $$ (eq-parabola)
#
# With 10, 20 and 18 mV it lies a third of a step after $b$. That it stands out, too, is a rule for
# recordings: there is no noise here.

# %%
TICKS = 1024  # in a time step, at most
UNROLL = 4  # steps between which no array is copied


class Watch(NamedTuple):
    """What the search for spikes remembers from step to step."""

    before: Array  # (cell, lane) mV, two steps ago
    last: Array  # (cell, lane) mV, one step ago
    spike: Array  # (cell, lane) time of the last spike, in steps since the block began
    found: Array  # (cell, lane) whether that spike is in this block


def look(watch: Watch, V: Array, i: Array, dt: float) -> Watch:
    """Look for a spike one step ago, now that V at step i of the block is known."""
    a, b = watch.before, watch.last
    steps = i - 1 + (a - V) / (2 * (a - 2 * b + V))
    top = (b > SPIKE_THRESHOLD) & (b > a) & (b >= V) & (steps - watch.spike >= REFRACTORY / dt)
    return Watch(b, V, jnp.where(top, steps, watch.spike), top | watch.found)


# %% [markdown]
# A cell has at most one spike in a block no longer than the refractory time. It is put into a buffer at the
# end of the block, as a whole number of ticks; sums of them are exact in any order. To write at each step
# would be to write nothing almost always. A spike for which the buffer has no room is counted and not
# stored, so that the count tells of it. Blocks before step 0, where the recording begins, leave no spikes.
# Ticks are counted in 32 bits, so a run of more than two million steps has fewer of them in a step.


# %%
class Spikes(NamedTuple):
    """Spikes of all cells."""

    ticks: Array  # (spike, cell, lane) times in ticks
    number: Array  # (cell, lane) of spikes; those above the length of `ticks` are not stored


def store(spikes: Spikes, watch: Watch, k: Array, ticks_per_step: int) -> Spikes:
    """Write down the spikes found in the block that began with step k of the recording."""
    ticks = k * ticks_per_step + jnp.round(watch.spike * ticks_per_step).astype(jnp.int32)
    found = watch.found & (k >= 0)
    slot = jnp.where(found, spikes.number, spikes.ticks.shape[0])
    cell, lane = jnp.indices(slot.shape, jnp.int32)
    return Spikes(spikes.ticks.at[slot, cell, lane].set(ticks, mode="drop"), spikes.number + found.astype(jnp.int32))


# %% [markdown]
# The search is a wrapper around the flows of the model: after each flow that ends a step it has a look. So
# the schemes need not know of it, and the search not of the model. Cells without channels say by themselves
# when they reach their threshold.


# %%
class Watched(NamedTuple):
    """A state, and what the search for spikes remembers."""

    y: Working
    watch: Watch


def watched(f: Flows, dt: float) -> Flows:
    """Flows that look for spikes after each step of a block."""

    def seen(w: Watched, y: Working, k: Any) -> Watched:
        i, fired = jnp.asarray(k).astype(y.V.dtype), getattr(y, "fired", None)
        if fired is not None:  # at the threshold of cells without channels, at the end of a step
            return Watched(y, w.watch._replace(spike=jnp.where(fired, i, w.watch.spike), found=fired | w.watch.found))
        return Watched(y, look(w.watch, y.V, i, dt))

    return Flows(
        charge=lambda w, k, h: w._replace(y=f.charge(w.y, k, h)),
        relax=lambda w, k: seen(w, f.relax(w.y, k), k),
        close=lambda w, k: w._replace(y=f.close(w.y, k)),
        euler=lambda w, k: seen(w, f.euler(w.y, k), k),
    )


# %% [markdown]
# The staggered scheme has its potentials half a step ahead; exponential Euler has them at the end of its
# steps.

# %%
OFFSET = {"staggered": 0.5, "exponential_euler": 1.0}  # time of V after step 0, in steps

# %% [markdown]
# ### Blocks
#
# All that a run carries along is a state, what the search remembers, and the buffer. The buffer is large,
# and changed at the end of a block only; in between it is not touched, and four steps at a time are written
# out one after another, between which no array is copied.


# %%
class Run(NamedTuple):
    """All that a run carries along."""

    y: Working
    watch: Watch
    spikes: Spikes


def begin(y: Working, buffer: int) -> Run:
    """A run that starts from y, with room for `buffer` spikes of each cell."""
    shape, dtype = y.V.shape, y.V.dtype
    never = Watch(y.V, y.V, jnp.full(shape, -jnp.inf, dtype), jnp.zeros(shape, bool))
    return Run(y, never, Spikes(jnp.zeros((buffer, *shape), jnp.int32), jnp.zeros(shape, jnp.int32)))


# %% [markdown]
# The number of blocks is hidden from the compiler. Where it knows the number, it makes another program with
# other roundings, and the last bits of a run would depend on how it was cut into parts.


# %%
def advance_flows(
    at: Callable[[Any], Flows], run: Run, k: Any, blocks: Any, *, solver: str, dt: float, n: int, ticks: int = TICKS
) -> Run:  # fmt: skip
    """`blocks` blocks of n steps of dt (ms), the first of which is step k of the recording.

    at: the flows of a block that begins with a step.
    """

    def block(b: Array, run: Run) -> Run:
        none = jnp.zeros_like(run.watch.found)
        start = Watched(run.y, run.watch._replace(found=none))
        y, watch = SCHEMES[solver](watched(at(k + b * n), dt), start, 0, n, dt, UNROLL)
        spikes = store(run.spikes, watch, k + b * n, ticks)
        return Run(y, watch._replace(spike=watch.spike - n), spikes)

    hidden = lax.optimization_barrier(
        jnp.asarray(blocks, jnp.int32)
    )  # or one of a known number is compiled to other roundings
    return lax.fori_loop(0, hidden, block, run)


def advance(
    p: Prepared, run: Run, k: Any, blocks: Any, *, circuit: Circuit, solver: str, dt: float, n: int, ticks: int = TICKS
) -> Run:  # fmt: skip
    """The same for a circuit without input."""
    f = flows(circuit, p, lambda _: None, dt, LANES)
    return advance_flows(lambda _: f, run, k, blocks, solver=solver, dt=dt, n=n, ticks=ticks)


# %% [markdown]
# ### Bursts
#
# The same steps as in the chapter on rhythm, with arrays of fixed size: a compiled program cannot have a
# list that grows. There is room for all bursts that a recording can hold, since 150 ms lie between two of
# them: 68 in ten seconds. What is not used is filled with infinity, which is later than any time. The
# functions are for one circuit and are mapped over lanes.


# %%
class Bursts(NamedTuple):
    """The bursts of a cell that begin in the window, in order; the rest of each array is filled with inf or False."""

    start: Array  # (burst,) ms
    end: Array  # (burst,) ms
    whole: Array  # (burst,) whether the end is in the window, too
    cut: Array  # () ms, start of spikes at the end of the window that may begin a longer burst, or inf


def room(window: tuple[float, float]) -> int:
    """More bursts than a window (ms) can hold."""
    return int((window[1] - window[0]) / GAP) + 2


# %% [markdown]
# A spike begins a burst if the pause before it is longer than 150 ms, and ends one if the pause after it
# is. Both have the same number, and so the $k$-th beginning and the $k$-th end belong together. A burst
# that began before the window, or may go on after it, is no whole one.


# %%
def bursts(t: Array, count: Array, window: tuple[float, float]) -> Bursts:
    """Bursts among the first `count` of the spike times t (spike,) ms."""
    size, i = room(window), jnp.arange(len(t), dtype=count.dtype)
    valid = i < count
    pause = jnp.diff(t) > GAP
    first = valid & jnp.concatenate([jnp.ones(1, bool), pause])
    last = valid & (jnp.concatenate([pause, jnp.ones(1, bool)]) | (i == count - 1))
    a, b = (jnp.nonzero(x, size=size, fill_value=len(t))[0] for x in (first, last))
    start, end = (t.at[x].get(mode="fill", fill_value=jnp.inf) for x in (a, b))
    begun = (a < len(t)) & (start - window[0] > GAP)
    cut = jnp.where(begun & (window[1] - end <= GAP), start, jnp.inf).min()
    order = jnp.nonzero(begun & (end - start > MIN_BURST), size=size, fill_value=size)[0]
    start, end = (x.at[order].get(mode="fill", fill_value=jnp.inf) for x in (start, end))
    return Bursts(start, end, window[1] - end > GAP, cut)


# %% [markdown]
# Sums go from the first to the last, one by one, as they do for a single run. A sum in another order would
# be as right, and differ in the last bit; then a table from a batch and the features of its circuits could
# not be compared exactly, and a mistake in one of them would hide behind the tolerance.


# %%
def total(x: Array, used: Array) -> Array:
    """Sum from first to last of those x (n,) that are used."""
    return lax.scan(lambda sum_, y: (sum_ + y, None), jnp.zeros((), x.dtype), jnp.where(used, x, 0))[0]


def average(x: Array, used: Array) -> Array:
    """Mean of those x (n,) that are used; NaN of none."""
    return total(x, used) / used.sum().astype(x.dtype)


# %% [markdown]
# ### Features
#
# In each cycle of the pacemaker LP and PY must have one burst each. Bursts are in order, so a binary search
# finds how many begin between two times, and which.


# %%
def only_burst(found: Bursts, start: Array, end: Array) -> tuple[Array, Array, Array]:
    """Start and end of the only burst in each cycle (NaN if none or several), and whether one is cut."""
    begin, beyond = (jnp.searchsorted(found.start, x) for x in (start, end))
    which = jnp.where(beyond - begin == 1, begin, len(found.start))
    first, last = (x.at[which].get(mode="fill", fill_value=jnp.nan) for x in (found.start, found.end))
    return first, last, (found.cut >= start) & (found.cut < end)


# %% [markdown]
# With the cycles found, the features are the functions of the chapter on rhythm, `of_each_cycle`, averaged
# over the cycles that were seen to the end. Where something is missing its reason is looked up there as
# well. A cell with more spikes than there was room for has no features: with spikes missing, they would be
# those of another rhythm.


# %%
def measure(t: Array, count: Array, window: tuple[float, float]) -> Measures:
    """Features from the spike times t (spike, cell) in ms of PD, LP and PY, of which the first `count` (cell,) count."""
    PD, LP, PY = found = [bursts(t[:, i], count[i], window) for i in range(len(ROLES))]
    following = jnp.append(PD.start[1:], jnp.inf)
    (*lp, cut_LP), (*py, cut_PY) = (only_burst(x, PD.start, following) for x in (LP, PY))
    seen = jnp.isfinite(following) & ~cut_LP & ~cut_PY
    cycles = Cycles(PD.start, PD.end, following, *lp, *py)
    values = {name: average(x, seen) for name, x in of_each_cycle(cycles).items()}
    values |= {f"burst_duration_{x}": average(b.end - b.start, b.whole) for x, b in zip(ROLES, found, strict=True)}
    n_begun = jnp.stack([jnp.isfinite(b.start).sum() for b in found])
    n_whole = jnp.stack([b.whole.sum() for b in found])
    overflow = (count > len(t)).any()
    why = jnp.where(overflow, WHY.index("overflow"), jnp.stack(reasons(count, n_begun, n_whole, cycles, seen)))
    numbers = jnp.stack([values[name] for name in FEATURES])
    periods = jnp.isfinite(following)
    cv, ordered = variation(following - PD.start, periods), average(in_right_order(cycles).astype(t.dtype), seen)
    lost = lambda x: jnp.where(overflow, jnp.nan, x)  # noqa: E731
    return Measures(jnp.where(why == 0, numbers, jnp.nan), why, lost(cv), lost(ordered))


# %% [markdown]
# The variation of the period is the root of the mean square of $P_i/\bar P - 1$. These deviations are
# rounded to single precision, here as for a single run.


# %%
def variation(x: Array, used: Array) -> Array:
    """Standard deviation over mean of those x (n,) that are used; NaN of fewer than two."""
    mean = average(x, used)
    deviations = (jnp.where(used, x, mean) / mean - 1).astype(jnp.float32).astype(x.dtype)
    return jnp.where(used.sum() > 1, jnp.sqrt(average(deviations * deviations, used)), jnp.nan)


# %% [markdown]
# ### Plans
#
# A batch has its numbers, which stand here once. A block is a millisecond; a buffer has room for 1,024
# spikes of each cell in ten seconds, a hundred a second. The number of lanes is a multiple of 64, since a
# processor that takes sixteen numbers at once computes what is left over in another way, with other
# roundings.

# %%
BLOCK = REFRACTORY  # ms, of simulated time between two looks into the buffer
BUFFER = 1024  # spikes of each cell, in a recording of up to BUFFERED
BUFFERED = 10_000.0  # ms; longer recordings have room for as many more
FEWEST_TICKS = 16  # in a time step, so that spikes are not rounded to it
MOST_BYTES = 4 * 10**9  # of the spikes of a batch
MULTIPLE = 64  # the number of lanes is a multiple of this
RANDOM_PART = 2000.0  # ms, the last part of the thermalization, in which a random moment lies


def steps_of_block(dt: float) -> int:
    """Steps of dt (ms) in a block."""
    return max(1, int(BLOCK / dt + 1e-9))


def room_for(duration: float) -> int:
    """Spikes of each cell that are kept, in a recording of a duration (ms)."""
    return max(BUFFER, math.ceil(BUFFER * duration / BUFFERED))


def ticks_for(steps: int) -> int:
    """Ticks in a time step: a power of two, so that those of a recording of so many steps have 32 bits."""
    return min(TICKS, 1 << max((checks.MAX_STEPS // (steps + 1)).bit_length() - 1, 0))


# %% [markdown]
# All of it together is the plan. It is a tuple of plain values, so that equal plans are equal, and the
# program of one is found again.


# %%
class Plan(NamedTuple):
    """What is fixed when a batch is compiled."""

    circuit: Circuit
    solver: str
    dt: float  # ms
    duration: float  # ms, what is measured
    transient: float  # ms, what is left out before
    dtype: str
    buffer: int | None = None  # spikes of each cell; by default in proportion to the duration

    @property
    def n(self) -> int:
        """Steps in a block."""
        return steps_of_block(self.dt)

    @property
    def room(self) -> int:
        """Spikes of each cell that are kept."""
        return room_for(self.duration) if self.buffer is None else self.buffer

    @property
    def ticks(self) -> int:
        """Ticks in a time step."""
        return ticks_for(self.blocks(self.duration) * self.n)

    def blocks(self, time: float) -> int:
        """Blocks in a time (ms), rounded up."""
        return int(np.ceil(round(time / self.dt) / self.n))

    def begin(self, y: Working) -> Run:
        """A run that starts from y."""
        return begin(y, self.room)

    def advance(self, blocks: int, p: Prepared, run: Run, k: Any) -> Run:
        """`blocks` blocks of a run, the first of which is step k of the recording."""
        return advance(
            p, run, k, blocks, circuit=self.circuit, solver=self.solver, dt=self.dt, n=self.n, ticks=self.ticks
        )


# %% [markdown]
# Lanes hold circuits of single cells without gap junctions, and the spikes of a recording as long as ticks
# can be counted. What goes beyond is refused before it is compiled, with the largest batch that would fit,
# or the longest run.

# %%
BYTES_OF_SPIKE = 48  # of memory, while features are computed


def bytes_of(plan: Plan, lanes: int) -> int:
    """Memory for the spikes of a batch."""
    return BYTES_OF_SPIKE * plan.room * len(plan.circuit.populations) * lanes


def feasible(plan: Plan, lanes: int = MULTIPLE) -> Plan:
    """The plan, if it can be carried out. Raises ValueError before anything is compiled if not."""
    checks.choice("solver", plan.solver, SCHEMES)
    checks.choice("dtype", plan.dtype, ("float64", "float32"))
    checks.scheme(plan.solver, plan.dt, SCHEMES)
    checks.recording(plan.transient + plan.duration, plan.transient)
    single_cells(plan.circuit)
    countable(plan)
    if (size := bytes_of(plan, lanes)) > MOST_BYTES:
        fewer = MOST_BYTES // bytes_of(plan, 1) // MULTIPLE * MULTIPLE
        cure = f"Take batches of {fewer}: batch_size={fewer}." if fewer else "Take a shorter one."
        raise ValueError(
            f"{lanes} circuits with spikes of {plan.duration:g} ms would take {size / 1e9:.3g} GB; a batch may take "
            f"{MOST_BYTES / 1e9:g}. {cure}"
        )
    return plan


# %% [markdown]
# Why no gap junctions and larger populations? The tables of the database have no columns for them, and a
# circuit that had some would be run without, in silence. Ensembles have them, with the same flows.


# %%
def single_cells(circuit: Circuit) -> None:
    """Every population is one cell, and no gap junction couples two."""
    if large := [p for p in circuit.populations if p.size * p.copies != 1]:
        p = large[0]
        raise ValueError(
            f"the population {p.label!r} has {p.size * p.copies} cells; circuits in batches have one of each. Simulate "
            "such circuits one by "
            "one, with `Prinz2004` or `simulate`."
        )
    if circuit.junctions:
        raise ValueError(
            f"the circuit has the populations {checks.listing(p.label for p in circuit.populations)}, two of which are "
            "pacemakers, joined by gap "
            "junctions; batches have none. Simulate such circuits one by one, with `Prinz2004` or `simulate`."
        )


def countable(plan: Plan) -> None:
    """The steps of a run fit into 32 bits, and so do the ticks of its recording."""
    for what, time, most in (
        ("duration", plan.duration, checks.MAX_STEPS // FEWEST_TICKS),
        ("transient", plan.transient, checks.MAX_STEPS // 2),
    ):
        if time / plan.dt > most - plan.n:
            raise ValueError(
                f"the {what} is {time:g} ms, {time / plan.dt:.3g} steps of {plan.dt:g} ms; spikes can be counted "
                "through "
                f"{most * plan.dt:.3g} ms. Take a shorter one, or a larger step."
            )


# %% [markdown]
# ### From conductances to features
#
# A run without synapses, from the cold start, {term}`thermalizes <thermalization>` cells that are not in
# the paper's table. Where a seed is given, every cell is taken out of that run at a random moment of its
# last two seconds: a pacemaker with a period of one and a half is then anywhere in its cycle. Nothing in a
# lane depends on the other lanes: not the moment, which is drawn from the lane's own key, and not the
# arithmetic.


# %%
def ready(plan: Plan, g: Any, gs: Any, start: State | None) -> tuple[Prepared, Working]:
    """Parameters and starts in lanes.

    The cold start for None. Raises ValueError for a plan that cannot be carried out.
    """
    feasible(plan, len(g))
    cold = State(*(np.broadcast_to(x, (len(g), *np.shape(x))) for x in cold_start(plan.circuit)))
    return conductances_in_lanes(plan.circuit, g, gs, plan.dtype), to_lanes(
        plan.circuit, cold if start is None else start, plan.dtype
    )


def alone(p: Prepared) -> Prepared:
    """Without synapses."""
    return p._replace(w=tuple(0 * g for g in p.w))


def thermalized(plan: Plan, p: Prepared, start: Working, key: Array | None) -> Working:
    """Each cell after `THERMALIZATION` alone, or, with one key per lane, at a random moment toward its end."""
    last = plan.blocks(THERMALIZATION)
    if key is None:
        return plan.advance(last, alone(p), begin(start, 0), jnp.int32(0)).y
    draw = lambda k: jax.random.randint(k, start.V.shape[:1], last - plan.blocks(RANDOM_PART), last + 1)  # noqa: E731
    moment = jax.vmap(draw, out_axes=1)(key)

    def block(b: Array, carry: tuple[Run, Working]) -> tuple[Run, Working]:
        run, kept = carry
        run = plan.advance(1, alone(p), run, jnp.int32(0))
        return run, jax.tree.map(lambda new, old: jnp.where(b + 1 == moment, new, old), run.y, kept)

    return lax.fori_loop(0, last, block, (begin(start, 0), start))[1]


# %% [markdown]
# At the end ticks become milliseconds, in double precision if it is there: $10^4$ ms in single precision
# are right to 0.001 ms only, and gaps are differences of such times. A lane whose potentials are no numbers
# any more is marked as *not finite*; what its spikes said before that counts for nothing.


# %%
def measured(plan: Plan, run: Run) -> Measures:
    """`Measures` of a run at its end, each field with a leading axis of circuits."""
    wide = jnp.result_type(float)  # double precision where JAX has it
    times = (run.spikes.ticks.astype(wide) / plan.ticks + OFFSET[plan.solver]) * plan.dt
    found = jax.vmap(partial(measure, window=(0.0, plan.duration)), in_axes=(-1, -1))(times, run.spikes.number)
    finite = jnp.isfinite(run.y.V).all(0)
    hidden = lambda x, by: jnp.where(finite, x.T, by).T  # noqa: E731
    return Measures(
        *(hidden(x, by) for x, by in zip(found, (jnp.nan, WHY.index("not finite"), jnp.nan, jnp.nan), strict=True))
    )


# %% [markdown]
# From start to features it is one function without side effects, which JAX can compile, map and send to a
# GPU.


# %%
def simulate_and_measure(plan: Plan, g: Any, gs: Any, start: State | None, key: Any = None) -> Measures:
    """Features of many circuits, each field of `Measures` with a leading axis of circuits.

    g: (circuit, cell, channel) mS/cm²; gs: (circuit, synapse) nS; start: states (circuit, cell, …), or None for
    thermalized cells; key: one JAX key per circuit for random moments, or None. Pure; compile with `compiled`.
    """
    p, y = ready(plan, g, gs, start)
    if start is None:
        y = thermalized(plan, p, y, key)
    before = plan.blocks(plan.transient)
    run = plan.advance(before + plan.blocks(plan.duration), p, plan.begin(y), jnp.int32(-before * plan.n))
    return measured(plan, run)


# %% [markdown]
# On a processor it is compiled for one core, and for instructions of 512 bits where there are any. XLA
# takes 256 by default; with 512 this work is 1.6 times as fast, with the same bits.

# %%
ONE_CORE = {
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_prefer_vector_width": 512,
}  # options of the compiler: numbers of 512 bits at once


@cache
def compiled(backend: str, function: Any = simulate_and_measure, static: int = 1) -> Any:
    """A function of a plan, compiled once for each value of its first `static` arguments and each number of circuits.

    On a processor one call uses one core, so that calls from several threads use all and none depends on their
    number. XLA takes half as many numbers at once by default; the results are the same to the last bit.
    """
    options = ONE_CORE if backend == "cpu" else None
    return jax.jit(function, static_argnums=tuple(range(static)), compiler_options=options)


def padded(n: int) -> int:
    """The least allowed number of lanes for n circuits."""
    return -(-n // MULTIPLE) * MULTIPLE


# %% [markdown]
# ### In parts
#
# A large batch takes a minute. `in_parts` computes the same in parts of half a second of simulated time,
# between which it can tell how far it is, or be stopped. All parts are one compiled function, whatever
# their number, and the run goes through them as it is.

# %%
PART = 500  # blocks


def in_parts(
    plan: Plan, g: Any, gs: Any, start: State | None, *, backend: str, tell: Callable[[float], None]
) -> Measures:  # fmt: skip
    """`simulate_and_measure` to the last bit; after each part `tell` hears what share is done, and may raise."""
    p, y = compiled(backend, ready)(plan, g, gs, start)
    before, alone_for = plan.blocks(plan.transient), plan.blocks(THERMALIZATION)
    stages = [(p, before, before + plan.blocks(plan.duration))]
    if start is None:
        stages.insert(0, (alone(p), alone_for, alone_for))
    done, every = 0, sum(blocks for _, _, blocks in stages)
    for parameters, unseen, blocks in stages:
        run = compiled(backend, Plan.begin)(plan, y)
        for b in range(0, blocks, PART):
            n = min(PART, blocks - b)
            run = compiled(backend, Plan.advance, 2)(plan, n, parameters, run, np.int32((b - unseen) * plan.n))
            y, done = jax.block_until_ready(run.y), done + n
            tell(done / every)
    return compiled(backend, measured)(plan, run)


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-broken-lane
# Give one of the 64 lanes above 10⁹ mS/cm² of sodium in its pacemaker, and another one a density that is no
# number. What becomes of their features, and what of those of the other lanes?
# ```
#
# ```{solution-start} ex-broken-lane
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# g = copies(paper.params.g)
# g[5, 0, 0], g[6, 0, 0] = 1e9, np.nan
# with precision("float64"):
#     with_broken = program(plan, g, copies(paper.params.gs), State(*map(copies, start)))
# others = ~np.isin(np.arange(MULTIPLE), [5, 6])
# np.testing.assert_array_equal(np.asarray(with_broken.values)[others], np.asarray(lanes.values)[others])
# assert np.isnan(np.asarray(with_broken.values)[[5, 6], 0]).all()
# [WHY[i] for i in np.asarray(with_broken.why)[[5, 6], 0]]

# %% [markdown]
# The first one has *no bursts*: after one spike up to the {term}`reversal potential` of sodium so much of
# it pins the pacemaker at 27 mV. It does not blow up, since the flow of the potential is exact at any
# conductance. The second is *not finite*. All others are the same to the last bit.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-spike-times
# How much does the parabola gain? Sample a spike of the form $e^{-t^2/2w^2}$ with $w$ = 0.4 ms every 0.05
# ms, at many offsets, and compare the error of the time by {eq}`eq-parabola` with that of the largest
# sample.
# ```
#
# ```{solution-start} ex-spike-times
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# offset = np.linspace(-0.5, 0.5, 1001)  # of the top from the largest sample, in steps
# a, b, c = (np.exp(-(((k - offset) * 0.05) ** 2) / (2 * 0.4**2)) for k in (-1, 0, 1))
# top = (a - c) / (2 * (a - 2 * b + c))
# by_parabola, by_sample = 0.05 * np.abs(top - offset).max(), 0.05 * np.abs(offset).max()
# assert by_parabola < by_sample / 100
# f"{1e3 * by_sample:.0f} µs and {1e3 * by_parabola:.2f} µs"

# %% [markdown]
# Six hundred times: the largest sample may be half a step away from the top, and a parabola is a good
# picture of a top that is many steps wide. So spike times need no finer step than the equations do.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-full-buffer
# A cell fires 120 times a second for ten seconds. How many of its spikes have room, what do its features
# say, and why is it not enough to use the first 1,024?
# ```
#
# ```{solution-start} ex-full-buffer
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# spikes = np.full((room_for(10_000.0), 3), np.inf)
# spikes[:, :] = (np.arange(room_for(10_000.0)) * 1e4 / 1200)[:, None]
# with precision("float64"):
#     found = measure(jnp.asarray(spikes), jnp.array([1200, 1200, 1200]), (0.0, 10_000.0))
# assert np.isnan(found.values).all()
# len(spikes), WHY[int(found.why[0])]

# %% [markdown]
# 1,024 of 1,200. All features are undefined, for *overflow*. The first 1,024 would end after 8.5 s: the
# cell would seem to fall silent there, and a burst or a cycle would seem to end.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-longest-run
# For how long can a circuit be recorded with steps of 0.05 ms until the ticks become coarser, and how exact
# are spike times in a run of an hour?
# ```
#
# ```{solution-start} ex-longest-run
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# lengths = {"100 s": 100, "108 s": 108, "10 min": 600, "1 h": 3600}  # s
# ticks = {name: ticks_for(round(s * 1000 / 0.05)) for name, s in lengths.items()}
# assert ticks["100 s"] == TICKS and ticks["108 s"] < TICKS
# pd.DataFrame({"ticks in a step": ticks, "µs in a tick": {name: 50 / n for name, n in ticks.items()}}).round(3)

# %% [markdown]
# For 105 s, $2^{31}$ ticks. Spikes of an hour are still right to 3 µs, far less than the scheme's own
# error.
# ```{solution-end}
# ```
