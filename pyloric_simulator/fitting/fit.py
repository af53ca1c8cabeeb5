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
# # Fits
#
# Which conductances would have made this recording? Which would give a cell the rhythm that it lacks?
# Both are the question for the values at which a number, the *loss*, is smallest. The function `fit`
# searches for them: in a box of parameters, conductances and synapses on a logarithmic scale, with any
# optimizer of [optax](https://optax.readthedocs.io).
#
# Here is a case of which the answer is known. An isolated {term}`pacemaker` is simulated, and three of
# its {term}`maximal conductances <maximal conductance>` are forgotten: the fit starts with half again too
# much sodium and delayed rectifier, and half of the slow calcium current. From 0.8 s of the potential
# alone it finds them again.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(
#     hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None)
# )

# %% tags=["active-ipynb"]
# import jax
# import jax.numpy as jnp
# import numpy as np
# import optax
# import pandas as pd
#
# from .fit import box, fit, with_trend
# from .losses import criteria_mismatch, prediction_error, rhythm_mismatch
# from .parameters import conductance_names, model_with, parameters
# from ..prinz2004 import Prinz2004, precision
# from .soft_features import SAMPLING
#
# cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
# truth = cell(np.arange(0, 1500, 0.25))
# names = ["AB/PD 2 Na", "AB/PD 2 CaS", "AB/PD 2 Kd"]
# true = np.array([parameters(cell)[n] for n in names])
# wrong = model_with(cell, dict(zip(names, true * [1.5, 0.5, 1.5], strict=True)))
# loss = prediction_error(wrong, truth[:800], state=cell.get_thermalization())
# decay = optax.adam(optax.cosine_decay_schedule(0.1, 40))
# found = fit(wrong, loss, names, optimizer=decay, steps=40, patience=None, progress=False)
# assert np.allclose(found.values, true, rtol=0.02)
# pd.DataFrame({"true": true, "start": [parameters(wrong)[n] for n in names], "found": found.values}).round(2)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Each conductance relative to its true value, along the fit.", "name": "fig-recovery"}}
# path = found.history.xs(0, level="start")
# curves = [
#     hv.Curve((path.index, path[n] / x), "step", "value / true value", label=n.split()[-1])
#     for n, x in zip(names, true, strict=True)
# ]
# hv.Overlay(curves).opts(width=560, height=240, toolbar=None, legend_position="right")

# %% [markdown]
# The three lines of {numref}`fig-recovery` swing before they settle: Adam, the optimizer, has momentum,
# and the three currents can stand in for each other to some extent. After 40 steps, whose length falls to
# zero, all three are within a percent of the truth.
#
# ## What it does and what it costs
#
# A fit takes a model, a loss and the names of the parameters that may change. The model is also the first
# start, and all that is not named stays as it is. Names are those of the
# [chapter on names](parameters.py); losses are in the [chapter on losses](losses.py), and a function of
# your own that maps `model.params` to one number is as good.
#
# Each parameter has bounds in its own unit, by default a quarter and four times its value in the model.
# The search never leaves them. What comes back, a `Fit`, has the best model that was seen at any step of
# any start, its values, and the whole history; starts at which the loss or the gradient is not finite are
# set aside and listed.
#
# A step of a fit needs the derivative of the loss with respect to all parameters. By the
# [adjoint](adjoint.py) that is a few simulations for each start, however many parameters there are. The
# {term}`adjoint` goes back through the stretch of the run that the loss looks at, so a second of
# recording costs less than ten. Several starts run side by side in one compiled function, which is
# compiled once, at the first step. The fit above, 40 steps through 0.8 s, takes five to ten seconds on
# one core of a small server, half of them or more for compiling.
#
# A fit finds *a* minimum, no more. That there are others, with quite different conductances, is the theme
# of {cite:t}`Prinz2004`; how far the valley around one of them goes is that of the
# [chapter on curves](curves.py). And it finds only what the recording shows: how much each number matters
# is worth a look beforehand, by `sensitivity`.
#
# ## Three more fits
#
# ### A cell of one's own
#
# The same works for any model. The bursting cell of {cite:t}`Drion2015`, whose channels are those of
# {cite:t}`Liu1998`, counts as a network of one, and starts cold. Of its KCa, half again too strong at the
# start, 200 ms tell the true strength of 40 mS/cm². That short a stretch is enough because the prediction
# error compares currents at all times, not the times of spikes.

# %% tags=["active-ipynb"]
# from ..models.networks import Cell
# from ..models.channels import Liu1998 as Liu
#
# densities = dict(Na=700, CaT=2, CaS=4, A=50, KCa=40, Kd=70, H=0.03, leak=0.01)
# own = Cell([getattr(Liu, name)(g) for name, g in densities.items()], calcium=Liu.calcium)
# too_strong = model_with(own, {"cell KCa": 60})
# loss = prediction_error(too_strong, own(np.arange(0, 200, 0.1)))
# decay = optax.adam(optax.cosine_decay_schedule(0.1, 30))
# refound = fit(too_strong, loss, ["cell KCa"], optimizer=decay, steps=30, patience=None, progress=False)
# assert abs(refound.values["cell KCa"] / 40 - 1) < 0.02
# refound.values

# %% [markdown]
# ### A tonic cell becomes a burster
#
# The target may also be a rhythm that nobody has recorded. With 2 mS/cm² of KCa in place of 5, AB/PD 2
# fires tonically: too little potassium current is left to end a {term}`burst`. We want bursts every 1.2 s
# with a {term}`duty cycle` of a quarter. At a rig one would add the missing current from outside, by
# {term}`dynamic clamp <clamp>`; here the cell's own channels are to do it.
#
# There is no period to begin with, so the first fit only has to find bursts, and follows the derivative
# of the longest silence. The second one follows the trend {eq}`eq-trend`, through bursts with more spikes
# and with fewer. Each spike more or less shifts the period, and a fit that follows the derivative alone
# would stop between two such jumps.

# %% tags=["active-ipynb"]
# from ..rhythm import summary
#
# tonic, t = model_with(cell, {"AB/PD 2 KCa": 2}), np.arange(2000, 6000, SAMPLING)
# names, wanted = [f"AB/PD 2 {x}" for x in ("KCa", "A", "CaS", "H")], dict(period=1200, duty_cycle=0.25)
# mismatch = rhythm_mismatch(tonic, t, **wanted)
# bursting = fit(tonic, mismatch, names, steps=20, goal=1.0, progress=False)
# slowly = dict(optimizer=optax.adam(0.01), width=0.02, steps=60, patience=None, goal=1e-3)
# burster = fit(bursting.model, mismatch, names, **slowly, progress=False)
# rows = {"tonic": tonic, "first fit": bursting.model, "second fit": burster.model}
# found = pd.concat({name: summary(x(np.arange(2000, 12000, 0.25))).iloc[0] for name, x in rows.items()}, axis=1).T
# assert found.activity.tolist() == ["tonic", "bursting", "bursting"]
# assert abs(found["period (ms)"].iloc[-1] / 1200 - 1) < 0.05 and abs(found["duty cycle"].iloc[-1] / 0.25 - 1) < 0.05
# found[["activity", "period (ms)", "duty cycle", "spikes per burst"]]

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The tonic cell, and the burster that it became.", "name": "fig-burster"}}
# (tonic(np.arange(0, 4000, 0.5)).plot() + burster.model(np.arange(0, 4000, 0.5)).plot()).opts(toolbar=None).cols(1)

# %% [markdown]
# ### A circuit becomes pyloric
#
# Circuit 5,356,279 of the database has a triphasic rhythm that fails five of the fifteen
# {term}`criteria <criterion>`: its PY bursts are short and late. Its seven
# {term}`synapses <graded synapse>` and four conductances of LP and PY may change. The loss asks for all
# fifteen criteria with a margin of half a standard deviation, so that what is reached does not sit on the
# very edge of a range. Whether it is reached is checked on ten other seconds, with the ordinary criteria.

# %% tags=["active-ipynb"]
# from ..database import circuit
# from ..rhythm import is_pyloric, report
#
# almost = circuit(5_356_279)
# names = [n for n in conductance_names(almost) if "-" in n] + ["PY A", "PY Kd", "LP A", "LP Kd"]
# criteria = criteria_mismatch(almost, np.arange(2000, 7000, SAMPLING), margin=0.5)
# options = dict(optimizer=optax.adam(0.02), width=0.03, steps=40, patience=None, goal=0.006)
# pyloric = fit(almost, criteria, names, **options, progress=False)
# before, after = (report(x(np.arange(3000, 13000, 0.25))) for x in (almost, pyloric.model))
# assert not before["passes"].all() and after["passes"].all()
# assert is_pyloric(pyloric.model(np.arange(3000, 13000, 0.25)))
# pd.concat({"before": before[["value", "passes"]], "after": after[["value", "passes"]]}, axis=1).round(3)

# %% tags=["active-ipynb"]
# pd.DataFrame({"before": [parameters(almost)[n] for n in names], "after": pyloric.values}).round(2)

# %% [markdown]
# No number changes by more than a half; most synapses change by a fifth or less. A {term}`pyloric`
# circuit was close by. (The features in the loss are the soft ones, of five seconds; those in the table
# are those of the chapter on rhythms.)
#
# What the chapter takes from elsewhere, and what others take from it:

# %%
from __future__ import annotations

import glob
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from ..engine import checks
from ..files.seals import blank, is_intact, sealed
from ..files.writing import SHOWN, remove_drafts, write_whole
from ..models.networks import any_model
from ..prinz2004 import Model, precision
from .losses import Loss
from .parameters import check_names, model_with, parameters, places, with_values
from .sensitivity import felt

__all__ = ["Box", "Fit", "box", "fit"]

# %% [markdown]
# ## The box
#
# A search needs a scale. Conductances of one cell range from 0.01 mS/cm² (H) to 500 (Na), and what counts
# is the factor by which they change: from 0.01 to 0.02 is as much as from 100 to 200. So a conductance
# with the bounds $a$ and $b$ has the coordinate
#
# $$
# x = \frac{\ln (g/a)}{\ln (b/a)}, \qquad g = a\, (b/a)^x,
# $$ (eq-box)
#
# which runs from 0 to 1. All other numbers, such as reversal potentials, which may be negative, run there
# linearly. An optimizer that makes steps of 0.03 in every coordinate, as the default does, then treats
# all parameters alike: with bounds of a factor of four both ways, a step of 0.03 is a factor of
# $16^{0.03}$ = 1.09.
#
# The two formulas are needed in two worlds. `inside` is used once, on starts, in NumPy. `natural` is part
# of what is differentiated and has to be pure JAX, where both branches of a `where` are computed: the
# logarithm or power of a negative bound would be NaN, and a NaN in the branch that is not taken still
# poisons the *derivative*. So the inner `where` puts 1 in its place first.


# %%
class Box(NamedTuple):
    """The parameters to be searched, and where; (parameter,) in each array."""

    names: tuple[str, ...]
    low: np.ndarray  # natural unit
    high: np.ndarray  # natural unit
    log: np.ndarray  # whether the scale is logarithmic

    def inside(self, values: Any) -> Any:
        """Coordinates 0…1 (…, parameter) of values in natural units."""
        f = lambda x: np.where(self.log, np.log(np.where(self.log, x, 1.0)), x)  # noqa: E731
        return (f(values) - f(self.low)) / (f(self.high) - f(self.low))

    def natural(self, x: Any) -> Array:
        """Values in natural units of coordinates x (…, parameter)."""
        low, high = jnp.asarray(self.low, x.dtype), jnp.asarray(self.high, x.dtype)
        safe = lambda a: jnp.where(self.log, a, 1.0)  # noqa: E731
        return jnp.where(self.log, safe(low) * (safe(high) / safe(low)) ** x, low + (high - low) * x)


# %% [markdown]
# By default the box reaches a factor of four both ways. A synapse or conductance of 0 has no logarithm,
# and so no factor: it cannot be in the box, and `check_bounds` says so. Bounds that were given take
# precedence, one by one.

# %%
DEFAULT_SPAN = 4.0  # conductances are searched between a quarter and four times their value


def box(model: Any, names: Sequence[str], bounds: Mapping[str, tuple[float, float]] | None = None) -> Box:
    """The box around a model: bounds in natural units, by default a factor of `DEFAULT_SPAN` both ways."""
    known, where = parameters(model), places(any_model(model).params)
    check_names(checks.names("parameters", names, "['LP Na']"), known)
    bounds = {} if bounds is None else checks.mapping("bounds", bounds, "{'LP Na': (50, 500)}")
    check_names(bounds, names)
    log = np.array([where[n].conducts for n in names])
    ends = [bounds.get(n, tuple(sorted((known[n] / DEFAULT_SPAN, known[n] * DEFAULT_SPAN)))) for n in names]
    check_bounds(names, ends, [known[n] for n in names], log)
    low, high = np.array(ends, float).T
    return Box(tuple(names), low, high, log)


# %% [markdown]
# What a fit found is one object. The values are in natural units, so that they can be read beside the
# paper's tables. The history is a table with two indices, `step` and `start`; it is what figures such as
# {numref}`fig-recovery` are drawn from.


# %%
@dataclass(frozen=True)
class Fit:
    """What a fit found."""

    model: Any  # the model with the best values
    values: pd.Series  # best values, natural units
    loss: float  # of the best values
    history: pd.DataFrame  # one row for each start and step: loss, norm of the gradient, values
    failed: pd.DataFrame  # starts that turned non-finite: the step and the values
    stopped: str  # why it ended: "steps", "patience" or "goal"


# %% [markdown]
# ## The trend
#
# Where spikes come and go, a feature jumps, and its derivative knows nothing of the jumps: in
# {numref}`fig-elasticity` more CaS shortens the period, at a given number of spikes per burst, and yet a
# tenth more of it lengthens the period by 7%, since it adds spikes. A fit that follows such derivatives
# goes astray. So `fit` can follow the **trend**: the derivative, averaged over $x_i ± w$, is the
# difference of the two ends,
#
# $$
# \overline{\partial_i f} = \frac{1}{2w} \int_{-w}^{w} \partial_i f(x + u\, e_i)\, du = \frac{f(x + w e_i) - f(x - w e_i)}{2 w},
# $$ (eq-trend)
#
# jumps included. It costs two runs for each parameter, side by side, and no gradient. The width is a
# share of the box. It should span several jumps, since one that is just inside or just outside of it
# changes the difference by the whole jump, and be narrow against the landscape that the fit is to follow.
# In the examples 0.02 and 0.03 of the box are six and nine percent of a conductance to each side.
#
# For the optimizer nothing changes: it gets a function with a value and a derivative. JAX lets a function
# have a derivative of one's own choice (`custom_jvp`). The rule is written for forward mode, and is
# linear in the change $dx$, so that JAX can turn it around for reverse mode.


# %%
def ends(f: Callable[[Array], Array], x: Array, w: float) -> tuple[Array, Array]:
    """f at x + w and at x − w in each parameter, (parameter, …) each; x: (parameter,)."""
    δ = w * jnp.eye(len(x), dtype=x.dtype)
    return jax.vmap(f)(x + δ), jax.vmap(f)(x - δ)


def with_trend(f: Callable[[Array], Array], w: float) -> Callable[[Array], Array]:
    """A scalar f of x (parameter,) with the derivative {eq}`eq-trend`."""
    trending = jax.custom_jvp(f)

    @trending.defjvp
    def derivative(x: tuple[Array], dx: tuple[Array]) -> tuple[Array, Array]:
        up, down = ends(f, *x, w)
        return f(*x), (dx[0] * (up - down)).sum() / (2 * w)

    return trending


# %% [markdown]
# ## One step
#
# The state of a search is a {term}`lane` for each start: its coordinates, what its optimizer remembers
# (for Adam two running means for each parameter), and whether it is still alive. As a pytree it can be
# compiled, vectorized and saved as one.


# %%
class Search(NamedTuple):
    """The state of a fit, a pytree."""

    x: Any  # (start, parameter) coordinates
    optimizer: Any  # state of the optimizer of each start
    alive: Any  # (start,) whether loss and gradient have been finite so far


# %% [markdown]
# A step of one start does five things. It takes value and gradient. It notes whether both are finite; a
# start that once was not stays where it is, since an infinite loss has no way down, and the others go on.
# It clips the gradient: near a jump the derivative of a run can be many times too large, and one such
# step would throw the parameters across the box. The *direction* is kept, and the length $|∇|$ is at most
# `clip`,
#
# $$
# ∇ \leftarrow ∇ \cdot \min\!\left(1, \frac{\mathrm{clip}}{|∇|}\right).
# $$ (eq-clip)
#
# Then the optimizer proposes a change, and the result is cut off at the faces of the box. The gradient
# that counts is that by coordinates, so that its components can be compared: the change of the loss from
# one end of the box to the other. `jax.vmap` does all that for all starts, and `jax.jit` makes one
# compiled function of it. Optimizers with a line search, such as L-BFGS, evaluate the loss themselves;
# they get it as `value_fn`.


# %%
def stepper(
    loss: Callable[[Array], Array], optimizer: Any, clip: float | None
) -> Callable[[Search], tuple[Search, Array, Array]]:
    """One step of all starts: the next search, the loss and the norm of the gradient at the present one."""
    optax = checks.package("optax", "fit", "fit")
    optimizer = optax.with_extra_args_support(optimizer)  # line searches want to evaluate the loss themselves

    def step(x: Array, inner: Any, alive: Array) -> tuple[Array, Any, Array, Array, Array]:
        value, slope = jax.value_and_grad(loss)(x)
        norm = jnp.sqrt((slope**2).sum())
        good = alive & jnp.isfinite(value) & jnp.isfinite(norm)
        slope = jnp.where(good, slope, 0.0) * (
            1.0 if clip is None else jnp.minimum(1.0, clip / jnp.maximum(norm, 1e-300))
        )
        with jax.numpy_dtype_promotion("standard"):  # optimizers mix their counters with floats
            change, inner = optimizer.update(slope, inner, x, value=value, grad=slope, value_fn=loss)
        return jnp.where(good, jnp.clip(optax.apply_updates(x, change), 0, 1), x), inner, good, value, norm

    def all_starts(s: Search) -> tuple[Search, Array, Array]:
        x, inner, alive, value, norm = jax.vmap(step)(s.x, s.optimizer, s.alive)
        return Search(x, inner, alive), value, norm

    return jax.jit(all_starts)


# %% [markdown]
# ## Starts
#
# The first start is the model itself; the others are drawn from the box, evenly in its coordinates, with
# a seed. Several starts are the cheapest way to learn whether a loss has several minima: if they end in
# different places with the same loss, the recording does not tell these apart, and if they end with
# different losses, some are caught. Starts of one's own come as a table with a column for each parameter,
# such as the last step of another fit.


# %%
def starts_of(box: Box, model: Any, starts: Any, seed: int) -> np.ndarray:
    """Coordinates (start, parameter): a number of starts, or a table or array of values in natural units."""
    own = np.array([[parameters(model)[n] for n in box.names]])
    seed = checks.count("seed", seed, least=0)
    if np.ndim(starts) == 0:
        checks.count("starts", starts)
        checks.memory(f"a search from {starts} starts", 100.0 * starts * len(box.names), "Take fewer.")
        drawn = np.random.default_rng(seed).random((starts - 1, len(box.names)))
        return np.concatenate([box.inside(own), drawn])
    if isinstance(starts, pd.DataFrame):
        for name in box.names:
            checks.choice(f"the column of starts for {name!r}", name, list(map(str, starts.columns)))
        starts = starts[list(box.names)]
    values = np.atleast_2d(checks.numbers("starts", starts))
    check_starts(values, box.names, box.low, box.high)
    return box.inside(values)


# %% [markdown]
# ## Checkpoints
#
# A fit that takes a night should survive the night. After each step everything that the search needs to
# go on is written to a file, under a name that is only given once the file is complete, so that a machine
# that stops in the middle of writing leaves the file of the step before.
#
# A checkpoint belongs to its fit, that is, to the parameters, bounds and starts, to the model's other
# numbers, and to the loss and the optimizer. Going on with another loss by mistake would give a result
# that nobody could explain, and so it is refused. But two losses are functions, which cannot be compared
# as such. So the file also keeps what one step from points near the starts gives: the loss, its gradient,
# and what the optimizer makes of it. If these are the same, up to rounding, it is the same fit. The
# points are near the starts and not at them, since at a start that is a solution the gradient of many
# losses is 0.


# %%
class Log(NamedTuple):
    """What a fit has done so far; (step, start, …) in each field."""

    x: list[np.ndarray]
    loss: list[np.ndarray]
    slope: list[np.ndarray]


PROBE = 0.05  # of the box, between a start and the point near it from which a step is compared


class Identity(NamedTuple):
    """By what a checkpoint knows its fit."""

    about: str  # parameters, bounds, options and the model's numbers
    starts: np.ndarray  # (start, parameter) coordinates
    step: tuple[np.ndarray, ...]  # all that a step from points near the starts gives


def near_step(advance: Callable[[Search], tuple[Search, Array, Array]], search: Search) -> tuple[np.ndarray, ...]:
    """What a step from points near the starts of a search gives."""
    x = np.asarray(search.x)
    shift = PROBE * np.where(x < 0.5, 1, -1) * np.random.default_rng(0).random(x.shape)
    return tuple(
        np.asarray(leaf) for leaf in jax.tree.leaves(advance(search._replace(x=jnp.asarray(x + shift, x.dtype))))
    )


# %% [markdown]
# Of the other numbers, which may be hundreds, a fingerprint is enough. The file itself is an archive of
# arrays with a checksum at its end. It holds no Python objects: opening a file that someone else has sent
# should not run their code.


# %%
def other_numbers(model: Any, names: Sequence[str]) -> str:
    """A fingerprint of all numbers of a model but those that are fitted."""
    others = [[name, value] for name, value in parameters(model).items() if name not in names]
    return hashlib.sha256(json.dumps(others).encode()).hexdigest()


def save(path: Path, fit: Identity, search: Search, log: Log) -> None:
    """Write a checkpoint; it appears under its name only when it is complete."""
    leaves = {f"search{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(search))}
    steps = {f"step{i}": x for i, x in enumerate(fit.step)}
    done = {k: np.array(v) for k, v in log._asdict().items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, about=np.array(fit.about), starts=fit.starts, **steps, **leaves, **done)
    write_whole(path, sealed(file.getvalue() + blank()))


# %% [markdown]
# Reading goes in the opposite order, each check before the next: is there a file, is it whole, is it of
# this fit. The leaves of the search come back in the order in which they were written, and take their
# places in a search of the same shape.

# %%
Stored = Mapping[str, np.ndarray]  # the arrays of a checkpoint


def stored(path: Path | None) -> Stored | None:
    """The arrays of a checkpoint, if there is one. Raises ValueError if it is damaged."""
    if path is None or not path.exists():
        return None
    data = path.read_bytes()
    if not is_intact(data):
        raise ValueError(
            f"{path} is no checkpoint of this version, or it is damaged: {len(data)} bytes without a checksum that fits. Delete it to begin anew, or "
            "give another file."
        )
    with np.load(io.BytesIO(data[: -len(blank())]), allow_pickle=False) as file:
        return dict(file)


def restore(found: Stored, like: Search) -> tuple[Search, Log]:
    """A search and its log from a checkpoint."""
    leaves = [found[f"search{i}"] for i in range(len(jax.tree.leaves(like)))]
    return jax.tree.unflatten(jax.tree.structure(like), leaves), Log(*(list(found[name]) for name in Log._fields))


def same_fit(path: Path, same: bool, what: str) -> None:
    """Refuse a checkpoint of another fit."""
    if not same:
        raise ValueError(
            f"the checkpoint {path} belongs to a fit with other {what}; it cannot go on with these. Give another file, or delete this one."
        )


# %% [markdown]
# `taken_up` decides where a fit stands: at its beginning, or where the file ends. Numbers are compared up
# to the square root of the rounding error, about $10^{-8}$ in double precision: the same program on
# another machine adds up in another order.


# %%
def taken_up(
    file: Path,
    found: Stored | None,
    about: str,
    advance: Callable[[Search], tuple[Search, Array, Array]],
    search: Search,
) -> tuple[Callable[[Search, Log], None], Search, Log]:
    """How a fit is kept in a file, and where it stands: at the start of its search, or where the checkpoint found ended."""
    about, starts = about + str(jax.tree.structure(search)), np.asarray(search.x)
    same = found is None or (str(found["about"]) == about and alike(found["starts"], starts))
    same_fit(file, same, "parameters, bounds, starts, options or numbers of the model")
    step = near_step(advance, search)
    same_fit(
        file, found is None or all(alike(found[f"step{i}"], x) for i, x in enumerate(step)), "loss, data or optimizer"
    )
    remove_drafts(file.parent, glob.escape(file.name[:SHOWN]))
    keep = partial(save, file, Identity(about, starts, step))
    return (keep, search, Log([], [], [])) if found is None else (keep, *restore(found, search))


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal up to rounding, for the same computation on another machine."""
    rtol = 0.0 if b.dtype.kind != "f" else float(np.sqrt(np.finfo(b.dtype).eps))
    return a.shape == b.shape and np.allclose(a, b, rtol=rtol, atol=0, equal_nan=True)


def checkpoint_at(checkpoint: Any) -> Path | None:
    """The path of a checkpoint, in a folder that is there."""
    if checkpoint is None:
        return None
    if isinstance(checkpoint, bool) or not isinstance(checkpoint, (str, os.PathLike)) or not str(checkpoint):
        raise TypeError(
            f"checkpoint is {checkpoint!r}; it must be the path of a file, such as 'fit.npz', or None. Give one of these."
        )
    path = Path(checkpoint)
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"is in {path.parent}, which is no folder"
        raise ValueError(f"the checkpoint {path} {what}; it must be a file. Give another path, or make the folder.")
    return path


# %% [markdown]
# ## The search
#
# The log is kept in coordinates, and the history is told in natural units, all steps at once. A fit ends
# when it has made its steps, when the loss is as small as was asked for (the *goal*), or when the best
# loss of all starts has not fallen by a thousandth for `patience` steps. The last rule is the default,
# with 20 steps. A fit with a learning rate that is planned over all steps, such as the cosine schedule at
# the top, should switch it off: it may stand still for a while before the steps get short enough.


# %%
def told(box: Box, log: Log, dtype: Any) -> pd.DataFrame:
    """The history: one row for each start and step."""
    n_steps, n = len(log.loss), len(log.loss[0])
    values = np.asarray(box.natural(jnp.asarray(np.array(log.x), dtype))).reshape(n_steps * n, -1)
    index = pd.MultiIndex.from_product([range(n_steps), range(n)], names=["step", "start"])
    table = pd.DataFrame({"loss": np.ravel(log.loss), "gradient": np.ravel(log.slope)}, index=index)
    return pd.concat([table, pd.DataFrame(values, index=index, columns=list(box.names))], axis=1)


def reason_to_stop(log: Log, goal: float | None, patience: int | None) -> str | None:
    """Whether the goal is reached, or the best loss has not fallen by 0.1% for `patience` steps."""
    best = np.fmin.accumulate([np.nanmin(x) if np.isfinite(x).any() else np.inf for x in log.loss])
    if goal is not None and best[-1] <= goal:
        return "goal"
    still = patience is not None and len(best) > patience and best[-1] > (1 - LEAST_FALL) * best[-1 - patience]
    return "patience" if still else None


LEAST_FALL = 1e-3  # of the best loss, relative

# %% [markdown]
# `fit` itself checks, builds and hands over. The order matters to who waits for it: everything that can
# be refused from the arguments alone is refused in the first lines; then the loss is traced, which takes
# a second and tells that it is one number; then compiled and run.


# %%
def fit(
    model: Any, loss: Loss, parameters: Sequence[str], *, optimizer: Any = None, bounds: Mapping[str, tuple[float, float]] | None = None,
    clip: float | None = 1.0, width: float | None = None, starts: Any = 1, steps: int = 100, patience: int | None = 20, goal: float | None = None, seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None, progress: bool = True,
) -> Fit:  # fmt: skip
    """Minimize a loss over some parameters of any model; a `Cell` counts as a network of one.

    loss: a function of `model.params` to a scalar, such as those of `losses`. parameters: names, see `parameters`. optimizer: of
    optax, on coordinates that run from 0 to 1 between the bounds (natural units; a factor of 4 both ways by
    default). clip: largest norm of the gradient, None for none. width: half of the range over which the derivative is averaged,
    {eq}`eq-trend`, as a share of the box; None for the derivative itself. starts: how many, or their values. patience:
    steps without progress. goal: a loss that is good enough. checkpoint: a file; a fit that finds it goes on from there.
    Raises ValueError or TypeError before compiling for unknown names, impossible bounds, losses that are not scalar and derivatives that
    are 0 by construction, and ValueError if no start has a finite loss.
    """
    model = any_model(model)
    check_optimizer(optimizer)
    checks.function("loss", loss, "trace_mismatch(model, recording)")
    clip = None if clip is None else checks.positive("clip", clip, "1")
    goal = None if goal is None else checks.number("goal", goal, "its unit")
    patience = None if patience is None else checks.count("patience", patience)
    width = None if width is None else checks.number("width", width, "1", above=0, below=1)
    steps, progress, file = checks.count("steps", steps), checks.truth("progress", progress), checkpoint_at(checkpoint)
    chosen, space, found = optimizer or default_optimizer(), box(model, parameters, bounds), stored(file)
    with precision(model.dtype):
        objective = objective_of(model, loss, space, width)
        x = jnp.asarray(starts_of(space, model, starts, seed), model.dtype)
        checks.scalar_loss(lambda: jax.eval_shape(objective, jax.ShapeDtypeStruct(x.shape[1:], x.dtype)))
        check_slopes(model, loss, space, width)
        search = Search(x, jax.vmap(chosen.init)(x), jnp.ones(len(x), bool))
        advance, log, keep = stepper(objective, chosen, clip), Log([], [], []), lambda *_: None
        if file is not None:
            about = about_fit(model, space, seed, clip, width)
            keep, search, log = taken_up(file, found, about, advance, search)
        stopped = search_on(advance, search, log, steps, patience, goal, keep, progress)
        history = told(space, log, model.dtype)
    return concluded(model, space, history, stopped)


# %% [markdown]
# The loss is a function of `Params`, and the search of coordinates. Between them stand two maps, from
# coordinates to natural units and from there into the model; the chain rule through both is JAX's. For a
# conductance it is $\partial L/\partial x = g \ln(b/a)\, \partial L/\partial g$.
#
# A derivative may be 0 for a reason that no step can mend. The threshold of an integrate-and-fire cell
# acts only through *whether* it is crossed, and a potential between spikes does not depend on it. A fit
# would return its start without a word. So for cells without channels the program of the derivative is
# looked at before, as the [chapter on sensitivities](sensitivity.py) explains.


# %%
def about_fit(model: Any, space: Box, seed: Any, clip: float | None, width: float | None) -> str:
    """By what a checkpoint knows parameters, bounds, options and the model's other numbers."""
    ends = [end.tolist() for end in (space.low, space.high)]
    return json.dumps([space.names, *ends, seed, clip, width, other_numbers(model, space.names)])


def objective_of(model: Any, loss: Loss, space: Box, width: float | None) -> Callable[[Array], Array]:
    """The loss as a function of coordinates (parameter,), with the derivative {eq}`eq-trend` if there is a width."""

    def at_point(x: Array) -> Array:
        return loss(with_values(model.params, dict(zip(space.names, space.natural(x), strict=True))))

    return at_point if width is None else with_trend(at_point, width)


def check_slopes(model: Any, loss: Loss, space: Box, width: float | None) -> None:
    """Refuse numbers of cells without channels with respect to which the derivative of the loss is 0 by construction."""
    if width is None and not isinstance(model, Model):
        known = parameters(model)
        values = {name: jnp.asarray(known[name], model.dtype) for name in space.names}
        felt(lambda values: loss(with_values(model.params, values)), values)


def default_optimizer() -> Any:
    """Adam with a step of 0.03 of the box."""
    return checks.package("optax", "fit", "fit").adam(0.03)


# %% [markdown]
# The loop runs in Python: between two steps it has time to write a file, to move the bar, and to think
# about stopping, which compared with a simulation costs nothing. At the end the best of all starts and
# steps wins, not the last: with jumps in the loss the last step need not be the best one.


# %%
def search_on(
    advance: Callable[[Search], tuple[Search, Array, Array]], search: Search, log: Log, steps: int, patience: int | None,
    goal: float | None, keep: Callable[[Search, Log], None], progress: bool,
) -> str:  # fmt: skip
    """Step until a reason to stop, filling the log and keeping it after each step; returns the reason."""
    from tqdm import tqdm

    with tqdm(total=steps, initial=len(log.loss), disable=not progress, desc="fit", unit="step") as bar:
        while len(log.loss) < steps:
            following, value, slope = advance(search)
            for kept, new in zip(log, (search.x, value, slope), strict=True):
                kept.append(np.asarray(new))
            if not log.loss[1:]:
                check_finite(log.loss[0])
            search = following
            keep(search, log)
            bar.set_postfix(loss=f"{np.nanmin(log.loss[-1]):.4g}", refresh=False)
            bar.update()
            if why := reason_to_stop(log, goal, patience):
                return why
    return "steps"


def concluded(model: Any, box: Box, history: pd.DataFrame, stopped: str) -> Fit:
    """The best of all starts and steps."""
    names = list(box.names)
    best = history.iloc[int(np.nanargmin(history["loss"]))]
    broken = ~np.isfinite(history["loss"]) | ~np.isfinite(history["gradient"])
    failed = history[broken].groupby("start").head(1).reset_index("step")[["step", *names]]
    values = best[names].rename("value")
    return Fit(
        model_with(model, dict(zip(names, values, strict=True))), values, float(best["loss"]), history, failed, stopped
    )


# %% [markdown]
# ## What is refused
#
# A lower bound of 0 on a logarithmic scale, bounds that exclude the start, starts outside, and an
# optimizer that is none: each message says what was given, what it must be, and what to do.


# %%
def check_bounds(names: Sequence[str], ends: Sequence[Any], values: Sequence[float], log: np.ndarray) -> None:
    """Refuse bounds that are no interval, that exclude the start, or that a logarithmic scale cannot have."""
    if not names:
        raise ValueError("no parameters to fit; give the names of some, such as ['AB/PD Na'].")
    for name, pair, value, scale in zip(names, ends, values, log, strict=True):
        if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
            raise TypeError(f"the bounds of {name!r} are {pair!r}; they must be a pair of numbers. Give (low, high).")
        low, high = (checks.number(f"bound of {name!r}", x, "its unit") for x in pair)
        if scale and low <= 0:
            raise ValueError(
                f"the lower bound of {name!r} is {low:g}; conductances are searched on a logarithmic scale, where it must be positive. "
                "Give bounds such as (0.01, 10), and a start within them."
            )
        if not low < high:
            raise ValueError(
                f"the bounds of {name!r} are {low:g} and {high:g}; the lower one must be less. Give (low, high)."
            )
        if not low <= value <= high:
            raise ValueError(
                f"{name!r} starts at {value:g}, outside its bounds {low:g} to {high:g}. Widen them, or start from another model."
            )


# %% [markdown]
# Starts come in natural units, and one outside of the box would silently be moved to its face, so it is
# refused as well. A fit none of whose starts has a finite loss has nowhere to go.


# %%
def check_starts(values: np.ndarray, names: Sequence[str], low: np.ndarray, high: np.ndarray) -> None:
    """Starts (start, parameter) within bounds."""
    if values.ndim != 2 or values.shape[1] != len(names) or not len(values):
        raise ValueError(
            f"starts has shape {values.shape}; it must be (start, {len(names)}), in the order of the parameters. Give a row per start."
        )
    out = ~((values >= low) & (values <= high))
    if out.any():
        i, j = np.argwhere(out)[0]
        raise ValueError(
            f"start {i} has {values[i, j]:g} for {names[j]!r}, outside its bounds {low[j]:g} to {high[j]:g}. Widen them."
        )


def check_optimizer(value: Any) -> None:
    """An optimizer as optax makes them."""
    if value is not None and not (callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))):
        raise TypeError(f"optimizer is {value!r}; it must be an optimizer of optax, such as optax.adam(0.03).")


def check_finite(loss: np.ndarray) -> None:
    """Refuse a fit none of whose starts has a finite loss."""
    if not np.isfinite(loss).any():
        raise ValueError(
            f"the loss is {loss[0]} at the start, and finite at none of {len(loss)} starts; there is no way down from there. Start "
            "from other values, or take a loss that is defined for them."
        )


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-box
# Where in its default box does a model start? And which coordinate has the value halfway between the two
# bounds?
# ```
#
# ```{solution-start} ex-box
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# space = box(cell, ["AB/PD 2 Na"])
# coordinates = [float(space.inside(np.array(x))[0]) for x in ([100.0], (space.low + space.high) / 2)]
# assert np.allclose(coordinates, [0.5, np.log(8.5) / np.log(16)])
# coordinates

# %% [markdown]
# In the middle, since the scale is logarithmic and the bounds are a factor of four away on both sides.
# The mean of the bounds, 212.5 mS/cm², is far above it: three quarters of the box are below.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-trend
# The function $f(x) = \lfloor 20x \rfloor / 10 - x/2$ is a caricature of a period that a spike more per
# burst lengthens: it rises by steps of 0.1 and falls between them. What is its derivative, and what is
# its trend? For which widths?
# ```
#
# ```{solution-start} ex-trend
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# stairs = lambda x: (jnp.floor(20 * x) / 10 - x / 2).sum()
# with precision():
#     x = jnp.array([0.42])
#     exact = float(jax.grad(stairs)(x)[0])
#     trends = {w: round(float(jax.grad(with_trend(stairs, w))(x)[0]), 3) for w in (0.01, 0.025, 0.05, 0.06, 0.1)}
# assert exact == -0.5 and trends[0.025] == trends[0.1] == 1.5
# exact, trends

# %% [markdown]
# The derivative is −0.5 everywhere, and the function rises: by 1.5 per unit in the long run. A width of
# half a step, 0.025, or a multiple sees just that. A narrower one may see no step at all, and others see
# one too few or too many, an error that falls as $1/w$.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-starts
# A loss without a simulation: $L = u^2 + 0.3\,(1 - \cos 12u)$ with $u = \ln(g_{Na}/100)$ has its deepest
# minimum at 100 mS/cm², and others beside it. How many of sixteen starts find the deepest one? What does
# the trend make of it, with a width of half a wave?
# ```
#
# ```{solution-start} ex-starts
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def wavy(params):
#     u = jnp.log(params.g[0, 0] / 100.0)
#     return u**2 + 0.3 * (1 - jnp.cos(12 * u))
#
#
# many = dict(starts=16, steps=100, patience=None, progress=False)
# half_a_wave = 2 * np.pi / 12 / 2 / np.log(16)  # in shares of the box
# def ends_of(width):
#     """Where the starts end, mS/cm²."""
#     return fit(cell, wavy, ["AB/PD 2 Na"], width=width, **many).history.xs(99, level="step")["AB/PD 2 Na"].round(0)
#
#
# by_derivative, by_trend = ends_of(None), ends_of(half_a_wave)
# assert (by_trend == 100).all() and 0 < (by_derivative == 100).sum() < 5
# by_derivative.value_counts(), by_trend.value_counts()

# %% [markdown]
# Two of sixteen, the model's own start among them. The others stay in the nearest minimum. The trend over
# a whole wave does not see the waves at all, so that all of them arrive. This is why the width of a trend
# should fit the distance between the jumps, where one knows it.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-identifiable
# The pacemaker is silent for its first 150 ms. Which of two conductances can be found from these, that of
# sodium or that of H? Predict it from what the currents do, then start both half again too large.
# ```
#
# ```{solution-start} ex-identifiable
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# def from_silence(name):
#     """The factor by which a conductance is off after a fit to 150 ms without spikes."""
#     start = model_with(cell, {name: 1.5 * parameters(cell)[name]})
#     error = prediction_error(start, truth[:150], state=cell.get_thermalization())
#     decay = optax.adam(optax.cosine_decay_schedule(0.1, 30))
#     end = fit(start, error, [name], optimizer=decay, steps=30, patience=None, progress=False).values[name]
#     return float(end / parameters(cell)[name])
#
#
# factors = {name: from_silence(f"AB/PD 2 {name}") for name in ("Na", "H")}
# assert factors["Na"] > 1.4 and abs(factors["H"] - 1) < 0.02
# factors

# %% [markdown]
# H is found to a percent: between bursts it is the current that depolarizes the cell. Sodium stays almost
# where it started, since its channels are closed and the potential does not depend on how many there are.
# A smaller loss would not help; another stretch of the recording does.
# ```{solution-end}
# ```
