"""Thousands of any model at once: each row is the single run of the model with the numbers of the row."""

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import AXON, LIU, pair

from pyloric_simulator import rhythm
from pyloric_simulator.config import find_circuit
from pyloric_simulator.ensembles.ensemble import ensemble
from pyloric_simulator.fitting.parameters import model_with
from pyloric_simulator.lab.noise import OU, White, noisy
from pyloric_simulator.lab.temperature import TYPICAL, at_temperature
from pyloric_simulator.models.networks import GapJunction, Kinetic, Network, Synapse
from pyloric_simulator.prinz2004 import GLUTAMATE, Prinz2004, neuron_models

T = np.arange(0, 40.0)  # ms
ABSOLUTE = dict(rtol=0, atol=1e-6)  # mV; measured: 4e-7 where cells spike


def opening(s: Any, V_pre: Any, _: Any) -> Any:
    """A kinetic synapse."""
    return (1 - s) / (1 + jnp.exp(-(V_pre + 10) / 3)) - s * 0.02


@cache
def mixed() -> Network:
    """Cells of two kinds, a graded and a kinetic synapse, a gap junction, two cells in a population."""
    joined = [
        Synapse("a", "b", GLUTAMATE, 30),
        GapJunction("a", "c", 50),
        Synapse("b", "a", Kinetic("slow", 0.0, opening, start=0.1), 100),
    ]
    return Network({"a": AXON, "b": LIU, "c": AXON}, joined, sizes={"c": 2})


@cache
def circuit() -> Prinz2004:
    """AB and PD apart, several cells in two populations."""
    strengths = {("AB", "LP"): 30, ("PD", "LP"): 15, ("AB", "PY"): 10, ("PD", "PY"): 1.5, ("LP", "AB"): 30, ("LP", "PD"): 30,
                 ("LP", "PY"): 1, ("PY", "LP"): 30, ("PY", "PY"): 1}  # fmt: skip
    rows = neuron_models.loc[["AB/PD 2", "AB/PD 3", "LP 4", "PY 1"]]
    return Prinz2004({"AB": 1, "PD": 2, "LP": 1, "PY": 3}, strengths, rows)


def potentials(table: pd.DataFrame, row: int) -> np.ndarray:
    """(time, cell) of a row."""
    return np.stack([table[name].iloc[row] for name in table if name.startswith("V ")], 1)


def run(model: Any, parameters: Any, **options: Any) -> pd.DataFrame:
    """An ensemble without a bar."""
    return ensemble(model, parameters, progress=False, **options)


# ---------------------------------------------------------------- what varies


@pytest.mark.slow
def test_conductances_kinetics_and_gap_junctions_of_a_circuit() -> None:
    rows = {"LP Na": [80.0, 100, 120], "ge": [1.0, 10, 20], "E Kd": [-80.0, -75, -85], "AB-LP": [30.0, 10, 0],
            "Na m inf a1": [25.5, 26, 25]}  # fmt: skip
    table = run(circuit(), rows, keep="V", t=T, I_ext=1.0, state=circuit().cold)
    assert list(table[list(rows)].iloc[1]) == [100, 10, -75, 10, 26]
    for i in range(3):
        one = model_with(circuit(), {name: x[i] for name, x in rows.items()})
        np.testing.assert_allclose(potentials(table, i), one(T, 1.0, circuit().cold).states.V, **ABSOLUTE)


@pytest.mark.slow
def test_numbers_of_a_network_with_functions_and_kinetic_synapses() -> None:
    rows = {
        "a Na": [100.0, 130],
        "a=c ge": [1.0, 20],
        "b: C": [0.628, 0.7],
        "a-b": [1.0, 5],
        "b-a": [1.0, 200],
        "V0 a": [-65.0, -30],
    }
    table = run(mixed(), rows, keep="V", t=T, I_ext={"a": 5})
    for i in range(2):
        one = model_with(mixed(), {name: x[i] for name, x in rows.items() if name != "V0 a"})
        start = one.cold._replace(V=np.array([rows["V0 a"][i], *one.cold.V[1:]]))
        np.testing.assert_allclose(potentials(table, i), one(T, {"a": 5}, start).states.V, **ABSOLUTE)


@pytest.mark.slow
def test_temperature() -> None:
    table = run(circuit(), {"temperature": [10.0, 15, 20]}, keep="V", t=T, state=circuit().cold, q10=TYPICAL)
    for i, degrees in enumerate((10.0, 15.0, 20.0)):
        one = at_temperature(circuit(), degrees, TYPICAL)
        np.testing.assert_allclose(potentials(table, i), one(T, state=circuit().cold).states.V, **ABSOLUTE)


@pytest.mark.parametrize(
    ("make", "noise"), [(pair, White(1.0)), pytest.param(mixed, OU(0.5, 0.3, 5.0), marks=pytest.mark.slow)]
)
def test_noise_is_that_of_the_single_run(make: Any, noise: Any) -> None:
    model = make()
    table = run(model, {"seed": [0, 7]}, keep="V", t=T, noise=noise)
    for i, seed in enumerate((0, 7)):
        np.testing.assert_allclose(potentials(table, i), noisy(model, T, current=noise, seed=seed).states.V, **ABSOLUTE)
    assert abs(potentials(table, 0) - potentials(table, 1)).max() > 0.1


@pytest.mark.slow
def test_sampled_input_its_factor_and_a_function_of_the_run() -> None:
    I = pd.DataFrame({"a": 5 * np.sin(T / 5)}, index=T)
    rows = {"input": [0.0, 1, 2], "I b": [0.0, 0.1, 0.2]}
    table = run(
        mixed(), rows, keep=lambda t, y: {"mean": y.V.mean(), "late": jnp.where(t > 20, y.V[:, 0], 0)}, t=T, I_ext=I
    )
    for i in range(3):
        one = mixed()(T, (I * rows["input"][i]).assign(b=rows["I b"][i])).states.V
        assert table["mean"].iloc[i] == pytest.approx(one.mean(), abs=1e-8)
        np.testing.assert_allclose(table["late"].iloc[i], np.where(T > 20, one[:, 0], 0), **ABSOLUTE)


@pytest.mark.slow
def test_a_function_of_time_and_potentials_at_a_thermalized_start() -> None:
    cell, I = Prinz2004({"PY 2": 1}, {}, ge=0), lambda t: 0.5 * jnp.sin(t / 3)
    table = run(cell, {"PY 2 Kd": [75.0, 90.0], "V0 PY 2": [-40.0, -60.0]}, keep="V", t=T, I_ext=I)
    for i, (g, V) in enumerate(((75.0, -40.0), (90.0, -60.0))):
        one = model_with(cell, {"PY 2 Kd": g})
        start = one.get_thermalization()._replace(V=np.array([V]))
        np.testing.assert_allclose(potentials(table, i), one(T, I, start).states.V, **ABSOLUTE)


@pytest.mark.parametrize(
    ("cells", "solver", "dtype", "mV"), [(1, "exponential_euler", "float64", 1e-6), (40, "staggered", "float32", 1e-2)]
)
def test_coupled_cells_few_and_many_by_both_schemes_without_input(
    cells: int, solver: str, dtype: str, mV: float
) -> None:
    model = Network({"a": AXON, "c": AXON}, [GapJunction("a", "c", 50)], sizes={"c": cells})
    rows = {"a Na": [100.0, 130.0], "V0 a": [-40.0, -40.0]}
    table = run(model, rows, keep="V", t=T[:10], solver=solver, dtype=dtype)
    for i, g in enumerate(rows["a Na"]):
        start = model.cold._replace(V=np.where(np.arange(cells + 1) == 0, -40.0, model.cold.V))
        one = model_with(model, {"a Na": g})(T[:10], state=start, solver=solver)
        np.testing.assert_allclose(potentials(table, i), one.states.V, rtol=0, atol=mV)


# ---------------------------------------------------------------- what is kept


@pytest.mark.slow
def test_spikes_rhythm_and_thermalized_starts() -> None:
    cell = Prinz2004({"AB/PD 2": 1}, {}, ge=0)
    rows, times = {"AB/PD 2 CaS": [6.0, 8.0]}, np.arange(0, 3000, 0.05)
    table = run(cell, rows, duration=3000, transient=500)
    for i, g in enumerate(rows["AB/PD 2 CaS"]):
        V = model_with(cell, {"AB/PD 2 CaS": g})(times).states.V[:, 0]
        expected = rhythm.spikes(times, V)
        np.testing.assert_allclose(table["spikes AB/PD 2"].iloc[i], expected[expected > 500], rtol=0, atol=0.02)
    assert table["finite"].all()
    found = run(cell, rows, duration=6000, transient=1000, keep="rhythm")
    whole = cell(np.arange(1000, 6000.0, 0.1))
    assert found["AB/PD 2 period (ms)"].iloc[0] == pytest.approx(rhythm.summary(whole)["period (ms)"].iloc[0], rel=1e-4)


@pytest.mark.slow
def test_features_are_those_of_the_single_run() -> None:
    paper = Prinz2004.from_toml(find_circuit("paper"))
    table = run(paper, {"AB-LP": [30.0, 10.0]}, duration=6000, transient=1000, keep="features")
    alone = rhythm.features(paper(np.arange(1000, 6000, 0.05)))
    np.testing.assert_allclose(table.iloc[0][alone.index].to_numpy(float), alone, rtol=1e-3)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    rows = pd.DataFrame({"cell Na": np.linspace(100, 140, 70)}, index=np.arange(70) + 1000)
    table = run(AXON, rows, keep="V", t=T, I_ext=7.0, batch_size=64)
    assert list(table.index) == list(rows.index)
    alone = run(AXON, rows.iloc[[66]], keep="V", t=T, I_ext=7.0)
    np.testing.assert_array_equal(potentials(alone, 0), potentials(table, 66))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: run(mixed(), 3, duration=100), TypeError, "DataFrame or a mapping"),
        (lambda: run(mixed(), {"a Naa": [1.0]}, duration=100), ValueError, "no parameter 'a Naa'"),
        (lambda: run(mixed(), {"a Na": []}, duration=100), ValueError, "0 rows"),
        (lambda: run(mixed(), {"a Na": [1.0, np.nan]}, duration=100), ValueError, "row 1.*finite"),
        (lambda: run(mixed(), {"a Na": [-1.0]}, duration=100), ValueError, "'a Na' is -1"),
        (lambda: run(mixed(), {"a Na": [1.0]}), ValueError, "a duration"),
        (lambda: run(mixed(), {"a Na": [1.0]}, keep="V", duration=100), ValueError, "times t"),
        (lambda: run(mixed(), {"a Na": [1.0]}, keep="Ca", duration=100), ValueError, "'Ca'"),
        (lambda: run(mixed(), {"a Na": [1.0]}, keep="features", duration=100), ValueError, "no cell of type PD"),
        (lambda: run(mixed(), {"temperature": [283.0]}, duration=100), ValueError, "283.*°C.*subtract"),
        (lambda: run(mixed(), {"seed": [1]}, duration=100), ValueError, "no noise"),
        (lambda: run(mixed(), {"seed": [0.5]}, duration=100, noise=White(1.0)), (ValueError, TypeError), "seed"),
        (lambda: run(mixed(), {"a Na": [1.0]}, duration=100, noise=3), TypeError, "White"),
        (lambda: run(mixed(), {"a Na": [1.0]}, duration=100, solver="euler"), ValueError, "'euler'"),
        (lambda: run(mixed(), {"a Na": [1.0]}, duration=100, transient=200), ValueError, "transient"),
        (lambda: run("LP", {"a Na": [1.0]}, duration=100), TypeError, "'LP'"),
        (lambda: run(mixed(), {"V0 d": [1.0]}, duration=100), ValueError, "'V0 d'"),
    ],
)
def test_bad_input_is_refused(call: Any, error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        call()


def test_a_run_goes_on_in_its_folder(tmp_path: Any) -> None:
    I = 7.0
    rows = {"cell Na": np.linspace(100, 140, 70)}
    first = run(AXON, rows, keep="V", t=T, I_ext=I, path=tmp_path, batch_size=64)
    parts = sorted(tmp_path.glob("part-*.parquet"))
    assert len(parts) == 2
    parts[0].unlink()
    again = run(AXON, rows, keep="V", t=T, I_ext=I, path=tmp_path, batch_size=64)
    np.testing.assert_array_equal(potentials(again, 3), potentials(first, 3))
    for others in (dict(I_ext=8.0), dict(I_ext=I, dt=0.1), dict(I_ext=I, keep=lambda t, y: {"V": y.V})):  # noqa: ARG005
        with pytest.raises(ValueError, match="another folder"):
            run(AXON, rows, t=T, path=tmp_path, batch_size=64, **{"keep": "V"} | others)


@pytest.mark.parametrize(
    ("keep", "says"),
    [
        (
            lambda states: {"V": states.V},
            r"1 positional argument but 2 were given\. It must take both\. Write lambda t, states",
        ),
        (lambda t, states: states.V.max() + t[0], "returns an array; it must return a mapping"),
        (lambda t, states: {"V": np.asarray(states.V).max() + t[0]}, "jax.numpy in the place of numpy"),
    ],
)
def test_own_function_is_looked_at_before_anything_runs(keep: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        ensemble(AXON, {"cell Na": [100.0, 120.0]}, t=np.arange(0, 5.0), keep=keep)
