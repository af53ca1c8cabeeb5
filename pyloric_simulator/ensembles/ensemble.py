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
# # Ensembles: thousands of any model at once
#
# How does a rhythm depend on two conductances, on the temperature, on the strength of an input? Such questions want a table: a row for
# each variant of a model, a column for each number that varies. `ensemble` runs all rows side by side, in the [lanes](lanes.py) of a chapter before,
# on all cores, on GPUs or on a cluster, and gives the table back with results beside each row. The model may be any of this book:
# a circuit of the first chapter with all its gap junctions and populations, a single cell, a network of one's own, and cells with equations of
# their own or with a threshold.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "Period of the pacemaker AB/PD 2 where two of its conductances change; grey where it does not burst.", "name": "fig-ensemble"}}
# import numpy as np
# import pandas as pd
#
# from .ensemble import ensemble
# from ..prinz2004 import Prinz2004
#
# cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
# grid = pd.MultiIndex.from_product([np.linspace(2, 10, 9), np.linspace(0, 10, 9)], names=["AB/PD 2 CaS", "AB/PD 2 KCa"]).to_frame(index=False)
# table = ensemble(cell, grid, duration=6000, transient=2000, keep="rhythm", progress=False)
# look = dict(width=420, height=320, colorbar=True, toolbar=None, clipping_colors={"NaN": "lightgrey"})
# hv.HeatMap(table, ["AB/PD 2 CaS", "AB/PD 2 KCa"], "AB/PD 2 period (ms)").opts(**look)

# %%
from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from ..engine import checks
from ..engine.inputs import Samples, input_at
from ..engine.inputs import current as read_current
from ..engine.portable import Portable, carried
from ..engine.scale import CURRENT as CURRENT_SIZES
from ..engine.schedule import Grid, Slots, grid_of, recorded
from ..engine.thermalization import THERMALIZATION
from ..fitting.parameters import check_names, checked_value, model_with, places, put
from ..lab.noise import OU, White, check_process
from ..lab.snapshots import described
from ..lab.temperature import TYPICAL, Q10s, warm
from ..models.lif import LIF
from ..models.networks import any_model, celsius, has_potential, start_of
from ..prinz2004 import (
    SCHEMES,
    Circuit,
    Flows,
    Model,
    Params,
    Prepared,
    Working,
    flows,
    precision,
)
from ..rhythm import FEATURES, ROLES, measure, roles, summary
from .batches import Compute, Work
from .batches import run as run_in_batches
from .lanes import (
    BLOCK,
    LANES,
    OFFSET,
    PART,
    UNROLL,
    Run,
    advance_flows,
    begin,
    compiled,
    from_lanes,
    padded,
    prepared_in_lanes,
    room_for,
    steps_of_block,
    ticks_for,
    to_lanes,
)
from .plain_lanes import (
    Plain,
    numbers_in_lanes,
    plain_flows,
    plain_of,
    seen_in_lanes,
    spread,
    start_column,
    with_starts,
)
from .plain_lanes import start_in_lanes as plain_start

__all__ = ["ensemble"]

# %% [markdown]
# ## What varies
#
# Any number that has a name varies by that name: a conductance, a synapse, a gap junction, a number of the kinetics. A few columns
# mean something else:
#
# temperature
# : in °C, with the $Q_{10}$ of the chapter on temperature.
#
# input
# : a factor of the external current. `I LABEL` is a constant current in nA, into all cells of a population.
#
# seed
# : of the noise. Without this column, row $i$ has the seed $i$.
#
# V0 LABEL
# : the potential in mV from which the cells of a population start. `w0 Neuron` is the start of the variable w of a `Neuron`.
#
# All of them are arrays whose last axis are the lanes, and the equations of the first chapter do not mind it: a number that varies takes
# the place of one that does not.

# %%
TEMPERATURE, INPUT, SEED = "temperature", "input", "seed"
CURRENT, START = "I ", "V0 "  # of a population, before its label


def params_in_lanes(params: Params, values: Mapping[str, Array], n: int, dtype: Any) -> Params:
    """The parameters of n models, each field with the lanes behind its last axis; values: (lane,) of each number that varies."""
    known, c = places(params), params.circuit
    g, gs, ge, gz = (spread(x, n, dtype) for x in (params.g, params.gs, params.ge, params.gz))
    many = Params(g, gs, ge, c, gz)
    for name, x in values.items():
        for path in known[name].paths:
            many = put(many, path, x)
    if many.ge.ndim == 1:  # one number for all gap junctions
        many = Params(many.g, many.gs, jnp.broadcast_to(many.ge, (len(c.junctions), n)), many.circuit, many.gz)
    return many


def start_in_lanes(circuit: Circuit, start: Any, n: int, dtype: Any) -> Working:
    """The starts of n models from one state; where the potential of the cold start varies, from that."""
    y = to_lanes(circuit, type(start)(*(jnp.repeat(jnp.asarray(x)[None], n, 0) for x in start)), dtype)
    V = y.V
    for i, row in enumerate(circuit.rows):
        cold = circuit.membranes[circuit.populations[row].membrane].constants.V_cold
        V = V.at[i].set(cold) if isinstance(cold, Array) else V
    return y._replace(V=V)


def with_potentials(circuit: Any, y: Any, values: Mapping[str, Array]) -> Any:
    """The starts with the potentials that columns give to whole populations, and without channels with other variables, too."""
    if not isinstance(circuit, Circuit):
        return with_starts(y, circuit.label, values)
    V = y.V
    for i, row in enumerate(circuit.rows):
        name = START + circuit.populations[row].label
        V = V.at[i].set(values[name]) if name in values else V
    return y._replace(V=V)


# %% [markdown]
# ## Currents from outside
#
# The external current of a lane is a multiple of the common one, with what its columns add, and with noise that depends on the seed of
# the lane, the number of the cell and that of the step, as that of a single run does. Coloured noise has a memory, which travels with the
# state.


# %%
class Outside(NamedTuple):
    """External currents of all lanes, a pytree."""

    base: Any  # (cell,) or (step, cell) nA, of all lanes
    factor: Any  # (lane,), by which it is multiplied, or None
    more: Any  # (cell, lane) nA, constant, or None
    keys: Any  # (cell, lane) of the noise, or None


def noise_keys(seeds: Array, n_cells: int) -> Array:
    """The key of each cell of each lane, (cell, lane): that which a single run with the seed of the lane has."""
    of = lambda seed, cell: jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), cell), 0)  # noqa: E731
    return jax.vmap(jax.vmap(of, (0, None)), (None, 0))(seeds, jnp.arange(n_cells))


def normal(keys: Array, k: Any) -> Array:
    """A standard normal number of each key for step k."""
    flat = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, k), ()))(keys.ravel())
    return flat.reshape(keys.shape)


def current_of_lanes(spec: Spec, out: Outside, dtype: Any) -> Callable[[Any], Any]:
    """The current at step k without coloured noise, (cell, lane) nA, or None if there is none."""
    given = input_at(out.base if spec.function is None else spec.function, spec.dt, 0.0, dtype)
    silent = spec.function is None and out.base is None and out.more is None and not isinstance(spec.noise, White)

    def I(k: Any) -> Any:
        if silent:
            return None
        base = given(k)
        x = base[:, None] if base.ndim else base
        x = x if out.factor is None else x * out.factor
        x = x if out.more is None else x + out.more
        return (
            x + spec.noise.σ / np.sqrt(spec.dt) * normal(out.keys, k).astype(dtype)
            if isinstance(spec.noise, White)
            else x
        )

    return I


class Shaken(NamedTuple):
    """A state with coloured noise, in standard deviations."""

    y: Any
    x: Array  # (cell, lane)

    @property
    def fired(self) -> Array | None:
        """Whether a threshold was reached, as of `plain_lanes.Cells`."""
        found: Array | None = getattr(self.y, "fired", None)
        return found

    @property
    def V(self) -> Array:
        """Potentials (cell, lane) mV."""
        return self.y.V


def shaken(spec: Spec, out: Outside, at: Callable[[Any, Any], Flows]) -> Flows:
    """Flows under an Ornstein–Uhlenbeck current; at: the flows under a given one at the start and at the end of a step, I(k) nA."""
    ou, quiet = spec.noise, current_of_lanes(spec, out, spec.dtype)

    def current(x: Array, k: Any, dtype: Any) -> Array:
        noise = (ou.μ + ou.σ * x).astype(dtype)
        return noise if quiet(k) is None else quiet(k) + noise

    def under(w: Shaken) -> Flows:
        after = lambda k: ou.later(w.x, normal(out.keys, k + 1), spec.dt)  # noqa: E731
        dtype = w.y.V.dtype
        return at(lambda k: current(w.x, k, dtype), lambda k: current(after(k), k + 1, dtype))

    def later(w: Shaken, y: Working, k: Any) -> Shaken:
        return Shaken(y, ou.later(w.x, normal(out.keys, k + 1), spec.dt))

    return Flows(
        charge=lambda w, k, h: w._replace(y=under(w).charge(w.y, k, h)),
        relax=lambda w, k: later(w, under(w).relax(w.y, k), k),
        close=lambda w, k: w._replace(y=under(w).close(w.y, k)),
        euler=lambda w, k: later(w, under(w).euler(w.y, k), k),
    )


# %% [markdown]
# ## A batch
#
# What is fixed when a batch is compiled is its `Spec`. A batch is computed in parts of half a second of simulated time, between which the
# progress bar moves, and in which it can be stopped. A run without synapses comes first where cells have to be thermalized: where
# what varies are numbers of the cells, and the model starts thermalized.


# %%
class Spec(NamedTuple):
    """What is fixed when a batch is compiled."""

    circuit: Any  # Circuit, or `PlainCells`
    names: tuple[str, ...]  # of the numbers that vary
    warmed: bool  # whether the temperature varies
    thermalize: bool  # whether each lane thermalizes its cells
    solver: str
    dt: float  # ms
    dtype: str
    duration: float  # ms
    transient: float  # ms
    noise: Any  # White, OU or None
    q10: Q10s
    function: Any  # the external current as a function of t, or None
    grid: Grid | None  # when states are recorded; None where spikes are
    observe: Any  # the user's function of times and states, or None

    @property
    def n(self) -> int:
        """Steps in a block; one where cells may fire at each."""
        return 1 if getattr(self.circuit, "resets", False) else steps_of_block(self.dt)

    @property
    def before(self) -> int:
        """Blocks before spikes count."""
        return round(self.transient / self.dt) // self.n

    @property
    def blocks(self) -> int:
        """All blocks."""
        return -(-round(self.duration / self.dt) // self.n)

    @property
    def room(self) -> int:
        """Spikes of a cell that are kept."""
        return room_for(self.duration - self.transient)

    @property
    def ticks(self) -> int:
        """Ticks in a step."""
        return ticks_for(self.blocks * self.n)


class Batch(NamedTuple):
    """The numbers of a batch, a pytree."""

    params: Params  # of the model
    start: Any  # a state of the model
    values: dict[str, Array]  # (lane,) of each column
    out: Outside


def model_in_lanes(spec: Spec, b: Batch) -> tuple[Circuit, Prepared]:
    """The circuit with the numbers that vary, and its conductances in µS."""
    n = len(next(iter(b.values.values())))
    many = params_in_lanes(b.params, {name: b.values[name] for name in spec.names}, n, spec.dtype)
    many = warm(many, b.values[TEMPERATURE], spec.q10) if spec.warmed else many
    return many.circuit, prepared_in_lanes(many, spec.dtype, spec.dt)


def acting(spec: Spec, b: Batch) -> Flows:
    """The flows of all lanes with what acts on them."""
    if not isinstance(spec.circuit, Circuit):
        return acting_on_plain(spec, b)
    circuit, p = model_in_lanes(spec, b)
    if isinstance(spec.noise, OU):
        return shaken(spec, b.out, lambda I, _: flows(circuit, p, I, spec.dt, LANES))
    return flows(circuit, p, current_of_lanes(spec, b.out, spec.dtype), spec.dt, LANES)


class PlainCells(NamedTuple):
    """What is fixed of cells without channels, in the place of a circuit."""

    cells: Plain
    label: str
    resets: bool
    paths: tuple[Any, ...]  # to the numbers that vary


def plain_cells(model: Any, varied: Sequence[str]) -> PlainCells:
    """What is fixed of a `Neuron` or `LIF` cells of which some numbers vary."""
    known = places(model.params)
    return PlainCells(plain_of(model), model.labels[0], model.resets, tuple(known[name].paths[0] for name in varied))


def acting_on_plain(spec: Spec, b: Batch) -> Flows:
    """`acting` on cells without channels."""
    n = len(next(iter(b.values.values())))
    p = numbers_in_lanes(b.params, spec.circuit.paths, [b.values[name] for name in spec.names], n, spec.dtype)
    at = lambda now, later: plain_flows(spec.circuit.cells, p, now, later, spec.dt)  # noqa: E731
    if isinstance(spec.noise, OU):
        return shaken(spec, b.out, at)
    I = current_of_lanes(spec, b.out, spec.dtype)
    return at(I, lambda k: I(k + 1))


def started(spec: Spec, b: Batch) -> Any:
    """The starts of all lanes, before any thermalization."""
    n = len(next(iter(b.values.values())))
    if not isinstance(spec.circuit, Circuit):
        return plain_start(spec.circuit.resets, b.start, n, spec.dtype)
    circuit, _ = model_in_lanes(spec, b)
    return start_in_lanes(circuit, b.start, n, spec.dtype)


def alone(spec: Spec, b: Batch, run: Run, blocks: Any) -> Run:
    """Some blocks without synapses and input."""
    circuit, p = model_in_lanes(spec, b)
    apart = p._replace(w=tuple(0 * g for g in p.w), gap=None, gz=p.gz if p.gz == () else 0 * p.gz)
    f = flows(circuit, apart, lambda _: None, spec.dt, LANES)
    return advance_flows(
        lambda _: f, run, jnp.int32(0), blocks, solver=spec.solver, dt=spec.dt, n=spec.n, ticks=spec.ticks
    )


def ready(spec: Spec, b: Batch, y: Working) -> Any:
    """The starts, thermalized or not, with the potentials that are given and with the state of coloured noise."""
    y = with_potentials(spec.circuit, y, b.values)
    return Shaken(y, normal(b.out.keys, 0)) if isinstance(spec.noise, OU) else y


def onward(spec: Spec, b: Batch, run: Run, k: Any, blocks: Any) -> Run:
    """Some blocks of a run, the first of which is step k of the recording of spikes."""
    f = acting(spec, b)
    later = lambda k: moved(f, k + spec.before * spec.n)  # noqa: E731
    return advance_flows(later, run, k, blocks, solver=spec.solver, dt=spec.dt, n=spec.n, ticks=spec.ticks)


def moved(f: Flows, by: Any) -> Flows:
    """Flows whose steps are counted from step `by` on."""
    return Flows(
        lambda y, k, h: f.charge(y, k + by, h),
        lambda y, k: f.relax(y, k + by),
        lambda y, k: f.close(y, k + by),
        lambda y, k: f.euler(y, k + by),
    )


def observed(spec: Spec, b: Batch, y: Any, t: Array, slots: Slots | None) -> Any:
    """Potentials (lane, time, cell), or what the user's function makes of each lane, with a leading axis of lanes."""
    assert spec.grid is not None
    f, of = acting(spec, b), states_in_lanes(spec, b)
    advance = lambda y, k, n: SCHEMES[spec.solver](f, y, k, n, spec.dt, min(UNROLL, n))  # noqa: E731
    state = lambda y: of(y.y if isinstance(y, Shaken) else y)  # noqa: E731
    seen = (lambda y: y.V) if spec.observe is None else state
    ys = seen_in_lanes(recorded(advance, seen, y, spec.grid, slots)[1])
    if spec.observe is None:
        return jnp.moveaxis(ys, -1, 0)
    return jax.vmap(partial(spec.observe, t), in_axes=-1)(ys)


def states_in_lanes(spec: Spec, b: Batch) -> Callable[[Any], Any]:
    """What makes the state of the model, (cell, …, lane), from one in lanes."""
    return (
        partial(from_lanes, model_in_lanes(spec, b)[0])
        if isinstance(spec.circuit, Circuit)
        else spec.circuit.cells.state
    )


def blockwise(go: Callable[[Any, int, int], Any], run: Any, blocks: int, tell: Callable[[int], None]) -> Any:
    """A run in parts; go: (run, first block, number of blocks) -> run; tell hears of the blocks of each part."""
    for b in range(0, blocks, PART):
        n = min(PART, blocks - b)
        run = jax.block_until_ready(go(run, b, n))
        tell(n)
    return run


def simulate_batch(spec: Spec, b: Batch, t: Any, slots: Any, backend: str, tell: Callable[[float], None]) -> Any:
    """`Run` with the spikes of a batch, or what was observed of it."""
    program = partial(compiled, backend)
    y, own = program(started)(spec, b), round(THERMALIZATION / spec.dt) // spec.n if spec.thermalize else 0
    done, every = [0], own + spec.blocks

    def heard(n: int) -> None:
        done[0] += n
        tell(done[0] / every)

    if own:
        run = begin(y, 0)
        y = blockwise(lambda run, _, n: program(alone)(spec, b, run, np.int32(n)), run, own, heard).y._replace(z=y.z)
    y = program(ready)(spec, b, y)
    if spec.grid is not None:
        return program(observed)(spec, b, y, t, slots)
    first = -spec.before * spec.n
    go = lambda run, at, n: program(onward)(spec, b, run, np.int32(first + at * spec.n), np.int32(n))  # noqa: E731
    return blockwise(go, begin(y, spec.room), spec.blocks, heard)


# %% [markdown]
# ## Results of a batch
#
# Of spikes there is the list of their times for each cell, or the rhythm that they make, or the fifteen features of a circuit with PD, LP and PY cells.
# A function of one's own gets the recorded times and states of a single model, and returns numbers or arrays by name. It is
# written with `jax.numpy`, and runs in all lanes.

# %%
KEPT = ("spikes", "rhythm", "features", "V")


def trains_of(spec: Spec, run: Run) -> list[list[np.ndarray]]:
    """Spike times (ms since the start of the run) of each cell of each lane; NaN alone where a cell has more than there is room for."""
    ticks, number = np.asarray(run.spikes.ticks), np.asarray(run.spikes.number)
    times = (ticks / spec.ticks + OFFSET[spec.solver] + spec.before * spec.n) * spec.dt
    lost = np.array([np.nan])
    kept = lambda cell, lane: times[: number[cell, lane], cell, lane] if number[cell, lane] <= len(times) else lost  # noqa: E731
    inside = lambda x: x[~(x > spec.duration)]  # noqa: E731
    return [[inside(kept(cell, lane)) for cell in range(number.shape[0])] for lane in range(number.shape[1])]


def named_cells(model: Any) -> dict[tuple[str, int], str]:
    """A name for each cell: its label, with a number where a population has several."""
    sizes = Counter(label for label, _ in model.cells)
    return {cell: f"{cell[0]} {cell[1]}" if sizes[cell[0]] > 1 else cell[0] for cell in model.cells}


def result_columns(keep: Any, model: Any, spec: Spec, found: Any, n: int) -> dict[str, list[Any]]:
    """Columns of results of the first n lanes."""
    names = named_cells(model)
    if callable(keep):
        return {name: of_lanes(np.asarray(x)[:n]) for name, x in found.items()}
    if keep == "V":
        return {f"V {name}": list(np.asarray(found)[:n, :, i]) for i, name in enumerate(names.values())}
    finite, trains = np.isfinite(np.asarray(found.y.V)).all(0)[:n], trains_of(spec, found)[:n]
    if keep == "spikes":
        return {f"spikes {name}": [x[i] for x in trains] for i, name in enumerate(names.values())} | {
            "finite": list(finite)
        }
    window = (spec.before * spec.n * spec.dt, spec.duration)
    rows = [rhythm_of(dict(zip(names, x, strict=True)), names, window, keep, model) for x in trains]
    return {name: [row[name] for row in rows] for name in rows[0]} | {"finite": list(finite)}


def of_lanes(x: np.ndarray) -> list[Any]:
    """One entry for each lane: a number, or a flat list of numbers."""
    return list(x) if x.ndim == 1 else [np.ravel(row) for row in x]


def rhythm_of(
    trains: Mapping[Any, np.ndarray], names: Mapping[Any, str], window: tuple[float, float], keep: str, model: Any
) -> dict[str, Any]:
    """What one model does, by name; NaN of what is not defined, and of all where spikes were lost."""
    if lost := any(np.isnan(x).any() for x in trains.values()):
        trains = {cell: np.empty(0) for cell in trains}
    if keep == "features":
        found = measure({role: trains[cell] for role, cell in roles_in(model).items()}, window)
        return dict(zip(FEATURES, map(float, found.values), strict=True)) | {"period_cv": float(found.cv)}
    table = summary(dict(trains), window)
    table = pd.DataFrame(np.nan, table.index, table.columns) if lost else table
    return {f"{names[cell]} {column}": value for cell, row in zip(trains, table.itertuples(index=False), strict=True)
            for column, value in zip(table.columns, row, strict=True)}  # fmt: skip


def roles_in(model: Any) -> dict[str, Any]:
    """The cells that play PD, LP and PY. Raises ValueError if one is missing."""
    found = roles(SimpleNamespace(model=model), list(model.cells))
    if missing := [role for role in ROLES if role not in found]:
        raise ValueError(
            f"keep is 'features', and the model {model!r} has no cell of type {missing[0]}; it must have PD, LP and PY cells. Keep 'rhythm', "
            "which any model has."
        )
    return found


# %% [markdown]
# ## The call
#
# Rows are computed in batches. A row does not depend on its neighbours, and equals the single run: `model_with` of the chapter on parameters
# makes the model of a row.

# %%
ROWS = 256  # rows in a batch, by default


class Rows(Portable, Work):
    """The rows of an ensemble."""

    def __init__(self, model: Any, table: pd.DataFrame, spec: Spec, keep: Any, given: Mapping[str, Any]) -> None:
        self.model, self.table, self.spec, self.keep, self.given = model, table, spec, keep, dict(given)

    def __len__(self) -> int:
        return len(self.table)

    def rows(self, first: int, last: int) -> pd.DataFrame:
        """Inputs of some rows."""
        return self.table.iloc[first:last]

    @property
    def facts(self) -> dict[str, Any]:
        """What decides the results besides the rows."""
        s = self.spec
        text, numbers = described(self.model)
        about = {
            "model": text,
            "numbers": hashlib.sha256(numbers.tobytes()).hexdigest(),
            "noise": repr(s.noise),
            "q10": repr(s.q10),
        }
        kept = self.keep if isinstance(self.keep, str) else fingerprint_of(self.keep)
        about |= {
            "keep": kept,
            "solver": s.solver,
            "dt": s.dt,
            "dtype": s.dtype,
            "duration": s.duration,
            "transient": s.transient,
        }
        given = {name: fingerprint_of(x) for name, x in self.given.items() if x is not None}
        if not isinstance(s.circuit, Circuit):  # equations of one's own are not in its numbers
            given["cells"] = digest(s.circuit)
        return about | given

    def batch_of(self, rows: pd.DataFrame) -> Batch:
        """The numbers of some rows, with the last one repeated until the lanes are full."""
        n = len(self.model.rows)
        filled = rows.iloc[np.minimum(np.arange(padded(len(rows))), len(rows) - 1)]
        values = {
            str(name): jnp.asarray(filled[name].to_numpy(float), self.spec.dtype)
            for name in filled.columns
            if name != SEED
        }
        lanes, added = len(filled), [values.get(CURRENT + self.model.labels[i]) for i in self.model.rows]
        none = jnp.zeros(lanes, self.spec.dtype)
        more = None if all(x is None for x in added) else jnp.stack([none if x is None else x for x in added])
        seeds = jnp.asarray(filled[SEED].to_numpy(np.int64) if SEED in filled else np.zeros(lanes, int), jnp.uint32)
        keys = None if self.spec.noise is None else noise_keys(seeds, n)
        values = values or {"": none}
        out = Outside(self.given["base"], values.get(INPUT), more, keys)
        return Batch(self.model.params, self.given["start"], values, out)

    def prepared(self) -> Compute:
        """What computes a batch, without the other rows."""
        return Rows(self.model, self.table[:0], self.spec, self.keep, self.given).compute

    def compute(self, rows: pd.DataFrame, device: Any, tell: Callable[[float], None]) -> pd.DataFrame:
        """Results beside the inputs."""
        backend = (device or jax.devices()[0]).platform
        with precision(), jax.default_device(device):
            found = simulate_batch(self.spec, self.batch_of(rows), self.given["t"], self.given["slots"], backend, tell)
        columns = result_columns(self.keep, self.model, self.spec, found, len(rows))
        if taken := [name for name in columns if name in rows]:
            raise ValueError(
                f"a result has the name {taken[0]!r}, which is that of a column of parameters; each needs its own. Rename the result."
            )
        return pd.concat([rows, pd.DataFrame(columns, rows.index)], axis=1)


def fingerprint_of(x: Any) -> str:
    """A short text that tells an array, a state or a function from others."""
    return digest(jax.tree.map(np.asarray, x) if not callable(x) else x)


def digest(x: Any) -> str:
    """A short text that tells what consists of arrays, names and functions from others."""
    return hashlib.sha256(pickle.dumps(carried(x))).hexdigest()[:16]


def ensemble(
    model: Any, parameters: Any, *, duration: float | None = None, transient: float = 0.0, keep: Any = "spikes", t: Any = None,
    I_ext: Any = None, noise: White | OU | None = None, q10: Q10s = TYPICAL, state: Any = None, solver: str | None = None,
    dt: float | None = None, dtype: str | None = None, path: Any = None, engine: Any = "local", batch_size: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Run a model once for each row of a table, and return the table with results beside each row.

    parameters: a DataFrame, or a mapping from names to values (row,); names are those of `parameters(model)`, "temperature" (°C), "input"
    (a factor of I_ext), "I LABEL" (nA), "V0 LABEL" (mV, at the start; "w0 Neuron" of another variable) and "seed". duration, transient: ms; spikes in the transient do not count.
    keep: "spikes" (lists of ms), "rhythm" (columns of `rhythm.summary`), "features" (the fifteen), "V" at the times t, or a JAX
    function f(t, states) -> mapping from names to arrays, of the states at the times t, (time,) ms. I_ext: as of a call of the model, nA. noise: of the
    current, by the row's seed (by default its number). state: start of all rows; by default that of the model, thermalized anew where the rows change
    numbers of cells. path: of a folder, from which a run that was stopped goes on; engine: "local" or a dask client; batch_size: rows at
    once. The table has a column "finite" where spikes are looked for. Raises ValueError or TypeError before anything is compiled.
    """
    model = any_model(model)
    table = table_of(parameters, model, noise)
    dtype = model.dtype if dtype is None else dtype
    checks.choice("dtype", dtype, ("float64", "float32"))
    schemes = tuple(SCHEMES) if isinstance(model, Model) else (model.scheme,)
    solver = schemes[0] if solver is None else solver
    dt = checks.scheme(solver, model.step if dt is None else dt, schemes)
    solver = solver if isinstance(model, Model) else "exponential_euler"  # which takes whole steps
    spec, given = planned(model, table, keep, t, duration, transient, I_ext, noise, q10, state, solver, dt, dtype)
    size = padded(checks.count("batch_size", batch_size, 2**20) if batch_size is not None else min(ROWS, len(table)))
    if keep == "features":
        roles_in(model)
    work = Rows(model, table, spec, keep, given)
    return run_in_batches(work, path, engine=engine, batch_size=size, progress=progress)


def table_of(parameters: Any, model: Any, noise: Any) -> pd.DataFrame:
    """The rows, checked. Raises ValueError or TypeError."""
    if not isinstance(parameters, (pd.DataFrame, Mapping)):
        raise TypeError(
            f"parameters is a {type(parameters).__name__}; it must be a DataFrame or a mapping from names to values. Write {{'LP Na': [100, 200]}}."
        )
    table = (
        pd.DataFrame({str(name): parameters[name] for name in parameters})
        if isinstance(parameters, Mapping)
        else parameters.copy()
    )
    if not len(table) or table.columns.has_duplicates:
        raise ValueError(
            f"parameters has {len(table)} rows and the columns {list(table)}; there must be a row, and each name once."
        )
    known, labels = places(model.params), model.labels
    plain = not isinstance(model, Model)
    starts = [start_column(v, x) for x in labels for v in (model.cold._fields if plain else "V")]
    own = [*[TEMPERATURE] * (not plain), INPUT, SEED, *(CURRENT + x for x in labels), *starts]
    check_names([name for name in table if name not in own], known)
    for name in table:
        table[name] = checked_column(str(name), table[name], known)
        if plain and name in known:
            for value in (table[name].min(), table[name].max()):
                model_with(model, {str(name): float(value)})
    if noise is not None and SEED not in table:
        table[SEED] = np.arange(len(table))
    if SEED in table and noise is None:
        raise ValueError(
            "parameters has a column 'seed', and there is no noise; both must be there. Say noise=White(0.1), for example."
        )
    return table


def checked_column(name: str, column: pd.Series, known: Mapping[str, Any]) -> np.ndarray:
    """The values of a column, each of which the number can have."""
    x = checks.numbers(f"the column {name!r}", column)
    if name == SEED:
        return np.array([checks.count("seed", int(v) if float(v).is_integer() else v, 2**32 - 1, least=0) for v in x])
    if (bad := ~np.isfinite(x)).any():
        raise ValueError(
            f"the column {name!r} has {x[bad][0]} in row {column.index[int(np.argmax(bad))]!r}; it must be finite. Fill it, or drop the row."
        )
    for value in np.unique(x)[[0, -1]]:
        if name in known:
            checked_value(name, known[name], float(value))
        elif name == TEMPERATURE:
            celsius(TEMPERATURE, float(value))
    return x.astype(float)


def check_kept(model: Any, keep: Any, t: Any, duration: Any) -> bool:
    """Whether states at the times t are kept, and not spikes. Raises ValueError."""
    states = callable(keep) or keep == "V"
    if not callable(keep):
        checks.choice("keep", keep, KEPT)
        has_potential(model)
    if states == (t is None) or states != (duration is None):
        wants = "the times t at which states are recorded, and no duration" if states else "a duration, and no times t"
        raise ValueError(
            f"keep is {keep!r}, t is {'' if t is None else 'given'} and duration is {duration}; it must come with {wants}."
        )
    return states


def check_own_function(keep: Any, model: Any, t: np.ndarray, dtype: str) -> None:
    """Refuse a function of times and states that does not take them, or returns no mapping to arrays; nothing is computed."""
    cure = "Write lambda t, states: {'highest V': states.V.max()}, for example, with jax.numpy in the place of numpy."
    with precision(dtype):
        shaped = lambda *shape: jax.ShapeDtypeStruct(shape, dtype)  # noqa: E731
        states = jax.tree.map(lambda x: shaped(len(t), *np.shape(x)), model.cold)
        try:
            found = jax.eval_shape(keep, shaped(len(t)), states)
        except TypeError as error:
            said = str(error).split("\n")[0].rstrip(".")
            raise TypeError(
                f"keep is a function that fails with times and states: {said}. It must take both. {cure}"
            ) from error
    if not isinstance(found, Mapping):
        kind = "an array" if hasattr(found, "shape") else f"a {type(found).__name__}"
        raise TypeError(f"keep returns {kind}; it must return a mapping from names to arrays. {cure}")


def planned(
    model: Any, table: pd.DataFrame, keep: Any, t: Any, duration: Any, transient: Any, I_ext: Any, noise: Any, q10: Any, state: Any,
    solver: str, dt: float, dtype: str,
) -> tuple[Spec, dict[str, Any]]:  # fmt: skip
    """What is fixed, and what all batches share."""
    states = check_kept(model, keep, t, duration)
    if noise is not None:
        check_process(noise, dt)
    checks.of_type("q10", q10, Q10s, "a set of Q10s, such as TYPICAL")
    times = checks.times(t, 0.0) if states else None
    if callable(keep) and times is not None:
        check_own_function(keep, model, times, dtype)
    if times is None:
        checks.recording(duration, transient)
        until = float(duration)
    else:
        until = float(times[-1])
        checks.steps(times, 0.0, dt)
    grid, slots = (None, None) if times is None else grid_of(times, 0.0, dt)
    if times is not None and slots is not None and isinstance(model, LIF):
        checks.on_steps(times, 0.0, dt, not slots.fraction.any())
    scale = None if model.own_units else CURRENT_SIZES
    I = read_current(I_ext, model.labels, model.rows, np.array([0.0, until]) if times is None else times, 0.0, scale)
    n = -(-round(until / dt) // 1) + 2 * int(BLOCK / dt + 1) + 2
    with precision(dtype):
        base = None if callable(I) else I.at(dt * np.arange(n)) if isinstance(I, Samples) else I if np.any(I) else None
        base = None if base is None else jnp.asarray(base, dtype)
    cells = [
        name
        for name in table
        if name == TEMPERATURE or (name in places(model.params) and changes_cells(model, str(name)))
    ]
    thermalize = state is None and model.starts_thermalized and bool(cells)
    start = model.cold if thermalize else start_of(model, state)
    varied = tuple(str(name) for name in table if name in places(model.params))
    circuit = model.circuit if isinstance(model, Model) else plain_cells(model, varied)
    spec = Spec(circuit, varied, TEMPERATURE in table, thermalize, solver, dt, dtype, until, float(transient), noise, q10,
                I if callable(I) else None, grid, keep if callable(keep) else None)  # fmt: skip
    with precision():
        return spec, {"t": None if times is None else jnp.asarray(times), "slots": slots, "base": base, "start": start}


def changes_cells(model: Any, name: str) -> bool:
    """Whether a named number is one of the cells themselves, so that their thermalized states depend on it."""
    path = places(model.params)[name].paths[0]
    return (
        path[0] == "g"
        or path[:2] == ("circuit", "membranes")
        or (path[:2] == ("circuit", "transmitters") and path[-1] != "E")
    )


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-grid
# At which density of KCa does the pacemaker AB/PD 2 stop bursting? Run eleven densities from 0 to 10 mS/cm² at once.
# ```
#
# ```{solution-start} ex-grid
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..prinz2004 import Prinz2004
#
# lonely = Prinz2004({"AB/PD 2": 1}, gs={})
# of_KCa = ensemble(lonely, {"AB/PD 2 KCa": np.arange(0.0, 11.0)}, duration=6000, transient=2000, keep="rhythm", progress=False)
# bursts_from = of_KCa.loc[of_KCa["AB/PD 2 activity"] == "bursting", "AB/PD 2 KCa"].min()
# assert bursts_from == 5
# of_KCa[["AB/PD 2 KCa", "AB/PD 2 activity", "AB/PD 2 period (ms)"]]

# %% [markdown]
# Between 4 and 5 mS/cm²: the published cell bursts, and one with a fifth less does not.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-own-result
# Keep a result of your own: the share of time that the cell spends above −40 mV, for four densities of CaS.
# ```
#
# ```{solution-start} ex-own-result
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# share_above = lambda t, states: {"share above −40 mV": (states.V[:, 0] > -40).mean()}
# of_CaS = ensemble(lonely, {"AB/PD 2 CaS": [4.0, 5.0, 6.0, 7.0]}, t=np.arange(2000, 8000, 1.0), keep=share_above, progress=False)
# assert of_CaS["share above −40 mV"].between(0, 1).all()
# of_CaS

# %% [markdown]
# Any function of JAX will do, of the times and the recorded states of one run.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-seeds
# Run the same cell eight times in a weak noise. How much do the numbers of spikes vary? What if all rows have the same seed?
# ```
#
# ```{solution-start} ex-seeds
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..lab.noise import White
#
# noisy_rows = lambda seeds: ensemble(lonely, {"seed": seeds}, duration=3000, noise=White(0.05), progress=False)
# numbers = noisy_rows(np.arange(8))["spikes AB/PD 2"].map(len)
# assert len(set(map(tuple, noisy_rows([3, 3])["spikes AB/PD 2"]))) == 1
# numbers.tolist()

# %% [markdown]
# Equal seeds are equal noise, to the last bit.
# ```{solution-end}
# ```
