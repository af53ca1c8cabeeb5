"""Networks and cells as TOML files: to and fro to the last digit, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import AXON, LIU, mixed

from pyloric_simulator.models.channels import GHK, Calcium, HodgkinHuxley1952, Liu1998, Prinz2003
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Binding, Cell, GapJunction, Graded, Kinetic, Network, Synapse
from pyloric_simulator.prinz2004 import ACETYLCHOLINE, GLUTAMATE, B, Channel, Gate, Nernst


def network() -> Network:
    """Cells of three libraries, own channels of numbers, own constants, and synapses of all kinds."""
    own = Channel("P", Nernst(1, 4000.0, 140000.0))(0.02)
    slow = Cell([Prinz2003.Kd(25), own, Prinz2003.leak(0.05)], V=-55, area=1e-3, capacitance=0.9, temperature=12.5)
    curved = Channel("Ca", GHK(), 2, Gate(B(30, -8), B(0, 5) + 1), ion="Ca")(1e-5)
    pool = Calcium(1.5, 30.0, rest=0.1, outside=2500.0, q10=1.7)
    graded = Graded("fast", -75.0, Gate(B(60, -5), B(0, 5) + 1))
    joined = [
        Synapse("axon", "slow", GLUTAMATE, 20), Synapse("slow", "axon", graded, 10), Synapse("Liu", "axon", ACETYLCHOLINE, 1 / 3),
        Synapse("Liu", "slow", Kinetic("bound", -70.0, Binding(0.3, 0.05, -50.0, 5.0), start=0.1), 7),
        GapJunction("axon", "slow", 5.5), GapJunction("axon", "axon", 1),
    ]  # fmt: skip
    cells = {"axon": AXON, "slow": slow, "Liu": LIU, "a b.c": Cell([curved, HodgkinHuxley1952.leak(0.3)], calcium=pool)}
    return Network(cells, joined, sizes={"axon": 2})


def to_and_fro(model: Any, path: Path) -> Any:
    """What is read after it was written."""
    model.to_toml(path)
    return type(model).from_toml(path)


@pytest.mark.parametrize("warmed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_network_comes_back_to_the_last_digit(tmp_path: Path, warmed: bool) -> None:
    model = network().warmed(20.0) if warmed else network()
    again = to_and_fro(model, tmp_path / "network.toml")
    assert again.circuit == model.circuit
    assert again.sizes == model.sizes
    for name in ("g", "gs", "ge", "gz"):
        np.testing.assert_array_equal(getattr(again.params, name), getattr(model.params, name))
    t = np.arange(0, 5.0, 0.5)
    np.testing.assert_array_equal(again(t, 0.5).states.V, model(t, 0.5).states.V)


def test_a_cell_comes_back(tmp_path: Path) -> None:
    again = to_and_fro(LIU, tmp_path / "cell.toml")
    assert isinstance(again, Cell)
    assert (again.channels, again.constants, again.calcium) == (LIU.channels, LIU.constants, LIU.calcium)
    network().to_toml(tmp_path / "several.toml")
    with pytest.raises(ValueError, match="must have one"):
        Cell.from_toml(tmp_path / "several.toml")


def test_integrate_and_fire_cells_come_back(tmp_path: Path) -> None:
    cells = LIF(3, τ=[10, 20, 1 / 3 + 8], V_rest=-60)
    again = to_and_fro(cells, tmp_path / "cells.toml")
    for a, b in zip(again.params, cells.params, strict=True):
        np.testing.assert_array_equal(a, b)
    text = (tmp_path / "cells.toml").read_text()
    assert "V_rest = -60.0  # mV" in text
    (tmp_path / "cells.toml").write_text(text.replace("t_ref", "tref"))
    with pytest.raises(ValueError, match=r"LIF.tref.*no known key; did you mean t_ref"):
        LIF.from_toml(tmp_path / "cells.toml")


def test_what_is_of_the_libraries_stands_under_its_name(tmp_path: Path) -> None:
    network().to_toml(tmp_path / "network.toml", title="Mine")
    text = (tmp_path / "network.toml").read_text()
    assert text.startswith('title = "Mine"\n')
    assert '{ channel = "HodgkinHuxley1952.Na", g = 120.0 }' in text
    assert 'kind = "glutamate"' in text


def test_functions_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    gate = Gate(lambda V: 1 / (1 + V * 0), lambda V: 1 + V * 0)
    own = Network({"a": Cell([Channel("X", -80, 1, gate)(1.0), Liu1998.leak(0.01)])})
    for model, what in ((mixed(), "'own'"), (own, "gate|'X'")):
        with pytest.raises(ValueError, match=rf"({what}).*no function of one's own.*pickle"):
            model.to_toml(tmp_path / "network.toml")
    assert not list(tmp_path.iterdir())


HEAD = 'title = "x"\n[cells.a]\nchannels = [{ channel = "Liu1998.leak", g = 0.01 }]\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('title = "x"\n', "key cells is missing"),
        (HEAD.replace("Liu1998.leak", "Liu1998.leek"), "Did you mean 'Liu1998.leak'"),
        (HEAD.replace('"Liu1998.leak"', '{ type = "Chanel" }'), "a table with a type"),
        (HEAD.replace('"Liu1998.leak"', '{ type = "Channel", name = "l" }'), "key E is missing"),
        (HEAD.replace("g = 0.01", "g = -1"), "-1"),
        (HEAD.replace("g = 0.01", "G = 1"), r"channels\[0\].G.*no known key"),
        (HEAD + "siz = 3", "did you mean size"),
        (HEAD + "size = 0", "0"),
        (HEAD + "constants = { area = 3 }", "area is no known key"),
        (HEAD + "[[synapses]]\npre = 'a'", r"synapses\[0\].*key post is missing"),
        (HEAD + "[synapses]\npre = 'a'", "list of tables"),
        (HEAD + "[[gap_junctions]]\na = 'a'\nb = 'c'\ng = 1", "'c'"),
        ("title = ", "not TOML"),
    ],
)
def test_wrong_files_are_refused_in_words(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ValueError, match=says):
        Network.from_toml(tmp_path / "x.toml")
