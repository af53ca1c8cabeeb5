"""How the sample of cells that comes with the package was made: pyloric_simulator/data/sample_cells_*.parquet.

python tools/cells_sample.py FOLDER runs 20,480 cells of the database of 2003 from two starts into the folder (some four
minutes of a core; it goes on where it was stopped), and writes FOLDER/sample_cells_cold.parquet and the same for the
other start. With --variants it runs the first 2,048 of them with other rules and schemes, and writes FOLDER/variants.csv.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from pyloric_simulator.ensembles import batches, cells

CELLS, SEED = 20_480, 2003
OF_VARIANTS = 2048
DIGITS = 12  # of the mantissa of a number that is kept, 0.01%; the rest is zeros, which compress
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "exponential Euler, 0.025 ms": {"solver": "exponential_euler", "dt": 0.025},
    "exponential Euler, 0.05 ms": {"solver": "exponential_euler", "dt": 0.05},
    "periods equal to 5%": {"TOLERANCE": 0.05},
    "six periods": {"PERIODS": 6},
    "up to 60 s": {"limit": 60_000.0},
    "double precision": {"dtype": "float64"},
}  # constants of the module in capitals, and arguments of `run`


def short(x: pd.Series) -> pd.Series:
    """Numbers with fewer digits, single ones for whole numbers that are small."""
    if x.dtype.kind in "iu":
        return x.astype(np.uint8 if x.name == "maxima" and x.max() < 256 else np.uint16)
    if x.dtype.kind != "f":
        return x.astype("category")
    bits = x.to_numpy(np.float32).view(np.uint32)
    return pd.Series((bits + (1 << 22 - DIGITS) & ~np.uint32((1 << 23 - DIGITS) - 1)).view(np.float32), x.index)


def pack(folder: Path, start: str) -> None:
    """One file of the rows of a run, without the densities, which follow from the numbers."""
    rows = batches.load(folder / start)[list(cells.RESULTS)].apply(short)
    facts = batches.facts_of(folder / start)
    batches.write_part(folder, 0, rows, facts, facts["fingerprint"])
    batches.part(folder, 0).rename(folder / f"sample_cells_{start}.parquet")


def variant(folder: Path, name: str, changes: dict[str, Any]) -> pd.DataFrame:
    """Rows of the cells with other rules."""
    usual = {key: getattr(cells, key) for key in changes if key.isupper()}
    for key in usual:
        setattr(cells, key, changes[key])
    jax.clear_caches()  # compiled programs hold the rules
    options = {key: value for key, value in changes.items() if key not in usual}
    path = folder / "variants" / name.replace(" ", "_").replace("%", "")
    cells.fill(cells.sample(OF_VARIANTS, SEED), path, progress=False, **options)
    for key, value in usual.items():
        setattr(cells, key, value)
    return batches.load(path)


def variants(folder: Path) -> None:
    """Shares of all activities with other rules, and how many cells change their family."""
    lines, first = [], None
    for name, changes in VARIANTS.items():
        rows = variant(folder, name, changes)
        first = rows if first is None else first
        changed = rows["activity"].map(cells.FAMILIES) != first["activity"].map(cells.FAMILIES)
        found = cells.summary(rows)
        lines.append({"variant": name, **found.activities["count"], "families changed": int(changed.sum())})
        print(lines[-1], flush=True)
    pd.DataFrame(lines).to_csv(folder / "variants.csv", index=False)


def main(folder: Path, what: str = "") -> None:
    """Run all, and write the files."""
    folder.mkdir(parents=True, exist_ok=True)
    if what == "--variants":
        variants(folder)
        return
    for start in cells.STARTS if not what else (what,):
        cells.fill(cells.sample(CELLS, SEED), folder / start, start=start)
        pack(folder, start)
        print(start, cells.summary(folder / start).families, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
