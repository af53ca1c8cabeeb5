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
# A rhythmic cell is pushed about by its inputs. How does a brief one shift its rhythm? That depends on when
# it comes. A push just before a {term}`spike` makes the spike come sooner, one just after it hardly
# matters, and one in between may even delay the next. The curve that says by how much is the *phase
# response curve*. With it one predicts whether two rhythms fall into step.
#
# Below, it is measured for the axon, and for the {term}`pacemaker` of a circuit whose rhythm is regular, in
# two ways: by pulses, as an experimenter does it, and by a derivative.

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
# from ..models.channels import HodgkinHuxley1952 as HH
# from ..models.networks import Cell
# from ..prinz2004 import Prinz2004, neuron_models
# from .phase_response import phase_response
#
# axon, ways = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3), ("adjoint", "pulses")
# spiking = dict(I_ext=6.28, charge=0.002, width=0.5, transient=300)
# of_axon = {m: phase_response(axon, method=m, **spiking) for m in ways}
# gs = {("AB", "LP"): 30, ("PD", "LP"): 30, ("AB", "PY"): 10, ("PD", "PY"): 3,
#       ("LP", "AB/PD"): 10, ("LP", "PY"): 1, ("PY", "LP"): 30}
# regular = Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, gs, neuron_models.loc[["AB/PD 2", "LP 3", "PY 1"]])
# bursting = dict(cell="AB/PD", events="bursts", charge=0.01, transient=5000, cycles=1)
# of_circuit = {m: phase_response(regular, method=m, **bursting) for m in ways}
# for x in (of_axon, of_circuit):
#     assert np.allclose(x["pulses"], x["adjoint"], atol=0.05 * abs(x["adjoint"]).max())

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Phase response of the axon's spikes, and of the pacemaker's bursts in the circuit: by the adjoint (line) and by pulses (dots).", "name": "fig-prc"}}
# line = lambda x: hv.Curve((x.index, x), "phase", "advance (cycles/pC)")
# dots = lambda x: hv.Scatter((x.index, x)).opts(color="black", size=4)
# panels = [(line(x["adjoint"]) * dots(x["pulses"])).opts(title=name, show_legend=False)
#           for name, x in (("axon", of_axon), ("circuit", of_circuit))]
# hv.Layout(panels).opts(hv.opts.Curve(width=330, height=230)).cols(2)

# %% [markdown]
# Both curves are zero at first. After a spike the axon is refractory, and during its {term}`burst` the
# pacemaker is busy with its own currents, so that a charge is forgotten before the next event. Then the
# axon has a part where depolarization *delays*: at the phase 0.55 the charge itself leaks away before the
# spike, and what is left is what it did to the slow gates: fewer sodium channels available, more potassium
# channels open. Only in the last third of the cycle does it advance the spike, by 0.054 cycles per pC at
# most. The pacemaker, whose cycle lasts 1.69 s, is most sensitive at the phase 0.85, where 1 pC advances
# its next burst, and with it that of the whole circuit, by 0.022 cycles or 38 ms.
#
# ## What it does
#
# `phase_response(model, cell=..., ...)` returns a Series: the advance in cycles per pC (1/pC) at each phase
# from 0 to 1. A positive value means that a depolarizing charge makes the next events come sooner. The cell
# may be one of any circuit or network, or equations of one's own; it has to fire or burst *periodically*,
# if need be with a constant current `I_ext` for all cells. `events` says whether the events are spikes or
# the starts of bursts. `method="pulses"` gives real pulses of a `charge` and a `width`, and
# `method="adjoint"` the limit of small ones.
#
# Take `pulses` to see what a strong pulse does, which the limit does not tell. For the limit, the adjoint
# has the answer at all phases after one run forward and one backward, where pulses need a run for each
# phase. A cell that is reset, such as an integrate-and-fire cell, has no such curve by these means.

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
# A brief current into a cell that fires periodically shifts all its later spikes. By how much depends on
# the phase $φ$ at which it comes: the phase response curve is
#
# $$
# Z(φ) = \frac{1}{q}\, \frac{T_n - T_n'(φ)}{T},
# $$ (eq-prc)
#
# where a charge $q$ at the phase $φ$ of the first cycle moves the $n$-th event from $T_n$ to $T_n'$, and
# $T$ is the period. Positive values advance. An event is a spike, or the start of a burst; $n$ is large
# enough for the cycle to be reached again. Why not the first event? A pulse leaves the cell beside its
# cycle, and while it finds its way back, its intervals are still changing. What remains after that is the
# shift.
#
# Charges are in pC, since a current in nA times a time in ms is a charge in pC. One pC brings the 0.628 nF
# of a cell up by 1.6 mV at once.
#
# What is the curve good for? Small inputs add up. A current $I(t)$ advances the rhythm in a cycle by
#
# $$
# Δφ = \int_0^T Z(t/T)\, I(t)\, dt,
# $$ (eq-shift)
#
# whatever it comes from: a pulse, a synapse, a slow drift. A steady current, for instance, changes the
# period by $-T^2\, ΔI\, \bar Z$ with the mean $\bar Z$ of the curve, which an exercise tests. That is how
# phase response curves predict locking without any simulation of two cells.
#
# ## Events
#
# A `Rhythm` is a periodic cell at one of its events: the state just before it, its time, the period, and
# how long it takes to the $n$-th event that is looked at. An event is where the potential rises through −10
# mV, whether or not there is an interesting maximum afterwards: a crossing moves smoothly with the input,
# and that is what a derivative needs. Of a burst it is the first such crossing; what a burst is says the
# [chapter on rhythms](../rhythm.py).


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


# %% [markdown]
# $T_n$ is where the potential rises through a level, between two samples. A straight line between them
# would not do: while a spike moves from one sample to the next, its crossing would run ahead and fall
# behind by some per cent of the way. A cubic through four samples $a, b, c, d$ does not. It passes through
# $b$ and $c$, with the slopes $(c - a)/2$ and $(d - b)/2$ there, and is smooth where one cubic follows
# another.
#
# Its root comes from Newton's method, which starts on the straight line and takes four steps. Their
# derivative is of no interest, and is stopped. Only the last step carries one, and that is exactly what the
# implicit function theorem says: if the potential at the crossing changes by $δV$, the crossing moves by
# $-δV/\dot V$.

# %%
NEWTON = 4  # steps, after a start on the straight line


def rise(t: Array, V: Array, level: float) -> Array:
    """First time (ms) at which V (time,), at equally spaced times t, rises through a level (mV); differentiable."""
    up = (V[1:-2] <= level) & (V[2:-1] > level)
    i = 1 + jnp.argmax(up)
    a, b, c, d = (V[i + k] for k in (-1, 0, 1, 2))
    bend, twist = 2 * a - 5 * b + 4 * c - d, 3 * (b - c) + d - a
    cubic = lambda f: b - level + f / 2 * (c - a + f * (bend + f * twist))  # noqa: E731
    newton = lambda f: f - cubic(f) / lax.stop_gradient(jax.grad(cubic)(f))  # noqa: E731
    f = lax.stop_gradient((level - b) / (c - b))
    for _ in range(NEWTON):
        f = lax.stop_gradient(newton(f))
    return jnp.where(up.any(), t[i] + newton(f) * (t[1] - t[0]), jnp.nan)


# %% [markdown]
# The rhythm is looked for after a transient, in a run of twice its length. There have to be enough events
# for a period, which is the mean of a few cycles. Then the run is repeated up to the step before the first
# event, and its state is where all experiments begin: at the phase 0, less than a step away.
#
# How long before the $n$-th event does one begin to look for it, so that no other is taken for it? For
# spikes half of the shortest interval; for bursts half of the silence of 150 ms that separates two bursts.
# An event that a strong pulse moves further than that is lost, and the result is NaN.


# %%
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
            f"the cell has {len(found)} {events} in {transient:g} ms; there must be {cycles + 2} for its period. "
            "Take another cell or event, or a longer transient."
        )
    k = int(found[0] / dt)
    before = model(t[: k + 1], I_ext, state=state, dt=dt)
    wait = np.diff(found).min() / 2 if events == "spikes" else GAP / 2
    period, last = float(np.diff(found[: cycles + 1]).mean()), float(found[cycles] - t[k])
    return Rhythm(before.final_state, float(t[k]), period, last, float(wait))


# %% [markdown]
# The time of the $n$-th event is a function of the input at all steps, and here it becomes one: the input
# is added to the constant current, the model runs, and `rise` finds the crossing. What is recorded is the
# window around the expected event, at each step.
#
# The [adjoint](../fitting/adjoint.py) goes back through a run in segments, of which it keeps the beginnings
# only. So $n$ steps in $\sqrt n$ segments of $\sqrt n$ steps need the memory of $2\sqrt n$ states. The
# number of steps is rounded up to a square, and all segments are alike, so that one piece of compiled code
# serves them all.


# %%
def last_event(
    model: Any, rhythm: Rhythm, number: int, I_0: Array, dt: float, level: float
) -> tuple[Callable[[Any], Array], int]:
    """The time (ms, from t0) of the n-th event as a function of an additional input, and the number of steps.

    The input is (step, cell) or a function of time (ms, from t0). The number of steps is a square, and the record
    begins at a multiple of its root, so that all segments of the adjoint are alike.
    """
    first, end = (int((rhythm.last + x * rhythm.wait) / dt) for x in (-1, 1))
    length = math.isqrt(end) + 1
    t = dt * np.arange(max(first, 0) // length * length, length**2 + 1)

    def time(I: Any) -> Array:
        total = (lambda t: I_0 + I(t)) if callable(I) else I_0 + I
        V = model.trajectory(model.params, rhythm.start, t, total, dt=dt).V[:, number]
        return rise(jnp.asarray(t), V, level)

    return time, length**2


# %% [markdown]
# ## Two ways
#
# One way is the experimenter's: a pulse at each of many phases, all runs in one batch, and a run without
# any pulse to compare. A pulse of the charge $q$ and the width $w$ is the current $q/w$ for the time $w$.
#
# The other is a derivative. $T_n$ is a function of the input at every step, and its derivative with respect
# to all of them comes from one run backward, by the adjoint. It is the limit of small pulses, at all phases
# at once. A pulse that lasts several steps is the sum of the derivatives at these steps, times $dt$ for the
# charge; the sums for all starts come from one cumulative sum. The sign is turned, because an event that
# comes earlier has an advance.
#
# Both are those of the scheme with its step. With steps of 0.05 ms the curve of the axon is off by up to 5%
# of its largest value, against steps of 0.0125 ms, near its zero at the phase 0.7 by 11% of its own; with
# 0.025 ms by up to 0.6% and 1%. Who needs the curve of a fast cell to a percent takes the smaller step.


# %%
def by_pulses(time: Callable[[Any], Array], starts: np.ndarray, mine: Array, charge: float, width: float) -> Array:
    """Advance (ms/pC) of the last event by a pulse at each start (ms)."""

    def pulse(start: Any) -> Callable[[Any], Array]:
        return lambda t: jnp.where((t >= start - EDGE) & (t < start + width - EDGE), charge / width, 0.0) * mine

    later = jax.jit(jax.vmap(lambda start: time(pulse(start))))(jnp.asarray(starts))
    return (jax.jit(lambda: time(jnp.zeros_like(mine)))() - later) / charge


def by_adjoint(
    time: Callable[[Any], Array], steps: int, starts: np.ndarray, mine: Array, width: int, dt: float
) -> np.ndarray:
    """Advance (ms/pC) of the last event by a small input over `width` steps from each of `starts`: one derivative."""
    slope = np.asarray(jax.jit(jax.grad(lambda I: time(I[:, None] * mine)))(jnp.zeros(steps + 1, mine.dtype)))
    total = np.append(0.0, np.cumsum(slope))
    return -(total[starts + width] - total[starts]) / (width * dt)


# %% [markdown]
# ## What is refused
#
# A pulse shorter than a step would not be seen, one longer than the period has no phase, and one without
# charge shifts nothing. A charge that alone moves the cell by more than 50 mV makes it fire at any time:
# that is a warning, since it may be meant, or else a number in fC.


# %%
def shorter(what: str, time: float, period: float) -> None:
    """Refuse a time (ms) longer than a period."""
    if time > period:
        raise ValueError(
            f"{what} is {time:g} ms, longer than the period of {period:.4g} ms; a pulse has a phase. Take a shorter "
            "one."
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
            f"charge is {charge:g} pC, which alone moves the potential by {charge / C:.3g} mV; a phase response is "
            "that to a small pulse. If it is in fC, multiply it by 0.001."
        )
    return charge


# %% [markdown]
# ## The measurement
#
# In order: check the arguments, find the rhythm, make the function that gives the time of the last event,
# and ask it in one of the two ways. What comes out is in ms per pC, and is divided by the period.


# %%
def phase_response(
    model: Any, *, cell: Any = None, events: str = "spikes", method: str = "adjoint", phases: Any = PHASES,
    cycles: int = 3,
    charge: float = 0.01, width: float = 1.0, transient: float = 1000.0, I_ext: Any = 0.0, state: Any = None,
    dt: float = DEFAULT_DT,
    level: float = LEVEL,
) -> pd.Series:  # fmt: skip
    """Phase response (1/pC) of a cell that fires or bursts periodically; index: phase of the input, from 0 to 1.

    events: "spikes" or "bursts". method: "pulses" of a charge (pC) and a width (ms), or "adjoint", the limit of small
    pulses of this width. cycles: after which the shift is read. transient: ms, before and for the search for a
    rhythm. I_ext: constant, nA, for all cells or for each. level: mV, through which a spike rises. Of a `Neuron`
    charges are in the unit of its input times ms. Raises ValueError if the cell has no such rhythm, or is reset where
    it spikes.
    """
    checks.choice("method", method, ("adjoint", "pulses"))
    checks.choice("events", events, EVENTS)
    x, cycles = checks.levels("phases", phases, "cycles"), checks.count("cycles", cycles)
    checks.throughout("phases", x, (x >= 0) & (x < 1), "they go from 0 to below 1. Subtract whole cycles.")
    dt = checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    width, transient = at_least_a_step("width", width, dt), milliseconds("transient", transient)
    model, level = has_potential(any_model(model)), checks.number("level", level, "mV")
    cure = "Shift the input of `LIF(…)(t, I_ext)` and compare `spike_times`"
    no_resets(model, "a spike is where the potential rises", cure)
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


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-prc-period
# A steady current is a pulse at all phases. By {eq}`eq-shift` a small additional current $ΔI$ changes the
# period by $-T^2\, ΔI\, \bar Z$. The axon fires with a period of 14.65 ms at 6.28 nA. Predict its period at
# 6.33 nA from the curve, then measure it.
# ```
#
# ```{solution-start} ex-prc-period
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from .current_clamp import current_clamp
#
#
# def period_at(I):
#     """Period (ms) of the axon at a current (nA)."""
#     times = current_clamp(axon, np.arange(0, 1000, 0.05), I).spike_times()["cell", 0]
#     return float(np.diff(times[times > 500]).mean())
#
#
# T = period_at(6.28)
# predicted, measured = -(T**2) * 0.05 * of_axon["adjoint"].mean(), period_at(6.33) - T
# assert abs(predicted / measured - 1) < 0.1
# predicted, measured  # ms

# %% [markdown]
# It gets shorter by 0.044 ms by the prediction, and by 0.042 ms in the experiment. The delays of the middle
# of the cycle and the advances of its end nearly cancel, which is why the frequency of this axon hardly
# grows with the current.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-prc-strength
# How small is small? Give the axon charges of 0.02, 0.2 and 2 pC at the phase 0.8, and compare the advance
# per pC with the limit.
# ```
#
# ```{solution-start} ex-prc-strength
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# at_08 = lambda q: phase_response(axon, method="pulses", phases=[0.8], **(spiking | {"charge": q})).iloc[0]
# strong = {q: at_08(q) for q in (0.02, 0.2, 2.0)}
# limit = of_axon["adjoint"].loc[0.8]
# assert abs(strong[0.02] / limit - 1) < 0.02 and strong[2.0] < 0.8 * limit
# {q: Z / limit for q, Z in strong.items()}

# %% [markdown]
# Up to 0.2 pC, or 0.3 mV, the limit holds to a few per cent. With 2 pC, 3 mV, the advance per pC has fallen
# to two thirds: a pulse can do no more than bring the spike at once.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-entrain
# A pulse of 0.5 pC comes again and again, with a period $T'$ of its own. Each pulse advances the axon by
# $0.5\,Z(φ)$ cycles, and for the two rhythms to stay in step this must make up for $(T - T')/T$ at some
# phase. For which $T'$ can that be? Try $T - 0.3$ and $T - 0.6$ ms.
# ```
#
# ```{solution-start} ex-entrain
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# import jax.numpy as jnp
#
# fastest = T * (1 - 0.5 * of_axon["adjoint"].max())
#
#
# def interval_with(every):
#     """Mean interval (ms) between spikes of the axon with a pulse of 0.5 pC every so many ms."""
#     train = lambda t: 6.28 + jnp.where(jnp.mod(t, every) < 0.5, 1.0, 0.0)
#     times = current_clamp(axon, np.arange(0, 1500, 0.05), train).spike_times()["cell", 0]
#     return float(np.diff(times[times > 1000]).mean())
#
#
# found = {every: interval_with(every) for every in (T - 0.3, T - 0.6)}
# assert fastest < T - 0.3 and abs(found[T - 0.3] - (T - 0.3)) < 1e-3 and abs(found[T - 0.6] - (T - 0.6)) > 0.1
# fastest, found

# %% [markdown]
# The largest advance of a pulse is 0.027 cycles, or 0.40 ms. So the axon follows pulses that come 0.3 ms
# faster than itself, spike by spike, at the phase where the pulse advances it by just as much. It cannot
# follow those that come 0.6 ms faster; they run through all phases, help and hinder in turn, and the mean
# interval is nearly its own. The stable phase is on the *falling* side of the curve: a pulse that comes too
# late there advances less, so that the next comes earlier in the cycle.
# ```{solution-end}
# ```
