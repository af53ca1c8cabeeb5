"""What a model does with the arguments of a call, before its equations run and after.

Mechanics of `prinz2004`, which gives the equations: `prinz2004.Model` is a `Runnable` with them as its `physics`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import jax
import numpy as np

from ..config import load_settings
from ..files.results import SimResult, run_of
from . import checks, circuits
from .adaptive import DEFAULT_ATOL, DEFAULT_RTOL, run_adaptively
from .inputs import Samples, current, pure_current, run_is_sound
from .labelled import Labelled, Vectors
from .portable import Portable
from .precision import precision
from .schedule import Grid, fields_of, grid_of, in_part
from .thermalization import FROM_SETTINGS, Thermalized

if TYPE_CHECKING:
    from ..prinz2004 import Params


class Physics(NamedTuple):
    """The equations of a model, as pure functions."""

    schemes: Any  # names of the fixed-step schemes
    scheme: tuple[
        str, float
    ]  # the one that cells are thermalized with if the settings name an adaptive solver, and its dt (ms)
    cold_start: Callable[..., Any]  # circuit -> state
    state_of: Callable[..., Any]  # circuit and the fields of a state -> state
    derivative: Callable[..., Any]  # params, state, I -> time derivative
    slopes: Callable[..., Any]  # the same, compiled
    integrate: Callable[..., Any]  # params, state, I, slots, and how to run -> states; compiled
    integrate_with_function: Callable[..., Any]  # the same, with I a function of t
    integrate_adaptively: Callable[..., Any]  # params, state, t, I, and how to run -> states
    currents: Callable[..., Any]  # params, states -> currents; compiled


def compiled(integrate: Callable[..., Any]) -> tuple[Any, Any]:
    """The function that integrates in steps, compiled for currents that are arrays, and for functions of t."""
    fixed = ("grid", "solver", "dt", "record")
    return jax.jit(integrate, static_argnames=fixed), jax.jit(integrate, static_argnames=("I", *fixed))


def planned(
    t: Any, t0: float, solver: Any, dt: Any, schemes: Any, I: Any, n_cells: int, rtol: float, atol: float
) -> tuple[np.ndarray, dict[str, Any] | None]:
    """The times, and the steps to take, None for an adaptive solver, of a run of a pure function. Raises TypeError or ValueError."""
    t, dt = checks.times(t, t0), checks.scheme(solver, dt, schemes)
    if not isinstance(solver, str):
        checks.tolerances(rtol, atol)
        pure_current(I, n_cells, None)
        return t, None
    grid, slots = grid_of(t, t0, dt)
    pure_current(I, n_cells, grid.first + grid.n * grid.blocks + 1)
    return t, {"grid": grid, "slots": slots, "dt": dt}


def dtype_of(dtype: Any) -> str:
    """The precision of a model, that of the settings by default. Raises ValueError for others than "float64" and "float32"."""
    dtype = load_settings().precision if dtype is None else dtype
    checks.choice("dtype", dtype, ("float64", "float32"))
    return str(dtype)


class Runnable(Labelled, Vectors, Thermalized, Portable):
    """Cells and what joins them, ready to run.

    A subclass reads its arguments, and sets `labels` (of populations), `params`, `cold` (a state to start from) and `dtype`.
    """

    labels: tuple[str, ...]
    params: Params
    cold: Any  # `State`
    dtype: str
    terminals: Sequence[Any] = ()  # those that a circuit has whether or not they make synapses
    transmitters: Sequence[Any] = ()  # what these release
    own_units = False  # whether its numbers have units that only its user knows
    resets = False  # whether its spikes are those of a threshold, upon which V is reset, and no part of V
    starts_thermalized = True  # whether a run without a state starts with thermalized cells, or cold
    physics: ClassVar[Physics]

    @property
    def circuit(self) -> Any:
        """What is fixed when the model is compiled."""
        return self.params.circuit

    @property
    def step(self) -> float:
        """The time step (ms) of experiments and derivatives where none is given."""
        return self.physics.scheme[1]

    @property
    def ends(self) -> list[tuple[str, int, int]]:
        """Label, population and index of the transmitter of each terminal, of a network of those that make graded synapses."""
        if self.terminals:
            return [(end.label, end.population, self.transmitters.index(end.transmitter)) for end in self.terminals]
        found = dict.fromkeys((s.pre, s.transmitter, s.terminal) for s in self.circuit.synapses)
        return [(label, population, kind) for population, kind, label in sorted(found)]

    def like(self, params: Params) -> Self:
        """The model with other numbers, or another circuit."""
        new = copy(self)
        new.params, new.cold = params, self.physics.cold_start(params.circuit)
        return new

    def trajectory(self, params: Any, state: Any, t: Any, I_ext: Any = None, *, dt: float, t0: float = 0.0) -> Any:
        """States at the times t (ms), equally spaced at whole steps, as a pure function of the model's numbers, for derivatives."""
        from ..fitting.adjoint import simulate_with_adjoint  # a later chapter

        return simulate_with_adjoint(params, state, t, I_ext, dt=dt, t0=t0)

    # ------------------------------------------------------------ the right-hand side

    def derivative(self, t: float, state: Any, I_ext: Any = None) -> Any:
        """Time derivative of a state, per ms; shapes as in `State`. I_ext: as in a call of the model, or None."""
        I = current(I_ext, self.labels, self.rows, np.array([checks.number("t", t, "ms")]), t)
        I = I.at(t)[0] if isinstance(I, Samples) else I
        with precision(self.dtype):
            return self.physics.derivative(self.params, state, I(t) if callable(I) else I)

    def vector_field(self, t: float, y: np.ndarray, I_ext: Any = None) -> np.ndarray:
        """The right-hand side in the form of `scipy.integrate.solve_ivp`, per ms.

        y: (variable,) as from `flatten`; I_ext: None, () or (cell,) nA, or a function of t.
        """
        I = I_ext(t) if callable(I_ext) else 0.0 if I_ext is None else I_ext
        pure_current(I, len(self.rows), None)
        with precision(self.dtype):
            return self.flatten(self.physics.slopes(self.params, self.unflatten(y), I))

    def currents(self, states: Any) -> np.ndarray:
        """Currents of each channel, then synaptic and electrical, (time, cell, channel + 2) nA, at recorded states."""
        with precision(self.dtype):
            states = circuits.started(self.params, states, type(self.params), self.physics.state_of, "time")
            return np.asarray(self.physics.currents(self.params, states))

    # ------------------------------------------------------------ runs

    def __call__(
        self, t: Any, I_ext: Any = None, state: Any = None, *, solver: Any = None, dt: float | None = None, t0: float = 0.0,
        store: Any = FROM_SETTINGS, rtol: float = DEFAULT_RTOL, atol: float = DEFAULT_ATOL, record: Sequence[str] | None = None,
    ) -> SimResult:  # fmt: skip
        """Simulate and record at the times t.

        t: (time,) ms, increasing, from t0, the time of the start. I_ext (nA, depolarizing): a number, one per cell
        or population, a mapping population -> value, an array (time,) or (time, cell) sampled at t, a DataFrame or
        Series with its own times, or a JAX function of t; samples cover the run, or say what holds outside of them
        (`inputs.Sampled`). state: start; thermalized cells by default. solver, dt: see `simulate`. store: see
        `get_thermalization`. record: names of the variables to record, such as ("V",), all by default. Raises
        ValueError or TypeError before anything is compiled, and FloatingPointError naming the cell and the time if
        the run turns non-finite; warns (UserWarning) of numbers that look like another unit.
        """
        t, (solver, dt) = checks.times(t, t0), self._scheme(solver, dt)
        checks.tolerances(rtol, atol)
        fields = fields_of(record, self.cold._fields)
        size = circuits.bytes_of(self.params, self.circuit, record, self.dtype)
        if isinstance(solver, str):
            grid = grid_of(t, t0, dt, size)
        I = current(I_ext, self.labels, self.rows, t, t0)
        state, start_is = self.start(state, solver=solver, dt=dt, store=store)
        params, start, I, expand = self._without_copies(state, I)
        with precision(self.dtype):
            start = type(start)(*(np.asarray(x, self.dtype) for x in start))
            if isinstance(solver, str):
                states = self._in_steps(params, start, grid, I, solver=solver, dt=dt, t0=t0, record=fields)
            else:
                adaptive = self.physics.integrate_adaptively
                states = run_adaptively(adaptive, params, start, t, I, solver=solver, t0=t0, rtol=rtol, atol=atol)
            states = in_part(jax.tree.map(lambda x: np.asarray(x)[:, expand], states), fields)
        run_is_sound(states, t, self.cells)
        return SimResult(t, states, self, run=run_of(self, solver, t0, start_is, dt=dt, rtol=rtol, atol=atol))

    def _scheme(self, solver: Any, dt: float | None, fixed: bool = False) -> tuple[Any, float]:
        """Solver and dt, from the settings where not given; with `fixed`, the default scheme in place of an adaptive solver."""
        settings = load_settings()
        solver, dt = settings.solver if solver is None else solver, settings.dt if dt is None else dt
        dt = checks.scheme(solver, dt, self.physics.schemes)
        return (solver, dt) if isinstance(solver, str) or not fixed else self.physics.scheme

    def _in_steps(
        self, params: Params, start: Any, times: tuple[Grid, Any], I: Any, *, dt: float, t0: float, **scheme: Any
    ) -> Any:
        """States by a fixed-step scheme, at times as from `grid_of`."""
        grid, slots = times
        run = self.physics.integrate_with_function if callable(I) else self.physics.integrate
        I = I.at_steps(t0, dt, grid) if isinstance(I, Samples) else I
        return run(params, start, I=I, slots=slots, grid=grid, dt=dt, t0=t0, **scheme)

    def _without_copies(self, start: Any, I: Any) -> tuple[Any, Any, Any, np.ndarray]:
        """The same run with one cell for each population whose cells start and are driven alike; and where each cell is in it."""
        first = np.searchsorted(self.rows, np.arange(len(self.labels)))
        alike = lambda x: np.array_equal(x, x[first][self.rows])  # noqa: E731
        function = callable(I) and jax.eval_shape(I, 0.0).shape != ()
        values = None if callable(I) else (I.values.T if isinstance(I, Samples) else I)
        if self.circuit.kinetic or function or not all(map(alike, start)) or (values is not None and not alike(values)):
            return self.params, start, I, np.arange(len(self.rows))
        if values is not None:
            I = I._replace(values=I.values[:, first]) if isinstance(I, Samples) else I[first]
        params = self.params.replace(circuit=self.circuit.alike())
        return params, jax.tree.map(lambda x: x[first], start), I, self.rows
