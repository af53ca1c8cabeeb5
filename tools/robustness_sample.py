"""How pyloric_simulator/data/robustness.csv was made: areas of robustness of 100 pyloric circuits of the sample.

python tools/robustness_sample.py FOLDER runs 20,000 circuits into the folder (five minutes on two cores that do nothing else, and goes on
where it was stopped), and writes FOLDER/robustness.csv.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pyloric_simulator import database
from pyloric_simulator.config import sample_file
from pyloric_simulator.database import MEMBRANE, POPULATIONS, SYNAPSES
from pyloric_simulator.prinz2004 import neuron_models

CIRCUITS, DRAWS, DELTAS = 100, 10, np.linspace(0, 1, 11)[1:]
KINDS = {"intrinsic": MEMBRANE, "synaptic": SYNAPSES}


def values_of(row: Any) -> dict[str, float]:
    """The 24 densities and seven strengths of a circuit of the database."""
    densities: dict[str, Any] = {p: neuron_models.loc[row[p]] for p in POPULATIONS}
    cells = {f"{p} {c}": float(densities[p][c]) for p in POPULATIONS for c in neuron_models}
    return cells | {name: float(row[name]) for name in SYNAPSES}


def rows_of(circuits: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """All perturbed circuits; index (circuit, kind, δ)."""
    uniform, rows, index = np.random.default_rng(seed).uniform, [], []
    for number, row in circuits.iterrows():
        base = values_of(row)
        for kind, names in KINDS.items():
            for δ in DELTAS:
                for factors in 1 + δ * uniform(-1, 1, (DRAWS, len(names))):
                    rows.append(base | {name: base[name] * f for name, f in zip(names, factors, strict=True)})
                    index.append((number, kind, round(float(δ), 1)))
    return pd.DataFrame(rows, pd.MultiIndex.from_tuples(index, names=["circuit", "kind", "δ"]))


def areas(found: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Area of each circuit and kind, by trapezoids from δ = 0, where all circuits have the property."""
    share = found.groupby(level=["circuit", "kind", "δ"])[rule].mean().unstack("δ")
    share.insert(0, 0.0, 1.0)
    ends = (share.iloc[:, 0] + share.iloc[:, -1]) / 2
    return ((share.iloc[:, 1:-1].sum(axis=1) + ends) / (share.shape[1] - 1)).unstack("kind").add_prefix(f"{rule} ")


def main(folder: Path) -> None:
    """Run all, and write the table."""
    pyloric = database.load(sample_file("staggered")).query("pyloric")
    chosen = pyloric.iloc[np.sort(np.random.default_rng(2025).permutation(len(pyloric))[:CIRCUITS])]
    rows = rows_of(chosen)
    database.fill(rows.reset_index(drop=True), folder / "runs")
    found = database.load(folder / "runs")
    found.index = rows.index
    table = pd.concat([areas(found, rule) for rule in ("pyloric", "pyloric_like")], axis=1)
    table.round(3).to_csv(folder / "robustness.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
