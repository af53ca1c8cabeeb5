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
# # Energy
#
# What does a rhythm cost? Every {term}`spike` lets ions run down their gradients, and pumps have to bring
# them back, molecule by molecule of ATP. This chapter counts what a recorded run of any circuit, cell or
# network has cost: as heat in the membranes, and as molecules of ATP for the pumps. Here is the bill of the
# circuit of the paper.

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
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
# from .energy import atp, energy, power
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# run = circuit(np.arange(2000, 6000, 0.1))
# energy(run).style.format("{:.3g}")

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "What the channels of the pacemaker dissipate in a burst, 20 ms means; and on average, of all cells.", "name": "fig-energy"}}
# shares = power(run)
# smooth = shares["AB/PD", 0].rolling(200, center=True).mean().iloc[::50].loc[2200:4200]
# largest = [c for c in smooth if smooth[c].max() > 100]
# curves = hv.Overlay([hv.Curve((smooth.index, smooth[c]), "time (ms)", "nJ/cm²/s", label=c) for c in largest])
# mean = shares.mean().rename("power").reset_index().drop(columns="index")
# bars = hv.Bars(mean, ["pop", "channel"], "power")
# look = dict(legend_position="right", ylabel="nJ/cm²/s")
# (curves.opts(height=240, width=680, **look) + bars.opts(stacked=True, width=480, height=260, **look)).cols(1)

# %% [markdown]
# The pacemaker turns over nearly three times as much as PY, and about 30 billion molecules of ATP per
# second, two billion for each of its spikes. Na and Kd, the channels of spikes, take half of the heat; the
# calcium channels that make {term}`bursts <burst>` take most of the rest. And the synapses, without which
# there would be no circuit, take a quarter of a percent. {cite:t}`Deistler2022`, who counted the energy of
# circuits of the first chapter, found even less on average, 0.08% of 200 circuits that match the crab's
# rhythm.
#
# ## What it does
#
# | function | result | unit |
# |---|---|---|
# | `power(result)` | what each channel, and all synapses together, dissipate at each time | nJ/(cm² s) |
# | `atp(result)` | molecules of ATP that restore what enters through each channel | 1/s |
# | `energy(result)` | both on average, per spike and per burst, for each cell | nJ/cm² and molecules |
#
# They take a result of a run as it is, and need nothing but its states. For spikes, the run has to be
# recorded about every 0.1 ms: a spike lasts a millisecond, and most of what it costs is spent in a part of
# that. Heat is given per area, as it is in the literature, and molecules for the whole cell.
#
# The two are different questions. Heat is physics: charge that moved through a voltage. Molecules are
# biology: they depend on which ion it was, for a pump charges by the ion. Neither includes what a real
# neuron spends on making channels, moving vesicles, and all that is not signalling.

# %%
from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from ..engine import checks
from ..engine.scale import SAMPLING, suspicion
from ..files.results import SimResult
from ..models.channels import GHK
from ..prinz2004 import (
    DEFAULT_DT,
    MS_PER_S,
    Channel,
    Circuit,
    Constants,
    Membrane,
    Nernst,
    Params,
    State,
    chemical,
    current_of,
    of_channels,
    pack,
    precision,
    prepare,
)
from ..rhythm import bursts, spikes
from .protocols import membrane_of, millivolts, ordered

__all__ = ["atp", "energy", "power"]

# %% [markdown]
# ## Heat
#
# A membrane is a capacitor with batteries, the ions' gradients, behind resistors. Multiply
# $C\, dV/dt = I_\mathrm{ext} - \sum_i I_i$ by $V$, and write each $V$ in the sum as $(V - E_i) + E_i$. What
# the membrane takes in from the electrode is stored, turned into heat, or charges the batteries,
#
# $$
# V I_\mathrm{ext} = \frac{d}{dt} \frac{C V^2}{2} + \sum_i I_i (V - E_i) + \sum_i I_i E_i.
# $$ (eq-power)
#
# The second term is what the channels dissipate, never negative {cite:p}`Moujahid2011`: for a channel
# $I_i (V - E_i) = g_i (V - E_i)^2$, with $g_i$ as open as it is. Over a period without electrode the
# capacitor is where it was, and the heat is what the batteries give, and what pumps have to restore.
# {cite:t}`Deistler2022` counted it for circuits of the first chapter. It comes in nJ per cm² and s; nA · mV
# are pW.
#
# A worked number: in the upstroke of a spike, at 0 mV with a tenth of the 62.8 µS of sodium channels open,
# 6.28 µS · (50 mV)² are 15,700 pW. On 0.628·10⁻³ cm² that is 25,000 nJ/(cm² s), ten times the mean of the
# pacemaker, and all over in less than a millisecond.

# %%
NJ = 1e-3  # 1 pW = 10⁻³ nJ/s


def reversal(channel: Channel, c: Constants, Ca: Array) -> Any:
    """Reversal potential (mV) of a channel; for GHK, where its current changes sign."""
    E = channel.E
    return Nernst(E.z, E.outside, E.inside).potential(c, Ca) if isinstance(E, (Nernst, GHK)) else E


def squared(circuit: Circuit) -> Circuit:
    """A circuit whose synapses have the squares of their reversal potentials."""
    square = lambda kinds: tuple(k._replace(E=k.E**2) for k in kinds)  # noqa: E731
    return circuit._replace(transmitters=square(circuit.transmitters), kinds=square(circuit.kinds))


# %% [markdown]
# A channel that follows the law of Goldman, Hodgkin and Katz is no resistor with a battery. Its $E$ is
# where its current changes sign, and the product is still never negative, since current and driving force
# change sign together.
#
# Synapses are many, and the equations know them only as a sum $G V - J$, with $G = \sum g s$ and
# $J = \sum g s E$. The sum of the squares needs one more number:
#
# $$
# \sum g s\, (V - E)^2 = G V^2 - 2 J V + \sum g s E^2,
# $$ (eq-synaptic-heat)
#
# and that is the $J$ of a circuit whose synapses reverse at $E^2$. So the same function is called twice,
# the second time with `squared`.


# %%
def dissipated(params: Params, states: State) -> Array:
    """What channels and, last, synapses dissipate at states with a time axis, (time, cell, channel + 1) pW; pure."""
    circuit, p = params.circuit, prepare(params, jnp.asarray(states.V).dtype, DEFAULT_DT)

    def of_channel(membrane: Membrane, channel: Channel, γ: Array, V: Array, Ca: Array) -> Array:
        c = membrane.constants
        return current_of(channel, c, γ, V, Ca) * (V - reversal(channel, c, Ca))

    def of_synapses(state: State) -> Array:
        y = pack(circuit, state)
        (G, J), (_, J2) = chemical(circuit, p, y), chemical(squared(circuit), p, y)  # Σ g s (V − E)²
        return G * y.V**2 - 2 * J * y.V + J2

    return jnp.concatenate([of_channels(params, states, of_channel), jax.vmap(of_synapses)(states)[..., None]], -1)


# %% [markdown]
# A result becomes a table with a level for the population, one for the number of the cell in it, and one
# for the channel. A run in which channels were counted brings its states with their numbers; these are left
# out.


# %%
def states_of(result: Any) -> State:
    """The states of a run as arrays. Raises TypeError for what is no run of a circuit, a cell or a network."""
    checks.of_type("the result", result, SimResult, "what a run of a circuit, a cell or a network returned")
    states = getattr(result.states, "plain", result.states)  # of a run in which channels were counted
    return type(states)(*map(np.asarray, states))


compiled_power = jax.jit(dissipated)


def power(result: Any) -> pd.DataFrame:
    """Dissipated power, nJ/(cm² s), of each channel and of all synapses of each cell; index: time (ms)."""
    states, model = states_of(result), result.model
    with precision(model.dtype):
        found = np.asarray(compiled_power(model.params, states))
    areas = np.array([float(membrane_of(model, i).constants.A) for i in range(len(model.cells))], found.dtype)
    return result.of_channels(found * (NJ / areas)[:, None], others=["synaptic"])


# %% [markdown]
# ## Molecules
#
# The sodium–potassium pump splits one molecule of ATP for three sodium ions that it takes out; a calcium
# ion, with its two charges, costs one {cite:p}`AttwellLaughlin2001`. So one counts what *enters*: of sodium
# a third of a molecule per ion, of calcium one. Potassium needs no count of its own, since the same pump
# brings it back in. A current of 1 nA carries 1 pC per ms, which is 6.24 million ions of a single charge.
#
# Channels that let sodium and potassium through, such as H, reverse in between: of their conductance the
# share $w = (E - E_K)/(E_{Na} - E_K)$ is that of sodium, which enters with $w\, γ\, (E_{Na} - V)$. For H,
# at −20 mV between −80 and 50 mV, $w$ = 0.46. At its own reversal potential no net current flows, and still
# sodium enters and potassium leaves, and the pump has to work.
#
# $E_{Na}$ and $E_K$ are those of the cell's own channels: of its gated channels the highest reversal
# potential from 20 to 90 mV, and the lowest below −60 mV. A gated channel below −60 mV passes potassium
# alone. A channel of one ion whose concentrations are given counts by that ion: calcium is told by its
# charge of 2, sodium by its reversal potential, and anions cost nothing.

# %%
IONS_PER_PC = 1e-12 / 1.602176634e-19  # elementary charges in 1 pC = 1 nA ms
NA_PER_ATP = 3.0
USUAL_E_NA, USUAL_E_K = 50.0, -80.0  # mV, of the cells of the first chapters, for a cell without such channels
SODIUM, POTASSIUM = (20.0, 90.0), -60.0


def charge(channel: Channel) -> int:
    """Of the ion that passes a channel; 2 for calcium."""
    return 2 if channel.ion == "Ca" else channel.E.z if isinstance(channel.E, (Nernst, GHK)) else 1


def fixed_reversal(channel: Channel, c: Constants) -> float | None:
    """Reversal potential (mV) of a channel; None for calcium, and where it moves with the calcium of the cell."""
    E = channel.E
    if isinstance(E, (Nernst, GHK)):
        moving = E.inside is None or E.outside is None
        return None if moving else c.γ * 2 / E.z * math.log(E.outside / E.inside)  # type: ignore[operator]
    return None if channel.ion == "Ca" else float(E)


# %% [markdown]
# The potentials of the two batteries follow from the channels that a membrane has, unless they are given;
# and from them each channel's share of sodium, between 0 and 1. A leak at −50 mV counts as a mixture too: a
# quarter of it is sodium.


# %%
def batteries(membrane: Membrane, E_Na: float | None, E_K: float | None) -> tuple[float, float]:
    """E_Na and E_K (mV) of the cells of a membrane: those given, else of its own channels, else the usual ones."""
    monovalent = [fixed_reversal(c, membrane.constants) for c in membrane.channels if (c.m or c.h) and charge(c) == 1]
    gated = [E for E in monovalent if E is not None]
    sodium, potassium = [E for E in gated if SODIUM[0] < E < SODIUM[1]], [E for E in gated if E < POTASSIUM]
    own = max(sodium, default=USUAL_E_NA), min(potassium, default=USUAL_E_K)
    return own[0] if E_Na is None else E_Na, own[1] if E_K is None else E_K


def sodium_share(channel: Channel, c: Constants, E_Na: float, E_K: float) -> float:
    """The share of sodium in the conductance of a channel."""
    E = fixed_reversal(channel, c)
    if E is None or charge(channel) < 0 or ((channel.m or channel.h) and E < POTASSIUM):
        return 0.0
    return min(max((E - E_K) / (E_Na - E_K), 0.0), 1.0)


# %% [markdown]
# Outward currents of calcium, above its reversal potential, would give molecules back; they hardly occur,
# and are counted as they come. Of sodium through a channel of the law of Goldman, Hodgkin and Katz there is
# no conductance to take a share of, and the share is taken of the current.


# %%
def molecules(params: Params, states: State, E_Na: float | None, E_K: float | None) -> Array:
    """Molecules of ATP per s that restore what enters through each channel, (time, cell, channel).

    E_Na, E_K: mV, as of `batteries`.
    """

    def of_channel(membrane: Membrane, channel: Channel, γ: Array, V: Array, Ca: Array) -> Array:
        c, (sodium, potassium) = membrane.constants, batteries(membrane, E_Na, E_K)
        I, share = current_of(channel, c, γ, V, Ca), sodium_share(channel, c, sodium, potassium)
        if charge(channel) == 2:
            return -I / 2
        return -share * I / NA_PER_ATP if isinstance(channel.E, GHK) else share * γ * (sodium - V) / NA_PER_ATP

    return of_channels(params, states, of_channel) * IONS_PER_PC * MS_PER_S


compiled_molecules = jax.jit(molecules, static_argnames=("E_Na", "E_K"))


def atp(result: Any, *, E_Na: float | None = None, E_K: float | None = None) -> pd.DataFrame:
    """Molecules of ATP per s that each channel of each cell costs; index: time (ms).

    E_Na, E_K: mV, by default those of the cell's own channels. Raises ValueError if E_K ≥ E_Na.
    """
    states, model = states_of(result), result.model
    E_Na, E_K = (None if E is None else millivolts(name, E) for name, E in (("E_Na", E_Na), ("E_K", E_K)))
    for membrane in model.circuit.membranes:
        high, low = batteries(membrane, E_Na, E_K)
        ordered("reversal potential (E_K to E_Na)", low, high, "mV")
    with precision(model.dtype):
        return result.of_channels(np.asarray(compiled_molecules(model.params, states, E_Na, E_K)))


# %% [markdown]
# ## Per spike and per burst
#
# Per spike and per burst, both are what the cell takes on average, divided by the number of them. That
# includes what the cell spends between its spikes, so that a cell that fires rarely pays more for each. The
# mean over time is that of the trapezoidal rule, since the times of a result need not be evenly spaced.


# %%
def sampled_often_enough(t: np.ndarray) -> None:
    """Times (ms) over which spikes and what they cost can be summed up."""
    if len(t) < 2:
        raise ValueError(
            f"the result has {len(t)} time; energy is spent between two. Record longer, np.arange(0, 1000, 0.1) for "
            "example."
        )
    if said := suspicion("the time between two samples", float(np.median(np.diff(t))), SAMPLING):
        checks.warn(f"{said} Spikes and what they cost get lost between samples; record every 0.1 ms.")


def mean_over(table: pd.DataFrame) -> pd.Series:
    """Mean over the recorded time of all channels of each cell together."""
    t = table.index.to_numpy(float)
    total = table.T.groupby(level=[0, 1], sort=False).sum().T
    return pd.Series(np.trapezoid(total.to_numpy(), t, axis=0) / (t[-1] - t[0]), total.columns)


def energy(result: Any, *, E_Na: float | None = None, E_K: float | None = None) -> pd.DataFrame:
    """What each cell of a result spends, on average, per spike and per burst.

    Columns: "power" (nJ/cm²/s), "per spike" and "per burst" (nJ/cm²), "ATP" (1/s), "ATP per spike", "ATP per burst".
    E_Na, E_K: as of `atp`. Raises ValueError for a result of one time, and warns (UserWarning) where the times are
    too far apart for spikes.
    """
    states_of(result)
    sampled_often_enough(result.t)
    seconds = (result.t[-1] - result.t[0]) / MS_PER_S
    heat, molecules = (mean_over(table) for table in (power(result), atp(result, E_Na=E_Na, E_K=E_K)))
    rows = []
    for cell in heat.index:
        trains = spikes(result.t, result.V[cell].to_numpy())
        n, b = len(trains), len(bursts(trains))
        per = lambda x, n: x * seconds / n if n else np.nan  # noqa: E731
        P, a = float(heat[cell]), float(molecules[cell])
        rows.append((P, per(P, n), per(P, b), a, per(a, n), per(a, b)))
    columns = ["power", "per spike", "per burst", "ATP", "ATP per spike", "ATP per burst"]
    return pd.DataFrame(rows, heat.index, columns)


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-synapses
# Which share of all heat do the synapses of the circuit cause?
# ```
#
# ```{solution-start} ex-synapses
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# of_all = power(run).mean()
# share = of_all.xs("synaptic", level=-1).sum() / of_all.sum()
# assert 0 < share < 0.01
# share

# %% [markdown]
# Less than a percent: keeping the channels of the cells ready is what costs.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-sodium
# And which channel costs most?
# ```
#
# ```{solution-start} ex-sodium
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# by_channel = of_all.groupby(level=-1).sum().sort_values()
# assert by_channel.index[-1] in ("Na", "Kd")
# by_channel.round(1)

# %% [markdown]
# The channels of the spikes, since they work against the largest potentials with the largest conductances.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-efficient-spike
# At least how many molecules of ATP must a spike cost? The sodium that enters has to charge the membrane by
# the height of the spike, $C\, ΔV$, and three ions cost one molecule. How many times more does the axon
# take for a spike, at its 6.3 °C and ten degrees warmer?
# ```
#
# ```{solution-start} ex-efficient-spike
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..models.channels import HodgkinHuxley1952 as HH
# from ..models.networks import Cell
# from .temperature import at_temperature
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
#
#
# def excess(T):
#     """What a spike of the axon costs at T (°C), against the least that it could."""
#     fired = at_temperature(axon, T)(np.arange(0, 1000, 0.02), I_ext=6.28)
#     height = float(np.ptp(fired.V.iloc[:, 0]))  # mV
#     least = 0.628 * height * IONS_PER_PC / NA_PER_ATP  # nF · mV are pC
#     return float(energy(fired)["ATP per spike"].iloc[0]) / least
#
#
# times_more = {T: excess(T) for T in (6.3, 16.3)}
# assert times_more[6.3] > 8 > 6 > times_more[16.3] > 2
# times_more

# %% [markdown]
# Eleven times in the cold and four and a half times in the warmth. Sodium still enters while potassium
# already leaves, and what the two exchange charges nothing. At higher temperatures sodium channels
# inactivate sooner and the two overlap less. {cite:t}`AttwellLaughlin2001` reckoned with a factor of four
# for the cells of the brain.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-energy-warm
# The isolated pacemaker runs twice as fast at 20 °C as at 10 °C. Does it need twice the energy?
# ```
#
# ```{solution-start} ex-energy-warm
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# lonely, t_warm = Prinz2004({"AB/PD 2": 1}, gs={}), np.arange(2000, 10000, 0.1)
# bills = {T: energy(at_temperature(lonely, T)(t_warm)).iloc[0] for T in (10, 20)}
# more = bills[20] / bills[10]
# assert 1 < more["power"] < 1.3 and more["per burst"] < 0.8
# more

# %% [markdown]
# Far from it: 14% more heat per second, and 16% more ATP. A burst costs less, by 38% in heat, since it is
# shorter, and each of its spikes is, too. Conductances that grow by 1.6 would cost more by themselves, but
# they are open more briefly.
# ```{solution-end}
# ```
