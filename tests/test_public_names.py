"""The names that `import pyloric_simulator` gives, and what it costs to have them."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import pyloric_simulator

STUB = ast.parse(Path(pyloric_simulator.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
HOME = {a.name: node.module for node in STUB.body if isinstance(node, ast.ImportFrom) for a in node.names}
EXTRAS = ("dask", "diffrax", "distributed", "equinox", "matplotlib", "optax", "pyarrow", "sbi", "torch")
OF_TORCH = ("CircuitModule", "LIFModule", "to_torch")


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("jax", "pandas", "numpy", "holoviews")
    code = f"import sys, pyloric_simulator; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", HOME)
def test_public_name_is_that_of_its_module(name: str) -> None:
    if name in OF_TORCH:
        pytest.importorskip("torch")
    found = getattr(pyloric_simulator, name)
    if HOME[name] is None:
        assert isinstance(found, ModuleType)
    else:
        assert found is getattr(importlib.import_module(f"pyloric_simulator.{HOME[name]}"), name)


def test_names_are_listed_and_others_refused() -> None:
    assert set(HOME) - set(OF_TORCH) <= set(pyloric_simulator.__all__) <= set(HOME) == set(dir(pyloric_simulator))
    with pytest.raises(AttributeError, match="no_such_name"):
        pyloric_simulator.no_such_name  # noqa: B018


def test_all_names_can_be_imported_where_no_extra_is_installed() -> None:
    code = f"""
import importlib.abc, importlib.util, sys

class NoExtra(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {EXTRAS} else find_spec(name, package)
sys.meta_path.insert(0, NoExtra())
from pyloric_simulator import *
import pyloric_simulator
print(sorted(set(pyloric_simulator.__all__) - set(globals())))
try:
    pyloric_simulator.CircuitModule
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    nothing, refusal = done.stdout.splitlines()
    assert nothing == "[]"
    assert refusal.startswith("the package torch is missing")


@pytest.mark.parametrize(
    "module", sorted({m for m in HOME.values() if m and not m.startswith("engine")} | {"database", "plotting"})
)
def test_public_module_says_what_it_gives(module: str) -> None:
    if module.endswith("torch_bridge"):
        pytest.importorskip("torch")
    there = importlib.import_module(f"pyloric_simulator.{module}")
    assert {name for name, home in HOME.items() if home == module} <= set(there.__all__)
    for name in there.__all__:
        assert hasattr(there, name)
