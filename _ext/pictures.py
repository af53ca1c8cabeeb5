"""Sphinx extension that warns of a cell with a caption and no picture.

A page builds without complaint where a figure is made and not displayed: inside a `with` block, say.
"""

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging


def without_picture(page: nodes.Node) -> Iterator[nodes.Element]:
    """The cells of a page that have a caption but show neither an image nor HTML."""
    for cell in page.findall(nodes.container):
        options = cell.get("cell_metadata", {}).get("mystnb", {}).get("figure")
        shown = (
            part
            for figure in cell.findall(nodes.figure)
            for part in figure.findall()
            if isinstance(part, (nodes.image, nodes.raw))
        )
        if options and not any(shown):
            yield cell


def _warn(_app: Sphinx, page: nodes.Node, _name: str) -> None:
    for cell in without_picture(page):
        caption = cell["cell_metadata"]["mystnb"]["figure"].get("caption")
        logging.getLogger(__name__).warning("no picture above the caption %r", caption, location=cell)


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the extension; called by Sphinx."""
    app.connect("doctree-resolved", _warn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
