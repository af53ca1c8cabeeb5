"""Data that tell whether a bit of them has changed: they hold a checksum of all their bytes, its own place counting as zeros.

Mechanics of runs of the database and of checkpoints.
"""

from __future__ import annotations

import hashlib

DIGITS = 64  # of SHA-256
OF_FILE, OF_FACTS = (
    b"sha256 of the file:",
    b"sha256 of the facts:",
)  # before the digits of a checksum, so that one may contain the other


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
