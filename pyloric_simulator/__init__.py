"""The crustacean pyloric circuit of Prinz, Bucher and Marder (2004), simulated in JAX.

Its public names are listed in ``__init__.pyi``. A module is imported when one of its names is first used,
so that ``import pyloric_simulator`` itself takes no time and imports neither JAX nor pandas.
"""

from importlib.util import find_spec as _find_spec

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# These derive from a class of PyTorch. Where it is not installed, `from pyloric_simulator import *` does without them.
_OF_TORCH = ("CircuitModule", "LIFModule")
if _find_spec("torch") is None:
    __all__ = [name for name in __all__ if name not in _OF_TORCH]
