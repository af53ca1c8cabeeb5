"""Named parameters, soft features, losses and fits."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

from pyloric_simulator import fitting, rhythm
from pyloric_simulator.config import find_circuit
from pyloric_simulator.database import circuit
from pyloric_simulator.fitting import (
    SAMPLING,
    Train,
    box,
    conductance_names,
    criteria_mismatch,
    fifteen,
    fit,
    model_with,
    parameters,
    prediction_error,
    ratio,
    rhythm_mismatch,
    sensitivity,
    soft_bursts,
    soft_features,
    soft_period,
    spike_density,
    trace_mismatch,
    train,
    with_trend,
    with_values,
)
from pyloric_simulator.prinz2004 import Prinz2004, simulate
from pyloric_simulator.seals import is_intact

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


# ---------------------------------------------------------------- names


def test_names_and_values_of_all_numbers(paper):
    found = parameters(paper)
    assert found["AB/PD Na"] == 100
    assert found["PY-LP"] == 30
    assert found["E Na"] == 50
    assert found["E acetylcholine"] == -80
    assert found["C"] == 0.628
    assert found["Na m inf a1"] == 25.5
    assert found["KCa m K"] == 3
    assert "ge" not in found  # one pacemaker cell only


def test_with_values_changes_what_it_names_and_nothing_else(paper):
    new = {"LP Na": 120.0, "PD-LP": 7.0, "E Na": 45.0, "Kd m tau c0": 15.0, "k glutamate": 0.03, "τ_Ca": 300.0}
    changed = paper.params
    other = with_values(changed, new)
    model = model_with(paper, {})
    model.params, model.circuit = other, other.circuit
    before, after = parameters(paper), parameters(model)
    assert {n for n in before if before[n] != after[n]} == set(new)
    assert all(after[n] == x for n, x in new.items())


def test_whole_numbers_leave_the_others_as_they_are(cell):
    changed = parameters(model_with(cell, {"AB/PD 2 KCa": 2}))
    assert changed == parameters(cell) | {"AB/PD 2 KCa": 2}


def test_values_come_by_their_labels_from_a_series_too(cell):
    values = {"AB/PD 2 KCa": 2.0, "E Na": 45.0}
    assert parameters(model_with(cell, pd.Series(values))) == parameters(model_with(cell, values))


def test_unknown_names_are_refused_with_a_hint(paper):
    with pytest.raises(ValueError, match="Did you mean 'LP Na'"):
        with_values(paper.params, {"LP Naa": 1.0})


# ---------------------------------------------------------------- soft features


def test_spikes_are_those_of_the_rhythm_chapter(recording):
    for i, expected in enumerate(rhythm.spike_trains(recording).values()):
        found = train(jnp.asarray(recording.t), jnp.asarray(recording.states.V[:, i]))
        np.testing.assert_allclose(found.times[found.real], expected, rtol=0, atol=1e-9)


def test_spikes_of_a_trace_with_close_maxima_are_those_of_the_rhythm_chapter():
    """A run has no noise, but it may have a second, lower maximum within the refractory time."""
    t = np.arange(0, 400, 0.1)
    V = -60 + sum(h * np.exp(-(((t - x) / 0.2) ** 2)) for k in range(9) for x, h in ((20 + 40.03 * k, 90), (20.7 + 40.03 * k, 80)))
    found = train(jnp.asarray(t), jnp.asarray(V))
    assert int(found.real.sum()) == 9
    np.testing.assert_allclose(found.times[found.real], rhythm.spikes(t, V), rtol=0, atol=1e-9)
    assert bool((jnp.diff(found.times) >= 0).all())
    assert int(found.lost) == 0


@pytest.mark.slow
def test_features_are_undefined_if_there_are_too_many_spikes(monkeypatch):
    monkeypatch.setattr(fitting, "MAX_SPIKES", 20)
    t = np.arange(0, 4000, 0.5)
    tonic, silent = 40 * np.sin(t), np.full(len(t), -60.0)
    found = soft_features(t, np.stack([tonic, silent], 1))
    assert np.isnan(found.rate[0])
    assert found.rate[1] == 0


@pytest.mark.slow
def test_the_derivative_of_a_spike_time_is_that_of_the_spike():
    """A spike that is shifted moves by the shift, wherever it lies between the samples; the top of a parabola does not."""
    t = jnp.arange(0.0, 30.0, 0.1)

    def spiking(shift):  # 1 ms wide, steeper before its top than after it
        x = t - 15 - shift
        return 100 * jnp.exp(-(x**2) / jnp.where(x < 0, 0.3, 0.8)) - 60

    shifts = jnp.linspace(0.0, 0.1, 11)
    slopes = jax.vmap(jax.grad(lambda shift: train(t, spiking(shift)).times[0]))(shifts)
    np.testing.assert_allclose(slopes, 1, rtol=5e-3)

    def parabola(shift):
        V = spiking(shift)
        i = jnp.argmax(V)
        a, b, c = V[i - 1], V[i], V[i + 1]
        return t[i] + 0.1 * (a - c) / (a - 2 * b + c) / 2

    assert np.abs(np.asarray(jax.vmap(jax.grad(parabola))(shifts)) - 1).max() > 0.05
    np.testing.assert_allclose(jax.vmap(lambda s: train(t, spiking(s)).times[0])(shifts), jax.vmap(parabola)(shifts), atol=1e-12)


def test_soft_features_become_those_of_the_rhythm_chapter_as_the_temperature_falls(recording):
    hard = rhythm.summary(recording)
    soft = jax.jit(soft_features)
    errors = []
    for temperature in (20.0, 5.0, 0.01):
        found = soft(jnp.asarray(recording.t), jnp.asarray(recording.states.V), temperature)
        columns = {"period": "period (ms)", "burst": "burst (ms)", "duty_cycle": "duty cycle", "phase": "phase", "bursts": "bursts"}
        errors.append({f: np.abs(np.asarray(getattr(found, f)) - hard[c].to_numpy()) / hard[c].max() for f, c in columns.items()})
    for f in errors[0]:
        assert errors[2][f].max() < 1e-9, f
    assert (errors[1]["period"][:2] < 1e-6).all()  # PY has silences near the limit; the others are clear
    assert errors[0]["period"].max() > errors[1]["period"].max() > errors[2]["period"].max()


def test_soft_periods_equal_hard_ones_on_random_trains():
    rng, window, size = np.random.default_rng(3), (0.0, 5000.0), 128
    compared, soft = 0, jax.jit(lambda x: (b := soft_bursts(x, window, 1e-3), soft_period(b)))
    for _ in range(100):
        gaps = rng.choice([8.0, 30.0, 90.0, 230.0, 400.0], 90, p=[0.3, 0.3, 0.25, 0.1, 0.05]) * rng.uniform(0.9, 1.1, 90)
        x = np.cumsum(gaps)
        x = x[x < window[1]]
        padded = Train(jnp.asarray(np.pad(x, (0, size - len(x)), constant_values=window[1])), jnp.arange(size) < len(x), 0)
        b, period = soft(padded)
        begun = rhythm.begun(rhythm.bursts(x), window)
        whole = rhythm.whole(begun, window)
        assert float(b.weight.sum()) == pytest.approx(len(begun), abs=1e-9)
        assert float((b.whole * b.duration).sum()) == pytest.approx((whole[:, 1] - whole[:, 0]).sum(), abs=1e-6)
        if len(begun) > 1:
            compared += 1
            assert float(period) == pytest.approx(np.diff(begun[:, 0]).mean(), rel=1e-9)
    assert compared > 50


@pytest.mark.slow
@pytest.mark.parametrize("V", [-60.0, 0.0])
def test_a_silent_cell_has_undefined_features_without_undefined_derivatives(V):
    t = jnp.arange(0.0, 500.0, 0.5)
    trace = jnp.full((len(t), 2), V)
    assert bool(jnp.isnan(soft_features(t, trace).period).all())
    f = lambda V: jax.tree.reduce(jnp.add, jax.tree.map(lambda x: jnp.nan_to_num(x).sum(), soft_features(t, V)))  # noqa: E731
    assert bool(jnp.isfinite(jax.jit(jax.grad(f))(trace)).all())


def test_the_fifteen_features_are_those_of_a_regular_rhythm():
    """Bursts of known phases: the smooth formulas give what `rhythm.features` gives."""
    P = 1000.0
    bursts_of = {"AB/PD": (0.0, 300.0), "LP": (450.0, 250.0), "PY": (680.0, 280.0)}
    trains = {
        c: np.concatenate([k * P + 500 + start + np.linspace(0, long, 8) for k in range(8)]) for c, (start, long) in bursts_of.items()
    }
    hard = rhythm.features(trains, window=(0.0, 9000.0))
    packed = [Train(jnp.asarray(np.pad(x, (0, 4), constant_values=9000.0)), jnp.arange(len(x) + 4) < len(x), 0) for x in trains.values()]
    b = [soft_bursts(x, (0.0, 9000.0), 0.01) for x in packed]
    f = fitting.Features(
        *(
            jnp.stack(x)
            for x in (
                [soft_period(x) for x in b],
                [ratio((x.whole * x.duration).sum(), x.whole.sum()) for x in b],
                [jnp.zeros(())] * 3,
                [fitting.soft_phase(x, b[0]) for x in b],
                [jnp.zeros(())] * 3,
                [jnp.zeros(())] * 3,
            )
        )
    )
    for name, x in fifteen(f, (0, 1, 2)).items():
        if not name.startswith("duty"):
            assert float(x) == pytest.approx(float(hard[name]), abs=1e-6 * max(1, abs(float(hard[name])))), name


def test_spike_density_counts_spikes(recording):
    density = spike_density(recording.t, jnp.asarray(recording.states.V), 20.0)
    counted = np.asarray(density.sum(0)) * 0.25 / 1000
    expected = [len(x) for x in recording.spike_times().values()]
    np.testing.assert_allclose(counted, expected, rtol=0.02, atol=1)


# ---------------------------------------------------------------- losses and fits


@pytest.mark.slow
def test_conductances_are_recovered_from_a_voltage_recording(cell, tmp_path):
    """Starts 50% off, found to 2%; interrupted and resumed, the same numbers."""
    truth = cell(np.arange(0, 800, 0.25))
    names = ["AB/PD 2 Na", "AB/PD 2 CaS", "AB/PD 2 Kd"]
    true = np.array([parameters(cell)[n] for n in names])
    start = model_with(cell, dict(zip(names, true * [1.5, 0.5, 1.5], strict=True)))
    loss = prediction_error(start, truth, K=5.0, state=cell.get_thermalization())
    options = {"optimizer": optax.adam(optax.cosine_decay_schedule(0.1, 40)), "patience": None, "progress": False}
    file = tmp_path / "fit.npz"
    fit(start, loss, names, steps=15, checkpoint=file, **options)
    found = fit(start, loss, names, steps=40, checkpoint=file, **options)
    np.testing.assert_allclose(found.values, true, rtol=0.02)
    assert len(found.history) == 40
    assert found.loss == found.history["loss"].min() < 0.01
    assert parameters(found.model)["AB/PD 2 Na"] == found.values["AB/PD 2 Na"]
    with pytest.raises(ValueError, match="belongs to a fit with other"):
        fit(start, loss, names, steps=40, seed=1, checkpoint=file, **options)


def simple():
    """A loss without a simulation: the squared distance of two conductances from 120 and 40."""

    def loss(params):
        return (jnp.log(params.g[0, 0] / 120.0) ** 2) + jnp.log(params.g[0, 3] / 40.0) ** 2

    return loss, ["AB/PD 2 Na", "AB/PD 2 A"]


@pytest.mark.parametrize("optimizer", [None, optax.sgd(0.02), optax.rmsprop(0.02), optax.lbfgs()])
def test_any_optimizer_finds_the_minimum_from_many_starts(cell, optimizer):
    loss, names = simple()
    found = fit(cell, loss, names, optimizer=optimizer, starts=4, steps=200, goal=1e-7, progress=False, seed=3)
    np.testing.assert_allclose(found.values, [120, 40], rtol=1e-2)
    assert found.history.index.get_level_values("start").nunique() == 4
    assert len(found.failed) == 0


def test_a_seed_makes_it_reproducible_and_patience_ends_it(cell):
    loss, names = simple()
    a, b = (fit(cell, loss, names, starts=3, steps=300, patience=5, progress=False, seed=7) for _ in range(2))
    pd.testing.assert_frame_equal(a.history, b.history)
    assert a.stopped == "patience"
    c = fit(cell, loss, names, starts=3, steps=5, progress=False, seed=8)
    assert not np.allclose(a.history["loss"].iloc[1], c.history["loss"].iloc[1])


def resumed(cell, file, loss=None, **changes):
    """A fit of the simple loss, or another, with a checkpoint."""
    simple_loss, names = simple()
    options = {"parameters": names, "starts": 2, "steps": 6, "patience": None, "progress": False, "checkpoint": file} | changes
    return fit(options.pop("model", cell), loss or simple_loss, **options)


def scaled(params):
    """The simple loss, ten times as large."""
    return 10 * simple()[0](params)


def elsewhere(params):
    """The simple loss, twice as large on one side of the model's own start, where it is the same."""
    return jnp.where(params.g[0, 0] > 105, 2.0, 1.0) * simple()[0](params)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": scaled}, "other loss, data or optimizer"),
        ({"loss": elsewhere}, "other loss, data or optimizer"),
        ({"optimizer": optax.adam(0.02)}, "other loss, data or optimizer"),
        ({"optimizer": optax.sgd(0.02)}, "other parameters"),
        ({"seed": 1}, "other parameters"),
        ({"starts": 3}, "other parameters"),
        ({"starts": np.array([[100.0, 50.0], [110.0, 60.0]])}, "other parameters"),
        ({"parameters": ["AB/PD 2 A", "AB/PD 2 Na"]}, "other parameters"),
        ({"bounds": {"AB/PD 2 Na": (50, 200)}}, "other parameters"),
        ({"clip": 0.5}, "other parameters"),
        ({"width": 0.1}, "other parameters"),
    ],
)
def test_a_checkpoint_belongs_to_one_fit(cell, tmp_path, changes, words):
    file = tmp_path / "fit.npz"
    before = resumed(cell, file, steps=3)
    data = file.read_bytes()
    with pytest.raises(ValueError, match=f"fit.npz belongs to a fit with {words}.* delete this one"):
        resumed(cell, file, **changes)
    assert file.read_bytes() == data
    found = resumed(cell, file)
    pd.testing.assert_frame_equal(found.history[:6], before.history)
    pd.testing.assert_frame_equal(found.history, resumed(cell, None).history)


def test_a_checkpoint_belongs_to_the_other_numbers_of_its_model(cell, tmp_path):
    file = tmp_path / "fit.npz"
    resumed(cell, file, steps=3)
    with pytest.raises(ValueError, match="numbers of the model"):
        resumed(cell, file, model=model_with(cell, {"AB/PD 2 Kd": 70.0}))


def test_no_flipped_bit_of_a_checkpoint_is_believed(cell, tmp_path):
    file = tmp_path / "fit.npz"
    resumed(cell, file, steps=3)
    data = file.read_bytes()
    for bit in np.linspace(0, 8 * len(data) - 1, 200).astype(int):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert not is_intact(bytes(changed))
    for spoilt in (b"", b"PK", data[:-1], b"no checkpoint", data[: len(data) // 2]):
        file.write_bytes(spoilt)
        with pytest.raises(ValueError, match=r"no checkpoint of this version, or it is damaged.* Delete it") as caught:
            resumed(cell, file)
        assert "pickle" not in str(caught.value)


@pytest.mark.parametrize(
    ("checkpoint", "error", "words"),
    [("", TypeError, "path of a file"), (True, TypeError, "path of a file"), (3, TypeError, "path of a file"),
     (".", ValueError, "is a folder"), ("missing/fit.npz", ValueError, "which is no folder")],
)  # fmt: skip
def test_refusals_of_checkpoints(cell, checkpoint, error, words):
    with pytest.raises(error, match=words):
        resumed(cell, checkpoint)


class KilledError(BaseException):
    """What a killed process does: nothing more."""


def test_a_fit_killed_at_any_step_of_its_writing_goes_on(cell, tmp_path):
    want = resumed(cell, None).history
    for step in range(100):
        file, done = tmp_path / f"{step}.npz", []
        real = {"fsync": os.fsync} | {name: getattr(Path, name) for name in ("replace", "unlink")}

        def dying(name, step=step, done=done, real=real):
            def change(target, *arguments, **options):
                done.append(name)
                if len(done) == step + 1 and name == "fsync":
                    os.ftruncate(target, os.fstat(target).st_size // 2)
                if len(done) > step:
                    raise KilledError
                return real[name](target, *arguments, **options)

            return change

        with pytest.MonkeyPatch.context() as patch:
            for name in real:
                patch.setattr(os if name == "fsync" else Path, name, dying(name))
            try:
                resumed(cell, file)
            except KilledError:
                pass
            else:
                break
        pd.testing.assert_frame_equal(resumed(cell, file).history, want)
        assert [x.name for x in tmp_path.glob(f".{step}.npz*")] == []
    assert step >= 12


def test_a_start_that_turns_non_finite_is_set_aside_and_reported(cell):
    def loss(params):
        return jnp.where(params.g[0, 0] > 150, jnp.nan, (params.g[0, 0] - 60.0) ** 2)

    starts = pd.DataFrame({"AB/PD 2 Na": [100.0, 200.0]})
    found = fit(cell, loss, ["AB/PD 2 Na"], starts=starts, steps=60, progress=False)
    assert found.values["AB/PD 2 Na"] == pytest.approx(60, rel=1e-2)
    assert list(found.failed.index) == [1]
    assert found.failed["AB/PD 2 Na"].iloc[0] == pytest.approx(200)


def test_values_stay_in_their_bounds(cell):
    loss, names = simple()
    found = fit(cell, loss, names, bounds={"AB/PD 2 Na": (50, 110)}, steps=100, progress=False)
    assert found.values["AB/PD 2 Na"] == pytest.approx(110)
    assert found.history["AB/PD 2 Na"].between(50, 110 * (1 + 1e-12)).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"parameters": ["AB/PD 2 K"]}, ValueError, "Did you mean"),
        ({"parameters": []}, ValueError, "no parameters"),
        ({"parameters": ["AB/PD 2 Na", "AB/PD 2 Na"]}, ValueError, "twice"),
        ({"parameters": ["AB/PD 2 leak"]}, ValueError, "logarithmic"),
        ({"bounds": {"AB/PD 2 Na": (10, 50)}}, ValueError, "outside its bounds"),
        ({"bounds": {"AB/PD 2 Na": (300, 50)}}, ValueError, "must be less"),
        ({"bounds": {"LP Na": (10, 50)}}, ValueError, "no parameter 'LP Na'"),
        ({"optimizer": "adam"}, TypeError, "optax"),
        ({"starts": 0}, ValueError, "starts"),
        ({"starts": np.array([[1e5, 50.0]])}, ValueError, "outside its bounds"),
        ({"steps": 0}, ValueError, "steps"),
        ({"loss": lambda p: p.g[0]}, ValueError, "must be a scalar"),
        ({"loss": lambda p: p.g[0, 0] * jnp.nan}, ValueError, "at the start"),
    ],
)
def test_refusals_of_fits(cell, change, error, words):
    loss, names = simple()
    arguments = {"loss": loss, "parameters": names, "progress": False} | change
    with pytest.raises(error, match=words):
        fit(cell, **arguments)


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


def test_the_box_is_logarithmic_for_conductances_and_linear_otherwise(cell):
    space = box(cell, ["AB/PD 2 Na", "E Na"], {"E Na": (40, 60)})
    np.testing.assert_allclose(space.natural(jnp.asarray([0.5, 0.5])), [100, 50])
    np.testing.assert_allclose(space.inside(np.asarray(space.natural(jnp.asarray([0.2, 0.7])))), [0.2, 0.7])


# ---------------------------------------------------------------- rhythms


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


def test_the_trend_of_a_smooth_function_is_its_derivative_and_of_a_rough_one_its_slope():
    x = jnp.array([0.3, 0.7])
    smooth = lambda x: (x**3).sum()  # noqa: E731
    np.testing.assert_allclose(jax.grad(with_trend(smooth, 1e-4))(x), jax.grad(smooth)(x), rtol=1e-6)
    saw = lambda x: (2 * jnp.floor(50 * x) / 50 - x).sum()  # noqa: E731  rises by 1, but its derivative is −1
    assert (jax.grad(saw)(x) == -1).all()
    np.testing.assert_allclose(jax.grad(with_trend(saw, 0.1))(x), 1, rtol=1e-9)
    assert float(with_trend(saw, 0.1)(x)) == float(saw(x))


@pytest.mark.slow
def test_a_tonic_cell_becomes_a_burster(cell):
    tonic, t = model_with(cell, {"AB/PD 2 KCa": 2}), np.arange(2000, 6000, SAMPLING)
    names = [f"AB/PD 2 {x}" for x in ("KCa", "A", "CaS", "H")]
    loss = rhythm_mismatch(tonic, t, period=1200, duty_cycle=0.25)
    assert rhythm.summary(tonic(np.arange(2000, 8000, 0.25))).activity.iloc[0] == "tonic"
    bursting = fit(tonic, loss, names, steps=20, goal=1.0, progress=False)
    found = fit(bursting.model, loss, names, optimizer=optax.adam(0.01), width=0.02, steps=60, patience=None, goal=1e-3, progress=False)
    assert found.stopped == "goal"
    result = rhythm.summary(found.model(np.arange(2000, 12000, 0.25))).iloc[0]
    assert result["period (ms)"] == pytest.approx(1200, rel=0.05)
    assert result["duty cycle"] == pytest.approx(0.25, rel=0.05)


@pytest.mark.slow
def test_a_circuit_becomes_pyloric():
    model, t = circuit(5_356_279), np.arange(2000, 7000, SAMPLING)
    names = [n for n in conductance_names(model) if "-" in n] + ["PY A", "PY Kd", "LP A", "LP Kd"]
    long = np.arange(3000, 13000, 0.25)
    assert not rhythm.is_pyloric(model(long))
    loss = criteria_mismatch(model, t, margin=0.5)
    found = fit(model, loss, names, optimizer=optax.adam(0.02), width=0.03, steps=40, patience=None, goal=0.006, progress=False)
    assert found.stopped == "goal"
    assert rhythm.is_pyloric(found.model(long))
    assert rhythm.report(found.model(long))["passes"].all()
