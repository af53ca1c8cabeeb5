"""Work beside the page: of each kind only the last that was asked for, and its result drawn by the page's own loop.

Mechanics of `explorer`. A slider says more than can be computed while it moves. So each kind of work has one place for what is to be done
next, which newer wishes overwrite, and one thread takes from these places. Without a page all is done at once, as in a test.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

Draw = Callable[[], None]
DRAWN = 10.0  # s, after which a page that does not answer is no longer waited for


class Jobs:
    """A thread for a page. doc: the page's document, None to work at once."""

    def __init__(self, doc: Any) -> None:
        self.doc = doc
        self.wanted: dict[str, Callable[[], Draw | None]] = {}
        self.lock, self.working, self.closed = threading.Lock(), False, False

    def ask(self, kind: str, work: Callable[[], Draw | None]) -> None:
        """Do some work soon, in place of what is waiting under the same name; it returns what draws its result."""
        if self.doc is None:
            draw = work()
            if draw is not None:
                draw()
            return
        with self.lock:
            self.wanted[kind] = work
            if self.working or self.closed:
                return
            self.working = True
        threading.Thread(target=self._work, daemon=True).start()

    def drop(self, kind: str) -> None:
        """Forget what is waiting under a name."""
        with self.lock:
            self.wanted.pop(kind, None)

    def close(self) -> None:
        """Forget all; for a page that was left."""
        with self.lock:
            self.closed = True
            self.wanted.clear()

    def _next(self) -> Callable[[], Draw | None] | None:
        with self.lock:
            if not self.wanted or self.closed:
                self.working = False
                return None
            return self.wanted.pop(next(iter(self.wanted)))

    def _work(self) -> None:
        while work := self._next():
            draw = work()
            if draw is not None and not self.closed:
                self._draw(draw)

    def _draw(self, draw: Draw) -> None:
        """Draw in the page's loop, and wait until it is done, so that work never runs ahead of what is seen."""
        done = threading.Event()

        def drawn() -> None:
            try:
                draw()
            finally:
                done.set()

        self.doc.add_next_tick_callback(drawn)
        done.wait(DRAWN)
