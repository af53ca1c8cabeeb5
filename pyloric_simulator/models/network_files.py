"""Networks of cells of one's own as TOML files.

Mechanics of `networks.Network`. A channel of a library, or a transmitter, stands in a file under its name; all else that consists of
numbers, such as a gate of curves or the `Binding` of a kinetic synapse, stands there as a table that names its type, and leaves out what is as
usual. A function of one's own has no text, and is refused. The numbers of `LIF` cells make a file of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import numpy as np

from ..config import Entry as Place
from ..config import read_toml, toml_key, toml_text
from ..engine import checks, circuits
from ..files.writing import write_whole
from ..prinz2004 import CONSTANTS, TRANSMITTERS, Channel, Curve, Gate, Nernst, Transmitter
from .channels import (
    GHK,
    Q10,
    Divided,
    Exponential,
    HodgkinHuxley1952,
    Linoid,
    Liu1998,
    Prinz2003,
    RateInf,
    RateTau,
    SwensenMarder2001,
)  # fmt: skip
from .lif import CELL, LIF, PARAMETER_UNITS
from .networks import Binding, Cell, GapJunction, Graded, Kinetic, Network, Synapse, connections_of

LIBRARIES = {
    "Prinz2003": Prinz2003,
    "Liu1998": Liu1998,
    "HodgkinHuxley1952": HodgkinHuxley1952,
    "SwensenMarder2001": SwensenMarder2001,
}
NAMES = {  # what stands in a file under a name
    **{
        f"{name}.{c.name}": c
        for name, library in LIBRARIES.items()
        for c in vars(library).values()
        if isinstance(c, Channel)
    },
    **{t.name: t for t in TRANSMITTERS},
}
TYPES = {
    t.__name__: t
    for t in (
        Channel,
        Gate,
        Curve,
        Nernst,
        GHK,
        Q10,
        RateInf,
        RateTau,
        Exponential,
        Linoid,
        Divided,
        Binding,
        Graded,
        Kinetic,
        Transmitter,
    )
}


def usual_fields(kind: Any) -> dict[str, Any]:
    """The fields of a type, each with its default, or MISSING."""
    if is_dataclass(kind):
        return {f.name: f.default for f in fields(kind)}
    return {name: kind._field_defaults.get(name, MISSING) for name in kind._fields}


def written(what: str, x: Any) -> Any:
    """A component as plain data. Raises ValueError for a function of one's own."""
    if isinstance(x, (str, int, float, np.number)):
        return x
    for name, known in NAMES.items():
        if type(x) is type(known) and x == known:
            return name
    if TYPES.get(type(x).__name__) is not type(x):
        raise ValueError(
            f"{what} is {x!r}; a file holds names and numbers, and no function of one's own. Keep the Python code that builds the network, or "
            "pickle it."
        )
    usual = usual_fields(type(x))
    changed = {
        name: getattr(x, name)
        for name in usual
        if getattr(x, name) is not usual[name] and getattr(x, name) != usual[name]
    }
    return {"type": type(x).__name__, **{name: written(f"{name} of {what}", value) for name, value in changed.items()}}


# ---------------------------------------------------------------- writing


def cell_lines(label: str, cell: Cell, size: int) -> Iterator[str]:
    """The table of a population."""
    constants = {name: x for name, x in cell.constants._asdict().items() if x != getattr(CONSTANTS, name)}
    yield from (
        "",
        f"[cells.{toml_key(label)}]",
        f"size = {toml_text(size)}",
        f"temperature = {toml_text(float(cell.temperature))}  # °C",
    )
    yield f"pool = {toml_text(cell.calcium is not None)}  # of calcium"
    if cell.calcium and cell.calcium.q10 is not None:
        yield f"pump = {toml_text(cell.calcium.q10)}  # Q10 of the pump"
    if constants:
        yield f"constants = {toml_text(constants)}  # as of `Constants`"
    yield "channels = [  # g in mS/cm², cm/s for GHK"
    for c, g in zip(cell.channels, cell.g, strict=True):
        what = f"the channel {c.name!r} of {label!r}"
        yield f"  {toml_text({'channel': written(what, c), 'g': float(g)})},"
    yield "]"


def lines_of(network: Network, title: str) -> Iterator[str]:
    """A network as the lines of a file."""
    yield f"title = {toml_text(title)}"
    for label, cell in network.made_of.items():
        yield from cell_lines(label, cell, network.sizes[label])
    for s in connections_of(network.params):
        if isinstance(s, GapJunction):
            yield from ("", "[[gap_junctions]]", f"a = {toml_text(s.a)}", f"b = {toml_text(s.b)}")
        else:
            kind = written(f"the synapse {s.kind.name!r}", s.kind)
            yield from (
                "",
                "[[synapses]]",
                f"pre = {toml_text(s.pre)}",
                f"post = {toml_text(s.post)}",
                f"kind = {toml_text(kind)}",
            )
        yield f"g = {toml_text(float(s.g))}  # nS"  # type: ignore[arg-type]


def write_network(network: Network, path: Any, title: Any) -> None:
    """Write a network as a file from which `read_network` gives it back."""
    write_lines(path, title, lines_of(network, title))


def write_lines(path: Any, title: Any, lines: Iterable[str]) -> None:
    """Write a file with a title."""
    if not isinstance(title, str) or not title:
        raise TypeError(f"title is {title!r}; it must be text that is not empty. Write 'A network'.")
    write_whole(path, ("\n".join(lines) + "\n").encode())


def write_lif(cells: LIF, path: Any, title: Any) -> None:
    """Write integrate-and-fire cells as a file from which `read_lif` gives them back; one number for a value that all cells share."""
    shared = lambda x: float(x[0]) if (x == x[0]).all() else x.tolist()  # noqa: E731
    numbers = zip(PARAMETER_UNITS._asdict().items(), cells.params, strict=True)
    lines = [f"{toml_key(name)} = {toml_text(shared(x))}  # {unit}" for (name, unit), x in numbers]
    write_lines(path, title, [f"title = {toml_text(title)}", "", "[LIF]", f"size = {cells.size}", *lines])


# ---------------------------------------------------------------- reading


class Entry(Place):
    """A component in a file."""

    def component(self) -> Any:
        """The component that is written there."""
        if isinstance(self.value, str):
            if self.value not in NAMES:
                raise self.error(
                    "there is no such component",
                    f"known are Liu1998.Na, glutamate and the like.{checks.closest(self.value, NAMES)}",
                )
            return NAMES[self.value]
        kind = self.value.get("type") if isinstance(self.value, Mapping) else None
        if kind not in TYPES:
            raise self.error(
                "must be a name, or a table with a type",
                f"write a name such as 'Liu1998.Na', or a type of {checks.listing(TYPES)}",
            )
        usual = usual_fields(TYPES[kind])
        needed = tuple(name for name, default in usual.items() if default is MISSING)
        self.table(("type", *needed), tuple(usual))
        return TYPES[kind](**{name: self[name].part() for name in self.value if name != "type"})

    def part(self) -> Any:
        """A number or a text as it is, and all else as a component."""
        plain = isinstance(self.value, (int, float)) or (isinstance(self.value, str) and self.value not in NAMES)
        return self.value if plain else self.component()


def cell_in(place: Entry) -> Cell:
    """The cell of a population in a file."""
    place.table(("channels",), ("size", "temperature", "pool", "pump", "constants"))
    given = place.value
    constants = place["constants"].table((), CONSTANTS._fields).value if "constants" in given else {}
    c = CONSTANTS._replace(**{name: checks.number(name, x, "its unit") for name, x in constants.items()})
    channels = [x.table(("channel", "g"))["channel"].component()(x.value["g"]) for x in place.items("channels")]
    pool = Prinz2003.calcium._replace(f=c.f, τ=c.τ_Ca, rest=c.Ca_rest, outside=c.Ca_out, q10=given.get("pump"))
    cell = Cell(
        channels,
        area=c.A,
        calcium=pool if given.get("pool", True) else None,
        V=c.V_cold,
        temperature=given.get("temperature", 10.0),
    )
    circuits.check_constants(c)
    cell.constants = c  # to the last digit
    return cell


def read_network(path: str | os.PathLike[str], **kwargs: Any) -> Network:
    """The network in a file of `write_network`. Raises ValueError naming the key in the file, and what `Network` raises."""
    root = Entry(path, (), read_toml(path)).table(("title", "cells"), ("synapses", "gap_junctions"))
    labels = list(root["cells"].value) if isinstance(root["cells"].value, Mapping) else []
    cells = root["cells"].table(tuple(labels))
    joined: list[Synapse | GapJunction] = []
    for x in root.items("synapses"):
        of = x.table(("pre", "post", "kind", "g"))
        joined.append(Synapse(of.value["pre"], of.value["post"], of["kind"].component(), of.value["g"]))
    joined += [GapJunction(**x.table(("a", "b", "g")).value) for x in root.items("gap_junctions")]
    sizes = {label: cells.value[label].get("size", 1) for label in labels if isinstance(cells.value[label], Mapping)}
    return Network({label: cell_in(cells[label]) for label in labels}, joined, sizes=sizes, **kwargs)


def read_lif(path: str | os.PathLike[str], **kwargs: Any) -> LIF:
    """The cells in a file of `write_lif`. Raises ValueError naming the key in the file, and what `LIF` raises."""
    root = Entry(path, (), read_toml(path)).table(("title", "LIF"))
    given = root["LIF"].table(("size",), CELL._fields).value
    return LIF(**given, **kwargs)
