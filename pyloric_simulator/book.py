"""Tables and drawings of the pages, made from the objects that the model computes with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .plotting import plain


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
