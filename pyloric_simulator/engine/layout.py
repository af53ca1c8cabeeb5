"""How the arrays of a circuit are laid out.

Mechanics of `prinz2004`: names first, places after. Cells stand in the order of their populations; what depends on their channels is cut
into the cells of each membrane and put together again. A last axis may hold circuits side by side, and then names may be elements of a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental.layout import Layout, with_layout_constraint

from .junctions import FEW, per_cell
from .kinetics import together

if TYPE_CHECKING:
    from ..prinz2004 import Channel, Circuit, Membrane

PACEMAKERS = ("AB", "PD", "AB/PD")  # the types of cells that electrical synapses couple

# ---------------------------------------------------------------- a circuit's data, and what follows from them


class Population(NamedTuple):
    """Cells with the same conductances and terminals."""

    label: str
    type: str  # key of CELL_TYPES
    size: int  # number of cells that are integrated
    copies: int = 1  # number of identical cells that each of them stands for
    membrane: int = 0  # index into `Circuit.membranes`


class Connection(NamedTuple):
    """All synapses from one terminal of a population to a population."""

    terminal: str  # label of the presynaptic terminal
    pre: int  # presynaptic population
    transmitter: int  # index into `Circuit.transmitters`
    post: int  # postsynaptic population


class Arranged:
    """What the data of a `Circuit` say about its cells."""

    __slots__ = ()

    @property
    def rows(self: Any) -> np.ndarray:
        """Population of each integrated cell, shape (cell,)."""
        return np.repeat(np.arange(len(self.populations)), [p.size for p in self.populations])

    @property
    def pacemakers(self: Any) -> np.ndarray:
        """Which cells are of a type that paces the rhythm, shape (cell,)."""
        return np.array([self.populations[i].type in PACEMAKERS for i in self.rows])

    @property
    def groups(self: Any) -> list[np.ndarray]:
        """Numbers of the cells of each membrane, (cell,) each."""
        of = np.array([p.membrane for p in self.populations], int)[self.rows]
        return [np.flatnonzero(of == i) for i in range(len(self.membranes))]

    @property
    def only(self: Any) -> Any:
        """The membrane that all cells have. Raises ValueError if there are several."""
        (membrane,) = self.membranes
        return membrane

    @property
    def channels(self: Any) -> Any:
        """Those of the only membrane."""
        return self.only.channels

    @property
    def constants(self: Any) -> Any:
        """Those of the only membrane."""
        return self.only.constants

    def with_membrane(self: Any, **changes: Any) -> Any:
        """The circuit with other channels or constants of its only membrane."""
        return self._replace(membranes=(self.only._replace(**changes),))

    def alike(self: Any) -> Any:
        """The same circuit, with one integrated cell for each population."""
        return self._replace(populations=tuple(p._replace(size=1, copies=p.size * p.copies) for p in self.populations))


def pacemaker_pairs(populations: Sequence[Any]) -> tuple[tuple[int, int], ...]:
    """All pairs of populations of pacemaker cells, a population of several cells with itself, too."""
    paced = [i for i, p in enumerate(populations) if p.type in PACEMAKERS]
    return tuple(
        (i, j) for i in paced for j in paced if i < j or (i == j and populations[i].size * populations[i].copies > 1)
    )


def is_nernstian(channel: Channel) -> bool:
    """Whether the Nernst potential of the cell's own calcium drives a channel."""
    return getattr(channel.E, "of_calcium", False)


def activating(membrane: Membrane) -> list[Any]:
    """Channels with an m gate, in the order of `State.m`."""
    return [c for c in membrane.channels if c.m]


def inactivating(membrane: Membrane) -> list[Any]:
    """Channels with an h gate, in the order of `State.h`."""
    return [c for c in membrane.channels if c.h]


def by_channel(membrane: Membrane, x: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of m and of h under the names of their channels, from those of all gates, m before h."""
    gates = iter(x)
    m = {c.name: next(gates) for c in activating(membrane)}
    return m, {c.name: next(gates) for c in inactivating(membrane)}


def constant(circuit: Circuit, name: str) -> Any:
    """A constant of each cell, (cell,)."""
    x = [jnp.asarray(getattr(m.constants, name)) for m in circuit.membranes]
    return jnp.stack(jnp.broadcast_arrays(*(x[p.membrane] for p in circuit.populations)))[circuit.rows]


def at_rest(circuit: Circuit, name: str) -> np.ndarray:
    """The same as plain numbers, for a state to start from."""
    return np.array(
        [getattr(circuit.membranes[circuit.populations[i].membrane].constants, name) for i in circuit.rows], float
    )


def places(circuit: Circuit, gates: Callable[[Any], list[Any]]) -> np.ndarray:
    """1 where a cell has a gate, 0 where it has fewer than others, (cell, gate); gates: `activating` or `inactivating`."""
    number = np.array([len(gates(m)) for m in circuit.membranes], int)
    of = np.array([p.membrane for p in circuit.populations], int)[circuit.rows]
    return (np.arange(number.max()) < number[of][:, None]).astype(float)


def within_bounds(circuit: Circuit, y: Any) -> Any:
    """The nearest working state with gates in [0, 1] and calcium above its least value."""
    Ca_min = constant(circuit, "Ca_min").astype(y.Ca.dtype)
    inside = lambda x: jnp.clip(x, 0, 1)  # noqa: E731
    return y._replace(Ca=jnp.maximum(y.Ca, Ca_min), s=inside(y.s), x=tuple(map(inside, y.x)))


class Arithmetic(NamedTuple):
    """How the exact solutions of a step are computed, for one circuit or for thousands side by side."""

    flow: Callable[..., Array]  # V, G, J, C, h -> V after h
    gates: Callable[..., tuple[Any, Any]]  # circuit, membrane, V, Ca, s, x, dt, share -> s and x after dt


# ---------------------------------------------------------------- the cells of each membrane


def split(circuit: Circuit, x: Any, axis: int = 0) -> list[Any]:
    """The part of x that belongs to the cells of each membrane."""
    if len(circuit.membranes) == 1:
        return [x]
    if isinstance(x, tuple):  # an array (cell, …) for each name
        parts = [split(circuit, a, axis - 1) for a in x]
        return [tuple(of[i] for of in parts) for i in range(len(circuit.membranes))]
    return [jnp.take(x, cells, axis) for cells in circuit.groups]


def join(circuit: Circuit, parts: Sequence[Any], axis: int = 0) -> Any:
    """The inverse of `split`."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        return tuple(join(circuit, some, axis - 1) for some in zip(*parts, strict=True))
    return jnp.take(jnp.concatenate(parts, axis), np.argsort(np.concatenate(circuit.groups)), axis)


def by_membrane(circuit: Circuit, p: Any, y: Any, *more: Any) -> Iterator[tuple[Any, ...]]:
    """For each membrane: itself, and ḡ A, V, Ca, s, x and more values (cell,) of its cells."""
    parts = [split(circuit, y.V), split(circuit, y.Ca), split(circuit, y.s, 1), y.x, *(split(circuit, a) for a in more)]
    return zip(circuit.membranes, p.g, *parts, strict=True)


def rejoined(circuit: Circuit, found: Sequence[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
    """Ca, s and x of all cells, from those of the cells of each membrane."""
    Ca, s, x = zip(*found, strict=True)
    return join(circuit, Ca), join(circuit, s, 1), x


def spread(circuit: Circuit, I: Any, V: Array) -> list[Any]:
    """A current (nA) from outside for the cells of each membrane; I: None, () or (cell,)."""
    if I is None or len(circuit.membranes) == 1:
        return [I] * len(circuit.membranes)
    return split(circuit, jnp.broadcast_to(I, V.shape))


def densities(circuit: Circuit, g: Array) -> list[Array]:
    """For each membrane (channel, cell), from g (population, channel)."""
    of_cells = zip(circuit.membranes, circuit.groups, strict=True)
    return [turned(g[circuit.rows[cells]][:, : len(m.channels)]) for m, cells in of_cells]


# ---------------------------------------------------------------- names first


def turned(x: Any) -> Any:
    """The first two axes exchanged; None stays None."""
    return None if x is None else jnp.swapaxes(x, 0, 1)


def lying_together(x: Array) -> Array:
    """x (gate, cell), with the gates of a cell side by side in memory where there are more gates than cells.

    The order of the axes stays. A processor takes several neighbours at once: with three cells a step takes three quarters of the time.
    """
    return with_layout_constraint(x, Layout(major_to_minor=(1, 0))) if x.ndim == 2 and x.shape[0] > x.shape[1] else x


def gates_together(circuit: Circuit, m: Array, h: Array) -> tuple[Array, ...]:
    """For each membrane (gate, cell), all m before all h, from m and h (cell, gate)."""
    n = [(len(activating(m)), len(inactivating(m))) for m in circuit.membranes]
    of = zip(split(circuit, m), split(circuit, h), n, strict=True)
    return tuple(turned(jnp.concatenate([m[:, :i], h[:, :j]], 1)) for m, h, (i, j) in of)


def gates_apart(circuit: Circuit, x: Sequence[Array]) -> tuple[Array, Array]:
    """The inverse of `gates_together`."""
    of = [(gates, len(activating(m))) for gates, m in zip(x, circuit.membranes, strict=True)]
    m, h = (turned(join(circuit, filled_up(part), 1)) for part in ([x[:n] for x, n in of], [x[n:] for x, n in of]))
    return m, h


def of_channels(circuit: Circuit, found: Sequence[Sequence[Array]], dtype: Any) -> Array:
    """Values (cell, channel) from those of each channel of each membrane, (cell,), filled up with 0."""
    tables = zip(found, circuit.groups, strict=True)
    stacked = [jnp.stack(values) if values else jnp.zeros((0, len(cells)), dtype) for values, cells in tables]
    return join(circuit, filled_up(stacked), 1).T


def filled_up(parts: Sequence[Array]) -> list[Array]:
    """Arrays (gate, cell, …) with as many gates as the longest of them has."""
    longest = max(map(len, parts))
    return [jnp.pad(x, ((0, longest - len(x)), *[(0, 0)] * (x.ndim - 1))) for x in parts]


def filled_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """x with zeros behind it, in a shape."""
    return np.pad(x, [(0, n - m) for n, m in zip(shape, x.shape, strict=True)]) if shape else x


# ---------------------------------------------------------------- graded synapses


def reversals(circuit: Circuit, dtype: Any) -> Any:
    """E of each kind of graded synapse, (transmitter,) mV."""
    return together([t.E for t in circuit.transmitters]).astype(dtype)


def weights(circuit: Circuit, gs: Array) -> Array:
    """`Prepared.w` from the conductances (synapse,) µS."""
    if gs.ndim > 1:
        return gs
    n, rows = len(circuit.populations), circuit.rows
    to = tuple(np.array([getattr(s, x) for s in circuit.synapses], int) for x in ("post", "pre", "transmitter"))
    w = jnp.zeros((n, n, len(circuit.transmitters)), gs.dtype).at[to].add(gs)
    if len(rows) > FEW and len(rows) > n:
        return w
    copies = np.array([p.copies for p in circuit.populations], gs.dtype)
    other = 1 - np.eye(len(rows), dtype=gs.dtype)  # no cell inhibits itself, but its copies do
    itself = np.diag(copies[rows] - 1)
    return w[rows][:, rows] * (copies[rows][None] * other + itself)[..., None]


def sees_each(circuit: Circuit, w: Any) -> bool:
    """Whether the weights of the graded synapses are those of pairs of cells."""
    return not isinstance(w, tuple) and len(w) == len(circuit.rows)


def per_population(circuit: Circuit, x: Array) -> Array:
    """Sum x (cell, …) over the cells of each population, copies counted: (population, …)."""
    copies = np.array([p.copies for p in circuit.populations], x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    if all(p.size == 1 for p in circuit.populations):
        return x * copies
    return jax.ops.segment_sum(x, circuit.rows, len(circuit.populations), indices_are_sorted=True) * copies


def from_populations(circuit: Circuit, w: Any, s: Any) -> tuple[Array, Array]:
    """G_s (µS) and J_s (nA), each (cell,), of many cells: what a population releases is summed once."""
    if isinstance(w, tuple):
        return side_by_side(circuit, w, s)
    E = reversals(circuit, s.dtype)
    gs = w * per_population(circuit, s.T)
    G, J = (x.sum((1, 2))[circuit.rows] for x in (gs, gs * E))
    if any(x.pre == x.post for x in circuit.synapses):  # no cell inhibits itself
        own = jnp.einsum("iit->it", w)[circuit.rows] * s.T
        G, J = G - own.sum(1), J - (own * E).sum(1)
    return G, J


def side_by_side(circuit: Circuit, gs: tuple[Array, ...], s: Sequence[Array]) -> tuple[Array, Array]:
    """The same for many circuits, one synapse after the other: gs (circuit,) of each synapse, s (cell, circuit) of each transmitter."""
    released = [per_population(circuit, x) for x in s]
    zero = jnp.zeros_like(released[0][0])
    onto: list[list[Array]] = [[zero] * len(circuit.populations) for _ in range(2)]
    for x, g in zip(circuit.synapses, gs, strict=True):
        opened = g * released[x.transmitter][x.pre]
        onto[0][x.post] = onto[0][x.post] + opened
        onto[1][x.post] = onto[1][x.post] + opened * circuit.transmitters[x.transmitter].E
    G, J = (per_cell(jnp.stack(x), circuit.rows) for x in onto)
    for x, g in zip(circuit.synapses, gs, strict=True):
        if x.pre == x.post:  # no cell inhibits itself
            own = g * s[x.transmitter] * (circuit.rows == x.pre).astype(zero.dtype)[:, None]
            G, J = G - own, J - own * circuit.transmitters[x.transmitter].E
    return G, J
