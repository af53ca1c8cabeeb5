"""Elasticities against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import LIU, pair

from pyloric_simulator.fitting.parameters import parameters, with_values
from pyloric_simulator.fitting.sensitivity import rhythm_of_cells, sensitivity
from pyloric_simulator.fitting.soft_features import SAMPLING, soft_features
from pyloric_simulator.prinz2004 import Prinz2004, simulate


@pytest.fixture(scope="module")
def cell():
    return Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)


@pytest.mark.slow
def test_elasticities_are_those_of_finite_changes(cell):
    """A ten-thousandth to both sides: wide enough for the phase of the samples, too narrow for a spike to come or go."""
    names = ["AB/PD 2 A", "AB/PD 2 CaS"]
    found = sensitivity(cell, names=names)
    t, start = np.arange(2000, 6000, SAMPLING), cell.get_thermalization()

    @jax.jit
    def rhythm_at(factors):
        params = with_values(cell.params, {n: parameters(cell)[n] * x for n, x in zip(names, factors, strict=True)})
        f = soft_features(jnp.asarray(t), simulate(params, start, t).V)
        return jnp.log(jnp.stack([f.period[0], f.duty_cycle[0]]))

    h = 2e-4
    for i, name in enumerate(names):
        change = h * jnp.eye(2)[i]
        difference = (rhythm_at(1 + change) - rhythm_at(1 - change)) / (2 * h)
        ours = found[name].loc[[("AB/PD 2 0", "period"), ("AB/PD 2 0", "duty_cycle")]]
        np.testing.assert_allclose(ours, difference, rtol=0.02)


@pytest.mark.slow
def test_elasticities_of_a_network_are_those_of_finite_changes():
    """From the end of the transient, through which no derivative is taken; the network starts cold, as it runs."""
    network, names, times = pair(), ["a Na", "a-b", "a=b ge", "E leak"], np.arange(2, 6, 0.25)
    features = lambda t, V: {"mean of b": V[:, 1].mean(), "slope of a": ((t - 4) * V[:, 0]).mean()}  # noqa: E731
    found = sensitivity(network, features, names, duration=6, transient=2, every=0.25)
    settled = network(np.array([0.0, 2.0])).final_state
    run = jax.jit(
        lambda values: features(times, simulate(with_values(network.params, values), settled, times, t0=2.0).V)
    )
    values = {n: parameters(network)[n] for n in names}
    for n in names:
        up, down = (run(values | {n: values[n] * (1 + h)}) for h in (1e-4, -1e-4))
        for f, x in run(values).items():
            assert found.loc[f, n] == pytest.approx(float((up[f] - down[f]) / 2e-4 / x), rel=1e-4), (f, n)


def test_the_rhythm_of_a_cell_of_ones_own_has_names():
    t, V = (jax.ShapeDtypeStruct(shape, float) for shape in ((20,), (20, 1)))
    assert list(jax.eval_shape(rhythm_of_cells(LIU), t, V))[:2] == [("cell 0", "burst"), ("cell 0", "duty_cycle")]
