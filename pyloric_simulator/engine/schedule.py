"""At which steps of a run to record the requested times.

Mechanics of all fixed-step runs: times on a regular grid of steps are recorded at the end of each block of steps; any other times are
interpolated between the two steps around them, inside the block in which they fall.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from . import checks

MAX_BLOCK = 256  # steps, the states of one block are kept until its times are interpolated
ON_GRID = 1e-6  # of a step: times closer than this to a step are that step
PER_SLOT = 20  # bytes, of the numbers in `Slots`


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


def grid_of(t: np.ndarray, t0: float, dt: float, size: float = 0.0) -> tuple[Grid, Slots | None]:
    """The steps at which to record times t (ms) of a run that starts at t0.

    size: bytes that a run takes for each time. Raises ValueError if there is no room for them, or too many steps.
    """
    checks.steps(t, t0, dt)
    k, fraction = steps_of(t, t0, dt)
    gaps = np.diff(k)
    if not fraction.any() and (gaps == gaps[:1]).all():
        checks.memory(
            f"recording {len(t):,} times", len(t) * size, "Record fewer times, or only some variables: record=('V',)."
        )
        return Grid(int(k[0]), int(gaps[0]) if len(gaps) else 1, len(gaps)), None
    n = int(np.clip(np.median(np.diff(k)), 1, MAX_BLOCK)) if len(k) > 1 else 1
    block, step = np.divmod(k - k[0], n)
    slot = np.arange(len(k)) - np.searchsorted(block, block)
    shape = (int(block[-1]) + 1, int(slot.max()) + 1)
    checks.memory(
        f"recording {len(t):,} uneven times, from {t[0]:g} to {t[-1]:g} ms,", shape[0] * shape[1] * (size + PER_SLOT),
        "Record times far from the others in a run of their own: model([t], state=result.final_state, t0=result.t[-1]).",
    )  # fmt: skip
    steps, fractions = np.zeros(shape, np.int32), np.zeros(shape)
    steps[block, slot], fractions[block, slot] = step, fraction
    return Grid(int(k[0]), n, shape[0]), Slots(steps, fractions, block * shape[1] + slot)


Advance = Callable[[Any, Any, int], Any]  # the state n steps after step k, from the state y at step k


def recorded(
    advance: Advance,
    seen: Callable[[Any], Any],
    y: Any,
    grid: Grid,
    slots: Slots | None,
    fields: tuple[str, ...] | None = None,
) -> tuple[Any, Any]:
    """The last state, and what is seen of the states on the grid, with a leading time axis.

    fields: names of those fields of what is seen that are kept; of the others only the last time is, (1, …). None keeps all.
    """
    keep = (lambda x: x) if fields is None else partial(kept, fields=fields)
    y = advance(y, 0, grid.first) if grid.first else y

    def regular(y: Any, b: Array) -> tuple[Any, Any]:
        y = advance(y, grid.first + b * grid.n, grid.n)
        return y, keep(seen(y))

    def irregular(before: tuple[Any, Any], b_slots: tuple[Array, Array, Array]) -> tuple[Any, Any]:
        y, (b, step, fraction) = before[0], b_slots
        one = lambda y, i: (advance(y, grid.first + b * grid.n + i, 1),) * 2  # noqa: E731
        end, ys = lax.scan(one, y, jnp.arange(grid.n))
        ys = jax.vmap(seen)(jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), y, ys))
        last = () if fields is None else mixed(ys, step[final][None], fraction[final][None])
        return (end, last), mixed(keep(ys), step, fraction)

    start, blocks = jax.tree.map(lambda x: x[None], seen(y)), jnp.arange(grid.blocks)
    if not grid.blocks:
        return y, start
    if slots is None:
        y, ys = lax.scan(regular, y, blocks)
        last = () if fields is None else jax.tree.map(lambda x: x[None], seen(y))
        return y, with_last(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), keep(start), ys), last)
    final = slots.pick[-1] - (grid.blocks - 1) * slots.step.shape[1]  # slot of the last time in the last block
    before = y, () if fields is None else start
    (y, last), ys = lax.scan(irregular, before, (blocks, jnp.asarray(slots.step), jnp.asarray(slots.fraction)))
    return y, with_last(jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])[slots.pick], ys), last)


def mixed(ys: Any, step: Array, fraction: Array) -> Any:
    """What is seen at fractions of a step after some steps, from that after each step."""
    mix = lambda x: x[step] + (x[step + 1] - x[step]) * fraction.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1))  # noqa: E731
    return jax.tree.map(mix, ys)


# ---------------------------------------------------------------- a part of the variables


def kept(view: Any, fields: tuple[str, ...]) -> Any:
    """What is seen, with nothing in the place of the fields that are not kept."""
    return type(view)(*(x if name in fields else None for name, x in view._asdict().items()))


def with_last(ys: Any, last: Any) -> Any:
    """What is seen at all times, with the last of what was not kept."""
    return ys if last == () else type(ys)(*(b if a is None else a for a, b in zip(ys, last, strict=True)))


def fields_of(record: Any, known: tuple[str, ...]) -> tuple[str, ...] | None:
    """The fields of a state that are to be recorded, in its order; None for all of them. Raises ValueError or TypeError."""
    if record is None:
        return None
    names = checks.items("record", record, f"names of variables, {checks.listing(known)}, as record=('V',) does")
    for name in names:
        checks.choice("a variable to record", name, known)
    if not names:
        raise ValueError("record is empty; it must name one variable at least. Say record=('V',).")
    found = tuple(name for name in known if name in names)
    return None if found == known else found


class NotRecorded:
    """A variable that a run did not record: all that there is of it is its last value, from which the run can go on."""

    def __init__(self, name: str, last: np.ndarray | None) -> None:
        self.name, self.last = name, last

    def __repr__(self) -> str:
        return f"<{self.name} was not recorded>"

    def missing(self, *_: Any, **__: Any) -> Any:
        """Say so, to whoever wants more than the last value."""
        raise ValueError(
            f"{self.name} was not recorded; the run was called with `record`. Add {self.name!r} to it, or leave it out to record all."
        )

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, int) and i == -1 and self.last is not None:
            return self.last
        if isinstance(i, np.ndarray) and i.dtype == bool:  # a part of the run has its last state if it is the end
            return NotRecorded(self.name, self.last if i[-1] else None)
        return self.missing()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.missing()

    __array__ = __jax_array__ = __iter__ = __len__ = __float__ = missing


def in_part(states: Any, fields: tuple[str, ...] | None) -> Any:
    """Recorded states as a result holds them: NumPy arrays, and marks in the place of what was not recorded."""
    arrays = {name: np.asarray(x) for name, x in states._asdict().items()}
    if fields is None:
        return type(states)(**arrays)
    return type(states)(**{name: x if name in fields else NotRecorded(name, x[-1]) for name, x in arrays.items()})
