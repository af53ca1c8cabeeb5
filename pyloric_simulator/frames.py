"""Results as tables: labelled columns, and files that carry their units.

Mechanics of `prinz2004.SimResult`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

UNITS = {"V": "mV", "Ca": "µM", "s": "1", "m": "1", "h": "1", "currents": "nA"}


def frame(t: np.ndarray, x: np.ndarray, cells: pd.MultiIndex, channels: Sequence[str] | None = None) -> pd.DataFrame:
    """x (time, cell) or (time, cell, channel) as a DataFrame: index time in ms, columns pop, index and, where given, channel."""
    index = pd.Index(t, name="time")
    if channels is None:
        return pd.DataFrame(x, index, cells)
    keys = [(*cell, channel) for cell in cells for channel in channels]
    return pd.DataFrame(x.reshape(len(t), -1), index, pd.MultiIndex.from_tuples(keys, names=[*cells.names, "channel"]))


def flat(variables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, str]]:
    """All variables side by side under names such as "V AB/PD 0", and the unit of each column."""
    columns, units = {}, {}
    for variable, data in variables.items():
        for key in data.columns:
            name = " ".join(map(str, (variable, *key)))
            columns[name], units[name] = data[key].to_numpy(), UNITS[variable]
    index = next(iter(variables.values())).index
    return pd.DataFrame(columns, index), {"time": "ms"} | units


def to_csv(path: str | os.PathLike[str], variables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any]) -> None:
    """A CSV file whose leading lines, starting with #, hold the metadata and units as JSON: pd.read_csv(path, comment="#")."""
    data, units = flat(variables)
    with open(path, "w", encoding="utf-8", newline="") as file:
        for key, value in {**metadata, "units": units}.items():
            file.write(f"# {key}: {json.dumps(value, ensure_ascii=False)}\n")
        data.to_csv(file, index_label="time")


def to_parquet(path: str | os.PathLike[str], variables: Mapping[str, pd.DataFrame], metadata: Mapping[str, Any]) -> None:
    """A Parquet file; metadata in the schema, the unit in the metadata of each field. Needs pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("writing Parquet needs pyarrow; install it with: pip install 'pyloric-simulator[parquet]'") from error
    data, units = flat(variables)
    table = pa.Table.from_pandas(data.reset_index(), preserve_index=False)
    fields = [field.with_metadata({"unit": units[field.name]}) for field in table.schema]
    about = {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
    pq.write_table(table.cast(pa.schema(fields, metadata={**(table.schema.metadata or {}), **about})), path)


def local_maxima(t: np.ndarray, V: np.ndarray, threshold: float) -> np.ndarray:
    """Times of the local maxima of V above the threshold; a plateau counts at its first sample."""
    inner = V[1:-1]
    peak = (inner > V[:-2]) & (inner >= V[2:]) & (inner > threshold)
    return t[1:-1][peak]
