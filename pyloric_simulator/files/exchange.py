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
# # Results in the hands of others
#
# A colleague analyses recordings with eFEL, another one keeps everything in NWB, a third one thinks in labelled
# arrays. Do their tools see the same spikes and bursts in a run as this package does? Ten circuits of the
# paper's database answer ({numref}`tbl-agreement`).

# %% tags=["active-ipynb", "remove-cell"]
# import os
# import tempfile
# import warnings
#
# import numpy as np
#
# folder = tempfile.TemporaryDirectory()
# os.chdir(folder.name)

# %% tags=["active-ipynb"]
# from .. import database
# from .comparison import agreement
#
# runs = [database.circuit(number)(np.arange(0, 5000, 0.1))[1000:] for number in database.sample(10, seed=4).index]
# with warnings.catch_warnings(action="ignore"):  # elephant's of its own parts
#     compared = agreement(runs)

# %% tags=["active-ipynb", "remove-input"]
# from ..book import list_table
#
# list_table("Ten circuits of three cells, four seconds each. Of each feature the number of cells that have it, and the largest difference from ours in the unit of the feature.",
#            "tbl-agreement", ("feature", "of", "cells", "largest difference"),
#            [(row["feature"], row["of"], row["cells"], f"{row['largest difference']:.3g} {row['unit']}") for _, row in compared.iterrows()])

# %% [markdown]
# All three count the same spikes, once those within 5 ms of the ends of a run are left out: there eFEL misses
# two spikes in the last millisecond, and elephant counts one last sample that is above the threshold. eFEL and
# elephant give the time of a spike as that of its highest sample, one each 0.1 ms here; ours is the top of the
# parabola through it and its neighbours, up to half a sample beside it. Intervals agree to the same degree, and
# their CV to the fourth digit. (eFEL's own `ISI_CV` leaves out the first interval, so the intervals themselves
# are compared.)
#
# Bursts are another matter. Cut at silences of 150 ms, elephant's spikes form our bursts, all of them. eFEL has
# a rule of its own, without milliseconds: an interval ends a burst if it is 1.5 times as long as the median of
# those before it in the burst, and the next one is 1.5 times shorter again. Bursts whose intervals vary it may
# cut, and in these runs its number of bursts differs from ours by up to three in four seconds. For the rhythm
# of this circuit take the bursts of the chapter [on rhythm](../rhythm.py).
#
# ## What it does and what it costs
#
# | tool | by | extra |
# |:--|:--|:--|
# | NWB, a file | `result.to_nwb("run.nwb")` | `nwb` |
# | Neo, an object in memory | `result.to_neo()` | `neo` |
# | xarray, and NetCDF from it | `result.to_xarray()` | `xarray` |
# | eFEL's features | `efel_features(result, names)` | `efel` |
# | scikit-learn's arrays, from rows of the database | `arrays(rows, target)` | |
#
# All of them hold the units of what they hold, and as text what the circuit was and how it ran. What NWB and
# Neo keep is read back by the functions of the chapter [on recordings](instruments.py), equal to the last bit
# in the potentials.

# %% tags=["active-ipynb"]
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
# from ..rhythm import report
# from .recording import as_recording, read_recording
#
# run = Prinz2004.from_toml(find_circuit("paper"))(np.arange(0, 6000, 0.2))[1000:]
# run.to_nwb("run.nwb")
# assert (read_recording("run.nwb").to_numpy() == run.V.to_numpy()).all()
# assert report("run.nwb")["value"].equals(report(run)["value"]) or np.allclose(report("run.nwb")["value"], report(run)["value"])
# run.to_xarray()

# %%
from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd

from .. import __version__
from ..engine import checks
from ..engine.detection import SPIKE_THRESHOLD
from .readers import CELL
from .writing import draft_of, target_of, telling

__all__ = ["arrays", "efel_features", "to_neo", "to_nwb", "to_xarray"]

# %% [markdown]
# ## What is handed over
#
# A result has variables, each of which is a table with a unit. Those that go into files by default, V, Ca and s
# of a circuit, go here, too; `variables` names others. What the circuit was and how it ran is text in JSON,
# with the names and units of the [files of results](../../book/guides/files.md).


# %%
def chosen(result: Any, variables: Sequence[str] | None) -> dict[str, pd.DataFrame]:
    """The tables of the variables that are wanted, by default those that go into files and were recorded."""
    from ..engine.schedule import NotRecorded

    checks.of_type("what is handed over", getattr(result, "states", None), tuple, "a result of a run")
    names = result.exported if variables is None else checks.names("variables", variables, "['V']")
    if not names:
        raise ValueError(
            f"variables is empty; it must name some of {checks.listing(result.units)}. Leave it out for the usual ones."
        )
    found = {}
    for name in names:
        checks.choice("a variable", name, result.units)
        if variables is not None or not isinstance(getattr(result.states, name, None), NotRecorded):
            found[name] = getattr(result, name)
    return found


# %% [markdown]
# Three small things are needed by all. A label of a cell is a pair in this package, ("LP", 0), and text
# elsewhere, "LP 0", as in our own files. The interval between samples is given where there is one: an adaptive
# solver records at the times that were asked for, which may be any. It is taken from the ends, since a single
# difference carries the rounding of two times.


# %%
def about(result: Any) -> dict[str, str]:
    """What the model was and how it ran, as text in JSON."""
    said = {**result.about, **({} if result.run is None else {"run": result.run._asdict()})}
    return {
        "source": f"pyloric_simulator {__version__}",
        **{k: json.dumps(x, ensure_ascii=False) for k, x in said.items()},
    }


def label(key: Any) -> str:
    """The name of a column, of a cell or a terminal: "AB/PD 0"."""
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def interval(t: np.ndarray) -> float | None:
    """The interval (ms) of times that are equally spaced; None of others."""
    d = np.diff(t)
    step = (t[-1] - t[0]) / len(d) if len(d) else 0.0
    return float(f"{step:.12g}") if len(d) and np.allclose(d, step, rtol=1e-6, atol=0) else None


# %% [markdown]
# JSON is kept as text in all three, in `circuit`, `run` and `source`. It has the labels of populations, the
# conductances of membranes in mS/cm² and of synapses in nS, the version of this package, and the scheme with
# its step. A reader needs nothing of this package to read it, and `json.loads(ds.attrs["circuit"])` has it as
# Python's own dictionaries. Integrate-and-fire cells write their parameters instead; equations of one's own are
# functions, which no file holds.
#
# ## xarray
#
# How far was the sodium gate of LP open at 1234 ms? In an array without names one counts axes; here it is
# `ds.m.sel(cell="LP 0", channel="Na").sel(time=1234, method="nearest")`. An array whose axes have names, and a
# set of them that share axes, are what [xarray](https://docs.xarray.dev) adds to NumPy, and its files are
# NetCDF, which other languages read.
#
# Potentials have the axes time and cell, gates and currents also channel, and activations of synapses have
# terminals in place of cells, since an AB/PD cell has two. A cell that lacks a channel has NaN there. Labels
# are text, since NetCDF has no tuples; population and number stand beside them.


# %%
def to_xarray(result: Any, variables: Sequence[str] | None = None) -> Any:
    """An xarray.Dataset of a result: axes time (ms), cell or terminal, and channel; units, circuit and run as attributes.

    `.to_netcdf(path, engine="h5netcdf")` writes it. Raises ImportError without xarray, ValueError or TypeError for variables that are not there.
    """
    xr = checks.package("xarray", "xarray", "labelled arrays")
    from .results import Dims

    made = {}
    for name, table in chosen(result, variables).items():
        attributes = {"units": result.units[name], "long_name": Dims.labels.get(name, name)}
        made[name] = array_of(
            xr, table, "cell" if table.columns.nlevels == 3 or table.columns.equals(result.model.cells) else "terminal"
        )
        made[name].attrs.update(attributes)
    found = xr.Dataset(made, attrs=about(result))
    found["time"].attrs.update(units="ms", long_name="time")
    return found


# %% [markdown]
# A table of this package has one column for each channel that a cell has. In the array the channels of all
# cells share an axis, so each value is put in its place. The labels of an axis beside its names, `pop` and
# `index`, let one select by them: `ds.V.where(ds["pop"] == "PY", drop=True)` has the PY cells.


# %%
def array_of(xr: Any, table: pd.DataFrame, axis: str) -> Any:
    """A table as an array; of columns of three levels the last one is an axis of its own."""
    keys = list(dict.fromkeys(key[:2] for key in table.columns))
    beside = {"pop": [str(k[0]) for k in keys], "index": [int(k[1]) for k in keys]}
    names = beside if axis == "cell" else {f"{axis}_{name}": x for name, x in beside.items()}
    coordinates: dict[str, Any] = {"time": table.index.to_numpy(), axis: [label(k) for k in keys]}
    coordinates |= {name: (axis, x) for name, x in names.items()}
    if table.columns.nlevels == 2:
        return xr.DataArray(table.to_numpy(), coordinates, ("time", axis))
    channels = list(dict.fromkeys(key[2] for key in table.columns))
    values = np.full((len(table), len(keys), len(channels)), np.nan)
    for i, key in enumerate(table.columns):
        values[:, keys.index(key[:2]), channels.index(key[2])] = table.iloc[:, i]
    return xr.DataArray(values, coordinates | {"channel": channels}, ("time", axis, "channel"))


# %% [markdown]
# ## Neo
#
# Neo has signals, each of several channels with one unit, and trains of spikes. A block with one segment holds
# them. Where the times of a result are not equally spaced, as of an adaptive solver, signals have a time for
# each sample. What else is known goes into annotations.
#
# Neo's quantities carry their units into all arithmetic. Its times are given in seconds here, not in ms: the
# layer that reads raw NIX files takes the number of an interval for seconds whatever its unit is (version
# 0.14), and a recording would come back a thousand times slower.


# %%
def to_neo(result: Any, variables: Sequence[str] | None = None) -> Any:
    """A neo.Block of a result: a signal for each variable, a train of spikes for each cell, with units, circuit and run in its annotations.

    Neo writes it: `neo.io.NixIO("run.nix", "ow").write(block)`. `as_recording` reads it back. Raises ImportError without Neo.
    """
    neo = checks.package("neo", "neo", "a block of Neo")
    tables = chosen(result, variables)
    s = checks.package("quantities", "neo", "a block of Neo").s  # Neo's reader of raw NIX files takes all times for s
    t = MILLI * result.t
    segment = neo.Segment(name="run")
    step = interval(result.t)
    for name, table in tables.items():
        unit = {"µM": "uM", "1": "dimensionless"}.get(result.units[name], result.units[name])
        given = dict(units=unit, name=name, array_annotations={"channel_names": [label(k) for k in table.columns]})
        if step is None:
            signal = neo.IrregularlySampledSignal(t * s, table.to_numpy(), **given)
        else:
            signal = neo.AnalogSignal(table.to_numpy(), t_start=t[0] * s, sampling_period=MILLI * step * s, **given)
        segment.analogsignals.append(signal) if step is not None else segment.irregularlysampledsignals.append(signal)
    for cell, times in spikes(result).items():
        x = MILLI * times
        end = max([float(t[-1]), *x[-1:].tolist()])
        segment.spiketrains.append(neo.SpikeTrain(x * s, t_start=t[0] * s, t_stop=end * s, name=label(cell)))
    block = neo.Block(name=str(result.model), **about(result))
    block.segments.append(segment)
    return block


def spikes(result: Any) -> Mapping[Any, np.ndarray]:
    """The spike times (ms) of each cell, of results that have them."""
    return result.spike_times() if hasattr(result, "spike_times") else {}


# %% [markdown]
# ## NWB
#
# A potential is a `CurrentClampSeries`, which NWB wants in volts: the samples stay in mV, with a conversion of
# 0.001, so that none is rounded. Other variables are plain series. The standard asks for an electrode, a device
# and a start; the device is this package, and the start is when the file was written. Names in NWB are names in
# HDF5, in which a slash parts folders, so `AB/PD 0` is called `V AB_PD 0`, and its comment has the label, with
# the number of the cell, since HDF5 keeps no order. The table of units has the spikes. The file takes the place
# of an older one when it is complete.


# %%
MILLI = 1e-3  # V in a mV, and s in a ms


def to_nwb(result: Any, path: Any, variables: Sequence[str] | None = None) -> None:
    """Write a result to an NWB file, which `read_recording` reads; an older file is replaced when this one is complete.

    Raises ImportError without pynwb, ValueError for a name that does not end in .nwb, and OSError, with the reason, if it cannot be written.
    """
    target = target_of(path)
    if target.suffix.lower() != ".nwb":
        raise ValueError(
            f"the file is '{path}'; its name must end in .nwb, or others would not know what it is. Rename it."
        )
    pynwb = checks.package("pynwb", "nwb", "writing NWB")
    tables = chosen(result, variables)
    nwb = pynwb.NWBFile(
        session_description=f"Simulation of {result.model}", identifier=str(uuid4()), session_start_time=datetime.now().astimezone(),
        notes=json.dumps(about(result), ensure_ascii=False), source_script="pyloric_simulator", source_script_file_name="pyloric_simulator",
    )  # fmt: skip
    device = nwb.create_device("pyloric_simulator", description=f"Simulator, version {__version__}")
    for name, table in tables.items():
        for i, key in enumerate(table.columns):
            made = series_of(pynwb, nwb, device, result, name, key, table.iloc[:, i].to_numpy())
            nwb.add_acquisition(made(comments=f"{CELL} {i}: {label(key)}"))
    add_spikes(nwb, result)
    with replacing(path, target) as draft, pynwb.NWBHDF5IO(str(draft), "w") as io:
        io.write(nwb)


# %% [markdown]
# What happens above stands in the order in which a file is thought of: what it is about, the device, a series
# for each variable of each cell, the units. Then it is written beside its place and moved there, as all files
# of this package are, so that a full disk costs nothing that was there. Below are the parts. A series has a
# rate where samples are equally spaced, else its times in s.


# %%
def series_of(pynwb: Any, nwb: Any, device: Any, result: Any, name: str, key: Any, x: np.ndarray) -> Any:
    """A function of its comment that makes a series of a variable of a cell."""
    text, step = label(key), interval(result.t)
    clock = (
        {"timestamps": MILLI * result.t}
        if step is None
        else {"rate": 1e3 / step, "starting_time": MILLI * float(result.t[0])}
    )
    given = dict(name=safe(f"{name} {text}"), data=x, description=f"{name} of {text}", **clock)
    if result.units[name] != "mV" or name != "V":
        return partial(pynwb.TimeSeries, unit=result.units[name], **given)
    known = nwb.icephys_electrodes or {}
    electrode = known.get(safe(text)) or nwb.create_icephys_electrode(
        name=safe(text), description=f"in the cell {text}", device=device
    )
    return partial(pynwb.icephys.CurrentClampSeries, electrode=electrode, conversion=MILLI, **given)


def safe(name: str) -> str:
    """A name without the signs that HDF5 and NWB do not allow in names."""
    return name.replace("/", "_").replace(":", "_")


# %% [markdown]
# In NWB a *unit* is what an experimenter separated from a recording, a cell as far as one can tell. Its table
# has the spike times and the interval in which it was observed. Without that interval nobody could tell a
# silent cell from one that was not recorded.


# %%
def add_spikes(nwb: Any, result: Any) -> None:
    """The spike times of the cells, in s, as the units of a file."""
    trains = spikes(result)
    if not trains:
        return
    nwb.add_unit_column("cell", "label of the cell")
    for cell, times in trains.items():
        nwb.add_unit(spike_times=MILLI * times, obs_intervals=[MILLI * result.t[[0, -1]]], cell=label(cell))


# %% [markdown]
# Most writers of this package are given an open file. pynwb wants a path, since HDF5 reads what it has written
# while it writes. The path of a draft beside the file serves: it has the same suffix, which pynwb looks at, and
# a name that nobody else takes. An error on the way removes it and leaves the older file as it was; the tests
# let the disk run full.


# %%
@contextmanager
def replacing(path: Any, target: Path) -> Any:
    """A path at which a file is written, which takes the place of `target` when the block ends; if it fails, what was there stays."""
    draft = draft_of(target).with_suffix(target.suffix)
    try:
        with telling(path):
            yield draft
            draft.replace(target)
    finally:
        with suppress(OSError):
            draft.unlink()


# %% [markdown]
# ## eFEL
#
# The Electrophys Feature Extraction Library has some 180 features of a trace, by which models of cortical cells are
# fitted. It takes a trace and the times at which a stimulus begins and ends, for which the ends of the
# recording stand here. Its threshold is set to ours, −10 mV, and its settings are put back afterwards.


# %%
def efel_features(
    data: Any, names: Sequence[str], window: Any = None, *, settings: Mapping[str, Any] | None = None, reduce: Callable[[Any], float] = np.mean
) -> pd.DataFrame:  # fmt: skip
    """Features of eFEL, one row for each cell, a column for each feature; NaN where eFEL finds none.

    data, window: as for `rhythm.features`, but with potentials. names: those of eFEL, `efel.get_feature_names()`. settings: of eFEL, by name, such as
    {"Threshold": -30}. reduce: makes one number of the values of a feature, by default their mean. Raises ImportError without eFEL, ValueError for
    names that it does not have.
    """
    values = efel_values(data, names, window, settings)
    rows = [
        {name: np.nan if x is None or not len(x) else float(reduce(x)) for name, x in of.items()}
        for of in values.values()
    ]
    return pd.DataFrame(rows, index=pd.Index(list(values), tupleize_cols=False), columns=list(names))


# %% [markdown]
# eFEL's settings are global: whoever changes the threshold changes it for the whole process. So they are noted,
# set, and put back even if eFEL fails. It knows no gaps, and a burst over one would be wrong, so a recording
# with gaps needs a window without.


# %%
def efel_values(
    data: Any, names: Sequence[str], window: Any, settings: Mapping[str, Any] | None
) -> dict[Any, dict[str, Any]]:
    """All values of features of eFEL: cell -> feature -> (value,)."""
    from .recording import as_recording

    efel = checks.package("efel", "efel", "features of eFEL")
    known, usual = efel.get_feature_names(), efel.get_settings()
    for name in checks.names("names", names, "['spike_count']"):
        checks.choice("a feature of eFEL", name, known)
    given = {"Threshold": SPIKE_THRESHOLD} | dict(settings or {})
    for name in given:
        checks.choice("a setting of eFEL", name, list(vars(usual)))
    found = as_recording(data, window)
    if found.V is None or found.t is None:
        raise TypeError("the recording has spike times only; eFEL needs potentials. Give a table of them.")
    if len(found.pieces) > 1:
        raise ValueError(
            f"the recording has {len(found.pieces) - 1} gaps, and eFEL knows none. Choose a window without one."
        )
    inside = (found.t >= found.window[0]) & (found.t <= found.window[1])
    t = found.t[inside]
    before = dict(vars(usual))
    try:
        for name, x in given.items():
            efel.set_setting(name, x)
        traces = [
            {"T": t, "V": np.asarray(V)[inside], "stim_start": [t[0]], "stim_end": [t[-1]]} for V in found.V.values()
        ]
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of eFEL's own parts
            values = efel.get_feature_values(traces, list(names), raise_warnings=False)
    finally:
        for name, x in before.items():
            efel.set_setting(name, x)
    return dict(zip(found.cells, values, strict=True))


# %% [markdown]
# ## Arrays for learning
#
# A machine that learns wants a matrix of numbers, one row for each circuit, and a vector of what it shall tell.
# `arrays` makes both from rows of the database: the 31 conductances of a circuit, 24 of membranes and 7 of
# synapses, and any column of results. Circuits whose result is not a number, as the phase of a silent cell, are
# left out. The chapter [on inference](../fitting/inference.py) has such arrays by itself, θ and features.


# %%
def arrays(rows: pd.DataFrame, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Conductances (circuit, 31), membranes in mS/cm² first and synapses in nS then, and a result (circuit,), of rows of the database.

    Circuits without that result are left out. Raises ValueError for a column that is not there, TypeError for one that holds no numbers.
    """
    from ..database import RESULTS, conductances

    checks.of_type("rows", rows, pd.DataFrame, "a table of database.run or database.load")
    checks.choice(
        "the target", target, [name for name in rows.columns if name in RESULTS or name in ("pyloric", "pyloric_like")]
    )
    membranes, synapses = conductances(rows)
    y = rows[target].to_numpy(float)
    known = np.isfinite(y)
    X = np.concatenate([np.reshape(x, (len(rows), -1)) for x in (membranes, synapses)], axis=1)
    return X[known], y[known]


# %% [markdown]
# Which circuits of the sample that comes with the package are pyloric-like? A forest of trees that has seen two
# thirds of them tells the others apart far better than chance, which would give an area of 0.5 under its curve:

# %% tags=["active-ipynb"]
# from pathlib import Path
#
# from sklearn.ensemble import RandomForestClassifier
# from sklearn.model_selection import cross_val_score
#
# from .. import __file__ as here
# from .exchange import arrays
#
# sample = database.load(Path(here).with_name("data") / "sample_staggered.parquet")
# X, y = arrays(sample, "pyloric_like")
# scores = cross_val_score(RandomForestClassifier(100, min_samples_leaf=5, random_state=0), X, y, scoring="roc_auc", cv=3)
# assert X.shape == (20480, 31) and scores.min() > 0.8
# scores.round(3)

# %% [markdown]
# ## A fit by pymoo
#
# Our losses are functions of a model's numbers, and any optimizer may call them. [pymoo](https://pymoo.org) has
# those that look for several aims at once. Here an isolated pacemaker shall have a period of a second, a duty
# cycle of 0.3, and a mean calcium of 60 µM. Three conductances do not serve both losses, so what is found is a
# front: the less of one, the more of the other. `jax.vmap` runs all circuits of a generation side by side.

# %% tags=["active-ipynb"]
# import jax
# from pymoo.algorithms.moo.nsga2 import NSGA2
# from pymoo.core.problem import Problem
# from pymoo.optimize import minimize
#
# from ..fitting.losses import calcium_mismatch, rhythm_mismatch
# from ..fitting.parameters import with_values
# from ..prinz2004 import precision
#
# cell = Prinz2004({"AB/PD 2": 1}, gs={})
# t, start, names = np.arange(500, 3000, 0.5), cell.get_thermalization(), ["AB/PD 2 CaS", "AB/PD 2 KCa", "AB/PD 2 A"]
# losses = [rhythm_mismatch(cell, t, period=1000, duty_cycle=0.3, state=start), calcium_mismatch(cell, 60.0, t, state=start)]
# both = jax.jit(jax.vmap(lambda x: jax.numpy.stack([loss(with_values(cell.params, dict(zip(names, x)))) for loss in losses])))
#
#
# class Pacemaker(Problem):
#     def _evaluate(self, x, out, *_, **__):
#         with precision():
#             out["F"] = np.asarray(both(x))
#
#
# front = minimize(Pacemaker(n_var=3, n_obj=2, xl=[1, 1, 5], xu=[12, 20, 60]), NSGA2(pop_size=16), ("n_gen", 8), seed=1)

# %% tags=["active-ipynb", "hide-input"]
# import pandas as pd
#
# order = np.argsort(front.F[:, 0])
# found = pd.DataFrame(np.c_[front.F, front.X][order], columns=["rhythm", "calcium", *names]).round(3)
# assert (np.diff(front.F[order, 1]) <= 0).all() and front.F[:, 1].min() < 0.05
# found

# %% [markdown]
# The cell of the paper has CaS 6, KCa 5 and A 50, and losses of 0.20 and 0.66: all cells of the front are
# better in one of the two, and eight of thirteen in both. To meet the rhythm it takes more CaS and KCa, to meet
# the calcium less of both.
#
# ## Exercises
#
# ```{exercise}
# :label: ex-exchange-threshold
# eFEL's own threshold is −20 mV. Does the number of spikes of the circuit change with it? With which threshold
# would it?
# ```
#
# ```{solution-start} ex-exchange-threshold
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from .exchange import efel_features
#
# numbers = {x: efel_features(run, ["spike_count"], settings={"Threshold": x})["spike_count"].tolist() for x in (-40.0, -30.0, -20.0, -10.0, 20.0, 40.0)}
# assert numbers[-20.0] == numbers[-10.0]
# numbers

# %% [markdown]
# Not from −30 to 20 mV. At −40 mV AB/PD has three more, peaks between −40 and −30 mV. At 40 mV, above their
# tops, AB/PD and PY have none, and LP loses some.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-exchange-currents
# Which current carries most charge into the pacemaker in five seconds? Take the labelled array of the currents.
# ```
#
# ```{solution-start} ex-exchange-currents
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# inward = run.to_xarray(["currents"])["currents"].sel(cell="AB/PD 0")
# charge = (-inward).clip(min=0).mean("time") * 5.0  # nA s = nC
# charge.to_series().dropna().sort_values(ascending=False).round(2)

# %% [markdown]
# Sodium, by little before the slow calcium current. The axes have names, so that nothing depends on their
# order; the unit follows from nA and s.
# ```{solution-end}
# ```
