"""What is set in the explorer, its runs, and the judgement on them; without widgets.

Mechanics of `explorer`. A `Setup` is immutable and small, so that undo is a list of them and a URL can hold one. A `Rig` is what runs
it: the models that set-ups can name, the present state, and the last window.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from ..config import find_circuit
from ..engine import checks
from ..engine.inputs import run_is_sound
from ..engine.precision import precision
from ..engine.schedule import in_part
from ..files.results import SimResult, run_of
from ..fitting.parameters import model_with, parameters, places
from ..lab.noise import OU, noise_of_cells
from ..lab.protocols import Ramp, Zap, injected, set_up, step
from ..lab.temperature import at_temperature, warm
from ..models.networks import celsius, model_of
from ..prinz2004 import CELL_TYPES, SCHEMES, Prinz2004, integrate, neuron_models
from ..rhythm import ROLES, report, roles, summary

WINDOW = 3000.0  # ms, what is on the screen; also the transient before what is judged, as in the paper's database
JUDGED = 10_000.0  # ms, what is judged, as there
SAMPLE = 0.1  # ms, between recorded times
NOISE_τ = 5.0  # ms, correlation time of the noise
OWN = "own"  # how a set-up names the model that the user brought
STARTS = ("thermalized", "cold", "closed")  # closed is the cold start with h = 0, from which LP can dominate
KINDS = ("constant", "step", "ramp", "zap")
UNDOS = 200  # steps back that are kept


class Injected(NamedTuple):
    """A current into the cells of a population; times count from the start of a window."""

    cell: str  # label of the population
    kind: str  # one of KINDS
    level: float  # nA, the last level of a ramp, the amplitude of a zap
    start: float = 500.0  # ms
    stop: float = 1500.0  # ms

    def protocol(self) -> Any:
        """The current as a number or a function of t (ms), nA."""
        if self.kind == "constant":
            return self.level
        if self.kind == "step":
            return step(self.level, self.start, self.stop)
        if self.kind == "ramp":
            return Ramp((0.0, self.level), (self.start, self.stop))
        return Zap(self.level, ZAP, (self.start, self.stop))


ZAP = (0.2, 10.0)  # Hz, from the period of the rhythm to that of spikes


class Setup(NamedTuple):
    """All that decides a run, but for the state from which it starts."""

    circuit: str = "paper"  # a preset's, "db:NUMBER", or OWN
    values: tuple[tuple[str, float], ...] = ()  # names and values that differ from the circuit's; mS/cm² and nS
    currents: tuple[Injected, ...] = ()
    temperature: float | None = None  # °C; None is that of the circuit
    noise: float = 0.0  # nA, standard deviation of the current into every cell
    seed: int = 0  # of the noise
    solver: str = "staggered"
    dt: float = 0.05  # ms
    start: str = "thermalized"


class Judgement(NamedTuple):
    """What a run does."""

    line: str  # in words
    pyloric: bool | None  # None where the circuit has no PD, LP and PY
    like: bool | None
    criteria: pd.DataFrame | None  # as of `rhythm.report`
    cells: pd.DataFrame  # as of `rhythm.summary`
    period: float  # ms, NaN where there is none


# ---------------------------------------------------------------- circuits


def single_burster() -> Prinz2004:
    """The pacemaker of Fig. 3e alone."""
    return Prinz2004({"AB/PD 2": 1}, {})


def half_centre() -> Prinz2004:
    """Two pacemaker cells in the places of LP and PY, which inhibit each other and so burst in turn, half a cycle apart."""
    rows = neuron_models.loc[["AB/PD 1", "AB/PD 2"]].to_numpy()
    return Prinz2004({"LP": 1, "PY": 1}, {("LP", "PY"): 30, ("PY", "LP"): 30}, rows)


def the_paper() -> Prinz2004:
    """The circuit of Fig. 3e."""
    return Prinz2004.from_toml(find_circuit("paper"))


CIRCUITS = {"paper": the_paper, "burster": single_burster, "half": half_centre}

PAIR = ("db:14759924", "db:19839484")  # the closest pair of a sample's 497 pyloric circuits that shares no cell
PRESETS: dict[str, tuple[Setup, ...]] = {  # of two set-ups the second is B
    "Fig. 3e": (Setup(),),
    "Same rhythm, other conductances": tuple(Setup(name) for name in PAIR),
    "Isolated burster": (Setup("burster"),),
    "Half-centre": (Setup("half"),),
    "LP dominates": (Setup(start="closed"),),
    "Warmed by 8 °C": (Setup(temperature=18.0),),
}


def circuit_of(name: str, own: Any) -> Any:
    """The model that a set-up names; own: the user's. Raises ValueError for others."""
    if name == OWN and own is not None:
        return own
    if name in CIRCUITS:
        return CIRCUITS[name]()
    kind, _, number = name.partition(":")
    if kind == "db" and number.isdecimal() and len(number) <= 8:
        from ..database import circuit

        return circuit(int(number))
    known = checks.listing([*CIRCUITS, "db:NUMBER", *([OWN] if own is not None else [])])
    raise ValueError(f"the circuit is {name!r}; it must be one of {known}. Take one of these.")


def knobs_of(model: Any) -> dict[str, float]:
    """Names and values of all maximal conductances of a model, those that are 0 included; mS/cm² and nS."""
    found = places(model.params)
    known = parameters(model)
    return {name: known[name] for name, place in found.items() if place.conducts}


def table_of_cells(model: Any, label: str) -> dict[str, dict[str, float]]:
    """The cells of Table 2 that a population can become, each as values by name; none where its channels are others."""
    checks.choice("the population", label, model.labels)
    names = {name for name in knobs_of(model) if name.startswith(f"{label} ")}
    wanted = {f"{label} {channel}" for channel in neuron_models.columns}
    population = next(p for p in model.circuit.populations if p.label == label)
    if names != wanted or population.type not in CELL_TYPES:
        return {}
    kind = "AB/PD" if population.type in ("AB", "PD", "AB/PD") else population.type
    rows = [cell for cell in neuron_models.index if cell.startswith(kind)]
    return {cell: {f"{label} {channel}": float(g) for channel, g in neuron_models.loc[cell].items()} for cell in rows}


# ---------------------------------------------------------------- what can be set


def checked_setup(setup: Setup, model: Any, known: Mapping[str, float] | None = None) -> Setup:
    """The set-up, with values in the order of the model and without those that are its own. Raises ValueError or TypeError.

    known: the model's conductances, where they have been looked up before.
    """
    known = knobs_of(model) if known is None else known
    for name, value in setup.values:
        checks.choice("a conductance", name, known)
        checks.number(repr(name), value, "mS/cm² or nS", least=0)
    for x in setup.currents:
        checks.choice("the cell of a current", x.cell, model.labels)
        checks.choice("the kind of a current", x.kind, KINDS)
        times = [checks.number(f"the {what} of a current", getattr(x, what), "nA and ms") for what in x._fields[2:]]
        if not 0 <= times[1] < times[2] <= WINDOW:
            raise ValueError(
                f"the current goes from {x.start:g} to {x.stop:g} ms; it must lie in the window, from 0 to {WINDOW:g} ms, and stop "
                "after it starts. Change the times."
            )
    if setup.temperature is not None:
        celsius("the temperature", setup.temperature)
    checks.number("the noise", setup.noise, "nA", least=0)
    checks.count("the seed", setup.seed, 2**31, least=0)
    checks.choice("the start", setup.start, STARTS)
    dt = checks.scheme(setup.solver, setup.dt, SCHEMES)
    if (setup.currents or setup.noise) and setup.solver != "staggered":
        raise ValueError(
            f"the solver is {setup.solver}; currents and noise go with staggered only. Change the solver, or take them out."
        )
    given = dict(setup.values)
    return setup._replace(
        values=tuple((n, float(given[n])) for n in known if given.get(n, known[n]) != known[n]), dt=dt
    )


# ---------------------------------------------------------------- runs


@partial(jax.jit, static_argnames=("grid", "solver", "dt", "record"))
def warmed(params: Any, T: Any, state: Any, I: Any, slots: Any, **how: Any) -> Any:
    """States at a temperature T (°C) that is traced, so that every temperature uses one program."""
    return integrate(warm(params, T), state, I, slots, t0=0.0, **how)


def times(start: float, duration: float) -> np.ndarray:
    """Times (ms) that are recorded."""
    return start + SAMPLE * np.arange(round(duration / SAMPLE) + 1)


def run(setup: Setup, model: Any, state: Any, t: np.ndarray, record: tuple[str, ...] | None = None) -> SimResult:
    """The result at times t (ms) of a model that has the values of the set-up, from a state at t[0].

    Raises FloatingPointError, naming the cell and the time, if the run turns non-finite.
    """
    at = model if setup.temperature is None else at_temperature(model, setup.temperature)
    with precision(model.dtype):
        s = set_up(model, t, state, setup.dt, float(t[0]))
        I: Any = np.zeros(len(model.rows), model.dtype)
        if setup.currents:
            I = I + injected(s, currents_by_cell(setup))
        if setup.noise:
            I = I + noise_of_cells(OU(0.0, setup.noise, NOISE_τ), jax.random.key(setup.seed), s, 0)
        how: Any = dict(grid=s.grid, solver=setup.solver, dt=s.dt, record=record)
        if setup.temperature is None:
            states = model.physics.integrate(model.params, s.start, I=I, slots=s.slots, t0=0.0, **how)
        else:
            states = warmed(model.params, setup.temperature, s.start, I, s.slots, **how)
        states = in_part(states, record)
    run_is_sound(states, t, model.cells)
    return SimResult(t, states, at, run=run_of(model, setup.solver, float(t[0]), "given", dt=setup.dt))


def currents_by_cell(setup: Setup) -> dict[str, Any]:
    """The protocols of a set-up by population; several into one add up. They hold for what follows the window as well."""
    found: dict[str, list[Any]] = {}
    for x in setup.currents:
        found.setdefault(x.cell, []).append(x.protocol())
    return {cell: together(p) for cell, p in found.items()}


def together(protocols: Sequence[Any]) -> Any:
    """The sum of protocols as one."""
    return lambda t: sum(p(t) if callable(p) else p for p in protocols)


def start_of(setup: Setup, model: Any) -> Any:
    """The state from which a set-up starts, at the temperature of its circuit; with changed values it is not kept on disk."""
    if setup.start == "thermalized":
        return model.get_thermalization() if not setup.values else model.get_thermalization(store=None)
    return model.cold if setup.start == "cold" else model.cold._replace(h=0 * model.cold.h)


def state_at_start(rig: Rig, moment: Moment | None) -> Any:
    """The state at the start of the window on the screen, or else that from which the set-up starts."""
    return start_of(rig.setup, rig.model()) if moment is None or moment.begin is None else moment.begin


# ---------------------------------------------------------------- judgement


def judged(result: Any) -> Judgement:
    """What a run of `JUDGED` does: pyloric, pyloric-like, or which feature fails first."""
    cells = summary(result)
    pace = cells.attrs["pacemaker"]
    period = float(cells.loc[[pace], "period (ms)"].iloc[0]) if pace is not None else np.nan
    if set(roles(result, list(result.model.cells))) < set(ROLES):
        deeds = ", ".join(f"{name(cell)} {deed}" for cell, deed in cells["activity"].items())
        return Judgement(f"No PD, LP and PY to judge: {deeds}", None, None, None, cells, period)
    table = report(result)
    like, pyloric = table.attrs["pyloric_like"], table.attrs["pyloric"]
    failing = table[~table["passes"]]
    if pyloric:
        line = "Pyloric: triphasic, regular, and all fifteen features lie where those of lobsters do"
    elif like:
        line = f"Pyloric-like: {15 - len(failing)} of 15 features pass; fails {', '.join(failing.index)}"
    else:
        line = f"Not pyloric-like: {cause(table, cells)}"
    return Judgement(line, pyloric, like, table, cells, period)


def cause(table: pd.DataFrame, cells: pd.DataFrame) -> str:
    """The first reason why a rhythm is not pyloric-like, in words."""
    missing = table[table["value"].isna()]
    silent = [name(cell) for cell in cells.index[cells["activity"] == "silent"]]
    if silent:
        return f"{', '.join(silent)} {'is' if len(silent) == 1 else 'are'} silent"
    if len(missing):
        return f"{missing.index[0]} cannot be taken, {missing['why'].iloc[0]}"
    if table.attrs["period CV"] > 0.02:
        return f"the period varies by {table.attrs['period CV']:.1%}, above 2%"
    return "LP and PY do not follow in this order"


def name(cell: Any) -> str:
    """A cell in words; of several of a population with its number."""
    return str(cell[0]) if not cell[1] else f"{cell[0]} {cell[1]}"


# ---------------------------------------------------------------- the rig


class Moment(NamedTuple):
    """What is on the screen."""

    setup: Setup
    begin: Any  # state at the start of the window
    result: SimResult | None  # the window; None before the first run, or where it failed
    problem: str  # why it failed, or ""
    took: float  # s


class Rig:
    """One set-up and its run."""

    def __init__(self, own: Any = None, setup: Setup | None = None) -> None:
        self.own = None if own is None else model_of(own)
        self.models: dict[str, Any] = {}
        self.looked_up: dict[str, dict[str, float]] = {}
        self.past: list[Setup] = []
        self.future: list[Setup] = []
        self.starts = 0  # how often there was a new start
        self.clock = 0.0  # ms since the last restart, at the start of the window
        self.setup = Setup(OWN if own is not None else "paper") if setup is None else setup
        self.setup = self.checked(self.setup)
        self.state: Any = None  # at the end of the window; None before a start
        self.moment: Moment | None = None

    def base(self, setup: Setup) -> Any:
        """The circuit of a set-up, before its values."""
        if setup.circuit not in self.models:
            self.models = dict(list(self.models.items())[-5:]) | {setup.circuit: circuit_of(setup.circuit, self.own)}
        return self.models[setup.circuit]

    def model(self, setup: Setup | None = None) -> Any:
        """The circuit with the values of a set-up, by default the present one."""
        setup = self.setup if setup is None else setup
        return model_with(self.base(setup), dict(setup.values)) if setup.values else self.base(setup)

    def known(self, setup: Setup) -> dict[str, float]:
        """The conductances of the circuit of a set-up, before its values."""
        base = self.base(setup)
        if setup.circuit not in self.looked_up:
            kept = {name: x for name, x in self.looked_up.items() if name in self.models}
            self.looked_up = kept | {setup.circuit: knobs_of(base)}
        return self.looked_up[setup.circuit]

    def values(self) -> dict[str, float]:
        """All conductances as they are set."""
        return self.known(self.setup) | dict(self.setup.values)

    def with_values(self, changed: Mapping[str, float]) -> Setup:
        """The set-up with other values, in the order of the circuit."""
        given, known = dict(self.setup.values) | dict(changed), self.known(self.setup)
        return self.setup._replace(values=tuple((n, given[n]) for n in (known | given) if n in given))

    def checked(self, setup: Setup) -> Setup:
        """The set-up, checked against its circuit. Raises ValueError or TypeError."""
        return checked_setup(setup, self.base(setup), self.known(setup))

    def change(self, setup: Setup) -> None:
        """Take another set-up; undo brings the present one back. Raises ValueError or TypeError."""
        setup = self.checked(setup)
        if setup != self.setup:
            self.past, self.future = [*self.past[-UNDOS:], self.setup], []
            self._take(setup)

    def _take(self, setup: Setup) -> None:
        if (setup.circuit, setup.start) != (self.setup.circuit, self.setup.start):
            self.restart()
        self.setup = setup

    def undo(self) -> bool:
        """Take the set-up before; whether there was one."""
        if self.past:
            self.future.append(self.setup)
            self._take(self.past.pop())
            return True
        return False

    def redo(self) -> bool:
        """Take the set-up that was undone last; whether there was one."""
        if self.future:
            self.past.append(self.setup)
            self._take(self.future.pop())
            return True
        return False

    def restart(self) -> None:
        """The next window starts as the set-up says, also if one is under way whose end would else be the present state."""
        self.state, self.starts = None, self.starts + 1

    def window(self, setup: Setup | None = None, *, goes_on: bool = True) -> Moment:
        """Run the next window, from the present state. goes_on: whether its end is the present state from then on.

        A run that fails leaves the present state as it is, and says why.
        """
        began, setup = time.perf_counter(), self.setup if setup is None else setup
        begin, starts = self.state, self.starts
        try:
            setup = self.checked(setup)
            model = self.model(setup)
            fresh = begin is None
            begin = start_of(setup, model) if fresh else begin
            result, problem = run(setup, model, begin, times(0.0, WINDOW)), ""
        except (ValueError, TypeError, ArithmeticError, MemoryError) as error:
            return self._keep(Moment(setup, begin, None, str(error), time.perf_counter() - began))
        if goes_on and starts == self.starts:
            self.clock = 0.0 if fresh else self.clock + WINDOW
            self.state = result.final_state
        elif fresh and starts == self.starts:
            self.state = begin
        return self._keep(Moment(setup, begin, result, problem, time.perf_counter() - began))

    def _keep(self, moment: Moment) -> Moment:
        self.moment = moment
        return moment

    def judge(self, moment: Moment | None = None) -> Judgement | None:
        """The judgement on the run after a window, which is its transient; None where there is no window."""
        moment = self.moment if moment is None else moment
        if moment is None or moment.result is None:
            return None
        try:
            t = times(WINDOW, JUDGED)
            return judged(run(moment.setup, self.model(moment.setup), moment.result.final_state, t, ("V",)))
        except (ValueError, TypeError, ArithmeticError, MemoryError) as error:
            none = pd.DataFrame({"duty cycle": [], "activity": []})
            return Judgement(f"What follows the window cannot be judged: {error}", None, None, None, none, np.nan)


def random_circuit(which: str, seed: int) -> Setup:
    """A circuit of the database drawn at random. which: "any", "pyloric-like" or "pyloric", of the sample that comes with the package."""
    checks.choice("the kind of circuit", which, ("any", "pyloric-like", "pyloric"))
    if which == "any":
        from ..database import TOTAL

        return Setup(f"db:{np.random.default_rng(seed).integers(TOTAL)}")
    checks.package("pyarrow", "parquet", "drawing a pyloric circuit")
    from ..config import sample_file

    rows = pd.read_parquet(sample_file("staggered"), columns=["pyloric", "pyloric_like"])
    found = rows.index[rows[which.replace("-", "_")]]
    return Setup(f"db:{np.random.default_rng(seed).choice(found)}")
