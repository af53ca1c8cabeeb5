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
# What a model does is a smooth function of its numbers, as long as no spike appears or disappears. This chapter gives each number of a model a
# name, and puts other numbers in the places that the names mean. The chapters that follow take derivatives with respect to them,
# measure how the rhythm depends on them, and fit them to recordings.

# %% tags=["active-ipynb"]
# import jax
# import numpy as np
#
# from ..models.networks import Cell, GapJunction, Network, Synapse
# from ..models.channels import HodgkinHuxley1952 as HH, Liu1998 as Liu
# from ..config import find_circuit
# from .parameters import parameters, with_values
# from ..prinz2004 import GLUTAMATE, Prinz2004, precision, simulate
#
# model = Prinz2004.from_toml(find_circuit("paper"))

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
# ## Names
#
# Maximal conductances are named by population and channel, "LP Na" (mS/cm², or cm/s for GHK), synapses by terminal and
# population, "PD-LP" (nS), with their kind where a pair has several, "a-b glutamate". The gap junctions of a
# `Prinz2004` share one conductance, "ge" (nS), and those of a `Network` have one each, "a=b ge". The
# numbers of the circuit itself follow: "E Na" and "E glutamate" (mV), "K outside" (µM) where a reversal potential follows from
# concentrations, "C" (nF) and the other constants of the membrane, and those of the kinetics, such as "Na m inf a1". Where the cells of a network
# differ by more than their conductances, the names of the numbers of a membrane begin with those who have it: "burster: E Na", or "a, b: C".
#
# The numbers of a `Neuron` are its parameters, and those of `LIF` cells the six of their chapter. Where all cells share one it has its own name, "τ";
# where they differ each cell has one, "τ 0" and "τ 1".
#
# A gate that opens and closes at rates has each rate in both of its functions; that is one number, "Na m α c". Functions that are
# written in Python have no numbers that could be named.


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
# A name that no number has, and a value that the number of a name cannot have. Of what JAX traces only the shape is looked at.


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
# `parameters` lists all numbers; `with_values` puts others in their place, JAX's traced values included, so that a derivative can be
# taken with respect to any of them. `model_with` makes a model of them. A `Cell` counts as a network of one, with the label "cell".


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


def model_with(model: Any, values: Mapping[str, float]) -> Any:
    """A copy of a model with other numbers; of a `Cell` a network of one. Raises ValueError for numbers that it cannot have."""
    model = any_model(model)
    with precision():
        params = with_values(model.params, values)
    if not isinstance(params, Params):
        return model.like(params)
    return model.like(params.replace(**{x: np.asarray(getattr(params, x), float) for x in CONDUCTANCES}))


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
# The same holds for a network of cells of one's own. Its gap junction pulls the axon up or down, and its rates say how fast it fires.

# %% tags=["active-ipynb"]
# burster = Cell([Liu.Na(700), Liu.CaT(2), Liu.CaS(4), Liu.A(50), Liu.KCa(40), Liu.Kd(70), Liu.H(0.03), Liu.leak(0.01)], calcium=Liu.calcium)
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65)
# network = Network({"burster": burster, "axon": axon}, [Synapse("burster", "axon", GLUTAMATE, 100), GapJunction("burster", "axon", 5)])
# known = parameters(network)
# [(name, known[name]) for name in ("axon Na", "burster-axon", "burster=axon ge", "axon: E Na", "burster: τ_Ca", "axon: Na m α c")]
