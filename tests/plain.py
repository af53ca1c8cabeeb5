"""The circuit in plain Python numbers: one cell, one gate, one synapse after the other.

Written from the equations of the papers and shared with nothing in the package, so that the fast
version can be held against it. Units: mV, ms, nA, µS, nF, µM; conductances come in mS/cm² and nS.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, expm1, log

AREA = 0.628e-3  # cm²
CAPACITANCE = 0.628  # nF
TAU_CA = 200.0  # ms
CA_PER_NA = 14.96  # µM/nA
CA_REST = 0.05  # µM
LEAST_CA = 5e-8  # µM
SHORTEST = 1e-3  # ms, no time constant is taken to be shorter

CALCIUM_CHANNELS = ("CaT", "CaS")
REVERSAL = {"Na": 50.0, "A": -80.0, "KCa": -80.0, "Kd": -80.0, "H": -20.0, "leak": -50.0}  # mV
EXPONENT = {"Na": 3, "CaT": 3, "CaS": 3, "A": 3, "KCa": 4, "Kd": 4, "H": 1}
INACTIVATING = ("Na", "CaT", "CaS", "A")
SYNAPSES = {"glutamate": (-70.0, 1 / 40), "acetylcholine": (-80.0, 1 / 100)}  # mV, 1/ms


@dataclass
class Cell:
    """One compartment; changed in place."""

    g: dict[str, float]  # mS/cm², by channel
    V: float = -50.0  # mV
    Ca: float = 0.05  # µM
    m: dict[str, float] = field(default_factory=lambda: dict.fromkeys(EXPONENT, 0.0))
    h: dict[str, float] = field(default_factory=lambda: dict.fromkeys(INACTIVATING, 1.0))
    s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SYNAPSES, 0.0))
    synapses: list[tuple["Cell", str, float]] = field(default_factory=list)  # from, what, nS
    coupled: list["Cell"] = field(default_factory=list)  # by gap junctions, without the cell itself
    ge: float = 0.0  # nS, to each of these


def B(V: float, a: float, k: float) -> float:
    return 1 / (1 + exp((V + a) / k))


def m_inf(V: float, Ca: float) -> dict[str, float]:
    return {
        "Na": B(V, 25.5, -5.29),
        "CaT": B(V, 27.1, -7.2),
        "CaS": B(V, 33.0, -8.1),
        "A": B(V, 27.2, -8.7),
        "KCa": Ca / (Ca + 3.0) * B(V, 28.3, -12.6),
        "Kd": B(V, 12.3, -11.8),
        "H": B(V, 75.0, 5.5),
    }


def m_tau(V: float) -> dict[str, float]:
    return {
        "Na": 2.64 - 2.52 * B(V, 120.0, -25.0),
        "CaT": 43.4 - 42.6 * B(V, 68.1, -20.5),
        "CaS": 2.8 + 14.0 / (exp((V + 27.0) / 10.0) + exp((V + 70.0) / -13.0)),
        "A": 23.2 - 20.8 * B(V, 32.9, -15.2),
        "KCa": 180.6 - 150.2 * B(V, 46.0, -22.7),
        "Kd": 14.4 - 12.8 * B(V, 28.3, -19.2),
        "H": 2.0 / (exp((V + 169.7) / -11.6) + exp((V - 26.7) / 14.3)),
    }


def h_inf(V: float) -> dict[str, float]:
    return {
        "Na": B(V, 48.9, 5.18),
        "CaT": B(V, 32.1, 5.5),
        "CaS": B(V, 60.0, 6.2),
        "A": B(V, 56.9, 4.9),
    }


def h_tau(V: float) -> dict[str, float]:
    return {
        "Na": 1.34 * B(V, 62.9, -10.0) * (1.5 + B(V, 34.9, 3.6)),
        "CaT": 210.0 - 179.6 * B(V, 55.0, -16.9),
        "CaS": 120.0 + 300.0 / (exp((V + 55.0) / 9.0) + exp((V + 65.0) / -16.0)),
        "A": 77.2 - 58.4 * B(V, 38.9, -26.5),
    }


def s_inf(V: float) -> float:
    return 1 / (1 + exp((-35.0 - V) / 5.0))


def s_tau(V: float, transmitter: str) -> float:
    return (1 - s_inf(V)) / SYNAPSES[transmitter][1]


def conductance(cell: Cell, channel: str) -> float:
    """In µS: 1 mS/cm² × 1 cm² is 1 mS, which is 1000 µS."""
    return (
        cell.g[channel] * AREA * 1000 * cell.m.get(channel, 1.0) ** EXPONENT.get(channel, 0) * cell.h.get(channel, 1.0)
    )


def calcium_conductance(cell: Cell) -> float:
    return sum(conductance(cell, channel) for channel in CALCIUM_CHANNELS)


def E_calcium(cell: Cell) -> float:
    return 12.2 * log(3000.0 / cell.Ca)


def conductance_and_drive(cell: Cell) -> tuple[float, float]:
    """G in µS and J in nA of C dV/dt = J − G V, for membrane and chemical synapses."""
    G = J = 0.0
    for channel in cell.g:
        g = conductance(cell, channel)
        G += g
        J += g * (E_calcium(cell) if channel in CALCIUM_CHANNELS else REVERSAL[channel])
    for pre, transmitter, nS in cell.synapses:
        g = nS / 1000 * pre.s[transmitter]
        G += g
        J += g * SYNAPSES[transmitter][0]
    return G, J


def calcium_slope(cell: Cell, g: float, V: float) -> float:
    return (-CA_PER_NA * g * (V - E_calcium(cell)) - cell.Ca + CA_REST) / TAU_CA


def relaxed(V: float, G: float, J: float, h: float) -> float:
    """V after a time h of C dV/dt = J − G V."""
    if G == 0:
        return V + h * J / CAPACITANCE
    return J / G + (V - J / G) * exp(-h * G / CAPACITANCE)


def move_gates(cell: Cell, V: float, share: Callable[[float], float], dt: float) -> None:
    """Bring every gate and activation closer to its steady state at V, by `share` of dt/τ."""
    for x, inf, tau in ((cell.m, m_inf(V, cell.Ca), m_tau(V)), (cell.h, h_inf(V), h_tau(V))):
        for name in x:
            x[name] += (inf[name] - x[name]) * share(dt / max(tau[name], SHORTEST))
    for name in cell.s:
        tau_s = max(s_tau(V, name), SHORTEST)
        cell.s[name] += (s_inf(V) - cell.s[name]) * share(dt / tau_s)


def exponential_share(r: float) -> float:
    return -expm1(-r)


def rational_share(r: float) -> float:
    """1 − e^(−r) to fourth order, from the Taylor polynomial of e^r."""
    return 1 - 1 / (1 + r + r**2 / 2 + r**3 / 6 + r**4 / 24)


def exponential_euler(cells: list[Cell], I_ext: list[float], dt: float) -> None:
    """One step: everything from the old state of everything else."""
    new_V, new_Ca = [], []
    for cell, I in zip(cells, I_ext, strict=True):
        G, J = conductance_and_drive(cell)
        for other in cell.coupled:
            G += cell.ge / 1000
            J += cell.ge / 1000 * other.V
        new_V.append(relaxed(cell.V, G, J + I, dt))
        I_Ca = calcium_conductance(cell) * (cell.V - E_calcium(cell))
        target = CA_REST - CA_PER_NA * I_Ca
        Ca = target + (cell.Ca - target) * exp(-dt / TAU_CA)
        new_Ca.append(max(Ca, LEAST_CA))
    for cell, V, Ca in zip(cells, new_V, new_Ca, strict=True):
        move_gates(cell, cell.V, exponential_share, dt)
        cell.V, cell.Ca = V, Ca


def half_step_of_V(cells: list[Cell], I_ext: list[float], dt: float) -> None:
    potentials = [
        relaxed(cell.V, G, J + I, dt / 2)
        for cell, I in zip(cells, I_ext, strict=True)
        for G, J in [conductance_and_drive(cell)]
    ]
    for cell, V in zip(cells, potentials, strict=True):
        cell.V = V


def half_step_of_gap_junctions(cells: list[Cell], dt: float) -> None:
    """Alone they pull every cell toward the mean of the group, N ge/C times the distance per ms."""
    means = [sum(c.V for c in (cell, *cell.coupled)) / (1 + len(cell.coupled)) for cell in cells]
    for cell, mean in zip(cells, means, strict=True):
        rate = (1 + len(cell.coupled)) * cell.ge / 1000 / CAPACITANCE
        cell.V = mean + (cell.V - mean) * exp(-rate * dt / 2)


def half_step_of_calcium(cell: Cell, dt: float) -> None:
    """Linearly implicit, with the gates as they are now."""
    g = calcium_conductance(cell)
    jacobian = (-CA_PER_NA * g * 12.2 / cell.Ca - 1) / TAU_CA  # of the slope, in Ca
    Ca = cell.Ca + dt / 2 * calcium_slope(cell, g, cell.V) / (1 - dt / 4 * jacobian)
    cell.Ca = max(Ca, LEAST_CA)


def staggered(cells: list[Cell], I_old: list[float], I_new: list[float], dt: float) -> None:
    """One whole step: half a step of V, all else, half a step of V.

    I_old and I_new are the input at the beginning and at the end of the step.
    """
    half_step_of_V(cells, I_old, dt)
    half_step_of_gap_junctions(cells, dt)
    for cell in cells:
        half_step_of_calcium(cell, dt)
        move_gates(cell, cell.V, rational_share, dt)
        half_step_of_calcium(cell, dt)
    half_step_of_gap_junctions(cells, dt)
    half_step_of_V(cells, I_new, dt)
