"""Cells, networks, equations of one's own, integrate-and-fire cells, fits, curves and modules of torch."""
# ruff: noqa: ARG005 (an equation has the arguments of all equations, whichever it reads)

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
from networks import AXON, HH

from pyloric_simulator.files.results import SimResult
from pyloric_simulator.fitting.curves import flattest, minimally_disruptive_curve, smoothed
from pyloric_simulator.fitting.fit import fit
from pyloric_simulator.fitting.losses import prediction_error as steered_error
from pyloric_simulator.fitting.losses import trace_mismatch
from pyloric_simulator.fitting.parameters import conductance_names, model_with, parameters, with_values
from pyloric_simulator.fitting.sensitivity import sensitivity
from pyloric_simulator.models.channels import GHK, Calcium, Prinz2003
from pyloric_simulator.models.channels import Q10 as Factors
from pyloric_simulator.models.lif import (
    CELL,
    LIF,
    descend,
    fast_sigmoid,
    prediction_error,
    rate,
    simulate_lif,
    superspike,
    surrogate,
    van_rossum,
)
from pyloric_simulator.models.networks import Cell, GapJunction, Graded, Kinetic, Network, Synapse, upstrokes
from pyloric_simulator.models.neurons import Neuron, simulate_neuron
from pyloric_simulator.prinz2004 import (
    GLUTAMATE,
    B,
    Channel,
    Gate,
    Nernst,
    Prinz2004,
    Transmitter,
    currents,
    derivative,
    simulate,
)

from . import Case, mistyped, refused, warned


def late(case: Case) -> Case:
    """A case in which a user's function has to be evaluated before it is refused."""
    return case._replace(compiles=True)


POOL = Prinz2003.calcium
GATE = Gate(B(40, -5), B(0, 5) + 1)
SLOW = Kinetic("slow", 0, lambda s, V_pre, V_post: 1 - s)
NET = Network(
    {"a": AXON, "b": AXON}, [Synapse("a", "b", GLUTAMATE, 20), Synapse("a", "b", SLOW, 20), GapJunction("a", "b", 10)]
)
P, COLD, T = NET.params, NET.cold, np.arange(0, 2, 0.25)
BARE = Network({"a": AXON, "b": AXON})
RUN = SimResult(T, type(COLD)(*(np.stack(8 * [x]) for x in COLD)), NET)
CIRCUIT = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
NA = "AB/PD 2 Na"


def made(density: float = 1.0, calcium: Any = POOL, **changes: Any) -> Cell:
    """A cell of one channel with two gates, some of it changed."""
    return Cell(
        [Channel(**({"name": "X", "E": -50, "p": 1, "m": GATE, "h": GATE} | changes))(density)], calcium=calcium
    )


def driven(E: Any, density: float = 1.0) -> Cell:
    """A cell of one channel without gates."""
    return Cell([Channel("X", E)(density)], calcium=POOL)


def gated(inf: Any = GATE.inf, tau: Any = GATE.tau, K: Any = 0.0) -> Cell:
    return made(m=Gate(inf, tau, K))


def pool(**changes: Any) -> Cell:
    return Cell([HH.leak(0.3)], calcium=Calcium(**({"f": 14.96, "τ": 200.0} | changes)))


def joined(*connections: Any, **options: Any) -> Network:
    return Network({"a": AXON, "b": AXON}, connections, **options)


def of_kind(kind: Any) -> Network:
    return joined(Synapse("a", "b", kind, 10))


def neuron(**changes: Any) -> Neuron:
    """Two leaky cells with a threshold, some of it changed."""
    usual: dict[str, Any] = {"start": {"V": -65}, "derivative": lambda y, I, p: {"V": (-65 - y.V + 10 * I) / p.τ}}
    usual |= {"params": {"τ": 20}, "size": 2, "threshold": lambda y, p: y.V + 50, "reset": lambda y, p: {"V": -70}}
    return Neuron(**(usual | changes))


PLAIN = neuron(threshold=None, reset=None)
CELLS = LIF(2)
TRAINS = np.zeros((20, 2))


def network_with(**changes: Any) -> Network:
    """A network whose parameters were replaced."""
    network = Network({"a": AXON, "b": AXON}, [Synapse("a", "b", GLUTAMATE, 20)])
    network.params = network.params.replace(**changes)
    return network


TABLE = pd.DataFrame(np.ones((2, 3)), ["b", "a"], ["K", "Na", "leak"])


def squared(params: Any) -> Any:
    return (params.g[0, 0] - 60.0) ** 2


def fitted(**changes: Any) -> Any:
    return fit(**({"model": CIRCUIT, "loss": squared, "parameters": [NA], "steps": 2, "progress": False} | changes))


def sensitive(**changes: Any) -> Any:
    usual = {"features": lambda t, V: {"mean": V.mean()}, "names": [NA], "duration": 6.0, "transient": 2.0}
    return sensitivity(CIRCUIT, **(usual | changes))


def of_sum(g: Mapping[str, Any]) -> Any:
    return jnp.log((g["a"] + g["b"]) / 2) ** 2 / 2


ONES = {"a": 1.0, "b": 1.0}


def curve(**changes: Any) -> Any:
    usual = {"loss": of_sum, "start": ONES, "direction": {"a": 1, "b": -1}, "length": 1.0, "momentum": 0.005}
    return minimally_disruptive_curve(**(usual | changes))


CASES: dict[str, Case] = {
    # channels
    "channel: name no text": mistyped(lambda: made(name=1), "1", "must be text"),
    "channel: name of a column": refused(lambda: made(name="synaptic"), "'synaptic'", "Rename"),
    "channel: E in V": warned(lambda: made(E=-0.08), "0.08", "in V, multiply it by 1000"),
    "channel: E in µV": warned(lambda: made(E=-80_000), "8e+04", "in µV"),
    "channel: E None": mistyped(lambda: made(E=None), "None", "Nernst()"),
    "channel: E of text": mistyped(lambda: made(E="-50"), "'-50'", "number in mV"),
    "channel: E NaN": refused(lambda: made(E=np.nan), "nan", "finite"),
    "channel: E Boolean": mistyped(lambda: made(E=True), "True", "number in mV"),
    "channel: E complex": mistyped(lambda: made(E=1j), "1j", "number in mV"),
    "channel: E of half precision": mistyped(lambda: made(E=np.float16(-50)), "float16"),
    "channel: a gate without an exponent": refused(lambda: made(p=0), "p of the channel 'X' is 0", "Say p=1"),
    "channel: an exponent without a gate": refused(lambda: made(p=3, m=None), "p of the channel 'X' is 3", "Give m"),
    "channel: h without an exponent": refused(lambda: made(q=0), "q of the channel 'X' is 0", "Say q=1"),
    "channel: q without h": refused(lambda: made(q=2, h=None), "q of the channel 'X' is 2", "Give h"),
    "channel: p not whole": refused(lambda: made(p=1.5), "1.5", "whole number"),
    "channel: p negative": refused(lambda: made(p=-1), "-1", "at least 0"),
    "channel: p Boolean": mistyped(lambda: made(p=True), "True"),
    "channel: a gate that is none": mistyped(lambda: made(m=lambda V: 0.5), "type function", "Gate("),
    "channel: ion in small letters": refused(lambda: made(ion="ca"), "'ca'", "Did you mean 'Ca'"),
    "channel: ion in capitals": refused(lambda: made(ion="CA"), "'CA'", "Did you mean 'Ca'"),
    "channel: ion by its name": refused(lambda: made(ion="calcium"), "'calcium'", "Did you mean 'Ca'"),
    "channel: another ion": refused(lambda: made(ion="K"), "'K'", "only ion whose concentration changes"),
    "channel: Q10 is a number": mistyped(lambda: made(q10=3), "type int", "Q10(rate=3)"),
    "channel: Q10 negative": refused(lambda: made(q10=Factors(rate=-3)), "-3", "positive"),
    "channel: density in S/cm²": warned(lambda: made(3e-4), "0.0003", "in S/cm²"),
    "channel: density in µS/cm²": warned(lambda: made(120_000), "1.2e+05", "in µS/cm²"),
    "channel: density of half precision": mistyped(lambda: HH.Na(np.float16(120)), "float16"),
    "channel: density masked": refused(lambda: HH.Na(np.ma.masked_equal([120.0], 120.0)), "masked"),
    "channel: density of text": mistyped(lambda: HH.Na("120"), "'120'", "mS/cm²"),
    "channel: a permeability in mS/cm²": warned(lambda: driven(GHK(), 100), "100 cm/s", "permeabilities"),
    # gates
    "gate: K negative": refused(lambda: gated(K=-3), "-3", "not be negative"),
    "gate: K in M": warned(lambda: gated(K=3e-6), "3e-06", "in mM, multiply it by 1000"),
    "gate: K None": mistyped(lambda: gated(K=None), "None", "µM"),
    "gate: τ is a number": mistyped(lambda: gated(tau=5.0), "5.0", "must be a function"),
    "gate: an array": mistyped(lambda: gated(inf=np.ones(3)), "must be a function"),
    "gate: three arguments": mistyped(lambda: gated(inf=lambda V, Ca, m: m), "'m'", "of V, or of V and Ca"),
    "gate: a truth value": mistyped(lambda: gated(inf=lambda V: V > -40), "bool", "not truth values"),
    "gate: complex": late(mistyped(lambda: gated(inf=lambda V: jnp.asarray(1j)), "complex", "real numbers")),
    "gate: None": mistyped(lambda: gated(inf=lambda V: None), "None", "real numbers"),
    "gate: NumPy": mistyped(lambda: gated(inf=lambda V: np.exp(np.asarray(V))), "cannot be evaluated by JAX", "jax.numpy"),
    "gate: above 1": late(refused(lambda: gated(inf=lambda V: 1 + 0 * V + 0.5), "1.5", "between 0 and 1")),
    "gate: τ negative": late(refused(lambda: gated(tau=lambda V: V), "-100 ms", "positive")),
    "gate: NaN at one potential": late(refused(lambda: gated(inf=lambda V: 0 * V / (V + 40) + 0.5), "V = -40 mV", "linoid")),
    "gate: τ in µs": warned(lambda: gated(tau=lambda V: 5e6), "5e+06 ms", "in µs, divide it by 1000"),
    # concentrations
    "Nernst: z of 0": refused(lambda: driven(Nernst(0, 5400, 1e5)), "z of Nernst of the channel 'X' is 0", "Say 1 for K"),
    "Nernst: z not whole": refused(lambda: driven(Nernst(1.5, 5400, 1e5)), "1.5", "whole number"),
    "Nernst: z Boolean": mistyped(lambda: driven(Nernst(True, 5400, 1e5)), "True"),
    "Nernst: in mM": warned(lambda: driven(Nernst(1, 5.4, 140)), "5.4 µM", "in mM, multiply it by 1000"),
    "Nernst: in M": warned(lambda: driven(Nernst(1, 0.0054, 0.14)), "0.0054 µM", "in M"),
    "Nernst: one concentration of potassium": refused(lambda: driven(Nernst(1, 5400)), "inside", "None", "Add inside="),
    "Nernst: negative": refused(lambda: driven(Nernst(1, -5400, 1e5)), "-5400", "positive"),
    "Nernst: zero": refused(lambda: driven(Nernst(1, 0, 1e5)), "is 0 µM", "positive"),
    "GHK: in M": warned(lambda: driven(GHK(2, 0.003, 5e-8), 1e-5), "0.003 µM", "in M"),
    "GHK: text": mistyped(lambda: driven(GHK(2, "3000", 0.05), 1e-5), "'3000'", "µM"),
    "calcium: τ in s": warned(lambda: pool(τ=0.2), "0.2 ms", "in s, multiply it by 1000"),
    "calcium: τ of 0": refused(lambda: pool(τ=0), "τ of calcium is 0", "positive"),
    "calcium: f negative": refused(lambda: pool(f=-14.96), "-14.96", "at least 0"),
    "calcium: rest in M": warned(lambda: pool(rest=5e-8), "5e-08 µM", "in M"),
    "calcium: rest in nM": warned(lambda: pool(rest=50), "50 µM", "in nM"),
    "calcium: outside in mM": warned(lambda: pool(outside=3), "3 µM", "in mM, multiply it by 1000"),
    "calcium: rest and outside exchanged": refused(lambda: pool(rest=3000, outside=0.05), "3000 µM", "Exchange them"),
    "calcium: Q10 of 0": refused(lambda: pool(q10=0), "q10 of calcium is 0", "positive"),
    "calcium: a truth value": mistyped(lambda: Cell([HH.leak(0.3)], calcium=True), "type bool", "Prinz2003.calcium"),
    "calcium: an empty list": mistyped(lambda: Cell([HH.leak(0.3)], calcium=[]), "type list"),
    # cells
    "cell: area in µm²": warned(lambda: Cell([HH.leak(0.3)], area=62_800), "6.28e+04 cm²", "in µm², multiply it by 1e-08"),
    "cell: area of 0": refused(lambda: Cell([HH.leak(0.3)], area=0), "area is 0", "positive"),
    "cell: area negative": refused(lambda: Cell([HH.leak(0.3)], area=-1e-4), "-0.0001", "positive"),
    "cell: capacitance in F/m²": warned(lambda: Cell([HH.leak(0.3)], capacitance=0.01), "0.01 µF/cm²", "in F/m²"),
    "cell: temperature in K": refused(lambda: Cell([HH.leak(0.3)], temperature=283.15), "283.15 °C", "subtract 273.15"),
    "cell: temperature of a star": refused(lambda: Cell([HH.leak(0.3)], temperature=6000), "6000 °C", "between -5 and 60"),
    "cell: V in V": warned(lambda: Cell([HH.leak(0.3)], V=-0.065), "0.065 mV", "in V"),
    "cell: V NaN": refused(lambda: Cell([HH.leak(0.3)], V=np.nan), "nan", "finite"),
    "cell: a mapping of channels": mistyped(lambda: Cell({"Na": HH.Na(120)}), "'Na'", "list of channels with their densities"),
    "cell: the same channel twice": refused(lambda: Cell([HH.Na(120), HH.Na(1)]), "'Na' twice", "Rename"),
    "cell: a gate of calcium without calcium": late(refused(
        lambda: made(calcium=None, m=Gate(lambda V, Ca: Ca / (Ca + 3), GATE.tau)), "reads it", "must have a pool")),
    # synapses and networks
    "synapse: kind in the place of g": mistyped(lambda: joined(Synapse("a", "b", 30, GLUTAMATE)), "Transmitter(", "numbers in nS"),
    "synapse: twice": refused(lambda: joined(*2 * [Synapse("a", "b", GLUTAMATE, 30)]), "'glutamate'", "twice", "Add the conductances"),
    "synapse: a gap junction from both sides": refused(
        lambda: joined(GapJunction("a", "b", 30), GapJunction("b", "a", 30)), "('b', 'a')", "twice", "the sum"),
    "synapse: onto itself": refused(lambda: joined(Synapse("a", "a", GLUTAMATE, 30)), "'a'", "onto itself"),
    "synapse: unknown label": refused(lambda: joined(Synapse("a", "B", GLUTAMATE, 30)), "'B'", "the circuit has 'a', 'b'"),
    "synapse: number in the place of a label": mistyped(lambda: joined(Synapse(0, 1, GLUTAMATE, 30)), "is 0", "must be text"),
    "synapse: g of text": mistyped(lambda: joined(Synapse("a", "b", GLUTAMATE, "30")), "'30'"),
    "synapse: no list": mistyped(lambda: Network({"a": AXON, "b": AXON}, Synapse("a", "b", GLUTAMATE, 30)), "must be a list"),
    "kind: E in V": warned(lambda: of_kind(Graded("x", -0.07, GATE)), "0.07 mV", "in V"),
    "kind: E None": mistyped(lambda: of_kind(Graded("x", None, GATE)), "None", "mV"),
    "kind: name no text": mistyped(lambda: of_kind(Graded(1, -70, GATE)), "is 1", "text"),
    "kind: no gate": mistyped(lambda: of_kind(Graded("x", -70, None)), "NoneType", "Gate("),
    "kind: Q10 Boolean": mistyped(lambda: of_kind(Graded("x", -70, GATE, Factors(rate=True))), "True"),
    "kind: a transmitter that never leaves": refused(lambda: of_kind(Transmitter("x", -70, 0)), "k of the synapse 'x' is 0", "positive"),
    "kind: start negative": refused(lambda: of_kind(SLOW._replace(start=-1)), "-1", "at least 0"),
    "kind: rate is a number": mistyped(lambda: of_kind(SLOW._replace(rate=3)), "is 3", "function"),
    "kind: rate of two": late(mistyped(
        lambda: of_kind(SLOW._replace(rate=lambda s, V: s)), "cannot be evaluated", "s, V_pre and V_post")),
    "kind: rate a truth value": mistyped(lambda: of_kind(SLOW._replace(rate=lambda s, a, b: a > 0)), "bool", "real numbers"),
    "kind: rate NaN": late(refused(lambda: of_kind(SLOW._replace(rate=lambda s, a, b: (s - s) / (s - s))), "nan", "finite")),
    "network: label no text": mistyped(lambda: Network({1: AXON}), "1", "label and a Cell"),
    "network: sizes is a list": mistyped(lambda: joined(sizes=[2, 3]), "[2, 3]", "{'a': 10}"),
    "network: a size for nobody": refused(lambda: joined(sizes={"A": 2}), "'A'", "'a', 'b'"),
    "network: size Boolean": mistyped(lambda: joined(sizes={"a": True}), "True", "whole number"),
    "network: size broken": mistyped(lambda: joined(sizes={"a": 1.5}), "1.5", "whole number"),
    "network: a billion cells": Case(lambda: joined(sizes={"a": 10**9}), MemoryError, ("1,000,000,001 cells", "GB", "may be fewer")),
    "network: dense gap junctions": Case(
        lambda: joined(GapJunction("a", "b", 1), sizes={"a": 10**6, "b": 10**6}), MemoryError, ("2000000 cells", "GB")),
    # states and parameters wherever they enter
    "params: g of another network": refused(lambda: network_with(g=np.ones((1, 3)))(T), "g has shape (1, 3)", "(2, 3)"),
    "params: one gs too many": refused(lambda: network_with(gs=np.ones(2))(T), "gs has shape (2,)", "(1,)"),
    "params: gs negative": refused(lambda: network_with(gs=np.array([-1.0]))(T), "-1", "not be negative"),
    "params: gs NaN": refused(lambda: network_with(gs=np.array([np.nan]))(T), "nan", "finite"),
    "params: a table for g": mistyped(lambda: network_with(g=TABLE)(T), "g is a DataFrame", "labels are not read", ".to_numpy()"),
    "params: gs with labels": mistyped(lambda: network_with(gs=pd.Series({"a": 1.0}))(T), "Series", "labels are not read", ".to_numpy()"),
    "params: g of each group": refused(lambda: network_with(g=(np.ones((2, 3)),))(T), "g has shape (1, 2, 3)", "(2, 3)"),
    "pure: gz of one": refused(lambda: simulate(replace(P, gz=np.ones(2)), COLD, T), "params.gz has shape (2,)", "(1,)"),
    "pure: two groups": refused(lambda: simulate(replace(P, g=np.concatenate([P.g, P.g])), COLD, T), "params.g has shape (4, 3)", "(2, 3)"),
    "pure: params of a circuit": mistyped(lambda: simulate(CIRCUIT.params, COLD, T), "type KineticState", "this circuit"),
    "pure: state of a circuit": mistyped(lambda: simulate(P, CIRCUIT.cold, T), "type State", "model.cold"),
    "pure: state None": mistyped(lambda: simulate(P, None, T), "NoneType", "model.cold"),
    "pure: state of one cell": refused(lambda: simulate(P, COLD._replace(V=np.zeros(1)), T), "state.V has shape (1,)", "(2,)"),
    "pure: gates of too many cells": refused(lambda: simulate(P, COLD._replace(m=np.zeros((3, 2))), T), "state.m", "(2, 2)"),
    "pure: truth values in a state": mistyped(lambda: simulate(P, COLD._replace(V=np.ones(2, bool)), T), "state.V", "truth values"),
    "pure: derivative at another state": refused(lambda: derivative(P, COLD._replace(z=np.zeros(2))), "state.z", "(2, 1)"),
    "pure: currents without time": refused(lambda: currents(P, COLD), "state.V", "time"),
    "pure: derivative with a current too many": refused(lambda: derivative(P, COLD, np.ones(3)), "(3,)", "(2,)"),
    "spikes above text": mistyped(lambda: RUN.spike_times("-10"), "'-10'", "number in mV"),
    "monitor: no function": mistyped(lambda: RUN.monitor(3), "f is 3", "function"),
    "monitor: one cell": refused(lambda: RUN.monitor(lambda y: y.V[:, 0]), "(8,)", "(8, 2)"),
    "currents of nothing": mistyped(lambda: NET.currents(None), "NoneType", "result.final_state"),
    "upstrokes: another length": refused(lambda: upstrokes(T, np.zeros(3)), "(3,)", "(8,)"),
    "upstrokes: level NaN": refused(lambda: upstrokes(T, 0 * T, np.nan), "nan", "finite"),
    # equations of one's own
    "neuron: a Boolean threshold": late(mistyped(lambda: neuron(threshold=lambda y, p: y.V > -50), "bool", "y.V - p.V_th")),
    "neuron: the threshold the wrong way round": late(refused(
        lambda: neuron(threshold=lambda y, p: -50 - y.V), "20 after a reset", "fires at every step", "y.V - p.V_th")),
    "neuron: reset above the threshold": late(refused(
        lambda: neuron(reset=lambda y, p: {"V": -40}), "10 after a reset", "below 0")),
    "neuron: starts above": warned(lambda: neuron(start={"V": -45}), "starts 5 above", "fires in the first step"),
    "neuron: a reset of nothing": warned(lambda: neuron(reset=lambda y, p: {}), "nothing", "'V'", "Reset what"),
    "neuron: a threshold that reads nothing": refused(lambda: neuron(threshold=lambda y, p: p.τ), "none of 'V'", "always or never"),
    "neuron: threshold None of reset": mistyped(lambda: neuron(reset=3), "reset is 3", "function"),
    "neuron: derivative no function": mistyped(lambda: neuron(derivative=3), "derivative is 3", "function"),
    "neuron: derivative no mapping": mistyped(lambda: neuron(derivative=lambda y, I, p: -y.V), "must return a mapping"),
    "neuron: derivative a truth value": mistyped(lambda: neuron(derivative=lambda y, I, p: {"V": y.V > 0}), "bool", "real number"),
    "neuron: derivative complex": mistyped(lambda: neuron(derivative=lambda y, I, p: {"V": jnp.asarray(1j)}), "complex", "real number"),
    "neuron: parameter NaN": refused(lambda: neuron(params={"τ": np.nan}), "τ is nan", "finite"),
    "neuron: parameter Boolean": mistyped(lambda: neuron(params={"τ": True}), "True"),
    "neuron: parameters with labels": mistyped(lambda: neuron(params={"τ": pd.Series({"b": 10, "a": 20})}), "['b', 'a']", "order counts"),
    "neuron: parameters in a list": mistyped(lambda: neuron(params=[20]), "params is [20]", "mapping"),
    "neuron: a name that Python keeps": refused(lambda: neuron(params={"lambda": 1, "τ": 20}), "'lambda'", "Rename"),
    "neuron: a name that is a number": refused(lambda: neuron(start={1: -65}), "1 is not a name", "Rename"),
    "neuron: a billion": Case(lambda: neuron(size=10**9), MemoryError, ("1,000,000,000 cells", "GB")),
    "neuron: a run that fills memory": Case(lambda: neuron()([0, 4e7], dt=0.02), MemoryError, ("run of 2 cells", "GB"), True),
    "neuron: record in a list": mistyped(lambda: PLAIN(T, record=[1]), "[1]", "functions of y and p"),
    "neuron: record no function": mistyped(lambda: PLAIN(T, record={"w": 1}), "'w': 1", "function of y and p"),
    "neuron: record a list": refused(lambda: PLAIN(T, record={"w": lambda y, p: jnp.stack([y.V, y.V])}), "(2,)", "for one cell"),
    "neuron: reset to nothing": late(refused(lambda: neuron(reset=lambda y, p: {"V": jnp.nan}), "nan after a reset", "defined")),
    "neuron: state of another": mistyped(lambda: simulate_neuron(PLAIN, T, state=CELLS.rest), "State(", "same equations"),
    "neuron: state of three": refused(
        lambda: simulate_neuron(PLAIN, T, state=PLAIN.state._replace(V=np.zeros(3))), "(3,)", "(2,) for each cell"),
    "neuron: pure parameter NaN": refused(lambda: simulate_neuron(PLAIN, T, params={"τ": np.nan}), "nan", "finite"),
    "neuron: pure parameters in a list": mistyped(lambda: simulate_neuron(PLAIN, T, params=[3]), "[3]", "mapping"),
    "neuron: no neuron": mistyped(lambda: simulate_neuron(CELLS, T), "type LIF", "Neuron"),
    "neuron: spike a truth value": mistyped(lambda: simulate_neuron(PLAIN, T, spike=lambda v: v > 0), "bool", "truth value"),
    # integrate-and-fire cells
    "LIF: potentials in V": warned(lambda: LIF(1, V_rest=-0.065, V_reset=-0.07, V_th=-0.05), "0.07 mV", "in V, multiply it by 1000"),
    "LIF: τ in s": warned(lambda: LIF(1, τ=0.02), "0.02 ms", "in s, multiply it by 1000"),
    "LIF: R in GΩ": warned(lambda: LIF(1, R=0.01), "0.01 MΩ", "in GΩ"),
    "LIF: t_ref in s": warned(lambda: LIF(1, t_ref=0.002), "0.002 ms", "in s"),
    "LIF: threshold NaN": refused(lambda: LIF(1, V_th=[np.nan]), "nan", "finite"),
    "LIF: thresholds masked": refused(lambda: LIF(2, V_th=np.ma.masked_equal([-50.0, -40], -40)), "1 masked", "Fill them"),
    "LIF: thresholds nullable": refused(lambda: LIF(2, V_th=pd.array([-50, None], dtype="Float64")), "missing"),
    "LIF: τ in another order": mistyped(lambda: LIF(2, τ=pd.Series([10.0, 20.0], [1, 0])), "[1, 0]", "only the order counts"),
    "LIF: R Boolean": mistyped(lambda: LIF(1, R=True), "truth values"),
    "LIF: size Boolean": mistyped(lambda: LIF(True), "True", "whole number"),
    "LIF: a billion": Case(lambda: LIF(10**9), MemoryError, ("1,000,000,000 cells", "GB")),
    "LIF: a run that fills memory": Case(lambda: CELLS([0, 1e8]), MemoryError, ("run of 2 cells", "GB")),
    "LIF: pure, threshold NaN": refused(lambda: simulate_lif(CELL._replace(V_th=np.nan), CELLS.rest, T), "V_th contains nan", "Fill"),
    "LIF: pure, reset above threshold": refused(lambda: simulate_lif(CELL._replace(V_reset=-40), CELLS.rest, T), "-40", "Lower V_reset"),
    "LIF: pure, τ negative": refused(lambda: simulate_lif(CELL._replace(τ=-20), CELLS.rest, T), "-20", "positive"),
    "LIF: pure, state None": mistyped(lambda: simulate_lif(CELL, None, T), "NoneType", "LIF(size).rest"),
    "LIF: pure, params of a circuit": mistyped(lambda: simulate_lif(P, CELLS.rest, T), "Params", "CELL"),
    "LIF: rate at NaN": refused(lambda: rate(CELL, np.nan), "I contains nan", "defined"),
    "LIF: distance of trains of other length": refused(lambda: van_rossum(TRAINS, TRAINS[:5], τ_D=20), "(20, 2) and (5, 2)", "same run"),
    "LIF: distance, τ negative": refused(lambda: van_rossum(TRAINS, TRAINS, τ_D=-20), "-20 ms", "positive"),
    "LIF: prediction over no step": refused(lambda: prediction_error(CELL, _states(), TRAINS, n=0), "n is 0", "at least 1"),
    "LIF: prediction over all": refused(lambda: prediction_error(CELL, _states(), TRAINS, n=20), "20 steps", "fewer steps"),
    "LIF: prediction, current of one cell": refused(lambda: prediction_error(CELL, _states(), TRAINS[:, 0], n=5), "(20,)", "(step, cell)"),
    "LIF: descent from NaN": refused(lambda: descend(squared, np.nan, rate=0.1, steps=1), "nan", "finite"),
    "LIF: descent of no step": refused(lambda: descend(lambda x: x, 1.0, rate=0.1, steps=0), "steps is 0", "at least 1"),
    "LIF: slope Boolean": mistyped(lambda: fast_sigmoid(True), "True", "1/mV"),
    "LIF: slope infinite": refused(lambda: superspike(np.inf), "inf", "finite"),
    "LIF: surrogate a truth value": mistyped(lambda: surrogate(lambda v: v > 0), "bool", "truth value"),
    # names of numbers, sensitivities and fits
    "fit: names of integrate-and-fire cells": refused(lambda: fitted(model=CELLS, parameters=["τ 1"]), "'τ 1'", "such as 'V_rest'"),
    "fit: conductances of parameters": mistyped(lambda: conductance_names(P), "must be a Prinz2004, a Cell or a Network"),
    "fit: a neuron": refused(lambda: fitted(model=PLAIN), NA, "such as 'τ'"),
    "fit: a loss of a neuron": refused(lambda: trace_mismatch(PLAIN, (T, np.zeros((8, 3)))), "3 columns", "one for each cell"),
    "fit: a loss of two cells for one": refused(lambda: trace_mismatch(AXON, (T, np.zeros((8, 2)))), "2 columns", "one for each cell"),
    "fit: a state of another network": refused(lambda: trace_mismatch(AXON, (T, np.zeros(8)), state=BARE.cold), "(2,)", "same circuit"),
    "fit: steering without a leak": refused(lambda: steered_error(driven(Nernst()), (T, np.zeros(8))), "['X']"[1:-1], "Add one"),
    "fit: two numbers of one name": refused(lambda: parameters(Network({"E": AXON})), "2 numbers", "'E Na'", "Rename"),
    "fit: a channel of another cell": refused(lambda: model_with(NET, {"a Kd": 1.0}), "'a Kd'", "Did you mean 'a K'"),
    "fit: a synapse of two kinds": refused(lambda: model_with(NET, {"a-b": 1.0}), "'a-b'", "'a-b glutamate', 'a-b slow'"),
    "fit: a negative gap junction": refused(lambda: model_with(NET, {"a=b ge": -1.0}), "'a=b ge' is -1", "at least 0"),
    "fit: a rate of slope 0": refused(lambda: model_with(NET, {"Na m α k": 0}), "'Na m α k' is 0", "slope in mV"),
    "fit: a rate that closes never": refused(lambda: model_with(NET, {"k glutamate": 0}), "'k glutamate' is 0", "positive"),
    "fit: values in a list": mistyped(lambda: with_values(CIRCUIT.params, [100]), "[100]", "mapping"),
    "fit: params of a neuron": refused(lambda: with_values(PLAIN.params, {NA: 100}), NA, "such as 'τ'"),
    "fit: params of no model": mistyped(lambda: with_values([100], {NA: 100}), "model.params"),
    "fit: a negative conductance": refused(lambda: with_values(CIRCUIT.params, {NA: -100}), "-100", "at least 0"),
    "fit: a conductance NaN": refused(lambda: with_values(CIRCUIT.params, {NA: np.nan}), "nan", "finite"),
    "fit: two conductances for one": mistyped(lambda: with_values(CIRCUIT.params, {NA: np.ones(2)}), "ndarray", "number"),
    "fit: a potential of text": mistyped(lambda: with_values(CIRCUIT.params, {"E Na": "50"}), "'50'", "number"),
    "fit: a potential in V": warned(lambda: with_values(CIRCUIT.params, {"E Na": 0.05}), "0.05 mV", "in V, multiply it by 1000"),
    "fit: no capacitance": refused(lambda: with_values(CIRCUIT.params, {"C": 0}), "'C' is 0", "positive"),
    "fit: no slope": refused(lambda: with_values(CIRCUIT.params, {"Na m inf k1": 0}), "k1' is 0", "slope in mV"),
    "fit: another model's name": refused(lambda: model_with(CIRCUIT, {"LP Na": 100}), "'LP Na'", "parameters(model)"),
    "fit: one name as text": mistyped(lambda: fitted(parameters=NA), repr(NA), "list of names"),
    "fit: names twice": refused(lambda: fitted(parameters=[NA, NA]), "twice", "Remove"),
    "fit: steps Boolean": mistyped(lambda: fitted(steps=True), "True", "whole number"),
    "fit: seed None": mistyped(lambda: fitted(seed=None), "None", "whole number"),
    "fit: seed negative": refused(lambda: fitted(seed=-1), "seed is -1", "at least 0"),
    "fit: starts Boolean": mistyped(lambda: fitted(starts=True), "True", "whole number"),
    "fit: a billion starts": Case(lambda: fitted(starts=10**9), MemoryError, ("1000000000 starts", "GB")),
    "fit: starts NaN": refused(lambda: fitted(starts=[[np.nan]]), "nan", "outside its bounds"),
    "fit: starts of other names": refused(lambda: fitted(starts=pd.DataFrame({"Na": [100.0]})), repr(NA), "one of 'Na'"),
    "fit: bounds in a list": mistyped(lambda: fitted(bounds=[(50, 200)]), "[(50, 200)]", "mapping"),
    "fit: three bounds": mistyped(lambda: fitted(bounds={NA: (50, 100, 200)}), "(50, 100, 200)", "(low, high)"),
    "fit: a bound NaN": refused(lambda: fitted(bounds={NA: (np.nan, 200)}), "nan", "finite"),
    "fit: bounds reversed": refused(lambda: fitted(bounds={NA: (200, 50)}), "200 and 50", "less"),
    "fit: bounds in S/cm²": refused(lambda: fitted(bounds={NA: (0.05, 0.2)}), "starts at 100", "outside its bounds"),
    "fit: clip negative": refused(lambda: fitted(clip=-1), "clip is -1", "positive"),
    "fit: clip of 0": refused(lambda: fitted(clip=0), "clip is 0", "positive"),
    "fit: width of the whole box": refused(lambda: fitted(width=1.0), "width is 1", "between 0 and 1"),
    "fit: goal of text": mistyped(lambda: fitted(goal="low"), "'low'", "number"),
    "fit: progress of text": mistyped(lambda: fitted(progress="no"), "'no'", "True or False"),
    "fit: loss no function": mistyped(lambda: fitted(loss=3), "loss is 3", "function"),
    "fit: loss of another model": mistyped(lambda: fitted(loss=lambda p: p.weights.sum()), "weights", "function of one argument"),
    "sensitivity: a name twice": refused(lambda: sensitive(names=[NA, NA]), "twice", "Remove"),
    "sensitivity: of nothing": refused(lambda: sensitive(names=["AB/PD 2 leak"]), "'AB/PD 2 leak' is 0", "per cent"),
    "sensitivity: features by place": mistyped(lambda: sensitive(features=lambda t, V: V.mean()), "by name", "mapping"),
    "sensitivity: a feature of all times": refused(lambda: sensitive(features=lambda t, V: {"V": V[:, 0]}), "'V'", "one real number"),
    "sensitivity: duration below transient": refused(lambda: sensitive(duration=1.0), "duration is 1 ms", "transient 2 ms"),
    "sensitivity: every of 0": refused(lambda: sensitive(every=0), "every is 0 ms", "positive"),
    "sensitivity: every between steps": refused(lambda: sensitive(every=0.07), "whole steps", "0.05 ms"),
    "sensitivity: a rhythm sampled at 5 ms": refused(lambda: sensitive(features=None, duration=6000.0, every=5.0), "5 ms", "0.5"),
    # curves
    "curve: loss no function": mistyped(lambda: curve(loss=3), "loss is 3", "function"),
    "curve: loss of one argument too many": mistyped(lambda: curve(loss=lambda a, b: a), "cannot be traced", "one argument"),
    "curve: start Boolean": mistyped(lambda: curve(start={"a": True, "b": 1.0}), "True", "positive number"),
    "curve: start complex": mistyped(lambda: curve(start={"a": 1j, "b": 1.0}), "1j", "positive number"),
    "curve: a name that is no text": mistyped(lambda: curve(start={1: 1.0}), "is 1", "text"),
    "curve: direction NaN": late(refused(lambda: curve(direction=[np.nan, 1]), "nan", "finite")),
    "curve: direction of truth values": late(mistyped(lambda: curve(direction=[True, False]), "True", "truth values")),
    "curve: step of 0": refused(lambda: curve(step=0), "step is 0", "positive"),
    "curve: step longer than the curve": refused(lambda: curve(step=2.0), "step is 2", "shorter"),
    "curve: both of text": mistyped(lambda: curve(both="no"), "'no'", "True or False"),
    "curve: more directions than parameters": refused(lambda: flattest(of_sum, ONES, 3), "n is 3", "from 1 to 2"),
    "curve: smoothed over per cents": warned(lambda: smoothed(of_sum, 5), "5 log units", "factor of 148", "divide it by 100"),
    "curve: smoothing nothing": mistyped(lambda: smoothed(3, 0.1), "f is 3", "function"),
    "curve: smoothed at a negative value": refused(lambda: smoothed(of_sum, 0.1)({"a": -1.0, "b": 1.0}), "-1", "positive"),
}  # fmt: skip


def _states() -> Any:
    """A recording of two integrate-and-fire cells at 20 steps."""
    return type(CELLS.rest)(TRAINS - 65, TRAINS, TRAINS)


if importlib.util.find_spec("torch"):
    import torch

    from pyloric_simulator.fitting.torch_bridge import CircuitModule, LIFModule, from_jax, to_jax, to_torch

    MODULE, FLAT = (
        CircuitModule(CIRCUIT, ["AB/PD 2 H"], T, state=CIRCUIT.cold),
        torch.tensor([float("nan")], dtype=torch.float64),
    )
    LAYER, LOST = LIFModule(2), LIFModule(2)
    torch.nn.init.constant_(LOST.coordinates["τ"], float("nan"))

    def module(**changes: Any) -> Any:
        return CircuitModule(**({"model": CIRCUIT, "names": [NA], "t": T, "state": CIRCUIT.cold} | changes))

    CASES |= {
        "torch: a neuron": mistyped(lambda: module(model=PLAIN), "must be a Prinz2004, a Cell or a Network"),
        "torch: a channel of another cell": refused(lambda: module(model=NET, names=["a Kd"]), "'a Kd'", "Did you mean 'a K'"),
        "torch: a name twice": refused(lambda: module(names=[NA, NA]), "twice", "Remove"),
        "torch: a batch of nothing": refused(lambda: module(names={NA: []}), "(0,)", "at least"),
        "torch: a negative conductance": refused(lambda: module(names={NA: [100, -1]}, log=False), "-1", "at least 0"),
        "torch: output no function": mistyped(lambda: module(output=3), "output is 3", "function"),
        "torch: log of text": mistyped(lambda: module(log="no"), "'no'", "True or False"),
        "torch: solver": refused(lambda: module(solver="euler"), "'euler'", "'staggered'"),
        "torch: dt of 0": refused(lambda: module(dt=0), "dt is 0 ms", "positive"),
        "torch: times between steps": refused(lambda: module(t=[0.0, 0.07]), "0.07 ms", "whole number of steps"),
        "torch: input NaN": refused(lambda: MODULE(FLAT), "I_ext contains nan", "0 for no input"),
        "torch: input an array": mistyped(lambda: MODULE(np.ones(1)), "ndarray", "torch tensor"),
        "torch: input of four axes": refused(lambda: MODULE(torch.ones(1, 1, 1, 1, dtype=torch.float64)), "(1, 1, 1, 1)", "(step, cell)"),
        "torch: input sparse": mistyped(lambda: MODULE(torch.eye(1).to_sparse()), "sparse", "to_dense"),
        "torch: an optimizer that has gone astray": refused(lambda: LOST(T), "τ contains nan", "smaller steps"),
        "torch: learn one name": mistyped(lambda: LIFModule(1, learn="V_th"), "'V_th'", "list of names"),
        "torch: learn twice": refused(lambda: LIFModule(1, learn=("τ", "τ")), "twice", "Remove"),
        "torch: a billion cells": Case(lambda: LIFModule(10**9), MemoryError, ("1,000,000,000 cells", "GB")),
        "torch: layer, input NaN": refused(lambda: LAYER(T, FLAT), "I_ext contains nan", "Fill"),
        "torch: an array for a tensor": mistyped(lambda: to_jax(np.ones(2)), "ndarray", "torch.as_tensor"),
        "torch: a tensor of no numbers": mistyped(lambda: to_jax(torch.ones(2, device="meta")), "meta", "real device"),
        "torch: an array that is none of JAX": mistyped(lambda: from_jax(np.ones(2)), "ndarray", "jnp.asarray"),
        "torch: no function": mistyped(lambda: to_torch("sin"), "'sin'", "function of JAX arrays"),
    }  # fmt: skip
