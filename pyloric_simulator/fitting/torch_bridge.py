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
# # Inside PyTorch
#
# Can a circuit be a part of a network that is trained in [PyTorch](https://pytorch.org)? Much of machine
# learning is written there: networks that map images to movements, or recordings to conductances. A
# simulation is a function with derivatives, and can stand between two layers like any other. The function
# `to_torch` makes a differentiable function of torch tensors from any function of JAX arrays: forward it
# runs what JAX has compiled, and `loss.backward()` asks JAX for the derivatives.
#
# Here an integrate-and-fire cell gets a current, and torch asks by how much its potential after 15 ms
# changes with the time constant and with the current. The answer is that of JAX, digit for digit, and
# passes torch's own test, which compares derivatives with finite differences.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(
#     hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None)
# )

# %% tags=["active-ipynb"]
# import jax
# import numpy as np
# import torch
#
# from ..models.lif import CELL, LIF, simulate_lif
# from ..prinz2004 import Prinz2004, precision
# from .torch_bridge import CircuitModule, LIFModule, to_jax, to_torch
#
#
# def potential(τ, I):
#     """Potential (mV) of an integrate-and-fire cell after 15 ms with a current (nA)."""
#     return simulate_lif(CELL._replace(τ=τ), LIF(1).rest, [15.0], I).V[0, 0]
#
#
# τ, I = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (20.0, 1.2))
# V = to_torch(potential)(τ, I)
# V.backward()
# with precision():
#     expected = jax.jit(jax.grad(potential, argnums=(0, 1)))(20.0, 1.2)
# assert np.allclose([τ.grad, I.grad], expected, rtol=1e-14, atol=0)
# assert torch.autograd.gradcheck(to_torch(potential), (τ, I))
# f"V = {V.item():.2f} mV, dV/dτ = {τ.grad:.3f} mV/ms, dV/dI = {I.grad:.2f} mV/nA"

# %% [markdown]
# ## What it does and what it costs
#
# `to_torch(f)` is for a function of one's own. `CircuitModule` and `LIFModule` are the simulators of this
# package as modules of torch, whose parameters any optimizer of torch can fit; they have a `state_dict`,
# go from one precision to the other by `module.float()`, and can be parts of other modules. This chapter
# needs torch: `pip install "pyloric-simulator[torch]"`.
#
# A call costs what the simulation costs, and about a tenth of a millisecond each way for the crossing.
# Numbers are not copied but lent, both ways. The first call with new shapes compiles, which takes
# seconds. There are first derivatives only; for a second one, one of the two has to be taken in JAX.
# Where a model is fitted by itself, without a network of torch around it, [fit](fit.py) is the shorter
# way.
#
# ## Two fits
#
# ### A conductance
#
# A recorded potential between two {term}`bursts <burst>` tells how strong the current $I_H$ is, which
# depolarizes the cell until the next one begins. Adam finds its conductance from starts of half and of
# twice its value, both of them in one batch.

# %% tags=["active-ipynb"]
# H, t = "AB/PD 2 H", np.arange(0, 150.5, 0.5)
# cell = Prinz2004({"AB/PD 2": 1}, gs={})
# recorded = torch.tensor(cell(t).states.V)
# fitted = CircuitModule(cell, {H: [0.005, 0.02]}, t)
# adam, found = torch.optim.Adam(fitted.parameters(), lr=0.1), []
# for _ in range(100):
#     adam.zero_grad()
#     ((fitted() - recorded) ** 2).mean((1, 2)).sum().backward()
#     adam.step()
#     found.append(fitted.values()[H].tolist())
# assert np.allclose(found[-1], 0.01, rtol=0.01)

# %% [markdown]
# ### A time constant
#
# Two integrate-and-fire cells see the current of a third one and learn to fire when it does. The loss is
# the distance {eq}`eq-van-rossum` of their {term}`spikes <spike>`, a function of JAX, which `to_torch`
# brings to torch. A spike has no derivative, and a {term}`surrogate gradient` stands in for it; the
# derivatives that follow are at times large, so that they are clipped. With that, plain gradient descent
# is enough. One cell starts too fast, the other too slow, and both arrive at the 20 ms of the third.

# %% tags=["active-ipynb"]
# from functools import partial
#
# from ..models.lif import van_rossum
#
# distance = to_torch(partial(van_rossum, τ_D=20.0))
# times = np.arange(5001) * 0.1
# noise = np.interp(times, np.arange(0, 501, 5), np.random.default_rng(0).normal(size=101))
# I = torch.tensor(1.5 + noise)[:, None].expand(-1, 2)
# with torch.no_grad():
#     _, target = LIFModule(2, τ=20)(times, I)
# cells = LIFModule(2, τ=[10, 30])
# sgd, path = torch.optim.SGD(cells.parameters(), lr=0.002), []
# for _ in range(60):
#     sgd.zero_grad()
#     _, spikes = cells(times, I)
#     distance(spikes, target).sum().backward()
#     torch.nn.utils.clip_grad_value_(cells.parameters(), 10.0)
#     sgd.step()
#     path.append(cells.values()["τ"].tolist())
# assert np.allclose(path[-1], 20, rtol=0.01)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Conductance of H by Adam, and τ by gradient descent, on their way to the true values (black).", "name": "fig-torch"}}
# def panel(curves, truth, what):
#     """The values at each step, and the true one."""
#     lines = [hv.Curve(x, "step", what) for x in np.array(curves).T]
#     return hv.Overlay([*lines, hv.HLine(truth).opts(color="black", line_width=0.5)]).opts(width=340, height=250)
#
#
# (panel(found, 0.01, "g of H (mS/cm²)") + panel(path, 20, "τ (ms)")).opts(toolbar=None, shared_axes=False)

# %% [markdown]
# What the chapter takes from elsewhere, and what others take from it:

# %%
from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..engine import checks
from ..engine.schedule import grid_of
from ..models.lif import DEFAULT_DT as LIF_DT
from ..models.lif import LIF, POSITIVE, SURROGATE, Params, Spike, check_elementwise, check_step, simulate_lif
from ..models.lif import State as LIFState
from ..models.networks import model_of, start_of
from ..prinz2004 import DEFAULT_DT, DEFAULT_SOLVER, SCHEMES, State, precision
from .adjoint import simulate_with_adjoint
from .parameters import check_names, checked_value, parameters, places, with_values

__all__ = [
    "CircuitModule", "LIFModule", "from_jax", "to_jax", "to_torch",  # noqa: F822 (made when torch is there)
]  # fmt: skip

# %% [markdown]
# Without torch, the module can be imported all the same, and says what is missing when it is used. Torch
# is an extra of more than a hundred megabytes that most users of the package never need, so nothing at
# the top level may ask for it.

# %%
Tensor = Any  # a torch.Tensor


def load_torch() -> Any:
    """The package torch. Raises ImportError, with how to get it, if it is missing."""
    return checks.package("torch", "torch", "torch_bridge")


# %% [markdown]
# ## Two views of one memory
#
# Torch and JAX both speak [DLPack](https://dmlc.github.io/dlpack/latest/), by which one package lends an
# array to another without a copy: what crosses is an address, a shape, a type and the promise to keep the
# memory for as long as the other needs it. JAX lends all of its arrays. It borrows a tensor whose numbers
# follow each other in memory and, on a CPU, begin at a multiple of 64 bytes, as those of every tensor
# that torch has made do. Others it copies, such as a slice from the second number on, or a transposed
# matrix.


# %%
def to_jax(x: Tensor) -> Array:
    """The numbers of a tensor as a JAX array, under the precision in force; of the tensor's own memory where JAX can use it."""
    lendable(x)
    return jax.dlpack.from_dlpack(x.detach().contiguous())


def from_jax(x: Array) -> Tensor:
    """A JAX array as a tensor of the same memory."""
    number: Any = x
    if not isinstance(number, Array) or isinstance(number, jax.core.Tracer):
        raise TypeError(
            f"x is of type {type(x).__name__}; it must be a JAX array whose numbers are known. Take jnp.asarray(x)."
        )
    return load_torch().from_dlpack(x)


# %% [markdown]
# Only dense tensors with numbers can be lent. A tensor may also be sparse, or live on the device "meta",
# where it has a shape and no memory. A JAX array that is being traced has none either, and is refused on
# its way to torch.


# %%
def lendable(x: Any) -> None:
    """Refuse what is no tensor, or one whose numbers do not lie in memory one after the other in some order."""
    tensor("x", x)
    if x.layout != load_torch().strided or x.device.type == "meta":
        raise TypeError(
            f"x is of layout {x.layout} on {x.device}; it must be dense and have numbers. Take x.to_dense(), on a real device."
        )


def tensor(name: str, x: Any) -> None:
    """Refuse what is no tensor."""
    if not isinstance(x, load_torch().Tensor):
        raise TypeError(
            f"{name} is of type {type(x).__name__}; it must be a torch tensor. Take torch.as_tensor(x), or close over what stays constant."
        )


# %% tags=["active-ipynb"]
# x = torch.rand(1000, dtype=torch.float64)
# with precision():
#     shared = {
#         name: to_jax(y).unsafe_buffer_pointer() == y.data_ptr() for name, y in {"whole": x, "slice": x[1:]}.items()
#     }
# assert shared == {"whole": True, "slice": False}
# shared

# %% [markdown]
# Memory with two owners is safe as long as nobody writes. JAX never does, but torch may: optimizers
# change parameters in place. Three rules follow.
#
# - A call waits until JAX has read its inputs.
# - JAX may keep an input for the way back. If it is changed before, torch raises its usual error, because
#   the inputs are registered with it.
# - Only results of compiled functions are lent to torch. Each of them has memory of its own, which
#   neither an argument nor another result shares.
#
# ## What may cross
#
# Arguments are tensors in tuples, lists, dictionaries or other containers that JAX knows. Their
# floating-point type says in which precision JAX computes, and only there: no setting changes. Whole
# numbers and truth values cross too, without a derivative. A message should say *which* tensor is wrong,
# in the words of the user's own function. So the names of its parameters are put before the places in the
# containers, as in "weights['first']".

# %%
FLOATS = ("float32", "float64")


def kind(x: Tensor) -> str:
    """The name of a tensor's type."""
    return str(x.dtype).removeprefix("torch.")


def named_leaves(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[dict[str, Any], Any]:
    """What the arguments contain, by names for messages, and the arrangement."""
    try:
        names = list(inspect.signature(f).parameters)
    except (TypeError, ValueError):  # a function not written in Python
        names = []
    paths, tree = jax.tree_util.tree_flatten_with_path(args)
    first = lambda i: names[i] if i < len(names) else f"argument {i}"  # noqa: E731
    return {first(path[0].idx) + jax.tree_util.keystr(path[1:]): x for path, x in paths}, tree


# %% [markdown]
# Half precision is refused. A run of a second has 20,000 steps, and numbers with three digits would lose
# in each of them what the step adds.


# %%
def all_tensors(named: Mapping[str, Any]) -> None:
    """Refuse what is no tensor, and types in which JAX does not compute here."""
    torch = load_torch()
    for name, x in named.items():
        tensor(name, x)
        if x.layout != torch.strided:
            raise TypeError(f"{name} is of layout {x.layout}; it must be a dense tensor. Take x.to_dense().")
        if (x.is_floating_point() or x.is_complex()) and kind(x) not in FLOATS:
            raise TypeError(
                f"{name} is of type {kind(x)}; it must be {' or '.join(FLOATS)}. Convert it: x.float() or x.double()."
            )


# %% [markdown]
# A call computes in one precision. Torch would convert silently to the larger of two; a circuit of which
# half is rounded to seven digits is a mistake that one wants to hear of. And a call computes in one
# place: the tensors have to be on one device, which JAX has as well.


# %%
def one_precision(named: Mapping[str, Tensor]) -> str:
    """The floating-point type that all tensors share which have one."""
    found = {kind(x): name for name, x in named.items() if x.is_floating_point()}
    if len(found) > 1:
        raise TypeError(
            f"{found[FLOATS[0]]} and {found[FLOATS[1]]} are of types {' and '.join(FLOATS)}; a call computes in one precision. "
            "Convert them: x.double()."
        )
    if not found:
        raise TypeError(
            f"the arguments have {len(named)} tensors and no floating-point number, of which the type says in which precision to compute. "
            "Give one: x.double()."
        )
    return next(iter(found))


def one_device(named: Mapping[str, Tensor]) -> None:
    """Refuse tensors on several devices, or on one that JAX does not have."""
    found = {str(x.device): x.device.type for x in named.values()}
    if len(found) > 1:
        raise ValueError(
            f"the arguments are on {' and '.join(found)}; they must be on one device. Move them: x.to({next(iter(found))!r})."
        )
    for device, platform in found.items():
        try:
            jax.devices(platform)
        except RuntimeError:
            raise ValueError(
                f"a tensor is on {device}, which JAX does not have; its default here is {jax.default_backend()}. Move the tensor: "
                "x.cpu(), or install JAX for that device."
            ) from None


# %% [markdown]
# ## Forward and backward, compiled
#
# The way forward returns the results $y = f(x)$, and with them the *pullback*: a function that takes the
# derivatives of the loss with respect to the results, and returns those with respect to the arguments,
#
# $$
# \frac{\partial L}{\partial y} \mapsto
# \left(\frac{\partial y}{\partial x}\right)^T \frac{\partial L}{\partial y} = \frac{\partial L}{\partial x} .
# $$ (eq-pullback)
#
# It holds what it needs of the way forward, for a circuit the checkpoints of its {term}`adjoint`. A
# pullback is a pytree, that is, arrays and a description of what to do with them; so one compiled
# function can return it and another one take it. Both ways are compiled once for each arrangement and
# shape of the arguments, each choice of those to be differentiated (`wanted`), and each precision.
#
# Only floating-point results have a derivative. The others pass beside the differentiated part
# (`has_aux`), since JAX would ask for derivatives of a special type for them.


# %%
class Compiled(NamedTuple):
    """Both ways of a function."""

    forward: Callable[..., tuple[Any, Any]]  # arrangement of the arguments, wanted, arrays ↦ results, pullback
    backward: Callable[
        [Any, list[Array]], list[Array]
    ]  # pullback, derivatives by floating results ↦ by the wanted arrays


def differentiable(y: Array) -> bool:
    """Whether a result has a derivative."""
    if jnp.iscomplexobj(y):
        raise TypeError(f"a result is of type {y.dtype}; results must be real. Return its real and imaginary parts.")
    return bool(jnp.issubdtype(y.dtype, jnp.floating))


def compiled(f: Callable[..., Any]) -> Compiled:
    """Both ways of a function of JAX arrays."""

    def forward(tree: Any, wanted: tuple[bool, ...], arrays: list[Array]) -> tuple[Any, Any]:
        def of(chosen: list[Array]) -> tuple[list[Array], Any]:
            rest = iter(chosen)
            leaves = [next(rest) if w else x for w, x in zip(wanted, arrays, strict=True)]
            results = jax.tree.map(jnp.asarray, f(*jax.tree.unflatten(tree, leaves)))
            return [y for y in jax.tree.leaves(results) if differentiable(y)], results

        _, pullback, results = jax.vjp(of, [x for w, x in zip(wanted, arrays, strict=True) if w], has_aux=True)
        return results, pullback

    def backward(pullback: Any, slopes: list[Array]) -> list[Array]:
        return list(pullback(slopes)[0])

    return Compiled(jax.jit(forward, static_argnums=(0, 1)), jax.jit(backward))


# %% [markdown]
# A call goes to JAX with tensors and comes back with tensors. Backward it may run in another thread,
# which torch chooses, so that it sets the precision again. `block_until_ready` is the first of the three
# rules: JAX computes in the background, and would still read an input that torch is already changing.


# %%
@dataclass
class Call:
    """One call of a function of JAX."""

    name: str  # of the function
    ways: Compiled
    tree: Any  # arrangement of the arguments
    wanted: tuple[bool, ...]  # whether to differentiate with respect to a tensor
    dtype: str  # precision
    results: Any = None  # their arrangement, once known

    def forward(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Any]:
        """Results, and the pullback."""
        with precision(self.dtype):
            run = self.ways.forward(self.tree, self.wanted, [to_jax(x) for x in tensors])
            results, pullback = jax.block_until_ready(run)
            leaves, self.results = jax.tree.flatten(results)
            return [from_jax(y) for y in leaves], pullback

    def backward(self, pullback: Any, slopes: Sequence[Tensor]) -> list[Tensor | None]:
        """Derivatives with respect to each tensor, None where not wanted."""
        with precision(self.dtype):
            run = self.ways.backward(pullback, [to_jax(x) for x in slopes])
            found = iter([from_jax(x) for x in jax.block_until_ready(run)])
        return [next(found) if w else None for w in self.wanted]


# %% [markdown]
# ## As a function of torch
#
# Torch wants a class derived from one of its own, with these two directions. It is made when it is first
# needed. `save_for_backward` is the second rule: what is registered there is watched, and a change in
# place before the way back is an error. Results of whole numbers are marked as having no derivative.


# %%
@cache
def crossing() -> Any:
    """The class through which torch's automatic differentiation calls JAX."""
    torch = load_torch()

    class Crossing(torch.autograd.Function):  # type: ignore[name-defined, misc]
        @staticmethod
        def forward(ctx: Any, call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
            results, ctx.pullback = call.forward(tensors)
            ctx.call, ctx.real = call, [y.is_floating_point() for y in results]
            ctx.save_for_backward(*tensors)
            ctx.mark_non_differentiable(*(y for y, real in zip(results, ctx.real, strict=True) if not real))
            return tuple(results)

        @staticmethod
        def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
            inputs = ctx.saved_tensors  # torch raises an error here if one was changed
            found = ctx.call.backward(ctx.pullback, [x for x, real in zip(slopes, ctx.real, strict=True) if real])
            return (None, *(once(ctx.call.name, found, (*slopes, *inputs)) if torch.is_grad_enabled() else found))

    return Crossing


# %% [markdown]
# What JAX returns on the way back, torch cannot differentiate again. Where torch keeps track of the way
# back (`create_graph=True`), the derivatives are therefore tied to everything on which they depend, by a
# function that raises an error if someone asks for a second derivative; without it, torch would take them
# for constants, and a loss with a penalty on its gradient would be minimized as if that penalty were not
# there.


# %%
@cache
def refusal() -> Any:
    """The class of a function that cannot be differentiated: its first arguments, tied to all of them."""
    torch = load_torch()

    class Refusal(torch.autograd.Function):  # type: ignore[name-defined, misc]
        @staticmethod
        def forward(ctx: Any, name: str, n: int, *tensors: Tensor) -> tuple[Tensor, ...]:
            ctx.name = name
            return tuple(x.clone() for x in tensors[:n])

        @staticmethod
        def backward(ctx: Any, *_: Tensor) -> None:
            raise RuntimeError(
                f"a second derivative of {ctx.name} is asked for; what to_torch returns has first derivatives only. Differentiate once in "
                "JAX and once in torch: to_torch(jax.grad(f))."
            )

    return Refusal


def once(name: str, found: Sequence[Tensor | None], origin: Sequence[Tensor]) -> list[Tensor | None]:
    """The derivatives found, with an error in place of their own derivatives; origin: what they depend on."""
    some = [x for x in found if x is not None]
    tied = iter(refusal().apply(name, len(some), *some, *origin))
    return [None if x is None else next(tied) for x in found]


# %% [markdown]
# `to_torch` puts it together: names and checks, precision, then the crossing, and at the end the results
# in the containers that the function gave them. With `torch.no_grad()` nothing is wanted, and the way
# back is not even prepared.


# %%
def to_torch(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of JAX arrays as one of torch tensors, with its derivatives.

    f: a pure function of arrays, or of containers of arrays, that JAX can trace and differentiate in reverse mode;
    its results may come in containers, too. Wrap it in `jax.vmap` for batches. The new function takes tensors in the
    same places, all floating-point ones of float32 or of float64, on one device that JAX has, and returns tensors
    there. Results of whole numbers and truth values have no derivative. The first call with new shapes compiles. Where f
    is called in both precisions, it must say in which to take a NumPy array that it closes over (`jnp.asarray(a, x.dtype)`):
    JAX may otherwise take it in the one that it saw first.
    Raises ImportError without torch, TypeError if f is no function; the new function raises TypeError for arguments
    that are no such tensors, ValueError for their devices, and RuntimeError for a second derivative.
    """
    torch = load_torch()
    if not callable(f):
        raise TypeError(f"f is {f!r}; it must be a function of JAX arrays, such as jnp.tanh. Pass the function itself.")
    ways, name = compiled(f), getattr(f, "__name__", repr(f))

    @wraps(f)
    def call(*args: Any) -> Any:
        named, tree = named_leaves(f, args)
        all_tensors(named)
        one_device(named)
        wanted = tuple(torch.is_grad_enabled() and x.requires_grad for x in named.values())
        this = Call(name, ways, tree, wanted, one_precision(named))
        results = crossing().apply(this, *named.values())
        return jax.tree.unflatten(this.results, results)

    return call


# %% [markdown]
# ## Modules
#
# In a module of torch, the numbers to be fitted are *parameters*. Conductances, resistances and time
# constants are positive and differ by orders of magnitude; the optimizer moves their natural logarithms,
# unless told not to,
#
# $$
# θ = \ln g, \qquad \frac{\partial L}{\partial θ} = g\, \frac{\partial L}{\partial g} .
# $$ (eq-log-parameter)
#
# So they stay positive whatever the optimizer does, and one learning rate fits all: a step of 0.1 is a
# factor of 1.1. All other numbers are their own coordinates.


# %%
def coordinate(name: str, x: np.ndarray, log: bool) -> np.ndarray:
    """x or its logarithm."""
    if not np.isfinite(x).all():
        raise ValueError(f"{name!r} starts at {x[~np.isfinite(x)].flat[0]}; a start must be finite. Give another one.")
    if log and (x <= 0).any():
        raise ValueError(
            f"{name!r} starts at {x.min():g}; its logarithm is the parameter, so it must be positive. Give a small positive start, or say "
            "log=False."
        )
    return np.asarray(np.log(x) if log else x)


# %% [markdown]
# An input is in nA and depolarizes. It may have up to three axes, of a batch, of steps, and of cells, and
# comes from outside, where it may be the output of a layer that has gone wrong; so it is looked at in
# each call.


# %%
def input_tensor(I_ext: Any) -> Any:
    """An input of cells, as it is: a finite tensor of at most three axes, or none."""
    if I_ext is None:
        return None
    all_tensors({"I_ext": I_ext})
    if kind(I_ext) == "bool":
        raise TypeError(
            "I_ext has truth values; it must have numbers, in nA. Convert it where that is meant: x.double()."
        )
    if I_ext.ndim > 3:
        raise ValueError(
            f"I_ext has shape {tuple(I_ext.shape)}; it must be (), (cell,), (step, cell) or (batch, step, cell), in nA. Flatten it."
        )
    all_finite({"I_ext": I_ext}, "Fill the gap, with 0 for no input.")
    return I_ext


def all_finite(named: Mapping[str, Tensor], cure: str) -> None:
    """Refuse tensors with numbers that are not finite."""
    for name, x in named.items():
        if x.device.type != "meta" and x.is_floating_point() and not x.isfinite().all():
            raise ValueError(
                f"{name} contains {x[~x.isfinite()].flatten()[0].item()}; all of it must be finite. {cure}"
            )


# %% [markdown]
# `Numbers` is the half that both modules share. Coordinates are what torch sees, under the numbers' own
# names; `values` is what the simulation gets, and what one looks at. Torch refuses dots in names, since
# it joins the names of nested modules by them.


# %%
class Numbers:
    """Named numbers as the parameters of a module."""

    coordinates: Any  # torch.nn.ParameterDict, what the optimizer moves, by name
    logarithmic: frozenset[str]  # names of those whose coordinate is the natural logarithm
    register_buffer: Any  # a method of torch.nn.Module

    def hold(self, starts: Mapping[str, np.ndarray], logarithmic: Collection[str], dtype: str) -> None:
        """Make parameters that start there."""
        torch = load_torch()
        if not starts:
            raise ValueError("there are 0 numbers to be fitted; a module needs one at least. Name one.")
        if dotted := [n for n in starts if "." in n]:
            raise ValueError(
                f"the name {dotted[0]!r} has a dot, which torch refuses in names of parameters. Rename the population."
            )
        self.logarithmic = frozenset(logarithmic)
        x = {n: coordinate(n, x, n in self.logarithmic) for n, x in starts.items()}
        self.coordinates = torch.nn.ParameterDict(
            {n: torch.nn.Parameter(torch.tensor(y, dtype=getattr(torch, dtype))) for n, y in x.items()}
        )

    def values(self) -> dict[str, Tensor]:
        """The numbers in their own units, by name; differentiable. Raises ValueError where one is not finite."""
        found = {n: x.exp() if n in self.logarithmic else x for n, x in self.coordinates.items()}
        all_finite(found, "The optimizer has left what the model allows: take smaller steps, or clip the gradient.")
        return found


# %% [markdown]
# A number with a leading axis, or an input with one, is a batch: the simulation is vectorized over it.
# What has no such axis is shared by all, and its derivative is the sum over the batch. `rank` is the
# number of axes that a value has without a batch: none for the number of a circuit, one for those of a
# layer of cells.


# %%
def in_batches(f: Callable[[dict[str, Any], Any], Any], rank: int) -> Callable[[dict[str, Any], Any], Any]:
    """f(values, I), vectorized over a leading axis of all values with more than `rank` axes, and of I with more than two."""

    def run(values: dict[str, Any], I_ext: Any) -> Any:
        long = {n: x.ndim > rank for n, x in values.items()} | {"I_ext": I_ext is not None and I_ext.ndim > 2}
        lengths = {n: len(x) for n, x in (values | {"I_ext": I_ext}).items() if long[n]}
        if not lengths:
            return f(values, I_ext)
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"the batch has the sizes {lengths}; they must be equal. Give one value for each element of the batch."
            )
        axes = {n: 0 if x else None for n, x in long.items()}
        return jax.vmap(f, in_axes=({n: axes[n] for n in values}, axes["I_ext"]))(values, I_ext)

    return run


# %% [markdown]
# ### A circuit
#
# The parameters of a `CircuitModule` are numbers of a model by the names of the
# [chapter on names](parameters.py), and its result is what the model does: a `Prinz2004`, a `Network`, or
# a `Cell`, which counts as a network of one. All else stays as it is in the model, the start included. A
# batch may have a different start of the search in each of its places, as in the first fit above.


# %%
def circuit_starts(model: Any, names: Any) -> dict[str, np.ndarray]:
    """Where the numbers start, () or (batch,) each; those of the model where only the names are given."""
    if isinstance(names, str):
        raise TypeError(f"names is {names!r}, a single name; it must be a list of names. Say names=[{names!r}].")
    known, where = parameters(model), places(model.params)
    check_names(checks.names("names", names, "['LP Na']"), known)
    starts = {n: checks.numbers(n, names[n] if isinstance(names, Mapping) else known[n]) for n in names}
    for n, x in starts.items():
        if x.ndim > 1:
            raise ValueError(
                f"{n!r} starts at an array of shape {x.shape}; it must be a number, or (batch,). Flatten it."
            )
        if not x.size:
            raise ValueError(
                f"{n!r} starts at an array of shape {x.shape}, a batch of nothing; it must have one number at least. Fill it."
            )
        for value in x[np.isfinite(x)].flat:
            checked_value(n, where[n], float(value))
    return starts


# %% [markdown]
# The module compiles nothing when it is made. What it closes over, the model's other numbers and the
# start, is written as NumPy arrays in the precision of the call, since JAX may remember an array in the
# precision in which it saw it first. An `output` of the potentials, such as soft features, is computed by
# JAX inside of the same compiled function, so that the trajectory need not cross.


# %%
class CircuitForm(Numbers):
    """A circuit as a module of torch: `module()` simulates it, `module.values()` has its numbers.

    model: a `Prinz2004`, a `Network` or a `Cell`; names: of `parameters(model)`, or a mapping from them to starts, () or (batch,), in their units.
    t: (time,) ms, equally spaced at whole steps from 0. output: a JAX function of times (time,) ms and potentials
    (time, cell) mV, such as `soft_features.soft_features`; by default the potentials themselves. log: whether conductances are
    moved in their logarithm. state: start, by default that of the model's own runs. solver, dt (ms): as in `simulate_with_adjoint`. The
    precision is at first that of the model, then that of the parameters (`module.float()`). Save it by its `state_dict()`.
    Raises ImportError without torch, and ValueError or TypeError for what cannot be used.
    """

    def __init__(
        self, model: Any, names: Sequence[str] | Mapping[str, Any], t: Any, output: Callable[[Array, Array], Any] | None = None, *,
        log: bool = True, state: State | None = None, solver: str = DEFAULT_SOLVER, dt: float = DEFAULT_DT,
    ) -> None:  # fmt: skip
        super().__init__()
        model = model_of(model)
        t, starts, log = checks.times(t, 0.0), circuit_starts(model, names), checks.truth("log", log)
        dt = checks.scheme(solver, dt, SCHEMES, fixed=True)
        checks.on_steps(t, 0.0, dt, grid_of(t, 0.0, dt)[1] is None)
        if output is not None:
            checks.function("output", output, "lambda t, V: V.mean()")
        start = start_of(model, state, solver=solver, dt=dt)
        where = places(model.params)
        self.hold(starts, [n for n in starts if log and where[n].conducts], model.dtype)

        def run(values: dict[str, Any], I_ext: Any) -> Any:
            dtype = next(iter(values.values())).dtype
            params, state = jax.tree.map(lambda x: np.array(x, dtype), (model.params, start))  # see `to_torch`
            V = simulate_with_adjoint(with_values(params, values), state, t, I_ext, solver=solver, dt=dt).V
            return V if output is None else output(jnp.asarray(t, V.dtype), V)

        self.run = to_torch(in_batches(run, rank=0))

    def forward(self, I_ext: Tensor | None = None) -> Any:
        """Potentials (time, cell) in mV, or the output, with a leading axis for a batch.

        I_ext: nA, depolarizing; a tensor (), (cell,), (step, cell), or (batch, step, cell). Raises ValueError for numbers or
        currents that are not finite.
        """
        return self.run(self.values(), input_tensor(I_ext))


# %% [markdown]
# ### Integrate-and-fire cells
#
# A `LIFModule` returns potentials and spikes; the derivative of the spikes is the surrogate's. A layer of
# a network that spikes is this module behind a linear one. Runs at the same times share one compiled
# function, whichever module asks for it: the cells' parameters are arguments.


# %%
@lru_cache
def lif_run(size: int, times: tuple[float, ...], dt: float, spike: Spike) -> Callable[..., Any]:
    """The simulation of cells as a function of torch: values, I ↦ V, spikes."""

    def run(values: dict[str, Any], I_ext: Any) -> tuple[Array, Array]:
        params, none = Params(**values), np.zeros(size)
        start = LIFState(jnp.broadcast_to(params.V_rest, (size,)), none, none)
        y = simulate_lif(params, start, np.array(times), I_ext, dt=dt, spike=spike)
        return y.V, y.spikes

    return to_torch(in_batches(run, rank=1))


# %% [markdown]
# All six parameters are checked as those of a `LIF` are, by making one. Those that are not learned become
# buffers of the module: they are saved with it, and follow it to another precision, but no optimizer
# moves them.


# %%
def lif_starts(size: int, cells: Mapping[str, Any], dtype: str | None) -> tuple[dict[str, np.ndarray], str]:
    """All parameters, (), (size,) or (batch, size) each, after the checks of `LIF`; and the precision."""
    for name in cells:
        checks.choice("a parameter", name, Params._fields)
    values = {n: checks.numbers(n, x) for n, x in (Params()._asdict() | dict(cells)).items()}
    try:
        every = dict(zip(values, np.broadcast_arrays(*values.values(), np.zeros(size)), strict=False))
    except ValueError:
        shapes = {n: x.shape for n, x in values.items() if x.ndim}
        raise ValueError(
            f"the parameters have the shapes {shapes}; each must be a number, ({size},) or (batch, {size}). Give one of these."
        ) from None
    return values, LIF(every["τ"].size, **{n: x.ravel() for n, x in every.items()}, dtype=dtype).dtype


# %% [markdown]
# The times are given with each call, since a layer may be run for as long as its input lasts; each new
# set of times compiles.


# %%
class LIFForm(Numbers):
    """Integrate-and-fire cells as a module of torch: `V, spikes = module(t, I_ext)`.

    size: number of cells. learn: names of `lif.Params` to be fitted. cells: the parameters as in `LIF`, or (batch, size) each;
    those that are not fitted are buffers of the module. surrogate: the threshold with its derivative, such as `superspike(1.0)`.
    log: whether τ and R are moved in their logarithm. dt: step, ms. dtype: "float64" or "float32", at first.
    Raises ImportError without torch, and ValueError or TypeError for what cannot be used.
    """

    def __init__(
        self, size: int, learn: Sequence[str] = ("τ",), *, surrogate: Spike = SURROGATE, log: bool = True, dt: float = LIF_DT,
        dtype: str | None = None, **cells: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size, self.surrogate = checks.count("size", size, checks.MAX_STEPS), surrogate
        checks.memory(f"{self.size:,} cells", checks.BYTES_PER_CELL * self.size)
        log, learn = checks.truth("log", log), checks.names("learn", learn, "['τ']")
        values, dtype = lif_starts(self.size, cells, dtype)
        self.dt = check_step(dt, values["τ"])
        check_elementwise("surrogate", surrogate)
        for name in learn:
            checks.choice("a name in learn", name, Params._fields)
        self.hold({n: values[n] for n in learn}, [n for n in learn if log and n in POSITIVE], dtype)
        self.fixed = {n for n in values if n not in learn}
        torch: Any = load_torch()
        for name in self.fixed:
            self.register_buffer(name, torch.tensor(values[name], dtype=getattr(torch, dtype)))

    def forward(self, t: Any, I_ext: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Potentials (mV), and spikes since the time before, each (time, cell), with a leading axis for a batch.

        t: (time,) ms, increasing, from 0; each new t compiles. I_ext: nA, depolarizing; a tensor (), (cell,), (step, cell) at the
        steps k dt, or (batch, step, cell).
        """
        times = tuple(checks.times(t, 0.0).tolist())
        values = self.values() | {n: getattr(self, n) for n in self.fixed}
        return lif_run(self.size, times, self.dt, self.surrogate)(values, input_tensor(I_ext))


# %% [markdown]
# The modules derive from `torch.nn.Module`, and are therefore made when their names are first looked up.
# A function `__getattr__` of a module of Python is called for names that it does not have yet.

# %%
FORMS = {"CircuitModule": CircuitForm, "LIFModule": LIFForm}


def __getattr__(name: str) -> Any:
    """`CircuitModule` and `LIFModule`, the forms above as modules of torch."""
    if name not in FORMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    form = FORMS[name]
    made = type(name, (form, load_torch().nn.Module), {"__module__": __name__, "__doc__": form.__doc__})
    return globals().setdefault(name, made)


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-torch-by-hand
# The cell at the top relaxes from −65 mV to $V_\mathrm{rest} + R I$ with $R$ = 10 MΩ. Find both of its
# derivatives by hand. For which currents do they hold?
# ```
#
# ```{solution-start} ex-torch-by-hand
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# time, fade = 15.0, np.exp(-15.0 / 20.0)
# by_hand = -10 * 1.2 * time / 20.0**2 * fade, 10 * (1 - fade)
# assert np.allclose(by_hand, expected, rtol=1e-9)
# [round(float(x), 4) for x in by_hand]

# %% [markdown]
# $V = V_\mathrm{rest} + R I (1 - e^{-t/τ})$, so that $\partial V/\partial I = R (1 - e^{-t/τ})$ and
# $\partial V/\partial τ = -R I\, (t/τ^2)\, e^{-t/τ}$. They hold as long as the cell has not fired. With
# 1.2 nA it is at −58.7 mV after 15 ms, below its threshold.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-torch-log
# In the first fit the conductance starts at 0.005 and 0.02 mS/cm², and Adam has the learning rate 0.1.
# Where is each after the first step?
# ```
#
# ```{solution-start} ex-torch-log
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# first_step = np.array(found[0]) / [0.005, 0.02]
# assert np.allclose(np.log(first_step), [0.1, -0.1], atol=1e-4)
# first_step.round(3)

# %% [markdown]
# The first step of Adam has the length of the learning rate in each coordinate, whatever the gradient,
# and here the coordinate is the logarithm: factors of $e^{0.1}$ and $e^{-0.1}$. Without the logarithm a
# step of 0.1 would be ten times the conductance itself.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-torch-memory
# A tensor is lent to JAX by `to_jax`, and afterwards changed in place. What does JAX see? Which of the
# three rules is there to prevent it?
# ```
#
# ```{solution-start} ex-torch-memory
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# ours = torch.zeros(4, dtype=torch.float64)
# with precision():
#     theirs = to_jax(ours)
#     ours += 1
#     seen = np.array(theirs)
# assert (seen == 1).all()
# seen

# %% [markdown]
# The change: there is one memory only. JAX takes its arrays for constants and would go on with other
# numbers than it started with. Within a call the first rule prevents it, and between the way forward and
# the way back the second; a bare `to_jax` leaves it to its user.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-torch-twice
# Torch is asked for the second derivative of the potential by $τ$. Find a way around the refusal, and
# compare with the formula of the first exercise.
# ```
#
# ```{solution-start} ex-torch-twice
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# by_τ = to_torch(jax.grad(potential))
# again = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
# by_τ(again, torch.tensor(1.2, dtype=torch.float64)).backward()
# second = 10 * 1.2 * fade * time / 20.0**3 * (2 - time / 20.0)
# assert np.isclose(again.grad.item(), second, rtol=1e-9)
# again.grad.item()

# %% [markdown]
# Once in JAX and once in torch. Differentiating $-R I\, t\, τ^{-2} e^{-t/τ}$ gives
# $R I\, t\, τ^{-3} (2 - t/τ)\, e^{-t/τ}$, positive here: a slower cell is lower, and the slower it is the
# less does a millisecond matter.
# ```{solution-end}
# ```
