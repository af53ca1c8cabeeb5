"""The table of agreement: exported models in their simulators beside our own runs. Writes pyloric_simulator/export/agreement.csv.

    python benchmarks/exports.py neuron      # rows of NEURON, about five minutes, most of them for compiling
    python benchmarks/exports.py neuroml     # rows of jNeuroML, about ten minutes
    python benchmarks/exports.py brian2      # rows of Brian2 in C++ standalone mode, about ten minutes, most of them for compiling

The stored table was measured on two cores that had other work to do, so that its run times are upper bounds.
Other rows stay as they are. Spike times are those of one second; periods those of the pacemaker cells, each alone, from 1 s to 4.5 s.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
from exported import CASES, EVERY, Case, Traces, differences, ours, pacemakers, periods, start  # noqa: E402
from test_export_neuroml import run as run_of_jneuroml  # noqa: E402

from pyloric_simulator.export.to_brian2 import to_brian2  # noqa: E402
from pyloric_simulator.export.to_neuron import to_neuron  # noqa: E402
from pyloric_simulator.models.networks import model_of  # noqa: E402
from pyloric_simulator.rhythm import spikes  # noqa: E402

TABLE = ROOT / "pyloric_simulator" / "export" / "agreement.csv"
SECOND, LONG, AFTER = 1000.0, 4500.0, 1000.0  # ms
COLUMNS = [
    "simulator",
    "model",
    "method",
    "spikes",
    "largest difference (ms)",
    "largest difference of a period (%)",
    "run time (s)",
]


def folder(name: str) -> Path:
    """A new folder for an export."""
    return Path(tempfile.mkdtemp()) / name


def module_of(script: Path) -> Any:
    """A script as a module. NEURON has one set of mechanisms in a process, so that each model takes a process of its own."""
    spec = importlib.util.spec_from_file_location("run", script)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def timed(f: Callable[[], Traces]) -> tuple[Traces, float]:
    """What a run returns, and its time (s)."""
    begin = time.perf_counter()
    found = f()
    return found, time.perf_counter() - begin


def row(simulator: str, name: str, method: str, expected: Traces, found: Traces, seconds: float) -> dict[str, Any]:
    """A row about one second of a model."""
    n, worst = differences(expected, found)
    return dict(zip(COLUMNS, (simulator, name, method, n, worst, np.nan, seconds), strict=True))


def of_periods(simulator: str, method: str, found: Any, seconds: float) -> dict[str, Any]:
    """A row about the periods of the pacemaker cells, from their traces or as numbers (ms)."""
    found = periods(found, AFTER) if isinstance(found, tuple) else found
    expected = ours(Case(pacemakers), LONG, pacemakers().cold, dt=0.0025)
    error = 100 * np.abs(found / periods(expected, AFTER) - 1).max()
    return dict(
        zip(COLUMNS, (simulator, "pacemakers 1 to 5, alone", method, np.nan, np.nan, error, seconds), strict=True)
    )


def neuron_rows(name: str) -> Iterator[dict[str, Any]]:
    """All rows of a model in NEURON."""
    long = name == "pacemakers"
    case = Case(pacemakers) if long else CASES[name]
    state = pacemakers().cold if long else start(case)
    simulate = module_of(to_neuron(case.model(), folder("model"), state=state, I_ext=case.I_ext)).simulate
    expected = None if long else ours(case, SECOND)
    fixed = {"pacemakers": (0.025,), "cell of Liu et al.": (0.025, 0.00625), "circuit of Fig. 3e": (0.025, 0.00625)}
    steps = (None, *fixed.get(name, ()))
    for dt in steps:
        method = "CVODE, 1e-9" if dt is None else f"fixed step, {dt:g} ms"
        found, seconds = timed(lambda dt=dt: simulate(LONG if long else SECOND, dt=dt))
        yield (
            of_periods("NEURON", method, found, seconds)
            if expected is None
            else row("NEURON", name, method, expected, found, seconds)
        )


def neuroml_rows(name: str) -> Iterator[dict[str, Any]]:
    """All rows of a model in jNeuroML."""
    long = name == "pacemakers"
    case, step, stop = (Case(pacemakers), 0.025, LONG) if long else (CASES[name], 0.01, SECOND)
    found, seconds = timed(lambda: run_of_jneuroml(case, folder(""), stop, step, pacemakers().cold if long else None))
    method = f"Runge-Kutta, {step:g} ms"
    if long:
        yield of_periods("jNeuroML", method, found, seconds)
    else:
        yield row("jNeuroML", name, method, ours(case, SECOND), found, seconds)


def in_brian2(case: Case, stop: float, state: Any, method: str, dt: float) -> Traces:
    """A run in Brian2, sampled as ours."""
    import brian2

    brian2.device.reinit()
    brian2.set_device("cpp_standalone", directory=str(folder("code")))
    found = to_brian2(case.model(), state, case.I_ext, method=method, dt=dt)
    found.run(stop)
    V = found.V.iloc[:: round(EVERY / dt)]
    return V.index.to_numpy(), {cell: x.to_numpy() for cell, x in V.items()}


def brian2_rows(name: str) -> Iterator[dict[str, Any]]:
    """All rows of a model in Brian2: beside our converged run, and with the papers' step beside ours by the same scheme."""
    long = name == "pacemakers"
    case, stop = (Case(pacemakers), LONG) if long else (CASES[name], SECOND)
    state, same = pacemakers().cold if long else start(case), {"solver": "exponential_euler", "dt": 0.025}
    found, seconds = timed(lambda: in_brian2(case, stop, state, "exponential_euler", 0.025))
    alike = f"exponential Euler, {same['dt']:g} ms, both"
    if long:
        yield of_periods("Brian2", "exponential Euler, 0.025 ms", found, seconds)
        coarse = in_brian2(case, stop, state, "exponential_euler", 0.005)
        fine, seconds = timed(lambda: in_brian2(case, stop, state, "exponential_euler", 0.0025))
        P = 2 * periods(fine, AFTER) - periods(coarse, AFTER)
        yield of_periods("Brian2", "exponential Euler, extrapolated from 0.005 and 0.0025 ms", P, seconds)
        return
    yield row("Brian2", name, alike, ours(case, stop, state, **same), found, seconds)
    yield row("Brian2", name, "exponential Euler, 0.025 ms", ours(case, stop), found, seconds)
    if model_of(case.model()).circuit.transmitters:
        yield extrapolated(name, case, state)
        return
    small, seconds = timed(lambda: in_brian2(case, stop, state, "rk4", 0.01))
    yield row("Brian2", name, "Runge-Kutta, 0.01 ms", ours(case, stop), small, seconds)


def extrapolated(name: str, case: Case, state: Any) -> dict[str, Any]:
    """A row of spike times t(0), from those of a scheme of first order at a step h and at half of it: 2 t(h/2) - t(h)."""
    (coarse, _), (fine, seconds) = (
        timed(lambda dt=dt: in_brian2(case, SECOND, state, "exponential_euler", dt)) for dt in (0.001, 0.0005)
    )
    n, worst = 0, 0.0
    for cell, V in ours(case, SECOND)[1].items():
        expected, a, b = (
            spikes(t, x) for t, x in ((fine[0], np.asarray(V)), (coarse[0], coarse[1][cell]), (fine[0], fine[1][cell]))
        )
        n += len(expected)
        same = len(expected) == len(a) == len(b)
        worst = max(worst, np.abs(2 * b - a - expected).max(initial=0.0) if same else np.inf)
    method = "exponential Euler, extrapolated from 0.001 and 0.0005 ms"
    return dict(zip(COLUMNS, ("Brian2", name, method, n, worst, np.nan, seconds), strict=True))


def main(simulator: str, *names: str) -> None:
    """Compute the rows of a simulator, each model in a process of its own, and put them into the table."""
    rows = {"brian2": brian2_rows, "neuron": neuron_rows, "neuroml": neuroml_rows}[simulator]
    if names:
        pd.DataFrame(list(rows(names[0]))).to_csv(names[1], index=False)
        return
    parts = []
    for name in (*CASES, "pacemakers"):
        part = folder("rows.csv")
        subprocess.run([sys.executable, __file__, simulator, name, str(part)], check=True)
        parts.append(pd.read_csv(part))
        print(parts[-1].to_string(header=False), flush=True)
    new = pd.concat(parts)
    old = pd.read_csv(TABLE) if TABLE.exists() else new[:0]
    both = pd.concat([old[~old.simulator.isin(new.simulator)], new]).sort_values("simulator", kind="stable")
    both.to_csv(TABLE, index=False, float_format="%.3g")


if __name__ == "__main__":
    main(*sys.argv[1:])
