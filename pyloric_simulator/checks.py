"""Checks of arguments: every refusal names the value, the rule it breaks and the cure.

Mechanics of `prinz2004`. The functions also bring the accepted spellings of an argument into the one form that the model uses.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import math
import os
import reprlib
import sys
import warnings
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from .scale import SAMPLING, suspicion

MIN_DT = 5e-4  # ms; a shorter step was probably meant in s
MAX_DT = 0.25  # ms; above it the staggered scheme loses spikes, see the chapter's section on departures


def listing(names: Iterable[object]) -> str:
    """The names for a message, quoted."""
    return ", ".join(repr(n) for n in names)


def closest(name: object, names: Iterable[str]) -> str:
    """A hint at the name that was probably meant, or nothing."""
    found = difflib.get_close_matches(str(name), list(names), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""


def package(name: str, extra: str, purpose: str) -> Any:
    """An optional package. Raises ImportError, with how to get it, if it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"the package {name} is missing; {purpose} needs it. Install it: pip install 'pyloric-simulator[{extra}]'."
        ) from error


def choice(what: str, value: Any, options: Collection[str]) -> None:
    """Refuse a value that is not among the options."""
    if not isinstance(value, Hashable) or value not in options:
        raise ValueError(f"{what} is {value!r}; it must be one of {listing(options)}.{closest(value, options)}")


def reason(error: Exception) -> str:
    """What an error of another package says, in its first line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:MAX_REASON].rstrip(".: ")


MAX_REASON = 200  # letters


def truth(what: str, value: Any) -> bool:
    """True or False, and nothing that Python would take for one of them."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} is {value!r}; it must be True or False. Say one of these.")
    return bool(value)


def function(what: str, f: Any, example: str) -> None:
    """Something that can be called."""
    if not callable(f):
        raise TypeError(f"{what} is {reprlib.repr(f)}; it must be a function. Write {example}, for example.")


def mapping(what: str, values: Any, example: str) -> Mapping[str, Any]:
    """A mapping from names, which are text, or a Series with these as its labels."""
    if isinstance(values, pd.Series) and values.index.is_unique:
        values = values.to_dict()
    if not isinstance(values, Mapping):
        raise TypeError(
            f"{what} is {reprlib.repr(values)}; it must be a mapping from names. Write {example}, for example."
        )
    texts(f"a name in {what}", values)
    return values


def texts(what: str, values: Iterable[Any]) -> None:
    """Names that are text."""
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{what} is {value!r}, a {type(value).__name__}; it must be text. Give a name.")


def names(what: str, values: Any, example: str) -> list[str]:
    """A list of names, each of them once."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{what} is {reprlib.repr(values)}; it must be a list of names. Say {example}, for example.")
    found = list(values)
    texts(f"a name in {what}", found)
    for name in found:
        if found.count(name) > 1:
            raise ValueError(f"{what} has {name!r} twice; each name is needed once. Remove the second.")
    return found


# ---------------------------------------------------------------- curves


def curve_has_no_factor(curve: Any) -> None:
    """A curve that already is a product cannot take a further term or factor."""
    if curve.λ != 0 or curve.κ != 1:
        raise ValueError(
            f"{curve} is already a product of curves; add to or multiply its factors first, or write a plain function of V."
        )


def curve_is_sigmoid(curve: Any) -> None:
    """The second factor of a product must be c0 + c1 B(a, k)."""
    if curve.λ != 0 or curve.κ != 1 or not math.isinf(curve.k2) or curve.a2 != 0:
        raise ValueError(
            f"the second factor {curve} is not of the form c0 + c1 B(a, k); write a plain function of V instead."
        )


def plain_number(value: Any) -> None:
    """A term or factor of a curve is a number, which may be traced."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating, jax.core.Tracer)):
        raise TypeError(f"{value} is not a number; a sum of curves has no `Curve`, write it as a plain function of V.")


# ---------------------------------------------------------------- times and solvers


MANY_TIMES = 10  # of so many times, and so many within a step, the usual interval tells a unit
FINEST = 1e-3  # of a step: how finely times are told apart
MAX_STEPS = 2**31 - 1  # steps are counted in 32 bits
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


def number(what: str, value: Any, unit: str) -> float:
    """A finite real number; an array without axes counts as one."""
    if isinstance(value, (np.ndarray, jax.Array)) and not isinstance(value, jax.core.Tracer) and np.ndim(value) == 0:
        value = np.asarray(value)[()]
    if isinstance(value, (bool, np.float16)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what} is {value!r}, a {type(value).__name__}; it must be a number in {unit}.")
    if not math.isfinite(value):
        raise ValueError(f"{what} is {value}; it must be finite, in {unit}.")
    return float(value)


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
    if not np.isfinite(t).all():
        raise ValueError(
            f"t[{int(np.argmin(np.isfinite(t)))}] is {t[~np.isfinite(t)][0]}; all times must be finite. Remove it."
        )
    if t[0] < t0:
        raise ValueError(
            f"t[0] is {t[0]:g} ms; a run starts at t0 = {t0:g} ms and cannot go back. Drop the earlier times."
        )
    intervals = np.diff(t)
    if (intervals <= 0).any():
        i = int(np.argmax(intervals <= 0))
        raise ValueError(
            f"t[{i}] = {t[i]:g} is followed by {t[i + 1]:g}; times must increase. Sort them and drop repetitions: np.unique(t)."
        )
    return t


def scheme(solver: Any, dt: Any, schemes: Collection[str]) -> float:
    """The time step in ms, after checking that the solver is known and the step resolves a spike."""
    dt = number("dt", dt, "ms")
    if not isinstance(solver, str):
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
    if (
        len(t) >= MANY_TIMES
        and t[-1] - t[0] < dt * len(t) / MANY_TIMES
        and (doubt := suspicion("the interval of t", usual(t), SAMPLING))
    ):
        warn(doubt)


def usual(t: np.ndarray | Sequence[float]) -> float:
    """The usual interval of times (ms)."""
    return float(np.median(np.diff(t)))


def fixed_scheme(solver: Any) -> None:
    """Refuse an adaptive solver where the adjoint of a fixed-step scheme is wanted."""
    if not isinstance(solver, str):
        raise ValueError(
            f"solver is {solver!r}; the adjoint is that of a fixed-step scheme. Take 'staggered', or `simulate`, which adaptive solvers "
            "differentiate in their own way."
        )


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
    for name, value in (("rtol", rtol), ("atol", atol)):
        if number(name, value, "the unit of the state") <= 0:
            raise ValueError(f"{name} is {value:g}; it must be positive. 1e-6 is usual.")


# ---------------------------------------------------------------- the circuit


POSITIVE = ("A", "C", "γ", "Ca_out", "Ca_rest", "Ca_min", "τ_Ca", "Δ", "τ_min")  # of the constants


def constants(values: Any) -> None:
    """Constants: all finite, most of them positive."""
    for name, value in values._asdict().items():
        if number(f"the constant {name}", value, "its unit") <= 0 and name in POSITIVE:
            raise ValueError(f"the constant {name} is {value:g}; it must be positive. See `Constants` for its unit.")


def channel_list(channels: Iterable[Any]) -> tuple[Any, ...]:
    """Channels with names of their own, as a tuple."""
    channels = tuple(channels)
    names = [c.name for c in channels]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"channels has {name!r} twice; each channel needs a name of its own. Rename one.")
    return channels


def one_conductance(what: str, value: Any) -> np.ndarray:
    """A single conductance in nS."""
    g = conductances(what, value, "nS")
    if g.ndim:
        raise ValueError(f"{what} has shape {g.shape}; it is one conductance in nS. Give a single number.")
    return g


def populations(pop_sizes: Any) -> dict[str, int]:
    """Label -> number of cells."""
    if not isinstance(pop_sizes, Mapping):
        raise TypeError(
            f"pop_sizes is {pop_sizes!r}; it must be a mapping from population labels to numbers of cells, such as {{'AB/PD': 1}}."
        )
    if not pop_sizes:
        raise ValueError("pop_sizes is empty; a circuit needs at least one population, such as {'AB/PD': 1}.")
    for label, size in pop_sizes.items():
        if not isinstance(label, str) or not label:
            raise TypeError(
                f"the population label {label!r} is not a non-empty string; name the population, such as 'LP'."
            )
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
            raise TypeError(f"population {label!r} has size {size!r}; the size must be a whole number of cells.")
        if size < 1:
            raise ValueError(
                f"population {label!r} has size {size}; it must be at least 1. Leave the population out instead."
            )
    total = sum(map(int, pop_sizes.values()))
    memory(
        f"a circuit of {total:,} cells",
        total * BYTES_PER_CELL,
        "Alike cells may be fewer: their synapses can be stronger.",
    )
    return {label: int(size) for label, size in pop_sizes.items()}


def known_labels(what: str, labels: Iterable[Any], known: Collection[str]) -> None:
    """Refuse labels that the circuit does not have."""
    for label in labels:
        if not isinstance(label, Hashable) or label not in known:
            raise ValueError(f"{what} names {label!r}; the circuit has {listing(known)}.{closest(label, known)}")


def conductances(what: str, values: Any, unit: str) -> np.ndarray:
    """An array of finite, non-negative conductances."""
    x = numbers(what, values, f"consist of numbers in {unit}").astype(float)
    if not np.isfinite(x).all():
        raise ValueError(
            f"{what} contains {x[~np.isfinite(x)].flat[0]}; conductances must be finite, in {unit}. Fill the gap."
        )
    if (x < 0).any():
        raise ValueError(
            f"{what} contains {x[x < 0].flat[0]:g} {unit}; conductances must not be negative. An inhibitory synapse inhibits by its "
            "reversal potential, not by its sign."
        )
    return x


# ---------------------------------------------------------------- state and input


IN_VOLTS = 0.15  # mV; potentials that are all smaller were probably meant in V


def state(y: Any, like: Any) -> Any:
    """A state whose fields have the shapes of `like`, finite, with gates in [0, 1] and positive calcium."""
    if not hasattr(like, "plain"):
        y = getattr(y, "plain", y)  # of a run in which channels were counted
    if not isinstance(y, tuple) or getattr(y, "_fields", None) != like._fields:
        raise TypeError(
            f"state is {type(y).__name__}; it must be a State, such as `result.final_state` or `model.get_thermalization()`."
        )
    y = type(like)(*(numbers(f"state.{name}", x) for name, x in zip(like._fields, y, strict=True)))
    for name, x, want in zip(like._fields, y, like, strict=True):
        if x.shape != want.shape:
            raise ValueError(
                f"state.{name} has shape {x.shape}; this circuit needs {want.shape}. Take a state of the same circuit."
            )
        if not np.isfinite(x).all():
            raise ValueError(f"state.{name} contains {x[~np.isfinite(x)].flat[0]}; a start must be finite.")
        if name == "V" and x.size and 0 < (largest := float(np.abs(x).max())) < IN_VOLTS:
            warn(
                f"no V of the state is larger than {largest:g} mV in size. If it is in V, multiply it by 1000; cells rest near -50 mV."
            )
        if name in "smh" and ((x < 0) | (x > 1)).any():
            raise ValueError(
                f"state.{name} contains {x[(x < 0) | (x > 1)].flat[0]:g}; gates lie between 0 and 1. Clip it."
            )
    if "Ca" in y._fields and (y.Ca <= 0).any():
        raise ValueError(f"state.Ca contains {y.Ca.min():g} µM; calcium must be positive. At rest it is 0.05 µM.")
    return y


def stored_state(entry: Mapping[str, np.ndarray], like: Any, dtype: str) -> None:
    """What a store has of one cell is a state, as a user's must be; `like` is one of a single cell."""
    state(type(like)(**{name: x[None] for name, x in entry.items()}), like)
    for name, x in entry.items():
        if x.dtype != dtype:
            raise TypeError(f"{name} is {x.dtype}; the model has {dtype}. Compute it anew.")


KINDS_OF_ARRAYS = {
    "b": "truth values",
    "c": "complex numbers",
    "m": "durations",
    "M": "dates",
    "S": "bytes",
    "U": "text",
    "V": "records",
}


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


def run_is_finite(y: Any, t: np.ndarray, index: pd.MultiIndex) -> None:
    """Say where and when a run turned non-finite; of what did so at once, first what is not a number."""
    recorded = {name: x for name, x in y._asdict().items() if isinstance(x, np.ndarray)}
    if all(np.isfinite(x).all() for x in recorded.values()):
        return
    x = {name: x.reshape(len(t), len(index), -1) for name, x in recorded.items()}
    i = min(int(np.argmax(bad)) for values in x.values() if (bad := ~np.isfinite(values).all((1, 2))).any())
    wrong = [
        (name, cell)
        for of in (np.isnan, np.isinf)
        for name, values in x.items()
        for cell in np.flatnonzero(of(values[i]).any(-1))
    ]
    name, (pop, number) = wrong[0][0], index[int(wrong[0][1])]
    before = f"; it was at {t[i - 1]:g} ms" if i else ""
    if (
        not any(np.isnan(values[i]).any() for values in x.values())
        and len({cell for _, cell in wrong}) == len(index) > 1
    ):
        raise FloatingPointError(
            f"no cell, ({pop!r}, {number}) among them, has a finite {name} at t = {t[i]:g} ms{before}. An adaptive solver could not go "
            "on there: "
            "look at I_ext, and take larger tolerances, another solver or a fixed step."
        )
    raise FloatingPointError(
        f"{name} of cell ({pop!r}, {number}) is not finite at t = {t[i]:g} ms{before}"
        ". Look at I_ext and at the parameters of this cell; a smaller dt helps only with functions of your own."
    )


# ---------------------------------------------------------------- databases


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


def recording(duration: Any, transient: Any) -> None:
    """A run is longer than what is left out of it."""
    for name, value in (("duration", duration), ("transient", transient)):
        if number(name, value, "ms") < 0:
            raise ValueError(f"{name} is {value:g} ms; it must not be negative. Take a positive number.")
    if duration <= transient:
        raise ValueError(
            f"duration is {duration:g} ms and transient {transient:g} ms; the transient is part of the duration. Raise duration."
        )


# ---------------------------------------------------------------- fits


def positive(what: str, value: Any, unit: str) -> float:
    """A finite number above 0."""
    x = number(what, value, unit)
    if x <= 0:
        raise ValueError(f"{what} is {x:g} {unit}; it must be positive. Give a number above 0.")
    return x


def finite_numbers(what: str, values: Any) -> np.ndarray:
    """An array of finite numbers."""
    x = numbers(what, values)
    if not np.isfinite(x).all():
        raise ValueError(f"{what} contains {x[~np.isfinite(x)].flat[0]}; all of it must be finite. Give numbers.")
    return x


def fraction(what: str, value: Any) -> float:
    """A number between 0 and 1."""
    x = number(what, value, "1")
    if not 0 < x < 1:
        raise ValueError(f"{what} is {x:g}; it must lie between 0 and 1. Give a share, such as 0.3.")
    return x


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


# ---------------------------------------------------------------- components


FAR = 3.0  # a density more than this factor outside the published ones draws a warning
FASTEST = 0.02  # ms; a gate that is faster than this at all potentials was probably given in seconds
SLOWEST = 1e5  # ms; one that is slower than this at all was probably given in µs
SMALLEST_SYNAPSE = 0.1  # nS; a weaker synapse was probably given in µS
LARGEST_SYNAPSE = 1e4  # nS; a stronger one was probably given in pS
FACTORS = {
    10.0: "it is in µS/mm², of which 10 make 1 mS/cm²",
    1000.0: "it is in µS/cm² or nS for the cell",
    0.001: "it is in S/cm²",
    0.1: "it was divided by 10 on the way from µS/mm²",
}


def at_least(what: str, value: Any, least: float, unit: str) -> float:
    """A finite number that is not less than another."""
    x = number(what, value, unit)
    if x < least:
        raise ValueError(f"{what} is {x:g} {unit}; it must be at least {least:g}. Give another number.")
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


def shaped(what: str, x: Any, *wanted: tuple[int, ...]) -> Any:
    """An array of numbers of one of some shapes, in floating point; of what JAX traces only the shape is looked at."""
    if not isinstance(x, jax.core.Tracer):
        in_order(what, x)
        x = x if isinstance(x, jax.Array) and x.dtype in (np.float32, np.float64) else numbers(what, x)
    if np.shape(x) not in wanted:
        rule = " or ".join(map(str, wanted))
        raise ValueError(f"{what} has shape {np.shape(x)}; it must be {rule}. Take one of the same model.")
    return x


def sizes_of(sizes: Any, labels: Sequence[str]) -> dict[str, int]:
    """Label -> number of cells, 1 where none is given."""
    if sizes is None:
        sizes = {}
    if not isinstance(sizes, Mapping):
        raise TypeError(
            f"sizes is {sizes!r}; it must be a mapping from labels to numbers of cells, such as {{{labels[0]!r}: 10}}."
        )
    known_labels("sizes", sizes, labels)
    return populations(dict.fromkeys(labels, 1) | dict(sizes))


def one_of_two(name: str, density: Any, uS: Any, permeable: bool) -> tuple[float | None, float | None]:
    """A density or a conductance in µS, one of them; for a permeability the first."""
    if permeable and uS is not None:
        raise ValueError(
            f"{name} is given uS = {uS}, but has a permeability; it must be given in cm/s. Write {name}(1e-4), for example."
        )
    if (density is None) == (uS is None):
        raise ValueError(
            f"{name} is given the density {density} and uS = {uS}; it must be one of the two. Write {name}(100) for mS/cm², or "
            f"{name}(uS=60)."
        )
    g = conductances(f"the conductance of {name}", density if uS is None else uS, "mS/cm²" if uS is None else "µS")
    if g.ndim:
        raise ValueError(
            f"the conductance of {name} has shape {g.shape}; it must be one number. Set those of many cells in `params.g`."
        )
    return (float(g), None) if uS is None else (None, float(g))


def placed(channels: Any, placed_type: Any, channel_type: Any) -> list[Any]:
    """Channels with their densities and with names of their own."""
    if isinstance(channels, (str, Mapping, placed_type, channel_type)) or not isinstance(channels, Iterable):
        raise TypeError(
            f"channels is {channels!r}; it must be a list of channels with their densities, such as [Na(100), leak(0.01)]."
        )
    found = list(channels)
    for c in found:
        if isinstance(c, channel_type):
            raise TypeError(
                f"the channel {c.name!r} comes without a density; write {c.name}(100) for 100 mS/cm², or {c.name}(uS=60)."
            )
        if not isinstance(c, placed_type):
            raise TypeError(
                f"channels contains {c!r}; it must consist of channels with their densities, such as Na(100)."
            )
    channel_list(p.channel for p in found)
    return found


def pool(channels: Iterable[Any], there: bool, reads: Callable[[Any], bool]) -> None:
    """Channels of calcium need a pool."""
    for c in channels:
        if not there and (c.ion == "Ca" or reads(c.m) or reads(c.h)):
            raise ValueError(
                f"the channel {c.name!r} lets calcium in or reads it, but the cell has no calcium; it must have a pool. Say "
                "calcium=Prinz2003.calcium, or one of your own: Calcium(f, τ)."
            )


WRITE_A_GATE = "Write it with jax.numpy, element by element, branching by jnp.where, such as lambda V: 1 / (1 + jnp.exp(-(V + 40) / 5))."


def callable_gate(what: str, f: Any) -> None:
    """A function, whatever it returns."""
    if not callable(f):
        raise TypeError(f"{what} is {reprlib.repr(f)}; it must be a function of potentials in mV. {WRITE_A_GATE}")


def gate_function(what: str, f: Any, trace: Callable[[], Any], wanted: tuple[int, ...]) -> None:
    """A function of V, or of V and Ca (a rate of a synapse: of s, V_pre and V_post), that JAX can trace and that keeps their shape."""
    callable_gate(what, f)
    try:
        found = trace()
    except Exception as error:
        rule = "it must be a function of V, or of V and Ca, and the rate of a synapse one of s, V_pre and V_post"
        raise TypeError(f"{what} cannot be evaluated by JAX: {reason(error)}; {rule}. {WRITE_A_GATE}") from error
    if getattr(found, "dtype", None) is None or found.dtype.kind not in "fiu":
        raise TypeError(
            f"{what} returns {found}; it must return real numbers, not truth values or others. {WRITE_A_GATE}"
        )
    if found.shape not in ((), wanted):
        raise ValueError(
            f"{what} has shape {found.shape} for V of shape {wanted}; it must have that of V. {WRITE_A_GATE}"
        )


def gate_values(what: str, V: np.ndarray, Ca: np.ndarray, inf: np.ndarray, τ: np.ndarray) -> None:
    """x∞ within [0, 1], τ positive, both finite."""
    where = lambda bad: f"at V = {V[bad][0]:g} mV and Ca = {Ca[bad][0]:g} µM"  # noqa: E731
    for name, x in (("x∞", inf), ("τ", τ)):
        if (bad := ~np.isfinite(x)).any():
            raise ValueError(
                f"{name} of {what} is {x[bad][0]:g} {where(bad)}; it must be finite. A rate of the form x/(1 - exp(-x)) is "
                "`linoid(x)`, which has no gap at 0."
            )
    ε = 1e-9
    if (bad := (inf < -ε) | (inf > 1 + ε)).any():
        raise ValueError(
            f"x∞ of {what} is {inf[bad][0]:g} {where(bad)}; it must lie between 0 and 1. Check the signs of its slopes."
        )
    if (bad := τ <= 0).any():
        raise ValueError(f"τ of {what} is {τ[bad][0]:g} ms {where(bad)}; it must be positive. Check the signs in it.")


def warn(message: str) -> None:
    """A warning that points at the user's line, the first one outside of the package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and (frame.f_globals.get("__package__") or "").startswith(__package__):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def fast_gate(what: str, τ: np.ndarray) -> None:
    """Warn of a time constant that looks like seconds, or microseconds."""
    if (longest := float(np.max(τ))) < FASTEST:
        warn(f"τ of {what} is at most {longest:g} ms; if it is in s, multiply it by 1000.")
    if (shortest := float(np.min(τ))) > SLOWEST:
        warn(f"τ of {what} is at least {shortest:g} ms; if it is in µs, divide it by 1000.")


def usual_densities(
    given: Sequence[tuple[str, str, float]], usual: Mapping[str, Mapping[str, tuple[float, float]]]
) -> None:
    """Warn of densities, (channel, source, mS/cm²), that fit another source than their own, or are far from the published ones."""
    known = [(name, source, g) for name, source, g in given if g and name in usual.get(source, {})]

    def within(source: str) -> bool:
        return all(
            name in usual[source] and usual[source][name][0] <= g <= usual[source][name][1] for name, _, g in known
        )

    own = {source for _, source, _ in known}
    others = [source for source in usual if len(known) > 2 and source not in own and within(source)]
    if len(own) == 1 and others and not within(*own):
        name, source, g = max(known, key=lambda c: distance(c[2], *usual[c[1]][c[0]]))
        warn(
            f"the densities are in the range of {others[0]}, but the channels are those of {source}: {name}({g:g}) is off by a factor "
            f"of {distance(g, *usual[source][name]):.3g} or more. Take densities of {source}, or channels of {others[0]}."
        )
        return
    for name, source, g in known:
        usual_density(name, g, *usual[source][name])


def distance(g: float, low: float, high: float) -> float:
    """The factor by which a density is outside a range, or 1."""
    return max(low / g, g / high, 1.0)


def usual_density(name: str, g: float, low: float, high: float) -> None:
    """Warn of a density that is far from the published ones."""
    if distance(g, low, high) <= FAR:
        return
    likely = [f for f in FACTORS if distance(g / f, low, high) <= FAR]
    guess = f"perhaps {FACTORS[likely[0]]}" if likely else "perhaps it belongs to another model"
    warn(
        f"{name}({g:g}) is far from the densities with which this channel was published, {low:g} to {high:g} mS/cm², by a factor of "
        f"{distance(g, low, high):.3g} or more; {guess}."
    )


def labelled_cells(cells: Any, cell_type: type) -> dict[str, Any]:
    """Label -> cell."""
    if not isinstance(cells, Mapping) or not cells:
        raise TypeError(f"cells is {cells!r}; it must be a mapping from labels to cells, such as {{'AB': Cell([…])}}.")
    for label, cell in cells.items():
        if not isinstance(label, str) or not label or not isinstance(cell, cell_type):
            raise TypeError(
                f"cells has the entry {label!r}: {cell!r}; it must be a label and a Cell. Write {{'AB': Cell([…])}}."
            )
    return dict(cells)


def connections(synapses: Any, labels: Collection[str], kinds: Any) -> list[Any]:
    """Synapses between cells that are there, each with one plausible conductance."""
    if isinstance(synapses, (str, Mapping, kinds)) or not isinstance(synapses, Iterable):
        raise TypeError(f"synapses is {synapses!r}; it must be a list, such as [Synapse('AB', 'LP', GLUTAMATE, 30)].")
    found: list[Any] = list(synapses)
    for s in found:
        if not isinstance(s, kinds):
            raise TypeError(
                f"synapses contains {s!r}; it must consist of Synapse(pre, post, kind, nS) and GapJunction(a, b, nS)."
            )
        texts("a label in a synapse", s[:2])
        known_labels(f"{type(s).__name__}{s[:2]}", s[:2], labels)
        if (s.g is None) == (s.uS is None):
            raise ValueError(
                f"{type(s).__name__}{s[:2]} has g = {s.g} and uS = {s.uS}; it must have one of the two. Give g in nS, or uS."
            )
        g = float(one_conductance(f"the conductance of {s[:2]}", s.g if s.uS is None else s.uS))
        plausible_synapse(f"the synapse {s[:2]}", g if s.uS is None else 1e3 * g)
    return found


def kind_of_synapse(kind: Any, kinds: Any) -> None:
    """A synapse is of a kind that the simulator knows."""
    if not isinstance(kind, kinds):
        raise TypeError(
            f"the kind of a synapse is {kind!r}; it must be a transmitter such as GLUTAMATE, a Graded or a Kinetic. Take one of these."
        )


def plausible_synapse(what: str, g: float) -> None:
    """Warn of a conductance (nS) that looks like another unit."""
    if 0 < g < SMALLEST_SYNAPSE:
        warn(
            f"{what} has {g:g} nS, less than {SMALLEST_SYNAPSE:g}; if that is in µS, multiply it by 1000 or say uS={g:g}."
        )
    if g > LARGEST_SYNAPSE:
        warn(f"{what} has {g:g} nS, more than {LARGEST_SYNAPSE:g}; if that is in pS, divide it by 1000.")


def no_own_synapses(synapses: Iterable[Any], sizes: Mapping[str, int]) -> None:
    """A single cell has no synapse onto itself."""
    for s in synapses:
        if s[0] == s[1] and sizes[s[0]] == 1:
            raise ValueError(
                f"there is a synapse from the single cell {s[0]!r} onto itself; remove it or enlarge the population."
            )


def monitored(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """What a monitor returned, (time, cell)."""
    x = numbers("what the monitor returns", values)
    if x.shape != shape:
        raise ValueError(
            f"the monitor returns shape {x.shape}; it must be (time, cell) = {shape}. Pick a gate by y.m[..., 0]."
        )
    return x


def neuron_state(y: Any, like: Any) -> Any:
    """A state with the variables of `like`, (cell,) each, finite."""
    if getattr(y, "_fields", None) != like._fields:
        raise TypeError(
            f"state is {y!r}; it must be a state of the same equations, such as `result.final_state`. Take one of these."
        )
    found = type(like)(*(numbers(f"state.{name}", x) for name, x in zip(like._fields, y, strict=True)))
    for name, x, want in zip(like._fields, found, like, strict=True):
        if x.shape != want.shape or not np.isfinite(x).all():
            raise ValueError(
                f"state.{name} is {x}; it must be {want.shape}, all finite. Take the state of a run of these cells."
            )
    return found


# ---------------------------------------------------------------- experiments


def model_of_cells(model: Any, kinds: Any) -> None:
    """A model that experiments can be done on."""
    if not isinstance(model, kinds):
        raise TypeError(
            f"the model is {model!r}; it must be a Prinz2004, a Cell or a Network, or a Neuron or LIF cells where no channels are asked for. Take one of these."
        )


def of_type(what: str, value: Any, kind: Any, rule: str) -> None:
    """A value of a type."""
    if not isinstance(value, kind):
        raise TypeError(f"{what} is of type {type(value).__name__}; it must be {rule}. Pass that.")


def one_cell(cell: Any, cells: Sequence[tuple[str, int]], labels: Sequence[str]) -> None:
    """The name of one cell: a label, (label, number), or None where there is only one."""
    if cell is None and len(cells) > 1:
        raise ValueError(
            f"cell is None, but there are {len(cells)} cells; one must be named. Say cell={cells[0][0]!r}, for example."
        )
    if cell is None or cell in labels or (isinstance(cell, (tuple, list)) and tuple(cell) in cells):
        return
    raise ValueError(
        f"cell is {cell!r}; it must be one of {listing(labels)}, or a pair such as {cells[0]!r}.{closest(cell, labels)}"
    )


def protocol(what: str, f: Any, first: float, last: float) -> None:
    """The numbers of a protocol are finite, its times increase and lie within the run (ms); plain functions have none."""
    edges = getattr(f, "times", None)
    if edges is None:
        return
    values_of_protocol(what, f)
    x = numbers(f"the times of {what}", edges).astype(float)
    levels_of, steps_of = getattr(f, "levels", None), type(f).__name__ == "Steps"
    if x.ndim != 1 or (levels_of is not None and np.ndim(levels_of) != 1):
        raise TypeError(
            f"{what} has the times {edges!r} and the levels {levels_of!r}; both must be lists. Give Steps((0, 1), (100,))."
        )
    if levels_of is not None and (len(levels_of) != len(x) + steps_of or len(levels_of) < 2 - steps_of):
        raise ValueError(
            f"{what} has {len(levels_of)} levels and {len(x)} times; steps have one level more than times, ramps as many. Give "
            "Steps((0, 1), (100,)), or Ramp((0, 1), (100, 200))."
        )
    if (np.diff(x) <= 0).any():
        raise ValueError(
            f"the times of {what} are {x.tolist()}; they must increase, a duration is not negative. Sort them."
        )
    outside = x[(x < first) | ((x > last) & np.isfinite(x))]
    if outside.size:
        raise ValueError(
            f"{what} has the time {outside[0]:g} ms; the run lasts from {first:g} to {last:g} ms. Record longer, or move it."
        )


def values_of_protocol(what: str, f: Any) -> None:
    """Levels, or amplitude and frequencies, as far as they are known."""
    for name in ("levels", "amplitude", "frequencies"):
        values = getattr(f, name, ())
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(values)):
            return
        x = np.atleast_1d(numbers(f"{name} of {what}", values).astype(float))
        if not np.isfinite(x).all():
            raise ValueError(f"{name} of {what} contains {x[~np.isfinite(x)][0]}; all must be finite. Give numbers.")
        if name == "frequencies" and x.size and (len(x) != 2 or x.min() < 0 or np.shape(f.times) != (2,)):
            raise ValueError(
                f"{what} has the frequencies {f.frequencies} Hz at the times {f.times}; there must be two of each, and none negative. "
                "Give the first and the last."
            )


def levels(what: str, values: Any, unit: str) -> np.ndarray:
    """A list of finite numbers."""
    x = np.atleast_1d(np.asarray(numbers(what, values), float))
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise ValueError(
            f"{what} is {values!r}; it must be a list of finite numbers in {unit}, such as np.linspace(0, 5, 11)."
        )
    return x


def interval(what: str, low: Any, high: Any, unit: str) -> tuple[float, float]:
    """Two numbers in order."""
    a, b = number(f"low {what}", low, unit), number(f"high {what}", high, unit)
    if not a < b:
        raise ValueError(f"the {what} goes from {a:g} to {b:g} {unit}; the first must be less. Exchange them.")
    return a, b


def threshold_between(fires: np.ndarray, low: float, high: float) -> None:
    """A cell is silent at the lowest current and fires at the highest."""
    if fires[0]:
        raise ValueError(
            f"the cell fires at {low:g} nA already; the lower end must be below its threshold. Lower it, or start from rest."
        )
    if not fires[-1]:
        raise ValueError(
            f"the cell does not fire at {high:g} nA; the upper end must be above its threshold. Take a higher one."
        )


def settled(late: float, last: float, I: float) -> None:
    """A potential that has come to rest."""
    if I == 0:
        raise ValueError("I is 0 nA; a step must change something. Take -0.01.")
    if abs(last - late) > 1e-3:
        raise ValueError(
            f"the potential goes from {late:g} to {last:g} mV at the end of the step; it must have settled. Give the cell more time, or "
            "make it silent first."
        )


def some(what: str, values: Any) -> None:
    """A list with something in it."""
    if not isinstance(values, Sequence) or isinstance(values, (str, tuple)) or not len(values):
        raise TypeError(
            f"{what} is {values!r}; it must be a list with one command at least. Write [Steps((-70, 0), (10,))], for example."
        )


def has_gate(channel: str, symbol: str, gate: Any) -> None:
    """A channel with a gate of the kind that is to be measured."""
    if gate is None:
        raise ValueError(f"the channel {channel!r} has no gate {symbol}; it must have one. Choose another channel.")


def plain_reversal(name: str, E: Any) -> float:
    """The reversal potential (mV) of a channel whose current a dynamic clamp can compute without the cell's calcium."""
    if not isinstance(E, (int, float)):
        raise ValueError(
            f"the channel {name!r} has the reversal potential {E!r}; driven by a recording it must be a number. Say E=130."
        )
    return float(E)


def list_of(what: str, values: Any, kinds: Any) -> list[Any]:
    """One thing of some kinds, or several, as a list."""
    if isinstance(values, kinds):
        return [values]
    if isinstance(values, str) or not isinstance(values, Sequence) or hasattr(values, "_fields"):
        raise TypeError(
            f"{what} is {values!r}; it must be a channel with a density, Prinz2003.A(50), a Synapse, or a list. Give these."
        )
    return list(values)


def additions(items: Sequence[Any], kinds: Any, recording: str, driven: bool) -> None:
    """Channels with densities, and synapses, of the recording if there is one."""
    for x in items:
        if not isinstance(x, kinds):
            raise TypeError(
                f"{x!r} cannot be added; it must be a channel with a density, Prinz2003.A(50), or a Synapse. Give these."
            )
        if hasattr(x, "pre") and (x.pre == recording) != driven:
            rule = (
                f"with a recording synapses come from {recording!r}"
                if driven
                else f"synapses from {recording!r} need a recording"
            )
            raise ValueError(
                f"the synapse comes from {x.pre!r}; {rule}. Change its first argument, or give recording=…."
            )
    if not items:
        raise ValueError("nothing is added; there must be a channel or a synapse. Give one, or use current_clamp.")


def noise(items: Sequence[Any], kinds: Any, dt: float) -> None:
    """Noise with plausible numbers, for steps of dt (ms)."""
    for x in items:
        if not isinstance(x, kinds):
            raise TypeError(
                f"the noise is {x!r}; it must be White(σ) or OU(μ, σ, τ). Write OU(0, 0.5, 10), for example."
            )
        if number("σ", x.σ, "its unit") < 0:
            raise ValueError(f"σ is {x.σ:g}; it must not be negative. Give a standard deviation.")
        if hasattr(x, "τ") and positive("τ", x.τ, "ms") < dt:
            warn(
                f"τ is {x.τ:g} ms, shorter than a step of {dt:g} ms; noise without memory is White(σ). If τ is in s, multiply it by 1000."
            )


def numbers_of_channels(channels: Any, known: Collection[str], most: float) -> None:
    """Channel -> how many of them a cell has, a whole number."""
    of_type("channels", channels, Mapping, "a mapping from names to numbers, such as {'Na': 6000, 'K': 1800}")
    for name, n in channels.items():
        choice("a channel with noise", name, known)
        if not number(f"the number of {name!r} channels", n, "1") >= 1 or n != int(n):
            raise ValueError(
                f"the number of {name!r} channels is {n:g}; it must be whole, at least 1. Leave out channels without noise."
            )
        if n > most:
            raise ValueError(
                f"the number of {name!r} channels is {n:g}; at most {most:g} can be counted. Leave it out: there is no noise."
            )


class SnapshotArrays(NamedTuple):
    """What a snapshot file holds."""

    about: Any  # version, description of the model, time in ms
    numbers: np.ndarray  # of the model
    fields: dict[str, np.ndarray]  # of the state


def snapshot_in(path: Path) -> SnapshotArrays:
    """The arrays of a snapshot file, read without pickles. Raises ValueError if it is damaged or another file, OSError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is no file; it must be one of save_state. Check the path.")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            fields = {name.removeprefix("state."): file[name] for name in file.files if name.startswith("state.")}
            version, found, t0 = json.loads(str(file["about"]))
            return SnapshotArrays((version, found, t0), file["numbers"].astype(float), fields)
    except PermissionError:
        raise
    except Exception:  # what a made-up or damaged archive raises can be anything, and NumPy advises to allow pickles
        message = (
            f"'{path}' is no snapshot, or is damaged; it must be a file of save_state. Check the path, or save it anew."
        )
        raise ValueError(message) from None


def same_fields(path: Any, found: Collection[str], wanted: Collection[str]) -> None:
    """A snapshot of a state with the variables of the model."""
    if set(found) != set(wanted):
        raise ValueError(
            f"the snapshot {path} has the variables {listing(found)}; the state has {listing(wanted)}. Load it with the model that ran."
        )


def same_model(path: Any, found: Any, wanted: Any, found_numbers: np.ndarray, numbers_wanted: np.ndarray) -> None:
    """A snapshot of the same model."""
    same = tuple(found) == tuple(wanted) and found_numbers.shape == numbers_wanted.shape
    if not (same and np.allclose(found_numbers, numbers_wanted, rtol=1e-9, atol=0, equal_nan=True)):
        what = "version, cells, channels or synapses" if not same else "conductances or kinetics"
        raise ValueError(
            f"the snapshot {path} is of a model with other {what}; it must be the same one. Build the model as it was saved."
        )


def q10s(q10: Mapping[str, Any], known: Mapping[str, Collection[str]]) -> None:
    """Q10s that are positive, for names that the model has."""
    for field, value in q10.items():
        if field not in known and isinstance(value, Mapping):
            raise TypeError(
                f"the Q10 {field} is {value!r}; it must be one number, since it has no parts with names. Give that."
            )
        for name, x in (value if isinstance(value, Mapping) else {"": value}).items():
            what = f"the Q10 {field} {name}".rstrip()
            if field == "keeps_influx":
                of_type(field, x, bool, "True or False")
            elif number(what, x, "1") <= 0:
                raise ValueError(f"{what} is {x:g}; it must be positive. 1 is no change.")
            elif not LEAST_Q10 <= x <= LARGEST_Q10:
                warn(
                    f"{what} is {x:g}; those of rates and conductances are about 1 to 5. Give the factor of growth with 10 °C."
                )
            if name:
                choice(f"a name in the Q10s of {field}", name, known[field])


LEAST_Q10, LARGEST_Q10 = 0.2, 20.0


def relative_densities(start: Any, widths: Sequence[int]) -> np.ndarray:
    """Densities relative to those of a model, a number or one for each channel."""
    x = numbers("start", start).astype(float)
    if (x.ndim and any(x.shape != (n,) for n in widths)) or not np.isfinite(x).all() or (x < 0).any():
        raise ValueError(
            f"start is {start!r}; it must be a number that is not negative, or one for each of the {widths[0]} channels. Give one of these."
        )
    return x


def events_seen(n: int, wanted: int, what: str, duration: float) -> None:
    """A rhythm with enough events to know its period."""
    if n < wanted:
        raise ValueError(
            f"the cell has {n} {what} in {duration:g} ms; there must be {wanted} for its period. Take another cell or event, or a "
            "longer transient."
        )


def phases(values: Any) -> np.ndarray:
    """Phases from 0 to 1."""
    x = levels("phases", values, "cycles")
    if ((x < 0) | (x >= 1)).any():
        raise ValueError(
            f"phases contains {x[(x < 0) | (x >= 1)][0]:g}; they go from 0 to below 1. Subtract whole cycles."
        )
    return x
