"""Files that are complete or not there, and that tell whether a bit of them has changed.

Mechanics of runs of the database and of checkpoints. A file gets its name when it is complete, so that a process that is killed leaves the
old file, or none. A sealed file holds a checksum of all its bytes, its own place counting as zeros.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

DIGITS = 64  # of SHA-256
OF_FILE, OF_FACTS = b"sha256 of the file:", b"sha256 of the facts:"  # before the digits of a checksum, so that one may contain the other


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, so that it has its name only when it is complete. Raises OSError and leaves nothing behind if it cannot be."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def remove_drafts(folder: Path, pattern: str) -> None:
    """Remove what killed processes have left of files whose names fit a pattern."""
    for draft in folder.glob(f".{pattern}.*"):
        draft.unlink(missing_ok=True)


def blank(name: bytes = OF_FILE) -> bytes:
    """What data hold before they are sealed."""
    return name + b"0" * DIGITS


def is_sealed(data: bytes, name: bytes = OF_FILE) -> bool:
    """Whether there is a checksum."""
    return name in data


def sealed(data: bytes, name: bytes = OF_FILE) -> bytes:
    """The data with their checksum in the place of the last one, such as a `blank`."""
    at = data.rfind(name) + len(name)
    digits = hashlib.sha256(data[:at] + b"0" * DIGITS + data[at + DIGITS :]).hexdigest()
    return data[:at] + digits.encode() + data[at + DIGITS :]


def is_intact(data: bytes, name: bytes = OF_FILE) -> bool:
    """Whether no bit of sealed data has changed."""
    return is_sealed(data, name) and sealed(data, name) == data
