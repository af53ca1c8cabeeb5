"""Temperature, energy, regulation and phase response, against closed forms and each other; clamps; cells in pickles."""

import copy
import multiprocessing
import pickle
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import HH, axon, circuit

from pyloric_simulator.engine.kinetics import at, linoid
from pyloric_simulator.lab.current_clamp import current_clamp, fi_curve, rheobase
from pyloric_simulator.lab.energy import atp, energy, power
from pyloric_simulator.lab.phase_response import phase_response
from pyloric_simulator.lab.protocols import Ramp, model_of, start_of
from pyloric_simulator.lab.regulation import regulate
from pyloric_simulator.lab.temperature import TYPICAL, Q10s, at_temperature, caplan, sweep_temperature, warm
from pyloric_simulator.lab.voltage_clamp import clamp_family, voltage_clamp
from pyloric_simulator.models.channels import GHK, Q10, Prinz2003, rates
from pyloric_simulator.models.networks import Cell, GapJunction, Kinetic, Network, Synapse
from pyloric_simulator.prinz2004 import CONSTANTS, GLUTAMATE, Channel, Gate, Nernst, Prinz2004, neuron_models, simulate
from pyloric_simulator.rhythm import bursts, period, spikes, summary

AREA = CONSTANTS.A * 1000  # mS or nF from densities in mS/cm² or µF/cm²


@cache
def mixed() -> Network:
    """Cells that hold at different temperatures, and all kinds of synapses."""
    slow = Cell([Prinz2003.Kd(50), Prinz2003.CaS(4), Prinz2003.leak(0.05)], calcium=Prinz2003.calcium)
    own = Kinetic(
        "own", -70, lambda s, V_pre, V_post: (1 - s) / (1 + jnp.exp(-V_pre)) - s / 50 + 0 * V_post, q10=Q10(3.0, 1.5)
    )
    joined = [
        Synapse("axon", "slow", GLUTAMATE, 4),
        Synapse("slow", "axon", GLUTAMATE, 4),
        Synapse("slow", "axon", own, 2),
    ]
    return Network({"axon": axon(), "slow": slow}, [*joined, GapJunction("slow", "axon", 3)])


def numbers(model: Any) -> list[np.ndarray]:
    """All numbers of a model that change with temperature."""
    V, p, c = jnp.linspace(-80, 20, 6), model.params, model.circuit
    gates = [g for m in c.membranes for channel in m.channels for g in (channel.m, channel.h) if g]
    taus = [
        np.asarray(at(g.tau, V, 0 * V))
        for g in gates + [c.transmitters[s.transmitter].gate(CONSTANTS) for s in c.synapses]
    ]
    constants = [np.array([*m.constants, m.temperature]) for m in c.membranes]
    found = [p.g, p.gs, p.gz, p.ge, *taus, *constants, *(c.kinds[kind].rate(0.3, V, V) for _, _, kind in c.kinetic)]
    return [np.asarray(x) for x in found]


def same(a: Any, b: Any) -> None:
    """Equal to rounding, and of one class."""
    assert type(a) is type(b)
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
    np.testing.assert_array_equal(warm.params.g, [[120, 36, 0.3]])
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
    coupled = Prinz2004(
        {"AB": 1, "PD": 2, "LP": 1}, {("AB", "LP"): 30}, neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4"]], ge=5
    )
    warmed = at(coupled, 20.0)
    assert float(warmed.params.ge) == pytest.approx(5 * 1.6)
    same(at(warmed, 10.0), coupled)


def test_each_synapse_has_the_temperature_of_the_cell_before_it() -> None:
    warm, x = at_temperature(mixed(), 20.0), (20 - 6.3) / 10
    np.testing.assert_allclose(warm.params.gs, [4 * 1.6**x, 4 * 1.6], rtol=1e-12)
    np.testing.assert_allclose(warm.params.gz, 2 * 1.5, rtol=1e-12)
    np.testing.assert_allclose(warm.params.ge, 3 * 1.6, rtol=1e-12)
    V = jnp.array([-60.0])
    taus = [float(warm.circuit.transmitters[s.transmitter].gate(CONSTANTS).tau(V)[0]) for s in warm.circuit.synapses]
    τ = float(GLUTAMATE.gate(CONSTANTS).tau(V)[0])
    assert taus == pytest.approx([τ / 2**x, τ / 2])
    γ = [m.constants.γ for m in warm.circuit.membranes]
    assert γ == pytest.approx([CONSTANTS.γ * 293.15 / 283.15] * 2)


@pytest.mark.slow
def test_the_state_of_a_cell_stays_with_it_through_results_and_sweeps() -> None:
    warm = at_temperature(mixed(), 20.0)
    run = warm(np.arange(0, 5.0))
    assert run.model.made_of["axon"].temperature == 20
    again = at_temperature(run.model, 20.0)
    same(again, warm)
    table = sweep_temperature(axon(), [6.3, 16.3], duration=60, transient=10)
    assert table.index.tolist() == [6.3, 16.3]


@pytest.mark.slow
def test_a_sweep_runs_cells_that_hold_at_different_temperatures_as_they_run_alone() -> None:
    t, warm = np.arange(10, 60, 0.25), at_temperature(mixed(), 20.0)
    table = sweep_temperature(mixed(), [20.0], duration=60, transient=10)
    found = bursts(spikes(t, warm(t).states.V[:, 0]))[:, 0]
    assert table.loc[20.0, ("axon", "frequency")] == pytest.approx(1000 / period(found)[0], nan_ok=True)
    assert sum(len(m.channels) for m in warm.circuit.membranes) == 6
    assert [x.g for x in warm.connections] == pytest.approx([*warm.params.gs, *warm.params.gz, *warm.params.ge])
    again = Network(warm.made_of, warm.connections)
    np.testing.assert_array_equal(again(t).states.V, warm(t).states.V)


def test_a_warm_circuit_says_so_in_files_and_starts_from_its_own_rhythm() -> None:
    warm = at_temperature(Prinz2004({"PY 1": 1}, {}, ge=0), 20.0)
    assert warm.about["circuit"]["temperature (°C)"] == 20
    np.testing.assert_array_equal(warm([0.0]).states.V[0], warm.thermalize().states.V[-1])
    with pytest.raises(ValueError, match="Keep the Python code"):
        warm.to_toml("warm.toml")


def test_calcium_of_a_steady_current_stays_in_a_warm_cell() -> None:
    steady = Channel("Ca", 100, ion="Ca")
    cell = Cell([steady(0.002), HH.leak(0.3)], calcium=Prinz2003.calcium, V=-54.0)
    t = np.array([4000.0])
    cold = cell(t).Ca.iloc[-1, 0]
    kept = at_temperature(cell, 20.0, Q10s(calcium=2.0))(t).Ca.iloc[-1, 0]
    less = at_temperature(cell, 20.0, Q10s(calcium=2.0, keeps_influx=True))(t).Ca.iloc[-1, 0]
    assert kept == pytest.approx(cold, rel=1e-6)
    assert less - 0.05 == pytest.approx((cold - 0.05) / 2, rel=1e-6)


def test_at_ten_degrees_a_model_is_itself() -> None:
    t = np.arange(0, 50, 0.5)
    model = circuit()
    warmed = at_temperature(model, 10.0)
    np.testing.assert_allclose(warmed(t, state=start_of(model)).states.V, model(t).states.V, rtol=0, atol=1e-9)


def test_q10s_act_on_what_they_name() -> None:
    q10 = Q10s(
        m={"Kd": 3.0}, h={"A": 2.0}, g={"Na": 1.5}, gs={"glutamate": 2.0}, synapse={"glutamate": 4.0}, calcium=2.0
    )
    old, new = circuit(), at_temperature(circuit(), 20.0, q10)
    V = jnp.array([-40.0])
    for a, b in zip(old.circuit.channels, new.circuit.channels, strict=True):
        for gate in "mh":
            if getattr(a, gate):
                factor = {("Kd", "m"): 3.0, ("A", "h"): 2.0}.get((a.name, gate), 1.0)
                np.testing.assert_allclose(getattr(a, gate).tau(V), factor * getattr(b, gate).tau(V), rtol=1e-12)
    np.testing.assert_allclose(new.params.g / np.where(old.params.g == 0, 1, old.params.g),
                               np.where(old.params.g == 0, 0, [1.5, *[1] * 7]), rtol=1e-12)  # fmt: skip
    glutamate = [old.circuit.transmitters[s.transmitter].name == "glutamate" for s in old.circuit.synapses]
    np.testing.assert_allclose(new.params.gs / old.params.gs, np.where(glutamate, 2.0, 1.0))
    kinds = zip(old.circuit.transmitters, new.circuit.transmitters, strict=True)
    np.testing.assert_allclose(
        [a.gate(CONSTANTS).tau(V) / b.gate(CONSTANTS).tau(V) for a, b in kinds], [[4.0], [1.0]], rtol=1e-12
    )
    c, d = old.circuit.constants, new.circuit.constants
    assert d.γ / c.γ == pytest.approx(293.15 / 283.15)
    assert (d.τ_Ca, d.f) == pytest.approx((c.τ_Ca / 2, c.f))
    e = at_temperature(circuit(), 20.0, q10._replace(keeps_influx=True)).circuit.constants
    assert (e.τ_Ca, e.f) == pytest.approx((c.τ_Ca / 2, c.f / 2))
    assert new(np.arange(0, 5.0), state=new.cold).model is new


def test_all_rates_with_one_q10_only_change_the_clock() -> None:
    two = dict.fromkeys(("Na", "K", "leak"), 2.0)  # named, so that they go before the axon's own
    q10 = Q10s(m=two, h=two, g=two, gs=2.0, synapse=2.0, calcium=2.0)
    cell = Network({"axon": axon()})
    t = np.arange(0, 60, 0.1)
    cold, hot = cell(2 * t, 6.28, dt=0.04), at_temperature(cell, 16.3, q10)(t, 12.56, dt=0.02)
    np.testing.assert_allclose(spikes(t, hot.states.V[:, 0]), spikes(2 * t, cold.states.V[:, 0]) / 2, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_the_pacemaker_is_faster_in_the_heat_and_t_is_differentiable() -> None:
    model = Prinz2004({"AB/PD 2": 1}, {}, ge=0)
    table = sweep_temperature(model, [10.0, 20.0], duration=7000)
    f = table["AB/PD 2", "frequency"]
    assert f.loc[10.0] == pytest.approx(1000 / 1497, rel=0.01)
    assert 1.6 < f.loc[20.0] / f.loc[10.0] < 2.6
    V = lambda T: simulate(warm(model.params, T), model.cold, np.array([5.0])).V[0, 0]  # noqa: E731
    slope, T = jax.jit(jax.grad(V))(12.0), jnp.array([11.99, 12.01])
    assert slope == pytest.approx(float(jnp.diff(jax.jit(jax.vmap(V))(T))[0]) / 0.02, rel=1e-4)


def test_drawn_q10s() -> None:
    a, b = caplan(0), caplan(0)
    assert a == b != caplan(1)
    assert all(1 <= x <= 4 for x in [*a.m.values(), *a.h.values(), a.calcium])
    with pytest.raises(ValueError, match="'Kd'"):
        at_temperature(axon(), 20, Q10s(m={"Kd": 2.0}))
    with pytest.raises(ValueError, match="positive"):
        at_temperature(axon(), 20, TYPICAL._replace(g=-1))


# ---------------------------------------------------------------- energy


def test_potassium_at_its_own_reversal_costs_nothing() -> None:
    run = axon()(np.arange(0, 50, 0.05), I_ext=10.0)
    table = atp(run)["cell", 0]
    assert (table["K"] == 0).all()
    V, g = run.V["cell", 0], 0.3 * 0.628
    share = (-54.387 + 77) / 127
    np.testing.assert_allclose(table["leak"], share * g * (50 - V) / 3 * 6241509.074 * 1000, rtol=1e-9)
    np.testing.assert_allclose(
        table["Na"], -run.currents["cell", 0, "Na"] / 3 * 6241509.074 * 1000, rtol=1e-9, atol=1e-3
    )
    given = atp(run, E_K=-90.0)["cell", 0]
    assert (given["leak"] > table["leak"]).all()
    assert energy(run, E_K=-90.0)["ATP"].iloc[0] == pytest.approx(
        np.trapezoid(given.sum(axis=1), run.t) / (run.t[-1] - run.t[0])
    )


def test_a_sodium_channel_with_concentrations_costs_what_one_with_a_potential_does() -> None:
    E = float(Nernst(1, 440e3, 50e3).potential(CONSTANTS, jnp.ones(())))
    t, I = np.arange(0, 30, 0.05), 10.0
    make = lambda E: Cell([HH.Na._replace(E=E, source="")(120), HH.K(36), HH.leak(0.3)], V=-65)  # noqa: E731
    a, b = (atp(make(x)(t, I_ext=I))["cell", 0] for x in (E, Nernst(1, 440e3, 50e3)))
    assert (a["Na"].iloc[1:] > 0).all()
    pd.testing.assert_frame_equal(a, b, rtol=1e-9)
    permeable = HH.Na._replace(E=GHK(1, 440e3, 50e3), source="")
    run = Cell([permeable(1e-4), HH.K(36), HH.leak(0.3)], V=-65)(t)
    np.testing.assert_allclose(
        atp(run)["cell", 0, "Na"], -run.currents["cell", 0, "Na"] / 3 * 6241509.074 * 1000, rtol=1e-9
    )
    free = Channel(
        "Ca", Nernst(2, 3000.0, 0.05), 1, Gate(lambda V: 1 / (1 + jnp.exp(-(V + 30) / 5)), lambda V: 2 + 0 * V)
    )
    run = Cell([free(0.1), HH.K(36), HH.leak(0.3)], V=-65)(t)
    np.testing.assert_allclose(
        atp(run)["cell", 0, "Ca"], -run.currents["cell", 0, "Ca"] / 2 * 6241509.074 * 1000, rtol=1e-9
    )


def test_energy_is_balanced() -> None:
    ghk = Channel("Ca", GHK(2, 3000.0, 0.05), 1, Gate(lambda V: 1 / (1 + jnp.exp(-(V + 30) / 5)), lambda V: 2 + 0 * V))
    pair = Network(
        {"a": axon(), "b": Cell([HH.Na(120), HH.K(36), HH.leak(0.3), ghk(1e-5)], V=-65)},
        [Synapse("a", "b", GLUTAMATE, 30)],
    )
    t, I = np.arange(0, 50, 0.005), np.array([6.0, 5.0])
    run = pair(t, I, dt=0.005)
    V, C = run.states.V, AREA
    for i, (cell, E) in enumerate({("a", 0): {"Na": 50, "K": -77, "leak": -54.387}, ("b", 0): {"Na": 50, "K": -77, "leak": -54.387,
                                    "Ca": CONSTANTS.γ * np.log(3000 / 0.05), "synaptic": -70}}.items()):  # fmt: skip
        currents, heat = run.currents[cell], power(run)[cell]
        stored = C / 2 * (V[-1, i] ** 2 - V[0, i] ** 2)
        charged = sum(np.trapezoid(currents[name] * x, t) for name, x in E.items())
        dissipated = np.trapezoid(heat.sum(axis=1), t) * CONSTANTS.A * 1e3
        assert (heat >= -1e-9).all(axis=None)
        assert np.trapezoid(V[:, i] * I[i], t) == pytest.approx(stored + charged + dissipated, abs=1e-3 * dissipated)


@pytest.mark.slow
def test_each_cell_spends_what_it_would_alone() -> None:
    t, pair = np.arange(0, 30, 0.05), Network({"a": axon(), "b": own()})
    both = pair(t, {"a": 10.0})
    alone = axon()(t, 10.0), own()(t)
    for label, run in zip("ab", alone, strict=True):
        for table in (power, atp):
            pd.testing.assert_frame_equal(table(both)[label], table(run)["cell"], rtol=1e-9)


def test_atp_of_sodium_and_calcium() -> None:
    run = circuit()(np.arange(0, 1200, 0.1))
    cost, currents = atp(run), run.currents
    Na, CaS = (-np.trapezoid(currents["AB/PD", 0, name], run.t) * 6.241509e6 for name in ("Na", "CaS"))
    assert np.trapezoid(cost["AB/PD", 0, "Na"], run.t) / 1000 == pytest.approx(Na / 3, rel=1e-6)
    assert np.trapezoid(cost["AB/PD", 0, "CaS"], run.t) / 1000 == pytest.approx(CaS / 2, rel=1e-6)
    assert (cost.xs("Kd", axis=1, level="channel") == 0).all(axis=None)
    table = energy(run)
    assert (table["power"] > 0).all()
    n = len(spikes(run.t, run.V["AB/PD", 0].to_numpy()))
    assert table.loc[("AB/PD", 0), "per spike"] == pytest.approx(table.loc[("AB/PD", 0), "power"] * 1.1999 / n)


# ---------------------------------------------------------------- regulation


@pytest.mark.slow
def test_random_cells_become_bursters() -> None:
    model, target = Prinz2004({"AB/PD 2": 1}, {}, ge=0), 113.0
    start = np.random.default_rng(1).uniform(0, 0.5, 8)
    found = regulate(model, target, start=start, duration=90000.0)
    end = found.history["AB/PD 2"].iloc[-10:]
    assert end["Ca"].mean() == pytest.approx(target, rel=0.1)
    run = found.model(np.arange(0, 6000, 0.5), state=found.state)
    assert summary(run.V)["activity"].iloc[0] == "bursting"
    assert (found.history["AB/PD 2", "leak"] == 0).all()


def test_without_error_densities_stay() -> None:
    quiet = Cell([Prinz2003.Kd(50), Prinz2003.leak(0.05)], calcium=Prinz2003.calcium)
    found = regulate(quiet, CONSTANTS.Ca_rest, start=1.0, duration=3000.0)
    np.testing.assert_allclose(found.history["cell", "Kd"], 50, rtol=1e-9)
    grown = regulate(quiet, 2 * CONSTANTS.Ca_rest, start=1.0, duration=20000.0, τ_m=20000.0, τ_g=1.0, block=1000.0)
    np.testing.assert_allclose(grown.history["cell", "Kd"].iloc[-1], 75, rtol=1e-6)  # g + ḡ (1 − 1/2) t/τ_m


@pytest.mark.slow
def test_cells_of_different_channels_regulate_themselves_as_alone() -> None:
    P = Prinz2003
    one = Cell([P.CaS(5), P.Kd(50), P.leak(0.05)], calcium=P.calcium)
    other = Cell([P.CaS(4), P.CaT(2), P.Kd(60), P.A(10), P.leak(0.05)], calcium=P.calcium)
    options: dict[str, Any] = dict(duration=300.0, block=100.0, start=1.0)
    both = regulate(Network({"a": one, "b": other}, sizes={"a": 2}), 1.0, **options)
    for label, cell in (("a", one), ("b", other)):
        alone = regulate(cell, 1.0, **options).history["cell"]
        pd.testing.assert_frame_equal(both.history[label], alone, rtol=1e-9)
        assert np.ptp(alone["Kd"]) > 0
    assert (both.model.params.g[0, 3:] == 0).all()


def test_regulation_runs_whole_blocks() -> None:
    slow = Cell([Prinz2003.CaS(5), Prinz2003.Kd(50), Prinz2003.leak(0.05)], calcium=Prinz2003.calcium)
    found = regulate(slow, 1.0, duration=50.0, block=12.5, start=1.0)
    np.testing.assert_allclose(found.history.index, [0.0125, 0.025, 0.0375, 0.05])


# ---------------------------------------------------------------- phase response


@pytest.mark.slow
def test_pulses_and_the_derivative_agree_on_the_axon() -> None:
    kwargs: dict[str, Any] = dict(I_ext=6.28, transient=200.0, phases=[0.1, 0.4, 0.6, 0.75, 0.85], width=0.5, cycles=2)
    adjoint, pulses = phase_response(axon(), **kwargs), phase_response(axon(), method="pulses", charge=1e-3, **kwargs)
    np.testing.assert_allclose(pulses, adjoint, atol=0.005 * np.abs(adjoint).max())


@pytest.mark.slow
def test_pulses_and_the_adjoint_agree_on_a_circuit() -> None:
    model = Prinz2004({"LP 2": 1, "PY 1": 1}, {("LP 2", "PY 1"): 3}, ge=0)
    kwargs: dict[str, Any] = dict(cell="LP 2", transient=900.0, phases=[0.1, 0.5, 0.8], cycles=1, width=0.5)
    adjoint, pulses = phase_response(model, **kwargs), phase_response(model, method="pulses", charge=1e-4, **kwargs)
    np.testing.assert_allclose(pulses, adjoint, atol=0.01 * np.abs(adjoint).max())


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: phase_response(axon(), transient=50.0), "has 0 spikes|has 1 spikes"),
        (lambda: phase_response(axon(), phases=[1.5]), "from 0 to below 1"),
        (lambda: regulate(axon(), -1.0), "must be positive"),
        (lambda: regulate(axon(), 1.0, start=[0.1]), "one for each of the 3 channels"),
    ],
)
def test_bad_input_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


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


# ---------------------------------------------------------------- pickles

SCALE = 3.8


@cache
def own() -> Cell:
    """A cell whose gates are functions without a name."""

    def channel(k: float) -> Channel:
        return Channel(
            "A", -75, 3, Gate(lambda V: 1 / (1 + jnp.exp(-(V + 50) / k)), lambda V: 1 + 0 * V), q10=Q10(2.0, 1.5)
        )

    Na = Channel("Na", 55, 3, rates(lambda V: SCALE * linoid((V + 29.7) / 10), lambda V: 15.2 * jnp.exp(-0.0556 * (V + 54.7))),
                 rates(lambda V: 0.266 * jnp.exp(-0.05 * (V + 48)), lambda V: 3.8 / (1 + jnp.exp(-0.1 * (V + 18)))))  # fmt: skip
    return Cell([Na(120), channel(5.0)(3.0), HH.leak(0.3)], V=-65)


@pytest.mark.parametrize("make", [axon, own, mixed, lambda: own().warmed(20.0), lambda: axon()([0.0, 1.0])])
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
    assert start_of(model_of(own())).V[0] == -65
