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
# Can a colleague who works with another simulator run the same cell? Only if somebody copies its
# equations, and copying is where the mistakes of this field come from: a sign in a half-activation, a
# time constant in seconds, a conductance in the wrong unit. The next chapters therefore write a model
# *for* other simulators, and this one reads it.
#
# What has to be read is Python. A {term}`gate` of one's own is a function such as
# `lambda V: 1 / (1 + jnp.exp(-(V + 40) / 5))`, and no simulator but ours understands that. But JAX
# knows what the function does: it can be run with a potential that has no number yet, and JAX writes
# down each operation that it meets. From this list the function is rebuilt as a formula:

# %% tags=["active-ipynb"]
# import jax
# import jax.numpy as jnp
# import numpy as np
#
# from ..prinz2004 import CHANNELS, precision
# from .equations import described, evaluated, expression, text
#
# own = lambda V: 1 / (1 + jnp.exp(-(V + 40) / 5))
# print(text(expression(own, ("V",))))
# print(text(expression(CHANNELS[0].h.tau, ("V",))))

# %% [markdown]
# The first line is the gate above; the second is the time constant of sodium inactivation, as the
# first chapter gives it: 1.34 B(62.9, −10) (1.5 + B(34.9, 3.6)) ms, with the sigmoid
# $B(a, k) = 1/(1 + e^{(V+a)/k})$. Is it the same function? At 401 potentials the formula is computed
# again, by NumPy and without JAX:

# %% tags=["active-ipynb"]
# V = np.linspace(-120, 80, 401)
# with precision("float64"):
#     by_jax = np.asarray(CHANNELS[0].h.tau(jnp.asarray(V)))
# by_formula = evaluated(expression(CHANNELS[0].h.tau, ("V",)), V=V)
# error = np.abs(by_formula / by_jax - 1).max()
# assert error < 1e-13
# print(f"largest relative difference: {error:.0e}")

# %% [markdown]
# What is left is the rounding of the last digit or two. Nothing was typed by hand on the way, and so
# nothing could be mistyped.
#
# ## What it does and what it costs
#
# There are three functions. `expression(f, names)` reads a function of numbers into a formula.
# `text(formula)` writes it, in Python unless another language is given. And `described(model)` reads
# a whole model, a `Prinz2004`, a `Network` or a `Cell`, into one table: its channels and their gates,
# its cells with their {term}`maximal conductances <maximal conductance>` and their start, and its
# synapses. Here is the calcium-dependent potassium channel of the paper's cells, as another simulator
# gets to see it (in this circuit LP and PY have none of it):

# %% tags=["active-ipynb"]
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# table = described(circuit, circuit.cold)
# KCa = next(c for c in table.kinds[0].currents if c.name == "KCa")
# print(f"{len(table.cells)} cells of {len(table.kinds)} kind, {len(table.synapses)} synapses")
# print(f"I (nA)  = {text(KCa.I)}, γ (µS) = g m^{KCa.p}")
# print(f"m∞      = {text(KCa.m.inf)}")
# print(f"τ_m (ms) = {text(KCa.m.tau)}")
# print("g (µS) of", *(f"{c.id}: {c.g[4]:.3g}" for c in table.cells))

# %% [markdown]
# The circuit has one kind of cell, with eight channels, eleven gates of channels and two of synapses,
# so that 26 formulas of gates are read. This takes 0.1 s, and two seconds the first time in a
# process, while JAX gets ready (measured on a busy machine with two cores). Nothing is compiled.
#
# Everything in the table has the units of this package: mV, ms, nA, µS, nF and µM. They fit together
# without factors, since 1 µS times 1 mV is 1 nA, and 1 nA into 1 nF is 1 mV per ms. To turn them into
# the units of a simulator is the business of its chapter.
#
# The limit is what a formula can say. It has arithmetic, powers, exponentials and logarithms, the
# elementary functions, comparisons, and a choice between two values. A gate that interpolates in a
# table, that loops, or that uses a special function such as the error function is refused, with the
# name of the channel, of the gate and of the operation. That is a limit of the other simulators, too:
# their languages have no more.

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
# A formula is a tree. Its leaves are numbers and names, such as `V`; every other node is an operation
# on the nodes below it. So $1/(e^{(V + 25.5)/(-5.29)} + 1)$, the steady state of sodium activation,
# is a quotient of the number 1 and of a sum, and the sum has an exponential below it. Written as
# Python, the tree has ten nodes. It is a `NamedTuple` and immutable, so that a branch can stand in
# many trees, and two trees are equal if all of their nodes are.


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
# What each operation means is said once, by the NumPy function that does it. With them a formula can
# be computed again, which is how it is compared with the function that it came from. As NumPy's
# functions act on arrays, a formula is computed for all potentials of a curve at once.
#
# The last entry is not a function of NumPy: `exprel` is $(e^x - 1)/x$ with its limit of 1 at $x = 0$.
# Computed as it stands it would be 0/0 there, and the difference $e^x - 1$ loses its digits near 0,
# which `expm1` does not. Why a formula needs this function is said below, where it is recognized.

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
# The curves of the paper's channels all have one general form, {eq}`eq-curve`, of which most terms
# are 0 or 1: a sigmoid has a second exponential with an infinite slope, which is 1 everywhere, and a
# second factor, which is 1 as well. As JAX reads it, the steady state of sodium activation is
#
# $$
# \left(0 + \frac{1}{e^{(V+25.5)/(-5.29)} + e^{(V+0)/∞}}\right)\left(1 + \frac{0}{1 + e^{(V+0)/∞}}\right),
# $$
#
# a tree of 32 nodes in which nobody would recognize the paper's B(25.5, −5.29); and `∞` is not a
# number that every language can write. So the tree is simplified while it grows, from the leaves
# upwards. An operation whose arguments are all numbers is computed at once. Terms and factors that
# change nothing are left out,
#
# $$
# x \pm 0 = x, \quad 1 \cdot x = x/1 = x^1 = x, \quad 0 \cdot x = 0/x = x/∞ = 0, \quad 0 - x = -x,
# $$
#
# and ten nodes remain. The rules of 0 and of infinity hold for finite $x$ only: in floating-point
# arithmetic $0 \cdot ∞$ is not 0 but no number at all. A gate has no such values at any potential,
# which is checked when a cell is made. No other rule is applied. In particular sums are not reordered
# and fractions not expanded, since each of that changes the rounding, and what is read should be what
# was written.


# %%
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


def simpler(op: str, *args: Term) -> Term:
    """An operation on formulas; a number where all are, and without terms and factors that change nothing."""
    numbers = [value_of(a) for a in args]
    if all(x is not None for x in numbers) and op in NUMPY:
        with np.errstate(all="ignore"):
            return number(NUMPY[op](*numbers))
    if op == "where":
        return chosen(numbers[0], args)
    return neutral(op, args, numbers) if len(args) == 2 else Term(op, args)


# %% [markdown]
# One pattern is recognized as a whole. The rate at which the gates of {cite:t}`HodgkinHuxley1952`
# open has the form
#
# $$
# α(V) = a\, \frac{V + b}{1 - e^{-(V + b)/k}} = \frac{a k}{\mathrm{exprel}(-(V + b)/k)}, \qquad
# \mathrm{exprel}(x) = \frac{e^x - 1}{x},
# $$ (eq-exprel)
#
# which is 0/0 at $V = -b$: at −40 mV for the sodium channel, a potential that each spike passes. In
# JAX the function is therefore a choice. Near 0, for $|x| < 10^{-4}$, it is the series
# $1 + x/2 + x^2/6$, whose first neglected term, $x^3/24$, is less than $10^{-13}$; elsewhere it is
# the quotient, with a denominator that is replaced by 1 where it is not used. The reading of that is
# long, and other simulators have a function for it. So a tree that is built like this choice, with
# any formula in the place of $x$, gets the name `exprel` back.
#
# To find it, the tree is compared with a pattern, node by node. A name in the pattern may stand for
# any formula, but for the same one everywhere. The pattern is not written here: it is what
# `expression` makes of the function itself, and is put into the list `EXPREL` below, as soon as it
# can be read.

# %%
EXPREL: list[Term] = []  # how `kinetics.exprel` reads, once it can be read


def matches(pattern: Term, x: Term, found: dict[str, Term]) -> bool:
    """Whether a formula is a pattern with formulas in the place of its names, which are put into `found`."""
    if pattern.op == "name":
        return found.setdefault(pattern.args[0], x) == x
    if (pattern.op, len(pattern.args)) != (x.op, len(x.args)):
        return False
    if pattern.op == "number":
        return pattern.args == x.args
    return all(matches(p, a, found) for p, a in zip(pattern.args, x.args, strict=True))


# %% [markdown]
# A choice of which the condition is already a number needs no choice. This happens where a function
# asks about one of its own constants.


# %%
def chosen(known: float | None, args: tuple[Term, ...]) -> Term:
    """A choice; the formula that is known to be chosen, or (e^x − 1)/x if the choice is what makes that smooth at 0."""
    if known is not None:
        return args[1] if known else args[2]
    found: dict[str, Term] = {}
    made = Term("where", args)
    return Term("exprel", (found["x"],)) if EXPREL and matches(EXPREL[0], made, found) else made


# %% [markdown]
# ## Reading a function
#
# `jax.make_jaxpr` runs a function with placeholders and returns a *jaxpr*, the list of its
# operations. This is the list of the gate from the beginning of the chapter:

# %% tags=["active-ipynb"]
# with precision("float64"):
#     print(jax.make_jaxpr(own)(0.0).jaxpr.pretty_print(use_color=False))

# %% [markdown]
# Each line makes one new value from values that are known by then: `a` is the potential, `b` the sum,
# and so on, to the last, which is returned. We follow the list from above and keep, for each value,
# its formula; `b` is $V + 40$, `c` is $-(V + 40)$. At the end the formula of the returned value is
# the formula of the function. The Python that made the list, its loops over lists, its classes and
# functions, has left no trace: a `Curve` of the first chapter and a lambda give the same kind of
# list.
#
# A value that is used twice stands twice in the tree. For the gates of the literature that costs
# nothing, but a formula can get long: the derivative of a GHK current with respect to the potential
# has 794 characters.
#
# Most operations have an equal among ours. Some change a number's type or an array's shape, which
# means nothing for a single number, and are passed over.

# %%
SAME = {
    "add": "add", "add_any": "add", "sub": "sub", "mul": "mul", "div": "div", "neg": "neg", "pow": "pow",
    "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "sqrt": "sqrt", "abs": "abs", "tanh": "tanh",
    "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh", "floor": "floor", "sign": "sign",
    "max": "max", "min": "min", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "eq", "ne": "ne", "and": "and",
    "or": "or", "not": "not",
}  # fmt: skip
UNCHANGED = (
    "convert_element_type", "copy", "copy_p", "stop_gradient", "broadcast_in_dim", "reshape", "squeeze",
    "optimization_barrier", "reduce_precision", "real",
)  # fmt: skip

# %% [markdown]
# Some are made of several of ours: `jax.nn.sigmoid` is one operation of JAX, `logistic`, and becomes
# $1/(1 + e^{-x})$. The choice, `select_n`, has a pitfall. It chooses by number, and the first value
# is the one for 0, that is for *false*; in `jnp.where` the first is the one for *true*. It can also
# choose among more than two, which is refused.


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


# %% [markdown]
# A number inside of a function, such as the 40 above, is part of the list or, if the function is
# closed over an array, comes beside it. A single number becomes a leaf. An array of several does not:
# a table of measured values, in which `jnp.interp` looks up, is no formula. One fits a curve to it,
# as in the exercise below, and the other simulators get the fit.


# %%
def constant(x: Any, what: str) -> Term:
    """A number that a function contains."""
    found = np.asarray(x)
    if found.size != 1 or found.dtype.kind not in "biuf":
        raise ValueError(
            f"{what} contains an array of shape {found.shape}; it must contain single numbers. A table of values is "
            "no formula; fit one to it."
        )
    return number(found.reshape(()))


# %% [markdown]
# A function that calls a function which JAX treats as a whole, such as one that is decorated with
# `jax.jit` or one with a derivative of its own, has a list in its list, under one of three keys. It
# is followed like any other, with the formulas of the arguments in the place of its placeholders. A
# loop also has a list inside, of its body. But how often the body is run may depend on the values,
# and so it is no formula. The same is true of `lax.cond`, which has two lists; `jnp.where` says what
# it says, and can be read.

# %%
LOOPS = ("scan", "while", "cond")  # whose bodies are no formulas


def inner(params: Mapping[str, Any]) -> Any:
    """The list of operations of a function inside of a function, None for an operation of its own."""
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if key in params:
            return params[key]
    return None


# %% [markdown]
# The two functions that follow do the reading, and call each other: `followed` goes through a list,
# `said` takes one operation of it, which may have a list inside. A value is either known by its
# variable or stands in the list itself, as a `Literal`. What no formula can say ends here, with the
# name of the operation and of the gate that contains it.


# %%
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
            f"{what} uses the operation {op!r}, which no other simulator has; it must be made of arithmetic, powers, "
            "exponentials, logarithms, comparisons and jnp.where. Write it with these."
        )
    return [found]


# %% [markdown]
# Everything is read in double precision. In single precision, which is JAX's habit, the slope of 5.29
# mV would be read as 5.289999961853027, and a colleague would wonder which paper has that number. The
# function must return a single number for single numbers. At last the numbers of the formula are
# looked through: one that is infinite or no number, left over after all simplification, says that the
# function divides by 0 at every potential, and cannot be written.


# %%
def numbers_of(x: Term) -> list[float]:
    """All numbers in a formula."""
    return leaves_of(x, "number")


def leaves_of(x: Term, kind: str) -> list[Any]:
    """All numbers, or all names, in a formula."""
    if x.op in ("number", "name"):
        return list(x.args) if x.op == kind else []
    return [n for a in x.args for n in leaves_of(a, kind)]


def expression(f: Callable[..., Any], names: Sequence[str], what: str = "the function") -> Term:
    """The formula of a function of numbers, written with jax.numpy; names: those of its arguments.

    Raises ValueError naming the operation if there is one that is not arithmetic, a power, an elementary function, a
    comparison or a choice.
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


# %% [markdown]
# With that `exprel` can be read, {eq}`eq-exprel`. From here on a choice between its series and its
# quotient gets its name back; Brian2, for one, has a function of that name. The steady state of
# Hodgkin and Huxley's sodium activation shows it:

# %%
EXPREL.append(expression(exprel, ("x",)))

# %% tags=["active-ipynb"]
# from ..engine.kinetics import at
# from ..models.channels import HodgkinHuxley1952 as HH
#
# m = HH.Na(120).channel.m
# print(text(expression(lambda V: at(m.inf, V, 0.05), ("V",))))

# %% [markdown]
# This is $α/(α + β)$ with $α$ = 0.1 (V + 40)/(1 − e^(−(V + 40)/10)) and $β$ = 4 e^(−(V + 65)/18) per
# ms, in the convention in which the axon rests at −65 mV. The formula can be computed at −40 mV,
# where the printed fraction cannot.
#
# ## Writing a formula
#
# Languages differ in the names of a few functions and in how they choose between two values.
# Arithmetic is the same in all of them. A language is therefore a dictionary from operations to
# templates, and what the dictionary does not have is written as a call, such as `exp(x)`. Names may
# be replaced on the way: what is `V` here, a number in mV, may be `V/mV` there, or `v`.
#
# Brackets follow from how closely an operation binds. A product binds more closely than a sum, so
# $a \cdot (b + c)$ needs them and $a \cdot b + c$ does not. The numbers below are the order of
# precedence of Python, which is that of arithmetic.

# %%
ARITHMETIC: dict[str, str] = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{}*{}", "div": "{}/{}", "neg": "-{}", "pow": "{}**{}",
    "lt": "{} < {}", "le": "{} <= {}", "gt": "{} > {}", "ge": "{} >= {}", "eq": "{} == {}", "ne": "{} != {}",
    "and": "{} and {}", "or": "{} or {}", "not": "not {}", "where": "where({}, {}, {})",
}  # fmt: skip
TIGHT = (
    {"number": 9, "name": 9, "pow": 7, "neg": 6, "mul": 5, "div": 5, "add": 4, "sub": 4}
    | dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), 3)
    | {"not": 2, "and": 1, "or": 0}
)  # how closely an operation binds; calls of functions as closely as names

# %% [markdown]
# What a function computes is not always written as one would write it by hand: $V + (-40)$ is
# $V - 40$, and $g \cdot (1/x)$ is $g/x$. This is looked after last, when the formula is written, so
# that the trees stay as they were read.


# %%
def is_negative(x: Term) -> bool:
    """Whether a formula is a negative number, begins with one as a product or quotient, or has a minus before it."""
    first = x.args[0] if x.op in ("mul", "div") else x
    return first.op == "neg" or (value_of(first) or 0) < 0


def negated(x: Term) -> Term:
    """−x of a formula that `is_negative`."""
    if x.op in ("mul", "div"):
        return simpler(x.op, negated(x.args[0]), x.args[1])
    return x.args[0] if x.op == "neg" else number(-x.args[0])


def rewritten(op: str, a: Term, b: Term) -> Term:
    """An operation on two formulas as one would write it by hand: a + (−b) as a − b, and a (1/b) as a/b."""
    if op in ("add", "sub") and is_negative(b):
        return Term("sub" if op == "add" else "add", (a, negated(b)))
    if op == "mul" and b.op == "div" and value_of(b.args[0]) == 1:
        return Term("div", (a, b.args[1]))
    return Term(op, (a, b))


# %% [markdown]
# A number is written with as many digits as it takes to read the same number back, which is what
# Python's `repr` does, and a whole number without a point. Nothing is rounded to a prettier value.
#
# Whether an argument gets brackets is decided by the operation around it. Operations that bind
# equally closely are read from the left: $a - b - c$ is $(a - b) - c$. On the right side of a
# difference, a quotient or a product such an argument is therefore put into brackets. A product would
# not need them for its value, $a (b c) = (a b) c$; it keeps them for its rounding. A power is read
# from the right in Python and from the left in other languages, and gets brackets on both sides. A
# negative number counts as a little more than a product: $(V + 120)/(-25)$ is written with brackets,
# since two signs in a row are no good style in any language and an error in some.


# %%
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
# `text` goes through the tree and puts the pieces together. A template that is itself a call, such as
# `clip({}, {}, inf)`, has its own brackets, and its arguments need none.


# %%
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
# ### Names
#
# Names of cells and channels are free text in a model, and Greek letters are welcome; in other
# simulators a name is letters and digits without accents. So `AB/PD` becomes `AB_PD` and `β-cell`
# becomes `beta_cell`. Letters with accents are taken apart into letter and accent, and the accent is
# left out. Two names that become equal are told apart by a number. Names that differ in capitals only
# count as equal, since neither all languages nor all file systems tell them apart.

# %%
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "τ": "tau", "κ": "kappa", "λ": "lambda", "µ": "u", "μ": "u",
}  # fmt: skip


# %%
def identifiers(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """For each name one of ASCII letters, digits and underscores, all different and none of those taken."""
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
# What another simulator has to know of a model fits in one table. It has the kinds of cells with
# their channels and gates, each gate as two formulas and each current as one; the cells with their
# conductances and their start; and what joins which cell to which.
#
# First what a membrane is made of. A gate $x$ obeys $τ_x\, dx/dt = x_∞ - x$, {eq}`eq-gate`, so that
# its two formulas say everything. A current is written in two ways. As a whole it is $I(γ, V, [Ca])$,
# with the open conductance $γ = \bar g\, m^p h^q$. For schemes that solve the potential's equation
# exactly in each step it is also the line that touches it at the present potential,
#
# $$
# I ≈ G V - J, \qquad G = \frac{∂I}{∂V}, \qquad J = G V - I.
# $$ (eq-tangent)
#
# For an ohmic current, $I = γ (V - E)$, this is no approximation: $G = γ$ and $J = γ E$. For a GHK
# current it is the tangent. A simulator that knows ohmic currents only asks for the
# {term}`reversal potential`, which is a number, a formula of calcium, or missing.


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


# %% [markdown]
# Then the cells and what joins them. Here a cell of a population is one among others, with a number;
# synapses are pairs of such numbers. Conductances are in µS, like those of the channels, though a
# model has them in nS.
#
# Two sorts of chemical synapses are kept apart. The activation of a {term}`graded synapse` depends on
# the presynaptic potential alone, and is thus a variable of the presynaptic cell: one for each
# transmitter, however many cells it reaches. A kinetic synapse has an equation that may also read the
# postsynaptic potential, and its activation belongs to the pair.


# %%
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
    linear: bool = True  # whether that is linear in s, with a slope that is 0 nowhere


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
# ### Gates and currents
#
# A gate is read where the heart evaluates it. The calcium of a channel such as KCa enters as the
# factor $[Ca]/([Ca] + K)$ of its steady state. And no time constant is shorter than $τ_\mathrm{min}$
# = 1 µs. In the range of a living cell only the graded synapse comes so far down: its
# $τ_s = (1 - s_∞)/k_-$ is, with $1/k_-$ = 40 ms for glutamate, 40 ms times $1/(e^{(V + 35)/5} + 1)$,
# and is shorter than 1 µs above 18 mV, at the height of a spike. Two more gates of the paper get
# there outside of it, sodium inactivation below −140 mV and $I_H$ above 130 mV, and carry the bound
# as well.
#
# So that formulas stay short, the bound is written only where a time constant comes below it. That is
# looked up on a grid of potentials from −150 to 150 mV, every quarter of a millivolt, at six calcium
# concentrations; a dip that is narrower than the grid would go unnoticed.


# %%
def longer_than(tau: Term, τ_min: float) -> Term:
    """A time constant with its least value, where it is shorter at some potential."""
    V, Ca = np.meshgrid(np.arange(-150.0, 151.0, 0.25), (1e-3, 0.05, 1.0, 10.0, 1e3, 1e5))
    with np.errstate(all="ignore"):
        shortest = np.min(evaluated(tau, V=V, Ca=Ca))
    return tau if shortest >= τ_min else simpler("max", tau, number(τ_min))


def kinetics_of(gate: Gate, word: str, τ_min: float, what: str) -> Kinetics:
    """The formulas of a gate."""
    V_Ca = ("V", "Ca")
    inf = expression(lambda V, Ca: at(gate.inf, V, Ca), V_Ca, f"x∞ of {what}")
    tau = expression(lambda V, Ca: at(gate.tau, V, Ca), V_Ca, f"τ of {what}")
    if gate.K:
        Ca = name("Ca")
        inf = simpler("div", simpler("mul", inf, Ca), simpler("add", Ca, number(gate.K)))
    return Kinetics(word, inf, longer_than(tau, τ_min))


# %% [markdown]
# The current of a channel is read from the function that computes it in a run, `current_of`, and its
# tangent, {eq}`eq-tangent`, from `linear`, which the schemes use. So not only the paper's ohmic law
# is read, but whatever law a channel has. An ohmic channel with a calcium concentration behind its
# reversal potential gives a formula, $12.2 \ln(3000/[Ca])$ mV.


# %%
def reversal(channel: Channel, c: Constants) -> Term:
    """The reversal potential (mV) of an ohmic channel, a number or a formula of Ca."""
    if not hasattr(channel.E, "potential"):
        return number(channel.E)
    return expression(partial(channel.E.potential, c), ("Ca",), f"the reversal potential of {channel.name!r}")


def current_as_terms(channel: Channel, word: str, c: Constants) -> Current:
    """The formulas of a channel."""
    of, what = ("γ", "V", "Ca"), f"the channel {channel.name!r}"

    def gate(x: Gate | None, letter: str) -> Kinetics | None:
        return kinetics_of(x, f"{letter}_{word}", c.τ_min, f"the gate {letter} of {channel.name!r}") if x else None

    I = expression(partial(current_of, channel, c), of, what)
    G, J = (expression(lambda *x, i=i: linear(channel, c, *x)[i], of, what) for i in (0, 1))
    E = None if hasattr(channel.E, "current") else reversal(channel, c)
    ends = gate(channel.m, "m"), channel.p, gate(channel.h, "h"), channel.q
    return Current(channel.name, word, *ends, I, G, J, E, channel.ion == "Ca")


# %% [markdown]
# The kinds of cells are the membranes of the circuit. The terminals that its cells have in common
# stand with them, since the activation of a graded synapse is a gate of the presynaptic cell. A
# channel may be called what its author likes, but a few words mean something already: `V`, `Ca` and
# `t` in formulas, and words such as `ica` and `area` in the languages that follow. A channel of that
# name gets a number.

# %%
TAKEN = (
    "V", "Ca", "I", "G", "J", "E", "t", "v", "i", "dt", "cm", "area", "syn", "ext", "gap", "ca", "cai", "ica", "exp",
    "log",
)  # fmt: skip


# %%
def kind_of(circuit: Any, membrane: Membrane, word: str, transmitters: Sequence[str]) -> Kind:
    """The formulas of the cells of one membrane."""
    c = Constants(*map(float, membrane.constants))
    words = identifiers([x.name for x in membrane.channels], TAKEN)
    found = [current_as_terms(channel, x, c) for channel, x in zip(membrane.channels, words, strict=True)]
    released = zip(gates_of(circuit, membrane)[0], transmitters, strict=True)
    releases = [kinetics_of(gate, f"s_{t}", c.τ_min, f"the synapse {t!r}") for gate, t in released]
    return Kind(word, tuple(found), c, membrane.pool, tuple(releases))


# %% [markdown]
# ### Synapses
#
# Between populations a synapse is one line of a model; between cells it is many. Each cell of the
# presynaptic population reaches each of the postsynaptic one with the full conductance, but no cell
# reaches itself, as in the heart. A {term}`gap junction` conducts both ways and is listed once for
# each pair of cells; within one population each pair would be met twice, and only the one with the
# smaller number first is kept.


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


# %% [markdown]
# Kinetic synapses are stored by their postsynaptic cell: a cell has as many slots as the one with
# most inputs needs, and for each slot it is known from which cell it comes, by which synapse of the
# model and of which kind. The used slots are turned into pairs, each with its conductance and, if a
# state is given, its activation in it.


# %%
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


def kinetic_ending(word: str, kind: Any) -> Ending:
    """A kinetic synapse: its rate, and whether the derivative of that with respect to s is free of s."""
    of, what = ("s", "V_pre", "V_post"), f"the rate of {kind.name!r}"
    slope = expression(jax.grad(lambda s, a, b: jnp.asarray(kind.rate(s, a, b), float)), of, what)
    linear = "s" not in leaves_of(slope, "name") and varies_everywhere(slope)
    return Ending(word, float(kind.E), expression(kind.rate, of, what), linear)


def varies_everywhere(slope: Term) -> bool:
    """Whether the slope of a rate in s is 0 nowhere; an exponential towards a value needs one."""
    V_pre, V_post = np.meshgrid(np.arange(-120.0, 81.0, 2), np.arange(-120.0, 81.0, 2))
    return bool(np.all(evaluated(slope, V_pre=V_pre, V_post=V_post) != 0))


# %% [markdown]
# ### Cells
#
# What a cell has for itself is its conductances, its external current and its start. The conductances
# are those that a run is prepared with, densities times the area of the membrane: 100 mS/cm² on
# $0.628 · 10^{-3}$ cm² are 62.8 µS. In the heart they are rows of one array for each kind of cells,
# and here they come into the order of the cells.


# %%
def largest_conductances(params: Any) -> list[tuple[float, ...]]:
    """The maximal conductances (µS) of each channel of each cell."""
    c = params.circuit
    found: dict[int, tuple[float, ...]] = {}
    with precision("float64"):
        g = [np.asarray(x) for x in prepare(params, np.float64, DEFAULT_DT).g]
    for of_kind, cells in zip(g, c.groups, strict=True):
        found |= {int(cell): tuple(of_kind[:, place].tolist()) for place, cell in enumerate(cells)}
    return [found[i] for i in range(len(c.rows))]


# %% [markdown]
# The cells carry their start with them. By default it is the one from which a run of the model
# starts: cells after their {term}`thermalization` in a circuit of the paper, the cold start in a
# network of one's own. Bursts of a rhythm are sensitive to where it started, so that two simulators
# are only compared from the same start. An array of gates has as many columns as the kind with most
# gates needs; a cell takes those that it has.


# %%
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


# %% [markdown]
# An external current is a number for each cell, or a function of the time, which is read like a gate.
# A function that has one value for each cell would need one formula for each, and is refused.


# %%
def currents_in(model: Model, I_ext: Any) -> list[Term]:
    """The external current (nA) of each cell as a formula of t (ms)."""
    n = len(model.rows)
    found = current_of_user(I_ext, model.labels, model.rows, np.array([0.0]), 0.0)
    if callable(found):
        if jax.eval_shape(found, 0.0).shape != ():
            raise ValueError(
                "I_ext is a function with one value for each cell; it must be one current for all cells, a number "
                "for each, or a mapping from populations to numbers. Give one of these, or inject the current in the "
                "other simulator."
            )
        return [expression(found, ("t",), "I_ext")] * n
    return [number(x) for x in found]


def kind_ids(circuit: Any) -> list[str]:
    """Identifiers of the kinds of cells: the label of a population of each."""
    of = [next(p.label for p in circuit.populations if p.membrane == k) for k in range(len(circuit.membranes))]
    return ["cells"] if len(of) == 1 else identifiers([f"cells_{label}" for label in of])


# %% [markdown]
# ### The table
#
# `described` puts all of this together. A state of JAX comes in, and numbers in double precision go
# out.


# %%
def described(model: Any, state: Any = None, I_ext: Any = None, **scheme: Any) -> Described:
    """A circuit, a network or a cell as formulas and numbers.

    state: the start; by default that of a run of the model. I_ext: nA, depolarizing; a number, one for each cell or
    population, or a function of t (ms). scheme: of the thermalization, if there is one. Raises ValueError naming the
    operation for a gate that cannot be written as a formula, and TypeError for what is no model of channels.
    """
    model = model_of(model)
    state = start_of(model, state, **scheme)
    state = type(state)(*(np.asarray(x, float) for x in state))
    c = model.circuit
    transmitters, kinetic = (identifiers([x.name for x in some]) for some in (c.transmitters, c.kinds))
    kinds = [kind_of(c, m, word, transmitters) for m, word in zip(c.membranes, kind_ids(c), strict=True)]
    ends = tuple(Ending(word, float(x.E)) for word, x in zip(transmitters, c.transmitters, strict=True))
    slow = tuple(kinetic_ending(word, x) for word, x in zip(kinetic, c.kinds, strict=True))
    graded, gaps = joined(model.params)
    cells = cells_of(model, state, currents_in(model, I_ext))
    return Described(tuple(kinds), cells, ends, graded, gaps, slow, bonds_of(model.params, state))


# %% [markdown]
# A fit runs the same model many times with other conductances. Its formulas stay, and only the
# numbers are put in anew, which leaves out the slow part, the reading. The chapter on [derivatives
# through Brian2](brian2_bridge.py) makes use of it.


# %%
def with_numbers(d: Described, params: Any) -> Described:
    """The same model with the conductances of `params`, of its cells and of what joins them."""
    graded, gaps = joined(params)
    cells = [c._replace(g=g) for c, g in zip(d.cells, largest_conductances(params), strict=True)]
    bonds = [b._replace(g=x.g) for b, x in zip(d.bonds, bonds_of(params), strict=True)]
    return d._replace(cells=tuple(cells), synapses=graded, gaps=gaps, bonds=tuple(bonds))


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-equations-same
# Predict the text of `jax.nn.sigmoid((V + 40) / 5)` and of the first chapter's `B(40, -5)`. Do the
# two formulas give the same numbers, to the last bit? Why?
# ```
#
# ```{solution-start} ex-equations-same
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..prinz2004 import B
#
# two = [expression(f, ("V",)) for f in (lambda V: jax.nn.sigmoid((V + 40) / 5), B(40, -5))]
# print(*map(text, two), sep="\n")
# assert (evaluated(two[0], V=V) == evaluated(two[1], V=V)).all()

# %% [markdown]
# The texts differ, since nothing is reordered: one has the minus before the exponent, the other in
# its slope. The numbers are the same. A sign is a bit of its own in a floating-point number, so that
# $-(x/5)$ and $x/(-5)$ are rounded alike, and a sum of two terms does not depend on their order. A
# sum of three would.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-equations-table
# Somebody has measured a steady state at nine potentials, and interpolates between them with
# `jnp.interp`. `expression` refuses it. Make a gate of it that can be exported: fit $B(a, k)$, using
# that $\ln(1/x - 1) = (V + a)/k$ is a line. How far is the fit from the data?
# ```
#
# ```{solution-start} ex-equations-table
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# at_V = np.arange(-80.0, 1.0, 10.0)
# measured = np.array([0.01, 0.03, 0.06, 0.16, 0.34, 0.59, 0.81, 0.92, 0.97])
# try:
#     expression(lambda V: jnp.interp(V, at_V, measured), ("V",), "the measured gate")
# except ValueError as error:
#     print(error)
# slope, offset = np.polyfit(at_V, np.log(1 / measured - 1), 1)
# fit = expression(B(offset / slope, 1 / slope), ("V",))
# distance = np.abs(evaluated(fit, V=at_V) - measured).max()
# assert distance < 0.05
# print(text(fit), f"is at most {distance:.3f} away")

# %% [markdown]
# A fit of the line weighs the tails as much as the middle, because the logarithm stretches them.
# Where the middle matters more, as for a time course at the foot of a spike, fit the sigmoid itself
# by least squares.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-equations-window
# Between activation and inactivation lies a *window* in which some sodium channels stay open at a
# constant potential. Use the formulas of `table` to find where $m_∞^3 h_∞$ is largest. What
# conductance is that for 100 mS/cm² of channels, against a leak of 0.03 mS/cm²?
# ```
#
# ```{solution-start} ex-equations-window
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# Na = table.kinds[0].currents[0]
# window = evaluated(Na.m.inf, V=V) ** Na.p * evaluated(Na.h.inf, V=V) ** Na.q
# top = int(window.argmax())
# assert 0.1 < 100 * window[top] < 0.2
# print(f"{window[top]:.4f} of the channels at {V[top]:g} mV: {100 * window[top]:.2f} mS/cm²")

# %% [markdown]
# One or two channels in a thousand stay open around −22 mV, and conduct five times as much as the
# leak does. A small share of a large conductance is not small.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-equations-language
# Write the sodium channel's $m_∞^3$ in the language of MATLAB, so that it can be computed for a
# vector of potentials: there `.*`, `./` and `.^` act element by element. Check the formula.
# ```
#
# ```{solution-start} ex-equations-language
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from .equations import ARITHMETIC
#
# MATLAB = ARITHMETIC | {"mul": "{}.*{}", "div": "{}./{}", "pow": "{}.^{}"}
# cube = expression(lambda V: CHANNELS[0].m.inf(V) ** 3, ("V",))
# line = text(cube, MATLAB)
# print("m3 =", line)
# as_python = line.replace(".*", "*").replace("./", "/").replace(".^", "**")
# assert np.allclose(eval(as_python, {"exp": np.exp, "V": V}), evaluated(cube, V=V), rtol=1e-14, atol=0)

# %% [markdown]
# Three words are a language. A choice would need one more: MATLAB has no function for it, and one
# would write one, as the [chapter on Brian2](to_brian2.py) does.
#
# ```{solution-end}
# ```
