"""What all tests share: 64 bits, strict types, a store of their own, and compiled code, which is kept on disk and not in memory."""

import os
from collections.abc import Iterator

import jax
import pytest

from pyloric_simulator.config import CONFIG_VARIABLE, STORE_VARIABLE

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled code in pytest's own folder, for both workers, for child processes and for the next session.

    `pytest --cache-clear` empties it. A folder that the environment names is used instead.
    """
    if hasattr(config, "cache"):
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.cache.mkdir("jax")))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
        jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs",
            float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]),
        )


@pytest.fixture(scope="module", autouse=True)
def _no_compiled_code_from_other_modules() -> Iterator[None]:
    """Let go of a module's compiled functions; with all of them a session takes gigabytes."""
    yield
    jax.clear_caches()


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
