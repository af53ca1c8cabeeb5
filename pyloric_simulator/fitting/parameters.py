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
# # Every number has a name
#
# What would a cell do with another {term}`reversal potential`, another time constant of calcium, another
# slope of an activation curve? To ask that, one has to be able to say which number is meant. This chapter
# gives each number of a model a name, and puts other numbers in the places that the names mean. The
# chapters that follow take derivatives with respect to them, measure how the rhythm depends on them, and
# fit them to recordings.
#
# The circuit of Fig. 3e of {cite:t}`Prinz2004` has 244 numbers. Here the mean potential of its cells over
# 200 ms is differentiated by two of them at once: by the reversal potential of the delayed rectifier,
# which is part of the circuit, and by the density of A channels in the {term}`pacemaker`. A millivolt
# more of the first raises the mean by 0.77 mV.

# %% tags=["active-ipynb"]
# import jax
# import numpy as np
#
# from ..models.networks import Cell, GapJunction, Network, Synapse
# from ..models.channels import HodgkinHuxley1952 as HH, Liu1998 as Liu
# from ..config import find_circuit
# from .parameters import model_with, parameters, with_values
# from ..prinz2004 import GLUTAMATE, Prinz2004, precision, simulate
#
# model = Prinz2004.from_toml(find_circuit("paper"))

# %% tags=["active-ipynb"]
# def potential_after(E_K, g_A):
#     """Mean potential of all cells over 200 ms."""
#     params = with_values(model.params, {"E Kd": E_K, "AB/PD A": g_A})
#     return simulate(params, start, np.arange(0, 200, 0.5)).V.mean()
#
#
# start = model.get_thermalization()
# with precision():
#     slopes = jax.jit(jax.grad(potential_after, argnums=(0, 1)))(-80.0, 50.0)
# print(f"{len(parameters(model))} numbers; dV/dE_K = {slopes[0]:.4f}, dV/dg_A = {slopes[1]:.5f} mV per mS/cm²")

# %% [markdown]
# ## What it does
#
# `parameters(model)` lists the names and values of all numbers, `model_with(model, {"LP Na": 150})` is
# the model with another one. `with_values` does the same with `model.params`, as a pure function, so that
# `jax.grad` can go through it. `conductance_names` are those of the
# {term}`conductances <maximal conductance>` that are not zero, what one most often wants to change.
#
# | name | number | unit |
# |:--|:--|:--|
# | "LP Na" | density of a channel in a {term}`population` | mS/cm²; cm/s for GHK |
# | "PD-LP" | {term}`synapse <graded synapse>`, by terminal and population | nS |
# | "a-b glutamate" | the same where a pair of populations has several kinds | nS |
# | "ge" | all {term}`gap junctions <gap junction>` of a `Prinz2004` | nS |
# | "a=b ge" | a gap junction of a `Network` | nS |
# | "E Na", "E glutamate" | reversal potential | mV |
# | "K outside" | concentration from which a reversal potential follows | µM |
# | "C", "τ_Ca", "f", … | constants of the membrane | nF, ms, µM/nA, … |
# | "Na m inf a1" | number of a {term}`gate`'s curve, here $a_1$ of $m_∞$ in {eq}`eq-curve` | mV |
#
# Where the cells of a network differ by more than their conductances, the names of the numbers of a
# membrane begin with those who have it: "burster: E Na", or "a, b: C". The numbers of a `Neuron` are its
# parameters, and those of `LIF` cells the six of their chapter. Where all cells share one it has its own
# name, "τ"; where they differ each cell has one, "τ 0" and "τ 1".
#
# A gate that opens and closes at rates $α$ and $β$ has each rate in both of its functions,
# $x_∞ = α/(α + β)$ and $τ = 1/(α + β)$. That is one number, "Na m α c", and changing it changes both.
# Functions that are written in Python have no numbers that could be named.
#
# All of this costs next to nothing. But a number of the circuit itself, unlike a conductance, is part of
# the compiled code: another value of "E Na" means another translation, unless JAX traces it, as in a
# derivative or in `jax.vmap`.
#
# The same holds for a network of cells of one's own. Its gap junction pulls the axon up or down, and its
# rates say how fast it fires.

# %% tags=["active-ipynb"]
# burster = Cell(
#     [Liu.Na(700), Liu.CaT(2), Liu.CaS(4), Liu.A(50), Liu.KCa(40), Liu.Kd(70), Liu.H(0.03), Liu.leak(0.01)],
#     calcium=Liu.calcium,
# )
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65)
# network = Network(
#     {"burster": burster, "axon": axon},
#     [Synapse("burster", "axon", GLUTAMATE, 100), GapJunction("burster", "axon", 5)],
# )
# known = parameters(network)
# [
#     (name, known[name])
#     for name in ("axon Na", "burster-axon", "burster=axon ge", "axon: E Na", "burster: τ_Ca", "axon: Na m α c")
# ]

# %% [markdown]
# What the chapter takes from elsewhere, and what others take from it:

# %%
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..engine import checks, circuits
from ..engine.scale import REVERSAL, suspicion
from ..models.lif import Params as LIFParams
from ..models.networks import any_model
from ..prinz2004 import Circuit, Membrane, Params, precision

__all__ = ["conductance_names", "model_with", "parameters", "with_values"]

# %% [markdown]
# ## Places
#
# The numbers of a model are scattered over a tree: arrays of conductances, a circuit with membranes, in
# these channels, in these gates, in these curves. A place is the path from the root to the number, a
# tuple of attribute names and indices, such as `("circuit", "membranes", 0, "channels", 0, "E")`. A
# number that stands in two functions has two paths.
#
# Whether a number is a conductance can be read from its path, and matters to fits: conductances are
# searched on a logarithmic scale. In the fields `g`, `gs`, `ge` and `gz` the last step of a path is a
# tuple, an index into an array. A `Neuron` may have a parameter that is called "g", too; there the last
# step is no tuple.

# %%
Path_ = tuple[Any, ...]  # attributes and indices that lead from `Params` to a number
CONDUCTANCES = ("g", "gs", "ge", "gz")  # fields of `Params`, searched on a logarithmic scale


class Place(NamedTuple):
    """Where a number is."""

    paths: tuple[Path_, ...]  # several, where one number stands in several functions

    @property
    def conducts(self) -> bool:
        """Whether the number is a maximal conductance."""
        return self.paths[0][0] in CONDUCTANCES and isinstance(self.paths[0][-1], tuple)


Named = Iterator[tuple[str, Place]]

# %% [markdown]
# A curve has up to ten numbers, but infinite ones are none: a sigmoid is a {eq}`eq-curve` with $k_2 = ∞$,
# and there is no way to change infinity by a little. A number that JAX traces is an array without a
# value; that it is a scalar is all that can be asked. `numbers_in` walks through whatever has fields, and
# joins the names of the fields on the way down.


# %%
def is_number(x: Any) -> bool:
    """Whether x is a finite number, or one that JAX traces."""
    if isinstance(x, Array):
        return x.ndim == 0 and (isinstance(x, jax.core.Tracer) or math.isfinite(x))
    return isinstance(x, (int, float)) and math.isfinite(x)


def numbers_in(node: Any, path: Path_) -> dict[str, Path_]:
    """The numbers inside a curve, a gate or another container, by the names of the attributes that lead there."""
    if is_number(node):
        return {"": path}
    inner = node._fields if hasattr(node, "_fields") else [f.name for f in fields(node)] if is_dataclass(node) else ()
    found = {name: numbers_in(getattr(node, name), (*path, name)) for name in inner}
    return {f"{name} {rest}".rstrip(): p for name, more in found.items() for rest, p in more.items()}


# %% [markdown]
# Gates need one more look. If both functions of a gate hold the same rates, as those made by `rates` do,
# each number is found twice, once below `inf` and once below `tau`. It is told once, without either word,
# and with both paths. A gate that was made faster, as by temperature, has its time constant one level
# deeper, in a field `f`.


# %%
def gate_numbers(what: str, gate: Any, path: Path_) -> Named:
    """The numbers of a gate; those of rates that it has twice come once."""
    tau = getattr(gate, "tau", None)
    inner = "f " if hasattr(tau, "by") else ""  # the rates of a gate that was made faster
    rates = [getattr(getattr(gate, "inf", None), x, None) for x in "αβ"]
    shared = None not in rates and rates == [getattr(getattr(tau, "f", tau), x, None) for x in "αβ"]
    found = numbers_in(gate, path)
    for name, there in found.items():
        function, _, rest = name.partition(" ")
        if not (shared and rest.removeprefix(inner)[:1] in ("α", "β")):
            yield f"{what} {name}", Place((there,))
        elif function == "inf":
            yield f"{what} {rest}", Place((there, found[f"tau {inner}{rest}"]))


# %% [markdown]
# ## The names of a circuit
#
# The conductances come first, since they are what differs from one circuit to another. A pair of
# populations may have two synapses of different kinds; the kind is added only where it is needed, so that
# the usual name stays short.


# %%
def conductances(params: Params) -> Named:
    """Of membranes, synapses and gap junctions."""
    c, labels = params.circuit, [p.label for p in params.circuit.populations]
    for i, p in enumerate(c.populations):
        yield from (
            (f"{p.label} {x.name}", Place((("g", (i, j)),))) for j, x in enumerate(c.membranes[p.membrane].channels)
        )
    graded = [
        (s.terminal, labels[s.post], c.transmitters[s.transmitter].name, ("gs", (i,))) for i, s in enumerate(c.synapses)
    ]
    kinetic = [
        (labels[pre], labels[post], c.kinds[kind].name, ("gz", (i,))) for i, (pre, post, kind) in enumerate(c.kinetic)
    ]
    of_pair = Counter((pre, post) for pre, post, *_ in graded + kinetic)
    for pre, post, kind, path in graded + kinetic:
        yield f"{pre}-{post} {kind}" if of_pair[pre, post] > 1 else f"{pre}-{post}", Place((path,))
    if c.junctions and np.ndim(params.ge) == 0:
        yield "ge", Place((("ge", ()),))
    elif c.junctions:
        yield from ((f"{labels[a]}={labels[b]} ge", Place((("ge", (i,)),))) for i, (a, b) in enumerate(c.junctions))


# %% [markdown]
# A reversal potential is a number, or follows from concentrations. Calcium's in the model is of the
# second sort, with the concentration outside as a constant of the membrane. The charge of an ion is no
# number to be changed, and has no name.


# %%
def reversal(what: str, owner: str, E: Any, path: Path_) -> Named:
    """A reversal potential, or the concentrations from which it follows; the charge of an ion is no number to be changed."""
    if is_number(E):
        yield f"{owner}E {what}", Place((path,))
        return
    yield from (
        (f"{owner}{what} {name}", Place((there,))) for name, there in numbers_in(E, path).items() if name != "z"
    )


def membranes(circuit: Circuit) -> list[tuple[str, Membrane, Path_]]:
    """Each membrane: with what the names of its numbers begin, itself, and the way to it."""
    found = []
    for i, membrane in enumerate(circuit.membranes):
        owners = ", ".join(p.label for p in circuit.populations if p.membrane == i)
        found.append(("" if len(circuit.membranes) == 1 else f"{owners}: ", membrane, ("circuit", "membranes", i)))
    return found


# %% [markdown]
# The rest of the circuit follows in the order in which one asks for it: reversal potentials, constants,
# kinetics. With $\bar g$ these are the three kinds of numbers in {eq}`eq-current` and {eq}`eq-gate`. For
# the circuit of Fig. 3e there are 31 conductances, eight reversal potentials, and twelve constants of the
# membrane; the 193 others are kinetics, of channels and synapses. Many of these are 0 or 1 where a curve
# is simpler than the general form.


# %%
def numbers_of_circuit(c: Circuit) -> Named:
    """All numbers but the conductances."""
    kinds = [(x, ("circuit", field, i)) for field in ("transmitters", "kinds") for i, x in enumerate(getattr(c, field))]
    for owner, m, path in membranes(c):
        for i, x in enumerate(m.channels):
            yield from reversal(x.name, owner, x.E, (*path, "channels", i, "E"))
    for kind, path in kinds:
        yield from reversal(kind.name, "", kind.E, (*path, "E"))
    for owner, m, path in membranes(c):
        yield from ((f"{owner}{name}", Place(((*path, "constants", name),))) for name in m.constants._fields)
    yield from ((f"k {kind.name}", Place(((*path, "k"),))) for kind, path in kinds if hasattr(kind, "k"))
    for owner, m, path in membranes(c):
        for i, x in enumerate(m.channels):
            for symbol in ("m", "h"):
                yield from gate_numbers(f"{owner}{x.name} {symbol}", getattr(x, symbol), (*path, "channels", i, symbol))
    for kind, path in kinds:
        for part in ("s", "rate"):
            yield from gate_numbers(f"{kind.name} {part}", getattr(kind, part, None), (*path, part))


# %% [markdown]
# Cells without channels have flat parameters, arrays with an entry for each cell. Names must not collide:
# a population called "E" with a channel "Na" would, and is refused, since putting a value in the wrong
# place would go unnoticed.


# %%
def numbers_of_cells(params: Any) -> Named:
    """The numbers of cells without channels: one name for one that all share, else one for each cell."""
    for name, x in (params if isinstance(params, Mapping) else params._asdict()).items():
        if np.ndim(x) == 0 or (not isinstance(x, jax.core.Tracer) and np.ptp(x) == 0):
            yield name, Place(((name, ...),))
        else:
            yield from ((f"{name} {i}", Place(((name, i),))) for i in range(len(x)))


def places(params: Any) -> dict[str, Place]:
    """Where in the numbers of a model each named one is. Raises ValueError if two numbers have one name."""
    circuit = isinstance(params, Params)
    named = [
        *(conductances(params) if circuit else numbers_of_cells(params)),
        *(numbers_of_circuit(params.circuit) if circuit else ()),
    ]
    name, n = Counter(name for name, _ in named).most_common(1)[0] if named else ("", 0)
    if n > 1:
        raise ValueError(
            f"{n} numbers have the name {name!r}; each must have its own. Rename the population, the channel or the synapse."
        )
    return dict(named)


# %% [markdown]
# ## What is refused
#
# A name that no number has, and a value that the number of a name cannot have. Of what JAX traces only
# the shape is looked at, since the value is not known before the run. Conductances and the
# half-saturation $K$ of calcium must not be negative, and capacitances, areas and concentrations must be
# positive. Reversal potentials beyond what ions can do are doubted rather than refused: −80 given in V
# would be −0.08, and that is a potential, too.

# %%
SLOPES = ("k1", "k2", "k3", "k")  # by which a potential is divided


def is_positive(path: Path_) -> bool:
    """Whether a number has to be above 0."""
    owner, name = path[-2:]
    if owner == "constants":
        return name in circuits.POSITIVE
    return name in ("by", "outside", "inside") or (name == "k" and isinstance(owner, int))


def checked_value(name: str, place: Place, value: Any) -> Any:
    """A value that a number of a model can have, as a plain number where it is known."""
    if isinstance(value, jax.core.Tracer):
        if value.shape != ():
            raise ValueError(f"{name!r} has shape {value.shape}; it must be one number. Vectorize with jax.vmap.")
        return value
    x, path = checks.number(repr(name), value, "its unit"), place.paths[0]
    if place.conducts or path[-1] == "K":
        checks.number(repr(name), x, "", least=0)
    elif is_positive(path):
        checks.positive(repr(name), x, "")
    elif path[-1] == "E" and x and (doubt := suspicion(repr(name), abs(x), REVERSAL)):
        checks.warn(doubt)
    elif x == 0 and path[-1] in SLOPES:
        raise ValueError(f"{name!r} is 0; it must not be, since a potential is divided by it. Give a slope in mV.")
    return x


# %% [markdown]
# A misspelt name is answered with the closest one that there is; a name that is only the beginning of
# others, such as "Na m", with these.


# %%
def check_names(names: Iterable[Any], known: Collection[str]) -> None:
    """Refuse names that no number of the model has."""
    for name in names:
        if name not in known:
            longer = [x for x in known if x.startswith(f"{name} ")]
            hint = f" Say which of {checks.listing(longer[:3])}." if longer else checks.closest(name, known)
            examples = checks.listing(list(known)[:3])
            raise ValueError(
                f"there is no parameter {name!r}; names are those of `parameters(model)`, such as {examples}.{hint}"
            )


# %% [markdown]
# ## Values
#
# To read a number is to follow its path. To *put* one is more, since nothing here is ever changed in
# place: JAX asks for pure functions, and a circuit is shared by many models. So `put` makes a new node
# with one field replaced, and inside of it a new node, and so on down to the number. What is beside the
# path is not copied. Tuples, mappings, dataclasses and arrays each have their own way to be replaced.


# %%
def at(node: Any, path: Path_) -> Any:
    """What a path leads to."""
    for step in path:
        node = getattr(node, step) if isinstance(step, str) and not isinstance(node, Mapping) else node[step]
    return node


def put(node: Any, path: Path_, value: Any) -> Any:
    """The same node, with another value at the end of the path."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(first, str):
        change = {first: put(at(node, path[:1]), rest, value)}
        if isinstance(node, Mapping):
            return {**node, **change}
        return node._replace(**change) if hasattr(node, "_replace") else replace(node, **change)
    if isinstance(node, tuple):
        return (*node[:first], put(node[first], rest, value), *node[first + 1 :])
    value = jnp.asarray(value, None if jnp.issubdtype(jnp.result_type(value), jnp.floating) else float)
    return jnp.asarray(node, value.dtype).at[first].set(value)  # one type, whichever precision is in force


# %% [markdown]
# A traced value that is put into the circuit makes the circuit something that cannot be hashed, and that
# is how the rest of the package knows: a run with such a circuit is compiled with the number as an
# argument, and takes the way back that JAX writes itself, not the faster one of the
# [chapter on derivatives](adjoint.py). Conductances have no such cost.


# %%
def parameters(model: Any) -> dict[str, float]:
    """Name and value of every number of a model, conductances first; units as in the text above."""
    params = any_model(model).params
    return {name: float(np.ravel(at(params, place.paths[0]))[0]) for name, place in places(params).items()}


def conductance_names(model: Any) -> list[str]:
    """Names of the conductances of membranes, synapses and gap junctions of a model that are not zero."""
    params = any_model(model).params
    return [name for name, place in places(params).items() if place.conducts and at(params, place.paths[0]) != 0]


def with_values(params: Any, values: Mapping[str, Any]) -> Any:
    """The same parameters, `model.params`, with some numbers, by their names, replaced; pure JAX.

    Raises ValueError or TypeError for unknown names, and for values, unless JAX traces them, that the number cannot have.
    """
    checks.of_type("params", params, (Params, LIFParams, Mapping), "those of a model, `model.params`")
    known, values = places(params), checks.mapping("values", values, "{'LP Na': 100}")
    check_names(values, known)
    for name, value in values.items():
        x = checked_value(name, known[name], value)
        for path in known[name].paths:
            params = put(params, path, x)
    return params


# %% [markdown]
# `model_with` puts plain numbers in, and makes a model of the result, which checks itself as any other. A
# `Cell` counts as a network of one, with the label "cell".


# %%
def model_with(model: Any, values: Mapping[str, float]) -> Any:
    """A copy of a model with other numbers; of a `Cell` a network of one. Raises ValueError for numbers that it cannot have."""
    model = any_model(model)
    with precision():
        params = with_values(model.params, values)
    if not isinstance(params, Params):
        return model.like(params)
    return model.like(params.replace(**{x: np.asarray(getattr(params, x), float) for x in CONDUCTANCES}))


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-numbers
# How many numbers of the model describe the gates of sodium, and how many of them does the paper print?
# What are the others?
# ```
#
# ```{solution-start} ex-numbers
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# of_sodium = {name: x for name, x in parameters(model).items() if name.startswith("Na ")}
# neutral = {"c0": 0, "c1": 1, "a2": 0, "κ": 1, "λ": 0, "a3": 0, "K": 0}  # values at which a number has no effect
# idle = [name for name, x in of_sodium.items() if neutral.get(name.split()[-1]) == x]
# len(of_sodium), len(idle), [name for name in of_sodium if name not in idle]

# %% [markdown]
# Of 35, fourteen are in the paper: two for each sigmoid, four for $τ_m$ and six for $τ_h$. (The
# fifteenth, λ of $τ_h$, is a factor of 1 that the paper need not print.) The others are those of the
# general curve {eq}`eq-curve` at which it does nothing. They are no idle names: a fit may let one go.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-potassium
# Three channels carry potassium, and each has a reversal potential of its own. By how much does the mean
# potential change if *all* of them go up by a millivolt, as they do with more potassium in the bath? From
# which channel does most of it come?
# ```
#
# ```{solution-start} ex-potassium
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# potassium = dict.fromkeys(("E A", "E KCa", "E Kd"), -80.0)
#
#
# def mean_of(E):
#     return simulate(with_values(model.params, E), start, np.arange(0, 200, 0.5)).V.mean()
#
#
# with precision():
#     slope_along = jax.jit(lambda dE: jax.jvp(mean_of, (potassium,), (dE,))[1])
#     each = {n: float(slope_along({m: float(m == n) for m in potassium})) for n in potassium}
#     together = float(slope_along(dict.fromkeys(potassium, 1.0)))
# assert np.isclose(together, sum(each.values()), rtol=1e-9)
# each, together

# %% [markdown]
# By 3.0 mV per mV, the sum of the three: a derivative is linear in the direction. Most comes from A,
# which is open enough between {term}`bursts <burst>` to hold the cells down, and hardly any from KCa.
# That the mean moves by more than the reversal potential is no contradiction: the cells begin to fire
# earlier.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-capacitance
# The period of AB/PD 2 has an elasticity of 0.38 to the capacitance $C$. What would that say of a cell
# with twice the capacitance? Compare with a run.
# ```
#
# ```{solution-start} ex-capacitance
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..rhythm import summary
#
# single = Prinz2004({"AB/PD 2": 1}, gs={})
# table_of = lambda m: summary(m(np.arange(3000, 15000, 0.25)))[["period (ms)", "spikes per burst"]].iloc[0]
# normal, slow = table_of(single), table_of(model_with(single, {"C": 2 * 0.628}))
# assert 1.05 < slow["period (ms)"] / normal["period (ms)"] < 1.15 < 2**0.38
# slow["period (ms)"] / normal["period (ms)"], normal["spikes per burst"], slow["spikes per burst"]

# %% [markdown]
# $2^{0.38} = 1.30$, were the elasticity the same all the way. It is 1.10: on the way each burst loses
# seven of its 28 spikes, and with each of them the period jumps down.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-rate
# "K m α c" of the axon of {cite:t}`HodgkinHuxley1952` is doubled. What becomes of $m_∞$ and $τ_m$ at −40
# mV, if $m_∞$ was 0.68 before?
# ```
#
# ```{solution-start} ex-rate
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# axon_alone = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65)
#
#
# def at_40(values):
#     """Steady state and time constant (ms) of the potassium gate at −40 mV."""
#     gate = model_with(axon_alone, values).circuit.membranes[0].channels[1].m
#     V, Ca = jax.numpy.array(-40.0), jax.numpy.array(0.05)
#     return float(gate.inf(V, Ca)), float(gate.tau(V, Ca))
#
#
# (inf, tau), (more, faster) = at_40({}), at_40({"K m α c": 2 * parameters(axon_alone)["K m α c"]})
# assert np.allclose([more, faster], [2 * inf / (1 + inf), tau / (1 + inf)])
# inf, tau, more, faster

# %% [markdown]
# With $α = m_∞/τ$ and $β = (1 - m_∞)/τ$ the sum of rates grows by the factor $1 + m_∞$. So $τ$ falls to
# $τ/(1 + m_∞)$, and the steady state rises to $2 m_∞/(1 + m_∞)$ = 0.81. One number, two places.
# ```{solution-end}
# ```
