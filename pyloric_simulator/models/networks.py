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
# # Cells and networks of one's own
#
# How does a bursting cell drive an axon, and what if the two had other channels? A cell is a list of
# [channels](channels.py) on a membrane, a network a list of cells and of the synapses between them. Cells
# of one network may have different channels. Networks are advanced by the scheme of the circuit of the
# first chapter, and give its numbers where they are the circuit. Below, a bursting cell of
# {cite:t}`Liu1998` inhibits a squid's axon.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "A bursting cell and an axon that it inhibits.", "name": "fig-own-network"}}
# import numpy as np
#
# from .networks import Cell, Network, Synapse
# from .channels import HodgkinHuxley1952 as HH, Liu1998 as Liu
# from ..prinz2004 import GLUTAMATE
#
# burster = Cell([Liu.Na(700), Liu.CaT(2), Liu.CaS(4), Liu.A(50), Liu.KCa(40), Liu.Kd(70), Liu.H(0.03), Liu.leak(0.01)],
#                calcium=Liu.calcium)
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65)
# network = Network({"burster": burster, "axon": axon}, [Synapse("burster", "axon", GLUTAMATE, 100)])
# run = network(np.arange(1000, 2500, 0.2), I_ext={"axon": 9})
# run.plot()

# %% [markdown]
# The axon has a current of 9 nA, which makes it fire some 77 times a second for as long as nothing else
# happens. Whenever the burster is depolarized, the {term}`graded synapse` opens and stops it. The burster
# knows nothing of the axon, since no synapse leads back: it is the {term}`pacemaker` of the pair.
#
# ## What it does and what it costs
#
# Three lines make a model: cells, a network, a call. The channels come from a library or are your own, each
# with its {term}`maximal conductance` in mS/cm². A `Network` is called as `Prinz2004` is, and what comes
# back is the same result: potentials in mV, `states` with one row for each time, spike times, tables and
# plots. It has derivatives, runs in batches, is clamped and warmed by the functions of the other chapters,
# and is written to a TOML file and read from it, unless it holds functions of your own.
#
# Cells of one kind are computed side by side, so that a network of three kinds takes three evaluations in
# each step, whatever the number of cells. A cell is one compartment; two that a gap junction joins may
# stand for the soma and the axon of one neuron. What cannot be expressed are synapses with a delay, and
# ions other than calcium whose concentrations change. The time step is that of the first chapter, 0.05 ms.
# The first call of a new network compiles it, which takes a second or a few. The run above, two and a half
# seconds in 50,000 steps, then takes 40 ms on a core of a server, and calls with other numbers are compiled
# no more.
#
# For the examples that follow:

# %% tags=["active-ipynb"]
# import jax.numpy as jnp
#
# from .networks import GapJunction, Kinetic, upstrokes
# from .channels import Prinz2003
# from ..prinz2004 import Channel

# %% [markdown]
# ## The circuit of the paper, again
#
# Is the general machine right? Written with channels and cells, the circuit of the first chapter gives the
# same numbers, to the last bit: it is one group of three cells, and goes through the same operations.

# %% tags=["active-ipynb"]
# from ..prinz2004 import ACETYLCHOLINE, Prinz2004, neuron_models
#
# chosen = {"AB/PD": "AB/PD 2", "LP": "LP 4", "PY": "PY 1"}
# cells = {
#     label: Cell([getattr(Prinz2003, name)(g) for name, g in neuron_models.loc[row].items()], calcium=Prinz2003.calcium)
#     for label, row in chosen.items()
# }
# synapses = [Synapse("AB/PD", "LP", GLUTAMATE, 30), Synapse("AB/PD", "LP", ACETYLCHOLINE, 30),
#             Synapse("AB/PD", "PY", GLUTAMATE, 10), Synapse("AB/PD", "PY", ACETYLCHOLINE, 3),
#             Synapse("LP", "AB/PD", GLUTAMATE, 30), Synapse("LP", "PY", GLUTAMATE, 1),
#             Synapse("PY", "LP", GLUTAMATE, 30)]
# paper = Prinz2004(
#     {label: 1 for label in chosen}, g_ion=neuron_models.loc[list(chosen.values())],
#     gs={("AB", "LP"): 30, ("PD", "LP"): 30, ("AB", "PY"): 10, ("PD", "PY"): 3,
#         ("LP", "AB/PD"): 30, ("LP", "PY"): 1, ("PY", "LP"): 30},
# )
# t = np.arange(0, 1000, 0.5)
# assert (Network(cells, synapses)(t).states.V == paper(t, state=paper.cold).states.V).all()

# %% [markdown]
# ## The rate of the squid's axon
#
# A constant current makes the axon of {cite:t}`HodgkinHuxley1952` fire, from about 6.3 µA/cm² on, and at
# once with more than 50 spikes per second. Ten currents take one run: of a population of ten cells, each
# with its own current. The dots are another solver's, of another package, on the same equations: they are
# the check of this module from outside.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Rate of the axon at 6.3 °C (line), and the same by SciPy's LSODA (dots).", "name": "fig-hh-rate"}}
# from scipy.integrate import solve_ivp
#
# density = np.linspace(5, 50, 10)  # µA/cm²
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# axons, one = Network({"axon": axon}, sizes={"axon": len(density)}), Network({"axon": axon})
# I = density * axon.area * 1000  # nA
# t = np.arange(0, 500, 0.05)
#
#
# def rate(t, V):
#     """Rate (Hz) after 100 ms; 0 where a cell fires less than twice."""
#     times = upstrokes(t, V)
#     times = times[times > 100]
#     return 1000 / np.diff(times).mean() if len(times) > 2 else 0.0
#
#
# found = np.array([rate(t, V) for V in axons(t, I_ext=I).states.V.T])
# lsoda = dict(method="LSODA", rtol=1e-7, atol=1e-7, t_eval=t[t < 200])
# some, expected = [0, 2, 9], []
# for current_nA in I[some]:
#     y = solve_ivp(one.vector_field, (0, 200), one.flatten(one.cold), args=(current_nA,), **lsoda)
#     expected.append(rate(y.t, y.y[0]))
# assert np.allclose(found[some], expected, rtol=2e-3)
# dots = hv.Scatter((density[some], expected)).opts(color="black", size=5)
# (hv.Curve((density, found), "current (µA/cm²)", "rate (Hz)") * dots).opts(width=480, height=250, toolbar=None)

# %% [markdown]
# ## Two relatives
#
# The bursting cell of {cite:t}`Drion2015` with the kinetics of {cite:t}`Liu1998`, and with those of
# {cite:t}`Prinz2003`, to which its densities do not belong. The names of the channels are the same in both
# papers, and so are the steady states of most gates; what differs is the speed. Making the second cell
# draws a warning, and the figure shows why it should be heeded.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A cell of Liu et al. (1998), and its densities with the kinetics of Prinz et al. (2003).", "name": "fig-liu"}}
# import warnings
#
# densities = dict(Na=700, CaT=2, CaS=4, A=50, KCa=40, Kd=70, H=0.03, leak=0.01)
# burster = Cell([getattr(Liu, name)(g) for name, g in densities.items()], calcium=Liu.calcium)
# with warnings.catch_warnings(record=True) as warned:
#     warnings.simplefilter("always")
#     mistaken = Cell([getattr(Prinz2003, name)(g) for name, g in densities.items()], calcium=Prinz2003.calcium)
# assert len(warned) == 1 and "Liu" in str(warned[0].message)
# Network({"Liu": burster, "Prinz": mistaken})(np.arange(2000, 4000, 0.5)).plot()

# %% [markdown]
# ## A channel of one's own
#
# {cite:t}`Connor1977` added to the axon a transient potassium current, A, which lets it fire as slowly as
# one likes. Here is the cell, in the form that {cite:t}`DayanAbbott2001` give it: two rates for each gate
# of the axon, and a steady state and a time constant for those of A. (The published steady state of A's
# activation passes 1 above 40 mV, and is 1.01 at 60 mV. The check of gates finds that; it is cut here.)

# %% tags=["active-ipynb"]
# from ..engine.kinetics import linoid
# from ..prinz2004 import Gate
# from .channels import rates
#
# Na = Channel("Na", 55, 3,
#              rates(lambda V: 3.8 * linoid((V + 29.7) / 10), lambda V: 15.2 * jnp.exp(-0.0556 * (V + 54.7))),
#              rates(lambda V: 0.266 * jnp.exp(-0.05 * (V + 48)), lambda V: 3.8 / (1 + jnp.exp(-0.1 * (V + 18)))))
# K = Channel("K", -72, 4, rates(lambda V: 0.2 * linoid((V + 45.7) / 10), lambda V: 0.25 * jnp.exp(-0.0125 * (V + 55.7))))
# A = Channel("A", -75, 3,
#             Gate(lambda V: jnp.minimum(0.0761 * jnp.exp(0.0314 * (V + 94.22)) / (1 + jnp.exp(0.0346 * (V + 1.17))),
#                                        1) ** (1 / 3),
#                  lambda V: 0.3632 + 1.158 / (1 + jnp.exp(0.0497 * (V + 55.96)))),
#             Gate(lambda V: 1 / (1 + jnp.exp(0.0688 * (V + 53.3))) ** 4,
#                  lambda V: 1.24 + 2.678 / (1 + jnp.exp(0.0624 * (V + 50)))))
# leak = Channel("leak", -17)
# with_A, without = (Cell([Na(120), K(20), A(g), leak(0.3)], V=-68, temperature=18) for g in (47.7, 0))

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A step of current into a cell with A current and one without; without it there is no slow firing.", "name": "fig-connor-stevens"}}
# pair = Network({"with A": with_A, "without A": without})
# pair(np.arange(0, 300, 0.1), I_ext=lambda t: jnp.where(t > 50, 9.0, -10.0) * with_A.area * 1000).plot()

# %% [markdown]
# Before the step both cells are held far below rest. The A current has there lost its inactivation. As the
# potential rises it opens, holds the cell back, and inactivates slowly: this is the delay. In the pyloric
# circuit the same current delays the rebound of LP and PY after the pacemaker's burst.
#
# ## A synapse of one's own
#
# A kinetic synapse opens when the presynaptic cell spikes, for example, and stays open the longer the more
# the postsynaptic one is depolarized. In the figure a pacemaker excites an axon through one, and a
# {term}`gap junction` ties a third cell to it.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A burster drives an axon by a kinetic synapse; the axon drives a second one by a gap junction of 150 nS.", "name": "fig-kinetic"}}
# opens, closes = lambda V: 1 / (1 + jnp.exp(-(V + 10) / 3)), lambda V: 0.02 / (1 + jnp.exp((V + 40) / 20))  # 1/ms
# slow = Kinetic("slow", 0, lambda s, V_pre, V_post: (1 - s) * opens(V_pre) - s * closes(V_post))
# three = Network({"burster": burster, "axon": axon, "neighbour": axon},
#                 [Synapse("burster", "axon", slow, 150), GapJunction("axon", "neighbour", 150)])
# three(np.arange(1000, 2000, 0.2)).plot()

# %% [markdown]
# (sec-warm)=
# ## Temperature
#
# Every channel and synapse may say by what factor its rates and its conductance grow with 10 °C. `warmed`
# gives a cell or a network at another temperature; [one of the next chapters](../lab/temperature.py) says
# how. The rates of the axon grow threefold, so that its spike is brief in the heat, and at last fails to
# come.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Spikes of the axon at 10 µA/cm², at four temperatures.", "name": "fig-warm"}}
# warm, t, traces = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3), np.arange(0, 60, 0.05), []
# for T in (6.3, 12.6, 18.9, 25.2):
#     V = warm.warmed(T)(t, I_ext=10 * warm.area * 1000).states.V[:, 0]
#     traces.append(hv.Curve((t, V), "time (ms)", "V (mV)", label=f"{T} °C"))
# hv.Overlay(traces).opts(legend_position="right", height=240, toolbar=None)

# %% [markdown]
# ## How a network becomes a circuit
#
# The rest of the chapter is how this is done. There is one simulator in the package, that of the first
# chapter, and it advances a `Circuit`: populations, synapses and membranes as plain data. So a network
# needs no equations of its own. What it needs is a translation of cells and synapses into these data, and
# checks of what a user may write. First the tools: checks and sizes of what is given, and the layout of a
# circuit's arrays.

# %%
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..engine import checks, circuits
from ..engine.circuits import Placed
from ..engine.labelled import WithoutChannels
from ..engine.layout import Connection, Population
from ..engine.model import dtype_of
from ..engine.portable import Portable
from ..engine.scale import (
    AREA,
    CAPACITANCE,
    POTENTIAL,
    REVERSAL,
)
from ..files.results import SimResult

__all__ = [
    "Binding", "Calcium", "Cell", "Channel", "GapJunction", "Graded", "Kinetic", "Network", "Synapse", "upstrokes",
]  # fmt: skip

# %% [markdown]
# Then what two chapters before this one have made. The equations of channels, of states and of the flows
# that advance them are those of the first chapter, and the checks of gates and channels those of the last.

# %%
from ..prinz2004 import (
    CM2_MS_TO_US,
    CONSTANTS,
    NS_TO_US,
    Channel,
    Circuit,
    Constants,
    Gate,
    Membrane,
    Model,
    Params,
    State,
    Transmitter,
    cold_start,
    precision,
)
from .channels import (
    Q10,
    Calcium,
    Prinz2003,
    callable_gate,
    check_channels,
    check_parts,
    check_pool,
    check_q10,
    gate_function,
    named,
)

# %% [markdown]
# ## Cells
#
# A cell is a list of channels on a membrane of an area in cm² and a capacitance in µF/cm². Conductances are
# densities in mS/cm², or those of the whole cell in µS where one says so: `Na(uS=62.8)` is the same as
# `Na(100)` on the usual area of 0.628·10⁻³ cm². Papers print the one or the other; it is better to say the
# unit than to convert in one's head.
#
# The constants of a cell are those of the first chapter with its own numbers in them. The capacitance of
# the whole cell is $C = c\, A$: 1 µF/cm² on 0.628·10⁻³ cm² are 0.628 nF. Its channels hold at a
# temperature, which enters the Nernst slope $γ = RT/2F$ at once and the rates only when the cell is
# [warmed](sec-warm): $γ$ is 12.2 mV at 10 °C and 13.4 mV at 37 °C, for any cell, while nobody but its
# author knows how fast a gate becomes.

# %%
CELSIUS = 273.15  # K
REFERENCE = 10.0  # °C, at which `CONSTANTS.γ` holds


def constants_of(area: float, capacitance: float, temperature: float, calcium: Calcium | None) -> Constants:
    """The constants of a membrane of an area (cm²), a capacitance (µF/cm²) and a temperature (°C), and of its calcium
    pool."""
    pool = calcium or Prinz2003.calcium
    warmth = (temperature + CELSIUS) / (REFERENCE + CELSIUS)
    return CONSTANTS._replace(
        A=area, C=capacitance * area * CM2_MS_TO_US, γ=CONSTANTS.γ * warmth,
        Ca_out=pool.outside, Ca_rest=pool.rest, f=pool.f, τ_Ca=pool.τ,
    )  # fmt: skip


def densities(placed: Sequence[Any], area: float) -> np.ndarray:
    """Maximal densities (channel,) in mS/cm², cm/s for GHK, on an area in cm²."""
    return np.array([p.uS / (area * CM2_MS_TO_US) if p.density is None else p.density for p in placed], float)


# %% [markdown]
# A cell is checked when it is made, before anything is compiled: its channels as the chapter before says,
# its own numbers here. It remembers what it was given, and what follows from it: constants, channels, and
# one array of densities. A cell that is called, warmed or written does so as a network of one; there is no
# second way that could differ from the first.


# %%
class Cell(Portable):
    """Channels on a membrane: `Cell([Na(100), Kd(50), leak(0.01)])`; `cell(t, I_ext=…)` simulates it alone.

    channels: with their densities. area: cm². capacitance: µF/cm². calcium: the pool, for channels of calcium. V: mV,
    at the start. temperature: °C, at which the channels are as given. Raises ValueError or TypeError for channels
    that cannot be used, and warns (UserWarning) where a unit looks mistaken.
    """

    def __init__(
        self, channels: Sequence[Placed], *, area: float = CONSTANTS.A, capacitance: float = 1.0,
        calcium: Calcium | None = None, V: float = CONSTANTS.V_cold, temperature: float = REFERENCE,
    ) -> None:  # fmt: skip
        self.area = checks.quantity("area", area, AREA, above=0)
        capacitance = checks.quantity("capacitance", capacitance, CAPACITANCE, above=0)
        self.calcium, self.temperature = check_pool(calcium), celsius("temperature", temperature)
        self.constants = constants_of(self.area, capacitance, temperature, calcium)._replace(
            V_cold=checks.quantity("V", V, POTENTIAL)
        )
        placed = placed_channels(channels)
        self.channels = tuple(p.channel for p in placed)
        self.g = densities(placed, self.area)
        check_channels(self.channels, self.g, calcium is not None)

    def with_numbers(self, params: Params, population: int) -> Cell:
        """The cell with the numbers of a population of a network."""
        return renumbered(self, params, population)

    def __repr__(self) -> str:
        return f"Cell([{', '.join(f'{c.name}({g:g})' for c, g in zip(self.channels, self.g, strict=True))}])"

    def __call__(self, t: Any, I_ext: Any = None, state: State | None = None, **kwargs: Any) -> SimResult:
        """Simulate the cell alone and record at the times t; arguments as of `Network.__call__`."""
        return Network({"cell": self})(t, I_ext, state, **kwargs)

    def warmed(self, temperature: float, q10: Any = None) -> Cell:
        """The cell at another temperature (°C); see `Network.warmed`."""
        return Network({"cell": self}).warmed(temperature, q10).made_of["cell"]

    def to_toml(self, path: Any, title: str = "A cell") -> None:
        """Write the cell as TOML; see `Network.to_toml`."""
        Network({"cell": self}).to_toml(path, title)

    @classmethod
    def from_toml(cls, path: Any) -> Cell:
        """The cell in a TOML file. Raises ValueError if there are several, and as `Network.from_toml`."""
        return only_one(path, Network.from_toml(path).made_of)


# %% [markdown]
# Networks with other numbers, from a fit or at another temperature, show these numbers in their cells, too.
# A cell is therefore renumbered from the parameters of its network. The other source of cells is a file;
# one that should hold a single cell may hold several, and then nobody can say which is meant.


# %%
def renumbered(cell: Cell, params: Params, population: int) -> Cell:
    """A copy of a cell with the numbers of a population of a network."""
    new, membrane = copy(cell), params.circuit.membranes[params.circuit.populations[population].membrane]
    new.channels, new.constants, new.temperature = membrane.channels, membrane.constants, membrane.temperature
    new.g = params.g[population, : len(membrane.channels)]
    c, new.area = membrane.constants, membrane.constants.A
    new.calcium = Calcium(c.f, c.τ_Ca, c.Ca_rest, c.Ca_out, membrane.pump) if membrane.pool else None
    return new


def only_one(path: Any, cells: Mapping[str, Cell]) -> Cell:
    """The cell of a file. Raises ValueError if there are several."""
    if len(cells) > 1:
        raise ValueError(
            f"{path} has the cells {checks.listing(cells)}; it must have one. Read it with Network.from_toml."
        )
    return next(iter(cells.values()))


# %% [markdown]
# ## Synapses
#
# A *graded* synapse is that of the first chapter: its activation $s$ is a {term}`gate` of the presynaptic
# cell, and all synapses of one kind from one cell share it, as the terminals of a cell release the same
# transmitter. It costs one gate for each cell. A *kinetic* synapse has an $s$ for each pair of cells, and
# its own equation $ds/dt = f(s, V_\mathrm{pre}, V_\mathrm{post})$, which may look at both sides of the
# cleft. It costs one variable for each pair: for a hundred cells onto a hundred, ten thousand. Both pass
# the current
#
# $$
# I = g\, s\, (V_\mathrm{post} - E)
# $$ (eq-synaptic)
#
# out of the postsynaptic cell. So $E$ decides what a synapse does: at −70 mV glutamate inhibits, since the
# cells of the ganglion rest and fire above it; at 0 mV the same transmitter excites in a vertebrate.
# Conductances are in nS; in µS where one says so. A synapse between populations of several cells joins each
# cell to each, but none to itself.
#
# The usual kinetic synapse is of the form $α\, T\, (1 - s) - β\, s$, where the transmitter $T$ rises
# steeply with the presynaptic potential. It opens with the time constant $1/(αT + β)$ and closes with
# $1/β$: with $α$ = 1.1 and $β$ = 0.19 per ms it takes 0.8 ms to open, up to $s$ = 0.85, and 5.3 ms to
# close. This form, `Binding`, can be written to a file, as it is four numbers; a function of your own
# cannot.


# %%
class Graded(NamedTuple):
    """A kind of synapse whose activation follows the presynaptic potential."""

    name: str
    E: float  # mV, reversal potential
    s: Gate  # activation, a gate of the presynaptic cell
    q10: Q10 | None = None  # where its own is known

    def gate(self, _: Constants) -> Gate:
        """As `Transmitter.gate`."""
        return self.s


class Kinetic(NamedTuple):
    """A kind of synapse with an equation of its own."""

    name: str
    E: float  # mV, reversal potential
    rate: Callable[[Any, Any, Any], Any]  # ds/dt (1/ms) as a function of s, V_pre and V_post (mV)
    start: float = 0.0  # s at the start
    q10: Q10 | None = None  # where its own is known


@dataclass(frozen=True)
class Binding:
    """The rate α T (1 − s) − β s of a `Kinetic` synapse, whose transmitter T rises with the presynaptic potential
    from 0 to 1 at `half`."""

    α: float  # 1/ms, of opening where T is 1
    β: float  # 1/ms, of closing
    half: float  # mV, where T is ½
    k: float  # mV, slope of T

    def __call__(self, s: Any, V_pre: Any, V_post: Any) -> Any:  # noqa: ARG002 (as of all rates)
        return self.α * (1 - s) / (1 + jnp.exp((self.half - V_pre) / self.k)) - self.β * s


# %% [markdown]
# A synapse names two populations, its kind and its strength. It is a plain tuple, so that a circuit's
# wiring can be built in a loop, printed, and compared. A {term}`gap junction` passes $g\, (V_i - V_j)$, in
# both directions alike. It has therefore no presynaptic side, and its two labels may be exchanged. In the
# ganglion gap junctions tie AB and PD together, and with them the period of all three cells.


# %%
class Synapse(NamedTuple):
    """All synapses of one kind from one population to another."""

    pre: str  # label of the presynaptic population
    post: str  # label of the postsynaptic one
    kind: Graded | Kinetic | Transmitter
    g: float | None = None  # nS
    uS: float | None = None  # µS, in place of g


class GapJunction(NamedTuple):
    """An electrical synapse between each cell of one population and each of another."""

    a: str  # label
    b: str  # label, possibly the same
    g: float | None = None  # nS
    uS: float | None = None  # µS, in place of g


# %% [markdown]
# ## The network as data
#
# Cells with the same channels and the same membrane have their equations evaluated side by side: their
# `Membrane` is the same. What differs between them are their conductances. So a network is a `Circuit` of
# the first chapter, with several membranes, and with the pairs of {term}`populations <population>` that gap
# junctions join.
#
# A kinetic synapse has a slot in each cell that it reaches. With $f$ linear in $s$ the step
#
# $$
# s \leftarrow s + h f\, \frac{e^{ah} - 1}{ah}, \qquad a = \frac{\partial f}{\partial s},
# $$ (eq-rosenbrock)
#
# is exact; else it is of second order {cite:p}`Hochbruck2009`. To see why, take $f = b + a s$ with constant
# $a$ and $b$. The solution goes from $s$ to $s e^{ah} + b\,(e^{ah} - 1)/a$, and that is the step above. The
# slope $a$ is not asked from the user: JAX differentiates the function that was given.
#
# Gap junctions alone are the linear equation $C\, dV/dt = -L V$, with the conductance between two cells as
# the off-diagonal elements of $-L$. Its solution over half a step, the matrix $e^{-C^{-1} L\, dt/2}$, is
# computed once. That matters where they are strong: a thousand nS between two cells of 0.628 nF settle with
# $C/2g$ = 0.3 ms, and a scheme that took their current from the present potentials would have to follow
# that in small steps.
#
# ## The model
#
# `Network` is called as `Prinz2004` is. It starts with all $m$ closed and all $h$ open, at the potential
# that each cell names, unless a state is given: that of another run, say. There is no
# {term}`thermalization` here, for cells of your own may have no rhythm of their own; run once for some
# seconds, and take `result.final_state` where transients matter.
#
# Its class comes in two pieces. The first is what a network tells about itself.


# %%
class Described(Model):
    """What a network says of itself, where it is read from, and how it changes with temperature; its numbers are
    those of `Network`."""

    made_of: dict[str, Cell]  # label -> cell
    sizes: dict[str, int]  # label -> number of cells
    connections: list[Synapse | GapJunction]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{label}: {n}" for label, n in self.sizes.items())
        return f"Network({sizes}; {len(self.connections)} synapses)"

    @property
    def about(self) -> dict[str, Any]:
        """What files say about the cells: their densities in mS/cm², and their temperature."""
        cells = self.made_of.items()
        return {
            "cells": {label: repr(cell) for label, cell in cells},
            "temperature (°C)": {label: cell.temperature for label, cell in cells},
        }

    @classmethod
    def from_toml(cls, path: Any, **kwargs: Any) -> Network:
        """The network in a TOML file; kwargs as for the class. Raises ValueError naming the key in the file."""
        from .network_files import read_network

        return read_network(path, **kwargs)

    def warmed(self, temperature: float, q10: Any = None) -> Network:
        """The network at another temperature (°C), from the present one of each cell; see `temperature.Q10s`.

        q10: `Q10s` of channels and synapses that say none of their own; without them, those do not change with
        temperature.
        """
        from ..lab.temperature import Q10s, at_temperature

        return at_temperature(self, temperature, Q10s() if q10 is None else q10)


# %% [markdown]
# The second is what it is: its numbers, made from cells and synapses in the order in which they can be
# checked. The size comes before the arrays, so that a network that would not fit into memory is refused
# before memory is asked for.


# %%
class Network(Described):
    """Cells and the synapses between them:
    `Network({"AB": cell, "LP": other}, [Synapse("AB", "LP", GLUTAMATE, 30)])(t)`.

    cells: label -> `Cell`. synapses: `Synapse`s and `GapJunction`s. sizes: label -> number of cells where that is not
    1. dtype: "float64" or "float32". Raises ValueError or TypeError on bad input, and warns (UserWarning) where a
    unit looks mistaken.
    """

    starts_thermalized = False

    def __init__(
        self, cells: Mapping[str, Cell], synapses: Sequence[Synapse | GapJunction] = (), *,
        sizes: Mapping[str, int] | None = None, dtype: str | None = None,
    ) -> None:  # fmt: skip
        self.made_of = labelled_cells(cells)
        self.labels = tuple(self.made_of)
        self.sizes = sizes_of(sizes, self.labels)
        self.connections = checked_connections(synapses, self.sizes, (Synapse, GapJunction))
        check_size(self.sizes, self.connections)
        self.dtype = dtype_of(dtype)
        self.params = params_of(self.made_of, self.connections, self.sizes)
        self.cold = cold_start(self.circuit)

    def like(self, params: Params) -> Network:
        """The network with other numbers, which its cells and synapses say, too."""
        new: Network = super().like(params)
        new.made_of = {label: cell.with_numbers(params, i) for i, (label, cell) in enumerate(self.made_of.items())}
        new.connections = connections_of(params)
        return new

    def to_toml(self, path: Any, title: str = "A network") -> None:
        """Write the network as TOML, so that `from_toml` gives it back; an older file is replaced when the new one is
        complete.

        Raises ValueError for functions of one's own, which a file cannot hold, and OSError, with the reason, if it
        cannot be written.
        """
        from .network_files import write_network

        write_network(self, path, title)


# %% [markdown]
# Experiments take a circuit, a network or a single cell, and some of them also cells without channels. They
# bring what they get into one form by these functions; an experiment on potentials asks for a variable that
# is called V.


# %%
def model_of(model: Any) -> Model:
    """A circuit or a network as it is, a cell as a network of one. Raises TypeError for all else."""
    checks.of_type("the model", model, (Model, Cell), "a Prinz2004, a Cell or a Network")
    return Network({"cell": model}) if isinstance(model, Cell) else model


def any_model(model: Any) -> Any:
    """As `model_of`, and cells without channels, a `Neuron` or a `LIF`, as they are."""
    return model if isinstance(model, WithoutChannels) else model_of(model)


def has_potential(model: Any) -> Any:
    """The same model, one of whose variables is the potential. Raises ValueError for others."""
    if "V" not in (names := model.cold._fields):
        raise ValueError(
            f"{model!r} has the variables {checks.listing(names)}; one must be the potential, V. Rename it in the "
            "start and in the derivative."
        )
    return model


def start_of(model: Any, state: Any = None, **scheme: Any) -> Any:
    """The start of a run: a state that was given, or else the one from which a model starts; scheme: of its
    thermalization."""
    return model.start(state, **scheme)[0]


# %% [markdown]
# What remains is to sort cells by their membranes and synapses by their kinds. Two cells share a membrane
# if their channels, constants and temperature are equal, which is decided by value: cells that were written
# twice alike are one group. (Not so where a gate is a `lambda`, which equals nothing but itself. Make such
# a channel once, and use it in all cells.) Graded synapses become connections, kinetic ones and gap
# junctions pairs of populations. The densities of all cells fill one array, whose rows are as long as the
# longest list of channels.


# %%
def membrane_of(cell: Cell) -> Membrane:
    """What a cell shares with others of its kind."""
    return Membrane(
        cell.channels, cell.constants, cell.calcium is not None, cell.temperature, cell.calcium and cell.calcium.q10
    )


def params_of(
    cells: Mapping[str, Cell], connections: Sequence[Synapse | GapJunction], sizes: Mapping[str, int]
) -> Params:
    """Circuit and numbers of a network."""
    order = {label: i for i, label in enumerate(cells)}
    slow = [s for s in connections if isinstance(s, Synapse) and not isinstance(s.kind, Kinetic)]
    own = [s for s in connections if isinstance(s, Synapse) and isinstance(s.kind, Kinetic)]
    gaps = [s for s in connections if isinstance(s, GapJunction)]
    transmitters, kinds = (tuple(dict.fromkeys(s.kind for s in some)) for some in (slow, own))
    membranes = tuple(dict.fromkeys(map(membrane_of, cells.values())))
    circuit = Circuit(
        tuple(Population(x, "", sizes[x], 1, membranes.index(membrane_of(cell))) for x, cell in cells.items()),
        tuple(Connection(s.pre, order[s.pre], transmitters.index(s.kind), order[s.post]) for s in slow),
        membranes, transmitters, tuple((order[s.a], order[s.b]) for s in gaps),
        tuple((order[s.pre], order[s.post], kinds.index(s.kind)) for s in own), kinds,
    )  # fmt: skip
    g = np.zeros((len(cells), max(len(m.channels) for m in membranes)))
    for i, cell in enumerate(cells.values()):
        g[i, : len(cell.g)] = cell.g
    gs, gz, ge = (np.array([strength(s) for s in some], float) for some in (slow, own, gaps))
    return Params(g, gs, ge, circuit, gz)


# %% [markdown]
# The inverse writes the synapses of a network as a user would, from its parameters. A fitted network shows
# in this way what it became.


# %%
def connections_of(params: Params) -> list[Synapse | GapJunction]:
    """The synapses of a network as they are written: the inverse of `params_of`."""
    c, labels = params.circuit, [p.label for p in params.circuit.populations]
    slow = zip(c.synapses, np.asarray(params.gs).tolist(), strict=True)
    own = zip(c.kinetic, np.asarray(params.gz).tolist(), strict=True)
    gaps = zip(c.junctions, np.broadcast_to(params.ge, len(c.junctions)).tolist(), strict=True)
    return [
        *(Synapse(labels[s.pre], labels[s.post], c.transmitters[s.transmitter], g) for s, g in slow),
        *(Synapse(labels[pre], labels[post], c.kinds[kind], g) for (pre, post, kind), g in own),
        *(GapJunction(labels[a], labels[b], g) for (a, b), g in gaps),
    ]


def strength(s: Synapse | GapJunction) -> float:
    """Conductance in nS."""
    return s.g if s.g is not None else s.uS / NS_TO_US  # type: ignore[operator]


# %% [markdown]
# ## Crossings of a level
#
# The axon has no threshold of its own, but an experiment on its rate needs times. Any level in the upstroke
# will do, since a spike passes through all of them within a fraction of a millisecond. Between two samples
# the crossing is interpolated linearly, so that a rate does not jump with the recording's step.


# %%
def upstrokes(t: np.ndarray, V: np.ndarray, level: float = 0.0) -> np.ndarray:
    """Times (ms) at which V (time,) rises through a level (mV), between samples by linear interpolation."""
    t, V, level = checks.finite("t", t), checks.finite("V", V), checks.number("level", level, "mV")
    if t.ndim != 1 or t.shape != V.shape:
        raise ValueError(f"V has shape {V.shape} and t {t.shape}; both must be (time,). Give one cell.")
    i = np.flatnonzero((V[:-1] < level) & (V[1:] >= level))
    return t[i] + (level - V[i]) / (V[i + 1] - V[i]) * (t[i + 1] - t[i])


# %% [markdown]
# ## What is refused
#
# Synapses are checked in a network. An area in µm² or a capacitance in pF draws a warning, as does a
# synapse that is far from the usual ones; a synapse onto itself, between labels that the network does not
# have, or of a kind that says too little is refused. A temperature is in °C, as on the thermometer of a
# rig: 283 would be one in K, and is told from a hot preparation by its size.


# %%
def celsius(what: str, value: Any) -> float:
    """A temperature of a preparation in °C. Raises ValueError where nothing lives, such as 283, which is in K."""
    T = checks.number(what, value, "°C")
    if not COLDEST <= T <= HOTTEST:
        in_kelvin = COLDEST <= T - CELSIUS <= HOTTEST
        cure = f"If it is in K, subtract {CELSIUS:g}." if in_kelvin else "Give the temperature of the experiment."
        cure = "It is below the absolute zero; check its sign." if T < -CELSIUS else cure
        raise ValueError(f"{what} is {T:g} °C; it must lie between {COLDEST:g} and {HOTTEST:g} °C. {cure}")
    return T


COLDEST, HOTTEST = -5.0, 60.0  # °C

# %% [markdown]
# A kind of synapse has a reversal potential in mV, and the kinetics that its form asks for. The rate of a
# kinetic one is evaluated at three values of $s$ and at all pairs of potentials from −100 to 60 mV, in
# steps of 10, before the network runs. A division by zero at one potential is so found when the network is
# made, and not after ten minutes, when some cell passes it.


# %%
def check_kind(kind: Any) -> None:
    """Refuse kinds of synapses that cannot be used."""
    rule = "a transmitter such as GLUTAMATE, a Graded or a Kinetic"
    checks.of_type("the kind of a synapse", kind, (Graded, Kinetic, Transmitter), rule)
    what = f"the synapse {named('a kind of synapse', kind.name)!r}"
    checks.quantity(f"E of {what}", kind.E, REVERSAL)
    if isinstance(kind, Transmitter):
        checks.positive(f"k of {what}", kind.k, "1/ms")
        return
    check_q10(what, kind.q10)
    if isinstance(kind, Graded):
        check_parts(f"the gate s of {kind.name!r}", kind.s)
        return
    checks.number(f"start of {what}", kind.start, "1", least=0)
    callable_gate(f"the rate of {kind.name!r}", kind.rate)
    check_rate(f"the rate of {kind.name!r}", kind.rate)


@cache
def check_rate(what: str, rate: Any) -> None:
    """Refuse a ds/dt that is no function of s, V_pre and V_post, or not finite."""
    with precision("float64"), jax.ensure_compile_time_eval():
        V = np.arange(-100.0, 61.0, 10)
        s, V_pre, V_post = (jnp.asarray(x.ravel()) for x in np.meshgrid((0.0, 0.5, 1.0), V, V))
        gate_function(what, rate, partial(jax.eval_shape, rate, s, V_pre, V_post), s.shape)
        found = np.broadcast_to(np.asarray(rate(s, V_pre, V_post), float), s.shape)
    if not np.isfinite(found).all():
        i = int(np.argmin(np.isfinite(found)))
        where = f"s = {s[i]:g}, V_pre = {V_pre[i]:g} mV and V_post = {V_post[i]:g} mV"
        raise ValueError(f"{what} is {found[i]:g} at {where}; it must be finite. Look for a division by 0 in it.")


# %% [markdown]
# Each synapse is there once. Two of the same kind between the same populations would add up, which may be
# meant, or may be a slip of a loop; the sum says it clearly. The synapses of {cite:t}`Prinz2004` have up to
# 100 nS. A synapse of 0.03 nS was probably meant as 0.03 µS, and one of 20,000 in pS.


# %%
def checked_connections(synapses: Any, sizes: Mapping[str, int], kinds: Any) -> list[Any]:
    """Synapses of some kinds between cells that are there, each once, with one plausible conductance. sizes: label ->
    number of cells."""
    found = checks.items("synapses", synapses, "Synapse(pre, post, kind, nS) and GapJunction(a, b, nS)", kinds)
    seen: list[Any] = []
    for s in found:
        check_connection(s, sizes)
        key = (s.pre, s.post, s.kind) if isinstance(s, Synapse) else frozenset(s[:2])
        if key in seen:
            what = f"the synapse {s[:2]} of {s.kind.name!r}" if isinstance(s, Synapse) else f"the gap junction {s[:2]}"
            raise ValueError(f"{what} is given twice; each must be there once. Add the conductances, and give the sum.")
        seen.append(key)
    return found


SMALLEST_SYNAPSE = 0.1  # nS; a weaker synapse was probably given in µS
LARGEST_SYNAPSE = 1e4  # nS; a stronger one was probably given in pS


def check_connection(s: Synapse | GapJunction, sizes: Mapping[str, int]) -> None:
    """One synapse or gap junction."""
    what = f"{type(s).__name__}{s[:2]}"
    checks.texts("a label in a synapse", s[:2])
    circuits.known_labels(what, s[:2], sizes)
    if (s.g is None) == (s.uS is None):
        raise ValueError(f"{what} has g = {s.g} and uS = {s.uS}; it must have one of the two. Give g in nS, or uS.")
    circuits.one_conductance(f"the conductance of {s[:2]}", s.g if s.uS is None else s.uS)
    g = strength(s)
    if 0 < g < SMALLEST_SYNAPSE:
        checks.warn(
            f"the synapse {s[:2]} has {g:g} nS, less than {SMALLEST_SYNAPSE:g}; if that is in µS, multiply it by 1000 "
            f"or say uS={g:g}."
        )
    if g > LARGEST_SYNAPSE:
        checks.warn(
            f"the synapse {s[:2]} has {g:g} nS, more than {LARGEST_SYNAPSE:g}; if that is in pS, divide it by 1000."
        )
    if isinstance(s, Synapse):
        check_kind(s.kind)
    circuits.no_autapse(s[0], s[1], s[0] == s[1], sizes[s[0]])


# %% [markdown]
# The other arguments are mappings from labels, and labels are how everything is found again later. A
# channel without a density is a common slip, since `Na` looks complete; it is refused with the way to write
# it.


# %%
def labelled_cells(cells: Any) -> dict[str, Cell]:
    """Label -> cell."""
    if not isinstance(cells, Mapping) or not cells:
        raise TypeError(f"cells is {cells!r}; it must be a mapping from labels to cells, such as {{'AB': Cell([…])}}.")
    for label, cell in cells.items():
        if not isinstance(label, str) or not label or not isinstance(cell, Cell):
            raise TypeError(
                f"cells has the entry {label!r}: {cell!r}; it must be a label and a Cell. Write {{'AB': Cell([…])}}."
            )
    return dict(cells)


def sizes_of(sizes: Any, labels: Sequence[str]) -> dict[str, int]:
    """Label -> number of cells, 1 where none is given."""
    sizes = checks.mapping("sizes", {} if sizes is None else sizes, f"{{{labels[0]!r}: 10}}")
    circuits.known_labels("sizes", sizes, labels)
    return circuits.populations(dict.fromkeys(labels, 1) | dict(sizes))


def placed_channels(channels: Any) -> list[Any]:
    """Channels with their densities and with names of their own."""
    of = "channels with their densities, such as [Na(100), leak(0.01)]"
    found = checks.items("channels", channels, of, (Placed, Channel))
    for c in found:
        if isinstance(c, Channel):
            raise TypeError(
                f"the channel {c.name!r} comes without a density; write {c.name}(100) for 100 mS/cm², or "
                f"{c.name}(uS=60)."
            )
    checks.once("channels", [p.channel.name for p in found])
    return found


# %% [markdown]
# Kinetic synapses and gap junctions grow with the square of the number of cells: a thousand cells, each
# coupled to each, are a matrix of a million conductances. What a network needs is estimated before it is
# laid out.

# %%
BYTES_PER_CELL, BYTES_PER_PAIR = 500, 100  # about, with what it takes to lay them out


def check_size(sizes: Mapping[str, int], connections: Sequence[Synapse | GapJunction]) -> None:
    """Refuse a network that does not fit into memory, before it is laid out."""
    chemical, coupled = 0, set[str]()
    for s in connections:
        if isinstance(s, GapJunction):
            coupled |= set(s[:2])
        elif isinstance(s.kind, Kinetic):
            chemical += sizes[s.pre] * sizes[s.post]
    n = sum(sizes.values())
    together = sum(sizes[label] for label in coupled) ** 2
    checks.memory(f"the network of {n} cells", BYTES_PER_CELL * n + BYTES_PER_PAIR * (chemical + together))


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-axon
# At which current does the axon begin to fire again and again? Raise it from 2 to 10 nA, and count spikes
# in 100 ms.
# ```
#
# ```{solution-start} ex-axon
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# t_axon = np.arange(0, 100, 0.05)
# counts = {I: len(axon(t_axon, I_ext=I).spike_times()["cell", 0]) for I in (2, 4, 5, 6, 10)}
# assert counts[2] == 1 < counts[4] - 3 < counts[10]
# counts

# %% [markdown]
# Between 2 and 4 nA, and then at once at a high rate: the axon has no slow firing.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-own-leak
# A passive cell is a leak and a capacitance. With which time constant does its potential settle? Compare a
# run with $C/(\bar g A)$.
# ```
#
# ```{solution-start} ex-own-leak
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# passive = Cell([Liu.leak(0.02)], V=-60)
# V_passive = passive(np.arange(0, 200, 0.5)).V["cell", 0]
# τ = 1 / 0.02  # ms, µF/cm² by mS/cm²
# assert np.allclose(V_passive, -50 - 10 * np.exp(-V_passive.index / τ), atol=1e-6)

# %% [markdown]
# With 50 ms: 1 µF/cm² by 0.02 mS/cm².
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-half-centre
# Two axons that inhibit each other: does one silence the other? Give both 9 nA, and one of them 5 ms
# earlier.
# ```
#
# ```{solution-start} ex-half-centre
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..engine.inputs import Sampled
# from ..lab.current_clamp import current_clamp
#
# both = Network({"a": axon, "b": axon}, [Synapse("a", "b", GLUTAMATE, 100), Synapse("b", "a", GLUTAMATE, 100)])
# later = lambda t: jnp.where(t > 5, 9.0, 0.0)
# duel = current_clamp(both, np.arange(0, 300, 0.1), {"a": 9.0, "b": later})
# of_a, of_b = (duel.spike_times()[x, 0][-10:] for x in ("a", "b"))
# assert len(of_a) == len(of_b) == 10 and (abs(of_a - of_b) < 1.5).all()
# duel.plot()

# %% [markdown]
# Neither silences the other: they come to fire within a millisecond of each other. What makes a half-centre
# is a cell that recovers from inhibition slowly, as LP and PY do.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-locked
# Two axons fire at different rates, because one has a current of 5 and the other one of 10 nA. How strong a
# gap junction makes them fire together? Try 1 to 100 nS. What happens in between?
# ```
#
# ```{solution-start} ex-locked
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# of_both = {}
# for g in (1, 10, 30, 100):
#     pair = Network({"slow": axon, "fast": axon}, [GapJunction("slow", "fast", g)])
#     trains = pair(np.arange(0, 500, 0.1), I_ext={"slow": 5.0, "fast": 10.0}).spike_times().values()
#     of_both[g] = [round(1000 / np.diff(x[x > 200]).mean(), 1) for x in trains]
# assert abs(np.diff(of_both[1])[0]) > 15 and np.diff(of_both[100])[0] == 0 and of_both[10][0] < of_both[1][0]
# of_both

# %% [markdown]
# With 1 nS each keeps its rate, 62 and 80 Hz; with 100 nS both have the same, 77 Hz, nearer to the faster
# one. In between the slow axon gets *slower*, with pauses of up to 87 ms: the fast one's spikes come at
# moments that do not suit it, and spikes of its own fail.
# ```{solution-end}
# ```
