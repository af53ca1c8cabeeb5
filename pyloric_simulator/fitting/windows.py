"""How a run is cut into lanes and windows for its way back, and what stands where.

Mechanics of `adjoint`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap

LENGTH = 16  # steps of a lane, about
WIDTH = 768  # cells side by side in all lanes of a window, about


class Cut(NamedTuple):
    """How a segment is cut into lanes and windows."""

    n: int  # steps between records
    m: int  # records
    length: int  # steps of a lane, but for the last one of a record or of the run
    per_lane: int  # records in a lane, or 1
    per_record: int  # lanes of a record, or 1
    lanes: int
    width: int  # lanes of a window

    @property
    def windows(self) -> int:
        """Number of windows; lanes beyond the last have no steps."""
        return -(-self.lanes // self.width)

    @property
    def part(self) -> int:
        """Steps between the records of a lane, or of all of it."""
        return self.length // self.per_lane

    @property
    def turns(self) -> int:
        """Steps of a lane, and its records."""
        return self.length + self.per_lane

    @property
    def uneven(self) -> bool:
        """Whether some lanes have fewer steps."""
        return self.n * self.m != self.length * self.windows * self.width

    def steps_before(self, turn: Any) -> Any:
        """Steps of a lane before a turn."""
        return turn - turn // (self.part + 1)

    def first(self, lane: Any) -> Any:
        """The first step of a lane, at most that after the run."""
        first = lane // self.per_record * self.per_lane * self.n + lane % self.per_record * self.length
        return jnp.minimum(first, self.n * self.m)

    def end(self, lane: Any) -> Any:
        """The step after its last one."""
        whole = (lane // self.per_record + 1) * self.per_lane * self.n
        return jnp.minimum(jnp.minimum(self.first(lane) + self.length, whole), self.n * self.m)


def cut_of(n: int, m: int) -> Cut:
    """Lanes of about LENGTH steps for a run of m records, n steps apart, all in one window."""
    per_record = max(1, round(n / LENGTH))
    length = -(-n // per_record)
    per_record = -(-n // length)
    per_lane = 1 if per_record > 1 else max(1, min(m, round(LENGTH / n)))
    lanes = m * per_record if per_record > 1 else -(-m // per_lane)
    return Cut(n, m, length * per_lane, per_lane, per_record, lanes, lanes)


def in_windows(cut: Cut, cells: int) -> Cut:
    """The same in windows of about WIDTH cells, of so many in all circuits."""
    windows = -(-cut.lanes // max(1, min(cut.lanes, WIDTH // cells)))
    return cut._replace(width=-(-cut.lanes // windows))


def flat(x: Array) -> Array:
    """The first two axes as one, also of an empty array."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def last_but(x: Array, circuits: int) -> Array:
    """(lane, row, cell, circuit…) as (row, cell, lane, circuit…)."""
    return jnp.moveaxis(x, 0, x.ndim - 1 - circuits)


def below_each(x: Array, n: int) -> Array:
    """(time, …) with n − 1 rows of zeros before each."""
    return jnp.pad(x[:, None], ((0, 0), (n - 1, 0), *[(0, 0)] * (x.ndim - 1))).reshape(-1, *x.shape[1:])


def input_derivative(cut: Cut, by: Array) -> Array:
    """Derivatives with respect to the input at all steps, (step, cell, …), from those of all turns (window, turn, cell, lane, …)."""
    by = jnp.moveaxis(by, 3, 1)
    by = by.reshape(-1, cut.part + 1, *by.shape[3:])[: cut.lanes * cut.per_lane]
    steps, records = by[:, :-1], by[:, -1]
    if cut.per_record > 1:
        records = records[cut.per_record - 1 :: cut.per_record]
    steps = steps.reshape(-1, cut.length * cut.per_record, *steps.shape[2:])[:, : cut.n * cut.per_lane]
    steps = steps.reshape(-1, *steps.shape[2:])[: cut.n * cut.m]
    return jnp.concatenate([steps, jnp.zeros_like(steps[:1])]).at[cut.n :: cut.n].add(records[: cut.m])


def lanes_last(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (p, y, I, …) on arrays whose last axes may be circuits; under `jax.vmap` the mapped axis becomes the last of them."""
    g = custom_vmap(f)

    @g.def_vmap
    def rule(size: int, mapped: Any, p: Any, y: Any, I: Any, *others: Any) -> Any:
        def last(x: Array, is_mapped: bool, n: int) -> Array:
            return jnp.moveaxis(x, 0, -1) if is_mapped else jnp.broadcast_to(x[..., None], (*x.shape, n))

        I = last(I, mapped[2], 1)  # it may be long, and is only ever added
        p, y, *others = jax.tree.map(partial(last, n=size), (p, y, *others), (*mapped[:2], *mapped[3:]))
        out = lanes_last(f)(p, y, I, *others)
        return jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), out), jax.tree.map(lambda _: True, out)

    return g
