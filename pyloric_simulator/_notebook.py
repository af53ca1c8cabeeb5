"""Lets a module of this folder run as a notebook, wherever the folder has been copied to.

A notebook belongs to no package, so that its relative imports have nothing to be relative to.
Taking ``__spec__`` from here, in its first cell, makes it a part of the package this folder is.
"""

import importlib.machinery
import sys
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent

# The package must be found here even where another copy of it is installed.
sys.path.insert(0, str(_FOLDER.parent))

# Processes started with multiprocessing's "spawn" import their parent's main module, unless its
# name ends like this one.
spec = __spec__ = importlib.machinery.ModuleSpec(f"{_FOLDER.name}.__main__", None)
