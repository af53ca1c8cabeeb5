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
# # The model in NeuroML
#
# A script runs in one program. Can a model be written down so that it belongs to none? That is what
# [NeuroML](https://docs.neuroml.org) is for: cells, populations and projections as elements of XML,
# whose equations stand in the same language, LEMS, and can be read by any program. A model of ours in
# this form is run here by jNeuroML, an interpreter written in Java, and compared with our own run
# with a step of 0.00125 ms, over the first second:

# %% tags=["active-ipynb"]
# from importlib.resources import files as files_of
#
# import pandas as pd
#
# agreement = pd.read_csv(files_of("pyloric_simulator.export") / "agreement.csv")
# agreement[agreement.simulator == "jNeuroML"].drop(columns="simulator")

# %% [markdown]
# The table is a stored one, since it takes Java and some minutes; `benchmarks/exports.py neuroml`
# makes it anew. Its run times are those of a busy machine, and give no more than the order. An interpreter takes thousands of times as long as compiled code, so that this is a
# form to keep, to compare and to pass on, not one in which to search a million circuits.

# %% [markdown]
# ## How it is used
#
# `to_neuroml(model, folder)` writes four files:
#
# ```python
# from pyloric_simulator.export.to_neuroml import to_neuroml
#
# to_neuroml(paper, "fig3e", duration=1000)
# ```
#
# The file `network.net.nml` is the network in NeuroML's own words, `types.xml` the equations of its
# cells and connections as ComponentTypes of LEMS, `cells.xml` their numbers, and `LEMS_model.xml`
# says how long to simulate, in which steps, and what to record. With Java and `pip install
# 'pyloric-simulator[neuroml]'` it runs by
#
# ```bash
# pynml LEMS_model.xml -nogui
# ```
#
# started in the folder, and writes `V.dat`: the time in seconds, then the potential of each cell in
# volts, one row for each step. LEMS knows SI units only.
#
# The start is taken over as in the [chapter before](to_neuron.py), and so are external currents.
# Refused are operations that no other simulator has, steps beyond 0.05 ms, and more than 200 cells
# and ends of connections: each is an object of its own in the interpreter, and at the speed of three
# cells a second of 200 takes an hour or so.
#
# What is valid, and by whose rules? `network.net.nml` is valid against the schema of NeuroML 2. One
# of the further tests of `pynml -validate` does not pass: it looks for the cells of each population
# in files of NeuroML alone, and ours are components of our own types, in a file of LEMS. The other
# files are checked by jNeuroML when it loads them: each equation for its dimensions, each reference
# for its target.

# %%
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ..engine import checks
from .equations import (
    ARITHMETIC,
    Current,
    Described,
    Kind,
    Kinetics,
    Term,
    described,
    evaluated,
    longer_than,
    number,
    simpler,
    text,
)
from .folders import SIGN, few_enough, write_folder
from .to_neuron import filed, gates_in, starts_of

__all__ = ["neuroml_files", "to_neuroml"]


# %% [markdown]
# ## Which types are NeuroML's, and which are ours
#
# Of NeuroML's own types we use the network, its populations and its projections, and the bases from
# which cells and synapses are derived. For what stands in them there would be types, too:
#
# channels
# : The gates of `ionChannelHH` start at their steady states, and a bursting cell is nowhere near these. Gates of one's own, and
#   such as read calcium, would need types of our own in any case.
#
# calcium
# : `decayingPoolConcentrationModel` lets the current into a thin shell under the membrane, and asks for its thickness; ours has a factor $f$ for the total current.
#
# graded synapses
# : `gradedSynapse` is our equation in principle, named after the paper whose circuit this is. But it sets $s$ to $s_∞$ where $1 - s_∞ < 10^{-4}$, since
#   its $τ_s$ vanishes there; it starts at $s = 0$; and it holds an $s$ of its own, which is not integrated together with the
#   presynaptic cell. Why it should be is said below.
#
# gap junctions
# : `gapJunction` is the same equation. Ours tells in addition which part of its current is proportional to the potential.
#
# ## How jNeuroML integrates
#
# The interpreter steps through a tree of components. In general it takes Euler's method, in which
# each component moves along its slope from the old values of all others. That is of first order. Our
# exponential Euler method is 3% off at 0.025 ms; with an error of that size spikes would be right to
# 0.05 ms in a second at a step of 40 ns. There is a method of Runge and Kutta of fourth order, but it
# is used only *inside* of a component whose equations are marked as `simultaneous`; the interpreter
# then melts its children into it and integrates all of it together.
#
# So the exporter puts into one such component, the *membrane*, all that moves fast and together: the
# potential, calcium, all channels, and the activations $s$ of the synapses that the cell makes. What
# reaches a membrane from other cells comes in the form that the whole package uses, $G$ and $J$ with
# the current $J - G V$, so that $V$ in it is the present one at each of the four stages. At a step of
# 0.01 ms the bursting cell of Liu et al. is then right to 0.001 ms after 100 ms, and halving the step
# divides this by 30.
#
# Between components values are handed on with a delay. A presynaptic end reads its cell after the
# cell has moved, the postsynaptic one reads that end, the postsynaptic membrane uses the sum in the
# step after: the middle of that step is one and a half steps later than what is used in it, and two
# and a half where the presynaptic cell stands behind the other in the file. In the circuit that alone
# moved a spike by 0.06 ms at a step of 0.005 ms. It is made good by looking ahead: with the
# presynaptic potential frozen $s$ approaches $s_∞$ exponentially, and so each end extrapolates
#
# $$
# s(t + δ) ≈ s + (s_∞ - s)\,(1 - e^{-δ/τ_s}),
# $$ (eq-lead)
#
# with its own delay $δ$, and for a gap junction $V(t + δ) ≈ V + δ\,dV/dt$. In the first 300 ms the
# error of the circuit fell from 0.11 ms to less than 0.0001 ms, at twice the step.
#
# One thing still limits the step. A method of Runge and Kutta is unstable where a time constant is
# shorter than 0.36 steps. In the paper's circuit only $τ_s$ is, above 10 mV, for less than a
# millisecond in a spike, where $s$ follows $s_∞$ at once in either case. So no time constant is taken as less than half a step.
# That is the only equation that is changed.

# %%
MOST = 200  # cells and ends of connections
DEFAULT_STEP = 0.01  # ms
LARGEST_STEP = 0.05  # ms, beyond which spikes are unstable
LAG = 1.5  # steps, after which a value of one component is used in another one that stands behind it
MM_PER_UM = 1e-3

# %% [markdown]
# ## Formulas in LEMS
#
# LEMS has the arithmetic of a pocket calculator, and says `ln` for the natural logarithm and `^` for
# powers. What it does not have is a choice inside a formula. It offers the
# *ConditionalDerivedVariable* for that, a variable with cases; but the interpreter cannot melt one
# into a `simultaneous` component (version 0.14 stops with an error there). It can do so with `H`, the
# step function of Heaviside, which is 1 for positive numbers, 0 for negative ones, and, as this one
# is defined, 1/2 at 0. From it conditions are made, as numbers 0 and 1.

# %%
WORDS = ARITHMETIC | {"pow": "(({})^({}))", "log": "ln({})", "H": "H({})"}
NAMES = {"Ca": "Ca_uM", "γ": "gamma", "t": "t_ms"}


def lems(x: Term) -> str:
    """A formula as LEMS writes it, without choices."""
    return text(smooth(x), WORDS, NAMES)


ONE = number(1)


def H(x: Term) -> Term:
    """1 where x is positive, 0 where it is negative, 1/2 where it is 0."""
    return Term("H", (x,))


# %% [markdown]
# At equality the 1/2 has to become 0 or 1: $H(H(a - b) - ¾)$ is 1 only where $a > b$, and with ¼ in
# the place of ¾ it is 1 also where $a = b$. Then *and* is a product, *not* is $1 - c$, and a choice
# between $a$ and $b$ is $c\,a + (1 - c)\,b$.


# %%
def greater(a: Term, b: Term) -> Term:
    """1 where a > b, else 0."""
    return H(simpler("sub", H(simpler("sub", a, b)), number(0.75)))


def not_less(a: Term, b: Term) -> Term:
    """1 where a ≥ b, else 0."""
    return H(simpler("sub", H(simpler("sub", a, b)), number(0.25)))


def other(a: Term) -> Term:
    """1 − a, of a condition what does not hold."""
    return simpler("sub", ONE, a)


def mixed(c: Term, a: Term, b: Term) -> Term:
    """a where c is 1, b where it is 0."""
    return simpler("add", simpler("mul", c, a), simpler("mul", other(c), b))


def equal(a: Term, b: Term) -> Term:
    """1 where a = b, else 0."""
    return simpler("mul", not_less(a, b), not_less(b, a))


# %% [markdown]
# The functions $e^x - 1$, $(e^x - 1)/x$ and $\ln(1 + x)$ are written as in the chapter before, so
# that no digits are lost near 0. In a weighted sum the quotient is computed at $x = 0$, too, where it
# is 0/0. So near 0 it is taken one further on, where it is harmless, and then multiplied by 0.


# %%
def expm1(x: Term) -> Term:
    """e^x − 1 as a product in which nothing cancels."""
    half = simpler("div", x, number(2))
    return simpler("mul", simpler("mul", number(2), Term("sinh", (half,))), Term("exp", (half,)))


def exprel(x: Term) -> Term:
    """(e^x − 1)/x, by its series near 0, where the quotient is taken at another place."""
    far = greater(Term("abs", (x,)), number(1e-5))
    elsewhere = simpler("add", x, other(far))
    series = simpler(
        "add", simpler("add", ONE, simpler("div", x, number(2))), simpler("div", simpler("mul", x, x), number(6))
    )
    return mixed(far, simpler("div", expm1(elsewhere), elsewhere), series)


def log1p(x: Term) -> Term:
    """ln(1 + x), of which the rounding of 1 + x cancels."""
    y = simpler("add", ONE, x)
    r = simpler("sub", y, ONE)
    none = equal(r, number(0))
    return mixed(none, x, simpler("div", simpler("mul", Term("log", (y,)), x), simpler("add", r, none)))


# %% [markdown]
# Now each operation that LEMS lacks has its way of being said, and a formula is rewritten from its
# leaves up. What comes out has arithmetic, elementary functions and `H` in it, and nothing else.


# %%
SMOOTH: dict[str, Callable[..., Term]] = {
    "gt": greater, "ge": not_less, "lt": lambda a, b: greater(b, a), "le": lambda a, b: not_less(b, a), "eq": equal,
    "ne": lambda a, b: other(equal(a, b)), "and": lambda a, b: simpler("mul", a, b),
    "or": lambda a, b: other(simpler("mul", other(a), other(b))), "not": other, "where": mixed,
    "max": lambda a, b: mixed(greater(a, b), a, b), "min": lambda a, b: mixed(greater(b, a), a, b),
    "sign": lambda x: simpler("sub", H(x), H(simpler("neg", x))), "floor": lambda x: simpler("neg", Term("ceil", (simpler("neg", x),))),
    "expm1": expm1, "exprel": exprel, "log1p": log1p,
}  # fmt: skip


def smooth(x: Term) -> Term:
    """A formula with its conditions as numbers 0 and 1, and its choices as sums."""
    if x.op in ("number", "name"):
        return x
    args = [smooth(a) for a in x.args]
    return SMOOTH[x.op](*args) if x.op in SMOOTH else Term(x.op, tuple(args))


# %% [markdown]
# In the functions above, no branch is ever infinite. The same is asked of the user's own choices. `jnp.where(V > 0, jnp.sqrt(V), 0)` is good Python for
# JAX, since what is not chosen is thrown away. Weighted by 0 it is not: 0 times "not a number" is not
# a number. So every branch of every choice is computed on a grid of potentials and concentrations,
# none of which is a round number, and one that is not finite is refused. (At an isolated point, as in
# $V/(e^V - 1)$ at 0, it would do no harm: no run meets it exactly.)


# %%
def choices_are_finite(x: Term, what: str) -> None:
    """Refuse a choice of which a branch is not finite where the other one is taken: multiplied by 0 it would not vanish."""
    if x.op in ("number", "name"):
        return
    for a in x.args:
        choices_are_finite(a, what)
    if x.op in ("where", "max", "min"):
        for branch in x.args[x.op == "where" :]:
            with np.errstate(all="ignore"):
                found = np.broadcast_to(evaluated(branch, **EVERYWHERE), EVERYWHERE["V"].shape)
            if not np.isfinite(found).all():
                i = int(np.argmin(np.isfinite(found)))
                raise ValueError(
                    f"{what} chooses by {x.op} between formulas of which one is {found[i]:g} at V = {EVERYWHERE['V'][i]:.4g} mV; in LEMS both are "
                    "computed and weighted, so that both must be finite everywhere. Choose inside of it: log(where(x > 0, x, 1)), for example."
                )


def everywhere() -> dict[str, Any]:
    """Values of all names that formulas have, among which no round ones."""
    V, Ca = (x.ravel() for x in np.meshgrid(np.arange(-150.0137, 150, 1.0), (1.013e-3, 0.0503, 10.07, 1e5)))
    return {
        "V": V,
        "Ca": Ca,
        "V_pre": V,
        "V_post": V[::-1],
        "t": 10.07 * Ca,
        "γ": 1 + 0 * V,
        "s": np.linspace(0, 1, len(V)),
    }


EVERYWHERE = everywhere()


def formula(x: Term, what: str) -> str:
    """A formula as LEMS writes it, after a look at its choices."""
    choices_are_finite(x, what)
    return lems(x)


# %% [markdown]
# ## Elements
#
# XML is written by a few functions. All values go through `quoteattr`, which leaves nothing in them
# that could end an attribute, and names are identifiers, so that a label of a user can be any text.
# It stands in a comment only, where two hyphens would end it, which is why they become others.


# %%
def tag(name: str, attributes: dict[str, Any]) -> str:
    """The beginning of an element."""
    return "<" + " ".join([name, *(f"{key}={quoteattr(str(x))}" for key, x in attributes.items() if x is not None)])


def empty(name: str, /, **attributes: Any) -> str:
    """An element without content; attributes that are None are left out."""
    return tag(name, attributes) + "/>"


def element(name: str, inside: Sequence[str], /, **attributes: Any) -> list[str]:
    """An element with content."""
    return [tag(name, attributes) + ">", *(f"    {line}" for line in inside), f"</{name}>"]


def comment(words: str) -> str:
    """A comment of any text."""
    return f"<!-- {' '.join(words.split()).replace('-', '‐')} -->"


def component_type(name: str, outside: Sequence[str], dynamics: Sequence[str], /, **attributes: Any) -> list[str]:
    """A ComponentType with what it declares, and with its equations."""
    simultaneous = attributes.pop("simultaneous", None)
    inside = [*outside, *(element("Dynamics", dynamics, simultaneous=simultaneous) if dynamics else [])]
    return element("ComponentType", inside, name=name, **attributes)


# %% [markdown]
# A ComponentType declares `Parameter`s, which a component has to give, `Requirement`s, which it finds
# in the component around it, and `Exposure`s, which others may read. Each has a dimension, by which
# the interpreter checks every equation. Formulas of ours are of plain numbers, in mV, ms, nA, µS and
# µM; the constants `MV`, `MS` and so on, one of each unit, lead in and out.


# %%
def declared(what: str, dimension: str, *names: str) -> list[str]:
    """Parameters, Exposures, Requirements or StateVariables of one dimension."""
    exposed = (lambda x: x) if what == "StateVariable" else (lambda x: None)  # noqa: ARG005
    return [empty(what, name=x, dimension=dimension, exposure=exposed(x)) for x in names]


def derived(name: str, value: str, dimension: str = "none", exposed: bool = False) -> str:
    """A DerivedVariable with a formula."""
    return empty("DerivedVariable", name=name, dimension=dimension, exposure=name if exposed else None, value=value)


def selected(name: str, path: str, dimension: str, *, added: bool = False, exposed: bool = False) -> str:
    """A DerivedVariable that reads another component, or adds up those of a list."""
    return empty("DerivedVariable", name=name, dimension=dimension, exposure=name if exposed else None, select=path,
                 reduce="add" if added else None)  # fmt: skip


def starting(**values: str) -> list[str]:
    """The start of state variables."""
    return (
        element("OnStart", [empty("StateAssignment", variable=x, value=y) for x, y in values.items()]) if values else []
    )


def rate(variable: str, value: str) -> str:
    """The equation of a state variable."""
    return empty("TimeDerivative", variable=variable, value=value)


# %% [markdown]
# The five units, and the two numbers that formulas ask for most. A concentration of 1 µM is
# 0.001 mM for LEMS, which has no symbol for it.

# %%
UNITS = {"MV": ("voltage", "1mV"), "MS": ("time", "1ms"), "US": ("conductance", "1uS"), "NA": ("current", "1nA"),
         "UM": ("concentration", "0.001mM")}  # fmt: skip
CONSTANTS = [empty("Constant", name=x, dimension=dimension, value=value) for x, (dimension, value) in UNITS.items()]
NUMBERS = [derived("V", "v/MV"), derived("Ca_uM", "Ca/UM")]

# %% [markdown]
# ## Channels
#
# All channels share a base type, by which a membrane knows its children. In NeuroML a current is
# positive where it depolarizes; ours are positive outward, hence the minus. A channel that calcium
# does not pass has the calcium current 0, so that the membrane may add them all up. The equation of a
# gate has a name for its steady state and one for its time constant, because the ends of synapses
# want to look ahead with them.


# %%
CHANNEL = component_type(
    "pyloricChannel",
    [*declared("Parameter", "conductance", "g"), *CONSTANTS, *declared("Exposure", "current", "i", "iCa"),
     *declared("Requirement", "voltage", "v"), *declared("Requirement", "concentration", "Ca")],
    [],
    description="A channel of a cell. Its currents are positive inward, as all currents of NeuroML.",
)  # fmt: skip


def gate_lines(x: str, gate: Kinetics, step: float, what: str, exposed: bool = False) -> list[str]:
    """The equation of a gate called x; no time constant is below half a step (ms)."""
    tau = longer_than(gate.tau, step / 2)
    return [
        derived(f"{x}_inf", formula(gate.inf, f"x∞ of {what}"), exposed=exposed),
        derived(f"{x}_tau", formula(tau, f"τ of {what}"), exposed=exposed),
        rate(x, f"({x}_inf - {x})/({x}_tau*MS)"),
    ]


def channel_type(c: Current, step: float) -> str:
    """The ComponentType of a channel, with @NAME@ in the place of its name."""
    gates = gates_in(c)
    share = "".join(f"*{x}^{n}" if n > 1 else f"*{x}" for x, (_, n) in gates.items())
    equations = [
        line for x, (gate, _) in gates.items() for line in gate_lines(x, gate, step, f"the gate {x} of {c.name!r}")
    ]
    dynamics = [
        *declared("StateVariable", "none", *gates), *NUMBERS, *equations, derived("gamma", f"g/US{share}"),
        derived("i", f"-NA*({formula(c.I, f'the current of {c.name!r}')})", "current", exposed=True),
        derived("iCa", "i" if c.calcium else "0*NA", "current", exposed=True), *starting(**{x: f"{x}_start" for x in gates}),
    ]  # fmt: skip
    outside = [*declared("Parameter", "none", *(f"{x}_start" for x in gates)), *declared("Exposure", "none", *gates)]
    return "\n".join(component_type("@NAME@", outside, dynamics, extends="pyloricChannel"))


# %% [markdown]
# ## Membranes and cells
#
# The membrane holds what is integrated together. It requires two sums of the cell around it, $G$ and
# $J$ of all that is attached there. The pool of calcium is fed by the sum of the calcium currents,
# here in nA and positive inward: $τ\,d[Ca]/dt = [Ca]_\mathrm{rest} + f I - [Ca]$. A membrane without
# a pool keeps the concentration with which it starts.


# %%
def releases(d: Described) -> list[str]:
    """Names of the activations of graded synapses, which are state variables of each cell."""
    return [f"s_{x.id}" for x in d.transmitters]


def with_targets(s: Sequence[str]) -> list[str]:
    """Names of activations, each with those of its steady state and its time constant (ms)."""
    return [f"{x}{more}" for x in s for more in ("", "_inf", "_tau")]


def membrane_type(d: Described, kind: Kind, step: float) -> list[str]:
    """The ComponentType of all that is integrated together: a potential, calcium, the channels, and the activation of synapses."""
    s = releases(d)
    gates = [
        x
        for name, gate in zip(s, kind.releases, strict=True)
        for x in gate_lines(name, gate, step, f"the synapse {name!r}", exposed=True)
    ]
    dynamics = [
        *declared("StateVariable", "voltage", "v"), *declared("StateVariable", "concentration", "Ca"), *declared("StateVariable", "none", *s),
        *NUMBERS, selected("iChannels", "channels[*]/i", "current", added=True),
        selected("iCa", "channels[*]/iCa", "current", added=True), *gates,
        derived("v_per_ms", "MS*(iChannels + I + jSyn - gSyn*v)/C", "voltage", exposed=True), rate("v", "v_per_ms/MS"),
        *([rate("Ca", "(rest + f*UM*iCa/NA - Ca)/tau")] if kind.pool else []),
        *starting(v="v_start", Ca="Ca_start", **{x: f"{x}_start" for x in s}),
    ]  # fmt: skip
    outside = [
        *declared("Parameter", "capacitance", "C"), *declared("Parameter", "voltage", "v_start"),
        *declared("Parameter", "concentration", "Ca_start", "rest"), *declared("Parameter", "none", "f", *(f"{x}_start" for x in s)),
        *declared("Parameter", "time", "tau"), *declared("Parameter", "current", "I"), *CONSTANTS,
        empty("Children", name="channels", type="pyloricChannel"),
        *declared("Requirement", "conductance", "gSyn"), *declared("Requirement", "current", "jSyn"),
        *declared("Exposure", "voltage", "v", "v_per_ms"), *declared("Exposure", "concentration", "Ca"),
        *declared("Exposure", "none", *with_targets(s)),
    ]  # fmt: skip
    return component_type(f"membrane_{kind.id}", outside, dynamics, simultaneous="true")


# %% [markdown]
# The cell itself is derived from NeuroML's `baseCellMembPot`, so that populations take it. It passes
# on what its membrane exposes, and adds up what is attached. An external current that is a function
# of time stands here, outside of the membrane, since the interpreter loses the time when it melts
# components; it is taken 1.5 steps ahead as well.


# %%
def cell_type(d: Described, kind: Kind, I: Term, step: float) -> list[str]:
    """The ComponentType of a cell: its membrane, and what is attached to it."""
    s = releases(d)
    outside = [
        *CONSTANTS, empty("Child", name="membrane", type=f"membrane_{kind.id}"), empty("Attachments", name="synapses", type="pyloricEnd"),
        *declared("Exposure", "concentration", "Ca"), *declared("Exposure", "none", *with_targets(s)), *declared("Exposure", "voltage", "v_per_ms"),
    ]  # fmt: skip
    dynamics = [
        selected("v_per_ms", "membrane/v_per_ms", "voltage", exposed=True),
        selected("v", "membrane/v", "voltage", exposed=True), selected("Ca", "membrane/Ca", "concentration", exposed=True),
        *(selected(x, f"membrane/{x}", "none", exposed=True) for x in with_targets(s)),
        selected("gSyn", "synapses[*]/G", "conductance", added=True), selected("jEnds", "synapses[*]/J", "current", added=True),
        derived("t_ms", f"t/MS + {LAG * step!r}"), derived("jSyn", "jEnds" if I.op == "number" else f"jEnds + NA*({formula(I, 'I_ext')})", "current"),
    ]  # fmt: skip
    return component_type(f"type_{kind.id}", outside, dynamics, extends="baseCellMembPot")


# %% [markdown]
# ## Ends of connections
#
# A connection of NeuroML that is not a spike is a *tunnel* between two components, one in each cell,
# each of which sees the other as its `peer`. For a graded synapse the presynaptic end passes no
# current, and shows the activation of its cell; the postsynaptic end looks ahead by its `lead`,
# {eq}`eq-lead`, and passes $g\,s\,(E - V)$ as $G = g s$ and $J = G E$. The two ends of a gap junction
# are of the same type.

# %%
END = component_type(
    "pyloricEnd",
    [*CONSTANTS, *declared("Exposure", "current", "i", "J"),
     *declared("Exposure", "conductance", "G"), *declared("Requirement", "voltage", "v", "v_per_ms"),
     empty("InstanceRequirement", name="peer", type="pyloricEnd")],
    [],
    extends="baseGradedSynapse",
    description="An end of a connection, which passes the current J - G v into its cell.",
)  # fmt: skip


def end_type(name: str, outside: Sequence[str], dynamics: Sequence[str], G: str, J: str) -> list[str]:
    """The ComponentType of an end of a connection that passes J − G v."""
    current = [
        derived("G", G, "conductance", exposed=True),
        derived("J", J, "current", exposed=True),
        derived("i", "J - G*v", "current", exposed=True),
    ]
    return component_type(name, outside, [*dynamics, *current], extends="pyloricEnd")


# %% [markdown]
# The end that only shows its cell is silent: it passes no current. A receptor reads three numbers of
# its peer and knows $s$ as it is a little later; a gap junction reads the potential and its slope.

# %%
STRENGTH = [
    *declared("Parameter", "conductance", "g"),
    *declared("Parameter", "none", "lead"),
    *declared("Parameter", "voltage", "E"),
]
SILENT = end_type("pyloricSilent", [], [], "0*US", "0*NA")
SEEN = [selected(x, f"peer/{x}", "none") for x in ("s_there", "s_inf", "s_tau")]
RECEPTOR = end_type(
    "pyloricReceptor",
    STRENGTH,
    [*SEEN, derived("s", "s_there + (s_inf - s_there)*(1 - exp(-lead/s_tau))")],
    "g*s",
    "G*E",
)
V_PEER = [selected("v_there", "peer/v", "voltage"), selected("v_slope", "peer/v_per_ms", "voltage"),
          derived("v_peer", "v_there + lead*v_slope", "voltage")]  # fmt: skip
GAP = end_type("pyloricGap", [*STRENGTH[:2]], V_PEER, "g", "G*v_peer")

# %% [markdown]
# A kinetic synapse has its $s$ in the postsynaptic end, where both potentials are known. There
# Euler's method is used: its error is half a step in time for something that takes milliseconds.


# %%
def terminal_type(s: str) -> list[str]:
    """The ComponentType of a presynaptic end, which shows an activation s of its cell to the other one."""
    names = ("s_there", "s_inf", "s_tau")
    shown = [derived(name, of_cell, exposed=True) for name, of_cell in zip(names, with_targets([s]), strict=True)]
    outside = [*declared("Exposure", "none", *names), *declared("Requirement", "none", *with_targets([s]))]
    return end_type(f"terminal_{s}", outside, shown, "0*US", "0*NA")


def kinetic_type(x: Any) -> list[str]:
    """The ComponentType of the postsynaptic end of a kinetic synapse."""
    dynamics = [
        *declared("StateVariable", "none", "s"), *V_PEER, derived("V_pre", "v_peer/MV"),
        derived("V_post", "v/MV"), rate("s", f"({formula(x.rate, f'the rate of {x.id!r}')})/MS"), *starting(s="s_start"),
    ]  # fmt: skip
    outside = [*STRENGTH, *declared("Parameter", "none", "s_start"), *declared("Exposure", "none", "s")]
    return end_type(f"kinetic_{x.id}", outside, dynamics, "g*s", "G*E")


# %% [markdown]
# ## The files
#
# Equal channels of several kinds of cells are one type. A cell is a component with its own numbers,
# since each has a start of its own; numbers are written with all their digits.


# %%
def types_of(d: Described, step: float) -> tuple[list[str], list[list[str]]]:
    """All ComponentTypes, and the names of those of the channels of each kind of cells."""
    made: dict[str, str] = {}
    names = [[filed(made, f"ch_{c.id}", channel_type(c, step)) for c in kind.currents] for kind in d.kinds]
    lines = [*CHANNEL, *END, *SILENT, *RECEPTOR, *GAP]
    lines += [line for name, body in made.items() for line in body.replace("@NAME@", name).split("\n")]
    for i, kind in enumerate(d.kinds):
        I = next((cell.I for cell in d.cells if cell.kind == i), number(0))
        lines += [*membrane_type(d, kind, step), *cell_type(d, kind, I, step)]
    for s in releases(d):
        lines += terminal_type(s)
    return lines + [line for x in d.kinetic for line in kinetic_type(x)], names


def cell_lines(d: Described, cell: Any, names: Sequence[str]) -> list[str]:
    """The component of a cell, with its numbers and its start."""
    kind = d.kinds[cell.kind]
    c, parts = kind.constants, zip(names, cell.g, starts_of(kind, cell.x), strict=True)
    channels = [empty(name, id=f"{name}_of_{cell.id}", g=f"{g!r}uS", **starts) for name, g, starts in parts]
    start = {f"{s}_start": x for s, x in zip(releases(d), cell.s, strict=True)}
    I = cell.I.args[0] if cell.I.op == "number" else 0.0
    membrane = element(
        "membrane", channels, type=f"membrane_{kind.id}", id=f"membrane_of_{cell.id}", C=f"{c.C!r}nF", v_start=f"{cell.V!r}mV",
        Ca_start=f"{cell.Ca * MM_PER_UM!r}mM", rest=f"{c.Ca_rest * MM_PER_UM!r}mM", f=c.f, tau=f"{c.τ_Ca!r}ms", I=f"{I!r}nA", **start,
    )  # fmt: skip
    return element(f"type_{kind.id}", membrane, id=f"cell_{cell.id}")


# %% [markdown]
# Each connection is a projection with one connection in it, from one cell to one other. In NeuroML a
# projection may have many, but each of ours has its own numbers.


# %%
def lead(pre: int, post: int, step: float) -> float:
    """How far (ms) the end of a connection has to look ahead; a presynaptic cell that stands behind the other one is read a step later."""
    return (LAG + (pre >= post)) * step


# %% [markdown]
# An end of a connection is numbered as the connection is. The delay depends on which of the two cells
# stands first in the file, as the interpreter advances them in that order.


# %%
def ends_of(d: Described, step: float) -> tuple[list[str], list[tuple[int, int, str, str]]]:
    """The components at the ends of connections, and for each connection its cells and the components at its ends."""
    lines = [empty("pyloricSilent", id="silent"), *(empty(f"terminal_{s}", id=f"end_{s}") for s in releases(d))]
    found = []
    for n, x in enumerate(d.synapses):
        lines.append(
            empty(
                "pyloricReceptor",
                id=f"receptor_{n}",
                g=f"{x.g!r}uS",
                E=f"{d.transmitters[x.kind].E!r}mV",
                lead=lead(x.pre, x.post, step),
            )
        )
        found.append((x.pre, x.post, f"end_{releases(d)[x.kind]}", f"receptor_{n}"))
    for n, x in enumerate(d.bonds):
        of = d.kinetic[x.kind]
        lines.append(
            empty(
                f"kinetic_{of.id}",
                id=f"bond_{n}",
                g=f"{x.g!r}uS",
                E=f"{of.E!r}mV",
                lead=lead(x.pre, x.post, step),
                s_start=x.start,
            )
        )
        found.append((x.pre, x.post, "silent", f"bond_{n}"))
    for n, x in enumerate(d.gaps):
        for name, ahead in (("pre", lead(x.post, x.pre, step)), ("post", lead(x.pre, x.post, step))):
            lines.append(empty("pyloricGap", id=f"gap_{n}_{name}", g=f"{x.g!r}uS", lead=ahead))
        found.append((x.pre, x.post, f"gap_{n}_pre", f"gap_{n}_post"))
    return lines, found


# %% [markdown]
# The network itself is short: a population of one for each cell, and the projections. The label that
# a cell has in the model stands above its population, as a comment, for those who read the file.


# %%
def network_lines(d: Described, connections: Sequence[tuple[int, int, str, str]]) -> list[str]:
    """The network: a population for each cell, and a projection for each connection."""
    lines: list[str] = []
    for cell in d.cells:
        lines.append(comment(f"{cell[0]} {cell[1]}"))
        lines.append(empty("population", id=f"pop_{cell.id}", component=f"cell_{cell.id}", size=1))
    for n, (pre, post, a, b) in enumerate(connections):
        one = empty("continuousConnection", id=0, preCell=0, postCell=0, preComponent=a, postComponent=b)
        ends = {"presynapticPopulation": f"pop_{d.cells[pre].id}", "postsynapticPopulation": f"pop_{d.cells[post].id}"}
        lines += element("continuousProjection", [one], id=f"projection_{n}", **ends)
    return element("network", lines, id="network")


# %% [markdown]
# `Simulation` says which method is to be used inside of simultaneous components, and writes the
# potentials at each step.

# %%
CORE = [empty("Include", file=f"{x}.xml") for x in ("Cells", "Networks", "Synapses", "Simulation")]
NAMESPACE = {"xmlns": "http://www.neuroml.org/schema/neuroml2"}
HEADER = f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- {SIGN}. -->'


def simulation_lines(d: Described, duration: float, step: float) -> list[str]:
    """The simulation: how long, by which scheme, and what is recorded."""
    columns = [empty("OutputColumn", id=f"v_{x.id}", quantity=f"pop_{x.id}[0]/v") for x in d.cells]
    output = element("OutputFile", columns, id="potentials", fileName="V.dat")
    method = empty("Meta", **{"for": "jlems", "method": "rk4"})
    return element(
        "Simulation", [method, *output], id="simulation", length=f"{duration!r}ms", step=f"{step!r}ms", target="network"
    )


# %% [markdown]
# `neuroml_files` gives the texts without writing them.


# %%
def neuroml_files(d: Described, duration: float = 1000.0, step: float = DEFAULT_STEP) -> dict[str, str]:
    """The files of a described model, name -> text. duration and step: ms.

    Raises ValueError for what LEMS cannot say, and for more than `MOST` cells and connections.
    """
    few_enough(d, MOST, "jNeuroML")
    types, names = types_of(d, step)
    ends, connections = ends_of(d, step)
    cells = [line for cell in d.cells for line in cell_lines(d, cell, names[cell.kind])]
    own = [empty("Include", file=x) for x in ("types.xml", "cells.xml", "network.net.nml")]
    files = {
        "types.xml": element("Lems", [*CORE, *types]),
        "cells.xml": element("Lems", [*CORE, own[0], *cells, *ends]),
        "network.net.nml": element("neuroml", network_lines(d, connections), **NAMESPACE, id="network_of_cells"),
        "LEMS_model.xml": element(
            "Lems", [empty("Target", component="simulation"), *CORE, *own, *simulation_lines(d, duration, step)]
        ),
    }
    return {name: "\n".join([HEADER, *lines]) + "\n" for name, lines in files.items()}


# %% [markdown]
# And `to_neuroml` writes them, into a folder of their own.


# %%
def to_neuroml(
    model: Any, folder: Any, *, state: Any = None, I_ext: Any = None, duration: float = 1000.0, step: float = DEFAULT_STEP,
    overwrite: bool = False, **scheme: Any,
) -> Path:  # fmt: skip
    """Write a model in NeuroML and LEMS into a folder, and return the path of the file that jNeuroML runs.

    model: a `Prinz2004`, a `Network` or a `Cell`. state: the start; by default that of a run of the model, of which `scheme` may give the
    solver and step. I_ext: nA, depolarizing; a number, one for each cell or population, or a function of t (ms). duration, step: ms, of the
    simulation. overwrite: write into a folder that has files; those of an earlier export are replaced. Raises ValueError naming what LEMS cannot
    say, TypeError for what is no model of channels, and OSError (FileExistsError for a folder that is not empty) if it cannot be written.
    """
    duration, step = checks.positive("duration", duration, "ms"), checks.positive("step", step, "ms")
    if step > LARGEST_STEP:
        raise ValueError(
            f"step is {step:g} ms; it must be at most {LARGEST_STEP} ms, since the method of Runge and Kutta is unstable in spikes with larger ones. "
            f"Take {DEFAULT_STEP} ms."
        )
    files = neuroml_files(described(model, state, I_ext, **scheme), duration, step)
    return write_folder(folder, files, overwrite) / "LEMS_model.xml"


# %% [markdown]
# ## What disagrees, and why
#
# At a step of 0.01 ms spikes are right to 0.007 ms after a second, and to 0.001 ms in single cells; the
# periods of the pacemakers are right to 0.001%, even at 0.025 ms. Without looking ahead the circuit was
# wrong by 0.06 ms at half of that step. The one row that stands out has a current that is a function of
# time, with two jumps. A jump falls inside of a step, and the current is known at steps only, which is
# an error of first order: 0.032 ms, and 0.015 ms with half the step. With a constant current of 3 nA
# the same network is right to 0.005 ms.
#
# Numbers are not the cause of anything: the interpreter computes in double precision, our files hold
# all digits, and potentials are recorded to $10^{-5}$ mV.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-lems-step
# Write the condition $V ≥ -40$ by `H` alone, and compute it at −41, −40 and −39. What would $H(V +
# 40)$ give at −40?
# ```
#
# ```{solution-start} ex-lems-step
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# import numpy as np
#
# step_of = lambda x: 0.5 * (np.sign(x) + 1)
# V = np.array([-41.0, -40.0, -39.0])
# found = step_of(step_of(V + 40) - 0.25)
# assert found.tolist() == [0, 1, 1]
# found, step_of(V + 40)

# %% [markdown]
# One half: a channel that is half open at this very potential.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-lems-lead
# A glutamatergic activation $s$ decays after a spike with $τ_s$ = 40 ms. By how much is it wrong when
# it is read 25 µs late, and what is left of that error after looking ahead along a straight line in
# place of the exponential?
# ```
#
# ```{solution-start} ex-lems-lead
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# δ, τ = 0.025, 40.0  # ms
# late, line = 1 - np.exp(-δ / τ), np.exp(-δ / τ) - (1 - δ / τ)
# assert 6e-4 < late < 7e-4 and line < 2e-7
# late, line

# %% [markdown]
# By 0.06%, and 0.00002%. In the decay a line would do. In the upstroke of a spike, where $τ_s$ is
# shorter than the delay, it would overshoot 1; the exponential never does.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-lems-branch
# The gate `jnp.where(V > -40, jnp.log(V + 41), 0) / 10` is refused. Why, and how is it written so
# that it is not?
# ```
#
# ```{solution-start} ex-lems-branch
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# import jax.numpy as jnp
#
# from .equations import expression
#
# refused = lambda V: jnp.where(V > -40, jnp.log(V + 41), 0.0) / 10
# taken = lambda V: jnp.log(jnp.where(V > -40, V + 41, 1.0)) / 10
# try:
#     formula(expression(refused, ("V",)), "the gate")
# except ValueError as error:
#     print(error)
# formula(expression(taken, ("V",)), "the gate")

# %% [markdown]
# Below −41 mV the logarithm is not a number, and weighted by 0 it stays one that is not. The choice
# has to be made inside, where both numbers are positive.
# ```{solution-end}
# ```
