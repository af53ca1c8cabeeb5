"""How many kernels a step compiles to: XLA runs up to eight of a loop body without scheduling, and each further one costs."""

import re
from typing import Any

import jax
import numpy as np
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine.schedule import grid_of
from pyloric_simulator.ensembles.ensemble import params_in_lanes, start_in_lanes
from pyloric_simulator.ensembles.lanes import LANES, compiled, prepared_in_lanes
from pyloric_simulator.prinz2004 import Prinz2004, compiled_integrate, flows, neuron_models, precision

NO_KERNELS = {"parameter", "get-tuple-element", "tuple", "constant", "bitcast", "copy"}
APART = {("AB", "LP"): 30, ("PD", "LP"): 15, ("AB", "PY"): 10, ("PD", "PY"): 1.5, ("LP", "AB"): 30, ("LP", "PD"): 30, ("LP", "PY"): 1,
         ("PY", "LP"): 30}  # fmt: skip


def kernels(model: Prinz2004, *, sampled: bool = False, solver: str = "staggered") -> int:
    """Operations in the body of the innermost loop of a compiled run that advances the state."""
    grid, slots = grid_of(np.arange(0, 100, 5.0), 0.0, 0.05)
    steps = grid.first + grid.n * grid.blocks + 2
    I = np.zeros((steps, len(model.rows)) if sampled else len(model.rows))
    with precision():
        start: Any = jax.tree.map(np.asarray, model.cold)
        lowered = compiled_integrate.lower(
            model.params, start, I=I, slots=slots, grid=grid, solver=solver, dt=0.05, t0=0.0
        )
        text = lowered.compile().as_text()
    return max(map(kernels_in, inner_loops(text)[0]))


def inner_loops(text: str) -> tuple[list[str], dict[str, str]]:
    """The bodies of the innermost loops of a program, and all its parts by name."""
    parts = dict(re.findall(r"^(%[\w.\-]+) \(.*?\) -> .*? \{\n(.*?)^\}", text, re.M | re.S))
    bodies = [parts[name] for name in re.findall(r"while\(.*?body=(%[\w.\-]+)", text)]
    return [body for body in bodies if " while(" not in body], parts


def kernels_in(body: str) -> int:
    """Operations of a part of a program that are kernels."""
    return sum(op not in NO_KERNELS for op in re.findall(r"= \S+ ([\w\-]+)\(", body))


def apart(sizes: list[int]) -> Prinz2004:
    """AB and PD joined by gap junctions."""
    rows = neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4", "PY 1"]]
    return Prinz2004(dict(zip(("AB", "PD", "LP", "PY"), sizes, strict=True)), APART, rows)


def test_the_papers_circuit_takes_eight() -> None:
    paper = Prinz2004.from_toml(find_circuit("paper"))
    assert kernels(paper) == 8
    assert kernels(paper, solver="exponential_euler") <= 8
    assert kernels(paper, sampled=True) <= 9


@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [1, 2, 1, 3]])
def test_four_populations_with_gap_junctions_take_ten(sizes: list[int]) -> None:
    assert kernels(apart(sizes)) <= 10


def test_gap_junctions_in_lanes_are_no_sum_and_are_not_worked_out_again_for_each_gate() -> None:
    """A sum in a kernel takes one number at a time; potentials that each gate works out again cost as much as the gate."""
    model, lanes = apart([1, 1, 1, 1]), 64
    params = params_in_lanes(model.params, {}, lanes, "float32")

    def run(params: Any, y: Any) -> Any:
        f = flows(model.circuit, prepared_in_lanes(params, "float32", 0.05), lambda _: None, 0.05, LANES)
        return jax.lax.fori_loop(0, 100, lambda k, y: f.relax(f.charge(y, k, 0.05), k), y)

    start = start_in_lanes(model.circuit, model.cold, lanes, "float32")
    bodies, parts = inner_loops(compiled("cpu", run, 0).lower(params, start).compile().as_text())
    body = max(bodies, key=len)
    called = [parts[name] for name in re.findall(r"calls=(%[\w.\-]+)", body)]
    assert not any(" reduce(" in part for part in called)
    assert sum("slice(" in part for part in called) <= 4  # the two potentials, and what the synapses read
    assert kernels_in(body) <= 13 + 2 + 8  # gates, synapses, the rest
