"""The explorer: set-ups, their runs, what leaves it, the page, and the page in a browser."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyloric_simulator import LIF, Cell, Liu1998, Network, Prinz2004, at_temperature, cli, find_circuit
from pyloric_simulator.explorer import explore, free_port, origins
from pyloric_simulator.exploring import exports, setups
from pyloric_simulator.exploring.jobs import Jobs
from pyloric_simulator.exploring.pictures import POINTS, heat
from pyloric_simulator.exploring.setups import (
    PRESETS,
    WINDOW,
    Injected,
    Rig,
    Setup,
    checked_setup,
    judged,
    knobs_of,
    run,
    table_of_cells,
    times,
)
from pyloric_simulator.plotting import decimated, shares_of
from pyloric_simulator.rhythm import spikes

pn = pytest.importorskip("panel")
# Panel from 1.9 on says "label", and before it "name".
pytestmark = pytest.mark.filterwarnings("ignore:Widget.name is deprecated:PendingDeprecationWarning")

from pyloric_simulator.exploring.app import Explorer  # noqa: E402
from pyloric_simulator.exploring.knobs import groups_of  # noqa: E402

FULL = Setup(
    "db:12388365", (("AB/PD Na", 120.5), ("LP-AB/PD", 0.1)), (Injected("LP", "step", 0.5), Injected("PY", "zap", -0.25, 0.0, 3000.0)),
    14.5, 0.05, 7, "staggered", 0.025, "closed",
)  # fmt: skip


@pytest.fixture(scope="module")
def rig() -> Rig:
    """A rig that has run its first window."""
    rig = Rig()
    rig.window()
    return rig


# ---------------------------------------------------------------- set-ups


def test_window_is_that_of_the_model(rig: Rig) -> None:
    moment, model = Rig().window(), rig.base(Setup())
    expected = model(times(0, WINDOW))
    np.testing.assert_array_equal(moment.result.states.V, expected.states.V)


def test_run_goes_on_from_present_state() -> None:
    rig = Rig()
    first, second = rig.window(), rig.window()
    whole = rig.base(rig.setup)(times(0, 2 * WINDOW))
    np.testing.assert_allclose(second.result.states.V[-1], whole.states.V[-1], rtol=1e-9)
    assert rig.clock == WINDOW
    assert first.begin is not second.begin


def test_moving_slider_leaves_present_state() -> None:
    rig = Rig()
    rig.window()
    before, moved = rig.state, rig.with_values({"LP-AB/PD": 1.0})
    tried = rig.window(moved, goes_on=False)
    assert rig.state is before
    assert rig.setup == Setup()
    assert tried.setup == moved


def test_undo_and_redo() -> None:
    rig = Rig()
    for g in (1.0, 2.0):
        rig.change(rig.with_values({"LP-AB/PD": g}))
    assert rig.undo()
    assert rig.values()["LP-AB/PD"] == 1
    assert rig.undo()
    assert rig.setup == Setup()
    assert not rig.undo()
    assert rig.redo()
    assert rig.redo()
    assert rig.values()["LP-AB/PD"] == 2
    assert not rig.redo()
    rig.undo()
    rig.change(rig.with_values({"LP-AB/PD": 3.0}))
    assert not rig.redo()


def test_setup_keeps_what_differs_only(rig: Rig) -> None:
    assert checked_setup(Setup(values=(("LP Na", 100.0), ("AB/PD Na", 1.0))), rig.base(Setup())).values == (
        ("AB/PD Na", 1.0),
    )


@pytest.mark.parametrize(
    ("setup", "says"),
    [
        (Setup(values=(("LP Nb", 1.0),)), "LP Nb"),
        (Setup(values=(("LP Na", -1.0),)), "-1"),
        (Setup(currents=(Injected("XY", "step", 1.0),)), "XY"),
        (Setup(currents=(Injected("LP", "stop", 1.0),)), "stop"),
        (Setup(currents=(Injected("LP", "step", 1.0, 10.0, 5.0),)), "10 to 5 ms"),
        (Setup(currents=(Injected("LP", "step", 1.0, 10.0, 5000.0),)), "10 to 5000 ms"),
        (Setup(temperature=1000.0), "1000"),
        (Setup(noise=-1.0), "noise"),
        (Setup(dt=5.0), "dt"),
        (Setup(start="warm"), "warm"),
        (Setup(noise=0.1, solver="exponential_euler"), "staggered only"),
    ],
)
def test_bad_setups_are_refused(rig: Rig, setup: Setup, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked_setup(setup, rig.base(Setup()))


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "db:20250000", "db:-1", "own", "db:" + "9" * 30])
def test_setup_names_no_files_and_no_other_models(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Rig(setup=Setup(name))


def test_failing_run_says_why_and_rig_lives_on() -> None:
    rig = Rig()
    rig.window()
    before = rig.state
    rig.change(rig.with_values({"LP Na": 1e308}))
    failed = rig.window()
    assert failed.result is None
    assert "'LP'" in failed.problem
    assert rig.state is before
    assert rig.judge(failed) is None
    rig.undo()
    assert rig.window().result is not None


def test_cells_of_table_2(rig: Rig) -> None:
    cells = table_of_cells(rig.base(Setup()), "LP")
    assert list(cells) == [f"LP {i}" for i in range(1, 6)]
    assert cells["LP 4"]["LP Na"] == 100
    assert table_of_cells(Rig(burster()).base(Setup("own")), "cell") == {}


def burster() -> Cell:
    """A cell of one's own."""
    of = {"Na": 700, "CaT": 2, "CaS": 4, "A": 50, "KCa": 40, "Kd": 70, "H": 0.03, "leak": 0.01}
    return Cell([getattr(Liu1998, name)(g) for name, g in of.items()], calcium=Liu1998.calcium)


def test_cell_of_ones_own() -> None:
    rig = Rig(burster())
    assert rig.window().problem == ""
    found = rig.judge()
    assert found.pyloric is None
    assert "cell" in found.line


def test_temperature_speeds_up_the_rhythm() -> None:
    rig = Rig()
    rig.window()
    cold = rig.judge().period
    rig.change(Setup(temperature=15.0))
    rig.window()
    assert rig.judge().period < 0.8 * cold


def test_traced_temperature_is_that_of_the_chapter() -> None:
    rig = Rig(setup=Setup(temperature=13.0))
    moment = rig.window()
    expected = at_temperature(rig.base(Setup()), 13.0)(times(0, WINDOW), state=moment.begin)
    np.testing.assert_allclose(moment.result.states.V[:2000], expected.states.V[:2000], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    lines = []
    for setup in PRESETS[name]:
        rig = Rig(setup=setup)
        assert rig.window().problem == ""
        found = rig.judge()
        lines.append(found.line)
        if name == "Half-centre":
            assert list(found.cells["activity"]) == ["bursting"] * 2
            assert abs(found.cells["phase"].iloc[1] - 0.5) < 0.05
        if name == "LP dominates":
            assert list(found.cells["activity"]) == ["silent", "tonic", "silent"]
    if name.startswith("Same"):
        assert all(line.startswith("Pyloric:") for line in lines)


def test_silent_circuit() -> None:
    silent = Prinz2004({"AB/PD 2": 1, "LP": 1, "PY": 1}, {}, [[0, 0, 0, 0, 0, 0, 0, 0.03]] * 3)
    rig = Rig(silent)
    rig.window()
    assert rig.judge().line == "Not pyloric-like: AB/PD 2, LP, PY are silent"


# ---------------------------------------------------------------- what leaves


def test_address_and_back() -> None:
    rig = Rig()
    both = [FULL, Setup("burster")]
    assert exports.from_address("?" + exports.address(both), rig) == both
    assert exports.from_address(exports.address([Setup()]), rig) == [Setup()]
    assert exports.from_address("", rig) == []


@pytest.mark.parametrize(
    "query",
    [
        "circuit=../x", "circuit=paper&set=LP Na:nan", "set=LP Na", "set=LP Nb:1", "current=LP:step:1", "seed=-1", "seed=1.5", "dt=0.3",
        "temperature=inf", "open=x", "start=1", "noise=x", "set=" + "9" * 9000, "set=LP Na:-3", "circuit=own",
    ],
)  # fmt: skip
def test_bad_addresses_are_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        exports.from_address(query, Rig())


def test_toml_gives_the_circuit_back(rig: Rig, tmp_path: Path) -> None:
    setup = rig.with_values({"LP-AB/PD": 1.25})
    text = exports.as_toml(rig, setup)
    assert tomllib.loads(text)["title"]
    (tmp_path / "x.toml").write_text(text)
    assert knobs_of(Prinz2004.from_toml(tmp_path / "x.toml"))["LP-AB/PD"] == 1.25


@pytest.mark.parametrize(
    "setup",
    [
        Setup(values=(("LP-AB/PD", 1.25),)),
        Setup(solver="exponential_euler", dt=0.025),
        Setup(currents=(Injected("LP", "step", 0.5), Injected("LP", "ramp", 1e-5), Injected("PY", "zap", 0.2))),
        Setup(noise=0.05, seed=3, currents=(Injected("AB/PD", "constant", 0.1),)),
        pytest.param(Setup(temperature=13.0), marks=pytest.mark.slow),
        pytest.param(Setup(temperature=13.0, noise=0.05), marks=pytest.mark.slow),
    ],
)
def test_python_repeats_the_run(setup: Setup) -> None:
    rig = Rig()
    rig.window()
    rig.change(setup)
    moment = rig.window()
    names: dict = {}
    exec(compile(exports.as_python(rig, moment), "run.py", "exec"), names)
    expected, got = moment.result.states.V, names["run"].states.V
    if setup.temperature is None:
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-6)
    else:  # compiled with the temperature as a constant, so that rounding differs
        np.testing.assert_allclose(got[:5000], expected[:5000], rtol=1e-4, atol=1e-3)


def test_python_of_a_cell_of_ones_own_stands_alone(tmp_path: Path) -> None:
    rig = Rig(burster())
    text = exports.as_python(rig, rig.window())
    (tmp_path / "run.py").write_text(text)
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "cell" in done.stdout


def test_tables_and_pictures(rig: Rig, tmp_path: Path) -> None:
    moment = rig.window()
    (tmp_path / "x.csv").write_bytes(exports.as_csv(moment))
    table = pd.read_csv(tmp_path / "x.csv", comment="#")
    np.testing.assert_allclose(table["V LP 0"], moment.result.states.V[:, 1])
    assert exports.as_picture(moment, "png").startswith(b"\x89PNG")
    assert b"<svg" in exports.as_picture(moment, "svg")
    with pytest.raises(ValueError, match="no run to export"):
        exports.as_csv(None)


# ---------------------------------------------------------------- pictures


def test_thinned_traces_keep_spikes(rig: Rig) -> None:
    result = rig.window().result
    for V in result.states.V.T:
        t, kept = decimated(result.t, V, POINTS)
        assert len(t) <= POINTS + 2
        assert (np.diff(t) > 0).all()
        assert kept.max() == V.max()
        assert kept.min() == V.min()
        assert len(spikes(t, kept)) == len(spikes(result.t, V))


def test_shares_sum_to_one() -> None:
    I = np.random.default_rng(1).normal(size=(3000, 5))
    outward, inward, totals = shares_of(I, 10)
    np.testing.assert_allclose(outward.sum(1), 1)
    np.testing.assert_allclose(inward.sum(1), 1)
    np.testing.assert_allclose(totals[:, 0] - totals[:, 1], I.sum(1).reshape(300, -1).mean(1))


def test_every_conductance_has_a_knob(rig: Rig) -> None:
    model = rig.base(Setup())
    values = knobs_of(model)
    groups = groups_of(model, values, {})
    names = [k["name"] for g in groups for k in g["knobs"]]
    assert sorted(names) == sorted(values)
    assert [g["name"] for g in groups] == ["AB/PD", "LP", "PY", "synapses"]
    assert all(k["max"] > 0 for g in groups for k in g["knobs"])


# ---------------------------------------------------------------- the page, without a browser


@pytest.fixture(scope="module")
def page() -> Explorer:
    """A page that works at once."""
    return Explorer()


def put(page: Explorer, name: str, value: Any, kind: str = "set") -> None:
    """What a slider says."""
    page.from_knobs({"kind": kind, "name": name, "value": value})


def test_slider_changes_the_rhythm(page: Explorer) -> None:
    page.take(Setup())
    before = page.side.judgement.period
    put(page, "LP-AB/PD", 0.0)
    assert page.side.judgement.period < 0.9 * before
    assert "1497" in page.verdict.object
    page.step("undo")
    assert page.side.rig.setup == Setup()
    assert page.knobs.values["LP-AB/PD"] == 30


@pytest.mark.parametrize("message", [{}, {"kind": "set", "name": "x", "value": 1}, {"kind": "set", "name": "LP Na", "value": "<b>"},
                                     {"kind": "set", "name": "LP Na", "value": -1}, {"kind": "swap"}])  # fmt: skip
def test_messages_are_not_trusted(page: Explorer, message: dict[str, Any]) -> None:
    before = page.side.rig.setup
    page.from_knobs(message)
    assert page.side.rig.setup == before
    assert 'class="problem"' in page.verdict.object
    assert "<b>x" not in page.verdict.object
    page.take(Setup())


def test_locked_values_stay(page: Explorer) -> None:
    page.take(Setup())
    page.from_knobs({"kind": "lock", "name": "LP Na", "on": True})
    put(page, "LP Na", 5.0)
    assert page.side.rig.values()["LP Na"] == 100
    page.swap("LP", "LP 2")
    assert page.side.rig.values()["LP Na"] == 100
    assert page.side.rig.values()["LP CaS"] == 6
    page.from_knobs({"kind": "lock", "name": "LP Na", "on": False})
    page.reset()
    assert page.side.rig.setup == Setup()


def test_two_setups(page: Explorer) -> None:
    page.take(Setup())
    page.two()
    page.which.value = 1
    put(page, "LP-AB/PD", 0.0)
    assert page.sides[0].rig.setup == Setup()
    assert page.sides[1].rig.values()["LP-AB/PD"] == 0
    assert "A: " in page.verdict.object
    assert "B: " in page.verdict.object
    assert len(exports.from_address(exports.address([s.rig.setup for s in page.sides]), Rig())) == 2
    page.which.value, page.compare.value = 0, False
    assert len(page.sides) == 1


def test_page_from_address() -> None:
    page = Explorer(query="?circuit=burster&set=AB/PD 2 Na:120&theme=dark")
    assert page.side.rig.setup == Setup("burster", (("AB/PD 2 Na", 120.0),))
    bad = Explorer(query="?circuit=nothing")
    assert bad.side.rig.setup == Setup()
    assert "nothing" in bad.verdict.object


def test_recording_behind_the_traces(page: Explorer, rig: Rig) -> None:
    V = rig.base(Setup())(np.arange(0, 8000, 0.5)).V
    V.columns = ["PD", "LP", "PY"]
    page.load(V.rename_axis("time (ms)").to_csv().encode(), "r.csv")
    assert len(page.side.traces.behind[1].data["t"]) > 100
    assert page.criteria.beside.data["x"]
    page.attempt(lambda: page.load(b"nonsense", "r.csv"))
    assert 'class="problem"' in page.verdict.object


def test_tabs_show_the_cell(page: Explorer) -> None:
    page.take(Setup())
    for i, title in enumerate(("Currents", "Gates", "Phase plane"), 1):
        page.tabs.active = i
        page.cell.value = "LP"
        assert len(page.places[title]) > 0
    page.tabs.active = 0


@pytest.mark.slow
def test_knock_outs_are_those_of_single_runs() -> None:
    page = Explorer()
    table = page.side.knock_outs()
    assert list(table.index[:2]) == ["nothing", "AB/PD Na"]
    assert len(table) == 28
    rig, moment = page.side.rig, page.side.moment
    setup = rig.with_values({"LP-AB/PD": 0.0})
    alone = judged(run(setup, rig.model(setup), moment.begin, times(0, 13000), ("V",))[WINDOW:])
    assert abs(table.loc["LP-AB/PD", "period"] / alone.period - 1) < 1e-3


def test_jobs_keep_the_last_wish() -> None:
    class Doc:
        def add_next_tick_callback(self, f: Any) -> None:
            f()

    gate, done, drawn = threading.Event(), threading.Event(), []
    jobs = Jobs(Doc())
    jobs.ask("a", lambda: gate.wait() and None)
    for i in range(5):
        jobs.ask("b", lambda i=i: lambda: (drawn.append(i), done.set()))
    gate.set()
    assert done.wait(5)
    assert drawn == [4]
    jobs.close()
    jobs.ask("b", lambda: lambda: drawn.append(9))
    assert drawn == [4]


def test_current_noise_and_temperature(page: Explorer) -> None:
    page.take(Setup())
    page.into.value, page.form.value, page.level.value = "LP", "zap", 0.5
    page.add_current()
    page.noise.value = 0.02
    page.temperature.param.trigger("value_throttled")
    setup = page.side.rig.setup
    assert setup.currents == (Injected("LP", "zap", 0.5),)
    assert setup.noise == 0.02
    assert "cannot be judged" not in page.verdict.object
    assert page.side.moment.problem == ""
    page.solver.value = "exponential_euler"
    assert "staggered only" in page.verdict.object
    assert page.solver.value == "staggered"
    page.reset()
    assert page.side.rig.setup == Setup()


def test_circuits_of_the_database(page: Explorer) -> None:
    page.number.value = 17
    assert page.side.rig.setup == Setup("db:17")
    page.kind.value = "pyloric"
    judged = []
    for _ in range(5):  # the sample was run in single precision, and a few of its circuits have two rhythms
        page.draw_at_random()
        judged.append(page.side.judgement.pyloric)
    assert sum(judged) >= 3
    page.take(Setup())


def test_new_start_holds_for_a_window_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.window()
    whole = setups.run

    def slow(*arguments: Any) -> Any:
        rig.change(Setup("burster"))  # meanwhile
        return whole(*arguments)

    monkeypatch.setattr(setups, "run", slow)
    rig.window()
    assert rig.state is None
    monkeypatch.undo()
    assert rig.window().problem == ""


@pytest.mark.parametrize("kind", ["constant", "step", "ramp", "zap"])
def test_what_follows_a_current_is_judged(kind: str) -> None:
    rig = Rig(setup=Setup(currents=(Injected("PY", kind, 0.1),)))
    assert rig.window().problem == ""
    assert "cannot be judged" not in rig.judge().line


@pytest.mark.slow
def test_elasticities_leave_out_the_phase_of_the_pacemaker() -> None:
    table = Explorer(query="?circuit=burster").side.elasticities()
    assert list(table.index) == ["AB/PD 2 burst", "AB/PD 2 duty cycle", "AB/PD 2 period"]
    assert heat(table).y_range.factors == list(reversed(list(table)))


# ---------------------------------------------------------------- the command


def test_command_refuses_what_it_cannot_serve(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in (
        (["nowhere"], "nowhere"),
        (["20250000"], "20250000"),
        (["--port", "99999"], "99999"),
    ):
        with pytest.raises(SystemExit, match="2"):
            cli.main(["explore", "--no-show", *arguments])
        assert says in capsys.readouterr().err


def test_port_in_use_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ValueError, match=r"cannot listen.*Choose another port"):
            free_port("127.0.0.1", taken.getsockname()[1])
    assert 0 < free_port("127.0.0.1", 0) < 65536


def test_only_the_server_itself_may_talk_to_it() -> None:
    assert origins("127.0.0.1", 5006) == ["127.0.0.1:5006", "localhost:5006"]
    assert "localhost:5006" not in origins("10.0.0.1", 5006)


def test_command_reads_networks_and_circuits(tmp_path: Path) -> None:
    network = Network({"a": burster(), "b": burster()}, [])
    network.to_toml(tmp_path / "n.toml")
    assert isinstance(cli.model_in(tmp_path / "n.toml", None), Network)
    assert cli.model_in(find_circuit("reduced"), "float32").dtype == "float32"


def test_models_without_channels_are_refused() -> None:
    with pytest.raises((TypeError, ValueError), match=r"LIF"):
        explore(LIF(2))


@pytest.mark.slow
def test_page_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    """A cell whose last line is the page shows it, with the period of its rhythm."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    cells = [
        "from pyloric_simulator import explore, Prinz2004\npage = explore(Prinz2004({'AB/PD 2': 1}, {}))\npage",
        "import panel as pn\nprint(isinstance(page, pn.viewable.Viewable), len(page.select(pn.pane.Bokeh)) > 2)",
        "print(any('period' in str(x.object) for x in page.select(pn.pane.HTML)))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(x) for x in cells])
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [output.data for output in notebook.cells[0].outputs if "data" in output]
    assert any("text/html" in data and "Bokeh" in data["text/html"] for data in shown)
    said = "".join(
        output.text for cell in notebook.cells[1:] for output in cell.outputs if output.output_type == "stream"
    )
    assert said.split() == ["True", "True", "True"]
    assert not [output for cell in notebook.cells for output in cell.outputs if output.output_type == "error"]


def test_notebook_page_works_at_once() -> None:
    shown = explore(burster())
    assert any("No PD, LP and PY to judge" in str(pane.object) for pane in shown.select(pn.pane.HTML))
