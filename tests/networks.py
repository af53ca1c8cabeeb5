"""Models of cells of one's own, small enough to be compiled quickly, that several test files share."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax.numpy as jnp

from pyloric_simulator.models.channels import HodgkinHuxley1952, Liu1998, Prinz2003
from pyloric_simulator.models.networks import Cell, GapJunction, Graded, Kinetic, Network, Synapse
from pyloric_simulator.prinz2004 import GLUTAMATE, B, Channel, Gate, Nernst, Prinz2004, neuron_models

HH = HodgkinHuxley1952
DENSITIES = dict(Na=700, CaT=2, CaS=4, A=50, KCa=40, Kd=70, H=0.03, leak=0.01)  # mS/cm²
STRENGTHS = {("AB", "LP"): 30, ("PD", "LP"): 30, ("AB", "PY"): 10, ("PD", "PY"): 3, ("LP", "AB/PD"): 30, ("LP", "PY"): 1,
             ("PY", "LP"): 30}  # fmt: skip


@cache
def axon() -> Cell:
    """The axon of Hodgkin and Huxley."""
    return Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)


@cache
def passive() -> Cell:
    """A leak of 0.1 mS/cm²."""
    return Cell([HH.leak(0.1)], V=-54.387)


@cache
def burster() -> Cell:
    """The bursting cell of Drion et al. (2015)."""
    return Cell([getattr(Liu1998, name)(g) for name, g in DENSITIES.items()], calcium=Liu1998.calcium)


@cache
def prinz(row: str) -> Cell:
    """A cell of the first chapter."""
    return Cell([getattr(Prinz2003, name)(g) for name, g in neuron_models.loc[row].items()], calcium=Prinz2003.calcium)


@cache
def circuit() -> Prinz2004:
    """The circuit of the paper."""
    return Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, STRENGTHS, neuron_models.loc[["AB/PD 2", "LP 4", "PY 1"]])


AXON, LIU = axon(), burster()


@dataclass(frozen=True)
class Opening:
    """ds/dt of a kinetic synapse, with a number that has a name."""

    c: float  # 1/ms

    def __call__(self, s: Any, V_pre: Any, V_post: Any) -> Any:
        return self.c * ((1 - s) / (1 + jnp.exp(-(V_pre + 50) / 5)) - s * (1 + 0.01 * V_post))


def mixed() -> Network:
    """Two axons and a passive cell with a potassium current: graded and kinetic synapses, gap junctions, concentrations."""
    slow = Cell([Prinz2003.Kd(25), Channel("P", Nernst(1, 4000.0, 140000.0))(0.02), Prinz2003.leak(0.05)], V=-55)
    graded = Graded("fast", -75.0, Gate(B(60, -5), B(0, 5) + 1))
    connections = [
        Synapse("axon", "slow", GLUTAMATE, 20), Synapse("axon", "slow", Kinetic("own", 0.0, Opening(0.3)), 15),
        Synapse("slow", "axon", graded, 10), GapJunction("axon", "slow", 5), GapJunction("axon", "axon", 1),
    ]  # fmt: skip
    return Network({"axon": AXON, "slow": slow}, connections, sizes={"axon": 2})


def pair() -> Network:
    """Two axons, one of which inhibits the other and is tied to it."""
    return Network({"a": AXON, "b": AXON}, [Synapse("a", "b", GLUTAMATE, 50), GapJunction("a", "b", 2)])
