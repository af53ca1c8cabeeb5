"""The package as a folder copied into another project, under another path or another name."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import pyloric_simulator
from pyloric_simulator.prinz2004 import Prinz2004, neuron_models

FOLDER = Path(pyloric_simulator.__file__).parent

# Run first in every process of the other project: it has no package by our name, even where
# pip has installed one.
GUARD = """
import sys

class NoInstalledPackage:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "pyloric_simulator":
            raise ModuleNotFoundError(f"the copy imported {name}")

sys.meta_path.insert(0, NoInstalledPackage)
sys.path.insert(0, "")
"""

CIRCUIT = """
import numpy as np

model = Prinz2004(
    pop_sizes={"AB/PD": 1, "LP": 1},
    gs={("AB", "LP"): 30, ("PD", "LP"): 30, ("LP", "AB/PD"): 3},
    g_ion=neuron_models.loc[["AB/PD 2", "LP 4"]],
)
V = model(np.arange(0, 20, 0.5)).V
"""


@pytest.fixture(params=["my_project/lib/pyloric_simulator", "proj/vendor/stg_model"])
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A copy of the package: the project's folder, and the copy's dotted name in it."""
    project, *package = request.param.split("/")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(FOLDER, tmp_path / request.param, ignore=ignore)
    return tmp_path / project, ".".join(package)


def python(project: Path, *commands: str) -> str:
    """Standard output of Python commands run in another project, warnings being errors there."""
    code = "\n".join((GUARD, *commands))
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", code],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_copy_simulates_as_the_package_does_and_has_its_commands(copy: tuple[Path, str], tmp_path: Path) -> None:
    project, name = copy
    table = python(
        project,
        f"from {name} import prinz2004",
        f"from {name}.prinz2004 import Prinz2004, neuron_models",
        CIRCUIT,
        f"assert prinz2004.Prinz2004.__module__ == {name + '.prinz2004'!r}",
        f"np.save({str(tmp_path / 'V.npy')!r}, V.to_numpy())",
        "import runpy",
        "sys.argv[1:] = ['cells']",
        f"runpy.run_module({name!r}, run_name='__main__', alter_sys=True)",
    )
    here = {"Prinz2004": Prinz2004, "neuron_models": neuron_models}
    exec(CIRCUIT, here)
    np.testing.assert_array_equal(np.load(tmp_path / "V.npy"), here["V"])
    for cell in neuron_models.index:
        assert cell in table


OPENINGS = {
    ".": "from _notebook import __spec__\nfrom . import prinz2004\nfrom .prinz2004 import neuron_models",
    "lab": """
import sys
sys.path.append("..")
from _notebook import __spec__
from .. import prinz2004
from ..prinz2004 import neuron_models
from .protocols import step
""",
}


@pytest.mark.parametrize("chapters", OPENINGS)
def test_copy_runs_as_a_notebook(copy: tuple[Path, str], chapters: str) -> None:
    project, name = copy
    folder = project.joinpath(*name.split("."))
    cells = [
        OPENINGS[chapters],
        f"assert prinz2004.__file__ == {str(folder / 'prinz2004.py')!r}",
        """
from multiprocessing import get_context

with get_context("spawn").Pool(1) as pool:
    assert pool.apply(neuron_models.sum).equals(neuron_models.sum())
""",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder / chapters)}})
    client.execute()
