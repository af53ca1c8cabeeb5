"""Where the spikes of a recording are: tops that stand out of the potential, and of its noise.

Mechanics of `results` and of the chapter on rhythm, which says what a spike is. Every part of the package finds spikes here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import checks
from .scale import INTERVAL, POTENTIAL, Scale

SPIKE_THRESHOLD = -10.0  # mV
REFRACTORY = 1.0  # ms, between spikes of a cell at least
GAP = 150.0  # ms, a longer silence separates bursts
MIN_BURST = 40.0  # ms, bursts are longer
KINDS = ("maxima", "crossings")


class Detection(NamedTuple):
    """What counts as a spike and as a burst: `Detection(threshold=-45)` for spikes that peak at −37 mV."""

    threshold: float = SPIKE_THRESHOLD  # mV, a spike is higher
    prominence: float | None = (
        None  # mV, by which it stands out on both sides; None: `PROMINENCE`, or more where there is noise
    )
    refractory: float = REFRACTORY  # ms, between spikes of a cell at least
    kind: str = "maxima"  # whether its time is that of the top, or "crossings": of the way up through the threshold
    gap: float = GAP  # ms, a longer silence separates bursts
    min_duration: float = MIN_BURST  # ms, bursts are longer


STANDARD = Detection()
VOLTS = POTENTIAL._replace(what="thresholds and prominences", least=0.1)  # in volts all of them are smaller
SILENCE = INTERVAL._replace(what="silences between bursts and their durations")
WAIT = Scale("refractory times", "ms", 0.05, 100.0, {"s": 1e3, "µs": 1e-3})


def checked(d: Any) -> Detection:
    """The same, after a look at every number; warns of those that look as if they were in another unit."""
    checks.of_type("detection", d, Detection, "a Detection, such as Detection(threshold=-45, gap=100)")
    checks.choice("kind", d.kind, KINDS)
    found = Detection(
        number("threshold", d.threshold, VOLTS), None if d.prominence is None else number("prominence", d.prominence, VOLTS, 0.0),
        number("refractory", d.refractory, WAIT, 0.0), d.kind, number("gap", d.gap, SILENCE, 0.0),
        number("min_duration", d.min_duration, SILENCE),
    )  # fmt: skip
    if found.gap == 0:
        raise ValueError("gap is 0 ms; a silence that separates bursts must last. Give some milliseconds, such as 150.")
    return found


def number(name: str, value: Any, scale: Scale, least: float = -math.inf) -> float:
    """One number of a detection."""
    x = checks.number(name, value, scale.unit)
    if x < least:
        raise ValueError(f"{name} is {x:g} {scale.unit}; it must not be negative. Give {-x:g}, or leave it out.")
    checks.doubt(name if x > 0 else f"the size of {name}, {x:g} {scale.unit},", x, scale)
    return x


# ---------------------------------------------------------------- noise

PROMINENCE = 5.0  # mV, where the swing of the potential is large enough
SHARE = 0.25  # of the swing of the potential, in which a spike stands out in any case
SIDE = 20.0  # ms, within which a spike has risen and has fallen again
TURNS = 0.3  # per ms, more small turns than any cell makes
SMALL = 10.0  # mV, noise is less from one turn to the next
CLEAN = 0.02  # mV, less is no noise that matters
RANGE = 6.5  # times the usual excursion of the noise, a height that it does not reach in minutes
SMOOTH = 0.3  # ms to either side, over which noise is averaged


def turning(V: np.ndarray) -> np.ndarray:
    """Numbers of the samples at which V (time,) turns, flat parts at their last sample."""
    d = np.diff(V)
    moves = np.flatnonzero(d != 0)
    up = d[moves] > 0
    return moves[1:][up[1:] != up[:-1]]


def noise(t: np.ndarray, V: np.ndarray) -> float:
    """Usual excursion (mV) of the noise of V from one turn to the next; 0 without noise.

    Noise makes V turn more than once in three milliseconds, by little. A cell does not.
    """
    many, up = max(TURNS * (t[-1] - t[0]), 8), V[1:] > V[:-1]
    if np.count_nonzero(up[1:] != up[:-1]) < many:
        return 0.0
    excursions = np.abs(np.diff(V[turning(V)]))
    small = excursions[excursions < SMALL]
    if len(small) < many:
        return 0.0
    usual = float(np.median(small))
    return usual if usual > CLEAN else 0.0


class Look(NamedTuple):
    """A recording as spikes are looked for in it."""

    V: np.ndarray  # (time,) mV, without most of its noise
    excursion: float  # mV, usual one of the noise that it had; 0 if V is as it was
    hidden: float  # mV, a height that what is left of the noise may reach
    least: float  # mV, by which spikes stand out


def look(t: np.ndarray, V: np.ndarray, d: Detection) -> Look:
    """V averaged, where it has noise, with weights that fall to 0 over `SMOOTH` on either side."""
    excursion = noise(t, V)
    seen, hidden = V, 0.0
    if excursion:
        reach = int(SMOOTH / np.median(np.diff(t)))
        weights = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
        weights /= weights.sum()
        seen = np.convolve(np.pad(V, reach, mode="edge"), weights, mode="valid")
        hidden = RANGE * max(noise(t, seen), excursion * float(np.sqrt(weights @ weights)))
    usual = min(PROMINENCE, SHARE * float(np.ptp(V)))
    return Look(seen, excursion, hidden, max(usual, hidden) if d.prominence is None else d.prominence)


# ---------------------------------------------------------------- tops


class Tops(NamedTuple):
    """The spikes of one cell."""

    sample: np.ndarray  # (spike,) number of the sample at the top
    time: np.ndarray  # (spike,) ms, between samples
    height: np.ndarray  # (spike,) mV
    hidden: float = 0.0  # mV, what the noise may reach, so that spikes that are lower are not among them


def parabola(before: Any, at: Any, after: Any, a: Any, b: Any, c: Any) -> Any:
    """Time of the top of a parabola through a, b and c at equally spaced times; of arrays of NumPy or of JAX, as the next function."""
    return at + (after - before) * (a - c) / (a - 2 * b + c) / 4


def is_maximum(V: Any, threshold: Any) -> Any:
    """Which samples of V (time,) but the first and the last are local maxima above the threshold; a plateau counts at its first."""
    inner = V[1:-1]
    return (inner > V[:-2]) & (inner >= V[2:]) & (inner > threshold)


def vertex(t: np.ndarray, V: np.ndarray, i: np.ndarray) -> np.ndarray:
    """Times of the tops of the parabolas through samples i and their neighbours."""
    a, b, c = V[i - 1], V[i], V[i + 1]
    before, after = t[i] - t[i - 1], t[i + 1] - t[i]
    even = np.abs(after - before) <= EVEN * (after + before)
    top = parabola(t[i - 1], t[i], t[i + 1], a, b, c)
    up, down = (b - a) / before, (c - b) / after
    return np.where(even, top, t[i] + (up * after + down * before) / (up - down) / 2)


EVEN = 1e-6  # relative difference of two sampling intervals that are equal but for rounding


def maxima(V: np.ndarray, threshold: float) -> np.ndarray:
    """Numbers of the samples at local maxima of V above the threshold."""
    return 1 + np.flatnonzero(is_maximum(V, threshold))


def ascents(t: np.ndarray, V: np.ndarray, i: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of the tops at samples i have a way up through the threshold of their own, and its times, between samples."""
    up = np.flatnonzero((V[:-1] <= threshold) & (V[1:] > threshold))
    before = np.searchsorted(up, i) - 1
    own = (before >= 0) & (np.diff(before, prepend=-1) > 0)
    k = up[before[own]]
    return own, t[k] + (threshold - V[k]) / (V[k + 1] - V[k]) * (t[k + 1] - t[k])


def highest(
    time: np.ndarray, height: np.ndarray, valley: np.ndarray, prominence: float, refractory: float
) -> list[int]:
    """The highest maximum of each cluster: maxima closer than the refractory time, or with no valley of that prominence between.

    time, height of maxima and the lowest potential before each, since the one before: (maximum,).
    """
    kept: list[int] = []
    low = math.inf
    for i, (x, h, v) in enumerate(zip(time.tolist(), height.tolist(), valley.tolist(), strict=True)):
        low = min(low, v)
        last = kept[-1] if kept else None
        if last is None or (min(h, height[last]) - low >= prominence and x - time[last] >= refractory):
            kept.append(i)
        elif h > height[last]:
            kept[-1] = i
        else:
            continue
        low = math.inf
    return kept


class Sides(NamedTuple):
    """By how much (mV) tops stand above the lowest potential within `SIDE` before and after, and whether the recording cuts that time."""

    left: Any  # (top,) mV; arrays of NumPy or of JAX
    right: Any  # (top,) mV
    cut_left: Any  # (top,)
    cut_right: Any  # (top,)


def sides(t: np.ndarray, V: np.ndarray, i: np.ndarray) -> Sides:
    """The two sides of V (time,) at samples i (top,)."""
    first, last = np.searchsorted(t, t[i] - SIDE), np.searchsorted(t, t[i] + SIDE, side="right")
    lows = np.minimum.reduceat(
        np.append(V, math.inf), np.stack([first, i + 1, i, last], 1).ravel()
    )  # from each to the next
    left, right = lows[::4], lows[2::4]
    return Sides(V[i] - left, V[i] - right, first == 0, last == len(t))


def stand_out(s: Sides, prominence: Any) -> Any:
    """Whether tops stand out on both sides, or on the one that the recording does not cut."""
    left, right = s.left >= prominence, s.right >= prominence
    return (left | right) & (left | s.cut_left) & (right | s.cut_right)


def tops(t: np.ndarray, V: np.ndarray, d: Detection = STANDARD) -> Tops:
    """The spikes of V (time,) mV at increasing times t (time,) ms."""
    if len(t) < FEW:
        return Tops(np.empty(0, int), np.empty(0), np.empty(0))
    seen, excursion, hidden, least = look(t, V, d)
    i, upward = maxima(seen, d.threshold), d.kind == "crossings"
    if upward and seen[-1] > max(seen[-2], d.threshold):
        i = np.append(i, len(t) - 1)  # a way up at the end
    time = t[i] if upward else vertex(t, seen, i)
    valley = np.minimum.reduceat(seen, np.append(0, i))[:-1]  # the lowest before each, since the one before
    kept = np.array(highest(time, seen[i], valley, least, d.refractory), int)
    kept = kept[stand_out(sides(t, seen, i[kept]), least)]
    i, time, height = i[kept], time[kept], V[i[kept]]
    if excursion:
        fits = np.array([fitted(t, V, seen, k, excursion) for k in i]).reshape(-1, 2)
        time, height = fits[:, 0], fits[:, 1]
        i = np.searchsorted((t[1:] + t[:-1]) / 2, time)
    if upward:
        own, time = ascents(t, seen, i, d.threshold)
        i, height = i[own], height[own]
    return Tops(i, time, height, hidden if least == hidden else 0.0)


FEW = 3  # samples, less show no top


# ---------------------------------------------------------------- tops in noise

DEGREES = 6  # of polynomials, at most
DEPTH = 15.0  # excursions of the noise below the top, what is fitted


def upper_part(t: np.ndarray, seen: np.ndarray, i: int, depth: float) -> slice:
    """The samples around the top of a spike, down to a depth (mV) below it or to half of its height, and `SMOOTH` at least."""
    first, last = np.searchsorted(t, t[i] - SIDE), np.searchsorted(t, t[i] + SIDE, side="right")
    stands = seen[i] - max(seen[first : i + 1].min(), seen[i:last].min())
    outside = (seen[first:last] < seen[i] - min(stands / 2, depth)) & (np.abs(t[first:last] - t[i]) > SMOOTH)
    below = first + np.flatnonzero(outside)
    k = np.searchsorted(below, i)
    return slice(below[k - 1] + 1 if k else first, below[k] if k < len(below) else last)


def fitted(t: np.ndarray, V: np.ndarray, seen: np.ndarray, i: int, excursion: float) -> tuple[float, float]:
    """Time and height of the top of a polynomial through the upper part of a spike, of the degree that Schwarz' criterion prefers.

    V: with its noise; seen: smoothed, highest at sample i.
    """
    part = upper_part(t, seen, i, DEPTH * excursion)
    x, y = t[part] - t[i], V[part]
    most, scale, n = min(DEGREES, len(x) - 3), np.abs(x).max(), len(x)
    if most < 2:
        return float(vertex(t, V, np.array([i]))[0]), float(V[i])
    Q, R = np.linalg.qr(np.vander(x / scale, most + 1, increasing=True))
    c = Q.T @ y
    rest = np.maximum(y @ y - np.cumsum(c**2), np.finfo(float).tiny)
    degree = 2 + int(np.argmin((n * np.log(rest) + np.log(n) * np.arange(most + 1))[2:]))
    p = np.linalg.solve(R[: degree + 1, : degree + 1], c[: degree + 1])
    fine = np.linspace(x[0], x[-1], FINE)
    values = np.polynomial.polynomial.polyval(fine / scale, p)
    k = int(np.argmax(values))
    return float(t[i] + fine[k]), float(values[k])


FINE = 401  # points of such a polynomial at which it is looked at
