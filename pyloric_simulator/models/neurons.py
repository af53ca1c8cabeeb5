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
# A paper prints the equations of a cell: how do they become a model that fires, can be fitted and clamped?
# Not every cell is a list of {term}`channels <gate>`. A `Neuron` is a start, a derivative, and perhaps a
# threshold and a reset, written for *one* cell: the derivative gets the state $y$, the input $I$ and the
# parameters $p$, and returns $dy/dt$. Here is the cell of FitzHugh and Nagumo, which has two variables: a
# fast one that excites itself, $V$, and a slow one that brings it back, $w$.
#
# $$
# \frac{dV}{dt} = V - \frac{V^3}{3} - w + I, \qquad τ \frac{dw}{dt} = V + 0.7 - 0.8\, w.
# $$ (eq-nagumo)

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
# nagumo = Neuron(
#     dict(V=-1, w=0), lambda y, I, p: dict(V=y.V - y.V**3 / 3 - y.w + I, w=(y.V + 0.7 - 0.8 * y.w) / p.τ),
#     params=dict(τ=12.5),
# )
# nagumo(np.arange(0, 200, 0.5), I_ext=0.5).plot()

# %% [markdown]
# The equations are written in one line, and nothing else has to be said: which method advances them, in
# which order, and that two variables make one cell, follows from reading them. Potential and time have no
# units here. If there are units, they are yours; only time is in ms.
#
# ## Two classics
#
# The axon of {cite:t}`HodgkinHuxley1952` in a dozen lines, with its sodium current recorded:

# %% tags=["active-ipynb"]
# def hodgkin_huxley(y, I, p):
#     V = y.V
#     α_m, β_m = linoid((V + 40) / 10), 4 * jnp.exp(-(V + 65) / 18)
#     α_h, β_h = 0.07 * jnp.exp(-(V + 65) / 20), 1 / (1 + jnp.exp(-(V + 35) / 10))
#     α_n, β_n = 0.1 * linoid((V + 55) / 10), 0.125 * jnp.exp(-(V + 65) / 80)
#     I_ion = p.g_Na * y.m**3 * y.h * (V - 50) + p.g_K * y.n**4 * (V + 77) + p.g_L * (V + 54.387)
#     gate = lambda x, α, β: α * (1 - x) - β * x
#     return dict(V=I - I_ion, m=gate(y.m, α_m, β_m), h=gate(y.h, α_h, β_h), n=gate(y.n, α_n, β_n))
#
#
# hh = Neuron(dict(V=-65, m=0.05, h=0.6, n=0.32), hodgkin_huxley, params=dict(g_Na=120, g_K=36, g_L=0.3))
# assert hh.blocks == (("V",), ("m", "h", "n")) and hh.linear == ("V", "m", "h", "n")
# sodium = {"I_Na": lambda y, p: p.g_Na * y.m**3 * y.h * (y.V - 50)}
# run = hh(np.arange(0, 100, 0.05), I_ext=lambda t: jnp.where(t > 20, 10.0, 0.0), record=sodium)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Potential (mV), and sodium current (µA/cm²), a monitor.", "name": "fig-own-hh"}}
# I_Na = run.monitors["I_Na"].to_numpy()[:, 0]
# current_panel = hv.Curve((run.t, I_Na), "time (ms)", "I_Na (µA/cm²)", label="sodium current")
# (run.plot() + current_panel).cols(1)

# %% [markdown]
# The same axon stands in the [chapter on channels](channels.py) as three channels of a library. That is
# shorter, and knows its units, temperatures and conductances. This form is for what is no list of channels,
# or for equations that should look as they do on paper. And a cell that is no membrane at all, the leaky
# integrate-and-fire cell, with an adaptation current that grows with each {term}`spike`:

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "Three cells with weak, medium and strong adaptation.", "name": "fig-own-lif"}}
# adapting = Neuron(
#     dict(V=-65, w=0), lambda y, I, p: dict(V=(-65 - y.V + 10 * (I - y.w)) / p.τ, w=-y.w / 100), size=3,
#     params=dict(τ=20, jump=[0, 0.1, 0.4]),
#     threshold=lambda y, p: y.V + 50, reset=lambda y, p: dict(V=-70, w=y.w + p.jump),
# )
# run = adapting(np.arange(0, 300, 0.1), I_ext=2.5)
# run.plot()

# %% [markdown]
# With the current of 2.5 the cell without adaptation fires 45 times a second, for ever. The others begin
# with 43 and 36, and slow down to 36 and 21 as $w$ comes to a balance between the spikes that raise it and
# its decay within 100 ms. Many cells of the cortex do this.
#
# ## What it does and what it costs
#
# What comes back from a call is a result like that of a circuit. `result.states` has a field for each
# variable, (time, cell); `result.variable("w")` is a table of one, `result.monitors` holds what was to be
# recorded beside them, and `spike_times()` the spikes of the threshold, or else the maxima of $V$. Cells
# with different parameters or starts run side by side: `size` says how many there are, and each parameter
# is one number, or a list with one for each cell. All of it can be differentiated with respect to all
# parameters and starts.
#
# The time step is 0.05 ms unless you say otherwise, and the method of second order: half the step, a
# quarter of the error. Whether a step is small enough depends on the equations, and so has to be tried, as
# in one of the exercises. Long times between spikes forgive a coarse step, upstrokes do not. One second of
# the axon above, 20,000 steps, takes 14 ms on one core of a server, against 23 ms as a `Cell`, and a
# thousand of them take 3.5 s. Cells without a threshold can be advanced by a solver of the package diffrax
# as well, with a step that adapts.
#
# Units are a matter of care. Inside the package nothing converts the numbers of your equations: if they are
# in µA/cm², as those of the axon, so is the input, and 10 of these are the 6.3 nA that the axon of the
# channels' chapter, with its area of 0.628·10⁻³ cm², needs for the same. Rates given per second, as in many
# papers of systems neuroscience, are divided by 1000 in the derivative. The potential should be called `V`:
# plots, spike times and clamps look for it under that name.
#
# There is one cell to a `Neuron`, or many that do not know each other: synapses between them, channels,
# calcium pools and temperature belong to [networks](networks.py). Functions of your own cannot be written
# to a file; keep the code.
#
# ## How equations are read
#
# The simulator reads the equations before it advances them. It needs the program that JAX makes of a
# function, the steps and schedules of the engine, and from the next chapter the spike that has a
# derivative.

# %%
from __future__ import annotations

import keyword
import reprlib
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple, Self

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
# - Which variables does $dx_i/dt$ read? Variables none of which reads another form a *block*. A step goes
#   through the blocks, half a step each, with a whole step of the last, and back: a Strang splitting
#   {cite:p}`Strang1968`, of second order. In the equations of Hodgkin and Huxley the blocks are $V$ and
#   $(m, h, n)$, and the splitting is that of the staggered scheme.
# - Within a block each variable takes the exponential step {eq}`eq-rosenbrock`. It is exact if $dx_i/dt$ is
#   linear in $x_i$, as for a gate, and for the potential of a membrane; and of second order if not. Which
#   variables are linear `Neuron.linear` tells: those whose own slope $\partial f_i/\partial x_i$, as JAX
#   writes it down, does not read $x_i$.
#
# Why blocks? While $V$ stands still, the equation of each gate has constant coefficients, and its solution
# is known. While the gates stand still, so is that of $V$. Going there and back makes the step symmetric in
# time, so that the error of first order cancels. Equations whose variables all read each other form as many
# blocks as they have variables, each of a single one; that is still right.
#
# With $Φ_A(h)$ for the exact motion of the block $A$ during a time $h$, while all else stands still, the
# step of two blocks is
#
# $$
# y \leftarrow Φ_A(dt/2)\, Φ_B(dt)\, Φ_A(dt/2)\, y.
# $$ (eq-blocks)
#
# Take the gate $h$ of the axon at rest, with $τ_h$ = 8.5 ms: in a step of 0.05 ms it covers
# $1 - e^{-0.05/8.5}$ = 0.6% of its way to $h_∞$, exactly, however fast or slow $m$ is. An explicit method
# has to resolve $m$, which takes 0.24 ms, and becomes unstable with longer steps; here only accuracy limits
# the step. In the cell of FitzHugh and Nagumo $w$ is linear and $V$ is not: its slope is $1 - V^2$, from 1
# at $V = 0$, where it runs away, to −3 at $V = 2$, where it settles. There the exponential step is of
# second order, like the splitting.
#
# To know what reads what, the function is not run but traced: JAX writes down the elementary operations
# that it does, from the variables to the results. Going through this list once, each intermediate value
# inherits the arguments of the values that it was made from. What is multiplied by zero still counts as
# read; that costs a block, and no accuracy.


# %%
def reaches(f: Callable[..., tuple[Any, ...]], args: Sequence[Any]) -> list[set[int]]:
    """For each value that f returns, the arguments from which there is a way to it in the program that JAX traces."""
    program = jax.make_jaxpr(f)(*args).jaxpr
    found: dict[Any, set[int]] = {var: {i} for i, var in enumerate(program.invars)}
    of = lambda v: set() if hasattr(v, "val") else found.get(v, set())  # noqa: E731
    sources = lambda variables: set[int]().union(*map(of, variables))  # noqa: E731
    for equation in program.eqns:
        read = sources(equation.invars)
        found |= dict.fromkeys(equation.outvars, read)
    return [sources([v]) for v in program.outvars]


# %% [markdown]
# ### Equations as data
#
# What is compiled are the names of the variables and three functions. They are kept together in a tuple
# that can be compared, so that a program compiled once is found again. An input may depend on the
# potential: a conductance $G$ with the reversal potential $E$ adds $G E - G V$. Such an input is `Driven`,
# and the equations see $I - G V$ at each moment in the place of $I$.


# %%
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


# %% [markdown]
# The user writes `y.V` and `p.τ`, so that states and parameters are tuples with names, made when the names
# are known. JAX compares types by identity: the same names have to give the same type each time, which the
# cache sees to. Such a type is in no module, so that it is pickled by its names, and made anew in another
# process.


# %%
@cache
def record_type(name: str, names: tuple[str, ...]) -> Any:
    """A type of tuple with these fields; the same one for the same names, as JAX wants it. It is pickled by its
    names."""
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


# %% [markdown]
# Blocks are found greedily: each variable joins the first block in which nobody reads it and it reads
# nobody, or else opens one of its own. The order is that in which the start names them, so that the
# potential, usually the first, has the first block. For linearity the slope $\partial f_i/\partial x_i$ is
# derived by JAX, and traced in its turn: if $x_i$ does not reach it, the slope is the same for all $x_i$.


# %%
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
# This is done once, when a cell is made, and in the precision in which it will run. The checks of the
# equations come first, since a function that cannot be traced has no blocks.


# %%
def blocks_and_linear(
    equations: Equations, state: Any, p: Any, dtype: str
) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Blocks, and variables that are linear in themselves, after a look at the equations; state, p: (cell,) each."""
    with precision(dtype):
        one = lambda x: jnp.asarray(x[0], dtype)  # noqa: E731
        y, of_one = jax.tree.map(one, (state, p))
        check_equations(equations, y, of_one)
        blocks = blocks_of(equations, y, one([0.0]), of_one)
        linear = linear_variables(equations, y, one([0.0]), of_one)
        if equations.threshold is not None:
            check_firing(equations, state, p)
    return blocks, linear


# %% [markdown]
# The class of cells comes in three pieces, of which this is the first: what is known before a run. Numbers
# may be given once for all cells, or once for each of them. They are spread over the cells here, so that
# the rest of the chapter sees arrays (cell,) only. A cell with other numbers, `like`, keeps the equations,
# and with them everything that was compiled.


# %%
class Written(WithoutChannels, Portable):
    """Cells as their equations say: numbers and functions that have been read, but not run."""

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
        self.blocks, self.linear = blocks_and_linear(self.equations, self.state, parameters_of(self.params), self.dtype)

    @property
    def cold(self) -> Any:
        """The start, as `Prinz2004.cold`."""
        return self.state

    @property
    def resets(self) -> bool:
        """Whether spikes are those of a threshold, and not of V."""
        return self.equations.threshold is not None

    def like(self, params: Mapping[str, Any]) -> Self:
        """The same equations with other numbers."""
        new = copy(self)
        new.params = per_cell_numbers("params", params, self.size)
        with precision(self.dtype):
            if self.resets:
                check_firing(self.equations, self.state, parameters_of(new.params))
        return new

    def __repr__(self) -> str:
        return f"Neuron({', '.join(self.equations.names)}; {self.size} cells)"


# %% [markdown]
# ## A step
#
# A threshold is a number that reaches 0 when the cell fires. After each step the cells that fire are reset;
# the spikes themselves may carry a surrogate derivative, as in the chapter on such cells.
#
# A block moves by {eq}`eq-rosenbrock` with all other variables where they are. The step goes through the
# blocks as said: half a step each, a whole one of the last, and back. On the way there the input is that of
# the step's start, on the way back that of its end, and in the middle the mean of both, which keeps the
# second order for inputs that change. A voltage clamp imposes the potential before the step and after each
# part of it.


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
    """The state of one cell after a step dt (ms); I at its start and end; held: imposes a potential after each part
    of a step."""
    y = held(y)
    for names in blocks[:-1]:
        y = held(advance_block(equations, names, y, I[0], p, dt / 2))
    y = held(advance_block(equations, blocks[-1], y, jax.tree.map(lambda a, b: (a + b) / 2, *I), p, dt))
    for names in blocks[-2::-1]:
        y = held(advance_block(equations, names, y, I[1], p, dt / 2))
    return y


# %% [markdown]
# A threshold that is crossed within a step is noticed at its end. A spike is so late by half a step on
# average, and by a whole one at most, which makes a train of spikes exact to the first order only, whatever
# the order of the method between them. For a rate of 50 Hz and a step of 0.05 ms that is at most a quarter
# of a percent. Where it matters, a smaller step is the cure.
#
# A clamped potential is a number where a cell is held, and NaN where it is free: one array does for both. A
# reset is computed for all cells and taken by those that fire, since the program for many cells has no
# branches. A threshold that overflowed is no spike: it must stay in the state, where it is found, and not
# be reset away.


# %%
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


# %% [markdown]
# Inputs come as numbers, as samples at each step, or as functions of time. Here they become one function of
# the number of the step. A sample holds at its step's start; the middle of a step sees the mean of two
# samples, so that the mean of a ramp over a step is right, and a pulse rises within one step. To begin a
# pulse on a step's edge, choose times that are multiples of the step. A `Driven` input is two such
# functions, one for its current and one for its conductance.


# %%
def currents_at(I: Any, dt: float, t0: Any, like: Array) -> Callable[[Any], Any]:
    """The input of all cells at the start of step k, (cell,), or `Driven` with two of these; I: see `input_at`, or
    `Driven`."""
    at = tuple(input_at(x, dt, t0, like.dtype) for x in (I if isinstance(I, Driven) else (I,)))
    each = lambda k: [jnp.broadcast_to(x(k), like.shape) for x in at]  # noqa: E731
    return (lambda k: Driven(*each(k))) if isinstance(I, Driven) else (lambda k: each(k)[0])


# %% [markdown]
# A run is a loop over steps, in blocks as long as the times that are asked for are apart. Spikes are
# written down at each step of cells with a threshold; of others there are none to keep, and the array has
# no rows. Under a clamp the reset is left out: who imposes the potential has taken the decision to fire
# from the cell.


# %%
def integrate_neuron(
    equations: Equations, blocks: tuple[tuple[str, ...], ...], p: Any, start: Any, I: Any, slots: Slots | None, *,
    grid: Grid, dt: float, t0: Any, spike: Callable[[Any], Any], V: Any = None,
) -> tuple[Any, Array]:  # fmt: skip
    """States (time, cell) on the grid, and all spikes (step, cell); V: (half step, cell), imposed where it is not
    NaN."""
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


# %% [markdown]
# Three of the arguments decide what has to be compiled anew: the equations, the blocks and the steps.
# Parameters and starts are data, so that a search over them compiles once. An input that is a function is a
# part of the program, and is compiled for each new function; samples are data again.

# %%
STATIC = ("equations", "blocks", "grid", "dt", "spike")
compiled_neuron = jax.jit(integrate_neuron, static_argnames=STATIC)
compiled_neuron_with_function = jax.jit(integrate_neuron, static_argnames=(*STATIC, "I"))

# %% [markdown]
# ## From a start to the requested times
#
# `simulate_neuron` is the pure function under everything else: `jax.jit`, `vmap` and `grad` work on it, and
# parameters and states in the place of those of the cell may be traced. An adaptive solver has no steps to
# hold an input or to test a threshold at, and gets the plain derivative. Whatever a user may have confused
# is looked at before anything is compiled.


# %%
def slopes_under(neuron: Neuron, p: Any, I: Callable[[Any], Array]) -> Callable[[Any, Any], Any]:
    """(t, y) -> time derivatives of all cells, with parameters p (cell,) and an input I(t), (cell,)."""
    one = jax.vmap(lambda y, I, p: type(y)(*neuron.equations.slopes(y, I, p, y._fields)))
    return lambda t, y: one(y, I(t), p)


def simulate_neuron(
    neuron: Neuron, t: Any, I_ext: Any = None, *, params: Mapping[str, Any] | None = None, state: Any = None,
    solver: Any = "exponential", dt: float = DEFAULT_DT, t0: float = 0.0, rtol: float = DEFAULT_RTOL,
    atol: float = DEFAULT_ATOL, spike: Callable[[Any], Any] = heaviside, compiled: bool = False,
) -> tuple[Any, Array]:  # fmt: skip
    """States (time, cell) at the times t, and spikes (step, cell); pure, for jit, vmap and grad.

    params, state: in place of those of the neuron, () or (cell,) each. I_ext: None, () or (cell,) nA, (step, cell),
    or a function of t, in the unit of the equations. spike: see `lif.surrogate`. solver: "exponential", or for cells
    without a threshold one of diffrax.
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
        slope = slopes_under(neuron, p, lambda t: per_cell(I(t)))
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


# %% [markdown]
# ## The model
#
# A result keeps the states, the spikes of the threshold, if there is one, and the monitors. Without a
# threshold spikes are the local maxima of $V$ above a level, as for cells with channels; the level, −10 by
# default, is in the unit of your equations. All of a dimensionless cell lies above it, so that small maxima
# count as well; give `spike_times` a level between them and the spikes.


# %%
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
        """Times (ms) of the spikes of each cell: of its threshold, or else the local maxima of V above `threshold`
        (mV)."""
        first, last = self.t[[0, -1]]
        if self.model.equations.threshold:
            return {cell: x[(x >= first) & (x <= last)] for cell, x in zip(self.model.cells, self.trains, strict=True)}
        threshold = checks.number("threshold", threshold, "mV")
        return {
            cell: local_maxima(self.t, V, threshold) for cell, V in zip(self.model.cells, self.states.V.T, strict=True)
        }


# %% [markdown]
# ### What experiments ask
#
# Cells of this chapter and of the next take part in the chapters that follow: their numbers have names,
# they are fitted to recordings, run by the thousand, shaken by noise and clamped, as the
# [table](../abilities.py) says. What asks for channels or their temperature is refused. Under a voltage
# clamp the potential is imposed, the other variables follow, and what is measured is the input that would
# have held the potential: it exists where $dV/dt$ contains the input as a term $a I$.
#
# With $dV/dt = r(y) + a(y)\, I$, the input that makes the potential change at a wanted slope is
# $I = (\mathrm{slope} - r)/a$. Both functions are had from one derivation: $r$ is the derivative at
# $I = 0$, and $a$ its slope in $I$. Whether the input enters linearly is read from the program, as above:
# $a$ must not depend on $I$.


# %%
def balanced(equations: Equations, y: Any, p: Any, slope: np.ndarray) -> np.ndarray:
    """The input (time,) with which V of one cell changes by `slope` (time,) per ms at states y, (time,) each."""

    def parts(I: Any, y: Any) -> tuple[Any, Any]:
        found = jax.jvp(lambda I: equations.slopes(y, I, p, ["V"])[0], (I,), (jnp.ones_like(I),))
        return found[0], found[1]

    none, one = jnp.zeros((), y[0].dtype), jax.tree.map(lambda x: x[0], y)
    if (
        0 not in reaches(lambda I: parts(I, one)[:1], (none,))[0]
        or 0 in reaches(lambda I: parts(I, one)[1:], (none,))[0]
    ):
        raise ValueError(
            "the derivative of V does not contain the input I as a term a I; it must, for a clamp to be an input. Add "
            "I to it."
        )
    rest, gain = jax.vmap(partial(parts, none))(y)
    return np.asarray((slope - rest) / gain)


# %% [markdown]
# With it, the second piece of the class. A trajectory is what fits differentiate, with spikes that carry
# the surrogate; `driven` is a run under a conductance or a clamp.


# %%
class Asked(Written):
    """What fits, clamps and noise ask of such cells."""

    def trajectory(self: Any, params: Any, state: Any, t: Any, I_ext: Any = None, *, dt: float, t0: float = 0.0) -> Any:
        """As `Model.trajectory`."""
        return simulate_neuron(self, t, I_ext, params=params, state=state, dt=dt, t0=t0)[0]

    def spikes_between(
        self: Any, params: Any, state: Any, t: Any, I_ext: Any = None, *, dt: float, t0: float = 0.0
    ) -> Array:
        """Spikes (time − 1, cell) between the times t, with the derivative of the surrogate."""
        fired = simulate_neuron(self, t, I_ext, params=params, state=state, dt=dt, t0=t0, spike=SURROGATE)[1]
        return counts(fired, *map(jnp.asarray, steps_of(t, t0, dt)))[1:]

    def balancing(self, states: Any, cell: int, slope: np.ndarray) -> np.ndarray:
        """The input (time,) with which the potential of a cell changes by `slope` (time,) per ms at recorded states.

        Raises ValueError where dV/dt does not depend on the input, or not linearly.
        """
        of_cell = lambda x: jnp.asarray(x[..., cell], self.dtype)  # noqa: E731
        y, p = jax.tree.map(of_cell, (states, parameters_of(self.params)))
        return balanced(self.equations, y, p, slope)

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
        """A run under a current I − G V in the place of the input, (cell,) or at the steps (step, cell); V: as of
        `integrate_neuron`."""
        grid, slots = grid_of(t, t0, dt)
        p = jax.tree.map(lambda x: jnp.asarray(x, self.dtype), parameters_of(self.params))
        found = compiled_neuron(
            self.equations, self.blocks, p, jax.tree.map(jnp.asarray, start), I=I if G is None else Driven(I, G),
            slots=slots, grid=grid, dt=dt, t0=0.0, spike=heaviside, V=V,
        )  # fmt: skip
        states, fired = jax.tree.map(np.asarray, found)
        return self._result(t, states, fired, t0 + dt * np.arange(len(fired) + 1), {}, run_is)


# %% [markdown]
# And the third is the call itself. A monitor is a function of the state and the parameters of one cell. It
# is evaluated afterwards, at the recorded times only: an ion current costs nothing during the run.


# %%
def monitored(record: Mapping[str, Callable[[Any, Any], Any]], states: Any, p: Any) -> dict[str, np.ndarray]:
    """What is to be recorded, (time, cell) each, at states (time, cell)."""
    return {name: np.asarray(jax.vmap(jax.vmap(f), (0, None))(states, p)) for name, f in record.items()}


class Neuron(Asked):
    """Cells with equations of one's own: `Neuron(dict(V=-65), derivative, params=dict(τ=20))(t, I_ext=…)` simulates
    them.

    start: variable -> its start, a number or one for each of `size` cells; call the potential V. derivative: of y, I,
    p, for one cell; returns a mapping from each variable to its derivative per ms. params: name -> number, or one for
    each cell. threshold: of y, p; a number that is 0 or more where the cell fires, upon which reset, of y, p, returns
    the variables that it changes. Raises ValueError or TypeError on bad input.
    """

    def __call__(
        self, t: Any, I_ext: Any = None, state: Any = None, *,
        record: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        solver: Any = "exponential", dt: float = DEFAULT_DT, t0: float = 0.0,
    ) -> NeuronResult:  # fmt: skip
        """Simulate and record at the times t.

        I_ext: as in a call of `Prinz2004`, in the unit of the equations. state: start, as `result.final_state`.
        record: name -> function of y and p, for one cell, recorded at t. Raises ValueError or TypeError before
        anything is compiled, and FloatingPointError naming the cell and the time if the run turns non-finite.
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
            seen = monitored(record, states, parameters_of(self.params))
        tables = {name: pd.DataFrame(x, pd.Index(t, name="time"), self.cells) for name, x in seen.items()}
        run_is = run_of(self, solver, t0, "cold" if state is None else "given", dt=dt)
        return self._result(t, states, fired, ends, tables, run_is)


# %% [markdown]
# ## What is refused
#
# Equations of one's own are where most can go wrong, and nothing but a check tells: a model that is subtly
# something else still draws a curve. Each refusal gives the value, the rule and a line that would work.
#
# ### The run and the numbers
#
# A threshold has to be tested at known times, and so needs the fixed step.


# %%
def check_scheme(solver: Any, dt: Any, threshold: bool) -> float:
    """The time step in ms, after checking the solver."""
    if not isinstance(solver, str) and threshold:
        raise ValueError(f"solver is {solver!r}; a cell with a threshold needs a fixed step. Take 'exponential'.")
    if isinstance(solver, str):
        checks.choice("solver", solver, ("exponential",))
    elif isinstance(solver, type) or not hasattr(solver, "step"):
        raise TypeError(
            f"solver is {solver!r}; it must be 'exponential' or an instance of a diffrax solver, such as "
            "diffrax.Tsit5()."
        )
    return checks.positive("dt", dt, "ms")


# %% [markdown]
# Starts and parameters are numbers with names. The names become fields of tuples, so that they have to be
# names in Python: `τ` and `g_Na` are, `g-Na` and `lambda` are not.


# %%
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


# %% [markdown]
# ### The functions
#
# The derivative, the threshold and the reset are traced with the start of one cell. A threshold needs a
# reset, or the cell would fire at every step from then on; a reset without a threshold would never be used.
# What the derivative returns must be the variables of the start, all of them and no others: a variable
# without a derivative would stand still.


# %%
def check_equations(equations: Equations, y: Any, p: Any) -> None:
    """Equations of one cell that JAX can trace, with a number for each variable, and a reset where there is a
    threshold."""
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


# %% [markdown]
# Each function is looked at in the same way. It is traced, not run, so that the shapes and kinds of numbers
# of its results are known without computing any. A result in the shape of an array means that it was
# written for many cells; a truth value that it compares where it should measure.


# %%
def check_function(what: str, f: Any, made: Any, y: Any, p: Any, wanted: set[str] | None, cure: str) -> None:
    """A function f of one cell; `made` gives what it returns by name: the names wanted, or some of the state's, each
    a real number."""
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
            f"the {what} returns {reprlib.repr(returned[0])}; it must return a mapping from variables to numbers. "
            f"{cure}"
        )
    if (set(found) != wanted) if wanted else not set(found) <= set(y._fields):
        raise ValueError(
            f"the {what} returns {checks.listing(found)}; it must be {checks.listing(y._fields)}, or some in a reset. "
            f"{cure}"
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


# %% [markdown]
# ### The threshold
#
# A threshold is a number, not the answer to the question whether it is reached. A truth value would read as
# 0 or 1, and a cell fires at 0. Three more slips let a cell fire at every step: the difference taken the
# wrong way round, a reset to a value above the threshold, and a reset that does not change what the
# threshold reads. They are looked for at the start and after a reset of it.

# %%
RETURN_A_DISTANCE = "Return what is 0 at the threshold and rises with V, such as y.V - p.V_th, and reset to below it."


def check_firing(equations: Equations, y: Any, p: Any) -> None:
    """Refuse a threshold that a reset does not undo, and warn of one that the start or a reset may leave exceeded; y,
    p: (cell,) each."""
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
            f"the threshold of cell {i} is {v_reset[i]:g} after a reset (and {v[i]:g} at the start); it must be below "
            "0 then, or the cell "
            f"fires at every step. {RETURN_A_DISTANCE}"
        )
    if not read & set(changed):
        checks.warn(
            f"the reset changes {checks.listing(changed) or 'nothing'} and the threshold reads "
            f"{checks.listing(sorted(read))}; a cell fires at "
            "every step until it comes below its threshold by itself. Reset what the threshold reads."
        )
    if (early := np.flatnonzero(v >= 0)).size:
        i = int(early[0])
        checks.warn(
            f"cell {i} starts {v[i]:g} above its threshold and fires in the first step; start it below, unless that "
            "is meant."
        )


# %% [markdown]
# What the threshold reads comes from its program, and what the reset changes from what it returns. Both are
# evaluated at the start, of all cells at once.


# %%
def read_by_threshold(equations: Equations, y: Any, p: Any) -> set[str]:
    """The variables that the threshold depends on. Raises ValueError if there is none."""
    names, p = equations.names, jax.tree.map(lambda x: x[0], p)

    def made(*values: Any) -> tuple[Array]:
        return (jnp.asarray(equations.threshold(record_type("State", names)(*values), p), float),)  # type: ignore[misc]

    read = {names[i] for i in reaches(made, tuple(jnp.asarray(x[0], float) for x in y))[0]}
    if not read:
        raise ValueError(
            f"the threshold reads none of {checks.listing(names)}, so that it is reached always or never; it must. "
            f"{RETURN_A_DISTANCE}"
        )
    return read


def firing(equations: Equations, y: Any, p: Any) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """What a reset changes, and the threshold of each cell at a state y (cell,) and after its reset."""
    made = jax.vmap(lambda y, p: jnp.asarray(equations.threshold(y, p), float))  # type: ignore[misc]
    numbers = lambda found: {name: jnp.asarray(x, float) for name, x in found.items()}  # noqa: E731
    reset = jax.vmap(lambda y, p: numbers(equations.reset(y, p)))  # type: ignore[misc]
    after = reset(y, p)
    return tuple(after), np.asarray(made(y, p)), np.asarray(made(y._replace(**after), p))


# %% [markdown]
# ### States, other numbers and monitors
#
# A state from another model has other variables, or the same ones in another order; only one that was made
# by the same equations is taken. Numbers that JAX traces, as in a fit, have a shape and no value yet, so
# that only their shape is looked at.


# %%
def fields_of(state: Any, like: Any) -> Mapping[str, Any]:
    """A state of the same equations by its variables."""
    if getattr(state, "_fields", None) != like._fields:
        raise TypeError(
            f"state is {state!r}; it must be a state of the same equations, such as `result.final_state`. Take one of "
            "these."
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
                f"{what}[{name!r}] has shape {np.shape(x)}; it must be a number, or ({size},) for each cell. Give one "
                "of these."
            )
    return dict(values)


# %% [markdown]
# Monitors are traced like the equations, before the run, since a mistake in one would otherwise show after
# it. And a run that would not fit into memory is refused: what grows are the states at the requested times,
# and the spikes at all steps.


# %%
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
# ## Exercises
#
# ```{exercise}
# :label: ex-neuron-oscillates
# For which constant inputs does the cell of FitzHugh and Nagumo fire for ever? Its rest loses its stability
# where $1 - V^2 = 0.8/τ$. Work out the two inputs at which that happens, and compare them with a run of 41
# cells.
# ```
#
# ```{solution-start} ex-neuron-oscillates
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# V_lost = np.array([-1, 1]) * np.sqrt(1 - 0.8 / 12.5)
# predicted = (V_lost + 0.7) / 0.8 - V_lost + V_lost**3 / 3  # from dV/dt = dw/dt = 0
# inputs = np.linspace(0, 2, 41)
# many = Neuron(dict(V=-1, w=0), nagumo.equations.derivative, size=41, params=dict(τ=12.5))
# swing = np.ptp(many(np.arange(300, 600, 0.5), I_ext=inputs).states.V, axis=0)
# fires = inputs[swing > 0.5]
# assert abs(fires[0] - predicted[0]) < 0.05 and abs(fires[-1] - predicted[1]) < 0.05
# predicted, fires[[0, -1]]

# %% [markdown]
# Between 0.33 and 1.42: less does not excite it, more blocks it. The trace of the Jacobian,
# $1 - V^2 - 0.8/τ$, changes its sign there, which is a Hopf bifurcation. The swing is at once 3.8: the cell
# fires fully or not at all.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-neuron-order
# Is the method of second order? Halve the step of the axon above from 0.1 to 0.0125 ms, and compare its
# potentials in 50 ms of firing with those of a much smaller step.
# ```
#
# ```{solution-start} ex-neuron-order
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# at_times = np.arange(0, 50, 0.5)
# exact = hh(at_times, I_ext=10.0, dt=0.0015625).states.V
# errors = [float(abs(hh(at_times, I_ext=10.0, dt=dt).states.V - exact).max()) for dt in (0.1, 0.05, 0.025, 0.0125)]
# assert 3.5 < errors[1] / errors[2] < 4.5 and 3.5 < errors[2] / errors[3] < 4.5
# errors

# %% [markdown]
# From 0.05 ms on, half a step leaves a quarter of the error: 8.5, 2.2 and 0.55 mV. That is the largest one,
# in the upstroke of a spike that comes some tens of microseconds early or late; with 0.1 ms the law does
# not hold yet.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-neuron-adaptation
# Predict the rates to which the three adapting cells settle. A steady train of $f$ spikes per ms raises $w$
# on average to $100\, f\,\mathrm{jump}$, and the rate of a cell without adaptation is {eq}`eq-lif-rate` of
# the next chapter. Which $f$ agrees with both?
# ```
#
# ```{solution-start} ex-neuron-adaptation
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from .lif import Params, rate
#
# settled, guess = [], np.full(3, 30.0)
# for _ in range(100):
#     guess = 0.5 * guess + 0.5 * np.asarray(rate(Params(t_ref=0.0), 2.5 - adapting.params["jump"] * guess / 10))
# for times in adapting(np.arange(0, 2000, 0.1), I_ext=2.5).spike_times().values():
#     settled.append(1000 / np.diff(times)[-5:].mean())
# assert np.allclose(guess, settled, rtol=0.06)
# guess.round(1), np.round(settled, 1)

# %% [markdown]
# 45.5, 35.4 and 20.3 Hz, against 45.5, 35.7 and 21.4 in the simulation. The guess takes the mean of $w$,
# while $w$ is largest just after a spike, when it matters least.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-neuron-izhikevich
# Izhikevich (2003) needs two variables for many kinds of firing: $dV/dt = 0.04 V^2 + 5V + 140 - u + I$ and
# $du/dt = 0.02\,(0.2 V - u)$, with a reset of $V$ to $c$ and of $u$ to $u + d$ at 30 mV. Write it, for $c$
# = −65, $d$ = 8 and for $c$ = −50, $d$ = 2, with $I$ = 10. What do the two cells do?
# ```
#
# ```{solution-start} ex-neuron-izhikevich
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# simple = Neuron(
#     dict(V=-65, u=-13), size=2,
#     derivative=lambda y, I, p: dict(V=0.04 * y.V**2 + 5 * y.V + 140 - y.u + I, u=0.02 * (0.2 * y.V - y.u)),
#     params=dict(c=[-65, -50], d=[8, 2]), threshold=lambda y, p: y.V - 30, reset=lambda y, p: dict(V=p.c, u=y.u + p.d),
# )
# fired = simple(np.arange(0, 1000, 0.5), I_ext=10.0)
# regular, chattering = (np.diff(x[x > 300]) for x in fired.spike_times().values())
# assert np.ptp(regular) < 1 and chattering.min() < 5 < 40 < chattering.max()
# fired.plot()

# %% [markdown]
# The first fires every 45 ms. The second is reset to −50 mV, close to its threshold, and so fires again
# within 2 ms, until $u$ has grown: five spikes or so, and a pause of 48 ms. It bursts, without a current
# that one could name.
# ```{solution-end}
# ```
