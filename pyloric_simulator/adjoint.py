# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version,-jupytext.text_representation.format_version
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["active-ipynb", "remove-cell"]
# from _notebook import __spec__

# %% [markdown]
# # Derivatives of a simulation
#
# How does the rhythm change with a conductance? `simulate` answers in both of the ways in which JAX
# differentiates. **Forward mode** (`jax.jvp`, `jax.jacfwd`) carries the derivative along with the state.
# It costs a few simulations, more with each parameter, and no memory. **Reverse mode** (`jax.grad`)
# goes back from the result to the parameters, and costs a few simulations for *all* of them; but it has
# to know the states that it goes back through. Left to itself, JAX stores everything that each step has
# computed and then walks back through some sixty small operations per step.
#
# This chapter writes down the way back, the **adjoint** of the staggered scheme. It gives the derivative
# of the very numbers that the scheme computes, to rounding, not an approximation of the derivative of
# the equations. The function `simulate_with_adjoint` takes and returns what `simulate` does.

# %% tags=["active-ipynb"]
# import jax
# import numpy as np
#
# from .adjoint import simulate_with_adjoint
# from .config import find_circuit
# from .prinz2004 import Prinz2004, precision, simulate
#
# model = Prinz2004.from_toml(find_circuit("paper"))
# start, t = model.get_thermalization(), np.arange(0, 200, 0.5)
#
#
# def mean_potential(gs, run):
#     return run(model.params.replace(gs=gs), start, t).V.mean()
#
#
# with precision():
#     plain = jax.jit(jax.grad(mean_potential), static_argnums=1)(model.params.gs, simulate)
#     adjoint = jax.jit(jax.grad(mean_potential), static_argnums=1)(model.params.gs, simulate_with_adjoint)
# assert np.allclose(adjoint, plain, rtol=1e-9, atol=1e-15)

# %% [markdown]
# Which one? {numref}`tbl-modes` has the time of 100 ms of the circuit of Fig. 3e with derivatives of the mean potential, on the machine that made
# this page. Forward mode is the better one for one or two parameters, or for many results of few parameters, such as a trace;
# reverse mode for more, or for a loss.

# %% tags=["active-ipynb", "hide-input"]
# from time import perf_counter
#
# from .book import list_table
#
# short, p = t[t <= 100], model.params
#
#
# def scaled(run):
#     """The mean potential as a function of factors (31,) of all conductances."""
#     return lambda x: run(p.replace(g=p.g * x[: p.g.size].reshape(p.g.shape), gs=p.gs * x[p.g.size :]), start, short).V.mean()
#
#
# def seconds(function, x):
#     """The least of five times of a compiled function."""
#     compiled = jax.jit(function)
#     jax.block_until_ready(compiled(x))
#     times = []
#     for _ in range(5):
#         begin = perf_counter()
#         jax.block_until_ready(compiled(x))
#         times.append(perf_counter() - begin)
#     return min(times)
#
#
# with precision():
#     x = np.ones(31)
#     along = lambda n: lambda x: jax.vmap(lambda d: jax.jvp(scaled(simulate), (x,), (d,))[1])(np.eye(31)[:n])
#     rows = {"no derivative": seconds(scaled(simulate), x)}
#     rows |= {f"forward mode, parameters: {n}": seconds(along(n), x) for n in (1, 3, 10, 31)}
#     rows |= {"reverse mode, parameters: 31": seconds(jax.grad(scaled(simulate_with_adjoint)), x)}
# list_table("Time of 100 ms of the circuit with derivatives.", "tbl-modes", ["", "ms", "relative"],
#            [(name, f"{s * 1e3:.1f}", f"{s / rows['no derivative']:.1f}") for name, s in rows.items()])

# %%
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, sqrt
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from . import checks, circuits
from .inputs import input_at, pure_current
from .prinz2004 import (
    DEFAULT_DT,
    DEFAULT_SOLVER,
    SCHEMES,
    Circuit,
    Params,
    Prepared,
    State,
    Working,
    flows,
    pack,
    prepare,
    state_of,
    unpack,
)
from .schedule import grid_of

# %% [markdown]
# ## A segment of a run
#
# A segment records `m` states, `n` steps apart. Its way back starts from its first state alone and computes
# the others again. A run of $N$ steps is cut into about $\sqrt N$ segments of $\sqrt N$ steps, so that
# memory grows like $\sqrt N$ {cite:p}`Griewank1992`: the starts of all segments are kept, and the inside of
# one.


# %%
def advance(
    circuit: Circuit, solver: str, n: int, m: int, dt: float, p: Prepared, y: Working, I: Array
) -> tuple[Working, Working]:
    """State after n m steps, and the record (m, …). I: () or (cell,) nA, or (n m + 1, () or cell) at all steps."""
    at = (lambda k: I[k]) if I.ndim == 2 else (lambda _: I)

    def block(y: Working, b: Array) -> tuple[Working, Working]:
        f = flows(circuit, p, lambda k: at(b * n + k), dt)
        y = SCHEMES[solver](f, y, 0, n, dt)
        return y, y

    return lax.scan(jax.checkpoint(block), y, jnp.arange(m))


# %% [markdown]
# Derivatives with respect to the numbers of the *circuit* itself (kinetics, reversal potentials, the
# membrane), and those of exponential Euler, take JAX's own way back, with the same checkpoints.


# %%
def segment_of(circuit: Circuit, solver: str) -> Callable[..., tuple[Working, Working]]:
    """The function that runs a segment: with the adjoint of this chapter where it applies, or else with JAX's."""
    def checkpointed(n: int, m: int, dt: float, p: Prepared, y: Working, I: Array) -> tuple[Working, Working]:
        return jax.checkpoint(lambda p, y, I: advance(circuit, solver, n, m, dt, p, y, I))(p, y, I)

    return checkpointed


# %% [markdown]
# ## A whole run


# %%
class Run(NamedTuple):
    """What all segments of a run share."""

    segment: Callable[..., tuple[Working, Working]]
    p: Prepared
    I: Callable[[Any, int], Array]  # input from a step on, for a number of steps
    dt: float  # ms
    length: int  # steps of a segment


def share(n: int, most: int) -> int:
    """A divisor of n from half of `most` to twice as much, so that no segment is left over to be compiled; or else `most`."""
    fitting = [d for d in range(max(1, most // 2), min(2 * most, n) + 1) if n % d == 0]
    return min(fitting, key=lambda d: abs(d - most), default=max(1, min(most, n)))


def unrecorded(run: Run, y: Working, k: Any, n: int) -> Working:
    """The state n steps after step k."""
    length = share(n, run.length)
    whole, rest = divmod(n, length)
    go = lambda y, k, n: run.segment(n, 1, run.dt, run.p, y, run.I(k, n))[0]  # noqa: E731
    if whole:
        y = lax.scan(lambda y, i: (go(y, k + i * length, length), None), y, jnp.arange(whole))[0]
    return go(y, k + whole * length, rest) if rest else y


def recorded(run: Run, y: Working, k: int, n: int, blocks: int) -> Working:
    """The state every n steps from step k on, (blocks, …)."""
    if n > run.length:
        return lax.scan(lambda y, b: (unrecorded(run, y, k + b * n, n),) * 2, y, jnp.arange(blocks))[1]
    m = share(blocks, run.length // n)
    go = lambda y, b, m: run.segment(n, m, run.dt, run.p, y, run.I(k + b * n, n * m))  # noqa: E731
    y, ys = lax.scan(lambda y, i: go(y, i * m, m), y, jnp.arange(blocks // m))
    ys = jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), ys)
    if blocks % m:
        ys = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, go(y, blocks // m * m, blocks % m)[1])
    return ys


def simulate_with_adjoint(
    params: Params, state: State, t: Any, I_ext: Any = None, *, solver: str = DEFAULT_SOLVER, dt: float = DEFAULT_DT, t0: float = 0.0
) -> State:  # fmt: skip
    """States at the times t, as `prinz2004.simulate` returns them, for reverse-mode derivatives.

    params, state, I_ext, dt, t0: as there. t: (time,) ms, equally spaced at whole steps t0 + k dt. solver: "staggered"
    or "exponential_euler". Derivatives with respect to `params`, `state` and I_ext; and, more slowly, to the
    numbers of `params.circuit`. Forward mode needs `simulate`. Raises TypeError or ValueError as `simulate`
    does, and ValueError if the times are not equally spaced.
    """
    state = circuits.startable(circuits.started(params, state, Params, state_of))
    t, dt = checks.times(t, t0), checks.scheme(solver, dt, SCHEMES)
    checks.fixed_scheme(solver)
    checks.steps(t, t0, dt)
    grid, slots = grid_of(t, t0, dt)
    checks.on_steps(t, t0, dt, slots is None)
    N = grid.first + grid.n * grid.blocks
    pure_current(I_ext, len(params.circuit.rows), N + 1)
    dtype = state.V.dtype
    I_k = input_at(I_ext, dt, t0, dtype)
    steps = callable(I_ext) or jnp.ndim(0.0 if I_ext is None else I_ext) == 2
    I = lambda k, n: segment_input(jax.vmap(I_k)(k + jnp.arange(n + 1))) if steps else I_k(k)  # noqa: E731
    run = Run(segment_of(params.circuit, solver), prepare(params, dtype, dt), I, dt, max(1, ceil(sqrt(N))))
    y = unrecorded(run, pack(params.circuit, state), 0, grid.first)
    start = jax.tree.map(lambda x: x[None], y)
    ys = recorded(run, y, grid.first, grid.n, grid.blocks) if grid.blocks else None
    ys = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), start, ys) if ys else start
    return jax.vmap(partial(unpack, params.circuit))(ys)


def segment_input(I: Array) -> Array:
    """Input at the steps of a segment with an axis for cells: (step, 1) or (step, cell)."""
    return I if I.ndim == 2 else I[:, None]
