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
# # Brian2 with a derivative
#
# A laboratory has a model in Brian2 and a recording. Which membrane time constant fits best? Brian2
# simulates, but it does not differentiate, and so its users search by trial: grids, evolution, one
# parameter after the other. With a derivative one step says in which direction to go, for a hundred
# parameters as for one.
#
# `brian2_function` makes a differentiable function of torch tensors from a network of Brian2. Forward
# it runs Brian2 itself, the code that Brian2 has generated and compiled; backward it follows the
# recorded states with the equations that Brian2 was given. Here is an integrate-and-fire cell,
# written for Brian2 alone, with a time constant of 20 ms:

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=230), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"]
# import brian2 as b
# import numpy as np
# import torch
#
# from .brian2_bridge import brian2_function
#
# b.BrianLogger.log_level_error()
# bumps = np.random.default_rng(0).normal(size=61)  # one every 5 ms, joined by straight lines
# drive = 1.5 + np.interp(np.arange(0, 300, 0.1), np.arange(0, 301, 5), bumps)  # nA
# I = b.TimedArray(drive * b.nA, dt=0.1 * b.ms)
#
#
# def integrate_and_fire():
#     """The cell, with τ = 20 ms and R = 10 MΩ."""
#     cell = b.NeuronGroup(
#         1,
#         """
#         dv/dt = (-65*mV - v + R*I(t))/tau : volt (unless refractory)
#         tau : second (constant)
#         R : ohm (constant)
#         """,
#         threshold="v >= -50*mV", reset="v = -70*mV", refractory=2 * b.ms, method="exact", dt=0.1 * b.ms,
#     )
#     cell.v, cell.tau, cell.R = -65 * b.mV, 20 * b.ms, 10 * b.Mohm
#     return cell
#
#
# cell = integrate_and_fire()
# simulate = brian2_function(
#     b.Network(cell),
#     {"τ": (cell, "tau", b.ms)},
#     {"v": (cell, "v", b.mV), "spikes": (cell, "spikes", 1)},
#     duration=300,
#     namespace={"I": I},
# )
# with torch.no_grad():
#     measured = simulate(torch.tensor(20.0, dtype=torch.float64))
# print(f"{measured['spikes'].sum():.0f} spikes in {measured['spikes'].shape[0]} steps")

# %% [markdown]
# Now forget the 20 ms, and look for the time constant with nothing but the {term}`spikes <spike>`.
# The loss compares the two spike trains, smoothed by an exponential of 20 ms as
# {cite:t}`vanRossum2001` does it. Torch's own optimizers do the rest: Adam from 12 and from 30 ms,
# and plain gradient descent from 30 ms.

# %% tags=["active-ipynb"] mystnb={"figure": {"caption": "The time constant on its way to 20 ms, from the spikes of a cell that Brian2 simulates.", "name": "fig-brian2-fit"}}
# kernel = torch.tensor(np.exp(-np.arange(1500)[::-1] * 0.1 / 20))
#
#
# def smoothed(spikes):
#     """Spikes (time, cell) smoothed by an exponential of 20 ms."""
#     return torch.nn.functional.conv1d(spikes.T[:, None], kernel[None, None], padding=1499)[..., : len(spikes)]
#
#
# def path(optimizer, start, steps):
#     """Time constants (ms) on the way down the gradient, from a start."""
#     x = torch.tensor(np.log(start), requires_grad=True)  # a logarithm stays positive
#     walk, found = optimizer([x], lr=0.12), []
#     smaller_steps = torch.optim.lr_scheduler.ExponentialLR(walk, 0.9)
#     for _ in range(steps):
#         found.append(torch.exp(x).item())
#         walk.zero_grad()
#         (smoothed(simulate(torch.exp(x))["spikes"] - measured["spikes"]) ** 2).mean().backward()
#         torch.nn.utils.clip_grad_norm_([x], 2.0)
#         walk.step()
#         smaller_steps.step()
#     return found
#
#
# curves = []
# walks = (torch.optim.Adam, 12.0, 18), (torch.optim.Adam, 30.0, 18), (torch.optim.SGD, 30.0, 10)
# for optimizer, start, steps in walks:
#     found = path(optimizer, start, steps)
#     assert abs(found[-1] - 20) < 1
#     dash = "solid" if optimizer is torch.optim.Adam else "dashed"
#     curves.append(hv.Curve(found, "step", "τ (ms)", label=optimizer.__name__).opts(line_dash=dash))
# hv.Overlay([*curves, hv.HLine(20).opts(color="black", line_width=0.5)]).opts(legend_position="right", toolbar=None)

# %% [markdown]
# The walk goes in $\log τ$, in which 12 and 30 ms are about equally far from 20, 0.5 and 0.4; its
# steps get 10% smaller each time, and a gradient above 2 is cut to 2, since near a threshold a loss
# of spikes can be steep. All three arrive within a millisecond, Adam after 18 runs, with some
# momentum that carries it past its goal, gradient descent after ten. A test goes on for a hundred
# steps from both starts and with both optimizers, and all come within 0.2 ms.
#
# ## What it does and what it costs
#
# Parameters are variables that the equations declare as such, `tau : second (constant)`; each is
# named with its group, its variable and the unit in which the tensor has it. Outputs are variables
# with an equation, and `"spikes"`, which counts the spikes of each step. A call takes one tensor for
# each parameter, for all cells or with a value for each, and returns the outputs, (time, cell).
#
# The derivative of the states is exact between spikes: it is the derivative of the numbers that
# Brian2 computed, which finite differences of Brian2's own loss confirm (tests compare them for four
# schemes). A spike has a *surrogate* derivative ({term}`surrogate gradient`), as in the chapter on
# [cells with a threshold](../models/lif.py). What is not differentiated is that a spike may move, and
# the reset with it. For a loss of *potentials* of a cell that spikes this is a bad guide: with the
# cell above, from 30 ms, Adam goes to 900 ms along the trace of the potential, while along the spikes
# it arrives. Below the threshold the trace leads to 20 ms from anywhere.
#
# A step of the fit above, forward and backward, took 0.4 s of processor time, and as much whether
# Brian2 compiled its code or not: for a run so short, what Brian2 does before it counts, not its
# steps. In Brian2's C++ standalone mode (`set_device("cpp_standalone", build_on_run=False)`, before
# anything is made) the program is compiled once, and each call starts it with other numbers. All
# states are kept for the way back: a second of the circuit of the paper at 0.025 ms has 45 variables
# in 40,000 steps, 14 MB.
#
# What is refused: noise, random functions, conditions of several parts, and any network in which
# something else acts on the group, such as a synapse. That is not guessed from a list of Brian2's
# objects: each recorded step is compared with the equations, and where they do not explain it, the
# call says when and in which cell.
#
# A model of this package needs no list of places. Its conductances have names, and the derivative is
# that of the scheme with which Brian2 runs it:

# %% tags=["active-ipynb"]
# from ..models.channels import HodgkinHuxley1952 as HH
# from ..models.networks import Cell
# from .to_brian2 import to_brian2
#
# b.prefs.codegen.target = "numpy"  # nothing to compile: quicker for short runs
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# of_axon = brian2_function(to_brian2(axon, I_ext=6.3), ["cell Na", "cell K"], duration=5)
# g = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (120.0, 36.0)]
# V = of_axon(*g)["V"]
# V[-1].sum().backward()
# higher, lower = (of_axon(torch.tensor(x, dtype=torch.float64), g[1])["V"][-1].item() for x in (120.01, 119.99))
# assert np.isclose(g[0].grad.item(), (higher - lower) / 0.02, rtol=1e-4)
# print(f"V after 5 ms: {V[-1].item():.3f} mV; dV/dg_Na = {g[0].grad:.4f}, dV/dg_K = {g[1].grad:.4f} mV per mS/cm²")

# %%
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..engine import checks
from ..engine.inputs import current, input_at
from ..engine.junctions import inlets_of, used
from ..engine.kinetics import exprel
from ..engine.layout import activating, inactivating
from ..fitting.parameters import check_names, conductance_names, parameters, with_values
from ..fitting.torch_bridge import Tensor, all_tensors, crossing, load_torch
from ..models.lif import SURROGATE, Spike, check_elementwise
from ..prinz2004 import State, flows, pack, precision, prepare, state_of, unpack
from .equations import with_numbers
from .to_brian2 import EULER, Brian2Model, load_brian2, plan_of

__all__ = ["brian2_function"]

# %% [markdown]
# ## Backwards through a recording
#
# A simulation is a chain of steps, $y_{k+1} = Φ(y_k, θ)$, and the derivative of a loss with respect
# to the parameters $θ$ follows from the chain rule, applied from the last step to the first. With
# $λ_k$ for the derivative of the loss with respect to the state $y_k$, and $c_k$ for the part of it
# that the loss takes from $y_k$ directly,
#
# $$
# λ_k = c_k + \Big(\frac{∂Φ}{∂y}(y_k, θ)\Big)^{\!\top} λ_{k+1}, \qquad
# \frac{dL}{dθ} = \sum_k \Big(\frac{∂Φ}{∂θ}(y_k, θ)\Big)^{\!\top} λ_{k+1}.
# $$ (eq-followed)
#
# The states $y_k$ are those that Brian2 computed and recorded. Only $Φ$ has to be ours: a function of
# JAX that does what one step of Brian2 does, so that `jax.vjp` gives the two products. Nothing is
# simulated again.
#
# Take the cell above, below its threshold. With the exact scheme
# $Φ(v) = v_∞ + (v - v_∞)\, e^{-dt/τ}$, and $∂Φ/∂v = e^{-0.1/20}$ = 0.995. So a deviation now counts
# 0.995 times as much one step later, and 37% after 20 ms: going back, $λ$ forgets with the time
# constant of the membrane. This is the {term}`adjoint`, in the form that any program of steps has.
#
# Besides the next state a step may give something else, here the spikes, and the loss may depend on
# that, too. Its slope goes into the same product.


# %%
def pulled_back(step: Callable[[Any, Any, Any], Any], θ: Any, recorded: Any, data: Any, slopes: tuple[Any, Any]) -> Any:
    """The derivative of a loss with respect to θ, {eq}`eq-followed`.

    step: (θ, y, data of the step) -> (next y, what else the step gives). recorded: states at the beginning of each
    step, (step, …) each; data: of the steps, (step, …) each; slopes: derivatives of the loss with respect to the
    recorded states, and to what else each step gives.
    """

    def back(after: tuple[Any, Any], now: Any) -> tuple[Any, None]:
        λ, found = after
        y, x, (c, more) = now
        _, pull = jax.vjp(lambda θ, y: step(θ, y, x), θ, y)
        of_θ, of_y = pull((λ, more))
        return (jax.tree.map(jnp.add, of_y, c), jax.tree.map(jnp.add, found, of_θ)), None

    nothing = jax.tree.map(lambda x: jnp.zeros_like(x[0]), recorded), jax.tree.map(jnp.zeros_like, θ)
    return lax.scan(back, nothing, (recorded, data, slopes), reverse=True)[0][1]


# %% [markdown]
# ## Running again
#
# A loss is minimized by many runs that differ in a few numbers. Brian2 compiles once. In its usual
# mode the network is put back to where it was when the function was made (`store` and `restore`), and
# the numbers are set. So each run has the same start, whatever ran before.
#
# In C++ standalone mode Brian2 writes a program, and a Python object of a network has no values to be
# put back. The program is built once and run with other numbers (`run_args`). That needs
# `build_on_run=False`: otherwise the first run builds and ends the program, and no second one
# follows. The program is built at the first call and not before, so that a network can still be added
# to until then. It is built with the options that `set_device` was given, such as `directory`;
# without one Brian2 takes a folder `output` in the present one.
#
# Values travel in units of the SI, volts and seconds, as Brian2 stores them.

# %%
START = "pyloric_simulator.start"


class Setting(NamedTuple):
    """A variable and the values that it gets before a run."""

    owner: Any  # NeuronGroup or Synapses
    variable: str
    values: np.ndarray  # in units of the SI


class Replay:
    """A network that runs again and again from one start."""

    def __init__(self, network: Any, duration: float, namespace: Any) -> None:
        b = load_brian2()
        self.network, self.duration, self.namespace = network, duration * b.ms, namespace
        self.standalone = b.get_device() is b.all_devices.get("cpp_standalone")
        if not self.standalone:
            network.store(START)
        elif b.get_device().build_on_run:
            raise ValueError(
                "Brian2 is set to C++ standalone mode with build_on_run=True; it must be False, so that the program "
                "can run many times. Say set_device('cpp_standalone', build_on_run=False)."
            )
        self.built = False

    def __call__(self, settings: Sequence[Setting]) -> None:
        """Run with these numbers."""
        if self.standalone:
            self._standalone(settings)
            return
        self.network.restore(START)
        for x in settings:
            x.owner.variables[x.variable].set_value(x.values)
        self.network.run(self.duration, namespace=self.namespace)

    def _standalone(self, settings: Sequence[Setting]) -> None:
        b = load_brian2()
        if not self.built:
            self.network.run(self.duration, namespace=self.namespace)
            b.device.build(**{**b.device.build_options, "run": False})  # in the folder that set_device was given
            self.built = True
        with_units = lambda x: b.Quantity(x.values, dim=x.owner.variables[x.variable].dim)  # noqa: E731
        b.device.run(run_args={getattr(x.owner, x.variable): with_units(x) for x in settings})


# %% [markdown]
# ## A model of this package
#
# For a model that `to_brian2` has written, $Φ$ is the step of exponential Euler of the [first
# chapter](../prinz2004.md), with which Brian2 agrees to rounding. The derivative is therefore that of
# Brian2's own numbers. Parameters are the {term}`maximal conductances <maximal conductance>`, of
# cells and of synapses, under their names, in mS/cm² and nS. Brian2 holds them as variables of groups
# and synapses, in siemens: a microsiemens is $10^{-6}$ of it.


# %%
def conductance_settings(target: Any, part: Any) -> list[Setting]:
    """The conductances (siemens) of a group or of a pathway."""
    chosen = {name: x for name, (x, unit) in part.start.items() if unit == "uS"}
    return [Setting(target, name, np.array(x) * 1e-6) for name, x in chosen.items()]


# %% [markdown]
# All variables but the conductances and the input are recorded at the beginning of each step. That is
# once more than the user asked for, but the way back needs all of them: gates, calcium and the
# activation of synapses, not only the potential.


# %%
def recorders_of(e: Brian2Model) -> list[Any]:
    """Monitors of all variables of all groups and kinetic synapses."""
    b, dt = load_brian2(), e.plan.dt * load_brian2().ms
    of_group = [[x for x, (_, unit) in g.start.items() if unit != "uS" and x != "I_ext"] for g in e.plan.groups]
    found = [b.StateMonitor(g, x, record=True, dt=dt) for g, x in zip(e.groups, of_group, strict=True)]
    slow = [s for s, p in zip(e.pathways, e.plan.pathways, strict=True) if "s" in p.start]
    return found + [b.StateMonitor(s, "s", record=True, dt=dt) for s in slow]


# %% [markdown]
# Then they are put into the order of our states. Brian2 has its variables by group and name; our
# arrays have one row for each cell and one column for each gate, $m$ of all channels that have it,
# then $h$. The concentration comes in mol/m³, which is mM, and ours is in µM.
#
# A kinetic synapse is found by its kind and its two cells, and gets the slot of the postsynaptic cell
# in which the heart keeps it. A table of these slots is part of the circuit, so that a recording need
# not say which column is which.


# %%
def kinetic_states(e: Brian2Model, recorders: Sequence[Any]) -> Any:
    """The activations of all kinetic synapses, (time, cell, slot); None without any."""
    c = e.model.circuit
    if not c.kinetic:
        return None
    slow = [p for p in e.plan.pathways if "s" in p.start]
    groups = {g.name: g.cells for g in e.plan.groups}
    found: dict[tuple[str, int, int], Any] = {}
    for p, monitor in zip(slow, recorders, strict=True):
        ends = zip(p.i, p.j, np.asarray(monitor.s), strict=True)
        found |= {(p.kind, groups[p.source][i], groups[p.target][j]): s for i, j, s in ends}
    slots = inlets_of(c)
    z = np.zeros((len(recorders[0].t), *slots.pre.shape[::-1]))
    for slot, post in zip(*np.nonzero(used(c)), strict=True):
        z[:, post, slot] = found[e.described.kinetic[slots.kind[slot, post]].id, int(slots.pre[slot, post]), int(post)]
    return z


# %% [markdown]
# A cell of a kind with few channels leaves columns unused, which stay 0, as they do in a run of ours.


# %%
def states_of(e: Brian2Model, recorders: Sequence[Any]) -> Any:
    """The recorded states, (time, …) in each field."""
    c, d = e.model.circuit, e.described
    n, cells = len(recorders[0].t), len(d.cells)
    numbers = [
        len(c.transmitters),
        max(len(activating(m)) for m in c.membranes),
        max(len(inactivating(m)) for m in c.membranes),
    ]
    y = State(np.zeros((n, cells)), np.zeros((n, cells)), *(np.zeros((n, cells, x)) for x in numbers))
    for kind, group, monitor in zip(d.kinds, e.plan.groups, recorders, strict=False):
        at = list(group.cells)
        y.V[:, at], y.Ca[:, at] = np.asarray(monitor.V).T * 1e3, np.asarray(monitor.Ca).T * 1e3  # from V and mM
        gates = (
            [k.id for k in kind.releases],
            [x.m.id for x in kind.currents if x.m],
            [x.h.id for x in kind.currents if x.h],
        )
        for field, names in zip((y.s, y.m, y.h), gates, strict=True):
            for i, name in enumerate(names):
                field[:, at, i] = np.asarray(getattr(monitor, name)).T
    return state_of(c, *y, kinetic_states(e, recorders[len(e.groups) :]))


# %% [markdown]
# Two things are checked before. Only conductances can change, since all else is written into the
# equations as numbers, and a change of it would be a new program. And the scheme must be the one of
# which we have the step.


# %%
def check_exported(e: Brian2Model, names: Sequence[str]) -> None:
    """Parameters are conductances of the model, and its scheme is ours."""
    check_names(names, parameters(e.model))
    what = "a parameter of a model in Brian2, where only conductances can change,"
    for x in names:
        checks.choice(what, x, conductance_names(e.model))
    if e.plan.method != EULER:
        raise ValueError(
            f"the model runs by {e.plan.method!r}; it must run by {EULER!r}, of which the derivative is known. Say so "
            "in to_brian2."
        )


# %% [markdown]
# On the way forward the conductances are put into the plan of the model, from which Brian2 gets its
# values. On the way back they go through `prepare`, which turns them into what a step needs. Its
# derivative is taken once, and not in each step: {eq}`eq-followed` gives the derivative with respect
# to the prepared numbers, and one product more leads to the conductances.


# %%
class Exported:
    """A model of this package in Brian2, run again and again with other conductances."""

    def __init__(self, exported: Brian2Model, names: Sequence[str], duration: float) -> None:
        e = exported
        check_exported(e, names)
        self.exported, self.names, self.outputs = e, tuple(names), ("V",)
        self.recorders = recorders_of(e)
        e.network.add(*self.recorders)
        self.replay = Replay(e.network, duration, None)
        I = current(e.I_ext, e.model.labels, e.model.rows, np.array([0.0, duration]), 0.0)
        with precision("float64"):
            self.current = input_at(I, e.plan.dt, 0.0, np.float64)
        self.backward = jax.jit(self._backward)

    def forward(self, values: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Any]:
        """The potentials (mV), (time, cell), and all recorded states."""
        e = self.exported
        with precision("float64"):
            params = with_values(e.model.params, {name: float(x) for name, x in values.items()})
        plan = plan_of(with_numbers(e.described, params), e.plan.method, e.plan.dt)
        targets = zip((*e.groups, *e.pathways), (*plan.groups, *plan.pathways), strict=True)
        self.replay([x for target, part in targets for x in conductance_settings(target, part)])
        states = states_of(e, self.recorders)
        return {"V": states.V}, states

    def _backward(self, values: Any, states: Any, slopes: Mapping[str, Array]) -> Any:
        """Derivatives with respect to the values."""
        e = self.exported
        circuit, dt = e.model.circuit, e.plan.dt
        prepared = lambda values: prepare(with_values(e.model.params, values), np.float64, dt)  # noqa: E731
        p, pull = jax.vjp(prepared, values)

        def step(p: Any, y: Any, k: Array) -> tuple[Any, tuple[()]]:
            return unpack(circuit, flows(circuit, p, self.current, dt).euler(pack(circuit, y), k)), ()

        c = jax.tree.map(jnp.zeros_like, states)._replace(V=slopes["V"])
        return pull(pulled_back(step, p, states, jnp.arange(len(states.V)), (c, ())))[0]


# %% [markdown]
# ## A network of one's own
#
# The other case is a network that somebody has written for Brian2. Its equations are text, and Brian2
# itself can turn an expression into NumPy's language, which is JAX's, too. From the equations of a
# group, and the scheme by which Brian2 integrates them, follows $Φ$: a step by the same scheme for
# `euler` and exponential Euler, and one of fourth order for the exact and the higher ones.
#
# ### Where parameters and outputs are
#
# Parameters and outputs are named by their group, their variable and the unit in which a tensor has
# them. The unit is needed because Brian2 counts in volts and seconds: a loss in V² is so small that
# an optimizer with its usual settings stands still, and a time constant of 0.02 s is far from 1.

# %%
SPIKES = "spikes"  # the output that counts them


class Located(NamedTuple):
    """A parameter or an output."""

    group: Any
    variable: str
    unit: float  # in units of the SI


def places_in(what: str, given: Any) -> dict[str, Located]:
    """Name -> place. Raises TypeError or ValueError for what is none."""
    example = "{'τ': (group, 'tau', ms)}"
    found = {}
    for name, place in checks.mapping(what, given, example).items():
        if not isinstance(place, tuple) or len(place) != 3 or not isinstance(place[1], str):
            raise TypeError(
                f"{what}[{name!r}] is {place!r}; it must be a group, the name of its variable and a unit. Write "
                f"{example}."
            )
        group, variable, unit = place
        known = [*group.variables, SPIKES]
        checks.choice(f"the variable of {what}[{name!r}]", variable, known)
        if variable != SPIKES and group.variables[variable].dim != load_brian2().get_dimensions(unit):
            raise ValueError(
                f"the unit of {what}[{name!r}] is {unit!r}; it must be one of {group.variables[variable].dim!r}, as "
                f"{variable!r} is. Give that."
            )
        found[name] = Located(group, variable, float(unit))
    return found


# %% [markdown]
# All must be of one group, since only the equations of one are followed. Where the quantity of
# interest is in another group, such as the spikes of a target, the way there leads through synapses,
# of which the derivative would have to be known as well. For such a network a model of this package,
# whose synapses are equations, is the better start. A parameter must be one that Brian2 holds
# constant in a run; a number that stands outside of the equations cannot be set from one run to the
# next.


# %%
def one_group(found: Sequence[Located]) -> Any:
    """The group of all parameters and outputs. Raises ValueError if there are several, TypeError for what is none."""
    groups = {id(x.group): x.group for x in found}
    if len(groups) != 1:
        raise ValueError(
            f"parameters and outputs are of {len(groups)} groups; they must be of one NeuronGroup. Make a function "
            "for each."
        )
    (group,) = groups.values()
    checks.of_type("the group", group, load_brian2().NeuronGroup, "a brian2.NeuronGroup")
    return group


# %% [markdown]
# The other two rules are checked with the equations at hand. Only variables with an equation can be
# outputs, as only these are states that lead from one step to the next; whatever follows from them,
# such as a current, torch can compute from the output itself.


# %%
def check_places(parameters: Mapping[str, Located], outputs: Mapping[str, Located]) -> None:
    """Parameters stay constant in a run, and outputs have an equation."""
    for name, x in parameters.items():
        equations = x.group.equations
        if x.variable not in equations.parameter_names:
            raise ValueError(
                f"the parameter {name!r} is {x.variable!r} of {x.group.name!r}, which is no parameter of its "
                f"equations; it must be one. Declare it there, such as '{x.variable} : second (constant)', in place "
                "of a number outside."
            )
    for name, x in outputs.items():
        checks.choice(f"the variable of outputs[{name!r}]", x.variable, [*x.group.equations.diff_eq_names, SPIKES])
        if x.variable == SPIKES and not x.group.events:
            raise ValueError(
                f"outputs[{name!r}] are the spikes of {x.group.name!r}, which has no threshold. Ask for one of its "
                "variables."
            )


# %% [markdown]
# A parameter is one number for all cells or one for each. One that is declared as `shared` has one
# number only, whatever the size of the group.


# %%
def setting(place: Located, x: np.ndarray) -> Setting:
    """A value of a parameter in units of the SI, for all cells where there is one."""
    variable = place.group.variables[place.variable]
    if np.shape(x) not in ((), (1,), (len(place.group),)) or (variable.scalar and np.size(x) != 1):
        rule = "one number, since it is shared" if variable.scalar else f"() or ({len(place.group)},)"
        raise ValueError(
            f"{place.variable!r} has shape {np.shape(x)}; it must have {rule}. Give one for all cells, or one for each."
        )
    size = 1 if variable.scalar else len(place.group)
    return Setting(place.group, place.variable, np.broadcast_to(x, (size,)) * place.unit)


# %% [markdown]
# What is recorded is more than what was asked for: all variables with an equation, at the beginning
# of each step; the spikes; and whether a cell is refractory. That is read after the threshold has
# been tested for the state that has moved, but before the reset: a cell that spikes in this step is
# still free, as it was while it moved.


# %%
class Monitors(NamedTuple):
    """What records a group."""

    states: Any  # all variables with an equation, at the beginning of each step
    free: Any  # whether a cell is not refractory, after the state has moved; None where it never is
    trains: Any  # its spikes; None without a threshold


def monitors_of(group: Any) -> Monitors:
    """Monitors of a group."""
    b = load_brian2()
    refractory = "not_refractory" in group.variables
    states = b.StateMonitor(group, list(group.equations.diff_eq_names), record=True, dt=group.clock.dt)
    free = (
        b.StateMonitor(group, "not_refractory", record=True, dt=group.clock.dt, when="thresholds", order=-1)
        if refractory
        else None
    )
    return Monitors(states, free, b.SpikeMonitor(group) if group.events else None)


# %% [markdown]
# ### Its equations
#
# An expression keeps the names that it uses, so that all of them can be looked up before the first
# step. Brian2 writes it in NumPy's language; the names of its functions are bound to those of JAX,
# and nothing else of Python can be reached from it. `int` of a truth value gives 0 or 1 as a real
# number, so that a derivative can pass it, and is 0.


# %%
class Expression(NamedTuple):
    """Right-hand side of an equation or a statement."""

    target: str  # variable
    op: str  # "=" or "+=", …
    code: str  # in NumPy's language
    names: frozenset[str]  # that it uses


def whole_number(x: Any) -> Array:
    """Brian2's int: 0 or 1 of a truth value, otherwise without what is behind the point."""
    return jnp.asarray(x, float) if jnp.asarray(x).dtype == bool else jnp.trunc(x)


FUNCTIONS = {
    "exp": jnp.exp, "log": jnp.log, "log10": jnp.log10, "sqrt": jnp.sqrt, "abs": jnp.abs, "sin": jnp.sin,
    "cos": jnp.cos, "tan": jnp.tan, "sinh": jnp.sinh, "cosh": jnp.cosh, "tanh": jnp.tanh, "arcsin": jnp.arcsin,
    "arccos": jnp.arccos, "arctan": jnp.arctan, "ceil": jnp.ceil, "floor": jnp.floor, "sign": jnp.sign,
    "exprel": exprel, "expm1": jnp.expm1, "log1p": jnp.log1p, "clip": jnp.clip, "inf": np.inf, "int": whole_number,
    "logical_not": jnp.logical_not,
}  # fmt: skip


def read(target: str, op: str, code: str) -> Expression:
    """An expression of Brian2 in NumPy's language."""
    b = load_brian2()
    names = b.core.functions and b.utils.stringtools.get_identifiers(code)
    return Expression(target, op, b.parsing.rendering.NumpyNodeRenderer().render_expr(code), frozenset(names))


def value_in(x: Expression, values: Mapping[str, Any]) -> Any:
    """What an expression gives; all names stand for arrays, or for functions of JAX."""
    return eval(x.code, {"__builtins__": {}}, dict(FUNCTIONS | dict(values)))


# %% [markdown]
# What a group is, is collected once: its equations with all that they refer to, its threshold and its
# reset. Brian2 puts sub-expressions such as `I_leak = …` into the equations that use them. Where a
# group was made without a scheme, Brian2 has a list, exact, Euler and Heun, and takes the first that
# the equations allow: the exact one if they are linear, otherwise Euler's. The same list is tried
# here, because the derivative of one is not that of the other. A scheme that is a function of one's
# own is taken for an exact one; if it is not, the comparison below finds out.


# %%
class Equations(NamedTuple):
    """What a group of Brian2 does in a step."""

    slopes: tuple[Expression, ...]  # time derivatives, per second
    above: Expression | None  # what is positive where a cell spikes
    resets: tuple[Expression, ...]
    method: str  # Brian2's name of the scheme
    scale: float  # units of the SI in one unit of the surrogate's argument: 1e-3 for volts


# %%
def chosen_method(group: Any) -> str:
    """The scheme that Brian2 takes for a group, the first of several that its equations allow."""
    base, given = load_brian2().stateupdaters.base, group.state_updater.method_choice
    several = given if isinstance(given, (list, tuple)) else [given]
    for method in several[:-1]:
        try:
            base.StateUpdateMethod.apply_stateupdater(group.equations, group.variables, method)
        except base.UnsupportedEquationsException:
            continue
        return named(method)
    return named(several[-1])


def named(method: Any) -> str:
    """Brian2's name of a scheme; that of the exact one for a function of one's own."""
    return method.lower() if isinstance(method, str) else "exact"


# %% [markdown]
# The threshold has to be one comparison, because a surrogate needs a distance from it,
# $v - v_\mathrm{th}$: a number that is positive where the cell spikes. In volts, Brian2's unit, every
# potential of a cell is within a tenth of the threshold, and a surrogate that is one unit wide would
# count each as near. If the two sides are potentials, their difference is therefore counted in mV.


# %%
def variables_in(group: Any, code: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """What the names in an expression of a group stand for."""
    b = load_brian2()
    return group.resolve_all(b.utils.stringtools.get_identifiers(code), run_namespace=namespace)


def threshold_of(group: Any, namespace: Mapping[str, Any]) -> tuple[Expression, float]:
    """What is positive above the threshold, and its scale: mV if it is a potential."""
    b, code = load_brian2(), group.events["spike"]
    sides = re.split(r">=?|<=?", code)
    if len(sides) != 2 or re.search(r"\b(and|or|not)\b", code):
        raise ValueError(
            f"the threshold of {group.name!r} is {code!r}; it must be one comparison, such as 'v > -50*mV'. Write it "
            "so."
        )
    high, low = sides if ">" in code else sides[::-1]
    above = f"({high}) - ({low})"
    volts = b.parsing.expressions.parse_expression_dimensions(high, variables_in(group, high, namespace)) == b.volt.dim
    return read("spike", "=", above), 1e-3 if volts else 1.0


# %% [markdown]
# Resets are statements, such as `v = v_reset` or `w += b`, in the order in which they are written;
# the later ones see what the earlier ones did. Noise is refused by its name, `xi`: it is another one
# in each run, and the way back would need the one that was.


# %%
def equations_of(group: Any, namespace: Mapping[str, Any]) -> Equations:
    """The equations of a group. Raises ValueError for random ones and for several events."""
    b = load_brian2()
    if group.equations.stochastic_variables:
        raise ValueError(
            f"the equations of {group.name!r} contain {sorted(group.equations.stochastic_variables)}; they must have "
            "no noise, which is another one in each run. Give it as a TimedArray."
        )
    slopes = [read(x, "=", y.code) for x, y in group.equations.get_substituted_expressions(group.variables)]
    above, scale = threshold_of(group, namespace) if "spike" in group.events else (None, 1.0)
    text = group.event_codes.get("spike", "").replace(";", "\n") if group.events else ""
    lines = [x.strip() for x in text.splitlines() if x.strip() and not x.strip().startswith("#")]
    parsed = [b.parsing.statements.parse_statement(x) for x in lines]
    resets = tuple(read(target, op, code) for target, op, code, _ in parsed)
    return Equations(tuple(slopes), above, resets, chosen_method(group), scale)


# %% [markdown]
# What an equation uses must be known at each step: variables of the group, constants, the time, and
# `TimedArray`s of it. Random numbers are not, and functions in C++ have no derivative; both are
# refused by name. The names are looked up as Brian2 does it: first in the group, then in the
# namespace that is given, and among its units.


# %%
class Surroundings(NamedTuple):
    """What the names in the equations of a group stand for, apart from its variables that change."""

    constants: dict[str, Any]  # numbers, () or (cell,), in units of the SI
    timed: dict[str, Any]  # TimedArrays


def surroundings_of(group: Any, eqs: Equations, namespace: Mapping[str, Any]) -> Surroundings:
    """The constants and inputs of a group. Raises ValueError for a function without a derivative."""
    b = load_brian2()
    names = frozenset().union(*(x.names for x in (*eqs.slopes, *eqs.resets, *([eqs.above] if eqs.above else []))))
    changing = {x.target for x in eqs.slopes} | {"not_refractory", "lastspike", "t", "dt", "i", "N"}
    constants, timed = {}, {}
    for name, x in group.resolve_all(names - set(FUNCTIONS) - changing, run_namespace=namespace).items():
        if isinstance(x, b.TimedArray):
            timed[name] = x
        elif isinstance(x, b.Function):
            raise ValueError(
                f"the equations of {group.name!r} use the function {name!r}, of which no derivative is known; they "
                "must use Brian2's own functions that are not random. Give its values as a TimedArray."
            )
        else:
            constants[name] = np.asarray(x.get_value(), float)
    return Surroundings(constants, timed)


# %%
def known_of(group: Any, namespace: Mapping[str, Any]) -> tuple[Equations, Surroundings]:
    """All that is known of a group beside its variables."""
    eqs = equations_of(group, namespace)
    return eqs, surroundings_of(group, eqs, namespace)


# %% [markdown]
# ### A step
#
# Between spikes the state flows. The scheme has to be Brian2's for the coarse ones. Euler's has the
# error of a whole order, and the derivative of something more exact would not be that of the recorded
# numbers. For the exact scheme and those of higher order the classical Runge–Kutta step will do: a
# step of 0.1 ms with a time constant of 20 ms has $z = dt/τ$ = 0.005, and the first term of the
# exponential that it leaves out, $z^5/120$, is $3 · 10^{-14}$.
#
# Exponential Euler needs the slope $a$ of an equation in its own variable, which one derivative
# forward gives (`jax.jvp`), since the equation is linear in it. Then, with the rate $f$ at the
# present state,
#
# $$
# x_{k+1} = x_k + h f\, \mathrm{exprel}(a h), \qquad \mathrm{exprel}(x) = \frac{e^x - 1}{x}.
# $$
#
# This is the solution of $dx/dt = f + a (x - x_k)$ after the time $h$, written so that $a = 0$ does
# no harm.


# %%
def exponentially(slope: Callable[[Any], Any], y: dict[str, Array], name: str, h: float) -> Array:
    """One variable after a time h (s), by an equation that is linear in it, all others standing still."""
    f = lambda x: slope({**y, name: x})[name]  # noqa: E731
    rate, a = jax.jvp(f, (y[name],), (jnp.ones_like(y[name]),))
    return y[name] + h * rate * exprel(a * h)


def flow(eqs: Equations, values: Callable[[Any], dict[str, Any]], y: dict[str, Array], h: float) -> dict[str, Array]:
    """The variables after a time h (s) without a spike; values: what all names stand for, at a state."""
    slope = lambda y: {x.target: value_in(x, values(y)) + 0 * y[x.target] for x in eqs.slopes}  # noqa: E731
    moved = lambda y, k, h: {x: y[x] + h * k[x] for x in y}  # noqa: E731
    if eqs.method == "euler":
        return moved(y, slope(y), h)
    if eqs.method == EULER:
        return {x: exponentially(slope, y, x, h) for x in y}
    k1 = slope(y)
    k2 = slope(moved(y, k1, h / 2))
    k3 = slope(moved(y, k2, h / 2))
    k4 = slope(moved(y, k3, h))
    return {x: y[x] + h / 6 * (k1[x] + 2 * k2[x] + 2 * k3[x] + k4[x]) for x in y}


# %% [markdown]
# A cell with a threshold and a reset needs three things more:
#
# - Whether it spikes is a step function, of which the derivative is a surrogate, as in the chapter on
#   [integrate-and-fire cells](../models/lif.py): a function of one's own, or SuperSpike, or the fast
#   sigmoid, {eq}`eq-superspike`.
# - At a spike the reset acts on what the step has led to: after `v = v_reset` the state does not
#   depend on what was before, after `w += b` it does.
# - While a cell is refractory, what Brian2 multiplies with 0 has no derivative; whether it is, was
#   recorded.
#
# What the three have in common is that Brian2 decides and we follow. Had the way back to find out by
# itself when a cell spikes, a difference in the last digit could move a spike by a step, and from
# there on the two would be different runs.
#
# All that is known of a step beside the state comes from the recording. Brian2 gives spikes as a list
# of times and cells; here they become a table with one row for each step. The values of `TimedArray`s
# are looked up beforehand. Brian2 takes the entry whose interval contains the time; a billionth is
# added before rounding down, so that $3 · 0.1$ ms is not taken for a little less than 0.3.


# %%
class Recorded(NamedTuple):
    """What was recorded of each step beside the state."""

    k: Any  # (step,) number
    spiked: Any  # (step, cell) whether a cell spiked
    free: Any  # (step, cell) whether it was not refractory
    timed: Any  # values of TimedArrays, (step,) or (step, cell) each


def timed_values(x: Any, t: np.ndarray, size: int) -> np.ndarray:
    """The values of a TimedArray at times (s), (step,) or (step, cell), in units of the SI."""
    k = np.clip(np.floor(t / float(x.dt) + 1e-9).astype(int), 0, len(x.values) - 1)
    return np.asarray(x.values)[k][:, :size] if np.ndim(x.values) == 2 else np.asarray(x.values)[k]


def recorded_steps(group: Any, monitors: Monitors, around: Surroundings, n: int) -> Recorded:
    """What was recorded of each of n steps beside the state."""
    dt, size = float(group.clock.dt_), len(group)
    spiked, t = np.zeros((n, size), bool), np.arange(n) * dt
    if monitors.trains is not None:
        k = np.round(np.asarray(monitors.trains.t_) / dt).astype(int)
        spiked[k, np.asarray(monitors.trains.i)] = True
    free = np.ones((n, size), bool) if monitors.free is None else np.asarray(monitors.free.not_refractory).T[:n]
    timed = {name: timed_values(x, t, size) for name, x in around.timed.items()}
    return Recorded(np.arange(n), spiked, free, timed)


# %% [markdown]
# The names in the equations stand for the constants, for the parameters of this call, which take the
# place of the group's own values, for the time, and for inputs. A `TimedArray` is called in an
# equation, `I(t)`, so that it stands for a function that returns the value of this step.


# %%
def names_in(group: Any, around: Surroundings, places: Mapping[str, Located], θ: Any, now: Recorded) -> dict[str, Any]:
    """What the names in the equations of a group stand for in a step, but for the variables that change."""
    dt = float(group.clock.dt_)
    fixed = around.constants | {places[x].variable: a * places[x].unit for x, a in θ.items()}
    fixed |= {"t": now.k * dt, "dt": dt, "i": np.arange(group.N), "N": group.N, "not_refractory": now.free}
    return fixed | {name: lambda *_, x=x: x for name, x in now.timed.items()}


# %% [markdown]
# Then the step: the flow between spikes, the comparison with the threshold, and the reset of the
# cells of which Brian2 says that they spiked. Two numbers say so, the recorded spike and the
# surrogate's step, and they have different uses. The reset takes the recorded one, which has no
# derivative; that is why a spike does not move on the way back. The output takes the surrogate's,
# whose value is the same and whose derivative is not 0.

# %%
OPERATIONS: dict[str, Callable[..., Any]] = {
    "=": lambda _, x: x, "+=": jnp.add, "-=": jnp.subtract, "*=": jnp.multiply, "/=": jnp.divide,
}  # fmt: skip


def stepped(
    eqs: Equations, fixed: Mapping[str, Any], spike: Spike, y: dict[str, Array], now: Recorded, dt: float
) -> tuple[dict[str, Array], Array]:
    """The state after a step of dt (s), and the spikes at its end; fixed: what names stand for beside the state."""
    values = lambda y: {**fixed, **y}  # noqa: E731
    y = flow(eqs, values, y, dt)
    if eqs.above is None:
        return y, jnp.zeros_like(now.free, float)
    above = value_in(eqs.above, values(y)) / eqs.scale
    for x in eqs.resets:
        after = OPERATIONS[x.op](y[x.target], value_in(x, values(y)))
        y = {**y, x.target: jnp.where(now.spiked, after, y[x.target])}
    return y, spike(above) * now.free


# %% [markdown]
# ### Is it the same step?
#
# What the step cannot know, a synapse that pushes the cell, another event, a variable that a
# `run_regularly` changes, shows at once: our step, from a recorded state, misses the next one. Each
# run is compared with the step, and is refused where they differ. Allowed is a ten-thousandth of the
# range of a variable, which leaves room for a scheme of another order, and none for a synapse. A run
# that left the finite numbers is another matter, and is told apart.
#
# The comparison costs little, since all steps are computed side by side and none waits for the one
# before: the states are known. And it is more than a check of the network. It also finds a mistake of
# ours, in a scheme or in a function that Brian2 and JAX understand differently, before a fit can go
# astray by it.


# %%
def missed_by(step: Callable[..., Any], θ: Any, y: Any, data: Recorded) -> dict[str, Array]:
    """By how much a step misses the next recorded state, (time − 1, cell) each."""
    after = jax.vmap(lambda y, now: step(θ, y, now)[0])(y, data)
    return jax.tree.map(lambda a, y: jnp.abs(a[:-1] - y[1:]), after, y)


# %%
AGREE = 1e-4  # of the range of a variable, by which a step may miss the next recorded state


def follows(group: str, y: Mapping[str, np.ndarray], deviation: Mapping[str, Any], dt: float) -> None:
    """Refuse a recording that the equations of its group do not explain."""
    for name, missed in deviation.items():
        x, missed = y[name], np.asarray(missed)
        if not np.isfinite(x).all():
            k, cell = np.argwhere(~np.isfinite(x))[0]
            raise FloatingPointError(
                f"{name} of cell {cell} of {group!r} is {x[k, cell]} at {k * dt * 1e3:g} ms. Take a shorter step."
            )
        allowed = AGREE * np.ptp(x) + 1e-12 * np.max(np.abs(x))
        if missed.size and not (missed <= allowed).all():
            k, cell = np.unravel_index(int(np.argmax(np.where(np.isnan(missed), np.inf, missed))), missed.shape)
            raise ValueError(
                f"{name} of cell {cell} of {group!r} changes at {k * dt * 1e3:g} ms by what its equations do not say; "
                "a derivative must know all that changes it, and knows its equations, TimedArrays, threshold and "
                "reset. Take synapses and run_regularly on it away, or give their input as a TimedArray."
            )


# %% [markdown]
# ### The run and its way back
#
# The loss gives slopes with respect to outputs, in the units of the tensors. They are added up for
# each variable, in units of the SI, and the spikes apart from them.


# %%
def of_recording(read_out: Mapping[str, Located], record: Any, slopes: Mapping[str, Array]) -> tuple[Any, Array]:
    """Derivatives with respect to the recorded states and spikes, from those with respect to the outputs."""
    y, data = record
    c, of_spikes = jax.tree.map(jnp.zeros_like, y), jnp.zeros(data.spiked.shape)
    for name, x in read_out.items():
        if x.variable == SPIKES:
            of_spikes = of_spikes + slopes[name]
        else:
            c[x.variable] = c[x.variable] + slopes[name] / x.unit
    return c, of_spikes


# %% [markdown]
# The class holds what one network needs for many runs. Its equations are read after the first run,
# since only then has Brian2 chosen a scheme where none was named. In the step whole numbers and real
# ones may be mixed, as the text of an equation mixes them; elsewhere this package forbids it.


# %%
class Own:
    """A group of a network of one's own, run again and again with other numbers."""

    def __init__(
        self, network: Any, parameters: Any, outputs: Any, duration: float, spike: Spike, namespace: Any
    ) -> None:
        self.places, self.read_out = places_in("parameters", parameters), places_in("outputs", outputs)
        self.group = one_group([*self.places.values(), *self.read_out.values()])
        check_places(self.places, self.read_out)
        self.names, self.outputs, self.spike, self.namespace = (
            tuple(self.places),
            tuple(self.read_out),
            spike,
            namespace,
        )
        self.monitors = monitors_of(self.group)
        network.add(*(x for x in self.monitors if x is not None))
        self.replay = Replay(network, duration, namespace)
        self.known: tuple[Equations, Surroundings] | None = None  # after the first run, when Brian2 has chosen a scheme
        self.backward, self.deviation = jax.jit(self._backward), jax.jit(partial(missed_by, self.step))

    def forward(self, values: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Any]:
        """What was asked for, (time, cell) each, and all that the way back needs."""
        self.replay([setting(self.places[name], x) for name, x in values.items()])
        self.known = self.known or known_of(self.group, self.namespace)
        y = {x: np.asarray(getattr(self.monitors.states, f"{x}_")).T for x in self.group.equations.diff_eq_names}
        data = recorded_steps(self.group, self.monitors, self.known[1], len(next(iter(y.values()))))
        with precision("float64"):
            follows(self.group.name, y, self.deviation(values, y, data), float(self.group.clock.dt_))
        found = y | {SPIKES: data.spiked.astype(float)}
        return {name: found[x.variable] / x.unit for name, x in self.read_out.items()}, (y, data)

    def step(self, θ: Any, y: dict[str, Array], now: Recorded) -> tuple[dict[str, Array], Array]:
        """The state after a step, and the spikes at its end."""
        assert self.known is not None
        eqs, around = self.known
        with jax.numpy_dtype_promotion("standard"):  # the equations mix whole numbers and others
            fixed = names_in(self.group, around, self.places, θ, now)
            return stepped(eqs, fixed, self.spike, y, now, float(self.group.clock.dt_))

    def _backward(self, θ: Any, record: Any, slopes: Mapping[str, Array]) -> Any:
        """Derivatives with respect to the values."""
        return pulled_back(self.step, θ, record[0], record[1], of_recording(self.read_out, record, slopes))


# %% [markdown]
# ## The function
#
# Torch knows derivatives as functions of its own, with a way forward and a way back. `Call` is one
# such pair, for one call: it takes tensors apart into arrays of NumPy, and makes tensors of what
# comes back. How torch and JAX are joined is the subject of the [chapter on
# PyTorch](../fitting/torch_bridge.py), whose `crossing` is used here. The way back is computed in
# double precision, whatever type the tensors have, and only at the end brought to their type.


# %%
@dataclass
class Call:
    """One call from torch: forward Brian2, backward the derivative along its recording."""

    name: str
    run: Exported | Own
    wanted: tuple[bool, ...]
    values: Any = None

    def forward(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Any]:
        """The outputs, and what the way back needs."""
        torch = load_torch()
        self.values = {name: x.detach().numpy().astype(float) for name, x in zip(self.run.names, tensors, strict=True)}
        found, record = self.run.forward(self.values)
        self.dtype = tensors[0].dtype
        return [torch.as_tensor(np.ascontiguousarray(found[x])).to(self.dtype) for x in self.run.outputs], record

    def backward(self, record: Any, slopes: Sequence[Tensor]) -> list[Tensor | None]:
        """Derivatives with respect to each tensor, None where not wanted."""
        torch = load_torch()
        with precision("float64"):
            given = {name: np.asarray(x.detach(), float) for name, x in zip(self.run.outputs, slopes, strict=True)}
            found = jax.block_until_ready(self.run.backward(self.values, record, given))
        tensors = [torch.as_tensor(np.array(found[name])).to(self.dtype) for name in self.run.names]
        return [x if w else None for x, w in zip(tensors, self.wanted, strict=True)]


# %% [markdown]
# The function that the user gets takes its tensors in order or by name, like a function of Python.
# They have to live on the CPU, where Brian2 runs.


# %%
def arguments(names: Sequence[str], args: Sequence[Any], named: Mapping[str, Any]) -> list[Tensor]:
    """One tensor for each parameter, in their order."""
    given = dict(zip(names, args, strict=False)) | dict(named)
    if len(args) + len(named) != len(names) or set(given) != set(names):
        raise TypeError(
            f"the function has the parameters {checks.listing(names)}, and got {len(args)} tensors and "
            f"{checks.listing(named) or 'no names'}. Give each once."
        )
    all_tensors(given)
    for name, x in given.items():
        if not x.is_floating_point() or x.device.type != "cpu":
            raise TypeError(
                f"{name} is of type {x.dtype} on {x.device}; it must be of real numbers on the CPU, where Brian2 "
                "runs. Take x.float().cpu()."
            )
    return [given[name] for name in names]


# %% [markdown]
# What is checked here is checked once; a call then only takes tensors, runs and returns. If no tensor
# wants a derivative, as under `torch.no_grad()`, nothing is computed on the way back. There is no
# second derivative: torch is told so, and refuses to take one.


# %%
def brian2_function(
    network: Any, parameters: Any, outputs: Any = None, *,
    duration: float, spike: Spike = SURROGATE, namespace: Mapping[str, Any] | None = None,
) -> Callable[..., dict[str, Tensor]]:  # fmt: skip
    """A function of torch tensors that runs Brian2, with a derivative.

    network: a `brian2.Network`, or what `to_brian2` returned. parameters: of a network of one's own name -> (group,
    variable, unit), such as {"τ": (cells, "tau", ms)}; of a model of this package a list of names of conductances,
    such as ["LP Na", "AB-LP"], in mS/cm² and nS. outputs: of a network of one's own name -> (group, variable, unit),
    or (group, "spikes", 1) for the spikes of each step; of a model of this package {"V": (time, cell) mV}. duration:
    ms. spike: the step at the threshold with its surrogate derivative, of V − V_th in mV where that is a potential.
    namespace: numbers and TimedArrays that the equations name and that are not variables of the group; by default
    those of the place where this is called, as in Brian2.

    The new function takes one tensor for each parameter, in this order or by name, () or (cell,), float32 or float64
    on the CPU, and returns name -> (time, cell). Raises ImportError without Brian2 or torch, TypeError or ValueError
    for places and values that cannot be used, ValueError for equations without a known derivative, and
    FloatingPointError if a run turns non-finite.
    """
    load_torch()
    duration = checks.positive("duration", duration, "ms")
    check_elementwise("spike", spike)
    if isinstance(network, Brian2Model):
        checks.texts("parameters", parameters)
        run: Exported | Own = Exported(network, list(parameters), duration)
    else:
        checks.of_type("network", network, load_brian2().Network, "a brian2.Network, or what to_brian2 returned")
        around = load_brian2().core.namespace.get_local_namespace(level=1) if namespace is None else namespace
        run = Own(network, parameters, outputs, duration, spike, dict(around))

    def call(*args: Tensor, **named: Tensor) -> dict[str, Tensor]:
        tensors = arguments(run.names, args, named)
        wanted = tuple(load_torch().is_grad_enabled() and x.requires_grad for x in tensors)
        return dict(zip(run.outputs, crossing().apply(Call("brian2_function", run, wanted), *tensors), strict=True))

    return call


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-brian2-trace
# Drive the cell with 0.4 of the current, so that it stays below its threshold, and find the time
# constant from the potential. How many steps of Adam does it take to come within 1%?
# ```
#
# ```{solution-start} ex-brian2-trace
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# weak, below = b.TimedArray(0.4 * drive * b.nA, dt=0.1 * b.ms), integrate_and_fire()
# quiet = brian2_function(
#     b.Network(below), {"τ": (below, "tau", b.ms)}, {"v": (below, "v", b.mV)}, duration=50, namespace={"I": weak}
# )
# with torch.no_grad():
#     trace = quiet(torch.tensor(20.0, dtype=torch.float64))["v"]
# x = torch.tensor(np.log(12.0), requires_grad=True)
# adam, found = torch.optim.Adam([x], lr=0.05), []
# while not found or abs(found[-1] - 20) > 0.2:
#     adam.zero_grad()
#     ((quiet(torch.exp(x))["v"] - trace) ** 2).mean().backward()
#     adam.step()
#     found.append(torch.exp(x).item())
# assert len(found) < 40
# len(found)

# %% [markdown]
# Some ten or twenty: without spikes the loss is smooth, and has one minimum only. Adam changes
# $\log τ$ by about 0.05 in a step, and the distance from 12 to 20 ms is $\log(20/12)$ = 0.51, so that
# ten steps are the least.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-brian2-surrogate
# What does the slope of the surrogate change? Compare the derivative of the number of spikes with
# respect to $τ$, at 20 ms, for `fast_sigmoid` of 0.5, 1 and 4 per mV, with what you get when you
# count spikes at 15 and at 25 ms.
# ```
#
# ```{solution-start} ex-brian2-surrogate
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..models.lif import fast_sigmoid
#
# slopes = {}
# for β in (0.5, 1.0, 4.0):
#     cell = integrate_and_fire()
#     places, out = {"τ": (cell, "tau", b.ms)}, {"spikes": (cell, "spikes", 1)}
#     count = brian2_function(b.Network(cell), places, out, duration=300, namespace={"I": I}, spike=fast_sigmoid(β))
#     τ = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
#     count(τ)["spikes"].sum().backward()
#     slopes[β] = round(τ.grad.item(), 3)
# with torch.no_grad():
#     counted = [count(torch.tensor(x, dtype=torch.float64))["spikes"].sum().item() for x in (15.0, 25.0)]
# assert all(x < 0 for x in slopes.values()) and counted[0] > counted[1]
# slopes, (counted[1] - counted[0]) / 10

# %% [markdown]
# All have the sign of the difference: a slower cell spikes less. Their sizes differ, since a flat
# surrogate also sees potentials far below the threshold, and a steep one only those that nearly reach
# it. An optimizer such as Adam cares for the sign and for how the size changes, not for the size
# itself.
#
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-brian2-why
# Why is it not enough to run our own integrate-and-fire cells, whose derivative the earlier chapter
# has?
# ```
#
# ```{solution-start} ex-brian2-why
# :class: dropdown
# ```
#
# For this cell it is. But a group of Brian2 may have any equations: an adaptation, two compartments,
# a threshold that moves. The function reads them, and the run that is fitted is the one that will be
# used afterwards, in Brian2, with all the details of its scheme.
#
# ```{solution-end}
# ```
