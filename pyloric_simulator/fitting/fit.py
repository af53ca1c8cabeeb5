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
# `fit` searches a box of parameters, conductances and synapses on a logarithmic scale, with any optimizer of
# [optax](https://optax.readthedocs.io). All starts run side by side in one compiled function.

# %% tags=["active-ipynb"]
# import holoviews as hv
# import numpy as np
# import pandas as pd
# import panel as pn
#
# from .fit import fit
# from .losses import criteria_mismatch, prediction_error, rhythm_mismatch
# from .parameters import conductance_names, model_with, parameters
# from ..prinz2004 import Prinz2004
# from .soft_features import SAMPLING
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# cell = Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)
# truth = cell(np.arange(0, 1500, 0.25))

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
# The names of the parameters are those of the chapter on names. Coordinates run from 0 to 1 between the bounds.


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
# Where spikes come and go, a feature jumps, and its derivative knows nothing of the jumps: in {numref}`fig-elasticity` more CaS
# shortens the period, at a given number of spikes per burst, and yet a tenth more of it lengthens the period by 8%, since it adds spikes. A
# fit that follows such derivatives goes astray. So `fit` can follow the **trend**: the derivative, averaged over $x_i ± w$, is the
# difference of the two ends,
#
# $$
# \overline{\partial_i f} = \frac{1}{2w} \int_{-w}^{w} \partial_i f(x + u\, e_i)\, du = \frac{f(x + w e_i) - f(x - w e_i)}{2 w},
# $$ (eq-trend)
#
# jumps included. It costs two runs for each parameter, side by side, and no gradient.


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


class Search(NamedTuple):
    """The state of a fit, a pytree."""

    x: Any  # (start, parameter) coordinates
    optimizer: Any  # state of the optimizer of each start
    alive: Any  # (start,) whether loss and gradient have been finite so far


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
# The first start is the model itself; the others are drawn from the box with a seed. Everything that the search needs to go
# on is written to a checkpoint file, under a name that is only given once the file is complete. It belongs to its fit, that is, to the
# parameters, bounds and starts, to the model's other numbers, and to the loss and the optimizer. Two losses cannot be compared as such.
# So the file also keeps what one step from points near the starts gives: the loss, its gradient, and what the optimizer makes of it.


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
# ## Examples
#
# ### Conductances of a cell from its voltage
#
# Three conductances of an isolated pacemaker, half again too large or half too small, are found from 0.8 s of its
# potential by the prediction error.

# %% tags=["active-ipynb"]
# import optax
#
# names = ["AB/PD 2 Na", "AB/PD 2 CaS", "AB/PD 2 Kd"]
# true = np.array([parameters(cell)[n] for n in names])
# wrong = model_with(cell, dict(zip(names, true * [1.5, 0.5, 1.5], strict=True)))
# loss = prediction_error(wrong, truth[:800], state=cell.get_thermalization())
# found = fit(wrong, loss, names, optimizer=optax.adam(optax.cosine_decay_schedule(0.1, 40)), steps=40, patience=None, progress=False)
# assert np.allclose(found.values, true, rtol=0.02)
# pd.DataFrame({"true": true, "start": [parameters(wrong)[n] for n in names], "found": found.values}).round(2)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Each conductance relative to its true value, along the fit.", "name": "fig-recovery"}}
# path = found.history.xs(0, level="start")
# curves = [hv.Curve((path.index, path[n] / x), "step", "value / true value", label=n.split()[-1]) for n, x in zip(names, true, strict=True)]
# hv.Overlay(curves).opts(width=560, height=240, toolbar=None, legend_position="right")

# %% [markdown]
# ### A cell of one's own
#
# The same for the bursting cell of {cite:t}`Drion2015`, whose channels are those of {cite:t}`Liu1998`. It counts as a network of one, and starts cold. Of
# its KCa, half again too strong at the start, 200 ms tell the true strength.

# %% tags=["active-ipynb"]
# from ..models.networks import Cell
# from ..models.channels import Liu1998 as Liu
#
# densities = dict(Na=700, CaT=2, CaS=4, A=50, KCa=40, Kd=70, H=0.03, leak=0.01)
# own = Cell([getattr(Liu, name)(g) for name, g in densities.items()], calcium=Liu.calcium)
# too_strong = model_with(own, {"cell KCa": 60})
# loss = prediction_error(too_strong, own(np.arange(0, 200, 0.1)))
# refound = fit(too_strong, loss, ["cell KCa"], optimizer=optax.adam(optax.cosine_decay_schedule(0.1, 30)), steps=30, patience=None, progress=False)
# assert abs(refound.values["cell KCa"] / 40 - 1) < 0.02
# refound.values

# %% [markdown]
# ### A tonic cell becomes a burster
#
# With 2 mS/cm² of KCa in place of 5, AB/PD 2 fires tonically. We want bursts every 1.2 s with a duty cycle of a quarter. There is no
# period to begin with, so the first fit only has to find bursts, and follows the derivative of the longest silence. The second one follows the
# trend {eq}`eq-trend`, through bursts with more spikes and with fewer.

# %% tags=["active-ipynb"]
# from ..rhythm import summary
#
# tonic, t = model_with(cell, {"AB/PD 2 KCa": 2}), np.arange(2000, 6000, SAMPLING)
# names, wanted = [f"AB/PD 2 {x}" for x in ("KCa", "A", "CaS", "H")], dict(period=1200, duty_cycle=0.25)
# mismatch = rhythm_mismatch(tonic, t, **wanted)
# bursting = fit(tonic, mismatch, names, steps=20, goal=1.0, progress=False)
# burster = fit(bursting.model, mismatch, names, optimizer=optax.adam(0.01), width=0.02, steps=60, patience=None, goal=1e-3, progress=False)
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
# Circuit 5,356,279 of the database has a triphasic rhythm that fails five of the fifteen criteria. Its seven synapses and four conductances of LP
# and PY may change.

# %% tags=["active-ipynb"]
# from ..database import circuit
# from ..rhythm import is_pyloric, report
#
# almost = circuit(5_356_279)
# names = [n for n in conductance_names(almost) if "-" in n] + ["PY A", "PY Kd", "LP A", "LP Kd"]
# criteria = criteria_mismatch(almost, np.arange(2000, 7000, SAMPLING), margin=0.5)
# pyloric = fit(almost, criteria, names, optimizer=optax.adam(0.02), width=0.03, steps=40, patience=None, goal=0.006, progress=False)
# before, after = (report(x(np.arange(3000, 13000, 0.25))) for x in (almost, pyloric.model))
# assert not before["passes"].all() and after["passes"].all() and is_pyloric(pyloric.model(np.arange(3000, 13000, 0.25)))
# pd.concat({"before": before[["value", "passes"]], "after": after[["value", "passes"]]}, axis=1).round(3)

# %% tags=["active-ipynb"]
# pd.DataFrame({"before": [parameters(almost)[n] for n in names], "after": pyloric.values}).round(2)
