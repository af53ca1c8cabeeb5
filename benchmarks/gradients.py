"""Tables of speed.py on derivatives: their cost beside the forward run, beside jaxley, and their memory."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

from turns import REPETITIONS, limit, median, table, take_turns

HERE = Path(__file__).resolve().parent
MS, EVERY, DT = 1000, 1.0, 0.05  # simulated in one run, recorded every, step; ms


class Compiled(NamedTuple):
    """A compiled function of no arguments."""

    run: Callable[[], Any]
    seconds: float  # to trace and compile
    memory: float  # MB for intermediate results


def compiled(function: Callable[..., Any], *arguments: Any) -> Compiled:
    """A function, compiled for some arguments in double precision."""
    import jax

    with jax.enable_x64(True):
        start = perf_counter()
        program = jax.jit(function).lower(*arguments).compile()
        seconds = perf_counter() - start

    def run() -> Any:
        with jax.enable_x64(True):
            return jax.block_until_ready(program(*arguments))

    return Compiled(run, seconds, program.memory_analysis().temp_size_in_bytes / 1e6)


# ----------------------------------------------------------------------------------- contestants


def loss_of(simulation: Any, ms: float = MS) -> tuple[Callable[..., Any], tuple[Any, Any]]:
    """Mean square of the potentials of the paper's circuit as a function of its 31 conductances."""
    import numpy as np
    from speed import paper

    model = paper()
    start, t = model.get_thermalization(store=None), np.arange(0, ms + EVERY, EVERY)

    def loss(g: Any, gs: Any) -> Any:
        return (simulation(model.params.replace(g=g, gs=gs), start, t, dt=DT).V ** 2).mean()

    return loss, (model.params.g, model.params.gs)


def ours() -> dict[str, Compiled]:
    """The forward run, and the value with the gradient in three ways."""
    import jax

    from pyloric_simulator.fitting.adjoint import simulate_with_adjoint
    from pyloric_simulator.prinz2004 import simulate

    forward, x = loss_of(simulate)
    adjoint, _ = loss_of(simulate_with_adjoint)
    one_direction = lambda g, gs: jax.jvp(forward, (g, gs), (g, gs))  # noqa: E731
    both = lambda loss: jax.value_and_grad(loss, (0, 1))  # noqa: E731
    return {
        "forward": compiled(forward, *x),
        "value and gradient, 31 parameters: `simulate_with_adjoint`": compiled(both(adjoint), *x),
        "value and gradient, 31 parameters: `simulate`, JAX's reverse mode": compiled(both(forward), *x),
        "value and derivative in one direction: `simulate`, forward mode": compiled(one_direction, *x),
    }


def jaxley_network() -> Any:
    """Three cells with sodium, potassium, muscarinic potassium, two calcium currents and a leak, and seven graded synapses."""
    import jaxley
    from jaxley.channels import CaL, CaT, K, Km, Leak, Na
    from jaxley.connect import connect
    from jaxley.synapses import IonotropicSynapse

    net = jaxley.Network([jaxley.Cell(jaxley.Branch(jaxley.Compartment(), 1), parents=[-1])] * 3)
    for channel in (Na(), K(), Km(), CaL(), CaT(), Leak()):
        net.insert(channel)
    place = lambda i: net.cell(i).branch(0).loc(0.5)  # noqa: E731
    for pre, post in ((0, 1), (0, 1), (0, 2), (0, 2), (1, 0), (1, 2), (2, 1)):
        connect(place(pre), place(post), IonotropicSynapse())
    net.cell("all").branch(0).loc(0.5).record("v", verbose=False)
    for name in ("Na_gNa", "K_gK", "Km_gKm", "CaL_gCaL", "CaT_gCaT", "Leak_gLeak"):
        net.cell("all").make_trainable(name, verbose=False)
    net.IonotropicSynapse.edge(list(range(7))).make_trainable("IonotropicSynapse_gS", verbose=False)
    return net


def theirs() -> dict[str, Compiled]:
    """The forward run, and the value with the gradient, of jaxley; it records every step."""
    import jax
    import jaxley

    with jax.enable_x64(True):
        net = jaxley_network()
        net.to_jax()
        parameters = net.get_parameters()
    segment = math.ceil(math.sqrt(MS / DT + 1))

    def loss(p: Any) -> Any:
        V = jaxley.integrate(net, params=p, delta_t=DT, t_max=float(MS), checkpoint_lengths=[segment, segment])
        return (V**2).mean()

    return {
        "jaxley, forward": compiled(loss, parameters),
        "jaxley, value and gradient, 25 parameters": compiled(jax.value_and_grad(loss), parameters),
    }


# --------------------------------------------------------------------------------------- tables


def gradient_table() -> str:
    """Cost of a value with its gradient."""
    contestants = ours() | theirs()
    times = take_turns({name: c.run for name, c in contestants.items()}, REPETITIONS // 2)
    base = {name: times["jaxley, forward" if "jaxley" in name else "forward"] for name in times}
    rows = [
        (name, *(f"{f(x) / MS * DT * 1e6:.2f}" for f in (median, min)), f"{median(x) / median(base[name]):.1f}",
         f"{min(x) / min(base[name]):.1f}", f"{contestants[name].seconds:.1f}", f"{contestants[name].memory:.1f}")
        for name, x in times.items()
    ]  # fmt: skip
    header = "three cells, 1 s | µs per step, median | minimum | ratio to forward, medians | minima | s to compile | MB"
    names = list(times)
    adjoint, jaxley = names[1], names[-1]
    ratio, share = median(times[adjoint]) / median(times["forward"]), median(times[jaxley]) / median(times[adjoint])
    seconds = contestants[adjoint].seconds
    return table(header, rows) + (
        f"\nLimits of the second row: {limit('4 times the first', ratio <= 4)}, {limit('8 s to compile', seconds <= 8)}, "
        f"{limit('a third of the last', share >= 3)}; it takes 1/{share:.1f} of that. "
        "jaxley's cells have its sodium, potassium, muscarinic potassium, L and T calcium channels and a leak, without intracellular "
        "calcium, and its graded synapse, which is the same equation; its checkpoints are √N steps apart.\n"
    )


def modes_table() -> str:
    """Forward mode against reverse mode, by the number of parameters."""
    import jax
    import jax.numpy as jnp

    from pyloric_simulator.fitting.adjoint import simulate_with_adjoint
    from pyloric_simulator.prinz2004 import simulate

    forward, (g, gs) = loss_of(simulate, 200)
    adjoint, _ = loss_of(simulate_with_adjoint, 200)

    def part(loss: Any, n: int) -> Any:
        flat = lambda x: loss(jnp.asarray(g) * x[:24].reshape(g.shape), jnp.asarray(gs) * x[24:])  # noqa: E731
        return lambda x: flat(jnp.concatenate([x, jnp.ones(31 - n)]))

    counts = (1, 3, 10, 31)
    runs = {}
    with jax.enable_x64(True):
        for n in counts:
            x = jnp.ones(n)
            runs[f"forward {n}"] = compiled(jax.jacfwd(part(forward, n)), x)
            runs[f"reverse {n}"] = compiled(jax.grad(part(adjoint, n)), x)
    times = take_turns({name: c.run for name, c in runs.items()}, REPETITIONS // 2)
    per_step = lambda mode: [f"{median(times[f'{mode} {n}']) / 200 * DT * 1e6:.2f}" for n in counts]  # noqa: E731
    rows = [
        ("`jax.jacfwd` of `simulate`", *per_step("forward")),
        ("`jax.grad` of `simulate_with_adjoint`", *per_step("reverse")),
    ]
    return table(" | ".join(["µs per step, medians", *(f"parameters: {n}" for n in counts)]), rows)


def batch_table() -> str:
    """Gradients of many circuits at once beside that of one, by the time that passes and by that of all cores."""
    import jax
    import jax.numpy as jnp

    from pyloric_simulator.fitting.adjoint import many_at_once, simulate_with_adjoint

    loss, x = loss_of(simulate_with_adjoint, 200)
    gradient = jax.value_and_grad(loss, (0, 1))
    several = lambda n: [jnp.stack([jnp.asarray(a) * (1 + 0.05 * i / n) for i in range(n)]) for a in x]  # noqa: E731
    many = many_at_once(gradient)

    def on_all_cores(n: int) -> Callable[[], Any]:
        def run() -> Any:
            with jax.enable_x64(True):
                return jax.block_until_ready(many(*circuits))

        with jax.enable_x64(True):
            circuits = several(n)
        return run

    with jax.enable_x64(True):
        mapped = compiled(jax.vmap(gradient), *several(256)).run
    runs = {
        "1, `jax.jit`": (1, compiled(gradient, *x).run),
        "256, `jax.jit` of `jax.vmap`": (256, mapped),
        "64, `many_at_once`": (64, on_all_cores(64)),
        "256, `many_at_once`": (256, on_all_cores(256)),
    }
    calls = {name: run for name, (_, run) in runs.items()}
    clocks = [take_turns(calls, REPETITIONS // 3, clock) for clock in (perf_counter, process_time)]
    per_step = {
        name: [f(times[name]) / 200 * DT * 1e6 / n for times in clocks for f in (median, min)]
        for name, (n, _) in runs.items()
    }
    one, *_, best = per_step.values()
    rows = [
        (name, *(f"{s:.2f}" for s in x), f"{x[0] / one[0]:.2f}", f"{x[2] / one[2]:.2f}") for name, x in per_step.items()
    ]
    header = (
        "value and gradient, circuits at once | µs per step and circuit, median | minimum | of all cores together, median | minimum "
        "| ratio to one | of all cores"
    )
    return table(header, rows) + f"\nLimit: {limit('a quarter at 256', best[0] <= one[0] / 4)}.\n"


def networks() -> dict[str, Any]:
    """Models of cells of one's own."""
    from pyloric_simulator.models.channels import HodgkinHuxley1952, Liu1998
    from pyloric_simulator.models.networks import Cell, GapJunction, Network, Synapse
    from pyloric_simulator.prinz2004 import GLUTAMATE

    HH, g = HodgkinHuxley1952, {"Na": 700, "CaT": 2, "CaS": 4, "A": 50, "KCa": 40, "Kd": 70, "H": 0.03, "leak": 0.01}
    liu = Cell([getattr(Liu1998, name)(x) for name, x in g.items()], calcium=Liu1998.calcium)
    axon = Cell([HH.Na(120), HH.K(36), HH.leak(0.3)], V=-65)
    joined = [Synapse("a", "b", GLUTAMATE, 20), Synapse("b", "c", GLUTAMATE, 10), GapJunction("a", "c", 5)]
    return {
        "three Liu cells": Network(dict.fromkeys("abc", liu), joined),
        "an axon between two Liu cells": Network({"a": liu, "b": axon, "c": liu}, joined),
    }


def networks_table() -> str:
    """Gradients of cells of one's own, which graded synapses and a gap junction join."""
    import jax
    import numpy as np

    from pyloric_simulator.fitting.adjoint import simulate_with_adjoint
    from pyloric_simulator.prinz2004 import simulate

    def loss(model: Any, run: Any) -> Callable[..., Any]:
        t = np.arange(0, 200 + EVERY, EVERY)
        return lambda g, gs, ge: (run(model.params.replace(g=g, gs=gs, ge=ge), model.cold, t, dt=DT).V ** 2).mean()

    contestants, rows, ratios = {}, [], []
    for name, model in networks().items():
        x = (model.params.g, model.params.gs, model.params.ge)
        contestants[name, "forward"] = compiled(loss(model, simulate), *x)
        contestants[name, "gradient"] = compiled(jax.value_and_grad(loss(model, simulate_with_adjoint), (0, 1, 2)), *x)
    times = take_turns({" ".join(key): c.run for key, c in contestants.items()}, REPETITIONS)
    for name in networks():
        forward, both = (times[f"{name} {what}"] for what in ("forward", "gradient"))
        ratios.append(median(both) / median(forward))
        per_step = [f"{f(x) / 200 * DT * 1e6:.2f}" for x in (forward, both) for f in (median, min)]
        rows.append((name, *per_step, f"{ratios[-1]:.1f}", f"{contestants[name, 'gradient'].seconds:.1f}"))
    header = "a network | µs per step, median | minimum | value and gradient, median | minimum | ratio | s to compile"
    return table(header, rows) + f"\nLimit: {limit('4 times the forward run', max(ratios) <= 4)}.\n"


def child_memory(ms: float) -> str:
    """Largest memory (MB) of a process before and after it has taken a gradient, and what XLA reserves for it."""
    import resource

    import jax

    from pyloric_simulator.fitting.adjoint import simulate_with_adjoint

    loss, x = loss_of(simulate_with_adjoint, ms)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    program = compiled(jax.value_and_grad(loss, (0, 1)), *x)
    program.run()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return f"{before:.0f} {after:.0f} {program.memory:.1f}"


def memory_table() -> str:
    """Memory of a gradient by simulated time."""
    rows, worked = [], {}
    for ms in (1000, 3000, 10_000, 30_000):
        command = [sys.executable, str(HERE / "gradients.py"), str(ms)]
        found = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(HERE.parent)}, stdout=subprocess.PIPE, check=True, text=True
        )
        before, after, reserved = found.stdout.split()
        worked[ms] = float(reserved)
        rows.append((f"{ms / 1000:g} s", reserved, after, before))
    header = "simulated | MB that the gradient works in | largest memory of the process, MB | before the gradient, MB"
    return (
        table(header, rows) + f"\nLimit: {limit('300 MB at 10 s', worked[10_000] <= 300)}; the rest is compilation.\n"
    )


if __name__ == "__main__":
    print(child_memory(float(sys.argv[1])))
