"""The labels of a circuit, its files, and its state as one vector.

Mechanics of `prinz2004.Prinz2004`, which derives from `Labelled`, and of all models that have a state.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd

from ..config import CircuitSpec, circuit_error, read_circuit, write_circuit
from ..files.results import changed_constants
from . import checks, circuits

if TYPE_CHECKING:
    from ..prinz2004 import Params


class Vectors:
    """States as vectors; `cold` says what belongs into one."""

    labels: tuple[str, ...]  # populations
    rows: Any  # population of each cell, (cell,)
    params: Any  # numbers of the model
    dtype: str  # "float64" or "float32"
    cold: Any  # a state
    starts_thermalized: bool  # whether a run without a state starts with thermalized cells, or cold
    get_thermalization: Any
    sound = staticmethod(circuits.given_state)  # looks at a state that is given

    def start(self, state: Any = None, **scheme: Any) -> tuple[Any, str]:
        """The state from which to run, a given one or that from which the model starts, and what it is; scheme: of its thermalization."""
        if state is not None:
            return self.sound(state, self.cold), "given"
        if self.starts_thermalized:
            return self.get_thermalization(**scheme), "thermalized"
        return self.cold, "cold"

    def flatten(self, state: Any) -> np.ndarray:
        """A state as one vector, for `vector_field`. Raises TypeError or ValueError for what is no state of this model."""
        if getattr(state, "_fields", None) != self.cold._fields:
            raise TypeError(
                f"state is of type {type(state).__name__}; it must be a state of this model, such as `result.final_state` or `model.cold`."
            )
        circuits.fits("state", state._asdict(), {name: np.shape(x) for name, x in self.cold._asdict().items()})
        return np.concatenate([np.asarray(x).ravel() for x in state])

    def unflatten(self, y: Any) -> Any:
        """A vector y (…, variable), such as a solution of `solve_ivp`, as a state. Raises ValueError or TypeError for others."""
        like, y = self.cold, np.asarray(y)
        size = sum(np.size(x) for x in like)
        if y.shape[-1:] != (size,):
            turned = y.shape[:1] == (size,)
            cure = "Turn it, y.T, for `solve_ivp` returns (variable, time)." if turned else "Take it from `flatten`."
            raise ValueError(
                f"y has shape {y.shape}; its last axis must have the {size} variables of this model. {cure}"
            )
        checks.numbers("y", y.ravel()[:0] if y.dtype.kind in "fiu" else y)
        parts = np.split(y, np.cumsum([np.size(x) for x in like])[:-1], axis=-1)
        return type(like)(*(part.reshape(*part.shape[:-1], *np.shape(x)) for part, x in zip(parts, like, strict=True)))


THERMALIZED = "its cells have no rhythm of their own to wait for. Run it, and pass state=result.final_state"
WRITTEN = "a file holds no functions and no arrays. Keep the Python code that makes it, or pickle it"


class WithoutChannels(Vectors):
    """Cells of one population without channels and connections: what `Neuron` and `LIF` share.

    Says why they lack what other models have; `hasattr` is as ever.
    """

    size: int  # number of cells
    starts_thermalized = False
    lacks: ClassVar[Mapping[str, str]] = {
        "thermalize": THERMALIZED,
        "get_thermalization": THERMALIZED,
        "to_toml": WRITTEN,
        "from_toml": WRITTEN,
    }

    @property
    def rows(self) -> np.ndarray:
        """Population of each cell, (cell,)."""
        return np.zeros(self.size, int)

    @property
    def cells(self) -> pd.MultiIndex:
        """Label of the population and number in it, for each cell."""
        return pd.MultiIndex.from_product([self.labels, range(self.size)], names=["pop", "index"])

    def __getattr__(self, name: str) -> Any:
        kind = type(self).__name__
        if name in self.lacks:
            raise AttributeError(f"{kind} has no {name}; a model must have channels for it: {self.lacks[name]}.")
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")


class Labelled:
    """What the model class knows about names; `models`, `circuit`, `params` and `labels` come from it."""

    models: pd.DataFrame  # rows that a circuit file can name, mS/cm²
    cell_types: Mapping[str, Any]  # what labels stand for
    circuit: Any  # `Circuit`, a property of `Runnable`
    params: Params
    labels: tuple[str, ...]  # populations

    @property
    def rows(self) -> np.ndarray:
        """Population of each cell, (cell,)."""
        return self.circuit.rows

    @property
    def cells(self) -> pd.MultiIndex:
        """Label of the population and number in it, for each cell."""
        names = [(p.label, i) for p in self.circuit.populations for i in range(p.size)]
        return pd.MultiIndex.from_tuples(names, names=["pop", "index"])

    @property
    def about(self) -> dict[str, Any]:
        """A circuit as plain data for files: sizes, mS/cm², nS, and the constants and the temperature that are not the papers'."""
        gs = [[pre, post, float(g)] for (pre, post), g in zip(self.synapses, self.params.gs, strict=True)]
        sizes = {p.label: p.size for p in self.circuit.populations}
        found = {"pop_sizes": sizes, "g_ion (mS/cm²)": self._densities, "gs (nS)": gs, "ge (nS)": float(self.params.ge)}
        if (T := self.circuit.only.temperature) != type(self.circuit.only)().temperature:
            found["temperature (°C)"] = T
        return {"circuit": found | ({"constants": changed} if (changed := changed_constants(self)) else {})}

    @property
    def _densities(self) -> dict[str, Any]:
        """Population -> density (mS/cm²) of each channel."""
        channels, rows = [c.name for c in self.circuit.channels], zip(self.labels, self.params.g, strict=True)
        return {label: dict(zip(channels, map(float, row), strict=True)) for label, row in rows}

    @property
    def synapses(self) -> list[tuple[str, str]]:
        """(presynaptic terminal, postsynaptic population) of each synapse, in the order of `params.gs`."""
        return [(s.terminal, self.labels[s.post]) for s in self.circuit.synapses]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{p.label}: {p.size}" for p in self.circuit.populations)
        return f"{type(self).__name__}({sizes}; {len(self.circuit.synapses)} synapses)"

    @classmethod
    def row_of(cls, label: str, cell_types: Mapping[str, str]) -> str:
        """The row of `models` that a label names, or the label itself where it names none."""
        return circuits.cell_type(label, cell_types, cls.cell_types, cls.models)[1] or label

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], **kwargs: Any) -> Self:
        """The circuit in a TOML file (see config/circuits); kwargs as for the class. Raises ValueError naming the key in the file."""
        spec = read_circuit(path)
        channels = [c.name for c in kwargs["channels"]] if "channels" in kwargs else list(cls.models.columns)
        known = cls.models.reindex(columns=channels, fill_value=0.0)
        rows = pd.DataFrame(
            [cls._row_in_file(path, label, spec, known) for label in spec.pop_sizes], list(spec.pop_sizes), channels
        )
        if spec.constants:
            kwargs["constants"] = cls._constants_in_file(path, spec, kwargs.get("constants"))
        return cls(spec.pop_sizes, spec.gs, rows, ge=spec.ge, cell_types=spec.cell_types, **kwargs)  # type: ignore[call-arg]

    @classmethod
    def _row_in_file(
        cls, path: str | os.PathLike[str], label: str, spec: CircuitSpec, known: pd.DataFrame
    ) -> list[float]:
        """Conductances (mS/cm²) of a population in a file, in the order of the columns of `known`."""
        cell = spec.cells.get(label) or cls.row_of(label, spec.cell_types)
        if isinstance(cell, str):
            checks.choice(f"the cell of population {label!r} in {os.fspath(path)}", cell, known.index)
            return [float(x) for x in known.loc[cell].to_numpy()]
        channels, where = list(known.columns), ["populations", label, "g"]
        for name in (name for name in cell if name not in channels):
            hint = checks.closest(name, channels) or f" Channels are {checks.listing(channels)}."
            raise circuit_error(path, [*where, name], "there is no such channel", f"take it out, or correct it.{hint}")
        if missing := [name for name in channels if name not in cell]:
            rule = f"all channels must be there, in mS/cm²; it lacks {checks.listing(missing)}"
            raise circuit_error(path, where, rule, f"write {missing[0]} = 0 for a cell without it")
        return [cell[name] for name in channels]

    @classmethod
    def _constants_in_file(cls, path: str | os.PathLike[str], spec: CircuitSpec, given: Any) -> Any:
        """The constants of a file, of the model's type."""
        from ..prinz2004 import CONSTANTS  # which imports this module

        if given is not None:
            raise circuit_error(
                path, ["constants"], "constants are given by the file and by the call", "keep one of the two"
            )
        for name in spec.constants:
            if name not in CONSTANTS._fields:
                hint = checks.closest(name, CONSTANTS._fields) or f" Constants are {checks.listing(CONSTANTS._fields)}."
                raise circuit_error(
                    path, ["constants", name], "there is no such constant", f"take it out, or correct it.{hint}"
                )
        return CONSTANTS._replace(**spec.constants)

    def to_toml(self, path: str | os.PathLike[str], title: str = "A pyloric circuit") -> None:
        """Write the circuit as TOML, so that `from_toml` gives it back; an older file is replaced when the new one is complete.

        Raises ValueError for a circuit with channels or transmitters of its own, which a file cannot hold, and OSError, with the reason,
        if the file cannot be written.
        """
        usual = type(self.circuit)((), ())
        for what in ("channels", "transmitters"):
            if getattr(self.circuit, what) != getattr(usual, what):
                own = [x.name for x in getattr(self.circuit, what) if x not in getattr(usual, what)]
                has, known = (checks.listing(x.name for x in getattr(c, what)) for c in (self.circuit, usual))
                added = f", {checks.listing(own)} of its own" if own else ""
                raise ValueError(
                    f"the circuit has the {what} {has}{added}; a circuit file knows only the paper's, {known}. Keep the Python code that "
                    "builds the circuit, or pickle it."
                )
        sizes, types = ({p.label: getattr(p, x) for p in self.circuit.populations} for x in ("size", "type"))
        gs = dict(zip(self.synapses, map(float, self.params.gs), strict=True))
        ge, constants = float(self.params.ge), changed_constants(self)
        write_circuit(CircuitSpec(title, sizes, self._densities, types, gs, ge, constants), path)
