"""The state of each cell after it has run alone: how it is computed, named and kept.

Mechanics of `prinz2004`, whose chapter says what it is for. There is one entry in the store for each cell, under a key that holds everything
that decides the result, so that circuits share cells and a change of the physics never meets an old state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import numpy as np
import pandas as pd

from ..config import SETTINGS_STORE, store_folder
from ..files.store import ThermalizationStore
from . import circuits
from .inputs import run_is_finite
from .junctions import starts
from .layout import filled_to, is_nernstian
from .precision import precision
from .schedule import grid_of

if TYPE_CHECKING:
    from ..prinz2004 import Membrane, Params

THERMALIZATION = 5000.0  # ms
THERMALIZATION_TIMES = np.arange(0, THERMALIZATION + 0.5)  # ms, at which the run can be inspected
STORE_FORMAT = (
    2  # changes when the meaning of a stored state changes, or its last bits: two of the paper's cells are chaotic
)
FROM_SETTINGS = SETTINGS_STORE  # where the store is if a call does not say
FIELDS = ("V", "Ca", "s", "m", "h")  # of the state of a cell alone


def isolated(params: Params, populations: Sequence[int]) -> Params:
    """The `Params` of one cell of each of some populations, without synapses of any kind."""
    c = params.circuit
    some = [c.populations[i] for i in populations]
    kinds = sorted({p.membrane for p in some})
    cells = tuple(p._replace(size=1, copies=1, membrane=kinds.index(p.membrane)) for p in some)
    membranes = tuple(c.membranes[i] for i in kinds)
    g = np.asarray(params.g)[list(populations), : max(len(m.channels) for m in membranes)]
    alone = c._replace(populations=cells, synapses=(), membranes=membranes, junctions=(), kinetic=(), kinds=())
    return replace(params, g=g, gs=np.zeros(0), ge=np.zeros(()), circuit=alone, gz=())


# ---------------------------------------------------------------- under which key


def cell_key(params: Params, population: int, **scheme: Any) -> str:
    """Everything that decides the thermalized state of a cell, as text."""
    c = params.circuit
    membrane = c.membranes[c.populations[population].membrane]
    g = np.asarray(params.g)[population, : len(membrane.channels)].tolist()
    about = {"format": STORE_FORMAT, "jax": jax.__version__, "g": g, "constants": membrane.constants._asdict(),
             "channels": spelled(membrane), "transmitters": repr(c.transmitters), "start": "cold", "fields": FIELDS, **scheme}  # fmt: skip
    return json.dumps(about, ensure_ascii=False, sort_keys=True)


def spelled(membrane: Membrane) -> str:
    """The channels of a membrane as text, what a channel of the papers has first, so that stored states are found again."""
    texts = []
    for c in membrane.channels:
        usual = is_nernstian(c) and c.ion == "Ca"
        plain = f"name={c.name!r}, E={None if usual else c.E!r}, p={c.p!r}, m={c.m!r}, h={c.h!r}"
        more = "" if c.q == 1 and usual == (c.ion == "Ca") else f", q={c.q!r}, ion={c.ion!r}"
        texts.append(f"Channel({plain}{more})")
    return f"({', '.join(texts)}{',' * (len(texts) == 1)})" + ("" if membrane.pool else " without a pool")


def told_by_text(x: Any) -> bool:
    """Whether the text of a gate, a function or a number says all about it."""
    if isinstance(x, tuple) and hasattr(x, "tau"):
        return all(map(told_by_text, x))
    if is_dataclass(x) and not isinstance(x, type):
        return all(told_by_text(getattr(x, field.name)) for field in fields(x))
    return isinstance(x, (int, float, str, tuple)) or x is None


def is_storable(membrane: Membrane) -> bool:
    """Whether a key can say all about a cell."""
    return all(told_by_text(x) for c in membrane.channels for x in (c.m, c.h, c.E))


# ---------------------------------------------------------------- the store


@cache
def open_store(folder: Any) -> ThermalizationStore:
    """The store in a folder; one for each folder in a process, so that what was read once stays in memory."""
    return ThermalizationStore(folder)


def thermalization_store(store: Any) -> ThermalizationStore:
    """The store that a call, or else the settings, name."""
    return open_store(store_folder(store))


class Thermalized:
    """What a model knows about its cells alone."""

    labels: tuple[str, ...]  # populations
    params: Params
    cold: Any  # a state to start from
    dtype: str  # "float64" or "float32"
    circuit: Any  # `Circuit`, a property of `Runnable`
    rows: Any  # population of each cell, (cell,)
    physics: ClassVar[Any]  # `model.Physics`
    like: Any  # params -> the model with other numbers
    _scheme: Any  # (solver, dt, fixed) -> those that the run uses

    def thermalize(self, *, solver: Any = None, dt: float | None = None) -> Any:
        """The isolated run of one cell of each population, for inspection; recorded every ms."""
        solver, dt = self._scheme(solver, dt, fixed=True)
        alone = self.like(isolated(self.params, range(len(self.labels))))
        return alone(THERMALIZATION_TIMES, state=alone.cold, solver=solver, dt=dt)

    def get_thermalization(self, *, solver: Any = None, dt: float | None = None, store: Any = FROM_SETTINGS) -> Any:
        """Thermalized state of all cells. store: a folder, "" for the user's cache, None or "memory" for the memory of this process."""
        solver, dt = self._scheme(solver, dt, fixed=True)
        scheme = {"solver": solver, "dt": dt, "duration": THERMALIZATION, "dtype": self.dtype}
        kinds = [self.circuit.membranes[p.membrane] for p in self.circuit.populations]
        found = dict[int, Mapping[str, np.ndarray]]()
        for membrane in dict.fromkeys(kinds):  # all cells of one kind together
            found |= self._settled([i for i, kind in enumerate(kinds) if kind == membrane], scheme, store)
        width = {x: getattr(self.cold, x).shape[1:] for x in FIELDS}
        whole = {x: np.stack([filled_to(found[i][x], width[x]) for i in range(len(kinds))])[self.rows] for x in width}
        return self.physics.state_of(self.circuit, **whole, z=starts(self.circuit))

    def _settled(
        self, populations: Sequence[int], scheme: Mapping[str, Any], store: Any
    ) -> dict[int, Mapping[str, np.ndarray]]:
        """Population -> state of one of its cells, for populations whose cells have one membrane, from the store or computed."""
        membrane = self.circuit.membranes[self.circuit.populations[populations[0]].membrane]
        where = thermalization_store(store) if is_storable(membrane) else ThermalizationStore(None)
        one = self.physics.cold_start(isolated(self.params, populations[:1]).circuit)
        entries = where.get_or_compute(
            [cell_key(self.params, i, **scheme) for i in populations],
            lambda missing: self._run_alone([populations[i] for i in missing], scheme["solver"], scheme["dt"]),
            lambda entry: check_stored(entry, one, self.dtype),
        )
        return dict(zip(populations, entries, strict=True))

    def _run_alone(self, populations: Sequence[int], solver: Any, dt: float) -> list[dict[str, np.ndarray]]:
        """States of some populations' cells after the isolated run."""
        params, n = isolated(self.params, populations), len(populations)
        with precision(self.dtype):
            grid, slots = grid_of(THERMALIZATION_TIMES, 0.0, dt)
            start = jax.tree.map(lambda x: np.asarray(x, self.dtype), self.physics.cold_start(params.circuit))
            y = self.physics.integrate(
                params, start, I=np.zeros(n), slots=slots, grid=grid, solver=solver, dt=dt, t0=0.0
            )
        check_settled(y, [self.labels[i] for i in populations])
        return [{x: np.asarray(getattr(y, x))[-1, i] for x in FIELDS} for i in range(n)]

    @staticmethod
    def clear_thermalization_store(store: Any = FROM_SETTINGS) -> int:
        """Empty the store; returns the number of cells that it held."""
        return thermalization_store(store).clear()


def check_stored(entry: Mapping[str, np.ndarray], like: Any, dtype: str) -> None:
    """What a store has of one cell is a state, as a user's must be; `like` is one of a single cell."""
    circuits.given_state(type(like)(**{name: x[None] for name, x in entry.items()}), like)
    for name, x in entry.items():
        if x.dtype != dtype:
            raise TypeError(f"{name} is {x.dtype}; the model has {dtype}. Compute it anew.")


def check_settled(y: Any, labels: Sequence[str]) -> None:
    """Say which cell of those that were thermalized turned non-finite, and when."""
    try:
        cells = pd.MultiIndex.from_tuples([(label, 0) for label in labels])
        run_is_finite(type(y)(*map(np.asarray, y)), THERMALIZATION_TIMES, cells)
    except FloatingPointError as error:
        raise FloatingPointError(f"In the thermalization {error}") from None
