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
# # Noise
#
# Cells are noisy: their inputs come from many synapses, and their channels are few and open at random. Both are added here to the cells of any model.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"]
# import numpy as np
#
# from ..models.networks import Cell
# from ..models.channels import HodgkinHuxley1952 as HH
# from .current_clamp import current_clamp
#
# axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
# rest = current_clamp(axon, [500.0], 0).final_state

# %%
from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..engine import checks
from ..engine.junctions import KineticState, contracted
from ..engine.layout import activating, inactivating, split
from ..engine.scale import SYNAPSE
from ..models.channels import whole
from ..models.networks import any_model, model_of
from ..prinz2004 import (
    NS_TO_US,
    Circuit,
    Flows,
    Model,
    Prepared,
    State,
    Working,
    covered_exactly,
    kinetics,
    precision,
    unpack,
)
from .protocols import EDGE, Drive, Setup, allocated, injected, millivolts, plausible, run, set_up

__all__ = ["EXCITATION", "INHIBITION", "OU", "Bombardment", "White", "noisy"]

# %% [markdown]
# ## Currents and conductances
#
# White noise of a current is known by its integral, whose variance grows like $σ^2 t$. A step of length $dt$ gets the mean over the step,
#
# $$
# I_k = \frac{σ}{\sqrt{dt}}\, ξ_k, \qquad ξ_k \sim N(0, 1),
# $$ (eq-white)
#
# so that its power does not depend on $dt$: a passive membrane of conductance $g$ has the variance $σ^2/(2gC)$. The
# Ornstein–Uhlenbeck process has a memory of $τ$, a mean $μ$ and a standard deviation $σ$, and is known from step to step:
#
# $$
# x_{k+1} = μ + (x_k - μ)\, e^{-dt/τ} + σ \sqrt{1 - e^{-2dt/τ}}\; ξ_k.
# $$ (eq-ou)
#
# As a current or as a conductance, cut off at 0, it stands for the input of many synapses {cite:p}`Destexhe2001`. A `Neuron` has no
# conductances of its own: there $g\,(E - V)$ is added to its input, in its units, and an integrate-and-fire cell stays exact in each step. Each cell has its own
# key, made of the seed and its number, and each step its own, made of that and of the number of the step since time 0. A cell has the same noise
# whatever cells or trials run beside it, and a run that is continued goes on with the noise that it would have had.


# %%
def normals(key: Array, k: Array) -> Array:
    """A standard normal number for each step k, (step,)."""
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(key, k), ()))(k)


class White(NamedTuple):
    """White noise, {eq}`eq-white`."""

    σ: float  # nA √ms

    def samples(self, key: Array, first: int, n: int, dt: float) -> Array:
        """Values at n steps from step `first` on, (step,) nA."""
        return self.σ / np.sqrt(dt) * normals(key, first + jnp.arange(n))


class OU(NamedTuple):
    """An Ornstein–Uhlenbeck process, {eq}`eq-ou`, stationary."""

    μ: float  # nA; nS for a conductance
    σ: float  # same unit, standard deviation
    τ: float  # ms

    def later(self, x: Array, ξ: Array, dt: float) -> Array:
        """The distance from the mean, in standard deviations, after a step; ξ: normal."""
        decay = float(np.exp(-dt / self.τ))
        return decay * x + np.sqrt(1 - decay**2) * ξ

    def samples(self, key: Array, first: int, n: int, dt: float) -> Array:
        """Values at n steps from step `first` on, (step,)."""
        ξ = normals(key, jnp.arange(first + n))
        step = lambda x, ξ: (self.later(x, ξ, dt), x)  # noqa: E731
        return self.μ + self.σ * lax.scan(step, ξ[0], jnp.append(ξ[1:], 0.0))[1][first:]


class Bombardment(NamedTuple):
    """A noisy conductance, as of many synapses."""

    g: OU  # nS
    E: float  # mV, reversal potential


EXCITATION = Bombardment(OU(12.1, 3.0, 2.728), 0.0)  # of a cortical cell, Destexhe et al. (2001)
INHIBITION = Bombardment(OU(57.3, 6.6, 10.49), -75.0)


def check_noise(current: Any, conductances: Any, s: Setup) -> None:
    """Refuse what is no noise, and warn where its unit looks mistaken."""
    if isinstance(conductances, (Bombardment, str)) or not isinstance(conductances, Sequence):
        raise TypeError(
            f"conductances is {conductances!r}; it must be a list of Bombardments. Write conductances=[EXCITATION], for example."
        )
    for x in conductances:
        checks.of_type(
            "one of the conductances",
            x,
            Bombardment,
            "a Bombardment such as EXCITATION, or Bombardment(OU(12, 3, 2.7), 0)",
        )
        checks.of_type("g of a Bombardment", x.g, OU, "an OU process, such as OU(12, 3, 2.7)")
        if s.model.own_units:
            checks.number("E of a Bombardment", x.E, "its unit")
            checks.number(
                "μ of a conductance", x.g.μ, "its unit", least=0, cure="Noise inhibits by its reversal potential."
            )
        else:
            millivolts("E of a Bombardment", x.E)
            checks.quantity(
                "μ of a conductance", x.g.μ, SYNAPSE, least=0, cure="Noise inhibits by its reversal potential."
            )
    for x in (*([] if current is None else [current]), *(x.g for x in conductances)):
        check_process(x, s.dt)
    if current is not None or len(conductances):
        allocated(f"noise up to {s.last:g} ms, made from time 0 on,", s.steps[-1] / s.dt * len(s.model.rows))
    sizes = [] if current is None else [current.σ, abs(getattr(current, "μ", 0.0))]
    plausible("the noise", np.full(len(s.model.rows), max(sizes, default=0.0)), s.model)


def check_process(noise: Any, dt: float) -> None:
    """Noise with plausible numbers, for steps of dt (ms)."""
    checks.of_type("the noise", noise, (White, OU), "White(σ) or OU(μ, σ, τ), such as OU(0, 0.5, 10)")
    checks.number("σ", noise.σ, "its unit", least=0)
    if isinstance(noise, OU) and checks.positive("τ", noise.τ, "ms") < dt:
        checks.warn(
            f"τ is {noise.τ:g} ms, shorter than a step of {dt:g} ms; noise without memory is White(σ). If τ is in s, multiply it by 1000."
        )


def noise_of_cells(noise: White | OU, key: Array, s: Setup, number: int) -> Array:
    """Values of one kind of noise, the `number`-th of an experiment, for each cell at the steps, (step + 1, cell)."""
    keys = jax.vmap(lambda cell: jax.random.fold_in(jax.random.fold_in(key, cell), number))(
        jnp.arange(len(s.model.rows))
    )
    return jax.vmap(lambda key: noise.samples(key, first_step(s), len(s.steps), s.dt))(keys).T


def first_step(s: Setup) -> int:
    """Number of the first step of a run since time 0."""
    return round(s.steps[0] / s.dt)


# %% [markdown]
# ## Channels
#
# A membrane has a finite number $N$ of channels of a kind, and each of them opens and closes at random. Its $p$ gates of activation and $q$ of
# inactivation do so one by one: a closed gate opens within a step with the probability $x_∞ (1 - e^{-dt/τ})$, and an open
# one closes with $(1 - x_∞)(1 - e^{-dt/τ})$. A channel conducts while all of its gates are open.
#
# So the state of a membrane is how many channels have $i$ open gates of activation and $j$ of inactivation. These
# numbers form a Markov chain, and here they are just that: binomial random numbers say at each step how many channels go where. (They are drawn
# exactly where few go, and from a rounded normal distribution with the same first three moments where many do.) At constant potential the
# chain is right for steps of any length, and the share of open channels has in the end the mean and the variance
#
# $$
# \bar o = m_∞^p h_∞^q, \qquad σ^2 = \frac{\bar o\, (1 - \bar o)}{N}.
# $$ (eq-open)
#
# Noise of the *gates*, of one $m$ and one $h$ for all channels, would be simpler, and does not give what the channels do
# {cite:p}`Goldwyn2011`. Noise of their states, with one random number for each transition {cite:p}`FoxLu1994`, is an
# approximation for many channels. The chain holds for few, too.
#
# Recorded are the $h$ of all channels together, and an $m$ with which $m^p h^q$ is the share of open channels, so that currents and energies
# follow from them as ever. The numbers themselves are in the state, as `n`, for a run that goes on. Derivatives take the numbers as they came.


# %%
class NoisyState(NamedTuple):
    """A state in which channels are counted; with a leading time axis, a trajectory."""

    V: Any  # (cell,) mV
    Ca: Any  # (cell,) µM
    s: Any  # (cell, transmitter)
    m: Any  # (cell, activating channel); of channels that are counted such that the share m^p h^q is open
    h: Any  # (cell, inactivating channel)
    z: Any  # (cell, kinetic synapse onto the cell), none in most circuits
    n: Any  # (cell, state of a channel) how many channels are in it, the kinds side by side; filled up with 0

    @property
    def plain(self) -> State | KineticState:
        """Without the numbers, for a run without noise."""
        return KineticState(*self[:-1]) if np.shape(self.z)[-1] else State(*self[:-2])


def noisy_state(y: Any, n: Any) -> NoisyState:
    """A state, or a trajectory, with the numbers of channels."""
    return NoisyState(y.V, y.Ca, y.s, y.m, y.h, y.z if isinstance(y, KineticState) else y.s[..., :0], n)


class Kind(NamedTuple):
    """A kind of channel that is counted."""

    membrane: int
    channel: int  # its number in the membrane
    gates: tuple[int, int]  # how many gates of activation and of inactivation it has
    rows: tuple[int | None, int | None]  # of m and h among all gates of the membrane
    cells: np.ndarray  # (cell,) that have it
    place: tuple[Any, Any]  # rows and columns of `NoisyState.n`
    end: int  # the column behind it

    def of(self, x: Sequence[Array]) -> list[Array]:
        """Its m and h from those of all channels, for each membrane (gate, cell); 1 for a gate that it does not have."""
        gates = x[self.membrane]
        return [jnp.ones_like(gates[0]) if i is None else gates[i] for i in self.rows]

    def counts(self, n: Array) -> Array:
        """How many channels of a cell have so many open gates, (cell, open m, open h)."""
        return n[self.place].reshape(-1, *(i + 1 for i in self.gates))


def kinds_of(circuit: Circuit, N: Any) -> list[Kind]:
    """All kinds that are counted; N: as `RandomChannels.N`."""
    found = []
    for i, (membrane, cells, numbers) in enumerate(zip(circuit.membranes, circuit.groups, N, strict=True)):
        m, h = ([c.name for c in names(membrane)] for names in (activating, inactivating))
        place = 0
        for k, (c, number) in enumerate(zip(membrane.channels, numbers, strict=True)):
            if number is not None:
                rows = m.index(c.name) if c.m else None, len(m) + h.index(c.name) if c.h else None
                gates = c.p if c.m else 0, c.q if c.h else 0
                end = place + (gates[0] + 1) * (gates[1] + 1)
                all_alike = len(cells) == len(circuit.rows)
                where = (slice(None), slice(place, end)) if all_alike else (cells[:, None], np.arange(place, end)[None])
                found.append(Kind(i, k, gates, rows, cells, where, end))
                place = end
    return found


@cache
def ways(gates: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """In how many ways of some gates i are open before a step, j after it and l both times, (i, j, l); and how many stay open, close, open
    and stay closed then."""
    i, j, both = np.indices((gates + 1,) * 3)
    some = both, i - both, j - both, gates - i - j + both
    possible = np.all([x >= 0 for x in some], 0)
    fates = tuple(np.where(possible, x, 0) for x in some)
    return (possible * comb(i, fates[0]) * comb(gates - i, fates[2])).astype(float), fates


def moves(gates: int, inf: Array, τ: Array, dt: float) -> Array:
    """Probabilities that of some gates i are open before a step, and j after it, (i, j)."""
    opens, closes = inf * covered_exactly(dt / τ), (1 - inf) * covered_exactly(dt / τ)
    number, fates = ways(gates)
    powers = jnp.arange(gates + 1, dtype=inf.dtype)
    chances = [x**powers for x in (1 - closes, closes, opens, 1 - opens)]
    return (jnp.asarray(number, inf.dtype) * math.prod(x[n] for x, n in zip(chances, fates, strict=True))).sum(-1)


FEW, TERMS = 4.0, 20  # up to that mean the probabilities of 0 to 20 are added up: those of more than 20 are below 1e-8


def binomial(u: Array, n: Array, p: Array) -> Array:
    """How many of n go, each with the chance p, from a uniform number u; all have one shape.

    Where less than `FEW` of them go or stay on average, by the inverse of the distribution function, else from a normal distribution
    with the same mean, variance and skewness, rounded.
    """
    q = jnp.minimum(p, 1 - p)

    def term(k: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        (pmf, cdf, few), k = now, k.astype(n.dtype)
        after = pmf * (n - k) / (k + 1) * q / (1 - q)
        return after, cdf + after, few + jnp.where(u > cdf, 1.0, 0.0)

    none = jnp.exp(n * jnp.log1p(-q))
    few = lax.fori_loop(0, TERMS, term, (none, none, jnp.zeros_like(n)))[2]
    z, skew = jax.scipy.special.ndtri(u), 1 - 2 * q
    variance = n * q * (1 - q) - 1 / 12 - skew**2 / 18  # without what rounding and skewness add
    many = jnp.floor(n * q + 0.5 + jnp.sqrt(jnp.maximum(variance, 0)) * z + skew * (z * z - 1) / 6)
    found = jnp.clip(jnp.where(n * q < FEW, few, many), 0, n)
    return jnp.where(p > 0.5, n - found, found)


def scattered(key: Array, n: Array, chances: Array) -> Array:
    """How many channels are in each state after a step, (other, j); n: (other, i) before it, chances: (i, j)."""
    if n.shape[1] == 1:
        return n

    def to_one(now: tuple[Array, Array], x: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (left, rest), (u, chance) = now, x
        moved = binomial(u, left, jnp.broadcast_to(jnp.clip(chance / jnp.maximum(rest, TINY), 0, 1), left.shape))
        return (left - moved, rest - chance), moved.sum(1)

    u = jax.random.uniform(key, (n.shape[1] - 1, *n.shape), n.dtype)
    (left, _), found = lax.scan(to_one, (n, jnp.ones_like(n[0])), (u, chances[:, :-1].T))
    return jnp.concatenate([found, left.sum(1)[None]]).T


TINY = 1e-30


def random_step(key: Array, n: Array, m: Sequence[Array], h: Sequence[Array], dt: float) -> Array:
    """The channels of a cell after a step of length dt (ms), (open m, open h); m, h: x∞ and τ (ms) of a gate."""
    first, second = jax.random.split(key)
    n = scattered(first, n.T, moves(n.shape[0] - 1, m[0], m[1], dt)).T
    return scattered(second, n, moves(n.shape[1] - 1, h[0], h[1], dt))


def comb(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Binomial coefficients."""
    return np.vectorize(math.comb)(n, np.minimum(k, n))


class Counted(NamedTuple):
    """The state of a run in which channels are counted."""

    y: Working
    n: tuple[Array, ...]  # of each kind, as `Kind.counts`


START = 2**32 - 1  # in the place of a cell's number, for the keys with which channels are drawn at the start


class RandomChannels(NamedTuple):
    """Channels of which a cell has a finite number: a pytree, for `Drive.channels`."""

    N: Any  # for each membrane, for each of its channels, (cell,) how many a cell has, or None without noise
    key: Any
    first: Any = 0  # steps from time 0 to the start of the run

    def check(self, circuit: Circuit) -> None:
        """Refuse numbers that do not belong to the channels of a circuit."""
        wanted = [[(len(cells),)] * len(m.channels) for m, cells in zip(circuit.membranes, circuit.groups, strict=True)]
        found = [[None if x is None else np.shape(x) for x in numbers] for numbers in self.N]
        if len(found) != len(wanted) or any(
            len(a) != len(b) or not {*a} <= {None, *b} for a, b in zip(found, wanted, strict=True)
        ):
            raise ValueError(
                f"N has the shapes {found}; it must be {wanted}, or None for channels without noise. See numbers_of_channels."
            )

    def joined(
        self, circuit: Circuit, p: Prepared, f: Flows, y: Working, n: Any, dt: float
    ) -> tuple[Flows, Counted, Callable[[Counted], Any]]:
        """Flows with random channels around those of a circuit, their start, and what is recorded; n: of an earlier run, or None."""
        kinds = kinds_of(circuit, self.N)
        stepped = lambda now, y, V, k: with_random_steps(circuit, kinds, self, Counted(y, now.n), V, k, dt)  # noqa: E731
        around = Flows(
            charge=lambda now, k, h: now._replace(y=f.charge(now.y, k, h)),
            relax=lambda now, k: stepped(now, f.relax(now.y, k), contracted(p.gap, now.y.V)[0], k),
            close=lambda now, k: now._replace(y=f.close(now.y, k)),
            euler=lambda now, k: stepped(now, f.euler(now.y, k), now.y.V, k),
        )
        seen = lambda now: noisy_state(unpack(circuit, now.y), as_array(len(y.V), kinds, now.n))  # noqa: E731
        return around, drawn(kinds, self, y, n), seen

    def keys(self, kind: Kind, key: Any, k: Any) -> Array:
        """The keys for a kind of channel in all cells that have it, for the step k of a run, from one of all cells."""
        of_cell = lambda cell: jax.random.fold_in(jax.random.fold_in(key, cell), self.first + k)  # noqa: E731
        return jax.vmap(lambda cell: jax.random.fold_in(of_cell(cell), kind.channel))(jnp.asarray(kind.cells))


def as_array(cells: int, kinds: Sequence[Kind], counts: Sequence[Array]) -> Array:
    """The channels of all kinds as in `NoisyState.n`."""
    n = jnp.zeros((cells, max(kind.end for kind in kinds)), counts[0].dtype)
    for kind, x in zip(kinds, counts, strict=True):
        n = n.at[kind.place].set(x.reshape(len(x), -1))
    return n


def with_random_steps(
    circuit: Circuit, kinds: Sequence[Kind], c: RandomChannels, now: Counted, V: Array, k: Any, dt: float
) -> Counted:
    """The channels after step k, at the potentials V (mV), and their gates with them."""
    parts, after = zip(circuit.membranes, split(circuit, V), split(circuit, now.y.Ca), strict=True), []
    targets = [tuple(kinetics(circuit, *part))[1] for part in parts]
    inf, τ = (lax.stop_gradient([x[i] for x in targets]) for i in (0, 1))
    for kind, n in zip(kinds, now.n, strict=True):
        m, h = zip(kind.of(inf), kind.of(τ), strict=True)
        after.append(jax.vmap(partial(random_step, dt=dt))(c.keys(kind, c.key, k), n, m, h))
    return with_gates(kinds, Counted(now.y, tuple(after)))


def with_gates(kinds: Sequence[Kind], now: Counted) -> Counted:
    """The gates that channels have together, with m such that m^p h^q of them are open."""
    x = list(now.y.x)
    for kind, n in zip(kinds, now.n, strict=True):
        opened, available, all_ = n[:, -1, -1], n[:, :, -1].sum(1), n.sum((1, 2))
        shares = opened / jnp.maximum(available, 1), available / all_
        for i, gates, share in zip(kind.rows, kind.gates, shares, strict=True):
            if i is not None:
                x[kind.membrane] = x[kind.membrane].at[i].set(share ** (1 / gates))
    return Counted(now.y._replace(x=tuple(x)), now.n)


def drawn(kinds: Sequence[Kind], c: RandomChannels, y: Working, old: Any) -> Counted:
    """The start of a run: channels drawn from the gates, or the old ones where the gates are theirs."""
    fresh = []
    for kind in kinds:
        some = [(x, jnp.ones_like(x)) for x in lax.stop_gradient(kind.of(y.x))]
        N = jnp.asarray(c.N[kind.membrane][kind.channel], y.V.dtype)
        closed = jnp.zeros((len(kind.cells), *(i + 1 for i in kind.gates)), N.dtype).at[:, 0, 0].set(N)
        keys = c.keys(kind, jax.random.fold_in(c.key, START), 0)
        fresh.append(jax.vmap(partial(random_step, dt=jnp.inf))(keys, closed, *some))
    if old is not None and old.shape[-1] == max(kind.end for kind in kinds):
        fresh = gone_on(kinds, y, fresh, [kind.counts(jnp.asarray(old, y.V.dtype)) for kind in kinds])
    return with_gates(kinds, Counted(y, tuple(fresh)))


def gone_on(kinds: Sequence[Kind], y: Working, fresh: Sequence[Array], old: Sequence[Array]) -> list[Array]:
    """The old channels of the cells in which they are as many as asked for and have the gates of the state, else the fresh ones."""
    theirs, found = with_gates(kinds, Counted(y, tuple(old))).y.x, []
    for kind, a, b in zip(kinds, old, fresh, strict=True):
        same = a.sum((1, 2)) == b.sum((1, 2))
        for x, wanted in zip(kind.of(theirs), kind.of(y.x), strict=True):
            same &= jnp.abs(x - wanted) < EDGE
        found.append(jnp.where(same[:, None, None], a, b))
    return found


def numbers_of_channels(model: Model, channels: Mapping[str, float]) -> tuple[tuple[np.ndarray | None, ...], ...]:
    """`RandomChannels.N`: for each membrane, for each of its channels, (cell,) the number in a cell, or None where none is given."""
    circuit, gated = model.circuit, lambda c: c.m or c.h
    most, rule = 2.0 ** np.finfo(model.dtype).nmant, "a mapping from names to numbers, such as {'Na': 6000, 'K': 1800}"
    checks.of_type("channels", channels, Mapping, rule)
    for name, n in channels.items():
        checks.choice("a channel with noise", name, {c.name for m in circuit.membranes for c in m.channels if gated(c)})
        n = whole(f"the number of {name!r} channels", n, least=1)
        if n > most:
            raise ValueError(
                f"the number of {name!r} channels is {n:g}; at most {most:g} can be counted. Leave it out: there is no noise."
            )
    given = lambda c, cells: np.full(len(cells), float(channels[c.name])) if c.name in channels and gated(c) else None  # noqa: E731
    return tuple(
        tuple(given(c, cells) for c in m.channels) for m, cells in zip(circuit.membranes, circuit.groups, strict=True)
    )


# %% [markdown]
# ## A noisy run


# %%
def noisy(
    model: Any, t: Any, *, current: White | OU | None = None, conductances: Sequence[Bombardment] = (),
    channels: Mapping[str, float] | None = None, seed: int = 0, I_ext: Any = None, state: Any = None, dt: float | None = None, t0: float = 0.0,
) -> Any:  # fmt: skip
    """A result of a model with noise in every cell.

    current: into each cell. conductances: fluctuating inputs, in nS, or for a `Neuron` in its units. channels: name -> number in a cell,
    for channels that open at random; states are then `NoisyState`s. seed: a whole number; the noise of a cell depends on it, on the cell's number and on the time only.
    Raises ValueError or TypeError.
    """
    s = set_up(model, t, state, dt, t0, any_model)
    seed = checks.count("seed", seed, 2**32 - 1, least=0)
    check_noise(current, conductances, s)
    N = None if channels is None or channels == {} else numbers_of_channels(model_of(s.model), channels)
    with precision(s.model.dtype):
        key, I, G = jax.random.key(seed), injected(s, I_ext), None
        if current is not None:
            I = I + noise_of_cells(current, key, s, 0)
        for i, x in enumerate(conductances, 1):
            g = jnp.maximum(noise_of_cells(x.g, key, s, i), 0) * (1.0 if s.model.own_units else NS_TO_US)
            G, I = g if G is None else G + g, I + g * x.E
        if N is None:
            return run(s, Drive(I, G))
        counted = RandomChannels(N, jax.random.fold_in(key, len(conductances) + 1), first_step(s))
        start = noisy_state(s.start, state.n) if isinstance(state, NoisyState) else s.start
        return run(s._replace(start=start), Drive(I, G, channels=counted))


# %% [markdown]
# The axon of {cite:t}`HodgkinHuxley1952` has 60 sodium and 18 potassium channels of 20 pS on each µm². So 6,000 and 1,800 channels are those of
# a patch of 100 µm², or $10^{-6}$ cm², which gets a current in proportion. By itself it fires about 10 times per second, a patch of
# 10 µm² about 39 times, as do as many channels of which every gate is simulated by itself. On the whole axon, of 62,800 µm², the noise is too
# weak for that.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "4.8 µA/cm², at which the axon fires once: without noise; patches of 100 and of 2 µm², with 6000 and 1800, and with 120 and 36 channels; and the axon with the synaptic conductances of a cortical cell.", "name": "fig-noise"}}
# times, density = np.arange(0, 400, 0.1), 4.8
# patch = lambda area: Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3, area=area)
# noises = {"no noise": (axon, {}), "100 µm²": (patch(1e-6), dict(channels={"Na": 6000, "K": 1800})), "2 µm²": (patch(2e-8), dict(channels={"Na": 120, "K": 36})),
#           "synaptic conductances": (axon, dict(conductances=[EXCITATION, INHIBITION]))}
# hv.Layout([hv.Curve((times, noisy(cell, times, state=rest, I_ext=density * cell.area * 1000, seed=1, **n).V["cell", 0]), "time (ms)", "V (mV)",
#                     label=name).opts(height=130) for name, (cell, n) in noises.items()]).cols(1)

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-passive-noise
# White noise of what strength moves the potential of a passive cell by a millivolt? Its variance is proportional to the square of the strength.
# ```
#
# ```{solution-start} ex-passive-noise
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from ..models.channels import Prinz2003
#
# passive = Cell([Prinz2003.leak(0.02)], V=-50)
# deviation = lambda σ: float(noisy(passive, np.arange(0, 20000, 0.5), current=White(σ), seed=1).V.iloc[400:, 0].std())
# one, two = deviation(0.1), deviation(0.2)
# assert abs(two / one - 2) < 1e-3
# 0.1 / one  # nA √ms

# %% [markdown]
# The ratio of the two is exactly two, since a passive cell is linear and the seed is the same.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-mean-input
# Noise with a mean is noise and a current. Compare `OU(μ, σ, τ)` with `OU(0, σ, τ)` and a constant current of μ.
# ```
#
# ```{solution-start} ex-mean-input
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# t_noise = np.arange(0, 500, 0.5)
# with_mean = noisy(passive, t_noise, current=OU(0.1, 0.2, 5), seed=2).V
# apart = noisy(passive, t_noise, current=OU(0.0, 0.2, 5), I_ext=0.1, seed=2).V
# assert np.allclose(with_mean, apart, atol=1e-9)

# %% [markdown]
# They are the same.
# ```{solution-end}
# ```
