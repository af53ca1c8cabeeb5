"""Writes the files of this repository that follow from others.

    python tools/generate.py page            prinz2004.md, which is read where Python files are not shown as pages, from prinz2004.py
    python tools/generate.py requirements    pyloric_simulator/requirements.txt from pyproject.toml

Without a subcommand both are written. With --check none is: the exit status says whether all are
up to date, and those that are not are named.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import jupytext

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pyloric_simulator"
MODEL = PACKAGE / "prinz2004.py"


def literate_modules() -> list[Path]:
    """Modules of the package that open with a Jupytext header and so are pages of the Book."""
    return [
        module
        for module in sorted(PACKAGE.rglob("*.py"))
        if module.read_text(encoding="utf-8").startswith("# ---\n# jupyter:\n")
    ]


def page() -> dict[Path, str]:
    """The text that the model's page should have; the Book reads all other chapters from their modules."""
    return {MODEL.with_suffix(".md"): jupytext.writes(jupytext.read(MODEL), "md:myst")}


def requirements() -> dict[Path, str]:
    """The text the list of requirements should have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        "# What this folder needs where it is copied into another project.",
        f"# Python {project['requires-python']}",
        *project["dependencies"],
    ]
    return {PACKAGE / "requirements.txt": "\n".join(lines) + "\n"}


def stale(wanted: dict[Path, str]) -> dict[Path, str]:
    """The entries of ``wanted`` that the files on disk do not have."""
    return {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    subcommands = {"page": page, "requirements": requirements}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=subcommands)
    parser.add_argument("--check", action="store_true", help="write nothing, report what is stale")
    options = parser.parse_args(arguments)
    chosen = [options.what] if options.what else list(subcommands)
    outdated = stale({path: text for name in chosen for path, text in subcommands[name]().items()})
    for path, text in outdated.items():
        print(f"{'stale' if options.check else 'written'}: {path.relative_to(ROOT)}")
        if not options.check:
            path.write_text(text, encoding="utf-8")
    return int(options.check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
