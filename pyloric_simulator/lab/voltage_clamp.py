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
# # Voltage clamp
#
# Which currents does a membrane pass, and through which channels? While a cell fires, its potential and its
# currents chase each other, and neither can be told from the other. The voltage {term}`clamp` cuts the
# loop: an electrode holds the potential where it is wanted, and measures the current that this takes. All
# that is known of {term}`gates <gate>` goes back to this experiment. Other cells of the circuit run free.
#
# Below, the {term}`pacemaker` of the circuit is held at the potential that it had in an earlier run, and at
# −60 mV from 1.5 s on. As long as it moves as it did, its followers do not notice. When it stands still, LP
# and PY lose their rhythm.

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
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
# from .protocols import Steps
# from .voltage_clamp import voltage_clamp
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# t = np.arange(0, 3000, 0.5)
# own = circuit(t).V["AB/PD", 0]
# clamped = voltage_clamp(circuit, t, own.where(own.index < 1500, -60), cell="AB/PD")
# (clamped.plot() + hv.Curve((t, clamped.clamp), "time (ms)", "clamp current (nA)").opts(ylim=(-20, 20))).cols(1)

# %% [markdown]
# In the first part the electrode has next to nothing to do: half of the time it passes less than 0.0005 nA,
# because the cell goes where it would have gone anyway. What sticks out are spikes. They were recorded
# every half millisecond, and a straight line from sample to sample is not what the membrane does by itself.
#
# ## What it does
#
# `voltage_clamp(model, t, command, cell=...)` holds a cell at a command in mV: a number, a `Steps` or
# `Ramp`, a function of time, or a recording, as the chapter on [protocols](protocols.py) says. It returns
# what a run returns, and in addition `clamp`, a Series with the current of the electrode in nA. `currents`
# has the share of each channel, which no experimenter sees without poisoning all others. `clamp_family`
# gives one result for each of several commands, all of them run at once.
#
# Here is the classic of {cite:t}`HodgkinHuxley1952`: the axon steps from −65 mV to four potentials. The
# current is first inward, then outward. Its two parts were found by replacing the sodium outside; here they
# are simply read. Sodium comes and goes within a few milliseconds, and changes its direction where the step
# passes its {term}`reversal potential` of 50 mV. Potassium comes late and stays.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The axon at −65 mV, stepped to −35, −5, 25 and 55 mV at 5 ms: the clamp current, and the shares of sodium and potassium.", "name": "fig-clamp-family"}}
# from ..models.channels import HodgkinHuxley1952 as HH
# from ..models.networks import Cell
# from .current_clamp import current_clamp
# from .voltage_clamp import clamp_family
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# rest = current_clamp(axon, [500.0], 0).final_state
# times, levels = np.arange(0, 20, 0.05), [-35, -5, 25, 55]
# family = clamp_family(axon, times, [Steps((-65, V), (5,)) for V in levels], state=rest)
# shares = {"clamp": [r.clamp for r in family]}
# shares |= {c: [r.currents["cell", 0, c] for r in family] for c in ("Na", "K")}
# steps_of = lambda xs: [hv.Curve((times, x), "time (ms)", "nA", label=f"{V} mV") for V, x in zip(levels, xs)]
# panels = [hv.Overlay(steps_of(xs), label=name) for name, xs in shares.items()]
# panels = [p.opts(show_legend=p is panels[-1], legend_position="right") for p in panels]
# hv.Layout(panels).opts(hv.opts.Curve(width=240, height=220))

# %% [markdown]
# The other use is to find the curves of a channel. `activation` and `inactivation` measure $m_∞$ and $h_∞$
# of one channel of a cell at given potentials, as one would at the rig. That the clamp finds the very
# functions of which the channels were made, to a millionth, is a test of the whole package: of the
# channels, of the scheme, and of the clamp.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Activation and inactivation of a pacemaker's channels as the clamp finds them (dots), and the functions they were made of (lines).", "name": "fig-own-curves"}}
# from .voltage_clamp import activation, inactivation
#
# V, pacemaker, panels = np.arange(-90.0, 31.0, 7.5), Prinz2004({"AB/PD 2": 1}, gs={}, ge=0), []
# line = lambda f: hv.Curve((V, np.asarray(f(V))), "V (mV)", "x∞")
# for c in pacemaker.circuit.channels:
#     if c.h:
#         found = {"m": activation(pacemaker, c.name, V), "h": inactivation(pacemaker, c.name, V)}
#         assert all(np.allclose(x, getattr(c, g).inf(V), atol=1e-6) for g, x in found.items())
#         both = [line(getattr(c, g).inf) * hv.Scatter((V, x)).opts(color="black") for g, x in found.items()]
#         panels.append(hv.Overlay(both, label=c.name).opts(width=225, height=200, show_legend=False))
# hv.Layout(panels).opts(hv.opts.Curve(width=225, height=200)).cols(3)

# %% [markdown]
# Some things are better here than at a rig: the cell has no distant branches whose potential escapes the
# electrode, the electrode has no resistance in series, and it needs no time. Their effects are not
# simulated.

# %%
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from ..engine import checks
from ..engine.kinetics import at
from ..engine.labelled import WithoutChannels
from ..engine.schedule import Grid, Slots
from ..engine.thermalization import isolated
from ..files.recording import check_commands
from ..fitting.sensitivity import no_resets
from ..models.networks import any_model, has_potential, model_of
from ..models.neurons import NeuronResult
from ..prinz2004 import Channel, Model, Params, SimResult, cold_start, conductances, precision
from .protocols import (
    EDGE,
    Drive,
    Setup,
    allocated,
    cell_number,
    commanded,
    injected,
    integrate_driven,
    membrane_of,
    millivolts,
    plausible_potentials,
    set_up,
)

__all__ = ["ClampResult", "activation", "clamp_family", "inactivation", "voltage_clamp"]

# %% [markdown]
# ## Command and current
#
# The clamp holds the potential at a command $V_c(t)$. The current that this takes is that which would have
# charged the membrane otherwise,
#
# $$
# I_\mathrm{clamp} = \sum_i I_i + \sum I_s + \sum I_e + C \frac{dV_c}{dt}.
# $$ (eq-clamp)
#
# Its sign is that of a current from an electrode: where channels pass current outward, the electrode has to
# bring it in. The last term charges the membrane while the command moves. With 0.628 nF and a command that
# falls by 100 mV within a millisecond, as a spike does, it is −63 nA. At a jump of the command the term is
# infinite for no time at all; it is left out there. (An experimenter sees a *capacitive transient*, and
# subtracts it.)
#
# A result of the clamp remembers which cell it held and how the command rose; the current follows from
# these and from the states. For equations of one's own, without channels, there is no list of currents to
# add: what holds the cell is that input which would make its equation for $dV/dt$ give the slope of the
# command.


# %%
@dataclass(frozen=True, repr=False)
class NeuronClamp(NeuronResult):
    """What a voltage clamp of equations of one's own recorded."""

    number: int  # of the clamped cell
    holding: pd.Series  # the input that holds it, at the recorded times

    @property
    def clamp(self) -> pd.Series:
        """The input that holds the cell, in the place of that in its equations."""
        return self.holding.loc[self.t]


@dataclass(frozen=True, repr=False)
class ClampResult(SimResult):
    """What a voltage clamp recorded. `currents` has the share of each channel."""

    number: int  # of the clamped cell
    slope: pd.Series  # mV/ms, of the command at the recorded times

    @property
    def clamp(self) -> pd.Series:
        """Current (nA) that holds the cell, {eq}`eq-clamp`; positive depolarizes."""
        (pop, index), C = self.model.cells[self.number], float(membrane_of(self.model, self.number).constants.C)
        return (self.currents[pop][index].sum(axis=1, skipna=False) + C * self.slope.loc[self.t].to_numpy()).rename(
            "clamp"
        )


# %% [markdown]
# The slope of a command that is a function is its derivative, which JAX takes. Steps have the slope 0
# everywhere. For a recording, straight between its samples, the slope is a difference over half a step; at
# a corner it is that of the line which begins there, since the current that is asked for is the one that
# comes next. Only at its very end it is that of the line before.


# %%
def slope_of(command: Any, V: Array, s: Setup) -> np.ndarray:
    """dV/dt (mV/ms) of a command at the recorded times, from the right at corners; V: at the half steps."""
    if callable(command):
        return np.asarray(jax.vmap(jax.grad(lambda t: jnp.asarray(command(t), t.dtype)))(jnp.asarray(s.t)))
    change = np.diff(np.asarray(V)) / (s.dt / 2)
    last = change[-1:] if len(change) else np.zeros(1)
    return np.append(change, last)[np.searchsorted(s.halves, s.t - EDGE)]


# %% [markdown]
# ## A family of commands
#
# A family is a batch, and one command a family of one. `vmap` runs the very same program with another
# command in each lane; all else, the start, the currents into other cells, the conductances, is shared. The
# program is compiled once for all families of the same size and length. The gates move exactly as their
# equations say at constant potential, to fourth order in $dt/τ$, so that a clamp to a constant needs no
# fine steps.


# %%
@partial(jax.jit, static_argnames=("grid", "clamped", "dt"))
def compiled_family(params: Params, start: Any, drive: Drive, slots: Slots | None, **run: Any) -> Any:
    """States (command, time, …); drive.V: (command, half step, clamped cell)."""
    return jax.vmap(lambda V: integrate_driven(params, start, drive._replace(V=V), slots, **run))(drive.V)


# %% [markdown]
# What a lane gives becomes a result of its own. Equations of one's own take another way: they run one
# command after another, with NaN in the places of the variables that run free.


# %%
def clamped_neurons(s: Setup, commands: Sequence[Any], number: int, I: Any) -> list[NeuronClamp]:
    """`clamped_runs` of equations of one's own."""
    results = []
    for command in commands:
        V = commanded("the command", command, s)
        held = jnp.full((len(V), s.model.size), jnp.nan, V.dtype).at[:, number].set(V)
        found = s.model.driven(s.start, s.t, I, None, dt=s.dt, t0=s.steps[0], run_is=s.ran, V=held)
        I_clamp = s.model.balancing(found.states, number, slope_of(command, V, s))
        holding = pd.Series(I_clamp, pd.Index(s.t, name="time"), name="clamp")
        results.append(NeuronClamp(s.t, found.states, s.model, (), {}, number, holding, run=found.run))
    return results


def clamped_runs(s: Setup, commands: Sequence[Any], cell: Any, I_ext: Any) -> list[Any]:
    """The runs of one experiment with each of several commands."""
    model, number, results = s.model, cell_number(s.model, cell), []
    allocated(f"a family of {len(commands):,} commands", len(commands) * len(s.halves))
    with precision(model.dtype):
        if not isinstance(model, Model):
            return clamped_neurons(s, commands, number, injected(s, I_ext))
        V = jnp.stack([commanded("the command", c, s) for c in commands])
        drive = Drive(injected(s, I_ext), V=V[:, :, None])
        found = compiled_family(model.params, s.start, drive, s.slots, grid=s.grid, clamped=(number,), dt=s.dt)
        slopes = [pd.Series(slope_of(c, v, s), s.t) for c, v in zip(commands, V, strict=True)]
    for i, slope in enumerate(slopes):
        result = s.result(jax.tree.map(lambda x, i=i: np.asarray(x)[i], found))
        results.append(ClampResult(s.t, result.states, model, number, slope, run=result.run))
    return results


# %% [markdown]
# Before anything is compiled, the commands are checked all at once: their times, their units, and whether
# they look like potentials of a cell at all. A clamp of an integrate-and-fire cell is refused. Its spike *is*
# a reset of the potential, and a potential that is held cannot be reset.


# %%
def voltage_clamp(
    model: Any, t: Any, command: Any, *, cell: Any = None, I_ext: Any = None, state: Any = None,
    dt: float | None = None, t0: float = 0.0
) -> Any:  # fmt: skip
    """Hold a cell at a command (mV), recorded at t (ms): a `ClampResult`, or a `NeuronClamp` of a `Neuron`.

    command: a number, a function of t such as `Steps`, or a recording, a Series or (times, values). cell: a label,
    (label, number), or None if there is only one. Raises ValueError or TypeError before anything is compiled, for
    commands outside the run, too.
    """
    return clamp_family(model, t, [command], cell=cell, I_ext=I_ext, state=state, dt=dt, t0=t0)[0]


def clamp_family(
    model: Any, t: Any, commands: Sequence[Any], *, cell: Any = None, I_ext: Any = None, state: Any = None,
    dt: float | None = None, t0: float = 0.0
) -> list[Any]:  # fmt: skip
    """`voltage_clamp` with each of several commands, from the same start, in one batch; arguments as there."""
    if not isinstance(commands, list) or not commands:
        raise TypeError(
            f"commands is {commands!r}; it must be a list with one command at least. Write [Steps((-70, 0), (10,))], "
            "for example."
        )
    if not isinstance(model, WithoutChannels):
        check_commands("the command" if len(commands) == 1 else "the commands", commands)
        return clamped_runs(set_up(model, t, state, dt, t0), commands, cell, I_ext)
    no_resets(has_potential(model), "a clamped cell cannot spike", "Pass a current, `model(t, I_ext)`")
    return clamped_runs(set_up(model, t, state, dt, t0, any_model), commands, cell, I_ext)


# %% [markdown]
# ## The channel's own curves
#
# Held long enough at one potential, a cell with a single kind of channel shows its steady state: of all its
# channels the share $m_∞^p h_∞^q$ is open. Two protocols tell the two gates apart.
#
# Activation
# : The inactivation gate is taken away, as an enzyme does from inside the axon {cite:p}`Armstrong1973`.
#   What is then open of all channels in the steady state is $m_∞^p$, and its $p$-th root is $m_∞$.
#
# Inactivation
# : A long prepulse to $V$ is followed by a test pulse, always to the same potential. When activation has
#   settled during the test pulse, it is the same after all prepulses, and $h$ is still an affine function
#   of the $h_∞(V)$ that it began with. Two prepulses at which all and no channels are available give the
#   scale.
#
# Why affine? During the test pulse, at constant potential, $h$ relaxes to the value $h_t$ that belongs to
# it,
#
# $$
# h(t) = h_t + (h_∞(V) - h_t)\, e^{-t/τ_h},
# $$ (eq-test-pulse)
#
# and at the time of reading $e^{-t/τ_h}$ and $h_t$ are the same numbers for all $V$. With $o$ the $q$-th
# root of what is open, after prepulses to $V$, to −150 mV ($h_∞ = 1$) and to 100 mV ($h_∞ = 0$), so
#
# $$
# h_∞(V) = \frac{o(V) - o(100)}{o(-150) - o(100)},
# $$ (eq-inactivation)
#
# whatever the activation and the time of reading are. An experimenter reads the peak of the current
# instead, and hopes that $h$ has not moved until then.
#
# At constant potential a gate follows an exponential, so that a few thousand steps of any length lead to
# the steady state. Here 2000 steps cover 25 of the longest time constants, after which $e^{-25}$ is 10⁻¹¹;
# the test pulse lasts 20 time constants of $m$.

# %%
HELD = 2000  # steps, in which a potential is held
LONG = 25.0  # time constants, after which a gate has settled
SETTLED = 20.0  # time constants of activation before a test pulse is read
AVAILABLE, INACTIVATED = -150.0, 100.0  # mV, prepulses after which all and no channels are available


def with_one_channel(model: Model, cell: int, channel: Channel) -> Params:
    """One cell of a model alone, with nothing but a channel of 1 mS/cm², and with its calcium at rest."""
    params = isolated(model.params, [int(model.rows[cell])])
    circuit = params.circuit._replace(transmitters=()).with_membrane(channels=(channel._replace(ion=None),), pool=False)
    return params.replace(circuit=circuit, g=np.ones((1, 1)))


# %% [markdown]
# The cell for this is made from the one that was named: it keeps its constants, loses its synapses and all
# other channels, and its calcium stays at rest, since a calcium channel that carries its own ion would
# change the very concentration that its current depends on. An activation is measured on the channel
# without its $h$.


# %%
def alone(model: Model, channel: str, cell: Any, symbol: str) -> tuple[Params, Channel]:
    """A channel of a cell without all others, for a measurement of one of its gates."""
    number = cell_number(model, cell)
    found = {c.name: c for c in membrane_of(model, number).channels}
    checks.choice("channel", channel, found)
    if getattr(found[channel], symbol) is None:
        raise ValueError(f"the channel {channel!r} has no gate {symbol}; it must have one. Choose another channel.")
    only = found[channel] if symbol == "h" else found[channel]._replace(h=None)
    return with_one_channel(model, number, only), only


def slowest(params: Params, gate: Any, V: Any) -> float:
    """The longest time constant (ms) of a gate at potentials V (mV)."""
    V = jnp.asarray(V)
    return float(at(gate.tau, V, jnp.full_like(V, params.circuit.constants.Ca_rest)).max())


# %% [markdown]
# A pulse is a clamp to a constant. The state at its end is where the next pulse begins, and only that last
# state is recorded. What is open follows from the gates of the state by the same function that every
# simulation uses, with a conductance of 1.


# %%
def open_share(params: Params, y: Any) -> Array:
    """Share of the channels of `with_one_channel` that are open, from states (…, cell, gate) of the cell: (…)."""
    gates = jnp.moveaxis(jnp.concatenate([y.m, y.h], -1), -1, 0)
    return conductances(params.circuit.only, jnp.ones((1, *y.V.shape)), gates)[0][..., 0]


def open_after(params: Params, pulses: Sequence[tuple[Any, float]]) -> Array:
    """Share of the channels of `with_one_channel` that are open after each potential (mV) was held for a time (ms)."""
    y = jax.tree.map(jnp.asarray, cold_start(params.circuit))
    for V, duration in pulses:
        drive = Drive(0.0, V=jnp.broadcast_to(V, (2 * HELD + 1, 1)))
        ys = integrate_driven(params, y, drive, None, grid=Grid(HELD, 1, 0), clamped=(0,), dt=duration / HELD)
        y = jax.tree.map(lambda x: x[0], ys)
    return open_share(params, y)


# %% [markdown]
# With these the two measurements are as above. All potentials are a batch. The prepulses last 25 of the
# longest time constants of *both* gates at all potentials that occur: the slowest of CaT takes 210 ms and
# that of CaS 350 ms, so that a prepulse may last nine seconds.


# %%
def potentials(levels: Any) -> np.ndarray:
    """Potentials (mV) to be held, (level,)."""
    V = checks.levels("levels", levels, "mV")
    plausible_potentials("the largest of the levels", V)
    return V


def activation(model: Any, channel: str, levels: Any, *, cell: Any = None) -> pd.Series:
    """m∞ of a channel at potentials (mV), clamped without inactivation. Raises ValueError if it has no such gate."""
    V, model = potentials(levels), model_of(model)
    with precision(model.dtype):
        params, only = alone(model, channel, cell, "m")
        duration = LONG * slowest(params, only.m, V)
        share = jax.jit(jax.vmap(lambda V: open_after(params, [(V, duration)]) ** (1 / only.p)))(jnp.asarray(V))
    return pd.Series(np.asarray(share), pd.Index(V, name="V"), name=f"m of {channel}")


def inactivation(model: Any, channel: str, levels: Any, *, cell: Any = None, test: float = 0.0) -> pd.Series:
    """h∞ of a channel at potentials (mV), by prepulses and a test pulse (mV). Raises ValueError without such a gate."""
    V, model = np.concatenate([[AVAILABLE, INACTIVATED], potentials(levels)]), model_of(model)
    test = millivolts("test", test)
    with precision(model.dtype):
        params, only = alone(model, channel, cell, "h")
        before = LONG * max(slowest(params, gate, V) for gate in (only.m, only.h))
        pulse = test, SETTLED * slowest(params, only.m, [test])
        share = jax.jit(jax.vmap(lambda V: open_after(params, [(V, before), pulse]) ** (1 / only.q)))(jnp.asarray(V))
    most, least, *found = np.asarray(share)
    return pd.Series((np.array(found) - least) / (most - least), pd.Index(V[2:], name="V"), name=f"h of {channel}")


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-reversal
# Read the reversal potential of A from the clamp: hold the pacemaker at some potentials, and look where the
# current of A changes its sign.
# ```
#
# ```{solution-start} ex-reversal
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# levels = np.array([-95.0, -85.0, -75.0, -65.0])
# held_at = lambda V: voltage_clamp(pacemaker, np.arange(0, 20, 0.1), V).currents["AB/PD 2", 0]
# of_A = [float(held_at(V)["A"].iloc[-1]) for V in levels]
# assert of_A[0] < 0 and of_A[1] < 0 < of_A[2] < of_A[3]
# of_A

# %% [markdown]
# Between −85 and −75 mV: it is −80 mV.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-space
# What does the clamp measure that the channels do not pass? Add up all currents of a held cell, and compare
# the sum with what the electrode injects.
# ```
#
# ```{solution-start} ex-space
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# held = voltage_clamp(pacemaker, np.arange(0, 20, 0.1), -40.0)
# total = held.currents["AB/PD 2", 0].sum(axis=1)
# assert np.allclose(total.iloc[1:], held.clamp.to_numpy().ravel()[1:], rtol=1e-6, atol=1e-9)

# %% [markdown]
# Nothing, once the potential stands still: the electrode then brings in what the channels pass outward, and
# no more.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-sodium-iv
# At which step is the sodium current of the axon largest? It should be where most channels open, or where
# the driving force $V - E$ is largest; predict which of the two wins. Then draw the peak of the sodium
# current against the potential of the step, from −50 to 70 mV.
# ```
#
# ```{solution-start} ex-sodium-iv
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# steps_to = np.arange(-50.0, 71.0, 10.0)
# jumps = [Steps((-65, V), (2,)) for V in steps_to]
# runs = clamp_family(axon, np.arange(2.1, 12, 0.05), jumps, state=rest)
# sodium = [r.currents["cell", 0, "Na"].to_numpy() for r in runs]
# peaks = np.array([x[np.abs(x).argmax()] for x in sodium])
# assert steps_to[peaks.argmin()] == 0 and abs(peaks[steps_to == 50][0]) < 1e-6
# hv.Curve((steps_to, peaks), "V (mV)", "peak sodium current (nA)").opts(width=400, height=240, toolbar=None)

# %% [markdown]
# Neither alone: the peak is largest at 0 mV. Up to there more and more channels open, and this wins; above
# it nearly all that can do open, and the driving force falls in a straight line, to nothing at 50 mV. From
# that line one reads $E_{Na}$, and from its slope the {term}`maximal conductance`.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-steady-iv
# Hold the isolated pacemaker for six seconds at potentials from −80 to −20 mV, and draw the clamp current
# at the end. Where would the cell rest? Why does it not do so?
# ```
#
# ```{solution-start} ex-steady-iv
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# at_hold = np.arange(-80.0, -19.0, 5.0)
# steady = np.array([float(r.clamp.iloc[0]) for r in clamp_family(pacemaker, [6000.0], list(at_hold))])
# assert (steady[at_hold < -36] < 0).all() and (steady[at_hold > -34] > 0).all()
# hv.Curve((at_hold, steady), "V (mV)", "steady current (nA)").opts(width=400, height=240, toolbar=None, ylim=(-1, 3))

# %% [markdown]
# Where no current is needed, near −35 mV. Below that all steady currents are inward, and nothing holds the
# cell down: that makes it a pacemaker. At −35 mV it could stand still like a pencil on its tip: released
# there, it is at −52 mV after 50 ms, and bursts 0.9 s later. The potential and the fast gates run away from
# the balance before the slow ones can restore it. The clamp shows where the balance is; whether it is
# stable, only a free cell shows.
# ```{solution-end}
# ```
