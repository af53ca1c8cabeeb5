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
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from . import checks
from .components import (
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
    gates_and_calcium,
    integrate,
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
from .prinz2004 import (
    DEFAULT_DT,
    DEFAULT_SOLVER,
    MS_PER_S,
    NS_TO_US,
    PACEMAKERS,
    Prinz2004,
    activating,
    covered_exactly,
    inactivating,
    precision,
    sampled_at,
)
from .results import Result, run_of
from .rhythm import spikes
from .schedule import Grid, Slots, grid_of, recorded

# %% [markdown]
# ## Any model as a network
#
# The experiments act within a step of the simulation, so they are written once, for the networks of the
# chapter before. A circuit of the first chapter is such a network, to the last bit (with gap junctions, to
# rounding). Its cells start thermalized here, too; other networks start cold, unless a state is given.


# %%
def network_of(model: Any) -> Network:
    """A circuit of the first chapter, a cell or a network as a network with the same numbers. Raises TypeError for all else."""
    checks.model_of_cells(model, (Prinz2004, Cell, Network))
    if isinstance(model, Cell):
        return Network({"cell": model})
    return of_circuit(model) if isinstance(model, Prinz2004) else model


def of_circuit(model: Prinz2004) -> Network:
    """A circuit of the first chapter, with its present conductances."""
    c, params, cells = model.circuit, model.params, dict[str, Cell]()
    for label, g in zip(model.labels, np.asarray(params.g), strict=True):
        placed = [component(channel, "")(float(x)) for channel, x in zip(c.channels, g, strict=True)]
        cells[label] = Cell(placed, area=c.constants.A, calcium=Prinz2003.calcium)
        cells[label].constants = c.constants
    kinds = [Graded(x.name, x.E, x.gate(c.constants)) for x in c.transmitters]
    wired = zip(c.synapses, np.asarray(params.gs), strict=True)
    synapses: list[Any] = [Synapse(model.labels[s.pre], model.labels[s.post], kinds[s.transmitter], float(g)) for s, g in wired]
    paced = [p.label for p in c.populations if p.type in PACEMAKERS]
    sizes = {p.label: p.size for p in c.populations}
    pairs = [(a, b) for i, a in enumerate(paced) for b in paced[i:] if a != b or sizes[a] > 1]
    with warnings.catch_warnings():  # the circuit has checked its units
        warnings.simplefilter("ignore", UserWarning)
        return Network(cells, synapses + [GapJunction(a, b, float(params.ge)) for a, b in pairs], sizes=sizes, dtype=model.dtype)


def converted(model: Prinz2004, network: Network, y: Any) -> State:
    """States of a circuit, with or without a leading time axis, as states of its network."""
    names = [x.name for x in model.circuit.transmitters]
    kept = [names.index(x.name) for x in network.structure.wiring.transmitters]
    return State(y.V, y.Ca, np.asarray(y.s)[..., kept], y.m, y.h, np.zeros((*np.shape(y.V), 0)))


def start_of(model: Any, network: Network, state: Any = None) -> State:
    """The start of a run: `state`, in the form of the model or of its network; thermalized or cold without one."""
    if isinstance(model, Prinz2004) and not isinstance(state, State):
        return converted(model, network, model.get_thermalization() if state is None else checks.state(state, model.cold))
    return network.cold if state is None else checks.state(state, network.cold)


def cell_number(network: Network, cell: Any) -> int:
    """Number of a cell: a label (its first cell), (label, number), or None in a network of one cell."""
    cells = list(network.cells)
    checks.one_cell(cell, cells, network.labels)
    return cells.index(cells[0] if cell is None else (cell, 0) if isinstance(cell, str) else tuple(cell))


# %% [markdown]
# An experiment may change a network: add a channel, warm it. The new one is made from the present numbers of the old one, which may have been
# changed since it was built.


# %%
def present(network: Network) -> tuple[dict[str, Cell], list[Any]]:
    """Cells and connections of a network with its present numbers."""
    cells, params, labels, s = dict[str, Cell](), network.params, network.labels, network.structure
    for number, label in ((i, x) for i, (x, n) in enumerate(network.cells) if n == 0):
        group, place = s.groups[network.places[number][0]], network.places[number]
        old, g = network.made_of[label], np.asarray(params.g[place[0]])[group.circuit.rows[place[1]]]
        placed = [c._replace(source="")(float(x)) for c, x in zip(group.channels, g, strict=True)]
        cells[label] = Cell(placed, area=old.area, calcium=old.calcium, temperature=old.temperature)
        cells[label].constants = group.circuit.constants
    slow, own, gaps = (np.asarray(x) for x in (params.gs, params.gz, params.ge))
    joined: list[Any] = [Synapse(labels[w.pre], labels[w.post], s.wiring.transmitters[w.transmitter], float(g))
                         for w, g in zip(s.wiring.synapses, slow, strict=True)]  # fmt: skip
    joined += [Synapse(labels[pre], labels[post], s.kinds[kind], float(g)) for (pre, post, kind), g in zip(s.kinetic, own, strict=True)]
    return cells, joined + [GapJunction(labels[a], labels[b], float(g)) for (a, b), g in zip(s.junctions, gaps, strict=True)]


def rebuilt(network: Network, cells: Mapping[str, Cell], connections: Sequence[Any]) -> Network:
    """A network of other cells and connections, with the sizes and the precision of this one."""
    with warnings.catch_warnings():  # its units have been checked once
        warnings.simplefilter("ignore", UserWarning)
        return Network(cells, connections, sizes=network.sizes, dtype=network.dtype)


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
    """A protocol for one cell at the times t: (time,). last: ms, the end of the run if it is not t[-1]."""
    if callable(protocol):
        checks.protocol(what, protocol, t[0], t[-1] if last is None else last)
        return jax.vmap(protocol)(jnp.asarray(t))
    if isinstance(protocol, (pd.Series, tuple)):
        times, values = (protocol.index, protocol) if isinstance(protocol, pd.Series) else protocol
        return jnp.interp(jnp.asarray(t), *map(jnp.asarray, checks.recording_within(what, times, values, t[0], t[-1])))
    return jnp.full(len(t), checks.number(what, protocol, "its unit"))


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A step, a ramp and a zap.", "name": "fig-protocols"}}
# t, some = np.arange(0, 1000, 0.5), {"step": step(1, 200, 700), "ramp": Ramp((0, 1), (200, 700)), "zap": Zap(1, (0, 20), (200, 900))}
# with precision():
#     hv.Layout([hv.Curve((t, sampled(name, p, t)), "time (ms)", "nA", label=name).opts(width=225) for name, p in some.items()])

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
    N: Any = None  # for each group (cell, gate), number of channels; infinite without noise
    key: Any = None  # of the noise of channels
    first: Any = 0  # steps from time 0 to the start of the run


def driven_step(structure: Structure, p: Prepared, y: Working, k: Any, d: Drive, clamped: tuple[int, ...], dt: float) -> Working:
    """The state after step k of length dt (ms)."""
    G = lambda k: 0.0 if d.G is None else d.G[k]  # noqa: E731
    y = y._replace(V=imposed(d, potential(structure, p, y, d.I[k], dt / 2, G(k)), 2 * k + 1, clamped))
    y = gates_and_calcium(structure, p, y, dt)
    if d.N is not None:
        y = y._replace(x=with_channel_noise(structure, y, d, k, dt))
    return y._replace(V=imposed(d, potential(structure, p, y, d.I[k + 1], dt / 2, G(k + 1)), 2 * k + 2, clamped))


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
    params: Params, state: State, drive: Drive, slots: Slots | None, *, grid: Grid, clamped: tuple[int, ...], dt: float
) -> State:
    """States on the grid, with a leading time axis."""
    structure, dtype = params.structure, jnp.asarray(state.V).dtype
    p = with_clamped_junctions(structure, prepare_network(params, dtype, dt), clamped, dt)
    y = pack(structure, jax.tree.map(lambda x: jnp.asarray(x, dtype), state))
    y = y._replace(V=imposed(drive, y.V, 0, clamped))
    one = lambda k, y: driven_step(structure, p, y, k, drive, clamped, dt)  # noqa: E731
    advance = lambda y, k, n: lax.fori_loop(0, n, lambda i, y: one(k + i, y), y)  # noqa: E731
    return recorded(advance, partial(unpack, structure), y, grid, slots)[1]


compiled_driven = jax.jit(integrate_driven, static_argnames=("grid", "clamped", "dt"))


def simulate_driven(
    params: Params, state: State, t: Any, drive: Drive, *, clamped: Sequence[int] = (), dt: float = DEFAULT_DT, t0: float = 0.0
) -> State:
    """States (time, …) at the times t (ms) of a network under a `Drive`; pure, for jit, vmap and grad.

    clamped: numbers of the cells whose potential drive.V imposes. Raises TypeError or ValueError as `simulate_network`, and
    ValueError for a drive that is too short.
    """
    t, dt = checks.times(t, t0), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    checks.steps(t, t0, dt)
    grid, slots = grid_of(t, t0, dt)
    checks.drive(drive, grid.first + grid.n * grid.blocks, len(params.structure.rows), tuple(clamped))
    return integrate_driven(params, state, drive, slots, grid=grid, clamped=tuple(clamped), dt=dt)


# %% [markdown]
# The experiments below bring their arguments into a `Drive`, and run it compiled. One program serves all
# protocols of the same length.


# %%
class Setup(NamedTuple):
    """A network, ready for an experiment."""

    network: Network
    start: State
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
    steps = t0 + dt * np.arange(grid.first + grid.n * grid.blocks + 1)
    return Setup(network, start_of(model, network, state), t, dt, steps)


def injected(s: Setup, I_ext: Any) -> Array:
    """A current for each cell at the steps, (step + 1, cell) nA. I_ext: a mapping label -> protocol, or as in a call of a model."""
    network, shape = s.network, (len(s.steps), len(s.network.rows))
    if isinstance(I_ext, Mapping):
        checks.known_labels("I_ext", I_ext, network.labels)
        of = {label: sampled(f"I_ext[{label!r}]", I_ext.get(label, 0.0), s.steps, s.last) for label in network.labels}
        return jnp.stack([of[network.labels[i]] for i in network.rows], 1)
    if callable(I_ext):
        checks.protocol("I_ext", I_ext, s.steps[0], s.last)
    I = checks.current(I_ext, network.labels, network.rows, s.t)
    if callable(I):
        values = jax.vmap(I)(jnp.asarray(s.steps))
        return jnp.broadcast_to(values[:, None] if values.ndim == 1 else values, shape)
    return sampled_at(s.steps, *I) if isinstance(I, tuple) else jnp.broadcast_to(jnp.asarray(I), shape)


def run(s: Setup, drive: Drive, clamped: tuple[int, ...] = ()) -> NetworkResult:
    """Run a drive, compiled, in the precision of the network, in which the drive was made."""
    dtype = s.network.dtype
    grid, slots = grid_of(s.t, s.steps[0], s.dt)
    cast = lambda x: x if jnp.issubdtype(jnp.asarray(x).dtype, jnp.integer) or jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jnp.asarray(x, dtype)  # noqa: E731
    start = State(*(np.asarray(x, dtype) for x in s.start))
    drive = jax.tree.map(cast, drive._replace(first=jnp.asarray(round(s.steps[0] / s.dt))))
    states = State(*map(np.asarray, compiled_driven(s.network.params, start, drive, slots, grid=grid, clamped=clamped, dt=s.dt)))
    checks.run_is_finite(states, s.t, s.network.cells)
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


@partial(jax.jit, static_argnames=("grid", "dt"))
def batch_of_currents(params: Params, start: State, I: Array, *, grid: Grid, dt: float) -> State:
    """States (current, time, …) of runs with constant currents I (current, cell) nA."""
    return jax.vmap(lambda I: integrate(params, start, I, None, grid=grid, solver=DEFAULT_SOLVER, dt=dt, t0=0.0))(I)


@partial(jax.jit, static_argnames=("grid", "dt"))
def staircase_of_currents(params: Params, start: State, I: Array, *, grid: Grid, dt: float) -> Array:
    """Potentials (current, time, cell) of one run through constant currents I (current, cell) nA."""

    def stair(y: State, I: Array) -> tuple[State, Array]:
        ys = integrate(params, y, I, None, grid=grid, solver=DEFAULT_SOLVER, dt=dt, t0=0.0)
        return jax.tree.map(lambda x: x[-1], ys), ys.V

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
    checks.recording(duration, transient)
    levels, t = checks.levels("currents", currents, "nA"), np.arange(0, duration, SAMPLING)
    s = set_up(model, t, state, dt, 0.0)
    number, grid = cell_number(s.network, cell), grid_of(t, 0.0, s.dt)[0]
    checks.on_steps(t, 0.0, s.dt, grid_of(t, 0.0, s.dt)[1] is None)
    with precision(s.network.dtype):
        start = State(*(np.asarray(x, s.network.dtype) for x in s.start))
        path = np.concatenate([levels, levels[::-1]]) if staircase else levels
        I = jax.vmap(partial(constant, s, number))(jnp.asarray(path))
        params = s.network.params
        run = staircase_of_currents if staircase else lambda *a, **k: batch_of_currents(*a, **k).V
        V = np.asarray(run(params, start, I, grid=grid, dt=s.dt))[:, :, number]
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

    Raises ValueError if the cell fires at `low`, or does not at `high`.
    """
    low, high = checks.interval("current", low, high, "nA")
    tolerance = checks.positive("tolerance", tolerance, "nA")
    t = np.arange(0, checks.positive("duration", duration, "ms"), SAMPLING)
    s = set_up(model, t, state, dt, 0.0)
    number, grid = cell_number(s.network, cell), grid_of(t, 0.0, s.dt)[0]
    with precision(s.network.dtype):
        start = State(*(np.asarray(x, s.network.dtype) for x in s.start))
        while True:
            I = np.linspace(low, high, GRID)
            inputs = jax.vmap(partial(constant, s, number))(jnp.asarray(I))
            V = np.asarray(batch_of_currents(s.network.params, start, inputs, grid=grid, dt=s.dt).V)[:, :, number]
            fires = np.array([len(spikes(t, x)) > 0 for x in V])
            checks.threshold_between(fires, low, high)
            first = int(np.argmax(fires))
            low, high = float(I[first - 1]), float(I[first])
            if high - low <= tolerance:
                return high


def input_resistance(
    model: Any, *, cell: Any = None, I: float = -0.01, duration: float = 2000.0, state: Any = None, dt: float | None = None
) -> float:
    """Input resistance (MΩ) of a cell at rest, from a step of I (nA) that lasts `duration` (ms), after as long a rest.

    Raises ValueError if the potential does not settle, as in a cell that fires.
    """
    I, duration = checks.number("I", I, "nA"), checks.positive("duration", duration, "ms")
    t = np.array([1.0, 1.9, 2.0]) * duration
    s = set_up(model, t, state, dt, 0.0)
    number, step_on = cell_number(s.network, cell), step(I, duration + s.dt, 2 * duration + 1)
    with precision(s.network.dtype):
        current = jax.vmap(lambda t: step_on(t))(jnp.asarray(s.steps))
        rest, late, last = run(s, Drive(jax.vmap(partial(constant, s, number))(current))).states.V[:, number]
    checks.settled(float(late), float(last), I)
    return float((last - rest) / I)


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


def noise_of_cells(noise: White | OU, key: Array, s: Setup, number: int) -> Array:
    """Values of one kind of noise, the `number`-th of an experiment, for each cell at the steps, (step + 1, cell)."""
    cells, first = jnp.arange(len(s.network.rows)), round(s.steps[0] / s.dt)
    keys = jax.vmap(lambda cell: jax.random.fold_in(jax.random.fold_in(key, cell), number))(cells)
    return jax.vmap(lambda key: noise.samples(key, first, len(s.steps), s.dt))(keys).T


# %% [markdown]
# ### Channels
#
# A membrane has a finite number $N$ of channels of a kind, which open and close at random. With {cite:t}`FoxLu1994` each gate gets
#
# $$
# dx = \frac{x_∞ - x}{τ}\, dt + \sqrt{\frac{α(1 - x) + βx}{N}}\, dW, \qquad α = \frac{x_∞}{τ},\ β = \frac{1 - x_∞}{τ},
# $$ (eq-langevin)
#
# and is kept within $[0, 1]$. Over a step, in which the gate relaxes by $e^{-dt/τ}$, the variance that the noise adds is
# $(1 - e^{-2dt/τ})\,τ/2$ times its power, which holds for steps longer than $τ$, too: at constant potential the variance of $x$ is
# $x_∞(1 - x_∞)/N$. (Noise of the gates, rather than of whole channels, is an approximation that is good for many channels
# {cite:p}`Goldwyn2011`.)


# %%
def with_channel_noise(structure: Structure, y: Working, d: Drive, k: Any, dt: float) -> tuple[Array, ...]:
    """Gates of each group with the noise of one step, {eq}`eq-langevin`."""
    keys = jax.vmap(lambda cell: jax.random.fold_in(jax.random.fold_in(d.key, cell), d.first + k))(jnp.arange(len(y.V)))
    parts, after = [split(structure.groups, a) for a in (y.V, y.Ca, keys)], []
    for group, x, N, V, Ca, key in zip(structure.groups, y.x, d.N, *parts, strict=True):
        _, (inf, τ) = targets(group.circuit, V, Ca)
        variance = (inf * (1 - x) + (1 - inf) * x) / (2 * N) * covered_exactly(2 * dt / τ)
        ξ = jax.vmap(lambda key, x: jax.random.normal(key, x.shape, x.dtype))(key, x)
        after.append(jnp.clip(x + jnp.sqrt(variance) * ξ, 0, 1))
    return tuple(after)


def numbers_of_channels(network: Network, channels: Mapping[str, float]) -> tuple[np.ndarray, ...]:
    """For each group (cell, gate), the number of channels of that gate in a cell; infinite where none is given."""
    found, groups = [], network.structure.groups
    checks.numbers_of_channels(channels, {c.name for g in groups for c in g.channels if c.m or c.h})
    for group in groups:
        names = [c.name for c in [*activating(group.circuit), *inactivating(group.circuit)]]
        found.append(np.tile([float(channels.get(name, np.inf)) for name in names], (len(group.cells), 1)))
    return tuple(found)


def noisy(
    model: Any, t: Any, *, current: White | OU | None = None, conductances: Sequence[Bombardment] = (),
    channels: Mapping[str, float] | None = None, seed: int = 0, I_ext: Any = None, state: Any = None, dt: float | None = None, t0: float = 0.0,
) -> NetworkResult:  # fmt: skip
    """Run a model with noise in every cell.

    current: into each cell. conductances: fluctuating inputs. channels: name -> number in a cell, for noise of their gates. seed: a
    whole number; the noise of a cell depends on it, on the cell's number and on the time only. Raises ValueError or TypeError.
    """
    s = set_up(model, t, state, dt, t0)
    seed = checks.count("seed", seed, least=0)
    checks.noise([*([current] if current else []), *(x.g for x in conductances)], (White, OU))
    with precision(s.network.dtype):
        key, I, G = jax.random.key(seed), injected(s, I_ext), None
        if current is not None:
            I = I + noise_of_cells(current, key, s, 0)
        for i, x in enumerate(conductances, 1):
            g = jnp.maximum(noise_of_cells(x.g, key, s, i), 0) * NS_TO_US
            G, I = g if G is None else G + g, I + g * x.E
        N = None if not channels else numbers_of_channels(s.network, channels)
        return run(s, Drive(I, G, N=N, key=jax.random.fold_in(key, len(conductances) + 1)))


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The axon at 3 nA, at which it fires once: without noise; with 6000 sodium and 1800 potassium channels, or 50 times fewer; and with the synaptic conductances of a cortical cell.", "name": "fig-noise"}}
# times = np.arange(0, 400, 0.1)
# noises = {"no noise": {}, "6000 and 1800 channels": dict(channels={"Na": 6000, "K": 1800}), "120 and 36 channels": dict(channels={"Na": 120, "K": 36}),
#           "synaptic conductances": dict(conductances=[EXCITATION, INHIBITION])}
# hv.Layout([hv.Curve((times, noisy(axon, times, state=rest, I_ext=3.0, seed=1, **n).V["cell", 0]), "time (ms)", "V (mV)", label=name).opts(height=130)
#            for name, n in noises.items()]).cols(1)

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
        return network_of(model).cold
    return model.state if hasattr(model, "state") else model.rest


# %% tags=["active-ipynb"]
# import tempfile
#
# with tempfile.TemporaryDirectory() as folder:
#     save_state(f"{folder}/pause.npz", circuit(np.arange(0, 1001.0)))
#     state, t0 = load_state(f"{folder}/pause.npz", circuit)
# assert (circuit(np.arange(1000, 2000.0), state=state, t0=t0).V == circuit(np.arange(2000.0)).V.loc[1000:]).all(axis=None)
