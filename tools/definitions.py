"""How pyloric_simulator/data/definitions.csv was made: what each choice that the paper leaves open does to its two fractions.

python tools/definitions.py FOLDER [RUN ...], after tools/database_sample.py FOLDER. Some of the choices are judged from the rows of that.
For the others it runs the first circuits of the sample once more for each of `RUNS`, by default all, and keeps their spike times in FOLDER
(300 MB; ten minutes on two cores that do nothing else; goes on where it was stopped). When all are there it judges
them by all definitions and writes FOLDER/definitions.csv.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from pyloric_simulator import database
from pyloric_simulator.engine.detection import GAP, MIN_BURST, SPIKE_THRESHOLD, STANDARD
from pyloric_simulator.ensembles import lanes
from pyloric_simulator.prinz2004 import State, cold_start, neuron_models, precision
from pyloric_simulator.rhythm import FEATURES, MAX_PERIOD_CV, MEAN, ROLES, Measures, measure, verdict

SAMPLE, SEED, BATCH, CORES = 20_480, 2004, 1024, 2
CVS, ORDERS = (0.005, 0.01, MAX_PERIOD_CV, 0.03, 0.05, 0.1, np.inf), (MEAN, 0.5, 0.7, 1.0)
DEMANDS = tuple(product(CVS, ORDERS))
USUAL = DEMANDS.index((MAX_PERIOD_CV, MEAN))


class Run(NamedTuple):
    """One run of circuits, whose spikes are kept from its beginning."""

    start: str = "thermalized"
    solver: str = "staggered"
    dt: float = 0.05  # ms
    threshold: float = SPIKE_THRESHOLD  # mV
    circuits: int = 5_120
    duration: float = 13_000.0  # ms


RUNS = {
    "default": Run(),
    "paper": Run(solver="exponential_euler", dt=0.025, circuits=4_096),
    "long": Run(duration=23_000.0, circuits=3_072),
    "random": Run(start="random phases"),
    "cold": Run(start="cold"),
    "threshold": Run(threshold=0.0, circuits=3_072),
}


# ------------------------------------------------------------------------------------- spikes


def started(run: Run, plan: lanes.Plan, rows: pd.DataFrame, cells: State, first: int) -> tuple[Any, Any]:
    """Parameters and states in lanes of some circuits, of which `first` is the place of the first in the sample."""
    g, gs = database.conductances(rows)
    if run.start == "thermalized":
        which = np.stack([neuron_models.index.get_indexer(pd.Index(rows[x])) for x in database.POPULATIONS], 1)
        return lanes.compiled("cpu", lanes.ready)(plan, g, gs, State(*(np.asarray(x)[which] for x in cells)))
    start = State(*(np.stack([x] * len(rows)) for x in cold_start(plan.circuit)))
    p, y = lanes.compiled("cpu", lanes.ready)(plan, g, gs, start)
    if run.start == "random phases":
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(SEED), i))(np.arange(first, first + len(rows)))
        y = lanes.compiled("cpu", lanes.thermalized)(plan, p, y, keys)
    return p, y


def spikes_of(run: Run, rows: pd.DataFrame, cells: State, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Ticks (circuit, cell, spike) and numbers (circuit, cell) of the spikes of some circuits."""
    room = 2 * lanes.room_for(run.duration)
    plan = lanes.Plan(database.MODEL.circuit, run.solver, run.dt, run.duration, 0.0, "float32", room)
    p, y = started(run, plan, rows, cells, first)
    now = lanes.compiled("cpu", lanes.Plan.begin)(plan, y)
    for b in range(0, plan.blocks(run.duration), lanes.PART):
        n = min(lanes.PART, plan.blocks(run.duration) - b)
        now = lanes.compiled("cpu", lanes.Plan.advance, 2)(plan, n, p, now, np.int32(b * plan.n))
    number = np.asarray(now.spikes.number).T
    ticks = np.moveaxis(np.asarray(now.spikes.ticks), -1, 0).swapaxes(1, 2)
    lost = ~np.isfinite(np.asarray(now.y.V)).all(0) | (number > room).any(1)
    return ticks[..., : number.max()], np.where(lost[:, None], -1, number)


def keep(name: str, folder: Path) -> None:
    """The spikes of a run, a file for each batch that is not there yet."""
    run, rows = RUNS[name], database.sample(SAMPLE, seed=SEED)
    setattr(lanes, "SPIKE_THRESHOLD", run.threshold)  # noqa: B010 — of the search for spikes, when it is compiled
    jax.clear_caches()
    lanes.compiled.cache_clear()
    options = database.options_for(BATCH, run.duration, 0.0, run.solver, run.dt, "float32", BATCH)
    cells = database.thermalized_cells(options)
    (folder / name).mkdir(parents=True, exist_ok=True)

    def batch(first: int) -> None:
        file = folder / name / f"{first:05d}.npz"
        if not file.exists():
            with precision("float64"):
                ticks, number = spikes_of(run, rows[first : first + BATCH], cells, first)
            np.savez(file.with_suffix(".part.npz"), ticks=ticks, number=number)
            file.with_suffix(".part.npz").rename(file)

    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(batch, range(0, run.circuits, BATCH)))


# ---------------------------------------------------------------------------------- definitions


class Definition(NamedTuple):
    """What is measured of a run; what the verdict asks for comes on top."""

    run: str
    gap: float = GAP  # ms
    min_duration: float = MIN_BURST  # ms
    transient: float = database.TRANSIENT  # ms
    duration: float = database.DURATION - database.TRANSIENT  # ms, what is measured


WINDOWS = ((0.0, 10_000.0), (1000.0, 10_000.0), (3000.0, 5000.0))  # ms, transient and what is measured after it
LATER = ((8000.0, 10_000.0), (13_000.0, 10_000.0), (3000.0, 15_000.0), (3000.0, 20_000.0))
DEFINITIONS = (
    *(Definition(name) for name in RUNS),
    *(Definition(name, gap=x) for name in ("default", "paper") for x in (75.0, 100.0, 200.0, 300.0)),
    *(Definition(name, min_duration=x) for name in ("default", "paper") for x in (-1.0, 0.0, 80.0)),
    *(Definition(name, transient=a, duration=b) for name in ("default", "paper") for a, b in WINDOWS),
    *(Definition("long", transient=a, duration=b) for a, b in LATER),
)  # fmt: skip

KNOWN = (Definition("default"), Definition("paper"), Definition("long"))  # of which the rows of the whole sample tell


def measured(file: Path, d: Definition) -> tuple[np.ndarray, ...]:
    """Values, variation of the period and share of cycles in order of the circuits of a batch."""
    run, data = RUNS[d.run], np.load(file)
    ticks_per_step = lanes.ticks_for(round(run.duration / run.dt))
    times = (data["ticks"] / ticks_per_step + lanes.OFFSET[run.solver]) * run.dt
    window, detection = (
        (d.transient, d.transient + d.duration),
        STANDARD._replace(gap=d.gap, min_duration=d.min_duration),
    )
    found = []
    for x, n in zip(times, data["number"], strict=True):
        trains = {role: t[:k] for role, t, k in zip(ROLES, x, np.maximum(n, 0), strict=True)}
        found.append(
            measure({role: t[(t >= window[0]) & (t <= window[1])] for role, t in trains.items()}, window, detection)
        )
    all_of = Measures(*map(np.stack, zip(*found, strict=True)))
    return all_of.values, all_of.cv, all_of.ordered


def verdicts(file: Path, d: Definition) -> np.ndarray:
    """Pyloric-like and pyloric by each demand on period and order, (demand, class, circuit)."""
    values, cv, ordered = measured(file, d)
    return np.array([verdict(values, cv, max_cv, order, ordered) for max_cv, order in DEMANDS])


def judged(folder: Path) -> Iterator[tuple[Definition, np.ndarray]]:
    """All definitions with the verdicts of their circuits, (demand, class, circuit)."""
    files = {name: sorted((folder / "spikes" / name).glob("?????.npz")) for name in RUNS}
    tasks = [(file, d) for d in DEFINITIONS for file in files[d.run]]
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        parts = pool.map(verdicts, *zip(*tasks, strict=True))
        for d in DEFINITIONS:
            yield d, np.concatenate([next(parts) for _ in files[d.run]], axis=-1)


def row_of(d: Definition, demand: tuple[float, Any], now: np.ndarray, usual: np.ndarray) -> dict[str, Any]:
    """A definition in full, and what it counts; now, usual: (class, circuit), by it and by the default."""
    run = {name: x for name, x in RUNS[d.run]._asdict().items() if name not in ("circuits", "duration")}
    row: dict[str, Any] = run | d._asdict() | {"max_cv": demand[0], "order": demand[1]}
    del row["run"]
    row["circuits"] = now.shape[1]
    for name, a, b in zip(("pyloric_like", "pyloric"), now, usual[:, : now.shape[1]], strict=True):
        row |= {
            f"{name}_count": int(a.sum()),
            f"{name}_gained": int((a & ~b).sum()),
            f"{name}_lost": int((b & ~a).sum()),
        }
    return row


def of_rows(path: Path) -> dict[tuple[float, Any], np.ndarray]:
    """Verdicts (class, circuit) on the rows of a run of the database, by demand; of old files by the mean order only."""
    rows = database.load(path)
    values, cv, ordered = rows[[*FEATURES]].to_numpy(), rows["period_cv"].to_numpy(), rows.get("cycles_in_order")
    orders = ORDERS if ordered is not None else ORDERS[:1]
    demands = [(max_cv, order) for max_cv, order in DEMANDS if order in orders]
    return {demand: np.array(verdict(values, cv, *demand, ordered)) for demand in demands}


def table(folder: Path) -> pd.DataFrame:
    """One row for each definition and demand; gained and lost are against the default definition with the default scheme."""
    found = {
        name: of_rows(folder / solver) for name, solver in (("default", "staggered"), ("paper", "exponential_euler"))
    }
    usual = found["default"][DEMANDS[USUAL]]
    rows = [row_of(Definition(name), demand, now, usual) for name in found for demand, now in found[name].items()]
    spikes = np.empty(0)
    for d, of_spikes in judged(folder):
        if d == Definition("default"):
            spikes = of_spikes[USUAL]
            print("verdicts unlike those of the rows:", (spikes != usual[:, : spikes.shape[1]]).sum(1), flush=True)
        print(*d, of_spikes.shape[-1], *of_spikes[USUAL].mean(1).round(4), flush=True)
        if d not in KNOWN:
            rows += [row_of(d, demand, now, spikes) for demand, now in zip(DEMANDS, of_spikes, strict=True)]
    return pd.DataFrame(rows)


if __name__ == "__main__":
    for chosen in sys.argv[2:] or RUNS:
        keep(chosen, Path(sys.argv[1]) / "spikes")
    if not sys.argv[2:]:
        table(Path(sys.argv[1])).to_csv(Path(sys.argv[1]) / "definitions.csv", index=False)
