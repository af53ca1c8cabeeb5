"""The staggered scheme of the package as a scalar loop over cells, compiled by numba.

This is the yardstick for speed: one circuit at a time, the same operations in the same order, the
same constants (they are read from the package's tables), each transcendental function once where
the scheme needs it, and nothing allocated in the loop. It covers circuits without gap junctions
whose populations have one cell each.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, expm1, log
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from pyloric_simulator.prinz2004 import (
    CHANNELS,
    CM2_MS_TO_US,
    CONSTANTS,
    NS_TO_US,
    Params,
    State,
)

compiled = njit(error_model="numpy", forceinline=True)

C, γ, Ca_out, Ca_rest = CONSTANTS.C, CONSTANTS.γ, CONSTANTS.Ca_out, CONSTANTS.Ca_rest
f, τ_Ca, τ_min, Ca_min = CONSTANTS.f, CONSTANTS.τ_Ca, CONSTANTS.τ_min, CONSTANTS.Ca_min

# Gates are numbered with the m of all channels first, then the h. numba compiles arrays outside of
# functions in as constants.
GATES = [c.m for c in CHANNELS if c.m] + [c.h for c in CHANNELS if c.h]
Na, CaT, CaS, A, KCa, Kd, H, leak = range(len(CHANNELS))
h_Na, h_CaT, h_CaS, h_A = range(leak, len(GATES))
E_Na, E_K, E_H, E_leak = (CHANNELS[i].E for i in (Na, Kd, H, leak))


def column(curve: str, name: str) -> np.ndarray:
    """One coefficient of a curve of all gates."""
    return np.array([getattr(getattr(gate, curve), name) for gate in GATES])


inf_slope, inf_offset = 1 / column("inf", "k1"), column("inf", "a1") / column("inf", "k1")
tau_slope, tau_offset = 1 / column("tau", "k1"), column("tau", "a1") / column("tau", "k1")
c0, c1 = column("tau", "c0"), column("tau", "c1")
TWO = np.flatnonzero(np.isfinite(column("tau", "k2")))  # gates whose τ has a second exponential
two_slope = 1 / column("tau", "k2")[TWO]
two_offset = column("tau", "a2")[TWO] * two_slope
κ, λ = column("tau", "κ")[h_Na], column("tau", "λ")[h_Na]  # only h of Na has the second factor
factor_slope = 1 / column("tau", "k3")[h_Na]
factor_offset = column("tau", "a3")[h_Na] * factor_slope
K = GATES[KCa].K
N_TWO, N_GATES = len(TWO), len(GATES)
s_slope, s_offset = -1 / CONSTANTS.Δ, CONSTANTS.V_th / CONSTANTS.Δ


class Wiring(NamedTuple):
    """A circuit as arrays; a terminal is a cell and the transmitter it releases."""

    g: np.ndarray  # (cell, channel) µS
    cell: np.ndarray  # (terminal,) cell of each terminal
    k: np.ndarray  # (terminal,) 1/ms, unbinding rate
    pre: np.ndarray  # (synapse,) terminal
    post: np.ndarray  # (synapse,) cell
    gs: np.ndarray  # (synapse,) µS
    E: np.ndarray  # (synapse,) mV, reversal potential


class Cells(NamedTuple):
    """State of the circuit, advanced in place."""

    V: np.ndarray  # (cell,) mV
    Ca: np.ndarray  # (cell,) µM
    s: np.ndarray  # (terminal,)
    x: np.ndarray  # (cell, gate)


class Work(NamedTuple):
    """Room for what lives within one step."""

    G: np.ndarray  # (cell,) µS, synaptic conductance
    J: np.ndarray  # (cell,) nA, synaptic driving current
    g_Ca: np.ndarray  # (cell,) µS, calcium conductance before the gates move
    E_Ca: np.ndarray  # (cell,) mV
    e_inf: np.ndarray  # (gate,) exponential in x∞
    e_tau: np.ndarray  # (gate,) exponential in τ
    second: np.ndarray  # (gate,) second exponential in τ, 1 where there is none
    scale: np.ndarray  # (gate,) factor of x∞, 1 but for KCa
    stretch: np.ndarray  # (gate,) factor of τ, 1 but for the h of Na


def wiring(params: Params) -> Wiring:
    """Arrays of a circuit with one cell in each population."""
    synapses = params.circuit.synapses
    terminals = sorted({(s.pre, s.transmitter) for s in synapses})
    released = [params.circuit.transmitters[i] for _, i in terminals]
    pre = np.array([terminals.index((s.pre, s.transmitter)) for s in synapses])
    return Wiring(
        np.asarray(params.g) * (CONSTANTS.A * CM2_MS_TO_US),
        np.array([cell for cell, _ in terminals]),
        np.array([t.k for t in released]),
        pre,
        np.array([s.post for s in synapses]),
        np.asarray(params.gs) * NS_TO_US,
        np.array([released[i].E for i in pre], float),
    )


def cells(params: Params, start: State) -> Cells:
    """A fresh copy of a start state."""
    terminals = sorted({(s.pre, s.transmitter) for s in params.circuit.synapses})
    s = np.array([start.s[i] for i in terminals])
    return Cells(start.V.copy(), start.Ca.copy(), s, np.concatenate([start.m, start.h], 1))


def room(n: int) -> Work:
    """Work space for n cells."""
    return Work(*np.empty((4, n)), *np.ones((5, N_GATES)))


@compiled
def calcium_conductance(g: Any, x: Any) -> Any:
    """Conductance of both calcium channels of a cell, µS."""
    CaT_open = x[CaT] * x[CaT] * x[CaT] * x[h_CaT]
    CaS_open = x[CaS] * x[CaS] * x[CaS] * x[h_CaS]
    return g[CaT] * CaT_open + g[CaS] * CaS_open


@compiled
def potentials(c: Wiring, y: Cells, w: Work, h: float) -> None:
    """Advance V by h with the rest frozen."""
    w.G[:] = 0
    w.J[:] = 0
    for i in range(len(c.gs)):
        open_ = c.gs[i] * y.s[c.pre[i]]
        w.G[c.post[i]] += open_
        w.J[c.post[i]] += open_ * c.E[i]
    for i in range(len(y.V)):
        g, x = c.g[i], y.x[i]
        w.g_Ca[i] = calcium_conductance(g, x)
        w.E_Ca[i] = γ * log(Ca_out / y.Ca[i])
        g_Na = g[Na] * (x[Na] * x[Na] * x[Na]) * x[h_Na]
        g_A = g[A] * (x[A] * x[A] * x[A]) * x[h_A]
        KCa2, Kd2 = x[KCa] * x[KCa], x[Kd] * x[Kd]
        g_K = g_A + g[KCa] * (KCa2 * KCa2) + g[Kd] * (Kd2 * Kd2)
        g_H = g[H] * x[H]
        G = w.G[i] + g_Na + w.g_Ca[i] + g_K + g_H + g[leak]
        J = w.J[i] + w.g_Ca[i] * w.E_Ca[i] + g_Na * E_Na + g_K * E_K + g_H * E_H + g[leak] * E_leak
        G, J = G / C, J / C
        z = h * G
        φ = 1 - z / 2 + z * z / 6 if z < 1e-4 else -expm1(-z) / z
        y.V[i] += (J - G * y.V[i]) * h * φ


@compiled
def calcium_half_step(Ca: float, g_Ca: float, E_Ca: float, V: float, h: float) -> Any:
    """Calcium after a time h, linearly implicit, with the gates as they are."""
    slope = -(f * g_Ca * (V - E_Ca) + Ca - Ca_rest) / τ_Ca
    jacobian = -(f * g_Ca * γ / Ca + 1) / τ_Ca
    return max(Ca + h * slope / (1 - h / 2 * jacobian), Ca_min)


@compiled
def covered(r: float) -> Any:
    """1 − e^(−r) to fourth order, as in the package."""
    q = r * (1 + r * (1 / 2 + r * (1 / 6 + r / 24)))
    return q / (1 + q)


@compiled
def covered_exactly(r: float) -> Any:
    """1 − e^(−r), as in ordinary codes."""
    return -expm1(-r)


@compiled
def exponentials(V: float, Ca: float, w: Work) -> None:
    """What the curves of the gates need."""
    for j in range(N_GATES):
        w.e_inf[j] = exp(V * inf_slope[j] + inf_offset[j])
    for j in range(N_GATES):
        w.e_tau[j] = exp(V * tau_slope[j] + tau_offset[j])
    for j in range(N_TWO):
        w.second[TWO[j]] = exp(V * two_slope[j] + two_offset[j])
    w.scale[KCa] = Ca / (Ca + K)
    w.stretch[h_Na] = κ + λ / (1 + exp(V * factor_slope + factor_offset))


def scheme(share: Callable[[float], Any], nogil: bool = False) -> Any:
    """The compiled run; `share` is `covered` or `covered_exactly`; `nogil` lets several threads run at once."""

    @compiled
    def synapses(c: Wiring, y: Cells, dt: float) -> None:
        for i in range(len(y.s)):
            e = exp(y.V[c.cell[i]] * s_slope + s_offset)
            s_inf = 1 / (1 + e)
            τ = max(e * s_inf / c.k[i], τ_min)
            y.s[i] += (s_inf - y.s[i]) * share(dt / τ)

    @compiled
    def gates_and_calcium(c: Wiring, y: Cells, w: Work, dt: float) -> None:
        synapses(c, y, dt)
        for i in range(len(y.V)):
            V, Ca, x = y.V[i], y.Ca[i], y.x[i]
            Ca = calcium_half_step(Ca, w.g_Ca[i], w.E_Ca[i], V, dt / 2)
            exponentials(V, Ca, w)
            for j in range(N_GATES):
                τ = (c0[j] + c1[j] / (w.e_tau[j] + w.second[j])) * w.stretch[j]
                inf = w.scale[j] / (1 + w.e_inf[j])
                x[j] += (inf - x[j]) * share(dt / τ)
            g_Ca = calcium_conductance(c.g[i], x)
            y.Ca[i] = calcium_half_step(Ca, g_Ca, γ * log(Ca_out / Ca), V, dt / 2)

    @njit(error_model="numpy", nogil=nogil)
    def run(c: Wiring, y: Cells, w: Work, out: Cells, blocks: int, n: int, dt: float) -> None:
        """Fill `out` (time, …) with the states after each of `blocks` blocks of `n` steps."""
        for block in range(blocks):
            potentials(c, y, w, dt / 2)
            gates_and_calcium(c, y, w, dt)
            for _ in range(n - 1):
                potentials(c, y, w, dt)
                gates_and_calcium(c, y, w, dt)
            potentials(c, y, w, dt / 2)
            out.V[block], out.Ca[block], out.s[block], out.x[block] = y.V, y.Ca, y.s, y.x

    return run


staggered = scheme(covered)
staggered_exactly = scheme(covered_exactly)
staggered_nogil = scheme(covered, nogil=True)


def simulate(run: Any, params: Params, start: State, blocks: int, n: int, dt: float) -> Cells:
    """States after each block of n steps, shape (time, …)."""
    y = cells(params, start)
    out = Cells(*(np.empty((blocks, *x.shape)) for x in y))
    run(wiring(params), y, room(len(y.V)), out, blocks, n, dt)
    return out
