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
# # Phase response
#
# A rhythmic cell is pushed about by its inputs. How does a brief one shift its rhythm? This chapter measures it for a cell of any circuit or
# network, and for equations of one's own.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %%
from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..engine import checks
from ..fitting.sensitivity import no_resets
from ..models.networks import any_model, has_potential
from ..prinz2004 import DEFAULT_DT, DEFAULT_SOLVER, Model, precision
from ..rhythm import GAP, begun, bursts, spikes
from .protocols import EDGE, allocated, cell_number, constant_current, membrane_of, milliseconds

__all__ = ["phase_response"]

# %% [markdown]
# ## The phase response curve
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
# input at every step, and its derivative with respect to all of them comes from one run backward, by the
# adjoint. It is the limit of small pulses, at all phases at once. Both are those of the scheme with its step. With steps of 0.05 ms the curve of the axon below is off by up to 5% of its largest value, against steps of 0.0125 ms, near its zero at the phase 0.7 by 11% of its own; with
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


def event_times(t: np.ndarray, V: np.ndarray, events: str, level: float) -> np.ndarray:
    """Times (ms) at which spikes rise through a level (mV), all of them or the first ones of bursts."""
    x = spikes(t, V, threshold=level, kind="crossings")
    return x if events == "spikes" else begun(bursts(x), (t[0], t[-1]))[:, 0]


def rise(t: Array, V: Array, level: float) -> Array:
    """First time (ms) at which V (time,), at equally spaced times t, rises through a level (mV), with its derivative."""
    up = (V[1:-2] <= level) & (V[2:-1] > level)
    i = 1 + jnp.argmax(up)
    a, b, c, d = (V[i + k] for k in (-1, 0, 1, 2))
    cubic = lambda f: b - level + f / 2 * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))  # noqa: E731
    newton = lambda f: f - cubic(f) / lax.stop_gradient(jax.grad(cubic)(f))  # noqa: E731
    f = lax.stop_gradient((level - b) / (c - b))
    for _ in range(NEWTON):
        f = lax.stop_gradient(newton(f))
    return jnp.where(up.any(), t[i] + newton(f) * (t[1] - t[0]), jnp.nan)


NEWTON = 4  # steps, after a start on the straight line


def find_rhythm(
    model: Any, number: int, events: str, cycles: int, transient: float, state: Any, dt: float, I_ext: Any, level: float
) -> Rhythm:
    """The rhythm of a cell after a transient (ms)."""
    allocated(f"a search for a rhythm in {2 * transient:g} ms", 2 * transient / dt * len(model.rows))
    t = np.arange(0, 2 * transient + dt / 2, dt)
    V = model(t, I_ext, state=state, dt=dt).states.V[:, number]
    found = event_times(t, V, events, level)
    found = found[found > transient]
    if len(found) < cycles + 2:
        raise ValueError(
            f"the cell has {len(found)} {events} in {transient:g} ms; there must be {cycles + 2} for its period. Take another cell or event, "
            "or a longer transient."
        )
    k = int(found[0] / dt)
    before = model(t[: k + 1], I_ext, state=state, dt=dt)
    wait = np.diff(found).min() / 2 if events == "spikes" else GAP / 2
    period, last = float(np.diff(found[: cycles + 1]).mean()), float(found[cycles] - t[k])
    return Rhythm(before.final_state, float(t[k]), period, last, float(wait))


def last_event(
    model: Any, rhythm: Rhythm, number: int, I_0: Array, dt: float, level: float
) -> tuple[Callable[[Any], Array], int]:
    """The time (ms, from t0) of the n-th event as a function of an additional input, (step, cell) or a function of time (ms, from t0).

    And the number of steps. That is a square, and the record begins at a multiple of its root, so that all segments of the adjoint are alike.
    """
    first, end = (int((rhythm.last + x * rhythm.wait) / dt) for x in (-1, 1))
    length = math.isqrt(end) + 1
    t = dt * np.arange(max(first, 0) // length * length, length**2 + 1)

    def time(I: Any) -> Array:
        total = (lambda t: I_0 + I(t)) if callable(I) else I_0 + I
        V = model.trajectory(model.params, rhythm.start, t, total, dt=dt).V[:, number]
        return rise(jnp.asarray(t), V, level)

    return time, length**2


def phase_response(
    model: Any, *, cell: Any = None, events: str = "spikes", method: str = "adjoint", phases: Any = PHASES, cycles: int = 3,
    charge: float = 0.01, width: float = 1.0, transient: float = 1000.0, I_ext: Any = 0.0, state: Any = None, dt: float = DEFAULT_DT,
    level: float = LEVEL,
) -> pd.Series:  # fmt: skip
    """Phase response (1/pC) of a cell that fires or bursts periodically; index: phase of the input, from 0 to 1.

    events: "spikes" or "bursts". method: "pulses" of a charge (pC) and a width (ms), or "adjoint", the limit of small pulses of this width.
    cycles: after which the shift is read. transient: ms, before and for the search for a rhythm. I_ext: constant, nA, for all cells or for
    each. level: mV, through which a spike rises. Of a `Neuron` charges are in the unit of its input times ms. Raises ValueError if the cell
    has no such rhythm, or is reset where it spikes.
    """
    checks.choice("method", method, ("adjoint", "pulses"))
    checks.choice("events", events, EVENTS)
    x, cycles = checks.levels("phases", phases, "cycles"), checks.count("cycles", cycles)
    checks.throughout("phases", x, (x >= 0) & (x < 1), "they go from 0 to below 1. Subtract whole cycles.")
    dt = checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    width, transient = at_least_a_step("width", width, dt), milliseconds("transient", transient)
    model, level = has_potential(any_model(model)), checks.number("level", level, "mV")
    no_resets(
        model, "a spike is where the potential rises", "Shift the input of `LIF(…)(t, I_ext)` and compare `spike_times`"
    )
    number, I_ext = cell_number(model, cell), constant_current("I_ext", I_ext, model)
    charge = charge_of_a_pulse(
        charge, float(membrane_of(model, number).constants.C) if isinstance(model, Model) else math.inf
    )
    found = find_rhythm(model, number, events, cycles, transient, state, dt, I_ext, level)
    shorter("width", width, found.period)
    with precision(model.dtype):
        I_0 = jnp.asarray(I_ext, model.dtype)
        mine = jnp.zeros(len(I_0), I_0.dtype).at[number].set(1)
        time, steps = last_event(model, found, number, I_0, dt, level)
        starts = np.rint(x * found.period / dt).astype(int)
        pulses = partial(by_pulses, time, starts * dt, mine, charge, width)
        adjoint = partial(by_adjoint, time, steps, starts, mine, max(1, round(width / dt)), dt)
        Z = np.asarray((pulses if method == "pulses" else adjoint)()) / found.period
    return pd.Series(Z, pd.Index(x, name="phase"), name="phase response")


def shorter(what: str, time: float, period: float) -> None:
    """Refuse a time (ms) longer than a period."""
    if time > period:
        raise ValueError(
            f"{what} is {time:g} ms, longer than the period of {period:.4g} ms; a pulse has a phase. Take a shorter one."
        )


def at_least_a_step(what: str, time: Any, dt: float) -> float:
    """A time (ms) that is not shorter than a step."""
    time = checks.positive(what, time, "ms")
    if time < dt * (1 - EDGE):
        raise ValueError(
            f"{what} is {time:g} ms; it must be at least a step of dt = {dt:g} ms. Take a longer one, or a smaller dt."
        )
    return time


MOST_MV = 50.0  # mV; a pulse that alone moves a cell further is not brief and weak


def charge_of_a_pulse(charge: Any, C: float) -> float:
    """The charge (pC) of a pulse into a cell of C nF, infinite where it is not known."""
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


def by_adjoint(
    time: Callable[[Any], Array], steps: int, starts: np.ndarray, mine: Array, width: int, dt: float
) -> np.ndarray:
    """Advance (ms/pC) of the last event by a small input over `width` steps from each of `starts`, from one derivative."""
    slope = np.asarray(jax.jit(jax.grad(lambda I: time(I[:, None] * mine)))(jnp.zeros(steps + 1, mine.dtype)))
    total = np.append(0.0, np.cumsum(slope))
    return -(total[starts + width] - total[starts]) / (width * dt)


# %% [markdown]
# First the axon, then the pacemaker of a circuit whose rhythm is regular: the current into AB/PD shifts the next bursts of the whole circuit.

# %% tags=["active-ipynb"]
# import numpy as np
#
# from ..models.networks import Cell
# from ..models.channels import HodgkinHuxley1952 as HH
# from .phase_response import phase_response
# from ..prinz2004 import Prinz2004, neuron_models
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
