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
# # Recordings from a rig
#
# Two electrodes in a ganglion, an amplifier, a disk full of `.abf` files: is this preparation {term}`pyloric`?
# The functions of the chapter [on rhythm](../rhythm.py) answer it for a file as they do for a run. The text
# below is such as an amplifier's software writes it on a computer of a lab in Germany: semicolons between
# columns, commas for decimals, a row of units, seconds and volts, and a current that is no potential.

# %% tags=["active-ipynb", "remove-cell"]
# import os
# import tempfile
#
# folder = tempfile.TemporaryDirectory()
# os.chdir(folder.name)

# %% tags=["active-ipynb"]
# from pathlib import Path
#
# import numpy as np
#
# from ..config import find_circuit
# from ..files.recording import read_recording
# from ..prinz2004 import Prinz2004
# from ..rhythm import summary
#
# run = Prinz2004.from_toml(find_circuit("paper"))(np.arange(0, 9000, 0.5))[1000:]
# rows = [f"{t / 1000:.4f};{a / 1000:.7f};{b / 1000:.7f};0,2".replace(".", ",") for t, (a, b, _) in zip(run.t, run.states.V)]
# Path("crab.txt").write_text("\n".join(["Zeit;ch1;ch2;I", "s;V;V;nA", *rows]), encoding="cp1252")
#
# crab = read_recording("crab.txt", {"PD": "ch1", "LP": "ch2"})
# summary(crab)[["bursts", "spikes", "period (ms)", "duty cycle", "phase"]].round(3)

# %% [markdown]
# The same table follows from the run itself, to the digits that the text keeps: seconds became milliseconds and
# volts millivolts by what the file says. At a terminal it is `pyloric rhythm crab.txt --cells
# PD=ch1,LP=ch2,PY=ch3`.
#
# ## What can be read
#
# | file | needs | units |
# |:--|:--|:--|
# | text: `.csv`, `.txt`, `.tsv`, `.atf`, … | | from names, "PD (mV)", or a row of units; else mV and ms, checked by their size |
# | Parquet | extra `parquet` | likewise |
# | Axon `.abf`, Spike2 `.smr`, and what else Neo reads from one file | extra `neo` | from the header |
# | NWB `.nwb` | extra `nwb` | from the file, volts by its standard |
#
# **Channels.** `cells` chooses and names them: a list `["ch1", "ch2"]`, or a mapping `{"PD": "ch1"}`, by name
# or by number from 0. By default all potentials are read, and currents, temperatures and triggers are left out;
# `.attrs["source"]` of the table tells which.
#
# **Units** come from the file. A potential in V or µV is converted. A channel of an instrument without a unit
# is refused until `units` says it, since a gain that nobody knows is worse than no recording. Text without a
# unit is taken for mV and ms, as the tables of this package are, and a size that no cell has in these units is
# refused, too: −0.05 "mV" at rest are volts.
#
# **Sampling and gaps.** Channels that are read together must share one clock. Sweeps that follow each other on
# the clock of the file become one recording with gaps between them, and no burst and no cycle goes over a gap.
# Sweeps that each begin at 0 need `sweep`.
#
# **Long files** of instruments are not read at once. `summary("long.abf")` takes one channel after the other,
# and keeps its spikes only.
#
# **Safety.** A file is data. Neo's pickles, formats that consist of several files, and NWB files that point to
# other files are not opened: a recording from somebody else can so neither run code nor look elsewhere on the
# disk.

# %%
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..engine import checks
from .recording import SOURCE, check_potentials, column, picked, refuse_unknown, said_of, units_given
from .tables import COMPRESSED, POTENTIALS, spelled_unit

__all__ = ["Channel", "Clock", "Traces"]

# %% [markdown]
# ## Which files are of instruments
#
# The name decides where it says enough. Under other names, a byte 0 among the first thousands tells that a file
# is not text; text in UTF-16 has such bytes, too, but begins with a mark. What Neo reads from a single file is
# listed here. It knows more: formats of several files, whose headers name paths, and Python's pickles, which
# run whatever code they hold.

# %%
NWB = ".nwb"
NEO = (
    ".abf",
    ".axgd",
    ".axgx",
    ".edf",
    ".edr",
    ".nex",
    ".nix",
    ".pl2",
    ".plx",
    ".rhd",
    ".rhs",
    ".smr",
    ".smrx",
    ".wcp",
)
TEXTS = (".asc", ".atf", ".csv", ".tsv", ".txt", ".parquet", *COMPRESSED)
HEAD = 1 << 12  # bytes that are looked at


def is_of_instrument(file: Path) -> bool:
    """Whether a file is not one of text or Parquet."""
    suffix = file.suffix.lower()
    if suffix in (NWB, *NEO):
        return True
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    return suffix not in TEXTS and not head.startswith((b"PAR1", b"\xff\xfe", b"\xfe\xff")) and b"\0" in head


# %% [markdown]
# ## A clock
#
# The sample with number $k$ of a part that starts at $t_0$ and has $r$ samples per second is at
#
# $$
# t_k = t_0 + 1000\, k / r \quad \text{in ms}.
# $$
#
# Multiplying $k$ by a rounded interval would lose time: at 30 kHz the interval is 0.0333… ms, and with four
# decimals of it the clock is 0.6 s slow after ten minutes. Some files hold a time for each sample instead, as
# those of cameras do.


# %%
class Clock(NamedTuple):
    """When the samples of a channel were taken."""

    starts: tuple[float, ...]  # ms, of each part
    sizes: tuple[int, ...]  # samples of each part
    rate: float  # Hz
    stamps: Callable[[], np.ndarray] | None = None  # gives the times (time,) in ms, where the file has them

    @property
    def size(self) -> int:
        """Samples of all parts."""
        return sum(self.sizes)

    def times(self) -> np.ndarray:
        """The times (time,) of all samples, ms."""
        if self.stamps is not None:
            return self.stamps()
        return np.concatenate(
            [a + np.arange(n) * 1e3 / self.rate for a, n in zip(self.starts, self.sizes, strict=True)]
        )


# %% [markdown]
# A file may be wrong about its clock. A rate of 0, or a start that is no number, comes from a header that a
# crash left half written. Sweeps of a stimulus protocol are a case of their own: pClamp stores them one after
# the other, each with its start on the clock of the file. Those that follow each other are one recording with
# pauses, and the pauses are gaps. If each begins at 0, as after an export, no order can be known, and one must
# be chosen. Half an interval is allowed for rounding.


# %%
def clock_of(what: str, starts: Sequence[float], sizes: Sequence[int], rate: float) -> Clock:
    """A clock, whose parts must follow each other. Raises ValueError where they do not, or the rate cannot be meant."""
    if not (np.isfinite(rate) and rate > 0 and np.isfinite(starts).all()):
        raise ValueError(
            f"{what} has {rate:g} samples per second from {list(starts)} ms; that cannot be. Export it anew."
        )
    kept = [(a, n) for a, n in zip(starts, sizes, strict=True) if n]
    for k, ((a, n), (b, _)) in enumerate(pairwise(kept), 1):
        if b < a + (n - 0.5) * 1e3 / rate:
            raise ValueError(
                f"sweep {k} of {what} begins at {b:g} ms, before the end of the one before it; sweeps that are joined must follow each other. "
                f"Choose one of {len(kept)} by sweep=0, 1, …"
            )
    if not kept:
        raise ValueError(f"{what} has no samples; it must have some. Check the file.")
    return Clock(tuple(a for a, _ in kept), tuple(n for _, n in kept), rate)


# %% [markdown]
# ## A channel
#
# What all kinds of files have in common is small: a name, a unit, a clock, and a function that reads a range of
# samples. Such a channel costs nothing until it is read, so that ten minutes at 20 kHz, twelve million samples,
# need not be in memory more than once.


# %%
class Channel(NamedTuple):
    """A channel of a file."""

    name: str
    unit: str  # as the file spells it
    clock: Clock
    read: Callable[[int, int], np.ndarray]  # the samples from one number up to before another, in the unit


# %% [markdown]
# A file with sweeps stores each of them by itself. To whoever reads on, the samples are numbered through, as if
# they lay side by side: sample 60,000 of sixteen sweeps of 60,000 is the first one of the second sweep. A range
# that spans several sweeps is put together from their ends.


# %%
def joined(parts: Sequence[Callable[[int, int], np.ndarray]], sizes: Sequence[int]) -> Callable[[int, int], np.ndarray]:
    """A function that reads a range of samples of parts that follow each other."""
    ends = np.cumsum(sizes)

    def read(first: int, last: int) -> np.ndarray:
        found = []
        for part, end, n in zip(parts, ends, sizes, strict=True):
            a, b = max(first - (end - n), 0), min(last - (end - n), n)
            if a < b:
                found.append(part(int(a), int(b)))
        return np.concatenate(found) if len(found) != 1 else found[0]

    return read


# %% [markdown]
# ## The channels that are wanted
#
# `Traces` is a mapping from cells to their potentials. Each is read when it is asked for, converted to mV, and
# looked at: every sample must be finite, and the size must be one of potentials. Nothing is kept, so that
# memory holds one channel at a time.


# %%
class Traces(Mapping[Any, np.ndarray]):
    """The potentials (time,) in mV of some cells, read from a file whenever they are asked for."""

    def __init__(self, what: str, channels: Mapping[Any, Channel], said: str) -> None:
        self.what, self.channels, self.said = what, channels, said
        self.clock = min((c.clock for c in channels.values()), key=lambda clock: clock.size)

    def __getitem__(self, cell: Any) -> np.ndarray:
        V = self.millivolts(cell, 0, self.clock.size)
        check_potentials(f"the largest potential of {cell!r}", V)
        return V

    def __iter__(self) -> Iterator[Any]:
        return iter(self.channels)

    def __len__(self) -> int:
        return len(self.channels)

    def millivolts(self, cell: Any, first: int, last: int) -> np.ndarray:
        """A range of samples of a cell, finite, in mV."""
        channel = self.channels[cell]
        V = np.asarray(channel.read(first, last), float)
        if not np.isfinite(V.sum()):
            column(self.what, cell, pd.Series(V), channel.clock.times()[first:last])  # says where
        return V if POTENTIALS[channel.unit] == 1 else V * POTENTIALS[channel.unit]

    def table(self) -> pd.DataFrame:
        """All of them (time, cell), with an index in ms."""
        checks.memory(
            f"the recording {self.what}",
            8.0 * self.clock.size * (2 * len(self) + 1),
            "Take fewer cells, or summary(path).",
        )
        V = np.empty((len(self), self.clock.size))
        for row, cell in zip(V, self, strict=True):
            row[:] = self.millivolts(cell, 0, self.clock.size)
        found = pd.DataFrame(V.T, pd.Index(self.clock.times(), name="time"), list(self), copy=False)
        found.attrs[SOURCE] = self.said
        return found


# %% [markdown]
# ## Which channels, and in which unit
#
# A file of a rig has more than potentials: the current through each electrode, the temperature of the bath, a
# trigger. The unit tells them apart. Three rules follow from what goes wrong in practice.
#
# 1. *What is in no unit of potentials is left out*, unless it is asked for; then it is refused, since a current in nA that is read as mV looks like a cell at rest.
# 2. *What has no unit is not guessed.* Some programs write an empty unit where the amplifier did not report its gain. `units={"ch1": "V"}` says it, also against the file: a wrong entry in a
#    header is common, and only who was there knows.
# 3. *Names may come twice*, as "IN 0" of two headstages. Then numbers tell the channels apart.


# %%
def traces(file: Path, cells: Any, units: Any, sweep: Any) -> Traces:
    """The channels of an instrument's file that are wanted, by the names of the cells; arguments as for `read_recording`."""
    what = f"'{file}'"
    return chosen(what, channels_of(file, sweep), cells, units)


def chosen(what: str, channels: Sequence[Channel], cells: Any, units: Any) -> Traces:
    """Of all channels those that are wanted, with one clock. Raises ValueError for such as are no potentials or have no unit."""
    given, names = units_given(units), [c.name for c in channels]
    refuse_unknown(what, given, names)
    told = [given.get(c.name, spelled_unit(c.unit) or given.get(None, "")) for c in channels]
    found = picked(what, cells, names, names, [unit in POTENTIALS for unit in told])
    if not found:
        units_said = checks.listing(f"{c.name} ({c.unit})" for c in channels)
        raise ValueError(
            f"{what} has the channels {units_said}, and none is a potential. If one is, say its unit: units={{{(names or ['ch1'])[0]!r}: 'mV'}}."
        )
    for _, i in found:
        if told[i] not in POTENTIALS:
            unit = f"is in {told[i]!r}, which is no unit of potentials" if told[i] else "has no unit"
            raise ValueError(
                f"the channel {names[i]!r} of {what} {unit}. Choose another, or say its unit: units={{{names[i]!r}: 'mV'}}."
            )
    first = channels[found[0][1]]
    for _, i in found:
        if not same_clock(first.clock, channels[i].clock):
            raise ValueError(
                f"the channels {first.name!r} and {names[i]!r} of {what} have other times ({first.clock.rate:g} and {channels[i].clock.rate:g} "
                "samples per second); those that are read together must have the same. Choose some by cells."
            )
    left = [name for name, unit in zip(names, told, strict=True) if unit not in POTENTIALS]
    return Traces(what, {cell: channels[i]._replace(unit=told[i]) for cell, i in found}, said_of(len(found), left))


# %% [markdown]
# Channels of one table share its times. Two with the same rate may still have begun at different moments, so
# all of the clock is compared, and where a file has a time for each sample, all of them.
#
# One difference is allowed. A converter with one circuit and several inputs looks at them in turns, so that
# Spike2 gives a channel a start of 0.05 ms and the next one of 0.39 ms, at an interval of 0.5 ms, and one of
# them may have a sample more. Channels whose starts differ by less than an interval get the times of one of
# them, and the surplus sample is dropped. For the rhythm this is nothing; who measures conduction delays reads
# each channel by itself.


# %%
def same_clock(a: Clock, b: Clock) -> bool:
    """Whether two channels were sampled at the same times."""
    if a.stamps is not None or b.stamps is not None:
        return a.size == b.size and np.array_equal(a.times(), b.times())
    if (
        a.rate != b.rate
        or len(a.sizes) != len(b.sizes)
        or max(abs(x - y) for x, y in zip(a.starts, b.starts, strict=True)) * a.rate >= 1e3
    ):
        return False
    return a.sizes == b.sizes or (len(a.sizes) == 1 and abs(a.size - b.size) <= 1)


# %% [markdown]
# ## Reading a header
#
# For each kind of file there is a reader, and none of it is ours: [Neo](https://neo.readthedocs.io) knows the
# formats of some forty instruments, and pynwb the standard *Neurodata Without Borders*. Neo's layer of raw
# files gives for each channel its unit, gain and offset, and the integers of any range of samples as the
# converter wrote them. In NWB a series has its samples as they were stored, with a conversion $c$ and an offset
# $o$ to the unit of the standard, which is volts for all that records potentials,
#
# $$
# V = c\, x + o,
# $$
#
# where $c$ may differ from column to column. HDF5, on which NWB stands, can also refer to other files, by links
# and by external data. Such a file would make its reader open what its author chose, so it is refused.
#
# A damaged file makes these packages raise anything: errors of indices, of memory maps, of Unicode. All of it
# becomes one sentence that names the file.


# %%
def channels_of(file: Path, sweep: Any = None) -> list[Channel]:
    """All channels of a file of an instrument."""
    if sweep is not None:
        checks.count("sweep", sweep, least=0)
    from . import readers

    suffix = file.suffix.lower()
    if suffix not in (NWB, *NEO):
        raise ValueError(
            f"'{file}' is of a kind that is not read; it must be text, Parquet, {NWB}, or one of {', '.join(NEO)}. Read others by Neo, and "
            "pass a table of the potentials."
        )
    reader = readers.nwb_channels if suffix == NWB else readers.neo_channels
    try:
        if found := reader(file, sweep):
            return found
        raise ValueError("it has no channels")
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # what a damaged file makes other packages raise can be anything
        if isinstance(error, ValueError) and f"'{file}'" in str(error):
            raise
        raise ValueError(
            f"'{file}' cannot be read: {checks.reason(error)}. It must be a whole file of the kind that its name says. Export it anew."
        ) from None


# %% [markdown]
# ## How far it was tried
#
# Four files of the public collection of pyABF, of both of Axon's formats, with one and two channels, with
# sweeps and with pauses, give the potentials that pyABF itself reads, to 2.5 nV, which is the rounding of its
# single precision. The tests write files of Axon's first format byte by byte, NWB through pynwb and NIX through
# Neo, and read them back. Four Spike2 files of the public collection of spike2py open with the names, units and
# rates that they should have; no other reader was at hand to compare their samples.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-rig-unit
# Write a recording into a text without units, once in volts, and once with the tenfold gain of an amplifier
# that nobody took out. What does the package say?
# ```
#
# ```{solution-start} ex-rig-unit
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# for factor in (1e-3, 10.0):
#     (factor * run.V).set_axis(["PD", "LP", "PY"], axis=1).to_csv("unsaid.csv")
#     try:
#         summary("unsaid.csv")
#     except ValueError as refusal:
#         print(refusal)

# %% [markdown]
# Both are refused, with the unit or the gain in which the numbers would be usual. A gain of 2 would pass: a
# resting potential of −100 mV is no proof of a mistake.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-rig-gap
# Somebody cuts an artefact of two seconds out of the text, from 4 to 6 s. Which numbers of the summary change?
# ```
#
# ```{solution-start} ex-rig-gap
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# cut = crab[(crab.index < 4000) | (crab.index > 6000)]
# both = summary(cut), summary(crab)
# assert (both[0]["spikes"] < both[1]["spikes"]).all() and both[0].attrs["left out"].startswith("1 gap of")
# pd.concat({name: table[["bursts", "spikes", "period (ms)"]] for name, table in zip(("cut", "whole"), both)}, axis=1).round(1)

# %% [markdown]
# There are fewer spikes and bursts. The period is the mean over the cycles that are left, so that it moves by
# what single cycles differ. It would double in one cycle if the gap were not known.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-rig-clock
# A program computes times by adding 0.033 ms for each sample of a recording at 30 kHz. By how much are they
# wrong after ten minutes? Does the phase of LP suffer?
# ```
#
# ```{solution-start} ex-rig-clock
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# samples = 10 * 60 * 30_000
# true, told = samples * 1e3 / 30_000, samples * 0.033  # ms
# assert abs(told / true - 0.99) < 1e-12
# true - told

# %% [markdown]
# By six seconds, one percent. All times shrink by the same factor, so that phases and duty cycles stay what
# they are. Periods and durations of bursts are 1% too short, and nothing shows it.
# ```{solution-end}
# ```
