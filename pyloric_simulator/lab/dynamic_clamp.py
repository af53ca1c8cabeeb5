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
# What would this cell do if it had one more channel, or that neighbour? A dynamic {term}`clamp`
# {cite:p}`Sharp1993` asks a living cell. It reads the potential, computes the current of a conductance that
# is not there, and injects it, thousands of times per second. The cell cannot tell the difference. The
# method was invented for the {term}`stomatogastric ganglion`, to put artificial synapses between its
# neurons.
#
# In the figure an isolated LP cell first fires alone. Then it gets 20 mS/cm² of A current more than it has,
# and fires more slowly. Then, instead, it gets the synapse of a {term}`pacemaker` that was recorded on
# another day, and bursts in the rhythm of a cell that it never met.

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

# %% [markdown]
# ## What it does
#
# `dynamic_clamp(model, t, added, ...)` runs a model with channels or {term}`synapses <graded synapse>` that
# it does not have, from a state of the model as it is, and returns what a run returns. Of *added* there may
# be one or several:
#
# - a channel with its density, such as `Prinz2003.A(50)`, which goes to all cells of the {term}`population`
#   that `cell` names;
# - a `Synapse` between two cells of the model, with a conductance in nS;
# - with `recording=`, a potential in mV recorded elsewhere: a `Synapse("recording", "LP 2", GLUTAMATE, 30)`
#   comes from the recorded cell, and the gates of an added channel follow the recording in the place of the
#   cell's own potential.
#
# The injected current still depends on the cell's own potential, as that of a conductance must. This is the
# difference to a [current clamp](current_clamp.py) that replays a recorded *current*: a synapse stops to
# pull when the cell has reached its {term}`reversal potential`, a current does not.
#
# A real dynamic clamp has a delay of one cycle, an electrode with a resistance, and no access to distant
# branches. Here it has none of these faults: it is the ideal that an experiment comes close to. A name may
# be added only once, so that a channel that the cell has already needs another name, as `more A` above.
# Models without channels and synapses of their own cannot be clamped in this way, since they have no
# conductances.

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
from .protocols import Drive, Setup, cell_number, commanded, compiled_driven, injected, membrane_of, run, set_up
from .voltage_clamp import open_share, with_one_channel

__all__ = ["dynamic_clamp"]

# %% [markdown]
# ## The model with additions
#
# Without its delays a dynamic clamp *is* a cell with one more channel or synapse. So nothing is simulated
# step by step from outside. A model is data, and so are the additions: one more membrane, that of the
# population whose cells get the channels; the synapses behind those that are there; and, where a recording
# drives a synapse, one more population, a cell without channels. The new model is then integrated as any
# other, with its exact steps and its second order, and it can be compiled, batched and differentiated like
# any other.
#
# The extended model has no {term}`thermalized <thermalization>` start of its own, for it starts where the
# old one is. Files that it writes say what was added. A density may be given per area or, by `uS=`, as the
# conductance of the whole cell, which is what the amplifier at a rig is told.

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
    of_area = membrane.constants.A * CM2_MS_TO_US
    return placed.uS / of_area if placed.density is None else placed.density  # type: ignore[operator]


# %% [markdown]
# Cells of one membrane have the same channels, so that the cells with additions get a membrane of their
# own. What was one membrane for all three cells of a circuit becomes two. The table of densities has a row
# for each population and a column for each channel of its membrane, and is filled up with 0 to the longest.
#
# The recorded cell has no channels, no calcium, and all the constants of the cell that it inhibits. Its
# potential is imposed at every half step, so that it does not matter what it would do by itself. All that
# is wanted of it is its synapse: $s$ follows the recorded potential exactly as it would follow that of a
# neighbour.


# %%
def with_cells(params: Params, population: int, channels: Sequence[Placed], recorded: bool) -> Params:
    """The numbers of a circuit with more channels in a population, and, if `recorded`, with a cell without channels."""
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


# %% [markdown]
# Synapses are put behind those that are there. If a cell has a terminal with the same transmitter already,
# the new synapse comes from this terminal and shares its activation $s$, which belongs to the presynaptic
# cell. A kinetic synapse has an activation of its own for each pair of cells.


# %%
def with_synapses(params: Params, synapses: Sequence[Synapse], terminals: Mapping[tuple[int, int], str]) -> Params:
    """The numbers of a circuit with more synapses; terminals: names of old ones, by population and transmitter."""
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


# %% [markdown]
# Both together are the model of the experiment, with a line of text for each addition.


# %%
def with_additions(model: Model, population: int, channels: Sequence[Placed], synapses: Sequence[Synapse]) -> Extended:
    """The model with more channels in a population, more synapses, and the recorded cell if a synapse names it."""
    params = with_cells(model.params, population, channels, any(s.pre == RECORDING for s in synapses))
    params = with_synapses(params, synapses, {(row, kind): name for name, row, kind in model.ends})
    added = [f"{p.channel.name} in {model.labels[population]}, {p.density} mS/cm² or {p.uS} µS" for p in channels]
    return Extended(
        model, params, added + [f"{s.kind.name} from {s.pre} to {s.post}, {strength(s):g} nS" for s in synapses]
    )


# %% [markdown]
# ## The start of what is added
#
# An added channel comes to a *running* cell: the old gates go on, the new ones begin in their steady state.
# A state of the model says nothing about gates that it does not have. They begin at $x_∞$ of the potential
# that their cell has then, and kinetic synapses as their kind says. That is what a dynamic clamp does when
# it is switched on, and it avoids a jolt: a channel that began closed, or fully open, would have to find
# its place first.


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


# %% [markdown]
# Which numbers of the new state are new? States are tables, cells by gates, filled up with 0 where a cell
# has fewer gates than another, and the additions may have changed their shape. `there` marks the places
# that mean something, in the model as it is and in the one with additions. A place that means something in
# the second only is new; it gets the settled value, and all others get the old one.
#
# A state of an earlier result *with the same additions* has no new places. It is told by its shape, and by
# something other than 0 where the additions are. It goes on as it is, so that a clamped run can be
# continued in parts.


# %%
def padded(y: Any, name: str, like: Any) -> np.ndarray:
    """A variable of a state filled up with 0 to the shape of another one; all 0 if the state does not have it."""
    return filled_to(np.asarray(getattr(y, name, np.zeros([0] * like.ndim))), like.shape)


def started(model: Model, new: Extended, state: Any, V: Array) -> Any:
    """A state of a model in one with additions, or one of the latter as it is.

    V: (1,) mV of a recorded cell, or (0,) without one.
    """
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
# ## What is refused
#
# An addition is looked at as a cell or a network would look at it: its name is not taken, its density is of
# a usual size, a channel that calcium opens finds calcium in its cell, and a synapse joins cells that there
# are. A synapse from the recording needs a recording, and a recording leaves no room for another kind of
# synapse, because those between cells of the model are not what it drives.


# %%
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
# ## A channel that follows a recording
#
# A recording can also drive a *channel*. Its gates see the recorded potential, and its conductance $G(t)$
# is then a known function of time, the same whatever the cell does. So it is computed beforehand: a cell
# with nothing but this channel, at 1 mS/cm², is clamped to the recording, and its conductance is read at
# each step. The experiment itself has the conductance $G$ and the current $G E$ from outside, as the
# chapter on [protocols](protocols.py) describes.
#
# This needs a reversal potential that is a number. That of calcium moves with the calcium of the cell, and
# whose calcium would that be, the recorded cell's or the clamped one's? The message asks for a number.


# %%
def driven_conductance(model: Model, cell: int, placed: Placed, V: Array, s: Setup) -> tuple[Array, Array]:
    """G (µS) and J (nA), (step + 1,), of a channel in a cell whose gates follow a recording V (mV, at half steps)."""
    E = placed.channel.E
    if not isinstance(E, (int, float)):
        raise ValueError(
            f"the channel {placed.channel.name!r} has the reversal potential {E!r}; driven by a recording it must be "
            "a number. Say E=130."
        )
    membrane = membrane_of(model, cell)
    params = with_one_channel(model, cell, placed.channel)
    start = steady(params.circuit, V[:1], jnp.full(1, membrane.constants.Ca_rest))
    y = compiled_driven(
        params, start, Drive(0.0, V=V[:, None]), None, grid=Grid(0, 1, len(s.steps) - 1), clamped=(0,), dt=s.dt
    )
    G = open_share(params, y) * (density_of(placed, membrane) * membrane.constants.A * CM2_MS_TO_US)
    return G, G * E


# %% [markdown]
# ## The clamp
#
# With all this the experiment reads as it is described: make the model with additions, impose the recording
# where a synapse needs it, start from the state of the model as it is, and run.


# %%
def dynamic_clamp(
    model: Any, t: Any, added: Any, *, cell: Any = None, recording: Any = None, I_ext: Any = None, state: Any = None,
    dt: float | None = None, t0: float = 0.0,
) -> SimResult:  # fmt: skip
    """Run a model with channels or synapses that it does not have, from a state of the model as it is.

    added: one or more of channels with their densities, which go to all cells of the population `cell`, and of
    `Synapse`s. recording: a potential (mV) that drives them, a function of t, a Series or (times, values); the
    synapses then are those of the cell "recording". state: of the model, or of an earlier result with the same
    additions. Raises ValueError or TypeError on bad input.
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


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-more-H
# Add H to the isolated pacemaker by a dynamic clamp. Does it burst faster? Compare with a cell that has as
# much more of it.
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
# more_H = Prinz2003.H._replace(name="more H")
# clamped, grown = of(dynamic_clamp(lonely, t_clamp, more_H(0.02))), of(cell_with(t_clamp))
# as_it_is = of(lonely(t_clamp))
# assert grown < as_it_is and abs(clamped / grown - 1) < 1e-3
# clamped, grown, as_it_is

# %% [markdown]
# Faster, and to the same period: that is what a dynamic clamp is for.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-shunt
# A passive cell of 20 µS/cm² rests at −50 mV. Bring it to −60 mV in two ways: by a constant current, and by
# a *shunt*, a conductance of another 20 µS/cm² that reverses at −70 mV. By how much does a step of 0.1 nA
# move it in each case? Predict it before you run it.
# ```
#
# ```{solution-start} ex-shunt
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..models.networks import Cell
# from .protocols import Steps, step
#
# passive, t_shunt = Cell([Prinz2003.leak(0.02)], V=-50), np.arange(0, 1000, 0.5)
# shunt = Prinz2003.leak._replace(name="shunt", E=-70, source="")
# I_down = -0.02 * 0.628 * 10  # nA, which brings it down by 10 mV
# runs_at_60 = {"current": current_clamp(passive, t_shunt, Steps((I_down, I_down + 0.1), (500,))),
#               "shunt": dynamic_clamp(passive, t_shunt, shunt(0.02), I_ext=step(0.1, 500, 1000))}
# moves_by = {name: float(run.V.iloc[-1, 0] - run.V.loc[499.0].iloc[0]) for name, run in runs_at_60.items()}
# assert abs(moves_by["current"] / moves_by["shunt"] - 2) < 0.01
# moves_by

# %% [markdown]
# By 8.0 mV with the current, and by half of that with the shunt: the cell has twice the conductance. Both
# hold it at the same potential, but an inhibitory *conductance* also takes the weight from all other
# inputs. No current can imitate that, which is why the dynamic clamp was invented.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-rebound
# The isolated LP fires fifteen times in these three seconds. How many spikes will it have with a recorded
# inhibition of 3, 10, 30 and 100 nS? Predict whether the number falls.
# ```
#
# ```{solution-start} ex-rebound
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# synapse_of = lambda g: Synapse("recording", "LP 2", GLUTAMATE, g)
# inhibited = lambda g: dynamic_clamp(lp, t, synapse_of(g), recording=recorded_pd, state=state)
# spikes_of = lambda run: len(run.spike_times()["LP 2", 0])
# spike_counts = {g: spikes_of(inhibited(g)) for g in (3, 10, 30, 100)}
# assert spike_counts[3] < spikes_of(runs[0]) < spike_counts[30] < spike_counts[100]
# spike_counts

# %% [markdown]
# Three nanosiemens cost it spikes, twelve are left, but more bring it more: 18, 22 and 25. While the
# pacemaker bursts, LP is silent and hyperpolarized; H opens and the inactivation of its calcium current is
# removed. When the inhibition ends, this comes out as a burst. Inhibition that stops is a signal to fire,
# and a network of inhibitory cells is not a silent one.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-hybrid
# Build half a circuit. In a circuit of AB/PD and LP, where only AB/PD inhibits LP, record the pacemaker.
# Then put the recording and both synapses, glutamatergic and cholinergic with 30 nS each, onto a lonely LP.
# Does LP fire as it does in the circuit?
# ```
#
# ```{solution-start} ex-hybrid
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..prinz2004 import ACETYLCHOLINE
#
# gs_of_two = {("AB", "LP"): 30, ("PD", "LP"): 30}
# two = Prinz2004({"AB/PD": 1, "LP": 1}, gs_of_two, neuron_models.loc[["AB/PD 2", "LP 2"]], ge=0)
# t_two = np.arange(0, 6000, 0.5)
# whole = two(t_two)
# both = [Synapse("recording", "LP 2", kind, 30) for kind in (GLUTAMATE, ACETYLCHOLINE)]
# half = dynamic_clamp(lp, t_two, both, recording=whole.V["AB/PD", 0], state=state)
# late = [x[x > 2000] for x in (whole.spike_times()["LP", 0], half.spike_times()["LP 2", 0])]
# assert len(late[0]) == len(late[1]) and np.abs(late[0] - late[1]).max() <= 1
# np.abs(late[0] - late[1]).max()  # ms

# %% [markdown]
# To a millisecond it does from its second burst on, and most spikes agree to the half millisecond of the
# recording. The beginning differs: in the circuit the synapses of the pacemaker begin where its
# {term}`thermalization` left them, in the clamp they begin in their steady state. If LP inhibited the
# pacemaker, too, the experiment would fail. The recording cannot hear LP, and to close the loop is what a *live*
# dynamic clamp does.
# ```{solution-end}
# ```
