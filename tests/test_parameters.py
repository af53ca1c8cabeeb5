"""Names of all numbers of all models, and values in their places."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import AXON, LIU, mixed

from pyloric_simulator.config import find_circuit
from pyloric_simulator.fitting.adjoint import simulate_with_adjoint
from pyloric_simulator.fitting.parameters import model_with, parameters, with_values
from pyloric_simulator.models.networks import GapJunction, Network
from pyloric_simulator.prinz2004 import Prinz2004, neuron_models, simulate


@pytest.fixture(scope="module")
def paper():
    return Prinz2004.from_toml(find_circuit("paper"))


@pytest.fixture(scope="module")
def cell():
    return Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)


def test_names_and_values_of_all_numbers(paper):
    found = parameters(paper)
    assert found["AB/PD Na"] == 100
    assert found["PY-LP"] == 30
    assert found["E Na"] == 50
    assert found["E acetylcholine"] == -80
    assert found["C"] == 0.628
    assert found["Na m inf a1"] == 25.5
    assert found["KCa m K"] == 3
    assert "ge" not in found  # one pacemaker cell only


def test_with_values_changes_what_it_names_and_nothing_else(paper):
    new = {"LP Na": 120.0, "PD-LP": 7.0, "E Na": 45.0, "Kd m tau c0": 15.0, "k glutamate": 0.03, "τ_Ca": 300.0}
    changed = paper.params
    other = with_values(changed, new)
    model = model_with(paper, {})
    model.params = other
    before, after = parameters(paper), parameters(model)
    assert {n for n in before if before[n] != after[n]} == set(new)
    assert all(after[n] == x for n, x in new.items())


def test_whole_numbers_leave_the_others_as_they_are(cell):
    changed = parameters(model_with(cell, {"AB/PD 2 KCa": 2}))
    assert changed == parameters(cell) | {"AB/PD 2 KCa": 2}


def test_values_come_by_their_labels_from_a_series_too(cell):
    values = {"AB/PD 2 KCa": 2.0, "E Na": 45.0}
    assert parameters(model_with(cell, pd.Series(values))) == parameters(model_with(cell, values))


def test_unknown_names_are_refused_with_a_hint(paper):
    with pytest.raises(ValueError, match="Did you mean 'LP Na'"):
        with_values(paper.params, {"LP Naa": 1.0})


# ---------------------------------------------------------------- networks


@pytest.fixture(scope="module")
def network():
    return mixed()


def test_names_of_a_network_say_whose_they_are(network):
    found = parameters(network)
    assert list(found)[:11] == [
        "axon Na", "axon K", "axon leak", "slow Kd", "slow P", "slow leak", "axon-slow glutamate", "slow-axon", "axon-slow own",
        "axon=slow ge", "axon=axon ge",
    ]  # fmt: skip
    assert found["axon-slow own"] == 15
    assert found["axon=slow ge"] == 5
    assert (found["axon: E K"], found["slow: E Kd"], found["slow: P inside"], found["E own"]) == (-77, -80, 140000, 0)
    assert (found["axon: V_cold"], found["slow: V_cold"]) == (-65, -55)
    assert (found["slow: Kd m inf k1"], found["fast s inf a1"], found["own rate c"]) == (-11.8, 60, 0.3)
    assert (found["axon: Na m α c"], found["axon: K m β k"]) == (1, -80)
    assert not [n for n in found if "Na m inf" in n or "Na m tau" in n]  # a rate is one number


def test_cells_that_share_a_membrane_share_its_numbers():
    found = parameters(Network({"a": AXON, "b": AXON}, [GapJunction("a", "b", 1)]))
    assert found["E Na"] == 50
    assert not [n for n in found if ":" in n]
    three = parameters(Network({"a": AXON, "b": LIU, "c": AXON}))
    assert three["a, c: E Na"] == three["b: E Na"] == 50


def test_a_cell_is_a_network_of_one():
    assert parameters(LIU) == parameters(Network({"cell": LIU}))
    other = model_with(LIU, {"cell Na": 500, "E Na": 45})
    assert isinstance(other, Network)
    assert (parameters(other)["cell Na"], parameters(other)["E Na"]) == (500, 45)
    assert parameters(LIU)["cell Na"] == 700


def test_gap_junctions_of_a_circuit_share_one_number_unless_each_has_its_own():
    apart = Prinz2004({"AB": 1, "PD": 2}, {}, neuron_models.loc[["AB/PD 2", "AB/PD 3"]])
    assert parameters(apart)["ge"] == 10
    each = apart.like(apart.params.replace(ge=np.array([3.0, 4.0])))
    assert (parameters(each)["AB=PD ge"], parameters(each)["PD=PD ge"]) == (3, 4)


def test_with_values_of_a_network_changes_what_it_names_and_nothing_else(network):
    new = {name: 1.1 * x for name, x in parameters(network).items() if x}
    after = parameters(model_with(network, new))
    assert after == parameters(network) | {name: pytest.approx(x) for name, x in new.items()}
    model = model_with(network, {"axon: Na m α c": 1.2})
    gate = model.circuit.membranes[0].channels[0].m
    assert gate.inf.α.c == gate.tau.α.c == 1.2
    hash(model.circuit)  # it is compiled as any other


def test_two_numbers_of_one_name_are_refused():
    with pytest.raises(ValueError, match="2 numbers have the name 'E Na'; each must have its own"):
        parameters(Network({"E": AXON}))


def apart():
    """AB and two PD cells with gap junctions between all of them, and a synapse."""
    return Prinz2004({"AB": 1, "PD": 2}, {("AB", "PD"): 30}, neuron_models.loc[["AB/PD 2", "AB/PD 3"]])


OF_NETWORK = [
    "axon Na", "axon-slow glutamate", "slow-axon", "axon-slow own", "axon=slow ge", "axon: E K", "slow: P outside", "E glutamate", "E own",
    "slow: C", "axon: V_th", "k glutamate", "axon: Na m α a", "axon: K m β c", "slow: Kd m tau c0", "fast s inf a1", "own rate c",
]  # fmt: skip
NAMED = {
    "network": (mixed, OF_NETWORK),
    "circuit": (apart, ["AB Na", "PD Kd", "AB-PD", "ge", "E Kd", "C", "Na m inf a1"]),
}
WAYS = {"forward": (jax.jacfwd, simulate), "reverse": (jax.jacrev, simulate_with_adjoint)}


@pytest.mark.slow
@pytest.mark.parametrize("which", NAMED)
@pytest.mark.parametrize("way", WAYS)
def test_gradients_by_names_are_those_of_finite_differences(which, way):
    (make, names), t = NAMED[which], np.arange(0, 3.5, 0.5)
    model = make()
    known, weights = parameters(model), np.random.default_rng(1).normal(size=(len(t), 3))

    def weighted(values, run):
        return (run(with_values(model.params, values), model.cold, t, np.array([5.0, 4.0, 3.0])).V * weights).mean()

    at, (derivative, run) = {name: jnp.asarray(known[name]) for name in names}, WAYS[way]
    value, slopes = jax.jit(partial(weighted, run=simulate)), jax.jit(derivative(partial(weighted, run=run)))(at)
    for name in names:
        h = 1e-4 * known[name] or 1e-3
        difference = (value(at | {name: at[name] + h}) - value(at | {name: at[name] - h})) / (2 * h)
        assert float(slopes[name]) == pytest.approx(float(difference), rel=1e-4), name
        assert difference != 0, name


def test_a_network_with_other_values_says_them_of_its_cells_and_synapses(network):
    other = model_with(
        network, {"axon Na": 100, "axon: E K": -80, "axon-slow own": 3, "axon=slow ge": 2, "own rate c": 0.4}
    )
    again = Network(other.made_of, other.connections, sizes=other.sizes)
    assert parameters(again) == parameters(other)
    assert again.circuit == other.circuit
    assert "Na(100)" in repr(other.about)
