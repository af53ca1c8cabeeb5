"""What leaves the explorer: its state as part of an address, a circuit file, Python that repeats the run, tables and pictures.

Mechanics of `explorer`. An address comes from anywhere, so all of it is checked before anything of it is used; it can name circuits of
the package and the model that the user brought, and no file.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import numpy as np

from ..engine import checks
from ..plotting import colours_of_cells, decimated
from .pictures import POINTS
from .setups import Injected, Moment, Rig, Setup, checked_setup, name

MOST = 8000  # characters of an address, which browsers and servers take
KEYS = ("circuit", "set", "current", "temperature", "noise", "seed", "solver", "dt", "start")

# ---------------------------------------------------------------- addresses


def address(setups: Sequence[Setup]) -> str:
    """The part of an address behind the "?" for one or two set-ups; the keys of the second end on "2"."""
    return "&".join(
        part for i, setup in enumerate(setups) if (part := urlencode(fields(setup, "2" * i), quote_via=quote))
    )


def fields(setup: Setup, behind: str) -> list[tuple[str, str]]:
    """Keys and values of what is not as usual, and the circuit."""
    usual = Setup()
    found = [("circuit", setup.circuit)]
    found += [("set", f"{name}:{value!r}") for name, value in setup.values]
    found += [("current", f"{x.cell}:{x.kind}:{x.level!r}:{x.start!r}:{x.stop!r}") for x in setup.currents]
    plain = ((key, getattr(setup, key)) for key in KEYS[3:])
    found += [(key, str(value)) for key, value in plain if value != getattr(usual, key)]
    return [(key + behind, value) for key, value in found]


def from_address(query: str, rig: Rig) -> list[Setup]:
    """One or two set-ups from the part of an address behind the "?"; none where it is empty.

    Raises ValueError that names the part which cannot be used.
    """
    query = query.removeprefix("?")
    if len(query) > MOST:
        raise ValueError(f"the address has {len(query):,} characters; it may have {MOST:,}. Change fewer values.")
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=500)
    for key, _ in pairs:
        checks.choice("a key of the address", key.removesuffix("2"), KEYS)
    both = [[(k.removesuffix("2"), v) for k, v in pairs if k.endswith("2") == second] for second in (False, True)]
    return [setup_from(pairs, rig) for pairs in both if pairs]


def setup_from(pairs: Sequence[tuple[str, str]], rig: Rig) -> Setup:
    """A set-up from keys and values, checked against its circuit."""
    single = {key: value for key, value in pairs if key not in ("set", "current")}
    given: dict[str, Any] = {key: single[key] for key in ("circuit", "solver", "start") if key in single}
    given |= {key: number(key, single[key]) for key in ("temperature", "noise", "dt") if key in single}
    if "seed" in single:
        given["seed"] = whole(single["seed"])
    given.setdefault("circuit", rig.setup.circuit)
    given["values"] = tuple(value_from(text) for key, text in pairs if key == "set")
    given["currents"] = tuple(current_from(text) for key, text in pairs if key == "current")
    setup = Setup(**given)
    return checked_setup(setup, rig.base(setup))


def number(what: str, text: str) -> float:
    """A finite number in an address."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{what} is {checks.shown(text)} in the address; it must be a finite number. Correct it.")
    return value


def whole(text: str) -> int:
    """A whole number in an address."""
    if not (text.isdecimal() and text.isascii() and len(text) < 10):
        raise ValueError(f"seed is {checks.shown(text)} in the address; it must be a whole number. Correct it.")
    return int(text)


def value_from(text: str) -> tuple[str, float]:
    """Name and value of a conductance, "LP Na:100"."""
    of, colon, value = text.rpartition(":")
    if not colon:
        raise ValueError(
            f"set is {checks.shown(text)} in the address; it must be NAME:VALUE, as in LP Na:100. Correct it."
        )
    return of, number(of, value)


def current_from(text: str) -> Injected:
    """A current, "LP:step:0.5:500:1500"."""
    parts = text.rsplit(":", 4)
    if len(parts) < 5:
        rule = "it must be CELL:KIND:LEVEL:START:STOP, as in LP:step:0.5:500:1500"
        raise ValueError(f"current is {checks.shown(text)} in the address; {rule}. Correct it.")
    return Injected(parts[0], parts[1], *(number("a number of a current", x) for x in parts[2:]))


# ---------------------------------------------------------------- files


def bytes_by(write: Callable[[Path], None], suffix: str) -> bytes:
    """What a function writes into a file of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"export{suffix}"
        write(path)
        return path.read_bytes()


def as_toml(rig: Rig, setup: Setup) -> str:
    """The circuit with its values as a file for `from_toml`. Raises ValueError for what a file cannot hold."""
    model = rig.model(setup)
    return bytes_by(lambda path: model.to_toml(path, "A circuit of the explorer"), ".toml").decode()


def as_csv(moment: Moment | None) -> bytes:
    """The window on the screen, as of `SimResult.to_csv`. Raises ValueError where there is none."""
    return bytes_by(shown(moment).to_csv, ".csv")


def as_parquet(moment: Moment | None) -> bytes:
    """The same as Parquet."""
    return bytes_by(shown(moment).to_parquet, ".parquet")


def present(moment: Moment | None) -> Moment:
    """A window that ran. Raises ValueError where there is none."""
    if moment is None or moment.result is None:
        raise ValueError("there is no run to export; the last one failed. Undo, or change a value, and export then.")
    return moment


def shown(moment: Moment | None) -> Any:
    """The result of a window. Raises ValueError where there is none."""
    return present(moment).result


def as_picture(moment: Moment | None, kind: str) -> bytes:
    """The traces as PNG or SVG."""
    checks.package("matplotlib", "png", "a picture")
    from matplotlib.figure import Figure

    result = shown(moment)
    cells = list(result.model.cells)
    figure = Figure(figsize=(10, 1 + 1.7 * len(cells)), dpi=150, layout="constrained")
    axes = figure.subplots(len(cells), sharex=True, squeeze=False)[:, 0]
    each = zip(axes, cells, result.states.V.T, colours_of_cells(cells), strict=True)
    for axis, cell, V, colour in each:
        axis.plot(*decimated(result.t, V, POINTS), linewidth=0.8, color=colour)
        axis.set_title(name(cell), loc="left", fontsize="medium", parse_math=False)
        axis.set_ylabel("V (mV)")
        axis.margins(x=0)
    axes[-1].set_xlabel("time (ms)")
    file = io.BytesIO()
    figure.savefig(file, format=kind)
    return file.getvalue()


# ---------------------------------------------------------------- Python


SNIPPET = '''\
"""Repeats a window of the explorer: `run` has what was on the screen."""

import tempfile
from pathlib import Path

import numpy as np

{imports}

CIRCUIT = """\\
{circuit}"""

file = Path(tempfile.mkdtemp(), "circuit.toml")
file.write_text(CIRCUIT, encoding="utf-8")
model = {kind}.from_toml(file, dtype="{dtype}")
{warmed}start = model.unflatten({state})  # mV, µM and shares, where the window began
t = {sample!r} * np.arange({n})  # ms
run = {call}
print(summary(run))
'''


def as_python(rig: Rig, moment: Moment) -> str:
    """Python that repeats the window on the screen, from the state at which it began.

    Raises ValueError for a model that a file cannot hold, and where there is no window.
    """
    result, setup, model = shown(moment), moment.setup, rig.model(moment.setup)
    kind = "Prinz2004" if hasattr(model, "models") else "Network"
    call, needed = call_of(setup)
    imports = [f"from pyloric_simulator import {', '.join(sorted({kind, 'summary', *needed}))}"]
    warmed = "" if setup.temperature is None else f"model = at_temperature(model, {setup.temperature!r})  # °C\n"
    circuit = as_toml(rig, setup).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    state = json.dumps([float(x) for x in model.flatten(moment.begin)])
    sample, n = float(round(result.t[1] - result.t[0], 9)), len(result.t)
    return SNIPPET.format(
        imports="\n".join(imports),
        circuit=circuit,
        kind=kind,
        dtype=model.dtype,
        warmed=warmed,
        state=state,
        sample=sample,
        n=n,
        call=call,
    )


def call_of(setup: Setup) -> tuple[str, list[str]]:
    """The call that runs a set-up, and what it needs to be imported."""
    needed = [] if setup.temperature is None else ["at_temperature"]
    if not (setup.currents or setup.noise):
        return f"model(t, state=start, solver={setup.solver!r}, dt={setup.dt!r})", needed
    of_cells: dict[str, list[str]] = {}
    for x in setup.currents:
        of_cells.setdefault(x.cell, []).append(protocol_text(x))
        needed.append({"step": "step", "ramp": "Ramp", "zap": "Zap"}.get(x.kind, "step"))
    both = {cell: p[0] if len(p) == 1 else added(p) for cell, p in of_cells.items()}
    currents = "{" + ", ".join(f"{json.dumps(cell, ensure_ascii=False)}: {text}" for cell, text in both.items()) + "}"
    if not setup.noise:
        return f"current_clamp(model, t, {currents}, state=start, dt={setup.dt!r})", [*needed, "current_clamp"]
    noise = f"current=OU(0.0, {setup.noise!r}, 5.0), seed={setup.seed}"
    I = f", I_ext={currents}" if setup.currents else ""
    return f"noisy(model, t, {noise}{I}, state=start, dt={setup.dt!r})", [*needed, "noisy", "OU"]


def protocol_text(x: Injected) -> str:
    """A protocol as Python."""
    if x.kind == "constant":
        return repr(x.level)
    if x.kind == "step":
        return f"step({x.level!r}, {x.start!r}, {x.stop!r})"
    if x.kind == "ramp":
        return f"Ramp((0.0, {x.level!r}), ({x.start!r}, {x.stop!r}))"
    return f"Zap({x.level!r}, (0.2, 10.0), ({x.start!r}, {x.stop!r}))"


def added(protocols: Sequence[str]) -> str:
    """A sum of protocols as Python; numbers as they are."""
    return "lambda t: " + " + ".join(f"{p}(t)" if "(" in p else p for p in protocols)
