"""Gap junctions, and synapses with an equation of their own: what is laid out between cells before a run.

Mechanics of `prinz2004`. Both are data of a circuit: `circuit.junctions` names pairs of populations, `circuit.kinetic` the presynaptic and
the postsynaptic population and the kind of each synapse. Arrays are (name, cell, …); more axes may follow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .kinetics import exprel, kept, together


def per_cell(x: Array, rows: np.ndarray) -> Array:
    """Values (population, …) for each cell, (cell, …)."""
    return x if len(rows) == len(x) else x[rows]


# ---------------------------------------------------------------- gap junctions


FEW = 32  # cells, up to which each sees each


def mapped(maps: Array, x: Array) -> Array:
    """Matrices (…, row, column, …) applied to x (column, …); in lanes term by term, since the compiler adds in a sum one number at a time."""
    column = maps.ndim - x.ndim
    if x.ndim == 1:
        return (maps * x).sum(column)
    terms = [lax.index_in_dim(maps, i, column, keepdims=False) * x[i] for i in range(len(x))]
    return sum(terms[1:], terms[0])


class Dense(NamedTuple):
    """The gap junctions of a circuit, cell by cell: the obvious way, and the fast one for few cells."""

    own: Array  # (cell, …) µS, to all other cells, copies of itself included
    L: Array  # (cell, cell, …) µS: the current is L V
    maps: Array  # (2, cell, cell, …) change of the potentials in half a step and in a whole one

    def contracted(self, V: Array) -> tuple[Array, Array]:
        """V (cell, …) after half a step and after a whole one of gap junction currents alone."""
        if V.ndim == 1:
            half, whole = mapped(self.maps, V)
            return V + half, V + whole
        V = kept(V, self.own)
        half, whole = mapped(self.maps, V)
        return kept(V + half, self.own), kept(V + whole, self.own)

    def current(self, V: Array) -> Array:
        """Current through gap junctions, (cell, …) nA, outward positive."""
        return mapped(self.L, V)


class ByPopulation(NamedTuple):
    """The same for many cells: each population's mean follows the others', and each cell its population's mean."""

    rows: np.ndarray  # (cell,) population
    own: Array  # (cell, …) µS, to all other cells
    all: Array  # (cell, …) µS, to all cells, itself included
    w: Array  # (population, population, …) µS, from a cell of the first to all of the second together
    decays: Array  # (2, cell, …) change of the distance from the population's mean in half a step and in a whole one, relative
    maps: Array  # (2, population, population, …) change of the means

    def mean(self, V: Array) -> Array:
        """Of each population, (population, …)."""
        count = np.bincount(self.rows).astype(V.dtype).reshape(-1, *[1] * (V.ndim - 1))
        return jax.ops.segment_sum(V, self.rows, len(self.w), indices_are_sorted=True) / count

    def contracted(self, V: Array) -> tuple[Array, Array]:
        """As `Dense.contracted`."""
        mean = self.mean(V)
        away = V - mean[self.rows]
        half, whole = (
            V + x[self.rows] + decay * away
            for x, decay in zip((self.maps * mean[None, None]).sum(2), self.decays, strict=True)
        )
        return half, whole

    def current(self, V: Array) -> Array:
        """As `Dense.current`."""
        return self.all * V - (self.w * self.mean(V)[None]).sum(1)[self.rows]


jax.tree_util.register_pytree_node(
    ByPopulation, lambda x: (x[1:], tuple(x.rows.tolist())), lambda rows, x: ByPopulation(np.array(rows), *x)
)  # the rows are no numbers of the model
Coupling = Dense | ByPopulation


def as_matrix(x: Any, n: int) -> Any:
    """A matrix (row, column) beside others of n more axes."""
    return x.reshape(*x.shape, *[1] * n)


def changes(A: Array, h: Any) -> Array:
    """exp(−A h) − 1 and exp(−2 A h) − 1 of a matrix A (row, column, …) 1/ms and a time h (ms)."""
    half = jnp.moveaxis(jax.scipy.linalg.expm(jnp.moveaxis(-h * A, (0, 1), (-2, -1))), (-2, -1), (0, 1))
    change = half - as_matrix(np.eye(len(A), dtype=A.dtype), A.ndim - 2)
    twice = (change[:, :, None] * change[None]).sum(1)  # (1 + x)² − 1 = 2 x + x²
    return jnp.stack([change, 2 * change + twice])


def coupling(circuit: Any, ge: Array, C: Array, h: Any, held: tuple[int, ...] = ()) -> Coupling:
    """From ge (junction, …) µS, or one for all, capacitances C (cell, …) nF and half a step h (ms); held: cells that do not follow."""
    ge = jnp.broadcast_to(ge, (len(circuit.junctions), *ge.shape[1:]))
    n, more, rows = len(circuit.populations), ge.ndim - 1, circuit.rows
    C = as_matrix(C, ge.ndim - C.ndim)
    a, b = (np.array([j[i] for j in circuit.junctions], int) for i in (0, 1))
    pairs = (
        jnp.zeros((n, n, *ge.shape[1:]), ge.dtype)
        .at[a, b]
        .add(ge)
        .at[b, a]
        .add(jnp.where(as_matrix(a == b, more), 0, ge))
    )
    copies = np.array([p.copies for p in circuit.populations], ge.dtype)
    if held or len(rows) <= FEW:
        own_copies = jnp.stack([pairs[i, i] * (copies[i] - 1) for i in range(n)])[rows]
        return dense(pairs * as_matrix(copies[None], more), own_copies, rows, C, h, held)
    count = copies * np.bincount(rows).astype(copies.dtype)
    w = pairs * as_matrix(count[None], more)
    M = laplacian(w) / C[np.searchsorted(rows, np.arange(n))][:, None]
    within = jnp.stack([pairs[i, i] for i in range(n)])[rows]
    to_all = w.sum(1)[rows]
    decay = jnp.expm1(-h * to_all / C)
    return ByPopulation(rows, to_all - within, to_all, w, jnp.stack([decay, decay * (2 + decay)]), changes(M, h))


def laplacian(w: Array) -> Array:
    """The matrix (row, column, …) of the currents Σ w (V − V'), from w (to, from, …) µS."""
    eye = as_matrix(np.eye(len(w), dtype=w.dtype), w.ndim - 2)
    between = w * (1 - eye)
    return eye * between.sum(1)[:, None] - between


def dense(pairs: Array, own_copies: Array, rows: np.ndarray, C: Array, h: Any, held: tuple[int, ...]) -> Dense:
    """Cell by cell, from the conductance (population, population, …) µS from a cell to another."""
    L = laplacian(pairs[rows][:, rows])
    moving = as_matrix(~np.isin(np.arange(len(rows)), held)[:, None], L.ndim - 2)
    own = own_copies + jnp.stack([L[i, i] for i in range(len(L))])
    return Dense(own, L, changes(jnp.where(moving, L, 0) / C[:, None], h))


def contracted(gap: Coupling | None, V: Array) -> tuple[Array, Array]:
    """V after half a step and after a whole one of gap junction currents alone."""
    return (V, V) if gap is None else gap.contracted(V)


def electrical_current(gap: Coupling | None, V: Array) -> Array:
    """Current through gap junctions, (cell, …) nA, outward positive."""
    return jnp.zeros_like(V) if gap is None else gap.current(V)


# ---------------------------------------------------------------- synapses with an equation of their own


class KineticState(NamedTuple):
    """The state of a circuit with synapses that have an equation of their own."""

    V: Any  # (cell,) mV
    Ca: Any  # (cell,) µM
    s: Any  # (cell, transmitter) 0…1
    m: Any  # (cell, activating channel) 0…1
    h: Any  # (cell, inactivating channel) 0…1
    z: Any  # (cell, kinetic synapse onto the cell) activation


class Inlets(NamedTuple):
    """The kinetic synapses onto each cell, (slot, cell) each; unused slots have the index after the last synapse."""

    pre: np.ndarray  # presynaptic cell
    synapse: np.ndarray  # index into `Params.gz`
    kind: np.ndarray  # index into `Circuit.kinds`


@cache
def inlets(sizes: tuple[int, ...], kinetic: tuple[tuple[int, int, int], ...]) -> Inlets:
    """Where each slot leads, from the sizes of all populations and the kinetic synapses."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    onto: list[list[tuple[int, int, int]]] = [
        [
            (int(i), n, kind)
            for n, (pre, post, kind) in enumerate(kinetic)
            if post == row
            for i in np.flatnonzero(rows == pre)
            if i != cell
        ]
        for cell, row in enumerate(rows)
    ]
    width = max(map(len, onto))
    full = np.array([x + [(0, len(kinetic), 0)] * (width - len(x)) for x in onto], np.int32).reshape(
        len(rows), width, 3
    )
    return Inlets(*np.moveaxis(full, -1, 0).swapaxes(1, 2))


def inlets_of(circuit: Any) -> Inlets:
    """The slots of a circuit."""
    return inlets(tuple(p.size for p in circuit.populations), circuit.kinetic)


def used(circuit: Any) -> np.ndarray:
    """Which slots lead to a synapse, (slot, cell)."""
    return inlets_of(circuit).synapse < len(circuit.kinetic)


def starts(circuit: Any) -> Any:
    """Activation of the kinetic synapses at the start, (cell, slot); None without any."""
    if not circuit.kinetic:
        return None
    first = np.array([kind.start for kind in circuit.kinds])
    return np.where(used(circuit), first[inlets_of(circuit).kind], 0.0).T


def kinetic_rate(circuit: Any, V: Array, z: Array) -> Array:
    """dz/dt of all kinetic synapses, (slot, cell, …) 1/ms."""
    slots, rate, more = inlets_of(circuit), jnp.zeros_like(z), [1] * (V.ndim - 1)
    for number, kind in enumerate(circuit.kinds):
        here = ((slots.kind == number) & used(circuit)).reshape(*slots.kind.shape, *more)
        rate = jnp.where(here, kind.rate(z, V[slots.pre], jnp.broadcast_to(V[None], z.shape)), rate)
    return rate


def exponential_step(f: Callable[[Any], Any], x: Any, h: float) -> Any:
    """x, an array or several, after a time h of dx/dt = f(x), f acting element by element, {eq}`eq-rosenbrock`."""
    slope, a = jax.jvp(f, (x,), (jax.tree.map(jnp.ones_like, x),))
    return jax.tree.map(lambda x, slope, a: x + h * slope * exprel(a * h), x, slope, a)


def kinetic_slope(circuit: Any, V: Array, z: Any) -> Any:
    """The same, or None without any."""
    return kinetic_rate(circuit, V, z) if circuit.kinetic else None


def kinetic_step(circuit: Any, V: Array, z: Any, h: float) -> Any:
    """z after a time h (ms) at the potentials V (mV)."""
    return exponential_step(lambda z: kinetic_rate(circuit, V, z), z, h) if circuit.kinetic else z


def kinetic_conductances(circuit: Any, gz: Array) -> Any:
    """µS of each slot, (slot, cell, …), from those of the synapses, (synapse, …)."""
    return (
        jnp.concatenate([gz, jnp.zeros((1, *gz.shape[1:]), gz.dtype)])[inlets_of(circuit).synapse]
        if circuit.kinetic
        else ()
    )


def kinetic_input(circuit: Any, w: Array, z: Array) -> tuple[Array, Array]:
    """G (µS) and J (nA) of all kinetic synapses, each (cell, …)."""
    E = (
        together([kind.E for kind in circuit.kinds])
        .astype(z.dtype)[inlets_of(circuit).kind]
        .reshape(*w.shape[:2], *[1] * (z.ndim - 2))
    )
    return (w * z).sum(0), (w * z * E).sum(0)
