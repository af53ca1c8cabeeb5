"""Channels of Neo and of NWB, and the potentials in a block of Neo.

Mechanics of `instruments`, whose chapter says what a channel is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..engine import checks
from .instruments import Channel, Clock, clock_of, joined

# ---------------------------------------------------------------- Neo


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
        number = streams.index(stream)
        if any(reader.get_signal_size(*sweep, number) for sweep in sweeps):  # else it was never switched on
            found.append(neo_channel(file, reader, sweeps, channel, number, count[stream]))
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


# ---------------------------------------------------------------- NWB


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


SOME = 1 << 20  # samples, of which the median interval tells the rate
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
    first = np.asarray(timestamps[:SOME], float)
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


def table_of_neo(data: Any) -> pd.DataFrame:
    """The potentials (time, cell) in mV of a block or a segment of Neo, with an index in ms. Raises ValueError where there are none."""
    segments = list(getattr(data, "segments", [])) or [data]
    if len(segments) > 1:
        raise ValueError(
            f"the block of Neo has {len(segments)} segments; one recording is wanted. Give one, block.segments[0]."
        )
    potential = checks.package("quantities", "neo", "a block of Neo").V.dimensionality.simplified
    signals = [*segments[0].analogsignals, *segments[0].irregularlysampledsignals]
    columns: dict[str, np.ndarray] = {}
    t: np.ndarray | None = None
    for signal in (s for s in signals if s.units.dimensionality.simplified == potential):
        times = np.round(signal.times.rescale("ms").magnitude, 9)
        if t is not None and not np.array_equal(t, times):
            raise ValueError(
                "the potentials in the segment of Neo have different times; those of a recording must have the same. Leave some out."
            )
        t, x = times, signal.rescale("mV").magnitude
        names = signal.array_annotations.get("channel_names", [f"{signal.name or 'ch'} {i}" for i in range(x.shape[1])])
        columns |= {str(name): x[:, i] for i, name in enumerate(names)}
    if t is None:
        raise ValueError(
            "the segment of Neo has no signal in units of potentials; it must have one. Give another segment."
        )
    return pd.DataFrame(columns, pd.Index(t, name="time"))
