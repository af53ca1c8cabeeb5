"""Fits: numbers found again, starts, bounds and checkpoints. The chapter asserts what fits of a pacemaker and of a circuit find."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from networks import LIU, mixed

from pyloric_simulator.files.seals import is_intact
from pyloric_simulator.fitting.fit import box, fit, with_trend
from pyloric_simulator.fitting.losses import prediction_error
from pyloric_simulator.fitting.parameters import model_with, parameters
from pyloric_simulator.prinz2004 import Prinz2004


@pytest.fixture(scope="module")
def cell():
    return Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)


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
    options = {
        "parameters": names,
        "starts": 2,
        "steps": 6,
        "patience": None,
        "progress": False,
        "checkpoint": file,
    } | changes
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


def test_the_box_is_logarithmic_for_conductances_and_linear_otherwise(cell):
    space = box(cell, ["AB/PD 2 Na", "E Na"], {"E Na": (40, 60)})
    np.testing.assert_allclose(space.natural(jnp.asarray([0.5, 0.5])), [100, 50])
    np.testing.assert_allclose(space.inside(np.asarray(space.natural(jnp.asarray([0.2, 0.7])))), [0.2, 0.7])


def test_the_trend_of_a_smooth_function_is_its_derivative_and_of_a_rough_one_its_slope():
    x = jnp.array([0.3, 0.7])
    smooth = lambda x: (x**3).sum()  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.grad(with_trend(smooth, 1e-4)))(x), jax.jit(jax.grad(smooth))(x), rtol=1e-6)
    saw = lambda x: (2 * jnp.floor(50 * x) / 50 - x).sum()  # noqa: E731  rises by 1, but its derivative is −1
    assert (np.asarray(jax.jit(jax.grad(saw))(x)) == -1).all()
    np.testing.assert_allclose(jax.jit(jax.grad(with_trend(saw, 0.1)))(x), 1, rtol=1e-9)
    assert float(jax.jit(with_trend(saw, 0.1))(x)) == float(jax.jit(saw)(x))


# ---------------------------------------------------------------- cells of one's own, networks


@pytest.mark.slow
def test_a_conductance_of_a_liu_cell_is_found_again():
    """From 60 ms of its potential, with one spike, from a start that is half again too large; each step is recorded."""
    loss = prediction_error(LIU, LIU(np.arange(0, 60, 0.05)))
    wrong = model_with(LIU, {"cell CaS": 6})
    adam = optax.adam(optax.cosine_decay_schedule(0.1, 40))
    found = fit(wrong, loss, ["cell CaS"], optimizer=adam, steps=40, patience=None, progress=False)
    assert found.values["cell CaS"] == pytest.approx(4, rel=0.01)
    assert found.loss == found.history["loss"].min()
    assert parameters(found.model)["cell CaS"] == found.values["cell CaS"]
    assert found.model.made_of["cell"].g[2] == found.values["cell CaS"]


def test_numbers_of_a_network_are_found_from_many_starts(tmp_path):
    """A loss without a simulation: each number from its own place in the parameters; gone on with from a file."""
    network, wanted = (
        mixed(),
        {"slow-axon": 14.0, "axon-slow own": 11.0, "axon=slow ge": 7.0, "axon: Na m α c": 1.3, "E own": 0.8},
    )

    def loss(p):
        rate = p.circuit.membranes[0].channels[0].m.tau.α.c
        found = (p.gs[1], p.gz[0], p.ge[0], rate, p.circuit.kinds[0].E)
        return sum((a / b - 1) ** 2 for a, b in zip(found, wanted.values(), strict=True))

    options = {
        "bounds": {"E own": (-2, 2)},
        "starts": 3,
        "optimizer": optax.adam(0.05),
        "goal": 1e-8,
        "patience": None,
        "progress": False,
    }
    fit(network, loss, list(wanted), steps=5, checkpoint=tmp_path / "fit.npz", **options)
    found = fit(network, loss, list(wanted), steps=400, checkpoint=tmp_path / "fit.npz", **options)
    assert dict(found.values) == pytest.approx(wanted, rel=1e-2)
    with pytest.raises(ValueError, match="numbers of the model"):
        fit(model_with(network, {"k glutamate": 0.03}), loss, list(wanted), checkpoint=tmp_path / "fit.npz", **options)
