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
# # Experiments at the electrode
#
# What a physiologist does to a cell with an electrode, done to any cell of the chapters before: a current is
# injected, noise is added, and the cell is put aside to go on later. Each experiment takes a circuit of the first chapter, a cell or a
# network. The next chapter holds the potential.
#
# Below, the pacemaker of the circuit gets a weak current that oscillates faster and faster. The circuit follows for six seconds, until a burst comes
# too early. Then LP, no longer inhibited, fires on and silences the others: the second rhythm of this circuit, from the chapter on rhythms.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "The circuit with a zap of 0.1 nA, from 0.2 to 2 Hz, into its pacemaker.", "name": "fig-zapped-circuit"}}
# import numpy as np
# import pandas as pd
#
# from .config import find_circuit
# from .experiments import *
# from .prinz2004 import Prinz2004
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# zapped = current_clamp(circuit, np.arange(0, 12000, 0.5), {"AB/PD": Zap(0.1, (0.2, 2), (1000, 12000))})
# zapped.plot()

# %%
from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from . import checks
from .components import (
    Calcium,
    Cell,
    GapJunction,
    Graded,
    Network,
    NetworkResult,
    Params,
    Prepared,
    Prinz2003,
    State,
    Structure,
    Synapse,
    Working,
    at,
    capacitances,
    component,
    contract,
    gates_and_calcium,
    integrate,
    join,
    junctions_of,
    pack,
    potential,
    prepare_network,
    split,
    targets,
    unpack,
)
from .config import path_of
from .files import target_of, written_whole
from .inputs import Sampled, Samples, current, run_is_sound, trace_of
from .prinz2004 import (
    CONSTANTS,
    DEFAULT_DT,
    DEFAULT_SOLVER,
    MS_PER_S,
    NS_TO_US,
    PACEMAKERS,
    Constants,
    Prinz2004,
    activating,
    covered_exactly,
    inactivating,
    precision,
)
from .recording import covering
from .results import Result, run_of
from .rhythm import spikes
from .scale import CURRENT, DURATION, POTENTIAL, SYNAPSE, suspicion
from .schedule import Grid, Slots, grid_of, recorded

# %% [markdown]
# ## Any model
#
# The experiments act within a step of the simulation, on any cells: a circuit of the first chapter, a network, or a single cell, which is
# a network of one. A run starts as a run of the model does, thermalized or cold, unless a state is given.


# %%
def model_of(model: Any) -> Model:
    """A circuit or a network as it is, a cell as a network of one. Raises TypeError for all else."""
    checks.model_of_cells(model, (Model, Cell))
    return Network({"cell": model}) if isinstance(model, Cell) else model


def start_of(model: Model, state: Any = None) -> Any:
    """The start of a run: `state`, or that of the model."""
    if state is None:
        return model.get_thermalization() if model.starts_thermalized else model.cold
    return checks.state(state, model.cold)


def cell_number(model: Model, cell: Any) -> int:
    """Number of a cell: a label (its first cell), (label, number), or None in a model of one cell."""
    cells = list(model.cells)
    checks.one_cell(cell, cells, model.labels)
    return cells.index(cells[0] if cell is None else (cell, 0) if isinstance(cell, str) else tuple(cell))


def membrane_of(model: Model, cell: int) -> Membrane:
    """The membrane of a cell."""
    circuit = model.circuit
    return circuit.membranes[circuit.populations[circuit.rows[cell]].membrane]


# %% [markdown]
# ## Protocols
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
        checks.protocol(what, protocol, t[0], t[-1] if last is None else last)
        return evaluated(what, protocol, t)
    if isinstance(protocol, Sampled):
        return trace_of(what, protocol, t[0], t[-1]).at(t)[:, 0]
    if is_recording(protocol):
        times, values = (protocol.index, protocol) if isinstance(protocol, pd.Series) else protocol
        return jnp.interp(jnp.asarray(t), *map(jnp.asarray, covering(what, times, values, t[0], t[-1])))
    if isinstance(protocol, Result) or (isinstance(protocol, (list, np.ndarray, pd.DataFrame)) and np.ndim(protocol)):
        raise TypeError(
            f"{what} is a {type(protocol).__name__}; it must be a number, a function of t, a Series with its times in ms, or (times, values). "
            "Give one of these, such as result.V['LP', 0]."
        )
    return jnp.full(len(t), checks.number(what, protocol, "its unit"))


def is_recording(protocol: Any) -> bool:
    """Whether a protocol is a recording of one cell, a Series or a pair of times and values."""
    return isinstance(protocol, pd.Series) or (isinstance(protocol, tuple) and len(protocol) == 2 and not any(map(np.isscalar, protocol)))


def evaluated(what: str, f: Any, t: np.ndarray) -> Array:
    """A function of one time at the times t, (time,)."""
    try:
        shape = jax.eval_shape(f, 0.0).shape
    except Exception as error:
        raise TypeError(f"{what} is {f!r}, which cannot be evaluated by JAX: {error}. Write it with jax.numpy, branching by jnp.where.") from error
    if shape != ():
        raise ValueError(f"{what} returns the shape {shape} at one time; for one cell it must be a number. Give a function for each cell.")
    x = jax.vmap(f)(jnp.asarray(t))
    if (bad := ~np.isfinite(np.asarray(x))).any():
        raise ValueError(f"{what} is {x[int(np.argmax(bad))]} at {t[int(np.argmax(bad))]:g} ms; it must be finite. Mend the function there.")
    return x


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A step, a ramp and a zap.", "name": "fig-protocols"}}
# t, some = np.arange(0, 1000, 0.5), {"step": step(1, 200, 700), "ramp": Ramp((0, 1), (200, 700)), "zap": Zap(1, (0, 20), (200, 900))}
# hv.Layout([hv.Curve((t, np.asarray(sampled(name, p, t))), "time (ms)", "nA", label=name).opts(width=225) for name, p in some.items()])

# %% [markdown]
# ## One step, and what acts on it
#
# A step of the staggered scheme, by itself, is half a step of the potential, a step of the gates, and half a
# step of the potential. All that an electrode does enters here: a current $I$ and a conductance $G$ into the
# half steps, and an imposed potential after each. A conductance that pulls toward $E$ is $G$ and the current $GE$. Gates
# of a clamped cell see the imposed potential and approach their targets exactly as equation {eq}`eq-gate` says. Nothing else
# is added, so that a run without any of this is a run of the model.


# %%
class Drive(NamedTuple):
    """What acts on the cells of a network from outside, a pytree; None for nothing."""

    I: Any  # (step + 1, cell) nA, at the steps
    G: Any = None  # (step + 1, cell) µS, at the steps; the current that goes with its reversal potential is in I
    V: Any = None  # (2 step + 1, clamped cell) mV, at the half steps
    N: Any = None  # for each group, for each of its channels, (cell,) how many a cell has, or None without noise
    key: Any = None  # of the noise of channels
    first: Any = 0  # steps from time 0 to the start of the run


class Driven(NamedTuple):
    """The state of a driven network."""

    y: Working
    n: tuple[Any, ...] = ()  # for each kind of channel that is counted (cell, open m, open h), how many have so many open gates


def driven_step(structure: Structure, p: Prepared, now: Driven, k: Any, d: Drive, clamped: tuple[int, ...], dt: float) -> Driven:
    """The state after step k of length dt (ms)."""
    G = lambda k: 0.0 if d.G is None else d.G[k]  # noqa: E731
    y = now.y._replace(V=imposed(d, potential(structure, p, now.y, d.I[k], dt / 2, G(k)), 2 * k + 1, clamped))
    V, y = contract(structure, p, y.V), gates_and_calcium(structure, p, y, dt)
    now = Driven(y, now.n) if d.N is None else with_random_steps(structure, Driven(y, now.n), V, d, k, dt)
    y = now.y
    return Driven(y._replace(V=imposed(d, potential(structure, p, y, d.I[k + 1], dt / 2, G(k + 1)), 2 * k + 2, clamped)), now.n)


def imposed(d: Drive, V: Array, j: Any, clamped: tuple[int, ...]) -> Array:
    """Potentials with those of the clamped cells as imposed at the half step j."""
    return V if d.V is None else V.at[np.array(clamped)].set(d.V[j])


# %% [markdown]
# A clamped cell does not follow its gap junctions, though its neighbours do: its row of the matrix that solves
# them is 0.


# %%
def with_clamped_junctions(structure: Structure, p: Prepared, clamped: tuple[int, ...], dt: float) -> Prepared:
    """The gap junctions' solution over half a step, with some cells held."""
    if not (clamped and structure.junctions):
        return p
    cells = junctions_of(structure)[0]
    C = jnp.asarray(capacitances(structure), p.L.dtype)[cells]
    L = jnp.where(np.isin(cells, clamped)[:, None], 0.0, p.L)
    return p._replace(half=jax.scipy.linalg.expm(-dt / 2 * L / C[:, None]) - jnp.eye(len(C), dtype=L.dtype))


def integrate_driven(
    params: Params, state: Any, drive: Drive, slots: Slots | None, *, grid: Grid, clamped: tuple[int, ...], dt: float
) -> Any:
    """States on the grid, with a leading time axis."""
    structure, dtype = params.structure, jnp.asarray(state.V).dtype
    p = with_clamped_junctions(structure, prepare_network(params, dtype, dt), clamped, dt)
    state = jax.tree.map(lambda x: jnp.asarray(x, dtype), state)
    y = Driven(pack(structure, state)._replace(V=imposed(drive, state.V, 0, clamped)))
    y = y if drive.N is None else with_channels(structure, y.y, drive, getattr(state, "n", None))
    one = lambda k, y: driven_step(structure, p, y, k, drive, clamped, dt)  # noqa: E731
    advance = lambda y, k, n: lax.fori_loop(0, n, lambda i, y: one(k + i, y), y)  # noqa: E731
    return recorded(advance, partial(seen, structure, drive.N), y, grid, slots)[1]


compiled_driven = jax.jit(integrate_driven, static_argnames=("grid", "clamped", "dt"))


def simulate_driven(
    params: Params, state: State, t: Any, drive: Drive, *, clamped: Sequence[int] = (), dt: float = DEFAULT_DT, t0: float = 0.0
) -> Any:
    """States (time, …) at the times t (ms) of a network under a `Drive`; pure, for jit, vmap and grad.

    clamped: numbers of the cells whose potential drive.V imposes. With drive.N the states are `NoisyState`s. Raises TypeError or
    ValueError as `simulate_network`, and ValueError for a drive that is too short.
    """
    t, dt = checks.times(t, t0), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    checks.steps(t, t0, dt)
    grid, slots = grid_of(t, t0, dt)
    checks.drive(drive, grid.first + grid.n * grid.blocks, len(params.structure.rows), tuple(clamped))
    check_numbers(drive.N, params.structure)
    return integrate_driven(params, state, drive, slots, grid=grid, clamped=tuple(clamped), dt=dt)


def check_numbers(N: Any, structure: Structure) -> None:
    """Refuse numbers of channels that do not belong to the channels of a network."""
    wanted = [[(len(group.cells),)] * len(group.channels) for group in structure.groups]
    found = [[None if x is None else np.shape(x) for x in numbers] for numbers in N or ()]
    fits = len(found) == len(wanted) and all(len(a) == len(b) and all(x in (None, y) for x, y in zip(a, b, strict=True))
                                             for a, b in zip(found, wanted, strict=True))  # fmt: skip
    if N is not None and not fits:
        raise ValueError(f"drive.N has the shapes {found}; it must be {wanted}, or None for channels without noise. See numbers_of_channels.")


# %% [markdown]
# The experiments below bring their arguments into a `Drive`, and run it compiled. One program serves all
# protocols of the same length.


# %%
class Setup(NamedTuple):
    """A network, ready for an experiment."""

    network: Network
    start: Any  # a State, or a NoisyState
    t: np.ndarray  # (time,) ms, to be recorded
    dt: float  # ms
    steps: np.ndarray  # (step + 1,) ms

    @property
    def last(self) -> float:
        """The end of the run (ms), with the interval that the last recorded time begins."""
        return float(self.t[-1] + (self.t[-1] - self.t[-2] if len(self.t) > 1 else 0.0))

    @property
    def halves(self) -> np.ndarray:
        """(2 step + 1,) ms."""
        return self.steps[0] + self.dt / 2 * np.arange(2 * len(self.steps) - 1)


def set_up(model: Any, t: Any, state: Any, dt: float | None, t0: float) -> Setup:
    """What all experiments need. Raises ValueError or TypeError for arguments that cannot be used."""
    network = network_of(model)
    t = checks.times(t, t0)
    dt = checks.scheme(DEFAULT_SOLVER, DEFAULT_DT if dt is None else dt, (DEFAULT_SOLVER,))
    checks.steps(t, t0, dt)
    grid = grid_of(t, t0, dt)[0]
    n = grid.first + grid.n * grid.blocks + 1
    allocated(f"a run from {t0:g} to {t[-1]:g} ms with the input of its {n:,} steps", n * (len(network.rows) + 3))
    steps = t0 + dt * np.arange(n)
    return Setup(network, start_of(model, network, state), t, dt, steps)


def injected(s: Setup, I_ext: Any) -> Array:
    """A current for each cell at the steps, (step + 1, cell) nA. I_ext: a protocol, a mapping label -> protocol, or as in a call of a model."""
    network, shape = s.network, (len(s.steps), len(s.network.rows))
    if isinstance(I_ext, Mapping):
        checks.known_labels("I_ext", I_ext, network.labels)
        of = {label: sampled(f"I_ext[{label!r}]", I_ext.get(label, 0.0), s.steps, s.last) for label in network.labels}
        return plausible("I_ext", jnp.stack([of[network.labels[i]] for i in network.rows], 1), network)
    if is_recording(I_ext) and not (isinstance(I_ext, pd.Series) and set(I_ext.index) & set(network.labels)):
        return plausible("I_ext", jnp.broadcast_to(sampled("I_ext", I_ext, s.steps, s.last)[:, None], shape), network)
    if callable(I_ext):
        checks.protocol("I_ext", I_ext, s.steps[0], s.last)
    I = current(I_ext, network.labels, network.rows, s.t, s.steps[0], scale=None)
    if callable(I):
        values = jax.vmap(I)(jnp.asarray(s.steps))
        values = jnp.broadcast_to(values[:, None] if values.ndim == 1 else values, shape)
    else:
        values = I.at(s.steps) if isinstance(I, Samples) else jnp.broadcast_to(jnp.asarray(I), shape)
    return plausible("I_ext", values, network)


def plausible(what: str, I: Any, network: Network) -> Any:
    """Currents (…, cell) nA, all finite; warns (UserWarning) where their size is that of another unit, for the membrane of each cell."""
    x = np.asarray(I)
    if (bad := ~np.isfinite(x)).any():
        raise ValueError(f"{what} contains {x[bad].flat[0]}; currents must be finite, in nA. Fill the gap, with 0 for no input.")
    for (group, _), row, size in zip(network.places, network.rows, np.abs(x).reshape(-1, x.shape[-1]).max(0), strict=True):
        times = float(network.structure.groups[group].circuit.constants.A) / CONSTANTS.A
        usual = CURRENT._replace(least=CURRENT.least * times, most=CURRENT.most * times)
        if size and (said := suspicion(f"{what} into {network.labels[row]!r}", float(size), usual)):
            checks.warn(said)
            break
    return I


def constant_current(what: str, I: Any, network: Network) -> np.ndarray:
    """A constant current (nA) into each cell, (cell,), from a number, one for each cell, or a mapping label -> number."""
    if isinstance(I, Mapping):
        checks.known_labels(what, I, network.labels)
        I = [I.get(network.labels[i], 0.0) for i in network.rows]
    x, n = checks.numbers(what, I, "be a constant current in nA, or one for each cell").astype(float), len(network.rows)
    if x.shape not in ((), (n,)):
        raise ValueError(f"{what} has shape {x.shape}; it must be constant, a number in nA or one for each of the {n} cells. Give that.")
    return plausible(what, np.broadcast_to(x, n), network)


def milliseconds(what: str, time: Any) -> float:
    """How long something lasts (ms); warns (UserWarning) where that looks like seconds."""
    time = checks.positive(what, time, "ms")
    if said := suspicion(what, time, DURATION):
        checks.warn(said)
    return time


def millivolts(what: str, V: Any) -> float:
    """One potential (mV); warns (UserWarning) where it looks like V."""
    V = checks.number(what, V, "mV")
    plausible_potentials(what, np.array([V]))
    return V


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


def run(s: Setup, drive: Drive, clamped: tuple[int, ...] = ()) -> NetworkResult:
    """Run a drive, compiled, in the precision of the network, in which the drive was made."""
    dtype = s.network.dtype
    grid, slots = grid_of(s.t, s.steps[0], s.dt)
    cast = lambda x: x if jnp.issubdtype(jnp.asarray(x).dtype, jnp.integer) or jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jnp.asarray(x, dtype)  # noqa: E731
    start = type(s.start)(*(np.asarray(x, dtype) for x in s.start))
    drive = jax.tree.map(cast, drive._replace(first=jnp.asarray(round(s.steps[0] / s.dt))))
    states = jax.tree.map(np.asarray, compiled_driven(s.network.params, start, drive, slots, grid=grid, clamped=clamped, dt=s.dt))
    run_is_sound(states, s.t, s.network.cells)
    return NetworkResult(s.t, states, s.network, run=run_of(s.network, DEFAULT_SOLVER, s.steps[0], "of the experiment", dt=s.dt))


# %% [markdown]
# ## Current clamp


# %%
def current_clamp(model: Any, t: Any, I_ext: Any, *, state: Any = None, dt: float | None = None, t0: float = 0.0) -> NetworkResult:
    """Inject currents (nA) and record at the times t (ms).

    I_ext: a protocol for all cells, a mapping label -> protocol, or as in a call of a model. state: start. Raises ValueError or
    TypeError before anything is compiled, for protocols with times outside the run, too.
    """
    s = set_up(model, t, state, dt, t0)
    with precision(s.network.dtype):
        return run(s, Drive(injected(s, I_ext)))


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A single LP cell: a step of −0.5 nA and a ramp to 4 nA.", "name": "fig-current-clamp"}}
# lp, t = Prinz2004({"LP 2": 1}, gs={}, ge=0), np.arange(0, 3000, 0.5)
# hv.Layout([current_clamp(lp, t, p).plot() for p in (step(-0.5, 1000, 2000), Ramp((0, 4), (500, 2500)))]).cols(1)

# %% [markdown]
# ### Firing rate and current
#
# The f–I curve takes one run for all currents: a batch of cells that start alike. Where a cell can be silent *or*
# fire at the same current, the answer depends on the past. A *staircase* goes up and comes down again
# without a new start, and tells both rates. The axon of {cite:t}`HodgkinHuxley1952` has such a range.

# %%
SAMPLING = 0.1  # ms, at which spikes are looked for


def constant(s: Setup, cell: int, I: Array) -> Array:
    """A current (nA) into one cell, for integration: (cell,)."""
    return jnp.zeros(len(s.network.rows), I.dtype).at[cell].set(I)


@partial(jax.jit, static_argnames=("cell", "grid", "dt"))
def batch_of_currents(params: Params, start: State, I: Array, *, cell: int, grid: Grid, dt: float) -> Array:
    """Potential of a cell (current, time) in runs with constant currents I (current, cell) nA."""
    return jax.vmap(lambda I: integrate(params, start, I, None, grid=grid, solver=DEFAULT_SOLVER, dt=dt, t0=0.0).V[:, cell])(I)


@partial(jax.jit, static_argnames=("cell", "grid", "dt"))
def staircase_of_currents(params: Params, start: State, I: Array, *, cell: int, grid: Grid, dt: float) -> Array:
    """Potential of a cell (current, time) in one run through constant currents I (current, cell) nA."""

    def stair(y: State, I: Array) -> tuple[State, Array]:
        ys = integrate(params, y, I, None, grid=grid, solver=DEFAULT_SOLVER, dt=dt, t0=0.0)
        return jax.tree.map(lambda x: x[-1], ys), ys.V[:, cell]

    return lax.scan(stair, start, I)[1]


def rate_of(t: np.ndarray, V: np.ndarray, transient: float) -> float:
    """Rate (Hz) after a transient (ms), from the mean interval; 0 with fewer than two spikes."""
    times = spikes(t, V)
    times = times[times >= transient]
    return float(MS_PER_S / np.diff(times).mean()) if len(times) > 1 else 0.0


def fi_curve(
    model: Any, currents: Any, *, cell: Any = None, staircase: bool = False, duration: float = 1000.0, transient: float = 200.0,
    state: Any = None, dt: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rate (Hz) of a cell at constant currents (nA); index: the currents, column: "rate", with staircase "up" and "down".

    duration, transient: ms at each current; the transient does not count. Raises ValueError or TypeError on bad input.
    """
    checks.recording(milliseconds("duration", duration), transient)
    levels = checks.levels("currents", currents, "nA")
    checks.of_type("staircase", staircase, bool, "True or False")
    allocated(f"a curve of {len(levels):,} currents for {duration:g} ms", len(levels) * duration / SAMPLING * (1 + staircase))
    t = np.arange(0, duration, SAMPLING)
    s = set_up(model, t, state, dt, 0.0)
    number, grid = cell_number(s.network, cell), grid_of(t, 0.0, s.dt)[0]
    plausible_levels("the largest current", levels, s.network, number)
    checks.on_steps(t, 0.0, s.dt, grid_of(t, 0.0, s.dt)[1] is None)
    with precision(s.network.dtype):
        start = State(*(np.asarray(x, s.network.dtype) for x in s.start))
        path = np.concatenate([levels, levels[::-1]]) if staircase else levels
        I = jax.vmap(partial(constant, s, number))(jnp.asarray(path))
        run = staircase_of_currents if staircase else batch_of_currents
        V = np.asarray(run(s.network.params, start, I, cell=number, grid=grid, dt=s.dt))
    rates = [rate_of(t, x, transient) for x in V]
    n = len(levels)
    table = {"up": rates[:n], "down": rates[n:][::-1]} if staircase else {"rate": rates}
    return pd.DataFrame(table, pd.Index(levels, name="current"))


# %% tags=["active-ipynb"]
# from .components import Cell, HodgkinHuxley1952 as HH
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# rest = current_clamp(axon, [500.0], 0).final_state
# rates = fi_curve(axon, np.arange(2.0, 8.1, 0.25), staircase=True, state=rest, duration=500)
# both = (rates["down"] > 0) & (rates["up"] == 0)
# assert both.sum() > 3

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Rate of the axon while the current rises (up) and falls (down).", "name": "fig-fi"}}
# curves = [hv.Curve((rates.index, rates[name]), "current (nA)", "rate (Hz)", label=name) for name in rates]
# hv.Overlay(curves).opts(width=480, height=250, toolbar=None, legend_position="right")

# %% [markdown]
# ### Rheobase and input resistance
#
# The *rheobase* is the least current that brings a spike within a given time. A grid of currents is run at once, and
# the interval in which the first of them fires is divided again. The input resistance $R = ΔV/ΔI$ is taken at
# rest, from the potential to which a small negative step leads.

# %%
GRID = 16  # currents that are tried at once


def rheobase(
    model: Any, high: float, *, low: float = 0.0, cell: Any = None, duration: float = 500.0, tolerance: float = 1e-3, state: Any = None,
    dt: float | None = None,
) -> float:  # fmt: skip
    """Least constant current (nA) between low and high that makes a cell fire within `duration` (ms), to a tolerance (nA).

    Raises ValueError if the cell fires at `low`, or does not at `high`, and for a tolerance that the precision does not resolve.
    """
    low, high = checks.interval("current", low, high, "nA")
    tolerance = checks.positive("tolerance", tolerance, "nA")
    allocated(f"a rheobase with runs of {duration} ms", GRID * milliseconds("duration", duration) / SAMPLING)
    t = np.arange(0, duration, SAMPLING)
    s = set_up(model, t, state, dt, 0.0)
    number, grid = cell_number(s.network, cell), grid_of(t, 0.0, s.dt)[0]
    checks.on_steps(t, 0.0, s.dt, grid_of(t, 0.0, s.dt)[1] is None)
    plausible_levels("the highest current", np.array([high]), s.network, number)
    resolved(tolerance, max(abs(low), abs(high)), s.network.dtype)
    with precision(s.network.dtype):
        start = State(*(np.asarray(x, s.network.dtype) for x in s.start))
        while True:
            I = np.linspace(low, high, GRID)
            inputs = jax.vmap(partial(constant, s, number))(jnp.asarray(I))
            V = np.asarray(batch_of_currents(s.network.params, start, inputs, cell=number, grid=grid, dt=s.dt))
            fires = np.array([len(spikes(t, x)) > 0 for x in V])
            checks.threshold_between(fires, low, high)
            first = int(np.argmax(fires))
            low, high = float(I[first - 1]), float(I[first])
            if high - low <= tolerance:
                return high


def resolved(tolerance: float, largest: float, dtype: str) -> None:
    """A tolerance (nA) for currents up to a size (nA) that numbers of a precision resolve."""
    finest = GRID * largest * float(np.finfo(dtype).eps)
    if tolerance < finest:
        raise ValueError(
            f"tolerance is {tolerance:g} nA; up to {largest:g} nA the precision {dtype} resolves {finest:.2g} nA. Take 0.001, or more digits than "
            "an electrode has."
        )


def plausible_levels(what: str, levels: np.ndarray, network: Network, number: int) -> None:
    """Currents (nA) into one cell; warns (UserWarning) where they look like another unit."""
    I = np.zeros(len(network.rows))
    I[number] = np.abs(levels).max()
    plausible(what, I, network)


def input_resistance(
    model: Any, *, cell: Any = None, I: float = -0.01, duration: float = 2000.0, state: Any = None, dt: float | None = None
) -> float:
    """Input resistance (MΩ) of a cell at rest, from a step of I (nA) that lasts `duration` (ms), after as long a rest.

    Raises ValueError if the potential does not settle, as in a cell that fires, and warns (UserWarning) if it goes far.
    """
    I, duration = checks.number("I", I, "nA"), milliseconds("duration", duration)
    if I == 0:
        raise ValueError("I is 0 nA; a step must change something. Take -0.01.")
    t = np.array([1.0, 1.9, 2.0]) * duration
    s = set_up(model, t, state, dt, 0.0)
    number, step_on = cell_number(s.network, cell), step(I, duration + s.dt, 2 * duration + 1)
    plausible_levels("I", np.array([I]), s.network, number)
    with precision(s.network.dtype):
        current = jax.vmap(lambda t: step_on(t))(jnp.asarray(s.steps))
        rest, late, last = run(s, Drive(jax.vmap(partial(constant, s, number))(current))).states.V[:, number]
    checks.settled(float(late), float(last), I)
    if abs(last - rest) > FAR:
        checks.warn(f"I is {I:g} nA and moves the potential by {last - rest:.3g} mV, far from rest; a small step is meant. If it is in pA, "
                    "multiply it by 0.001.")  # fmt: skip
    return float((last - rest) / I)


FAR = 30.0  # mV; a longer way from rest is not linear


# %% tags=["active-ipynb"]
# threshold, R = rheobase(axon, 10, state=rest), input_resistance(axon, state=rest)
# print(f"rheobase {threshold:.3f} nA, input resistance {R:.3f} MΩ")

# %% [markdown]
# ## Noise
#
# ### Currents and conductances
#
# White noise of a current is known by its integral, whose variance grows like $σ^2 t$. A step of length $dt$ gets the mean over the step,
#
# $$
# I_k = \frac{σ}{\sqrt{dt}}\, ξ_k, \qquad ξ_k \sim N(0, 1),
# $$ (eq-white)
#
# so that its power does not depend on $dt$: a passive membrane of conductance $g$ has the variance $σ^2/(2gC)$. The
# Ornstein–Uhlenbeck process has a memory of $τ$, a mean $μ$ and a standard deviation $σ$, and is known from step to step:
#
# $$
# x_{k+1} = μ + (x_k - μ)\, e^{-dt/τ} + σ \sqrt{1 - e^{-2dt/τ}}\; ξ_k.
# $$ (eq-ou)
#
# As a current or as a conductance, cut off at 0, it stands for the input of many synapses {cite:p}`Destexhe2001`. Each cell has its own
# key, made of the seed and its number, and each step its own, made of that and of the number of the step since time 0. A cell has the same noise
# whatever cells or trials run beside it, and a run that is continued goes on with the noise that it would have had.


# %%
def normals(key: Array, k: Array) -> Array:
    """A standard normal number for each step k, (step,)."""
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(key, k), ()))(k)


class White(NamedTuple):
    """White noise, {eq}`eq-white`."""

    σ: float  # nA √ms

    def samples(self, key: Array, first: int, n: int, dt: float) -> Array:
        """Values at n steps from step `first` on, (step,) nA."""
        return self.σ / np.sqrt(dt) * normals(key, first + jnp.arange(n))


class OU(NamedTuple):
    """An Ornstein–Uhlenbeck process, {eq}`eq-ou`, stationary."""

    μ: float  # nA; nS for a conductance
    σ: float  # same unit, standard deviation
    τ: float  # ms

    def samples(self, key: Array, first: int, n: int, dt: float) -> Array:
        """Values at n steps from step `first` on, (step,)."""
        ξ, decay = normals(key, jnp.arange(first + n)), float(np.exp(-dt / self.τ))
        step = lambda x, ξ: (decay * x + np.sqrt(1 - decay**2) * ξ, x)  # noqa: E731
        return self.μ + self.σ * lax.scan(step, ξ[0], jnp.append(ξ[1:], 0.0))[1][first:]


class Bombardment(NamedTuple):
    """A noisy conductance, as of many synapses."""

    g: OU  # nS
    E: float  # mV, reversal potential


EXCITATION = Bombardment(OU(12.1, 3.0, 2.728), 0.0)  # of a cortical cell, Destexhe et al. (2001)
INHIBITION = Bombardment(OU(57.3, 6.6, 10.49), -75.0)


def check_noise(current: Any, conductances: Any, s: Setup) -> None:
    """Refuse what is no noise, and warn where its unit looks mistaken."""
    if isinstance(conductances, (Bombardment, str)) or not isinstance(conductances, Sequence):
        raise TypeError(f"conductances is {conductances!r}; it must be a list of Bombardments. Write conductances=[EXCITATION], for example.")
    for x in conductances:
        checks.of_type("one of the conductances", x, Bombardment, "a Bombardment such as EXCITATION, or Bombardment(OU(12, 3, 2.7), 0)")
        checks.of_type("g of a Bombardment", x.g, OU, "an OU process, such as OU(12, 3, 2.7)")
        millivolts("E of a Bombardment", x.E)
        if checks.number("μ of a conductance", x.g.μ, "nS") < 0:
            raise ValueError(f"μ of a conductance is {x.g.μ:g} nS; it must not be negative. Noise inhibits by its reversal potential.")
        if said := x.g.μ and suspicion("μ of a conductance", x.g.μ, SYNAPSE):
            checks.warn(said)
    checks.noise([*([] if current is None else [current]), *(x.g for x in conductances)], (White, OU), s.dt)
    if current is not None or len(conductances):
        allocated(f"noise up to {s.last:g} ms, made from time 0 on,", s.steps[-1] / s.dt * len(s.network.rows))
    sizes = [] if current is None else [current.σ, abs(getattr(current, "μ", 0.0))]
    plausible("the noise", np.full(len(s.network.rows), max(sizes, default=0.0)), s.network)


def noise_of_cells(noise: White | OU, key: Array, s: Setup, number: int) -> Array:
    """Values of one kind of noise, the `number`-th of an experiment, for each cell at the steps, (step + 1, cell)."""
    cells, first = jnp.arange(len(s.network.rows)), round(s.steps[0] / s.dt)
    keys = jax.vmap(lambda cell: jax.random.fold_in(jax.random.fold_in(key, cell), number))(cells)
    return jax.vmap(lambda key: noise.samples(key, first, len(s.steps), s.dt))(keys).T


# %% [markdown]
# ### Channels
#
# A membrane has a finite number $N$ of channels of a kind, and each of them opens and closes at random. Its $p$ gates of activation and $q$ of
# inactivation do so one by one: a closed gate opens within a step with the probability $x_∞ (1 - e^{-dt/τ})$, and an open
# one closes with $(1 - x_∞)(1 - e^{-dt/τ})$. A channel conducts while all of its gates are open.
#
# So the state of a membrane is how many channels have $i$ open gates of activation and $j$ of inactivation. These
# numbers form a Markov chain, and here they are just that: binomial random numbers say at each step how many channels go where. (They are drawn
# exactly where few go, and from a rounded normal distribution with the same first three moments where many do.) At constant potential the
# chain is right for steps of any length, and the share of open channels has in the end the mean and the variance
#
# $$
# \bar o = m_∞^p h_∞^q, \qquad σ^2 = \frac{\bar o\, (1 - \bar o)}{N}.
# $$ (eq-open)
#
# Noise of the *gates*, of one $m$ and one $h$ for all channels, would be simpler, and does not give what the channels do
# {cite:p}`Goldwyn2011`. Noise of their states, with one random number for each transition {cite:p}`FoxLu1994`, is an
# approximation for many channels. The chain holds for few, too.
#
# Recorded are the $h$ of all channels together, and an $m$ with which $m^p h^q$ is the share of open channels, so that currents and energies
# follow from them as ever. The numbers themselves are in the state, as `n`, for a run that goes on. Derivatives take the numbers as they came.


# %%
class NoisyState(NamedTuple):
    """A `State` in which channels are counted; with a leading time axis, a trajectory."""

    V: Any  # (cell,) mV
    Ca: Any  # (cell,) µM
    s: Any  # (cell, graded kind)
    m: Any  # (cell, activating channel of the cell); of channels that are counted such that the share m^p h^q is open
    h: Any  # (cell, inactivating channel of the cell)
    z: Any  # (cell, kinetic synapse onto the cell)
    n: Any  # (cell, state of a channel) how many channels are in it, the kinds side by side; filled up with 0

    @property
    def plain(self) -> State:
        """Without the numbers, for a run without noise."""
        return State(*self[:-1])


class Kind(NamedTuple):
    """A kind of channel that is counted."""

    group: int
    channel: int  # its number in the group
    gates: tuple[int, int]  # how many gates of activation and of inactivation it has
    columns: tuple[int | None, int | None]  # of m and h in the array of all gates of the group

    @property
    def states(self) -> int:
        """How many states a channel has."""
        return (self.gates[0] + 1) * (self.gates[1] + 1)


def kinds_of(structure: Structure, N: Any) -> list[Kind]:
    """All kinds that are counted; N: as `Drive.N`."""
    found = []
    for i, (group, numbers) in enumerate(zip(structure.groups, N or (), strict=bool(N))):
        m, h = ([c.name for c in names(group.circuit)] for names in (activating, inactivating))
        for k, c in enumerate(group.channels):
            if numbers[k] is not None:
                columns = m.index(c.name) if c.m else None, len(m) + h.index(c.name) if c.h else None
                found.append(Kind(i, k, (c.p if c.m else 0, c.q if c.h else 0), columns))
    return found


@cache
def ways(gates: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """In how many ways of some gates i are open before a step, j after it and l both times, (i, j, l); and how many stay open, close, open
    and stay closed then."""
    i, j, both = np.indices((gates + 1,) * 3)
    some = both, i - both, j - both, gates - i - j + both
    possible = np.all([x >= 0 for x in some], 0)
    fates = tuple(np.where(possible, x, 0) for x in some)
    return (possible * comb(i, fates[0]) * comb(gates - i, fates[2])).astype(float), fates


def moves(gates: int, inf: Array, τ: Array, dt: float) -> Array:
    """Probabilities that of some gates i are open before a step, and j after it, (i, j)."""
    opens, closes = inf * covered_exactly(dt / τ), (1 - inf) * covered_exactly(dt / τ)
    number, fates = ways(gates)
    powers = jnp.arange(gates + 1, dtype=inf.dtype)
    chances = [x**powers for x in (1 - closes, closes, opens, 1 - opens)]
    return (jnp.asarray(number, inf.dtype) * math.prod(x[n] for x, n in zip(chances, fates, strict=True))).sum(-1)


FEW, TERMS = 4.0, 20  # up to that mean the probabilities of 0 to 20 are added up: those of more than 20 are below 1e-8


def binomial(u: Array, n: Array, p: Array) -> Array:
    """How many of n go, each with the chance p, from a uniform number u; all have one shape.

    Where less than `FEW` of them go or stay on average, by the inverse of the distribution function, else from a normal distribution
    with the same mean, variance and skewness, rounded.
    """
    q = jnp.minimum(p, 1 - p)

    def term(k: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        (pmf, cdf, few), k = now, k.astype(n.dtype)
        after = pmf * (n - k) / (k + 1) * q / (1 - q)
        return after, cdf + after, few + jnp.where(u > cdf, 1.0, 0.0)

    none = jnp.exp(n * jnp.log1p(-q))
    few = lax.fori_loop(0, TERMS, term, (none, none, jnp.zeros_like(n)))[2]
    z, skew = jax.scipy.special.ndtri(u), 1 - 2 * q
    variance = n * q * (1 - q) - 1 / 12 - skew**2 / 18  # without what rounding and skewness add
    many = jnp.floor(n * q + 0.5 + jnp.sqrt(jnp.maximum(variance, 0)) * z + skew * (z * z - 1) / 6)
    found = jnp.clip(jnp.where(n * q < FEW, few, many), 0, n)
    return jnp.where(p > 0.5, n - found, found)


def scattered(key: Array, n: Array, chances: Array) -> Array:
    """How many channels are in each state after a step, (other, j); n: (other, i) before it, chances: (i, j)."""
    if n.shape[1] == 1:
        return n

    def to_one(now: tuple[Array, Array], x: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (left, rest), (u, chance) = now, x
        moved = binomial(u, left, jnp.broadcast_to(jnp.clip(chance / jnp.maximum(rest, TINY), 0, 1), left.shape))
        return (left - moved, rest - chance), moved.sum(1)

    u = jax.random.uniform(key, (n.shape[1] - 1, *n.shape), n.dtype)
    (left, _), found = lax.scan(to_one, (n, jnp.ones_like(n[0])), (u, chances[:, :-1].T))
    return jnp.concatenate([found, left.sum(1)[None]]).T


TINY = 1e-30


def random_step(key: Array, n: Array, m: Sequence[Array], h: Sequence[Array], dt: float) -> Array:
    """The channels of a cell after a step of length dt (ms), (open m, open h); m, h: x∞ and τ (ms) of a gate."""
    first, second = jax.random.split(key)
    n = scattered(first, n.T, moves(n.shape[0] - 1, m[0], m[1], dt)).T
    return scattered(second, n, moves(n.shape[1] - 1, h[0], h[1], dt))


def comb(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Binomial coefficients."""
    return np.vectorize(math.comb)(n, np.minimum(k, n))


def column(x: Array, i: int | None) -> Array:
    """One gate of all cells; 1 for a gate that a channel does not have."""
    return x[:, i] if i is not None else jnp.ones_like(x[:, 0])


def with_random_steps(structure: Structure, now: Driven, V: Array, d: Drive, k: Any, dt: float) -> Driven:
    """The channels after step k, at the potentials V (mV), and their gates with them."""
    of_cell = lambda cell: jax.random.fold_in(jax.random.fold_in(d.key, cell), d.first + k)  # noqa: E731
    parts = [split(structure.groups, a) for a in (V, now.y.Ca, jax.vmap(of_cell)(jnp.arange(len(V))))]
    at_gates = [list(targets(g.circuit, V_i, Ca_i))[1] for g, V_i, Ca_i, _ in zip(structure.groups, *parts, strict=True)]
    after = []
    for kind, n in zip(kinds_of(structure, d.N), now.n, strict=True):
        key = jax.vmap(lambda key, i=kind.channel: jax.random.fold_in(key, i))(parts[2][kind.group])
        m, h = (tuple(lax.stop_gradient(column(x, i)) for x in at_gates[kind.group]) for i in kind.columns)
        after.append(jax.vmap(partial(random_step, dt=dt))(key, n, m, h))
    return with_gates(structure, Driven(now.y, tuple(after)), d.N)


def with_gates(structure: Structure, now: Driven, N: Any) -> Driven:
    """The gates that channels have together, with m such that m^p h^q of them are open."""
    x = list(now.y.x)
    for kind, n in zip(kinds_of(structure, N), now.n, strict=True):
        opened, available, all_ = n[:, -1, -1], n[:, :, -1].sum(1), n.sum((1, 2))
        shares = opened / jnp.maximum(available, 1), available / all_
        for i, gates, share in zip(kind.columns, kind.gates, shares, strict=True):
            if i is not None:
                x[kind.group] = x[kind.group].at[:, i].set(share ** (1 / gates))
    return Driven(now.y._replace(x=tuple(x)), now.n)


START = 2**32 - 1  # in the place of a cell's number, for the keys with which channels are drawn at the start


def with_channels(structure: Structure, y: Working, d: Drive, n: Any) -> Driven:
    """The start of a run: channels drawn from the gates, or those of an earlier run, where the gates are theirs."""
    of_cell = lambda cell: jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(d.key, START), cell), d.first)  # noqa: E731
    keys, drawn = split(structure.groups, jax.vmap(of_cell)(jnp.arange(len(y.V)))), []
    for kind in kinds_of(structure, d.N):
        N, (m, h) = d.N[kind.group][kind.channel], (column(y.x[kind.group], i) for i in kind.columns)
        closed = jnp.zeros((len(m), *(x + 1 for x in kind.gates)), m.dtype).at[:, 0, 0].set(jnp.asarray(N, m.dtype))
        key = jax.vmap(lambda key, i=kind.channel: jax.random.fold_in(key, i))(keys[kind.group])
        some = tuple((lax.stop_gradient(x), jnp.ones_like(x)) for x in (m, h))
        drawn.append(jax.vmap(partial(random_step, dt=jnp.inf))(key, closed, *some))
    fresh = Driven(y, tuple(drawn))
    if n is not None and n.shape[-1] == counts_as_array(structure, fresh.n, d.N).shape[-1]:
        fresh = Driven(y, gone_on(structure, fresh, counts_from_array(structure, n, d.N), d.N))
    return with_gates(structure, fresh, d.N)


def gone_on(structure: Structure, fresh: Driven, old: tuple[Array, ...], N: Any) -> tuple[Array, ...]:
    """The old channels of the cells in which they are as many as asked for and have the gates of the state, else the fresh ones."""
    theirs, found = with_gates(structure, Driven(fresh.y, old), N).y.x, []
    for kind, a, b in zip(kinds_of(structure, N), old, fresh.n, strict=True):
        same = a.sum((1, 2)) == b.sum((1, 2))
        for i in kind.columns:
            same &= jnp.abs(column(theirs[kind.group], i) - column(fresh.y.x[kind.group], i)) < EDGE
        found.append(jnp.where(same[:, None, None], a, b))
    return tuple(found)


def counts_as_array(structure: Structure, n: Sequence[Array], N: Any) -> Array:
    """The channels of all cells as in `NoisyState.n`."""
    kinds, rows = kinds_of(structure, N), []
    for i, group in enumerate(structure.groups):
        mine = [x.reshape(len(x), -1) for kind, x in zip(kinds, n, strict=True) if kind.group == i]
        rows.append(jnp.concatenate([jnp.zeros((len(group.cells), 0), n[0].dtype), *mine], 1))
    width = max(x.shape[1] for x in rows)
    return join(structure.groups, [jnp.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in rows])


def counts_from_array(structure: Structure, array: Array, N: Any) -> tuple[Array, ...]:
    """The inverse of `counts_as_array`."""
    parts, places, found = split(structure.groups, array), [0] * len(structure.groups), []
    for kind in kinds_of(structure, N):
        a = places[kind.group]
        places[kind.group] = a + kind.states
        found.append(parts[kind.group][:, a : a + kind.states].reshape(-1, *(x + 1 for x in kind.gates)))
    return tuple(found)


def seen(structure: Structure, N: Any, now: Driven) -> State | NoisyState:
    """What is recorded of a driven network."""
    y = unpack(structure, now.y)
    return NoisyState(*y, counts_as_array(structure, now.n, N)) if now.n else y


def numbers_of_channels(network: Network, channels: Mapping[str, float]) -> tuple[tuple[np.ndarray | None, ...], ...]:
    """`Drive.N`: for each group, for each of its channels, (cell,) the number in a cell, or None where none is given."""
    groups = network.structure.groups
    most = 2.0 ** np.finfo(network.dtype).nmant
    checks.numbers_of_channels(channels, {c.name for g in groups for c in g.channels if c.m or c.h}, most)
    mine = lambda g, c: np.full(len(g.cells), float(channels[c.name])) if c.name in channels and (c.m or c.h) else None  # noqa: E731
    return tuple(tuple(mine(group, c) for c in group.channels) for group in groups)


def noisy(
    model: Any, t: Any, *, current: White | OU | None = None, conductances: Sequence[Bombardment] = (),
    channels: Mapping[str, float] | None = None, seed: int = 0, I_ext: Any = None, state: Any = None, dt: float | None = None, t0: float = 0.0,
) -> NetworkResult:  # fmt: skip
    """Run a model with noise in every cell.

    current: into each cell. conductances: fluctuating inputs. channels: name -> number in a cell, for channels that open at random; states
    are then `NoisyState`s. seed: a whole number; the noise of a cell depends on it, on the cell's number and on the time only.
    Raises ValueError or TypeError.
    """
    s = set_up(model, t, state, dt, t0)
    seed = checks.count("seed", seed, 2**32 - 1, least=0)
    check_noise(current, conductances, s)
    N = None if channels is None or channels == {} else numbers_of_channels(s.network, channels)
    with precision(s.network.dtype):
        key, I, G = jax.random.key(seed), injected(s, I_ext), None
        if current is not None:
            I = I + noise_of_cells(current, key, s, 0)
        for i, x in enumerate(conductances, 1):
            g = jnp.maximum(noise_of_cells(x.g, key, s, i), 0) * NS_TO_US
            G, I = g if G is None else G + g, I + g * x.E
        s = s._replace(start=NoisyState(**s.start._asdict(), n=state.n)) if N and isinstance(state, NoisyState) else s
        return run(s, Drive(I, G, N=N, key=jax.random.fold_in(key, len(conductances) + 1)))


# %% [markdown]
# The axon of {cite:t}`HodgkinHuxley1952` has 60 sodium and 18 potassium channels of 20 pS on each µm². So 6,000 and 1,800 channels are those of
# a patch of 100 µm², or $10^{-6}$ cm², which gets a current in proportion. By itself it fires about 10 times per second, a patch of
# 10 µm² about 39 times, as do as many channels of which every gate is simulated by itself. On the whole axon, of 62,800 µm², the noise is too
# weak for that.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "4.8 µA/cm², at which the axon fires once: without noise; patches of 100 and of 2 µm², with 6000 and 1800, and with 120 and 36 channels; and the axon with the synaptic conductances of a cortical cell.", "name": "fig-noise"}}
# times, density = np.arange(0, 400, 0.1), 4.8
# patch = lambda area: Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3, area=area)
# noises = {"no noise": (axon, {}), "100 µm²": (patch(1e-6), dict(channels={"Na": 6000, "K": 1800})), "2 µm²": (patch(2e-8), dict(channels={"Na": 120, "K": 36})),
#           "synaptic conductances": (axon, dict(conductances=[EXCITATION, INHIBITION]))}
# hv.Layout([hv.Curve((times, noisy(cell, times, state=rest, I_ext=density * cell.area * 1000, seed=1, **n).V["cell", 0]), "time (ms)", "V (mV)",
#                     label=name).opts(height=130) for name, (cell, n) in noises.items()]).cols(1)

# %% [markdown]
# ## Snapshots
#
# A state on disk, in a file of plain arrays. With it goes what the model is: the names of its parts as text, and its numbers,
# those that its gates give at some potentials included. A state is never restored into another model.

# %%
SNAPSHOT = 1  # version of the files


def described(model: Any) -> tuple[Any, np.ndarray]:
    """What tells a model from others: plain data, and numbers."""
    if isinstance(model, (Prinz2004, Cell, Network)):
        network = network_of(model)
        return ["cells", text_of(network)], np.concatenate([np.ravel(x) for x in numbers_of(network)])
    values = model.params if isinstance(model.params, Mapping) else model.params._asdict()
    names = list(model.state._fields if hasattr(model, "state") else model.rest._fields)
    return [type(model).__name__, model.size, names, list(values)], np.concatenate([np.ravel(x) for x in values.values()])


def text_of(network: Network) -> Any:
    """Names and connections."""
    cells = {label: [[c.name, c.p, c.q, c.ion, bool(c.m), bool(c.h), type(c.E).__name__] for c in cell.channels]
             for label, cell in network.made_of.items()}  # fmt: skip
    joined = [[type(s).__name__, s[0], s[1], getattr(getattr(s, "kind", None), "name", "")] for s in network.connections]
    return [cells, joined, network.sizes]


SOME_V, SOME_CA = (np.ravel(x) for x in np.meshgrid(np.arange(-100.0, 41.0, 20.0), (0.05, 1.0, 20.0)))  # mV, µM


def numbers_of(network: Network) -> list[np.ndarray]:
    """All numbers of a network: conductances, constants, reversal potentials, and values of the gates."""
    found, params = [], network.params
    with precision("float64"):
        V, Ca = jnp.asarray(SOME_V), jnp.asarray(SOME_CA)
        for group in network.structure.groups:
            gates = [g for c in group.channels for g in (c.m, c.h) if g]
            gates += [k.gate(group.circuit.constants) for k in network.structure.wiring.transmitters]
            found += [np.asarray(at(f, V, Ca)) for g in gates for f in g[:2]] + [np.array([g.K for g in gates])]
            found += [np.array(group.circuit.constants), *(np.array([c.E]) for c in group.channels if isinstance(c.E, (int, float)))]
        kinds = [k.rate(0.3 + 0 * V, V, V[::-1]) for k in network.structure.kinds]
    return [np.asarray(x, float) for x in (*params.g, params.gs, params.gz, params.ge, *kinds, *found)]


def save_state(path: str | os.PathLike[str], source: Result) -> None:
    """Write the final state of a result, its time, what its model is and how it ran; an older file is replaced when this one is complete.

    Raises TypeError if the source is no result, and OSError, with the reason, if the file cannot be written.
    """
    checks.of_type("what is to be saved", source, Result, "a result of a run")
    target_of(path)
    text, numbers = described(source.model)
    about = json.dumps([SNAPSHOT, text, float(source.t[-1])], ensure_ascii=False)
    ran = json.dumps(source.run and source.run._asdict(), ensure_ascii=False)
    fields = {f"state.{name}": x for name, x in source.final_state._asdict().items()}
    with written_whole(path) as stream:
        np.savez(stream, allow_pickle=False, about=np.array(about), run=np.array(ran), numbers=numbers, **fields)


class Snapshot(NamedTuple):
    """What `load_state` reads; the run goes on with `model(t, state=snapshot.state, t0=snapshot.t0)`."""

    state: Any  # of the model
    t0: float  # ms, its time


def load_state(path: str | os.PathLike[str], model: Any) -> Snapshot:
    """The state in a file of `save_state`, for the same model.

    Raises ValueError if it belongs to another one, is damaged, no such file, or no state as a user could give it; OSError if there is none.
    """
    if not hasattr(model, "params"):
        model = network_of(model)
    arrays = checks.snapshot_in(path_of("the snapshot", path))
    text, numbers = described(model)
    (version, found, t0), fields = arrays.about, arrays.fields
    checks.same_model(path, (version, found), (SNAPSHOT, json.loads(json.dumps(text))), arrays.numbers, numbers)
    like = state_like(model, fields)
    checks.same_fields(path, fields, like._fields)
    sound = checks.neuron_state if like is getattr(model, "state", None) else checks.state
    return Snapshot(sound(type(like)(**fields), like), checks.number(f"the time in {path}", t0, "ms"))


def state_like(model: Any, fields: Mapping[str, Any]) -> Any:
    """A state of a model with these fields."""
    if isinstance(model, Prinz2004) and "z" not in fields:
        return model.cold
    if isinstance(model, (Prinz2004, Cell, Network)):
        cold = network_of(model).cold
        return NoisyState(**cold._asdict(), n=fields["n"]) if "n" in fields else cold
    return model.state if hasattr(model, "state") else model.rest


# %% tags=["active-ipynb"]
# import tempfile
#
# with tempfile.TemporaryDirectory() as folder:
#     save_state(f"{folder}/pause.npz", circuit(np.arange(0, 1001.0)))
#     state, t0 = load_state(f"{folder}/pause.npz", circuit)
# assert (circuit(np.arange(1000, 2000.0), state=state, t0=t0).V == circuit(np.arange(2000.0)).V.loc[1000:]).all(axis=None)
