"""How many kernels a step compiles to: XLA runs up to eight of a loop body without scheduling, and each further one costs."""

import re
from typing import Any

import jax
import numpy as np
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine.schedule import grid_of
from pyloric_simulator.prinz2004 import Prinz2004, compiled_integrate, neuron_models, precision

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
    parts = dict(re.findall(r"^(%[\w.\-]+) \(.*?\) -> .*? \{\n(.*?)^\}", text, re.M | re.S))
    inner = [body for name in re.findall(r"while\(.*?body=(%[\w.\-]+)", text) if " while(" not in (body := parts[name])]
    return max(sum(op not in NO_KERNELS for op in re.findall(r"= \S+ ([\w\-]+)\(", body)) for body in inner)


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
