"""Adaptive solvers of diffrax, for all models, that come to an end where an input or a state is not a number.

Mechanics of `prinz2004`. There the error of a step is not a number either, and no step is short enough: the step shrinks to the resolution
of time, and the run stops. What turned non-finite is marked as NaN; what was not reached any more is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from . import checks
from .inputs import Samples, sampled_at

DEFAULT_RTOL = DEFAULT_ATOL = 1e-6
MAX_STEPS = 10**8
FIRST_STEP = 1e-3  # ms, where none can be derived from the slope at the start
SHORTEST = 4  # the shortest step, in units of the resolution of time
PROBE = 64  # how far behind the last state to look for what is not a number, in the same unit


@cache
def controller_type() -> Any:
    """diffrax's control of the step size, for which an error that is not a number is a large one, and which ends at the shortest step.

    (That of diffrax itself, `dtmin`, changes the last digits of all runs.)
    """
    diffrax = checks.package("diffrax", "solvers", "an adaptive solver")

    class Controller(diffrax.PIDController):  # type: ignore[misc, name-defined]
        def init(self, terms: Any, t0: Any, *args: Any, **kwargs: Any) -> Any:
            t1, state = super().init(terms, t0, *args, **kwargs)
            return jnp.where(jnp.isfinite(t1), t1, t0 + jnp.asarray(FIRST_STEP, t0.dtype)), state

        def adapt_step_size(self, t0: Any, t1: Any, y0: Any, y1: Any, args: Any, y_error: Any, *more: Any) -> Any:
            if y_error is not None:
                y_error = jax.tree.map(lambda x: jnp.where(jnp.isnan(x), jnp.inf, x), y_error)
            *found, result = super().adapt_step_size(t0, t1, y0, y1, args, y_error, *more)
            no_step = found[2] <= found[1] + SHORTEST * grain_of(found[1])
            return *found, diffrax.RESULTS.where(no_step, diffrax.RESULTS.dt_min_reached, result)

    return Controller


def grain_of(t: Any) -> Any:
    """How far apart numbers of the size of a time t (ms) are, but not less than for 1 ms."""
    return jnp.maximum(jnp.abs(t), 1) * jnp.finfo(t.dtype).eps


def adaptively(
    slope: Callable[[Any, Any], Any], y0: Any, t: Any, *, solver: Any, t0: float, rtol: float, atol: float
) -> Any:
    """Solution at times t (ms) of dy/dt = slope(t, y) by a diffrax solver, with a leading time axis.

    Where the solver cannot go on, the variables whose slope is not a number are NaN from there on, and the others infinite.
    """
    diffrax = checks.package("diffrax", "solvers", "an adaptive solver")
    dtype = jax.tree.leaves(y0)[0].dtype
    t = jnp.asarray(t, dtype)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, _: slope(t, y)), solver, jnp.asarray(t0, dtype), t[-1], None, y0, max_steps=MAX_STEPS, throw=False,
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=t), diffrax.SubSaveAt(t1=True)]),
        stepsize_controller=controller_type()(rtol=rtol, atol=atol),
    )  # fmt: skip
    (ys, end), last = solution.ys, lax.stop_gradient(solution.ts[1][0])
    found = slope(last + PROBE * grain_of(last), jax.tree.map(lambda x: lax.stop_gradient(x[0]), end))
    return jax.tree.map(lambda y, dy: jnp.where(jnp.isinf(y) & jnp.isnan(dy), jnp.nan, y), ys, found)


def run_adaptively(
    integrate_so: Callable[..., Any], params: Any, start: Any, t: np.ndarray, I: Any, **scheme: Any
) -> Any:
    """A function such as `integrate_adaptively`, compiled; a sampled current is interpolated."""
    eqx = checks.package("equinox", "solvers", "an adaptive solver")
    current = (
        jax.tree_util.Partial(sampled_at, **I._asdict()) if isinstance(I, Samples) else I
    )  # compiled once for all samples
    return eqx.filter_jit(integrate_so)(params, start, t, current, **scheme)
