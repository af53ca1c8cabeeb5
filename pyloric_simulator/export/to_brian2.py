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

# %%
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..engine import checks
from ..engine.detection import SPIKE_THRESHOLD
from ..files.writing import telling, write_whole
from ..models.networks import model_of
from .equations import ARITHMETIC, Current, Described, Kind, Kinetics, Term, described, text

__all__ = ["Brian2Model", "brian2_script", "to_brian2"]

# %% [markdown]
# ## From formulas to Brian2's equations
#
# Brian2 reads equations as text, with units. A formula of ours is one of plain numbers, in mV and ms; in Brian2 the potential is `V`, a quantity,
# and `V/mV` is the number. The few operations that Brian2 calls differently are these:

# %%
WORDS = ARITHMETIC | {"max": "clip({}, {}, inf)", "min": "clip({0}, -inf, {1})", "where": "choose(int({}), {}, {})"}
NAMES = {
    "V": "(V/mV)", "Ca": "(Ca/uM)", "t": "(t/ms)", "V_pre": "(V_pre/mV)", "V_post": "(V_post/mV)", "γ": "(gamma/uS)",
}  # fmt: skip


def brian2(x: Term, **names: str) -> str:
    """A formula as Brian2 writes it."""
    return text(x, WORDS, NAMES | names)


# %% [markdown]
# Brian2 has no choice between two values, which `jnp.where` makes. It can be taught one, in each of the languages in which it generates code:

# %%
CHOOSE = {
    "cpp": "double choose(int yes, double a, double b) { return yes ? a : b; }",
    "cython": "cdef double choose(int yes, double a, double b):\n    return a if yes else b",
}


def choose() -> Any:
    """The function choose(yes, a, b) for Brian2."""
    b = load_brian2()
    function = b.Function(
        np.where, arg_units=[1, 1, 1], return_unit=1, arg_types=["integer", "any", "any"], return_type="float"
    )
    function.implementations.add_implementation("numpy", lambda yes, a, b: np.where(yes, a, b))
    for language, code in CHOOSE.items():
        function.implementations.add_implementation(language, code, name="choose")
    return function


def load_brian2() -> Any:
    """The package brian2. Raises ImportError, with how to get it, if it is missing or does not work with the NumPy that is there."""
    try:
        return checks.package("brian2", "brian2", "to_brian2")
    except AttributeError as error:
        raise ImportError(
            f"Brian2 does not work with NumPy {np.__version__} ({error}); it must be older. Install both: pip install 'pyloric-simulator[brian2]'."
        ) from error


# %% [markdown]
# ## One kind of cells, one group
#
# A `NeuronGroup` holds cells with the same equations. Each gate gives one line, each channel another. The conductance of a channel is a
# parameter, which each cell has for itself; what all cells of the kind share is written as a number.


# %%
EULER = "exponential_euler"  # the scheme of the papers, in Brian2's name, which is ours, too


def gate_line(k: Kinetics) -> str:
    """The equation of a gate."""
    return f"d{k.id}/dt = ({brian2(k.inf)} - {k.id})/(({brian2(k.tau)})*ms) : 1"


def opened_text(c: Current) -> str:
    """The open conductance of a channel."""
    powers = [f"{gate.id}**{n}" if n > 1 else gate.id for gate, n in ((c.m, c.p), (c.h, c.q)) if gate]
    return "*".join([f"g_{c.id}", *powers])


# %% [markdown]
# Exponential Euler solves each equation exactly while all other variables stand still. For this Brian2 must see that an equation is linear in
# its own variable. The potential is, as long as every current is $γ (V - E)$; a GHK current is not, and is replaced by its tangent at the beginning of the
# step, as in our own schemes. Calcium is not either, since its Nernst potential is a logarithm of it; its
# influx is held through the step. Brian2's words for that are `constant over dt`.


# %%
def channel_lines(c: Current, held: str) -> list[str]:
    """The equations of a channel; held: how to say that something stays constant through a step, or nothing."""
    lines = [gate_line(gate) for gate in (c.m, c.h) if gate] + [f"g_{c.id} : siemens (constant)"]
    if c.E is not None:
        E = f"({brian2(c.E)})*mV"
        return [*lines, f"I_{c.id} = {opened_text(c)}*(V - {E}) : amp"]
    γ = {"γ": f"({opened_text(c)}/uS)"}
    if not held:
        return [*lines, f"I_{c.id} = ({brian2(c.I, **γ)})*nA : amp"]
    G, J = f"({brian2(c.G, **γ)})*uS", f"({brian2(c.J, **γ)})*nA"
    return [
        *lines, f"G_{c.id} = {G} : siemens{held}", f"J_{c.id} = {J} : amp{held}", f"I_{c.id} = G_{c.id}*V - J_{c.id} : amp",
    ]  # fmt: skip


def calcium_lines(kind: Kind, held: str) -> list[str]:
    """The equations of the calcium pool."""
    if not kind.pool:
        return ["Ca : mmolar (constant)"]
    c, enter = kind.constants, [f"I_{x.id}" for x in kind.currents if x.calcium]
    balance = f"(-I_Ca*({c.f!r}*uM/nA) - Ca + {c.Ca_rest!r}*uM)/({c.τ_Ca!r}*ms)"
    return [f"I_Ca = {' + '.join(enter) or '0*nA'} : amp{held}", f"dCa/dt = {balance} : mmolar"]


def group_equations(kind: Kind, inputs: Sequence[str], I: Term | None, held: str) -> str:
    """The equations of the cells of a kind; inputs: names of the pathways that end on them; I: their external current, if it is a formula of t."""
    lines = [line for c in kind.currents for line in channel_lines(c, held)] + calcium_lines(kind, held)
    lines += [gate_line(k) for k in kind.releases]
    lines += [f"G_{x} : siemens\nJ_{x} : amp" for x in inputs]
    lines += ["I_ext : amp (constant)" if I is None else f"I_ext = ({brian2(I)})*nA : amp"]
    out = "".join(f" - I_{c.id}" for c in kind.currents) + "".join(f" - (G_{x}*V - J_{x})" for x in inputs)
    return "\n".join([f"dV/dt = (I_ext{out})/({kind.constants.C!r}*nF) : volt", *lines])


# %% [markdown]
# ## Synapses
#
# What reaches a cell through synapses and gap junctions is written as $G V - J$, too, so that the step of the
# potential is exact in it as well. A `Synapses` object adds up $G$ and $J$ of all connections of one sort between two groups, once per
# step, before any cell moves (`summed`): $J$ has the reversal potential of a chemical synapse, or the potential on the other side of
# a gap junction.


# %%
class Group(NamedTuple):
    """A `NeuronGroup`, with what it starts from."""

    name: str
    cells: tuple[int, ...]  # numbers of its cells in the model
    equations: str
    start: dict[str, tuple[tuple[float, ...], str]]  # variable -> values, (cell,), and their unit


class Pathway(NamedTuple):
    """A `Synapses` object, with what it starts from."""

    name: str
    source: str  # name of a group
    target: str
    equations: str
    i: tuple[int, ...]  # presynaptic cells within their group
    j: tuple[int, ...]
    start: dict[str, tuple[tuple[float, ...], str]]  # variable -> values, (synapse,), and their unit


class Plan(NamedTuple):
    """All that makes the Brian2 model."""

    groups: tuple[Group, ...]
    pathways: tuple[Pathway, ...]
    method: str
    dt: float  # ms


SORTS = {
    "graded": "G_{to}_post = g*s_{kind}_pre : siemens (summed)\nJ_{to}_post = g*s_{kind}_pre*({E!r}*mV) : amp (summed)",
    "gap": "G_{to}_post = g : siemens (summed)\nJ_{to}_post = g*V_pre : amp (summed)",
    "kinetic": "ds/dt = ({rate})/ms : 1 (clock-driven)\nG_{to}_post = g*s : siemens (summed)\nJ_{to}_post = g*s*({E!r}*mV) : amp (summed)",
}


def pathways_of(d: Described) -> list[Pathway]:
    """All synapses and gap junctions, a pathway for each sort and each pair of groups."""
    gaps = [x for a in d.gaps for x in (a, a._replace(pre=a.post, post=a.pre))]
    sorts = [("graded", t, [s for s in d.synapses if s.kind == k]) for k, t in enumerate(d.transmitters)]
    sorts += [("kinetic", t, [s for s in d.bonds if s.kind == k]) for k, t in enumerate(d.kinetic)] + [
        ("gap", None, gaps)
    ]
    of, within = [c.kind for c in d.cells], places_within(d)
    found = []
    for sort, end, all_of_it in sorts:
        for pre, post in sorted({(of[s.pre], of[s.post]) for s in all_of_it}):
            some = [s for s in all_of_it if (of[s.pre], of[s.post]) == (pre, post)]
            start = {"g": (tuple(s.g for s in some), "uS")}
            start |= {"s": (tuple(s.start for s in some), "")} if sort == "kinetic" else {}
            ends = tuple(within[s.pre] for s in some), tuple(within[s.post] for s in some)
            found.append(pathway(d, sort, end, (pre, post), ends, start))
    return found


def pathway(d: Described, sort: str, end: Any, groups: tuple[int, int], ends: Any, start: Any) -> Pathway:
    """The pathway of one sort between two groups."""
    source, target = (d.kinds[k].id for k in groups)
    word = "gap" if end is None else end.id
    word = word if len(d.kinds) == 1 else f"{word}_{source}_{target}"
    rate = brian2(end.rate) if sort == "kinetic" else ""
    equations = (
        SORTS[sort].format(to=word, kind=end and end.id, E=end and end.E, rate=rate) + "\ng : siemens (constant)"
    )
    return Pathway(word, source, target, equations, *ends, start)


def places_within(d: Described) -> list[int]:
    """The number of each cell within its group."""
    return [sum(x.kind == c.kind for x in d.cells[:i]) for i, c in enumerate(d.cells)]


# %% [markdown]
# The start of a group is that of its cells: potentials, calcium, gates, and the activation of the synapses that they make.


# %%
def start_of_group(kind: Kind, cells: Sequence[Any]) -> dict[str, tuple[tuple[float, ...], str]]:
    """Variable -> values, (cell,), and their unit."""
    gates = [c.m for c in kind.currents if c.m] + [c.h for c in kind.currents if c.h]
    start = {f"g_{c.id}": (tuple(cell.g[i] for cell in cells), "uS") for i, c in enumerate(kind.currents)}
    start |= {"V": (tuple(c.V for c in cells), "mV"), "Ca": (tuple(c.Ca for c in cells), "uM")}
    start |= {gate.id: (tuple(c.x[i] for c in cells), "") for i, gate in enumerate(gates)}
    start |= {k.id: (tuple(c.s[i] for c in cells), "") for i, k in enumerate(kind.releases)}
    if all(c.I.op == "number" for c in cells):
        start["I_ext"] = (tuple(c.I.args[0] for c in cells), "nA")
    return start


def plan_of(d: Described, method: str, dt: float) -> Plan:
    """The Brian2 model of a described one."""
    held, pathways = (" (constant over dt)" if method == EULER else ""), pathways_of(d)
    groups = []
    for k, kind in enumerate(d.kinds):
        numbers = tuple(i for i, c in enumerate(d.cells) if c.kind == k)
        cells = [d.cells[i] for i in numbers]
        I = None if cells[0].I.op == "number" else cells[0].I
        inputs = [p.name for p in pathways if p.target == kind.id]
        groups.append(Group(kind.id, numbers, group_equations(kind, inputs, I, held), start_of_group(kind, cells)))
    return Plan(tuple(groups), tuple(pathways), method, dt)


# %% [markdown]
# ## The model in Brian2
#
# `to_brian2` makes the objects. A spike is noted when the potential rises through −10 mV, and the next one not before it has come down again.
# The potential of each cell is recorded at each step.


# %%
class Brian2Model(NamedTuple):
    """A model in Brian2."""

    network: Any  # brian2.Network with all objects
    groups: tuple[Any, ...]  # NeuronGroups, one for each kind of cells
    pathways: tuple[Any, ...]  # Synapses
    potentials: tuple[Any, ...]  # StateMonitors of the potential, one for each group
    spikes: tuple[Any, ...]  # SpikeMonitors, one for each group
    cells: pd.MultiIndex  # pop and index of all cells
    plan: Plan

    def run(self, duration: float) -> None:
        """Go on for a duration in ms."""
        self.network.run(checks.positive("duration", duration, "ms") * load_brian2().ms)

    @property
    def V(self) -> pd.DataFrame:
        """Potentials (mV): index time (ms), columns pop and index, as of a result of this package."""
        b, table = load_brian2(), {}
        for group, monitor in zip(self.plan.groups, self.potentials, strict=True):
            table |= {self.cells[i]: np.asarray(monitor.V[n] / b.mV) for n, i in enumerate(group.cells)}
        t = pd.Index(np.asarray(self.potentials[0].t / b.ms), name="time")
        return pd.DataFrame(table, index=t)[list(self.cells)].set_axis(self.cells, axis=1)

    def spike_times(self) -> dict[tuple[str, int], np.ndarray]:
        """Times (ms) at which the potential of each cell rises through the threshold."""
        b, found = load_brian2(), {}
        for group, monitor in zip(self.plan.groups, self.spikes, strict=True):
            i, t = np.asarray(monitor.i), np.asarray(monitor.t / b.ms)
            found |= {self.cells[cell]: t[i == n] for n, cell in enumerate(group.cells)}
        return {cell: found[cell] for cell in self.cells}


BEFORE_ALL = -2  # place of the sums in a time step; synapses follow, then cells
RISES = f"V > {SPIKE_THRESHOLD!r}*mV"


def quantity(values: Sequence[float], unit: str) -> Any:
    """Numbers with a unit of Brian2."""
    return np.array(values) * (getattr(load_brian2(), unit) if unit else 1)


def set_start(target: Any, start: Mapping[str, tuple[Sequence[float], str]]) -> None:
    """Give the variables of a group or of synapses their values."""
    for variable, (values, unit) in start.items():
        setattr(target, variable, quantity(values, unit))


def built(plan: Plan, cells: pd.MultiIndex) -> Brian2Model:
    """The objects of a plan."""
    b = load_brian2()
    common = {"dt": plan.dt * b.ms, "namespace": {"choose": choose()}}
    groups, pathways = {}, []
    for g in plan.groups:
        groups[g.name] = b.NeuronGroup(
            len(g.cells),
            g.equations,
            method=plan.method,
            threshold=RISES,
            refractory=RISES,
            name=f"{g.name}*",
            **common,
        )
        set_start(groups[g.name], g.start)
    for p in plan.pathways:
        s = b.Synapses(
            groups[p.source], groups[p.target], p.equations, method=plan.method, name=f"{p.name}*", order=-1, **common
        )
        s.connect(i=list(p.i), j=list(p.j))
        for updater in s.summed_updaters.values():
            updater.order = BEFORE_ALL
        set_start(s, p.start)
        pathways.append(s)
    potentials = [b.StateMonitor(g, "V", record=True, dt=plan.dt * b.ms) for g in groups.values()]
    spikes = [b.SpikeMonitor(g) for g in groups.values()]
    network = b.Network(*groups.values(), *pathways, *potentials, *spikes)
    return Brian2Model(network, tuple(groups.values()), tuple(pathways), tuple(potentials), tuple(spikes), cells, plan)


# %% [markdown]
# The step is that of the papers unless another is given. With exponential Euler, Brian2 does what `solver="exponential_euler"` does here. The scheme that
# is our default has no counterpart there; at small steps all agree.

# %%
PAPERS_DT = 0.025  # ms, step of P03 and P04
METHODS = (EULER, "rk2", "rk4", "heun", "euler")  # of Brian2


def planned(model: Any, state: Any, I_ext: Any, method: str, dt: float) -> tuple[Plan, Any]:
    """The plan of a model, and its cells."""
    checks.choice("method", method, METHODS)
    dt = checks.positive("dt", dt, "ms")
    model = model_of(model)
    return plan_of(described(model, state, I_ext), method, dt), model.cells


def to_brian2(
    model: Any, state: Any = None, I_ext: Any = None, *, method: str = EULER, dt: float = PAPERS_DT
) -> Brian2Model:
    """A circuit, a network or a cell in Brian2, ready for `.run(duration)`.

    state: the start, by default that of a run of the model (thermalized cells for a circuit of the paper). I_ext: nA, depolarizing; a number,
    one for each cell or population, or a function of t (ms). method: Brian2's name of a scheme; dt: ms. Runs in whatever mode Brian2
    is set to. Raises ValueError for what cannot be said in equations, naming it, and ImportError without Brian2.
    """
    return built(*planned(model, state, I_ext, method, dt))


# %% [markdown]
# ## The model as a program
#
# A program for Brian2 alone needs neither this package nor JAX: it can be sent to a colleague, published beside a paper, or run where
# another NumPy is installed. It has the same equations, and ends with a run and a figure.


# %%
def listed(values: Sequence[float], unit: str) -> str:
    """Numbers with a unit as Python."""
    return f"{list(values)!r}{'*' + unit if unit else ''}"


def group_code(g: Group, method: str) -> str:
    """A group as Python."""
    lines = [f"{g.name} = NeuronGroup(", f"    {len(g.cells)},", '    """', *g.equations.splitlines(), '    """,']
    lines += [f'    method="{method}", threshold="{RISES}", refractory="{RISES}", name="{g.name}",', ")"]
    return "\n".join([*lines, *(f"{g.name}.{x} = {listed(*values)}" for x, values in g.start.items())])


def pathway_code(p: Pathway, method: str) -> str:
    """A pathway as Python."""
    name = f"from_{p.name}"
    lines = [f"{name} = Synapses(", f"    {p.source}, {p.target},", '    """', *p.equations.splitlines(), '    """,']
    lines += [
        f'    method="{method}", name="{name}", order=-1,',
        ")",
        f"{name}.connect(i={list(p.i)!r}, j={list(p.j)!r})",
    ]
    lines += [f"for updater in {name}.summed_updaters.values():", f"    updater.order = {BEFORE_ALL}"]
    return "\n".join([*lines, *(f"{name}.{x} = {listed(*values)}" for x, values in p.start.items())])


CHOOSE_CODE = f"""
@implementation("cython", {CHOOSE["cython"]!r})
@implementation("cpp", {CHOOSE["cpp"]!r})
@declare_types(yes="integer", a="any", b="any", result="float")
@check_units(yes=1, a=1, b=1, result=1)
def choose(yes, a, b):
    return where(yes, a, b)
"""

FIGURE = """
run({duration!r}*ms)

for monitor in potentials:
    for V in monitor.V:
        plot(monitor.t/ms, V/mV)
xlabel("time (ms)")
ylabel("V (mV)")
show()
"""


def brian2_script(
    path: Any, model: Any, state: Any = None, I_ext: Any = None, *, duration: float = 3000.0, method: str = EULER, dt: float = PAPERS_DT
) -> None:  # fmt: skip
    """Write a Python program that simulates a model in Brian2 for a duration (ms) and draws it; the rest as for `to_brian2`.

    An older file is replaced when the new one is complete. Raises OSError, with the reason, if it cannot be written, and as `to_brian2`.
    """
    duration = checks.positive("duration", duration, "ms")
    plan, cells = planned(model, state, I_ext, method, dt)
    names = [f"{g.name}: " + ", ".join(ascii(f"{cells[i][0]} {cells[i][1]}") for i in g.cells) for g in plan.groups]
    head = [
        '"""A model written by pyloric_simulator for Brian2.',
        "",
        "Cells, in the order of their group:",
        *names,
        '"""',
    ]
    head += ["", "from brian2 import *", "", f"defaultclock.dt = {plan.dt!r}*ms", CHOOSE_CODE]
    groups = [group_code(g, method) for g in plan.groups]
    pathways = [pathway_code(p, method) for p in plan.pathways]
    recorded = ", ".join(f'StateMonitor({g.name}, "V", record=True)' for g in plan.groups)
    counted = ", ".join(f"SpikeMonitor({g.name})" for g in plan.groups)
    tail = [f"potentials = [{recorded}]", f"spikes = [{counted}]", "network = Network(collect(), *potentials, *spikes)"]
    body = "\n\n".join(["\n".join(head), *groups, *pathways, "\n".join(tail)])
    with telling(path):
        write_whole(path, (body + FIGURE.replace("run(", "network.run(").format(duration=duration)).encode())
