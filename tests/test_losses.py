"""Losses: their values, their derivatives, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.losses import (
    criteria_mismatch,
    prediction_error,
    rhythm_mismatch,
    spike_density,
    trace_mismatch,
)
from pyloric_simulator.prinz2004 import Prinz2004

T = np.arange(0, 100, 0.5)


@pytest.fixture(scope="module")
def paper():
    return Prinz2004.from_toml(find_circuit("paper"))


@pytest.fixture(scope="module")
def cell():
    return Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)


@pytest.fixture(scope="module")
def recording(paper):
    return paper(np.arange(2000, 9000, 0.25))


def test_spike_density_counts_spikes(recording):
    density = spike_density(recording.t, jnp.asarray(recording.states.V), 20.0)
    counted = np.asarray(density.sum(0)) * 0.25 / 1000
    expected = [len(x) for x in recording.spike_times().values()]
    np.testing.assert_allclose(counted, expected, rtol=0.02, atol=1)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ((T, np.zeros((3, 1))), ValueError, "must be"),
        ((T, np.full(len(T), np.nan)), ValueError, "V is nan at 0 ms"),
        ((np.array([0.0, 1, 3]), np.zeros(3)), ValueError, "equally spaced"),
        (np.zeros(3), TypeError, "a result, a DataFrame"),
    ],
)
def test_refusals_of_recordings(cell, data, error, words):
    for make in (trace_mismatch, prediction_error):
        with pytest.raises(error, match=words):
            make(cell, data)


def test_refusals_of_losses(cell):
    with pytest.raises(ValueError, match="K is -1"):
        prediction_error(cell, (T, np.zeros(len(T))), K=-1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        rhythm_mismatch(cell, T, period=1000, duty_cycle=1.5)
    with pytest.raises(ValueError, match="must be positive"):
        rhythm_mismatch(cell, T, period=0, duty_cycle=0.5)


@pytest.mark.slow
def test_losses_of_silent_and_tonic_circuits_have_finite_derivatives(paper):
    """No spikes at all in 100 ms: every feature is undefined."""
    loss = criteria_mismatch(paper, np.arange(0, 100, 0.5))
    value, slope = jax.jit(jax.value_and_grad(lambda g: loss(paper.params.replace(g=g))))(jnp.asarray(paper.params.g))
    assert float(value) > 0
    assert bool(jnp.isfinite(slope).all())
