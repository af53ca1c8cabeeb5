"""What all tests share: 64 bits, strict types, a store of their own, and compiled code, which is kept on disk and not in memory."""

import ctypes
import gc
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from pyloric_simulator.config import CONFIG_VARIABLE, STORE_VARIABLE

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled code in pytest's own folder, for both workers, for child processes and for the next session.

    All of it: of the programs there are thousands, and most are small.
    `pytest --cache-clear` empties it. A folder that the environment names is used instead.
    """
    if hasattr(config, "cache"):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("jax")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs",
            float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]),
        )


ROOM, SOME_ROOM = 2_000, 1_000  # MB, of a process whose compiled code may stay: within a file, and from one to the next
# Files, those first that take longest.
LONGEST = "abilities", "adjoint", "experiments", "networks", "solvers", "torch_bridge", "lanes", "physiology", "lif"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All tests of a file in one worker, as they share what they compile; files in the order in which they are collected."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that the workers end together."""
    ranks = {f"test_{name}.py": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules stay to the end: to look for garbage among their objects again and again takes a tenth of the time of the tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(10_000)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Let go of compiled functions when they take much memory; with all of them a session takes gigabytes.

    What is let go is read from disk when it is needed again; to let go and to read takes time too, so it is done rarely.
    """
    ends = nextitem is None or nextitem.path != item.path  # the fixtures of the file are gone
    if resident() > (SOME_ROOM if ends else ROOM):
        jax.clear_caches()
        gc.collect()
        if sys.platform == "linux":  # what is free goes back to the system
            getattr(ctypes.CDLL(None), "malloc_trim", int)(0)


def resident() -> float:
    """MB of memory that this process has now; 0 where that is not known."""
    statm = Path("/proc/self/statm")
    return (
        int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if statm.exists() else 0.0
    )


@pytest.fixture(scope="session", autouse=True)
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests from the user's settings, and from the user's store of thermalized cells.

    The workers of one session share a store, as the processes of one user do.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STORE_VARIABLE, str(folder / "store"))
        patch.delenv(CONFIG_VARIABLE, raising=False)
        yield
