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
# # Current clamp
#
# What does a cell do with a current, and what does a circuit do with a cell that is driven? The oldest of
# all experiments with an electrode inside a cell injects a known current and records the potential.
#
# Below, the {term}`pacemaker` of the circuit gets a weak current that oscillates faster and faster. The
# circuit follows for six seconds, until a {term}`burst` comes too early. Then LP, no longer inhibited,
# fires on and silences the others: the second rhythm of this circuit, which the [chapter on
# rhythms](../rhythm.py) describes.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "The circuit with a zap of 0.1 nA, from 0.2 to 2 Hz, into its pacemaker.", "name": "fig-zapped-circuit"}}
# import numpy as np
#
# from ..config import find_circuit
# from .current_clamp import current_clamp
# from ..prinz2004 import Prinz2004
# from .protocols import Ramp, Zap, step
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# zapped = current_clamp(circuit, np.arange(0, 12000, 0.5), {"AB/PD": Zap(0.1, (0.2, 2), (1000, 12000))})
# zapped.plot()

# %% [markdown]
# ## What it does
#
# `current_clamp(model, t, I_ext)` injects a current of any shape, in nA, into any cells of any model, and
# returns a result like that of a call of the model: potentials in mV at the times `t` in ms, spike times,
# plots. A positive current depolarizes. What `I_ext` may be stands in the chapter on
# [protocols](protocols.py): a number, a step, a ramp, a zap, a function, a recording, or a mapping that
# says which {term}`population` gets which. With `state=` the experiment goes on from where another one
# ended.
#
# Here is an LP cell that the rest of the circuit leaves alone. It fires by itself, five times per second. A
# negative step silences it, and when the step is over, the cell does not simply go on: it answers with nine
# spikes within 60 ms, and then pauses for 600 ms. This is called *rebound*; in the circuit it lets LP burst
# just after the pacemaker has inhibited it. A slow ramp makes the cell fire faster and faster.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A single LP cell: a step of −0.5 nA and a ramp to 4 nA.", "name": "fig-current-clamp"}}
# lp, t = Prinz2004({"LP 2": 1}, gs={}, ge=0), np.arange(0, 3000, 0.5)
# shapes = step(-0.5, 1000, 2000), Ramp((0, 4), (500, 2500))
# hv.Layout([current_clamp(lp, t, shape).plot() for shape in shapes]).cols(1)

# %% [markdown]
# Three numbers sum up how a cell answers to a constant current.
#
# | function | result | unit |
# |---|---|---|
# | `fi_curve(model, currents)` | firing rate at each current, a table | Hz |
# | `rheobase(model, high)` | least current that makes the cell fire within a given time | nA |
# | `input_resistance(model)` | how far a small current moves the potential at rest | MΩ, which is mV/nA |
#
# A cell may be silent *or* fire at the same current, depending on its past. So `fi_curve` can go up and
# down a *staircase* of currents without a new start, and tells both rates. The axon of
# {cite:t}`HodgkinHuxley1952` has such a range. On the way up it stays silent to 6 nA; on the way down it
# fires to 4 nA, and never slower than 50 Hz.

# %% tags=["active-ipynb"]
# from ..models.channels import HodgkinHuxley1952 as HH
# from ..models.networks import Cell
# from .current_clamp import fi_curve, input_resistance, rheobase
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# rest = current_clamp(axon, [500.0], 0).final_state
# rates = fi_curve(axon, np.arange(2.0, 8.1, 0.25), staircase=True, state=rest, duration=500)
# both = (rates["down"] > 0) & (rates["up"] == 0)
# assert both.sum() > 3

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Rate of the axon while the current rises (up) and falls (down).", "name": "fig-fi"}}
# curves = [hv.Curve((rates.index, rates[name]), "current (nA)", "rate (Hz)", label=name) for name in rates]
# hv.Overlay(curves).opts(width=480, height=250, toolbar=None, legend_position="right")

# %% [markdown]
# Its rheobase is lower than either end of that range: from rest, a *jump* to 1.41 nA elicits one spike,
# though no second one. A staircase of small steps elicits none at all up to 6 nA, since the cell has time
# to adapt to each. The input resistance is what Ohm's law says of the cell at rest, 1.37 MΩ. A cell of the
# paper with nothing but its leak of 0.02 mS/cm² has 80 MΩ; the axon has fifteen times that leak, and some
# of its many potassium channels are open at rest.

# %% tags=["active-ipynb"]
# threshold, R = rheobase(axon, 10, state=rest), input_resistance(axon, state=rest)
# print(f"rheobase {threshold:.3f} nA, input resistance {R:.3f} MΩ")

# %% [markdown]
# An f–I curve of twenty-five currents takes one run of the batch. The staircase takes them in turn, so that
# it is slower. All currents are those into the *whole* cell: on the 0.628·10⁻³ cm² of the standard area 1
# nA is 1.6 µA/cm², the unit in which the axon is usually described.

# %%
from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..engine import checks
from ..engine.schedule import Grid
from ..models.networks import any_model
from ..prinz2004 import DEFAULT_SOLVER, MS_PER_S, Model, Params, State, integrate, precision
from ..rhythm import spikes
from .protocols import (
    Drive,
    Setup,
    allocated,
    cell_number,
    injected,
    milliseconds,
    ordered,
    plausible_levels,
    run,
    set_up,
    step,
)

__all__ = ["current_clamp", "fi_curve", "input_resistance", "rheobase"]

# %% [markdown]
# ## A current of any shape
#
# The experiment itself is short, as the chapter on protocols has all that it needs. `set_up` refuses what
# cannot run, `injected` turns the current into an array with a value for each step and cell, and `run`
# integrates it. `precision` says with how many digits JAX computes, those of the model; the array has to be
# made with the same.


# %%
def current_clamp(
    model: Any, t: Any, I_ext: Any, *, state: Any = None, dt: float | None = None, t0: float = 0.0
) -> Any:
    """Inject currents (nA) and record at the times t (ms): a result of the model.

    I_ext: a protocol for all cells, a mapping label -> protocol, or as in a call of a model. state: start. Raises
    ValueError or TypeError before anything is compiled, for protocols with times outside the run, too.
    """
    s = set_up(model, t, state, dt, t0, any_model)
    with precision(s.model.dtype):
        return run(s, Drive(injected(s, I_ext)))


# %% [markdown]
# ## Many currents at once
#
# An f–I curve asks for the spikes of one cell at many constant currents, and nothing else. To store all
# variables of all runs would be a waste: `integrate` records the potential alone, and of the others only
# the last. Spikes are looked for every 0.1 ms, twice the step. They are told by the maxima of the
# potential, so that a coarser grid would lose some of the shortest ones.
#
# The two ways to take the currents are two operators of JAX. With `vmap`, each current starts from the same
# state, and all run side by side, as lanes of one program. With `scan`, each starts from the state in which
# the one before ended: that is the staircase. The compiled program is the same for all currents, and is
# made anew only for another cell, another duration or another step.

# %%
SAMPLING = 0.1  # ms, at which spikes are looked for


@partial(jax.jit, static_argnames=("cell", "grid", "dt", "in_turn"))
def potentials(
    params: Params, start: State, I: Array, *, cell: int, grid: Grid, dt: float, in_turn: bool = False
) -> Array:
    """Potential of a cell (current, time) at constant currents I (current, cell) nA, from the start, or in turn."""

    def run(y: State, I: Array) -> tuple[State, Array]:
        ys = integrate(params, y, I, None, grid=grid, solver=DEFAULT_SOLVER, dt=dt, t0=0.0, record=("V",))
        return jax.tree.map(lambda x: x[-1], ys), ys.V[:, cell]

    return lax.scan(run, start, I)[1] if in_turn else jax.vmap(lambda I: run(start, I)[1])(I)


# %% [markdown]
# A run of a model with channels gives its spikes by the rule of the chapter on rhythms, a maximum above −10
# mV. Equations of one's own say themselves what a spike is; integrate-and-fire cells, for example, have no
# maximum to look for. They run one current after another.


# %%
def set_up_for_spikes(model: Any, duration: float, state: Any, dt: float | None) -> Setup:
    """An experiment in which spikes are looked for, during `duration` (ms)."""
    s = set_up(model, np.arange(0, duration, SAMPLING), state, dt, 0.0, any_model)
    checks.on_steps(s.t, 0.0, s.dt, s.slots is None)
    return s


def trains(s: Setup, cell: int, levels: np.ndarray, in_turn: bool = False) -> list[np.ndarray]:
    """Spike times (ms) of a cell at constant currents (nA) into it, each from the start, or in turn."""
    with precision(s.model.dtype):
        I = s.into(cell, jnp.asarray(levels))
        if isinstance(s.model, Model):
            V = potentials(s.model.params, s.start, I, cell=cell, grid=s.grid, dt=s.dt, in_turn=in_turn)
            return [spikes(s.t, x) for x in np.asarray(V)]
        found = []
        for level in I:
            result = run(s, Drive(level))
            s = s._replace(start=result.final_state) if in_turn else s
            found.append(result.spike_times()[s.model.cells[cell]])
    return found


# %% [markdown]
# ## Firing rate and current
#
# The rate is the inverse of the mean interval between spikes, after a transient. Counting spikes instead
# would be coarse: in half a second a count is a multiple of 2 Hz. With fewer than two spikes there is no
# interval, and the rate is 0, so that a cell with less than one spike per duration counts as silent. The
# transient does not count, since a cell that adapts fires faster at first.
#
# How many numbers the curve needs is known beforehand: for each current, the potential at each tenth of a
# millisecond, and twice that for a staircase. What does not fit is refused.


# %%
def rate_of(times: np.ndarray, transient: float) -> float:
    """Rate (Hz) of spikes (ms) after a transient (ms), from the mean interval; 0 with fewer than two."""
    times = times[times >= transient]
    return float(MS_PER_S / np.diff(times).mean()) if len(times) > 1 else 0.0


def fi_curve(
    model: Any, currents: Any, *, cell: Any = None, staircase: bool = False, duration: float = 1000.0,
    transient: float = 200.0,
    state: Any = None, dt: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rate (Hz) of a cell at constant currents (nA), the index; column: "rate", with staircase "up" and "down".

    duration, transient: ms at each current; the transient does not count. Raises ValueError or TypeError on bad input.
    """
    checks.recording(milliseconds("duration", duration), transient)
    levels = checks.levels("currents", currents, "nA")
    checks.truth("staircase", staircase)
    allocated(
        f"a curve of {len(levels):,} currents for {duration:g} ms", len(levels) * duration / SAMPLING * (1 + staircase)
    )
    s = set_up_for_spikes(model, duration, state, dt)
    number = cell_number(s.model, cell)
    plausible_levels("the largest current", levels, s, number)
    path = np.concatenate([levels, levels[::-1]]) if staircase else levels
    rates = [rate_of(times, transient) for times in trains(s, number, path, staircase)]
    n = len(levels)
    table = {"up": rates[:n], "down": rates[n:][::-1]} if staircase else {"rate": rates}
    return pd.DataFrame(table, pd.Index(levels, name="current"))


# %% [markdown]
# ## Rheobase
#
# The *rheobase* is the least current that brings a spike within a given time, as long as one likes to wait.
# (Physiologists also ask for the least *charge* that does so within a very short time; an exercise below
# does.) A cell that fires at a current is taken to fire at all higher ones.
#
# A bisection would halve the interval with each run. Here a grid of 16 currents is run at once, and the
# interval in which the first of them fires becomes the next grid: that is 15 times narrower each time, and
# costs one batch. From 10 nA to 0.001 nA this takes four batches, where a bisection takes fourteen runs one
# after another. What is returned is the upper end of the last interval, a current at which the cell was
# seen to fire.
#
# Two numbers that lie closer together than the precision resolves would be the same current. In single
# precision 10 nA is resolved to about 10⁻⁶ nA, and sixteen currents have to fit into the last interval. A
# finer tolerance would never be reached, and is refused.

# %%
GRID = 16  # currents that are tried at once


def resolved(tolerance: float, largest: float, dtype: str) -> None:
    """A tolerance (nA) for currents up to a size (nA) that numbers of a precision resolve."""
    finest = GRID * largest * float(np.finfo(dtype).eps)
    if tolerance < finest:
        raise ValueError(
            f"tolerance is {tolerance:g} nA; up to {largest:g} nA the precision {dtype} resolves {finest:.2g} nA. "
            "Take 0.001, or more digits than an electrode has."
        )


# %% [markdown]
# Each round runs the grid. The first one also shows whether the interval was chosen well: at its lower end
# the cell must be silent, and at its upper end it must fire.


# %%
def rheobase(
    model: Any, high: float, *, low: float = 0.0, cell: Any = None, duration: float = 500.0, tolerance: float = 1e-3,
    state: Any = None,
    dt: float | None = None,
) -> float:  # fmt: skip
    """Least constant current (nA), low to high, that makes a cell fire within `duration` (ms), to a tolerance (nA).

    Raises ValueError if the cell fires at `low`, or does not at `high`, and for a tolerance that the precision does
    not resolve.
    """
    low, high = ordered("current", low, high, "nA")
    tolerance = checks.positive("tolerance", tolerance, "nA")
    allocated(f"a rheobase with runs of {duration} ms", GRID * milliseconds("duration", duration) / SAMPLING)
    s = set_up_for_spikes(model, duration, state, dt)
    number = cell_number(s.model, cell)
    plausible_levels("the highest current", np.array([high]), s, number)
    resolved(tolerance, max(abs(low), abs(high)), s.model.dtype)
    while True:
        I = np.linspace(low, high, GRID)
        fires = np.array([len(times) > 0 for times in trains(s, number, I)])
        if fires[0]:
            raise ValueError(
                f"the cell fires at {low:g} nA already; the lower end must be below its threshold. Lower it, or "
                "start from rest."
            )
        if not fires[-1]:
            raise ValueError(
                f"the cell does not fire at {high:g} nA; the upper end must be above its threshold. Take a higher one."
            )
        first = int(np.argmax(fires))
        low, high = float(I[first - 1]), float(I[first])
        if high - low <= tolerance:
            return high


# %% [markdown]
# ## Input resistance
#
# At rest, and for small currents, a cell is a resistor and a capacitor side by side. After a small step has
# settled, Ohm's law $R = ΔV/ΔI$ gives the resistance. The step is negative by default, as experimenters
# prefer it: hyperpolarized, a cell opens fewer channels.
#
# The model first rests as long as the step lasts, 2 s each by default. The potential is read at three
# times: at the end of the rest, at 95% of the run, and at its end. If the last two differ by more than a
# microvolt, the cell has not settled; perhaps it fires. And if the step moves the potential by more than 30
# mV, it is no small step, and its current was probably meant in pA.

# %%
FAR = 30.0  # mV; a longer way from rest is not linear
SETTLED = 1e-3  # mV, by which a potential at rest may move


def input_resistance(
    model: Any,
    *,
    cell: Any = None,
    I: float = -0.01,
    duration: float = 2000.0,
    state: Any = None,
    dt: float | None = None,
) -> float:
    """Input resistance (MΩ) of a cell at rest, from a step of I (nA) that lasts `duration` (ms), after as long a rest.

    Raises ValueError if the potential does not settle, as in a cell that fires, and warns (UserWarning) if it goes far.
    """
    I, duration = checks.number("I", I, "nA"), milliseconds("duration", duration)
    if I == 0:
        raise ValueError("I is 0 nA; a step must change something. Take -0.01.")
    s = set_up(model, np.array([1.0, 1.9, 2.0]) * duration, state, dt, 0.0, any_model)
    number = cell_number(s.model, cell)
    plausible_levels("I", np.array([I]), s, number)
    with precision(s.model.dtype):
        current = step(I, duration + s.dt, 2 * duration + 1)(s.steps)
        rest, late, last = run(s, Drive(s.into(number, current))).states.V[:, number]
    if abs(last - late) > SETTLED:
        raise ValueError(
            f"the potential goes from {late:g} to {last:g} mV at the end of the step; it must have settled. Give the "
            "cell more time, or make it silent first."
        )
    if abs(last - rest) > FAR:
        checks.warn(f"I is {I:g} nA and moves the potential by {last - rest:.3g} mV, far from rest; a small step is "
                    "meant. If it is in pA, "
                    "multiply it by 0.001.")  # fmt: skip
    return float((last - rest) / I)


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-ohm
# At rest and for small currents a cell is a resistance. How far does that hold for the axon? Compare the
# potential reached with 0.5, 1 and 2 nA to Ohm's law.
# ```
#
# ```{solution-start} ex-ohm
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# t_ohm = np.arange(0, 200, 0.1)
# at_rest = float(axon(t_ohm).V.iloc[-1, 0])
# settled = {I: float(axon(t_ohm, I_ext=I).V.iloc[-1, 0]) - at_rest for I in (0.1, 0.5, 1.0, 2.0)}
# ratio = {I: V / (I * R) for I, V in settled.items()}
# assert abs(ratio[0.1] - 1) < 0.05 and ratio[2.0] < 0.9
# ratio

# %% [markdown]
# For a tenth of a nanoampere. With more, potassium channels open, and the resistance falls.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-jump
# Is there a current at which the axon fires at 20 Hz for as long as the current lasts? Draw its f–I curve
# around the threshold.
# ```
#
# ```{solution-start} ex-jump
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# rates = fi_curve(axon, np.linspace(2, 6, 9)).iloc[:, 0]
# assert (rates[rates > 0] > 40).all() and (rates == 0).any()
# hv.Scatter((rates.index, rates), "I (nA)", "rate (Hz)").opts(width=400, height=220, toolbar=None, size=7)

# %% [markdown]
# No: the rate jumps from 0 to more than 40 Hz. {cite:t}`HodgkinHuxley1952` describe an axon that fires fast
# or not at all.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-accommodation
# The current rises from 0 to 6 nA, far above the rheobase, and stays there. Does it matter how fast it
# rises? Let it take 5, 10, 20, 40 and 80 ms. Explain what you see by the two slow gates of the axon.
# ```
#
# ```{solution-start} ex-accommodation
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# rise_times, t_rise = [5, 10, 20, 40, 80], np.arange(0, 200, 0.1)
# risen = {T: current_clamp(axon, t_rise, Ramp((0, 6), (20, 20 + T)), state=rest) for T in rise_times}
# fired = {T: len(run.spike_times()["cell", 0]) for T, run in risen.items()}
# assert fired[5] > 3 and fired[40] == fired[80] == 0
# fired

# %% [markdown]
# It decides everything: with 20 ms the axon fires for as long as one looks, with 40 ms it never does, at
# the very same current. While the potential creeps up, sodium channels inactivate and potassium channels
# open, both within a few milliseconds, and when it has arrived, too few sodium channels are left. This is
# called *accommodation*. It is the other side of the staircase: at 6 nA the axon has two stable ways to be.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-strength-duration
# Find the least current that makes the axon fire when it lasts 0.25, 0.5, 1, 5 and 10 ms. For which of
# these is the *charge* what counts, and for which the current?
# ```
#
# ```{solution-start} ex-strength-duration
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def least(duration, low=0.0, high=50.0):
#     """Least current (nA) of a step of a duration (ms) that brings a spike, by bisection."""
#     while high - low > 0.01:
#         I = (low + high) / 2
#         pulse = current_clamp(axon, np.arange(0, 60, 0.1), step(I, 5, 5 + duration), state=rest)
#         low, high = (low, I) if len(pulse.spike_times()["cell", 0]) else (I, high)
#     return high
#
#
# strength = {T: least(T) for T in (0.25, 0.5, 1.0, 5.0, 10.0)}
# charges = {T: I * T for T, I in strength.items()}
# assert charges[0.5] / charges[0.25] < 1.05 and strength[5.0] / strength[10.0] < 1.1
# strength, charges

# %% [markdown]
# Up to a millisecond it is the charge, about 4.2 pC: it charges the 0.628 nF of the membrane by 6.6 mV
# before much of it can leak out. From 5 ms on it is the current, which nears the rheobase. In between lies
# the time constant of the membrane, $RC$ = 1.37 MΩ · 0.628 nF = 0.86 ms.
# ```{solution-end}
# ```
