"""Thousands of rows of any kind: works of all types of cells, in memory, in folders and on a cluster. Nothing here is compiled.

Run as a script, this file is the process that the tests start and kill.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from pyloric_simulator.ensembles import batches
from pyloric_simulator.ensembles.batches import Work

N, BATCH = 50, 8
BATCHES = -(-N // BATCH)
LABELS = pd.Index([f"row {k}" for k in range(N)], name="label")
INPUTS = pd.DataFrame(
    {
        "x": np.linspace(0, 1, N),
        "seed": 2**62 + np.arange(N),  # not a double
        "kind": [f"kind {k % 3}" for k in range(N)],
        "on": np.arange(N) % 2 == 0,
        "start": [[0.5 * k, -1.0] for k in range(N)],
    },
    index=LABELS,
)


def outputs(rows: pd.DataFrame, factor: float, tell: batches.Tell, **_: Any) -> pd.DataFrame:
    """Results of all kinds beside the inputs: a number, a truth value, a text, and lists of none, one or many numbers."""
    tell(0.5)
    n = [int(seed - 2**62) for seed in rows["seed"]]
    return rows.assign(
        y=factor * rows["x"],
        odd=[k % 2 == 1 for k in n],
        word=[f"{k}!" for k in n],
        spikes=[[0.25 * i for i in range(k % 4)] for k in n],
        trace=[np.arange(k, dtype=np.float32) for k in n],
    )


@dataclass(frozen=True, eq=False)
class Example(Work):
    """Outputs of a table."""

    table: pd.DataFrame = field(default_factory=INPUTS.copy)
    factor: float = 2.0
    more: Mapping[str, Any] = field(default_factory=dict)
    compute: Callable[..., pd.DataFrame] = outputs

    what = "trials"

    @property
    def facts(self) -> dict[str, Any]:
        return {"factor": self.factor, **self.more}

    def __len__(self) -> int:
        return len(self.table)

    def rows(self, first: int, last: int) -> pd.DataFrame:
        return self.table.iloc[first:last]

    def prepared(self) -> batches.Compute:
        return partial(self.compute, factor=self.factor)


def run(work: Work, path: Path | None = None, **others: Any) -> pd.DataFrame:
    return batches.run(work, path, **({"batch_size": BATCH, "progress": False} | others))


def same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    """Bit for bit, lists included."""
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    for name in ("start", "spikes", "trace"):
        assert [(x.dtype, x.shape) for x in a[name]] == [(x.dtype, x.shape) for x in b[name]]


@pytest.fixture(scope="module")
def whole() -> pd.DataFrame:
    return run(Example())


def test_results_of_all_kinds_stand_beside_their_inputs(whole: pd.DataFrame) -> None:
    assert list(whole) == [*INPUTS, "y", "odd", "word", "spikes", "trace"]
    assert whole.index.equals(LABELS)
    np.testing.assert_array_equal(whole["seed"], INPUTS["seed"])
    assert whole["spikes"].iloc[3].tolist() == [0.0, 0.25, 0.5]
    assert whole["spikes"].map(len).tolist() == [k % 4 for k in range(N)]
    assert whole["trace"].iloc[49].dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 7, N, 1000])
def test_memory_and_folder_agree(tmp_path: Path, whole: pd.DataFrame, batch_size: int) -> None:
    same(run(Example(), batch_size=batch_size), whole)
    same(run(Example(), tmp_path, batch_size=batch_size), whole)
    assert batches.status(tmp_path) == {"circuits": N, "done": N}
    same(run(Example(), tmp_path, batch_size=batch_size), whole)


def test_lists_that_are_all_empty_stay_lists_of_numbers(tmp_path: Path) -> None:
    def silent(rows: pd.DataFrame, **_: Any) -> pd.DataFrame:
        return rows.assign(spikes=[[] for _ in range(len(rows))], none=[None, *([[1.0]] * (len(rows) - 1))])

    found = run(Example(compute=silent), tmp_path, batch_size=N)
    assert {(x.dtype.kind, len(x)) for x in found["spikes"]} == {("f", 0)}
    assert found["none"].iloc[0] is None
    assert str(pq.read_schema(batches.part(tmp_path, 0)).field("spikes").type) == "list<element: double>"


def test_columns_of_lists_are_chosen_by_name_and_by_the_rows(tmp_path: Path, whole: pd.DataFrame) -> None:
    run(Example(), tmp_path)
    pd.testing.assert_frame_equal(batches.load(tmp_path, ["spikes", "x"]), whole[["spikes", "x"]])
    few = batches.load(tmp_path, ["trace"], [("kind", "==", "kind 2")])
    pd.testing.assert_frame_equal(few, whole.loc[whole["kind"] == "kind 2", ["trace"]])
    with pytest.raises(ValueError, match=r"no column 'spike'.* Did you mean 'spikes'"):
        batches.load(tmp_path, ["spike"])


def test_a_lost_batch_is_the_only_one_that_is_computed_again(tmp_path: Path, whole: pd.DataFrame) -> None:
    run(Example(), tmp_path)
    times = {file: file.stat().st_mtime_ns for file in batches.parts_of(tmp_path)}
    batches.part(tmp_path, 3).unlink()
    assert batches.status(tmp_path) == {"circuits": N, "done": N - BATCH}
    same(run(Example(), tmp_path), whole)
    assert [k for k, file in enumerate(times) if file.stat().st_mtime_ns != times[file]] == [3]


def with_value(column: str, value: Any) -> pd.DataFrame:
    """The inputs with another value in one row."""
    table = INPUTS.copy()
    table[column] = [*table[column][:20], value, *table[column][21:]]
    return table


OTHERS: dict[str, tuple[Example, str]] = {
    "a fact": (Example(factor=3.0), r"factor = 2\.0, and this one has 3\.0"),
    "another fact": (Example(more={"model": "other"}), "model = None"),
    "a number": (Example(with_value("x", 0.123)), "fingerprint"),
    "the last bit of a whole number": (Example(with_value("seed", 2**62 + 21)), "fingerprint"),
    "a text": (Example(with_value("kind", "kind 7")), "fingerprint"),
    "a truth value": (Example(with_value("on", False)), "fingerprint"),
    "a list": (Example(with_value("start", [10.0, -1.5])), "fingerprint"),
    "a label": (Example(INPUTS.rename({"row 20": "row 20a"})), "fingerprint"),
    "a column's name": (Example(INPUTS.rename(columns={"x": "z"})), "fingerprint"),
    "fewer": (Example(INPUTS[:-1]), "circuits = 50"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_work_is_not_taken_for_this_one(tmp_path: Path, case: str) -> None:
    run(Example(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    work, message = OTHERS[case]
    with pytest.raises(ValueError, match=f"holds a run with {message}"):
        run(work, tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_inputs_are_the_same_after_they_were_in_a_file(tmp_path: Path) -> None:
    work = Example()
    run(work, tmp_path, batch_size=N)
    assert work.fingerprint(batches.load(tmp_path, list(INPUTS))) == work.fingerprint(INPUTS) == work.fingerprint()


def test_a_run_goes_on_with_the_columns_with_which_it_began(tmp_path: Path) -> None:
    """As where an earlier version had a result less."""
    earlier = lambda rows, **others: outputs(rows, **others).drop(columns="odd")  # noqa: E731
    begun = run(Example(compute=earlier), tmp_path)
    batches.part(tmp_path, 2).unlink()
    same(run(Example(), tmp_path), begun)
    assert "odd" not in begun


@pytest.mark.parametrize(
    "labels",
    [
        pd.MultiIndex.from_product([["a", "b"], range(N // 2)], names=["kind of row", "number"]),
        pd.RangeIndex(N),
        pd.Index(np.linspace(0, 1, N), name="share"),
        pd.date_range("2020", periods=N),
    ],
    ids=["pairs", "numbers", "shares", "dates"],
)
def test_labels_of_all_kinds_come_back(tmp_path: Path, labels: pd.Index) -> None:
    work = Example(INPUTS.set_axis(labels))
    found = run(work, tmp_path)
    pd.testing.assert_frame_equal(found, run(work), check_exact=True, check_freq=False, check_index_type="equiv")
    pd.testing.assert_frame_equal(run(work, tmp_path), found, check_exact=True)
    assert batches.status(tmp_path) == {"circuits": N, "done": N}


# --- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize("place", [None, "run"])
def test_a_batch_that_fails_is_told_with_the_name_of_its_rows(
    tmp_path: Path, whole: pd.DataFrame, place: str | None
) -> None:
    def fail(rows: pd.DataFrame, **others: Any) -> pd.DataFrame:
        if "row 9" in rows.index:
            raise MemoryError("no room")
        return outputs(rows, **others)

    message = r"batch 1 failed, trials \['row 8', 'row 9', 'row 10'\] to row 15: MemoryError: no room"
    with pytest.warns(UserWarning, match=message) as caught:
        found = run(Example(compute=fail), place and tmp_path / place)
    assert len(caught) == 1
    same(found, whole.drop(LABELS[8:16]))


def test_a_list_of_lists_is_refused() -> None:
    square = lambda rows, **_: rows.assign(trace=[np.ones((2, 3))] * len(rows))  # noqa: E731
    with pytest.warns(UserWarning, match=r"the column 'trace' has a cell of shape \(2, 3\); a cell holds one list"):
        assert len(run(Example(INPUTS[:3], compute=square))) == 0


class NoFacts(Work):
    """Lacks what a work must have."""

    def __len__(self) -> int:
        return 1


BAD: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "no rows": (
        lambda path: run(Example(INPUTS[:0]), path),
        ValueError,
        "there are 0 trials; there must be one at least",
    ),
    "no batch": (lambda path: run(Example(), path, batch_size=0), ValueError, "batch_size is 0"),
    "an engine": (
        lambda path: run(Example(), path, engine="dask"),
        ValueError,
        "engine is 'dask'; it must be 'local' or a dask",
    ),
    "a fact of every run": (
        lambda path: run(Example(more={"batch": 3}), path),
        ValueError,
        "a fact 'batch'.* Give it another name",
    ),
    "no plain data": (
        lambda path: run(Example(more={"cell": np.ones(2)}), path),
        TypeError,
        "ndarray.* numbers, texts, lists",
    ),
    "an abstract work": (lambda _: NoFacts(), TypeError, "facts"),  # type: ignore[abstract]
}


@pytest.mark.parametrize("case", BAD)
def test_bad_works_are_refused(tmp_path: Path, case: str) -> None:
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_would_not_fit_into_memory_wants_a_folder() -> None:
    @dataclass(frozen=True, eq=False)
    class Large(Example):
        row_bytes = 10**15

    with pytest.raises(MemoryError, match="the rows of 50 trials"):
        run(Large())


def test_an_error_of_the_caller_ends_the_batches_at_hand() -> None:
    """What tells after the run was given up is stopped: the threads end, and the error is the caller's."""
    ended = threading.Event()

    def endless(_: pd.DataFrame, tell: batches.Tell, **others: Any) -> pd.DataFrame:  # noqa: ARG001
        try:
            while True:
                tell(0.1)
                time.sleep(0.001)
        except InterruptedError:
            ended.set()
            raise

    def quick(rows: pd.DataFrame, **others: Any) -> pd.DataFrame:
        return (outputs if "row 0" in rows.index else endless)(rows, **others)

    job = batches.Job(Example(compute=quick), BATCH)
    found = batches.run_locally(job, [1, 0], job.work.prepared(), lambda *_: None)
    if len(batches.local_devices()) > 1:
        assert next(found).batch == 0
        found.close()  # type: ignore[attr-defined]
        assert ended.is_set()


def test_a_refused_run_gives_the_folder_back(tmp_path: Path) -> None:
    """Also while its error is still looked at, as in a notebook."""
    run(Example(), tmp_path)
    with pytest.raises(ValueError, match="holds a run") as caught:
        run(Example(factor=3.0), tmp_path)
    assert caught.tb is not None
    with FileLock(tmp_path / batches.LOCK_FILE, timeout=0):
        pass


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def test_no_flipped_bit_changes_a_value(tmp_path: Path) -> None:
    run(Example(), tmp_path)
    file = batches.part(tmp_path, 1)
    data, bits = file.read_bytes(), 8 * file.stat().st_size
    for bit in np.linspace(0, bits - 1, 200).astype(int):
        flip(file, bit)
        with pytest.raises(ValueError, match=r"part-000001\.parquet"):
            batches.load(file)
        file.write_bytes(data)
    pages = pq.read_metadata(file).row_group(0).column(5)
    flip(file, 8 * (pages.data_page_offset + pages.total_compressed_size - 4))
    with pytest.raises(OSError, match="CRC"):  # other tools see it, too
        pq.read_table(file, page_checksum_verification=True)


def test_no_flipped_bit_changes_what_a_run_is(tmp_path: Path) -> None:
    run(Example(), tmp_path)
    file = tmp_path / batches.RUN_FILE
    data, facts = file.read_bytes(), batches.facts_of(tmp_path)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert batches.facts_in(bytes(changed), file) == facts
        except ValueError as error:
            assert "_run.json" in str(error)  # noqa: PT017


# --- killed -----------------------------------------------------------------------------------


def slowly(rows: pd.DataFrame, **others: Any) -> pd.DataFrame:
    """The outputs, each batch of which takes its time."""
    time.sleep(0.2)
    return outputs(rows, **others)


def test_a_killed_run_continues(tmp_path: Path, whole: pd.DataFrame) -> None:
    root = str(Path(batches.__file__).parents[2])
    process = subprocess.Popen([sys.executable, __file__, str(tmp_path)], env=os.environ | {"PYTHONPATH": root})
    while process.poll() is None and not list(tmp_path.glob("part-*")):
        time.sleep(0.005)
    process.kill()
    process.wait(60)
    done = {file: file.stat().st_mtime_ns for file in batches.parts_of(tmp_path)}
    assert 1 <= len(done) < BATCHES
    same(run(Example(), tmp_path), whole)
    assert {file: file.stat().st_mtime_ns for file in done} == done, "a finished batch was computed again"
    assert not list(tmp_path.glob(".*")), "a draft was left"
    assert json.loads((tmp_path / batches.RUN_FILE).read_text())["factor"] == 2.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
def test_a_cluster_computes_the_same(tmp_path: Path, whole: pd.DataFrame) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        same(run(Example(), engine=client), whole)
        same(run(Example(), tmp_path, engine=client), whole)


if __name__ == "__main__":
    run(Example(compute=slowly), Path(sys.argv[1]))
