"""The page of the explorer: widgets, and what happens when they are moved.

Mechanics of `explorer`.
"""

from __future__ import annotations

import html
import io
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
from bokeh.models import Range1d

from ..engine import checks
from ..files.recording import read_recording
from ..plotting import colours_of_cells
from ..prinz2004 import SCHEMES
from ..rhythm import report
from . import exports
from .jobs import Jobs
from .knobs import Knobs, groups_of
from .pictures import Criteria, Currentscape, Phases, cursor_of, heat, lines, plane
from .setups import KINDS, PRESETS, STARTS, WINDOW, Injected, Rig, Setup, name, random_circuit, table_of_cells
from .sides import Side

EXPECTED = (ValueError, TypeError, ArithmeticError, OSError, ImportError, MemoryError)
NEXT = 700  # ms, between two windows while the run goes on by itself
MAX_FILE = 15_000_000  # bytes of a recording
DARK, LIGHT = "theme=dark", "theme=light"  # parts of an address
BESIDE, BELOW = ({"flex": x, "min-width": "340px"} for x in ("1 1 380px", "1 1 100%"))  # where the tabs are
TURN = """
const at = new URL(window.location);
at.searchParams.set("theme", at.searchParams.get("theme") === "dark" ? "light" : "dark");
window.location = at;
"""
TABS = ".bk-tab.bk-active { color: inherit; font-weight: 600; }"
GUIDE = """\
Move a slider: the traces follow, and go on from their present state when it stops. Under them is what the following 10 s do.
Double click, or ↺, resets a value; the box locks it. All can be reached by Tab, sliders move with the arrow keys.
Wheel and drag zoom and pan the traces. The address of the page holds all that is set: copy it to share it."""

LOOK = """
.verdict { font-size: 15px; padding: 6px 10px; border-left: 5px solid #888; }
.verdict.yes { border-color: #2e8b57; } .verdict.like { border-color: #b9770e; } .verdict.no { border-color: #c0392b; }
.verdict b { font-weight: 600; } .numbers { font-size: 13px; opacity: 0.85; }
.problem { color: #fff; background: #b03030; padding: 6px 10px; font-size: 13px; }
table.plain { border-collapse: collapse; font-size: 13px; } table.plain td, table.plain th { padding: 2px 8px; text-align: left; border-bottom: 1px solid #8884; }
"""


def row(*parts: Any) -> Any:
    """Widgets beside each other, or below where there is no room."""
    return pn.FlexBox(*parts, align_items="center", gap="4px 8px")


def button(label: str, do: Callable[[], Any], **look: Any) -> Any:
    """A button that does something."""
    made = pn.widgets.Button(name=label, **({"width": 90, "margin": 2} | look))
    made.on_click(lambda _: do())
    return made


def words(text: str, style: str = "") -> str:
    """Text as HTML, with what is in it taken as text."""
    return f'<div class="{style}">{html.escape(text)}</div>' if text else ""


class Explorer:
    """A page. own: the user's model; query: the address behind "?"; doc: the page's document, None without a server."""

    def __init__(self, own: Any = None, query: str = "", doc: Any = None) -> None:
        self.theme = {part for part in query.removeprefix("?").split("&") if part.startswith("theme=")} & {DARK, LIGHT}
        self.own, self.jobs, self.slow = own, Jobs(doc), Jobs(doc)
        self.cursor, self.shared = cursor_of(), Range1d(0, WINDOW, bounds=(-50, WINDOW + 50))
        self.sides, self.active = [Side(Rig(own), self.cursor, self.shared)], 0
        self.locked: set[str] = set()
        self.quiet = False  # while widgets are set by the program
        self.told = ""  # what went wrong with something that the user asked for
        self.ticker: Any = None
        self.recorded: pd.DataFrame | None = None
        self._widgets()
        self._layout()
        self._read(query)
        self.set_widgets()
        self.run(all_of=True)

    # ------------------------------------------------------------ what there is

    @property
    def side(self) -> Side:
        """The set-up that the widgets act upon."""
        return self.sides[self.active]

    def _widgets(self) -> None:
        """Make all widgets."""
        self.knobs = Knobs(
            self.from_knobs, dark=DARK in self.theme, follows=self.jobs.doc is not None, sizing_mode="stretch_width"
        )
        self.verdict = pn.pane.HTML("", sizing_mode="stretch_width", stylesheets=[LOOK])
        self.preset = pn.widgets.Select(name="Preset", options=["", *PRESETS], width=170)
        self.number = pn.widgets.IntInput(name="Circuit number", start=0, end=20_249_999, value=None, width=115)
        self.kind = pn.widgets.Select(name="Draw at random", options=["any", "pyloric-like", "pyloric"], width=110)
        self.temperature = pn.widgets.FloatSlider(
            name="Temperature (°C)", start=5, end=35, step=0.5, value=10, width=200
        )
        self.noise = pn.widgets.FloatInput(name="Noise, s.d. (nA)", start=0, step=0.05, value=0, width=110)
        self.seed = pn.widgets.IntInput(name="Seed", start=0, value=0, width=80)
        self.solver = pn.widgets.Select(name="Solver", options=list(SCHEMES), width=150)
        self.dt = pn.widgets.Select(name="dt (ms)", options=[0.0125, 0.025, 0.05, 0.1], value=0.05, width=90)
        self.start = pn.widgets.Select(name="Start", options=list(STARTS), width=120)
        self.into = pn.widgets.Select(name="Current into", width=110)
        self.form = pn.widgets.Select(name="Form", options=list(KINDS), value="step", width=100)
        self.level = pn.widgets.FloatInput(name="nA", value=1.0, step=0.1, width=80)
        self.on, self.off = (
            pn.widgets.FloatInput(name=x, value=v, step=100, width=90)
            for x, v in (("from ms", 500.0), ("to ms", 1500.0))
        )
        self.listed = pn.pane.HTML("", stylesheets=[LOOK])
        self.which = pn.widgets.RadioButtonGroup(
            name="Set-up", options={"A": 0, "B": 1}, value=0, width=90, visible=False
        )
        self.compare = pn.widgets.Toggle(name="Two set-ups", value=False, width=100, margin=2)
        self.going = pn.widgets.Toggle(name="Run on", value=False, width=80, margin=2)
        self.file = pn.widgets.FileInput(accept=".csv,.txt,.tsv,.parquet", width=230)
        self.cell = pn.widgets.Select(name="Cell", width=120)
        self._watch()

    def _watch(self) -> None:
        """Say what the widgets do."""
        for widget, field in (
            (self.noise, "noise"),
            (self.seed, "seed"),
            (self.solver, "solver"),
            (self.dt, "dt"),
            (self.start, "start"),
        ):
            widget.param.watch(partial(self._field, field), "value")
        self.temperature.param.watch(self._warm, "value_throttled")
        self.temperature.param.watch(self._warming, "value")
        self.preset.param.watch(self._preset, "value")
        self.number.param.watch(self._number, "value")
        self.which.param.watch(self._which, "value")
        self.compare.param.watch(self._compare, "value")
        self.going.param.watch(self._going, "value")
        self.file.param.watch(self._file, "value")
        self.cell.param.watch(lambda _: self.refresh_tab(), "value")

    def _layout(self) -> None:
        """Put everything into its place."""
        self.criteria, self.phases = Criteria(), Phases()
        wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
        rhythm = pn.Column(*(pn.pane.Bokeh(x.figure, **wide) for x in (self.phases, self.criteria)), **wide)
        self.places = {
            title: pn.Column(**wide) for title in ("Currents", "Gates", "Phase plane", "Elasticities", "Knock-outs")
        }
        self.tabs = pn.Tabs(("Rhythm", rhythm), *self.places.items(), dynamic=True, stylesheets=[TABS], **wide)
        self.tabs.param.watch(lambda _: self.refresh_tab(), "active")
        self.places["Elasticities"][:] = [button("Compute", self.ask_elasticities)]
        self.places["Knock-outs"][:] = [button("Compute", self.ask_knock_outs)]
        self.middle = pn.FlexBox(self.side.panes, **wide)
        left = pn.Column(self.knobs, *self._folds(), width=330, styles={"max-height": "none"})
        centre = pn.Column(self.verdict, self.middle, styles={"flex": "2 1 420px", "min-width": "340px"})
        self.right = pn.Column(row(self.cell), self.tabs, styles=BESIDE)
        body = pn.FlexBox(left, centre, self.right, gap="10px", align_items="flex-start", **wide)
        self.page = pn.Column(self._bar(), body, **wide)

    def _bar(self) -> Any:
        """The row above all."""
        dark = pn.widgets.Button(name="◐", width=40, margin=2, description="dark or light")
        dark.js_on_click(code=TURN)
        return row(
            self.preset, self.number, self.kind, button("Draw", self.draw_at_random, width=60),
            button("Undo", lambda: self.step("undo"), width=60), button("Redo", lambda: self.step("redo"), width=60),
            button("Go on", lambda: self.run(), width=70), self.going, button("Restart thermalized", self.restart, width=135),
            button("Reset", self.reset, width=60), self.compare, self.which, dark,
        )  # fmt: skip

    def _folds(self) -> list[Any]:
        """What is folded below the sliders."""
        fold = partial(pn.Card, collapsed=True, sizing_mode="stretch_width", margin=(2, 0))
        current = row(
            self.into,
            self.form,
            self.level,
            self.on,
            self.off,
            button("Add", self.add_current),
            button("Clear", self.clear_currents),
            self.listed,
        )
        downloads = [self._download(label, file, make) for label, file, make in self._exports()]
        return [
            fold(row(self.temperature), title="Temperature"),
            fold(current, title="Current"),
            fold(row(self.noise, self.seed), title="Noise"),
            fold(row(self.file), title="Recording behind the traces"),
            fold(row(*downloads), title="Export"),
            fold(row(self.solver, self.dt, self.start), title="Advanced"),
            fold(pn.pane.Markdown(GUIDE), title="Help"),
        ]

    def _exports(self) -> list[tuple[str, str, Callable[[], bytes]]]:
        """Labels, file names, and what makes the files."""
        rig, moment = (lambda: self.side.rig), (lambda: self.side.moment)
        return [
            ("TOML", "circuit.toml", lambda: exports.as_toml(rig(), rig().setup).encode()),
            ("Python", "run.py", lambda: exports.as_python(rig(), exports.present(moment())).encode()),
            ("CSV", "run.csv", lambda: exports.as_csv(moment())),
            ("Parquet", "run.parquet", lambda: exports.as_parquet(moment())),
            ("PNG", "run.png", lambda: exports.as_picture(moment(), "png")),
            ("SVG", "run.svg", lambda: exports.as_picture(moment(), "svg")),
        ]

    def _download(self, label: str, file: str, make: Callable[[], bytes]) -> Any:
        """A button that brings a file, made when it is pressed; what cannot be made says why."""

        def made() -> io.BytesIO:
            try:
                return io.BytesIO(make())
            except EXPECTED as error:
                self.say(str(error))
                return io.BytesIO(f"{error}\n".encode())

        return pn.widgets.FileDownload(
            callback=made, filename=file, label=label, embed=False, auto=True, width=90, margin=2, icon=None
        )

    # ------------------------------------------------------------ what the user does

    def attempt(self, do: Callable[[], Any]) -> bool:
        """Do what may be refused, and say why if it is."""
        try:
            do()
        except EXPECTED as error:
            self.say(str(error))
            return False
        self.told = ""
        return True

    def say(self, problem: str) -> None:
        """Show what went wrong."""
        self.told = problem
        self.show_verdict()

    def take(self, setup: Setup, side: Side | None = None) -> None:
        """Take another set-up and run it."""
        side = self.side if side is None else side
        if self.attempt(lambda: side.rig.change(setup)):
            side.fit()
        self.set_widgets()
        self.run(side)

    def from_knobs(self, message: dict[str, Any]) -> None:
        """What a hand did with the sliders; from the browser, so that nothing in it is taken for granted."""
        self.attempt(lambda: self._from_knobs(message))

    def _from_knobs(self, message: dict[str, Any]) -> None:
        rig, kind = self.side.rig, message.get("kind")
        known = rig.values()
        if kind == "swap":
            self.swap(str(message.get("group")), str(message.get("cell")))
            return
        knob = str(message.get("name"))
        checks.choice("a conductance", knob, known)
        if kind == "lock":
            self.locked = self.locked | {knob} if message.get("on") else self.locked - {knob}
            self.knobs.locked = sorted(self.locked)
        elif knob not in self.locked and kind in ("move", "set"):
            setup = rig.with_values({knob: checks.number(knob, message.get("value"), "its unit", least=0)})
            if kind == "set":
                self.take(setup)
            else:
                self.follow(setup)

    def follow(self, setup: Setup) -> None:
        """Show a set-up while a slider moves, from the present state."""
        side = self.side
        self.jobs.ask(f"window {self.active}", lambda: side.window(setup, self.show_verdict))

    def swap(self, label: str, cell: str) -> None:
        """Give a population the conductances of a cell of Table 2, but for those that are locked."""
        cells = table_of_cells(self.side.rig.base(self.side.rig.setup), label)
        checks.choice("the cell", cell, cells)
        self.take(self.side.rig.with_values({n: g for n, g in cells[cell].items() if n not in self.locked}))

    def reset(self) -> None:
        """All values, but those that are locked, to those of the circuit; no current, noise or other temperature."""
        setup = self.side.rig.setup
        self.take(Setup(setup.circuit, tuple((n, v) for n, v in setup.values if n in self.locked), start=setup.start))

    def restart(self) -> None:
        """Start again, thermalized."""
        self.side.rig.restart()
        if self.side.rig.setup.start != "thermalized":
            self.take(self.side.rig.setup._replace(start="thermalized"))
        else:
            self.run()

    def step(self, where: str) -> None:
        """Undo or redo."""
        if getattr(self.side.rig, where)():
            self.told = ""
            self.side.fit()
            self.set_widgets()
            self.run()

    def _field(self, field: str, event: Any) -> None:
        if not self.quiet and event.new is not None:
            self.take(self.side.rig.setup._replace(**{field: event.new}))

    def _warm(self, event: Any) -> None:
        if not self.quiet and event.new is not None:
            self.take(self.side.rig.setup._replace(temperature=float(event.new)))

    def _warming(self, event: Any) -> None:
        if not self.quiet:
            self.follow(self.side.rig.setup._replace(temperature=float(event.new)))

    def _preset(self, event: Any) -> None:
        if self.quiet or not event.new:
            return
        setups = PRESETS[event.new]
        if len(setups) > 1:
            self.two()
        targets = self.sides if len(setups) > 1 else [self.side]
        for side, setup in zip(targets, setups, strict=True):
            side.rig.restart()
            self.take(setup, side)

    def _number(self, event: Any) -> None:
        if not self.quiet and event.new is not None:
            self.take(Setup(f"db:{event.new}"))

    def draw_at_random(self) -> None:
        """Take a circuit of the database at random."""
        seed = int(np.random.default_rng().integers(2**31))
        self.attempt(lambda: self.take(random_circuit(self.kind.value, seed)))

    def add_current(self) -> None:
        """One more current."""
        numbers = [x.value if x.value is not None else np.nan for x in (self.level, self.on, self.off)]
        new = Injected(self.into.value, self.form.value, *map(float, numbers))
        self.take(self.side.rig.setup._replace(currents=(*self.side.rig.setup.currents, new)))

    def clear_currents(self) -> None:
        """No current."""
        self.take(self.side.rig.setup._replace(currents=()))

    def two(self) -> None:
        """Show two set-ups, the second a copy of the first."""
        if len(self.sides) < 2:
            self.sides.append(Side(Rig(self.own, self.side.rig.setup), self.cursor, self.shared))
            self.sides[1].recording = self.recorded
            self.sides[1].draw_recording()
        for side in self.sides:
            side.panes.styles = {"flex": "1 1 300px"}
        self.right.styles = BELOW
        self.middle[:] = [side.panes for side in self.sides]
        self.which.visible = True
        self._quietly(lambda: setattr(self.compare, "value", True))

    def _compare(self, event: Any) -> None:
        if self.quiet:
            return
        if event.new:
            self.two()
            self.run(self.sides[1])
            return
        self.sides, self.active = [self.side], 0
        self.middle[:] = [self.side.panes]
        self.which.visible, self.right.styles = False, BESIDE
        self._quietly(lambda: setattr(self.which, "value", 0))
        self.set_widgets()
        self.show_all()

    def _which(self, event: Any) -> None:
        if not self.quiet:
            self.active = int(event.new)
            self.set_widgets()
            self.show_all()

    def _going(self, event: Any) -> None:
        if event.new:
            self.ticker = pn.state.add_periodic_callback(lambda: self.run(judged=False), period=NEXT)
        elif self.ticker is not None:
            self.ticker.stop()
            self.run()

    def _file(self, event: Any) -> None:
        if event.new:
            self.attempt(lambda: self.load(event.new, str(self.file.filename)))

    def load(self, content: bytes, filename: str) -> None:
        """Draw a recording behind the traces. Raises ValueError for what is none, or too large."""
        if len(content) > MAX_FILE:
            raise ValueError(
                f"the file has {len(content) / 1e6:.1f} MB; it may have {MAX_FILE / 1e6:g} here. Cut it, or thin it out."
            )
        suffix = Path(filename).suffix.lower() or ".csv"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"recording{suffix}"
            path.write_bytes(content)
            table = read_recording(path)
        self.recorded = table
        for side in self.sides:
            side.recording = table
            side.draw_recording()
        self.show_all()

    # ------------------------------------------------------------ runs

    def run(self, side: Side | None = None, *, judged: bool = True, all_of: bool = False) -> None:
        """Run the next window of a set-up, by default the active one, and judge what follows."""
        for one in self.sides if all_of else [self.side if side is None else side]:
            i = self.sides.index(one)
            self.jobs.drop(f"judge {i}")
            self.jobs.ask(f"window {i}", partial(one.window, None, self.show_window))
            if judged:
                self.jobs.ask(f"judge {i}", partial(one.judge, self.show_all))
        self.share()

    def share(self) -> None:
        """Write what is set into the address."""
        location = pn.state.location
        if location is not None and self.jobs.doc is not None:
            parts = [exports.address([side.rig.setup for side in self.sides]), *self.theme]
            location.search = f"?{'&'.join(parts)}"

    def _read(self, query: str) -> None:
        """Take what an address says."""
        kept = "&".join(x for x in query.removeprefix("?").split("&") if x and x not in self.theme)

        def read() -> None:
            setups = exports.from_address(kept, self.side.rig)
            if len(setups) > 1:
                self.two()
            for side, setup in zip(self.sides, setups, strict=False):
                side.rig.change(setup)
                side.rig.past.clear()
                side.fit()

        self.attempt(read)

    # ------------------------------------------------------------ what is shown

    def _quietly(self, do: Callable[[], None]) -> None:
        before, self.quiet = self.quiet, True
        try:
            do()
        finally:
            self.quiet = before

    def set_widgets(self) -> None:
        """Let the widgets say what is set."""
        self._quietly(self._set_widgets)

    def _set_widgets(self) -> None:
        rig = self.side.rig
        setup, base = rig.setup, rig.base(rig.setup)
        values = rig.known(setup)
        swaps = {label: list(table_of_cells(base, label)) for label in base.labels}
        groups = groups_of(base, values, swaps)
        if groups != self.knobs.groups:
            self.knobs.groups = groups
        self.knobs.values = values | dict(setup.values)
        for field in ("noise", "seed", "solver", "dt", "start"):
            getattr(self, field).value = getattr(setup, field)
        self.temperature.value = 10.0 if setup.temperature is None else setup.temperature
        for widget, options in ((self.into, list(base.labels)), (self.cell, [name(c) for c in base.cells])):
            if widget.options != options:
                widget.param.update(options=options, value=options[0])
        self.listed.object = "".join(
            words(f"{x.cell}: {x.kind} of {x.level:g} nA, {x.start:g} to {x.stop:g} ms") for x in setup.currents
        )

    def show_window(self) -> None:
        """Show what belongs to a new window."""
        self.show_verdict()
        self.refresh_tab()
        self.push()

    def show_all(self) -> None:
        """Show what is known of the rhythm."""
        self.show_verdict()
        judged = [side.judgement for side in self.sides]
        now = judged[self.active]
        other = judged[1 - self.active] if len(judged) > 1 else None
        beside = other.criteria if other is not None else self.criteria_of_recording()
        self.criteria.show(None if now is None else now.criteria, beside)
        self.phases.show(None if now is None else now.criteria, beside)
        self.push()

    def push(self) -> None:
        """Send what was drawn to a notebook; a server does so by itself."""
        if self.jobs.doc is None:
            pn.io.push_notebook(self.page)

    def criteria_of_recording(self) -> pd.DataFrame | None:
        """The criteria of the recording, where it has PD, LP and PY."""
        if self.recorded is None:
            return None
        try:
            return report(self.recorded)
        except ValueError:
            return None

    def show_verdict(self) -> None:
        """The line that says what each set-up does, and what went wrong."""
        parts = [words(self.told, "problem")]
        for letter, side in zip("AB", self.sides, strict=False):
            prefix = f"{letter}: " if len(self.sides) > 1 else ""
            if side.moment is not None and side.moment.problem:
                parts.append(words(prefix + side.moment.problem, "problem"))
            elif side.judgement is not None:
                parts.append(verdict_of(side, prefix, len(parts)))
        self.verdict.object = f'<div role="status" aria-live="polite">{"".join(parts)}</div>'

    def refresh_tab(self) -> None:
        """Draw the open tab, where it shows a part of the window."""
        title = ["Rhythm", *self.places][self.tabs.active]
        made = {"Currents": self._currents, "Gates": self._gates, "Phase plane": self._plane}.get(title)
        if made is not None and self.side.result is not None:
            cells = [name(c) for c in self.side.result.model.cells]
            if self.cell.value not in cells:
                return
            figures = made(cells.index(self.cell.value))
            self.places[title][:] = [pn.pane.Bokeh(x, sizing_mode="stretch_width") for x in figures]

    def _currents(self, cell: int) -> list[Any]:
        return Currentscape(self.shared, self.cursor).figures(*self.side.currents(cell))

    def _gates(self, cell: int) -> list[Any]:
        result = self.side.result
        label, tables = result.model.cells[cell], {"m": result.m, "h": result.h}
        gates = {f"{x} {c[2]}": table[c].to_numpy() for x, table in tables.items() for c in table if c[:2] == label}
        calcium = lines(result.t, {"Ca": result.states.Ca[:, cell]}, "calcium (µM)", self.shared)
        return [calcium, lines(result.t, gates, "open share", self.shared, 300)]

    def _plane(self, cell: int) -> list[Any]:
        states, kept = self.side.result.states, slice(None, None, EVERY_POINT)
        colour = colours_of_cells(list(self.side.result.model.cells))[cell]
        return [plane(states.V[kept, cell], states.Ca[kept, cell], "V (mV)", "calcium (µM)", colour)]

    # ------------------------------------------------------------ slow questions

    def ask_slowly(self, title: str, work: Callable[[], Any], show: Callable[[Any], Any]) -> None:
        """Work on something long beside the page, with a bar until it is there."""
        place, head = self.places[title], self.places[title][0]
        place[:] = [head, pn.indicators.Progress(active=True, sizing_mode="stretch_width", name=title)]

        def done() -> Callable[[], None]:
            try:
                found, shown = work(), show
            except EXPECTED as error:
                found, shown = str(error), lambda text: pn.pane.HTML(words(text, "problem"), stylesheets=[LOOK])

            def draw() -> None:
                place[:] = [head, shown(found)]

            return draw

        self.slow.ask(title, done)

    def ask_knock_outs(self) -> None:
        """What is left without each conductance."""
        self.ask_slowly("Knock-outs", self.side.knock_outs, knock_out_table)

    def ask_elasticities(self) -> None:
        """Which conductance changes what."""
        self.ask_slowly(
            "Elasticities",
            self.side.elasticities,
            lambda table: pn.pane.Bokeh(heat(table), sizing_mode="stretch_width"),
        )

    def close(self) -> None:
        """Stop work for a page that was left."""
        for jobs in (self.jobs, self.slow):
            jobs.close()


EVERY_POINT = 5  # recorded times, of which one is drawn in a phase plane


def verdict_of(side: Side, prefix: str, number: int) -> str:
    """What a set-up does, as HTML, with its numbers."""
    j = side.judgement
    assert j is not None
    style = {True: "yes", False: "like" if j.like else "no", None: ""}[j.pyloric]
    T = f"{j.period:.1f} ms" if np.isfinite(j.period) else "–"
    duty = "; ".join(f"{name(c)} {x:.3f}" for c, x in j.cells["duty cycle"].items() if np.isfinite(x)) or "–"
    numbers = f'<div class="numbers">period <span class="period">{T}</span>, duty cycles {html.escape(duty)}</div>'
    return f'<div class="verdict {style}" data-part="{number}"><b>{html.escape(prefix + j.line)}.</b>{numbers}</div>'


def knock_out_table(table: pd.DataFrame) -> Any:
    """A table of what is left, as HTML."""
    rows = [
        f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(what)}</td><td>{f'{T:.0f}' if np.isfinite(T) else '–'}</td></tr>"
        for k, what, T in zip(table.index, table["what"], table["period"], strict=True)
    ]
    head = "<tr><th>without</th><th>what is left</th><th>period (ms)</th></tr>"
    return pn.pane.HTML(f'<table class="plain knockouts">{head}{"".join(rows)}</table>', stylesheets=[LOOK])
