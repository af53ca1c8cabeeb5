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
# # The 20,250,000 circuits
#
# {cite:t}`Prinz2004` built all circuits of five pacemaker, five LP and six PY cells with five or six
# strengths for each of seven synapses, and found that 20% of them are pyloric-like and 2.2% pyloric.
# This chapter numbers them, runs any part of them, or circuits of one's own, on all cores, all GPUs or
# a cluster, and keeps the results in a folder that survives interruptions.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"

# %%
from __future__ import annotations

import hashlib
import json
import math
import os
import reprlib
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import count, islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock
from typing import Any, NamedTuple
from uuid import uuid4

import jax
import numpy as np
import pandas as pd

from . import __version__, checks
from .lanes import MOST_BYTES, MULTIPLE, Plan, bytes_of, feasible, in_parts, padded
from .files import remove_drafts, write_whole
from .prinz2004 import SCHEMES, Prinz2004, State, neuron_models, precision
from .thermalization import FROM_SETTINGS
from .rhythm import FEATURES, MAX_PERIOD_CV, WHY, Measures, verdict, within
from .scale import DENSITY, SYNAPSE, Scale, suspicion
from .seals import OF_FACTS, blank, is_intact, is_sealed, sealed

# %% [markdown]
# ## Circuits and their numbers
#
# A circuit is a row of a table: the names of its three cells, and the strengths of its seven synapses
# in nS. Its number counts through all combinations in the order of the columns, the last one fastest.
# A sample draws numbers at random; a larger sample with the same seed begins with the smaller one.


# %%
class Axis(NamedTuple):
    """One coordinate of the database."""

    name: str  # column of the table
    values: tuple[Any, ...]  # names of cells, or strengths in nS


POPULATIONS = ("AB/PD", "LP", "PY")
PAIRS = (("AB", "LP"), ("PD", "LP"), ("AB", "PY"), ("PD", "PY"), ("LP", "AB/PD"), ("LP", "PY"), ("PY", "LP"))
SYNAPSES = tuple(f"{pre}-{post}" for pre, post in PAIRS)
STRENGTHS = (0.0, 3.0, 10.0, 30.0, 100.0)  # nS
ONTO_PY = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)  # nS
AXES = tuple(
    Axis(pop, tuple(name for name in neuron_models.index if name.rsplit(" ", 1)[0] == pop))
    for pop in POPULATIONS
) + tuple(
    Axis(name, ONTO_PY if post == "PY" else STRENGTHS)
    for name, (_, post) in zip(SYNAPSES, PAIRS, strict=True)
)
SIZES = tuple(len(axis.values) for axis in AXES)
TOTAL = int(np.prod(SIZES))
MODEL = Prinz2004(
    dict.fromkeys(POPULATIONS, 1),
    dict.fromkeys(PAIRS, 0.0),
    neuron_models.loc[[a.values[0] for a in AXES[:3]]],
)
MEMBRANE = tuple(f"{pop} {channel}" for pop in POPULATIONS for channel in neuron_models)
COLUMNS = (*POPULATIONS, *MEMBRANE, *SYNAPSES)  # of a table of circuits
UNITS = dict.fromkeys(MEMBRANE, "mS/cm²") | dict.fromkeys(SYNAPSES, "nS")

# %% tags=["active-ipynb"]
# assert TOTAL == 20_250_000
# dict(zip([axis.name for axis in AXES], SIZES))

# %% [markdown]
# ### What is refused
#
# A table says by its columns and labels what it means, and nothing in it is passed over: a column that is
# neither part of a circuit nor a result of `run` is refused, and so are cells of another population. Numbers
# that would be usual in another unit are warned of.

# %%
RESULTS = (*FEATURES, "period_cv", "pyloric_like", "pyloric", "failed", *(f"why_{x}" for x in FEATURES))  # of a run
STRONGEST = SYNAPSE._replace(
    what="the strongest synapses of circuits", least=0.15, others={"µS": 1e3, "mS": 1e6, "pS": 1e-3}
)  # 100 nS, the strongest of the database, are 0.1 µS
RECORDED = Scale("recordings of rhythms", "ms", 300.0, math.inf, {"s": 1e3, "min": 6e4})
UNUSUAL = 300.0  # times more or less than the largest density of a channel in `neuron_models`


def numbers_of(indices: Any) -> np.ndarray:
    """Numbers of circuits, as an array (circuit,)."""
    i = np.asarray(indices)
    if i.ndim != 1 or not (i.dtype.kind in "iu" or i.size == 0):
        raise TypeError(
            f"the numbers of circuits are {short(indices)}; they must be a list or an array of whole numbers, or a table with a row for each "
            "circuit. Convert them."
        )
    if np.ma.is_masked(indices):
        raise ValueError(f"{np.ma.count_masked(indices)} numbers of circuits are masked; all must be there. Leave these out: numbers.compressed().")
    bad = i[(i < 0) | (i >= TOTAL)]
    if bad.size:
        raise ValueError(f"{bad[0]} is not the number of a circuit; they go from 0 to {TOTAL - 1:,}. Leave it out.")
    return i.astype(np.int64)


def checked_table(circuits: pd.DataFrame) -> pd.DataFrame:
    """A table of circuits with its columns in order and no results, conductances in double precision."""
    known_columns("the table", circuits, (*COLUMNS, *RESULTS))
    usable_labels(circuits.index, circuits.columns)
    by_name = [pop for pop in POPULATIONS if pop in circuits]
    own = [name for name in MEMBRANE if name in circuits]
    wanted = [*POPULATIONS, *own, *SYNAPSES] if by_name else [*MEMBRANE, *SYNAPSES]
    if missing := [name for name in wanted if name not in circuits]:
        raise ValueError(
            f"the table lacks {checks.listing(missing)}; it needs the cells {checks.listing(POPULATIONS)}, or all 24 conductances such as "
            f"{MEMBRANE[0]!r}, and all synapses. Add these columns."
        )
    for pop in by_name:
        known_cells(pop, circuits[pop].unique())
    numbers = {name: checks.conductances(f"the column {name!r}", circuits[name].to_numpy(), UNITS[name]) for name in wanted if name in UNITS}
    circuits = circuits[wanted].assign(**numbers)
    doubt_units(circuits)
    return circuits


def short(value: Any) -> str:
    """A value for a message."""
    return reprlib.repr(value) if isinstance(value, (str, bytes, int, float, list, tuple, dict, set)) else " ".join(f"{value!r:.80}".split())


def known_columns(what: str, names: Iterable[Any], known: Sequence[str]) -> None:
    """Every name is that of a column, and is there once."""
    names = list(names)
    for name in names:
        if name not in known:
            raise ValueError(
                f"{what} has the column {name!r}, which is no part of a circuit.{checks.closest(name, COLUMNS)} Columns are "
                f"{checks.listing((*POPULATIONS, *SYNAPSES))}, and conductances such as 'LP Na'. Rename it, or drop it."
            )
        if names.count(name) > 1:
            raise ValueError(f"{what} has {names.count(name)} columns {name!r}; each must be there once. Drop the others.")


def usable_labels(labels: pd.Index, columns: pd.Index) -> None:
    """The labels of circuits are different ones, of one type, and their name is no column."""
    if labels.has_duplicates:
        raise ValueError(
            f"the table has {labels[labels.duplicated()][0]!s} as the label of several rows; each needs one of its own. Take "
            "rows.reset_index(drop=True), or drop the doubles."
        )
    for level in (labels.get_level_values(i) for i in range(labels.nlevels)):
        if level.hasnans or pd.api.types.infer_dtype(level).startswith("mixed"):
            raise ValueError(f"the labels of the table are {list(level[:3])!r}, …; all must be there, of one type. Take rows.reset_index(drop=True).")
    for name in labels.names:
        if name in columns:
            raise ValueError(f"the labels of the table and a column are both named {name!r}; rename one: rows.rename_axis('index').")


def known_cells(population: str, names: Iterable[Any]) -> None:
    """Names of cells of one population of the database."""
    known = AXES[POPULATIONS.index(population)].values
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(
                f"{population!r} has the cell {name!r}; it must be one of {checks.listing(known)}.{checks.closest(name, known)} Other cells are "
                f"given by their conductances, in columns such as '{population} Na'."
            )


def doubt_duration(recorded: float) -> None:
    """Warn of a recording (ms) that is too short for a rhythm."""
    if text := suspicion("what is recorded", recorded, RECORDED):
        warnings.warn(text, stacklevel=5)


def doubt_units(rows: pd.DataFrame) -> None:
    """Warn of synapses, or of densities, all of which would be usual in another unit."""
    largest = {name: float(rows[name].max()) for name in UNITS if name in rows}
    synapse = max((x for name, x in largest.items() if name in SYNAPSES), default=0.0)
    densities = {name: x / neuron_models[name.rsplit(" ", 1)[1]].max() for name, x in largest.items() if name in MEMBRANE}
    doubts = [suspicion("the strongest synapse", synapse, STRONGEST)] if synapse else []
    if any(densities.values()):
        name = max(densities, key=lambda name: densities[name])
        usual = largest[name] / densities[name]
        scale = DENSITY._replace(what="the largest ones of this channel", least=usual / UNUSUAL, most=usual * UNUSUAL)
        doubts.append(suspicion(f"the largest {name!r}", largest[name], scale))
    for text in filter(None, doubts):
        warnings.warn(f"in the table of circuits {text}", stacklevel=4)


# %% [markdown]
# ### Tables and numbers


# %%
def table(indices: Any) -> pd.DataFrame:
    """The circuits with some numbers, one row each, (circuit, 10): names of cells and strengths in nS. Raises ValueError."""
    i = numbers_of(indices)
    columns = zip(AXES, np.unravel_index(i, SIZES), strict=True)
    return pd.DataFrame({a.name: np.array(a.values)[k] for a, k in columns}, index=pd.Index(i, name="index"))


def circuit(index: int, **kwargs: Any) -> Prinz2004:
    """The circuit with a number, 0…20,249,999; kwargs as for `Prinz2004`."""
    row = table([index]).iloc[0]
    return Prinz2004(dict.fromkeys(POPULATIONS, 1), {pair: row[name] for pair, name in zip(PAIRS, SYNAPSES, strict=True)},
                     neuron_models.loc[[row[pop] for pop in POPULATIONS]], **kwargs)  # fmt: skip


def index_of(what: Any) -> int:
    """The number of a circuit: a `Prinz2004`, or a row of a table (any mapping). Raises ValueError if it is none of the database, TypeError for others."""
    if not isinstance(what, (Prinz2004, Mapping, pd.Series)):
        raise TypeError(f"{short(what)} is no circuit; it must be a Prinz2004 or the row of a table. Take rows.loc[number], for example.")
    row = row_of(what) if isinstance(what, Prinz2004) else dict(what)
    for axis in AXES:
        if axis.name not in row:
            raise ValueError(f"the row lacks {axis.name!r}; it has {checks.listing(row)}.{checks.closest(axis.name, map(str, row))} Add it.")
        if row[axis.name] not in axis.values or isinstance(row[axis.name], (bool, np.bool_)):
            raise ValueError(
                f"{axis.name} is {row.get(axis.name)!r}; circuits of the database have {checks.listing(axis.values)}. "
                "Run other circuits as a table of your own."
            )
    return int(np.ravel_multi_index([a.values.index(row[a.name]) for a in AXES], SIZES))


def row_of(model: Prinz2004) -> dict[str, Any]:
    """The row of a model; None where the database has no such cell. Raises ValueError if its circuit, or what it is made of, is another one."""
    if not isinstance(model, Prinz2004):
        raise TypeError(f"the model is {short(model)}; it must be a Prinz2004. Build one.")
    pairs = dict(zip(model.synapses, map(float, model.params.gs), strict=True))
    sizes = {p.label: p.size for p in model.circuit.populations}
    if sizes != dict.fromkeys(POPULATIONS, 1) or any(g and pair not in PAIRS for pair, g in pairs.items()):
        raise ValueError(
            f"the circuit has the populations {sizes} and the synapses {list(pairs)}; circuits of the database have one cell of "
            f"each of {checks.listing(POPULATIONS)} and the synapses {checks.listing(SYNAPSES)}. Simulate it by itself."
        )
    kinds = ("channels", "constants", "transmitters")
    if other := [kind for kind in kinds if getattr(model.circuit, kind) != getattr(MODEL.circuit, kind)]:
        raise ValueError(
            f"the {other[0]} of the circuit are not those of the database, whose circuits have the paper's, at 10 °C. Simulate it by itself."
        )
    names = {}
    for pop, g in zip(model.labels, np.asarray(model.params.g), strict=True):
        same = [name for name in neuron_models.index if np.array_equal(neuron_models.loc[name], g)]
        names[pop] = same[0] if same else None
    return names | {name: pairs.get(pair, 0.0) for pair, name in zip(PAIRS, SYNAPSES, strict=True)}


AT_ONCE = 20_480  # circuits that are drawn together


def sample(n: int, seed: int) -> pd.DataFrame:
    """n different circuits of the database, drawn at random; those of a smaller n and the same seed are the first of them.

    seed: a whole number from 0. Raises ValueError or TypeError if either is no whole number in its range.
    """
    n, rng = checks.count("n", n, TOTAL), np.random.default_rng(checks.count("seed", seed, least=0))
    first = rng.choice(TOTAL, AT_ONCE, replace=False)
    if n > AT_ONCE:
        others = np.ones(TOTAL, bool)
        others[first] = False
        first = np.concatenate([first, rng.permutation(np.flatnonzero(others))])
    return table(first[:n])


def grid(values: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """All combinations of values of some columns, numbered from 0; synapses that are not named have 0 nS.

    Columns: "AB/PD", "LP", "PY" (names of cells), single conductances such as "LP Na" (mS/cm²) that take the place of
    the cell's, and synapses such as "AB-LP" (nS). The last column goes through its values fastest. Raises ValueError for other
    names, cells and conductances, TypeError for a value that is no list.
    """
    axes = {name: axis_of(name, x) for name, x in mapping_of("values", values).items()}
    sizes = tuple(map(len, axes.values()))
    checks.memory(f"a grid of {math.prod(sizes):,} circuits", math.prod(sizes) * 8 * (len(axes) + len(SYNAPSES)), "Take fewer values.")
    places = np.unravel_index(np.arange(math.prod(sizes)), sizes)
    rows = pd.DataFrame({name: x[i] for (name, x), i in zip(axes.items(), places, strict=True)})
    rows = rows.assign(**{name: 0.0 for name in SYNAPSES if name not in rows})
    doubt_units(rows)
    return rows.rename_axis("index")


def mapping_of(what: str, values: Any) -> Mapping[str, Any]:
    """A mapping with one entry at least, whose names are columns of circuits."""
    if not isinstance(values, Mapping) or not values:
        raise TypeError(f"{what} is {short(values)}; it must be a mapping from columns to lists of values. Write {{'AB-LP': [0, 10]}}, for example.")
    known_columns(what, values, COLUMNS)
    return values


def axis_of(name: str, values: Any) -> np.ndarray:
    """The values of one column of a grid, each once."""
    if isinstance(values, (str, Mapping, set)) or np.ndim(values) != 1 or not len(values):
        example = "LP 1" if name in POPULATIONS else 10.0
        raise TypeError(f"{name!r} has the values {short(values)}; they must be a list of one at least. Write {{{name!r}: [{example!r}]}}, for example.")
    if name in POPULATIONS:
        known_cells(name, values)
        x = np.array(list(values), object)
    else:
        x = checks.conductances(f"{name!r}", values, UNITS[name])
    if (doubled := pd.Series(x).duplicated()).any():
        raise ValueError(f"{name!r} has the value {x[doubled][0]!s} twice; a grid has each circuit once. Remove the second.")
    return x


# %% [markdown]
# Both ways lead back to where they began:

# %% tags=["active-ipynb"]
# some = sample(1000, seed=1)
# assert [index_of(row) for row in some.to_dict("records")] == list(some.index)
# assert index_of(circuit(12_345_678)) == 12_345_678
# some.head()

# %% [markdown]
# ## One batch
#
# Cells of the paper start from their thermalized states; others are thermalized in the batch. While it
# is computed, a batch tells now and then what share of it is done.


# %%
class Options(NamedTuple):
    """How circuits are run."""

    solver: str
    dt: float  # ms
    dtype: str
    duration: float  # ms, what is measured
    transient: float  # ms, what is left out before
    batch: int  # circuits that are computed together

    @property
    def plan(self) -> Plan:
        """For the compiler."""
        return Plan(MODEL.circuit, self.solver, self.dt, self.duration, self.transient, self.dtype)


def named(rows: pd.DataFrame) -> bool:
    """Whether all cells are those of the paper."""
    return all(pop in rows for pop in POPULATIONS) and not any(name in rows for name in MEMBRANE)


def conductances(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Densities (circuit, cell, channel) in mS/cm² and strengths (circuit, synapse) in nS."""
    g = np.empty((len(rows), len(MEMBRANE)))
    if all(pop in rows for pop in POPULATIONS):
        g[:] = np.concatenate([neuron_models.loc[rows[pop]].to_numpy() for pop in POPULATIONS], 1)
    for i, name in enumerate(MEMBRANE):
        if name in rows:
            g[:, i] = rows[name]
    return g.reshape(len(rows), len(POPULATIONS), -1), rows[list(SYNAPSES)].to_numpy(float)


def thermalized_cells(options: Options, store: Any = FROM_SETTINGS) -> State:
    """Thermalized states of all cells of `neuron_models`, (cell, …), in double precision."""
    cells = Prinz2004(dict.fromkeys(neuron_models.index, 1), {}, neuron_models, dtype="float64")
    return cells.get_thermalization(solver=options.solver, dt=options.dt, store=store)


Tell = Callable[[float], None]  # hears the share of a batch that is done


def silent(share: float) -> None:
    """Tells nobody."""


def measure_rows(rows: pd.DataFrame, options: Options, cells: State, device: Any, tell: Tell) -> Measures:
    """`Measures` of each circuit, on one device."""
    n, lanes = len(rows), padded(options.batch)
    fill = np.arange(lanes) % n
    g, gs = (x[fill] for x in conductances(rows))
    start = None
    if named(rows):
        which = np.stack([neuron_models.index.get_indexer(pd.Index(rows[pop])) for pop in POPULATIONS], 1)[fill]
        start = State(*(np.asarray(x)[which] for x in cells))
    device = jax.devices()[0] if device is None else device
    with precision("float64"):
        arguments = jax.device_put((g, gs, start), device)
        found = in_parts(options.plan, *arguments, backend=device.platform, tell=tell)
        return Measures(*(np.asarray(x)[:n] for x in found))


def run_batch(
    rows: pd.DataFrame, options: Options, cells: State, device: Any = None, tell: Tell = silent
) -> pd.DataFrame:
    """The table of one batch: parameters, features, classes, and why not."""
    found = measure_rows(rows, options, cells, device, tell)
    like, pyloric = verdict(found.values, found.cv)
    bits = 1 << np.arange(len(FEATURES))
    data = dict(zip(FEATURES, found.values.T, strict=True))
    data |= {"period_cv": found.cv, "pyloric_like": like, "pyloric": pyloric}
    data |= {"failed": (~within(found.values) @ bits).astype(np.uint16)}
    data |= dict(zip((f"why_{x}" for x in FEATURES), found.why.T.astype(np.uint8), strict=True))
    return pd.concat([rows, pd.DataFrame(data, index=rows.index)], axis=1)


# %% [markdown]
# ## A folder of results
#
# Each batch becomes one Parquet file, which appears under its name only when it is complete. A run that
# was stopped looks which files are there and computes the others. All batches have the same size and
# the last one is filled up, so a circuit is computed in the same way however often the run was stopped,
# and whoever computes it. A lock keeps a second writer out; the file `_run.json` holds what was asked
# for, and a run that asks for something else is refused.
#
# Every file says by itself what it is: of which run, which batch of it, and which circuits; and it holds
# a checksum of all its bytes. So a part of another run, a copy under another name, or one of which a bit
# has changed is never taken for a batch that is done.

# %%
RUN_FILE, LOCK_FILE, FORMAT = "_run.json", "_lock", 2
ASIDE = "_aside"  # how the names of files begin that were set aside; readers of Parquet pass over the underscore
MOST_CIRCUITS = 10**9  # of a run


class Source:
    """Circuits in batches: numbers of the database, or a table."""

    def __init__(self, circuits: Any) -> None:
        if isinstance(circuits, range):
            numbers_of([*circuits[:1], *circuits[-1:]])
        elif not isinstance(circuits, pd.DataFrame):
            circuits = numbers_of(circuits)
        if not len(circuits):
            raise ValueError("there are 0 circuits; there must be one at least. Pass a table or numbers of circuits.")
        self.circuits = checked_table(circuits) if isinstance(circuits, pd.DataFrame) else circuits

    def __len__(self) -> int:
        return len(self.circuits)

    def rows(self, first: int, last: int) -> pd.DataFrame:
        """Some of the circuits, as a table."""
        part = self.circuits[first:last]
        return part if isinstance(part, pd.DataFrame) else table(part)

    def fingerprint(self) -> str:
        """Changes with the circuits."""
        if isinstance(self.circuits, range):
            return repr(self.circuits)
        if isinstance(self.circuits, np.ndarray):
            return hashlib.sha256(self.circuits.tobytes()).hexdigest()
        return fingerprint(self.circuits)


def fingerprint(rows: pd.DataFrame) -> str:
    """Changes with the labels of circuits, with the names of their columns, and with every value."""
    digest = hashlib.sha256(json.dumps(list(rows)).encode())
    for name, x in rows.items():
        digest.update((neuron_models.index.get_indexer(pd.Index(x)) if name in POPULATIONS else x.to_numpy(float)).tobytes())
    for level in range(rows.index.nlevels):
        digest.update("\0".join(map(str, rows.index.get_level_values(level))).encode())
    return digest.hexdigest()


# %% [markdown]
# What a run is, its **facts**, stand in its folder, and in each of its files, which may be copied
# elsewhere.


# %%
def as_text(facts: Mapping[str, Any]) -> bytes:
    """Facts as JSON; the same facts give the same bytes."""
    return json.dumps(facts, ensure_ascii=False, indent=1).encode()


def about(source: Source, options: Options) -> dict[str, Any]:
    """What a run is, for its file and for the metadata of its tables."""
    versions = {"pyloric_simulator": __version__, "jax": jax.__version__, "numpy": np.__version__}
    facts = {"format": FORMAT, "circuits": len(source), "fingerprint": source.fingerprint(), "max_period_cv": MAX_PERIOD_CV,
             **options._asdict(), "why": WHY, "versions": versions, "checksum": blank(OF_FACTS).decode()}  # fmt: skip
    return json.loads(sealed(as_text(facts), OF_FACTS))


def facts_in(data: bytes, where: Path) -> dict[str, Any]:
    """The facts that stand somewhere. Raises ValueError if they cannot be right."""
    cure = "Delete it and run the same again: batches that are done say the same and are kept."
    try:
        facts = json.loads(data)
        known = facts["format"] in range(1, FORMAT + 1)
        sizes = [checks.count(f"{name!r} in {where}", facts[name], MOST_CIRCUITS) for name in ("circuits", "batch")]
        intact = known and (facts["format"] == 1 or is_intact(as_text(facts), OF_FACTS))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{where} is damaged, it does not say what the run is: {error}. {cure}") from None
    if not known:
        raise ValueError(f"{where} has the format {facts['format']}; this version reads up to {FORMAT}. Take the version that wrote it.")
    if not intact:
        raise ValueError(f"{where} is damaged: it asks for {sizes[0]:,} circuits, but its checksum does not fit. {cure}")
    return facts


def difference(old: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In what two runs differ first, or nothing."""
    for key in (key for key in now if key != "checksum"):
        if old.get(key) != now[key]:
            return f"{key} = {old.get(key)!r}, and this one has {now[key]!r}"
    return ""


# %% [markdown]
# A part is read as a whole, and its checksum compared, before anything in it is believed. Pages have
# checksums of their own, by which other tools find out.

# %%
FACTS, PLACE, SEAL = b"pyloric_simulator", b"pyloric_simulator_part", b"pyloric_simulator_seal"  # keys of metadata


def part(path: Path, batch: int) -> Path:
    """The file of a batch."""
    return path / f"part-{batch:06d}.parquet"


def parts_of(path: Path) -> list[Path]:
    """The files of a folder, in the order of their batches; a file is its only part."""
    return sorted(path.glob("part-*.parquet"), key=lambda file: (len(file.name), file.name)) if path.is_dir() else [path]


def write_part(path: Path, batch: int, rows: pd.DataFrame, facts: Mapping[str, Any], circuits: str) -> None:
    """Write one batch, so that its file is complete whenever it is there; `circuits`: their fingerprint."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = pa.Table.from_pandas(rows, preserve_index=True)
    data = data.replace_schema_metadata({**data.schema.metadata, FACTS: json.dumps(facts, ensure_ascii=False).encode()})
    file = pa.BufferOutputStream()
    with pq.ParquetWriter(file, data.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(data)
        writer.add_key_value_metadata({PLACE: json.dumps({"batch": batch, "circuits": circuits}), SEAL: blank()})
    write_whole(part(path, batch), sealed(file.getvalue().to_pybytes()))


class Part(NamedTuple):
    """A file of results that was found intact."""

    file: Path
    data: bytes  # all of it
    about: Any  # its metadata, as Arrow has them
    facts: dict[str, Any] | None  # of its run; None for a table that no run has written
    place: dict[str, Any]  # "batch" in the run, and the fingerprint of its "circuits"; empty in files of format 1

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return [name for name in self.about.schema.names if not name.startswith("__index")]

    @property
    def size(self) -> int:
        """Number of circuits."""
        return int(self.about.num_rows)

    def table(self, columns: Sequence[str] | None = None, filters: Any = None) -> Any:
        """Its rows, as a table of Arrow."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if filters is None:  # much faster than the general way
            if unknown := [name for name in columns or () if name not in self.names]:
                raise ValueError(f"{self.file} has no column {unknown[0]!r}.")
            file = pq.ParquetFile(pa.BufferReader(self.data), page_checksum_verification=True)
            return file.read(columns, use_threads=False, use_pandas_metadata=True)
        return pq.read_table(
            pa.BufferReader(self.data), columns=columns, filters=filters, use_pandas_metadata=True, page_checksum_verification=True
        )


def read_part(file: Path) -> Part:
    """A file of results. Raises ValueError if it is damaged, or no Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = file.read_bytes()
    if is_sealed(data) and not is_intact(data):
        raise ValueError(f"{file} is damaged: its checksum does not fit.")
    try:
        about = pq.read_metadata(pa.BufferReader(data))
        said = about.metadata or {}
        place = json.loads(said.get(PLACE, b"{}"))
    except Exception as error:  # whatever Arrow makes of damaged bytes
        raise ValueError(f"{file} is damaged, or no Parquet file: {str(error).strip().splitlines()[-1].rstrip('.')}.") from None
    facts = facts_in(said[FACTS], file) if FACTS in said else None
    if facts and facts["format"] > 1 and not is_sealed(data):
        raise ValueError(f"{file} is damaged: its checksum is missing.")
    return Part(file, data, about, facts, place)


def stranger(found: Part, facts: Mapping[str, Any]) -> str:
    """Why a file in the folder of a run is not the part that its name says, or nothing."""
    if found.facts is None:
        return f"{found.file} is not of this run: it does not say of which it is."
    if text := difference(found.facts, facts):
        return f"{found.file} is of another run, with {text}."
    batch = found.place.get("batch")
    if batch is not None and part(found.file.parent, batch).name != found.file.name:
        return f"{found.file} says that it is batch {batch}."
    return ""


# %% [markdown]
# A run that finds its folder begun compares all of it with what it was asked for. Without `_run.json`, or
# with a damaged one, the parts say what the run was. A file that cannot be read or belongs elsewhere is
# set aside, and its batch computed again.


# %%
def agree(path: Path, facts: Mapping[str, Any]) -> None:
    """Make sure that a folder is of this run, or new. Raises ValueError if it holds another one."""
    file, old = path / RUN_FILE, None
    if file.exists():
        try:
            old = facts_in(file.read_bytes(), file)
        except ValueError as error:
            warnings.warn(f"{error} It is written anew.", stacklevel=4)
    known = old or first_facts(path)
    if known is not None and (text := difference(known, facts)):
        old_format = "A run of an earlier version can be read, and not continued. " if known["format"] < FORMAT else ""
        raise ValueError(
            f"{path} holds a run with {text}; a folder holds one run. {old_format}Choose another folder, or the same arguments and versions."
        )
    if old is None:
        write_whole(file, as_text(facts))


def first_facts(path: Path) -> dict[str, Any] | None:
    """What the first readable part of a folder says of its run."""
    for file in parts_of(path):
        try:
            return read_part(file).facts
        except ValueError:
            continue
    return None


def wrong_with(file: Path, job: Job, facts: Mapping[str, Any]) -> str:
    """Why a file is not the result of a batch of this run, or nothing."""
    try:
        found = read_part(file)
        if text := stranger(found, facts):
            return text
        batch = found.place["batch"]
        if batch not in job.batches:
            return f"{file} is batch {batch}, of {len(job.batches)}."
        asked = job.rows(batch)
        rows = found.table([*asked]).to_pandas()
        return "" if list(rows) == list(asked) and fingerprint(rows) == fingerprint(asked) else f"{file} has other circuits than batch {batch}."
    except ValueError as error:
        return str(error)


def batches_done(path: Path, job: Job, facts: Mapping[str, Any]) -> set[int]:
    """The batches whose results are in a folder; files that are none are set aside, with a warning."""
    done = set()
    for file in parts_of(path):
        if text := wrong_with(file, job, facts):
            aside = next(new for i in count() if not (new := path / f"{ASIDE}-{i}-{file.name}").exists())
            file.rename(aside)
            warnings.warn(f"{text} It is set aside as {aside.name}, and its batch computed again.", stacklevel=4)
        else:
            done.add(int(file.stem.removeprefix("part-")))
    return done


# %% [markdown]
# ## What a run computes
#
# A run is a number of circuits in batches of one size, the last of which may have fewer. Whoever
# computes a batch hands back an `Outcome`. A batch that fails, because memory is short, say, costs
# no other batch: what went wrong is told, not raised.


# %%
class Job(NamedTuple):
    """What a run computes, and how."""

    source: Source
    options: Options

    @property
    def batches(self) -> range:
        """The numbers of all batches."""
        return range(-(-len(self.source) // self.options.batch))

    def size(self, batch: int) -> int:
        """Circuits in a batch."""
        return min(self.options.batch, len(self.source) - batch * self.options.batch)

    def rows(self, batch: int) -> pd.DataFrame:
        """The circuits of a batch, as a table."""
        first = batch * self.options.batch
        return self.source.rows(first, first + self.options.batch)


class Outcome(NamedTuple):
    """What became of a batch."""

    batch: int
    rows: pd.DataFrame | None  # None if it failed
    error: str  # empty if it did not


def attempt(
    batch: int, rows: pd.DataFrame, options: Options, cells: State, device: Any = None, tell: Tell = silent
) -> Outcome:  # fmt: skip
    """Run one batch; what goes wrong is told, not raised."""
    try:
        return Outcome(batch, run_batch(rows, options, cells, device, tell), "")
    except Exception:
        return Outcome(batch, None, traceback.format_exc())


# %% [markdown]
# ## Engines
#
# An engine takes the numbers of batches and yields their outcomes as they come. It keeps only a few
# batches at hand, since a table of all 20,250,000 circuits would not fit into the memory of most
# machines.
#
# ### This machine
#
# The local engine gives each core of the processor a thread, or each GPU, and a batch to each. Threads
# suffice, because compiled code runs without Python's lock.


# %%
def local_devices() -> list[Any]:
    """One entry for each batch that runs at the same time."""
    devices = jax.devices()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return devices[:1] * cores if devices[0].platform == "cpu" else devices


# %% [markdown]
# Whenever one of them is done, the next one begins:


# %%
def as_they_end(submit: Callable[[int], Future[Outcome]], todo: Iterable[int], n: int) -> Iterator[Outcome]:
    """The outcomes of batches, n of which are under way at a time."""
    waiting, running = iter(todo), set[Future[Outcome]]()
    while running := running | {submit(batch) for batch in islice(waiting, n - len(running))}:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


# %% [markdown]
# A batch takes a minute. While it runs it tells after every part how far it is, which moves the
# progress bar and is also the moment to give up: where a run is stopped, by Ctrl-C or by an error,
# its threads end after the part at hand.


# %%
def run_locally(job: Job, todo: Iterable[int], cells: State, tell: Callable[[int, float], None]) -> Iterator[Outcome]:
    """Batches as they are done, on all cores or GPUs of this machine."""
    free, stopped = SimpleQueue[Any](), Event()
    for device in (devices := local_devices()):
        free.put(device)

    def heard(batch: int, share: float) -> None:
        if stopped.is_set():
            raise InterruptedError("the run was stopped")
        tell(batch, share)

    def one(batch: int) -> Outcome:
        device = free.get()
        try:
            return attempt(batch, job.rows(batch), job.options, cells, device, partial(heard, batch))
        finally:
            free.put(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            yield from as_they_end(lambda batch: pool.submit(one, batch), todo, len(devices))
        finally:
            stopped.set()


# %% [markdown]
# ### A cluster
#
# A [dask](https://distributed.dask.org) client sends the same batches to the workers of a cluster,
# and those of a lost worker to another one. A batch whose workers die again and again has failed;
# its number stands in the key of its future.


# %%
def outcome_of(future: Any) -> Outcome:
    """What became of a batch, also where its workers died."""
    batch = int(future.key.split("-")[1])
    return future.result() if future.status == "finished" else Outcome(batch, None, str(future.exception()))


# %% [markdown]
# Two batches for each worker are under way, so that none waits for the next one to arrive. Results
# are dropped from the cluster once they are here.


# %%
def run_on_cluster(client: Any, job: Job, todo: Iterable[int], cells: State) -> Iterator[Outcome]:
    """Batches as they are done, on the workers of a dask cluster."""
    from dask.distributed import as_completed

    def submit(batch: int) -> Any:
        key = f"pyloric-{batch}-{uuid4()}"
        return client.submit(attempt, batch, job.rows(batch), job.options, cells, key=key)

    ahead = 2 * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
    waiting = iter(todo)
    futures = as_completed([submit(batch) for batch in islice(waiting, ahead)])
    for future in futures:
        outcome = outcome_of(future)
        future.release()
        for batch in islice(waiting, 1):
            futures.add(submit(batch))
        yield outcome


# %% [markdown]
# ## A run
#
# By default circuits run for thirteen seconds, of which the first three are left out, with the
# second-order scheme in single precision. A batch has 2,048 circuits, or fewer where the run is so
# small that some core would have none.

# %%
LANES = 2048  # circuits in a batch
DURATION, TRANSIENT = 13_000.0, 3_000.0  # ms, of the whole run and of what is left out at its beginning
SOLVER, DT, DTYPE = "staggered", 0.05, "float32"


def planned(
    circuits: Any, engine: Any, *, duration: Any = DURATION, transient: Any = TRANSIENT, solver: Any = SOLVER, dt: Any = DT,
    dtype: Any = DTYPE, batch_size: Any = None,
) -> Job:  # fmt: skip
    """What a run computes, of its arguments. Raises ValueError or TypeError."""
    source = Source(circuits)
    if engine != "local" and not hasattr(engine, "submit"):
        raise ValueError(f"engine is {engine!r}; it must be 'local' or a dask.distributed.Client. Pass one of these.")
    checks.choice("solver", solver, SCHEMES)
    dt = checks.scheme(solver, dt, SCHEMES)
    checks.choice("dtype", dtype, ("float64", "float32"))
    checks.recording(duration, transient)
    doubt_duration(duration - transient)
    options = Options(solver, dt, dtype, float(duration - transient), float(transient), 0)
    lanes = lanes_for(len(source), options.plan) if batch_size is None else padded(checks.count("batch_size", batch_size, TOTAL))
    feasible(options.plan, lanes)
    return Job(source, options._replace(batch=lanes))


def lanes_for(n: int, plan: Plan) -> int:
    """The size of batches for n circuits, less where runs are so long that their spikes would fill the memory."""
    share = padded(min(LANES, -(-n // len(local_devices()))))
    return min(share, max(MOST_BYTES // bytes_of(feasible(plan), 1) // MULTIPLE, 1) * MULTIPLE)


# %% [markdown]
# The progress bar counts circuits, those done before included. Batches that are under way count with
# the share of them that is done.


# %%
@contextmanager
def meter(job: Job, todo: Sequence[int], shown: bool) -> Iterator[Callable[[int, float], None]]:
    """A progress bar; what it yields takes a batch and the share of it that is done, from any thread."""
    from tqdm import tqdm

    initial = len(job.source) - sum(map(job.size, todo))
    circuits, lock = dict.fromkeys(todo, 0), Lock()
    with tqdm(total=len(job.source), initial=initial, unit=" circuits", disable=not shown) as bar:

        def tell(batch: int, share: float) -> None:
            with lock:
                circuits[batch] = int(share * job.size(batch))
                bar.update(initial + sum(circuits.values()) - bar.n)

        yield tell


def outcomes(job: Job, todo: Sequence[int], engine: Any, progress: bool) -> Iterator[Outcome]:
    """The batches as they are done, with a progress bar."""
    cells = thermalized_cells(job.options)
    with meter(job, todo, progress) as tell:
        here = engine == "local"
        for outcome in run_locally(job, todo, cells, tell) if here else run_on_cluster(engine, job, todo, cells):
            yield outcome
            tell(outcome.batch, 1.0)


# %% [markdown]
# Batches that failed are named at the end, with what went wrong.


# %%
def warn_of_failures(failed: Sequence[Outcome], job: Job) -> None:
    """Tell which circuits are missing, and why."""
    for f in failed:
        index = job.rows(f.batch).index
        warnings.warn(
            f"batch {f.batch} failed, circuits {list(index[:3])} to {index[-1]}: {f.error.strip().splitlines()[-1]} "
            f"All others are done. Run again to repeat only this batch.\n{f.error}", stacklevel=3,
        )  # fmt: skip


# %% [markdown]
# `run` has its results in memory, or in a folder if it is given a path.

# %%
ROW_BYTES = 400  # of a row in memory


def run(
    circuits: Any, path: str | os.PathLike[str] | None = None, *, duration: float = DURATION, transient: float = TRANSIENT,
    solver: str = SOLVER, dt: float = DT, dtype: str = DTYPE, engine: Any = "local", batch_size: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Simulate circuits, measure and classify their rhythms: one row for each, in the order given.

    circuits: numbers of the database (an array, or a range), a table as from `sample`, `table` or `grid`, or one with
    the 24 conductances of `MEMBRANE` (mS/cm²) and the synapses (nS), also one that `run` returned. path: folder for the
    rows, one file a batch; a run that was stopped continues. duration: ms, of which `transient` is left out. engine: "local" or
    a `dask.distributed.Client`. batch_size: circuits computed together. Raises ValueError or TypeError on bad input and on a
    folder that another process writes or that holds another run; a batch that fails is warned of and left out, and so is a
    file of the folder that is damaged or not of this run, whose batch is computed again.
    """
    asked = dict(duration=duration, transient=transient, solver=solver, dt=dt, dtype=dtype, batch_size=batch_size)
    if path is not None:
        fill(circuits, path, engine=engine, progress=progress, **asked)
        return load(path)
    job = planned(circuits, engine, **asked)
    checks.memory(f"the rows of {len(job.source):,} circuits", ROW_BYTES * len(job.source), "Give the path of a folder, or use `fill`.")
    every = sorted(outcomes(job, job.batches, engine, progress))
    warn_of_failures([x for x in every if x.rows is None], job)
    parts = [x.rows for x in every if x.rows is not None]
    return pd.concat(parts) if parts else job.source.rows(0, 0)


# %% [markdown]
# A folder has one writer, which holds its lock. The operating system frees the lock of a process that
# dies.


# %%
@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold the lock of a folder. Raises ValueError if another process does."""
    from filelock import FileLock, Timeout

    path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{path} is being written by another process; a folder has one writer. Wait for it, or choose another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


# %% [markdown]
# `fill` computes what a folder lacks. Nothing of it stays in memory.


# %%
def fill(
    circuits: Any, path: str | os.PathLike[str], *, engine: Any = "local", progress: bool = True, **asked: Any
) -> None:
    """`run` into a folder, for runs whose table would not fit into memory; arguments as there."""
    job, path = planned(circuits, engine, **asked), folder_at(path)
    with sole_writer(path):
        facts = about(job.source, job.options)
        agree(path, facts)
        for pattern in (RUN_FILE, "part-*.parquet"):
            remove_drafts(path, pattern)
        done = batches_done(path, job, facts)
        failed = []
        try:
            for outcome in outcomes(job, [batch for batch in job.batches if batch not in done], engine, progress):
                if outcome.rows is None:
                    failed.append(outcome)
                else:
                    write_part(path, outcome.batch, outcome.rows, facts, fingerprint(job.rows(outcome.batch)))
                    done.add(outcome.batch)
        except KeyboardInterrupt as stop:
            number = sum(map(job.size, done))
            stop.add_note(f"Stopped: {number:,} of {len(job.source):,} circuits are done in {path}. Run the same again to go on from there.")
            raise
        warn_of_failures(failed, job)


def folder_at(path: Any) -> Path:
    """The path of a folder for results."""
    if isinstance(path, bool) or not isinstance(path, (str, os.PathLike)) or str(path) in ("", "memory"):
        raise TypeError(
            f"path is {path!r}; it must be the path of a folder, such as 'results', or None for results in memory. Give one of these."
        )
    if Path(path).exists() and not Path(path).is_dir():
        raise ValueError(f"{path} is a file; results are written into a folder. Give another path.")
    return Path(path)


# %% [markdown]
# ## Reading back
#
# A folder of results is an ordinary set of Parquet files, so that any tool reads it. `load` takes some
# of the columns or rows, too, which matters for a table of gigabytes.


# %%
def load(
    path: str | os.PathLike[str], columns: Sequence[str] | None = None, filters: Any = None
) -> pd.DataFrame:
    """The rows of a run in the order of its circuits; `columns` and `filters` as for `pyarrow.parquet.read_table`.

    path: a folder written by `run`, or one Parquet file. Raises FileNotFoundError if there is none, and ValueError for a file
    that is damaged or not the part of the run that its name says, and for other columns.
    """
    if isinstance(columns, str):
        raise TypeError(f"columns is {columns!r}; it must be a list of names. Write [{columns!r}].")
    files = files_at(path)
    facts = facts_of(path) if Path(path).is_dir() else None
    with ThreadPoolExecutor() as pool:
        tables = list(pool.map(lambda file: sound_rows(file, facts, columns, filters), files))
    if not tables:
        return pd.DataFrame()
    import pyarrow as pa

    return pa.concat_tables(tables, promote_options="permissive").to_pandas()


def sound_rows(file: Path, facts: Mapping[str, Any] | None, columns: Sequence[str] | None, filters: Any) -> Any:
    """The rows of a part of the run with these facts, or of one file for None, as a table of Arrow."""
    try:
        found = read_part(file)
        if facts is not None and (text := stranger(found, facts)):
            raise ValueError(text)
    except ValueError as error:
        raise ValueError(f"{error} It cannot be used. Run the same again: only this batch is computed anew.") from None
    try:
        return found.table(None if columns is None else list(columns), filters)
    except Exception as error:  # what Arrow says of columns or filters that do not fit
        names = found.names
        if unknown := [name for name in columns or () if name not in names]:
            raise ValueError(f"{file} has no column {unknown[0]!r}.{checks.closest(unknown[0], names)} It has {checks.listing(names)}.") from None
        raise ValueError(f"filters is {filters!r}, which cannot be used: {str(error).splitlines()[0]}. Write [('LP', '==', 'LP 2')], for example.") from None


def files_at(path: str | os.PathLike[str]) -> list[Path]:
    """The files of results at a path. Raises FileNotFoundError if there is nothing of the kind."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is {short(path)}; it must be the path of a folder written by `run`, or of a Parquet file. Give one.")
    files = parts_of(Path(path))
    if not Path(path).exists() or not (files or (Path(path) / RUN_FILE).exists()):
        raise FileNotFoundError(f"{path} holds no results; it must be a folder written by `run`, or one of its files. Check the path.")
    return files


def facts_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a run is: solver, dt, versions and so on, from its folder or the metadata of its tables. Raises ValueError if nothing tells."""
    files, file = files_at(path), Path(path) / RUN_FILE
    if file.exists():
        return facts_in(file.read_bytes(), file)
    facts = first_facts(Path(path)) if Path(path).is_dir() else read_part(files[0]).facts
    if facts is None:
        raise ValueError(f"{path} does not say of which run it is; it must be a folder written by `run`, or one of its files. Check the path.")
    return facts


def status(path: str | os.PathLike[str]) -> dict[str, int]:
    """Circuits asked for, and circuits done in a folder or a file; damaged files do not count. Raises FileNotFoundError if there is none."""
    facts, done = facts_of(path), 0
    for file in files_at(path):
        try:
            found = read_part(file)
            done += 0 if Path(path).is_dir() and stranger(found, facts) else found.size
        except ValueError:
            continue
    return {"circuits": facts["circuits"], "done": done}


# %% [markdown]
# A run in two batches, of which one gets lost. The second run computes that one again, and the table
# is the same to the last bit.

# %% tags=["active-ipynb"]
# from tempfile import TemporaryDirectory
#
# few, asked = sample(100, seed=1), dict(duration=4000, transient=1000, dt=0.1, batch_size=64, progress=False)
# with TemporaryDirectory() as folder:
#     first = run(few, folder, **asked)
#     part(Path(folder), 0).unlink()
#     assert status(folder) == {"circuits": 100, "done": 36}
#     pd.testing.assert_frame_equal(run(few, folder, **asked), first, check_exact=True)
# first[["AB/PD", "LP", "PY", "cycle_period", "why_cycle_period", "pyloric_like", "pyloric"]].head()

# %% [markdown]
# ## Fractions
#
# Fractions come with a 95% interval after Wilson, which holds for small counts, too:
#
# $$
# \frac{p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}, \qquad z = 1.96.
# $$ (eq-wilson)

# %%
Z = 1.959964  # of a 95% interval


def interval(k: int, n: int) -> tuple[float, float]:
    """95% interval of a fraction k/n, {eq}`eq-wilson`. Raises ValueError or TypeError unless n is a whole number, and k one from 0 to n."""
    n = checks.count("n", n)
    k = checks.count("k", k, n, least=0)
    p, c = k / n, Z * Z / n
    half = Z * np.sqrt(p * (1 - p) / n + c / (4 * n))
    return float((p + c / 2 - half) / (1 + c)), float((p + c / 2 + half) / (1 + c))


# %% [markdown]
# Pyloric circuits differ from all others in what they are made of, so the second half of a summary is
# the share of each cell and of each strength among all circuits and among pyloric ones.


# %%
class Summary(NamedTuple):
    """What a run says about its circuits."""

    fractions: pd.DataFrame  # rows pyloric_like and pyloric; columns count, of, fraction, low, high (95%)
    parameters: pd.DataFrame  # index (parameter, value); share of this value among all, and among pyloric circuits


def shares_among(rows: pd.DataFrame, pyloric: np.ndarray) -> pd.DataFrame:
    """The second half of a summary; empty for circuits with conductances of their own."""
    found = {}
    for name in (*POPULATIONS, *SYNAPSES) if named(rows) and set(SYNAPSES) <= set(rows) else ():
        share_of = lambda x: x.value_counts(normalize=True)  # noqa: E731
        both = {"all": share_of(rows[name]).sort_index(), "pyloric": share_of(rows[name][pyloric])}
        found[name] = pd.DataFrame(both).fillna(0.0)
    return pd.concat(found, names=["parameter", "value"]) if found else pd.DataFrame()


def summary(data: Any, max_cv: float = MAX_PERIOD_CV) -> Summary:
    """Fractions and distributions (as in P04, Fig. 6) of a table of `run`, or of the path of one.

    max_cv: largest coefficient of variation of the period of a pyloric-like circuit; np.inf asks for no period. The attrs of
    both tables say how many "circuits" were asked for and how many are "done". Warns of a run that is not finished. Raises
    ValueError if there are no rows, if columns of results are missing, and for a max_cv that is no share.
    """
    rows = data if isinstance(data, pd.DataFrame) else load(data)
    max_cv = largest_cv(max_cv)
    if not (n := len(rows)):
        raise ValueError("there are 0 circuits to sum up; there must be one at least. Run some of them first.")
    of = asked_for(data, n)
    values = columns_of_results(rows, data)
    like, pyloric = verdict(values[:, :-1], values[:, -1], max_cv)
    counts = {"pyloric_like": int(like.sum()), "pyloric": int(pyloric.sum())}
    lines = [(k, n, k / n, *interval(k, n)) for k in counts.values()]
    found = Summary(pd.DataFrame(lines, list(counts), ["count", "of", "fraction", "low", "high"]), shares_among(rows, pyloric))
    for table in found:
        table.attrs |= {"circuits": of, "done": n}
    return found


def asked_for(data: Any, n: int) -> int:
    """How many circuits the run of n rows was to have; a warning if they are more."""
    try:
        of = n if isinstance(data, pd.DataFrame) else int(facts_of(data)["circuits"])
    except ValueError:  # a table of another origin
        return n
    if n != of:
        warnings.warn(
            f"{data} has {n:,} of the {of:,} circuits of its run; the fractions are those of this part. Run the same again to finish it.",
            stacklevel=3,
        )
    return of


def columns_of_results(rows: pd.DataFrame, data: Any) -> np.ndarray:
    """The fifteen features and the variation of the period, (circuit, 16)."""
    wanted = [*FEATURES, "period_cv"]
    if missing := [name for name in wanted if name not in rows]:
        what = "the table" if isinstance(data, pd.DataFrame) else data
        raise ValueError(
            f"{what} lacks {checks.listing(missing[:3])}{' and others' if len(missing) > 3 else ''}; it must have the columns that `run` "
            "returns, all features and 'period_cv'. Load it with all columns."
        )
    return np.stack([checks.numbers(f"the column {name!r}", rows[name]).astype(float) for name in wanted], 1)


def largest_cv(value: Any) -> float:
    """A coefficient of variation, or inf."""
    x = math.inf if isinstance(value, float) and value == math.inf else checks.number("max_cv", value, "shares of the period")
    if not (0 < x <= 1 or x == math.inf):
        raise ValueError(f"max_cv is {x:g}; it is a share of the period, above 0 and up to 1. Write 0.02 for 2%, or np.inf to ask for no period.")
    return x


# %% [markdown]
# ## What the database says
#
# A sample comes with the package, `sample(20480, seed=2004)` run by this chapter's `run`: once with
# the converged equations (staggered, 0.05 ms), and once with the paper's scheme
# (exponential Euler, 0.025 ms). {cite:t}`Prinz2004` found 20.0% pyloric-like and 2.2% pyloric circuits
# in all 20,250,000.

# %% tags=["active-ipynb", "hide-input"]
# from .book import list_table
# from .config import sample_file
#
# samples = {"converged": load(sample_file("staggered")), "paper's": load(sample_file("exponential_euler"))}
# rows = []
# for name, rows_of in samples.items():
#     for demand, max_cv in (("2%", MAX_PERIOD_CV), ("none", np.inf)):
#         found = summary(rows_of, max_cv).fractions
#         text = [f"{x.fraction:.1%} ({x.low:.1%} to {x.high:.1%})" for x in found.itertuples()]
#         rows.append((name, len(rows_of), demand, *text))
# list_table("Fractions with 95% intervals; the paper has 20.0% and 2.2%.", "tbl-fractions",
#            ["scheme", "circuits", "largest CV of the period", "pyloric-like", "pyloric"], rows)

# %% [markdown]
# The agreement owes much to the demand for a periodic rhythm, whose 2% are ours. Without it some two in a hundred circuits
# more count as pyloric-like, whose rhythms are triphasic and wander. With it, the paper's scheme finds the paper's 20.0%, but more pyloric
# circuits than the paper, by more than chance. The fractions with the paper's scheme and step hardly
# differ from those of the converged equations. But behind the small difference one circuit in eighteen changes its class, in
# either direction, and one in a hundred does so for *pyloric*; where both agree, the cycles of the paper's scheme are 1% shorter
# in the mean.

# %% tags=["active-ipynb", "hide-input"]
# both = pd.concat({name: rows_of["pyloric_like"] for name, rows_of in samples.items()}, axis=1)
# words = {True: "pyloric-like", False: "not"}
# counts = pd.crosstab(both["converged"].map(words), both["paper's"].map(words))
# list_table("Circuits by scheme: rows are the converged equations, columns the paper's scheme.", "tbl-schemes",
#            ["", *counts], [(row, *map(str, n)) for row, n in zip(counts.index, counts.to_numpy(), strict=True)])

# %% [markdown]
# ### Single and double precision
#
# The first 2,048 circuits of the sample, run in double precision as well, give 397 pyloric-like circuits instead of 403, and 49
# pyloric ones in both. The circuits are not all the same ones: 48 change their class *pyloric-like*, 21 one way and 27 the other, and two
# change *pyloric*. Where rhythms are periodic, single precision is enough: their periods differ by $3·10^{-6}$ in the median. Those that change
# class wander. In 26 of the 48 the variation of the period crosses the limit of 2%, seven have a rhythm in one precision only, and
# in the others LP or PY cells fire irregularly under a regular pacemaker. It takes no rounding to move them: a shift of all
# potentials by $10^{-9}$ mV at the start changes the class of 13 in double precision. So the class of such a circuit is an
# accident in any precision, and the fractions are not.

# %% [markdown]
# ### What pyloric circuits are made of
#
# How pyloric circuits differ from all, as in Fig. 6 of the paper. None of the 497 in this sample, for instance, has more than
# 3 nS from LP to PY; that leaves at most 0.8% of all that may.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Share of each cell, and of each strength (nS) of a synapse, among pyloric circuits (bars) and among all (dots).", "name": "fig-shares"}}
# shares = summary(samples["converged"]).parameters
# panels = []
# for name, part in shares.groupby(level=0, sort=False):
#     values = [str(x).split()[-1] if name in POPULATIONS else f"{x:g}" for x in part.index.get_level_values(1)]
#     axis = f"{name} cell" if name in POPULATIONS else f"{name} (nS)"
#     bars = hv.Bars((values, part["pyloric"]), axis, "share")
#     dots = hv.Scatter((values, part["all"]), axis, "share").opts(color="black", size=6)
#     panels.append((bars * dots).opts(width=225, height=190, ylim=(0, 0.6)))
# hv.Layout(panels).opts(shared_axes=False, toolbar=None).cols(3)
