"""The command `pyloric`: simulate a circuit, turn its knobs in a browser, judge the rhythm of a recording, run
circuits by the thousand, look at the paper's cells, mind the store of thermalized ones.

The simulator and the plotting libraries are imported by the functions that use them, so that help comes
at once.
"""

from __future__ import annotations

import _thread
import html
import importlib.util
import io
import math
import os
import platform
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NoReturn

import typer
import typer.core

from . import __version__
from .config import (
    DEFAULT_CIRCUIT,
    STORE_VARIABLE,
    find_circuit,
    load_settings,
    read_circuit,
    store_folder,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from .files.recording import Recording
    from .files.results import SimResult
    from .prinz2004 import Prinz2004

PATIENCE = 2.0  # s, what takes longer shows its progress
TICK = 0.5  # s, between two updates of the progress
CHUNK = 20_000  # steps, at most so many are computed at once
CHUNK_VALUES = 2_000_000  # cells × samples, at most so many are recorded at once
BYTES = 8  # of a number
MAX_BYTES = 2 * 10**9  # of a whole recording
FINE = 1.0  # ms, a spike lasts longer
COARSE = 10.0  # ms, at larger intervals a recording is of little use
HINT_AFTER = 3000.0  # ms, in a shorter recording a pacemaker may be silent between two bursts
HINT = "Circuits can have a second stable rhythm, where LP silences the pacemaker; the initial state decides."
PICTURE_POINTS = 40_000  # of each trace in a picture
PICTURES = (".html", ".png")
# What a report of a fault lists the versions of.
REPORTED = [
    "bokeh",
    "diffrax",
    "distributed",
    "holoviews",
    "jax",
    "jaxlib",
    "numpy",
    "optax",
    "pandas",
    "panel",
    "pyarrow",
    "sbi",
    "torch",
]
# Suffixes that an option does not take.
OTHER_KINDS = {"--csv": (".parquet", *PICTURES, ".toml"), "--parquet": (".csv", ".txt", ".tsv", *PICTURES, ".toml")}
DEBUG_VARIABLE = "PYLORIC_DEBUG"  # environment variable: if set, errors that nobody expected come with their traceback
# Exit statuses, as shells report SIGINT and SIGPIPE, and "internal software error".
INTERRUPTED, HUNG_UP, BUG = 130, 141, 70
# What the package raises for wrong use.
EXPECTED = (ValueError, TypeError, ArithmeticError, OSError, ImportError, MemoryError)
NO_PICTURE = "none"
TABLES = (".csv", ".txt", "")  # how files of circuits may end
OPTIONAL = {".png": ("matplotlib", "png"), ".parquet": ("pyarrow", "parquet")}  # suffix -> module, extra

# ------------------------------------------------------------------------------- the command line


class Stopped(Exception):
    """The user, or who reads the output, wants no more."""


class Commands(typer.core.TyperGroup):
    """The commands; being stopped reaches `main` as it is, whatever the version of typer makes of it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError) as error:
            raise Stopped from error


app = typer.Typer(
    name="pyloric", cls=Commands, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False,
    help="Simulate the crustacean pyloric circuit of Prinz, Bucher & Marder (2004).",
    epilog="Example: pyloric simulate paper --duration 10000 --out rhythm.html",
)  # fmt: skip

Circuit = Annotated[str, typer.Argument(metavar="CIRCUIT", help="A TOML file, or the name of a circuit.")]
SETTINGS = "from the settings"
Solver = Annotated[str | None, typer.Option(help="staggered or exponential_euler.", show_default=SETTINGS)]
Step = Annotated[float | None, typer.Option(help="Time step in ms.", show_default=SETTINGS)]
Precision = Annotated[str | None, typer.Option(help="float64 or float32.", show_default=SETTINGS)]
Store = Annotated[str | None, typer.Option(help="Folder of thermalized cells, or 'memory'.", show_default=SETTINGS)]
Progress = Annotated[
    bool | None, typer.Option("--progress/--no-progress", help="Show progress.", show_default="in a terminal")
]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit.

    Bad input ends with status 2 and one line on standard error, an interrupt with 130, an error in the program with 70 and a line that
    says how to report it. There is never a traceback, unless PYLORIC_DEBUG is set.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without µ still shows the numbers
    warnings.showwarning = lambda message, *_, **__: say(f"Warning: {message}")
    try:
        with no_interrupt_lost():
            status = app(arguments, standalone_mode=False)
            if sys.stdout is not None:  # as it is if nobody reads
                sys.stdout.flush()
        status = told(KeyboardInterrupt()) if status == INTERRUPTED else status  # by typer
    except typer.Abort:  # by a command that has said why
        status = INTERRUPTED
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get(DEBUG_VARIABLE) and not hasattr(error, "format_message"):
            raise
        status = told(error)
    if status == INTERRUPTED:  # without the usual end, which crashes while XLA still computes on other threads
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(status)
    sys.exit(status or 0)


@contextmanager
def no_interrupt_lost() -> Iterator[None]:
    """Where Python ignores exceptions, as in JAX's callback of the garbage collector, it ignores a Ctrl-C; let it come again."""
    usual = sys.unraisablehook

    def hook(lost: Any) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            threading.Timer(TICK / 5, _thread.interrupt_main).start()
        else:
            usual(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


def told(error: BaseException) -> int:
    """Say on one line why the command ended; returns the exit status."""
    cause = error.__cause__ if isinstance(error, Stopped) else error
    if isinstance(cause, KeyboardInterrupt):
        say("Interrupted.")
        return INTERRUPTED
    if isinstance(cause, BrokenPipeError):  # such as `pyloric cells | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return HUNG_UP
    if hasattr(error, "format_message"):  # typer's own complaints have it
        message = error.format_message()
        say(f"Error: {message}{'' if message.endswith(('.', '?')) else '.'} See --help.")
        return 2
    if isinstance(error, EXPECTED):
        say(f"Error: {refusal(error)}")
        return 2
    say(
        f"Error: {type(error).__name__}: {error}. This was not expected: please report it, with the command and what {DEBUG_VARIABLE}=1 "
        "makes it say."
    )
    return BUG


def refusal(error: BaseException) -> str:
    """What an error says, in our own words where they are the system's."""
    if isinstance(error, ModuleNotFoundError) and error.name and f"the package {error.name}" not in str(error):
        return f"the package {error.name} is missing; the command needs it. Install it: pip install {error.name}"
    if isinstance(error, MemoryError):
        return f"memory ran out. {error} Ask for less: a shorter --duration, a coarser --sample."
    if isinstance(error, OSError) and error.filename is not None:
        return f"'{error.filename}' cannot be used: {(error.strerror or str(error)).lower()}. Choose another file or folder."
    return str(error)


def say(message: str) -> None:
    """One line on standard error."""
    typer.echo(" ".join(message.split()), err=True)


@app.callback(invoke_without_command=True)
def pyloric(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    versions: Annotated[
        bool, typer.Option("--versions", help="Show versions and machine, for a report of a fault.")
    ] = False,
) -> None:
    if versions:
        known = about_here()
        typer.echo("\n".join(f"{name:{max(map(len, known))}}  {x}" for name, x in known.items()))
    elif version:
        typer.echo(f"pyloric_simulator {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def about_here() -> dict[str, str]:
    """Versions of what computes and draws, the machine, and where compiled code runs."""
    import jax

    installed = {name: metadata.version(name) for name in REPORTED if importlib.util.find_spec(name)}
    devices = jax.devices()
    return {
        "pyloric_simulator": __version__,
        "Python": platform.python_version(),
        **installed,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores",
        "devices": f"{len(devices)} {devices[0].device_kind}",
        "settings": load_settings().source,
    }


@app.command(epilog="Example: pyloric simulate paper --duration 10000 --out rhythm.html --csv rhythm.csv")
def simulate(
    circuit: Circuit = DEFAULT_CIRCUIT,
    duration: Annotated[float, typer.Option(help="What to record, in ms.")] = 5000.0,
    start: Annotated[float, typer.Option(help="When the recording begins, in ms.")] = 0.0,
    transient: Annotated[float, typer.Option(help="What the table leaves out of its beginning, in ms.")] = 0.0,
    sample: Annotated[float | None, typer.Option(help="Recording step in ms.", show_default="dt")] = None,
    solver: Solver = None,
    dt: Step = None,
    precision: Precision = None,
    out: Annotated[str, typer.Option(help="Picture: a .html or .png file, or 'none'.")] = "pyloric.html",
    no_plot: Annotated[bool, typer.Option("--no-plot", help="The same as --out none.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write V, Ca and s to this CSV file.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write V, Ca and s to this Parquet file.")] = None,
    store: Store = None,
    progress: Progress = None,
) -> None:
    """Simulate a circuit and describe its rhythm.

    Every cell starts from its own rhythm. A table shows what it does in the circuit, a picture its potential.
    """
    picture, source = None if no_plot or out == NO_PICTURE else Path(out), find_circuit(circuit)
    check_outputs(picture, csv, parquet, source)
    title, model = read_circuit(source).title, load(source, precision)
    plan = planned(model, solver, dt, sample, start, duration, transient, whole=bool(csv or parquet))
    where, shown = folder(store), wanted(progress)
    typer.echo(f"{title}\n{size(model)}; {plan.solver}, dt {plan.dt:g} ms, {model.dtype}\n{sources(source)}")
    result, speed = record(model, plan, where, shown)
    typer.echo(report(result, start + transient))
    if (step := plan.dt * plan.stride) > FINE:
        say(f"Warning: --sample is {step:g} ms; above {FINE:g} ms the table misses spikes. Say {FINE:g}.")
    typer.echo(speed)
    writing = (picture, partial(draw, result, title)), (csv, result.to_csv), (parquet, result.to_parquet)
    for path, write in writing:
        if path is not None:
            with watched(f"Writing {path}", shown):
                write(path)
            typer.echo(f"Wrote {path}")


@app.command(epilog="Example: pyloric explore paper")
def explore(
    circuit: Annotated[
        str, typer.Argument(metavar="CIRCUIT", help="A TOML file, the name of a circuit, or the number of one of the database.")
    ] = DEFAULT_CIRCUIT,
    port: Annotated[int, typer.Option(help="Where to listen; 0 takes a free port.")] = 5006,
    address: Annotated[str, typer.Option(help="The network interface on which to listen.")] = "127.0.0.1",
    no_show: Annotated[bool, typer.Option("--no-show", help="Do not open a browser.")] = False,
    precision: Precision = None,
) -> None:  # fmt: skip
    """Turn the knobs of a circuit in the browser, and watch its rhythm.

    Only this machine can reach the page, unless --address says otherwise. Ctrl-C ends it.
    """
    from .explorer import serve

    numbered = circuit.isdecimal()
    model = None if numbered or circuit == DEFAULT_CIRCUIT else model_in(find_circuit(circuit), precision)
    first = f"circuit=db:{circuit}" if numbered else ""
    serve(model, first=first, port=port, address=address, show=not no_show)


@app.command(epilog="Example: pyloric cells")
def cells() -> None:
    """Show the sixteen cells of the paper."""
    from .prinz2004 import neuron_models

    typer.echo("Maximal conductances in mS/cm² (Prinz, Bucher & Marder 2004, Table 2)\n")
    typer.echo(neuron_models.rename_axis(index=None, columns=None).to_string(float_format=lambda g: f"{g:g}"))


@app.command(epilog="Example: pyloric thermalize --all")
def thermalize(
    circuits: Annotated[
        list[str] | None,
        typer.Argument(metavar="CIRCUIT", help="TOML files, or names of circuits.", show_default=DEFAULT_CIRCUIT),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All sixteen cells of the paper.")] = False,
    solver: Solver = None,
    dt: Step = None,
    precision: Precision = None,
    store: Store = None,
    progress: Progress = None,
) -> None:
    """Bring cells into their own rhythm and show it.

    Each runs alone for 5 s. Its state is kept for later runs, which start from it.
    """
    if every and circuits:
        raise ValueError(f"--all comes with {circuits[0]!r}; it means all cells of the paper. Drop one of the two.")
    chosen = [None] if every else circuits or [DEFAULT_CIRCUIT]
    models = [all_cells(precision) if name is None else load(find_circuit(name), precision) for name in chosen]
    where = folder(store)
    for model in models:
        before = time.perf_counter()
        with watched(f"Thermalizing {len(model.labels)} cells", wanted(progress)):
            state = model.get_thermalization(solver=solver, dt=dt, store=where)
        typer.echo(state_table(model, state))
        typer.echo(f"Thermalized in {time.perf_counter() - before:.2f} s\n")
    typer.echo("\n".join([store_line(where), *settings_line()]))


@app.command(epilog="Example: pyloric cache --clear")
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Empty the store.")] = False, store: Store = None
) -> None:
    """Show or empty the store of thermalized cells."""
    where = folder(store)
    if clear and where is not None:
        from .files.store import ThermalizationStore

        typer.echo(f"Removed {ThermalizationStore(where).clear()} thermalized cells")
    typer.echo("\n".join([store_line(where), *settings_line()]))


Of = typer.Option
CellsOption = Annotated[
    str | None,
    Of(help="Channels that are PD, LP and PY: ch3,ch1,ch2 or PD=ch3,LP=ch1,PY=ch2.", show_default="by their names"),
]
NervesOption = Annotated[
    str | None,
    Of(
        help="Spikes on nerves, with least and largest height in mV: PD=pdn,LP=lvn:0.3,PY=pyn:0.05:0.2.",
        show_default="cells",
    ),
]
UnitsOption = Annotated[
    str | None, Of(help="Of channels whose unit the file does not say, V, mV or µV.", show_default="mV in text")
]
SamplingOption = Annotated[
    float | None, Of(help="From one row to the next, in ms, of text without times.", show_default="none")
]
SweepOption = Annotated[int | None, Of(help="Which sweep, from 0, where each begins anew.", show_default="all")]
RefractoryOption = Annotated[
    float | None, Of(help="Between spikes of a cell at least, in ms.", show_default="1, of nerves 1.5")
]
FILE_HELP = "Text or Parquet with times in ms, or named as 'time (s)' is, and a column of V for each cell; NWB; or of an instrument, .abf, .smr, …"


@app.command(epilog="Example: pyloric rhythm recording.abf --cells PD=ch3,LP=ch1,PY=ch2")
def rhythm(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=FILE_HELP)],
    cells: CellsOption = None, nerves: NervesOption = None, units: UnitsOption = None, sampling: SamplingOption = None, sweep: SweepOption = None,
    start: Annotated[float | None, Of(help="Leave out what is before, in ms.", show_default="nothing")] = None,
    threshold: Annotated[float | None, Of(help="Spikes are higher, in mV.", show_default="-10, of nerves by the noise")] = None,
    prominence: Annotated[float | None, Of(help="Spikes stand out by so much, in mV.", show_default="5, or more where there is noise")] = None,
    refractory: RefractoryOption = None,
    kind: Annotated[str | None, Of(help="Spikes are timed by their maxima, or by crossings.", show_default="maxima")] = None,
    artefact: Annotated[float | None, Of(help="On nerves, what is higher is no spike, in mV.", show_default="nothing")] = None,
    gap: Annotated[float | None, Of(help="A longer silence separates bursts, in ms.", show_default="150")] = None,
    min_duration: Annotated[float | None, Of(help="Bursts are longer, in ms.", show_default="40")] = None,
    order: Annotated[float | None, Of(help="Share of the cycles that must be in order, up to 1.", show_default="their mean must be")] = None,
) -> None:  # fmt: skip
    """Describe the rhythm of a recording and hold it against the fifteen criteria."""
    from .files.recording import as_recording, left_out
    from .rhythm import MEAN, report, summary

    given = {"units": units, "sampling": sampling, "sweep": sweep}
    if nerves is None:
        d = detection_of(threshold, prominence, refractory, kind, gap, min_duration)
        whole, chosen = of_electrodes(file, cells, d, artefact, given)
    else:
        d = detection_of(None, None, None, None, gap, min_duration)
        whole, chosen = of_nerves(
            file,
            nerves,
            {"--cells": cells, "--prominence": prominence, "--kind": kind},
            (threshold, refractory, artefact),
            given,
        )
    found = as_recording(whole, window_of(whole.window, start))
    table = report(found, cells=chosen, order=MEAN if order is None else order, detection=d)
    typer.echo(rhythm_table(summary(found, detection=d)) + "\n")
    typer.echo(table.drop(columns="unit").to_string(float_format=lambda x: f"{x:.3f}", na_rep="–"))
    typer.echo(f"\n{said_of_recording(whole)}")
    if found.window != whole.window:
        typer.echo(f"\nFrom {found.window[0]:g} to {found.window[1]:g} ms, of a recording from {whole.window[0]:g} ms.")
    if missing := left_out(found):
        typer.echo(f"\nThe recording has {missing}; bursts and cycles next to a gap are not counted.")
    typer.echo(f"\nPyloric-like: {yes(table.attrs['pyloric_like'])}. Pyloric: {yes(table.attrs['pyloric'])}.")


def of_electrodes(
    file: Path, cells: str | None, d: Any, artefact: float | None, given: dict[str, Any]
) -> tuple[Recording, dict[str, str]]:
    """The spikes of potentials in a file, and the cells that are PD, LP and PY."""
    from .engine.detection import checked
    from .files.recording import read_file
    from .rhythm import trains_of

    if artefact is not None:
        raise ValueError(f"--artefact is {artefact:g}; it is for nerves. Say --nerves, or leave it out.")
    named = named_channels("--cells", cells)
    whole = read_file(file, named, **given)
    chosen = roles_of(whole, None if named else cells)
    return whole._replace(trains=trains_of(whole, checked(d))), chosen  # found once, for both tables


def of_nerves(
    file: Path, nerves: str, others: dict[str, Any], heights: tuple[float | None, float | None, float | None], given: dict[str, Any]
) -> tuple[Recording, dict[str, str]]:  # fmt: skip
    """The spikes of cells on the nerves in a file, and the cells that are PD, LP and PY; others: options that do not go with it."""
    from .files.nerves import NerveDetection, read_nerves

    for option, value in others.items():
        if value is not None:
            raise ValueError(
                f"{option} is {value!r}; it is for potentials of cells, and --nerves for nerves. Leave one out."
            )
    named = named_channels("--nerves", nerves)
    if named is None:
        raise ValueError(f"--nerves is {nerves!r}; it must name a channel for each cell. Say PD=pdn,LP=lvn:0.3,PY=pyn.")
    units = {}
    for cell, text in named.items():
        channel, *windows = text.split(":")
        try:
            units[cell] = (channel, *map(float, windows))
        except ValueError:
            raise ValueError(
                f"--nerves has {text!r}; a channel and heights in mV are wanted. Say {cell}={channel}:0.3:0.6."
            ) from None
    values: dict[str, Any] = dict(zip(("threshold", "refractory", "artefact"), heights, strict=True))
    detection = NerveDetection(**{name: x for name, x in values.items() if x is not None})
    channel_units = given.pop("units")
    found = read_nerves(file, units, detection=detection, channel_units=channel_units, **given)
    return found, roles_of(found, None)


def named_channels(option: str, cells: str | None) -> dict[str, str] | None:
    """The channels by the names of the cells, of an option such as "PD=ch3,LP=ch1"; None where it names no cells."""
    parts = [] if cells is None else [part.partition("=") for part in cells.split(",")]
    if not any(sign for _, sign, _ in parts):
        return None
    if wrong := [name for name, sign, channel in parts if not (sign and name.strip() and channel.strip())]:
        raise ValueError(
            f"{option} is {cells!r}; it must name a channel for each cell, and {wrong[0]!r} has none. Say PD=ch3,LP=ch1,PY=ch2."
        )
    found = {name.strip(): channel.strip() for name, _, channel in parts}
    if len(found) < len(parts):
        raise ValueError(f"{option} is {cells!r}, with a cell twice; each has one channel. Leave one out.")
    return found


def said_of_recording(found: Recording) -> str:
    """What was read, in a sentence."""
    import numpy as np

    said = (
        getattr(found.source, "said", None)
        or getattr(found.source, "attrs", {}).get("source")
        or f"{len(found.cells)} cells"
    )
    if found.t is None or len(found.t) < 2:
        return f"Read {said}."
    step = float(np.median(np.diff(found.t[:CHUNK])))
    return f"Read {said}; {len(found.t):,} samples, one each {step:.4g} ms, from {found.window[0]:g} to {found.window[1]:g} ms."


def detection_of(*options: float | str | None) -> Any:
    """A `Detection` from options in the order of its fields, of which None is the usual one."""
    from .engine.detection import Detection

    given = zip(Detection._fields, options, strict=True)
    return Detection(**{name: value for name, value in given if value is not None})  # type: ignore[arg-type]


database = typer.Typer(rich_markup_mode=None)
app.add_typer(database, name="database")


@database.callback(invoke_without_command=True, epilog="Example: pyloric database run results --sample 20000 --seed 1")
def of_the_paper(context: typer.Context) -> None:
    """Run circuits of the paper's database by the thousand."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of results.")]


@database.command("sample", epilog="Example: pyloric database sample 1000 --seed 1 --out circuits.csv")
def database_sample(
    n: Annotated[int, typer.Argument(metavar="N", help="Number of circuits.")],
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same circuits, fewer of them the first ones.")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="A CSV file.", show_default="show them")] = None,
) -> None:
    """Draw circuits of the database at random."""
    from .database import sample
    from .files.writing import written_whole

    if out is not None and (out.suffix.lower() not in TABLES or out.is_dir() or not out.parent.is_dir()):
        raise ValueError(
            f"--out is '{out}'; it must be a CSV file in a folder that is there, such as circuits.csv. Change it."
        )
    rows = sample(n, seed)
    if out is None:
        typer.echo(rows.to_string())
    else:
        with written_whole(out) as file:
            file.write(rows.to_csv().encode())
        typer.echo(f"Wrote {len(rows)} circuits to {out}")


@database.command("run", epilog="Example: pyloric database run results --sample 20000 --seed 1")
def database_run(
    path: Folder,
    number: Annotated[int | None, typer.Option("--sample", help="Run so many circuits drawn at random.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the sample.", show_default="0")] = None,
    circuits: Annotated[Path | None, typer.Option(help="Run the circuits in this CSV or Parquet file.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run all 20,250,000.")] = False,
    duration: Annotated[float | None, typer.Option(help="Of each run, in ms.", show_default="13000")] = None,
    transient: Annotated[float | None, typer.Option(help="What is left out of it, in ms.", show_default="3000")] = None,
    solver: Annotated[
        str | None, typer.Option(help="staggered or exponential_euler.", show_default="staggered")
    ] = None,
    dt: Annotated[float | None, typer.Option(help="Time step in ms.", show_default="0.05")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or float64.", show_default="float32")] = None,
    progress: Progress = None,
) -> None:
    """Run circuits into a folder. A run that was stopped goes on where it was."""
    from . import database as db

    if (number is not None) + (circuits is not None) + every != 1:
        raise ValueError("Circuits are named by one of --sample, --circuits and --all; say one of them.")
    if number is None and seed is not None:
        raise ValueError(f"--seed is {seed}, but there is no sample; it belongs to --sample. Leave it out.")
    chosen = db.sample(number, seed or 0) if number is not None else range(db.TOTAL)
    if circuits is not None:
        chosen = read(circuits)
        chosen = chosen.reset_index() if chosen.index.name in db.COLUMNS else chosen  # a table without labels
    given = {"duration": duration, "transient": transient, "solver": solver, "dt": dt, "dtype": precision}
    options = {name: value for name, value in given.items() if value is not None}
    try:
        db.fill(chosen, path, progress=wanted(progress), **options)
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", []):
            say(note)
        raise typer.Abort from None
    typer.echo(database_text(path))


@database.command("status", epilog="Example: pyloric database status results")
def database_status(path: Folder) -> None:
    """Show how much of a run is done."""
    from .database import status

    state = status(path)
    typer.echo(f"{state['done']:,} of {state['circuits']:,} circuits are done in {path}")


@database.command("summary", epilog="Example: pyloric database summary results")
def database_summary(
    path: Folder,
    max_cv: Annotated[float | None, typer.Option(help="Largest variation of the period.", show_default="0.02")] = None,
) -> None:
    """Show the fractions of pyloric-like and pyloric circuits, and how parameters differ among them."""
    typer.echo(database_text(path, max_cv))


def database_text(path: Path, max_cv: float | None = None) -> str:
    """The summary of a run as text."""
    from .database import summary
    from .rhythm import MAX_PERIOD_CV

    found = summary(path, MAX_PERIOD_CV if max_cv is None else max_cv)
    of, n = found.fractions.attrs["circuits"], found.fractions.attrs["done"]
    lines = [f"{name:13} {row['fraction']:8.3%}  (95%: {row['low']:.3%} to {row['high']:.3%})  {row['count']:,.0f} of {row['of']:,.0f}"
             for name, row in found.fractions.iterrows()]  # fmt: skip
    lines += [f"The run is not finished: {n:,} of {of:,} circuits are done."] if n < of else []
    if len(found.parameters):  # circuits with conductances of their own have none to compare
        lines += ["", found.parameters.to_string(float_format=lambda x: f"{x:.3f}")]
    return "\n".join(lines)


single_cells = typer.Typer(rich_markup_mode=None)
database.add_typer(single_cells, name="cells")


@single_cells.callback(
    invoke_without_command=True, epilog="Example: pyloric database cells run cells --sample 2000 --seed 1"
)
def of_2003(context: typer.Context) -> None:
    """Run the 1,679,616 single cells of the database of 2003."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@single_cells.command("run", epilog="Example: pyloric database cells run cells --sample 2000 --seed 1")
def cells_run(
    path: Folder,
    number: Annotated[int | None, typer.Option("--sample", help="Run so many cells drawn at random.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the sample.", show_default="0")] = None,
    cells: Annotated[Path | None, typer.Option("--cells", help="Run the cells in this CSV or Parquet file.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run all 1,679,616.")] = False,
    start: Annotated[str | None, typer.Option(help="cold or depolarized.", show_default="cold")] = None,
    limit: Annotated[
        float | None, typer.Option(help="Longest run of a cell that does not settle, in ms.", show_default="30000")
    ] = None,
    progress: Progress = None,
) -> None:
    """Run cells until they settle, into a folder. A run that was stopped goes on where it was."""
    from .ensembles import cells as db

    if (number is not None) + (cells is not None) + every != 1:
        raise ValueError("Cells are named by one of --sample, --cells and --all; say one of them.")
    if number is None and seed is not None:
        raise ValueError(f"--seed is {seed}, but there is no sample; it belongs to --sample. Leave it out.")
    chosen = db.sample(number, seed or 0) if number is not None else range(1, db.TOTAL + 1)
    if cells is not None:
        chosen = read(cells)
        chosen = chosen.reset_index() if chosen.index.name in db.CHANNELS else chosen  # a table without labels
    options = {name: value for name, value in {"start": start, "limit": limit}.items() if value is not None}
    try:
        db.fill(chosen, path, progress=wanted(progress), **options)
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", []):
            say(note)
        raise typer.Abort from None
    typer.echo(cells_text(path))


@single_cells.command("summary", epilog="Example: pyloric database cells summary cells")
def cells_summary(path: Folder) -> None:
    """Show the shares of silent, spiking, bursting and irregular cells, and of their kinds."""
    typer.echo(cells_text(path))


def cells_text(path: Path) -> str:
    """The summary of a run of cells as text."""
    from .ensembles.cells import summary

    found = summary(path)
    return "\n\n".join(shares_text(part) for part in (found.families, found.activities))


def shares_text(shares: pd.DataFrame) -> str:
    """Shares with their intervals, a line each."""
    return "\n".join(
        f"{name:17} {row['fraction']:8.3%}  (95%: {row['low']:.3%} to {row['high']:.3%})  {row['count']:,.0f} of {row['of']:,.0f}"
        for name, row in shares.iterrows()
    )


def yes(value: bool) -> str:
    """A word for a boolean."""
    return "yes" if value else "no"


# ------------------------------------------------------------------------------- recordings


def read(file: Path) -> pd.DataFrame:
    """The table in a CSV or Parquet file, indexed by its first column."""
    import pandas as pd

    from .files.tables import read_table

    data = read_table(file)
    counted = isinstance(data.index, pd.RangeIndex) and data.index.name is None  # the rows, by pandas
    if not counted:
        return data
    name = str(data.columns[0])
    return data.set_index(data.columns[0]).rename_axis(None if name.startswith("Unnamed: ") else name)


def window_of(whole: tuple[float, float], start: float | None) -> tuple[float, float]:
    """Beginning and end (ms) of what is described; `start` as given."""
    from .engine import checks

    first, last = whole
    begin = first if start is None else checks.number("--start", start, "ms")
    if begin > last:
        raise ValueError(
            f"--start is {begin:g} ms; it must lie before the end of the recording, {last:g} ms. Choose an earlier time."
        )
    return max(begin, first), last


def roles_of(found: Recording, cells: str | None) -> dict[str, str]:
    """The columns that are PD, LP and PY: those of `--cells`, or else those whose names tell."""
    from .engine.checks import listing
    from .rhythm import ROLES, roles

    given = [] if cells is None else [name.strip() for name in cells.split(",")]
    chosen = roles(found.source, found.cells) if cells is None else dict(zip(ROLES, given, strict=False))
    if len(chosen) < len(ROLES) or len(given) > len(ROLES) or not set(given) <= set(found.cells):
        said = "not given" if cells is None else repr(cells)
        raise ValueError(
            f"--cells is {said}, and the columns are {listing(found.cells)}; it must name those that are {', '.join(ROLES)}. "
            "Say them in this order, with commas between."
        )
    return chosen


# ------------------------------------------------------------------------------- arguments


def check_outputs(picture: Path | None, csv: Path | None, parquet: Path | None, source: Path) -> None:
    """Refuse files that could not be written after the run, before it; `source` is what is read."""
    from .files.results import COMPRESSED
    from .files.writing import can_be_written

    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise ValueError(f"--out is '{picture}'; it must end in .html or .png. To have no picture say --out none.")
    paths = [path for path in (picture, csv, parquet) if path is not None]
    targets = [can_be_written(path) for path in paths]
    for i, (path, target) in enumerate(zip(paths, targets, strict=True)):
        if target.exists() and target.samefile(source):
            raise ValueError(
                f"'{path}' is the circuit that is to be simulated; it would be overwritten. Choose another name."
            )
        if target in targets[:i] and target != Path(os.devnull):
            raise ValueError(f"'{path}' is named for two outputs; each needs a file of its own. Rename one.")
    for option, file in (("--csv", csv), ("--parquet", parquet)):
        if file is not None and file.suffix.lower() in (*OTHER_KINDS[option], *COMPRESSED):
            raise ValueError(
                f"{option} is '{file}', whose name is that of another kind of file; others would misread it. Rename it."
            )
    for kind in (picture.suffix.lower() if picture else "", ".parquet" if parquet else ""):
        module, extra = OPTIONAL.get(kind, ("sys", ""))
        if importlib.util.find_spec(module) is None:
            raise ImportError(
                f"writing {kind} needs {module}, which is missing: pip install 'pyloric-simulator[{extra}]'"
            )


def folder(store: str | None) -> Path | None:
    """The folder of the store that an option or else the settings name; None for memory."""
    return store_folder() if store is None else store_folder(store)


def load(source: Path, precision: str | None) -> Prinz2004:
    """The circuit in a file."""
    from .prinz2004 import Prinz2004

    return Prinz2004.from_toml(source, dtype=precision)


def model_in(source: Path, precision: str | None) -> Any:
    """The circuit, or the network of cells of one's own, in a file."""
    from .config import read_toml
    from .models.networks import Network

    given = {} if precision is None else {"dtype": precision}
    return Network.from_toml(source, **given) if "cells" in read_toml(source) else load(source, precision)


def all_cells(precision: str | None) -> Prinz2004:
    """The sixteen cells of the paper, without synapses."""
    from .prinz2004 import Prinz2004, neuron_models

    return Prinz2004(dict.fromkeys(neuron_models.index, 1), {}, neuron_models, dtype=precision)


class Plan(NamedTuple):
    """How to run and what to record."""

    solver: str
    dt: float  # ms, time step
    stride: int  # steps between two samples
    first: int  # sample with which the recording begins
    last: int  # sample with which it ends
    fields: tuple[str, ...]  # of `State`, what to record


def planned(
    model: Prinz2004, solver: str | None, dt: float | None, sample: float | None,
    start: float, duration: float, transient: float, *, whole: bool,
) -> Plan:  # fmt: skip
    """The plan of a run in ms; `whole`: with all that goes into files. Raises ValueError if it cannot be."""
    from .engine import checks
    from .engine.checks import MAX_STEPS
    from .prinz2004 import SCHEMES

    settings = load_settings()
    solver, dt = settings.solver if solver is None else solver, settings.dt if dt is None else dt
    dt = checks.scheme(solver, dt, SCHEMES)
    sample = dt if sample is None else checks.number("--sample", sample, "ms")
    stride = round(sample / dt)
    if stride < 1 or not math.isclose(stride * dt, sample):
        raise ValueError(
            f"--sample is {sample:g} ms; it must be a multiple of dt, {dt:g} ms. Say {max(stride, 1) * dt:g}."
        )
    for name, value in (("--start", start), ("--transient", transient), ("--duration", duration)):
        if checks.number(name, value, "ms") < 0:
            raise ValueError(f"{name} is {value:g} ms; time does not run backwards. Take a positive number.")
    if start + duration > MAX_STEPS * dt:
        raise ValueError(
            f"--start and --duration end at {start + duration:g} ms; that is more than {MAX_STEPS:,} steps of {dt:g} ms, at most which a "
            f"run can have. Let it end before {MAX_STEPS * dt:.4g} ms."
        )
    if transient >= duration:
        raise ValueError(
            f"--duration is {duration:g} ms; it must be longer than --transient, {transient:g} ms. Raise it."
        )
    checks.steps((start + duration,), 0.0, dt)
    fields = ("V", "Ca", "s") if whole else ("V",)
    plan = Plan(solver, dt, stride, round(start / sample), round((start + duration) / sample), fields)
    check_size(plan, len(model.rows), sample)
    return plan


def check_size(plan: Plan, cells: int, sample: float) -> None:
    """Refuse a recording of no or of too many samples."""
    samples = plan.last - plan.first
    if samples < 1:
        raise ValueError(
            f"--duration is shorter than one sample; it must be at least --sample, {sample:g} ms. Raise it."
        )
    size = BYTES * samples * cells * (1 if len(plan.fields) == 1 else 4)  # Ca and two s come to V
    if size > MAX_BYTES:
        coarser = plan.dt * math.ceil(plan.stride * size / MAX_BYTES)
        cure = f"Say --sample {coarser:g}, or shorten --duration" if coarser <= COARSE else "Shorten --duration"
        raise ValueError(
            f"--sample is {sample:g} ms; the recording would take {size / 1e9:.1f} GB of memory, and it may "
            f"take {MAX_BYTES / 1e9:g}. {cure}."
        )


# ------------------------------------------------------------------------------- the run


def wanted(progress: bool | None) -> bool:
    """Whether to show progress: as the option says, or else in a terminal if the settings allow it."""
    return load_settings().progress and sys.stderr.isatty() if progress is None else progress


@contextmanager
def watched(what: str, shown: bool, total: float | None = None) -> Iterator[Any]:
    """A progress bar (increase its `n`, up to `total`) if shown and if the block takes long."""
    from tqdm import tqdm

    form = "{desc} {elapsed}" if total is None else "{desc} |{bar}| {percentage:.0f}% {elapsed}<{remaining}"
    bar = tqdm(total=total, desc=what, bar_format=form, delay=PATIENCE, leave=False, disable=not shown)
    done = threading.Event()

    def tick() -> None:
        if not done.wait(PATIENCE):
            bar.refresh()
            while not done.wait(TICK):
                bar.refresh()
            bar.clear()

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield bar
    finally:
        done.set()
        ticker.join()
        bar.close()


def record(model: Prinz2004, plan: Plan, store: Path | None, shown: bool) -> tuple[SimResult, str]:
    """The run from thermalized cells, and a line on how long it took.

    It is computed in chunks of one length, so that one compilation serves all. Each starts at its own time 0
    from the last state of the one before it, and so repeats the operations of an uninterrupted run.
    """
    import numpy as np

    from .files.results import SimResult, run_of

    sample, took = plan.dt * plan.stride, [time.perf_counter()]
    largest = max(1, min(CHUNK // plan.stride, CHUNK_VALUES // len(model.rows)))
    chunk = math.ceil(plan.last / max(2, math.ceil(plan.last / largest)))  # two or more, to tell compilation
    with watched("Simulating", shown, plan.last) as bar:
        state = model.get_thermalization(solver=plan.solver, dt=plan.dt, store=store)
        kept = empty_like(state, plan)
        for begin in range(0, plan.last, chunk):
            part = model(sample * np.arange(chunk + 1), state=state, solver=plan.solver, dt=plan.dt)
            state = part.final_state
            keep(part.states, kept, begin, plan)
            took.append(time.perf_counter())
            bar.n = min(begin + chunk, plan.last)
    t = sample * np.arange(plan.first, plan.last + 1)
    run = run_of(model, plan.solver, 0.0, "thermalized", dt=plan.dt)
    return SimResult(t, kept, model, run=run), speed_line(plan.last * sample, chunk * sample, np.diff(took))


def empty_like(state: Any, plan: Plan) -> Any:
    """A recording of states like this one; the fields that the plan does not record have no columns."""
    import numpy as np

    n = plan.last - plan.first + 1
    shapes = {f: x.shape if f in plan.fields else (*x.shape[:-1], 0) for f, x in state._asdict().items()}
    return type(state)(*(np.empty((n, *shapes[f]), x.dtype) for f, x in state._asdict().items()))


def keep(states: Any, kept: Any, begin: int, plan: Plan) -> None:
    """Copy what the plan records of a chunk, which begins with the sample `begin`, into the recording."""
    low, high = max(begin, plan.first), min(begin + len(states.V), plan.last + 1)
    if low < high:
        to, of = slice(low - plan.first, high - plan.first), slice(low - begin, high - begin)
        for field in plan.fields:
            getattr(kept, field)[to] = getattr(states, field)[of]


def speed_line(total: float, chunk: float, seconds: np.ndarray) -> str:
    """How long the run took: simulated ms in all and in a chunk, and the seconds of each chunk."""
    line = f"Simulated {total / 1000:g} s in {seconds.sum():.2f} s"
    if len(seconds) == 1:
        return line
    later = seconds[1:].mean()
    start = max(seconds[0] - later, 0)
    speed = chunk / 1000 / later
    return f"{line}, {start:.2f} s of it to prepare and compile; then {speed:.1f} times as fast as real time"


# ------------------------------------------------------------------------------- what is shown


def size(model: Prinz2004) -> str:
    """The populations and the number of synapses between them, in words."""
    populations = ", ".join(f"{p.size} {p.label}" for p in model.circuit.populations)
    return f"{populations}; {len(model.synapses)} synapses"


def sources(circuit: Path) -> str:
    """The files that decide what is run, a line each; none for what comes with the package."""
    shipped = Path(__file__).parent / "config"
    lines = [f"Circuit: {circuit}"] if shipped not in circuit.absolute().parents else []
    return "\n".join([*lines, *settings_line(), ""])


def settings_line() -> list[str]:
    """Where the settings come from, if from a file."""
    source = load_settings().source
    return [] if source in ("defaults", STORE_VARIABLE) else [f"Settings: {source}"]


def store_line(where: Path | None) -> str:
    """Where the store is, and how many cells it holds."""
    from .files.store import ThermalizationStore

    if where is None:
        return "Thermalized cells are kept in the memory of a process only"
    return f"{len(ThermalizationStore(where).keys())} thermalized cells are kept in {where}"


def state_table(model: Prinz2004, state: Any) -> str:
    """State of the first cell of each population."""
    import numpy as np
    import pandas as pd

    channels = model.circuit.channels
    gates = [f"m {c.name}" for c in channels if c.m] + [f"h {c.name}" for c in channels if c.h]
    first = np.searchsorted(model.rows, range(len(model.labels)))
    values = np.column_stack([state.V, state.Ca, state.m, state.h])[first]
    table = pd.DataFrame(values, list(model.labels), ["V (mV)", "Ca (µM)", *gates])
    return table.to_string(float_format=lambda x: f"{x:.3f}")


def shown_cells(result: SimResult) -> dict[str, int]:
    """Names and positions of the cells to show; those of a population that do the same are one, "PY ×5"."""
    V, rows = result.states.V, result.model.rows
    found: dict[str, int] = {}
    for i, population in enumerate(result.model.circuit.populations):
        first, n = int((rows < i).sum()), population.size
        alike = bool((V[:, first : first + n] == V[:, first : first + 1]).all())
        if alike:
            found[f"{population.label} ×{n}" if n > 1 else population.label] = first
        else:
            found |= {f"{population.label} [{k}]": first + k for k in range(n)}
    return found


def report(result: SimResult, begin: float) -> str:
    """The rhythm from `begin` (ms) on: a table, the period, and a hint where a pacemaker is silent."""
    from .rhythm import summary

    end, names = float(result.t[-1]), shown_cells(result)
    table = summary(result, (begin, end))
    pacemaker = table.attrs["pacemaker"]
    table = table.iloc[list(names.values())].set_axis(list(names))
    lines = [rhythm_table(table), ""]
    if pacemaker is not None:
        cell = table.iloc[list(names.values()).index(list(result.model.cells).index(pacemaker))]
        lines.append(f"Period of {cell.name} from {begin / 1000:g} to {end / 1000:g} s: {period_text(cell)}")
    paces = result.model.circuit.pacemakers[list(names.values())]
    silent = table.index[paces & (table["activity"] == "silent").to_numpy()]
    if len(silent) and end - begin >= HINT_AFTER:
        lines.append(f"{', '.join(silent)} {'is' if len(silent) == 1 else 'are'} silent. {HINT}")
    return "\n".join(lines)


def period_text(cell: pd.Series) -> str:
    """The period of the pacemaker and how regular it is."""
    if cell["bursts"] < 2:
        return "unknown, it takes two bursts"
    varies = f", coefficient of variation {cell['period CV']:.1%}" if cell["bursts"] > 2 else ""
    return f"{cell['period (ms)']:.1f} ms{varies}"


def rhythm_table(table: pd.DataFrame) -> str:
    """The summary of a rhythm as text."""
    digits = {"spikes per burst": 1, "burst (ms)": 0, "period (ms)": 1, "duty cycle": 3, "phase": 3}
    text = table[["bursts", "spikes", *digits, "activity"]].astype(object)
    for column, n in digits.items():
        text[column] = [f"{x:.{n}f}" if x == x else "–" for x in table[column]]
    return text.to_string()


class Trace(NamedTuple):
    """What a panel of the picture shows."""

    name: str
    t: np.ndarray  # s
    V: np.ndarray  # mV
    colour: str


def draw(result: SimResult, title: str, path: Path) -> None:
    """Write the picture of all potentials."""
    from .plotting import colours_of_cells, decimated

    shown, cells = shown_cells(result), list(result.model.cells)
    colours = colours_of_cells([cells[i] for i in shown.values()])
    each = zip(shown.items(), colours, strict=True)
    t, V = result.t / 1000, result.states.V
    traces = [Trace(name, *decimated(t, V[:, i], PICTURE_POINTS), colour) for (name, i), colour in each]
    (draw_png if path.suffix.lower() == ".png" else draw_html)(traces, path, title, describing(result))


def describing(result: SimResult) -> str:
    """How a result came about, for the description of a picture."""
    run = {} if result.run is None else result.run._asdict()
    return ", ".join(f"{name} {value}" for name, value in run.items() if value is not None)


def draw_html(traces: Sequence[Trace], path: Path, title: str, about: str) -> None:
    """An interactive page that needs no network."""
    import holoviews as hv
    from bokeh.embed import components
    from bokeh.resources import Resources

    from .files.writing import written_whole
    from .plotting import plain

    hv.extension("bokeh", logo=False)
    height = max(150, PAGE_HEIGHT // len(traces))
    look = dict(responsive=True, line_width=1.2)
    panels = [
        hv.Curve((trace.t, trace.V), "time (s)", "V (mV)").opts(title=plain(trace.name), color=trace.colour, **look)
        for trace in traces
    ]
    for panel in panels[:-1]:
        panel.opts(xaxis="bare", min_height=height)
    panels[-1].opts(min_height=height + AXIS_HEIGHT)
    renderer = hv.renderer("bokeh").instance(webgl=False)  # WebGL leaves specks on steep lines
    figure = renderer.get_plot(hv.Layout(panels).cols(1).opts(sizing_mode="stretch_width")).state
    script, division = components(figure)
    library = "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)
    page = PAGE.format(
        title=html.escape(title), about=html.escape(about), library=library, division=division, script=script
    )
    with written_whole(path) as file:
        file.write(page.encode(errors="replace"))


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="description" content="{about}">
<title>{title}</title>
<style>body {{ margin: 1em 2em; }} h1 {{ font: bold 1.1em sans-serif; margin: 0; }}</style>
<script>{library}</script>
</head>
<body>
<h1>{title}</h1>
{division}
{script}
</body>
</html>
"""
PAGE_HEIGHT = 690  # pixels
AXIS_HEIGHT = 40  # pixels


def draw_png(traces: Sequence[Trace], path: Path, title: str, about: str) -> None:
    """A still picture."""
    from matplotlib.figure import Figure

    from .files.writing import written_whole

    figure = Figure(figsize=(10, 1 + 1.7 * len(traces)), dpi=150, layout="constrained")
    axes = figure.subplots(len(traces), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, trace in zip(axes, traces, strict=True):
        axis.plot(trace.t, trace.V, linewidth=0.8, color=trace.colour)
        axis.set_title(trace.name, loc="left", fontsize="medium", parse_math=False)
        axis.set_ylabel("V (mV)")
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0)
    axes[-1].set_xlabel("time (s)")
    figure.suptitle(title, parse_math=False)
    with written_whole(path) as file:
        figure.savefig(file, format="png", metadata={"Description": about})
