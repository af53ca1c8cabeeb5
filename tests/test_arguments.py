"""Refusals of input that is accepted all too easily: it looks like a number, an array, a circuit.

`test_refusals.py` has the plain cases. Here, too, the message gives the value and the cure.
"""

from collections.abc import Callable
from typing import Any

import diffrax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator import prinz2004
from pyloric_simulator.config import find_circuit
from pyloric_simulator.prinz2004 import CHANNELS, CONSTANTS, B, Prinz2004, neuron_models, simulate

T = np.arange(5.0)
PAIR = {"AB": 1, "LP": 1}
ROWS = neuron_models.loc[["AB/PD 3", "LP 1"]]
PRODUCT = B(1, 2) * B(3, 4)


def pair(gs: Any = None, g_ion: Any = ROWS, **kwargs: Any) -> Prinz2004:
    return Prinz2004(PAIR, {} if gs is None else gs, g_ion, **kwargs)


def paper(t: Any = T, I_ext: Any = None, **kwargs: Any) -> Any:
    model = Prinz2004.from_toml(find_circuit("paper"))
    return model(t, I_ext, **({"state": model.cold} | kwargs))


def adaptive(**tolerance: float) -> Any:
    return paper(solver=diffrax.Tsit5(), **tolerance)


def pure(I_ext: Any) -> Any:
    model = pair()
    return simulate(model.params, model.cold, T, I_ext, dt=0.25)


def mixed(**fields: Any) -> Any:
    return pair().cold._replace(**fields)


# What is tried, the error it must raise, and what its message must contain.
REFUSALS: dict[str, tuple[Callable[[], Any], type[Exception], list[str]]] = {
    # circuits
    "ge for each population": (lambda: pair(ge=[1, 2]), ValueError, ["ge", "(2,)", "one"]),
    "rows of g_ion in another order": (
        lambda: pair(g_ion=ROWS.set_axis(["LP", "AB"])), ValueError, ["'LP'", "'AB'", "order"]),
    "a cell type that cannot be a label": (
        lambda: Prinz2004({"x": 1}, {}, ROWS[:1], cell_types={"x": ["LP"]}),  # type: ignore[dict-item]
        TypeError, ["['LP']", "cell_types"]),
    "cell types that are no mapping": (
        lambda: pair(cell_types="LP"), TypeError, ["'LP'", "mapping"]),
    "precision without a name": (lambda: pair(dtype=""), ValueError, ["''", "'float64'"]),
    "two channels of one name": (
        lambda: Prinz2004({"LP": 1}, {}, np.ones((1, 9)), channels=(*CHANNELS, CHANNELS[0])),
        ValueError, ["'Na'", "twice"]),
    "no capacitance": (
        lambda: pair(constants=CONSTANTS._replace(C=0.0)), ValueError, ["C", "0", "positive"]),
    "negative time constant": (
        lambda: pair(constants=CONSTANTS._replace(τ_Ca=-200.0)), ValueError, ["τ_Ca", "-200", "positive"]),
    "constants that are NaN": (
        lambda: pair(constants=CONSTANTS._replace(γ=np.nan)), ValueError, ["γ", "nan", "finite"]),
    # times and schemes
    "dt for ages": (lambda: paper(dt=1e-300), ValueError, ["1e-300", "step"]),
    "t beyond all ages": (lambda: paper([1e300]), ValueError, ["1e+300", "step"]),
    "rtol negative": (lambda: adaptive(rtol=-1.0), ValueError, ["rtol", "-1", "positive"]),
    "rtol infinite": (lambda: adaptive(rtol=np.inf), ValueError, ["rtol", "inf", "finite"]),
    "atol NaN": (lambda: adaptive(atol=np.nan), ValueError, ["atol", "nan", "finite"]),
    "tolerances of zero": (lambda: adaptive(rtol=0.0, atol=0.0), ValueError, ["rtol", "0", "positive"]),
    "t0 NaN": (lambda: paper(t0=np.nan), ValueError, ["t0", "nan", "finite"]),
    "t0 text": (lambda: paper(t0="0"), TypeError, ["t0", "'0'", "number"]),
    # states
    "state of text": (
        lambda: pair()(T, state=mixed(V=np.array(["a", "b"]))), TypeError, ["state.V", "'a'", "numbers"]),
    "ragged state": (
        lambda: pair()(T, state=mixed(V=[[1], [1, 2]])), (TypeError, ValueError), ["state.V", "numbers"]),
    "a result for a state": (lambda: paper(state=object()), TypeError, ["object", "final_state"]),
    # input
    "I_ext for a cell twice": (
        lambda: paper(I_ext=pd.DataFrame({"LP": [1.0], ("LP", 0): [2.0]}, index=[0.0])),
        ValueError, ["('LP', 0)", "twice"]),
    "I_ext with gaps": (
        lambda: paper(I_ext=pd.DataFrame({"LP": [0.0, np.nan]}, index=[0.0, 1.0])),
        ValueError, ["nan", "Fill the gap"]),
    "I_ext of a population as a list": (lambda: paper(I_ext={"LP": [1, 2]}), TypeError, ["[1, 2]", "numbers"]),
    "too few steps of I_ext": (
        lambda: pure(jnp.ones((3, 2))), ValueError, ["I_ext", "(3, 2)", "steps"]),
    "I_ext of another circuit": (lambda: pure(jnp.ones(3)), (TypeError, ValueError), ["I_ext", "(3,)", "cell"]),
    # results and curves
    "slice by text": (lambda: paper([0.0])["a":"b"], TypeError, ["'a'", "result[2000:3000]"]),
    "sum of two curves": (lambda: B(1, 2) + B(3, 4), TypeError, ["k1=4", "plain function"]),
    "sum after a difference": (lambda: 1 - B(1, 2) + B(3, 4), TypeError, ["k1=4", "plain function"]),
    "term beside a product": (lambda: 1 - PRODUCT, ValueError, ["already a product", "plain function"]),
    "product of three": (lambda: PRODUCT * B(5, 6), ValueError, ["already a product", "plain function"]),
    "product of products": (lambda: B(5, 6) * PRODUCT, ValueError, ["not of the form", "plain function"]),
}  # fmt: skip
AFTER_A_RUN = {"slice by text"}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, kind, parts = REFUSALS[name]
    if name not in AFTER_A_RUN:
        for start in ("compiled_integrate", "compiled_with_function", "run_adaptively", "integrate"):
            monkeypatch.setattr(prinz2004, start, lambda *_, **__: pytest.fail("computed before the refusal"))
    with pytest.raises(kind) as caught:
        attempt()
    for part in parts:
        assert part in str(caught.value)


def test_a_labelled_input_goes_by_its_labels() -> None:
    """A Series is a mapping, in whatever order."""
    series = pd.Series({"PY": 0.1, "AB/PD": 0.3, "LP": 0.2})
    one, other = paper(I_ext=series), paper(I_ext=series.to_dict())
    np.testing.assert_array_equal(one.states.V, other.states.V)


def test_channels_may_be_a_list() -> None:
    model = Prinz2004({"LP 1": 1}, {}, channels=list(CHANNELS))  # type: ignore[arg-type]
    assert hash(model.circuit) == hash(Prinz2004({"LP 1": 1}, {}).circuit)
