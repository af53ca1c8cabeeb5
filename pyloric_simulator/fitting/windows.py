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
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

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


def refuse(*_: Any) -> Any:
    """There is no way back through the way back."""
    raise TypeError(
        "jax.grad is taken of a gradient of `simulate_with_adjoint`; of its derivatives only those in forward mode can be taken. Write "
        "jax.jvp(jax.grad(f), (x,), (v,)) for the product of the Hessian with v, and jax.hessian(f) or jax.jacfwd(jax.grad(f)) for all of it."
    )


forward_only = Primitive("forward_only")  # changes nothing; its derivative goes forward alone
forward_only.def_impl(lambda x: x)
forward_only.def_abstract_eval(lambda x: x)
ad.deflinear2(forward_only, refuse)
batching.defvectorized(forward_only)
mlir.register_lowering(forward_only, lambda _, x: [x])


def lanes_last(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (p, y, I, …) on arrays whose last axes may be circuits; under `jax.vmap` the mapped axis becomes the last of them.

    It has derivatives in forward mode. Those in reverse mode are refused, with TypeError.
    """

    def call(*x: Any) -> Any:
        leaves, tree = jax.tree.flatten(x)  # JAX stumbles over None among the arguments
        found: list[Any] = []

        @custom_vmap
        def plain(*leaves: Array) -> list[Array]:
            out, shape = jax.tree.flatten(f(*jax.tree.unflatten(tree, leaves)))
            found[:] = [shape]
            return out

        @plain.def_vmap
        def rule(size: int, mapped: list[bool], *leaves: Array) -> Any:
            out = jax.tree.leaves(
                lanes_last(f)(*at_the_end(size, *(jax.tree.unflatten(tree, x) for x in (mapped, leaves))))
            )
            return [jnp.moveaxis(x, -1, 0) for x in out], [True] * len(out)

        @jax.custom_jvp
        def once(*leaves: Array) -> list[Array]:
            return plain(*leaves)

        @once.defjvp
        def derivative(leaves: Any, slopes: Any) -> Any:
            def along(p: Any, y: Any, I: Array, others: Any, slopes: Any) -> Any:
                return jax.jvp(f, (p, y, jnp.broadcast_to(I, slopes[2].shape), *others), slopes)[1]

            p, y, I, *others = jax.tree.unflatten(tree, leaves)
            by = lanes_last(along)(p, y, I, others, tuple(jax.tree.unflatten(tree, slopes)))
            return plain(*leaves), [forward_only.bind(x) for x in jax.tree.leaves(by)]

        out = once(*leaves)
        return jax.tree.unflatten(found[0], out)

    return call


def at_the_end(size: int, mapped: Any, x: Any) -> Any:
    """Arguments (p, y, I, …) with an axis of circuits at the end, that was the first where they are mapped; I may be the same for all."""

    def last(x: Array, is_mapped: bool, n: int) -> Array:
        return jnp.moveaxis(x, 0, -1) if is_mapped else jnp.broadcast_to(x[..., None], (*x.shape, n))

    p, y, I, *others = x
    I = last(I, mapped[2], 1)  # it may be long, and is only ever added
    p, y, *others = jax.tree.map(partial(last, n=size), (p, y, *others), (*mapped[:2], *mapped[3:]))
    return p, y, I, *others
