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
# The electrode injects a current into a cell of any model, and the potential is recorded. Two numbers sum up how a cell answers: its rheobase, the
# least current at which it fires, and its input resistance at rest; its f–I curve says more.
#
# Below, the pacemaker of the circuit gets a weak current that oscillates faster and faster. The circuit follows for six seconds, until a burst comes
# too early. Then LP, no longer inhibited, fires on and silences the others: the second rhythm of this circuit, from the chapter on rhythms.

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


# %%
def current_clamp(
    model: Any, t: Any, I_ext: Any, *, state: Any = None, dt: float | None = None, t0: float = 0.0
) -> Any:
    """Inject currents (nA) and record at the times t (ms): a result of the model.

    I_ext: a protocol for all cells, a mapping label -> protocol, or as in a call of a model. state: start. Raises ValueError or
    TypeError before anything is compiled, for protocols with times outside the run, too.
    """
    s = set_up(model, t, state, dt, t0, any_model)
    with precision(s.model.dtype):
        return run(s, Drive(injected(s, I_ext)))


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "A single LP cell: a step of −0.5 nA and a ramp to 4 nA.", "name": "fig-current-clamp"}}
# lp, t = Prinz2004({"LP 2": 1}, gs={}, ge=0), np.arange(0, 3000, 0.5)
# hv.Layout([current_clamp(lp, t, p).plot() for p in (step(-0.5, 1000, 2000), Ramp((0, 4), (500, 2500)))]).cols(1)

# %% [markdown]
# ## Firing rate and current
#
# The f–I curve takes one run for all currents: a batch of cells that start alike. Where a cell can be silent *or*
# fire at the same current, the answer depends on the past. A *staircase* goes up and comes down again
# without a new start, and tells both rates. The axon of {cite:t}`HodgkinHuxley1952` has such a range.

# %%
SAMPLING = 0.1  # ms, at which spikes are looked for


@partial(jax.jit, static_argnames=("cell", "grid", "dt", "in_turn"))
def potentials(
    params: Params, start: State, I: Array, *, cell: int, grid: Grid, dt: float, in_turn: bool = False
) -> Array:
    """Potential of a cell (current, time) at constant currents I (current, cell) nA, each from the start, or in turn."""

    def run(y: State, I: Array) -> tuple[State, Array]:
        ys = integrate(params, y, I, None, grid=grid, solver=DEFAULT_SOLVER, dt=dt, t0=0.0, record=("V",))
        return jax.tree.map(lambda x: x[-1], ys), ys.V[:, cell]

    return lax.scan(run, start, I)[1] if in_turn else jax.vmap(lambda I: run(start, I)[1])(I)


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


def set_up_for_spikes(model: Any, duration: float, state: Any, dt: float | None) -> Setup:
    """An experiment in which spikes are looked for, during `duration` (ms)."""
    s = set_up(model, np.arange(0, duration, SAMPLING), state, dt, 0.0, any_model)
    checks.on_steps(s.t, 0.0, s.dt, s.slots is None)
    return s


def rate_of(times: np.ndarray, transient: float) -> float:
    """Rate (Hz) of spikes (ms) after a transient (ms), from the mean interval; 0 with fewer than two."""
    times = times[times >= transient]
    return float(MS_PER_S / np.diff(times).mean()) if len(times) > 1 else 0.0


def fi_curve(
    model: Any, currents: Any, *, cell: Any = None, staircase: bool = False, duration: float = 1000.0, transient: float = 200.0,
    state: Any = None, dt: float | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rate (Hz) of a cell at constant currents (nA); index: the currents, column: "rate", with staircase "up" and "down".

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


# %% tags=["active-ipynb"]
# from ..models.networks import Cell
# from ..models.channels import HodgkinHuxley1952 as HH
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
# ## Rheobase and input resistance
#
# The *rheobase* is the least current that brings a spike within a given time. A grid of currents is run at once, and
# the interval in which the first of them fires is divided again. The input resistance $R = ΔV/ΔI$ is taken at
# rest, from the potential to which a small negative step leads.

# %%
GRID = 16  # currents that are tried at once


def rheobase(
    model: Any, high: float, *, low: float = 0.0, cell: Any = None, duration: float = 500.0, tolerance: float = 1e-3, state: Any = None,
    dt: float | None = None,
) -> float:  # fmt: skip
    """Least constant current (nA) between low and high that makes a cell fire within `duration` (ms), to a tolerance (nA).

    Raises ValueError if the cell fires at `low`, or does not at `high`, and for a tolerance that the precision does not resolve.
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
                f"the cell fires at {low:g} nA already; the lower end must be below its threshold. Lower it, or start from rest."
            )
        if not fires[-1]:
            raise ValueError(
                f"the cell does not fire at {high:g} nA; the upper end must be above its threshold. Take a higher one."
            )
        first = int(np.argmax(fires))
        low, high = float(I[first - 1]), float(I[first])
        if high - low <= tolerance:
            return high


def resolved(tolerance: float, largest: float, dtype: str) -> None:
    """A tolerance (nA) for currents up to a size (nA) that numbers of a precision resolve."""
    finest = GRID * largest * float(np.finfo(dtype).eps)
    if tolerance < finest:
        raise ValueError(
            f"tolerance is {tolerance:g} nA; up to {largest:g} nA the precision {dtype} resolves {finest:.2g} nA. Take 0.001, or more digits than "
            "an electrode has."
        )


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
            f"the potential goes from {late:g} to {last:g} mV at the end of the step; it must have settled. Give the cell more time, or "
            "make it silent first."
        )
    if abs(last - rest) > FAR:
        checks.warn(f"I is {I:g} nA and moves the potential by {last - rest:.3g} mV, far from rest; a small step is meant. If it is in pA, "
                    "multiply it by 0.001.")  # fmt: skip
    return float((last - rest) / I)


FAR = 30.0  # mV; a longer way from rest is not linear
SETTLED = 1e-3  # mV, by which a potential at rest may move


# %% tags=["active-ipynb"]
# threshold, R = rheobase(axon, 10, state=rest), input_resistance(axon, state=rest)
# print(f"rheobase {threshold:.3f} nA, input resistance {R:.3f} MΩ")

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-ohm
# At rest and for small currents a cell is a resistance. How far does that hold for the axon? Compare the potential reached with 0.5, 1 and 2 nA to Ohm's law.
# ```
#
# ```{solution-start} ex-ohm
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# settled = {I: float(axon(np.arange(0, 200, 0.1), I_ext=I).V.iloc[-1, 0] - axon(np.arange(0, 200, 0.1)).V.iloc[-1, 0]) for I in (0.1, 0.5, 1.0, 2.0)}
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
# Is there a current at which the axon fires at 20 Hz for as long as the current lasts? Draw its f–I curve around the threshold.
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
# No: the rate jumps from 0 to more than 40 Hz. {cite:t}`HodgkinHuxley1952` describe an axon that fires fast or not at all.
# ```{solution-end}
# ```
