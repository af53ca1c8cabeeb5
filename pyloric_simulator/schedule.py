"""At which steps of a run to record the requested times.

Mechanics of all fixed-step runs: times on a regular grid of steps are recorded at the end of each block of steps; any other times are
interpolated between the two steps around them, inside the block in which they fall.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

MAX_BLOCK = 256  # steps, the states of one block are kept until its times are interpolated
ON_GRID = 1e-6  # of a step: times closer than this to a step are that step


class Grid(NamedTuple):
    """When to record, in steps: from `first`, `blocks` blocks of `n` steps."""

    first: int
    n: int
    blocks: int


class Slots(NamedTuple):
    """For times off a regular grid: what to record inside each block."""

    step: np.ndarray  # (block, slot) step within the block
    fraction: np.ndarray  # (block, slot) of the step after it
    pick: np.ndarray  # (time,) slot of each requested time, in the flattened (block, slot) array


def steps_of(t: np.ndarray, t0: float, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """The step at or before each time t (ms) of a run that starts at t0, and the fraction of a step from there."""
    x = (t - t0) / dt
    x = np.where(np.abs(x - np.rint(x)) < ON_GRID, np.rint(x), x)
    k = np.floor(x).astype(np.int64)
    return k, x - k


def grid_of(t: np.ndarray, t0: float, dt: float) -> tuple[Grid, Slots | None]:
    """The steps at which to record times t (ms) of a run that starts at t0."""
    k, fraction = steps_of(t, t0, dt)
    gaps = np.diff(k)
    if not fraction.any() and (gaps == gaps[:1]).all():
        return Grid(int(k[0]), int(gaps[0]) if len(gaps) else 1, len(gaps)), None
    n = int(np.clip(np.median(np.diff(k)), 1, MAX_BLOCK)) if len(k) > 1 else 1
    block, step = np.divmod(k - k[0], n)
    slot = np.arange(len(k)) - np.searchsorted(block, block)
    shape = (int(block[-1]) + 1, int(slot.max()) + 1)
    steps, fractions = np.zeros(shape, np.int32), np.zeros(shape)
    steps[block, slot], fractions[block, slot] = step, fraction
    return Grid(int(k[0]), n, shape[0]), Slots(steps, fractions, block * shape[1] + slot)


Advance = Callable[[Any, Any, int], Any]  # the state n steps after step k, from the state y at step k


def recorded(advance: Advance, seen: Callable[[Any], Any], y: Any, grid: Grid, slots: Slots | None) -> tuple[Any, Any]:
    """The last state, and what is seen of the states on the grid, with a leading time axis."""
    y = advance(y, 0, grid.first) if grid.first else y

    def regular(y: Any, b: Array) -> tuple[Any, Any]:
        y = advance(y, grid.first + b * grid.n, grid.n)
        return y, seen(y)

    def irregular(y: Any, b_slots: tuple[Array, Array, Array]) -> tuple[Any, Any]:
        b, step, fraction = b_slots
        one = lambda y, i: (advance(y, grid.first + b * grid.n + i, 1),) * 2  # noqa: E731
        end, ys = lax.scan(one, y, jnp.arange(grid.n))
        ys = jax.vmap(seen)(jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y, ys))
        mix = lambda x: x[step] + (x[step + 1] - x[step]) * fraction.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))  # noqa: E731
        return end, jax.tree.map(mix, ys)

    start, blocks = jax.tree.map(lambda x: x[None], seen(y)), jnp.arange(grid.blocks)
    if not grid.blocks:
        return y, start
    if slots is None:
        y, ys = lax.scan(regular, y, blocks)
        return y, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), start, ys)
    y, ys = lax.scan(irregular, y, (blocks, jnp.asarray(slots.step), jnp.asarray(slots.fraction)))
    return y, jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])[slots.pick], ys)
