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
LEVEL = Scale(
    "medians of potentials", "mV", 1.0, 150.0, {"µV": 1e-3, "mV at a gain of 10": 0.1, "mV at a gain of 100": 0.01}
)
CURRENT = Scale("currents into a cell", "nA", 1e-3, 100.0, {"A": 1e9, "mA": 1e6, "µA": 1e3, "pA": 1e-3})
SAMPLING = Scale("sampling intervals", "ms", 2e-3, 2.0, {"s": 1e3, "µs": 1e-3, "ns": 1e-6, "min": 6e4})
INTERVAL = Scale("intervals between spikes", "ms", 1.0, 1e4, {"s": 1e3, "µs": 1e-3})
DENSITY = Scale("conductance densities", "mS/cm²", 1e-3, 5e3, {"S/cm²": 1e3, "µS/cm²": 1e-3})
SYNAPSE = Scale("conductances of synapses", "nS", 0.1, 1e4, {"µS": 1e3, "pS": 1e-3})
AREA = Scale("membrane areas", "cm²", 1e-8, 0.1, {"µm²": 1e-8, "mm²": 1e-2})
DURATION = Scale("durations of experiments", "ms", 3.0, 1e8, {"s": 1e3, "µs": 1e-3})
REVERSAL = Scale("reversal potentials", "mV", 0.3, 400.0, {"V": 1e3, "µV": 1e-3})
PERMEABILITY = Scale("permeabilities", "cm/s", 1e-9, 0.1, {"µm/s": 1e-4, "m/s": 1e2})
CAPACITANCE = Scale("capacitances of a membrane", "µF/cm²", 0.05, 50.0, {"F/m²": 1e2, "nF/cm²": 1e-3, "F/cm²": 1e6})
POOL_TIME = Scale("time constants of calcium", "ms", 0.5, 1e5, {"s": 1e3, "µs": 1e-3})
MEMBRANE_TIME = Scale("time constants of a membrane", "ms", 0.1, 5e3, {"s": 1e3, "µs": 1e-3})
HELD = Scale("refractory times", "ms", 0.05, 500.0, {"s": 1e3, "µs": 1e-3})
RESISTANCE = Scale("input resistances", "MΩ", 0.05, 1e5, {"GΩ": 1e3, "kΩ": 1e-3, "Ω": 1e-6})
SOLUTE = {"mM": 1e3, "M": 1e6, "nM": 1e-3}
ION = Scale("concentrations of ions", "µM", 300.0, 1e6, SOLUTE)
CALCIUM_OUTSIDE = Scale("concentrations of calcium outside", "µM", 20.0, 1e5, SOLUTE)
CALCIUM_INSIDE = Scale("concentrations of calcium inside", "µM", 1e-3, 1e3, SOLUTE)
CALCIUM_AT_REST = Scale("concentrations of calcium at rest", "µM", 1e-3, 10.0, SOLUTE)


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
    return f"{name} is {size:.4g} {scale.unit}, very {side}: {scale.what} are usually {scale.least:g} to {scale.most:g} {scale.unit}. {guess}"
