"""Equations of one's own: how they are read, order, monitors, spikes and refusals."""
# ruff: noqa: ARG001, ARG005 (an equation has the arguments of all equations, whichever it reads)

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import axon

from pyloric_simulator.engine.kinetics import linoid
from pyloric_simulator.engine.portable import place_of
from pyloric_simulator.ensembles.ensemble import ensemble
from pyloric_simulator.fitting.fit import fit
from pyloric_simulator.fitting.losses import density_mismatch, trace_mismatch
from pyloric_simulator.fitting.parameters import model_with, parameters
from pyloric_simulator.fitting.sensitivity import sensitivity
from pyloric_simulator.lab.noise import OU, noisy
from pyloric_simulator.lab.voltage_clamp import voltage_clamp
from pyloric_simulator.models import lif
from pyloric_simulator.models.networks import upstrokes
from pyloric_simulator.models.neurons import Neuron, simulate_neuron


def orders(run: Callable[[float], np.ndarray], reference: np.ndarray, steps: tuple[float, ...]) -> np.ndarray:
    """Orders of convergence from each step to the next, half as long."""
    errors = np.array([np.abs(np.asarray(run(dt)) - reference).max() for dt in steps])
    return np.log2(errors[:-1] / errors[1:])


def hodgkin_huxley(y: Any, I: Any, p: Any) -> dict[str, Any]:
    """The axon in µA/cm² and µF/cm²."""
    V = y.V
    α_m, β_m = linoid((V + 40) / 10), 4 * jnp.exp(-(V + 65) / 18)
    α_h, β_h = 0.07 * jnp.exp(-(V + 65) / 20), 1 / (1 + jnp.exp(-(V + 35) / 10))
    α_n, β_n = 0.1 * linoid((V + 55) / 10), 0.125 * jnp.exp(-(V + 65) / 80)
    I_ion = p.g_Na * y.m**3 * y.h * (V - 50) + p.g_K * y.n**4 * (V + 77) + p.g_L * (V + 54.387)
    return dict(
        V=I - I_ion, m=α_m * (1 - y.m) - β_m * y.m, h=α_h * (1 - y.h) - β_h * y.h, n=α_n * (1 - y.n) - β_n * y.n
    )


def hh(**kwargs: Any) -> Neuron:
    return Neuron(dict(V=-65, m=0, h=1, n=0), hodgkin_huxley, params=dict(g_Na=120, g_K=36, g_L=0.3), **kwargs)


def fitzhugh_nagumo(y: Any, I: Any, p: Any) -> dict[str, Any]:
    return dict(V=y.V - y.V**3 / 3 - y.w + I, w=0.08 * (y.V + 0.7 - 0.8 * y.w))


def leaky(**kwargs: Any) -> Neuron:
    usual = dict(threshold=lambda y, p: y.V + 50, reset=lambda y, p: dict(V=-70), params=dict(τ=20))
    return Neuron(dict(V=-65), lambda y, I, p: dict(V=(-65 - y.V + 10 * I) / p.τ), **(usual | kwargs))


def test_the_scheme_is_read_from_the_equations() -> None:
    assert hh().blocks == (("V",), ("m", "h", "n"))
    assert hh().linear == ("V", "m", "h", "n")
    nagumo = Neuron(dict(V=0.0, w=0.0), fitzhugh_nagumo)
    assert nagumo.blocks == (("V",), ("w",))
    assert nagumo.linear == ("w",)
    chain = Neuron(dict(a=1, b=1, c=1), lambda y, I, p: dict(a=y.b, b=y.c * y.b, c=-y.c * jnp.where(y.a > 0, 1.0, 2.0)))
    assert chain.blocks == (("a",), ("b",), ("c",))
    assert chain.linear == ("a", "b", "c")


@pytest.mark.parametrize(
    ("neuron", "I", "steps"),
    [
        pytest.param(hh, 10.0, (0.02, 0.01, 0.005), marks=pytest.mark.slow),
        (lambda: Neuron(dict(V=0.0, w=0.0), fitzhugh_nagumo), 0.5, (0.2, 0.1, 0.05)),
    ],
)
def test_equations_of_ones_own_are_second_order(
    neuron: Callable[[], Neuron], I: float, steps: tuple[float, ...]
) -> None:
    model, t = neuron(), np.arange(0, 20, 0.4)

    def current(t: Any) -> Any:
        return I * (1 + 0.3 * jnp.sin(t))

    exact = simulate_neuron(model, t, current, solver=diffrax.Dopri8(), rtol=1e-10, atol=1e-10)[0].V
    assert (orders(lambda dt: model(t, current, dt=dt).states.V, exact, steps) > 1.8).all()


def test_the_axon_in_both_forms() -> None:
    t = np.arange(0, 60, 0.02)
    a = upstrokes(t, hh()(t, I_ext=10, dt=0.01).states.V[:, 0])
    b = upstrokes(t, axon()(t, 10 * axon().area * 1000, dt=0.01).states.V[:, 0])
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_exponential_step_is_exact_where_linear() -> None:
    model = Neuron(dict(V=3.0), lambda y, I, p: dict(V=(I - y.V) / p.τ), params=dict(τ=7.0))
    t = np.array([0.0, 10.0, 50.0])
    np.testing.assert_allclose(model(t, 2.0, dt=5.0).states.V[:, 0], 2 + np.exp(-t / 7), rtol=1e-13)


def test_the_leaky_cell_is_that_of_its_chapter() -> None:
    t = np.arange(0, 400, 0.1)
    a, b = leaky(size=2, params=dict(τ=[10, 20]))(t, [2.0, 2.3], dt=0.1), lif.LIF(2, τ=[10, 20], t_ref=0)(t, [2.0, 2.3])
    np.testing.assert_allclose(a.states.V, b.states.V, rtol=0, atol=1e-9)
    for x, y in zip(a.spike_times().values(), b.spike_times().values(), strict=True):
        assert len(x) > 10
        np.testing.assert_allclose(x, y, atol=1e-9)


def test_neurons_under_grad_vmap_and_surrogates() -> None:
    t = np.arange(0, 100, 0.1)

    def count(τ: Any, spike: lif.Spike) -> Any:
        return simulate_neuron(leaky(), t, 2.3, params=dict(τ=τ), dt=0.1, spike=spike)[1].sum()

    def mean(g: Any) -> Any:
        return simulate_neuron(hh(), t, 7.0, params=dict(g_K=g))[0].V.mean()

    slopes = jax.jit(lambda τ: [jax.grad(count)(τ, spike) for spike in (lif.heaviside, lif.SURROGATE)])(20.0)
    assert slopes[0] == 0
    assert slopes[1] < 0  # a slower cell fires less
    many = jax.jit(jax.vmap(lambda τ: count(τ, lif.heaviside)))(jnp.array([10.0, 20.0]))
    assert many.tolist() == [len(leaky(params=dict(τ=τ))(t, 2.3, dt=0.1).trains[0]) for τ in (10, 20)]
    value_and_slope = jax.jit(jax.value_and_grad(mean))
    difference = value_and_slope(36 + 1e-5)[0] - value_and_slope(36 - 1e-5)[0]
    assert float(value_and_slope(36.0)[1]) == pytest.approx(float(difference) / 2e-5, rel=1e-6)


def test_monitors_inputs_and_continuation() -> None:
    model, t = hh(size=2), np.arange(0, 30, 0.5)
    frame = pd.DataFrame({("Neuron", 1): [0.0, 20.0]}, index=[0.0, 30.0])
    run = model(t, frame, record={"I_Na": lambda y, p: p.g_Na * y.m**3 * y.h * (y.V - 50)})
    y = run.states
    np.testing.assert_allclose(run.monitors["I_Na"], 120 * y.m**3 * y.h * (y.V - 50), rtol=1e-12)
    pd.testing.assert_frame_equal(run.variable("n"), pd.DataFrame(y.n, run.V.index, run.V.columns))
    twin = model(t, np.column_stack([0 * t, 20 * t / 30]))
    np.testing.assert_allclose(twin.states.V, y.V, atol=1e-6)
    first, second = model(t[:31], 5.0), model(t[:31] + 15, 5.0, model(t[:31], 5.0).final_state, t0=15.0)
    whole = model(np.arange(0, 30.5, 0.5), 5.0)
    np.testing.assert_allclose(
        np.concatenate([first.states.V[:-1], second.states.V]), whole.states.V, rtol=1e-9, atol=1e-9
    )
    assert len(hh()(np.arange(0, 60, 0.1), 10.0).spike_times()["Neuron", 0]) == 4
    irregular = np.sort(np.random.default_rng(1).uniform(0, 20, 30))
    np.testing.assert_allclose(
        model(irregular, 5.0).V.iloc[-1], model(np.append(0, irregular), 5.0).V.iloc[-1], rtol=1e-9
    )


def test_resets_that_are_right_draw_no_warning() -> None:
    """By an amount, of several variables, to a parameter, with a threshold that adapts. Tests turn warnings into errors."""
    leaky(reset=lambda y, p: dict(V=y.V - 20))
    leaky(
        size=2, params=dict(τ=20, θ=[-50, -45]), threshold=lambda y, p: y.V - p.θ, reset=lambda y, p: dict(V=p.θ - 20)
    )
    two = dict(V=-65, θ=-50)
    Neuron(
        two,
        lambda y, I, p: dict(V=I - y.V, θ=-y.θ),
        threshold=lambda y, p: y.V - y.θ,
        reset=lambda y, p: dict(θ=y.θ + 10),
    )
    jax.jit(lambda I: simulate_neuron(leaky(), [0.0, 1.0], I)[0].V)(2.0)  # made inside of a compiled function


def one(y: Any, I: Any, p: Any) -> dict[str, Any]:
    return dict(V=I - y.V)


NEURON_REFUSALS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no start": (lambda: Neuron({}, one), ValueError, "start is empty"),
    "start": (lambda: Neuron([1], one), TypeError, "must be a mapping"),
    "name": (lambda: Neuron({"V m": 1}, one), ValueError, "'V m' is not a name"),
    "length": (lambda: Neuron(dict(V=[1, 2]), one), ValueError, "one finite number"),
    "missing": (lambda: Neuron(dict(V=1, w=1), one), ValueError, "returns 'V'; it must be 'V', 'w'"),
    "array": (lambda: Neuron(dict(V=1), lambda y, I, p: dict(V=jnp.ones(2))), ValueError, r"V with shape \(2,\)"),
    "trace": (
        lambda: Neuron(dict(V=1), lambda y, I, p: dict(V=float(y.V))),
        TypeError,
        "derivative cannot be evaluated by JAX",
    ),
    "reset only": (lambda: Neuron(dict(V=1), one, reset=lambda y, p: {}), ValueError, "must come together"),
    "reset of others": (lambda: leaky(reset=lambda y, p: dict(W=3)), ValueError, "the reset returns 'W'"),
    "size": (lambda: leaky(size=0), ValueError, "size is 0"),
    "dt": (lambda: leaky()([0, 1], dt=0), ValueError, "dt is 0 ms; it must be positive"),
    "adaptive": (lambda: leaky()([0, 1], solver=diffrax.Tsit5()), ValueError, "needs a fixed step"),
    "solver": (lambda: leaky()([0, 1], solver="staggered"), ValueError, "'exponential'"),
    "state": (lambda: leaky()([0, 1], state=3), TypeError, "state is int, 3"),
    "variable": (lambda: leaky()([0, 1]).variable("w"), ValueError, "a variable is 'w'"),
    "parameter": (lambda: simulate_neuron(leaky(), [0, 1], params=dict(tau=3)), ValueError, "'tau'"),
}


@pytest.mark.parametrize("name", NEURON_REFUSALS)
def test_refusals_of_equations(name: str) -> None:
    call, error, message = NEURON_REFUSALS[name]
    with pytest.raises(error, match=message):
        call()


def test_overflow_of_equations() -> None:
    with pytest.raises(FloatingPointError, match=r"V of cell \('Neuron', 0\)"):
        Neuron(dict(V=1.0), lambda y, I, p: dict(V=y.V**2))(np.arange(0, 5, 0.1))


# ---------------------------------------------------------------- what any model can do


def adaptive_pair() -> Neuron:
    """Two cells with a threshold that grows with each spike."""
    return Neuron(
        dict(V=-65, θ=-50), lambda y, I, p: dict(V=(-65 - y.V + p.R * I) / p.τ, θ=(-50 - y.θ) / 30), size=2,
        params=dict(τ=[10, 20], R=10, jump=5), threshold=lambda y, p: y.V - y.θ, reset=lambda y, p: dict(V=-70, θ=y.θ + p.jump),
    )  # fmt: skip


def test_numbers_that_cells_share_have_one_name() -> None:
    model = adaptive_pair()
    assert parameters(model) == {"τ 0": 10, "τ 1": 20, "R": 10, "jump": 5}
    changed = model_with(model, {"τ 1": 15, "R": 8})
    assert parameters(changed) == {"τ 0": 10, "τ 1": 15, "R": 8, "jump": 5}
    assert parameters(model)["R"] == 10
    with pytest.raises(ValueError, match=r"no parameter 'τ'.*Say which of 'τ 0', 'τ 1'"):
        model_with(model, {"τ": 3})
    with pytest.raises(
        ValueError, match="is 5 after a reset"
    ):  # the numbers make a threshold that a reset does not undo
        model_with(leaky(params=dict(θ=-50, τ=20), threshold=lambda y, p: y.V - p.θ), {"θ": -75})


def test_rows_of_an_ensemble_are_single_runs() -> None:
    """Spikes at a threshold, starts of all variables, noise, and states in a function of one's own."""
    model, t = adaptive_pair(), np.arange(0, 60, 0.5)
    rows = {"τ 1": [20.0, 12.0], "I Neuron": [1.0, 2.0], "V0 Neuron": [-60.0, -66.0], "θ0 Neuron": [-50.0, -45.0]}
    spikes = ensemble(model, rows, duration=60, I_ext=2.0, progress=False)
    noise = ensemble(
        model, rows, keep=lambda t, y: {"θ": y.θ[-1].sum()}, t=t, I_ext=2.0, noise=OU(0.5, 0.5, 3.0), progress=False
    )
    for i in range(2):
        one = model_with(model, {"τ 1": rows["τ 1"][i]})
        start = one.cold._replace(V=np.full(2, rows["V0 Neuron"][i]), θ=np.full(2, rows["θ0 Neuron"][i]))
        I = 2.0 + rows["I Neuron"][i]
        for cell, x in one([0, 60], I, start).spike_times().items():
            assert len(x) > 2
            np.testing.assert_allclose(spikes[f"spikes Neuron {cell[1]}"][i], x, atol=1e-9)
        single = noisy(one, t, current=OU(0.5, 0.5, 3.0), seed=i, I_ext=I, state=start)
        assert noise["θ"][i] == pytest.approx(single.states.θ[-1].sum(), rel=1e-9)


def test_a_folder_of_rows_belongs_to_its_equations(tmp_path: Path) -> None:
    rows = {"τ": [10.0, 20.0]}
    first, again = (
        ensemble(leaky(), rows, duration=60, I_ext=2.5, path=tmp_path / "run", progress=False) for _ in range(2)
    )
    assert len(first["spikes Neuron"][0]) > 2
    pd.testing.assert_frame_equal(first, again)
    with pytest.raises(ValueError, match="holds a run with cells"):
        ensemble(
            leaky(reset=lambda y, p: dict(V=-71)), rows, duration=60, I_ext=2.5, path=tmp_path / "run", progress=False
        )


def test_functions_of_a_script_have_no_place_under_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once multiprocessing is imported, a script is known by two names, neither of which another process can import."""
    script = ModuleType("__main__")
    exec("def f(t): return t", script.__dict__)
    for name in ("__main__", "__mp_main__"):
        monkeypatch.setitem(sys.modules, name, script)
    assert place_of(script.f) is None
    assert place_of(linoid) is not None


def test_a_clamped_cell_beside_a_free_one() -> None:
    model, t = Neuron(dict(V=0.0, w=0.0), fitzhugh_nagumo, size=2), np.arange(0, 10, 0.5)
    run = voltage_clamp(model, t, lambda t: jnp.sin(t), cell=("Neuron", 1), I_ext=0.5)
    np.testing.assert_allclose(run.states.V[:, 1], np.sin(t), atol=1e-12)
    np.testing.assert_array_equal(run.states.V[:, 0], model(t, 0.5).states.V[:, 0])
    V, w = run.states.V[:, 1], run.states.w[:, 1]
    np.testing.assert_allclose(run.clamp, np.cos(t) - V + V**3 / 3 + w, atol=1e-9)
    assert len(run[2:5].clamp) == 7
    recovery = Neuron(dict(w=0.0), lambda y, I, p: dict(w=0.08 * (I + 0.7 - 0.8 * y.w)))
    exact = simulate_neuron(recovery, t, jnp.sin, solver=diffrax.Dopri8(), rtol=1e-10, atol=1e-10)[0].w
    np.testing.assert_allclose(w[1:], exact[1:, 0], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: voltage_clamp(leaky(), [0.0, 1.0], -60.0), "reset where it spikes"),
        (
            lambda: voltage_clamp(Neuron(dict(V=0.0), lambda y, I, p: dict(V=-y.V)), [0.0, 1.0], 0.5),
            "does not contain the input",
        ),
        (
            lambda: voltage_clamp(Neuron(dict(V=0.0), lambda y, I, p: dict(V=I**2 - y.V)), [0.0, 1.0], 0.5),
            "does not contain the input",
        ),
        (
            lambda: ensemble(Neuron(dict(x=0.0), lambda y, I, p: dict(x=I - y.x)), {"I Neuron": [1.0]}, duration=100),
            "must be the potential",
        ),
        (lambda: sensitivity(adaptive_pair()), "a rhythm is read from spikes"),
        (
            lambda: fit(adaptive_pair(), trace_mismatch(adaptive_pair(), adaptive_pair()(T)), ["jump"]),
            "'jump' is 0 by construction",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


T = np.arange(0, 20, 0.5)


def test_a_derivative_that_does_not_see_resets_is_not_given_in_silence() -> None:
    model, t = adaptive_pair(), np.arange(0, 60, 0.5)
    with pytest.warns(UserWarning, match=r"cell 0 fires at about .* does not know that a spike moves"):
        trace_mismatch(model, model(t, 3.0), I_ext=3.0)
    loss = density_mismatch(
        model, model(t, 3.0), width=5.0, I_ext=3.0
    )  # its spikes have the derivative of the surrogate
    found = fit(model_with(model, {"jump": 7.0}), loss, ["jump"], steps=1, progress=False)
    assert found.history["gradient"].iloc[0] > 0
