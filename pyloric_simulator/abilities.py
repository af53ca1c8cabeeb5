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
# # What each model can do
#
# Can the cell with equations of my own be fitted to a recording? Can the integrate-and-fire cells be run by
# the thousand, and the circuit with {term}`gap junctions <gap junction>` be cooled? There are six kinds of
# models in this book, and some thirty things to be done with a model.

# %% tags=["active-ipynb", "remove-input"]
# from .abilities import ABILITIES, MODELS, cell_of_table
# from .book import list_table
#
# rows = [(a.name, a.call, *(cell_of_table(a, model) for model in MODELS)) for a in ABILITIES]
# list_table("What each model can do.", "tbl-abilities", ("", "by", *MODELS), rows)

# %% [markdown]
# Behind every tick there is a test, which compares a computation with a value from elsewhere: SciPy, a
# closed form, finite differences, or a single run. Where there is a dash, the call is refused in words, and
# the table says why. The tests go through this very table: a new row without a test fails, and so does a
# dash where the call goes through.
#
# Most dashes are of four kinds. Cells without channels have no conductances, no temperature and no energy,
# and nothing to {term}`thermalize <thermalization>` or to regulate. They have one scheme, that which their
# equations or their threshold want. A cell that is reset at its threshold shows no {term}`spike` in its
# potential, so that what looks for spikes in it finds none; its times are known all the same, and fits go
# by these. And the fifteen {term}`criteria <criterion>` ask for three cells.
#
# ## Models
#
# The paper's circuit is that of the first chapter. In the second one AB and PD are apart and joined by gap
# junctions, and populations have several cells. The own cell is one of {cite:t}`Liu1998`. The own network
# has cells of two kinds, one of them an axon whose gates open and close at rates, with a {term}`graded
# synapse`, a kinetic synapse, and a gap junction. The last two come from the chapters on
# [equations](models/neurons.py) and on [integrate-and-fire cells](models/lif.py).
#
# The six stand for what a model can be made of, not for all models. Two more kinds of cells in a network,
# or another channel, change nothing in their columns; a model made in another way would be a column of its
# own.

# %%
from __future__ import annotations

from typing import NamedTuple

__all__ = ["ABILITIES", "MODELS", "Ability"]
MODELS = ("the paper's circuit", "gap junctions", "own cell", "own network", "own equations", "integrate and fire")
CIRCUIT, COUPLED, CELL, NETWORK, EQUATIONS, LIF = MODELS

# %% [markdown]
# ## Abilities
#
# An ability is a row of the table: its name, how it is called, and the models that lack it, each with a
# reason of a few words. Only what is missing is written down, so that a tick is the rule and a dash needs
# an excuse.


# %%
class Ability(NamedTuple):
    """A row of the table."""

    name: str
    call: str  # how it is called
    dashes: dict[str, str] = {}  # noqa: RUF012 (never changed)  # models that lack it, and why


def lacking(why: str, *models: str) -> dict[str, str]:
    """The same reason for some models."""
    return dict.fromkeys(models or (EQUATIONS, LIF), why)


# %% [markdown]
# Some reasons hold for several rows, and stand here once.

# %%
NO_CHANNELS = "no channels"
OWN_SCHEME = lacking("has one scheme, of its own")
RESET = "the potential shows no spikes"

# %% [markdown]
# The rows go in the order of the book: runs and their inputs, files, experiments, derivatives and fits,
# many at once.

# %%
ABILITIES = (
    Ability("run, by the default scheme", "`model(t)`"),
    Ability("run, by exponential Euler", "`model(t, solver=…)`", OWN_SCHEME),
    Ability("run, by diffrax", "`model(t, solver=Tsit5())`", lacking("a threshold needs fixed steps", LIF)),
    Ability("sampled input", "`model(t, I_ext=frame)`"),
    Ability("input as a function", "`model(t, I_ext=f)`"),
    Ability("thermalized starts", "`model.get_thermalization()`", lacking(NO_CHANNELS)),
    Ability("TOML", "`model.to_toml(path)`", lacking("equations are functions", EQUATIONS)),
    Ability("snapshots", "`save_state(path, result)`"),
    Ability("pickle", "`pickle.dumps(model)`"),
    Ability("current clamp", "`current_clamp(model, t, protocol)`"),
    Ability("voltage clamp", "`voltage_clamp(model, t, V)`", lacking("a clamped cell cannot spike", LIF)),
    Ability("dynamic clamp", "`dynamic_clamp(model, t, channel)`", lacking(NO_CHANNELS)),
    Ability("current noise", "`noisy(model, t, current=White(σ))`"),
    Ability("conductance noise", "`noisy(model, t, conductances=[…])`"),
    Ability("channel noise", "`noisy(model, t, channels={…})`", lacking(NO_CHANNELS)),
    Ability("temperature", "`at_temperature(model, T)`", lacking(NO_CHANNELS)),
    Ability("energy", "`energy(result)`", lacking(NO_CHANNELS)),
    Ability("regulation", "`regulate(model, target)`", lacking(NO_CHANNELS)),
    Ability("pictures of potentials", "`result.plot()`, `traces`, `raster`"),
    Ability("pictures of currents and gates", "`currentscape(result)`, `gates(result)`", lacking(NO_CHANNELS)),
    Ability("circuit diagram", "`circuit_diagram(model)`", lacking(NO_CHANNELS)),
    Ability("explorer", "`explore(model)`", lacking(NO_CHANNELS)),
    Ability("robustness", "`robustness(model, …)`"),
    Ability("phase response", "`phase_response(model)`", lacking(RESET, LIF)),
    Ability("gradient in reverse mode", "`jax.grad`, `simulate_with_adjoint`"),
    Ability("named parameters", "`parameters(model)`"),
    Ability("sensitivity", "`sensitivity(model)`"),
    Ability("loss: trace mismatch", "`trace_mismatch(model, data)`"),
    Ability("loss: prediction error", "`prediction_error(model, data)`", lacking("take `lif.prediction_error`", LIF)),
    Ability("loss: spike density", "`density_mismatch(model, data)`"),
    Ability("loss: calcium", "`calcium_mismatch(model, target, t)`", lacking("no variable is calcium")),
    Ability("loss: rhythm", "`rhythm_mismatch(model, t, …)`", lacking(RESET, LIF)),
    Ability("loss: fifteen criteria", "`criteria_mismatch(model, t)`",
            lacking("asks for three cells", CELL, EQUATIONS) | lacking(RESET, LIF)),
    Ability("fit", "`fit(model, loss, names)`"),
    Ability("minimally disruptive curves", "`minimally_disruptive_curve(loss, …)`"),
    Ability("torch module", "`CircuitModule`, `LIFModule`, `to_torch`"),
    Ability("thousands at once", "`ensemble(model, table)`"),
)  # fmt: skip


def cell_of_table(ability: Ability, model: str) -> str:
    """A tick, or a dash and why."""
    return f"– {ability.dashes[model]}" if model in ability.dashes else "✓"
