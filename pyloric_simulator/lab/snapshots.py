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
# What would have happened if? At the rig the question has no answer: a preparation runs once. A model can
# be stopped, put on disk as it is, and go on from the same moment as often as one likes, each time with
# another future.
#
# Below, the circuit of the paper pauses after three seconds. From the very same state it goes on twice:
# undisturbed, and with a current of −0.5 nA into the pacemaker for 0.3 s. That little is enough to throw it
# into its second rhythm, in which LP fires on and the other two are silent.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"]
# import tempfile
#
# import numpy as np
#
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
# from .current_clamp import current_clamp
# from .protocols import step
# from .snapshots import load_state, save_state
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# with tempfile.TemporaryDirectory() as folder:
#     save_state(f"{folder}/pause.npz", circuit(np.arange(0, 3001.0)))
#     pause = load_state(f"{folder}/pause.npz", circuit)
#
# t_later, nudge = np.arange(3000, 9000.5, 0.5), {"AB/PD": step(-0.5, 4000, 4300)}
# undisturbed = circuit(t_later, state=pause.state, t0=pause.t0)
# disturbed = current_clamp(circuit, t_later, nudge, state=pause.state, t0=pause.t0)
# assert len(disturbed.spike_times()["AB/PD", 0]) < 10 < len(undisturbed.spike_times()["AB/PD", 0])

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Two futures of one state: the pacemaker (blue) and LP (red), undisturbed above, and with −0.5 nA into the pacemaker from 4.0 to 4.3 s below.", "name": "fig-two-futures"}}
# look = dict(ylim=(-85, 60), show_legend=False, height=190, width=680)
# trace = lambda run, cell: hv.Curve((t_later, run.V[cell, 0]), "time (ms)", "V (mV)")
# both = lambda run: hv.Overlay([trace(run, "AB/PD"), trace(run, "LP")]).opts(**look)
# hv.Layout([both(undisturbed), both(disturbed)]).cols(1)

# %% [markdown]
# ## What it does
#
# `save_state(path, result)` writes the state at the end of a run, and `load_state(path, model)` reads it
# for the same model. What comes back has two fields: `state`, and `t0`, the time in ms at which it was. A
# run goes on from there with `model(t, state=pause.state, t0=pause.t0)`, and so does every experiment. The
# time matters where something depends on it, such as a step of a [current](current_clamp.py) or the
# [noise](noise.py).
#
# A run in two parts is the run in one, to the last digit:

# %% tags=["active-ipynb"]
# whole = circuit(np.arange(0, 6000.0)).V.loc[3000:]
# assert (circuit(np.arange(3000, 6000.0), state=pause.state, t0=pause.t0).V == whole).all(axis=None)

# %% [markdown]
# A snapshot is not a recording. It holds one moment, all variables of all cells: potentials, calcium, every
# gate, every synapse; of a run with channels that are counted, also their numbers. That of a circuit takes
# 14 kB. To keep what a run recorded, there are the files of the [guide on
# files](../../book/guides/files.md).
#
# A state is never restored into another model by mistake. The file says which model it belongs to, and
# `load_state` refuses any other, be it one with another synapse or with 31 nS where 30 were. Where another
# model *shall* go on from the state, one says so by passing it on: `other(t, state=pause.state)` asks only
# that the shapes fit. An exercise does that.

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
#
# When are two models the same? A class and a name say little: channels are functions, and a function cannot
# be compared with another. What can be compared is plain data and numbers. So a model is described twice:
# by a *text*, with the names of its parts and who is joined to whom; and by its *numbers*. Equations of
# one's own are described by the name of their class, their size, the names of their variables and
# parameters, and the values of the parameters.
#
# The number in front is the version of the files. If the description ever changes, older files are refused
# with a plain word, and not misread.

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


# %% [markdown]
# The text lists, for each population, its channels: name, exponents, ion, which gates there are, and of
# which kind the reversal potential is. Then come the synapses and gap junctions, with the labels of the
# populations that they join, and the sizes of the populations. It is the same for two circuits that differ
# in conductances only.


# %%
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


# %% [markdown]
# The numbers are the conductances, the constants, the reversal potentials, and, for the gates, values of
# their curves. Two functions that agree at 24 points, potentials from −100 to 40 mV in steps of 20 mV with
# calcium of 0.05, 1 and 20 µM, are taken to be the same. A steady state shifted by a millivolt, or a time
# constant changed by a percent, shows in these values; and that a formula was merely rewritten does not, if
# it gives the same. They are computed in double precision whatever the model runs in, since single
# precision may round a formula differently on another machine.

# %%
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
# ## Saving
#
# A file of NumPy's format `npz` holds arrays by name, and any program can read it. The description is text
# in the form of JSON, beside it stands how the run came about: the version of the package, the scheme and
# its step, the precision, the settings. Pickles are allowed neither in writing nor in reading, since a
# pickle is a program, which runs when it is read.
#
# A crash in the middle of writing must not destroy the snapshot that was there. So the new file is written
# under another name, and takes the place of the old one when it is complete.


# %%
def save_state(path: str | os.PathLike[str], source: Result) -> None:
    """Write the final state of a result, its time, what its model is and how it ran.

    An older file is replaced when this one is complete. Raises TypeError if the source is no result, and OSError,
    with the reason, if the file cannot be written.
    """
    checks.of_type("what is to be saved", source, Result, "a result of a run")
    target_of(path)
    text, numbers = described(source.model)
    about = json.dumps([SNAPSHOT, text, float(source.t[-1])], ensure_ascii=False)
    ran = json.dumps(source.run and source.run._asdict(), ensure_ascii=False)
    fields = {f"state.{name}": x for name, x in source.final_state._asdict().items()}
    with written_whole(path) as stream:
        np.savez(stream, allow_pickle=False, about=np.array(about), run=np.array(ran), numbers=numbers, **fields)


# %% [markdown]
# ## Loading
#
# What a file holds is checked in the order in which it can be wrong: whether there is one, whether it is a
# snapshot at all, and whether it is damaged. A made-up archive can raise nearly any exception, and NumPy's
# own messages advise to allow pickles; both become one sentence.


# %%
class Snapshot(NamedTuple):
    """What `load_state` reads; the run goes on with `model(t, state=snapshot.state, t0=snapshot.t0)`."""

    state: Any  # of the model
    t0: float  # ms, its time


class Contents(NamedTuple):
    """What a snapshot file holds."""

    about: Any  # version, description of the model, time in ms
    numbers: np.ndarray  # of the model
    fields: dict[str, np.ndarray]  # of the state


def contents(path: Path) -> Contents:
    """The arrays of a snapshot file, read without pickles.

    Raises ValueError if it is damaged or another file, OSError if there is none.
    """
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


# %% [markdown]
# The state that is expected is that of the model, with one exception: if the file has numbers of channels,
# it comes from a run in which these were counted, and the state gets a place for them.


# %%
def state_like(model: Any, fields: Mapping[str, Any]) -> Any:
    """A state of a model with these fields."""
    return noisy_state(model.cold, fields["n"]) if "n" in fields and isinstance(model, Model) else model.cold


# %% [markdown]
# Then the descriptions are compared. Texts must be equal, and numbers agree to a billionth of their size,
# so that a file written on one machine can be read on another one, where the last digit of an exponential
# may differ. The message tells which of the two is at odds. At last the state itself is looked at as if a
# user had given it: gates between 0 and 1, all finite.


# %%
def load_state(path: str | os.PathLike[str], model: Any) -> Snapshot:
    """The state in a file of `save_state`, for the same model.

    Raises ValueError if it belongs to another one, is damaged, no such file, or no state as a user could give it;
    OSError if there is none.
    """
    model = any_model(model)
    arrays = contents(path_of("the snapshot", path))
    text, numbers = described(model)
    version, found, t0 = arrays.about
    same = [version, found] == [SNAPSHOT, json.loads(json.dumps(text))] and arrays.numbers.shape == numbers.shape
    if not (same and np.allclose(arrays.numbers, numbers, rtol=1e-9, atol=0, equal_nan=True)):
        what = "version, cells, channels or synapses" if not same else "conductances or kinetics"
        raise ValueError(
            f"the snapshot {path} is of a model with other {what}; it must be the same one. Build the model as it "
            "was saved."
        )
    like = state_like(model, arrays.fields)
    fields = {name: x for name, x in arrays.fields.items() if x.size or name in like._fields}
    if set(fields) != set(like._fields):
        raise ValueError(
            f"the snapshot {path} has the variables {checks.listing(fields)}; the state has "
            f"{checks.listing(like._fields)}. Load it with the model that ran."
        )
    return Snapshot(model.sound(type(like)(**fields), like), checks.number(f"the time in {path}", t0, "ms"))


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-way-back
# The disturbed circuit of the figure stays in its second rhythm. Which cell would you push, in which
# direction and for how long, to bring it back? Try it from the state at the end of the run.
# ```
#
# ```{solution-start} ex-way-back
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# t_back = np.arange(0, 10000, 0.5)
# of_pacemaker = lambda run: int((run.spike_times()["AB/PD", 0] > 6000).sum())
# left_alone = circuit(t_back, state=disturbed.final_state)
# pushed = current_clamp(circuit, t_back, {"LP": step(-1, 1000, 1500)}, state=disturbed.final_state)
# assert of_pacemaker(left_alone) == 0 and of_pacemaker(pushed) > 50
# of_pacemaker(left_alone), of_pacemaker(pushed)  # spikes of AB/PD after 6 s

# %% [markdown]
# Half a second of −1 nA into LP is enough. It is LP that keeps the pacemaker down; as soon as LP pauses,
# AB/PD bursts and inhibits LP in turn. Left alone, the circuit stays where it is: both rhythms are stable,
# and which of them it has is its *history*.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-small-causes
# How far do small causes go? Change the potential of the pacemaker in the saved state by a nanovolt, a
# microvolt and a millivolt, and look by how much the spikes of all cells have moved ten seconds later.
# ```
#
# ```{solution-start} ex-small-causes
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# t_far = np.arange(3000, 13000, 0.5)
#
#
# def last_spikes(change):
#     """The last spike (ms) of each cell, with the potential of AB/PD changed by so many mV."""
#     V = np.asarray(pause.state.V) + np.array([change, 0.0, 0.0])
#     run = circuit(t_far, state=pause.state._replace(V=V), t0=pause.t0)
#     return np.array([times[-1] for times in run.spike_times().values()])
#
#
# as_it_was = last_spikes(0.0)
# moved = {change: float(np.abs(last_spikes(change) - as_it_was).max()) for change in (1e-6, 1e-3, 1.0)}
# assert moved[1e-6] == 0 and moved[1e-3] < 5 < moved[1.0]
# moved  # ms

# %% [markdown]
# A nanovolt and a microvolt hardly show, but a millivolt moves a spike by a quarter of a second. While they
# are small, differences grew by a factor of some two thousand within nine seconds, in proportion to where
# they began. A state that was saved with four digits would so go on differently, which is why a snapshot
# has them all.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-modulator
# A modulator suddenly takes away the synapse from LP to the pacemaker. Predict whether the rhythm gets
# faster or slower. Then build the circuit with 0 nS in the place of 30, show that `load_state` refuses the
# old state, and start it from there nevertheless.
# ```
#
# ```{solution-start} ex-modulator
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..prinz2004 import neuron_models
# from ..rhythm import summary
#
# gs = {("AB", "LP"): 30, ("PD", "LP"): 30, ("AB", "PY"): 10, ("PD", "PY"): 3,
#       ("LP", "AB/PD"): 0, ("LP", "PY"): 1, ("PY", "LP"): 30}
# free = Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, gs, neuron_models.loc[["AB/PD 2", "LP 4", "PY 1"]])
# with tempfile.TemporaryDirectory() as folder:
#     save_state(f"{folder}/pause.npz", circuit(np.arange(0, 3001.0)))
#     try:
#         load_state(f"{folder}/pause.npz", free)
#     except ValueError as error:
#         print(str(error).split(" is ", 1)[1])
# periods = [summary(m(t_far, state=pause.state, t0=pause.t0))["period (ms)"].iloc[0] for m in (circuit, free)]
# assert periods[1] < 0.9 * periods[0]
# periods

# %% [markdown]
# Faster: from 1.83 to 1.50 s, the pace of the pacemaker by itself. Each burst of LP had held the pacemaker
# down and put off its next burst.
# ```{solution-end}
# ```
