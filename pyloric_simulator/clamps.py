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
# # Voltage and dynamic clamp
#
# The electrode holds the potential of a cell where it is wanted, and measures the current that this takes; or it puts a conductance into the
# cell that is not there. Other cells of the circuit run free.
#
# Below, the pacemaker of the circuit is held at the potential that it had in an earlier run, and at −60 mV from 1.5 s on. LP and PY
# lose their rhythm.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "The pacemaker is clamped to its own earlier potential, and to −60 mV from 1500 ms on. Below, the current that this takes.", "name": "fig-clamped-circuit"}}
# import numpy as np
#
# from .config import find_circuit
# from .clamps import *
# from .experiments import Steps, current_clamp
# from .prinz2004 import Prinz2004
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# t = np.arange(0, 3000, 0.5)
# own = circuit(t).V["AB/PD", 0]
# clamped = voltage_clamp(circuit, t, own.where(own.index < 1500, -60), cell="AB/PD")
# (clamped.plot() + hv.Curve((t, clamped.clamp), "time (ms)", "clamp current (nA)").opts(ylim=(-20, 20))).cols(1)

# %%
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from . import checks
from .components import (
    Cell,
    Channel,
    Group,
    Inlets,
    Network,
    NetworkResult,
    Params,
    Placed,
    Prepared,
    Prinz2003,
    State,
    Structure,
    Synapse,
    Working,
    at,
    capacitances,
    gates_and_calcium,
    inlets_of,
    pack,
    powers,
    prepare_network,
)
from .experiments import (
    EDGE,
    Drive,
    Setup,
    allocated,
    cell_number,
    injected,
    integrate_driven,
    millivolts,
    network_of,
    plausible_potentials,
    present,
    rebuilt,
    run,
    sampled,
    set_up,
    start_of,
)
from .prinz2004 import CM2_MS_TO_US, CONSTANTS, DEFAULT_DT, activating, conductances, inactivating, precision
from .recording import check_commands
from .scale import POTENTIAL
from .schedule import Grid, Slots, grid_of

# %% [markdown]
# ## Voltage clamp
#
# The clamp holds the potential at a command $V_c(t)$. The current that this takes is that which would have charged the membrane
# otherwise,
#
# $$
# I_\mathrm{clamp} = \sum_i I_i + \sum I_s + \sum I_e + C \frac{dV_c}{dt}.
# $$ (eq-clamp)
#
# At a jump of the command the last term is infinite for no time at all; it is left out there. The other cells of a network run
# free. Gates move exactly as their equations say at constant potential, to fourth order in $dt/τ$.


# %%
@dataclass(frozen=True, repr=False)
class ClampResult(NetworkResult):
    """What a voltage clamp recorded. `currents` has the share of each channel."""

    number: int  # of the clamped cell
    slope: pd.Series  # mV/ms, of the command at the recorded times

    @property
    def clamp(self) -> pd.Series:
        """Current (nA) that holds the cell, {eq}`eq-clamp`; positive depolarizes."""
        cell = self.model.cells[self.number]
        C = float(np.asarray(capacitances(self.model.structure))[self.number])
        return (self.currents[cell].sum(axis=1, skipna=False) + C * self.slope.loc[self.t].to_numpy()).rename("clamp")


def slope_of(command: Any, V: Array, s: Setup) -> np.ndarray:
    """dV/dt (mV/ms) of a command at the recorded times, from the right where it has a corner, at its end from the left; V: at the half steps."""
    if callable(command):
        return np.asarray(jax.vmap(jax.grad(lambda t: jnp.asarray(command(t), t.dtype)))(jnp.asarray(s.t)))
    change = np.diff(np.asarray(V)) / (s.dt / 2)
    last = change[-1:] if len(change) else np.zeros(1)
    return np.append(change, last)[np.searchsorted(s.halves, s.t - EDGE)]


def commanded(command: Any, s: Setup) -> Array:
    """A command (mV) at the half steps."""
    V = sampled("the command", command, s.halves, s.last)
    seen = not callable(command) or hasattr(command, "levels")  # by `check_commands`, which warns
    if not seen or float(np.abs(V).max(initial=0.0)) > POTENTIAL.most:
        plausible_potentials("the largest command", np.asarray(V))
    return V


def voltage_clamp(
    model: Any, t: Any, command: Any, *, cell: Any = None, I_ext: Any = None, state: Any = None, dt: float | None = None, t0: float = 0.0
) -> ClampResult:  # fmt: skip
    """Hold a cell at a command potential (mV) and record at the times t (ms).

    command: a number, a function of t such as `Steps`, or a recording, a Series or (times, values). cell: a label, (label, number),
    or None if there is only one. Raises ValueError or TypeError before anything is compiled, for commands outside the run, too.
    """
    check_commands("the command", [command])
    s = set_up(model, t, state, dt, t0)
    number = cell_number(s.network, cell)
    with precision(s.network.dtype):
        V = commanded(command, s)
        result = run(s, Drive(injected(s, I_ext), V=V[:, None]), (number,))
        slope = pd.Series(slope_of(command, V, s), s.t)
    return ClampResult(result.t, result.states, result.model, number, slope, run=result.run)


# %% [markdown]
# A family of commands is a batch; the program is compiled once for all of them.


# %%
@partial(jax.jit, static_argnames=("grid", "clamped", "dt"))
def batch_of_commands(params: Params, start: State, drive: Drive, slots: Slots | None, *, grid: Grid, clamped: tuple[int, ...], dt: float) -> State:
    """States (command, time, …); drive.V: (command, half step, clamped cell)."""
    one = lambda V: integrate_driven(params, start, drive._replace(V=V), slots, grid=grid, clamped=clamped, dt=dt)  # noqa: E731
    found: State = jax.vmap(one)(drive.V)
    return found


def clamp_family(
    model: Any, t: Any, commands: Sequence[Any], *, cell: Any = None, I_ext: Any = None, state: Any = None, dt: float | None = None, t0: float = 0.0
) -> list[ClampResult]:  # fmt: skip
    """`voltage_clamp` with each of several commands, from the same start, in one batch; arguments as there."""
    checks.some("commands", commands)
    check_commands("the commands", commands)
    s = set_up(model, t, state, dt, t0)
    number, (grid, slots) = cell_number(s.network, cell), grid_of(s.t, s.steps[0], s.dt)
    allocated(f"a family of {len(commands):,} commands", len(commands) * len(s.halves))
    dtype = s.network.dtype
    with precision(dtype):
        V = jnp.stack([commanded(c, s) for c in commands])
        start = State(*(np.asarray(x, dtype) for x in s.start))
        drive = Drive(jnp.asarray(injected(s, I_ext), dtype), V=jnp.asarray(V, dtype)[:, :, None])
        found = State(*map(np.asarray, batch_of_commands(s.network.params, start, drive, slots, grid=grid, clamped=(number,), dt=s.dt)))
        slopes = [pd.Series(slope_of(c, v, s), s.t) for c, v in zip(commands, V, strict=True)]
    states = [State(*(x[i] for x in found)) for i in range(len(commands))]
    for y in states:
        checks.run_is_finite(y, s.t, s.network.cells)
    return [ClampResult(s.t, y, s.network, number, slope) for y, slope in zip(states, slopes, strict=True)]


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The axon at −65 mV, stepped to −35, −5, 25 and 55 mV at 5 ms: the clamp current, and the shares of sodium and potassium.", "name": "fig-clamp-family"}}
# from .components import HodgkinHuxley1952 as HH
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# rest = current_clamp(axon, [500.0], 0).final_state
# times, levels = np.arange(0, 20, 0.05), [-35, -5, 25, 55]
# family = clamp_family(axon, times, [Steps((-65, V), (5,)) for V in levels], state=rest)
# shares = {"clamp": [r.clamp for r in family]} | {c: [r.currents["cell", 0, c] for r in family] for c in ("Na", "K")}
# panels = [hv.Overlay([hv.Curve((times, x), "time (ms)", "nA", label=f"{V} mV") for V, x in zip(levels, xs)], label=name)
#           for name, xs in shares.items()]
# hv.Layout([p.opts(hv.opts.Curve(width=240, height=220), hv.opts.Overlay(show_legend=p is panels[-1], legend_position="right")) for p in panels])

# %% [markdown]
# ### The channel's own curves
#
# Held long enough at one potential, a cell with a single kind of channel shows its steady state. Two protocols tell
# its two gates apart.
#
# Activation
# : The inactivation gate is taken away, as an enzyme does from inside the axon {cite:p}`Armstrong1973`. What is then open of
#   all channels in the steady state is $m_∞^p$.
#
# Inactivation
# : A long prepulse to $V$ is followed by a test pulse, always to the same potential. When activation has settled during the
#   test pulse, it is the same after all prepulses, and $h$ is still an affine function of the $h_∞(V)$ that it began with. Two
#   prepulses at which all and no channels are available give the scale.
#
# At constant potential a gate follows an exponential, so a few thousand steps of any length lead to the steady state.

# %%
HELD = 4000  # steps, in which a potential is held
LONG = 25.0  # time constants, after which a gate has settled
SETTLED = 20.0  # time constants of activation before a test pulse is read
AVAILABLE, INACTIVATED = -150.0, 100.0  # mV, prepulses after which all and no channels are available


def held(structure: Structure, p: Prepared, y: Working, V: Array, duration: Any) -> Working:
    """The state after a time (ms) at the potential V (mV)."""
    dt = duration / HELD
    return lax.fori_loop(0, HELD, lambda _, y: gates_and_calcium(structure, p, y, dt), y._replace(V=jnp.full_like(y.V, V)))


def open_share(group: Group, x: Array) -> Array:
    """Share of the first channel of a group that is open; x (gate, cell)."""
    return conductances(group.circuit, [jnp.ones(())] * len(group.channels), powers(group, x))[0]


class Alone(NamedTuple):
    """A cell with one channel."""

    channel: Channel
    structure: Structure
    p: Prepared
    start: Working

    def τ(self, symbol: str, V: Any) -> np.ndarray:
        """Time constant (ms) of a gate at potentials V (mV)."""
        V = jnp.asarray(V)
        return np.asarray(at(getattr(self.channel, symbol).tau, V, jnp.full_like(V, float(self.start.Ca[0]))))


def alone(model: Any, channel: str, cell: Any, symbol: str, inactivating: bool) -> Alone:
    """The cell with nothing but one channel, at all calcium concentrations that of rest."""
    network = network_of(model)
    number = cell_number(network, cell)
    group, _ = network.places[number]
    found = {c.name: c for c in network.structure.groups[group].channels}
    checks.choice("channel", channel, found)
    checks.has_gate(channel, symbol, getattr(found[channel], symbol))
    only = found[channel]._replace(source="", ion=None)
    only = only if inactivating else only._replace(h=None)
    one = Network({"cell": Cell([only(1.0)], calcium=Prinz2003.calcium)}, dtype=network.dtype)
    y = pack(one.structure, State(*map(jnp.asarray, one.cold)))
    return Alone(only, one.structure, prepare_network(one.params, y.V.dtype, DEFAULT_DT), y)


def potentials(levels: Any) -> np.ndarray:
    """Potentials (mV) to be held, (level,)."""
    V = checks.levels("levels", levels, "mV")
    plausible_potentials("the largest of the levels", V)
    return V


def activation(model: Any, channel: str, levels: Any, *, cell: Any = None) -> pd.Series:
    """m∞ of a channel at potentials (mV), from voltage clamp without inactivation. Raises ValueError if it has no such gate."""
    V = potentials(levels)
    with precision(network_of(model).dtype):
        only = alone(model, channel, cell, "m", False)
        duration = LONG * float(only.τ("m", V).max())

        def share(V: Array) -> Array:
            y = held(only.structure, only.p, only.start, V, duration)
            return open_share(only.structure.groups[0], y.x[0].T)[0] ** (1 / only.channel.p)

        return pd.Series(np.asarray(jax.jit(jax.vmap(share))(jnp.asarray(V))), pd.Index(V, name="V"), name=f"m of {channel}")


def inactivation(model: Any, channel: str, levels: Any, *, cell: Any = None, test: float = 0.0) -> pd.Series:
    """h∞ of a channel at potentials (mV), from prepulses to them and a test pulse (mV). Raises ValueError if it has no such gate."""
    V = np.concatenate([[AVAILABLE, INACTIVATED], potentials(levels)])
    test = millivolts("test", test)
    with precision(network_of(model).dtype):
        only = alone(model, channel, cell, "h", True)
        before = LONG * float(max(only.τ("h", V).max(), only.τ("m", V).max()))
        during = SETTLED * float(only.τ("m", [test])[0])

        def share(V: Array) -> Array:
            y = held(only.structure, only.p, only.start, V, before)
            y = held(only.structure, only.p, y, jnp.asarray(test), during)
            return open_share(only.structure.groups[0], y.x[0].T)[0] ** (1 / only.channel.q)

        most, least, *found = np.asarray(jax.jit(jax.vmap(share))(jnp.asarray(V)))
    return pd.Series((np.array(found) - least) / (most - least), pd.Index(V[2:], name="V"), name=f"h of {channel}")


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Activation and inactivation of a pacemaker's channels as the clamp finds them (dots), and the functions they were made of (lines).", "name": "fig-own-curves"}}
# V, pacemaker, panels = np.arange(-90.0, 31.0, 7.5), Prinz2004({"AB/PD 2": 1}, gs={}, ge=0), []
# for c in pacemaker.circuit.channels:
#     if c.h:
#         found = {"m": activation(pacemaker, c.name, V), "h": inactivation(pacemaker, c.name, V)}
#         assert all(np.allclose(x, getattr(c, g).inf(V), atol=1e-6) for g, x in found.items())
#         lines = [hv.Curve((V, np.asarray(getattr(c, g).inf(V))), "V (mV)", "x∞") * hv.Scatter((V, x)).opts(color="black") for g, x in found.items()]
#         panels.append(hv.Overlay(lines, label=c.name).opts(width=225, height=200, show_legend=False))
# hv.Layout(panels).opts(hv.opts.Curve(width=225, height=200)).cols(3)

# %% [markdown]
# ## Dynamic clamp
#
# A dynamic clamp {cite:p}`Sharp1993` reads the potential, computes the current of a conductance that is not there, and injects
# it, at every step. Without its delays that is a cell with one more channel or synapse. A channel is
# added to a *running* cell: the old gates go on, the new ones begin in their steady state. Or a *recording* drives what is
# added: gates of channels see the recorded potential, and the presynaptic cell of a synapse is a cell with no
# channels, clamped to it. The current still depends on the cell's own potential.


# %%
RECORDING = "recording"  # label of the presynaptic cell that a recording drives


def with_additions(network: Network, label: str, channels: Sequence[Placed], synapses: Sequence[Synapse]) -> Network:
    """The network with more channels in a population, more synapses, and the cell that is a recording if a synapse names it."""
    cells, connections = present(network)
    old = cells[label]
    placed = [c(float(g)) for c, g in zip(old.channels, old.g, strict=True)]
    cells[label] = Cell([*placed, *channels], area=old.area, calcium=old.calcium, temperature=old.temperature)
    cells[label].constants = old.constants
    if any(s.pre == RECORDING for s in synapses):
        cells[RECORDING] = Cell([Prinz2003.leak(0)], temperature=old.temperature)
    return rebuilt(network, cells, [*connections, *synapses])


def carried_over(old: Network, new: Network, y: State) -> State:
    """The state of a running network in one with additions: new gates in their steady state at the present potential."""
    z = State(*(np.array(x, float) for x in new.cold))
    n = len(y.V)
    z.V[:n], z.Ca[:n], z.s[:n, : y.s.shape[1]] = y.V, y.Ca, y.s
    V, Ca = jnp.asarray(z.V), jnp.asarray(z.Ca)
    steady = lambda gate: np.asarray(at(gate.inf, V, Ca) * (Ca / (Ca + gate.K) if gate.K else 1))  # noqa: E731
    for k, kind in enumerate(new.structure.wiring.transmitters[y.s.shape[1] :], y.s.shape[1]):
        z.s[:n, k] = steady(kind.gate(CONSTANTS))[:n]
    for i in range(n):
        was, now = (x.structure.groups[x.places[i][0]].circuit for x in (old, new))
        for symbol, names, kept, x in (("m", activating, y.m, z.m), ("h", inactivating, y.h, z.h)):
            count, gates = len(names(was)), [getattr(c, symbol) for c in names(now)]
            x[i, :count] = kept[i, :count]
            x[i, count : len(gates)] = [steady(gate)[i] for gate in gates[count:]]
    slots: Inlets = inlets_of(old.structure)
    real = slots.synapse < len(old.structure.kinetic)
    z.z[:n, : y.z.shape[1]][real] = np.asarray(y.z)[real]
    return z


def driven_conductance(network: Network, label: str, added: Placed, V: Array, s: Setup) -> tuple[Array, Array]:
    """G (µS) and J (nA), (step + 1,), of a channel whose gates follow a recording V (mV at the half steps)."""
    channel, area = added.channel, network.made_of[label].area
    E = checks.plain_reversal(channel.name, channel.E)
    own = added._replace(channel=channel._replace(source="", ion=None))
    one = Network({"cell": Cell([own], area=area, calcium=Prinz2003.calcium)}, dtype=network.dtype)
    empty = Network({"cell": Cell([Prinz2003.leak(0)])})
    start = carried_over(empty, one, empty.cold._replace(V=np.asarray(V[:1])))
    drive = Drive(jnp.zeros((len(s.steps), 1)), V=V[:, None])
    y = run(Setup(one, start, s.steps, s.dt, s.steps), drive, (0,)).states
    x = jnp.concatenate([jnp.asarray(y.m[:, 0]), jnp.asarray(y.h[:, 0])], -1).T
    G = open_share(one.structure.groups[0], x) * float(one.params.g[0][0, 0] * area * CM2_MS_TO_US)
    return G, G * E


def dynamic_clamp(
    model: Any, t: Any, added: Any, *, cell: Any = None, recording: Any = None, I_ext: Any = None, state: Any = None,
    dt: float | None = None, t0: float = 0.0,
) -> NetworkResult:  # fmt: skip
    """Run a model with channels or synapses that it does not have, from a state of the model as it is.

    added: one or more of channels with their densities, which go to all cells of the population `cell`, and of `Synapse`s. recording: a
    potential (mV) that drives them, a function of t, a Series or (times, values); the synapses then are those of the cell
    "recording". state: of the model, or of an earlier result with the same additions. Raises ValueError or TypeError on bad input.
    """
    network, items = network_of(model), checks.list_of("added", added, (Placed, Synapse))
    check_commands("the recording", [] if recording is None else [recording])
    checks.additions(items, (Placed, Synapse), RECORDING, recording is not None)
    label = str(network.cells[cell_number(network, cell)][0])
    channels, synapses = [x for x in items if isinstance(x, Placed)], [x for x in items if isinstance(x, Synapse)]
    checks.connections(synapses, [*network.labels, RECORDING], Synapse)  # warns of units
    new = with_additions(network, label, [] if recording is not None else channels, synapses)
    continued = isinstance(state, State) and state.m.shape == new.cold.m.shape and state.V.shape == new.cold.V.shape
    start = state if continued else carried_over(network, new, start_of(model, network, state))
    s = set_up(new, t, start, dt, t0)
    with precision(network.dtype):
        I, G, V = injected(s, I_ext), jnp.zeros((len(s.steps), len(new.rows))), None
        if recording is not None:
            V = sampled("the recording", recording, s.halves, s.last)
            plausible_potentials("the largest potential of the recording", np.asarray(V))
            mine = np.array([x == label for x, _ in new.cells], float)
            for x in channels:
                more, J = driven_conductance(network, label, x, V, s)
                G, I = G + more[:, None] * mine, I + J[:, None] * mine
        clamped = (len(new.rows) - 1,) if RECORDING in new.labels else ()
        return run(s, Drive(I, G, V[:, None] if clamped and V is not None else None), clamped)


# %% [markdown]
# In the figure an isolated LP cell first gets 20 mS/cm² of A current more than it has, then, instead, the synapse of a pacemaker
# that was recorded on another day.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "LP alone; with more A current; and with an inhibitory synapse of 30 nS from a recorded pacemaker.", "name": "fig-dynamic-clamp"}}
# from .prinz2004 import GLUTAMATE
#
# lp = Prinz2004({"LP 2": 1}, gs={}, ge=0)
# state = lp.get_thermalization()
# recorded_pd = circuit(t).V["AB/PD", 0]
# more_A = Prinz2003.A._replace(name="more A", source="")
# runs = [current_clamp(lp, t, 0), dynamic_clamp(lp, t, more_A(20), state=state),
#         dynamic_clamp(lp, t, Synapse("recording", "LP 2", GLUTAMATE, 30), recording=recorded_pd, state=state)]
# hv.Layout([hv.Curve((t, run.V["LP 2", 0]), "time (ms)", "V (mV)", label=name)
#            for run, name in zip(runs, ("alone", "more A current", "inhibited by a recording"))]).cols(1)
