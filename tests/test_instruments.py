"""Recordings as instruments write them: text in all forms, Axon's files through Neo, and NWB; and what must not be read."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rigs import electrode_of, nwb_file, write_abf, write_nwb

from pyloric_simulator import cli
from pyloric_simulator.engine import checks
from pyloric_simulator.files.instruments import channels_of
from pyloric_simulator.files.recording import as_recording, read_file, read_recording
from pyloric_simulator.files.tables import name_and_unit, spelled_unit
from pyloric_simulator.rhythm import report, summary

T = np.arange(0, 4000, 0.5)  # ms
V = pd.DataFrame({"PD": -50 + 20 * np.sin(T / 100), "LP": -40 + 9 * np.cos(T / 70)}, T).round(4)  # mV


# ---------------------------------------------------------------- text


def text(
    sep: str = ",", decimal: str = ".", header: str | None = None, time: float = 1.0, volts: float = 1.0, end: str = ""
) -> str:
    """The two potentials as text; time: ms of a unit of times; volts: mV of one of potentials."""
    rows = [
        sep.join(f"{x:.9g}".replace(".", decimal) for x in (t / time, a / volts, b / volts)) + end
        for t, (a, b) in zip(T, V.to_numpy(), strict=True)
    ]
    return "\n".join([*([] if header is None else [header]), *rows]) + "\n"


ATF = 'ATF\t1.0\n2\t3\n"Comment=of a crab"\n"Signals="\t"a"\t"b"\n"Time (s)"\t"PD (mV)"\t"LP (mV)"'
TEXTS: dict[str, tuple[str, str, dict[str, Any]]] = {  # text, encoding, options
    "tabs": (text("\t", header="time (ms)\tPD\tLP"), "utf-8", {}),
    "semicolons and commas": (text(";", ",", "t_s;PD (mV);LP (mV)", 1e3), "utf-8", {}),
    "tabs and commas": (text("\t", ",", "Time [s]\tPD [mV]\tLP [mV]", 1e3), "utf-8", {}),
    "blanks": (text("  ", header="time (s)   PD (V)  LP (V)", time=1e3, volts=1e3), "utf-8", {}),
    "blanks, without names": (text(" "), "utf-8", {"cells": {"PD": "ch1", "LP": "ch2"}}),
    "commas, without names": (text(), "utf-8", {"cells": {"PD": 0, "LP": 1}}),
    "without names, in s and V": (
        text(time=1e3, volts=1e3), "utf-8", {"cells": {"PD": 0, "LP": 1}, "units": {"time": "s", "ch1": "V", "ch2": "V"}}),
    "a row of units": (text("\t", header="Zeit\tPD\tLP\ns\tµV\tµV", time=1e3, volts=1e-3), "utf-8", {}),
    "a row of units in brackets": (text(header="time,PD,LP\n(ms),(mV),(mV)"), "utf-8", {}),
    "units of older Windows": (text(";", ",", "Zeit;PD;LP\nms;µV;µV", volts=1e-3), "cp1252", {}),
    "a mark at the beginning": (text(header="time,PD,LP"), "utf-8-sig", {}),
    "UTF-16": (text("\t", header="time (s)\tPD (mV)\tLP (mV)", time=1e3), "utf-16", {}),
    "lines before": (text("\t", header=ATF, time=1e3), "utf-8", {}),
    "comments": ("# of a crab\n" + text(";", header="time;PD;LP").replace("\n5;", "\n# a pulse\n5;"), "utf-8", {}),
    "a sign at the end": (text(end=",", header="time,PD,LP,"), "utf-8", {}),
    "windows lines": (text(header="time,PD,LP").replace("\n", "\r\n"), "utf-8", {}),
    "a unit in the name": (text(header="time,PD (V),LP (µV)"), "utf-8", {"units": {"PD": "mV", "LP": "mV"}}),
}  # fmt: skip


@pytest.mark.parametrize("form", TEXTS)
def test_text_is_read_in_any_form(tmp_path: Path, form: str) -> None:
    written, encoding, options = TEXTS[form]
    (tmp_path / "x.txt").write_bytes(written.encode(encoding))
    found = read_recording(tmp_path / "x.txt", **options)
    assert list(found) == ["PD", "LP"]
    np.testing.assert_allclose(found.index, T, rtol=1e-12)
    np.testing.assert_allclose(found, V, rtol=1e-8)


def test_text_without_times_has_a_sampling_interval(tmp_path: Path) -> None:
    V.to_csv(tmp_path / "x.csv", index=False)
    np.testing.assert_allclose(read_recording(tmp_path / "x.csv", sampling=0.5).index, T)
    np.savetxt(tmp_path / "y.txt", V["PD"])
    pd.testing.assert_series_equal(
        read_recording(tmp_path / "y.txt", {"PD": 0}, sampling=0.5)["PD"], V["PD"], check_names=False, check_index=False
    )


def test_what_is_no_potential_is_left_out_and_said(tmp_path: Path) -> None:
    written = V.assign(**{"I (nA)": 0.2, "bath (°C)": 11.0, "AB/PD": -50.0}).rename_axis("time (ms)")
    written.to_csv(tmp_path / "x.csv")
    found = read_recording(tmp_path / "x.csv")
    assert list(found) == ["PD", "LP", "AB/PD"]
    assert found.attrs["source"] == "3 channels; left out, being no potentials: I (nA), bath (°C)"
    assert list(read_recording(tmp_path / "x.csv", {"cell": "LP"})) == ["cell"]


@pytest.mark.parametrize("unit", ["mV", "MV", "millivolts", "V", "volts", "uV", "µV", "μV", "nA", "degC"])
def test_units_have_one_spelling(unit: str) -> None:
    assert spelled_unit(unit) in ("mV", "V", "µV", "nA", "degC")
    assert name_and_unit(f"AB/PD [{unit}]") == ("AB/PD", spelled_unit(unit))
    assert name_and_unit(f"PD/{unit}") == ("PD", spelled_unit(unit))


@pytest.mark.parametrize("label", ["AB/PD", "PD", "PD (left)", "V AB/PD 0", ("PD", 0), 7])
def test_what_is_no_unit_belongs_to_the_name(label: Any) -> None:
    assert name_and_unit(label) == (label, "")


# ---------------------------------------------------------------- Axon


PD, LP = (V[cell].to_numpy() for cell in V)
CHANNELS = {"Vm_1": ("mV", PD), "I_1": ("nA", PD / 100), "Vm_2": ("mV", LP), "Vm_3": ("V", LP / 1e3)}


@pytest.fixture
def abf(tmp_path: Path) -> Path:
    pytest.importorskip("neo")
    write_abf(tmp_path / "x.abf", CHANNELS, 2000.0)
    return tmp_path / "x.abf"


def test_axons_files_are_read(abf: Path) -> None:
    found = read_recording(abf, {"PD": "Vm_1", "LP": 2})
    assert list(found) == ["PD", "LP"]
    np.testing.assert_allclose(found.index, T, rtol=1e-6)  # it holds its interval in single precision
    np.testing.assert_allclose(found, V, atol=128 / 2**15)
    assert list(read_recording(abf)) == ["Vm_1", "Vm_2", "Vm_3"]
    assert read_recording(abf).attrs["source"] == "3 channels; left out, being no potentials: I_1"
    assert np.ptp(read_recording(abf, ["Vm_3"])["Vm_3"]) > 3  # volts, in steps of 4 mV


def test_a_recording_of_an_instrument_is_read_when_it_is_asked_for(abf: Path) -> None:
    found = read_file(abf, {"PD": "Vm_1", "LP": "Vm_2"})
    table = read_recording(abf, {"PD": "Vm_1", "LP": "Vm_2"})
    assert found.V is not None
    for cell in found.cells:
        np.testing.assert_array_equal(found.V[cell], table[cell])
    pd.testing.assert_frame_equal(summary(found), summary(table))
    assert as_recording(abf).cells == ("Vm_1", "Vm_2", "Vm_3")


def test_sweeps_that_follow_each_other_have_gaps_between(tmp_path: Path) -> None:
    pytest.importorskip("neo")
    write_abf(tmp_path / "x.abf", CHANNELS, 2000.0, sweeps=4, starts=[0, 3000, 6000, 9000])
    found = read_file(tmp_path / "x.abf", ["Vm_1"])
    np.testing.assert_allclose(found.pieces, [[a, a + 999.5] for a in (0, 3000, 6000, 9000)], rtol=1e-6)
    second = read_recording(tmp_path / "x.abf", ["Vm_1"], sweep=1)
    np.testing.assert_allclose(second["Vm_1"], V["PD"][2000:4000], atol=128 / 2**15)
    with pytest.raises(ValueError, match=r"sweep is 4, and .* has 4, numbered from 0"):
        read_recording(tmp_path / "x.abf", sweep=4)
    write_abf(tmp_path / "y.abf", CHANNELS, 2000.0, sweeps=4, starts=[0, 10, 20, 30])
    with pytest.raises(ValueError, match=r"before the end of the one before it.*sweep=0, 1"):
        read_recording(tmp_path / "y.abf", ["Vm_1"])


def test_a_unit_that_is_missing_must_be_said(tmp_path: Path) -> None:
    pytest.importorskip("neo")
    x = V["PD"].to_numpy()
    write_abf(tmp_path / "x.abf", {"a": ("", x / 1e3), "b": ("mV", x)}, 2000.0, largest=0.128)
    assert list(read_recording(tmp_path / "x.abf")) == ["b"]
    with pytest.raises(ValueError, match=r"'a' .* has no unit.*units=\{'a': 'mV'\}"):
        read_recording(tmp_path / "x.abf", ["a"])
    np.testing.assert_allclose(read_recording(tmp_path / "x.abf", ["a"], units={"a": "V"})["a"], x, atol=0.01)


# ---------------------------------------------------------------- NWB


@pytest.fixture
def nwb(tmp_path: Path) -> Path:
    pynwb = pytest.importorskip("pynwb")
    made, volts, whole = nwb_file(), V["PD"].to_numpy() / 1e3, (V["LP"].to_numpy() * 100).round().astype("i2")
    electrode, clamp = electrode_of(made), pynwb.icephys.CurrentClampSeries
    made.add_acquisition(clamp(name="ch3", data=volts, electrode=electrode, rate=2000.0, starting_time=1.0))
    made.add_acquisition(
        clamp(name="ch1", data=whole, conversion=1e-5, electrode=electrode, rate=2000.0, starting_time=1.0)
    )
    made.add_acquisition(pynwb.TimeSeries(name="bath", data=volts, unit="degC", rate=2000.0))
    made.add_acquisition(
        pynwb.TimeSeries(name="slow", data=V["PD"].to_numpy()[:100], unit="mV", timestamps=np.arange(100) / 10.0)
    )
    made.add_stimulus(pynwb.icephys.CurrentClampStimulusSeries(name="I", data=volts, electrode=electrode, rate=2000.0))
    write_nwb(tmp_path / "x.nwb", made)
    return tmp_path / "x.nwb"


def test_nwb_is_read(nwb: Path) -> None:
    found = read_recording(nwb, {"PD": "ch3", "LP": "ch1"})
    np.testing.assert_allclose(found.index, 1000 + T)
    np.testing.assert_allclose(found["PD"], V["PD"], rtol=1e-12)
    np.testing.assert_allclose(found["LP"], V["LP"], atol=0.0051)
    assert sorted(c.name for c in channels_of(nwb)) == ["bath", "ch1", "ch3", "slow"]
    with pytest.warns(UserWarning, match="100 ms apart"):
        np.testing.assert_allclose(read_file(nwb, ["slow"]).t, np.arange(100) * 100.0)


def test_channels_of_other_clocks_are_refused(nwb: Path) -> None:
    with pytest.raises(ValueError, match=r"have other times .*Choose some by cells"):
        read_recording(nwb)


def test_channels_that_a_converter_looks_at_in_turns_have_one_clock(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    made = nwb_file()
    for name, start, n in (("ch1", 0.0, 0), ("ch2", 0.0002, 1), ("late", 0.0005, 0), ("short", 0.0, 2)):
        series = dict(data=V["PD"].to_numpy()[: len(T) - n], unit="mV", rate=2000.0, starting_time=start)
        made.add_acquisition(pynwb.TimeSeries(name=name, **series))
    write_nwb(tmp_path / "x.nwb", made)
    found = read_recording(tmp_path / "x.nwb", ["ch1", "ch2"])
    assert found.shape == (len(T) - 1, 2)
    np.testing.assert_array_equal(found["ch1"], found["ch2"])
    for other in ("late", "short"):
        with pytest.raises(ValueError, match="have other times"):
            read_recording(tmp_path / "x.nwb", ["ch1", other])


def test_samples_that_are_missing_are_named(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    from pyloric_simulator.files.nerves import nerve_spikes

    made, x = nwb_file(), V["PD"].to_numpy().copy()
    x[1234] = np.nan
    made.add_acquisition(pynwb.TimeSeries(name="PD", data=x, unit="mV", rate=20_000.0))
    write_nwb(tmp_path / "x.nwb", made)
    for read in (read_recording, summary, lambda path: nerve_spikes(path, ["PD"])):
        with pytest.raises(ValueError, match=r"V is nan at 61\.7 ms in the column 'PD'"):
            read(tmp_path / "x.nwb")


def test_times_of_a_file_must_increase(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    made, times = nwb_file(), np.arange(200) / 1e3
    times[100] = 0.0
    made.add_acquisition(pynwb.TimeSeries(name="PD", data=V["PD"].to_numpy()[:200], unit="mV", timestamps=times))
    write_nwb(tmp_path / "x.nwb", made)
    with pytest.raises(ValueError, match="times must increase"):
        read_recording(tmp_path / "x.nwb")


def test_nwb_that_points_elsewhere_is_not_opened(nwb: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(nwb, "a") as file:
        file["acquisition/other"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ValueError, match="'other' in another file"):
        read_recording(nwb, ["ch3"])


# ---------------------------------------------------------------- what is refused


def as_it_is(_: Path) -> None:
    """Leave the file of the potentials."""


REFUSED: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "channel that is missing": (as_it_is, {"cells": ["ch9"]}, "no channel 'ch9'; it has 'PD', 'LP'"),
    "channel that is misspelled": (as_it_is, {"cells": ["PDD"]}, "Did you mean 'PD'"),
    "channel with a high number": (as_it_is, {"cells": [2]}, "numbered from 0"),
    "channel twice": (as_it_is, {"cells": {"A": "PD", "B": 0}}, "twice"),
    "no channel": (as_it_is, {"cells": []}, "name one channel at least"),
    "unit of no channel": (as_it_is, {"units": {"AB": "V"}}, "units names 'AB'"),
    "unit of another quantity": (as_it_is, {"units": "nA"}, "'nA'; it must be one of"),
    "unit of time that is none": (as_it_is, {"units": {"time": "V"}}, "'V'"),
    "sampling of 0": (as_it_is, {"sampling": 0.0}, "positive"),
    "sweep of text": (as_it_is, {"sweep": 0}, "has no sweeps"),
    "unknown kind": (lambda f: f.write_bytes(b"\0\1" * 99), {}, "of a kind that is not read"),
    "empty": (lambda f: f.write_text(""), {}, "cannot be read"),
    "names only": (lambda f: f.write_text("time,PD\n"), {}, "0 rows"),
    "time that stands": (lambda f: f.write_text("time;PD\n0;1\n1;2\n1;3\n"), {}, "row 3; it must hold times in ms that increase"),
    "a hole": (lambda f: f.write_text("time;PD\n0;1\n1;\n2;3\n"), {}, "V is nan at 1 ms"),
    "a current": (lambda f: f.write_text("time;I (nA)\n0;1\n1;2\n"), {"cells": ["I (nA)"]}, "is in nA; a potential must be"),
    "only currents": (lambda f: f.write_text("time;I (nA)\n0;1\n1;2\n"), {}, "no column of potentials"),
    "names and columns": (lambda f: f.write_text("time;PD\n0;1\n1;2\n" + "1;2\n" * 30 + "1;2;3\n"), {}, "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_files_are_refused_in_words(tmp_path: Path, case: str) -> None:
    write, options, reason = REFUSED[case]
    file = tmp_path / ("x.bin" if case == "unknown kind" else "x.csv")
    V.rename_axis("time").to_csv(file)
    write(file)
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_recording(file, **options)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    """Python's pickles can run code, also where Neo reads them."""
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04\x95\0\0\0\0cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(ValueError, match="of a kind that is not read"):
        read_recording(tmp_path / "x.pkl")
    assert [p.name for p in tmp_path.iterdir()] == ["x.pkl"]


@pytest.mark.parametrize("suffix", [".abf", ".smr", ".edf", ".nwb"])
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("neo")
    pytest.importorskip("pynwb")
    rng = np.random.default_rng(0)
    for data in (b"", b"ABF ", rng.bytes(5000), b"ABF2" + rng.bytes(9000)):
        (tmp_path / f"x{suffix}").write_bytes(data)
        with warnings.catch_warnings(action="ignore"), pytest.raises(ValueError, match="cannot be read"):
            read_recording(tmp_path / f"x{suffix}")


@pytest.mark.parametrize(("suffix", "module", "extra"), [(".abf", "neo.rawio", "neo"), (".nwb", "h5py", "nwb")])
def test_a_missing_package_gives_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str, extra: str
) -> None:
    def absent(name: str, *_: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(checks.importlib, "import_module", absent)
    (tmp_path / f"x{suffix}").write_bytes(b"ABF ")
    with pytest.raises(
        ImportError, match=rf"the package {module} is missing; .*pip install 'pyloric-simulator\[{extra}\]'"
    ):
        read_recording(tmp_path / f"x{suffix}")


def test_labels_of_files_are_no_html_in_pictures(tmp_path: Path) -> None:
    """Nor in the tables of notebooks."""
    holoviews = pytest.importorskip("holoviews")
    from bokeh.embed import components

    from pyloric_simulator.plotting import raster

    holoviews.extension("bokeh", logo=False)
    label = "<script>alert(1)</script><img src=x>"
    (tmp_path / "x.csv").write_text(
        f"time;{label};LP\n" + "\n".join(f"{t};{a};{b}" for t, (a, b) in zip(T, V.to_numpy(), strict=True))
    )
    found = read_recording(tmp_path / "x.csv")
    assert list(found) == [label, "LP"]
    shown = holoviews.render(raster(found))
    for text in (*components(shown), summary(found)._repr_html_(), found.head()._repr_html_()):
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "</script><img" not in text


def test_groups_without_end_are_refused(tmp_path: Path) -> None:
    """An HDF5 file may contain itself."""
    h5py, _ = pytest.importorskip("h5py"), pytest.importorskip("pynwb")
    with h5py.File(tmp_path / "x.nwb", "w") as file:
        file["again"] = file["/"]
    with warnings.catch_warnings(action="ignore"), pytest.raises(ValueError, match="cannot be read"):
        read_recording(tmp_path / "x.nwb")


# ---------------------------------------------------------------- the command


def test_the_command_names_channels(abf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*options: str) -> tuple[int, str, str]:
        with warnings.catch_warnings(action="ignore"), pytest.raises(SystemExit) as done:
            cli.main(["rhythm", str(abf), *options])
        return int(done.value.code or 0), *capsys.readouterr()

    status, out, err = run("--cells", "PD=Vm_1, LP=Vm_2,PY=3")
    assert (status, err) == (0, "")
    assert re.findall("^(PD|LP|PY) ", out, re.MULTILINE) == ["PD", "LP", "PY"]
    assert (
        "Read 3 channels; left out, being no potentials: I_1; 8,000 samples, one each 0.5 ms, from 0 to 3999.5 ms."
        in out
    )
    for cells, reason in (
        ("PD=Vm_1,LP", "'LP' has none"),
        ("PD=Vm_1,PD=Vm_2", "twice"),
        ("PD=Vm_9,LP=1,PY=2", "no channel 'Vm_9'"),
    ):
        status, out, err = run("--cells", cells)
        assert (status, out) == (2, "")
        assert re.fullmatch(r"Error: [^\n]+\n", err)
        assert reason in err


def test_a_run_in_a_file_of_an_instrument_has_its_rhythm(tmp_path: Path) -> None:
    """Read through 16 bits, the fifteen criteria stay what they are."""
    pytest.importorskip("neo")
    from pyloric_simulator import Prinz2004, find_circuit

    run = Prinz2004.from_toml(find_circuit("paper"))(np.arange(0, 6000, 0.1))
    write_abf(tmp_path / "x.abf", {f"ch{i}": ("mV", x) for i, x in enumerate(run.states.V.T, 1)}, 10_000.0)
    found = report(read_file(tmp_path / "x.abf", {"PD": "ch1", "LP": "ch2", "PY": "ch3"}))
    np.testing.assert_allclose(found["value"], report(run)["value"], rtol=1e-4)
