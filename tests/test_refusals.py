"""Bad input: each refusal gives the value, the rule and the cure, before anything is compiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator import prinz2004
from pyloric_simulator.config import find_circuit
from pyloric_simulator.prinz2004 import B, Prinz2004, bell, neuron_models, simulate

T = np.arange(5.0)
PAIR = {"AB": 1, "LP": 1}
ROWS = neuron_models.loc[["AB/PD 3", "LP 1"]]


def paper() -> Prinz2004:
    return Prinz2004.from_toml(find_circuit("paper"))


def pair(gs: Any = None, g_ion: Any = ROWS, **kwargs: Any) -> Prinz2004:
    return Prinz2004(PAIR, {} if gs is None else gs, g_ion, **kwargs)


def changed(rows: pd.DataFrame, value: float) -> pd.DataFrame:
    rows = rows.copy()
    rows.iloc[1, 2] = value
    return rows


def started(**fields: Any) -> Callable[[], Any]:
    def run() -> Any:
        model = paper()
        return model(T, state=model.cold._replace(**fields))

    return run


REFUSALS: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    # circuit
    "populations as list": (lambda: Prinz2004(["LP"], {}), TypeError, ["['LP']", "mapping"]),
    "no populations": (lambda: Prinz2004({}, {}), ValueError, ["empty", "at least one"]),
    "label not text": (lambda: Prinz2004({1: 1}, {}), TypeError, ["1", "name the population"]),
    "size zero": (lambda: Prinz2004({"LP 1": 0}, {}), ValueError, ["0", "at least 1", "Leave"]),
    "size negative": (lambda: Prinz2004({"LP 1": -2}, {}), ValueError, ["-2", "at least 1"]),
    "size broken": (lambda: Prinz2004({"LP 1": 1.5}, {}), TypeError, ["1.5", "whole number"]),
    "size boolean": (lambda: Prinz2004({"LP 1": True}, {}), TypeError, ["True", "whole number"]),
    "unknown label": (lambda: Prinz2004({"ABPD": 1}, {}), ValueError, ["'ABPD'", "Did you mean 'AB/PD'"]),
    "unknown cell": (lambda: Prinz2004({"LP 9": 1}, {}), ValueError, ["'LP 9'", "cell_types="]),
    "cell type typo": (lambda: Prinz2004({"X": 1}, {}, ROWS[:1], cell_types={"X": "LPP"}), ValueError, ["'LPP'", "'LP'"]),
    "cell type of nobody": (lambda: pair(cell_types={"PY": "PY"}), ValueError, ["'PY'", "'AB', 'LP'"]),
    "no g_ion": (lambda: Prinz2004({"LP": 1}, {}), ValueError, ["'LP'", "give g_ion"]),
    "g_ion rows": (lambda: pair(g_ion=ROWS[:1]), ValueError, ["(1, 8)", "2 populations"]),
    "g_ion columns": (lambda: pair(g_ion=ROWS.to_numpy()[:, :7]), ValueError, ["(2, 7)", "8 channels"]),
    "g_ion without a channel": (lambda: pair(g_ion=ROWS.drop(columns="Kd")), ValueError, ["'Kd'", "has 0"]),
    "g_ion channel typo": (lambda: pair(g_ion=ROWS.rename(columns={"Kd": "Kdd"})), ValueError, ["'Kdd'", "'Kd'"]),
    "g_ion negative": (lambda: pair(g_ion=changed(ROWS, -1)), ValueError, ["-1", "not be negative"]),
    "g_ion NaN": (lambda: pair(g_ion=changed(ROWS, np.nan)), ValueError, ["nan", "finite"]),
    "g_ion infinite": (lambda: pair(g_ion=changed(ROWS, np.inf)), ValueError, ["inf", "finite"]),
    "g_ion text": (lambda: pair(g_ion=[["a"] * 8] * 2), TypeError, ["'a'", "numbers in mS/cm²"]),
    "precision typo": (lambda: pair(dtype="float46"), ValueError, ["'float46'", "'float64'"]),
    # synapses
    "gs shape": (lambda: pair([[0, 3]]), ValueError, ["(1, 2)", "2 × 2"]),
    "gs text": (lambda: pair([["a", 0], [0, 0]]), TypeError, ["'a'", "numbers in nS"]),
    "gs negative": (lambda: pair([[0, -3], [0, 0]]), ValueError, ["-3", "reversal potential"]),
    "gs NaN": (lambda: pair({("AB", "LP"): np.nan}), ValueError, ["nan", "finite"]),
    "gs key": (lambda: pair({"AB": 3}), TypeError, ["'AB'", "write (presynaptic terminal"]),
    "gs terminal": (lambda: pair({("PD", "LP"): 3}), ValueError, ["'PD'", "the circuit has 'AB', 'LP'"]),
    "gs post": (lambda: pair({("AB", "LPP"): 3}), ValueError, ["'LPP'", "Did you mean 'LP'"]),
    "gs array": (lambda: pair({("AB", "LP"): [1, 2]}), ValueError, ["(2,)", "one conductance"]),
    "gs two terminals": (lambda: Prinz2004({"AB/PD 1": 1, "LP 1": 1}, {("AB/PD 1", "LP 1"): 3}), ValueError, ["'AB', 'PD'", "say which"]),
    "gs autapse": (lambda: pair([[3, 0], [0, 0]]), ValueError, ["'AB'", "onto itself", "remove"]),
    "gs column twice": (
        lambda: pair(pd.DataFrame(np.ones((2, 2)), ["AB", "LP"], ["AB", "AB"])), ValueError, ["'AB' twice", "Merge"]),
    "gs frame label": (
        lambda: pair(pd.DataFrame(np.ones((1, 1)), ["LP"], ["A"])), ValueError, ["'A'", "the circuit has"]),
    "ge negative": (lambda: pair(ge=-1), ValueError, ["-1", "not be negative"]),
    "ge NaN": (lambda: pair(ge=float("nan")), ValueError, ["nan", "finite"]),
    # times and schemes
    "t empty": (lambda: paper()([]), ValueError, ["(0,)", "at least one"]),
    "t text": (lambda: paper()("abc"), TypeError, ["'abc'", "np.arange"]),
    "t two-dimensional": (lambda: paper()(np.ones((2, 2))), ValueError, ["(2, 2)", "one-dimensional"]),
    "t unsorted": (lambda: paper()([0, 2, 1]), ValueError, ["t[1] = 2", "np.unique"]),
    "t repeated": (lambda: paper()([0, 1, 1]), ValueError, ["followed by 1", "np.unique"]),
    "t negative": (lambda: paper()([-1, 1]), ValueError, ["-1", "Drop"]),
    "t before t0": (lambda: paper()([1, 2], t0=1.5), ValueError, ["t[0] is 1 ms", "t0 = 1.5"]),
    "t NaN": (lambda: paper()([0, np.nan]), ValueError, ["t[1] is nan", "finite"]),
    "t traced": (
        lambda: jax.jit(lambda t: simulate(paper().params, paper().cold, t).V)(jnp.arange(3.0)), TypeError, ["traced", "Close over"]),
    "dt zero": (lambda: paper()(T, dt=0), ValueError, ["dt is 0", "positive"]),
    "dt negative": (lambda: paper()(T, dt=-0.1), ValueError, ["-0.1", "positive"]),
    "dt too large": (lambda: paper()(T, dt=1), ValueError, ["dt is 1 ms", "0.25", "smaller"]),
    "dt NaN": (lambda: paper()(T, dt=float("nan")), ValueError, ["nan", "finite"]),
    "dt text": (lambda: paper()(T, dt="0.05"), TypeError, ["'0.05'", "number in ms"]),
    "dt boolean": (lambda: paper()(T, dt=True), TypeError, ["True", "number in ms"]),
    "solver typo": (lambda: paper()(T, solver="stagered"), ValueError, ["'stagered'", "Did you mean 'staggered'"]),
    "solver class": (lambda: paper()(T, solver=diffrax.Tsit5), TypeError, ["Tsit5", "instance"]),
    "solver number": (lambda: paper()(T, solver=4), TypeError, ["4", "diffrax"]),
    # state
    "state of another circuit": (lambda: paper()(T, state=pair().cold), ValueError, ["state.V", "(2,)", "(3,)"]),
    "state not a state": (lambda: paper()(T, state=np.zeros(3)), TypeError, ["ndarray", "final_state"]),
    "state NaN": (started(V=np.full(3, np.nan)), ValueError, ["state.V", "nan", "finite"]),
    "state gate": (started(m=np.full((3, 7), 1.5)), ValueError, ["state.m", "1.5", "between 0 and 1"]),
    "state calcium": (started(Ca=np.zeros(3)), ValueError, ["0", "positive"]),
    # input
    "I_ext size": (lambda: paper()(T, [1, 2]), ValueError, ["(2,)", "3 cells"]),
    "I_ext shape": (lambda: paper()(T, np.ones((5, 2))), ValueError, ["(5, 2)", "(time, cell)"]),
    "I_ext ambiguous": (lambda: paper()(T[:3], [1, 2, 3]), ValueError, ["3 values", "cells or times"]),
    "I_ext NaN": (lambda: paper()(T, np.nan), ValueError, ["nan", "finite"]),
    "I_ext text": (lambda: paper()(T, "strong"), TypeError, ["'strong'", "numbers in nA"]),
    "I_ext population": (lambda: paper()(T, {"AB": 1}), ValueError, ["'AB'", "'AB/PD'"]),
    "I_ext column": (lambda: paper()(T, pd.DataFrame({"X": [0.0, 1.0]})), ValueError, ["'X'", "'AB/PD'"]),
    "I_ext index": (lambda: paper()(T, pd.DataFrame({"LP": [0, 1]}, index=[1, 0])), ValueError, ["increasing", "sort_index"]),
    "I_ext function": (lambda: paper()(T, lambda t: np.sin(float(t))), TypeError, ["cannot be traced", "jax.numpy"]),
    "I_ext function's shape": (lambda: paper()(T, lambda _: jnp.ones(2)), ValueError, ["(2,)", "3 cells"]),
    # results and curves
    "slice by number": (lambda: paper()(T, state=paper().cold)[3], TypeError, ["3", "result[2000:3000]"]),
    "unknown variable": (lambda: paper()(T, state=paper().cold).to_csv("x", ["W"]), ValueError, ["'W'", "'V'"]),
    "sum of a product": (lambda: 1 + B(1, 2) * (1 + B(3, 4)), ValueError, ["already a product", "plain function"]),
    "product with a bell": (lambda: B(1, 2) * bell(1, 2, 3, 4), ValueError, ["not of the form", "plain function"]),
}  # fmt: skip
RUNS = {"slice by number", "unknown variable"}  # these refuse after a run


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, kind, parts = REFUSALS[name]
    if name not in RUNS:
        fail = lambda *_, **__: pytest.fail("compiled before the refusal")  # noqa: E731
        runs = dict.fromkeys(("integrate", "integrate_with_function", "integrate_adaptively"), fail)
        monkeypatch.setattr(prinz2004.Model, "physics", prinz2004.Model.physics._replace(**runs))
    with pytest.raises(kind) as caught:
        attempt()
    assert type(caught.value) is kind
    for part in parts:
        assert part in str(caught.value)


def test_there_are_at_least_forty_of_them() -> None:
    assert len(REFUSALS) >= 40


def test_a_circuit_file_with_a_typo_names_the_key(tmp_path: Path) -> None:
    file = tmp_path / "typo.toml"
    file.write_text('title = "x"\n[populations."LP 1"]\nsize = 1\nsise = 2\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r'populations\."LP 1"\.sise = 2 in .*typo\.toml: sise .*size'):
        Prinz2004.from_toml(file)


def test_a_circuit_file_with_an_unknown_cell(tmp_path: Path) -> None:
    file = tmp_path / "cell.toml"
    file.write_text('title = "x"\n[populations.LP]\nsize = 1\ncell = "LP 44"\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"cell\.toml.*'LP 44'.*Did you mean 'LP 4'"):
        Prinz2004.from_toml(file)


def test_a_run_that_turns_non_finite_says_which_cell_and_when() -> None:
    model = paper()
    with pytest.raises(FloatingPointError, match=r"cell \('LP', 0\) .* at t = 5.1 ms; it was at 5.05 ms"):
        model(np.arange(200) * 0.05, lambda t: jnp.where(t > 5.06, jnp.array([0, jnp.nan, 0]), 0.0), model.cold)
