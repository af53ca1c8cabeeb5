"""Files of instruments, made for the tests: Axon's first format, byte by byte, and NWB."""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

BLOCK, BLOCKS, RESOLUTION, RANGE = 512, 12, 2**15, 10.0  # bytes, of the head, steps, V


def write_abf(
    path: Path, channels: Mapping[str, tuple[str, np.ndarray]], rate: float, *,
    largest: float = 128.0, sweeps: int = 1, starts: Sequence[float] = (),
) -> float:  # fmt: skip
    """Channels (unit, samples), one rate in Hz for each, in an .abf file; returns the smallest difference of two samples, in their units.

    largest: what 16 bits hold; starts: ms, of each sweep.
    """
    step, n = largest / RESOLUTION, len(channels)
    whole = np.stack([np.round(x / step) for _, x in channels.values()], 1).astype("<i2")
    head = bytearray(BLOCKS * BLOCK)
    put = lambda form, at, *x: struct.pack_into("<" + form, head, at, *x)  # noqa: E731
    put("4sfh", 0, b"ABF ", 1.3, 5 if sweeps > 1 else 3)
    put("i", 10, whole.size)
    put("i", 16, sweeps)
    put("i", 40, BLOCKS)
    put("h", 120, n)
    put("f", 122, 1e6 / rate / n)
    put("i", 138, whole.size // sweeps)
    put("f", 244, RANGE)
    put("i", 252, RESOLUTION)
    for k in range(16):
        put("h", 410 + 2 * k, k if k < n else -1)
        put("f", 730 + 4 * k, 1.0)
        put("f", 922 + 4 * k, RANGE / RESOLUTION / step)
        put("f", 1050 + 4 * k, 1.0)
    for k, (name, (unit, _)) in enumerate(channels.items()):
        put("10s", 442 + 10 * k, name.encode().ljust(10))
        put("8s", 602 + 8 * k, unit.encode("latin-1").ljust(8))
    data = whole.tobytes()
    data += b"\0" * (-len(data) % BLOCK)
    if starts:
        synch = np.array([[round(s * rate / 1e3), whole.size // sweeps] for s in starts], "<i4")
        put("i", 92, BLOCKS + len(data) // BLOCK)
        put("i", 96, len(starts))
        data += synch.tobytes()
    path.write_bytes(bytes(head) + data)
    return step


def nwb_file(**about: Any) -> Any:
    """An empty NWB file in memory."""
    import pynwb

    given = {"session_description": "made", "identifier": "x", "session_start_time": datetime(2026, 1, 1, tzinfo=UTC)}
    return pynwb.NWBFile(**(given | about))


def electrode_of(nwb: Any) -> Any:
    """An intracellular electrode."""
    device = nwb.devices.get("rig") or nwb.create_device("rig")
    found = nwb.icephys_electrodes.get("e") if nwb.icephys_electrodes else None
    return found or nwb.create_icephys_electrode(name="e", description="sharp", device=device)


def write_nwb(path: Path, nwb: Any) -> None:
    """Write a file in memory to disk."""
    import pynwb

    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)
