"""Tables of speed.py on batches: circuit-steps per second, what limits them, and memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from turns import REPETITIONS, limit, median, table, take_turns

HERE = Path(__file__).resolve().parent
CIRCUITS, MS, STEPS_PER_MS = 8192, 500, 20
LENGTH, ROUNDS, MANY = 2048, 4000, 16  # of the loops that measure the machine: numbers, turns, operations in a turn
CORES = os.cpu_count() or 1


def on_all_cores(call: Callable[[], Any]) -> None:
    """The same call at the same time on each core."""
    with ThreadPoolExecutor(CORES) as pool:
        for done in [pool.submit(call) for _ in range(CORES)]:
            done.result()


# ----------------------------------------------------------------------------------- contestants


def product(n: int, ms: float = MS, **options: Any) -> Callable[[], Any]:
    """Simulation, spikes, features and classes of n circuits of the paper, as users run them."""
    from pyloric_simulator import database

    circuits = database.sample(n, seed=1)
    return lambda: database.run(circuits, duration=ms, transient=0, progress=False, **options)


def scalar() -> Callable[[], Any]:
    """The scalar numba code on all cores: simulation alone."""
    import numba_scalar
    from speed import paper

    model = paper()
    arguments = numba_scalar.staggered_nogil, model.params, model.get_thermalization(store=None), MS, STEPS_PER_MS, 0.05
    return lambda: on_all_cores(lambda: numba_scalar.simulate(*arguments))


def throughput_table() -> str:
    """The product against scalar code."""
    times = take_turns({
        "scalar numba, float64, a circuit to each core": scalar(),
        "**`database.run`**, float32": product(CIRCUITS),
        "`database.run`, float64": product(CIRCUITS, dtype="float64"),
        "`database.run`, float32, `exponential_euler` 0.025 ms": product(CIRCUITS, solver="exponential_euler", dt=0.025),
    }, REPETITIONS // 3)  # fmt: skip
    steps = dict.fromkeys(times, CIRCUITS * MS * STEPS_PER_MS)
    names = list(times)
    steps[names[0]], steps[names[3]] = CORES * MS * STEPS_PER_MS, 2 * steps[names[3]]
    rate = {name: [steps[name] / x / 1e6 for x in times[name]] for name in names}
    rows = [(name, *(f"{f(x):.1f}" for f in (median, max)), f"{median(x) / median(rate[names[0]]):.1f}",
             f"{max(x) / max(rate[names[0]]):.1f}") for name, x in rate.items()]  # fmt: skip
    best, scalar_rate = median(rate[names[1]]), median(rate[names[0]])
    header = f"{CORES} cores | million circuit-steps per second, median | best | ratio to numba, medians | best"
    return table(header, rows) + (
        f"\n{CIRCUITS} circuits of three cells, {MS} ms; `database.run` simulates, finds spikes, measures and classifies. "
        f"Limits in the second row: {limit('20 million', best >= 20)}, {limit('10 times numba', best >= 10 * scalar_rate)}.\n"
    )


def own_network(ms: float) -> Callable[[], Any]:
    """An ensemble of networks of one's own: three Liu cells, a graded synapse, a gap junction and a sampled input."""
    import numpy as np
    import pandas as pd
    from gradients import networks

    from pyloric_simulator.ensembles.ensemble import ensemble

    model, times = networks()["three Liu cells"], np.arange(0, ms + 0.1, 0.1)
    rows, I = {"a Na": np.linspace(600, 800, CIRCUITS)}, pd.DataFrame({"a": 0.1 * np.sin(times / 50)}, index=times)
    options = {"dtype": "float32", "keep": "spikes", "progress": False}
    return lambda: ensemble(model, rows, duration=ms, I_ext=I, **options)


def ensemble_table() -> str:
    """Steps of cells per second: an own network beside the circuits of the paper."""
    names = (
        "`database.run`, the circuits of the paper",
        "`ensemble`, three Liu cells, synapses, a gap junction and a sampled input",
    )
    times = take_turns(dict(zip(names, (product(CIRCUITS), own_network(MS)), strict=True)), REPETITIONS // 3)
    rate = {name: [3 * CIRCUITS * MS * STEPS_PER_MS / x / 1e6 for x in times[name]] for name in names}
    share = median(rate[names[1]]) / median(rate[names[0]])
    rows = [(name, *(f"{f(rate[name]):.1f}" for f in (median, max))) for name in names]
    return table(f"{CORES} cores, single precision | million cell-steps per second, median | best", rows) + (
        f"\n{CIRCUITS} models of three cells, {MS} ms. Limit: {limit('seven tenths of the first row', share >= 0.7)}; it is {share:.2f}.\n"
    )


def drawn(n: int, ms: float, **changes: Any) -> Callable[[], Any]:
    """The eighteen statistics of n draws from the prior under the setting of Deistler et al. (2022)."""
    from pyloric_simulator.fitting.inference import prior, setting, simulator

    theta, s = prior().sample(n, seed=1), setting("deistler2022")._replace(duration=ms, transient=0.0, **changes)
    return lambda: simulator(theta, 1, setting=s)


def statistics_table(n: int = LENGTH, ms: float = 200.0, repetitions: int = REPETITIONS // 5) -> str:
    """Processor time of draws from the prior beside rows of the database, all at 0.025 ms."""
    contestants = {
        "`database.run`, staggered": product(n, ms, dt=0.025),
        "`database.run`, exponential Euler": product(n, ms, dt=0.025, solver="exponential_euler"),
        "statistics, without noise": drawn(n, ms, noise=0.0),
        "statistics, as in the setting": drawn(n, ms),
        "statistics and energy": drawn(n, ms, energy=True),
    }
    times = {name: median(x) for name, x in take_turns(contestants, repetitions, process_time).items()}
    staggered, euler, quiet, whole, _ = times.values()
    rows = [(name, f"{x / (n * ms * 40) * 1e9:.0f}", f"{x / staggered:.2f}") for name, x in times.items()]
    ratio = whole / staggered * 11 / 13
    turns = f"{n} rows of {ms:g} ms, processor time, medians of {repetitions} in turns."
    return table("one core, single precision | ns for a step of a circuit | ratio", rows) + (
        f"\n{turns} Statistics beside features with the same scheme: "
        f"{quiet / euler:.2f}; {limit('at most 1.15', quiet <= 1.15 * euler)}. "
        f"A draw of 11 s beside a row of the database, 13 s: {ratio:.2f}; "
        f"{limit('at most 2', ratio <= 2)}.\n"
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- limits


def counted(jaxpr: Any, lanes: int) -> Counter[str]:
    """Arithmetic operations per lane, by kind, of what JAX has traced; each exponential rounds once."""
    kinds = {"round": "exponentials", "div": "divisions", "log": "logarithms"}
    kinds |= dict.fromkeys(("add", "sub", "mul", "max", "min"), "others")
    found: Counter[str] = Counter()
    for e in jaxpr.eqns:
        for inner in (x.jaxpr for x in e.params.values() if hasattr(x, "jaxpr")):
            found += counted(inner, lanes)
        result = e.outvars[0].aval
        if e.primitive.name in kinds and result.dtype == "float32":
            found[kinds[e.primitive.name]] += result.size // lanes
        if e.primitive.name == "integer_pow":
            found["others"] += abs(e.params["y"]).bit_length() * result.size // lanes
    return found


def operations() -> Counter[str]:
    """Operations of one circuit in one step of the scheme in lanes, those inside of exponentials not among the others."""
    import jax
    import jax.numpy as jnp

    from pyloric_simulator import database
    from pyloric_simulator.ensembles import lanes as in_lanes
    from pyloric_simulator.prinz2004 import State, charged, cold_start, relaxed

    lanes = 64
    plan = database.planned(range(lanes)).options.plan
    g, gs = (jnp.zeros((lanes, *shape), jnp.float32) for shape in ((3, 8), (7,)))
    with jax.enable_x64(True):
        c, by = plan.circuit, in_lanes.LANES
        p, y = in_lanes.ready(plan, g, gs, State(*(jnp.stack([x] * lanes) for x in cold_start(c))))
        step = jax.make_jaxpr(lambda y: relaxed(c, p, y._replace(V=charged(c, p, y, None, plan.dt, by)), plan.dt, by))(
            y
        )
        one = jax.make_jaxpr(in_lanes.exp2)(jnp.zeros(lanes, jnp.float32))
    found = counted(step.jaxpr, lanes)
    found["others"] -= found["exponentials"] * counted(one.jaxpr, lanes)["others"]
    return found


def side_by_side(operation: Callable[[Any], Any], x: Any) -> Any:
    """Many operations that do not wait for each other, as those of different gates do not."""
    return sum(operation(x + x.dtype.type(0.01 * k)) for k in range(MANY)) * x.dtype.type(1 / MANY)


def in_a_row(operation: Callable[[Any], Any], x: Any) -> Any:
    """As many, each of the result of the last one."""
    return reduce(lambda x, _: operation(x), range(MANY), x)


def rate(
    operation: Callable[[Any], Any],
    arranged: Callable[..., Any] = side_by_side,
    dtype: str = "float32",
    turns: int = 10 * REPETITIONS,
) -> float:
    """Billions of an operation per second at best: on all cores at once and in the nearest cache, or on the GPU that JAX has."""
    import jax
    import jax.numpy as jnp

    from pyloric_simulator.ensembles.lanes import ONE_CORE

    cores = CORES if jax.default_backend() == "cpu" else 1
    length = LENGTH if jax.default_backend() == "cpu" else ON_A_CARD
    loop = lambda x: jax.lax.fori_loop(0, ROUNDS, lambda _, x: arranged(operation, x), x)  # noqa: E731
    run = jax.jit(loop, compiler_options=ONE_CORE if jax.default_backend() == "cpu" else None)

    def one() -> None:
        with jax.enable_x64(dtype == "float64"):  # of the thread that calls
            jax.block_until_ready(run(jnp.linspace(0.5, 1, length, dtype=dtype)))

    seconds = take_turns({"": (lambda: on_all_cores(one)) if cores > 1 else one}, turns)[""]
    return cores * length * ROUNDS * MANY / min(seconds) / 1e9


def rates_of(dtype: str, turns: int = 10 * REPETITIONS) -> dict[str, float]:
    """Billions per second of each kind of operation in a step, alone."""
    import jax.numpy as jnp
    import numpy as np

    from pyloric_simulator.ensembles.lanes import exp2

    small = np.dtype(dtype).type(1e-3)
    kinds = {
        "exponentials": (lambda x: exp2(x * small), side_by_side),
        "divisions": (lambda x: small / (x + 1), side_by_side),
        "logarithms": (lambda x: jnp.log(x + 2), side_by_side),
        "others": (lambda x: x * (1 - small) + small, in_a_row),
    }
    return {name: rate(operation, arranged, dtype, turns) for name, (operation, arranged) in kinds.items()}


def in_pairs() -> Counter[str]:
    """Operations of one circuit in one step; of the others a product and a sum are one operation, at best."""
    counts = operations()
    counts["others"] = round(counts["others"] / 2)
    return counts


def limits_table() -> str:
    """What one step of one circuit takes, if every operation ran at the rate that it reaches alone."""
    rates, counts = rates_of("float32"), in_pairs()
    seconds = take_turns({"": product(CIRCUITS)}, REPETITIONS // 3)[""]
    whole = min(seconds) / (CIRCUITS * MS * STEPS_PER_MS) * 1e9
    rows = [(name, counts[name], f"{rates[name]:.2f}", f"{counts[name] / rates[name]:.1f}") for name in rates]
    total = sum(counts[name] / rates[name] for name in rates)
    rows += [("together", "", "", f"{total:.1f}"), ("`database.run`", "", "", f"{whole:.1f}")]
    header = "operation | in a step of a circuit | billions per second, alone | ns"
    return table(header, rows) + (
        f"\nAll {CORES} cores, single precision, the best of several runs. \"Others\" are pairs of a product and a sum, as if all came "
        "in such pairs; those inside of exponentials are not among them.\n"
    )  # fmt: skip


# --------------------------------------------------------------------------------------- devices

ON_A_CARD = 1 << 21  # numbers in the loops that measure a card, many enough to fill it
BATCHES_ON_A_CARD = (2048, 16_384, 65_536)  # circuits at once, of which the fastest counts
STEPS_OF_A_CIRCUIT, WHOLE = 260_000, 20_250_000  # 13 s at 0.05 ms; circuits of the database


def device_row(name: str, dtype: str, sizes: tuple[int, ...], turns: int) -> tuple[str, ...]:
    """Circuits per second on the device that JAX has, against what its operations allow, and the time of the whole database."""
    per_second = max(
        max(n, CIRCUITS) * MS * STEPS_PER_MS / min(take_turns({"": product(max(n, CIRCUITS), dtype=dtype, batch_size=n)}, turns)[""])
        for n in sizes
    )  # fmt: skip
    rates, counts = rates_of(dtype, 3 * turns), in_pairs()
    most = 1e9 / sum(counts[kind] / rates[kind] for kind in rates)
    circuits = per_second / STEPS_OF_A_CIRCUIT
    return (
        name, dtype, f"{circuits:.0f}", f"{per_second / 1e6:.1f}", f"{most / STEPS_OF_A_CIRCUIT:.0f}", f"{per_second / most:.0%}",
        f"{WHOLE / circuits / 3600:.1f}",
    )  # fmt: skip


def device_table(turns: int = REPETITIONS // 3) -> str:
    """Circuits of 13 s per second and the projected time of all, on the device that JAX finds; without a GPU its row stays empty."""
    import jax

    card = jax.default_backend() != "cpu"
    name, sizes = (
        (jax.devices()[0].device_kind, BATCHES_ON_A_CARD) if card else (f"{CORES} cores of a processor", (2048,))
    )
    rows = [device_row(name, dtype, sizes, turns) for dtype in ("float32", "float64")]
    if not card:
        rows += [("a GPU: none was at hand", dtype, *[""] * 5) for dtype in ("float32", "float64")]
    header = (
        "device | precision | circuits of 13 s per second | million steps per second | limit, circuits per second | "
        "share of the limit | hours for 20,250,000"
    )
    return table(header, rows) + (
        "\n`database.run` at 0.05 ms. The limit: every operation of a step at the rate that it reaches alone on that device. "
        "`python benchmarks/speed.py --write device` on a machine with a GPU, and JAX for it, fills the rows.\n"
    )


# ---------------------------------------------------------------------------------------- memory


def child_memory(n: int, ms: float) -> float:
    """Largest memory of a process that runs n circuits, MB."""
    import resource

    product(n, ms)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def memory_table() -> str:
    """Memory of whole processes, by the number of circuits and by simulated time."""
    cases = ((4096, 100), (20_000, 100), (100_000, 100), (4096, 2000))
    rows = []
    for n, ms in cases:
        command = [sys.executable, str(HERE / "batches.py"), str(n), str(ms)]
        start = perf_counter()
        found = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(HERE.parent)}, stdout=subprocess.PIPE, check=True
        )
        rows.append((f"{n:,}", ms, f"{float(found.stdout):.0f}", f"{perf_counter() - start:.0f}"))
    traces = 100_000 * 10_000 * STEPS_PER_MS * 3 * 4 / 1e9
    return table("circuits | ms simulated | largest memory of the process, MB | s", rows) + (
        f"\nPotentials of 100,000 circuits over 10 s, had they been kept, would take {traces:.0f} GB.\n"
    )


if __name__ == "__main__":
    print(child_memory(int(sys.argv[1]), float(sys.argv[2])))
