"""The schemes against a plain version, an independent simulator, the papers and each other."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import scipy.integrate

from pyloric_simulator import prinz2004
from pyloric_simulator.config import find_circuit
from pyloric_simulator.prinz2004 import Params, Prinz2004, State, neuron_models, simulate

from . import plain

PACEMAKERS = [f"AB/PD {i}" for i in range(1, 6)]
PUBLISHED = [1460, 1490, 1580, 1610, 1640]  # ms, burst periods of these (P04 Methods)
CONVERGED = [1503, 1496, 1566, 1625, 1676]  # ms, of the equations as dt → 0
SPIKE = -10.0  # mV, a potential that only a spike reaches
BURST_GAP = 150.0  # ms, a longer silence separates two bursts
REFERENCE = pd.read_csv(Path(__file__).with_name("data") / "spikes_exponential_euler.csv")


def regular(end: float, step: float) -> np.ndarray:
    """Times from 0 to end, ms."""
    return np.arange(round(end / step) + 1) * step


def crossings(t: np.ndarray, V: np.ndarray) -> np.ndarray:
    """When V rises through `SPIKE`, by a cubic through the four samples around it."""
    rises = np.flatnonzero((V[1:-2] < SPIKE) & (V[2:-1] >= SPIKE)) + 1
    around = rises[:, None] + np.arange(-1, 3)
    v, when = V[around], np.zeros(len(rises))
    for i in range(4):  # Lagrange's formula for t as a function of V
        others = [j for j in range(4) if j != i]
        weight = np.prod((SPIKE - v[:, others]) / (v[:, [i]] - v[:, others]), axis=1)
        when += weight * t[around[:, i]]
    return when


def burst_starts(spikes: np.ndarray) -> np.ndarray:
    """First spikes after a silence; a run starts at 0 ms."""
    return spikes[np.diff(spikes, prepend=0) > BURST_GAP]


def period(spikes: np.ndarray, after: float = 0) -> float:
    """Mean interval between burst starts that come after a transient, ms."""
    starts = burst_starts(spikes)
    return float(np.diff(starts[starts > after]).mean())


def order(steps: list[float], errors: list[float]) -> float:
    """Slope of log error over log dt."""
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.fixture(scope="module")
def five() -> Prinz2004:
    """The five pacemaker cells, each on its own."""
    return Prinz2004(dict.fromkeys(PACEMAKERS, 1), {}, ge=0)


@pytest.fixture(scope="module")
def paper() -> Prinz2004:
    return Prinz2004.from_toml(find_circuit("paper"))


@pytest.fixture(scope="module")
def apart() -> Prinz2004:
    """AB and PD coupled electrically; LP cells that inhibit each other."""
    return Prinz2004(
        {"PD": 2, "AB": 1, "LP": 2},
        {("AB", "LP"): 30, ("PD", "LP"): 10, ("LP", "PD"): 20, ("LP", "LP"): 5},
        neuron_models.loc[["AB/PD 2", "AB/PD 1", "LP 4"]],
        ge=7,
    )


# ------------------------------------------------------------------------- the plain version


def random_state(model: Prinz2004, seed: int) -> State:
    """A start at which every cell and synapse does something of its own."""
    rng = np.random.default_rng(seed)
    like = model.cold
    V, Ca = rng.uniform(-60, -30, like.V.shape), rng.uniform(0.1, 20, like.Ca.shape)
    return State(V, Ca, *(rng.uniform(0.1, 0.9, x.shape) for x in (like.s, like.m, like.h)))


def plain_cells(model: Prinz2004, start: State) -> list[plain.Cell]:
    """The circuit of `model` in plain numbers, one synapse for each pair of cells."""
    cells = []
    for i, (V, Ca) in enumerate(zip(start.V, start.Ca, strict=True)):
        g = dict(zip(neuron_models.columns, model.params.g[model.rows[i]], strict=True))
        gates = (
            dict(zip(names, map(float, x[i]), strict=True))
            for names, x in ((plain.EXPONENT, start.m), (plain.INACTIVATING, start.h))
        )
        s = dict(zip(plain.SYNAPSES, map(float, start.s[i]), strict=True))
        cells.append(plain.Cell(g, float(V), float(Ca), *gates, s, ge=float(model.params.ge)))
    labels = [pop for pop, _ in model.cells]
    for (terminal, post), nS in zip(model.synapses, model.params.gs, strict=True):
        transmitter = "acetylcholine" if terminal == "PD" else "glutamate"
        for pre_cell, pre in zip(cells, labels, strict=True):
            for post_cell, label in zip(cells, labels, strict=True):
                if terminal in pre.split("/") and label == post and pre_cell is not post_cell:
                    post_cell.synapses.append((pre_cell, transmitter, float(nS)))
    group = [c for c, label in zip(cells, labels, strict=True) if label in ("AB", "PD", "AB/PD")]
    for cell in group:
        cell.coupled = [other for other in group if other is not cell]
    return cells


def plain_run(
    cells: list[plain.Cell], solver: str, steps: int, dt: float, I: Callable[[float], Any]
) -> dict[str, np.ndarray]:
    """Every state from 0 to `steps`."""
    rows = []
    for k in range(steps + 1):
        rows.append([[(c.V, c.Ca), c.s.values(), c.m.values(), c.h.values()] for c in cells])
        rows[-1] = [[list(x) for x in cell] for cell in rows[-1]]
        inputs = [[float(x) for x in I(i * dt)] for i in (k, k + 1)]
        if solver == "staggered":
            plain.staggered(cells, *inputs, dt)
        else:
            plain.exponential_euler(cells, inputs[0], dt)
    V_Ca, s, m, h = (np.array([[cell[i] for cell in row] for row in rows]) for i in range(4))
    return {"V": V_Ca[..., 0], "Ca": V_Ca[..., 1], "s": s, "m": m, "h": h}


@pytest.mark.parametrize("solver", ["staggered", "exponential_euler"])
@pytest.mark.parametrize("name", ["paper", "apart"])
def test_the_fast_version_is_the_plain_one(name: str, solver: str, request: pytest.FixtureRequest) -> None:
    model: Prinz2004 = request.getfixturevalue(name)
    start, dt, steps = random_state(model, 1), 0.05, 1200
    amplitudes = np.linspace(0.5, 2, len(model.rows))  # nA

    def I(t: Any) -> Any:
        return amplitudes * (1 + t / 100)

    found = model(np.arange(steps + 1) * dt, I, start, solver=solver, dt=dt).states
    wanted = plain_run(plain_cells(model, start), solver, steps, dt, I)
    assert (wanted["V"].max(0) > SPIKE).sum() >= 2
    assert np.ptp(wanted["s"], axis=0).max() > 0.5
    for variable, x in wanted.items():
        np.testing.assert_allclose(getattr(found, variable), x, rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------- an independent simulator


def reference_spikes(simulation: str, cell: str) -> np.ndarray:
    rows = (REFERENCE.simulation == simulation) & (REFERENCE.cell == cell)
    return REFERENCE.spike_time_ms[rows].to_numpy()


@pytest.fixture(scope="module")
def papers_scheme(five: Prinz2004) -> dict[str, np.ndarray]:
    """Spikes of the isolated cells in 8 s from the cold start, in the papers' scheme and step."""
    result = five(regular(8000, 0.025), state=five.cold, solver="exponential_euler", dt=0.025)
    return {pop: spikes for (pop, _), spikes in result.spike_times().items()}


@pytest.mark.parametrize("cell", PACEMAKERS)
def test_isolated_cells_spike_as_in_an_independent_simulator(cell: str, papers_scheme: dict[str, np.ndarray]) -> None:
    """To rounding, through the 5 s of the reference."""
    wanted, found = reference_spikes(f"isolated {cell}", "AB/PD"), papers_scheme[cell]
    assert (found < 5000).sum() == len(wanted) > 60
    np.testing.assert_allclose(found[: len(wanted)], wanted, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_only_an_isolated_LP_4_forgets_its_start() -> None:
    """Why the circuit of the reference cannot be met to rounding from thermalized cells."""
    model = Prinz2004({"LP 4": 1, "AB/PD 2": 1, "PY 1": 1}, {})
    t = regular(5600, 0.1)
    runs = [
        model(t, state=model.cold._replace(V=model.cold.V + shift), solver="exponential_euler", dt=0.025)
        for shift in (0, 1e-10)
    ]
    LP, AB, PY = ([crossings(t, run.states.V[:, i]) for run in runs] for i in range(3))
    late = [spikes[spikes > 5000] for spikes in LP]
    n = min(map(len, late))
    assert n >= 2
    assert np.abs(late[0][:n] - late[1][:n]).max() > 10
    for one, other in (AB, PY):
        assert len(one) > 10
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def peaks(V: np.ndarray) -> np.ndarray:
    """Times of local maxima above `SPIKE`, recorded at every step of 0.025 ms."""
    middle = V[1:-1]
    return 0.025 * (1 + np.flatnonzero((middle > V[:-2]) & (middle >= V[2:]) & (middle > SPIKE)))


@pytest.mark.slow
def test_the_circuit_spikes_as_in_an_independent_simulator(paper: Prinz2004) -> None:
    """From the LP of some moment of its isolated run, which is chaotic (see above)."""
    alone = Prinz2004({"AB/PD 2": 1, "LP 4": 1, "PY 1": 1}, {})
    moments = 5000 + regular(170, 2.5)  # more than LP's period, ms
    states = alone(moments, state=alone.cold, solver="exponential_euler", dt=0.025).states
    starts = State(*(x.copy() for x in states))._replace(s=np.zeros_like(states.s))
    for x in starts[:2] + starts[3:]:
        x[:, [0, 2]] = x[0, [0, 2]]  # AB/PD and PY always after 5 s
    t = regular(1515, 0.025)
    run = jax.vmap(lambda y: simulate(paper.params, y, t, solver="exponential_euler", dt=0.025).V)
    found = [[peaks(V) for V in traces.T] for traces in np.asarray(jax.jit(run)(starts))]
    wanted = [reference_spikes("circuit", cell) for cell in ("AB/PD", "LP", "PY")]
    wanted = [spikes[spikes < t[-1]] for spikes in wanted]
    counts = [len(spikes) for spikes in wanted]
    alike = [spikes for spikes in found if [len(x) for x in spikes] == counts]
    misses = [np.abs(np.concatenate(x) - np.concatenate(wanted)).max() for x in alike]
    assert counts == [27, 2, 6]
    assert min(misses) < 1


# ------------------------------------------------------------------------------ burst periods


def test_periods_of_the_papers_scheme_are_the_published_ones(
    papers_scheme: dict[str, np.ndarray],
) -> None:
    """To 1% of a value that rounds to the published one, given to 10 ms."""
    found = [period(papers_scheme[cell], after=2500) for cell in PACEMAKERS]
    np.testing.assert_allclose(found, PUBLISHED, rtol=0.01, atol=5)


@pytest.mark.slow
def test_staggered_periods_are_the_converged_ones(five: Prinz2004) -> None:
    result = five(regular(9000, 0.1), state=five.cold, dt=0.0125)
    found = [period(spikes, after=2500) for spikes in result.spike_times().values()]
    np.testing.assert_allclose(found, CONVERGED, rtol=0.001)


@pytest.fixture(scope="module")
def pacemaker() -> tuple[Prinz2004, State, np.ndarray]:
    """AB/PD 1 in the silence before a burst, and times for three periods."""
    model = Prinz2004({"AB/PD 1": 1}, {})
    return model, model([1000], dt=0.0125).final_state, regular(4720, 0.1)


def agrees_on_the_period(pacemaker: tuple[Prinz2004, State, np.ndarray], V: np.ndarray) -> None:
    """Within 0.05% of the staggered scheme, so that any two are within 0.1% of each other."""
    model, start, t = pacemaker
    ours = crossings(t, model(t, state=start, dt=0.0125).states.V[:, 0])
    theirs = crossings(t, V)
    assert len(burst_starts(ours)) == len(burst_starts(theirs)) == 4
    assert period(theirs) == pytest.approx(period(ours), rel=5e-4)
    assert period(theirs) == pytest.approx(CONVERGED[0], rel=1e-3)


@pytest.mark.slow
def test_BDF_agrees_on_the_period(pacemaker: tuple[Prinz2004, State, np.ndarray]) -> None:
    """The field is `model.vector_field`, compiled together with what turns a vector into a state."""
    model, start, t = pacemaker

    @jax.jit
    def field(y: jax.Array) -> jax.Array:
        ends = np.cumsum([np.size(x) for x in model.cold])[:-1]
        parts = zip(jnp.split(y, ends), model.cold, strict=True)
        state = State(*(part.reshape(np.shape(like)) for part, like in parts))
        return jnp.concatenate([jnp.ravel(x) for x in prinz2004.derivative(model.params, state)])

    jacobian = jax.jit(jax.jacfwd(field))
    y0 = model.flatten(start)
    for y in (y0, model.flatten(model.cold), model.flatten(random_state(model, 8))):
        np.testing.assert_allclose(field(y), model.vector_field(0, y), rtol=1e-12)
    solution = scipy.integrate.solve_ivp(
        lambda _, y: np.asarray(field(y)), (0, t[-1]), y0, method="BDF", t_eval=t,
        rtol=1e-6, atol=1e-6, jac=lambda _, y: np.asarray(jacobian(y)),
    )  # fmt: skip
    agrees_on_the_period(pacemaker, model.unflatten(solution.y.T).V[:, 0])


@pytest.mark.slow
def test_Kvaerno5_agrees_on_the_period_and_keeps_its_bounds(
    pacemaker: tuple[Prinz2004, State, np.ndarray],
) -> None:
    """One test, since all runs with as many times share what takes long to compile."""
    model, start, t = pacemaker
    how = {"solver": diffrax.Kvaerno5(), "rtol": 1e-6, "atol": 1e-6}
    agrees_on_the_period(pacemaker, model(t, np.zeros(1), start, **how).states.V[:, 0])
    for g, y, I in extreme_cells(20):
        cell = Prinz2004({"AB/PD 1": 1}, {}, g)
        assert_within_bounds(cell(t * 20 / t[-1], I, y, **how).states)


# ------------------------------------------------------------------------------------- orders


class Runs:
    """Runs of one circuit from one start, each made once, recorded at every step."""

    def __init__(self, model: Prinz2004, start: State, end: float, I: Any = None) -> None:
        self.model, self.start, self.end, self.I = model, start, end, I
        self.V = cache(self._V)

    def _V(self, solver: str, dt: float) -> np.ndarray:
        """(time, cell) mV."""
        t = regular(self.end, dt)
        return self.model(t, self.I, self.start, solver=solver, dt=dt).states.V

    def spikes(self, solver: str, dt: float) -> list[np.ndarray]:
        """Spike times of each cell, ms."""
        V = self.V(solver, dt)
        return [crossings(np.arange(len(V)) * dt, x) for x in V.T]

    def order_of_V(self, solver: str, steps: list[float], start: float, stop: float) -> list[float]:
        """Of each cell's V between two times, from the differences between runs with dt and dt/2."""
        part = [
            self.V(solver, dt)[:: round(0.1 / dt)][round(10 * start) : round(10 * stop)]
            for dt in (*steps, steps[-1] / 2)
        ]
        errors = [np.sqrt(((a - b) ** 2).mean(0)) for a, b in pairwise(part)]
        return [order(steps, x) for x in np.array(errors).T]

    def order_of_spikes(self, solver: str, steps: list[float]) -> list[float]:
        """Of the spike times of each cell that spikes."""
        found = [self.spikes(solver, dt) for dt in (*steps, steps[-1] / 2)]
        return [order(steps, x) for x in np.array([spike_errors(a, b) for a, b in pairwise(found)]).T]


def spike_errors(one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    """Largest difference of the spike times of each cell that spikes, ms."""
    assert [len(x) for x in one] == [len(x) for x in other]
    return np.array([np.abs(a - b).max() for a, b in zip(one, other, strict=True) if len(a)])


@pytest.fixture(scope="module")
def isolated(five: Prinz2004) -> Runs:
    """In this time three of the five cells burst, and two are silent."""
    return Runs(five, five.get_thermalization(), 400)


STEPS = {"staggered": [0.025, 0.0125, 0.00625], "exponential_euler": [0.0125, 0.00625, 0.003125]}  # ms
ORDER = {"staggered": 2, "exponential_euler": 1}


OF_ORDER = ["staggered", pytest.param("exponential_euler", marks=pytest.mark.slow)]


@pytest.mark.parametrize("solver", OF_ORDER)
def test_order_of_spike_times(solver: str, isolated: Runs) -> None:
    found = isolated.order_of_spikes(solver, STEPS[solver])
    assert len(found) >= 3
    np.testing.assert_allclose(found, ORDER[solver], atol=0.2)


@pytest.mark.parametrize("solver", OF_ORDER)
def test_order_of_V_in_a_burst_and_between_bursts(solver: str, isolated: Runs) -> None:
    """Between bursts the calcium-dependent gate, which spikes outweigh, has its say."""
    for window in ((5, 10), (20, 30)):
        found = isolated.order_of_V(solver, STEPS[solver], *window)
        np.testing.assert_allclose(found, ORDER[solver], atol=0.1)


def test_staggered_beats_the_papers_scheme_at_a_quarter_of_its_step(isolated: Runs) -> None:
    exact = isolated.spikes("staggered", 0.003125)
    ours = spike_errors(isolated.spikes("staggered", 0.05), exact)
    theirs = spike_errors(isolated.spikes("exponential_euler", 0.0125), exact)
    assert (ours < theirs).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "apart"])
def test_staggered_is_second_order_for_circuits(name: str, request: pytest.FixtureRequest) -> None:
    """With chemical and electrical synapses and a current that changes with time."""
    model: Prinz2004 = request.getfixturevalue(name)

    def I(t: Any) -> Any:
        return jnp.sin(t / 7) + jnp.arange(len(model.rows), dtype=float) / 5

    start = model([10], I, random_state(model, 2)).final_state  # past a jump in less than a step
    runs = Runs(model, start, 40, I)
    found = runs.order_of_V("staggered", STEPS["staggered"], 0, 40)
    np.testing.assert_allclose(found, 2, atol=0.1)


# ------------------------------------------------------------------------------------- bounds


def extremes(model: Prinz2004, n: int, dtype: str) -> tuple[Params, State, jax.Array]:
    """n random sets of conductances, starts and input, far beyond what cells meet."""
    rng = np.random.default_rng(3)
    p, y = model.params, model.cold

    def scaled(x: Any, most: float) -> jax.Array:
        factor = rng.uniform(0, most, (n, *np.shape(x))) * rng.integers(0, 2, (n, *np.shape(x)))
        return jnp.asarray(np.maximum(x, 0.01) * factor, dtype)

    params = p.replace(g=scaled(p.g, 5), gs=scaled(p.gs, 20), ge=scaled(p.ge, 20))
    V = jnp.asarray(rng.uniform(-200, 200, (n, len(y.V))), dtype)
    Ca = jnp.asarray(10 ** rng.uniform(-4, 3, (n, len(y.V))), dtype)
    s, m, h = (jnp.asarray(rng.uniform(0, 1, (n, *x.shape)).round(rng.integers(0, 9)), dtype) for x in y[2:])
    return params, State(V, Ca, s, m, h), jnp.asarray(rng.uniform(-50, 50, V.shape), dtype)


def extreme_cells(n: int) -> Iterator[tuple[np.ndarray, State, np.ndarray]]:
    """The same for a single cell: conductances, start and input, one after the other."""
    params, start, I = extremes(Prinz2004({"AB/PD 1": 1}, {}), n, "float64")
    for i in range(n):
        yield np.asarray(params.g[i]), State(*(np.asarray(x[i]) for x in start)), np.asarray(I[i])


def assert_within_bounds(states: State) -> None:
    """Gates and s in [0, 1], calcium positive, everything finite."""
    for name, x in states._asdict().items():
        assert np.isfinite(x).all(), name
        if name in "smh":
            assert np.min(x) >= 0, name
            assert np.max(x) <= 1, name
    assert np.min(states.Ca) > 0


BOUNDS = list(product(["staggered", "exponential_euler"], [0.05, 0.25], ["float64", "float32"]))
OFTEN = BOUNDS[0], BOUNDS[-1]


@pytest.mark.parametrize(
    ("solver", "dt", "dtype"), [pytest.param(*x, marks=() if x in OFTEN else pytest.mark.slow) for x in BOUNDS]
)
def test_bounds_of_the_schemes(solver: str, dt: float, dtype: str, apart: Prinz2004) -> None:
    t = regular(100, dt)

    def run(params: Params, start: State, I: jax.Array) -> State:
        return simulate(params, start, t, I, solver=solver, dt=dt)

    with prinz2004.precision(dtype):
        found = jax.jit(jax.vmap(run))(*extremes(apart, 300, dtype))
        states = State(*(np.asarray(x) for x in found))
    assert {x.dtype.name for x in states} == {dtype}
    assert_within_bounds(states)


def test_bounds_of_an_explicit_adaptive_solver() -> None:
    t = regular(1, 0.05)
    for g, y, I in extreme_cells(20):
        model = Prinz2004({"AB/PD 1": 1}, {}, g)
        assert_within_bounds(model(t, I, y, solver=diffrax.Tsit5()).states)


# ---------------------------------------------------------------------------------- gradients


class Inputs(NamedTuple):
    """All that a simulation can be differentiated in."""

    g: Any  # (population, channel) mS/cm²
    gs: Any  # (synapse,) nS
    ge: Any  # () nS
    V: Any  # (cell,) mV, at the start
    I: Any  # (cell,) nA


class Differentiable:
    """A functional of a run of a circuit with synapses of both kinds, compiled once."""

    times = np.array([0.0, 50.0, 100.0, 150.0])  # ms
    weights = np.array([[1, -2, 3], [-1, 1, 2], [2, 1, -3], [1, 3, 1.0]])  # (time, cell)

    def __init__(self, solver: str) -> None:
        self.model = Prinz2004(
            {"AB 1": 1, "PD 2": 1, "LP 3": 1},
            {("AB 1", "LP 3"): 9, ("PD 2", "LP 3"): 4, ("LP 3", "PD 2"): 6},
            ge=5,
        )
        self.solver, self.start = solver, random_state(self.model, 4)
        p = self.model.params
        self.inputs = Inputs(p.g, p.gs, p.ge, self.start.V, np.array([0.1, -0.2, 0.3]))
        self.value = jax.jit(self._value)
        self.many = jax.jit(jax.vmap(self._value))
        self.gradient = jax.jit(jax.grad(self._value))
        self.forward = jax.jit(lambda x, dx: jax.jvp(self._value, (x,), (dx,))[1])

    def _value(self, x: Inputs) -> jax.Array:
        params = self.model.params.replace(g=x.g, gs=x.gs, ge=x.ge)
        start = self.start._replace(V=x.V)
        V = simulate(params, start, self.times, x.I, solver=self.solver).V
        return (self.weights * V).sum()

    def moved(self, direction: Inputs, step: float) -> Inputs:
        return Inputs(*(x + step * d for x, d in zip(self.inputs, direction, strict=True)))


@pytest.fixture(scope="module", params=["staggered", "exponential_euler"])
def differentiable(request: pytest.FixtureRequest) -> Differentiable:
    return Differentiable(request.param)


@pytest.mark.slow
def test_gradients_are_the_difference_quotients(differentiable: Differentiable) -> None:
    """In reverse and forward mode, along one random direction of each input, up to 150 ms."""
    rng = np.random.default_rng(5)
    zero = Inputs(*map(np.zeros_like, differentiable.inputs))
    directions = [
        zero._replace(**{name: np.asarray(x * rng.uniform(0.5, 1, np.shape(x)), float)})
        for name, x in differentiable.inputs._asdict().items()
    ]
    steps = 1e-5 * np.array([1, -1, 2, -2])
    moved = [differentiable.moved(d, h) for d in directions for h in steps]
    values = differentiable.many(jax.tree.map(lambda *x: np.stack(x), *moved))
    slopes = np.asarray(values).reshape(-1, 4) @ [8, -8, -1, 1] / (12 * steps[0])
    gradient = differentiable.gradient(differentiable.inputs)
    backward = [sum((a * b).sum() for a, b in zip(d, gradient, strict=True)) for d in directions]
    forward = [differentiable.forward(differentiable.inputs, d) for d in directions]
    assert (np.abs(slopes) > 0).all()
    np.testing.assert_allclose(backward, slopes, rtol=1e-5)
    np.testing.assert_allclose(forward, slopes, rtol=1e-5)


@pytest.mark.slow
def test_gradients_are_finite_without_conductances(differentiable: Differentiable) -> None:
    zero = Inputs(*map(np.zeros_like, differentiable.inputs))
    for g in (zero.g, differentiable.inputs.g):
        nothing = zero._replace(g=g, V=differentiable.inputs.V)
        for name, x in differentiable.gradient(nothing)._asdict().items():
            assert np.isfinite(x).all(), name
            assert np.any(x), name


@pytest.mark.slow
def test_a_batch_is_a_loop(differentiable: Differentiable) -> None:
    """Over all inputs at once."""
    rng = np.random.default_rng(6)
    inputs = [Inputs(*(x * rng.uniform(0.5, 1.5, np.shape(x)) for x in differentiable.inputs)) for _ in range(4)]
    batch = differentiable.many(jax.tree.map(lambda *x: np.stack(x), *inputs))
    np.testing.assert_allclose(batch, [differentiable.value(x) for x in inputs], rtol=1e-8)


@pytest.mark.parametrize("solver", OF_ORDER)
def test_compiling_changes_nothing(solver: str) -> None:
    model = Prinz2004({"LP 4": 1}, {})
    start, t = random_state(model, 9), regular(20, 1)

    def run(start: State) -> State:
        return simulate(model.params, start, t, 0.5, solver=solver)

    for eager, compiled in zip(run(start), jax.jit(run)(start), strict=True):
        np.testing.assert_allclose(eager, compiled, rtol=1e-11)


# ------------------------------------------------------------------------------------ float32


@pytest.mark.parametrize("solver", OF_ORDER)
def test_single_precision_follows_double(solver: str) -> None:
    models = [Prinz2004.from_toml(find_circuit("paper"), dtype=dtype) for dtype in ("float64", "float32")]
    start, t = random_state(models[0], 7), regular(60, 0.5)
    double, single = (model(t, 0.3, start, solver=solver) for model in models)
    assert {x.dtype.name for x in single.states} == {"float32"}
    assert {x.dtype.name for x in double.states} == {"float64"}
    assert (double.states.V > SPIKE).any()
    np.testing.assert_allclose(single.states.V, double.states.V, rtol=0, atol=0.002)
    assert models[1].vector_field(0, models[1].flatten(start)).dtype == "float32"
