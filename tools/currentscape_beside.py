"""The currentscape of a burster of Alonso & Marder (2019) beside that of the public package `currentscape`, from the same arrays.

Needs `pip install currentscape`. Writes book/images/currentscape_beside.png, and prints by how much the shares of both differ.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import holoviews as hv
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from pyloric_simulator import Cell, Liu1998
from pyloric_simulator.models.channels import Calcium
from pyloric_simulator.plotting import currentscape, flowing, shares

IMAGE = Path(__file__).resolve().parent.parent / "book" / "images" / "currentscape_beside.png"
CELL_A = {
    "Na": 1076.392,
    "CaT": 6.4056,
    "CaS": 10.048,
    "A": 8.0384,
    "KCa": 17.584,
    "Kd": 124.0928,
    "H": 0.11304,
    "leak": 0.17584,
}  # µS
CALCIUM = Calcium(0.94, 653.5)


def run_of_cell_A() -> Any:
    """Two and a half seconds, after 18."""
    channels = {name: getattr(Liu1998, name)._replace(source="") for name in CELL_A}
    channels["Na"] = channels["Na"]._replace(E=30.0)
    cell = Cell([channels[name](uS=g) for name, g in CELL_A.items()], area=10e-3, calcium=CALCIUM, V=-51)
    return cell(np.arange(18000, 20500, 0.25))


def theirs(run: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """Shares (current, time) of the public package, and its figure."""
    from currentscape.config_parser import set_default_config
    from currentscape.currents import Currents
    from currentscape.currentscape import plot_currentscape

    cell = run.model.cells[0]
    current = flowing(run, cell)
    wanted = {
        "current": {"names": list(current), "reorder": False, "units": "[nA]"},
        "figsize": [6, 7],
        "show": {"total_contribution": False},
    }
    arrays, t = current.to_numpy().T, run.t - run.t[0]
    found = Currents(arrays, set_default_config(wanted), t)
    return found.pos_norm.data, -found.neg_norm.data, plot_currentscape(run.V[cell].to_numpy(), arrays, wanted, time=t)


def pixels(figure: Any) -> np.ndarray:
    """A figure of Matplotlib, (row, column, 4)."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100, bbox_inches="tight")
    file.seek(0)
    return np.asarray(plt.imread(file))


def main() -> None:
    """Compare, and draw both beside each other."""
    mpl.use("agg")
    hv.extension("matplotlib")
    run = run_of_cell_A()
    ours, image = shares(run)[:2], pixels(hv.render(currentscape(run), backend="matplotlib"))
    out, into, figure = theirs(run)  # which changes the settings of Matplotlib
    kept = [table.to_numpy().T[table.to_numpy().max(0) > 0] for table in ours]
    print(f"shares differ by {max(np.abs(a - b).max() for a, b in zip(kept, (out, into), strict=True)):.1e} at most")
    shown, axes = plt.subplots(1, 2, figsize=(13.6, 8), layout="constrained")
    for axis, part, title in zip(
        axes, (image, pixels(figure)), ("pyloric_simulator", "currentscape 1.0.27"), strict=True
    ):
        axis.imshow(part)
        axis.set_title(title)
        axis.axis("off")
    shown.savefig(IMAGE, dpi=100)


if __name__ == "__main__":
    main()
