"""Pictures of rhythms for notebooks and pages (HoloViews; load a backend with hv.extension)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .engine.detection import STANDARD, Detection
from .files.recording import Window
from .rhythm import CRITERIA, FEATURES, ROLES, begun_bursts, features, recorded

__all__ = ["criteria_chart", "heat_map", "phase_diagram", "raster"]

LOOK = {"width": 680, "toolbar": None}


def label(cell: Any) -> str:
    """A cell's name in a picture."""
    return " ".join(map(str, cell)) if isinstance(cell, tuple) else str(cell)


def plain(text: str) -> str:
    """Text for an option that HoloViews takes for a format, in which braces stand for values."""
    return text.replace("{", "{{").replace("}", "}}")


def raster(data: Any, window: Window | None = None, *, detection: Detection = STANDARD) -> Any:
    """Each spike a stroke, each burst that begins in the window a box; data, window (ms) and detection as for `rhythm.features`."""
    import holoviews as hv

    seen = recorded(data, window, detection)
    rows = list(enumerate(seen.trains.values()))
    found = [(y, burst) for y, x in rows for piece in begun_bursts(x, seen.pieces, seen.detection) for burst in piece]
    boxes = [(a, -y - 0.4, b, -y + 0.4) for y, (a, b, _) in found]
    strokes = [(t, -y - 0.3, t, -y + 0.3) for y, x in rows for t in x]
    shown = hv.Rectangles(boxes).opts(color="#c6dbef", line_color=None)
    shown = shown * hv.Segments(strokes).opts(color="black", line_width=0.7, xlabel="time (ms)", ylabel="")
    ticks = [(-y, label(cell)) for y, cell in enumerate(seen.trains)]
    return shown.opts(height=200, xlim=seen.window, ylim=(0.5 - len(ticks), 0.5), yticks=ticks, **LOOK)


def phase_diagram(
    data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None, detection: Detection = STANDARD
) -> Any:
    """Bursts in the pacemaker's cycle: bars are those of the recording, whiskers the lobsters' mean ± s.d. of each start."""
    import holoviews as hv

    values = features(data, window, cells=cells, detection=detection)
    lobsters = {c.name: c for c in CRITERIA}
    starts = {"PD": 0.0, "LP": values["phase_LPstart"], "PY": values["phase_PYstart"]}
    rows = [(starts[x], -y - 0.3, starts[x] + values[f"duty_cycle_{x}"], -y + 0.3) for y, x in enumerate(ROLES)]
    shown = hv.Rectangles([r for r in rows if np.isfinite(r).all()]).opts(color="#c6dbef", line_color="black")
    onsets = [lobsters["phase_LPstart"], lobsters["phase_PYstart"]]
    whiskers = hv.Segments([(c.mean - c.sd, -y, c.mean + c.sd, -y) for y, c in enumerate(onsets, 1)]).opts(
        color="black"
    )
    dots = hv.Points([(c.mean, -y) for y, c in enumerate(onsets, 1)]).opts(color="black", size=6)
    shown, ticks = shown * whiskers * dots, [(-y, x) for y, x in enumerate(ROLES)]
    return shown.opts(
        height=170, xlim=(0, 1.25), xlabel="phase in the pacemaker's cycle", ylabel="", yticks=ticks, **LOOK
    )


def criteria_chart(
    data: Any, window: Window | None = None, *, cells: Mapping[str, Any] | None = None, detection: Detection = STANDARD
) -> Any:
    """The fifteen features on the scale of the lobsters' standard deviations, with the accepted ranges."""
    import holoviews as hv

    values = features(data, window, cells=cells, detection=detection)
    scaled = [((v - c.mean) / c.sd, c) for v, c in zip(values, CRITERIA, strict=True)]
    ranges = [((c.low - c.mean) / c.sd, -y, (c.high - c.mean) / c.sd, -y) for y, (_, c) in enumerate(scaled)]
    dots = [(v, -y) for y, (v, _) in enumerate(scaled) if np.isfinite(v)]
    shown = hv.Segments(ranges).opts(color="#c6dbef", line_width=8) * hv.Points(dots).opts(color="black", size=7)
    ticks = [(-y, name) for y, name in enumerate(FEATURES)]
    return shown.opts(height=330, xlabel="distance from the lobsters' mean (s.d.)", ylabel="", yticks=ticks, **LOOK)


def heat_map(table: Any) -> Any:
    """A table of elasticities (`sensitivity.sensitivity`): rows are features, columns parameters; red grows, blue shrinks."""
    import holoviews as hv

    rows = [label(x) for x in table.index]
    cells = [(c, row, v) for c in table for row, v in zip(rows, table[c], strict=True)]
    most = float(np.nanquantile(np.abs(table.to_numpy(float)), 0.98))
    shown = hv.HeatMap(cells, ["parameter", "feature"], "elasticity")
    return shown.opts(
        width=LOOK["width"], height=80 + 22 * len(rows), cmap="RdBu_r", clim=(-most, most), colorbar=True, toolbar=None,
        xrotation=60, invert_yaxis=True, xlabel="", ylabel="",
    )  # fmt: skip
