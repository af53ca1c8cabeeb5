"""What a run recorded: tables with labels, spike times, a picture, and files that carry their units.

Mechanics of `prinz2004`, whose chapter says what the quantities mean.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from . import checks
from .schedule import NotRecorded

SPIKE_THRESHOLD = -10.0  # mV
UNITS = {"V": "mV", "Ca": "µM", "s": "1", "m": "1", "h": "1", "currents": "nA"}
EXPORTED = ("V", "Ca", "s")  # variables that go into files unless others are named


class Dims:
    """HoloViews dimensions of the model's quantities: `dims.V`, `dims["Ca"]`, …; made when asked for."""

    units: ClassVar = {"t": "ms", "g": "mS/cm²", "gs": "nS", "I": "nA"} | UNITS
    labels: ClassVar = {"t": "time", "g": "maximal conductance", "gs": "synaptic conductance", "I": "current", "V": "membrane potential",
              "Ca": "calcium", "s": "synaptic activation", "m": "activation", "h": "inactivation", "currents": "current"}  # fmt: skip

    def __getitem__(self, name: str) -> Any:
        import holoviews as hv

        checks.choice("the dimension", name, self.units)
        unit = self.units[name]
        return hv.Dimension(name, label=self.labels[name], unit=None if unit == "1" else unit)

    def __getattr__(self, name: str) -> Any:
        if name not in self.units:
            raise AttributeError(f"dims has no dimension {name!r}; it has {checks.listing(self.units)}.")
        return self[name]


dims = Dims()


@dataclass(frozen=True, repr=False)
class Result:
    """What a run of any model recorded of its potentials; the models add what else they have."""

    units: ClassVar[Mapping[str, str]] = {"V": UNITS["V"]}  # of the variables that go into files
    exported: ClassVar[Sequence[str]] = ("V",)  # those that do unless others are named

    t: np.ndarray  # (time,) ms
    states: Any  # recorded states, NumPy arrays with a leading time axis
    model: Any  # what ran: its `cells` are the columns of all tables

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.t)} times from {self.t[0]:g} to {self.t[-1]:g} ms of {self.model})"

    @property
    def V(self) -> pd.DataFrame:
        """Membrane potential, mV: index time, columns pop and index."""
        return self._table(self.states.V)

    @property
    def final_state(self) -> Any:
        """State at the last recorded time, from which `model(t, state=..., t0=self.t[-1])` goes on."""
        return type(self.states)(*(x[-1] for x in self.states))

    def __getitem__(self, times: Any) -> Self:
        """The part between two times in ms, both included: `result[2000:3000]`."""
        if not isinstance(times, slice) or times.step is not None:
            raise TypeError(f"result[{times!r}]: slice a result by time in ms, such as result[2000:3000].")
        start = (
            -np.inf
            if times.start is None
            else checks.number("the start of a slice such as result[2000:3000]", times.start, "ms")
        )
        stop = (
            np.inf
            if times.stop is None
            else checks.number("the end of a slice such as result[2000:3000]", times.stop, "ms")
        )
        keep = (self.t >= start) & (self.t <= stop)
        if not keep.any():
            raise ValueError(
                f"result[{start}:{stop}] is empty; the run recorded {self.t[0]:g} to {self.t[-1]:g} ms. Choose times within."
            )
        return replace(self, t=self.t[keep], states=type(self.states)(*(x[keep] for x in self.states)))

    def plot(self) -> Any:
        """Membrane potentials, one panel for each cell (HoloViews; load a backend with hv.extension)."""
        import holoviews as hv

        traces = zip(self.model.cells, self.states.V.T, strict=True)
        panels = [hv.Curve((self.t, V), dims.t, dims.V, label=f"{pop} {i}") for (pop, i), V in traces]
        return hv.Layout(panels).cols(1)

    @property
    def about(self) -> dict[str, Any]:
        """What files say about the model."""
        return {}

    def to_csv(self, path: str | os.PathLike[str], variables: Sequence[str] | None = None) -> None:
        """Write CSV whose leading lines, starting with #, hold model and units: pd.read_csv(path, comment="#")."""
        data, units = self._flat(variables)
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            for key, value in (self.about | {"units": units}).items():
                file.write(f"# {key}: {json.dumps(value, ensure_ascii=False)}\n")
            data.to_csv(file, index_label="time")

    def to_parquet(self, path: str | os.PathLike[str], variables: Sequence[str] | None = None) -> None:
        """Write Parquet with the model in its metadata and the unit in that of each column (needs pyarrow)."""
        pa, pq = (checks.package(x, "parquet", "writing Parquet") for x in ("pyarrow", "pyarrow.parquet"))
        data, units = self._flat(variables)
        table = pa.Table.from_pandas(data.reset_index(), preserve_index=False)
        fields = [field.with_metadata({"unit": units[field.name]}) for field in table.schema]
        about = {key: json.dumps(value, ensure_ascii=False) for key, value in self.about.items()}
        pq.write_table(
            table.cast(pa.schema(fields, metadata={**(table.schema.metadata or {}), **about})), path
        )

    @property
    def _index(self) -> pd.Index:
        return pd.Index(self.t, name="time")

    def _table(self, x: np.ndarray, channels: Sequence[str] | None = None) -> pd.DataFrame:
        """x (time, cell) or (time, cell, channel) with its labels."""
        cells = self.model.cells
        if channels is None:
            return pd.DataFrame(x, self._index, cells)
        keys = pd.MultiIndex.from_tuples(
            [(*cell, c) for cell in cells for c in channels], names=[*cells.names, "channel"]
        )
        return pd.DataFrame(x.reshape(len(self.t), -1), self._index, keys)

    def _flat(self, variables: Sequence[str] | None) -> tuple[pd.DataFrame, dict[str, str]]:
        """Tables side by side under names such as "V AB/PD 0", and the unit of each column."""
        columns, units = {}, {"time": "ms"}
        known = [x for x in self.exported if not isinstance(getattr(self.states, x, None), NotRecorded)]
        for variable in known if variables is None else variables:
            checks.choice("a variable", variable, self.units)
            table = getattr(self, variable)
            for key in table.columns:
                name = " ".join(map(str, (variable, *key)))
                columns[name], units[name] = table[key].to_numpy(), self.units[variable]
        return pd.DataFrame(columns, self._index), units


@dataclass(frozen=True, repr=False)
class SimResult(Result):
    """What a run of a circuit recorded."""

    units, exported = UNITS, EXPORTED

    @property
    def Ca(self) -> pd.DataFrame:
        """Intracellular calcium, µM: index time, columns pop and index."""
        return self._table(self.states.Ca)

    @property
    def s(self) -> pd.DataFrame:
        """Activation of the synapses of each terminal, 0…1: index time, columns pop (label of the terminal) and index."""
        names, columns = [], []
        for end in self.model.terminals:
            for number, cell in enumerate(np.flatnonzero(self.model.rows == end.population)):
                names.append((end.label, number))
                columns.append(self.states.s[:, cell, self.model.transmitters.index(end.transmitter)])
        labels = pd.MultiIndex.from_tuples(names, names=self.model.cells.names)
        return pd.DataFrame(np.stack(columns, 1), self._index, labels)

    @property
    def m(self) -> pd.DataFrame:
        """Activation, 0…1: index time, columns pop, index, channel."""
        return self._table(self.states.m, [c.name for c in self.model.circuit.channels if c.m])

    @property
    def h(self) -> pd.DataFrame:
        """Inactivation, 0…1: index time, columns pop, index, channel."""
        return self._table(self.states.h, [c.name for c in self.model.circuit.channels if c.h])

    @property
    def currents(self) -> pd.DataFrame:
        """Membrane currents, nA, outward positive: columns pop, index, channel, with channels "synaptic" and "electrical"."""
        names = [c.name for c in self.model.circuit.channels]
        return self._table(self.model.currents(self.states), [*names, "synaptic", "electrical"])

    def spike_times(self, threshold: float = SPIKE_THRESHOLD) -> dict[tuple[str, int], np.ndarray]:
        """Times (ms) of the local maxima of V above `threshold` (mV) for each cell, at the resolution of `t`."""
        traces = zip(self.model.cells, self.states.V.T, strict=True)
        return {cell: local_maxima(self.t, V, threshold) for cell, V in traces}

    @property
    def about(self) -> dict[str, Any]:
        """What files say about the model."""
        return {"circuit": describe(self.model)}


def describe(model: Any) -> Mapping[str, Any]:
    """A circuit as plain data: sizes, mS/cm², nS."""
    channels = [c.name for c in model.circuit.channels]
    g = {
        label: dict(zip(channels, map(float, row), strict=True))
        for label, row in zip(model.labels, model.params.g, strict=True)
    }
    gs = [[pre, post, float(g)] for (pre, post), g in zip(model.synapses, model.params.gs, strict=True)]
    sizes = {p.label: p.size for p in model.circuit.populations}
    return {"pop_sizes": sizes, "g_ion (mS/cm²)": g, "gs (nS)": gs, "ge (nS)": float(model.params.ge)}


def local_maxima(t: np.ndarray, V: np.ndarray, threshold: float) -> np.ndarray:
    """Times of the local maxima of V above the threshold; a plateau counts at its first sample."""
    inner = V[1:-1]
    peak = (inner > V[:-2]) & (inner >= V[2:]) & (inner > threshold)
    return t[1:-1][peak]
