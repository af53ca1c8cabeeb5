"""Clamps, noise and snapshots, against closed forms and against each other."""

import pickle
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from networks import HH, STRENGTHS, axon, burster, circuit, pair, passive
from scipy.integrate import solve_ivp

from pyloric_simulator.lab.current_clamp import current_clamp, fi_curve, input_resistance, rheobase
from pyloric_simulator.lab.dynamic_clamp import dynamic_clamp
from pyloric_simulator.lab.noise import (
    EXCITATION,
    INHIBITION,
    OU,
    RandomChannels,
    White,
    binomial,
    noisy,
    numbers_of_channels,
)
from pyloric_simulator.lab.protocols import Drive, Ramp, Steps, Zap, model_of, sampled, simulate_driven, step
from pyloric_simulator.lab.snapshots import load_state, save_state
from pyloric_simulator.lab.voltage_clamp import activation, clamp_family, inactivation, voltage_clamp
from pyloric_simulator.models.channels import Prinz2003
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Cell, GapJunction, Kinetic, Network, Synapse
from pyloric_simulator.models.neurons import Neuron
from pyloric_simulator.prinz2004 import (
    CHANNELS,
    CONSTANTS,
    GLUTAMATE,
    Channel,
    Gate,
    Params,
    Prinz2004,
    State,
    neuron_models,
)
from pyloric_simulator.rhythm import spikes

AREA = CONSTANTS.A * 1000  # mS or nF from densities in mS/cm² or µF/cm²


@cache
def rest() -> State:
    """The axon at rest."""
    return current_clamp(axon(), [500.0], 0).final_state


# ---------------------------------------------------------------- any model


def paced() -> Prinz2004:
    """A circuit with changed numbers, several cells and gap junctions."""
    model = Prinz2004(
        {"AB": 1, "PD": 2, "LP": 1}, {("PD", "LP"): 20}, neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 2"]], ge=5
    )
    model.params = model.params.replace(g=1.1 * model.params.g, gs=2 * model.params.gs)
    return model


def joined() -> Network:
    """A network of different cells with all kinds of synapses and changed numbers."""
    kinetic = Kinetic("slow", -70, lambda s, V_pre, V_post: (1 - s) / (1 + jnp.exp(-V_pre)) - s / 50 + 0 * V_post)
    synapses = [Synapse("b", "a", kinetic, 30), GapJunction("a", "b", 3), Synapse("a", "b", GLUTAMATE, 2)]
    network = Network({"a": axon(), "b": burster()}, synapses)
    network.params = network.params.replace(gs=3 * network.params.gs, g=1.2 * network.params.g)
    return network


def axons() -> Network:
    """Three axons, two of which are a population."""
    return Network({"a": axon(), "b": axon()}, sizes={"a": 2})


SAMPLES = pd.DataFrame({"b": [0.0, 1.0]}, [0.0, 100.0])  # nA
WAYS: list[Any] = [(axons, 6.28), (axons, SAMPLES), (circuit, {"LP": 0.3})]
MANY = [
    (axons, [6, 0.2, 0.3]),
    (axons, np.linspace(0, 9, 200)),
    (paced, [0.1, 0.2, 0.3]),
    (paced, np.linspace(0, 1, 200)),
    (joined, {"a": 6.28}),
    (joined, SAMPLES),
]


@pytest.mark.parametrize(("make", "I"), WAYS + [pytest.param(*x, marks=pytest.mark.slow) for x in MANY])
def test_a_current_clamp_is_the_models_own_run_to_the_last_bit(make: Any, I: Any) -> None:
    model, t = make(), np.arange(0, 100, 0.5)
    a, b = current_clamp(model, t, I), model(t, I)
    for name, x in b.states._asdict().items():
        np.testing.assert_array_equal(getattr(a.states, name), x, err_msg=name)
    assert a.model is model
    np.testing.assert_array_equal(a.currents, b.currents)


@pytest.mark.slow
@pytest.mark.parametrize("make", [paced, joined])
def test_an_addition_of_nothing_changes_nothing(make: Any) -> None:
    model, t = make(), np.arange(0, 50, 0.5)
    run = dynamic_clamp(model, t, Channel("nothing", 0)(0), cell=model.labels[0], state=model.cold)
    np.testing.assert_allclose(run.states.V, model(t, state=model.cold).states.V, rtol=0, atol=1e-8)


# ---------------------------------------------------------------- current clamp


def test_protocols() -> None:
    t = np.arange(0, 10, 0.05)
    np.testing.assert_array_equal(
        sampled("x", step(2.0, 3, 7, rest=1.0), t), np.where((t > 2.99) & (t < 6.99), 2.0, 1.0)
    )
    np.testing.assert_allclose(sampled("x", Ramp((0.0, 4.0), (2, 6)), t), np.interp(t, [2, 6], [0, 4]))
    t = np.arange(0, 1000, 0.05)
    z = np.asarray(sampled("x", Zap(2.0, (10, 10), (0, 999)), t))
    np.testing.assert_allclose(z[t < 999], 2 * np.sin(2 * np.pi * 10 * t[t < 999] / 1000), atol=1e-9)
    up = np.flatnonzero(np.diff(np.sign(np.asarray(sampled("x", Zap(1.0, (5, 50), (0, 999)), t)[1:]))) > 0)
    assert len(up) == pytest.approx((5 + 50) / 2, abs=1)
    np.testing.assert_array_equal(sampled("x", pd.Series([0.0, 1.0], [0.0, 1000.0]), np.array([0.0, 250.0])), [0, 0.25])


def test_a_step_into_a_passive_cell() -> None:
    t = np.arange(0, 100, 0.5)
    V = current_clamp(passive(), t, step(0.5, 20, 90)).states.V[:, 0]
    g, τ, s = 0.1 * AREA, 10.0, np.clip(t - 20, 0, 70)
    on = 0.5 / g * (1 - np.exp(-s / τ))
    np.testing.assert_allclose(V + 54.387, np.where(t > 90, on * np.exp(-(t - 90) / τ), on), atol=0.02)


def test_rate_of_the_axon_against_lsoda() -> None:
    network, I = Network({"axon": axon()}), 12 * AREA
    found = fi_curve(axon(), [I], duration=300, transient=50)["rate"]
    tight: dict[str, Any] = dict(method="LSODA", t_eval=np.arange(0, 300, 0.05), rtol=1e-8, atol=1e-8)
    y = solve_ivp(network.vector_field, (0, 300), network.flatten(network.cold), args=(I,), **tight)
    times = spikes(y.t, y.y[0])
    assert found.iloc[0] == pytest.approx(1000 / np.diff(times[times > 50]).mean(), rel=2e-3)


def test_hysteresis_of_the_axon() -> None:
    table = fi_curve(axon(), np.arange(3.0, 7.1, 0.5), staircase=True, state=rest(), duration=300)
    up, down = (np.flatnonzero(table[x] > 0)[0] for x in ("up", "down"))
    assert 0 < down < up - 1
    assert (table.iloc[up:] > 0).all(axis=None)


def test_rheobase_and_input_resistance() -> None:
    found = rheobase(axon(), 5.0, state=rest(), tolerance=0.01, duration=200)
    assert found / AREA == pytest.approx(2.24, abs=0.05)  # µA/cm², of the axon's first spike
    t = np.arange(0, 200, 0.1)
    assert [
        len(spikes(t, current_clamp(axon(), t, I, state=rest()).states.V[:, 0])) for I in (found - 0.02, found)
    ] == [0, 1]
    assert input_resistance(passive(), duration=400) == pytest.approx(1 / (0.1 * AREA), rel=1e-9)
    with pytest.raises(ValueError, match=r"does not fire at 0\.1"):
        rheobase(axon(), 0.1, state=rest(), duration=200)
    with pytest.raises(ValueError, match="must have settled"):
        input_resistance(passive(), duration=20)  # two time constants


# ---------------------------------------------------------------- voltage clamp


@pytest.mark.parametrize("name", ["Na", "KCa", "Kd", "H"])  # the chapter asserts the same of all that inactivate
def test_clamp_recovers_the_channels_own_curves(name: str) -> None:
    V, model = np.arange(-80.0, 21.0, 20), Prinz2004({"AB/PD 2": 1}, {}, ge=0)
    channel = next(c for c in CHANNELS if c.name == name)
    assert channel.m is not None
    Ca = CONSTANTS.Ca_rest / (CONSTANTS.Ca_rest + channel.m.K)
    np.testing.assert_allclose(
        activation(model, name, V), Ca * np.asarray(jax.jit(channel.m.inf)(V)), rtol=0, atol=1e-9
    )
    if channel.h:
        np.testing.assert_allclose(inactivation(model, name, V), jax.jit(channel.h.inf)(V), rtol=0, atol=1e-7)


def test_curves_of_rates_and_their_refusals() -> None:
    V = np.array([-70.0, -40.0, 0.0])
    np.testing.assert_allclose(activation(axon(), "K", V), HH.K.m.inf(V, 0 * V), rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="no gate h"):
        inactivation(axon(), "K", V)
    with pytest.raises(ValueError, match="one of 'Na', 'K', 'leak'"):
        activation(axon(), "Kd", V)


def test_clamp_current_and_gates_of_a_step_in_closed_form() -> None:
    t, V = np.arange(0, 10, 0.05), -20.0
    run = voltage_clamp(axon(), t, Steps((-65.0, V), (2.0,)), state=rest(), dt=0.005)
    x, K = jnp.full(1, V), HH.K
    inf, τ = float(K.m.inf(x, x)[0]), float(K.m.tau(x, x)[0])
    late, found = t >= 2 - 1e-9, run.m["cell", 0, "K"].to_numpy()
    n = inf + (found[late][0] - inf) * np.exp(-(t - 2) / τ)
    np.testing.assert_allclose(found[late], n[late], rtol=0, atol=1e-10)
    np.testing.assert_allclose(run.currents["cell", 0, "K"][late], 36 * AREA * n[late] ** 4 * (V + 77), rtol=1e-9)
    np.testing.assert_allclose(run.clamp, run.currents["cell", 0].sum(axis=1))
    np.testing.assert_array_equal(run.V["cell", 0], np.where(t < 2 - 1e-9, -65.0, V))


def test_clamp_at_the_potential_of_a_free_run_takes_no_current() -> None:
    t = np.arange(0, 30, 0.05)
    free = current_clamp(axon(), np.arange(0, 40, 0.01), 6.28, dt=0.01)
    held = voltage_clamp(axon(), t, free.V["cell", 0], dt=0.01)
    I = held.clamp.to_numpy()[20:]
    assert np.median(np.abs(I - 6.28)) < 0.02
    assert np.abs(held.currents).max(axis=None) > 100
    part = held[10:20]
    pd.testing.assert_series_equal(part.clamp, held.clamp.loc[10:20])


def test_ramp_into_a_passive_cell_has_its_capacitive_current() -> None:
    t = np.arange(0, 20, 0.5)
    run = voltage_clamp(passive(), t, Ramp((-60.0, -40.0), (0, 20)))
    np.testing.assert_allclose(run.clamp[1:], AREA * (0.1 * (run.V["cell", 0][1:] + 54.387) + 1.0), rtol=1e-12)


def test_family_and_other_cells_run_free() -> None:
    t, commands = np.arange(0, 20, 0.5), [Steps((-70.0, V), (5.0,)) for V in (-60.0, 0.0)]
    family = clamp_family(pair(), t, commands, cell="a")
    one = voltage_clamp(pair(), t, commands[1], cell=("a", 0))
    np.testing.assert_allclose(family[1].states.V, one.states.V, atol=1e-9)
    assert np.ptp(one.states.V[:, 1]) > 1
    coupled = Network({"a": passive(), "b": passive()}, [GapJunction("a", "b", 30)])
    held = voltage_clamp(coupled, np.arange(0, 200, 1.0), -20, cell="a")
    g = 0.1 * AREA
    assert held.states.V[-1, 1] == pytest.approx((g * -54.387 + 0.03 * -20) / (g + 0.03), abs=1e-4)


# ---------------------------------------------------------------- dynamic clamp


def test_an_added_channel_is_the_cell_with_it() -> None:
    t, more = np.arange(0, 50, 0.5), Prinz2003.A._replace(name="more", source="")
    model = Prinz2004({"LP 2": 1}, {}, ge=0)
    g = neuron_models.loc["LP 2"].to_numpy()
    start = model(t).final_state
    both = dynamic_clamp(model, t, more(25), state=start)
    placed = [Prinz2003.__dict__[c.name]._replace(source="")(x) for c, x in zip(CHANNELS, g, strict=True)]
    whole = Cell([*placed, more(25)], calcium=Prinz2003.calcium)
    begun = State(*(x[0] for x in both.states))._replace(s=np.zeros((1, 0)))
    np.testing.assert_allclose(both.states.V, whole(t, state=begun).states.V, atol=1e-6)
    A = np.asarray(Prinz2003.A.m.inf(start.V))
    np.testing.assert_allclose(both.m["LP 2", 0, "more"].iloc[0], A[0])
    np.testing.assert_array_equal(both.m["LP 2", 0, "Kd"].iloc[0], start.m[0, 5])
    on = dynamic_clamp(model, t + 49.5, more(25), state=both.final_state, t0=49.5)
    assert on.V.iloc[0].equals(both.V.iloc[-1])


@pytest.mark.slow
def test_additions_to_one_of_several_kinds_of_cells_go_on_and_are_told(tmp_path: Path) -> None:
    """A gate more than the axon has takes a place that was filled up with 0; with it comes a kinetic synapse of a recording."""
    model, t = joined(), np.arange(0, 20.5, 0.5)  # halves of as many times, which are compiled once
    slow = Kinetic(
        "late", 0, lambda s, V_pre, V_post: (1 - s) / (1 + jnp.exp(-(V_pre + 20) / 5)) - s / 20 + 0 * V_post, start=0.1
    )
    more = HH.K._replace(name="more", source="")
    channel = dynamic_clamp(model, t, more(3), cell="a", state=model.cold)
    assert channel.states.m.shape[2] == model.cold.m.shape[1]
    K = float(HH.K.m.inf(jnp.array([-65.0]), jnp.ones(1))[0])
    np.testing.assert_allclose(channel.m["a", 0, "more"].iloc[0], K)
    np.testing.assert_array_equal(channel.states.m[0, 1], model.cold.m[1])
    synapse = dynamic_clamp(model, t, Synapse("recording", "a", slow, 50), recording=-30.0, cell="a", state=model.cold)
    assert list(synapse.V.columns) == [("a", 0), ("b", 0), ("recording", 0)]
    for run, added, options in (
        (channel, more(3), {}),
        (synapse, Synapse("recording", "a", slow, 50), {"recording": -30.0}),
    ):
        half = dynamic_clamp(model, t[:21], added, cell="a", state=model.cold, **options)
        on = dynamic_clamp(model, t[20:], added, cell="a", state=half.final_state, t0=t[20], **options)
        np.testing.assert_array_equal(on.states.V, run.states.V[20:])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(run)).V, run.V)
        run.to_csv(tmp_path / "x.csv")
        assert "added" in (tmp_path / "x.csv").read_text(encoding="utf-8")
    np.testing.assert_array_equal(model(t, state=model.cold).states.V[0], channel.states.V[0])


def test_a_clamped_pacemaker_pulls_its_neighbours_through_gap_junctions() -> None:
    t, free = (
        np.arange(0, 200, 0.5),
        Prinz2004({"AB": 1, "PD": 2}, {}, neuron_models.loc[["AB/PD 2", "AB/PD 3"]], ge=5000),
    )
    held = voltage_clamp(free, t, -75.0, cell="AB")
    np.testing.assert_array_equal(held.V["AB", 0], -75.0)
    np.testing.assert_allclose(held.states.V[100:, 1:], -75.0, rtol=0, atol=0.05)
    np.testing.assert_allclose(held.currents.xs("electrical", axis=1, level="channel").sum(axis=1), 0, atol=1e-9)


@pytest.mark.slow
def test_a_recorded_presynaptic_cell_acts_as_the_cell_itself() -> None:
    t, dt = np.arange(0, 300, 0.5), 0.05
    pair = Network({"pre": burster(), "post": axon()}, [Synapse("pre", "post", GLUTAMATE, 20)])
    together = pair(t, I_ext={"post": 6.28}, dt=dt)
    recording = pair(np.arange(0, 300, dt / 2), I_ext={"post": 6.28}, dt=dt / 2).V["pre", 0]
    alone = Network({"post": axon()})
    found = dynamic_clamp(alone, t, Synapse("recording", "post", GLUTAMATE, 20), recording=recording, I_ext={"post": 6.28},
                          state=alone.cold, dt=dt)  # fmt: skip
    times = [spikes(t, r.V["post", 0].to_numpy(), threshold=0) for r in (together, found)]
    np.testing.assert_allclose(times[0][5:], times[1][5:], atol=1.0)  # the recording's s begins in its steady state


def test_a_channel_driven_by_a_recording_is_a_conductance_of_time() -> None:
    t, slow = (
        np.arange(0, 60, 0.5),
        Channel("slow", -90, 2, Gate(lambda V: 1 / (1 + jnp.exp(-(V + 40) / 5)), lambda V: 5 + 0 * V)),
    )
    V = pd.Series([-80.0, -80.0, 0.0, 0.0], [0.0, 19.999, 20.0, 60.0])
    run = dynamic_clamp(passive(), t, slow(0.2), recording=V, dt=0.01)
    low, high = (1 / (1 + np.exp(-(x + 40) / 5)) for x in (-80.0, 0.0))
    open_share = lambda t: (high + (low - high) * np.exp(-np.maximum(t - 20, 0) / 5)) ** 2  # noqa: E731
    y = solve_ivp(
        lambda t, V: -0.1 * (V + 54.387) - 0.2 * open_share(t) * (V + 90),
        (0, 59.5),
        [-54.387],
        t_eval=t,
        rtol=1e-9,
        atol=1e-9,
    )
    np.testing.assert_allclose(run.V["cell", 0], y.y[0], rtol=0, atol=1e-4)


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize("dt", [0.1, pytest.param(0.05, marks=pytest.mark.slow)])
def test_the_power_of_noise_does_not_depend_on_the_step(dt: float) -> None:
    network, g, t = Network({"p": passive()}, sizes={"p": 300}), 0.1 * AREA, np.arange(0, 300, 5.0)
    V = noisy(network, t, current=White(0.5), dt=dt, seed=3).states.V[20:]
    assert V.var() == pytest.approx(0.25 / (2 * g * AREA), rel=0.06)  # 300 cells × 20 time constants
    V = noisy(network, t, current=OU(0.3, 0.2, 10.0), dt=dt, seed=4).states.V[20:]
    assert V.mean() + 54.387 == pytest.approx(0.3 / g, rel=0.02)
    assert V.var() == pytest.approx((0.2 / g) ** 2 * 10 / (10 + 10), rel=0.06)


def test_conductance_noise_has_its_mean() -> None:
    network, t = Network({"p": passive()}, sizes={"p": 100}), np.arange(0, 200, 2.0)
    V = noisy(network, t, conductances=[EXCITATION, INHIBITION], seed=1).states.V[25:]
    g = np.array([0.1 * AREA, 12.1e-3, 57.3e-3])
    assert V.mean() == pytest.approx((g * [-54.387, 0, -75]).sum() / g.sum(), abs=0.3)


def held_open(n: int, channels: dict[str, float], V: float, t: np.ndarray, dt: float) -> np.ndarray:
    """The share of open channels, (time, cell, Na and K), of n axons held at V."""
    network = Network({"a": axon()}, sizes={"a": n})
    steps = round(t[-1] / dt)
    counted = RandomChannels(numbers_of_channels(network, channels), jax.random.key(1))
    drive = Drive(np.zeros((steps + 1, n)), V=np.full((2 * steps + 1, n), V), channels=counted)
    y = jax.jit(lambda y: simulate_driven(network.params, y, t, drive, clamped=range(n), dt=dt))(network.cold)
    return np.stack([y.m[..., 0] ** 3 * y.h[..., 0], y.m[..., 1] ** 4], -1)


@cache
def markov(n: int, N: int, gates: tuple[tuple[int, float, float], ...], times: int, dt: float, seed: int) -> np.ndarray:
    """The share of open channels, (time, cell): every gate of every channel by itself; gates: number, x∞ and τ."""
    rng, found = np.random.default_rng(seed), []
    x = [rng.random((n, N, k)) < inf for k, inf, _ in gates]
    for _ in range(times):
        found.append(np.all(np.concatenate(x, 2), 2).mean(1))
        for i, (_, inf, τ) in enumerate(gates):
            changes = 1 - np.exp(-dt / τ)
            opens, closes = inf * changes, (1 - inf) * changes
            x[i] = rng.random(x[i].shape) < np.where(x[i], 1 - closes, opens)
    return np.array(found)


def memory(o: np.ndarray, lag: int) -> float:
    """Autocorrelation of (time, cell) at a lag."""
    d = o - o.mean()
    return float((d[lag:] * d[:-lag]).mean() / d.var())


@pytest.mark.slow
@pytest.mark.parametrize("dt", [0.1, 0.05])
def test_open_channels_at_constant_potential(dt: float) -> None:
    V, N, t = -35.0, {"Na": 500.0, "K": 300.0}, np.arange(0, 120, 0.5)
    found = held_open(120, N, V, t, dt)[80:]
    x = jnp.full(1, V)
    at_V = lambda gate: (float(gate.inf(x, x)[0]), float(gate.tau(x, x)[0]))  # noqa: E731
    for i, (name, gates) in enumerate(
        {"Na": ((3, *at_V(HH.Na.m)), (1, *at_V(HH.Na.h))), "K": ((4, *at_V(HH.K.m)),)}.items()
    ):
        o = np.prod([inf**k for k, inf, _ in gates])
        assert found[..., i].mean() == pytest.approx(o, rel=0.03)
        assert found[..., i].var() == pytest.approx(o * (1 - o) / N[name], rel=0.08)
        exact = markov(40, int(N[name]), gates, len(t[80:]), 0.5, 2)
        assert found[..., i].var() == pytest.approx(exact.var(), rel=0.12)
        for lag in (1, 4, 10):
            assert memory(found[..., i], lag) == pytest.approx(memory(exact, lag), abs=0.05)


@pytest.mark.slow
def test_the_axon_fires_by_itself_as_often_as_with_exact_channels() -> None:
    network, t = Network({"a": axon()}, sizes={"a": 25}), np.arange(0, 450, 0.1)
    run = noisy(network, t, channels={"Na": 600, "K": 180}, seed=2)
    counts = np.array([(spikes(t, V) > 50).sum() for V in run.states.V.T]) / 0.4
    assert counts.mean() == pytest.approx(
        38.8, abs=4 * 4.0 / 5
    )  # Hz; exact channels, 105 s, ±0.2; of one axon here ±4.0
    o = run.states.m[..., 0] ** 3 * run.states.h[..., 0]
    np.testing.assert_allclose(
        run.currents["a", 0, "Na"], 120 * AREA * o[:, 0] * (run.states.V[:, 0] - 50), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(o, run.states.n[..., 7] / 600, atol=1e-12)  # currents are those of the open channels


@pytest.mark.slow
def test_noise_of_a_cell_is_its_own_and_goes_on_from_a_snapshot_too(tmp_path: Path) -> None:
    kwargs: dict[str, Any] = dict(channels={"K": 300}, current=OU(0.0, 0.1, 5.0), conductances=[EXCITATION], seed=7)
    t = np.arange(0, 40.5, 0.5)
    one, many = noisy(axon(), t, **kwargs), noisy(Network({"a": axon()}, sizes={"a": 5}), t, **kwargs)
    np.testing.assert_array_equal(one.states.V[:, 0], many.states.V[:, 0])
    assert not (many.states.V[:, 1] == many.states.V[:, 0]).all()
    first = noisy(axon(), t[:41], **kwargs)
    save_state(tmp_path / "s", first)
    state, t0 = load_state(tmp_path / "s", axon())
    assert t0 == t[40]
    jax.tree.map(np.testing.assert_array_equal, state, first.final_state)
    later = noisy(axon(), t[40:], state=state, t0=t0, **kwargs)
    np.testing.assert_array_equal(later.states.V, one.states.V[40:])
    assert not (noisy(axon(), t, **(kwargs | {"seed": 8})).states.V == one.states.V).all()
    np.testing.assert_array_equal(later.states.n, one.states.n[40:])
    assert axon()(t[40:], state=first.final_state, t0=t[40]).states.V.shape == (41, 1)  # without noise


def test_binomial_numbers() -> None:
    for n, p in ((30, 0.1), (41, 0.1), (300, 0.9), (1000, 0.001), (5000, 0.3), (1, 0.5)):
        u = jax.random.uniform(jax.random.key(1), (200000,), float)
        x = np.asarray(jax.jit(binomial)(u, jnp.full(200000, float(n)), jnp.full(200000, p)))
        exact = scipy.stats.binom(n, p)
        assert x.mean() == pytest.approx(exact.mean(), abs=4 * exact.std() / 447)
        assert x.var() == pytest.approx(exact.var(), rel=0.02)
        assert scipy.stats.skew(x) == pytest.approx(float(exact.stats("s")), abs=0.03)


# ---------------------------------------------------------------- snapshots


@pytest.mark.parametrize(("make", "another"), [(circuit, axon), pytest.param(pair, circuit, marks=pytest.mark.slow)])
def test_a_snapshot_goes_on_bit_for_bit(make: Any, another: Any, tmp_path: Path) -> None:
    model, t = make(), np.arange(0, 100.5, 0.5)
    save_state(tmp_path / "s.npz", model(t[:101]))
    state, t0 = load_state(tmp_path / "s.npz", model)
    assert t0 == 50
    np.testing.assert_array_equal(model(t[100:], state=state, t0=t0).states.V, model(t).states.V[100:])
    with pytest.raises(ValueError, match="other version, cells, channels"):
        load_state(tmp_path / "s.npz", another())
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]


def test_snapshots_of_other_models_and_broken_files(tmp_path: Path) -> None:
    decay = Neuron(dict(V=1.0), lambda y, I, p: dict(V=I - y.V / p.τ), params=dict(τ=10.0))
    lif = LIF(2, τ=[10, 20])
    for model in (decay, lif):
        save_state(tmp_path / "s", model(np.arange(0, 20, 0.5), I_ext=2))
        state = load_state(tmp_path / "s", model).state
        assert type(state) is type(model(np.arange(0, 20, 0.5), I_ext=2).final_state)
    with pytest.raises(ValueError, match="conductances or kinetics"):
        load_state(tmp_path / "s", LIF(2))
    (tmp_path / "text").write_text("no")
    with pytest.raises(ValueError, match="no snapshot"):
        load_state(tmp_path / "text", lif)
    np.save(tmp_path / "bad.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="no snapshot"):
        load_state(tmp_path / "bad.npy", lif)
    save_state(tmp_path / "c", circuit()(np.arange(0, 2.0)))
    changed = Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, STRENGTHS, neuron_models.loc[["AB/PD 2", "LP 4", "PY 2"]])
    with pytest.raises(ValueError, match="conductances or kinetics"):
        load_state(tmp_path / "c", changed)
    with np.load(tmp_path / "c") as file:
        arrays = {name: x for name, x in file.items() if name != "state.s"}
    with (tmp_path / "c").open("wb") as stream:
        np.savez(stream, **arrays)
    with pytest.raises(ValueError, match="variables"):
        load_state(tmp_path / "c", circuit())


# ---------------------------------------------------------------- transformations


@pytest.mark.slow
def test_experiments_under_jit_vmap_and_grad() -> None:
    network, t, n = Network({"axon": axon()}), np.arange(0, 5, 0.5), 180

    def clamp_current(level: Any) -> Any:
        V = Steps((-65.0, level), (2.0,))(0.0125 * jnp.arange(2 * n + 1, dtype=float))
        drive = Drive(jnp.zeros((n + 1, 1)), V=V[:, None])
        return simulate_driven(network.params, network.cold, t, drive, clamped=(0,), dt=0.025).m[-1, 0, 1]

    levels = jnp.array([-40.0, -20.0])
    found = jax.jit(jax.vmap(clamp_current))(levels)
    slope = jax.jit(jax.vmap(jax.grad(clamp_current)))(levels)
    np.testing.assert_allclose(slope, (jax.vmap(clamp_current)(levels + 1e-4) - found) / 1e-4, rtol=1e-3)

    def after_noise(params: Params) -> Any:
        key = jax.random.key(0)
        I = White(1.0).samples(key, 0, n + 1, 0.025)[:, None]
        drive = Drive(I, channels=RandomChannels(((np.full(1, 1e4), np.full(1, 1e4), None),), key))
        return simulate_driven(params, network.cold, t, drive, dt=0.025).V[-1, 0]

    g = jax.jit(jax.grad(after_noise))(network.params).g[0]
    assert np.isfinite(g).all()
    assert (g != 0).all()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: current_clamp(axon(), t, step(1, 5, 200)), "the time 200 ms; the run lasts from 0 to 10"),
        (lambda t: current_clamp(axon(), t, {"cell": step(1, -5, 5)}), "the time -5 ms"),
        (lambda t: current_clamp(axon(), t, step(1, 5, 3)), "must increase, a duration is not negative"),
        (lambda t: current_clamp(axon(), t, Steps((0, 1), (2, 5))), "one level more than times"),
        (lambda t: current_clamp(axon(), t, {"cel": 1}), "names 'cel'"),
        (lambda t: voltage_clamp(axon(), t, pd.Series([0.0, 1.0], [0.0, 5.0])), "must cover the run"),
        (lambda t: voltage_clamp(circuit(), t, -60), "3 cells; one must be named"),
        (lambda t: voltage_clamp(circuit(), t, -60, cell="PD"), "must be one of 'AB/PD', 'LP', 'PY'"),
        (lambda _: fi_curve(axon(), [1.0], duration=-5), "must be positive"),
        (lambda _: fi_curve(axon(), [np.nan]), "finite numbers in nA"),
        (lambda _: rheobase(axon(), 1.0, low=2.0), "the first must be less"),
        (lambda t: dynamic_clamp(axon(), t, []), "nothing is added"),
        (lambda t: dynamic_clamp(axon(), t, Synapse("recording", "cell", GLUTAMATE, 1)), "need a recording"),
        (lambda t: dynamic_clamp(axon(), t, Prinz2003.CaS(1), recording=pd.Series([0.0, 0.0], [0.0, 50.0])), "must be a number"),
        (lambda t: noisy(axon(), t, channels={"KCa": 10}), "one of 'K', 'Na'|one of 'Na', 'K'"),
        (lambda t: noisy(axon(), t, channels={"K": 0}), "at least 1"),
        (lambda t: noisy(axon(), t, current=OU(0, -1, 5)), "must not be negative"),
        (lambda t: noisy(axon(), t, current=OU(0, 1, 0)), "τ is 0 ms"),
        (lambda _: simulate_driven((n := model_of(axon())).params, n.cold, [5.0], Drive(jnp.zeros((10, 1)))), r"must be \(101, 1\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(np.arange(0, 10, 0.5))


def test_wrong_types_are_refused() -> None:
    for call in (
        lambda: dynamic_clamp(LIF(1), [1.0], HH.K),
        lambda: dynamic_clamp(axon(), [1.0], HH.K),
        lambda: noisy(axon(), [1.0], current=1.0),
        lambda: save_state("x", axon()),
        lambda: clamp_family(axon(), [1.0], -60.0),
    ):
        with pytest.raises(TypeError, match=r"must be|must consist"):
            call()
