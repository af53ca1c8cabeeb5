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
# # Protocols
#
# An electrode brings a current, a potential or a conductance into a cell, as a protocol says: a step, a ramp, an oscillation, or what was
# recorded elsewhere. This chapter has the protocols, and the way in which they reach the cells of any model. The next ones use it: current clamp,
# voltage clamp, dynamic clamp, and noise.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %%
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from ..engine import checks, circuits
from ..engine.inputs import Sampled, Samples, current, input_at, run_is_sound
from ..engine.labelled import WithoutChannels
from ..engine.scale import CURRENT, DURATION, POTENTIAL, suspicion
from ..engine.schedule import Grid, Slots, grid_of, recorded
from ..files.recording import covering
from ..files.results import Result, Run, run_of
from ..models.networks import model_of, start_of
from ..prinz2004 import (
    CONSTANTS,
    DEFAULT_DT,
    DEFAULT_SOLVER,
    MS_PER_S,
    SCHEMES,
    Flows,
    Membrane,
    Model,
    Params,
    SimResult,
    flows,
    pack,
    prepare,
    state_of,
    unpack,
)

__all__ = ["Drive", "Ramp", "Steps", "Zap", "sampled", "simulate_driven", "step"]

# %% [markdown]
# ## Steps, ramps and zaps
#
# What is injected or imposed is a function of time, a number, a recording (a Series with its times in ms, or a
# pair of times and values), or for a current all that a call of a model takes. Steps, ramps and
# the *zap*, an oscillation whose frequency rises, are at hand:
#
# $$
# I(t) = A \sin\left(2π \left(f_0\, s + \frac{f_1 - f_0}{2T}\, s^2\right)\right), \qquad s = t - t_\mathrm{start}.
# $$ (eq-zap)

# %%
EDGE = 1e-6  # ms; times closer than this to an edge of a protocol are the edge


@dataclass(frozen=True)
class Steps:
    """Piecewise constant: `levels[i]` from `times[i - 1]` on; nA or mV, ms."""

    levels: Sequence[Any]
    times: Sequence[Any]  # one fewer

    def __call__(self, t: Any) -> Array:
        t = jnp.asarray(t, float)
        return jnp.asarray(self.levels, float)[jnp.searchsorted(jnp.asarray(self.times, float), t + EDGE, side="right")]


def step(level: Any, start: Any, stop: Any, rest: Any = 0.0) -> Steps:
    """One step from `rest` to `level`, and back; nA or mV, ms."""
    return Steps((rest, level, rest), (start, stop))


@dataclass(frozen=True)
class Ramp:
    """From one level to another in a straight line, held before and after; nA or mV, ms."""

    levels: Sequence[Any]  # first, last
    times: Sequence[Any]  # start, stop

    def __call__(self, t: Any) -> Array:
        return jnp.interp(jnp.asarray(t, float), jnp.asarray(self.times, float), jnp.asarray(self.levels, float))


@dataclass(frozen=True)
class Zap:
    """{eq}`eq-zap`, 0 before and after."""

    amplitude: Any  # nA or mV
    frequencies: Sequence[Any]  # Hz, first and last
    times: Sequence[Any]  # ms, start, stop

    def __call__(self, t: Any) -> Array:
        (start, stop), (f0, f1) = self.times, self.frequencies
        s = jnp.clip((t - start), 0, stop - start) / MS_PER_S
        cycles = f0 * s + (f1 - f0) * s**2 * MS_PER_S / (2 * (stop - start))
        return jnp.where((t >= start) & (t < stop), self.amplitude * jnp.sin(2 * jnp.pi * cycles), 0.0)


def sampled(what: str, protocol: Any, t: np.ndarray, last: float | None = None) -> Array:
    """A protocol for one cell at the times t: (time,). last: ms, the end of the run if it is not t[-1].

    Raises ValueError or TypeError if it is none, does not cover the run, or is not finite.
    """
    if callable(protocol):
        check_protocol(what, protocol, t[0], t[-1] if last is None else last)
        return evaluated(what, protocol, t)
    if is_recording(protocol):
        protocol = Sampled(protocol[1], protocol[0]) if isinstance(protocol, tuple) else Sampled(protocol)
    if isinstance(protocol, Sampled):
        times, x = map(jnp.asarray, covering(what, protocol, t[0], t[-1]))
        outside = None if protocol.outside in (None, "hold") else float(protocol.outside)
        return jnp.interp(jnp.asarray(t), times, x, left=outside, right=outside)
    if isinstance(protocol, Result) or (isinstance(protocol, (list, np.ndarray, pd.DataFrame)) and np.ndim(protocol)):
        raise TypeError(
            f"{what} is a {type(protocol).__name__}; it must be a number, a function of t, a Series with its times in ms, or (times, values). "
            "Give one of these, such as result.V['LP', 0]."
        )
    return jnp.full(len(t), checks.number(what, protocol, "its unit"))


def check_protocol(what: str, f: Any, first: float, last: float) -> None:
    """The numbers of a protocol are finite, its times increase and lie within the run (ms); plain functions have none."""
    if (edges := getattr(f, "times", None)) is None:
        return
    given = {name: getattr(f, name, ()) for name in ("levels", "amplitude", "frequencies")}
    known = not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(given))
    for name, values in given.items() if known else ():
        checks.finite(f"{name} of {what}", values)
    x = checks.numbers(f"the times of {what}", edges).astype(float)
    levels, between = getattr(f, "levels", None), isinstance(f, Steps)  # levels of steps are those between times
    example = "Give Steps((0, 1), (100,)), or Ramp((0, 1), (100, 200))."
    if x.ndim != 1 or (levels is not None and np.ndim(levels) != 1):
        raise TypeError(f"{what} has the times {edges!r} and the levels {levels!r}; both must be lists. {example}")
    if levels is not None and (len(levels) != len(x) + between or len(levels) < 2 - between):
        raise ValueError(
            f"{what} has {len(levels)} levels and {len(x)} times; steps have one level more than times, ramps as many. {example}"
        )
    if isinstance(f, Zap) and known and (np.shape(f.frequencies) != (2,) or min(f.frequencies) < 0 or x.shape != (2,)):
        raise ValueError(
            f"{what} has the frequencies {f.frequencies} Hz at the times {f.times}; there must be two of each, and none negative. "
            "Give the first and the last."
        )
    if (np.diff(x) <= 0).any():
        raise ValueError(
            f"the times of {what} are {x.tolist()}; they must increase, a duration is not negative. Sort them."
        )
    outside = x[(x < first) | ((x > last) & np.isfinite(x))]
    if outside.size:
        raise ValueError(
            f"{what} has the time {outside[0]:g} ms; the run lasts from {first:g} to {last:g} ms. Record longer, or move it."
        )


def is_recording(protocol: Any) -> bool:
    """Whether a protocol is a recording of one cell, a Series or a pair of times and values."""
    return isinstance(protocol, pd.Series) or (
        isinstance(protocol, tuple) and len(protocol) == 2 and not any(map(np.isscalar, protocol))
    )


def evaluated(what: str, f: Any, t: np.ndarray) -> Array:
    """A function of one time at the times t, (time,)."""
    try:
        shape = jax.eval_shape(f, 0.0).shape
    except Exception as error:
        raise TypeError(
            f"{what} is {f!r}, which cannot be evaluated by JAX: {error}. Write it with jax.numpy, branching by jnp.where."
        ) from error
    if shape != ():
        raise ValueError(
            f"{what} returns the shape {shape} at one time; for one cell it must be a number. Give a function for each cell."
        )
    x = jax.vmap(f)(jnp.asarray(t))
    if (bad := ~np.isfinite(np.asarray(x))).any():
        raise ValueError(
            f"{what} is {x[int(np.argmax(bad))]} at {t[int(np.argmax(bad))]:g} ms; it must be finite. Mend the function there."
        )
    return x


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A step, a ramp and a zap.", "name": "fig-protocols"}}
# t, some = np.arange(0, 1000, 0.5), {"step": step(1, 200, 700), "ramp": Ramp((0, 1), (200, 700)), "zap": Zap(1, (0, 20), (200, 900))}
# hv.Layout([hv.Curve((t, np.asarray(sampled(name, p, t))), "time (ms)", "nA", label=name).opts(width=225) for name, p in some.items()])

# %% [markdown]
# ## Any model
#
# The experiments act within a step of the simulation, on the cells of any model: a circuit of the first chapter, a network, or a single cell, which
# is a network of one. A run starts as a run of the model does, thermalized or cold, unless a state is given.


# %%
def cell_number(model: Model, cell: Any) -> int:
    """Number of a cell: a label (its first cell), (label, number), or None in a model of one cell."""
    cells = list(model.cells)
    if cell is None and len(cells) > 1:
        raise ValueError(
            f"cell is None, but there are {len(cells)} cells; one must be named. Say cell={cells[0][0]!r}, for example."
        )
    found = cells[0] if cell is None else (cell, 0) if isinstance(cell, str) else cell
    if not isinstance(found, (tuple, list)) or tuple(found) not in cells:
        known, hint = checks.listing(model.labels), checks.closest(cell, model.labels)
        raise ValueError(f"cell is {cell!r}; it must be one of {known}, or a pair such as {cells[0]!r}.{hint}")
    return cells.index(tuple(found))


def membrane_of(model: Model, cell: int) -> Membrane:
    """The membrane of a cell."""
    circuit = model.circuit
    return circuit.membranes[circuit.populations[circuit.rows[cell]].membrane]


# %% [markdown]
# ## What acts on a step
#
# The staggered scheme asks a model for its `Flows`: how the potential moves while all else is frozen, and how all else moves while the potential is
# frozen. All that an electrode does enters there. A current $I$ and a conductance $G$ are arguments of the flows; a conductance that pulls toward
# $E$ is $G$ and the current $GE$. An imposed potential *wraps* them: whenever the potential has moved, it is put where it is wanted. Gates
# of a clamped cell see the imposed potential and approach their targets exactly as equation {eq}`eq-gate` says, and its neighbours follow their
# gap junctions to it. Nothing else is added, so that a run without any of this is a run of the model.


# %%
class Drive(NamedTuple):
    """What acts on the cells of a model from outside, a pytree; None for nothing."""

    I: Any  # () or (cell,) nA, or (step + 1, cell) at the steps
    G: Any = None  # (step + 1, cell) µS, at the steps; the current that goes with its reversal potential is in I
    V: Any = None  # (2 step + 1, clamped cell) mV, at the half steps
    channels: Any = None  # channels that open at random, `noise.RandomChannels`


def imposed(y: Any, V: Array, cells: tuple[int, ...]) -> Any:
    """A state with the potentials (mV) of some cells as imposed."""
    return y._replace(V=y.V.at[np.array(cells)].set(V))


def with_clamped(f: Flows, V: Array, cells: tuple[int, ...]) -> Flows:
    """Flows under which some cells have the potentials V, (half step, clamped cell) mV."""
    return Flows(
        charge=lambda y, k, h: imposed(f.charge(y, k, h), V[2 * k + 1], cells),
        relax=f.relax,
        close=lambda y, k: imposed(f.close(y, k), V[2 * k], cells),
        euler=lambda y, k: imposed(f.euler(y, k), V[2 * k + 2], cells),
    )


def integrate_driven(
    params: Params, state: Any, drive: Drive, slots: Slots | None, *, grid: Grid, clamped: tuple[int, ...], dt: float
) -> Any:
    """States on the grid, with a leading time axis."""
    y0, circuit = circuits.started(params, state, Params, state_of), params.circuit
    p, at_steps = prepare(params, y0.V.dtype, dt, clamped), partial(input_at, dt=dt, t0=0.0, dtype=y0.V.dtype)
    f = flows(circuit, p, at_steps(drive.I), dt, G=None if drive.G is None else at_steps(drive.G))
    y, seen = pack(circuit, y0), partial(unpack, circuit)
    if clamped:
        V = jnp.asarray(drive.V, y0.V.dtype)
        f, y = with_clamped(f, V, clamped), imposed(y, V[0], clamped)
    if drive.channels is not None:
        f, y, seen = drive.channels.joined(circuit, p, f, y, getattr(state, "n", None), dt)
    advance = lambda y, k, n: SCHEMES[DEFAULT_SOLVER](f, y, k, n, dt)  # noqa: E731
    return recorded(advance, seen, y, grid, slots)[1]


compiled_driven = jax.jit(integrate_driven, static_argnames=("grid", "clamped", "dt"))


def simulate_driven(
    params: Params,
    state: Any,
    t: Any,
    drive: Drive,
    *,
    clamped: Sequence[int] = (),
    dt: float = DEFAULT_DT,
    t0: float = 0.0,
) -> Any:
    """States (time, …) at the times t (ms) of a model under a `Drive`; pure, for jit, vmap and grad.

    clamped: numbers of the cells whose potential drive.V imposes. With drive.channels the states are `NoisyState`s. Raises TypeError or
    ValueError as `simulate`, and ValueError for a drive that is too short.
    """
    t, dt = checks.times(t, t0), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    grid, slots = grid_of(t, t0, dt)
    check_drive(drive, grid.first + grid.n * grid.blocks, len(params.circuit.rows), tuple(clamped))
    if drive.channels is not None:
        drive.channels.check(params.circuit)
    return integrate_driven(params, state, drive, slots, grid=grid, clamped=tuple(clamped), dt=dt)


def check_drive(d: Drive, n: int, cells: int, clamped: tuple[int, ...]) -> None:
    """What acts on a model during n steps has the shapes that the steps ask for."""
    wanted = {"I": (n + 1, cells), "G": (n + 1, cells), "V": (2 * n + 1, len(clamped))}
    for name, (least, width) in wanted.items():
        x, constant = getattr(d, name), [(), (cells,)] if name == "I" else []
        if x is not None and np.shape(x) not in constant and (np.shape(x)[1:] != (width,) or len(x) < least):
            raise ValueError(
                f"drive.{name} has shape {np.shape(x)}; it must be ({least}, {width}) for {n} steps. Sample it longer."
            )
    if (d.V is None) != (not clamped):
        raise ValueError(
            f"clamped is {clamped}, and drive.V {'missing' if d.V is None else 'there'}; both go together. Give both."
        )
    if any(not 0 <= i < cells for i in clamped):
        raise ValueError(f"clamped is {clamped}; there are the cells 0 to {cells - 1}. Name some of these.")


# %% [markdown]
# The experiments bring their arguments into a `Drive`, and run it compiled. One program serves all
# protocols of the same length.


# %%
class Setup(NamedTuple):
    """A model, ready for an experiment."""

    model: Any
    start: Any  # a state of the model, or a NoisyState
    t: np.ndarray  # (time,) ms, to be recorded
    dt: float  # ms
    grid: Grid
    slots: Slots | None
    steps: np.ndarray  # (step + 1,) ms

    @property
    def last(self) -> float:
        """The end of the run (ms), with the interval that the last recorded time begins."""
        return float(self.t[-1] + (self.t[-1] - self.t[-2] if len(self.t) > 1 else 0.0))

    @property
    def halves(self) -> np.ndarray:
        """(2 step + 1,) ms."""
        return self.steps[0] + self.dt / 2 * np.arange(2 * len(self.steps) - 1)

    @property
    def ran(self) -> Run:
        """How the run came about."""
        solver = DEFAULT_SOLVER if isinstance(self.model, Model) else self.model.scheme
        return run_of(self.model, solver, self.steps[0], "of the experiment", dt=self.dt)

    def into(self, cell: int, I: Any) -> Any:
        """Currents (…,) nA into one cell and none into the others, (…, cell)."""
        return I[..., None] * (np.arange(len(self.model.rows)) == cell).astype(I.dtype)

    def result(self, states: Any) -> SimResult:
        """What was recorded; warns (UserWarning) and raises FloatingPointError as a run of the model does."""
        run_is_sound(states, self.t, self.model.cells)
        return SimResult(self.t, states, self.model, run=self.ran)


def set_up(model: Any, t: Any, state: Any, dt: float | None, t0: float, of: Callable[[Any], Any] = model_of) -> Setup:
    """What all experiments need; of: makes the model, `any_model` where it needs no channels.

    Raises ValueError or TypeError for arguments that cannot be used.
    """
    model, t = of(model), checks.times(t, t0)
    dt = checks.scheme(DEFAULT_SOLVER, model.step if dt is None else dt, (DEFAULT_SOLVER,))
    grid, slots = grid_of(t, t0, dt)
    n = grid.first + grid.n * grid.blocks + 1
    allocated(f"a run from {t0:g} to {t[-1]:g} ms with the input of its {n:,} steps", n * (len(model.rows) + 3))
    start = start_of(model, state)
    return Setup(
        model, type(start)(*(np.asarray(x, model.dtype) for x in start)), t, dt, grid, slots, t0 + dt * np.arange(n)
    )


def injected(s: Setup, I_ext: Any) -> Any:
    """A current for each cell, (cell,) or at the steps (step + 1, cell) nA.

    I_ext: a protocol, a mapping label -> protocol, or as in a call of a model.
    """
    model, shape = s.model, (len(s.steps), len(s.model.rows))
    if isinstance(I_ext, Mapping):
        circuits.known_labels("I_ext", I_ext, model.labels)
        of = [sampled(f"I_ext[{label!r}]", I_ext.get(label, 0.0), s.steps, s.last) for label in model.labels]
        return plausible("I_ext", jnp.stack(of, 1)[:, model.rows], model)
    if is_recording(I_ext) and not (isinstance(I_ext, pd.Series) and set(I_ext.index) & set(model.labels)):
        return plausible("I_ext", jnp.broadcast_to(sampled("I_ext", I_ext, s.steps, s.last)[:, None], shape), model)
    if callable(I_ext):
        check_protocol("I_ext", I_ext, s.steps[0], s.last)
    I = current(I_ext, model.labels, model.rows, s.t, s.steps[0], scale=None)
    if callable(I):
        I = jax.vmap(lambda t: jnp.broadcast_to(I(t), shape[1:]))(jnp.asarray(s.steps))
    return plausible("I_ext", I.at(s.steps) if isinstance(I, Samples) else I, model)


def commanded(what: str, command: Any, s: Setup) -> Array:
    """A potential (mV) that is to be held, at the half steps."""
    V = sampled(what, command, s.halves, s.last)
    if s.model.own_units:
        return V
    seen = not callable(command) or hasattr(command, "levels")  # by `check_commands`, which warns
    if not seen or float(np.abs(V).max(initial=0.0)) > POTENTIAL.most:
        plausible_potentials(f"the largest potential of {what}", np.asarray(V))
    return V


def run(s: Setup, drive: Drive, clamped: tuple[int, ...] = ()) -> Any:
    """Run a drive, compiled, in the precision of the model, in which the drive was made."""
    model, start, expand = s.model, s.start, np.arange(len(s.model.rows))
    params = model.params
    if isinstance(model, WithoutChannels):
        return model.driven(start, s.t, drive.I, drive.G, dt=s.dt, t0=s.steps[0], run_is=s.ran)
    if all(x is None for x in drive[1:]):  # as in a call of the model, where cells that are alike run once
        I = np.asarray(drive.I)
        params, start, I, expand = model._without_copies(start, Samples(s.steps, I) if I.ndim == 2 else I)
        drive = Drive(I.values if isinstance(I, Samples) else I)
    states = compiled_driven(params, start, drive, s.slots, grid=s.grid, clamped=clamped, dt=s.dt)
    return s.result(jax.tree.map(lambda x: np.asarray(x)[:, expand], states))


# %% [markdown]
# ## What is refused
#
# A number in another unit often shows by its size. Currents are measured against the membrane that they enter: what is
# plausible for a whole cell is not for a patch.


# %%
def plausible(what: str, I: Any, model: Model) -> Any:
    """Currents (…, cell) nA, all finite; warns (UserWarning) where their size is that of another unit, for the membrane of each cell."""
    x = np.asarray(I)
    checks.throughout(what, x, np.isfinite(x), "currents must be finite, in nA. Fill the gap, with 0 for no input.")
    if model.own_units:
        return I
    areas = [CONSTANTS.A]
    if isinstance(model, Model):
        areas = [float(model.circuit.membranes[p.membrane].constants.A) for p in model.circuit.populations]
    for row, size in zip(model.rows, np.abs(x).reshape(-1, x.shape[-1]).max(0), strict=True):
        times = areas[row] / CONSTANTS.A
        usual = CURRENT._replace(least=CURRENT.least * times, most=CURRENT.most * times)
        if size and (said := suspicion(f"{what} into {model.labels[row]!r}", float(size), usual)):
            checks.warn(said)
            break
    return I


def plausible_levels(what: str, levels: np.ndarray, s: Setup, cell: int) -> None:
    """Currents (nA) into one cell; warns (UserWarning) where they look like another unit."""
    plausible(what, s.into(cell, np.abs(levels).max()), s.model)


def constant_current(what: str, I: Any, model: Model) -> np.ndarray:
    """A constant current (nA) into each cell, (cell,), from a number, one for each cell, or a mapping label -> number."""
    if isinstance(I, Mapping):
        circuits.known_labels(what, I, model.labels)
        I = [I.get(model.labels[i], 0.0) for i in model.rows]
    x, n = checks.numbers(what, I, "be a constant current in nA, or one for each cell").astype(float), len(model.rows)
    if x.shape not in ((), (n,)):
        raise ValueError(
            f"{what} has shape {x.shape}; it must be constant, a number in nA or one for each of the {n} cells. Give that."
        )
    return plausible(what, np.broadcast_to(x, n), model)


def milliseconds(what: str, time: Any) -> float:
    """How long something lasts (ms); warns (UserWarning) where that looks like seconds."""
    return checks.quantity(what, time, DURATION, above=0)


def millivolts(what: str, V: Any) -> float:
    """One potential (mV); warns (UserWarning) where it looks like V."""
    V = checks.number(what, V, "mV")
    plausible_potentials(what, np.array([V]))
    return V


def ordered(what: str, low: Any, high: Any, unit: str) -> tuple[float, float]:
    """Two numbers of which the first is less."""
    a, b = checks.number(f"low {what}", low, unit), checks.number(f"high {what}", high, unit)
    if not a < b:
        raise ValueError(f"the {what} goes from {a:g} to {b:g} {unit}; the first must be less. Exchange them.")
    return a, b


def plausible_potentials(what: str, V: np.ndarray) -> None:
    """Potentials (mV) to which a cell may be brought; warns (UserWarning) where they look like V. Zero alone is no unit."""
    size = float(np.abs(V).max(initial=0.0))
    said = suspicion(what, size, POTENTIAL) if size else ""
    if said and size > POTENTIAL.most:
        raise ValueError(said)
    if said:
        checks.warn(said)


def allocated(what: str, numbers: float) -> None:
    """Refuse what takes more memory than there is, before it is taken."""
    if numbers * 8 > LARGEST:
        raise ValueError(
            f"{what} takes {numbers * 8 / 2**30:.3g} GiB of memory; at most {LARGEST / 2**30:g} are taken at once. Do it in parts, or for a "
            "shorter time."
        )


LARGEST = 4 * 2**30  # bytes
