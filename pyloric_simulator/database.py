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
# from .database import AXES, CHOICES, FEATURES, POPULATIONS, PUBLISHED, STANDARD_CHOICES, SYNAPSES
# from .database import circuit, counts, definitions, interval, load, run, sample, summary
# from .rhythm import CRITERIA, is_pyloric
#
# hv.extension("bokeh", logo=False)
# pn.config.console_output = "disable"
# samples = {"converged": load(sample_file("staggered")), "paper's": load(sample_file("exponential_euler"))}
# many = {"converged": counts("staggered"), "paper's": counts("exponential_euler")}

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
# converged equations (staggered, 0.05 ms), and once with the paper's scheme (exponential Euler, 0.025 ms),
# in two files of 1.3 MB. All that is said below of single circuits and of their features is read from its
# rows. The same sample was continued to 200,000 circuits with the default scheme, and to 50,000 with the
# paper's (`tools/database_sample.py`). Their rows would be too many for a package, but what is asked of so
# many are counts, and those are two files of 30 kB: `counts` reads them.
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
# def said(x, name):
#     """A fraction and its interval, in bold where it holds the published one."""
#     text = f"{x[name]:.2%} ({x[f'{name} low']:.2%} to {x[f'{name} high']:.2%})"
#     return f"**{text}**" if x[f"{name} agrees"] else text
#
#
# table = definitions()
# whole = table[table["circuits"] >= 20_480]
# scheme_and_period = whole[(whole["order"] == "mean") & whole["max_cv"].isin([0.02, np.inf])]
# rows = []
# for x in scheme_and_period.to_dict("records"):
#     name, demand = {"staggered": "converged"}.get(x["solver"], "paper's"), {0.02: "2%"}.get(x["max_cv"], "none")
#     rows.append((name, f"{x['circuits']:,}", demand, *(said(x, k) for k in PUBLISHED)))
# list_table("Fractions with 95% intervals, bold where they contain the paper's 19.99% and 2.23%.", "tbl-fractions",
#            ["scheme", "circuits", "largest CV of the period", "pyloric-like", "pyloric"], rows)

# %% [markdown]
# The converged equations find fewer pyloric-like circuits than the paper, and more pyloric ones. Both
# differences are small, and neither is chance. (A sample of 20,480 knows the second number to ±0.2 points
# only, and could not tell it from the paper's.) With the paper's scheme the share of pyloric-like circuits
# is the published one, that of pyloric circuits is not. The agreement of the first owes much to the demand
# for a periodic rhythm, whose 2% are ours: without it nearly two in a hundred circuits more count as
# pyloric-like, whose rhythms are triphasic and wander.
#
# ### Which definitions
#
# The paper does not say how high a spike must be, which silence ends a burst, how regular is periodic, how
# long a run lasts, or how its cells start. Every program that judges rhythms has an answer to each of these
# questions, and each answer moves some circuits across the edge. Here are both fractions if one of ours is
# another and all others stay. Where a run of its own is needed, the first thousands of the larger sample
# were run once more, with their spikes kept (`tools/definitions.py`), and what is known of them is the
# *change*, on the same circuits; the section [below](sec-definitions) has the formula.

# %% tags=["active-ipynb", "hide-input"]
# WORDS = {
#     "solver": "scheme and step", "start": "start", "threshold": "threshold of a spike (mV)",
#     "gap": "silence that ends a burst (ms)", "min_duration": "a burst is longer than (ms)",
#     "transient": "left out at the start (ms)", "duration": "measured for (ms)",
#     "max_cv": "largest CV of the period", "order": "cycles in order",
# }
# VALUES = {("min_duration", -1.0): "-1, a single spike, too", ("max_cv", np.inf): "any"}
# rows = []
# for x in definitions(changed=1).to_dict("records"):
#     name = next(c for c, usual in zip(CHOICES, STANDARD_CHOICES) if x[c] != usual and c != "dt")
#     value = f"{x['solver']}, {x['dt']:g} ms" if name == "solver" else VALUES.get((name, x[name]), x[name])
#     value = f"{value:g}" if isinstance(value, float) else value
#     rows.append((WORDS[name], value, f"{x['circuits']:,}", *(said(x, k) for k in PUBLISHED)))
# rows.sort(key=lambda x: list(WORDS.values()).index(x[0]))
# list_table("The fractions if one choice is another, bold where the interval contains the published one.",
#            "tbl-definitions", ["choice", "value", "circuits", "pyloric-like", "pyloric"], rows)

# %% [markdown]
# The height of a spike does not matter: with 0 mV in the place of −10 not one of 3,072 circuits changes its
# class. Nor does it matter for *pyloric* how long a burst must be, if it is more than a single spike, and in
# how many cycles the order must be right: circuits that meet all fifteen criteria are far from these edges.
# The others matter by a point or two. If 75 ms of silence end a burst, bursts of LP and PY fall apart, and
# two in five pyloric circuits are lost; with 200 ms or more hardly any are gained. The less is left out at
# the start, the fewer rhythms have settled. A run of five seconds shows too few cycles, and one of twenty
# gives a rhythm that wanders more time to show it. Cells that start cold make more pyloric-like circuits, by
# two points and more; cells that are joined at random phases make perhaps fewer pyloric ones.
#
# Which definitions bring both numbers? They ask for opposite changes, more pyloric-like circuits and fewer
# pyloric ones, while most choices move both to the same side. Of single choices only one has both within its
# intervals, 8 s that are left out at the start, and these intervals are wide: with 13 s the second is not.
# Pairs of choices do it more easily. One of the two loses pyloric circuits, such as random phases or a
# shorter transient, and the other, a looser demand on the period or on the order, makes up for the
# pyloric-like ones:

# %% tags=["active-ipynb"]
# both = table[table["pyloric_like agrees"] & table["pyloric agrees"]]
# assert (both["solver"] == "staggered").all() and 0 < len(both) < 0.1 * len(table)
# print(f"{len(both)} of {len(table)} definitions bring both")
# columns = ["start", "gap", "transient", "duration", "max_cv", "order", *PUBLISHED]
# both[columns].style.hide().format({name: "{:.2%}" for name in PUBLISHED}, precision=2)

# %% [markdown]
# So the two fractions cannot tell which definitions the paper had, and they do not contradict its equations.
# None of these has the paper's own scheme: with it those that bring the 20.0% leave more pyloric circuits
# than the paper counts, or, where a burst ends after 75 ms of silence, far fewer. What would decide it is not the fractions but the paper's list of
# circuits.
#
# ### Two schemes
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
# found = many["converged"]
# missed = found.missed["pyloric_like"] / found.total["pyloric_like"]
# missed.rename("share of pyloric-like circuits that miss it").sort_values(ascending=False).round(3).to_frame()

# %% [markdown]
# It is the timing of PY that is hard. More than half of the pyloric-like circuits start it too late or too
# early after the end of LP, while 96% have an accepted period and 99% an accepted gap between the pacemaker
# and LP.
#
# ### What pyloric circuits are made of
#
# How pyloric circuits differ from all, as in Fig. 6 of the paper, in the larger sample:

# %% tags=["active-ipynb", "hide-input"] mystnb={"figure": {"caption": "Share of each cell, and of each strength (nS) of a synapse, among pyloric circuits (bars with 95% intervals) and among all (dots).", "name": "fig-shares"}}
# panels = []
# among, of_all = many["converged"].shares("values"), many["converged"].shares("values", "circuits")
# for name, part in among.groupby(level=0, sort=False):
#     values = [str(x).split()[-1] if name in POPULATIONS else f"{x:g}" for x in part.index.get_level_values(1)]
#     axis, share = f"{name} cell" if name in POPULATIONS else f"{name} (nS)", part["fraction"]
#     bars = hv.Bars((values, share), axis, "share").opts(color="#c8d6ea")
#     spread = (values, share, share - part["low"], part["high"] - share)
#     errors = hv.ErrorBars(spread, axis, ["share", "low", "high"])
#     dots = hv.Scatter((values, of_all.loc[part.index, "fraction"]), axis, "share").opts(color="black", size=5)
#     panels.append((bars * errors * dots).opts(width=225, height=190, ylim=(0, 0.6)))
# hv.Layout(panels).opts(shared_axes=False, toolbar=None).cols(3)

# %% [markdown]
# What do all of them share? Not a cell: each of the sixteen is found among them, the rarest, PY 4, in 4%.
# Two things about their synapses hold for every single one, though of all circuits some lack them, and a
# third for all but one:

# %% tags=["active-ipynb", "hide-input"]
# wirings, total = many["converged"].wirings, many["converged"].total
# there = {name: np.array([name in x.split() for x in wirings.index]) for name in SYNAPSES}
# weak = many["converged"].values.loc["LP-PY"].query("value <= 3").sum()
# kinds = {
#     "the pacemaker inhibits LP": wirings[there["AB-LP"] | there["PD-LP"]].sum(),
#     "the pacemaker inhibits PY": wirings[there["AB-PY"] | there["PD-PY"]].sum(),
#     "LP inhibits PY with 3 nS at most": weak,
#     "PY inhibits LP, or PD inhibits PY": wirings[there["PY-LP"] | there["PD-PY"]].sum(),
#     "PY inhibits LP": wirings[there["PY-LP"]].sum(),
#     "PD inhibits PY": wirings[there["PD-PY"]].sum(),
#     "LP inhibits the pacemaker": wirings[there["LP-AB/PD"]].sum(),
#     "all seven synapses are there": wirings[np.all(list(there.values()), axis=0)].sum(),
# }
# assert [total["pyloric"] - x["pyloric"] for x in kinds.values()][:3] == [0, 0, 1]
# rows = []
# for name, x in kinds.items():
#     low, high = interval(int(x["pyloric"]), int(total["pyloric"]))
#     share = f"{x['pyloric'] / total['pyloric']:.1%} ({low:.1%} to {high:.1%})"
#     rows.append((name, f"{x['pyloric']:,}", share, f"{x['circuits'] / total['circuits']:.1%}"))
# list_table(f"Of {total['pyloric']:,} pyloric circuits, and of all.", "tbl-shared",
#            ["", "pyloric circuits", "share and 95% interval", "of all circuits"], rows)

# %% [markdown]
# The first two say that neither of the two cells finds its place in the cycle by itself. The third is a
# matter of timing: PY has to start some 60 ms before LP ends, and 59 ms after it at the latest, which a
# strong inhibition by LP forbids. Two more synapses are there in all but a few, that from PY to LP and that
# from PD to PY, and one of the two in nearly all. The synapse from AB to PY is at the other end: all its
# strengths are about as frequent among the pyloric circuits as among all.
#
# Beyond that everything goes. Only three in ten have all seven synapses. Of the 150 combinations of three
# cells all but three have a pyloric circuit in the sample, and these three have PY 4 with LP 4 or LP 5, the
# rarest of their kinds. So the single distributions say little about which circuits work; what counts is
# how the numbers go together.

# %% tags=["active-ipynb"]
# cells = many["converged"].cells
# without = cells.index[cells["pyloric"] == 0]
# assert len(cells) == 150 and all(py == "PY 4" and lp in ("LP 4", "LP 5") for _, lp, py in without)
# list(without)

# %% [markdown]
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

from .config import counts_file, definitions_file
from .engine import checks
from .engine.detection import GAP, MIN_BURST, SPIKE_THRESHOLD
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
from .rhythm import (
    CRITERIA,
    FEATURES,
    MAX_PERIOD_CV,
    MEAN,
    WHY,
    Measures,
    demanded_order,
    largest_cv,
    verdict,
    within,
)

__all__ = [
    "AXES", "COLUMNS", "MEMBRANE", "PAIRS", "POPULATIONS", "RESULTS", "RUN_FILE", "SIZES", "SYNAPSES", "TOTAL",
    "Counts", "Summary", "circuit", "conductances", "counts", "definitions", "facts_of", "fill", "fractions_of", "grid",
    "index_of", "interval", "load", "named", "row_of", "run", "sample", "status", "summary", "table",
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
# For 0 of 497 it goes from 0 to 0.8%: so much may be missed. For 497 of 20,480 it goes from 2.22 to 2.65%. It is meant for circuits drawn at random: of a grid, or of the whole database, a fraction is
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


def has_results(rows: pd.DataFrame, data: Any, wanted: Sequence[str]) -> None:
    """Refuse a table without some columns of results."""
    if missing := [name for name in wanted if name not in rows]:
        what = "the table" if isinstance(data, pd.DataFrame) else data
        raise ValueError(
            f"{what} lacks {checks.listing(missing[:3])}{' and others' if len(missing) > 3 else ''}; it must have the "
            "columns that `run` "
            f"returns, {'all features and ' if len(wanted) > 1 else ''}{wanted[-1]!r}. Load it with all columns."
        )


def columns_of_results(rows: pd.DataFrame, data: Any, wanted: Sequence[str]) -> np.ndarray:
    """Some columns of results, (circuit, column)."""
    has_results(rows, data, wanted)
    return np.stack([checks.numbers(f"the column {name!r}", rows[name]).astype(float) for name in wanted], 1)


# %% [markdown]
# ### Counts of a larger sample
#
# The rows of 200,000 circuits would take 13 MB of a package. What is asked of them are counts, which
# take hardly more for a million circuits than for a hundred: how many have a cell or a strength, and how
# many of these are pyloric-like and pyloric. `counts` makes them of any table of `run`, and reads those that
# come with the package.
#
# Every table of `Counts` has the same three columns. Its rows are what is counted: circuits in the order of
# the run, 64 at a time, by which a part of a sample can be compared with the whole; values of one
# coordinate, and of two together; the cells of a circuit, and which of its synapses are there at all; and
# the features. Those are counted in bins of half a standard deviation of the lobsters, from six below their
# mean to six above it, where the first and the last bin hold what lies beyond. So features in ms and in
# shares have the same bins, and ±2 is the range that the paper accepts, but for its rounding.

# %%
COUNTED = ("circuits", "pyloric_like", "pyloric")
UNCOUNTED = ("period_cv", "cycles_in_order")  # results that counts do not take
CHUNK = 64  # circuits that are counted together, in the order of the run
EDGES = np.arange(-12, 12) / 2  # lower edges of the bins of features, in standard deviations from the lobsters' mean
LEVELS: dict[str, tuple[str, ...]] = {
    "chunks": ("chunk",), "values": ("parameter", "value"), "pairs": ("parameter", "value", "other", "its value"),
    "cells": POPULATIONS, "wirings": ("synapses",), "features": ("feature", "distance"), "missed": ("feature",),
    "reasons": ("feature", "reason"),
}  # fmt: skip


class Counts(NamedTuple):
    """How many of all circuits, of the pyloric-like and of the pyloric ones have something; columns `COUNTED`."""

    chunks: pd.DataFrame  # index: number of each 64 circuits, in the order of the run
    values: pd.DataFrame  # index (parameter, value): names of cells, strengths in nS
    pairs: pd.DataFrame  # index (parameter, value, other, its value)
    cells: pd.DataFrame  # index (AB/PD, LP, PY)
    wirings: pd.DataFrame  # index: names of the synapses that are not 0, separated by blanks
    features: pd.DataFrame  # index (feature, distance): lower edge of a bin, in s.d. from the lobsters' mean
    missed: pd.DataFrame  # index: the criterion that is missed
    reasons: pd.DataFrame  # index (feature, reason): why it is not defined, one of `WHY`
    facts: Mapping[str, Any]  # of the run: solver, dt (ms), seed of the sample, versions and so on

    @property
    def total(self) -> pd.Series:
        """All that were counted, by `COUNTED`."""
        return self.chunks.sum()

    @property
    def fractions(self) -> pd.DataFrame:
        """As in `Summary`: rows pyloric_like and pyloric; columns count, of, fraction, low, high (95%)."""
        k, n = self.total.loc[[*COUNTED[1:]]], int(self.total["circuits"])
        return pd.concat([k.rename("count").to_frame().assign(of=n), fractions_of(k, n)], axis=1)

    def shares(self, what: str, among: str = "pyloric") -> pd.DataFrame:
        """Share of each row of a table among some circuits, with 95% intervals; columns fraction, low, high."""
        return fractions_of(getattr(self, what)[among], self.total[among])


# %% [markdown]
# {eq}`eq-wilson` for many counts at once, each with the same number of circuits or with its own. Where
# nothing was counted the fraction is not known.


# %%
def fractions_of(k: pd.Series, n: Any) -> pd.DataFrame:
    """Fractions k/n and their 95% intervals, columns fraction, low, high; n: one number, or one for each row."""
    n = pd.Series(n, index=k.index).astype(int)
    ends = [interval(int(a), int(b)) if b else (np.nan, np.nan) for a, b in zip(k, n, strict=True)]
    found = pd.DataFrame(ends, k.index, ["low", "high"])
    found.insert(0, "fraction", k / n)
    return found


# %% [markdown]
# Counting is summing truth values by groups. The table of two coordinates holds all 45 pairs of them, 1,311
# combinations, each of which thousands of circuits have.


# %%
def tally(hits: pd.DataFrame, keys: Sequence[Any], front: Sequence[str] = ()) -> pd.DataFrame:
    """Sums of the columns of hits (circuit, `COUNTED`) by equal keys, each (circuit,), with a word in front of each."""
    found = hits.groupby([np.asarray(x) for x in keys]).sum()
    levels = [found.index.get_level_values(i) for i in range(len(keys))]
    words = [[word] * len(found) for word in front]
    both = [x for pair in zip(words, levels, strict=True) for x in pair] if front else levels
    return found.set_axis(pd.MultiIndex.from_arrays(both))


def of_coordinates(rows: pd.DataFrame, hits: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Counts by what circuits are made of."""
    names = [axis.name for axis in AXES]
    there = np.array([" ".join(np.array(SYNAPSES)[x]) for x in rows[[*SYNAPSES]].to_numpy() > 0])
    both = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return {
        "values": pd.concat([tally(hits, [rows[a]], [a]) for a in names]),
        "pairs": pd.concat([tally(hits, [rows[a], rows[b]], [a, b]) for a, b in both]),
        "cells": tally(hits, [rows[pop] for pop in POPULATIONS]), "wirings": tally(hits, [there]),
    }  # fmt: skip


# %% [markdown]
# Features that are not defined fall into no bin; they have a reason instead.


# %%
def of_results(rows: pd.DataFrame, hits: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Counts by how circuits behave."""
    bins, missed, why = [], [], []
    for i, c in enumerate(CRITERIA):
        z = (rows[c.name].to_numpy(float) - c.mean) / c.sd
        z, known = np.clip(np.floor(2 * z) / 2, EDGES[0], EDGES[-1]), np.isfinite(z)
        bins.append(tally(hits[known], [z[known]], [c.name]))
        missed.append(hits[rows["failed"].to_numpy() >> i & 1 == 1].sum().rename((c.name,)))
        undefined = rows[f"why_{c.name}"].to_numpy()
        why.append(tally(hits[undefined > 0], [np.array(WHY)[undefined[undefined > 0]]], [c.name]))
    chunks = hits.groupby(np.arange(len(hits)) // CHUNK).sum()
    return {"chunks": chunks, "features": pd.concat(bins), "missed": pd.DataFrame(missed), "reasons": pd.concat(why)}


# %% [markdown]
# What comes with the package was counted before, and is only read; of a run of one's own a table or its
# folder is counted now. Classes are taken as they stand in the rows.


# %%
def counts(data: Any = "staggered") -> Counts:
    """Counts of a table of `run`, of the path of one, or of a sample that comes with the package.

    data: "staggered" (200,000 circuits) or "exponential_euler" (50,000; paper's scheme, 0.025 ms), the path of a
    file of counts or of a run, or a table. Raises ValueError for circuits with conductances of their own, and if
    columns of results are missing.
    """
    if isinstance(data, str) and data in SCHEMES:
        data = counts_file(data)
    rows = data if isinstance(data, pd.DataFrame) else load(data)
    facts = {"circuits": len(rows)} if isinstance(data, pd.DataFrame) else facts_of(data)
    if "kind" in rows:
        return unpacked(rows, facts)
    if not named(rows):
        raise ValueError(
            "the circuits have conductances of their own, which have no names to count by. Pass circuits of the database."
        )
    has_results(rows, data, [*FEATURES, *(x for x in RESULTS if x not in (*FEATURES, *UNCOUNTED))])
    hits = rows[[*COUNTED[1:]]].astype(int)
    hits.insert(0, COUNTED[0], 1)
    found = of_coordinates(rows, hits) | of_results(rows, hits)
    return Counts(**{kind: labelled(found[kind], LEVELS[kind]) for kind in LEVELS}, facts=facts)


def labelled(table: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """The table with the names of its keys, a plain index where there is one."""
    keys = [table.index.get_level_values(i) for i in range(len(names))]
    return table.set_axis(pd.MultiIndex.from_arrays(keys, names=names) if len(names) > 1 else keys[0].rename(names[0]))


# %% [markdown]
# A file of counts is one table: the kind of the count, up to four keys in text, and the three numbers. So
# any program that reads Parquet can use it. `unpacked` turns the keys back into what they were.


# %%
def packed(found: Counts) -> pd.DataFrame:
    """All counts in one table, keys in text; `unpacked` is the way back."""
    parts = []
    for kind in LEVELS:
        keys = getattr(found, kind).index.to_frame(index=False).astype(str)
        keys.columns = pd.Index([f"key{i}" for i in range(len(keys.columns))])
        parts.append(keys.assign(kind=kind, **getattr(found, kind).reset_index(drop=True)))
    return pd.concat(parts, ignore_index=True)[["kind", "key0", "key1", "key2", "key3", *COUNTED]]


def unpacked(table: pd.DataFrame, facts: Mapping[str, Any]) -> Counts:
    """Counts of such a table."""
    found = {}
    for kind, names in LEVELS.items():
        part = table[table["kind"] == kind]
        keys = [[number_or_name(x) for x in part[f"key{i}"]] for i in range(len(names))]
        found[kind] = labelled(part[[*COUNTED]].set_axis(pd.MultiIndex.from_arrays(keys)), names)
    return Counts(**found, facts=facts)


def number_or_name(text: str) -> Any:
    """A number, where the text is one."""
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


# %% [markdown]
# (sec-definitions)=
# ### Other definitions
#
# What would the fractions be if a burst ended after 100 ms of silence, or if cells started cold? The file
# of the package that tells was made from some thousand circuits, the first of the larger sample. They are
# too few to know a fraction well, and many enough to know a *change*: most circuits are in the same class
# by either definition, and only those that change it count. If of $n$ circuits $g$ are gained and $l$ are
# lost, the fraction moves by $d = (g - l)/n$. With the fraction $p$ of the larger sample of $N$ circuits the
# estimate is $p + d$, and since the $n$ are among the $N$ its variance is
#
# $$
# \frac{p (1 - p) + 2c}{N} + \frac{w}{n}, \qquad c = -\frac{l}{n} - p\,d, \qquad
# w = \frac{g + l + 1}{n + 2} - \left(\frac{g - l}{n + 2}\right)^2.
# $$ (eq-paired)
#
# $c$ is the covariance of being in the class at first and of changing: only what is in it can be lost. $w$
# is the variance of a change, with half a circuit added to each of the four kinds, so that an interval has
# a width where no circuit changed. A worked number: of 5,120 circuits 20 are lost and none is gained. The
# fraction falls by 0.39 points, ±0.17; as a difference of two fractions of 19% it would be known to ±1.5.

# %%
PUBLISHED = {"pyloric_like": 4_047_375, "pyloric": 452_516}  # circuits of all (P04)
CHOICES = ("solver", "dt", "start", "threshold", "gap", "min_duration", "transient", "duration", "max_cv", "order")
STANDARD_CHOICES = (
    SOLVER, DT, "thermalized", SPIKE_THRESHOLD, GAP, MIN_BURST, TRANSIENT, DURATION - TRANSIENT, MAX_PERIOD_CV, MEAN,
)  # fmt: skip


def shifted(k: int, N: int, gained: Any, lost: Any, n: Any) -> np.ndarray:
    """Fractions k/N + (gained − lost)/n with 95% intervals, {eq}`eq-paired`: (…, 3), the fraction and both ends."""
    p, d = k / N, (gained - lost) / n
    w = (gained + lost + 1) / (n + 2) - ((gained - lost) / (n + 2)) ** 2
    half = Z * np.sqrt((p * (1 - p) + 2 * (-lost / n - p * d)) / N + w / n)
    return np.stack([p + d, np.maximum(p + d - half, 0.0), p + d + half], -1)


# %% [markdown]
# Each row of the table is a definition in full. That of this Book is `STANDARD_CHOICES`, and a row in which
# one other choice was made says what that choice does. `agrees` asks whether the published fraction lies in
# the interval.


# %%
def definitions(changed: int | None = None) -> pd.DataFrame:
    """The two fractions by other definitions, a row for each (P04 leaves them open).

    changed: only rows in which so many of `CHOICES` differ from those of this Book, scheme and step together being one;
    None for all. Columns: `CHOICES` (ms and mV; a threshold, the gap that separates bursts and the duration that they exceed, what is left out and what
    is measured, the largest CV of the period, and "mean" or the share of cycles in order), "circuits" that were judged,
    and for pyloric_like and pyloric the fraction, its 95% interval as "… low" and "… high", and whether the published
    one "… agrees". Raises ValueError for a number of choices that there is not.
    """
    table = pd.read_csv(definitions_file(), dtype={"order": str})
    table["order"] = [x if x == MEAN else float(x) for x in table["order"]]
    whole, found = counts().total, table[[*CHOICES, "circuits"]].copy()
    for name, k in PUBLISHED.items():
        changes = (table[f"{name}_gained"].to_numpy(), table[f"{name}_lost"].to_numpy(), table["circuits"].to_numpy())
        low, high = f"{name} low", f"{name} high"
        found[[name, low, high]] = shifted(int(whole[name]), int(whole["circuits"]), *changes)
        found[f"{name} agrees"] = found[low].le(k / TOTAL) & found[high].ge(k / TOTAL)
    if changed is None:
        return found
    most = checks.count("changed", changed, len(CHOICES), least=0)
    other = pd.DataFrame({x: found[x] != usual for x, usual in zip(CHOICES, STANDARD_CHOICES, strict=True)})
    other["solver"] |= other.pop("dt")
    return found[other.sum(axis=1) == most].reset_index(drop=True)


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
