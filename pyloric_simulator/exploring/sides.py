"""One set-up of the explorer with its traces and what is known of its rhythm.

Mechanics of `explorer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pandas as pd
import panel as pn
from bokeh.models import Range1d, Span

from ..engine.precision import precision
from ..fitting.sensitivity import sensitivity
from ..lab.robustness import knockouts
from ..lab.temperature import at_temperature, warm
from ..plotting import colours_of_cells
from ..prinz2004 import currents
from ..rhythm import ROLES, roles
from .jobs import Draw
from .pictures import Traces
from .setups import JUDGED, WINDOW, Judgement, Moment, Rig, Setup, cause, name, state_at_start

EVERY = 10  # recorded times, of which one is used for currents
Traced = tuple[np.ndarray, np.ndarray] | None


class Side:
    """A set-up, A or B."""

    def __init__(self, rig: Rig, cursor: Span, shared: Range1d) -> None:
        self.rig, self.cursor, self.shared = rig, cursor, shared
        self.judgement: Judgement | None = None
        self.moment: Moment | None = None
        self.recording: Any = None
        self.panes = pn.Column(sizing_mode="stretch_width", min_width=280)
        self.labels: tuple[str, ...] = ()
        self.fit()

    def fit(self) -> None:
        """Make panels for the cells of the circuit, where they are others."""
        cells = list(self.rig.base(self.rig.setup).cells)
        labels = tuple(map(name, cells))
        if labels != self.labels:
            self.labels = labels
            self.traces = Traces(labels, colours_of_cells(cells), self.cursor, self.shared)
            self.panes[:] = [pn.pane.Bokeh(f, sizing_mode="stretch_width") for f in self.traces.figures]
            self.draw_recording()

    @property
    def result(self) -> Any:
        """The window on the screen, or None."""
        return None if self.moment is None else self.moment.result

    # ------------------------------------------------------------ runs, on the thread of the jobs

    def window(self, setup: Setup | None, drawn: Callable[[], None]) -> Draw:
        """Run a window; of a set-up that is tried while a slider moves the present state is left as it is."""
        moment = self.rig.window(setup, goes_on=setup is None)

        def draw() -> None:
            self.moment = moment
            if moment.result is not None and moment.setup.circuit == self.rig.setup.circuit:
                self.fit()
                self.traces.show(moment.result.t, np.asarray(moment.result.states.V))
            drawn()

        return draw

    def judge(self, drawn: Callable[[], None]) -> Draw:
        """Judge the run after the window on the screen."""
        judgement = self.rig.judge()

        def draw() -> None:
            self.judgement = judgement
            drawn()

        return draw

    # ------------------------------------------------------------ a recording behind

    def draw_recording(self) -> None:
        """Draw the recording behind the cells that play the same roles, from its start."""
        if self.recording is None:
            self.traces.show_behind([None] * len(self.labels))
            return
        base, table = self.rig.base(self.rig.setup), self.recording
        of_model, of_file = roles(_Source(base), list(base.cells)), roles(table, list(table.columns))
        column = {of_model[role]: of_file[role] for role in ROLES if role in of_model and role in of_file}
        t = table.index.to_numpy(float)
        kept = t <= t[0] + WINDOW
        behind: list[Traced] = [
            (t[kept] - t[0], table[column[c]].to_numpy()[kept]) if c in column else None for c in base.cells
        ]
        self.traces.show_behind(behind)

    # ------------------------------------------------------------ slow questions

    def model(self) -> Any:
        """The circuit as it runs."""
        T = self.rig.setup.temperature
        return self.rig.model() if T is None else at_temperature(self.rig.model(), T)

    def knock_outs(self) -> pd.DataFrame:
        """What is left of the rhythm without each conductance and each synapse, all in one batch: columns what and period."""
        model, setup = self.rig.model(), self.rig.setup
        found = knockouts(
            model, keep="spikes", temperature=setup.temperature, duration=WINDOW + JUDGED, transient=WINDOW, solver=setup.solver,
            dt=setup.dt, dtype=model.dtype, state=state_at_start(self.rig, self.moment), progress=False,
        )  # fmt: skip
        rows = [left(model, row) for _, row in found.iterrows()]
        return pd.DataFrame(rows, found.index, columns=["what", "period"])

    def elasticities(self) -> pd.DataFrame:
        """What each conductance does to each cell's rhythm, per cent for per cent; (feature, parameter).

        The phase of the cell that sets the cycles is left out: it is 0 by definition, and has no per cents.
        """
        table = sensitivity(self.model())
        cells, pace = list(self.rig.base(self.rig.setup).cells), self.pace()
        of_label = {" ".join(map(str, cell)): cell for cell in cells}
        kept = [x for x in table.index if x[-1] != "phase" or of_label.get(x[0]) != pace]
        words = [f"{name(of_label[x[0]])} {x[-1].replace('_', ' ')}" for x in kept]
        return table.loc[kept].set_axis(words)

    def pace(self) -> Any:
        """The cell that sets the cycles."""
        cells = list(self.rig.base(self.rig.setup).cells)
        return roles(_Source(self.rig.base(self.rig.setup)), cells).get("PD", cells[0])

    def currents(self, cell: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Times (time,) ms, currents (time, current) nA of a cell in the window, and their names."""
        assert self.moment is not None
        assert self.moment.result is not None
        result, T = self.moment.result, self.moment.setup.temperature
        model, states = self.rig.model(self.moment.setup), jax.tree.map(lambda x: x[::EVERY], result.states)
        with precision(model.dtype):
            I = compiled_currents(model.params, states) if T is None else warmed_currents(model.params, T, states)
        circuit = model.circuit
        channels = [c.name for c in circuit.membranes[circuit.populations[circuit.rows[cell]].membrane].channels]
        of_cell = np.asarray(I)[:, cell]
        kept = [*range(len(channels)), of_cell.shape[1] - 2, of_cell.shape[1] - 1]
        return result.t[::EVERY], of_cell[:, kept], [*channels, "synaptic", "electrical"]


compiled_currents = jax.jit(currents)


@jax.jit
def warmed_currents(params: Any, T: Any, states: Any) -> Any:
    """Currents at a traced temperature."""
    return currents(warm(params, T), states)


class _Source:
    """What `rhythm.roles` asks of a result."""

    def __init__(self, model: Any) -> None:
        self.model = model


def left(model: Any, row: pd.Series) -> tuple[str, float]:
    """What a row of spikes does, in words, and its period (ms)."""
    from ..rhythm import report, summary

    cells = list(model.cells)
    trains = {
        cell: np.asarray(row[column], float) for cell, column in zip(cells, spike_columns(model, row), strict=True)
    }
    window = (WINDOW, WINDOW + JUDGED)
    players = roles(_Source(model), cells)
    table = summary(trains, window)
    pace = players.get("PD", cells[0])
    period = float(table.loc[[pace], "period (ms)"].iloc[0])
    if len(players) < len(ROLES):
        return ", ".join(f"{name(c)} {deed}" for c, deed in table["activity"].items()), period
    judged = report(trains, window, cells=players)
    if judged.attrs["pyloric"]:
        return "pyloric", period
    return ("pyloric-like" if judged.attrs["pyloric_like"] else cause(judged, table)), period


def spike_columns(model: Any, row: pd.Series) -> list[str]:
    """The columns of spikes of each cell."""
    from ..ensembles.ensemble import named_cells

    return [f"spikes {label}" if f"spikes {label}" in row else label for label in named_cells(model).values()]
