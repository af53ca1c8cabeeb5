"""Sphinx extension that documents the public names of the package, by task, as `__init__.pyi` lists them.

``.. public-names::`` stands for all of them. Docstrings are plain text with names between backticks, which reStructuredText would
read as something else; the fields of a class are documented by the comments beside them.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGE = "pyloric_simulator"
FIELD = re.compile(r"^    (\w+): [^#]*?(?:#\s*(.*))?$")


def sections() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The headings of the stub, each with (name, dotted path of its module)."""
    stub = Path(importlib.import_module(PACKAGE).__file__ or "").with_suffix(".pyi").read_text(encoding="utf-8")
    for part in re.split(r"^# (?=[A-Z])", stub, flags=re.MULTILINE)[2:]:
        heading, _, code = part.partition("\n")
        found = [node for node in ast.parse(code).body if isinstance(node, ast.ImportFrom) and node.module]
        names = [(a.name, f"{PACKAGE}.{node.module}") for node in found for a in node.names]
        if names:
            yield heading.strip(), sorted(names, key=lambda x: x[0].lower())


def fields_of(cls: type) -> list[tuple[str, str]]:
    """The fields of a NamedTuple or a dataclass with the comments beside them."""
    names = getattr(cls, "_fields", None) or tuple(getattr(cls, "__dataclass_fields__", ()))
    lines = map(FIELD.match, inspect.getsource(cls).splitlines()) if names else ()
    return [(line[1], line[2] or "") for line in lines if line and line[1] in names]


def beyond_pieces(cls: type) -> str | None:
    """The first base of a class that is not a piece of it; None if it has no pieces, bases of its module that are not public."""
    public = getattr(importlib.import_module(cls.__module__), "__all__", ())
    piece = [c.__module__ == cls.__module__ and c.__name__ not in public for c in cls.__mro__[1:]]
    other = cls.__mro__[1 + piece.index(False)] if any(piece) else object
    return other.__name__ if other.__module__.startswith(PACKAGE) else None


def directive(name: str, module: str) -> list[str]:
    """How autodoc is told to document a name."""
    found = getattr(importlib.import_module(module), name)
    kind = "autoclass" if inspect.isclass(found) else "autofunction" if inspect.isroutine(found) else "autodata"
    options = ["   :members:"] * (kind == "autoclass" and not hasattr(found, "_fields")) + ["   :no-value:"] * (
        kind == "autodata"
    )
    if "   :members:" in options and (other := beyond_pieces(found)):
        options.append(f"   :inherited-members: {other}")
    return [f".. {kind}:: {module}.{name}", *options, ""]


class PublicNames(SphinxDirective):
    """All public names, with a heading for each task."""

    def run(self) -> list[nodes.Node]:
        parts = []
        for heading, names in sections():
            part = nodes.section(ids=[nodes.make_id(heading)], names=[heading.lower()])
            part += nodes.title(text=heading)
            lines = [line for name, module in names for line in directive(name, module)]
            self.state.nested_parse(StringList(lines, "public names"), 0, part)
            parts.append(part)
        return parts


OF_DATA = {
    "HodgkinHuxley1952": "Channels of the squid's axon: `Na`, `K`, `leak`.",
    "Liu1998": "Channels and the calcium pool of the model cells of Liu and colleagues (1998).",
    "Prinz2003": "Channels and the calcium pool of the circuit's cells.",
    "SwensenMarder2001": "The channel `MI` of the current that modulators open in cells of the ganglion.",
    "dims": "The names along the axes of results: populations, cells, channels.",
    "neuron_models": "The sixteen cells of the paper: a DataFrame (cell, channel) of maximal conductances in mS/cm².",
}


LONGEST_DEFAULT = 40  # characters of a default that is shown


def short_signature(
    _app: Sphinx, _what: str, _name: str, found: Any, _options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """A signature without types, and without defaults that are whole tables."""
    if signature is None or not callable(found):
        return signature, result
    shown = []
    for p in inspect.signature(found).parameters.values():
        long = p.default is not p.empty and len(repr(p.default)) > LONGEST_DEFAULT
        shown.append(p.replace(annotation=p.empty, default=Ellipsis if long else p.default))
    return str(inspect.Signature(shown)).replace("=Ellipsis", "=…"), None


def quoted(text: str) -> str:
    """Text with names between backticks as reStructuredText; roles of the pages are those of reStructuredText."""
    text = re.sub(r"\{([\w:]+)\}`([^`]*)`", lambda m: f"\0:{m[1]}:{m[2]}\0", text)
    parts = text.split("`")
    for i, part in enumerate(parts):
        escaped = re.sub(r"([*|\\])|(?<=\w)_(?!\w)", lambda m: "\\" + m[0], part)
        parts[i] = f"\\ ``{part}``\\ " if i % 2 and i < len(parts) - 1 else escaped
    return re.sub("\0(.*?):([^:\0]*)\0", r"\1:`\2`", "".join(parts))


def as_text(_app: Sphinx, what: str, name: str, found: Any, _options: Any, lines: list[str]) -> None:
    """Turn a docstring into reStructuredText, and add the fields of a class."""
    if what == "data":
        lines[:] = [OF_DATA[name.rpartition(".")[2]]]
    lines[:] = quoted("\n".join(line.strip() for line in lines)).splitlines()
    if what == "class":
        for field, comment in fields_of(found):
            lines += ["", f"``{field}``", f"    {quoted(comment) or '…'}"]


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the extension; called by Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", as_text)
    app.connect("autodoc-process-signature", short_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
