"""Makes `python -m` on this package, under whatever name, the command `pyloric`."""

import sys

try:
    from .cli import main
except ModuleNotFoundError as error:  # a copied folder, without what it needs
    sys.exit(f"Error: the package {error.name} is missing; the command needs it. Install it: pip install {error.name}")

if __name__ == "__main__":
    main()
