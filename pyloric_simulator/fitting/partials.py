"""Partial derivatives of the parts of a step, and how the gates of a circuit are laid out for them.

Mechanics of `adjoint`. Arrays have names first, then cells; more axes may follow. Cells of several membranes are taken in pieces: neighbours of
one membrane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..engine.kinetics import one_by_one, stacks, takes_calcium
from ..engine.layout import activating, inactivating, is_nernstian
from ..prinz2004 import (
    Channel,
    Circuit,
    Constants,
    Gate,
    Membrane,
    Working,
    covered,
    current_of,
    gates_of,
    growth,
    linear,
    phi,
)


class Slopes(NamedTuple):
    """The value of a function that acts element by element, and its partial derivatives."""

    value: Array
    by: tuple[Array, ...]


def along(f: Callable[[Array], Any], x: Array) -> tuple[Any, Any]:
    """A function that acts element by element, and its derivative."""
    return jax.jvp(f, (x,), (jnp.ones_like(x),))


def added(terms: Sequence[Any], none: Any = 0.0) -> Any:
    """Their sum."""
    return sum(terms[1:], terms[0]) if terms else none


def fixed(derivative: Any) -> bool:
    """Whether a derivative is 0 everywhere."""
    return isinstance(derivative, float) and derivative == 0


def joined(parts: Sequence[Array], axis: int = 0) -> Array:
    """Parts of an array, one after the other."""
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis)


def transposed(f: Callable[[Array], Any], like: Array, by: Any) -> Array:
    """The transpose of a linear function of an array such as `like`, applied to `by`."""
    return jax.linear_transpose(f, like)(by)[0]


# ---------------------------------------------------------------- potential


def flow_slopes(V: Array, G: Array, J: Array, h: Any) -> Slopes:
    """V after a time h (ms) by `prinz2004.flow`, and its derivatives with respect to V, G (1/ms) and J (mV/ms)."""
    z = h * G
    mean, small = phi(z), z < 1e-2
    left = 1 - z * mean
    series = -1 / 2 + z * (
        1 / 3 - jnp.where(z < 1e-4, 0, z * (1 / 8 - z * (1 / 30 - z / 144)))
    )  # of `phi` as it is computed
    bent = jnp.where(small, series, (left - mean) / jnp.where(small, 1, z))  # dφ/dz
    return Slopes(V + (J - G * V) * h * mean, (left, h * ((J - G * V) * h * bent - V * mean), h * mean))


class Drive(NamedTuple):
    """G (1) and J (mV) such that an open channel of 1 µS passes G V − J nA, and their derivatives where they have some."""

    G: Any
    J: Any
    by_V: tuple[Any, Any] | None = None
    by_Ca: tuple[Any, Any] | None = None


def drive(channel: Channel, c: Constants, V: Array, Ca: Array) -> Drive:
    """What drives a channel."""
    if not hasattr(channel.E, "linear"):
        return Drive(1.0, channel.E)
    if is_nernstian(channel):
        return Drive(1.0, channel.E.potential(c, Ca), None, (0.0, -c.γ / Ca))
    one = jnp.ones_like(V)
    (G, J), by_V = along(lambda V: linear(channel, c, one, V, Ca), V)
    return Drive(G, J, by_V, along(lambda Ca: linear(channel, c, one, V, Ca), Ca)[1])


# ---------------------------------------------------------------- calcium


class Influx(NamedTuple):
    """Current (nA) of an open calcium channel of 1 µS, and its derivatives."""

    I: Array
    V: Any
    Ca: Array
    VCa: Any
    CaCa: Array


def influx(channel: Channel, c: Constants, V: Array, Ca: Array) -> Influx:
    """The influx through a channel."""
    if is_nernstian(channel):
        slope = c.γ / Ca
        return Influx(V - channel.E.potential(c, Ca), 1.0, slope, 0.0, -slope / Ca)
    current = lambda V, Ca: along(lambda Ca: current_of(channel, c, jnp.ones_like(V), V, Ca), Ca)  # noqa: E731
    (I, I_Ca), (_, CaCa) = along(lambda Ca: current(V, Ca), Ca)
    I_V, VCa = along(lambda V: current(V, Ca), V)[1]
    return Influx(I, I_V, I_Ca, VCa, CaCa)


def calcium_slopes(membrane: Membrane, opened: Sequence[tuple[Array, Influx]], Ca: Array, h: float) -> Slopes:
    """Ca after a time h (ms) by `prinz2004.calcium_step`, and its derivatives with respect to V, Ca and each conductance.

    opened: conductances (µS) of calcium channels, each with what it lets in.
    """
    if not membrane.pool:
        return Slopes(Ca, (jnp.zeros_like(Ca), jnp.ones_like(Ca)))
    c, total = membrane.constants, lambda name: added([g * x for g, i in opened if not fixed(x := getattr(i, name))])
    slope = -(c.f * total("I") + Ca - c.Ca_rest) / c.τ_Ca
    jacobian = -(c.f * total("Ca") + 1) / c.τ_Ca
    share = h / (1 - h / 2 * jacobian)
    by_jacobian = slope * share * share / 2
    free = Ca + slope * share
    by = lambda slope, jac: -c.f / c.τ_Ca * (share * slope + (0.0 if fixed(jac) else by_jacobian * jac))  # noqa: E731
    by_V, by_Ca = by(total("V"), total("VCa")), 1 + share * jacobian - by_jacobian * c.f * total("CaCa") / c.τ_Ca
    above = free > c.Ca_min
    each = (by_V, by_Ca, *(by(i.I, i.Ca) for _, i in opened))
    return Slopes(jnp.where(above, free, c.Ca_min), tuple(jnp.where(above, x, 0) for x in each))


# ---------------------------------------------------------------- gates
#
# Curves are quotients, as in the chapter on lanes. Gates whose curves have the same exponentials are taken side by side.


Quotient = tuple[Any, Any, Any, Any]  # numerator and denominator, and the derivative of each with respect to V


def column(numbers: Any, V: Array) -> Array:
    """Numbers of some gates, (gate, 1, …)."""
    return jnp.asarray(np.array(numbers), V.dtype).reshape(-1, *[1] * V.ndim)


def exponential(V: Array, a: Sequence[float], k: Sequence[float]) -> tuple[Any, Any]:
    """e^((V+a)/k) and its derivative; all k are finite, or none is."""
    if np.isinf(k[0]):
        return 1.0, 0.0
    E = jnp.exp(V * column(1 / np.array(k), V) + column(np.array(a) / np.array(k), V))
    return E, E * column(1 / np.array(k), V)


def quotient(curves: Sequence[Any], V: Array) -> Quotient:
    """Curves of one form, (gate, cell, …)."""
    of = lambda name: [getattr(f, name) for f in curves]  # noqa: E731
    (E1, E1_V), (E2, E2_V), (E3, E3_V) = (exponential(V, of(f"a{i}"), of(f"k{i}")) for i in (1, 2, 3))
    c0, c1, κ, λ = (column(of(name), V) for name in ("c0", "c1", "κ", "λ"))
    D, D_V = E1 + E2, E1_V + E2_V
    N, N_V = c0 * D + c1, c0 * D_V
    if np.isinf(curves[0].k3):
        return N * (κ + λ / 2), D, N_V * (κ + λ / 2), D_V
    D3, N3 = 1 + E3, κ + κ * E3 + λ
    return N * N3, D * D3, N_V * N3 + N * κ * E3_V, D_V * D3 + D * E3_V


def form(gate: Gate) -> Any:
    """What gates must have in common to be taken side by side."""
    if stacks(gate.inf) and stacks(gate.tau):
        return tuple(bool(np.isfinite(getattr(f, k))) for f in gate[:2] for k in ("k1", "k2", "k3"))
    return id(gate)


def share_slopes(taus: Sequence[Any], V: Array, dt: float, τ_min: float) -> Slopes:
    """The share of its way that a gate covers in a step, and its derivative with respect to V."""
    N, D, N_V, D_V = quotient(taus, V)
    each = 1 / N
    r = dt * D * each
    r_V = jnp.where(r < dt / τ_min, (dt * D_V - r * N_V) * each, 0)
    r = jnp.minimum(r, dt / τ_min)
    q = growth(r)
    rest = 1 / (1 + q)
    return Slopes(q * rest, (r_V * (1 + r * (1 + r * (1 / 2 + r / 6))) * rest * rest,))


def gate_slopes(gates: Sequence[Gate], V: Array, Ca: Array, z: Array, dt: float, τ_min: float) -> Slopes:
    """z (gate, cell, …) after a time dt (ms), and its derivatives with respect to z, V and, of gates that read it, Ca."""
    if not (stacks(gates[0].inf) and stacks(gates[0].tau)):
        return function_slopes(gates[0], V, Ca, z, dt, τ_min)
    N, D, N_V, D_V = quotient([gate.inf for gate in gates], V)
    share, (share_V,) = share_slopes([gate.tau for gate in gates], V, dt, τ_min)
    each = 1 / D
    inf, inf_V = N * each, (N_V - N * each * D_V) * each
    by_Ca: tuple[Array, ...] = ()
    if gates[0].K:
        K = column([gate.K for gate in gates], V)
        one = 1 / (Ca + K)
        by_Ca = (inf * share * K * one * one,)
        inf, inf_V = inf * Ca * one, inf_V * Ca * one
    whole = lambda x: jnp.broadcast_to(x, z.shape)  # noqa: E731
    return Slopes(z + (inf - z) * share, tuple(map(whole, (1 - share, inf_V * share + (inf - z) * share_V, *by_Ca))))


def function_slopes(gate: Gate, V: Array, Ca: Array, z: Array, dt: float, τ_min: float) -> Slopes:
    """The same of one gate with functions of any kind."""

    def after(z: Array, V: Array, Ca: Array) -> Array:
        inf, τ = next(one_by_one(((gate,),), τ_min, V, Ca))
        return z + (inf - z) * covered(dt / τ)

    value, by_z = along(lambda z: after(z, V, Ca), z)
    by_V, by_Ca = along(lambda V: after(z, V, Ca), V)[1], along(lambda Ca: after(z, V, Ca), Ca)[1]
    return Slopes(value, (by_z, by_V, by_Ca) if reads(gate) else (by_z, by_V))


def reads(gate: Gate) -> bool:
    """Whether a gate reads the calcium concentration."""
    return bool(gate.K) or any(map(reads_calcium, gate[:2]))


def reads_calcium(f: Any) -> bool:
    """Whether a function of a gate does."""
    return reads_calcium(f.f) if hasattr(f, "value") and hasattr(f, "f") else not stacks(f) and takes_calcium(f)


def is_traced(x: Any) -> bool:
    """Whether a number inside is traced, also one that a function refers to."""
    todo, seen = [x], set[int]()
    while todo:
        x = todo.pop()
        if isinstance(x, jax.core.Tracer):
            return True
        if id(x) not in seen:
            todo += inside(x)
        seen.add(id(x))
    return False


def inside(x: Any) -> list[Any]:
    """What a tuple, a dataclass or a function holds."""
    if isinstance(x, tuple):
        return list(x)
    if isinstance(x, partial):
        return [x.func, *x.args, *x.keywords.values()]
    if is_dataclass(x) and not isinstance(x, type):
        return [getattr(x, field.name) for field in fields(x)]
    return [cell.cell_contents for cell in getattr(x, "__closure__", None) or ()]


def open_shares(membrane: Membrane, x: Sequence[Array], V: Array) -> tuple[list[Array], list[Array]]:
    """m^p h^q of each channel, and its derivative with respect to each gate, in the order of the state."""
    gates = iter(x)
    m = {c.name: next(gates) for c in activating(membrane)}
    h = {c.name: next(gates) for c in inactivating(membrane)}
    power = {c.name: m[c.name] ** c.p if c.m else jnp.ones_like(V) for c in membrane.channels}
    rest = {c.name: raised(h[c.name], c.q) for c in inactivating(membrane)}
    shares = [power[c.name] * rest[c.name] if c.h else power[c.name] for c in membrane.channels]
    by_m = [c.p * m[c.name] ** (c.p - 1) * rest.get(c.name, 1) for c in activating(membrane)]
    by_h = [power[c.name] * (1 if c.q == 1 else c.q * h[c.name] ** (c.q - 1)) for c in inactivating(membrane)]
    return shares, by_m + by_h


def raised(h: Array, q: int) -> Array:
    """h^q."""
    return h if q == 1 else h**q


# ---------------------------------------------------------------- where the gates are
#
# Those that read calcium come first, the others of calcium channels next; those of the synapses are last.


class Place(NamedTuple):
    """A gate of a membrane."""

    gate: Gate
    channel: int
    number: int  # among the gates of a state
    carries: bool  # whether its channel is one of calcium


class Kind(NamedTuple):
    """The gates of a membrane."""

    order: list[Place]  # those that read calcium, the others of calcium channels, all others
    readers: int
    carriers: int  # of the first two kinds
    blocks: list[list[Gate]]  # these and those of the synapses, side by side where they can be
    own: int  # how many of the blocks are not of synapses
    carrying: list[int]  # numbers of the calcium channels


class Piece(NamedTuple):
    """Neighbouring cells of one membrane."""

    membrane: int
    cells: slice  # among all
    own: slice  # among those of the membrane


class Layout(NamedTuple):
    """The gates of a circuit; cells with fewer of them than others have rows of zeros."""

    pieces: list[Piece]
    kinds: list[Kind]  # of each membrane
    gates: int  # rows, without the synapses'
    readers: int  # rows of those that may read calcium: the first, or all if a synapse's gate does
    carriers: int  # rows of the first two kinds


def kind_of(circuit: Circuit, membrane: Membrane) -> Kind:
    """The gates of a membrane."""
    channels = list(enumerate(membrane.channels))
    found = [(c, i, gate) for gates in ("m", "h") for i, c in channels if (gate := getattr(c, gates))]
    groups: dict[Any, list[Place]] = {}
    for number, (c, i, gate) in enumerate(found):
        place = Place(gate, i, number, c.ion == "Ca" and membrane.pool)
        rank = 0 if reads(gate) else 1 if place.carries else 2
        groups.setdefault((rank, form(gate)), []).append(place)
    sizes = [sum(len(x) for key, x in groups.items() if key[0] == rank) for rank in (0, 1)]
    ordered = [groups[key] for rank in (0, 1, 2) for key in groups if key[0] == rank]
    synapses = [list(x) for _, x in groupby(gates_of(circuit, membrane)[0], lambda gate: (reads(gate), form(gate)))]
    carrying = [i for i, c in channels if c.ion == "Ca" and membrane.pool]
    blocks = [[x.gate for x in group] for group in ordered]
    return Kind([x for group in ordered for x in group], sizes[0], sum(sizes), blocks + synapses, len(blocks), carrying)


@cache
def layout(circuit: Circuit) -> Layout:
    """Where the gates of a circuit are."""
    of = np.array([circuit.populations[i].membrane for i in circuit.rows])
    ends = [0, *(np.flatnonzero(np.diff(of)) + 1).tolist(), len(of)]
    before = [int((of[:a] == of[a]).sum()) for a in ends[:-1]]
    pieces = [
        Piece(int(of[a]), slice(a, b), slice(n, n + b - a)) for n, (a, b) in zip(before, pairwise(ends), strict=True)
    ]
    kinds = [kind_of(circuit, m) for m in circuit.membranes]
    gates, readers, carriers = (
        max(f(kind) for kind in kinds) for f in (lambda k: len(k.order), lambda k: k.readers, lambda k: k.carriers)
    )
    if any(reads(gate) for m in circuit.membranes for gate in gates_of(circuit, m)[0]):
        readers = gates + len(circuit.transmitters)
    return Layout(pieces, kinds, gates, readers, carriers)


class Blocks(NamedTuple):
    """A state with its gates in blocks."""

    V: Array  # (cell, …) mV
    Ca: Array  # (cell, …) µM
    z: tuple[tuple[Array, ...], ...]  # of each piece, each (gate, cell, …)


def in_blocks(circuit: Circuit, y: Working) -> Blocks:
    """A state in blocks."""
    found, z = layout(circuit), []
    for piece in found.pieces:
        kind = found.kinds[piece.membrane]
        x = y.x[piece.membrane][:, piece.own][numbers(kind)]
        gates, ends = jnp.concatenate([x, y.s[:, piece.cells]]), np.cumsum([0, *map(len, kind.blocks)])
        z.append(tuple(gates[a:b] for a, b in pairwise(ends)))
    return Blocks(y.V, y.Ca, tuple(z))


def of_blocks(circuit: Circuit, y: Blocks, axis: int = 0) -> Working:
    """The other way; axis: of the gates, after others that lead."""
    found, x, s = layout(circuit), [list[Array]() for _ in circuit.membranes], []
    for piece, blocks in zip(found.pieces, y.z, strict=True):
        none = lax.slice_in_dim(
            jnp.expand_dims(lax.slice_in_dim(y.V, piece.cells.start, piece.cells.stop, axis=axis), axis),
            0,
            0,
            axis=axis,
        )
        kind, z = found.kinds[piece.membrane], joined(blocks or (none,), axis)
        x[piece.membrane].append(jnp.take(z, np.argsort(numbers(kind)), axis))
        s.append(jnp.take(z, np.arange(len(kind.order), z.shape[axis]), axis))
    return Working(y.V, y.Ca, joined(s, axis + 1), tuple(joined(parts, axis + 1) for parts in x), None)


def numbers(kind: Kind) -> np.ndarray:
    """Where the gates of a membrane are in a state."""
    return np.array([x.number for x in kind.order], int)


def gate_rows(kind: Kind, z: Sequence[Array]) -> list[Array]:
    """Gates of blocks, (cell, …) each, in the order of a state."""
    each = list(rows_of(z))
    return [each[i] for i in np.argsort(numbers(kind))]


def rows_of(blocks: Sequence[Array]) -> Iterator[Array]:
    """Each row of some blocks."""
    return (row for block in blocks for row in block)


def activations(circuit: Circuit, z: Sequence[Sequence[Array]]) -> list[Array]:
    """Activations s of blocks, (cell, …) for each transmitter."""
    each = [list(rows_of(blocks)) for blocks in z]
    n = len(circuit.transmitters)
    return [joined(x) for x in zip(*(rows[len(rows) - n :] for rows in each), strict=True)]


def as_rows(circuit: Circuit, y: Working) -> Array:
    """A derivative with respect to states (time, …) as (time, row, cell, …): V, Ca, x and s."""
    found, x = layout(circuit), []
    for piece in found.pieces:
        own = y.x[piece.membrane][:, numbers(found.kinds[piece.membrane])][:, :, piece.own]
        x.append(jnp.pad(own, ((0, 0), (0, found.gates - own.shape[1]), *[(0, 0)] * (own.ndim - 2))))
    return jnp.concatenate([y.V[:, None], y.Ca[:, None], joined(x, 2), y.s], 1)


def of_rows(circuit: Circuit, λ: Array) -> Working:
    """The other way, of a derivative (row, cell, …)."""
    found, x = layout(circuit), [list[Array]() for _ in circuit.membranes]
    for piece in found.pieces:
        x[piece.membrane].append(λ[2:, piece.cells][np.argsort(numbers(found.kinds[piece.membrane]))])
    return Working(λ[0], λ[1], λ[2 + found.gates :], tuple(joined(parts, 1) for parts in x), None)


# ---------------------------------------------------------------- graded synapses, a linear map


def members(circuit: Circuit) -> list[slice]:
    """The cells of each population."""
    ends = np.cumsum([p.size for p in circuit.populations])
    return [slice(end - p.size, end) for p, end in zip(circuit.populations, ends, strict=True)]


def synaptic_sums(circuit: Circuit, gs: Array, s: Any, none: Array) -> tuple[Array, Array]:
    """G_s (µS) and J_s (nA) of all graded synapses onto each cell, (cell, …); none: zeros of that shape."""
    cells = members(circuit)
    G, J = ([none[own] for own in cells] for _ in range(2))
    for synapse, g in zip(circuit.synapses, gs, strict=True):
        own, population = s[synapse.transmitter][cells[synapse.pre]], circuit.populations[synapse.pre]
        total = (own.sum(0, keepdims=True) if population.size > 1 else own) * population.copies
        g_open = g * (total - own if synapse.pre == synapse.post else total)  # no cell inhibits itself
        G[synapse.post] += g_open
        J[synapse.post] += g_open * circuit.transmitters[synapse.transmitter].E
    return jnp.concatenate(G), jnp.concatenate(J)


def synaptic_back(circuit: Circuit, gs: Array, by_G: Array, by_J: Array) -> Array:
    """The transpose: derivatives with respect to s, (transmitter, cell, …), from those with respect to G_s and J_s."""
    cells = members(circuit)
    found = [[jnp.zeros_like(by_G[own]) for own in cells] for _ in circuit.transmitters]
    for synapse, g in zip(circuit.synapses, gs, strict=True):
        post, population = cells[synapse.post], circuit.populations[synapse.pre]
        x = g * (by_G[post] + circuit.transmitters[synapse.transmitter].E * by_J[post])
        total = (x.sum(0, keepdims=True) if len(x) > 1 else x) * population.copies
        found[synapse.transmitter][synapse.pre] += total - x if synapse.pre == synapse.post else total
    none = jnp.zeros((0, *by_G.shape), by_G.dtype)
    return jnp.concatenate([none, *(jnp.concatenate(x)[None] for x in found)])
