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
# # Temperature
#
# The crab's circuit works in a cold sea and in a warm pool. What does warmth do to its rhythm? Ten degrees
# speed up every channel, each by its own factor, and all the same the {term}`pyloric rhythm` of the living
# animal keeps its shape. Below, the circuit of the paper is brought from 7 to 25 °C.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import panel as pn
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# hv.opts.defaults(hv.opts.Curve(width=680, height=170, line_width=1.2), hv.opts.Layout(shared_axes=False, toolbar=None))

# %% tags=["active-ipynb"]
# from ..config import find_circuit
# from ..prinz2004 import Prinz2004
# from .temperature import TYPICAL, at_temperature, caplan, sweep_temperature
#
# circuit = Prinz2004.from_toml(find_circuit("paper"))
# warmth = sweep_temperature(circuit)

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "The circuit at 7 to 25 °C: frequency, and the phase at which each cell's burst begins and ends.", "name": "fig-temperature"}}
# curve = lambda c, x, label: hv.Curve((warmth.index, warmth[c, x]), "T (°C)", label, label=c)
# frequency = hv.Overlay([curve(c, "frequency", "frequency (Hz)") for c in circuit.labels]).opts(show_legend=False)
# phases = hv.Overlay([curve(c, x, "phase") for c in circuit.labels for x in ("start", "end")])
# (frequency + phases.opts(legend_position="right")).opts(hv.opts.Curve(width=330, height=240)).cols(2)

# %% [markdown]
# The rhythm goes from 0.45 Hz at 7 °C to 1.35 Hz at 22 °C and 1.62 Hz at 25 °C, and stays triphasic. Its
# {term}`phases <phase>` move by up to 0.12 of the cycle. The crab's frequency grows fourfold from 7 to 23
# °C, by a factor of about 2.3 with each 10 °C, and its phases stay {cite:p}`Tang2010`. The model's factor
# is 2.1.
#
# How much of that was put in? One number was: all rates grow by 2 with 10 °C, which is a usual value. But
# that they all do so *alike* is a strong choice. With other factors it is another rhythm, or none:
#
# - With `keeps_influx`, explained below, the circuit has 1.11 Hz at 22 °C, and no rhythm at 25 °C.
# - Of four sets with a random factor for each process, as `caplan` draws them with the seeds 0 to 3, none
#   has the whole rhythm at 16 °C, and only one has it at 7 °C.
#
# That is the riddle of the field. The animal's factors are *not* alike, they were measured between 1.8 and
# 4 in LP {cite:p}`Tang2010`, and yet the rhythm stays. {cite:t}`Caplan2014` drew 125,000 random sets; about
# one in nine worked for at least half of their six circuits, and none for all six.
#
# ## What it does
#
# | function | result |
# |---|---|
# | `at_temperature(model, T)` | a model of the same kind, at `T` °C |
# | `sweep_temperature(model, temperatures)` | a table: frequency (Hz), and the phases at which bursts begin and end |
# | `warm(params, T)` | the numbers of a model at `T`, as a pure function |
# | `TYPICAL`, `caplan(seed)`, `Q10s(...)` | sets of factors: the usual ones, random ones, your own |
#
# The model at another temperature is a model like any other. It can be clamped, fitted and saved, and it
# knows its temperature: to go to 20 °C twice is to go there once, and the way back leads to where it began.
# Only rates, conductances and the Nernst slope change. The real rhythm falls apart above some 23 °C; that
# is no prediction of this model.

# %%
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from ..engine import checks
from ..engine.kinetics import together
from ..models.channels import divided, faster
from ..models.networks import CELSIUS, Kinetic, celsius, model_of, start_of
from ..prinz2004 import (
    DEFAULT_DT,
    DEFAULT_SOLVER,
    MS_PER_S,
    Channel,
    Circuit,
    Membrane,
    Params,
    Transmitter,
    precision,
    simulate,
)
from ..rhythm import begun, bursts, mean_phase, period, spikes
from .protocols import allocated, milliseconds

__all__ = ["DIFFUSION", "TYPICAL", "Q10s", "at_temperature", "caplan", "sweep_temperature", "warm"]

# %% [markdown]
# ## Factors of growth
#
# Every model knows at which temperature $T_0$ it holds: a circuit of the first chapter at 10 °C, a cell at
# its `temperature`. With 10 °C more a rate grows by the factor $Q_{10}$, so at the temperature $T$
#
# $$
# τ_x(T) = τ_x\, Q_{10}^{-(T - T_0)/10}, \qquad \bar g(T) = \bar g\, Q_{10}^{(T - T_0)/10}, \qquad γ(T) = γ\, \frac{T}{T_0},
# $$ (eq-q10)
#
# each process with its own $Q_{10}$, and the Nernst slope $γ = RT/2F$ with the absolute temperature. That
# last factor is small: from 10 to 20 °C, 283 to 293 K, $γ$ grows by 3.5%, and the reversal potential of
# calcium with it.
#
# Why should a rate grow by a *factor*? To open, a gate has to cross a barrier of energy $E_a$, and the
# share of molecules that have this energy is $e^{-E_a/RT}$. With $E_a$ = 50 kJ/mol, the size of many such
# barriers, 20 instead of 10 °C mean twice as many. Ions that diffuse through an open pore meet a low
# barrier, and so conductances grow by less; here by 1.6.
#
# A channel, a synapse or a pool of calcium whose own $Q_{10}$ is known, such as the channels of
# {cite:t}`HodgkinHuxley1952`, keeps it, unless it is named. All others take those of the set that is given.
#
# The pump of calcium works faster, too: $τ_{Ca}$ falls. What a steady current keeps in the cell, $f$ per
# nA, stays as it is in the codes of {cite:t}`Caplan2014` and {cite:t}`AlonsoMarder2020`, so that calcium
# enters faster, too. With `keeps_influx` each nA brings in as much calcium per ms as before, and less of it
# stays. Which of the two holds in the animal we do not know; the figures above show that it matters.
#
# {cite:t}`Tang2010` measured values between 1.8 and 4 in LP. {cite:t}`Caplan2014` drew those of activation,
# of inactivation and of the calcium pump at random between 1 and 4, 125,000 times, with 1.6, that of
# diffusion, for all conductances. `caplan(seed)` draws such a set. `TYPICAL` has 2 for all rates, their
# default where they vary only two of them, and 1.6 for conductances. (The sets of
# {cite:t}`AlonsoMarder2020` belong to conductances of their own, and are not here.)


# %%
class Q10s(NamedTuple):
    """Factors of growth with 10 °C, of channels and synapses whose own is not known.

    Each is a number for all of these, or a mapping from names to numbers, 1 for those left out. A name in it goes
    before the component's own.
    """

    m: Any = 1.0  # rate of activation, by channel
    h: Any = 1.0  # rate of inactivation, by channel
    g: Any = 1.0  # maximal conductance, by channel
    synapse: Any = 1.0  # rate, by kind
    gs: Any = 1.0  # synaptic conductance, by kind
    ge: float = 1.0  # gap junctions
    calcium: float = 1.0  # rate of the pump
    keeps_influx: bool = (
        False  # whether a warmer pump leaves less calcium in the cell, f/τ_Ca as before; else f is as before
    )


DIFFUSION = 1.6  # of conductances, Caplan et al. (2014)
RATES = (1.0, 4.0)  # range of the others, there
TYPICAL = Q10s(m=2.0, h=2.0, g=DIFFUSION, synapse=2.0, gs=DIFFUSION, ge=DIFFUSION, calcium=2.0)


def caplan(seed: int, channels: Sequence[str] = ("Na", "CaT", "CaS", "A", "KCa", "Kd", "H")) -> Q10s:
    """A random set as Caplan et al. (2014) drew theirs; synapses, which they had none of, are typical."""
    names = checks.names("channels", channels, "['Na', 'Kd']")
    draw = np.random.default_rng(checks.count("seed", seed, least=0)).uniform
    m, h = ({c: float(draw(*RATES)) for c in names} for _ in range(2))
    return TYPICAL._replace(m=m, h=h, calcium=float(draw(*RATES)))


# %% [markdown]
# Whose factor holds? One named in a mapping goes before the component's own, and that before the number for
# all. A mapping leaves those that it does not name as they are: `Q10s(m={"Na": 3})` warms the activation of
# sodium and nothing else, which is how one asks what a single process does.


# %%
def factor(q10: Any, name: str, own: float | None, x: Any) -> Any:
    """Growth of something named over 10x °C; own: its own Q10, if that is known."""
    if isinstance(q10, Mapping) and (name in q10 or own is None):
        return q10.get(name, 1.0) ** x
    return (q10 if own is None else own) ** x


def own_q10(part: Any, what: str) -> Any:
    """The Q10 that a channel or a kind of synapse knows of its "rate" or its conductance "g", or None."""
    q10 = getattr(part, "q10", None)
    return q10 and getattr(q10, what)


# %% [markdown]
# ## A warmer circuit
#
# Temperature changes numbers of the circuit and nothing else. So it may be a *traced* number itself, one
# that JAX does not know yet when it compiles: a sweep over temperatures is a batch, and one can
# differentiate with respect to $T$.
#
# A channel gets faster gates: both curves stay, $τ$ is divided. A membrane gets faster channels, a steeper
# Nernst slope and a faster pump. The new membrane says that it holds at $T$, so that the next change of
# temperature starts from there.


# %%
def warm_channel(c: Channel, q: Q10s, x: Any) -> Channel:
    """A channel at a temperature higher by 10x °C, without its density; those of its source are not usual there."""
    own = own_q10(c, "rate")
    return c._replace(m=faster(c.m, factor(q.m, c.name, own, x)), h=faster(c.h, factor(q.h, c.name, own, x)), source="")


def warm_membrane(membrane: Membrane, q: Q10s, T: Any) -> Membrane:
    """A membrane at the temperature T (°C), without its densities."""
    x, c = (T - membrane.temperature) / 10, membrane.constants
    pump = factor(q.calcium, "", membrane.pump, x) if membrane.pool else 1.0
    γ = c.γ * (T + CELSIUS) / (membrane.temperature + CELSIUS)
    constants = c._replace(γ=γ, τ_Ca=c.τ_Ca / pump, f=c.f / pump if q.keeps_influx else c.f)
    return membrane._replace(
        channels=tuple(warm_channel(c, q, x) for c in membrane.channels), constants=constants, temperature=T
    )


# %% [markdown]
# A graded synapse has one rate, $k_-$, which sets its time constant; a kinetic synapse is an equation whose
# right-hand side grows as a whole. Which temperature does a synapse have? That of the cell before it, since
# the rate is one of its transmitter. Where cells hold at different temperatures, a kind of synapse becomes
# one kind for each of them: the same transmitter at 10 and at 20 °C is two, as far as the equations are
# concerned.


# %%
def warm_kind(kind: Any, q: Q10s, x: Any) -> Any:
    """A kind of synapse at a temperature higher by 10x °C, without its conductance."""
    by = factor(q.synapse, kind.name, own_q10(kind, "rate"), x)
    if isinstance(kind, Transmitter):
        return kind._replace(k=kind.k * by)
    if isinstance(kind, Kinetic):
        return kind._replace(rate=divided(kind.rate, 1 / by))
    return kind._replace(s=faster(kind.s, by))


def temperatures(circuit: Circuit) -> list[Any]:
    """Temperature (°C) of each population."""
    return [circuit.membranes[p.membrane].temperature for p in circuit.populations]


def by_temperature(
    circuit: Circuit, kinds: Sequence[Any], used: Sequence[tuple[int, int]]
) -> tuple[list[tuple[int, Any]], list[int]]:
    """(kind, °C), each kind at each temperature of its cells; and which of these each synapse is of.

    used: (kind, presynaptic population) of each. A kind without a synapse has the temperature of the first cells.
    """
    at, found = temperatures(circuit), list[tuple[int, Any]]()
    for i in range(len(kinds)):
        mine = [(kind, at[pre]) for kind, pre in used if kind == i] or [(i, at[0])]
        found += [pair for n, pair in enumerate(mine) if pair not in mine[:n]]
    return found, [found.index((kind, at[pre])) for kind, pre in used]


def graded_kinds(circuit: Circuit) -> tuple[list[tuple[int, Any]], list[int]]:
    """`by_temperature` of the graded synapses."""
    return by_temperature(circuit, circuit.transmitters, [(s.transmitter, s.pre) for s in circuit.synapses])


# %% [markdown]
# The circuit is then put together again: same cells, same connections, warmer membranes and kinds.


# %%
def warm_circuit(circuit: Circuit, q: Q10s, T: Any) -> Circuit:
    """A circuit at the temperature T (°C), without its conductances."""
    transmitters, graded = graded_kinds(circuit)
    kinds, own = by_temperature(circuit, circuit.kinds, [(kind, pre) for pre, _, kind in circuit.kinetic])
    at_T = lambda known, pairs: tuple(warm_kind(known[i], q, (T - T_i) / 10) for i, T_i in pairs)  # noqa: E731
    return circuit._replace(
        membranes=tuple(warm_membrane(m, q, T) for m in circuit.membranes),
        transmitters=at_T(circuit.transmitters, transmitters),
        synapses=tuple(s._replace(transmitter=i) for s, i in zip(circuit.synapses, graded, strict=True)),
        kinds=at_T(circuit.kinds, kinds),
        kinetic=tuple((pre, post, i) for (pre, post, _), i in zip(circuit.kinetic, own, strict=True)),
    )


# %% [markdown]
# Conductances are numbers of the `Params`, and each grows by the factor of its channel, its synapse or its
# gap junction. That they are brought into one array is what the two small functions are for: $T$ may be a
# number or a batch of them, and then each factor has an axis more. A channel that a membrane lacks has a
# place in the table that is filled with 0, and a factor of 1 there.


# %%
def beside(factors: Sequence[Any], T: Any) -> Any:
    """Factors as one array, each with the axes of T."""
    return together([jnp.broadcast_to(f, np.shape(T)) if np.ndim(T) else f for f in factors])


def grown(g: Any, factors: Any) -> Any:
    """Conductances times their factors of growth, of all or of each."""
    g = jnp.asarray(g)
    return g * jnp.asarray(factors, g.dtype) if g.size else g


def warm(params: Params, T: Any, q10: Q10s = TYPICAL) -> Params:
    """The numbers of a model at the temperature T (°C), {eq}`eq-q10`; pure, and T may be traced."""
    c, T = params.circuit, T if isinstance(T, jax.core.Tracer) else celsius("T", T)
    x = [(T - T_i) / 10 for T_i in temperatures(c)]
    of_kind = lambda kind, pre: factor(q10.gs, kind.name, own_q10(kind, "g"), x[pre])  # noqa: E731
    densities = []
    for x_i, population in zip(x, c.populations, strict=True):
        channels = c.membranes[population.membrane].channels
        known = [factor(q10.g, channel.name, own_q10(channel, "g"), x_i) for channel in channels]
        densities.append(beside(known + [1.0] * (np.shape(params.g)[1] - len(known)), T))
    graded = beside([of_kind(c.transmitters[s.transmitter], s.pre) for s in c.synapses], T)
    own = beside([of_kind(c.kinds[kind], pre) for pre, _, kind in c.kinetic], T)
    each = np.ndim(params.ge) > np.ndim(T)  # gap junction
    ge = grown(params.ge, beside([q10.ge ** x[a] for a, _ in c.junctions], T) if each else q10.ge ** x[0])
    g, gs = grown(params.g, together(densities)), grown(params.gs, graded)
    return Params(g, gs, ge, warm_circuit(c, q10, T), grown(params.gz, own))


# %% [markdown]
# A $Q_{10}$ of 0.5 or of 30 would be unusual, and probably a rate constant or an activation energy was
# meant: outside of 0.2 to 20 there is a warning. Names that the circuit does not have are refused, since a
# factor for a channel that is spelled wrong would have no effect, and nobody would notice.

# %%
LEAST_Q10, LARGEST_Q10 = 0.2, 20.0


def check_factor(what: str, x: Any) -> None:
    """A factor of growth with 10 °C; warns of unusual ones."""
    if not LEAST_Q10 <= checks.positive(what, x, "1") <= LARGEST_Q10:
        checks.warn(
            f"{what} is {x:g}; those of rates and conductances are about 1 to 5. Give the factor of growth with 10 °C."
        )


def check_q10s(circuit: Circuit, q10: Q10s) -> None:
    """Raises ValueError for Q10s of channels and synapses that a circuit does not have, or that are not positive."""
    channels = {c.name for m in circuit.membranes for c in m.channels}
    kinds = {k.name for k in (*circuit.transmitters, *circuit.kinds)}
    known = {"m": channels, "h": channels, "g": channels, "synapse": kinds, "gs": kinds}
    checks.of_type("q10", q10, Q10s, "a set of Q10s, such as TYPICAL or Q10s(m=2, h=2)")
    checks.truth("keeps_influx", q10.keeps_influx)
    for field, value in q10._asdict().items():
        if field in known and isinstance(value, Mapping):
            for name, x in value.items():
                check_factor(f"the Q10 {field} {name}", x)
                checks.choice(f"a name in the Q10s of {field}", name, known[field])
        elif isinstance(value, Mapping):
            raise TypeError(
                f"the Q10 {field} is {value!r}; it must be one number, since it has no parts with names. Give that."
            )
        elif field != "keeps_influx":
            check_factor(f"the Q10 {field}", value)


# %% [markdown]
# The new model is computed in double precision, whatever the model runs in: the numbers go to the equations
# of another model, and should not have been rounded twice on the way there and back.


# %%
def at_temperature(model: Any, T: float, q10: Q10s = TYPICAL) -> Any:
    """A model of the same kind at the temperature T (°C); a cell becomes a network of one.

    `Cell.warmed` and `Network.warmed` are this.

    Raises ValueError for unknown names and for temperatures that are none of a preparation, and warns (UserWarning)
    of unusual ones.
    """
    model = model_of(model)
    check_q10s(model.circuit, q10)
    with precision("float64"):
        return model.like(jax.tree.map(np.asarray, warm(model.params, T, q10)))


# %% [markdown]
# ## A sweep
#
# The rhythm is measured as in the [chapter on rhythms](../rhythm.py): {term}`bursts <burst>` from spikes,
# the period from the beginnings of bursts, and phases as the mean place of a burst's beginning and end in
# the cycle of the first cell that bursts. Bursts that were going on when the recording began have no
# beginning, and are left out.

# %%
EVERY = 0.25  # ms, between two samples


def rhythm_of(t: np.ndarray, V: np.ndarray, names: Sequence[str]) -> dict[tuple[str, str], float]:
    """Frequency and phases of each cell, from potentials (time, cell)."""
    found = [begun(bursts(spikes(t, x)), (t[0], t[-1])) for x in V.T]
    cycles = next((b[:, 0] for b in found if len(b) > 1), np.empty(0))
    row = dict[tuple[str, str], float]()
    for name, b in zip(names, found, strict=True):
        row[name, "frequency"] = MS_PER_S / period(b[:, 0])[0]
        row[name, "start"], row[name, "end"] = (mean_phase(b[:, i], cycles) for i in (0, 1))
    return row


# %% [markdown]
# `sweep_temperature` runs the rhythm at all temperatures side by side, each from the same start. The start
# is a state of the cold model: potentials and gates have no temperature, and where they are wrong for the
# warm one they are forgotten within the transient of two seconds. Sampled every 0.25 ms, a spike of the
# warmest circuit still has some samples.


# %%
def sweep_temperature(
    model: Any, temperatures: Any = tuple(range(7, 26, 3)), q10: Q10s = TYPICAL, *, duration: float = 8000.0,
    transient: float = 2000.0,
    state: Any = None, dt: float = DEFAULT_DT,
) -> pd.DataFrame:  # fmt: skip
    """Rhythm at temperatures (°C); index T, columns (cell, "frequency" in Hz, "start", "end"); NaN without bursts.

    Raises ValueError or TypeError on bad input.
    """
    checks.recording(milliseconds("duration", duration), transient)
    model, dt = model_of(model), checks.scheme(DEFAULT_SOLVER, dt, (DEFAULT_SOLVER,))
    check_q10s(model.circuit, q10)
    T = np.array([celsius("a temperature", x) for x in checks.levels("temperatures", temperatures, "°C")])
    allocated(
        f"a sweep of {len(T):,} temperatures for {duration:g} ms",
        len(T) * (duration - transient) / EVERY * len(model.rows),
    )
    start, t = start_of(model, state), np.arange(transient, duration, EVERY)
    start = start._replace(s=start.s[:, [i for i, _ in graded_kinds(model.circuit)[0]]])  # of the warmed kinds
    with precision(model.dtype):
        one = lambda T: simulate(warm(model.params, T, q10), start, t, dt=dt).V  # noqa: E731
        V = np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(T)))
    sizes = {p.label: p.size for p in model.circuit.populations}
    names = [" ".join(map(str, cell)) if sizes[cell[0]] > 1 else cell[0] for cell in model.cells]
    rows = [rhythm_of(t, x, names) for x in V]
    columns = pd.MultiIndex.from_tuples(rows[0], names=["cell", "feature"])
    return pd.DataFrame([list(row.values()) for row in rows], pd.Index(T, name="T"), columns)


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-pace
# By which factor does the isolated pacemaker AB/PD 2 speed up with 10 °C? Compare 10 and 20 °C.
# ```
#
# ```{solution-start} ex-pace
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# import numpy as np
#
# from ..rhythm import summary
#
# lonely = Prinz2004({"AB/PD 2": 1}, gs={})
# cold, warm_one = (summary(at_temperature(lonely, T)(np.arange(2000, 10000, 0.2))).iloc[0] for T in (10, 20))
# assert 1.9 < cold["period (ms)"] / warm_one["period (ms)"] < 2.1
# cold["period (ms)"] / warm_one["period (ms)"]

# %% [markdown]
# By two, as all of its rates do.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-duty
# And its duty cycle? If *everything* went at double speed, it would stay. What does not?
# ```
#
# ```{solution-start} ex-duty
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# assert warm_one["duty cycle"] < cold["duty cycle"]
# cold["duty cycle"], warm_one["duty cycle"]

# %% [markdown]
# It shrinks. The capacitance is what it was, conductances grow less than rates do, and $RT/F$ changes.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-which-q10
# Which process sets the pace of the isolated pacemaker? Warm one at a time by 10 °C: all activations, all
# inactivations, both gates of CaS alone, the pump of calcium, the conductances. Which of them would you
# have expected to slow the cell down?
# ```
#
# ```{solution-start} ex-which-q10
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# one_at_a_time = {"activation": Q10s(m=2), "inactivation": Q10s(h=2), "CaS": Q10s(m={"CaS": 2}, h={"CaS": 2}),
#                  "pump": Q10s(calcium=2), "conductances": Q10s(g=1.6)}
# speed = {}
# for name, q10 in one_at_a_time.items():
#     paces = sweep_temperature(lonely, [10, 20], q10, duration=12000)["AB/PD 2", "frequency"]
#     speed[name] = paces[20] / paces[10]
# assert max(speed, key=speed.get) == "CaS" and speed["pump"] < 1
# speed

# %% [markdown]
# None of them alone doubles the frequency, but the slow calcium current does more than any whole class: a
# factor of 1.56, against 1.33 by all inactivations together, and 1.16 or so by conductances and
# activations. Its inactivation alone gives 1.27, and its activation alone ends the bursts altogether: the
# factors of single gates do not simply multiply. A faster pump slows the cell down a little, to 0.95: with
# less calcium there is less of the current $I_{KCa}$ that ends the burst, and bursts get longer.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-random-q10
# How robust is the rhythm to the choice of the factors? Draw three random sets as {cite:t}`Caplan2014` did,
# and look whether all three cells of the circuit still burst at 16 °C.
# ```
#
# ```{solution-start} ex-random-q10
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# burst_at_16 = {}
# for seed in range(3):
#     sweep = sweep_temperature(circuit, [10, 16], caplan(seed), duration=6000)
#     burst_at_16[seed] = sweep.xs("frequency", axis=1, level="feature").notna().all(axis=1).loc[16]
# assert not any(burst_at_16.values())
# burst_at_16

# %% [markdown]
# It is not: none of the three has a rhythm six degrees above the temperature at which it was tuned. A
# crab's channels cannot have drawn their factors at random.
# ```{solution-end}
# ```
