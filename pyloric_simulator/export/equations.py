# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version,-jupytext.text_representation.format_version
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["active-ipynb", "remove-cell"]
# import sys
#
# sys.path.append("..")
# from _notebook import __spec__

# %% [markdown]
# # A model as equations
#
# Can a colleague who works with another simulator run the same cell? Only if somebody copies its equations, and copying is where the
# mistakes of this field come from: a sign in a half-activation, a time constant in seconds, a conductance in the wrong unit.
# The next chapters therefore write a model *for* Brian2, NEURON and NeuroML, and this one reads it.
#
# What has to be read is Python. A gate of one's own is a function such as `lambda V: 1 / (1 + jnp.exp(-(V + 40) / 5))`, and no
# simulator but ours understands that. But JAX knows what the function does: it can be run with a potential that has no number yet,
# and JAX writes down each operation that it meets. From this list the function is rebuilt as a formula:

# %% tags=["active-ipynb"]
# import jax.numpy as jnp
#
# from ..prinz2004 import CHANNELS
# from .equations import expression, text
#
# own = lambda V: 1 / (1 + jnp.exp(-(V + 40) / 5))
# print(text(expression(own, ("V",))))
# print(text(expression(CHANNELS[0].h.tau, ("V",))))

# %% [markdown]
# The first line is the gate above; the second is the time constant of sodium inactivation, as the first chapter gives it:
# 1.34 B(62.9, −10) (1.5 + B(34.9, 3.6)) ms.

# %%
from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from ..engine.inputs import current as current_of_user
from ..engine.junctions import inlets_of, used
from ..engine.kinetics import at, exprel
from ..engine.layout import activating, inactivating
from ..models.networks import model_of, start_of
from ..prinz2004 import (
    DEFAULT_DT,
    NS_TO_US,
    Channel,
    Constants,
    Gate,
    Membrane,
    Model,
    current_of,
    gates_of,
    linear,
    precision,
    prepare,
)

__all__ = ["Described", "Term", "described", "expression", "text"]

# %% [markdown]
# ## Formulas
#
# A formula is a tree. Its leaves are numbers and names, such as `V`; every other node is an operation on the nodes below it. The
# operations are few: arithmetic, powers, exponentials and their inverses, comparisons, and a choice between two values.


# %%
class Term(NamedTuple):
    """A formula: an operation and what it acts on."""

    op: str  # "number", "name", or a key of NUMPY
    args: tuple[Any, ...]  # one number, one name, or terms


def number(x: Any) -> Term:
    """A number as a formula."""
    return Term("number", (float(x),))


def name(x: str) -> Term:
    """A name as a formula."""
    return Term("name", (x,))


def value_of(x: Term) -> float | None:
    """The number that a formula is, None for others."""
    return x.args[0] if x.op == "number" else None


# %% [markdown]
# What each operation means is said once, by the NumPy function that does it. With them a formula can be computed again, which is how it
# is compared with the function that it came from.

# %%
NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "pow": np.power,
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "abs": np.abs, "tanh": np.tanh,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh,
    "floor": np.floor, "sign": np.sign, "max": np.maximum, "min": np.minimum,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "where": np.where,
    "exprel": lambda x: np.where(x == 0, 1.0, np.expm1(x) / np.where(x == 0, 1.0, x)),
}  # fmt: skip


def evaluated(x: Term, **values: Any) -> Any:
    """The value of a formula where its names have the given values, numbers or arrays of one shape."""
    if x.op == "number":
        return x.args[0]
    if x.op == "name":
        return values[x.args[0]]
    return NUMPY[x.op](*(evaluated(a, **values) for a in x.args))


# %% [markdown]
# ### Shorter formulas
#
# The curves of the paper's channels all have one general form, of which most terms are 0 or 1: a sigmoid has a second exponential with
# an infinite slope, which is 1 everywhere. Written out, nobody would recognize it. Numbers are therefore computed at once, and terms
# that change nothing are left out. (In floating-point arithmetic $0 \cdot x$ is not 0 where $x$ is infinite; a gate has no such values,
# which is checked when a cell is made.)


# %%
def simpler(op: str, *args: Term) -> Term:
    """An operation on formulas; a number where all are, and without terms and factors that change nothing."""
    numbers = [value_of(a) for a in args]
    if all(x is not None for x in numbers) and op in NUMPY:
        with np.errstate(all="ignore"):
            return number(NUMPY[op](*numbers))
    if op == "where":
        return chosen(numbers[0], args)
    return neutral(op, args, numbers) if len(args) == 2 else Term(op, args)


def chosen(known: float | None, args: tuple[Term, ...]) -> Term:
    """A choice; the one of two formulas that is known to be chosen, or (e^x − 1)/x where the choice is what makes that smooth at 0."""
    if known is not None:
        return args[1] if known else args[2]
    found: dict[str, Term] = {}
    made = Term("where", args)
    return Term("exprel", (found["x"],)) if EXPREL and matches(EXPREL[0], made, found) else made


def matches(pattern: Term, x: Term, found: dict[str, Term]) -> bool:
    """Whether a formula is a pattern with formulas in the place of its names, which are put into `found`."""
    if pattern.op == "name":
        return found.setdefault(pattern.args[0], x) == x
    if (pattern.op, len(pattern.args)) != (x.op, len(x.args)):
        return False
    if pattern.op == "number":
        return pattern.args == x.args
    return all(matches(p, a, found) for p, a in zip(pattern.args, x.args, strict=True))


EXPREL: list[Term] = []  # how `kinetics.exprel` reads, once it can be read


def neutral(op: str, args: tuple[Term, ...], numbers: Sequence[float | None]) -> Term:
    """An operation on two formulas of which one may change nothing, or make the whole 0."""
    (a, b), (x, y) = args, numbers
    if (op in ("add", "sub") and y == 0) or (op in ("mul", "div", "pow") and y == 1):
        return a
    if (op == "add" and x == 0) or (op == "mul" and x == 1):
        return b
    if (op == "mul" and 0 in (x, y)) or (op == "div" and (x == 0 or (y is not None and math.isinf(y)))):
        return number(0)
    if op == "sub" and x == 0:
        return simpler("neg", b)
    return Term(op, args)


# %% [markdown]
# ## Reading a function
#
# `jax.make_jaxpr` runs a function with placeholders and returns a *jaxpr*, the list of its operations, each of which takes values that are known
# by then. We follow the list and keep, for each value, its formula. Most operations have an equal among ours:

# %%
SAME = {
    "add": "add", "add_any": "add", "sub": "sub", "mul": "mul", "div": "div", "neg": "neg", "pow": "pow", "exp": "exp",
    "expm1": "expm1", "log": "log", "log1p": "log1p", "sqrt": "sqrt", "abs": "abs", "tanh": "tanh", "sin": "sin", "cos": "cos",
    "tan": "tan", "sinh": "sinh", "cosh": "cosh", "floor": "floor", "sign": "sign", "max": "max", "min": "min", "lt": "lt",
    "le": "le", "gt": "gt", "ge": "ge", "eq": "eq", "ne": "ne", "and": "and", "or": "or", "not": "not",
}  # fmt: skip
UNCHANGED = (
    "convert_element_type", "copy", "copy_p", "stop_gradient", "broadcast_in_dim", "reshape", "squeeze", "optimization_barrier",
    "reduce_precision", "real",
)  # fmt: skip

# %% [markdown]
# Some are made of several of ours, such as the logistic function; and a function inside of a function is followed to its own list.


# %%
def composed(op: str, x: Sequence[Term], params: Mapping[str, Any]) -> Term | None:
    """The formula of an operation that is made of several; None for one that cannot be said."""
    one = number(1)
    made: dict[str, Callable[[], Term]] = {
        "integer_pow": lambda: simpler("pow", x[0], number(params["y"])),
        "square": lambda: simpler("pow", x[0], number(2)),
        "rsqrt": lambda: simpler("div", one, simpler("sqrt", x[0])),
        "cbrt": lambda: simpler("pow", x[0], number(1 / 3)),
        "exp2": lambda: simpler("pow", number(2), x[0]),
        "logistic": lambda: simpler("div", one, simpler("add", one, simpler("exp", simpler("neg", x[0])))),
        "select_n": lambda: simpler("where", x[0], x[2], x[1]),
        "clamp": lambda: simpler("min", simpler("max", x[1], x[0]), x[2]),
    }
    if op == "select_n" and len(x) != 3:
        return None
    return made[op]() if op in made else None


def inner(params: Mapping[str, Any]) -> Any:
    """The list of operations of a function inside of a function, None for an operation of its own."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if key in params:
            return params[key]
    return None


def followed(jaxpr: Any, consts: Sequence[Any], args: Sequence[Term], what: str) -> list[Term]:
    """The formulas of what a list of operations returns, from those of its arguments."""
    known = dict(zip(jaxpr.constvars, (constant(c, what) for c in consts), strict=True))
    known |= dict(zip(jaxpr.invars, args, strict=True))
    read = lambda v: constant(v.val, what) if isinstance(v, Literal) else known[v]  # noqa: E731
    for step in jaxpr.eqns:
        x = [read(v) for v in step.invars]
        known |= dict(zip(step.outvars, said(step, x, what), strict=False))
    return [read(v) for v in jaxpr.outvars]


def said(step: Any, x: Sequence[Term], what: str) -> list[Term]:
    """The formulas of the values of one operation."""
    op = step.primitive.name
    if (inside := inner(step.params)) is not None and op not in LOOPS:
        closed = hasattr(inside, "consts")
        return followed(inside.jaxpr if closed else inside, inside.consts if closed else (), x, what)
    if op in UNCHANGED and all(math.prod(v.aval.shape) == 1 for v in step.outvars):
        return list(x)
    found = simpler(SAME[op], *x) if op in SAME else composed(op, x, step.params)
    if found is None:
        raise ValueError(
            f"{what} uses the operation {op!r}, which no other simulator has; it must be made of arithmetic, powers, exponentials, "
            "logarithms, comparisons and jnp.where. Write it with these."
        )
    return [found]


LOOPS = ("scan", "while", "cond")  # whose bodies are no formulas

# %% [markdown]
# A function of a whole array, such as an interpolation in a table, is no formula of one potential, and is refused with the name of the
# operation. So is a number with which a function is closed over and that is not one number but many.


# %%
def constant(x: Any, what: str) -> Term:
    """A number that a function contains."""
    found = np.asarray(x)
    if found.size != 1 or found.dtype.kind not in "biuf":
        raise ValueError(
            f"{what} contains an array of shape {found.shape}; it must contain single numbers. A table of values is no formula; fit one to it."
        )
    return number(found.reshape(()))


def expression(f: Callable[..., Any], names: Sequence[str], what: str = "the function") -> Term:
    """The formula of a function of numbers, written with jax.numpy; names: those of its arguments.

    Raises ValueError naming the operation if there is one that is not arithmetic, a power, an elementary function, a comparison or a choice.
    """
    with precision("float64"):
        x = [jax.ShapeDtypeStruct((), np.float64)] * len(names)
        found = jax.make_jaxpr(lambda *x: jnp.asarray(f(*x), np.float64))(*x)
        if (shape := found.out_avals[0].shape) != ():
            raise ValueError(f"{what} returns shape {shape} for single numbers; it must return one. Sum or index it.")
        term = followed(found.jaxpr, found.consts, [name(x) for x in names], what)[0]
    if bad := [x for x in numbers_of(term) if not math.isfinite(x)]:
        raise ValueError(
            f"{what} contains the number {bad[0]}; its numbers must be finite. Look for a division by 0 in it."
        )
    return term


def numbers_of(x: Term) -> list[float]:
    """All numbers in a formula."""
    if x.op in ("number", "name"):
        return list(x.args) if x.op == "number" else []
    return [n for a in x.args for n in numbers_of(a)]


EXPREL.append(expression(exprel, ("x",)))

# %% [markdown]
# The last line reads `exprel`, the function $(e^x - 1)/x$ that is smooth at 0 and of which the rates of Hodgkin and Huxley are made. From here on
# its formula, a choice between a series and a quotient, is recognized and gets its name back; Brian2 has a function of that name.

# %% [markdown]
# ## Writing a formula
#
# Languages differ in the names of a few functions and in how they choose between two values. Arithmetic is the same in all of them. A
# language is therefore a dictionary from operations to templates, and names may be replaced on the way: what is `V` here, a number in mV,
# may be `V/mV` there, or `v`.

# %%
ARITHMETIC = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{}*{}", "div": "{}/{}", "neg": "-{}", "pow": "{}**{}", "lt": "{} < {}", "le": "{} <= {}",
    "gt": "{} > {}", "ge": "{} >= {}", "eq": "{} == {}", "ne": "{} != {}", "and": "{} and {}", "or": "{} or {}", "not": "not {}",
    "where": "where({}, {}, {})",
}  # fmt: skip
TIGHT = (
    {"number": 9, "name": 9, "pow": 7, "neg": 6, "mul": 5, "div": 5, "add": 4, "sub": 4}
    | dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), 3)
    | {"not": 2, "and": 1, "or": 0}
)  # how closely an operation binds; calls of functions as closely as names


def text(x: Term, words: Mapping[str, str] = ARITHMETIC, names: Mapping[str, str] | None = None) -> str:
    """A formula in a language, in which an operation that `words` does not have is a function of the same name."""
    if x.op == "number":
        return written_number(x.args[0])
    if x.op == "name":
        return (names or {}).get(x.args[0], x.args[0])
    x = rewritten(x.op, *x.args) if len(x.args) == 2 else x
    args = [text(a, words, names) for a in x.args]
    if x.op in TIGHT and words.get(x.op, "").count("(") == 0:
        args = [bracketed(x, i, a, s) for i, (a, s) in enumerate(zip(x.args, args, strict=True))]
    return words[x.op].format(*args) if x.op in words else f"{x.op}({', '.join(args)})"


# %% [markdown]
# What a function computes is not always written as one would write it by hand: a sum with a negative number is a difference, and a
# product with 1/x a quotient. This is looked after last, so that the trees stay as they were read.


# %%
def rewritten(op: str, a: Term, b: Term) -> Term:
    """An operation on two formulas as one would write it by hand: a + (−b) as a − b, and a (1/b) as a/b."""
    if op in ("add", "sub") and is_negative(b):
        return Term("sub" if op == "add" else "add", (a, negated(b)))
    if op == "mul" and b.op == "div" and value_of(b.args[0]) == 1:
        return Term("div", (a, b.args[1]))
    return Term(op, (a, b))


def is_negative(x: Term) -> bool:
    """Whether a formula is a negative number, a product or a quotient that begins with one, or has a minus before it."""
    first = x.args[0] if x.op in ("mul", "div") else x
    return first.op == "neg" or (value_of(first) or 0) < 0


def negated(x: Term) -> Term:
    """−x of a formula that `is_negative`."""
    if x.op in ("mul", "div"):
        return simpler(x.op, negated(x.args[0]), x.args[1])
    return x.args[0] if x.op == "neg" else number(-x.args[0])


def written_number(x: float) -> str:
    """A number as text, whole ones without a point where they are short."""
    return str(int(x)) if abs(x) < 1e6 and x == int(x) else repr(x)


def bracketed(x: Term, i: int, a: Term, written: str) -> str:
    """An argument with brackets where an operation binds it less closely than it is written."""
    binds = lambda t: 5.5 if t.op == "number" and t.args[0] < 0 else TIGHT.get(t.op, 9)  # noqa: E731
    same = i > 0 and x.op in ("sub", "div", "mul")
    negative = i > 0 and written.startswith("-")
    loose = negative or binds(a) < TIGHT[x.op] or (binds(a) == TIGHT[x.op] and (same or x.op in ("pow", "neg")))
    return f"({written})" if loose or (x.op == "pow" and binds(a) < 9) else written


# %% [markdown]
# Names of cells and channels are free text in a model, and Greek letters are welcome; in other simulators a name is letters and digits
# without accents. Two names that become equal are told apart by a number.


# %%
GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "τ": "tau",
    "κ": "kappa",
    "λ": "lambda",
    "µ": "u",
    "μ": "u",
}


def identifiers(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """For each name one of ASCII letters, digits and underscores that begins with a letter, all different and none of those taken."""
    found: list[str] = []
    for label in names:
        plain = unicodedata.normalize("NFKD", "".join(GREEK.get(c, c) for c in label))
        word = re.sub(r"\W+", "_", plain.encode("ascii", "ignore").decode()).strip("_") or "x"
        word = word if word[0].isalpha() else f"x{word}"
        tried, n = word, 2
        while tried.lower() in {x.lower() for x in (*found, *taken)}:
            tried, n = f"{word}_{n}", n + 1
        found.append(tried)
    return found


# %% [markdown]
# ## Reading a model
#
# What another simulator has to know of a model fits in one table: the kinds of cells with their channels and gates, each gate as two
# formulas, each current as one; the cells with their conductances and their start; and what joins which cell to which. Everything is in the
# units of this package, mV, ms, nA, µS, nF and µM, and turning them into those of a simulator is the business of its chapter.


# %%
class Kinetics(NamedTuple):
    """One gate."""

    id: str  # identifier, such as m_Na
    inf: Term  # steady state, of V (mV) and Ca (µM)
    tau: Term  # ms, time constant, of V and Ca


class Current(NamedTuple):
    """One channel of a kind of cells."""

    name: str  # in the model
    id: str  # identifier
    m: Kinetics | None  # activation
    p: int  # its exponent
    h: Kinetics | None  # inactivation
    q: int  # its exponent
    I: Term  # nA, of γ (µS, the open conductance), V and Ca
    G: Term  # µS, such that near V the current is G V − J
    J: Term  # nA
    E: Term | None  # mV, reversal potential, a number or of Ca; None for a current that is not γ (V − E)
    calcium: bool  # whether it carries calcium into the cell


class Kind(NamedTuple):
    """Cells with the same channels and constants."""

    id: str  # identifier
    currents: tuple[Current, ...]
    constants: Constants
    pool: bool  # whether the calcium concentration changes
    releases: tuple[Kinetics, ...]  # activation of the synapses that a cell makes, of each transmitter


class OneCell(NamedTuple):
    """One cell."""

    label: str  # of its population
    place: int  # within it
    id: str  # identifier
    kind: int  # index into `Described.kinds`
    g: tuple[float, ...]  # µS, maximal conductance of each channel
    I: Term  # nA, external current, depolarizing, of t (ms)
    V: float  # mV, at the start; so the rest
    Ca: float  # µM
    x: tuple[float, ...]  # gates: m of all channels that have it, then h
    s: tuple[float, ...]  # activation of its synapses, of each transmitter


class Joined(NamedTuple):
    """One synapse or gap junction."""

    pre: int  # cell
    post: int  # cell
    kind: int  # transmitter, or kind of kinetic synapse
    g: float  # µS
    start: float = 0.0  # activation of a kinetic synapse


class Ending(NamedTuple):
    """A kind of synapse."""

    id: str  # identifier
    E: float  # mV
    rate: Term | None = None  # ds/dt (1/ms) of s, V_pre and V_post for a kinetic one


class Described(NamedTuple):
    """A model as formulas and numbers."""

    kinds: tuple[Kind, ...]
    cells: tuple[OneCell, ...]
    transmitters: tuple[Ending, ...]
    synapses: tuple[Joined, ...]  # graded ones
    gaps: tuple[Joined, ...]
    kinetic: tuple[Ending, ...]
    bonds: tuple[Joined, ...]  # kinetic synapses


# %% [markdown]
# A gate is read where the heart evaluates it: the calcium of a channel such as KCa enters as the factor $[Ca]/([Ca] + K)$ of its steady
# state, and no time constant is shorter than $τ_\mathrm{min}$.


# %%
def kinetics_of(gate: Gate, word: str, τ_min: float, what: str) -> Kinetics:
    """The formulas of a gate."""
    V_Ca = ("V", "Ca")
    inf = expression(lambda V, Ca: at(gate.inf, V, Ca), V_Ca, f"x∞ of {what}")
    tau = expression(lambda V, Ca: at(gate.tau, V, Ca), V_Ca, f"τ of {what}")
    if gate.K:
        Ca = name("Ca")
        inf = simpler("div", simpler("mul", inf, Ca), simpler("add", Ca, number(gate.K)))
    return Kinetics(word, inf, longer_than(tau, τ_min))


def longer_than(tau: Term, τ_min: float) -> Term:
    """A time constant with its least value, where it is shorter at some potential."""
    V, Ca = np.meshgrid(np.arange(-150.0, 151.0, 0.25), (1e-3, 0.05, 1.0, 10.0, 1e3, 1e5))
    with np.errstate(all="ignore"):
        shortest = np.min(evaluated(tau, V=V, Ca=Ca))
    return tau if shortest >= τ_min else simpler("max", tau, number(τ_min))


def current_as_terms(channel: Channel, word: str, c: Constants) -> Current:
    """The formulas of a channel."""
    of, what = ("γ", "V", "Ca"), f"the channel {channel.name!r}"
    gate = lambda x, letter: x and kinetics_of(x, f"{letter}_{word}", c.τ_min, f"the gate {letter} of {channel.name!r}")  # noqa: E731
    I = expression(partial(current_of, channel, c), of, what)
    G, J = (expression(lambda *x, i=i: linear(channel, c, *x)[i], of, what) for i in (0, 1))
    E = None if hasattr(channel.E, "current") else reversal(channel, c)
    ends = gate(channel.m, "m"), channel.p, gate(channel.h, "h"), channel.q
    return Current(channel.name, word, *ends, I, G, J, E, channel.ion == "Ca")


def reversal(channel: Channel, c: Constants) -> Term:
    """The reversal potential (mV) of an ohmic channel, a number or a formula of Ca."""
    if not hasattr(channel.E, "potential"):
        return number(channel.E)
    return expression(partial(channel.E.potential, c), ("Ca",), f"the reversal potential of {channel.name!r}")


# %% [markdown]
# The kinds of cells are the membranes of the circuit; the terminals that its cells have in common stand with them, since the activation of
# a graded synapse is a gate of the presynaptic cell.


# %%
def kind_of(circuit: Any, membrane: Membrane, word: str, transmitters: Sequence[str]) -> Kind:
    """The formulas of the cells of one membrane."""
    c = Constants(*map(float, membrane.constants))
    words = identifiers([x.name for x in membrane.channels], TAKEN)
    found = [current_as_terms(channel, x, c) for channel, x in zip(membrane.channels, words, strict=True)]
    released = zip(gates_of(circuit, membrane)[0], transmitters, strict=True)
    releases = [kinetics_of(gate, f"s_{t}", c.τ_min, f"the synapse {t!r}") for gate, t in released]
    return Kind(word, tuple(found), c, membrane.pool, tuple(releases))


TAKEN = (
    "V",
    "Ca",
    "I",
    "G",
    "J",
    "E",
    "t",
    "v",
    "i",
    "dt",
    "cm",
    "area",
    "syn",
    "ext",
    "gap",
    "ca",
    "cai",
    "ica",
    "exp",
    "log",
)


# %% [markdown]
# Synapses and gap junctions are listed pair by pair, from each cell of a population to each of another, but never from a cell to itself,
# as in the heart.


# %%
def pairs(circuit: Any, pre: int, post: int) -> list[tuple[int, int]]:
    """All pairs of a cell of one population and another cell of a second one."""
    of = [np.flatnonzero(circuit.rows == i).tolist() for i in (pre, post)]
    return [(i, j) for i in of[0] for j in of[1] if i != j]


def joined(params: Any) -> tuple[tuple[Joined, ...], tuple[Joined, ...]]:
    """The graded synapses and the gap junctions (each pair of cells once) of a circuit."""
    c = params.circuit
    in_uS = lambda x, n: np.broadcast_to(np.asarray(x, float) * NS_TO_US, (n,)).tolist()  # noqa: E731
    graded, gaps = [], []
    for s, g in zip(c.synapses, in_uS(params.gs, len(c.synapses)), strict=True):
        graded += [Joined(i, j, s.transmitter, g) for i, j in pairs(c, s.pre, s.post)]
    for (a, b), g in zip(c.junctions, in_uS(params.ge, len(c.junctions)), strict=True):
        gaps += [Joined(i, j, 0, g) for i, j in pairs(c, a, b) if a != b or i < j]
    return tuple(graded), tuple(gaps)


def bonds_of(params: Any, state: Any = None) -> tuple[Joined, ...]:
    """The kinetic synapses, with their activation in a state."""
    if not (c := params.circuit).kinetic:
        return ()
    slots, found = inlets_of(c), []
    for slot, post in zip(*np.nonzero(used(c)), strict=True):
        pre, synapse, kind = (int(x[slot, post]) for x in slots)
        g = float(params.gz[synapse]) * NS_TO_US
        found.append(Joined(pre, int(post), kind, g, 0.0 if state is None else float(state.z[post, slot])))
    return tuple(found)


# %% [markdown]
# The cells carry their start with them. By default it is the one from which a run of the model starts: thermalized cells in a circuit of the
# paper, the cold start in a network of one's own.


# %%
def largest_conductances(params: Any) -> list[tuple[float, ...]]:
    """The maximal conductances (µS) of each channel of each cell."""
    c, found = params.circuit, {}
    with precision("float64"):
        g = [np.asarray(x) for x in prepare(params, np.float64, DEFAULT_DT).g]
    for of_kind, cells in zip(g, c.groups, strict=True):
        found |= {int(cell): tuple(of_kind[:, place].tolist()) for place, cell in enumerate(cells)}
    return [found[i] for i in range(len(c.rows))]


def cells_of(model: Model, state: Any, I: Sequence[Term]) -> tuple[OneCell, ...]:
    """All cells with their conductances (µS), their external currents and their start."""
    c, g, found = model.circuit, largest_conductances(model.params), []
    ids = identifiers([f"{label}_{n}" for label, n in model.cells])
    for i, (label, n) in enumerate(model.cells):
        k = c.populations[c.rows[i]].membrane
        membrane = c.membranes[k]
        gates = *state.m[i, : len(activating(membrane))], *state.h[i, : len(inactivating(membrane))]
        start = float(state.V[i]), float(state.Ca[i]), tuple(map(float, gates)), tuple(map(float, state.s[i]))
        found.append(OneCell(label, n, ids[i], k, g[i], I[i], *start))
    return tuple(found)


def currents_in(model: Model, I_ext: Any) -> list[Term]:
    """The external current (nA) of each cell as a formula of t (ms)."""
    n = len(model.rows)
    found = current_of_user(I_ext, model.labels, model.rows, np.array([0.0]), 0.0)
    if callable(found):
        if jax.eval_shape(found, 0.0).shape != ():
            raise ValueError(
                "I_ext is a function with one value for each cell; it must be one current for all cells, a number for each, or a mapping from "
                "populations to numbers. Give one of these, or inject the current in the other simulator."
            )
        return [expression(found, ("t",), "I_ext")] * n
    return [number(x) for x in found]


# %% [markdown]
# `described` is the table that the next chapters write. It takes any model of channels: a `Prinz2004`, a `Network`, or a single `Cell`.


# %%
def described(model: Any, state: Any = None, I_ext: Any = None, **scheme: Any) -> Described:
    """A circuit, a network or a cell as formulas and numbers.

    state: the start; by default that of a run of the model. I_ext: nA, depolarizing; a number, one for each cell or population, or a
    function of t (ms). scheme: of the thermalization, if there is one. Raises ValueError naming the operation for a gate that cannot be
    written as a formula, and TypeError for what is no model of channels.
    """
    model = model_of(model)
    state = start_of(model, state, **scheme)
    state = type(state)(*(np.asarray(x, float) for x in state))
    c = model.circuit
    transmitters, kinetic = (identifiers([x.name for x in some]) for some in (c.transmitters, c.kinds))
    kinds = [kind_of(c, m, word, transmitters) for m, word in zip(c.membranes, kind_ids(c), strict=True)]
    ends = tuple(Ending(word, float(x.E)) for word, x in zip(transmitters, c.transmitters, strict=True))
    slow = tuple(Ending(word, float(x.E), rate_of(x)) for word, x in zip(kinetic, c.kinds, strict=True))
    graded, gaps = joined(model.params)
    cells = cells_of(model, state, currents_in(model, I_ext))
    return Described(tuple(kinds), cells, ends, graded, gaps, slow, bonds_of(model.params, state))


def with_numbers(d: Described, params: Any) -> Described:
    """The same model with the conductances of `params`, of its cells and of what joins them."""
    graded, gaps = joined(params)
    cells = [c._replace(g=g) for c, g in zip(d.cells, largest_conductances(params), strict=True)]
    bonds = [b._replace(g=x.g) for b, x in zip(d.bonds, bonds_of(params), strict=True)]
    return d._replace(cells=tuple(cells), synapses=graded, gaps=gaps, bonds=tuple(bonds))


def rate_of(kind: Any) -> Term:
    """ds/dt (1/ms) of a kinetic synapse."""
    return expression(kind.rate, ("s", "V_pre", "V_post"), f"the rate of {kind.name!r}")


def kind_ids(circuit: Any) -> list[str]:
    """Identifiers of the kinds of cells: the label of a population of each."""
    of = [next(p.label for p in circuit.populations if p.membrane == k) for k in range(len(circuit.membranes))]
    return ["cells"] if len(of) == 1 else identifiers([f"cells_{label}" for label in of])
