"""Table of speed.py on cells and networks that are made of components."""

from __future__ import annotations

from turns import limit, median, table, take_turns


def cells_table() -> str:
    """Networks beside the first chapter's circuit, one cell, and many."""
    import numpy as np
    from speed import MS, call, paper

    from pyloric_simulator.models.channels import Prinz2003
    from pyloric_simulator.models.networks import Cell, Network, Synapse
    from pyloric_simulator.prinz2004 import neuron_models

    def cell(row: str) -> Cell:
        """A cell of the table, as a list of channels."""
        return Cell(
            [getattr(Prinz2003, name)(g) for name, g in neuron_models.loc[row].items()], calcium=Prinz2003.calcium
        )

    circuit = paper()
    start, kinds = circuit.get_thermalization(store=None), circuit.circuit.transmitters
    joined = zip(circuit.circuit.synapses, circuit.params.gs, strict=True)
    synapses = [
        Synapse(circuit.labels[s.pre], circuit.labels[s.post], kinds[s.transmitter], float(g)) for s, g in joined
    ]
    network = Network({"AB/PD": cell("AB/PD 2"), "LP": cell("LP 4"), "PY": cell("PY 1")}, synapses)
    one = cell("AB/PD 2")
    many = {n: Network({"cell": one}, sizes={"cell": n}) for n in (1, 100, 1000, 10_000)}
    spread = {n: m.cold._replace(V=m.cold.V + 1e-3 * np.arange(n)) for n, m in many.items()}
    span = {1: MS, 100: 200, 1000: 100, 10_000: 20}
    times = take_turns({
        "three-cell circuit, `Prinz2004`": call(circuit, start, 5 * MS),
        "three-cell circuit, `Network`": call(network, start, 5 * MS),
        "one cell, `Prinz2004`": call(paper(1), paper(1).get_thermalization(store=None)),
        **{f"{n:,} different cells, `Network`": call(m, spread[n], span[n]) for n, m in many.items()},
    })  # fmt: skip
    ms = dict.fromkeys(times, MS) | dict.fromkeys(list(times)[:2], 5 * MS)
    ms |= {f"{n:,} different cells, `Network`": x for n, x in span.items()}
    cells = dict.fromkeys(times, 1) | {f"{n:,} different cells, `Network`": n for n in many}
    rows = [
        (
            name,
            *(f"{f(x) / ms[name] * 1e6:.1f}" for f in (median, min)),
            f"{median(x) / ms[name] / cells[name] * 1e6:.2f}",
        )
        for name, x in times.items()
    ]
    a, b = (times[name] for name in list(times)[:2])
    one_second = median(times["1 different cells, `Network`"]) * 1e3
    return table(
        "recorded every ms | ms per simulated second, median | minimum | the same per cell, or circuit", rows
    ) + (
        f"\nThe circuit of components takes {median(b) / median(a):.2f} (medians; minima {min(b) / min(a):.2f}) of the first chapter's "
        f"time. Limits: {limit('1.10', median(b) <= 1.1 * median(a))}; {limit('30 ms for a second of one cell', one_second <= 30)}.\n"
    )
