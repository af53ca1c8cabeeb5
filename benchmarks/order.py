"""How many circuits of the database are pyloric, by how many of their cycles must be in order: the numbers of the chapter on rhythm.

Runs `sample(20480, seed=2004)` again, which takes ten minutes on one core, and prints one line for each demand: its name, then counts
and fractions of pyloric-like and of pyloric circuits. Call it as `python benchmarks/order.py [number of circuits]`.
"""

import sys

import numpy as np

from pyloric_simulator import database as db
from pyloric_simulator.config import sample_file
from pyloric_simulator.rhythm import MEAN, Measures, verdict

DEMANDS = (MEAN, 0.5, 0.7, 0.9, 1.0)


def measured(n: int) -> Measures:
    """The first n circuits of the sample that comes with the package, in batches as it was made."""
    facts, rows = db.facts_of(sample_file("staggered")), db.sample(20480, seed=2004)[:n]
    options = db.Options(*(facts[name] for name in db.Options._fields))
    cells = db.thermalized_cells(options)
    found = [
        db.measure_rows(rows[k : k + options.batch], options, cells, None, db.silent)
        for k in range(0, n, options.batch)
    ]
    return Measures(*map(np.concatenate, zip(*found, strict=True)))


def main() -> None:
    """Print the table."""
    found = measured(int(sys.argv[1]) if len(sys.argv) > 1 else 20480)
    n = len(found.cv)
    for order in DEMANDS:
        like, pyloric = verdict(found.values, found.cv, order=order, ordered=found.ordered)
        print(order, *(f"{x.sum()} {x.mean():.2%}" for x in (like, pyloric)), f"of {n}")
    like, _ = verdict(found.values, found.cv)
    print("pyloric-like by the mean, with a cycle out of order:", (like & (found.ordered < 1)).sum())


if __name__ == "__main__":
    main()
