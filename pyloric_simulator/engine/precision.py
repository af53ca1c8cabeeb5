"""The precision of a computation, in this thread only.

Mechanics of all chapters: JAX truncates to 32 bits unless told otherwise, and no global setting is changed here.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator

import jax

from . import checks


@contextlib.contextmanager
def precision(dtype: str = "float64") -> Iterator[None]:
    """Compute in `dtype` ("float64" or "float32") inside the `with` block, in this thread only.

    JAX truncates to 32 bits unless told otherwise. The models use this by themselves; wrap calls of the pure functions in it to have
    them in 64 bits. No global setting is changed.
    """
    checks.choice("dtype", dtype, ("float64", "float32"))
    x64 = getattr(jax, "enable_x64", None)
    if x64 is None:  # before JAX 0.8
        x64 = importlib.import_module("jax.experimental").enable_x64
    with x64(dtype == "float64"):
        yield
