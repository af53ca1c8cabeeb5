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
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    base,
    chemical,
    divided,
    faster,
    network_currents,
    pack,
    powers,
    prepare_network,
    simulate_network,
    split,
)
from .experiments import (
    EDGE,
    allocated,
    cell_number,
    constant_current,
    converted,
    group_of,
    milliseconds,
    millivolts,
    network_of,
    present,
    rebuilt,
    start_of,
)
from .prinz2004 import DEFAULT_DT, DEFAULT_SOLVER, MS_PER_S, Prinz2004, conductances, precision
from .results import Result
from .rhythm import GAP, begun, bursts, mean_phase, period, spikes
from .scale import CALCIUM_INSIDE, SAMPLING, suspicion

# %% [markdown]
# ## Temperature
#
# Every model knows at which temperature $T_0$ it holds: a circuit of the first chapter at 10 °C, a cell at its `temperature`. With 10 °C more
# a rate grows by the factor $Q_{10}$, so at the temperature $T$
#
# $$
# τ_x(T) = τ_x\, Q_{10}^{-(T - T_0)/10}, \qquad \bar g(T) = \bar g\, Q_{10}^{(T - T_0)/10}, \qquad γ(T) = γ\, \frac{T}{T_0},
# $$ (eq-q10)
#
# each process with its own $Q_{10}$, and the Nernst slope $γ = RT/2F$ with the absolute temperature. The new model holds at $T$: to go to
# 20 °C twice is to go there once, and the way back leads to where it began. Synapses have the temperature of the cell before them.
#
# A channel, a synapse or a pool of calcium whose own $Q_{10}$ is known, such as the channels of {cite:t}`HodgkinHuxley1952`, keeps it, unless it
# is named. All others take those of the set that is given.
#
# The pump of calcium works faster, too: $τ_{Ca}$ falls. What a steady current keeps in the cell, $f$ per nA, stays as it is in the codes of
# {cite:t}`Caplan2014` and {cite:t}`AlonsoMarder2020`, so that calcium enters faster, too. With `keeps_influx` each nA brings in as
# much calcium per ms as before, and less of it stays.
#
# {cite:t}`Tang2010` measured values between 1.8 and 4 in LP. {cite:t}`Caplan2014` drew those of activation, of
# inactivation and of the calcium pump at random between 1 and 4, 125,000 times, with 1.6, that of diffusion, for all conductances.
# `caplan(seed)` draws such a set. `TYPICAL` has 2 for all rates, their default where they vary only two of them, and 1.6
# for conductances. (The sets of {cite:t}`AlonsoMarder2020` belong to conductances of their own, and are
# not here.)


# %%
class Q10s(NamedTuple):
    """Factors of growth with 10 °C, of components whose own is not known.

    Each is a number for all of these, or a mapping from names to numbers, 1 for those left out. A name in it goes before the component's own.
    """

    m: Any = 1.0  # rate of activation, by channel
    h: Any = 1.0  # rate of inactivation, by channel
    g: Any = 1.0  # maximal conductance, by channel
    synapse: Any = 1.0  # rate, by kind
    gs: Any = 1.0  # synaptic conductance, by kind
    ge: float = 1.0  # gap junctions
    calcium: float = 1.0  # rate of the pump
    keeps_influx: bool = False  # whether a warmer pump leaves less calcium in the cell, f/τ_Ca as before; else f is as before


DIFFUSION = 1.6  # of conductances, Caplan et al. (2014)
RATES = (1.0, 4.0)  # range of the others, there
TYPICAL = Q10s(m=2.0, h=2.0, g=DIFFUSION, synapse=2.0, gs=DIFFUSION, ge=DIFFUSION, calcium=2.0)


def caplan(seed: int, channels: Sequence[str] = ("Na", "CaT", "CaS", "A", "KCa", "Kd", "H")) -> Q10s:
    """A random set as Caplan et al. (2014) drew theirs; synapses, which they had none of, are typical."""
    names = list_of_names("channels", channels)
    draw = np.random.default_rng(checks.count("seed", seed, least=0)).uniform
    m, h = ({c: float(draw(*RATES)) for c in names} for _ in range(2))
    return TYPICAL._replace(m=m, h=h, calcium=float(draw(*RATES)))


def list_of_names(what: str, names: Any) -> list[str]:
    """Names, each of them text; a single text is no list."""
    found = [] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    if not found or not all(isinstance(x, str) for x in found):
        raise TypeError(f"{what} is {names!r}; it must be a list of names. Write {what}=['Na', 'Kd'], for example.")
    return found


def factor(q10: Any, name: str, own: float | None, x: Any) -> Any:
    """Growth of something named over 10x °C; own: its own Q10, if that is known."""
    if isinstance(q10, Mapping) and (name in q10 or own is None):
        return q10.get(name, 1.0) ** x
    return (q10 if own is None else own) ** x


# %% [markdown]
# Temperature changes numbers of the network and nothing else. So it may be a traced number itself: a sweep over temperatures is a
# batch, and one can differentiate with respect to $T$.


# %%
def warm_channel(c: Channel, q: Q10s, x: Any) -> Channel:
    """A channel at a temperature higher by 10x °C, without its density."""
    own = c.q10 and c.q10.rate
    return c._replace(m=faster(c.m, factor(q.m, c.name, own, x)), h=faster(c.h, factor(q.h, c.name, own, x)))


def warm_kind(kind: Any, q: Q10s, x: Any) -> Any:
    """A kind of synapse at a temperature higher by 10x °C, without its conductance."""
    by = factor(q.synapse, kind.name, kind.q10 and kind.q10.rate, x)
    return kind._replace(rate=divided(kind.rate, 1 / by)) if isinstance(kind, Kinetic) else kind._replace(s=faster(kind.s, by))


def warm_group(group: Group, q: Q10s, T: Any) -> Group:
    """A group of cells at the temperature T (°C), without their densities."""
    x, c = (T - group.temperature) / 10, group.circuit.constants
    pump = factor(q.calcium, "", group.pump, x) if group.pool else 1.0
    γ = c.γ * (T + CELSIUS) / (group.temperature + CELSIUS)
    constants = c._replace(γ=γ, τ_Ca=c.τ_Ca / pump, f=c.f / pump if q.keeps_influx else c.f)
    channels = tuple(warm_channel(c, q, x) for c in group.channels)
    kinds: Any = tuple(warm_kind(k, q, x) for k in group.circuit.transmitters)
    circuit = group.circuit._replace(channels=tuple(map(base, channels)), constants=constants, transmitters=kinds)
    return group._replace(circuit=circuit, channels=channels, temperature=T)


def warm_kinetic(s: Structure, q: Q10s, x: Callable[[int], Any]) -> tuple[Any, Any]:
    """`Structure.kinetic` and `Structure.kinds`, each with the temperature of the cells before it; x: of a population."""
    used = list(dict.fromkeys((kind, group_of(s, pre)) for pre, _, kind in s.kinetic))
    first = {group_of(s, pre): pre for pre, _, _ in s.kinetic}
    kinetic = tuple((pre, post, used.index((kind, group_of(s, pre)))) for pre, post, kind in s.kinetic)
    return kinetic, tuple(warm_kind(s.kinds[kind], q, x(first[group])) for kind, group in used)


def warm(params: Params, T: Any, q10: Q10s = TYPICAL) -> Params:
    """The numbers of a network at the temperature T (°C), {eq}`eq-q10`; pure, and T may be traced."""
    s, T = params.structure, T if isinstance(T, jax.core.Tracer) else celsius("T", T)
    x = lambda population: (T - s.groups[group_of(s, population)].temperature) / 10  # noqa: E731
    own = lambda c: c.q10 and c.q10.g  # noqa: E731
    g = [jnp.stack([jnp.asarray(factor(q10.g, c.name, own(c), (T - group.temperature) / 10)) for c in group.channels]) for group in s.groups]
    by_kind = lambda pre, k: factor(q10.gs, k.name, own(k), x(pre))  # noqa: E731
    graded = jnp.asarray([by_kind(w.pre, s.wiring.transmitters[w.transmitter]) for w in s.wiring.synapses])
    own_kinds = jnp.asarray([by_kind(pre, s.kinds[kind]) for pre, _, kind in s.kinetic])
    gaps = jnp.asarray([q10.ge ** x(a) for a, _ in s.junctions])
    kinetic, kinds = warm_kinetic(s, q10, x)
    wiring: Any = s.wiring._replace(transmitters=tuple(warm_kind(k, q10, x(0)) for k in s.wiring.transmitters))
    structure = s._replace(wiring=wiring, groups=tuple(warm_group(g, q10, T) for g in s.groups), kinetic=kinetic, kinds=kinds)
    times = lambda a, b: jnp.asarray(a) * jnp.asarray(b, jnp.asarray(a).dtype)  # noqa: E731
    return Params(tuple(map(times, params.g, g)), times(params.gs, graded), times(params.gz, own_kinds), times(params.ge, gaps), structure)


def at_temperature(model: Any, T: float, q10: Q10s = TYPICAL) -> Network:
    """A circuit, cell or network at the temperature T (°C), a network like any other; `Cell.warmed` and `Network.warmed` are this.

    Raises ValueError for unknown names and for temperatures that are none of a preparation, and warns (UserWarning) of unusual ones.
    """
    network, T = checked(network_of(model), q10), celsius("T", T)
    with precision("float64"):
        warmed = copy.copy(network)
        warmed.params = warm(network.params, T, q10)
    return rebuilt(network, *present(warmed))


def celsius(what: str, T: Any) -> float:
    """A temperature in °C, at which there are preparations."""
    T = checks.number(what, T, "°C")
    if T > KELVIN:
        raise ValueError(f"{what} is {T:g} °C; no cell lives at this temperature. If it is in K, subtract {CELSIUS:g}.")
    if T <= -CELSIUS:
        raise ValueError(f"{what} is {T:g} °C, below the absolute zero; it must be that of a preparation. Check its sign.")
    if not COLDEST <= T <= HOTTEST:
        checks.warn(f"{what} is {T:g} °C; preparations are kept between {COLDEST:g} and {HOTTEST:g} °C. Check its unit.")
    return T


KELVIN = 200.0  # °C; hotter temperatures were given in K
COLDEST, HOTTEST = -2.0, 50.0  # °C, from frozen sea water to hot springs


def checked(network: Network, q10: Q10s) -> Network:
    """The network. Raises ValueError for Q10s of channels and synapses that it does not have, or that are not positive."""
    s = network.structure
    channels = {c.name for g in s.groups for c in g.channels}
    kinds = {k.name for k in s.wiring.transmitters} | {k.name for k in s.kinds}
    checks.of_type("q10", q10, Q10s, "a set of Q10s, such as TYPICAL or Q10s(m=2, h=2)")
    checks.q10s(q10._asdict(), {"m": channels, "h": channels, "g": channels, "synapse": kinds, "gs": kinds})
    return network


# %% [markdown]
# `sweep_temperature` runs the rhythm at all temperatures side by side, each from the same start, and tells the frequency of each cell's bursts
# and the phase of their beginning and end in the cycle of the first cell that bursts. With the typical $Q_{10}$, the circuit of the paper goes from
# 0.45 Hz at 7 °C to 1.35 Hz at 22 °C and 1.62 Hz at 25 °C, and stays triphasic. Its phases move by up to 0.12 of the cycle. The crab's
# frequency grows fourfold from 7 to 23 °C, and its phases stay {cite:p}`Tang2010`. One number was chosen here, 2 for all rates, and not for this
# end. With others it is another rhythm: with `keeps_influx` the circuit has 1.11 Hz at 22 °C, and none at 25 °C.


# %%
def sweep_temperature(
    model: Any, temperatures: Any = tuple(range(7, 26, 3)), q10: Q10s = TYPICAL, *, duration: float = 8000.0, transient: float = 2000.0,
    state: Any = None, dt: float = DEFAULT_DT,
) -> pd.DataFrame:  # fmt: skip
    """Rhythm at temperatures (°C); index T, columns (cell, "frequency" in Hz, "start" and "end", phases); NaN without bursts.

    Raises ValueError or TypeError on bad input.
    """
    checks.recording(milliseconds("duration", duration), transient)
    network, dt = checked(network_of(model), q10), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    T = np.array([celsius("a temperature", x) for x in checks.levels("temperatures", temperatures, "°C")])
    allocated(f"a sweep of {len(T):,} temperatures for {duration:g} ms", len(T) * (duration - transient) / 0.25 * len(network.rows))
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
    checks.of_type("the result", result, Result, "what a run of a circuit, a cell or a network returned")
    network = network_of(result.model)
    states = getattr(result.states, "plain", result.states)
    states = converted(result.model, network, states) if isinstance(result.model, Prinz2004) and not isinstance(states, State) else states
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
#
# $E_{Na}$ and $E_K$ are those of the cell's own channels: of its gated channels the highest reversal potential from 20 to 90 mV, and the lowest below
# −60 mV. A gated channel below −60 mV passes potassium alone. So does a channel of one ion whose concentrations are
# given count by its ion: calcium by its charge of 2, sodium by its reversal potential, and anions cost nothing.

# %%
IONS_PER_PC = 1e-12 / 1.602176634e-19  # elementary charges in 1 pC = 1 nA ms
NA_PER_ATP = 3.0
USUAL_E_NA, USUAL_E_K = 50.0, -80.0  # mV, of the cells of the first chapters, for a cell without such channels
SODIUM, POTASSIUM = (20.0, 90.0), -60.0  # mV; gated channels that reverse between the first pass sodium, below the second potassium


def fixed_reversal(channel: Channel, group: Group) -> float | None:
    """Reversal potential (mV) of a channel; None for calcium, and where it moves with the calcium of the cell."""
    E = channel.E
    if isinstance(E, (Nernst, GHK)):
        moving = E.inside is None or E.outside is None
        return None if moving else group.circuit.constants.γ * 2 / E.z * math.log(E.outside / E.inside)  # type: ignore[operator]
    return None if channel.ion == "Ca" else float(E)


def batteries(group: Group, E_Na: float | None, E_K: float | None) -> tuple[float, float]:
    """E_Na and E_K (mV) of the cells of a group: those that are given, else those of its own channels, else the usual ones."""
    gated = [E for c in group.channels if (c.m or c.h) and charge(c) == 1 and (E := fixed_reversal(c, group)) is not None]
    sodium, potassium = [E for E in gated if SODIUM[0] < E < SODIUM[1]], [E for E in gated if E < POTASSIUM]
    own = max(sodium, default=USUAL_E_NA), min(potassium, default=USUAL_E_K)
    return own[0] if E_Na is None else E_Na, own[1] if E_K is None else E_K


def charge(channel: Channel) -> int:
    """Of the ion that passes a channel; 2 for calcium."""
    return 2 if channel.ion == "Ca" else channel.E.z if isinstance(channel.E, (Nernst, GHK)) else 1


def sodium_share(channel: Channel, group: Group, E_Na: float, E_K: float) -> float:
    """The share of sodium in the conductance of a channel."""
    E = fixed_reversal(channel, group)
    if E is None or charge(channel) < 0 or ((channel.m or channel.h) and E < POTASSIUM):
        return 0.0
    return min(max((E - E_K) / (E_Na - E_K), 0.0), 1.0)


def entering(group: Group, g: Array, V: Array, I: Array, x: Array, E_Na: float, E_K: float) -> Array:
    """Molecules of ATP per ms that restore what enters through each channel, (cell, channel); I: (cell, channel) nA, x: (gate, cell)."""
    columns = []
    for i, (channel, γ) in enumerate(zip(group.channels, conductances(group.circuit, g, powers(group, x)), strict=True)):
        share = sodium_share(channel, group, E_Na, E_K)
        if charge(channel) == 2:
            columns.append(-I[:, i] / 2)
        elif isinstance(channel.E, GHK):
            columns.append(-share * I[:, i] / NA_PER_ATP)
        else:
            columns.append(share * γ * (E_Na - V) / NA_PER_ATP)
    return jnp.stack(columns, -1) * IONS_PER_PC


def atp(result: Any, *, E_Na: float | None = None, E_K: float | None = None) -> pd.DataFrame:
    """Molecules of ATP per s that each channel of each cell costs; index: time (ms).

    E_Na, E_K: mV, by default those of the cell's own channels. Raises ValueError if E_K ≥ E_Na.
    """
    network, states = as_network(result)
    s = network.structure
    given = [None if E is None else millivolts(name, E) for name, E in (("E_Na", E_Na), ("E_K", E_K))]
    own = [batteries(group, *given) for group in s.groups]
    for high, low in own:
        checks.interval("reversal potential (E_K to E_Na)", low, high, "mV")

    def at_state(p: Prepared, y: Working, ionic: tuple[Array, ...]) -> tuple[Array, ...]:
        parts = zip(s.groups, p.g, split(s.groups, y.V), ionic, y.x, own, strict=True)
        return tuple(entering(group, g, V, I, x.T, *E) for group, g, V, I, x, E in parts)

    with precision(network.dtype):
        p = prepare_network(network.params, states.V.dtype, DEFAULT_DT)
        ionic = network_currents(network.params, states).ionic
        found = jax.jit(jax.vmap(lambda y, I: at_state(p, pack(s, y), I)))(states, ionic)
    return labelled(result, network, found) * MS_PER_S


# %% [markdown]
# Per spike and per burst, both are what the cell takes on average, divided by the number of them.


# %%
def energy(result: Any, *, E_Na: float | None = None, E_K: float | None = None) -> pd.DataFrame:
    """What each cell of a result spends: "power" (nJ/cm²/s), "per spike" and "per burst" (nJ/cm²), "ATP" (1/s), "ATP per spike", "ATP per burst".

    E_Na, E_K: as of `atp`. Raises ValueError for a result of one time, and warns (UserWarning) where the times are too far apart for spikes.
    """
    checks.of_type("the result", result, Result, "what a run of a circuit, a cell or a network returned")
    sampled_often_enough(result.t)
    seconds = (result.t[-1] - result.t[0]) / MS_PER_S
    heat, molecules = (mean_over(table) for table in (power(result), atp(result, E_Na=E_Na, E_K=E_K)))
    rows = []
    for cell in heat.index:
        trains = spikes(result.t, result.V[cell].to_numpy())
        n, b = len(trains), len(bursts(trains))
        per = lambda x, n: x * seconds / n if n else np.nan  # noqa: E731
        P, a = float(heat[cell]), float(molecules[cell])
        rows.append({"power": P, "per spike": per(P, n), "per burst": per(P, b), "ATP": a, "ATP per spike": per(a, n), "ATP per burst": per(a, b)})
    return pd.DataFrame(rows, heat.index)


def sampled_often_enough(t: np.ndarray) -> None:
    """Times (ms) over which spikes and what they cost can be summed up."""
    if len(t) < 2:
        raise ValueError(f"the result has {len(t)} time; energy is spent between two. Record longer, np.arange(0, 1000, 0.1) for example.")
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

    duration, block, τ_m, τ_g: ms; a block is a whole number of steps, and the duration one of blocks. start: densities relative to those of
    the model, a number for all, or one for each channel. Raises ValueError or TypeError on bad input, and warns (UserWarning) of
    units that look mistaken.
    """
    network, dt = network_of(model), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    target, τ_m, τ_g = checks.positive("target", target, "µM"), checks.positive("τ_m", τ_m, "ms"), checks.positive("τ_g", τ_g, "ms")
    whole("block", milliseconds("block", block), dt, "steps of dt")
    n = whole("duration", milliseconds("duration", duration), block, "blocks")
    if τ_m < block:
        raise ValueError(f"τ_m is {τ_m:g} ms, shorter than a block of {block:g} ms; it must be longer. If it is in s, multiply it by 1000.")
    t = np.linspace(0, block, max(round(block), 1) + 1)
    groups, old = network.structure.groups, [np.asarray(g, float) for g in network.params.g]
    gated = [np.array([bool(c.m or c.h) for c in g.channels]) for g in groups]
    share = checks.relative_densities(start, [x.shape[1] for x in old])
    can_be_regulated(groups, target)
    with precision(network.dtype):
        g = tuple(jnp.asarray(np.where(some, x * share, x)) for x, some in zip(old, gated, strict=True))
        rates = [jnp.asarray(x * some / (τ_m * target)) for x, some in zip(old, gated, strict=True)]
        first = Controller(jax.tree.map(jnp.asarray, start_of(model, network, state)), g, g)
        step = lambda now, _: controlled(network.params, now, rates, target, τ_g, t, dt)  # noqa: E731
        end, (gs, Ca) = jax.jit(lambda first: lax.scan(step, first, None, length=n))(first)
    return Regulated(regulation_history(network, gs, Ca, block), with_densities(network, end.g), State(*map(np.asarray, end.y)))


def whole(what: str, time: float, unit: float, name: str) -> int:
    """How many times a unit (ms) is contained in a time (ms), a whole number."""
    n = round(time / unit)
    if n < 1 or abs(time - n * unit) > EDGE * unit:
        raise ValueError(f"{what} is {time:g} ms; it must be a whole number of {name} of {unit:g} ms. Take {max(n, 1) * unit:g}.")
    return n


def can_be_regulated(groups: Sequence[Group], target: float) -> None:
    """Cells with a pool of calcium, and a target that it may have."""
    for group in groups:
        if not group.pool:
            label = group.circuit.populations[0].label
            raise ValueError(f"the cell {label!r} has no pool of calcium, which regulation follows; say calcium=Prinz2003.calcium, or another.")
    if said := suspicion("target", target, CALCIUM_INSIDE):
        checks.warn(said)


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
# The pacemaker AB/PD 2 has 116 µM of calcium, on average over whole cycles. Three cells with this target, started with random densities below
# half of its own, become bursters with different densities.

# %% tags=["active-ipynb"]
# run = pacemaker(np.arange(0, 20000, 0.5))
# cycles = bursts(spikes(run.t, run.states.V[:, 0]))[:, 0]
# target = float(run.states.Ca[(run.t >= cycles[1]) & (run.t < cycles[-1])].mean())
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
# chapter by its adjoint. It is the limit of small pulses, at all phases at once. Both are those of the scheme with its step. With steps of
# 0.05 ms the curve of the axon below is off by up to 5% of its largest value, against steps of 0.0125 ms, near its zero at the phase 0.7 by 11% of its own; with
# 0.025 ms by up to 0.6% and 1%.
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
    allocated(f"a search for a rhythm in {2 * transient:g} ms", 2 * transient / dt * len(network_of(model).rows))
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
    x, cycles, dt = checks.phases(phases), checks.count("cycles", cycles), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    width, transient = at_least_a_step("width", width, dt), milliseconds("transient", transient)
    network = network_of(model)
    model, number = model if isinstance(model, Prinz2004) else network, cell_number(network, cell)
    I_ext = constant_current("I_ext", I_ext, network)
    charge = charge_of_a_pulse(charge, float(network.structure.groups[network.places[number][0]].circuit.constants.C))
    found = find_rhythm(model, number, events, cycles, transient, state, dt, I_ext)
    if width > found.period:
        raise ValueError(f"width is {width:g} ms, longer than the period of {found.period:.4g} ms; a pulse has a phase. Take a shorter one.")
    with precision(model.dtype):
        I_0 = jnp.asarray(I_ext, model.dtype)
        mine = jnp.zeros(len(I_0), I_0.dtype).at[number].set(1)
        time, steps = last_event(model, found, number, I_0, dt)
        starts = np.rint(x * found.period / dt).astype(int)
        pulses = partial(by_pulses, time, starts * dt, mine, charge, width)
        adjoint = partial(by_adjoint, time, steps, starts, mine, max(1, round(width / dt)), dt)
        Z = np.asarray((pulses if method == "pulses" else adjoint)()) / found.period
    return pd.Series(Z, pd.Index(x, name="phase"), name="phase response")


def at_least_a_step(what: str, time: Any, dt: float) -> float:
    """A time (ms) that is not shorter than a step."""
    time = checks.positive(what, time, "ms")
    if time < dt * (1 - EDGE):
        raise ValueError(f"{what} is {time:g} ms; it must be at least a step of dt = {dt:g} ms. Take a longer one, or a smaller dt.")
    return time


MOST_MV = 50.0  # mV; a pulse that alone moves a cell further is not brief and weak


def charge_of_a_pulse(charge: Any, C: float) -> float:
    """The charge (pC) of a pulse into a cell of C nF."""
    charge = checks.number("charge", charge, "pC")
    if charge == 0:
        raise ValueError("charge is 0 pC; a pulse must shift something. Take 0.01.")
    if abs(charge) / C > MOST_MV:
        checks.warn(
            f"charge is {charge:g} pC, which alone moves the potential by {charge / C:.3g} mV; a phase response is that to a small pulse. "
            "If it is in fC, multiply it by 0.001."
        )
    return charge


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
