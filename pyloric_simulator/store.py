"""Keep the settled state of every cell on disk, so that each is computed only once.

Before a cell joins the circuit it is run alone until it has forgotten where it started. That takes
far longer than looking the outcome up, so this module remembers it: the caller describes all the
physics in one string, the *key*, and gets back the cell's state, computed now or long before.

The states are in a `shelve.Shelf`, a dictionary whose records are small files of one folder, one
for each state, and these hold however a program ends:

- A file is there whole or not at all: it is written under another name and renamed.
- A state that is torn, altered, in another's place or none of a cell is never returned: each
  carries a checksum over its key and its values, and the caller says what a state must be. What fails
  is reported in a `StoreWarning` and computed again.
- Reading runs no code, even from a file that somebody else prepared: a record is a line of JSON and
  plain numbers.
- Programs running at the same time take turns to compute, so that each state is computed once
  over all. What is there is read without waiting.
- States are read and written only where nobody else could have put them: what belongs to another user,
  or can be written by others, is not used. Where the folder cannot be used, the states live in
  the memory of the process instead: the results are the same, so nothing has to stop for that.
"""

import hashlib
import json
import logging
import os
import re
import shelve
import socket
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout

from .files import written_whole

__all__ = ["Entry", "StoreWarning", "ThermalizationStore"]

Entry = dict[str, np.ndarray]  # name of a state variable -> its values, float32 or float64

_FORMAT = b"thermalized cell 2"  # first line of a file, with the version of its layout
_SUFFIX = ".cell"
_FILE = re.compile(rf"[0-9a-f]{{64}}\{_SUFFIX}")
_DRAFT = re.compile(r"\.([0-9a-f]{40}|thermalized\.holder)\..*\.part")  # what a writer that was killed left behind
_DTYPES = ("<f4", "<f8")  # little-endian float32 and float64, on every platform
_ADVICE = {
    "was damaged": "What is missing is computed again, and nothing needs to be done; if this comes "
    "back, check the disk or delete the folder.",
    "cannot be used": "The results are right, but are kept only in the memory of this process. To "
    "keep them, free space on the disk, make the folder writable, or choose another folder.",
    "is not used": "The results are right, but are kept only in the memory of this process.",
}
_warned: set[tuple[Path | None, str]] = set()  # (folder, trouble) this process has told about
_log = logging.getLogger(__name__)


class StoreWarning(UserWarning):
    """The store on disk was damaged or could not be used; the results are right all the same."""


class _Record(NamedTuple):
    """What a file holds."""

    key: str  # in full
    entry: Entry


class _Files(MutableMapping[bytes, bytes]):
    """The files of a folder by name, without their suffix."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, name: bytes) -> Path:
        return self._folder / (name.decode() + _SUFFIX)

    def __getitem__(self, name: bytes) -> bytes:
        return _read(self._path(name))

    def __setitem__(self, name: bytes, raw: bytes) -> None:
        with written_whole(self._path(name), links=False, mode=0o644) as file:
            file.write(raw)

    def __delitem__(self, name: bytes) -> None:
        self._path(name).unlink()

    def __iter__(self) -> Iterator[bytes]:
        files = sorted(self._folder.iterdir()) if self._folder.exists() else []
        return (file.stem.encode() for file in files if _FILE.fullmatch(file.name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, bytes) and os.path.lexists(self._path(name))


class _CheckedShelf(shelve.Shelf[_Record]):
    """A shelf whose values are written and read as below, not as pickles."""

    def __init__(self, files: _Files) -> None:
        super().__init__(files)
        self._files = files

    def __getitem__(self, name: str) -> _Record:
        record = _unpack(self._files[name.encode()])
        if _name(record.key) != name:
            raise ValueError("it is the record of another key")
        return record

    def __setitem__(self, name: str, record: _Record) -> None:
        self._files[name.encode()] = _pack(record)


class ThermalizationStore:
    """Cell states by key, in the files of one folder or in memory only.

    Args:
        folder: where the files are; made when first needed. None keeps everything in the memory
            of this process.
    """

    lock_seconds: float = 600.0  # s, longest wait for another process that is computing
    patience: float = 2.0  # s, a longer wait is told

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._folder = None if folder is None else Path(folder).absolute()
        self._memory: dict[str, Entry] = {}  # by full key
        self._locked_out = False  # the lock failed once: ask no more, the wait can be long

    @property
    def path(self) -> Path | None:
        """The folder, whether or not it can be used; None for a store in memory."""
        return self._folder

    def get_or_compute(
        self,
        keys: Sequence[str],
        compute: Callable[[list[int]], list[Entry]],
        check: Callable[[Entry], object] = lambda _: None,
    ) -> list[Entry]:
        """Look up the entries of `keys`, and have those computed that are not there yet.

        Args:
            keys: any strings; a repeated one is computed once.
            compute: called at most once, with the positions in `keys` of what is missing; returns
                one entry each, in that order. Other processes that share the folder wait for it.
                Whatever it raises comes through unchanged, and nothing is stored.
            check: raises an error for what is no state; an entry on disk that does not pass is computed
                again.

        Returns:
            One entry per key, in order; its arrays have the dtype and shape that `compute` gave
            them and can never be written to.

        Raises:
            TypeError: `keys` is one string, or holds something that is none.
            ValueError: `compute` returned the wrong number of entries, or one that is not made of
                finite floats; nothing is stored.
        """
        if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
            raise TypeError(f"keys is {keys!r}; it must hold only strings: pass a list of str")
        self._load(map(_name, self._missing(keys)), check)
        if self._missing(keys):
            with self._lock() as on_disk:
                self._load(map(_name, self._missing(keys)), check)
                if missing := self._missing(keys):
                    records = _records(list(missing), compute(list(missing.values())))
                    self._memory |= dict(records)
                    if on_disk:
                        self._save(records)
        return [dict(self._memory[key]) for key in keys]

    def keys(self) -> list[str]:
        """Every key that is answered without computing, on disk or in memory, sorted."""
        names = list[str]()
        with self._shelf() as shelf:
            names += shelf
        self._load(names)
        return sorted(self._memory)

    def clear(self) -> int:
        """Forget every entry, on disk and in this process; returns how many there were."""
        names = set(map(_name, self._memory))
        with self._lock() as on_disk:
            if on_disk:
                with self._shelf() as shelf:
                    names |= set(shelf)
                    shelf.clear()
        self._memory.clear()
        return len(names)

    def _missing(self, keys: Sequence[str]) -> dict[str, int]:
        """The keys that are not in memory, each with its first position."""
        missing: dict[str, int] = {}
        for position, key in enumerate(keys):
            if key not in self._memory:
                missing.setdefault(key, position)
        return missing

    @contextmanager
    def _shelf(self) -> Iterator[MutableMapping[str, _Record]]:
        """The shelf; an empty one where the folder cannot be used. If the disk fails inside the block, this ends it with a warning."""
        shelf = _CheckedShelf(_Files(self._folder)) if self._folder and self._is_safe(self._folder) else {}
        try:
            yield shelf
        except OSError as error:
            self._warn("cannot be used", error)

    def _is_safe(self, folder: Path) -> bool:
        """Whether nobody else can put files into the folder, or it is not there yet; warns if it is not so."""
        try:
            distrust = _distrust(folder.lstat()) or _distrust(folder.stat())
        except FileNotFoundError:
            return True
        except OSError as error:
            self._warn("cannot be used", error)
            return False
        if distrust:
            cure = f"Say chmod go-w '{folder}' if it is yours alone" if "mode" in distrust else "Make one of your own"
            self._warn("is not used", f"{distrust}, who could put states of cells there. {cure}, or choose another folder with store=…")
        return not distrust

    def _load(self, names: Iterable[str], check: Callable[[Entry], object] = lambda _: None) -> None:
        """Bring the named records that are there into memory, and say if some are broken."""
        broken = list[object]()
        with self._shelf() as shelf:
            for name in (name for name in names if name in shelf):
                try:
                    record = shelf[name]
                    check(dict(record.entry))
                    self._memory[record.key] = record.entry
                except FileNotFoundError:  # another process has just cleared the store
                    continue
                except Exception as error:  # a made-up record can raise anything
                    broken.append(error)
        if broken:
            self._warn("was damaged", f"{len(broken)} of its entries could not be read ({broken[0]})")

    def _save(self, records: list[_Record]) -> None:
        with self._shelf() as shelf:
            assert self._folder is not None
            for file in self._folder.iterdir():
                if _DRAFT.fullmatch(file.name):  # of a dead process, since all writers hold the lock
                    file.unlink(missing_ok=True)
            for record in records:
                shelf[_name(record.key)] = record

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        """Hold the folder's lock, which dies with the process; False if there is memory only."""
        lock = None
        if self._folder is not None and not self._locked_out and self._is_safe(self._folder):
            try:
                lock = self._locked(self._folder)
            except (OSError, RuntimeError) as error:
                self._locked_out = True
                self._warn("cannot be used", error)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _locked(self, folder: Path) -> BaseFileLock:
        """The folder's lock, once this process has it. Raises OSError if it cannot be had."""
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)  # of this user alone, whatever the umask
        file, holder = folder / "thermalized.lock", folder / "thermalized.holder"
        if os.path.lexists(file) and not stat.S_ISREG(file.lstat().st_mode):
            raise OSError(f"{file.name} is not a regular file")
        # A singleton lets `compute` use the store itself without waiting for its own lock.
        lock = FileLock(file, is_singleton=True)
        nested = lock.is_locked
        try:
            lock.acquire(timeout=min(self.patience, self.lock_seconds))
        except Timeout:
            if self.patience < self.lock_seconds:
                _log.warning("waiting for %s, which computes thermalized cells in %s; at most %g s, then they are computed here as well",
                             _holder(holder), folder, self.lock_seconds)  # fmt: skip
            lock.acquire(timeout=max(self.lock_seconds - self.patience, 0))
        if not nested:
            with suppress(OSError), written_whole(holder, links=False, mode=0o644) as note:
                note.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        return lock

    def _warn(self, trouble: str, reason: object) -> None:
        """Warn once per process, folder and kind of trouble."""
        if (self._folder, trouble) not in _warned:
            _warned.add((self._folder, trouble))
            message = f"the store of thermalized cells in {self._folder} {trouble}: {reason}. "
            warnings.warn(message + _ADVICE[trouble], StoreWarning, stacklevel=2)


def _name(key: str) -> str:
    """What a key is called on the shelf."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _holder(note: Path) -> str:
    """Who holds the lock, as it says."""
    try:
        return _read(note).decode("ascii", "replace")[:200]
    except (OSError, ValueError):
        return "another process"


def _read(path: Path) -> bytes:
    """The bytes of a plain file that nobody else could have written. Raises OSError or ValueError."""
    # A link is not followed, and a pipe is not waited for.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        if distrust := _distrust(status):
            raise ValueError(f"{path.name}: {distrust}")
        return file.read()


def _distrust(status: os.stat_result) -> str:
    """Who else could have written what has this status, empty if nobody; Windows keeps others out in its own ways."""
    if not hasattr(os, "geteuid"):
        return ""
    if status.st_uid not in (os.geteuid(), 0):
        return f"it belongs to another user, {_user(status.st_uid)}"
    if stat.S_ISLNK(status.st_mode):  # the mode of a link means nothing
        return ""
    if status.st_mode & stat.S_IWOTH:
        return f"its mode is {stat.S_IMODE(status.st_mode):o}, so that it can be written by all users"
    if status.st_mode & stat.S_IWGRP and not _of_one_user(status.st_gid, status.st_uid):
        return f"its mode is {stat.S_IMODE(status.st_mode):o}, so that it can be written by all users of group {status.st_gid}"
    return ""


def _user(uid: int) -> str:
    import pwd  # only where there are Unix users

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may know only numbers
        return str(uid)


def _of_one_user(gid: int, uid: int) -> bool:
    """Whether a group is a user's own, as on systems whose umask lets the group write."""
    import grp

    try:
        return gid == uid or grp.getgrgid(gid).gr_name == _user(uid)
    except KeyError:
        return False


def _records(keys: list[str], entries: list[Entry]) -> list[_Record]:
    if len(entries) != len(keys):
        raise ValueError(
            f"compute returned {len(entries)} entries; it must return one for each of the "
            f"{len(keys)} positions it was given: return them in that order"
        )
    return [_Record(key, {name: _plain(name, x) for name, x in entry.items()}) for key, entry in zip(keys, entries, strict=True)]


def _plain(name: str, value: object) -> np.ndarray:
    """The values, on top of immutable bytes, so that nobody can write into them."""
    array = np.asarray(value)
    plain = array.dtype.newbyteorder("<")
    if plain.str not in _DTYPES or not np.isfinite(array).all():
        raise ValueError(
            f"compute returned {name} = {value!r} of type {array.dtype}; every value must be a "
            "finite float32 or float64: convert it, or find out why the cell diverged"
        )
    return np.ndarray(array.shape, plain, array.astype(plain).tobytes())


def _pack(record: _Record) -> bytes:
    """A record as bytes: format, checksum, key and shapes, each on a line, then the numbers."""
    shapes = [(name, x.dtype.str, x.shape) for name, x in record.entry.items()]
    body = json.dumps([record.key, shapes]).encode() + b"\n" + b"".join(x.tobytes() for x in record.entry.values())
    return b"\n".join((_FORMAT, hashlib.sha256(body).hexdigest().encode(), body))


def _unpack(raw: bytes) -> _Record:
    """The record in bytes. Raises an error of any kind if they hold none."""
    form, digest, body = raw.split(b"\n", 2)
    if form != _FORMAT or hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("its layout or its checksum does not fit")
    header, data = body.split(b"\n", 1)
    key, shapes = json.loads(header)
    entry, begin = Entry(), 0
    for name, dtype, shape in shapes:
        if type(name) is not str or dtype not in _DTYPES:
            raise ValueError(f"{name!r} of type {dtype!r} is no variable of a cell")
        end = begin + np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
        entry[name] = np.ndarray(tuple(shape), dtype, data[begin:end])
        if entry[name].nbytes != end - begin or end > len(data) or not np.isfinite(entry[name]).all():
            raise ValueError(f"{name} is not whole, or not finite")
        begin = end
    if begin != len(data):
        raise ValueError("it holds more than its variables")
    return _Record(key, entry)
