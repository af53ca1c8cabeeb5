"""Keep the settled state of every cell on disk, so that each is computed only once.

Before a cell joins the circuit it is run alone until it has forgotten where it started. That takes
far longer than looking the outcome up, so this module remembers it: the caller describes all the
physics in one string, the *key*, and gets back the cell's state, computed now or long before.

The states are in a `shelve.Shelf`, a dictionary kept in a few files of one folder, and these hold
however a program ends:

- A state that is torn, altered or in another's place is never returned: each carries a checksum
  over itself and its key. What fails it is reported in a `StoreWarning` and computed again.
- Reading runs no code, even from a file that somebody else prepared: a record may name no function
  or class, and no line of the index is used that does not have the one shape written here.
- Programs running at the same time take turns, so that each state is computed once over all.
- Where the folder cannot be used, the states live in the memory of the process instead.
"""

import dbm.dumb
import hashlib
import io
import os
import pickle
import re
import shelve
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from filelock import FileLock

__all__ = ["Entry", "StoreWarning", "ThermalizationStore"]

Entry = dict[str, np.ndarray]  # name of a state variable -> its values, float32 or float64
_Packed = dict[str, tuple[str, tuple[int, ...], bytes]]  # name -> (dtype, shape, raw bytes)
_Record = tuple[int, str, _Packed]  # (format version, full key, packed entry)

_FORMAT = 1  # version of the record's layout
_DTYPES = ("<f4", "<f8")  # little-endian float32 and float64, on every platform
_DIGEST_BYTES = hashlib.sha256().digest_size
# '<sha256 of the key>', (<position in the data>, <bytes>)
_INDEX_LINE = re.compile(rb"'([0-9a-f]{64})', \((0|[1-9]\d{0,15}), (0|[1-9]\d{0,15})\)")
_ADVICE = {
    "was damaged": "What is missing is computed again, and nothing needs to be done; if this comes "
    "back, check the disk or delete the folder.",
    "cannot be used": "The results are right, but are kept only in the memory of this process. To "
    "keep them, free space on the disk, make the folder writable, or choose another folder.",
}
_warned: set[tuple[Path | None, str]] = set()  # (folder, trouble) this process has told about


class StoreWarning(UserWarning):
    """The store on disk was damaged or could not be used; the results are right all the same."""


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, strings, bytes, tuples and dictionaries, and nothing that could run."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"a record may not name {module}.{name}")


class _CheckedShelf(shelve.Shelf[_Record]):
    """A shelf whose values start with a checksum over their name and content."""

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self._database = database

    def __getitem__(self, name: str) -> _Record:
        raw: bytes = self._database[name]
        digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if digest != _digest(name, body):
            raise ValueError("the checksum does not fit")
        record: _Record = _PlainUnpickler(io.BytesIO(body)).load()
        return record

    def __setitem__(self, name: str, record: _Record) -> None:
        body = pickle.dumps(record)
        self._database[name] = _digest(name, body) + body

    def close(self) -> None:
        """Commit once: even if that fails, garbage collection has nothing left to try or print."""
        try:
            self._database.close()
        finally:
            super().close()


class ThermalizationStore:
    """Cell states by key, in the files of one folder or in memory only.

    Args:
        folder: where the files are; made when first needed. None keeps everything in the memory
            of this process.
    """

    lock_seconds: float = 600.0  # s, longest wait for another process that is computing

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self._folder = None if folder is None else Path(folder).absolute()
        self._memory: dict[str, Entry] = {}  # by full key
        self._locked_out = False  # the lock failed once: ask no more, the wait can be long

    @property
    def path(self) -> Path | None:
        """The folder, whether or not it can be used; None for a store in memory."""
        return self._folder

    def get_or_compute(
        self, keys: Sequence[str], compute: Callable[[list[int]], list[Entry]]
    ) -> list[Entry]:
        """Look up the entries of `keys`, and have those computed that are not there yet.

        Args:
            keys: any strings; a repeated one is computed once.
            compute: called at most once, with the positions in `keys` of what is missing; returns
                one entry each, in that order. Other processes that share the folder wait for it.
                Whatever it raises comes through unchanged, and nothing is stored.

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
        if self._missing(keys):
            with self._lock() as on_disk:
                if on_disk:
                    self._load({_name(key) for key in self._missing(keys)})
                if missing := self._missing(keys):
                    records = _records(list(missing), compute(list(missing.values())))
                    self._memory |= {key: _unpack(packed) for _, key, packed in records}
                    if on_disk:
                        self._save(records)
        return [dict(self._memory[key]) for key in keys]

    def keys(self) -> list[str]:
        """Every key that is answered without computing, on disk or in memory, sorted."""
        with self._lock() as on_disk:
            if on_disk:
                self._load(None)
        return sorted(self._memory)

    def clear(self) -> int:
        """Forget every entry, on disk and in this process; returns how many there were."""
        names = {_name(key).encode() for key in self._memory}
        with self._lock() as on_disk, self._or_memory():
            if on_disk:
                names |= _read_index(self._file(".dir"), _size(self._file(".dat")))[0].keys()
                for suffix in (".bak", ".dir", ".dat", ".tmp"):
                    self._file(suffix).unlink(missing_ok=True)
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
    def _lock(self) -> Iterator[bool]:
        """Hold the folder's lock, which dies with the process; False if there is memory only."""
        lock = None
        if self._folder is not None and not self._locked_out:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                # A singleton lets `compute` use the store itself without waiting for its own lock.
                candidate = FileLock(self._file(".lock"), is_singleton=True)
                candidate.acquire(timeout=self.lock_seconds)
                lock = candidate
            except (OSError, RuntimeError) as error:
                self._locked_out = True
                self._warn("cannot be used", error)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    @contextmanager
    def _or_memory(self) -> Iterator[None]:
        """Go on with what is in memory where the disk fails."""
        try:
            yield
        except OSError as error:
            self._warn("cannot be used", error)

    def _load(self, names: set[str] | None) -> None:
        """Bring the named records, or all, into memory; drop from the shelf what is broken."""
        broken = 0
        with self._or_memory(), self._shelf() as shelf:
            for name in set(shelf) if names is None else names & set(shelf):
                try:
                    version, key, packed = shelf[name]
                    if version != _FORMAT or _name(key) != name:
                        raise ValueError("another layout, or the record of another key")
                    self._memory[key] = _unpack(packed)
                except Exception:  # a made-up record can raise anything
                    broken += 1
                    del shelf[name]
        if broken:
            self._warn("was damaged", f"{broken} of its entries could not be read")

    def _save(self, records: list[_Record]) -> None:
        with self._or_memory(), self._shelf() as shelf:
            for record in records:
                shelf[_name(record[1])] = record

    @contextmanager
    def _shelf(self) -> Iterator[_CheckedShelf]:
        """The open shelf, on a sound index; on leaving, what was written is safe on the disk."""
        self._mend()
        with _CheckedShelf(dbm.dumb.open(os.fspath(self._file("")))) as shelf:
            yield shelf
        backup = self._file(".bak")
        if backup.exists():  # dbm.dumb commits by renaming the old index to this one
            for suffix in (".dat", ".dir"):
                with self._file(suffix).open("rb+") as file:
                    os.fsync(file.fileno())
            backup.unlink()

    def _mend(self) -> None:
        """Make the index one that `dbm.dumb` can read: sound lines only, all within the data.

        A backup is there only if a process died while it committed, and then it may hold lines
        that the index has lost. A line too many does no harm: every record is checked.
        """
        data, index, backup = (self._file(suffix) for suffix in (".dat", ".dir", ".bak"))
        size = _size(data)
        lines, sound = _read_index(index, size)
        merged = _read_index(backup, size)[0] | lines
        if sound and len(merged) == len(lines) and (merged or not size):
            return
        fresh = self._file(".tmp")
        fresh.write_bytes(b"".join(line + b"\n" for line in merged.values()))
        fresh.replace(index)
        backup.unlink(missing_ok=True)
        if not merged:
            data.unlink(missing_ok=True)
        self._warn("was damaged", f"its index was incomplete; {len(merged)} entries were kept")

    def _file(self, suffix: str) -> Path:
        assert self._folder is not None
        return self._folder / f"thermalized{suffix}"

    def _warn(self, trouble: str, reason: object) -> None:
        """Warn once per process, folder and kind of trouble."""
        if (self._folder, trouble) not in _warned:
            _warned.add((self._folder, trouble))
            message = f"the store of thermalized cells in {self._folder} {trouble}: {reason}. "
            warnings.warn(message + _ADVICE[trouble], StoreWarning, stacklevel=2)


def _name(key: str) -> str:
    """What a key is called on the shelf."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _digest(name: str, body: bytes) -> bytes:
    return hashlib.sha256(name.encode() + body).digest()


def _size(path: Path) -> int:
    """Bytes in a regular file, 0 if there is none; reading anything else could block for ever."""
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is not a regular file")
    return path.stat().st_size if path.exists() else 0


def _read_index(path: Path, data_size: int) -> tuple[dict[bytes, bytes], bool]:
    """The sound lines of an index by name, and whether it has no others."""
    raw = path.read_bytes() if _size(path) else b""
    found = [_INDEX_LINE.fullmatch(line) for line in raw.splitlines()]
    lines = {m[1]: m[0] for m in found if m and int(m[2]) + int(m[3]) <= data_size}
    return lines, len(lines) == len(found) and raw[-1:] in (b"", b"\n")


def _records(keys: list[str], entries: list[Entry]) -> list[_Record]:
    if len(entries) != len(keys):
        raise ValueError(
            f"compute returned {len(entries)} entries; it must return one for each of the "
            f"{len(keys)} positions it was given: return them in that order"
        )
    return [(_FORMAT, key, _pack(entry)) for key, entry in zip(keys, entries, strict=True)]


def _pack(entry: Entry) -> _Packed:
    packed: _Packed = {}
    for name, value in entry.items():
        array = np.asarray(value)
        plain = array.dtype.newbyteorder("<")
        if plain.str not in _DTYPES or not np.isfinite(array).all():
            raise ValueError(
                f"compute returned {name} = {value!r} of type {array.dtype}; every value must be a "
                "finite float32 or float64: convert it, or find out why the cell diverged"
            )
        packed[name] = (plain.str, array.shape, array.astype(plain).tobytes())
    return packed


def _unpack(packed: _Packed) -> Entry:
    """The entry, on top of the immutable bytes, so that nobody can write into it."""
    entry: Entry = {}
    for name, (dtype, shape, raw) in packed.items():
        if type(name) is not str or dtype not in _DTYPES:
            raise ValueError(f"{name!r} of type {dtype!r} is no variable of a cell")
        array: np.ndarray = np.ndarray(shape, dtype, raw)
        if array.shape != shape or array.nbytes != len(raw) or not np.isfinite(array).all():
            raise ValueError(f"{name} is not whole, or not finite")
        entry[name] = array
    return entry
