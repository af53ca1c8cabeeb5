"""Names of all numbers of all models, and values in their places."""

import pandas as pd
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.parameters import model_with, parameters, with_values
from pyloric_simulator.prinz2004 import Prinz2004


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
