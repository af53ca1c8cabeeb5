"""Stores, settings, circuit files and exports: words, paths, files and folders that could be mistaken for others."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyloric_simulator.config import find_circuit, load_settings, read_circuit, store_folder, write_circuit
from pyloric_simulator.files import writing
from pyloric_simulator.files.results import SimResult
from pyloric_simulator.files.store import ThermalizationStore
from pyloric_simulator.lab import snapshots
from pyloric_simulator.prinz2004 import CHANNELS, CONSTANTS, Prinz2004, Transmitter

from . import Case, mistyped, refused, warned

HERE = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, HERE, ignore_errors=True)
PAPER = Prinz2004.from_toml(find_circuit("paper"))
T = np.arange(0, 3, 0.5)
RESULT = SimResult(T, type(PAPER.cold)(*(np.stack([x] * len(T)) for x in PAPER.cold)), PAPER)
HEAD = 'title = "x"\n[populations.LP]\nsize = 1\n'  # a circuit
WITH_P = (*CHANNELS, CHANNELS[0]._replace(name="P"))
ALL = ", ".join(f"{c.name} = 1" for c in CHANNELS)


def new(name: str, content: str | bytes = "") -> Path:
    """A new file with a content."""
    path = Path(tempfile.mkdtemp(dir=HERE)) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def circuit(text: str) -> Callable[[], Any]:
    """Reads a circuit of this text."""
    return lambda: Prinz2004.from_toml(new("x.toml", text))


def settings(text: str) -> Callable[[], Any]:
    """Reads settings of this text."""
    return lambda: load_settings(new("x.toml", text))


def thermalized(store: Any) -> Callable[[], Any]:
    return lambda: PAPER.get_thermalization(store=store)


def snapshot(change: Callable[[bytearray], bytes | bytearray]) -> Callable[[], Any]:
    """Loads a snapshot with other bytes."""

    def load() -> Any:
        path = new("x.npz")
        snapshots.save_state(path, RESULT)
        path.write_bytes(change(bytearray(path.read_bytes())))
        return snapshots.load_state(path, PAPER)

    return load


def with_state(**values: Any) -> Callable[[], Any]:
    """Loads a snapshot of a state with other values, or of other arrays."""

    def load() -> Any:
        path = new("x.npz")
        snapshots.save_state(path, RESULT)
        with np.load(path) as file:
            arrays = dict(file) | values
        with path.open("wb") as out:
            np.savez(out, **{name: x for name, x in arrays.items() if x is not None})
        return snapshots.load_state(path, PAPER)

    return load


def flipped(raw: bytearray) -> bytearray:
    raw[len(raw) // 3] ^= 1
    return raw


def stored(
    folder: Path, change: Callable[[Path], Any], entry: dict[str, np.ndarray] | None = None
) -> Callable[[], Any]:
    """Looks up an entry of a store in which something was changed."""

    def look_up() -> Any:
        right = {"V": np.array(-50.0), "m": np.full(2, 0.5)}
        ThermalizationStore(folder).get_or_compute(["x"], lambda _: [right if entry is None else entry])
        change(folder)

        def check(found: dict[str, np.ndarray]) -> None:
            if ((found["m"] < 0) | (found["m"] > 1)).any():
                raise ValueError(f"m contains {found['m'].max()}; gates lie between 0 and 1")

        return ThermalizationStore(folder).get_or_compute(["x"], lambda _: [right], check)

    return look_up


def in_memory(V: np.ndarray) -> Any:
    """Keeps a state with these potentials."""
    return ThermalizationStore(None).get_or_compute(["x"], lambda _: [{"V": V}])


def the_file(folder: Path) -> Path:
    (file,) = folder.glob("*.cell")
    return file


def linked(folder: Path) -> None:
    file = the_file(folder)
    file.rename(folder / "elsewhere")
    file.symlink_to("elsewhere")


STORE_WORDS: dict[str, Case] = {
    f"store={word!r}": refused(thermalized(word), repr(word)[1:-1], '"memory"')
    for word in (
        "none",
        "None",
        "off",
        "false",
        "True",
        "no",
        "Memory",
        "MEMORY",
        "RAM",
        "Settings",
        "null",
        " ",
        " memory ",
    )
} | {
    f"store={value!r}": mistyped(thermalized(value), repr(value), "text or a pathlib.Path")
    for value in (True, False, 0, 1, 3.5, b"cells", [], ["cells"], {"folder": "x"})
}

CASES: dict[str, Case] = STORE_WORDS | {
    "store=NUL": refused(thermalized("a\0b"), "a\\x00b", "must name a file or folder"),
    "store of an unknown user": refused(thermalized("~nobody_of_this_name/x"), "~nobody_of_this_name", "full path"),
    "store is an array": mistyped(thermalized(np.array(["a"])), "array", "pathlib.Path"),
    "clear: True": mistyped(lambda: Prinz2004.clear_thermalization_store(True), "True", "text or a pathlib.Path"),
    "clear: a word": refused(lambda: Prinz2004.clear_thermalization_store("none"), "none", '"memory"'),
    "clear: bytes": mistyped(lambda: Prinz2004.clear_thermalization_store(b"x"), "b'x'"),
    "run: a word": refused(lambda: PAPER(T, store="Memory"), "Memory", "./Memory"),
    "run: a number": mistyped(lambda: PAPER(T, store=1), "1", "pathlib.Path"),
    "store_folder: settings with a word": refused(lambda: store_folder(load_settings()._replace(thermalization_store="none")), "none"),
    # what is in a store
    "a store that all can write": warned(stored(HERE / "a", lambda x: x.chmod(0o777)), "mode is 777", "chmod go-w", "store="),
    "a store like /tmp": warned(stored(HERE / "b", lambda x: x.chmod(0o1777)), "mode is 1777", "all users"),
    "an entry that all can write": warned(stored(HERE / "c", lambda x: the_file(x).chmod(0o666)), "mode is 666", "computed again"),
    "an entry that is a link": warned(stored(HERE / "d", linked), "could not be read", "computed again"),
    "an entry cut": warned(stored(HERE / "e", lambda x: os.truncate(the_file(x), 50)), "1 of its entries", "computed again"),
    "an entry of nothing": warned(stored(HERE / "f", lambda x: os.truncate(the_file(x), 0)), "1 of its entries", "check the disk"),
    "an entry with a flipped bit": warned(
        stored(HERE / "g", lambda x: the_file(x).write_bytes(flipped(bytearray(the_file(x).read_bytes())))), "1 of its entries"
    ),
    "an entry with a gate of 7": warned(
        stored(HERE / "h", lambda _: None, {"V": np.array(0.0), "m": np.full(2, 7.0)}), "m contains 7", "between 0 and 1"
    ),
    "an entry without a gate": warned(stored(HERE / "i", lambda _: None, {"V": np.array(0.0)}), "'m'", "computed again"),
    "a store in a file": warned(
        lambda: ThermalizationStore(new("x")).get_or_compute(["x"], lambda _: [{"V": np.array(0.0)}]), "cannot be used", "another folder"
    ),
    "keys: one string": mistyped(lambda: ThermalizationStore(None).get_or_compute("x", lambda _: []), "'x'", "list of str"),
    "an entry of integers": refused(lambda: in_memory(np.arange(2)), "int64"),
    "an entry that is NaN": refused(lambda: in_memory(np.array(np.nan)), "nan", "finite"),
    # settings
    "settings: an unknown key": refused(settings("dtt = 0.1"), "dtt", "did you mean dt?"),
    "settings: text for a number": refused(settings("dt = '0.05'"), "0.05", "must be a number"),
    "settings: no precision": refused(settings("precision = 'single'"), "single", '"float64" or "float32"'),
    "settings: dt of 0": refused(settings("dt = 0"), "dt = 0", "finite and positive"),
    "settings: their source": refused(settings("source = 'me'"), "source", "no known key"),
    "settings: not TOML": refused(settings("dt: 0.1"), ":1:", "not TOML"),
    "settings: nested too deeply": refused(settings("dt = " + "[" * 10_000), "not TOML"),
    "settings: not UTF-8": refused(lambda: load_settings(new("x.toml", b"\xff\xfe")), "0xff", "UTF-8"),
    "settings: no file": refused(lambda: load_settings(HERE / "nowhere.toml"), "nowhere.toml", "must be a file", error=FileNotFoundError),
    "settings: a folder": refused(lambda: load_settings(HERE), str(HERE), "must be a file", error=FileNotFoundError),
    "settings: a number": mistyped(lambda: load_settings(3), "3", "pathlib.Path"),  # type: ignore[arg-type]
    "settings: bytes": mistyped(lambda: load_settings(b"x"), "b'x'", "pathlib.Path"),  # type: ignore[arg-type]
    "settings: nothing": refused(lambda: load_settings(""), "''", "must name a file"),
    # circuits
    "circuit: an unknown name": refused(lambda: find_circuit("papre"), "papre", "paper", error=FileNotFoundError),
    "circuit: a number": mistyped(lambda: find_circuit(1), "1", "pathlib.Path"),  # type: ignore[arg-type]
    "circuit: True": mistyped(lambda: read_circuit(True), "True", "pathlib.Path"),  # type: ignore[arg-type]
    "circuit: bytes": mistyped(lambda: Prinz2004.from_toml(b"x.toml"), "b'x.toml'"),  # type: ignore[arg-type]
    "circuit: a folder": refused(lambda: Prinz2004.from_toml(HERE), str(HERE), "must be a file", error=FileNotFoundError),
    "circuit: binary": refused(lambda: Prinz2004.from_toml(new("x", b"\x93NUMPY")), "0x93", "UTF-8"),
    "circuit: some of the conductances": refused(circuit(HEAD + "g = { Na = 100 }"), "LP.g =", "it lacks 'CaT'", "mS/cm²", "write CaT = 0"),
    "circuit: a misspelt channel": refused(circuit(HEAD + f"g = {{ {ALL}, KCA = 1 }}"), "LP.g.KCA = 1 in", "Did you mean 'KCa'"),
    "circuit: an unknown channel": refused(circuit(HEAD + f"g = {{ {ALL}, zz = 1 }}"), "zz", "Channels are 'Na'"),
    "circuit: a negative conductance": refused(circuit(HEAD + "g = { Na = -1 }"), "Na = -1", "zero or positive"),
    "circuit: no such row": refused(circuit(HEAD + "cell = 'LP 9'"), "'LP 9'", "'LP 1'"),
    "circuit: an unknown table": refused(circuit(HEAD + "[constant]\nf = 3"), "constant", "did you mean constants?"),
    "circuit: an unknown constant": refused(circuit(HEAD + "cell = 'LP 1'\n[constants]\nF = 3"), "F = 3", "no such constant"),
    "circuit: a constant of text": refused(circuit(HEAD + "cell = 'LP 1'\n[constants]\nf = '3'"), "f = ", "finite number"),
    "circuit: a constant of 0": refused(circuit(HEAD + "cell = 'LP 1'\n[constants]\nA = 0"), "A is 0", "positive"),
    "circuit: constants twice": refused(
        lambda: Prinz2004.from_toml(new("x", HEAD + "cell = 'LP 1'\n[constants]\nf = 3"), constants=CONSTANTS), "constants", "keep one"
    ),
    "circuit: channels of the call, named in part": refused(
        lambda: Prinz2004.from_toml(new("x", HEAD + f"g = {{ {ALL} }}"), channels=WITH_P), "it lacks 'P'"
    ),
    "to_toml: own channels": refused(
        lambda: Prinz2004({"LP 1": 1}, {}, channels=WITH_P).to_toml(HERE / "x"), "'P' of its own", "pickle"
    ),
    "to_toml: fewer channels": refused(lambda: Prinz2004({"LP 1": 1}, {}, channels=CHANNELS[:2]).to_toml(HERE / "x"), "only the paper's"),
    "to_toml: a changed transmitter": refused(
        lambda: renamed_transmitter().to_toml(HERE / "x"), "transmitters", "'slow' of its own"
    ),
    "to_toml: no title": refused(lambda: PAPER.to_toml(HERE / "x", title=""), "title", "not empty"),
    "to_toml: a number for a title": refused(lambda: PAPER.to_toml(HERE / "x", title=3), "title = 3", "text"),  # type: ignore[arg-type]
    "to_toml: no folder": refused(lambda: PAPER.to_toml(HERE / "no" / "x"), "must be there", "Make it first", error=FileNotFoundError),
    "to_toml: a folder": refused(lambda: PAPER.to_toml(HERE), "is a directory", "Add the name", error=IsADirectoryError),
    "write_circuit: True": mistyped(lambda: write_circuit(read_circuit(find_circuit()), True), "True"),  # type: ignore[arg-type]
    # exports
    "to_csv: a descriptor": mistyped(lambda: RESULT.to_csv(1), "1", "pathlib.Path"),  # type: ignore[arg-type]
    "to_csv: None": mistyped(lambda: RESULT.to_csv(None), "None", "pathlib.Path"),  # type: ignore[arg-type]
    "to_csv: bytes": mistyped(lambda: RESULT.to_csv(b"x.csv"), "b'x.csv'"),  # type: ignore[arg-type]
    "to_csv: nothing": refused(lambda: RESULT.to_csv(""), "''", "must name a file"),
    "to_csv: a folder": refused(lambda: RESULT.to_csv(HERE), "is a directory", error=IsADirectoryError),
    "to_csv: a folder to be": refused(lambda: RESULT.to_csv(f"{HERE}/out/"), "is a directory", error=IsADirectoryError),
    "to_csv: no folder": refused(lambda: RESULT.to_csv(HERE / "no" / "x.csv"), "must be there", error=FileNotFoundError),
    "to_csv: below a file": refused(lambda: RESULT.to_csv(new("x") / "x.csv"), "is not a directory", error=NotADirectoryError),
    "to_csv: a home unexpanded": refused(lambda: RESULT.to_csv("~/x.csv"), "does not expand ~", error=FileNotFoundError),
    "to_csv: a long name": refused(lambda: RESULT.to_csv(HERE / ("x" * 300)), "too long", "was not written", error=OSError),
    "to_csv: compressed": refused(lambda: RESULT.to_csv(HERE / "x.csv.GZ"), "x.csv.GZ", "Compress it afterwards"),
    "to_csv: an unknown variable": refused(lambda: RESULT.to_csv(HERE / "x", ["v"]), "'v'", "'V'"),
    "to_csv: letters of a variable": mistyped(lambda: RESULT.to_csv(HERE / "x", "Ca"), "'Ca'", "['Ca']"),
    "to_csv: no variable": refused(lambda: RESULT.to_csv(HERE / "x", []), "[]", "must name some"),
    "to_csv: a variable twice": refused(lambda: RESULT.to_csv(HERE / "x", ["V", "V"]), "each once"),
    "to_csv: two columns of one name": refused(lambda: ambiguous().to_csv(HERE / "x", ["m"]), "would be called", "Rename"),
    "to_parquet: a folder": refused(lambda: RESULT.to_parquet(HERE), "is a directory", error=IsADirectoryError),
    "to_parquet: a number": mistyped(lambda: RESULT.to_parquet(2), "2", "pathlib.Path"),  # type: ignore[arg-type]
    "to_parquet: a mapping of variables": mistyped(lambda: RESULT.to_parquet(HERE / "x", {"V": 1}), "{'V': 1}"),  # type: ignore[arg-type]
    "can_be_written: /proc": refused(lambda: writing.can_be_written("/proc/x.csv"), "'/proc/x.csv' was not written", error=OSError),
    "a slice backwards": refused(lambda: RESULT[2:1], "2:1", "its end is before its start"),
    "a slice outside": refused(lambda: RESULT[10:20], "10:20", "0 to 2.5 ms"),
    # snapshots
    "save_state: no folder": refused(lambda: snapshots.save_state(HERE / "no" / "x", RESULT), "must be there", error=FileNotFoundError),
    "save_state: a folder": refused(lambda: snapshots.save_state(HERE, RESULT), "is a directory", error=IsADirectoryError),
    "save_state: a model": mistyped(lambda: snapshots.save_state(HERE / "x", PAPER), "a result of a run"),  # type: ignore[arg-type]
    "save_state: a number": mistyped(lambda: snapshots.save_state(3, RESULT), "3", "pathlib.Path"),  # type: ignore[arg-type]
    "load_state: no file": refused(lambda: snapshots.load_state(HERE / "none", PAPER), "is no file", error=FileNotFoundError),
    "load_state: a folder": refused(lambda: snapshots.load_state(HERE, PAPER), "is no file", error=FileNotFoundError),
    "load_state: bytes": mistyped(lambda: snapshots.load_state(b"x", PAPER), "b'x'"),  # type: ignore[arg-type]
    "load_state: text": refused(snapshot(lambda _: b"text"), "is no snapshot, or is damaged", "save_state"),
    "load_state: nothing": refused(snapshot(lambda _: b""), "is no snapshot, or is damaged"),
    "load_state: half": refused(snapshot(lambda raw: raw[: len(raw) // 2]), "is no snapshot, or is damaged"),
    "load_state: other numbers": refused(
        snapshot(lambda raw: raw.replace(PAPER.cold.V.tobytes(), (PAPER.cold.V + 1).tobytes())), "is no snapshot, or is damaged", "save it"
    ),
    "load_state: a pickle": refused(with_state(about=np.array([{}], object)), "is no snapshot, or is damaged"),
    "load_state: without a description": refused(with_state(about=None), "is no snapshot, or is damaged"),
    "load_state: another description": refused(with_state(about=np.array("{}")), "is no snapshot, or is damaged"),
    "load_state: no time": refused(with_state(about=None, run=None), "is no snapshot"),
    "load_state: a gate of 7": refused(with_state(**{"state.m": np.full_like(PAPER.cold.m, 7)}), "state.m contains 7", "between 0 and 1"),
    "load_state: NaN": refused(with_state(**{"state.V": np.full_like(PAPER.cold.V, np.nan)}), "state.V contains nan", "finite"),
    "load_state: calcium of 0": refused(with_state(**{"state.Ca": 0 * PAPER.cold.Ca}), "state.Ca contains 0", "positive"),
    "load_state: fewer cells": refused(with_state(**{"state.V": PAPER.cold.V[:1]}), "state.V has shape (1,)", "(3,)"),
    "load_state: without a variable": refused(with_state(**{"state.h": None}), "variables", "'h'"),
    "load_state: another model": refused(
        lambda: (snapshots.save_state(HERE / "s", RESULT), snapshots.load_state(HERE / "s", Prinz2004({"LP 1": 1}, {}))),
        "other version, cells",
    ),
}  # fmt: skip


def renamed_transmitter() -> Prinz2004:
    model = Prinz2004({"LP 1": 1}, {})
    others = (Transmitter("slow", -80, 0.01), model.circuit.transmitters[1])
    model.params = model.params.replace(circuit=model.circuit._replace(transmitters=others))
    return model


def ambiguous() -> SimResult:
    """Cells and channels whose names run into each other: "x 0 y" with "z", and "x" with "y 0 z"."""
    gates = [CHANNELS[0]._replace(name=name) for name in ("z", "y 0 z")]
    model = Prinz2004(
        {"x": 1, "x 0 y": 1}, {}, np.ones((2, 2)), cell_types={"x": "LP", "x 0 y": "LP"}, channels=tuple(gates)
    )
    return SimResult(T, type(model.cold)(*(np.stack([x] * len(T)) for x in model.cold)), model)


# To make a snapshot that can be spoilt takes the values of all gates.
CASES = {name: case._replace(compiles=name.startswith("load_state")) for name, case in CASES.items()}
