"""In which unit was it meant? Numbers of the right size for another unit than the one in which they are read.

Mechanics of everything that comes from outside: recordings, times, spike trains, commands, currents, conductances. A number alone does not
tell its unit, but its size often does: no cell has a potential of 0.05 mV at most, and −50 mV written in volts looks just so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Scale(NamedTuple):
    """The usual sizes of a quantity, and how it looks in other units."""

    what: str  # in the plural, for messages
    unit: str  # in which the package reads it
    least: float  # usual sizes go from here
    most: float  # to here
    others: Mapping[str, float]  # other unit -> how many times `unit` it is


POTENTIAL = Scale("potentials", "mV", 1.0, 500.0, {"V": 1e3, "µV": 1e-3})
CURRENT = Scale("currents into a cell", "nA", 1e-3, 100.0, {"µA": 1e3, "pA": 1e-3, "A": 1e9, "mA": 1e6})
SAMPLING = Scale("sampling intervals", "ms", 2e-3, 2.0, {"s": 1e3, "µs": 1e-3, "ns": 1e-6})
INTERVAL = Scale("intervals between spikes", "ms", 1.0, 1e5, {"s": 1e3, "µs": 1e-3})
DENSITY = Scale("conductance densities", "mS/cm²", 1e-3, 5e3, {"S/cm²": 1e3, "µS/cm²": 1e-3})
SYNAPSE = Scale("conductances of synapses", "nS", 0.1, 1e4, {"µS": 1e3, "pS": 1e-3})
AREA = Scale("membrane areas", "cm²", 1e-8, 0.1, {"µm²": 1e-8, "mm²": 1e-2})
CELSIUS = Scale("temperatures of a preparation", "°C", 0.0, 45.0, {})


def suspicion(name: str, size: float, scale: Scale) -> str:
    """What is wrong with the size (largest absolute value, or another typical one) of a quantity, and the likely cure; empty if nothing.

    The sentence gives the value, the usual sizes, and the unit in which the number would be usual, with its factor. The caller refuses, or
    warns where the number could be meant.
    """
    if scale.least <= size <= scale.most:
        return ""
    likely = [(unit, f) for unit, f in scale.others.items() if scale.least <= size * f <= scale.most]
    guess = "Check its unit."
    if likely:
        unit, f = likely[0]
        guess = f"If it is in {unit}, multiply it by {f:g}."
    side = "small" if size < scale.least else "large"
    return (
        f"{name} is {size:.4g} {scale.unit}, very {side}: {scale.what} are usually {scale.least:g} to {scale.most:g} {scale.unit}. {guess}"
    )
