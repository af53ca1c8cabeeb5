"""Wrong and slippery input, one table for each part of the package; `test_wrong_input.py` runs them all.

A table is a dict from a name to a `Case`. Add to it what could be mistaken: another unit, another order, another type.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A call, what it must end with, and what its message must say."""

    call: Callable[[], Any]
    ends_with: type[Exception]  # an error, or UserWarning
    says: tuple[str, ...]  # parts of the message: the value, the rule or the cure
    compiles: bool = False  # whether it needs compiled code to find out, such as a run that turns non-finite


def refused(call: Callable[[], Any], *says: str, error: type[Exception] = ValueError) -> Case:
    """A call that raises ValueError, or another error."""
    return Case(call, error, says)


def mistyped(call: Callable[[], Any], *says: str) -> Case:
    """A call that raises TypeError."""
    return Case(call, TypeError, says)


def warned(call: Callable[[], Any], *says: str) -> Case:
    """A call that goes on with a UserWarning."""
    return Case(call, UserWarning, says)
