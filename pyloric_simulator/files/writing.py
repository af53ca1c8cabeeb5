"""Files that take the place of older ones only when they are complete, and files that nobody else has written.

Mechanics of all that the package writes: results, circuits, pictures, snapshots, stored cells, runs of the database, checkpoints.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..config import path_of

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))  # what systems say where there is no room
SHOWN = 40  # characters of a name that its draft has as well, so that drafts stay within the longest name
RANDOM_BYTES = 6  # in the name of a draft
_log = logging.getLogger(__name__)


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
        raise PermissionError(
            f"{says} permission denied, the file is protected. Choose another name, or change its permissions."
        )


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


def write_whole(path: Any, data: bytes, *, links: bool = True, mode: int = 0o666) -> None:
    """Write a file in one go; arguments and errors are those of `written_whole`."""
    with written_whole(path, links=links, mode=mode) as file:
        file.write(data)


def remove_drafts(folder: Path, pattern: str) -> None:
    """Remove what killed processes have left of files; the first 40 characters of their names fit a pattern of `Path.glob`."""
    for draft in folder.glob(f".{pattern}.{'?' * 2 * RANDOM_BYTES}.part"):
        draft.unlink(missing_ok=True)


class OwnFiles(MutableMapping[bytes, bytes]):
    """The files of a folder, named by a pattern of `Path.glob` and a suffix, as a mapping from names without it to what they hold.

    Each is there whole or not at all. One that is missing raises FileNotFoundError, one that others could have written NotOwnError.
    """

    def __init__(self, folder: Path, names: str, suffix: str) -> None:
        self._folder, self._names, self._suffix = folder, names, suffix

    def _path(self, name: bytes) -> Path:
        return self._folder / (name.decode() + self._suffix)

    def __getitem__(self, name: bytes) -> bytes:
        return read_own(self._path(name))

    def __setitem__(self, name: bytes, data: bytes) -> None:
        write_whole(self._path(name), data, links=False, mode=0o644)

    def __delitem__(self, name: bytes) -> None:
        self._path(name).unlink()

    def __iter__(self) -> Iterator[bytes]:
        files = (
            sorted(self._folder.iterdir()) if self._folder.exists() else []
        )  # unlike `glob`, raises OSError for what cannot be read
        return (file.stem.encode() for file in files if file.match(self._names + self._suffix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and os.path.lexists(self._path(name))


def lock_of(file: Path, seconds: float, patience: float, doing: str) -> AbstractContextManager[object]:
    """A file's lock, held until the context ends or the process dies; the thread that has it can take it again.

    Waits for another process `seconds` (s) at most. After `patience` (s) it is logged for whom, and what that is doing. Raises OSError
    if the lock cannot be had.
    """
    from filelock import FileLock, Timeout

    if os.path.lexists(file) and (file.is_symlink() or not file.is_file()):
        raise OSError(f"{file.name} is not a regular file")
    lock, note = FileLock(file, is_singleton=True), file.with_suffix(".holder")
    try:
        held = lock.acquire(timeout=min(patience, seconds))
    except Timeout:
        _log.warning(
            "waiting for %s, which is %s; at most %g s, then going on without", holder_in(note), doing, seconds
        )
        held = lock.acquire(timeout=max(seconds - patience, 0))
    with suppress(OSError):
        remove_drafts(file.parent, note.name)
        write_whole(note, f"process {os.getpid()} on {socket.gethostname()}".encode(), links=False, mode=0o644)
    return held


def holder_in(note: Path) -> str:
    """Who holds a lock, as a note says."""
    with suppress(OSError, ValueError):
        return read_own(note).decode("ascii", "replace")[:200]
    return "another process"


def is_plain(target: Path) -> bool:
    """Whether a path is that of a plain file, or of none yet."""
    return target.is_file() or not target.exists()


def draft_of(target: Path) -> Path:
    """Where a file grows until it is complete: beside it, under a name that nobody else takes."""
    return target.with_name(f".{target.name[:SHOWN]}.{secrets.token_hex(RANDOM_BYTES)}.part")


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


class NotOwnError(PermissionError):
    """Somebody else could have written a file, or could put files into a folder."""


def check_own(path: Path) -> None:
    """Refuse what others can write, or could have put there, also by a link. Raises NotOwnError; what is not there is nobody's."""
    with suppress(FileNotFoundError):
        if why := distrust(path.lstat()) or distrust(path.stat()):
            raise NotOwnError(why)


def read_own(path: Path) -> bytes:
    """The bytes of a plain file that nobody else could have written. Raises OSError or ValueError."""
    # A link is not followed, and a pipe is not waited for.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        if why := distrust(status):
            raise NotOwnError(f"{path.name}: {why}")
        return file.read()


def distrust(status: os.stat_result) -> str:
    """Who else could have written what has this status, empty if nobody; Windows keeps others out in its own ways."""
    if not hasattr(os, "geteuid"):
        return ""
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to another user, {user(status.st_uid)}"
    others = ""
    if status.st_mode & stat.S_IWOTH:
        others = "all users"
    elif status.st_mode & stat.S_IWGRP and not of_one_user(status.st_gid, status.st_uid):
        others = f"all users of group {status.st_gid}"
    if not others or stat.S_ISLNK(status.st_mode):  # the mode of a link means nothing
        return ""
    return f"its mode is {stat.S_IMODE(status.st_mode):o}, so that it can be written by {others}"


def user(uid: int) -> str:
    """The name of a user, or the number where there is none, as in a container."""
    import pwd  # only where there are Unix users

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def of_one_user(gid: int, uid: int) -> bool:
    """Whether a group is a user's own, as on systems whose umask lets the group write."""
    import grp

    try:
        return gid == uid or grp.getgrgid(gid).gr_name == user(uid)
    except KeyError:
        return False
