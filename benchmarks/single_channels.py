"""How often patches of the axon of Hodgkin and Huxley fire by themselves: channels as the package counts them, and one by one.

python benchmarks/single_channels.py prints rates for three sizes, a few minutes of a core. The second way shares nothing
with the package: each opening or closing of a gate is an event with an exponential waiting time (Gillespie's method), and
the potential is moved every 0.01 ms. The chapter on noise and the page "Published and repeated" quote what it prints.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from pyloric_simulator import Cell, HodgkinHuxley1952, Network, noisy

SIZES = (600, 1200, 6000)  # sodium channels; three potassium channels for ten of them
PATCHES, SECONDS = 16, 10


@njit
def rates(V: float) -> tuple[float, ...]:
    """Opening and closing of m, h and n, 1/ms."""
    αm = 0.1 * (V + 40) / (1 - math.exp(-(V + 40) / 10)) if abs(V + 40) > 1e-7 else 1.0
    αn = 0.01 * (V + 55) / (1 - math.exp(-(V + 55) / 10)) if abs(V + 55) > 1e-7 else 0.1
    h = 0.07 * math.exp(-(V + 65) / 20), 1 / (1 + math.exp(-(V + 35) / 10))
    return αm, 4 * math.exp(-(V + 65) / 18), h[0], h[1], αn, 0.125 * math.exp(-(V + 65) / 80)


def start(Na: int, K: int, V: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Channels by open gates, Na (m, h) and K (n), each gate open with its probability."""
    αm, βm, αh, βh, αn, βn = rates(V)
    na, k = np.zeros((4, 2)), np.bincount(rng.binomial(4, αn / (αn + βn), K), minlength=5).astype(float)
    np.add.at(na, (rng.binomial(3, αm / (αm + βm), Na), rng.binomial(1, αh / (αh + βh), Na)), 1)
    return na, k


@njit
def rates_of_events(na: Any, k: Any, r: tuple[float, ...], into: Any) -> float:
    """Write the rate of each possible event, three for each state of Na and two for each of K; their sum."""
    αm, βm, αh, βh, αn, βn = r
    for i in range(4):
        for j in range(2):
            e, n = 3 * (2 * i + j), na[i, j]
            into[e], into[e + 1], into[e + 2] = n * (3 - i) * αm, n * i * βm, n * (βh if j else αh)
    for i in range(5):
        into[24 + 2 * i], into[25 + 2 * i] = k[i] * (4 - i) * αn, k[i] * i * βn
    return into.sum()


@njit
def chosen(r: Any, u: float) -> int:
    """The event at u on a line on which each has the length of its rate."""
    for e in range(len(r)):
        u -= r[e]
        if u < 0:
            return e
    return int(np.argmax(r))  # u rounded up to the end of the line


@njit
def happen(na: Any, k: Any, e: int) -> None:
    """Event e: a gate opens or closes."""
    if e < 24:
        i, j = e // 6, (e // 3) % 2
        na[i, j] -= 1
        if e % 3 == 2:
            na[i, 1 - j] += 1
        else:
            na[i + 1 - 2 * (e % 3), j] += 1
    else:
        i = (e - 24) // 2
        k[i] -= 1
        k[i + 1 - 2 * (e % 2)] += 1


@njit
def spikes(na: Any, k: Any, V: float, E_Na: float, seconds: float, dt: float, rng: Any) -> int:
    """How often the potential rises above −10 mV."""
    Na, K, count, armed, r = na.sum(), k.sum(), 0, True, np.zeros(34)
    for _ in range(round(1000 * seconds / dt)):
        at, left = rates(V), dt
        while True:
            total = rates_of_events(na, k, at, r)
            left -= rng.exponential(1 / total)
            if left <= 0:
                break
            happen(na, k, chosen(r, rng.random() * total))
        g_Na, g_K = 120 * na[3, 1] / Na, 36 * k[4] / K
        g = g_Na + g_K + 0.3
        steady = (E_Na * g_Na - 77 * g_K - 54.387 * 0.3) / g
        V = steady + (V - steady) * math.exp(-g * dt)
        count += armed and V > -10
        armed = V <= -10 if armed else V < -30
    return count


def alone(Na: int, seed: int, dt: float = 0.01, E_Na: float = 50.0) -> float:
    """Spikes per second of a patch with single channels."""
    rng, V = np.random.default_rng(seed), -65.0
    return spikes(*start(Na, Na * 3 // 10, V, rng), V, E_Na, SECONDS, dt, rng) / SECONDS


def counted(Na: int, dt: float) -> np.ndarray:
    """Spikes per second of each patch, as the package counts its channels."""
    HH, t = HodgkinHuxley1952, np.arange(0, 1000 * SECONDS + 500, 0.1)
    axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3, area=Na / 6e9)  # 60 on each µm²
    run = noisy(
        Network({"axon": axon}, sizes={"axon": PATCHES}), t, channels={"Na": Na, "K": Na * 3 // 10}, seed=1, dt=dt
    )
    times = run.spike_times()
    return np.array([(np.asarray(times["axon", i]) > 500).sum() for i in range(PATCHES)]) / SECONDS


def main() -> None:
    """Print means and standard errors."""
    for Na in SIZES:
        singly = {E: np.array([alone(Na, seed, E_Na=E) for seed in range(PATCHES)]) for E in (50.0, 55.0)}
        ways = {f"one by one, E_Na {E:g} mV": x for E, x in singly.items()}
        ways |= {f"package, {dt} ms": counted(Na, dt) for dt in (0.05, 0.025)}
        for way, x in ways.items():
            print(
                f"{Na} and {Na * 3 // 10} channels, {way}: {x.mean():.2f} ± {x.std(ddof=1) / math.sqrt(len(x)):.2f} /s"
            )


if __name__ == "__main__":
    main()
