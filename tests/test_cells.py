"""The 1,679,616 cells: numbers, maxima and classes against the plain versions, runs, the sample of the package."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from pyloric_simulator import cli, database
from pyloric_simulator.config import sample_file
from pyloric_simulator.ensembles import cells
from pyloric_simulator.ensembles.cells import ACTIVITIES, CHANNELS, RESULTS, STEPS, TOTAL
from pyloric_simulator.models.channels import Prinz2003
from pyloric_simulator.models.networks import Cell, Network
from pyloric_simulator.prinz2004 import flows, neuron_models, precision

# One set for all, since each number of lanes is compiled anew.
OPTIONS: dict[str, Any] = dict(limit=10_000, dt=0.25, batch_size=64, progress=False)
SAMPLES = {name: sample_file(f"cells_{name}") for name in cells.STARTS}
TRACES = {
    "sine": -40 + 20 * np.sin(np.arange(6000) / 40),
    "small": -40 + 0.4 * np.sin(np.arange(6000) / 40),
    "ramp": np.linspace(-70, 30, 500),
    "plateau": np.where(np.arange(6000) % 800 < 300, -20 + 3 * np.sin(np.arange(6000) / 7), -60),
    "noise": np.random.default_rng(1).normal(-40, 3, 3000),
}


def of(name: str, *times: float, plateau: float = 3.0) -> pd.DataFrame:
    """Maxima at some times."""
    return pd.DataFrame({"time": times, "height": 40.0, "plateau": plateau}).rename_axis(name)


# ---------------------------------------------------------------- cells and numbers


def test_there_are_six_levels_of_eight_conductances() -> None:
    assert TOTAL == 6**8 == 1_679_616
    assert list(STEPS.values()) == [100, 2.5, 2, 10, 5, 25, 0.01, 0.01]
    assert tuple(neuron_models) == CHANNELS


def test_numbers_by_hand() -> None:
    first, second, last = (cells.table([n]).iloc[0].to_dict() for n in (1, 2, TOTAL))
    assert first == dict.fromkeys(CHANNELS, 0.0)
    assert second == first | {"leak": 0.01}
    assert last == {"Na": 500, "CaT": 12.5, "CaS": 10, "A": 50, "KCa": 25, "Kd": 125, "H": 0.05, "leak": 0.05}
    assert cells.table([1 + 6**7 * 4 + 6**2 * 3])[["Na", "Kd"]].iloc[0].to_list() == [400, 75]


def test_numbers_and_cells_are_one_to_one() -> None:
    numbers = np.random.default_rng(0).integers(1, TOTAL + 1, 200)
    rows = cells.table(numbers)
    assert [cells.index_of(row) for row in rows.to_dict("records")] == numbers.tolist()
    for n in numbers[:5]:
        assert cells.index_of(cells.cell(int(n))) == n
        np.testing.assert_array_equal(
            cells.cell(int(n)).g, rows.loc[n].iloc[0] if rows.loc[n].ndim > 1 else rows.loc[n]
        )


def test_all_pacemakers_of_2004_and_most_cells_are_of_the_database() -> None:
    numbers = {name: cells.index_of(row) for name, row in neuron_models.iterrows()}
    assert len(set(numbers.values())) == 16
    np.testing.assert_array_equal(cells.table(list(numbers.values())), neuron_models)


def test_the_circuit_of_a_cell_is_that_of_the_batch() -> None:
    assert Network({"cell": cells.cell(77)}).circuit == cells.MODEL.circuit


def test_a_sample_is_the_head_of_a_larger_one() -> None:
    large = cells.sample(300, seed=7)
    assert large.index.is_unique
    assert large.index.min() >= 1
    pd.testing.assert_frame_equal(cells.sample(100, seed=7), large[:100])
    assert not cells.sample(100, seed=8).equals(large[:100])


def test_a_grid_has_all_combinations() -> None:
    rows = cells.grid({"Na": [100, 250], "Kd": [25, 50, 75]})
    assert rows[["Na", "Kd"]].to_numpy().tolist() == [[a, b] for a in (100, 250) for b in (25, 50, 75)]
    assert (rows.drop(columns=["Na", "Kd"]) == 0).all(axis=None)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cells.table([0]), ValueError, "0 is not the number of a cell; they go from 1"),
        (lambda: cells.cell(TOTAL + 1), ValueError, "1679617 is not the number"),
        (lambda: cells.table([1.5]), TypeError, "whole numbers"),
        (lambda: cells.table(np.ma.masked_equal([1, 2], 2)), ValueError, "masked"),
        (lambda: cells.index_of({"Na": 150.0} | dict.fromkeys(CHANNELS[1:], 0.0)), ValueError, "Na is 150"),
        (lambda: cells.index_of({"Na": 100.0}), ValueError, "lacks 'CaT'"),
        (lambda: cells.index_of(3), TypeError, "is no cell"),
        (lambda: cells.index_of(Cell([Prinz2003.Na(100)], area=1e-3)), ValueError, "another membrane"),
        (lambda: cells.index_of(Cell([Prinz2003.Na._replace(p=2)(100)])), ValueError, "channel 'Na'"),
        (lambda: cells.sample(0, seed=1), ValueError, "n is 0"),
        (lambda: cells.grid({"KCA": [1.0]}), ValueError, "Did you mean"),
        (lambda: cells.grid({"Na": 100.0}), TypeError, "must be a list"),
        (lambda: cells.grid({"Na": [100.0, 100]}), ValueError, "twice"),
        (lambda: cells.planned([]), ValueError, "0 cells"),
        (lambda: cells.planned(cells.sample(2, 1).drop(columns="H")), ValueError, "lacks 'H'"),
        (lambda: cells.planned(cells.sample(2, 1).assign(Ih=1)), ValueError, "'Ih', which is no part"),
        (lambda: cells.planned(cells.sample(2, 1) * -1), ValueError, "must not be negative"),
        (lambda: cells.planned([1], start="warm"), ValueError, "start is 'warm'"),
        (lambda: cells.planned([1], limit=5000), ValueError, "limit is 5000"),
        (lambda: cells.planned([1], dt=3), ValueError, "dt"),
        (lambda: cells.planned([1], dtype="float16"), ValueError, "float16"),
        (lambda: cells.planned([1], batch_size=0), ValueError, "batch_size is 0"),
        (lambda: cells.summary(cells.sample(2, 1)), ValueError, "'activity'"),
        (lambda: cells.summary(pd.DataFrame({"activity": ["bursting"]})), ValueError, "bursting"),
        (lambda: cells.maxima_of([0.0, np.nan], 1.0), ValueError, "nan"),
        (lambda: cells.maxima_of([0.0, 1.0], 0.0), ValueError, "dt is 0"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_at_once(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_another_unit_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"'Na' is 0\.4 mS/cm².*S/cm²"):
        cells.planned(pd.DataFrame([dict.fromkeys(CHANNELS, 0.0) | {"Na": 0.4}]))


# ---------------------------------------------------------------- maxima


def test_maxima_by_hand() -> None:
    t = np.arange(0, 100, 0.1)
    found = cells.maxima_of(-50 + 30 * np.sin(2 * np.pi * t / 20), 0.1)
    np.testing.assert_allclose(found["time"], [5, 25, 45, 65, 85], atol=1e-3)
    np.testing.assert_allclose(found["height"], -20, atol=1e-2)
    above = 20 * (0.5 - np.arcsin(2 / 3) / np.pi)  # ms of each period above -30 mV
    np.testing.assert_allclose(found["plateau"][1:], above, atol=0.3)
    assert not len(cells.maxima_of(np.full(100, -60.0), 0.1))
    assert not len(cells.maxima_of(-60 + 0.4 * np.sin(t), 0.1))


def stepped(V: np.ndarray) -> list[tuple[float, float, float]]:
    """Maxima of a trace by `look`, one step after the other, as in a block that never ends."""
    run = cells.begin(type("State", (), {"V": jax.numpy.asarray(V[:1])})())
    search, found, look = run.search, [], jax.jit(cells.look)
    for i, v in enumerate(V[1:]):
        search = look(search._replace(found=search.found & False), jax.numpy.asarray([v]), jax.numpy.asarray(float(i)))
        if bool(search.found[0]):
            found.append(tuple(float(x[0]) for x in (search.at, search.height, search.plateau)))
    return found


@pytest.mark.parametrize("name", TRACES)
def test_both_searches_find_the_same_maxima(name: str) -> None:
    with precision("float64"):
        found = stepped(TRACES[name][:1500])
    V = TRACES[name][:1500]
    plain = cells.maxima_of(np.concatenate([V[:1], V]), 1.0)  # `begin` knows the start twice
    expected = [(x.time - 2, x.height, x.plateau) for x in plain.itertuples()]
    np.testing.assert_allclose(np.reshape(found, (-1, 3)), np.reshape(expected, (-1, 3)), rtol=1e-12, atol=1e-12)
    assert bool(expected) == (name not in ("small", "ramp"))


# ---------------------------------------------------------------- what a cell does

BURSTS = np.concatenate([600 * i + np.array([0.0, 10, 22]) for i in range(30)])
WANDERING = np.cumsum(np.random.default_rng(3).uniform(50, 70, 200))
PAUSING = np.cumsum(np.random.default_rng(3).choice([20.0, 21.3, 400.0], 200))
CASES = {
    "silent": of("a"),
    "silent later": of("a", 100.0, 200.0),
    "tonic": of("a", *np.arange(0, 10_000, 50.0)),
    "one-spike burster": of("a", *np.arange(0, 10_000, 500.0), plateau=60.0),
    "burster": of("a", *BURSTS[BURSTS < 10_000]),
    "irregular": of("a", *WANDERING[WANDERING < 10_000]),
    "irregular burster": of("a", *PAUSING[PAUSING < 10_000]),
    "irregular burster by plateaus": of("a", *WANDERING[WANDERING < 10_000], plateau=20.0),
}


@pytest.mark.parametrize("name", CASES)
def test_activities_by_hand(name: str) -> None:
    found = cells.activity_of(CASES[name], 10_000.0)
    assert found.activity == " ".join(name.split(" by ")[:1]).removesuffix(" later")
    assert found.maxima == {"tonic": 1, "one-spike burster": 1, "burster": 3}.get(name, 0)
    if name == "burster":
        assert (found.period, found.shortest, found.longest) == (600, 10, 578)


def test_a_cell_settles_only_after_it_has_done_the_same_for_long() -> None:
    slowing = np.cumsum(20 * 1.009 ** np.arange(200))  # by less than 1% from one interval to the next
    early = slowing[slowing < 5000]
    assert cells.activity_of(of("a", *early), 5000.0, final=False).activity == ""
    assert cells.activity_of(of("a"), 5000.0, moved=3.0, final=False).activity == ""
    assert cells.activity_of(of("a"), 5000.0, moved=0.3, final=False).activity == "silent"


def test_both_classifiers_agree() -> None:
    rng = np.random.default_rng(0)
    lanes = [x["time"].to_numpy() for x in CASES.values()]
    lanes += [np.cumsum(np.tile(rng.uniform(5, 300, k), 300) * rng.uniform(1, 1 + s, 300 * k))
              for k in (1, 2, 3, 5, 17, 40) for s in (0, 1e-3, 0.008, 0.02)]  # fmt: skip
    lanes = [t[t < 20_000] for t in lanes]
    shares = [(0.0, 0.02, 1.0)[i % 3] for i in range(len(lanes))]  # of broad maxima
    plateaus = [np.where(rng.uniform(size=len(t)) < x, 40.0, 3.0) for t, x in zip(lanes, shares, strict=True)]
    seen = cells.nothing_seen(len(lanes))
    new = np.full((2, 4000, len(lanes)), np.nan)
    for i, (t, p) in enumerate(zip(lanes, plateaus, strict=True)):
        new[:, : len(t), i] = t, p
    seen = cells.added(seen, cells.Seen(new[0], new[1], new[1]), np.array([len(t) for t in lanes]))
    for final in (False, True):
        fast = cells.spells(seen, 20_000.0, np.zeros(len(lanes)), final=final)
        plain = [
            cells.activity_of(pd.DataFrame({"time": t, "height": p, "plateau": p}), 20_000.0, final=final)
            for t, p in zip(lanes, plateaus, strict=True)
        ]
        known = fast["activity"] != ""
        pd.testing.assert_frame_equal(fast[known], pd.DataFrame(plain)[known], check_dtype=False, check_exact=True)
        assert [x.activity for x in plain] == fast["activity"].to_list()
    assert set(ACTIVITIES[1:-1]) <= set(fast["activity"])


# ---------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def calm() -> pd.DataFrame:
    """Cells of which three settle in one stretch, silent, tonic and bursting, and one with irregular bursts."""
    return cells.run(cells.sample(40, seed=5), **OPTIONS)


def trace(row: pd.Series, duration: float) -> np.ndarray:
    """The potential of a cell by itself."""
    t = np.arange(0, duration + 0.1, 0.25)
    return np.asarray(cells.made_of(row)(t, dt=0.25).V)[:, 0]


@pytest.mark.slow
def test_rows_are_those_of_the_plain_version_on_traces(calm: pd.DataFrame) -> None:
    regular = calm[(calm["settled"] == 5000) & (calm["maxima"] < 3)].iloc[:6]
    assert regular["activity"].nunique() > 1
    for _, row in regular.iterrows():
        found = cells.activity_of(cells.maxima_of(trace(row, 5000), 0.25), 5000.0, final=False)
        assert (found.activity, found.maxima) == (row["activity"], row["maxima"])
        np.testing.assert_allclose(found.period, row["period"], rtol=2e-3)


@pytest.mark.slow
def test_the_search_in_lanes_is_exact() -> None:
    """The maxima of a stretch are those of the plain search on the very potentials that the lanes had."""
    g = cells.sample(64, seed=9).to_numpy()
    with precision("float64"):
        options = cells.planned([1], dt=0.25, dtype="float64").options
        start, p = cells.begun(64, options, jax.devices()[0]), cells.prepared(g, options, jax.devices()[0])
        _, found = jax.jit(cells.stretch, static_argnums=(0, 1))("staggered", 0.25, p, start, 300)
        f = flows(cells.MODEL.circuit, p, lambda _: None, 0.25, cells.SIDE_BY_SIDE)

        def block(y: Any, _: Any) -> tuple[Any, Any]:
            y, potentials = f.charge(y, 0, 0.125), []
            for k in range(4):
                y = f.relax(y if k == 0 else f.charge(y, k, 0.25), k)
                potentials.append(y.V[0])
            return f.close(y, 4), jax.numpy.stack(potentials)

        _, V = jax.jit(lambda y: jax.lax.scan(block, y, None, length=300))(start.y)
        V = np.asarray(V).reshape(1200, 64)
    times = (np.asarray(found.ticks)[:, 0] / cells.TICKS) * 0.25
    agree = 0
    for lane in range(64):
        plain = cells.maxima_of(np.concatenate([[-50.0, -50.0], V[:, lane]]), 0.25)
        n = int(np.asarray(found.number)[0, lane])
        assert len(plain) == n
        np.testing.assert_allclose(times[:n, lane], plain["time"] - 0.5, atol=0.25 / 1024)
        np.testing.assert_allclose(np.asarray(found.height)[:n, 0, lane], plain["height"], rtol=1e-9)
        np.testing.assert_allclose(np.asarray(found.plateau)[:n, 0, lane] * 0.25, plain["plateau"], atol=1e-9)
        agree += n
    assert agree > 64


@pytest.mark.slow
def test_the_columns(calm: pd.DataFrame) -> None:
    assert list(calm) == [*CHANNELS, *RESULTS]
    assert set(calm["activity"]) <= set(ACTIVITIES)
    assert calm["settled"].isin([5000.0, 10_000.0]).all()
    assert (calm["maxima"] > 0).equals(calm["period"].notna())
    silent = calm[calm["activity"] == "silent"]
    assert len(silent)
    assert silent[["maxima"]].eq(0).all(axis=None)
    assert silent[["shortest", "plateau", "highest"]].isna().all(axis=None)


@pytest.mark.slow
def test_cells_do_not_know_of_each_other(calm: pd.DataFrame) -> None:
    again = cells.run(calm.iloc[::-1], **OPTIONS)
    pd.testing.assert_frame_equal(again.iloc[::-1], calm, check_exact=True)


@pytest.mark.slow
def test_a_folder_goes_on_and_says_what_it_is(tmp_path: Path, calm: pd.DataFrame) -> None:
    numbers = calm.index.to_numpy()
    path = tmp_path / "cells"
    found = cells.run(numbers, path, **OPTIONS)
    pd.testing.assert_frame_equal(found, calm, check_exact=True)
    assert cells.status(path) == {"circuits": 40, "done": 40}
    assert (cells.facts_of(path)["swing"], cells.facts_of(path)["start"]) == (1.0, "cold")
    with pytest.raises(ValueError, match="start = 'cold'"):
        cells.run(numbers, path, start="depolarized", **OPTIONS)
    assert cells.summary(path).families["count"].sum() == 40


@pytest.mark.slow
def test_a_cell_whose_potential_is_no_number_is_lost() -> None:
    rows = pd.DataFrame([dict.fromkeys(CHANNELS, 0.0)]).assign(Na=1e30, CaS=1e30)
    with pytest.warns(UserWarning, match="very large"):
        found = cells.run(rows, **OPTIONS)
    assert found["activity"].to_list() == ["lost"] or np.isfinite(found["end"]).all()


def test_two_starts() -> None:
    def rows(activity: list[str], period: list[float]) -> pd.DataFrame:
        return pd.DataFrame({"activity": activity, "period": period, "maxima": 1}, [3, 4, 5, 6])

    one = rows(["silent", "tonic", "irregular", "tonic"], [np.nan, 20.0, np.nan, 30.0])
    other = rows(["tonic", "tonic", "tonic", "tonic"], [20.0, 20.5, 20.0, 40.0])
    found = cells.both(one, other.iloc[::-1])
    assert found.cells.to_dict() == {3: "two activities", 6: "two rhythms"}
    assert found.shares["count"].to_list() == [1, 1]
    assert found.activities.loc["silent", "tonic"] == 1
    with pytest.raises(ValueError, match="not the same labels"):
        cells.both(one, other[:3])


# ---------------------------------------------------------------- the sample of the package


@pytest.mark.parametrize("start", cells.STARTS)
def test_the_sample_is_the_one_it_is_said_to_be(start: str) -> None:
    rows, facts = cells.load(SAMPLES[start]), cells.facts_of(SAMPLES[start])
    assert rows.index.equals(cells.sample(20_480, seed=2003).index)
    assert facts["start"] == start
    assert facts == facts | dict(cells.planned([1], start=start).facts)
    assert list(rows) == list(RESULTS)


def test_the_shares_of_the_sample_beside_those_quoted() -> None:
    """Silent and irregular cells as quoted, in whole percents; two in a hundred fewer bursting ones, which are spiking here."""
    families = cells.summary(cells.load(SAMPLES["cold"])).families
    assert families.loc["silent", "low"] < 0.175
    assert families.loc["silent", "high"] > 0.165
    assert families.loc["irregular", "high"] < 0.01
    assert 0.01 < families.loc["spiking", "fraction"] - 0.16 < 0.02
    assert 0.01 < 0.67 - families.loc["bursting", "fraction"] < 0.02


def test_the_table_of_other_rules_begins_with_the_sample() -> None:
    variants = pd.read_csv(SAMPLES["cold"].with_name("cells_variants.csv"), index_col="variant")[list(ACTIVITIES)]
    usual = cells.summary(cells.load(SAMPLES["cold"])[:2048]).activities["count"]
    assert variants.loc["as it is"].to_dict() == usual.to_dict()
    assert (variants.sum(axis=1) == 2048).all()


@pytest.mark.slow
@pytest.mark.parametrize("start", cells.STARTS)
def test_rows_of_the_sample_can_be_computed_again(start: str) -> None:
    rows = cells.load(SAMPLES[start])
    some = rows[rows["settled"] == 5000].iloc[:48]
    found = cells.run(some.index.to_numpy(), start=start, batch_size=64, progress=False)
    assert (found["activity"] == some["activity"].astype(str)).mean() > 0.95  # another processor rounds otherwise
    np.testing.assert_allclose(found["period"], some["period"], rtol=1e-3)


# ---------------------------------------------------------------- the command


def test_the_command_refuses_and_sums_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["database", "cells", "run", str(tmp_path / "a")])
    assert "--sample, --cells and --all" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["database", "cells", "summary", str(SAMPLES["cold"])])
    text = capsys.readouterr().out
    assert "of 20,480" in text
    assert "one-spike burster" in text


def test_cells_are_found_under_the_database() -> None:
    assert database.cells is cells


@pytest.mark.slow
def test_the_command_runs_cells_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cells.csv"
    cells.sample(3, seed=2).to_csv(file, index=False)
    for chosen in (["--sample", "3", "--seed", "2"], ["--cells", str(file)]):
        folder = tmp_path / chosen[0][2:]
        with pytest.raises(SystemExit) as stopped:
            cli.main(["database", "cells", "run", str(folder), *chosen, "--start", "depolarized", "--limit", "10000"])
        assert not stopped.value.code
        assert "of 3" in capsys.readouterr().out
    one, other = (cells.load(tmp_path / name)["activity"].to_list() for name in ("sample", "cells"))
    assert one == other
