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
# # Derivatives of a simulation
#
# How does the rhythm change with each of thirty conductances? One could change them one after the other
# and run again, thirty times, and guess how large a change should be. Or one run can tell all of it: go
# back from the result to the parameters, step by step, by the chain rule. The way back is called the
# {term}`adjoint`, and in other fields backpropagation.
#
# Here are the derivatives of the mean potential of the circuit of Fig. 3e over 200 ms with respect to its
# seven synapses, in mV per nS. All are negative, since the {term}`synapses <graded synapse>` inhibit; the
# one from LP onto PY, which has 1 nS only and a postsynaptic cell close to its first spike, has the
# largest. The plain way of JAX gives the same to nine digits.

# %% tags=["active-ipynb"]
# import jax
# import jax.numpy as jnp
# import numpy as np
#
# from .adjoint import simulate_with_adjoint
# from ..config import find_circuit
# from .parameters import conductance_names
# from ..prinz2004 import Prinz2004, precision, simulate
#
# model = Prinz2004.from_toml(find_circuit("paper"))
# start, t = model.get_thermalization(), np.arange(0, 200, 0.5)
#
#
# def mean_potential(gs, run):
#     return run(model.params.replace(gs=gs), start, t).V.mean()
#
#
# with precision():
#     plain = jax.jit(jax.grad(mean_potential), static_argnums=1)(model.params.gs, simulate)
#     adjoint = jax.jit(jax.grad(mean_potential), static_argnums=1)(model.params.gs, simulate_with_adjoint)
# assert np.allclose(adjoint, plain, rtol=1e-9, atol=1e-15)
# synapses = [name for name in conductance_names(model) if "-" in name]
# {name: round(float(slope), 4) for name, slope in zip(synapses, adjoint, strict=True)}

# %% [markdown]
# ## Which way, and what it costs
#
# `simulate` answers in both of the ways in which JAX differentiates. **Forward mode** (`jax.jvp`,
# `jax.jacfwd`) carries the derivative along with the state. It costs a few simulations, more with each
# parameter, and no memory. **Reverse mode** (`jax.grad`) goes back from the result to the parameters, and
# costs a few simulations for *all* of them; but it has to know the states that it goes back through. Left
# to itself, JAX stores everything that each step has computed and then walks back through some sixty
# small operations per step.
#
# This chapter writes down the way back for the staggered scheme, which takes about as long as two more
# runs. It gives the derivative of the very numbers that the scheme computes, to rounding, not an
# approximation of the derivative of the equations. The function `simulate_with_adjoint` takes and returns
# what `simulate` does.
#
# {numref}`tbl-modes` has the time of 100 ms of the circuit of Fig. 3e with derivatives of the mean
# potential, on the machine that made this page. Forward mode is the better one for many results of one or
# two parameters, such as a trace, and where derivatives of derivatives are wanted; reverse mode for a
# loss, and for many parameters.

# %% tags=["active-ipynb", "hide-input"]
# from time import perf_counter
#
# from ..book import list_table
#
# short, p = t[t <= 100], model.params
#
#
# def scaled(run):
#     """The mean potential as a function of factors (31,) of all conductances."""
#     return lambda x: run(
#         p.replace(g=p.g * x[: p.g.size].reshape(p.g.shape), gs=p.gs * x[p.g.size :]), start, short
#     ).V.mean()
#
#
# def seconds(function, x):
#     """The least of five times of a compiled function."""
#     compiled = jax.jit(function)
#     jax.block_until_ready(compiled(x))
#     times = []
#     for _ in range(5):
#         begin = perf_counter()
#         jax.block_until_ready(compiled(x))
#         times.append(perf_counter() - begin)
#     return min(times)
#
#
# with precision():
#     x = np.ones(31)
#     along = lambda n: lambda x: jax.vmap(lambda d: jax.jvp(scaled(simulate), (x,), (d,))[1])(np.eye(31)[:n])
#     rows = {"no derivative": seconds(scaled(simulate), x)}
#     rows |= {f"forward mode, parameters: {n}": seconds(along(n), x) for n in (1, 3, 10, 31)}
#     rows |= {"reverse mode, parameters: 31": seconds(jax.grad(scaled(simulate_with_adjoint)), x)}
# list_table(
#     "Time of 100 ms of the circuit with derivatives.",
#     "tbl-modes",
#     ["", "ms", "relative"],
#     [(name, f"{s * 1e3:.1f}", f"{s / rows['no derivative']:.1f}") for name, s in rows.items()],
# )

# %% [markdown]
# Three limits. Reverse mode of reverse mode is refused; a Hessian comes from forward mode of this
# gradient (`jax.hessian` does it so). Derivatives with respect to the numbers of the *circuit*, its
# kinetics and {term}`reversal potentials <reversal potential>`, take the slower way of JAX, and so do
# those of circuits with synapses that have an equation of their own, and those of exponential Euler. And
# times have to be equally spaced, at whole steps.
#
# What the chapter takes from elsewhere, first the model and its parts,

# %%
from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import isqrt
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..engine import checks, circuits
from ..engine.inputs import input_at, pure_current
from ..engine.junctions import contracted
from ..engine.kinetics import is_hashable, kept
from ..engine.layout import weights
from ..engine.schedule import grid_of
from ..ensembles.batches import local_devices
from ..ensembles.lanes import ONE_CORE
from ..prinz2004 import (
    DEFAULT_DT,
    DEFAULT_SOLVER,
    NS_TO_US,
    SCHEMES,
    Circuit,
    Membrane,
    Params,
    Prepared,
    State,
    Working,
    flows,
    pack,
    precision,
    prepare,
    state_of,
    unpack,
)

__all__ = ["many_at_once", "simulate_with_adjoint"]

# %% [markdown]
# then two modules with mechanics: `partials` has the partial derivatives of the parts of a step and the
# order of the gates, `windows` the arithmetic of how a run is cut into pieces.

# %%
from .partials import (
    Blocks,
    Kind,
    Layout,
    Slopes,
    activations,
    added,
    as_rows,
    calcium_slopes,
    drive,
    fixed,
    flow_slopes,
    gate_rows,
    gate_slopes,
    in_blocks,
    influx,
    is_traced,
    joined,
    layout,
    of_blocks,
    of_rows,
    open_shares,
    rows_of,
    synaptic_back,
    synaptic_sums,
    transposed,
)
from .windows import LENGTH, Cut, below_each, cut_of, flat, in_windows, input_derivative, lanes_last, last_but

# %% [markdown]
# ## What one step does
#
# With the {term}`gap junctions <gap junction>`' changes $K$ in half a step and $K_2$ in a whole one, a
# step of the staggered scheme is the chain
#
# $$
# \begin{aligned}
# V_1 &= A(V, G, J) & &\text{potential, all else frozen} \\
# V_c &= K V_1 \\
# [Ca]_1 &= B(V_c, [Ca], g_{Ca}) & &\text{half a step of calcium} \\
# z' &= z + (z_∞ - z)\, c(V_c, [Ca]_1) & &\text{all gates, } z = (s, x) \\
# [Ca]' &= B(V_c, [Ca]_1, g_{Ca}'), \quad V' = K_2 V_1. & &
# \end{aligned}
# $$ (eq-chain)
#
# The gates and the conductances come in through the sums $G$ and $J$ of all conductances and driving
# currents, and through the conductances $g_{Ca}$ of the calcium channels. So $A$ and $B$ are functions of
# a few numbers each, and a {term}`gate`'s step is one of two or three, whose partial derivatives can be
# written down. For the potential, with $G$ and $J$ divided by the capacitance and a step of length $h$,
#
# $$
# A = V + \left(\frac{J}{G} - V\right)\left(1 - e^{-Gh}\right), \qquad
# \frac{\partial A}{\partial V} = e^{-Gh}, \qquad \frac{\partial A}{\partial J} = \frac{1 - e^{-Gh}}{G}.
# $$ (eq-flow-slopes)
#
# The first of these slopes says how a derivative fades on its way back: by $e^{-Gh}$ at each step,
# quickly during a spike, when $G$ is large, and slowly at rest. Cells meet only in the synapses' part of
# $G$ and $J$, which is linear in $s$, and in $K$ and $K_2$, which are linear, too.
#
# Once the states along the run are known, all partial derivatives of all steps can therefore be taken **side
# by side**; what remains to be done one step after the other is a small linear recursion. This is the
# idea of the chapter. A processor evaluates several exponentials side by side in little more than the
# time of one, but only if it need not wait for the step before.
#
# All arrays have names first, cells next, and {term}`lanes <lane>` last: potentials have the shape (cell,
# lane), gates (gate, cell, lane). A lane is a piece of the run, as below, or one of many circuits, or
# both. The conductances are those of `prinz2004.Prepared`, with the graded synapses in a list, (synapse,
# …).
#
# ## A step with its slopes
#
# Write $λ = (λ_V, λ_{Ca}, λ_z)$ for the derivative of the result with respect to the state of a cell
# after a step. It is followed through {eq}`eq-chain` backward, from the last line to the first. Let $d_j$
# be the derivative of $[Ca]'$ by gate $j$ after the step, through $g_{Ca}'$. Then what arrives at $z'_j$
# is $λ_j + d_j λ_{Ca}$, directly and through calcium. Every variable in the middle of the chain collects
# what arrives from all lines below in which it stands. So the derivatives with respect to $[Ca]_1$, $V_c$
# and $V_1$ are
#
# $$
# \begin{aligned}
# μ &= \textstyle\sum_j S_j λ_j, \\
# v &= \textstyle\sum_j R_j λ_j, \qquad u = K_2^T λ_V + K^T v,
# \end{aligned}
# $$ (eq-bottleneck)
#
# and those with respect to the state before the step
#
# $$
# λ_j \leftarrow a_j (λ_j + d_j λ_{Ca}) + q_j μ + r_j u + \text{(synapses)},
# $$ (eq-recursion)
#
# with coefficients that follow from the partial derivatives of $A$, of $B$ (twice) and of the gates. Here
# $a_j$ is $1 - c$, what is left of a gate's old value after a step; $q_j$ goes through the first half
# step of calcium, $r_j$ through the potential. Three numbers, $μ$, $v$ and $u$, are the bottleneck
# through which all variables of a cell talk to each other. That is why a step back takes some tens of
# multiplications, and no exponential.
#
# Variables have the order $V$, $[Ca]$, $x$, $s$. Of the gates, only those that read calcium have an $S$,
# and only those and the ones of calcium channels a $d$ and a $q$. Cells of several membranes stand side
# by side in the recursion; those with fewer gates have zeros in the places of the others.


# %%
class Charge(NamedTuple):
    """How the potential after a time depends on what it is computed from. Each (row, cell, …), in one array or one for each row."""

    r: Any  # V, Ca and the gates
    G: Any  # the synapses' G: one row
    J: Any  # the synapses' J, and the input: one row
    g: Any  # the conductance of each channel


class Coefficients(NamedTuple):
    """Of {eq}`eq-bottleneck` and {eq}`eq-recursion`, and what the derivatives of the conductances need besides. Each as in `Charge`."""

    charge: Charge
    a: Any  # x, s
    R: Any  # Ca, x, s
    S: Any  # Ca, and the gates that read it
    q: Any  # Ca, these, and the other gates of calcium channels
    d: Any  # the same without Ca
    by_g1: Any  # of Ca₁ with respect to the conductance of each calcium channel
    by_g: Any  # of Ca′
    V: Any  # V₁, where there are gap junctions
    s: Any  # activations of the synapses before the step


# %% [markdown]
# The coefficients of a step come as blocks of rows, some with a row for each gate and some with a single
# one. To write them into one array at once would copy them twice; so they stay apart, as `Rows`, until
# they are noted in their places.


# %%
class Rows(NamedTuple):
    """Blocks (row, cell, …) of the rows of an array."""

    blocks: tuple[Array, ...]


def is_rows(x: Any) -> bool:
    """Whether rows are apart."""
    return isinstance(x, Rows)


def rows(V: Array, *found: Any) -> Rows:
    """Rows such as V, or blocks of them."""
    return Rows(tuple(x if x.ndim > V.ndim else jnp.broadcast_to(x, V.shape)[None] for x in map(jnp.asarray, found)))


# %% [markdown]
# The notes of all steps of a lane are allocated once, before the loop that fills them. `eval_shape` tells
# how many rows each coefficient has without computing any; then each turn of the loop writes its own rows
# in place. Cells of different membranes have their own columns.


# %%
def blank(circuit: Circuit, p: Prepared, V: Array, turns: int) -> Any:
    """Notes (turn, row, cell, …) of the coefficients of so many steps, to be written."""
    y = jax.eval_shape(lambda: in_blocks(circuit, of_rows(circuit, jnp.zeros((variables(circuit), *V.shape), V.dtype))))
    found = jax.eval_shape(lambda y: step(circuit, p, y, V, 1.0, 1.0).k, y)
    empty = lambda *x: jnp.zeros((turns, max(sum(len(b) for b in y.blocks) for y in x), *V.shape), V.dtype)  # noqa: E731
    return jax.tree.map(empty, *found, is_leaf=is_rows)


def variables(circuit: Circuit) -> int:
    """Rows of λ."""
    return 2 + layout(circuit).gates + len(circuit.transmitters)


def noted(circuit: Circuit, notes: Any, found: list[Coefficients], turn: Array) -> Any:
    """The notes with the coefficients of a turn, of each piece."""

    def put(notes: Array, x: Rows, cell: int) -> Array:
        above, index = 0, lambda n: jnp.full((), n, turn.dtype)
        for block in x.blocks:
            at = [turn, index(above), index(cell), *[index(0)] * (block.ndim - 2)]
            notes, above = lax.dynamic_update_slice(notes, block[None], at), above + len(block)
        return notes

    for piece, k in zip(layout(circuit).pieces, found, strict=True):
        notes = jax.tree.map(partial(put, cell=piece.cells.start), notes, k)
    return notes


# %% [markdown]
# ### The potential
#
# The cells of a *piece* have the same membrane and are neighbours, so that their equations stand side by
# side. Before a step a piece has its state, the open share $m^p h^q$ of each channel, and the derivative
# of that by each gate, such as $p\, m^{p-1} h^q$.


# %%
class Part(NamedTuple):
    """A piece of the circuit before a step."""

    membrane: Membrane
    kind: Kind
    g: Array  # (channel, cell, …) µS
    V: Array  # (cell, …) mV
    Ca: Array  # (cell, …) µM
    z: tuple[Array, ...]  # each (gate, cell, …)
    shares: list[Array]  # m^p h^q of each channel
    by_gate: list[Array]  # its derivative with respect to each gate


def parts_of(circuit: Circuit, p: Prepared, y: Blocks) -> list[Part]:
    """The pieces of the circuit in a state."""
    found, parts = layout(circuit), []
    for piece, z in zip(found.pieces, y.z, strict=True):
        membrane, kind = circuit.membranes[piece.membrane], found.kinds[piece.membrane]
        V, Ca, g = y.V[piece.cells], y.Ca[piece.cells], p.g[piece.membrane][:, piece.own]
        parts.append(Part(membrane, kind, g, V, Ca, z, *open_shares(membrane, gate_rows(kind, z), V)))
    return parts


# %% [markdown]
# `charged_part` is the first line of {eq}`eq-chain` with its slopes. The driving force $E$ of a channel
# is a constant for most of them; for calcium it depends on $[Ca]$, and for the law of Goldman, Hodgkin
# and Katz on $V$ as well, so that $A$ has two more derivatives there. Channels with the same law share
# it: its slopes are taken once, with the sum of their conductances. By the chain rule a gate acts as
#
# $$
# r_j = \left(\frac{\partial A}{\partial G} E_G + \frac{\partial A}{\partial J} E_J\right)
# \bar g\, \frac{\partial (m^p h^q)}{\partial z_j},
# $$ (eq-gate-slope)
#
# where $E_G$ and $E_J$ are what an open µS adds to $G$ and to $J$: 1 and the reversal potential, in the
# simplest case. The slope by a conductance is the same without $\bar g$ and with the share itself.


# %%
def charged_part(part: Part, G: Array, J: Array, h: Any) -> tuple[Array, Charge]:
    """V₁ (cell, …) of a piece after a time h (ms), and what it depends on. G, J: of all that comes from outside the cells."""
    c, channels, V = part.membrane.constants, part.membrane.channels, part.V
    laws = {channel.E: channel for channel in channels}
    driven = {E: drive(channel, c, V, part.Ca) for E, channel in laws.items()}
    drives = [driven[channel.E] for channel in channels]
    for g, share, E in zip(part.g, part.shares, drives, strict=True):
        G, J = G + g * share * E.G, J + g * share * E.J
    V1, (V_V, V_G, V_J) = flow_slopes(V, G / c.C, J / c.C, h)
    V1, V_V, V_G, V_J = map(kept, (V1, V_V, V_G / c.C, V_J / c.C))
    by_V, by_Ca = V_V, jnp.zeros_like(V)
    for E in driven.values():
        opened = added([part.g[i] * part.shares[i] for i, x in enumerate(drives) if x is E])
        by_V, by_Ca = (x + through(V_G, V_J, by) * opened if by else x for x, by in ((by_V, E.by_V), (by_Ca, E.by_Ca)))
    by_x = [
        (V_G * drives[x.channel].G + V_J * drives[x.channel].J) * part.g[x.channel] * part.by_gate[x.number]
        for x in part.kind.order
    ]
    by_g = [(V_G * E.G + V_J * E.J) * share for E, share in zip(drives, part.shares, strict=True)]
    return V1, Charge(rows(V, by_V, by_Ca, *by_x), rows(V, V_G), rows(V, V_J), rows(V, *by_g))


def through(V_G: Array, V_J: Array, by: tuple[Any, Any]) -> Array:
    """Derivative by way of G and J, of which the first may not change."""
    return V_J * by[1] if fixed(by[0]) else V_G * by[0] + V_J * by[1]


# %% [markdown]
# For all cells of the circuit the synapses come in first, then each piece does its part. `kept` asks the
# compiler to compute a number once and keep it. Left to itself, it likes to compute the same exponential
# again for each place in which it is used, which here are many.


# %%
def charged(circuit: Circuit, p: Prepared, y: Blocks, I: Array, h: Any) -> tuple[Array, list[Charge], list[Part]]:
    """V₁ (cell, …) after a time h (ms)."""
    found, parts = layout(circuit), parts_of(circuit, p, y)
    G, J = synaptic_sums(circuit, p.w, activations(circuit, y.z), jnp.zeros_like(y.V))
    G, J = kept(G), kept(J + I)
    each = [charged_part(part, G[x.cells], J[x.cells], h) for x, part in zip(found.pieces, parts, strict=True)]
    return joined([V for V, _ in each]), [k for _, k in each], parts


# %% [markdown]
# ### Calcium and the gates
#
# The second half of the chain. Half a step of calcium is linear in $[Ca]$ but for the driving force, and
# depends on $V$ through it; it is taken twice, before and after the gates, each time with the shares of
# that moment.


# %%
class Relaxed(NamedTuple):
    """Calcium and the gates after a step, and the coefficients they give, each as in `Coefficients`."""

    Ca: Array
    z: list[Array]
    k: dict[str, Rows]


def calcium_part(
    part: Part, shares: list[Array], V: Array, Ca: Array, h: float
) -> tuple[Array, Array, Array, dict[int, Array]]:
    """Ca after a time h (ms), and its derivatives with respect to V, Ca and the conductance of each calcium channel."""
    channels, c = part.membrane.channels, part.membrane.constants
    laws = {channels[i].E: i for i in part.kind.carrying}
    opened = {E: kept(added([part.g[i] * shares[i] for i in part.kind.carrying if channels[i].E == E])) for E in laws}
    let_in = [(opened[E], influx(channels[i], c, V, Ca)) for E, i in laws.items()]
    value, (by_V, by_Ca, *by_law) = jax.tree.map(kept, tuple(calcium_slopes(part.membrane, let_in, Ca, h)))
    by = dict(zip(laws, by_law, strict=True))
    return value, by_V, by_Ca, {i: by[channels[i].E] for i in part.kind.carrying}


# %% [markdown]
# With the slopes $B_V, B_{Ca}$ of the first half step and $D_V, D_{Ca}$ of the second, and the gates'
# slopes $\partial_V z'_j$ and $\partial_{Ca} z'_j$, collecting what arrives at $[Ca]_1$ and then at $V_c$
# gives
#
# $$
# \begin{aligned}
# S_j &= \partial_{Ca} z'_j, & S_{Ca} &= D_{Ca} + \textstyle\sum_j S_j d_j, \\
# R_j &= \partial_V z'_j + S_j B_V, & R_{Ca} &= D_V + \textstyle\sum_j \partial_V z'_j\, d_j + S_{Ca} B_V .
# \end{aligned}
# $$ (eq-collected)
#
# These are the four lines in the middle of the next function. Of the gates of the paper only that of
# $I_{KCa}$ reads calcium; the sums run over the few that have a $d$ or an $S$, which stand first in the
# order of the gates for that reason.


# %%
def relaxed_part(part: Part, V: Array, dt: float, found: Layout) -> Relaxed:
    """Calcium and the gates of a piece after a step at the potential V."""
    order, n, blocks = part.kind.order, part.kind.carriers, part.kind.blocks
    Ca1, B_V, B_Ca, B = calcium_part(part, part.shares, V, part.Ca, dt / 2)
    moved = [
        gate_slopes(gates, V, Ca1, z, dt, part.membrane.constants.τ_min)
        for gates, z in zip(blocks, part.z, strict=True)
    ]
    moved = [Slopes(kept(x.value), (x.by[0], kept(x.by[1]), *x.by[2:])) for x in moved]
    after = [x.value for x in moved]
    shares, by_gate = open_shares(part.membrane, gate_rows(part.kind, after), V)
    Ca, D_V, D_Ca, D = calcium_part(part, shares, V, Ca1, dt / 2)

    def weigh(D: dict[int, Array], by: Any) -> list[Array]:
        return [D[x.channel] * part.g[x.channel] * by[x.number] if x.carries else jnp.zeros_like(V) for x in order[:n]]

    d, q = weigh(D, by_gate), weigh(B, part.by_gate)
    S = [x.by[2] if len(x.by) > 2 else jnp.zeros_like(x.value) for x in moved]
    reading = [x for x, moved in zip(S, moved, strict=True) if len(moved.by) > 2]
    S_Ca = D_Ca + sum(a * b for a, b in zip(rows_of(reading), d[: part.kind.readers], strict=False))
    R_Ca = D_V + sum(a * b for a, b in zip(rows_of([x.by[1] for x in moved]), d, strict=False)) + S_Ca * B_V
    R = [x.by[1] + x.by[2] * B_V if len(x.by) > 2 else x.by[1] for x in moved]
    everywhere = found.readers > found.gates  # synapses read it, too
    return Relaxed(Ca, after, {
        "a": rows(V, *above(part, [x.by[0] for x in moved], found)), "R": rows(V, R_Ca, *above(part, R, found)),
        "S": rows(V, S_Ca, *(above(part, S, found) if everywhere else reading)), "q": rows(V, B_Ca, *q), "d": rows(V, *d),
        "by_g1": rows(V, *(B[i] * part.shares[i] for i in part.kind.carrying)), "by_g": rows(V, *(D[i] * shares[i] for i in part.kind.carrying)),
        "s": rows(V, *part.z[part.kind.own :]),
    })  # fmt: skip


def above(part: Part, blocks: list[Array], found: Layout) -> list[Array]:
    """Blocks of all gates, with rows of zeros before the synapses' for the gates that others have."""
    more = found.gates - len(part.kind.order)
    zeros = [jnp.zeros((more, *part.V.shape), part.V.dtype)] if more else []
    return [*blocks[: part.kind.own], *zeros, *blocks[part.kind.own :]]


# %% [markdown]
# A whole step returns the state after it, the potential $V_1$ before the junctions, and the coefficients.
# Where only the state is wanted, as in the run forward of many circuits, the compiler drops the rest as
# dead code.


# %%
class Step(NamedTuple):
    """What a step leads to."""

    y: Blocks  # the state after it
    V: Array  # V₁
    k: list[Coefficients]  # of each piece


def step(circuit: Circuit, p: Prepared, y: Blocks, I: Array, h: Any, dt: float) -> Step:
    """A step, in which V takes a time h (ms)."""
    found = layout(circuit)
    V1, charges, parts = charged(circuit, p, y, I, h)
    V, V_end = contracted(p.gap, V1)
    after = [relaxed_part(part, V[piece.cells], dt, found) for piece, part in zip(found.pieces, parts, strict=True)]
    first = [V1[piece.cells] for piece in found.pieces] if p.gap else [()] * len(parts)
    k = [
        Coefficients(charge, V=rows(part.V, *([V] if p.gap else [])), **x.k)
        for charge, part, V, x in zip(charges, parts, first, after, strict=True)
    ]
    return Step(Blocks(V_end, joined([x.Ca for x in after]), tuple(tuple(x.z) for x in after)), V1, k)


# %% [markdown]
# ## The recursion
#
# Now back. A derivative $u$ with respect to $V_1$ is spread over all on which $V_1$ depends: the state of
# the own cell by the coefficients $r$, and the activations of the presynaptic cells by the transpose of
# the synapses. A step back is {eq}`eq-bottleneck` and {eq}`eq-recursion`, word by word. What it has seen,
# $μ$, $u$ and $λ_{Ca}$, is kept for the derivatives by the conductances.


# %%
def pulled_charge(circuit: Circuit, p: Prepared, k: Charge, u: Array) -> Array:
    """What a derivative u (cell, …) with respect to V₁ adds to those with respect to V, Ca, x and s before: (row, cell, …)."""
    return jnp.concatenate([k.r * u, synaptic_back(circuit, p.w, u * k.G[0], u * k.J[0])])


def below(x: Array, above: int, rows: int) -> Array:
    """Rows as part of as many as there are variables, with zeros around."""
    return jnp.pad(x, ((above, rows - above - len(x)), *[(0, 0)] * (x.ndim - 1)))


def step_back(circuit: Circuit, p: Prepared, k: Coefficients, λ: Array) -> tuple[Array, Array]:
    """λ (row, cell, …) before a step from that after it; and μ, u, λ_Ca and, with gap junctions, v and λ_V, (row, cell, …)."""
    μ = sum(S * λ_i for S, λ_i in zip(k.S, λ[1:], strict=False))
    v = (k.R * λ[1:]).sum(0)
    u = transposed(partial(contracted, p.gap), v, (v, λ[0])) if p.gap else v + λ[0]
    z = k.a * (λ[2:] + below(k.d * λ[1], 0, len(λ) - 2))
    before = pulled_charge(circuit, p, k.charge, u) + below(k.q * μ, 1, len(λ)) + below(z, 2, len(λ))
    return before, jnp.stack([μ, u, λ[1], v, λ[0]] if p.gap else [μ, u, λ[1]])


# %% [markdown]
# With all $λ$ known, the derivatives with respect to the conductances are sums over the steps, as
# conductances do not change during a run: of $u\, \partial V_1/\partial g$ for every channel, of
# $μ\, \partial [Ca]_1/\partial g + λ_{Ca}\, \partial [Ca]'/\partial g$ for those of calcium in addition,
# and of the same through $G$ and $J$ for the synapses. For these the transpose of a linear function is
# asked of JAX, which is exact and saves writing the bookkeeping of who inhibits whom a second time,
# backward.


# %%
def step_sums(circuit: Circuit, p: Prepared, k: Coefficients, seen: Array) -> Prepared:
    """Derivatives with respect to the conductances from what `step_back` has seen, (step, row, cell, lane, …); k: (step, row, …)."""
    μ, u, λ_Ca = (seen[:, i] for i in range(3))
    total = lambda by, rows: (by[:, None] * rows).sum(0).sum(2)  # noqa: E731
    of_V, of_Ca = total(u, k.charge.g), total(μ, k.by_g1) + total(λ_Ca, k.by_g)
    g, cells_first = [list[Array]() for _ in p.g], partial(jnp.moveaxis, source=0, destination=1)
    for piece in layout(circuit).pieces:
        own = layout(circuit).kinds[piece.membrane].carrying
        x = of_V[: len(p.g[piece.membrane]), piece.cells]
        g[piece.membrane].append(x.at[np.array(own, int)].add(of_Ca[: len(own), piece.cells]))
    s, by_G, by_J = jnp.moveaxis(k.s, 0, 2), cells_first(u * k.charge.G[:, 0]), cells_first(u * k.charge.J[:, 0])
    f = lambda w: synaptic_sums(circuit, jnp.expand_dims(w, (1, 2)), s, jnp.zeros_like(by_G))  # noqa: E731
    w = transposed(f, p.w, (by_G, by_J)) if circuit.synapses else jnp.zeros_like(p.w)
    gap = p.gap and gap_sums(p.gap, cells_first(k.V[:, 0]), (cells_first(seen[:, 3]), cells_first(seen[:, 4])))
    return Prepared(tuple(joined(parts, 1) for parts in g), w, gap, p.gz)


def gap_sums(gap: Any, V: Array, by: tuple[Array, Array]) -> Any:
    """Derivatives with respect to the gap junctions, from those after half a step and a whole one; V, by: (cell, step, lane, …)."""
    extra = V.ndim - 3
    wide = lambda x: jnp.expand_dims(x, (x.ndim - extra, x.ndim - extra + 1))  # noqa: E731
    return jax.vjp(lambda gap: contracted(jax.tree.map(wide, gap), V), gap)[1](by)[0]


# %% [markdown]
# ## A run in lanes
#
# The forward run keeps a state about every sixteen steps. On the way back the pieces between them, the **lanes**,
# are run again side by side, with their coefficients; then the recursion goes through them one after the
# other. This takes place in **windows** of some hundred lanes, so that what is known of all their steps,
# some ten megabytes, is never known of more. A record lies half a step of $V$ after the state before it,
# and the step after it begins with the other half. The first half is a turn of its own in its lane, like
# a step of which only the potential counts.
#
# Sixteen is a compromise. Shorter lanes mean more states to keep; longer ones mean fewer lanes in a run,
# and less that can go side by side. With 16 steps of 0.05 ms, 200 ms of run are 250 lanes.
#
# The states kept are the records themselves where these are close. Where they are far apart several lanes
# lie between them, and the last of them may be shorter; where they are very close a lane holds several of
# them. (`windows.py` has the arithmetic of that.)
#
# The way forward is that of `prinz2004`, to the last bit, for one circuit. Many circuits at once, as
# `jax.vmap` asks for them, are lanes: they take the same steps as the way back.


# %%
class Maps(NamedTuple):
    """The parts of the staggered scheme."""

    step: Callable[[Any, Any, float], Any]  # the state after step k, in which V takes a time h
    complete: Callable[[Any, Any], Any]  # the state with V half a step on, to the beginning of step k


def single(circuit: Circuit, p: Prepared, I: Callable[[Any], Any], dt: float) -> Maps:
    """Of one circuit, as `prinz2004.staggered` has them."""
    f = flows(circuit, p._replace(w=weights(circuit, p.w)), I, dt)
    return Maps(lambda y, k, h: f.relax(f.charge(y, k, h), k), f.close)


def many(circuit: Circuit, p: Prepared, I: Callable[[Any], Any], dt: float) -> Maps:
    """Of many circuits, one to a lane."""
    return Maps(
        lambda y, k, h: step(circuit, p, y, I(k), h, dt).y,
        lambda y, k: y._replace(V=charged(circuit, p, y, I(k), dt / 2)[0]),
    )


# %% [markdown]
# `advance` runs a segment of `cut.m` records that are `cut.n` steps apart. Before the first step of each
# record $V$ takes half a step, and after the last one `complete` brings it up to the others. It returns
# the last state, the records, and the states from which the way back will start its lanes.


# %%
def advance(
    circuit: Circuit, cut: Cut, dt: float, p: Prepared, y: Working, I: Array
) -> tuple[Working, Working, Working]:
    """The last state, the record (record, …), and the states at the ends of the lanes, or at the records in them."""
    lanes = y.V.ndim > 1
    maps = (many if lanes else single)(circuit, p, (lambda k: I[k]) if I.ndim > y.V.ndim else (lambda _: I), dt)

    def piece(y: Any, begin: Any, end: Any, k: Any) -> Any:
        return lax.fori_loop(begin, end, lambda i, y: maps.step(y, k + i, dt), y)

    def block(y: Any, b: Array) -> tuple[Any, Any]:
        k = b * cut.n
        y = maps.step(y, k, dt / 2)
        if cut.per_record == 1:
            y = maps.complete(piece(y, 1, cut.n, k), k + cut.n)
            return y, (y, None)
        part = lambda y, i: (piece(y, jnp.maximum(i * cut.length, 1), jnp.minimum((i + 1) * cut.length, cut.n), k),) * 2  # noqa: E731
        y, found = lax.scan(part, y, jnp.arange(cut.per_record))
        y = maps.complete(y, k + cut.n)
        return y, (y, found._replace(V=found.V.at[-1].set(y.V)))

    begin: Any = in_blocks(circuit, y) if lanes else y
    end, (ys, found) = lax.scan(block, begin, jnp.arange(cut.m))
    found = ys if cut.per_record == 1 else jax.tree.map(flat, found)
    outside: Any = partial(of_blocks, circuit) if lanes else lambda y, _: y
    return outside(end, 0), outside(ys, 1), outside(found, 1)


# %% [markdown]
# ### The way back
#
# A window knows the numbers of its lanes, the states at their starts, and what the result's derivative is
# by each record. What all windows share, the circuit, the conductances and the input, stands apart from
# it. An input that is constant is not repeated for all steps.


# %%
class Window(NamedTuple):
    """What is known of some lanes of a run before their way back; each (lane, …) or (record, …)."""

    lane: Array  # number in the run
    start: Working  # states before the first step
    pulled: Array  # (record, row, cell, …) derivative with respect to the records


class Way(NamedTuple):
    """What all windows share."""

    circuit: Circuit
    cut: Cut
    dt: float
    p: Prepared
    I: Array  # (cell, …), or (step, cell, …) at all steps
    sampled: bool

    def lanes(self) -> Prepared:
        """The conductances with an axis for lanes."""
        extra = self.p.w.ndim - 1
        return jax.tree.map(lambda x: jnp.expand_dims(x, x.ndim - extra), self.p)

    def current(self, k: Array) -> Array:
        """The input at steps k (lane,), (cell, lane, …)."""
        if not self.sampled:
            return jnp.expand_dims(self.I, 1)
        return jnp.moveaxis(self.I[k], 0, 1)


# %% [markdown]
# `back` does both halves for one window. First all lanes run again side by side, turn by turn; where some
# have fewer steps than others, their state stays where it is and their coefficients are not used. Then
# comes the recursion, with the sums. The coefficients of the window before are overwritten, so that the
# memory is taken once.


# %%
def back(way: Way, λ: Array, k: Coefficients, w: Window) -> tuple[Array, Coefficients, Prepared, Array]:
    """λ before a window from that after it, and derivatives with respect to the conductances and to the input of each turn.

    A turn is a step, or the half step of V before a record, which takes the turn after the steps before it. The step after a record takes
    V half a step, too.
    """
    circuit, cut, dt, p, extra = way.circuit, way.cut, way.dt, way.lanes(), λ.ndim - 2
    column = lambda x: x.reshape(-1, *[1] * extra)  # noqa: E731
    start, pulled = jax.tree.map(partial(last_but, circuits=extra), (w.start, w.pulled))
    length = cut.end(w.lane) - cut.first(w.lane)

    def again(turn: Array, carry: tuple[Blocks, Coefficients]) -> tuple[Blocks, Coefficients]:
        steps, halves = cut.steps_before(turn.astype(length.dtype)), turn % (cut.part + 1) == cut.part
        shorter = halves | ((cut.first(w.lane) + steps) % cut.n == 0)
        h = column(jnp.where(shorter, dt / 2, dt).astype(λ.dtype))
        y, V, found = step(circuit, p, carry[0], way.current(cut.first(w.lane) + jnp.minimum(steps, length)), h, dt)
        if cut.per_lane > 1 or cut.uneven:
            stays = column(halves | (steps >= length))
            y = jax.tree.map(lambda a, b: jnp.where(stays, a, b), carry[0], y)
        if cut.per_lane > 1:
            y = y._replace(V=jnp.where(halves, V, y.V))
        return y, noted(circuit, carry[1], found, turn)

    _, k = lax.fori_loop(jnp.uint32(0), jnp.uint32(cut.turns), again, (in_blocks(circuit, start), k))
    λ, seen = recursion(way, λ, k, pulled, w.lane)
    return λ, k, step_sums(circuit, way.p, k, seen), seen[:, 1] * k.charge.J[:, 0]


# %% [markdown]
# The recursion walks through the turns of the window from the last to the first: records, and between
# them steps. At a record the derivative of the result by that record is added. It has the form of two
# loops, one in the other, since a record and a step do different things. Indices are unsigned, because
# JAX lets signed ones count from the end, and would test at each access whether they do.


# %%
def recursion(way: Way, λ: Array, k: Coefficients, pulled: Array, lanes: Array) -> tuple[Array, Array]:
    """λ before the lanes of a window, and what `step_back` has seen in each turn, (turn, row, cell, lane, …)."""
    circuit, cut, extra = way.circuit, way.cut, λ.ndim - 2
    length, records_at_end = cut.end(lanes) - cut.first(lanes), lanes % cut.per_record == cut.per_record - 1
    none = jnp.zeros((), jnp.uint32)  # of a type that spares a look whether an index is negative
    last, rows = none + (cut.width * cut.per_lane - 1), 5 if way.p.gap else 3

    def pick(x: Array, turn: Array, lane: Array) -> Array:
        axis = x.ndim - 1 - extra
        at = [turn, *[none] * (axis - 1), lane, *[none] * extra]
        before, after = x.shape[1:axis], x.shape[axis + 1 :]
        return lax.dynamic_slice(x, at, [1, *before, 1, *after]).reshape(*before, *after)

    def note(seen: Array, x: Array, turn: Array, lane: Array) -> Array:
        return lax.dynamic_update_slice(seen, x[None, None], [lane, turn, *[none] * x.ndim])

    def records(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        (λ, seen), e = carry, last - i
        lane, begin = e // cut.per_lane, e % cut.per_lane * (cut.part + 1)
        by = lax.dynamic_index_in_dim(pulled, e, pulled.ndim - 1 - extra, keepdims=False)
        charge = jax.tree.map(lambda x: pick(x, begin + cut.part, lane), k.charge)
        u = by[:1] + λ[:1]
        new = pulled_charge(circuit, way.p, charge, u[0]) + below(by[1:] + λ[1:], 1, len(by))
        if cut.per_record > 1:
            new, u = jnp.where(records_at_end[lane], new, λ), jnp.where(records_at_end[lane], u, 0)
        λ, seen = new, note(seen, below(u, 1, rows), begin + cut.part, lane)

        def one(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            (λ, seen), turn = carry, begin + (cut.part - 1) - j
            new, x = step_back(circuit, way.p, jax.tree.map(lambda x: pick(x, turn, lane), k), λ)
            if cut.uneven:
                there = cut.steps_before(turn).astype(length.dtype) < length[lane]
                new, x = jnp.where(there, new, λ), jnp.where(there, x, 0)
            return new, note(seen, x, turn, lane)

        return lax.fori_loop(none, none + cut.part, one, (λ, seen))

    seen = jnp.zeros((cut.width, cut.turns, rows, *λ.shape[1:]), λ.dtype)
    λ, seen = lax.fori_loop(none, last + 1, records, (λ, seen))
    return λ, jnp.moveaxis(seen, 0, 3)


# %% [markdown]
# `run_back` lays the windows out, pads the last one, and lets a scan go through them in reverse. It
# carries $λ$ from window to window, adds up the derivatives by the conductances, and collects those by
# the input: for each step where the input changes, or their sum where it is constant.


# %%
def run_back(
    circuit: Circuit, cut: Cut, dt: float, p: Prepared, y: Working, I: Array, found: Working, λ: tuple[Working, Working]
) -> Any:
    """Derivatives with respect to p, y and I from those with respect to the end and the record."""
    cut = in_windows(cut, y.V.size)
    way = Way(circuit, cut, dt, p, I, I.ndim > y.V.ndim)
    pulled = as_rows(circuit, jax.tree.map(lambda a, b: b.at[-1].add(a), *λ))
    if cut.per_record > 1:
        pulled = below_each(pulled, cut.per_record)
    windows = cut.windows * cut.width
    pulled = jnp.pad(pulled, ((0, windows * cut.per_lane - len(pulled)), *[(0, 0)] * (pulled.ndim - 1)))
    some = jax.tree.map(lambda x: x[cut.per_lane - 1 :: cut.per_lane][: cut.lanes - 1], found)
    start = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b, *[a[None]] * (windows - cut.lanes)]), y, some)
    window = Window(jnp.arange(windows, dtype=jnp.int32), start, pulled)
    window = jax.tree.map(lambda x: x.reshape(cut.windows, len(x) // cut.windows, *x.shape[1:]), window)

    def one(carry: tuple[Array, Coefficients, Prepared, Array], w: Window) -> tuple[Any, Any]:
        λ, k, sums, by_I = back(way, *carry[:2], w)
        sums = jax.tree.map(jnp.add, carry[2], sums)
        if way.sampled:
            return (λ, k, sums, carry[3]), by_I
        return (λ, k, sums, carry[3] + by_I.sum((0, 2))), None

    nothing = jnp.zeros_like(pulled[0])
    like = jnp.zeros((nothing.shape[1], cut.width, *nothing.shape[2:]), nothing.dtype)
    k = blank(circuit, way.lanes(), like, cut.turns)
    (λ0, _, sums, by_I), each = lax.scan(
        one, (nothing, k, jax.tree.map(jnp.zeros_like, p), nothing[0]), window, reverse=True
    )
    if way.sampled:
        by_I = input_derivative(cut, each)
    axis = 1 if way.sampled else 0
    if I.shape[axis] == 1:
        by_I = by_I.sum(axis, keepdims=True)
    return sums, of_rows(circuit, λ0), by_I


# %% [markdown]
# ### As a function with a derivative of its own
#
# To JAX all this is one function, `segment`, with a rule for its way back (`custom_vjp`). The way forward
# returns, besides the result, what the way back starts from. In a long run that would be too much, and
# then `keep` is false, and the way back first runs forward again. Under `jax.vmap` the mapped axis
# becomes the last one.


# %%
@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def segment(
    circuit: Circuit,
    cut: Cut,
    dt: float,
    keep: bool,  # noqa: ARG001
    p: Prepared,
    y: Working,
    I: Array,
) -> tuple[Working, Working]:
    """The last state and the record; keep: whether the way back finds the starts of its lanes, or runs forward again for them."""
    return lanes_last(partial(advance, circuit, cut, dt))(p, y, I)[:2]


def segment_forward(circuit: Circuit, cut: Cut, dt: float, keep: bool, p: Prepared, y: Working, I: Array) -> Any:
    """The segment, and what its way back starts from."""
    *seen, found = lanes_last(partial(advance, circuit, cut, dt))(p, y, I)
    return tuple(seen), (p, y, I, found if keep else None)


def segment_backward(circuit: Circuit, cut: Cut, dt: float, keep: bool, kept: Any, λ: Any) -> Any:
    """Derivatives with respect to p, y and I."""
    p, y, I, found = kept
    found = found if keep else lanes_last(partial(advance, circuit, cut, dt))(p, y, I)[2]
    return lanes_last(partial(run_back, circuit, cut, dt))(p, y, I, found, λ)


segment.defvjp(segment_forward, segment_backward)

# %% [markdown]
# Derivatives with respect to the numbers of the *circuit* itself (kinetics, reversal potentials, the
# membrane), those of synapses with an equation of their own, and those of exponential Euler take JAX's
# own way back, with checkpoints: states are kept at the records, and what lies between two of them is run
# again when it is needed.


# %%
def checkpointed(
    circuit: Circuit, solver: str, dt: float, n: int, m: int, p: Prepared, y: Working, I: Array
) -> tuple[Working, Working]:
    """The last state and the record of m states, n steps apart."""
    at = (lambda k: I[k]) if I.ndim == 2 else (lambda _: I)

    def block(y: Working, b: Array) -> tuple[Working, Working]:
        y = SCHEMES[solver](flows(circuit, p, lambda k: at(b * n + k), dt), y, 0, n, dt)
        return y, y

    return lax.scan(jax.checkpoint(block), y, jnp.arange(m))


# %% [markdown]
# ## A whole run
#
# A state of the circuit takes 360 bytes, so that ten seconds of run keep 4 MB: 200,000 steps, a state for
# each sixteen. A run that would keep more than `memory` is cut into segments, of which only the first
# states are kept; the way back runs each of them forward again {cite:p}`Griewank1992`. That costs one
# more run, and memory that grows with the number of segments only.
#
# Each length of a segment is a function of its own to be compiled. So the length is chosen among the
# divisors of the whole, if there is one that is about right.


# %%
class Run(NamedTuple):
    """What all segments of a run share."""

    segment: Callable[..., tuple[Working, Working]]  # of n, m, p, y and I
    p: Prepared
    I: Callable[[Any, int], Array]  # input from a step on, for a number of steps
    length: int  # steps of a segment


def share(n: int, most: int) -> int:
    """A divisor of n from half of `most` to twice as much, so that no segment is left over to be compiled; or else `most`."""
    if n <= most:
        return n
    fitting = [d for d in range(max(1, most // 2), min(2 * most, n) + 1) if n % d == 0]
    return min(fitting, key=lambda d: abs(d - most), default=max(1, most))


# %% [markdown]
# A run without records between its ends is a chain of segments; one with records a chain of chains, or a
# few segments with many records in each, whichever is longer.


# %%
def unrecorded(run: Run, y: Working, k: Any, n: int) -> Working:
    """The state n steps after step k."""
    length = share(n, run.length)
    whole, rest = divmod(n, length)
    go = lambda y, k, n: run.segment(n, 1, run.p, y, run.I(k, n))[0]  # noqa: E731
    if whole > 1:
        y = lax.scan(lambda y, i: (go(y, k + i * length, length), None), y, jnp.arange(whole))[0]
    elif whole:
        y = go(y, k, length)
    return go(y, k + whole * length, rest) if rest else y


def recorded(run: Run, y: Working, k: int, n: int, blocks: int) -> Working:
    """The state every n steps from step k on, (blocks, …)."""
    if n > run.length:
        return lax.scan(lambda y, b: (unrecorded(run, y, k + b * n, n),) * 2, y, jnp.arange(blocks))[1]
    m = share(blocks, run.length // n)
    go = lambda y, b, m: run.segment(n, m, run.p, y, run.I(k + b * n, n * m))  # noqa: E731
    if m == blocks:
        return go(y, 0, m)[1]
    y, ys = lax.scan(lambda y, i: go(y, i * m, m), y, jnp.arange(blocks // m))
    ys = jax.tree.map(flat, ys)
    if blocks % m:
        ys = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, go(y, blocks // m * m, blocks % m)[1])
    return ys


# %% [markdown]
# Which function runs a segment depends on the circuit. This chapter's applies if nothing in the circuit
# is traced, since it writes derivatives by the conductances only and takes the kinetics as given. JAX's
# way back keeps states at about the square root of the number of steps, which balances what is kept
# between and within segments.


# %%
def has_a_fast_way_back(circuit: Circuit, solver: str) -> bool:
    """Whether this chapter applies."""
    return solver == DEFAULT_SOLVER and not circuit.kinetic and is_hashable(circuit) and not is_traced(circuit)


def segments(circuit: Circuit, solver: str, dt: float, N: int, memory: float, y: Working) -> tuple[Any, int]:
    """The function that runs a segment, of this chapter where it applies or else JAX's, and the most steps it may have."""
    if not has_a_fast_way_back(circuit, solver):
        f = partial(checkpointed, circuit, solver, dt)
        return lambda n, m, *x: jax.checkpoint(partial(f, n, m))(*x), max(1, isqrt(N))
    state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(y))
    most = max(1, int(memory * 1e6 / state) * LENGTH)
    return lambda n, m, *x: segment(circuit, cut_of(n, m), dt, most >= N, *x), most


def conductances_of(params: Params, dtype: Any, dt: float, solver: str) -> Prepared:
    """Of a run; synapses in a list where this chapter applies."""
    p = prepare(params, dtype, dt)
    return p._replace(w=jnp.asarray(params.gs, dtype) * NS_TO_US) if has_a_fast_way_back(params.circuit, solver) else p


# %% [markdown]
# Last, the function that a user calls. It checks, builds the grid of steps, takes the steps before the
# first time, records, and puts the start before the record.


# %%
def simulate_with_adjoint(
    params: Params, state: State, t: Any, I_ext: Any = None, *, solver: str = DEFAULT_SOLVER, dt: float = DEFAULT_DT, t0: float = 0.0,
    memory: float = 100.0,
) -> State:  # fmt: skip
    """States at the times t, as `prinz2004.simulate` returns them, for reverse-mode derivatives.

    params, state, I_ext, dt, t0: as there. t: (time,) ms, equally spaced at whole steps t0 + k dt. solver: "staggered"
    or "exponential_euler". memory: MB that the states kept for the way back may take; a run that needs more takes
    longer. Derivatives with respect to `params`, `state` and I_ext; and, more slowly, to the
    numbers of `params.circuit`, or all of them if it has synapses with an equation of their own. Forward mode needs `simulate`; of a gradient it can be taken here, too
    (jax.jvp of jax.grad, jax.hessian), and reverse mode is refused. Raises TypeError or ValueError as `simulate`
    does, and ValueError if the times are not equally spaced.
    """
    state = circuits.startable(circuits.started(params, state, Params, state_of))
    t, dt = checks.times(t, t0), checks.scheme(solver, dt, SCHEMES, fixed=True)
    checks.steps(t, t0, dt)
    memory = checks.positive("memory", memory, "MB")
    grid, slots = grid_of(t, t0, dt)
    checks.on_steps(t, t0, dt, slots is None)
    N = grid.first + grid.n * grid.blocks
    pure_current(I_ext, len(params.circuit.rows), N + 1)
    dtype = state.V.dtype
    I_k = input_at(I_ext, dt, t0, dtype)
    steps = callable(I_ext) or jnp.ndim(0.0 if I_ext is None else I_ext) == 2
    I = lambda k, n: for_cells(jax.vmap(I_k)(k + jnp.arange(n + 1)), 2) if steps else for_cells(I_k(k), 1)  # noqa: E731
    y = pack(params.circuit, state)
    function, length = segments(params.circuit, solver, dt, N, memory, y)
    run = Run(function, conductances_of(params, dtype, dt, solver), I, length)
    y = unrecorded(run, y, 0, grid.first) if grid.first else y
    start = jax.tree.map(lambda x: x[None], y)
    ys = recorded(run, y, grid.first, grid.n, grid.blocks) if grid.blocks else None
    ys = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), start, ys) if ys else start
    return jax.vmap(partial(unpack, params.circuit))(ys)


def for_cells(I: Array, ndim: int) -> Array:
    """Input with an axis for cells, (1,) or (cell,), or the same at steps."""
    return I if I.ndim == ndim else I[..., None]


# %% [markdown]
# ## Many circuits
#
# Gradients of many circuits at once, as a search from many starts or a population of models asks for
# them, cost less each: the run forward and the recursion have circuits side by side, too. `jax.vmap` of
# any function of a run does it. `many_at_once` does the same on all cores of the processor, each of which
# takes a few dozen circuits at a time, about what its cache holds. The last part is filled up with copies
# of the last circuit, so that all parts have one shape and one compiled function; the copies are dropped
# at the end.

# %%
TOGETHER = 64  # circuits that a core takes at a time


def many_at_once(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of many circuits on all cores, from one of a single circuit, as `jax.vmap` makes it.

    f: a pure function, such as `jax.value_and_grad(loss)`. The result takes arrays or pytrees of them, with a leading axis of circuits, and its
    values have one, too. It compiles when it is first called: make it once and call it often. Raises ValueError if the axes differ.
    """
    here = jax.default_backend()
    go = jax.jit(jax.vmap(f), compiler_options=ONE_CORE if here == "cpu" else None)

    def many(*x: Any) -> Any:
        n, cores = circuits_in(x), len(local_devices())
        if here != "cpu" or any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(x)):
            return jax.vmap(f)(*x) if here == "cpu" else go(*x)
        size = -(-n // max(1, min(cores, n), -(-n // TOGETHER)))
        dtype = "float64" if jnp.result_type(float) == jnp.float64 else "float32"

        def part(first: int) -> Any:
            rows = np.minimum(np.arange(first, first + size), n - 1)  # the last one again where a part is not full
            with precision(dtype):
                return jax.block_until_ready(go(*jax.tree.map(lambda a: jnp.asarray(a)[rows], x)))

        with ThreadPoolExecutor(cores) as pool:
            parts = list(pool.map(part, range(0, n, size)))
        with precision(dtype):
            return jax.tree.map(lambda *parts: jnp.concatenate(parts)[:n], *parts)

    return many


# %% [markdown]
# What is the same for all circuits, such as a recording, is closed over and not passed. Arguments of
# different lengths are refused, since the circuits could not be told apart.


# %%
def circuits_in(x: Any) -> int:
    """The length of the leading axis that all arrays have. Raises ValueError if they have none, or several."""
    found = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(x)}
    if len(found) != 1 or found & {(), (0,)}:
        raise ValueError(
            f"the arguments have leading axes of the lengths {sorted(found)}; all must have one of the same length, that of the circuits. Repeat "
            "what is the same for all, or close over it."
        )
    return int(found.pop()[0])


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-passive-adjoint
# A passive cell takes steps $V' = V + (J/G - V)(1 - e^{-Gh/C})$. Write its way back by hand: a recursion
# for $λ$, the derivative of the last potential by that after step $k$, and the sum that gives the
# derivative by $G$. Compare with forward mode.
# ```
#
# ```{solution-start} ex-passive-adjoint
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# G, C, J, h, n = 0.02, 0.628, -0.9, 0.05, 400  # µS, nF, nA, ms, steps
# fade, V = np.exp(-G * h / C), [-50.0]
# for _ in range(n):
#     V.append(V[-1] + (J / G - V[-1]) * (1 - fade))
# λ, by_G = 1.0, 0.0
# for k in reversed(range(n)):
#     by_G += λ * (-J / G**2 * (1 - fade) + (J / G - V[k]) * h / C * fade)
#     λ *= fade
#
#
# def last(G):
#     return jax.lax.fori_loop(0, n, lambda _, V: V + (J / G - V) * (1 - jnp.exp(-G * h / C)), jnp.asarray(-50.0))
#
#
# with precision():
#     forward = float(jax.jvp(last, (G,), (1.0,))[1])
# assert np.isclose(by_G, forward, rtol=1e-10) and np.isclose(λ, np.exp(-n * G * h / C))
# float(by_G), forward, float(λ)

# %% [markdown]
# $λ$ shrinks by $e^{-Gh/C}$ with each step, and is 0.53 after 20 ms, as the time constant is 31 ms: the
# last potential remembers about half of the first. The sum goes over all steps, each with the $λ$ of its
# end.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-differences
# Take the derivative by AB-LP as a central difference, with changes of 1, 0.1, 0.01 … nS down to
# $10^{-12}$. Which one is closest to the adjoint, and why does it get worse on both sides?
# ```
#
# ```{solution-start} ex-differences
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# with precision():
#     of_first = jax.jit(lambda g: mean_potential(jnp.asarray(model.params.gs).at[0].set(g), simulate))
#     g = float(model.params.gs[0])
#     central = {h: float(of_first(g + h) - of_first(g - h)) / (2 * h) for h in 10.0 ** -np.arange(13)}
# off = {h: abs(x / float(adjoint[0]) - 1) for h, x in central.items()}
# assert off[0.01] < 1e-6 < off[1.0] and off[1e-12] > 0.1
# {f"{h:.0e}": f"{x:.0e}" for h, x in off.items()}

# %% [markdown]
# Changes of 0.1 and 0.01 nS are right to seven digits. A larger one sees the curvature, an error that
# falls with the square of the change. A smaller one divides the rounding of the mean potential, some
# $10^{-14}$ mV, by ever less, until at $10^{-12}$ nothing is left. The adjoint has neither error and
# needs no choice, which is most of its worth, beside the speed.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-lambda
# What is $λ_V$ at the start of a run? Ask for the derivative of the mean potential by the potentials of
# the three cells at time 0. In which cell would a small pulse of current have the largest effect?
# ```
#
# ```{solution-start} ex-lambda
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# with precision():
#     of_start = lambda V, run: run(model.params, start._replace(V=V), t).V.mean()
#     λ_start = np.asarray(jax.jit(jax.grad(of_start), static_argnums=1)(jnp.asarray(start.V), simulate_with_adjoint))
#     run_again = jax.jit(lambda V: of_start(V, simulate))
#     pulses = 1e-6 * np.eye(3)
#     by_pulse = [float(run_again(start.V + x) - run_again(start.V - x)) / 2e-6 for x in pulses]
# assert np.allclose(by_pulse, λ_start, rtol=1e-3)
# dict(zip(model.labels, λ_start.round(3).tolist(), strict=True))

# %% [markdown]
# In PY, five times as large as in the others: it is at −47 mV, near its threshold, while the others are
# deep below. A charge of $q$ (pC) on a cell moves its potential by $q/C$, and so the mean by $λ_V q/C$.
# All that comes later fades or grows from there; this is how the phase response of a rhythm can be
# computed, too.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-memory
# How long a run of the circuit fits into the default `memory` of 100 MB, with a state of 360 bytes for
# each sixteen steps of 0.05 ms? What happens to a longer one?
# ```
#
# ```{solution-start} ex-memory
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# state_bytes = 8 * sum(np.size(x) for x in start)
# kept_states = int(100e6 / state_bytes)
# assert state_bytes == 360
# kept_states * 16 * 0.05 / 1000  # s

# %% [markdown]
# 222 s. A longer run is cut into segments, and each is run forward once more before its way back, which
# takes one more run in all. The derivative is the same.
# ```{solution-end}
# ```
