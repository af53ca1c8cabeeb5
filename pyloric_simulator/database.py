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
# from _notebook import __spec__

# %% [markdown]
# # The 20,250,000 circuits
#
# Must every conductance of a circuit be set to one value for its rhythm to be right? If so, how does an
# animal find that value, and keep it for years while its cells replace their channels all the time?
# {cite:t}`Prinz2004` asked the question of a model. They built all circuits of five {term}`pacemaker`, five
# LP and six PY cells with five or six strengths for each of seven synapses, and found that 20% of them are
# {term}`pyloric-like` and 2.2% {term}`pyloric`: very many, and very different ones. Here are two of them.

# %% tags=["active-ipynb", "remove-cell"]
# import holoviews as hv
# import numpy as np
# import pandas as pd
# import panel as pn
#
# from .book import list_table
# from .config import sample_file
# from .database import AXES, FEATURES, POPULATIONS, SYNAPSES, circuit, interval, load, run, sample, summary
# from .rhythm import CRITERIA, MAX_PERIOD_CV, is_pyloric
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# samples = {"converged": load(sample_file("staggered")), "paper's": load(sample_file("exponential_euler"))}

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Two pyloric circuits. Left: circuit 11,244,334; right: 5,248,112.", "name": "fig-pair"}}
# pair = (11_244_334, 5_248_112)
# one, other = (samples["converged"].loc[n] for n in pair)
# assert max(abs(one[c.name] - other[c.name]) / c.sd for c in CRITERIA) < 0.25
# panels = []
# for n in pair:
#     run_of_pair = circuit(n)(np.arange(4000, 10000, 0.5))
#     assert is_pyloric(circuit(n)(np.arange(4000, 14000, 0.1)))
#     for cell in POPULATIONS:
#         V = run_of_pair.V[cell, 0]
#         curve = hv.Curve((V.index, V), "time (ms)", "V (mV)", label=cell)
#         panels.append(curve.opts(width=335, height=120, line_width=1, yticks=[-60, -20, 20]))
# hv.Layout([x for row in zip(panels[:3], panels[3:]) for x in row]).opts(shared_axes=False, toolbar=None).cols(2)

# %% [markdown]
# This chapter numbers the 20,250,000 circuits, shows what is to be seen in a sample of them, and runs any
# part of them, or circuits of one's own, [in batches](ensembles/batches.py): on all cores, all GPUs or a
# cluster, into a folder that survives interruptions.
#
# ## What the database says
#
# A sample comes with the package, `sample(20480, seed=2004)` run by this chapter's `run`: once with the
# converged equations (staggered, 0.05 ms), and once with the paper's scheme (exponential Euler, 0.025 ms).
# All that follows is read from it. One circuit in a thousand is enough to know fractions to half a percent,
# and it is two files of 1.3 MB instead of a day of computing.
#
# ### Similar activity from different circuits
#
# That is what the title of {cite:t}`Prinz2004` says and Fig. 5 of the paper shows. The two circuits of
# {numref}`fig-pair` have the same rhythm: all fifteen features differ by less than a quarter of what they
# vary among lobsters. They have no cell in common, and three of their synapses differ thirty- to a
# hundredfold.

# %% tags=["active-ipynb", "hide-input"]
# rows = [(name, one[name], other[name]) for name in POPULATIONS]
# rows += [(f"{name} (nS)", f"{one[name]:g}", f"{other[name]:g}") for name in SYNAPSES]
# list_table("What the two circuits consist of.", "tbl-pair", ["", *(f"{n:,}" for n in pair)], rows)

# %% [markdown]
# The differences are not arbitrary. In the circuit on the left PY inhibits LP ten times as much, and PD
# inhibits PY thirty times as much; on the right AB inhibits LP thirty and PY a hundred times as much. Both
# arrive at an LP that begins some 250 ms after the end of the pacemaker's burst, and at a PY that follows
# the end of LP by 15 ms. Different parts that do the same are called {term}`degeneracy`. It means that the
# rhythm alone does not tell what an animal is made of, and that the mean of many animals, cell by cell and
# synapse by synapse, need not be an animal {cite:p}`Golowasch2002`. How such circuits are related, and
# whether a path of equal rhythms leads from one to the other, is a question for
# [derivatives](fitting/curves.py).
#
# ### How many
#
# {cite:t}`Prinz2004` found 4,047,375 pyloric-like circuits (20.0%) and 452,516 pyloric ones (2.2%) in all
# 20,250,000. The classes are those of the chapter [on rhythm](rhythm.py): *pyloric-like* asks for a
# periodic triphasic rhythm in the right order, *pyloric* for all fifteen {term}`criteria <criterion>`
# besides.

# %% tags=["active-ipynb", "hide-input"]
# rows = []
# for name, rows_of in samples.items():
#     for demand, max_cv in (("2%", MAX_PERIOD_CV), ("none", np.inf)):
#         found = summary(rows_of, max_cv).fractions
#         text = [f"{x.fraction:.1%} ({x.low:.1%} to {x.high:.1%})" for x in found.itertuples()]
#         rows.append((name, len(rows_of), demand, *text))
# list_table("Fractions with 95% intervals; the paper has 20.0% and 2.2%.", "tbl-fractions",
#            ["scheme", "circuits", "largest CV of the period", "pyloric-like", "pyloric"], rows)

# %% [markdown]
# The agreement owes much to the demand for a periodic rhythm, whose 2% are ours. Without it some two in a
# hundred circuits more count as pyloric-like, whose rhythms are triphasic and wander. With it, the paper's
# scheme finds the paper's 20.0%, but more pyloric circuits than the paper, by more than chance. The
# converged equations find the paper's 2.2%, and fewer pyloric-like circuits. So two of four intervals
# contain the paper's value, and two do not.
#
# The fractions with the paper's scheme and step hardly differ from those of the converged equations. But
# behind the small difference one circuit in eighteen changes its class, in either direction, and one in a
# hundred does so for *pyloric*; where both agree, the cycles of the paper's scheme are 1% shorter in the
# mean.

# %% tags=["active-ipynb", "hide-input"]
# both = pd.concat({name: rows_of["pyloric_like"] for name, rows_of in samples.items()}, axis=1)
# words = {True: "pyloric-like", False: "not"}
# counts = pd.crosstab(both["converged"].map(words), both["paper's"].map(words))
# list_table("Circuits by scheme: rows are the converged equations, columns the paper's scheme.", "tbl-schemes",
#            ["", *counts], [(row, *map(str, n)) for row, n in zip(counts.index, counts.to_numpy(), strict=True)])

# %% [markdown]
# What of the other four fifths? In 40% of the circuits of the sample the pacemaker has no spike at all: LP
# inhibits it to silence. No circuit without a synapse from LP to AB/PD is among them, 5% of those with 3 nS
# are, 49% of those with 10 nS, and 79% of those with 100 nS. And of the pyloric-like circuits seven in
# eight miss one of the fifteen criteria or more. The column `failed` of a run has a bit for each criterion,
# in the order of `FEATURES`, which is set where the criterion is missed:

# %% tags=["active-ipynb"]
# like = samples["converged"].query("pyloric_like")
# missed = {name: (like["failed"].to_numpy() >> i & 1).mean() for i, name in enumerate(FEATURES)}
# pd.Series(missed, name="share of pyloric-like circuits that miss it").sort_values(ascending=False).round(2).to_frame()

# %% [markdown]
# It is the timing of PY that is hard. More than half of the pyloric-like circuits start it too late or too
# early after the end of LP, while 96% have an accepted period and 99% an accepted gap between the pacemaker
# and LP.
#
# ### What pyloric circuits are made of
#
# How pyloric circuits differ from all, as in Fig. 6 of the paper. None of the 497 in this sample, for
# instance, has more than 3 nS from LP to PY; that leaves at most 0.8% of all that may. The synapses from PY
# to LP and from PD to PY are there in all but a few: 2% and 3% of the pyloric circuits lack them, and a
# fifth and a sixth of all circuits do. The synapse from AB to PY is at the other end: all its strengths are
# about as frequent among the pyloric circuits as among all.

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Share of each cell, and of each strength (nS) of a synapse, among pyloric circuits (bars) and among all (dots).", "name": "fig-shares"}}
# shares = summary(samples["converged"]).parameters
# panels = []
# for name, part in shares.groupby(level=0, sort=False):
#     values = [str(x).split()[-1] if name in POPULATIONS else f"{x:g}" for x in part.index.get_level_values(1)]
#     axis = f"{name} cell" if name in POPULATIONS else f"{name} (nS)"
#     bars = hv.Bars((values, part["pyloric"]), axis, "share")
#     dots = hv.Scatter((values, part["all"]), axis, "share").opts(color="black", size=6)
#     panels.append((bars * dots).opts(width=225, height=190, ylim=(0, 0.6)))
# hv.Layout(panels).opts(shared_axes=False, toolbar=None).cols(3)

# %% [markdown]
# There is no cell that a pyloric circuit must have. Each of the sixteen is found among the 497, the rarest,
# PY 4, in 4% of them, and 127 of the 150 combinations of three cells are. Nor is there a synapse that it
# must have: only 28% of them have all seven. So the single distributions say little about which circuits
# work; what counts is how the numbers go together.
#
# ### Single and double precision
#
# The first 2,048 circuits of the sample, run in double precision as well, give 397 pyloric-like circuits
# instead of 403, and 49 pyloric ones in both. The circuits are not all the same ones: 48 change their class
# *pyloric-like*, 21 one way and 27 the other, and two change *pyloric*. Where rhythms are periodic, single
# precision is enough: their periods differ by $3·10^{-6}$ in the median. Those that change class wander. In
# 26 of the 48 the variation of the period crosses the limit of 2%, seven have a rhythm in one precision
# only, and in the others LP or PY cells fire irregularly under a regular pacemaker. It takes no rounding to
# move them: a shift of all potentials by $10^{-9}$ mV at the start changes the class of 13 in double
# precision. So the class of such a circuit is an accident in any precision, and the fractions are not.
#
# ## What a run does and what it costs
#
# `sample` draws circuits, `table` looks them up by number, `grid` combines values of one's own; `run`
# simulates them and returns the same table with results beside each row. `summary` counts.

# %% tags=["active-ipynb"]
# few = sample(100, seed=1)
# table_of_few = run(few, progress=False)
# assert table_of_few.index.equals(few.index) and summary(table_of_few).fractions.loc["pyloric_like", "count"] > 5
# table_of_few[["AB/PD", "LP", "PY", "cycle_period", "why_cycle_period", "pyloric_like", "pyloric"]].head()

# %% [markdown]
# A row has the ten coordinates of the circuit, its fifteen features in ms and as shares, NaN where one is
# not defined, and a column `why_…` for each with the reason, a number that counts through `rhythm.WHY` (1
# is *silent*). `period_cv` is the coefficient of variation of the period, `cycles_in_order` the share of
# cycles in the right order. No potential is kept; whoever wants to see one takes `circuit(number)` and runs
# that.
#
# By default a run is thirteen seconds long, of which the first three are left out, so that what is measured
# has some six cycles. That is not to be saved on. Of the same hundred circuits 22 are pyloric-like, and
# none if they run for four seconds and the first one is left out: hardly two cycles fit into what remains,
# and a period that is seen once cannot be called regular. The equations are those of the second order
# scheme in single precision. A circuit takes 260,000 steps, and the two cores of `benchmarks/README.md` do
# 52 million steps of a circuit per second in single precision, 18 million in double. So a thousand circuits
# take five seconds, and all 20,250,000 take 28 hours. A circuit takes some 80 bytes in a file, all of them
# 1.7 GB: that is a case for `fill`, which writes a folder and keeps nothing in memory.
#
# The transient is no luxury either: a circuit starts from cells in their own rhythms, which have never met,
# and it is their common rhythm that is asked for. The circuits have one cell of each population and the
# paper's seven synapses. Larger populations, gap junctions between AB and PD, and other models are run by
# [ensembles](ensembles/ensemble.py), with the same engine.
#
# ## Mechanics
#
# What follows is the module itself, in the order in which data flow: numbers become tables, tables become
# batches of conductances, batches become features, and features become fractions.

# %%
from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from .engine import checks
from .engine.scale import DENSITY, SYNAPSE, Scale, suspicion
from .ensembles import batches
from .ensembles import cells as cells
from .ensembles.batches import (
    RUN_FILE,
    Tell,
    Work,
    facts_of,
    interval,
    load,
    local_devices,
    silent,
    status,
    usable_labels,
)
from .ensembles.batches import Z as Z
from .ensembles.lanes import MOST_BYTES, MULTIPLE, Plan, bytes_of, feasible, in_parts, padded
from .prinz2004 import SCHEMES, Prinz2004, State, neuron_models, precision
from .rhythm import FEATURES, MAX_PERIOD_CV, MEAN, WHY, Measures, demanded_order, largest_cv, verdict, within

__all__ = [
    "AXES", "COLUMNS", "MEMBRANE", "PAIRS", "POPULATIONS", "RESULTS", "RUN_FILE", "SIZES", "SYNAPSES", "TOTAL",
    "Summary", "circuit", "conductances", "facts_of", "fill", "grid", "index_of", "interval", "load", "named", "row_of",
    "run", "sample", "status", "summary", "table",
]  # fmt: skip

# %% [markdown]
# ### Circuits and their numbers
#
# A circuit is a row of a table: the names of its three cells, and the strengths of its seven synapses in
# nS. Strengths go up by half a decade: 3, 10, 30 and 100 nS, and none. The three synapses onto PY have 1 nS
# besides (P04, p. 1351), which makes
#
# $$
# \underbrace{5 · 5 · 6}_{\text{cells}} \;·\; \underbrace{5^4}_{\text{onto LP and AB/PD}} \;·\; \underbrace{6^3}_{\text{onto PY}} = 20{,}250{,}000.
# $$ (eq-total)
#
# The number of a circuit counts through all combinations in the order of the columns, the last one fastest,
# as the digits of a clock do. If column $k$ has $n_k$ values, of which the circuit has the $i_k$-th from 0,
# the number is
#
# $$
# N = \sum_{k=1}^{10} i_k \prod_{l=k+1}^{10} n_l .
# $$ (eq-number)
#
# Circuit 0 has the first cell of each kind and no synapse, circuit 1 has 3 nS from PY to LP, and circuit
# 20,249,999 has the last cells and 100 nS everywhere. `MODEL` is one circuit of the database, from which
# all others take everything but their numbers.


# %%
class Axis(NamedTuple):
    """One coordinate of the database."""

    name: str  # column of the table
    values: tuple[Any, ...]  # names of cells, or strengths in nS


POPULATIONS = ("AB/PD", "LP", "PY")
PAIRS = (("AB", "LP"), ("PD", "LP"), ("AB", "PY"), ("PD", "PY"), ("LP", "AB/PD"), ("LP", "PY"), ("PY", "LP"))
SYNAPSES = tuple(f"{pre}-{post}" for pre, post in PAIRS)
STRENGTHS = (0.0, 3.0, 10.0, 30.0, 100.0)  # nS
ONTO_PY = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)  # nS
AXES = tuple(
    Axis(pop, tuple(name for name in neuron_models.index if name.rsplit(" ", 1)[0] == pop)) for pop in POPULATIONS
) + tuple(Axis(name, ONTO_PY if post == "PY" else STRENGTHS) for name, (_, post) in zip(SYNAPSES, PAIRS, strict=True))
SIZES = tuple(len(axis.values) for axis in AXES)
TOTAL = int(np.prod(SIZES))
FIRST = neuron_models.loc[[axis.values[0] for axis in AXES[:3]]]
MODEL = Prinz2004(dict.fromkeys(POPULATIONS, 1), dict.fromkeys(PAIRS, 0.0), FIRST)
MEMBRANE = tuple(f"{pop} {channel}" for pop in POPULATIONS for channel in neuron_models)
COLUMNS = (*POPULATIONS, *MEMBRANE, *SYNAPSES)  # of a table of circuits
UNITS = dict.fromkeys(MEMBRANE, "mS/cm²") | dict.fromkeys(SYNAPSES, "nS")

# %% tags=["active-ipynb"]
# assert TOTAL == 20_250_000
# dict(zip([axis.name for axis in AXES], SIZES))

# %% [markdown]
# ### What is refused
#
# A table says by its columns and labels what it means, and nothing in it is passed over: a column that is
# neither part of a circuit nor a result of `run` is refused, and so are cells of another population. A
# misspelt synapse that was taken for a comment would leave a circuit without it, and nobody would see it in
# a million rows.
#
# The results of a run are known columns, so that its table can be run again, with other options. Numbers
# that would be usual in another unit are warned of: a strongest synapse of 0.1 is unlikely in nS, where the
# paper's go to 100, and would be 100 nS in µS. A density may be up to 300 times larger or smaller than the
# largest that the channel has in the paper's cells; what goes beyond is more often S/cm² than a discovery.

# %%
MEASURED = ("period_cv", "cycles_in_order", "pyloric_like", "pyloric", "failed")
RESULTS = (*FEATURES, *MEASURED, *(f"why_{x}" for x in FEATURES))  # of a run
OTHERS = {"µS": 1e3, "mS": 1e6, "pS": 1e-3}  # 100 nS, the strongest of the database, are 0.1 µS
STRONGEST = SYNAPSE._replace(what="the strongest synapses of circuits", least=0.15, others=OTHERS)
RECORDED = Scale("recordings of rhythms", "ms", 300.0, math.inf, {"s": 1e3, "min": 6e4})
UNUSUAL = 300.0  # times more or less than the largest density of a channel in `neuron_models`

# %% [markdown]
# Numbers must be whole, within the database, and all there. An array with a mask is refused, since NumPy
# would hand out what lies below the mask.


# %%
def numbers_of(indices: Any) -> np.ndarray:
    """Numbers of circuits, as an array (circuit,)."""
    i = np.asarray(indices)
    if i.ndim != 1 or not (i.dtype.kind in "iu" or i.size == 0):
        raise TypeError(
            f"the numbers of circuits are {checks.shown(indices)}; they must be a list or an array of whole numbers, "
            "or a table with a row for each "
            "circuit. Convert them."
        )
    if np.ma.is_masked(indices):
        raise ValueError(
            f"{np.ma.count_masked(indices)} numbers of circuits are masked; all must be there. Leave these out: "
            "numbers.compressed()."
        )
    bad = i[(i < 0) | (i >= TOTAL)]
    if bad.size:
        raise ValueError(f"{bad[0]} is not the number of a circuit; they go from 0 to {TOTAL - 1:,}. Leave it out.")
    return i.astype(np.int64)


# %% [markdown]
# A table names its cells, or gives their 24 densities, or both: `LP` and `LP Na` together are the cell of
# that name with another density of sodium. It comes back with its columns in order and without results, so
# that two tables that mean the same have the same fingerprint, and a folder that was begun with one is
# continued with the other.


# %%
def checked_table(circuits: pd.DataFrame) -> pd.DataFrame:
    """A table of circuits with its columns in order and no results, conductances in double precision."""
    known_columns("the table", circuits, (*COLUMNS, *RESULTS))
    usable_labels(circuits.index, circuits.columns)
    by_name = [pop for pop in POPULATIONS if pop in circuits]
    own = [name for name in MEMBRANE if name in circuits]
    wanted = [*POPULATIONS, *own, *SYNAPSES] if by_name else [*MEMBRANE, *SYNAPSES]
    if missing := [name for name in wanted if name not in circuits]:
        raise ValueError(
            f"the table lacks {checks.listing(missing)}; it needs the cells {checks.listing(POPULATIONS)}, or all 24 "
            "conductances such as "
            f"{MEMBRANE[0]!r}, and all synapses. Add these columns."
        )
    for pop in by_name:
        known_cells(pop, circuits[pop].unique())
    circuits = circuits[wanted].copy()
    for name in (x for x in wanted if x in UNITS):
        circuits[name] = checks.conductances(f"the column {name!r}", circuits[name].to_numpy(), UNITS[name])
    doubt_units(circuits)
    return circuits


# %% [markdown]
# Three looks are taken at it: whether its columns are known, and there once; whether cells are those of
# their population; and whether the sizes of its numbers make sense. Each refusal says which value it was,
# what the rule is, and what to do.


# %%
def known_columns(what: str, names: Iterable[Any], known: Sequence[str]) -> None:
    """Every name is that of a column, and is there once."""
    names = list(names)
    for name in names:
        if name not in known:
            raise ValueError(
                f"{what} has the column {name!r}, which is no part of a circuit.{checks.closest(name, COLUMNS)} "
                "Columns are "
                f"{checks.listing((*POPULATIONS, *SYNAPSES))}, and conductances such as 'LP Na'. Rename it, or drop it."
            )
        if names.count(name) > 1:
            raise ValueError(
                f"{what} has {names.count(name)} columns {name!r}; each must be there once. Drop the others."
            )


def known_cells(population: str, names: Iterable[Any]) -> None:
    """Names of cells of one population of the database."""
    known = AXES[POPULATIONS.index(population)].values
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(
                f"{population!r} has the cell {name!r}; it must be one of "
                f"{checks.listing(known)}.{checks.closest(name, known)} Other cells are "
                f"given by their conductances, in columns such as '{population} Na'."
            )


# %% [markdown]
# The doubt about units looks at the largest of a kind only: weak synapses and low densities are no sign of
# anything, since 0 nS is a usual strength.


# %%
def doubt_units(rows: pd.DataFrame) -> None:
    """Warn of synapses, or of densities, all of which would be usual in another unit."""
    largest = {name: float(rows[name].max()) for name in UNITS if name in rows}
    synapse = max((x for name, x in largest.items() if name in SYNAPSES), default=0.0)
    densities = {
        name: x / neuron_models[name.rsplit(" ", 1)[1]].max() for name, x in largest.items() if name in MEMBRANE
    }
    doubts = [suspicion("the strongest synapse", synapse, STRONGEST)] if synapse else []
    if any(densities.values()):
        name = max(densities, key=lambda name: densities[name])
        usual = largest[name] / densities[name]
        scale = DENSITY._replace(what="the largest ones of this channel", least=usual / UNUSUAL, most=usual * UNUSUAL)
        doubts.append(suspicion(f"the largest {name!r}", largest[name], scale))
    for text in filter(None, doubts):
        checks.warn(f"in the table of circuits {text}")


# %% [markdown]
# ### Tables and numbers
#
# {eq}`eq-number` is what NumPy calls raveling: `np.unravel_index` gives the $i_k$ of many numbers at once,
# and `np.ravel_multi_index` the number of the $i_k$. So a table costs nothing to make, and a run may be
# given numbers, from which each batch makes its rows when its turn comes.


# %%
def table(indices: Any) -> pd.DataFrame:
    """The circuits with some numbers, one row each, (circuit, 10): names of cells and strengths in nS.

    Raises ValueError.
    """
    i = numbers_of(indices)
    columns = zip(AXES, np.unravel_index(i, SIZES), strict=True)
    return pd.DataFrame({a.name: np.array(a.values)[k] for a, k in columns}, index=pd.Index(i, name="index"))


def circuit(index: int, **kwargs: Any) -> Prinz2004:
    """The circuit with a number, 0…20,249,999; kwargs as for `Prinz2004`."""
    row = table([index]).iloc[0]
    return Prinz2004(dict.fromkeys(POPULATIONS, 1), {pair: row[name] for pair, name in zip(PAIRS, SYNAPSES,
    strict=True)}, neuron_models.loc[[row[pop] for pop in POPULATIONS]], **kwargs)  # fmt: skip


# %% [markdown]
# The way back takes a model or a row of a table. Every coordinate must be there and have one of its values:
# a circuit with 5 nS somewhere is a circuit, but none of the database, and has no number.


# %%
def index_of(what: Any) -> int:
    """The number of a circuit: a `Prinz2004`, or a row of a table (any mapping).

    Raises ValueError if it is none of the database, TypeError for others.
    """
    if not isinstance(what, (Prinz2004, Mapping, pd.Series)):
        raise TypeError(
            f"{checks.shown(what)} is no circuit; it must be a Prinz2004 or the row of a table. Take rows.loc[number], "
            "for example."
        )
    row = row_of(what) if isinstance(what, Prinz2004) else dict(what)
    for axis in AXES:
        if axis.name not in row:
            raise ValueError(
                f"the row lacks {axis.name!r}; it has {checks.listing(row)}.{checks.closest(axis.name, map(str, row))} "
                "Add it."
            )
        if row[axis.name] not in axis.values or isinstance(row[axis.name], (bool, np.bool_)):
            raise ValueError(
                f"{axis.name} is {row.get(axis.name)!r}; circuits of the database have {checks.listing(axis.values)}. "
                "Run other circuits as a table of your own."
            )
    return int(np.ravel_multi_index([a.values.index(row[a.name]) for a in AXES], SIZES))


# %% [markdown]
# A model must be made of what the database is made of: one at another temperature, or with other channels,
# has no row. A cell of one's own gives a row with None in its place, from which the densities can be filled
# in.


# %%
def row_of(model: Prinz2004) -> dict[str, Any]:
    """The row of a model.

    None where the database has no such cell. Raises ValueError if its circuit, or what it is made of, is another one.
    """
    checks.of_type("the model", model, Prinz2004, "a Prinz2004")
    pairs = dict(zip(model.synapses, map(float, model.params.gs), strict=True))
    sizes = {p.label: p.size for p in model.circuit.populations}
    if sizes != dict.fromkeys(POPULATIONS, 1) or any(g and pair not in PAIRS for pair, g in pairs.items()):
        raise ValueError(
            f"the circuit has the populations {sizes} and the synapses {list(pairs)}; circuits of the database have "
            "one cell of "
            f"each of {checks.listing(POPULATIONS)} and the synapses {checks.listing(SYNAPSES)}. Simulate it by itself."
        )
    kinds = ("channels", "constants", "transmitters")
    if other := [kind for kind in kinds if getattr(model.circuit, kind) != getattr(MODEL.circuit, kind)]:
        raise ValueError(
            f"the {other[0]} of the circuit are not those of the database, whose circuits have the paper's, at 10 °C. "
            "Simulate it by itself."
        )
    names = {}
    for pop, g in zip(model.labels, np.asarray(model.params.g), strict=True):
        same = [name for name in neuron_models.index if np.array_equal(neuron_models.loc[name], g)]
        names[pop] = same[0] if same else None
    return names | {name: pairs.get(pair, 0.0) for pair, name in zip(PAIRS, SYNAPSES, strict=True)}


# %% [markdown]
# ### Samples and grids
#
# A sample draws numbers at random, each at most once; a larger sample with the same seed begins with the
# smaller one, so that a study can be enlarged without throwing away what has been run. NumPy draws without
# repetition by a method that depends on how many are wanted. So the first 20,480 are always drawn together,
# and a larger sample continues with a random order of all the others.

# %%
AT_ONCE = 20_480  # circuits that are drawn together


def sample(n: int, seed: int) -> pd.DataFrame:
    """n different circuits of the database, drawn at random.

    Those of a smaller n and the same seed are the first of them.

    seed: a whole number from 0. Raises ValueError or TypeError if either is no whole number in its range.
    """
    n, rng = checks.count("n", n, TOTAL), np.random.default_rng(checks.count("seed", seed, least=0))
    first = rng.choice(TOTAL, AT_ONCE, replace=False)
    if n > AT_ONCE:
        others = np.ones(TOTAL, bool)
        others[first] = False
        first = np.concatenate([first, rng.permutation(np.flatnonzero(others))])
    return table(first[:n])


# %% [markdown]
# A grid holds all combinations of some values, of which cells and synapses there may be any: 0, 5 and 20
# nS, say, or densities of sodium. With $k$ values in each of $d$ columns it has $k^d$ rows, more than one
# thinks, so the memory that it would take is compared with what there is before anything is made.


# %%
def grid(values: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """All combinations of values of some columns, numbered from 0; synapses that are not named have 0 nS.

    Columns: "AB/PD", "LP", "PY" (names of cells), single conductances such as "LP Na" (mS/cm²) that take the place of
    the cell's, and synapses such as "AB-LP" (nS). The last column goes through its values fastest. Raises ValueError
    for other names, cells and conductances, TypeError for a value that is no list.
    """
    axes = {name: axis_of(name, x) for name, x in mapping_of("values", values).items()}
    sizes = tuple(map(len, axes.values()))
    n, width = math.prod(sizes), len(axes) + len(SYNAPSES)
    checks.memory(f"a grid of {n:,} circuits", n * 8 * width, "Take fewer values.")
    places = np.unravel_index(np.arange(n), sizes)
    rows = pd.DataFrame({name: x[i] for (name, x), i in zip(axes.items(), places, strict=True)})
    rows = rows.assign(**{name: 0.0 for name in SYNAPSES if name not in rows})
    doubt_units(rows)
    return rows.rename_axis("index")


# %% [markdown]
# Values of a column stand in a list, each once. A single text would be taken apart into its letters, and a
# set has no order, from which the numbers of the rows come; both are refused.


# %%
def mapping_of(what: str, values: Any) -> Mapping[str, Any]:
    """A mapping with one entry at least, whose names are columns of circuits."""
    if not isinstance(values, Mapping) or not values:
        raise TypeError(
            f"{what} is {checks.shown(values)}; it must be a mapping from columns to lists of values. Write "
            f"{{'AB-LP': [0, 10]}}, for example."
        )
    known_columns(what, values, COLUMNS)
    return values


def axis_of(name: str, values: Any) -> np.ndarray:
    """The values of one column of a grid, each once."""
    if isinstance(values, (str, Mapping, set)) or np.ndim(values) != 1 or not len(values):
        example = "LP 1" if name in POPULATIONS else 10.0
        raise TypeError(
            f"{name!r} has the values {checks.shown(values)}; they must be a list of one at least. Write "
            f"{{{name!r}: [{example!r}]}}, for example."
        )
    if name in POPULATIONS:
        known_cells(name, values)
        x = np.array(list(values), object)
    else:
        x = checks.conductances(f"{name!r}", values, UNITS[name])
    if (doubled := pd.Series(x).duplicated()).any():
        raise ValueError(
            f"{name!r} has the value {x[doubled][0]!s} twice; a grid has each circuit once. Remove the second."
        )
    return x


# %% [markdown]
# Both ways lead back to where they began:

# %% tags=["active-ipynb"]
# some = sample(1000, seed=1)
# assert [index_of(row) for row in some.to_dict("records")] == list(some.index)
# assert index_of(circuit(12_345_678)) == 12_345_678
# some.head()

# %% [markdown]
# ### One batch
#
# Cells of the paper start from their thermalized states; others are thermalized in the batch.
# {term}`Thermalization <thermalization>` of sixteen cells is done once, in double precision, and each
# circuit picks its three. It matters because some circuits have two rhythms, and the start decides between
# them: in that of Fig. 3e LP can silence the pacemaker for good.
#
# The options of a run are what decides its results, and the size of its batches, which does not. Only the
# former are among its facts.


# %%
class Options(NamedTuple):
    """How circuits are run."""

    solver: str
    dt: float  # ms
    dtype: str
    duration: float  # ms, what is measured
    transient: float  # ms, what is left out before
    batch: int  # circuits that are computed together

    @property
    def plan(self) -> Plan:
        """For the compiler."""
        return Plan(MODEL.circuit, self.solver, self.dt, self.duration, self.transient, self.dtype)

    @property
    def facts(self) -> dict[str, Any]:
        """Those that decide results; a batch of another size has the same ones."""
        return {name: value for name, value in self._asdict().items() if name != "batch"}


# %% [markdown]
# From names to numbers: densities (circuit, cell, channel) in mS/cm², strengths (circuit, synapse) in nS.
# Where a table has a cell's name and one of its densities, the density wins.


# %%
def named(rows: pd.DataFrame) -> bool:
    """Whether all cells are those of the paper."""
    return all(pop in rows for pop in POPULATIONS) and not any(name in rows for name in MEMBRANE)


def conductances(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Densities (circuit, cell, channel) in mS/cm² and strengths (circuit, synapse) in nS."""
    g = np.empty((len(rows), len(MEMBRANE)))
    if all(pop in rows for pop in POPULATIONS):
        g[:] = np.concatenate([neuron_models.loc[rows[pop]].to_numpy() for pop in POPULATIONS], 1)
    for i, name in enumerate(MEMBRANE):
        if name in rows:
            g[:, i] = rows[name]
    return g.reshape(len(rows), len(POPULATIONS), -1), rows[list(SYNAPSES)].to_numpy(float)


def thermalized_cells(options: Options) -> State:
    """Thermalized states of all cells of `neuron_models`, (cell, …), in double precision."""
    cells = Prinz2004(dict.fromkeys(neuron_models.index, 1), {}, neuron_models, dtype="float64")
    return cells.get_thermalization(solver=options.solver, dt=options.dt)


# %% [markdown]
# All batches have the same number of {term}`lanes <lane>`, and the last one is filled up with its own
# circuits: a batch of another size would be another program to compile, and its rows might round otherwise.
# What is computed twice is thrown away. `in_parts` is the run of the chapter [on
# lanes](ensembles/lanes.py), which stops now and then to tell how far it is.


# %%
def measure_rows(rows: pd.DataFrame, options: Options, cells: State, device: Any, tell: Tell) -> Measures:
    """`Measures` of each circuit, on one device."""
    n, lanes = len(rows), padded(options.batch)
    fill = np.arange(lanes) % n
    g, gs = (x[fill] for x in conductances(rows))
    start = None
    if named(rows):
        which = np.stack([neuron_models.index.get_indexer(pd.Index(rows[pop])) for pop in POPULATIONS], 1)[fill]
        start = State(*(np.asarray(x)[which] for x in cells))
    device = jax.devices()[0] if device is None else device
    with precision("float64"):
        arguments = jax.device_put((g, gs, start), device)
        found = in_parts(options.plan, *arguments, backend=device.platform, tell=tell)
        return Measures(*(np.asarray(x)[:n] for x in found))


# %% [markdown]
# Then the features are classified, and the criteria that failed are written into one whole number of
# fifteen bits, $\sum_i 2^i\,[\text{criterion } i \text{ missed}]$. That takes two bytes in a row, where
# fifteen columns would take fifteen; 0 means that all are met.


# %%
def run_batch(
    rows: pd.DataFrame, options: Options, cells: State, device: Any = None, tell: Tell = silent
) -> pd.DataFrame:
    """The table of one batch: parameters, features, classes, and why not."""
    found = measure_rows(rows, options, cells, device, tell)
    like, pyloric = verdict(found.values, found.cv)
    bits = 1 << np.arange(len(FEATURES))
    data = dict(zip(FEATURES, found.values.T, strict=True))
    data |= {"period_cv": found.cv, "cycles_in_order": found.ordered, "pyloric_like": like, "pyloric": pyloric}
    data |= {"failed": (~within(found.values) @ bits).astype(np.uint16)}
    data |= dict(zip((f"why_{x}" for x in FEATURES), found.why.T.astype(np.uint8), strict=True))
    return pd.concat([rows, pd.DataFrame(data, index=rows.index)], axis=1)


# %% [markdown]
# ### A run
#
# By default circuits run for thirteen seconds, of which the first three are left out, with the second-order
# scheme in single precision. A batch has 2,048 circuits, or fewer where the run is so small that some core
# would have none, or so long that the spikes would fill the memory. Each batch occupies one core, or one
# GPU, and there are as many at a time as there are of these.

# %%
LANES = 2048  # circuits in a batch
DURATION, TRANSIENT = 13_000.0, 3_000.0  # ms, of the whole run and of what is left out at its beginning
SOLVER, DT, DTYPE = "staggered", 0.05, "float32"


def lanes_for(n: int, plan: Plan) -> int:
    """The size of batches for n circuits, less where runs are so long that their spikes would fill the memory."""
    share = padded(min(LANES, -(-n // len(local_devices()))))
    return min(share, max(MOST_BYTES // bytes_of(feasible(plan), 1) // MULTIPLE, 1) * MULTIPLE)


def options_for(
    n: int, duration: Any, transient: Any, solver: Any, dt: Any, dtype: Any, batch_size: Any = None
) -> Options:
    """How n circuits are run, of the arguments of `run`. Raises ValueError or TypeError before anything is compiled."""
    checks.choice("solver", solver, SCHEMES)
    dt = checks.scheme(solver, dt, SCHEMES)
    checks.choice("dtype", dtype, ("float64", "float32"))
    checks.recording(duration, transient)
    checks.doubt("what is recorded", duration - transient, RECORDED)
    options = Options(solver, dt, dtype, float(duration - transient), float(transient), 0)
    lanes = lanes_for(n, options.plan) if batch_size is None else padded(checks.count("batch_size", batch_size, TOTAL))
    feasible(options.plan, lanes)
    return options._replace(batch=lanes)


# %% [markdown]
# What is run is a work of the chapter [on batches](ensembles/batches.py): numbers of circuits, of which a
# batch makes a table when its turn comes, or a table. The demand on the period stands among its facts,
# since it decides the classes, and so does the list of reasons, since a number in a column `why_…` means
# nothing without it. The fingerprint of a range is its text: nobody wants to hash twenty million numbers to
# see that they are all there.


# %%
@dataclass(frozen=True, eq=False)
class Circuits(Work):
    """Circuits, and how they are run."""

    circuits: range | np.ndarray | pd.DataFrame  # numbers of the database, or a table with its columns in order
    options: Options

    what = "circuits"

    @property
    def facts(self) -> dict[str, Any]:
        """What decides the results."""
        return {"max_period_cv": MAX_PERIOD_CV, **self.options.facts, "why": WHY}

    def __len__(self) -> int:
        return len(self.circuits)

    def rows(self, first: int, last: int) -> pd.DataFrame:
        """Some of the circuits, as a table."""
        if isinstance(self.circuits, pd.DataFrame):
            return self.circuits.iloc[first:last]
        return table(self.circuits[first:last])

    def prepared(self) -> batches.Compute:
        """`run_batch` from thermalized cells."""
        return partial(run_batch, options=self.options, cells=thermalized_cells(self.options))

    def fingerprint(self, rows: pd.DataFrame | None = None) -> str:
        """Changes with the circuits."""
        circuits = self.circuits if rows is None else rows
        if isinstance(circuits, range):
            return repr(circuits)
        if isinstance(circuits, np.ndarray):
            return hashlib.sha256(circuits.tobytes()).hexdigest()
        return batches.fingerprint(circuits, column_bytes)


# %% [markdown]
# A table with names is hashed by the places of the names in `neuron_models`, so that no matter how pandas
# keeps its texts, the same circuits have the same fingerprint.


# %%
def column_bytes(x: pd.Series) -> bytes:
    """A column of a table of circuits in numbers."""
    return (neuron_models.index.get_indexer(pd.Index(x)) if x.name in POPULATIONS else x.to_numpy(float)).tobytes()


def circuits_in(what: Any) -> range | np.ndarray | pd.DataFrame:
    """Numbers of the database, or a table of circuits; refuses others, and none."""
    if isinstance(what, range):
        numbers_of([*what[:1], *what[-1:]])
    elif not isinstance(what, pd.DataFrame):
        what = numbers_of(what)
    if not len(what):
        raise ValueError("there are 0 circuits; there must be one at least. Pass a table or numbers of circuits.")
    return checked_table(what) if isinstance(what, pd.DataFrame) else what


def planned(
    circuits: Any, *, duration: Any = DURATION, transient: Any = TRANSIENT, solver: Any = SOLVER, dt: Any = DT,
    dtype: Any = DTYPE, batch_size: Any = None,
) -> Circuits:  # fmt: skip
    """What a run computes, of its arguments. Raises ValueError or TypeError."""
    circuits = circuits_in(circuits)
    return Circuits(circuits, options_for(len(circuits), duration, transient, solver, dt, dtype, batch_size))


# %% [markdown]
# `run` has its results in memory, or in a folder if it is given a path; `fill` only fills the folder.
# `load`, `status` and `facts_of`, which read it, are those of the chapter on batches.


# %%
def run(
    circuits: Any, path: str | os.PathLike[str] | None = None, *, duration: float = DURATION,
    transient: float = TRANSIENT, solver: str = SOLVER, dt: float = DT, dtype: str = DTYPE, engine: Any = "local",
    batch_size: int | None = None, progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """Simulate circuits, measure and classify their rhythms: one row for each, in the order given.

    circuits: numbers of the database (an array, or a range), a table as from `sample`, `table` or `grid`, or one with
    the 24 conductances of `MEMBRANE` (mS/cm²) and the synapses (nS), also one that `run` returned. path: folder for the
    rows, one file a batch; a run that was stopped continues. duration: ms, of which `transient` is left out. engine:
    "local" or a `dask.distributed.Client`. batch_size: circuits computed together. Raises ValueError or TypeError on
    bad input and on a folder that another process writes or that holds another run; a batch that fails is warned of
    and left out, and so is a file of the folder that is damaged or not of this run, whose batch is computed again.
    """
    asked = dict(duration=duration, transient=transient, solver=solver, dt=dt, dtype=dtype, batch_size=batch_size)
    work = planned(circuits, **asked)
    return batches.run(work, path, batch_size=work.options.batch, engine=engine, progress=progress)


def fill(
    circuits: Any, path: str | os.PathLike[str], *, engine: Any = "local", progress: bool = True, **asked: Any
) -> None:
    """`run` into a folder, for runs whose table would not fit into memory; arguments as there."""
    work = planned(circuits, **asked)
    batches.fill(work, path, batch_size=work.options.batch, engine=engine, progress=progress)


# %% [markdown]
# ### Fractions
#
# Of $n$ circuits drawn at random $k$ are pyloric; what does that say about all? The share $p = k/n$ is
# right on average, and its standard deviation is $\sqrt{p(1-p)/n}$. An interval of two of these to either
# side is what one writes down first, and it fails where it is needed most: for $k = 0$ it has no width, as
# if 0 of 497 proved that there are none. The interval of Wilson asks the other way round, which true shares
# would make a count like this one no surprise, and holds for small counts, too:
#
# $$
# \frac{p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}, \qquad z = 1.96.
# $$ (eq-wilson)
#
# For 0 of 497 it goes from 0 to 0.8%, which is where the 0.8% above came from; for 497 of 20,480 from 2.22
# to 2.65%. It is meant for circuits drawn at random: of a grid, or of the whole database, a fraction is
# what it is.

# %% [markdown]
# It is the function `interval` of the chapter [on batches](ensembles/batches.py), which all tables of shares use.
#
# Pyloric circuits differ from all others in what they are made of, so the second half of a summary is the
# share of each cell and of each strength among all circuits and among pyloric ones. Circuits with densities
# of their own have no names to count, and for them it is empty.


# %%
class Summary(NamedTuple):
    """What a run says about its circuits."""

    fractions: pd.DataFrame  # rows pyloric_like and pyloric; columns count, of, fraction, low, high (95%)
    parameters: pd.DataFrame  # index (parameter, value); share of this value among all, and among pyloric circuits


def shares_among(rows: pd.DataFrame, pyloric: np.ndarray) -> pd.DataFrame:
    """The second half of a summary; empty for circuits with conductances of their own."""
    found = {}
    for name in (*POPULATIONS, *SYNAPSES) if named(rows) and set(SYNAPSES) <= set(rows) else ():
        share_of = lambda x: x.value_counts(normalize=True)  # noqa: E731
        both = {"all": share_of(rows[name]).sort_index(), "pyloric": share_of(rows[name][pyloric])}
        found[name] = pd.DataFrame(both).fillna(0.0)
    return pd.concat(found, names=["parameter", "value"]) if found else pd.DataFrame()


# %% [markdown]
# A summary classifies anew, from the features and the variation of the period, so that the same table can
# be judged by another demand, as {numref}`tbl-fractions` does with and without one on the period. Nothing
# has to be simulated again for that.


# %%
def summary(data: Any, max_cv: float = MAX_PERIOD_CV, order: float | str = MEAN) -> Summary:
    """Fractions and distributions (as in P04, Fig. 6) of a table of `run`, or of the path of one.

    max_cv: largest coefficient of variation of the period of a pyloric-like circuit; np.inf asks for no period.
    order: share of its cycles that must be in order; "mean" asks for it of their mean. The attrs of both tables say
    how many "circuits" were asked for and how many are "done". Warns of a run that is not finished. Raises ValueError
    if there are no rows, if columns of results are missing, and for a max_cv or an order that is no share.
    """
    max_cv, share = largest_cv(max_cv), demanded_order(order)
    rows = data if isinstance(data, pd.DataFrame) else load(data)
    if not (n := len(rows)):
        raise ValueError("there are 0 circuits to sum up; there must be one at least. Run some of them first.")
    of = asked_for(data, n)
    values = columns_of_results(rows, data, [*FEATURES, "period_cv"])
    ordered = None if share is None else columns_of_results(rows, data, ["cycles_in_order"])[:, 0]
    like, pyloric = verdict(values[:, :-1], values[:, -1], max_cv, order, ordered)
    counts = {"pyloric_like": int(like.sum()), "pyloric": int(pyloric.sum())}
    lines = [(k, n, k / n, *interval(k, n)) for k in counts.values()]
    found = Summary(
        pd.DataFrame(lines, list(counts), ["count", "of", "fraction", "low", "high"]), shares_among(rows, pyloric)
    )
    for table in found:
        table.attrs |= {"circuits": of, "done": n}
    return found


# %% [markdown]
# A run that was stopped is a sample, too, but only if its circuits were in random order; so it is summed
# up, with a warning that says how many of the circuits are there.


# %%
def asked_for(data: Any, n: int) -> int:
    """How many circuits the run of n rows was to have; a warning if they are more."""
    try:
        of = n if isinstance(data, pd.DataFrame) else int(facts_of(data)["circuits"])
    except ValueError:  # a table of another origin
        return n
    if n != of:
        checks.warn(
            f"{data} has {n:,} of the {of:,} circuits of its run; the fractions are those of this part. Run the same "
            "again to finish it."
        )
    return of


def columns_of_results(rows: pd.DataFrame, data: Any, wanted: Sequence[str]) -> np.ndarray:
    """Some columns of results, (circuit, column)."""
    if missing := [name for name in wanted if name not in rows]:
        what = "the table" if isinstance(data, pd.DataFrame) else data
        raise ValueError(
            f"{what} lacks {checks.listing(missing[:3])}{' and others' if len(missing) > 3 else ''}; it must have the "
            "columns that `run` "
            f"returns, {'all features and ' if len(wanted) > 1 else ''}{wanted[-1]!r}. Load it with all columns."
        )
    return np.stack([checks.numbers(f"the column {name!r}", rows[name]).astype(float) for name in wanted], 1)


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-pacemakers
# Which pacemaker cell is found most often among the pyloric circuits of the sample? Is it more often there
# than among all, by more than chance?
# ```
#
# ```{solution-start} ex-pacemakers
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# converged = samples["converged"]
# found = converged.loc[converged["pyloric"], "AB/PD"].value_counts()
# share, all_share = found / found.sum(), converged["AB/PD"].value_counts(normalize=True)
# spread = np.sqrt(all_share * (1 - all_share) / found.sum())
# assert ((share - all_share) / spread)["AB/PD 1"] > 2
# ((share - all_share) / spread).round(1)

# %% [markdown]
# AB/PD 1, by three standard deviations. AB/PD 5 is found least often.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-neighbours
# Change one synapse of a pyloric circuit by one level. How many of its neighbours are pyloric-like? Take
# one circuit of the pair above.
# ```
#
# ```{solution-start} ex-neighbours
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# row, neighbours = one[[*POPULATIONS, *SYNAPSES]], []
# for axis in AXES[3:]:
#     i = axis.values.index(row[axis.name])
#     neighbours += [{**row, axis.name: axis.values[j]} for j in (i - 1, i + 1) if 0 <= j < len(axis.values)]
# around = run(pd.DataFrame(neighbours), progress=False)
# assert around["pyloric_like"].mean() > 0.5
# f"{around['pyloric_like'].sum()} of {len(neighbours)}"

# %% [markdown]
# Most are: pyloric-like circuits lie next to each other.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-silenced
# LP silences the pacemaker in 40% of all circuits. How does the share depend on the strength of the synapse
# from PY to LP, and why? Predict the direction before you look.
# ```
#
# ```{solution-start} ex-silenced
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# silent = samples["converged"]["why_cycle_period"] == 1
# by_strength = silent.groupby(samples["converged"]["PY-LP"]).mean()
# assert by_strength.is_monotonic_decreasing
# by_strength.round(2)

# %% [markdown]
# It falls from 55% to 20%: PY inhibits LP, and the more it does so, the less LP inhibits the pacemaker. Two
# inhibitions in a row free the third cell.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-interval
# How many circuits must be run until the share of pyloric circuits, some 2.4%, is known to within a tenth
# of a percent, with 95% confidence?
# ```
#
# ```{solution-start} ex-interval
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# n = next(n for n in range(20_000, 200_000, 5_000) if np.ptp(interval(round(0.024 * n), n)) / 2 < 0.001)
# assert 80_000 < n < 100_000
# n

# %% [markdown]
# About ninety thousand: the interval shrinks with the square root of the number.
# ```{solution-end}
# ```
