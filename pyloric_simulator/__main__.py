"""Makes `python -m` on this package, under whatever name, the command `pyloric`."""

from .cli import main

if __name__ == "__main__":
    main()
