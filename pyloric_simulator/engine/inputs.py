"""Currents that come from outside: numbers, mappings, samples in time and functions, brought into one form for all models.

Mechanics of `prinz2004` and of every model that takes I_ext. The rule for all samples: they cover the run, or it is said what holds
outside of them.
"""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array

from . import checks
from .scale import CURRENT, POTENTIAL, SAMPLING, Scale

ON_TIME = 1e-6  # ms; times closer than this are equal
SOME_TIMES = 257  # at which the size of a function of t is looked at


@dataclass(frozen=True, eq=False)
class Sampled:
    """A current in samples, and what holds outside of them: `Sampled(frame, outside=0)` in place of `frame` as I_ext.

    Raises ValueError or TypeError for an `outside` that is none.
    """

    values: Any  # nA: a DataFrame or Series with its times as index, or an array (time,) or (time, cell)
    times: Any = None  # ms, (time,), of an array; by default those at which the run is recorded
    outside: Any = None  # "hold" the first and last value, or a number in nA; by default the samples must cover the run

    def __post_init__(self) -> None:
        if isinstance(self.outside, str):
            checks.choice("outside", self.outside, ("hold",))
        elif self.outside is not None:
            checks.number("outside", self.outside, "nA, or 'hold'")


class Samples(NamedTuple):
    """A current in samples, as the models use it; linear between them."""

    times: np.ndarray  # (time,) ms, increasing
    values: np.ndarray  # (time, cell) nA
    outside: float | None = None  # nA, before the first and after the last; None holds these

    def at(self, t: Any) -> Array:
        """Values (time, cell) at times t (ms)."""
        return sampled_at(t, *self)

    def at_steps(self, t0: float, dt: float, grid: Any) -> Array:
        """Values (step, cell) at all steps of a run on a `Grid`, and at the one after it. Raises ValueError if there is no room for "
        "them."""
        n = grid.first + grid.n * grid.blocks + 2
        checks.memory(f"a current at {n:,} steps", 2 * n * self.values.shape[1] * 8, "Give it as a function of t.")
        return self.at(t0 + dt * np.arange(n))


def sampled_at(t: Any, times: np.ndarray, values: np.ndarray, outside: float | None = None) -> Array:
    """Values (sample, cell) given at `times`, interpolated linearly at t; outside held constant, or a number: (…, cell)."""
    at_t = partial(jnp.interp, jnp.asarray(t), jnp.asarray(times), left=outside, right=outside)
    return jax.vmap(at_t, in_axes=1, out_axes=-1)(jnp.asarray(values))


def input_at(I: Any, dt: float, t0: float, dtype: Any) -> Callable[[Any], Any]:
    """A current, () or (cell,) or (step, cell) nA, or a function of t, as a function of the number of the step."""
    if callable(I):
        return lambda k: jnp.asarray(I(jnp.asarray(t0, dtype) + dt * jnp.asarray(k, dtype)), dtype)
    I = jnp.asarray(0.0 if I is None else I, dtype)
    return (lambda k: I[k]) if I.ndim == 2 else (lambda _: I)


# ---------------------------------------------------------------- who gets it


class Cells(NamedTuple):
    """The cells of a model by name."""

    labels: Sequence[str]  # populations
    rows: np.ndarray  # population of each cell, (cell,)

    def named(self, key: Any) -> np.ndarray:
        """Numbers of the cells that a population, or a pair (population, number in it), names. Raises ValueError for others."""
        label, number = key if isinstance(key, tuple) and len(key) == 2 else (key, None)
        label = label.item() if isinstance(label, np.generic) else label
        known = isinstance(label, str) and label in self.labels
        cells = np.flatnonzero(self.rows == self.labels.index(label)) if known else np.zeros(0, int)
        if number is not None:
            whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool) and number >= 0
            cells = cells[number : number + 1] if whole else cells[:0]
        if not len(cells):
            cure = checks.closest(key, self.labels)
            if str(key).lower().startswith(("time", "t (")) or key == "t":
                cure = f" Make it the index: I_ext.set_index({key!r})."
            raise ValueError(
                f"I_ext names {key!r}; the circuit has {checks.listing(self.labels)}, with cells such as {(self.labels[0], 0)!r}.{cure}"
            )
        return cells

    def spread(self, columns: Iterable[tuple[Any, Any]], n: int) -> np.ndarray:
        """Values (time, cell) from those of some populations or cells, 0 for the others. Raises ValueError if a cell gets two."""
        x, given = np.zeros((n, len(self.rows))), dict[int, Any]()
        for key, values in columns:
            for cell in self.named(key):
                if cell in given:
                    name = (self.labels[self.rows[cell]], int(np.sum(self.rows[:cell] == self.rows[cell])))
                    raise ValueError(
                        f"I_ext gives cell {name!r} twice, in {given[cell]!r} and {key!r}; drop one of them."
                    )
                given[cell] = key
            column = finite(f"I_ext[{key!r}]", values)
            if column.shape not in ((), (n,)):
                raise ValueError(f"I_ext[{key!r}] has shape {column.shape}; it must have one value for each time.")
            x[:, self.named(key)] = column.reshape(-1, 1)
        return x

    def broadcast(self, x: np.ndarray) -> np.ndarray:
        """Values (…, cell) from those of all cells or populations, or from one for all of them (…, 1)."""
        if x.shape[-1] == len(self.rows):
            return x
        return x[..., self.rows if x.shape[-1] == len(self.labels) else np.zeros(len(self.rows), int)]


# ---------------------------------------------------------------- its times


def times_of(index: Any, t: np.ndarray) -> np.ndarray:
    """Times in ms from an index or an array of times; t: those of the run, which rows that are merely counted must be.

    Raises ValueError or TypeError where they do not increase, or where it is unclear what they mean.
    """
    index = pd.Index(index)
    if not len(index):
        raise ValueError("I_ext has 0 times; there must be one at least, in ms. Give 0 for no input.")
    if isinstance(index, pd.TimedeltaIndex) and not index.hasnans:
        index = pd.Index(index / pd.Timedelta(1, "ms"))
    if isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex, pd.TimedeltaIndex, pd.MultiIndex)):
        raise TypeError(
            f"the index of I_ext is a {type(index).__name__} that begins with {index[0]!r}; it must be times of the run in ms. For dates, "
            "subtract that of t = 0: I_ext.set_axis(I_ext.index - start)."
        )
    counted = isinstance(index, pd.RangeIndex) and (index.start, index.step, index.name) == (0, 1, None)
    if counted and not (len(index) == len(t) and np.array_equal(index, t)):
        raise ValueError(
            f"the index of I_ext counts rows from 0 to {len(index) - 1}, which are not the times of the run, {t[0]:.10g} to {t[-1]:.10g} "
            "ms; it must be times in ms. Set them, I_ext.set_axis(times), or pass I_ext.to_numpy() for values at the times t or one for "
            "each cell."
        )
    x = checks.numbers("the index of I_ext", index, "consist of times in ms").astype(float)
    if not np.isfinite(x).all() or (np.diff(x) <= 0).any():
        i = int(np.argmax(np.diff(x) <= 0)) if len(x) > 1 else 0
        raise ValueError(
            f"the index of I_ext has {len(x)} times, from number {i} on {x[i : i + 2].tolist()}; they must be finite and increasing, in "
            "ms. Sort it: I_ext.sort_index()."
        )
    return x


def covered(what: str, samples: Samples, first: float, last: float, outside: Any) -> Samples:
    """Samples that cover a run from `first` to `last` (ms), or that have a value outside. Raises ValueError if they do not.

    The last sample of a recording stands for its interval, if that is a usual one.
    """
    if outside is not None:
        return samples._replace(outside=None if outside == "hold" else float(outside))
    begin, end = samples.times[[0, -1]]
    interval = end - samples.times[-2] if len(samples.times) > 1 else 0.0
    more = interval - ON_TIME if interval <= SAMPLING.most else 0.0
    if first < begin - ON_TIME or last > end + max(more, ON_TIME):
        raise ValueError(
            f"{what} lasts from {begin:.10g} to {end:.10g} ms, the run from {first:.10g} to {last:.10g} ms; it must cover the run. Say "
            "what holds outside, `Sampled(…, outside=0)` or outside='hold', of pyloric_simulator.inputs, or make the run fit."
        )
    return samples


# ---------------------------------------------------------------- all spellings


def current(
    I_ext: Any, labels: Sequence[str], rows: np.ndarray, t: np.ndarray, t0: float, scale: Scale | None = CURRENT
) -> Any:
    """I_ext as one of: (cell,) array; `Samples`; function of t with values () or (cell,). In nA.

    t: (time,) ms, at which a run that starts at t0 is recorded. scale: warn (UserWarning) of sizes outside of it. Raises ValueError or
    TypeError for what is no current, for labels that the model lacks, and for samples that do not cover the run.
    """
    cells = Cells(tuple(labels), np.asarray(rows))
    if I_ext is None:
        return np.zeros(len(rows))
    if callable(I_ext):
        f = function_of_time(I_ext, cells)
        plausible(largest_of(I_ext, float(t0), float(t[-1])), scale)
        return f
    if isinstance(I_ext, tuple) and len(I_ext) == 2 and all(np.ndim(x) == 1 for x in I_ext):
        I_ext = Sampled(I_ext[1], I_ext[0])
    found = values_of(I_ext, cells, t, t0)
    plausible(found.values if isinstance(found, Samples) else found, scale)
    return found


def values_of(I_ext: Any, cells: Cells, t: np.ndarray, t0: float) -> np.ndarray | Samples:
    """A current that is no function of t as (cell,) or as samples."""
    given = I_ext if isinstance(I_ext, Sampled) else Sampled(I_ext)
    values, timed = given.values, isinstance(I_ext, Sampled)
    if isinstance(values, (pd.DataFrame, pd.Series)) and given.times is not None:
        times = times_of(given.times, t)
        if len(times) != len(values):
            raise ValueError(
                f"I_ext has {len(values)} rows and {len(times)} times; there must be as many. Give each row its time."
            )
        return values_of(Sampled(values.set_axis(pd.Index(times)), outside=given.outside), cells, t, t0)
    if isinstance(values, pd.Series) and not timed and not is_timed(values.index):
        return cells.spread(list(values.items()), 1)[0]
    if isinstance(values, Mapping) and not timed:
        return cells.spread(of_mapping(values), 1)[0]
    if isinstance(values, (pd.DataFrame, pd.Series)):
        return covered("I_ext", of_table(values, cells, t), t0, t[-1], given.outside)
    x = of_array(finite("I_ext", values), cells, t if given.times is None else times_of(given.times, t), timed)
    return covered("I_ext", x, t0, t[-1], given.outside) if isinstance(x, Samples) else x


def is_timed(index: pd.Index) -> bool:
    """Whether the index of a Series holds times rather than labels."""
    return not isinstance(index, pd.MultiIndex) and not (
        pd.api.types.is_object_dtype(index) or pd.api.types.is_string_dtype(index) or pd.api.types.is_bool_dtype(index)
    )


def of_mapping(values: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Label and number of each entry. Raises TypeError for what is no number."""
    for key, x in values.items():
        if np.ndim(x) or callable(x) or isinstance(x, (Sampled, str)):
            shown = reprlib.repr(x) if isinstance(x, (list, tuple, str, np.ndarray)) else f"a {type(x).__name__}"
            raise TypeError(
                f"I_ext[{key!r}] is {shown}; a mapping must consist of numbers in nA. For currents in time give a DataFrame with its "
                "times as index and a column for each population, a function of t, or a mapping of protocols to `current_clamp`."
            )
    return list(values.items())


def of_table(frame: pd.DataFrame | pd.Series, cells: Cells, t: np.ndarray) -> Samples:
    """A current with its times as index: a Series for all cells, or with columns populations or (population, number of the cell)."""
    if isinstance(frame, pd.Series):
        return Samples(times_of(frame.index, t), np.repeat(finite("I_ext", frame)[:, None], len(cells.rows), 1))
    if not any(c in cells.labels for c in frame.columns) and len(frame) and all(c in cells.labels for c in frame.index):
        raise ValueError(
            f"I_ext has the rows {checks.listing(frame.index[:3])}; the rows must be times in ms, and the columns populations. Turn it: "
            "I_ext.T."
        )
    columns = [(key, frame.iloc[:, i]) for i, key in enumerate(frame.columns)]
    for key, _ in columns:
        cells.named(key)
    return Samples(times_of(frame.index, t), cells.spread(columns, len(frame)))


def of_array(x: np.ndarray, cells: Cells, times: np.ndarray, timed: bool) -> np.ndarray | Samples:
    """A number, one value for each cell or population, or for each time: (time,), (time, cell)."""
    n_cells, n_pops, n = len(cells.rows), len(cells.labels), len(times)
    if x.ndim == 0 and not timed:
        return np.full(n_cells, float(x))
    per_cell = x.ndim == 1 and len(x) in (n_cells, n_pops) and not timed
    if per_cell and len(x) == n > 1:
        raise ValueError(
            f"I_ext has {len(x)} values, which may be cells or times; give an array of shape (time, cell) or a mapping of populations."
        )
    if per_cell:
        return cells.broadcast(x)
    if x.ndim == 1 and len(x) == n:
        return Samples(times, np.repeat(x[:, None], n_cells, 1))
    if x.ndim == 2 and len(x) == n and x.shape[1] in (1, n_cells, n_pops):
        return Samples(times, cells.broadcast(x))
    turned = " Turn it: I_ext.T." if x.ndim == 2 and x.shape[1] == n and len(x) in (n_cells, n_pops) else ""
    raise ValueError(
        f"I_ext has shape {x.shape}; it must be a number, one value for each of the {n_cells} cells or {n_pops} populations, one for "
        f"each of the {n} times, or an array (time, cell), in nA. A DataFrame may bring its own times as its index.{turned}"
    )


def finite(what: str, values: Any, unit: str = "nA") -> np.ndarray:
    """An array of finite numbers."""
    rule = f"consist of numbers in {unit}, or be a function of t"
    return checks.finite(what, values, rule, "Fill the gap, with 0 for no input.")


def largest_of(f: Callable[[Any], Any], first: float, last: float) -> np.ndarray:
    """The largest value of a function of t at some times of a run; remembered, since runs with the same function come again."""
    try:
        return largest_once(f, first, last)
    except TypeError:  # it cannot be remembered
        return largest_once.__wrapped__(f, first, last)


@lru_cache
def largest_once(f: Callable[[Any], Any], first: float, last: float) -> np.ndarray:
    """As `largest_of`. What is not a number is left to the run, which says when; a function that takes one time only is left alone."""
    with contextlib.suppress(Exception):
        values = np.asarray(jax.vmap(f)(jnp.linspace(first, last, SOME_TIMES)), float)
        return np.abs(values[np.isfinite(values)]).max(initial=0.0)
    return np.zeros(())


def plausible(x: np.ndarray, scale: Scale | None) -> None:
    """Warn of a current that looks like another unit. 0 is no current, and fits all."""
    largest = float(np.abs(x).max(initial=0.0))
    if scale:
        checks.doubt("the largest value of I_ext", largest, scale)


def function_of_time(f: Callable[[Any], Any], cells: Cells) -> Callable[[Any], Any]:
    """A function of t in ms with one value, or one for each cell or population."""
    shape = traced_shape(f)
    n_pops = len(cells.labels)
    if shape in ((), (len(cells.rows),)):
        return f
    if shape == (n_pops,):
        return lambda t: f(t)[cells.rows]
    raise ValueError(
        f"I_ext(t) has shape {shape}; it must return a number, or one for each of the {len(cells.rows)} cells or {n_pops} populations, "
        "in nA."
    )


def traced_shape(f: Callable[[Any], Any]) -> tuple[int, ...]:
    """The shape of f(t). Raises TypeError if JAX cannot trace it, or if it returns no real numbers."""
    cure = "Write it with jax.numpy, branching by jnp.where."
    try:
        found = jax.eval_shape(f, 0.0)
        shape, kind = tuple(found.shape), found.dtype.kind
    except Exception as error:
        raise TypeError(f"I_ext(t) cannot be traced by JAX: {error}. {cure}") from error
    if kind not in "fiuV":
        raise TypeError(f"I_ext(t) returns {found.dtype}; it must return real numbers in nA. {cure}")
    return shape


def pure_current(I_ext: Any, n_cells: int, n_steps: int | None) -> None:
    """The input of `simulate`: a function, (), (cell,), or with a fixed step (step, cell). Raises ValueError or TypeError."""
    if I_ext is None:
        return
    rule = "" if n_steps is None else f", or ({n_steps}, {n_cells}) for all steps"
    must = f"it must be a number, ({n_cells},) for each cell{rule}, or a function of t, in nA."
    if isinstance(I_ext, (pd.DataFrame, pd.Series, Mapping, Sampled)):
        raise TypeError(f"I_ext is a {type(I_ext).__name__}; {must} Labels and times are read by a call of the model.")
    if callable(I_ext):
        shape = traced_shape(I_ext)
    else:
        shape = np.shape(I_ext)
        if not isinstance(I_ext, jax.core.Tracer):
            checks.numbers("I_ext", I_ext, "consist of numbers in nA, or be a function of t")
    steps = (
        n_steps is not None and not callable(I_ext) and len(shape) == 2 and shape[1] == n_cells and shape[0] >= n_steps
    )
    if shape not in ((), (n_cells,)) and not steps:
        raise ValueError(f"I_ext has shape {shape}; {must}")


# ---------------------------------------------------------------- what came of it


def run_is_finite(y: Any, t: np.ndarray, index: pd.MultiIndex) -> None:
    """Say where and when a run turned non-finite; of what did so at once, first what is not a number."""
    recorded = {name: x for name, x in y._asdict().items() if isinstance(x, np.ndarray)}
    if all(np.isfinite(x).all() for x in recorded.values()):
        return
    x = {name: x.reshape(len(t), len(index), -1) for name, x in recorded.items()}
    i = min(int(np.argmax(bad)) for values in x.values() if (bad := ~np.isfinite(values).all((1, 2))).any())
    wrong = [
        (name, cell)
        for of in (np.isnan, np.isinf)
        for name, values in x.items()
        for cell in np.flatnonzero(of(values[i]).any(-1))
    ]
    name, (pop, number) = wrong[0][0], index[int(wrong[0][1])]
    before = f"; it was at {t[i - 1]:g} ms" if i else ""
    if (
        not any(np.isnan(values[i]).any() for values in x.values())
        and len({cell for _, cell in wrong}) == len(index) > 1
    ):
        raise FloatingPointError(
            f"no cell, ({pop!r}, {number}) among them, has a finite {name} at t = {t[i]:g} ms{before}. An adaptive solver could not go "
            "on there: "
            "look at I_ext, and take larger tolerances, another solver or a fixed step."
        )
    raise FloatingPointError(
        f"{name} of cell ({pop!r}, {number}) is not finite at t = {t[i]:g} ms{before}"
        ". Look at I_ext and at the parameters of this cell; a smaller dt helps only with functions of your own."
    )


def run_is_sound(y: Any, t: np.ndarray, index: pd.MultiIndex) -> None:
    """Raise FloatingPointError where a run turned non-finite, and warn where V went beyond all potentials of cells."""
    run_is_finite(y, t, index)
    if not isinstance(y.V, np.ndarray) or not (y.V.size and max(y.V.max(), -y.V.min()) > POTENTIAL.most):
        return
    i, cell = map(int, np.unravel_index(int(np.argmax(np.abs(y.V))), y.V.shape))
    label, number = index[cell]
    checks.warn(
        f"V of cell ({label!r}, {number}) reaches {y.V[i, cell]:,.0f} mV at t = {t[i]:g} ms; potentials of cells stay within "
        f"±{POTENTIAL.most:g} mV. Perhaps I_ext is in pA, of which 1000 make 1 nA."
    )
