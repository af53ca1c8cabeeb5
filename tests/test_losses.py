"""Losses: their values, their derivatives, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import HH, LIU, pair

from pyloric_simulator import rhythm
from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine.detection import Detection
from pyloric_simulator.fitting.losses import (
    calcium_mismatch,
    criteria_mismatch,
    density_mismatch,
    prediction_error,
    rhythm_mismatch,
    spike_density,
    trace_mismatch,
)
from pyloric_simulator.fitting.parameters import model_with, parameters
from pyloric_simulator.models.networks import Cell, GapJunction, Network, Synapse
from pyloric_simulator.prinz2004 import GLUTAMATE, Prinz2004

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


@pytest.mark.parametrize("width", [5.0, 40.0, 200.0])
def test_spike_density_has_the_times_of_the_recording_however_wide_it_is(width):
    t = np.arange(0, 100, 1.0)
    V = jnp.where((t == 20) | (t == 21), 30.0, -60.0)[:, None]
    density = spike_density(t, V, width)
    assert density.shape == (99, 1)
    rise = 1 / (1 + np.exp(-8.0)) - 1 / (1 + np.exp(10.0))  # from −60 to 30 mV through −10 mV, softly over 5 mV
    expected = rise * np.exp(-(((t[:-1] - 19) / width) ** 2) / 2)
    reach = np.arange(-np.ceil(4 * width), np.ceil(4 * width) + 1)
    expected *= 1000 / np.exp(-((reach / width) ** 2) / 2).sum()
    near = abs(t[:-1] - 19) <= 4 * width
    np.testing.assert_allclose(density[near, 0], expected[near], rtol=2e-3)


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


# ---------------------------------------------------------------- networks


def three():
    """Three Liu cells in the roles of the paper, with gap junctions between the first two."""
    return Network({"PD": LIU, "LP": LIU, "PY": LIU}, [Synapse("PD", "LP", GLUTAMATE, 10), GapJunction("PD", "LP", 1)])


LOSSES = {
    "trace": lambda m, run: trace_mismatch(m, run),
    "prediction error": lambda m, run: prediction_error(m, run, skip=5),
    "density": lambda m, run: density_mismatch(m, run, width=5),
    "calcium": lambda m, run: calcium_mismatch(m, run.Ca.mean(), run.t),
}


MODELS = {"cell CaS": LIU, "a Na": pair(), "PD CaS": three()}


@pytest.mark.parametrize(
    ("first", "name"),
    [
        pytest.param(x, y, marks=[pytest.mark.slow] * (x == "PD CaS"))
        for x in MODELS
        for y in LOSSES
        if (x, y) != ("a Na", "calcium")
    ],
)
def test_a_loss_of_a_network_is_small_where_its_numbers_are_true(first, name):
    """From the cold start, as the recording; the steered run meets the recording but for the spline between the samples."""
    model = MODELS[first]
    loss = jax.jit(LOSSES[name](model, model(np.arange(0, 30, 0.25))))
    true, wrong = (float(loss(model_with(model, {first: x * parameters(model)[first]}).params)) for x in (1, 0.7))
    assert true < 1e-2 * wrong
    assert wrong > 0


def test_steering_knows_the_leaks_of_all_membranes():
    """A passive cell that is steered to a constant potential goes where its leak and the steering balance, whatever its area and leak."""
    cells = {
        label: Cell([HH.leak._replace(E=E)(0.1)], area=A, V=-50) for label, E, A in (("a", -60, 1e-3), ("b", -80, 4e-3))
    }
    network, t = Network(cells), np.arange(0, 40, 0.5)
    error = jax.jit(prediction_error(network, (t, np.full((80, 2), -40.0)), K=0.3, skip=39))
    ends = (0.3 * -40 + 0.1 * np.array([-60, -80])) / 0.4
    assert float(error(network.params)) == pytest.approx(((ends + 40) ** 2).mean(), rel=1e-3)
    moved = error(model_with(network, {"a: E leak": -70}).params)
    assert float(moved) == pytest.approx((((ends - [2.5, 0]) + 40) ** 2).mean(), rel=1e-3)


@pytest.mark.slow
def test_the_rhythm_of_a_cell_of_ones_own():
    t, brief = np.arange(500, 2500, 0.25), Detection(gap=100, min_duration=20)
    found = rhythm.summary(LIU(t), detection=brief).iloc[0]
    wanted = {"period": found["period (ms)"], "duty_cycle": found["duty cycle"], "temperature": 0.1, "detection": brief}
    loss = jax.jit(rhythm_mismatch(LIU, t, **wanted))
    assert float(loss(model_with(LIU, {}).params)) < 1e-9
    assert float(loss(model_with(LIU, {"cell CaS": 6}).params)) > 1e-3
    criteria = criteria_mismatch(three(), t, roles=("PD", "LP", "PY"), detection=brief)
    assert np.isfinite(float(jax.jit(criteria)(three().params)))
