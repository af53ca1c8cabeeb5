"""Objects made of functions that can be pickled, also where the functions were written as `lambda`, inside others, or in a notebook.

Mechanics of `networks`. Python pickles a function by the place where another process can import it. A function that has no such place
travels as its code and all that it reads; another process, of the same version of Python, makes it anew, once.
"""

from __future__ import annotations

import builtins
import dataclasses
import dis
import importlib
import marshal
import pickle
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any


class Carried:
    """In a pickle, what stands for a function or a module."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __deepcopy__(self, _: Any) -> Carried:
        return self

    def __reduce__(self) -> Any:
        f = self.original
        if isinstance(f, ModuleType):
            return importlib.import_module, (f.__name__,)
        if module := place_of(f):
            return getattr, (Carried(module), f.__name__)
        return made_anew, (pickle.dumps(parts(f if isinstance(f, FunctionType) else f.__wrapped__)),)


def place_of(f: Any) -> ModuleType | None:
    """A module from which another process can import a function under its name; not the script, by whichever name, and not a notebook."""
    names, script = [f.__module__, *sorted(sys.modules)], sys.modules.get("__main__")
    modules: list[Any] = [sys.modules[name] for name in names if sys.modules.get(name, script) is not script]
    return next((m for m in modules if getattr(m, "__dict__", {}).get(f.__name__) is f), None)


def has_to_be_carried(x: Any) -> bool:
    """Whether Python cannot pickle an object that is a module or a function, compiled by JAX or not."""
    if isinstance(x, FunctionType):
        return place_of(x) is None
    return isinstance(x, ModuleType) or (hasattr(x, "__wrapped__") and hasattr(x, "__name__") and callable(x))


def parts(f: FunctionType) -> Any:
    """All that a function consists of: code, name, module, the globals that it reads, defaults, and closure."""
    read = {name: f.__globals__[name] for name in sorted(global_names(f.__code__)) if name in f.__globals__}
    closure = tuple(cell.cell_contents for cell in f.__closure__ or ())
    code = marshal.dumps(
        f.__code__.replace(co_filename="", co_firstlineno=1), 2
    )  # without references, which depend on use
    return carried((code, f.__name__, f.__module__, read, f.__defaults__, f.__kwdefaults__, closure))


def global_names(code: CodeType) -> Iterator[str]:
    """The names that a piece of code, or one inside it, looks up in its module."""
    yield from (x.argval for x in dis.get_instructions(code) if x.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from global_names(inner)


@cache
def made_anew(pickled: bytes) -> FunctionType:
    """The function with the given parts; equal parts give the same function, so that nothing is compiled twice."""
    code, name, module, read, defaults, keyword_defaults, closure = pickle.loads(pickled)
    around = {"__builtins__": builtins, "__name__": module, **read}
    f = FunctionType(marshal.loads(code), around, name, defaults, tuple(map(CellType, closure)))
    f.__kwdefaults__, f.__module__ = keyword_defaults, module
    return f


def carried(x: Any) -> Any:
    """Plain data with all functions in it that have no place to be imported from, and all modules, made fit for a pickle."""
    return Carried(x) if has_to_be_carried(x) else within(carried, x)


def unpacked(x: Any) -> Any:
    """The inverse of `carried`, where no pickle was between them, as in a copy."""
    return x.original if isinstance(x, Carried) else within(unpacked, x)


def within(f: Any, x: Any) -> Any:
    """x with f applied to what it contains."""
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(f, x))
    if isinstance(x, (tuple, list)):
        return type(x)(map(f, x))
    if isinstance(x, Mapping):
        return {key: f(value) for key, value in x.items()}
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return dataclasses.replace(x, **{field.name: f(getattr(x, field.name)) for field in dataclasses.fields(x)})
    return x


class Portable:
    """An object that can be pickled though its parts are functions."""

    def __getstate__(self) -> Any:
        return carried(self.__dict__)

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(unpacked(state))
