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
# # Dynamic clamp
#
# A dynamic clamp {cite:p}`Sharp1993` reads the potential, computes the current of a conductance that is not there, and injects
# it, at every step. Without its delays that is a cell with one more channel or synapse. A channel is
# added to a *running* cell: the old gates go on, the new ones begin in their steady state. Or a *recording* drives what is
# added: gates of channels see the recorded potential, and the presynaptic cell of a synapse is a cell with no
# channels, clamped to it. The current still depends on the cell's own potential.
#
# In the figure an isolated LP cell first gets 20 mS/cm² of A current more than it has, then, instead, the synapse of a pacemaker
# that was recorded on another day.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "LP alone; with more A current; and with an inhibitory synapse of 30 nS from a recorded pacemaker.", "name": "fig-dynamic-clamp"}}
# import numpy as np
#
# from ..models.channels import Prinz2003
# from ..models.networks import Synapse
# from ..config import find_circuit
# from .current_clamp import current_clamp
# from .dynamic_clamp import dynamic_clamp
# from ..prinz2004 import GLUTAMATE, Prinz2004
#
# t = np.arange(0, 3000, 0.5)
# recorded_pd = Prinz2004.from_toml(find_circuit("paper"))(t).V["AB/PD", 0]
# lp = Prinz2004({"LP 2": 1}, gs={}, ge=0)
# state = lp.get_thermalization()
# more_A = Prinz2003.A._replace(name="more A", source="")
# runs = [current_clamp(lp, t, 0), dynamic_clamp(lp, t, more_A(20), state=state),
#         dynamic_clamp(lp, t, Synapse("recording", "LP 2", GLUTAMATE, 30), recording=recorded_pd, state=state)]
# hv.Layout([hv.Curve((t, run.V["LP 2", 0]), "time (ms)", "V (mV)", label=name)
#            for run, name in zip(runs, ("alone", "more A current", "inhibited by a recording"))]).cols(1)

# %%
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..engine import checks
from ..engine.circuits import Placed
from ..engine.junctions import starts, used
from ..engine.layout import Connection, Population, activating, filled_to, join, places, split
from ..engine.schedule import Grid
from ..files.recording import check_commands
from ..models.channels import check_channels
from ..models.networks import Kinetic, Synapse, checked_connections, model_of, start_of, strength
from ..prinz2004 import (
    CM2_MS_TO_US,
    Circuit,
    Membrane,
    Model,
    Params,
    SimResult,
    Working,
    cold_start,
    kinetics,
    precision,
    unpack,
)
from .protocols import (
    Drive,
    Setup,
    cell_number,
    commanded,
    compiled_driven,
    injected,
    membrane_of,
    run,
    set_up,
)
from .voltage_clamp import open_share, with_one_channel

__all__ = ["dynamic_clamp"]

# %% [markdown]
# ## The model with additions
#
# A model is data, and so are the additions: one more membrane, that of the population whose cells get the channels; the synapses behind those that are
# there; and, where a recording drives a synapse, one more population, a cell without channels.

# %%
RECORDING = "recording"  # label of the presynaptic cell that a recording drives


class Extended(Model):
    """A model with channels or synapses that a dynamic clamp adds; it has no thermalized start."""

    starts_thermalized = False
    about: Any = None  # what files say about the model, and what is added

    def __init__(self, model: Model, params: Params, added: Sequence[str]) -> None:
        self.labels, self.dtype = tuple(p.label for p in params.circuit.populations), model.dtype
        self.params, self.cold, self.about = params, cold_start(params.circuit), model.about | {"added": list(added)}


def density_of(placed: Placed, membrane: Membrane) -> float:
    """mS/cm² (cm/s for GHK)."""
    return placed.uS / (membrane.constants.A * CM2_MS_TO_US) if placed.density is None else placed.density  # type: ignore[operator]


def with_cells(params: Params, population: int, channels: Sequence[Placed], recorded: bool) -> Params:
    """The numbers of a circuit with more channels in a population, and with a cell without channels whose terminals are those of one there."""
    c, populations = params.circuit, params.circuit.populations
    of = [c.membranes[p.membrane] for p in populations]
    own, g = of[population], [[*x[: len(m.channels)]] for x, m in zip(np.asarray(params.g), of, strict=True)]
    of[population] = own._replace(channels=(*own.channels, *(p.channel for p in channels)))
    g[population] += [density_of(p, own) for p in channels]
    if recorded:
        populations = (*populations, Population(RECORDING, "", 1))
        of, g = [*of, own._replace(channels=(), pool=False)], [*g, []]
    membranes, width = tuple(dict.fromkeys(of)), max(map(len, g))
    populations = tuple(p._replace(membrane=membranes.index(m)) for p, m in zip(populations, of, strict=True))
    filled = np.array([x + [0.0] * (width - len(x)) for x in g])
    return params.replace(g=filled, circuit=c._replace(populations=populations, membranes=membranes))


def with_synapses(params: Params, synapses: Sequence[Synapse], terminals: Mapping[tuple[int, int], str]) -> Params:
    """The numbers of a circuit with more synapses; terminals: names of those that are there, by population and transmitter."""
    c, gs, gz = params.circuit, [*np.asarray(params.gs)], [*np.asarray(params.gz)]
    place = {p.label: i for i, p in enumerate(c.populations)}
    for s in synapses:
        pre, post, field = place[s.pre], place[s.post], "kinds" if isinstance(s.kind, Kinetic) else "transmitters"
        known = tuple(dict.fromkeys([*getattr(c, field), s.kind]))
        c, kind = c._replace(**{field: known}), known.index(s.kind)
        if isinstance(s.kind, Kinetic):
            c, gz = c._replace(kinetic=(*c.kinetic, (pre, post, kind))), [*gz, strength(s)]
        else:
            joined = Connection(terminals.get((pre, kind), s.pre), pre, kind, post)
            c, gs = c._replace(synapses=(*c.synapses, joined)), [*gs, strength(s)]
    return params.replace(gs=np.array(gs), gz=np.array(gz), circuit=c)


def with_additions(model: Model, population: int, channels: Sequence[Placed], synapses: Sequence[Synapse]) -> Extended:
    """The model with more channels in a population, more synapses, and the cell that is a recording if a synapse names it."""
    params = with_cells(model.params, population, channels, any(s.pre == RECORDING for s in synapses))
    params = with_synapses(params, synapses, {(row, kind): name for name, row, kind in model.ends})
    added = [f"{p.channel.name} in {model.labels[population]}, {p.density} mS/cm² or {p.uS} µS" for p in channels]
    return Extended(
        model, params, added + [f"{s.kind.name} from {s.pre} to {s.post}, {strength(s):g} nS" for s in synapses]
    )


# %% [markdown]
# ## The start of what is added
#
# A state of the model says nothing about gates that it does not have. They begin in their steady state at the potential that their cell has then,
# and kinetic synapses as their kind says.


# %%
def steady(circuit: Circuit, V: Array, Ca: Array) -> Any:
    """The state at V (mV) and Ca (µM), (cell,) each, in which all gates have settled."""
    parts = zip(circuit.membranes, split(circuit, V), split(circuit, Ca), strict=True)
    s, x = zip(*([target for target, _ in kinetics(circuit, *part)] for part in parts), strict=True)
    return unpack(circuit, Working(V, Ca, join(circuit, s, 1), x, starts(circuit).T if circuit.kinetic else None))


def there(circuit: Circuit) -> Any:
    """1 for all numbers of a state, and 0 where cells with fewer gates or synapses than others are filled up."""
    cold = cold_start(circuit)
    y = jax.tree.map(np.ones_like, cold)._replace(m=places(circuit, activating), h=cold.h)
    return y._replace(z=used(circuit).T) if circuit.kinetic else y


def padded(y: Any, name: str, like: Any) -> np.ndarray:
    """A variable of a state filled up with 0 to the shape of another one; all 0 if the state does not have it."""
    return filled_to(np.asarray(getattr(y, name, np.zeros([0] * like.ndim))), like.shape)


def started(model: Model, new: Extended, state: Any, V: Array) -> Any:
    """A state of a model in one with additions, or one of the latter as it is; V: (1,) mV of a recorded cell, or (0,) without one."""
    before = there(model.circuit)
    missing = {name: np.asarray(x) > padded(before, name, x) for name, x in there(new.circuit)._asdict().items()}
    fits = isinstance(state, type(new.cold)) and [np.shape(x) for x in state] == [np.shape(x) for x in new.cold]
    if fits and any(np.asarray(getattr(state, name))[x].any() for name, x in missing.items()):
        return start_of(new, state)
    y = start_of(model, state)
    settled = steady(new.circuit, jnp.append(y.V, V), jnp.append(y.Ca, new.cold.Ca[len(y.Ca) :]))
    return type(settled)(
        **{name: np.where(missing[name], x, padded(y, name, x)) for name, x in settled._asdict().items()}
    )


# %% [markdown]
# ## The clamp


# %%
def driven_conductance(model: Model, cell: int, placed: Placed, V: Array, s: Setup) -> tuple[Array, Array]:
    """G (µS) and J (nA), (step + 1,), of a channel in a cell whose gates follow a recording V (mV at the half steps)."""
    E = placed.channel.E
    if not isinstance(E, (int, float)):
        raise ValueError(
            f"the channel {placed.channel.name!r} has the reversal potential {E!r}; driven by a recording it must be a number. Say E=130."
        )
    membrane = membrane_of(model, cell)
    params = with_one_channel(model, cell, placed.channel)
    start = steady(params.circuit, V[:1], jnp.full(1, membrane.constants.Ca_rest))
    y = compiled_driven(
        params, start, Drive(0.0, V=V[:, None]), None, grid=Grid(0, 1, len(s.steps) - 1), clamped=(0,), dt=s.dt
    )
    G = open_share(params, y) * (density_of(placed, membrane) * membrane.constants.A * CM2_MS_TO_US)
    return G, G * E


def dynamic_clamp(
    model: Any, t: Any, added: Any, *, cell: Any = None, recording: Any = None, I_ext: Any = None, state: Any = None,
    dt: float | None = None, t0: float = 0.0,
) -> SimResult:  # fmt: skip
    """Run a model with channels or synapses that it does not have, from a state of the model as it is.

    added: one or more of channels with their densities, which go to all cells of the population `cell`, and of `Synapse`s. recording: a
    potential (mV) that drives them, a function of t, a Series or (times, values); the synapses then are those of the cell
    "recording". state: of the model, or of an earlier result with the same additions. Raises ValueError or TypeError on bad input.
    """
    model, items = model_of(model), items_of(added, recording is not None)
    check_commands("the recording", [] if recording is None else [recording])
    number = cell_number(model, cell)
    channels, synapses = [x for x in items if isinstance(x, Placed)], [x for x in items if isinstance(x, Synapse)]
    check_additions(model, number, channels, synapses, recording is not None)
    new = with_additions(model, model.rows[number], [] if recording is not None else channels, synapses)
    clamped = (len(new.rows) - 1,) if RECORDING in new.labels else ()
    s = set_up(new, t, new.cold, dt, t0)
    with precision(model.dtype):
        V = jnp.zeros(0) if recording is None else commanded("the recording", recording, s)
        s = s._replace(start=started(model, new, state, V[: len(clamped)]))
        I, G = injected(s, I_ext), None
        for x in channels if recording is not None else ():
            mine = jnp.asarray(new.rows == model.rows[number], V.dtype)
            more, J = (x[:, None] * mine for x in driven_conductance(model, number, x, V, s))
            G, I = more if G is None else G + more, I + J
        return run(s, Drive(I, G, V[:, None] if clamped else None), clamped)


def items_of(added: Any, driven: bool) -> list[Placed | Synapse]:
    """What is added, as a list; driven: there is a recording, from which synapses come."""
    added = [added] if isinstance(added, (Placed, Synapse)) else added
    of = "channels with a density, such as Prinz2003.A(50), and of Synapses, or be one of these"
    items = checks.items("added", added, of, (Placed, Synapse))
    for x in items:
        if isinstance(x, Synapse) and (x.pre == RECORDING) != driven:
            said = f"with a recording synapses come from {RECORDING!r}" if driven else "such synapses need a recording"
            raise ValueError(
                f"the synapse comes from {x.pre!r}; {said}. Change its first argument, or give recording=…."
            )
    if not items:
        raise ValueError("nothing is added; there must be a channel or a synapse. Give one, or use current_clamp.")
    return items


def check_additions(
    model: Model, cell: int, channels: Sequence[Placed], synapses: Sequence[Synapse], driven: bool
) -> None:
    """Refuse additions that a cell or a network would refuse, and warn of their units as these do."""
    membrane = membrane_of(model, cell)
    checks.once("channels", [c.name for c in (*membrane.channels, *(p.channel for p in channels))])
    check_channels([p.channel for p in channels], [density_of(p, membrane) for p in channels], membrane.pool or driven)
    sizes = {p.label: p.size for p in model.circuit.populations}
    checked_connections(synapses, sizes | {RECORDING: 1}, Synapse)


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-more-H
# Add H to the isolated pacemaker by a dynamic clamp. Does it burst faster? Compare with a cell that has as much more of it.
# ```
#
# ```{solution-start} ex-more-H
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..prinz2004 import neuron_models
# from ..rhythm import summary
#
# lonely, t_clamp = Prinz2004({"AB/PD 2": 1}, gs={}), np.arange(3000, 9000, 0.2)
# cell_with = Prinz2004({"AB/PD 2": 1}, gs={}, g_ion=neuron_models.loc[["AB/PD 2"]].assign(H=0.03))
# of = lambda run: summary(run)["period (ms)"].iloc[0]
# clamped, grown, as_it_is = of(dynamic_clamp(lonely, t_clamp, Prinz2003.H._replace(name="more H")(0.02))), of(cell_with(t_clamp)), of(lonely(t_clamp))
# assert grown < as_it_is and abs(clamped / grown - 1) < 1e-3
# clamped, grown, as_it_is

# %% [markdown]
# Faster, and to the same period: that is what a dynamic clamp is for.
# ```{solution-end}
# ```
