"""What the pages need as notebooks: tables and drawings, made from the objects that the model computes with, and changes of the model."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .config import MEMORY_STORE, STORE_VARIABLE
from .engine.thermalization import open_store
from .plotting import plain

MODEL = "prinz2004"
BELOW = ("config", "engine", "files")  # what the model is built on, which takes nothing from it


def use_this_notebook() -> None:
    """From here on the package takes its model from this notebook, chapter 1 with cells that may have been changed.

    The notebook, which Python calls `__main__`, gets the name of the module. Parts of the package that were imported before it know another
    model: they are forgotten, so that the next import makes them anew. States on disk are those of the model of the file and are not used.
    Raises RuntimeError where the notebook has no `Prinz2004`.
    """
    notebook, package = sys.modules["__main__"], sys.modules[__package__]
    if not hasattr(notebook, "Prinz2004"):
        raise RuntimeError(f"this notebook does not define Prinz2004; run the cells of the chapter {MODEL} first")
    for name in [name for name in sys.modules if name.startswith(f"{__package__}.")]:
        if name.split(".")[__package__.count(".") + 1] not in BELOW:
            del sys.modules[name]
            vars(package).pop(name.rpartition(".")[2], None)
    for name in dir(package):  # public names that were used already
        vars(package).pop(name, None)
    sys.modules[f"{__package__}.{MODEL}"] = notebook
    setattr(package, MODEL, notebook)
    os.environ[STORE_VARIABLE] = MEMORY_STORE
    open_store.cache_clear()


def claim(holds: bool, text: str) -> None:
    """Warn that a statement of the text does not hold, since the model was changed. In the build of the Book a warning is an error."""
    if not holds:
        warnings.warn(f"The text says: {text}. For the model of this notebook that does not hold.", stacklevel=2)


def list_table(caption: str, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Any:
    """A numbered MyST table, for the last line of a cell with the tag remove-input."""
    from IPython.display import Markdown

    lines = ["* - " + "\n  - ".join(map(str, row)) for row in (header, *rows)]
    return Markdown(f":::{{list-table}} {caption}\n:name: {name}\n:header-rows: 1\n\n" + "\n".join(lines) + "\n:::")


def kinetics_table(channels: Sequence[Any], caption: str, name: str) -> Any:
    """Steady states and time constants of all gates as formulas."""
    rows = []
    for c in channels:
        for symbol, gate, power in (("m", c.m, c.p), ("h", c.h, 1)):
            if gate:
                calcium = f"\\dfrac{{[Ca]}}{{[Ca] + {gate.K:g}}}\\," if gate.K else ""
                rows.append(
                    (
                        c.name,
                        f"${symbol}^{power}$" if power > 1 else f"${symbol}$",
                        f"${calcium}{formula(gate.inf)}$",
                        f"${formula(gate.tau)}$",
                    )
                )
    return list_table(caption, name, ("channel", "gate", "$x_∞$", "$τ_x$ (ms)"), rows)


def formula(curve: Any) -> str:
    """A `Curve` in LaTeX."""
    first, second = (
        exponential(curve.a1, curve.k1),
        "1" if np.isinf(curve.k2) else exponential(curve.a2, curve.k2),
    )
    core = f"\\dfrac{{{abs(curve.c1):g}}}{{{first} + {second}}}"
    sign = "-" if curve.c1 < 0 else "+"
    sum_ = f"{curve.c0:g} {sign} {core}" if curve.c0 else core
    if not curve.λ:
        return sum_
    return f"{sum_}\\left({curve.κ:g} + \\dfrac{{{curve.λ:g}}}{{1 + {exponential(curve.a3, curve.k3)}}}\\right)"


def exponential(a: float, k: float) -> str:
    """e^((V + a)/k) in LaTeX."""
    over = f"(V {'+' if a >= 0 else '-'} {abs(a):g})/{abs(k):g}"
    return f"e^{{{over if k > 0 else '-' + over}}}"


def cell_panels(result: Any, columns: int = 4) -> Any:
    """A small panel of the potential of each cell."""
    import holoviews as hv

    look = dict(width=172, height=120, ylim=(-85, 55), yticks=[-80, -40, 0, 40], xticks=3, fontsize=7, line_width=0.7)
    traces = zip(result.model.labels, result.states.V.T, strict=True)
    panels = [
        hv.Curve((result.t / 1000, V), "time (s)", "V (mV)").opts(title=plain(label), **look) for label, V in traces
    ]
    return hv.Layout(panels).opts(toolbar=None).cols(columns)
