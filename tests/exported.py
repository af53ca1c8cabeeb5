"""Models that are exported to other simulators, and how their runs there are compared with ours. Used by tests and benchmarks."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from networks import HH, burster, circuit, mixed

from pyloric_simulator.models.channels import GHK, Prinz2003
from pyloric_simulator.models.networks import Cell, GapJunction, Graded, Kinetic, Network, Synapse, model_of
from pyloric_simulator.prinz2004 import B, Channel, Gate, Prinz2004, neuron_models
from pyloric_simulator.rhythm import bursts, spikes

CONVERGED = 0.00125  # ms, step of our runs
EVERY = 0.05  # ms, between samples of both


@cache
def four() -> Prinz2004:
    """The circuit with AB and two PD cells apart, which gap junctions couple."""
    gs = {("AB", "LP"): 30, ("PD", "LP"): 15, ("AB", "PY"): 10, ("PD", "PY"): 1.5, ("LP", "AB"): 30, ("LP", "PD"): 30,
          ("LP", "PY"): 1, ("PY", "LP"): 30}  # fmt: skip
    rows = neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4", "PY 1"]]
    return Prinz2004({"AB": 1, "PD": 2, "LP": 1, "PY": 1}, gs, rows)


@cache
def own() -> Cell:
    """An axon with a channel of one's own: a gate of potential and calcium, with a choice."""
    inf = lambda V, Ca: jnp.where(V < -30, 0.05, 0.1) * Ca / (Ca + 2.0) + 0.5 / (1 + jnp.exp(-(V + 35) / 8))  # noqa: E731
    M = Channel("M", -80, 1, Gate(inf, lambda V: jnp.maximum(60 - V, 20.0)))
    return Cell([HH.Na(120), HH.K(36), M(0.3), Prinz2003.CaS(2), HH.leak(0.3)], calcium=Prinz2003.calcium, V=-65)


@cache
def goldman() -> Cell:
    """An axon with a calcium current after Goldman, Hodgkin and Katz."""
    L = Channel("CaL", GHK(), 2, Gate(B(20, -6), lambda V: 1 + 3 * jnp.exp(-(((V + 30) / 30) ** 2))), ion="Ca")
    return Cell([HH.Na(120), HH.K(36), L(1e-4), Prinz2003.KCa(5), HH.leak(0.3)], calcium=Prinz2003.calcium, V=-65)


def inf_of_all(V: Any) -> Any:
    """A steady state made of every operation that can be written."""
    steps = 0.01 * jnp.sign(V + 40) + 0.01 * jnp.floor(V / 10) * jnp.where((V > -50) & ~(V > -20) | (V < -60), 1.0, 0.0)
    return jnp.clip(0.5 * (1 + jnp.tanh((V + 30) / 20)) + steps - 0.02 * jnp.expm1(-jnp.abs(V) / 100), 0.0, 1.0)


def tau_of_all(V: Any) -> Any:
    """A time constant made of the others."""
    a = 5 + jnp.log1p(jnp.sqrt(jnp.abs(V))) + jnp.sin(V / 30) ** 2 + jnp.cosh(V / 50) + (jnp.abs(V) + 1) ** 0.3
    return a + jnp.minimum(jnp.log(V * V + 1), 3.0) + 1 / 2 * jnp.square(V / 100)


@cache
def every() -> Network:
    """Every operation, names that no simulator takes, synapses that read calcium and that are not linear in s."""
    X = Channel(
        "Ξ'; drop",
        -70,
        2,
        Gate(inf_of_all, tau_of_all),
        Gate(lambda V: jax.nn.sigmoid(-(V + 50) / 5), B(40, 5) + 3),
        q=2,
    )
    slow = Kinetic(
        "β→", 0.0, lambda s, a, b: jnp.where(a > -20, 1.0, 0.0) * (1 - s) ** 2 - s * jnp.maximum(s, 0.5) * 0.1 + 0 * b
    )
    graded = Graded(
        "γ", -75.0, Gate(lambda V, Ca: jax.nn.sigmoid((V + 40) / 5) * Ca / (Ca + 1), lambda V: 20.0 + 0 * V)
    )
    cells = {
        "ΩA": Cell([HH.Na(120), HH.K(36), HH.leak(0.3), X(2)], V=-65),
        "b": Cell([HH.leak(0.1)], V=-60),
        "c": burster(),
    }
    return Network(cells, [Synapse("ΩA", "b", slow, 20), Synapse("c", "b", graded, 20), GapJunction("ΩA", "b", 3)])


@cache
def pacemakers() -> Prinz2004:
    """The five pacemaker cells, each alone."""
    return Prinz2004({f"AB/PD {i}": 1 for i in range(1, 6)}, gs={}, ge=0)


def pulse(t: Any) -> Any:
    """A current (nA) with two jumps and a wave."""
    return jnp.where((t > 100) & (t <= 300), 6.0, 1.0) + 3 * jnp.sin(t / 20)


class Case(NamedTuple):
    """A model to be compared, and its external current."""

    model: Callable[[], Any]
    I_ext: Any = None  # nA


CASES = {
    "circuit of Fig. 3e": Case(circuit),
    "four populations, gap junctions": Case(four),
    "cell of Liu et al.": Case(burster),
    "own channel": Case(own, 6.0),
    "GHK channel": Case(goldman, 6.0),
    "kinetic synapses": Case(mixed, 4.0),
    "all operations, current of t": Case(every, pulse),
}

Traces = tuple[Any, Mapping[Any, Any]]  # times (ms), and the potentials (mV) of each cell


def start(case: Case) -> Any:
    """The state from which both runs start."""
    model = model_of(case.model())
    return model.get_thermalization() if model.starts_thermalized else model.cold


def ours(case: Case, stop: float, state: Any = None, **scheme: Any) -> Traces:
    """Our converged run, from a state or from the start of both."""
    model = model_of(case.model())
    state = start(case) if state is None else state
    t = np.arange(0, stop, EVERY)
    run = model(t, state=state, I_ext=case.I_ext, **({"dt": CONVERGED} | scheme), record=("V",))
    return np.asarray(run.t), dict(zip(model.cells, np.asarray(run.states.V).T, strict=True))


def differences(a: Traces, b: Traces) -> tuple[int, float]:
    """How many spikes two runs have, and the largest difference (ms) of one; infinite where their numbers differ."""
    n, worst = 0, 0.0
    for cell, V in a[1].items():
        found = [spikes(np.asarray(t), np.asarray(x)) for t, x in ((a[0], V), (b[0], b[1][cell]))]
        n += len(found[0])
        if len(found[0]) != len(found[1]):
            return n, np.inf
        worst = max(worst, np.abs(found[0] - found[1]).max(initial=0.0))
    return n, worst


def periods(traces: Traces, after: float) -> np.ndarray:
    """The mean burst period (ms) of each cell after a time (ms)."""
    starts = [bursts(spikes(np.asarray(traces[0]), np.asarray(V)))[:, 0] for V in traces[1].values()]
    return np.array([np.diff(x[x > after]).mean() for x in starts])
