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
# that any function here can be compiled, vectorized and differentiated. What is not physics stands
# in modules beside this one: `circuits` reads what a user writes, `layout` arranges arrays,
# `schedule` records, `model` handles a call.
#
# The chapter goes from units and parameters to the state, the right-hand side, its integration, and
# the model, and ends with results: the cells alone, the circuit, and how they compare with the paper.
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

# %% [markdown]
# What the chapter takes from elsewhere, and what others take from it:

# %%
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from .engine import circuits, junctions, layout
from .engine.adaptive import DEFAULT_ATOL, DEFAULT_RTOL, adaptively
from .engine.inputs import input_at, pure_current
from .engine.kinetics import Composed, at, targets, with_slope
from .engine.layout import Connection, Population, activating, by_membrane, inactivating, join, rejoined, turned
from .engine.model import Physics, Runnable, compiled, dtype_of, planned
from .engine.precision import precision
from .engine.schedule import Grid, Slots, recorded
from .files.results import SimResult, dims

__all__ = [
    "ACETYLCHOLINE", "CHANNELS", "CONSTANTS", "GLUTAMATE", "SCHEMES", "B", "Channel", "Circuit", "Constants", "Gate", "Membrane", "Model",
    "Nernst", "Params", "Prinz2004", "SimResult", "State", "Transmitter", "bell", "currents", "derivative", "dims", "neuron_models",
    "precision", "simulate",
]  # fmt: skip

# %% [markdown]
# ## Notation and units
#
# Inside the model there is one set of units: mV, ms, nA, µS, nF and µM. They are consistent, since
# µS · mV = nA and nA · ms / nF = mV, so no equation below carries a factor. Membrane conductances
# come as densities in mS/cm² and synaptic conductances in nS, the units in which the papers print
# them; they are converted once, in the function `prepare`, and nowhere else. A sodium density of
# 100 mS/cm² on 0.628·10⁻³ cm² is 62.8 µS. If all of it were open 100 mV away from its reversal
# potential, it would pass 6.3 µA and charge the cell's 0.628 nF by 10 V in a millisecond: channels
# open a little, or briefly. Arrays are indexed as follows.
#
# cell
# : one compartment. Cells of one *population* share their maximal conductances.
#
# channel
# : one membrane current, in the order of the list of channels.
#
# synapse
# : one (presynaptic terminal, postsynaptic population) pair, in the order in which they were given.
#
# transmitter
# : glutamate or acetylcholine.
#
# A positive external current $I_\mathrm{ext}$ **depolarizes**. (The Methods of {cite:t}`Prinz2004`
# and some codes write the input with the opposite sign.) A positive membrane current flows outward.

# %%
CM2_MS_TO_US = 1e3  # mS/cm² × cm² = mS, and 1 mS = 10³ µS
NS_TO_US = 1e-3  # 1 nS = 10⁻³ µS
MS_PER_S = 1e3  # rates are shown per second

# %% [markdown]
# ## Parameters
#
# ### Constants
#
# The membrane of area $A$ has 1 µF/cm². The factor $f$ turns the *total* calcium current in nA, not
# a current density, into a concentration {cite:p}`Prinz2003`. The Nernst slope $γ = RT/2F$ is 12.2
# mV; 283 K gives 12.19. Two constants give scales of time. With a leak of 0.03 mS/cm² alone the
# potential settles with $C/(\bar g A)$ = 33 ms; calcium does with $τ_{Ca}$ = 200 ms. Bursts last
# that long because the slow variables carry them, spikes only a millisecond because sodium is faster.


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
# ### Gates
#
# A cell's membrane is crossed by channels that open and close with the potential $V$. In the
# description of Hodgkin and Huxley a channel is open when all of a few independent *gates* are. A
# gate is open with a probability $x$ between 0 and 1, which approaches a value $x_∞(V)$ that depends
# on the potential, and does so exponentially, with a time constant $τ_x(V)$:
#
# $$
# τ_x(V) \frac{dx}{dt} = x_∞(V, [Ca]) - x, \qquad x = m, h, s.
# $$ (eq-gate)
#
# Gates $m$ open when the cell depolarizes, the *activation*; gates $h$ close, the *inactivation*;
# $s$ is the activation of a synapse. Take the sodium channel, open with the probability $m^3 h$. At
# −50 mV $m_∞ = 0.01$ and $h_∞ = 0.55$: it is closed, since hardly an $m$ is open. When $V$ jumps to
# −20 mV, $m$ heads for 0.74 within $τ_m$ = 0.17 ms, but $h$ heads for 0 and takes $τ_h$ = 2 ms. So
# half a millisecond later $m^3 h = 0.70^3 · 0.43 = 0.15$, and ten milliseconds later 0.003. The
# channel has let in a pulse of current: the upstroke of a spike.
#
# With the sigmoid $B(a, k) = 1/(1 + e^{(V+a)/k})$, all steady states $x_∞(V)$ and time constants
# $τ_x(V)$ of the model, the synapses' included, have the form
#
# $$
# f(V) = \left(c_0 + \frac{c_1}{e^{(V+a_1)/k_1} + e^{(V+a_2)/k_2}}\right)\left(κ + \frac{λ}{1 + e^{(V+a_3)/k_3}}\right).
# $$ (eq-curve)
#
# $B$ is the case $k_2 = ∞$. A `Curve` is such a function: it can be called, and be added to or
# multiplied by numbers, so that the table of channels below reads as in the paper. A sigmoid is at
# one half at $V = -a$, and $|k|$ is its width: it goes from 0.12 to 0.88 within $4|k|$. It rises
# with $V$ where $k$ is negative. So $m_∞ = B(25.5, -5.29)$ of sodium opens around −25.5 mV, and
# $h_∞ = B(48.9, 5.18)$ closes around −48.9 mV: between the two lies a *window* in which some
# channels stay open. Any other function of $V$ may stand in the place of a `Curve`.


# %%
@dataclass(frozen=True)
class Curve(Composed):
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


def bell(a1: float, k1: float, a2: float, k2: float) -> Curve:
    """1 / (e^((V+a1)/k1) + e^((V+a2)/k2)), mV."""
    return Curve(a1=a1, k1=k1, a2=a2, k2=k2)


def B(a: float, k: float) -> Curve:
    """The sigmoid 1 / (1 + e^((V+a)/k)), mV."""
    return Curve(a1=a, k1=k)


class Gate(NamedTuple):
    """First-order kinetics of one gate, {eq}`eq-gate`."""

    inf: Callable[..., Any]  # steady state x∞(V), V in mV; or x∞(V, Ca), Ca in µM
    tau: Callable[..., Any]  # time constant τ(V), ms; or τ(V, Ca)
    K: float = 0.0  # µM, x∞ is multiplied by Ca/(Ca + K)


# %% [markdown]
# ### Channels
#
# A channel passes the current
#
# $$
# I_i = \bar g_i A\, m^p h^q (V - E_i),
# $$ (eq-current)
#
# with the maximal conductance density $\bar g_i$, the exponents $p$ and $q$ of its gates, and the
# reversal potential $E_i$, at which it passes nothing. For calcium $E_i$ follows from the
# concentrations: it is the Nernst potential $E_{Ca} = γ \ln([Ca]_\mathrm{out}/[Ca])$, and falls as
# calcium enters. Near a given state every current is a line in $V$, $I = G V - J$. The equations ask
# each channel for these two, so that other laws, such as that of Goldman, Hodgkin and Katz in the
# [chapter on channels](models/channels.py), need no place of their own.
#
# A channel says what it is, not how much of it there is. That is a number of each cell: `Na(100)` is
# a sodium channel with 100 mS/cm², ready for a cell of one's own; in a circuit the densities are the
# rows of a table.


# %%
@dataclass(frozen=True)  # a tuple would equal that of another law with the same numbers
class Nernst:
    """The Nernst potential of an ion as a reversal potential; without concentrations that of the cell's calcium."""

    z: int = 2  # charge of the ion
    outside: float | None = None  # µM; None is the cell's calcium
    inside: float | None = None  # µM; None is the cell's calcium

    @property
    def of_calcium(self) -> bool:
        """Whether the ion is the cell's own calcium."""
        return self == Nernst()

    def potential(self, c: Constants, Ca: Array) -> Array:
        """mV, at the calcium concentration Ca (µM)."""
        outside = c.Ca_out if self.outside is None else self.outside
        return c.γ * 2 / self.z * jnp.log(outside / (Ca if self.inside is None else self.inside))

    def linear(self, c: Constants, γ: Array, V: Array, Ca: Array) -> tuple[Array, Array]:  # noqa: ARG002
        """G (µS) and J (nA) such that the current through γ (µS) is G V − J."""
        return γ, γ * self.potential(c, Ca)


class Channel(NamedTuple):
    """One membrane current, {eq}`eq-current`; called with a density it is ready for a cell: `Na(100)`."""

    name: str  # also the name of its column in `neuron_models`
    E: Any  # mV, reversal potential, or how it follows from concentrations; None is that of calcium, which then enters
    p: int = 0  # exponent of m; 0 for a channel without gates
    m: Gate | None = None  # activation
    h: Gate | None = None  # inactivation
    q: int = 1  # exponent of h
    ion: str | None = None  # "Ca": the current changes the calcium concentration
    q10: Any = None  # growth with 10 °C, where its own is known
    source: str = ""  # where its usual densities are from

    def __call__(self, density: float | None = None, *, uS: float | None = None) -> circuits.Placed:
        """The channel with a maximal density (mS/cm²; cm/s for GHK), or with the conductance of the whole cell in µS."""
        return circuits.Placed(self, *circuits.one_of_two(self.name, density, uS, hasattr(self.E, "permeates")))


# %% [markdown]
# Here are the channels of the paper: sodium, a transient and a slow calcium current (CaT, CaS), a
# transient potassium current (A), one that calcium opens (KCa), the delayed rectifier (Kd), an
# inward current that opens below rest (H), and the leak. Sodium makes spikes and the delayed
# rectifier ends them; the calcium currents make bursts, and $I_{KCa}$ ends these. Only $I_{KCa}$
# reads the calcium concentration: its $m_∞$ is multiplied by $[Ca]/([Ca] + K)$. All of these
# kinetics but those of $I_H$ go back to {cite:t}`Liu1998`, whose time constants are half of the
# ones here; $I_H$ has the curves of {cite:t}`HuguenardMcCormick1992`, at half the speed.

# %%
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

# %% [markdown]
# With these numbers the pulse of sodium conductance is as stated above.

# %% tags=["active-ipynb"]
# from .book import claim
#
# m, h = CHANNELS[0].m, CHANNELS[0].h
# share = lambda t, τ: 1 - np.exp(-t / τ)
#
#
# def opened(t, before=-50.0, after=-20.0):
#     """m³h of the sodium channel at t (ms) after a jump of the potential (mV)."""
#     m_t, h_t = (x.inf(before) + (x.inf(after) - x.inf(before)) * share(t, x.tau(after)) for x in (m, h))
#     return float(m_t**3 * h_t)
#
#
# claim(np.allclose([opened(0), opened(0.5), opened(10)], [0, 0.15, 0.003], atol=0.001), "sodium opens to 0.15, then closes to 0.003")

# %% tags=["active-ipynb", "remove-input"]
# from .book import kinetics_table
#
# kinetics_table(CHANNELS, "Kinetics of the channels, rendered from `CHANNELS` (P03, Table 1); V in mV.", "tbl-channels")

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Steady states and time constants of all gates.", "name": "fig-curves"}}
# from .plotting import activation_curves
#
# activation_curves(CHANNELS)

# %% [markdown]
# ### The sixteen cells
#
# Table 2 of {cite:t}`Prinz2004`: five pacemaker cells, five LP and six PY, in mS/cm². AB/PD 5 has
# 2.5 mS/cm² of CaT: independent transcriptions of the table agree on it, and its published period
# fits 2.5, not the 5.0 of one public code. `neuron_models` is an ordinary DataFrame; a row added to
# it is a new cell. What makes a cell a pacemaker is no single number. AB/PD cells have no leak and
# little H, so that nothing constant holds them near rest, and KCa to end a burst of calcium. LP
# cells have no CaT, PY cells no KCa.

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
# $τ_s = B(-V_\mathrm{th}, Δ)/k_-$. It is a property of the presynaptic cell, and one for all
# synapses that the cell makes with one transmitter. Glutamate, from AB, LP and PY, inhibits quickly
# and toward −70 mV; acetylcholine, from PD, slowly and toward −80 mV. At $V_\mathrm{th}$ the first
# has $τ_s$ = 20 ms, the second 50 ms. Release is graded: at −50 mV, without a spike, $s_∞$ is
# already 0.05, and a slow wave to −30 mV raises it to 0.73. $g_s$ is in nS, no density.
#
# What a label of a population stands for is its `CellType`: which cells of the table it may be, and
# which terminals it has. A terminal is where transmitter is released. The lumped AB/PD cell has
# two, named after the cells that it stands for, so that a synapse says which transmitter it uses:
# `("AB", "LP")` is glutamatergic, `("PD", "LP")` cholinergic.


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
# A circuit is data: what its cells are, and who is joined to whom. Cells of one *membrane* have the
# same channels and constants, and differ in their conductances only, so that their equations are
# evaluated side by side. The circuits of the paper have one membrane for all cells; a network of
# cells of different kinds, as in the [chapter on networks](models/networks.py), has several, and is a
# circuit like any other.
#
# A `Population` has a label, a type, a number of cells, and the number of its membrane; a
# `Connection` names a terminal, and the numbers of the presynaptic population, the transmitter and
# the postsynaptic population. The circuit of Fig. 3e is three populations of one cell and seven
# connections. A synapse means that *every* cell of the presynaptic population inhibits *every* cell
# of the postsynaptic one with $g_s$ (and never itself); a gap junction joins the cells of two
# populations in the same way. Cells of one population that start alike and are driven alike stay
# alike; such a population is integrated once and counted `copies` times.


# %%
class Membrane(NamedTuple):
    """What the cells of one kind have in common: their channels and constants. What differs are their conductances."""

    channels: tuple[Channel, ...] = CHANNELS
    constants: Constants = CONSTANTS
    pool: bool = True  # whether the calcium concentration changes
    temperature: float = 10.0  # °C, at which all this holds
    pump: float | None = None  # Q10 of the rate of the calcium pump, where it is known


# %% [markdown]
# Of synapses there are two sorts. The graded ones are those of the paper. A *kinetic* synapse has an
# equation $ds/dt = f(s, V_\mathrm{pre}, V_\mathrm{post})$ of its own, and an activation $z$ for each
# pair of cells; the [chapter on networks](models/networks.py) makes some. All that follows from the data,
# such as the numbers of the cells of each membrane, `circuit.groups`, is in the module `layout`.
#
# None of this changes during a run. JAX translates a function for given sizes of its arrays into
# machine code, and with the circuit fixed that code contains no choice, such as a test for a
# channel that a membrane lacks. Another topology means another translation, which takes a second; other conductances do not.


# %%
class Topology(NamedTuple):
    """The data of a circuit."""

    populations: tuple[Population, ...]
    synapses: tuple[Connection, ...]  # graded ones
    membranes: tuple[Membrane, ...] = (Membrane(),)
    transmitters: tuple[Any, ...] = TRANSMITTERS  # kinds of graded synapses
    junctions: tuple[tuple[int, int], ...] = ()  # populations that gap junctions join, each cell to each
    kinetic: tuple[tuple[int, int, int], ...] = ()  # kinetic synapses: pre, post, index into `kinds`
    kinds: tuple[Any, ...] = ()  # their kinds


class Circuit(layout.Arranged, Topology):
    """All that is fixed when a simulation is compiled. Hashable, unless numbers of it are differentiated."""

    __slots__ = ()


# %% [markdown]
# ### Conductances
#
# What varies from one circuit to the next are numbers. `Params` holds them in the papers' units, one
# row for each population, and carries the circuit along: derivatives are taken with respect to the
# numbers, and a run is compiled once for each circuit. `prepare` turns them into what the equations
# want: conductances of whole cells in µS, the density times the area. Being a *pytree*, a tree of
# arrays for JAX, `Params` is what `jax.grad` returns, too: the derivative of a number by `params` has
# the same fields, each with the derivative by that conductance. The gap junctions are
# solved here, too, for half a step of integration, since nothing of that solution changes during a
# run. A cell whose potential is imposed, as by a clamp, is `held`: it does not follow its neighbours.


# %%
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

    g: tuple[Any, ...]  # for each membrane (channel, cell)
    w: Any  # (post, pre, transmitter) of the graded synapses, cell by cell or, of many cells, by populations
    gap: junctions.Coupling | None  # gap junctions, if there are some
    gz: Any  # (slot, cell) of the kinetic synapses onto each cell


def prepare(params: Params, dtype: Any, dt: float, held: tuple[int, ...] = ()) -> Prepared:
    """All conductances in µS, and the gap junctions solved for half a step dt (ms); held: numbers of cells whose potential is imposed."""
    circuits.params_fit(params, Params)
    return converted(params, dtype, dt, held)


def converted(params: Params, dtype: Any, dt: float, held: tuple[int, ...] = ()) -> Prepared:
    """The same without a check; each number may have another axis behind it, of circuits side by side."""
    c, (g, gs, ge, gz) = params.circuit, (jnp.asarray(x, dtype) for x in (params.g, params.gs, params.ge, params.gz))
    areas = [m.constants.A * CM2_MS_TO_US for m in c.membranes]
    C = jnp.asarray(layout.constant(c, "C"), dtype)
    gap = junctions.coupling(c, ge * NS_TO_US, C, dt / 2, held) if c.junctions else None
    whole = tuple(x * area for x, area in zip(layout.densities(c, g), areas, strict=True))
    return Prepared(whole, layout.weights(c, gs * NS_TO_US), gap, junctions.kinetic_conductances(c, gz * NS_TO_US))


# %% [markdown]
# ## State
#
# Every cell has its potential, its calcium, its gates, and the activation of the synapses it makes,
# one for each transmitter. (A cell that releases only one of them ignores the other.) States that a
# user sees, a `State`, have the cell first. Inside, a `Working` state has *names first, places after*:
# a row for each gate, a column for each cell. A sum over channels then runs over whole rows, and one
# more axis behind the last may hold thousands of circuits side by side. A cell of the paper has seven
# $m$, four $h$ and two $s$, which with $V$ and $[Ca]$ makes 15 variables, and 45 for the circuit.


# %%
class State(NamedTuple):
    """State of all integrated cells; with a leading time axis, a trajectory. Cells with fewer gates than others have 0 in their places."""

    V: Any  # (cell,) mV, membrane potential
    Ca: Any  # (cell,) µM, intracellular calcium
    s: Any  # (cell, transmitter) activation of the synapses that the cell makes, 0…1
    m: Any  # (cell, activating channel) 0…1
    h: Any  # (cell, inactivating channel) 0…1


class Working(NamedTuple):
    """The state as the equations use it: names first, then cells; a last axis may hold circuits side by side."""

    V: Array  # (cell,) mV
    Ca: Array  # (cell,) µM
    s: Any  # (transmitter, cell)
    x: tuple[Any, ...]  # for each membrane (gate, cell): m of all activating channels, then h of all inactivating ones
    z: Any  # (slot, cell) of the kinetic synapses onto each cell


def state_of(circuit: Circuit, V: Any, Ca: Any, s: Any, m: Any, h: Any, z: Any = None) -> Any:
    """A state with the fields that the circuit has."""
    return junctions.KineticState(V, Ca, s, m, h, z) if circuit.kinetic else State(V, Ca, s, m, h)


def pack(circuit: Circuit, y: Any) -> Working:
    """A state with names first, and m and h of each membrane together."""
    return Working(y.V, y.Ca, turned(y.s), layout.gates_together(circuit, y.m, y.h), turned(getattr(y, "z", None)))


def unpack(circuit: Circuit, y: Working) -> Any:
    """The inverse of `pack`."""
    return state_of(circuit, y.V, y.Ca, turned(y.s), *layout.gates_apart(circuit, y.x), turned(y.z))


# %% [markdown]
# The cold start of {cite:t}`Prinz2003` (p. 4001) is a cell at −50 mV with resting calcium, all $m$
# closed and all $h$ open. No cell ever visits this state, but every cell leaves it for its own
# rhythm within a few seconds.


# %%
def cold_start(circuit: Circuit) -> Any:
    """P03 p. 4001: V = −50 mV, Ca = 0.05 µM, m = 0, h = 1; s = 0."""
    V, Ca = (layout.at_rest(circuit, name) for name in ("V_cold", "Ca_rest"))
    s = np.zeros((len(V), len(circuit.transmitters)))
    m, h = (layout.places(circuit, gates) for gates in (activating, inactivating))
    return state_of(circuit, V, Ca, s, 0 * m, h, junctions.starts(circuit))


# %% [markdown]
# ## Right-hand side
#
# ### Gates
#
# Equation {eq}`eq-gate` needs all $x_∞$ and $τ_x$. The obvious way to evaluate them calls one function
# after the other:


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
# A processor takes many equal operations on neighbouring numbers at once, so the superfluous ones are
# cheaper than telling them apart. A cell below checks that both versions agree.


# %%
def gates_of(circuit: Circuit, membrane: Membrane) -> tuple[tuple[Gate, ...], tuple[Gate, ...]]:
    """The gates of all synapses that a cell may make, and those of its membrane, all m before all h."""
    released = tuple(t.gate(membrane.constants) for t in circuit.transmitters)
    return released, (*(c.m for c in activating(membrane)), *(c.h for c in inactivating(membrane)))


def kinetics(circuit: Circuit, membrane: Membrane, V: Array, Ca: Array) -> Any:
    """(s∞, τ_s) and (x∞, τ_x) of the cells of a membrane, each of shape (gate, cell), τ in ms."""
    return targets(gates_of(circuit, membrane), membrane.constants.τ_min, V, Ca)


# %% tags=["active-ipynb"]
# with precision():
#     V, Ca, here = np.linspace(-90, 60, 151), np.full(151, 5.0), (Circuit((), ()), Membrane())
#     for gates, fast in zip(gates_of(*here), kinetics(*here, V, Ca)):
#         plain = steady_and_tau_plain(gates, V, Ca)
#         assert all(np.allclose(a, b, rtol=1e-12, atol=CONSTANTS.τ_min) for a, b in zip(fast, plain))

# %% [markdown]
# ### Membrane currents
#
# The conductance of a channel is $\bar g_i A\, m^p h^q$, and the currents add up: with $G = \sum
# G_i$ and $J = \sum J_i$ all of them together are $G V - J$. The cell has one conductance and one
# driving current, whatever its channels. The two tell at once where the potential is heading and
# how fast: to $J/G$, with the time constant $C/G$. A leak of 0.02 µS at −50 mV and a synapse open
# to 0.03 µS at −70 mV make $G$ = 0.05 µS and $J$ = −3.1 nA, hence −62 mV within 13 ms. In the code
# $γ$ is the open conductance of one channel in µS, and `c` are the constants of a membrane.


# %%
def conductances(membrane: Any, g: Any, x: Any) -> list[Array]:
    """ḡ A m^p h^q of each channel in µS, from ḡ A of each channel and the values of each gate, (cell,) or any other shape."""
    m, h = layout.by_channel(membrane, x)
    power = lambda x, n: x if n == 1 else x**n  # noqa: E731
    return [
        g[i] * (m[c.name] ** c.p if c.m else 1) * (power(h[c.name], c.q) if c.h else 1)
        for i, c in enumerate(membrane.channels)
    ]


def linear(channel: Channel, c: Constants, γ: Array, V: Array, Ca: Array) -> tuple[Array, Array]:
    """G (µS) and J (nA), such that the current through γ (µS) of a channel near V is G V − J."""
    return channel.E.linear(c, γ, V, Ca) if hasattr(channel.E, "linear") else (γ, γ * channel.E)


def opened(membrane: Membrane, g: Array, x: Array) -> list[tuple[Channel, Array]]:
    """Each channel of a membrane with its conductance, (cell,) µS."""
    return list(zip(membrane.channels, conductances(membrane, g, x), strict=True))


def ionic(membrane: Membrane, g: Array, V: Array, Ca: Array, x: Array, G: Array, J: Array) -> tuple[Array, Array]:
    """G (µS) and J (nA), (cell,), with the membrane currents added."""
    for channel, γ in opened(membrane, g, x):
        G_i, J_i = linear(channel, membrane.constants, γ, V, Ca)
        G, J = G + G_i, J + J_i
    return G, J


# %% [markdown]
# ### Synaptic input
#
# Synapses add to the same two sums: $\sum I_s = G_s V - J_s$ with $G_s = \sum g_s s$ and $J_s =
# \sum g_s s E_s$. Few cells see each other one by one. For many cells the sum runs over populations
# first, so that it costs as much for a thousand PY cells as for one. A sum over a population is
# also right for its `copies`, and what a cell of the same population would give itself is taken out
# again. Kinetic synapses, where a circuit has some, add their own part.


# %%
def synaptic_input(circuit: Circuit, w: Any, s: Any) -> tuple[Array, Array]:
    """G_s (µS) and J_s (nA), each (cell,), from the activations s (transmitter, cell)."""
    if not layout.sees_each(circuit, w):
        return layout.from_populations(circuit, w, s)
    gs = w * s.T  # (post, pre, transmitter)
    return gs.sum((1, 2)), (gs * layout.reversals(circuit, s.dtype)).sum((1, 2))


def chemical(circuit: Circuit, p: Prepared, y: Working) -> tuple[Array, Array]:
    """G (µS) and J (nA), each (cell,), of all chemical synapses."""
    none = jnp.zeros_like(y.V)
    G, J = synaptic_input(circuit, p.w, y.s) if circuit.transmitters else (none, none)
    if circuit.kinetic:
        G_z, J_z = junctions.kinetic_input(circuit, p.gz, y.z)
        G, J = G + G_z, J + J_z
    return G, J


# %% [markdown]
# ### Electrical synapses
#
# The gap junctions of a circuit are a linear map from the potentials to the currents, $I_e = L V$,
# with the matrix
#
# $$
# L_{ij} = -g_{ij} \quad (i \ne j), \qquad L_{ii} = \sum_{j \ne i} g_{ij}.
# $$ (eq-junctions)
#
# Its rows add up to 0: equal potentials drive no current. Where cells are many, each exchanges
# current with the *mean* of each population, which is the same sum, $\sum_j g\,(V_i - V_j) = N g\,
# (V_i - \bar V)$. The function `electrical_current`, in the module `junctions`, computes $L V$ in one
# of the two ways. Two cells with $g$ = 10 nS between them approach each other with $C/2g$ = 31 ms,
# slowly for a spike, fast for a burst.
#
# ### Current balance and calcium
#
# All currents charge the membrane's capacitance $C$. Those of calcium also bring calcium, which a
# pump takes away:
#
# $$
# \begin{aligned}
# C \frac{dV}{dt} &= - \sum_i I_i - \sum I_s - \sum I_e + I_\mathrm{ext}, \\
# τ_{Ca} \frac{d[Ca]}{dt} &= - f\,(I_{CaT} + I_{CaS}) - [Ca] + [Ca]_\mathrm{rest}.
# \end{aligned}
# $$ (eq-balance)
#
# A steady inward current of 1 nA would hold $[Ca]$ at 15 µM above rest. The two equations are
# coupled both ways: calcium lowers $E_{Ca}$ and opens KCa, and so limits what lets it in. The
# balance of calcium comes with its derivative with respect to $[Ca]$, which integration needs. For
# the Nernst potential $dE_{Ca}/d[Ca] = -γ/[Ca]$; any other law is differentiated by JAX.


# %%
def calcium_balance(membrane: Membrane, g: Array, V: Array, Ca: Array, x: Array) -> tuple[Array, Array]:
    """d[Ca]/dt, (cell,) µM/ms, and its derivative with respect to [Ca], 1/ms."""
    c = membrane.constants
    enters = [(channel, γ) for channel, γ in opened(membrane, g, x) if channel.ion == "Ca"]
    g_Ca = sum(γ for channel, γ in enters if layout.is_nernstian(channel)) + 0 * g[0]
    influx, slope = c.f * g_Ca * (V - Nernst().potential(c, Ca)), c.f * g_Ca * c.γ / Ca
    for channel, γ in enters:
        if not layout.is_nernstian(channel):
            I, dI = with_slope(partial(current_of, channel, c, γ, V), Ca)
            influx, slope = influx + c.f * I, slope + c.f * dI
    return -(influx + Ca - c.Ca_rest) / c.τ_Ca, -(slope + 1) / c.τ_Ca


def current_of(channel: Channel, c: Constants, γ: Array, V: Array, Ca: Array) -> Array:
    """Current (nA) of a channel of which γ = ḡ A m^p h^q (µS) is open."""
    if hasattr(channel.E, "current"):
        return γ * channel.E.current(c, V, Ca)
    return γ * (V - (channel.E.potential(c, Ca) if hasattr(channel.E, "potential") else channel.E))


# %% [markdown]
# The right-hand side puts all of this together, for the cells of one membrane after the other.
# `derivative` is the same for users: a pure function of parameters and state. It takes the state
# nearest to the given one within bounds, gates in $[0, 1]$ and calcium above its least value.


# %%
def slopes(circuit: Circuit, p: Prepared, y: Working, I: Any) -> Working:
    """Time derivative of a state, per ms."""
    G, J = chemical(circuit, p, y)
    V_dot, rest = [], []
    J = J - junctions.electrical_current(p.gap, y.V) + I
    for membrane, g, V, Ca, s, x, *sums in by_membrane(circuit, p, y, G, J):
        G, J = ionic(membrane, g, V, Ca, x, *sums)
        V_dot.append((J - G * V) / membrane.constants.C)
        Ca_dot = calcium_balance(membrane, g, V, Ca, x)[0] if membrane.pool else jnp.zeros_like(Ca)
        (s_inf, τ_s), (x_inf, τ_x) = kinetics(circuit, membrane, V, Ca)
        rest.append((Ca_dot, (s_inf - s) / τ_s, (x_inf - x) / τ_x))
    return Working(join(circuit, V_dot), *rejoined(circuit, rest), junctions.kinetic_slope(circuit, y.V, y.z))


def derivative(params: Params, state: Any, I_ext: Any = 0.0) -> Any:
    """Time derivative of the state, per ms. I_ext: () or (cell,) nA. Shapes as in `State`."""
    state, circuit = circuits.started(params, state, Params, state_of), params.circuit
    pure_current(I_ext, len(circuit.rows), None)
    p, y = prepare(params, state.V.dtype, DEFAULT_DT), layout.within_bounds(circuit, pack(circuit, state))
    return unpack(circuit, slopes(circuit, p, y, jnp.asarray(I_ext, state.V.dtype)))


# %% [markdown]
# ## Integration
#
# ### Splitting
#
# The equations are stiff: $m$ of sodium moves within 0.1 ms, calcium within 200. A method that steps
# along the slopes has to resolve the fastest of them. But with all *other*
# variables frozen, each equation above is linear, $\dot y = (y_∞ - y)/τ$, and its exact solution is
# known, an exponential approach to $y_∞$ that cannot overshoot for any step. A **splitting scheme**
# strings such solutions together {cite:p}`RushLarsen1978`, so that no step can leave the range that
# the equations allow. What it costs is that variables which in truth move at once take turns; how
# they take turns decides how small that error is. Two orders of the same two turns differ by about
# $dt^2$ in a step, since each turn changes by about $dt$ what the other one starts from; over a
# given time that is an error of order $dt$, unless it is made to cancel. Take sodium's $m$ after
# the jump above, with $τ_m$ = 0.17 ms. A step of 0.5 ms along its slope would carry it to three
# times its target; the exact solution covers 95% of the way.
#
# A gate covers the share $1 - e^{-dt/τ}$ of its way in a step $dt$. For the potential over a time $h$,
# with $φ(z) = (1 - e^{-z})/z$,
#
# $$
# V \leftarrow V + \frac{h}{C}\,(J + I_\mathrm{ext} - G V)\; φ\!\left(\frac{hG}{C}\right).
# $$ (eq-flow)


# %%
def phi(z: Array) -> Array:
    """(1 − e^(−z))/z, smooth at 0."""
    small = z < 1e-4
    return jnp.where(small, 1 - z / 2 + z * z / 6, -jnp.expm1(-z) / jnp.where(small, 1, z))


def flow(V: Array, G: Array, J: Array, C: Any, h: Any) -> Array:
    """Exact solution of C dV/dt = J − G V after a time h (ms), {eq}`eq-flow`."""
    G, J = G / C, J / C
    return V + (J - G * V) * h * phi(h * G)


def covered_exactly(r: Array | float) -> Array:
    """1 − e^(−r): the share of its way to x∞ that a gate covers in a time r τ."""
    return -jnp.expm1(-r)


def approached(
    circuit: Circuit, membrane: Membrane, V: Array, Ca: Array, s: Array, x: Array, dt: float, share: Any
) -> tuple[Array, Array]:
    """s and x, (gate, cell), after a time dt (ms) with V and Ca frozen; share: dt/τ -> the share of the way that is covered."""
    (s_inf, τ_s), (x_inf, τ_x) = kinetics(circuit, membrane, V, Ca)
    moved = s + (s_inf - s) * share(dt / τ_s), x + (x_inf - x) * share(dt / τ_x)
    return layout.lying_together(moved[0]), layout.lying_together(moved[1])


# %% [markdown]
# `layout.lying_together` changes no number. It asks the compiler to keep the gates of a cell beside
# each other in memory, of which there are more than cells, so that the processor takes four at once.
#
# The potential of all cells takes its step with the sums $G$ and $J$ of the whole circuit. The two
# solutions are a parameter, `by`: thousands of circuits side by side compute them with other
# [exponentials](ensembles/lanes.py).


# %%
ARITHMETIC = layout.Arithmetic(flow, approached)


def charged(
    circuit: Circuit, p: Prepared, y: Working, I: Any, h: Any, by: layout.Arithmetic = ARITHMETIC, G_more: Any = None
) -> Array:
    """V (cell,) after a time h (ms) with everything else frozen, {eq}`eq-flow`; I (nA) and G_more (µS) act from outside."""
    G, J = chemical(circuit, p, y)
    G, moved = G if G_more is None else G + G_more, []
    parts = zip(by_membrane(circuit, p, y, G, J), layout.spread(circuit, I, y.V), strict=True)
    for (membrane, g, V, Ca, _, x, *sums), I_i in parts:
        G, J = ionic(membrane, g, V, Ca, x, *sums)
        moved.append(by.flow(V, G, J if I_i is None else J + I_i, membrane.constants.C, h))
    return join(circuit, moved)


# %% [markdown]
# ### Flows
#
# A scheme wants to know four things of a model: how the potential moves while all else is frozen
# (`charge`), how all else moves while the potential is frozen (`relax`), the potential's last half
# step (`close`), and how all move at once from the old state (`euler`). With these `Flows` a scheme is
# written once and serves every model. What acts on a model from outside wraps them: a voltage clamp
# replaces `charge`, noise adds to it, a search for spikes looks on after `relax`. Such a wrapper is a
# function from `Flows` to `Flows`, and wrappers can be put around each other. The number $k$ of the
# step tells what happens when: after `charge` the potential is that in the middle of step $k$.


# %%
class Flows(NamedTuple):
    """What a model gives to a scheme."""

    charge: Callable[[Any, Any, Any], Any]  # (y, k, h) -> y: V moves for h ms, to the middle of step k
    relax: Callable[[Any, Any], Any]  # (y, k) -> y: all else moves through step k
    close: Callable[[Any, Any], Any]  # (y, k) -> y: V moves half a step, to the beginning of step k
    euler: Callable[[Any, Any], Any]  # (y, k) -> y: all moves through step k, at first order


def flows(circuit: Circuit, p: Prepared, I: Any, dt: float, by: layout.Arithmetic = ARITHMETIC, G: Any = None) -> Flows:
    """The flows of a circuit under an external current I (nA) and, where there is one, an external conductance G (µS), functions of k."""
    more = (lambda k: None) if G is None else G  # noqa: ARG005
    return Flows(
        charge=lambda y, k, h: y._replace(V=charged(circuit, p, y, I(k), h, by, more(k))),
        relax=lambda y, k: relaxed(circuit, p, y, dt, by),  # noqa: ARG005
        close=lambda y, k: y._replace(V=charged(circuit, p, y, I(k), dt / 2, by, more(k))),
        euler=lambda y, k: euler_step(circuit, p, y, I(k), dt, by),
    )


# %% [markdown]
# ### Exponential Euler
#
# **Exponential Euler**, the papers' scheme, advances every variable from the old state of all the
# others. It is first-order: halving the step halves the error, and at its customary 0.025 ms the
# burst period is off by up to 3%. Every gate sees the potential of one step ago, and the potential
# gates of one step ago, so that all lag by about half a step, always to the same side. The potentials
# of coupled cells count among the frozen ones: their gap junctions are a conductance and a current
# like a synapse's. The fixed point of calcium with all else frozen is
# $[Ca] + τ_{Ca}\, d[Ca]/dt$, which it approaches with $τ_{Ca}$.
#
# The loop over the steps is `lax.fori_loop`, of which JAX compiles the body once. It has no side
# effects: a step takes a state and returns the next.


# %%
def euler_step(circuit: Circuit, p: Prepared, y: Working, I: Any, dt: float, by: layout.Arithmetic) -> Working:
    """The state after a time dt (ms), everything from the old state of all the rest."""
    after = []
    for membrane, g, V, Ca, s, x in by_membrane(circuit, p, y):
        c = membrane.constants
        target = Ca + c.τ_Ca * calcium_balance(membrane, g, V, Ca, x)[0] if membrane.pool else Ca
        Ca_after = jnp.maximum(Ca + (target - Ca) * covered_exactly(dt / c.τ_Ca), c.Ca_min)
        after.append((Ca_after, *by.gates(circuit, membrane, V, Ca, s, x, dt, covered_exactly)))
    I, own = (I, None) if p.gap is None else ((0 if I is None else I) + p.gap.own * y.V - p.gap.current(y.V), p.gap.own)
    V = charged(circuit, p, y, I, dt, by, own)
    return Working(V, *rejoined(circuit, after), junctions.kinetic_step(circuit, y.V, y.z, dt))


def exponential_euler(f: Flows, y: Any, k: Any, n: int, dt: float, unroll: int = 1) -> Any:  # noqa: ARG001
    """n steps of first-order exponential Euler from step k."""
    return lax.fori_loop(0, n, lambda i, y: f.euler(y, k + i), y, unroll=unroll)


# %% [markdown]
# ### The staggered scheme
#
# The **staggered** scheme, the default, is second-order at the same price: halving the step divides
# the error by four. It is a Strang splitting {cite:p}`Strang1968`: half a step of $V$ with the gates
# frozen, a whole step of the gates with $V$ frozen, half a step of $V$. This sequence reads the same
# from both ends, so that what the first half does too early, the second does too late, and the errors
# of first order cancel. The last half step joins the next first one, so that potentials are known at
# half steps and gates at whole steps, and each is evaluated once per step, as {numref}`fig-splitting`
# draws it.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Three steps of the staggered scheme. Potentials (above) and all else (below) leapfrog: each arrow is an exact solution with the other row frozen where it stands.", "name": "fig-splitting"}}
# gates_at, potentials_at = [0, 1, 2, 3], [0, 0.5, 1.5, 2.5, 3]
# arrows = [(a, row, b, row) for row, at in ((0, gates_at), (1, potentials_at)) for a, b in zip(at, at[1:])]
# looks_at = [(x, 1, x, 0) for x in potentials_at[1:-1]] + [(x, 0, x, 1) for x in gates_at]
# frozen = hv.Segments(looks_at).opts(color="#bbbbbb", line_dash="dashed")
# moved = hv.Segments(arrows).opts(color="#3060a8", line_width=2)
# points = hv.Scatter([(x, 0) for x in gates_at] + [(x, 1) for x in potentials_at]).opts(size=8, color="#3060a8")
# look = dict(width=560, height=170, toolbar=None, yticks=[(0, "gates, calcium"), (1, "potentials")], ylim=(-0.4, 1.4))
# (frozen * moved * points).opts(**look, xlabel="time (steps)", ylabel="", xticks=gates_at)

# %% [markdown]
# In detail:
#
# - Gates need $1 - e^{-r}$, $r = dt/τ$. We take $q/(1+q)$ with $q = r + r^2/2 + r^3/6 + r^4/24$,
#   which is within $r^5/120$ of it, stays in $[0, 1)$ for any $r$, loses no digits in single
#   precision, and needs no exponential.
# - Calcium takes half a step before the gates and half a step after them, each with the calcium
#   conductance of its side, so that $m_∞$ of $I_{KCa}$ sees the calcium in the middle of its step. Each is one
#   step of the linearized equation, whose Jacobian in $[Ca]$ contains the Nernst potential, and
#   which is implicit: $Δ = h\,\dot{[Ca]} / (1 - \frac{h}{2}\, \partial\dot{[Ca]}/\partial[Ca])$ stays small however steep the slope is.
# - Calcium never falls below $[Ca]_\mathrm{min}$, where $E_{Ca}$ is 303 mV. Only a potential above
#   $E_{Ca}$, +134 mV at rest, could bring it there.
# - Gap junctions alone obey $C\,dV/dt = -LV$, whose solution after half a step is the matrix
#   exponential $V \leftarrow e^{-C^{-1}L\,dt/2}\,V$, computed once for a run. It is applied on each side
#   of the gates, which so see the potential in the middle. For many cells it is the same in two
#   parts: a small matrix moves the populations' means, and one factor draws each cell toward its own.
#
# In the flows of a model a block of $n$ steps reads: `charge` for half a step, `relax`; then $n -
# 1$ times `charge` for a whole step, `relax`; and `close`. Each step computes the conductances once
# and the gates once, as exponential Euler does. A kinetic synapse takes its step with the gates, by
# the exponential of its linearized equation.
#
# Every recorded state is complete: a run continued from it repeats the operations of one that went on.


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


def relaxed(circuit: Circuit, p: Prepared, y: Working, dt: float, by: layout.Arithmetic = ARITHMETIC) -> Working:
    """The state after a time dt (ms) with V frozen, but for the current of the gap junctions."""
    V_middle, V_end = junctions.contracted(p.gap, y.V)
    after = []
    for membrane, g, V, Ca, s, x in by_membrane(circuit, p, y._replace(V=V_middle)):
        Ca = calcium_step(membrane, g, V, Ca, x, dt / 2)
        s, x = by.gates(circuit, membrane, V, Ca, s, x, dt, covered)
        after.append((calcium_step(membrane, g, V, Ca, x, dt / 2), s, x))
    return Working(V_end, *rejoined(circuit, after), junctions.kinetic_step(circuit, V_middle, y.z, dt))


def staggered(f: Flows, y: Any, k: Any, n: int, dt: float, unroll: int = 1) -> Any:
    """n steps of the second-order staggered scheme from step k."""
    y = f.relax(f.charge(y, k, dt / 2), k)
    y = lax.fori_loop(1, n, lambda i, y: f.relax(f.charge(y, k + i, dt), k + i), y, unroll=unroll)
    return f.close(y, k + n)


# %% [markdown]
# A new scheme is one more function of this form, and a line in this table. It advances a state by $n$
# steps from step $k$, without knowing what a state consists of, so that it serves a circuit, a
# thousand of them side by side, and a circuit under a clamp alike. `unroll` is for the compiler: how
# many steps it writes out between two turns of the loop.

# %%
SCHEMES = {"staggered": staggered, "exponential_euler": exponential_euler}
DEFAULT_SOLVER = "staggered"
DEFAULT_DT = 0.05  # ms

# %% [markdown]
# ### From a start to the requested times
#
# A run records the state at the requested times: `grid_of` says after which steps they come, and
# `recorded` goes there. Between multiples of $dt$ it interpolates linearly, which is second-order
# too. The steps themselves do not depend on the times asked for, so that a run recorded every 0.05
# ms and one recorded every second pass through the same states. The loop is compiled once for each
# circuit, number of times and step; other conductances, starts and currents reuse it. With
# `record` the other variables take no memory.


# %%
def integrate(
    params: Params, state: Any, I: Any, slots: Slots | None, *, grid: Grid, solver: str, dt: float, t0: float,
    record: tuple[str, ...] | None = None,
) -> Any:  # fmt: skip
    """States on the grid, with a leading time axis. I: () or (cell,) or (step, cell) nA, or a function of t.

    record: the fields of `State` to record; of the others only the last is returned, (1, …). None records all.
    """
    state, circuit = circuits.started(params, state, Params, state_of), params.circuit
    f = flows(circuit, prepare(params, state.V.dtype, dt), input_at(I, dt, t0, state.V.dtype), dt)
    advance = lambda y, k, n: SCHEMES[solver](f, y, k, n, dt)  # noqa: E731
    return recorded(advance, partial(unpack, circuit), pack(circuit, state), grid, slots, record)[1]


compiled_integrate, compiled_with_function = compiled(integrate)

# %% [markdown]
# **Adaptive solvers** come from [diffrax](https://docs.kidger.site/diffrax) {cite:p}`Kidger2021` and
# integrate the right-hand side to a tolerance. They may overshoot the bounds of a gate by that
# tolerance; the right-hand side and the result are taken at the nearest state within bounds. Where an
# input or a state is not a number, they end, and say for which cell. They take long steps between
# bursts and short ones in spikes, and each costs several evaluations: at the default tolerance of
# $10^{-6}$ they are the reference, not the fast way.


# %%
def integrate_adaptively(params: Params, state: Any, t: Any, I: Any, **scheme: Any) -> Any:
    """States at times t (ms), with a leading time axis, by a diffrax solver. I: () or (cell,) nA, or a function of t."""
    state, circuit = circuits.started(params, state, Params, state_of), params.circuit
    p, inside = prepare(params, state.V.dtype, DEFAULT_DT), partial(layout.within_bounds, circuit)
    current = I if callable(I) else lambda _: 0.0 if I is None else I
    slope = lambda t, y: slopes(circuit, p, inside(y), jnp.asarray(current(t), y.V.dtype))  # noqa: E731
    return jax.vmap(lambda y: unpack(circuit, inside(y)))(adaptively(slope, pack(circuit, state), t, **scheme))


# %% [markdown]
# `simulate` is the pure function under everything else: `jax.jit`, `vmap` and `grad` work on it. It
# changes nothing and looks at no settings; what it needs are its arguments. By default JAX computes
# in 32 bits: `with precision():` around a call makes it 64, as in all calls of a model.


# %%
def simulate(
    params: Params, state: Any, t: Any, I_ext: Any = None, *, solver: Any = DEFAULT_SOLVER, dt: float = DEFAULT_DT,
    t0: float = 0.0, rtol: float = DEFAULT_RTOL, atol: float = DEFAULT_ATOL,
) -> Any:  # fmt: skip
    """States at the times t, shape (time, …) in each field of `State`.

    params, state: as `Prinz2004.params` and `.get_thermalization()`; t: (time,) ms, increasing and concrete (not traced), not before t0,
    the time of `state`. I_ext: None, () or (cell,) nA, (step, cell) nA at the steps t0 + k dt, or a function of t. solver: "staggered",
    "exponential_euler" or a diffrax solver, which uses rtol and atol instead of dt (ms). The precision is that of `state` under JAX's
    settings, see `precision`. Raises TypeError or ValueError for times, dt or solvers that cannot be used.
    """
    state = circuits.startable(circuits.started(params, state, Params, state_of))
    t, steps = planned(t, t0, solver, dt, SCHEMES, I_ext, len(params.circuit.rows), rtol, atol)
    if steps is None:
        return integrate_adaptively(params, state, t, I_ext, solver=solver, t0=t0, rtol=rtol, atol=atol)
    return integrate(params, state, I_ext, **steps, solver=solver, t0=t0)


# %% [markdown]
# ## Result
#
# A `SimResult` shows a run as tables (`V`, `Ca`, `s`, `m`, `h`, `currents`), as spike times (local
# maxima of $V$ above −10 mV) and as a picture, and writes files that carry their units. `dims` names
# the quantities for plots. Currents follow from the recorded states, outward positive: the open share
# of each channel times its distance from the reversal potential. What the synapses and the gap
# junctions pass stands in two more columns. A run that records the potential alone has none.


# %%
def of_channels(params: Params, states: Any, f: Callable[..., Array]) -> Array:
    """f(membrane, channel, γ, V, Ca) -> (cell,) of each channel, open to γ µS, at states (time, …): (time, cell, channel)."""
    circuit, p = params.circuit, prepare(params, states.V.dtype, DEFAULT_DT)

    def at_state(y: Any) -> Array:
        parts = by_membrane(circuit, p, pack(circuit, y))
        found = [[f(m, channel, γ, V, Ca) for channel, γ in opened(m, g, x)] for m, g, V, Ca, _, x in parts]
        return layout.of_channels(circuit, found, y.V.dtype)

    return jax.vmap(at_state)(states)


def currents(params: Params, states: Any) -> Array:
    """Currents of each channel, then synaptic and electrical, (time, cell, channel + 2) nA, outward positive."""
    states, circuit = circuits.started(params, states, Params, state_of, "time"), params.circuit
    p = prepare(params, states.V.dtype, DEFAULT_DT)

    def others(y: Any) -> Array:
        G, J = chemical(circuit, p, pack(circuit, y))
        return jnp.stack([G * y.V - J, junctions.electrical_current(p.gap, y.V)], 1)

    ionic = of_channels(params, states, lambda membrane, channel, *at: current_of(channel, membrane.constants, *at))
    return jnp.concatenate([ionic, jax.vmap(others)(states)], 2)


# %% [markdown]
# ## The model
#
# A `Model` carries the equations, its `physics`, and the numbers to use them with. What it does
# with the arguments of a call is in the module `model`. A subclass sets the labels of the
# populations, `params`, a state to start from and the precision; `model.like(params)` is it with other numbers.
#
# Currents from outside are numbers, functions of time, or samples with times of their own. Samples
# cover the whole run, or say what holds outside of them: `Sampled(frame, outside=0)` or
# `outside="hold"`. A long run may record the potential alone, with
# `record=("V",)`; its last state is complete all the same, and `model(t, state=result.final_state,
# t0=result.t[-1])` goes on from there.


# %%
class Model(Runnable):
    """Cells and what joins them, ready to run: all that `Prinz2004` and the networks of later chapters have in common."""

    params: Params
    physics = Physics(
        SCHEMES, (DEFAULT_SOLVER, DEFAULT_DT), cold_start, state_of, derivative, jax.jit(derivative),
        compiled_integrate, compiled_with_function, integrate_adaptively, jax.jit(currents),
    )  # fmt: skip


# %% [markdown]
# ### Thermalization
#
# {cite:t}`Prinz2004` start each cell of a circuit from the state that it reaches alone. Here that is
# the state after 5 s without synapses and input from the cold start, with $s = 0$. It is computed the
# first time a cell is used, and kept on disk: one entry for each cell, under a key that holds
# everything that decides the result, so that circuits share cells and a change of the physics never
# meets an old state. The module `thermalization` does it, for every model: the cells of one membrane
# side by side, each at its own conductances. A circuit so starts with each cell in its rhythm, and
# the phases in which the cells happen to be decide how it goes on; see
# [below](sec-departures).
#
# ### The circuits of the paper
#
# `Prinz2004` reads a circuit in the forms that people write. Each label tells the type of its cells,
# and with it their terminals: a synapse from `"AB"` comes from the glutamatergic terminal of an AB/PD
# population, if there is one. Conductances of synapses are a mapping as at the top of this chapter, a
# DataFrame with named rows and columns, or a matrix with a row for each postsynaptic population. A
# label or a shape that does not fit is refused before anything is computed, and numbers that look like
# another unit are warned of. All pacemaker cells are coupled, also those of one population.


# %%
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
        sizes, self.dtype = circuits.populations(pop_sizes), dtype_of(dtype)
        channels = circuits.channels(channels, Channel, CHANNELS, Nernst())
        membrane, self.labels = Membrane(channels, circuits.constants(constants, Constants)), tuple(sizes)
        models = self.models.reindex(columns=[c.name for c in channels], fill_value=0.0)
        types, g = circuits.cells(self.labels, cell_types, g_ion, CELL_TYPES, models, membrane.constants.A)
        populations = tuple(map(Population, self.labels, types, sizes.values()))
        self.terminals, strengths, ends = circuits.joined(gs, sizes, [CELL_TYPES[t] for t in types], TRANSMITTERS)
        g_e = circuits.coupling(DEFAULT_GE if ge is None else ge)
        synapses, pairs = tuple(Connection(*x) for x in ends), layout.pacemaker_pairs(populations)
        circuit = Circuit(populations, synapses, (membrane,), junctions=pairs)
        self.params = Params(g, strengths, g_e, circuit)
        self.cold = cold_start(circuit)


# %% [markdown]
# ## Changing it in a notebook
#
# Python keeps one module under each name, and every part of this package that imports `prinz2004`
# gets that one, made from the file. But where this chapter runs as a notebook, its cells have by now
# defined everything a second time. Two classes are called `Prinz2004`: that of the file, which drew
# the figure at the top, and that of the notebook. An experiment knows the first and would not accept
# a model of the second. The next cell therefore puts the notebook in the place of the file, under
# the file's name. What is imported from here on, be it the analysis of rhythms, `fit`, `ensemble`
# or `current_clamp`, takes classes and numbers from the cells above.
#
# So change a number there and run all cells: give AB/PD 2 half its CaS, let sodium open at another
# potential, move $E_{Na}$. The figures below show the changed model, and experiments that you add
# accept it. Where a number in the text no longer holds, a warning says so. The figure at the top is
# drawn before the cells are defined; it shows the circuit of the file, and in a second run, with the
# same kernel, the changed one. No file is touched: the states from which cells start are computed
# anew and kept in memory, and a new kernel begins with the file again. Processes of their own, such
# as those of a cluster, know the file only.

# %% tags=["active-ipynb"]
# from .book import use_this_notebook
#
# use_this_notebook()

# %% [markdown]
# ## Experiments
#
# The sixteen cells, each alone, in the last two of the five seconds of thermalization: the pacemakers
# burst, LP and PY cells fire tonically or in short groups, and PY 2 and PY 3 are silent. One run has them all.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The sixteen cells of {numref}`tbl-cells`, each alone.", "name": "fig-cells"}}
# from .book import cell_panels
# from .plotting import circuit_diagram, currentscape
# from .rhythm import bursts
#
# cells = Prinz2004({name: 1 for name in neuron_models.index}, gs={}, ge=0)
# alone = cells.thermalize()[3000:]
# cell_panels(alone)

# %% [markdown]
# The circuit of Fig. 3e once more, read from a file that comes with the package. At first each cell
# goes on in the rhythm that it has alone.

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "The first five seconds of the circuit of Fig. 3e.", "name": "fig-start"}}
# from .config import find_circuit
#
# paper = Prinz2004.from_toml(find_circuit("paper"))
# run = paper(np.arange(0, 5000, 0.5))
# rhythm = run[2000:]
# run.plot()

# %% [markdown]
# A check: what all recorded currents of a cell leave over is what charges it, {eq}`eq-balance`.

# %% tags=["active-ipynb"]
# moment, C = run.final_state, paper.circuit.constants.C
# left_over = -run.currents.iloc[-1].groupby(level=["pop", "index"], sort=False).sum()
# assert np.allclose(left_over, C * np.asarray(paper.derivative(5000, moment).V))

# %% [markdown]
# The same circuit with the strength of each synapse in nS; blue is glutamate, orange
# acetylcholine. The pacemaker bursts by itself and inhibits LP and PY, which fire between its
# bursts, each when it has recovered: LP first, PY after it. The strong synapse from PY onto LP ends
# LP's burst, the one from LP onto the pacemaker delays the next burst. So the triphasic rhythm arises
# from inhibition alone.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The circuit of Fig. 3e; strengths in nS, blue glutamate, orange acetylcholine.", "name": "fig-circuit"}}
# circuit_diagram(paper)

# %% [markdown]
# The currents of the pacemaker through one burst. Between bursts, LP's synapse and the A current hold
# the cell down while H, then CaS, brings it up. The calcium currents carry the burst, KCa grows with
# the calcium that they let in, and ends it.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "One burst of the pacemaker: potential, size of all outward current, share of each current in all outward and in all inward current, and size of all inward current.", "name": "fig-currents"}}
# onsets = bursts(rhythm.spike_times()["AB/PD", 0])[:, 0]
# onset = onsets[1] if len(onsets) > 1 else 3000  # a changed cell may not burst
# currentscape(rhythm[onset - 250 : onset + 900], "AB/PD")

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
# claim((abs(paper_scheme - published) < 0.01 * published + 5).all(), "the periods are the published ones to 1%")  # printed to 10 ms
# claim((abs(default / converged - 1) < 5e-3).all(), "the default step misses the converged periods by up to 0.4%")
# rows = {"published, 0.025 ms": published, "exponential Euler, 0.025 ms": paper_scheme, "exponential Euler, 0.0125 ms": half,
#         "staggered, 0.05 ms": default, "staggered, 0.00625 ms": converged}
# list_table("Burst period (ms) of isolated pacemaker cells.", "tbl-periods", ["", *pacemakers.labels],
#            [(name, *(f"{x:.1f}" for x in p)) for name, p in rows.items()])

# %% [markdown]
# The orders of the schemes show within 20 ms: half the step leaves a quarter of the staggered
# scheme's error, measured against a much finer step, and half of that of exponential Euler.

# %% tags=["active-ipynb"]
# start = paper.get_thermalization()
# V_after = lambda solver, dt: paper([20.0], state=start, solver=solver, dt=dt).states.V
# exact = V_after("staggered", 0.05 / 64)
# for solver, ratio in (("staggered", 4), ("exponential_euler", 2)):
#     error, error_of_half = (np.abs(V_after(solver, 0.05 / n) - exact).max() for n in (4, 8))
#     claim(0.9 * ratio < error / error_of_half < 1.1 * ratio, f"half the step divides the error of {solver} by {ratio}")

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
#   its spikes by tens of milliseconds within 5 s; LP 5 alone is as sensitive. Their phases in the
#   thermalized state, and with them the choice between two rhythms, may therefore change with the
#   processor and with the release of JAX, though not from run to run.
#
# Gap junctions
# : The lumped AB/PD cell of the paper needs none. Where AB and PD are apart the default is 10 nS
#   between any two of them. It is the least round value that keeps unequal pacemaker cells together:
#   their bursts then start within 5 ms of each other, against 20 to 30 ms at 3 nS and 40 to 65 ms at
#   1 nS (AB/PD 2 with two AB/PD 3, AB/PD 1 with two AB/PD 5). Equal cells that start alike are not
#   affected. {numref}`fig-lag` shows one AB cell (AB/PD 2) and two PD cells (AB/PD 3) in this circuit.
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
#     both = len(starts["AB"]) and len(starts["PD"])  # changed cells may not burst
#     return np.abs(starts["AB"][:, None] - starts["PD"]).min(0).mean() if both else np.nan
#
#
# strengths = [0.1, 0.3, 1, 3, 10, 30, 100]
# look = dict(logx=True, toolbar=None, width=480, height=250, show_grid=True)
# hv.Curve((strengths, [lag(g) for g in strengths]), "gap junction (nS)", "lag of PD (ms)").opts(**look)

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-share
# What share of its way does sodium's $m$ cover in one default step after the jump to −20 mV, exactly
# and by the staggered scheme? And where $τ$ is a thousand times shorter than the step?
# ```
#
# ```{solution-start} ex-share
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# r = DEFAULT_DT / CHANNELS[0].m.tau(-20.0)
# claim(abs(covered_exactly(r) - 0.26) < 0.01 and abs(covered(r) - covered_exactly(r)) < 2e-5, "it covers 26% of its way")
# float(covered_exactly(r)), float(covered(r)), covered(1000.0)

# %% [markdown]
# The two differ by less than $2·10^{-5}$. Far beyond the range of the series the share stays below 1.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-escape
# LP delays the pacemaker's next burst. How long is the period without that synapse? Which other
# synapses can change it?
# ```
#
# ```{solution-start} ex-escape
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from .rhythm import summary
#
# onto_others = np.array([s.post != 0 for s in paper.circuit.synapses])
# free, lonely = paper.like(paper.params.replace(gs=paper.params.gs * onto_others)), Prinz2004({"AB/PD 2": 1}, gs={})
# delayed, early, isolated = (summary(x(np.arange(2000, 12000, 0.5)))["period (ms)"].iloc[0] for x in (paper, free, lonely))
# claim(abs(early / isolated - 1) < 1e-3 < delayed / early - 1, "without it the period is that of the isolated pacemaker")
# delayed, early, isolated

# %% [markdown]
# It is that of the isolated pacemaker: none of the others ends on it.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-silent
# The circuit has a second rhythm, in which LP silences the pacemaker for good. Bring it there by a
# pulse of current out of the pacemaker, and back by another one, out of LP. Use `current_clamp`.
# ```
#
# ```{solution-start} ex-silent
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from .lab.current_clamp import current_clamp
#
# pulse = lambda start: lambda t: jnp.where((t >= start) & (t < start + 1000), -1.0, 0.0)
# held = current_clamp(paper, np.arange(0, 12000, 1.0), {"AB/PD": pulse(1000), "LP": pulse(5000)})
# spikes_of_AB = held.spike_times()["AB/PD", 0]
# silent = not ((spikes_of_AB > 2000) & (spikes_of_AB < 5000)).any()
# claim(silent and (spikes_of_AB > 7000).sum() > 50, "a pulse silences the pacemaker, and another one wakes it")
# held.plot()

# %% [markdown]
# Both persist without input.
# ```{solution-end}
# ```

# %% [markdown]
# ## References
#
# ```{bibliography}
# ```
