"""How fast the package is: prints the tables of benchmarks/README.md.

    python benchmarks/speed.py                      all tables
    python benchmarks/speed.py circuit scaling      some of them
    python benchmarks/speed.py --write              all, into benchmarks/README.md
    python benchmarks/speed.py --write circuit      some of them, in place of the same ones there

Contestants of one table take turns in one process, so that a busy machine slows all of them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import batches
import cells
import gradients
import peers
from turns import REPETITIONS, limit, median, table, take_turns

MS = 1000  # simulated in one run, recorded every ms
HERE = Path(__file__).resolve().parent
MARK = "<!-- written by speed.py -->\n"

# ------------------------------------------------------------------------------------- circuits


def paper(cells: int = 3, dtype: str = "float64") -> Any:
    """The paper's circuit; PY grows (and shares its strength), one cell is AB/PD alone."""
    from pyloric_simulator.prinz2004 import Prinz2004, neuron_models

    gs = {("AB", "LP"): 30, ("PD", "LP"): 30, ("AB", "PY"): 10, ("PD", "PY"): 3,
          ("LP", "AB/PD"): 30, ("LP", "PY"): 1, ("PY", "LP"): 30 / max(cells - 2, 1)}  # fmt: skip
    if cells == 1:
        return Prinz2004({"AB/PD": 1}, {}, neuron_models.loc[["AB/PD 2"]], dtype=dtype)
    sizes = {"AB/PD": 1, "LP": 1, "PY": cells - 2}
    return Prinz2004(sizes, gs, neuron_models.loc[["AB/PD 2", "LP 4", "PY 1"]], dtype=dtype)


def four_populations(PD: int = 1, PY: int = 1) -> Any:
    """PD, AB, LP and PY with gap junctions between PD and AB."""
    from pyloric_simulator.prinz2004 import Prinz2004, neuron_models

    gs = [[0, 0, 3, 0], [0, 0, 3, 3], [3, 3, 0, 3], [3, 3, 3, 0]]
    g_ion = neuron_models.loc[["AB/PD 3", "AB/PD 3", "LP 1", "PY 5"]]
    return Prinz2004({"PD": PD, "AB": 1, "LP": 1, "PY": PY}, gs, g_ion)


def unequal(start: Any) -> Any:
    """The same start with every cell a little off, so that each is integrated."""
    import numpy as np

    return start._replace(V=start.V + 1e-3 * np.arange(len(start.V)))


def call(model: Any, start: Any, ms: int = MS, **options: Any) -> Callable[[], Any]:
    """A run through the class, as users do it."""
    import numpy as np

    t = np.arange(ms + 1.0)
    return lambda: model(t, state=start, **options)


def core_arguments(model: Any, ms: int, I: Any = 0.0, solver: str = "staggered") -> Any:
    """Arguments of `compiled_integrate` for a run that records every ms."""
    from pyloric_simulator.prinz2004 import DEFAULT_DT, Grid

    start, n = model.get_thermalization(store=None), round(1 / DEFAULT_DT)
    options = {"grid": Grid(0, n, ms), "solver": solver, "dt": DEFAULT_DT, "t0": 0.0}
    return (model.params, start, I, None), options


def core(model: Any, ms: int = MS, **options: Any) -> Callable[[], Any]:
    """A run of the compiled function under the class."""
    import jax

    from pyloric_simulator.prinz2004 import compiled_integrate, precision

    arguments, keywords = core_arguments(model, ms, **options)

    def run() -> Any:
        with precision(model.dtype):
            return jax.block_until_ready(compiled_integrate(*arguments, **keywords))

    return run


def compile_core(model: Any, I: Any = 0.0) -> tuple[float, float, Any]:
    """Seconds to trace and to compile a run of the core, and what was compiled."""
    import jax

    from pyloric_simulator.prinz2004 import compiled_integrate, precision

    arguments, keywords = core_arguments(model, MS, I=I)
    with precision(model.dtype):
        jax.clear_caches()
        start = perf_counter()
        lowered = compiled_integrate.lower(*arguments, **keywords)
        traced = perf_counter()
        program = lowered.compile()
    return traced - start, perf_counter() - traced, program


# --------------------------------------------------------------------------------------- tables


def check_equality(model: Any, start: Any) -> float:
    """Largest relative difference of the scalar code from the package over 100 ms."""
    import numba_scalar
    import numpy as np

    ours = call(model, start, 100)().states
    y = numba_scalar.simulate(numba_scalar.staggered, model.params, start, 100, 20, 0.05)
    terminals = sorted({(s.pre, s.transmitter) for s in model.circuit.synapses})
    s = np.stack([ours.s[:, cell, i] for cell, i in terminals], 1)
    pairs = zip(y, (ours.V, ours.Ca, s, np.concatenate([ours.m, ours.h], 2)), strict=True)
    difference = max(np.abs(theirs / mine[1:] - 1).max() for theirs, mine in pairs)
    if not difference < 1e-9:
        raise AssertionError(f"the scalar code differs from the package by {difference:.1e}")
    return float(difference)


def circuit_table() -> str:
    """One three-cell circuit after compilation, against the scalar code."""
    import numba_scalar as scalar

    model, single = paper(), paper(dtype="float32")
    start, p = model.get_thermalization(store=None), model.params
    difference = check_equality(model, start)
    times = take_turns({
        "scalar numba, staggered": lambda: scalar.simulate(scalar.staggered, p, start, MS, 20, 0.05),
        "scalar numba, staggered with exact exponentials": lambda: scalar.simulate(
            scalar.staggered_exactly, p, start, MS, 20, 0.05),
        "**staggered, compiled core**": core(model),
        "staggered, `model(t)`": call(model, start),
        "staggered, float32, compiled core": core(single),
        "staggered, float32, `model(t)`": call(single, start),
        "exponential_euler, compiled core": core(model, solver="exponential_euler"),
        "exponential_euler, `model(t)`": call(model, start, solver="exponential_euler"),
    }, 2 * REPETITIONS)  # fmt: skip
    best, usual = (f(times["scalar numba, staggered"]) for f in (min, median))
    rows = [
        (name, *(f"{f(x) / MS / 20 * 1e6:.2f}" for f in (median, min)),
         f"{median(x) / usual:.2f}", f"{min(x) / best:.2f}")
        for name, x in times.items()
    ]  # fmt: skip
    header = "three cells, 1 s recorded every ms | µs per step, median | minimum | ratio to numba, medians | minima"
    ours = median(times["**staggered, compiled core**"])
    return table(header, rows) + (
        f"\nLimits for the compiled core: {limit('1.5 µs', ours / MS / 20 * 1e6 <= 1.5)}, {limit('1.5 times numba', ours <= 1.5 * usual)}. "
        f"The scalar code equals the package to {difference:.0e} (relative, all variables, 100 ms).\n"
    )


def scaling_table() -> str:
    """Cost of a growing circuit, through the class."""
    runs, steps = {}, {}
    for n in (1, 3, 9, 30, 100, 1000):
        model = paper(n)
        start, ms = model.get_thermalization(store=None), 100 if n == 1000 else MS
        runs[f"{n} alike"] = call(model, start, ms)
        runs[f"{n} different"] = call(model, unequal(start), ms)
        steps |= {f"{n} alike": ms * 20, f"{n} different": ms * 20}
    times = take_turns(runs)
    rows = []
    for n in (1, 3, 9, 30, 100, 1000):
        alike, different = ([x / steps[k] * 1e6 for x in times[k]] for k in (f"{n} alike", f"{n} different"))
        rows.append((n, f"{median(alike):.2f} ({min(alike):.2f})", f"{median(different):.2f} ({min(different):.2f})",
                     f"{median(different) / n:.3f} ({min(different) / n:.3f})"))  # fmt: skip
    header = "cells | µs per step, cells of a population alike | all different | all different, per cell"
    return table(header, rows) + "\nMedians, minima in parentheses; `model(t)`, recorded every ms.\n"


def nine_table() -> str:
    """The nine-cell example against its four populations."""
    nine, four = four_populations(PD=2, PY=5), four_populations()
    starts = {m: m.get_thermalization(store=None) for m in (nine, four)}
    times = take_turns({
        "four populations of one cell": call(four, starts[four]),
        "PD 2, AB 1, LP 1, PY 5, as a user gets it": call(nine, starts[nine]),
        "the same, all nine different": call(nine, unequal(starts[nine])),
    })  # fmt: skip
    one = times["four populations of one cell"]
    rows = [(name, *(f"{f(x) / MS / 20 * 1e6:.2f}" for f in (median, min)),
             *(f"{f(x) / f(one):.2f}" for f in (median, min))) for name, x in times.items()]  # fmt: skip
    return table("circuit | µs per step, median | minimum | ratio, medians | minima", rows)


def loop_kernels(program: Any) -> int:
    """Kernels that XLA runs in each turn of the innermost loop."""
    bodies = re.findall(r"body=%?([\w.\-]+)", program.as_text())
    computations = re.split(r"\n(?=%|ENTRY)", program.as_text())
    texts = [c for c in computations for name in bodies if c.lstrip("%").startswith(name + " ")]
    inner = [text for text in texts if " while(" not in text]
    return max(len(re.findall(r" (?:fusion|call|dot|scatter)\(", text)) for text in inner)


def kernels_table() -> str:
    """Kernels in the loop, and what a step costs with them."""
    import numpy as np

    samples = np.zeros((MS * 20 + 1, 4))
    nine = four_populations(PD=2, PY=5)
    cases = {
        "three cells": (paper(), 0.0),
        "three cells, sampled I_ext": (paper(), samples[:, :3]),
        "four cells": (paper(4), 0.0),
        "nine cells, all different": (paper(9), 0.0),
        "four cells, gap junctions": (four_populations(), 0.0),
        "four cells, gap junctions, sampled I_ext": (four_populations(), samples),
        "nine cells, all different, gap junctions": (nine, 0.0),
    }
    counts = {name: loop_kernels(compile_core(m, I)[2]) for name, (m, I) in cases.items()}
    times = take_turns({name: core(m, I=I) for name, (m, I) in cases.items()})
    rows = [(name, counts[name], *(f"{f(x) / MS / 20 * 1e6:.2f}" for f in (median, min)))
            for name, x in times.items()]  # fmt: skip
    return table("compiled core | kernels per step | µs per step, median | minimum", rows)


def chain(kernels: int, doubles: int) -> Callable[[], Any]:
    """A loop of 20,000 turns with so many independent kernels on arrays of so many doubles."""
    import jax
    import jax.numpy as jnp

    from pyloric_simulator.prinz2004 import precision

    def turn(_: Any, arrays: Any) -> Any:
        return tuple(x * 1.0001 + 0.1 for x in arrays)

    run = jax.jit(lambda arrays: jax.lax.fori_loop(0, 20_000, turn, arrays))
    with precision("float64"):  # the loop's counter is a kernel too
        arrays = tuple(jnp.full(doubles, float(i)) for i in range(kernels - 1))

    def call() -> Any:
        with precision("float64"):
            return jax.block_until_ready(run(arrays))

    return call


def threshold_table() -> str:
    """What XLA's runtime takes for a turn of a loop, by the number of its kernels."""
    counts, sizes = (6, 7, 8, 9, 10, 12), (64, 65)
    times = take_turns({f"{n} {size}": chain(n, size) for size in sizes for n in counts})
    rows = [(f"{size} doubles ({size * 8} bytes) each",
             *(f"{median(times[f'{n} {size}']) / 20e3 * 1e6:.2f}" for n in counts)) for size in sizes]  # fmt: skip
    return table(" | ".join(["µs per turn, medians", *(f"{n} kernels" for n in counts)]), rows)


def compile_table() -> str:
    """Time to trace and compile the three-cell circuit."""
    seconds = [compile_core(paper())[:2] for _ in range(REPETITIONS)]
    traced, built = zip(*seconds, strict=True)
    both = [a + b for a, b in seconds]
    rows = [(name, f"{median(x):.2f}", f"{min(x):.2f}")
            for name, x in (("tracing", traced), ("XLA", built), ("together", both))]  # fmt: skip
    return table("three-cell circuit, `staggered` | s, median | minimum", rows)


# ------------------------------------------------------------------------------- fresh processes


def child_import() -> float:
    """Import of the package after its heavy dependencies."""
    import jax  # noqa: F401
    import pandas  # noqa: F401

    start = perf_counter()
    import pyloric_simulator.prinz2004  # noqa: F401

    return perf_counter() - start


def child_thermalize() -> float:
    """States of all 16 cells, computed or read."""
    from pyloric_simulator.prinz2004 import Prinz2004, neuron_models

    start = perf_counter()
    Prinz2004(dict.fromkeys(neuron_models.index, 1), gs={}).get_thermalization()
    return perf_counter() - start


def child_first() -> float:
    """The circuit of the paper for 1 s."""
    start = perf_counter()
    call(paper(), None)()
    return perf_counter() - start


CHILDREN = {"import": child_import, "thermalize": child_thermalize, "first": child_first}


def in_a_process(child: str, folder: str, store: str) -> tuple[float, float]:
    """Seconds that the child measures, and of the whole process from start to end."""
    environment = os.environ | {"PYLORIC_STORE": f"{folder}/{store}", "PYLORIC_CONFIG": "",
                                "PYTHONPATH": str(HERE.parent)}  # fmt: skip
    command = [sys.executable, str(HERE / "speed.py"), "--child", child]
    start = perf_counter()
    done = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout)), perf_counter() - start


def process_table() -> str:
    """Fresh processes: import, thermalization, first result."""
    names = ("16 cells, empty store", "16 cells, from the store", "first result", "import")
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        in_a_process("first", folder, "warm")
        for i in range(REPETITIONS):
            times[names[0]].append(in_a_process("thermalize", folder, f"store{i}"))
            times[names[1]].append(in_a_process("thermalize", folder, f"store{i}"))
            times[names[2]].append(in_a_process("first", folder, "warm"))
            times[names[3]].append(in_a_process("import", folder, "warm"))
    inner, whole = ({name: [x[i] for x in times[name]] for name in names} for i in (0, 1))
    lines = (
        ("thermalizing all 16 cells, empty store, after imports", inner[names[0]], 4),
        ("the same with the whole process", whole[names[0]], None),
        ("reading them from the store in a second process, after imports", inner[names[1]], 0.2),
        ("whole process to the first result (paper's circuit, 1 s), warm store", whole[names[2]], 2),
        ("`import pyloric_simulator.prinz2004` after `import jax, pandas`", inner[names[3]], 0.5),
    )
    kept = lambda x, bound: "" if bound is None else limit(f"{bound:g}", median(x) <= bound)  # noqa: E731
    rows = [(name, f"{median(x):.3f}", f"{min(x):.3f}", kept(x, bound)) for name, x, bound in lines]
    return table("fresh process | s, median | minimum | limit", rows)


# ----------------------------------------------------------------------------------------- main

TABLES = {
    "circuit": ("One circuit", circuit_table),
    "scaling": ("Number of cells", scaling_table),
    "nine": ("Nine cells in four populations", nine_table),
    "kernels": ("Kernels", kernels_table),
    "threshold": ("What a kernel costs", threshold_table),
    "compile": ("Compilation", compile_table),
    "process": ("Fresh processes", process_table),
    "cells": ("Cells of one's own", cells.cells_table),
    "brian2": ("Beside Brian2", peers.brian2_table),
    "batch": ("Batches", batches.throughput_table),
    "ensemble": ("Ensembles of own networks", batches.ensemble_table),
    "limits": ("What limits batches", batches.limits_table),
    "statistics": ("Draws from the prior, with eighteen statistics", batches.statistics_table),
    "device": ("Devices, and the whole database", batches.device_table),
    "memory": ("Memory of batches", batches.memory_table),
    "gradient": ("Gradients", gradients.gradient_table),
    "modes": ("Forward and reverse mode", gradients.modes_table),
    "own": ("Gradients of own networks", gradients.networks_table),
    "together": ("Gradients of many circuits", gradients.batch_table),
    "backward": ("Memory of gradients", gradients.memory_table),
}


def machine() -> str:
    """Date, processor and versions."""
    import jax
    import numba

    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    load = f", load {os.getloadavg()[0]:.1f} before the run" if hasattr(os, "getloadavg") else ""
    return (
        f"{datetime.date.today()}; {names[0] if names else platform.machine()}, {os.cpu_count()} cores"
        f"{load}; {platform.system()}, Python {platform.python_version()}, JAX {jax.__version__}, "
        f"numba {numba.__version__}.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"any of: {', '.join(TABLES)}")
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(CHILDREN[options.child]()))
        return
    if unknown := set(options.tables) - set(TABLES):
        parser.error(f"no table {', '.join(sorted(unknown))}; choose from {', '.join(TABLES)}")
    parts = {}
    for name in options.tables or TABLES:
        title, measure = TABLES[name]
        stamp = machine()
        parts[title] = f"### {title}\n\n{measure()}\n{stamp}"
        print(parts[title], flush=True)
    if options.write:
        write(parts)


def write(parts: dict[str, str]) -> None:
    """Put sections into README.md in the order of `TABLES`, in place of those of the same title."""
    readme = HERE / "README.md"
    prose, _, results = readme.read_text(encoding="utf-8").partition(MARK)
    old = {part.partition("\n")[0]: "### " + part.strip() + "\n" for part in results.split("### ")[1:]}
    known = old | parts
    text = "\n".join(known[title] for title, _ in TABLES.values() if title in known)
    readme.write_text(prose + MARK + "\n" + text, encoding="utf-8")


if __name__ == "__main__":
    main()
