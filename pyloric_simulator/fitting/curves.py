# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version,-jupytext.text_representation.format_version
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["active-ipynb", "remove-cell"]
# import sys
#
# sys.path.append("..")
# from _notebook import __spec__

# %% [markdown]
# # Minimally disruptive curves
#
# Different conductances can make the same cell, which is called {term}`degeneracy`. From one solution,
# where are the others? Let a *loss* say how much some trait of the cell has changed. Around a solution
# there are directions in which it hardly rises, and they go on as valleys, which bend. The **minimally
# disruptive curve** of {cite:t}`Raman2017` leaves the solution in such a direction and goes far while the
# loss stays low.
#
# The simplest case has two conductances in parallel, of which only the sum matters. Either can take over
# from the other: in {numref}`fig-parallel` one of them grows to almost twice its value, and the other one
# falls to a twentieth, in a straight line at first, in a bend later, since a conductance cannot fall
# below 0.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "Two conductances, and the curve along which their sum stays what it is.", "name": "fig-parallel"}}
# from functools import partial
#
# import jax
# import jax.numpy as jnp
# import numpy as np
#
# from .curves import flattest, minimally_disruptive_curve, smoothed
#
#
# def change_of_sum(g):
#     return jnp.log((g["a"] + g["b"]) / 2) ** 2 / 2
#
#
# parallel = minimally_disruptive_curve(change_of_sum, {"a": 1, "b": 1}, {"a": 1, "b": -1}, length=3, momentum=0.005)
# assert abs(parallel.table["a"] + parallel.table["b"] - 2).max() < 0.02
# parallel.plot()

# %% [markdown]
# ## What it does and what it costs
#
# `minimally_disruptive_curve(loss, start, direction, length, momentum=H)` returns a table: parameters and
# loss by the position along the curve, in both directions from the start. The *momentum* $H$ is the
# highest loss that one would put up with. Lengths are in natural logarithms, so that a length of 0.7 is a
# factor of two in one parameter. `flattest` proposes directions, those in which the loss is flattest. A
# loss is any function of named numbers, so that with `with_values` of the
# [chapter on names](parameters.py) all models have such curves.
#
# The price is two gradients of the loss for each parameter at the start, and one for each step. A step
# takes the whole of whatever the loss simulates; the curve of a cell below takes 41 steps to each side,
# and each of them two runs of 7.5 s for each of four parameters.
#
# ## An AB/PD cell with the same mean calcium
#
# Here is a curve along which the A current of an AB/PD cell doubles, or halves, and its mean calcium
# stays what it is. Mean calcium is what such a cell may hold on to in its life, and so it is a trait
# worth keeping in a model. It is averaged over 6 s, three to four bursts, with the weights of a Blackman
# window, so that it hardly matters where in a {term}`burst` the average begins and ends.

# %% tags=["active-ipynb"]
# from .parameters import with_values
# from ..prinz2004 import Prinz2004, neuron_models, precision, simulate
#
# name = "AB/PD 4"
# cell = Prinz2004({name: 1}, gs={}, ge=0)
# settled, t = cell.get_thermalization(), np.arange(1500, 7501.0)
# window = np.blackman(len(t)) / np.blackman(len(t)).sum()
#
#
# def log_calcium(g, dt=0.1):
#     """Logarithm of the mean calcium (µM), from conductances by name (mS/cm²)."""
#     Ca = simulate(with_values(cell.params, g), settled, t, dt=dt).Ca[:, 0]
#     return jnp.log(window @ Ca)

# %% [markdown]
# The loss is half the squared change of the logarithm, so that a change of mean calcium by 1% is a loss
# of $5 \cdot 10^{-5}$. The calcium is averaged over neighbouring conductances as well (`smoothed`); why,
# is the matter of a [later section](sec-teeth). Four conductances may change: those of both calcium
# currents, of A and of KCa. The valley is where one number, calcium, stays the same, so three of the four
# directions are flat. The steep one has the signs that one expects: calcium currents raise calcium,
# potassium currents lower it.

# %% tags=["active-ipynb"]
# start = {f"{name} {channel}": neuron_models.loc[name, channel] for channel in ("CaT", "CaS", "A", "KCa")}
# log_mean = smoothed(log_calcium, 0.05)
# with precision():
#     target = float(jax.jit(log_mean)(start))
#
#
# def change(g):
#     return (log_mean(g) - target) ** 2 / 2
#
#
# directions = flattest(change, start)
# steep = directions.vectors.iloc[-1]
# assert (np.sign(steep) == [1, 1, -1, -1]).all()
# directions.vectors.round(2).assign(curvature=directions.curvatures.round(2))

# %% [markdown]
# Of all curves in the valley we choose the one that leaves in the direction nearest to that of the A
# conductance. With $H = 0.005$ the loss may rise to that of a change by 10%. It stays below that of a change by
# 1%, since the valley is almost straight {eq}`eq-bend`. A smaller $H$ would cost more steps, and
# follow what is left of the teeth.

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "Conductances of an AB/PD cell along a curve of equal mean calcium.", "name": "fig-calcium-curve"}}
# A = (steep.index == f"{name} A").astype(float)
# curve = minimally_disruptive_curve(change, start, A - (A @ steep) * steep, length=0.85, momentum=0.005)
# ends = curve.folds.iloc[[0, -1]][f"{name} A"]
# assert ends.iloc[0] < 0.5 and ends.iloc[1] > 2
# assert np.sqrt(2 * curve.table["loss"].max()) < 0.01
# curve.plot()

# %% [markdown]
# The A conductance halves, or doubles, and the calcium conductances make up for it. Do the ends hold?
# Each is built once more as a cell of its own, settles, and runs for 20 s with a quarter of the step.
# Its calcium, averaged over whole cycles, is that of the start to within 1%.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The cell at both ends of the curve, and at its start.", "name": "fig-calcium-ends"}}
# from ..rhythm import bursts
#
#
# def independently(values):
#     """A run of a new cell with these conductances, and its mean calcium (µM) over whole cycles."""
#     g_ion = neuron_models.loc[[name]].copy()
#     g_ion.loc[name, [key.removeprefix(f"{name} ") for key in start]] = values[list(start)].to_numpy()
#     run = Prinz2004({name: 1}, gs={}, ge=0, g_ion=g_ion)(np.arange(4000, 24000, 0.5), dt=0.025)
#     onsets = bursts(run.spike_times()[name, 0])[1:, 0]
#     return run, run.Ca[name, 0].loc[onsets[0] : onsets[-1]].mean()
#
#
# rows = {
#     f"A × {fold:.2f}": independently(curve.table.loc[s]) for s, fold in curve.folds[f"{name} A"].iloc[[0, -1]].items()
# }
# rows["start"] = independently(curve.table.loc[0])
# panels = []
# for label, (run, Ca) in rows.items():
#     assert abs(Ca / rows["start"][1] - 1) < 0.01
#     V = run.V[name, 0].loc[:8000]
#     title = f"{label}: mean calcium {Ca:.1f} µM"
#     panels.append(
#         hv.Curve((V.index, V), "time (ms)", "V (mV)").opts(
#             title=title, width=680, height=150, line_width=0.8, toolbar=None
#         )
#     )
# hv.Layout(panels).cols(1)

# %% [markdown]
# What the chapter takes from elsewhere, and what others take from it:

# %%
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array, lax

from ..engine import checks
from ..prinz2004 import precision
from .fit import ends

__all__ = [
    "MinimallyDisruptiveCurve", "Surroundings", "flattest", "minimally_disruptive_curve", "smoothed", "surroundings",
]  # fmt: skip

# %% [markdown]
# ## The equations
#
# Parameters are positive, and what counts is the factor by which they change. So let $θ$ be their
# *natural logarithms*: a length of 1 is a factor of $e$ in one parameter, or less in several. Let
# $C(θ)$ be the loss, and $θ(s)$ a curve of unit speed, $|θ'| = 1$, from a minimum $θ_0$ of $C$. Where it
# passes, a unit of length costs $C$. To make it leave the minimum, let a unit of length also be worth
# $H$. The curves for which
#
# $$
# \int \big(C(θ) - H\big)\, |θ'|\, ds
# $$ (eq-disruption)
#
# is stationary obey the Euler–Lagrange equation $\frac{d}{ds} \big[(C - H)\, θ'\big] = ∇C$. With
# the costate $λ = (H - C)\, θ'$, this is
#
# $$
# θ' = \frac{λ}{|λ|}, \qquad λ' = -∇C(θ), \qquad |λ| + C(θ) = H.
# $$ (eq-mdc)
#
# The first two are the canonical equations of the Hamiltonian in the third, whose constant value is
# $H$. As $|λ|$ cannot be negative, **the loss never exceeds** $H$. It is called the *momentum*: the
# curve starts with it, and spends it where it climbs. Rays of light obey the same equations in a
# glass of refractive index $H - C$, which guides them along the valley as a fibre does. (The integral
# is stationary, not least: with a detour that is cheap enough, it could always be less.)
#
# {cite:t}`Raman2017` write {eq}`eq-mdc` as a problem of optimal control, with $2 μ_2 = C - H$ the
# multiplier of unit speed and $H$ the loss at the end of the curve. With a second multiplier $μ_1$
# they keep the curve from coming back: where it would, they hold its distance from $θ_0$. Here it
# ends there.
#
# ### Across the valley
#
# Where $C = k y^2/2$ across a valley, a small deviation obeys $y'' = -(k/H)\, y$. The curve swings to
# and fro, by one radian in a length $\sqrt{H/k}$. In a bend of radius $R$ it runs outside of the
# valley's floor by $y = H/(k R)$, where the loss is
#
# $$
# C = \frac{H^2}{2 k R^2},
# $$ (eq-bend)
#
# far below $H$ as long as the bend is wide. A smaller $H$ keeps the curve closer to the floor, and
# costs more steps.
#
# ### Steps
#
# The Hamiltonian is a function of $λ$ plus a function of $θ$. So they can take turns, as potential
# and gates do in the staggered scheme:
#
# $$
# θ \leftarrow θ + h\, \frac{λ}{|λ|}, \qquad λ \leftarrow λ - h\, ∇C(θ).
# $$ (eq-leapfrog)
#
# A step takes one gradient and has the length $h$ exactly. As $λ$ lives at half steps, the scheme is
# second-order. (A first half step of $λ$ would change nothing, since $∇C = 0$ at the start.) It is
# symplectic: in a smooth valley the Hamiltonian does not drift, however long the curve. How well it
# is kept is checked after the run. The sum of $h\, C$, the integral that is to be small, comes along;
# its increments are the losses.

# %% [markdown]
# A loss is asked at the parameters' own values and differentiated by their logarithms,
# $\partial C/\partial θ_i = g_i\, \partial C/\partial g_i$, which the chain rule of JAX does.

# %%
Loss = Callable[[dict[str, Any]], Any]  # of values by name, in the parameters' own units


def in_logs(f: Loss, names: tuple[str, ...]) -> Callable[[Array], Array]:
    """f as a function of θ (parameter,), natural logarithms."""
    return lambda θ: jnp.asarray(f(dict(zip(names, jnp.exp(θ), strict=True))))


class Ray(NamedTuple):
    """A curve before and after each step; infinite after its end."""

    s: Array  # (step,) log units, length so far
    θ: Array  # (step, parameter) natural logarithms
    λ: Array  # (step, parameter) unit of the loss, half a step later
    J: Array  # (step,) sum of h C so far


# %% [markdown]
# `diffrax` has the scheme, which for this form of equations is called semi-implicit Euler: the velocity
# reads $λ$, the force reads $θ$. The length $s$ goes along with $θ$ and the sum $J$ with $λ$, so that
# both come out at every step. A curve that begins to come back, $λ \cdot (θ - θ_0) < 0$, ends; so does
# one that meets a loss that is not finite, for which the comparison is false.


# %%
def shoot(C: Callable[[Array], Array], θ0: Array, λ0: Array, length: float, n: int) -> Ray:
    """n steps {eq}`eq-leapfrog` over a length (log units) from θ0 with the costate λ0, (parameter,) each."""
    diffrax = checks.package("diffrax", "solvers", "a curve")

    def velocity(_: Any, λJ: tuple[Array, Array], __: None) -> tuple[Array, Array]:
        return λJ[0] / jnp.linalg.norm(λJ[0]), jnp.ones_like(λJ[1])

    def force(_: Any, θs: tuple[Array, Array], __: None) -> tuple[Array, Array]:
        value, slope = jax.value_and_grad(C)(θs[0])
        return -slope, value

    def returns(_: Any, y: Any, *__: Any, **___: Any) -> Array:
        return ~(y[1][0] @ (y[0][0] - θ0) >= 0)  # true of NaN, too

    (θ, s), (λ, J) = diffrax.diffeqsolve(
        (diffrax.ODETerm(velocity), diffrax.ODETerm(force)), diffrax.SemiImplicitEuler(), 0.0, length, length / n,
        ((θ0, jnp.zeros(())), (λ0, jnp.zeros(()))), event=diffrax.Event(returns),
        saveat=diffrax.SaveAt(t0=True, steps=True), max_steps=n + 1,
    ).ys  # fmt: skip
    return Ray(s, θ, λ, J)


# %% [markdown]
# ## The surroundings of the start
#
# The gradient tells whether the start is a minimum; the Hessian, the matrix of second derivatives,
# tells which directions are flat, and how short a step has to be in the others. A derivative of a
# gradient would take forward mode through reverse mode, which `simulate_with_adjoint` does not offer.
# So the Hessian is taken as the difference of gradients 0.01 to both sides of the start. This costs
# two gradients for each parameter, and sees the loss as the steps of a curve will see it.

# %%
SPACING = 0.01  # log units, to both sides
WIDEST = 1.0  # log units; an average over more was probably meant in per cent


class Surroundings(NamedTuple):
    """The loss around a point, in logarithms of n parameters."""

    C: float  # unit of the loss
    slope: np.ndarray  # (n,) gradient
    hessian: np.ndarray  # (n, n) second derivatives


def surroundings(C: Callable[[Array], Array], θ: np.ndarray) -> Surroundings:
    """The loss around θ (parameter,)."""
    δ = SPACING * np.eye(len(θ))
    points = np.concatenate([θ[None], θ + δ, θ - δ])
    values, slopes = jax.tree.map(np.asarray, jax.jit(lambda θs: lax.map(jax.value_and_grad(C), θs))(points))
    finite(values, slopes)
    up, down = np.split(slopes[1:], 2)
    hessian = (up - down) / (2 * SPACING)
    return Surroundings(float(values[0]), slopes[0], (hessian + hessian.T) / 2)


# %% [markdown]
# The eigenvectors of the Hessian are directions that do not mix: along each of them the loss is
# $κ\, x^2/2$ with its own curvature $κ$. They come flattest first. At a solution that the loss does not
# determine, several have a curvature close to 0, and then any mixture of these is as flat: which one to
# follow is a choice. The sign of an eigenvector is arbitrary, too, and so its largest component is made
# positive.


# %%
class Directions(NamedTuple):
    """Directions in the space of the logarithms."""

    vectors: pd.DataFrame  # index direction, columns parameters; each row of length 1
    curvatures: np.ndarray  # (direction,) second derivative of the loss along each, per squared log unit


def eigenvectors(hessian: np.ndarray, names: tuple[str, ...]) -> Directions:
    """The eigenvectors of a Hessian (n, n), flattest first; the largest component of each is positive."""
    curvatures, vectors = np.linalg.eigh(hessian)
    order = np.argsort(abs(curvatures))
    largest = np.take_along_axis(vectors, abs(vectors).argmax(0)[None], 0)
    table = pd.DataFrame((vectors * np.sign(largest)).T[order], columns=list(names))
    return Directions(table.rename_axis("direction"), curvatures[order])


def flattest(loss: Loss, start: Mapping[str, Any], n: int | None = None) -> Directions:
    """The n flattest eigenvectors of the Hessian of a loss at the start, or all of them.

    loss, start: as of `minimally_disruptive_curve`, and refused as there. Each row of `vectors` is a direction to
    start a curve in. Raises TypeError or ValueError if n is not from 1 to the number of parameters.
    """
    checks.function("loss", loss, "lambda g: (g['a'] - 1) ** 2")
    names, θ0 = logarithms(start)
    n = checks.count("n", len(names) if n is None else n, len(names))
    with precision():
        C = in_logs(loss, names)
        checks.scalar_loss(lambda: jax.eval_shape(C, jax.ShapeDtypeStruct(θ0.shape, θ0.dtype)))
        found = eigenvectors(surroundings(C, θ0).hessian, names)
    return Directions(found.vectors[:n], found.curvatures[:n])


# %% [markdown]
# ## A curve
#
# By default a step is half a radian of the fastest swing at the start, $\frac{1}{2}\sqrt{H/k}$ with the
# largest curvature $k$. Two rays leave the start, in opposite directions. The result has the folds, by
# which factor each parameter has changed, and a plot.

# %%
RADIANS_PER_STEP = 0.5
LONGEST_STEP = 0.05  # log units, where no direction is steep


class MinimallyDisruptiveCurve(NamedTuple):
    """A curve in the space of parameters along which a loss stays low."""

    table: (
        pd.DataFrame
    )  # index position (log units, negative in the opposite sense); parameters in their own units, "loss"
    momentum: float  # H, which the loss stays below
    step: float  # log units

    @property
    def folds(self) -> pd.DataFrame:
        """By which factor each parameter differs from the start: index position, columns parameters."""
        values = self.table.drop(columns="loss")
        return values / values.loc[0]

    def plot(self) -> Any:
        """Factors of change, on a logarithmic axis, and the loss (HoloViews; load a backend with hv.extension)."""
        import holoviews as hv

        along = hv.Dimension("position", label="position along the curve (log units)")
        lines = [hv.Curve((x.index, x), along, "change", label=str(name)) for name, x in self.folds.items()]
        change = hv.Overlay(lines).opts(logy=True, ylabel="factor of change", legend_position="right", toolbar=None)
        loss = hv.Curve((self.table.index, self.table["loss"]), along, "loss").opts(color="black", toolbar=None)
        return hv.Layout([change.opts(width=680, height=250), loss.opts(width=680, height=130)]).cols(1)


# %% [markdown]
# A ray is cut where it ends: where it has turned back, or where the loss has reached $H$. The loss at
# each point is the increment of $J$ by the step. As $λ$ lives at half steps, the Hamiltonian at a point
# takes the mean of $|λ|$ before and after it.


# %%
def walked(ray: Ray, C0: float, H: float, names: tuple[str, ...]) -> pd.DataFrame:
    """Parameters and loss (columns) by position (index) along a ray from a start with the loss C0, up to its end."""
    n = int(np.isfinite(ray.J).sum())
    s, θ, λ, J = (np.asarray(x)[:n] for x in ray)
    C = np.append(C0, np.diff(J) / np.diff(s))
    goes_on = ((λ * (θ - θ[0])).sum(1) >= 0) & (C < H)
    n = n if goes_on.all() else int(goes_on.argmin())
    kept(np.linalg.norm(λ[1:n] + λ[: n - 1], axis=1) / 2 + C[1:n], H)
    return pd.DataFrame(np.exp(θ[:n]), columns=list(names), index=pd.Index(s[:n], name="position")).assign(loss=C[:n])


# %% [markdown]
# The function checks, looks around the start, and shoots both rays side by side. The number of steps is a
# whole one, so that the step that is taken may be a little shorter than asked for.


# %%
def minimally_disruptive_curve(
    loss: Loss, start: Mapping[str, Any], direction: Any, length: float, *, momentum: float, both: bool = True, step: float | None = None
) -> MinimallyDisruptiveCurve:  # fmt: skip
    """The curve {eq}`eq-mdc` from a minimum of a loss (needs diffrax).

    loss: JAX function of a mapping name -> value, in the parameters' own units, to a scalar; differentiated in reverse
    mode. start: name -> positive value. direction: name -> component, others 0, a row of `flattest`, an array
    (parameter,), or a whole number i for the i-th flattest direction; in log units, its length does not matter.
    length: log units. momentum: H, bound of the loss, in its unit. both: go in the opposite direction, too. step: log
    units, by default from the curvature at the start. A curve ends early where it reaches the bound or would come closer
    to the start again. Raises TypeError or ValueError for what cannot be used, among it a start that is no minimum, and
    RuntimeError if the steps turn out too long.
    """
    checks.function("loss", loss, "lambda g: (g['a'] - 1) ** 2")
    both = checks.truth("both", both)
    names, θ0 = logarithms(start)
    length, H = (
        checks.positive("length", length, "log units"),
        checks.positive("momentum", momentum, "units of the loss"),
    )
    if step is not None and (step := checks.positive("step", step, "log units")) > length:
        raise ValueError(
            f"step is {step:g} log units and length {length:g}; a step must not be longer than the curve. Take a shorter one."
        )
    with precision():
        C = in_logs(loss, names)
        checks.scalar_loss(lambda: jax.eval_shape(C, jax.ShapeDtypeStruct(θ0.shape, θ0.dtype)))
        around = surroundings(C, θ0)
        minimum(around, H, names)
        u = unit_vector(direction, names, around)
        n = math.ceil(length / (fitting_step(around, H) if step is None else step))
        checks.memory(f"a curve of {n} steps", 32 * n * (len(names) + 1), "Take a longer step.")
        λ0 = (H - around.C) * np.stack([u, -u][: 1 + both])
        rays = jax.jit(jax.vmap(lambda λ: shoot(C, jnp.asarray(θ0), λ, length, n)))(λ0)
        there, *back = [walked(Ray(*(x[i] for x in rays)), around.C, H, names) for i in range(len(λ0))]
    parts = [part.set_axis(-part.index).iloc[:0:-1] for part in back]
    return MinimallyDisruptiveCurve(pd.concat([*parts, there]), H, length / n)


def fitting_step(around: Surroundings, H: float) -> float:
    """A step for the steepest direction, log units."""
    k = np.linalg.eigvalsh(around.hessian)[-1]
    return min(LONGEST_STEP, RADIANS_PER_STEP * math.sqrt(H / k)) if k > 0 else LONGEST_STEP


# %% [markdown]
# ## What is refused
#
# Logarithms need positive values. A start from which the loss falls is no minimum: {eq}`eq-mdc` makes
# the curve turn at once, with a radius of $H/|∇C|$, which has to be at least ten log units. And where the
# Hamiltonian is not kept, the steps were too long for the valley.

# %%
STEEPEST_START = 0.1  # |∇C|/H at a minimum, per log unit
MOST_DRIFT = 0.1  # of the Hamiltonian, as a share of H


def logarithms(start: Any) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and logarithms of positive values."""
    start = start.to_dict() if isinstance(start, pd.Series) and start.index.is_unique else start
    if not isinstance(start, Mapping) or not start:
        raise TypeError(
            f"start is {start!r}; it must be a mapping from one or more names to values. Write {{'g': 1.0}}."
        )
    if "loss" in start:
        raise ValueError(
            "a parameter is called 'loss'; that is the column of the loss. Give the parameter another name."
        )
    checks.texts("a name in start", start)
    for name, value in start.items():
        x = checks.numbers(f"the start of {name!r}", value, "be one positive number")
        if x.ndim or not (np.isfinite(x) and x > 0):
            raise ValueError(
                f"{name!r} starts at {value}; its logarithm is taken, so it must be one positive number. Leave {name!r} out, "
                "and let the loss hold it."
            )
    return tuple(start), np.log([float(value) for value in start.values()])


# %% [markdown]
# A minimum is asked for twice: loss and gradients have to exist around the start, and the gradient has to
# be small against $H$. The message names the parameter along which the loss falls most, which is the one
# to fit first.


# %%
def finite(values: np.ndarray, slopes: np.ndarray) -> None:
    """The loss (point,) and its gradients (point, parameter) exist at the start, which comes first, and around it."""
    if not (np.isfinite(values).all() and np.isfinite(slopes).all()):
        raise ValueError(
            f"at the start the loss is {values[0]:g} and its gradient {slopes[0]}; both must be finite there and {SPACING} log units to "
            "all sides. Start elsewhere, or write the loss so that it has a derivative."
        )


def minimum(around: Surroundings, H: float, names: tuple[str, ...]) -> None:
    """The start is a minimum, and below the bound."""
    if around.C >= H:
        raise ValueError(
            f"the loss is {around.C:g} at the start and momentum {H:g}; it must start below. Raise momentum."
        )
    slope = float(np.linalg.norm(around.slope))
    if slope > STEEPEST_START * H:
        raise ValueError(
            f"the loss changes by {slope:g} per log unit at the start, most with {names[abs(around.slope).argmax()]!r}; at a minimum it "
            f"must be less than {STEEPEST_START} momentum = {STEEPEST_START * H:g}. Fit the start first, or raise momentum."
        )


# %% [markdown]
# A direction may be given in many ways. Whatever it is, its components are steps in logarithms, and its
# length is made 1.


# %%
def unit_vector(direction: Any, names: tuple[str, ...], around: Surroundings) -> np.ndarray:
    """A direction (parameter,) of length 1."""
    if isinstance(direction, (bool, int, np.integer)):
        i = checks.count("direction", direction, len(names) - 1, least=0)
        return eigenvectors(around.hessian, names).vectors.to_numpy()[i]
    if isinstance(direction, (Mapping, pd.Series)):
        for name in dict(direction):
            if name not in names:
                raise ValueError(
                    f"direction names {name!r}; the parameters are {checks.listing(names)}.{checks.closest(name, names)} Add it to "
                    "start, or leave it out."
                )
        direction = [direction.get(name, 0.0) for name in names]
    if isinstance(direction, str):
        raise TypeError(
            f"direction is {direction!r}; it must be a mapping, numbers, or a whole number. Take 0, the flattest."
        )
    v = checks.numbers("direction", direction, "be a mapping, numbers, or a whole number").astype(float)
    if v.shape != (len(names),):
        raise ValueError(
            f"direction has shape {v.shape}; it must be ({len(names)},), a number for each parameter. Or name them."
        )
    if not np.isfinite(v).all() or not v.any():
        raise ValueError(f"direction is {v}; it must be finite and not 0 everywhere. Change one component at least.")
    return v / np.linalg.norm(v)


# %% [markdown]
# What is conserved is checked last. A drift of more than a tenth of $H$ means that the curve is no
# solution of {eq}`eq-mdc`, and no curve is better than a wrong one.


# %%
def kept(energy: np.ndarray, H: float) -> None:
    """The Hamiltonian (step,) along a curve is H."""
    drift = abs(energy / H - 1).max() if len(energy) else np.inf
    if not drift <= MOST_DRIFT:
        raise RuntimeError(
            f"the Hamiltonian went off its value, the momentum, by {drift:.0%}; it must stay within {MOST_DRIFT:.0%}. Give a smaller step, a "
            "larger momentum, or a smoother loss (see `smoothed`)."
        )


# %% [markdown]
# (sec-teeth)=
# ## Where spikes come and go
#
# A burst has a whole number of {term}`spikes <spike>`. As a conductance changes, a spike is added now and
# then, or lost, and around that point the trace changes abruptly. The mean calcium in {numref}`fig-teeth`
# has a clear trend, with jumps by a few tenths of a percent. Its *derivative* is exact, and where a spike
# comes or goes it says nothing about the trend: it has the wrong sign, or is many times too large. (With
# the step of 0.1 ms, taken above because it is quick, this is so nearly everywhere.) A curve that follows
# such a derivative is thrown out of its valley.
#
# What a curve should follow is the trend, so we average over the teeth. Let $\bar f(θ)$ be the mean of
# $f$ over $θ ± w e_i$ along all axes $i$. Its derivative is taken as the difference between the two
# sides,
#
# $$
# \partial_i \bar f = \frac{f(θ + w e_i) - f(θ - w e_i)}{2 w},
# $$ (eq-smoothed)
#
# which is the mean of $\partial_i f$ over a width of $2 w$. It needs no derivative of $f$. The same idea,
# for losses in a box, is {eq}`eq-trend` of the [chapter on fits](fit.py).


# %%
def smoothed(f: Loss, width: float) -> Callable[[Mapping[str, Any]], Array]:
    """f averaged over changes of each parameter by ± width (log units), with the derivative {eq}`eq-smoothed`.

    f: JAX function of a mapping name -> positive value, of any shape, evaluated at two points for each parameter. The result
    is such a function, too, and can be differentiated once, in forward and in reverse mode. Raises TypeError or ValueError
    for a width that is not positive.
    """
    w = checks.positive("width", width, "log units")
    if w > WIDEST:
        checks.warn(
            f"width is {w:g} log units, a factor of {math.exp(w):.3g} to both sides. If that is in per cent, divide it by 100."
        )
    checks.function("f", f, "lambda g: jnp.log(g['a'])")

    def mean(values: Mapping[str, Any]) -> Array:
        if not checks.mapping("values", values, "{'a': 1.0}"):
            raise ValueError("values is empty; there must be one number at least. Write {'a': 1.0}, for example.")
        for name, x in values.items():
            if not isinstance(x, jax.core.Tracer):
                checks.positive(repr(name), x, "")
        sides = partial(ends, in_logs(f, tuple(values)), w=w)
        f_mean = jax.custom_jvp(lambda θ: jnp.concatenate(sides(θ)).mean(0))

        @f_mean.defjvp
        def derivative(θ: tuple[Array], dθ: tuple[Array]) -> tuple[Array, Array]:
            up, down = sides(*θ)
            return jnp.concatenate([up, down]).mean(0), jnp.tensordot(*dθ, (up - down) / (2 * w), 1)

        return f_mean(jnp.log(jnp.stack([jnp.asarray(x, float) for x in values.values()])))

    return mean


# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Mean calcium of AB/PD 4, and its derivative: exact (dots; those beyond −4 and 3 lie on the edge), and averaged over ± 5% (line).", "name": "fig-teeth"}}
# g_A, factors = neuron_models.loc[name, "A"], np.linspace(0.97, 1.03, 61)
#
#
# def along_A(smooth):
#     """Mean calcium (µM) at each factor of the A conductance, and its derivative d ln Ca / d ln g."""
#     of_log = lambda x: smooth(partial(log_calcium, dt=0.05))({f"{name} A": g_A * jnp.exp(x)})
#     value, slope = jax.jit(jax.vmap(lambda x: jax.jvp(of_log, (x,), (jnp.ones_like(x),))))(np.log(factors))
#     return np.exp(value), np.clip(slope, -4, 3)
#
#
# with precision():
#     exact, averaged = along_A(lambda f: f), along_A(lambda f: smoothed(f, 0.05))
# look = dict(width=680, height=180, toolbar=None)
# calcium, slope = (
#     hv.Scatter((factors, x)).opts(color="black", size=3, xlabel="A conductance (factor)") for x in exact
# )
# slope = slope * hv.Curve((factors, averaged[1]))
# hv.Layout([calcium.opts(ylabel="mean calcium (µM)", **look), slope.opts(ylabel="d ln Ca / d ln g", **look)]).cols(1)

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-far-end
# In which direction, in logarithms, does the curve of {numref}`fig-parallel` leave the start, and in
# which does it end? What would become of it, were it longer?
# ```
#
# ```{solution-start} ex-far-end
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# logs = np.log(parallel.table[["a", "b"]])
# direction_along = {x: np.gradient(logs[x], logs.index).round(3) for x in logs}
# middle = int(np.flatnonzero(logs.index == 0)[0])
# assert np.allclose([direction_along["a"][middle], direction_along["b"][middle]], [0.5**0.5, -(0.5**0.5)], atol=1e-3)
# {when: [float(direction_along[x][i]) for x in "ab"] for when, i in {"start": middle, "end": -2}.items()}

# %% [markdown]
# In the direction of $(1, -1)/\sqrt 2$, as asked for. In the end it is close to $(0, -1)$, up to a small
# swing across the valley: $a$ comes to 2 and stays there, and $b$ falls by a factor of $e$ with each unit
# of length, for ever. The valley is straight in the conductances and not in their logarithms.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-product
# A trait depends on $ab/c$ alone, with the loss $\frac{1}{2} \ln^2 (ab/c)$. Predict the steep direction
# and its curvature.
# ```
#
# ```{solution-start} ex-product
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# of_product = flattest(lambda g: jnp.log(g["a"] * g["b"] / g["c"]) ** 2 / 2, {"a": 1, "b": 2, "c": 2})
# assert np.allclose(of_product.curvatures, [0, 0, 3], atol=1e-9)
# of_product.vectors.round(3).assign(curvature=of_product.curvatures.round(3))

# %% [markdown]
# In logarithms the trait is $θ_a + θ_b - θ_c$, so that the loss is half the square of $\sqrt 3$ times the
# component along $(1, 1, -1)/\sqrt 3$, up to the sign: a curvature of 3. The two flat directions are any
# two across. A valley of a product is straight, and a curve can follow it as far as one likes.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-bend
# The floor of a valley is a circle of radius 1.5 in the plane of two logarithms, with a curvature of 10
# across. By {eq}`eq-bend`, what is the loss outside of the floor in which a curve could run for $H$ =
# 0.05 and for 0.005? Does it run there?
# ```
#
# ```{solution-start} ex-bend
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# R, k = 1.5, 10.0
#
#
# def ring(g):
#     x, y = jnp.log(g["a"]), jnp.log(g["b"])
#     return k * (jnp.sqrt(x**2 + (y + R) ** 2) - R) ** 2 / 2
#
#
# rounds = {
#     H: minimally_disruptive_curve(ring, {"a": 1, "b": 1}, {"a": 1}, 2.5, momentum=H, both=False)
#     for H in (0.05, 0.005)
# }
# losses = {
#     H: np.array([x.table["loss"].max(), x.table["loss"].mean()]) / (H**2 / (2 * k * R**2)) for H, x in rounds.items()
# }
# assert np.allclose(list(losses.values()), [4, 1.5], rtol=0.05)
# losses, [len(x.table) for x in rounds.values()]

# %% [markdown]
# It starts on the floor and not outside of it. So it swings about the course of {eq}`eq-bend`, from 0 to
# twice its distance: the largest loss is four times that of the equation, and the mean one 1.5 times. A
# tenth of $H$ makes both a hundred times smaller, and takes three times as many steps.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-momentum
# Which momentum bounds the change of mean calcium by 3% instead of 10%? How many steps would the curve of
# {numref}`fig-calcium-curve` take, with its length of 0.85 and a largest curvature of 2.89?
# ```
#
# ```{solution-start} ex-momentum
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# bounds = {percent: float(np.log(1 + percent / 100) ** 2 / 2) for percent in (3, 10)}
# steps = {percent: int(np.ceil(0.85 / (0.5 * np.sqrt(H / 2.89)))) for percent, H in bounds.items()}
# assert abs(bounds[3] - 4.4e-4) < 1e-5 and steps == {3: 139, 10: 43}
# bounds, steps

# %% [markdown]
# $H = \frac{1}{2} \ln^2 1.03 = 4.4 \cdot 10^{-4}$. The step is proportional to $\sqrt H$, and so it takes
# 139 steps instead of 43, each with its runs: a tighter bound costs in proportion to how tight it is.
# ```{solution-end}
# ```
