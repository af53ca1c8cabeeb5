"""Results in NWB, Neo, xarray and NetCDF, read back as they were, and features of eFEL and elephant."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyloric_simulator.config import find_circuit
from pyloric_simulator.engine import checks
from pyloric_simulator.files.comparison import agreement
from pyloric_simulator.files.exchange import efel_features
from pyloric_simulator.files.recording import as_recording, read_recording
from pyloric_simulator.models.channels import HodgkinHuxley1952 as HH
from pyloric_simulator.models.lif import LIF
from pyloric_simulator.models.networks import Cell
from pyloric_simulator.prinz2004 import Prinz2004
from pyloric_simulator.rhythm import report, spike_trains


@pytest.fixture(scope="module")
def run() -> Any:
    """The paper's circuit, five seconds."""
    return Prinz2004.from_toml(find_circuit("paper"))(np.arange(0, 6000, 0.25))[1000:]


@pytest.fixture(scope="module")
def uneven() -> Any:
    """An axon at times that are not equally spaced."""
    axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65, temperature=6.3)
    return axon(np.concatenate([np.arange(0, 20, 0.5), np.arange(20, 40, 0.1)]), I_ext=5)


def same(found: Any, result: Any) -> None:
    """A recording has the potentials of a result to the last bit, its times to a rounding, and its labels."""
    recording = as_recording(found)
    assert recording.V is not None
    assert list(recording.cells) == [f"{pop} {i}" for pop, i in result.model.cells]
    np.testing.assert_allclose(recording.t, result.t, rtol=1e-12, atol=1e-9)
    for i, cell in enumerate(recording.cells):
        np.testing.assert_array_equal(recording.V[cell], result.states.V[:, i])


# ---------------------------------------------------------------- NWB


@pytest.mark.parametrize("which", ["run", "uneven"])
def test_nwb_is_read_back_as_it_was(which: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pynwb")
    result = request.getfixturevalue(which)
    result.to_nwb(tmp_path / "x.nwb")
    same(tmp_path / "x.nwb", result)
    assert [path.name for path in tmp_path.iterdir()] == ["x.nwb"]
    if which == "run":
        pd.testing.assert_frame_equal(report(tmp_path / "x.nwb"), report(result), rtol=1e-9)


def test_nwb_says_what_ran_in_words_of_the_standard(run: Any, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    run.to_nwb(tmp_path / "x.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "r") as io:
        nwb = io.read()
        notes = json.loads(nwb.notes)
        assert json.loads(notes["circuit"]) == json.loads(json.dumps(run.about["circuit"]))
        assert json.loads(notes["run"])["solver"] == "staggered"
        V = nwb.acquisition["V AB_PD 0"]
        assert (V.unit, V.conversion, V.rate) == ("volts", 1e-3, 4000.0)
        assert V.starting_time == 1.0
        assert nwb.acquisition["Ca LP 0"].unit == "µM"
        units = nwb.units.to_dataframe()
    spikes = {f"{pop} {i}": x for (pop, i), x in run.spike_times().items()}
    for cell, times in zip(units["cell"], units["spike_times"], strict=True):
        np.testing.assert_allclose(1e3 * np.asarray(times), spikes[cell], rtol=1e-12)


def test_nwb_passes_the_inspection_of_its_makers(run: Any, tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    run.to_nwb(tmp_path / "x.nwb")
    found = pynwb.validate(path=str(tmp_path / "x.nwb"))
    assert not (found[0] if isinstance(found, tuple) else found)


def test_labels_do_not_lead_out_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("pynwb")
    rows = Prinz2004.from_toml(find_circuit("paper")).params.g[1:2]
    label = "../../<b>LP</b>"
    model = Prinz2004({label: 1}, {}, rows, cell_types={label: "LP"})
    result = model(np.arange(0, 200, 0.5), state=model.cold)
    (tmp_path / "in").mkdir()
    result.to_nwb(tmp_path / "in" / "x.nwb")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "x.nwb"]
    assert list(read_recording(tmp_path / "in" / "x.nwb")) == [f"{label} 0"]


def test_a_file_that_fails_leaves_what_was_there(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pynwb = pytest.importorskip("pynwb")
    run.to_nwb(tmp_path / "x.nwb", ["V"])
    before = (tmp_path / "x.nwb").read_bytes()

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", fails)
    with pytest.raises(OSError, match="what was there before is as it was"):
        run.to_nwb(tmp_path / "x.nwb")
    assert (tmp_path / "x.nwb").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x.nwb"]


# ---------------------------------------------------------------- Neo


@pytest.mark.parametrize("which", ["run", "uneven"])
def test_neo_has_what_the_result_has(which: str, request: pytest.FixtureRequest) -> None:
    neo = pytest.importorskip("neo")
    result = request.getfixturevalue(which)
    block = result.to_neo()
    same(block, result)
    same(block.segments[0], result)
    assert isinstance(block, neo.Block)
    (segment,) = block.segments
    assert [str(s.units.dimensionality) for s in [*segment.analogsignals, *segment.irregularlysampledsignals]][:1] == [
        "mV"
    ]
    for train, times in zip(segment.spiketrains, result.spike_times().values(), strict=True):
        np.testing.assert_allclose(train.rescale("ms").magnitude, times)


def test_neo_s_own_files_are_read_back(run: Any, tmp_path: Path) -> None:
    neo = pytest.importorskip("neo")
    pytest.importorskip("nixio")
    with _quiet():
        with neo.io.NixIO(str(tmp_path / "x.nix"), "ow") as io:
            io.write(run.to_neo())
        with neo.io.NixIO(str(tmp_path / "x.nix"), "ro") as io:
            block = io.read_block()
            same(block, run)
        found = read_recording(tmp_path / "x.nix", {"AB/PD": 0, "LP": 1, "PY": 2})
    assert json.loads(block.annotations["circuit"]) == json.loads(json.dumps(run.about["circuit"]))
    np.testing.assert_array_equal(found, run.V)
    np.testing.assert_allclose(found.index, run.t, rtol=1e-9)


def _quiet() -> Any:
    """Without the warnings of other packages about their own parts."""
    import warnings

    return warnings.catch_warnings(action="ignore")


# ---------------------------------------------------------------- xarray


def test_xarray_has_axes_units_and_circuit(run: Any) -> None:
    pytest.importorskip("xarray")
    found = run.to_xarray(["V", "Ca", "s", "m", "h", "currents"])
    assert found["V"].dims == found["Ca"].dims == ("time", "cell")
    assert found["s"].dims == ("time", "terminal")
    assert found["currents"].dims == ("time", "cell", "channel")
    assert {name: x.attrs["units"] for name, x in found.items()} == run.units
    assert found["time"].attrs["units"] == "ms"
    assert json.loads(found.attrs["circuit"])["pop_sizes"] == {"AB/PD": 1, "LP": 1, "PY": 1}
    np.testing.assert_array_equal(found["V"], run.V)
    np.testing.assert_array_equal(found["m"].sel(cell="LP 0", channel="Na"), run.m["LP", 0, "Na"])
    assert found["m"].sel(cell="LP 0", channel="CaT").isnull().all() == (("LP", 0, "CaT") not in run.m)
    np.testing.assert_array_equal(found["s"].sel(terminal="PD 0"), run.s["PD", 0])
    assert report(found["V"].to_pandas())["value"].equals(
        report(run.V.set_axis(list(found["cell"].values), axis=1))["value"]
    )


def test_netcdf_gives_the_same_back(run: Any, tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    found = run.to_xarray(["V", "s", "currents"])
    found.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    assert xarray.load_dataset(tmp_path / "x.nc", engine="h5netcdf").identical(found)


def test_cells_that_spike_by_a_rule_are_handed_over() -> None:
    pytest.importorskip("neo")
    pytest.importorskip("xarray")
    result = LIF(2)(np.arange(0, 200, 0.1), I_ext=[0.0, 1.5])
    assert result.to_xarray()["spikes"].dims == ("time", "cell")
    trains = result.to_neo().segments[0].spiketrains
    assert [len(x) for x in trains] == [len(x) for x in result.spike_times().values()]


# ---------------------------------------------------------------- eFEL and elephant


def test_features_of_efel(run: Any) -> None:
    efel = pytest.importorskip("efel")
    efel.set_setting("Threshold", -31.0)
    found = efel_features(run, ["spike_count", "peak_voltage", "burst_number"], (1500, 5500))
    assert efel.get_settings().Threshold == -31.0
    efel.reset()
    assert list(found.index) == list(run.model.cells)
    wanted = {cell: ((x >= 1500) & (x <= 5500)).sum() for cell, x in spike_trains(run).items()}
    assert found["spike_count"].tolist() == list(wanted.values())
    assert found["peak_voltage"].between(-10, 60).all()
    largest = efel_features(run, ["peak_voltage"], reduce=np.max)
    assert (largest["peak_voltage"] <= run.V.max().to_numpy() + 1e-6).all()
    assert efel_features(run, ["spike_count"], settings={"Threshold": 1000.0})["spike_count"].eq(0).all()


def test_others_agree_on_spikes_and_intervals() -> None:
    pytest.importorskip("efel")
    pytest.importorskip("elephant")
    from pyloric_simulator import database

    with _quiet():
        found = agreement(
            [database.circuit(n)(np.arange(0, 4000, 0.1))[1000:] for n in database.sample(2, seed=4).index]
        )
    worst = found.set_index(["of", "feature"])["largest difference"]
    for tool in ("eFEL", "elephant"):
        assert worst[tool, "spikes"] == 0
        assert worst[tool, "spike times"] <= 0.05 + 1e-9
        assert worst[tool, "mean interval"] < 0.02
        assert worst[tool, "CV of intervals"] < 1e-3
    assert worst["elephant", "bursts"] == worst["elephant", "spikes per burst"] == 0


# ---------------------------------------------------------------- machines


def test_rows_of_the_database_are_arrays() -> None:
    from pyloric_simulator import database
    from pyloric_simulator.files.exchange import arrays

    options = dict(
        duration=4500, transient=500, dt=0.25, batch_size=64
    )  # those of test_database.py, which are compiled
    rows = database.run(database.sample(12, seed=1), **options, progress=False)
    X, y = arrays(rows, "pyloric_like")
    assert X.shape == (12, 31)
    assert set(y) <= {0.0, 1.0}
    some, period = arrays(rows, "cycle_period")
    np.testing.assert_array_equal(some, X[rows["cycle_period"].notna()])
    np.testing.assert_array_equal(period, rows["cycle_period"].dropna())
    model = database.circuit(int(rows.index[0]))
    np.testing.assert_allclose(X[0, :24], np.ravel(model.params.g))
    with pytest.raises(ValueError, match="Did you mean 'cycle_period'"):
        arrays(rows, "cycle_periods")
    with pytest.raises(TypeError, match="a table"):
        arrays(rows.to_numpy(), "pyloric")


def test_the_recipe_for_slurm_asks_for_a_process_a_core() -> None:
    """As far as it goes without a cluster: the script that would be submitted."""
    jobqueue = pytest.importorskip("dask_jobqueue")
    here = {"scheduler_options": {"dashboard_address": None, "host": "127.0.0.1"}}
    given = dict(queue="compute", cores=8, processes=8, memory="16 GiB", walltime="02:00:00")
    with _quiet(), jobqueue.SLURMCluster(**given, job_script_prologue=["export JAX_PLATFORMS=cpu"], **here) as cluster:
        lines = cluster.job_script().splitlines()
    for line in (
        "#SBATCH -p compute",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --mem=16G",
        "#SBATCH -t 02:00:00",
        "export JAX_PLATFORMS=cpu",
    ):
        assert line in lines
    assert "--nthreads 1" in lines[-2] + lines[-1]
    assert "--nworkers 8" in lines[-2] + lines[-1]


# ---------------------------------------------------------------- what is refused

BAD: dict[str, tuple[Callable[[Any, Path], Any], type[Exception], str]] = {
    "no variable": (lambda r, _: r.to_xarray([]), ValueError, "variables is empty"),
    "another variable": (lambda r, _: r.to_xarray(["W"]), ValueError, "a variable is 'W'"),
    "text": (lambda r, _: r.to_neo("V"), TypeError, "must be a list"),
    "no .nwb": (lambda r, p: r.to_nwb(p / "x.csv"), ValueError, "must end in .nwb"),
    "no folder": (lambda r, p: r.to_nwb(p / "no" / "x.nwb"), OSError, "the folder must be there"),
    "no feature": (lambda r, _: efel_features(r, ["spike_counts"]), ValueError, "Did you mean 'spike_count'"),
    "no setting": (lambda r, _: efel_features(r, ["spike_count"], settings={"threshold": 1}), ValueError, "Did you mean 'Threshold'"),
    "spike times": (lambda r, _: efel_features(r.spike_times(), ["spike_count"]), TypeError, "eFEL needs potentials"),
    "a gap": (lambda r, _: efel_features(r.V[(r.t < 2000) | (r.t > 3000)], ["spike_count"]), ValueError, "1 gaps"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_handed_over_is_refused_in_words(run: Any, tmp_path: Path, case: str) -> None:
    for module in ("neo", "pynwb", "xarray", "efel"):
        pytest.importorskip(module)
    call, kind, reason = BAD[case]
    with pytest.raises(kind, match=reason):
        call(run, tmp_path)


@pytest.mark.parametrize("extra", ["xarray", "neo", "nwb", "efel"])
def test_a_missing_package_gives_the_line_that_installs_it(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    def absent(name: str, *_: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(checks.importlib, "import_module", absent)
    calls: dict[str, Callable[[], Any]] = {
        "xarray": run.to_xarray,
        "neo": run.to_neo,
        "nwb": lambda: run.to_nwb(tmp_path / "x.nwb"),
        "efel": lambda: efel_features(run, ["spike_count"]),
    }
    with pytest.raises(ImportError, match=rf"pip install 'pyloric-simulator\[{extra}\]'"):
        calls[extra]()
