"""Table of speed.py beside Brian2, which needs an environment of its own (see brian2_circuit.py)."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

from turns import median, table, take_turns

HERE = Path(__file__).resolve().parent
MS, DT, RUNS = 5000.0, 0.025, 3
PYTHON = "BRIAN2_PYTHON"  # environment variable: the interpreter that has Brian2


def described(model: Any, start: Any) -> dict[str, Any]:
    """The circuit of a model as plain data; conductances in µS."""
    import numpy as np

    from pyloric_simulator.engine.layout import activating, inactivating
    from pyloric_simulator.prinz2004 import precision, prepare

    with precision():
        c, p = model.circuit, prepare(model.params, np.float64)
    number = lambda x: float(x) if math.isfinite(x) else None  # noqa: E731
    curve = lambda f: {name: number(getattr(f, name)) for name in f.__dataclass_fields__}  # noqa: E731
    gate = lambda g: g and {"inf": curve(g.inf), "tau": curve(g.tau), "K": g.K}  # noqa: E731
    names = [f"m_{x.name}" for x in activating(c)] + [f"h_{x.name}" for x in inactivating(c)]
    gates = np.concatenate([start.m, start.h], 1).T
    state = {
        "V": start.V,
        "Ca": start.Ca,
        **dict(zip(names, gates, strict=True)),
        **{f"s_{i}": s for i, s in enumerate(start.s.T)},
    }
    return {
        **{x: getattr(c.constants, x) for x in ("C", "γ", "Ca_out", "Ca_rest", "f", "τ_Ca", "τ_min")},
        "channels": [{"name": x.name, "E": x.E, "p": x.p, "m": gate(x.m), "h": gate(x.h)} for x in c.channels],
        "releases": [gate(t.gate(c.constants)) for t in c.transmitters],
        "start": {name: np.asarray(x).tolist() for name, x in state.items()},
        "g": {f"g_{x.name}": np.asarray(p.g[i]).tolist() for i, x in enumerate(c.channels)},
        "synapses": [
            {
                "pre": s.pre,
                "post": s.post,
                "transmitter": s.transmitter,
                "g": float(g) * 1e-3,
                "E": c.transmitters[s.transmitter].E,
            }
            for s, g in zip(c.synapses, model.params.gs, strict=True)
        ],
    }


def brian2_table() -> str:
    """The same circuit in Brian2's C++ standalone mode: exponential Euler, 0.025 ms."""
    import numpy as np
    from speed import core, paper

    if PYTHON not in os.environ:
        return f"Not measured: {PYTHON} does not name the interpreter of an environment with Brian2.\n"
    model = paper()
    start = model.get_thermalization(store=None, solver="exponential_euler", dt=DT)
    asked = json.dumps({"circuit": described(model, start), "duration": MS, "dt": DT})
    command = [os.environ[PYTHON], str(HERE / "brian2_circuit.py")]
    found: list[dict[str, float]] = []

    def theirs() -> None:
        done = subprocess.run(command, input=asked, stdout=subprocess.PIPE, check=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))

    ours = {
        f"{solver}, compiled core": core(model, int(MS), solver=solver) for solver in ("staggered", "exponential_euler")
    }
    times = take_turns({**ours, "": theirs}, RUNS)
    rows = [(name, *(f"{f(times[name]) / MS * 0.05 * 1e6:.2f}" for f in (median, min))) for name in ours]
    seconds = [x["seconds"] for x in found[1:]]
    rows.append(
        ("Brian2 2, C++ standalone, exponential Euler", *(f"{f(seconds) / MS * DT * 1e6:.2f}" for f in (median, min)))
    )
    run = model(np.arange(0, MS, DT), state=start, solver="exponential_euler", dt=DT)
    spikes = len(run.spike_times()["AB/PD", 0])
    return table("circuit of Fig. 3e | µs per step, median | minimum", rows) + (
        "\nBrian2's time is that of its compiled program, without half a minute of compilation. AB/PD spikes "
        f"{int(found[0]['spikes'])} times within {MS / 1000:g} s there, and {spikes} times in the package's exponential Euler with the "
        f"same step of {DT} ms.\n"
    )
