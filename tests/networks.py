"""Models of cells of one's own, small enough to be compiled quickly, that several test files share."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from pyloric_simulator.models.components import (
    Cell,
    Channel,
    GapJunction,
    Graded,
    HodgkinHuxley1952,
    Kinetic,
    Liu1998,
    Network,
    Prinz2003,
    Synapse,
)
from pyloric_simulator.prinz2004 import GLUTAMATE, B, Gate, Nernst

HH = HodgkinHuxley1952
AXON = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65)
LIU = Cell(
    [
        Liu1998.Na(700),
        Liu1998.CaT(2),
        Liu1998.CaS(4),
        Liu1998.A(50),
        Liu1998.KCa(40),
        Liu1998.Kd(70),
        Liu1998.H(0.03),
        Liu1998.leak(0.01),
    ],
    calcium=Liu1998.calcium,
)


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
