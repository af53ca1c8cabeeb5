"""What enters a circuit: currents in time, conductances and labels, synapses, channels, constants, states, shapes, times and sizes."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
from networks import axon

from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine.inputs import Sampled
from pyloric_simulator.engine.schedule import NotRecorded
from pyloric_simulator.fitting.adjoint import simulate_with_adjoint
from pyloric_simulator.lab.current_clamp import current_clamp
from pyloric_simulator.models.channels import Prinz2003
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Network
from pyloric_simulator.models.neurons import Neuron
from pyloric_simulator.prinz2004 import (
    CHANNELS,
    CONSTANTS,
    B,
    Channel,
    Gate,
    Params,
    Prinz2004,
    State,
    currents,
    derivative,
    integrate,
    neuron_models,
    simulate,
)

from . import Case, mistyped, refused, warned

T = np.arange(5.0)
PAPER = Prinz2004.from_toml(find_circuit("paper"))
P, COLD = PAPER.params, PAPER.cold
ROWS = neuron_models.loc[["AB/PD 3", "LP 1"]]
TWO = Prinz2004({"AB": 1, "LP": 1}, {}, ROWS)
AXON = Network({"axon": axon()})
INTEGRATE_AND_FIRE = LIF(2)
PRE, POST = (pd.Index(["AB", "LP"], name=name) for name in ("pre", "post"))
TRAJECTORY = State(*(x[None] for x in TWO.cold))
BRAIN = jnp.zeros(3, jnp.bfloat16)
GATE = Gate(B(27, -7), 5 + B(40, 10))


def passive(y: Any, I: Any, _: Any) -> dict[str, Any]:
    """The equation of one cell."""
    return dict(V=I - y.V)


NEURON = Neuron(dict(V=0.0), passive)


def call(I_ext: Any = None, t: Any = T, **kwargs: Any) -> Any:
    return PAPER(t, I_ext, **({"state": COLD} | kwargs))


def short(**columns: Any) -> pd.DataFrame:
    """A table of currents from 0 to 2 ms."""
    return pd.DataFrame(columns, [0.0, 2.0])


def pair(g_ion: Any = ROWS, gs: Any = None, **kwargs: Any) -> Prinz2004:
    return Prinz2004({"AB": 1, "LP": 1}, {} if gs is None else gs, g_ion, **kwargs)


def changed(**fields: Any) -> Any:
    """Parameters with other fields, past all checks."""
    return Params(**({"g": P.g, "gs": P.gs, "ge": P.ge} | fields), circuit=P.circuit)


def of_state(**fields: Any) -> State:
    return COLD._replace(**fields)


def constants(**changes: Any) -> Callable[[], Any]:
    return lambda: pair(constants=CONSTANTS._replace(**changes))


def own_channel(*args: Any) -> Callable[[], Any]:
    return lambda: Prinz2004({"LP 1": 1}, {}, channels=(*CHANNELS[:-1], Channel("leak", *args)))


def part(*names: str) -> State:
    """States of which only some were recorded."""
    return State(*(np.zeros((5, 3)) if n in names else NotRecorded(n, x) for n, x in COLD._asdict().items()))


IN_TIME = {
    "a table that ends early": refused(
        lambda: call(short(LP=[0, -1.0])), "0 to 2 ms", "0 to 4 ms", "outside=0", "'hold'"
    ),
    "a table that begins late": refused(lambda: call(pd.DataFrame({"LP": [0, 1.0]}, [1.0, 4.0])), "1 to 4 ms", "cover"),
    "a table of one time": refused(lambda: call(pd.DataFrame({"LP": [1.0]}, [0.0])), "0 to 0 ms", "cover"),
    "a series that ends early": refused(lambda: call(pd.Series([0, 1.0], [0.0, 2.0])), "0 to 2 ms", "cover"),
    "a series that begins late": refused(lambda: call(pd.Series([0, 1.0], [3.0, 9.0])), "3 to 9 ms", "cover"),
    "durations that end early": refused(
        lambda: call(pd.Series([0, 1.0], pd.to_timedelta([0, 2], unit="ms"))), "0 to 2 ms", "cover"
    ),
    "durations in s": refused(
        lambda: call(pd.Series([0, 1.0], pd.to_timedelta([1, 2], unit="s"))), "1000 to 2000 ms", "cover"
    ),
    "a pair that ends early": refused(lambda: call(([0, 2.0], [0, 1.0])), "0 to 2 ms", "cover"),
    "samples with times that end early": refused(
        lambda: call(Sampled(np.zeros(3), times=[0, 1, 2.0])), "0 to 2 ms", "cover"
    ),
    "samples at times after the start": refused(
        lambda: call(np.zeros(10), np.arange(100, 110.0)), "100 to 109", "0 to 109", "cover"
    ),
    "samples in cells after the start": refused(
        lambda: call(np.zeros((10, 3)), np.arange(9, 19.0)), "9 to 18", "cover"
    ),
    "one sample less than the run": refused(lambda: call(pd.Series(np.zeros(4), np.arange(4.0))), "0 to 3 ms", "cover"),
    "times in s": refused(lambda: call(pd.Series(np.zeros(5), T / 1000)), "0 to 0.004 ms", "cover"),
    "rows counted": refused(lambda: call(pd.Series(np.zeros(9))), "counts rows from 0 to 8", "set_axis", "to_numpy()"),
    "rows counted, a table": refused(lambda: call(pd.DataFrame({"LP": np.zeros(9)})), "counts rows", "set_axis"),
    "rows counted, cells meant": refused(lambda: call(pd.Series([1.0, 2.0, 3.0])), "counts rows", "one for each cell"),
    "dates": mistyped(
        lambda: call(pd.Series([0, 1.0], pd.date_range("2020", periods=2))), "DatetimeIndex", "2020", "- start"
    ),
    "dates with a zone": mistyped(
        lambda: call(pd.Series([0, 1.0], pd.date_range("2020", periods=2, tz="UTC"))), "2020", "- start"
    ),
    "periods": mistyped(lambda: call(pd.Series([0, 1.0], pd.period_range("2020", periods=2))), "PeriodIndex", "ms"),
    "a column of times": refused(lambda: call(pd.DataFrame({"time": T, "LP": T})), "'time'", "set_index('time')"),
    "times that go back": refused(
        lambda: call(pd.Series([0, 1.0], [4.0, 0.0])), "[4.0, 0.0]", "increasing", "sort_index"
    ),
    "times twice": refused(lambda: call(pd.Series([0, 1.0, 2.0], [0.0, 0.0, 4.0])), "[0.0, 0.0]", "increasing"),
    "times missing": refused(lambda: call(pd.Series([0, 1.0], [0.0, np.nan])), "nan", "finite"),
    "times of text": mistyped(lambda: call(pd.DataFrame({"LP": [0, 1.0]}, ["0", "4"])), "'0'", "times in ms"),
    "no times": refused(lambda: call(pd.DataFrame({"LP": []}, np.zeros(0))), "0 times", "one at least"),
    "rows and times that differ": refused(lambda: call(Sampled(short(LP=[0, 1.0]), times=T)), "2 rows", "5 times"),
    "a table turned": refused(
        lambda: call(pd.DataFrame(np.zeros((3, 5)), list(PAPER.labels), T)), "'AB/PD'", "I_ext.T"
    ),
    "an array turned": refused(lambda: call(np.zeros((3, 5))), "(3, 5)", "(time, cell)", "I_ext.T"),
    "an array of other cells": refused(lambda: call(np.zeros((5, 4))), "(5, 4)", "3 cells"),
    "values and times that differ": refused(lambda: call(Sampled(np.zeros(3), times=[0, 1.0])), "(3,)", "2 times"),
    "samples of one number": refused(lambda: call(Sampled(1.0, outside=0)), "shape ()", "times"),
    "samples of a mapping": mistyped(lambda: call(Sampled({"LP": 3})), "{'LP': 3}", "numbers"),
    "outside misspelt": refused(lambda: Sampled(T, outside="holds"), "'holds'", "'hold'"),
    "outside not a number": refused(lambda: Sampled(T, outside=np.nan), "nan", "finite"),
    "outside a truth value": mistyped(lambda: Sampled(T, outside=True), "True", "'hold'"),
    "outside an array": mistyped(lambda: Sampled(T, outside=[0, 1]), "[0, 1]", "nA"),
    "a network": refused(lambda: AXON(T, short(axon=[0, 1.0])), "0 to 2 ms", "cover"),
    "a network, series": refused(lambda: AXON(T, pd.Series([0, 1.0], [1.0, 9.0])), "1 to 9 ms", "cover"),
    "current clamp, a table": refused(lambda: current_clamp(AXON, T, short(axon=[0, 1.0])), "0 to 2 ms", "cover"),
    "current clamp, a series": refused(
        lambda: current_clamp(AXON, T, pd.Series([0, 1.0], [0.0, 2.0])), "0 to 2 ms", "cover"
    )._replace(compiles=True),
    "current clamp, a pair": refused(lambda: current_clamp(AXON, T, ([0, 2.0], [0, 1.0])), "0 to 2 ms", "cover"),
    "current clamp, a mapping": refused(
        lambda: current_clamp(AXON, T, {"axon": pd.Series([0, 1.0], [0.0, 2.0])}), "I_ext['axon']", "0 to 2 ms", "cover"
    ),
    "current clamp, counted rows": refused(
        lambda: current_clamp(AXON, T, {"axon": pd.Series(np.zeros(9))}), "counts rows", "df.index"
    ),
    "integrate and fire": refused(lambda: INTEGRATE_AND_FIRE(T, short(LIF=[0, 1.0])), "0 to 2 ms", "cover"),
    "a cell of equations": refused(lambda: NEURON(T, short(Neuron=[0, 1.0])), "0 to 2 ms", "cover"),
}
OF_CELLS = {
    "a series with a wrong label": refused(
        lambda: call(pd.Series({"LP": 1.0, "PYY": 2.0})), "'PYY'", "Did you mean 'PY'"
    ),
    "a series with a number among labels": refused(lambda: call(pd.Series([1.0, 2.0], ["LP", 3])), "3", "'LP'"),
    "a series with a label twice": refused(lambda: call(pd.Series([1.0, 2.0], ["LP", "LP"])), "('LP', 0)", "twice"),
    "a label and its cell": refused(lambda: call({"LP": 1.0, ("LP", 0): 2.0}), "('LP', 0)", "twice"),
    "a column twice": refused(
        lambda: call(pd.DataFrame(np.zeros((2, 2)), [0.0, 4.0], ["LP", "LP"])), "('LP', 0)", "twice"
    ),
    "a cell that is not there": refused(lambda: call({("LP", 1): 1.0}), "('LP', 1)", "('AB/PD', 0)"),
    "a cell before the first": refused(lambda: call({("LP", -1): 1.0}), "('LP', -1)", "('AB/PD', 0)"),
    "a terminal for a population": refused(lambda: call({"AB": 1.0}), "'AB'", "'AB/PD'"),
    "a series in a mapping": mistyped(
        lambda: call({"LP": pd.Series([1.0, 2.0])}), "I_ext['LP']", "a Series", "DataFrame"
    ),
    "a function in a mapping": mistyped(lambda: call({"LP": lambda t: t}), "a function", "DataFrame"),
    "a truth value in a mapping": mistyped(lambda: call({"LP": True}), "True", "numbers in nA"),
    "truth values": mistyped(lambda: call(np.zeros((5, 3), bool)), "truth values", "nA"),
    "complex numbers": mistyped(lambda: call(np.zeros(3, complex)), "complex", "nA"),
    "half precision": mistyped(lambda: call(np.zeros(3, np.float16)), "float16", "float64"),
    "masked": refused(lambda: call(np.ma.masked_equal([1.0, 2.0, 3.0], 2.0)), "1 masked", "filled"),
    "a function of truth values": mistyped(lambda: call(lambda t: t > 3), "bool", "nA"),
    "in pA": warned(lambda: call(500.0, [0.0]), "500 nA", "pA", "0.001"),
    "in pA, a table": warned(lambda: call(pd.DataFrame({"LP": [0, -500.0]}, [0.0, 1.0]), [0.0]), "500 nA", "pA"),
    "in pA, a function": warned(lambda: call(lambda t: jnp.where(t > 2, 500.0, 0.0), [0.0, 4.0]), "500 nA", "pA"),
    "in µA": warned(lambda: call({"LP": 2e-4}, [0.0]), "0.0002 nA", "µA", "1000"),
    "in A": warned(lambda: call(5e-10, [0.0]), "5e-10 nA", "in A"),
    "in pA, a protocol": warned(lambda: current_clamp(AXON, [0.0], {"axon": 500.0}), "500 nA", "pA"),
    "pure, a table": mistyped(lambda: simulate(P, COLD, T, short(LP=[0, 1.0])), "DataFrame", "(3,)"),
    "pure, a mapping": mistyped(lambda: simulate(P, COLD, T, {"LP": 1.0}), "dict", "(3,)"),
    "pure, a truth value": mistyped(lambda: simulate(P, COLD, T, True), "True", "nA"),
    "pure, of other cells": refused(lambda: simulate(P, COLD, T, np.ones(2)), "(2,)", "(3,)"),
    "pure, a function of other cells": refused(lambda: simulate(P, COLD, T, lambda _: jnp.ones(2)), "(2,)", "(3,)"),
    "pure, a function that fails": mistyped(
        lambda: simulate(P, COLD, T, lambda t: float(t)), "cannot be traced", "jax.numpy"
    ),
    "adjoint, of other cells": refused(lambda: simulate_with_adjoint(P, COLD, T, np.ones(2)), "(2,)", "(3,)"),
    "slopes, of other cells": refused(lambda: derivative(P, COLD, np.ones(2)), "(2,)", "(3,)"),
    "vector field, of other cells": refused(
        lambda: PAPER.vector_field(0.0, PAPER.flatten(COLD), np.ones(2)), "(2,)", "(3,)"
    ),
}
SHAPES = {
    "params: none": mistyped(lambda: simulate(None, COLD, T), "NoneType", "model.params"),
    "params: a mapping": mistyped(lambda: simulate({"g": 1}, COLD, T), "dict", "model.params"),
    "params: a model": mistyped(lambda: simulate(PAPER, COLD, T), "Prinz2004", "model.params"),
    "params: of a network": refused(lambda: simulate(AXON.params, COLD, T), "(3,)", "(1,)"),
    "params: g of two cells": refused(lambda: simulate(changed(g=P.g[:2]), COLD, T), "(2, 8)", "(3, 8)"),
    "params: seven channels": refused(lambda: simulate(changed(g=P.g[:, :7]), COLD, T), "(3, 7)", "(3, 8)"),
    "params: synapses missing": refused(lambda: simulate(changed(gs=P.gs[:3]), COLD, T), "(3,)", "(7,)"),
    "params: two ge": refused(lambda: simulate(changed(ge=np.ones(2)), COLD, T), "(2,)", "()"),
    "params: no ge": refused(lambda: simulate(changed(ge=None), COLD, T), "ge", "missing"),
    "params: truth values": mistyped(lambda: simulate(changed(gs=P.gs > 0), COLD, T), "gs", "truth values"),
    "params: in the slopes": refused(lambda: derivative(changed(g=P.g[:2]), COLD), "(2, 8)", "(3, 8)"),
    "params: in the adjoint": refused(lambda: simulate_with_adjoint(changed(g=P.g[:2]), COLD, T), "(2, 8)", "(3, 8)"),
    "params: in the currents": refused(lambda: currents(changed(gs=P.gs[1:]), TRAJECTORY), "(6,)", "(7,)"),
    "params: in integrate": mistyped(
        lambda: integrate(None, COLD, None, None, grid=None, solver="staggered", dt=0.05, t0=0.0),
        "NoneType",
        "model.params",
    ),
    "replace: g of two cells": refused(lambda: P.replace(g=P.g[:2]), "(2, 8)", "(3, 8)"),
    "replace: seven channels": refused(lambda: P.replace(g=P.g[:, :7]), "(3, 7)", "(3, 8)"),
    "replace: one number for all": refused(lambda: P.replace(g=100.0), "()", "(3, 8)"),
    "replace: synapses missing": refused(lambda: P.replace(gs=[30.0, 30.0]), "(2,)", "(7,)"),
    "replace: negative": refused(lambda: P.replace(gs=-P.gs), "-30", "not be negative"),
    "replace: not a number": refused(lambda: P.replace(ge=np.nan), "nan", "finite"),
    "replace: a table": mistyped(lambda: P.replace(g=ROWS), "DataFrame", "to_numpy()"),
    "replace: a mapping": mistyped(lambda: P.replace(gs={("AB", "LP"): 3}), "dict", "(7,)"),
    "replace: misspelt": refused(lambda: P.replace(gS=P.gs), "'gS'", "'gs'"),
    "replace: text": mistyped(lambda: P.replace(ge="10"), "'10'", "nS"),
    "state: none": mistyped(lambda: simulate(P, None, T), "NoneType", "final_state"),
    "state: a mapping": mistyped(lambda: simulate(P, COLD._asdict(), T), "dict", "final_state"),
    "state: of a network": refused(lambda: simulate(P, AXON.cold, T), "(1,)", "(3,)"),
    "state: of two cells": refused(lambda: simulate(P, TWO.cold, T), "(2,)", "(3,)"),
    "state: one potential": refused(lambda: simulate(P, of_state(V=-50.0), T), "state.V", "(3,)"),
    "state: six gates": refused(lambda: simulate(P, of_state(m=COLD.m[:, :6]), T), "(3, 6)", "(3, 7)"),
    "state: one transmitter": refused(lambda: simulate(P, of_state(s=COLD.s[:, :1]), T), "(3, 1)", "(3, 2)"),
    "state: truth values": mistyped(lambda: simulate(P, of_state(V=np.ones(3, bool)), T), "state.V", "truth values"),
    "state: half precision": mistyped(lambda: simulate(P, of_state(V=COLD.V.astype(np.float16)), T), "float16"),
    "state: JAX's half precision": mistyped(lambda: simulate(P, of_state(V=BRAIN), T), "bfloat16", "astype"),
    "state: complex": mistyped(lambda: simulate(P, of_state(V=COLD.V + 0j), T), "complex"),
    "state: text": mistyped(lambda: simulate(P, of_state(V=["a"] * 3), T), "'a'", "numbers"),
    "state: whole numbers": refused(
        lambda: simulate(P, State(*(np.asarray(x, int) for x in COLD)), T), "state.Ca", "0", "positive"
    ),
    "state: not a number": refused(lambda: simulate(P, of_state(V=COLD.V * np.nan), T), "state.V", "nan", "finite"),
    "state: in volts": warned(lambda: call(None, [0.0], state=of_state(V=COLD.V / 1000)), "0.05 mV", "in V", "1000"),
    "state: in the adjoint": refused(lambda: simulate_with_adjoint(P, TWO.cold, T), "(2,)", "(3,)"),
    "state: in the slopes": refused(lambda: PAPER.derivative(0.0, TWO.cold), "(2,)", "(3,)"),
    "state: a mapping in the slopes": mistyped(lambda: PAPER.derivative(0.0, COLD._asdict()), "dict", "State"),
    "state: time of text": mistyped(lambda: PAPER.derivative("0", COLD), "'0'", "ms"),
    "state: without times in currents": refused(lambda: PAPER.currents(COLD), "(3,)", "(time, 3)"),
    "state: of two cells in currents": refused(lambda: PAPER.currents(TRAJECTORY), "(1, 2)", "(time, 3)"),
    "state: flattened, of two cells": refused(lambda: PAPER.flatten(TWO.cold), "(2,)", "(3,)"),
    "state: flattened, none": mistyped(lambda: PAPER.flatten(None), "NoneType", "model.cold"),
    "vector: too short": refused(lambda: PAPER.vector_field(0.0, np.zeros(10)), "(10,)", "45 variables"),
    "vector: turned": refused(lambda: PAPER.unflatten(np.zeros((45, 7))), "(45, 7)", "y.T"),
    "vector: text": mistyped(lambda: PAPER.unflatten(["a"] * 45), "'a'", "numbers"),
}
CONDUCTANCES = {
    "g: in S/cm²": warned(lambda: pair(ROWS / 1000), "0.2 mS/cm²", "S/cm²", "1000"),
    "g: in µS/cm²": warned(lambda: pair(ROWS * 1000), "200000 mS/cm²", "µS/cm²"),
    "g: in µS/mm²": warned(lambda: pair(ROWS * 10), "10 times", "µS/mm²"),
    "g: in µS of the cell": warned(lambda: pair(ROWS * 0.628), "0.628 times", "'AB/PD 3'", "µS"),
    "g: in nS of the cell": warned(lambda: pair(ROWS * 628), "mS/cm²"),
    "g: an array in S/cm²": warned(lambda: pair(ROWS.to_numpy() / 1000), "0.2 mS/cm²", "S/cm²"),
    "g: one column in S/cm²": warned(lambda: pair(ROWS.assign(Kd=ROWS.Kd / 1000)), "Kd", "0.05 mS/cm²", "S/cm²"),
    "g: row of another type": refused(
        lambda: pair(neuron_models.loc[["AB/PD 3", "PY 1"]]), "'PY 1'", "'LP'", "set_axis"
    ),
    "g: rows partly populations": refused(lambda: pair(ROWS.set_axis(["AB", "LPP"])), "'LPP'", "Did you mean 'LP'"),
    "g: row of another population": refused(lambda: pair(ROWS.set_axis(["LP", "x"])), "'LP'", "'AB'", "to_numpy()"),
    "g: row misspelt": refused(lambda: pair(ROWS.set_axis(["ABPD 3", "LP 1"])), "'ABPD 3'", "'AB'"),
    "g: row without its blank": refused(lambda: pair(ROWS.set_axis(["AB/PD 3", "LP1"])), "'LP1'", "'LP'"),
    "g: row in small letters": refused(lambda: pair(ROWS.set_axis(["ab/pd 3", "lp 1"])), "'ab/pd 3'", "'AB'"),
    "g: rows exchanged": refused(lambda: pair(ROWS[::-1]), "'LP 1'", "'AB'"),
    "g: a row twice": refused(lambda: pair(ROWS.set_axis(["LP", "LP"])), "'LP'", "'AB'"),
    "g: row of another cell": refused(
        lambda: Prinz2004({"LP 3": 1}, {}, neuron_models.loc[["LP 4"]]), "'LP 4'", "'LP 3'"
    ),
    "g: all rows": refused(lambda: pair(neuron_models), "(16, 8)", "2 populations"),
    "g: a column twice": refused(lambda: pair(pd.concat([ROWS, ROWS[["Na"]]], axis=1)), "'Na' twice", "Drop"),
    "g: turned": refused(lambda: pair(ROWS.T), "'Na'", "g_ion.T"),
    "g: a mapping": mistyped(lambda: pair({"AB": "AB/PD 3", "LP": "LP 1"}), "dict", "neuron_models.loc"),
    "g: one row": mistyped(lambda: pair(neuron_models.loc["LP 1"]), "Series", "neuron_models.loc"),
    "g: names of cells": mistyped(lambda: pair(["AB/PD 3", "LP 1"]), "list", "neuron_models.loc"),
    "g: truth values": mistyped(lambda: pair(np.ones((2, 8), bool)), "truth values", "mS/cm²"),
    "g: half precision": mistyped(lambda: pair(ROWS.astype(np.float16)), "float16"),
    "g: nullable": refused(lambda: pair(ROWS.astype("Float64").where(ROWS != 0)), "CaT", "missing"),
    "g: masked": refused(lambda: pair(np.ma.masked_equal(ROWS.to_numpy(), 50.0)), "masked", "filled"),
    "gs: in µS": warned(lambda: pair(gs={("AB", "LP"): 0.03, ("LP", "AB"): 0.01}), "0.03 nS", "µS", "1 more"),
    "gs: in pS": warned(lambda: pair(gs=[[0, 3e4], [0, 0]]), "3e+04 nS", "pS", "0.001"),
    "gs: ge in µS": warned(lambda: pair(ge=0.01), "ge is 0.01 nS", "µS"),
    "gs: ge a truth value": mistyped(lambda: pair(ge=True), "True", "nS"),
    "gs: terminals as rows": refused(
        lambda: Prinz2004(
            {"AB/PD": 1, "LP": 1}, pd.DataFrame([[0, 3], [0, 3], [3, 0]], ["AB", "PD", "LP"], ["AB/PD", "LP"]), ROWS
        ),
        "'AB', 'PD', 'LP'",
        "gs.T",
    ),
    "gs: both axes presynaptic": refused(lambda: pair(gs=pd.DataFrame(np.ones((2, 2)), PRE, PRE)), "'pre'", "'post'"),
    "gs: a list": mistyped(lambda: pair(gs=[("AB", "LP", 30)]), "('AB', 'LP', 30)", "{('AB', 'LP'): 30}"),
    "gs: a number": refused(lambda: pair(gs=3.0), "()", "2 × 2"),
    "gs: a series of terminals": mistyped(lambda: pair(gs=pd.Series({"AB": 1.0})), "'AB'", "('AB', 'LP')"),
    "gs: a synapse twice": refused(
        lambda: pair(gs=pd.Series([1.0, 2.0], pd.MultiIndex.from_tuples([("AB", "LP")] * 2))), "('AB', 'LP')", "twice"
    ),
    "gs: another name of a terminal": refused(
        lambda: Prinz2004({"AB/PD": 1, "LP": 1}, {("AB", "LP"): 1, ("AB/PD:AB", "LP"): 2}, ROWS), "'AB/PD:AB'", "'AB'"
    ),
    "gs: a truth value": mistyped(lambda: pair(gs={("AB", "LP"): True}), "True", "nS"),
    "gs: a row misspelt, of zeros": refused(
        lambda: pair(gs=pd.DataFrame([[0, 1], [0, 0]], ["AB", "LPP"], ["AB", "LP"])), "'LPP'", "Did you mean 'LP'"
    ),
    "gs: a column misspelt, of zeros": refused(
        lambda: pair(gs=pd.DataFrame([[0, 0], [1, 0]], ["AB", "LP"], ["AB", "LPP"])), "'LPP'", "Did you mean 'LP'"
    ),
    "gs: text": mistyped(lambda: pair(gs={("AB", "LP"): "30"}), "'30'", "nS"),
}
MEMBRANE = {
    "constants: a mapping": mistyped(lambda: pair(constants={}), "{}", "CONSTANTS._replace"),
    "constants: none": mistyped(lambda: pair(constants=None), "None", "CONSTANTS._replace"),
    "constants: a truth value": mistyped(constants(A=True), "True", "number"),
    "constants: text": mistyped(constants(C="0.6"), "'0.6'", "number"),
    "constants: area in µm²": warned(constants(A=62800.0), "6.28e+04 cm²", "µm²", "1e-08"),
    "constants: area in mm²": warned(constants(A=0.628), "0.628 cm²", "mm²"),
    "constants: RT/F": warned(constants(γ=24.4), "γ is 24.4 mV", "RT/2F", "0.5"),
    "constants: RT/2F in V": warned(constants(γ=0.0122), "0.0122 mV", "in V"),
    "constants: C in pF": warned(constants(C=628.0), "628 nF", "pF"),
    "constants: C in µF": warned(constants(C=0.628e-3), "0.000628 nF", "µF"),
    "constants: calcium in mM": warned(constants(Ca_out=3.0), "Ca_out is 3 µM", "mM"),
    "constants: calcium in nM": warned(constants(Ca_rest=50.0), "Ca_rest is 50 µM", "nM"),
    "constants: buffering in s": warned(constants(τ_Ca=0.2), "τ_Ca is 0.2 ms", "in s"),
    "constants: threshold in V": warned(constants(V_th=-0.035), "V_th is 0.035 mV", "in V"),
    "constants: negative f": refused(constants(f=-14.96), "-14.96", "not be negative"),
    "constants: least calcium above rest": refused(constants(Ca_min=1.0), "1 µM", "0.05 µM"),
    "constants: τ_min in µs": warned(constants(τ_min=1.0), "τ_min is 1 ms", "µs"),
    "constants: slope in V": warned(constants(Δ=0.005), "0.005 mV", "in V"),
    "channel: a gate without exponent": refused(own_channel(-50, 0, GATE), "'leak'", "p = 0", "gate"),
    "channel: an exponent without gate": refused(own_channel(-50, 2), "'leak'", "p = 2", "no gate"),
    "channel: negative exponent": refused(own_channel(-50, -1, GATE), "-1", "0 or more"),
    "channel: truth value for an exponent": mistyped(own_channel(-50, True, GATE), "True", "number"),
    "channel: the ion's name": mistyped(own_channel("ca"), "'ca'", "E=None"),
    "channel: E not a number": refused(own_channel(np.nan), "nan", "finite"),
    "channel: E in V": warned(own_channel(-0.05), "0.05 mV", "in V"),
    "channel: no Gate": mistyped(own_channel(-50, 1, (1, 2)), "(1, 2)", "Gate(inf, tau)"),
    "channel: negative K": refused(own_channel(-50, 1, GATE._replace(K=-3)), "-3 µM", "not be negative"),
    "channel: τ below 0": refused(own_channel(-50, 1, Gate(B(1, -2), -1 * B(1, 2))), "ms at V", "positive")._replace(
        compiles=True
    ),
    "channel: x∞ above 1": refused(own_channel(-50, 1, Gate(2 * B(1, -2), 5 + B(1, 2))), "between 0 and 1")._replace(
        compiles=True
    ),
    "channel: τ in s": warned(own_channel(-50, 1, Gate(B(1, -2), 0.005 + 0 * B(1, 2))), "0.005 ms", "in s"),
    "channels: with densities": mistyped(
        lambda: Prinz2004({"LP 1": 1}, {}, channels=(Prinz2003.Na(100),)), "Placed", "g_ion"
    ),
    "channels: none": refused(lambda: pair(channels=(), g_ion=np.zeros((2, 0))), "empty", "CHANNELS"),
    "channel: E of two": mistyped(own_channel(np.array([1, 2])), "array([1, 2])", "mV"),
    "channels: one": mistyped(lambda: Prinz2004({"LP 1": 1}, {}, channels=CHANNELS[0]), "Channel", "sequence"),
    "channels: text": mistyped(lambda: Prinz2004({"LP 1": 1}, {}, channels="Na"), "'Na'", "sequence"),
}
TIMES_AND_SIZES = {
    "t: durations": mistyped(lambda: call(None, pd.to_timedelta([0, 1], unit="ms")), "durations", "ms"),
    "t: in s": warned(lambda: call(None, np.arange(0, 0.02, 0.0005)), "0.0005 ms", "in s", "1000"),
    "t: dt in s": warned(lambda: call(None, [0.0], dt=5e-5), "5e-05 ms", "in s"),
    "t: dense, and one far": refused(lambda: call(None, [*np.arange(0, 100, 0.05), 1e8]), "GB", "1e+08", "final_state"),
    "t: beyond the resolution of numbers": refused(
        lambda: call(None, 1e15 + T, t0=1e15), "1e+15", "0.125 ms apart", "from the start"
    ),
    "t: an input at too many steps": refused(
        lambda: call(pd.DataFrame({"LP": [0, 1.0]}, [0.0, 1e8]), [1e8]), "GB", "function of t"
    ),
    "t: too many times": refused(lambda: call(None, [*np.arange(0, 1, 0.07), 1e8]), "GB of memory", "final_state"),
    "size: 10⁹ cells": refused(lambda: Prinz2004({"LP 1": 10**9}, {}), "1,000,000,000 cells", "GB"),
    "size: 10¹⁸ cells": refused(lambda: Prinz2004({"LP 1": 10**18}, {}), "cells", "GB"),
    "size: a network of 10⁹": refused(
        lambda: Network(AXON.made_of, sizes={"axon": 10**9}), "1,000,000,000 cells", "GB"
    ),
    "size: 10⁹ that integrate and fire": refused(lambda: LIF(10**9), "1,000,000,000 cells", "GB"),
    "size: 10⁹ of one's own": refused(lambda: Neuron(dict(V=0.0), passive, size=10**9), "1,000,000,000 cells", "GB"),
    "size: too many steps of one's own": refused(lambda: NEURON([1e15], dt=0.1), "1e+15", "dt = 0.1"),
    "record: one name": mistyped(lambda: call(record="V"), "'V'", "record=('V',)"),
    "record: misspelt": refused(lambda: call(record=("v",)), "'v'", "'V'"),
    "record: nothing": refused(lambda: call(record=()), "empty", "record=('V',)"),
    "record: not recorded, an array": refused(lambda: np.asarray(part("V").Ca), "Ca was not recorded", "Add 'Ca'"),
    "record: not recorded, a time": refused(lambda: part("V").Ca[3], "Ca was not recorded"),
    "record: not recorded, its shape": refused(lambda: part("V").m.shape, "m was not recorded"),
    "record: not recorded, currents": refused(lambda: PAPER.currents(part("V")), "was not recorded", "record"),
    "record: a network": refused(lambda: AXON(T, record=("n",)), "'n'", "'V'"),
}
CASES: dict[str, Case] = IN_TIME | OF_CELLS | SHAPES | CONDUCTANCES | MEMBRANE | TIMES_AND_SIZES
