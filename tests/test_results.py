"""Runs that go on, runs that are repeated, and where their starts are kept.

`test_circuit.py` has the tables, files and pictures of a result.
"""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.files.store import ThermalizationStore
from pyloric_simulator.prinz2004 import Prinz2004

T = np.arange(0, 60.5, 0.5)  # ms


@pytest.fixture(scope="module")
def paper() -> Prinz2004:
    return Prinz2004.from_toml(find_circuit("paper"))


@pytest.mark.parametrize("solver", ["staggered", "exponential_euler"])
def test_a_run_goes_on_to_the_last_bit(paper: Prinz2004, solver: str) -> None:
    """Also in the middle of a changing input, sampled once for the whole time."""
    ramp = pd.DataFrame({"LP": [0.0, 0.5, 0.0], "PY": [0.25, 0.25, 0.5]}, [0.0, 32.0, 64.0])
    whole = paper(T, ramp, paper.cold, solver=solver, dt=0.0625)
    first = paper(T[:61], ramp, paper.cold, solver=solver, dt=0.0625)
    second = paper(T[60:], ramp, first.final_state, solver=solver, dt=0.0625, t0=T[60])
    for a, b, c in zip(first.states, second.states, whole.states, strict=True):
        np.testing.assert_array_equal(a, c[:61])
        np.testing.assert_array_equal(b, c[60:])


def test_a_slice_goes_on_as_the_run_did(paper: Prinz2004) -> None:
    whole = paper(T, state=paper.cold)
    part = whole[:30]
    assert part.t[-1] == 30
    rest = paper(T[T >= 30], state=part.final_state, t0=30)
    np.testing.assert_array_equal(rest.states.V, whole[30:].states.V)


def test_going_on_at_another_time_compiles_nothing(paper: Prinz2004) -> None:
    """A run in pieces, each from the end of the one before, costs no more than one run."""
    compiled: list[str] = []

    def listen(event: str, *_: Any, **__: Any) -> None:
        if "backend_compile" in event:
            compiled.append(event)

    t = np.arange(0, 20.5, 0.5)
    result = paper(t, state=paper.cold)
    result = paper(t + 20, state=result.final_state, t0=20)  # whatever it takes to add 20
    jax.monitoring.register_event_duration_secs_listener(listen)
    for t0 in (40, 60):
        result = paper(t + t0, state=result.final_state, t0=t0)
    assert compiled == []


def test_V_of_the_thermalization_run_ends_where_the_circuit_starts(paper: Prinz2004) -> None:
    """Of LP 4 as well: one that is chaotic must be computed in the same way twice."""
    end, start = paper.thermalize().final_state, paper.get_thermalization()
    for a, b in zip(end, start, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_cell_starts_alike_whatever_it_is_thermalized_with() -> None:
    """Or its start would depend on what was in the store."""
    alone = Prinz2004({"LP 4": 1}, {}).get_thermalization(store=None)
    Prinz2004.clear_thermalization_store(None)
    names = [f"LP {i}" for i in (4, 1, 2, 3, 5)] + [f"PY {i}" for i in range(1, 7)]
    together = Prinz2004(dict.fromkeys(names, 1), {}).get_thermalization(store=None)
    Prinz2004.clear_thermalization_store(None)
    assert together.V[0] == alone.V[0]


def test_another_process_only_reads(paper: Prinz2004, tmp_path: Path) -> None:
    """It computes nothing, and starts where the first did."""
    start = paper.get_thermalization(store=tmp_path)
    code = f"""
    from pyloric_simulator import prinz2004
    from pyloric_simulator.config import find_circuit
    def never(*_, **__): raise AssertionError("computed again")
    prinz2004.Model.physics = prinz2004.Model.physics._replace(integrate=never)
    model = prinz2004.Prinz2004.from_toml(find_circuit("paper"))
    print([x.tobytes().hex() for x in model.get_thermalization(store={str(tmp_path)!r})])
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str([x.tobytes().hex() for x in start])


def test_a_relative_store_is_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, cell in (("here", "PY 2"), ("there", "PY 3")):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Prinz2004({cell: 1}, {}).get_thermalization(store="cells", dt=0.25)
    for name in ("here", "there"):
        assert len(ThermalizationStore(tmp_path / name / "cells").keys()) == 1


def test_a_function_of_time_sees_the_time_of_the_run(paper: Prinz2004) -> None:
    """From t0 on, in either precision."""

    def I(t: Any) -> Any:
        return jnp.where(t < 1010, 0.0, 0.5)

    single = Prinz2004.from_toml(find_circuit("paper"), dtype="float32")
    t = 1000 + np.arange(0, 20.5, 0.5)
    for model, rtol in ((paper, 1e-9), (single, 1e-3)):
        off, on, switched = (model(t, x, model.cold, t0=1000) for x in (0.0, 0.5, I))
        assert (switched.states.V[:20] == off.states.V[:20]).all()
        assert (switched.states.V[21:] > off.states.V[21:]).all()
        assert np.abs(on.states.V - off.states.V).max() > 1
        later = model(t[20:], 0.5, switched[:1010].final_state, t0=1010)
        np.testing.assert_allclose(later.states.V[1:], switched.states.V[21:], rtol=rtol, atol=0.2)
