"""Pictures in one call, of runs, rhythms, circuits and tables (HoloViews; load a backend with hv.extension).

Each function returns an object of HoloViews that is ready for Bokeh and for Matplotlib, whichever is loaded. Options have the names that
Bokeh gives them; `styled` says them to each backend in its own words. A channel has one colour in all pictures, and so has a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, cycle
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd

from .engine import checks
from .engine.detection import STANDARD, Detection
from .files.recording import Window
from .rhythm import CRITERIA, FEATURES, ROLES, begun_bursts, features, recorded

__all__ = [
    "PrincipalComponents",
    "activation_curves",
    "circuit_diagram",
    "colour_of_cell",
    "colours_of",
    "colours_of_cells",
    "component_chart",
    "correlation_map",
    "correlations",
    "crash_curve",
    "criteria_chart",
    "currentscape",
    "dimensional_stacking",
    "dominant_currents",
    "f_I",
    "gates",
    "heat_map",
    "histograms",
    "phase_diagram",
    "phase_plane",
    "principal_components",
    "raster",
    "robustness_curve",
    "shares",
    "shares_of",
    "stacked",
    "traces",
]

# ---------------------------------------------------------------- one look

WIDTH = 680  # pixels, of a page
LOOK = {"width": WIDTH, "toolbar": None}
FRAME = 500  # pixels, of panels that stand above each other and of which some have a legend
DOTS_PER_INCH = 100.0
POINT = 72 / DOTS_PER_INCH  # of a pixel

CURRENTS = {
    "Na": "#d4443e", "CaT": "#f0a030", "CaS": "#f5d76e", "H": "#8c5a9e", "MI": "#e377c2", "leak": "#9a9a9a", "Kd": "#2b5ca8",
    "K": "#2b5ca8", "KCa": "#5ab4c5", "A": "#7fbf6a", "synaptic": "#4d4d4d", "electrical": "#c9b18f",
}  # fmt: skip
OTHERS = ("#1b7837", "#762a83", "#b35806", "#01665e", "#c51b7d", "#4d9221")  # of channels of one's own
CELLS = {
    "AB/PD": "#3a78c8",
    "AB": "#6a5acd",
    "PD": "#3a78c8",
    "LP": "#c05020",
    "PY": "#7a9a3a",
}  # seen on white and on black
OWN_CELLS = ("#9a55c0", "#16868f", "#c2388a", "#a87718", "#8a6a50", "#6f7885")  # of cells of one's own
PALE, DARK = "#c6dbef", "#333333"
TRANSMITTERS = {"glutamate": "#3060a8", "acetylcholine": "#c05020"}


def colours_by_name(names: Sequence[str], known: Mapping[str, str], palette: Sequence[str]) -> dict[str, str]:
    """A colour for each name: its own where it is known, else that to which its letters lead, or the next one that is free."""
    found = {name: known[name] for name in names if name in known}
    for name in names:
        first = crc32(name.encode()) % len(palette)
        turn = (*palette[first:], *palette[:first])
        found.setdefault(name, next((x for x in turn if x not in found.values()), turn[0]))
    return found


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each channel, in all pictures the same; channels of one's own have theirs by their names."""
    return colours_by_name(names, CURRENTS, OTHERS)


def colours_of_cells(cells: Sequence[Any]) -> list[str]:
    """The colour of each cell, given as a label or as (label, number): cells of a label have one, and so have those of a type.

    A label such as "LP 4" has the colour of LP; labels of one's own have theirs by their letters.
    """
    labels = [str(cell[0] if isinstance(cell, tuple) else cell) for cell in cells]
    types = [next((x for x in (label, label.split(" ")[0]) if x in CELLS), label) for label in labels]
    found = colours_by_name(types, CELLS, OWN_CELLS)
    return [found[x] for x in types]


def colour_of_cell(cell: Any) -> str:
    """The colour of a cell that is drawn alone, as of `colours_of_cells`."""
    return colours_of_cells([cell])[0]


def unframed(plot: Any, _: Any) -> None:
    """Let panels of Matplotlib fill their places, so that times stand above each other."""
    for name in ("set_box_aspect", "set_aspect"):
        getattr(plot.handles["axis"], name)(None if name == "set_box_aspect" else "auto")


def for_matplotlib(look: Mapping[str, Any]) -> dict[str, Any]:
    """Options of Bokeh in the words of Matplotlib."""
    found = {"line_width": "linewidth", "line_color": "edgecolor", "text_color": "color", "line_alpha": "alpha"}
    words = {found.get(name, name): value for name, value in look.items()}
    if "width" in words and "height" in words:
        words |= {"aspect": words["width"] / words["height"], "hooks": [unframed],
                  "fig_inches": (words.pop("width") / DOTS_PER_INCH, words.pop("height") / DOTS_PER_INCH)}  # fmt: skip
    if "size" in words:
        words["s"] = (
            POINT * float(words.pop("size"))
        ) ** 2  # an area in place of a diameter, in points in place of pixels
    if "text_font_size" in words:
        words["size"] = float(str(words.pop("text_font_size")).removesuffix("pt"))
    if "edgecolor" in words:
        words["edgecolor"] = words["edgecolors"] = words["edgecolor"] or "none"
    if isinstance(words.get("color"), str):
        words["facecolor"] = words["color"]
    return {"show_values": False} | {
        name: x for name, x in words.items() if x is not None or name in ("xaxis", "yaxis")
    }


def known_to(backend: str, shown: Any, look: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that a backend has for an object; the others are of the other backend."""
    import holoviews as hv

    drawn = hv.Store.registry[backend].get(type(shown))
    drawn = getattr(drawn, "plot_classes", {None: drawn}).get(None, drawn) if drawn is not None else None
    names = {*getattr(drawn, "style_opts", ()), *(drawn.param if drawn is not None else ())}
    found = {name: value for name, value in look.items() if name in names}
    if {"color", "facecolor", "edgecolor"} <= set(found) and not isinstance(shown, hv.Area):
        found.pop("color")  # of boxes, where it would paint the edges, too; areas have a cycle of colours else
    return found


def styled(shown: Any, **look: Any) -> Any:
    """An object with options for every backend that is loaded; the options have Bokeh's names."""
    import holoviews as hv

    words: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"matplotlib": for_matplotlib}
    for backend in hv.Store.loaded_backends():
        options = known_to(backend, shown, words.get(backend, dict)(look))
        shown = shown.opts(backend=backend, clone=False, **options) if options else shown
    return shown


def column(panels: Sequence[Any], columns: int = 1) -> Any:
    """Panels below each other, with axes of their own; Matplotlib gives each row as much room as the mean of them asks for."""
    import holoviews as hv

    look: dict[str, Any] = {"shared_axes": False, "toolbar": None, "sublabel_format": "", "tight": True}
    if "matplotlib" in hv.Store.loaded_backends():
        asked = [hv.Store.lookup_options("matplotlib", panel, "plot").kwargs["fig_inches"][1] for panel in panels]
        look["fig_inches"] = (WIDTH / DOTS_PER_INCH, 1.6 * float(sum(asked)) / columns)  # with room for axes
    return styled(hv.Layout(list(panels)).cols(columns), **look)


def label(cell: Any) -> str:
    """A cell's name in a picture."""
    return " ".join(map(str, cell)) if isinstance(cell, tuple) else str(cell)


def plain(text: str) -> str:
    """Text for an option that HoloViews takes for a format, in which braces stand for values."""
    return text.replace("{", "{{").replace("}", "}}")


def cell_in(result: Any, cell: Any) -> tuple[str, int]:
    """A cell of a result: the first one, that of a label, or (label, number)."""
    if not hasattr(type(result), "currents"):
        raise TypeError(
            f"the result is of {result.model!r}, which has no channels; it must have currents. Take `traces`."
        )
    cells = list(result.model.cells)
    wanted = cells[0] if cell is None else (cell, 0) if isinstance(cell, str) else cell
    if wanted not in cells:
        raise ValueError(
            f"the cell is {cell!r}; the result has {checks.listing(map(label, cells))}. Name one of these."
        )
    return wanted


def of_cell(table: pd.DataFrame, cell: tuple[str, int]) -> pd.DataFrame:
    """The columns of a cell, by channel."""
    label_of, number = (table.columns.get_level_values(i) for i in (0, 1))
    mine = np.asarray(label_of == cell[0]) & np.asarray(number == cell[1])
    return table.loc[:, mine].droplevel([0, 1], axis=1)


def short_labels(cells: Sequence[Any]) -> list[str]:
    """Names of cells in a picture, with numbers only where a population has several."""
    labels = [cell[0] if isinstance(cell, tuple) else cell for cell in cells]
    return [plain(label(cell) if labels.count(x) > 1 else str(x)) for cell, x in zip(cells, labels, strict=True)]


def named(result: Any, cell: tuple[str, int]) -> str:
    """A cell's name for a title."""
    cells = list(result.model.cells)
    return short_labels(cells)[cells.index(cell)]


# ---------------------------------------------------------------- traces

COLUMNS = 1400  # of pixels: more than a page has


def picked(x: np.ndarray, size: int) -> np.ndarray:
    """Where the lowest and the highest sample of each block of so many are, and both ends, in their order."""
    whole = len(x) // size * size
    blocks, begins, rest = x[:whole].reshape(-1, size), np.arange(0, whole, size), x[whole:]
    found = [np.array([0, len(x) - 1]), begins + blocks.argmin(1), begins + blocks.argmax(1)]
    if len(rest):
        found.append(whole + np.array([rest.argmin(), rest.argmax()]))
    return np.unique(np.concatenate(found))


def extremes(t: np.ndarray, x: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest sample of each block of so many, at their own times, so that no spike is lost."""
    kept = picked(x, size)
    return t[kept], x[kept]


def decimated(t: np.ndarray, x: np.ndarray, points: int = 2 * COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """A trace of about so many points at most, the least and the largest value of each column of pixels."""
    return (t, x) if len(t) <= points else extremes(t, x, -(-2 * len(t) // points))


def traces(result: Any, **look: Any) -> Any:
    """The potential of each cell in a panel of its own; long runs are drawn by their extremes in each column of pixels."""
    import holoviews as hv

    from .files.results import dims

    look = {**LOOK, "height": 150, "line_width": 1.0, "xlabel": "time (ms)", "ylabel": "V (mV)", **look}
    cells, t = list(result.model.cells), np.asarray(result.t)
    curves = [hv.Curve(decimated(t, V), dims.t, dims.V, label=label(cell))
              for cell, V in zip(cells, np.asarray(result.states.V).T, strict=True)]  # fmt: skip
    each = zip(curves, short_labels(cells), colours_of_cells(cells), strict=True)
    return column([styled(curve, title=title, color=colour, **look) for curve, title, colour in each])


# ---------------------------------------------------------------- currents

LEAST_SHARE = 0.005  # of a current that is drawn
LONG = 20 * COLUMNS  # samples, beyond which a coloured trace is thinned


def shares_of(I: np.ndarray, block: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of currents I (time, current) nA in all outward and in all inward current, and both totals (time, 2) nA.

    Shares are (time, current) and add up to 1, or are 0 where no current flows that way. A block of times becomes its mean.
    """
    n = len(I) // block
    both = [np.clip(sign * I[: n * block], 0, None).reshape(n, block, -1).mean(1) for sign in (1, -1)]
    totals = np.stack([x.sum(1) for x in both], 1)
    outward, inward = (x / np.where(total > 0, total, 1)[:, None] for x, total in zip(both, totals.T, strict=True))
    return outward, inward, totals


def flowing(result: Any, cell: Any) -> pd.DataFrame:
    """The currents of a cell (nA) that are not 0 throughout."""
    current = of_cell(result.currents, cell_in(result, cell))
    return current.loc[:, current.abs().max() > 0]


def shares(result: Any, cell: Any = None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Shares of each current in all outward and in all inward current, and the two totals (nA); index time (ms).

    The synaptic and the electrical current are members like the channels. At each moment the shares of either side add
    up to 1; they are 0 where there is no current on that side. Currents that are 0 throughout are left out.
    """
    current = flowing(result, cell)
    out, into, totals = shares_of(current.to_numpy())
    index, names = current.index, current.columns
    return (
        pd.DataFrame(out, index, names),
        pd.DataFrame(into, index, names),
        pd.DataFrame(totals, index, ["outward", "inward"]),
    )


def share_panel(x: np.ndarray, part: np.ndarray, names: Sequence[str], title: str, turned: bool) -> Any:
    """Shares (time, current) at times x (ms) on top of each other; the upper panel, which is not turned, has the legend."""
    import holoviews as hv

    colours, above = colours_of(names), np.cumsum(part, axis=1)
    below = np.concatenate([np.zeros((len(x), 1)), above[:, :-1]], 1)
    areas = [styled(hv.Area((x, low, high), "time", ["low", "high"]), color=colours[name], line_color=colours[name], line_width=0)
             for name, low, high in zip(names, below.T, above.T, strict=True)]  # fmt: skip
    empty = [
        styled(hv.Curve([(x[0], np.nan)], "time", "low", label=name), color=colours[name], line_width=6)
        for name in names
    ]
    shown = hv.Overlay([*areas, *empty])  # areas have no entry in a legend of Matplotlib
    return styled(shown, **LOOK, frame_width=FRAME, height=150, ylim=(0, 1), xlim=(x[0], x[-1]), xlabel="time (ms)", ylabel=title, invert_yaxis=turned,
                  xaxis="bare", legend_position="right", show_legend=not turned)  # fmt: skip


def total_panel(t: np.ndarray, total: np.ndarray, title: str, turned: bool) -> Any:
    """The size of all currents of one side at times t (ms), on a logarithmic scale; of a long run the extremes."""
    import holoviews as hv

    t, x = decimated(t, np.maximum(total, 1e-3))
    low, high = 10 ** np.floor(np.log10(np.quantile(x, 0.02))), 10 ** np.ceil(np.log10(x.max()))
    decades = np.arange(round(np.log10(low)), round(np.log10(high)) + 1)
    ticks = [(float(10.0**k), f"{10.0**k:g}") for k in decades[:: max(1, len(decades) // 3)]]
    shown = hv.Area(np.column_stack([t, np.full(len(t), low), np.maximum(x, low)]), "time", ["least", "size"])
    return styled(shown, **LOOK, frame_width=FRAME, height=130 if turned else 90, logy=True, yticks=ticks, ylim=(low, max(high, 10 * low)), xlim=(t[0], t[-1]), color="#555555",
                  line_width=0, invert_yaxis=turned, xaxis="bottom" if turned else "bare", xlabel="time (ms)", ylabel=title)  # fmt: skip


def currentscape(result: Any, cell: Any = None) -> Any:
    """The currents of a cell over time, as in Alonso & Marder (2019).

    From above: the potential, the size of all outward current (nA, logarithmic), the share of each current in it, the same for inward
    current upside down. result: of a circuit, a cell or a network; cell: a label or (label, number), by default the first.
    """
    import holoviews as hv

    where = cell_in(result, cell)
    V, current = result.V[where], flowing(result, where)
    t, I, block = V.index.to_numpy(), current.to_numpy(), -(-len(V) // COLUMNS)
    out, into, _ = shares_of(I, block)
    kept = np.maximum(out.max(0), into.max(0)) > LEAST_SHARE
    names, x = [str(name) for name in current.columns[kept]], t[: len(out) * block].reshape(-1, block).mean(1)
    totals = shares_of(I)[2].T
    top = styled(hv.Curve(decimated(t, V.to_numpy()), "time", "V"), **LOOK, frame_width=FRAME, height=120, color="black", line_width=0.8,
                 xlim=(t[0], t[-1]), title=named(result, where), xaxis="bare", xlabel="time (ms)", ylabel="V (mV)")  # fmt: skip
    return column([
        top,
        total_panel(t, totals[0], "outward (nA)", False), share_panel(x, out[:, kept], names, "share outward", False),
        share_panel(x, into[:, kept], names, "share inward", True), total_panel(t, totals[1], "inward (nA)", True),
    ])  # fmt: skip


def dominant_currents(result: Any, cell: Any = None) -> Any:
    """The potential of a cell, coloured at each moment by the largest of its currents."""
    import holoviews as hv

    where = cell_in(result, cell)
    current, V = of_cell(result.currents, where), result.V[where].to_numpy()
    largest = np.abs(current.to_numpy()).argmax(1)
    turns = np.flatnonzero(np.diff(largest))
    kept = np.arange(len(V))
    if len(V) > LONG:
        kept = np.unique(np.concatenate([picked(V, -(-len(V) // COLUMNS)), turns, turns + 1]))
    t, V, largest = result.t[kept], V[kept], largest[kept]
    colours, lines = colours_of([str(name) for name in current]), []
    for i in np.unique(largest):
        here = largest == i
        here[1:] |= here[:-1].copy()  # on to the next sample, so that the line has no holes
        name = current.columns[i]
        line = hv.Curve((t, np.where(here, V, np.nan)), "time", "V", label=name)
        lines.append(styled(line, color=colours[name], line_width=1.6))
    return styled(hv.Overlay(lines), **LOOK, height=220, legend_position="right", xlabel="time (ms)", ylabel="V (mV)",
                  title=named(result, where))  # fmt: skip


# ---------------------------------------------------------------- gates, calcium, planes


def gates(result: Any, cell: Any = None) -> Any:
    """Potential, activation and inactivation of all channels, and calcium of a cell, below each other."""
    import holoviews as hv

    where = cell_in(result, cell)
    look = {**LOOK, "frame_width": FRAME, "height": 130, "xlabel": "time (ms)", "xaxis": "bare"}

    def line(x: Any, name: str, colour: str) -> Any:
        return styled(hv.Curve(decimated(result.t, x.to_numpy()), "time", "x", label=name), color=colour)

    panels = [styled(line(result.V[where], "", DARK), **look, ylabel="V (mV)", title=named(result, where))]
    for symbol, text in (("m", "activation m"), ("h", "inactivation h")):
        part = of_cell(getattr(result, symbol), where)
        names = [str(name) for name in part]
        colours = colours_of(names)
        curves = hv.Overlay([line(part[name], name, colours[name]) for name in names])
        panels.append(styled(curves, **{**look, "height": 180}, ylabel=text, ylim=(0, 1), legend_position="right"))
    below = {**look, "height": 150, "xaxis": "bottom"}
    return column([*panels, styled(line(result.Ca[where], "", DARK), **below, ylabel="calcium (µM)")])


def variable(result: Any, where: tuple[str, int], name: str) -> tuple[np.ndarray, str]:
    """A variable of a cell, "V", "Ca", "m Kd" or "h Na", with the text of its axis."""
    if name in ("V", "Ca"):
        return getattr(result, name)[where].to_numpy(), {"V": "V (mV)", "Ca": "calcium (µM)"}[name]
    known = [f"{symbol} {channel}" for symbol in "mh" for channel in of_cell(getattr(result, symbol), where)]
    checks.choice("a variable", name, ["V", "Ca", *known])
    symbol, channel = name.split(" ", 1)
    return of_cell(getattr(result, symbol), where)[channel].to_numpy(), f"{symbol} of {channel}"


def phase_plane(result: Any, x: str = "V", y: str = "Ca", cell: Any = None) -> Any:
    """One variable of a cell against another: "V", "Ca", or a gate such as "m Kd"; a dot where it begins."""
    import holoviews as hv

    where = cell_in(result, cell)
    (a, text_a), (b, text_b) = (variable(result, where, name) for name in (x, y))
    path = styled(hv.Curve((a, b), "x", "y"), color=colour_of_cell(where), line_width=1.0)
    start = styled(hv.Points([(a[0], b[0])], ["x", "y"]), color="black", size=6)
    return styled(
        path * start,
        width=420,
        height=360,
        toolbar=None,
        padding=0.03,
        xlabel=text_a,
        ylabel=text_b,
        title=named(result, where),
    )


# ---------------------------------------------------------------- rhythm


def raster(data: Any, window: Window | None = None, *, detection: Detection = STANDARD) -> Any:
    """Each spike a stroke, each burst that begins in the window a box; data, window (ms) and detection as for `rhythm.features`."""
    import holoviews as hv

    seen = recorded(data, window, detection)
    rows = list(enumerate(seen.trains.values()))
    found = [(y, burst) for y, x in rows for piece in begun_bursts(x, seen.pieces, seen.detection) for burst in piece]
    boxes = [[(a, -y - 0.4, b, -y + 0.4) for at, (a, b, _) in found if at == y] for y, _ in rows]
    strokes = [(t, -y - 0.3, t, -y + 0.3) for y, x in rows for t in x]
    each = zip(boxes, colours_of_cells(list(seen.trains)), strict=True)
    bars = [styled(hv.Rectangles(box), color=colour, line_color=None, alpha=0.4) for box, colour in each]
    shown = hv.Overlay([*bars, styled(hv.Segments(strokes), color="black", line_width=0.7)])
    ticks = [(-y, text) for y, text in enumerate(short_labels(list(seen.trains)))]
    return styled(
        shown,
        height=200,
        xlim=seen.window,
        ylim=(0.5 - len(ticks), 0.5),
        yticks=ticks,
        xlabel="time (ms)",
        ylabel="",
        **LOOK,
    )


def phase_diagram(
    data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None, detection: Detection = STANDARD
) -> Any:
    """Bursts in the pacemaker's cycle: bars are those of the recording, whiskers the lobsters' mean ± s.d. of each start."""
    import holoviews as hv

    values = features(data, window, cells=cells, detection=detection)
    lobsters = {c.name: c for c in CRITERIA}
    starts = {"PD": 0.0, "LP": values["phase_LPstart"], "PY": values["phase_PYstart"]}
    rows = [(starts[x], -y - 0.3, starts[x] + values[f"duty_cycle_{x}"], -y + 0.3) for y, x in enumerate(ROLES)]
    bars = [styled(hv.Rectangles([row] if np.isfinite(row).all() else []), color=colour, line_color="black", alpha=0.6)
            for row, colour in zip(rows, colours_of_cells(ROLES), strict=True)]  # fmt: skip
    onsets = [lobsters["phase_LPstart"], lobsters["phase_PYstart"]]
    whiskers = styled(
        hv.Segments([(c.mean - c.sd, -y, c.mean + c.sd, -y) for y, c in enumerate(onsets, 1)]), color="black"
    )
    dots = styled(hv.Points([(c.mean, -y) for y, c in enumerate(onsets, 1)]), color="black", size=6)
    shown, ticks = hv.Overlay([*bars, whiskers, dots]), [(-y, x) for y, x in enumerate(ROLES)]
    return styled(shown, height=170, xlim=(0, 1.25), ylim=(-2.5, 0.5), xlabel="phase in the pacemaker's cycle", ylabel="", yticks=ticks,
                  **LOOK)  # fmt: skip


def criteria_chart(
    data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None, detection: Detection = STANDARD
) -> Any:
    """The fifteen features on the scale of the lobsters' standard deviations, with the accepted ranges."""
    import holoviews as hv

    values = features(data, window, cells=cells, detection=detection)
    scaled = [((v - c.mean) / c.sd, c) for v, c in zip(values, CRITERIA, strict=True)]
    ranges = [((c.low - c.mean) / c.sd, -y, (c.high - c.mean) / c.sd, -y) for y, (_, c) in enumerate(scaled)]
    dots = [(v, -y) for y, (v, _) in enumerate(scaled) if np.isfinite(v)]
    shown = styled(hv.Segments(ranges), color=PALE, line_width=8) * styled(hv.Points(dots), color="black", size=7)
    ticks = [(-y, name) for y, name in enumerate(FEATURES)]
    return styled(shown, height=330, xlabel="distance from the lobsters' mean (s.d.)", ylabel="", yticks=ticks, ylim=(0.7 - len(ticks), 0.7),
                  **LOOK)  # fmt: skip


def matrix(x: np.ndarray, rows: Sequence[str], columns: Sequence[str], value: str, most: float, **look: Any) -> Any:
    """Numbers (row, column) as colours from blue, −most, to red, most; the first row above, NaN grey."""
    import holoviews as hv

    height, width = x.shape
    shown = hv.Image(x, ["column", "row"], value, bounds=(0, 0, width, height))
    right, up = ([(i + 0.5, text) for i, text in enumerate(texts)] for texts in (columns, list(rows)[::-1]))
    return styled(shown, cmap="RdBu_r", clim=(-most, most), colorbar=True, clipping_colors={"NaN": "#e6e6e6"},
                  xticks=right, yticks=up, ylabel="", **{"toolbar": None, **look})  # fmt: skip


def heat_map(table: Any) -> Any:
    """A table of elasticities (`sensitivity.sensitivity`): rows are features, columns parameters; red grows, blue shrinks."""
    x, rows = table.to_numpy(float), [label(feature) for feature in table.index]
    most = float(np.nanquantile(np.abs(x), 0.98))
    return matrix(
        x,
        rows,
        [str(c) for c in table],
        "elasticity",
        most,
        width=WIDTH,
        height=80 + 22 * len(rows),
        xrotation=60,
        xlabel="",
    )


# ---------------------------------------------------------------- curves


def f_I(rates: pd.DataFrame) -> Any:
    """Rate (Hz) against current (nA), as `fi_curve` returns it, a line for each column."""
    import holoviews as hv

    x = rates.index.to_numpy(float)
    lines = [hv.Curve((x, rates[name].to_numpy()), "current", "rate", label=str(name)) for name in rates]
    shown = hv.Overlay(
        [styled(c, color=colour, line_width=1.6) for c, colour in zip(lines, cycle((DARK, *OTHERS)), strict=False)]
    )
    return styled(shown, width=480, height=250, toolbar=None, show_legend=len(lines) > 1, legend_position="top_left",
                  xlabel="current (nA)", ylabel="rate (Hz)")  # fmt: skip


def at_potentials(f: Any, V: np.ndarray, calcium: float) -> np.ndarray:
    """A steady state or a time constant at potentials (mV), and at a calcium concentration (µM) if it reads that."""
    try:
        x = f(V)
    except TypeError:
        x = f(V, np.full_like(V, calcium))
    return np.broadcast_to(np.asarray(x, float), V.shape)


def activation_curves(channels: Sequence[Any], *, calcium: float = 5.0) -> Any:
    """Steady states and time constants of all m (upper row) and all h gates (lower row), with one legend a row.

    channels: any, also of one's own. calcium: µM, for gates whose curves are functions of potential and calcium.
    """
    import holoviews as hv

    V, colours = np.linspace(-100, 50, 301), colours_of([c.name for c in channels])
    frame: dict[str, Any] = {
        "width": 330, "height": 240, "frame_width": 220, "xticks": [-100, -50, 0, 50], "xlabel": "V (mV)", "toolbar": None,
    }  # fmt: skip
    looks = {"inf": {"show_legend": False, "ylim": (-0.03, 1.03)}, "tau": {"legend_position": "right", "logy": True}}
    panels = []
    for symbol in "mh":
        own = [(c.name, getattr(c, symbol)) for c in channels if getattr(c, symbol)]
        for kind, text in (
            (("inf", f"steady state of {symbol}"), ("tau", f"time constant of {symbol} (ms)")) if own else ()
        ):
            curves = [
                hv.Curve((V, at_potentials(getattr(g, kind), V, calcium)), "V", kind, label=name) for name, g in own
            ]
            shown = hv.Overlay([styled(c, color=colours[c.label], line_width=1.4) for c in curves])
            panels.append(styled(shown, **frame, **looks[kind], ylabel=text))
    return column(panels, 2)


def robustness_curve(found: Any, label: str = "") -> Any:
    """Share that stays against δ with its 95% intervals, and the sigmoid; found: a `Robustness`."""
    import holoviews as hv

    from .lab.robustness import sigmoid

    curve, colour = found.curve, {"intrinsic": "#c05020", "synaptic": "#3060a8"}.get(label, DARK)
    x, fine = curve.index.to_numpy(float), np.linspace(curve.index.min(), curve.index.max(), 101)
    bars = hv.Segments(
        [(δ, low, δ, high) for δ, low, high in zip(x, curve["low"], curve["high"], strict=True)], ["δ", "a", "δ2", "b"]
    )
    dots = hv.Scatter((x, curve["share"].to_numpy()), "δ", "share", label=label)
    line = hv.Curve((fine, sigmoid(fine, found.midpoint, found.width)), "δ", "share", label=label)
    shown = (
        styled(bars, color=colour, line_width=1)
        * styled(line, color=colour, line_width=1.5)
        * styled(dots, color=colour, size=6)
    )
    return styled(
        shown,
        width=480,
        height=280,
        toolbar=None,
        ylim=(-0.03, 1.05),
        xlabel="largest relative change δ",
        ylabel="share that stays",
    )


def crash_curve(found: Any) -> Any:
    """Along a perturbation, there and back: the period of the rhythm, filled where the property is kept; found: a `Crash`."""
    import holoviews as hv

    table = found.table
    name = "cycle_period" if "cycle_period" in table else next(c for c in table if c.endswith("period (ms)"))
    parts: list[Any] = []
    for way, colour in (("there", "#c05020"), ("back", "#3060a8")):
        part = table.xs(way, level="way")
        x, y = part.index.to_numpy(float), part[name].to_numpy(float)
        parts.append(styled(hv.Curve((x, y), "position", "period", label=way), color=colour, line_width=1.2))
        for kept, paint in ((True, colour), (False, "white")):
            here = part["kept"].to_numpy(bool) == kept
            parts.append(
                styled(hv.Points((x[here], y[here]), ["position", "period"]), color=paint, line_color=colour, size=8)
            )
    return styled(hv.Overlay(parts), width=480, height=280, toolbar=None, padding=0.06, xlabel=f"{found.over} ({found.unit})",
                  ylabel="period (ms)", legend_position="right")  # fmt: skip


# ---------------------------------------------------------------- circuits


def connections(model: Any) -> list[tuple[int, int, str, float]]:
    """All connections between populations: (from, to, kind, strength in nS); gap junctions have the kind "electrical"."""
    c, p = model.circuit, model.params
    found = [
        (s.pre, s.post, c.transmitters[s.transmitter].name, float(g)) for s, g in zip(c.synapses, p.gs, strict=True)
    ]
    found += [
        (pre, post, c.kinds[k].name, float(g))
        for (pre, post, k), g in zip(c.kinetic, np.atleast_1d(p.gz), strict=False)
    ]
    each: Any = np.broadcast_to(np.asarray(p.ge, float), (len(c.junctions),)) if c.junctions else []
    return found + [(a, b, "electrical", float(g)) for (a, b), g in zip(c.junctions, each, strict=True) if a != b]


def ends_of(at: np.ndarray, pre: int, post: int, lane: float) -> np.ndarray:
    """Start and end of a line between two discs, beside the middle by so many lanes; a loop beside its own cell."""
    if pre == post:
        out = at[pre] / max(float(np.hypot(*at[pre])), 1e-9)
        turned = np.linspace(-2.6, 2.6, 25)
        rotated = np.stack(
            [np.cos(turned) * out[0] - np.sin(turned) * out[1], np.sin(turned) * out[0] + np.cos(turned) * out[1]], 1
        )
        return at[pre] + 0.34 * out + 0.16 * rotated
    low, high = min(pre, post), max(pre, post)
    along = (at[high] - at[low]) / max(float(np.hypot(*(at[high] - at[low]))), 1e-9)
    ends = np.array([at[low] + 0.27 * along, at[high] - 0.27 * along]) + 0.17 * lane * np.array([-along[1], along[0]])
    return ends if pre == low else ends[::-1]


def middle_of(path: np.ndarray, kind: str) -> np.ndarray:
    """Where on a line its strength is written: near its start, so that those of lines that cross stay apart."""
    if len(path) > 2:
        return path[len(path) // 2]
    return path[0] + (0.5 if kind == "electrical" else 0.3) * (path[-1] - path[0])


def colours_of_kinds(kinds: Sequence[str]) -> dict[str, str]:
    """A colour for each kind of connection."""
    known = TRANSMITTERS | {"electrical": "#777777"}
    return known | dict(zip([k for k in dict.fromkeys(kinds) if k not in known], cycle(OTHERS), strict=False))


def circuit_diagram(model: Any) -> Any:
    """Populations as discs, synapses as lines that end in a dot, gap junctions as dashes; as thick as the logarithm of their strength.

    Numbers are strengths in nS. model: any circuit or network; a synapse of strength 0 is not drawn.
    """
    import holoviews as hv

    from .models.networks import model_of

    model = model_of(model)
    n = len(model.labels)
    angle = np.pi / 2 + 2 * np.pi * np.arange(n) / n
    at = np.stack([np.cos(angle), np.sin(angle)], 1) if n > 1 else np.zeros((1, 2))
    joined = [x for x in connections(model) if x[3]]
    colour = colours_of_kinds([kind for *_, kind, _ in joined])
    pairs, lines, dots, texts = [frozenset(x[:2]) for x in joined], list[Any](), list[Any](), list[Any]()
    for i, (pre, post, kind, g) in enumerate(joined):
        lane = pairs[:i].count(pairs[i]) - (pairs.count(pairs[i]) - 1) / 2
        path = ends_of(at, pre, post, lane)
        where = middle_of(path, kind)
        dashes = {"line_dash": "dashed", "linestyle": "--"} if kind == "electrical" else {}
        lines.append(styled(hv.Curve(path), color=colour[kind], line_width=1 + float(np.log10(1 + g)), **dashes))
        dots += [] if kind == "electrical" else [styled(hv.Points([path[-1]]), color=colour[kind], size=9)]
        dots.append(styled(hv.Points([where]), color="white", size=16))
        texts.append(styled(hv.Labels([(*where, f"{g:g}")]), text_font_size="9pt", text_color=colour[kind]))
    cells = styled(hv.Points(at), size=58, color="#f2f2f2", line_color=DARK)
    names = [
        name if p.size == 1 else f"{p.size} {name}"
        for name, p in zip(model.labels, model.circuit.populations, strict=True)
    ]
    texts.append(
        styled(
            hv.Labels([(*xy, name) for xy, name in zip(at, names, strict=True)]),
            text_font_size="11pt",
            text_color="black",
        )
    )
    frame = dict(xaxis=None, yaxis=None, width=420, height=380, toolbar=None, show_legend=False)
    return styled(hv.Overlay([cells, *lines, *dots, *texts]), xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), **frame)


# ---------------------------------------------------------------- many circuits


def stacked(table: pd.DataFrame, value: str, axes: Sequence[str]) -> np.ndarray:
    """The mean of a column in each cell of stacked axes, (y, x), NaN where there is no row (LeBlanc et al. 1990; Taylor et al. 2006).

    axes: columns with few values; the first goes along x in the widest steps, the second along y in the widest, and so on in turn.
    """
    codes = {name: pd.factorize(table[name], sort=True) for name in axes}
    sizes = {name: len(values) for name, (_, values) in codes.items()}
    places, shape = [], []
    for mine in (axes[1::2], axes[::2]):
        place = np.zeros(len(table), int)
        for name in mine:
            place = place * sizes[name] + codes[name][0]
        places.append(place)
        shape.append(int(np.prod([sizes[name] for name in mine], dtype=int)))
    flat, size = places[0] * shape[1] + places[1], shape[0] * shape[1]
    count = np.bincount(flat, minlength=size)
    total = np.bincount(flat, table[value].to_numpy(float), minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(shape)


def roughness(picture: np.ndarray) -> float:
    """Mean difference between neighbouring pixels; small where patches are large."""
    steps = np.concatenate([np.abs(np.diff(picture, axis=axis)).ravel() for axis in (0, 1)])
    steps = steps[np.isfinite(steps)]
    return float(steps.mean()) if len(steps) else 0.0


def smoothest(table: pd.DataFrame, value: str, axes: Sequence[str]) -> list[str]:
    """An order of axes for which patches are large: pairs are exchanged as long as that makes the picture smoother."""
    best, least = list(axes), roughness(stacked(table, value, axes))
    improved = True
    while improved:
        improved = False
        for i, j in combinations(range(len(best)), 2):
            other = list(best)
            other[i], other[j] = best[j], best[i]
            if (found := roughness(stacked(table, value, other))) < least - 1e-12:
                best, least, improved = other, found, True
    return best


def dimensional_stacking(table: pd.DataFrame, value: str, axes: Sequence[str], *, search: bool = True) -> Any:
    """Every combination of values of the axes a pixel, coloured by the mean of a column (Taylor et al. 2006).

    axes: columns with few values, in the order of `stacked`; with search their order is that of the largest patches.
    Raises ValueError for columns that the table does not have, for fewer than two axes, and for more than 4 million pixels.
    """
    import holoviews as hv

    names = checks.names("axes", axes, "['LP-PY', 'PY-LP']")
    for name in (value, *names):
        checks.choice("a column", name, [str(column) for column in table])
    pixels = int(np.prod([table[name].nunique() for name in names]))
    if len(names) < 2 or pixels > 4_000_000:
        raise ValueError(
            f"there are {len(names)} axes and {pixels:,} pixels; two axes and 4,000,000 pixels at most. Choose others."
        )
    names = smoothest(table, value, names) if search else names
    picture = stacked(table, value, names)
    shown = hv.Image(picture[::-1], bounds=(0, 0, picture.shape[1], picture.shape[0]), vdims=value)
    return styled(shown, width=520, height=440, toolbar=None, cmap="viridis", colorbar=True, xlabel=" ▸ ".join(names[::2]),
                  ylabel=" ▸ ".join(names[1::2]), clipping_colors={"NaN": "#e6e6e6"}, xticks=0, yticks=0)  # fmt: skip


BINS = 12  # of numbers that take many values


def with_unit(name: str) -> str:
    """A column's name with its unit, where it is one of the database."""
    from .database import SYNAPSES

    units = dict.fromkeys(SYNAPSES, "nS") | {c.name: c.unit for c in CRITERIA if c.unit != "1"}
    return f"{name} ({units[name]})" if name in units else name


def bars(heights: np.ndarray, texts: Sequence[str], **look: Any) -> tuple[Any, dict[str, Any]]:
    """Bars at 0, 1, …, and the options of an axis with their texts."""
    import holoviews as hv

    boxes = [(i - 0.4, 0, i + 0.4, float(y)) for i, y in enumerate(heights)]
    axis = {"xticks": list(enumerate(texts)), "xlim": (-0.6, len(texts) - 0.4), "ylim": (0, None)}
    return styled(hv.Rectangles(boxes, ["left", "low", "right", "share"]), color=PALE, line_color=DARK, **look), axis


def binned(column: pd.Series) -> pd.Series:
    """The values of a column as they are, or, where they are many numbers, the middle of the bin of each."""
    if column.dtype == object or column.nunique() <= BINS:
        return column
    edges = np.histogram_bin_edges(column, BINS)
    place = np.clip(np.digitize(column, edges) - 1, 0, BINS - 1)
    return pd.Series(((edges[1:] + edges[:-1]) / 2).round(3)[place], column.index)


def histograms(table: pd.DataFrame, chosen: Any, columns: Sequence[str]) -> Any:
    """Share of each value of some columns among chosen rows (bars, with 95% intervals), and among all (dots), a panel for each column.

    chosen: (row,) truths, or the name of a column of them, such as "pyloric". Intervals are those of Wilson.
    """
    import holoviews as hv

    from .database import interval

    rows = np.asarray(table[chosen] if isinstance(chosen, str) else chosen, bool)
    if rows.shape != (len(table),) or not rows.any():
        raise ValueError(
            f"chosen has {rows.sum()} rows of {len(table)}; it must choose one at least. Take another column."
        )
    panels = []
    for name in checks.names("columns", columns, "['LP-PY', 'LP']"):
        checks.choice("a column", name, [str(column) for column in table])
        values = binned(table[name])
        every = values.value_counts(normalize=True).sort_index()
        counts = values[rows].value_counts().reindex(every.index, fill_value=0)
        x = [str(v) if isinstance(v, str) else f"{v:g}" for v in every.index]
        ends = [interval(int(k), int(rows.sum())) for k in counts]
        share = counts.to_numpy() / rows.sum()
        below, above = (np.abs(share - np.array(ends).T[i]) for i in (0, 1))
        at = np.arange(len(x))
        shown, axis = bars(share, x, alpha=0.6)
        whiskers = styled(
            hv.ErrorBars((at, share, below, above), "value", ["share", "below", "above"]), line_color=DARK
        )
        dots = styled(hv.Scatter((at, every.to_numpy()), "value", "share"), color="black", size=5)
        look = dict(width=225, height=190, xlabel=with_unit(name), ylabel="share", xrotation=45, toolbar=None)
        panels.append(styled(shown * whiskers * dots, **look, **axis))
    return column(panels, 3)


def correlations(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Pearson's r of each pair of columns with its 95% interval; index (first, second), columns r, low, high.

    The interval is that of Fisher, r = tanh(z) with z normal and of variance 1/(n − 3); it needs 4 rows.
    """
    from .database import Z

    names, n = checks.names("columns", columns, "['LP-PY', 'PY-LP']"), len(table)
    if n < 4 or len(names) < 2:
        raise ValueError(
            f"there are {n} rows and {len(names)} columns; four rows and two columns are needed. Take more."
        )
    r = np.corrcoef(table[names].to_numpy(float).T)
    pairs = list(combinations(range(len(names)), 2))
    found = np.array([r[i, j] for i, j in pairs])
    z, half = np.arctanh(np.clip(found, -1 + 1e-12, 1 - 1e-12)), Z / np.sqrt(n - 3)
    index = pd.MultiIndex.from_tuples([(names[i], names[j]) for i, j in pairs], names=["first", "second"])
    return pd.DataFrame({"r": found, "low": np.tanh(z - half), "high": np.tanh(z + half)}, index)


def correlation_map(table: pd.DataFrame, columns: Sequence[str]) -> Any:
    """Correlations of pairs of columns; white where the 95% interval contains 0, so that its sign is not known."""
    found, names = correlations(table, columns), list(columns)
    known, size = found["r"].where((found["low"] > 0) | (found["high"] < 0), 0.0), 140 + 28 * len(columns)
    x = np.full((len(names), len(names)), np.nan)
    for a, b, r in zip(*(known.index.get_level_values(k) for k in (0, 1)), known, strict=True):
        i, j = names.index(a), names.index(b)
        x[i, j] = x[j, i] = r
    return matrix(x, names, names, "r", 1.0, width=size + 60, height=size, xrotation=60, xlabel="")


# ---------------------------------------------------------------- principal components


class PrincipalComponents(NamedTuple):
    """The directions in which the rows of a table differ most, the largest first; all of standardised columns."""

    share: pd.Series  # of the variance, by component
    chance: pd.Series  # the share that 95% of tables with shuffled columns stay below, by component
    loadings: pd.DataFrame  # (column, component), each component of length 1, its largest entry positive
    scores: pd.DataFrame  # (row, component)

    def plot(self, chosen: Any = None) -> Any:
        """Scree, plane of the first two components and loadings, as of `component_chart`."""
        return component_chart(self, chosen)


def variances(z: np.ndarray) -> np.ndarray:
    """Shares of the variance of the components of standardised columns (row, column)."""
    size = np.linalg.svd(z, compute_uv=False) ** 2
    return np.asarray(size / size.sum())


def principal_components(
    table: pd.DataFrame, columns: Sequence[str], *, shuffles: int = 200, seed: int = 0
) -> PrincipalComponents:
    """Principal components of some columns, each scaled to mean 0 and standard deviation 1.

    shuffles: tables in which the rows of each column are shuffled, so that nothing goes together; their shares are what chance
    gives. Raises ValueError for fewer than two columns or three rows, for columns that do not vary, and for numbers that are not finite.
    """
    names = checks.names("columns", columns, "['LP-PY', 'PY-LP']")
    for name in names:
        checks.choice("a column", name, [str(column) for column in table])
    x = table[names].to_numpy(float)
    if len(names) < 2 or len(x) < 3 or not np.isfinite(x).all():
        raise ValueError(
            f"there are {len(x)} rows and {len(names)} columns; at least three rows and two columns of finite numbers are needed. "
            "Take more, and leave out rows with NaN by table.dropna()."
        )
    constant = [name for name, sd in zip(names, x.std(0), strict=True) if sd == 0]
    if constant:
        raise ValueError(f"the column {constant[0]!r} has one value in all rows; it must vary. Leave it out.")
    z = (x - x.mean(0)) / x.std(0)
    _, size, directions = np.linalg.svd(z, full_matrices=False)
    largest = directions[np.arange(len(directions)), np.abs(directions).argmax(1)]
    directions = directions * np.sign(largest)[:, None]
    rng = np.random.default_rng(checks.count("seed", seed, least=0))
    shuffled = [variances(rng.permuted(z, axis=0)) for _ in range(checks.count("shuffles", shuffles))]
    index = pd.RangeIndex(1, len(size) + 1, name="component")
    return PrincipalComponents(
        pd.Series(size**2 / (size**2).sum(), index), pd.Series(np.quantile(shuffled, 0.95, axis=0), index),
        pd.DataFrame(directions.T, names, index), pd.DataFrame(z @ directions.T, table.index, index),
    )  # fmt: skip


def component_chart(found: PrincipalComponents, chosen: Any = None) -> Any:
    """Explained share of each component (bars; dots: what chance stays below), the plane of the first two, and all loadings.

    chosen: (row,) truths; these rows are coloured in the plane.
    """
    import holoviews as hv

    look = {"width": 335, "height": 260, "toolbar": None}
    x, text = [str(i) for i in found.share.index], [f"component {i} ({found.share[i]:.0%})" for i in (1, 2)]
    boxes, axis = bars(found.share.to_numpy(), x)
    dots = styled(hv.Scatter((np.arange(len(x)), found.chance.to_numpy()), "component", "share"), color="black", size=5)
    scree = styled(boxes * dots, **look, **axis, xlabel="component", ylabel="share of the variance")
    rows = np.zeros(len(found.scores), bool) if chosen is None else np.asarray(chosen, bool)
    at = found.scores[[1, 2]].to_numpy()
    parts = [styled(hv.Points(at[here], ["first", "second"]), color=colour, size=3, alpha=0.6)
             for here, colour in ((~rows, DARK), (rows, OTHERS[2]))]  # fmt: skip
    plane = styled(hv.Overlay(parts), **look, xlabel=text[0], ylabel=text[1])
    rows_of = [str(name) for name in found.loadings.index]
    loadings = matrix(found.loadings.to_numpy(), rows_of, x, "loading", 1.0, **look, xlabel="component")
    return column([scree, plane, loadings], 2)
