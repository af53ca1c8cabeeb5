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
# # For Brian2
#
# Is it the model that does this, or the program? Whoever finds something surprising in a simulation
# should ask, and the honest answer needs a second program. [Brian2](https://briansimulator.org)
# {cite:p}`Stimberg2019` is one of the most used: its equations are text with units, from which it
# generates C++ code, and it knows nothing of {term}`pyloric` circuits. This chapter hands it our
# models.

# %% tags=["active-ipynb", "remove-cell"]
# import warnings
#
# import brian2
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# curve, layout = hv.opts.Curve(width=680, height=150, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None)
# hv.opts.defaults(curve, layout)
# brian2.BrianLogger.log_level_error()

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "The circuit of the paper, computed by Brian2 (colours), and by this package with the same scheme (black, dashed).", "name": "fig-brian2"}}
# import numpy as np
#
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
# from .to_brian2 import brian2_script, to_brian2
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# start = circuit.get_thermalization(solver="exponential_euler", dt=0.025)
# there = to_brian2(circuit, start)
# there.run(1000)  # ms
# here = circuit(np.arange(40_000) * 0.025, state=start, solver="exponential_euler", dt=0.025)
#
# some = slice(None, None, 10)
# traces = [
#     hv.Curve((V.index[some], V.iloc[some]), "time (ms)", f"V of {cell[0]} (mV)")
#     * hv.Curve((V.index[some], here.V[cell].iloc[some])).opts(color="black", line_dash="dashed", line_width=0.8)
#     for cell, V in there.V.items()
# ]
# hv.Layout(traces).cols(1)

# %% [markdown]
# The dashed line lies on the coloured one. How far are they apart?

# %% tags=["active-ipynb"]
# apart = np.abs(there.V.to_numpy() - here.V.to_numpy()).max()
# assert apart < 1e-4
# print(f"largest difference in one second: {apart:.1e} mV")

# %% [markdown]
# After 40,000 steps two programs that share no line of code differ by less than a billionth of a
# {term}`spike`. What remains is rounding: they add the same numbers in another order. An agreement of
# this kind says more than any similarity of figures does. If one conductance were off by a millionth,
# or one {term}`gate` were updated from the new potential instead of the old one, the difference would
# be a million times larger.
#
# ## What it does and what it costs
#
# `to_brian2(model)` takes a `Prinz2004`, a `Network` or a `Cell`, with channels and synapses of one's
# own, and returns the objects of Brian2: `groups`, `pathways` of synapses, monitors of `potentials`
# and `spikes`, and the `network` that holds them all. `run(duration)` goes on for some milliseconds,
# `V` is the table that results of this package have, (time, cell) in mV, and everything else is as in
# any Brian2 script: monitors can be added, variables set, the C++ standalone mode switched on before.
# `brian2_script` writes the same as a program.
#
# The scheme is exponential Euler with the {term}`time step` of the papers, 0.025 ms. Our default, the
# staggered scheme, has no counterpart in Brian2. So with the defaults of both the spikes of a
# bursting cell differ by up to 20 ms after a second, because exponential Euler is only of first
# order. Where it is taken to step 0, or where a scheme of fourth order can be used, they agree to a
# hundredth of a millisecond; a [table](../../book/simulators.md) has the numbers.
#
# It needs the extra `brian2`. Brian2 2.9 does not work with NumPy 2.4 and newer, so that the extra
# brings an older NumPy. The first run of a model compiles its C++ code, which takes longer than the
# run itself. With `brian2.prefs.codegen.target = "numpy"` nothing is compiled, but each step takes
# long: 10 ms of the circuit took 2.4 s on a busy machine. That pays for short runs only.

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
from .equations import ARITHMETIC, Current, Described, Ending, Joined, Kind, Kinetics, Term, described, evaluated, text

__all__ = ["Brian2Model", "brian2_script", "to_brian2"]

# %% [markdown]
# Brian2 is loaded when it is first needed, so that this module can be imported without it. With a
# NumPy that is too new, loading it fails with an `AttributeError` that names some attribute of NumPy;
# the cause is said instead.


# %%
def load_brian2() -> Any:
    """The package brian2. Raises ImportError, with how to get it, if it is missing or does not work with this NumPy."""
    try:
        return checks.package("brian2", "brian2", "to_brian2")
    except AttributeError as error:
        raise ImportError(
            f"Brian2 does not work with NumPy {np.__version__} ({error}); it must be older. Install both: pip install "
            "'pyloric-simulator[brian2]'."
        ) from error


# %% [markdown]
# ## From formulas to Brian2's equations
#
# The [chapter before](equations.py) has read the model into formulas. Brian2 reads equations as text,
# with units, and checks that both sides of an equation have the same. A formula of ours is one of
# plain numbers, in mV and ms. In Brian2 the potential is `V`, a quantity, and `V/mV` is the number;
# so each name is replaced by such a quotient, and the value gets its unit back by a factor, as in
# `(50)*mV`. In this way the numbers of the paper stay as they are printed, and Brian2's check still
# covers all that is between the formulas.
#
# The operations that Brian2 calls differently are few. The larger of two numbers is
# `clip(x, low, inf)`.

# %%
WORDS = ARITHMETIC | {"max": "clip({}, {}, inf)", "min": "clip({0}, -inf, {1})", "where": "choose(int({}), {}, {})"}
NAMES = {
    "V": "(V/mV)", "Ca": "(Ca/uM)", "t": "(t/ms)", "V_pre": "(V_pre/mV)", "V_post": "(V_post/mV)", "γ": "(gamma/uS)",
}  # fmt: skip


def in_brian2(x: Term, **names: str) -> str:
    """A formula as Brian2 writes it."""
    return text(x, WORDS, NAMES | names)


# %% [markdown]
# Brian2 has no choice between two values, which `jnp.where` makes. It can be taught one, in each of
# the languages in which it generates code. Both values are computed, and the one that is not chosen
# is thrown away, so that it may even overflow. The condition is passed as a whole number, 1 or 0,
# which all three languages read alike.

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


# %% [markdown]
# ## One kind of cells, one group
#
# A `NeuronGroup` holds cells with the same equations. Each gate gives one line, {eq}`eq-gate`, each
# channel another. The conductance of a channel is a parameter, which each cell has for itself; what
# all cells of the kind share is written as a number. The open conductance is $\bar g\, m^p h^q$, a
# product of the variables of the group.

# %%
EULER = "exponential_euler"  # the scheme of the papers, in Brian2's name, which is ours, too


def gate_line(k: Kinetics) -> str:
    """The equation of a gate."""
    return f"d{k.id}/dt = ({in_brian2(k.inf)} - {k.id})/(({in_brian2(k.tau)})*ms) : 1"


def opened_text(c: Current) -> str:
    """The open conductance of a channel."""
    powers = [f"{gate.id}**{n}" if n > 1 else gate.id for gate, n in ((c.m, c.p), (c.h, c.q)) if gate]
    return "*".join([f"g_{c.id}", *powers])


# %% [markdown]
# The equations must have a form in which Brian2 finds our scheme. Exponential Euler solves each
# equation exactly while all other variables stand still. For a gate that means
#
# $$
# x_{k+1} = x_∞ + (x_k - x_∞)\, e^{-dt/τ_x},
# $$
#
# with $x_∞$ and $τ_x$ at the old potential. For the potential, with all currents as lines $G V - J$,
#
# $$
# V_{k+1} = V_∞ + (V_k - V_∞)\, e^{-dt \sum G/C}, \qquad V_∞ = \frac{I_\mathrm{ext} + \sum J}{\sum G}.
# $$ (eq-brian2-euler)
#
# Take a cell with 100 mS/cm² of sodium channels, 62.8 µS in all. If they were all open, the potential
# would settle with $C/\sum G$ = 0.628 nF/62.8 µS = 0.01 ms, less than a step of 0.025 ms. An explicit
# scheme would overshoot; this one arrives.
#
# Brian2 makes such a step of its own accord where it sees that an equation is linear in its own
# variable. The potential's is, as long as every current is $γ (V - E)$. A GHK current is not, and is
# replaced by its tangent at the beginning of the step, {eq}`eq-tangent`, as in our own schemes. The
# slope and the offset of the tangent depend on $V$, too, and have to stand still through the step;
# Brian2's words for that are `constant over dt`. With the other schemes, which know no tangents, the
# current is written as it is.


# %%
def channel_lines(c: Current, held: str) -> list[str]:
    """The equations of a channel; held: how to say that something stays constant through a step, or nothing."""
    lines = [gate_line(gate) for gate in (c.m, c.h) if gate] + [f"g_{c.id} : siemens (constant)"]
    if c.E is not None:
        E = f"({in_brian2(c.E)})*mV"
        return [*lines, f"I_{c.id} = {opened_text(c)}*(V - {E}) : amp"]
    γ = {"γ": f"({opened_text(c)}/uS)"}
    if not held:
        return [*lines, f"I_{c.id} = ({in_brian2(c.I, **γ)})*nA : amp"]
    G, J = f"({in_brian2(c.G, **γ)})*uS", f"({in_brian2(c.J, **γ)})*nA"
    return [
        *lines,
        f"G_{c.id} = {G} : siemens{held}", f"J_{c.id} = {J} : amp{held}", f"I_{c.id} = G_{c.id}*V - J_{c.id} : amp",
    ]  # fmt: skip


# %% [markdown]
# Calcium has the same problem. Its concentration follows
#
# $$
# τ_{Ca} \frac{d[Ca]}{dt} = -f\, I_{Ca} - [Ca] + [Ca]_\mathrm{rest},
# $$
#
# with $f$ = 14.96 µM/nA and $τ_{Ca}$ = 200 ms, which would be linear, but the calcium currents
# contain the Nernst potential, a logarithm of $[Ca]$. The heart holds the influx through the step,
# and so does the exported model. A cell without a {term}`calcium pool` gets a constant.


# %%
def calcium_lines(kind: Kind, held: str) -> list[str]:
    """The equations of the calcium pool."""
    if not kind.pool:
        return ["Ca : mmolar (constant)"]
    c, enter = kind.constants, [f"I_{x.id}" for x in kind.currents if x.calcium]
    balance = f"(-I_Ca*({c.f!r}*uM/nA) - Ca + {c.Ca_rest!r}*uM)/({c.τ_Ca!r}*ms)"
    return [f"I_Ca = {' + '.join(enter) or '0*nA'} : amp{held}", f"dCa/dt = {balance} : mmolar"]


# %% [markdown]
# The potential's equation comes first, and all lines together are the text that Brian2 reads. An
# external current that is a number is a parameter of each cell, which can still be changed in Brian2;
# one that is a function of time is part of the equations. Currents into the cell count as positive
# for $I_\mathrm{ext}$ and those out of it for channels, hence the signs.


# %% [markdown]
# One case needs help. A pacemaker cell without a leak starts cold with all activations at 0: nothing is
# open, and Brian2's exponential Euler divides the current by a conductance of 0. Such cells get a
# conductance of $10^{-18}$ siemens, a billionth of what the smallest leak of the paper is worth.


# %%
LEAST = "(1e-18*siemens)"  # a conductance without effect


def group_equations(kind: Kind, inputs: Sequence[str], I: Term | None, held: str, opened: bool) -> str:
    """The equations of cells of a kind; inputs: pathways that end on them; I: a formula; opened: each has something open."""
    lines = [line for c in kind.currents for line in channel_lines(c, held)] + calcium_lines(kind, held)
    lines += [gate_line(k) for k in kind.releases]
    lines += [f"G_{x} : siemens\nJ_{x} : amp" for x in inputs]
    lines += ["I_ext : amp (constant)" if I is None else f"I_ext = ({in_brian2(I)})*nA : amp"]
    out = "".join(f" - I_{c.id}" for c in kind.currents) + "".join(f" - (G_{x}*V - J_{x})" for x in inputs)
    out += "" if opened or not held else f" - {LEAST}*V"
    return "\n".join([f"dV/dt = (I_ext{out})/({kind.constants.C!r}*nF) : volt", *lines])


# %% [markdown]
# ## Synapses
#
# What reaches a cell through synapses and {term}`gap junctions <gap junction>` is written as
# $G V - J$, too, so that the step of the potential, {eq}`eq-brian2-euler`, is exact in it as well.
# For $n$ synapses with the activations $s_i$ and the {term}`reversal potential` $E$, and for gap
# junctions with the potentials $V_i$ on the other side,
#
# $$
# G = \sum_i g_i s_i, \quad J = \sum_i g_i s_i E \qquad \text{and} \qquad G = \sum_i g_i, \quad J = \sum_i g_i V_i.
# $$
#
# A `Synapses` object adds these up over all connections of one sort between two groups, once per step
# (`summed`). For each sort, group and transmitter the postsynaptic cells have a $G$ and a $J$ of
# their own, since Brian2 lets only one object write a summed variable.


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
    kind: str  # identifier of the transmitter or kind
    method: str | None = None  # if it is not that of the groups


class Plan(NamedTuple):
    """All that makes the Brian2 model."""

    groups: tuple[Group, ...]
    pathways: tuple[Pathway, ...]
    method: str
    dt: float  # ms


# %% [markdown]
# These three tuples are a plan: all that is to be said to Brian2, but nothing of Brian2 itself. From
# one plan come the objects of a running Brian2 and the text of a program, which therefore cannot
# differ.
#
# The sorts of pathways are templates. The activation of a {term}`graded synapse` is a variable of the
# presynaptic cell, `s_glutamate_pre`. A kinetic one has an equation of its own, and is moved by the
# clock in each step: exactly where it is linear in its activation, and else by a step of Runge and
# Kutta, with the potentials of the beginning of the step. For a gap junction the potential on the other side takes the place of the
# reversal potential.

# %%
SORTS = {
    "graded": "G_{to}_post = g*s_{kind}_pre : siemens (summed)\nJ_{to}_post = g*s_{kind}_pre*({E!r}*mV) : amp (summed)",
    "gap": "G_{to}_post = g : siemens (summed)\nJ_{to}_post = g*V_pre : amp (summed)",
    "kinetic": "ds/dt = ({rate})/ms : 1 (clock-driven)\n"
    "G_{to}_post = g*s : siemens (summed)\nJ_{to}_post = g*s*({E!r}*mV) : amp (summed)",
}


NONLINEAR = "rk4"  # for an equation of a synapse that exponential Euler cannot solve


def places_within(d: Described) -> list[int]:
    """The number of each cell within its group."""
    return [sum(x.kind == c.kind for x in d.cells[:i]) for i, c in enumerate(d.cells)]


def pathway(d: Described, sort: str, end: Any, groups: tuple[int, int], ends: Any, start: Any) -> Pathway:
    """The pathway of one sort between two groups."""
    source, target = (d.kinds[k].id for k in groups)
    word = "gap" if end is None else end.id
    word = word if len(d.kinds) == 1 else f"{word}_{source}_{target}"
    rate = in_brian2(end.rate) if sort == "kinetic" else ""
    equations = (
        SORTS[sort].format(to=word, kind=end and end.id, E=end and end.E, rate=rate) + "\ng : siemens (constant)"
    )
    method = None if end is None or end.linear else NONLINEAR
    return Pathway(word, source, target, equations, ends[0], ends[1], start, "" if end is None else end.id, method)


# %% [markdown]
# A gap junction conducts both ways, and is written as two connections. Otherwise each sort and
# transmitter is one list, which is divided by the kinds of the two cells. The circuit of the paper
# has one kind of cells and two transmitters, thus two pathways: one of glutamate with five synapses,
# from AB, LP and PY, and one of acetylcholine with two, from PD.


# %%
def pathways_of(d: Described) -> list[Pathway]:
    """All synapses and gap junctions, a pathway for each sort and each pair of groups."""
    gaps = [x for a in d.gaps for x in (a, a._replace(pre=a.post, post=a.pre))]
    sorts: list[tuple[str, Ending | None, list[Joined]]] = []
    sorts += [("graded", t, [s for s in d.synapses if s.kind == k]) for k, t in enumerate(d.transmitters)]
    sorts += [("kinetic", t, [s for s in d.bonds if s.kind == k]) for k, t in enumerate(d.kinetic)]
    sorts += [("gap", None, gaps)]
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


# %% [markdown]
# The start of a group is that of its cells: potentials, calcium, gates, and the activation of the
# synapses that they make. Conductances are set in the same way, as values of parameters.


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


def some_open(kind: Kind, cell: Any) -> bool:
    """Whether a channel of a cell is open at its start; if none is, its conductance is 0 in the first step."""
    m, h = iter(cell.x), iter(cell.x[sum(c.m is not None for c in kind.currents) :])
    opened = [(next(m) if c.m else 1.0) * (next(h) if c.h else 1.0) for c in kind.currents]
    return any(g * x > 0 for g, x in zip(cell.g, opened, strict=True))


def plan_of(d: Described, method: str, dt: float) -> Plan:
    """The Brian2 model of a described one."""
    held, pathways = (" (constant over dt)" if method == EULER else ""), pathways_of(d)
    groups = []
    for k, kind in enumerate(d.kinds):
        numbers = tuple(i for i, c in enumerate(d.cells) if c.kind == k)
        cells = [d.cells[i] for i in numbers]
        I = None if cells[0].I.op == "number" else cells[0].I
        inputs = [p.name for p in pathways if p.target == kind.id]
        equations = group_equations(kind, inputs, I, held, all(some_open(kind, cell) for cell in cells))
        groups.append(Group(kind.id, numbers, equations, start_of_group(kind, cells)))
    return Plan(tuple(groups), tuple(pathways), method, dt)


# %% [markdown]
# ## The model in Brian2
#
# `to_brian2` makes the objects from the plan. Values are set with their units, so that a unit that
# was mixed up would be an error and not a wrong run.
#
# In what order things happen within a step decides whether two programs agree to rounding or to a
# step. In our scheme everything moves from the state at its beginning. Brian2 moves object after
# object. So the sums $G$ and $J$ are computed first, from the old activations and potentials, then
# the kinetic synapses move, which read the old potentials, and last the cells, which read the sums.
# Each object has a number for that, its `order`; the smallest is first, and 0 is the usual one.
#
# A spike is noted when the potential rises through −10 mV, and the next one not before it has come
# down again. In Brian2 that is a cell whose threshold is the condition $V > -10$ mV and which is
# *refractory* as long as the same holds. Nothing is reset, and a refractory cell goes on as its
# equations say.

# %%
BEFORE_ALL = -2  # place of the sums in a time step; synapses follow, then cells
RISES = f"V > {SPIKE_THRESHOLD!r}*mV"


def quantity(values: Sequence[float], unit: str) -> Any:
    """Numbers with a unit of Brian2."""
    return np.array(values) * (getattr(load_brian2(), unit) if unit else 1)


def set_start(target: Any, start: Mapping[str, tuple[Sequence[float], str]]) -> None:
    """Give the variables of a group or of synapses their values."""
    for variable, (values, unit) in start.items():
        setattr(target, variable, quantity(values, unit))


# %%
def group_in_brian2(g: Group, method: str, **common: Any) -> Any:
    """The NeuronGroup of a group."""
    group = load_brian2().NeuronGroup(
        len(g.cells), g.equations, method=method, threshold=RISES, refractory=RISES, name=f"{g.name}*", **common
    )
    set_start(group, g.start)
    return group


def pathway_in_brian2(p: Pathway, groups: Mapping[str, Any], method: str, **common: Any) -> Any:
    """The Synapses of a pathway."""
    source, target = groups[p.source], groups[p.target]
    synapses = load_brian2().Synapses(
        source, target, p.equations, method=p.method or method, name=f"{p.name}*", order=-1, **common
    )
    synapses.connect(i=list(p.i), j=list(p.j))
    for updater in synapses.summed_updaters.values():
        updater.order = BEFORE_ALL
    set_start(synapses, p.start)
    return synapses


# %% [markdown]
# The star behind a name lets Brian2 number the objects of a second model of the same name.
#
# What comes back keeps the objects and what they were made from. Its table of potentials has the
# cells in our order, whichever group they are in.


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
    model: Any  # what was written
    described: Described
    I_ext: Any  # as given

    def run(self, duration: float) -> None:
        """Go on for a duration in ms."""
        self.network.run(checks.positive("duration", duration, "ms") * load_brian2().ms)

    @property
    def V(self) -> pd.DataFrame:
        """Potentials (mV): index time (ms), columns pop and index, as of a result of this package."""
        b = load_brian2()
        table: dict[Any, np.ndarray] = {}
        for group, monitor in zip(self.plan.groups, self.potentials, strict=True):
            table |= {self.cells[i]: np.asarray(monitor.V[n] / b.mV) for n, i in enumerate(group.cells)}
        t = pd.Index(np.asarray(self.potentials[0].t / b.ms), name="time")
        return pd.DataFrame(table, index=t)[list(self.cells)].set_axis(self.cells, axis=1)

    def spike_times(self) -> dict[tuple[str, int], np.ndarray]:
        """Times (ms) at which the potential of each cell rises through the threshold."""
        b = load_brian2()
        found: dict[Any, np.ndarray] = {}
        for group, monitor in zip(self.plan.groups, self.spikes, strict=True):
            i, t = np.asarray(monitor.i), np.asarray(monitor.t / b.ms)
            found |= {self.cells[cell]: t[i == n] for n, cell in enumerate(group.cells)}
        return {cell: found[cell] for cell in self.cells}


# %% [markdown]
# The potential of each cell is recorded at each step, at its beginning, so that the first row of the
# table is the start. A second of a circuit is 40,000 rows of 8 bytes for each cell, a third of a
# megabyte.


# %%
def built(plan: Plan, *origin: Any) -> Brian2Model:
    """The objects of a plan; origin: the fields of the result that say where it comes from."""
    b = load_brian2()
    common = {"dt": plan.dt * b.ms, "namespace": {"choose": choose()}}
    groups = {g.name: group_in_brian2(g, plan.method, **common) for g in plan.groups}
    pathways = [pathway_in_brian2(p, groups, plan.method, **common) for p in plan.pathways]
    potentials = [b.StateMonitor(g, "V", record=True, dt=plan.dt * b.ms) for g in groups.values()]
    spikes = [b.SpikeMonitor(g) for g in groups.values()]
    network = b.Network(*groups.values(), *pathways, *potentials, *spikes)
    model, d, I_ext = origin
    objects = tuple(groups.values()), tuple(pathways), tuple(potentials), tuple(spikes)
    return Brian2Model(network, *objects, model.cells, plan, model, d, I_ext)


# %% [markdown]
# ### Schemes and steps
#
# The step is that of the papers unless another is given. With exponential Euler, Brian2 does what
# `solver="exponential_euler"` does here; at small steps all schemes agree.
#
# Brian2's other schemes are explicit: they extrapolate from slopes. For $dx/dt = -x/τ$ a step $h$ of
# Euler's scheme is $x_{k+1} = (1 - h/τ)\, x_k$. If $h > 2τ$, the factor is less than −1, and $x$
# grows from step to step with alternating sign: the scheme explodes. For a scheme of fourth order the
# factor is the beginning of the exponential series, with $z = h/τ$,
#
# $$
# 1 - z + \frac{z^2}{2} - \frac{z^3}{6} + \frac{z^4}{24},
# $$
#
# which exceeds 1 for $z > 2.785$. Higher order is more exact, but hardly more stable.

# %%
PAPERS_DT = 0.025  # ms, step of P03 and P04
LONGEST = {
    "euler": 2.0,
    "heun": 2.0,
    "rk2": 2.0,
    "rk4": 2.785,
}  # step of an explicit scheme of Brian2, over the shortest time constant
METHODS = (EULER, *LONGEST)

# %% [markdown]
# The step is therefore compared with the shortest time constant of all gates. That of a graded
# synapse is 1 µs at the height of a presynaptic spike: there, only exponential Euler can take steps
# of a usual length. The time constants are looked up from −100 to 60 mV, each millivolt. That of the
# potential is not among them, since it depends on how many channels are open.


# %%
def is_stable(d: Described, method: str, dt: float) -> None:
    """Refuse a step (ms) with which an explicit scheme explodes."""
    V, Ca = np.meshgrid(np.arange(-100.0, 61.0), (0.05, 1.0, 100.0))
    gates = [g for kind in d.kinds for g in (*kind.releases, *(x for c in kind.currents for x in (c.m, c.h) if x))]
    τ = {g.id: float(np.min(evaluated(g.tau, V=V, Ca=Ca))) for g in gates}
    fastest = min(τ, key=lambda x: τ[x], default=None)
    if fastest and dt > (limit := LONGEST[method] * τ[fastest]):
        raise ValueError(
            f"dt is {dt:g} ms with the explicit method {method!r}, and the time constant of {fastest} is as short as "
            f"{τ[fastest]:g} ms; dt must be at most {limit:.2g} ms. Take it, or method={EULER!r}."
        )


# %% [markdown]
# All that can be refused is refused before anything is made: a scheme that is none, a step that is no
# positive number, a model without channels, a gate that is no formula, and a step that explodes.


# %%
def planned(model: Any, state: Any, I_ext: Any, method: str, dt: float) -> tuple[Plan, Any, Described, Any]:
    """The plan of a model, and where it comes from."""
    checks.choice("method", method, METHODS)
    dt = checks.positive("dt", dt, "ms")
    model = model_of(model)
    d = described(model, state, I_ext)
    if method != EULER:
        is_stable(d, method, dt)
    return plan_of(d, method, dt), model, d, I_ext


def to_brian2(
    model: Any, state: Any = None, I_ext: Any = None, *, method: str = EULER, dt: float = PAPERS_DT
) -> Brian2Model:
    """A circuit, a network or a cell in Brian2, ready for `.run(duration)`.

    state: the start, by default that of a run of the model (thermalized cells for a circuit of the paper). I_ext: nA,
    depolarizing; a number, one for each cell or population, or a function of t (ms). method: Brian2's name of a
    scheme; dt: ms. Runs in whatever mode Brian2 is set to. Raises ValueError for what cannot be said in equations,
    naming it, and ImportError without Brian2.
    """
    return built(*planned(model, state, I_ext, method, dt))


# %% [markdown]
# ## The model as a program
#
# A program for Brian2 alone needs neither this package nor JAX: it can be sent to a colleague,
# published beside a paper, or run where another NumPy is installed. It has the same equations as the
# objects, from the same plan, and ends with a run and a figure. This is the beginning of the axon's
# cell:

# %% tags=["active-ipynb"]
# import tempfile
# from pathlib import Path
#
# from ..models.channels import HodgkinHuxley1952 as HH
# from ..models.networks import Cell
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# with tempfile.TemporaryDirectory() as folder:
#     script = Path(folder) / "axon.py"
#     brian2_script(script, axon, I_ext=6.3)
#     print("\n".join(line[:110] for line in script.read_text().splitlines()[18:38]))

# %% [markdown]
# Each object of the plan is written as the statements that make it, in the words of somebody who
# writes a Brian2 script by hand. Numbers are lists, one for each cell, with the unit behind them, so
# that a reader can change them.


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
        f'    method="{p.method or method}", name="{name}", order=-1,',
        ")",
        f"{name}.connect(i={list(p.i)!r}, j={list(p.j)!r})",
    ]
    lines += [f"for updater in {name}.summed_updaters.values():", f"    updater.order = {BEFORE_ALL}"]
    return "\n".join([*lines, *(f"{name}.{x} = {listed(*values)}" for x, values in p.start.items())])


# %% [markdown]
# What stays the same in each program is the function `choose`, with its two implementations in
# compiled languages, and the figure at the end.

# %%
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

# %% [markdown]
# The head of a program says which cell has which place in its group, since the groups are by kind and
# not by population. Labels may be of any letters; written in ASCII they cannot end the text in which
# they stand.


# %%
def head_of(plan: Plan, cells: Any) -> str:
    """The beginning of a program: what it is, which cell is where, and the time step."""
    names = [f"{g.name}: " + ", ".join(ascii(f"{cells[i][0]} {cells[i][1]}") for i in g.cells) for g in plan.groups]
    head = [
        '"""A model written by pyloric_simulator for Brian2.',
        "",
        "Cells, in the order of their group:",
        *names,
        '"""',
    ]
    return "\n".join([*head, "", "from brian2 import *", "", f"defaultclock.dt = {plan.dt!r}*ms", CHOOSE_CODE])


def recording_of(plan: Plan) -> str:
    """The monitors and the network of a program."""
    recorded = ", ".join(f'StateMonitor({g.name}, "V", record=True)' for g in plan.groups)
    counted = ", ".join(f"SpikeMonitor({g.name})" for g in plan.groups)
    lines = [f"potentials = [{recorded}]", f"spikes = [{counted}]"]
    return "\n".join([*lines, "network = Network(collect(), *potentials, *spikes)"])


# %% [markdown]
# The file is written as a whole: until it is complete, an older one stays, and a full disk leaves no
# half of a program.


# %%
def brian2_script(
    path: Any, model: Any, state: Any = None, I_ext: Any = None, *,
    duration: float = 3000.0, method: str = EULER, dt: float = PAPERS_DT,
) -> None:  # fmt: skip
    """Write a Python program that simulates a model in Brian2 for a duration (ms) and draws it; the rest: `to_brian2`.

    An older file is replaced when the new one is complete. Raises OSError, with the reason, if it cannot be written,
    and as `to_brian2`.
    """
    duration = checks.positive("duration", duration, "ms")
    plan, model, _, _ = planned(model, state, I_ext, method, dt)
    groups = [group_code(g, method) for g in plan.groups]
    pathways = [pathway_code(p, method) for p in plan.pathways]
    body = "\n\n".join([head_of(plan, model.cells), *groups, *pathways, recording_of(plan)])
    with telling(path):
        write_whole(path, (body + FIGURE.replace("run(", "network.run(").format(duration=duration)).encode())


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-brian2-order
# Exponential Euler is of first order: half the step, half the error. Check it in Brian2, on the time
# of the axon's second spike at 10 nA, with steps of 0.02, 0.01 and 0.005 ms.
# ```
#
# ```{solution-start} ex-brian2-order
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# brian2.prefs.codegen.target = "numpy"  # nothing to compile: quicker for short runs
#
#
# def second_spike(dt):
#     """Time (ms) at which the axon's potential rises through -10 mV for the second time, by interpolation."""
#     exported = to_brian2(axon, I_ext=10.0, dt=dt)
#     exported.run(30)
#     V = exported.V["cell", 0]
#     k = np.flatnonzero((V.to_numpy()[:-1] <= -10) & (V.to_numpy()[1:] > -10))[1]
#     a, b = V.iloc[k], V.iloc[k + 1]
#     return V.index[k] + dt * (-10 - a) / (b - a)
#
#
# times = [second_spike(dt) for dt in (0.02, 0.01, 0.005)]
# ratio = (times[0] - times[1]) / (times[1] - times[2])
# assert 1.7 < ratio < 2.3
# ratio

# %% [markdown]
# The differences between successive steps halve with the step, as they must for a scheme of first
# order.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-brian2-own
# Brian2 offers the rest of its machinery to an exported model. Add noise to the axon: give its
# `I_ext` new random values every 0.5 ms by `run_regularly`. Does it fire without a constant current?
# ```
#
# ```{solution-start} ex-brian2-own
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# brian2.seed(1)
# noisy = to_brian2(axon)
# noise = noisy.groups[0].run_regularly("I_ext = 12*nA*randn()", dt=0.5 * brian2.ms)
# noisy.network.add(noise)
# noisy.run(200)
# spikes = noisy.spike_times()["cell", 0]
# assert len(spikes) > 1
# spikes

# %% [markdown]
# It does, now and then, when a few positive values follow each other.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-brian2-explicit
# Why does `to_brian2(circuit, method="rk4")` refuse, while it takes the axon?
# ```
#
# ```{solution-start} ex-brian2-explicit
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# for model in (axon, circuit):
#     try:
#         to_brian2(model, model.cold if model is circuit else None, method="rk4")
#         print("taken")
#     except ValueError as error:
#         print(error)

# %% [markdown]
# The axon's fastest gate needs a tenth of a millisecond. The synapses of the circuit are faster than
# a microsecond while the presynaptic cell spikes, since the closing of a graded synapse stops there:
# $τ_s = (1 - s_∞)/k_-$ goes to 0. An explicit scheme extrapolates from the slope at the beginning of
# its step, and overshoots more with each step once the step is longer than about two time constants.
# Exponential Euler follows the exponential itself.
# ```{solution-end}
# ```
