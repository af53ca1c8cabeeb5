"""Cells without channels side by side: the steps of a `Neuron` and of `LIF` cells, with lanes behind the last axis of every array.

Mechanics of `ensemble`. A whole step of theirs is what the schemes call `euler`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from ..fitting.parameters import put
from ..models import lif
from ..models.lif import LIF, heaviside
from ..models.neurons import Equations, Neuron, fire, neuron_step, parameters_of
from ..prinz2004 import Flows


class Cells(NamedTuple):
    """A state of all lanes."""

    y: Any  # state of the model, (cell, lane) each
    fired: Array | None  # (cell, lane) whether a threshold was reached in the last step; None of cells without one
    spikes: Array | None  # (cell, lane) of all steps so far

    @property
    def V(self) -> Array:
        """Potentials (cell, lane), or the first variable where none is called V."""
        found: Array = getattr(self.y, "V", self.y[0])
        return found


class Plain(Protocol):
    """What is fixed of such cells when a batch is compiled. Hashable."""

    def step(self, y: Any, p: Any, I: Array, later: Array, dt: float) -> tuple[Any, Array | None]:
        """A state after a step, and whether cells fired; later: the input at the end of the step."""

    def state(self, w: Cells) -> Any:
        """The state of the model, to be recorded."""


class OfNeuron(NamedTuple):
    """Equations of one's own."""

    equations: Equations
    blocks: tuple[tuple[str, ...], ...]

    def step(self, y: Any, p: Any, I: Array, later: Array, dt: float) -> tuple[Any, Array | None]:
        """As of `Plain`."""
        one = lambda y, I, p: fire(self.equations, neuron_step(self.equations, self.blocks, y, I, p, dt), p, heaviside)  # noqa: E731
        y, fired = jax.vmap(jax.vmap(one))(y, (I, later), parameters_of(p))
        return y, fired > 0 if self.equations.threshold else None

    def state(self, w: Cells) -> Any:
        """As of `Plain`."""
        return w.y


class OfLIF(NamedTuple):
    """Integrate-and-fire cells."""

    def step(self, y: Any, p: Any, I: Array, later: Array, dt: float) -> tuple[Any, Array | None]:  # noqa: ARG002
        """As of `Plain`; the input is held through the step."""
        y = lif.step(p, y, I, dt, heaviside)
        return y, y.spikes > 0

    def state(self, w: Cells) -> Any:
        """As of `Plain`; spikes are those so far, and those of the last step."""
        return w.y._replace(spikes=jnp.stack([jnp.asarray(w.spikes), w.y.spikes]))


def plain_of(model: Neuron | LIF) -> Plain:
    """What is fixed of a model."""
    return OfNeuron(model.equations, model.blocks) if isinstance(model, Neuron) else OfLIF()


def numbers_in_lanes(params: Any, paths: Sequence[Any], values: Sequence[Array], n: int, dtype: Any) -> Any:
    """The numbers of n models, (cell, lane) each; values: (lane,) of those that vary, at the ends of the paths."""
    many = jax.tree.map(lambda x: spread(x, n, dtype), params)
    for path, x in zip(paths, values, strict=True):
        many = put(many, path, x)
    return many


def spread(x: Any, n: int, dtype: Any) -> Array:
    """x with n equal lanes behind it."""
    return jnp.repeat(jnp.asarray(x, dtype)[..., None], n, -1)


def start_in_lanes(resets: bool, start: Any, n: int, dtype: Any) -> Cells:
    """The starts of n models from one state."""
    y = jax.tree.map(lambda x: spread(x, n, dtype), start)
    return Cells(y, jnp.zeros(y[0].shape, bool) if resets else None, jnp.zeros_like(y[0]) if resets else None)


def with_starts(w: Cells, label: str, values: Mapping[str, Array]) -> Cells:
    """The starts with the values of variables that columns give."""
    given = {v: values[name] for v in w.y._fields if (name := start_column(v, label)) in values}
    return w._replace(y=w.y._replace(**{v: jnp.broadcast_to(x, w.V.shape) for v, x in given.items()}))


def start_column(variable: str, label: str) -> str:
    """The column with the start of a variable."""
    return f"{variable}0 {label}"


def plain_flows(cells: Plain, p: Any, now: Callable[[Any], Any], later: Callable[[Any], Any], dt: float) -> Flows:
    """Whole steps under the input at the start of step k, and at its end, (cell, lane), None for none."""

    def step(w: Cells, k: Any) -> Cells:
        I = [jnp.broadcast_to(0.0 if x is None else x, w.V.shape).astype(w.V.dtype) for x in (now(k), later(k))]
        y, fired = cells.step(w.y, p, I[0], I[1], dt)
        return Cells(y, fired, None if fired is None or w.spikes is None else w.spikes + fired.astype(w.V.dtype))

    return Flows(lambda w, k, h: w, lambda w, k: w, lambda w, k: w, step)  # noqa: ARG005


def seen_in_lanes(ys: Any) -> Any:
    """Recorded states (time, cell, lane); of integrate-and-fire cells with the spikes since the time before."""
    if not isinstance(ys, lif.State):
        return ys
    total, last = ys.spikes[:, 0], ys.spikes[:, 1]
    return ys._replace(spikes=jnp.concatenate([last[:1], jnp.diff(total, axis=0)]))
