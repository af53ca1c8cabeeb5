"""README.md does what it says: each block of Python runs in a process of its own, and so do the commands; its figures are those measured.

A process, since a reader has neither the settings nor the names of these tests.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rigs import write_abf
from test_nerves import MADE

from pyloric_simulator.config import find_circuit
from pyloric_simulator.prinz2004 import Prinz2004
from pyloric_simulator.rhythm import bursts

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEASURED = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code of README.md in a language, block by block."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def run(*command: str, folder: Path) -> str:
    """Standard output of a command in a folder, in which the package of this checkout is found."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


# What is checked of each block after it has run, in the order of README.md.
CLAIMS = {
    "a circuit": """
assert list(result.V.columns) == [("AB/PD", 0), ("LP", 0), ("PY", 0)] and result.V.shape == (10_000, 3)
assert result.currents.shape[0] == len(result.Ca) == 10_000
assert all(len(times) > 20 for times in result.spike_times().values())
""",
    "a derivative": """
assert slope.g.shape == (3, 8) and slope.gs.shape == (7,)
assert (np.asarray(slope.g)[0, 1:3] > 0).all(), "more calcium current, more calcium"
""",
    "rhythms and the database": """
verdict = report(result)
assert verdict["passes"].sum() == 12 and not is_pyloric(result)
assert is_pyloric(other(np.arange(0, 14000, 0.1))[4000:])
failed = verdict.index[~verdict["passes"]]
assert all("PYstart" in name or "LP_PY" in name for name in failed), "PY starts early"
from pyloric_simulator.rhythm import summary
assert abs(summary(result)["period CV"].iloc[0] - 0.025) < 5e-4
found = database.summary("results").fractions
assert len(rows) == 500 and (found["of"] == 500).all()
assert found["low"]["pyloric_like"] < 0.20 < found["high"]["pyloric_like"] and found["low"]["pyloric"] < 0.022 < found["high"]["pyloric"]
""",
    "sensitivity and a fit": """
table = sensitivity(cell)
assert {"period", "duty_cycle"} <= set(table.index.get_level_values(1)) and len(table.columns) == 7
found = fit(wrong, error, ["AB/PD 2 CaS", "AB/PD 2 Kd"], progress=False)
assert [f"{x:.2g}" for x in found.values[:1]] == ["6"] and round(found.values.iloc[1]) == 101
assert found.loss < 1e-3 * found.history["loss"].iloc[0]
""",
    "cells and experiments": """
assert len(axon(np.arange(0, 100, 0.05), I_ext=5).spike_times()["cell", 0]) == 7
assert round(5e-3 / axon.area) == 8 and axon.area == 0.628e-3
rates = fi_curve(axon, [2, 4, 6, 8]).to_numpy().ravel()
assert rates[0] == 0 < rates[1] < rates[2] < rates[3]
held = voltage_clamp(axon, np.arange(0, 20, 0.05), -10)
assert (held.V.to_numpy()[1:] == -10).all() and held.clamp.to_numpy()[-1] > 0
""",
    "other simulators": """
from pathlib import Path
script = Path("axon.py").read_text()
assert "from brian2 import *" in script and "dm_Na/dt" in script and "I_ext = [5.0]*nA" in script
compile(script, "axon.py", "exec")
""",
}


def test_each_block_has_its_claims() -> None:
    assert len(blocks("python")) == len(CLAIMS)


def test_no_line_of_python_is_cut_on_the_page() -> None:
    lines = "\n".join(blocks("python")).splitlines()
    assert [line for line in lines if len(line) > 84] == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CLAIMS)), ids=list(CLAIMS))
def test_block_runs_by_itself_and_its_claims_hold(number: int, tmp_path: Path) -> None:
    code = blocks("python")[number] + list(CLAIMS.values())[number]
    run(sys.executable, "-c", code, folder=tmp_path)


def record_crab(path: Path) -> None:
    """What README calls crab.abf: three electrodes and three nerves."""
    V = Prinz2004.from_toml(find_circuit("paper"))(np.arange(0, MADE.index[-1] + 0.01, 0.05)).V
    cells = {f"ch{n}": ("mV", V[cell, 0].to_numpy()[: len(MADE)]) for n, cell in ((3, "AB/PD"), (1, "LP"), (2, "PY"))}
    assert all(len(x) == len(MADE) for _, x in cells.values())
    write_abf(path, cells | {name: ("mV", MADE[name].to_numpy()) for name in MADE}, 20_000.0)


@pytest.mark.slow
def test_commands_follow_each_other(tmp_path: Path) -> None:
    (commands,) = blocks("text")
    lines = [line.partition("#")[0] for line in commands.replace("[CIRCUIT]", "paper").splitlines()]
    smaller = {"20000": "16", "5000": "3000"}
    record_crab(tmp_path / "crab.abf")
    for line in lines:
        arguments = [smaller.get(word, word) for word in shlex.split(line)]
        assert arguments.pop(0) == "pyloric"
        if arguments[0] == "explore":  # serves until it is interrupted; its own tests run it
            continue
        run(sys.executable, "-m", "pyloric_simulator", *arguments, folder=tmp_path)
        if "--csv" in arguments:
            (tmp_path / "rhythm.csv").rename(tmp_path / "recording.csv")
    assert (tmp_path / "rhythm.html").stat().st_size > 0


@pytest.mark.slow
def test_spikes_and_periods_of_isolated_pacemakers() -> None:
    reference = pd.read_csv(ROOT / "tests" / "data" / "spikes_exponential_euler.csv").groupby("simulation")[
        "spike_time_ms"
    ]
    cells = Prinz2004({f"AB/PD {i}": 1 for i in range(1, 6)}, gs={}, ge=0)
    found = cells(0.025 * np.arange(200_001), state=cells.cold, solver="exponential_euler", dt=0.025).spike_times()
    for (cell, _), times in found.items():
        np.testing.assert_allclose(times, reference.get_group(f"isolated {cell}"), rtol=0, atol=1e-9)
    assert sum(map(len, found.values())) == 393

    def periods(solver: str, dt: float) -> np.ndarray:
        trains = cells(np.arange(0, 16_000, 0.05), state=cells.cold, solver=solver, dt=dt).spike_times().values()
        return np.array([np.diff([begin for begin, *_ in bursts(train) if begin > 4000]).mean() for train in trains])

    converged, published = periods("staggered", 0.00625), np.array([1460, 1490, 1580, 1610, 1640])
    assert (abs(periods("exponential_euler", 0.025) / published - 1) < 0.0105).all()
    assert (abs(periods("staggered", 0.05) / converged - 1) < 0.004).all()
    assert (abs(periods("staggered", 0.025) / converged - 1) < 0.001).all()


def table(title: str) -> dict[str, list[str]]:
    """A table of benchmarks/README.md: its rows by their first cell, and under "date" that of its measurement."""
    part = MEASURED.partition(f"### {title}\n")[2].partition("###")[0]
    rows = [
        [cell.replace("*", "").strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("|")
    ]
    return {row[0]: row[1:] for row in rows} | {"date": [part.strip().splitlines()[-1]]}


def cells(code: str) -> set[str]:
    """The row of README.md's table about a code."""
    (line,) = re.findall(rf"^\| {re.escape(code)} \|.*$", README, flags=re.MULTILINE)
    return {cell.strip() for cell in line.split("|")}


def test_the_time_of_many_circuits_follows_from_the_newest_table() -> None:
    steps_a_second = 1e6 * float(table("Batches")["`database.run`, float32"][0])
    minutes = 20_000 * 13_000 * 20 / steps_a_second / 60
    assert 1.5 < minutes < 2.2
    assert "Two cores run 20,000 circuits of ten seconds in about two minutes" in README


def test_speeds_are_those_of_the_newest_tables() -> None:
    circuit, beside = table("One circuit"), table("Beside Brian2")
    ours, theirs = circuit["staggered, compiled core"], circuit["scalar numba, staggered"]
    brian, next_to_it = beside["Brian2 2, C++ standalone, exponential Euler"], beside["staggered, compiled core"]
    day, machine, cores = re.split(r"[;,] ", circuit["date"][0])[:3]
    day_of_brian = beside["date"][0].partition(";")[0]
    assert f"costs {ours[0]} µs per step in double precision: {ours[2]} times" in README
    assert f"{day}; {machine}, {cores})" in README
    gradients, batch = table("Gradients of many circuits"), table("Batches")["`database.run`, float32"]
    one, many = float(gradients["1, `jax.jit`"][0]), gradients["256, `many_at_once`"][0]
    assert f"conductances cost {one:.1f} µs per step, and {many} µs each for 256\ncircuits at once" in README
    assert f"advances {float(batch[0]):.0f} million circuits by a step per second" in README
    first = table("Fresh processes")["whole process to the first result (paper's circuit, 1 s), warm store"]
    assert f"has its first result after {float(first[0]):.1f} s" in README
    assert {ours[0], day} <= cells("pyloric_simulator")
    assert {theirs[0], f"{day}, in the same run"} <= cells("scalar numba loop")
    assert {brian[0], f"{day_of_brian}, beside {next_to_it[0]} for pyloric_simulator"} <= cells(
        "Brian2, C++ standalone"
    )
