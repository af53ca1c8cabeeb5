"""Tensors through JAX and back: the same numbers, the same derivatives, one memory; modules. The chapter asserts that torch fits them."""

import copy
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import AXON, HH

import pyloric_simulator
from pyloric_simulator.fitting import torch_bridge
from pyloric_simulator.fitting.adjoint import simulate_with_adjoint
from pyloric_simulator.fitting.parameters import with_values
from pyloric_simulator.fitting.soft_features import Features, soft_features
from pyloric_simulator.fitting.torch_bridge import from_jax, to_jax, to_torch
from pyloric_simulator.models.lif import CELL, LIF, simulate_lif, superspike
from pyloric_simulator.models.networks import Cell, GapJunction, Network, Synapse
from pyloric_simulator.prinz2004 import CHANNELS, GLUTAMATE, Prinz2004, precision, simulate

torch = pytest.importorskip("torch")

from pyloric_simulator.fitting.torch_bridge import CircuitModule, LIFModule  # noqa: E402

T = np.arange(0, 20.5, 0.5)  # ms
PLAIN = tuple(c for c in CHANNELS if c.name in ("Na", "Kd", "leak"))  # a cell that compiles quickly
KD, LEAK = "AB/PD 2 Kd", "AB/PD 2 leak"


def numbers(*shape: int, dtype: str = "float64", seed: int = 0, needs: bool = True) -> Any:
    """A tensor of normal numbers."""
    x = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return torch.tensor(x, requires_grad=needs)


@pytest.fixture(scope="module")
def spiking() -> Prinz2004:
    """A cell with three channels, that fires from the cold start on."""
    return Prinz2004({"AB/PD 2": 1}, gs={}, channels=PLAIN)


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool"])
@pytest.mark.parametrize("shape", [(1000,), (30, 40), (), (0,), (0, 3)])
def test_both_see_one_memory(dtype: str, shape: tuple[int, ...]) -> None:
    x = torch.tensor(np.random.default_rng(0).normal(size=shape) * 10).to(getattr(torch, dtype))
    lent = to_jax(x)
    assert lent.unsafe_buffer_pointer() == x.data_ptr()
    assert lent.dtype == dtype
    back = from_jax(jnp.copy(lent))
    assert back.dtype == x.dtype
    assert torch.equal(back, x)
    array = jnp.copy(lent)
    assert not x.numel() or from_jax(array).data_ptr() == array.unsafe_buffer_pointer()


@pytest.mark.parametrize(
    "view", [lambda x: x[:, 1:], lambda x: x.T, lambda x: x[1:], lambda x: x[::2], lambda x: x.expand(2, 7, 5)]
)
def test_what_cannot_be_shared_is_copied(view: Callable[[Any], Any]) -> None:
    x = view(numbers(7, 5, needs=False))
    lent = to_jax(x)
    assert lent.unsafe_buffer_pointer() != x.data_ptr()
    np.testing.assert_array_equal(lent, x.numpy())
    assert torch.equal(to_torch(lambda x: 2 * x)(x), 2 * x)


def test_every_result_has_memory_of_its_own() -> None:
    constant = jnp.arange(16.0)
    x = numbers(16)
    results = to_torch(lambda x: (x, x, 2 * x, 2 * x, jnp.exp(x), constant))(x)
    places = [y.data_ptr() for y in results] + [x.data_ptr(), constant.unsafe_buffer_pointer()]
    assert len(set(places)) == len(places)
    for y in results:
        with torch.no_grad():
            y.zero_()
    assert (x != 0).all()
    assert constant[1] == 1


def test_derivatives_have_memory_of_their_own() -> None:
    x, y = numbers(16), numbers(16, seed=1)
    (2 * to_torch(lambda x, y: x + y)(x, y)).sum().backward()
    x.grad.mul_(10)
    assert (y.grad == 2).all()
    assert (x.grad == 20).all()


def test_a_changed_result_does_not_change_the_derivative() -> None:
    """JAX needs exp(x) on the way back, and must not look into the tensor."""
    x = numbers(16)
    y = to_torch(jnp.exp)(x)
    loss = y.sum()
    y.data.zero_()
    loss.backward()
    np.testing.assert_allclose(x.grad, x.detach().exp(), rtol=1e-14)


def test_an_input_that_was_changed_is_noticed() -> None:
    x = numbers(16)
    loss = to_torch(lambda x: x**2)(x).sum()
    with torch.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# ---------------------------------------------------------------- functions


def mixture(a: dict[str, Any], b: tuple[Any, Any], k: Any) -> dict[str, Any]:
    """Containers, whole numbers and truth values in and out."""
    x, (y, z) = a["x"], b
    return {"smooth": (jnp.sin(x) @ y * z[k], jnp.tanh(z)), "count": (x > 0).sum(), "which": x > 0, "k": k + 1}


def test_derivatives_are_those_of_jax_through_containers() -> None:
    x, y, z = numbers(3, 4), numbers(4, seed=1), numbers(5, seed=2)
    fixed = numbers(3, 4, seed=3, needs=False)
    k = torch.tensor([0, 2, 4])
    f = to_torch(mixture)
    out = f({"x": x}, (y, z), k)
    assert not any(v.requires_grad for v in (out["count"], out["which"], out["k"]))
    assert torch.equal(out["k"], k + 1)
    assert torch.equal(out["which"], x > 0)
    loss = out["smooth"][0].sum() ** 2 + out["smooth"][1].prod()
    loss.backward()

    def by_jax(x: Any, y: Any, z: Any) -> Any:
        first, second = mixture({"x": x}, (y, z), jnp.array([0, 2, 4]))["smooth"]
        return first.sum() ** 2 + second.prod()

    arrays = [jnp.asarray(v.detach().numpy()) for v in (x, y, z)]
    for tensor, g in zip((x, y, z), jax.jit(jax.grad(by_jax, argnums=(0, 1, 2)))(*arrays), strict=True):
        np.testing.assert_allclose(tensor.grad, g, rtol=1e-13)
    x.grad = None
    f({"x": fixed}, (y, z), k)["smooth"][0].sum().backward()
    assert fixed.grad is None


def test_what_needs_no_derivative_has_none() -> None:
    assert not to_torch(jnp.sin)(numbers(3, needs=False)).requires_grad
    with torch.no_grad():
        assert not to_torch(jnp.sin)(numbers(3)).requires_grad
    x, y = numbers(3), numbers(3, seed=1, needs=False)
    out = to_torch(lambda x, y: x * y)(x, y)
    assert torch.autograd.grad(out.sum(), x)[0].equal(y)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_precision_is_that_of_the_tensors(dtype: str) -> None:
    x = numbers(5, dtype=dtype)
    y = to_torch(lambda x: jnp.cumsum(jnp.sin(x) * jnp.pi))(x)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == getattr(torch, dtype)
    exact = np.pi * x.detach().double().cos() * torch.arange(5, 0, -1)
    np.testing.assert_allclose(x.grad, exact, rtol=1e-14 if dtype == "float64" else 1e-5)


def test_both_ways_are_compiled_once() -> None:
    traced = []

    def f(x: Any) -> Any:
        traced.append(x.shape)
        return jnp.sin(x)

    g = to_torch(f)
    g(numbers(3)).sum().backward()
    with jax.no_tracing():
        for seed in range(5):
            g(numbers(3, seed=seed)).sum().backward()
    g(numbers(4)).sum().backward()
    assert traced == [(3,), (4,)]


def test_torch_tests_the_derivatives() -> None:
    assert torch.autograd.gradcheck(to_torch(lambda x, y: (jnp.sin(x) @ y, y**3)), (numbers(3, 4), numbers(4, seed=1)))
    lif = to_torch(lambda τ, I: simulate_lif(CELL._replace(τ=τ), LIF(2).rest, T, I).V)
    τ = torch.tensor([20.0, 30.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lif, (τ, torch.full((2,), 1.2, dtype=torch.float64, requires_grad=True)))


def test_a_batch_is_a_vectorized_function() -> None:
    f = lambda τ: simulate_lif(CELL._replace(τ=τ), LIF(1).rest, T, 3.0).V  # noqa: E731
    τ = torch.tensor([8.0, 20.0, 40.0], dtype=torch.float64, requires_grad=True)
    V = to_torch(jax.vmap(f))(τ)
    assert V.shape == (3, len(T), 1)
    V[:, -1].sum().backward()
    alone = jax.jit(jax.grad(lambda τ: f(τ)[-1, 0]))
    for x, g in zip(τ.detach().numpy(), τ.grad, strict=True):
        assert float(alone(x)) == pytest.approx(g.item(), rel=1e-13)


def test_derivatives_arrive_across_other_layers_and_threads() -> None:
    x, w = numbers(4), numbers(4, 4, seed=1)
    f = to_torch(jnp.tanh)
    loss = f(w @ f(w @ x)).square().sum()
    worker = threading.Thread(target=loss.backward)
    worker.start()
    worker.join()
    g, x.grad = x.grad, None
    torch.tanh(w @ torch.tanh(w @ x)).square().sum().backward()
    np.testing.assert_allclose(g, x.grad, rtol=1e-13)


def cube(x: Any) -> Any:
    return (x**3).sum()


def test_a_second_derivative_is_refused_and_the_cure_works() -> None:
    x = numbers(3)
    (g,) = torch.autograd.grad(to_torch(cube)(x), x, create_graph=True)
    np.testing.assert_allclose(g.detach(), 3 * x.detach() ** 2)
    with pytest.raises(RuntimeError, match=r"a second derivative of cube is asked for; .* to_torch\(jax\.grad\(f\)\)"):
        (g.sum() + x.sum()).backward()  # not the derivative of x.sum() alone
    to_torch(jax.grad(cube))(x).sum().backward()
    np.testing.assert_allclose(x.grad, 6 * x.detach())


def test_derivatives_can_be_asked_for_twice_if_torch_is_told() -> None:
    x = numbers(3)
    loss = to_torch(cube)(x)
    loss.backward(retain_graph=True)
    loss.backward()
    np.testing.assert_allclose(x.grad, 6 * x.detach() ** 2)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@pytest.mark.slow
def test_soft_features_of_a_recording_have_the_derivatives_of_jax() -> None:
    t = np.arange(0, 2500, 0.25)
    V = Prinz2004({"AB/PD 2": 1}, gs={})(t).states.V
    x = torch.tensor(V, requires_grad=True)
    found = to_torch(partial(soft_features, t))(x)
    assert isinstance(found, Features)
    assert 1200 < found.period.item() < 1800
    (found.period / found.burst).sum().backward()
    by_jax = jax.jit(jax.grad(lambda V: (lambda f: (f.period / f.burst).sum())(soft_features(t, V))))(V)
    np.testing.assert_allclose(x.grad, by_jax, rtol=1e-12, atol=1e-15)
    assert (x.grad != 0).any()


# ---------------------------------------------------------------- circuits


@pytest.fixture(scope="module")
def rising() -> Prinz2004:
    """The pacemaker of the paper."""
    return Prinz2004({"AB/PD 2": 1}, gs={})


@pytest.mark.slow
def test_a_circuit_has_the_potential_and_the_derivatives_of_jax(rising: Prinz2004) -> None:
    names = [KD, "AB/PD 2 CaS", "AB/PD 2 H"]
    module = CircuitModule(rising, names, T, state=rising.cold)
    V = module()
    np.testing.assert_allclose(V.detach(), simulate(rising.params, rising.cold, T).V, rtol=1e-12)
    V.square().mean().backward()
    start = {n: module.values()[n].item() for n in names}

    def loss(values: dict[str, Any], run: Any) -> Any:
        return (run(with_values(rising.params, values), rising.cold, T).V ** 2).mean()

    reverse = jax.jit(jax.grad(partial(loss, run=simulate_with_adjoint)))(start)
    forward = jax.jit(jax.jacfwd(partial(loss, run=simulate)))(start)
    for n in names:
        g = module.coordinates[n].grad.item() / start[n]  # d/dg from d/d ln g
        assert g == pytest.approx(float(reverse[n]), rel=1e-12)
        assert g == pytest.approx(float(forward[n]), rel=1e-9)


def test_torch_tests_the_derivatives_of_a_circuit(spiking: Prinz2004) -> None:
    module = CircuitModule(spiking, [KD], T, state=spiking.cold)
    I = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    g = module.values()[KD].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda g, I: module.run({KD: g}, I), (g, I), eps=1e-7, atol=1e-4)


@pytest.mark.slow
def test_a_batch_of_circuits_is_as_many_circuits(spiking: Prinz2004) -> None:
    strengths = [60.0, 100.0, 150.0]
    batch = CircuitModule(spiking, {KD: strengths, "E Kd": -80.0}, T, state=spiking.cold)
    V = batch()
    assert V.shape == (3, len(T), 1)
    V[:, -1].sum().backward()
    one = CircuitModule(spiking, [KD, "E Kd"], T, state=spiking.cold)
    total = 0.0
    for i, g in enumerate(strengths):
        one.coordinates[KD].data.fill_(np.log(g))
        V1 = one()
        np.testing.assert_allclose(V1.detach(), V[i].detach(), rtol=1e-11)
        one.zero_grad()
        V1[-1].sum().backward()
        assert one.coordinates[KD].grad.item() == pytest.approx(batch.coordinates[KD].grad[i].item(), rel=1e-8)
        total += one.coordinates["E Kd"].grad.item()
    assert batch.coordinates["E Kd"].grad.item() == pytest.approx(total, rel=1e-8)


@pytest.mark.slow
def test_a_network_is_a_module_too() -> None:
    cells = {label: Cell([HH.leak._replace(E=E)(0.3)]) for label, E in (("a", -20), ("b", -60))}
    network = Network(cells, [Synapse("a", "b", GLUTAMATE, 30), GapJunction("a", "b", 5)])
    names = ["a leak", "a-b", "a=b ge"]
    module = CircuitModule(network, names, T[:9])
    V = module(torch.tensor(5.0, dtype=torch.float64))
    np.testing.assert_allclose(V.detach(), network(T[:9], I_ext=5.0).states.V, rtol=1e-12)  # from its cold start
    V.square().mean().backward()
    start = {n: module.values()[n].item() for n in names}

    def loss(values: dict[str, Any]) -> Any:
        return (simulate(with_values(network.params, values), network.cold, T[:9], 5.0).V ** 2).mean()

    forward = jax.jit(jax.jacfwd(loss))(start)
    for n in names:
        assert module.coordinates[n].grad.item() == pytest.approx(start[n] * float(forward[n]), rel=1e-9)  # d/d ln g


def test_a_number_of_the_circuit_of_a_cell_is_its_own_coordinate() -> None:
    module = CircuitModule(AXON, {"cell K": [30.0, 40.0], "E K": -80.0}, T[:5])
    assert module.logarithmic == {"cell K"}
    assert module().shape == (2, 5, 1)


@pytest.mark.slow
def test_a_circuit_in_single_precision(spiking: Prinz2004) -> None:
    module = CircuitModule(spiking, [KD], T, state=spiking.cold)
    exact = module()
    module.float()
    V = module()
    assert V.dtype == torch.float32
    V.mean().backward()
    assert module.coordinates[KD].grad.dtype == torch.float32
    np.testing.assert_allclose(V.detach(), exact.detach(), atol=0.1)


@pytest.mark.slow
def test_a_circuit_returns_what_is_asked_for(spiking: Prinz2004) -> None:
    t = np.arange(0, 100.25, 0.25)
    module = CircuitModule(spiking, [KD], t, soft_features, state=spiking.cold, log=False)
    found = module()
    run = lambda g: soft_features(t, simulate(with_values(spiking.params, {KD: g}), spiking.cold, t).V)  # noqa: E731
    expected, slope = jax.jit(lambda g: jax.jvp(run, (g,), (jnp.ones(()),)))(jnp.array(100.0))
    for name, x in found._asdict().items():
        np.testing.assert_allclose(x.detach(), getattr(expected, name), rtol=1e-9, err_msg=name)
    found.bursts.sum().backward()
    assert module.coordinates[KD].grad.item() == pytest.approx(float(slope.bursts.sum()), rel=1e-7)


def test_modules_are_modules(spiking: Prinz2004) -> None:
    module = CircuitModule(spiking, [KD, LEAK], T, state=spiking.cold, log=False)
    assert isinstance(module, torch.nn.Module)
    assert torch_bridge.CircuitModule is CircuitModule
    assert sorted(n for n, _ in module.named_parameters()) == [f"coordinates.{n}" for n in (KD, LEAK)]
    other = copy.deepcopy(module)
    other.load_state_dict({n: x + 1 for n, x in module.state_dict().items()})
    assert {n: x.item() for n, x in other.values().items()} == {KD: 101, LEAK: 1}
    assert module.values()[KD].item() == 100

    class Twice(CircuitModule):  # type: ignore[misc, valid-type]
        def forward(self) -> Any:
            return 2 * super().forward()

    assert torch.equal(
        Twice(spiking, [KD], T, state=spiking.cold)(), 2 * CircuitModule(spiking, [KD], T, state=spiking.cold)()
    )


# ---------------------------------------------------------------- cells with a threshold

LONG = np.arange(1001) * 0.1  # ms


def current(cells: int, seed: int = 0) -> Any:
    """A tensor (step, cell) in nA, above the rheobase."""
    knots = np.random.default_rng(seed).normal(3.0, 1.0, size=(cells, 21))
    return torch.tensor(np.stack([np.interp(LONG, np.arange(0, 101, 5), x) for x in knots], 1))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cells_are_those_of_the_chapter(dtype: str) -> None:
    module = LIFModule(3, learn=("τ", "V_th"), τ=[10, 20, 30], dtype=dtype)
    I = current(3)
    V, spikes = module(LONG, I.to(getattr(torch, dtype)))
    expected = LIF(3, τ=[10, 20, 30], dtype=dtype)(LONG, I.numpy())
    assert V.dtype == getattr(torch, dtype)
    assert spikes.sum() > 10
    np.testing.assert_allclose(V.detach(), expected.states.V, rtol=1e-12 if dtype == "float64" else 1e-4)
    np.testing.assert_array_equal(spikes.detach(), expected.states.spikes)


def test_spikes_have_the_surrogate_derivative() -> None:
    spike = superspike(2.0)
    module = LIFModule(2, learn=("τ", "V_th"), surrogate=spike, τ=[10, 20], log=False)
    I = current(2).requires_grad_()
    module(LONG, I)[1].sum().backward()

    def count(τ: Any, V_th: Any, I: Any) -> Any:
        return simulate_lif(CELL._replace(τ=τ, V_th=V_th), LIF(2).rest, LONG, I, spike=spike).spikes.sum()

    start = jnp.array([10.0, 20]), jnp.array(-50.0), jnp.asarray(I.detach().numpy())
    by_jax = jax.jit(jax.grad(count, argnums=(0, 1, 2)))(*start)
    for tensor, g in zip((module.coordinates["τ"], module.coordinates["V_th"], I), by_jax, strict=True):
        np.testing.assert_allclose(tensor.grad, g, rtol=1e-12, atol=1e-18)
        assert (tensor.grad != 0).any()


def test_a_batch_of_inputs_and_of_parameters() -> None:
    inputs = torch.stack([current(2, seed) for seed in range(4)])
    V, spikes = LIFModule(2)(LONG, inputs)
    assert V.shape == spikes.shape == (4, len(LONG), 2)
    for i in range(4):
        np.testing.assert_allclose(V[i].detach(), LIFModule(2)(LONG, inputs[i])[0].detach(), rtol=1e-12)
    τ = np.array([[10.0, 11], [20, 21], [30, 31], [40, 41]])
    V, _ = LIFModule(2, τ=τ)(LONG, inputs)
    np.testing.assert_allclose(V[2].detach(), LIFModule(2, τ=τ[2])(LONG, inputs[2])[0].detach(), rtol=1e-12)


def test_a_layer_behind_another_one_learns() -> None:
    """The derivative reaches the weights through the surrogate."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear, cells = torch.nn.Linear(5, 2).double(), LIFModule(2, learn=("τ", "R"), dtype="float64")
    inputs = numbers(3, len(LONG), 5, needs=False) + 2
    _, spikes = cells(LONG, linear(inputs))
    spikes.sum().backward()
    for x in (linear.weight.grad, linear.bias.grad, cells.coordinates["R"].grad):
        assert x.isfinite().all()
        assert (x != 0).any()


def test_what_is_not_learnt_moves_with_the_module() -> None:
    module = LIFModule(1, learn=("τ",), dtype="float64").float()
    assert {x.dtype for x in module.state_dict().values()} == {torch.float32}
    assert set(module.state_dict()) == {"coordinates.τ", "V_rest", "V_reset", "V_th", "R", "t_ref"}
    assert module(T)[0].dtype == torch.float32


# ---------------------------------------------------------------- settings, and torch that is not there

ALONE = """
import jax, torch, threading
import jax.numpy as jnp
from pyloric_simulator.fitting.torch_bridge import LIFModule, to_torch

assert not jax.config.jax_enable_x64
x = torch.tensor([1 / 3], dtype=torch.float64, requires_grad=True)
loss = to_torch(jnp.sin)(x).sum()
worker = threading.Thread(target=loss.backward)
worker.start(); worker.join()
assert abs(x.grad.item() / torch.cos(x).item() - 1) < 1e-15, x.grad
V, spikes = LIFModule(1, dtype="float64")([10.0], torch.tensor(1.0, dtype=torch.float64))
assert V.dtype == torch.float64
y = to_torch(lambda x, k: x * k)(torch.ones(2), torch.tensor([1, 2]))
assert y.dtype == torch.float32
assert not jax.config.jax_enable_x64 and jnp.ones(1).dtype == "float32"
"""

WITHOUT = """
import sys
from pyloric_simulator.fitting import torch_bridge
assert "torch" not in sys.modules
sys.modules["torch"] = None  # what Python does for a module that must not be imported
import jax.numpy as jnp
for use in (lambda: torch_bridge.to_torch(jnp.sin), lambda: torch_bridge.CircuitModule, lambda: torch_bridge.LIFModule):
    try:
        use()
    except ImportError as error:
        assert "pip install 'pyloric-simulator[torch]'" in str(error), error
    else:
        raise AssertionError("no error")
"""


@pytest.mark.parametrize("program", [ALONE, WITHOUT], ids=["settings", "without, and not imported"])
def test_in_a_process_of_its_own(program: str) -> None:
    root = Path(pyloric_simulator.__file__).parents[1]
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- bad input


def two(x: Any, y: Any = None) -> Any:
    return x if y is None else x["a"] * y


ONE = torch.ones(2)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((np.ones(2),), TypeError, r"x is of type ndarray; it must be a torch tensor\. Take torch\.as_tensor"),
        (({"a": ONE}, 2.0), TypeError, "y is of type float"),
        (({"a": jnp.ones(2)}, ONE), TypeError, r"x\['a'\] is of type ArrayImpl"),
        (({"a": ONE}, ONE.double()), TypeError, r"x\['a'\] and y are of types float32 and float64; .* x\.double\(\)"),
        ((ONE.half(),), TypeError, "x is of type float16; it must be float32 or float64"),
        ((ONE.to(torch.complex64),), TypeError, "x is of type complex64"),
        ((ONE.long(),), TypeError, "1 tensors and no floating-point number"),
        ((), TypeError, "0 tensors"),
        ((ONE.to("meta"),), ValueError, r"a tensor is on meta, which JAX does not have; .* x\.cpu\(\)"),
        (({"a": ONE}, ONE.to("meta")), ValueError, r"on cpu and meta; they must be on one device\. Move"),
    ],
)
def test_arguments_are_tensors_of_one_kind(args: tuple[Any, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        to_torch(two)(*args)


def test_only_functions_with_real_results() -> None:
    with pytest.raises(TypeError, match=r"f is 3; it must be a function"):
        to_torch(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a result is of type complex128; results must be real"):
        to_torch(jnp.fft.fft)(numbers(4))
    with pytest.raises(AttributeError, match="no attribute 'Circuits'"):
        torch_bridge.Circuits  # noqa: B018


@pytest.mark.parametrize(
    ("names", "change", "error", "message"),
    [
        (["AB/PD 2 Kdr"], {}, ValueError, "no parameter 'AB/PD 2 Kdr'; .* Did you mean 'AB/PD 2 Kd'"),
        (KD, {}, TypeError, r"names is 'AB/PD 2 Kd', a single name; .* names=\['AB/PD 2 Kd'\]"),
        ([], {}, ValueError, "0 numbers to be fitted"),
        ([LEAK], {}, ValueError, "'AB/PD 2 leak' starts at 0; .* log=False"),
        ({KD: np.nan}, {}, ValueError, "'AB/PD 2 Kd' starts at nan"),
        ({KD: "much"}, {}, TypeError, "AB/PD 2 Kd is 'much', text; it must consist of numbers"),
        ({KD: [[1.0]]}, {}, ValueError, r"array of shape \(1, 1\); it must be a number, or \(batch,\)"),
        ([KD], {"t": [-1.0]}, ValueError, r"t\[0\] is -1 ms"),
        ([KD], {"state": 3}, TypeError, "state is int"),
    ],
)
def test_a_circuit_says_what_is_wrong(
    spiking: Prinz2004, names: Any, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        CircuitModule(spiking, names, **({"t": T, "state": spiking.cold} | change))


def test_a_circuit_says_what_is_wrong_when_it_runs(spiking: Prinz2004) -> None:
    module = CircuitModule(spiking, {KD: [1.0, 2.0], "E Kd": [-80.0] * 3}, T, state=spiking.cold)
    with pytest.raises(ValueError, match=r"the batch has the sizes .*'E Kd': 3.*; they must be equal"):
        module()
    module = CircuitModule(spiking, [KD], T, state=spiking.cold)
    with pytest.raises(TypeError, match="I_ext is of type ndarray"):
        module(np.ones(1))
    with pytest.raises(ValueError, match=r"I_ext has shape \(7,\)"):
        module(torch.ones(7, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"are of types float32 and float64"):
        module(torch.ones(1))
    with pytest.raises(TypeError, match="float16; it must be float32 or float64"):
        module.half()()


def test_a_population_whose_name_has_a_dot() -> None:
    model = Prinz2004({"soma.1": 1}, gs={}, cell_types={"soma.1": "LP"}, g_ion=[[1.0] * 8])
    with pytest.raises(ValueError, match=r"'soma\.1 Na' has a dot.* Rename the population"):
        CircuitModule(model, ["soma.1 Na"], T, state=model.cold)


@pytest.mark.parametrize(
    ("size", "options", "error", "message"),
    [
        (0, {}, ValueError, "size is 0"),
        (1, {"learn": ("tau",)}, ValueError, "a name in learn is 'tau'; it must be one of"),
        (1, {"tau": 3.0}, ValueError, "a parameter is 'tau'; it must be one of"),
        (2, {"τ": [1.0, 2, 3]}, ValueError, r"shapes \{'τ': \(3,\)\}; each must be a number, \(2,\) or \(batch, 2\)"),
        (1, {"τ": -3.0}, ValueError, "τ contains -3 ms; it must be positive"),
        (1, {"V_reset": 0.0}, ValueError, "Lower V_reset"),
        (1, {"dt": 50.0}, ValueError, "dt is 50 ms and the shortest τ is 20 ms"),
        (1, {"dtype": "float16"}, ValueError, "dtype is 'float16'"),
        (1, {"surrogate": 3}, TypeError, "surrogate is 3; it must be a function"),
        (1, {"learn": ()}, ValueError, "0 numbers to be fitted"),
    ],
)
def test_cells_say_what_is_wrong(size: int, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LIFModule(size, **options)


def test_nothing_changes_the_settings_of_jax() -> None:
    before = jax.config.jax_enable_x64
    with precision("float32"):
        LIFModule(1, dtype="float64")(T)[0].sum().backward()
        assert jnp.ones(1).dtype == jnp.float32
    assert jax.config.jax_enable_x64 == before
