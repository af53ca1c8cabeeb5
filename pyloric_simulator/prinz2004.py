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
# from _notebook import __spec__

# %% [markdown]
# # The pyloric circuit of Prinz, Bucher and Marder (2004)
#
# The pyloric circuit of the crustacean stomatogastric ganglion produces a rhythm of three phases: the
# pacemaker (one AB and two PD cells) bursts, then LP, then PY, and again. {cite:t}`Prinz2004` built
# it from single-compartment cells of {cite:t}`Prinz2003` with eight membrane currents each, joined by
# graded inhibitory synapses, and showed that very different conductances give the same rhythm. This
# chapter is that model, complete: the text states an equation, the code below it computes it, and the
# same code runs every simulation of the package. It is written in [JAX](https://docs.jax.dev), so
# that any function here can be compiled, vectorized and differentiated.
#
# Here is the circuit of Fig. 3e of the paper. Its cells start thermalized, each in its own rhythm, and
# find the common one within a second or two.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"]
# import numpy as np
#
# from .prinz2004 import Prinz2004, neuron_models
#
# paper = Prinz2004(
#     pop_sizes={"AB/PD": 1, "LP": 1, "PY": 1},
#     gs={("AB", "LP"): 30, ("PD", "LP"): 30, ("AB", "PY"): 10, ("PD", "PY"): 3,
#         ("LP", "AB/PD"): 30, ("LP", "PY"): 1, ("PY", "LP"): 30},
#     g_ion=neuron_models.loc[["AB/PD 2", "LP 4", "PY 1"]],
# )
# rhythm = paper(np.arange(2000, 5000, 0.5))
# rhythm.plot()

# %%
from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from . import checks, circuits
from .adaptive import adaptively as adaptively
from .adaptive import run_adaptively as run_adaptively
from .config import SETTINGS_STORE, load_settings, store_folder
from .inputs import Samples, current, pure_current, run_is_sound
from .junctions import (
    FEW,
    Coupling,
    contracted,
    coupling,
    electrical_current,
    kinetic_conductances,
    kinetic_input,
    kinetic_rate,
    kinetic_step,
    per_cell,
    starts,
)
from .kinetics import at, targets, together
from .labelled import Labelled, Vectors
from .portable import Portable
from .precision import precision as precision
from .results import SimResult as SimResult
from .results import dims as dims
from .results import run_of
from .schedule import Grid, Slots, fields_of, grid_of, in_part, recorded
from .store import ThermalizationStore

# %% [markdown]
# ## Notation and units
#
# Inside the model there is one set of units: mV, ms, nA, µS, nF and µM. They are consistent, since µS
# · mV = nA and nA · ms / nF = mV, so no equation below carries a factor. Membrane conductances come
# as densities in mS/cm² and synaptic conductances in nS, the units in which the papers print them;
# they are converted once, in the function `prepare`, and nowhere else. Arrays are indexed as follows.
#
# cell
# : one compartment. Cells of one *population* share their maximal conductances.
#
# channel
# : one membrane current, in the order of the list of channels.
#
# synapse
# : one (presynaptic terminal, postsynaptic population) pair, in the order in which the user gave
#   them.
#
# transmitter
# : glutamate or acetylcholine.
#
# A positive external current $I_\mathrm{ext}$ **depolarizes**. (The Methods of {cite:t}`Prinz2004`
# and some codes write the input with the opposite sign.)

# %%
CM2_MS_TO_US = 1e3  # mS/cm² × cm² = mS, and 1 mS = 10³ µS
NS_TO_US = 1e-3  # 1 nS = 10⁻³ µS
MS_PER_S = 1e3  # rates are shown per second

# %% [markdown]
# ## Parameters
#
# ### Constants
#
# The membrane of area $A$ has 1 µF/cm². The factor $f$ turns the *total* calcium current in nA, not a
# current density, into a concentration {cite:p}`Prinz2003`. The Nernst slope $γ = RT/2F$ is 12.2 mV;
# 283 K gives 12.19.


# %%
class Constants(NamedTuple):
    """What all cells share (P03 p. 4000; synapses: P04 p. 1351). Immutable; `._replace` makes a variant."""

    A: float = 0.628e-3  # cm², membrane area
    C: float = 0.628  # nF, membrane capacitance
    γ: float = 12.2  # mV, RT/2F at about 10 °C
    Ca_out: float = 3000.0  # µM, extracellular calcium
    Ca_rest: float = 0.05  # µM, intracellular calcium without calcium current
    Ca_min: float = 5e-8  # µM, calcium is kept above this; E_Ca is 303 mV there
    f: float = 14.96  # µM/nA, calcium that a total current of 1 nA brings
    τ_Ca: float = 200.0  # ms, calcium buffering
    V_th: float = -35.0  # mV, half-activation of a synapse
    Δ: float = 5.0  # mV, slope of a synapse's activation
    V_cold: float = -50.0  # mV, membrane potential of the cold start
    τ_min: float = 1e-3  # ms, time constants are not resolved below this (see "Departures")


CONSTANTS = Constants()

# %% [markdown]
# ### Activation curves and time constants
#
# With the sigmoid $B(a, k) = 1/(1 + e^{(V+a)/k})$, all steady states $x_∞(V)$ and time constants
# $τ_x(V)$ of the model, the synapses' included, have the form
#
# $$
# f(V) = \left(c_0 + \frac{c_1}{e^{(V+a_1)/k_1} + e^{(V+a_2)/k_2}}\right)\left(κ + \frac{λ}{1 + e^{(V+a_3)/k_3}}\right).
# $$ (eq-curve)
#
# $B$ is the case $k_2 = ∞$. A `Curve` is such a function: it can be called, and be added to or
# multiplied by numbers, so that the table of channels below reads as in the paper.


# %%
@dataclass(frozen=True)
class Curve:
    """A function of V in mV, {eq}`eq-curve`; build it from `B` and `bell` by adding and multiplying numbers."""

    c0: float = 0.0  # unit of the value
    c1: float = 1.0  # unit of the value
    a1: float = 0.0  # mV
    k1: float = np.inf  # mV
    a2: float = 0.0  # mV
    k2: float = np.inf  # mV
    κ: float = 1.0  # dimensionless
    λ: float = 0.0  # dimensionless
    a3: float = 0.0  # mV
    k3: float = np.inf  # mV

    def __call__(self, V: Array) -> Array:
        core = 1 / (jnp.exp((V + self.a1) / self.k1) + jnp.exp((V + self.a2) / self.k2))
        return (self.c0 + self.c1 * core) * (self.κ + self.λ / (1 + jnp.exp((V + self.a3) / self.k3)))

    def __add__(self, c: float) -> Curve:
        checks.plain_number(c)
        checks.curve_has_no_factor(self)
        return replace(self, c0=self.c0 + c)

    def __mul__(self, c: float | Curve) -> Curve:
        if isinstance(c, Curve):  # the second factor c0 + c1 B(a, k) takes the place of κ + λ B(a₃, k₃)
            checks.curve_has_no_factor(self)
            checks.curve_is_sigmoid(c)
            return replace(self, κ=c.c0, λ=c.c1, a3=c.a1, k3=c.k1)
        checks.plain_number(c)
        return replace(self, c0=self.c0 * c, c1=self.c1 * c)

    def __rsub__(self, c: float) -> Curve:
        return self * -1 + c

    __radd__, __rmul__ = __add__, __mul__


def bell(a1: float, k1: float, a2: float, k2: float) -> Curve:
    """1 / (e^((V+a1)/k1) + e^((V+a2)/k2)), mV."""
    return Curve(a1=a1, k1=k1, a2=a2, k2=k2)


def B(a: float, k: float) -> Curve:
    """The sigmoid 1 / (1 + e^((V+a)/k)), mV."""
    return Curve(a1=a, k1=k)


# %% [markdown]
# ### Channels
#
# A channel passes the current $I_i = \bar g_i A\, m^p h^q (V - E_i)$; $q$ is 0 where it does not
# inactivate. A gate is a steady state and a time constant. Only the potassium current $I_{KCa}$ reads
# the calcium concentration: its $m_∞$ is multiplied by $[Ca]/([Ca] + K)$. All of these kinetics but
# those of $I_H$ go back to {cite:t}`Liu1998`, whose time constants are half of the ones here; $I_H$
# has the curves of {cite:t}`HuguenardMcCormick1992`, with twice their time constant. Any function of
# $V$ may stand in place of a `Curve`.


# %%
class Gate(NamedTuple):
    """First-order kinetics of one gate: τ(V) dx/dt = x∞(V, Ca) − x."""

    inf: Callable[..., Any]  # steady state x∞(V), V in mV; or x∞(V, Ca), Ca in µM
    tau: Callable[..., Any]  # time constant τ(V), ms; or τ(V, Ca)
    K: float = 0.0  # µM, x∞ is multiplied by Ca/(Ca + K)


@dataclass(frozen=True)  # a tuple would equal that of another law with the same numbers
class Nernst:
    """The Nernst potential of an ion as a reversal potential; without concentrations that of the cell's calcium."""

    z: int = 2  # charge of the ion
    outside: float | None = None  # µM; None is the cell's calcium
    inside: float | None = None  # µM; None is the cell's calcium

    def potential(self, c: Constants, Ca: Array) -> Array:
        """mV, at the calcium concentration Ca (µM)."""
        outside = c.Ca_out if self.outside is None else self.outside
        return c.γ * 2 / self.z * jnp.log(outside / (Ca if self.inside is None else self.inside))

    def linear(self, c: Constants, γ: Array, V: Array, Ca: Array) -> tuple[Array, Array]:  # noqa: ARG002
        """G (µS) and J (nA) such that the current through γ (µS) is G V − J."""
        return γ, γ * self.potential(c, Ca)


class Channel(NamedTuple):
    """One membrane current, I = ḡ A m^p h^q (V − E); called with a density it is ready for a cell: `Na(100)`."""

    name: str  # also the name of its column in `neuron_models`
    E: Any  # mV, reversal potential, or how it follows from concentrations; None is that of calcium, which then enters
    p: int = 0  # exponent of m; 0 for a channel without gates
    m: Gate | None = None  # activation
    h: Gate | None = None  # inactivation
    q: int = 1  # exponent of h
    ion: str | None = None  # "Ca": the current changes the calcium concentration
    q10: Any = None  # growth with 10 °C, where its own is known
    source: str = ""  # where its usual densities are from

    def __call__(self, density: float | None = None, *, uS: float | None = None) -> Placed:
        """The channel with a maximal density (mS/cm²; cm/s for GHK), or with the conductance of the whole cell in µS."""
        return Placed(self, *checks.one_of_two(self.name, density, uS, hasattr(self.E, "permeates")))


class Placed(NamedTuple):
    """A channel and how much there is of it: the density or the conductance."""

    channel: Channel
    density: float | None  # mS/cm², cm/s for GHK
    uS: float | None  # µS


CHANNELS = (
    Channel("Na", 50, 3, Gate(B(25.5, -5.29), 2.64 - 2.52 * B(120, -25)),
            Gate(B(48.9, 5.18), 1.34 * B(62.9, -10) * (1.5 + B(34.9, 3.6)))),
    Channel("CaT", Nernst(), 3, Gate(B(27.1, -7.2), 43.4 - 42.6 * B(68.1, -20.5)),
            Gate(B(32.1, 5.5), 210 - 179.6 * B(55, -16.9)), ion="Ca"),
    Channel("CaS", Nernst(), 3, Gate(B(33, -8.1), 2.8 + 14 * bell(27, 10, 70, -13)),
            Gate(B(60, 6.2), 120 + 300 * bell(55, 9, 65, -16)), ion="Ca"),
    Channel("A", -80, 3, Gate(B(27.2, -8.7), 23.2 - 20.8 * B(32.9, -15.2)),
            Gate(B(56.9, 4.9), 77.2 - 58.4 * B(38.9, -26.5))),
    Channel("KCa", -80, 4, Gate(B(28.3, -12.6), 180.6 - 150.2 * B(46, -22.7), K=3)),
    Channel("Kd", -80, 4, Gate(B(12.3, -11.8), 14.4 - 12.8 * B(28.3, -19.2))),
    Channel("H", -20, 1, Gate(B(75, 5.5), 2 * bell(169.7, -11.6, -26.7, 14.3))),
    Channel("leak", -50),
)  # fmt: skip

# %% tags=["active-ipynb", "remove-input"]
# from .book import kinetics_table
#
# kinetics_table(CHANNELS, "Kinetics of the channels, rendered from `CHANNELS` (P03, Table 1); V in mV.", "tbl-channels")

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Steady states and time constants of all gates.", "name": "fig-curves"}}
# from .book import activation_curves
#
# activation_curves(CHANNELS)

# %% [markdown]
# ### The sixteen cells
#
# Table 2 of {cite:t}`Prinz2004`: five pacemaker cells, five LP and six PY, in mS/cm². AB/PD 5 has 2.5
# mS/cm² of CaT: independent transcriptions of the table agree on it, and its published period fits
# 2.5, not the 5.0 of one public code. `neuron_models` is an ordinary DataFrame; a row added to it is
# a new cell.

# %%
neuron_models = pd.DataFrame.from_dict(
    {   #          Na  CaT  CaS   A KCa   Kd     H  leak
        "AB/PD 1": [400, 2.5, 6, 50, 10, 100, 0.01, 0],
        "AB/PD 2": [100, 2.5, 6, 50, 5, 100, 0.01, 0],
        "AB/PD 3": [200, 2.5, 4, 50, 5, 50, 0.01, 0],
        "AB/PD 4": [200, 5.0, 4, 40, 5, 125, 0.01, 0],
        "AB/PD 5": [300, 2.5, 2, 10, 5, 125, 0.01, 0],
        "LP 1": [100, 0, 8, 40, 5, 75, 0.05, 0.02],
        "LP 2": [100, 0, 6, 30, 5, 50, 0.05, 0.02],
        "LP 3": [100, 0, 10, 50, 5, 100, 0, 0.03],
        "LP 4": [100, 0, 4, 20, 0, 25, 0.05, 0.03],
        "LP 5": [100, 0, 6, 30, 0, 50, 0.03, 0.02],
        "PY 1": [100, 2.5, 2, 50, 0, 125, 0.05, 0.01],
        "PY 2": [200, 7.5, 0, 50, 0, 75, 0.05, 0],
        "PY 3": [200, 10, 0, 50, 0, 100, 0.03, 0],
        "PY 4": [400, 2.5, 2, 50, 0, 75, 0.05, 0],
        "PY 5": [500, 2.5, 2, 40, 0, 125, 0.01, 0.03],
        "PY 6": [500, 2.5, 2, 40, 0, 125, 0, 0.02],
    }, orient="index", columns=pd.Index([c.name for c in CHANNELS], name="channel"), dtype=float,
).rename_axis("cell")  # fmt: skip

# %% tags=["active-ipynb", "remove-input"]
# from .book import list_table
#
# list_table("The sixteen cells, maximal conductances in mS/cm² (P04, Table 2).", "tbl-cells", ["cell", *neuron_models],
#            [(name, *(f"{x:g}" for x in g)) for name, g in neuron_models.iterrows()])

# %% [markdown]
# ### Synapses
#
# A graded synapse passes $I_s = g_s\, s\, (V_\mathrm{post} - E_s)$, and its activation follows the
# presynaptic potential {cite:p}`MarderAbbott1998`:
#
# $$
# \frac{ds}{dt} = \frac{s_∞ - s}{τ_s}, \qquad
# s_∞ = \frac{1}{1 + e^{(V_\mathrm{th} - V_\mathrm{pre})/Δ}}, \qquad
# τ_s = \frac{1 - s_∞}{k_-}.
# $$ (eq-synapse)
#
# Since $1 - B(a, k) = B(a, -k)$, this is a gate like the others: $s_∞ = B(-V_\mathrm{th}, -Δ)$ and
# $τ_s = B(-V_\mathrm{th}, Δ)/k_-$. Glutamate, from AB, LP and PY, inhibits quickly and toward −70 mV;
# acetylcholine, from PD, slowly and toward −80 mV. $g_s$ is the conductance itself, in nS, not a
# density.


# %%
class Transmitter(NamedTuple):
    """What a presynaptic terminal releases (P04 p. 1351)."""

    name: str
    E: float  # mV, reversal potential
    k: float  # 1/ms, unbinding rate k₋

    def gate(self, constants: Constants) -> Gate:
        """Activation s as a gate of the presynaptic potential, {eq}`eq-synapse`."""
        return Gate(B(-constants.V_th, -constants.Δ), 1 / self.k * B(-constants.V_th, constants.Δ))


GLUTAMATE = Transmitter("glutamate", -70, 1 / 40)
ACETYLCHOLINE = Transmitter("acetylcholine", -80, 1 / 100)
TRANSMITTERS = (GLUTAMATE, ACETYLCHOLINE)


class CellType(NamedTuple):
    """What a population's label stands for."""

    models: str  # first word of its cells in `neuron_models`
    terminals: tuple[tuple[str, Transmitter], ...]  # name and transmitter of each terminal


CELL_TYPES = {
    "AB": CellType("AB/PD", (("AB", GLUTAMATE),)),
    "PD": CellType("AB/PD", (("PD", ACETYLCHOLINE),)),
    "AB/PD": CellType("AB/PD", (("AB", GLUTAMATE), ("PD", ACETYLCHOLINE))),
    "LP": CellType("LP", (("LP", GLUTAMATE),)),
    "PY": CellType("PY", (("PY", GLUTAMATE),)),
}
PACEMAKERS = ("AB", "PD", "AB/PD")  # the types that electrical synapses couple

# %% [markdown]
# {cite:t}`Prinz2004` lump the AB cell and the two PD cells into one AB/PD cell that releases both
# transmitters, because gap junctions hold them together. Where a circuit keeps AB and PD apart, each
# pair $i, j$ of pacemaker cells exchanges $I_e = g_e (V_i - V_j)$. The paper gives no $g_e$. The
# default is chosen in the section [on departures](sec-departures), where its effect is shown.

# %%
DEFAULT_GE = 10.0  # nS, between any two cells of the pacemaker group

# %% [markdown]
# ### The circuit
#
# Topology is data: populations, and one synapse for each pair of presynaptic terminal and
# postsynaptic population. A synapse means that *every* cell of the presynaptic population inhibits
# *every* cell of the postsynaptic one with $g_s$ (and never itself). Cells of one population that
# start alike and are driven alike stay alike; such a population is integrated once and counted
# `copies` times.


# %%
class Membrane(NamedTuple):
    """What the cells of one kind have in common: their channels and constants. What differs are their conductances."""

    channels: tuple[Channel, ...] = CHANNELS
    constants: Constants = CONSTANTS
    pool: bool = True  # whether the calcium concentration changes
    temperature: float = 10.0  # °C, at which all this holds
    pump: float | None = None  # Q10 of the rate of the calcium pump, where it is known


class Population(NamedTuple):
    """Cells with the same conductances and terminals."""

    label: str
    type: str  # key of CELL_TYPES
    size: int  # number of cells that are integrated
    copies: int = 1  # number of identical cells that each of them stands for
    membrane: int = 0  # index into `Circuit.membranes`


class Connection(NamedTuple):
    """All synapses from one terminal of a population to a population."""

    terminal: str  # label of the presynaptic terminal
    pre: int  # presynaptic population
    transmitter: int  # index into `Circuit.transmitters`
    post: int  # postsynaptic population


class Circuit(NamedTuple):
    """All that is fixed when a simulation is compiled. Hashable, unless numbers of it are differentiated."""

    populations: tuple[Population, ...]
    synapses: tuple[Connection, ...]  # graded ones
    membranes: tuple[Membrane, ...] = (Membrane(),)
    transmitters: tuple[Any, ...] = TRANSMITTERS  # kinds of graded synapses
    junctions: tuple[tuple[int, int], ...] = ()  # populations that gap junctions join, each cell to each
    kinetic: tuple[tuple[int, int, int], ...] = ()  # synapses with an equation of their own: pre, post, index into `kinds`
    kinds: tuple[Any, ...] = ()  # their kinds

    @property
    def rows(self) -> np.ndarray:
        """Population of each integrated cell, shape (cell,)."""
        return np.repeat(np.arange(len(self.populations)), [p.size for p in self.populations])

    @property
    def pacemakers(self) -> np.ndarray:
        """Which cells are of a type that paces the rhythm, shape (cell,)."""
        return np.array([self.populations[i].type in PACEMAKERS for i in self.rows])

    @property
    def groups(self) -> list[np.ndarray]:
        """Numbers of the cells of each membrane, (cell,) each."""
        of = np.array([p.membrane for p in self.populations], int)[self.rows]
        return [np.flatnonzero(of == i) for i in range(len(self.membranes))]

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Those of the only membrane."""
        return self.only.channels

    @property
    def constants(self) -> Constants:
        """Those of the only membrane."""
        return self.only.constants

    @property
    def only(self) -> Membrane:
        """The membrane that all cells have. Raises ValueError if there are several."""
        (membrane,) = self.membranes
        return membrane

    def with_membrane(self, **changes: Any) -> Circuit:
        """The circuit with other channels or constants of its only membrane."""
        return self._replace(membranes=(self.only._replace(**changes),))

    def alike(self) -> Circuit:
        """The same circuit, with one integrated cell for each population."""
        return self._replace(
            populations=tuple(p._replace(size=1, copies=p.size * p.copies) for p in self.populations)
        )


@partial(jax.tree_util.register_dataclass, data_fields=["g", "gs", "ge", "gz"], meta_fields=["circuit"])
@dataclass(frozen=True)
class Params:
    """The numbers of a circuit, a pytree; the circuit itself is static and travels along."""

    g: Any  # (population, channel of its membrane) mS/cm², maximal conductance densities; filled up with 0
    gs: Any  # (synapse,) nS
    ge: Any  # () nS, between any two coupled cells; or (gap junction,)
    circuit: Circuit
    gz: Any = ()  # (kinetic synapse,) nS

    def replace(self, **changes: Any) -> Params:
        """A copy with some fields changed, e.g. `params.replace(gs=2 * params.gs)`, after a check of their shapes."""
        return replace(self, **circuits.replaced(self, changes))


class Prepared(NamedTuple):
    """Conductances in µS, as the equations want them. Behind the last axis there may be another one, of circuits side by side."""

    g: tuple[Array, ...]  # for each membrane (channel, cell)
    w: Array  # (post, pre, transmitter) of the graded synapses, cell by cell, or of many cells by populations; of circuits side by side (synapse, circuit)
    gap: Coupling | None  # gap junctions, if there are some
    gz: Any  # (slot, cell) of the kinetic synapses onto each cell


def densities_in_µS(circuit: Circuit, g: Array) -> tuple[Array, ...]:
    """For each membrane (channel, cell) µS, from g (population, channel) mS/cm²."""
    of_cells = zip(circuit.membranes, circuit.groups, strict=True)
    return tuple(
        jnp.swapaxes(g[circuit.rows[cells]][:, : len(m.channels)], 0, 1) * (m.constants.A * CM2_MS_TO_US)
        for m, cells in of_cells
    )


def prepare(params: Params, dtype: Any, dt: float, held: tuple[int, ...] = ()) -> Prepared:
    """Convert all conductances to µS, the only place where units change, and solve the gap junctions for half a step dt (ms).

    held: numbers of cells whose potential is imposed.
    """
    circuits.params_fit(params, Params)
    return converted(params, dtype, dt, held)


def converted(params: Params, dtype: Any, dt: float, held: tuple[int, ...] = ()) -> Prepared:
    """The same without a check; each number may have another axis behind it, of circuits side by side."""
    c, (g, gs, ge, gz) = params.circuit, (jnp.asarray(x, dtype) for x in (params.g, params.gs, params.ge, params.gz))
    gap = None
    if c.junctions:
        ge = jnp.broadcast_to(ge, (len(c.junctions), *ge.shape[1:]))
        gap = coupling(c, ge * NS_TO_US, jnp.asarray(capacitances(c), dtype), dt / 2, held)
    return Prepared(densities_in_µS(c, g), weights(c, gs * NS_TO_US), gap, kinetic_conductances(c, gz * NS_TO_US))


def weights(circuit: Circuit, gs: Array) -> Array:
    """`Prepared.w` from the conductances (synapse,) µS."""
    if gs.ndim > 1:
        return gs
    n, rows = len(circuit.populations), circuit.rows
    to = tuple(np.array([getattr(s, x) for s in circuit.synapses], int) for x in ("post", "pre", "transmitter"))
    w = jnp.zeros((n, n, len(circuit.transmitters)), gs.dtype).at[to].add(gs)
    if len(rows) > FEW and len(rows) > n:
        return w
    copies = np.array([p.copies for p in circuit.populations], gs.dtype)
    other = 1 - np.eye(len(rows), dtype=gs.dtype)  # no cell inhibits itself, but its copies do
    itself = np.diag(copies[rows] - 1)
    return w[rows][:, rows] * (copies[rows][None] * other + itself)[..., None]


def capacitances(circuit: Circuit) -> Any:
    """Capacitance of each cell, (cell,) nF."""
    C = [jnp.asarray(m.constants.C) for m in circuit.membranes]
    return jnp.stack(jnp.broadcast_arrays(*(C[p.membrane] for p in circuit.populations)))[circuit.rows]


# %% [markdown]
# ## State
#
# Every cell has its potential, its calcium, its gates, and the activation of the synapses it makes,
# one for each transmitter. (A cell that releases only one of them ignores the other.) The cold start
# of {cite:t}`Prinz2003` (p. 4001) closes all $m$ and opens all $h$.


# %%
class State(NamedTuple):
    """State of all integrated cells; with a leading time axis, a trajectory. Cells with fewer gates than others have 0 in their places."""

    V: Any  # (cell,) mV, membrane potential
    Ca: Any  # (cell,) µM, intracellular calcium
    s: Any  # (cell, transmitter) activation of the synapses that the cell makes, 0…1
    m: Any  # (cell, activating channel) 0…1
    h: Any  # (cell, inactivating channel) 0…1


class KineticState(NamedTuple):
    """The state of a circuit with synapses that have an equation of their own."""

    V: Any  # (cell,) mV
    Ca: Any  # (cell,) µM
    s: Any  # (cell, transmitter) 0…1
    m: Any  # (cell, activating channel) 0…1
    h: Any  # (cell, inactivating channel) 0…1
    z: Any  # (cell, kinetic synapse onto the cell) activation


def state_of(circuit: Circuit, V: Any, Ca: Any, s: Any, m: Any, h: Any, z: Any = None) -> Any:
    """A state with the fields that the circuit has."""
    return KineticState(V, Ca, s, m, h, z) if circuit.kinetic else State(V, Ca, s, m, h)


def activating(membrane: Membrane | Circuit) -> list[Channel]:
    """Channels with an m gate, in the order of `State.m`."""
    return [c for c in membrane.channels if c.m]


def inactivating(membrane: Membrane | Circuit) -> list[Channel]:
    """Channels with an h gate, in the order of `State.h`."""
    return [c for c in membrane.channels if c.h]


def cold_start(circuit: Circuit) -> State:
    """P03 p. 4001: V = −50 mV, Ca = 0.05 µM, m = 0, h = 1; s = 0."""
    of = [circuit.membranes[circuit.populations[i].membrane] for i in circuit.rows]
    V, Ca = (np.array([getattr(m.constants, x) for m in of], float) for x in ("V_cold", "Ca_rest"))
    n_m, n_h = (max(len(gates(m)) for m in circuit.membranes) for gates in (activating, inactivating))
    h = np.array([[i < len(inactivating(m)) for i in range(n_h)] for m in of], float).reshape(len(of), n_h)
    return state_of(circuit, V, Ca, np.zeros((len(of), len(circuit.transmitters))), np.zeros((len(of), n_m)), h, starts(circuit))


class Working(NamedTuple):
    """The state as the equations use it: names first, then cells; a last axis may hold circuits side by side."""

    V: Array  # (cell,) mV
    Ca: Array  # (cell,) µM
    s: Array  # (transmitter, cell)
    x: tuple[Array, ...]  # for each membrane (gate, cell), the m of all activating channels, then the h of all inactivating ones
    z: Any  # (slot, cell) of the kinetic synapses onto each cell


def split(circuit: Circuit, x: Any, axis: int = 0) -> list[Any]:
    """The part of x that belongs to the cells of each membrane."""
    if len(circuit.membranes) == 1:
        return [x]
    if isinstance(x, tuple):  # an array (cell, …) for each name
        return [tuple(parts) for parts in zip(*(split(circuit, a, axis - 1) for a in x), strict=True)]
    return [jnp.take(x, cells, axis) for cells in circuit.groups]


def join(circuit: Circuit, parts: Sequence[Any], axis: int = 0) -> Any:
    """The inverse of `split`."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        return tuple(join(circuit, some, axis - 1) for some in zip(*parts, strict=True))
    return jnp.take(jnp.concatenate(parts, axis), np.argsort(np.concatenate(circuit.groups)), axis)


def pack(circuit: Circuit, y: State) -> Working:
    """A state with names first, and m and h of each membrane side by side."""
    n = [(len(activating(m)), len(inactivating(m))) for m in circuit.membranes]
    of = zip(split(circuit, y.m), split(circuit, y.h), n, strict=True)
    x = tuple(jnp.swapaxes(jnp.concatenate([m[:, :i], h[:, :j]], 1), 0, 1) for m, h, (i, j) in of)
    return Working(y.V, y.Ca, jnp.swapaxes(y.s, 0, 1), x, jnp.swapaxes(y.z, 0, 1) if circuit.kinetic else None)


def unpack(circuit: Circuit, y: Working) -> State:
    """The inverse of `pack`."""
    counts = [len(activating(m)) for m in circuit.membranes]
    cells_first = lambda x: jnp.swapaxes(x, 0, 1)  # noqa: E731
    parts = [[x[:n] for x, n in zip(y.x, counts, strict=True)], [x[n:] for x, n in zip(y.x, counts, strict=True)]]
    m, h = (cells_first(join(circuit, filled_up(part), 1)) for part in parts)
    return state_of(circuit, y.V, y.Ca, cells_first(y.s), m, h, cells_first(y.z) if circuit.kinetic else None)


def filled_up(parts: Sequence[Array]) -> list[Array]:
    """Arrays (gate, cell, …) with as many gates as the longest of them has."""
    longest = max(map(len, parts))
    return [jnp.pad(x, ((0, longest - len(x)), *[(0, 0)] * (x.ndim - 1))) for x in parts]


# %% [markdown]
# ## Right-hand side
#
# ### Gates
#
# $$
# τ_x(V) \frac{dx}{dt} = x_∞(V, [Ca]) - x, \qquad x = m, h, s.
# $$ (eq-gate)
#
# The obvious way to evaluate all $x_∞$ and $τ_x$ calls one function after the other:


# %%
def steady_and_tau_plain(gates: Sequence[Gate], V: Array, Ca: Array) -> tuple[Array, Array]:
    """x∞ and τ (ms) of the gates at V, Ca, each of shape (gate, cell): the plain version."""
    inf = [at(gate.inf, V, Ca) * Ca / (Ca + gate.K) for gate in gates]
    return jnp.stack(inf), jnp.stack([at(gate.tau, V, Ca) for gate in gates])


# %% [markdown]
# The way the simulations use does the same with all gates side by side. The exponentials of a cell
# differ only in their $a$ and $k$, so they are taken in one sweep, $E = e^{V/k + a/k}$, from which the
# curves {eq}`eq-curve` follow by arithmetic. The thirty that a cell needs are 48 in the sweep: where
# one of the time constants has a second or a third exponential all have one, most of them $e^0 = 1$.


# %%
def gates_of(circuit: Circuit, membrane: Membrane) -> tuple[tuple[Gate, ...], tuple[Gate, ...]]:
    """The gates of all synapses that a cell may make, and those of its membrane, all m before all h."""
    released = tuple(t.gate(membrane.constants) for t in circuit.transmitters)
    return released, (*(c.m for c in activating(membrane)), *(c.h for c in inactivating(membrane)))  # type: ignore[misc]


def kinetics(circuit: Circuit, membrane: Membrane, V: Array, Ca: Array) -> Any:
    """(s∞, τ_s) and (x∞, τ_x) of the cells of a membrane, each of shape (gate, cell), τ in ms."""
    return targets(gates_of(circuit, membrane), membrane.constants.τ_min, V, Ca)


# %% [markdown]
# ### Membrane currents
#
# $$
# I_i = \bar g_i A\, m^p h\, (V - E_i), \qquad E_{Ca} = γ \ln\frac{[Ca]_\mathrm{out}}{[Ca]}.
# $$ (eq-current)


# %%
def conductances(membrane: Any, g: Any, x: Any) -> list[Array]:
    """ḡ A m^p h^q of each channel in µS, from ḡ A of each channel and the values of each gate, (cell,) or any other shape."""
    gates = iter(x)
    m = {c.name: next(gates) for c in activating(membrane)}
    h = {c.name: next(gates) for c in inactivating(membrane)}
    power = lambda x, n: x if n == 1 else x**n  # noqa: E731
    return [
        g[i] * (m[c.name] ** c.p if c.m else 1) * (power(h[c.name], c.q) if c.h else 1)
        for i, c in enumerate(membrane.channels)
    ]


def linear(channel: Channel, c: Constants, γ: Array, V: Array, Ca: Array) -> tuple[Array, Array]:
    """G (µS) and J (nA), such that the current through γ (µS) of a channel near V is G V − J."""
    return channel.E.linear(c, γ, V, Ca) if hasattr(channel.E, "linear") else (γ, γ * channel.E)


def ionic(membrane: Membrane, g: Array, V: Array, Ca: Array, x: Array, G: Array, J: Array) -> tuple[Array, Array]:
    """G (µS) and J (nA), (cell,), with the membrane currents added."""
    for channel, γ in zip(membrane.channels, conductances(membrane, g, x), strict=True):
        G_i, J_i = linear(channel, membrane.constants, γ, V, Ca)
        G, J = G + G_i, J + J_i
    return G, J


# %% [markdown]
# ### Synaptic input
#
# Written as a conductance and a driving current, $\sum I_s = G_s V - J_s$ with $G_s = \sum g_s s$ and
# $J_s = \sum g_s s E_s$. The sum runs over populations first, so that it costs as much for a thousand
# PY cells as for one.


# %%
def per_population(circuit: Circuit, x: Array) -> Array:
    """Sum x (cell, …) over the cells of each population, copies counted: (population, …)."""
    copies = np.array([p.copies for p in circuit.populations], x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    if all(p.size == 1 for p in circuit.populations):
        return x * copies
    return jax.ops.segment_sum(x, circuit.rows, len(circuit.populations), indices_are_sorted=True) * copies


def synaptic_input(circuit: Circuit, w: Any, s: Any) -> tuple[Array, Array]:
    """G_s (µS) and J_s (nA), each (cell,), from the activations s (transmitter, cell)."""
    if isinstance(w, tuple):
        return side_by_side(circuit, w, s)
    E = together([t.E for t in circuit.transmitters]).astype(s.dtype)
    if len(w) == len(circuit.rows):  # cell by cell
        gs = w * s.T
        return gs.sum((1, 2)), (gs * E).sum((1, 2))
    gs = w * per_population(circuit, s.T)
    G, J = (x.sum((1, 2))[circuit.rows] for x in (gs, gs * E))
    if any(x.pre == x.post for x in circuit.synapses):  # no cell inhibits itself
        own = jnp.einsum("iit->it", w)[circuit.rows] * s.T
        G, J = G - own.sum(1), J - (own * E).sum(1)
    return G, J


def side_by_side(circuit: Circuit, gs: tuple[Array, ...], s: Sequence[Array]) -> tuple[Array, Array]:
    """The same for many circuits, one synapse after the other: gs (circuit,) of each synapse, s (cell, circuit) of each transmitter."""
    released = [per_population(circuit, x) for x in s]
    zero = jnp.zeros_like(released[0][0])
    G, J = ([zero] * len(circuit.populations) for _ in range(2))
    for x, g in zip(circuit.synapses, gs, strict=True):
        opened = g * released[x.transmitter][x.pre]
        G[x.post] = G[x.post] + opened
        J[x.post] = J[x.post] + opened * circuit.transmitters[x.transmitter].E
    G, J = (per_cell(jnp.stack(x), circuit.rows) for x in (G, J))
    for x, g in zip(circuit.synapses, gs, strict=True):
        if x.pre == x.post:  # no cell inhibits itself
            own = g * s[x.transmitter] * (circuit.rows == x.pre).astype(zero.dtype)[:, None]
            G, J = G - own, J - own * circuit.transmitters[x.transmitter].E
    return G, J


def chemical(circuit: Circuit, p: Prepared, y: Working) -> tuple[Array, Array]:
    """G (µS) and J (nA), each (cell,), of all chemical synapses."""
    none = jnp.zeros_like(y.V)
    G, J = (none, none) if isinstance(y.s, tuple) and not y.s else synaptic_input(circuit, p.w, y.s)
    if circuit.kinetic:
        G_z, J_z = kinetic_input(circuit, p.gz, y.z)
        G, J = G + G_z, J + J_z
    return G, J


# %% [markdown]
# ### Electrical synapses
#
# Gap junctions pull each of the $N$ pacemaker cells toward their mean: $\sum_j g_e (V_i - V_j) = N
# g_e (V_i - \bar V)$. The function `electrical_current` sums them for any pairs of populations, which
# are data of the circuit.

# %% [markdown]
# ### Current balance and calcium
#
# $$
# \begin{aligned}
# C \frac{dV}{dt} &= - \sum_i I_i - \sum I_s - \sum I_e + I_\mathrm{ext}, \\
# τ_{Ca} \frac{d[Ca]}{dt} &= - f\,(I_{CaT} + I_{CaS}) - [Ca] + [Ca]_\mathrm{rest}.
# \end{aligned}
# $$ (eq-balance)


# %%
def calcium_balance(membrane: Membrane, g: Array, V: Array, Ca: Array, x: Array) -> tuple[Array, Array]:
    """d[Ca]/dt, (cell,) µM/ms, and its derivative with respect to [Ca], 1/ms."""
    c = membrane.constants
    opened = zip(membrane.channels, conductances(membrane, g, x), strict=True)
    enters = [(channel, γ) for channel, γ in opened if channel.ion == "Ca"]
    g_Ca = sum(γ for channel, γ in enters if nernstian(channel)) + 0 * g[0]
    influx, slope = c.f * g_Ca * (V - Nernst().potential(c, Ca)), c.f * g_Ca * c.γ / Ca
    for channel, γ in enters:
        if not nernstian(channel):
            I, dI = jax.jvp(lambda Ca, channel=channel, γ=γ: current_of(channel, c, γ, V, Ca), (Ca,), (jnp.ones_like(Ca),))
            influx, slope = influx + c.f * I, slope + c.f * dI
    return -(influx + Ca - c.Ca_rest) / c.τ_Ca, -(slope + 1) / c.τ_Ca


def nernstian(channel: Channel) -> bool:
    """Whether the Nernst potential of the cell's own calcium drives a channel."""
    return isinstance(channel.E, Nernst) and Nernst() == channel.E


def current_of(channel: Channel, c: Constants, γ: Array, V: Array, Ca: Array) -> Array:
    """Current (nA) of a channel of which γ = ḡ A m^p h^q (µS) is open."""
    if hasattr(channel.E, "current"):
        return γ * channel.E.current(c, V, Ca)
    return γ * (V - (channel.E.potential(c, Ca) if hasattr(channel.E, "potential") else channel.E))


def project(circuit: Circuit, y: Working) -> Working:
    """The nearest state within bounds: gates in [0, 1] and calcium above its least value."""
    Ca_min = join(circuit, [jnp.full_like(Ca, m.constants.Ca_min) for m, Ca in zip(circuit.membranes, split(circuit, y.Ca), strict=True)])
    inside = lambda x: jnp.clip(x, 0, 1)  # noqa: E731
    return y._replace(Ca=jnp.maximum(y.Ca, Ca_min), s=inside(y.s), x=tuple(map(inside, y.x)))


def slopes(circuit: Circuit, p: Prepared, y: Working, I: Any) -> Working:
    """Time derivative of a state, per ms."""
    G, J = chemical(circuit, p, y)
    J = J - electrical_current(p.gap, y.V) + I
    V, Ca, s, x = [], [], [], []
    parts = [split(circuit, a) for a in (y.V, y.Ca, G, J)] + [split(circuit, y.s, 1)]
    for membrane, g, x_i, V_i, Ca_i, G_i, J_i, s_i in zip(circuit.membranes, p.g, y.x, *parts, strict=True):
        G_i, J_i = ionic(membrane, g, V_i, Ca_i, x_i, G_i, J_i)
        V.append((J_i - G_i * V_i) / membrane.constants.C)
        Ca.append(calcium_balance(membrane, g, V_i, Ca_i, x_i)[0] if membrane.pool else jnp.zeros_like(Ca_i))
        (s_inf, τ_s), (x_inf, τ_x) = kinetics(circuit, membrane, V_i, Ca_i)
        s.append((s_inf - s_i) / τ_s)
        x.append((x_inf - x_i) / τ_x)
    z = kinetic_rate(circuit, y.V, y.z) if circuit.kinetic else None
    return Working(join(circuit, V), join(circuit, Ca), join(circuit, s, 1), tuple(x), z)


def derivative(params: Params, state: State, I_ext: Any = 0.0) -> State:
    """Time derivative of the state, per ms. I_ext: () or (cell,) nA. Shapes as in `State`."""
    state, circuit = circuits.started(params, state, Params, state_of), params.circuit
    pure_current(I_ext, len(circuit.rows), None)
    p, y = prepare(params, state.V.dtype, DEFAULT_DT), project(circuit, pack(circuit, state))
    return unpack(circuit, slopes(circuit, p, y, jnp.asarray(I_ext, state.V.dtype)))


# %% [markdown]
# ## Integration
#
# With all other variables frozen, each equation above is linear and has an exact solution: an
# exponential approach to a fixed point. A **fixed-step scheme** strings such solutions together
# {cite:p}`RushLarsen1978`, so that no step can leave the range that the equations allow. For the
# potential over a time $h$, with $φ(z) = (1 - e^{-z})/z$,
#
# $$
# V \leftarrow V + \frac{h}{C}\,(J + I_\mathrm{ext} - G V)\; φ\!\left(\frac{hG}{C}\right).
# $$ (eq-flow)


# %%
def phi(z: Array) -> Array:
    """(1 − e^(−z))/z, smooth at 0."""
    small = z < 1e-4
    return jnp.where(small, 1 - z / 2 + z * z / 6, -jnp.expm1(-z) / jnp.where(small, 1, z))


def flow(V: Array, G: Array, J: Array, h: Array | float) -> Array:
    """Exact solution of dV/dt = J − G V after a time h; G in 1/ms, J in mV/ms, {eq}`eq-flow`."""
    return V + (J - G * V) * h * phi(h * G)


def covered_exactly(r: Array | float) -> Array:
    """1 − e^(−r): the share of its way to x∞ that a gate covers in a time r τ."""
    return -jnp.expm1(-r)


def flowed(V: Array, G: Array, J: Array, C: Any, h: Any) -> Array:
    """V after a time h (ms), from G (µS), J (nA) and C (nF)."""
    return flow(V, G / C, J / C, h)


def approached(
    circuit: Circuit, membrane: Membrane, V: Array, Ca: Array, s: Array, x: Array, dt: float, share: Callable[[Any], Array]
) -> tuple[Array, Array]:
    """s and x, (gate, cell), after a time dt (ms) with V and Ca frozen; share: dt/τ -> the share of the way that is covered."""
    (s_inf, τ_s), (x_inf, τ_x) = kinetics(circuit, membrane, V, Ca)
    return s + (s_inf - s) * share(dt / τ_s), x + (x_inf - x) * share(dt / τ_x)


class Arithmetic(NamedTuple):
    """How the two exact solutions are computed: for one circuit as above, for thousands side by side as a later chapter says."""

    flow: Callable[..., Array] = flowed
    gates: Callable[..., tuple[Array, Array]] = approached


ARITHMETIC = Arithmetic()


def charged(circuit: Circuit, p: Prepared, y: Working, I: Any, h: Any, by: Arithmetic = ARITHMETIC, G_more: Any = None) -> Array:
    """V (cell,) after a time h (ms) with everything else frozen, {eq}`eq-flow`; I (nA) and G_more (µS) act from outside."""
    G, J = chemical(circuit, p, y)
    G = G if G_more is None else G + G_more
    parts, V = [split(circuit, a) for a in (y.V, y.Ca, G, J)], []
    I = [I] * len(parts[0]) if I is None or len(parts[0]) == 1 else split(circuit, jnp.broadcast_to(I, y.V.shape))
    for membrane, g, x, V_i, Ca_i, G_i, J_i, I_i in zip(circuit.membranes, p.g, y.x, *parts, I, strict=True):
        G_i, J_i = ionic(membrane, g, V_i, Ca_i, x, G_i, J_i)
        V.append(by.flow(V_i, G_i, J_i if I_i is None else J_i + I_i, membrane.constants.C, h))
    return join(circuit, V)


# %% [markdown]
# A scheme wants to know four things of a model: how the potential moves while all else is frozen, how
# all else moves while the potential is frozen, the same at the end of a block of steps, and how both
# move at once from the old state. With these `Flows` a scheme is written once for all models, and what
# acts on a model from outside, an electrode say, wraps them.


# %%
class Flows(NamedTuple):
    """What a model gives to a scheme."""

    charge: Callable[[Any, Any, Any], Any]  # (y, k, h) -> y: V moves for h ms, to the middle of step k
    relax: Callable[[Any, Any], Any]  # (y, k) -> y: all else moves through step k
    close: Callable[[Any, Any], Any]  # (y, k) -> y: V moves half a step, to the beginning of step k
    euler: Callable[[Any, Any], Any]  # (y, k) -> y: all moves through step k, at first order


# %% [markdown]
# **Exponential Euler**, the papers' scheme, advances every variable from the old state of all the
# others. It is first-order: at its customary 0.025 ms the burst period is off by up to 3%.

# %%
Input = Callable[[Any], Any]  # external current (cell,) nA at step k


def euler_step(circuit: Circuit, p: Prepared, y: Working, I: Any, dt: float, by: Arithmetic) -> Working:
    """The state after a time dt (ms), everything from the old state of all the rest."""
    V, after = charged_with_neighbours(circuit, p, y, I, dt, by), []
    parts = [split(circuit, a) for a in (y.V, y.Ca)] + [split(circuit, y.s, 1)]
    for membrane, g, x, V_i, Ca, s in zip(circuit.membranes, p.g, y.x, *parts, strict=True):
        c = membrane.constants
        target = Ca + c.τ_Ca * calcium_balance(membrane, g, V_i, Ca, x)[0] if membrane.pool else Ca
        Ca_after = jnp.maximum(Ca + (target - Ca) * covered_exactly(dt / c.τ_Ca), c.Ca_min)
        after.append((Ca_after, *by.gates(circuit, membrane, V_i, Ca, s, x, dt, covered_exactly)))
    Ca, s, x = zip(*after, strict=True)
    return Working(V, join(circuit, Ca), join(circuit, s, 1), x, kinetic_step(circuit, y.V, y.z, dt))


def charged_with_neighbours(circuit: Circuit, p: Prepared, y: Working, I: Any, h: float, by: Arithmetic) -> Array:
    """V (cell,) after a time h (ms) with everything else frozen, the potentials of coupled cells included."""
    if p.gap is None:
        return charged(circuit, p, y, I, h, by)
    return charged(circuit, p, y, I + p.gap.own * y.V - p.gap.current(y.V), h, by, p.gap.own)


def exponential_euler(f: Flows, y: Any, k: Any, n: int, dt: float, unroll: int = 1) -> Any:  # noqa: ARG001
    """n steps of first-order exponential Euler from step k."""
    return lax.fori_loop(0, n, lambda i, y: f.euler(y, k + i), y, unroll=unroll)


# %% [markdown]
# The **staggered** scheme, the default, is second-order at the same price. It is a Strang splitting
# {cite:p}`Strang1968`: half a step of $V$ with the gates frozen, a whole step of the gates with $V$
# frozen, half a step of $V$. The last half step joins the next first one, so that potentials are
# known at half steps and gates at whole steps, and each is evaluated once per step. In detail:
#
# - Gates need $1 - e^{-r}$, $r = dt/τ$. We take $q/(1+q)$ with $q = r + r^2/2 + r^3/6 + r^4/24$,
#   which is within $r^5/120$ of it, stays in $[0, 1)$ for any $r$, loses no digits in single
#   precision, and needs no exponential.
# - Calcium takes half a step before the gates and half a step after them, each with the calcium
#   conductance of its side, so that $m_∞$ of $I_{KCa}$ sees the calcium in the middle of its step. Each is one
#   step of the linearized equation, whose Jacobian in $[Ca]$ contains the Nernst potential.
# - Calcium never falls below $[Ca]_\mathrm{min}$, where $E_{Ca}$ is 303 mV. Only a potential above
#   $E_{Ca}$, +134 mV at rest, could bring it there.
# - Gap junctions alone contract $V_i - \bar V$ by $e^{-N g_e t/C}$; that solution is applied for half
#   a step on each side of the gates.
#
# Every recorded state is complete: a run continued from it repeats the same operations as one that
# went on.


# %%
def growth(r: Array) -> Array:
    """e^r − 1 to fourth order in r."""
    return r * (1 + r * (1 / 2 + r * (1 / 6 + r / 24)))


def covered(r: Array) -> Array:
    """The share 1 − e^(−r) to fourth order in r, in [0, 1)."""
    q = growth(r)
    return q / (1 + q)


def calcium_step(membrane: Membrane, g: Array, V: Array, Ca: Array, x: Array, h: float) -> Array:
    """[Ca] after a time h with gates and V (mV) frozen, linearly implicit, second order."""
    if not membrane.pool:
        return Ca
    slope, jacobian = calcium_balance(membrane, g, V, Ca, x)
    return jnp.maximum(Ca + h * slope / (1 - h / 2 * jacobian), membrane.constants.Ca_min)


def relaxed(circuit: Circuit, p: Prepared, y: Working, dt: float, by: Arithmetic = ARITHMETIC) -> Working:
    """The state after a time dt (ms) with V frozen, but for the current of the gap junctions."""
    V, V_end = contracted(p.gap, y.V)
    parts, after = [split(circuit, a) for a in (V, y.Ca)] + [split(circuit, y.s, 1)], []
    for membrane, g, x, V_i, Ca, s in zip(circuit.membranes, p.g, y.x, *parts, strict=True):
        Ca = calcium_step(membrane, g, V_i, Ca, x, dt / 2)
        s, x = by.gates(circuit, membrane, V_i, Ca, s, x, dt, covered)
        after.append((calcium_step(membrane, g, V_i, Ca, x, dt / 2), s, x))
    Ca, s, x = zip(*after, strict=True)
    z = kinetic_step(circuit, V, y.z, dt)
    return Working(V_end, join(circuit, Ca), join(circuit, s, 1), x, z)


def staggered(f: Flows, y: Any, k: Any, n: int, dt: float, unroll: int = 1) -> Any:
    """n steps of the second-order staggered scheme from step k."""
    y = f.relax(f.charge(y, k, dt / 2), k)
    y = lax.fori_loop(1, n, lambda i, y: f.relax(f.charge(y, k + i, dt), k + i), y, unroll=unroll)
    return f.close(y, k + n)


SCHEMES = {"staggered": staggered, "exponential_euler": exponential_euler}
DEFAULT_SOLVER = "staggered"
DEFAULT_DT = 0.05  # ms


def flows(circuit: Circuit, p: Prepared, I: Input, dt: float, by: Arithmetic = ARITHMETIC, G: Input | None = None) -> Flows:
    """The flows of a circuit under an external current I (nA) and, where there is one, an external conductance G (µS)."""
    more = (lambda k: None) if G is None else G  # noqa: ARG005
    return Flows(
        charge=lambda y, k, h: y._replace(V=charged(circuit, p, y, I(k), h, by, more(k))),
        relax=lambda y, k: relaxed(circuit, p, y, dt, by),  # noqa: ARG005
        close=lambda y, k: y._replace(V=charged(circuit, p, y, I(k), dt / 2, by, more(k))),
        euler=lambda y, k: euler_step(circuit, p, y, I(k), dt, by),
    )


# %% [markdown]
# ### From a start to the requested times
#
# A run records the state at the requested times. Between multiples of $dt$ it interpolates linearly,
# which is second-order too.


# %%
def integrate(
    params: Params,
    state: State,
    I: Any,
    slots: Slots | None,
    *,
    grid: Grid,
    solver: str,
    dt: float,
    t0: float,
    record: tuple[str, ...] | None = None,
) -> State:
    """States on the grid, with a leading time axis. I: () or (cell,) or (step, cell) nA, or a function of t.

    record: the fields of `State` to record; of the others only the last is returned, (1, …). None records all.
    """
    state, circuit = circuits.started(params, state, Params, state_of), params.circuit
    p, I_k = prepare(params, state.V.dtype, dt), input_at(I, dt, t0, state.V.dtype)
    f = flows(circuit, p, I_k, dt)
    advance = lambda y, k, n: SCHEMES[solver](f, y, k, n, dt)  # noqa: E731
    return recorded(advance, partial(unpack, circuit), pack(circuit, state), grid, slots, record)[1]


def input_at(I: Any, dt: float, t0: float, dtype: Any) -> Input:
    """The external current as a function of the number of the step."""
    if callable(I):
        return lambda k: jnp.asarray(I(jnp.asarray(t0, dtype) + dt * jnp.asarray(k, dtype)), dtype)
    I = jnp.asarray(0.0 if I is None else I, dtype)
    return (lambda k: I[k]) if I.ndim == 2 else (lambda _: I)


# %% [markdown]
# **Adaptive solvers** come from [diffrax](https://docs.kidger.site/diffrax) {cite:p}`Kidger2021` and
# integrate `derivative` to a tolerance. They may overshoot the bounds of a gate by that tolerance;
# the right-hand side and the result are taken at the nearest state within bounds. Where an input or a
# state is not a number, they end, and say for which cell.


# %%
def integrate_adaptively(params: Params, state: State, t: Any, I: Any, **scheme: Any) -> State:
    """States at times t (ms), with a leading time axis, by a diffrax solver. I: () or (cell,) nA, or a function of t."""
    y0, circuit = circuits.started(params, state, Params, state_of), params.circuit
    p = prepare(params, y0.V.dtype, DEFAULT_DT)
    current = I if callable(I) else lambda _: 0.0 if I is None else I
    slope = lambda t, y: slopes(circuit, p, project(circuit, y), jnp.asarray(current(t), y.V.dtype))  # noqa: E731
    ys = adaptively(slope, pack(circuit, y0), t, **scheme)
    return jax.vmap(lambda y: unpack(circuit, project(circuit, y)))(ys)


DEFAULT_RTOL = DEFAULT_ATOL = 1e-6


# %% [markdown]
# `simulate` is the pure function under everything else: `jax.jit`, `vmap` and `grad` work on it.


# %%
def simulate(
    params: Params, state: State, t: Any, I_ext: Any = None, *, solver: Any = DEFAULT_SOLVER, dt: float = DEFAULT_DT,
    t0: float = 0.0, rtol: float = DEFAULT_RTOL, atol: float = DEFAULT_ATOL,
) -> State:  # fmt: skip
    """States at the times t, shape (time, …) in each field of `State`.

    params, state: as `Prinz2004.params` and `.get_thermalization()`; t: (time,) ms, increasing and concrete (not
    traced), not before t0, the time of `state`. I_ext: None, () or (cell,) nA, (step, cell) nA at the steps
    t0 + k dt, or a function of t. solver: "staggered", "exponential_euler" or a diffrax solver, which uses rtol and
    atol instead of dt (ms). The precision is that of `state` under JAX's settings, see `precision`.
    Raises TypeError or ValueError for times, dt or solvers that cannot be used.
    """
    state = circuits.startable(circuits.started(params, state, Params, state_of))
    t, dt = checks.times(t, t0), checks.scheme(solver, dt, SCHEMES)
    n_cells = len(params.circuit.rows)
    if not isinstance(solver, str):
        checks.tolerances(rtol, atol)
        pure_current(I_ext, n_cells, None)
        return integrate_adaptively(params, state, t, I_ext, solver=solver, t0=t0, rtol=rtol, atol=atol)
    checks.steps(t, t0, dt)
    grid, slots = grid_of(t, t0, dt)
    pure_current(I_ext, n_cells, grid.first + grid.n * grid.blocks + 1)
    return integrate(params, state, I_ext, slots, grid=grid, solver=solver, dt=dt, t0=t0)


compiled_integrate = jax.jit(integrate, static_argnames=("grid", "solver", "dt", "record"))
compiled_with_function = jax.jit(integrate, static_argnames=("I", "grid", "solver", "dt", "record"))

# %% [markdown]
# ## Result
#
# A `SimResult` shows a run as tables (`V`, `Ca`, `s`, `m`, `h`, `currents`), as spike times (local
# maxima of $V$ above −10 mV) and as a picture, and writes files that carry their units. `dims` names
# the quantities for plots. Currents follow from the recorded states, outward positive.


# %%
def of_channels(params: Params, states: State, f: Callable[..., Array]) -> Array:
    """f(membrane, channel, γ, V, Ca) -> (cell,) of each channel, open to γ µS, at states with a leading time axis: (time, cell, channel).

    Cells with fewer channels than others have 0 in their places.
    """
    circuit, p = params.circuit, prepare(params, states.V.dtype, DEFAULT_DT)

    def at_state(y: State) -> Array:
        w, found = pack(circuit, y), []
        for membrane, g, x, V, Ca in zip(circuit.membranes, p.g, w.x, split(circuit, w.V), split(circuit, w.Ca), strict=True):
            opened = zip(membrane.channels, conductances(membrane, g, x), strict=True)
            values = [f(membrane, channel, γ, V, Ca) for channel, γ in opened]
            found.append(jnp.stack(values) if values else jnp.zeros((0, *V.shape), V.dtype))
        return join(circuit, filled_up(found), 1).T

    return jax.vmap(at_state)(states)


def currents(params: Params, states: State) -> Array:
    """Currents of each channel, then synaptic and electrical, (time, cell, channel + 2) nA, outward positive."""
    states, circuit = circuits.started(params, states, Params, state_of, "time"), params.circuit
    p = prepare(params, states.V.dtype, DEFAULT_DT)

    def others(y: State) -> Array:
        G, J = chemical(circuit, p, pack(circuit, y))
        return jnp.stack([G * y.V - J, electrical_current(p.gap, y.V)], 1)

    ionic = of_channels(params, states, lambda membrane, channel, *at: current_of(channel, membrane.constants, *at))
    return jnp.concatenate([ionic, jax.vmap(others)(states)], 2)


compiled_currents = jax.jit(currents)

# %% [markdown]
# ## The model
#
# `Prinz2004` puts it together: it reads the arguments in the forms that people write, starts every
# cell from its own rhythm, and runs. Currents from outside are numbers, functions of time, or samples
# with times of their own. Samples cover the whole run, or say what holds outside of them:
# `Sampled(frame, outside=0)` or `outside="hold"`, from `pyloric_simulator.inputs`. A long run may
# record the potential alone, with `record=("V",)`; its last state is complete all the same.
#
# ### Thermalization
#
# {cite:t}`Prinz2004` start each cell of a circuit from the state that it reaches alone. Here that is
# the state after 5 s without synapses and input from the cold start, with $s = 0$. It is computed the
# first time a cell is used, and kept on disk: one entry for each cell, under a key that holds
# everything that decides the result, so that circuits share cells and a change of the physics never
# meets an old state.

# %%
THERMALIZATION = 5000.0  # ms
THERMALIZATION_TIMES = np.arange(0, THERMALIZATION + 0.5)  # ms, at which the run can be inspected
STORE_FORMAT = 1  # changes when the meaning of a stored state changes
FROM_SETTINGS = SETTINGS_STORE  # where the store is if a call does not say


def isolated(params: Params, populations: Sequence[int]) -> Params:
    """One cell of each of some populations, without synapses of any kind."""
    c = params.circuit
    some = [c.populations[i] for i in populations]
    kinds = sorted({p.membrane for p in some})
    cells = tuple(p._replace(size=1, copies=1, membrane=kinds.index(p.membrane)) for p in some)
    membranes = tuple(c.membranes[i] for i in kinds)
    g = np.asarray(params.g)[list(populations), : max(len(m.channels) for m in membranes)]
    alone = c._replace(populations=cells, synapses=(), membranes=membranes, junctions=(), kinetic=(), kinds=())
    return Params(g, np.zeros(0), np.zeros(()), alone)


def cell_key(params: Params, population: int, **scheme: Any) -> str:
    """Everything that decides the thermalized state of a cell, as text."""
    c = params.circuit
    membrane = c.membranes[c.populations[population].membrane]
    g = np.asarray(params.g)[population, : len(membrane.channels)].tolist()
    about = {"format": STORE_FORMAT, "g": g, "constants": membrane.constants._asdict(),
             "channels": spelled(membrane), "transmitters": repr(c.transmitters), "start": "cold", "fields": State._fields, **scheme}  # fmt: skip
    return json.dumps(about, ensure_ascii=False, sort_keys=True)


def spelled(membrane: Membrane) -> str:
    """The channels of a membrane as text, what a channel of the papers has first, so that stored states are found again."""
    texts = []
    for c in membrane.channels:
        usual = nernstian(c) and c.ion == "Ca"
        plain = f"name={c.name!r}, E={None if usual else c.E!r}, p={c.p!r}, m={c.m!r}, h={c.h!r}"
        more = "" if c.q == 1 and usual == (c.ion == "Ca") else f", q={c.q!r}, ion={c.ion!r}"
        texts.append(f"Channel({plain}{more})")
    return f"({', '.join(texts)}{',' * (len(texts) == 1)})" + ("" if membrane.pool else " without a pool")


def told_by_text(x: Any) -> bool:
    """Whether the text of a gate, a function or a number says all about it."""
    if isinstance(x, Gate) or (is_dataclass(x) and not isinstance(x, type)):
        inside = x if isinstance(x, Gate) else [getattr(x, f.name) for f in fields(x)]
        return all(map(told_by_text, inside))
    return isinstance(x, (int, float, str, tuple)) or x is None


def is_storable(membrane: Membrane) -> bool:
    """Whether a key can say all about a cell."""
    return all(told_by_text(x) for c in membrane.channels for x in (c.m, c.h, c.E))


class Slopes(Vectors):
    """The right-hand side of a model, by itself and for SciPy; `slope` is a pure function such as `derivative`."""

    slope: Callable[[Any, Any, Any], Any]
    compiled_slope: Callable[[Any, Any, Any], Any]

    def derivative(self, t: float, state: Any, I_ext: Any = None) -> Any:
        """Time derivative of a state, per ms; shapes as in `State`. I_ext: as in a call of the model, or None."""
        I = current(I_ext, self.labels, self.rows, np.array([checks.number("t", t, "ms")]), t)
        I = I.at(t)[0] if isinstance(I, Samples) else I
        with precision(self.dtype):
            return self.slope(self.params, state, I(t) if callable(I) else I)

    def vector_field(self, t: float, y: np.ndarray, I_ext: Any = None) -> np.ndarray:
        """The right-hand side in the form of `scipy.integrate.solve_ivp`, per ms.

        y: (variable,) as from `flatten`; I_ext: None, () or (cell,) nA, or a function of t.
        """
        I = I_ext(t) if callable(I_ext) else 0.0 if I_ext is None else I_ext
        pure_current(I, len(self.rows), None)
        with precision(self.dtype):
            return self.flatten(self.compiled_slope(self.params, self.unflatten(y), I))


class Model(Labelled, Slopes, Portable):
    """Cells and what joins them, ready to run: all that `Prinz2004` and the networks of later chapters have in common.

    A subclass reads its arguments, and sets `labels` (of populations), `params`, `cold` (a state to start from) and `dtype`.
    """

    labels: tuple[str, ...]
    params: Params
    cold: State
    dtype: str
    starts_thermalized = True  # whether a run without a state starts with thermalized cells, or cold

    slope, compiled_slope = staticmethod(derivative), staticmethod(jax.jit(derivative))

    @property
    def circuit(self) -> Circuit:
        """What is fixed when the model is compiled."""
        return self.params.circuit

    @property
    def ends(self) -> list[tuple[str, int, int]]:
        """Label, population and index of the transmitter of each terminal that makes graded synapses."""
        found = dict.fromkeys((s.pre, s.transmitter, s.terminal) for s in self.circuit.synapses)
        return [(label, population, kind) for population, kind, label in sorted(found)]

    def like(self, params: Params) -> Any:
        """The model with other numbers, or another circuit."""
        new = copy(self)
        new.params, new.cold = params, cold_start(params.circuit)
        return new

    def currents(self, states: State) -> np.ndarray:
        """Currents of each channel, then synaptic and electrical, (time, cell, channel + 2) nA, at recorded states."""
        with precision(self.dtype):
            return np.asarray(compiled_currents(self.params, circuits.started(self.params, states, Params, state_of, "time")))

    def thermalize(self, *, solver: Any = None, dt: float | None = None) -> SimResult:
        """The isolated run of one cell of each population, for inspection; recorded every ms."""
        solver, dt = self._scheme(solver, dt, fixed=True)
        alone = self.like(isolated(self.params, range(len(self.labels))))
        return alone(THERMALIZATION_TIMES, state=alone.cold, solver=solver, dt=dt)

    def get_thermalization(
        self, *, solver: Any = None, dt: float | None = None, store: Any = FROM_SETTINGS
    ) -> State:
        """Thermalized state of all cells. store: a folder, "" for the user's cache, None or "memory" for the memory of this process."""
        solver, dt = self._scheme(solver, dt, fixed=True)
        scheme = {"solver": solver, "dt": dt, "duration": THERMALIZATION, "dtype": self.dtype}
        keys = [cell_key(self.params, i, **scheme) for i in range(len(self.labels))]
        kinds = [self.circuit.membranes[p.membrane] for p in self.circuit.populations]
        found = list[Mapping[str, np.ndarray]]([{}] * len(kinds))
        for membrane in dict.fromkeys(kinds):  # all cells of one kind together
            mine = [i for i, kind in enumerate(kinds) if kind == membrane]
            one = cold_start(isolated(self.params, mine[:1]).circuit)
            where = thermalization_store(store) if is_storable(membrane) else ThermalizationStore(None)
            compute = lambda missing, mine=mine: self._run_alone([mine[i] for i in missing], solver, dt)  # noqa: E731
            sound = lambda entry, one=one: checks.stored_state(entry, one, self.dtype)  # noqa: E731
            for i, entry in zip(mine, where.get_or_compute([keys[i] for i in mine], compute, sound), strict=True):
                found[i] = entry
        width = {x: getattr(self.cold, x).shape[1:] for x in State._fields}
        whole = {x: np.stack([filled_to(e[x], width[x]) for e in found])[self.rows] for x in width}
        return state_of(self.circuit, **whole, z=starts(self.circuit))

    def _run_alone(self, populations: Sequence[int], solver: Any, dt: float) -> list[dict[str, np.ndarray]]:
        """States of some populations' cells after the isolated run."""
        params = isolated(self.params, populations)
        with precision(self.dtype):
            grid, slots = grid_of(THERMALIZATION_TIMES, 0.0, dt)
            start = jax.tree.map(lambda x: np.asarray(x, self.dtype), cold_start(params.circuit))
            y = compiled_integrate(
                params, start, I=np.zeros(len(populations)), slots=slots, grid=grid, solver=solver, dt=dt, t0=0.0
            )
        circuits.thermalized(y, THERMALIZATION_TIMES, [self.labels[i] for i in populations])
        return [{x: np.asarray(getattr(y, x))[-1, i] for x in State._fields} for i in range(len(populations))]

    @staticmethod
    def clear_thermalization_store(store: Any = FROM_SETTINGS) -> int:
        """Empty the store; returns the number of cells that it held."""
        return thermalization_store(store).clear()

    def _scheme(self, solver: Any, dt: float | None, fixed: bool = False) -> tuple[Any, float]:
        """Solver and dt, from the settings where not given; with `fixed`, the default scheme in place of an adaptive solver."""
        settings = load_settings()
        solver, dt = settings.solver if solver is None else solver, settings.dt if dt is None else dt
        dt = checks.scheme(solver, dt, SCHEMES)
        return (solver, dt) if isinstance(solver, str) or not fixed else (DEFAULT_SOLVER, DEFAULT_DT)

    def __call__(
        self, t: Any, I_ext: Any = None, state: State | None = None, *, solver: Any = None, dt: float | None = None, t0: float = 0.0,
        store: Any = FROM_SETTINGS, rtol: float = DEFAULT_RTOL, atol: float = DEFAULT_ATOL, record: Sequence[str] | None = None,
    ) -> SimResult:  # fmt: skip
        """Simulate and record at the times t.

        t: (time,) ms, increasing, from t0, the time of the start. I_ext (nA, depolarizing): a number, one per cell
        or population, a mapping population -> value, an array (time,) or (time, cell) sampled at t, a DataFrame or
        Series with its own times, or a JAX function of t; samples cover the run, or say what holds outside of them
        (`inputs.Sampled`). state: start; thermalized cells by default. solver, dt: see `simulate`. store: see
        `get_thermalization`. record: names of the variables to record, such as ("V",), all by default. Raises
        ValueError or TypeError before anything is compiled, and FloatingPointError naming the cell and the time if
        the run turns non-finite; warns (UserWarning) of numbers that look like another unit.
        """
        t, (solver, dt) = checks.times(t, t0), self._scheme(solver, dt)
        checks.tolerances(rtol, atol)
        fields, size = fields_of(record, self.cold._fields), circuits.bytes_of(self.params, self.circuit, record, self.dtype)
        if isinstance(solver, str):
            checks.steps(t, t0, dt)
            grid, slots = grid_of(t, t0, dt, size)
        I = current(I_ext, self.labels, self.rows, t, t0)
        thermalized = state is None and self.starts_thermalized
        if state is None:
            state = self.get_thermalization(solver=solver, dt=dt, store=store) if thermalized else self.cold
            start_is = "thermalized" if thermalized else "cold"
        else:
            state, start_is = checks.state(state, self.cold), "given"
        params, start, I, expand = self._without_copies(state, I)
        with precision(self.dtype):
            start = type(start)(*(np.asarray(x, self.dtype) for x in start))
            if isinstance(solver, str):
                run = compiled_with_function if callable(I) else compiled_integrate
                I = I.at_steps(t0, dt, grid) if isinstance(I, Samples) else I
                states = run(params, start, I=I, slots=slots, grid=grid, solver=solver, dt=dt, t0=t0, record=fields)
            else:
                states = run_adaptively(integrate_adaptively, params, start, t, I, solver=solver, t0=t0, rtol=rtol, atol=atol)
            states = in_part(jax.tree.map(lambda x: np.asarray(x)[:, expand], states), fields)
        run_is_sound(states, t, self.cells)
        return SimResult(t, states, self, run=run_of(self, solver, t0, start_is, dt=dt, rtol=rtol, atol=atol))

    def _without_copies(self, start: State, I: Any) -> tuple[Params, State, Any, np.ndarray]:
        """The same run with one cell for each population whose cells start and are driven alike; and where each cell is in it."""
        first = np.searchsorted(self.rows, np.arange(len(self.labels)))
        alike = lambda x: np.array_equal(x, x[first][self.rows])  # noqa: E731
        function = callable(I) and jax.eval_shape(I, 0.0).shape != ()
        values = None if callable(I) else (I.values.T if isinstance(I, Samples) else I)
        if self.circuit.kinetic or function or not all(map(alike, start)) or (values is not None and not alike(values)):
            return self.params, start, I, np.arange(len(self.rows))
        if values is not None:
            I = I._replace(values=I.values[:, first]) if isinstance(I, Samples) else I[first]
        return (
            self.params.replace(circuit=self.circuit.alike()),
            jax.tree.map(lambda x: x[first], start),
            I,
            self.rows,
        )


class Prinz2004(Model):
    """A pyloric circuit: `result = model(t)` simulates it.

    pop_sizes: label -> number of cells, in any order; a label is a cell type (AB, PD, AB/PD, LP, PY), one with
    the number of a cell of `neuron_models` ("LP 4"), or any other whose type `cell_types` gives.
    gs (nS): mapping (presynaptic terminal, postsynaptic population) -> g, labelled DataFrame, or array
    (post × pre); in the last two zeros are no synapses. g_ion (mS/cm²): one row for each population; without it
    the labels name the cells. ge (nS) couples AB and PD cells. dtype: "float64" or "float32".
    Raises ValueError or TypeError on bad input.
    """

    models, cell_types, transmitters = neuron_models, CELL_TYPES, TRANSMITTERS

    def __init__(
        self, pop_sizes: Mapping[str, int], gs: Any, g_ion: Any = None, *, ge: float | None = None,
        cell_types: Mapping[str, str] | None = None, dtype: str | None = None,
        channels: tuple[Channel, ...] = CHANNELS, constants: Constants = CONSTANTS,
    ) -> None:  # fmt: skip
        sizes, channels = checks.populations(pop_sizes), circuits.channels(channels, Channel, Gate, CHANNELS, Nernst())
        models = self.models.reindex(columns=[c.name for c in channels], fill_value=0.0)
        named, constants = circuits.named_types(cell_types, sizes), circuits.constants(constants, Constants)
        self.dtype = load_settings().precision if dtype is None else dtype
        checks.choice("dtype", self.dtype, ("float64", "float32"))
        self.labels = tuple(sizes)
        types, rows = zip(
            *(circuits.cell_type(label, named, CELL_TYPES, models) for label in sizes), strict=True
        )
        told = {label: kind for label, kind in zip(sizes, types, strict=True) if label not in named}
        g = circuits.membrane_conductances(g_ion, self.labels, told, rows, CELL_TYPES, models, constants.A)
        self.terminals = circuits.terminals(self.labels, [CELL_TYPES[t] for t in types])
        pairs = circuits.synapses(gs, self.labels, self.terminals)
        coupling = circuits.coupling(DEFAULT_GE if ge is None else ge)
        end = {e.label: e for e in self.terminals}
        for pre, post in pairs:
            circuits.no_autapse(pre, post, self.labels[end[pre].population] == post, sizes[post])
        populations = tuple(Population(label, t, sizes[label]) for label, t in zip(self.labels, types, strict=True))
        joined = tuple(
            Connection(a, end[a].population, TRANSMITTERS.index(end[a].transmitter), self.labels.index(b)) for a, b in pairs
        )
        circuit = Circuit(populations, joined, (Membrane(channels, constants),), TRANSMITTERS, pacemaker_pairs(populations))
        self.params = Params(g, np.array(list(pairs.values()), float), coupling, circuit)
        self.cold = cold_start(circuit)

    @property
    def ends(self) -> list[tuple[str, int, int]]:
        """Label, population and index of the transmitter of each terminal, also of those without a synapse."""
        return [(end.label, end.population, TRANSMITTERS.index(end.transmitter)) for end in self.terminals]


def pacemaker_pairs(populations: Sequence[Population]) -> tuple[tuple[int, int], ...]:
    """All pairs of populations of pacemaker cells, a population of several cells with itself, too."""
    paced = [i for i, p in enumerate(populations) if p.type in PACEMAKERS]
    return tuple((i, j) for i in paced for j in paced if i < j or (i == j and populations[i].size * populations[i].copies > 1))


def filled_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """x with zeros behind it, in a shape."""
    return np.pad(x, [(0, n - m) for n, m in zip(shape, x.shape, strict=True)]) if shape else x


@cache
def open_store(folder: Any) -> ThermalizationStore:
    """The store in a folder; one for each folder in a process, so that what was read once stays in memory."""
    return ThermalizationStore(folder)


def thermalization_store(store: Any) -> ThermalizationStore:
    """The store that a call, or else the settings, name."""
    return open_store(store_folder(store))

# %% [markdown]
# ## Experiments
#
# The sixteen cells, each alone, in the last two of the five seconds of thermalization: the pacemakers
# burst, LP and PY cells fire tonically or in short groups, and PY 2 and PY 3 are silent. One run
# computes all of them.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The sixteen cells of {numref}`tbl-cells`, each alone.", "name": "fig-cells"}}
# from .book import cell_panels, circuit_diagram, current_shares
# from .rhythm import bursts
#
# cells = Prinz2004({name: 1 for name in neuron_models.index}, gs={}, ge=0)
# alone = cells.thermalize()[3000:]
# cell_panels(alone)

# %% [markdown]
# The circuit of Fig. 3e, with the strength of each synapse in nS; blue is glutamate, orange
# acetylcholine.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The circuit of Fig. 3e; strengths in nS, blue glutamate, orange acetylcholine.", "name": "fig-circuit"}}
# circuit_diagram(paper)

# %% [markdown]
# The currents of the pacemaker through one burst. Between bursts, LP's synapse and the A current hold
# the cell down while H, then CaS, brings it up. The calcium currents carry the burst, KCa grows with
# the calcium that they let in, and ends it.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "One burst of the pacemaker: potential, and the share of each current in all outward (above) and all inward (below) current.", "name": "fig-currents"}}
# onset = bursts(rhythm.spike_times()["AB/PD", 0])[1, 0]
# current_shares(rhythm[onset - 250 : onset + 900], ("AB/PD", 0))

# %% [markdown]
# ## Comparison with the paper
#
# {cite:t}`Prinz2004` give the burst periods of the five isolated pacemakers. With the paper's scheme
# and step the model meets them to within 1% (AB/PD 2 to 1.01% of the printed 1.49 s, which is rounded
# to 0.01 s). The *converged* periods, those of the equations themselves, differ by up to 3%: that is
# the error of the scheme, not of a parameter. Reducing the step by half several times shows how each
# scheme approaches them.

# %% tags=["active-ipynb", "hide-input"]
# pacemakers = Prinz2004({f"AB/PD {i}": 1 for i in range(1, 6)}, gs={}, ge=0)
# published = np.array([1460, 1490, 1580, 1610, 1640])
#
#
# def periods(solver, dt):
#     """Mean interval (ms) between burst starts after 4 s."""
#     result = pacemakers(np.arange(0, 16000, 0.05), state=pacemakers.cold, solver=solver, dt=dt)
#     starts = [bursts(spikes)[:, 0] for spikes in result.spike_times().values()]
#     return np.array([np.diff(x[x > 4000]).mean() for x in starts])
#
#
# paper_scheme, half = periods("exponential_euler", 0.025), periods("exponential_euler", 0.0125)
# default, converged = periods("staggered", 0.05), periods("staggered", 0.00625)
# assert (abs(paper_scheme - published) < 0.01 * published + 5).all()  # printed to 10 ms
# assert (abs(default / converged - 1) < 5e-3).all()
# rows = {"published, 0.025 ms": published, "exponential Euler, 0.025 ms": paper_scheme, "exponential Euler, 0.0125 ms": half,
#         "staggered, 0.05 ms": default, "staggered, 0.00625 ms": converged}
# list_table("Burst period (ms) of isolated pacemaker cells.", "tbl-periods", ["", *pacemakers.labels],
#            [(name, *(f"{x:.1f}" for x in p)) for name, p in rows.items()])

# %% [markdown]
# (sec-departures)=
# ## Departures
#
# Where this model differs from the paper, or fills what the paper leaves open, and what that changes:
#
# Time step
# : The default is the staggered scheme at 0.05 ms. It misses the converged periods of the pacemakers
#   by 0.1 to 0.4%, where exponential Euler at 0.025 ms misses them by up to 3%. Small as it is, the
#   error adds up from cycle to cycle: after 5 s from the cold start the spikes of AB/PD 5 come 21 ms
#   late, and those of PY 4 to 6, which fire weakly, up to 18 ms. With 0.025 ms the periods are right to 0.1%.
#   Steps above 0.25 ms are refused: at 0.25 ms periods are up to 11% short and up to every seventh
#   spike is missing, though nothing blows up.
#
# Synapses at the start
# : The paper does not say which activation $s$ a circuit starts with. Here it is part of the
#   thermalized state: the terminals of an isolated cell follow its potential too. It matters where a
#   circuit has two rhythms. In the circuit above LP can silence the pacemaker for good. Of 120
#   moments at which the isolated cells were joined, evenly spaced between 4 and 12 s, 65% lead to the
#   triphasic rhythm, and 63% if $s$ starts at 0.
#
# Chaos
# : LP 4 alone fires irregular pairs of spikes, and a difference of $10^{-13}$ mV at the start moves
#   its spikes by tens of milliseconds within 5 s. Its phase in the thermalized state, and with it the
#   choice between two rhythms, may therefore change with the processor, though not from run to run on
#   one machine.
#
# Gap junctions
# : The lumped AB/PD cell of the paper needs none. Where AB and PD are apart the default is 10 nS
#   between any two of them. It is the least round value that keeps unequal pacemaker cells together:
#   their bursts then start within 5 ms of each other, against 20 to 30 ms at 3 nS and 40 to 65 ms at
#   1 nS (AB/PD 2 with two AB/PD 3, AB/PD 1 with two AB/PD 5). Equal cells that start alike are not
#   affected. {numref}`fig-lag` shows one AB cell (AB/PD 2) and two PD cells (AB/PD 3) in the circuit
#   above.
#
# Limits
# : Time constants below $τ_\mathrm{min}$ = 1 µs count as 1 µs. Only $τ_s$ gets there, when
#   $V_\mathrm{pre} > 18$ mV, where $s$ follows $s_∞$ to within $10^{-6}$; the periods above do not
#   change by 0.01 ms. With $γ$ = 12.19 instead of 12.2 mV they grow by 0.05%.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Mean distance between the burst starts of PD and AB.", "name": "fig-lag"}}
# apart = Prinz2004(
#     pop_sizes={"AB": 1, "PD": 2, "LP": 1, "PY": 1},
#     gs={("AB", "LP"): 30, ("PD", "LP"): 15, ("AB", "PY"): 10, ("PD", "PY"): 1.5,
#         ("LP", "AB"): 30, ("LP", "PD"): 30, ("LP", "PY"): 1, ("PY", "LP"): 30},
#     g_ion=neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4", "PY 1"]],
# )
#
#
# def lag(ge):
#     """Mean distance (ms) between the burst starts of PD and the nearest ones of AB."""
#     apart.params = apart.params.replace(ge=np.array(ge))
#     spikes = apart(np.arange(6000, 14000, 0.5)).spike_times()
#     starts = {pop: bursts(spikes[pop, 0])[:, 0] for pop in ("AB", "PD")}
#     return np.abs(starts["AB"][:, None] - starts["PD"]).min(0).mean()
#
#
# strengths = [0.1, 0.3, 1, 3, 10, 30, 100]
# look = dict(logx=True, toolbar=None, width=480, height=250, show_grid=True)
# hv.Curve((strengths, [lag(g) for g in strengths]), "gap junction (nS)", "lag of PD (ms)").opts(**look)

# %% [markdown]
# ## References
#
# ```{bibliography}
# ```
