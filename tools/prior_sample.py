"""How pyloric_simulator/data/prior_*.parquet and prior_shares.csv were made: draws from the prior under a setting.

python tools/prior_sample.py FOLDER runs 30,000 draws with the scheme and step of Deistler et al. (2022) and 100,000
with the staggered scheme at 0.05 ms into FOLDER, from which a run that was stopped goes on; --theirs N and --ours N
ask for other numbers, a multiple of 1,024. Each is about 10 hours of one core. Draws come in runs of 1,024, so that
a sample can be enlarged; --tables only writes the tables of what is done, FOLDER/prior_theirs.parquet and
FOLDER/prior_ours.parquet, the rows with all eighteen statistics, and FOLDER/prior_shares.csv.
"""

import argparse
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import pyloric_simulator
from pyloric_simulator.database import interval
from pyloric_simulator.ensembles import batches
from pyloric_simulator.fitting.inference import ENERGIES, STATISTICS, Setting, prior, setting, simulator

THEIRS = setting("deistler2022")
OURS = THEIRS._replace(solver="staggered", dt=0.05)
CHUNK, SEED = 1024, 2022


def run(folder: Path, name: str, s: Setting, n: int) -> None:
    """The first n draws of the prior, in runs of `CHUNK`; run i has the seed `SEED` + i."""
    theta = prior().sample(n, SEED)
    for i in range(-(-n // CHUNK)):
        where = folder / name / f"{i:04d}"
        simulator(theta[i * CHUNK : (i + 1) * CHUNK], SEED + i, where, setting=s)


def done(folder: Path, name: str) -> pd.DataFrame:
    """All rows that are done, with their number in the sample as the index and the seed of their run."""
    parts = []
    for where in sorted((folder / name).iterdir()):
        rows = batches.load(where)
        i = int(where.name)
        rows.index = pd.RangeIndex(i * CHUNK, i * CHUNK + len(rows), name="draw") if len(rows) == CHUNK else rows.index + i * CHUNK
        parts.append(rows.assign(seed=SEED + i))
    return pd.concat(parts)


def tables(folder: Path) -> pd.DataFrame:
    """Write the rows with all statistics, and the shares; returns the latter."""
    shares = []
    for name, s in (("theirs", THEIRS), ("ours", OURS)):
        if not (folder / name).is_dir():
            continue
        rows = done(folder, name)
        valid = rows[np.isfinite(rows[list(STATISTICS)]).all(axis=1)]
        valid.to_parquet(folder / f"prior_{name}.parquet", compression="zstd")
        low, high = interval(len(valid), len(rows))
        shares.append(
            {"setting": name, "solver": s.solver, "dt": s.dt, "draws": len(rows), "valid": len(valid),
             "share": len(valid) / len(rows), "low": low, "high": high, "seed": SEED,
             "pyloric_simulator": pyloric_simulator.__version__, "jax": jax.__version__, "numpy": np.__version__}
        )  # fmt: skip
    table = pd.DataFrame(shares)
    table.to_csv(folder / "prior_shares.csv", index=False)
    return table


def main() -> None:
    """Run what is asked for, and write the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--theirs", type=int, default=30 * CHUNK)
    asked.add_argument("--ours", type=int, default=98 * CHUNK)
    asked.add_argument("--tables", action="store_true")
    given = asked.parse_args()
    if not given.tables:
        run(given.folder, "theirs", THEIRS, given.theirs)
        run(given.folder, "ours", OURS, given.ours)
    print(tables(given.folder).to_string())


if __name__ == "__main__":
    main()
