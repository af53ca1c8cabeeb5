"""What comes from outside: units, times, gaps, windows, labels and files of recordings, targets of losses and commands of clamps."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from networks import AXON

from pyloric_simulator.files.recording import as_recording, read_recording
from pyloric_simulator.fitting.losses import (
    calcium_mismatch,
    criteria_mismatch,
    density_mismatch,
    prediction_error,
    rhythm_mismatch,
    trace_mismatch,
)
from pyloric_simulator.fitting.soft_features import soft_features
from pyloric_simulator.lab.dynamic_clamp import dynamic_clamp
from pyloric_simulator.lab.protocols import Steps
from pyloric_simulator.lab.voltage_clamp import clamp_family, voltage_clamp
from pyloric_simulator.models.networks import Synapse
from pyloric_simulator.plotting import criteria_chart, phase_diagram, raster
from pyloric_simulator.prinz2004 import GLUTAMATE, Prinz2004, neuron_models
from pyloric_simulator.rhythm import features, is_pyloric, report, summary

from . import Case, mistyped, refused, warned

# ---------------------------------------------------------------- what is recorded

T = np.arange(0, 4000, 0.5)  # ms
NAMES = ("PD", "LP", "PY")
WAVE = -50 + 25 * np.sin(2 * np.pi * T / 1000) + 40 * (np.arange(len(T)) % 80 == 0)
V = pd.DataFrame(dict.fromkeys(NAMES, WAVE), index=T)
TWICE = pd.Timestamp("2024-10-27 02:59:58") + pd.to_timedelta(
    np.where(T < 2000, T, T - 3.6e6), unit="ms"
)  # without a zone
SLOW = pd.DataFrame({"PD": -50 + 8 * np.sin(2 * np.pi * T[::10] / 1000)}, index=T[::10])  # without spikes
NOISY = V + np.random.default_rng(0).normal(0, 0.3, V.shape)
HOLE = np.repeat(((T < 1000) | (T > 2500))[:, None], 3, 1)
TRAINS = {name: np.concatenate([start + np.arange(0, 400, 25.0) for start in (500, 1500, 2500)]) for name in NAMES}
WINDOW = (0.0, 4000.0)


def timed(index: Any, name: Any = None) -> pd.DataFrame:
    """The potentials with other times."""
    return V.set_axis(pd.Index(index, name=name))


def column(name: str, values: Any) -> pd.DataFrame:
    """The potentials with times in a column."""
    return V.reset_index(drop=True).assign(**{name: values})


def without(*rows: int, value: float = np.nan) -> pd.DataFrame:
    """The potentials with some of LP that are no numbers."""
    changed = V.copy()
    changed.iloc[list(rows), 1] = value
    return changed


def file(text: Any, name: str = "x.csv") -> Path:
    """A file with a text, or of a table."""
    path = Path(tempfile.mkdtemp()) / name
    if isinstance(text, str):
        path.write_text(text, encoding="utf-8")
    elif name.endswith(".parquet"):
        text.to_parquet(path)
    else:
        text.to_csv(path)
    return path


def read(text: Any, name: str = "x.csv") -> Callable[[], Any]:
    return lambda: read_recording(file(text, name))


def of(data: Any, *window: Any) -> Callable[[], Any]:
    return lambda: as_recording(data, *window)


# ---------------------------------------------------------------- models

ROWS = neuron_models.loc[["AB/PD 3", "LP 1", "PY 1"]]
MODEL = Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, {}, ROWS)
TWO = Prinz2004({"LP": 2}, {}, ROWS[1:2])
ONE = Prinz2004({"LP 1": 1}, {})
SHORT = np.arange(0, 100, 0.5)
CELLS = pd.DataFrame(np.full((200, 3), -60.0), SHORT, ["AB/PD", "LP", "PY"])
RUN = np.arange(1000, 5000, 0.1)


def fitted(data: Any, model: Any = MODEL, loss: Any = trace_mismatch, **kwargs: Any) -> Callable[[], Any]:
    return lambda: loss(model, data, state=model.cold, **kwargs)


def wanted(**kwargs: Any) -> Callable[[], Any]:
    """A loss of the rhythm."""
    t = kwargs.pop("t", RUN)
    return partial(rhythm_mismatch, MODEL, t, state=MODEL.cold, **(dict(period=1200, duty_cycle=0.3) | kwargs))


def roles(values: Any, **kwargs: Any) -> Callable[[], Any]:
    return partial(criteria_mismatch, MODEL, RUN, roles=values, state=MODEL.cold, **kwargs)


def clamped(command: Any) -> Callable[[], Any]:
    return lambda: voltage_clamp(AXON, SHORT, command)


def recorded(values: Any, times: Any = None) -> Callable[[], Any]:
    """A clamp to a recording."""
    times = np.arange(0, 101, 0.5) if times is None else times
    return clamped(pd.Series(np.broadcast_to(values, len(times)), times))


CASES: dict[str, Case] = {
    # scale of potentials
    "V in volts": refused(of(V * 1e-3), "0.075 mV", "in V", "multiply it by 1000"),
    "V in volts, by summary": refused(lambda: summary(V * 1e-3), "in V", "1000"),
    "V in volts, by report": refused(lambda: report(V * 1e-3), "in V", "1000"),
    "V in volts, by the raster": refused(lambda: raster(V * 1e-3), "in V", "1000"),
    "V in µV": refused(of(V * 1e3), "median", "in µV", "0.001"),
    "V at a gain of 10": refused(of(V * 10), "494.9 mV", "gain of 10", "0.1"),
    "one column in volts": refused(of(V.assign(LP=V["LP"] / 1e3)), "'LP'", "in V"),
    "V with an artefact": warned(of(V.assign(LP=np.where(T == 7, 9000, V["LP"]))), "9000 mV", "'LP'"),
    # scale of times
    "t in s": refused(of(timed(T / 1e3)), "0.0005 ms", "in s", "1000"),
    "t in s, by features": refused(lambda: features(timed(T / 1e3)), "in s", "1000"),
    "t in s, of a coarse recording": refused(of(V[::10].set_axis(T[::10] / 1e3) + np.resize([0, 60], 800)[:, None]), "no cell", "in s"),
    "t in s, of a slow wave": warned(of(SLOW.set_axis(T[::10] / 1e3)), "lasts 3.995 ms", "1000"),
    "t in µs": refused(of(timed(T * 1e3)), "500 ms", "in µs", "0.001"),
    "t in ns": refused(of(timed(T * 1e6)), "5e+05 ms", "in ns", "1e-06"),
    "t in minutes": refused(of(timed(T / 6e4)), "8.333e-06 ms", "multiply"),
    "t too coarse": warned(of(V[::10]), "5 ms apart", "missed"),
    "t far too coarse": refused(of(V[::50]), "25 ms", "not seen"),
    # time axes
    "rows": refused(of(V.reset_index(drop=True)), "counts rows", "set_index", "np.arange"),
    "rows, by is_pyloric": refused(lambda: is_pyloric(V.reset_index(drop=True)), "counts rows", "set_index"),
    "rows, every second": refused(of(V.reset_index(drop=True)[::2]), "counts rows, 0, 2"),
    "rows beside a column": refused(of(column("time", T)), "'time'", "without a unit", "set_index('time')"),
    "an index beside a column": refused(of(V.assign(t=T)), "'t'", "beside its index"),
    "two columns of times": refused(of(column("time (s)", T / 1e3).assign(t_ms=T)), "'time (s)', 't_ms'", "only one"),
    "numbers of samples": warned(of(timed(np.arange(len(T)))), "0, 1", "sampling interval", "time (ms)"),
    "numbers of samples, by name": refused(of(timed(np.arange(len(T)), "sample")), "counts rows"),
    "a unit that is wrong": refused(of(timed(T, "time (s)")), "500 ms", "µs"),
    "text": refused(of(timed(T.astype(str))), "0.0 in row 1", "pd.to_numeric"),
    "times of day": refused(of(timed([f"0:00:{x:.4f}" for x in T / 1e3])), "row 1", "to_timedelta"),
    "periods": mistyped(of(timed(pd.period_range("2024", periods=len(T), freq="s"))), "PeriodIndex"),
    "two levels": mistyped(of(V.set_axis(pd.MultiIndex.from_arrays([T, T]))), "MultiIndex"),
    "truth values": mistyped(of(V.iloc[:2].set_axis(pd.Index([False, True]))), "truth values"),
    "complex": mistyped(of(timed(T + 0j)), "complex"),
    "a missing time": refused(of(timed(np.where(T == 9, np.nan, T))), "nan in row 19", "increase"),
    "an infinite time": refused(of(timed(np.append(T[:-1], np.inf))), "inf in row 8000", "increase"),
    "a missing duration": refused(of(timed([pd.NaT, *pd.to_timedelta(T[1:], unit="ms")])), "NaT in row 1"),
    "times twice": refused(of(pd.concat([V.iloc[:5], V.iloc[4:]])), "2.0 in row 6", "increase"),
    "times backwards": refused(of(V[::-1]), "row 2", "Sort"),
    "sweeps": refused(of(pd.concat([V, V])), "0.0 in row 8001", "sweeps"),
    "the hour that comes twice": refused(of(timed(TWICE)), "row 4001", "increase"),
    # what is in the columns
    "a hole": refused(of(without(7)), "nan at 3.5 ms", "'LP'", "isfinite"),
    "infinite": refused(of(without(7, value=np.inf)), "inf at 3.5 ms", "isfinite"),
    "an empty column": refused(of(V.assign(nerve=np.nan)), "'nerve'", "Leave the column out"),
    "missing of a nullable type": refused(of(V.convert_dtypes().mask(V > 10)), "missing"),
    "words": refused(of(V.assign(LP="high")), "'LP'", "'high'", "Leave it out"),
    "truth values for V": mistyped(of(V > 0), "'PD'", "truth values"),
    "complex potentials": mistyped(of(V + 0j), "complex"),
    "half precision": mistyped(of(V.astype(np.float16)), "float16"),
    "one date in a column": refused(of(V.assign(a=pd.Timestamp("2024"))), "'a'", "increase"),
    "no rows": refused(of(V.iloc[:0]), "0 rows"),
    "no columns": refused(of(V[[]]), "no column of potentials"),
    "only times": refused(of(column("time (ms)", T)[["time (ms)"]]), "no column of potentials"),
    "columns twice": refused(of(V.set_axis(["PD", "LP", "LP"], axis=1)), "'LP' twice"),
    "zeros where nothing was recorded": warned(of(V.mul((T < 1000) | (T > 2500), axis=0)), "straight line", "to 2500.5 ms", "rows"),
    "the last value held": warned(of(NOISY.where(HOLE).ffill()), "straight line from 999.5", "'PD'"),
    "a line through a hole": warned(of(NOISY.where(HOLE).interpolate()), "straight line from 999.5 to 2500.5"),
    "a current among potentials": refused(of(V.assign(I=-0.5)), "'I'", "leave it out"),
    # what is no recording
    "an array": mistyped(of(V.to_numpy()), "ndarray", "DataFrame"),
    "a Series": mistyped(of(V["PD"]), "Series", "to_frame"),
    "a list": mistyped(of([1.0, 2.0]), "list", "mapping"),
    "nothing": mistyped(of(None), "NoneType"),
    "a file that is not there": refused(of("nowhere.csv"), "'nowhere.csv'", "no file"),
    # spike times
    "spike times in s": refused(of({"PD": TRAINS["PD"] / 1e3}), "0.025 ms", "in s", "1000"),
    "spike times in s, by features": refused(lambda: features({c: x / 1e3 for c, x in TRAINS.items()}), "in s"),
    "a slow train in s": warned(of({"PD": np.arange(0.5, 12, 1.5)}), "10.5 ms", "1000"),
    "spike times in s, of one cell": warned(of(TRAINS | {"LP": np.array([0.5, 1.5, 2.5])}), "'LP'", "2.5 ms", "1000"),
    "spike times in µs": warned(of({"PD": TRAINS["PD"] * 1e3}), "2.5e+04 ms", "in µs"),
    "spike times unsorted": refused(of({"PD": [3.0, 1.0]}), "'PD'", "3 is followed by 1"),
    "spike times twice": refused(of({"PD": [1.0, 1.0]}), "each once", "np.unique"),
    "spike times with NaN": refused(of({"PD": [1.0, np.nan]}), "'PD'", "nan", "finite"),
    "spike times infinite": refused(of({"PD": [1.0, np.inf]}), "inf", "finite"),
    "spike times of text": mistyped(of({"PD": ["1", "2"]}), "'PD'", "text"),
    "spike times of truth values": mistyped(of({"PD": np.array([True, False])}), "truth values"),
    "spike times, one number": refused(of({"PD": 3.0}), "shape ()"),
    "spike times in a matrix": refused(of({"PD": np.ones((2, 2))}), "(2, 2)"),
    "spike times, None": refused(of({"PD": None}), "'PD'"),
    "potentials for spike times": refused(of({"PD": WAVE}), "'PD'", "DataFrame"),
    # windows
    "window in s": refused(of(V, (1, 3)), "(1, 3) ms", "in s, say (1000, 3000)"),
    "window in s, of a train": refused(of(TRAINS, (0, 3)), "in s, say (0, 3000)"),
    "window in s, by the diagram": refused(lambda: phase_diagram(V, (1, 3)), "in s"),
    "window in minutes": refused(of(V, (0, 0.05)), "(0, 0.05) ms", "less than 100 ms"),
    "window reversed": refused(of(V, (3000, 1000)), "start must come before its end"),
    "window of no length": refused(of(V, (1000, 1000)), "start must come before"),
    "window outside": refused(of(V, (5000, 6000)), "0 to 3999.5 ms"),
    "window beyond the end": refused(of(V, (1000, 4500)), "(1000, 4500)", "0 to 3999.5"),
    "window before the start": refused(of(V, (-500, 3000)), "(-500, 3000)"),
    "window in a gap": refused(of(V[(T < 1000) | (T > 2000)], (1200, 1800)), "in a gap"),
    "window without spikes": warned(of(TRAINS, (5000, 9000)), "all spikes", "500 to 2875"),
    "window with NaN": refused(of(V, (0, np.nan)), "nan", "finite"),
    "window infinite": refused(of(V, (0, np.inf)), "inf", "finite"),
    "window of text": mistyped(of(V, ("0", "1000")), "'0'", "number in ms"),
    "window as one word": mistyped(of(V, "all"), "'all'", "two times"),
    "window as a number": mistyped(of(V, 1000), "1000", "two times"),
    "window of three": mistyped(of(V, (0, 1, 2)), "two times"),
    "window of None": mistyped(of(V, (None, 1000)), "None"),
    "window of truth values": mistyped(of(V, (False, True)), "False"),
    "window of durations": mistyped(of(V, tuple(pd.to_timedelta([1, 3], unit="s"))), "Timedelta"),
    "window as a mapping": mistyped(of(V, {0: 1, 1000: 2}), "two times"),
    "window of a chart in s": refused(lambda: criteria_chart(V, (1, 3)), "in s"),
    # files
    "file with rows": refused(read(V.reset_index(drop=True)), "counts rows", "time (ms)"),
    "file with rows and times": refused(read(column("time", T)), "counts rows"),
    "file with samples": refused(read(timed(np.arange(len(T)), "sample")), "counts rows"),
    "file without times": refused(read("PD,LP,PY\n-50,-50,-50\n-40,-50,-50\n-60,-60,-60\n"), "'PD'", "row 3", "increase"),
    "file with a column twice": refused(read("time,PD,PD\n0,1,2\n1,1,2\n"), "'PD' is there twice"),
    "file with semicolons and words": refused(read("time;PD\n0;high\n1;low\n"), "';'", "no rows of numbers"),
    "file with words": refused(read("time,PD\nms,high\n0,-50\n"), "is ms in row 1"),
    "file in a row of units of volts": refused(of(file("time,PD\nms,V\n0,-50\n1,-60\n")), "5.5e+04 mV", "in µV"),
    "file with dates": refused(read("when,PD\n2024-01-01,-50\n2024-01-02,-50\n"), "2024-01-01 in row 1", "to_datetime"),
    "empty file": refused(read(""), "cannot be read"),
    "no Parquet": refused(read("time,PD\n0,1\n", "x.parquet"), "cannot be read"),
    "Parquet without times": refused(read(V.reset_index(drop=True), "x.parquet"), "first column", "increase"),
    "file in s": refused(lambda: as_recording(file(timed(T / 1e3, "time"))), "x.csv", "in s"),
    "file in volts": refused(lambda: summary(file(V * 1e-3)), "in V"),
    # recordings to be fitted
    "fit: volts": refused(fitted(CELLS * 1e-3), "0.06 mV", "in V", "1000"),
    "fit: volts in a pair": refused(fitted((SHORT, CELLS.to_numpy() * 1e-3)), "in V"),
    "fit: seconds": refused(fitted(CELLS.set_axis(SHORT / 1e3)), "in s", "1000"),
    "fit: rows": refused(fitted(CELLS.reset_index(drop=True)), "counts rows"),
    "fit: unknown label": refused(fitted(CELLS.rename(columns={"PY": "PYY"})), "'PYY'", "Did you mean 'PY'"),
    "fit: missing label": refused(fitted(CELLS[["AB/PD", "LP"]]), "('PY', 0)", "Add it"),
    "fit: one more label": refused(fitted(CELLS.assign(IC=-60.0)), "'IC'", "'AB/PD', 'LP', 'PY'"),
    "fit: label twice": refused(fitted(CELLS.set_axis(["LP", ("LP", 0), "PY"], axis=1)), "again"),
    "fit: label of two cells": refused(fitted(CELLS[["LP"]], TWO), "'LP' means no cell", "('LP', 1)"),
    "fit: two columns": refused(fitted((SHORT, np.full((200, 2), -60.0))), "2 columns", "in the order"),
    "fit: label of another cell": refused(fitted(CELLS[["PY"]], ONE), "'PY'", "'LP 1'"),
    "fit: gap": refused(fitted(CELLS.drop(index=SHORT[50:90])), "most after 24.5 ms"),
    "fit: two times": refused(fitted(CELLS.iloc[:2]), "2 times", "at least 3"),
    "fit: shorter V": refused(fitted((SHORT, CELLS.to_numpy()[:5])), "5 rows", "200 times"),
    "fit: NaN": refused(fitted(CELLS.replace(-60.0, np.nan)), "nan at 0 ms"),
    "fit: an array": mistyped(fitted(CELLS.to_numpy()), "ndarray", "Give (t, V)"),
    "fit: durations of an array": mistyped(fitted((SHORT.astype(bool), CELLS.to_numpy())), "truth values"),
    "fit: times in µs": warned(fitted((SHORT * 1e3, CELLS.to_numpy())), "500 ms", "in µs"),
    "fit: times and potentials exchanged": refused(fitted((CELLS.to_numpy(), SHORT)), "(200, 3)", "times first"),
    "fit: three axes": refused(fitted((SHORT, np.zeros((200, 3, 1)))), "(200, 3, 1)", "(time, cell)"),
    "fit: numbers of other cells": refused(fitted(CELLS.set_axis([1, 2, 3], axis=1)), "column 1", "no cell"),
    "fit: transposed": refused(fitted(CELLS.T), "AB/PD in row 1", "times in ms"),
    "fit: K in µS": warned(fitted(CELLS, loss=prediction_error, K=5e4), "5e+04", "multiply"),
    "fit: skip all": refused(fitted(CELLS, loss=prediction_error, skip=500), "500 ms", "leave some"),
    "fit: skip negative": refused(fitted(CELLS, loss=prediction_error, skip=-1), "-1 ms"),
    "fit: skip NaN": refused(fitted(CELLS, loss=prediction_error, skip=np.nan), "nan"),
    "fit: width in s": refused(fitted(CELLS, loss=density_mismatch, width=0.05), "0.05 ms", "50 is usual"),
    # targets of losses
    "rhythm: cell 7": refused(wanted(cell=7), "cell is 7", "3 cells"),
    "rhythm: cell -4": refused(wanted(cell=-4), "cell is -4"),
    "rhythm: cell True": mistyped(wanted(cell=True), "True"),
    "rhythm: cell misspelt": refused(wanted(cell="PYY"), "'PYY'", "'PY'"),
    "rhythm: period in s": refused(wanted(period=1.2), "1.2 ms", "in s", "1000"),
    "rhythm: period beyond the run": refused(wanted(period=1.2e6), "1.2e+06", "shorter"),
    "rhythm: duty cycle in per cent": refused(wanted(duty_cycle=30), "30", "between 0 and 1"),
    "rhythm: times in s": refused(wanted(t=np.arange(1, 5, 0.0001)), "in s"),
    "rhythm: times too coarse": warned(wanted(t=np.arange(1000, 5000, 5.0)), "5 ms apart"),
    "rhythm: times uneven": refused(wanted(t=np.append(RUN, 9000.0)), "not equally spaced"),
    "rhythm: temperature 0": refused(wanted(temperature=0), "temperature", "positive"),
    "criteria: roles out of range": refused(roles((0, 1, 3)), "3", "from 0 to 2"),
    "criteria: two roles": mistyped(roles((0, 1)), "(0, 1)", "three cells"),
    "criteria: a role twice": refused(roles((0, 1, 1)), "three cells"),
    "criteria: roles as text": mistyped(roles("PD"), "'PD'"),
    "criteria: role misspelt": refused(roles(("AB/PD", "LP", "PYY")), "'PYY'"),
    "criteria: margin NaN": refused(roles((0, 1, 2), margin=np.nan), "nan"),
    "criteria: margin negative": refused(roles((0, 1, 2), margin=-1), "-1"),
    "soft features: pacemaker": refused(lambda: soft_features(SHORT, np.zeros((200, 3)), pacemaker=3), "pacemaker is 3"),
    "criteria: margin in per cent": refused(roles((0, 1, 2), margin=25), "25", "1.98"),
    "criteria: no roles": mistyped(roles(None), "None", "three cells"),
    "soft features: volts": refused(lambda: soft_features(SHORT, CELLS.to_numpy() / 1e3), "in V", "1000"),
    "soft features: no temperature": refused(lambda: soft_features(SHORT, CELLS.to_numpy(), 0.0), "temperature is 0 ms", "positive"),
    "soft features: temperature NaN": refused(lambda: soft_features(SHORT, CELLS.to_numpy(), np.nan), "temperature is nan", "finite"),
    "soft features: two temperatures": mistyped(lambda: soft_features(SHORT, CELLS.to_numpy(), np.array([1.0, 5.0])), "ndarray", "ms"),
    "soft features: times in s": refused(lambda: soft_features(SHORT / 1e3, CELLS.to_numpy()), "in s"),
    "soft features: a gap": refused(lambda: soft_features(np.where(SHORT > 50, SHORT + 99, SHORT), CELLS.to_numpy()), "not equally spaced"),
    "soft features: one cell": refused(lambda: soft_features(SHORT, np.zeros(200)), "(200,)", "V[:, None]"),
    "soft features: times": refused(lambda: soft_features(SHORT[:9], np.zeros((200, 3))), "(9,)"),
    "calcium: of two cells": refused(lambda: calcium_mismatch(MODEL, [1.0, 2.0], RUN, state=MODEL.cold), "(2,)", "3 cells"),
    "calcium: of one cell": refused(lambda: calcium_mismatch(MODEL, {"LP": 1.0}, RUN, state=MODEL.cold), "('AB/PD', 0)", "Add it"),
    "calcium: times in s": refused(lambda: calcium_mismatch(MODEL, 5.0, RUN / 1e3, state=MODEL.cold), "in s"),
    "calcium: in nM": warned(lambda: calcium_mismatch(MODEL, 5e3, RUN, state=MODEL.cold), "5000", "nM"),
    "calcium: misspelt": refused(lambda: calcium_mismatch(MODEL, {"AB/PD": 1, "LP": 1, "PYY": 1}, RUN, state=MODEL.cold), "'PYY'"),
    # commands of clamps
    "command in volts": refused(recorded(-0.06), "0.06 mV", "in V", "1000"),
    "command in µV": refused(recorded(-6e4), "in µV", "0.001"),
    "command, a number in volts": warned(clamped(-0.06), "0.06 mV", "in V"),
    "command, steps in volts": warned(clamped(Steps((-0.07, -0.01), (10,))), "0.07 mV", "in V"),
    "commands, a family in volts": warned(lambda: clamp_family(AXON, SHORT, [Steps((-0.07, -0.01), (10,))]), "in V"),
    "command in s": refused(recorded(-60, np.arange(0, 0.101, 0.0005)), "cover", "in s"),
    "command that is short": refused(recorded(-60, np.arange(0, 50, 0.5)), "to 49.5 ms", "cover"),
    "command of rows": refused(clamped(pd.Series(np.full(300, -60.0))), "counts rows", "set_index"),
    "command with NaN": refused(recorded(np.where(np.arange(202) == 9, np.nan, -60)), "nan at 4.5 ms", "Interpolate"),
    "command of several cells": refused(clamped((SHORT, np.zeros((200, 3)))), "(200, 3)", "one cell"),
    "command backwards": refused(clamped((SHORT[::-1], np.full(200, -60.0))), "increase"),
    "command of text": mistyped(clamped((SHORT, ["-60"] * 200)), "text"),
    "recording in volts": refused(
        lambda: dynamic_clamp(AXON, SHORT, Synapse("recording", "cell", GLUTAMATE, 1), recording=(SHORT, np.full(200, -0.06))), "in V"),
}  # fmt: skip
