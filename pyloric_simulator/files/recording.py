"""What was recorded, here or elsewhere, in one form: times in ms, potentials in mV, and the gaps between.

Mechanics of `rhythm`, `losses` and the clamps. A recording comes from a result of this package, from a table of an amplifier's software,
from a file, or as spike times. Its times are read rightly where their meaning is sure, and refused with the cure where it is not; a size
that belongs to another unit is refused or warned of. Results are in ms and mV by their making.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..engine import checks
from ..engine.inputs import Sampled
from ..engine.scale import INTERVAL, LEVEL, POTENTIAL, SAMPLING, suspicion
from .tables import POTENTIALS, TIMES, known_file, name_and_unit, read_table, spelled_unit

__all__ = ["Recording", "as_recording", "read_recording"]

Window = tuple[float, float]  # ms, start and end of what is looked at


class Recording(NamedTuple):
    """Potentials or spike times of some cells. All of what was recorded is here; `window` says which part is looked at."""

    cells: tuple[Any, ...]  # labels, in the order of the columns
    trains: (
        Mapping[Any, np.ndarray] | None
    )  # cell -> (spike,) increasing spike times, ms; None where potentials are given
    t: np.ndarray | None  # (time,) ms, increasing; None where only spike times are given
    V: Mapping[Any, np.ndarray] | None  # cell -> (time,) mV
    pieces: np.ndarray  # (piece, 2) ms: start and end of each part of the window that was recorded without a gap
    window: Window  # ms
    source: Any  # what was given (a result knows the types of its cells)


def as_recording(data: Any, window: Any = None) -> Recording:
    """A recording from a result, a DataFrame of potentials (mV, one column for each cell), a mapping from cells to spike times (ms), a
    file of the package or of others (see `read_recording`), or a block or a segment of Neo.

    Times of a DataFrame: its index (ms), or a column named as time with a unit, such as "time (s)"; durations count from 0, dates from
    the first of them. window: (start, end) in ms, by default all that was recorded. Raises ValueError or TypeError for what cannot be
    meant; a UserWarning says what is doubtful.
    """
    if isinstance(data, Recording):
        found = data
    elif hasattr(data, "states"):
        found = of_result(data)
    elif isinstance(data, (str, os.PathLike)):
        found = read_file(data)
    elif isinstance(data, pd.DataFrame):
        found = of_table(data)
    elif hasattr(data, "analogsignals") or hasattr(data, "segments"):
        from .readers import table_of_neo

        found = of_table(table_of_neo(data))
    else:
        found = of_trains(data)
    return found if window is None else within(found, window)


# ---------------------------------------------------------------- where they come from


def of_result(result: Any) -> Recording:
    """A result of any model. Cells that spike by a rule bring the spikes that they had; the others their potentials."""
    cells, t = tuple(result.model.cells), np.asarray(result.t, float)
    if hasattr(result, "trains") and getattr(getattr(result.model, "equations", None), "threshold", "") is not None:
        return Recording(cells, result.spike_times(), t, None, pieces(t), ends(t), result)
    V = getattr(result.states, "V", None)
    if V is None:
        raise ValueError(
            f"the result has the variables {checks.listing(result.states._fields)}, none of them V; a potential must be called V, in mV. "
            "Rename it, or give its spike times."
        )
    warn_of_coarse(t)
    return Recording(cells, None, t, dict(zip(cells, np.asarray(V).T, strict=True)), pieces(t), ends(t), result)


def of_table(data: pd.DataFrame, what: str = "the recording") -> Recording:
    """A table of potentials."""
    V = potentials(data, what)
    t, cells = V.index.to_numpy(), tuple(V.columns)
    traces = {cell: V.iloc[:, i].to_numpy() for i, cell in enumerate(cells)}
    check_sampling(what, t, traces)
    for cell, x in traces.items():
        check_potentials(f"the largest potential of {cell!r}", x)
        check_filled(cell, t, x)
    return Recording(cells, None, t, traces, pieces(t), ends(t), data)


def of_trains(data: Any) -> Recording:
    """Spike times in ms, of each cell. Nothing tells how long was recorded: from the first spike to the last, at least."""
    if not isinstance(data, Mapping):
        raise TypeError(
            f"the recording is of type {type(data).__name__}; it must be a result, a DataFrame of potentials (index: times "
            "in ms, a column for each cell), a mapping from cells to spike times in ms, or the path of a file. Convert it to one of these, "
            "a Series by series.to_frame('PD')."
        )
    trains = {cell: train(cell, x) for cell, x in data.items()}
    check_trains(trains)
    every = np.concatenate([[], *trains.values()])
    whole = (float(every.min()), float(every.max())) if len(every) else (0.0, 0.0)
    return Recording(tuple(trains), trains, None, None, np.array([whole]), whole, data)


def train(cell: Any, times: Any) -> np.ndarray:
    """Spike times (spike,) of a cell, in ms, increasing."""
    what = f"the spike times of {cell!r}"
    x = durations(times) if is_kind(times, "m") else checks.numbers(what, times, "be numbers in ms").astype(float)
    if x.ndim != 1:
        raise ValueError(f"{what} have the shape {x.shape}; they must be (spike,), in ms. Give one list for each cell.")
    checks.increasing(what, x, "Sort them, each once: np.unique(x). Potentials come as a DataFrame.")
    return x


# ---------------------------------------------------------------- tables


def potentials(data: pd.DataFrame, what: str = "the recording", axis: str | None = None) -> pd.DataFrame:
    """Finite potentials (time, cell) with an index in ms. what: the table in messages; axis: an index that is time for sure."""
    if (twice := data.columns[data.columns.duplicated()]).size:
        raise ValueError(
            f"{what} has the column {twice[0]!r} twice; each cell needs a label of its own. Rename or drop one."
        )
    if not len(data):
        raise ValueError(f"{what} has 0 rows; it must have one for each sample. Export it anew.")
    t, V = times_and_rest(data, what, axis)
    V = without_others(V)
    if not V.shape[1]:
        raise ValueError(f"{what} has times, and no column of potentials; it must have one for each cell. Add them.")
    columns = {i: column(what, name, V.iloc[:, i], t) for i, name in enumerate(V.columns)}
    found = pd.DataFrame(columns, pd.Index(t, name="time")).set_axis(V.columns, axis=1)
    found.attrs = {key: data.attrs[key] for key in data.attrs.keys() & {SOURCE}}
    return found


SOURCE = "source"  # of the attributes of a table: what was read


def column(what: str, name: Any, x: pd.Series, t: np.ndarray) -> np.ndarray:
    """The potentials (time,) of a column."""
    if is_kind(x, "OSUT") and len(text := [v for v in x if isinstance(v, str)]):
        raise ValueError(
            f"the column {name!r} of {what} holds {text[0]!r}; it must hold numbers, V in mV. Leave it out."
        )
    V = checks.numbers(f"the column {name!r} of {what}", x, "hold numbers, V in mV")
    if (bad := np.flatnonzero(~np.isfinite(V))).size:
        i = int(bad[0])
        cure = f"Leave the column out: it has {len(bad)} such samples of {len(V)}." if 2 * len(bad) > len(V) else (
            "Leave these rows out, V[np.isfinite(V).all(axis=1)]; the gap is then left out of all cycles.")  # fmt: skip
        raise ValueError(
            f"V is {V[i]} at {t[i]:g} ms in the column {name!r} of {what}; potentials must be finite. {cure}"
        )
    return V.astype(float)


OWN_V = "V "  # how files of results name the columns of potentials
OWN = re.compile(r"V .+ \d+")  # a whole name in them


def without_others(V: pd.DataFrame) -> pd.DataFrame:
    """Of the columns that files of results have, those of the potentials, by the labels of the cells; else all."""
    own = [name for name in V.columns if str(name).startswith(OWN_V)]
    return V[own].rename(columns=lambda name: name.removeprefix(OWN_V)) if own else V


# ---------------------------------------------------------------- times

UNITS = {"s": 1e3, "sec": 1e3, "secs": 1e3, "second": 1e3, "seconds": 1e3, "ms": 1.0, "msec": 1.0, "msecs": 1.0, "millisecond": 1.0,
         "milliseconds": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "usec": 1e-3, "microseconds": 1e-3, "ns": 1e-6, "min": 6e4,
         "minutes": 6e4}  # fmt: skip  # ms
TIME = ("t", "time", "times", "elapsed", "elapsed time")
NAMED = re.compile(rf"(?:{'|'.join(TIME)})\s*[\s_,/(\[]\s*({'|'.join(UNITS)})\s*[)\]]?", re.IGNORECASE)
ALONE = ("ms", "msec", "milliseconds", "seconds")  # names that are units and cannot be anything else
SAMPLES = ("sample", "samples", "row", "rows", "frame", "frames")
CURE = "Set the times: df.set_index('…') if they are a column, or df.index = np.arange(len(df)) * 0.05 for a sample each 0.05 ms."


def spelled(name: Any) -> str:
    """A name of a column or an index, in small letters; of names with levels, those that are not empty."""
    return (
        " ".join(str(x) for x in (name if isinstance(name, tuple) else (name,)) if x not in ("", None)).strip().lower()
    )


def unit_of(name: Any) -> float | None:
    """The unit (ms) that a name such as "time (s)", "t_ms" or "Time [s]" tells; None if it tells none."""
    if spelled(name) in ALONE:
        return UNITS[spelled(name)]
    found = NAMED.fullmatch(spelled(name))
    return UNITS[found[1].lower()] if found else None


def is_kind(x: Any, kinds: str) -> bool:
    """Whether the type of an array, index or column is one of NumPy's kinds; "M": dates, with zone, too; "T": text of pandas."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, (pd.DatetimeTZDtype, pd.StringDtype)):
        return ("M" if isinstance(dtype, pd.DatetimeTZDtype) else "T") in kinds
    return getattr(dtype, "kind", " ") in kinds


def durations(x: Any) -> np.ndarray:
    """Durations in ms."""
    return np.asarray(pd.TimedeltaIndex(x) / pd.Timedelta(1, "ms"), float)


def times_and_rest(data: pd.DataFrame, what: str, axis: str | None) -> tuple[np.ndarray, pd.DataFrame]:
    """Times (time,) in ms and the other columns: a column that is time for sure, or else the index."""
    clocks = [i for i, name in enumerate(data.columns) if unit_of(name) or is_kind(data.iloc[:, i], "mM")]
    bare = [i for i, name in enumerate(data.columns) if spelled(name) in TIME and i not in clocks]
    if len(clocks) + len(bare) > 1:
        names = checks.listing(data.columns[clocks + bare])
        raise ValueError(f"{what} has the columns {names}; only one of them can be the time. Drop the others.")
    if bare and not is_own(data):
        raise ValueError(
            f"{what} has the column {data.columns[bare[0]]!r} beside its index, without a unit; it must be sure which are the times. If "
            f"it is in ms, df.set_index({data.columns[bare[0]]!r}); else name it with its unit, such as 'time (s)'."
        )
    if clocks or bare:
        i = (clocks + bare)[0]
        name = data.columns[i]
        return milliseconds(f"the column {name!r} of {what}", data.iloc[:, i], unit_of(name) or 1.0), data.drop(
            columns=[name]
        )
    if axis is None:
        axis = f"the index of {what}"
        check_index(axis, data.index)
    return milliseconds(axis, data.index, unit_of(data.index.name) or 1.0), data


def is_own(data: pd.DataFrame) -> bool:
    """Whether a table without an index of its own has the columns of a result, whose times are in ms."""
    if not isinstance(data.index, pd.RangeIndex):
        return False
    if data.columns.nlevels > 1:
        return list(data.columns.names)[:2] == ["pop", "index"]
    return any(OWN.fullmatch(str(name)) for name in data.columns)


def check_index(axis: str, index: pd.Index) -> None:
    """Refuse an index that counts rows or cannot be times; warn of one that may count them."""
    if unit_of(index.name):
        return
    if isinstance(index, pd.RangeIndex) or spelled(index.name) in SAMPLES:
        raise ValueError(
            f"{axis} counts rows, {index[0]}, {index[min(1, len(index) - 1)]}, …; it must be times in ms. {CURE}"
        )
    if isinstance(index, (pd.MultiIndex, pd.PeriodIndex, pd.IntervalIndex)):
        raise TypeError(f"{axis} is a {type(index).__name__}; it must be times in ms, durations or dates. {CURE}")
    if index.name is None and counts(index):
        checks.warn(
            f"{axis} counts {index[0]}, {index[1]}, …; it is taken for ms, one sample in each. If these are numbers of samples, multiply "
            "them by the sampling interval, df.index * 0.05; if not, name it: df.rename_axis('time (ms)')."
        )


def counts(x: Any) -> bool:
    """Whether whole numbers go up by one, as those of rows do."""
    return is_kind(x, "iu") and len(x) > 1 and bool((np.diff(np.asarray(x)) == 1).all())


def milliseconds(axis: str, times: Any, unit: float = 1.0) -> np.ndarray:
    """Increasing times (time,) in ms: numbers in a unit (ms), durations, or dates, which count from the first.

    Raises ValueError or TypeError, with the row, for times that are missing, do not increase, or are no numbers.
    """
    if np.ndim(times) != 1:
        raise ValueError(
            f"{axis} has the shape {np.shape(times)}; it must be (time,), in ms. Give times first, then the values."
        )
    if is_kind(times, "O"):
        times = pd.Index(times).infer_objects()
    if is_kind(times, "M"):
        index = pd.DatetimeIndex(times)
        t = durations(index - index[0])
    elif is_kind(times, "m"):
        t = durations(times)
    else:
        numeric = pd.to_numeric(pd.Series(np.asarray(times)), errors="coerce") if is_kind(times, "OSUT") else None
        if numeric is None:
            t = checks.numbers(axis, times, "be times in ms").astype(float) * unit
        else:
            t = refused_text(axis, times, numeric.to_numpy(float))
    if (bad := np.flatnonzero(~((np.diff(t, prepend=-np.inf) > 0) & np.isfinite(t)))).size:
        raise ValueError(
            f"{axis} is {np.asarray(times)[bad[0]]} in row {bad[0] + 1}; it must hold times in ms that increase. Sort the rows and leave "
            "repeated and missing ones out; sweeps that each begin at 0 need times that go on."
        )
    return t


def refused_text(axis: str, times: Any, numeric: np.ndarray) -> np.ndarray:
    """Objects that are numbers, as an array. Raises ValueError for text."""
    values = list(times)
    for i, value in enumerate(values):
        if isinstance(value, str) or not np.isfinite(numeric[i]):
            raise ValueError(
                f"{axis} is {value} in row {i + 1}; it must hold times in ms that increase, numbers. Convert it: pd.to_numeric(…), "
                "pd.to_timedelta(…) or pd.to_datetime(…)."
            )
    return checks.numbers(axis, np.array(values, object), "be times in ms").astype(float)


# ---------------------------------------------------------------- files


def read_recording(
    path: Any, cells: Any = None, *, units: Any = None, sampling: float | None = None, sweep: int | None = None
) -> pd.DataFrame:
    """Potentials (time, cell) in mV of a file, with an index in ms; of a file of a result its V only.

    path: text in any usual form, Parquet, NWB (extra `nwb`), or a file of an instrument that Neo reads, such as .abf or .smr (extra `neo`).
    cells: the channels that are wanted, a list of names or numbers from 0, or a mapping from cells to these, {"PD": "ch3"}; by default all
    potentials. units: the unit of the channels whose unit the file does not say or says wrongly, one for all, or a mapping from channels, and
    from "time". sampling: ms from one row to the next, of a text without times. sweep: which sweep, from 0, where each begins anew.

    In text the times are the column that is named as time with a unit, or else the first column (of Parquet the index, if it has one), in
    ms. Units of other columns are taken from their names, "PD (V)", or a row of units; without one they are in mV. `.attrs["source"]` says
    what was read and what was left out. Raises ValueError or TypeError where that cannot be, ImportError if an extra is missing.
    """
    return table_of_source(source_of(path, cells, units, sampling, sweep))


def read_file(path: Any, cells: Any = None, **options: Any) -> Recording:
    """A recording from a file; arguments as for `read_recording`. Channels of instruments are read one after the other, when they are asked
    for, and not kept."""
    source = source_of(path, cells, **options)
    if isinstance(source, pd.DataFrame):
        return of_table(source, f"'{path}'")
    t = source.clock.times()
    warn_of_coarse(t)
    return Recording(tuple(source.channels), None, t, source, pieces(t), ends(t), source)


def source_of(path: Any, cells: Any = None, units: Any = None, sampling: Any = None, sweep: Any = None) -> Any:
    """The table in a file of text or Parquet, or the channels (`Traces`) of an instrument."""
    from .instruments import is_of_instrument, traces

    file = known_file(path)
    if is_of_instrument(file):
        if sampling is not None:
            raise ValueError(
                f"sampling is {sampling!r}, and '{file}' says its own; it is for text without times. Leave it out."
            )
        return traces(file, cells, units, sweep)
    if sweep is not None:
        raise ValueError(
            f"sweep is {sweep!r}, and '{file}' has no sweeps; it is for files of instruments. Leave it out."
        )
    return of_columns(read_table(file), f"'{path}'", cells, units, sampling)


def table_of_source(source: Any) -> pd.DataFrame:
    """A table, also of the channels of an instrument."""
    return source if isinstance(source, pd.DataFrame) else source.table()


def of_columns(data: pd.DataFrame, what: str, cells: Any, units: Any, sampling: Any) -> pd.DataFrame:
    """Potentials (time, cell) in mV, with an index in ms, of the table in a file."""
    if not len(data.columns):
        raise ValueError(f"{what} has no columns; it must have times and one for each cell. Export it anew.")
    given = units_given(units)
    pick = partial(in_millivolts, what=what, cells=cells, units=given)
    if sampling is not None:
        t = checks.positive("sampling", sampling, "ms") * np.arange(len(data))
        return potentials(pick(data.set_axis(pd.Index(t, name="time (ms)"))), what)
    if not isinstance(data.index, pd.RangeIndex) or data.index.name is not None:  # else the rows, by pandas
        return potentials(pick(data), what, f"the index of {what}" if spelled(data.index.name) in TIME else None)
    data = with_unit_of_time(data, given.get("time"))
    first, rest = data.columns[0], data.iloc[:, 1:]
    counting = (is_unnamed(first) or spelled(first) in SAMPLES) and counts(data[first])
    if any(unit_of(name) or is_kind(data[name], "mM") for name in data.columns):
        return potentials(pick(rest if counting else data), what)
    if counting:
        raise ValueError(
            f"the first column of {what}, {first!r}, counts rows; it must hold times in ms that increase. Leave it out, or name the "
            "column of times with its unit, such as 'time (ms)'."
        )
    return potentials(
        pick(rest).set_index(pd.Index(data[first], name=first)), what, f"the first column of {what}, {first!r},"
    )


def with_unit_of_time(data: pd.DataFrame, unit: str | None) -> pd.DataFrame:
    """The table, whose first column is called "time (s)" if its unit is given, or if it has one of times in brackets, as "Zeit (s)"."""
    first = data.columns[0]
    found = name_and_unit(first)[1] if unit is None else spelled_unit(unit)
    if unit is not None and found not in TIMES:
        raise ValueError(f"the unit of time is {unit!r}; it must be one of {checks.listing(TIMES)}. Correct it.")
    named = any(unit_of(name) for name in data.columns[1:]) or (unit is None and unit_of(first))
    return data if found not in TIMES or named else data.rename(columns={first: f"time ({found})"})


def units_given(units: Any) -> dict[Any, str]:
    """Units by channel; of all channels under None."""
    found = (
        {None: units}
        if units is None or isinstance(units, str)
        else dict(checks.mapping("units", units, "{'ch1': 'V'}"))
    )
    for channel, unit in found.items():
        if unit is not None and (
            not isinstance(unit, str) or spelled_unit(unit) not in {*POTENTIALS, *(TIMES if channel == "time" else ())}
        ):
            raise ValueError(
                f"the unit of {channel or 'the channels'} is {unit!r}; it must be one of {checks.listing(POTENTIALS)}"
                f"{', or of time' if channel == 'time' else ''}. Correct it."
            )
    return {channel: spelled_unit(unit) for channel, unit in found.items() if unit is not None}


def in_millivolts(data: pd.DataFrame, what: str, cells: Any, units: Mapping[Any, str]) -> pd.DataFrame:
    """The columns of potentials that are wanted, in mV and by the names of the cells, and those of times as they are."""
    times = [name for name in data.columns if unit_of(name) or is_kind(data[name], "mM")]
    rest = without_others(data.drop(columns=times))
    parts = {column: name_and_unit(column) for column in rest.columns}
    told = {
        column: units.get(name, units.get(column, unit or units.get(None, "")))
        for column, (name, unit) in parts.items()
    }
    refuse_unknown(what, units, [x for column, (name, _) in parts.items() for x in (name, column)])
    plain = {column: name if told[column] else column for column, (name, _) in parts.items()}
    wanted = picked(
        what, cells, list(plain.values()), list(rest.columns), [told[c] in ("", *POTENTIALS) for c in rest.columns]
    )
    columns, left = {}, [c for c in rest.columns if told[c] not in ("", *POTENTIALS)]
    for cell, i in wanted:
        name = rest.columns[i]
        columns[cell] = scaled(what, name, rest.iloc[:, i], told[name])
    found = pd.concat([data[times], pd.DataFrame(columns, data.index, columns=pd.Index(list(columns)))], axis=1)
    found.attrs[SOURCE] = said_of(len(columns), left)
    return found


def scaled(what: str, name: Any, x: pd.Series, unit: str) -> pd.Series:
    """A column in mV, as it is where it is in mV or says no unit. Raises ValueError for another quantity."""
    if unit in ("", "mV"):
        return x
    if unit not in POTENTIALS:
        raise ValueError(
            f"the column {name!r} of {what} is in {unit}; a potential must be in one of {checks.listing(POTENTIALS)}. Choose another."
        )
    return x if is_kind(x, "OSUT") else x * POTENTIALS[unit]


def said_of(n: int, left: Sequence[Any]) -> str:
    """What was read, in words."""
    channels = "1 channel" if n == 1 else f"{n} channels"
    return channels + (f"; left out, being no potentials: {', '.join(map(str, left))}" if left else "")


def refuse_unknown(what: str, units: Mapping[Any, str], names: Sequence[Any]) -> None:
    """Refuse units of channels that are not there."""
    for channel in units:
        if channel not in (None, "time", *names):
            hint = checks.closest(channel, map(str, names))
            raise ValueError(
                f"units names {channel!r}, and the channels of {what} are {checks.listing(names)}.{hint} Name one of these."
            )


def picked(
    what: str, cells: Any, names: Sequence[Any], labels: Sequence[Any], fit: Sequence[bool]
) -> list[tuple[Any, int]]:
    """The cells that are wanted, each with the number of its channel.

    names: of the channels; labels: other spellings of them; fit: whether each is a potential, as those are that are taken where cells is None.
    """
    if cells is None:
        taken = [(name, i) for i, name in enumerate(names) if fit[i]]
        if twice := [name for k, (name, _) in enumerate(taken) if name in [other for other, _ in taken[:k]]]:
            raise ValueError(
                f"{what} has several channels called {twice[0]!r}. Name them by their numbers, from 0: cells={{'PD': 0, 'LP': 1}}."
            )
        return taken
    if isinstance(cells, str):
        raise TypeError(
            f"cells is {cells!r}; it must be a list of channels, or a mapping from cells to channels. Write [{cells!r}]."
        )
    pairs = (
        list(cells.items())
        if isinstance(cells, Mapping)
        else [(None, x) for x in checks.items("cells", cells, "channels")]
    )
    if not pairs:
        raise ValueError(
            f"cells is {cells!r}; it must name one channel at least. Those of {what} are {checks.listing(names)}."
        )
    found: list[tuple[Any, int]] = []
    for cell, channel in pairs:
        i = channel_number(what, channel, names, labels)
        if i in [k for _, k in found]:
            raise ValueError(
                f"cells names the channel {channel!r} of {what} twice; each can be one cell. Leave one out."
            )
        found.append((names[i] if cell is None else cell, i))
    return found


def channel_number(what: str, channel: Any, names: Sequence[Any], labels: Sequence[Any]) -> int:
    """The number of a channel, from its name or its number, from 0."""
    if isinstance(channel, (int, np.integer)) and not isinstance(channel, bool):
        if not 0 <= channel < len(names):
            raise ValueError(
                f"the channel is {channel}; {what} has {len(names)}, numbered from 0. They are {checks.listing(names)}."
            )
        return int(channel)
    for known in (names, labels):
        if (n := list(known).count(channel)) == 1:
            return list(known).index(channel)
        if n > 1:
            raise ValueError(
                f"{n} channels of {what} are called {channel!r}; it must be sure which is meant. Give its number, from 0."
            )
    if isinstance(channel, str) and channel.isdecimal() and int(channel) < len(names):  # as at a terminal
        return int(channel)
    hint = checks.closest(channel, map(str, names))
    raise ValueError(f"{what} has no channel {channel!r}; it has {checks.listing(names)}.{hint} Name one of these.")


def is_unnamed(name: Any) -> bool:
    """Whether pandas made up the name of a column, as of the index that `to_csv` wrote."""
    return str(name).startswith("Unnamed: ") or name in ("index", "level_0")


# ---------------------------------------------------------------- gaps

LONGEST = SAMPLING.most  # ms, between samples that show every spike
FAR = 2.5  # times the usual interval nearby
NEARBY = 5  # intervals on each side


def gaps(t: np.ndarray) -> np.ndarray:
    """Which intervals between increasing times (time,) in ms are gaps, (gap,) indices.

    A gap could hide a spike, and is far longer than the intervals around it. So a lost sample is none, nor is jitter, nor a part that was
    recorded at a lower rate throughout.
    """
    d = np.diff(t)
    long = np.flatnonzero(d > LONGEST)
    last = len(d) - 1
    around = np.abs(long[:, None] + np.arange(-NEARBY, NEARBY + 1))
    usual = np.median(d[np.clip(last - np.abs(last - around), 0, last)], axis=1) if len(d) else d
    return long[d[long] > FAR * usual]


def pieces(t: np.ndarray) -> np.ndarray:
    """Start and end (ms) of each part of the times (time,) without a gap, (piece, 2)."""
    after = gaps(t)
    return np.stack([t[np.append(0, after + 1)], t[np.append(after, len(t) - 1)]], axis=1)


def ends(t: np.ndarray) -> Window:
    """First and last time."""
    return float(t[0]), float(t[-1])


def left_out(recording: Recording) -> str:
    """What the window has of gaps, in words; empty without one."""
    between = np.stack([recording.pieces[:-1, 1], recording.pieces[1:, 0]], axis=1)
    if not len(between):
        return ""
    where = ", ".join(f"{a:g} to {b:g}" for a, b in between[:SHOWN]) + (", …" if len(between) > SHOWN else "")
    n = "1 gap" if len(between) == 1 else f"{len(between)} gaps"
    return f"{n} of {np.diff(between).sum():g} ms in all ({where} ms)"


SHOWN = 5  # gaps in a message

# ---------------------------------------------------------------- windows

BRIEF = 100.0  # ms; a rhythm does not show in less


def within(found: Recording, window: Any) -> Recording:
    """The recording, looked at in a window (ms). Raises TypeError or ValueError for a window that it does not have."""
    start, end = pair(window)
    first, last = found.window if found.t is None else ends(found.t)
    slack = float(np.median(np.diff(found.t))) if found.t is not None and len(found.t) > 1 else 0.0
    seconds = (
        end - start < BRIEF < 1e3 * (end - start) and first < 1e3 * end and 1e3 * start < last and 1e3 * end < 2 * last
    )
    guess = f"If it is in s, say ({1e3 * start:g}, {1e3 * end:g})." if seconds else "Choose such times."
    said = f"window is ({start:g}, {end:g}) ms"
    if found.t is not None and (start < first - slack or end > last + slack):
        raise ValueError(f"{said}; it must lie within the recording, {first:g} to {last:g} ms. {guess}")
    if seconds or (end - start < INTERVAL.least and last - first > BRIEF):
        raise ValueError(
            f"{said}, and the recording goes on to {last:g} ms; a rhythm does not show in less than {BRIEF:g} ms. {guess}"
        )
    if found.t is not None:
        return found._replace(window=(start, end), pieces=clipped(pieces(found.t), start, end))
    if first < last and (end < first or start > last):
        checks.warn(
            f"{said}, and all spikes are from {first:g} to {last:g} ms; so all cells are silent. Check it, if that is not meant."
        )
    return found._replace(window=(start, end), pieces=np.array([[start, end]]))


def pair(window: Any) -> Window:
    """Start and end of a window, in order."""
    cure = "Give (start, end) in ms, such as (2000, 10000)."
    if (
        isinstance(window, (str, bytes, Mapping, set))
        or not isinstance(window, Iterable)
        or len(two := list(window)) != 2
    ):
        raise TypeError(f"window is {window!r}; it must be two times. {cure}")
    start, end = (checks.number(f"the {x} of the window", v, "ms") for x, v in zip(("start", "end"), two, strict=True))
    if not start < end:
        raise ValueError(f"window is ({start:g}, {end:g}) ms; its start must come before its end. {cure}")
    return start, end


def clipped(parts: np.ndarray, start: float, end: float) -> np.ndarray:
    """The parts (piece, 2) within a window; the first and the last reach to its ends, if it goes on to those of the recording."""
    inside = parts[(parts[:, 1] >= start) & (parts[:, 0] <= end)]
    if not len(inside):
        raise ValueError(
            f"window is ({start:g}, {end:g}) ms, all of it in a gap of the recording; it must have samples. Choose others."
        )
    found = np.clip(inside, start, end)
    found[0, 0] = start if start <= parts[0, 0] else found[0, 0]
    found[-1, 1] = end if end >= parts[-1, 1] else found[-1, 1]
    return found


# ---------------------------------------------------------------- scale

OFFSET = 0.2  # of its swing, by which a membrane potential is away from 0, and an extracellular one is not
NOTHING = 1e-3  # mV, less than the noise of any electrode
MANY = 100_000  # samples tell the median
STEEPEST = 5000.0  # mV/ms, which no cell reaches in a hundredth of all samples
BLIND = 10.0  # ms, between samples that show no spike at all


def check_potentials(name: str, V: Any, doubt: Callable[[str], None] | None = None) -> None:
    """Refuse finite potentials (…) of a size that they have in V, in µV or before a gain is taken out; warn of peaks beyond any cell.

    doubt: what to do instead of refusing.
    """
    V = np.asarray(V, float).ravel()
    if not len(V):
        return
    level, top = abs(float(np.median(V[:: max(1, len(V) // MANY)]))), float(np.abs(V).max(initial=0.0))
    away = level > OFFSET * float(np.ptp(V))  # extracellular potentials lie around 0, and may be small
    wrong = ""
    if 0 < top < NOTHING or (top < POTENTIAL.least and away):
        wrong = suspicion(name, top, POTENTIAL)
    elif level > LEVEL.most:
        wrong = suspicion(name.replace("the largest", "the median"), level, LEVEL)
    elif top > POTENTIAL.most:
        doubt, wrong = checks.warn, suspicion(name, top, POTENTIAL)
    if wrong and doubt is None:
        raise ValueError(f"{wrong} If it is no potential, leave it out.")
    if wrong and doubt is not None:
        doubt(wrong)


TURNS = 0.3  # of all samples, at which V turns where there is noise; at two thirds if it is white
STRAIGHT = 1e-9  # mV, a smaller bend is that of a line


def check_filled(cell: Any, t: np.ndarray, V: np.ndarray) -> None:
    """Warn of a part that is exactly 0 mV, or a straight line among noise, as where a recording was interrupted and filled."""
    d = np.diff(V)
    noisy = len(d) > 1 and float((d[1:] * d[:-1] < 0).mean()) > TURNS
    if not noisy and (len(d) < 2 or V.all()):
        return
    still = (
        np.abs(np.diff(d)) <= STRAIGHT
        if noisy
        else (V[1:-1] == 0) & (abs(float(np.median(V))) > OFFSET * float(np.ptp(V)))
    )
    edges = np.flatnonzero(np.diff(still.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    long = edges[t[edges[:, 1] + 1] - t[edges[:, 0]] > BLIND]
    if len(long):
        a, b = long[0]
        checks.warn(
            f"V of {cell!r} is a straight line from {t[a]:g} to {t[b + 1]:g} ms, and no cell is; if it was filled in there, leave these "
            "rows out of the table. The gap is then left out of all cycles."
        )


def check_sampling(what: str, t: np.ndarray, V: Mapping[Any, np.ndarray]) -> None:
    """Refuse times (time,) in another unit than ms, and sampling that shows no spikes; warn of one that misses some."""
    check_units(what, t, V)
    if len(t) > 2 and (usual := float(np.median(np.diff(t)))) > BLIND:
        raise ValueError(
            f"{suspicion(f'the sampling interval of {what}', usual, SAMPLING)} In samples so far apart spikes are not seen."
        )
    warn_of_coarse(t)


def check_units(what: str, t: np.ndarray, V: Mapping[Any, np.ndarray]) -> None:
    """Refuse times (time,) that are in s; warn of those that may be."""
    d = np.diff(t)
    if len(t) < 3 or (usual := float(np.median(d))) >= BLIND / 1000:
        return
    if float(np.quantile(d, 0.9)) < SAMPLING.least:
        raise ValueError(suspicion(f"the sampling interval of {what}", usual, SAMPLING))
    if (steep := max((float(np.quantile(np.abs(np.diff(x)) / d, 0.99)) for x in V.values()), default=0.0)) > STEEPEST:
        raise ValueError(
            f"V of {what} changes by {steep:.4g} mV in a ms; no cell exceeds {STEEPEST:g}. If its times are in s, multiply them by 1000."
        )
    if len(t) > 100 and t[-1] - t[0] < BRIEF:
        checks.warn(
            f"{what} lasts {t[-1] - t[0]:.4g} ms, in which no rhythm shows. If its times are in s, multiply them by 1000."
        )


def warn_of_coarse(t: np.ndarray) -> None:
    """Warn of samples at times t (ms) between which spikes are missed."""
    if len(t) > 2 and (usual := float(np.median(np.diff(t)))) > LONGEST:
        checks.warn(
            f"the samples are {usual:g} ms apart; where they are more than {LONGEST:g} ms apart spikes are missed. Record one every ms."
        )


def check_trains(trains: Mapping[Any, np.ndarray]) -> None:
    """Refuse spike times (ms) of a size that they have in s; warn of such as are too sparse, or of too short a time."""
    for cell, x in trains.items():
        if len(x) < 3:
            continue
        usual = float(np.median(np.diff(x)))
        if usual < INTERVAL.least:
            raise ValueError(suspicion(f"the median interval between spikes of {cell!r}", usual, INTERVAL))
        if wrong := suspicion(f"the median interval between spikes of {cell!r}", usual, INTERVAL):
            checks.warn(wrong)
    every = np.concatenate([[], *trains.values()])
    if len(every) > 4 and np.ptp(every) < BRIEF:
        checks.warn(
            f"all {len(every)} spikes lie within {np.ptp(every):.4g} ms, in which no rhythm shows. If that is s, multiply it by 1000."
        )
        return
    for cell, x in trains.items():
        if (
            len(x) > 2
            and np.ptp(x) < BRIEF < 1e3 * np.ptp(x)
            and np.abs(x).max() < BRIEF
            and 1e3 * x.max() < 2 * every.max()
        ):
            checks.warn(
                f"{cell!r} has no spike after {x[-1]:.4g} ms, others have to {every.max():g} ms. If its times are in s, multiply by 1000."
            )


# ---------------------------------------------------------------- cells of a model


def spellings(cell: tuple[str, int], alone: bool) -> tuple[Any, ...]:
    """The labels that mean a cell of a model, (population, number): itself, as text, as in a file of a result, or its population alone."""
    text = f"{cell[0]} {cell[1]}"
    return (cell, text, OWN_V + text, *((cell[0], OWN_V + cell[0]) if alone else ()))


def cell_numbers(what: str, labels: Iterable[Any], cells: Iterable[tuple[str, int]]) -> list[int]:
    """Number, among the cells of a model, of each label. Raises ValueError for labels of no cell, of two, or of one that came before."""
    cells = [(str(pop), int(i)) for pop, i in cells]
    pops = [pop for pop, _ in cells]
    means: dict[Any, list[int]] = {}
    for k, cell in enumerate(cells):
        for name in spellings(cell, pops.count(cell[0]) == 1):
            means.setdefault(name, []).append(k)
    found: list[int] = []
    for label in labels:
        numbers = means.get(label, [])
        if len(numbers) != 1:
            several = f"two cells, {cells[numbers[0]]} and {cells[numbers[1]]}" if numbers else "no cell"
            several += f" but a population of {pops.count(label)}" if label in pops and not numbers else ""
            known = checks.listing(cell if pops.count(cell[0]) > 1 else cell[0] for cell in cells)
            hint = "" if label in pops else checks.closest(label, pops)
            raise ValueError(f"{what} {label!r} means {several}; the model has {known}.{hint} Name one of these.")
        if numbers[0] in found:
            raise ValueError(
                f"{what} {label!r} means the cell {cells[numbers[0]]} again; each can be named once. Leave one out."
            )
        found += numbers
    return found


def evenly_sampled(data: Any, cells: Any) -> tuple[np.ndarray, np.ndarray]:
    """Equally spaced times (time,) ms and potentials (time, cell) mV of the cells of a model, in their order, to be fitted.

    data: a result, a DataFrame or a file as for `as_recording`, or (t, V). Columns are told by their labels; an array, and a table whose
    columns are only counted, have the order of the cells. Raises TypeError or ValueError.
    """
    if hasattr(data, "states"):
        t, V, labels = np.asarray(data.t, float), np.asarray(data.states.V, float), data.model.cells
    else:
        table = potentials(table_of(data))
        t, V, labels = table.index.to_numpy(), table.to_numpy(), table.columns
        check_units("the recording", t, dict(enumerate(V.T)))
        if len(t) > 2 and (usual := float(np.median(np.diff(t)))) > BLIND:
            checks.warn(suspicion("the sampling interval of the recording", usual, SAMPLING))
        for name, x in zip(labels, V.T, strict=True):
            check_potentials(f"the largest potential of {name!r}", x)
    check_spacing(t)
    return t, V[:, order_of(labels, list(cells), "the recording has no potential")]


def table_of(data: Any) -> pd.DataFrame:
    """A table from a file, a DataFrame or (t, V)."""
    if isinstance(data, (str, os.PathLike)):
        return read_recording(data)
    if isinstance(data, pd.DataFrame):
        return data
    if not isinstance(data, tuple) or len(data) != 2:
        raise TypeError(
            f"the recording is a {type(data).__name__}; it must be a result, a DataFrame or a pair. Give (t, V), in ms and mV."
        )
    t, V = milliseconds("t", data[0]), data[1]
    if not isinstance(V, pd.DataFrame):
        named = isinstance(V, pd.Series) and V.name is not None
        V = V.to_frame() if named else checks.numbers("V", V, "be potentials in mV")
        if np.ndim(V) not in (1, 2):
            raise ValueError(
                f"V has the shape {np.shape(V)}; it must be (time, cell), in mV. Leave the other axes out."
            )
        V = pd.DataFrame(V)
    if len(V) != len(t):
        raise ValueError(
            f"V has {len(V)} rows and t {len(t)} times; there must be one row for each time. Cut the longer one."
        )
    return V.set_axis(pd.Index(t, name="time (ms)"))


def order_of(labels: pd.Index, cells: list[tuple[str, int]], lack: str) -> list[int]:
    """The column of each cell of a model. Raises ValueError for labels that do not name all cells, each once; lack: how it says so."""
    if isinstance(labels, pd.RangeIndex) or (len(cells) == 1 and list(labels) == ["V"]):
        if len(labels) != len(cells):
            raise ValueError(
                f"there are {len(labels)} columns without labels; there must be one for each cell, in the order {checks.listing(cells)}. "
                "Name them, or pick some."
            )
        return list(range(len(cells)))
    named = cell_numbers("the column", labels, cells)
    if lacking := [cell for k, cell in enumerate(cells) if k not in named]:
        raise ValueError(f"{lack} of the cell {lacking[0]}; there must be one for each cell of the model. Add it.")
    return [named.index(k) for k in range(len(cells))]


def check_spacing(t: np.ndarray, what: str = "the recording") -> None:
    """Refuse times (ms) that are few or not equally spaced."""
    if len(t) < 3:
        raise ValueError(f"{what} has {len(t)} times, too few; it takes at least 3, equally spaced. Give more of them.")
    d = np.diff(t)
    if not np.allclose(d, d[0], rtol=1e-6):
        i = int(np.argmax(d))
        raise ValueError(
            f"{what} is not equally spaced: its times are {d.min():g} to {d.max():g} ms apart, most after {t[i]:g} ms; it must be, without "
            "a gap. Resample it, or give a part."
        )


def cell_number(what: str, cell: Any, cells: Iterable[tuple[str, int]]) -> int:
    """Number of a cell of a model, from its number, counted from the end if negative, or its label. Raises TypeError or ValueError."""
    cells = list(cells)
    if isinstance(cell, (int, np.integer)) and not isinstance(cell, bool):
        if not -len(cells) <= cell < len(cells):
            raise ValueError(
                f"{what} is {cell}; the model has {len(cells)} cells, from 0 to {len(cells) - 1}. Name one: {cells[0]!r}."
            )
        return int(cell) % len(cells)
    if not isinstance(cell, (str, tuple)):
        raise TypeError(f"{what} is {cell!r}; it must be the label or the number of a cell. Name one: {cells[0]!r}.")
    return cell_numbers(what, [cell], cells)[0]


# ---------------------------------------------------------------- what drives a run


def covering(what: str, given: Sampled, first: float, last: float) -> tuple[np.ndarray, np.ndarray]:
    """A recording of one variable that drives a run from first to last (ms): increasing times in ms that cover it, and finite values."""
    times, values = given.times, given.values
    if times is None and isinstance(values, pd.Series):
        times = values.index
    if times is None:
        raise TypeError(
            f"{what} is {type(values).__name__} without times; it must be a Series with times in ms, or a pair (times, values)."
        )
    if isinstance(times, pd.Index):
        check_index(f"the index of {what}", times)
    t = milliseconds(f"the times of {what}", times, unit_of(getattr(times, "name", None)) or 1.0)
    x = checks.numbers(what, values).astype(float)
    if t.ndim != 1 or t.shape != x.shape:
        raise ValueError(
            f"{what} has times of shape {t.shape} and values of shape {x.shape}; both must be (time,). Give one cell."
        )
    if (bad := np.flatnonzero(~np.isfinite(x))).size:
        raise ValueError(
            f"{what} is {x[bad[0]]} at {t[bad[0]]:g} ms; it must be finite. Interpolate there, or choose another part."
        )
    if given.outside is None and (first < t[0] - 1e-9 or last > t[-1] + 1e-9):
        seconds = 1e3 * t[0] <= first + 1e-6 and last <= 1.01 * 1e3 * t[-1]
        guess = (
            "If its times are in s, multiply them by 1000."
            if seconds
            else "Make the run shorter, or the recording longer."
        )
        raise ValueError(
            f"{what} lasts from {t[0]:g} to {t[-1]:g} ms, the run from {first:g} to {last:g} ms; it must cover the run. {guess}"
        )
    if len(t) >= SAMPLED:
        check_drive(what, t, last - first)
    return t, x


SAMPLED = 50  # more points than one writes down: a recording


def check_drive(what: str, t: np.ndarray, duration: float) -> None:
    """Warn of a recording at times t (ms) that is coarse and far longer than a run (ms), as one in µs, or has gaps."""
    if (usual := float(np.median(np.diff(t)))) > BLIND and t[-1] - t[0] > 100 * duration:
        checks.warn(suspicion(f"the sampling interval of {what}", usual, SAMPLING))
    for a, b in zip(t[gaps(t)], t[gaps(t) + 1], strict=True):
        checks.warn(
            f"{what} has a gap from {a:g} to {b:g} ms; it goes on in a straight line there. If that is not meant, choose another part."
        )


def check_commands(what: str, commands: Sequence[Any]) -> None:
    """Refuse recordings, and warn of numbers and protocols, among the commands of a clamp that are not of the size of potentials in mV."""
    recorded = any(isinstance(c, (pd.Series, tuple)) for c in commands)
    known = [c for c in commands if isinstance(c, (float, int, np.number, pd.Series, tuple)) or hasattr(c, "levels")]
    values = [c[1] if isinstance(c, tuple) and len(c) == 2 else getattr(c, "levels", c) for c in known]
    found = [checks.numbers(what, x).ravel() for x in values]
    if found:
        check_potentials(f"the largest potential of {what}", np.concatenate(found), None if recorded else checks.warn)
