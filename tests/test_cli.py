"""The command `pyloric`: what it prints and writes, what it refuses, and that a long run is one run."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pyloric_simulator import __version__, cli, database
from pyloric_simulator.config import STORE_VARIABLE, find_circuit, sample_file
from pyloric_simulator.engine.detection import Detection
from pyloric_simulator.files.store import ThermalizationStore
from pyloric_simulator.plotting import decimated
from pyloric_simulator.prinz2004 import Prinz2004, State, neuron_models
from pyloric_simulator.rhythm import FEATURES, report, summary

ROOT = str(Path(cli.__file__).parents[1])
PNG = b"\x89PNG\r\n\x1a\n"
COMMANDS = ["simulate", "explore", "cells", "thermalize", "cache", "rhythm", "database"]
OF_THE_DATABASE = ["sample", "run", "status", "summary"]


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m pyloric_simulator` in a process of its own, warnings being errors there."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "pyloric_simulator", *arguments],
        env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


class Cli:
    """Runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Status, standard output and standard error."""
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(a) for a in arguments])
        return int(exit_.value.code or 0), *self.capsys.readouterr()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(capsys)


@pytest.fixture(scope="module")
def paper() -> Prinz2004:
    return Prinz2004.from_toml(find_circuit("paper"))


# ---------------------------------------------------------------- the main job, in a process of its own


@pytest.fixture(scope="module")
def main_job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the files that one run wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    names = {"--out": "rhythm.html", "--csv": "rhythm.csv", "--parquet": "rhythm.parquet"}
    files = [text for option, name in names.items() for text in (option, str(folder / name))]
    done = process("simulate", "paper", "--sample", "0.5", *files)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_table_is_the_summary_of_the_run(main_job: tuple[Path, str], paper: Prinz2004) -> None:
    expected = summary(paper(0.5 * np.arange(10_001)))
    for (pop, _), cell in expected.iterrows():
        row = re.search(rf"^{pop} +(.+)$", main_job[1], re.MULTILINE)
        assert row
        *numbers, activity = row[1].split()
        assert activity == cell["activity"]
        columns = ["bursts", "spikes", "spikes per burst", "burst (ms)", "period (ms)", "duty cycle", "phase"]
        np.testing.assert_allclose([float(x) for x in numbers], cell[columns].astype(float), atol=0.51)
    period = re.search(r"Period of AB/PD from 0 to 5 s: ([\d.]+) ms", main_job[1])
    assert period
    assert float(period[1]) == pytest.approx(expected["period (ms)"].iloc[0], abs=0.051)


def test_run_tells_its_circuit_its_time_and_its_files(main_job: tuple[Path, str]) -> None:
    folder, text = main_job
    assert "1 AB/PD, 1 LP, 1 PY; 7 synapses; staggered, dt 0.05 ms, float64" in text
    assert re.search(r"Simulated 5 s in [\d.]+ s, .* [\d.]+ times as fast as real time", text)
    written = [folder / f"rhythm.{suffix}" for suffix in ("html", "csv", "parquet")]
    assert re.findall(r"Wrote (.+)", text) == [str(path) for path in written]


def test_page_needs_no_network(main_job: tuple[Path, str]) -> None:
    page = (main_job[0] / "rhythm.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page)
    assert "<title>The circuit of Prinz, Bucher &amp; Marder 2004, Fig. 3e</title>" in page
    for text in ("AB/PD", "LP", "PY", "V (mV)", "time (s)"):
        assert json.dumps(text) in page


def test_files_hold_the_run(main_job: tuple[Path, str], paper: Prinz2004) -> None:
    expected = paper(0.5 * np.arange(10_001))
    for table in (
        pd.read_csv(main_job[0] / "rhythm.csv", comment="#"),
        pq.read_table(main_job[0] / "rhythm.parquet").to_pandas(),
    ):
        np.testing.assert_array_equal(table["time"], expected.t)
        np.testing.assert_array_equal(table["V LP 0"], expected.V[("LP", 0)])
        np.testing.assert_array_equal(table["Ca PY 0"], expected.Ca[("PY", 0)])
        np.testing.assert_array_equal(table["s PD 0"], expected.s[("PD", 0)])


# ---------------------------------------------------------------- chunks


@pytest.mark.parametrize(("start", "duration", "sample"), [(0, 2500, 0.1), (300, 1234.5, 0.5), (0, 0.5, 0.5)])
def test_chunks_are_one_run(paper: Prinz2004, start: float, duration: float, sample: float) -> None:
    plan = cli.planned(paper, None, None, sample, start, duration, 0, whole=True)
    result, _ = cli.record(paper, plan, None, False)
    whole = paper(sample * np.arange(plan.last + 1), store=None)[start:]
    np.testing.assert_array_equal(result.t, whole.t)
    assert (result.t[0], result.t[-1]) == (start, pytest.approx(start + duration))
    for field in ("V", "Ca", "s"):
        np.testing.assert_array_equal(getattr(result.states, field), getattr(whole.states, field))


def test_only_what_is_used_is_kept(paper: Prinz2004) -> None:
    plan = cli.planned(paper, None, None, 0.5, 0, 50, 0, whole=False)
    states = cli.record(paper, plan, None, False)[0].states
    assert {field: getattr(states, field).size for field in State._fields} == {
        "V": 303, "Ca": 0, "s": 0, "m": 0, "h": 0,
    }  # fmt: skip


def test_precision_reaches_the_run(run: Cli) -> None:
    status, text, err = run(
        "simulate", "--precision", "float32", "--duration", 100, "--no-plot", "--parquet", "x.parquet"
    )
    assert (status, err) == (0, "")
    assert "float32" in text
    assert pq.read_table("x.parquet").schema.field("V LP 0").type == "float"


# ---------------------------------------------------------------- pictures


SEVEN = """
title = "Seven cells"
[populations]
AB = { size = 1, cell = "AB/PD 1" }
PD = { size = 2, cell = "AB/PD 3" }
"PY 5" = { size = 4 }
"""


def test_cells_that_do_the_same_are_shown_once(run: Cli) -> None:
    Path("seven.toml").write_text(SEVEN)
    status, text, err = run("simulate", "seven.toml", "--duration", 300, "--out", "seven.png")
    assert (status, err) == (0, "")
    assert re.findall(r"^(AB|PD ×2|PY 5 ×4)  ", text, re.MULTILINE) == ["AB", "PD ×2", "PY 5 ×4"]
    image = Path("seven.png").read_bytes()
    assert image.startswith(PNG)
    width, height = np.frombuffer(image[16:24], ">u4")
    assert (width, height) == (1500, 150 * (1 + 1.7 * 3))


def test_thinned_trace_keeps_every_extreme() -> None:
    t = np.arange(3 * cli.PICTURE_POINTS + 7) / 10
    V = np.random.default_rng(0).normal(size=len(t))
    V[12_345], V[-1] = 99, -99
    few, values = decimated(t, V, cli.PICTURE_POINTS)
    assert len(few) <= cli.PICTURE_POINTS + 1
    assert np.all(np.diff(few) > 0)
    assert (few[-1], values.max(), values.min()) == (t[-1], 99, -99)
    np.testing.assert_array_equal(values, V[np.searchsorted(t, few)])


def test_short_trace_is_drawn_as_it_is() -> None:
    V = np.arange(cli.PICTURE_POINTS)
    assert decimated(V, V, cli.PICTURE_POINTS)[1] is V


# ---------------------------------------------------------------- rhythm


def test_silent_pacemaker_brings_a_hint(run: Cli) -> None:
    g = "Na = 0, CaT = 0, CaS = 0, A = 0, KCa = 0, Kd = 0, H = 0, leak = 0.05"
    Path("dull.toml").write_text(f'title = "Dull"\n[populations.PD]\nsize = 1\ng = {{ {g} }}\n')
    long = ("simulate", "dull.toml", "--sample", 1, "--duration", 3000, "--no-plot")
    status, text, err = run(*long)
    assert (status, err) == (0, "")
    assert "silent" in text
    assert "Period of PD from 0 to 3 s: unknown" in text
    assert "PD is silent. Circuits can have a second stable rhythm" in text
    assert "Circuits can have" not in run(*long, "--transient", 1)[1]


def test_transient_is_left_out_of_the_table(run: Cli, paper: Prinz2004) -> None:
    arguments = ("simulate", "--no-plot", "--sample", 0.5, "--start", 500, "--duration", 4500)
    status, text, err = run(*arguments, "--transient", 1500)
    assert (status, err) == (0, "")
    spikes = summary(paper(0.5 * np.arange(10_001)), (2000, 5000)).loc[("AB/PD", 0), "spikes"]
    row = re.search(r"^AB/PD +\d+ +(\d+) ", text, re.MULTILINE)
    assert row
    assert int(row[1]) == spikes
    assert "from 2 to 5 s" in text


def test_recording_too_coarse_for_spikes_brings_a_warning(run: Cli) -> None:
    status, _, err = run("simulate", "--no-plot", "--sample", 2, "--duration", 100)
    assert status == 0
    assert re.fullmatch(r"Warning: --sample is 2 ms; [^\n]+\n", err)


# ---------------------------------------------------------------- recordings


@pytest.fixture(scope="module")
def wide(paper: Prinz2004) -> pd.DataFrame:
    """A recording as others have it: times in ms, and a column of V in mV for each cell."""
    V = paper(0.5 * np.arange(16_001)).V
    return pd.DataFrame(V.to_numpy(), V.index, ["PD", "LP", "PY"])


def same_criteria(text: str, expected: pd.DataFrame) -> None:
    """The text has the rows and the classes of a report."""
    for name, row in expected.iterrows():
        found = re.search(rf"^{name} +(\S+) +(\S+) +(\S+) +(True|False) *(.*)$", text, re.MULTILINE)
        assert found
        value, low, high = (np.nan if x == "–" else float(x) for x in found.groups()[:3])
        np.testing.assert_allclose([value, low, high], row[["value", "low", "high"]].astype(float), atol=6e-4)
        assert (found[4], found[5]) == (str(row["passes"]), row["why"])
    classes = ["yes" if expected.attrs[x] else "no" for x in ("pyloric_like", "pyloric")]
    assert text.endswith("Pyloric-like: {}. Pyloric: {}.\n".format(*classes))


FORMS: dict[str, Callable[[pd.DataFrame, str], None]] = {
    "first_column.csv": lambda V, file: V.to_csv(file),
    "comments.csv": lambda V, file: Path(file).write_text("# of a crab\n" + V.to_csv()) and None,
    "index.parquet": lambda V, file: V.to_parquet(file),
    "column.parquet": lambda V, file: V.reset_index().to_parquet(file),
    "column_alone.parquet": lambda V, file: V.reset_index().to_parquet(file, index=False),
}


@pytest.mark.parametrize("file", FORMS)
def test_a_recording_in_any_form_is_judged(run: Cli, wide: pd.DataFrame, file: str) -> None:
    FORMS[file](wide, file)
    status, text, err = run("rhythm", file)
    assert (status, err) == (0, "")
    expected = report(wide)
    assert expected["value"].notna().all()
    same_criteria(text, expected)
    for cell, row in summary(wide).iterrows():
        assert re.search(rf"^{cell} +{row['bursts']} +{row['spikes']} .* {row['activity']}$", text, re.MULTILINE)


def test_a_written_run_is_judged_in_a_process_of_its_own(
    run: Cli, main_job: tuple[Path, str], paper: Prinz2004
) -> None:
    """Of the columns that `simulate` writes, those of the potentials count."""
    done = process("rhythm", str(main_job[0] / "rhythm.csv"))
    assert (done.returncode, done.stderr) == (0, "")
    assert run("rhythm", main_job[0] / "rhythm.parquet") == (0, done.stdout, "")
    same_criteria(done.stdout, report(paper(0.5 * np.arange(10_001))))


def test_spikes_bursts_and_order_can_be_described(run: Cli, wide: pd.DataFrame) -> None:
    """The same recording as from somata, a tenth as high, with a threshold of its own; and a demand that all cycles be in order."""
    small = wide / 10 - 40
    small.to_csv("x.csv")
    options = {"--threshold": "-40.5", "--prominence": "3", "--refractory": "2", "--kind": "crossings"}
    options |= {"--gap": "200", "--min-duration": "30"}
    d = Detection(-40.5, 3, 2, "crossings", 200, 30)
    status, text, err = run("rhythm", "x.csv", *(x for pair in options.items() for x in pair), "--order", "1")
    assert (status, err) == (0, "")
    same_criteria(text, report(small, order=1, detection=d))
    for cell, row in summary(small, detection=d).iterrows():
        assert re.search(rf"^{cell} +{row['bursts']} +{row['spikes']} .* {row['activity']}$", text, re.MULTILINE)


def test_a_recording_counts_from_its_start_on(run: Cli, wide: pd.DataFrame) -> None:
    wide.to_csv("x.csv")
    status, text, err = run("rhythm", "x.csv", "--start", 3000)
    assert (status, err) == (0, "")
    same_criteria(text, report(wide, (3000.0, 8000.0)))
    assert run("rhythm", "x.csv", "--start", -5) == run("rhythm", "x.csv")  # there is nothing before


def test_cells_of_a_recording_are_named(run: Cli, wide: pd.DataFrame) -> None:
    wide.set_axis(["dorsal", "lateral", "PY 1"], axis=1).to_csv("x.csv")
    status, text, err = run("rhythm", "x.csv", "--cells", "dorsal, lateral,PY 1")
    assert (status, err) == (0, "")
    same_criteria(text, report(wide))
    assert re.findall(r"^(dorsal|lateral|PY 1) ", text, re.MULTILINE) == ["dorsal", "lateral", "PY 1"]


def test_a_silent_recording_says_why(run: Cli, wide: pd.DataFrame) -> None:
    (0 * wide - 60).to_csv("x.csv")
    status, text, err = run("rhythm", "x.csv")
    assert (status, err) == (0, "")
    assert len(re.findall(r" – .* False  silent$", text, re.MULTILINE)) == len(FEATURES)
    assert text.endswith("Pyloric-like: no. Pyloric: no.\n")


def untimed(wide: pd.DataFrame) -> pd.DataFrame:
    return wide.reset_index(drop=True)


BAD_RECORDINGS: dict[str, tuple[Callable[[pd.DataFrame], object], str, list[str], str]] = {
    "missing": (lambda _: None, "x.csv", [], "'x.csv' is no file"),
    "folder": (lambda _: Path("x.csv").mkdir(), "x.csv", [], "'x.csv' is no file"),
    "empty": (lambda _: Path("x.csv").touch(), "x.csv", [], "'x.csv' cannot be read"),
    "binary": (lambda _: Path("x.csv").write_bytes(PNG), "x.csv", [], "'x.csv' cannot be read"),
    "no Parquet": (lambda V: V.to_csv("x.parquet"), "x.parquet", [], "'x.parquet' cannot be read"),
    "no rows": (lambda V: V[:0].to_csv("x.csv"), "x.csv", [], "0 rows"),
    "no times": (lambda V: untimed(V).to_csv("x.csv", index=False), "x.csv", [], "first column of 'x.csv', 'PD', is -"),
    "no times in Parquet": (lambda V: untimed(V).to_parquet("x.parquet"), "x.parquet", [], "first column of 'x.parquet', 'PD'"),
    "backwards": (lambda V: V[::-1].to_csv("x.csv"), "x.csv", [], "is 7999.5 in row 2"),
    "time of day": (lambda V: V.set_axis(["0:01"] * len(V)).to_csv("x.csv"), "x.csv", [], "is 0:01 in row 1"),
    "words": (lambda V: V.assign(PD="high").to_csv("x.csv"), "x.csv", [], "column 'PD' of 'x.csv' holds 'high'"),
    "a hole": (lambda V: V.assign(LP=V["LP"].where(V.index < 9)).to_csv("x.csv"), "x.csv", [], "V is nan at 9 ms"),
    "one cell": (lambda V: V[["PD"]].to_csv("x.csv"), "x.csv", [], "the columns are 'PD'"),
    "two names": (lambda V: V.to_csv("x.csv"), "x.csv", ["--cells", "PD,LP"], "--cells is 'PD,LP'"),
    "four names": (lambda V: V.to_csv("x.csv"), "x.csv", ["--cells", "PD,LP,PY,PY"], "'PD,LP,PY,PY'"),
    "other names": (lambda V: V.to_csv("x.csv"), "x.csv", ["--cells", "AB,LP,PY"], "columns are 'PD', 'LP', 'PY'"),
    "late start": (lambda V: V.to_csv("x.csv"), "x.csv", ["--start", "8001"], "--start is 8001 ms"),
    "no start": (lambda V: V.to_csv("x.csv"), "x.csv", ["--start", "nan"], "--start is nan"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_RECORDINGS)
def test_what_is_no_recording_is_refused_in_one_line(run: Cli, wide: pd.DataFrame, case: str) -> None:
    write, file, options, expected = BAD_RECORDINGS[case]
    write(wide)
    status, out, err = run("rhythm", file, *options)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"Error: [^\n]+\n", err)
    assert expected in err


# ---------------------------------------------------------------- the database

SAMPLE = ("--sample", "130", "--seed", "4")
QUICK = ("--duration", "1500", "--transient", "500", "--dt", "0.25")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run in a process of its own, and what that printed; read only."""
    folder = tmp_path_factory.mktemp("database") / "run"
    done = process("database", "run", str(folder), *SAMPLE, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """The same run, by the module."""
    return database.run(database.sample(130, 4), duration=1500, transient=500, dt=0.25, progress=False)


def times(folder: Path) -> dict[str, int]:
    """When each file of a run was written."""
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("part-*.parquet")}


def test_a_run_is_that_of_the_module(finished: tuple[Path, str], rows: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(database.load(finished[0]), rows, check_exact=True)
    facts = database.facts_of(finished[0])
    asked = {"solver": "staggered", "dt": 0.25, "dtype": "float32", "duration": 1000.0, "transient": 500.0}
    assert {name: facts[name] for name in asked} == asked


def test_a_run_says_what_it_found(run: Cli, finished: tuple[Path, str]) -> None:
    folder, text = finished
    for name, row in database.summary(folder).fractions.iterrows():
        low, high = (f"{100 * row[x]:.3f}%" for x in ("low", "high"))
        line = rf"^{name} +{100 * row['fraction']:.3f}%  \(95%: {low} to {high}\)  {row['count']:.0f} of 130$"
        assert re.search(line, text, re.MULTILINE)
    shares = database.summary(folder).parameters["all"]
    assert re.search(rf"^ +LP 2 +{shares['LP', 'LP 2']:.3f} ", text, re.MULTILINE)
    assert run("database", "summary", folder) == (0, text, "")
    assert run("database", "status", folder) == (0, f"130 of 130 circuits are done in {folder}\n", "")


def test_a_killed_run_is_continued(run: Cli, rows: pd.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [sys.executable, "-m", "pyloric_simulator", "database", "run", str(folder), *SAMPLE, *QUICK]
    killed = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    while killed.poll() is None and not (folder / database.RUN_FILE).exists():
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    done, before = database.status(folder)["done"], times(folder)
    assert run("database", "status", folder) == (0, f"{done} of 130 circuits are done in {folder}\n", "")
    status, text, err = run("database", "run", folder, *SAMPLE, *QUICK)
    assert (status, err) == (0, "")
    assert " of 130\n" in text
    assert times(folder).items() >= before.items(), "a finished batch was computed again"
    pd.testing.assert_frame_equal(database.load(folder), rows, check_exact=True)


HEARS_CTRL_C = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "pyloric"
runpy.run_module("pyloric_simulator", run_name="__main__")
"""


@contextlib.contextmanager
def interruptible(arguments: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own that hears Ctrl-C, though this one may not, as in the background of a script; it never stays."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEARS_CTRL_C, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": ROOT}, **options,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_ctrl_c_stops_a_run_within_a_batch(tmp_path: Path) -> None:
    """The bar moves before the first batch is done, which would take many minutes."""
    folder = tmp_path / "run"
    arguments = ["database", "run", str(folder), *SAMPLE, *QUICK, "--duration", "1e6", "--progress"]
    with interruptible(arguments) as process:
        assert process.stderr is not None
        assert any(re.search(r" [1-9]\d*/130 ", line) for line in process.stderr)
        process.send_signal(signal.SIGINT)
        text, said = process.communicate(timeout=60)
    assert (process.returncode, text) == (130, "")
    assert f"Stopped: 0 of 130 circuits are done in {folder}. Run the same again to go on from there.\n" in said
    assert "Traceback" not in said
    assert database.status(folder) == {"circuits": 130, "done": 0}


def test_a_run_computes_only_what_is_missing(
    run: Cli, rows: pd.DataFrame, finished: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    first, *others = sorted(folder.glob("part-*.parquet"))
    first.unlink()
    left, before = 130 - min(130, database.facts_of(folder)["batch"]), times(folder)
    assert run("database", "status", folder)[1].startswith(f"{left} of 130 circuits")
    assert run("database", "run", folder, *SAMPLE, *QUICK) == (0, finished[1], "")
    assert {name: t for name, t in times(folder).items() if name != first.name} == before
    assert len(before) == len(others)
    pd.testing.assert_frame_equal(database.load(folder), rows, check_exact=True)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_circuits_of_a_file_are_those_of_the_sample(run: Cli, finished: tuple[Path, str], suffix: str) -> None:
    """So the finished run is theirs, and nothing is left to compute."""
    status, text, err = run("database", "sample", 130, "--seed", 4, "--out", "circuits.csv")
    assert (status, text, err) == (0, "Wrote 130 circuits to circuits.csv\n", "")
    circuits = pd.read_csv("circuits.csv", index_col=0)
    pd.testing.assert_frame_equal(circuits, database.sample(130, 4), check_exact=True)
    circuits.to_parquet("circuits.parquet")
    before = times(finished[0])
    again = run("database", "run", finished[0], "--circuits", f"circuits.{suffix}", *QUICK)
    assert again == (0, finished[1], "")
    assert times(finished[0]) == before


def test_a_sample_is_shown(run: Cli) -> None:
    status, text, err = run("database", "sample", 3, "--seed", 9)
    assert (status, err) == (0, "")
    for number, row in database.sample(3, 9).iterrows():
        assert re.search(rf"^{number} +{row['AB/PD']} +{row['LP']} +{row['PY']} ", text, re.MULTILINE)
    assert run("database", "sample", 3, "--seed", 9)[1] == text != run("database", "sample", 3)[1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((*SAMPLE, *QUICK, "--dt", "0.2"), "dt = 0.25, and this one has 0.2"),
        ((*SAMPLE, *QUICK, "--solver", "exponential_euler"), "solver = 'staggered'"),
        ((*SAMPLE, *QUICK, "--precision", "float64"), "dtype = 'float32'"),
        ((*SAMPLE, "--seed", "5", *QUICK), "fingerprint"),
        (("--sample", "9", *QUICK), "circuits = 130"),
    ],
    ids=["dt", "solver", "precision", "seed", "number"],
)
def test_a_folder_holds_one_run(run: Cli, finished: tuple[Path, str], options: tuple[str, ...], expected: str) -> None:
    before = times(finished[0])
    status, out, err = run("database", "run", finished[0], *options)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"Error: [^\n]+\n", err)
    assert expected in err
    assert times(finished[0]) == before


def test_a_run_that_is_not_finished_says_so(run: Cli, finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    sorted(folder.glob("part-*.parquet"))[-1].unlink()
    n = database.status(folder)["done"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, text, err = run("database", "summary", folder)
    assert status == 0
    assert f"The run is not finished: {n} of 130 circuits are done.\n" in text
    assert err.startswith(f"Warning: {folder} has {n} of the 130 circuits of its run")


def test_damaged_files_are_named_without_a_traceback(run: Cli, finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    for text in ("", "{", "[1]", '{"circuits": 1}', '{"format": 1, "circuits": 1000000000000000000, "batch": 64}'):
        (folder / database.RUN_FILE).write_text(text)
        for command in ("status", "summary"):
            status, out, err = run("database", command, folder)
            assert (status, out) == (2, "")
            assert re.fullmatch(r"Error: [^\n]*_run.json is damaged[^\n]*\n", err)
    pd.DataFrame({"a": [1.0]}).to_parquet("other.parquet")
    assert run("database", "summary", "other.parquet")[2].startswith("Error: other.parquet lacks 'cycle_period'")
    assert run("database", "status", "other.parquet")[2].startswith(
        "Error: other.parquet does not say of which run it is"
    )
    Path("text.parquet").write_text("no Parquet")
    for command in ("status", "summary"):
        assert run("database", command, "text.parquet")[2].startswith(
            "Error: text.parquet is damaged, or no Parquet file"
        )


def test_the_file_of_a_run_has_its_own_status(run: Cli, finished: tuple[Path, str]) -> None:
    first, second = sorted(finished[0].glob("part-*.parquet"))
    for file in (first, second):
        n = len(pd.read_parquet(file))
        assert run("database", "status", file)[1] == f"{n} of 130 circuits are done in {file}\n"


def test_a_table_whose_first_column_is_a_cell_is_read(run: Cli, finished: tuple[Path, str]) -> None:
    """The labels are numbers from 0 then, so it is another run than that of the sample."""
    database.sample(130, 4).to_csv("circuits.csv", index=False)
    status, _, err = run("database", "run", finished[0], "--circuits", "circuits.csv", *QUICK)
    assert (status, "fingerprint" in err, "lacks" in err) == (2, True, False)


def test_the_sample_of_the_package_is_summed_up(run: Cli) -> None:
    strict, loose = (run("database", "summary", sample_file("staggered"), *x) for x in ((), ("--max-cv", "inf")))
    for (status, text, err), max_cv in ((strict, 0.02), (loose, np.inf)):
        assert (status, err) == (0, "")
        count = database.summary(sample_file("staggered"), max_cv).fractions.loc["pyloric_like", "count"]
        assert re.search(rf"^pyloric_like .* {count:,.0f} of 20,480$", text, re.MULTILINE)
    assert strict[1] != loose[1]


def test_circuits_of_ones_own_have_no_shares(run: Cli) -> None:
    table = pd.DataFrame(1.0, range(5), [*database.MEMBRANE, *database.SYNAPSES, *FEATURES, "period_cv"])
    table.to_parquet("own.parquet")
    status, text, err = run("database", "summary", "own.parquet")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in text.splitlines()] == ["pyloric_like", "pyloric"]
    assert text.count(" 0 of 5\n") == 2


# ---------------------------------------------------------------- cells and store


def test_cells_are_those_of_the_paper(run: Cli) -> None:
    status, text, err = run("cells")
    assert (status, err) == (0, "")
    assert "mS/cm²" in text
    for name, g in neuron_models.iterrows():
        row = re.search(rf"^{name} +(.+)$", text, re.MULTILINE)
        assert row
        assert [float(x) for x in row[1].split()] == list(g)


def test_all_cells_are_thermalized_and_kept(run: Cli, tmp_path: Path) -> None:
    status, text, err = run("thermalize", "--all", "--store", tmp_path / "cells")
    assert (status, err) == (0, "")
    assert f"16 thermalized cells are kept in {tmp_path / 'cells'}" in text
    alone = Prinz2004({"LP 3": 1}, {}).get_thermalization(store=tmp_path / "cells")
    assert re.search(rf"^LP 3 +{alone.V[0]:.3f} +{alone.Ca[0]:.3f} ", text, re.MULTILINE)
    assert len(ThermalizationStore(tmp_path / "cells").keys()) == 16
    assert "16 thermalized cells" in run("cache", "--store", tmp_path / "cells")[1]
    cleared = run("cache", "--clear", "--store", tmp_path / "cells")[1]
    assert cleared.startswith("Removed 16 thermalized cells\n0 thermalized cells are")


def test_circuits_can_be_thermalized_together(run: Cli) -> None:
    status, text, err = run("thermalize", "paper", "reduced", "--store", "memory")
    assert (status, err) == (0, "")
    assert re.findall(r"^(\S+) +-\d", text, re.MULTILINE) == ["AB/PD", "LP", "PY", "AB", "LP"]
    assert "memory" in text.splitlines()[-1]


def test_store_of_the_settings_is_used(run: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "mine"))
    assert run("cache") == (0, f"0 thermalized cells are kept in {tmp_path / 'mine'}\n", "")


def test_trouble_with_the_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pyloric_simulator", "cache", "--store", str(tmp_path / "file")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert re.fullmatch(r"Warning: the store .* cannot be used: .*\n", done.stderr)


# ---------------------------------------------------------------- progress


@pytest.mark.parametrize("total", [None, 4])
def test_progress_is_shown_once_it_takes_long(
    total: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "PATIENCE", 0.1)
    monkeypatch.setattr(cli, "TICK", 0.05)
    with cli.watched("Waiting", True, total) as bar:
        time.sleep(0.05)
        assert capsys.readouterr().err == ""
        bar.n = 3
        time.sleep(0.3)
    shown = capsys.readouterr().err
    assert "Waiting" in shown
    assert ("75%" in shown) == (total is not None)


def test_no_progress_unless_in_a_terminal_or_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert (cli.wanted(None), cli.wanted(True), cli.wanted(False)) == (False, True, False)
    with cli.watched("Waiting", False, 4):
        pass
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------- refusals

BAD = [
    (["simulate", "no_such_circuit"], "no_such_circuit"),
    (["simulate", "typo.toml"], "population = { LP = { size = 1 } } in typo.toml: "),
    (["simulate", "--dt", "0"], "dt is 0 ms"),
    (["simulate", "--dt", "1"], "dt is 1 ms"),
    (["simulate", "--dt", "nan"], "dt is nan"),
    (["simulate", "--dt", "small"], "--dt"),
    (["simulate", "--solver", "stagered"], "'staggered'"),
    (["simulate", "--precision", "float16"], "float16"),
    (["simulate", "--duration", "0"], "--duration is 0 ms"),
    (["simulate", "--duration", "-5"], "--duration is -5 ms"),
    (["simulate", "--duration", "inf"], "--duration is inf"),
    (["simulate", "--duration", "0.01"], "--duration is shorter"),
    (["simulate", "--start", "-1"], "--start is -1 ms"),
    (["simulate", "--transient", "5000"], "--transient, 5000 ms"),
    (["simulate", "--sample", "0.07"], "multiple of dt, 0.05 ms. Say 0.05."),
    (["simulate", "--sample", "0"], "--sample is 0 ms"),
    (["simulate", "--duration", "1e8", "--sample", "0.5"], "--sample 1.2"),
    (["simulate", "--out", "picture.pdf"], "picture.pdf"),
    (["simulate", "--out", "none", "--csv", "missing/x.csv"], "no such file or directory"),
    (["simulate", "--out", "none", "--csv", "."], "is a directory"),
    (["simulate", "--out", "typo.toml/x.png"], "not a directory"),
    (["simulate", "--csv", "x", "--parquet", "x"], "two outputs"),
    (["simulate", "--csv", "x", "--parquet", "./x"], "two outputs"),
    (["simulate", "typo.toml", "--csv", "typo.toml"], "'typo.toml' is the circuit"),
    (["simulate", "--csv", "x.parquet"], "--csv is 'x.parquet'"),
    (["simulate", "--csv", "x.csv.gz"], "--csv is 'x.csv.gz'"),
    (["simulate", "--parquet", "x.csv"], "--parquet is 'x.csv'"),
    (["simulate", "--csv", "~/x.csv"], "does not expand ~"),
    (["simulate", "--csv", "x" * 300], "too long"),
    (["simulate", "--start", "1e15"], "end at 1e+15 ms; that is more than 2,147,483,647 steps"),
    (["simulate", "--duration", "1e12"], "end at 1e+12 ms"),
    (["simulate", "--duration", "nan"], "--duration is nan"),
    (["simulate", "--duration", "5e7"], "24.0 GB of memory, and it may take 2. Say --sample 0.6"),
    (["simulate", "--duration", "1e8", "--dt", "0.1", "--sample", "0.1"], "24.0 GB"),
    (["simulate", "--solver", ""], "solver is ''"),
    (["simulate", "--precision", ""], "dtype is ''"),
    (["simulate", "--store", "none"], 'write "memory"'),
    (["thermalize", "--store", "Memory"], 'write "memory"'),
    (["cache", "--store", "off"], 'write "memory"'),
    (["simulate", "."], "circuit '.'"),
    (["simulate", "/etc/passwd"], "not TOML"),
    (["simulate", "--store", "~nobody_of_this_name/cells"], "~"),
    (["simulate", "--speed", "9"], "--speed"),
    (["simulate", "paper", "reduced"], "reduced"),
    (["thermalize", "--all", "paper"], "'paper'"),
    (["thermalize", "--dt", "-1"], "dt is -1 ms"),
    (["simulat"], "simulat"),
    (["rhythm"], "FILE"),
    (["rhythm", "missing.csv"], "'missing.csv' is no file"),
    (["database", "sample", "0"], "n is 0"),
    (["database", "sample", "20250001"], "n is 20250001"),
    (["database", "sample", "9", "--seed", "-1"], "--seed"),
    (["database", "sample", "few"], "'N'"),
    (["database", "run"], "FOLDER"),
    (["database", "run", "x"], "say one of them"),
    (["database", "run", "x", "--sample", "9", "--all"], "say one of them"),
    (["database", "run", "x", "--sample", "0"], "n is 0"),
    (["database", "run", "x", "--sample", "9", "--seed", "-1"], "--seed"),
    (["database", "run", "x", "--circuits", "missing.csv"], "'missing.csv' is no file"),
    (["database", "run", "x", "--circuits", "typo.toml"], "the table lacks 'AB/PD Na'"),
    (["database", "run", "x", "--sample", "9", "--solver", "euler"], "solver is 'euler'"),
    (["database", "run", "x", "--sample", "9", "--dt", "1"], "dt is 1 ms"),
    (["database", "run", "x", "--sample", "9", "--precision", "float16"], "'float16'"),
    (["database", "run", "x", "--sample", "9", "--duration", "3000"], "duration is 3000 ms"),
    (["database", "run", "x", "--sample", "9", "--transient", "-1"], "transient is -1 ms"),
    (["database", "run", "typo.toml", "--sample", "9"], "typo.toml"),
    (["database", "status", "x"], "x holds no results"),
    (["database", "summary", "x"], "x holds no results"),
    (["database", "summarize", "x"], "summarize"),
    (["database", "run", "x", "--all", "--seed", "3"], "--seed is 3"),
    (["database", "sample", "9", "--out", "circuits.parquet"], "must be a CSV file"),
    (["database", "sample", "9", "--out", "missing/circuits.csv"], "in a folder that is there"),
    (["database", "summary", "typo.toml"], "no Parquet file"),
]


@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_refused_in_one_line(run: Cli, arguments: list[str], expected: str) -> None:
    Path("typo.toml").write_text('title = "Typo"\n[population.LP]\nsize = 1\n')
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"Error: [^\n]+\n", err)
    assert expected in err
    assert [path.name for path in Path().iterdir()] == ["typo.toml"]


LABELS = ["LP {x}", "{label.__class__}", "a#b", "$x_{", "</script><b>"]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_no_format(run: Cli, label: str) -> None:
    Path("x.toml").write_text(f'title = "x"\n[populations."{label}"]\nsize = 1\ntype = "LP"\ncell = "LP 2"\n')
    files = {"--out": "x.html", "--csv": "x.csv"}
    status, text, err = run("simulate", "x.toml", "--duration", 20, *(x for item in files.items() for x in item))
    assert (status, err) == (0, "")
    assert f"1 {label}; 0 synapses" in text
    page = Path("x.html").read_text(encoding="utf-8")
    assert (json.dumps(label) in page) == (label != LABELS[-1])
    assert label not in page.replace(json.dumps(label), "")
    assert list(pd.read_csv("x.csv", comment="#"))[1] == f"V {label} 0"
    assert run("simulate", "x.toml", "--duration", 20, "--out", "x.png")[::2] == (0, "")


def test_where_things_come_from_is_said(run: Cli) -> None:
    plain = run("simulate", "reduced", "--duration", 10, "--no-plot")[1]
    assert "Settings" not in plain
    assert "Circuit" not in plain
    Path(".git").mkdir()
    circuits = Path("config", "circuits")
    circuits.mkdir(parents=True)
    shutil.copy(find_circuit("reduced"), circuits / "reduced.toml")
    (circuits.parent / "pyloric.toml").write_text("dt = 0.1\n")
    text = run("simulate", "reduced", "--duration", 10, "--out", "x.html")[1]
    here = circuits.parent.absolute()
    assert (
        f"dt 0.1 ms, float64\nCircuit: {here / 'circuits' / 'reduced.toml'}\nSettings: {here / 'pyloric.toml'}" in text
    )
    assert 'content="version ' + __version__ + ", solver staggered, dt 0.1, " in Path("x.html").read_text(
        encoding="utf-8"
    )


def test_a_reader_that_has_enough_ends_the_command() -> None:
    arguments = [sys.executable, "-m", "pyloric_simulator", "cells"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before anything is written
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_ctrl_c_is_one_line(tmp_path: Path) -> None:
    arguments = ["simulate", "--duration", "1e7", "--sample", "10", "--no-plot"]
    with interruptible(arguments, cwd=tmp_path) as process:
        assert process.stdout is not None
        while "synapses" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


def test_memory_that_runs_out_is_one_line(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(cli, "find_circuit", greedy)
    status, _, err = run("simulate")
    assert status == 2
    assert re.fullmatch(r"Error: memory ran out\. [^\n]+\n", err)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_a_user_of_a_container_has_no_home(tmp_path: Path) -> None:
    """A number without a name, and no HOME: cells stay in memory, and no folder called ~ appears."""
    code = """
import os
from pyloric_simulator import cli
cli.app(["cache"], standalone_mode=False)  # of root; after that it needs no more modules, which a stranger may not read
os.setuid(54321)
cli.main(["cache"])
"""
    tmp_path.chmod(0o777)
    clean = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", STORE_VARIABLE)}
    with tempfile.TemporaryDirectory() as everyone:  # the checkout may lie where a stranger may not look
        Path(everyone).chmod(0o755)
        shutil.copytree(Path(ROOT, "pyloric_simulator"), Path(everyone, "pyloric_simulator"))
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=clean | {"PYTHONPATH": everyone},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Thermalized cells are kept in the memory of a process only"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("module", "option"), [("pyarrow", "--parquet"), ("matplotlib", "--out")])
def test_missing_library_is_told_before_the_run(
    run: Cli, monkeypatch: pytest.MonkeyPatch, module: str, option: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    status, out, err = run("simulate", option, "x.png" if option == "--out" else "x.parquet")
    assert (status, out) == (2, "")
    assert module in err
    assert "pip install 'pyloric-simulator[" in err


def test_files_that_exist_survive_a_refusal(run: Cli) -> None:
    Path("old.csv").write_text("old")
    assert run("simulate", "--csv", "old.csv", "--dt", "9")[0] == 2
    assert Path("old.csv").read_text() == "old"


def test_errors_that_are_no_bad_input_are_to_be_reported(run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("a bug\nof two lines")

    monkeypatch.setattr(cli, "find_circuit", broken)
    status, out, err = run("simulate")
    assert (status, out) == (70, "")
    assert re.fullmatch(
        r"Error: RuntimeError: a bug of two lines\. [^\n]+ please report it[^\n]+PYLORIC_DEBUG=1[^\n]+\n", err
    )
    monkeypatch.setenv("PYLORIC_DEBUG", "1")
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["simulate"])


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS), *(["database", c] for c in OF_THE_DATABASE)])
def test_help_comes_with_an_example(command: list[str]) -> None:
    done = CliRunner().invoke(cli.app, [*command, "--help"])
    assert done.exit_code == 0
    assert f"Example: pyloric {' '.join(command)}" in done.stdout


def test_bare_command_lists_the_commands(run: Cli) -> None:
    status, text, err = run()
    assert (status, err) == (0, "")
    assert all(re.search(rf"^  {command} ", text, re.MULTILINE) for command in COMMANDS)


def test_bare_command_of_the_database_lists_its_commands(run: Cli) -> None:
    status, text, err = run("database")
    assert (status, err) == (0, "")
    assert all(re.search(rf"^  {command} ", text, re.MULTILINE) for command in OF_THE_DATABASE)


def test_version(run: Cli) -> None:
    assert run("--version") == (0, f"pyloric_simulator {__version__}\n", "")


def test_versions_for_a_report(run: Cli) -> None:
    status, text, errors = run("--versions")
    known = dict(line.split(None, 1) for line in text.splitlines())
    assert (status, errors) == (0, "")
    assert (known["pyloric_simulator"], known["jax"]) == (__version__, metadata.version("jax"))
    assert {"Python", "numpy", "system", "devices", "settings"} <= set(known)


def test_help_is_quick_and_names_the_program() -> None:
    code = (
        "import sys; from pyloric_simulator.cli import main\n"
        "try: main(['simulate', '--help'])\n"
        "finally: sys.exit(any(m in sys.modules for m in ('jax', 'pandas', 'holoviews', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
    done = process("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: python -m pyloric_simulator ")


def test_terminal_of_few_characters_is_enough() -> None:
    done = process("cells", PYTHONIOENCODING="cp1251")  # without ²
    assert (done.returncode, done.stderr) == (0, "")
    assert "mS/cm? " in done.stdout
