"""How pyloric_simulator/data/prior_*.parquet and prior_shares.csv were made: draws from the prior under a setting.

python tools/prior_sample.py FOLDER runs 30,720 draws with the scheme and step of Deistler et al. (2022) and 100,352
with the staggered scheme at 0.05 ms into FOLDER, from which a run that was stopped goes on; --theirs N and --ours N
ask for other numbers. They take 35 and 55 minutes of a core that does nothing else. Draws come in runs of 1,024, so
that a sample can be enlarged. --tables only writes the tables of what is done: prior_theirs.parquet and
prior_ours.parquet, the rows with all eighteen statistics; prior_shares.csv; and prior_checks.csv with the published
numbers beside these.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import pyloric_simulator
from pyloric_simulator.database import interval
from pyloric_simulator.ensembles import batches
from pyloric_simulator.fitting.inference import ENERGIES, STATISTICS, Setting, prior, setting, simulator

THEIRS = setting("deistler2022")._replace(energy=True)
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
        rows, i = batches.load(where), int(where.name)
        rows.index = (
            pd.RangeIndex(i * CHUNK, i * CHUNK + len(rows), name="draw")
            if len(rows) == CHUNK
            else rows.index + i * CHUNK
        )
        parts.append(rows.assign(seed=SEED + i))
    return pd.concat([rows for rows in parts if "cycle_period" in rows])


def tables(folder: Path) -> pd.DataFrame:
    """Write the rows with all statistics, and the shares; returns the latter."""
    shares, checks = [], []
    for name, s in (("theirs", THEIRS), ("ours", OURS)):
        if not (folder / name).is_dir():
            continue
        rows = done(folder, name)
        valid = rows[np.isfinite(rows[list(STATISTICS)]).all(axis=1)]
        valid.to_parquet(folder / f"prior_{name}.parquet", compression="zstd")
        low, high = interval(len(valid), len(rows))
        checks += checks_of(name, valid, len(rows))
        shares.append(
            {"setting": name, "solver": s.solver, "dt": s.dt, "draws": len(rows), "valid": len(valid),
             "share": len(valid) / len(rows), "low": low, "high": high, "seed": SEED,
             "pyloric_simulator": pyloric_simulator.__version__, "jax": jax.__version__, "numpy": np.__version__}
        )  # fmt: skip
    table = pd.DataFrame(shares)
    table.to_csv(folder / "prior_shares.csv", index=False)
    pd.DataFrame(checks).to_csv(folder / "prior_checks.csv", index=False)
    return table


PUBLISHED = {
    "cycle_period": 1595.7, "burst_duration_PD": 409.3, "burst_duration_LP": 435.0, "burst_duration_PY": 367.9,
    "duty_cycle_PD": 0.2304, "duty_cycle_LP": 0.2766, "duty_cycle_PY": 0.2452, "phase_LPstart": 0.4409,
    "phase_PYstart": 0.6214, "delay_PDstart_LPstart": 724.0, "delay_LPstart_PYstart": 268.0,
    "gap_PDend_LPstart": 313.0, "gap_LPend_PYstart": -153.3, "phase_gap_PD_LP": 0.2225, "phase_gap_LP_PY": -0.0752,
}  # fmt: skip
SHARE, SYNAPTIC = 0.009731, 0.000782


def checks_of(name: str, valid: pd.DataFrame, n: int) -> list[dict[str, object]]:
    """Published numbers beside those of the valid rows among n draws, with intervals of 95%."""
    low, high = interval(len(valid), n)
    synaptic = valid[list(ENERGIES[3:])].sum(axis=1)
    numbers = {"energy of synapses, share": (SYNAPTIC, synaptic / (synaptic + valid[list(ENERGIES[:3])].sum(axis=1)))}
    numbers |= {feature: (value, valid[feature]) for feature, value in PUBLISHED.items()}
    found: list[dict[str, object]] = [
        {"setting": name, "number": "all statistics defined, share", "published": SHARE, "ours": len(valid) / n,
         "low": low, "high": high}
    ]  # fmt: skip
    for what, (published, x) in numbers.items():
        mean, half = x.mean(), 1.96 * x.sem()
        found.append({"setting": name, "number": what, "published": published, "ours": mean,
                      "low": mean - half, "high": mean + half})  # fmt: skip
    return [row | {"agrees": row["low"] <= row["published"] <= row["high"]} for row in found]  # type: ignore[operator]


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
