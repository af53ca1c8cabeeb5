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
# Two electrodes in a ganglion, an amplifier, a disk full of `.abf` files: is this preparation pyloric? The functions of the chapter
# [on rhythm](../rhythm.md) answer it for a file as they do for a run. The text below is such as an amplifier's software writes it on a
# computer of a lab in Germany: semicolons between columns, commas for decimals, a row of units, seconds and volts, and a current that is
# no potential.

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
# The same table follows from the run itself, to the digits that the text keeps: seconds became milliseconds and volts millivolts by what the file says.
# At a terminal it is `pyloric rhythm crab.txt --cells PD=ch1,LP=ch2,PY=ch3`.
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
# **Channels.** `cells` chooses and names them: a list `["ch1", "ch2"]`, or a mapping `{"PD": "ch1"}`, by name or by number from 0. By default
# all potentials are read, and currents, temperatures and triggers are left out; `.attrs["source"]` of the table tells which.
#
# **Units** come from the file. A potential in V or µV is converted. A channel of an instrument without a unit is refused until `units` says it, since
# a gain that nobody knows is worse than no recording. Text without a unit is taken for mV and ms, as the tables of this package are, and
# a size that no cell has in these units is refused, too: −0.05 "mV" at rest are volts.
#
# **Sampling and gaps.** Channels that are read together must share one clock. Sweeps that follow each other on the clock of the file become one recording with gaps
# between them, and no burst and no cycle goes over a gap. Sweeps that each begin at 0 need `sweep`.
#
# **Long files** of instruments are not read at once. `summary("long.abf")` takes one channel after the other, and keeps its spikes only.
#
# **Safety.** A file is data. Neo's pickles, formats that consist of several files, and NWB files that point to other files are not opened: a
# recording from somebody else can so neither run code nor look elsewhere on the disk.

# %%
from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..engine import checks
from ..engine.scale import SAMPLING, suspicion
from .recording import SOURCE, check_potentials, column, picked, refuse_unknown, said_of, units_given
from .tables import COMPRESSED, POTENTIALS, spelled_unit

__all__ = ["Channel", "Clock", "Traces"]

# %% [markdown]
# ## Which files are of instruments
#
# The name decides where it says enough. Under other names, a byte 0 among the first thousands tells that a file is not text; text in UTF-16 has such bytes,
# too, but begins with a mark. What Neo reads from a single file is listed here. It knows more: formats of several files, whose headers name paths,
# and Python's pickles, which run whatever code they hold.

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
# Multiplying $k$ by a rounded interval would lose time: at 30 kHz the interval is 0.0333… ms, and four digits of it are off by 36 ms after ten
# minutes. Some files hold a time for each sample instead, as those of cameras do.

# %%
NAN_ROWS = 1 << 20  # samples that are looked at at once


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


def clock_of(what: str, starts: Sequence[float], sizes: Sequence[int], rate: float) -> Clock:
    """A clock, whose parts must follow each other. Raises ValueError where they do not, or the rate cannot be meant."""
    if not (np.isfinite(rate) and rate > 0 and np.isfinite(starts).all()):
        raise ValueError(
            f"{what} has {rate:g} samples per second from {list(starts)} ms; that cannot be. Export it anew."
        )
    if wrong := suspicion(f"the sampling interval of {what}", 1e3 / rate, SAMPLING):
        checks.warn(wrong)
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
# What all kinds of files have in common is small: a name, a unit, a clock, and a function that reads a range of samples. Such a channel costs nothing
# until it is read, so that ten minutes at 20 kHz, twelve million samples, need not be in memory more than once.


# %%
class Channel(NamedTuple):
    """A channel of a file."""

    name: str
    unit: str  # as the file spells it
    clock: Clock
    read: Callable[[int, int], np.ndarray]  # the samples from one number up to before another, in the unit


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
# `Traces` is a mapping from cells to their potentials. Each is read when it is asked for, converted to mV, and looked at: every sample must be finite,
# and the size must be one of potentials. Nothing is kept, so that memory holds one channel at a time.


# %%
class Traces(Mapping[Any, np.ndarray]):
    """The potentials (time,) in mV of some cells, read from a file whenever they are asked for."""

    def __init__(self, what: str, channels: Mapping[Any, Channel], said: str) -> None:
        self.what, self.channels, self.said = what, channels, said
        self.clock = next(iter(channels.values())).clock

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
            row[:] = self[cell]
        found = pd.DataFrame(V.T, pd.Index(self.clock.times(), name="time"), list(self), copy=False)
        found.attrs[SOURCE] = self.said
        return found


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


def same_clock(a: Clock, b: Clock) -> bool:
    """Whether two channels were sampled at the same times."""
    if a.stamps is not None or b.stamps is not None:
        return a.size == b.size and np.array_equal(a.times(), b.times())
    return a[:3] == b[:3]


def channels_of(file: Path, sweep: Any = None) -> list[Channel]:
    """All channels of a file of an instrument."""
    if sweep is not None:
        checks.count("sweep", sweep, least=0)
    suffix = file.suffix.lower()
    if suffix not in (NWB, *NEO):
        raise ValueError(
            f"'{file}' is of a kind that is not read; it must be text, Parquet, {NWB}, or one of {', '.join(NEO)}. Read others by Neo, and "
            "pass a table of the potentials."
        )
    reader = nwb_channels if suffix == NWB else neo_channels
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
# ## Neo
#
# [Neo](https://neo.readthedocs.io) knows the formats of some forty instruments. Its layer of raw files gives for each channel its unit, gain and offset, and integers as
# the converter wrote them, of any range of samples. Only these are read; they become mV here.


# %%
def neo_channels(file: Path, sweep: Any) -> list[Channel]:
    """The channels of a file that Neo reads."""
    rawio = checks.package("neo.rawio", "neo", f"reading {file.suffix}")
    kinds = rawio.get_rawio(str(file), exclusive_rawio=False)
    if not kinds:
        raise ValueError(f"Neo has no reader of {file.suffix}")
    reader = (rawio.Spike2RawIO if file.suffix.lower() == ".smr" else kinds[0])(
        str(file)
    )  # the other reader of .smr needs CED's library
    reader.parse_header()
    sweeps = [(b, s) for b in range(reader.block_count()) for s in range(reader.segment_count(b))]
    if sweep is not None:
        if sweep >= len(sweeps):
            raise ValueError(f"sweep is {sweep}, and '{file}' has {len(sweeps)}, numbered from 0. Choose one of these.")
        sweeps = [sweeps[sweep]]
    streams = [str(s["id"]) for s in reader.header["signal_streams"]]
    found, count = [], dict.fromkeys(streams, 0)
    for channel in reader.header["signal_channels"]:
        stream = str(channel["stream_id"])
        found.append(neo_channel(file, reader, sweeps, channel, streams.index(stream), count[stream]))
        count[stream] += 1
    return found


def neo_channel(
    file: Path, reader: Any, sweeps: Sequence[tuple[int, int]], channel: Any, stream: int, k: int
) -> Channel:
    """The channel k of a stream."""
    sizes = [int(reader.get_signal_size(*sweep, stream)) for sweep in sweeps]
    starts = [1e3 * float(reader.get_signal_t_start(*sweep, stream)) for sweep in sweeps]
    name = str(channel["name"]).strip() or f"ch{k}"
    clock = clock_of(f"{name!r} of '{file}'", starts, sizes, round_factor(float(channel["sampling_rate"])))

    def part(sweep: tuple[int, int], a: int, b: int) -> np.ndarray:
        raw = reader.get_analogsignal_chunk(*sweep, a, b, stream_index=stream, channel_indexes=[k])
        return np.asarray(reader.rescale_signal_raw_to_float(raw, "float64", stream, [k]))[:, 0]

    parts = [partial(part, sweep) for sweep, n in zip(sweeps, sizes, strict=True) if n]
    return Channel(name, str(channel["units"]), clock, joined(parts, clock.sizes))


# %% [markdown]
# ## NWB
#
# *Neurodata Without Borders* is a standard of what a file must say beside its numbers: who, when, what was recorded by which electrode. A series has the
# samples as they were stored, with a conversion $c$ and an offset $o$ to the unit of the standard, volts for all that records potentials,
#
# $$
# V = c\, x + o,
# $$
#
# where $c$ may differ from column to column. The numbers are read from the HDF5 file that an NWB file is, a range at a time. HDF5 can refer to other files, by
# links and by external data. Such a file would make its reader open what its author chose, so it is refused.


# %%
def nwb_channels(file: Path, sweep: Any) -> list[Channel]:
    """The channels of an NWB file: a series each, or each column of a series of several electrodes."""
    if sweep is not None:
        raise ValueError(f"sweep is {sweep}, and '{file}' names its sweeps. Choose one by cells, such as cells=['…'].")
    h5py, pynwb = (checks.package(name, "nwb", "reading NWB") for name in ("h5py", "pynwb"))
    with h5py.File(file, "r") as opened:
        refuse_links(file, h5py, opened)
    with pynwb.NWBHDF5IO(str(file), "r") as io:
        series = [x for x in io.read().objects.values() if isinstance(x, pynwb.TimeSeries) and in_acquisition(x)]
        order = lambda x: (int(found[1]) if (found := LABEL.fullmatch(str(x.comments))) else 0, x.name)  # noqa: E731
        return [channel for x in sorted(series, key=order) for channel in channels_of_series(file, x)]


def refuse_links(file: Path, h5py: Any, group: Any) -> None:
    """Refuse a file with parts that lie in other files."""
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            continue
        outside = isinstance(link, h5py.ExternalLink)
        item = None if outside else group[name]
        if outside or getattr(item, "external", None) or getattr(item, "is_virtual", False):
            raise ValueError(f"'{file}' has {name!r} in another file; all of it must be in this one. Export it whole.")
        if isinstance(item, h5py.Group):
            refuse_links(file, h5py, item)


CELL = "cell"  # how the comment of a series begins that has the number and the label of a cell, "cell 0: AB/PD 0"
LABEL = re.compile(CELL + r" (\d+): (.+)")


def in_acquisition(series: Any) -> bool:
    """Whether a series was recorded, or made of what was, and not a stimulus."""
    path = str(series.data.name) if hasattr(series.data, "name") else ""
    return path.startswith(("/acquisition/", "/processing/"))


def channels_of_series(file: Path, series: Any) -> list[Channel]:
    """The columns of a series."""
    data, what = series.data, f"{series.name!r} of '{file}'"
    if np.dtype(data.dtype).kind not in "iuf" or data.ndim not in (1, 2):
        return []
    path, n, columns = str(data.name), int(data.shape[0]), 1 if data.ndim == 1 else int(data.shape[1])
    if series.rate is not None:
        clock = clock_of(what, [1e3 * float(series.starting_time or 0.0)], [n], float(series.rate))
    else:
        clock = Clock(
            (0.0,), (n,), rate_of(series.timestamps), partial(stamps, file, str(series.timestamps.name), what)
        )
    each = getattr(series, "channel_conversion", None)
    gains = np.ones(columns) if each is None else np.asarray(each, float)
    factor, unit, shift = volts(series.unit, float(series.conversion)), series.unit, float(series.offset or 0.0)
    if unit in ("volts", "volt", "V"):
        unit, shift = "mV", 1e3 * shift
    labelled = LABEL.fullmatch(str(series.comments)) if unit == "mV" else None
    name = labelled[2] if labelled else series.name
    names = [name] if data.ndim == 1 else [f"{name} {i}" for i in range(columns)]
    return [
        Channel(
            name, unit, clock, partial(h5_samples, file, path, i if data.ndim == 2 else None, factor * gains[i], shift)
        )
        for i, name in enumerate(names)
    ]


def rate_of(timestamps: Any) -> float:
    """Samples per second, about, of times in s."""
    first = np.asarray(timestamps[:NAN_ROWS], float)
    return float(1 / np.median(np.diff(first))) if len(first) > 1 else 1.0


def stamps(file: Path, path: str, what: str) -> np.ndarray:
    """Times (time,) in ms of samples, of which a file has them in s. Raises ValueError if they do not increase."""
    import h5py

    with h5py.File(file, "r") as opened:
        t = 1e3 * np.asarray(opened[path][:], float)
    checks.increasing(f"the times of {what}", t, "Export it anew.")
    return t


def volts(unit: str, conversion: float) -> float:
    """By what the samples of a series are multiplied: to mV, if they are converted to volts."""
    return round_factor(1e3 * conversion) if unit in ("volts", "volt", "V") else conversion


def round_factor(x: float) -> float:
    """A factor without what is left of rounding, 1 for 1000 × 0.001."""
    return float(f"{x:.15g}")


def h5_samples(file: Path, path: str, column: int | None, factor: float, shift: float, a: int, b: int) -> np.ndarray:
    """The samples from a to before b of a set of data, or of a column of it, in the unit."""
    import h5py

    with h5py.File(file, "r") as opened:
        x = np.asarray(opened[path][a:b] if column is None else opened[path][a:b, column], float)
    return x if (factor, shift) == (1.0, 0.0) else x * factor + shift
