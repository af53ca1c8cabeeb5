"""Minimally disruptive curves: valleys whose shape is known, closed forms of the swing, refusals; and a cell that keeps its calcium."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator.fitting.adjoint import simulate_with_adjoint
from pyloric_simulator.fitting.curves import MinimallyDisruptiveCurve, flattest, minimally_disruptive_curve, smoothed
from pyloric_simulator.fitting.parameters import parameters, with_values
from pyloric_simulator.models.networks import Cell, GapJunction, Network
from pyloric_simulator.prinz2004 import Channel, Prinz2004, neuron_models, simulate
from pyloric_simulator.rhythm import bursts

ONES = {"a": 1.0, "b": 1.0}
Values = Mapping[str, Any]


def logs(curve: MinimallyDisruptiveCurve) -> np.ndarray:
    """Natural logarithms of the parameters, (step, parameter)."""
    return np.log(curve.table.drop(columns="loss").to_numpy())


def check_bound_and_speed(curve: MinimallyDisruptiveCurve) -> None:
    """The loss is below the momentum, each step is as long as it should be, and the start is part of the curve."""
    assert (curve.table["loss"] < curve.momentum).all()
    np.testing.assert_allclose(np.linalg.norm(np.diff(logs(curve), axis=0), axis=1), curve.step, rtol=1e-9)
    np.testing.assert_allclose(np.diff(curve.table.index), curve.step, rtol=1e-9)
    assert 0 in curve.table.index


# ------------------------------------------------------------------------- valleys


def straight(g: Values) -> Any:
    """A straight valley: only a b² matters."""
    return (jnp.log(g["a"]) + 2 * jnp.log(g["b"])) ** 2


def test_along_a_straight_valley_the_curve_is_straight() -> None:
    start = {"a": 3.0, "b": 1 / np.sqrt(3)}
    curve = minimally_disruptive_curve(straight, start, 0, 2, momentum=0.1)
    check_bound_and_speed(curve)
    s = curve.table.index.to_numpy()
    np.testing.assert_allclose(
        logs(curve) - np.log(list(start.values())), s[:, None] * np.array([2, -1]) / np.sqrt(5), atol=1e-9
    )
    np.testing.assert_allclose(s, -s[::-1])
    assert s[-1] == pytest.approx(2)
    assert curve.table["loss"].max() < 1e-15


def test_hyperbola_of_a_product_is_followed() -> None:
    curve = minimally_disruptive_curve(
        lambda g: (g["a"] * g["b"] - 1) ** 2, {"a": 2, "b": 0.5}, {"a": 1, "b": -1}, 1.5, momentum=0.01
    )
    check_bound_and_speed(curve)
    np.testing.assert_allclose(curve.table["a"] * curve.table["b"], 1, rtol=1e-9)
    assert curve.folds["a"].iloc[-1] == pytest.approx(np.exp(1.5 / np.sqrt(2)))


def of_sum(g: Values) -> Any:
    """A bent valley: only a + b matters."""
    return jnp.log((g["a"] + g["b"]) / 2) ** 2 / 2


@pytest.fixture(scope="module")
def bent() -> Callable[[float], MinimallyDisruptiveCurve]:
    """The curve along the bent valley with a momentum."""
    return cache(lambda H: minimally_disruptive_curve(of_sum, ONES, {"a": 1, "b": -1}, 3, momentum=H))


def test_bent_valley_is_followed_in_both_senses(bent: Any) -> None:
    curve = bent(0.005)
    check_bound_and_speed(curve)
    np.testing.assert_allclose(curve.table["a"] + curve.table["b"], 2, atol=0.02)
    assert curve.table.index[[0, -1]].tolist() == pytest.approx([-3, 3])
    assert curve.folds.iloc[-1].tolist() == pytest.approx([2, 0.06], rel=0.05)  # one has taken over
    mirrored = curve.table.iloc[::-1].rename(columns={"a": "b", "b": "a"})[["a", "b", "loss"]]
    np.testing.assert_allclose(curve.table, mirrored, rtol=1e-9, atol=1e-15)


def test_loss_in_a_bend_goes_with_the_square_of_the_momentum(bent: Any) -> None:
    """{eq}`eq-bend`: H²/(2 k R²), with 1/R = 1/√2 and k = 1/2 at the start, and twice the height at the top of a swing."""
    for H in (5e-3, 5e-4):
        loss = bent(H).table["loss"].max()
        floor = H**2 / 2
        assert floor < loss < 4.5 * floor


@pytest.mark.parametrize("φ", [0.05, 0.3])
def test_swing_across_a_straight_valley_has_the_closed_form(φ: float) -> None:
    """The momentum along the valley is kept: the loss rises to H (1 − cos φ). Small swings last π √(H/k)."""
    H, k = 0.02, 5.0
    curve = minimally_disruptive_curve(
        lambda g: k / 2 * jnp.log(g["b"]) ** 2,
        ONES,
        {"a": np.cos(φ), "b": np.sin(φ)},
        2,
        momentum=H,
        both=False,
        step=0.002,
    )
    check_bound_and_speed(curve)
    assert curve.table.index[0] == 0
    assert curve.table["loss"].max() == pytest.approx(H * (1 - np.cos(φ)), rel=1e-3)
    y = np.log(curve.table["b"].to_numpy())
    crossings = curve.table.index[1:][np.diff(np.sign(y)) != 0][1:]
    assert np.diff(crossings).mean() == pytest.approx(np.pi * np.sqrt(H / k), rel=0.01 + φ**2 / 4)


def test_steps_are_second_order() -> None:
    def end(step: float) -> Any:
        return minimally_disruptive_curve(
            of_sum, ONES, {"a": 1, "b": -1}, 1, momentum=0.005, both=False, step=step
        ).table.iloc[-1]

    exact = end(1 / 1600)
    coarse, fine = (np.linalg.norm(end(h) - exact) for h in (1 / 50, 1 / 100))
    assert np.log2(coarse / fine) == pytest.approx(2, abs=0.1)


def test_where_every_direction_rises_the_curve_ends_at_the_bound() -> None:
    bowl = lambda g: 2 * (jnp.log(g["a"]) ** 2 + jnp.log(g["b"]) ** 2)  # noqa: E731
    curve = minimally_disruptive_curve(bowl, ONES, [3, 4], 5, momentum=0.5)
    check_bound_and_speed(curve)
    assert curve.table.index[-1] == pytest.approx(0.5, abs=1.1 * curve.step)
    np.testing.assert_allclose(logs(curve)[-1], curve.table.index[-1] * np.array([0.6, 0.8]))


def test_round_a_circle_the_curve_ends_on_the_far_side() -> None:
    circle = lambda g: (jnp.hypot(jnp.log(g["a"]), jnp.log(g["b"]) - 1) - 1) ** 2 / 2  # noqa: E731
    curve = minimally_disruptive_curve(circle, ONES, {"a": 1}, 6, momentum=0.01)
    check_bound_and_speed(curve)
    assert curve.table.index[-1] == pytest.approx(np.pi, abs=0.15)
    distance = np.linalg.norm(logs(curve), axis=1)
    assert distance[-1] == pytest.approx(2, abs=0.03)
    assert (np.diff(distance[curve.table.index >= 0]) > 0).all()


# ------------------------------------------------------------------------- directions


def test_flattest_directions_are_the_eigenvectors() -> None:
    names, curvatures = ("a", "b", "c", "d"), np.array([0.01, 0.5, 3, 20])
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    start = dict(zip(names, (0.1, 1.0, 30, 4), strict=True))
    θ0 = np.log(list(start.values()))

    def loss(g: Values) -> Any:
        return (
            curvatures * (jnp.asarray(vectors) @ (jnp.log(jnp.stack([jnp.asarray(g[n]) for n in names])) - θ0)) ** 2
        ).sum() / 2

    found = flattest(loss, start)
    np.testing.assert_allclose(found.curvatures, curvatures, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(abs((found.vectors.to_numpy() * vectors).sum(1)), 1, rtol=1e-9)
    assert list(found.vectors) == list(names)
    two = flattest(loss, start, 2)
    pd.testing.assert_frame_equal(two.vectors, found.vectors[:2])
    by_number, by_array = (
        minimally_disruptive_curve(loss, start, d, 0.2, momentum=0.1, both=False).table
        for d in (1, 7 * two.vectors.loc[1].to_numpy())
    )
    pd.testing.assert_frame_equal(by_number, by_array)


@pytest.mark.slow
def test_hessian_through_the_adjoint_is_that_of_gauss_and_newton() -> None:
    cell = Prinz2004({"LP 4": 1}, gs={}, ge=0)
    start, t = {"LP 4 Kd": 25.0, "LP 4 A": 20.0}, np.arange(0, 20.5, 0.5)

    def mean(run: Any) -> Callable[[Values], Any]:
        return lambda g: run(with_values(cell.params, g), cell.cold, t).V.mean()

    forward = mean(simulate)
    target, slopes = jax.jit(lambda g: (forward(g), jax.jacfwd(forward)(g)))(start)
    slopes = np.array([slopes[name] * g for name, g in start.items()])
    adjoint = mean(simulate_with_adjoint)
    found = flattest(lambda g: (adjoint(g) - target) ** 2 / 2, start)
    assert found.curvatures[1] == pytest.approx(slopes @ slopes, rel=1e-3)
    assert abs(found.curvatures[0]) < 0.01 * found.curvatures[1]
    np.testing.assert_allclose(abs(found.vectors.loc[1] @ slopes), np.linalg.norm(slopes), rtol=1e-3)


@pytest.mark.slow
def test_two_channels_of_a_network_that_do_the_same_take_over_from_each_other() -> None:
    """Two channels without gates have one reversal potential, so that only the sum of their conductances counts."""
    one, two = (Channel(name, -60)(0.1) for name in ("one", "two"))
    other = Channel("leak", -50)(0.2)
    network = Network({"a": Cell([one, two], V=-40), "b": Cell([other], V=-70)}, [GapJunction("a", "b", 20)])
    t = np.arange(0, 4.5, 0.5)

    def potentials(g: Values) -> Any:
        return simulate_with_adjoint(with_values(network.params, g), network.cold, t).V

    recorded = np.asarray(jax.jit(potentials)(parameters(network)))

    def loss(g: Values) -> Any:
        return ((potentials(g) - recorded) ** 2).mean()

    start = {"a one": 0.1, "a two": 0.1, "a=b ge": 20.0}
    curve = minimally_disruptive_curve(loss, start, 0, 0.5, momentum=0.02)
    check_bound_and_speed(curve)
    np.testing.assert_allclose(curve.table["a one"] + curve.table["a two"], 0.2, rtol=0.02)
    assert curve.folds["a one"].max() > 1.3


# ------------------------------------------------------------------------- teeth


def test_smoothing_a_sawtooth_leaves_its_trend() -> None:
    """Teeth of 1% on a slope of 2, with the derivative −1 almost everywhere."""
    saw = lambda g: 3 * jnp.floor(jnp.log(g["a"]) * 100) / 100 - jnp.log(g["a"])  # noqa: E731
    exact, trend = (
        jax.jit(jax.vmap(jax.grad(lambda x, f=f: f({"a": jnp.exp(x)}))))(np.linspace(0.003, 1, 50))
        for f in (saw, smoothed(saw, 0.1))
    )
    np.testing.assert_allclose(exact, -1, rtol=1e-9)
    np.testing.assert_allclose(trend, 2, atol=0.2)


def test_smoothing_keeps_what_is_smooth_and_differentiates_both_ways() -> None:
    def f(g: Values) -> Any:
        return jnp.stack([2 * jnp.log(g["a"]) - jnp.log(g["b"]), jnp.log(g["b"])])

    F = smoothed(f, 0.2)
    g = {"a": 2.0, "b": 3.0}
    np.testing.assert_allclose(F(g), f(g), rtol=1e-12)
    for jacobian in (jax.jacfwd, jax.jacrev):
        slopes = jax.jit(jacobian(F))(g)
        np.testing.assert_allclose(slopes["a"], [2 / 2, 0], atol=1e-12)
        np.testing.assert_allclose(slopes["b"], [-1 / 3, 1 / 3], atol=1e-12)


# ------------------------------------------------------------------------- refusals


def given(**changes: Any) -> dict[str, Any]:
    """Arguments of a curve, some of them changed."""
    return dict(loss=of_sum, start=ONES, direction={"a": 1, "b": -1}, length=1, momentum=0.005) | changes


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        (dict(start={}), TypeError, "must be a mapping"),
        (dict(start=[1, 1]), TypeError, "must be a mapping"),
        (dict(start={"a": 1, "loss": 1}), ValueError, "is called 'loss'"),
        (dict(start={"a": 1, "b": 0}), ValueError, "'b' starts at 0; .* positive .* Leave 'b' out"),
        (dict(start={"a": 1, "b": np.nan}), ValueError, "'b' starts at nan"),
        (dict(start={"a": 1, "b": [1, 2]}), ValueError, "one positive number"),
        (dict(start={"a": 1, "c": 1}), TypeError, "cannot be traced by JAX: 'b'"),
        (dict(loss=lambda g: float(g["a"])), TypeError, "cannot be traced by JAX"),
        (dict(loss=lambda g: jnp.stack([g["a"], g["b"]])), ValueError, r"shape=\(2,\).*one real number"),
        (dict(loss=lambda g: g["a"] > 1), ValueError, "dtype=bool.*one real number"),
        (
            dict(loss=lambda g: jnp.log(g["a"] - 1) + g["b"]),
            ValueError,
            "at the start the loss is -inf.*must be finite",
        ),
        (dict(loss=lambda g: jnp.abs(g["a"] - 1) ** 0.5), ValueError, "must be finite"),
        (
            dict(loss=lambda g: of_sum(g) + 0.01),
            ValueError,
            "loss is 0.01 at the start and momentum 0.005; .* Raise momentum",
        ),
        (dict(start={"a": 1, "b": 1.05}), ValueError, "changes by .* most with 'b'; .* Fit the start first"),
        (dict(direction={"a": 1, "bb": 1}), ValueError, "names 'bb'; .* Did you mean 'b'"),
        (dict(direction=[1, 1, 1]), ValueError, r"shape \(3,\); it must be \(2,\)"),
        (dict(direction=[0, 0]), ValueError, "not 0 everywhere"),
        (dict(direction=[1, np.inf]), ValueError, "must be finite"),
        (dict(direction="a"), TypeError, "Take 0, the flattest"),
        (dict(direction=2), ValueError, "direction is 2; it must be from 0 to 1"),
        (dict(direction=True), TypeError, "direction is True"),
        (dict(length=0), ValueError, "length is 0 log units; it must be positive"),
        (dict(length="1"), TypeError, "length is '1'"),
        (dict(momentum=-1), ValueError, "momentum is -1 units of the loss; it must be positive"),
        (dict(step=0), ValueError, "step is 0 log units; it must be positive"),
        (dict(step=0.5, length=3), RuntimeError, "Hamiltonian went off .* smaller step"),
    ],
)
def test_bad_arguments_are_refused(changes: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        minimally_disruptive_curve(**given(**changes))


def test_bad_arguments_of_the_others_are_refused() -> None:
    for n, error in ((0, ValueError), (3, ValueError), (1.0, TypeError)):
        with pytest.raises(error, match=f"n is {n}"):
            flattest(of_sum, ONES, n)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width is 0 log units; it must be positive"):
        smoothed(of_sum, 0)


# ------------------------------------------------------------------------- a cell

NAME = "AB/PD 4"
CHANNELS = ("CaT", "CaS", "A", "KCa")


def mean_calcium(values: pd.Series) -> float:
    """Mean calcium (µM) of a new cell with these conductances over the whole cycles of 20 s, with a quarter of the step."""
    g_ion = neuron_models.loc[[NAME]].copy()
    g_ion.loc[NAME, list(CHANNELS)] = [values[f"{NAME} {channel}"] for channel in CHANNELS]
    run = Prinz2004({NAME: 1}, gs={}, g_ion=g_ion, ge=0)(np.arange(4000, 24000, 0.5), dt=0.025)
    onsets = bursts(run.spike_times()[NAME, 0])[1:, 0]
    assert len(onsets) > 8
    return float(run.Ca[NAME, 0].loc[onsets[0] : onsets[-1]].mean())


@pytest.mark.slow
def test_an_A_conductance_that_doubles_alone_changes_calcium() -> None:
    """By far more than the 1% within which the other conductances keep it along the curve of the chapter, which asserts that."""
    start = pd.Series({f"{NAME} {channel}": neuron_models.loc[NAME, channel] for channel in CHANNELS})
    alone = mean_calcium(start.where(start.index != f"{NAME} A", 2 * start))
    assert abs(alone / mean_calcium(start) - 1) > 0.1


# ------------------------------------------------------------------------- a picture


def test_plot_shows_every_parameter_and_the_loss(bent: Any) -> None:
    hv.extension("bokeh")
    curve = bent(0.005)
    change, loss = curve.plot()
    assert [x.label for x in change] == ["a", "b"]
    np.testing.assert_array_equal(loss["loss"], curve.table["loss"])
    hv.render(curve.plot())
