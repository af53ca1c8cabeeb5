"""Sphinx extension that offers each page as a notebook that runs anywhere, where the package is installed.

A chapter imports its neighbours relatively, as modules of a package do; its notebook by their full names.
"""

import re
from pathlib import Path
from typing import Any

import jupytext
from sphinx.application import Sphinx

PACKAGE = "pyloric_simulator"
RELATIVE = re.compile(r"^(\s*)from (\.+)([\w.]*) import ", re.MULTILINE)
ITSELF = "from _notebook import __spec__"


def absolute(code: str, package: str) -> str:
    """Code with its relative imports made absolute; package: that of the module, with dots."""

    def whole(found: re.Match[str]) -> str:
        above = package.split(".")
        base = above[: len(above) - len(found[2]) + 1]
        return f"{found[1]}from {'.'.join([*base, *filter(None, [found[3]])])} import "

    return RELATIVE.sub(whole, code)


def notebook_of(page: Path, root: Path) -> Any:
    """The notebook of a page; root: the folder of the repository."""
    notebook, package = jupytext.read(page), ".".join(page.parent.relative_to(root).parts)
    notebook.cells = [cell for cell in notebook.cells if ITSELF not in cell.source]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = absolute(cell.source, package)
    return notebook


def source_of(app: Sphinx, name: str) -> Path | None:
    """The source of a page that is a notebook."""
    page = Path(app.env.doc2path(name))
    return page if "kernelspec:" in page.read_text(encoding="utf-8")[:600] else None


def offer(app: Sphinx, name: str, _template: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the theme's download button know of the notebook."""
    if doctree is not None and source_of(app, name):
        context["ipynb_source"] = f"{name}.ipynb"


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the notebooks beside the sources of the pages."""
    if error is None and app.builder.format == "html":
        for name in app.env.found_docs:
            if page := source_of(app, name):
                target = Path(app.outdir, "_sources", f"{name}.ipynb")
                target.parent.mkdir(parents=True, exist_ok=True)
                jupytext.write(notebook_of(page, Path(app.srcdir)), target)


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the extension; called by Sphinx."""
    app.connect("html-page-context", offer)  # before the theme, which asks at priority 501
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
