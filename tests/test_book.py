"""The Book's sources: literate modules, the pages made from them, and its table of contents.

The build of the Book executes the pages. It warns of a caption without a picture; that it does is tested here.
"""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import generate
import jupytext
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import pyloric_simulator
from pyloric_simulator import book
from pyloric_simulator.prinz2004 import CHANNELS, B, Gate, Prinz2004, neuron_models

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version,\
-jupytext.text_representation.format_version
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% tags=["active-ipynb", "remove-cell"]
"""
AT_THE_TOP = "# from _notebook import __spec__\n"
IN_A_FOLDER = '# import sys\n#\n# sys.path.append("..")\n' + AT_THE_TOP

OF_TORCH = ("CircuitModule", "LIFModule")

each_module = pytest.mark.parametrize("module", generate.literate_modules(), ids=lambda module: module.stem)


def test_the_model_is_a_page() -> None:
    assert generate.MODEL in generate.literate_modules()


@each_module
def test_module_opens_so_that_it_runs_as_a_notebook(module: Path) -> None:
    first = AT_THE_TOP if module.parent == generate.PACKAGE else IN_A_FOLDER
    assert module.read_text(encoding="utf-8").startswith(HEADER + first)


def test_the_page_of_the_model_says_what_its_module_says() -> None:
    assert generate.stale(generate.page()) == {}


def test_no_other_module_has_a_page_beside_it() -> None:
    assert list(generate.PACKAGE.rglob("*.md")) == [generate.MODEL.with_suffix(".md")]


@pytest.mark.parametrize(
    "page", [*generate.literate_modules(), *(generate.ROOT / "book").rglob("*.md")], ids=lambda x: x.stem
)
def test_what_loads_scripts_for_figures_is_not_shown(page: Path) -> None:
    """The scripts would come over the network; the Book has its own."""
    shows = "hv.extension(" in page.read_text(encoding="utf-8")
    for cell in jupytext.read(page).cells if shows else ():
        if "hv.extension(" in cell.source and cell.cell_type == "code" and not cell.source.startswith("class "):
            assert {"remove-cell", "remove-output"} & set(cell.metadata.get("tags", ()))


def test_contents_list_every_page_once() -> None:
    contents = (generate.ROOT / "_toc.yml").read_text(encoding="utf-8")
    chapters = sorted(re.findall(r"^ *- file: (\S+)$", contents, flags=re.MULTILINE))
    others = [*(generate.ROOT / "book").rglob("*.md"), generate.ROOT / "CONTRIBUTING.md"]
    sources = [source.relative_to(generate.ROOT).with_suffix("") for source in (*generate.literate_modules(), *others)]
    assert chapters == sorted(map(str, sources))


def test_links_lead_to_files() -> None:
    texts = [*generate.literate_modules(), *(generate.ROOT / "book").rglob("*.md"), *generate.ROOT.glob("*.md")]
    for text in texts:
        for link in re.findall(r"\]\(([\w./-]+\.[a-z]\w*)[#)]", text.read_text(encoding="utf-8")):
            assert (text.parent / link).exists(), (
                f"{text.relative_to(generate.ROOT)} links to {link}, which is not there"
            )


def test_requirements_are_those_of_the_package() -> None:
    assert generate.stale(generate.requirements()) == {}


def test_generating_writes_only_what_is_stale(tmp_path: Path) -> None:
    fresh, old, missing = (tmp_path / name for name in ("fresh", "old", "missing"))
    fresh.write_text("new")
    old.write_text("old")
    wanted = dict.fromkeys((fresh, old, missing), "new")
    assert generate.stale(wanted) == {old: "new", missing: "new"}


def test_relative_imports_become_absolute() -> None:
    pytest.importorskip("sphinx")
    from notebooks import absolute

    code = "from . import checks\nfrom .fit import fit\n    from ..prinz2004 import State\nfrom .. import rhythm\nimport numpy"
    assert absolute(code, "pyloric_simulator.fitting").splitlines() == [
        "from pyloric_simulator.fitting import checks",
        "from pyloric_simulator.fitting.fit import fit",
        "    from pyloric_simulator.prinz2004 import State",
        "from pyloric_simulator import rhythm",
        "import numpy",
    ]


def test_the_reference_has_all_public_names() -> None:
    pytest.importorskip("sphinx")
    from api import PACKAGE, sections

    modules = {name for name in pyloric_simulator.__all__ if isinstance(getattr(pyloric_simulator, name), ModuleType)}
    listed = [name for _, names in sections() for name, _ in names]
    assert sorted(listed) == sorted({*pyloric_simulator.__all__, *OF_TORCH} - modules)
    for _, names in sections():
        assert all(home.startswith(f"{PACKAGE}.") for _, home in names)


@pytest.mark.slow
@pytest.mark.parametrize("chapter", ["prinz2004", "lab/dynamic_clamp"])
def test_chapter_runs_as_a_notebook_in_another_folder(chapter: str, tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    from notebooks import notebook_of

    notebook = notebook_of(generate.PACKAGE / f"{chapter}.py", generate.ROOT)
    assert warned(executed(notebook, tmp_path)) == ""


def executed(notebook: Any, folder: Path) -> Any:
    """A notebook that was run in a folder."""
    NotebookClient(
        notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def warned(notebook: Any) -> str:
    """What the cells of a notebook wrote where warnings go."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output["text"] for output in outputs if output.get("name") == "stderr")


def with_channel(number: int, **changes: Any) -> dict[str, Any]:
    """Arguments of a circuit with one of its channels changed."""
    return {"channels": (*CHANNELS[:number], CHANNELS[number]._replace(**changes), *CHANNELS[number + 1 :])}


# What a reader changes in the text of chapter 1, and the circuit of the package that has the same change by its arguments.
CHANGES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "reversal potential": ('Channel("Na", 50,', 'Channel("Na", 45,', with_channel(0, E=45)),
    "half-activation": (
        "Gate(B(33, -8.1)",
        "Gate(B(34, -8.1)",
        with_channel(2, m=Gate(B(34, -8.1), *CHANNELS[2].m[1:])),
    ),
    "conductance": (
        '"AB/PD 2": [100, 2.5, 6, 50,',
        '"AB/PD 2": [100, 2.5, 5, 50,',
        {"g_ion": neuron_models.loc[["AB/PD 2"]].assign(CaS=5.0)},
    ),
}
# Run at the end of the chapter: the rest of the package knows the notebook's model, and computes with it.
FOLLOWS = """
import pyloric_simulator
from pyloric_simulator import ensemble, fit, model_with, prediction_error
from pyloric_simulator import prinz2004 as module
from pyloric_simulator.lab.current_clamp import current_clamp

assert module.Prinz2004 is Prinz2004 is pyloric_simulator.Prinz2004 and module.SCHEMES is SCHEMES
cell, t = Prinz2004({"AB/PD 2": 1}, gs={}, dtype="float64"), np.arange(0, 200, 0.5)
V = cell(t, state=cell.cold).V.to_numpy()
np.save("V.npy", V)
assert (current_clamp(cell, t, 0.0, state=cell.cold).V.to_numpy() == V).all()
row = ensemble(cell, {"AB/PD 2 Na": [cell.params.g[0, 0]]}, t=t, keep="V", state=cell.cold, dtype="float64", progress=False)
assert np.allclose(np.stack(row["V AB/PD 2"])[0], V[:, 0], atol=1e-5)
wrong = model_with(cell, {"AB/PD 2 CaS": 3})
error = prediction_error(wrong, cell(np.arange(0, 100, 0.25)), state=cell.get_thermalization())
fit(wrong, error, ["AB/PD 2 CaS"], steps=2, progress=False)
"""


def changed(notebook: Any, change: str, more: str) -> Any:
    """Chapter 1 after a change, with another cell at its end."""
    old, new, _ = CHANGES[change]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source]
    assert len(cells) == 1
    cells[0].source = cells[0].source.replace(old, new)
    notebook.cells.append(nbformat.v4.new_code_cell(more))
    return notebook


def potentials(change: str) -> np.ndarray:
    """Those that the last cell finds, from the unchanged package."""
    cell = Prinz2004({"AB/PD 2": 1}, gs={}, dtype="float64", **CHANGES[change][2])
    return cell(np.arange(0, 200, 0.5), state=cell.cold).V.to_numpy()


def definitions(notebook: Any) -> Any:
    """Chapter 1 without its figures and checks."""
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "active-ipynb" not in cell.metadata.get("tags", ()) or "use_this_notebook" in cell.source
    ]
    return notebook


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_reader_changes_in_the_first_chapter_changes_all_that_follows(change: str, tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    from notebooks import notebook_of

    chapter = notebook_of(generate.MODEL, generate.ROOT)
    chapter = chapter if change == "conductance" else definitions(chapter)
    executed(changed(chapter, change, FOLLOWS), tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "V.npy"), potentials(change))
    before = Prinz2004({"AB/PD 2": 1}, gs={}, dtype="float64")
    assert not np.array_equal(before(np.arange(0, 200, 0.5), state=before.cold).V.to_numpy(), potentials(change))


def test_only_the_first_chapter_can_take_the_place_of_the_model() -> None:
    with pytest.raises(RuntimeError, match="run the cells of the chapter prinz2004 first"):
        book.use_this_notebook()


def test_a_statement_that_does_not_hold_is_warned_of() -> None:
    book.claim(True, "a spike takes a millisecond")
    with pytest.warns(UserWarning, match="The text says: a spike takes a year"):
        book.claim(False, "a spike takes a year")


@pytest.fixture
def nodes() -> Any:
    """The nodes of Sphinx's pages; what the Book is built with is not installed for the tests alone."""
    pytest.importorskip("sphinx")
    return pytest.importorskip("docutils.nodes")


def captioned(nodes: Any, *shown: Any) -> Any:
    """A page with one cell that has a caption, above which it shows something."""
    figure = nodes.figure("", *shown, nodes.caption("", "A rhythm."))
    cell = nodes.container("", *([figure] if shown else []), nb_element="cell_code")
    cell["cell_metadata"] = {"mystnb": {"figure": {"caption": "A rhythm."}}}
    return nodes.section("", nodes.paragraph("", "text"), cell)


def test_a_caption_without_a_picture_is_noticed(nodes: Any) -> None:
    from pictures import without_picture

    assert len(list(without_picture(captioned(nodes)))) == 1
    assert len(list(without_picture(captioned(nodes, nodes.literal_block("", ":Layout"))))) == 1
    for picture in (nodes.image(uri="rhythm.png"), nodes.raw("", "<div></div>", format="html")):
        assert not list(without_picture(captioned(nodes, picture)))
