"""What all tests share: 64 bits, strict types, and a store of their own."""

import os
from collections.abc import Iterator

import jax
import pytest

from pyloric_simulator.config import CONFIG_VARIABLE, STORE_VARIABLE

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


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
