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
# A cell spends energy on every spike. This chapter counts what a recorded run of any circuit, cell or network has cost: as heat in the membranes,
# and as molecules of ATP for the pumps.

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
# from .energy import energy, power
# from ..prinz2004 import Prinz2004
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))

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
# A membrane is a capacitor with batteries, the ions' gradients, behind resistors. What it takes in from the electrode is stored, turned into heat,
# or charges the batteries,
#
# $$
# V I_\mathrm{ext} = \frac{d}{dt} \frac{C V^2}{2} + \sum_i I_i (V - E_i) + \sum_i I_i E_i.
# $$ (eq-power)
#
# The second term is what the channels dissipate, never negative {cite:p}`Moujahid2011`. Over a period without electrode, it is what the batteries
# give, and what pumps have to restore. {cite:t}`Deistler2022` counted it for circuits of the first chapter. It
# comes in nJ per cm² and s; nA · mV are pW.

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


def dissipated(params: Params, states: State) -> Array:
    """What channels and, last, synapses dissipate at states with a leading time axis, (time, cell, channel + 1) pW; pure."""
    circuit, p = params.circuit, prepare(params, jnp.asarray(states.V).dtype, DEFAULT_DT)

    def of_channel(membrane: Membrane, channel: Channel, γ: Array, V: Array, Ca: Array) -> Array:
        c = membrane.constants
        return current_of(channel, c, γ, V, Ca) * (V - reversal(channel, c, Ca))

    def of_synapses(state: State) -> Array:
        y = pack(circuit, state)
        (G, J), (_, J2) = chemical(circuit, p, y), chemical(squared(circuit), p, y)  # Σ g s (V − E)²
        return G * y.V**2 - 2 * J * y.V + J2

    return jnp.concatenate([of_channels(params, states, of_channel), jax.vmap(of_synapses)(states)[..., None]], -1)


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
# The sodium–potassium pump splits one molecule of ATP for three sodium ions that it takes out; a calcium ion, with its two charges, costs one
# {cite:p}`AttwellLaughlin2001`. Channels that let sodium and potassium through, such as H, reverse in between: of their conductance the share
# $w = (E - E_K)/(E_{Na} - E_K)$ is that of sodium, which enters with $w\, γ\, (E_{Na} - V)$.
#
# $E_{Na}$ and $E_K$ are those of the cell's own channels: of its gated channels the highest reversal potential from 20 to 90 mV, and the lowest below
# −60 mV. A gated channel below −60 mV passes potassium alone. So does a channel of one ion whose concentrations are
# given count by its ion: calcium by its charge of 2, sodium by its reversal potential, and anions cost nothing.

# %%
IONS_PER_PC = 1e-12 / 1.602176634e-19  # elementary charges in 1 pC = 1 nA ms
NA_PER_ATP = 3.0
USUAL_E_NA, USUAL_E_K = 50.0, -80.0  # mV, of the cells of the first chapters, for a cell without such channels
SODIUM, POTASSIUM = (
    (20.0, 90.0),
    -60.0,
)  # mV; gated channels that reverse between the first pass sodium, below the second potassium


def fixed_reversal(channel: Channel, c: Constants) -> float | None:
    """Reversal potential (mV) of a channel; None for calcium, and where it moves with the calcium of the cell."""
    E = channel.E
    if isinstance(E, (Nernst, GHK)):
        moving = E.inside is None or E.outside is None
        return None if moving else c.γ * 2 / E.z * math.log(E.outside / E.inside)  # type: ignore[operator]
    return None if channel.ion == "Ca" else float(E)


def batteries(membrane: Membrane, E_Na: float | None, E_K: float | None) -> tuple[float, float]:
    """E_Na and E_K (mV) of the cells of a membrane: those that are given, else those of its own channels, else the usual ones."""
    monovalent = [fixed_reversal(c, membrane.constants) for c in membrane.channels if (c.m or c.h) and charge(c) == 1]
    gated = [E for E in monovalent if E is not None]
    sodium, potassium = [E for E in gated if SODIUM[0] < E < SODIUM[1]], [E for E in gated if E < POTASSIUM]
    own = max(sodium, default=USUAL_E_NA), min(potassium, default=USUAL_E_K)
    return own[0] if E_Na is None else E_Na, own[1] if E_K is None else E_K


def charge(channel: Channel) -> int:
    """Of the ion that passes a channel; 2 for calcium."""
    return 2 if channel.ion == "Ca" else channel.E.z if isinstance(channel.E, (Nernst, GHK)) else 1


def sodium_share(channel: Channel, c: Constants, E_Na: float, E_K: float) -> float:
    """The share of sodium in the conductance of a channel."""
    E = fixed_reversal(channel, c)
    if E is None or charge(channel) < 0 or ((channel.m or channel.h) and E < POTASSIUM):
        return 0.0
    return min(max((E - E_K) / (E_Na - E_K), 0.0), 1.0)


def molecules(params: Params, states: State, E_Na: float | None, E_K: float | None) -> Array:
    """Molecules of ATP per s that restore what enters through each channel, (time, cell, channel); E_Na, E_K: mV, as of `batteries`."""

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
# Per spike and per burst, both are what the cell takes on average, divided by the number of them.


# %%
def energy(result: Any, *, E_Na: float | None = None, E_K: float | None = None) -> pd.DataFrame:
    """What each cell of a result spends: "power" (nJ/cm²/s), "per spike" and "per burst" (nJ/cm²), "ATP" (1/s), "ATP per spike", "ATP per burst".

    E_Na, E_K: as of `atp`. Raises ValueError for a result of one time, and warns (UserWarning) where the times are too far apart for spikes.
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


def sampled_often_enough(t: np.ndarray) -> None:
    """Times (ms) over which spikes and what they cost can be summed up."""
    if len(t) < 2:
        raise ValueError(
            f"the result has {len(t)} time; energy is spent between two. Record longer, np.arange(0, 1000, 0.1) for example."
        )
    if said := suspicion("the time between two samples", float(np.median(np.diff(t))), SAMPLING):
        checks.warn(f"{said} Spikes and what they cost get lost between samples; record every 0.1 ms.")


def mean_over(table: pd.DataFrame) -> pd.Series:
    """Mean over the recorded time of all channels of each cell together."""
    t = table.index.to_numpy(float)
    total = table.T.groupby(level=[0, 1], sort=False).sum().T
    return pd.Series(np.trapezoid(total.to_numpy(), t, axis=0) / (t[-1] - t[0]), total.columns)


# %% tags=["active-ipynb"]
# run = circuit(np.arange(2000, 6000, 0.1))
# energy(run).style.format("{:.3g}")

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "What the channels of the pacemaker dissipate in a burst, 20 ms means; and on average, of all cells.", "name": "fig-energy"}}
# shares = power(run)
# smooth = shares["AB/PD", 0].rolling(200, center=True).mean().iloc[::50].loc[2200:4200]
# curves = [hv.Curve((smooth.index, smooth[c]), "time (ms)", "nJ/cm²/s", label=c) for c in smooth if smooth[c].max() > 100]
# bars = hv.Bars(shares.mean().rename("power").reset_index().drop(columns="index"), ["pop", "channel"], "power")
# (hv.Overlay(curves).opts(legend_position="right", height=240, width=680) + bars.opts(stacked=True, width=480, height=260, ylabel="nJ/cm²/s", legend_position="right")).cols(1)

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
