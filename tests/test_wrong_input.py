"""No wrong answer in silence: every wrong input of the tables in `wrong/` ends in an error or a warning that helps, and soon."""

import importlib
import pkgutil
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


@contextmanager
def counted() -> Iterator[list[str]]:
    """The compilations inside the block."""
    events: list[str] = []

    def listen(event: str, _: float, **__: object) -> None:
        if event.endswith("backend_compile_duration"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.clear_event_listeners()


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_named(name: str) -> None:
    case: Case = CASES[name]
    with counted() as compilations:
        if issubclass(case.ends_with, Warning):
            with pytest.warns(case.ends_with) as found:
                case.call()
            message = " ".join(str(w.message) for w in found)
        else:
            with warnings.catch_warnings(action="ignore"), pytest.raises(case.ends_with) as caught:  # warnings before the error
                case.call()
            message = str(caught.value)
            assert not (compilations and not case.compiles), f"{len(compilations)} compilations before the refusal"
    for part in case.says:
        assert part in message, f"{part!r} is not in: {message}"
    assert len(message) > 25, f"too short to help: {message}"


def test_there_are_many() -> None:
    assert len(CASES) >= 1000
