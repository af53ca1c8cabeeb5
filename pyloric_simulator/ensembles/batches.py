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
# # Thousands of rows
#
# Whoever wants to know something of thousands of circuits has a table of inputs with a row for each, and wants the same table with
# the results beside them. This chapter computes such tables in **batches**, whatever a row is: on all cores, all GPUs or a cluster, with the
# results in memory, or in a folder that survives interruptions. The [circuits of the paper](../database.py) and the [draws from a
# prior](../fitting/inference.py) are computed by it.

# %%
from __future__ import annotations

import hashlib
import json
import os
import traceback
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import count, islice
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import jax
import numpy as np
import pandas as pd

from .. import __version__
from ..engine import checks
from ..files.seals import OF_FACTS, blank, is_intact, is_sealed, sealed
from ..files.writing import remove_drafts, write_whole

__all__ = ["Compute", "Tell", "Work", "facts_of", "fill", "fingerprint", "load", "run", "silent", "status"]

# %% [markdown]
# ## What there is to do
#
# A **work** says what its rows are, and hands out what computes some of them. Only that, and the rows of one batch, go to the cores or to
# the workers of a cluster, so a table of millions of rows stays where it is. What all batches share, such as states from which they start,
# is computed once, when it is handed out. While a batch is computed it may tell now and then what share of it is done.
#
# The cells of a result are numbers, truth values, texts, or lists of numbers such as spike times.

# %%
Tell = Callable[[float], None]  # hears the share of a batch that is done, and may raise to stop it


def silent(share: float) -> None:
    """Tells nobody."""


class Compute(Protocol):
    """Computes a batch: the rows with their results beside them, on a device of JAX, None for any. Can be pickled."""

    def __call__(self, rows: pd.DataFrame, *, device: Any, tell: Tell) -> pd.DataFrame: ...


class Work(Protocol):
    """Inputs, a row each, and how results are computed from them. Inherit it, and give the four that are abstract."""

    what: str = "rows"  # what a row is, in the plural, for messages
    row_bytes: int = 400  # of a row with its results in memory

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Plain data that decide the results, beside the inputs; a run with other facts is another run."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of rows."""

    @abstractmethod
    def rows(self, first: int, last: int) -> pd.DataFrame:
        """The inputs of some rows, with their labels."""

    @abstractmethod
    def prepared(self) -> Compute:
        """What computes a batch; asked for once, before the first one."""

    def fingerprint(self, rows: pd.DataFrame | None = None) -> str:
        """Changes with every value and label of some rows, or of all for None."""
        return fingerprint(self.rows(0, len(self)) if rows is None else rows)


def column_bytes(x: pd.Series) -> bytes:
    """The values of a column; the same ones after they were in a file."""
    if isinstance(x.dtype, np.dtype) and x.dtype.kind in "biuf":
        return x.to_numpy().tobytes()
    return "\0".join(
        str(np.asarray(v, float).tolist() if isinstance(v, (list, tuple, np.ndarray)) else v) for v in x
    ).encode()


def fingerprint(rows: pd.DataFrame, bytes_of: Callable[[pd.Series], bytes] = column_bytes) -> str:
    """Changes with the labels of rows, with the names of their columns, and with every value; `bytes_of` gives those of a column."""
    digest = hashlib.sha256(json.dumps(list(rows)).encode())
    for name in rows:
        digest.update(bytes_of(rows[name]))
    for level in range(rows.index.nlevels):
        digest.update("\0".join(map(str, rows.index.get_level_values(level))).encode())
    return digest.hexdigest()


def usable_labels(labels: pd.Index, columns: pd.Index) -> None:
    """The labels of rows are different ones, of one type, and their name is no column."""
    if labels.has_duplicates:
        raise ValueError(
            f"the table has {labels[labels.duplicated()][0]!s} as the label of several rows; each needs one of its own. Take "
            "rows.reset_index(drop=True), or drop the doubles."
        )
    for level in (labels.get_level_values(i) for i in range(labels.nlevels)):
        if level.hasnans or pd.api.types.infer_dtype(level).startswith("mixed"):
            raise ValueError(
                f"the labels of the table are {list(level[:3])!r}, …; all must be there, of one type. Take rows.reset_index(drop=True)."
            )
    for name in labels.names:
        if name in columns:
            raise ValueError(
                f"the labels of the table and a column are both named {name!r}; rename one: rows.rename_axis('index')."
            )


# %% [markdown]
# A work is cut into batches of one size, the last of which may have fewer rows. Whoever computes a batch hands back an `Outcome`. A batch
# that fails, because memory is short, say, costs no other batch: what went wrong is told, not raised.


# %%
class Job(NamedTuple):
    """A work in batches."""

    work: Work
    batch: int  # rows that are computed together

    @property
    def batches(self) -> range:
        """The numbers of all batches."""
        return range(-(-len(self.work) // self.batch))

    def size(self, batch: int) -> int:
        """Rows in a batch."""
        return min(self.batch, len(self.work) - batch * self.batch)

    def rows(self, batch: int) -> pd.DataFrame:
        """The inputs of a batch."""
        first = batch * self.batch
        return self.work.rows(first, min(first + self.batch, len(self.work)))


class Outcome(NamedTuple):
    """What became of a batch."""

    batch: int
    rows: pd.DataFrame | None  # None if it failed
    error: str  # empty if it did not


def attempt(compute: Compute, batch: int, rows: pd.DataFrame, device: Any = None, tell: Tell = silent) -> Outcome:
    """Compute one batch; what goes wrong is told, not raised."""
    try:
        return Outcome(batch, with_arrays(compute(rows, device=device, tell=tell)), "")
    except Exception:
        return Outcome(batch, None, traceback.format_exc())


def with_arrays(rows: pd.DataFrame) -> pd.DataFrame:
    """Cells that are lists of numbers as arrays, as they come back from a file."""
    lists = (list, tuple, np.ndarray)
    for name in [name for name, x in rows.items() if x.dtype == object and any(isinstance(v, lists) for v in x)]:
        cells = [as_array(str(name), v) if isinstance(v, lists) else v for v in rows[name]]
        rows = rows.assign(**{str(name): pd.Series(cells, rows.index, dtype=object)})
    return rows


def as_array(name: str, cell: Any) -> np.ndarray:
    """A list of numbers as an array (number,)."""
    x = cell if isinstance(cell, np.ndarray) else np.asarray(cell, float)
    if x.ndim != 1:
        raise ValueError(
            f"the column {name!r} has a cell of shape {x.shape}; a cell holds one list of numbers. Give each list a column of its own."
        )
    return x


# %% [markdown]
# ## A folder of results
#
# Each batch becomes one Parquet file, which appears under its name only when it is complete. A run that
# was stopped looks which files are there and computes the others. All batches have the same size,
# so a row is computed in the same way however often the run was stopped,
# and whoever computes it. A lock keeps a second writer out; the file `_run.json` holds what was asked
# for, and a run that asks for something else is refused.
#
# Every file says by itself what it is: of which run, which batch of it, and which rows; and it holds
# a checksum of all its bytes. So a part of another run, a copy under another name, or one of which a bit
# has changed is never taken for a batch that is done.
#
# What a run is, its **facts**, stand in its folder, and in each of its files, which may be copied
# elsewhere. The work's own ones come with the number of rows, their fingerprint and the versions of what computed them.

# %%
RUN_FILE, LOCK_FILE, FORMAT = "_run.json", "_lock", 2
ASIDE = "_aside"  # how the names of files begin that were set aside; readers of Parquet pass over the underscore
MOST_ROWS = 10**9  # of a run


def as_text(facts: Mapping[str, Any]) -> bytes:
    """Facts as JSON; the same facts give the same bytes."""
    return json.dumps(facts, ensure_ascii=False, indent=1).encode()


def about(job: Job) -> dict[str, Any]:
    """What a run is, for its file and for the metadata of its tables. Raises TypeError or ValueError for facts that cannot be written."""
    begin = {"format": FORMAT, "circuits": len(job.work), "fingerprint": job.work.fingerprint()}
    versions = {"pyloric_simulator": __version__, "jax": jax.__version__, "numpy": np.__version__}
    end = {"batch": job.batch, "versions": versions, "checksum": blank(OF_FACTS).decode()}
    if taken := [name for name in job.work.facts if name in begin or name in end]:
        raise ValueError(
            f"the work has a fact {taken[0]!r}; {checks.listing([*begin, *end])} are facts of every run. Give it another name."
        )
    try:
        return json.loads(sealed(as_text(begin | dict(job.work.facts) | end), OF_FACTS))
    except TypeError as error:
        raise TypeError(
            f"the facts of the work are no plain data: {error}; they must be numbers, texts, lists and mappings. Convert them."
        ) from None


def facts_in(data: bytes, where: Path) -> dict[str, Any]:
    """The facts that stand somewhere. Raises ValueError if they cannot be right."""
    cure = "Delete it and run the same again: batches that are done say the same and are kept."
    try:
        facts = json.loads(data)
        known = facts["format"] in range(1, FORMAT + 1)
        sizes = [checks.count(f"{name!r} in {where}", facts[name], MOST_ROWS) for name in ("circuits", "batch")]
        intact = known and (facts["format"] == 1 or is_intact(as_text(facts), OF_FACTS))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{where} is damaged, it does not say what the run is: {error}. {cure}") from None
    if not known:
        raise ValueError(
            f"{where} has the format {facts['format']}; this version reads up to {FORMAT}. Take the version that wrote it."
        )
    if not intact:
        raise ValueError(f"{where} is damaged: it asks for {sizes[0]:,} rows, but its checksum does not fit. {cure}")
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
    return (
        sorted(path.glob("part-*.parquet"), key=lambda file: (len(file.name), file.name)) if path.is_dir() else [path]
    )


def write_part(path: Path, batch: int, rows: pd.DataFrame, facts: Mapping[str, Any], inputs: str) -> None:
    """Write one batch, so that its file is complete whenever it is there; `inputs`: their fingerprint."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = pa.Table.from_pandas(rows, preserve_index=True)
    data = data.replace_schema_metadata({**data.schema.metadata, FACTS: json.dumps(facts, ensure_ascii=False).encode()})
    file = pa.BufferOutputStream()
    with pq.ParquetWriter(file, data.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(data)
        writer.add_key_value_metadata({PLACE: json.dumps({"batch": batch, "circuits": inputs}), SEAL: blank()})
    write_whole(part(path, batch), sealed(file.getvalue().to_pybytes()))


class Part(NamedTuple):
    """A file of results that was found intact."""

    file: Path
    data: bytes  # all of it
    about: Any  # its metadata, as Arrow has them
    facts: dict[str, Any] | None  # of its run; None for a table that no run has written
    place: dict[
        str, Any
    ]  # "batch" in the run, and the fingerprint of its inputs as "circuits"; empty in files of format 1

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return [name for name in self.about.schema.to_arrow_schema().names if not name.startswith("__index")]

    @property
    def size(self) -> int:
        """Number of rows."""
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
            pa.BufferReader(self.data),
            columns=columns,
            filters=filters,
            use_pandas_metadata=True,
            page_checksum_verification=True,
        )


def read_part(file: Path) -> Part:
    """A file of results. Raises ValueError if it is damaged, or no Parquet."""
    pa, pq = (checks.package(x, "parquet", "reading results") for x in ("pyarrow", "pyarrow.parquet"))
    data = file.read_bytes()
    if is_sealed(data) and not is_intact(data):
        raise ValueError(f"{file} is damaged: its checksum does not fit.")
    try:
        about = pq.read_metadata(pa.BufferReader(data))
        said = about.metadata or {}
        place = json.loads(said.get(PLACE, b"{}"))
    except Exception as error:  # whatever Arrow makes of damaged bytes
        raise ValueError(
            f"{file} is damaged, or no Parquet file: {str(error).strip().splitlines()[-1].rstrip('.')}."
        ) from None
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
# set aside, and its batch computed again. A run that an earlier version began goes on with the columns of that version.


# %%
def agree(path: Path, facts: Mapping[str, Any]) -> None:
    """Make sure that a folder is of this run, or new. Raises ValueError if it holds another one."""
    file, old = path / RUN_FILE, None
    if file.exists():
        try:
            old = facts_in(file.read_bytes(), file)
        except ValueError as error:
            warnings.warn(f"{error} It is written anew.", stacklevel=5)
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
        same = list(rows) == list(asked) and job.work.fingerprint(rows) == job.work.fingerprint(asked)
        return "" if same else f"{file} has other {job.work.what} than batch {batch}."
    except ValueError as error:
        return str(error)


def batches_done(path: Path, job: Job, facts: Mapping[str, Any]) -> set[int]:
    """The batches whose results are in a folder; files that are none are set aside, with a warning."""
    done = set()
    for file in parts_of(path):
        if text := wrong_with(file, job, facts):
            aside = next(new for i in count() if not (new := path / f"{ASIDE}-{i}-{file.name}").exists())
            file.rename(aside)
            warnings.warn(f"{text} It is set aside as {aside.name}, and its batch computed again.", stacklevel=5)
        else:
            done.add(int(file.stem.removeprefix("part-")))
    return done


# %% [markdown]
# ## Engines
#
# An engine takes the numbers of batches and yields their outcomes as they come. It keeps only a few
# batches at hand, since a table of millions of rows would not fit into the memory of most
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
# A batch may take a minute. Whenever it tells how far it is, the
# progress bar moves, and it is also the moment to give up: where a run is stopped, by Ctrl-C or by an error,
# its threads end after the part at hand.


# %%
def run_locally(
    job: Job, todo: Iterable[int], compute: Compute, tell: Callable[[int, float], None]
) -> Iterator[Outcome]:
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
            return attempt(compute, batch, job.rows(batch), device, partial(heard, batch))
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
def run_on_cluster(client: Any, job: Job, todo: Iterable[int], compute: Compute) -> Iterator[Outcome]:
    """Batches as they are done, on the workers of a dask cluster."""
    from dask.distributed import as_completed

    def submit(batch: int) -> Any:
        return client.submit(attempt, compute, batch, job.rows(batch), key=f"pyloric-{batch}-{uuid4()}")

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
# The progress bar counts rows, those done before included. Batches that are under way count with
# the share of them that is done.


# %%
@contextmanager
def meter(job: Job, todo: Sequence[int], shown: bool) -> Iterator[Callable[[int, float], None]]:
    """A progress bar; what it yields takes a batch and the share of it that is done, from any thread."""
    from tqdm import tqdm

    initial = len(job.work) - sum(map(job.size, todo))
    rows, lock = dict.fromkeys(todo, 0), Lock()
    with tqdm(total=len(job.work), initial=initial, unit=f" {job.work.what}", disable=not shown) as bar:

        def tell(batch: int, share: float) -> None:
            with lock:
                rows[batch] = int(share * job.size(batch))
                bar.update(initial + sum(rows.values()) - bar.n)

        yield tell


def outcomes(job: Job, todo: Sequence[int], engine: Any, progress: bool) -> Iterator[Outcome]:
    """The batches as they are done, with a progress bar."""
    compute = job.work.prepared()
    with meter(job, todo, progress) as tell:
        here = engine == "local"
        for outcome in run_locally(job, todo, compute, tell) if here else run_on_cluster(engine, job, todo, compute):
            yield outcome
            tell(outcome.batch, 1.0)


# %% [markdown]
# Batches that failed are named at the end, with what went wrong.


# %%
def warn_of_failures(failed: Sequence[Outcome], job: Job) -> None:
    """Tell which rows are missing, and why."""
    for f in failed:
        index = job.rows(f.batch).index
        warnings.warn(
            f"batch {f.batch} failed, {job.work.what} {list(index[:3])} to {index[-1]}: {f.error.strip().splitlines()[-1]} "
            f"All others are done. Run again to repeat only this batch.\n{f.error}", stacklevel=4,
        )  # fmt: skip


def planned(work: Work, batch_size: int, engine: Any) -> Job:
    """A work in batches, if an engine can do it. Raises ValueError or TypeError."""
    if engine != "local" and not hasattr(engine, "submit"):
        raise ValueError(f"engine is {engine!r}; it must be 'local' or a dask.distributed.Client. Pass one of these.")
    if not len(work):
        raise ValueError(f"there are 0 {work.what}; there must be one at least. Pass some.")
    return Job(work, checks.count("batch_size", batch_size))


# %% [markdown]
# `run` has its results in memory, or in a folder if it is given a path.


# %%
def run(
    work: Work, path: str | os.PathLike[str] | None = None, *, batch_size: int, engine: Any = "local", progress: bool = True
) -> pd.DataFrame:  # fmt: skip
    """Compute a work: its inputs with their results beside them, in the order of the rows.

    path: folder for the results, one file a batch; a run that was stopped continues. batch_size: rows computed together. engine: "local"
    or a `dask.distributed.Client`. Raises ValueError or TypeError on bad input and on a folder that another process writes or
    that holds another run, MemoryError if the results would not fit into memory; a batch that fails is warned of and left out, and so is a
    file of the folder that is damaged or not of this run, whose batch is computed again.
    """
    if path is not None:
        fill(work, path, batch_size=batch_size, engine=engine, progress=progress)
        return load(path)
    job = planned(work, batch_size, engine)
    checks.memory(
        f"the rows of {len(work):,} {work.what}",
        work.row_bytes * len(work),
        "Give the path of a folder, or use `fill`.",
    )
    every = sorted(outcomes(job, job.batches, engine, progress))
    warn_of_failures([x for x in every if x.rows is None], job)
    parts = [x.rows for x in every if x.rows is not None]
    return pd.concat(parts) if parts else work.rows(0, 0)


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
    work: Work, path: str | os.PathLike[str], *, batch_size: int, engine: Any = "local", progress: bool = True
) -> None:
    """`run` into a folder, for runs whose table would not fit into memory; arguments as there."""
    job, path = planned(work, batch_size, engine), folder_at(path)
    facts = about(job)
    with sole_writer(path):
        agree(path, facts)
        for pattern in (RUN_FILE, "part-*.parquet"):
            remove_drafts(path, pattern)
        done = batches_done(path, job, facts)
        begun_with = read_part(part(path, min(done))).names if done else None
        failed = []
        try:
            for outcome in outcomes(job, [batch for batch in job.batches if batch not in done], engine, progress):
                if outcome.rows is None:
                    failed.append(outcome)
                else:
                    write_part(
                        path,
                        outcome.batch,
                        outcome.rows.filter(begun_with or [*outcome.rows]),
                        facts,
                        work.fingerprint(job.rows(outcome.batch)),
                    )
                    done.add(outcome.batch)
        except KeyboardInterrupt as stop:
            number = sum(map(job.size, done))
            stop.add_note(
                f"Stopped: {number:,} of {len(work):,} {work.what} are done in {path}. Run the same again to go on from there."
            )
            raise
        warn_of_failures(failed, job)


def folder_at(path: Any) -> Path:
    """The path of a folder for results."""
    checks.package("pyarrow", "parquet", "a folder of results")
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
def load(path: str | os.PathLike[str], columns: Sequence[str] | None = None, filters: Any = None) -> pd.DataFrame:
    """The rows of a run in their order; `columns` and `filters` as for `pyarrow.parquet.read_table`.

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
            raise ValueError(
                f"{file} has no column {unknown[0]!r}.{checks.closest(unknown[0], names)} It has {checks.listing(names)}."
            ) from None
        raise ValueError(
            f"filters is {filters!r}, which cannot be used: {str(error).splitlines()[0]}. Write [('LP', '==', 'LP 2')], for example."
        ) from None


def files_at(path: str | os.PathLike[str]) -> list[Path]:
    """The files of results at a path. Raises FileNotFoundError if there is nothing of the kind."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path is {' '.join(f'{path!r:.80}'.split())}; it must be the path of a folder written by `run`, or of a Parquet file. Give one."
        )
    files = parts_of(Path(path))
    if not Path(path).exists() or not (files or (Path(path) / RUN_FILE).exists()):
        raise FileNotFoundError(
            f"{path} holds no results; it must be a folder written by `run`, or one of its files. Check the path."
        )
    return files


def facts_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a run is: its work's facts, versions and so on, from its folder or the metadata of its tables. Raises ValueError if nothing tells."""
    files, file = files_at(path), Path(path) / RUN_FILE
    if file.exists():
        return facts_in(file.read_bytes(), file)
    facts = first_facts(Path(path)) if Path(path).is_dir() else read_part(files[0]).facts
    if facts is None:
        raise ValueError(
            f"{path} does not say of which run it is; it must be a folder written by `run`, or one of its files. Check the path."
        )
    return facts


def status(path: str | os.PathLike[str]) -> dict[str, int]:
    """Rows asked for, as "circuits", and rows "done" in a folder or a file; damaged files do not count. Raises FileNotFoundError if there is none."""
    facts, done = facts_of(path), 0
    for file in files_at(path):
        try:
            found = read_part(file)
            done += 0 if Path(path).is_dir() and stranger(found, facts) else found.size
        except ValueError:
            continue
    return {"circuits": facts["circuits"], "done": done}


# %% [markdown]
# A work of one's own, for instance, counts up to numbers, and keeps the numbers that it counted. One of its batches gets lost; a second run
# computes that one again, and the table is the same.

# %% tags=["active-ipynb"]
# from dataclasses import dataclass
# from tempfile import TemporaryDirectory
#
#
# def count_up(rows, by, device, tell):
#     """Numbers up to that of each row."""
#     return rows.assign(counted=[np.arange(0.0, last, by) for last in rows["last"]])
#
#
# @dataclass(frozen=True)
# class Counting(Work):
#     """Numbers from 0 to those in a table, by equal steps."""
#
#     table: pd.DataFrame
#     by: float
#
#     facts = property(lambda self: {"by": self.by})
#     rows = lambda self, first, last: self.table.iloc[first:last]
#     prepared = lambda self: partial(count_up, by=self.by)
#     __len__ = lambda self: len(self.table)
#
#
# work = Counting(pd.DataFrame({"last": np.arange(100.0)}), by=0.5)
# with TemporaryDirectory() as folder:
#     first = run(work, folder, batch_size=16, progress=False)
#     part(Path(folder), 2).unlink()
#     assert status(folder) == {"circuits": 100, "done": 84}
#     pd.testing.assert_frame_equal(run(work, folder, batch_size=16, progress=False), first)
# first[:4]
