"""Lets a module of this package run as a notebook, wherever the package has been copied to.

A notebook belongs to no package, so that its relative imports have nothing to be relative to.
Taking ``__spec__`` from here, in its first cell, makes it a part of the folder in which it runs.
"""

import importlib.machinery
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_HERE = Path.cwd().resolve()
_PARTS = _HERE.relative_to(_PACKAGE.parent).parts if _HERE.is_relative_to(_PACKAGE) else (_PACKAGE.name,)

# The package must be found here even where another copy of it is installed.
sys.path.insert(0, str(_PACKAGE.parent))

# Processes started with multiprocessing's "spawn" import their parent's main module, unless its
# name ends like this one.
spec = __spec__ = importlib.machinery.ModuleSpec(".".join((*_PARTS, "__main__")), None)
