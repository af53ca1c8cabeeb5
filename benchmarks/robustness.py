"""Do perturbed circuits of `robustness` take longer than the same rows of `database.run`? Prints a table.

python benchmarks/robustness.py [ROWS]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import process_time
from typing import Any

import pandas as pd
from turns import limit, median, table, take_turns

from pyloric_simulator import database, robustness
from pyloric_simulator.fitting.parameters import parameters
from pyloric_simulator.lab.robustness import chosen_names, perturbed

CIRCUIT, DELTA, TURNS = 5_248_112, 0.3, 3
RUN = {"duration": 12_000.0, "transient": 2_000.0, "progress": False}
ALLOWED = 1.0  # times the processor time of `database.run`


def perturbed_circuits(what: str, rows: int) -> Callable[[], Any]:
    """So many rows of `robustness`."""
    model = database.circuit(CIRCUIT)
    return lambda: robustness(model, what, deltas=[DELTA], draws=rows, **RUN)


def rows_of_database(what: str, rows: int) -> Callable[[], Any]:
    """The same circuits as a table of `database.run`: densities of their own for changes of cells, else named cells."""
    model = database.circuit(CIRCUIT)
    values = {name: parameters(model)[name] for name in chosen_names(model, what)}
    drawn = perturbed(values, [DELTA], rows).reset_index(drop=True)
    one = database.table([CIRCUIT]).iloc[0]
    base = pd.DataFrame([one] * rows).reset_index(drop=True)
    if what == "intrinsic":
        whole = {name: parameters(model)[name] for name in database.MEMBRANE}
        base = base[list(database.SYNAPSES)].astype(float).assign(**whole)
    circuits = base.assign(**drawn)
    return lambda: database.run(circuits, **RUN)


def main(rows: int) -> None:
    """Measure in turns, in one process, and print."""
    lines, ratios = [], []
    for what in ("intrinsic", "synaptic"):
        contestants = {"robustness": perturbed_circuits(what, rows), "database": rows_of_database(what, rows)}
        times = {name: median(x) for name, x in take_turns(contestants, TURNS, process_time).items()}
        ratios.append(times["robustness"] / times["database"])
        lines.append((what, *(f"{times[x]:.2f}" for x in contestants), f"{ratios[-1]:.2f}"))
    print(f"{rows} rows of {RUN['duration'] / 1000:g} s, seconds of processor time, medians of {TURNS} in turns\n")
    print(table("changes | `robustness` | `database.run` | ratio", lines))
    print(limit("perturbed circuits take no longer than rows of the database", max(ratios) <= ALLOWED))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024)
