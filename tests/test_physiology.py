"""Temperature, batteries and clamps against their sources; cells in pickles."""

import copy
import multiprocessing
import pickle
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator.clamps import clamp_family, voltage_clamp
from pyloric_simulator.components import (
    GHK,
    Q10,
    Cell,
    Channel,
    GapJunction,
    Gate,
    HodgkinHuxley1952,
    Kinetic,
    Nernst,
    Network,
    Prinz2003,
    Synapse,
    at,
    linoid,
    rates,
)
from pyloric_simulator.experiments import Ramp, current_clamp, fi_curve, network_of, rheobase, start_of
from pyloric_simulator.physiology import (
    TYPICAL,
    Q10s,
    at_temperature,
    atp,
    energy,
    regulate,
    sweep_temperature,
)
from pyloric_simulator.prinz2004 import CONSTANTS, GLUTAMATE, Prinz2004, neuron_models
from pyloric_simulator.rhythm import spikes

HH = HodgkinHuxley1952


@cache
def axon() -> Cell:
    """The axon of Hodgkin and Huxley."""
    return Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)


@cache
def mixed() -> Network:
    """Cells that hold at different temperatures, and all kinds of synapses."""
    slow = Cell([Prinz2003.Kd(50), Prinz2003.CaS(4), Prinz2003.leak(0.05)], calcium=Prinz2003.calcium)
    own = Kinetic("own", -70, lambda s, V_pre, V_post: (1 - s) / (1 + jnp.exp(-V_pre)) - s / 50 + 0 * V_post, q10=Q10(3.0, 1.5))
    joined = [Synapse("axon", "slow", GLUTAMATE, 4), Synapse("slow", "axon", GLUTAMATE, 4), Synapse("slow", "axon", own, 2)]
    return Network({"axon": axon(), "slow": slow}, [*joined, GapJunction("slow", "axon", 3)])


def numbers(network: Network) -> list[np.ndarray]:
    """All numbers of a network that change with temperature."""
    V, found = jnp.linspace(-80, 20, 6), [*network.params.g, network.params.gs, network.params.gz, network.params.ge]
    for group in network.structure.groups:
        gates = [g for c in group.channels for g in (c.m, c.h) if g] + [k.gate(CONSTANTS) for k in group.circuit.transmitters]
        found += [np.asarray(at(g.tau, V, 0 * V)) for g in gates] + [np.array(group.circuit.constants)]
    return [np.asarray(x) for x in found] + [np.asarray(k.rate(0.3, V, V)) for k in network.structure.kinds]


def same(a: Network, b: Network) -> None:
    """Equal to rounding."""
    for x, y in zip(numbers(a), numbers(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)


# ---------------------------------------------------------------- temperature


def rate(model: Any) -> float:
    """Hz, at 6.28 nA."""
    t = np.arange(0, 300, 0.05)
    x = spikes(t, model(t, I_ext=6.28).states.V[:, 0])
    return float(1000 / np.diff(x[x > 50]).mean())


def test_an_axon_at_its_own_temperature_is_itself_and_keeps_its_own_q10() -> None:
    assert rate(axon()) == pytest.approx(68.2, abs=0.1)
    assert rate(at_temperature(axon(), 6.3)) == rate(axon())
    warm, x = at_temperature(axon(), 16.3), jnp.linspace(-80, 20, 6)
    for a, b in zip(axon().channels[:2], warm.made_of["cell"].channels, strict=False):
        np.testing.assert_allclose(at(b.m.tau, x, x), at(a.m.tau, x, x) / 3, rtol=1e-12)
    np.testing.assert_array_equal(warm.params.g[0], [[120, 36, 0.3]])
    same(warm, Network({"cell": axon().warmed(16.3)}))
    same(warm, Network({"cell": axon()}).warmed(16.3))


@pytest.mark.parametrize("q10", [TYPICAL, TYPICAL._replace(keeps_influx=True, gs={"glutamate": 2.5}, m={"Kd": 3.0})])
def test_temperature_is_absolute_and_leads_back(q10: Q10s) -> None:
    at = lambda model, T: at_temperature(model, T, q10)  # noqa: E731
    once = at(mixed(), 20.0)
    same(at(once, 20.0), once)
    same(at(at(mixed(), 13.7), 20.0), once)
    back = at(once, 10.0)
    same(back, at(mixed(), 10.0))
    assert {c.temperature for c in once.made_of.values()} == {20.0}
    circuit = Prinz2004({"AB/PD": 1, "LP": 1}, {("AB", "LP"): 30}, neuron_models.loc[["AB/PD 2", "LP 4"]])
    same(at(at(circuit, 20.0), 10.0), network_of(circuit))


def test_each_synapse_has_the_temperature_of_the_cell_before_it() -> None:
    warm, x = at_temperature(mixed(), 20.0), (20 - 6.3) / 10
    np.testing.assert_allclose(warm.params.gs, [4 * 1.6**x, 4 * 1.6], rtol=1e-12)
    np.testing.assert_allclose(warm.params.gz, 2 * 1.5, rtol=1e-12)
    np.testing.assert_allclose(warm.params.ge, 3 * 1.6, rtol=1e-12)
    V = jnp.array([-60.0])
    taus = [float(k.gate(CONSTANTS).tau(V)[0]) for k in warm.structure.wiring.transmitters]
    τ = float(GLUTAMATE.gate(CONSTANTS).tau(V)[0])
    assert taus == pytest.approx([τ / 2**x, τ / 2])
    γ = [g.circuit.constants.γ for g in warm.structure.groups]
    assert γ == pytest.approx([CONSTANTS.γ * 293.15 / 283.15] * 2)


def test_the_state_of_a_cell_stays_with_it_through_results_and_sweeps() -> None:
    warm = at_temperature(mixed(), 20.0)
    run = warm(np.arange(0, 5.0))
    assert run.model.made_of["axon"].temperature == 20
    again = at_temperature(run.model, 20.0)
    same(again, warm)
    table = sweep_temperature(Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3), [6.3, 16.3], duration=60, transient=10)
    assert table.index.tolist() == [6.3, 16.3]


def test_calcium_of_a_steady_current_stays_in_a_warm_cell() -> None:
    steady = Channel("Ca", 100, ion="Ca")
    cell = Cell([steady(0.002), HH.leak(0.3)], calcium=Prinz2003.calcium, V=-54.0)
    t = np.array([4000.0])
    cold = cell(t).Ca.iloc[-1, 0]
    kept = at_temperature(cell, 20.0, Q10s(calcium=2.0))(t).Ca.iloc[-1, 0]
    less = at_temperature(cell, 20.0, Q10s(calcium=2.0, keeps_influx=True))(t).Ca.iloc[-1, 0]
    assert kept == pytest.approx(cold, rel=1e-6)
    assert less - 0.05 == pytest.approx((cold - 0.05) / 2, rel=1e-3)


# ---------------------------------------------------------------- energy


def test_potassium_at_its_own_reversal_costs_nothing() -> None:
    run = axon()(np.arange(0, 50, 0.05), I_ext=10.0)
    table = atp(run)["cell", 0]
    assert (table["K"] == 0).all()
    V, g = run.V["cell", 0], 0.3 * 0.628
    share = (-54.387 + 77) / 127
    np.testing.assert_allclose(table["leak"], share * g * (50 - V) / 3 * 6241509.074 * 1000, rtol=1e-9)
    np.testing.assert_allclose(table["Na"], -run.currents["cell", 0, "Na"] / 3 * 6241509.074 * 1000, rtol=1e-9, atol=1e-3)
    given = atp(run, E_K=-90.0)["cell", 0]
    assert (given["leak"] > table["leak"]).all()
    assert energy(run, E_K=-90.0)["ATP"].iloc[0] == pytest.approx(np.trapezoid(given.sum(axis=1), run.t) / (run.t[-1] - run.t[0]))


def test_a_sodium_channel_with_concentrations_costs_what_one_with_a_potential_does() -> None:
    E = float(Nernst(1, 440e3, 50e3).potential(CONSTANTS, jnp.ones(())))
    t, I = np.arange(0, 30, 0.05), 10.0
    make = lambda E: Cell([HH.Na._replace(E=E, source="")(120), HH.K(36), HH.leak(0.3)], V=-65)  # noqa: E731
    a, b = (atp(make(x)(t, I_ext=I))["cell", 0] for x in (E, Nernst(1, 440e3, 50e3)))
    assert (a["Na"].iloc[1:] > 0).all()
    pd.testing.assert_frame_equal(a, b, rtol=1e-9)
    permeable = HH.Na._replace(E=GHK(1, 440e3, 50e3), source="")
    run = Cell([permeable(1e-4), HH.K(36), HH.leak(0.3)], V=-65)(t)
    np.testing.assert_allclose(atp(run)["cell", 0, "Na"], -run.currents["cell", 0, "Na"] / 3 * 6241509.074 * 1000, rtol=1e-6)
    free = Channel("Ca", Nernst(2, 3000.0, 0.05), 1, Gate(lambda V: 1 / (1 + jnp.exp(-(V + 30) / 5)), lambda V: 2 + 0 * V))
    run = Cell([free(0.1), HH.K(36), HH.leak(0.3)], V=-65)(t)
    np.testing.assert_allclose(atp(run)["cell", 0, "Ca"], -run.currents["cell", 0, "Ca"] / 2 * 6241509.074 * 1000, rtol=1e-6)


# ---------------------------------------------------------------- clamps


def test_the_last_sample_of_a_recorded_command_has_its_capacitive_current() -> None:
    passive, t = Cell([HH.leak(0.1)], V=-54.387), np.arange(0, 10.1, 0.5)
    ramp = pd.Series([-60.0, -40.0], [0.0, 10.0])
    run = voltage_clamp(passive, t, ramp)
    V = run.V["cell", 0]
    np.testing.assert_allclose(run.clamp, 0.628 * (0.1 * (V + 54.387) + 2.0), rtol=1e-9)
    assert run.clamp.iloc[-1] - 0.0628 * (V.iloc[-1] + 54.387) == pytest.approx(1.256)
    family = clamp_family(passive, t, [ramp, Ramp((-60.0, -40.0), (0, 10)), -60.0], I_ext=0.3)
    pd.testing.assert_series_equal(family[0].clamp, run.clamp)
    np.testing.assert_allclose(family[1].clamp[:-1], run.clamp[:-1], rtol=1e-9)
    np.testing.assert_allclose(family[2].clamp, 0.0628 * (-60 + 54.387), rtol=1e-9)


def test_a_recorded_current_goes_to_all_cells() -> None:
    t = np.arange(0, 10, 0.5)
    recorded = pd.Series([0.0, 2.0], [0.0, 20.0])
    a = current_clamp(axon(), t, recorded)
    b = current_clamp(axon(), t, (recorded.index, recorded))
    c = current_clamp(axon(), t, lambda t: t / 10)
    np.testing.assert_array_equal(a.states.V, b.states.V)
    np.testing.assert_allclose(a.states.V, c.states.V, atol=1e-9)
    by_label = current_clamp(axon(), t, pd.Series({"cell": 2.0}))
    np.testing.assert_array_equal(by_label.states.V, current_clamp(axon(), t, 2.0).states.V)


def test_rheobase_is_found_to_the_last_digits() -> None:
    rest = current_clamp(axon(), [300.0], 0).final_state
    fine = rheobase(axon(), 5.0, tolerance=1e-12, duration=20, state=rest)
    assert rheobase(axon(), 5.0, tolerance=1e-2, duration=20, state=rest) == pytest.approx(fine, abs=1e-2)
    assert fi_curve(axon(), [fine], duration=20, transient=0, state=rest).index[0] == fine


def test_regulation_runs_whole_blocks() -> None:
    slow = Cell([Prinz2003.CaS(5), Prinz2003.Kd(50), Prinz2003.leak(0.05)], calcium=Prinz2003.calcium)
    found = regulate(slow, 1.0, duration=50.0, block=12.5, start=1.0)
    np.testing.assert_allclose(found.history.index, [0.0125, 0.025, 0.0375, 0.05])


# ---------------------------------------------------------------- pickles

SCALE = 3.8


@cache
def own() -> Cell:
    """A cell whose gates are functions without a name."""

    def channel(k: float) -> Channel:
        return Channel("A", -75, 3, Gate(lambda V: 1 / (1 + jnp.exp(-(V + 50) / k)), lambda V: 1 + 0 * V), q10=Q10(2.0, 1.5))

    Na = Channel("Na", 55, 3, rates(lambda V: SCALE * linoid((V + 29.7) / 10), lambda V: 15.2 * jnp.exp(-0.0556 * (V + 54.7))),
                 rates(lambda V: 0.266 * jnp.exp(-0.05 * (V + 48)), lambda V: 3.8 / (1 + jnp.exp(-0.1 * (V + 18)))))  # fmt: skip
    return Cell([Na(120), channel(5.0)(3.0), HH.leak(0.3)], V=-65)


@pytest.mark.parametrize("make", [axon, own, mixed, lambda: own().warmed(20.0), lambda: network_of(mixed()), lambda: axon()([0.0, 1.0])])
def test_pickles_and_copies(make: Any) -> None:
    model, t = make(), np.arange(0, 10, 0.5)
    model = getattr(model, "model", model)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        np.testing.assert_array_equal(again(t).states.V, model(t).states.V)


def test_equal_cells_stay_equal_in_pickles() -> None:
    first, second = (pickle.loads(pickle.dumps(own())) for _ in range(2))
    assert first.channels == second.channels  # so that they are compiled once
    assert pickle.loads(pickle.dumps(axon())).channels == axon().channels
    assert copy.deepcopy(own()).channels == own().channels


def test_a_cell_runs_in_another_process() -> None:
    t = np.arange(0, 10, 0.5)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(own(), (t,))
    np.testing.assert_allclose(found.states.V, own()(t).states.V, rtol=1e-12)
    assert start_of(own(), network_of(own())).V[0] == -65
