"""What a run recorded: tables with labels, spike times, a picture, and files that carry their units.

Mechanics of `prinz2004`, whose chapter says what the quantities mean.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd

from .. import __version__
from ..config import load_settings
from ..engine import checks
from ..engine.detection import SPIKE_THRESHOLD as SPIKE_THRESHOLD
from ..engine.detection import STANDARD, checked, tops
from ..engine.schedule import NotRecorded
from .writing import target_of, written_whole

__all__ = ["Dims", "Result", "SimResult", "dims"]

UNITS = {"V": "mV", "Ca": "µM", "s": "1", "m": "1", "h": "1", "currents": "nA"}
EXPORTED = ("V", "Ca", "s")  # variables that go into files unless others are named
COMPRESSED = (".gz", ".bz2", ".zip", ".xz", ".zst", ".tar", ".tgz", ".7z")  # suffixes by which readers would unpack


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


class Run(NamedTuple):
    """How a result came about: what decides it besides the model and its input."""

    version: str  # of this package
    solver: str
    dt: float | None  # ms; None for an adaptive solver
    tolerances: tuple[float, float] | None  # relative and absolute, of an adaptive solver
    dtype: str  # "float64" or "float32"
    t0: float  # ms, when the run started
    start: str  # "thermalized", "cold", "given", …
    settings: str  # where the settings came from


def run_of(
    model: Any, solver: Any, t0: float, start: str, *, dt: float | None = None, rtol: float | None = None, atol: float | None = None
) -> Run:  # fmt: skip
    """What a run used; of dt (ms) and the tolerances those that its solver, a name or an instance, takes."""
    fixed = isinstance(solver, str)
    tolerances = None if fixed or rtol is None or atol is None else (float(rtol), float(atol))
    name, step = (solver, None if dt is None else float(dt)) if fixed else (type(solver).__name__, None)
    return Run(__version__, name, step, tolerances, model.dtype, float(t0), start, load_settings().source)


@dataclass(frozen=True, repr=False)
class Result:
    """What a run of any model recorded of its potentials; the models add what else they have."""

    units: ClassVar[Mapping[str, str]] = {"V": UNITS["V"]}  # of the variables that go into files
    exported: ClassVar[Sequence[str]] = ("V",)  # those that do unless others are named

    t: np.ndarray  # (time,) ms
    states: Any  # recorded states, NumPy arrays with a leading time axis
    model: Any  # what ran: its `cells` are the columns of all tables
    run: Run | None = field(default=None, kw_only=True)  # how it ran

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
        ends = {"start": (times.start, -np.inf), "end": (times.stop, np.inf)}
        start, stop = (
            usual if x is None else checks.number(f"the {name} of a slice such as result[2000:3000]", x, "ms")
            for name, (x, usual) in ends.items()
        )
        keep = (self.t >= start) & (self.t <= stop)
        if not keep.any():
            recorded = f"the run recorded {self.t[0]:g} to {self.t[-1]:g} ms"
            why = "its end is before its start" if stop < start else recorded
            raise ValueError(f"result[{start:g}:{stop:g}] is empty; {why}. Choose times within, the earlier first.")
        return replace(self, t=self.t[keep], states=type(self.states)(*(x[keep] for x in self.states)))

    def plot(self) -> Any:
        """Membrane potentials, one panel for each cell in its colour (HoloViews; load a backend with hv.extension).

        A long run is drawn by the extremes of each column of pixels, so that no spike is lost.
        """
        from ..plotting import traces

        return traces(self)

    @property
    def about(self) -> dict[str, Any]:
        """What files say about the model."""
        return {}

    def to_csv(self, path: str | os.PathLike[str], variables: Sequence[str] | None = None) -> None:
        """Write CSV whose leading lines, starting with #, hold model, units and run: pd.read_csv(path, comment="#").

        An older file is replaced when the new one is complete. Raises ValueError or TypeError for variables that the result does not
        have, and OSError, with the reason, if the file cannot be written.
        """
        if target_of(path).suffix.lower() in COMPRESSED:
            raise ValueError(
                f"the file is '{os.fspath(path)}', but CSV is written plain; its name must say so. Compress it afterwards."
            )
        data, units = self._flat(variables)
        # What follows a # is a comment for readers, unless it is in quotes.
        marked = any("#" in str(name) for name in data)
        quoting: Any = csv.QUOTE_NONNUMERIC if marked else csv.QUOTE_MINIMAL
        with written_whole(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            for key, value in (self.about | {"units": units} | self._ran).items():
                text.write(f"# {key}: {json.dumps(value, ensure_ascii=False)}\n")
            data.to_csv(text, index_label="time", quoting=quoting, lineterminator="\n")
            text.detach()

    def to_parquet(self, path: str | os.PathLike[str], variables: Sequence[str] | None = None) -> None:
        """Write Parquet with model and run in its metadata and the unit in that of each column (needs pyarrow); else as `to_csv`."""
        target_of(path)
        pa, pq = (checks.package(x, "parquet", "writing Parquet") for x in ("pyarrow", "pyarrow.parquet"))
        data, units = self._flat(variables)
        table = pa.Table.from_pandas(data.reset_index(), preserve_index=False)
        fields = [field.with_metadata({"unit": units[field.name]}) for field in table.schema]
        about = {key: json.dumps(value, ensure_ascii=False) for key, value in (self.about | self._ran).items()}
        with written_whole(path) as file:
            pq.write_table(table.cast(pa.schema(fields, metadata={**(table.schema.metadata or {}), **about})), file)

    def to_nwb(self, path: str | os.PathLike[str], variables: Sequence[str] | None = None) -> None:
        """Write NWB, with units, circuit and run (needs the extra `nwb`); an older file is replaced when the new one is complete."""
        from .exchange import to_nwb

        to_nwb(self, path, variables)

    def to_neo(self, variables: Sequence[str] | None = None) -> Any:
        """A neo.Block with signals, spikes, units, circuit and run (needs the extra `neo`)."""
        from .exchange import to_neo

        return to_neo(self, variables)

    def to_xarray(self, variables: Sequence[str] | None = None) -> Any:
        """An xarray.Dataset, axes time, cell or terminal, and channel, with units, circuit and run (needs the extra `xarray`)."""
        from .exchange import to_xarray

        return to_xarray(self, variables)

    @property
    def _ran(self) -> dict[str, Any]:
        return {} if self.run is None else {"run": self.run._asdict()}

    @property
    def _index(self) -> pd.Index:
        return pd.Index(self.t, name="time")

    def _table(self, x: np.ndarray) -> pd.DataFrame:
        """x (time, cell) with its labels."""
        return pd.DataFrame(x, self._index, self.model.cells)

    def _flat(self, variables: Sequence[str] | None) -> tuple[pd.DataFrame, dict[str, str]]:
        """Tables side by side under names such as "V AB/PD 0", and the unit of each column."""
        chosen = self.exported if variables is None else variables
        if isinstance(chosen, str) or not isinstance(chosen, Sequence):
            raise TypeError(f"variables is {chosen!r}; it must be a list of names. Write [{str(chosen)!r}].")
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(
                f"variables is {list(chosen)}; it must name some, each once. Choose of {checks.listing(self.units)}."
            )
        columns, units = {}, {"time": "ms"}
        known = [x for x in chosen if not isinstance(getattr(self.states, x, None), NotRecorded)]
        for variable in known if variables is None else chosen:
            checks.choice("a variable", variable, self.units)
            table = getattr(self, variable)
            for key in table.columns:
                name = " ".join(map(str, (variable, *key)))
                if name in columns:
                    raise ValueError(
                        f"two columns would be called {name!r}; each needs a name of its own. Rename a population or channel."
                    )
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
        columns, index = dict[tuple[Any, ...], np.ndarray](), self.model.cells
        for label, population, transmitter in self.model.ends:
            for number, cell in enumerate(np.flatnonzero(self.model.rows == population)):
                columns[label, number] = self.states.s[:, cell, transmitter]
        return self._columns(columns, index.names)

    @property
    def m(self) -> pd.DataFrame:
        """Activation, 0…1: index time, columns pop, index, channel."""
        return self.of_channels(self.states.m, lambda channel: channel.m)

    @property
    def h(self) -> pd.DataFrame:
        """Inactivation, 0…1: index time, columns pop, index, channel."""
        return self.of_channels(self.states.h, lambda channel: channel.h)

    @property
    def currents(self) -> pd.DataFrame:
        """Currents, nA, outward positive: columns pop, index, channel, with channels "synaptic" and "electrical"."""
        return self.of_channels(self.model.currents(self.states), others=("synaptic", "electrical"))

    def monitor(self, f: Callable[[Any], Any]) -> pd.DataFrame:
        """f of the recorded states, (time, cell), with its labels: `run.monitor(lambda y: y.m[..., 0] ** 3)`."""
        checks.function("f", f, "lambda y: y.m[..., 0]")
        x, shape = checks.numbers("what the monitor returns", f(self.states)), self.states.V.shape
        if x.shape != shape:
            raise ValueError(
                f"the monitor returns shape {x.shape}; it must be (time, cell) = {shape}. Pick a gate by y.m[..., 0]."
            )
        return self._table(x)

    def of_channels(self, x: np.ndarray, has: Callable[[Any], Any] = bool, others: Sequence[str] = ()) -> pd.DataFrame:
        """x (time, cell, channel + other): columns pop, index, channel, for each cell its channels that have something, and the others."""
        circuit, columns = self.model.circuit, dict[tuple[Any, ...], np.ndarray]()
        first = x.shape[-1] - len(others)
        for i, (cell, row) in enumerate(zip(self.model.cells, circuit.rows, strict=True)):
            names = [c.name for c in circuit.membranes[circuit.populations[row].membrane].channels if has(c)]
            columns |= {(*cell, name): x[:, i, k] for k, name in enumerate(names)}
            columns |= {(*cell, name): x[:, i, first + k] for k, name in enumerate(others)}
        return self._columns(columns, [*self.model.cells.names, "channel"])

    def _columns(self, columns: Mapping[tuple[Any, ...], np.ndarray], names: Sequence[str]) -> pd.DataFrame:
        """Columns under their names."""
        data = np.column_stack(list(columns.values())) if columns else np.zeros((len(self.t), 0))
        return pd.DataFrame(data, self._index, pd.MultiIndex.from_tuples(columns, names=list(names)))

    def spike_times(self, threshold: float = SPIKE_THRESHOLD) -> dict[tuple[str, int], np.ndarray]:
        """Times (ms) of the spikes of each cell, tops of V above `threshold` (mV), at the resolution of `t`."""
        threshold = checks.number("threshold", threshold, "mV")
        traces = zip(self.model.cells, self.states.V.T, strict=True)
        return {cell: local_maxima(self.t, V, threshold) for cell, V in traces}

    @property
    def about(self) -> dict[str, Any]:
        """What files say about the model."""
        return self.model.about


def changed_constants(model: Any) -> dict[str, float]:
    """The constants of a circuit that are not the default ones, in their units."""
    constants = model.circuit.constants
    usual = type(constants)()._asdict()
    return {name: float(x) for name, x in constants._asdict().items() if float(x) != usual[name]}


def local_maxima(t: np.ndarray, V: np.ndarray, threshold: float) -> np.ndarray:
    """Those of the times t at which V has the top of a spike above the threshold; a plateau counts at its first sample."""
    return t[tops(np.asarray(t, float), np.asarray(V, float), checked(STANDARD._replace(threshold=threshold))).sample]
