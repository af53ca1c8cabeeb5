"""What all tables share: contestants take turns, medians, Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any

REPETITIONS = 15
Times = dict[str, list[float]]  # contestant -> seconds of each repetition


def take_turns(
    contestants: Mapping[str, Callable[[], Any]],
    repetitions: int = REPETITIONS,
    clock: Callable[[], float] = perf_counter,
) -> Times:
    """Run all contestants once to warm up, then in turns; seconds of each run by a clock, `time.process_time` for those of all cores."""
    for run in contestants.values():
        run()
    times: Times = {name: [] for name in contestants}
    for _ in range(repetitions):
        for name, run in contestants.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return times


def median(times: Sequence[float]) -> float:
    """The middle one; the upper of two."""
    return sorted(times)[len(times) // 2]


def limit(said: str, holds: bool) -> str:
    """A limit and whether it was kept, by medians."""
    return f"{said} ({'met' if holds else '**missed**'})"


def table(header: str, rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; the header's cells are separated by |."""
    names = [x.strip() for x in header.split("|")]
    lines = [names, ["---", *["--:"] * (len(names) - 1)], *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)
