"""Settings and circuits, read from TOML files with errors that name the file and the place in it, such as populations.LP.g.Na.

Settings come from the `defaults.toml` beside this module, overridden key by key by one file of
the user and by an environment variable. Files that nobody names are looked for in the user's project
only: from the working directory up to the root of the project, never in a folder that others share,
whose files could be anybody's. A circuit file says which populations there are and how
strongly they are coupled; what the names in it mean (rows of a table of cells, terminals, names of
conductances) is for the model to judge, so this module needs nothing of the simulator.
"""

import difflib
import json
import logging
import math
import numbers
import os
import re
import stat
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self, get_type_hints

__all__ = [
    "CONFIG_VARIABLE", "DEFAULT_CIRCUIT", "MEMORY_STORE", "SETTINGS_STORE", "STORE_VARIABLE", "CircuitSpec", "Settings",
    "find_circuit", "load_settings", "path_of", "read_circuit", "read_toml", "store_folder", "toml_key", "toml_text",
    "write_circuit",
]  # fmt: skip

CONFIG_VARIABLE = "PYLORIC_CONFIG"  # environment variable: the user's settings file
STORE_VARIABLE = "PYLORIC_STORE"  # environment variable: overrides `thermalization_store`
MEMORY_STORE = "memory"  # `thermalization_store` of a run which leaves no file behind
SETTINGS_STORE = "settings"  # `store` of a call which leaves it to the settings
DEFAULT_CIRCUIT = "paper"  # short name of the circuit used when none is named

_HERE = Path(__file__).parent
_USER_SETTINGS = Path("config", "pyloric.toml")  # looked for from the working directory to the project's root
_USER_CIRCUITS = Path("config", "circuits")  # likewise
_ROOT_MARKS = (".git", ".hg", ".svn", "pyproject.toml", "setup.py", "setup.cfg", "requirements.txt", "environment.yml")
_SHOWN = 80  # characters; longer values are cut in error messages
# Words, in any case, that were hardly meant as folders.
_NO_FOLDERS = ("none", "null", "off", "on", "no", "yes", "false", "true", "ram", MEMORY_STORE, SETTINGS_STORE)
_log = logging.getLogger(__name__)
_told: set[tuple[object, ...]] = set()  # what this process has logged


# ------------------------------------------------------------------------------------ settings


class Settings(NamedTuple):
    """Settings of a run; `load_settings` makes them, `_replace` changes single ones in code."""

    solver: str  # name of the integration scheme; the solvers know which names there are
    dt: float  # ms, time step; finite and positive
    precision: str  # floating-point type of the state: "float64" or "float32"
    thermalization_store: str  # folder of thermalized cells; "" = user cache; "memory" = no files
    progress: bool  # whether long runs show a progress bar

    @property
    def source(self) -> str:
        """The file and the environment variable that they come from, "defaults", or "code"."""
        return "code"


class LoadedSettings(Settings):
    """Settings that remember where they come from; equal values are equal settings."""

    source: str = "code"


_CHOICES = {"precision": ("float64", "float32")}
_KINDS = {str: "text in quotes", float: "a number", bool: "true or false, without quotes"}


def load_settings(path: str | os.PathLike[str] | None = None) -> Settings:
    """Return the defaults, overridden by the user's settings file and the environment.

    The file is `path`, else the one named by the environment variable PYLORIC_CONFIG, else the
    nearest `config/pyloric.toml` from the working directory up to the root of the project, a folder
    with pyproject.toml, .git or the like (without one: in the working directory), else none. It may
    set any of the keys of `Settings`. PYLORIC_STORE, where set, overrides `thermalization_store`.
    An environment variable which is empty counts as not set. Files are read on the first call
    and again only after they changed. `source` says where the settings come from; it is logged once.

    Raises FileNotFoundError if a file is named but missing, TypeError if `path` is no path, and
    ValueError, with the file and the key, if the file is not TOML (then with the line), has an unknown key, or
    a value of the wrong type or range.
    """
    values, sources = _file_settings(*_stamp(_HERE / "defaults.toml")), []
    user_file = _settings_file(path)
    if user_file is not None:
        values = values | _file_settings(*_stamp(user_file))
        sources.append(str(user_file.absolute()))
    store = os.environ.get(STORE_VARIABLE)
    if store:
        values = values | {"thermalization_store": store}
        sources.append(STORE_VARIABLE)
    settings = LoadedSettings(**values)
    settings.source = " and ".join(sources) or "defaults"
    _tell(logging.INFO, "settings come from %s", settings.source)
    return settings


def store_folder(store: Settings | str | os.PathLike[str] | None = SETTINGS_STORE) -> Path | None:
    """Return the absolute folder of the store of thermalized cells; None = keep it in memory.

    `store` is a folder or one of these: settings, or "settings" for those of `load_settings`; "" for
    the user cache folder (memory where this user has none, as in many containers); None or "memory".
    `~` is expanded and a relative path counts from the working directory (write "./memory" for a
    folder of that name). The folder is not created. Raises TypeError for what is neither text nor
    a path, and ValueError if `~user` is unknown or if text is a word that was hardly meant as a folder.
    """
    if isinstance(store, str) and store == SETTINGS_STORE:
        store = load_settings()
    if isinstance(store, Settings):
        store = store.thermalization_store
    if store is None or (isinstance(store, str) and store == MEMORY_STORE):
        return None
    if isinstance(store, str) and not store:
        return _user_cache()
    if isinstance(store, str) and store.strip().casefold() in ("", *_NO_FOLDERS):
        raise ValueError(
            f'store = {_toml(store)}: must be a folder, "{MEMORY_STORE}" for no files, or "" for the user cache folder; '
            f'write "{MEMORY_STORE}"' + (f', or "./{store.strip()}" for a folder of that name' if store.strip() else "")
        )
    folder = path_of("store, the folder of thermalized cells,", store)
    try:
        return folder.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(
            f"thermalization_store = {_toml(str(folder))}: ~ must stand for a known home folder; "
            "write the folder's full path"
        ) from error


def path_of(what: str, value: Any) -> Path:
    """A path given as text or as a path object. Raises TypeError for anything else, ValueError for text that is none."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(
            f"{what} is {value!r}, of type {type(value).__name__}; it must be text or a pathlib.Path. Give one of these."
        )
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise ValueError(f"{what} is {os.fspath(value)!r}; it must name a file or folder. Write its name.")
    return Path(value)


def _user_cache() -> Path | None:
    """The user's cache folder; None where the user has no home, and so no such folder."""
    from platformdirs import user_cache_path

    with suppress(RuntimeError):  # so say its newer versions, older ones return a path with ~
        folder = user_cache_path("pyloric_simulator")
        if folder.is_absolute():
            return folder
    _tell(logging.INFO, "this user has no home folder, so thermalized cells are kept in memory")
    return None


def _tell(level: int, message: str, *arguments: object) -> None:
    """Log once in a process."""
    if (message, *arguments) not in _told:
        _told.add((message, *arguments))
        _log.log(level, message, *arguments)


def _settings_file(path: str | os.PathLike[str] | None) -> Path | None:
    named = (os.environ.get(CONFIG_VARIABLE) or None) if path is None else path
    if named is None:
        return next(filter(_is_file, (folder / _USER_SETTINGS for folder in _project(_USER_SETTINGS))), None)
    origin = f"environment variable {CONFIG_VARIABLE}" if path is None else "path"
    file = path_of(f"the settings file ({origin})", named).expanduser()
    return _existing(file, f"the settings file ({origin})")


def _stamp(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path.absolute(), status.st_mtime_ns, status.st_size


@lru_cache
def _file_settings(path: Path, _mtime_ns: int, _size: int) -> dict[str, Any]:
    """The checked settings of one file; callers must not change the cached dictionary."""
    file, kinds = _read(path).table((), Settings._fields), get_type_hints(Settings)
    return {key: _setting(key, entry, kinds[key]) for key, entry in file.entries().items()}


def _setting(key: str, entry: "Entry", kind: type) -> str | float | bool:
    value = entry.value
    if not (_is_number(value) if kind is float else isinstance(value, kind)):
        raise entry.error(f"{key} must be {_KINDS[kind]}", _like(key, _default(key)))
    if kind is float and not 0 < value <= sys.float_info.max:
        raise entry.error(f"{key} must be finite and positive", _like(key, _default(key)))
    choices = _CHOICES.get(key, (value,))
    if value not in choices:
        listed = " or ".join(map(_toml, choices))
        raise entry.error(f"{key} must be {listed}", _like(key, _closest(value, choices)))
    return float(value) if kind is float else value


def _default(key: str) -> object:
    return tomllib.loads((_HERE / "defaults.toml").read_text(encoding="utf-8"))[key]


def _like(key: str, value: object) -> str:
    return f"write e.g. {key} = {_toml(value)}"


# ------------------------------------------------------------------------------------ circuits


class CircuitSpec(NamedTuple):
    """What a circuit file says, checked for form only. Populations keep the order of the file."""

    title: str  # one line for people
    pop_sizes: dict[str, int]  # population -> number of cells
    cells: dict[str, str | dict[str, float]]  # population -> row name, or conductances in mS/cm²
    cell_types: dict[str, str]  # population -> cell type, where its label does not tell
    gs: dict[tuple[str, str], float]  # (presynaptic terminal, postsynaptic population) -> nS
    ge: float | None  # nS, electrical coupling; None = the model's default
    constants: Mapping[str, float] = MappingProxyType({})  # those that are not the model's defaults, in its units


def find_circuit(name_or_path: str | os.PathLike[str] = DEFAULT_CIRCUIT) -> Path:
    """Return the file of a circuit given by path or by short name, e.g. "paper".

    An existing file wins; then `<name>.toml` in the nearest `config/circuits` folder which has it,
    from the working directory up to the root of the project, see `load_settings`; then the circuits
    shipped with the package. What a name stands for is logged once where it is none of the latter.
    Raises FileNotFoundError, with the known names, if there is none, and TypeError for what is no path.
    """
    if not isinstance(name_or_path, str):
        path_of("the circuit", name_or_path)
    if _is_file(name_or_path):
        return Path(name_or_path)
    name = os.fspath(name_or_path).removesuffix(".toml")
    folders = [*(folder / _USER_CIRCUITS for folder in _project(_USER_CIRCUITS / f"{name}.toml")), _HERE / "circuits"]
    if Path(name).name == name:  # a path with folders in it is no short name
        for folder in folders:
            if _is_file(folder / f"{name}.toml"):
                if folder != folders[-1]:
                    _tell(logging.INFO, "circuit %r is %s", name, folder / f"{name}.toml")
                return folder / f"{name}.toml"
    known = sorted({file.stem for folder in folders for file in folder.glob("*.toml")})
    raise FileNotFoundError(
        f"circuit {os.fspath(name_or_path)!r}: must be a file or the name of a known circuit; "
        f"the known names are {', '.join(known) or '(none)'}"
    )


def read_circuit(path: str | os.PathLike[str]) -> CircuitSpec:
    """Read a circuit file (see the shipped ones for the form; `find_circuit` finds them).

    Raises FileNotFoundError if there is no such file, and ValueError, with the file and the place in it,
    for anything that is not a circuit: broken TOML, unknown, missing or mistyped keys, no population,
    a size below 1, a negative or non-finite conductance, a synapse onto a missing population or
    given twice. Whether terminals, rows and names of conductances exist is left to the model.
    """
    return _circuit(_read(_existing(path_of("the circuit file", path), "the circuit file")))


def write_circuit(spec: CircuitSpec, path: str | os.PathLike[str]) -> None:
    """Write a circuit file from which `read_circuit` returns an equal spec; replaces a file.

    The folder must exist. Raises ValueError, and writes nothing, if the spec breaks a rule of
    `read_circuit` or describes the cell of a population that `pop_sizes` lacks.
    """
    for field in ("cells", "cell_types"):
        for label in getattr(spec, field).keys() - spec.pop_sizes.keys():
            raise ValueError(
                f"{field}[{label!r}]: must describe a population of pop_sizes, which has "
                f"{list(spec.pop_sizes)}; add its size there or drop the entry"
            )
    from ..files.writing import written_whole  # which reads circuits' paths with this module

    text = "\n".join(_circuit_lines(spec)) + "\n"
    _circuit(_parse(text, f"{path_of('the circuit file', path)} (not written)"))
    with written_whole(path) as file:
        file.write(text.encode())


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The tables of a TOML file. Raises FileNotFoundError if there is none, and ValueError, with the line, if it is not TOML."""
    value: dict[str, Any] = _read(_existing(path_of("the file", path), "the file")).value
    return value


def circuit_error(path: str | os.PathLike[str], where: Sequence[str], rule: str, cure: str) -> ValueError:
    """An error about a value of a circuit file; `where` are the keys that lead to it."""
    return reduce(lambda entry, key: entry[key], where, _read(Path(path))).error(rule, cure)


def _circuit(file: "Entry") -> CircuitSpec:
    given = file.table(("title", "populations"), ("synapses", "electrical", "constants")).value
    populations = _populations(file["populations"])
    constants = file["constants"].entries() if "constants" in given else {}
    return CircuitSpec(
        title=file["title"].text(),
        pop_sizes={label: _size(of["size"]) for label, of in populations.items()},
        cells={label: _cell(of) for label, of in populations.items() if "cell" in of.value or "g" in of.value},
        cell_types={label: of["type"].text() for label, of in populations.items() if "type" in of.value},
        gs=_synapses(file, populations),
        ge=_conductance(file["electrical"].table(("g",))["g"]) if "electrical" in given else None,
        constants={name: x.number("a constant must be a finite number") for name, x in constants.items()},
    )


def _populations(entry: "Entry") -> dict[str, "Entry"]:
    populations = entry.entries()
    if not populations:
        raise entry.error("a circuit has at least one population", _EXAMPLES["populations"])
    for label, of in populations.items():
        if not label:
            raise of.error("a population needs a name", _EXAMPLES["populations"])
        of.table(("size",), ("cell", "g", "type"))
    return populations


def _cell(entry: "Entry") -> str | dict[str, float]:
    if "g" not in entry.value:
        return entry["cell"].text()
    if "cell" in entry.value:
        raise entry["g"].error("a cell is either a row or conductances", "keep one of cell and g")
    if not (table := entry["g"].entries()):
        raise entry["g"].error("a cell needs conductances", "write e.g. g = { Na = 100 }")
    return {name: _conductance(g) for name, g in table.items()}


def _synapses(file: "Entry", populations: Iterable[str]) -> dict[tuple[str, str], float]:
    gs: dict[tuple[str, str], float] = {}
    for entry in file.items("synapses"):
        entry.table(("pre", "post", "g"))
        pair = entry["pre"].text(), entry["post"].text()
        if pair[1] not in populations:
            cure = f"did you mean {_toml(_closest(pair[1], populations))}?"
            raise entry["post"].error("post must be a population of this file", cure)
        if pair in gs:  # rows and entries of gs correspond one to one up to here
            raise entry.error(f"the synapse is given by synapses[{list(gs).index(pair)}] already", "keep one")
        gs[pair] = _conductance(entry["g"])
    return gs


def _size(entry: "Entry") -> int:
    value = entry.value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise entry.error("a size must be a positive whole number", _EXAMPLES["size"])
    return value


def _conductance(entry: "Entry") -> float:
    return entry.number("a conductance must be a finite number, zero or positive", least=0.0)


_EXAMPLES = {  # cures for missing or mistyped keys of a circuit file
    "title": 'write e.g. title = "My circuit"',
    "populations": 'write e.g. [populations."AB/PD"] and size = 1 below it',
    "size": "write e.g. size = 1",
    "cell": 'write e.g. cell = "AB/PD 2", or g = { Na = 100, leak = 0.01 } for conductances',
    "type": 'write e.g. type = "AB/PD"',
    "pre": 'write e.g. pre = "AB"',
    "post": 'write e.g. post = "LP"',
    "g": "write e.g. g = 30",
}


def _circuit_lines(spec: CircuitSpec) -> Iterator[str]:
    yield f"title = {_toml(spec.title)}"
    for label, size in spec.pop_sizes.items():
        yield from ("", f"[populations.{_key(label)}]", f"size = {_toml(size)}")
        if label in spec.cells:
            cell = spec.cells[label]
            yield f"{'cell' if isinstance(cell, str) else 'g'} = {_toml(cell)}"
        if label in spec.cell_types:
            yield f"type = {_toml(spec.cell_types[label])}"
    for (pre, post), g in spec.gs.items():
        yield from ("", "[[synapses]]", f"pre = {_toml(pre)}", f"post = {_toml(post)}")
        yield f"g = {_toml(g)}"
    if spec.ge is not None:
        yield from ("", "[electrical]", f"g = {_toml(spec.ge)}")
    if spec.constants:
        yield from ("", "[constants]", *(f"{_key(name)} = {_toml(x)}" for name, x in spec.constants.items()))


# ------------------------------------------------------------------- TOML with dotted paths


@dataclass(frozen=True)
class Entry:
    """A value in a TOML file, and the keys and indices that lead to it."""

    path: Any  # of the file, as shown in messages
    where: tuple[str | int, ...]
    value: Any

    def __getitem__(self, key: str | int) -> Self:
        return type(self)(self.path, (*self.where, key), self.value[key])

    def error(self, rule: str, cure: str) -> ValueError:
        """An error that names the file and the place in it."""
        dotted = "".join(f"[{key}]" if isinstance(key, int) else f".{_key(key)}" for key in self.where)
        return _error(f"{dotted[1:] or 'file'} = {_toml(self.value)}", self.path, rule, cure)

    def entries(self) -> dict[str, Self]:
        """The entries of a table. Raises ValueError if it is none."""
        if not isinstance(self.value, dict):
            names = ".".join(_key(key) for key in self.where if isinstance(key, str))
            above = f"write [[{names}]], in double brackets, above each"
            cure = f"write [{names}] on a line of its own and key = value below it"
            raise self.error("must be a table", cure if isinstance(self.where[-1], str) else above)
        return {key: self[key] for key in self.value}

    def table(self, required: Sequence[str], optional: Sequence[str] = ()) -> Self:
        """Itself, if it is a table with these keys. Raises ValueError."""
        known = [*required, *optional]
        for key, entry in self.entries().items():
            if key not in known:
                cure = f"did you mean {_closest(key, known)}? Known are {', '.join(known)}"
                raise entry.error(f"{_key(key)} is no known key", cure)
        for key in required:
            if key not in self.value:
                raise self.error(f"the key {key} is missing", _EXAMPLES.get(key, f"add it, {key} = …"))
        return self

    def items(self, key: str) -> list[Self]:
        """The entries of a list under a key of a table, none where it is not there."""
        found = self.value.get(key, [])
        if not isinstance(found, list):
            raise self[key].error("must be a list of tables", f"write [[{key}]], in double brackets, above each")
        return [self[key][i] for i in range(len(found))]

    def text(self) -> str:
        """Text that is not empty."""
        if not isinstance(self.value, str) or not self.value:
            key = str(self.where[-1])
            raise self.error(f"{key} must be text in quotes, not empty", _EXAMPLES[key])
        return self.value

    def number(self, rule: str, least: float = -math.inf) -> float:
        """A finite number of at least `least`; rule: what it must be."""
        if (
            not _is_number(self.value)
            or not least <= self.value <= sys.float_info.max
            or self.value < -sys.float_info.max
        ):
            raise self.error(rule, f"write e.g. {_key(str(self.where[-1]))} = 30")
        return float(self.value)


def _error(value: str, place: str, rule: str, cure: str) -> ValueError:
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return ValueError(f"{shown} in {place}: {rule}; {cure}")


def _read(path: Path) -> Entry:
    try:
        text = path.read_bytes().decode("utf-8-sig")  # some editors put a byte-order mark first
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{error.object[error.start]:02x}"
        raise _error(byte, f"{path}:{line}", "TOML must be UTF-8 text", "save the file as UTF-8") from error
    return _parse(text, str(path))


def _parse(text: str, name: str) -> Entry:
    try:
        return Entry(name, (), tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        at = re.search(r"\(at line (\d+)", str(error))  # else the error is at the end of the text
        line = int(at[1]) if at else text.rstrip().count("\n") + 1
        rule = f"not TOML ({str(error).split(' (at ')[0]})"
        cure = "write key = value, text in quotes, each key and [table] once"
        raise _error(text.split("\n")[line - 1].strip(), f"{name}:{line}", rule, cure) from error


# ----------------------------------------------------------------------------------- helpers


def _toml(value: object) -> str:
    """The value as TOML; numbers by repr, so that they come back exactly."""
    if isinstance(value, str):  # JSON's escapes are TOML's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    return repr(float(value)) if isinstance(value, numbers.Real) else str(value)


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _toml(key)


toml_text, toml_key = _toml, _key  # for other files of the package


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _closest(word: str, known: Iterable[str]) -> str:
    return difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)[0]


def _project(inner: Path) -> list[Path]:
    """The working directory and its parents up to the root of the project, none of them shared; `inner` is what is looked for there.

    Without a root only the working directory counts, and the home folder only if it is a root itself.
    """
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return []
    found = list[Path]()
    for folder in (here, *here.parents):
        if _is_shared(folder):
            break
        found.append(folder)
        if any(os.path.exists(folder / mark) for mark in _ROOT_MARKS):  # noqa: PTH110 (as in `_is_file`)
            return found
    found = [folder for folder in found[:1] if str(folder) != os.path.expanduser("~")]  # noqa: PTH111 (raises without a home)
    if not found and _is_file(here / inner):
        why = "this folder is everybody's, or your home and no project"
        _tell(
            logging.WARNING, f"%s is not read, since {why}; name the file, settings in {CONFIG_VARIABLE}", here / inner
        )
    return found


def _is_shared(folder: Path) -> bool:
    """Whether others can put files into a folder: it is made for that, as /tmp, or is not this user's."""
    try:
        status = folder.stat()
    except OSError:  # a parent that we may not look at
        return True
    mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return bool(status.st_mode & stat.S_IWOTH) and (not mine or bool(status.st_mode & stat.S_ISVTX))


def _is_file(path: str | os.PathLike[str]) -> bool:
    # Path.is_file would raise for a parent folder which we may not enter.
    return os.path.isfile(path)  # noqa: PTH113


def _existing(path: Path, role: str) -> Path:
    if not _is_file(path):
        raise FileNotFoundError(f"{path}: {role} must be a file that exists; correct the path or create it")
    return path


def sample_file(name: str) -> Path:
    """A sample of the database that comes with the package: "staggered" or "exponential_euler". Raises ValueError."""
    return _data("sample", name)


def counts_file(name: str) -> Path:
    """Counts of a larger sample that come with the package: "staggered" or "exponential_euler". Raises ValueError."""
    return _data("counts", name)


def definitions_file() -> Path:
    """Fractions of the database by other definitions, a table that comes with the package."""
    return Path(__file__).resolve().parent.parent / "data" / "definitions.csv"


def _data(kind: str, name: str) -> Path:
    file = Path(__file__).resolve().parent.parent / "data" / f"{kind}_{name}.parquet"
    if not file.exists():
        names = sorted(x.stem.removeprefix(f"{kind}_") for x in file.parent.glob(f"{kind}_*.parquet"))
        raise ValueError(f"the sample is {name!r}; it must be one of {', '.join(map(repr, names))}. Choose one.")
    return file
