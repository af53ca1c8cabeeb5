"""Models for NEURON: what is written, what is refused, and that NEURON gives our spikes."""

import ast
import csv
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exported import CASES, EVERY, Case, Traces, differences, every, ours, pacemakers, periods, pulse, start
from networks import burster, circuit, mixed

from pyloric_simulator.export.equations import described, expression
from pyloric_simulator.export.to_neuron import MOST, jumps, neuron_files, nmodl, to_neuron
from pyloric_simulator.models.channels import Liu1998, Prinz2003
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Cell, Network
from pyloric_simulator.prinz2004 import Channel, Gate

SMALL = Cell([Prinz2003.Na(100), Prinz2003.leak(0.02)])
HAS_NEURON = importlib.util.find_spec("neuron") is not None


def gated(inf: Callable[..., Any], **more: Any) -> Cell:
    """A cell with a channel that has a gate of one's own."""
    return Cell([Channel("own", -80, 1, Gate(inf, lambda V: 5.0 + 0 * V), **more)(1), Prinz2003.leak(0.02)])


def tables(script: str) -> dict[str, Any]:
    """The tables of a script."""
    found = [x for x in ast.parse(script).body if isinstance(x, ast.Assign)]
    names = ("CELLS", "CONNECTIONS", "INPUTS", "JUMPS")
    return {x.targets[0].id: ast.literal_eval(x.value) for x in found if getattr(x.targets[0], "id", "") in names}


# ---------------------------------------------------------------- what is written


def test_numbers_are_in_the_units_of_neuron() -> None:
    cell = Cell([Prinz2003.Na(100), Prinz2003.CaS(4)], area=2e-4, capacitance=1.5, calcium=Prinz2003.calcium, V=-55)
    (row,) = tables(neuron_files(described(cell))["run.py"])["CELLS"]
    assert row["channels"]["ch_Na"]["gbar"] == pytest.approx(0.1)  # S/cm², of 100 mS/cm²
    assert row["cm"] == pytest.approx(1.5)  # µF/cm²
    assert (row["area"], row["V"]) == (2e-4, -55)
    assert row["pool"] == {"A": 2e-4, "f": 14.96, "tau": 200.0, "rest": 0.05, "start": 0.05}


def test_the_start_is_taken_over() -> None:
    state = start(Case(circuit))
    rows = tables(neuron_files(described(circuit(), state))["run.py"])
    for i, row in enumerate(rows["CELLS"]):
        assert (row["V"], row["pool"]["start"]) == (state.V[i], state.Ca[i])
        gates = row["channels"]["ch_CaT"]
        assert (gates["m_start"], gates["h_start"]) == (state.m[i, 1], state.h[i, 1])
    assert [x[3]["s_start"] for x in rows["CONNECTIONS"][:2]] == state.s[0].tolist()


def test_a_channel_is_one_mechanism_whoever_has_it() -> None:
    g = {"Na": 400, "H": 0.03, "leak": 0.02}
    libraries = {"a": Prinz2003, "b": Liu1998}
    files = neuron_files(
        described(Network({label: Cell([getattr(y, n)(x) for n, x in g.items()]) for label, y in libraries.items()}))
    )
    assert sorted(files) == [f"mod/ch_{x}.mod" for x in ("H", "H_2", "Na", "Na_2", "leak")] + ["run.py"]
    assert "SUFFIX ch_Na_2\n" in files["mod/ch_Na_2.mod"]


def test_calcium_is_used_where_it_is_read_or_carried() -> None:
    files = neuron_files(described(burster()))
    assert "USEION ca READ cai WRITE ica\n" in files["mod/ch_CaS.mod"]
    assert "USEION ca READ cai\n" in files["mod/ch_KCa.mod"]
    assert "NONSPECIFIC_CURRENT i" in files["mod/ch_KCa.mod"]
    assert "USEION" not in files["mod/ch_Na.mod"]
    assert "READ ica WRITE cai" in files["mod/pool.mod"]


def test_connections_without_conductance_are_left_out() -> None:
    files = neuron_files(described(pacemakers(), pacemakers().cold))
    assert not tables(files["run.py"])["CONNECTIONS"]
    assert "mod/gap.mod" not in files


def test_both_ends_of_a_gap_junction_are_written() -> None:
    found = tables(neuron_files(described(mixed()))["run.py"])["CONNECTIONS"]
    ends = [x[1:3] for x in found if x[0] == "gap"]
    assert sorted(ends) == sorted([(i, j) for i in range(3) for j in range(3) if i != j])


def test_names_of_users_are_neither_code_nor_files() -> None:
    label = 'x\'); import os #\n"""'
    files = neuron_files(described(Network({label: SMALL})))
    assert tables(files["run.py"])["CELLS"][0]["cell"] == (label, 0)
    files = neuron_files(described(every()))
    assert all(re.fullmatch(r"mod/\w+\.mod|run\.py", x, re.ASCII) for x in files)
    assert all(x.isascii() for name, x in files.items() if name != "run.py")


def test_formulas_are_those_of_nmodl() -> None:
    f = lambda V: jnp.where((V > -40) & ~(V > 0), jnp.maximum(V, 1.0) ** 3, jnp.abs(V) ** 0.5)  # noqa: E731
    assert nmodl(expression(f, ("V",)), "f").startswith("choose(v > (-40")
    for part in ("&& !(v > 0", "pow(larger(v, 1", "pow(fabs(v), 0.5)"):
        assert part in nmodl(expression(f, ("V",)), "f")


def test_a_current_of_time_says_when_it_jumps() -> None:
    assert jumps(expression(pulse, ("t",))) == {100.0, 300.0}
    files = neuron_files(described(SMALL, I_ext=pulse))
    assert tables(files["run.py"])["JUMPS"] == [100.0, 300.0]
    assert tables(neuron_files(described(SMALL, I_ext={"cell": 2.5}))["run.py"])["INPUTS"] == [
        ("input", 0, {"amp": 2.5})
    ]
    assert tables(neuron_files(described(SMALL))["run.py"])["INPUTS"] == []


# ---------------------------------------------------------------- what is refused


def test_what_cannot_be_said_is_refused() -> None:
    table = jnp.linspace(0, 1, 5)
    with pytest.raises(ValueError, match=r"x∞ of the gate m of 'own'"):
        neuron_files(described(gated(lambda V: jnp.interp(V, jnp.linspace(-100, 60, 5), table))))
    with pytest.raises(ValueError, match="contains the number inf; "):
        neuron_files(described(gated(lambda V: jnp.where(jnp.inf < V, 1.0, 0.5))))
    with pytest.raises(ValueError, match="erf"):
        neuron_files(described(gated(lambda V: 0.5 + 0.5 * jax.scipy.special.erf(V))))
    with pytest.raises(TypeError, match="Prinz2004"):
        to_neuron(LIF(1), "nowhere")


def test_too_many_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="must have at most 100000"):
        neuron_files(described(Network({"a": SMALL}))._replace(synapses=(None,) * MOST))  # type: ignore[arg-type]


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "a new one" / "model"
    assert to_neuron(burster(), folder) == folder / "run.py"
    (folder / "mod" / "mine.mod").write_text("of the user")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        to_neuron(SMALL, folder)
    to_neuron(SMALL, folder, overwrite=True)
    assert sorted(x.name for x in (folder / "mod").iterdir()) == ["ch_Na.mod", "ch_leak.mod", "mine.mod"]
    with pytest.raises(NotADirectoryError, match="is a file"):
        to_neuron(SMALL, folder / "run.py")


# ---------------------------------------------------------------- what NEURON makes of it


def run(script: Path, stop: float, *more: str) -> Traces:
    """Times and potentials of a run of an exported model, in a process of its own without our package."""
    table = script.parent / "V.csv"
    subprocess.run([sys.executable, "-I", str(script), str(stop), str(table), *more], check=True, capture_output=True)
    with table.open(encoding="utf-8", newline="") as file:
        names = next(csv.reader(file))
        x = np.array([[float(a) for a in row] for row in csv.reader(file)])
    return x[:, 0], dict(zip(names[1:], x[:, 1:].T, strict=True))


def labelled(traces: Traces) -> Traces:
    """Potentials under the names that the script gives them."""
    return traces[0], {f"{label} {n} (mV)": V for (label, n), V in traces[1].items()}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The script of a case; its mechanisms are compiled once in a session."""
    pytest.importorskip("neuron")
    made: dict[str, Path] = {}

    def script(name: str) -> Path:
        if name not in made:
            case = Case(pacemakers) if name == "pacemakers" else CASES[name]
            state = pacemakers().cold if name == "pacemakers" else start(case)
            made[name] = to_neuron(
                case.model(), tmp_path_factory.mktemp("a model") / "in it", state=state, I_ext=case.I_ext
            )
        return made[name]

    return script


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_neuron_gives_our_spikes(exported: Callable[[str], Path], name: str) -> None:
    found, expected = run(exported(name), 1000.0), labelled(ours(CASES[name], 1000.0))
    n, worst = differences(expected, found)
    assert n >= 4
    assert worst < 0.05


@pytest.mark.slow
def test_neuron_gives_our_periods(exported: Callable[[str], Path]) -> None:
    expected = ours(Case(pacemakers), 4500.0, pacemakers().cold, dt=0.0025)
    np.testing.assert_allclose(periods(run(exported("pacemakers"), 4500.0), 1000), periods(expected, 1000), rtol=1e-3)


@pytest.mark.slow
def test_a_fixed_step_converges(exported: Callable[[str], Path]) -> None:
    name = "cell of Liu et al."
    expected = labelled(ours(CASES[name], 300.0))
    coarse, fine = (differences(expected, run(exported(name), 300.0, dt))[1] for dt in ("0.025", "0.00625"))
    assert fine < coarse / 3


@pytest.mark.slow
def test_the_script_runs_in_its_own_folder_twice(exported: Callable[[str], Path]) -> None:
    script = exported("cell of Liu et al.")
    code = "import run; a = run.simulate(50); b = run.simulate(50); assert a == b; print(run.labels, len(a[0]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=script.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == f"[('cell', 0)] {round(50 / EVERY) + 1}"
