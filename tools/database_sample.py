"""How the counts in pyloric_simulator/data were made: counts_staggered.parquet and counts_exponential_euler.parquet.

python tools/database_sample.py FOLDER runs the first 200,000 circuits of the sample of the package with the default scheme, and the first
50,000 with the paper's, into folders of FOLDER (an hour on two cores that do nothing else; goes on where it was stopped), and writes the
counts of both into FOLDER. The first 20,480 rows of each are the sample that comes with the package.

A circuit starts from the states that its cells thermalize to. LP 4 and LP 5 are chaotic alone: wherever the last bit
of their runs is another, so is the state, and one circuit in a hundred is then judged otherwise. So the states are
written into FOLDER before the first circuit runs, and stand among the facts of the counts: with them any row can be
computed again.

python tools/database_sample.py FOLDER count runs nothing and counts what is there: of a run that was stopped the circuits up to the first
batch that is missing, of a run that was not begun the sample of the package. "circuits" among the facts of a file says how many it has.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pyloric_simulator import database
from pyloric_simulator.config import sample_file
from pyloric_simulator.ensembles.batches import FACTS

SEED = 2004
RUNS: dict[str, tuple[int, dict[str, Any]]] = {
    "staggered": (200_000, {}),
    "exponential_euler": (50_000, {"solver": "exponential_euler", "dt": 0.025}),
}


def so_far(path: Path, n: int) -> pd.DataFrame:
    """The rows of a run of n circuits of the sample, up to the first batch that is missing."""
    rows = database.load(path)
    wanted = database.sample(n, seed=SEED).index[: len(rows)]
    return rows[np.logical_and.accumulate(rows.index == wanted)]


def unlike(rows: pd.DataFrame, name: str) -> dict[str, int]:
    """Circuits that another machine, or another version, put into another class than the sample of the package."""
    shipped = database.load(sample_file(name), ["pyloric_like", "pyloric"])
    again = rows.reindex(shipped.index)
    return {str(x): int((again[x] != shipped[x]).sum()) for x in shipped}


def starts(folder: Path, name: str) -> dict[str, Any]:
    """The states that the cells of `neuron_models` start from, (cell, …) by field; kept in the folder from the first call on."""
    kept = folder / f"starts_{name}.json"
    if not kept.exists():
        work = database.planned(range(1), **RUNS[name][1])
        state = database.thermalized_cells(work.options)
        kept.write_text(json.dumps({field: np.asarray(x).tolist() for field, x in state._asdict().items()}))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def write_counts(path: Path, name: str, folder: Path) -> None:
    """The counts of a run, with its facts and the seed of its sample."""
    rows = so_far(path, RUNS[name][0])
    print(name, len(rows), "circuits; other classes among those of the package:", unlike(rows, name))
    table = pa.Table.from_pandas(database.packed(database.counts(rows)), preserve_index=False)
    run = {key: value for key, value in database.facts_of(path).items() if key != "checksum"}
    facts = json.dumps(
        run | {"format": 1, "circuits": len(rows), "seed": SEED, "starts": starts(folder, name)}, ensure_ascii=False
    )
    table = table.replace_schema_metadata({**table.schema.metadata, FACTS: facts.encode()})
    pq.write_table(table, folder / f"counts_{name}.parquet", compression="zstd")


def main(folder: Path, run: bool) -> None:
    """Run both, and write their counts."""
    for name, (n, options) in RUNS.items():
        if run:
            starts(folder, name)
            database.fill(database.sample(n, seed=SEED), folder / name, **options)
        write_counts(folder / name if (folder / name).exists() else sample_file(name), name, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), run=sys.argv[2:] != ["count"])
