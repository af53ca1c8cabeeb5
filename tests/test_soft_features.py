"""Soft features: the spikes of the chapter on rhythm, derivatives, limits."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyloric_simulator import rhythm
from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine.detection import STANDARD, Detection, tops
from pyloric_simulator.fitting import soft_features as module
from pyloric_simulator.fitting.losses import fifteen
from pyloric_simulator.fitting.soft_features import (
    Features,
    Train,
    ratio,
    soft_bursts,
    soft_features,
    soft_period,
    soft_phase,
    train,
)
from pyloric_simulator.prinz2004 import Prinz2004


def in_numpy(f):
    """The function compiled, with results in NumPy, in which an array of another length is not compiled anew."""
    compiled = jax.jit(f)
    return lambda *x: jax.tree.map(np.asarray, compiled(*x))


@pytest.fixture(scope="module")
def paper():
    return Prinz2004.from_toml(find_circuit("paper"))


@pytest.fixture(scope="module")
def recording(paper):
    return paper(np.arange(2000, 9000, 0.25))


def test_spikes_are_those_of_the_rhythm_chapter(recording):
    seen = in_numpy(train)
    for i, expected in enumerate(rhythm.spike_trains(recording).values()):
        found = seen(recording.t, recording.states.V[:, i])
        np.testing.assert_allclose(found.times[found.real], expected, rtol=0, atol=1e-9)


def test_spikes_of_a_trace_with_close_maxima_are_those_of_the_rhythm_chapter():
    """A run has no noise, but it may have a second, lower maximum within the refractory time."""
    t = np.arange(0, 400, 0.1)
    V = -60 + sum(
        h * np.exp(-(((t - x) / 0.2) ** 2)) for k in range(9) for x, h in ((20 + 40.03 * k, 90), (20.7 + 40.03 * k, 80))
    )
    found = in_numpy(train)(t, V)
    assert int(found.real.sum()) == 9
    np.testing.assert_allclose(found.times[found.real], rhythm.spikes(t, V), rtol=0, atol=1e-9)
    assert bool((np.diff(found.times) >= 0).all())
    assert int(found.lost) == 0


@pytest.mark.parametrize(
    "detection", [STANDARD, Detection(threshold=-20, prominence=12, refractory=3)], ids=["standard", "own"]
)
def test_spikes_are_those_of_the_detection_for_slow_waves_shoulders_and_ends(detection):
    rng, t, seen = np.random.default_rng(0), np.arange(0, 800, 0.1), in_numpy(partial(train, d=detection))
    for _ in range(40):
        V = -55 + 25 * np.sin(t / rng.uniform(20, 120) + rng.uniform(0, 6)) + rng.uniform(0, 12)
        for _ in range(rng.integers(1, 60)):
            V = V + rng.uniform(2, 80) * np.exp(-(((t - rng.uniform(-2, 802)) / rng.uniform(0.3, 6)) ** 2))
        found = seen(t, V)
        np.testing.assert_allclose(found.times[found.real], tops(t, V, detection).time, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_features_are_undefined_if_there_are_too_many_spikes(monkeypatch):
    monkeypatch.setattr(module, "MAX_SPIKES", 20)
    t = np.arange(0, 4000, 0.5)
    tonic, silent = 40 * np.sin(t), np.full(len(t), -60.0)
    found = jax.jit(partial(soft_features, t))(np.stack([tonic, silent], 1))
    assert np.isnan(found.rate[0])
    assert found.rate[1] == 0


@pytest.mark.slow
def test_the_derivative_of_a_spike_time_is_that_of_the_spike():
    """A spike that is shifted moves by the shift, wherever it lies between the samples; the top of a parabola does not."""
    t = jnp.arange(0.0, 30.0, 0.1)

    def spiking(shift):  # 1 ms wide, steeper before its top than after it
        x = t - 15 - shift
        return 100 * jnp.exp(-(x**2) / jnp.where(x < 0, 0.3, 0.8)) - 60

    shifts = jnp.linspace(0.0, 0.1, 11)
    spike = jax.jit(jax.vmap(jax.value_and_grad(lambda shift: train(t, spiking(shift)).times[0])))
    times, slopes = spike(shifts)
    np.testing.assert_allclose(slopes, 1, rtol=5e-3)

    def parabola(shift):
        V = spiking(shift)
        i = jnp.argmax(V)
        a, b, c = V[i - 1], V[i], V[i + 1]
        return t[i] + 0.1 * (a - c) / (a - 2 * b + c) / 2

    tops, others = jax.jit(jax.vmap(jax.value_and_grad(parabola)))(shifts)
    assert np.abs(np.asarray(others) - 1).max() > 0.05
    np.testing.assert_allclose(times, tops, rtol=0, atol=1e-12)


def test_soft_features_become_those_of_the_rhythm_chapter_as_the_temperature_falls(recording):
    hard = rhythm.summary(recording)
    soft = jax.jit(soft_features)
    errors = []
    for temperature in (20.0, 5.0, 0.01):
        found = soft(jnp.asarray(recording.t), jnp.asarray(recording.states.V), temperature)
        columns = {
            "period": "period (ms)",
            "burst": "burst (ms)",
            "duty_cycle": "duty cycle",
            "phase": "phase",
            "bursts": "bursts",
        }
        errors.append(
            {f: np.abs(np.asarray(getattr(found, f)) - hard[c].to_numpy()) / hard[c].max() for f, c in columns.items()}
        )
    for f in errors[0]:
        assert errors[2][f].max() < 1e-9, f
    assert (errors[1]["period"][:2] < 1e-6).all()  # PY has silences near the limit; the others are clear
    assert errors[0]["period"].max() > errors[1]["period"].max() > errors[2]["period"].max()


def test_soft_periods_equal_hard_ones_on_random_trains():
    rng, window, size = np.random.default_rng(3), (0.0, 5000.0), 128
    compared, soft = 0, in_numpy(lambda x: (b := soft_bursts(x, window, 1e-3), soft_period(b)))
    for _ in range(100):
        gaps = rng.choice([8.0, 30.0, 90.0, 230.0, 400.0], 90, p=[0.3, 0.3, 0.25, 0.1, 0.05]) * rng.uniform(
            0.9, 1.1, 90
        )
        x = np.cumsum(gaps)
        x = x[x < window[1]]
        padded = Train(np.pad(x, (0, size - len(x)), constant_values=window[1]), np.arange(size) < len(x), 0)
        b, period = soft(padded)
        begun = rhythm.begun(rhythm.bursts(x), window)
        whole = rhythm.whole(begun, window)
        assert float(b.weight.sum()) == pytest.approx(len(begun), abs=1e-9)
        assert float((b.whole * b.duration).sum()) == pytest.approx((whole[:, 1] - whole[:, 0]).sum(), abs=1e-6)
        if len(begun) > 1:
            compared += 1
            assert float(period) == pytest.approx(np.diff(begun[:, 0]).mean(), rel=1e-9)
    assert compared > 50


@pytest.mark.slow
@pytest.mark.parametrize("V", [-60.0, 0.0])
def test_a_silent_cell_has_undefined_features_without_undefined_derivatives(V):
    t = np.arange(0.0, 500.0, 0.5)

    def total(V):
        found = soft_features(t, V)
        return jax.tree.reduce(jnp.add, jax.tree.map(lambda x: jnp.nan_to_num(x).sum(), found)), found

    slope, found = jax.jit(jax.grad(total, has_aux=True))(np.full((len(t), 2), V))
    assert np.isnan(found.period).all()
    assert np.isfinite(slope).all()


def test_the_fifteen_features_are_those_of_a_regular_rhythm():
    """Bursts of known phases: the smooth formulas give what `rhythm.features` gives."""
    P = 1000.0
    bursts_of = {"AB/PD": (0.0, 300.0), "LP": (450.0, 250.0), "PY": (680.0, 280.0)}
    trains = {
        c: np.concatenate([k * P + 500 + start + np.linspace(0, long, 8) for k in range(8)])
        for c, (start, long) in bursts_of.items()
    }
    hard = rhythm.features(trains, window=(0.0, 9000.0))
    packed = [
        Train(np.pad(x, (0, 4), constant_values=9000.0), np.arange(len(x) + 4) < len(x), 0) for x in trains.values()
    ]

    def soft(packed):
        b = [soft_bursts(x, (0.0, 9000.0), 0.01) for x in packed]
        f = Features(
            *(
                jnp.stack(x)
                for x in (
                    [soft_period(x) for x in b],
                    [ratio((x.whole * x.duration).sum(), x.whole.sum()) for x in b],
                    [jnp.zeros(())] * 3,
                    [soft_phase(x, b[0]) for x in b],
                    [jnp.zeros(())] * 3,
                    [jnp.zeros(())] * 3,
                )
            )
        )
        return fifteen(f, (0, 1, 2))

    for name, x in in_numpy(soft)(packed).items():
        if not name.startswith("duty"):
            assert float(x) == pytest.approx(float(hard[name]), abs=1e-6 * max(1, abs(float(hard[name])))), name
