"""Integrate-and-fire cells against closed forms, a plain version and finite differences; surrogates; fits."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator.ensembles.ensemble import ensemble
from pyloric_simulator.fitting.fit import fit
from pyloric_simulator.fitting.losses import density_mismatch, trace_mismatch
from pyloric_simulator.fitting.parameters import model_with, parameters, with_values
from pyloric_simulator.lab.current_clamp import fi_curve, input_resistance, rheobase
from pyloric_simulator.lab.noise import White, noisy
from pyloric_simulator.models import lif
from pyloric_simulator.models.lif import (
    CELL,
    LIF,
    Params,
    State,
    descend,
    fast_sigmoid,
    heaviside,
    prediction_error,
    rate,
    simulate_lif,
    superspike,
    surrogate,
    van_rossum,
)
from pyloric_simulator.prinz2004 import precision
from pyloric_simulator.rhythm import bursts

DT = lif.DEFAULT_DT
T = np.arange(3001) * DT  # ms
MIXED: dict[str, Any] = dict(  # three cells that differ in everything
    V_rest=[-65, -60, -70],
    V_reset=[-70, -60, -66.5],
    V_th=[-50, -52, -45],
    R=[10, 20, 22],
    τ=[20, 8, 33],
    t_ref=[2, 0, 3.07],
)


def fluctuating(t: np.ndarray, cells: int, seed: int = 0) -> np.ndarray:
    """A current (time, cell) in nA around the rheobase, with a new value every 5 ms and lines between."""
    knots = np.arange(0, t[-1] + 5, 5)
    noise = np.random.default_rng(seed).normal(size=(cells, len(knots)))
    return np.stack([1.5 + np.interp(t, knots, x) for x in noise], 1)


def plain(params: Params, t: np.ndarray, I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One cell in plain numbers: V at each t, which are the steps, and the spike times."""
    V_rest, V_reset, V_th, R, τ, t_ref = map(float, params)
    V, free_from, trace, spikes = V_rest, -math.inf, [V_rest], []
    for start, end, current in zip(t[:-1], t[1:], I[:-1], strict=True):
        target = V_rest + R * float(current)
        V = target - (target - V) * math.exp(-max(end - max(start, free_from), 0) / τ)
        if V - V_th >= 0:
            V, free_from = V_reset, end + t_ref
            spikes.append(end)
        trace.append(V)
    return np.array(trace), np.array(spikes)


# ------------------------------------------------------------------------- the cell


def test_the_fast_version_is_the_plain_one() -> None:
    I = fluctuating(T, 3)
    model = LIF(3, **MIXED)
    result = model(T, I)
    trains = result.spike_times()
    for i, cell in enumerate(model.cells):
        V, spikes = plain(Params(*(x[i] for x in model.params)), T, I[:, i])
        assert len(spikes) >= 5
        np.testing.assert_allclose(result.V[cell], V, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(trains[cell], spikes)


def test_below_threshold_it_is_the_exact_solution_at_any_time() -> None:
    """Also between the steps, with a step much longer than the distance of the times, and through a change of the input."""
    τ, I = np.array([5.0, 20, 80]), np.array([-2.0, 0.5, 1.4])
    t = np.sort(np.random.default_rng(0).uniform(0, 100, 500))
    V = LIF(3, τ=τ)(t, lambda t: jnp.where(t < 48, jnp.asarray(I), 0.0), dt=4.0).V.to_numpy()
    at = lambda t: CELL.R * I * -np.expm1(-t / τ)  # noqa: E731
    after = at(48.0) * np.exp(-np.maximum(t[:, None] - 48, 0) / τ)
    expected = CELL.V_rest + np.where(t[:, None] < 48, at(t[:, None]), after)
    np.testing.assert_allclose(V, expected, rtol=1e-14)


@pytest.mark.parametrize("dt", [0.2, 0.1, 0.05])
def test_rate_follows_the_closed_form(dt: float) -> None:
    """Each interval is the exact one, rounded up to a whole step."""
    I = np.linspace(1, 6, 41)
    trains = LIF(len(I))(np.arange(0, 1000.5, 0.5), I, dt=dt).spike_times().values()
    exact = np.asarray(jax.jit(rate)(CELL, I))
    np.testing.assert_array_equal([len(x) > 0 for x in trains], exact > 0)
    for x, f in zip(trains, exact, strict=True):
        if f > 0:
            np.testing.assert_allclose(np.diff(x), dt * np.ceil(1000 / f / dt - 1e-6), rtol=0, atol=1e-9)
            assert 0 <= f - 1000 / np.diff(x).mean() <= dt / 1000 * f**2


def test_a_state_of_whole_numbers_is_no_run_in_whole_numbers() -> None:
    whole = State(np.array([-65, -60]), np.array([0, 1]), np.array([0, 0]))
    real = State(*(x.astype(float) for x in whole))
    for a, b in zip(simulate_lif(CELL, whole, T, 1.6), simulate_lif(CELL, real, T, 1.6), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype.kind == "f"


def test_cells_in_no_unit_and_other_cells_draw_no_warning() -> None:
    """Tests turn warnings into errors."""
    LIF(2, V_rest=0, V_reset=-0.2, V_th=[0.5, 1], R=1)  # dimensionless
    LIF(1, V_rest=-70, V_reset=-58, V_th=-50, R=500, τ=9.3, t_ref=0)  # a small fast cell
    LIF(1, R=0.5, τ=1)


def test_rate_is_zero_and_differentiable_below_the_rheobase() -> None:
    rheobase = (CELL.V_th - CELL.V_rest) / CELL.R
    f = jax.jit(lambda I: rate(CELL, I))
    slope = jax.jit(jax.vmap(jax.grad(f)))(jnp.array([-0.5, rheobase, 2.0]))  # the first leads to V_reset
    assert slope[:2].tolist() == [0, 0]
    assert float(slope[2]) == pytest.approx(float(f(2.001) - f(1.999)) / 0.002, rel=1e-5)


@pytest.mark.parametrize("t_ref", [0, 0.05, 2.0, 2.03, 7.0])
def test_refractory_time_bounds_the_intervals(t_ref: float) -> None:
    result = LIF(4, t_ref=t_ref)(T, 20 * fluctuating(T, 4))
    for (cell, spikes), strong in zip(result.spike_times().items(), result.refractory.items(), strict=True):
        assert len(spikes) > 20
        assert np.diff(spikes).min() >= max(t_ref, DT) - 1e-9
        held = strong[1] > 0
        assert (result.V[cell][held] == CELL.V_reset).all()
        np.testing.assert_allclose(strong[1].loc[spikes], t_ref)


def test_a_spike_is_counted_once_at_any_times() -> None:
    model = LIF(3, **MIXED)
    I = lambda t: 2 + jnp.sin(t / 20)  # noqa: E731
    every = model(T, I)
    assert set(np.unique(every.spikes)) == {0, 1}
    for t in (np.arange(40, 300, 3.5), np.arange(41.23, 300, 1.7), np.array([20.0, 20.01, 20.02, 100.0, 299.95])):
        result = model(t, I)
        for cell, spikes in result.spike_times().items():
            all_of_them = every.spike_times()[cell]
            inside = all_of_them[(all_of_them >= t[0]) & (all_of_them <= t[-1])]
            np.testing.assert_allclose(spikes, inside, rtol=0, atol=1e-9)
            expected = np.bincount(np.searchsorted(t, inside - 1e-9), minlength=len(t))
            np.testing.assert_array_equal(result.spikes[cell], expected)


def test_spike_times_are_found_in_the_index() -> None:
    t = np.linspace(0, 300, 3001)
    result = LIF(1)(t, 2.5)
    assert (result.spikes.loc[result.spike_times()["LIF", 0]] == 1).all(axis=None)


def test_input_in_all_its_forms() -> None:
    model, ramp = LIF(2, τ=[10, 30]), 1 + T / 150
    forms = [
        np.stack([ramp, ramp], 1), ramp, lambda t: 1 + t / 150, pd.DataFrame({"LIF": [1.0, 3.0]}, [0.0, 300.0]),
        pd.DataFrame({("LIF", 1): [1.0, 3.0], ("LIF", 0): [1.0, 3.0]}, [0.0, 300.0]),
    ]  # fmt: skip
    first, *others = [model(T, I).V.to_numpy() for I in forms]
    for V in others:
        np.testing.assert_allclose(V, first, rtol=0, atol=1e-9)
    same = [model(T, I).V for I in (2.0, [2.0, 2.0], {"LIF": 2.0}, np.full((len(T), 1), 2.0))]
    assert all(V.equals(same[0]) for V in same)
    assert model(T).V.equals(model(T, 0).V)


def test_a_run_goes_on() -> None:
    model, I = LIF(3, **MIXED), fluctuating(T, 3)
    whole, middle = model(T, I), 1503
    first = model(T[: middle + 1], I[: middle + 1])
    second = model(T[middle:], I[middle:], first.final_state, t0=T[middle])
    np.testing.assert_allclose(second.V, whole.V[middle:], rtol=0, atol=1e-9)
    assert second.spikes[1:].equals(whole.spikes[middle + 1 :])
    assert whole[T[middle] :].V.equals(whole.V[middle:])


def test_tables_files_and_picture(tmp_path: Path) -> None:
    result = LIF(2, τ=[10, 30])(T, 2.0)
    assert list(result.V.columns) == [("LIF", 0), ("LIF", 1)] == list(result.spikes.columns)
    assert result.V.index.name == "time"
    assert "LIF(2)" in repr(result)
    for cell, x in result[100:200].spike_times().items():
        assert 100 <= x.min() < x.max() <= 200
        assert len(x) == result.spikes[cell].loc[100:200].sum()
        assert len(bursts(x)) == 1
    result.to_csv(tmp_path / "x.csv", ["V", "spikes", "refractory"])
    text = (tmp_path / "x.csv").read_text(encoding="utf-8")
    assert '"τ": [10.0, 30.0]' in text
    assert '"refractory LIF 1": "ms"' in text
    table = pd.read_csv(tmp_path / "x.csv", comment="#", index_col="time")
    np.testing.assert_allclose(table["V LIF 1"], result.V["LIF", 1])
    hv.extension("bokeh")
    panels = list(result.plot())
    assert [len(p.Segments.I) for p in panels] == [len(x) for x in result.spike_times().values()]
    hv.render(result.plot())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision(dtype: str) -> None:
    model, I = LIF(3, **MIXED, dtype=dtype), fluctuating(T, 3)
    result = model(T, I)
    assert {x.dtype.name for x in result.states} == {dtype}
    double = LIF(3, **MIXED)(T, I)
    assert abs(result.spikes.sum() - double.spikes.sum()).max() <= 1
    np.testing.assert_allclose(result.V[:20], double.V[:20], rtol=1e-6)
    with precision(dtype):
        start = State(*(np.asarray(x, dtype) for x in model.rest))
        spikes = (heaviside, fast_sigmoid(1), superspike(1))
        f = lambda p: jnp.stack([simulate_lif(p, start, T, I, spike=spike).spikes.sum() for spike in spikes])  # noqa: E731
        y, slopes = jax.jit(lambda p: (f(p), jax.jacrev(f)(p)))(CELL)
        assert y.dtype == dtype
        assert np.isfinite(jax.tree.leaves(slopes)).all()


# ------------------------------------------------------------------------- surrogates


SPIKES = {
    "threshold": heaviside,
    "fast sigmoid": fast_sigmoid(2),
    "SuperSpike": superspike(2),
    "own": surrogate(lambda v: jnp.exp(-jnp.abs(v))),
}


@pytest.mark.parametrize("name", SPIKES)
def test_forward_is_the_threshold_to_the_last_bit(name: str) -> None:
    tiny = np.finfo(float).tiny
    v = jnp.array([-np.inf, -1, -1e-300, -tiny, -0.0, 0, tiny, 1e-300, 1, np.inf])
    np.testing.assert_array_equal(SPIKES[name](v), [0] * 4 + [1] * 6)
    model, I = LIF(3, **MIXED), fluctuating(T, 3)
    states = jax.jit(lambda I: simulate_lif(model.params, model.rest, T, I, spike=SPIKES[name]))(I)
    np.testing.assert_array_equal(states.spikes, model(T, I).spikes)


@pytest.mark.parametrize(
    ("spike", "values"),  # of the derivative at −1, 0, 0.5 and 3 mV
    [
        (heaviside, [0, 0, 0, 0]),
        (superspike(1), [1 / 4, 1, 4 / 9, 1 / 16]),
        (superspike(2), [1 / 9, 1, 1 / 4, 1 / 49]),
        (fast_sigmoid(1), [1 / 8, 1 / 2, 2 / 9, 1 / 32]),
        (fast_sigmoid(2), [1 / 9, 1, 1 / 4, 1 / 49]),
        (surrogate(lambda v: jnp.maximum(1 - jnp.abs(v), 0)), [0, 1, 0.5, 0]),
    ],
)
def test_derivatives_forward_and_reverse(spike: Callable[[Any], Any], values: list[float]) -> None:
    v = jnp.array([-1, 0, 0.5, 3])
    np.testing.assert_allclose(jax.vmap(jax.grad(spike))(v), values, rtol=1e-14)
    np.testing.assert_allclose(jax.jvp(spike, (v,), (jnp.ones(4),))[1], values, rtol=1e-14)
    np.testing.assert_allclose(jax.jit(jax.vjp(spike, v)[1])(2 * jnp.ones(4))[0], 2 * np.array(values), rtol=1e-14)


def test_the_fast_sigmoid_is_a_step_of_height_one() -> None:
    v = jnp.linspace(-2e4, 2e4, 4_000_001)
    slope = jax.vmap(jax.grad(fast_sigmoid(3)))(v)
    assert float(slope.sum() * (v[1] - v[0])) == pytest.approx(1, abs=1e-3)


def test_a_pair_of_ones_own() -> None:
    """Values and derivative are independent of each other, and the derivative has a derivative."""
    spike = surrogate(lambda v: v**3, forward=jax.nn.sigmoid)
    assert spike(0.0) == 0.5
    assert jax.grad(spike)(2.0) == 8
    assert jax.grad(jax.grad(spike))(2.0) == 12
    soft = simulate_lif(CELL, LIF(1).rest, T, 2.0, spike=spike)
    hard = LIF(1)(T, 2.0)
    np.testing.assert_array_equal(soft.V, hard.V)  # the reset obeys the threshold
    counts = np.asarray(soft.spikes[1:])
    assert ((counts > 0) & (counts < 1)).all()


# ------------------------------------------------------------------------- derivatives of runs


def run_of(*names: str, steps: int, dt: float = DT) -> Callable[[Any], State]:
    """One cell's states as a function of x: some parameters, the input and the potential at the start."""

    def f(x: Any) -> State:
        params = CELL._replace(**dict(zip(names, x, strict=False)))
        start = State(x[-1:], jnp.zeros(1), jnp.zeros(1))
        return simulate_lif(params, start, np.arange(steps) * dt, x[-2], dt=dt)

    return f


@pytest.mark.parametrize("I", [1.2, 3.0], ids=["below threshold", "with spikes"])
def test_derivatives_of_the_potential_are_those_of_finite_differences(I: float) -> None:
    x = jnp.array([-64, -71, 9, 17, 2.03, I, -66])
    f = jax.jit(run_of("V_rest", "V_reset", "R", "τ", "t_ref", steps=700))
    assert (np.sum(f(x).spikes) > 3) == (I > 2)
    V = lambda x: f(x).V[:, 0]  # noqa: E731
    forward, reverse = jax.jit(jax.jacfwd(V))(x), jax.jit(jax.jacrev(V))(x)
    ε = 1e-6
    numbers, moves = np.asarray(x), ε * np.eye(len(x))
    differences = [np.asarray(f(numbers + d).V - f(numbers - d).V)[:, 0] / (2 * ε) for d in moves]
    np.testing.assert_allclose(forward, np.stack(differences, 1), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-12)
    touched = np.abs(forward).max(0) > 0.1
    assert touched.tolist() == [True, I > 2, True, True, I > 2, True, True]


def test_the_refractory_time_has_its_derivative_at_a_multiple_of_the_step_too() -> None:
    """Where it ends exactly with a step, V changes as it does on both sides."""
    f = run_of("t_ref", steps=600, dt=0.125)
    slope = jax.jit(jax.grad(lambda t_ref: f(jnp.stack([t_ref, 2.5, -65.0])).V[-1, 0]))
    found = [slope(x) for x in (2.0 - 1e-9, 2.0, 2.0 + 1e-9)]
    assert found[1] < -0.01
    np.testing.assert_allclose(found, found[1], rtol=1e-6)


def test_derivatives_of_a_spike_are_the_chain_rule() -> None:
    """One step: S = Θ(V − V_th); its derivative is σ'(V − V_th) times that of V − V_th."""
    start, spike = LIF(1).rest._replace(V=np.array([-51.0])), superspike(0.7)

    def v_of(p: Params) -> Any:
        return (p.V_rest + p.R * 2.5 + (start.V[0] - p.V_rest - p.R * 2.5) * jnp.exp(-1 / p.τ)) - p.V_th

    found = jax.jit(jax.grad(lambda p: simulate_lif(p, start, [1.0], 2.5, dt=1.0, spike=spike).spikes[0, 0]))(CELL)
    v, slope = jax.jit(jax.value_and_grad(v_of))(CELL)
    np.testing.assert_allclose(found, np.array(slope) / (1 + 0.7 * abs(v)) ** 2, rtol=1e-12)
    assert found.V_th < 0 < found.R


def test_the_reset_is_not_differentiated() -> None:
    """After a spike the potential knows nothing of what came before; neither knows the threshold's place."""
    x = jnp.array([-50.0, 2.5, -65.0])
    f = jax.jit(run_of("V_th", steps=400))
    slopes = [np.asarray(d) for d in jax.jit(jax.jacfwd(f))(x)]
    of_V_th, _, memory = (State(*(d[:, 0, i] for d in slopes)) for i in range(3))
    assert not of_V_th.V.any()
    first = int(np.argmax(f(x).spikes))
    assert (memory.V[:first] > 0).all()
    assert (memory.spikes[1 : first + 1] > 0).all()
    assert not memory.V[first:].any()
    assert not memory.spikes[first + 1 :].any()


def test_jit_and_vmap_are_loops() -> None:
    start, I = LIF(1).rest, fluctuating(T, 1)
    f = lambda τ: simulate_lif(CELL._replace(τ=τ), start, T, I)  # noqa: E731
    τ = jnp.array([5.0, 20, 40])
    together, compiled = jax.jit(jax.vmap(f))(τ), jax.jit(f)
    for i in range(3):
        for a, b, c in zip(f(τ[i]), together, compiled(τ[i]), strict=True):
            np.testing.assert_allclose(b[i], a, rtol=0, atol=1e-9)
            np.testing.assert_allclose(c, a, rtol=0, atol=1e-9)
    slopes = jax.jit(jax.vmap(jax.grad(lambda τ: f(τ).spikes.sum())))(τ)
    assert (slopes < 0).all()  # a slower cell spikes less


# ------------------------------------------------------------------------- fits


def train(*times: float) -> Any:
    """One cell's spikes at each step of 0.01 ms for 1 s."""
    return jnp.zeros((100_000, 1)).at[np.rint(np.array(times) / 0.01).astype(int)].set(1.0)


def test_distances_of_spike_trains() -> None:
    distance = lambda a, b: float(van_rossum(a, b, τ_D=20.0, dt=0.01)[0])  # noqa: E731
    assert distance(train(100, 300), train(100, 300)) == 0
    assert distance(train(100), train()) == pytest.approx(0.5, rel=1e-3)
    assert distance(train(100, 120), train(100)) == pytest.approx(0.5, rel=1e-3)
    assert distance(train(100), train(107)) == pytest.approx(1 - math.exp(-7 / 20), rel=1e-3)


@pytest.mark.parametrize("start", [10.0, 30.0])
@pytest.mark.parametrize("source", ["potential", "spikes"])
def test_a_time_constant_is_found(source: str, start: float) -> None:
    """From 50% off to within 1%, whatever the current."""
    t = np.arange(10001) * DT
    I, cell = fluctuating(t, 1, seed=1), LIF(1)
    data = cell(t, I).states
    assert data.spikes.sum() >= 10

    def from_potential(τ: Any) -> Any:
        return prediction_error(CELL._replace(τ=τ), data, I, n=50)

    def from_spikes(τ: Any) -> Any:
        return van_rossum(simulate_lif(CELL._replace(τ=τ), cell.rest, t, I).spikes, data.spikes, τ_D=20.0).sum()

    path = descend(from_potential if source == "potential" else from_spikes, start, rate=0.03, steps=150)
    assert float(path[0]) == pytest.approx(start)
    assert abs(float(path[-1]) / CELL.τ - 1) < 0.01


def test_without_optax_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optax", None)
    with pytest.raises(ImportError, match=r"optax.*pip install 'pyloric-simulator\[fit\]'"):
        descend(lambda x: x, 1.0, rate=0.1, steps=1)


# ------------------------------------------------------------------------- refusals


def pure(params: Params = CELL, state: State | None = None, t: Any = T, I: Any = None, **kwargs: Any) -> State:
    return simulate_lif(params, LIF(2).rest if state is None else state, t, I, **kwargs)


REST = LIF(2).rest
REFUSALS: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    "size zero": (lambda: LIF(0), ValueError, ["size is 0", "from 1"]),
    "size broken": (lambda: LIF(1.5), TypeError, ["1.5", "whole number"]),
    "reset at the threshold": (lambda: LIF(2, V_reset=[-70, -50]), ValueError, ["cell 1", "-50 mV", "Lower V_reset"]),
    "τ zero": (lambda: LIF(2, τ=[0, 20]), ValueError, ["τ contains 0 ms", "positive", "CELL.τ"]),
    "R negative": (lambda: LIF(1, R=-1), ValueError, ["R contains -1 MΩ", "positive"]),
    "t_ref negative": (lambda: LIF(1, t_ref=-1), ValueError, ["t_ref contains -1 ms", "negative", "Say 0"]),
    "V_th NaN": (lambda: LIF(1, V_th=np.nan), ValueError, ["V_th contains nan", "finite", "mV"]),
    "V_rest text": (lambda: LIF(1, V_rest="low"), TypeError, ["V_rest is 'low'", "numbers"]),
    "τ shape": (lambda: LIF(3, τ=[10, 20]), ValueError, ["τ has shape (2,)", "(3,)"]),
    "precision typo": (lambda: LIF(1, dtype="float46"), ValueError, ["'float46'", "'float64'"]),
    "dt zero": (lambda: LIF(1)(T, dt=0), ValueError, ["dt is 0 ms", "positive"]),
    "dt longer than τ": (lambda: LIF(2, τ=[1, 20])(T, dt=2), ValueError, ["dt is 2 ms", "τ is 1 ms", "smaller"]),
    "dt text": (lambda: LIF(1)(T, dt="0.1"), TypeError, ["'0.1'", "number in ms"]),
    "t unsorted": (lambda: LIF(1)([0, 2, 1]), ValueError, ["t[1] = 2", "np.unique"]),
    "t before t0": (lambda: LIF(1)([1, 2], t0=1.5), ValueError, ["t[0] is 1 ms", "t0 = 1.5"]),
    "too many steps": (lambda: LIF(1)([0, 1e9]), ValueError, ["more than 2147483647 steps", "larger step"]),
    "I_ext shape": (lambda: LIF(2)(T, np.ones(3)), ValueError, ["(3,)", "2 cells"]),
    "I_ext NaN": (lambda: LIF(2)(T, np.nan), ValueError, ["nan", "finite"]),
    "I_ext function": (lambda: LIF(2)(T, lambda t: np.sin(float(t))), TypeError, ["cannot be traced", "jax.numpy"]),
    "state of other cells": (lambda: LIF(3)(T, state=REST), ValueError, ["state.V", "(2,)", "(3,)"]),
    "state not a state": (lambda: LIF(2)(T, state=np.zeros(2)), TypeError, ["ndarray", "final_state"]),
    "state NaN": (lambda: LIF(2)(T, state=REST._replace(V=np.full(2, np.nan))), ValueError, ["state.V", "nan", "finite"]),
    "state refractory": (
        lambda: LIF(2)(T, state=REST._replace(refractory=np.array([0.0, -1]))), ValueError, ["refractory", "-1", "not be negative"]),
    "pure: parameter shape": (lambda: pure(CELL._replace(R=np.ones(3))), ValueError, ["R has shape (3,)", "(2,)"]),
    "pure: state shape": (lambda: pure(state=State(-65.0, 0.0, 0.0)), ValueError, ["()", "(cell,)", "LIF(size).rest"]),
    "pure: state's shapes": (lambda: pure(state=REST._replace(spikes=np.zeros(3))), ValueError, ["(3,)", "(cell,)"]),
    "pure: dt longer than τ": (lambda: pure(dt=21), ValueError, ["dt is 21 ms", "τ is 20 ms"]),
    "pure: t traced": (lambda: jax.jit(lambda t: pure(t=t).V)(jnp.arange(3.0)), TypeError, ["traced", "Close over"]),
    "pure: I_ext shape": (lambda: pure(I=np.ones((5, 2))), ValueError, ["(5, 2)", "(3001, 2)"]),
    "pure: spike not callable": (lambda: pure(spike=1.0), TypeError, ["spike is 1.0", "fast_sigmoid"]),
    "pure: spike of all cells": (lambda: pure(spike=jnp.sum), ValueError, ["spike(v) has shape ()", "each element"]),
    "surrogate not callable": (lambda: surrogate(2), TypeError, ["derivative is 2", "jax.numpy"]),
    "surrogate not traceable": (lambda: surrogate(lambda v: float(v)), TypeError, ["derivative(v) cannot be traced"]),
    "forward not callable": (lambda: surrogate(jnp.cos, "step"), TypeError, ["forward is 'step'"]),
    "slope zero": (lambda: fast_sigmoid(0), ValueError, ["slope is 0", "positive"]),
    "slope text": (lambda: superspike("steep"), TypeError, ["'steep'", "number in 1/mV"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, kind, parts = REFUSALS[name]
    for runs in ("compiled_integrate", "compiled_with_function", "integrate"):
        monkeypatch.setattr(lif, runs, lambda *_, **__: pytest.fail("ran before the refusal"))
    with pytest.raises(kind) as caught:
        attempt()
    assert type(caught.value) is kind
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_run_that_turns_non_finite_says_which_cell_and_when(value: float) -> None:
    I = lambda t: jnp.where(t > 5.06, jnp.array([0, value]), 0.0)  # noqa: E731
    with pytest.raises(FloatingPointError, match=r"V of cell \('LIF', 1\) .* at t = 5.1 ms; it was at 5 ms"):
        LIF(2)(T, I)


# ---------------------------------------------------------------- what any model can do


def test_rows_of_an_ensemble_are_single_runs() -> None:
    """Spikes, also close to each other, counts between times, noise, and a current in time."""
    rows, model = {"R": [10.0, 30.0], "t_ref 1": [0.0, 3.0]}, LIF(2, t_ref=[2, 0])
    I, t = lambda t: jnp.where((t > 30) & (t < 32), 90.0, 2.0), np.arange(0, 50, 0.5)
    table = ensemble(model, rows, duration=50, I_ext=I, progress=False)
    kept = lambda _, y: {"n": y.spikes, "V": y.V[-1], "held": y.refractory.sum()}  # noqa: E731
    states = ensemble(model, rows, keep=kept, t=t, I_ext=2.0, noise=White(0.5), progress=False)
    for i in range(2):
        one = model_with(model, {name: x[i] for name, x in rows.items()})
        trains = one(t, I).trains
        assert np.diff(trains[1]).min() < 0.6 or i
        for cell in range(2):
            np.testing.assert_allclose(table[f"spikes LIF {cell}"][i], trains[cell], atol=1e-9)
        single = noisy(one, t, current=White(0.5), seed=i, I_ext=2.0)
        np.testing.assert_array_equal(states["n"][i], single.states.spikes.ravel())
        np.testing.assert_allclose(states["V"][i], single.states.V[-1], atol=1e-9)
        assert states["held"][i] == pytest.approx(single.states.refractory.sum(), abs=1e-9)


def test_rate_rheobase_and_resistance_are_those_of_the_closed_form() -> None:
    currents = [1.0, 2.0, 3.0]
    rates = fi_curve(LIF(1), currents, duration=500)["rate"]
    expected = np.asarray(rate(CELL, np.array(currents)))
    assert ((expected - rates) <= 0.1e-3 * expected**2 + 1e-3).all()  # an interval is rounded up to a step
    assert (rates <= expected + 1e-3).all()
    cells = LIF(2, V_th=[-50, -45])
    assert rheobase(cells, 10.0, cell=("LIF", 1)) == pytest.approx(20 / 10, abs=2e-3)
    assert input_resistance(cells, cell=("LIF", 0)) == pytest.approx(10, rel=1e-9)


def test_what_a_derivative_cannot_know_is_said() -> None:
    """The threshold of a silent cell has no derivative in its potential, and one in its spikes, by the surrogate."""
    cell, t = LIF(1), np.arange(0, 50, 0.5)
    loss = trace_mismatch(cell, cell(t, 0.5), I_ext=0.5)
    with pytest.raises(ValueError, match=r"'V_th' is 0 by construction.*density_mismatch.*width"):
        fit(cell, loss, ["τ", "V_th"])
    with pytest.warns(UserWarning, match="cell 0 fires at about"):
        trace_mismatch(cell, cell(t, 3.0), I_ext=3.0)
    spikes = density_mismatch(cell, cell(t, 3.0), width=5.0, I_ext=0.5)
    with precision():
        slopes = jax.grad(lambda x: spikes(with_values(cell.params, x)))(
            {name: jnp.asarray(x) for name, x in parameters(cell).items()}
        )
    assert slopes["V_th"] > 0 > slopes["R"]  # a lower threshold and a higher resistance bring spikes


def test_numbers_that_cells_cannot_have_are_refused() -> None:
    for values, says in (
        ({"R": -1.0}, "R contains -1"),
        ({"V_reset": -40.0}, "Lower V_reset"),
        ({"tau": 1.0}, "no parameter 'tau'"),
    ):
        with pytest.raises(ValueError, match=says):
            model_with(LIF(2), values)
        with pytest.raises(ValueError, match=says):
            ensemble(LIF(2), {name: [20.0, x] if name == "R" else [x] for name, x in values.items()}, duration=10)
    with pytest.raises(ValueError, match="whole number of steps"):
        ensemble(LIF(2), {"R": [10.0]}, keep="V", t=[0.0, 0.33, 0.5])
    with pytest.raises(ValueError, match="no parameter 'temperature'"):
        ensemble(LIF(2), {"temperature": [10.0]}, duration=10)
