"""Refusals of input that is accepted all too easily: it looks like a number, an array, a circuit.

`test_refusals.py` has the plain cases. Here, too, the message gives the value and the cure.
"""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator import prinz2004
from pyloric_simulator.config import find_circuit
from pyloric_simulator.fitting.adjoint import simulate_with_adjoint
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
        fail = lambda *_, **__: pytest.fail("computed before the refusal")  # noqa: E731
        runs = dict.fromkeys(("integrate", "integrate_with_function", "integrate_adaptively"), fail)
        monkeypatch.setattr(prinz2004.Model, "physics", prinz2004.Model.physics._replace(**runs))
        monkeypatch.setattr(prinz2004, "integrate", fail)
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


# ---------------------------------------------------------------- right values


def test_axes_of_gs_go_by_their_names() -> None:
    labels = ["AB", "LP"]
    pre, post = (pd.Index(labels, name=name) for name in ("pre", "post"))
    for frame in (pd.DataFrame([[0, 0], [7, 0]], post, pre), pd.DataFrame([[0, 7], [0, 0]], pre, post)):
        model = pair(gs=frame)
        assert dict(zip(model.synapses, model.params.gs, strict=True)) == {("AB", "LP"): 7}
    pairs = pd.MultiIndex.from_tuples([("LP", "AB")], names=["post", "pre"])
    assert pair(gs=pd.Series([7.0], pairs)).synapses == [("AB", "LP")]
    assert pair(gs=pd.Series([7.0], pd.MultiIndex.from_tuples([("AB", "LP")]))).synapses == [("AB", "LP")]


def test_rows_of_g_ion_may_have_names_that_say_nothing_else() -> None:
    for names in (["AB/PD 3", "LP 1"], ["AB", "LP"], ["my AB", "LP fast"], ["left", "right"], [17, 4]):
        np.testing.assert_array_equal(pair(g_ion=ROWS.set_axis(names)).params.g, ROWS)


def test_legitimate_circuits_draw_no_warning() -> None:
    """No channel, weak and strong synapses, cells of other densities, area and temperature: warnings are errors here."""
    pair(gs={("AB", "LP"): 0, ("LP", "AB"): 0.1}, g_ion=ROWS * 0, ge=0)
    pair(gs={("AB", "LP"): 1000}, g_ion=ROWS * 2.5, constants=CONSTANTS._replace(A=1e-4, C=0.1, γ=12.8))
    pair(g_ion=ROWS.assign(Na=0.0, H=1.0, leak=0.5), constants=CONSTANTS._replace(V_th=0.0, Ca_out=13000.0))
    paper(I_ext=[0, -5, 20])
    paper(I_ext=lambda t: 0.0 * t)
    paper(np.arange(20) * 0.01)
    paper(np.arange(20) * 0.0015, dt=0.0015)


def test_constants_are_plain_numbers() -> None:
    model = pair(constants=CONSTANTS._replace(C=np.float32(0.5), V_th=-35))
    assert [type(x) for x in model.circuit.constants] == [float] * len(CONSTANTS)
    assert model.circuit.constants.C == 0.5


def test_a_state_of_mixed_types_is_computed_in_the_widest() -> None:
    model = pair()
    mix = model.cold._replace(V=model.cold.V.astype(np.float32), Ca=list(model.cold.Ca), h=model.cold.h.astype(int))
    for run in (simulate, simulate_with_adjoint):
        a, b = jax.jit(lambda run=run: [run(model.params, y, T) for y in (mix, model.cold)])()
        assert a.V.dtype == np.float64
        np.testing.assert_array_equal(a.V, b.V)


def test_replacing_takes_lists_batches_and_tracers() -> None:
    params = pair(gs={("AB", "LP"): 3}).params
    assert params.replace(gs=[5]).gs.dtype == np.float64
    batch = params.replace(g=np.stack([params.g, 2 * params.g]))
    V = jax.jit(jax.vmap(lambda g: simulate(params.replace(g=g), pair().cold, T, dt=0.25).V))(batch.g)
    assert V.shape == (2, 5, 2)
    with pytest.raises(ValueError, match=r"params.g has shape \(2, 2, 8\)"):
        simulate(batch, pair().cold, T)


@pytest.mark.parametrize("solver", [diffrax.Tsit5(), pytest.param(diffrax.Kvaerno5(), marks=pytest.mark.slow)])
def test_an_adaptive_solver_ends_where_an_input_is_not_a_number(solver: Any) -> None:
    """It says which cell and when, long before its last step; synapses would carry it to all cells within a step."""
    model = pair(gs={("LP", "AB"): 30, ("AB", "LP"): 30})
    with pytest.raises(FloatingPointError, match=r"V of cell \('LP', 0\) is not finite at t = 3 ms; it was at 2 ms"):
        model(T, lambda t: jnp.where(t > 2.5, jnp.array([0, jnp.nan]), 0.0), model.cold, solver=solver)


@pytest.mark.slow
def test_an_adaptive_solver_ends_at_once_where_the_start_has_no_slope() -> None:
    with pytest.raises(FloatingPointError, match=r"cell \('AB', 0\) is not finite at t = 0 ms"):
        pair()(T, lambda _: jnp.array([jnp.nan, 0]), pair().cold, solver=diffrax.Tsit5())


def test_a_potential_of_no_cell_draws_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"V of cell \('AB', 0\) reaches -[\d,]+ mV at t = .*pA"):
        pair()(np.arange(0, 20, 0.5), lambda t: jnp.where(t > 10.01, -90.0, 0.0), pair().cold)
