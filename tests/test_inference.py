"""The prior of the 31 parameters: bounds worked out by hand, a density that integrates to 1, and its coordinates."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pyloric_simulator import database
from pyloric_simulator.ensembles import batches
from pyloric_simulator.fitting import benchmark, inference
from pyloric_simulator.fitting.inference import FEATURES, MEMBRANE, PARAMETERS, SYNAPSES, Prior, prior, simulator
from pyloric_simulator.prinz2004 import precision

PRIOR = prior()
THETA = PRIOR.sample(200, seed=1)
LOG_DENSITY = -np.log(PRIOR.box[1] - PRIOR.box[0]).sum()
SYNAPTIC = slice(len(MEMBRANE), None)

# ---------------------------------------------------------------- parameters and bounds


def test_parameters_are_in_the_order_of_cells_then_synapses() -> None:
    assert len(PARAMETERS) == len(set(PARAMETERS)) == 31
    assert PARAMETERS[:8] == tuple(f"AB/PD {x}" for x in ("Na", "CaT", "CaS", "A", "KCa", "Kd", "H", "leak"))
    assert (PARAMETERS[8], PARAMETERS[16], PARAMETERS[23]) == ("LP Na", "PY Na", "PY leak")
    assert PARAMETERS[24:] == SYNAPSES == ("AB-LP", "PD-LP", "AB-PY", "PD-PY", "LP-AB/PD", "LP-PY", "PY-LP")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("AB/PD Na", 0, 500),  # 100…400 ± 100
        ("AB/PD CaT", 0, 7.5),  # 2.5…5 ± 2.5
        ("AB/PD CaS", 0, 8),  # 2…6 ± 2
        ("AB/PD A", 0, 60),  # 10…50 ± 10
        ("AB/PD KCa", 0, 15),  # 5…10 ± 5
        ("AB/PD Kd", 25, 150),  # 50…125 ± 25
        ("AB/PD H", 0, 0.02),  # 0.01 ± 0.01
        ("AB/PD leak", 0, 0.01),  # 0 ± 0.01, cut at 0
        ("LP Na", 0, 200),  # 100 ± 100
        ("LP CaT", 0, 2.5),  # 0 ± 2.5, cut
        ("LP CaS", 2, 12),  # 4…10 ± 2
        ("LP A", 10, 60),  # 20…50 ± 10
        ("LP leak", 0.01, 0.04),  # 0.02…0.03 ± 0.01
        ("PY Na", 0, 600),  # 100…500 ± 100
        ("PY A", 30, 60),  # 40…50 ± 10
        ("PY KCa", 0, 5),  # 0 ± 5, cut
        ("PY Kd", 50, 150),  # 75…125 ± 25
        ("AB-LP", 0.01, 10_000),  # nS; 1e-8…1e-2 mS
        ("PD-LP", 0.01, 1000),  # nS; 1e-8…1e-3 mS
        ("PY-LP", 0.01, 1000),
    ],
)
def test_bounds_are_those_worked_out_by_hand(name: str, low: float, high: float) -> None:
    i = PARAMETERS.index(name)
    assert PRIOR.low[i] == pytest.approx(low, abs=1e-12)
    assert PRIOR.high[i] == pytest.approx(high)
    assert PRIOR.log[i] == (name in SYNAPSES)


def test_a_prior_cannot_be_changed_in_place_but_has_variants() -> None:
    with pytest.raises(ValueError, match="read-only"):
        PRIOR.low[0] = 1
    narrow = replace(PRIOR, high=np.where(PRIOR.log, 100, PRIOR.high))
    assert narrow.sample(50, seed=0)[:, SYNAPTIC].max() <= np.log(100)


# ---------------------------------------------------------------- sampling


def test_draws_lie_in_the_box_and_fill_it() -> None:
    theta, (a, b) = PRIOR.sample(2000, seed=0), PRIOR.box
    assert theta.shape == (2000, 31)
    assert ((a <= theta) & (theta <= b)).all()
    p = stats.kstest((theta - a) / (b - a), "uniform").pvalue
    assert p.min() > 1e-3 / 31


def test_strengths_of_synapses_are_uniform_in_their_logarithm() -> None:
    decades = np.log10(PRIOR.frame(PRIOR.sample(5000, seed=2))[list(SYNAPSES)])
    for name in SYNAPSES:
        top = 4 if name == "AB-LP" else 3
        share = np.histogram(decades[name], bins=np.arange(-2, top + 1))[0] / len(decades)
        assert share.sum() == pytest.approx(1)
        assert share == pytest.approx(np.full(top + 2, 1 / (top + 2)), abs=0.03)


@pytest.mark.parametrize("n", [1, 7, 200])
def test_a_row_does_not_depend_on_how_many_are_drawn(n: int) -> None:
    np.testing.assert_array_equal(PRIOR.sample(n, seed=1), THETA[:n])


def test_seeds_differ() -> None:
    assert not (PRIOR.sample(200, seed=2) == THETA).any()


# ---------------------------------------------------------------- density


def test_the_density_integrates_to_one() -> None:
    a, b = PRIOR.box
    wide = 0.01 * (b - a)  # the box around it has 1.02^31 = 1.85 times the volume
    x = np.random.default_rng(0).uniform(a - wide, b + wide, size=(20_000, 31))
    log_volume = np.log(b - a + 2 * wide).sum()
    assert np.exp(PRIOR.log_prob(x) + log_volume).mean() == pytest.approx(1, abs=0.02)


def test_the_density_has_the_volume_worked_out_by_hand() -> None:
    cells = 500 * 7.5 * 8 * 60 * 15 * 125 * 0.02 * 0.01  # AB/PD
    cells *= 200 * 2.5 * 10 * 50 * 10 * 125 * 0.06 * 0.03  # LP
    cells *= 600 * 12.5 * 4 * 30 * 5 * 100 * 0.06 * 0.04  # PY
    decades = 6 * 5**6 * np.log(10) ** 7
    assert PRIOR.log_prob(THETA[0]) == pytest.approx(-np.log(cells * decades))


@pytest.mark.parametrize("i", range(31))
def test_the_density_is_zero_outside_in_each_direction(i: int) -> None:
    a, b = PRIOR.box
    x = np.stack([THETA[0]] * 4)
    x[:, i] = a[i], b[i], a[i] - 1e-6, b[i] + 1e-6
    assert PRIOR.log_prob(x) == pytest.approx([LOG_DENSITY, LOG_DENSITY, -np.inf, -np.inf])
    x[0, i] = np.nan
    assert PRIOR.log_prob(x)[0] == -np.inf


def test_the_density_keeps_leading_axes_and_precision() -> None:
    for xp in (np, jnp):
        for dtype in (np.float32, np.float64):
            density = PRIOR.log_prob(xp.asarray(THETA, dtype).reshape(4, 50, 31))
            assert density.shape == (4, 50)
            assert density.dtype == dtype
            np.testing.assert_allclose(density, LOG_DENSITY, rtol=1e-6)


def test_jax_gives_the_same_density_compiled_vectorized_and_differentiated() -> None:
    x = np.concatenate([THETA, THETA + 1])
    want = PRIOR.log_prob(x)
    assert np.isneginf(want[200:]).all()
    for function in (PRIOR.log_prob, jax.jit(PRIOR.log_prob), jax.vmap(PRIOR.log_prob)):
        density = function(jnp.asarray(x))
        assert isinstance(density, jax.Array)
        np.testing.assert_allclose(density, want)
    np.testing.assert_array_equal(jax.grad(PRIOR.log_prob)(jnp.asarray(THETA[0])), 0)


# ---------------------------------------------------------------- coordinates


def test_a_table_is_in_natural_units_and_comes_back() -> None:
    frame = PRIOR.frame(THETA)
    assert tuple(frame.columns) == PARAMETERS
    assert ((frame >= PRIOR.low - 1e-12) & (frame <= PRIOR.high * (1 + 1e-12))).all(axis=None)
    np.testing.assert_array_equal(frame["LP Kd"], THETA[:, PARAMETERS.index("LP Kd")])
    np.testing.assert_allclose(frame["AB-LP"], np.exp(THETA[:, 24]))
    np.testing.assert_allclose(PRIOR.theta(frame), THETA, rtol=1e-12, atol=1e-12)


def test_the_order_of_columns_does_not_matter_and_further_ones_are_left_out() -> None:
    frame = PRIOR.frame(THETA).iloc[:, ::-1].assign(period=1000.0)
    np.testing.assert_allclose(PRIOR.theta(frame), THETA, rtol=1e-12, atol=1e-12)
    assert PRIOR.frame(THETA[3]).equals(PRIOR.frame(THETA[3:4]))


def test_conductances_are_those_of_the_table() -> None:
    g, gs = PRIOR.conductances(THETA)
    assert (g.shape, gs.shape) == ((200, 3, 8), (200, 7))
    frame = PRIOR.frame(THETA)
    np.testing.assert_array_equal(g[:, 1, 5], frame["LP Kd"])
    np.testing.assert_array_equal(gs[:, 4], frame["LP-AB/PD"])
    compiled = jax.jit(PRIOR.conductances)(jnp.asarray(THETA))
    np.testing.assert_allclose(compiled[0], g)
    np.testing.assert_allclose(compiled[1], gs)
    assert [x.shape for x in PRIOR.conductances(THETA[0])] == [(3, 8), (7,)]


# ---------------------------------------------------------------- simulator


SHORT: dict[str, Any] = dict(duration=3500, transient=500, dt=0.25)


@pytest.mark.slow
def test_a_row_depends_on_the_seed_and_on_its_position_only(tmp_path: Path) -> None:
    found = simulator(THETA[:60], 5, tmp_path, **SHORT)  # in as many lanes as 40
    assert found.shape == (60, len(FEATURES))
    assert np.isfinite(found).any(0).sum() > 3, "the runs are too short to tell anything"
    np.testing.assert_array_equal(simulator(THETA[:40], 5, **SHORT), found[:40])
    assert not np.array_equal(simulator(THETA[:40], 6, **SHORT), found[:40], equal_nan=True)


def made_up(rows: pd.DataFrame, **_: Any) -> pd.DataFrame:
    """Results that are not computed."""
    return rows.assign(**dict.fromkeys(FEATURES, rows.index / 2))


def test_a_folder_keeps_the_circuits_in_natural_units_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "features_of", made_up)
    found = simulator(THETA, 5, tmp_path, **SHORT)
    np.testing.assert_array_equal(found, np.repeat(np.arange(200)[:, None] / 2, 15, 1))
    pd.testing.assert_frame_equal(
        batches.load(tmp_path, list(PARAMETERS)), PRIOR.frame(THETA), check_index_type="equiv", check_exact=True
    )
    assert batches.facts_of(tmp_path)["seed"] == 5
    batches.part(tmp_path, 0).unlink()
    np.testing.assert_array_equal(simulator(THETA, 5, tmp_path, **SHORT), found)
    for theta, seed in ((THETA, 6), (THETA[::-1], 5)):
        with pytest.raises(ValueError, match="holds a run with"):
            simulator(theta, seed, tmp_path, **SHORT)


def test_circuits_that_cannot_be_computed_are_no_silent_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(inference, "features_of", fail)
    with (
        pytest.warns(UserWarning, match="no room"),
        pytest.raises(RuntimeError, match="2 of 2 circuits could not be computed"),
    ):
        simulator(THETA[:2], 5, **SHORT)


# ---------------------------------------------------------------- torch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_has_the_same_density(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    box = PRIOR.torch(dtype)
    x = np.concatenate([THETA, THETA + 1, THETA - 1]).astype(dtype)
    density = box.log_prob(torch.tensor(x))
    assert density.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(density.numpy(), PRIOR.log_prob(x), rtol=1e-5)
    assert (box.batch_shape, box.event_shape) == ((), (31,))


def test_draws_of_torch_have_the_density_of_the_prior() -> None:
    torch = pytest.importorskip("torch")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = PRIOR.torch().sample((500,)).numpy()
    np.testing.assert_allclose(PRIOR.log_prob(x), LOG_DENSITY, rtol=1e-6)


def test_without_torch_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # what Python does for a module that must not be imported
    with pytest.raises(ImportError, match=r"pip install 'pyloric-simulator\[sbi\]'"):
        PRIOR.torch()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("n", "seed", "error", "message"),
    [
        (0, 0, ValueError, "n is 0; it must be at least 1"),
        (-3, 0, ValueError, "n is -3"),
        (2.5, 0, TypeError, r"n is 2\.5, a float"),
        (True, 0, TypeError, "n is True, a bool"),
        (1, -1, ValueError, "seed is -1"),
        (1, None, TypeError, "seed is None"),
    ],
)
def test_numbers_of_draws_and_seeds_are_whole(n: Any, seed: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PRIOR.sample(n, seed)


@pytest.mark.parametrize("method", ["log_prob", "frame", "conductances"])
@pytest.mark.parametrize("xp", [np, jnp])
def test_theta_has_31_entries(method: str, xp: Any) -> None:
    for shape in ((), (30,), (31, 2)):
        with pytest.raises(ValueError, match=r"theta has shape .* 31 entries"):
            getattr(PRIOR, method)(xp.zeros(shape))


def test_theta_is_numbers_and_no_table() -> None:
    with pytest.raises(TypeError, match=r"theta is a DataFrame .* Take prior\(\)\.theta"):
        PRIOR.log_prob(PRIOR.frame(THETA))
    with pytest.raises(TypeError, match="must consist of numbers"):
        PRIOR.log_prob(["a"] * 31)
    with pytest.raises(ValueError, match=r"theta has shape \(4, 50, 31\); a table"):
        PRIOR.frame(THETA.reshape(4, 50, 31))


def test_a_strength_in_place_of_its_logarithm_is_noticed() -> None:
    x = THETA[:2].copy()
    x[1, 24] = 9000
    with pytest.raises(ValueError, match=r"theta contains 9000 for 'AB-LP'.* np\.log"):
        PRIOR.conductances(x)


def frame_with(**changes: Any) -> pd.DataFrame:
    """A table of two circuits with some columns replaced."""
    return PRIOR.frame(THETA[:2]).assign(**changes)


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (
            frame_with(**{"PD-LP": [1.0, 0.0]}),
            ValueError,
            "column 'PD-LP' contains 0; .* must be positive. Give",
        ),
        (frame_with(**{"PD-LP": -1.0}), ValueError, "column 'PD-LP' contains -1 nS"),
        (frame_with(**{"LP Na": np.nan}), ValueError, "column 'LP Na' contains nan; .* mS/cm²"),
        (frame_with().drop(columns="PY H"), ValueError, "frame has 0 columns 'PY H'; .* once. Add it"),
        (pd.concat([frame_with()] * 2, axis=1), ValueError, "frame has 2 columns 'AB/PD Na'"),
        (THETA, TypeError, "frame is ndarray; it must be a DataFrame"),
    ],
)
def test_tables_are_complete_and_positive(frame: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PRIOR.theta(frame)


def test_a_membrane_conductance_may_be_zero() -> None:
    assert PRIOR.theta(frame_with(**{"LP CaT": 0.0}))[0, PARAMETERS.index("LP CaT")] == 0


def test_bounds_are_ordered_and_complete() -> None:
    with pytest.raises(ValueError, match="the bounds of 'AB-LP' are 0 and 10000"):
        replace(PRIOR, low=np.zeros(31))
    with pytest.raises(ValueError, match="the bounds of 'AB/PD Na' are 500 and 0"):
        replace(PRIOR, low=PRIOR.high, high=PRIOR.low)
    with pytest.raises(ValueError, match=r"low has shape \(30,\); it must be \(31,\)"):
        Prior(PRIOR.low[:30], PRIOR.high, PRIOR.log)
    with pytest.raises(ValueError, match="high is inf for 'AB/PD Na'; bounds must be finite"):
        replace(PRIOR, high=np.full(31, np.inf))


def test_torch_takes_two_precisions() -> None:
    with pytest.raises(ValueError, match="dtype is 'float16'"):
        PRIOR.torch("float16")


# ---------------------------------------------------------------- the benchmark of Deistler et al.

THEIRS = inference.setting("deistler2022")
IN_MS = prior("mS")


def test_priors_in_both_units_are_one() -> None:
    mine, theirs = PRIOR.sample(50, seed=3), IN_MS.sample(50, seed=3)
    np.testing.assert_allclose(mine[:, SYNAPTIC] - theirs[:, SYNAPTIC], np.log(1e6))
    np.testing.assert_array_equal(mine[:, : len(MEMBRANE)], theirs[:, : len(MEMBRANE)])
    np.testing.assert_allclose(IN_MS.frame(theirs), PRIOR.frame(mine), rtol=1e-12)
    np.testing.assert_allclose(IN_MS.theta(IN_MS.frame(theirs)), theirs, rtol=1e-12)
    np.testing.assert_allclose(IN_MS.conductances(theirs)[1], PRIOR.conductances(mine)[1], rtol=1e-12)
    np.testing.assert_allclose(IN_MS.log_prob(theirs), PRIOR.log_prob(mine))
    assert np.isneginf(IN_MS.log_prob(mine)).all()
    np.testing.assert_allclose(IN_MS.box[0][-1], np.log(1e-8))  # as mackelab writes it
    with pytest.raises(ValueError, match="units is 'uS'"):
        prior("uS")


@pytest.mark.parametrize(
    ("held", "shift", "message"),
    [
        (PRIOR, -np.log(1e6), r"in ln\(mS\), add 13.82 to them, or say units='mS'"),
        (PRIOR, -np.log(1e3), r"in ln\(µS\), add 6.908 to them\."),
        (IN_MS, np.log(1e6), r"in ln\(nS\), add -13.82 to them, or say units='nS'"),
        (IN_MS, np.log(1e3), r"in ln\(µS\), add -6.908 to them\."),
    ],
)
def test_rows_in_another_unit_are_warned_of_in_both_units(held: Prior, shift: float, message: str) -> None:
    theta = held.sample(20, seed=4)
    theta[:, SYNAPTIC] += shift
    with pytest.warns(UserWarning, match=message):
        inference.outside_of_the_prior(theta, held)


def test_their_noise_is_1_nA_at_their_step_and_keeps_its_power_at_any_other() -> None:
    assert THEIRS.noise / np.sqrt(THEIRS.dt) == pytest.approx(1.0)
    draws = {}
    for dt in (0.025, 0.05):
        plan, _, _ = benchmark.plan_of(THEIRS._replace(dt=dt))
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(1), i))(jnp.arange(100))
        draws[dt] = np.asarray(benchmark.noise_of(plan, keys, jnp.int32(7)))
    assert draws[0.025].shape == (41, 3, 100)
    np.testing.assert_allclose([x[:-1].std() * np.sqrt(dt) for dt, x in draws.items()], THEIRS.noise, rtol=0.03)
    few = np.corrcoef(draws[0.05][:-1].reshape(20, -1)), np.corrcoef(draws[0.05].reshape(-1, 100).T)  # steps and rows
    assert [abs(x - np.eye(len(x))).max() < limit for x, limit in zip(few, (0.3, 0.6), strict=True)] == [True, True]


def test_at_283_K_their_circuit_is_ours_but_for_three_constants() -> None:
    circuit, g, gs = benchmark.at_temperature(THEIRS)
    own = database.MODEL.circuit.membranes[0]
    (membrane,) = circuit.membranes
    assert membrane._replace(constants=own.constants) == own
    np.testing.assert_allclose([membrane.constants.γ], 8.31451e3 * 283 / (2 * 96485.3415), rtol=1e-5)
    assert (g == 1).all()
    assert (gs == 1).all()
    _, g, gs = benchmark.at_temperature(THEIRS._replace(temperature=293.0))
    np.testing.assert_allclose(g, 1.5)
    np.testing.assert_allclose(gs, 1.5)


def waves(dt: float) -> pd.DataFrame:
    """Two seconds of slow waves, of which two cells have plateaus and spikes on them, and one has spikes alone."""
    t = dt * np.arange(round(2000 / dt) + 1)
    slow = [np.sin(2 * np.pi * t / 500 + phase) for phase in (0, -1, -2)]
    tall = np.maximum(0, np.sin(2 * np.pi * t / 37)) ** 40
    V = [-50 + 45 * x + 25 * tall * (x > 0) for x in slow[:2]] + [-50 + 70 * tall * (slow[2] > 0)]
    return pd.DataFrame(np.stack(V, 1) + np.random.default_rng(1).normal(0, 0.05, (len(t), 3)), t, ["PD", "LP", "PY"])


def test_statistics_of_blocks_are_those_of_the_slow_version() -> None:
    table = waves(0.1)
    wanted = inference.statistics(table)
    V = jnp.asarray(table.to_numpy())[:, :, None]
    plan = benchmark.plan_of(THEIRS)[0]._replace(dt=0.1, duration=2000.0, transient=0.0, dtype="float64")
    with precision("float64"):
        V, step = jnp.asarray(table.to_numpy())[:, :, None], jax.jit(benchmark.after_block, static_argnums=0)
        watch, groups = benchmark.watch_from(V[0]), benchmark.no_groups(plan, V[0])
        for k in range(0, len(V) - 1, plan.n):
            watch, groups = step(plan, watch, groups, V[1 + k : 1 + k + plan.n], jnp.int32(k))
        end: Any = SimpleNamespace(V=V[-1])
        found = jax.tree.map(np.asarray, benchmark.found_in(plan, end, watch, groups, None))
    np.testing.assert_allclose(benchmark.values_of(found)[0], wanted, rtol=1e-6, atol=2e-4)
    assert wanted["plateau_PD"] > 100
    assert wanted["plateau_PY"] == 2.5
    assert wanted.notna().all()
    assert tuple(found.number[0]) == (4, 4, 4)


def test_statistics_by_hand() -> None:
    PD = benchmark.Train(np.array([0.0, 1000, 2000]), np.array([300.0, 1300, 2100]), 2.5)
    LP = benchmark.Train(np.array([500.0, 1520]), np.array([700.0, 1700]), 8.0)
    PY = benchmark.Train(np.array([600.0, 1620, 1900]), np.array([900.0, 1800, 1950]), 2.5)
    found = dict(zip(inference.STATISTICS, benchmark.in_cycles(PD, LP, PY), strict=True))
    assert found["cycle_period"] == 1000
    assert found["burst_duration_PD"] == pytest.approx(700 / 3)
    assert found["duty_cycle_LP"] == pytest.approx(0.19)
    assert found["plateau_LP"] == 8
    assert np.isnan(found["phase_LPstart"])  # one cycle of two has two bursts of PY, which is more than a tenth
    whole = benchmark.in_cycles(PD, LP, PY._replace(start=PY.start[:2], end=PY.end[:2]))
    found = dict(zip(inference.STATISTICS, whole, strict=True))
    assert found["delay_PDstart_LPstart"] == 510
    assert found["delay_LPstart_PYstart"] == 100
    assert found["gap_PDend_LPstart"] == 210
    assert found["gap_LPend_PYstart"] == -90
    assert found["phase_LPstart"] == pytest.approx(0.51)
    assert found["phase_PYstart"] == pytest.approx(0.61)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (dict(setting=THEIRS, dt=0.05 / 2), ValueError, r"dt is 0.025 beside a setting"),
        (dict(setting="deistler2022"), TypeError, r"it must be a Setting, such as setting\('deistler2022'\)"),
        (dict(setting=THEIRS._replace(temperature=10.0)), ValueError, "temperature is 10 K"),
        (dict(setting=THEIRS._replace(h=2.0)), ValueError, "h is 2"),
        (dict(setting=THEIRS._replace(solver="euler")), ValueError, "solver is 'euler'"),
        (dict(setting=THEIRS._replace(noise=-1.0)), ValueError, "noise is -1"),
    ],
)
def test_settings_that_cannot_be_run_are_refused(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        simulator(THETA[:2], 1, **given)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="deistler2022"):
        inference.setting("deistler")


@pytest.mark.slow
def test_a_row_has_its_own_noise_whatever_stands_beside_it(tmp_path: Path) -> None:
    short = THEIRS._replace(duration=2500.0, transient=500.0, energy=True)
    same = np.repeat(PRIOR.theta(PRIOR.frame(PRIOR.sample(1, seed=2))), 3, axis=0)
    a, again, other = (
        simulator(same, 1, setting=short),
        simulator(same[:2], 1, setting=short),
        simulator(same, 2, setting=short),
    )
    np.testing.assert_array_equal(a[:2], again)
    energies = [x[:, len(inference.STATISTICS)] for x in (a, other)]
    assert len({*energies[0], *energies[1]}) == 6  # rows and calls differ
    in_mS = same.copy()
    in_mS[:, SYNAPTIC] -= np.log(1e6)
    np.testing.assert_allclose(simulator(in_mS, 1, tmp_path / "runs", setting=short, units="mS"), a, rtol=1e-3)


DATA = Path(inference.__file__).parents[1] / "data"


@pytest.mark.parametrize("name", ["theirs", "ours"])
def test_the_shipped_draws_are_of_the_prior_and_their_shares_are_counted(name: str) -> None:
    rows = pd.read_parquet(DATA / f"prior_{name}.parquet")
    said: Any = pd.read_csv(DATA / "prior_shares.csv").set_index("setting").loc[name].to_dict()
    assert len(rows) == said["valid"]
    assert said["low"] < said["valid"] / said["draws"] < said["high"]
    assert np.isfinite(rows[list(inference.STATISTICS + inference.ENERGIES)]).all(axis=None)
    theta = PRIOR.sample(int(rows.index.max()) + 1, int(said["seed"]))
    np.testing.assert_allclose(PRIOR.theta(rows), theta[rows.index], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["theirs", "ours"])
def test_shipped_draws_are_computed_again(name: str) -> None:
    rows = pd.read_parquet(DATA / f"prior_{name}.parquet").iloc[:3]
    said: Any = pd.read_csv(DATA / "prior_shares.csv").set_index("setting").loc[name].to_dict()
    setting = THEIRS._replace(solver=said["solver"], dt=float(said["dt"]), energy=True)
    for (draw, row), seed in zip(rows.iterrows(), rows["seed"], strict=True):
        place = [int(str(draw)) % 1024]
        one = row[list(PARAMETERS)].to_frame().T.astype(float).set_axis(place)
        found = benchmark.measured_rows(one, int(seed), setting, 64)[list(setting.statistics)]
        # The same bits here. Another processor may round otherwise, and rounding θ moves statistics by up to 0.4%.
        np.testing.assert_allclose(found.iloc[0], row[list(setting.statistics)].astype(float), rtol=0.02)
