"""The crustacean pyloric circuit of Prinz, Bucher and Marder (2004), simulated in JAX.

Its public names are listed in ``__init__.pyi``. A module is imported when one of its names is first used,
so that ``import pyloric_simulator`` itself takes no time and imports neither JAX nor pandas.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
