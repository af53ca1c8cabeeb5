"""Circuits in lanes: the same exponentials, steps, spikes and features as elsewhere, and no lane that knows of another."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.ensembles import lanes as batch
from pyloric_simulator.ensembles.lanes import (
    MULTIPLE,
    OFFSET,
    PART,
    TICKS,
    Plan,
    Run,
    advance,
    begin,
    compiled,
    conductances_in_lanes,
    feasible,
    in_parts,
    padded,
    to_lanes,
)
from pyloric_simulator.prinz2004 import Prinz2004, State
from pyloric_simulator.rhythm import ROLES, WHY, Measures, measure, spikes

DT = 0.05  # ms
SOLVERS = sorted(OFFSET)


@cache
def paper() -> Prinz2004:
    """The circuit of the paper's Fig. 3e, in double precision."""
    return Prinz2004.from_toml(find_circuit("paper"))


def same(a: Any, b: Any) -> bool:
    """Whether all fields are equal to the last bit."""
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


# ---------------------------------------------------------------- exponentials


def relative_error(found: Any, expected: np.ndarray) -> np.ndarray:
    """Distance from double precision, relative."""
    assert found.dtype == jnp.float32
    return np.abs(np.asarray(found, float) / expected - 1)


def test_exp2_is_right_to_single_precision() -> None:
    t = np.concatenate([np.linspace(-125.9, 125.9, 100_001), np.linspace(-1, 1, 100_001)]).astype(np.float32)
    assert relative_error(jax.jit(batch.exp2)(t), np.exp2(t.astype(float))).max() < 1.2e-7


def test_expm1_is_right_to_single_precision_near_zero_too() -> None:
    small = np.geomspace(1e-30, 1, 50_000)
    x = np.concatenate([np.linspace(-86, 4, 100_000), small, -small]).astype(np.float32)
    x = x[x != 0]
    assert relative_error(jax.jit(batch.expm1)(x), np.expm1(x.astype(float))).max() < 5e-7


def test_expm1_of_large_numbers_is_as_right_as_their_last_bit_allows() -> None:
    x = np.linspace(4, 86, 100_000).astype(np.float32)
    error = relative_error(jax.jit(batch.expm1)(x), np.expm1(x.astype(float)))
    assert (error < 5e-7 + np.finfo(np.float32).eps * x).all()  # of the exponent, rounded


def test_double_precision_stays_double() -> None:
    x = jnp.linspace(-5, 5, 101)
    np.testing.assert_allclose(batch.exp2(x), np.exp2(np.asarray(x)), rtol=1e-14)
    np.testing.assert_allclose(batch.expm1(x), np.expm1(np.asarray(x)), rtol=1e-14)


# ---------------------------------------------------------------- steps and spikes in lanes


@cache
def advancing(solver: str, n: int, ticks: int) -> Any:
    """Compiled once for all runs of the circuit of the paper with as much room."""
    return jax.jit(partial(advance, circuit=paper().circuit, solver=solver, dt=DT, n=n, ticks=ticks))


def in_lanes(
    solver: str, start: State, times: tuple[float, ...], buffer: int, k: int = 0, ticks: int = TICKS
) -> list[Run]:
    """The circuit of the paper, in one lane, at some times (ms) after the start, which is step k."""
    model, plan = paper(), Plan(paper().circuit, solver, DT, 0, 0, "float64", buffer)
    p = conductances_in_lanes(model.circuit, model.params.g[None], model.params.gs[None], "float64")
    go = advancing(solver, plan.n, ticks)
    run = begin(to_lanes(model.circuit, State(*(x[None] for x in start)), "float64"), buffer)
    return [go(p, run, jnp.int32(k), jnp.int32(plan.blocks(time))) for time in times]


@pytest.mark.parametrize("solver", [pytest.param(x, marks=[pytest.mark.slow] * (x != "staggered")) for x in SOLVERS])
def test_a_lane_is_the_circuit(solver: str) -> None:
    model, t = paper(), np.arange(20_001) * DT
    start = model.get_thermalization()
    early, late = in_lanes(solver, start, (20.0, 1000.0), 256)
    states = model(t, state=start, solver=solver, dt=DT).states
    short = model([20.0], state=start, solver=solver, dt=DT).states
    np.testing.assert_allclose(early.y.V[:, 0], short.V[-1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(early.y.Ca[:, 0], short.Ca[-1], rtol=0, atol=1e-9)
    found, count = late.spikes
    assert int(count.sum()) > 10
    for cell, V in enumerate(states.V.T):
        times = (found[: count[cell, 0], cell, 0] / TICKS + OFFSET[solver]) * DT
        expected = spikes(t, V)
        assert len(times) == len(expected)
        np.testing.assert_allclose(times, expected, rtol=0, atol=0.01)


def test_spikes_without_room_are_counted() -> None:
    start = paper().get_thermalization()
    (all_,), (few,) = (in_lanes("staggered", start, (1000.0,), buffer) for buffer in (256, 2))
    assert int(all_.spikes.number.max()) > 2
    np.testing.assert_array_equal(few.spikes.number, all_.spikes.number)
    np.testing.assert_array_equal(few.spikes.ticks, all_.spikes.ticks[:2])


def plan_of(duration: float, dt: float = DT, **others: Any) -> Plan:
    """A plan for the circuit of the paper."""
    return Plan(paper().circuit, "staggered", dt, duration, 0.0, "float32")._replace(**others)


LONG = [
    (10_000, 0.05, 1024),
    (104_000, 0.05, 1024),
    (106_000, 0.05, 512),
    (30_000, 0.01, 512),
    (6e6, 0.05, 16),
    (1e7, 0.25, 32),
]


@pytest.mark.parametrize(("duration", "dt", "ticks"), LONG)
def test_ticks_of_long_recordings_have_32_bits(duration: float, dt: float, ticks: int) -> None:
    plan = plan_of(duration, dt)
    assert plan.ticks == ticks
    assert (plan.blocks(duration) * plan.n + 1) * ticks < 2**31


@pytest.mark.slow
def test_spikes_late_in_a_long_recording_have_their_time() -> None:
    """Those of a run that begins with step 20 million, 1,000 s, are those of one that begins with step 0, to a 64th of a step."""
    k, start = 20_000_000, paper().get_thermalization()
    plan = plan_of(k * DT + 1000)
    (early,), (late,) = (in_lanes("staggered", start, (1000.0,), 256, *x) for x in ((0, TICKS), (k, plan.ticks)))
    early, late = (jax.tree.map(np.asarray, run.spikes) for run in (early, late))
    np.testing.assert_array_equal(late.number, early.number)
    real = np.arange(256)[:, None, None] < early.number
    steps, late_steps = early.ticks / TICKS, late.ticks / plan.ticks
    assert real.sum() > 10
    np.testing.assert_allclose((late_steps - k)[real], steps[real], rtol=0, atol=0.51 / plan.ticks)


def test_long_recordings_have_room_for_their_spikes() -> None:
    assert [plan_of(duration).room for duration in (1000, 10_000, 20_000, 100_000)] == [1024, 1024, 2048, 10_240]
    assert plan_of(100_000, buffer=512).room == 512


@pytest.mark.parametrize(
    ("plan", "lanes", "message"),
    [
        (plan_of(1e7), 64, r"duration is 1e\+07 ms, 2e\+08 steps.* Take a shorter one"),
        (plan_of(1000, transient=1e8), 64, "transient is"),
        (plan_of(1e6, dt=0.001), 64, "duration is"),
        (plan_of(1e6), 2048, r"2048 circuits with spikes of 1e\+06 ms would take .* batch_size=256"),
        (plan_of(1000, solver="euler"), 64, "'euler'"),
        (plan_of(1000, dtype="float16"), 64, "'float16'"),
        (plan_of(-5), 64, "duration"),
        (plan_of(1000, dt=-0.1), 64, "dt is -0.1"),
    ],
)
def test_plans_that_cannot_be_carried_out_are_refused(plan: Plan, lanes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feasible(plan, lanes)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"AB/PD": 2, "LP": 1, "PY": 1}, "'AB/PD' has 2 cells.* one by one"),
        ({"AB/PD": 1, "LP": 1, "PY": 5}, "'PY' has 5 cells.* one by one"),
        ({"AB/PD 1": 1, "AB/PD 2": 1, "LP": 1}, "pacemakers, joined by gap junctions.* one by one"),
    ],
)
def test_populations_and_gap_junctions_are_not_dropped(sizes: dict[str, int], message: str) -> None:
    model = Prinz2004(sizes, {}, np.ones((len(sizes), 8)), ge=1.0)
    plan = plan_of(1000)._replace(circuit=model.circuit)
    g, gs = np.ones((MULTIPLE, len(sizes), 8)), np.empty((MULTIPLE, 0))
    for call in (compiled("cpu"), partial(in_parts, backend="cpu", tell=print)):
        with pytest.raises(ValueError, match=message):
            call(plan, g, gs, None)


# ---------------------------------------------------------------- features

WINDOW = (0.0, 10_000.0)  # ms
ROOM = 512  # spikes


def bursting(rng: np.random.Generator, starts: np.ndarray, period: float, jitter: float) -> np.ndarray:
    """A cell that bursts after each start, or sometimes does not, in ms."""
    starts = starts + rng.uniform(0, 0.8) * period + rng.normal(0, jitter, len(starts))
    if rng.random() < 0.2:
        starts = starts[rng.random(len(starts)) > 0.1]
    duration, n = rng.uniform(0.05, 0.4) * period, int(rng.integers(4, 20))
    return (starts[:, None] + np.linspace(0, duration, n) + rng.normal(0, 5, (len(starts), n))).ravel()


def random_cell(rng: np.random.Generator, starts: np.ndarray, period: float, jitter: float) -> np.ndarray:
    """Spike times (ms) of a cell that bursts, or more rarely is silent, tonic or almost silent."""
    kind = rng.choice(["bursting", "silent", "tonic", "single"], p=[0.88, 0.04, 0.05, 0.03])
    if kind == "bursting":
        return bursting(rng, starts, period, jitter)
    if kind == "tonic":
        return np.arange(rng.uniform(0, 100), WINDOW[1], rng.uniform(25, 140))
    return rng.uniform(*WINDOW, 1 if kind == "single" else 0)


def random_trains(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Spike times (ms) within the window of PD, LP and PY."""
    period = rng.uniform(500, 2500)
    starts = np.arange(rng.uniform(-period, period), WINDOW[1], period)
    jitter = rng.choice([0, 0.002, 0.03]) * period
    cells = {role: np.unique(random_cell(rng, starts, period, jitter)) for role in ROLES}
    return {role: x[(x >= WINDOW[0]) & (x <= WINDOW[1])] for role, x in cells.items()}


def in_buffers(rng: np.random.Generator, trains: list[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Spike times (circuit, spike, cell), with anything after the last of them, and counts (circuit, cell)."""
    t = rng.uniform(*WINDOW, (len(trains), ROOM, len(ROLES)))
    for i, train in enumerate(trains):
        for j, role in enumerate(ROLES):
            t[i, : len(train[role]), j] = train[role]
    return t, np.array([[len(train[role]) for role in ROLES] for train in trains], np.int32)


measure_all = jax.jit(jax.vmap(partial(batch.measure, window=WINDOW)))


def test_features_in_lanes_are_equal_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    trains = [random_trains(rng) for _ in range(300)]
    t, count = in_buffers(rng, trains)
    assert count.max() <= ROOM
    expected = Measures(*map(np.stack, zip(*(measure(x, WINDOW) for x in trains), strict=True)))
    found = measure_all(t, count)
    for name, x, y in zip(Measures._fields, found, expected, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)
    assert set(np.unique(expected.why)) == set(range(WHY.index("not triphasic") + 1))  # every reason occurs
    assert (expected.why == 0).all(1).sum() > 30
    assert np.isfinite(expected.cv).sum() > 200


def test_full_buffers_count_and_overfull_ones_are_reported() -> None:
    starts = np.arange(500, 9000, 1000.0)
    one = (starts[:, None] + np.linspace(0, 300, 6)).ravel()
    t = np.stack([one, one + 350, one + 400], 1)[None]
    full = np.full((1, 3), len(one), np.int32)
    assert (measure_all(t, full).why == 0).all()
    assert np.isfinite(measure_all(t, full).cv).all()
    for cell in range(3):
        over = full.copy()
        over[0, cell] += 1
        found = measure_all(t, over)
        assert (np.asarray(found.why) == WHY.index("overflow")).all()
        assert np.isnan(found.values).all()
        assert np.isnan(found.cv).all()


# ---------------------------------------------------------------- whole batches

LANES = MULTIPLE
Batch = tuple[Plan, np.ndarray, np.ndarray, State]


@pytest.fixture(scope="module")
def circuits() -> Batch:
    """Circuits around that of the paper, all from its thermalized state; densities, strengths and starts."""
    model, rng = paper(), np.random.default_rng(1)
    plan = Plan(model.circuit, "staggered", 0.25, 5000.0, 500.0, "float32", 512)
    g = model.params.g * rng.uniform(0.9, 1.1, (LANES, *model.params.g.shape))
    gs = model.params.gs * rng.uniform(0.5, 1.5, (LANES, *model.params.gs.shape))
    start = State(*(np.broadcast_to(x, (LANES, *x.shape)) for x in model.get_thermalization()))
    return plan, g, gs, start


def test_lanes_are_multiples() -> None:
    assert [padded(n) for n in (1, MULTIPLE, MULTIPLE + 1)] == [MULTIPLE, MULTIPLE, 2 * MULTIPLE]


def test_rows_do_not_depend_on_their_neighbours(circuits: Batch) -> None:
    plan, g, gs, start = circuits
    order = np.random.default_rng(2).permutation(LANES)
    found = compiled("cpu")(plan, g, gs, start)
    moved = compiled("cpu")(plan, g[order], gs[order], State(*(x[order] for x in start)))
    assert same(moved, [x[order] for x in found])
    assert np.isfinite(found.values).all(1).sum() > LANES / 4
    assert len(np.unique(found.values[:, 0])) > LANES / 4  # rows differ, so that the order can be seen


def test_a_batch_in_parts_is_the_same(circuits: Batch) -> None:
    plan, g, gs, start = circuits
    said: list[float] = []
    found = in_parts(plan, g, gs, start, backend="cpu", tell=said.append)
    assert same(found, compiled("cpu")(plan, g, gs, start))
    blocks = plan.blocks(plan.transient + plan.duration)
    assert said == [min(k + PART, blocks) / blocks for k in range(0, blocks, PART)]


def test_a_batch_can_be_stopped_between_its_parts(circuits: Batch) -> None:
    plan, g, gs, start = circuits
    said: list[float] = []

    def tell(share: float) -> None:
        said.append(share)
        if len(said) == 2:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        in_parts(plan, g, gs, start, backend="cpu", tell=tell)
    assert len(said) == 2


def test_a_broken_lane_breaks_no_other(circuits: Batch) -> None:
    plan, g, gs, start = circuits
    broken = g.copy()
    broken[7, 1, 2] = np.nan
    before, found = compiled("cpu")(plan, g, gs, start), compiled("cpu")(plan, broken, gs, start)
    assert (np.asarray(found.why[7]) == WHY.index("not finite")).all()
    assert np.isnan(found.values[7]).all()
    others = np.arange(LANES) != 7
    assert same([x[others] for x in found], [x[others] for x in before])
    assert not (np.asarray(before.why) == WHY.index("not finite")).any()


def test_a_broken_cell_hides_all_of_its_circuit(circuits: Batch) -> None:
    """Without synapses the pacemaker goes on, but the row says nothing about it."""
    plan, _, gs, start = circuits
    g = np.repeat(np.asarray(paper().params.g)[None], LANES, 0)
    g[7, 2, 2] = np.nan
    found = compiled("cpu")(plan, g, 0 * gs, start)
    assert np.isfinite(found.cv[6])
    assert np.isnan(found.cv[7])
    assert np.isfinite(found.values[6]).any()
    assert np.isnan(found.values[7]).all()
    assert (np.asarray(found.why[7]) == WHY.index("not finite")).all()


@pytest.mark.slow
def test_thermalized_rows_do_not_depend_on_their_neighbours(circuits: Batch) -> None:
    plan, g, gs, _ = circuits
    keys, order = jax.random.split(jax.random.key(3), LANES), np.random.default_rng(4).permutation(LANES)
    found = compiled("cpu")(plan, g, gs, None, keys)
    assert same(
        compiled("cpu")(plan, g[order], gs[order], None, keys[order]),
        [np.asarray(x)[order] for x in found],
    )
    other = compiled("cpu")(plan, g, gs, None, keys[::-1])
    assert not same(other, found)  # the moments matter
