"""Files that take the place of older ones only when they are complete.

Mechanics of all that the package writes: results, circuits, pictures, snapshots, stored cells.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .config import path_of

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))  # what systems say where there is no room
SHOWN = 40  # characters of a name that its draft has as well, so that drafts stay within the longest name


def target_of(path: Any) -> Path:
    """Where a file named by a path is to be written, links followed; a pipe or a device is written where it is named.

    Raises TypeError for what is no path, and an OSError that says what to do if there can be no such file.
    """
    given = path_of("the path of a file", path)
    with telling(path):
        refuse_impossible(given, os.fspath(path))
        return Path(os.path.realpath(given)) if is_plain(given) else given


def refuse_impossible(given: Path, written: str) -> None:
    """Refuse a path, also as it was written, at which there can be no file."""
    target, says = given if given.exists() else Path(os.path.realpath(given)), f"'{given}' cannot be written:"
    folder = target.parent
    if target.is_dir() or written.endswith(("/", os.sep)):
        raise IsADirectoryError(f"{says} it is a directory; it must be a file. Add the name of a file to it.")
    if not folder.exists():
        home = " Python does not expand ~ by itself." if "~" in given.parts else ""
        raise FileNotFoundError(
            f"{says} no such file or directory as '{folder}'; the folder must be there. Make it first, or choose another.{home}"
        )
    if not folder.is_dir():
        raise NotADirectoryError(f"{says} '{folder}' is not a directory; a file must be in one. Choose another folder.")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"{says} permission denied, the file is protected. Choose another name, or change its permissions.")


def can_be_written(path: Any) -> Path:
    """The same, after trying whether files can be made in the folder; nothing is left there."""
    target = target_of(path)
    if is_plain(target):
        draft = draft_of(target)
        with telling(path):
            draft.open("xb").close()
            draft.unlink()
    return target


@contextmanager
def written_whole(path: Any, *, links: bool = True, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A binary file to write into, which takes the place of `path` when the block ends; if the block fails, what was there stays.

    A link is followed, unless `links` is False: then whatever is there is replaced. The permissions of an older file are kept, a new
    one gets `mode`, less the user's umask. What is no plain file, such as a pipe or /dev/stdout, is written into directly. Raises
    what `target_of` raises, and OSError where the disk fails.
    """
    target = target_of(path) if links else Path(path)
    if links and not is_plain(target):
        with telling(path), target.open("wb") as file:
            yield file
        return
    draft = draft_of(target)
    try:
        with telling(path):
            with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if links and target.exists():
                shutil.copymode(target, draft)
            draft.replace(target)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def is_plain(target: Path) -> bool:
    """Whether a path is that of a plain file, or of none yet."""
    return target.is_file() or not target.exists()


def draft_of(target: Path) -> Path:
    """Where a file grows until it is complete: beside it, under a name that nobody else takes."""
    return target.with_name(f".{target.name[:SHOWN]}.{secrets.token_hex(6)}.part")


@contextmanager
def telling(path: Any) -> Iterator[None]:
    """Errors of the disk name the file and say what became of it."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        cure = "Free space, or choose" if error.errno in FULL else "Choose"
        message = f"{error.strerror}; '{os.fspath(path)}' was not written, and what was there before is as it was. {cure} another folder."
        raise OSError(error.errno, message) from error
