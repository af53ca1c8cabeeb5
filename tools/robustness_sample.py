"""How the two tables of robustness in pyloric_simulator/data were made.

python tools/robustness_sample.py FOLDER
    robustness.csv, areas of 100 pyloric circuits of the sample: 20,000 circuits, five minutes on two cores.
python tools/robustness_sample.py FOLDER curves BLOCKS
    robustness_curves.csv, ten circuits with BLOCKS times 100 draws: 20,000 circuits a block, and 3,000 once; two minutes a block.

Either goes on where it was stopped and writes its table into the folder.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pyloric_simulator import database
from pyloric_simulator.config import sample_file
from pyloric_simulator.database import MEMBRANE, POPULATIONS, SYNAPSES
from pyloric_simulator.lab.robustness import margins, perturbed
from pyloric_simulator.prinz2004 import neuron_models
from pyloric_simulator.rhythm import CRITERIA, MAX_PERIOD_CV

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


def hundred(folder: Path) -> None:
    """Run the hundred circuits, and write their table."""
    pyloric = database.load(sample_file("staggered")).query("pyloric")
    chosen = pyloric.iloc[np.sort(np.random.default_rng(2025).permutation(len(pyloric))[:CIRCUITS])]
    rows = rows_of(chosen)
    database.fill(rows.reset_index(drop=True), folder / "runs")
    found = database.load(folder / "runs")
    found.index = rows.index
    table = pd.concat([areas(found, rule) for rule in ("pyloric", "pyloric_like")], axis=1)
    table.round(3).to_csv(folder / "robustness.csv")


# Ten circuits with many draws. All pyloric circuits of the sample are put in the order of how far inside of the region
# they lie, and the middle one of each tenth is taken. A block is so many draws of each circuit, kind and δ.

DEEP = 10  # circuits
BLOCK = {"whole": 100, "cell": 10}  # draws
AMONG = {"whole": 10, "cell": 5}  # circuits, from the edge on
PRESYNAPTIC = {"AB/PD": ("AB-", "PD-"), "LP": ("LP-",), "PY": ("PY-",)}
WHOLE = {"intrinsic": MEMBRANE, "synaptic": SYNAPSES}
OF_A_CELL = {f"intrinsic {p}": tuple(n for n in MEMBRANE if n.startswith(f"{p} ")) for p in POPULATIONS} | {
    f"synaptic {p}": tuple(n for n in SYNAPSES if n.startswith(PRESYNAPTIC[p])) for p in POPULATIONS
}
SCOPES = {"whole": WHOLE, "cell": OF_A_CELL}


def ten_circuits() -> pd.DataFrame:
    """The middle circuits of the ten tenths by margin, from the edge of the region inwards; with a column margin."""
    pyloric = database.load(sample_file("staggered")).query("pyloric")
    ordered = pyloric.assign(margin=margins(pyloric)).sort_values("margin", kind="stable")
    return ordered.iloc[[round((i + 0.5) * len(ordered) / DEEP) for i in range(DEEP)]]


def block_of(scope: str, block: int) -> pd.DataFrame:
    """The perturbed circuits of one block; index (circuit, kind, δ)."""
    parts = {}
    for i, (number, row) in enumerate(ten_circuits().head(AMONG[scope]).iterrows()):
        base = values_of(row)
        for j, (kind, names) in enumerate(SCOPES[scope].items()):
            varied = {name: base[name] for name in names}
            drawn = perturbed(varied, DELTAS.round(1).tolist(), BLOCK[scope], 1000 * block + 10 * i + j)
            kept = pd.DataFrame(base, drawn.index).assign(**drawn)[list(base)]
            parts[number, kind] = kept.droplevel("draw")
    return pd.concat(parts, names=["circuit", "kind"])


RULES = ("pyloric", "pyloric_like", "AB/PD", "LP", "PY")


def properties(found: pd.DataFrame) -> pd.DataFrame:
    """The rules, and for each cell whether those criteria are met that speak of no other but it and the pacemaker."""
    for cell, role in zip(POPULATIONS, ("PD", "LP", "PY"), strict=True):
        own = [c for c in CRITERIA if set(c.cells) <= {"PD", role} and (role in c.cells)]
        met = np.all([found[c.name].between(c.low, c.high) for c in own], axis=0)
        found[cell] = met & (found["period_cv"] <= MAX_PERIOD_CV)
    return found


def counted(found: pd.DataFrame) -> pd.DataFrame:
    """How many of the draws have which property; index (circuit, kind, δ)."""
    groups = found.assign(of=1)[["of", *RULES]].groupby(level=["circuit", "kind", "δ"], sort=False)
    return groups.sum().astype(int)


def run_block(folder: Path, scope: str, block: int) -> pd.DataFrame:
    """The counts of one block, run or from the folder."""
    rows, path = block_of(scope, block), folder / f"{scope}_{block}"
    database.fill(rows.reset_index(drop=True), path, batch_size=256, progress=False)
    found = database.load(path)
    found.index = rows.index
    return counted(properties(found))


def curves(folder: Path, blocks: int) -> None:
    """Run so many blocks of whole circuits and one of single cells, and write the table after each."""
    jobs, margin = [("whole", block) for block in range(blocks)], ten_circuits()["margin"].round(3)
    jobs.insert(1, ("cell", 0))
    parts = []
    for scope, block in jobs:
        parts.append(run_block(folder, scope, block))
        table = pd.concat(parts).groupby(level=["circuit", "kind", "δ"], sort=False).sum().reset_index()
        table.insert(1, "margin", table["circuit"].map(margin))
        table.to_csv(folder / "robustness_curves.csv", index=False)
        print(scope, block, flush=True)


if __name__ == "__main__":
    if sys.argv[2:3] == ["curves"]:
        curves(Path(sys.argv[1]), int(sys.argv[3]))
    else:
        hundred(Path(sys.argv[1]))
