"""Circuits, their tables and folders, batches, checkpoints of fits, and parameters for inference."""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from pyloric_simulator import database as db
from pyloric_simulator.config import sample_file
from pyloric_simulator.ensembles import batches
from pyloric_simulator.ensembles.lanes import MULTIPLE, Plan, feasible
from pyloric_simulator.fitting.fit import fit
from pyloric_simulator.fitting.inference import PARAMETERS, Prior, outside_of_the_prior, prior, simulator
from pyloric_simulator.prinz2004 import CONSTANTS, Prinz2004

from . import Case, mistyped, refused, warned

ROWS = db.sample(128, seed=1)
ROW = ROWS.iloc[0].to_dict()
SHORT: dict[str, Any] = dict(duration=1500, transient=500, dt=0.25)
SAMPLE = sample_file("staggered")
RESULTS = db.load(SAMPLE)[:9]
BOX = prior()
THETA = BOX.sample(3, seed=0)
FRAME = BOX.frame(THETA)
MODEL = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
NAMES = ["AB/PD 2 Na"]


def asked(circuits: Any, **changes: Any) -> Callable[[], Any]:
    """What would be run, which is all that is looked at before anything is compiled."""
    return partial(db.planned, circuits, **(SHORT | changes))


def with_values(**columns: Any) -> Callable[[], Any]:
    """The circuits with other columns."""
    return asked(ROWS.assign(**columns))


def synapses(factor: float) -> pd.DataFrame:
    """The circuits with all synapses in another unit."""
    return ROWS.assign(**{name: ROWS[name] * factor for name in db.SYNAPSES})


def inferred(theta: Any, seed: Any = 1, **changes: Any) -> Callable[[], Any]:
    """Features of parameters, which are refused before anything is compiled."""
    return partial(simulator, theta, seed, **(SHORT | changes))


def at(name: str, value: float) -> np.ndarray:
    """θ with one parameter replaced."""
    return np.where(np.array(PARAMETERS) == name, value, THETA)


def in_units(shift: float, factor: float = 1.0) -> Callable[[], Any]:
    """Only what is said of rows outside of the prior; the run itself would be compiled."""
    return lambda: outside_of_the_prior(np.where(BOX.log, THETA + shift, THETA * factor))


def planned(**changes: Any) -> Callable[[], Any]:
    """A plan for a batch."""
    lanes = changes.pop("lanes", MULTIPLE)
    plan = Plan(db.MODEL.circuit, "staggered", 0.05, 1000.0, 0.0, "float32")._replace(**changes)
    return lambda: feasible(plan, lanes)


def circuit(sizes: dict[str, int]) -> Any:
    """The circuit of a model of populations."""
    return Prinz2004(sizes, {}, np.ones((len(sizes), 8)), ge=1.0).circuit


def in_batches(circuits: Any, **changes: Any) -> batches.Job:
    """What would be run, batch by batch."""
    work = asked(circuits, **({"batch_size": 64} | changes))()
    return batches.Job(work, work.options.batch)


def folder(spoil: Callable[[Path], Any], then: Callable[[Path], Any]) -> Callable[[], Any]:
    """What is said of a folder of two batches of made-up results that was spoilt."""

    def call() -> Any:
        with tempfile.TemporaryDirectory() as name:
            path, job = Path(name), in_batches(ROWS)
            facts = batches.about(job)
            batches.agree(path, facts)
            for batch in job.batches:
                rows = job.rows(batch)
                results = pd.DataFrame(0.5, rows.index, list(db.RESULTS))
                batches.write_part(path, batch, rows.join(results), facts, job.work.fingerprint(rows))
            spoil(path)
            return then(path)

    return call


def again(path: Path, circuits: Any = ROWS, **changes: Any) -> Any:
    """The beginning of a second run into a folder."""
    job = in_batches(circuits, **changes)
    facts = batches.about(job)
    batches.agree(path, facts)
    return batches.batches_done(path, job, facts)


def flipped(file: Path) -> None:
    """A bit in the middle."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)


def run_file(text: str) -> Callable[[Path], Any]:
    """Another `_run.json`."""
    return lambda path: (path / db.RUN_FILE).write_text(text)


def edited(**changes: Any) -> Callable[[Path], Any]:
    """A `_run.json` in which some facts were changed by hand."""
    return lambda path: run_file(json.dumps(db.facts_of(path) | changes))(path)


def first_without(path: Path) -> None:
    """No `_run.json`."""
    (path / db.RUN_FILE).unlink()


def unfinished(path: Path) -> None:
    """Only the second batch is done."""
    batches.part(path, 0).unlink()


def a_bit(path: Path) -> None:
    """A bit of the second part has changed."""
    flipped(batches.part(path, 1))


def stray(path: Path) -> None:
    """The second part is a copy of the first."""
    batches.part(path, 1).write_bytes(batches.part(path, 0).read_bytes())


def anonymous(path: Path) -> None:
    """The second part was written by another tool."""
    pd.read_parquet(batches.part(path, 1)).to_parquet(batches.part(path, 1))


def of_another_tool(columns: dict[str, Any], then: Callable[[Path], Any]) -> Callable[[], Any]:
    """What is said of another Parquet file."""

    def call() -> Any:
        with tempfile.TemporaryDirectory() as name:
            pd.DataFrame(columns).to_parquet(file := Path(name) / "other.parquet")
            return then(file)

    return call


def checkpoint(data: bytes) -> Callable[[], Any]:
    """A fit that finds a file that is no checkpoint of its own."""

    def call() -> Any:
        with tempfile.TemporaryDirectory() as name:
            (file := Path(name) / "fit.npz").write_bytes(data)
            return fit(MODEL, lambda p: p.g[0, 0] ** 2, NAMES, checkpoint=file, progress=False, steps=1)

    return call


def fitted(**changes: Any) -> Callable[[], Any]:
    """A fit that would be quick."""
    return partial(
        fit, MODEL, lambda p: p.g[0, 0] ** 2, **({"parameters": NAMES, "progress": False, "steps": 1} | changes)
    )


CASES: dict[str, Case] = {
    # numbers
    "sample: no seed": mistyped(lambda: db.sample(3, None), "seed is None", "whole number"),  # type: ignore[arg-type]
    "sample: Boolean seed": mistyped(lambda: db.sample(3, True), "seed is True"),
    "sample: negative seed": refused(lambda: db.sample(3, -1), "seed is -1", "at least 0"),
    "sample: seed as text": mistyped(lambda: db.sample(3, "1"), "seed is '1'"),  # type: ignore[arg-type]
    "sample: half a circuit": mistyped(lambda: db.sample(1.5, 1), "n is 1.5"),  # type: ignore[arg-type]
    "numbers: durations": mistyped(lambda: db.table(pd.to_timedelta([1, 2])), "TimedeltaIndex", "whole numbers"),
    "numbers: truth values": mistyped(lambda: db.table([True, False]), "[True, False]"),
    "numbers: masked": refused(lambda: db.table(np.ma.masked_equal([1, 2], 2)), "1 numbers", "compressed"),
    "numbers: floats": mistyped(lambda: db.table([1.0, 2.0]), "[1.0, 2.0]", "whole numbers"),
    "numbers: text": mistyped(lambda: db.table("123"), "'123'"),
    "numbers: behind the last": refused(lambda: db.table([20_250_000]), "20250000", "20,249,999"),
    "circuit: a list": mistyped(lambda: db.circuit([1, 2]), "[[1, 2]]"),  # type: ignore[arg-type]
    "index_of: a number": mistyped(lambda: db.index_of(5), "5 is no circuit", "Prinz2004"),
    "index_of: a misspelt column": refused(
        lambda: db.index_of({k.replace("AB-LP", "AB_LP"): v for k, v in ROW.items()}),
        "lacks 'AB-LP'",
        "Did you mean 'AB_LP'",
    ),
    "index_of: a truth value": refused(lambda: db.index_of(ROW | {"LP-PY": True}), "LP-PY is True"),
    "index_of: NaN": refused(lambda: db.index_of(ROW | {"LP-PY": np.nan}), "LP-PY is nan"),
    "index_of: other constants": refused(
        lambda: db.index_of(db.circuit(5, constants=CONSTANTS._replace(C=1.0))), "constants", "by itself"
    ),
    "interval: no circuits": refused(lambda: db.interval(0, 0), "n is 0"),
    "interval: more than all": refused(lambda: db.interval(5, 3), "k is 5", "from 0 to 3"),
    # grids
    "grid: a name for a list": mistyped(lambda: db.grid({"LP": "LP 1"}), "'LP 1'", "a list"),
    "grid: the name of a population": mistyped(lambda: db.grid({"LP": "LP"}), "'LP' has the values 'LP'", "['LP 1']"),
    "grid: a number for a list": mistyped(lambda: db.grid({"AB-LP": 3.0}), "3.0", "a list"),  # type: ignore[dict-item]
    "grid: an empty list": mistyped(lambda: db.grid({"AB-LP": []}), "[]", "one at least"),
    "grid: nothing": mistyped(lambda: db.grid({}), "{}", "mapping"),
    "grid: an unknown cell": refused(lambda: db.grid({"LP": ["LP 9"]}), "'LP 9'", "Did you mean"),
    "grid: a cell of another population": refused(lambda: db.grid({"LP": ["PY 1"]}), "'PY 1'", "'LP 1'"),
    "grid: the number of a cell": refused(lambda: db.grid({"LP": [1]}), "the cell 1"),
    "grid: a misspelt column": refused(lambda: db.grid({"AB-LPP": [1.0]}), "'AB-LPP'", "Did you mean 'AB-LP'?"),
    "grid: a negative strength": refused(lambda: db.grid({"AB-LP": [-1.0]}), "-1 nS", "not be negative"),
    "grid: NaN": refused(lambda: db.grid({"AB-LP": [np.nan]}), "nan", "finite"),
    "grid: truth values": mistyped(lambda: db.grid({"AB-LP": [True, False]}), "True", "numbers"),
    "grid: a value twice": refused(lambda: db.grid({"AB-LP": [10.0, 10.0]}), "10.0 twice"),
    "grid: a set, without order": mistyped(lambda: db.grid({"AB-LP": {1.0, 2.0}}), "a list"),  # type: ignore[dict-item]
    "grid: 10¹⁴ circuits": refused(
        lambda: db.grid({name: np.linspace(0, 1, 100) for name in db.SYNAPSES}),
        "100,000,000,000,000",
        "GB",
        error=MemoryError,  # type: ignore[misc]
    ),
    "grid: synapses in µS": warned(
        lambda: db.grid({"AB-LP": [0.003, 0.03]}), "0.03 nS", "If it is in µS, multiply it by 1000"
    ),
    "grid: synapses in mS": warned(lambda: db.grid({"AB-LP": [3e-6]}), "3e-06 nS", "If it is in mS"),
    "grid: synapses in pS": warned(lambda: db.grid({"AB-LP": [3e4]}), "3e+04 nS", "If it is in pS"),
    "grid: densities in S/cm²": warned(lambda: db.grid({"LP Na": [0.1, 0.2]}), "0.2 mS/cm²", "If it is in S/cm²"),
    # tables
    "table: an unknown column": refused(with_values(temperature=20), "'temperature'", "no part of a circuit"),
    "table: a misspelt column": refused(
        asked(ROWS.rename(columns={"AB-LP": "AB_LP"})), "'AB_LP'", "Did you mean 'AB-LP'?"
    ),
    "table: lower case": refused(asked(ROWS.rename(columns=str.lower)), "'ab/pd'", "Columns are 'AB/PD'"),
    "table: labels twice": refused(asked(pd.concat([ROWS, ROWS])), str(ROWS.index[0]), "reset_index"),
    "table: a column twice": refused(asked(pd.concat([ROWS, ROWS[["LP"]]], axis=1)), "2 columns 'LP'", "Drop"),
    "table: LP and PY exchanged": refused(
        asked(ROWS.rename(columns={"LP": "PY", "PY": "LP"})), "'LP' has the cell 'PY", "conductances"
    ),
    "table: transposed": refused(asked(ROWS.T), str(ROWS.index[0]), "no part of a circuit"),
    "table: one row": mistyped(asked(ROWS.iloc[0]), "whole numbers, or a table"),
    "table: a model": mistyped(asked(db.circuit(4)), "Prinz2004", "table with a row for each circuit"),
    "table: lists in a dictionary": mistyped(asked(ROWS.to_dict("list")), "AB-LP", "table"),
    "table: records": mistyped(asked(ROWS.to_records()), "rec.array", "table"),
    "table: labels missing": refused(asked(ROWS[:3].set_axis([1.0, np.nan, 3.0])), "nan", "all must be there"),
    "table: labels of two types": refused(asked(ROWS[:3].set_axis([1, "a", 2])), "'a'", "one type"),
    "table: labels named as a column": refused(asked(ROWS.rename_axis("LP")), "both named 'LP'"),
    "table: cells as numbers": refused(with_values(LP=1), "the cell", "'LP 1'"),
    "table: cells missing": refused(with_values(LP=np.nan), "nan", "'LP 1'"),
    "table: cells of one population only": refused(
        asked(pd.DataFrame(1.0, ROWS.index, [*db.MEMBRANE, *db.SYNAPSES]).assign(LP="LP 1")),
        "lacks 'AB/PD', 'PY'",
        "Add",
    ),
    "table: truth values": mistyped(with_values(**{"AB-LP": True}), "'AB-LP'", "truth values"),
    "table: text": mistyped(with_values(**{"AB-LP": "3"}), "'3'", "numbers in nS"),
    "table: complex numbers": mistyped(with_values(**{"AB-LP": 1j}), "complex"),
    "table: half precision": mistyped(with_values(**{"AB-LP": np.ones(128, np.float16)}), "float16"),
    "table: a value missing": refused(
        with_values(**{"AB-LP": pd.array([1.0] * 127 + [None], dtype="Float64")}), "'AB-LP'", "Fill"
    ),
    "table: a negative strength": refused(with_values(**{"AB-LP": -3.0}), "-3 nS", "not be negative"),
    "table: synapses in µS": warned(asked(synapses(1e-3)), "0.1 nS", "If it is in µS"),
    "table: synapses in pS": warned(asked(synapses(1e3)), "1e+05 nS", "If it is in pS"),
    "table: densities in S/cm²": warned(with_values(**{"LP Na": 0.1}), "0.1 mS/cm²", "If it is in S/cm²"),
    "table: densities in µS/cm²": warned(with_values(**{"LP Na": 2e5}), "2e+05 mS/cm²", "If it is in µS/cm²"),
    # runs
    "run: seconds": warned(asked(ROWS, duration=13.0, transient=3.0), "10 ms", "If it is in s, multiply it by 1000"),
    "run: a duration as text": mistyped(asked(ROWS, duration="13000"), "'13000'"),
    "run: a Timedelta": mistyped(asked(ROWS, duration=pd.Timedelta("13s")), "Timedelta"),
    "run: too long to be counted": refused(asked(ROWS, duration=1e9), "1e+09 ms", "spikes can be counted through"),
    "run: too short a step": refused(asked(ROWS, dt=1e-6), "1e-06 ms", "spikes can be counted through"),
    "run: an endless transient": refused(
        asked(ROWS, duration=1e15 + 1e5, transient=1e15), "transient", "spikes can be counted through"
    ),
    "run: batches beyond the memory": refused(asked(ROWS, batch_size=10**7), "10000000 circuits", "batch_size=27072"),
    "run: a Boolean batch size": mistyped(asked(ROWS, batch_size=True), "batch_size is True"),
    "run: an adaptive solver": refused(asked(ROWS, solver=object()), "'staggered'"),
    "run: a step that is true": mistyped(asked(ROWS, dt=True), "dt is True"),
    "run: no engine": refused(lambda: db.run(ROWS, engine=None, **SHORT), "engine is None", "'local'"),
    "run: an empty path": mistyped(lambda: db.fill(ROWS, "", **SHORT), "path is ''", "None for results in memory"),
    "run: into memory": mistyped(lambda: db.fill(ROWS, "memory", **SHORT), "'memory'", "None for results in memory"),
    "run: a number as path": mistyped(lambda: db.fill(ROWS, 3, **SHORT), "path is 3"),  # type: ignore[arg-type]
    "run: into a file": refused(lambda: db.fill(ROWS, SAMPLE, **SHORT), "is a file", "folder"),
    # folders
    "folder: of another step": refused(folder(bool, partial(again, dt=0.2)), "dt = 0.25", "0.2", "holds one run"),
    "folder: of other circuits": refused(
        folder(bool, partial(again, circuits=ROWS[::-1])), "fingerprint", "another folder"
    ),
    "folder: without _run.json, of other circuits": refused(
        folder(first_without, partial(again, circuits=ROWS[::-1])), "fingerprint"
    ),
    "folder: without _run.json, in other batches": refused(
        folder(first_without, partial(again, batch_size=128)), "batch = 64"
    ),
    "folder: of the same numbers under another name": refused(
        folder(bool, partial(again, circuits=ROWS.rename(columns={"AB-PY": "PD-PY", "PD-PY": "AB-PY"}))),
        "fingerprint",
        "another folder",
    ),
    "folder: a flipped bit, read": refused(folder(a_bit, db.load), "part-000001", "checksum", "Run the same"),
    "folder: a flipped bit, resumed": warned(folder(a_bit, again), "part-000001", "checksum", "set aside"),
    "folder: a stray copy, read": refused(folder(stray, db.load), "part-000001", "batch 0", "Run the same"),
    "folder: a stray copy, resumed": warned(folder(stray, again), "part-000001", "batch 0", "computed again"),
    "folder: a part of another tool, read": refused(folder(anonymous, db.load), "part-000001", "does not say of which"),
    "folder: a part of another tool, resumed": warned(folder(anonymous, again), "part-000001", "set aside"),
    "folder: an unfinished run": warned(folder(unfinished, db.summary), "64 of the 128 circuits", "to finish it"),
    "folder: one part": warned(folder(bool, lambda path: db.summary(batches.part(path, 0))), "64 of the 128 circuits"),
    "folder: empty _run.json": refused(folder(run_file(""), db.status), "_run.json is damaged", "Delete it"),
    "folder: half a _run.json": refused(
        folder(run_file('{"format": 2,'), db.summary), "_run.json is damaged", "Delete it"
    ),
    "folder: _run.json of another kind": refused(folder(run_file("[1, 2]"), db.facts_of), "_run.json is damaged"),
    "folder: _run.json of a later version": refused(
        folder(edited(format=99), db.status), "format 99", "version that wrote it"
    ),
    "folder: 10¹⁸ circuits": refused(folder(edited(circuits=10**18), db.status), "1000000000000000000", "damaged"),
    "folder: 10¹⁸ circuits in the old format": refused(
        folder(run_file('{"format": 1, "circuits": 1000000000000000000, "batch": 64}'), db.load),
        "1000000000000000000",
        "damaged",
    ),
    "folder: _run.json changed by hand": refused(
        folder(edited(dt=0.05), db.status), "checksum does not fit", "Delete it"
    ),
    "folder: _run.json damaged, resumed": warned(folder(run_file("{"), again), "damaged", "written anew"),
    # reading back
    "load: no path": mistyped(lambda: db.load(None), "path is None"),  # type: ignore[arg-type]
    "load: nothing there": refused(lambda: db.load("missing"), "missing holds no results", error=FileNotFoundError),
    "load: one column as text": mistyped(lambda: db.load(SAMPLE, "LP"), "'LP'", "['LP']"),
    "load: an unknown column": refused(
        lambda: db.load(SAMPLE, ["cycle_perid"]), "no column 'cycle_perid'", "Did you mean 'cycle_period'?"
    ),
    "load: an unknown filter": refused(lambda: db.load(SAMPLE, None, [("LPP", "==", "LP 1")]), "LPP", "filters is"),
    "load: no Parquet": refused(lambda: db.load(__file__), "no Parquet file"),
    "summary: another Parquet file": refused(
        of_another_tool({"a": [1.0]}, db.summary), "lacks 'cycle_period'", "all features"
    ),
    "status: another Parquet file": refused(of_another_tool({"a": [1.0]}, db.status), "does not say of which run"),
    "summary: some columns": refused(
        lambda: db.summary(RESULTS[["LP", "cycle_period"]]), "lacks 'burst_duration_PD'", "all columns"
    ),
    "summary: a column of text": mistyped(
        lambda: db.summary(RESULTS.assign(cycle_period="1")), "'cycle_period'", "'1'"
    ),
    "summary: a column of truth values": mistyped(
        lambda: db.summary(RESULTS.assign(period_cv=True)), "'period_cv'", "truth values"
    ),
    "summary: no rows": refused(lambda: db.summary(RESULTS[:0]), "0 circuits"),
    "summary: per cents": refused(lambda: db.summary(RESULTS, 2), "max_cv is 2", "2% is 0.02"),
    "summary: NaN": refused(lambda: db.summary(RESULTS, np.nan), "max_cv is nan"),
    "summary: true": mistyped(lambda: db.summary(RESULTS, True), "max_cv is True"),
    "summary: a negative limit": refused(lambda: db.summary(RESULTS, -0.02), "max_cv is -0.02"),
    "summary: most cycles in order, in per cents": refused(
        lambda: db.summary(RESULTS, order=70), "order is 70", "70% is 0.7"
    ),
    "summary: cycles in order, which an earlier version did not write": refused(
        lambda: db.summary(RESULTS, order=0.7), "lacks 'cycles_in_order'", "Load it with all columns"
    ),
    # batches
    "plan: two pacemakers": refused(
        planned(circuit=circuit({"AB/PD": 2, "LP": 1})), "'AB/PD' has 2 cells", "one by one"
    ),
    "plan: ten PY cells": refused(planned(circuit=circuit({"AB/PD": 1, "PY": 10})), "'PY' has 10 cells", "one by one"),
    "plan: gap junctions": refused(
        planned(circuit=circuit({"AB/PD 1": 1, "AB/PD 2": 1})), "gap junctions", "one by one"
    ),
    "plan: more spikes than memory": refused(planned(duration=1e6, lanes=2048), "2048 circuits", "batch_size=256"),
    "plan: more ticks than 32 bits": refused(planned(duration=1e7), "2e+08 steps", "Take a shorter one"),
    "plan: an unknown solver": refused(planned(solver="euler"), "'euler'"),
    "plan: half precision": refused(planned(dtype="float16"), "'float16'"),
    # checkpoints
    "checkpoint: damaged": refused(checkpoint(b"PK damaged"), "damaged: 10 bytes", "Delete it"),
    "checkpoint: empty": refused(checkpoint(b""), "damaged: 0 bytes", "Delete it"),
    "checkpoint: a folder": refused(fitted(checkpoint=tempfile.gettempdir()), "is a folder", "must be a file"),
    "checkpoint: no folder for it": refused(fitted(checkpoint="missing/fit.npz"), "missing, which is no folder"),
    "checkpoint: an empty name": mistyped(fitted(checkpoint=""), "checkpoint is ''"),
    "checkpoint: true": mistyped(fitted(checkpoint=True), "checkpoint is True"),
    "fit: no seed": mistyped(fitted(seed=None), "seed is None"),
    "fit: a Boolean seed": mistyped(fitted(seed=True), "seed is True"),
    # inference
    "simulator: no seed": mistyped(lambda: simulator(THETA), "seed is None", "another one in each call"),
    "simulator: a Boolean seed": mistyped(inferred(THETA, True), "seed is True"),
    "simulator: a negative seed": refused(inferred(THETA, -1), "seed is -1"),
    "simulator: NaN": refused(inferred(at("LP A", np.nan)), "nan for 'LP A'", "finite"),
    "simulator: a negative conductance": refused(inferred(at("LP A", -5.0)), "-5 for 'LP A'", "not negative"),
    "simulator: strengths in nS": refused(inferred(np.where(BOX.log, 1000.0, THETA)), "1000 for 'AB-LP'", "np.log"),
    "simulator: strengths in nS, none large": warned(
        lambda: outside_of_the_prior(np.where(BOX.log, 50.0, THETA)), "3 of 3 rows", "take their np.log"
    ),
    "simulator: ln(pS)": warned(in_units(np.log(1e3)), "3 of 3 rows", "ln(pS), add -6.9"),
    "simulator: ln(mS)": warned(in_units(-np.log(1e6)), "3 of 3 rows", "ln(mS), add 13.8"),
    "simulator: densities in S/cm²": warned(in_units(0.0, 1e-3), "3 of 3 rows", "S/cm², multiply them by 1000"),
    "simulator: a table": mistyped(inferred(FRAME), "DataFrame", "prior().theta"),
    "simulator: a row of a table": mistyped(inferred(FRAME.iloc[0]), "Series", "prior().theta"),
    "simulator: a dictionary": mistyped(inferred(dict(FRAME.iloc[0])), "dict", "prior().theta"),
    "simulator: a column less": refused(inferred(THETA[:, 1:]), "(3, 30)", "31"),
    "simulator: transposed": refused(inferred(THETA.T), "(31, 3)", "31"),
    "simulator: an axis more": refused(inferred(THETA[None]), "(1, 3, 31)", "reshape"),
    "simulator: no theta": mistyped(inferred(None), "theta is None"),
    "simulator: truth values": mistyped(inferred(np.ones((2, 31), bool)), "truth values"),
    "simulator: half precision": mistyped(inferred(THETA.astype(np.float16)), "float16"),
    "simulator: JAX's half precision": mistyped(inferred(jnp.ones((2, 31), jnp.float16)), "float16"),
    "simulator: an adaptive solver": refused(inferred(THETA, solver="Tsit5"), "'Tsit5'", "'staggered'"),
    "simulator: seconds": warned(
        lambda: simulator(np.empty((0, 31)), 1, duration=13.0, transient=3.0),
        "10 ms",
        "If it is in s, multiply it by 1000",
    ),
    "prior: a misspelt column": refused(
        lambda: BOX.theta(FRAME.rename(columns={"LP Na": "LP_Na"})), "'LP Na'", "Did you mean 'LP_Na'?"
    ),
    "prior: synapses in µS": warned(
        lambda: BOX.theta(FRAME.assign(**dict.fromkeys(db.SYNAPSES, 0.003))), "0.003 nS", "If it is in µS"
    ),
    "prior: truth values": mistyped(lambda: BOX.theta(FRAME.assign(**{"LP Na": True})), "'LP Na'", "truth values"),
    "prior: bounds by some names": refused(lambda: Prior({"LP Na": 1.0}, BOX.high, BOX.log), "low lacks", "31"),  # type: ignore[arg-type]
    "prior: bounds by a misspelt name": refused(
        lambda: Prior(pd.Series(BOX.low, [*PARAMETERS[:-1], "PY_LP"]), BOX.high, BOX.log),
        "'PY_LP'",
        "Did you mean 'PY-LP'?",  # type: ignore[arg-type]
    ),
    "prior: logarithms as text": mistyped(lambda: Prior(BOX.low, BOX.high, ["False"] * 31), "'False'", "truth values"),  # type: ignore[arg-type]
    "prior: logarithms as numbers": mistyped(lambda: Prior(BOX.low, BOX.high, np.zeros(31)), "truth values"),
}
