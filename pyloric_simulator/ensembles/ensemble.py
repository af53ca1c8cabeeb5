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
# How does a rhythm depend on two {term}`conductances <maximal conductance>`, on the temperature, on the
# strength of an input? At the rig such a question takes a drug, a {term}`clamp` and an afternoon for each
# value. Here it takes a table: a row for each variant of a model, a column for each number that varies.
# `ensemble` runs all rows side by side, and gives the table back with results beside each row.

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
# axes = ["AB/PD 2 CaS", "AB/PD 2 KCa"]
# grid = pd.MultiIndex.from_product([np.linspace(2, 10, 9), np.linspace(0, 10, 9)], names=axes).to_frame(index=False)
# table = ensemble(cell, grid, duration=6000, transient=2000, keep="rhythm", progress=False)
# look = dict(width=420, height=320, colorbar=True, toolbar=None, clipping_colors={"NaN": "lightgrey"})
# hv.HeatMap(table, axes, "AB/PD 2 period (ms)").opts(**look)

# %% [markdown]
# Each square is a cell of its own, run for six seconds. The published cell has 6 mS/cm² of CaS and 5 of
# KCa; it {term}`bursts <burst>` every 1.5 s. Calcium current begins and carries a burst, and the current
# that calcium opens ends it. So the more KCa, the earlier a burst ends and the shorter the cycle, down to
# less than a second. With too little of it nothing ends the burst and the cell spikes without a pause: the
# grey at the bottom. Just above it cycles are longest. The edge rises from left to right: a cell with more
# calcium current needs more KCa to burst. And from 8 mS/cm² of CaS on no amount of KCa up to 10 makes the
# cell regular.
#
# So neither conductance has a right value. There is a region in the plane where the cell bursts, and within
# it lines of one period along which one conductance makes up for the other: a first, flat picture of
# {term}`degeneracy`.
#
# ## What it does and what it costs
#
# The model may be any of this book: a circuit of the first chapter with all its {term}`gap junctions <gap
# junction>` and {term}`populations <population>`, a single cell, a network of one's own, and cells with
# equations of their own or with a threshold. What varies is named as in the chapter [on
# parameters](../fitting/parameters.py), or is one of a few words, such as the temperature:

# %% tags=["active-ipynb"]
# degrees = {"temperature": [7, 10, 13, 16, 19, 22]}
# warmer = ensemble(cell, degrees, duration=12000, transient=2000, keep="rhythm", progress=False)
# shown = warmer[["temperature", "AB/PD 2 period (ms)", "AB/PD 2 burst (ms)", "AB/PD 2 duty cycle"]]
# period = warmer["AB/PD 2 period (ms)"].to_numpy()
# assert 1.9 < (period[0] / period[-1]) ** (10 / 15) < 2.1
# shown.round(2)

# %% [markdown]
# Fifteen degrees make the cycle shorter by a factor of 2.9, which is 2.0 for ten degrees: that of all its
# rates, see [the chapter on temperature](../lab/temperature.py). The {term}`duty cycle` falls on the way.
#
# What comes back is the table that was given, row by row and with its labels, and behind its columns what
# was asked for by `keep`:
#
# `"spikes"`
# : for each cell a column of lists, the times of its spikes in ms since the start of the run.
#
# `"rhythm"`
# : for each cell the numbers of `rhythm.summary`: spikes, bursts, period, duty cycle, activity, and so on.
#
# `"features"`
# : the fifteen {term}`criteria <criterion>` of a circuit with PD, LP and PY cells, and the variation of
#   its period.
#
# `"V"`
# : for each cell the potentials in mV at the times `t`.
#
# a function
# : what a function of one's own makes of the recorded times and states of one run.
#
# Of the first three a column `finite` tells whether the run stayed within the numbers; a density a thousand
# times too large may well blow it up, and spoils no other row. Only potentials that are asked for are kept.
# A cell has room for about a hundred spikes a second; one that fires more has NaN in the place of its list.
#
# Rows are computed in [batches](batches.py) of 256, on all cores, on GPUs or on a cluster, in memory or
# into a folder that survives interruptions. On the two cores of `benchmarks/README.md` three cells of
# {cite:t}`Liu1998` with synapses, a gap junction and a sampled input take 176 million steps of a cell per
# second in single precision: a second of one cell at 0.05 ms is 20,000 steps, so that thousand such
# networks run for a second within a third of one. That is not counting the compilation, once for each shape
# of table and not for its values: a hundred rows cost as much of it as a hundred thousand.
#
# A row equals the single run of the model that has these numbers, to rounding, and does not depend on its
# neighbours, on the size of the batch or on how many cores there are. Rounding does grow: in double
# precision the potentials of the cell above and of the same cell in an ensemble differ by $4·10^{-8}$ mV
# after two seconds, and by $3·10^{-4}$ mV after six.
#
# Potentials are the dear thing to keep: ten thousand times of three cells are 240 kB a row in double
# precision, 61 MB a batch, and a gigabyte for four thousand rows. A function of one's own that returns what
# one wants to know of them, a mean or a maximum, makes 8 bytes of each.
#
# With `path="folder"` each batch is written when it is complete, and the same call goes on where it
# stopped; a call with another model, table or input is refused there. `engine=dask.distributed.Client(…)`
# sends the batches to a cluster, and the function of one's own and the model with it. `batch_size` is for
# models so large, or so many potentials, that 256 of them do not fit.
#
# What cannot vary is the structure: who is joined to whom, how many cells a population has, which channels
# there are. A synapse that some rows lack has 0 nS there. Adaptive solvers are left out, since each lane
# would want steps of its own.
#
# ## Mechanics
#
# The table of a run becomes columns of numbers; the columns take their places in the model; a start is made
# for each row; blocks of steps are run; and what was kept is put beside the rows. The sections follow this
# way.
#
# The idea is that of the chapter [on lanes](lanes.py): the last axis of every array counts the rows of a
# batch, and the equations of the first chapter do not notice. What this chapter adds is that *any* number
# may have that axis, not only densities and synapses.

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
from ..files.recording import Recording
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

__all__ = ["ensemble"]

# %% [markdown]
# The second half of the imports are the chapters on batches and on lanes, on which this one stands.

# %%
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

# %% [markdown]
# ### What varies
#
# Any number that has a name varies by that name: a conductance, a synapse, a gap junction, a number of the
# kinetics. A few columns mean something else:
#
# temperature
# : in °C, with the $Q_{10}$ of the chapter on temperature.
#
# input
# : a factor of the external current. `I LABEL` is a constant current in nA, into all cells of a
#   population.
#
# seed
# : of the noise. Without this column, row $i$ has the seed $i$.
#
# V0 LABEL
# : the potential in mV from which the cells of a population start. `w0 Neuron` is the start of the
#   variable w of a `Neuron`.

# %%
TEMPERATURE, INPUT, SEED = "temperature", "input", "seed"
CURRENT, START = "I ", "V0 "  # of a population, before its label

# %% [markdown]
# Names come from `parameters(model)`: `LP Na` is the density of sodium in the LP cells, `AB-LP` the synapse
# from AB to LP. `E Na` is a reversal potential, and `τ_Ca` the time constant of the {term}`calcium pool`.
#
# A number that varies takes the place of one that does not. Take $I = \bar g A m^3 h (V - E)$ with a
# density for each of $n$ rows: $\bar g$ becomes an array $(n,)$ where it was a number, $V$, $m$ and $h$ are
# $(\text{cell}, n)$ already, and the product broadcasts. So all that is to be done is to find the place of
# the number among the parameters, which the names know, and to put the column there. The same holds for a
# number of the kinetics, such as the half-activation $V_\mathrm{th}$ of the synapses: it is a field of the
# constants, or of a `Curve`, that happens to be an array.
#
# Densities and strengths are always spread over the lanes, whether they vary or not, so that there are not
# many programs, one for each choice of columns, where one will do. All gap junctions share one number by
# default; if one of them varies, each gets its own.


# %%
def params_in_lanes(params: Params, values: Mapping[str, Array], n: int, dtype: Any) -> Params:
    """The parameters of n models, each field with the lanes behind its last axis.

    values: (lane,) of each number that varies.
    """
    known, c = places(params), params.circuit
    g, gs, ge, gz = (spread(x, n, dtype) for x in (params.g, params.gs, params.ge, params.gz))
    many = Params(g, gs, ge, c, gz)
    for name, x in values.items():
        for path in known[name].paths:
            many = put(many, path, x)
    if many.ge.ndim == 1:  # one number for all gap junctions
        many = Params(many.g, many.gs, jnp.broadcast_to(many.ge, (len(c.junctions), n)), many.circuit, many.gz)
    return many


# %% [markdown]
# All rows start from one state, that of the model or one that was given. But a model whose cold start has
# another potential, since $V_\mathrm{cold}$ is a number like others, starts from that. And columns `V0`
# overwrite what was there: thermalized or not, the potential of a row is then the one that its table says.
# The gates stay what they were, and follow at their own pace.


# %%
def start_in_lanes(circuit: Circuit, start: Any, n: int, dtype: Any) -> Working:
    """The starts of n models from one state; where the potential of the cold start varies, from that."""
    y = to_lanes(circuit, type(start)(*(jnp.repeat(jnp.asarray(x)[None], n, 0) for x in start)), dtype)
    V = y.V
    for i, row in enumerate(circuit.rows):
        cold = circuit.membranes[circuit.populations[row].membrane].constants.V_cold
        V = V.at[i].set(cold) if isinstance(cold, Array) else V
    return y._replace(V=V)


def with_potentials(circuit: Any, y: Any, values: Mapping[str, Array]) -> Any:
    """The starts with the potentials that columns give to populations.

    Other variables, too, of cells without channels.
    """
    if not isinstance(circuit, Circuit):
        return with_starts(y, circuit.label, values)
    V = y.V
    for i, row in enumerate(circuit.rows):
        name = START + circuit.populations[row].label
        V = V.at[i].set(values[name]) if name in values else V
    return y._replace(V=V)


# %% [markdown]
# ### Currents from outside
#
# An electrode gives all cells of a population the same current, and an experimenter repeats it at several
# strengths: that is the column `input`. Or a holding current shifts the cells up or down, each row by
# another one: that is a column `I LABEL`, and a range of values in it is a frequency-current curve in one
# call. So the external current of a lane is a multiple of the common one, with what its columns add, and
# with noise:
#
# $$
# I_k^{(\mathrm{row})} = f^{(\mathrm{row})}\, I(t_k) \;+\; I^{(\mathrm{row})} \;+\; \frac{σ}{\sqrt{dt}}\, ξ_k^{(\mathrm{row})},
# $$ (eq-lane-current)
#
# with the factor $f$ of the column `input` and the constant $I$ of the columns `I LABEL`. The common
# current $I(t)$ may be a constant, samples or a function; only samples are carried along as numbers, one
# for each step and cell, and not for each row.


# %%
class Outside(NamedTuple):
    """External currents of all lanes, a pytree."""

    base: Any  # (cell,) or (step, cell) nA, of all lanes
    factor: Any  # (lane,), by which it is multiplied, or None
    more: Any  # (cell, lane) nA, constant, or None
    keys: Any  # (cell, lane) of the noise, or None


# %% [markdown]
# The noise is that of the chapter [on noise](../lab/noise.py), where $σ^2$ is in nA² ms. It depends on the
# seed of the lane, the number of the cell and that of the step, as that of a single run does: a row with
# the seed 7 has the noise of `noisy(…, seed=7)`, wherever it stands in the table. There is no generator
# that is moved on from step to step, whose numbers would depend on who asked before.


# %%
def noise_keys(seeds: Array, n_cells: int) -> Array:
    """The key of each cell of each lane, (cell, lane): that which a single run with the seed of the lane has."""
    of = lambda seed, cell: jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), cell), 0)  # noqa: E731
    return jax.vmap(jax.vmap(of, (0, None)), (None, 0))(seeds, jnp.arange(n_cells))


def normal(keys: Array, k: Any) -> Array:
    """A standard normal number of each key for step k."""
    flat = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, k), ()))(keys.ravel())
    return flat.reshape(keys.shape)


# %% [markdown]
# Where nothing comes from outside the current is None and not 0, so that the equations leave it out: an
# addition for each cell in each step is little, and not nothing. White noise is part of the current, since
# it has no memory.


# %%
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


# %% [markdown]
# Coloured noise has a memory, which travels with the state. In standard deviations it goes from step to
# step by
#
# $$
# x_{k+1} = x_k\, e^{-dt/τ} + \sqrt{1 - e^{-2dt/τ}}\; ξ_{k+1}, \qquad I_k = μ + σ x_k,
# $$ (eq-lane-ou)
#
# the exact solution of the process for steps of any length, and it starts from its stationary distribution:
# $x_0$ is normal. A state with it is a pair, and acts as a state for those who look for spikes in it.


# %%
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


# %% [markdown]
# The flows of the pair are those of the state under the current of the moment; the noise moves on at the
# end of each whole step, where the gates do. A cell without channels wants the current at the end of its
# step as well, so `at` takes both. With `charge`, `relax`, `close` and `euler` these are all four flows
# that the schemes of the first chapter are made of, and so both schemes hold with coloured noise.


# %%
def shaken(spec: Spec, out: Outside, at: Callable[[Any, Any], Flows]) -> Flows:
    """Flows under an Ornstein–Uhlenbeck current.

    at: the flows under a given one at the start and at the end of a step, I(k) nA.
    """
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
# ### A batch
#
# What is fixed when a batch is compiled is its `Spec`; what may change without compiling again is its
# `Batch`. The line between the two is what decides how long one waits. The names of the columns are fixed,
# since they say where in the equations there is an array. Their values are not. Times and counts that the
# loops depend on are fixed; the temperature is a column like others.
#
# A batch is computed in blocks of a millisecond, in each of which a cell has one spike at most; cells with
# a threshold may fire at each step, and there a block is one step. The blocks go in parts of half a second
# of simulated time, between which the progress bar moves, and in which a run can be stopped.


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


# %% [markdown]
# The `Batch` holds all that is numbers. JAX sees a tree of arrays, whose shapes it compiles for.


# %%
class Batch(NamedTuple):
    """The numbers of a batch, a pytree."""

    params: Params  # of the model
    start: Any  # a state of the model
    values: dict[str, Array]  # (lane,) of each column
    out: Outside


# %% [markdown]
# Two functions make of it what the schemes want: the circuit with arrays among its constants, and the flows
# of all lanes with what acts on them. The temperature comes last, since it multiplies what the columns have
# set: a row with a density and a temperature has that density at 10 °C.


# %%
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


# %% [markdown]
# Cells without channels have no circuit. A `Neuron` and `LIF` cells are given by equations of their own,
# which take their numbers from one tuple; the columns are put into that, and the whole step is one flow,
# `euler`.


# %%
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


# %% [markdown]
# A run without synapses comes first where cells have to be {term}`thermalized <thermalization>`: where what
# varies are numbers of the cells, and the model starts thermalized. A cell with another density has another
# rhythm of its own, and a circuit that started from the old one would spend its first seconds forgetting
# it. If only synapses vary, one thermalization is right for all rows and is not done again.
#
# To cut all synapses their strengths are multiplied by 0, which leaves the program what it is: the same
# arrays, and the kernels of the run itself.


# %%
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


# %% [markdown]
# With the start made, the run goes on in blocks. Step 0 of the recording of spikes is the end of the
# transient, so blocks of the transient have negative numbers. The input counts from the start of the run.
# `moved` shifts the one against the other.


# %%
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


# %% [markdown]
# Where states are recorded and not spikes, all of it is one program. A state is looked at on a grid of
# steps and at times between two of them, as in a single run; the arrays have time first and lanes last, and
# the user's function wants a single model, so it is mapped over the lanes. A function that keeps a maximum
# thus never has all potentials of all rows as a result, only as something on the way.


# %%
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


# %% [markdown]
# The order of events: start, thermalize, set what is given, run. Each stage is compiled once for a
# specification. The telling of progress happens between parts and outside of what is compiled; whoever
# hears it may raise, and so end the batch.


# %%
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
# ### Results of a batch
#
# Of spikes there is the list of their times for each cell, or the rhythm that they make, or the fifteen
# features of a circuit with PD, LP and PY cells. A function of one's own gets the recorded times and states
# of a single model, and returns numbers or arrays by name. It is written with `jax.numpy`, and runs in all
# lanes.
#
# Spikes come back as whole numbers of ticks, some thousandths of a step, from the start of the recording.
# Time in ms is
#
# $$
# t = \left(\frac{\text{ticks}}{\text{ticks per step}} + o + \text{steps of the transient}\right) dt,
# $$ (eq-ticks)
#
# with `ticks per step` a power of two, up to 1,024, so that a time is right to 0.05 µs at the default step.
# A longer recording has fewer of them in a step, so that its ticks can be counted in 32 bits. Here $o$ is
# the time of the first potential: half a step with the staggered scheme, whose potentials are half a step
# ahead, and a whole step with exponential Euler.

# %%
KEPT = ("spikes", "rhythm", "features", "V")


def trains_of(spec: Spec, run: Run) -> list[list[np.ndarray]]:
    """Spike times (ms since the start of the run) of each cell of each lane.

    NaN alone where a cell has more than there is room for.
    """
    ticks, number = np.asarray(run.spikes.ticks), np.asarray(run.spikes.number)
    times = (ticks / spec.ticks + OFFSET[spec.solver] + spec.before * spec.n) * spec.dt
    lost = np.array([np.nan])

    def kept(cell: int, lane: int) -> np.ndarray:
        n = number[cell, lane]
        return times[:n, cell, lane] if n <= len(times) else lost

    inside = lambda x: x[~(x > spec.duration)]  # noqa: E731
    return [[inside(kept(cell, lane)) for cell in range(number.shape[0])] for lane in range(number.shape[1])]


# %% [markdown]
# Columns are named after cells, with a number where a population has several: `spikes PD 1`. Which columns
# there are depends on the model and on `keep` alone, not on what a row does, so that all batches have the
# same ones.


# %%
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
    window, played = (spec.before * spec.n * spec.dt, spec.duration), roles_in(model) if keep == "features" else None
    rows = [rhythm_of(dict(zip(names, x, strict=True)), names, window, played) for x in trains]
    return {name: [row[name] for row in rows] for name in rows[0]} | {"finite": list(finite)}


def of_lanes(x: np.ndarray) -> list[Any]:
    """One entry for each lane: a number, or a flat list of numbers."""
    return list(x) if x.ndim == 1 else [np.ravel(row) for row in x]


# %% [markdown]
# The rhythm of a row is taken by the functions of the chapter [on rhythm](../rhythm.py), the very ones that
# look at a single run or at a recording. That happens outside of what is compiled, and is cheap beside the
# run. Where spikes were lost for lack of room all of it is NaN: a rhythm with every second spike missing
# would look like one. The times are in ms for sure, so a row with few spikes draws no doubts about its unit.
# Which cells play PD, LP and PY is looked up once for all rows: for each anew, it takes as long as the
# measurement.


# %%
def rhythm_of(
    trains: Mapping[Any, np.ndarray], names: Mapping[Any, str], window: tuple[float, float],
    played: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What one model does, by name; NaN of what is not defined, and of all where spikes were lost.

    played: the cells that play PD, LP and PY, for the fifteen features; None for the rhythm of each cell.
    """
    if lost := any(np.isnan(x).any() for x in trains.values()):
        trains = {cell: np.empty(0) for cell in trains}
    if played is not None:
        found = measure({role: trains[cell] for role, cell in played.items()}, window)
        return dict(zip(FEATURES, map(float, found.values), strict=True)) | {"period_cv": float(found.cv)}
    table = summary(Recording(tuple(trains), trains, None, None, np.array([window]), window, None), window)
    table = pd.DataFrame(np.nan, table.index, table.columns) if lost else table
    return {f"{names[cell]} {column}": value for cell, row in zip(trains, table.itertuples(index=False), strict=True)
            for column, value in zip(table.columns, row, strict=True)}  # fmt: skip


def roles_in(model: Any) -> dict[str, Any]:
    """The cells that play PD, LP and PY. Raises ValueError if one is missing."""
    found = roles(SimpleNamespace(model=model), list(model.cells))
    if missing := [role for role in ROLES if role not in found]:
        raise ValueError(
            f"keep is 'features', and the model {model!r} has no cell of type {missing[0]}; it must have PD, LP and PY "
            "cells. Keep 'rhythm', "
            "which any model has."
        )
    return found


# %% [markdown]
# ### The call
#
# Rows are computed in batches. A row does not depend on its neighbours, and equals the single run:
# `model_with` of the chapter on parameters makes the model of a row.
#
# A batch has 256 rows by default. All lanes of a batch advance together, and rows are added until there is
# a multiple of 64, with copies of the last one, whose results are dropped.

# %%
ROWS = 256  # rows in a batch, by default

# %% [markdown]
# `Rows` is a work of the chapter [on batches](batches.py). Two things are asked of it besides the rows:
# facts, by which a folder knows whether a run that comes back is the same one, and something that computes
# a batch and can be sent to another machine. The facts hold the model in words and a checksum of its
# numbers, and checksums of what is given: the input, the start, the times, a function of one's own.


# %%
def facts_of_run(model: Any, spec: Spec, keep: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the results besides the rows."""
    text, numbers = described(model)
    about = {
        "model": text,
        "numbers": hashlib.sha256(numbers.tobytes()).hexdigest(),
        "noise": repr(spec.noise),
        "q10": repr(spec.q10),
        "keep": keep if isinstance(keep, str) else fingerprint_of(keep),
    }
    about |= {name: getattr(spec, name) for name in ("solver", "dt", "dtype", "duration", "transient")}
    prints = {name: fingerprint_of(x) for name, x in given.items() if x is not None}
    if not isinstance(spec.circuit, Circuit):  # equations of one's own are not in its numbers
        prints["cells"] = digest(spec.circuit)
    return about | prints


# %% [markdown]
# From rows to numbers: columns become arrays with a place for each lane, the constant currents of the
# populations those of their cells, and seeds keys. The last row is repeated until the lanes are full.


# %%
def batch_of(model: Any, spec: Spec, given: Mapping[str, Any], rows: pd.DataFrame) -> Batch:
    """The numbers of some rows, with the last one repeated until the lanes are full."""
    filled = rows.iloc[np.minimum(np.arange(padded(len(rows))), len(rows) - 1)]
    values = {
        str(name): jnp.asarray(filled[name].to_numpy(float), spec.dtype) for name in filled.columns if name != SEED
    }
    lanes, added = len(filled), [values.get(CURRENT + model.labels[i]) for i in model.rows]
    none = jnp.zeros(lanes, spec.dtype)
    more = None if all(x is None for x in added) else jnp.stack([none if x is None else x for x in added])
    seeds = jnp.asarray(filled[SEED].to_numpy(np.int64) if SEED in filled else np.zeros(lanes, int), jnp.uint32)
    keys = None if spec.noise is None else noise_keys(seeds, len(model.rows))
    out = Outside(given["base"], values.get(INPUT), more, keys)
    return Batch(model.params, given["start"], values or {"": none}, out)


# %% [markdown]
# The work itself only holds them together. To other processes it goes without its rows, which follow batch
# by batch; `Portable` makes the functions within it fit for the journey.


# %%
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
        return facts_of_run(self.model, self.spec, self.keep, self.given)

    def prepared(self) -> Compute:
        """What computes a batch, without the other rows."""
        return Rows(self.model, self.table[:0], self.spec, self.keep, self.given).compute

    def compute(self, rows: pd.DataFrame, device: Any, tell: Callable[[float], None]) -> pd.DataFrame:
        """Results beside the inputs."""
        backend = (device or jax.devices()[0]).platform
        with precision(), jax.default_device(device):
            b = batch_of(self.model, self.spec, self.given, rows)
            found = simulate_batch(self.spec, b, self.given["t"], self.given["slots"], backend, tell)
        columns = result_columns(self.keep, self.model, self.spec, found, len(rows))
        if taken := [name for name in columns if name in rows]:
            raise ValueError(
                f"a result has the name {taken[0]!r}, which is that of a column of parameters; each needs its own. "
                "Rename the result."
            )
        return pd.concat([rows, pd.DataFrame(columns, rows.index)], axis=1)


# %% [markdown]
# A function has no numbers that could be hashed. It is told from others by its code and by what it refers
# to, as it would be sent to another process: a function with another body is another run, a copy of it with
# the same body is not.


# %%
def fingerprint_of(x: Any) -> str:
    """A short text that tells an array, a state or a function from others."""
    return digest(jax.tree.map(np.asarray, x) if not callable(x) else x)


def digest(x: Any) -> str:
    """A short text that tells what consists of arrays, names and functions from others."""
    return hashlib.sha256(pickle.dumps(carried(x))).hexdigest()[:16]


# %% [markdown]
# The call itself refuses what is wrong before anything is compiled, makes the plan, and hands both to the
# batches. Cells without channels have one scheme of their own, which takes whole steps, as exponential
# Euler does.


# %%
def ensemble(
    model: Any, parameters: Any, *, duration: float | None = None, transient: float = 0.0, keep: Any = "spikes",
    t: Any = None, I_ext: Any = None, noise: White | OU | None = None, q10: Q10s = TYPICAL, state: Any = None,
    solver: str | None = None, dt: float | None = None, dtype: str | None = None, path: Any = None,
    engine: Any = "local", batch_size: int | None = None, progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Run a model once for each row of a table, and return the table with results beside each row.

    parameters: a DataFrame, or a mapping from names to values (row,); names are those of `parameters(model)`,
    "temperature" (°C), "input" (a factor of I_ext), "I LABEL" (nA), "V0 LABEL" (mV, at the start; "w0 Neuron" of
    another variable) and "seed". duration, transient: ms; spikes in the transient do not count. keep: "spikes" (lists
    of ms), "rhythm" (columns of `rhythm.summary`), "features" (the fifteen), "V" at the times t, or a JAX function
    f(t, states) -> mapping from names to arrays, of the states at the times t, (time,) ms. I_ext: as of a call of the
    model, nA. noise: of the current, by the row's seed (by default its number). state: start of all rows; by default
    that of the model, thermalized anew where the rows change numbers of cells. path: of a folder, from which a run
    that was stopped goes on; engine: "local" or a dask client; batch_size: rows at once. The table has a column
    "finite" where spikes are looked for. Raises ValueError or TypeError before anything is compiled.
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


# %% [markdown]
# The table is checked column by column: every name is known, every value finite and one that the number can
# have. The least and the largest value of a column stand for all others, since what a number may be is a
# range. Of cells without channels a whole model is made with each of the two, since their equations may
# have rules of their own about numbers. Without noise a column of seeds would do nothing, and is refused:
# it is more likely that the noise was forgotten.


# %%
def table_of(parameters: Any, model: Any, noise: Any) -> pd.DataFrame:
    """The rows, checked. Raises ValueError or TypeError."""
    if not isinstance(parameters, (pd.DataFrame, Mapping)):
        raise TypeError(
            f"parameters is a {type(parameters).__name__}; it must be a DataFrame or a mapping from names to values. "
            f"Write {{'LP Na': [100, 200]}}."
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
            "parameters has a column 'seed', and there is no noise; both must be there. Say noise=White(0.1), for "
            "example."
        )
    return table


# %% [markdown]
# A seed is a whole number of 32 bits; a temperature one at which an animal could live, in °C and not in K;
# and a density cannot be negative.


# %%
def checked_column(name: str, column: pd.Series, known: Mapping[str, Any]) -> np.ndarray:
    """The values of a column, each of which the number can have."""
    x = checks.numbers(f"the column {name!r}", column)
    if name == SEED:
        return np.array([checks.count("seed", int(v) if float(v).is_integer() else v, 2**32 - 1, least=0) for v in x])
    if (bad := ~np.isfinite(x)).any():
        raise ValueError(
            f"the column {name!r} has {x[bad][0]} in row {column.index[int(np.argmax(bad))]!r}; it must be finite. "
            "Fill it, or drop the row."
        )
    for value in np.unique(x)[[0, -1]]:
        if name in known:
            checked_value(name, known[name], float(value))
        elif name == TEMPERATURE:
            celsius(TEMPERATURE, float(value))
    return x.astype(float)


# %% [markdown]
# States want times, and spikes want a duration; one of the two must be given, and the other not. A function
# of one's own is tried before the run, on shapes alone: JAX follows it without computing anything, and
# finds within milliseconds what would otherwise end a batch after a minute.


# %%
def check_kept(model: Any, keep: Any, t: Any, duration: Any) -> bool:
    """Whether states at the times t are kept, and not spikes. Raises ValueError."""
    states = callable(keep) or keep == "V"
    if not callable(keep):
        checks.choice("keep", keep, KEPT)
        has_potential(model)
    if states == (t is None) or states != (duration is None):
        wants = "the times t at which states are recorded, and no duration" if states else "a duration, and no times t"
        raise ValueError(
            f"keep is {keep!r}, t is {'' if t is None else 'given'} and duration is {duration}; it must come with "
            f"{wants}."
        )
    return states


def check_own_function(keep: Any, model: Any, t: np.ndarray, dtype: str) -> None:
    """Refuse a function of times and states that does not take them, or returns no mapping to arrays.

    Nothing is computed.
    """
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


# %% [markdown]
# What is left is to lay out the plan. The common input is sampled here once, at the steps of the run and a
# few more, since the last block may go beyond the end. Whether lanes thermalize is decided here, too: only
# if the start is that of the model, the model is one that starts thermalized, and a column changes its
# cells.


# %%
def planned(
    model: Any, table: pd.DataFrame, keep: Any, t: Any, duration: Any, transient: Any, I_ext: Any, noise: Any,
    q10: Any, state: Any, solver: str, dt: float, dtype: str,
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
    spec = Spec(circuit, varied, TEMPERATURE in table, thermalize, solver, dt, dtype, until, float(transient), noise,
    q10, I if callable(I) else None, grid, keep if callable(keep) else None)  # fmt: skip
    with precision():
        return spec, {"t": None if times is None else jnp.asarray(times), "slots": slots, "base": base, "start": start}


# %% [markdown]
# Which numbers are those of the cells themselves? Densities and all numbers of membranes are. The numbers
# of a transmitter are as well, since the release of a cell that is alone follows them; the exception is its
# reversal potential, which only matters to the other side.


# %%
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
# At which density of KCa does the pacemaker AB/PD 2 stop bursting? Run eleven densities from 0 to 10 mS/cm²
# at once.
# ```
#
# ```{solution-start} ex-grid
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# lonely, of_each = Prinz2004({"AB/PD 2": 1}, gs={}), {"AB/PD 2 KCa": np.arange(0.0, 11.0)}
# of_KCa = ensemble(lonely, of_each, duration=6000, transient=2000, keep="rhythm", progress=False)
# bursts_from = of_KCa.loc[of_KCa["AB/PD 2 activity"] == "bursting", "AB/PD 2 KCa"].min()
# assert bursts_from == 5
# of_KCa[["AB/PD 2 KCa", "AB/PD 2 activity", "AB/PD 2 period (ms)"]]

# %% [markdown]
# Between 4 and 5 mS/cm²: the published cell bursts, and one with a fifth less does not.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-compensation
# The published cell has 6 mS/cm² of CaS and 5 of KCa, and bursts every 1.5 s. Take a third of its CaS away.
# How much KCa restores the period? Predict whether it is more or less than 5, then run a column of it.
# ```
#
# ```{solution-start} ex-compensation
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# with_less = {"AB/PD 2 CaS": np.full(9, 4.0), "AB/PD 2 KCa": np.linspace(3.5, 5.5, 9)}
# restored = ensemble(lonely, with_less, duration=8000, transient=2000, keep="rhythm", progress=False)
# period_of = restored.set_index("AB/PD 2 KCa")["AB/PD 2 period (ms)"]
# assert abs(period_of[3.75] - 1498) < 20
# period_of.round()

# %% [markdown]
# Less: 3.75 mS/cm². Less calcium enters, so bursts end of their own, and it takes less KCa to make them as
# long as before. The two conductances go up and down together where the period is kept.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-f-I
# How many spikes per second does LP 4 fire, alone, under constant currents from −1 to 3 nA? A column `I LP
# 4` gives the whole curve in one call. Is it a line?
# ```
#
# ```{solution-start} ex-f-I
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# LP = Prinz2004({"LP 4": 1}, gs={})
# of_I = ensemble(LP, {"I LP 4": np.linspace(-1, 3, 9)}, duration=5000, transient=2000, progress=False)
# rate = of_I["spikes LP 4"].map(len) / 3
# assert (rate[:2] == 0).all() and (np.diff(rate[1:]) > 0).all() and rate[8] < 1.5 * rate[3]
# pd.Series(rate.to_numpy(), of_I["I LP 4"], name="spikes per second").round(1).to_frame()

# %% [markdown]
# No. At −0.5 nA it is silent, without a current it fires 19 spikes a second, and with 3 nA 42: the first
# half of a nanoampere adds ten, the last one two. The cell spikes without being driven, and its potassium
# channels hold it back the more, the faster it fires.
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
# some = {"AB/PD 2 CaS": [4.0, 5.0, 6.0, 7.0]}
# of_CaS = ensemble(lonely, some, t=np.arange(2000, 8000, 1.0), keep=share_above, progress=False)
# assert of_CaS["share above −40 mV"].between(0, 1).all()
# of_CaS

# %% [markdown]
# Any function of JAX will do, of the times and the recorded states of one run.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-seeds
# Run the same cell eight times in a weak noise. How much do the numbers of spikes vary? What if all rows
# have the same seed?
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
# They lie between 54 and 57: the noise moves spikes, and the slow wave under the bursts hardly notices.
# Equal seeds are equal noise, to the last bit.
# ```{solution-end}
# ```
