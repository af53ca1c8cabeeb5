"""Checks of arguments: every refusal names the value, the rule it breaks and the cure.

Primitives for all modules; what protects one thing only stands beside it. The functions also bring the accepted spellings of an argument
into the one form that the model uses.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import math
import os
import reprlib
import sys
import warnings
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from .scale import SAMPLING, Scale, suspicion

# ---------------------------------------------------------------- words


def listing(names: Iterable[object]) -> str:
    """The names for a message, quoted."""
    return ", ".join(repr(n) for n in names)


def closest(name: object, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or nothing."""
    found = difflib.get_close_matches(str(name), list(names), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


MAX_REASON = 200  # letters of what a message quotes


def reason(error: Exception) -> str:
    """What an error of another package says, in its first line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:MAX_REASON].rstrip(".: ")


def shown(value: Any) -> str:
    """A value of any kind in a message."""
    text = reprlib.repr(value) if isinstance(value, (list, dict, set)) else " ".join(repr(value).split())
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"


def warn(message: str) -> None:
    """A warning that points at the user's line, the first one outside of the package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and (frame.f_globals.get("__package__") or "").startswith(__package__):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def package(name: str, extra: str, purpose: str) -> Any:
    """An optional package. Raises ImportError, with how to get it, if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"the package {name} is missing; {purpose} needs it. Install it: pip install 'pyloric-simulator[{extra}]'."
        ) from error


# ---------------------------------------------------------------- names, types and functions


def choice(what: str, value: Any, options: Collection[str]) -> None:
    """Refuse a value that is not among the options."""
    if not isinstance(value, Hashable) or value not in options:
        raise ValueError(f"{what} is {value!r}; it must be one of {listing(options)}.{closest(value, options)}")


def of_type(what: str, value: Any, kind: Any, rule: str) -> None:
    """A value of a type, or one of several."""
    if not isinstance(value, kind):
        raise TypeError(f"{what} is {shown(value)}, of type {type(value).__name__}; it must be {rule}. Pass that.")


def truth(what: str, value: Any) -> bool:
    """True or False, and nothing that Python would take for one of them."""
    of_type(what, value, (bool, np.bool_), "True or False")
    return bool(value)


def function(what: str, f: Any, example: str) -> None:
    """Something that can be called."""
    if not callable(f):
        raise TypeError(f"{what} is {reprlib.repr(f)}; it must be a function. Write {example}, for example.")


def texts(what: str, values: Iterable[Any]) -> None:
    """Names that are text."""
    for value in values:
        of_type(what, value, str, "text")


def mapping(what: str, values: Any, example: str) -> Mapping[str, Any]:
    """A mapping from names, which are text, or a Series with these as its labels."""
    if isinstance(values, pd.Series) and values.index.is_unique:
        values = values.to_dict()
    of_type(what, values, Mapping, f"a mapping from names, such as {example}")
    texts(f"a name in {what}", values)
    return values


def items(what: str, values: Any, of: str, kinds: Any = object) -> list[Any]:
    """The elements of a list, which text, mappings and records are not. of: what it must consist of, with an example, or else `kinds`."""
    if isinstance(values, (str, Mapping)) or hasattr(values, "_fields") or not isinstance(values, Iterable):
        raise TypeError(f"{what} is {shown(values)}; it must be a list of {of}. Write it so.")
    found = list(values)
    for x in found:
        if not isinstance(x, kinds):
            raise TypeError(
                f"{what} contains {shown(x)}, of type {type(x).__name__}; it must consist of {of}. Write it so."
            )
    return found


def names(what: str, values: Any, example: str) -> list[str]:
    """A list of names, each of them once."""
    found = items(what, list(values) if isinstance(values, Mapping) else values, f"names, such as {example}")
    texts(f"a name in {what}", found)
    return once(what, found)


def once(what: str, names: Sequence[str]) -> Any:
    """Names of which none comes twice."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{what} has {name!r} twice; each needs a name of its own. Rename one. Remove it if it says the same."
            )
    return names


def scalar_loss(trace: Callable[[], Any]) -> None:
    """Refuse a loss that is not one real number; `trace` returns its shape and type, and may fail as JAX's tracing does."""
    try:
        value = trace()
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        cure = "it must return one real number. Write it with jax.numpy, as a function of one argument."
        raise kind(f"the loss cannot be traced by JAX: {reason(error)}; {cure}") from error
    if getattr(value, "shape", None) != () or value.dtype.kind != "f":
        raise ValueError(
            f"the loss returns {value}; it must be a scalar, one real number. Take the mean or the sum of what it returns."
        )


# ---------------------------------------------------------------- numbers


def number(
    what: str, value: Any, unit: str, *, least: float = -math.inf, above: float = -math.inf, below: float = math.inf, cure: str = "",
) -> float:  # fmt: skip
    """A finite real number within bounds; an array without axes counts as one. cure: where there is a better one than another number."""
    if isinstance(value, (np.ndarray, jax.Array)) and not isinstance(value, jax.core.Tracer) and np.ndim(value) == 0:
        value = np.asarray(value)[()]
    if isinstance(value, (bool, np.float16)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what} is {value!r}, a {type(value).__name__}; it must be a number in {unit}.")
    x = float(value)
    if not math.isfinite(x):
        raise ValueError(f"{what} is {value}; it must be finite, in {unit}.")
    if x < least or x <= above or x >= below:
        rule = bounds(least, above, below)
        cure = cure or ("Give 0 or more." if least == 0 else "Give another number.")
        raise ValueError(f"{with_unit(f'{what} is {x:g}', unit)}; it must {rule}. {cure}")
    return x


def bounds(least: float, above: float, below: float) -> str:
    """The bounds of a number in words."""
    if math.isfinite(least):
        return "not be negative, but at least 0" if least == 0 else f"be at least {least:g}"
    return f"lie between {above:g} and {below:g}" if math.isfinite(below) else "be positive"


def with_unit(text: str, unit: str) -> str:
    """A text that ends with a number, and its unit if it has one."""
    return text if unit in ("", "1", "its unit") else f"{text} {unit}"


def positive(what: str, value: Any, unit: str) -> float:
    """A finite number above 0."""
    return number(what, value, unit, above=0)


def doubt(what: str, x: float, scale: Scale) -> None:
    """Warn of a number whose size is that of another unit. 0 is in all units."""
    if x and (said := suspicion(what, abs(x), scale)):
        warn(said)


def quantity(what: str, value: Any, scale: Scale, **bounds: Any) -> float:
    """A finite number within bounds, as of `number`; warns where its size points to another unit."""
    x = number(what, value, scale.unit, **bounds)
    doubt(what, x, scale)
    return x


def count(what: str, value: Any, most: float = math.inf, *, least: int = 1) -> int:
    """A whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"{what} is {value!r}, a {type(value).__name__}; it must be a whole number. Say {what}=100, for example."
        )
    if not least <= value <= most:
        rule = f"at least {least}" if most == math.inf else f"from {least} to {most:,}"
        raise ValueError(f"{what} is {value}; it must be {rule}. Choose a number in this range.")
    return int(value)


# ---------------------------------------------------------------- arrays

KINDS_OF_ARRAYS = {
    "b": "truth values", "c": "complex numbers", "m": "durations", "M": "dates", "S": "bytes", "U": "text", "V": "records",
}  # fmt: skip


def numbers(what: str, values: Any, rule: str = "consist of numbers") -> np.ndarray:
    """The one way in for arrays: real numbers, as they are if they are float32 or float64, else as float64.

    Raises TypeError for truth values, complex numbers, text, dates, half precision and objects that are no numbers, and ValueError
    where a mask or a missing value hides some.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        hidden = int(np.ma.getmaskarray(values).sum())
        raise ValueError(
            f"{what} has {hidden} masked values; all must be there. Fill them: {what}.filled(…), or leave them out."
        )
    if isinstance(getattr(values, "dtype", None), pd.api.extensions.ExtensionDtype) and np.any(values.isna()):
        raise ValueError(f"{what} contains a missing value; all must be there. Fill it, or leave it out.")
    if isinstance(values, (list, tuple)) and (wrong := [v for v in values if isinstance(v, (bool, np.bool_))]):
        raise TypeError(f"{what} contains {wrong[0]!r}; it must {rule}, not truth values. Give numbers.")
    try:
        x = np.asarray(values)
        x = of_objects(what, x, rule) if x.dtype.kind == "O" else x
    except (TypeError, ValueError) as error:
        if str(error).startswith(what):
            raise
        raise TypeError(f"{what} is {values!r}; it must {rule}.") from None
    if x.dtype.kind in KINDS_OF_ARRAYS:
        kind = KINDS_OF_ARRAYS[x.dtype.kind]
        raise TypeError(
            f"{what} is {reprlib.repr(values)}, {kind}; it must {rule}. Convert it to float where that is meant."
        )
    if x.dtype == np.float16:
        raise TypeError(
            f"{what} is float16, of three digits; it must {rule} of at least single precision. Read it anew as float64."
        )
    return x if x.dtype in (np.float32, np.float64) else x.astype(float)


def of_objects(what: str, x: np.ndarray, rule: str) -> np.ndarray:
    """An array of objects, such as a column of mixed type, that are all real numbers."""
    for v in x.flat:
        if v is pd.NA or v is None:
            raise ValueError(f"{what} contains a missing value; all must be there. Fill it, or leave it out.")
        if isinstance(v, (bool, np.bool_, np.float16)) or not isinstance(v, (int, float, np.integer, np.floating)):
            raise TypeError(
                f"{what} contains {v!r}, a {type(v).__name__}; it must {rule}. Convert it to float where that is meant."
            )
    return x.astype(float)


def throughout(what: str, x: np.ndarray, good: Any, rule: str, unit: str = "") -> None:
    """Refuse an array with numbers that are not good; rule: what they must be, and the cure."""
    if not np.all(good):
        raise ValueError(f"{with_unit(f'{what} contains {x[~good].flat[0]:g}', unit)}; {rule}")


def finite(what: str, values: Any, rule: str = "consist of numbers", cure: str = "Fill the gap.") -> np.ndarray:
    """An array of finite numbers, float64; rule: what it must do, for what are no numbers."""
    x = numbers(what, values, rule).astype(float)
    throughout(what, x, np.isfinite(x), f"all of it must be finite. {cure}")
    return x


def levels(what: str, values: Any, unit: str) -> np.ndarray:
    """A list of finite numbers, one at least."""
    cure = f"Give a list of finite numbers in {unit}."
    x = np.atleast_1d(finite(what, values, f"be a list of numbers in {unit}", cure))
    if x.ndim != 1 or not x.size:
        raise ValueError(
            f"{what} is {shown(values)}; it must be a list of finite numbers in {unit}, such as np.linspace(0, 5, 11)."
        )
    return x


def conductances(what: str, values: Any, unit: str) -> np.ndarray:
    """An array of finite, non-negative conductances."""
    x = finite(what, values, f"consist of numbers in {unit}", f"Fill the gap, in {unit}.")
    rule = (
        "conductances must not be negative. An inhibitory synapse inhibits by its reversal potential, not by its sign."
    )
    throughout(what, x, x >= 0, rule, unit)
    return x


def in_order(what: str, x: Any) -> None:
    """Refuse a table whose labels would be ignored, where only the order of the numbers counts."""
    if not isinstance(x, (pd.Series, pd.DataFrame)):
        return
    labels = [*x.index, *(x.columns if isinstance(x, pd.DataFrame) else ())]
    if isinstance(x, pd.DataFrame) or labels != list(range(len(x))):
        raise TypeError(
            f"{what} is a {type(x).__name__} with the labels {reprlib.repr(labels)}, and only the order counts here; it must be an array. "
            "Bring it into order, and pass .to_numpy()."
        )


# ---------------------------------------------------------------- times and steps of a run

MIN_DT = 5e-4  # ms; a shorter step was probably meant in s
MAX_DT = 0.25  # ms; above it the staggered scheme loses spikes, see the chapter's section on departures
MANY_TIMES = 10  # of so many times, and so many within a step, the usual interval tells a unit
FINEST = 1e-3  # of a step: how finely times are told apart
MAX_STEPS = 2**31 - 1  # steps are counted in 32 bits


def increasing(what: str, t: np.ndarray, cure: str = "Sort them and drop repetitions: np.unique.") -> None:
    """Refuse times (time,) that are not finite or do not increase."""
    if not np.isfinite(t).all():
        i = int(np.argmin(np.isfinite(t)))
        raise ValueError(f"{what}[{i}] is {t[i]}; times must be finite, and must increase. Remove it.")
    if (falls := np.diff(t) <= 0).any():
        i = int(np.argmax(falls))
        raise ValueError(f"{what}[{i}] = {t[i]:g} is followed by {t[i + 1]:g}; times must increase. {cure}")


def times(t: Any, t0: float) -> np.ndarray:
    """Requested times in ms, shape (time,): finite, strictly increasing, none before t0."""
    t0 = number("t0", t0, "ms")
    if isinstance(t, jax.core.Tracer):
        raise TypeError(
            "t is traced by JAX; the times must be known before compilation. Close over them: jax.jit(lambda p: simulate(p, state, t))."
        )
    t = np.atleast_1d(numbers("t", t, "be a sequence of times in ms, such as np.arange(0, 1000, 0.5)").astype(float))
    if t.ndim != 1 or t.size == 0:
        raise ValueError(
            f"t has shape {t.shape}; it must be one-dimensional with at least one time in ms, such as np.arange(0, 1000, 0.5)."
        )
    increasing("t", t)
    if t[0] < t0:
        raise ValueError(
            f"t[0] is {t[0]:g} ms; a run starts at t0 = {t0:g} ms and cannot go back. Drop the earlier times."
        )
    return t


def scheme(solver: Any, dt: Any, schemes: Collection[str], *, fixed: bool = False) -> float:
    """The time step in ms, after checking that the solver is known and the step resolves a spike; fixed: refuse adaptive solvers."""
    dt = number("dt", dt, "ms")
    if not isinstance(solver, str):
        if fixed:
            raise ValueError(
                f"solver is {solver!r}; the adjoint is that of a fixed-step scheme. Take 'staggered', or `simulate`, which adaptive "
                "solvers differentiate in their own way."
            )
        if isinstance(solver, type) or not hasattr(solver, "step"):
            raise TypeError(
                f"solver is {solver!r}; it must be one of {listing(schemes)}, or an instance of a diffrax solver, such "
                "as diffrax.Kvaerno5()."
            )
        return dt
    choice("solver", solver, schemes)
    if dt <= 0:
        raise ValueError(
            f"dt is {dt:g} ms; it must be positive. 0.05 suits the staggered scheme, 0.025 is the papers' step."
        )
    if MIN_DT / 1000 < dt < MIN_DT:
        warn(
            f"dt is {dt:g} ms, very short: 1 ms takes {1 / dt:,.0f} steps. If it is in s, multiply it by 1000; 0.05 ms is usual."
        )
    if dt > MAX_DT:
        raise ValueError(
            f"dt is {dt:g} ms; above {MAX_DT:g} ms a spike is not resolved and the schemes lose it. Take a smaller step, such as 0.05."
        )
    return dt


def steps(t: np.ndarray | Sequence[float], t0: float, dt: float) -> None:
    """Refuse a run of more steps than can be counted, or at times so far from 0 that its steps cannot be told apart.

    Warns of many times within one step, which look like seconds.
    """
    if (grain := float(np.spacing(max(abs(t0), abs(t[-1]))))) > dt * FINEST:
        raise ValueError(
            f"the run goes from t0 = {t0:g} to t[-1] = {t[-1]:g} ms, where numbers are {grain:g} ms apart; they must resolve steps of "
            f"dt = {dt:g} ms. Count the times from the start of the run."
        )
    if t[-1] - t0 > dt * MAX_STEPS:
        raise ValueError(
            f"the run to t[-1] = {t[-1]:g} ms with dt = {dt:g} ms has more than {MAX_STEPS} steps; take a larger step, or "
            "continue from `final_state`."
        )
    if len(t) >= MANY_TIMES and t[-1] - t[0] < dt * len(t) / MANY_TIMES:
        doubt("the interval of t", float(np.median(np.diff(t))), SAMPLING)


def on_steps(t: np.ndarray, t0: float, dt: float, regular: bool) -> None:
    """Refuse times that are not equally spaced whole steps from t0."""
    if not regular:
        x = (t - t0) / dt
        off = np.flatnonzero(np.abs(x - np.rint(x)) > 1e-6)
        what = (
            f"t[{off[0]}] = {t[off[0]]:g} ms is not" if len(off) else "the times are not equally spaced, though each is"
        )
        raise ValueError(
            f"{what} a whole number of steps of dt = {dt:g} ms after t0 = {t0:g} ms; they must be equally spaced whole steps. Give t = "
            f"{t0:g} + {dt:g} * np.arange(…), or record more often and interpolate."
        )


def tolerances(rtol: Any, atol: Any) -> None:
    """Tolerances of an adaptive solver: finite and positive."""
    positive("rtol", rtol, "1")
    positive("atol", atol, "1")


def recording(duration: Any, transient: Any) -> None:
    """A run is longer than what is left out of it."""
    duration, transient = number("duration", duration, "ms", least=0), number("transient", transient, "ms", least=0)
    if duration <= transient:
        raise ValueError(
            f"duration is {duration:g} ms and transient {transient:g} ms; the transient is part of the duration. Raise duration."
        )


# ---------------------------------------------------------------- memory

SHARE = 0.8  # of the free memory that one call may take
SMALL = 10**8  # bytes; less is not worth a look at how much is free
BYTES_PER_CELL = 1000  # of a model: its label, its state and working space


def free_memory() -> float:
    """Bytes that are free, or all that there are; infinite where the system does not tell."""
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = dict(line.split(":") for line in lines)
        return 1024.0 * int(found["MemAvailable"].split()[0])
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return math.inf


class TooLarge(ValueError, MemoryError):
    """What is asked for does not fit into memory."""


def memory(what: str, size: float, cure: str = "Take fewer cells, or record at fewer times.") -> None:
    """Refuse what would take more memory (bytes) than there is, before it is taken. Raises TooLarge, a ValueError and a MemoryError."""
    if size > SMALL and size > SHARE * (free := free_memory()):
        raise TooLarge(
            f"{what} would take about {size / 1e9:,.3g} GB of memory, and {free / 1e9:,.3g} GB are free; it must be less. {cure}"
        )
