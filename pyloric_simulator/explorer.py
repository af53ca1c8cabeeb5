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
# # The circuit under your fingers
#
# Which of its twenty-seven {term}`conductances <maximal conductance>` makes the {term}`pyloric` rhythm what
# it is? A table of numbers answers that for one circuit. But an intuition of how a circuit behaves comes from turning its
# knobs and watching what it does, as one does at a rig. One line opens a page in the browser, where every
# conductance is a slider and the potentials follow it ({numref}`fig-explorer`).
#
# ```bash
# pyloric explore
# ```
#
# ```{figure} ../book/images/explorer.png
# :name: fig-explorer
#
# The circuit of Fig. 3e without its synapse from LP onto the pacemaker. Left, the sliders; in the middle, three
# seconds of each cell; on the right, the bursts in the cycle, and the fifteen features beside those of the lobsters.
# ```
#
# In the figure one slider has been moved: the synapse from LP onto the pacemaker is gone. The period has
# fallen from 1829 to 1498 ms, which is that of the pacemaker alone. So LP delays the pacemaker by a fifth of
# the cycle, and nothing else in this circuit reaches it. What the sliders show can be had in three lines as
# well, since what is behind the page has no need of a page.

# %% tags=["active-ipynb"]
# from .exploring.setups import Rig
#
# rig = Rig()  # the circuit of Fig. 3e
# for g in (30.0, 10.0, 3.0, 0.0):  # nS, of the synapse from LP onto the pacemaker
#     rig.change(rig.with_values({"LP-AB/PD": g}))
#     rig.window()
#     print(f"{g:4g} nS: {rig.judge().period:.0f} ms")

# %% [markdown]
# ## What it does and what it costs
#
# `pyloric explore CIRCUIT` takes the name of a circuit, a TOML file of a circuit or a network, or a number
# from 0 to 20,249,999, which is a circuit of the paper's database. In a notebook `explore(model)` shows the
# same page below a cell, for any model with channels: a `Prinz2004`, a `Cell` or a `Network` of your own.
# Both need the extra `explore`: `pip install 'pyloric-simulator[explore]'`.
#
# | on the page | what it does |
# |:--|:--|
# | sliders, by cell | each conductance on a scale of five decades, 0 at its left end; type a value, double click to reset, tick to lock |
# | swap cell | gives a population the conductances of another of the cells of Table 2 |
# | Go on, Run on | the next three seconds, once or all the time |
# | Restart thermalized | every cell from its own rhythm, as the runs of the paper |
# | Undo, Redo, Reset | of up to 200 steps; what is locked stays |
# | Two set-ups | a second set-up beside the first; A and B say which of them the sliders move |
# | Temperature, Current, Noise | as in the chapters on [temperature](lab/temperature.py), [protocols](lab/protocols.py) and [noise](lab/noise.py) |
# | Recording | a file as `pyloric rhythm` reads it, behind the traces, and its features beside those of the model |
# | Currents, Gates, Phase plane | of one cell in the window |
# | Elasticities | per cent of change of each cell's rhythm for a per cent of each conductance, see [sensitivity](fitting/sensitivity.py) |
# | Knock-outs | what is left of the rhythm when each conductance in turn is removed, all in one batch |
# | Export | a TOML file, Python that repeats the window, CSV, Parquet, PNG, SVG |
#
# **What runs.** The window has three seconds. When a slider stops, the circuit goes on from its present
# state, so that the picture shows the transient that the change causes, as at a rig. While a slider moves,
# each picture starts from that same state. Ten more seconds follow the window out of sight, and the line at
# the top judges these: the window is their transient. Three seconds of transient and ten that count are
# what the [database](database.py) uses, so that the page and the database call the same circuits pyloric.
#
# **What it costs.** On two quiet cores of a server the first picture came 4 s after the command, with what
# it compiles already on the disk. From the stop of a slider to new traces in the browser it took 97 ms, and
# at most 109 ms in nine cases of ten (20 moves). Another value, current or circuit of the
# same kind compiles nothing; a circuit with another number of cells or synapses does, and so does the first
# use of a temperature, a few seconds each. Knock-outs take some seconds. Elasticities take from a quarter
# of a minute, for one cell, to more than a minute, for the circuit; they know no progress, so that their bar
# only says that they are under way. Both are computed beside the page, which goes on. A server with one page
# took 510 MB, after 600 moves of a slider 700, and after 1,000 no more. A panel gets no more than 2,400
# points, the lowest and the highest of each short stretch, so that no spike is lost and a long recording
# does not choke the browser.
#
# **What it does not do.** It listens on this machine's loopback address alone, and a page of another origin
# cannot talk to it. It reads no file but those that you name or choose, and writes none but the store of
# thermalized cells, which all runs use. It needs no network. Currents and noise go with the default scheme
# only. Models without channels, [own equations](models/neurons.py) and
# [integrate-and-fire cells](models/lif.py), have no conductances and no page.
#
# ## Set-ups
#
# All that the widgets say is a `Setup`, an immutable tuple of a few plain values: which circuit, which
# values differ from it, which currents flow, the temperature, the noise and its seed, the scheme. That is
# the whole idea of this page. Undo is a list of set-ups. The address of the page is a set-up as text, and so
# is the file with Python that repeats a window. Two set-ups side by side are two of them.

# %% tags=["active-ipynb"]
# from .exploring.exports import address, from_address
#
# setup = rig.with_values({"LP Na": 90.0})._replace(temperature=12.0)
# text = address([setup])
# assert from_address(text, rig) == [setup]
# text

# %% [markdown]
# An address may come from anywhere: a mail, a web page, a slip of the hand. So all of it is checked before
# anything of it is used, by the rules that hold for a model. Names must be those of its conductances,
# values must be finite and not negative, the step must be one that the scheme can take. It cannot name a
# file. What is wrong is said in words, and the page opens with the circuit of the command.

# %% tags=["active-ipynb"]
# for text in ("set=LP%20Nb:90", "set=LP%20Na:-3", "circuit=/etc/passwd"):
#     try:
#         from_address(text, rig)
#     except ValueError as error:
#         print(error)

# %% [markdown]
# A `Rig` is what runs set-ups: the circuit, its present state, and the set-ups before and after. Everything
# above the browser is done by it, and the tests use it as this page does. A run that turns non-finite is no
# accident of the page either. It raises nothing, leaves the present state as it was, and says which cell
# left the numbers, and when.

# %% tags=["active-ipynb"]
# rig.change(rig.with_values({"LP Na": 1e308}))  # mS/cm²
# print(rig.window().problem)
# rig.undo()
# assert rig.window().problem == ""

# %% [markdown]
# ## Presets
#
# The menu has the states that a lecture wants to show. Two circuits whose features differ by less than a
# tenth of the lobsters' standard deviation have no cell in common, and synapses that differ up to a
# hundredfold. They are the closest such pair among the 497 pyloric circuits of the sample of 20,480 that comes with
# the package. The half-centre has two pacemaker cells that inhibit each other with 30 nS and
# burst in turn, half a cycle apart. That LP dominates is the second rhythm of the circuit of Fig. 3e, from
# the cold start with closed inactivation gates, as in the chapter on [rhythm](rhythm.py).

# %% tags=["active-ipynb"]
# from .exploring.setups import PRESETS
#
# for name, setups in PRESETS.items():
#     for preset in setups:
#         shown = Rig(setup=preset)
#         shown.window()
#         print(f"{name:32} {shown.judge().line[:70]}")

# %% [markdown]
# ## Serving it
#
# The page itself is in the modules of the folder `exploring`, each for one concern: set-ups and their runs,
# what leaves the explorer, the sliders, the figures, the work beside the page, and the widgets. Here is how
# it comes to a notebook and to a browser. Panel is imported only when it is needed, so that the package
# does without it.

# %%
from __future__ import annotations

import socket
import threading
import warnings
from typing import Any

from .engine import checks

__all__ = ["explore", "serve"]

LOOPBACK = "127.0.0.1"
PORT = 5006
TITLE = "Pyloric explorer"
LOCAL = "static/extensions/panel/"  # where styles come from; Panel takes them from the network for pages that it did not write itself
UNUSED = 120_000  # ms, for which a page that a slow machine has not yet drawn is waited for

# %% [markdown]
# In a notebook there is no server of ours. All work is done at once, in the kernel, and the page is drawn
# when it is done.


# %%
def explore(model: Any = None) -> Any:
    """The explorer for a notebook, as a Panel object that shows itself; for the circuit of Fig. 3e without a model.

    model: a `Prinz2004`, `Network` or `Cell`. Raises TypeError or ValueError for models without channels, and
    ImportError where Panel is missing.
    """
    panel().extension()
    from .exploring.app import Explorer

    return Explorer(model).page


def panel() -> Any:
    """The library of widgets. Raises ImportError, with the cure, where it is missing."""
    return checks.package("panel", "explore", "the explorer")


# %% [markdown]
# In a browser each tab is a session with an `Explorer` of its own: its widgets, its circuit, its undo and
# its thread. Sessions share nothing but compiled code, so that they cannot disturb each other. The theme
# comes from the address as well. Where the address says nothing, the session opens with the circuit of the
# command.


# %%
def session(model: Any = None, first: str = "") -> Any:
    """The page of one browser tab. first: the address behind "?" where the browser's has none."""
    from .exploring.app import DARK, Explorer

    state = panel().state
    state.curdoc.template_variables.setdefault("dist_url", LOCAL)
    query = (state.location.search or "").removeprefix("?")
    if DARK in query.split("&"):
        panel().config.theme = "dark"
        state.curdoc.theme = "dark_minimal"
    named = any(not part.startswith("theme=") for part in query.split("&") if part)
    shown = Explorer(model, query if named else "&".join(filter(None, (first, query))), state.curdoc)
    state.curdoc.on_session_destroyed(lambda _: shown.close())
    return shown.page


# %% [markdown]
# The server binds to the loopback address. A web page elsewhere could still try to open a connection to it,
# from your own browser. So the server accepts only connections whose origin, which browsers state and pages
# cannot forge, is the server itself. A port that is in use is refused at once, with another one to try,
# where the server would end in a traceback. A machine that is busy may take long to draw a page; its session
# is kept for two minutes meanwhile, where the server would drop it after fifteen seconds.


# %%
def origins(address: str, port: int) -> list[str]:
    """The origins of which a page may talk to the server."""
    hosts = (address, "localhost") if address == LOOPBACK else (address, socket.gethostname())
    return [f"{host}:{port}" for host in hosts]


def free_port(address: str, port: int) -> int:
    """The port, or one that is free for 0. Raises ValueError where it cannot be had."""
    port = checks.count("port", port, 65535, least=0)
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((address, port))
        except OSError as error:
            why = error.strerror or str(error)
            raise ValueError(
                f"the address is {address!r} and the port {port}; there it cannot listen: {why.lower()}. "
                f"Choose another port, such as {port + 1}."
            ) from error
        return int(tried.getsockname()[1])


def serve(model: Any = None, *, first: str = "", port: int = PORT, address: str = LOOPBACK, show: bool = True) -> None:
    """Serve the explorer until it is interrupted.

    model: as for `explore`. first: what an address says behind "?", such as "circuit=db:17". port: 0 takes a free one.
    address: of the network interface; show: open a browser. Raises ValueError for a port that is in use, or a circuit
    that is none.
    """
    panel().extension()
    from .exploring.exports import from_address
    from .exploring.setups import Rig

    warnings.filterwarnings("ignore", message="reference already known")  # Bokeh's, of its own bookkeeping
    port, rig = free_port(address, port), Rig(model)
    from_address(first, rig)
    threading.Thread(target=rig.window, daemon=True).start()  # compiles while the browser opens
    panel().serve(
        lambda: session(model, first),
        port=port,
        address=address,
        websocket_origin=origins(address, port),
        show=show,
        title=TITLE,
        unused_session_lifetime_milliseconds=UNUSED,
    )


# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-knob
# Without the synapse from LP onto the pacemaker the period is 1498 ms. Predict, before you move anything:
# which of the other six synapses change it then?
# ```
#
# ```{solution-start} ex-knob
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# free = Rig()
# without = {"LP-AB/PD": 0.0}
# periods = {}
# for name in ("AB-LP", "PD-LP", "AB-PY", "PD-PY", "LP-PY", "PY-LP"):
#     free.change(free.setup._replace(values=tuple((without | {name: 0.0}).items())))
#     free.restart()
#     free.window()
#     periods[name] = round(free.judge().period)
# assert set(periods.values()) == {1498}
# periods

# %% [markdown]
# None: no other synapse ends on the pacemaker, so that nothing that they do can reach it.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-warm
# Warm the circuit of Fig. 3e by 5 °C. How much does its period shrink, and is the rhythm still regular?
# ```
#
# ```{solution-start} ex-warm
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# warm, found = Rig(), {}
# for T in (10.0, 15.0):  # °C
#     warm.change(warm.setup._replace(temperature=T))
#     warm.restart()
#     warm.window()
#     found[T] = warm.judge()
# assert found[15.0].period < 0.75 * found[10.0].period
# {T: (round(j.period), j.line) for T, j in found.items()}

# %% [markdown]
# Rates that double with 10 °C grow by 41% with 5 °C, which takes 29% from every duration; the period shrinks
# by about as much.
# ```{solution-end}
# ```
#
# ```{exercise}
# :label: ex-pair
# Take the pair of circuits with the same rhythm. Swap the LP cell of the first for that of the second. Is it
# still pyloric?
# ```
#
# ```{solution-start} ex-pair
# :class: dropdown
# ```

# %% tags=["active-ipynb"]
# from .exploring.setups import table_of_cells
#
# pair = [Rig(setup=x) for x in PRESETS["Same rhythm, other conductances"]]
# one = pair[0]
# one.change(one.with_values(table_of_cells(one.base(one.setup), "LP")["LP 5"]))
# one.window()
# one.judge().line

# %% [markdown]
# A conductance that is right in one circuit may be wrong in another: what counts is how they go together.
# ```{solution-end}
# ```
