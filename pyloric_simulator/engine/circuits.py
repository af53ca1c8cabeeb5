"""What a user says a circuit is, brought into the one form that the equations use.

Mechanics of `prinz2004`: labels, cell types, conductances, synapses, channels and constants, and the shapes that arrays must have. Labels
rule: an order that contradicts them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from . import checks
from .junctions import inlets_of
from .scale import AREA, DENSITY, POTENTIAL, SYNAPSE, Scale, suspicion

if TYPE_CHECKING:
    from ..prinz2004 import Circuit


class Placed(NamedTuple):
    """A channel and how much there is of it: the density or the conductance."""

    channel: Any  # `Channel`
    density: float | None  # mS/cm², cm/s for GHK
    uS: float | None  # µS


def one_of_two(name: str, density: Any, uS: Any, permeable: bool) -> tuple[float | None, float | None]:
    """A density or a conductance in µS, one of them; for a permeability the first."""
    if permeable and uS is not None:
        raise ValueError(
            f"{name} is given uS = {uS}, but has a permeability; it must be given in cm/s. Write {name}(1e-4), for example."
        )
    if (density is None) == (uS is None):
        raise ValueError(
            f"{name} is given the density {density} and uS = {uS}; it must be one of the two. Write {name}(100) for mS/cm², or "
            f"{name}(uS=60)."
        )
    what, given = f"the conductance of {name}", density if uS is None else uS
    g = float(one_conductance(what, given, "mS/cm²" if uS is None else "µS"))
    return (g, None) if uS is None else (None, g)


def populations(pop_sizes: Any) -> dict[str, int]:
    """Label -> number of cells."""
    rule = "a mapping from population labels to numbers of cells, such as {'AB/PD': 1}"
    checks.of_type("pop_sizes", pop_sizes, Mapping, rule)
    if not pop_sizes:
        raise ValueError("pop_sizes is empty; a circuit needs at least one population, such as {'AB/PD': 1}.")
    for label, size in pop_sizes.items():
        if not isinstance(label, str) or not label:
            raise TypeError(
                f"the population label {label!r} is not a non-empty string; name the population, such as 'LP'."
            )
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
            raise TypeError(f"population {label!r} has size {size!r}; the size must be a whole number of cells.")
        if size < 1:
            raise ValueError(
                f"population {label!r} has size {size}; it must be at least 1. Leave the population out instead."
            )
    total = sum(map(int, pop_sizes.values()))
    cure = "Alike cells may be fewer: their synapses can be stronger."
    checks.memory(f"a circuit of {total:,} cells", total * checks.BYTES_PER_CELL, cure)
    return {label: int(size) for label, size in pop_sizes.items()}


# ---------------------------------------------------------------- constants


THERMAL = Scale("values of RT/2F", "mV", 11.5, 14.0, {"V": 1e3, "mV (RT/F, twice as much)": 0.5})
SPECIFIC = Scale("capacitances of membranes", "µF/cm²", 0.1, 20.0, {"pF": 1e-3, "µF": 1e3})
OUTSIDE = Scale("calcium concentrations outside", "µM", 10.0, 1e5, {"mM": 1e3, "M": 1e6})
INSIDE = Scale("calcium concentrations inside", "µM", 1e-3, 5.0, {"nM": 1e-3, "M": 1e6})
BUFFERING = Scale("times of calcium buffering", "ms", 1.0, 1e5, {"s": 1e3})
SLOPE = Scale("slopes of a synapse", "mV", 0.1, 50.0, {"V": 1e3})
LEAST = Scale("least time constants", "ms", 1e-9, 0.1, {"µs": 1e-3, "ns": 1e-6})
PLAUSIBLE = {
    "A": AREA, "γ": THERMAL, "Ca_out": OUTSIDE, "Ca_rest": INSIDE, "τ_Ca": BUFFERING, "Δ": SLOPE, "V_th": POTENTIAL, "V_cold": POTENTIAL,
    "τ_min": LEAST,
}  # fmt: skip


POSITIVE = ("A", "C", "γ", "Ca_out", "Ca_rest", "Ca_min", "τ_Ca", "Δ", "τ_min")  # of the constants


def check_constants(values: Any) -> None:
    """Constants: all finite, most of them positive."""
    for name, value in values._asdict().items():
        check = checks.positive if name in POSITIVE else checks.number
        check(f"the constant {name}", value, "its unit")


def constants(values: Any, kind: Any) -> Any:
    """Constants as plain numbers; warns of those that look like another unit. Raises TypeError if they are of another type."""
    checks.of_type("constants", values, kind, "of type Constants, such as CONSTANTS._replace(γ=12.19)")
    check_constants(values)
    c = kind(*map(float, values))
    if c.f < 0:
        raise ValueError(
            f"the constant f is {c.f:g} µM/nA; it must not be negative, for calcium currents are inward where they are negative."
        )
    if c.Ca_min >= c.Ca_rest:
        raise ValueError(
            f"the constant Ca_min is {c.Ca_min:g} µM and Ca_rest {c.Ca_rest:g} µM; the least calcium must be less. Lower it."
        )
    size_of = lambda name: f"the {'constant' if getattr(c, name) > 0 else 'size of the constant'} {name}"  # noqa: E731
    doubts = [
        suspicion(size_of(name), abs(getattr(c, name)), scale) for name, scale in PLAUSIBLE.items() if getattr(c, name)
    ]
    if not doubts[0] and (wrong := suspicion("", c.C / c.A * 1e-3, SPECIFIC)):  # C beside an area that can be one
        doubts.append(f"the constant C is {c.C:g} nF on an area of {c.A:g} cm²; of{wrong.removeprefix(' is')}")
    for doubt in filter(None, doubts):
        checks.warn(doubt)
    return c


# ---------------------------------------------------------------- channels


def channels(found: Any, kind: Any, known: Collection[Any], calcium: Any) -> tuple[Any, ...]:
    """Channels as a tuple, each of which makes sense; `known` ones are not looked at again. calcium: its reversal potential.

    Raises ValueError or TypeError for those that do not, before anything is compiled but gates of one's own.
    """
    from ..models.channels import check_channel  # a later chapter; only where there are channels of one's own

    of = "`prinz2004.Channel`s, as the sequence (*CHANNELS, Channel('A2', -80)), whose densities are in g_ion"
    found = tuple(checks.items("channels", found, of, kind))
    if not found:
        raise ValueError("channels is empty; a cell needs one at least. Take CHANNELS, or some of them.")
    whole = tuple(c._replace(E=calcium, ion="Ca") if c.E is None else c for c in found)
    for c, given in zip(whole, found, strict=True):
        if not any(given is k for k in known):
            check_channel(c)
    checks.once("channels", [c.name for c in found])
    return whole


# ---------------------------------------------------------------- cell types and their rows


def named_types(cell_types: Any, labels: Collection[str]) -> dict[str, str]:
    """Population -> cell type, as the user named them."""
    if cell_types is None:
        return {}
    checks.of_type("cell_types", cell_types, Mapping, "a mapping from populations to types, such as {'soma': 'LP'}")
    known_labels("cell_types", cell_types, labels)
    for label, name in cell_types.items():
        checks.of_type(f"cell_types[{label!r}]", name, str, "the name of a cell type, such as 'LP'")
    return dict(cell_types)


def cell_type(
    label: str, named: Mapping[str, str], types: Mapping[str, Any], models: pd.DataFrame
) -> tuple[str, str | None]:
    """Type of a population, and the row of `models` that its label names, if any."""
    if label in named:
        checks.choice(f"cell_types[{label!r}]", named[label], types)
        return named[label], label if label in models.index else None
    table = {name: (name, None) for name in types}
    for name, t in types.items():
        rows = [row for row in models.index if row.startswith(t.models + " ")]
        table |= {name + row.removeprefix(t.models): (name, row) for row in rows}
    if label not in table:
        raise ValueError(
            f"population {label!r} has no known cell type; labels are {checks.listing(types)}, or one of these with the number of a cell, "
            f"such as 'LP 4'.{checks.closest(label, table)} For another label say cell_types={{{label!r}: 'LP'}}."
        )
    return table[label]


def words(label: str, names: Iterable[str]) -> set[str]:
    """Which of some names a label contains as words: "my LP 2" contains "LP"."""
    return {name for name in names if re.search(rf"(?<![\w/]){re.escape(name)}(?![\w/])", label)}


def rows_named(
    index: pd.Index, labels: Sequence[str], kinds: Mapping[str, str], types: Mapping[str, Any], models: pd.DataFrame
) -> None:
    """Refuse rows of g_ion whose labels contradict the populations, in whose order they stand; numbers and other names say nothing.

    kinds: type of each population whose label tells it.
    """
    if set(index) == set(labels):
        if list(index) != list(labels):
            raise ValueError(
                f"the rows of g_ion are {checks.listing(index)}, but the populations are {checks.listing(labels)}; bring them into the "
                "same order: g_ion.loc[list(pop_sizes)]."
            )
        return
    for row, label in zip(index, labels, strict=False):
        if isinstance(row, str) and row != label and contradicts(row, label, kinds.get(label), labels, types, models):
            raise ValueError(
                f"the row {row!r} of g_ion stands in the place of the population {label!r}; rows must be labelled as the populations, "
                f"{checks.listing(labels)}, in their order, or name cells of their types.{checks.closest(row, labels)} Rename them, "
                "g_ion.set_axis(list(pop_sizes)), or pass g_ion.to_numpy() if only the order counts."
            )


def contradicts(
    row: str, label: str, kind: str | None, labels: Sequence[str], types: Mapping[str, Any], models: pd.DataFrame
) -> bool:
    """Whether a row cannot be that of a population: it is another's, a cell of another type or number, or misspelt."""
    if row in labels or (row in models.index and label in models.index):
        return True
    own = {label, *((kind, types[kind].models, *(end for end, _ in types[kind].terminals)) if kind else ())}
    others = words(row, {t.models for t in types.values()} | set(types)) - own
    if words(row, own) or (others and kind is None):
        return False
    known = [name.upper() for name in (*labels, *models.index, *types)]
    return bool(others or checks.closest(row.upper(), known))


def cells(
    labels: Sequence[str], cell_types: Any, g_ion: Any, types: Mapping[str, Any], models: pd.DataFrame, area: float
) -> tuple[tuple[str, ...], np.ndarray]:
    """Type of each population, and its densities (population, channel) in mS/cm²; area: cm²."""
    named = named_types(cell_types, labels)
    kinds, rows = zip(*(cell_type(label, named, types, models) for label in labels), strict=True)
    told = {label: kind for label, kind in zip(labels, kinds, strict=True) if label not in named}
    return kinds, membrane_conductances(g_ion, labels, told, rows, types, models, area)


# ---------------------------------------------------------------- conductances


def membrane_conductances(
    g_ion: Any, labels: Sequence[str], kinds: Mapping[str, str], rows: Sequence[str | None], types: Mapping[str, Any],
    models: pd.DataFrame, area: float,
) -> np.ndarray:  # fmt: skip
    """(population, channel) in mS/cm², from a DataFrame, array or the labels themselves (g_ion=None).

    kinds: type of each population whose label tells it; rows: the row of `models` that each label names; area: cm². Warns (UserWarning)
    of another unit.
    """
    names = list(models.columns)
    if g_ion is None:
        missing = [label for label, row in zip(labels, rows, strict=True) if row is None]
        if missing:
            raise ValueError(
                f"g_ion is missing and the label {missing[0]!r} does not name a cell; give g_ion, or a label such as '{missing[0]} 1'."
            )
        return models.loc[list(rows)].to_numpy(float)
    names_only = isinstance(g_ion, (list, tuple, pd.Index)) and any(isinstance(x, str) for x in g_ion)
    if isinstance(g_ion, (Mapping, pd.Series, str)) or names_only:
        raise TypeError(
            f"g_ion is a {type(g_ion).__name__}; it must be a table with a row for each population and a column for each channel. Take "
            "rows of neuron_models: g_ion=neuron_models.loc[['AB/PD 2', 'LP 4']]."
        )
    if isinstance(g_ion, pd.DataFrame):
        columns = columns_in_order(g_ion, names)
        if len(g_ion) == len(labels):
            rows_named(g_ion.index, labels, kinds, types, models)
        g_ion = columns
    g = checks.conductances("g_ion", g_ion, "mS/cm²")
    if g.shape != (len(labels), len(names)):
        raise ValueError(
            f"g_ion has shape {g.shape}; it must have one row for each of the {len(labels)} populations and one column for each of the "
            f"{len(names)} channels."
        )
    usual_densities(g, labels, models, area)
    return g


def columns_in_order(g_ion: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """(population, channel), columns by name. Raises ValueError if one is missing, twice or unknown."""
    if not set(g_ion.columns) & set(names) and set(g_ion.index) & set(names):
        raise ValueError(
            f"the rows of g_ion are {checks.listing(g_ion.index)}, channels; these must be its columns. Turn it: g_ion.T."
        )
    known_labels("a column of g_ion", g_ion.columns, names)
    absent = [c for c in names if c not in g_ion.columns]
    if absent:
        raise ValueError(
            f"g_ion has no column {absent[0]!r}; its columns must be the channels {checks.listing(names)}. "
            "A channel that a cell lacks has 0."
        )
    each_once("g_ion has the column", g_ion.columns)
    unit = "consist of numbers in mS/cm²"
    columns = [checks.numbers(f"the column {c!r} of g_ion", g_ion[c], unit) for c in names]
    return np.stack(columns, 1).astype(float)


def usual_densities(g: np.ndarray, labels: Sequence[str], models: pd.DataFrame, area: float) -> None:
    """Warn of densities (population, channel) that would be those of known cells in another unit. 0 is no channel, and fits all."""
    known = models.to_numpy(float)
    least, most = np.where(known > 0, known, np.inf).min(0), np.where(known > 0, known, -np.inf).max(0)
    for unit, factor in DENSITY.others.items():
        i, k = np.nonzero((g > 0) & (g * factor >= least) & (g * factor <= most))
        if len(i):
            checks.warn(
                f"{models.columns[k[0]]} of {labels[i[0]]!r} in g_ion is {g[i[0], k[0]]:g} mS/cm², where known cells have "
                f"{least[k[0]]:g} to {most[k[0]]:g}. If it is in {unit}, multiply it by {factor:g}."
            )
            return
    if g.size and g.max() > DENSITY.most:
        checks.doubt("the largest g_ion", float(g.max()), DENSITY)
        return
    for label, row in zip(labels, g, strict=True):
        for unit, factor in (
            ("µS for the whole cell", 1e3 * area),
            ("nS for the whole cell", 1e6 * area),
            ("µS/mm²", 10.0),
        ):
            same = (np.abs(known * factor - row) <= 1e-3 * row).all(1) & ((row > 0).sum() > 2)
            if same.any() and factor != 1:
                checks.warn(
                    f"g_ion of {label!r} is {factor:g} times that of the cell {models.index[int(np.argmax(same))]!r}; densities must be "
                    f"in mS/cm². If it is in {unit}, divide it by {factor:g}."
                )
                return


# ---------------------------------------------------------------- synapses


class Terminal(NamedTuple):
    """A presynaptic terminal of a population."""

    label: str
    population: int
    transmitter: Any


def terminals(labels: Sequence[str], types: Sequence[Any]) -> list[Terminal]:
    """All terminals; a terminal has its population's label, or its own name where the population has two."""
    found: list[Terminal] = []
    for i, (label, t) in enumerate(zip(labels, types, strict=True)):
        single = len(t.terminals) == 1
        names = [name for name, _ in t.terminals]
        taken = {x for j, u in enumerate(types) if j != i for x in (labels[j], *(n for n, _ in u.terminals))}
        for name, transmitter in t.terminals:
            clear = label if single else name if not taken & set(names) else f"{label}:{name}"
            found.append(Terminal(clear, i, transmitter))
    return found


def synapses(gs: Any, labels: Sequence[str], ends: Sequence[Terminal]) -> dict[tuple[str, str], float]:
    """(terminal label, postsynaptic population) -> nS, from a mapping, a labelled Series or DataFrame, or an array (post × pre).

    Raises ValueError or TypeError for labels that the circuit lacks; warns (UserWarning) of another unit.
    """
    known = [e.label for e in ends]
    pairs = pairs_of(gs) if isinstance(gs, (Mapping, pd.Series)) else synapses_of_matrix(gs, labels, known)
    for pre, _ in pairs:
        two = [e.label for e in ends if labels[e.population] == pre]
        if pre not in known and two:
            raise ValueError(
                f"gs names the presynaptic terminal {pre!r}, but this population releases from {checks.listing(two)}; say which."
            )
    known_labels("a presynaptic terminal in gs", (pre for pre, _ in pairs), known)
    known_labels("a postsynaptic population in gs", (post for _, post in pairs), labels)
    found = {pair: float(one_conductance(f"gs[{pair!r}]", g)) for pair, g in pairs.items()}
    usual_strengths({f"gs[{pair!r}]": g for pair, g in found.items()})
    return found


def each_once(what: str, names: pd.Index) -> None:
    """Refuse labels that come twice."""
    if names.has_duplicates:
        raise ValueError(
            f"{what} {names[names.duplicated()][0]!r} twice; there must be one. Drop one. Merge them if both are meant."
        )


def known_labels(what: str, labels: Iterable[Any], known: Collection[str]) -> None:
    """Refuse labels that the circuit does not have."""
    for label in labels:
        if not isinstance(label, Hashable) or label not in known:
            raise ValueError(
                f"{what} names {label!r}; the circuit has {checks.listing(known)}.{checks.closest(label, known)}"
            )


def one_conductance(what: str, value: Any, unit: str = "nS") -> np.ndarray:
    """A single conductance."""
    g = checks.conductances(what, value, unit)
    if g.ndim:
        raise ValueError(f"{what} has shape {g.shape}; it is one conductance in {unit}. Give a single number.")
    return g


def joined(
    gs: Any, sizes: Mapping[str, int], types: Sequence[Any], transmitters: Sequence[Any]
) -> tuple[list[Terminal], np.ndarray, list[tuple[str, int, int, int]]]:
    """All terminals; strength (nS) of each synapse; and its terminal, presynaptic population, transmitter and postsynaptic population."""
    labels = tuple(sizes)
    ends = terminals(labels, types)
    end, found = {e.label: e for e in ends}, synapses(gs, labels, ends)
    for pre, post in found:
        no_autapse(pre, post, labels[end[pre].population] == post, sizes[post])
    pairs = [(a, end[a].population, transmitters.index(end[a].transmitter), labels.index(b)) for a, b in found]
    return ends, np.array(list(found.values()), float), pairs


def usual_strengths(found: Mapping[str, float]) -> None:
    """Warn once of conductances of synapses (nS) that look like another unit. 0 is no synapse."""
    doubts = [doubt for name, g in found.items() if g and (doubt := suspicion(name, g, SYNAPSE))]
    if doubts:
        checks.warn(doubts[0] + (f" (And {len(doubts) - 1} more of {len(found)}.)" if len(doubts) > 1 else ""))


def pairs_of(gs: Any) -> dict[tuple[Any, Any], Any]:
    """(pre, post) -> g of a mapping, or of a Series whose index has two levels, in the order of their names if they have some."""
    if isinstance(gs, pd.Series) and gs.index.nlevels == 2:
        each_once("gs has the synapse", gs.index)
        pre, post = names_of_axes(gs.index.names)
        gs = {(key[pre], key[post]): g for key, g in zip(gs.index.to_list(), gs.to_list(), strict=True)}
    for key in gs.keys() if isinstance(gs, pd.Series) else gs:
        if not (isinstance(key, tuple) and len(key) == 2):
            raise TypeError(
                f"the key {key!r} of gs is not a pair; write (presynaptic terminal, postsynaptic population), such as ('AB', 'LP')."
            )
    return {(pre, post): g for (pre, post), g in gs.items()}


def names_of_axes(names: Sequence[Any], default: tuple[int, int] = (0, 1)) -> tuple[int, int]:
    """Which of two axes is the presynaptic and which the postsynaptic one, by their names if both or one say so."""
    sides = [
        "pre" if str(n).lower().startswith("pre") else "post" if str(n).lower().startswith("post") else ""
        for n in names
    ]
    if sides[0] == sides[1] != "":
        raise ValueError(
            f"both axes of gs are named {sides[0]!r}, {checks.listing(names)}; one must be 'pre' and the other 'post'. Rename one."
        )
    if "pre" in sides:
        return sides.index("pre"), 1 - sides.index("pre")
    return (1 - sides.index("post"), sides.index("post")) if "post" in sides else default


def synapses_of_matrix(gs: Any, labels: Sequence[str], ends: Sequence[str]) -> dict[tuple[Any, Any], float]:
    """The non-zero entries of a matrix with a row for each postsynaptic and a column for each presynaptic population.

    Axes of a DataFrame that are named "pre" and "post" are taken as these.
    """
    if isinstance(gs, pd.DataFrame):
        gs = gs.T if names_of_axes([gs.index.name, gs.columns.name], (1, 0))[0] == 0 else gs
        each_once("gs has the row", gs.index)
        each_once("gs has the column", gs.columns)
        if set(gs.columns) <= set(labels) and set(gs.index) <= set(ends) and not set(gs.index) <= set(labels):
            raise ValueError(
                f"the rows of gs are {checks.listing(gs.index)}, presynaptic terminals; the rows must be postsynaptic populations, and the "
                "columns presynaptic terminals. Turn it: gs.T."
            )
        known_labels("a row of gs", gs.index, labels)
        known_labels("a column of gs", gs.columns, [*ends, *(label for label in labels if label not in ends)])
        posts, pres, x = list(gs.index), list(gs.columns), checks.conductances("gs", gs.to_numpy(), "nS")
    else:
        if (
            isinstance(gs, (list, tuple))
            and gs
            and all(isinstance(x, (list, tuple)) and any(isinstance(y, str) for y in x) for x in gs)
        ):
            raise TypeError(
                f"gs is a list of {gs[0]!r} and so on; it must be a mapping, a DataFrame or an array in nS. Write {{('AB', 'LP'): 30}}, "
                "for example."
            )
        posts = pres = list(labels)
        x = checks.conductances("gs", gs, "nS")
        if x.shape != (len(labels), len(labels)):
            raise ValueError(
                f"gs has shape {x.shape}; it must be {len(labels)} × {len(labels)}, a row for each postsynaptic and a column for each "
                f"presynaptic population, in the order {checks.listing(labels)}; {{}} is no synapses."
            )
    return {(pres[j], posts[i]): float(x[i, j]) for i, j in zip(*np.nonzero(x), strict=True)}


def coupling(ge: Any) -> np.ndarray:
    """The conductance of electrical synapses, one number in nS; warns (UserWarning) of another unit."""
    g = one_conductance("ge", ge)
    usual_strengths({"ge": float(g)})
    return g


def no_autapse(pre: str, post: str, same: bool, size: int) -> None:
    """A single cell has no synapse onto itself."""
    if same and size == 1:
        raise ValueError(
            f"there is a synapse from {pre!r} onto the single cell of {post!r}, onto itself; remove it or enlarge the population."
        )


# ---------------------------------------------------------------- numbers that enter pure functions


def shapes_of_params(circuit: Circuit) -> dict[str, tuple[int, ...]]:
    """Shape of each field of `Params`; `ge` may also have one value for each gap junction."""
    n = max(len(m.channels) for m in circuit.membranes)
    return {"g": (len(circuit.populations), n), "gs": (len(circuit.synapses),), "ge": (), "gz": (len(circuit.kinetic),)}


def shapes_of_these(params: Any, circuit: Circuit) -> dict[str, tuple[int, ...]]:
    """The shapes that the fields of some parameters must have."""
    one_each = np.ndim(params.ge) == 1 and (circuit.junctions or not np.size(params.ge))
    return shapes_of_params(circuit) | ({"ge": (len(circuit.junctions),)} if one_each else {})


def shapes_of_state(circuit: Circuit) -> dict[str, tuple[int, ...]]:
    """Shape of each field of `State` that the circuit has."""
    n = sum(p.size for p in circuit.populations)
    gates = [
        (n, max(sum(getattr(c, x) is not None for c in m.channels) for m in circuit.membranes)) for x in ("m", "h")
    ]
    found = dict(zip(("V", "Ca", "s", "m", "h"), ((n,), (n,), (n, len(circuit.transmitters)), *gates), strict=True))
    return found | ({"z": inlets_of(circuit).pre.T.shape} if circuit.kinetic else {})


def fits(
    what: str, fields: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]], leading: str | None = None
) -> None:
    """Refuse arrays (or tracers) of other shapes than `wanted`, for JAX would take the last element in the place of one that is missing.

    leading: the name of a leading axis that all have besides, such as "time".
    """
    for name, shape in wanted.items():
        found = np.shape(fields[name])
        if (found if leading is None else found[1:] if found else ("",)) != shape:
            must = shape if leading is None else f"({', '.join(map(str, (leading, *shape)))})"
            raise ValueError(
                f"{what}.{name} has shape {found}; this circuit needs {must}. Take {what} of the same circuit."
            )


def bytes_of(params: Any, circuit: Circuit, record: Collection[str] | None, dtype: str) -> float:
    """Bytes that a run of a model takes for each time, before and after copying. Raises ValueError if the params are of another circuit."""
    wanted = shapes_of_these(params, circuit)
    fits("params", {name: getattr(params, name) for name in wanted}, wanted)
    values = sum(np.prod(shape) for name, shape in shapes_of_state(circuit).items() if record is None or name in record)
    return 2.0 * float(values) * np.dtype(dtype).itemsize


def params_fit(params: Any, kind: Any) -> None:
    """Refuse what are no parameters of a circuit, and arrays of other shapes than its own."""
    checks.of_type("params", params, kind, "the Params of a circuit, such as `model.params`")
    wanted = shapes_of_these(params, params.circuit)
    fields = {name: getattr(params, name) for name in wanted}
    for name, x in fields.items():
        if not isinstance(x, jax.Array) and np.size(x):  # which tracers are, too
            checks.numbers(f"params.{name}", x)
    fits("params", fields, wanted)


def same_state(y: Any, like: Any) -> Any:
    """A state with the variables of `like` and their shapes, finite numbers all."""
    if getattr(y, "_fields", None) != like._fields:
        shown = f"{type(y).__name__}, {checks.shown(y)}"
        raise TypeError(
            f"state is {shown}; it must be a State of this model. Take `result.final_state`, or `model.cold`."
        )
    y = type(like)(*(checks.numbers(f"state.{name}", x) for name, x in y._asdict().items()))
    fits("state", y._asdict(), {name: np.shape(x) for name, x in like._asdict().items()})
    for name, x in y._asdict().items():
        checks.throughout(f"state.{name}", x, np.isfinite(x), "a start must be finite. Take `result.final_state`.")
    return y


IN_VOLTS = 0.15  # mV; potentials that are all smaller were probably meant in V


def given_state(y: Any, like: Any) -> Any:
    """The same, with gates in [0, 1] and positive calcium."""
    if not hasattr(like, "plain"):
        y = getattr(y, "plain", y)  # of a run in which channels were counted
    y = same_state(y, like)
    if 0 < (largest := float(np.abs(y.V).max(initial=0.0))) < IN_VOLTS:
        checks.warn(
            f"no V of the state is larger than {largest:g} mV in size. If it is in V, multiply it by 1000; cells rest near -50 mV."
        )
    for name, x in y._asdict().items():
        if name in "smh":
            checks.throughout(f"state.{name}", x, (x >= 0) & (x <= 1), "gates lie between 0 and 1. Clip it.")
        if name == "Ca":
            checks.throughout("state.Ca", x, x > 0, "calcium must be positive, in µM. At rest it is 0.05.")
    return y


def startable(state: Any) -> Any:
    """A state from which a run can start: finite, with positive calcium. Fields that JAX traces are left alone."""
    for name, x in state._asdict().items():
        if isinstance(x, jax.core.Tracer):
            continue
        x, rule = np.asarray(x), "positive, in µM; at rest it is 0.05" if name == "Ca" else "finite"
        good = np.isfinite(x) & (x > 0) if name == "Ca" else np.isfinite(x)
        checks.throughout(f"state.{name}", x, good, f"it must be {rule}. Take `result.final_state`.")
    return state


def started(params: Any, state: Any, kind: Any, state_of: Any, leading: str | None = None) -> Any:
    """A state as JAX arrays of one floating type, the widest of its fields, after checking it and the parameters.

    kind: `Params`; state_of: builds the state of a circuit. leading: "time" for a trajectory. Raises TypeError or ValueError for other
    types and shapes.
    """
    params_fit(params, kind)
    wanted = shapes_of_state(params.circuit)
    state = getattr(state, "plain", state)  # of a run in which channels were counted
    if getattr(state, "_fields", None) != tuple(wanted):
        raise TypeError(
            f"state is of type {type(state).__name__}; it must be a State of this circuit, such as `model.get_thermalization()`, `model.cold` "
            "or `result.final_state`."
        )
    known = {
        name: x if isinstance(x, jax.Array) else checks.numbers(f"state.{name}", x)
        for name, x in zip(wanted, state, strict=True)
    }
    fits("state", known, wanted, leading)
    types = {np.dtype(x.dtype) for x in known.values()}
    if wrong := [d for d in types if d not in (np.float32, np.float64) and d.kind not in "iu"]:
        raise TypeError(
            f"state is of {wrong[0]}; it must consist of numbers of single or double precision. Convert it: x.astype(float)."
        )
    floating = [d for d in types if d.kind == "f"]
    dtype = jax.dtypes.canonicalize_dtype(np.result_type(*floating) if floating else np.float64)
    return state_of(params.circuit, **{name: jnp.asarray(x, dtype) for name, x in known.items()})


def replaced(params: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """New values of fields of `Params`: names that it has, its shapes behind any axes of a batch, and conductances that can be.

    Values that JAX traces are checked for their shapes only. Raises ValueError or TypeError.
    """
    for name in changes:
        checks.choice("a field of params", name, list(vars(params)))
    new, circuit = dict(changes), changes.get("circuit", params.circuit)
    wanted = shapes_of_params(circuit)
    if not wanted["gz"] and np.shape(changes.get("gz", ())) == (0,):
        new["gz"] = ()
    for name in wanted.keys() & changes.keys():
        x, shape = changes[name], wanted[name]
        if isinstance(x, (pd.DataFrame, pd.Series, Mapping)):
            raise TypeError(
                f"{name} is a {type(x).__name__}, whose labels are not read here; it must be an array {shape}. Give {name}.to_numpy(), "
                "in the order of the model."
            )
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(x)):
            checks.conductances(name, x, "mS/cm²" if name == "g" else "nS")
            new[name] = x if hasattr(x, "dtype") else np.asarray(x, float)
        found = np.shape(x)
        if name == "ge" and found[-1:] == (len(circuit.junctions),) and np.ndim(params.ge):
            continue
        if len(found) < len(shape) or found[len(found) - len(shape) :] != shape:
            raise ValueError(
                f"{name} has shape {found}; this circuit needs {shape}, after any axes of a batch. Take the shape of `params.{name}`."
            )
    return new
