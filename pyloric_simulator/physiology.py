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
# # Heat, energy, regulation and phase
#
# The crab's circuit works in a cold sea and in a warm pool, spends energy on every spike, rebuilds its channels within
# days, and is pushed about by its inputs. This chapter asks four questions of any circuit, cell or network: What does
# temperature do to it? What does it spend? Which conductances would it grow by itself? And how does a brief input
# shift its rhythm?

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
# from .config import find_circuit
# from .physiology import *
# from .prinz2004 import Prinz2004
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# pacemaker = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)

# %%
from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from . import checks
from .adjoint import simulate_with_adjoint
from .components import (
    CELSIUS,
    GHK,
    REFERENCE,
    Channel,
    Group,
    Kinetic,
    Nernst,
    Network,
    Params,
    Prepared,
    State,
    Structure,
    Working,
    at,
    base,
    chemical,
    network_currents,
    pack,
    powers,
    prepare_network,
    simulate_network,
    split,
)
from .experiments import EDGE, cell_number, converted, network_of, present, rebuilt, start_of
from .prinz2004 import DEFAULT_DT, DEFAULT_SOLVER, MS_PER_S, Curve, Gate, Prinz2004, conductances, precision
from .rhythm import GAP, begun, bursts, mean_phase, period, spikes

# %% [markdown]
# ## Temperature
#
# With 10 °C a rate grows by the factor $Q_{10}$, so at the temperature $T$
#
# $$
# τ_x(T) = τ_x\, Q_{10}^{-(T - T_0)/10}, \qquad \bar g(T) = \bar g\, Q_{10}^{(T - T_0)/10}, \qquad γ(T) = γ\, \frac{T}{T_0},
# $$ (eq-q10)
#
# each process with its own $Q_{10}$, and the Nernst slope $γ = RT/2F$ with the absolute temperature. The pump of
# calcium works faster, too: $τ_{Ca}$ falls, and with it the calcium that a given current keeps in the cell.
#
# {cite:t}`Tang2010` measured values between 1.8 and 4 in LP. {cite:t}`Caplan2014` drew those of activation, of
# inactivation and of the calcium pump at random between 1 and 4, 125,000 times, with 1.6, that of diffusion, for all conductances.
# `caplan(seed)` draws such a set. `TYPICAL` has 2 for all rates, their default where they vary only two of them, and 1.6
# for conductances. (The sets of {cite:t}`AlonsoMarder2020` belong to conductances of their own, and are
# not here.)


# %%
class Q10s(NamedTuple):
    """Factors of growth with 10 °C. Each is a number for all, or a mapping from names to numbers, 1 for those left out."""

    m: Any = 1.0  # rate of activation, by channel
    h: Any = 1.0  # rate of inactivation, by channel
    g: Any = 1.0  # maximal conductance, by channel
    synapse: Any = 1.0  # rate, by kind
    gs: Any = 1.0  # synaptic conductance, by kind
    ge: float = 1.0  # gap junctions
    calcium: float = 1.0  # rate of the pump
    T: float = REFERENCE  # °C, at which the model is as given


DIFFUSION = 1.6  # of conductances, Caplan et al. (2014)
RATES = (1.0, 4.0)  # range of the others, there
TYPICAL = Q10s(m=2.0, h=2.0, g=DIFFUSION, synapse=2.0, gs=DIFFUSION, ge=DIFFUSION, calcium=2.0)


def caplan(seed: int, channels: Sequence[str] = ("Na", "CaT", "CaS", "A", "KCa", "Kd", "H")) -> Q10s:
    """A random set as Caplan et al. (2014) drew theirs; synapses, which they had none of, are typical."""
    draw = np.random.default_rng(checks.count("seed", seed, least=0)).uniform
    m, h = ({c: float(draw(*RATES)) for c in channels} for _ in range(2))
    return TYPICAL._replace(m=m, h=h, calcium=float(draw(*RATES)))


def factor(q10: Any, name: str, x: Any) -> Any:
    """Growth of something named over 10x °C."""
    return (q10.get(name, 1.0) if isinstance(q10, Mapping) else q10) ** x


# %% [markdown]
# Temperature changes numbers of the network and nothing else. So it may be a traced number itself: a sweep over temperatures is a
# batch, and one can differentiate with respect to $T$.


# %%
def faster(gate: Gate | None, by: Any) -> Gate | None:
    """A gate with its time constant divided by a factor, which may be traced."""
    if gate is None:
        return None
    τ = gate.tau
    if isinstance(τ, Curve):
        return gate._replace(tau=replace(τ, c0=τ.c0 / by, c1=τ.c1 / by))

    def quicker(V: Array, Ca: Array) -> Array:
        return at(τ, V, Ca) / by

    return gate._replace(tau=quicker)  # type: ignore[arg-type]


def warm_group(group: Group, q: Q10s, x: Any) -> Group:
    """A group of cells at a temperature higher by 10x °C; see `warm`."""
    channels = tuple(c._replace(m=faster(c.m, factor(q.m, c.name, x)), h=faster(c.h, factor(q.h, c.name, x))) for c in group.channels)
    c, pump = group.circuit.constants, q.calcium**x
    γ = c.γ * (q.T + 10 * x + CELSIUS) / (q.T + CELSIUS)
    constants = c._replace(γ=γ, τ_Ca=c.τ_Ca / pump, f=c.f / pump)
    circuit = group.circuit._replace(channels=tuple(map(base, channels)), constants=constants, transmitters=warm_kinds(group, q, x))
    return group._replace(circuit=circuit, channels=channels)


def warm_kinds(group: Group | Structure, q: Q10s, x: Any) -> Any:
    """The graded synapses of a group or a network."""
    kinds: Any = group.wiring.transmitters if isinstance(group, Structure) else group.circuit.transmitters
    return tuple(k._replace(s=faster(k.s, factor(q.synapse, k.name, x))) for k in kinds)


def warm_kinetic(kind: Kinetic, by: Any) -> Kinetic:
    """A kinetic synapse whose rate is multiplied by a factor."""
    rate = kind.rate
    return kind._replace(rate=lambda s, V_pre, V_post: by * rate(s, V_pre, V_post))


def warm(params: Params, T: Any, q10: Q10s = TYPICAL) -> Params:
    """The numbers of a network at the temperature T (°C), {eq}`eq-q10`; pure, and T may be traced."""
    s, x = params.structure, (T - q10.T) / 10
    wiring = s.wiring._replace(transmitters=warm_kinds(s, q10, x))
    kinds = tuple(warm_kinetic(k, factor(q10.synapse, k.name, x)) for k in s.kinds)
    structure = s._replace(wiring=wiring, groups=tuple(warm_group(g, q10, x) for g in s.groups), kinds=kinds)
    by_channel = [jnp.stack([jnp.asarray(factor(q10.g, c.name, x)) for c in g.channels]) for g in s.groups]
    by_kind = lambda kinds, used: jnp.asarray([factor(q10.gs, kinds[i].name, x) for i in used])  # noqa: E731
    graded, kinetic = by_kind(s.wiring.transmitters, [w.transmitter for w in s.wiring.synapses]), by_kind(s.kinds, [k for _, _, k in s.kinetic])
    g = tuple(jnp.asarray(a) * jnp.asarray(b, jnp.asarray(a).dtype) for a, b in zip(params.g, by_channel, strict=True))
    return Params(g, params.gs * graded, params.gz * kinetic, params.ge * q10.ge**x, structure)


def at_temperature(model: Any, T: float, q10: Q10s = TYPICAL) -> Network:
    """A circuit, cell or network at the temperature T (°C), a network like any other. Raises ValueError for unknown names."""
    network = checked(network_of(model), q10)
    T = checks.number("T", T, "°C")
    with precision("float64"):
        params = warm(network.params, T, q10)
    warmed = copy.copy(network)
    warmed.params = params
    cells, connections = present(warmed)
    for cell in cells.values():
        cell.temperature = T
    return rebuilt(network, cells, connections)


def checked(network: Network, q10: Q10s) -> Network:
    """The network. Raises ValueError for Q10s of channels and synapses that it does not have, or that are not positive."""
    s = network.structure
    channels = {c.name for g in s.groups for c in g.channels}
    kinds = {k.name for k in s.wiring.transmitters} | {k.name for k in s.kinds}
    checks.q10s(q10, {"m": channels, "h": channels, "g": channels, "synapse": kinds, "gs": kinds})
    return network


# %% [markdown]
# `sweep_temperature` runs the rhythm at all temperatures side by side, each from the same start, and tells the frequency of each cell's bursts
# and the phase of their beginning and end in the cycle of the first cell that bursts. The circuit of the paper goes from 0.46 Hz at 7 °C to 1.11 Hz at
# 22 °C with phases that hardly change, as the crab's does {cite:p}`Tang2010`, and has lost its rhythm at 25 °C. Nothing was chosen to this end.


# %%
def sweep_temperature(
    model: Any, temperatures: Any = tuple(range(7, 26, 3)), q10: Q10s = TYPICAL, *, duration: float = 8000.0, transient: float = 2000.0,
    state: Any = None, dt: float = DEFAULT_DT,
) -> pd.DataFrame:  # fmt: skip
    """Rhythm at temperatures (°C); index T, columns (cell, "frequency" in Hz, "start" and "end", phases); NaN without bursts.

    Raises ValueError or TypeError on bad input.
    """
    checks.recording(duration, transient)
    network = checked(network_of(model), q10)
    T, dt = checks.levels("temperatures", temperatures, "°C"), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    start, t = start_of(model, network, state), np.arange(transient, duration, 0.25)
    with precision(network.dtype):
        one = lambda T: simulate_network(warm(network.params, T, q10), start, t, dt=dt).V  # noqa: E731
        V = np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(T)))
    names = [" ".join(map(str, cell)) if network.sizes[cell[0]] > 1 else cell[0] for cell in network.cells]
    rows = [rhythm_of(t, x, names) for x in V]
    columns = pd.MultiIndex.from_tuples(rows[0], names=["cell", "feature"])
    return pd.DataFrame([list(row.values()) for row in rows], pd.Index(T, name="T"), columns)


def rhythm_of(t: np.ndarray, V: np.ndarray, names: Sequence[str]) -> dict[tuple[str, str], float]:
    """Frequency and phases of each cell, from potentials (time, cell)."""
    found = [begun(bursts(spikes(t, x)), (t[0], t[-1])) for x in V.T]
    cycles = next((b[:, 0] for b in found if len(b) > 1), np.empty(0))
    row = dict[tuple[str, str], float]()
    for name, b in zip(names, found, strict=True):
        row[name, "frequency"] = MS_PER_S / period(b[:, 0])[0]
        row[name, "start"], row[name, "end"] = (mean_phase(b[:, i], cycles) for i in (0, 1))
    return row


# %% tags=["active-ipynb"]
# warmth = sweep_temperature(circuit)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The circuit at 7 to 25 °C: frequency, and the phase at which each cell's burst begins and ends.", "name": "fig-temperature"}}
# frequency = hv.Overlay([hv.Curve((warmth.index, warmth[c, "frequency"]), "T (°C)", "frequency (Hz)", label=c) for c in circuit.labels])
# phases = hv.Overlay([hv.Curve((warmth.index, warmth[c, x]), "T (°C)", "phase", label=c) for c in circuit.labels for x in ("start", "end")])
# (frequency.opts(show_legend=False) + phases.opts(legend_position="right")).opts(hv.opts.Curve(width=330, height=240)).cols(2)

# %% [markdown]
# ## Energy
#
# ### Heat
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


def reversal(channel: Channel, group: Group, Ca: Array) -> Any:
    """Reversal potential (mV) of a channel; for GHK, where its current changes sign."""
    if isinstance(channel.E, (Nernst, GHK)):
        return Nernst(*channel.E).potential(group.circuit.constants, Ca)
    return channel.E


class Power(NamedTuple):
    """Power in pW."""

    ionic: tuple[Any, ...]  # for each group (time, cell of the group, channel), dissipated
    synaptic: Any  # (time, cell), dissipated
    electrical: Any  # (time, cell), that leaves a cell through its gap junctions


def squared(structure: Structure) -> Structure:
    """A network whose synapses have the squares of their reversal potentials."""
    square = lambda kinds: tuple(k._replace(E=k.E**2) for k in kinds)  # noqa: E731
    return structure._replace(wiring=structure.wiring._replace(transmitters=square(structure.wiring.transmitters)), kinds=square(structure.kinds))


def network_power(params: Params, states: State) -> Power:
    """What channels and synapses dissipate at states with a leading time axis; pure."""
    s, currents = params.structure, network_currents(params, states)
    V, p = jnp.asarray(states.V), prepare_network(params, jnp.asarray(states.V).dtype, DEFAULT_DT)
    ionic = []
    for group, I in zip(s.groups, currents.ionic, strict=True):
        mine = np.array(group.cells, np.int32)
        E = [jnp.broadcast_to(jnp.asarray(reversal(c, group, states.Ca[:, mine])), I.shape[:2]) for c in group.channels]
        ionic.append(I * (V[:, mine, None] - jnp.stack(E, -1)))

    def of_synapses(state: State) -> Array:
        y = pack(s, state)
        (G, J), (_, J2) = chemical(s, p, y), chemical(squared(s), p, y)  # Σ g s (V − E)²
        return G * y.V**2 - 2 * J * y.V + J2

    return Power(tuple(ionic), jax.vmap(of_synapses)(states), currents.electrical * V)


def as_network(result: Any) -> tuple[Network, State]:
    """The network of a result and its states."""
    network = network_of(result.model)
    states = converted(result.model, network, result.states) if isinstance(result.model, Prinz2004) else result.states
    return network, State(*map(np.asarray, states))


def labelled(result: Any, network: Network, ionic: Sequence[Any], **more: Any) -> pd.DataFrame:
    """A column for each channel of each cell, and for what else there is, (time, cell)."""
    columns = dict[tuple[Any, ...], np.ndarray]()
    for number, (cell, (group, place)) in enumerate(zip(network.cells, network.places, strict=True)):
        for k, channel in enumerate(network.structure.groups[group].channels):
            columns[(*cell, channel.name)] = np.asarray(ionic[group])[:, place, k]
        columns |= {(*cell, name): np.asarray(x)[:, number] for name, x in more.items()}
    names = pd.MultiIndex.from_tuples(columns, names=[*network.cells.names, "channel"])
    return pd.DataFrame(np.column_stack(list(columns.values())), pd.Index(result.t, name="time"), names)


def area_of(network: Network, number: int) -> float:
    """Membrane (cm²) of a cell."""
    return float(network.structure.groups[network.places[number][0]].circuit.constants.A)


def power(result: Any) -> pd.DataFrame:
    """Dissipated power, nJ/(cm² s), of each channel and of all synapses of each cell; index: time (ms)."""
    network, states = as_network(result)
    with precision(network.dtype):
        found = jax.tree.map(np.asarray, jax.jit(network_power)(network.params, states))
    table = labelled(result, network, found.ionic, synaptic=found.synaptic)
    for number, cell in enumerate(network.cells):
        table[cell] *= NJ / area_of(network, number)
    return table


# %% [markdown]
# ### Molecules
#
# The sodium–potassium pump splits one molecule of ATP for three sodium ions that it takes out; a calcium ion, with its two charges, costs one
# {cite:p}`AttwellLaughlin2001`. Channels that let sodium and potassium through, such as H, reverse in between: of their conductance the share
# $w = (E - E_K)/(E_{Na} - E_K)$ is that of sodium, which enters with $w\, γ\, (E_{Na} - V)$.

# %%
IONS_PER_PC = 1e-12 / 1.602176634e-19  # elementary charges in 1 pC = 1 nA ms
NA_PER_ATP = 3.0
E_NA, E_K = 50.0, -80.0  # mV, of the cells of the first chapters


def entering(group: Group, g: Array, V: Array, I: Array, x: Array, E_Na: float, E_K: float) -> Array:
    """Molecules of ATP per ms that restore what enters through each channel, (cell, channel); I: (cell, channel) nA, x: (gate, cell)."""
    columns = []
    for i, (channel, γ) in enumerate(zip(group.channels, conductances(group.circuit, g, powers(group, x)), strict=True)):
        if channel.ion == "Ca":
            columns.append(-I[:, i] / 2)
        elif isinstance(channel.E, (int, float)):
            share = min(max((channel.E - E_K) / (E_Na - E_K), 0.0), 1.0)
            columns.append(share * γ * (E_Na - V) / NA_PER_ATP)
        else:
            columns.append(0 * V)
    return jnp.stack(columns, -1) * IONS_PER_PC


def atp(result: Any, *, E_Na: float = E_NA, E_K: float = E_K) -> pd.DataFrame:
    """Molecules of ATP per s that each channel of each cell costs; index: time (ms). E_Na, E_K: mV. Raises ValueError if E_K ≥ E_Na."""
    checks.interval("reversal potential (E_K to E_Na)", E_K, E_Na, "mV")
    network, states = as_network(result)
    s = network.structure

    def at_state(p: Prepared, y: Working, ionic: tuple[Array, ...]) -> tuple[Array, ...]:
        parts = zip(s.groups, p.g, split(s.groups, y.V), ionic, y.x, strict=True)
        return tuple(entering(group, g, V, I, x.T, E_Na, E_K) for group, g, V, I, x in parts)

    with precision(network.dtype):
        p = prepare_network(network.params, states.V.dtype, DEFAULT_DT)
        ionic = network_currents(network.params, states).ionic
        found = jax.jit(jax.vmap(lambda y, I: at_state(p, pack(s, y), I)))(states, ionic)
    return labelled(result, network, found) * MS_PER_S


# %% [markdown]
# Per spike and per burst, both are what the cell takes on average, divided by the number of them.


# %%
def energy(result: Any) -> pd.DataFrame:
    """What each cell of a result spends: "power" (nJ/cm²/s), "per spike" and "per burst" (nJ/cm²), "ATP" (1/s), "ATP per spike", "ATP per burst"."""
    seconds = (result.t[-1] - result.t[0]) / MS_PER_S
    checks.recording(result.t[-1], result.t[0])
    heat, molecules = (mean_over(table) for table in (power(result), atp(result)))
    rows = []
    for cell in heat.index:
        trains = spikes(result.t, result.V[cell].to_numpy())
        n, b = len(trains), len(bursts(trains))
        per = lambda x, n: x * seconds / n if n else np.nan  # noqa: E731
        P, a = float(heat[cell]), float(molecules[cell])
        rows.append({"power": P, "per spike": per(P, n), "per burst": per(P, b), "ATP": a, "ATP per spike": per(a, n), "ATP per burst": per(a, b)})
    return pd.DataFrame(rows, heat.index)


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
# ## Activity-dependent regulation
#
# Channels live for days, cells for years. {cite:t}`OLeary2014` let the calcium concentration, as a measure of activity, control the expression of
# all channels: messenger $m_i$ of a channel integrates the distance to a target, and the density $g_i$ follows it,
#
# $$
# τ_i \frac{dm_i}{dt} = [Ca]_\mathrm{target} - [Ca], \qquad τ_g \frac{dg_i}{dt} = m_i - g_i.
# $$ (eq-regulation)
#
# The time constants $τ_i$ say in which proportion the conductances grow. Here they are $τ_m\, [Ca]_\mathrm{target}/\bar g_i$, with the densities $\bar g_i$ of
# a model that is known to burst: a silent cell would grow all of these within $τ_m$. Regulation is slower than the rhythm by orders of magnitude, so a *block* of the fast equations runs with fixed
# densities, and its mean calcium drives {eq}`eq-regulation` over the block. Leaks and synapses are not regulated. With
# $τ_m$ = 20 s and $τ_g$ = 5 s regulation is done in a minute, which saves computation. Cells take days.


# %%
class Regulated(NamedTuple):
    """What a regulation went through."""

    history: pd.DataFrame  # index: time in s; columns (population, channel) in mS/cm², and (population, "Ca") in µM, the mean of the block
    network: Network  # with the densities at the end
    state: State  # at the end


TAU_M, TAU_G = 20000.0, 5000.0  # ms


class Controller(NamedTuple):
    """The state of a regulation; one entry for each group."""

    y: State
    m: tuple[Array, ...]  # (population of the group, channel) mS/cm²
    g: tuple[Array, ...]  # same


def population_mean(group: Group, Ca: Array) -> Array:
    """Mean over time and the cells of each population of the group, (population,); Ca: (time, cell of the group)."""
    sizes = np.array([p.size for p in group.circuit.populations], Ca.dtype)
    return jax.ops.segment_sum(Ca.mean(0), group.circuit.rows, len(sizes)) / sizes


def controlled(params: Params, now: Controller, rates: Sequence[Array], target: Any, τ_g: Any, t: np.ndarray, dt: float) -> tuple[Controller, Any]:
    """The controller after a block of the fast equations at the times t (ms); and densities and mean calcium (µM) of it. Pure."""
    ys = simulate_network(params.replace(g=now.g), now.y, t, dt=dt)
    m, g, seen = [], [], []
    for group, m_i, g_i, rate in zip(params.structure.groups, now.m, now.g, rates, strict=True):
        Ca = population_mean(group, ys.Ca[:, np.array(group.cells, np.int32)])
        m_new = jnp.maximum(m_i + t[-1] * rate * (target - Ca)[:, None], 0.0)
        m.append(m_new)
        g.append(jnp.where(rate > 0, m_new + (g_i - m_new) * jnp.exp(-t[-1] / τ_g), g_i))
        seen.append(Ca)
    return Controller(jax.tree.map(lambda x: x[-1], ys), tuple(m), tuple(g)), (tuple(g), tuple(seen))


def regulate(
    model: Any, target: float, *, duration: float = 60000.0, start: Any = 0.0, τ_m: float = TAU_M, τ_g: float = TAU_G,
    block: float = 1500.0, state: Any = None, dt: float = DEFAULT_DT,
) -> Regulated:  # fmt: skip
    """Let the densities of a model's channels regulate themselves toward a mean calcium concentration (µM).

    duration, block, τ_m, τ_g: ms. start: densities relative to those of the model, a number for all, or one for each channel. Raises ValueError or TypeError on bad input.
    """
    network = network_of(model)
    target, τ_m, τ_g = checks.positive("target", target, "µM"), checks.positive("τ_m", τ_m, "ms"), checks.positive("τ_g", τ_g, "ms")
    n = int(checks.positive("duration", duration, "ms") / checks.positive("block", block, "ms"))
    t = np.arange(0, block + 0.5)
    groups, old = network.structure.groups, [np.asarray(g, float) for g in network.params.g]
    gated = [np.array([bool(c.m or c.h) for c in g.channels]) for g in groups]
    share = checks.relative_densities(start, [x.shape[1] for x in old])
    with precision(network.dtype):
        g = tuple(jnp.asarray(np.where(some, x * share, x)) for x, some in zip(old, gated, strict=True))
        rates = [jnp.asarray(x * some / (τ_m * target)) for x, some in zip(old, gated, strict=True)]
        first = Controller(jax.tree.map(jnp.asarray, start_of(model, network, state)), g, g)
        step = lambda now, _: controlled(network.params, now, rates, target, τ_g, t, dt)  # noqa: E731
        end, (gs, Ca) = jax.jit(lambda first: lax.scan(step, first, None, length=n))(first)
    return Regulated(regulation_history(network, gs, Ca, block), with_densities(network, end.g), State(*map(np.asarray, end.y)))


def with_densities(network: Network, g: Sequence[Any]) -> Network:
    """The network with other densities."""
    new = copy.copy(network)
    new.params = network.params.replace(g=tuple(np.asarray(x, float) for x in g))
    return new


def regulation_history(network: Network, gs: Sequence[Array], Ca: Sequence[Array], block: float) -> pd.DataFrame:
    """Densities and calcium as a table; gs: (block, population of the group, channel), Ca: (block, population of the group)."""
    columns = dict[tuple[str, str], np.ndarray]()
    for group, g, x in zip(network.structure.groups, gs, Ca, strict=True):
        for i, p in enumerate(group.circuit.populations):
            columns |= {(p.label, c.name): np.asarray(g[:, i, k]) for k, c in enumerate(group.channels)}
            columns[p.label, "Ca"] = np.asarray(x[:, i])
    index = pd.Index(block / MS_PER_S * np.arange(1, len(gs[0]) + 1), name="time")
    names = pd.MultiIndex.from_tuples(columns, names=["pop", "channel"])
    return pd.DataFrame(np.column_stack(list(columns.values())), index, names)


# %% [markdown]
# The pacemaker AB/PD 2 has on average 116 µM of calcium over whole cycles, and 113 µM over the 20 s below, which begin with a pause. Three cells
# with this target, started with random densities below half of its own, become bursters with different densities.

# %% tags=["active-ipynb"]
# target = pacemaker(np.arange(0, 20000, 0.5)).Ca.to_numpy().mean()
# grown = [regulate(pacemaker, target, start=np.random.default_rng(seed).uniform(0, 0.5, 8)) for seed in range(3)]

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Sodium and calcium conductance, mean calcium in µM, and the last two seconds, of three cells.", "name": "fig-regulation"}}
# tables = [g.history["AB/PD 2"] for g in grown]
# panels = [hv.Overlay([hv.Curve((x.index, x[c]), "time (s)", label) for x in tables])
#           for c, label in (("Na", "Na (mS/cm²)"), ("CaS", "CaS (mS/cm²)"), ("Ca", "calcium (µM)"))]
# ends = [g.network(np.arange(0, 8000, 0.5), state=g.state) for g in grown]
# assert all(len(bursts(spikes(r.t, r.states.V[:, 0]))) > 3 for r in ends)
# panels += [hv.Curve((r[6000:].t, r[6000:].states.V[:, 0]), "time (ms)", "V (mV)") for r in ends]
# hv.Layout(panels).opts(hv.opts.Curve(width=225, height=180)).cols(3)

# %% [markdown]
# ## Phase response
#
# A brief current into a cell that fires periodically shifts all its later spikes. By how much depends on the phase $φ$ at which it comes: the
# phase response curve is
#
# $$
# Z(φ) = \frac{1}{q}\, \frac{T_n - T_n'(φ)}{T},
# $$ (eq-prc)
#
# where a charge $q$ at the phase $φ$ of the first cycle moves the $n$-th event from $T_n$ to $T_n'$, and $T$ is the period. Positive values
# advance. An event is a spike, or the start of a burst; $n$ is large enough for the cycle to be reached again.
#
# One way is the experimenter's: a pulse at each of many phases, all runs in one batch. The other is a derivative. $T_n$ is a function of the
# input at every step, and its derivative with respect to all of them comes from one run backward: for circuits of the first
# chapter by its adjoint. It is the limit of small pulses, at all phases at once.
#
# $T_n$ is where the potential rises through a level, between two samples. A straight line between them would not do: while a spike moves from one
# sample to the next, its crossing would run ahead and fall behind by some per cent of the way. A cubic through four samples does not. Its root comes
# from Newton's method, whose last step carries the derivative $-δV/\dot V$.


# %%
class Rhythm(NamedTuple):
    """A periodic cell, at one of its events."""

    start: Any  # state of the model
    t0: float  # ms, its time; the event follows within a step
    period: float  # ms
    last: float  # ms from t0 to the n-th event
    wait: float  # ms before the n-th event from which on it is looked for


EVENTS = ("spikes", "bursts")
PHASES = tuple(i / 20 for i in range(20))
LEVEL = -10.0  # mV, through which a spike rises


def event_times(t: np.ndarray, V: np.ndarray, events: str) -> np.ndarray:
    """Times (ms) at which spikes rise through `LEVEL`, all of them or the first ones of bursts."""
    x = spikes(t, V, threshold=LEVEL, kind="crossings")
    return x if events == "spikes" else begun(bursts(x), (t[0], t[-1]))[:, 0]


def rise(t: Array, V: Array) -> Array:
    """First time (ms) at which V (time,), at equally spaced times t, rises through `LEVEL`, with its derivative."""
    up = (V[1:-2] <= LEVEL) & (V[2:-1] > LEVEL)
    i = 1 + jnp.argmax(up)
    a, b, c, d = (V[i + k] for k in (-1, 0, 1, 2))
    cubic = lambda f: b - LEVEL + f / 2 * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))  # noqa: E731
    newton = lambda f: f - cubic(f) / lax.stop_gradient(jax.grad(cubic)(f))  # noqa: E731
    f = lax.stop_gradient((LEVEL - b) / (c - b))
    for _ in range(NEWTON):
        f = lax.stop_gradient(newton(f))
    return jnp.where(up.any(), t[i] + newton(f) * (t[1] - t[0]), jnp.nan)


NEWTON = 4  # steps, after a start on the straight line


def find_rhythm(model: Any, number: int, events: str, cycles: int, transient: float, state: Any, dt: float, I_ext: Any) -> Rhythm:
    """The rhythm of a cell after a transient (ms)."""
    t = np.arange(0, 2 * transient + dt / 2, dt)
    V = model(t, I_ext, state=state, dt=dt).states.V[:, number]
    found = event_times(t, V, events)
    found = found[found > transient]
    checks.events_seen(len(found), cycles + 2, events, transient)
    k = int(found[0] / dt)
    before = model(t[: k + 1], I_ext, state=state, dt=dt)
    wait = np.diff(found).min() / 2 if events == "spikes" else GAP / 2
    return Rhythm(before.final_state, float(t[k]), float(np.diff(found[: cycles + 1]).mean()), float(found[cycles] - t[k]), float(wait))


def last_event(model: Any, rhythm: Rhythm, number: int, I_0: Array, dt: float) -> tuple[Callable[[Any], Array], int]:
    """The time (ms, from t0) of the n-th event as a function of an additional input, (step, cell) or a function of time (ms, from t0).

    And the number of steps. That is a square, and the record begins at a multiple of its root, so that all segments of the adjoint are alike.
    """
    run = simulate_with_adjoint if isinstance(model, Prinz2004) else simulate_network
    first, end = (int((rhythm.last + x * rhythm.wait) / dt) for x in (-1, 1))
    length = math.isqrt(end) + 1
    t = dt * np.arange(max(first, 0) // length * length, length**2 + 1)

    def time(I: Any) -> Array:
        total = (lambda t: I_0 + I(t)) if callable(I) else I_0 + I
        V = run(model.params, rhythm.start, t, total, dt=dt).V[:, number]
        return rise(jnp.asarray(t), V)

    return time, length**2


def phase_response(
    model: Any, *, cell: Any = None, events: str = "spikes", method: str = "adjoint", phases: Any = PHASES, cycles: int = 3,
    charge: float = 0.01, width: float = 1.0, transient: float = 1000.0, I_ext: Any = 0.0, state: Any = None, dt: float = DEFAULT_DT,
) -> pd.Series:  # fmt: skip
    """Phase response (1/pC) of a cell that fires or bursts periodically; index: phase of the input, from 0 to 1.

    events: "spikes" or "bursts". method: "pulses" of a charge (pC) and a width (ms), or "adjoint", the limit of small pulses of this width.
    cycles: after which the shift is read. transient: ms, before and for the search for a rhythm. I_ext: constant, nA, for all cells or for
    each. Raises ValueError if the cell has no such rhythm.
    """
    checks.choice("method", method, ("adjoint", "pulses"))
    checks.choice("events", events, EVENTS)
    x, cycles, width = checks.phases(phases), checks.count("cycles", cycles), checks.positive("width", width, "ms")
    charge, transient = checks.number("charge", charge, "pC"), checks.positive("transient", transient, "ms")
    model = model if isinstance(model, Prinz2004) else network_of(model)
    number = cell_number(network_of(model), cell)
    found = find_rhythm(model, number, events, cycles, transient, state, dt, I_ext)
    with precision(model.dtype):
        I_0 = jnp.broadcast_to(jnp.asarray(I_ext, model.dtype), (len(model.cells),))
        mine = jnp.zeros(len(I_0), I_0.dtype).at[number].set(1)
        time, steps = last_event(model, found, number, I_0, dt)
        starts = np.rint(x * found.period / dt).astype(int)
        pulses = partial(by_pulses, time, starts * dt, mine, charge, width)
        adjoint = partial(by_adjoint, time, steps, starts, mine, max(1, round(width / dt)), dt)
        Z = np.asarray((pulses if method == "pulses" else adjoint)()) / found.period
    return pd.Series(Z, pd.Index(x, name="phase"), name="phase response")


def by_pulses(time: Callable[[Any], Array], starts: np.ndarray, mine: Array, charge: float, width: float) -> Array:
    """Advance (ms/pC) of the last event by a pulse at each start (ms)."""

    def pulse(start: Any) -> Callable[[Any], Array]:
        return lambda t: jnp.where((t >= start - EDGE) & (t < start + width - EDGE), charge / width, 0.0) * mine

    later = jax.jit(jax.vmap(lambda start: time(pulse(start))))(jnp.asarray(starts))
    return (jax.jit(lambda: time(jnp.zeros_like(mine)))() - later) / charge


def by_adjoint(time: Callable[[Any], Array], steps: int, starts: np.ndarray, mine: Array, width: int, dt: float) -> np.ndarray:
    """Advance (ms/pC) of the last event by a small input over `width` steps from each of `starts`, from one derivative."""
    slope = np.asarray(jax.jit(jax.grad(lambda I: time(I[:, None] * mine)))(jnp.zeros(steps + 1, mine.dtype)))
    total = np.append(0.0, np.cumsum(slope))
    return -(total[starts + width] - total[starts]) / (width * dt)


# %% [markdown]
# First the axon, then the pacemaker of a circuit whose rhythm is regular: the current into AB/PD shifts the next bursts of the whole circuit.

# %% tags=["active-ipynb"]
# from .components import Cell, HodgkinHuxley1952 as HH
# from .prinz2004 import neuron_models
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# of_axon = {m: phase_response(axon, I_ext=6.28, method=m, charge=0.002, width=0.5, transient=300) for m in ("adjoint", "pulses")}
# gs = {("AB", "LP"): 30, ("PD", "LP"): 30, ("AB", "PY"): 10, ("PD", "PY"): 3, ("LP", "AB/PD"): 10, ("LP", "PY"): 1, ("PY", "LP"): 30}
# regular = Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, gs, neuron_models.loc[["AB/PD 2", "LP 3", "PY 1"]])
# of_circuit = {m: phase_response(regular, cell="AB/PD", events="bursts", method=m, charge=0.01, transient=5000, cycles=1) for m in ("adjoint", "pulses")}
# assert all(np.allclose(x["pulses"], x["adjoint"], atol=0.05 * abs(x["adjoint"]).max()) for x in (of_axon, of_circuit))

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Phase response of the axon's spikes, and of the pacemaker's bursts in the circuit: by the adjoint (line) and by pulses (dots).", "name": "fig-prc"}}
# panels = [(hv.Curve((x["adjoint"].index, x["adjoint"]), "phase", "advance (cycles/pC)")
#            * hv.Scatter((x["pulses"].index, x["pulses"])).opts(color="black", size=4)).opts(title=name, show_legend=False)
#           for name, x in (("axon", of_axon), ("circuit", of_circuit))]
# hv.Layout(panels).opts(hv.opts.Curve(width=330, height=230)).cols(2)
