"""The shapes that the equations' docstrings give: names first, then cells, then circuits side by side, for every kind of model.

Each function of the heart is replaced by itself with its shapes as annotations, which are checked at each call of a run.
"""

from types import FunctionType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import Float, TypeCheckError, jaxtyped
from networks import LIU, mixed

from pyloric_simulator import prinz2004
from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine.schedule import grid_of
from pyloric_simulator.models.networks import model_of
from pyloric_simulator.prinz2004 import Prinz2004, neuron_models

Cells = Float[jax.Array, "cell *lane"]  # one number for each cell
All = Float[jax.Array, "all *lane"]  # for each cell of a circuit with several membranes
Channels = Float[jax.Array, "channel cell *lane"]
Gates = Float[jax.Array, "gate cell *lane"]
Synapses = Float[jax.Array, "transmitter cell *lane"]
Pair = tuple[Cells, Cells]


# What each function takes and gives; arguments that are left out are no arrays.
SHAPES: dict[str, dict[str, Any]] = {
    "kinetics": {"V": Cells, "Ca": Cells},
    "conductances": {"g": Channels, "x": Gates, "return": list[Cells]},
    "ionic": {"g": Channels, "V": Cells, "Ca": Cells, "x": Gates, "G": Cells, "J": Cells, "return": Pair},
    "synaptic_input": {"s": Synapses, "return": Pair},
    "calcium_balance": {"g": Channels, "V": Cells, "Ca": Cells, "x": Gates, "return": Pair},
    "current_of": {"γ": Cells, "V": Cells, "Ca": Cells, "return": Cells},
    "flow": {"V": Cells, "G": Cells, "J": Cells, "return": Cells},
    "calcium_step": {"g": Channels, "V": Cells, "Ca": Cells, "x": Gates, "return": Cells},
    "charged": {"return": All},
}


def with_shapes(f: FunctionType, shapes: dict[str, Any]) -> Any:
    """The function, which checks the shapes of its arrays."""
    copy = FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
    copy.__kwdefaults__, copy.__annotations__ = f.__kwdefaults__, shapes
    return jaxtyped(typechecker=beartype)(copy)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The heart with shapes; the names of the functions that were called."""
    called: list[str] = []
    for name, shapes in SHAPES.items():
        f = with_shapes(getattr(prinz2004, name), shapes)
        monkeypatch.setattr(prinz2004, name, lambda *a, f=f, name=name, **k: (called.append(name), f(*a, **k))[1])
    return called


def circuits() -> dict[str, Any]:
    apart = {("AB", "LP"): 30, ("PD", "LP"): 15, ("LP", "PD"): 30}
    return {
        "the paper's circuit": Prinz2004.from_toml(find_circuit("paper")),
        "gap junctions": Prinz2004(
            {"AB": 1, "PD": 2, "LP": 1}, apart, neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4"]]
        ),
        "own cell": model_of(LIU),
        "own network": model_of(mixed()),
    }


@pytest.mark.parametrize("solver", ["staggered", "exponential_euler"])
@pytest.mark.parametrize("name", ["the paper's circuit", "gap junctions", "own cell", "own network"])
def test_a_run_keeps_the_shapes(name: str, solver: str, checked: list[str]) -> None:
    model = circuits()[name]
    grid, slots = grid_of(np.arange(0, 10, 1.0), 0.0, 0.05)
    I = jnp.zeros(len(model.rows))
    run = lambda p, y: prinz2004.integrate(p, y, I, slots, grid=grid, solver=solver, dt=0.05, t0=0.0)  # noqa: E731
    start = jax.tree.map(jnp.asarray, model.cold)
    found = jax.eval_shape(run, model.params, start)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(lambda x: (10, *x.shape), start)
    jax.eval_shape(lambda p, y: prinz2004.derivative(p, y), model.params, start)
    flows = jax.eval_shape(lambda p, y: prinz2004.currents(p, y), model.params, found)
    assert flows.shape[:2] == (10, len(model.rows))
    assert {"kinetics", "conductances", "ionic", "charged", "current_of"} <= set(checked)


def test_a_wrong_shape_is_seen(checked: list[str]) -> None:
    V = jnp.zeros(3)
    with pytest.raises(TypeCheckError):
        prinz2004.flow(V, jnp.zeros(2), V, 1.0, 0.05)
    assert checked == ["flow"]
