"""No wrong answer in silence: every wrong input of the tables in `wrong/` ends in an error or a warning that helps, and soon."""

import importlib
import logging
import pkgutil
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import jax
import pytest
import wrong
from wrong import Case

CASES = {
    f"{module.name}: {name}": case
    for module in pkgutil.iter_modules(wrong.__path__)
    for name, case in importlib.import_module(f"wrong.{module.name}").CASES.items()
}


OPERATIONS = {name for module in (jax.numpy, jax.lax, jax.random) for name in dir(module)}


class Compiled(logging.Handler):
    """Names of what JAX compiles, other than its own operations, which it compiles one by one when arrays are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take the name from JAX's message."""
        found = re.match(r"Compiling (?:jit\()?([\w<>]+)", record.getMessage())
        if found and found[1].lstrip("_") not in OPERATIONS:
            self.names.append(found[1])


@contextmanager
def counted() -> Iterator[list[str]]:
    """The names of the functions that are compiled inside the block."""
    logger, handler = logging.getLogger("jax"), Compiled()
    handlers, propagate = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        with jax.log_compiles():
            yield handler.names
    finally:
        logger.handlers, logger.propagate = handlers, propagate


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_named(name: str) -> None:
    case: Case = CASES[name]
    with counted() as compilations:
        if issubclass(case.ends_with, Warning):
            with pytest.warns(case.ends_with) as found:
                case.call()
            message = " ".join(str(w.message) for w in found)
        else:
            with (
                warnings.catch_warnings(action="ignore"),
                pytest.raises(case.ends_with) as caught,
            ):  # warnings before the error
                case.call()
            message = str(caught.value)
            assert not (compilations and not case.compiles), f"{compilations} compiled before the refusal"
    for part in case.says:
        assert part in message, f"{part!r} is not in: {message}"
    assert len(message) > 25, f"too short to help: {message}"


def test_there_are_many() -> None:
    assert len(CASES) >= 1000


def test_what_is_compiled_is_seen() -> None:
    with counted() as compilations:
        jax.jit(lambda x: jax.numpy.sin(x) + 1, inline=False)(1.0)
        jax.jit(slow_run)(1.0)
    assert compilations == ["<lambda>", "slow_run"]


def slow_run(x: jax.Array) -> jax.Array:
    """Any function that is not JAX's own."""
    return x + 2
