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
# # The model in NEURON
#
# Is a rhythm a property of the equations, or of the program that solves them? The same circuit,
# written for another simulator by nobody's hand and solved there by another method, has to fire the
# same spikes at the same times. Below, seven models in [NEURON](https://nrn.readthedocs.io), each
# against our own run with a step of 0.00125 ms, over the first second:

# %% tags=["active-ipynb"]
# from importlib.resources import files as files_of
#
# import pandas as pd
#
# agreement = pd.read_csv(files_of("pyloric_simulator.export") / "agreement.csv")
# agreement[agreement.simulator == "NEURON"].drop(columns="simulator")

# %% [markdown]
# The table is a stored one, since it takes NEURON and a C++ compiler; `benchmarks/exports.py` makes
# it anew. With CVODE, a solver that chooses its own steps to a tolerance, no spike of any model comes
# more than a few thousandths of a millisecond earlier or later than ours. The rows with a fixed step
# show what that step costs, and the last ones the burst periods of the pacemaker cells. (Run times are
# those of a busy machine, and give no more than the order.)
#
# What does such a table prove? Not that the model is right; only the animal could say that. It shows
# that two programs which share no line of code read the same equations: that no sign, no unit and no
# exponent changed on the way, and that what we print as the solution is one. A single wrong constant
# would show. If the Nernst slope were 12.19 mV for 12.2, bursts would come 0.05% later, by half a
# millisecond in a second, which is a hundred times what is seen here.

# %% [markdown]
# Where NEURON is installed, the next cell runs the export of a bursting cell for 200 ms. It is an
# ordinary Python process, which knows nothing of this package.

# %% tags=["active-ipynb"]
# import importlib.util
# import subprocess
# import sys
# import tempfile
# from pathlib import Path
#
# from .to_neuron import to_neuron
# from ..models.channels import Liu1998 as Liu
# from ..models.networks import Cell
#
# densities = dict(Na=700, CaT=2, CaS=4, A=50, KCa=40, Kd=70, H=0.03, leak=0.01)
# burster = Cell([getattr(Liu, name)(g) for name, g in densities.items()], calcium=Liu.calcium)
# script = to_neuron(burster, Path(tempfile.mkdtemp()) / "burster")
# if importlib.util.find_spec("neuron"):
#     subprocess.run([sys.executable, script, "200", script.with_name("V.csv")], check=True, capture_output=True)
#     shown = pd.read_csv(script.with_name("V.csv"), index_col=0).iloc[::500]
# else:
#     shown = "NEURON is not installed here; the export is in place, and the table above is from where it is."
# shown

# %% [markdown]
# ## How it is used
#
# `to_neuron(model, folder)` writes a folder that a colleague can run without this package: one file
# of NMODL, the language in which NEURON is told about membranes, for each kind of channel and of
# synapse, and a Python script that builds the cells from them.
#
# ```python
# from pyloric_simulator.export.to_neuron import to_neuron
#
# to_neuron(paper, "fig3e")
# ```
#
# On a machine with NEURON (`pip install 'pyloric-simulator[neuron]'`) and a C++ compiler, the script
# compiles the mechanisms when it is first run, which takes ten seconds or so, and writes the
# potentials as a table of milliseconds and millivolts:
#
# ```bash
# python fig3e/run.py 1000 V.csv
# ```
#
# From Python it is a module with the sections in `cells`, and the function `simulate(stop, every, dt,
# tolerance)`, which returns the times and the potential of each cell. All of NEURON is at hand there:
# more compartments, other electrodes, its graphs.
#
# What is taken over is the model and its *start*: potentials, calcium, and every gate, by default
# those from which our own run begins. An external current may be a number for each cell or one
# function of time. What has no place in NMODL is refused by name, before a file is written: an
# operation such as an interpolation, and a number that is infinite. A `Neuron` or a `LIF` has no
# channels, and is refused.
#
# `state` starts the copy elsewhere: `to_neuron(model, folder, state=result.final_state)` goes on in
# NEURON where a run of ours has ended. Time begins at 0 there, so that a current that is a function
# of time begins anew.
#
# Two things are not taken over. Our calcium never falls below $5·10^{-8}$ µM, and here nothing holds
# it there; no model that we know comes near. And the densities stay what they are at the temperature
# of the model: `celsius` of NEURON changes nothing.

# %% [markdown]
# Here is a cell of one's own with two channels, and what becomes of its sodium channel:

# %% tags=["active-ipynb"]
# from .equations import described
# from .to_neuron import neuron_files
# from ..models.channels import Prinz2003
# from ..models.networks import Cell
#
# small = Cell([Prinz2003.Na(100), Prinz2003.leak(0.02)])
# print(neuron_files(described(small))["mod/ch_Na.mod"])

# %%
from __future__ import annotations

import pprint
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .equations import ARITHMETIC, Current, Described, Kind, Kinetics, Term, described, identifiers, text
from .folders import SIGN, few_enough, write_folder

__all__ = ["neuron_files", "to_neuron"]

# %% [markdown]
# ## Units
#
# NEURON thinks in *densities*: a channel has S/cm², its current is in mA/cm², and the capacitance in
# µF/cm². So does the paper, but in mS/cm²; and our equations hold whole cells, in µS, nA and nF. What
# stands at one place, a *point process* such as a synapse, is in µS and nA as ours. Calcium is in mM,
# a thousand times our unit. All conversions are these; whatever else the chapter writes is a number
# as it is.
#
# A check on the numbers: 62.8 µS of sodium on $0.628·10^{-3}$ cm² are 0.1 S/cm², the 100 mS/cm² of
# the table. An ohmic current $g\,(V - E)$ in S/cm² and mV is in mA/cm² without a factor. Only the
# pool has to undo a density: it takes $10^6 A\,i_{Ca}$ nA, and divides by 1000 what would be µM, so
# that its equation has the factor $10^3$.

# %%
S_PER_US, UF_PER_NF, MM_PER_UM = 1e-6, 1e-3, 1e-3
MOST = 100_000  # cells and ends of connections, each of which is a line of the script


def densities(g: float, area: float) -> float:
    """S/cm² of a conductance of a cell in µS, with its area in cm²."""
    return g * S_PER_US / area


# %% [markdown]
# ## Formulas in NMODL
#
# The [chapter before](equations.py) gives a formula as a tree, and prints it in a language that is
# given as templates. NMODL has the arithmetic of C, with `pow` for powers, but no choice *inside* a
# formula, where JAX has `jnp.where`, and no maximum. It has functions, though, with statements in
# them, and those that a mechanism calls are defined at its end. Both branches of a choice are
# computed before one of them is taken. In a language that stops at a division by zero that would
# matter; the arithmetic of C goes on, and the other one is kept.
#
# Two more functions exist for their accuracy near 0, where $e^x - 1$ and $\ln(1 + x)$ lose all digits
# if they are computed as they are written. The first is exactly $2 \sinh(x/2)\, e^{x/2}$, a product
# in which nothing cancels. In the second, $1 + x$ is rounded, and the same rounding error stands in
# the numerator and in the denominator of $\ln(1 + x)\, x / ((1 + x) - 1)$.

# %%
WORDS = ARITHMETIC | {
    "pow": "pow({}, {})", "abs": "fabs({})", "and": "{} && {}", "or": "{} || {}", "not": "!({})", "where": "choose({}, {}, {})",
    "max": "larger({}, {})", "min": "smaller({}, {})", "sign": "signum({})",
}  # fmt: skip
FUNCTIONS = {
    "choose": "choose(yes, a, b) {\n    if (yes) { choose = a } else { choose = b }\n}",
    "larger": "larger(a, b) {\n    if (a > b) { larger = a } else { larger = b }\n}",
    "smaller": "smaller(a, b) {\n    if (a < b) { smaller = a } else { smaller = b }\n}",
    "signum": "signum(x) {\n    if (x > 0) { signum = 1 } else { if (x < 0) { signum = -1 } else { signum = 0 } }\n}",
    "expm1": "expm1(x) {\n    expm1 = 2*sinh(x/2)*exp(x/2)\n}",
    "log1p": "log1p(x) {\n    if (1 + x == 1) { log1p = x } else { log1p = log(1 + x)*x/((1 + x) - 1) }\n}",
    "exprel": "exprel(x) {\n    if (fabs(x) < 1e-5) { exprel = 1 + x/2 + x*x/6 } else { exprel = 2*sinh(x/2)*exp(x/2)/x }\n}",
}

# %% [markdown]
# Names are those that NEURON gives: `v` is the potential of the place where a mechanism stands. For a
# synapse that is the postsynaptic cell, and the presynaptic potential is `v_pre`. The open
# conductance $γ$ of our formulas is `g`. An infinite number, as in a maximum that is taken with $-∞$,
# cannot be written, and is refused.

# %%
NAMES = {"V": "v", "γ": "g", "V_pre": "v_pre", "V_post": "v"}


def nmodl(x: Term, what: str, **names: str) -> str:
    """A formula as NMODL writes it. Raises ValueError for one that contains a number that is not finite."""
    found = text(x, WORDS, NAMES | names)
    if unfit := re.search(r"\b(inf|nan)\b", found):
        raise ValueError(
            f"{what} contains the number {unfit[0]}; NMODL has finite numbers only. Write a large number in its place."
        )
    return found


def functions_in(body: str) -> list[str]:
    """Definitions of those of our functions that a text calls."""
    return [f"FUNCTION {f}" for name, f in FUNCTIONS.items() if re.search(rf"\b{name}\(", body)]


def mentions(x: Term, name: str) -> bool:
    """Whether a formula has a name in it."""
    return name in x.args if x.op == "name" else x.op != "number" and any(mentions(a, name) for a in x.args)


# %% [markdown]
# ## Mechanisms
#
# A file of NMODL consists of blocks: what the mechanism is and what it shares with others (`NEURON`),
# its constants (`PARAMETER`), what is computed (`ASSIGNED`), what is integrated (`STATE`), how that
# starts (`INITIAL`), what is done in each step (`BREAKPOINT`), and the equations (`DERIVATIVE`). The
# name of a mechanism is put in at the end, since equal mechanisms of different cells become one,
# under one name.

# %%
HEADER = f": {SIGN}. Units: mV, ms, mA/cm2, S/cm2, mM; uS and nA in point processes."
UNITS = ["(mV) = (millivolt)", "(mA) = (milliamp)", "(nA) = (nanoamp)", "(S) = (siemens)", "(uS) = (microsiemens)", "(mM) = (milli/liter)",
         "(uM) = (micro/liter)"]  # fmt: skip


def block(title: str, lines: Sequence[str]) -> str:
    """A block of NMODL; nothing without lines."""
    return "\n".join([f"{title} {{", *(f"    {line}" for line in lines), "}"]) if lines else ""


def mechanism(*blocks: str) -> str:
    """A mechanism from its blocks, with the functions that it calls."""
    some = [HEADER, blocks[0], block("UNITS", UNITS), *blocks[1:], *functions_in("\n".join(blocks))]
    return "\n\n".join(x for x in some if x) + "\n"


# %% [markdown]
# ### Channels
#
# A channel that calcium passes *writes* `ica`; all such currents of a cell are added up by NEURON,
# and the pool reads the sum. A channel of which a gate or the driving force depends on calcium
# *reads* `cai`. We never use NEURON's own `eca`: it is the Nernst potential at `celsius`, and ours
# comes with the $γ$ = 12.2 mV of the paper, or is no Nernst potential at all but the equation of
# Goldman, Hodgkin and Katz.

# %%
Gates = Mapping[str, tuple[Kinetics, int]]


def gates_in(c: Current) -> Gates:
    """The gates of a channel under the letters m and h, with their exponents."""
    return {letter: (gate, n) for letter, gate, n in (("m", c.m, c.p), ("h", c.h, c.q)) if gate}


def reads_calcium(c: Current) -> bool:
    """Whether a gate or the current of a channel depends on the calcium concentration."""
    terms = [c.I, *(x for gate, _ in gates_in(c).values() for x in (gate.inf, gate.tau))]
    return any(mentions(x, "Ca") for x in terms)


def ion_lines(c: Current) -> list[str]:
    """How a channel uses calcium, and under which name it passes its current."""
    uses = ["READ cai"] * reads_calcium(c) + ["WRITE ica"] * c.calcium
    return [*([f"USEION ca {' '.join(uses)}"] if uses else []), *([] if c.calcium else ["NONSPECIFIC_CURRENT i"])]


# %% [markdown]
# The gates of a channel follow $x' = (x_∞ - x)/τ_x$. The procedure `kinetics` computes $x_∞$ and
# $τ_x$ from the potential and, where they need it, from calcium in µM. It is called where the
# derivative is taken, so that CVODE gets the right-hand side as it is, and the method `cnexp` of a
# fixed step solves it exactly over the step, with the potential frozen: the same update as that of
# our schemes.


# %%
def kinetics_blocks(c: Current, calcium: Sequence[str]) -> list[str]:
    """The equations of the gates, and where their steady states and time constants come from."""
    gates = gates_in(c)
    if not gates:
        return []
    equations = [f"{x}' = ({x}inf - {x})/{x}tau" for x in gates]
    formulas = [
        f"{x}{kind} = {nmodl(term, f'{word} of the gate {x} of {c.name!r}')}"
        for x, (gate, _) in gates.items()
        for kind, word, term in (("inf", "x∞", gate.inf), ("tau", "τ", gate.tau))
    ]
    return [
        block("DERIVATIVE states", ["kinetics()", *equations]),
        block("PROCEDURE kinetics()", [*calcium, *formulas]),
    ]


# %% [markdown]
# **The start.** `finitialize` of NEURON runs the `INITIAL` blocks, in which a textbook mechanism puts
# its gates to their steady states at the potential at hand. A bursting cell in the middle of its
# cycle is nowhere near these: its slow gates remember the last hundred milliseconds. So each gate
# starts at a number of its own cell, `m_start`, which the script sets. (A name such as `m0` would be
# taken: NMODL makes a global constant of that name for each state.)
#
# A reversal potential that is a number becomes a parameter `E`. All else, such as $γ
# \ln([Ca]_\mathrm{out}/[Ca])$, is written as a formula.


# %%
def channel_text(c: Current) -> str:
    """The mechanism of a channel."""
    gates, current = gates_in(c), "ica" if c.calcium else "i"
    E = c.E.args[0] if c.E is not None and c.E.op == "number" else None
    I = nmodl(c.I, f"the current of {c.name!r}") if E is None else "g*(v - E)"
    of_E = {"range": [], "parameter": []} if E is None else {"range": ["E"], "parameter": [f"E = {E!r} (mV)"]}
    calcium = ["Ca = (1e3)*cai"] if reads_calcium(c) else []
    starts = [f"{x}_start" for x in gates]
    open_share = "".join(f"*{x}^{n}" if n > 1 else f"*{x}" for x, (_, n) in gates.items())
    computed = [line for x in gates for line in (f"{x}inf", f"{x}tau (ms)")]
    return mechanism(
        block("NEURON", ["SUFFIX @NAME@", *ion_lines(c), f"RANGE {', '.join(['gbar', 'g', *of_E['range'], *starts])}"]),
        block("PARAMETER", ["gbar = 0 (S/cm2)", *of_E["parameter"], *(f"{x} = 0" for x in starts)]),
        block(
            "ASSIGNED",
            ["v (mV)", f"{current} (mA/cm2)", "g (S/cm2)", *["cai (mM)", "Ca (uM)"] * bool(calcium), *computed],
        ),
        block("STATE", [*gates]),
        block("INITIAL", [f"{x} = {x}_start" for x in gates]),
        block(
            "BREAKPOINT",
            [*["SOLVE states METHOD cnexp"] * bool(gates), *calcium, f"g = gbar{open_share}", f"{current} = {I}"],
        ),
        *kinetics_blocks(c, calcium),
    )


# %% [markdown]
# ### The pool of calcium
#
# NEURON comes with pools, but not with this one: ours is fed by the *total* current, $τ\, d[Ca]/dt =
# -f I_{Ca} - [Ca] + [Ca]_\mathrm{rest}$, and so needs the area $A$ of the cell. `cai` itself is the
# state. At $5·10^{-5}$ mM it would be lost under an absolute tolerance that suits millivolts; the
# number in angle brackets makes the tolerance a thousand times smaller for it, as if it were in µM.

# %%
POOL = mechanism(
    block("NEURON", ["SUFFIX @NAME@", "USEION ca READ ica WRITE cai", "RANGE A, f, tau, rest, start"]),
    block("PARAMETER", ["A = 1e-3 (cm2)", "f = 0 (uM/nA)", "tau = 200 (ms)", "rest = 0.05 (uM)", "start = 0.05 (uM)"]),
    block("ASSIGNED", ["ica (mA/cm2)"]),
    block("STATE", ["cai (mM) <1e-3>"]),
    block("INITIAL", ["cai = (1e-3)*start"]),
    block("BREAKPOINT", ["SOLVE states METHOD cnexp"]),
    block("DERIVATIVE states", ["cai' = ((1e-3)*rest - cai - (1e3)*f*A*ica)/tau"]),
)

# %% [markdown]
# ### Synapses
#
# A synapse of NEURON usually waits for a spike, an event that arrives after a delay. A *graded*
# synapse does not wait: it sees the presynaptic potential all the time, through a `POINTER`. Its
# activation $s$ is a gate of the presynaptic cell. Here each synapse integrates its own copy, from
# the same start and by the same equation, so that the copies stay equal; that costs a little time and
# keeps the mechanism whole. Where a gate reads calcium, it is that of the presynaptic cell, through a
# second pointer. The current passes into the postsynaptic cell.


# %%
def synapse_text(pointers: Sequence[str], computed: Sequence[str], *blocks: str) -> str:
    """The mechanism of a chemical synapse with its pointers, what it computes, and the blocks that move s."""
    return mechanism(
        block(
            "NEURON",
            ["POINT_PROCESS @NAME@", f"POINTER {', '.join(pointers)}", "NONSPECIFIC_CURRENT i", "RANGE g, E, s_start"],
        ),
        block("PARAMETER", ["g = 0 (uS)", "E = -70 (mV)", "s_start = 0"]),
        block("ASSIGNED", ["v (mV)", "i (nA)", *pointers, *computed]),
        block("STATE", ["s"]),
        block("INITIAL", ["s = s_start"]),
        *blocks,
    )


def graded_text(gate: Kinetics) -> str:
    """The mechanism of a graded synapse, whose activation is a gate of the presynaptic cell."""
    calcium = mentions(gate.inf, "Ca") or mentions(gate.tau, "Ca")
    inf, tau = (nmodl(x, f"the synapse {gate.id!r}", V="v_pre") for x in (gate.inf, gate.tau))
    return synapse_text(
        ["v_pre", *["cai_pre"] * calcium],
        ["sinf", "stau (ms)", *["Ca (uM)"] * calcium],
        block("BREAKPOINT", ["SOLVE states METHOD cnexp", "i = g*s*(v - E)"]),
        block("DERIVATIVE states", ["kinetics()", "s' = (sinf - s)/stau"]),
        block("PROCEDURE kinetics()", [*["Ca = (1e3)*cai_pre"] * calcium, f"sinf = {inf}", f"stau = {tau}"]),
    )


# %% [markdown]
# A *kinetic* synapse has any equation $ds/dt = f(s, V_\mathrm{pre}, V_\mathrm{post})$, which need not
# be linear in $s$; with a fixed step it is solved implicitly. A gap junction is two point processes,
# one in each cell, that look at each other. NEURON has `PlotShape` and other tools that do not know
# about either, but its solver does: the pointers are read in every evaluation of the right-hand side.


# %%
def kinetic_text(rate: Term, name: str) -> str:
    """The mechanism of a kinetic synapse, with an equation of its own."""
    return synapse_text(
        ["v_pre"],
        [],
        block("BREAKPOINT", ["SOLVE states METHOD derivimplicit", "i = g*s*(v - E)"]),
        block("DERIVATIVE states", [f"s' = {nmodl(rate, f'the rate of {name!r}')}"]),
    )


GAP = mechanism(
    block("NEURON", ["POINT_PROCESS @NAME@", "POINTER v_pre", "NONSPECIFIC_CURRENT i", "RANGE g"]),
    block("PARAMETER", ["g = 0 (uS)"]),
    block("ASSIGNED", ["v (mV)", "v_pre (mV)", "i (nA)"]),
    block("BREAKPOINT", ["i = g*(v - v_pre)"]),
)

# %% [markdown]
# ### Currents from outside
#
# An `ELECTRODE_CURRENT` depolarizes where it is positive, as ours. A number is a parameter of each
# cell, a function of time a formula of `t`. Where such a formula jumps, a solver of high order has to
# be told, since it extrapolates from a smooth past. The times with which the formula compares `t` are
# found in its tree, and the script lets CVODE begin anew at each.


# %%
def input_text(I: Term) -> str:
    """The mechanism of an external current: a number of its own for each cell, or a function of t."""
    constant = I.op == "number"
    return mechanism(
        block("NEURON", ["POINT_PROCESS @NAME@", "ELECTRODE_CURRENT i", *["RANGE amp"] * constant]),
        block("PARAMETER", ["amp = 0 (nA)"] * constant),
        block("ASSIGNED", ["i (nA)"]),
        block("BREAKPOINT", [f"i = {'amp' if constant else nmodl(I, 'I_ext')}"]),
    )


def jumps(x: Term) -> set[float]:
    """Times (ms) with which a formula compares t, at which it may jump."""
    if x.op in ("number", "name"):
        return set()
    compared = x.args if x.op in ("lt", "le", "gt", "ge") else ()
    here = {float(a.args[0]) for a in compared if a.op == "number" and a.args[0] > 0}
    return here.union(*(jumps(a) for a in x.args))


# %% [markdown]
# ## The numbers of cells and connections
#
# Two cells of a population are alike at first, but for their start, and a population in NEURON is no
# more than a list of sections. So there are no populations in the export: each cell is written out,
# and so is each synapse between two cells, in the order in which our circuit has them. A model with
# more than 100,000 of these is refused, as the script would be a table of that many lines.
#
# What differs from cell to cell are numbers, and they go into the script: densities, the start of
# each gate, and the pool. The dictionary `mechanisms` collects the texts. Two channels with equal
# equations, say the sodium channels of two kinds of cells, are one mechanism; if two differ under one
# name, the second gets a number. All names begin with `ch_` or `syn_`, so that none meets one that
# NEURON has already, such as `hh` or `pas`.

# %%
Row = dict[str, Any]


def filed(mechanisms: dict[str, str], wish: str, body: str) -> str:
    """The name of a mechanism, under which its text is put into `mechanisms`; an equal one keeps the name that it has."""
    for name, known in mechanisms.items():
        if known == body:
            return name
    name = identifiers([wish], tuple(mechanisms))[0]
    mechanisms[name] = body
    return name


def starts_of(kind: Kind, x: Sequence[float]) -> list[Row]:
    """The gates of each channel at the start; x: m of all channels that have it, then h."""
    found: list[Row] = [{} for _ in kind.currents]
    values = iter(x)
    for letter in ("m", "h"):
        for c, row in zip(kind.currents, found, strict=True):
            if letter in gates_in(c):
                row[f"{letter}_start"] = next(values)
    return found


# %% [markdown]
# A cell without a pool keeps the calcium that it has; if one of its channels reads it, it is a
# constant that the script sets.


# %%
def calcium_row(kind: Kind, Ca: float, mechanisms: dict[str, str]) -> Row:
    """The pool of calcium of a cell, or its constant concentration (mM) where a channel reads it."""
    c = kind.constants
    if kind.pool:
        return {filed(mechanisms, "pool", POOL): {"A": c.A, "f": c.f, "tau": c.τ_Ca, "rest": c.Ca_rest, "start": Ca}}
    return {"cai": Ca * MM_PER_UM} if any(map(reads_calcium, kind.currents)) else {}


def cell_rows(d: Described, mechanisms: dict[str, str]) -> list[Row]:
    """What the script has to know of each cell."""
    names = [[filed(mechanisms, f"ch_{c.id}", channel_text(c)) for c in kind.currents] for kind in d.kinds]
    rows = []
    for cell in d.cells:
        kind, c = d.kinds[cell.kind], d.kinds[cell.kind].constants
        parts = zip(names[cell.kind], cell.g, starts_of(kind, cell.x), strict=True)
        channels = {name: {"gbar": densities(g, c.A), **gates} for name, g, gates in parts}
        whole = {"cell": cell[:2], "area": c.A, "cm": c.C * UF_PER_NF / c.A, "V": cell.V, "channels": channels}
        rows.append(whole | calcium_row(kind, cell.Ca, mechanisms))
    return rows


# %% [markdown]
# Connections are listed one by one. Those without a conductance are left out, as the gap junctions of
# a `Prinz2004` with `ge=0`.


# %%
def connection_rows(d: Described, mechanisms: dict[str, str]) -> list[tuple[Any, ...]]:
    """Each end of a connection: mechanism, the cell that it reads, the cell where it stands, numbers, whether it reads calcium."""
    rows: list[tuple[Any, ...]] = []
    for x in d.synapses:
        pre, end = d.cells[x.pre], d.transmitters[x.kind]
        name = filed(mechanisms, f"syn_{end.id}", body := graded_text(d.kinds[pre.kind].releases[x.kind]))
        rows.append((name, x.pre, x.post, {"g": x.g, "E": end.E, "s_start": pre.s[x.kind]}, "cai_pre" in body))
    for x in d.bonds:
        end = d.kinetic[x.kind]
        assert end.rate is not None  # as of every kinetic synapse
        name = filed(mechanisms, f"syn_{end.id}", kinetic_text(end.rate, end.id))
        rows.append((name, x.pre, x.post, {"g": x.g, "E": end.E, "s_start": x.start}, False))
    for x in d.gaps:
        rows += [("gap", a, b, {"g": x.g}, False) for a, b in ((x.pre, x.post), (x.post, x.pre))]
    rows = [row for row in rows if row[3]["g"]]
    if any(name == "gap" for name, *_ in rows):
        filed(mechanisms, "gap", GAP)
    return rows


def input_rows(d: Described, mechanisms: dict[str, str]) -> list[tuple[Any, ...]]:
    """Each external current that is not 0: mechanism, cell, numbers."""
    rows: list[tuple[Any, ...]] = []
    for i, cell in enumerate(d.cells):
        number = cell.I.args[0] if cell.I.op == "number" else None
        if number != 0:
            wish = "input_of_t" if number is None else "input"
            rows.append((filed(mechanisms, wish, input_text(cell.I)), i, {} if number is None else {"amp": number}))
    return rows


# %% [markdown]
# ## The script
#
# The script is a text with four tables in it, and is the same for every model but for these. A cell
# is one cylinder, as long as it is wide, since the mantle of such a cylinder has the area $π d^2$,
# from which $d$ follows. The tables are written as Python literals, in which a label can be any text
# and cannot be anything but text.

# %%
SCRIPT_OPENS = '''"""A model of {n} cells for NEURON. {sign}; needs nothing of it.

    python run.py 1000 V.csv         # simulates 1000 ms, and writes the potentials (mV) every 0.05 ms
    python run.py 1000 V.csv 0.025   # with a fixed step of 0.025 ms; without it, steps are chosen by CVODE

Compiles the mechanisms in mod/ when it is first run, which needs a C++ compiler. Positive currents depolarize.
"""

import csv
import math
import shutil
import subprocess
import sys
from pathlib import Path

# Areas in cm2, cm in uF/cm2, gbar in S/cm2 (of a permeability 10^3 cm/s), V in mV at the start; pools in uM, nA, cm2 and ms, cai in mM.
CELLS = {cells}

# Mechanism, the cell that it reads, the cell where it stands, numbers (uS, mV), whether it reads calcium.
CONNECTIONS = {connections}

# Mechanism, cell, numbers (nA).
INPUTS = {inputs}

# Times (ms) at which an input may jump.
JUMPS = {jumps}
'''

# %% [markdown]
# NEURON loads mechanisms from a library, which its tool `nrnivmodl` compiles from the files. That is
# done when there is none, or when a file is younger than it. When Python is started in the folder
# itself, NEURON finds the library there by itself, and loading it again would end the program; so the
# script first asks whether the first channel is known.

# %%
SCRIPT_COMPILES = '''
FOLDER = Path(__file__).resolve().parent


def compile_mechanisms():
    """Compile the mechanisms, unless there is a library that is younger than all of them."""
    sources = [x.stat().st_mtime for x in FOLDER.glob("mod/*.mod")]
    made = [x.stat().st_mtime for pattern in ("*/*nrnmech*", "*/.libs/*nrnmech*", "nrnmech*") for x in FOLDER.glob(pattern)]
    if made and max(made) >= max(sources):
        return
    tool = shutil.which("nrnivmodl", path=str(Path(sys.executable).parent)) or shutil.which("nrnivmodl")
    if tool is None:
        sys.exit("nrnivmodl is missing; it comes with NEURON. Install it: pip install neuron.")
    done = subprocess.run([tool, "mod"], cwd=FOLDER, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"nrnivmodl failed in {FOLDER}:\\n{done.stdout}{done.stderr}")


compile_mechanisms()
from neuron import h, load_mechanisms  # after the library is there, which it finds in the folder where Python was started


def known(name):
    """Whether NEURON knows a mechanism."""
    try:
        h.Section(name="any").insert(name)
    except ValueError:
        return False
    return True


if not known(next(iter(CELLS[0]["channels"]))):
    load_mechanisms(str(FOLDER))
'''

# %% [markdown]
# Then it builds the cells, puts the point processes on them, and ties the pointers. `L` and `diam`
# are in µm, of which a centimetre has $10^4$. All sections have one segment: without a cable inside,
# the potential of a cell is one number, as in our equations, and `cell(0.5)` is that segment. NEURON
# lets go of a point process that no Python variable holds, which would take the synapse out of the
# model; the list `points` keeps them.

# %%
SCRIPT_BUILDS = '''

def set_all(x, numbers):
    """Set numbers of a mechanism by their names."""
    for name, value in numbers.items():
        setattr(x, name, value)


def cell_of(number, row):
    """A cell as one cylinder that is as long as it is wide, with the area of the cell."""
    cell = h.Section(name=f"cell_{number}")
    cell.L = cell.diam = math.sqrt(row["area"] * 1e8 / math.pi)  # um
    cell.cm = row["cm"]
    for name, numbers in (row["channels"] | ({"pool": row["pool"]} if "pool" in row else {})).items():
        cell.insert(name)
        set_all(getattr(cell(0.5), name), numbers)
    return cell


def placed(cells, name, where, numbers):
    """A point process in a cell."""
    point = getattr(h, name)(cells[where](0.5))
    set_all(point, numbers)
    return point


def connected(cells, name, pre, post, numbers, calcium):
    """A point process that reads another cell."""
    point = placed(cells, name, post, numbers)
    h.setpointer(cells[pre](0.5)._ref_v, "v_pre", point)
    if calcium:
        h.setpointer(cells[pre](0.5)._ref_cai, "cai_pre", point)
    return point


labels = [row["cell"] for row in CELLS]
cells = [cell_of(number, row) for number, row in enumerate(CELLS)]
points = [connected(cells, *row) for row in CONNECTIONS] + [placed(cells, *row) for row in INPUTS]
'''

# %% [markdown]
# `finitialize(v)` would put one potential into all cells; without an argument it leaves the
# potentials that were set before. Then it runs the `INITIAL` blocks. CVODE keeps the estimated error
# of a step below the tolerance, relative and absolute, of $10^{-9}$ by default: 1 s of the circuit
# takes a second or two at that. A fixed step uses the second-order method of NEURON (`secondorder =
# 2`), the rule of Crank and Nicolson with gates staggered against the potential. That is close kin of
# our own scheme: there, too, potentials and gates take turns, half a step apart, and each gate is
# solved exactly. What differs is the potential, ours by an exponential, theirs by a rational
# function.

# %%
SCRIPT_RUNS = '''

def start():
    """Bring all cells to the start: potentials and constant calcium here, all else in the INITIAL blocks."""
    for cell, row in zip(cells, CELLS):
        cell(0.5).v = row["V"]
        if "cai" in row:
            cell(0.5).cai = row["cai"]
    h.finitialize()


def advance(stop, dt, tolerance):
    """Run from the start to a time (ms)."""
    cvode = h.CVode()
    cvode.active(dt is None)
    if dt is None:
        cvode.atol(tolerance)
        cvode.rtol(tolerance)
        start()
        for time in JUMPS:
            cvode.event(time, cvode.re_init)
        cvode.solve(stop)
        return
    h.dt, h.secondorder = dt, 2
    start()
    while h.t < stop - dt / 2:
        h.fadvance()
'''

# %% [markdown]
# What is recorded are the potentials at multiples of `every`. CVODE interpolates between its steps
# with the polynomial with which it took them, so that nothing of its accuracy is lost; a fixed step
# is recorded where it lands.

# %%
SCRIPT_RECORDS = '''

def simulate(stop, every=0.05, dt=None, tolerance=1e-9):
    """Times (ms) and the potentials (mV) of each cell, (label, number) -> list, from 0 to stop (ms), every so many ms.

    dt: ms, a fixed step, of which `every` is a multiple; without it CVODE, with a tolerance.
    """
    t, V = h.Vector(), [h.Vector() for _ in cells]
    t.record(h._ref_t, every)
    for x, cell in zip(V, cells):
        x.record(cell(0.5)._ref_v, every)
    advance(stop, dt, tolerance)
    return list(t), {label: list(x) for label, x in zip(labels, V)}


if __name__ == "__main__":
    t, V = simulate(float(sys.argv[1]), dt=float(sys.argv[3]) if len(sys.argv) > 3 else None)
    with open(sys.argv[2], "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time (ms)", *(f"{label} {n} (mV)" for label, n in labels)])
        writer.writerows(zip(t, *V.values()))
'''

# %% [markdown]
# ## All files
#
# `neuron_files` is the pure function under `to_neuron`: it gives the texts, and touches no disk. The
# tables are made first, since making them is what collects the mechanisms. A folder that is not empty
# is left alone, unless `overwrite` is set; then the files of an earlier export go, such as a channel
# that the model no longer has, which `nrnivmodl` would compile as well. Files of others, a mechanism
# of your own in `mod` say, stay.


# %%
def neuron_files(d: Described) -> dict[str, str]:
    """The files of a described model, path inside the folder -> text: `mod/NAME.mod` for each mechanism, and `run.py`.

    Raises ValueError for what NMODL cannot say, and for more than `MOST` cells and connections.
    """
    few_enough(d, MOST, "NEURON")
    mechanisms: dict[str, str] = {}
    cells, connections, inputs = (f(d, mechanisms) for f in (cell_rows, connection_rows, input_rows))
    at = sorted(set[float]().union(*(jumps(cell.I) for cell in d.cells)))
    tables = {"cells": cells, "connections": connections, "inputs": inputs, "jumps": at}
    literals = {name: pprint.pformat(x, width=140, compact=True, sort_dicts=False) for name, x in tables.items()}
    script = (
        SCRIPT_OPENS.format(n=len(cells), sign=SIGN, **literals)
        + SCRIPT_COMPILES
        + SCRIPT_BUILDS
        + SCRIPT_RUNS
        + SCRIPT_RECORDS
    )
    return {f"mod/{name}.mod": body.replace("@NAME@", name) for name, body in mechanisms.items()} | {"run.py": script}


def to_neuron(
    model: Any, folder: Any, *, state: Any = None, I_ext: Any = None, overwrite: bool = False, **scheme: Any
) -> Path:
    """Write a model for NEURON into a folder, and return the path of the script that runs it.

    model: a `Prinz2004`, a `Network` or a `Cell`. state: the start; by default that of a run of the model, of which `scheme` may give the
    solver and step. I_ext: nA, depolarizing; a number, one for each cell or population, or a function of t (ms). overwrite: write into a
    folder that has files; those of an earlier export are replaced. Raises ValueError naming what NEURON cannot say, TypeError for what is
    no model of channels, and OSError (FileExistsError for a folder that is not empty) if it cannot be written.
    """
    files = neuron_files(described(model, state, I_ext, **scheme))
    return write_folder(folder, files, overwrite) / "run.py"


# %% [markdown]
# ## What disagrees, and why
#
# With CVODE what is left is the error of both: it is below 0.003 ms in all rows, of which most is in
# the model with every operation, whose choices jump with the potential. It grows with time, as a
# shift of one spike moves all that follow. Fixed steps are another matter. At NEURON's usual 0.025 ms
# the cell of Liu et al. spikes a millisecond too early or late by the end of the second, and the
# circuit 0.4 ms. A quarter of the step divides the first error by 17 and the second by 9, as a scheme
# of second order should, or nearly so.
# The burst periods of the pacemakers are right to 0.001% with CVODE, and to 0.03% with a step of
# 0.025 ms. Of the differences with CVODE a part is ours: our own step of 0.00125 ms has an error, too.
#
# Calcium at the start and `celsius`, the two usual suspects when a model is moved to NEURON, play no
# part here: the first is in the pool's `INITIAL`, and nothing reads the second.

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-neuron-density
# The script gives AB/PD 2 the density `gbar` = 0.1 S/cm² of sodium. Derive it from the table of
# cells, and say how many µS the whole cell has.
# ```
#
# ```{solution-start} ex-neuron-density
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..prinz2004 import CONSTANTS, neuron_models
#
# per_area = neuron_models.loc["AB/PD 2", "Na"] / 1000  # S/cm²
# whole_cell = per_area * CONSTANTS.A * 1e6  # µS
# assert abs(densities(whole_cell, CONSTANTS.A) - 0.1) < 1e-12
# per_area, whole_cell

# %% [markdown]
# 100 mS/cm² are 0.1 S/cm²; on 0.628·10⁻³ cm² that is 62.8 µS.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-neuron-mechanisms
# How many mechanisms does a network of a cell of {cite:t}`Prinz2003` and one of {cite:t}`Liu1998`
# need? Predict which channels the two share.
# ```
#
# ```{solution-start} ex-neuron-mechanisms
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..models.channels import Liu1998
# from ..models.networks import Network
#
# g = {"Na": 400, "H": 0.03, "leak": 0.02}
# of_both = {name: Cell([getattr(x, c)(g[c]) for c in g]) for name, x in (("a", Prinz2003), ("b", Liu1998))}
# made = [x for x in neuron_files(described(Network(of_both))) if x.endswith(".mod")]
# assert len(made) == 5
# made

# %% [markdown]
# Only the leak: Liu's time constants are half of the others, and the H current is another one.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-neuron-own
# Write a gate that is open above −40 mV and shut below, and look at what becomes of it in NMODL. What
# would a solver with an error estimate do at −40 mV?
# ```
#
# ```{solution-start} ex-neuron-own
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# import jax.numpy as jnp
#
# from ..prinz2004 import Channel, Gate
#
# switch = Channel("switch", -80, 1, Gate(lambda V: jnp.where(V > -40, 1.0, 0.0), lambda V: 5.0 + 0 * V))
# switched = neuron_files(described(Cell([switch(1), Prinz2003.leak(0.02)])))["mod/ch_switch.mod"]
# assert "choose(v > " in switched
# print(switched[switched.index("PROCEDURE") :])

# %% [markdown]
# The steady state jumps when $V$ passes −40 mV, at a time that nobody knows beforehand, so that no
# event can be set there. CVODE finds that its estimate of the error is too large, and repeats the
# step with shorter ones until the jump is enclosed. Each passage costs a handful of tiny steps.
# ```{solution-end}
# ```
