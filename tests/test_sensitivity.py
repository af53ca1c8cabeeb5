"""Elasticities against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyloric_simulator.parameters import parameters, with_values
from pyloric_simulator.prinz2004 import Prinz2004, simulate
from pyloric_simulator.sensitivity import sensitivity
from pyloric_simulator.soft_features import SAMPLING, soft_features


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
