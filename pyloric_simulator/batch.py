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
# # Thousands of circuits at once
#
# A processor computes eight or sixteen numbers with one instruction if they lie side by side. This
# chapter writes the circuit so that they do: the last axis of every array is the **lane**, one
# circuit each, and no equation mixes lanes. Nothing else changes. Constants, channels, curves and the
# two schemes are those of the chapter [on the circuit](prinz2004.md), and spikes and bursts those of
# the chapter [on rhythm](rhythm.md); each part is checked against them.
#
# No voltage is kept. Spikes are found while the circuit runs and their times, a few thousand numbers,
# are all that is left of a run.

# %%
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .detection import GAP, MIN_BURST, REFRACTORY, SPIKE_THRESHOLD
from .prinz2004 import (
    CM2_MS_TO_US,
    NS_TO_US,
    THERMALIZATION,
    Circuit,
    Curve,
    Gate,
    State,
    activating,
    calcium_conductance,
    calcium_slope,
    calcium_step,
    cold_start,
    conductances,
    growth,
    inactivating,
    nernst,
)
from .rhythm import FEATURES, ROLES, WHY, Cycles, Measures, in_right_order, of_each_cycle, reasons

# %% [markdown]
# ## Lanes


# %%
class Lanes(NamedTuple):
    """State of many circuits, one to a lane."""

    V: Array  # (cell, lane) mV
    Ca: Array  # (cell, lane) µM
    s: tuple[Array, ...]  # for each transmitter, (cell, lane)
    x: tuple[Array, ...]  # for each gate, all m before all h, (cell, lane)


class Conductances(NamedTuple):
    """Parameters of many circuits, one to a lane."""

    g: tuple[Array, ...]  # for each channel, (cell, lane) µS
    gs: tuple[Array, ...]  # for each synapse, (lane,) µS


def to_lanes(states: State, dtype: Any) -> Lanes:
    """States with a leading axis of circuits, (circuit, cell, …), as lanes."""
    V, Ca, s, m, h = (jnp.moveaxis(jnp.asarray(x, dtype), 0, -1) for x in states)
    return Lanes(V, Ca, tuple(jnp.moveaxis(s, 1, 0)), tuple(jnp.moveaxis(jnp.concatenate([m, h], 1), 1, 0)))


def prepare(circuit: Circuit, g: Any, gs: Any, dtype: Any) -> Conductances:
    """Densities g (circuit, cell, channel) in mS/cm² and strengths gs (circuit, synapse) in nS, in µS."""
    area = circuit.constants.A * CM2_MS_TO_US
    return Conductances(
        tuple(jnp.asarray(g, dtype).transpose(2, 1, 0) * area), tuple(jnp.asarray(gs, dtype).T * NS_TO_US)
    )


# %% [markdown]
# ## Exponentials
#
# Exponentials are most of the work: a cell needs about forty in each step. In single precision
#
# $$
# 2^t = 2^n\,(1 + r\,p(r)), \qquad n = \mathrm{round}(t), \qquad r = t - n,
# $$ (eq-exp2)
#
# with a polynomial $p$ of degree 5 whose coefficients make the relative error least on $|r| \le 1/2$;
# it is then $2·10^{-9}$, well below the rounding of $6·10^{-8}$. The factor $2^n$ is an addition to
# the exponent, and the form $1 + r\,p(r)$ also gives $2^t - 1$ without cancellation.

# %%
SHORT = (0.693147203, 0.240226479, 0.0555033247, 0.00961843736, 0.00133988744, 0.000153533619)
MANTISSA = 23  # bits after which the exponent of a single-precision number begins
LOG2_E = math.log2(math.e)


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


# %% tags=["active-ipynb"]
# t = np.linspace(-100, 100, 10_001, dtype=np.float32)
# error = np.abs(np.asarray(exp2(t)) / 2.0 ** t.astype(float) - 1).max()
# assert error < 2**-23
# f"{error:.1e}"

# %% [markdown]
# ## Gates
#
# A `Curve` is a quotient, and so is the share of its way that a gate covers, $q/(1+q)$ with $q$
# standing for $e^{r} - 1$, $r = dt/τ$. Written as quotients, all divisions of a gate become two:
#
# $$
# x \leftarrow x + \frac{(N_∞ - x D_∞)\,q}{D_∞\,(1 + q)}, \qquad
# x_∞ = \frac{N_∞}{D_∞}, \qquad r = \frac{dt\,D_τ}{N_τ}.
# $$ (eq-lane-gate)
#
# Potentials beyond ±100 mV, where every gate is saturated, count as ±100 mV, so that no product
# leaves the range of single precision.

# %%
SATURATED = 100.0  # mV
LARGEST = 60.0  # of r; the share is then 1 to the last bit
TINY = 1e-4  # (1 - e^(-z))/z is 1 - z/2 to rounding below


def exponential(V: Array, a: float, k: float) -> Array | float:
    """e^((V+a)/k), V in mV."""
    if np.isinf(k):
        return 1.0
    return exp2(V * np.asarray(LOG2_E / k, V.dtype) + np.asarray(a * LOG2_E / k, V.dtype))


def quotient(f: Any, V: Array) -> tuple[Any, Any]:
    """Numerator and denominator of a function of V in mV."""
    if not isinstance(f, Curve):
        return f(V), 1.0
    D = exponential(V, f.a1, f.k1) + exponential(V, f.a2, f.k2)
    N = f.c0 * D + f.c1 if f.c0 else f.c1
    if np.isinf(f.k3):
        return N * f.κ, D
    D3 = 1 + exponential(V, f.a3, f.k3)
    return N * (f.κ * D3 + f.λ), D * D3


def gate_step(gate: Gate, V: Array, Ca: Array, x: Array, *, dt: float, τ_min: float, grow: Any) -> Array:
    """x after a time dt (ms), {eq}`eq-lane-gate`; grow: r -> q."""
    (N, D), (N_τ, D_τ) = quotient(gate.inf, V), quotient(gate.tau, V)
    if gate.K:
        N, D = N * Ca, D * (Ca + gate.K)
    q = grow(jnp.minimum(dt * D_τ / N_τ, min(dt / τ_min, LARGEST)))
    return x + (N - x * D) * q / (D * (1 + q))


def gates_step(
    circuit: Circuit, y: Lanes, dt: float, grow: Any
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """s and x after a time dt (ms) with V and Ca frozen."""
    V = jnp.clip(y.V, -SATURATED, SATURATED)
    move = partial(gate_step, dt=dt, τ_min=circuit.constants.τ_min, grow=grow)
    released = [t.gate(circuit.constants) for t in circuit.transmitters]
    gates = [c.m for c in activating(circuit)] + [c.h for c in inactivating(circuit)]
    membrane = [gate for gate in gates if gate]
    return (
        tuple(move(gate, V, y.Ca, s) for gate, s in zip(released, y.s, strict=True)),
        tuple(move(gate, V, y.Ca, x) for gate, x in zip(membrane, y.x, strict=True)),
    )


# %% [markdown]
# ## Currents


# %%
def synaptic_input(circuit: Circuit, gs: Sequence[Array], s: Sequence[Array]) -> tuple[Array, Array]:
    """G_s (µS) and J_s (nA), (cell, lane): the sum over all synapses onto each cell."""
    zero = jnp.zeros_like(s[0][0])
    G, J = ([zero] * len(circuit.populations) for _ in range(2))
    for synapse, g in zip(circuit.synapses, gs, strict=True):
        open_ = g * s[synapse.transmitter][synapse.pre]
        G[synapse.post] = G[synapse.post] + open_
        J[synapse.post] = J[synapse.post] + open_ * circuit.transmitters[synapse.transmitter].E
    return jnp.stack(G), jnp.stack(J)


def potential(circuit: Circuit, p: Conductances, y: Lanes, h: Any) -> Array:
    """V after a time h (ms) with all else frozen, (cell, lane) mV."""
    C, E_Ca = circuit.constants.C, nernst(circuit.constants, y.Ca)
    G, J = synaptic_input(circuit, p.gs, y.s)
    for channel, γ in zip(circuit.channels, conductances(circuit, p.g, y.x), strict=True):
        G, J = G + γ, J + γ * (E_Ca if channel.E is None else channel.E)
    z = G * (h / C)
    covered = -expm1(-jnp.minimum(z, LARGEST)) / z
    return y.V + (J - G * y.V) * (h / C) * jnp.where(z < TINY, 1 - z / 2, covered)


# %% [markdown]
# ## The two schemes
#
# Each is a step and what is left to do at the end of a block of steps, after which all variables are
# at the same time. The staggered scheme begins a block with half a step of $V$ and ends it with
# another half.


# %%
def staggered(circuit: Circuit, p: Conductances, y: Lanes, i: Array, dt: float) -> Lanes:
    """Step i of a block of the second-order staggered scheme; V stays half a step behind the gates."""
    y = y._replace(V=potential(circuit, p, y, jnp.where(i == 0, dt / 2, dt).astype(y.V.dtype)))
    y = y._replace(Ca=calcium_step(circuit, calcium_conductance(circuit, p.g, y.x), y.V, y.Ca, dt / 2))
    s, x = gates_step(circuit, y, dt, growth)
    return Lanes(y.V, calcium_step(circuit, calcium_conductance(circuit, p.g, x), y.V, y.Ca, dt / 2), s, x)


def staggered_end(circuit: Circuit, p: Conductances, y: Lanes, dt: float) -> Lanes:
    """The half step of V that ends a block."""
    return y._replace(V=potential(circuit, p, y, dt / 2))


def exponential_euler(circuit: Circuit, p: Conductances, y: Lanes, i: Array, dt: float) -> Lanes:  # noqa: ARG001
    """A step of first-order exponential Euler; every block of it is as good as any."""
    c = circuit.constants
    target = y.Ca + c.τ_Ca * calcium_slope(circuit, calcium_conductance(circuit, p.g, y.x), y.V, y.Ca)
    Ca = jnp.maximum(y.Ca + (target - y.Ca) * -float(np.expm1(-dt / c.τ_Ca)), c.Ca_min)
    return Lanes(potential(circuit, p, y, dt), Ca, *gates_step(circuit, y, dt, expm1))


class Scheme(NamedTuple):
    """A scheme in lanes."""

    step: Any  # one step of a block
    end: Any  # what is left to do at the end of a block
    offset: float  # time of V after step 0, in steps


SCHEMES = {
    "staggered": Scheme(staggered, staggered_end, 0.5),
    "exponential_euler": Scheme(exponential_euler, lambda circuit, p, y, dt: y, 1.0),  # noqa: ARG005
}

# %% [markdown]
# ## Spikes
#
# A spike is a local maximum of $V$ above the threshold, at least a refractory time after the last
# one, and its time is that of the top of the parabola through three samples. That it stands out, too, is a rule for
# recordings: there is no noise here. A cell has at most one
# spike in a block no longer than the refractory time. It is put into a buffer at the end of the
# block, as a whole number of ticks; sums of them are exact in any order. A spike for which the buffer
# has no room is counted and not stored, so that the count tells of it. Blocks before step 0, where the
# recording begins, leave no spikes.

# %%
TICKS = 1024  # in a time step
UNROLL = 4  # steps between which no array is copied


class Watch(NamedTuple):
    """What the search for spikes remembers from step to step."""

    before: Array  # (cell, lane) mV, two steps ago
    last: Array  # (cell, lane) mV, one step ago
    spike: Array  # (cell, lane) time of the last spike, in steps since the block began
    found: Array  # (cell, lane) whether that spike is in this block


class Spikes(NamedTuple):
    """Spikes of all cells."""

    ticks: Array  # (spike, cell, lane) times in ticks
    number: Array  # (cell, lane) of spikes; those above the length of `ticks` are not stored


def look(watch: Watch, V: Array, i: Array, dt: float) -> Watch:
    """Look for a spike one step ago, now that V at step i of the block is known."""
    a, b = watch.before, watch.last
    steps = i - 1 + (a - V) / (2 * (a - 2 * b + V))
    top = (b > SPIKE_THRESHOLD) & (b > a) & (b >= V) & (steps - watch.spike >= REFRACTORY / dt)
    return Watch(b, V, jnp.where(top, steps, watch.spike), top | watch.found)


def store(spikes: Spikes, watch: Watch, k: Array) -> Spikes:
    """Write down the spikes found in the block that began with step k of the recording."""
    ticks = k * TICKS + jnp.round(watch.spike * TICKS).astype(jnp.int32)
    found = watch.found & (k >= 0)
    slot = jnp.where(found, spikes.number, spikes.ticks.shape[0])
    cell, lane = jnp.indices(slot.shape, jnp.int32)
    return Spikes(spikes.ticks.at[slot, cell, lane].set(ticks, mode="drop"), spikes.number + found.astype(jnp.int32))


class Run(NamedTuple):
    """All that a run carries along."""

    y: Lanes
    watch: Watch
    spikes: Spikes


def begin(y: Lanes, buffer: int) -> Run:
    """A run that starts from y, with room for `buffer` spikes of each cell."""
    shape, dtype = y.V.shape, y.V.dtype
    never = Watch(y.V, y.V, jnp.full(shape, -jnp.inf, dtype), jnp.zeros(shape, bool))
    return Run(y, never, Spikes(jnp.zeros((buffer, *shape), jnp.int32), jnp.zeros(shape, jnp.int32)))


def advance(
    p: Conductances, run: Run, k: Any, blocks: Any, *, circuit: Circuit, solver: str, dt: float, n: int
) -> Run:
    """`blocks` blocks of n steps of dt (ms), the first of which is step k of the recording."""
    scheme = SCHEMES[solver]

    def one(i: Array, carry: tuple[Lanes, Watch]) -> tuple[Lanes, Watch]:
        y, watch = carry
        new = scheme.step(circuit, p, y, i, dt)
        return new, look(watch, new.V, i.astype(new.V.dtype), dt)

    def block(b: Array, run: Run) -> Run:
        none = jnp.zeros_like(run.watch.found)
        y, watch = lax.fori_loop(0, n, one, (run.y, run.watch._replace(found=none)), unroll=UNROLL)
        spikes = store(run.spikes, watch, k + b * n)
        return Run(scheme.end(circuit, p, y, dt), watch._replace(spike=watch.spike - n), spikes)

    return lax.fori_loop(0, blocks, block, run)


# %% [markdown]
# ## Features
#
# The same steps as in the chapter on rhythm, with arrays of fixed size. There is room for all bursts
# that a recording can hold, since 150 ms lie between two of them. The functions are for one circuit
# and are mapped over lanes.


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


def total(x: Array, used: Array) -> Array:
    """Sum from first to last of those x (n,) that are used."""
    return lax.scan(lambda sum_, y: (sum_ + y, None), jnp.zeros((), x.dtype), jnp.where(used, x, 0))[0]


def average(x: Array, used: Array) -> Array:
    """Mean of those x (n,) that are used; NaN of none."""
    return total(x, used) / used.sum().astype(x.dtype)


def only_burst(found: Bursts, start: Array, end: Array) -> tuple[Array, Array, Array]:
    """Start and end of the only burst in each cycle (NaN if none or several), and whether one is cut."""
    inside = (found.start >= start[:, None]) & (found.start < end[:, None])
    which = jnp.where(inside.sum(1) == 1, jnp.argmax(inside, axis=1), len(found.start))
    first, last = (x.at[which].get(mode="fill", fill_value=jnp.nan) for x in (found.start, found.end))
    return first, last, (found.cut >= start) & (found.cut < end)


def measure(t: Array, count: Array, window: tuple[float, float]) -> Measures:
    """Features from the spike times t (spike, cell) in ms, cells PD, LP and PY, of which the first `count` (cell,) count."""
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


def variation(x: Array, used: Array) -> Array:
    """Standard deviation over mean of those x (n,) that are used; NaN of fewer than two."""
    mean = average(x, used)
    deviations = (jnp.where(used, x, mean) / mean - 1).astype(jnp.float32).astype(x.dtype)
    return jnp.where(used.sum() > 1, jnp.sqrt(average(deviations * deviations, used)), jnp.nan)


# %% [markdown]
# ## From conductances to features
#
# A run without synapses, from the cold start, thermalizes cells that are not in the paper's table.
# Where a seed is given, every cell is taken out of that run at a random moment of its last part.
# Nothing in a lane depends on the other lanes: not the moment, which is drawn from the lane's own
# key, and not the arithmetic, since the number of lanes is a multiple of what the processor takes at
# a time.

# %%
BLOCK = REFRACTORY  # ms, of simulated time between two looks into the buffer
BUFFER = 1024  # spikes of each cell
MULTIPLE = 64  # the number of lanes is a multiple of this
RANDOM_PART = 2000.0  # ms, the last part of the thermalization, in which a random moment lies


class Plan(NamedTuple):
    """What is fixed when a batch is compiled."""

    circuit: Circuit
    solver: str
    dt: float  # ms
    duration: float  # ms, what is measured
    transient: float  # ms, what is left out before
    dtype: str
    buffer: int = BUFFER  # spikes of each cell

    @property
    def n(self) -> int:
        """Steps in a block."""
        return max(1, int(BLOCK / self.dt + 1e-9))

    def blocks(self, time: float) -> int:
        """Blocks in a time (ms), rounded up."""
        return int(np.ceil(round(time / self.dt) / self.n))

    def begin(self, y: Lanes) -> Run:
        """A run that starts from y."""
        return begin(y, self.buffer)

    def advance(self, blocks: int, p: Conductances, run: Run, k: Any) -> Run:
        """`blocks` blocks of a run, the first of which is step k of the recording."""
        return advance(p, run, k, blocks, circuit=self.circuit, solver=self.solver, dt=self.dt, n=self.n)


def ready(plan: Plan, g: Any, gs: Any, start: State | None) -> tuple[Conductances, Lanes]:
    """Parameters and starts in lanes; the cold start for None."""
    cold = State(*(np.broadcast_to(x, (len(g), *np.shape(x))) for x in cold_start(plan.circuit)))
    return prepare(plan.circuit, g, gs, plan.dtype), to_lanes(cold if start is None else start, plan.dtype)


def alone(p: Conductances) -> Conductances:
    """Without synapses."""
    return p._replace(gs=tuple(0 * g for g in p.gs))


def thermalized(plan: Plan, p: Conductances, start: Lanes, key: Array | None) -> Lanes:
    """Each cell after `THERMALIZATION` alone, or, with one key per lane, at a random moment toward its end."""
    last = plan.blocks(THERMALIZATION)
    if key is None:
        return plan.advance(last, alone(p), begin(start, 0), jnp.int32(0)).y
    draw = lambda k: jax.random.randint(k, start.V.shape[:1], last - plan.blocks(RANDOM_PART), last + 1)  # noqa: E731
    moment = jax.vmap(draw, out_axes=1)(key)

    def block(b: Array, carry: tuple[Run, Lanes]) -> tuple[Run, Lanes]:
        run, kept = carry
        run = plan.advance(1, alone(p), run, jnp.int32(0))
        return run, jax.tree.map(lambda new, old: jnp.where(b + 1 == moment, new, old), run.y, kept)

    return lax.fori_loop(0, last, block, (begin(start, 0), start))[1]


def measured(plan: Plan, run: Run) -> Measures:
    """`Measures` of a run at its end, each field with a leading axis of circuits."""
    wide = jnp.result_type(float)  # double precision where JAX has it
    times = (run.spikes.ticks.astype(wide) / TICKS + SCHEMES[plan.solver].offset) * plan.dt
    found = jax.vmap(partial(measure, window=(0.0, plan.duration)), in_axes=(-1, -1))(times, run.spikes.number)
    finite = jnp.isfinite(run.y.V).all(0)
    hidden = lambda x, by: jnp.where(finite, x.T, by).T  # noqa: E731
    return Measures(*(hidden(x, by) for x, by in zip(found, (jnp.nan, WHY.index("not finite"), jnp.nan, jnp.nan), strict=True)))


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


@cache
def compiled(backend: str, function: Any = simulate_and_measure, static: int = 1) -> Any:
    """A function of a plan, compiled once for each value of its first `static` arguments and each number of circuits.

    On a processor one call uses one core, so that calls from several threads use all and none depends on their number.
    """
    options = {"xla_cpu_multi_thread_eigen": False} if backend == "cpu" else None
    return jax.jit(function, static_argnums=tuple(range(static)), compiler_options=options)


def padded(n: int) -> int:
    """The least allowed number of lanes for n circuits."""
    return -(-n // MULTIPLE) * MULTIPLE


# %% [markdown]
# A large batch takes a minute. `in_parts` computes the same in parts of half a second of simulated
# time, between which it can tell how far it is, or be stopped. All parts are one compiled function.

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
# The circuit of Fig. 3e in a lane has the rhythm that it has alone:

# %% tags=["active-ipynb"]
# import pandas as pd
#
# from .config import find_circuit
# from .prinz2004 import Prinz2004, precision
# from .rhythm import features
#
# paper = Prinz2004.from_toml(find_circuit("paper"))
# start = paper.get_thermalization()
# plan = Plan(paper.circuit, "staggered", 0.05, 6000.0, 2000.0, "float64")
# with precision("float64"):
#     copies = lambda x: np.repeat(np.asarray(x)[None], MULTIPLE, 0)
#     lanes = compiled("cpu")(plan, copies(paper.params.g), copies(paper.params.gs), State(*map(copies, start)))
# alone = features(paper(np.arange(2000, 8000.05, 0.05), state=start), window=(2000, 8000))
# np.testing.assert_allclose(np.asarray(lanes.values)[0], alone, rtol=1e-3)
# pd.DataFrame({"in a lane": np.asarray(lanes.values)[0], "alone": alone}).round(3)
