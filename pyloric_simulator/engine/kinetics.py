"""The gates of a membrane, evaluated side by side.

Mechanics of `prinz2004`: steady states and time constants of all gates, of those of the synapses and those of the membrane. Where all are
curves, one sweep takes all exponentials; else one function is called after the other.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

Function = Callable[..., Any]  # of V (mV), or of V and the calcium concentration (µM), element by element


def takes_calcium(f: Function) -> bool:
    """Whether a function of a gate has to be given two arguments."""
    try:
        found = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):  # a function not written in Python
        return False
    return sum(x.default is x.empty and x.kind is not x.VAR_KEYWORD for x in found) > 1


def value(f: Function, V: Array, Ca: Array) -> Any:
    """f(V, Ca), or f(V) if it takes one argument. A function that has `value` is asked for that."""
    if hasattr(f, "value"):
        return f.value(V, Ca)
    return f(V, Ca) if not stacks(f) and takes_calcium(f) else f(V)


def at(f: Function, V: Array, Ca: Array) -> Array:
    """f at V (mV) and Ca (µM), in their shape; f may return a number that holds everywhere."""
    return jnp.broadcast_to(jnp.asarray(value(f, V, Ca), V.dtype), V.shape)


def stacks(f: Any) -> bool:
    """Whether a function is a curve, whose numbers can stand beside those of others."""
    return hasattr(f, "κ")


def exprel(x: Array) -> Array:
    """(e^x − 1)/x, smooth at 0."""
    near = jnp.abs(x) < 1e-4
    return jnp.where(near, 1 + x / 2 + x * x / 6, jnp.expm1(x) / jnp.where(near, 1, x))


def linoid(x: Array) -> Array:
    """x/(1 − e^(−x)), smooth at 0."""
    return 1 / exprel(-x)


def kept(x: Array, known: Array | None = None) -> Array:
    """x, divided by 1, which is 1 + 0 times some known numbers in the shape of x, by default x.

    The compiler works a value out again for each of its uses, unless a division by what it does not foresee is among its operations.
    """
    return x / (1 + 0 * lax.stop_gradient(x if known is None else known))


def with_slope(f: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """f(x) and f'(x), for f that acts element by element."""
    found: tuple[Array, Array] = jax.jvp(f, (x,), (jnp.ones_like(x),))
    return found


# ---------------------------------------------------------------- arithmetic of curves


class Composed:
    """A curve that can be added to and multiplied by numbers, and by c0 + c1 B(a, k). Raises ValueError or TypeError for other terms."""

    c0: Any
    c1: Any

    def __add__(self, c: float) -> Self:
        plain_number(c)
        curve_has_no_factor(self)
        return self._with(c0=self.c0 + c)

    def __mul__(self, c: Any) -> Self:
        if isinstance(c, type(self)):  # the second factor c0 + c1 B(a, k) takes the place of κ + λ B(a₃, k₃)
            curve_has_no_factor(self)
            curve_is_sigmoid(c)
            return self._with(κ=c.c0, λ=c.c1, a3=c.a1, k3=c.k1)  # type: ignore[attr-defined]
        plain_number(c)
        return self._with(c0=self.c0 * c, c1=self.c1 * c)

    def __rsub__(self, c: float) -> Self:
        return self * -1 + c

    __radd__, __rmul__ = __add__, __mul__

    def _with(self: Any, **numbers: Any) -> Any:
        return replace(self, **numbers)


# ---------------------------------------------------------------- side by side


def together(numbers: Sequence[Any]) -> Any:
    """Numbers as one array: of NumPy, or of JAX if a derivative is taken with respect to one of them."""
    return jnp.stack([*map(jnp.asarray, numbers)]) if any(isinstance(x, Array) for x in numbers) else np.array(numbers)


class CurveTable:
    """Curves side by side: `slope` and `offset` of the exponentials they need, and their values from these."""

    def __init__(self, curves: Sequence[Any]) -> None:
        stack = lambda name: together([getattr(c, name) for c in curves])  # noqa: E731
        needed = lambda k: isinstance(k, Array) or np.isfinite(k)  # noqa: E731
        used = [i for i in (1, 2, 3) if any(needed(getattr(c, f"k{i}")) for c in curves)]
        self.slope = together([x for i in used for x in 1 / stack(f"k{i}")])
        self.offset = together([x for i in used for x in stack(f"a{i}") / stack(f"k{i}")])
        self.rows = {i: slice(n * len(curves), (n + 1) * len(curves)) for n, i in enumerate(used)}
        self.coefficients = [stack(x) for x in ("c0", "c1", "κ", "λ")] if curves else []

    def __call__(self, V: Array, E: Array) -> Array:
        """Values, (cell, curve), from V (cell,) and this table's exponentials E (cell, exponential)."""
        if not self.coefficients:
            return jnp.zeros((*V.shape, 0), V.dtype)
        c0, c1, κ, λ = (jnp.asarray(c, V.dtype) for c in self.coefficients)
        E1, E2, E3 = (E[:, self.rows[i]] if i in self.rows else jnp.ones((), V.dtype) for i in (1, 2, 3))
        found = c0 + c1 / (E1 + E2)
        return found * (κ + λ / (1 + E3)) if 3 in self.rows else found


class Kinetics:
    """Some groups of gates, evaluated together at V and Ca of shape (cell,): for each (x∞, τ), each (gate, cell), τ in ms."""

    def __init__(self, groups: tuple[tuple[Any, ...], ...], τ_min: Any) -> None:
        self.groups, self.τ_min = groups, τ_min
        self.tables = [CurveTable([getattr(g, name) for g in group]) for group in groups for name in ("inf", "tau")]
        ends = np.cumsum([len(t.slope) for t in self.tables])
        self.rows = [slice(end - len(t.slope), end) for end, t in zip(ends, self.tables, strict=True)]
        self.slope = together([x for t in self.tables for x in t.slope])
        self.offset = together([x for t in self.tables for x in t.offset])

    def __call__(self, V: Array, Ca: Array) -> Iterator[tuple[Array, Array]]:
        E = jnp.exp(V[:, None] * self.slope.astype(V.dtype) + self.offset.astype(V.dtype))
        values = [table(V, E[:, rows]) for table, rows in zip(self.tables, self.rows, strict=True)]
        for group, inf, tau in zip(self.groups, values[::2], values[1::2], strict=True):
            K = together([gate.K for gate in group]).astype(V.dtype)
            calcium = Ca[:, None] / (Ca[:, None] + K) if isinstance(K, Array) or K.any() else 1
            yield (inf * calcium).T, jnp.maximum(tau, self.τ_min).T


kinetics_once = cache(Kinetics)


def one_by_one(groups: tuple[tuple[Any, ...], ...], τ_min: Any, V: Array, Ca: Array) -> Iterator[tuple[Array, Array]]:
    """The same, one function after the other, for gates of any kind and V and Ca of any shape."""
    for gates in groups:
        reads = [isinstance(g.K, Array) or g.K != 0 for g in gates]
        inf = [at(g.inf, V, Ca) * (Ca / (Ca + g.K) if some else 1) for g, some in zip(gates, reads, strict=True)]
        τ = [jnp.maximum(at(g.tau, V, Ca), τ_min) for g in gates]
        none = jnp.zeros((0, *V.shape), V.dtype)
        yield (jnp.stack(inf), jnp.stack(τ)) if gates else (none, none)


def is_hashable(x: Any) -> bool:
    """Whether all numbers inside are plain numbers, with no derivative being taken with respect to one."""
    try:
        hash(x)
    except TypeError:
        return False
    return True


def targets(groups: tuple[tuple[Any, ...], ...], τ_min: Any, V: Array, Ca: Array) -> Iterator[tuple[Array, Array]]:
    """For each group of gates x∞ and τ (ms), each (gate, cell), at V (mV) and Ca (µM) of shape (cell,)."""
    if V.ndim != 1 or not all(stacks(f) for gates in groups for g in gates for f in g[:2]):
        return one_by_one(groups, τ_min, V, Ca)
    known = is_hashable((groups, τ_min))
    return (kinetics_once if known else Kinetics)(groups, τ_min)(V, Ca)


def curve_has_no_factor(curve: Any) -> None:
    """A curve that already is a product cannot take a further term or factor."""
    if curve.λ != 0 or curve.κ != 1:
        raise ValueError(
            f"{curve} is already a product of curves; add to or multiply its factors first, or write a plain function of V."
        )


def curve_is_sigmoid(curve: Any) -> None:
    """The second factor of a product must be c0 + c1 B(a, k)."""
    if curve.λ != 0 or curve.κ != 1 or not math.isinf(curve.k2) or curve.a2 != 0:
        raise ValueError(
            f"the second factor {curve} is not of the form c0 + c1 B(a, k); write a plain function of V instead."
        )


def plain_number(value: Any) -> None:
    """A term or factor of a curve is a number, which may be traced."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating, jax.core.Tracer)):
        raise TypeError(f"{value} is not a number; a sum of curves has no `Curve`, write it as a plain function of V.")
