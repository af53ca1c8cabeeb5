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
# Whoever wants to know something of thousands of circuits, or of one cell under thousands of currents, has
# a table of inputs with a row for each, and wants the same table with the results beside them. The run
# takes an hour, or a night, or a week. What becomes of it when the machine is switched off at three in the
# morning, when the disk flips a bit, or when a colleague starts a run into the same folder? What follows is
# a run that lost a part of its results, and got them back.

# %% tags=["active-ipynb", "remove-cell"]
# import textwrap
#
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "Rate of a leaky cell under constant currents, from a table of spike times in a folder.", "name": "fig-batches"}}
# from dataclasses import dataclass
# from functools import partial
# from pathlib import Path
# from tempfile import TemporaryDirectory
#
# import numpy as np
# import pandas as pd
#
# from .batches import Work, part, run, status
#
#
# def fire(rows, τ, device, tell):
#     """Spike times (ms) of a leaky cell under a constant current, in units of the weakest one that makes it fire."""
#     periods = τ * np.log(rows["current"] / (rows["current"] - 1))
#     return rows.assign(spikes=[np.arange(T, 1000.0, T) for T in periods])
#
#
# @dataclass(frozen=True)
# class Currents(Work):
#     """A cell with a time constant τ (ms) under the currents of a table."""
#
#     table: pd.DataFrame
#     τ: float
#
#     facts = property(lambda self: {"τ": self.τ})
#     rows = lambda self, first, last: self.table.iloc[first:last]
#     prepared = lambda self: partial(fire, τ=self.τ)
#     __len__ = lambda self: len(self.table)
#
#
# work = Currents(pd.DataFrame({"current": np.linspace(1.01, 5, 100)}), τ=20.0)
# with TemporaryDirectory() as folder:
#     first = run(work, folder, batch_size=16, progress=False)
#     part(Path(folder), 2).unlink()
#     assert status(folder) == {"circuits": 100, "done": 84}
#     again = run(work, folder, batch_size=16, progress=False)
# pd.testing.assert_frame_equal(again, first)
# rate = again["spikes"].map(len)
# curve = hv.Curve((again["current"], rate), "current (of the weakest that fires)", "spikes per second")
# curve.opts(width=480, height=260, toolbar=None)

# %% [markdown]
# A hundred rows were computed in seven **batches** of 16, and each became a file. The third file was
# deleted. `status` found 84 rows done; the second run computed that batch and no other, and the table is
# the same. Had the power failed in the middle, it would have been the same story.
#
# This chapter computes such tables, whatever a row is: on all cores, all GPUs or a cluster, with the
# results in memory, or in a folder that survives interruptions. The [circuits of the
# paper](../database.py), [ensembles](ensemble.py) of any model and the [draws from a
# prior](../fitting/inference.py) are computed by it. Who uses these need not read on.
#
# ## What it does and what it costs
#
# This is the engine room of the part on millions of circuits. It knows nothing of circuits, and may be of
# use for anything that is a table of independent rows: a model of another simulator, an analysis of
# recordings, a file to each row.
#
# A **work** says what its rows are, and hands out what computes some of them. That of the example is a
# leaky cell,
#
# $$
# τ \frac{dV}{dt} = I - V, \qquad V: 1 \to 0, \qquad T = τ \ln\frac{I}{I - 1},
# $$ (eq-leaky)
#
# whose threshold is at 1 and which starts again from 0, so that a constant current $I$ makes it fire every
# $T$ ms. Four things make a work:
#
# facts
# : plain data that decide the results besides the rows: here $τ$. A folder knows a run by them.
#
# a length
# : how many rows there are.
#
# rows
# : some of the inputs, as a table, with their labels.
#
# prepared
# : a function that takes the rows of a batch, and returns them with results in further columns.
#
# `run` computes a work, and returns all rows in their order; `fill` only fills a folder, for tables that
# would not fit into memory; `load` reads a folder, or some of its columns or rows; `status` says how much
# is done; `facts_of` what the run was. The cells of a result are numbers, truth values, texts, or lists of
# numbers such as spike times.
#
# A batch should take from seconds to a minute. What is lost when a machine stops are the batches under way,
# each half done on average, so that smaller ones lose less. But each is a file, and is compiled for its
# number of rows if it is computed by JAX. A batch of 2,048 circuits of the database takes some twenty
# seconds of a core to compute; it takes 0.03 s to write (measured on two cores of a shared machine), and
# 170 kB.
#
# Rows must be independent of each other: what a row becomes may not depend on which rows share its batch.
# It is what allows to cut the table anywhere, to compute the pieces in any order and anywhere, and to
# repeat one of them. Chance is no exception. A work that draws random numbers takes them from a seed and
# the number or the label of the row, as those of the next chapters do, and never from a generator that all
# rows share.
#
# What computes a batch is a function or a method that can be pickled, for a cluster, with the numbers that
# it needs bound to it by `partial`; it need not know of JAX. `device` is where JAX should compute, one of
# several GPUs for instance, and None where that is no matter. To call `tell(0.5)` in the middle is a
# courtesy, which makes the bar move and lets the batch be stopped.
#
# Why files, and no server with a database? A folder can be copied, shared and archived; there is nothing to
# install and nothing to keep running; and on a cluster it is what all machines have. The price is that
# there is one writer, here the process that calls `run`. On a cluster the workers send it their results,
# and it alone writes.
#
# The extra `parquet` has what folders need. They hold Parquet files, an open format that most tools for
# tables read.
#
# ## Mechanics
#
# The order is that of the data: a work is cut into batches, a batch is computed, its result becomes a file,
# a folder of files is compared with what is asked for, engines distribute what is missing, and at last
# everything is read back.

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

__all__ = ["Compute", "Tell", "Work", "facts_of", "fill", "fingerprint", "interval", "load", "run", "silent", "status"]

# %% [markdown]
# ### What there is to do
#
# Only what computes a batch, and the rows of one batch, go to the cores or to the workers of a cluster, so
# a table of millions of rows stays where it is. What all batches share, such as states from which they
# start, is computed once, when it is handed out. While a batch is computed it may tell now and then what
# share of it is done; whoever hears it may raise, and that is how a batch is stopped.

# %%
Tell = Callable[[float], None]  # hears the share of a batch that is done, and may raise to stop it


def silent(share: float) -> None:
    """Tells nobody."""


class Compute(Protocol):
    """Computes a batch: the rows with their results beside them, on a device of JAX, None for any. Can be pickled."""

    def __call__(self, rows: pd.DataFrame, *, device: Any, tell: Tell) -> pd.DataFrame: ...


# %% [markdown]
# A work may say how its rows are called in messages, and how much memory one takes. Its fingerprint is a
# number of 256 bits that changes with every value: by it a folder knows whether a run that comes back has
# the same inputs, without keeping them.


# %%
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


# %% [markdown]
# ### Fingerprints
#
# A fingerprint must not depend on how a value is stored: a column of lists comes back from a file as
# arrays, and numbers as the numbers they were. So numbers count by their bytes, and everything else by its
# text. The names of columns and all labels count as well, each level of them: two tables with the same
# numbers under other names are two runs. It takes some 14 ms for 2,048 rows of 44 columns, a thousandth of
# the time that it takes to compute them, and so can be taken again for each batch that is found in a
# folder.


# %%
def column_bytes(x: pd.Series) -> bytes:
    """The values of a column; the same ones after they were in a file."""
    if isinstance(x.dtype, np.dtype) and x.dtype.kind in "biuf":
        return x.to_numpy().tobytes()
    return "\0".join(
        str(np.asarray(v, float).tolist() if isinstance(v, (list, tuple, np.ndarray)) else v) for v in x
    ).encode()


def fingerprint(rows: pd.DataFrame, bytes_of: Callable[[pd.Series], bytes] = column_bytes) -> str:
    """Changes with the labels of rows, with the names of their columns, and with every value.

    `bytes_of` gives those of a column.
    """
    digest = hashlib.sha256(json.dumps(list(rows)).encode())
    for name in rows:
        digest.update(bytes_of(rows[name]))
    for level in range(rows.index.nlevels):
        digest.update("\0".join(map(str, rows.index.get_level_values(level))).encode())
    return digest.hexdigest()


# %% [markdown]
# Labels come back from a file only if they are of one type, and a row is found again only if its label is
# its own. A table that was cut out of larger ones and glued together has some labels twice, which is easily
# overlooked; it is refused.


# %%
def usable_labels(labels: pd.Index, columns: pd.Index) -> None:
    """The labels of rows are different ones, of one type, and their name is no column."""
    if labels.has_duplicates:
        raise ValueError(
            f"the table has {labels[labels.duplicated()][0]!s} as the label of several rows; each needs one of its "
            "own. Take "
            "rows.reset_index(drop=True), or drop the doubles."
        )
    for level in (labels.get_level_values(i) for i in range(labels.nlevels)):
        if level.hasnans or pd.api.types.infer_dtype(level).startswith("mixed"):
            raise ValueError(
                f"the labels of the table are {list(level[:3])!r}, …; all must be there, of one type. Take "
                "rows.reset_index(drop=True)."
            )
    for name in labels.names:
        if name in columns:
            raise ValueError(
                f"the labels of the table and a column are both named {name!r}; rename one: rows.rename_axis('index')."
            )


# %% [markdown]
# ### Batches
#
# A work is cut into batches of one size $b$, the last of which may have fewer rows: of $n$ rows there are
# $\lceil n/b \rceil$ batches, and batch $i$ has the rows from $ib$ to $\min(ib + b, n)$. Nothing else is
# needed to know what a batch is; its number says it all.


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


# %% [markdown]
# Whoever computes a batch hands back an `Outcome`. A batch that fails, because memory is short, say, costs
# no other batch: what went wrong is told, not raised. If one row in a million cannot be computed, the
# million is not lost.


# %%
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


# %% [markdown]
# Lists become arrays here, as they come back from a file, so that a table from memory and one from a folder
# are equal. A list of lists is refused: a matrix in a cell is read differently by each tool.


# %%
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
            f"the column {name!r} has a cell of shape {x.shape}; a cell holds one list of numbers. Give each list a "
            "column of its own."
        )
    return x


# %% [markdown]
# ### A folder of results
#
# Each batch becomes one Parquet file, which appears under its name only when it is complete: it is written
# under another name first, and renamed, which a file system does at once or not at all. A run that was
# stopped looks which files are there and computes the others. All batches have the same size, so a row is
# computed in the same way however often the run was stopped, and whoever computes it. A lock keeps a second
# writer out; the file `_run.json` holds what was asked for, and a run that asks for something else is
# refused.
#
# Every file says by itself what it is: of which run, which batch of it, and which rows; and it holds a
# checksum of all its bytes. So a part of another run, a copy under another name, or one of which a bit has
# changed is never taken for a batch that is done. How likely is a flipped bit? Rare in one file, and
# certain in the end in an archive that is copied for years. How likely is it that SHA-256 overlooks one? It
# is not: among $2^{256}$ values no two files with the same one are known.

# %%
RUN_FILE, LOCK_FILE, FORMAT = "_run.json", "_lock", 2
ASIDE = "_aside"  # how the names of files begin that were set aside; readers of Parquet pass over the underscore
MOST_ROWS = 10**9  # of a run

# %% [markdown]
# What a run is, its **facts**, stand in its folder, and in each of its files, which may be copied
# elsewhere. The work's own ones come with the number of rows, their fingerprint, the size of a batch, and
# the versions of what computed them. They are written as JSON, always in one order, so that equal facts are
# equal bytes and can have a checksum of their own.


# %%
def as_text(facts: Mapping[str, Any]) -> bytes:
    """Facts as JSON; the same facts give the same bytes."""
    return json.dumps(facts, ensure_ascii=False, indent=1).encode()


def about(job: Job) -> dict[str, Any]:
    """What a run is, for its file and for the metadata of its tables.

    Raises TypeError or ValueError for facts that cannot be written.
    """
    begin = {"format": FORMAT, "circuits": len(job.work), "fingerprint": job.work.fingerprint()}
    versions = {"pyloric_simulator": __version__, "jax": jax.__version__, "numpy": np.__version__}
    end = {"batch": job.batch, "versions": versions, "checksum": blank(OF_FACTS).decode()}
    if taken := [name for name in job.work.facts if name in begin or name in end]:
        raise ValueError(
            f"the work has a fact {taken[0]!r}; {checks.listing([*begin, *end])} are facts of every run. Give it "
            "another name."
        )
    try:
        return json.loads(sealed(as_text(begin | dict(job.work.facts) | end), OF_FACTS))
    except TypeError as error:
        raise TypeError(
            f"the facts of the work are no plain data: {error}; they must be numbers, texts, lists and mappings. "
            "Convert them."
        ) from None


# %% [markdown]
# Reading facts means not to believe them. A file of another program, one that breaks off, one whose numbers
# are no numbers, and one that was changed by hand are told apart, since what to do is not the same. Format
# 1 is that of an earlier version, without checksums, and can still be read.


# %%
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
            f"{where} has the format {facts['format']}; this version reads up to {FORMAT}. Take the version that wrote "
            "it."
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
# ### Parts
#
# A run of the whole database in batches of 2,048 has 9,888 parts of some 170 kB. Much smaller parts would
# make the folder slow to list and their metadata larger than their data; much larger ones would be lost at
# once.
#
# The names of files count through the batches with six digits, so that a list by name is a list in order;
# beyond a million batches the length of the name decides first. The metadata of Parquet have room for keys
# of one's own: what the run is, which batch this is with the fingerprint of its inputs, and the seal.

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


# %% [markdown]
# A part is made in memory, sealed, and written as a whole. The seal is the SHA-256 of all bytes with zeros
# in its own place, since a checksum cannot contain itself. Pages have checksums besides, by which other
# tools find out. Compression by zstd makes the reasons and truth values of the database almost vanish;
# features of rhythms are nearly incompressible.


# %%
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


# %% [markdown]
# A part that was found intact keeps its bytes, from which columns or rows are taken as they are wanted.
# There are two ways through Arrow: the plain one, and one with filters, which is slower.


# %%
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


# %% [markdown]
# A part is read as a whole, and its checksum compared, before anything in it is believed. A library that
# reads damaged bytes may crash, or, worse, return numbers. A seal that is missing counts as damage, too, in
# all files that should have one.


# %%
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


# %% [markdown]
# An intact file may still be in the wrong place. It is a stranger if it says nothing of a run, if its run
# is another, or if it says that it is another batch than its name does.


# %%
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
# ### What is there already
#
# A run that finds its folder begun compares all of it with what it was asked for. Without `_run.json`, or
# with a damaged one, the parts say what the run was. Different facts are refused and never overwritten: the
# message names the first fact that differs, with both values. Versions are among the facts, since another
# version may round otherwise, and a table of two kinds of rows is no table.


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
            f"{path} holds a run with {text}; a folder holds one run. {old_format}Choose another folder, or the same "
            "arguments and versions."
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


# %% [markdown]
# A folder that was begun by the same call but other versions of JAX or NumPy is refused as well. It is
# still read by `load`; and the message says which version would go on.
#
# Then each file is looked at: is it intact, of this run, the batch that its name says, and are its inputs,
# which stand in it beside the results, those that the work has for this batch? A run that an earlier
# version began goes on with the columns of that version.


# %%
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


# %% [markdown]
# A file that cannot be read or belongs elsewhere is set aside under a name that readers of Parquet pass
# over, and its batch computed again. Nothing is deleted: it may be all that is left of something.


# %%
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
# ### This machine
#
# Three things are left to a run once it knows what is missing: to hand out batches, to hear how far they
# are, and to collect what they become. An engine takes the numbers of batches and yields their outcomes as
# they come. It keeps only a few batches at hand, since a table of millions of rows would not fit into the
# memory of most machines.
#
# The local engine gives each core of the processor a thread, or each GPU, and a batch to each. Threads
# suffice, because compiled code runs without Python's lock. Each batch uses one core, and not all of them a
# part of the batch: so no core waits for another, and a result does not depend on how many there are. The
# cores that a job may use are counted, on a cluster often fewer than the machine has.


# %%
def local_devices() -> list[Any]:
    """One entry for each batch that runs at the same time."""
    devices = jax.devices()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return devices[:1] * cores if devices[0].platform == "cpu" else devices


# %% [markdown]
# Whenever one of them is done, the next one begins. The set of what is under way is filled up to $n$, one
# waits until the first is done, and so on: batches of different length cost no time.


# %%
def as_they_end(submit: Callable[[int], Future[Outcome]], todo: Iterable[int], n: int) -> Iterator[Outcome]:
    """The outcomes of batches, n of which are under way at a time."""
    waiting, running = iter(todo), set[Future[Outcome]]()
    while running := running | {submit(batch) for batch in islice(waiting, n - len(running))}:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


# %% [markdown]
# A batch may take a minute. Whenever it tells how far it is, the progress bar moves, and it is also the
# moment to give up: where a run is stopped, by Ctrl-C or by an error, its threads end after the part at
# hand. A thread cannot be killed from outside, so each asks, when it tells, whether it should go on. Free
# devices stand in a queue, from which a thread takes one and to which it gives it back.


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
# A [dask](https://distributed.dask.org) client sends the same batches to the workers of a cluster, and
# those of a lost worker to another one. A batch whose workers die again and again has failed; its number
# stands in the key of its future, since a worker that died left no result to say it.


# %%
def outcome_of(future: Any) -> Outcome:
    """What became of a batch, also where its workers died."""
    batch = int(future.key.split("-")[1])
    return future.result() if future.status == "finished" else Outcome(batch, None, str(future.exception()))


# %% [markdown]
# Two batches for each worker are under way, so that none waits for the next one to arrive. Results are
# dropped from the cluster once they are here. The keys have a random end: dask gives a task that it has
# seen the result that it had, and a batch that failed should be tried again.


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
# ### Progress
#
# The progress bar counts rows, those done before included. Batches that are under way count with the share
# of them that is done, in whole rows. Several threads tell at once, so a lock lets one of them move the bar
# at a time.


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


# %% [markdown]
# The engine is chosen here. A batch counts as done after its outcome was taken, for instance written to a
# file, and not before.


# %%
def outcomes(job: Job, todo: Sequence[int], engine: Any, progress: bool) -> Iterator[Outcome]:
    """The batches as they are done, with a progress bar."""
    compute = job.work.prepared()
    with meter(job, todo, progress) as tell:
        here = engine == "local"
        for outcome in run_locally(job, todo, compute, tell) if here else run_on_cluster(engine, job, todo, compute):
            yield outcome
            tell(outcome.batch, 1.0)


# %% [markdown]
# Batches that failed are named at the end, with the labels of their rows and what went wrong, once they are
# all known: a warning in the middle of a night would be far up on the screen by the morning.


# %%
def warn_of_failures(failed: Sequence[Outcome], job: Job) -> None:
    """Tell which rows are missing, and why."""
    for f in failed:
        index = job.rows(f.batch).index
        warnings.warn(
            f"batch {f.batch} failed, {job.work.what} {list(index[:3])} to {index[-1]}: "
            f"{f.error.strip().splitlines()[-1]} "
            f"All others are done. Run again to repeat only this batch.\n{f.error}", stacklevel=4,
        )  # fmt: skip


# %% [markdown]
# Before anything is computed: is the engine one, are there rows, is the size of a batch a number? An engine
# is told by what it can do, to take a task, so that dask need not be imported by those who do not use it.


# %%
def planned(work: Work, batch_size: int, engine: Any) -> Job:
    """A work in batches, if an engine can do it. Raises ValueError or TypeError."""
    if engine != "local" and not hasattr(engine, "submit"):
        raise ValueError(f"engine is {engine!r}; it must be 'local' or a dask.distributed.Client. Pass one of these.")
    if not len(work):
        raise ValueError(f"there are 0 {work.what}; there must be one at least. Pass some.")
    return Job(work, checks.count("batch_size", batch_size))


# %% [markdown]
# ### A run
#
# `run` has its results in memory, or in a folder if it is given a path. How much memory the table will take
# is compared with what there is before the first batch, and not found out after the last. Outcomes come in
# the order in which they end, and are sorted by the number of the batch; so the rows are those of the work,
# in their order.


# %%
def run(
    work: Work, path: str | os.PathLike[str] | None = None, *, batch_size: int, engine: Any = "local",
    progress: bool = True
) -> pd.DataFrame:  # fmt: skip
    """Compute a work: its inputs with their results beside them, in the order of the rows.

    path: folder for the results, one file a batch; a run that was stopped continues. batch_size: rows computed
    together. engine: "local" or a `dask.distributed.Client`. Raises ValueError or TypeError on bad input and on a
    folder that another process writes or that holds another run, MemoryError if the results would not fit into
    memory; a batch that fails is warned of and left out, and so is a file of the folder that is damaged or not of
    this run, whose batch is computed again.
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
# A folder has one writer, which holds its lock. Two would not spoil it, since files appear whole, but would
# do the same work twice. The operating system frees the lock of a process that dies, so that no stale lock
# has to be removed by hand.


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
            f"{path} is being written by another process; a folder has one writer. Wait for it, or choose another "
            "folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


# %% [markdown]
# `fill` computes what a folder lacks. Nothing of it stays in memory. Drafts, files under their first names
# whose writer died, are swept up. Ctrl-C gets a note that says how much is done and how to go on.
#
# If the process is killed outright, no note is left, and nothing is needed either: what is done stands in
# the folder, and what is not is computed by the next call. There is no state anywhere else.


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
                f"Stopped: {number:,} of {len(work):,} {work.what} are done in {path}. Run the same again to go on "
                "from there."
            )
            raise
        warn_of_failures(failed, job)


# %% [markdown]
# The path must be meant as a folder. `True` and an empty text are more often a mistake than a place.


# %%
def folder_at(path: Any) -> Path:
    """The path of a folder for results."""
    checks.package("pyarrow", "parquet", "a folder of results")
    if isinstance(path, bool) or not isinstance(path, (str, os.PathLike)) or str(path) in ("", "memory"):
        raise TypeError(
            f"path is {path!r}; it must be the path of a folder, such as 'results', or None for results in memory. "
            "Give one of these."
        )
    if Path(path).exists() and not Path(path).is_dir():
        raise ValueError(f"{path} is a file; results are written into a folder. Give another path.")
    return Path(path)


# %% [markdown]
# ### Reading back
#
# A folder of results is an ordinary set of Parquet files, so that any tool reads it. `load` takes some of
# the columns or rows, too, which matters for a table of gigabytes: of ten million rows with 44 columns, two
# columns are a hundred and sixty megabytes, and all of them two and a half thousand. Filters are those of
# Arrow, `[("LP", "==", "LP 2")]` for instance, and are applied file by file, several at a time.


# %%
def load(path: str | os.PathLike[str], columns: Sequence[str] | None = None, filters: Any = None) -> pd.DataFrame:
    """The rows of a run in their order; `columns` and `filters` as for `pyarrow.parquet.read_table`.

    path: a folder written by `run`, or one Parquet file. Raises FileNotFoundError if there is none, and ValueError
    for a file that is damaged or not the part of the run that its name says, and for other columns.
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


# %% [markdown]
# A damaged file stops the reading, with the name of the file and the cure. To leave it out silently would
# bias whatever is made of the table: of a random sample no harm, of a grid a hole in one corner.


# %%
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
                f"{file} has no column {unknown[0]!r}.{checks.closest(unknown[0], names)} It has "
                f"{checks.listing(names)}."
            ) from None
        raise ValueError(
            f"filters is {filters!r}, which cannot be used: {str(error).splitlines()[0]}. Write [('LP', '==', 'LP "
            "2')], for example."
        ) from None


# %% [markdown]
# A folder, a single part and a copy of a part are all results; a folder that a run has begun, without a
# part so far, is an empty table.


# %%
def files_at(path: str | os.PathLike[str]) -> list[Path]:
    """The files of results at a path. Raises FileNotFoundError if there is nothing of the kind."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path is {' '.join(f'{path!r:.80}'.split())}; it must be the path of a folder written by `run`, or of a "
            "Parquet file. Give one."
        )
    files = parts_of(Path(path))
    if not Path(path).exists() or not (files or (Path(path) / RUN_FILE).exists()):
        raise FileNotFoundError(
            f"{path} holds no results; it must be a folder written by `run`, or one of its files. Check the path."
        )
    return files


# %% [markdown]
# What a run was can be asked of its folder, and where `_run.json` is gone, of any part that can still be
# read. `status` counts the rows of the files that are intact and of this run, so that what it calls done
# will not be computed again.


# %%
def facts_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a run is: its work's facts, versions and so on, from its folder or the metadata of its tables.

    Raises ValueError if nothing tells.
    """
    files, file = files_at(path), Path(path) / RUN_FILE
    if file.exists():
        return facts_in(file.read_bytes(), file)
    facts = first_facts(Path(path)) if Path(path).is_dir() else read_part(files[0]).facts
    if facts is None:
        raise ValueError(
            f"{path} does not say of which run it is; it must be a folder written by `run`, or one of its files. Check "
            "the path."
        )
    return facts


def status(path: str | os.PathLike[str]) -> dict[str, int]:
    """Rows asked for, as "circuits", and rows "done" in a folder or a file.

    Damaged files do not count. Raises FileNotFoundError if there is none.
    """
    facts, done = facts_of(path), 0
    for file in files_at(path):
        try:
            found = read_part(file)
            done += 0 if Path(path).is_dir() and stranger(found, facts) else found.size
        except ValueError:
            continue
    return {"circuits": facts["circuits"], "done": done}


# %% [markdown]
# ### Shares
#
# Most tables end as shares: so many of so many rows are of a kind. How well a share is known is told by the
# interval of Wilson, {eq}`eq-wilson`, which the chapter on [the database](../database.py) explains.

# %%
Z = 1.959964  # of a 95% interval


def interval(k: int, n: int) -> tuple[float, float]:
    """95% interval of a fraction k/n, {eq}`eq-wilson`.

    Raises ValueError or TypeError unless n is a whole number, and k one from 0 to n.
    """
    n = checks.count("n", n)
    k = checks.count("k", k, n, least=0)
    p, c = k / n, Z * Z / n
    half = Z * np.sqrt(p * (1 - p) / n + c / (4 * n))
    return float((p + c / 2 - half) / (1 + c)), float((p + c / 2 + half) / (1 + c))


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-one-bit
# Change one bit of one file of the run above. What do `load` and `status` say, and what does a second run
# do?
# ```
#
# ```{solution-start} ex-one-bit
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# with TemporaryDirectory() as folder:
#     run(work, folder, batch_size=16, progress=False)
#     file = part(Path(folder), 4)
#     damaged = bytearray(file.read_bytes())
#     damaged[len(damaged) // 3] ^= 1
#     file.write_bytes(damaged)
#     assert status(folder)["done"] == 84
#     try:
#         load(folder)
#     except ValueError as error:
#         print(textwrap.fill(str(error), 100))
#     with warnings.catch_warnings(record=True) as said:
#         warnings.simplefilter("always")
#         mended = run(work, folder, batch_size=16, progress=False)
# print(textwrap.fill(str(said[0].message), 100))
# pd.testing.assert_frame_equal(mended, first)

# %% [markdown]
# `load` refuses it, `status` does not count it, and the second run sets the file aside and computes the
# batch again. Without the checksum one number in a thousand would now be a little wrong, or very wrong, and
# nobody would know.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-other-facts
# The cell should have had a time constant of 25 ms. What happens if the run is repeated with it in the same
# folder? What would be the harm if it were allowed?
# ```
#
# ```{solution-start} ex-other-facts
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# with TemporaryDirectory() as folder:
#     run(work, folder, batch_size=16, progress=False)
#     try:
#         run(Currents(work.table, τ=25.0), folder, batch_size=16, progress=False)
#     except ValueError as error:
#         print(textwrap.fill(str(error), 100))

# %% [markdown]
# It is refused, with the fact that differs. If it were allowed and the first run had been stopped in the
# middle, half of the table would be of one cell and half of another.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-one-bad-row
# A current of exactly 1, the weakest that fires, makes the cell wait forever, and a mistake in the code
# raises an error for it. How many rows are lost, and how does one learn of it?
# ```
#
# ```{solution-start} ex-one-bad-row
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def strict(rows, τ, device, tell):
#     """The same, but for currents that do not make it fire."""
#     if (rows["current"] <= 1).any():
#         raise ZeroDivisionError("no spikes")
#     return fire(rows, τ, device, tell)
#
#
# class Strict(Currents):
#     """Currents of which one is too weak."""
#
#     prepared = lambda self: partial(strict, τ=self.τ)
#
#
# with_one = pd.concat([pd.DataFrame({"current": [1.0]}), work.table], ignore_index=True)
# with warnings.catch_warnings(record=True) as said:
#     warnings.simplefilter("always")
#     found = run(Strict(with_one, τ=20.0), batch_size=16, progress=False)
# print(textwrap.fill(str(said[0].message).splitlines()[0], 100))
# assert len(found) == len(with_one) - 16

# %% [markdown]
# The sixteen of its batch. The warning at the end names them, and the error. A work that knows of bad rows
# should return NaN for them, as those of the next chapters do.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-size-of-batches
# A run of 20,250,000 circuits takes 28 hours on two cores, in batches of 2,048 that take 20 s of a core.
# The power fails at a random moment. How much work is lost on average, in memory and in a folder? How does
# it depend on the size of the batches?
# ```
#
# ```{solution-start} ex-size-of-batches
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# hours, cores, seconds = 28, 2, 20
# in_memory, in_folder = hours / 2 * cores, cores * seconds / 2 / 3600  # hours of a core
# assert 28 == in_memory and in_folder < 0.01
# in_memory / in_folder

# %% [markdown]
# In memory all that was done so far, 14 hours of both cores. In a folder the two batches at hand, each half
# done: 20 s of one core, five thousand times less. It grows in proportion to the size of a batch, and with
# batches of an hour it would be an hour.
# ```{solution-end}
# ```
