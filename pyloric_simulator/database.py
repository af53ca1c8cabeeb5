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
import os
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice, product
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock
from typing import Any, NamedTuple
from uuid import uuid4

import jax
import numpy as np
import pandas as pd

from . import __version__, checks
from .batch import MULTIPLE, Plan, in_parts, padded
from .prinz2004 import FROM_SETTINGS, SCHEMES, Prinz2004, State, neuron_models, precision
from .rhythm import FEATURES, MAX_PERIOD_CV, WHY, Measures, verdict, within

# %% [markdown]
# ## Circuits and their numbers
#
# A circuit is a row of a table: the names of its three cells, and the strengths of its seven synapses
# in nS. Its number counts through all combinations in the order of the columns, the last one fastest.


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

# %% tags=["active-ipynb"]
# assert TOTAL == 20_250_000
# dict(zip([axis.name for axis in AXES], SIZES))


# %%
def table(indices: Any) -> pd.DataFrame:
    """The circuits with some numbers, one row each, (circuit, 10): names of cells and strengths in nS. Raises ValueError."""
    i = checks.circuit_numbers(indices, TOTAL)
    columns = zip(AXES, np.unravel_index(i, SIZES), strict=True)
    return pd.DataFrame({a.name: np.array(a.values)[k] for a, k in columns}, index=pd.Index(i, name="index"))


def circuit(index: int, **kwargs: Any) -> Prinz2004:
    """The circuit with a number, 0…20,249,999; kwargs as for `Prinz2004`."""
    row = table([index]).iloc[0]
    return Prinz2004(dict.fromkeys(POPULATIONS, 1), {pair: row[name] for pair, name in zip(PAIRS, SYNAPSES, strict=True)},
                     neuron_models.loc[[row[pop] for pop in POPULATIONS]], **kwargs)  # fmt: skip


def index_of(what: Any) -> int:
    """The number of a circuit: a `Prinz2004`, or a row of a table (any mapping). Raises ValueError if it is none of the database."""
    row = row_of(what) if isinstance(what, Prinz2004) else dict(what)
    for axis in AXES:
        if row.get(axis.name) not in axis.values:
            raise ValueError(
                f"{axis.name} is {row.get(axis.name)!r}; circuits of the database have {checks.listing(axis.values)}. "
                "Run other circuits as a table of your own."
            )
    return int(np.ravel_multi_index([a.values.index(row[a.name]) for a in AXES], SIZES))


def row_of(model: Prinz2004) -> dict[str, Any]:
    """The row of a model; None where the database has no such cell. Raises ValueError if its circuit is another one."""
    pairs = dict(zip(model.synapses, map(float, model.params.gs), strict=True))
    sizes = {p.label: p.size for p in model.circuit.populations}
    if sizes != dict.fromkeys(POPULATIONS, 1) or any(g and pair not in PAIRS for pair, g in pairs.items()):
        raise ValueError(
            f"the circuit has the populations {sizes} and the synapses {list(pairs)}; circuits of the database have one cell of "
            f"each of {checks.listing(POPULATIONS)} and the synapses {checks.listing(SYNAPSES)}. Simulate it by itself."
        )
    names = {}
    for pop, g in zip(model.labels, np.asarray(model.params.g), strict=True):
        same = [name for name in neuron_models.index if np.array_equal(neuron_models.loc[name], g)]
        names[pop] = same[0] if same else None
    return names | {name: pairs.get(pair, 0.0) for pair, name in zip(PAIRS, SYNAPSES, strict=True)}


def sample(n: int, seed: int) -> pd.DataFrame:
    """n different circuits of the database, drawn at random; the same for the same n and seed."""
    checks.count("n", n, TOTAL)
    return table(np.random.default_rng(seed).choice(TOTAL, n, replace=False))


def grid(values: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """All combinations of values of some columns, numbered from 0; synapses that are not named have 0 nS.

    Columns: "AB/PD", "LP", "PY" (names of cells), single conductances such as "LP Na" (mS/cm²) that take the place of
    the cell's, and synapses such as "AB-LP" (nS). Raises ValueError for another name.
    """
    checks.columns(values, (*POPULATIONS, *MEMBRANE, *SYNAPSES))
    rows = pd.DataFrame(list(product(*values.values())), columns=list(values))
    rows = rows.assign(**{name: 0.0 for name in SYNAPSES if name not in rows})
    return rows.rename_axis("index")


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

# %%
RUN_FILE, LOCK_FILE, FORMAT = "_run.json", "_lock", 1


class Source:
    """Circuits in batches: numbers of the database, or a table."""

    def __init__(self, circuits: Any) -> None:
        self.circuits = checks.circuit_table(
            circuits, POPULATIONS, MEMBRANE, SYNAPSES, neuron_models.index, TOTAL
        )

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
        return hashlib.sha256(pd.util.hash_pandas_object(self.circuits).to_numpy().tobytes()).hexdigest()


def about(source: Source, options: Options) -> dict[str, Any]:
    """What a run is, for its file and for the metadata of its tables."""
    versions = {"pyloric_simulator": __version__, "jax": jax.__version__, "numpy": np.__version__}
    return {"format": FORMAT, "circuits": len(source), "fingerprint": source.fingerprint(), "max_period_cv": MAX_PERIOD_CV,
            **options._asdict(), "why": WHY, "versions": versions}  # fmt: skip


def part(path: Path, batch: int) -> Path:
    """The file of a batch."""
    return path / f"part-{batch:06d}.parquet"


def write_part(path: Path, batch: int, rows: pd.DataFrame, facts: Mapping[str, Any]) -> None:
    """Write one batch, so that its file is complete whenever it is there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = pa.Table.from_pandas(rows, preserve_index=True)
    data = data.replace_schema_metadata(
        {**data.schema.metadata, b"pyloric_simulator": json.dumps(facts, ensure_ascii=False).encode()}
    )
    draft = path / f".{part(path, batch).name}.{os.getpid()}"
    pq.write_table(data, draft, compression="zstd")
    draft.replace(part(path, batch))


def is_complete(file: Path) -> bool:
    """Whether a file is there and can be read."""
    import pyarrow.parquet as pq

    try:
        pq.read_metadata(file)
    except (OSError, ValueError):  # missing or damaged
        return False
    return True


def agree(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the run in a folder, which are these; written if the folder is new. Raises ValueError if they differ."""
    file = path / RUN_FILE
    if not file.exists():
        draft = path / f".{RUN_FILE}.{os.getpid()}"
        draft.write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
        draft.replace(file)
    old = json.loads(file.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(facts))
    for key in now:
        if old.get(key) != now[key]:
            raise ValueError(
                f"{path} holds a run with {key} = {old.get(key)!r}, and this one has {now[key]!r}; a folder holds one run. "
                "Choose another folder, or the same arguments and versions."
            )
    return old


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
    checks.engine(engine)
    checks.choice("solver", solver, SCHEMES)
    dt = checks.scheme(solver, dt, SCHEMES)
    checks.choice("dtype", dtype, ("float64", "float32"))
    checks.recording(duration, transient)
    share = -(-len(source) // len(local_devices()))
    lanes = min(LANES, share) if batch_size is None else checks.count("batch_size", batch_size, TOTAL)
    recorded, lanes = float(duration - transient), padded(max(lanes, MULTIPLE))
    return Job(source, Options(solver, dt, dtype, recorded, float(transient), lanes))


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
def run(
    circuits: Any, path: str | os.PathLike[str] | None = None, *, duration: float = DURATION, transient: float = TRANSIENT,
    solver: str = SOLVER, dt: float = DT, dtype: str = DTYPE, engine: Any = "local", batch_size: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Simulate circuits, measure and classify their rhythms: one row for each, in the order given.

    circuits: numbers of the database (an array, or a range), a table as from `sample`, `table` or `grid`, or one with
    the 24 conductances of `MEMBRANE` (mS/cm²) and the synapses (nS). path: folder for the rows, one file a batch; a run
    that was stopped continues. duration: ms, of which `transient` is left out. engine: "local" or a
    `dask.distributed.Client`. batch_size: circuits computed together. Raises ValueError or TypeError on bad input and on a
    folder that another process writes or that holds another run; a batch that fails is warned of and left out.
    """
    asked = dict(duration=duration, transient=transient, solver=solver, dt=dt, dtype=dtype, batch_size=batch_size)
    if path is not None:
        fill(circuits, path, engine=engine, progress=progress, **asked)
        return load(path)
    job = planned(circuits, engine, **asked)
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
    job, path = planned(circuits, engine, **asked), Path(path)
    with sole_writer(path):
        facts = agree(path, about(job.source, job.options))
        for draft in path.glob(".part-*.parquet.*"):  # of a run that was killed
            draft.unlink()
        todo = [batch for batch in job.batches if not is_complete(part(path, batch))]
        failed = []
        for outcome in outcomes(job, todo, engine, progress):
            if outcome.rows is None:
                failed.append(outcome)
            else:
                write_part(path, outcome.batch, outcome.rows, facts)
        warn_of_failures(failed, job)


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

    path: a folder written by `run`, or one Parquet file. Raises FileNotFoundError if there is none.
    """
    import pyarrow.parquet as pq

    checks.dataset(Path(path))
    return pq.read_table(
        path, columns=None if columns is None else list(columns), filters=filters, use_pandas_metadata=True
    ).to_pandas()


# %% [markdown]
# What a run is stands in its folder, and in each of its files, which may be copied elsewhere.


# %%
def facts_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a run is: solver, dt, versions and so on, from the metadata of its tables."""
    import pyarrow.parquet as pq

    checks.dataset(Path(path))
    if Path(path).is_dir():
        return json.loads((Path(path) / RUN_FILE).read_text(encoding="utf-8"))
    return json.loads(pq.read_schema(path).metadata[b"pyloric_simulator"])


def status(path: str | os.PathLike[str]) -> dict[str, int]:
    """Circuits asked for and circuits done in a folder. Raises FileNotFoundError if there is none."""
    facts = facts_of(path)
    n, size = facts["circuits"], facts["batch"]
    done = [k for k in range(-(-n // size)) if is_complete(part(Path(path), k))]
    return {"circuits": n, "done": sum(min(size, n - k * size) for k in done)}


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
    """95% interval of a fraction k/n, {eq}`eq-wilson`."""
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
    for name in (*POPULATIONS, *SYNAPSES) if named(rows) else ():
        share_of = lambda x: x.value_counts(normalize=True)  # noqa: E731
        both = {"all": share_of(rows[name]).sort_index(), "pyloric": share_of(rows[name][pyloric])}
        found[name] = pd.DataFrame(both).fillna(0.0)
    return pd.concat(found, names=["parameter", "value"]) if found else pd.DataFrame()


def summary(data: Any, max_cv: float = MAX_PERIOD_CV) -> Summary:
    """Fractions and distributions (as in P04, Fig. 6) of a table of `run`, or of the path of one.

    max_cv: largest coefficient of variation of the period of a pyloric-like circuit; np.inf asks for no period. Raises
    ValueError if there are no rows.
    """
    rows = data if isinstance(data, pd.DataFrame) else load(data)
    if not (n := len(rows)):
        raise ValueError("there are 0 circuits to sum up; there must be one at least. Run some of them first.")
    like, pyloric = verdict(rows[list(FEATURES)].to_numpy(), rows["period_cv"].to_numpy(), max_cv)
    counts = {"pyloric_like": int(like.sum()), "pyloric": int(pyloric.sum())}
    lines = [(k, n, k / n, *interval(k, n)) for k in counts.values()]
    fractions = pd.DataFrame(lines, list(counts), ["count", "of", "fraction", "low", "high"])
    return Summary(fractions, shares_among(rows, pyloric))

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
