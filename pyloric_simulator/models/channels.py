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
# # Channels
#
# What makes an axon fire, and a pacemaker burst? The channels in its membrane. The circuit of the first
# chapter has eight kinds of them. Here a channel is a plain record, for any cell: a name, two exponents, a
# {term}`reversal potential` and one or two {term}`gates <gate>`, and each gate is two functions of one
# line. The libraries at hand are those of {cite:t}`Prinz2003`, {cite:t}`Liu1998` and
# {cite:t}`HodgkinHuxley1952`, and the one current that modulators open {cite:p}`SwensenMarder2001`; a
# channel of one's own stands beside them. Below, the channels of the squid's axon make its {term}`spike`.
# The [next chapter](networks.py) builds cells and networks of channels.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A spike of the squid's axon after a pulse of 1 ms, and its gates: m and h of sodium, n of potassium.", "name": "fig-hh-spike"}}
# import jax.numpy as jnp
# import numpy as np
#
# from ..engine.kinetics import at
# from ..prinz2004 import CONSTANTS, Channel, Nernst
# from .channels import GHK, HodgkinHuxley1952, Liu1998, Prinz2003
# from .networks import Cell
#
# HH = HodgkinHuxley1952
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# t, rest = np.arange(0, 20, 0.02), axon(np.array([500.0])).final_state
# spike = axon(t, I_ext=lambda t: jnp.where((t > 5) & (t < 6), 10.0, 0.0), state=rest).states
# gates = {"m": spike.m[:, 0, 0], "h": spike.h[:, 0, 0], "n": spike.m[:, 0, 1]}
# shown = hv.Overlay([hv.Curve((t, x), "time (ms)", "open", label=name) for name, x in gates.items()])
# (hv.Curve((t, spike.V[:, 0]), "time (ms)", "V (mV)") + shown.opts(legend_position="right")).cols(1)

# %% [markdown]
# The pulse lifts the potential a little, $m$ follows within a quarter of a millisecond, and the sodium that
# comes in lifts it further: the upstroke. At the peak, 40 mV, $m$ is 0.90, but $h$ has fallen from 0.60 to
# 0.35 and $n$ risen from 0.32 to 0.50. Both end the spike. They are slow, so they overshoot: three
# milliseconds after the peak $n$ is still 0.69 and the cell at −76 mV, below its rest. The curves that say
# all of this are six, two for each gate:

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Steady states and time constants of the gates of Hodgkin and Huxley.", "name": "fig-hh-curves"}}
# V = jnp.linspace(-100, 60, 321)
# gates = [(c.name, x, g) for c in (HodgkinHuxley1952.Na, HodgkinHuxley1952.K) for x, g in (("m", c.m), ("h", c.h)) if g]
# inf, tau = (hv.Overlay([hv.Curve((V, at(getattr(g, f), V, V)), "V (mV)", y, label=f"{c} {x}") for c, x, g in gates])
#             for f, y in (("inf", "x∞"), ("tau", "τ (ms)")))
# (inf.opts(show_legend=False) + tau.opts(legend_position="right")).opts(hv.opts.Curve(width=330, height=240)).cols(2)

# %% [markdown]
# At rest, −65 mV, $h$ takes 8.5 ms and $n$ 5.5 ms to follow the potential, $m$ only 0.24 ms. The order of
# these three numbers *is* the spike. They were measured by clamping an axon to one potential after the
# other, and fitting each current that followed; the [voltage clamp](../lab/voltage_clamp.py) does the same
# here.
#
# ## What it does and what it costs
#
# A library is a set of channels by name. A channel that is called with a density, in mS/cm², is ready for a
# cell: `HH.Na(120)`. A channel of your own is one line, here the potassium channel of the axon, which
# passes a current $\bar g\, n^4 (V + 77)$:

# %% tags=["active-ipynb"]
# from .channels import rates
#
# α, β = lambda V: 0.01 * (V + 55) / (1 - jnp.exp(-(V + 55) / 10)), lambda V: 0.125 * jnp.exp(-(V + 65) / 80)  # 1/ms
# own = Channel("K", -77, 4, rates(α, β))
# V = jnp.array([-80.0, -40.0, 0.0])
# assert jnp.allclose(at(own.m.inf, V, V), at(HH.K.m.inf, V, V))
# ready = own(36)  # mS/cm²

# %% [markdown]
# The functions are of the potential in mV, or of the potential and the calcium concentration in µM, and are
# written for `jax.numpy`, so that the package can differentiate them and run them for many cells at once.
# Rates are per ms and time constants in ms, at the temperature of the paper that they are from. They are
# looked at before a cell is made, and what cannot be meant is refused there. A gate of your own costs what
# its functions cost at each step; gates that consist of the sigmoids and bells of the first chapter, as all
# of the libraries of {cite:t}`Prinz2003` and {cite:t}`Liu1998` do, are evaluated together and faster.
#
# The channels are deterministic: a density stands for so many channels that the share of the open ones is
# the probability of being open. For few channels there is the chapter on [noise](../lab/noise.py). Only
# calcium has a concentration that changes; sodium and potassium do not run down.
#
# ## When Ohm's law is not enough
#
# A calcium channel seen by Ohm's law passes $g\,(V - E_{Ca})$, a line. Inside a cell there is sixty
# thousand times less calcium than outside, and then the law is a poor one: with nearly nothing inside,
# nothing can flow out, whatever the potential. The figure compares the line with the law of Goldman,
# Hodgkin and Katz (GHK), below.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The current of an open calcium channel at 0.05 µM inside and 3 mM outside: GHK, and the ohmic current with the Nernst potential and the same current at −60 mV.", "name": "fig-ghk"}}
# from ..prinz2004 import current_of
#
# V, Ca = jnp.linspace(-100, 150, 501), jnp.full(501, 0.05)
# curved, ohmic = (np.asarray(current_of(Channel("Ca", E), CONSTANTS, jnp.ones(501), V, Ca)) for E in (GHK(), Nernst()))
# at_rest = int(np.argmin(abs(np.asarray(V) + 60)))
# lines = [hv.Curve((V, x / abs(x[at_rest])), "V (mV)", "I / |I(−60 mV)|", label=name)
#          for x, name in ((curved, "GHK"), (ohmic, "ohmic"))]
# hv.Overlay(lines).opts(legend_position="right", height=220, toolbar=None)

# %% [markdown]
# Both vanish at 134 mV, the Nernst potential, and both are scaled to agree at −60 mV. In between they
# differ: at 0 mV the line has 3.4 times the current of the curve, at 50 mV thirty times. For a cell whose
# spikes pass 0 mV this is a matter of how much calcium enters in each of them. The models of the ganglion
# use the line; so do this book's, where they repeat them.
#
# ## Gates
#
# Now the definitions. What they need is few: the evaluation of functions of $V$ and calcium, and the
# plausible sizes of quantities, by which another unit is recognized.

# %%
from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..engine import checks
from ..engine.kinetics import Function, at, linoid, takes_calcium, value
from ..engine.scale import (
    CALCIUM_AT_REST,
    CALCIUM_INSIDE,
    CALCIUM_OUTSIDE,
    DENSITY,
    ION,
    PERMEABILITY,
    POOL_TIME,
    REVERSAL,
)

__all__ = [
    "GHK",
    "Q10",
    "Calcium",
    "Channel",
    "HodgkinHuxley1952",
    "Liu1998",
    "Prinz2003",
    "SwensenMarder2001",
    "library",
    "linoid",
    "rates",
]

# %% [markdown]
# The first chapter has the records themselves, `Channel` and `Gate`, the sigmoid `B`, and the channels of
# the circuit.

# %%
from ..prinz2004 import (
    CHANNELS,
    CM2_MS_TO_US,
    CONSTANTS,
    B,
    Channel,
    Constants,
    Curve,
    Gate,
    Nernst,
    precision,
)

# %% [markdown]
# A gate approaches its steady state: $τ_x\, dx/dt = x_∞ - x$. The first chapter's `Gate` holds $x_∞$ and
# $τ_x$, two functions of $V$ in mV. Here they may depend on the calcium concentration of the cell, too: a
# function that takes two arguments gets $V$ and $[Ca]$. Where a paper gives an opening rate $α$ and a
# closing rate $β$ instead, in 1/ms,
#
# $$
# \frac{dx}{dt} = α\,(1 - x) - β\, x: \qquad x_∞ = \frac{α}{α + β}, \qquad τ_x = \frac{1}{α + β}.
# $$ (eq-rates)
#
# Closed gates, a share of $1 - x$, open at the rate $α$, and open ones close at the rate $β$. The two are
# equally many per time where $x = x_∞$. Scaling both rates by one factor changes $τ_x$ and leaves $x_∞$, as
# warmth does. For $n$ at −65 mV, $α$ is 0.058 and $β$ 0.125 per ms: $n_∞ = 0.058/0.183 = 0.32$,
# $τ_n = 1/0.183 = 5.5$ ms.
#
# The two functions are made as objects that are equal where their rates are. Two cells with the same
# channels are then recognized as alike and computed together, and a program that was compiled for one
# serves the other.


# %%
@dataclass(frozen=True)
class RateTau:
    """τ of {eq}`eq-rates`."""

    α: Function  # 1/ms, opening
    β: Function  # 1/ms, closing

    def __call__(self, V: Array, Ca: Array) -> Array:
        return 1 / (at(self.α, V, Ca) + at(self.β, V, Ca))


class RateInf(RateTau):
    """x∞ of {eq}`eq-rates`."""

    def __call__(self, V: Array, Ca: Array) -> Array:
        return at(self.α, V, Ca) * super().__call__(V, Ca)


def rates(α: Function, β: Function) -> Gate:
    """The gate that opens at the rate α and closes at the rate β, in 1/ms, {eq}`eq-rates`; equal rates give equal
    gates."""
    return Gate(RateInf(α, β), RateTau(α, β))


# %% [markdown]
# Many of these rates have the form $x/(1 - e^{-x})$, which a computer cannot evaluate at $x = 0$, where it
# is 1: it divides 0 by 0. Hodgkin and Huxley's $α_m$ has this gap at −40 mV, a potential that every spike
# crosses and that a voltage clamp may well be set to. The function `linoid` fills it, by the series
# $1 + x/2 + \dots$ close to 0, and so has a derivative there, too.
#
# ## Channels
#
# A channel passes $I = \bar g A\, m^p h^q (V - E)$. Its reversal potential $E$ is a number, or the Nernst
# potential of the cell's calcium, or of any ion whose concentrations are given. Where that is too simple,
# because the ion is many thousand times more concentrated on one side, there is the equation of
# {cite:t}`Goldman1943` and {cite:t}`HodgkinKatz1949` (GHK), with a permeability $P$ in the place of the
# conductance, and $u = zFV/RT$:
#
# $$
# I = P A\, m^p h^q\, zF\, \left( [X]_\mathrm{in}\, \frac{u}{1 - e^{-u}} - [X]_\mathrm{out}\, \frac{u}{e^u - 1} \right).
# $$ (eq-ghk)
#
# It follows from two assumptions: ions diffuse and drift in an electric field, and that field is the same
# all through the membrane. Three cases show what it says. At $V = 0$ both fractions are 1 and the current
# is one of diffusion alone, $PA\,zF([X]_\mathrm{in} - [X]_\mathrm{out})$. Far above, it grows as
# $[X]_\mathrm{in}\, u$, far below as $[X]_\mathrm{out}\, u$: two lines, whose slopes are in the proportion
# of the concentrations. Between them lies the Nernst potential, where the bracket vanishes since
# $[X]_\mathrm{out}/[X]_\mathrm{in} = e^u$. Both fractions are a `linoid`.
#
# The units: µM are 10⁻⁹ mol/cm³, so that 1 cm/s on 1 cm² moves 10⁻⁹ mol/s for each µM, and $F$ = 96,485
# C/mol makes 96.5 µA of it. A permeability in cm/s goes the way of a density, times the area and $10^3$,
# and the current takes the factor out again. A concentration that is `None` is that of the cell's calcium,
# inside or outside.

# %%
FARADAY = 96485.33212  # C/mol


@dataclass(frozen=True)
class GHK:
    """The current of {eq}`eq-ghk` in the place of an ohmic one; the channel then has a permeability in cm/s."""

    z: int = 2  # charge of the ion
    outside: float | None = None  # µM; None is the cell's calcium
    inside: float | None = None  # µM; None is the cell's calcium

    permeates = True  # the channel has a permeability

    def current(self, c: Constants, V: Array, Ca: Array) -> Array:
        """nA for P A m^p h^q = 10⁻³ cm³/s."""
        outside = c.Ca_out if self.outside is None else self.outside
        u = V / (c.γ * 2 / self.z)
        inward, outward = outside * linoid(-u), (Ca if self.inside is None else self.inside) * linoid(u)
        return self.z * FARADAY / CM2_MS_TO_US * (outward - inward)

    def linear(self, c: Constants, γ: Array, V: Array, Ca: Array) -> tuple[Array, Array]:
        """G (µS) and J (nA) such that the current through γ near V is G V − J: its tangent."""
        I, G = jax.jvp(lambda V: γ * self.current(c, V, Ca), (V,), (jnp.ones_like(V),))
        return G, G * V - I


# %% [markdown]
# The exact step of the potential needs each current in the form $G V - J$. For an ohmic channel this is
# $G = γ$ and $J = γE$. A GHK current is curved; its tangent at the present potential,
# $G = \partial I/\partial V$ and $J = GV - I$, turns the step into one of an exponential Rosenbrock method,
# which is of second order like the rest of the scheme {cite:p}`Hochbruck2009`. That is what `linear` of
# `Nernst` and `GHK` return. The tangent at −60 mV to the curve in the figure above meets zero at 2 mV, not
# at 134: for the next step the cell behaves as if its calcium reversed there.
#
# Everything in a membrane is faster in the warmth, by factors that a channel may state itself. A $Q_{10}$
# of 3 for rates and 1.5 for conductances is common; which one a channel has is a matter of its paper.


# %%
class Q10(NamedTuple):
    """By what factor things grow with 10 °C. A component that says nothing takes that of the experiment."""

    rate: float = 1.0  # of the gates; of the pump of a calcium pool
    g: float = 1.0  # of the maximal conductance


# %% [markdown]
# ## Calcium
#
# Calcium that enters is bound and pumped out. The cell has one {term}`pool <calcium pool>` of it:
#
# $$
# τ\, \frac{d[Ca]}{dt} = -f\, I_{Ca} - [Ca] + [Ca]_\mathrm{rest}.
# $$ (eq-pool)
#
# A steady inward current of 1 nA, $I_{Ca} = -1$, brings the concentration to $f$ above rest. The factor
# stands for the volume in which the calcium spreads: a thin shell below the membrane has a large one. It
# belongs to the *total* current of a cell of one size, so that a cell of twice the area needs half of it.


# %%
class Calcium(NamedTuple):
    """The calcium inside a cell: τ d[Ca]/dt = −f I_Ca − [Ca] + [Ca]_rest."""

    f: float  # µM/nA, calcium that a total current of 1 nA brings
    τ: float  # ms
    rest: float = CONSTANTS.Ca_rest  # µM
    outside: float = CONSTANTS.Ca_out  # µM
    q10: float | None = None  # of the pump's rate, 1/τ, where it is known


# %% [markdown]
# ## Libraries
#
# ### Prinz, Billimoria and Marder (2003)
#
# The channels of the first chapter. The densities called *usual* are those of the grid of
# {cite:t}`Prinz2003` without its zeros, and for the next library those of the bursting cells of
# {cite:t}`OLeary2014` and {cite:t}`Drion2015`. Densities far from them are likely to be in another unit,
# and those that fit another library to belong to it; a cell warns of both. The pool of calcium has the
# factor $f$ and the time constant of the first chapter. A channel remembers by its `source` which of these
# ranges is its own.

# %%
USUAL = {  # mS/cm², from the smallest to the largest published density that is not 0
    "Prinz et al. (2003)": {"Na": (100, 500), "CaT": (2.5, 12.5), "CaS": (2, 10), "A": (10, 50), "KCa": (5, 25),
                            "Kd": (25, 125), "H": (0.01, 0.05), "leak": (0.01, 0.05)},
    "Liu et al. (1998)": {"Na": (183, 700), "CaT": (2, 6.25), "CaS": (2.25, 4), "A": (25, 85), "KCa": (40, 98),
                          "Kd": (61, 90), "H": (0.03, 1), "leak": (0.01, 0.1)},
    "Hodgkin and Huxley (1952)": {"Na": (120, 120), "K": (36, 36), "leak": (0.3, 0.3)},
}  # fmt: skip
PRINZ, LIU, HODGKIN_HUXLEY = USUAL


def library(channels: Sequence[Channel], calcium: Calcium | None = None) -> SimpleNamespace:
    """Channels under their names, and `calcium`."""
    return SimpleNamespace(**{c.name: c for c in channels}, calcium=calcium)


Prinz2003 = library([c._replace(source=PRINZ) for c in CHANNELS], Calcium(CONSTANTS.f, CONSTANTS.τ_Ca))

# %% [markdown]
# ### Liu, Golowasch, Marder and Abbott (1998)
#
# {cite:t}`Prinz2003` took their kinetics from {cite:t}`Liu1998`, and doubled the time constants. Only their
# H current is another one, not from there. And their calcium stays ten times longer: with $f$ = 0.94 µM
# nF/nA, $C$ = 0.628 nF and 20 ms, {cite:t}`Liu1998` let in $0.94/(0.628 · 20)$ = 0.0748 µM per nA and ms,
# as does {cite:t}`Prinz2003` with $14.96/200$. That KCa has to be stronger than in the later model follows
# from the shorter stay of calcium: one of the exercises says by how much.
#
# So this library is computed from the former, which keeps one copy of each number. A time constant is
# divided by 2; for a `Curve` this is done in its numbers, so that it remains one and is evaluated with the
# others. Dividing twice divides by the product, and by 1 gives back the function that was there: a cell
# that is warmed and cooled again is the cell it was.


# %%
@dataclass(frozen=True)
class Divided:
    """A time constant, or the rate of a kinetic synapse, divided by a number."""

    f: Function
    by: Any  # may be traced

    def __call__(self, *x: Any) -> Any:
        return self.f(*x) / self.by

    def value(self, V: Array, Ca: Array) -> Any:
        """At V and Ca, whether or not the function reads calcium."""
        return value(self.f, V, Ca) / self.by


def divided(f: Function, by: Any) -> Function:
    """f divided by a number; dividing and multiplying again leads back."""
    if isinstance(f, Curve):
        return replace(f, c0=f.c0 / by, c1=f.c1 / by)
    f, by = (f.f, f.by * by) if isinstance(f, Divided) else (f, by)
    return f if isinstance(by, float) and by == 1 else Divided(f, by)


def faster(gate: Gate | None, factor: Any) -> Gate | None:
    """A gate with its time constant divided by a factor; equal arguments give equal gates."""
    return gate and gate._replace(tau=divided(gate.tau, factor))


# %% [markdown]
# Their H current has curves of its own. It is half open at −70 mV, and its time constant grows from 0.27 s
# far below −42 mV to 1.77 s far above.

# %%
LIU_H = Gate(B(70, 6), 272 + 1499 * B(42.2, -8.73))
Liu1998 = library(
    [c._replace(source=LIU, m=LIU_H if c.name == "H" else faster(c.m, 2), h=faster(c.h, 2)) for c in CHANNELS],
    Calcium(0.94 / CONSTANTS.C, 20.0),
)

# %% [markdown]
# ### Hodgkin and Huxley (1952)
#
# The rates of {cite:t}`HodgkinHuxley1952` at 6.3 °C, with the potential inside relative to the outside, and
# −65 mV at rest. (They wrote $V$ for the *negative* of the displacement from rest.) Densities are 120, 36
# and 0.3 mS/cm². All rates grow threefold with 10 °C, conductances not at all. The rates have two forms,
# and that of a `Curve`. As small classes, in the place of functions, they are equal where their numbers
# are, and can be written to a file.


# %%
@dataclass(frozen=True)
class Exponential:
    """c e^((V+a)/k), of V in mV."""

    c: float  # 1/ms
    a: float  # mV
    k: float  # mV

    def __call__(self, V: Array) -> Array:
        return self.c * jnp.exp((V + self.a) / self.k)


class Linoid(Exponential):
    """c x/(1 − e^(−x)) with x = (V+a)/k."""

    def __call__(self, V: Array) -> Array:
        return self.c * linoid((V + self.a) / self.k)


# %% [markdown]
# Sodium opens by $m^3 h$, potassium by $m^4$, which is called $n^4$ in the paper. The leak reverses at
# −54.387 mV. That odd number makes the three currents cancel at −65 mV, as the first exercise finds.

# %%
HH_Q10 = Q10(rate=3.0)
HodgkinHuxley1952 = library([
    Channel("Na", 50, 3, rates(Linoid(1, 40, 10), Exponential(4, 65, -18)),
            rates(Exponential(0.07, 65, -20), B(35, -10)), q10=HH_Q10, source=HODGKIN_HUXLEY),
    Channel("K", -77, 4, rates(Linoid(0.1, 55, 10), Exponential(0.125, 65, -80)), q10=HH_Q10, source=HODGKIN_HUXLEY),
    Channel("leak", -54.387, q10=HH_Q10, source=HODGKIN_HUXLEY),
])  # fmt: skip

# %% [markdown]
# ### Swensen and Marder (2001)
#
# Cells of the ganglion have one more current, which is there only as long as a modulator is. Proctolin,
# five peptides and an agonist of acetylcholine find their own receptors, and all of them open the same
# channels {cite:p}`SwensenMarder2000`. What flows in is in part sodium {cite:p}`Golowasch1992`. Calcium
# from outside blocks the channels at low potentials, and the block is lifted as the cell depolarizes: with
# little calcium outside, the current is a straight line of the potential. So the current $I_{MI}$, for
# modulatory input, opens with depolarization and amplifies what a cell does by itself. It is strongest not
# far below the threshold of spikes.
#
# These facts are from the abstracts of both papers. The numbers are not: half open at −21 mV with a slope of
# 8 mV, in 6 ms, and a reversal at −22 mV are how xolotl, a simulator from the same laboratory, and the
# scripts written for it describe the recordings of {cite:t}`SwensenMarder2001`. The current so has its
# largest inward value at −32 mV, and there the channel passes $2\,\text{mV} · \bar g$. Others take other
# numbers. Public code after {cite:t}`Goldman2001`, written for a dynamic clamp {cite:p}`Sharp1993`, has a
# channel that is half open at −57 mV, with a slope of 5 mV and the same 6 ms, and reverses at −10 mV. It is
# open between spikes, where this one is nearly shut, its current is largest at −48 mV, and the same density
# passes sixteen times as much. What holds for one need not hold for the other.

# %%
SwensenMarder2001 = library([
    Channel("MI", -22.0, 1, Gate(B(21, -8), Curve(c0=6.0, c1=0.0)), source="Swensen and Marder (2001), as in xolotl"),
])  # fmt: skip

# %% [markdown]
# There is no published density at hand, so that `USUAL` has no range for it. The chapter on
# [robustness](../lab/robustness.py) turns the density as a dial.
#
# ## What is refused
#
# A channel is checked when it is put to use, before anything is compiled. Each gate is evaluated from −100
# to 60 mV, and at calcium concentrations from 0.01 to 100 µM. A steady state outside $[0, 1]$, a time
# constant that is not positive and a function that returns another shape are refused, and so is what would
# be ignored in silence: an exponent without its gate, a gate without its exponent, an ion other than
# calcium, whose concentration does not change here. A number in another unit than that of its field often
# shows by its size: a reversal potential of −0.08 mV is one of −80 mV in volts. That draws a warning, and
# so does a density far from the usual ones, or a gate that is faster than 20 µs at all potentials.
#
# ### Does a gate read calcium?
#
# A cell without a pool has no calcium to read, so that this has to be known. Two arguments are not enough
# to tell, since a function may take calcium and ignore it. Its values are compared over the levels of
# calcium instead: they differ, or they do not.

# %%
LEVELS_CA = (0.01, 0.05, 1.0, 10.0, 100.0)  # µM
GRID_V, GRID_CA = (x.ravel() for x in np.meshgrid(np.arange(-100.0, 61.0), LEVELS_CA))  # mV, µM


def reads_calcium(gate: Gate | None) -> bool:
    """Whether a gate depends on the calcium concentration by its K."""
    return gate is not None and gate.K != 0


def senses_calcium(gate: Gate | None) -> bool:
    """Whether a gate depends on the calcium concentration, by its K or by a function that does."""
    return reads_calcium(gate) or (gate is not None and any(varies_with_calcium(f) for f in (gate.inf, gate.tau)))


@cache
def varies_with_calcium(f: Function) -> bool:
    """Whether the values of a function of V and Ca differ with Ca."""
    if isinstance(f, Curve) or not takes_calcium(f):
        return False
    with precision("float64"), jax.ensure_compile_time_eval():
        x = np.asarray(at(f, jnp.asarray(GRID_V), jnp.asarray(GRID_CA)))
    return bool(np.ptp(x.reshape(len(LEVELS_CA), -1), axis=0).any())


# %% [markdown]
# ### Gates
#
# A gate is checked once, however many cells have it. The check runs in double precision, whatever the
# simulation has, and outside of any program that is just being compiled. The most common mistakes are a
# sign in a slope, which sends $x_∞$ out of $[0, 1]$ or $τ$ below 0, a rate of the form $x/(1 - e^{-x})$
# that divides by zero, and seconds for milliseconds. Each has a message of its own.

# %%
FASTEST = 0.02  # ms; a gate that is faster than this at all potentials was probably given in seconds
SLOWEST = 1e5  # ms; one that is slower than this at all was probably given in µs
ROUNDING = 1e-9  # by which x∞ may leave [0, 1]


@cache
def check_gate(what: str, gate: Gate) -> None:
    """Refuse a gate that leaves [0, 1] or has no positive time constant, and warn of one that looks like seconds."""
    with precision("float64"), jax.ensure_compile_time_eval():
        V, Ca = jnp.asarray(GRID_V), jnp.asarray(GRID_CA)
        for name, f in (("x∞", gate.inf), ("τ", gate.tau)):
            gate_function(f"{name} of {what}", f, partial(jax.eval_shape, partial(value, f), V, Ca), V.shape)
        inf, τ = (np.asarray(at(f, V, Ca)) for f in (gate.inf, gate.tau))
    finite = "finite. A rate of the form x/(1 - exp(-x)) is `linoid(x)`, which has no gap at 0"
    check_values(f"x∞ of {what}", inf, "", np.isfinite(inf), finite)
    check_values(f"τ of {what}", τ, " ms", np.isfinite(τ), finite)
    between = (inf >= -ROUNDING) & (inf <= 1 + ROUNDING)
    check_values(f"x∞ of {what}", inf, "", between, "between 0 and 1. Check the signs of its slopes")
    check_values(f"τ of {what}", τ, " ms", τ > 0, "positive. Check the signs in it")
    if (longest := float(np.max(τ))) < FASTEST:
        checks.warn(f"τ of {what} is at most {longest:g} ms; if it is in s, multiply it by 1000.")
    if (shortest := float(np.min(τ))) > SLOWEST:
        checks.warn(f"τ of {what} is at least {shortest:g} ms; if it is in µs, divide it by 1000.")


def check_values(what: str, x: np.ndarray, unit: str, good: np.ndarray, rule: str) -> None:
    """Refuse values on the grid of potentials and calcium that break a rule."""
    if not good.all():
        i = int(np.argmin(good))
        where = f"at V = {GRID_V[i]:g} mV and Ca = {GRID_CA[i]:g} µM"
        raise ValueError(f"{what} is {x[i]:g}{unit} {where}; it must be {rule}.")


# %% [markdown]
# Before values can be looked at, the function has to be one that JAX can follow. An `if` on a potential is
# not: the program is traced once for all potentials, and has no single answer to the question. `jnp.where`
# has one for each. Truth values and arrays of another shape, which could run and give nonsense, are refused
# as well.

# %%
WRITE_A_GATE = (
    "Write it with jax.numpy, element by element, branching by jnp.where, such as lambda V: "
    "1 / (1 + jnp.exp(-(V + 40) / 5))."
)


def callable_gate(what: str, f: Any) -> None:
    """A function, whatever it returns."""
    if not callable(f):
        raise TypeError(f"{what} is {reprlib.repr(f)}; it must be a function of potentials in mV. {WRITE_A_GATE}")


def gate_function(what: str, f: Any, trace: Callable[[], Any], wanted: tuple[int, ...]) -> None:
    """A function of V, or of V and Ca (a rate of a synapse: of s, V_pre and V_post), that JAX can trace and that
    keeps their shape."""
    callable_gate(what, f)
    try:
        found = trace()
    except Exception as error:
        rule = "it must be a function of V, or of V and Ca, and the rate of a synapse one of s, V_pre and V_post"
        raise TypeError(f"{what} cannot be evaluated by JAX: {checks.reason(error)}; {rule}. {WRITE_A_GATE}") from error
    if getattr(found, "dtype", None) is None or found.dtype.kind not in "fiu":
        raise TypeError(
            f"{what} returns {found}; it must return real numbers, not truth values or others. {WRITE_A_GATE}"
        )
    if found.shape not in ((), wanted):
        raise ValueError(
            f"{what} has shape {found.shape} for V of shape {wanted}; it must have that of V. {WRITE_A_GATE}"
        )


# %% [markdown]
# ### Channels
#
# The parts of a channel that are no functions: its name, exponents and ion. Two names are taken by other
# columns of the table of currents. An exponent is a number of gates, and so it is whole.


# %%
def whole(what: str, value: Any, *, least: float = -np.inf) -> int:
    """A number without a fraction."""
    x = checks.number(what, value, "1", least=least)
    if not x.is_integer():
        raise ValueError(f"{what} is {x:g}; it must be a whole number. Round it.")
    return int(x)


def named(what: str, name: Any) -> str:
    """A name that messages and tables can show."""
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"the name of {what} is {name!r}; it must be text that is not empty. Write 'Na', for example.")
    return name


TAKEN = ("synaptic", "electrical")  # names of columns beside those of channels


def check_channel(channel: Channel) -> None:
    """Refuse a channel of which a part cannot be used or would be ignored, and warn of one in another unit."""
    what = f"the channel {named('a channel', channel.name)!r}"
    if channel.name in TAKEN:
        raise ValueError(
            f"a channel has the name {channel.name!r}, which is that of a column of `currents`; it must be another. "
            "Rename it."
        )
    check_reversal(what, channel.E)
    for symbol, exponent in (("m", "p"), ("h", "q")):
        check_exponent(what, symbol, exponent, getattr(channel, symbol), getattr(channel, exponent))
        if (gate := getattr(channel, symbol)) is not None:
            check_parts(f"the gate {symbol} of {channel.name!r}", gate)
    checks.texts(f"the source of {what}", [channel.source])
    ion: Any = channel.ion
    if ion is not None and not (isinstance(ion, str) and ion == "Ca"):
        hint = " Did you mean 'Ca'?" if str(ion).lower().startswith("ca") else " Leave it out."
        raise ValueError(
            f"ion of {what} is {ion!r}; it must be 'Ca', the only ion whose concentration changes, or None.{hint}"
        )
    check_q10(what, channel.q10)


# %% [markdown]
# Exponents and gates belong together. A gate with the exponent 0 would be advanced in each step and change
# nothing; an exponent without a gate would be forgotten. Neither is an error of arithmetic, so that nothing
# but this check would ever tell.


# %%
def check_exponent(what: str, symbol: str, exponent: str, gate: Any, value: Any) -> None:
    """A gate has a whole exponent of at least 1; without a gate there is none."""
    n, unused = whole(f"{exponent} of {what}", value, least=0), Channel._field_defaults[exponent]
    if gate is None and n != unused:
        raise ValueError(
            f"{exponent} of {what} is {n}, and there is no gate {symbol} for {exponent} = {n}; both must be there. "
            f"Give {symbol}, or leave "
            f"{exponent} out."
        )
    if gate is not None and n == 0:
        raise ValueError(
            f"{exponent} of {what} is 0, and with {exponent} = 0 its gate {symbol} does nothing; it must be at least "
            f"1. Say {exponent}=1."
        )


def check_parts(what: str, gate: Any) -> None:
    """Refuse a gate that cannot be used."""
    checks.of_type(what, gate, Gate, "a Gate(inf, tau), such as Gate(B(25.5, -5.29), lambda V: 1.0)")
    checks.quantity(f"K of {what}", gate.K, CALCIUM_INSIDE, least=0)
    for name, f in (("x∞", gate.inf), ("τ", gate.tau)):
        callable_gate(f"{name} of {what}", f)
    check_gate(what, gate)


# %% [markdown]
# A reversal potential is a number in mV or a law. In a law, the concentrations on both sides have to be
# known: for calcium they are the cell's, for any other ion they must be given. The charge decides the sign
# of $u$, and a chloride channel, with $z = -1$, reverses where a potassium channel with exchanged
# concentrations would.


# %%
def check_reversal(what: str, E: Any) -> None:
    """A reversal potential in mV, or the concentrations from which it follows."""
    if E is None or isinstance(E, str):
        raise TypeError(
            f"E of {what} is {E!r}; it must be a number in mV, Nernst() or GHK(). That of the cell's calcium is "
            "Nernst(), or E=None in a `Prinz2004`."
        )
    if not isinstance(E, (Nernst, GHK)):
        checks.quantity(f"E of {what}", E, REVERSAL)
        return
    kind = f"{type(E).__name__} of {what}"
    if (z := whole(f"z of {kind}", E.z)) == 0:
        raise ValueError(f"z of {kind} is 0; it must be the charge of an ion. Say 1 for K, 2 for Ca, -1 for Cl.")
    for side, scale in (("outside", CALCIUM_OUTSIDE), ("inside", CALCIUM_INSIDE)):
        x = getattr(E, side)
        if x is not None:
            checks.quantity(f"{side} of {kind}", x, scale if abs(z) == 2 else ION, above=0)
        elif z != 2:
            raise ValueError(
                f"{side} of {kind} is None, which is calcium, and z is {z}; both concentrations must be given, in µM. "
                f"Add {side}=."
            )


# %% [markdown]
# ### Cells
#
# What a cell adds: factors of temperature, the pool, and whether its channels have the pool that they need.
# A calcium channel in a cell without a pool could run, with calcium at its rest for ever; but whoever puts
# one there most likely forgot the pool.


# %%
def check_q10(what: str, q10: Any) -> None:
    """Factors that are positive, or None, for which `warmed` takes its own."""
    if q10 is None:
        return
    checks.of_type(f"q10 of {what}", q10, Q10, "a Q10, such as Q10(rate=3)")
    for name, x in q10._asdict().items():
        checks.positive(f"q10.{name} of {what}", x, "(1 is no change)")


def check_pool(calcium: Any) -> Calcium | None:
    """A pool of calcium with plausible numbers, or none."""
    if calcium is None:
        return None
    checks.of_type("calcium", calcium, Calcium, "a pool, such as Prinz2003.calcium or Calcium(f=14.96, τ=200)")
    checks.number("f of calcium", calcium.f, "µM/nA", least=0)
    rest, outside = (checks.positive(f"{x} of calcium", getattr(calcium, x), "µM") for x in ("rest", "outside"))
    if rest >= outside:
        raise ValueError(
            f"rest of calcium is {rest:g} µM and outside {outside:g}; there must be more outside. Exchange them."
        )
    checks.quantity("τ of calcium", calcium.τ, POOL_TIME, above=0)
    checks.quantity("rest of calcium", calcium.rest, CALCIUM_AT_REST, above=0)
    checks.quantity("outside of calcium", calcium.outside, CALCIUM_OUTSIDE, above=0)
    if calcium.q10 is not None:
        checks.positive("q10 of calcium", calcium.q10, "(1 is no change)")
    return calcium


def check_channels(channels: Sequence[Channel], g: Sequence[float] | np.ndarray, pool: bool) -> None:
    """Refuse channels (mS/cm²) that cannot be used in a cell with or without a pool of calcium, and warn of what is
    in another unit."""
    for channel in channels:
        check_channel(channel)
    for c in channels:
        if not pool and (c.ion == "Ca" or senses_calcium(c.m) or senses_calcium(c.h)):
            raise ValueError(
                f"the channel {c.name!r} lets calcium in or reads it, but the cell has no calcium; it must have a "
                "pool. Say "
                "calcium=Prinz2003.calcium, or one of your own: Calcium(f, τ)."
            )
    check_densities(channels, g)


# %% [markdown]
# ### Densities
#
# The most frequent slip of all is a density in another unit. A sodium channel of 1000 could be strong, or
# be in µS/cm²; only the densities with which it was published can tell. A warning names the range, the
# factor and the unit that would explain it. It stays a warning, since a model may be meant to be extreme.
#
# If *all* densities of a cell fit another library than their channels, the channels are the mistake. This
# is what happens when the table of one paper is used with the kinetics of another, as in the
# [next chapter](networks.py), where its figure shows what such a cell does.

# %%
FAR = 3.0  # a density more than this factor outside the published ones draws a warning
FACTORS = {
    10.0: "it is in µS/mm², of which 10 make 1 mS/cm²",
    1000.0: "it is in µS/cm² or nS for the cell",
    0.001: "it is in S/cm²",
    0.1: "it was divided by 10 on the way from µS/mm²",
}


def distance(g: float, name: str, source: str) -> float:
    """The factor by which a density (mS/cm²) is outside those with which a channel of a source was published, or 1."""
    low, high = USUAL[source][name]
    return max(low / g, g / high, 1.0)


# %% [markdown]
# The factors are those that occur: ten between µS/mm² and mS/cm², a thousand between the prefixes, and a
# thousand between mS and S. A density of 0.12 for the axon's sodium is explained by one of them, and the
# warning says so. Channels of your own have no published range. Theirs is that of all membranes, wide
# enough to catch the prefixes only.


# %%
def check_densities(channels: Sequence[Channel], g: Sequence[float] | np.ndarray) -> None:
    """Warn of densities (mS/cm²) that fit another source than their own, are far from the published ones, or look
    like another unit."""
    given = [(c.name, c.source, float(x)) for c, x in zip(channels, g, strict=True) if x]
    known = [(name, source, x) for name, source, x in given if name in USUAL.get(source, {})]
    for channel, x in zip(channels, g, strict=True):
        if channel.name not in USUAL.get(channel.source, {}):
            scale = PERMEABILITY if isinstance(channel.E, GHK) else DENSITY
            checks.doubt(f"the density of {channel.name}", float(x), scale)
    within = lambda name, x, source: name in USUAL[source] and distance(x, name, source) == 1  # noqa: E731
    fits = lambda source: all(within(name, x, source) for name, _, x in known)  # noqa: E731
    own = {source for _, source, _ in known}
    others = [source for source in USUAL if len(known) > 2 and source not in own and fits(source)]
    if len(own) == 1 and others and not fits(*own):
        name, source, x = max(known, key=lambda c: distance(c[2], c[0], c[1]))
        checks.warn(
            f"the densities are in the range of {others[0]}, but the channels are those of {source}: {name}({x:g}) is "
            "off by a factor "
            f"of {distance(x, name, source):.3g} or more. Take densities of {source}, or channels of {others[0]}."
        )
        return
    for name, source, x in known:
        if (off := distance(x, name, source)) > FAR:
            likely = [f for f in FACTORS if distance(x / f, name, source) <= FAR]
            guess = f"perhaps {FACTORS[likely[0]]}" if likely else "perhaps it belongs to another model"
            low, high = USUAL[source][name]
            checks.warn(
                f"{name}({x:g}) is far from the densities with which this channel was published, {low:g} to {high:g} "
                "mS/cm², by a factor "
                f"of {off:.3g} or more; {guess}."
            )


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-channels-rest
# What share of the sodium and of the potassium channels of the axon is open at rest, −65 mV? Which currents
# flow, in µA/cm², and why does the potential stay where it is?
# ```
#
# ```{solution-start} ex-channels-rest
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# V = jnp.array(-65.0)
# m, h, n = (float(at(gate.inf, V, V)) for gate in (HH.Na.m, HH.Na.h, HH.K.m))
# flows = {"Na": 120 * m**3 * h * (-65 - 50), "K": 36 * n**4 * (-65 + 77), "leak": 0.3 * (-65 + 54.387)}
# assert abs(sum(flows.values())) < 0.01
# m**3 * h, n**4, flows

# %% [markdown]
# One sodium channel in ten thousand is open, and one potassium channel in a hundred. Currents of sodium,
# −1.2, potassium, 4.4, and leak, −3.2 µA/cm², add up to nothing: the cell rests, while ions flow all the
# time.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-channels-window
# Sodium channels open when $m$ has opened and before $h$ closes. If the potential stands still, is there
# one at which some stay open for ever? Compare the axon with the cells of the lobster.
# ```
#
# ```{solution-start} ex-channels-window
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# V = jnp.linspace(-100.0, 50.0, 1501)
# window = {}
# for name, c in (("axon", HH.Na), ("lobster", Prinz2003.Na)):
#     share = np.asarray(at(c.m.inf, V, V) ** 3 * at(c.h.inf, V, V))
#     window[name] = float(V[share.argmax()]), float(share.max())
# assert 4 < window["axon"][1] / window["lobster"][1] < 6
# window

# %% [markdown]
# Yes: where the two curves overlap, around −32 mV in the axon and −22 mV in the lobster, up to 0.8% and
# 0.2% stay open. It is little, but with a density of 100 mS/cm² it is more than the leak.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-channels-calcium
# A calcium current of 1 nA flows steadily into a cell. What concentration does it reach with the pool of
# {cite:t}`Prinz2003`, what with that of {cite:t}`Liu1998`? By what factor do the shares of open KCa
# channels differ, whose $m_∞$ contains $[Ca]/([Ca] + 3\,µM)$ and which open by $m^4$?
# ```
#
# ```{solution-start} ex-channels-calcium
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# levels = [pool.rest + pool.f for pool in (Prinz2003.calcium, Liu1998.calcium)]
# later, earlier = ((x / (x + 3)) ** 4 for x in levels)
# assert 35 < later / earlier < 37
# levels, later / earlier

# %% [markdown]
# 15 and 1.5 µM: the same influx, but it stays ten times longer. The shares differ by a factor of 36. Both
# models burst, since the density of KCa makes up for a part of it, and in bursts the concentration does not
# reach its steady value.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-channels-block
# A toxin blocks a part of the potassium channels of the axon. Predict what happens to its spikes, then
# halve the density and let it run for 200 ms *without* input.
# ```
#
# ```{solution-start} ex-channels-block
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# fired = {}
# for K in (36, 27, 18):
#     poisoned = Cell([HH.Na(120), HH.K(K), HH.leak(0.3)], V=-65, temperature=6.3)
#     fired[K] = len(poisoned(np.arange(100, 300, 0.05)).spike_times()["cell", 0])
# assert fired[36] == fired[27] == 0 and fired[18] > 5
# fired

# %% [markdown]
# One expects longer spikes. But potassium also holds the cell at rest: with three quarters of it the axon
# is silent and rests a millivolt higher, with a half it fires by itself, ten times in 200 ms. Its window of
# open sodium channels is no longer balanced.
# ```{solution-end}
# ```
