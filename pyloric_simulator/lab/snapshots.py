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
# # Snapshots
#
# A state on disk, from which a run goes on another day, in a file of plain arrays. With it goes what the model is: the names of its parts as text, and
# its numbers, those that its gates give at some potentials included. A state is never restored into another model.

# %%
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..config import path_of
from ..engine import checks
from ..engine.kinetics import at
from ..files.results import Result
from ..files.writing import target_of, written_whole
from ..models.networks import any_model
from ..prinz2004 import Circuit, Model, precision
from .noise import noisy_state

__all__ = ["Snapshot", "load_state", "save_state"]

# %% [markdown]
# ## What a model is

# %%
SNAPSHOT = 1  # version of the files


def described(model: Any) -> tuple[Any, np.ndarray]:
    """What tells a model from others: plain data, and numbers."""
    if isinstance(model, Model):
        return ["cells", text_of(model.circuit)], np.concatenate([np.ravel(x) for x in numbers_of(model)])
    values = model.params if isinstance(model.params, Mapping) else model.params._asdict()
    return [type(model).__name__, model.size, list(model.cold._fields), list(values)], np.concatenate(
        [np.ravel(x) for x in values.values()]
    )


def text_of(circuit: Circuit) -> Any:
    """Names and connections."""
    labels = [p.label for p in circuit.populations]
    spelled = [
        [[c.name, c.p, c.q, c.ion, bool(c.m), bool(c.h), type(c.E).__name__] for c in m.channels]
        for m in circuit.membranes
    ]
    joined = [
        ["Synapse", labels[s.pre], labels[s.post], circuit.transmitters[s.transmitter].name] for s in circuit.synapses
    ]
    joined += [["Synapse", labels[pre], labels[post], circuit.kinds[kind].name] for pre, post, kind in circuit.kinetic]
    joined += [["GapJunction", labels[a], labels[b], ""] for a, b in circuit.junctions]
    populations = circuit.populations
    return [{p.label: spelled[p.membrane] for p in populations}, joined, {p.label: p.size for p in populations}]


SOME_V, SOME_CA = (np.ravel(x) for x in np.meshgrid(np.arange(-100.0, 41.0, 20.0), (0.05, 1.0, 20.0)))  # mV, µM


def numbers_of(model: Model) -> list[np.ndarray]:
    """All numbers of a model: conductances, constants, reversal potentials, and values of the gates."""
    circuit, params, found = model.circuit, model.params, list[np.ndarray]()
    kinds = [circuit.transmitters[i] for i in dict.fromkeys(s.transmitter for s in circuit.synapses)]
    of = [[p.membrane == i for p in circuit.populations] for i in range(len(circuit.membranes))]
    with precision("float64"):
        V, Ca = jnp.asarray(SOME_V), jnp.asarray(SOME_CA)
        for membrane in circuit.membranes:
            gates = [g for c in membrane.channels for g in (c.m, c.h) if g] + [
                k.gate(membrane.constants) for k in kinds
            ]
            found += [np.asarray(at(f, V, Ca)) for g in gates for f in g[:2]] + [np.array([g.K for g in gates])]
            found += [
                np.array(membrane.constants),
                *(np.array([c.E]) for c in membrane.channels if isinstance(c.E, (int, float))),
            ]
        rates = [k.rate(0.3 + 0 * V, V, V[::-1]) for k in circuit.kinds]
    g = [np.asarray(params.g)[mine, : len(m.channels)] for mine, m in zip(of, circuit.membranes, strict=True)]
    ge = np.broadcast_to(params.ge, len(circuit.junctions))
    return [np.asarray(x, float) for x in (*g, params.gs, params.gz, ge, *rates, *found)]


# %% [markdown]
# ## Saving and loading


# %%
def save_state(path: str | os.PathLike[str], source: Result) -> None:
    """Write the final state of a result, its time, what its model is and how it ran; an older file is replaced when this one is complete.

    Raises TypeError if the source is no result, and OSError, with the reason, if the file cannot be written.
    """
    checks.of_type("what is to be saved", source, Result, "a result of a run")
    target_of(path)
    text, numbers = described(source.model)
    about = json.dumps([SNAPSHOT, text, float(source.t[-1])], ensure_ascii=False)
    ran = json.dumps(source.run and source.run._asdict(), ensure_ascii=False)
    fields = {f"state.{name}": x for name, x in source.final_state._asdict().items()}
    with written_whole(path) as stream:
        np.savez(stream, allow_pickle=False, about=np.array(about), run=np.array(ran), numbers=numbers, **fields)


class Snapshot(NamedTuple):
    """What `load_state` reads; the run goes on with `model(t, state=snapshot.state, t0=snapshot.t0)`."""

    state: Any  # of the model
    t0: float  # ms, its time


def load_state(path: str | os.PathLike[str], model: Any) -> Snapshot:
    """The state in a file of `save_state`, for the same model.

    Raises ValueError if it belongs to another one, is damaged, no such file, or no state as a user could give it; OSError if there is none.
    """
    model = any_model(model)
    arrays = contents(path_of("the snapshot", path))
    text, numbers = described(model)
    version, found, t0 = arrays.about
    same = [version, found] == [SNAPSHOT, json.loads(json.dumps(text))] and arrays.numbers.shape == numbers.shape
    if not (same and np.allclose(arrays.numbers, numbers, rtol=1e-9, atol=0, equal_nan=True)):
        what = "version, cells, channels or synapses" if not same else "conductances or kinetics"
        raise ValueError(
            f"the snapshot {path} is of a model with other {what}; it must be the same one. Build the model as it was saved."
        )
    like = state_like(model, arrays.fields)
    fields = {name: x for name, x in arrays.fields.items() if x.size or name in like._fields}
    if set(fields) != set(like._fields):
        raise ValueError(
            f"the snapshot {path} has the variables {checks.listing(fields)}; the state has {checks.listing(like._fields)}. Load it with "
            "the model that ran."
        )
    return Snapshot(model.sound(type(like)(**fields), like), checks.number(f"the time in {path}", t0, "ms"))


class Contents(NamedTuple):
    """What a snapshot file holds."""

    about: Any  # version, description of the model, time in ms
    numbers: np.ndarray  # of the model
    fields: dict[str, np.ndarray]  # of the state


def contents(path: Path) -> Contents:
    """The arrays of a snapshot file, read without pickles. Raises ValueError if it is damaged or another file, OSError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"'{path}' is no file; it must be one of save_state. Check the path.")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            fields = {name.removeprefix("state."): file[name] for name in file.files if name.startswith("state.")}
            version, found, t0 = json.loads(str(file["about"]))
            return Contents((version, found, t0), file["numbers"].astype(float), fields)
    except PermissionError:
        raise
    except Exception:  # what a made-up or damaged archive raises can be anything, and NumPy advises to allow pickles
        message = (
            f"'{path}' is no snapshot, or is damaged; it must be a file of save_state. Check the path, or save it anew."
        )
        raise ValueError(message) from None


def state_like(model: Any, fields: Mapping[str, Any]) -> Any:
    """A state of a model with these fields."""
    return noisy_state(model.cold, fields["n"]) if "n" in fields and isinstance(model, Model) else model.cold


# %% tags=["active-ipynb"]
# import tempfile
#
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# with tempfile.TemporaryDirectory() as folder:
#     save_state(f"{folder}/pause.npz", circuit(np.arange(0, 1001.0)))
#     state, t0 = load_state(f"{folder}/pause.npz", circuit)
# assert (circuit(np.arange(1000, 2000.0), state=state, t0=t0).V == circuit(np.arange(2000.0)).V.loc[1000:]).all(axis=None)
