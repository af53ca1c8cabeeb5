"""Pictures in one call, of runs, rhythms, circuits and tables (HoloViews; load a backend with hv.extension).

Each function returns an object of HoloViews that is ready for Bokeh and for Matplotlib, whichever is loaded. Options have the names that
Bokeh gives them; `styled` says them to each backend in its own words. A channel has one colour in all pictures, and so has a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, cycle, islice
from typing import Any

import numpy as np
import pandas as pd

from .engine import checks
from .engine.detection import STANDARD, Detection
from .files.recording import Window
from .rhythm import CRITERIA, FEATURES, ROLES, begun_bursts, features, recorded

__all__ = [
    "activation_curves",
    "circuit_diagram",
    "colour_of_cell",
    "colours_of",
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
    "raster",
    "robustness_curve",
    "shares",
    "stacked",
    "traces",
]

# ---------------------------------------------------------------- one look

WIDTH = 680  # pixels, of a page
LOOK = {"width": WIDTH, "toolbar": None}
FRAME = 500  # pixels, of panels that stand above each other and of which some have a legend
DOTS_PER_INCH = 100.0

CURRENTS = {
    "Na": "#d4443e", "CaT": "#f0a030", "CaS": "#f5d76e", "H": "#8c5a9e", "MI": "#e377c2", "leak": "#9a9a9a", "Kd": "#2b5ca8",
    "K": "#2b5ca8", "KCa": "#5ab4c5", "A": "#7fbf6a", "synaptic": "#4d4d4d", "electrical": "#c9b18f",
}  # fmt: skip
OTHERS = ("#1b7837", "#762a83", "#b35806", "#01665e", "#c51b7d", "#4d9221")  # of channels of one's own, in turn
CELLS = {"AB/PD": "#3060a8", "AB": "#20407a", "PD": "#3060a8", "LP": "#c05020", "PY": "#7a9a3a"}
PALE, DARK = "#c6dbef", "#333333"
TRANSMITTERS = {"glutamate": "#3060a8", "acetylcholine": "#c05020"}


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each channel; those of the book's channels are always the same, others take theirs in turn."""
    own = [name for name in names if name not in CURRENTS]
    more = dict(zip(own, islice(cycle(OTHERS), len(own)), strict=True))
    return {name: CURRENTS[name] if name in CURRENTS else more[name] for name in names}


def colour_of_cell(cell: Any) -> str:
    """The colour of a cell, by its label or the type that the label begins with."""
    name = str(cell[0] if isinstance(cell, tuple) else cell)
    return CELLS.get(name, CELLS.get(name.split(" ")[0], DARK))


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
        words["s"] = float(words.pop("size")) ** 2  # an area in place of a diameter
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
    if {"color", "facecolor", "edgecolor"} <= set(found):
        found.pop("color")  # of boxes and areas, where it would paint the edges, too
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
    cells = list(result.model.cells)
    wanted = cells[0] if cell is None else (cell, 0) if isinstance(cell, str) else cell
    if wanted not in cells:
        raise ValueError(
            f"the cell is {cell!r}; the result has {checks.listing(map(label, cells))}. Name one of these."
        )
    return wanted


def named(result: Any, cell: tuple[str, int]) -> str:
    """A cell's name for a title, with its number where its population has several."""
    several = sum(other[0] == cell[0] for other in result.model.cells) > 1
    return plain(label(cell) if several else str(cell[0]))


# ---------------------------------------------------------------- traces

COLUMNS = 1400  # of pixels: more than a page has


def extremes(t: np.ndarray, x: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest sample of each block of so many, and both ends, in their order, so that no spike is lost."""
    begins = np.arange(0, len(x), size)
    blocks = np.pad(x, (0, -len(x) % size), mode="edge").reshape(-1, size)  # a repeated end is found where it is first
    ends = [0, len(x) - 1]
    picked = np.unique(np.concatenate([begins + blocks.argmin(1), begins + blocks.argmax(1), ends]))
    return t[picked], x[picked]


def decimated(t: np.ndarray, x: np.ndarray, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """A long trace with the least and the largest value of each column of pixels."""
    return (t, x) if len(t) <= 4 * columns else extremes(t, x, -(-len(t) // columns))


def traces(result: Any, **look: Any) -> Any:
    """The potential of each cell in a panel of its own; long runs are drawn by their extremes in each column of pixels."""
    import holoviews as hv

    look = {**LOOK, "height": 110, "line_width": 0.9, "xlabel": "time (ms)", "ylabel": "V (mV)", **look}
    cells = zip(result.model.cells, result.states.V.T, strict=True)
    panels = [styled(hv.Curve(decimated(result.t, V), "time", "V"), color=colour_of_cell(cell), title=named(result, cell), **look)
              for cell, V in cells]  # fmt: skip
    return column(panels)


# ---------------------------------------------------------------- currents


def shares(result: Any, cell: Any = None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Shares of each current in all outward and in all inward current, and the two totals (nA); index time (ms).

    The synaptic and the electrical current are members like the channels. At each moment the shares of either side add
    up to 1; they are 0 where there is no current on that side. Currents that are 0 throughout are left out.
    """
    current = result.currents[cell_in(result, cell)]
    current = current.loc[:, current.abs().max() > 0]
    sides = {"outward": current.clip(lower=0), "inward": -current.clip(upper=0)}
    totals = pd.DataFrame({name: side.sum(axis=1) for name, side in sides.items()})
    found = [side.div(totals[name].where(totals[name] > 0), axis=0).fillna(0.0) for name, side in sides.items()]
    return found[0], found[1], totals


def thinned(frame: pd.DataFrame, most: int = COLUMNS) -> pd.DataFrame:
    """Every so many rows of a table, no more than there are pixels."""
    return frame.iloc[:: max(1, -(-len(frame) // most))]


def share_panel(part: pd.DataFrame, title: str, legend: bool, turned: bool) -> Any:
    """Shares on top of each other."""
    import holoviews as hv

    names, x = [str(name) for name in part], part.index.to_numpy()
    colours = colours_of(names)
    areas = [styled(hv.Area((x, part[name].to_numpy()), "time", "share", label=name), color=colours[name], line_color=colours[name],
                    line_width=0) for name in names]  # fmt: skip
    shown = hv.Area.stack(hv.Overlay(areas))
    if hv.Store.current_backend == "matplotlib" and legend:  # where areas have no entry in a legend
        empty = [hv.Curve([(x[0], np.nan)], "time", "share", label=name) for name in names]
        shown = shown * hv.Overlay([styled(c, color=colours[c.label], line_width=6) for c in empty])
    return styled(shown, **LOOK, frame_width=FRAME, height=150, ylim=(0, 1), xlim=(x[0], x[-1]), xlabel="time (ms)", ylabel=title, invert_yaxis=turned,
                  xaxis="bare", legend_position="right", show_legend=legend)  # fmt: skip


def total_panel(total: pd.Series, title: str, turned: bool) -> Any:
    """The size of all currents of one side, on a logarithmic scale."""
    import holoviews as hv

    t, x = total.index.to_numpy(), np.maximum(total.to_numpy(), 1e-3)
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
    out, into, totals = shares(result, where)
    names = [name for name in out if max(out[name].max(), into[name].max()) > 0.005]
    V = result.V[where]
    top = styled(hv.Curve(decimated(V.index.to_numpy(), V.to_numpy()), "time", "V"), **LOOK, frame_width=FRAME, height=120, color="black", line_width=0.8,
                 xlim=(V.index[0], V.index[-1]), title=named(result, where), xaxis="bare", xlabel="time (ms)", ylabel="V (mV)")  # fmt: skip
    return column([
        top,
        total_panel(totals["outward"], "outward (nA)", False), share_panel(thinned(out[names]), "share outward", True, False),
        share_panel(thinned(into[names]), "share inward", False, True), total_panel(totals["inward"], "inward (nA)", True),
    ])  # fmt: skip


def dominant_currents(result: Any, cell: Any = None) -> Any:
    """The potential of a cell, coloured at each moment by the largest of its currents."""
    import holoviews as hv

    where = cell_in(result, cell)
    current, V = result.currents[where], result.V[where]
    largest = current.abs().to_numpy().argmax(1)
    colours, lines = colours_of(list(current)), []
    for i in np.unique(largest):
        here = largest == i
        here[1:] |= here[:-1].copy()  # on to the next sample, so that the line has no holes
        name = current.columns[i]
        line = hv.Curve((V.index, np.where(here, V, np.nan)), "time", "V", label=name)
        lines.append(styled(line, color=colours[name], line_width=1.6))
    return styled(hv.Overlay(lines), **LOOK, height=220, legend_position="right", xlabel="time (ms)", ylabel="V (mV)",
                  title=named(result, where))  # fmt: skip


# ---------------------------------------------------------------- gates, calcium, planes


def gates(result: Any, cell: Any = None) -> Any:
    """Potential, activation and inactivation of all channels, and calcium of a cell, below each other."""
    import holoviews as hv

    where = cell_in(result, cell)
    look = {**LOOK, "frame_width": FRAME, "height": 130, "xlabel": "time (ms)", "legend_position": "right"}

    def line(x: Any, name: str, colour: str) -> Any:
        return styled(hv.Curve(decimated(result.t, x.to_numpy()), "time", "x", label=name), color=colour)

    panels = [styled(line(result.V[where], "", DARK), **look, ylabel="V (mV)", title=named(result, where))]
    for symbol, text in (("m", "activation m"), ("h", "inactivation h")):
        part = getattr(result, symbol)[where]
        colours = colours_of(list(part))
        curves = hv.Overlay([line(part[name], name, colours[name]) for name in part])
        panels.append(styled(curves, **look, ylabel=text, ylim=(0, 1)))
    return column([*panels, styled(line(result.Ca[where], "", DARK), **look, ylabel="calcium (µM)")])


def variable(result: Any, where: tuple[str, int], name: str) -> tuple[np.ndarray, str]:
    """A variable of a cell, "V", "Ca", "m Kd" or "h Na", with the text of its axis."""
    if name in ("V", "Ca"):
        return getattr(result, name)[where].to_numpy(), {"V": "V (mV)", "Ca": "calcium (µM)"}[name]
    known = [f"{symbol} {channel}" for symbol in "mh" for channel in getattr(result, symbol)[where]]
    checks.choice("a variable", name, ["V", "Ca", *known])
    symbol, channel = name.split(" ", 1)
    return getattr(result, symbol)[where][channel].to_numpy(), f"{symbol} of {channel}"


def phase_plane(result: Any, x: str = "V", y: str = "Ca", cell: Any = None) -> Any:
    """One variable of a cell against another: "V", "Ca", or a gate such as "m Kd"; a dot where it begins."""
    import holoviews as hv

    where = cell_in(result, cell)
    (a, text_a), (b, text_b) = (variable(result, where, name) for name in (x, y))
    path = styled(hv.Curve((a, b), "x", "y"), color=colour_of_cell(where), line_width=1.0)
    start = styled(hv.Points([(a[0], b[0])], ["x", "y"]), color="black", size=6)
    return styled(
        path * start, width=420, height=360, toolbar=None, xlabel=text_a, ylabel=text_b, title=named(result, where)
    )


# ---------------------------------------------------------------- rhythm


def raster(data: Any, window: Window | None = None, *, detection: Detection = STANDARD) -> Any:
    """Each spike a stroke, each burst that begins in the window a box; data, window (ms) and detection as for `rhythm.features`."""
    import holoviews as hv

    seen = recorded(data, window, detection)
    rows = list(enumerate(seen.trains.values()))
    found = [(y, burst) for y, x in rows for piece in begun_bursts(x, seen.pieces, seen.detection) for burst in piece]
    boxes = [(a, -y - 0.4, b, -y + 0.4) for y, (a, b, _) in found]
    strokes = [(t, -y - 0.3, t, -y + 0.3) for y, x in rows for t in x]
    shown = styled(hv.Rectangles(boxes), color=PALE, line_color=None)
    shown = shown * styled(hv.Segments(strokes), color="black", line_width=0.7)
    ticks = [(-y, label(cell)) for y, cell in enumerate(seen.trains)]
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
    shown = styled(hv.Rectangles([r for r in rows if np.isfinite(r).all()]), color=PALE, line_color="black")
    onsets = [lobsters["phase_LPstart"], lobsters["phase_PYstart"]]
    whiskers = styled(
        hv.Segments([(c.mean - c.sd, -y, c.mean + c.sd, -y) for y, c in enumerate(onsets, 1)]), color="black"
    )
    dots = styled(hv.Points([(c.mean, -y) for y, c in enumerate(onsets, 1)]), color="black", size=6)
    shown, ticks = shown * whiskers * dots, [(-y, x) for y, x in enumerate(ROLES)]
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


def heat_map(table: Any) -> Any:
    """A table of elasticities (`sensitivity.sensitivity`): rows are features, columns parameters; red grows, blue shrinks."""
    import holoviews as hv

    rows = [label(x) for x in table.index]
    cells = [(c, row, v) for c in table for row, v in zip(rows, table[c], strict=True)]
    most = float(np.nanquantile(np.abs(table.to_numpy(float)), 0.98))
    shown = hv.HeatMap(cells, ["parameter", "feature"], "elasticity")
    return styled(shown, width=WIDTH, height=80 + 22 * len(rows), cmap="RdBu_r", clim=(-most, most), colorbar=True, toolbar=None,
                  xrotation=60, invert_yaxis=True, xlabel="", ylabel="")  # fmt: skip


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
        "width": 330,
        "height": 240,
        "xticks": [-100, -50, 0, 50],
        "xlabel": "V (mV)",
        "toolbar": None,
    }
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
    return styled(hv.Overlay(parts), width=480, height=280, toolbar=None, xlabel=f"{found.over} ({found.unit})", ylabel="period (ms)",
                  legend_position="top_right")  # fmt: skip


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
        bars = styled(hv.Bars((x, share), "value", "share"), color=PALE, line_color=DARK, alpha=0.6)
        whiskers = styled(hv.ErrorBars((x, share, below, above), "value", ["share", "below", "above"]), line_color=DARK)
        dots = styled(hv.Scatter((x, every.to_numpy()), "value", "share"), color="black", size=5)
        panels.append(
            styled(
                bars * whiskers * dots, width=225, height=190, xlabel=name, ylabel="share", xrotation=45, toolbar=None
            )
        )
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
    import holoviews as hv

    found = correlations(table, columns)
    known = found["r"].where((found["low"] > 0) | (found["high"] < 0), 0.0)
    ends = (known.index.get_level_values(i) for i in (0, 1))
    cells: list[tuple[Any, ...]] = list(zip(*ends, known, strict=True))
    turned = [(b, a, r) for a, b, r in cells]
    shown = hv.HeatMap(cells + turned, ["first", "second"], "r")
    size = 140 + 28 * len(columns)
    return styled(shown, width=size + 60, height=size, cmap="RdBu_r", clim=(-1, 1), colorbar=True, toolbar=None, xrotation=60, xlabel="",
                  ylabel="")  # fmt: skip
