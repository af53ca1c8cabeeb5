"""Folders of files for other simulators, which are not mixed with anything else.

Mechanics of `to_neuron` and `to_neuroml`. A folder that has files is refused, or brought up to date if the caller says so; then files of an
earlier export that the new one does not have are removed, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import path_of
from ..engine import checks
from ..files.writing import write_whole
from .equations import Described

SIGN = "Written by pyloric_simulator"  # stands at the beginning of each file of an export
BEGINNING = 500  # characters in which it is looked for
TEXTS = (".mod", ".xml", ".nml", ".py")  # what an export consists of


def write_folder(folder: Any, files: Mapping[str, str], overwrite: bool) -> Path:
    """Write files (path inside the folder -> text) and return the folder.

    Raises FileExistsError if there are files and they are not to be overwritten, and OSError if the disk fails.
    """
    target = path_of("folder", folder)
    checks.truth("overwrite", overwrite)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"'{target}' is a file; an export needs a folder. Choose another name.")
    if target.exists() and any(target.iterdir()):
        if not overwrite:
            raise FileExistsError(
                f"'{target}' is not empty; an export must not mix with other files. Choose another folder, or pass overwrite=True."
            )
        remove_others(target, files)
    for name, content in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(target / name, content.encode())
    return target


def remove_others(folder: Path, files: Mapping[str, str]) -> None:
    """Remove files of an earlier export that the new one does not have."""
    for path in (*folder.glob("*"), *folder.glob("mod/*")):
        known = path.suffix not in TEXTS or not path.is_file() or path.relative_to(folder).as_posix() in files
        if not known and SIGN in path.read_text(encoding="utf-8", errors="replace")[:BEGINNING]:
            path.unlink()


def few_enough(d: Described, most: int, simulator: str) -> None:
    """Refuse a model of which the files would be too large to be read. Raises ValueError."""
    parts = len(d.cells) + len(d.synapses) + len(d.bonds) + 2 * len(d.gaps)
    if parts > most:
        raise ValueError(
            f"the model has {len(d.cells)} cells and {parts - len(d.cells)} ends of connections, {parts} parts; files for {simulator} "
            f"must have at most {most}, since each part is written out. Export fewer cells."
        )
