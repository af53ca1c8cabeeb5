"""Models in NeuroML and LEMS: what is written, what is refused, and that jNeuroML gives our spikes."""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exported import (
    CASES,
    EVERY,
    Case,
    Traces,
    differences,
    every,
    inf_of_all,
    ours,
    pacemakers,
    periods,
    start,
    tau_of_all,
)
from networks import burster, circuit, mixed

from pyloric_simulator.export.equations import described, evaluated, expression
from pyloric_simulator.export.to_neuroml import DEFAULT_STEP, LAG, MOST, formula, neuroml_files, smooth, to_neuroml
from pyloric_simulator.models.channels import Prinz2003
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Cell, Network, model_of
from pyloric_simulator.prinz2004 import Channel, Gate

SMALL = Cell([Prinz2003.Na(100), Prinz2003.leak(0.02)])


def parsed(files: dict[str, str]) -> dict[str, Any]:
    """Each file as a tree, without its namespace."""
    return {
        name: ElementTree.fromstring(x.replace(' xmlns="http://www.neuroml.org/schema/neuroml2"', ""))
        for name, x in files.items()
    }


# ---------------------------------------------------------------- what is written


def test_numbers_come_with_their_units() -> None:
    cell = Cell([Prinz2003.Na(100), Prinz2003.CaS(4)], area=2e-4, capacitance=1.5, calcium=Prinz2003.calcium, V=-55)
    cells = parsed(neuroml_files(described(cell, I_ext=0.5)))["cells.xml"]
    membrane = cells.find("./type_cells/membrane").attrib
    assert (membrane["v_start"], membrane["tau"], membrane["I"]) == ("-55.0mV", "200.0ms", "0.5nA")
    assert float(membrane["C"].removesuffix("nF")) == pytest.approx(0.3)
    assert float(membrane["Ca_start"].removesuffix("mM")) == pytest.approx(5e-5)
    assert float(cells.find("./type_cells/membrane/ch_Na").get("g").removesuffix("uS")) == pytest.approx(20.0)


def test_the_start_is_taken_over() -> None:
    state = start(Case(circuit))
    cells = parsed(neuroml_files(described(circuit(), state)))["cells.xml"]
    for i, membrane in enumerate(cells.findall("./type_cells/membrane")):
        assert float(membrane.get("v_start").removesuffix("mV")) == state.V[i]
        assert float(membrane.get("s_glutamate_start")) == state.s[i, 0]
        channel = membrane.find("ch_CaT").attrib
        assert (float(channel["m_start"]), float(channel["h_start"])) == (state.m[i, 1], state.h[i, 1])


def test_connections_look_ahead_by_the_order_of_their_cells() -> None:
    files = parsed(neuroml_files(described(circuit(), start(Case(circuit)))))
    leads = [float(x.get("lead")) / DEFAULT_STEP for x in files["cells.xml"].findall("pyloricReceptor")]
    assert leads == pytest.approx([LAG] * 4 + [LAG + 1] + [LAG] + [LAG + 1])
    projections = files["network.net.nml"].findall("./network/continuousProjection")
    assert projections[0].get("presynapticPopulation") == "pop_AB_PD_0"
    assert projections[0].find("continuousConnection").get("preComponent") == "end_s_glutamate"


def test_names_of_users_are_plain_text() -> None:
    label = 'x"/><!-- & -->'
    network = parsed(neuroml_files(described(Network({label: SMALL}))))["network.net.nml"]
    assert [x.tag for x in network.find("network")] == ["population"]
    for x in neuroml_files(described(every())).values():
        ElementTree.fromstring(x)


def test_formulas_without_choices_have_the_same_values() -> None:
    V = np.linspace(-120.3, 80.1, 1501)
    with np.errstate(all="ignore"):
        for f in (inf_of_all, tau_of_all):
            plain = smooth(expression(f, ("V",)))
            table = {"H": lambda x: 0.5 * (np.sign(x) + 1), "ceil": np.ceil}
            found = computed(plain, table, V)
            np.testing.assert_allclose(found, np.asarray(jax.vmap(f)(jnp.asarray(V))), rtol=1e-12)


def computed(x: Any, table: dict[str, Callable[..., Any]], V: np.ndarray) -> Any:
    """The value of a formula with more operations than those of the model."""
    if x.op in table:
        return table[x.op](*(computed(a, table, V) for a in x.args))
    if x.op in ("number", "name"):
        return evaluated(x, V=V)
    return evaluated(x._replace(args=tuple(type(x)("name", (str(i),)) for i in range(len(x.args)))),
                     **{str(i): computed(a, table, V) for i, a in enumerate(x.args)})  # fmt: skip


@pytest.mark.parametrize(("compared", "expected"), [
    (lambda V: V > 1, [0, 0, 1]), (lambda V: V >= 1, [0, 1, 1]), (lambda V: V < 1, [1, 0, 0]), (lambda V: V <= 1, [1, 1, 0]),
    (lambda V: V == 1, [0, 1, 0]), (lambda V: V != 1, [1, 0, 1]), (lambda V: (V > 0) & ~(V > 1), [0, 1, 0]),
    (lambda V: (V < 1) | (V > 1), [1, 0, 1]),
])  # fmt: skip
def test_conditions_hold_where_they_should(compared: Callable[[Any], Any], expected: list[int]) -> None:
    x = smooth(expression(lambda V: jnp.where(compared(V), 1.0, 0.0), ("V",)))
    table = {"H": lambda x: 0.5 * (np.sign(x) + 1), "ceil": np.ceil}
    assert computed(x, table, np.array([0.0, 1.0, 2.0])).tolist() == expected


# ---------------------------------------------------------------- what is refused


def test_what_cannot_be_said_is_refused() -> None:
    root = lambda V: jnp.where(V > 0, jnp.sqrt(V), 0.0) / 20  # noqa: E731
    with pytest.raises(ValueError, match=r"chooses by where between formulas of which one is nan at V = -150"):
        neuroml_files(described(Cell([Channel("own", -80, 1, Gate(root, lambda V: 5.0 + 0 * V))(1)])))
    assert formula(expression(lambda V: jnp.where(V == 0, 1.0, V / jnp.expm1(V)), ("V",)), "x")
    with pytest.raises(TypeError, match="Prinz2004"):
        to_neuroml(LIF(1), "nowhere")
    with pytest.raises(ValueError, match=r"step is 0\.1 ms; it must be at most 0\.05 ms"):
        to_neuroml(SMALL, "nowhere", step=0.1)
    with pytest.raises(ValueError, match="duration"):
        to_neuroml(SMALL, "nowhere", duration=-1)


def test_too_many_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="jNeuroML must have at most 200"):
        neuroml_files(described(Network({"a": SMALL}, sizes={"a": MOST + 1})))


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    path = to_neuroml(burster(), tmp_path / "model")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        to_neuroml(SMALL, tmp_path / "model")
    to_neuroml(SMALL, tmp_path / "model", overwrite=True)
    assert sorted(x.name for x in path.parent.iterdir()) == [
        "LEMS_model.xml",
        "cells.xml",
        "network.net.nml",
        "types.xml",
    ]


def test_the_network_is_valid_against_the_schema(tmp_path: Path) -> None:
    utils = pytest.importorskip("neuroml.utils")
    path = to_neuroml(mixed(), tmp_path / "model").with_name("network.net.nml")
    utils.validate_neuroml2(str(path))


# ---------------------------------------------------------------- what jNeuroML makes of it


def jar() -> Path:
    """The library of jNeuroML, which comes with pyneuroml; skips the test where it or Java is missing."""
    spec = importlib.util.find_spec("pyneuroml")
    if spec is None or spec.origin is None or not shutil.which("java"):
        pytest.skip("pyneuroml or Java is missing")
    return next((Path(spec.origin).parent / "lib").glob("jNeuroML-*.jar"))


def run(case: Case, folder: Path, stop: float, step: float = DEFAULT_STEP, state: Any = None) -> Traces:
    """Times and potentials of a run of a model in jNeuroML."""
    state = start(case) if state is None else state
    path = to_neuroml(case.model(), folder / "model", state=state, I_ext=case.I_ext, duration=stop, step=step)
    command = ["java", "-jar", str(jar()), path.name, "-nogui"]
    subprocess.run(command, cwd=path.parent, check=True, capture_output=True)
    x = np.loadtxt(path.with_name("V.dat"))[:: round(EVERY / step)] * 1000
    return x[:, 0], dict(zip(model_of(case.model()).cells, x[:, 1:].T, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_jneuroml_gives_our_spikes(tmp_path: Path, name: str) -> None:
    jar()
    n, worst = differences(ours(CASES[name], 1000.0), run(CASES[name], tmp_path, 1000.0))
    assert n >= 4
    assert worst < 0.05


@pytest.mark.slow
def test_jneuroml_gives_our_periods(tmp_path: Path) -> None:
    jar()
    case, stop = Case(pacemakers), 4500.0
    found = run(case, tmp_path, stop, 0.025, pacemakers().cold)
    expected = ours(case, stop, pacemakers().cold, dt=0.0025)
    np.testing.assert_allclose(periods(found, 1000), periods(expected, 1000), rtol=1e-3)
