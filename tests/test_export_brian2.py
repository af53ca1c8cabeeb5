"""Models in Brian2 give our numbers, and the derivative of Brian2's run is that of its own loss."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from networks import AXON, HH, LIU, circuit, prinz
from test_export import everything

from pyloric_simulator.export.to_brian2 import Brian2Model, brian2_script, to_brian2
from pyloric_simulator.fitting.parameters import parameters
from pyloric_simulator.models.lif import LIF, superspike
from pyloric_simulator.models.networks import Cell, GapJunction, Kinetic, Network, Synapse, model_of
from pyloric_simulator.prinz2004 import ACETYLCHOLINE, GLUTAMATE

b = pytest.importorskip("brian2", exc_type=(ImportError, AttributeError))
torch = pytest.importorskip("torch")

from pyloric_simulator.export.brian2_bridge import brian2_function  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Brian2's own
EULER = {"solver": "exponential_euler", "dt": 0.025}


@pytest.fixture(autouse=True)
def numpy_target() -> Any:
    """Brian2 without a compiler, unless a test says otherwise."""
    before = b.prefs.codegen.target
    b.prefs.codegen.target = "numpy"
    yield
    b.prefs.codegen.target = before


def four_populations() -> Network:
    """AB and PD, coupled, with LP and PY."""
    cells = {"AB": prinz("AB/PD 2"), "PD": prinz("AB/PD 4"), "LP": prinz("LP 4"), "PY": prinz("PY 1")}
    chemical = [("AB", "LP", GLUTAMATE, 30), ("PD", "LP", ACETYLCHOLINE, 30), ("AB", "PY", GLUTAMATE, 10), ("PD", "PY", ACETYLCHOLINE, 3),
                ("LP", "PD", GLUTAMATE, 30), ("LP", "PY", GLUTAMATE, 1), ("PY", "LP", GLUTAMATE, 30)]  # fmt: skip
    return Network(cells, [*(Synapse(*x) for x in chemical), GapJunction("AB", "PD", 10)])


MODELS = {
    "paper": circuit,
    "four populations": four_populations,
    "Liu": lambda: LIU,
    "everything": everything,
    "axon": lambda: AXON,
}


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=[pytest.mark.slow] * (x not in ("paper", "axon"))) for x in MODELS]
)
def test_a_model_in_brian2_takes_our_steps(name: str) -> None:
    model, n = model_of(MODELS[name]()), 80
    state = model(np.arange(0, 100.5, 0.5), state=model.cold).final_state
    I = (lambda t: jnp.where(t > 1, 3 * jnp.sin(t), 0.5)) if name in ("everything", "axon") else None
    exported = to_brian2(model, state, I)
    exported.run(n * 0.025)
    ours = model(np.arange(n) * 0.025, I, state, **EULER).V
    assert exported.V.columns.equals(ours.columns)
    assert np.allclose(exported.V.index, ours.index, rtol=0, atol=1e-12)
    assert np.abs(exported.V.to_numpy() - ours.to_numpy()).max() < 1e-9


def test_cells_of_which_nothing_is_open_at_the_start() -> None:
    model = Network({"a": prinz("AB/PD 2"), "b": prinz("AB/PD 4")}, [GapJunction("a", "b", 5)])
    alone = model_of(prinz("AB/PD 5"))
    for case in (model, alone):
        exported = to_brian2(case)
        exported.run(1)
        ours = case(np.arange(40) * 0.025, **EULER).V
        assert np.abs(exported.V.to_numpy() - ours.to_numpy()).max() < 1e-6


def test_a_synapse_that_is_not_linear_in_its_activation() -> None:
    """It is solved by a scheme of high order in Brian2, and to second order by ours; nothing else differs."""
    slow = Kinetic(
        "slow", 0.0, lambda s, a, b: (1 - s) ** 2 / (1 + jnp.exp(-(a + 10) / 3)) - s * jnp.maximum(s, 0.5) * 0.1 + 0 * b
    )
    model = Network({"a": AXON, "b": Cell([HH.leak(0.1)], V=-60)}, [Synapse("a", "b", slow, 50)])
    exported = to_brian2(model, I_ext={"a": 9.0, "b": 0.0})
    assert [p.method for p in exported.plan.pathways] == ["rk4"]
    exported.run(8)
    ours = model(np.arange(320) * 0.025, {"a": 9.0, "b": 0.0}, **EULER).V
    assert np.ptp(ours["b", 0]) > 0.5
    assert np.abs(exported.V.to_numpy() - ours.to_numpy()).max() < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "four populations", "Liu"])
def test_a_second_in_brian2(name: str) -> None:
    b.prefs.codegen.target = "cython"
    model = model_of(MODELS[name]())
    state = model.get_thermalization(**EULER) if name == "paper" else model.cold
    exported = to_brian2(model, state)
    exported.run(1000)
    ours = model(np.arange(40_000) * 0.025, state=state, **EULER)
    assert np.abs(exported.V.to_numpy() - ours.V.to_numpy()).max() < 1e-3
    upward = {
        cell: [t for t, a, c in zip(V.index, V, V[1:], strict=False) if a <= -10 < c] for cell, V in ours.V.items()
    }
    found = exported.spike_times()
    assert {cell: len(t) for cell, t in found.items()} == {cell: len(t) for cell, t in upward.items()}
    assert sum(map(len, found.values())) > 5


@pytest.mark.slow
def test_by_a_scheme_of_high_order_brian2_has_our_spike_times() -> None:
    b.prefs.codegen.target = "cython"
    model = model_of(LIU)
    exported = to_brian2(model, method="rk4", dt=0.01)
    exported.run(1000)
    result = model(np.arange(0, 1000, 0.01), solver="staggered", dt=0.0025)
    V = result.V["cell", 0]
    ours = np.array([t for t, a, c in zip(V.index, V, V[1:], strict=False) if a <= -10 < c])
    theirs = exported.spike_times()["cell", 0]
    assert len(ours) == len(theirs) > 3
    assert np.abs(ours - theirs).max() < 0.05


def test_a_script_runs_alone(tmp_path: Path) -> None:
    model = everything()
    script = tmp_path / "model.py"
    brian2_script(script, model, I_ext=2.0, duration=1.0)
    text = script.read_text()
    assert "pyloric_simulator." not in text.replace("written by pyloric_simulator for", "")
    text = "from brian2 import prefs\nprefs.codegen.target = 'numpy'\nimport matplotlib\nmatplotlib.use('Agg')\n" + text
    script.write_text(f"{text}\nfor m in potentials:\n    print(*[x[-1] / volt for x in m.V])\n")
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    ours = model(np.arange(40) * 0.025, 2.0, **EULER).V.to_numpy()[-1]
    assert np.allclose(np.array(run.stdout.split(), float) * 1e3, ours, rtol=1e-9)


def test_explicit_schemes() -> None:
    with pytest.raises(
        ValueError, match=r"time constant of s_glutamate is as short as 0.001 ms; dt must be at most 0.0028 ms"
    ):
        to_brian2(circuit(), circuit().cold, method="rk4")
    with pytest.raises(ValueError, match="method is 'milstein'"):
        to_brian2(LIU, method="milstein")
    exported = to_brian2(AXON, I_ext=9.0, method="rk4", dt=0.01)
    exported.run(10)
    exact = model_of(AXON)(exported.V.index.to_numpy(), 9.0, solver="staggered", dt=0.001).V
    assert np.abs(exported.V.to_numpy() - exact.to_numpy()).max() < 1e-3


# ---------------------------------------------------------------- derivatives


def test_the_derivative_of_a_model_is_that_of_brian2s_own_loss() -> None:
    model = circuit()
    exported = to_brian2(model, model(np.arange(0, 100.5, 0.5), state=model.cold).final_state)
    names = ["AB/PD Na", "LP Kd", "PY-LP"]
    f = brian2_function(exported, names, duration=4)
    x = [torch.tensor(parameters(model)[name], dtype=torch.float64, requires_grad=True) for name in names]
    assert torch.autograd.gradcheck(lambda *x: f(*x)["V"][::16], x, eps=1e-3, atol=1e-7, rtol=1e-4)


def lif(n: int = 1, **more: Any) -> tuple[Any, Any]:
    """Cells of Brian2 with a time constant as their parameter, and their network."""
    group = b.NeuronGroup(
        n, "dv/dt = (-65*mV - v + R*I(t))/tau : volt (unless refractory)\ntau : second (constant)\nR : ohm (shared, constant)",
        threshold="v >= -50*mV", reset="v = -70*mV", refractory=2 * b.ms, method="exact", **more,
    )  # fmt: skip
    group.v, group.tau, group.R = -65 * b.mV, 20 * b.ms, 10 * b.Mohm
    return group, b.Network(group)


DRIVE = 1.5 + np.interp(np.arange(0, 1000, 0.1), np.arange(0, 1001, 5), np.random.default_rng(0).normal(size=201))  # nA


def timed(drive: Any = DRIVE) -> dict[str, Any]:
    """The input of `lif`."""
    return {"I": b.TimedArray(drive * b.nA, dt=0.1 * b.ms)}


def tensor(x: Any) -> Any:
    """A number to be differentiated."""
    return torch.tensor(x, dtype=torch.float64, requires_grad=True)


SLOWER = [pytest.param(x, marks=pytest.mark.slow) for x in ("euler", "exponential_euler", "rk2")]


@pytest.mark.parametrize("method", ["exact", *SLOWER])
def test_between_spikes_the_derivative_is_exact(method: str) -> None:
    group, network = lif(2, dt=0.1 * b.ms)
    group.method_choice = method
    f = brian2_function(
        network,
        {"tau": (group, "tau", b.ms), "R": (group, "R", b.Mohm)},
        {"v": (group, "v", b.mV)},
        duration=20,
        namespace=timed(0.4 * DRIVE),
    )
    with torch.no_grad():
        assert (f(tensor([20.0, 10.0]), tensor(10.0))["v"] < -50).all()
    tolerance = 1e-4 if method in ("exact", "euler", "exponential_euler") else 1e-2
    assert torch.autograd.gradcheck(
        lambda x, R: f(x, R)["v"], (tensor([20.0, 10.0]), tensor(10.0)), eps=1e-4, atol=1e-5, rtol=tolerance
    )


def test_without_a_scheme_the_derivative_is_that_of_the_one_that_brian2_chooses() -> None:
    """For equations that are not linear that is Euler's."""
    group = b.NeuronGroup(1, "dv/dt = (v**2 + 1)/tau : 1\ntau : second (constant)", dt=0.1 * b.ms)
    f = brian2_function(b.Network(group), {"tau": (group, "tau", b.ms)}, {"v": (group, "v", 1)}, duration=1)
    assert torch.autograd.gradcheck(lambda x: f(x)["v"], (tensor(2.0),), eps=1e-5, atol=1e-8, rtol=1e-5)


def test_names_are_those_of_the_place_where_it_is_called() -> None:
    group, network = lif(dt=0.1 * b.ms)
    I = b.TimedArray(0.4 * DRIVE * b.nA, dt=0.1 * b.ms)
    place, out = {"tau": (group, "tau", b.ms)}, {"v": (group, "v", b.mV)}
    implicit = brian2_function(network, place, out, duration=2)(tensor(20.0))["v"]
    other, others = lif(dt=0.1 * b.ms)
    place, out = {"tau": (other, "tau", b.ms)}, {"v": (other, "v", b.mV)}
    explicit = brian2_function(others, place, out, duration=2, namespace={"I": I})(tensor(20.0))["v"]
    assert (implicit == explicit).all()


def test_it_agrees_with_our_own_cells() -> None:
    """Trace, spikes and derivatives of 100 ms, against `LIF`.

    Brian2 counts the step of a spike to the refractory time, as it begins with the step.
    """
    import jax

    from pyloric_simulator.models.lif import CELL, simulate_lif
    from pyloric_simulator.prinz2004 import precision

    group, network = lif(dt=0.1 * b.ms)
    outputs = {"v": (group, "v", b.mV), "spikes": (group, "spikes", 1)}
    spike = superspike(0.5)
    f = brian2_function(network, {"τ": (group, "tau", b.ms)}, outputs, duration=100, namespace=timed(), spike=spike)
    t, I = np.arange(1, 1001) * 0.1, DRIVE[:1001, None]
    weights = np.random.default_rng(1).normal(size=(2, 1000))

    def ours(τ: Any) -> Any:
        y = simulate_lif(CELL._replace(τ=τ, t_ref=1.9), LIF(1).rest, t, I, spike=spike)
        return (y.V[:-1, 0] * weights[0, 1:]).sum() + (y.spikes[:, 0] * weights[1]).sum(), y

    with precision():
        (expected, y), slope = jax.jit(jax.value_and_grad(ours, has_aux=True))(20.0)
    τ = tensor(20.0)
    found = f(τ)
    assert np.allclose(found["v"][1:, 0].detach(), y.V[:-1, 0], atol=1e-9)
    assert found["spikes"].sum().item() == float(y.spikes.sum()) > 0
    loss = (found["v"][1:, 0] * torch.tensor(weights[0, 1:])).sum() + (
        found["spikes"][:, 0] * torch.tensor(weights[1])
    ).sum()
    loss.backward()
    assert np.isclose(loss.item(), expected, rtol=1e-9)
    assert np.isclose(τ.grad, slope, rtol=1e-6)


def test_what_the_equations_do_not_say_is_refused() -> None:
    group, network = lif(dt=0.1 * b.ms)
    kicks = b.SpikeGeneratorGroup(1, [0], [5] * b.ms)
    synapse = b.Synapses(kicks, group, on_pre="v_post += 3*mV")
    synapse.connect()
    network.add(kicks, synapse)
    f = brian2_function(network, {"τ": (group, "tau", b.ms)}, {"v": (group, "v", b.mV)}, duration=10, namespace=timed())
    with pytest.raises(
        ValueError, match=r"v of cell 0 of 'neurongroup\w*' changes at 5(\.\d+)? ms by what its equations do not say"
    ):
        f(tensor(20.0))


def asked(parameters: Any = None, outputs: Any = None, duration: float = 1.0, **more: Any) -> Any:
    """The function of a cell, with something changed."""
    group, network = lif(dt=0.1 * b.ms)
    places = {"τ": (group, "tau", b.ms)} if parameters is None else parameters(group)
    return brian2_function(
        more.get("network", network), places, outputs or {"v": (group, "v", b.mV)}, duration=duration, namespace=timed()
    )


def of(equations: str, **more: Any) -> Any:
    """The function of a cell with other equations, at 5 ms."""
    group = b.NeuronGroup(1, f"{equations}\ntau : second (constant)", method="euler", **more)
    group.tau = 5 * b.ms
    unit = b.volt if "volt" in equations else 1
    return brian2_function(b.Network(group), {"τ": (group, "tau", b.ms)}, {"v": (group, "v", unit)}, duration=1)(
        tensor(5.0)
    )


BAD = {
    "unit": lambda: asked(lambda g: {"τ": (g, "tau", b.mV)}),
    "variable": lambda: asked(lambda g: {"τ": (g, "taw", b.ms)}),
    "state": lambda: asked(lambda g: {"v": (g, "v", b.mV)}),
    "groups": lambda: asked(outputs={"v": (lif()[0], "v", b.mV)}),
    "place": lambda: asked(lambda _: {"τ": "tau"}),
    "duration": lambda: asked(duration=-1),
    "network": lambda: asked(network=3),
    "number": lambda: asked()(20.0),
    "many": lambda: asked()(tensor([1.0, 2.0])),
    "none": lambda: asked()(),
    "noise": lambda: of("dv/dt = -v/tau + xi*mV/ms**0.5 : volt"),
    "random": lambda: of("dv/dt = -v*rand()/tau : volt"),
    "two conditions": lambda: of("dv/dt = -v/tau : 1", threshold="v > 1 and v < 2", reset="v = 0"),
    "not a conductance": lambda: brian2_function(to_brian2(AXON), ["E Na"], duration=1),
    "no such conductance": lambda: brian2_function(to_brian2(AXON), ["cell Nä"], duration=1),
    "explicit": lambda: brian2_function(to_brian2(AXON, method="rk4", dt=0.01), ["cell Na"], duration=1),
}
REFUSED = {
    "unit": "the unit of parameters",
    "variable": "'taw'",
    "state": "no parameter of its equations",
    "groups": "of 2 groups",
    "place": "must be a group, the name of its variable and a unit",
    "duration": "duration is -1",
    "network": "brian2.Network",
    "number": "torch tensor",
    "many": r"shape \(2,\)",
    "none": "has the parameters 'τ'",
    "noise": "xi",
    "random": "'rand'",
    "two conditions": "must be one comparison",
    "not a conductance": "only conductances can change",
    "no such conductance": "no parameter 'cell Nä'",
    "explicit": "must run by 'exponential_euler'",
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    with pytest.raises((TypeError, ValueError), match=REFUSED[case]):
        BAD[case]()


def test_a_reset_by_subtraction_and_a_second_variable() -> None:
    """Between the same spikes the derivative is that of the loss; the reset subtracts, and an adaptation grows at each spike."""
    group = b.NeuronGroup(
        1, "dv/dt = (2 - v - w)/tau : 1\ndw/dt = -w/(50*ms) : 1\ntau : second (constant)\nb : 1 (constant)",
        threshold="v > 1", reset="v -= 1; w += b", method="rk4", dt=0.1 * b.ms,
    )  # fmt: skip
    group.tau, group.b = 10 * b.ms, 0.1
    f = brian2_function(
        b.Network(group),
        {"b": (group, "b", 1)},
        {"v": (group, "v", 1), "w": (group, "w", 1), "spikes": (group, "spikes", 1)},
        duration=30,
    )
    base, up, down = (f(tensor(x)) for x in (0.1, 0.1 + 1e-7, 0.1 - 1e-7))
    assert base["spikes"].sum() >= 3
    assert (up["spikes"] == down["spikes"]).all()
    x = tensor(0.1)
    weight = torch.linspace(0, 1, len(base["v"]), dtype=torch.float64)[:, None]
    loss = lambda y: (weight * (y["v"] + 2 * y["w"])).sum()  # noqa: E731
    loss(f(x)).backward()
    assert np.isclose(x.grad, (loss(up) - loss(down)).item() / 2e-7, rtol=1e-5)


FIT = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np, torch, brian2 as b
from pyloric_simulator.export.brian2_bridge import brian2_function
from test_export_brian2 import DRIVE, lif, tensor, timed

b.set_device("cpp_standalone", directory={folder!r}, build_on_run=False)
group, network = lif(dt=0.1 * b.ms)
outputs = {{"v": (group, "v", b.mV), "spikes": (group, "spikes", 1)}}
f = brian2_function(network, {{"τ": (group, "tau", b.ms)}}, outputs, duration=300, namespace=timed({strength} * DRIVE))
with torch.no_grad():
    data = f(tensor(20.0))
kernel = torch.tensor(np.exp(-np.arange(2000)[::-1] * 0.1 / 20.0))
smooth = lambda s: torch.nn.functional.conv1d(s.T[:, None], kernel[None, None], padding=1999)[..., : len(s)]
losses = {{
    "trace": lambda y: ((y["v"] - data["v"]) ** 2).mean(),
    "spikes": lambda y: (smooth(y["spikes"] - data["spikes"]) ** 2).mean(),
}}
for kind in (torch.optim.Adam, torch.optim.SGD):
    for start in (12.0, 30.0):
        x = tensor(np.log(start))
        optimizer = kind([x], lr=0.05)
        slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.96)
        for _ in range(100):
            optimizer.zero_grad()
            losses[{name!r}](f(torch.exp(x))).backward()
            torch.nn.utils.clip_grad_norm_([x], 2.0)
            optimizer.step()
            slower.step()
        print(kind.__name__, start, data["spikes"].sum().item(), torch.exp(x).item())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "strength"), [("trace", 0.4), ("spikes", 1.0)])
def test_the_time_constant_is_found_again(name: str, strength: float, tmp_path: Path) -> None:
    """From Brian2's trace below the threshold and from its spikes alone, by Adam and by gradient descent; in C++ standalone mode.

    In a process of its own, since Brian2's device is one for a whole process.
    """
    script = tmp_path / "fit.py"
    script.write_text(
        FIT.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "code"), name=name, strength=strength)
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "code" / "main.cpp").exists()
    found = [line.split() for line in run.stdout.splitlines()]
    assert len(found) == 4
    for *which, spikes, τ in found:
        assert (float(spikes) > 0) == (name == "spikes")
        assert abs(float(τ) - 20) < 0.2, (which, τ)


def test_types() -> None:
    """What is returned has cells and potentials in our order."""
    exported = to_brian2(Network({"β": AXON, "α": Cell(AXON_CHANNELS, V=-60)}))
    assert isinstance(exported, Brian2Model)
    assert list(exported.cells) == [("β", 0), ("α", 0)]


AXON_CHANNELS = [HH.Na(100), HH.leak(0.3)]
