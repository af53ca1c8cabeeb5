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
import numpy as np
from jax import Array, lax

from . import checks, circuits
from .inputs import pure_current
from .prinz2004 import (
    DEFAULT_DT,
    DEFAULT_SOLVER,
    SCHEMES,
    Circuit,
    Params,
    Prepared,
    State,
    Working,
    calcium_conductance,
    calcium_step,
    contract,
    coupled,
    covered,
    flow,
    gates_and_calcium,
    input_at,
    ionic,
    kinetics,
    pack,
    potential,
    prepare,
    synaptic_input,
    unpack,
    untraced,
)
from .schedule import grid_of

# %% [markdown]
# ## What one step does
#
# With the gap junctions' contraction $K$ in between, a step of the staggered scheme is the chain
#
# $$
# \begin{aligned}
# V_1 &= A(V, [Ca], x, G_s, J_s) & &\text{potential, all else frozen} \\
# V_c &= K V_1 \\
# [Ca]_1 &= B(V_c, [Ca], x) & &\text{half a step of calcium} \\
# z' &= z + (z_∞ - z)\, c(V_c, [Ca]_1) & &\text{all gates, } z = (s, x) \\
# [Ca]' &= B(V_c, [Ca]_1, x'), \quad V' = K V_c. & &
# \end{aligned}
# $$ (eq-chain)
#
# Cells meet only in $G_s$ and $J_s$, which are linear in $s$, and in $K$. The maps $A$ and $B$ belong to one
# cell each. Once the states along the run are known, all partial derivatives of all steps can therefore
# be taken **at the same time**, side by side on long arrays; what remains to be done one step after the
# other is a small linear recursion.
#
# Here time is the leading axis: potentials have the shape (step, cell), and the gates, as in
# `conductances`, come first, (gate, step, cell).


# %%
def charged(circuit: Circuit, g: Array, V: Array, Ca: Array, x: Array, G: Array, J: Array, h: float) -> Array:
    """A of {eq}`eq-chain`: V after a time h, from the synapses' G (µS) and J (nA, with the input)."""
    G, J = ionic(circuit, g, Ca, x, G, J)
    return flow(V, G / circuit.constants.C, J / circuit.constants.C, h)


def calcified(circuit: Circuit, g: Array, V: Array, Ca: Array, x: Array, h: float) -> Array:
    """B of {eq}`eq-chain`."""
    return calcium_step(circuit, calcium_conductance(circuit, g, x), V, Ca, h)


def targets(circuit: Circuit, V: Array, Ca: Array) -> tuple[Array, Array]:
    """z∞ and τ (ms), each (step, cell, gate), the synapses' gates first."""
    (s_inf, τ_s), (x_inf, τ_x) = kinetics(circuit)(V.ravel(), Ca.ravel())
    side_by_side = lambda a, b: jnp.concatenate([a, b], -1).reshape(*V.shape, -1)  # noqa: E731
    return side_by_side(s_inf, x_inf), side_by_side(τ_s, τ_x)


# %% [markdown]
# A map that acts on every element by itself has as many partial derivatives as arguments, and one
# backward pass with ones gives them all.


# %%
def partials(f: Callable[..., Array], *args: Array) -> tuple[Array, tuple[Array, ...]]:
    """f and its derivatives with respect to each argument, for f that acts element by element."""
    value, backward = jax.vjp(f, *args)
    return value, backward(jnp.ones_like(value))


# %% [markdown]
# ## The states along the way
#
# The states before each step, stored. They are those of `staggered` from its second step on. (In its first one $V$ takes half
# a $dt$, so that it is known in the middle of the gates' steps; that one is left to JAX.)


# %%
def orbit(circuit: Circuit, p: Prepared, y: Working, I: Array, n: int, dt: float) -> Working:
    """The state before each of n steps, and after the last: (n + 1, …) in each field. I: (), (cell,) or (n, cell) nA."""

    def step(y: Working, I_k: Array | None) -> tuple[Working, Working]:
        V = potential(circuit, p, y, I if I_k is None else I_k, dt)
        return gates_and_calcium(circuit, p, y._replace(V=V), dt), y

    end, ys = lax.scan(step, y, I if I.ndim == 2 else None, length=n)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), ys, end)


# %% [markdown]
# ## All partial derivatives at once
#
# Write $λ = (λ_V, λ_{Ca}, λ_z)$ for the derivative of the result with respect to the state of a cell
# after a step. Following {eq}`eq-chain` backward, the derivatives with respect to $[Ca]_1$, $V_c$ and
# $V_1$ are
#
# $$
# \begin{aligned}
# μ &= \textstyle\sum_j S_j λ_j, \\
# v &= K^T λ_V + \sum_j R_j λ_j + μ\, \partial_V B_1, \qquad u = K^T v,
# \end{aligned}
# $$ (eq-bottleneck)
#
# and those with respect to the state before the step
#
# $$
# λ_j \leftarrow a_j λ_j + e_j λ_{Ca} + q_j μ + r_j u + \text{(synapses)},
# $$ (eq-recursion)
#
# with coefficients that follow from the partial derivatives of $A$, of $B$ (twice) and of the gates.


# %%
class Coefficients(NamedTuple):
    """Of {eq}`eq-bottleneck` and {eq}`eq-recursion`; (step, cell, variable), variables in the order V, Ca, s, x."""

    S: Array
    R: Array
    a: Array
    e: Array
    q: Array
    r: Array
    B: Array  # (step, cell) derivative of Ca₁ with respect to V_c
    G: Array  # (step, cell) derivative of V₁ with respect to the synapses' G
    J: Array  # (step, cell) derivative of V₁ with respect to the synapses' J, and to the input


def gate_partials(circuit: Circuit, z: Array, V: Array, Ca: Array, dt: float) -> tuple[Array, Array, Array]:
    """Derivatives of z′ with respect to z, V_c and Ca₁, each (step, cell, gate)."""
    (inf, τ), push = jax.linearize(partial(targets, circuit), V, Ca)
    one, none = jnp.ones_like(V), jnp.zeros_like(V)
    (inf_V, τ_V), (inf_Ca, _) = push(one, none), push(none, one)
    c, c_τ = jax.jvp(lambda τ: covered(dt / τ), (τ,), (jnp.ones_like(τ),))
    return 1 - c, inf_V * c + (inf - z) * c_τ * τ_V, inf_Ca * c


def coefficients(
    circuit: Circuit, p: Prepared, ys: Working, I: Array, dt: float
) -> tuple[Coefficients, tuple[Array, Array, Array]]:
    """The coefficients of all steps along an orbit, and the derivatives of V₁, Ca₁ and Ca′ with respect to g."""
    y, after = jax.tree.map(lambda x: x[:-1], ys), jax.tree.map(lambda x: x[1:], ys)
    x, x_after = (jnp.moveaxis(w.x, -1, 0) for w in (y, after))
    g = jnp.broadcast_to(p.g[:, None], (len(p.g), *y.V.shape))
    G, J = jax.vmap(partial(synaptic_input, circuit, p.w))(y.s)
    V1, (A_g, A_V, A_Ca, A_x, A_G, A_J) = partials(partial(charged, circuit, h=dt), g, y.V, y.Ca, x, G, J + I)
    V = jax.vmap(partial(contract, circuit, p.ge, h=dt / 2))(V1)
    half = partial(calcified, circuit, h=dt / 2)
    Ca1, (B_g, B_V, B_Ca, B_x) = partials(half, g, V, y.Ca, x)
    _, (D_g, D_V, D_Ca, D_x) = partials(half, g, V, Ca1, x_after)
    z_z, z_V, z_Ca = gate_partials(circuit, jnp.concatenate([y.s, y.x], -1), V, Ca1, dt)
    d = jnp.concatenate([jnp.zeros_like(y.s), jnp.moveaxis(D_x, 0, -1)], -1)  # Ca′ with respect to z′
    none, zs = jnp.zeros_like(V), jnp.zeros_like(y.s)
    row = lambda V, Ca, z: jnp.concatenate([V[..., None], Ca[..., None], z], -1)  # noqa: E731
    from_x = lambda V, Ca, x: row(V, Ca, jnp.concatenate([zs, jnp.moveaxis(x, 0, -1)], -1))  # noqa: E731
    return Coefficients(
        S=row(none, D_Ca + (d * z_Ca).sum(-1), z_Ca), R=row(none, D_V + (d * z_V).sum(-1), z_V), a=row(none, none, z_z),
        e=row(none, none, d * z_z), q=from_x(none, B_Ca, B_x), r=from_x(A_V, A_Ca, A_x), B=B_V, G=A_G, J=A_J,
    ), (A_g, B_g, D_g)  # fmt: skip


# %% [markdown]
# ## The recursion
#
# The transposes of the linear maps $K$ and $s \mapsto (G_s, J_s)$ come from JAX.


# %%
def transposed_contraction(circuit: Circuit, ge: Array, v: Array, h: float) -> Array:
    """Kᵀ v, (cell,)."""
    return jax.linear_transpose(lambda V: contract(circuit, ge, V, h), v)(v)[0] if coupled(circuit) else v


def bottleneck(circuit: Circuit, ge: Array, k: Coefficients, λ: Array, dt: float) -> tuple[Array, Array, Array]:
    """μ, v and u of {eq}`eq-bottleneck`, each (cell,), at one step; λ (cell, variable)."""
    K_T = partial(transposed_contraction, circuit, ge, h=dt / 2)
    μ = (k.S * λ).sum(-1)
    v = K_T(λ[:, 0]) + (k.R * λ).sum(-1) + μ * k.B
    return μ, v, K_T(v)


def recursion(circuit: Circuit, p: Prepared, k: Coefficients, pulled: Array, dt: float) -> tuple[Array, Array]:
    """λ before the first step (cell, variable), and after each (step, …). pulled: what the records add to λ after each step."""
    n = len(circuit.transmitters)

    def step(λ: Array, a: tuple[Coefficients, Array]) -> tuple[Array, Array]:
        k, λ = a[0], λ + a[1]
        μ, _, u = bottleneck(circuit, p.ge, k, λ, dt)
        s = jax.linear_transpose(partial(synaptic_input, circuit, p.w), λ[:, 2 : 2 + n])((u * k.G, u * k.J))[0]
        before = k.a * λ + k.e * λ[:, 1:2] + k.q * μ[:, None] + k.r * u[:, None]
        return before + jnp.pad(s, ((0, 0), (2, λ.shape[1] - 2 - n))), λ

    return lax.scan(step, jnp.zeros(pulled.shape[1:], pulled.dtype), (k, pulled), reverse=True)


# %% [markdown]
# With all $λ$ known, the derivatives with respect to the conductances are sums over the steps, again of
# long arrays.


# %%
def conductance_derivative(
    circuit: Circuit, p: Prepared, ys: Working, k: Coefficients, by_g: tuple[Array, ...], λs: Array, I: Array, dt: float
) -> tuple[Prepared, Array]:
    """Derivatives with respect to the conductances, and to the input of each step (step, cell)."""
    μ, v, u = jax.vmap(lambda k, λ: bottleneck(circuit, p.ge, k, λ, dt))(k, λs)
    by_map = [(c * d).sum(1) for c, d in zip((u, μ, λs[..., 1]), by_g, strict=True)]
    g = by_map[0] + by_map[1] + by_map[2]
    currents = u * k.G, u * k.J
    (w,) = jax.vjp(lambda w: jax.vmap(partial(synaptic_input, circuit, w))(ys.s[:-1]), p.w)[1](currents)
    ge = jnp.zeros_like(p.ge)
    if coupled(circuit):
        y = jax.tree.map(lambda x: x[:-1], ys)
        V1 = jax.vmap(lambda y, I: potential(circuit, p, y, I, dt))(y, jnp.broadcast_to(I, y.V.shape))
        K = lambda ge, V: jax.vmap(lambda V: contract(circuit, ge, V, dt / 2))(V)  # noqa: E731
        ge = jax.vjp(lambda ge: (K(ge, V1), K(ge, K(p.ge, V1))), p.ge)[1]((v, λs[..., 0]))[0]
    return Prepared(g, w, ge), currents[1]


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
        y = SCHEMES[solver](circuit, p, y, lambda k: at(b * n + k), 0, n, dt)
        return y, y

    return lax.scan(jax.checkpoint(block), y, jnp.arange(m))


segment = jax.custom_vjp(advance, nondiff_argnums=(0, 1, 2, 3, 4))


def segment_forward(circuit: Circuit, solver: str, n: int, m: int, dt: float, p: Prepared, y: Working, I: Array) -> Any:
    """The segment, and what its way back starts from."""
    return advance(circuit, solver, n, m, dt, p, y, I), (p, y, I)


def first_step(circuit: Circuit, p: Prepared, y: Working, I: Array, dt: float) -> Working:
    """The state after the first step, in which V takes half a dt."""
    return gates_and_calcium(circuit, p, y._replace(V=potential(circuit, p, y, I, dt / 2)), dt)


def segment_backward(circuit: Circuit, _: str, n: int, m: int, dt: float, start: Any, λ: tuple[Working, Working]) -> Any:
    """Derivatives with respect to p, y and I, from those with respect to the end and the record, of the staggered scheme."""
    p, y, I = start
    N, records = n * m, np.arange(1, m + 1) * n
    at_steps = lambda I: jnp.broadcast_to(I if I.ndim == 2 else I[None], (N + 1, len(y.V)))  # noqa: E731
    I_steps, I_rest = at_steps(I), I[1:N] if I.ndim == 2 else I
    y1, back_first = jax.vjp(partial(first_step, circuit, dt=dt), p, y, I_steps[0])
    ys = orbit(circuit, p, y1, I_rest, N - 1, dt)

    def completed(p: Prepared, y: Working, I: Array) -> Working:
        return y._replace(V=jax.vmap(lambda y, I: potential(circuit, p, y, I, dt / 2))(y, I))

    back = jax.vjp(completed, p, jax.tree.map(lambda x: x[records - 1], ys), I_steps[records])[1]
    p_records, pulled, I_records = back(jax.tree.map(lambda a, b: b.at[-1].add(a), *λ))
    pulled = jnp.concatenate([pulled.V[..., None], pulled.Ca[..., None], pulled.s, pulled.x], -1)
    pulled = jnp.zeros((N, *pulled.shape[1:]), pulled.dtype).at[records - 1].set(pulled)
    k, by_g = coefficients(circuit, p, ys, I_rest, dt)
    λ1, λs = recursion(circuit, p, k, pulled[1:], dt)
    p_steps, by_I = conductance_derivative(circuit, p, ys, k, by_g, λs, I_rest, dt)
    parts = jnp.split(λ1 + pulled[0], [1, 2, 2 + len(circuit.transmitters)], -1)
    p_first, y_first, I_first = back_first(Working(parts[0][:, 0], parts[1][:, 0], *parts[2:]))
    by_I = jnp.zeros_like(I_steps).at[records].add(I_records).at[1:N].add(by_I).at[0].add(I_first)
    p_all = jax.tree.map(lambda a, b, c: a + b + c, p_records, p_steps, p_first)
    return p_all, y_first, jax.linear_transpose(at_steps, I)(by_I)[0]


segment.defvjp(segment_forward, segment_backward)

# %% [markdown]
# Derivatives with respect to the numbers of the *circuit* itself (kinetics, reversal potentials, the
# membrane), and those of exponential Euler, take JAX's own way back, with the same checkpoints.


# %%
def segment_of(circuit: Circuit, solver: str) -> Callable[..., tuple[Working, Working]]:
    """The function that runs a segment: with the adjoint of this chapter where it applies, or else with JAX's."""
    if solver == DEFAULT_SOLVER and untraced(circuit):
        return partial(segment, circuit, solver)

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
    ys = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), ys)
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
    state = circuits.startable(circuits.started(params, state, (Params, State)))
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
    run = Run(segment_of(params.circuit, solver), prepare(params, dtype), I, dt, max(1, ceil(sqrt(N))))
    y = unrecorded(run, pack(state), 0, grid.first)
    start = jax.tree.map(lambda x: x[None], y)
    ys = recorded(run, y, grid.first, grid.n, grid.blocks) if grid.blocks else None
    ys = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), start, ys) if ys else start
    return unpack(params.circuit, ys)


def segment_input(I: Array) -> Array:
    """Input at the steps of a segment with an axis for cells: (step, 1) or (step, cell)."""
    return I if I.ndim == 2 else I[:, None]
