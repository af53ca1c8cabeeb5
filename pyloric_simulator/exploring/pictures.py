"""The figures of the explorer, in Bokeh, made once and fed with new data; a figure gets no more points than it draws.

Mechanics of `explorer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, CrosshairTool, HoverTool, Range1d, Span
from bokeh.plotting import figure

from ..plotting import LEAST_SHARE, colours_of, colours_of_cells, decimated, shares_of
from ..rhythm import CRITERIA, FEATURES, ROLES

PASS, FAIL, OTHER = (
    "#2e8b57",
    "#c0392b",
    "#888888",
)  # criteria that pass, that fail, those of the set-up or recording beside
POINTS = 2400  # of a trace
SHARES = 300  # columns of a currentscape


def plain(title: str, height: int, **look: Any) -> Any:
    """A figure as wide as its place."""
    shown = figure(
        title=title, height=height, sizing_mode="stretch_width", tools=look.pop("tools", ""), output_backend="canvas",
        toolbar_location=look.pop("toolbar_location", None), **look,
    )  # fmt: skip
    shown.xaxis.axis_label_text_font_size = shown.yaxis.axis_label_text_font_size = "9pt"
    shown.title.text_font_size, shown.toolbar.logo = "10pt", None
    return shown


class Traces:
    """Panels of the potential of each cell, with a common time axis and one cursor through all of them."""

    def __init__(
        self, names: Sequence[str], colours: Sequence[str], cursor: Span, shared: Range1d, height: int = 420
    ) -> None:
        self.lines, self.behind, self.figures = [], [], []
        each = max(100, height // max(len(names), 1))
        for i, (name, colour) in enumerate(zip(names, colours, strict=True)):
            shown = plain(name, each + (35 if i == len(names) - 1 else 0), x_range=shared, y_range=Range1d(-85, 60),
                          tools="xpan,xwheel_zoom,box_zoom,reset,save", toolbar_location="right")  # fmt: skip
            self.behind.append(ColumnDataSource({"t": [], "V": []}))
            self.lines.append(ColumnDataSource({"t": [], "V": []}))
            shown.line("t", "V", source=self.behind[-1], color=OTHER, line_width=1, alpha=0.6)
            line = shown.line("t", "V", source=self.lines[-1], color=colour, line_width=1.1)
            shown.add_tools(CrosshairTool(overlay=[cursor, Span(dimension="width", line_color=OTHER, line_width=1)]))
            shown.add_tools(
                HoverTool(
                    renderers=[line],
                    tooltips=[("t", "@t{0.0} ms"), ("V", "@V{0.0} mV")],
                    mode="vline",
                    line_policy="nearest",
                )
            )
            shown.yaxis.axis_label = "V (mV)"
            shown.xaxis.visible = i == len(names) - 1
            self.figures.append(shown)
        if self.figures:
            self.figures[-1].xaxis.axis_label = "time (ms)"

    def show(self, t: np.ndarray, V: np.ndarray) -> None:
        """Draw potentials V (time, cell) mV at times t (ms)."""
        for source, x in zip(self.lines, V.T, strict=True):
            at, value = decimated(t, x, POINTS)
            source.data = {"t": at.astype(np.float32), "V": value.astype(np.float32)}

    def show_behind(self, traces: Sequence[tuple[np.ndarray, np.ndarray] | None]) -> None:
        """Draw the traces of a recording behind the cells; None for a cell without."""
        for source, trace in zip(self.behind, traces, strict=True):
            at, value = decimated(*trace, POINTS) if trace is not None else (np.zeros(0), np.zeros(0))
            source.data = {"t": at.astype(np.float32), "V": value.astype(np.float32)}


def cursor_of() -> Span:
    """The time cursor that all panels share."""
    return Span(dimension="height", line_color=OTHER, line_dash="dashed", line_width=1)


class Criteria:
    """The fifteen features on the scale of the lobsters' standard deviations: those of a set-up, and others beside."""

    def __init__(self) -> None:
        rows = list(reversed(FEATURES))
        self.figure = plain("", 340, y_range=rows, x_range=Range1d(-6, 6))
        ends = [((c.low - c.mean) / c.sd, (c.high - c.mean) / c.sd) for c in CRITERIA]
        self.figure.hbar(
            y=list(FEATURES),
            left=[a for a, _ in ends],
            right=[b for _, b in ends],
            height=0.5,
            color="#9ecae1",
            alpha=0.5,
        )
        self.beside, self.dots = (ColumnDataSource({"x": [], "y": [], "c": [], "value": []}) for _ in range(2))
        self.figure.scatter("x", "y", source=self.beside, marker="diamond", size=9, color="c", alpha=0.8)
        dots = self.figure.scatter("x", "y", source=self.dots, size=9, color="c", line_color="white")
        self.figure.add_tools(HoverTool(renderers=[dots], tooltips=[("", "@y"), ("", "@value")]))
        self.figure.xaxis.axis_label = "distance from the lobsters' mean (s.d.)"

    def show(self, table: pd.DataFrame | None, beside: pd.DataFrame | None = None) -> None:
        """Draw what `rhythm.report` gave; None clears. Values off the axis stand at its end."""
        self.dots.data = marks(table, None)
        self.beside.data = marks(beside, OTHER)


def marks(table: pd.DataFrame | None, color: str | None) -> dict[str, list[Any]]:
    """Places, colours and words of features that have a value."""
    found: dict[str, list[Any]] = {"x": [], "y": [], "c": [], "value": []}
    if table is None:
        return found
    for c, value, good in zip(CRITERIA, table["value"], table["passes"], strict=True):
        if np.isfinite(value):
            unit = "" if c.unit == "1" else f" {c.unit}"
            row = (
                float(np.clip((value - c.mean) / c.sd, -5.9, 5.9)),
                c.name,
                color or (PASS if good else FAIL),
                f"{value:.4g}{unit}",
            )
            for key, x in zip(found, row, strict=True):
                found[key].append(x)
    return found


class Phases:
    """Bursts in the pacemaker's cycle: bars of a set-up, thin ones of what is beside it, and the lobsters' starts."""

    def __init__(self) -> None:
        self.figure = plain("", 150, y_range=list(reversed(ROLES)), x_range=Range1d(0, 1.3))
        self.bars, self.beside = (ColumnDataSource({"y": [], "left": [], "right": [], "c": []}) for _ in range(2))
        self.figure.hbar("y", left="left", right="right", height=0.6, source=self.bars, color="c", alpha=0.8)
        self.figure.hbar("y", left="left", right="right", height=0.2, source=self.beside, color=OTHER)
        starts = {c.name: c for c in CRITERIA if c.name.startswith("phase_") and c.name.endswith("start")}
        at = [("LP", starts["phase_LPstart"]), ("PY", starts["phase_PYstart"])]
        self.figure.segment(
            [c.mean - c.sd for _, c in at],
            [x for x, _ in at],
            [c.mean + c.sd for _, c in at],
            [x for x, _ in at],
            color=FAIL,
            line_width=2,
        )
        self.figure.scatter([c.mean for _, c in at], [x for x, _ in at], color=FAIL, size=7)
        self.figure.xaxis.axis_label = "phase in the pacemaker's cycle"

    def show(self, table: pd.DataFrame | None, beside: pd.DataFrame | None = None) -> None:
        """Draw what `rhythm.report` gave; None clears."""
        self.bars.data, self.beside.data = bars(table), bars(beside)


def bars(table: pd.DataFrame | None) -> dict[str, list[Any]]:
    """Where each burst is in the cycle, and the colour of its cell."""
    found: dict[str, list[Any]] = {"y": [], "left": [], "right": [], "c": []}
    if table is None:
        return found
    value, colour = table["value"], dict(zip(ROLES, colours_of_cells(ROLES), strict=True))
    for role, start in (("PD", 0.0), ("LP", value["phase_LPstart"]), ("PY", value["phase_PYstart"])):
        end = start + value[f"duty_cycle_{role}"]
        if np.isfinite(end):
            for key, x in zip(found, (role, float(start), float(end), colour[role]), strict=True):
                found[key].append(x)
    return found


class Currentscape:
    """Shares of the currents of a cell over time, outward above and inward below, with the logarithm of their sums."""

    def __init__(self, shared: Range1d, cursor: Span) -> None:
        self.shared, self.cursor = shared, cursor

    def figures(self, t: np.ndarray, I: np.ndarray, names: Sequence[str]) -> list[Any]:
        """The panels for currents I (time, current) nA, outward positive, at times t (ms)."""
        block = max(1, len(I) // SHARES)
        outward, inward, totals = shares_of(I, block)
        at = t[: len(totals) * block].reshape(-1, block).mean(1)
        data = {"t": at, "out": np.maximum(totals[:, 0], 1e-3), "in": np.maximum(totals[:, 1], 1e-3)}
        made = []
        for key, title in (("out", "sum of outward currents (nA)"), ("in", "sum of inward currents (nA)")):
            shown = plain(title, 100, x_range=self.shared, y_axis_type="log", tools="xwheel_zoom,xpan,reset")
            shown.line("t", key, source=ColumnDataSource(data), color=OTHER)
            shown.yaxis.axis_label = "nA"
            made.append(shown)
        made[1].xaxis.axis_label = "time (ms)"
        areas = [
            self.area(at, x, names, title) for x, title in ((outward, "share of outward"), (inward, "share of inward"))
        ]
        found = [made[0], areas[0], areas[1], made[1]]
        for shown in found:
            shown.add_tools(CrosshairTool(overlay=[self.cursor, Span(dimension="width", line_alpha=0)]))
        return found

    def area(self, at: np.ndarray, share: np.ndarray, names: Sequence[str], title: str) -> Any:
        """One panel of stacked shares."""
        shown = plain(title, 150, x_range=self.shared, y_range=Range1d(0, 1), tools="xwheel_zoom,xpan,reset")
        shown.yaxis.axis_label = "share"
        kept = [i for i in range(share.shape[1]) if share[:, i].max() > LEAST_SHARE]
        below, colours = np.zeros(len(at)), colours_of(names)
        for i in kept:
            shown.varea(x=at, y1=below, y2=below + share[:, i], color=colours[names[i]], legend_label=names[i])
            below = below + share[:, i]
        if kept:
            shown.add_layout(shown.legend[0], "right")
            shown.legend.label_text_font_size, shown.legend.padding, shown.legend.spacing = "8pt", 2, -2
            shown.legend.glyph_width = 12
        return shown


def lines(t: np.ndarray, traces: dict[str, np.ndarray], label: str, shared: Range1d, height: int = 200) -> Any:
    """A panel with a line for each name."""
    shown = plain("", height, x_range=shared, tools="xwheel_zoom,xpan,reset")
    colours = colours_of([name.split(" ")[-1] for name in traces])  # "m Na" has the colour of Na
    for name, x in traces.items():
        at, value = decimated(t, np.asarray(x), 1200)
        color = colours[name.split(" ")[-1]]
        dash = "dashed" if name.startswith("h ") else "solid"
        shown.line(at, value, color=color, line_dash=dash, legend_label=name)
    shown.xaxis.axis_label, shown.yaxis.axis_label = "time (ms)", label
    if traces:
        shown.add_layout(shown.legend[0], "right")
        shown.legend.label_text_font_size, shown.legend.padding, shown.legend.spacing = "8pt", 2, -2
    return shown


def plane(x: np.ndarray, y: np.ndarray, x_label: str, y_label: str, colour: str) -> Any:
    """A trajectory of two variables."""
    shown = plain("", 320, tools="pan,wheel_zoom,box_zoom,reset", toolbar_location="above")
    shown.line(x, y, color=colour, line_width=0.8)
    shown.xaxis.axis_label, shown.yaxis.axis_label = x_label, y_label
    return shown


def heat(table: pd.DataFrame) -> Any:
    """Elasticities: rows are parameters, columns features; red grows, blue shrinks."""
    from bokeh.palettes import RdBu11
    from bokeh.transform import linear_cmap

    features = list(map(str, table.index))
    most = float(np.nanquantile(np.abs(table.to_numpy(float)), 0.95)) or 1.0
    cells = [(f, p, float(v)) for p in table for f, v in zip(features, table[p], strict=True) if np.isfinite(v)]
    data = ColumnDataSource({"f": [c[0] for c in cells], "p": [c[1] for c in cells], "v": [c[2] for c in cells]})
    shown = plain("", 90 + 15 * table.shape[1], x_range=features, y_range=list(reversed(list(table))))
    shown.rect("f", "p", 1, 1, source=data, color=linear_cmap("v", RdBu11, -most, most))
    shown.add_tools(HoverTool(tooltips=[("", "@p → @f"), ("elasticity", "@v{0.000}")]))
    shown.xaxis.major_label_orientation = 1.0
    shown.xaxis.major_label_text_font_size = shown.yaxis.major_label_text_font_size = "8pt"
    return shown
