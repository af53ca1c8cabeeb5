"""The command `pyloric`: what it prints and writes, what it refuses, and that a long run is one run."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pyloric_simulator import __version__, cli
from pyloric_simulator.config import STORE_VARIABLE, find_circuit
from pyloric_simulator.prinz2004 import Prinz2004, State, neuron_models
from pyloric_simulator.rhythm import summary
from pyloric_simulator.store import ThermalizationStore

PNG = b"\x89PNG\r\n\x1a\n"
COMMANDS = ["simulate", "cells", "thermalize", "cache"]


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
    few, values = cli.thinned(t, V)
    assert len(few) <= cli.PICTURE_POINTS + 1
    assert np.all(np.diff(few) > 0)
    assert (few[-1], values.max(), values.min()) == (t[-1], 99, -99)
    np.testing.assert_array_equal(values, V[np.searchsorted(t, few)])


def test_short_trace_is_drawn_as_it_is() -> None:
    V = np.arange(cli.PICTURE_POINTS)
    assert cli.thinned(V, V)[1] is V


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
    (["simulate", "typo.toml"], "typo.toml:2"),
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
    (["simulate", "--store", "~nobody_of_this_name/cells"], "~"),
    (["simulate", "--speed", "9"], "--speed"),
    (["simulate", "paper", "reduced"], "reduced"),
    (["thermalize", "--all", "paper"], "'paper'"),
    (["thermalize", "--dt", "-1"], "dt is -1 ms"),
    (["simulat"], "simulat"),
]


@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_refused_in_one_line(run: Cli, arguments: list[str], expected: str) -> None:
    Path("typo.toml").write_text('title = "Typo"\n[population.LP]\nsize = 1\n')
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"Error: [^\n]+\n", err)
    assert expected in err
    assert [path.name for path in Path().iterdir()] == ["typo.toml"]


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


def test_errors_that_are_no_bad_input_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "find_circuit", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["simulate"])


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS)])
def test_help_comes_with_an_example(command: list[str]) -> None:
    done = CliRunner().invoke(cli.app, [*command, "--help"])
    assert done.exit_code == 0
    assert f"Example: pyloric {' '.join(command)}" in done.stdout


def test_bare_command_lists_the_commands(run: Cli) -> None:
    status, text, err = run()
    assert (status, err) == (0, "")
    assert all(re.search(rf"^  {command} ", text, re.MULTILINE) for command in COMMANDS)


def test_version(run: Cli) -> None:
    assert run("--version") == (0, f"pyloric_simulator {__version__}\n", "")


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
