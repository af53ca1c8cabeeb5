"""Random changes, knock-outs, and the way along a perturbation and back."""

import importlib.util
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from networks import STRENGTHS, axon

from pyloric_simulator import database
from pyloric_simulator.ensembles.ensemble import ensemble
from pyloric_simulator.export.equations import described
from pyloric_simulator.export.to_neuroml import neuroml_files
from pyloric_simulator.export.to_neuron import neuron_files
from pyloric_simulator.fitting.parameters import model_with, parameters
from pyloric_simulator.lab import robustness as r
from pyloric_simulator.models.channels import Liu1998, SwensenMarder2001
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Cell, Network
from pyloric_simulator.prinz2004 import Prinz2004, neuron_models, precision

ROOT = Path(__file__).resolve().parent.parent
POTASSIUM_SHARE = {"leak": 100 / 130, "H": 70 / 130, "Kd": 1.0, "Na": 0.0}  # of the way between −80 and 50 mV


@pytest.fixture(scope="module")
def cell():
    return Prinz2004({"AB/PD 2": 1}, gs={}, ge=0)


@pytest.fixture(scope="module")
def circuit():
    rows = neuron_models.loc[["AB/PD 2", "LP 4", "PY 1"]]
    return Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, STRENGTHS, rows)


# ---------------------------------------------------------------- draws


def test_factors_are_uniform_around_one():
    rows = r.perturbed({"a": 2.0, "b": 0.0}, [0, 0.5, 1], draws=4000, seed=3)
    assert rows.index.names == ["δ", "draw"]
    assert len(rows) == 8001
    assert rows.loc[0.0].to_numpy().tolist() == [[2.0, 0.0]]
    assert (rows["b"] == 0).all()
    half, one = rows.loc[0.5, "a"], rows.loc[1.0, "a"]
    assert half.between(1, 3).all()
    assert one.between(0, 4).all()
    assert half.mean() == pytest.approx(2, abs=0.05)
    assert half.std() == pytest.approx(1 / math.sqrt(3), abs=0.03)
    pd.testing.assert_frame_equal(rows, r.perturbed({"a": 2.0, "b": 0.0}, [0, 0.5, 1], draws=4000, seed=3))


@pytest.mark.parametrize("deltas", [[0, 2], [-0.1, 0.5], [0.5, 0.2]])
def test_factors_that_would_be_negative_are_refused(deltas):
    with pytest.raises(ValueError, match="deltas"):
        r.perturbed({"a": 1.0}, deltas, draws=2)


def test_kinds_are_membranes_and_synapses(circuit):
    inner, joined = (r.chosen_names(circuit, what) for what in ("intrinsic", "synaptic"))
    assert sorted(inner + joined) == sorted(r.conductance_names(circuit))
    assert len(joined) == 7
    assert r.chosen_names(circuit, ["LP Na"]) == ["LP Na"]
    for bad in ("LP Na", ["LP Nb"], []):
        with pytest.raises((TypeError, ValueError), match=r"what|parameter"):
            r.chosen_names(circuit, bad)
    with pytest.raises(ValueError, match="no such conductance"):
        r.chosen_names(Prinz2004({"AB/PD 2": 1}, gs={}, ge=0), "synaptic")


# ---------------------------------------------------------------- curves


@pytest.mark.parametrize(("midpoint", "width"), [(0.3, 0.05), (0.9, 0.2), (1.4, 0.3)])
def test_a_sigmoid_is_found_again(midpoint, width):
    δ = np.linspace(0, 1, 11)
    assert r.fitted(δ, r.sigmoid(δ, midpoint, width)) == pytest.approx((midpoint, width, 1), rel=1e-3)


def test_a_curve_that_stays_has_no_r2():
    assert math.isnan(r.fitted(np.linspace(0, 1, 11), np.ones(11))[2])


def test_area_is_that_of_trapezoids_and_its_interval_holds():
    δ, n, rng = np.linspace(0, 1, 11), 50, np.random.default_rng(1)
    truth, inside = r.sigmoid(δ, 0.5, 0.1), 0
    for _ in range(200):
        counts = rng.binomial(n, truth)
        kept = pd.concat({d: pd.Series(np.arange(n) < k) for d, k in zip(δ, counts, strict=True)}, names=["δ", "draw"])
        curve = r.curve_of(kept)
        area, (low, high) = r.area_of(curve)
        assert area == pytest.approx(np.trapezoid(curve["share"], δ))
        assert low < area < high
        assert (curve["low"] - 1e-9 <= curve["share"]).all()
        assert (curve["share"] <= curve["high"] + 1e-9).all()
        inside += low <= np.trapezoid(truth, δ) <= high
    assert inside > 180


def many(table: pd.DataFrame) -> np.ndarray:
    """Whether a cell spikes often."""
    return (table["cell spikes"] > 4).to_numpy()


def test_rows_are_those_of_the_ensemble() -> None:
    names, options = ["cell Na", "cell K"], dict(duration=100.0, transient=0.0, progress=False, I_ext=7.0)
    cell = axon()
    found = r.robustness(cell, names, deltas=[0, 1], draws=5, keeps=many, seed=2, **options)
    rows = r.perturbed({n: parameters(cell)[n] for n in names}, [0, 1], 5, 2)
    plain = ensemble(cell, rows.reset_index(drop=True), keep="rhythm", dtype="float32", **options)
    assert found.table["cell spikes"].tolist() == plain["cell spikes"].tolist()
    assert found.table["kept"].tolist() == many(plain).tolist()
    assert found.curve["of"].tolist() == [1, 5]
    assert 0 < found.curve["kept"].sum() < 6
    removed = r.knockouts(cell, names, **options)
    assert removed.index.tolist() == ["nothing", *names]
    assert removed["cell spikes"].iloc[0] == plain["cell spikes"].iloc[0] > removed["cell spikes"].iloc[1]


def test_knock_outs_at_a_temperature_and_from_a_state():
    """As single runs have them: the block is put on in the middle of an experiment."""
    cell, options = axon(), dict(duration=60.0, transient=0.0, I_ext=7.0, dtype="float64")
    state = cell(np.array([0.0, 7.3]), I_ext=7.0).final_state
    found = r.knockouts(cell, ["cell Na"], keep="spikes", temperature=16, state=state, progress=False, **options)
    assert found.columns.tolist() == ["spikes cell", "finite"]
    rows = {"cell Na": [parameters(cell)["cell Na"], 0.0], "temperature": [16.0, 16.0]}
    plain = ensemble(cell, rows, state=state, progress=False, **options)
    assert [x.tolist() for x in found["spikes cell"]] == [x.tolist() for x in plain["spikes cell"]]
    assert len(found["spikes cell"].iloc[0]) > len(found["spikes cell"].iloc[1])
    with pytest.raises(ValueError, match="temperature"):
        r.knockouts(cell, ["cell Na"], temperature=300)
    with pytest.raises(ValueError, match="keep"):
        r.knockouts(cell, ["cell Na"], keep="V")


def test_margins_are_one_in_the_middle_and_none_at_the_edge():
    middle = {c.name: (c.low + c.high) / 2 for c in r.CRITERIA}
    table = pd.DataFrame([middle, middle | {"duty_cycle_PD": 0.464}, middle | {"cycle_period": 3000.0}])
    assert r.margins(table)[:2] == pytest.approx([1, 0], abs=1e-9)
    assert r.margins(table)[2] < 0


def test_what_is_to_stay_is_checked(cell):
    with pytest.raises(ValueError, match="keeps"):
        r.robustness(cell, keeps="round")
    with pytest.raises(ValueError, match=r"one must vary"):
        r.robustness(cell, "synaptic", draws=1)
    with pytest.raises(ValueError, match="a truth for each"):
        r.stays(pd.DataFrame({"a": [1, 2]}), lambda table: table["a"] * 2)


def test_the_hundred_circuits_are_all_more_robust_to_synapses():
    areas = r.hundred_circuits()
    assert areas.shape == (100, 4)
    assert areas.index.is_unique
    assert areas.stack().between(0, 1).all()
    for rule in ("pyloric", "pyloric_like"):
        assert (areas[f"{rule} synaptic"] > areas[f"{rule} intrinsic"]).all()


def test_the_ten_circuits_are_more_robust_to_synapses_and_lie_from_the_edge_inwards():
    table = r.ten_circuits()
    whole = table.loc[pd.IndexSlice[:, ["intrinsic", "synaptic"], :], :]
    assert table.index.is_unique
    assert len(whole) == 200
    assert table.groupby(level="circuit")["margin"].nunique().eq(1).all()
    assert whole["margin"].between(0, 1).all()
    for rule in ("pyloric", "pyloric_like", "AB/PD", "LP", "PY"):
        assert table[rule].between(0, table["of"]).all()
    kept = (whole["pyloric"] / whole["of"]).groupby(level=["circuit", "kind"]).mean().unstack()
    assert (kept["synaptic"] > kept["intrinsic"]).all()


@pytest.mark.slow
def test_rows_of_the_ten_circuits_are_found_again():
    """Rounding differs between processors, and a circuit at the edge may fall to either side."""
    spec = importlib.util.spec_from_file_location("robustness_sample", ROOT / "tools" / "robustness_sample.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    table = r.ten_circuits()
    for key in [(tool.ten_circuits().index[7], "synaptic", 0.5), (tool.ten_circuits().index[7], "intrinsic", 0.1)]:
        blocks = range(table.loc[key, "of"].astype(int) // tool.BLOCK["whole"])
        rows = pd.concat([tool.block_of("whole", block).loc[[key]] for block in blocks])
        found = tool.properties(database.run(rows.reset_index(drop=True), progress=False))
        for rule in tool.RULES:
            assert abs(found[rule].sum() - table.loc[key, rule]) <= 2


# ---------------------------------------------------------------- perturbations


@pytest.mark.parametrize("times", [1.0, 2.0, 0.5])
def test_potassium_moves_what_potassium_passes(cell, times):
    moved, by = r.with_potassium(cell.params, times), 24.4 * math.log(times)
    for name, share in POTASSIUM_SHARE.items():
        before, after = (next(c for c in p.circuit.channels if c.name == name) for p in (cell.params, moved))
        assert float(after.E) == pytest.approx(before.E + share * by, abs=1e-4)
    same = r.with_E_K(cell.params, -80 + by)
    assert [float(c.E) for c in same.circuit.channels if c.ion is None] == pytest.approx(
        [float(c.E) for c in moved.circuit.channels if c.ion is None], abs=1e-4
    )


def test_picrotoxin_takes_glutamate_alone(circuit):
    left = np.asarray(r.with_block(circuit.params, 0.75).gs)
    glutamate = np.array([circuit.transmitters[s.transmitter].name == "glutamate" for s in circuit.circuit.synapses])
    np.testing.assert_allclose(left, circuit.params.gs * np.where(glutamate, 0.25, 1))
    assert glutamate.any()
    assert not glutamate.all()


def test_a_channel_without_density_changes_nothing(circuit):
    more, t = r.with_channel(circuit, r.MODULATORY), np.arange(0, 20, 0.5)
    np.testing.assert_allclose(more(t, state=more.cold).states.V, circuit(t, state=circuit.cold).states.V, atol=1e-9)
    assert parameters(more)["LP MI"] == 0
    assert float(more.circuit.only.channels[-1].m.tau(-40.0)) == 6.0
    dosed = more.like(r.with_modulator(more.params, 0.3))
    assert [parameters(dosed)[f"{x} MI"] for x in circuit.labels] == pytest.approx([0.3] * 3)
    with pytest.raises(ValueError, match="names must differ"):
        r.with_channel(more, r.MODULATORY)


def test_the_modulators_current_opens_with_depolarization_and_flows_in():
    MI, V = SwensenMarder2001.MI, jnp.linspace(-100, 40, 1401)
    assert r.MODULATORY is MI
    opened = np.asarray(MI.m.inf(V))
    assert (np.diff(opened) > 0).all()
    assert float(MI.m.inf(-21.0)) == 0.5
    assert opened[0] < 1e-4
    current = opened * (V - MI.E)
    assert (current[V < -22.1] < 0).all()
    assert (current[V > -21.9] > 0).all()
    assert float(V[np.argmin(current)]) == pytest.approx(-32, abs=0.1)
    assert float(np.min(current)) == pytest.approx(-2.02, abs=0.01)


def test_the_modulators_current_goes_wherever_channels_go(tmp_path):
    modulated = Network({"a": Cell([SwensenMarder2001.MI(0.1), Liu1998.leak(0.01)])})
    modulated.to_toml(tmp_path / "a.toml")
    assert '"SwensenMarder2001.MI"' in (tmp_path / "a.toml").read_text()
    assert Network.from_toml(tmp_path / "a.toml").circuit == modulated.circuit
    mod = neuron_files(described(modulated))["mod/ch_MI.mod"]
    assert "21" in mod
    assert any("MI" in text for text in neuroml_files(described(modulated)).values())


def test_dials_have_derivatives(cell):
    with precision():
        slope = jax.grad(lambda x: r.with_potassium(cell.params, x).circuit.only.channels[-1].E)(jnp.asarray(1.0))
    assert float(slope) == pytest.approx(24.4 * POTASSIUM_SHARE["leak"])


# ---------------------------------------------------------------- there and back


def test_each_position_goes_on_from_the_one_before(cell):
    t, way, start = np.arange(0, 30.1, r.EVERY), np.array([-80.0, -60.0, -80.0]), cell.cold
    turn = r.dial_of(cell, "E Kd").turn
    with precision("float64"):
        V = np.asarray(r.driven(cell, turn, jax.tree.map(jnp.asarray, start), jnp.asarray(way), t, 0.05))
    for x, found in zip(way, V, strict=True):
        run = model_with(cell, {"E Kd": x})(t, state=start)
        np.testing.assert_allclose(found, run.states.V[:-1], atol=1e-6)
        start = run.final_state


def test_a_drive_tells_where_it_was_lost(cell):
    def fast(table):
        return (table["AB/PD 2 spikes"] > 3).to_numpy()

    found = r.crash(cell, "E_K", [-80, -20], keeps=fast, duration=1000, transient=300)
    assert found.table.index.tolist() == [("there", -80), ("there", -20), ("back", -20), ("back", -80)]
    assert found.table["kept"].tolist()[1:3] == [False, False]
    assert found.unit == "mV"
    assert found.lost == (-20 if found.table["kept"].iloc[0] else -80)


def test_dials_begin_without_a_perturbation():
    for name, dial in r.DIALS.items():
        way = r.way_of(dial, None)
        assert len(way) > 4
        assert way[0] == {"temperature": 10, "E_K": -80, "potassium": 1}.get(name, 0)


def test_a_model_that_has_the_modulators_channel_keeps_it(circuit):
    once = r.modulated(circuit)
    assert r.modulated(once) is once
    assert [c.name for c in once.circuit.only.channels].count("MI") == 1


def test_turning_points():
    index = pd.MultiIndex.from_arrays([["there"] * 4 + ["back"] * 4, [1, 2, 3, 4, 4, 3, 2, 1]], names=["way", "x"])

    def kept(*x):
        return pd.Series(np.array(x, bool), index)

    assert r.turning_points(kept(1, 1, 1, 0, 0, 0, 1, 1)) == (4, 2)
    assert all(map(math.isnan, r.turning_points(kept(1, 1, 1, 1, 1, 1, 1, 1))))
    assert r.turning_points(kept(1, 0, 0, 0, 0, 0, 0, 0))[0] == 2
    table = kept(1, 1, 1, 0, 0, 0, 1, 1).rename("kept").to_frame()
    assert r.Crash(table, "x", "", 4, 2).hysteresis == [3]


@pytest.mark.parametrize(
    ("over", "positions", "said"),
    [("heat", [1, 2], "one of .temperature."), ("picrotoxin", [0, 2], "between 0 and 1"), ("E_K", [-80], "two at least"),
     ("potassium", [1, 2, 1], "rise or fall"), ("AB/PD 2 Na", None, "Give them")],
)  # fmt: skip
def test_ways_that_lead_nowhere_are_refused(cell, over, positions, said):
    with pytest.raises(ValueError, match=said):
        r.crash(cell, over, positions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("over", "positions"),
    [
        ("temperature", [10, 20]),
        ("potassium", [1, 3]),
        ("picrotoxin", [0, 1]),
        ("modulator", [0, 0.5]),
        ("LP Na", [100, 0]),
    ],
)
def test_every_dial_turns_a_circuit(circuit, over, positions):
    """At its usual position the circuit does what it does without a dial, and something else at the other one."""
    many = lambda table: (table["LP spikes"] > 0).to_numpy()  # noqa: E731
    found = r.crash(circuit, over, positions, keeps=many, duration=3000, transient=500)
    usual = [x for name, x in found.table.items() if name.endswith("spikes")]
    t = np.arange(500, 3000, r.EVERY)
    plain = [len(x) for x in circuit(t).spike_times().values()] if over != "LP Na" else None
    if plain is not None:
        assert [x.iloc[0] for x in usual] == pytest.approx(plain, abs=1)
    assert any(x.iloc[0] != x.iloc[1] for x in usual)


def test_models_without_conductances_are_refused():
    with pytest.raises(ValueError, match="no conductances"):
        r.knockouts(LIF(2))
