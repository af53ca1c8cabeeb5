"""Pictures: their elements, and their pixels as Matplotlib draws them."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import browsers
import numpy as np
import pandas as pd
import pytest
from networks import STRENGTHS, burster, mixed
from scipy.stats import binomtest, pearsonr

from pyloric_simulator import plotting
from pyloric_simulator.lab.robustness import Crash, Robustness
from pyloric_simulator.models.channels import HodgkinHuxley1952
from pyloric_simulator.models.networks import Network
from pyloric_simulator.prinz2004 import CHANNELS, Prinz2004, neuron_models

hv = pytest.importorskip("holoviews")
pytest.importorskip("matplotlib")
BACKENDS = ("bokeh", "matplotlib")


@pytest.fixture(scope="module", autouse=True)
def _backends() -> None:
    import matplotlib

    matplotlib.use("agg")
    hv.extension(*BACKENDS)
    hv.Store.set_current_backend("matplotlib")


@pytest.fixture(scope="module")
def circuit() -> Prinz2004:
    return Prinz2004({"AB/PD": 1, "LP": 1, "PY": 1}, STRENGTHS, neuron_models.loc[["AB/PD 2", "LP 4", "PY 1"]])


@pytest.fixture(scope="module")
def result(circuit: Prinz2004) -> Any:
    return circuit(np.arange(0, 300, 0.5), state=circuit.cold)


@pytest.fixture(scope="module")
def rhythm() -> pd.DataFrame:
    """Five triphasic cycles of 1.5 s, as potentials."""
    t = np.arange(0, 8000, 1.0)
    V = {}
    for cell, start, end in (("PD", 0.0, 0.38), ("LP", 0.53, 0.79), ("PY", 0.76, 1.1)):
        φ = t / 1500
        inside = ((φ % 1 >= start) & (φ % 1 < end)) | ((φ % 1 + 1) < end)
        V[cell] = np.where(inside & (t % 20 == 0), 30.0, -55.0)
    return pd.DataFrame(V, t)


DELTAS = pd.Index(np.linspace(0, 1, 11), name="δ")
SHARE = 1 / (1 + np.exp((DELTAS.to_numpy() - 0.5) / 0.1))
CURVE = pd.DataFrame({"share": SHARE, "low": SHARE - 0.1, "high": SHARE + 0.1, "kept": 1, "of": 2}, DELTAS)
WAY = pd.MultiIndex.from_arrays([["there"] * 3 + ["back"] * 3, [10, 20, 30, 30, 20, 10]], names=["way", "temperature"])
LOST = pd.DataFrame({"cycle_period": [1500, 900, np.nan, np.nan, 1000, 1500], "kept": [1, 1, 0, 0, 0, 1]}, WAY)
ROBUST = Robustness(CURVE, 0.5, (0.4, 0.6), 0.5, 0.1, 1.0, pd.DataFrame())
CRASH = Crash(LOST.astype({"kept": bool}), "temperature", "°C", 30.0, 10.0)
GRID = pd.MultiIndex.from_product([range(3)] * 4, names=list("abcd")).to_frame(index=False)
GRID["value"] = (GRID["a"] + GRID["c"] > 2).astype(float)
PARTS = plotting.principal_components(GRID, ["a", "b", "c", "value"], shuffles=20)


def picture(name: str, result: Any, rhythm: pd.DataFrame, circuit: Any) -> Any:
    """Each picture of the module, by its name."""
    table = pd.DataFrame([[1.0, -2.0], [0.5, 0.1]], ["period", "duty cycle"], ["LP Na", "LP A"])
    return {
        "traces": lambda: plotting.traces(result),
        "currentscape": lambda: plotting.currentscape(result, "LP"),
        "dominant_currents": lambda: plotting.dominant_currents(result),
        "gates": lambda: plotting.gates(result, ("PY", 0)),
        "phase_plane": lambda: plotting.phase_plane(result, "V", "m Kd"),
        "raster": lambda: plotting.raster(rhythm),
        "phase_diagram": lambda: plotting.phase_diagram(rhythm),
        "criteria_chart": lambda: plotting.criteria_chart(rhythm),
        "heat_map": lambda: plotting.heat_map(table),
        "f_I": lambda: plotting.f_I(pd.DataFrame({"up": [0, 0, 9.0], "down": [0, 5.0, 9]}, [0, 1, 2])),
        "activation_curves": lambda: plotting.activation_curves(CHANNELS),
        "robustness_curve": lambda: ROBUST.plot("synaptic"),
        "crash_curve": lambda: CRASH.plot(),
        "circuit_diagram": lambda: plotting.circuit_diagram(circuit),
        "histograms": lambda: plotting.histograms(GRID, GRID["value"] > 0, list("abcd")),
        "correlation_map": lambda: plotting.correlation_map(GRID, ["a", "c", "value"]),
        "component_chart": lambda: plotting.component_chart(PARTS, GRID["value"] > 0),
        "dimensional_stacking": lambda: plotting.dimensional_stacking(GRID, "value", list("abcd"), search=False),
    }[name]()


NUMBERS = {
    "PrincipalComponents", "colour_of_cell", "colours_of", "colours_of_cells", "correlations", "principal_components", "shares",
    "shares_of", "stacked",
}  # fmt: skip
PICTURES = [name for name in plotting.__all__ if name not in NUMBERS]
MANY_PANELS = (
    "activation_curves",
    "component_chart",
    "currentscape",
    "gates",
    "histograms",
)  # a second or more to draw
BY_TIME = [pytest.param(x, marks=pytest.mark.slow) if x in MANY_PANELS else x for x in PICTURES]

LABELS = {
    "traces": {"time (ms)", "V (mV)"},
    "currentscape": {"time (ms)", "V (mV)", "outward (nA)", "inward (nA)", "share outward", "share inward"},
    "dominant_currents": {"time (ms)", "V (mV)"},
    "gates": {"time (ms)", "V (mV)", "calcium (µM)", "activation m", "inactivation h"},
    "phase_plane": {"V (mV)", "m of Kd"},
    "raster": {"time (ms)"},
    "f_I": {"current (nA)", "rate (Hz)"},
    "activation_curves": {"V (mV)", "time constant of m (ms)"},
    "robustness_curve": {"largest relative change δ", "share that stays"},
    "crash_curve": {"temperature (°C)", "period (ms)"},
    "dimensional_stacking": {"a ▸ c", "b ▸ d"},
    "phase_diagram": {"phase in the pacemaker's cycle"},
    "criteria_chart": {"distance from the lobsters' mean (s.d.)"},
    "histograms": {"share", "a", "b", "c", "d"},
    "component_chart": {"component", "share of the variance"},
}  # of their axes


CELLS = [plotting.CELLS[cell] for cell in ("AB/PD", "LP", "PY")]
CHANNELS_ = [plotting.CURRENTS[name] for name in ("Na", "CaS", "A", "KCa", "Kd", "H", "CaT")]
COLOURS = {
    "traces": CELLS, "phase_plane": CELLS[:1], "activation_curves": CHANNELS_, "gates": CHANNELS_,
    "currentscape": [plotting.CURRENTS[name] for name in ("synaptic", "H", "A", "Kd")],
    "circuit_diagram": list(plotting.TRANSMITTERS.values()),
}  # fmt: skip  # that must be seen
FAR = 40  # sum of differences of red, green and blue, from which on a colour is another one


def shows_colours(name: str, image: np.ndarray) -> None:
    """Each colour of a picture is found in some of its pixels."""
    for colour in COLOURS.get(name, []):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(image - wanted).sum(-1) < FAR).sum() > 3, colour


def is_whole(image: np.ndarray) -> None:
    """A picture has ink, in more than one place, and none of it at the edge."""
    ink = (image < 250).any(-1)
    assert 0.01 < ink.mean() < 0.9
    assert ink.any(0).mean() > 0.5
    assert ink.any(1).mean() > 0.4
    assert not np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).any()


def pixels(file: Path) -> np.ndarray:
    """A PNG, (row, column, 3), 0…255."""
    import matplotlib.pyplot as plt

    return np.asarray(np.round(plt.imread(file)[..., :3] * 255), int)


@pytest.mark.parametrize("name", BY_TIME)
def test_picture_is_drawn_and_not_cut(
    name: str, result: Any, rhythm: pd.DataFrame, circuit: Any, tmp_path: Path
) -> None:
    hv.save(picture(name, result, rhythm, circuit), tmp_path / "x.png", backend="matplotlib", dpi=100)
    image = pixels(tmp_path / "x.png")
    is_whole(image)
    shows_colours(name, image)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_saved_for_print(name: str, result: Any, rhythm: pd.DataFrame, circuit: Any, tmp_path: Path) -> None:
    """SVG and PDF have what is drawn as lines and letters, in a frame of the same size."""
    shown = picture(name, result, rhythm, circuit)
    for kind in ("svg", "pdf"):
        hv.save(shown, tmp_path / f"x.{kind}", backend="matplotlib")
    drawing = ElementTree.parse(tmp_path / "x.svg").getroot()
    width, height = (float(drawing.get(side, "").removesuffix("pt")) for side in ("width", "height"))
    assert 150 < width < 700
    assert 80 < height < 900
    assert sum(part.tag.endswith(("path", "use")) for part in drawing.iter()) > 20
    text = (tmp_path / "x.pdf").read_bytes()
    assert text.startswith(b"%PDF")
    box = re.search(rb"/MediaBox \[ *0 0 ([\d.]+) ([\d.]+) *\]", text)
    assert box is not None
    assert [float(x) for x in box.groups()] == pytest.approx([width, height], abs=2)


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    """A page of a browser."""
    with browsers.chromium() as found:
        yield found.new_page(viewport={"width": 760, "height": 700})


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_whole_in_a_browser(
    name: str, result: Any, rhythm: pd.DataFrame, circuit: Any, tab: Any, tmp_path: Path
) -> None:
    hv.save(picture(name, result, rhythm, circuit), tmp_path / "x.html", backend="bokeh", resources="inline")
    tab.goto((tmp_path / "x.html").as_uri())
    tab.wait_for_function("() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle", timeout=60_000)
    tab.screenshot(path=tmp_path / "x.png", full_page=True)
    image = pixels(tmp_path / "x.png")
    rows, columns = (np.flatnonzero((image < 250).any(-1).any(axis)) for axis in (1, 0))
    assert columns[0] > 2
    assert columns[-1] < image.shape[1] - 3  # within the page
    is_whole(image[rows[0] - 2 : rows[-1] + 3, columns[0] - 2 : columns[-1] + 3])
    shows_colours(name, image)


MARKS = {
    "traces": {"Curve": 3},
    "currentscape": {"Curve": 1 + 2 * 7, "Area": 2 + 2 * 7},
    "dominant_currents": {"Curve": 5},
    "gates": {"Curve": 13},
    "phase_plane": {"Curve": 1, "Points": 1},
    "raster": {"Rectangles": 3, "Segments": 1},
    "phase_diagram": {"Rectangles": 3, "Segments": 1, "Points": 1},
    "criteria_chart": {"Segments": 1, "Points": 1},
    "heat_map": {"Image": 1},
    "f_I": {"Curve": 2},
    "activation_curves": {"Curve": 22},
    "robustness_curve": {"Segments": 1, "Curve": 1, "Scatter": 1},
    "crash_curve": {"Curve": 2, "Points": 4},
    "circuit_diagram": {"Points": 1 + 7 + 7, "Curve": 7, "Labels": 8},
    "histograms": {"Rectangles": 4, "ErrorBars": 4, "Scatter": 4},
    "correlation_map": {"Image": 1},
    "component_chart": {"Rectangles": 1, "Scatter": 1, "Points": 2, "Image": 1},
    "dimensional_stacking": {"Image": 1},
}  # kinds of elements, and how many


@pytest.mark.parametrize("name", PICTURES)
def test_picture_has_its_elements(name: str, result: Any, rhythm: pd.DataFrame, circuit: Any) -> None:
    parts = picture(name, result, rhythm, circuit).traverse(lambda x: type(x).__name__, [hv.Element])
    assert Counter(parts) == MARKS[name]


@pytest.mark.parametrize("name", BY_TIME)
def test_picture_is_drawn_by_bokeh_with_units(name: str, result: Any, rhythm: pd.DataFrame, circuit: Any) -> None:
    from bokeh.models import Plot

    hv.Store.set_current_backend("bokeh")
    try:
        drawn = hv.render(picture(name, result, rhythm, circuit), backend="bokeh")
    finally:
        hv.Store.set_current_backend("matplotlib")
    plots = list(drawn.select({"type": Plot}))
    assert plots
    assert all((plot.width or plot.frame_width) <= plotting.WIDTH for plot in plots)
    labels = {axis.axis_label for plot in plots for axis in (*plot.below, *plot.left)}
    assert LABELS.get(name, set()) <= labels


# ---------------------------------------------------------------- what they show


def test_shares_add_up_and_hold_every_current(result: Any) -> None:
    for cell in result.model.cells:
        out, into, totals = plotting.shares(result, cell)
        current = result.currents[cell]
        for share, total in ((out, totals["outward"]), (into, totals["inward"])):
            np.testing.assert_allclose(share.sum(axis=1)[total > 0], 1, atol=1e-12)
            assert ((share >= 0) & (share <= 1)).all(axis=None)
        net = (out.mul(totals["outward"], axis=0) - into.mul(totals["inward"], axis=0))[list(out)]
        np.testing.assert_allclose(net, current[list(out)], atol=1e-12)
        assert "synaptic" in out


def test_gap_junctions_are_members_of_a_currentscape() -> None:
    apart = Prinz2004({"AB": 1, "PD": 1}, {}, neuron_models.loc[["AB/PD 2", "AB/PD 3"]], ge=50)
    run = apart(np.arange(0, 100, 0.5), state=apart.cold)
    out, into, _ = plotting.shares(run, "PD")
    assert max(out["electrical"].max(), into["electrical"].max()) > 0
    assert "synaptic" not in out


def test_currentscape_has_five_panels_and_one_legend(result: Any) -> None:
    shown = plotting.currentscape(result, "LP")
    assert len(shown) == 5
    areas = [area for area in shown[2, 0] if isinstance(area, hv.Area)]
    assert areas[-1].dimension_values("high").max() == pytest.approx(1)
    for below, above in pairwise(areas):
        np.testing.assert_array_equal(below.dimension_values("high"), above.dimension_values("low"))


def test_the_dominant_current_is_the_largest(result: Any) -> None:
    shown, current = plotting.dominant_currents(result), result.currents["AB/PD", 0].abs()
    largest = current.to_numpy().argmax(1)
    for line in shown:
        there = np.isfinite(line.dimension_values(1))
        assert there[largest == list(current).index(line.label)].all()


def test_decimation_keeps_every_extreme() -> None:
    t = np.arange(0, 600_000, 1.0)
    x = np.full(len(t), -50.0)
    x[[1234, 400_001]] = 40, -90
    times, values = plotting.decimated(t, x)
    assert len(times) <= 2 * plotting.COLUMNS
    assert (np.diff(times) > 0).all()
    assert {40.0, -90.0} <= set(values)
    short = plotting.decimated(t[:100], x[:100])
    assert short[0] is not None
    assert len(short[0]) == 100


def test_a_channel_and_a_cell_have_one_colour() -> None:
    assert plotting.colours_of(["Na", "mine"])["Na"] == plotting.colours_of(["Kd", "Na"])["Na"]
    colours = plotting.colours_of([*(c.name for c in CHANNELS), "MI", "synaptic", "electrical", "own", "other"])
    assert len(set(colours.values())) == len(colours)
    assert plotting.colour_of_cell(("LP 4", 0)) == plotting.colour_of_cell("LP")
    own = ["mine", "yours", ("theirs", 0), ("theirs", 1)]
    one, *others = plotting.colours_of_cells([*own, "PD", ("AB/PD 2", 0)])
    assert one == plotting.colours_of_cells(["mine", "new"])[0] == plotting.colour_of_cell(("mine", 3))
    assert others[1] == others[2]
    assert others[3] == others[4] == plotting.CELLS["PD"]
    assert len({one, *others}) == 4
    assert plotting.colours_of(["mine", "other"])["mine"] == plotting.colours_of(["Na", "mine"])["mine"]


def test_long_runs_are_drawn_by_few_points(result: Any) -> None:
    """Ten minutes at full sampling have as many points as a page has pixels, and every spike."""
    V = np.full((3_000_000, 3), -60.0)
    V[12_345::100_000] = 40
    t = 0.2 * np.arange(len(V))
    run = replace(result, t=t, states=result.states._replace(V=V))
    for curve in run.plot():
        assert len(curve) <= 2 * plotting.COLUMNS + 2
        assert (curve.dimension_values(1) == 40).sum() == 30


def test_activation_curves_of_any_channel() -> None:
    shown = plotting.activation_curves([HodgkinHuxley1952.Na, HodgkinHuxley1952.K, HodgkinHuxley1952.leak])
    assert [len(panel) for panel in shown] == [2, 2, 1, 1]
    curve = next(c for c in shown[0, 0] if c.label == "Na")
    V, m = curve.dimension_values(0), curve.dimension_values(1)
    np.testing.assert_allclose(
        m, 1 / (1 + HodgkinHuxley1952.Na.m.inf.β(V) / HodgkinHuxley1952.Na.m.inf.α(V)), rtol=1e-5
    )


def test_diagram_has_every_connection_of_any_network(circuit: Any) -> None:
    for model in (circuit, mixed(), Network({"cell": burster()})):
        joined = [x for x in plotting.connections(model) if x[3]]
        shown = plotting.circuit_diagram(model)
        assert sum(isinstance(x, hv.Curve) for x in shown) == len(joined)
        texts = [str(text) for x in shown if isinstance(x, hv.Labels) for text in x.dimension_values(2)]
        names = [
            label if p.size == 1 else f"{p.size} {label}"
            for label, p in zip(model.labels, model.circuit.populations, strict=True)
        ]
        assert sorted(texts) == sorted([f"{g:g}" for *_, g in joined] + names)
    kinds = {kind for *_, kind, _ in plotting.connections(mixed())}
    assert kinds == {"glutamate", "own", "fast", "electrical"}


# ---------------------------------------------------------------- many circuits


def test_histograms_are_shares_with_intervals() -> None:
    shown = plotting.histograms(GRID, GRID["value"] > 0, ["a", "b"])
    bars = next(x for x in shown[0, 0] if isinstance(x, hv.Rectangles))
    assert bars.dimension_values("share").tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    errors = next(x for x in shown[0, 0] if isinstance(x, hv.ErrorBars))
    n = int((GRID["value"] > 0).sum())
    for share, below, above in zip(*(errors.dimension_values(i) for i in (1, 2, 3)), strict=True):
        exact = binomtest(round(share * n), n).proportion_ci(method="wilson")
        assert (share - below, share + above) == pytest.approx((exact.low, exact.high), abs=1e-4)
    many = plotting.binned(pd.Series(np.linspace(0, 1, 1000)))
    assert many.nunique() == plotting.BINS
    with pytest.raises(ValueError, match="0 rows"):
        plotting.histograms(GRID, GRID["value"] > 5, ["a"])


def test_correlations_and_their_intervals() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        x = rng.normal(size=(40, 2))
        found = plotting.correlations(
            pd.DataFrame({"a": x[:, 0], "b": 0.5 * x[:, 0] + np.sqrt(0.75) * x[:, 1]}), ["a", "b"]
        )
        row = found.loc["a", "b"]
        inside += row["low"] < 0.5 < row["high"]
    assert 270 < inside < 298
    exact = pearsonr(*x.T).confidence_interval()
    row = plotting.correlations(pd.DataFrame(x, columns=["a", "b"]), ["a", "b"]).loc["a", "b"]
    assert (row["low"], row["high"]) == pytest.approx((exact.low, exact.high), abs=1e-4)
    r = plotting.correlation_map(GRID, ["a", "b", "value"]).dimension_values(2, flat=False)[::-1]  # from above
    assert np.isnan(np.diag(r)).all()
    assert r[0, 1] == 0
    assert r[2, 0] == r[0, 2] > 0.5


def test_principal_components_are_those_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    rng = np.random.default_rng(3)
    table = pd.DataFrame(rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)) + 5, columns=list("abcd"))
    found = plotting.principal_components(table, list("abcd"), shuffles=100)
    z = (table - table.mean()) / table.std(ddof=0)
    theirs = decomposition.PCA().fit(z)
    np.testing.assert_allclose(found.share, theirs.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.loadings), np.abs(theirs.components_.T), atol=1e-9)
    np.testing.assert_allclose(np.abs(found.scores), np.abs(theirs.transform(z)), atol=1e-9)
    assert (found.loadings.to_numpy()[np.abs(found.loadings).to_numpy().argmax(0), range(4)] > 0).all()
    assert found.chance.is_monotonic_decreasing
    assert found.share[1] > found.chance[1]


def test_columns_without_relation_stay_below_chance() -> None:
    """Of 40 tables of independent columns some 5% exceed what 95% of shuffled ones stay below."""
    tables = (pd.DataFrame(np.random.default_rng(i).normal(size=(100, 3)), columns=list("abc")) for i in range(40))
    found = [plotting.principal_components(table, list("abc"), shuffles=60) for table in tables]
    assert sum(x.share[1] > x.chance[1] for x in found) <= 6


def test_stacking_puts_each_row_in_its_pixel() -> None:
    table = GRID.assign(value=np.arange(81.0))
    found = plotting.stacked(table, "value", list("abcd"))
    assert found.shape == (9, 9)
    for row in (0, 17, 80):
        a, b, c, d = table.loc[row, list("abcd")].astype(int)
        assert found[3 * b + d, 3 * a + c] == row
    part = plotting.stacked(table.iloc[1:], "value", list("abcd"))
    assert np.isnan(part).sum() == 1
    assert np.isnan(part[0, 0])


def test_the_search_makes_patches_larger() -> None:
    worst = max(
        (plotting.roughness(plotting.stacked(GRID, "value", x)), x) for x in (list("abcd"), list("dbca"), list("bdac"))
    )[1]
    found = plotting.smoothest(GRID, "value", worst)
    assert sorted(found) == list("abcd")
    assert plotting.roughness(plotting.stacked(GRID, "value", found)) <= plotting.roughness(
        plotting.stacked(GRID, "value", worst)
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [(lambda r: plotting.currentscape(r, "DG"), "'DG'"), (lambda r: plotting.phase_plane(r, "W"), "'W'"),
     (lambda _: plotting.dimensional_stacking(GRID, "value", ["a"]), "two axes"),
     (lambda _: plotting.dimensional_stacking(GRID, "value", ["a", "z"]), "'z'"),
     (lambda _: plotting.principal_components(GRID, ["a"]), "81 rows and 1 columns"),
     (lambda _: plotting.principal_components(GRID, ["a", "z"]), "'z'"),
     (lambda _: plotting.principal_components(GRID[:2], ["a", "b"]), "2 rows"),
     (lambda _: plotting.principal_components(GRID.assign(a=np.nan), ["a", "b"]), "dropna"),
     (lambda _: plotting.principal_components(GRID.assign(a=1), ["a", "b"]), "one value in all rows")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(call: Any, said: str, result: Any) -> None:
    with pytest.raises(ValueError, match=said):
        call(result)
