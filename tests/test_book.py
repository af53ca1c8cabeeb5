"""The Book's sources: literate modules, the pages made from them, and its table of contents.

The build of the Book executes the pages. It warns of a caption without a picture; that it does is tested here.
"""

import re
from pathlib import Path
from typing import Any

import generate
import pytest
from nbclient import NotebookClient

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


def test_contents_list_every_page_once() -> None:
    contents = (generate.ROOT / "_toc.yml").read_text(encoding="utf-8")
    chapters = sorted(re.findall(r"^ *- file: (\S+)$", contents, flags=re.MULTILINE))
    others = [*(generate.ROOT / "book").rglob("*.md"), generate.ROOT / "CONTRIBUTING.md"]
    sources = [source.relative_to(generate.ROOT).with_suffix("") for source in (*generate.literate_modules(), *others)]
    assert chapters == sorted(map(str, sources))


def test_links_lead_to_files() -> None:
    texts = [*generate.literate_modules(), *(generate.ROOT / "book").rglob("*.md"), *generate.ROOT.glob("*.md")]
    for text in texts:
        for link in re.findall(r"\]\(([\w./-]+\.\w+)[#)]", text.read_text(encoding="utf-8")):
            assert (text.parent / link).exists(), f"{text.relative_to(generate.ROOT)} links to {link}, which is not there"


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


@pytest.mark.slow
@pytest.mark.parametrize("chapter", ["prinz2004", "lab/dynamic_clamp"])
def test_chapter_runs_as_a_notebook_in_another_folder(chapter: str, tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    from notebooks import notebook_of

    notebook = notebook_of(generate.PACKAGE / f"{chapter}.py", generate.ROOT)
    NotebookClient(
        notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()


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
