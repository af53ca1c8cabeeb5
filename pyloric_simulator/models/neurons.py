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
# import sys
#
# sys.path.append("..")
# from _notebook import __spec__

# %% [markdown]
# # Equations of one's own
#
# Not every cell is a list of channels. A `Neuron` is a start, a derivative, and perhaps a threshold and a
# reset, written for *one* cell: the derivative gets the state $y$, the input $I$ and the parameters $p$,
# and returns $dy/dt$. Here is the cell of FitzHugh and Nagumo.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "The cell of FitzHugh and Nagumo, dimensionless.", "name": "fig-nagumo"}}
# import jax.numpy as jnp
# import numpy as np
#
# from ..engine.kinetics import linoid
# from .neurons import Neuron
#
# nagumo = Neuron(dict(V=-1, w=0), lambda y, I, p: dict(V=y.V - y.V**3 / 3 - y.w + I, w=(y.V + 0.7 - 0.8 * y.w) / p.τ), params=dict(τ=12.5))
# nagumo(np.arange(0, 200, 0.5), I_ext=0.5).plot()

# %%
from __future__ import annotations

import keyword
import reprlib
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..config import load_settings
from ..engine import checks, circuits
from ..engine.adaptive import DEFAULT_ATOL, DEFAULT_RTOL, adaptively
from ..engine.inputs import Samples, current, input_at, pure_current, run_is_finite
from ..engine.junctions import exponential_step
from ..engine.labelled import WithoutChannels
from ..engine.portable import Portable
from ..engine.schedule import Grid, Slots, grid_of, recorded, steps_of
from ..files.results import SPIKE_THRESHOLD, Result, Run, local_maxima, run_of
from ..prinz2004 import DEFAULT_DT, precision
from .lif import SURROGATE, check_elementwise, counts, heaviside

__all__ = ["Equations", "Neuron", "NeuronResult", "simulate_neuron"]

# %% [markdown]
# ## How equations are read
#
# The simulator reads the equations before it advances them.
#
# - Which variables does $dx_i/dt$ read? Variables none of which reads another form a *block*. A step goes
#   through the blocks, half a step each, with a whole step of the last, and back: a Strang splitting
#   {cite:p}`Strang1968`, of second order. In the equations of Hodgkin and Huxley the blocks are $V$ and
#   $(m, h, n)$, and the splitting is that of the staggered scheme.
# - Within a block each variable takes the exponential step {eq}`eq-rosenbrock`. It is exact if $dx_i/dt$ is
#   linear in $x_i$, as for a gate, and for the potential of a membrane; and of second order if not. Which
#   variables are linear `Neuron.linear` tells: those whose own slope $\partial f_i/\partial x_i$, as JAX
#   writes it down, does not read $x_i$.


# %%
def reaches(f: Callable[..., tuple[Any, ...]], args: Sequence[Any]) -> list[set[int]]:
    """For each value that f returns, the arguments from which there is a way to it in the program that JAX traces."""
    program = jax.make_jaxpr(f)(*args).jaxpr
    found: dict[Any, set[int]] = {var: {i} for i, var in enumerate(program.invars)}
    sources = lambda variables: set[int]().union(*(found.get(v, set()) for v in variables if not hasattr(v, "val")))  # noqa: E731
    for equation in program.eqns:
        read = sources(equation.invars)
        found |= dict.fromkeys(equation.outvars, read)
    return [sources([v]) for v in program.outvars]


class Driven(NamedTuple):
    """An input that depends on the potential, I − G V, as that through a conductance G with G E in I."""

    I: Any
    G: Any


class Equations(NamedTuple):
    """What is compiled of a `Neuron`: functions of one cell. Hashable."""

    names: tuple[str, ...]  # of the variables
    derivative: Callable[[Any, Any, Any], Mapping[str, Any]]
    threshold: Callable[[Any, Any], Any] | None
    reset: Callable[[Any, Any], Mapping[str, Any]] | None

    def slopes(self, y: Any, I: Any, p: Any, names: Sequence[str]) -> tuple[Array, ...]:
        """d/dt of some variables; I: a number or `Driven`."""
        I = I.I - I.G * y.V if isinstance(I, Driven) else I
        found, dtype = self.derivative(y, I, p), jnp.asarray(y[0]).dtype
        return tuple(jnp.asarray(found[name], dtype) for name in names)


@cache
def record_type(name: str, names: tuple[str, ...]) -> Any:
    """A type of tuple with these fields; the same one for the same names, as JAX wants it. It is pickled by its names."""
    made: Any = namedtuple  # whose names are known only now
    kind = made(name, names)
    kind.__reduce__ = lambda values: (record, (name, names, tuple(values)))
    return kind


def record(name: str, names: tuple[str, ...], values: Sequence[Any]) -> Any:
    """A tuple of a `record_type`."""
    return record_type(name, names)(*values)


def parameters_of(values: Mapping[str, Any]) -> Any:
    """Parameters as the equations get them."""
    return record_type("Parameters", tuple(values))(**values)


def blocks_of(equations: Equations, y: Any, I: Any, p: Any) -> tuple[tuple[str, ...], ...]:
    """The variables in blocks, none of which reads another of its block."""
    names = equations.names
    made = lambda *values: equations.slopes(record_type("State", names)(*values), I, p, names)  # noqa: E731
    reads = dict(zip(names, ({names[i] for i in found} for found in reaches(made, y)), strict=True))
    blocks: list[list[str]] = []
    for name in names:
        free = [b for b in blocks if not any(name in reads[other] or other in reads[name] for other in b)]
        free[0].append(name) if free else blocks.append([name])
    return tuple(map(tuple, blocks))


def linear_variables(equations: Equations, y: Any, I: Any, p: Any) -> tuple[str, ...]:
    """Variables whose derivative is linear in themselves."""

    def own_slope(i: int, *values: Any) -> tuple[Array, ...]:
        name, here = equations.names[i], record_type("State", equations.names)(*values)
        f = lambda x: equations.slopes(here._replace(**{name: x}), I, p, [name])  # noqa: E731
        return jax.jvp(f, (values[i],), (jnp.ones_like(values[i]),))[1]

    return tuple(name for i, name in enumerate(equations.names) if i not in reaches(partial(own_slope, i), y)[0])


# %% [markdown]
# A threshold is a number that reaches 0 when the cell fires. After each step the cells that fire are reset;
# the spikes themselves may carry a surrogate derivative, as in the chapter on such cells.


# %%
class Running(NamedTuple):
    """State of a run, with all its spikes so far."""

    y: Any  # State, (cell,) each
    fired: Array  # (step, cell), spikes at the end of each step


def advance_block(equations: Equations, names: tuple[str, ...], y: Any, I: Any, p: Any, h: float) -> Any:
    """The state of one cell after a time h in which only these variables move, {eq}`eq-rosenbrock`."""
    f = lambda x: equations.slopes(y._replace(**dict(zip(names, x, strict=True))), I, p, names)  # noqa: E731
    after = exponential_step(f, tuple(getattr(y, name) for name in names), h)
    return y._replace(**dict(zip(names, after, strict=True)))


def neuron_step(
    equations: Equations, blocks: tuple[tuple[str, ...], ...], y: Any, I: tuple[Any, Any], p: Any, dt: float,
    held: Callable[[Any], Any] = lambda y: y,
) -> Any:  # fmt: skip
    """The state of one cell after a step dt (ms); I at its start and end; held: imposes a potential after each part of a step."""
    y = held(y)
    for names in blocks[:-1]:
        y = held(advance_block(equations, names, y, I[0], p, dt / 2))
    y = held(advance_block(equations, blocks[-1], y, jax.tree.map(lambda a, b: (a + b) / 2, *I), p, dt))
    for names in blocks[-2::-1]:
        y = held(advance_block(equations, names, y, I[1], p, dt / 2))
    return y


def imposed(y: Any, V: Any) -> Any:
    """The state with a potential, where that is a number; NaN leaves a cell free."""
    return y._replace(V=jnp.where(jnp.isnan(V), y.V, V))


def fire(equations: Equations, y: Any, p: Any, spike: Callable[[Any], Any]) -> tuple[Any, Array]:
    """The state of one cell after its reset, if it fires, and its spike."""
    if equations.threshold is None or equations.reset is None:
        return y, jnp.zeros_like(y[0])
    v = jnp.asarray(equations.threshold(y, p), y[0].dtype)
    after = y._replace(**{name: jnp.asarray(x, y[0].dtype) for name, x in equations.reset(y, p).items()})
    fires = (v >= 0) & jnp.isfinite(v)
    return jax.tree.map(lambda a, b: jnp.where(fires, a, b), after, y), spike(v)


def currents_at(I: Any, dt: float, t0: Any, like: Array) -> Callable[[Any], Any]:
    """The input of all cells at the start of step k, (cell,), or `Driven` with two of these; I: see `input_at`, or `Driven`."""
    at = tuple(input_at(x, dt, t0, like.dtype) for x in (I if isinstance(I, Driven) else (I,)))
    each = lambda k: [jnp.broadcast_to(x(k), like.shape) for x in at]  # noqa: E731
    return (lambda k: Driven(*each(k))) if isinstance(I, Driven) else (lambda k: each(k)[0])


def integrate_neuron(
    equations: Equations, blocks: tuple[tuple[str, ...], ...], p: Any, start: Any, I: Any, slots: Slots | None, *, grid: Grid, dt: float,
    t0: Any, spike: Callable[[Any], Any], V: Any = None,
) -> tuple[Any, Array]:  # fmt: skip
    """States (time, cell) on the grid, and all spikes (step, cell); V: (half step, cell), imposed where it is not NaN."""
    dtype = start[0].dtype
    current = currents_at(I, dt, t0, start[0])
    one = lambda y, I, p: fire(equations, neuron_step(equations, blocks, y, I, p, dt), p, spike)  # noqa: E731

    def clamped(y: Any, I: Any, p: Any, V: Any) -> tuple[Any, Array]:
        y = neuron_step(equations, blocks, y, I, p, dt, lambda y: imposed(y, V[0]))
        return imposed(y, V[1]), jnp.zeros_like(y[0])

    def step(k: Any, now: Running) -> Running:
        if V is not None:
            y, fired = jax.vmap(clamped)(now.y, (current(k), current(k + 1)), p, V[2 * k + 1 + jnp.arange(2)].T)
            return Running(y, now.fired)
        y, fired = jax.vmap(one)(now.y, (current(k), current(k + 1)), p)
        return Running(y, now.fired.at[k].set(fired) if equations.threshold else now.fired)

    steps = grid.first + grid.n * grid.blocks if equations.threshold else 0
    start = start if V is None else imposed(start, V[0])
    now = Running(start, jnp.zeros((steps, len(start[0])), dtype))
    advance = lambda now, k, n: lax.fori_loop(0, n, lambda i, now: step(k + i, now), now)  # noqa: E731
    end, ys = recorded(advance, lambda now: now.y, now, grid, slots)
    return ys, end.fired


STATIC = ("equations", "blocks", "grid", "dt", "spike")
compiled_neuron = jax.jit(integrate_neuron, static_argnames=STATIC)
compiled_neuron_with_function = jax.jit(integrate_neuron, static_argnames=(*STATIC, "I"))


def simulate_neuron(
    neuron: Neuron, t: Any, I_ext: Any = None, *, params: Mapping[str, Any] | None = None, state: Any = None, solver: Any = "exponential",
    dt: float = DEFAULT_DT, t0: float = 0.0, rtol: float = DEFAULT_RTOL, atol: float = DEFAULT_ATOL,
    spike: Callable[[Any], Any] = heaviside, compiled: bool = False,
) -> tuple[Any, Array]:  # fmt: skip
    """States (time, cell) at the times t, and spikes (step, cell); pure, for jit, vmap and grad.

    params, state: in place of those of the neuron, () or (cell,) each. I_ext: None, () or (cell,) nA, (step, cell), or a function of
    t, in the unit of the equations. spike: see `lif.surrogate`. solver: "exponential", or for cells without a threshold one of diffrax.
    """
    checks.of_type("neuron", neuron, Neuron, "a Neuron, such as Neuron(dict(V=-65), lambda y, I, p: dict(V=I - y.V))")
    t, dt = checks.times(t, t0), check_scheme(solver, dt, neuron.equations.threshold is not None)
    if spike is not heaviside:
        check_elementwise("spike", spike)
    given = other_numbers("params", params, neuron.params, neuron.size)
    start = (
        neuron.state._asdict()
        if state is None
        else other_numbers("state", fields_of(state, neuron.state), neuron.state._asdict(), neuron.size)
    )
    dtype = jnp.asarray(0.0).dtype
    per_cell = lambda x: jnp.broadcast_to(jnp.asarray(x, dtype), (neuron.size,))  # noqa: E731
    p = jax.tree.map(per_cell, parameters_of({**neuron.params, **given}))
    y = jax.tree.map(per_cell, type(neuron.state)(**start))
    checks.tolerances(rtol, atol)
    compiled = checks.truth("compiled", compiled)
    if not isinstance(solver, str):
        I = I_ext if callable(I_ext) else lambda _: 0.0 if I_ext is None else I_ext
        one = jax.vmap(lambda y, I, p: type(y)(*neuron.equations.slopes(y, I, p, y._fields)))
        slope = lambda t, y: one(y, per_cell(I(t)), p)  # noqa: E731
        ys = adaptively(slope, y, t, solver=solver, t0=t0, rtol=rtol, atol=atol)
        return ys, jnp.zeros((0, neuron.size), dtype)
    checks.steps(t, t0, dt)
    checks.memory(f"a run of {neuron.size} cells", bytes_of_run(neuron, t, t0, dt))
    grid, slots = grid_of(t, t0, dt)
    steps = grid.first + grid.n * grid.blocks + 1
    for I in I_ext if isinstance(I_ext, Driven) else (I_ext,):
        pure_current(I, neuron.size, steps)
    run = integrate_neuron if not compiled else compiled_neuron_with_function if callable(I_ext) else compiled_neuron
    return run(neuron.equations, neuron.blocks, p, y, I=I_ext, slots=slots, grid=grid, dt=dt, t0=t0, spike=spike)


@dataclass(frozen=True, repr=False)
class NeuronResult(Result):
    """What a run of equations of one's own recorded."""

    trains: tuple[np.ndarray, ...]  # ms, spike times of each cell in the whole run, if it has a threshold
    monitors: Mapping[str, pd.DataFrame]  # what was to be recorded, columns pop and index

    def variable(self, name: str) -> pd.DataFrame:
        """A variable of the state: index time, columns pop and index."""
        checks.choice("a variable", name, self.states._fields)
        return self._table(getattr(self.states, name))

    def spike_times(self, threshold: float = SPIKE_THRESHOLD) -> dict[tuple[str, int], np.ndarray]:
        """Times (ms) of the spikes of each cell: of its threshold, or else the local maxima of V above `threshold` (mV)."""
        first, last = self.t[[0, -1]]
        if self.model.equations.threshold:
            return {cell: x[(x >= first) & (x <= last)] for cell, x in zip(self.model.cells, self.trains, strict=True)}
        threshold = checks.number("threshold", threshold, "mV")
        return {
            cell: local_maxima(self.t, V, threshold) for cell, V in zip(self.model.cells, self.states.V.T, strict=True)
        }


class Neuron(WithoutChannels, Portable):
    """Cells with equations of one's own: `Neuron(dict(V=-65), derivative, params=dict(τ=20))(t, I_ext=…)` simulates them.

    start: variable -> its start, a number or one for each of `size` cells; call the potential V. derivative: of y, I, p, for one
    cell; returns a mapping from each variable to its derivative per ms. params: name -> number, or one for each cell. threshold: of
    y, p; a number that is 0 or more where the cell fires, upon which reset, of y, p, returns the variables that it changes.
    Raises ValueError or TypeError on bad input.
    """

    labels = ("Neuron",)
    step, scheme = DEFAULT_DT, "exponential"  # ms, and the name of the scheme
    own_units = True
    sound = staticmethod(circuits.same_state)

    def __init__(
        self, start: Mapping[str, Any], derivative: Callable[[Any, Any, Any], Mapping[str, Any]], *, size: int = 1,
        params: Mapping[str, Any] | None = None, threshold: Callable[[Any, Any], Any] | None = None,
        reset: Callable[[Any, Any], Mapping[str, Any]] | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        self.size = checks.count("size", size)
        self.dtype = load_settings().precision if dtype is None else dtype
        checks.choice("dtype", self.dtype, ("float64", "float32"))
        checks.memory(f"{self.size:,} cells", checks.BYTES_PER_CELL * self.size)
        start = per_cell_numbers("start", start, self.size)
        self.params = per_cell_numbers("params", {} if params is None else params, self.size)
        self.state = record_type("State", tuple(start))(**start)
        self.equations = Equations(tuple(start), derivative, threshold, reset)
        with precision(self.dtype):
            one = lambda x: jnp.asarray(x[0], self.dtype)  # noqa: E731
            y, p = jax.tree.map(one, (self.state, parameters_of(self.params)))
            check_equations(self.equations, y, p)
            self.blocks = blocks_of(self.equations, y, one([0.0]), p)
            self.linear = linear_variables(self.equations, y, one([0.0]), p)
            if threshold is not None:
                check_firing(self.equations, self.state, parameters_of(self.params))

    @property
    def cold(self) -> Any:
        """The start, as `Prinz2004.cold`."""
        return self.state

    @property
    def resets(self) -> bool:
        """Whether spikes are those of a threshold, and not of V."""
        return self.equations.threshold is not None

    def like(self, params: Mapping[str, Any]) -> Neuron:
        """The same equations with other numbers."""
        new = copy(self)
        new.params = per_cell_numbers("params", params, self.size)
        with precision(self.dtype):
            if self.resets:
                check_firing(self.equations, self.state, parameters_of(new.params))
        return new

    def trajectory(self, params: Any, state: Any, t: Any, I_ext: Any = None, *, dt: float, t0: float = 0.0) -> Any:
        """As `Model.trajectory`."""
        return simulate_neuron(self, t, I_ext, params=params, state=state, dt=dt, t0=t0)[0]

    def balancing(self, states: Any, cell: int, slope: np.ndarray) -> np.ndarray:
        """The input (time,) with which the potential of a cell changes by `slope` (time,) per ms at recorded states.

        Raises ValueError where dV/dt does not depend on the input, or not linearly.
        """
        y, p = (
            jax.tree.map(lambda x: jnp.asarray(x[..., cell], self.dtype), x)
            for x in (states, parameters_of(self.params))
        )

        def parts(I: Any, y: Any) -> tuple[Any, Any]:
            found = jax.jvp(lambda I: self.equations.slopes(y, I, p, ["V"])[0], (I,), (jnp.ones_like(I),))
            return found[0], found[1]

        none, one = jnp.zeros((), self.dtype), jax.tree.map(lambda x: x[0], y)
        if (
            0 not in reaches(lambda I: parts(I, one)[:1], (none,))[0]
            or 0 in reaches(lambda I: parts(I, one)[1:], (none,))[0]
        ):
            raise ValueError(
                "the derivative of V does not contain the input I as a term a I; it must, for a clamp to be an input. Add I to it."
            )
        rest, gain = jax.vmap(partial(parts, none))(y)
        return np.asarray((slope - rest) / gain)

    def spikes_between(
        self, params: Any, state: Any, t: Any, I_ext: Any = None, *, dt: float, t0: float = 0.0
    ) -> Array:
        """Spikes (time − 1, cell) between the times t, with the derivative of the surrogate."""
        fired = simulate_neuron(self, t, I_ext, params=params, state=state, dt=dt, t0=t0, spike=SURROGATE)[1]
        return counts(fired, *map(jnp.asarray, steps_of(t, t0, dt)))[1:]

    def __repr__(self) -> str:
        return f"Neuron({', '.join(self.equations.names)}; {self.size} cells)"

    def __call__(
        self, t: Any, I_ext: Any = None, state: Any = None, *, record: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        solver: Any = "exponential", dt: float = DEFAULT_DT, t0: float = 0.0,
    ) -> NeuronResult:  # fmt: skip
        """Simulate and record at the times t.

        I_ext: as in a call of `Prinz2004`, in the unit of the equations. state: start, as `result.final_state`. record: name -> function
        of y and p, for one cell, recorded at t. Raises ValueError or TypeError before anything is compiled, and FloatingPointError
        naming the cell and the time if the run turns non-finite.
        """
        t, dt = checks.times(t, t0), check_scheme(solver, dt, self.equations.threshold is not None)
        I = current(I_ext, self.labels, np.zeros(self.size, int), t, t0, scale=None)
        start = self.state if state is None else circuits.same_state(state, self.state)
        record = check_record({} if record is None else record, self.state, self.params)
        if isinstance(solver, str):
            checks.steps(t, t0, dt)
            checks.memory(f"a run of {self.size} cells", bytes_of_run(self, t, t0, dt))
        ends = t0 + dt * np.arange(int((t[-1] - t0) / dt) + 300)
        with precision(self.dtype):
            if isinstance(I, Samples):
                I = I.at(ends) if isinstance(solver, str) else I.at
            states, fired = simulate_neuron(self, t, I, state=start, solver=solver, dt=dt, t0=t0, compiled=True)
            states, fired = jax.tree.map(np.asarray, (states, fired))
            p = parameters_of(self.params)
            seen = {name: np.asarray(jax.vmap(jax.vmap(f), (0, None))(states, p)) for name, f in record.items()}
        tables = {name: pd.DataFrame(x, pd.Index(t, name="time"), self.cells) for name, x in seen.items()}
        run_is = run_of(self, solver, t0, "cold" if state is None else "given", dt=dt)
        return self._result(t, states, fired, ends, tables, run_is)

    def _result(
        self, t: np.ndarray, states: Any, fired: np.ndarray, ends: np.ndarray, monitors: Mapping[str, Any], run_is: Run
    ) -> NeuronResult:
        """What was recorded; ends: ms, of the steps, after the start."""
        run_is_finite(states, t, self.cells)
        trains = tuple(ends[1 : len(fired) + 1][x > 0] for x in fired.T)
        return NeuronResult(t, states, self, trains, monitors, run=run_is)

    def driven(
        self, start: Any, t: np.ndarray, I: Any, G: Any, *, dt: float, t0: float, run_is: Run, V: Any = None
    ) -> NeuronResult:
        """A run under a current I − G V in the place of the input, (cell,) or at the steps (step, cell); V: as of `integrate_neuron`."""
        grid, slots = grid_of(t, t0, dt)
        p = jax.tree.map(lambda x: jnp.asarray(x, self.dtype), parameters_of(self.params))
        found = compiled_neuron(
            self.equations, self.blocks, p, jax.tree.map(jnp.asarray, start), I=I if G is None else Driven(I, G),
            slots=slots, grid=grid, dt=dt, t0=0.0, spike=heaviside, V=V,
        )  # fmt: skip
        states, fired = jax.tree.map(np.asarray, found)
        return self._result(t, states, fired, t0 + dt * np.arange(len(fired) + 1), {}, run_is)


# %% [markdown]
# Cells of this chapter and of the next take part in the chapters that follow: their numbers have names, they are fitted to recordings,
# run by the thousand, shaken by noise and clamped, as the [table](../abilities.py) says. What asks for channels or their temperature is refused. Under a voltage
# clamp the potential is imposed, the other variables follow, and what is measured is the input that would have held the potential: it
# exists where $dV/dt$ contains the input as a term $a I$.

# %% [markdown]
# ## What is refused
#
# A threshold is a number, not the answer to the question whether it is reached. A truth value would read as 0 or 1, and a cell
# fires at 0. Three more slips let a cell fire at every step: the difference taken the wrong way round, a reset to a value above
# the threshold, and a reset that does not change what the threshold reads. They are looked for at the start and after a reset of it.


# %%
RETURN_A_DISTANCE = "Return what is 0 at the threshold and rises with V, such as y.V - p.V_th, and reset to below it."


def check_scheme(solver: Any, dt: Any, threshold: bool) -> float:
    """The time step in ms, after checking the solver."""
    if not isinstance(solver, str) and threshold:
        raise ValueError(f"solver is {solver!r}; a cell with a threshold needs a fixed step. Take 'exponential'.")
    if isinstance(solver, str):
        checks.choice("solver", solver, ("exponential",))
    elif isinstance(solver, type) or not hasattr(solver, "step"):
        raise TypeError(
            f"solver is {solver!r}; it must be 'exponential' or an instance of a diffrax solver, such as diffrax.Tsit5()."
        )
    return checks.positive("dt", dt, "ms")


def per_cell_numbers(what: str, values: Any, size: int) -> dict[str, np.ndarray]:
    """Name -> (cell,) finite numbers."""
    if not isinstance(values, Mapping):
        raise TypeError(f"{what} is {values!r}; it must be a mapping from names to numbers, such as dict(V=-65).")
    found = {}
    for name, value in values.items():
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_") or keyword.iskeyword(name):
            raise ValueError(
                f"{name!r} is not a name of a variable; it must be letters, digits and underscores. Rename it."
            )
        checks.in_order(name, value)
        x = checks.numbers(name, value).astype(float)
        if x.shape not in ((), (size,)) or not np.isfinite(x).all():
            raise ValueError(
                f"{name} is {value!r}; it must be one finite number, or one for each of the {size} cells. Give these."
            )
        found[name] = np.full(size, x)
    return found


def check_equations(equations: Equations, y: Any, p: Any) -> None:
    """Equations of one cell that JAX can trace, with a number for each variable, and a reset where there is a threshold."""
    derivative, threshold, reset = equations[1:]
    if (threshold is None) != (reset is None):
        raise ValueError(
            f"threshold is {threshold!r} and reset {reset!r}; they must come together. Give both, or none."
        )
    cure = "Write it for one cell with jax.numpy, such as lambda y, I, p: dict(V=(I - y.V) / p.τ)."
    if not equations.names:
        raise ValueError(f"start is empty; a cell needs one variable at least, such as dict(V=-65). {cure}")
    check_function("derivative", derivative, lambda y, p: derivative(y, y[0], p), y, p, set(equations.names), cure)
    if threshold is not None:
        check_function("reset", reset, reset, y, p, None, cure)
        cure = "Return a number that is 0 at the threshold and rises with V, such as lambda y, p: y.V - p.V_th."
        check_function("threshold", threshold, lambda y, p: {"v": threshold(y, p)}, y, p, {"v"}, cure)


def check_function(what: str, f: Any, made: Any, y: Any, p: Any, wanted: set[str] | None, cure: str) -> None:
    """A function f of one cell; `made` gives what it returns by name: the names wanted, or some of the state's, each a real number."""
    if not callable(f):
        raise TypeError(f"the {what} is {f!r}; it must be a function. {cure}")
    returned: list[Any] = []

    def traced(y: Any, p: Any) -> Any:
        returned[:] = [made(y, p)]
        return {name: jnp.asarray(x) for name, x in returned[0].items()} if isinstance(returned[0], Mapping) else {}

    try:
        found = jax.eval_shape(traced, y, p)
    except Exception as error:
        rule = "it must be a function of one cell that returns real numbers by name"
        raise TypeError(f"the {what} cannot be evaluated by JAX: {checks.reason(error)}; {rule}. {cure}") from error
    if not isinstance(returned[0], Mapping):
        raise TypeError(
            f"the {what} returns {reprlib.repr(returned[0])}; it must return a mapping from variables to numbers. {cure}"
        )
    if (set(found) != wanted) if wanted else not set(found) <= set(y._fields):
        raise ValueError(
            f"the {what} returns {checks.listing(found)}; it must be {checks.listing(y._fields)}, or some in a reset. {cure}"
        )
    for name, x in found.items():
        if x.shape != ():
            raise ValueError(
                f"the {what} returns {name} with shape {x.shape}; it must be a number, for one cell. {cure}"
            )
        if x.dtype.kind not in "fiu":
            raise TypeError(
                f"the {what} returns {name} of type {x.dtype}; it must be a real number, no truth value. {cure}"
            )


def check_firing(equations: Equations, y: Any, p: Any) -> None:
    """Refuse a threshold that a reset does not undo, and warn of one that the start or a reset may leave exceeded; y, p: (cell,) each."""
    read = read_by_threshold(equations, y, p)
    with jax.ensure_compile_time_eval():  # a cell may be made inside of a compiled function
        changed, v, v_reset = firing(equations, y, p)
    if (undefined := np.flatnonzero(np.isnan(v_reset))).size:
        raise ValueError(
            f"the threshold of cell {undefined[0]} is nan after a reset; it must be defined. {RETURN_A_DISTANCE}"
        )
    if (again := np.flatnonzero((v_reset >= 0) & np.isfinite(v_reset))).size:
        i = int(again[0])
        raise ValueError(
            f"the threshold of cell {i} is {v_reset[i]:g} after a reset (and {v[i]:g} at the start); it must be below 0 then, or the cell "
            f"fires at every step. {RETURN_A_DISTANCE}"
        )
    if not read & set(changed):
        checks.warn(
            f"the reset changes {checks.listing(changed) or 'nothing'} and the threshold reads {checks.listing(sorted(read))}; a cell fires at "
            "every step until it comes below its threshold by itself. Reset what the threshold reads."
        )
    if (early := np.flatnonzero(v >= 0)).size:
        i = int(early[0])
        checks.warn(
            f"cell {i} starts {v[i]:g} above its threshold and fires in the first step; start it below, unless that is meant."
        )


def read_by_threshold(equations: Equations, y: Any, p: Any) -> set[str]:
    """The variables that the threshold depends on. Raises ValueError if there is none."""
    names, p = equations.names, jax.tree.map(lambda x: x[0], p)
    made = lambda *values: (jnp.asarray(equations.threshold(record_type("State", names)(*values), p), float),)  # type: ignore[misc]  # noqa: E731
    read = {names[i] for i in reaches(made, tuple(jnp.asarray(x[0], float) for x in y))[0]}
    if not read:
        raise ValueError(
            f"the threshold reads none of {checks.listing(names)}, so that it is reached always or never; it must. {RETURN_A_DISTANCE}"
        )
    return read


def firing(equations: Equations, y: Any, p: Any) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """What a reset changes, and the threshold of each cell at a state y (cell,) and after its reset."""
    made = jax.vmap(lambda y, p: jnp.asarray(equations.threshold(y, p), float))  # type: ignore[misc]
    reset = jax.vmap(lambda y, p: {name: jnp.asarray(x, float) for name, x in equations.reset(y, p).items()})  # type: ignore[misc]
    after = reset(y, p)
    return tuple(after), np.asarray(made(y, p)), np.asarray(made(y._replace(**after), p))


def fields_of(state: Any, like: Any) -> Mapping[str, Any]:
    """A state of the same equations by its variables."""
    if getattr(state, "_fields", None) != like._fields:
        raise TypeError(
            f"state is {state!r}; it must be a state of the same equations, such as `result.final_state`. Take one of these."
        )
    found: Mapping[str, Any] = state._asdict()
    return found


def other_numbers(what: str, values: Any, known: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Numbers in place of others, () or (cell,) each; finite, unless JAX traces them."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise TypeError(f"{what} is {values!r}; it must be a mapping from names to numbers, such as dict(τ=20).")
    for name, x in values.items():
        checks.choice(f"a name in {what}", name, known)
        x = x if isinstance(x, jax.core.Tracer) else checks.finite(f"{what}[{name!r}]", x)
        if np.shape(x) not in ((), (size,)):
            raise ValueError(
                f"{what}[{name!r}] has shape {np.shape(x)}; it must be a number, or ({size},) for each cell. Give one of these."
            )
    return dict(values)


def check_record(record: Any, y: Any, p: Mapping[str, Any]) -> Mapping[str, Callable[[Any, Any], Any]]:
    """What is to be recorded: functions of y and p by name, each of which returns a number for one cell."""
    cure = "Write record={'w squared': lambda y, p: y.w**2}, for example."
    if not isinstance(record, Mapping):
        raise TypeError(f"record is {record!r}; it must be a mapping from names to functions of y and p. {cure}")
    for name, f in record.items():
        if not isinstance(name, str) or not callable(f):
            raise TypeError(
                f"record has the entry {name!r}: {f!r}; it must be a name and a function of y and p. {cure}"
            )
        try:
            found = jax.eval_shape(f, *(jax.tree.map(lambda x: x[0], x) for x in (y, parameters_of(p))))
        except Exception as error:
            raise TypeError(
                f"record[{name!r}] cannot be evaluated by JAX: {checks.reason(error)}; it must be a number. {cure}"
            ) from error
        if getattr(found, "shape", None) != ():
            raise ValueError(f"record[{name!r}] returns {found}; it must be a number, for one cell. {cure}")
    return record


def bytes_of_run(neuron: Neuron, t: np.ndarray, t0: float, dt: float) -> float:
    """What a run keeps: states at the times t, and the spikes of all steps of dt from t0 (ms)."""
    steps = (t[-1] - t0) / dt if neuron.equations.threshold else 0
    return 8.0 * neuron.size * (len(t) * len(neuron.state) + steps)


# %% [markdown]
# ## Examples
#
# Two classics. The axon of {cite:t}`HodgkinHuxley1952` in a dozen lines, with its sodium current recorded:

# %% tags=["active-ipynb"]
# def hodgkin_huxley(y, I, p):
#     V = y.V
#     α_m, β_m = linoid((V + 40) / 10), 4 * jnp.exp(-(V + 65) / 18)
#     α_h, β_h = 0.07 * jnp.exp(-(V + 65) / 20), 1 / (1 + jnp.exp(-(V + 35) / 10))
#     α_n, β_n = 0.1 * linoid((V + 55) / 10), 0.125 * jnp.exp(-(V + 65) / 80)
#     I_ion = p.g_Na * y.m**3 * y.h * (V - 50) + p.g_K * y.n**4 * (V + 77) + p.g_L * (V + 54.387)
#     return dict(V=I - I_ion, m=α_m * (1 - y.m) - β_m * y.m, h=α_h * (1 - y.h) - β_h * y.h, n=α_n * (1 - y.n) - β_n * y.n)
#
#
# hh = Neuron(dict(V=-65, m=0.05, h=0.6, n=0.32), hodgkin_huxley, params=dict(g_Na=120, g_K=36, g_L=0.3))
# assert hh.blocks == (("V",), ("m", "h", "n")) and hh.linear == ("V", "m", "h", "n")
# run = hh(np.arange(0, 100, 0.05), I_ext=lambda t: jnp.where(t > 20, 10.0, 0.0), record={"I_Na": lambda y, p: p.g_Na * y.m**3 * y.h * (y.V - 50)})

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Potential (mV), and sodium current (µA/cm²), a monitor.", "name": "fig-own-hh"}}
# current_panel = hv.Curve((run.t, run.monitors["I_Na"].to_numpy()[:, 0]), "time (ms)", "I_Na (µA/cm²)", label="sodium current")
# (run.plot() + current_panel).cols(1)

# %% [markdown]
# And the leaky integrate-and-fire cell, with an adaptation current that grows with each spike:

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "Three cells with weak, medium and strong adaptation.", "name": "fig-own-lif"}}
# adapting = Neuron(
#     dict(V=-65, w=0), lambda y, I, p: dict(V=(-65 - y.V + 10 * (I - y.w)) / p.τ, w=-y.w / 100), size=3,
#     params=dict(τ=20, jump=[0, 0.1, 0.4]), threshold=lambda y, p: y.V + 50, reset=lambda y, p: dict(V=-70, w=y.w + p.jump),
# )
# run = adapting(np.arange(0, 300, 0.1), I_ext=2.5)
# run.plot()
