"""Sphinx extension that serves formulas and Bokeh figures from the Book's own files.

The usual way loads MathJax, Bokeh and Panel over the network, and without one leaves the page
blank. Here each comes from the installed package that draws with it.
"""

import importlib.util
from pathlib import Path
from typing import Any

from bokeh.settings import settings
from panel.io.resources import CDN_DIST, DIST_DIR
from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset

_MATHJAX = "mathjax/tex-chtml.js"
_BOKEH = ("bokeh", "bokeh-gl", "bokeh-widgets", "bokeh-tables")
_SCRIPTS = (*(f"bokeh/{name}.min.js" for name in _BOKEH), "panel/panel.min.js")


def _assets() -> dict[Path, str]:
    """Files and folders of installed packages, with their places in ``_static``."""
    mathjax = importlib.util.find_spec("sphinx-mathjax-offline")
    if mathjax is None or mathjax.origin is None:
        raise ModuleNotFoundError("formulas need sphinx-mathjax-offline; pip install it")
    static = Path(mathjax.origin).parent / "static"
    fonts, extensions = "mathjax/output/chtml/fonts/woff-v2", "mathjax/input/tex/extensions"
    return {
        static / _MATHJAX: "mathjax",
        static / fonts: fonts,
        static / extensions: extensions,
        **{settings.bokehjs_path() / f"js/{name}.min.js": "bokeh" for name in _BOKEH},
        DIST_DIR / "panel.min.js": "panel",
        DIST_DIR / "css": "panel/css",
        DIST_DIR / "bundled/theme": "panel/bundled/theme",
    }


def _copy(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        for source, place in _assets().items():
            copy_asset(source, Path(app.outdir, "_static", place))


def _serve_figures(app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
    if "root.Bokeh" not in context.get("body", ""):
        return
    for script in _SCRIPTS:
        app.add_js_file(script, priority=100)
    context["body"] = context["body"].replace(CDN_DIST, context["pathto"]("_static/panel/", 1))


def _once(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: object) -> None:
    """Two extensions bring the same scripts; a constant that is declared twice is an error on every page."""
    bodies = set()
    for script in list(context["script_files"]):
        body = getattr(script, "attributes", {}).get("body")
        if body in bodies:
            context["script_files"].remove(script)
        elif body:
            bodies.add(body)


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the extension; called by Sphinx."""
    app.config.mathjax_path = _MATHJAX
    app.connect("html-page-context", _serve_figures)
    app.connect("html-page-context", _once, priority=900)
    app.connect("build-finished", _copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
