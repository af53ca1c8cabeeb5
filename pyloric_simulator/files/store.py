"""Keep the settled state of every cell on disk, so that each is computed only once.

Before a cell joins the circuit it is run alone until it has forgotten where it started. That takes far longer than looking the outcome
up, so this module remembers it: the caller describes all the physics in one string, the *key*, and gets back the cell's state.

The states are in a `shelve.Shelf`, a dictionary whose records are small files of one folder, one for each state:

- However a program ends, a file is there whole or not at all: it is written under another name and renamed.
- A state that is torn, altered, in another's place or none of a cell is never returned, but reported in a `StoreWarning` and computed
  again: a file has a checksum over key and values, and the caller says what a state must be.
- Reading runs no code, even from a file that somebody else prepared: a record is a line of JSON and plain numbers.
- Programs that run at the same time take turns to compute, so that each state is computed once over all. What is there is read
  without waiting.
- A folder, or a file, that others can write or have put there is not used. Where the folder cannot be used, the states live in
  the memory of the process instead: the results are the same, so nothing has to stop for that.
"""

import hashlib
import json
import os
import shelve
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .writing import SHOWN, NotOwnError, OwnFiles, check_own, lock_of, remove_drafts

__all__ = ["Entry", "StoreWarning", "ThermalizationStore"]

Entry = dict[str, np.ndarray]  # name of a state variable -> its values, float32 or float64
Check = Callable[[Entry], object]  # raises an error for what is no state

_FORMAT = b"thermalized cell 2"  # first line of a file, with the version of its layout
_DIGIT, _DIGITS, _SUFFIX = "[0-9a-f]", 64, ".cell"  # of the name of a file
_DTYPES = ("<f4", "<f8")  # little-endian float32 and float64, on every platform
_OLD = "thermalized.[bdt][aim][kprt]"  # files of a store before there was one for each state
_ADVICE = {
    "was damaged": "What is missing is computed again; if this comes back, check the disk or delete the folder.",
    "cannot be used": "Results are right, but stay in memory. Free space, make the folder writable, or choose another folder.",
    "is not used": "Others could put states there: all stay in memory. If it is yours alone, say chmod go-w; else choose another, store=….",
}
_warned: set[tuple[Path | None, str]] = set()  # (folder, trouble) this process has told about


class StoreWarning(UserWarning):
    """The store on disk was damaged or could not be used; the results are right all the same."""


class _Record(NamedTuple):
    """What a file holds."""

    key: str  # in full
    entry: Entry


class _Shelf(shelve.Shelf[_Record]):
    """A shelf whose values are written and read as below, not as pickles."""

    dict: MutableMapping[bytes, bytes]  # of the base class

    def __getitem__(self, name: str) -> _Record:
        record = _unpack(self.dict[name.encode()])
        if _name(record.key) != name:
            raise ValueError("it is the record of another key")
        return record

    def __setitem__(self, name: str, record: _Record) -> None:
        self.dict[name.encode()] = _pack(record)


class ThermalizationStore:
    """Cell states by key, in the files of a folder (made when first needed), or for None in the memory of this process only."""

    lock_seconds: float = 600.0  # s, longest wait for another process that is computing
    patience: float = 2.0  # s, a longer wait is told

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.path = None if folder is None else Path(folder).absolute()  # whether or not it can be used
        self._memory: dict[str, _Record] = {}  # by name, as on the shelf
        self._locked_out = False  # the lock failed once: ask no more, the wait can be long

    def get_or_compute(
        self, keys: Sequence[str], compute: Callable[[list[int]], list[Entry]], check: Check = lambda _: None
    ) -> list[Entry]:
        """Look up the entries of `keys`, and have those computed that are not there yet.

        Args:
            keys: any strings; a repeated one is computed once.
            compute: called at most once, with the positions in `keys` of what is missing; returns one entry each, in that order. Other
                processes that share the folder wait for it. Whatever it raises comes through unchanged, and nothing is stored.
            check: raises an error for what is no state; an entry on disk that does not pass is computed again.

        Returns:
            One entry per key, in order; its arrays have the dtype and shape that `compute` gave them and can never be written to.

        Raises:
            TypeError: `keys` is one string, or holds something that is none.
            ValueError: `compute` returned the wrong number of entries, or one that is not made of finite floats; nothing is stored.
        """
        if isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
            raise TypeError(f"keys is {keys!r}; it must hold only strings: pass a list of str")
        names = [_name(key) for key in keys]
        if self._missing(names, check):
            with self._lock() as folder:
                if missing := self._missing(names, check):
                    new = _records([keys[i] for i in missing], compute(missing))
                    self._memory |= new
                    with self._telling():
                        _shelf(folder).update(new)
        return [dict(self._memory[name].entry) for name in names]

    def keys(self) -> list[str]:
        """Every key that is answered without computing, on disk or in memory, sorted."""
        with self._telling():
            self._load(list(_shelf(self._own_folder())))
        return sorted(record.key for record in self._memory.values())

    def clear(self) -> int:
        """Forget every entry, on disk and in this process; returns how many there were."""
        with self._lock() as folder, self._telling():
            shelf = _shelf(folder)
            names = {*self._memory, *shelf}
            for name in list(shelf):
                del shelf[name]
            for old in folder.glob(_OLD) if folder else ():
                old.unlink()
        self._memory.clear()
        return len(names)

    def _missing(self, names: list[str], check: Check) -> list[int]:
        """First positions of the names that are neither in memory nor on disk; from there they are brought into memory."""
        first = {name: i for i, name in reversed(list(enumerate(names))) if name not in self._memory}
        self._load(first, check)
        return sorted(i for name, i in first.items() if name not in self._memory)

    def _load(self, names: Iterable[str], check: Check = lambda _: None) -> None:
        """Bring the named records that are on disk into memory, and say if some are broken."""
        shelf, broken = _shelf(self._own_folder()), list[object]()
        for name in (name for name in names if name in shelf):
            try:
                record = shelf[name]
                check(dict(record.entry))
                self._memory[name] = record
            except FileNotFoundError:  # another process has just cleared the store
                continue
            except Exception as error:  # a made-up record can raise anything
                broken.append(error)
        if broken:
            self._warn("was damaged", f"{len(broken)} of its entries could not be read ({broken[0]})")

    def _own_folder(self) -> Path | None:
        """The folder, where nobody else can put files, or it is not there yet; else None, with a warning."""
        own = None
        with self._telling():
            if self.path is not None:
                check_own(self.path)
            own = self.path
        return own  # noqa: RET504 (the block can end before)

    @contextmanager
    def _lock(self) -> Iterator[Path | None]:
        """Hold the folder's lock, which dies with the process; gives the folder, or None if there is memory only."""
        held: AbstractContextManager[object] | None = None
        folder = None if self._locked_out else self._own_folder()
        if folder is not None:
            with self._telling():
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)  # of this user alone, whatever the umask
                doing = f"computing thermalized cells in {folder}"
                held = lock_of(folder / "thermalized.lock", self.lock_seconds, self.patience, doing)
                remove_drafts(folder, _DIGIT * SHOWN)  # of dead processes, since all writers hold the lock
            self._locked_out = held is None
        with held or nullcontext():
            yield folder if held else None

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Where the disk fails, or the folder is not the user's own, this ends the block with a warning."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            self._warn("is not used" if isinstance(error, NotOwnError) else "cannot be used", error)

    def _warn(self, trouble: str, reason: object) -> None:
        """Warn once per process, folder and kind of trouble."""
        if (self.path, trouble) not in _warned:
            _warned.add((self.path, trouble))
            message = f"the store of thermalized cells in {self.path} {trouble}: {reason}. {_ADVICE[trouble]}"
            warnings.warn(message, StoreWarning, stacklevel=2)


def _shelf(folder: Path | None) -> _Shelf:
    """The shelf in a folder, or one in memory, which is empty."""
    return _Shelf({} if folder is None else OwnFiles(folder, _DIGIT * _DIGITS, _SUFFIX))


def _name(key: str) -> str:
    """What a key is called on the shelf."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _records(keys: list[str], entries: list[Entry]) -> dict[str, _Record]:
    """What was computed, by name. Raises ValueError for what is no state."""
    if len(entries) != len(keys):
        raise ValueError(
            f"compute returned {len(entries)} entries for {len(keys)} positions; return one for each, in their order"
        )
    plain = [{name: _plain(name, x) for name, x in entry.items()} for entry in entries]
    return {_name(key): _Record(key, entry) for key, entry in zip(keys, plain, strict=True)}


def _plain(name: str, value: object) -> np.ndarray:
    """The values, on top of immutable bytes, so that nobody can write into them. Raises ValueError for what no cell has."""
    array = np.asarray(value)
    plain = array.dtype.newbyteorder("<")
    if plain.str not in _DTYPES or not np.isfinite(array).all():
        raise ValueError(
            f"the state of a cell has {name} = {value!r} of type {array.dtype}; every value must be a "
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
    if any(dtype not in _DTYPES for _, dtype, _ in shapes):
        raise ValueError("it holds what is no variable of a cell")
    layout = np.dtype([(name, dtype, tuple(shape)) for name, dtype, shape in shapes])
    if layout.itemsize != len(data):
        raise ValueError("it is not as long as its variables")
    values = np.ndarray((), layout, data)
    return _Record(key, {name: _plain(name, values[name]) for name in layout.names or ()})
