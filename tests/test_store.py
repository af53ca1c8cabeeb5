"""The store of thermalized cells: nothing wrong, nothing twice, and no crash, whatever happens.

The entries are a function of their key, so every value that is read can be told right from wrong.
Run as a script, this file is one of the processes that the tests start, limit and kill.
"""

import hashlib
import json
import os
import pickle
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from pyloric_simulator.files.store import StoreWarning, ThermalizationStore

ROOT = Path(__file__).parents[1]
KEYS = [f'{{"cell": {i}, "note": "Ca²⁺ \\n\ud800"}}' for i in range(6)]


def file_of(folder: Path, key: str) -> Path:
    """The file in which the entry of a key is kept."""
    return folder / (hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest() + ".cell")


def expected(key: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(list(key.encode("utf-8", "surrogatepass")))
    return {
        "V": rng.normal(-60.0, 10.0, ()),
        "m": rng.random(7),
        "h": rng.random((2, 2)).astype(np.float32),
        "none": np.empty((0, 3)),
    }


class Computer:
    """Computes `expected` for the keys it was made with, and remembers every call."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.calls: list[list[int]] = []

    def __call__(self, positions: list[int]) -> list[dict[str, np.ndarray]]:
        self.calls.append(positions)
        return [expected(self.keys[i]) for i in positions]


def fetch(folder: Path | None, keys: list[str]) -> list[str]:
    """Get the keys through a new store, check every value; returns the keys that were computed."""
    computer = Computer(keys)
    check(keys, ThermalizationStore(folder).get_or_compute(keys, computer))
    return [keys[i] for call in computer.calls for i in call]


def check(keys: list[str], entries: list[dict[str, np.ndarray]]) -> None:
    assert len(keys) == len(entries)
    for key, entry in zip(keys, entries, strict=True):
        right = expected(key)
        assert list(entry) == list(right)
        for name, value in right.items():
            assert (entry[name].dtype, entry[name].shape) == (value.dtype, value.shape)
            assert entry[name].tobytes() == value.tobytes()


def refuse(positions: list[int]) -> list[dict[str, np.ndarray]]:
    raise AssertionError(f"{positions} should have been found")


STARTED: list["subprocess.Popen[str]"] = []


@pytest.fixture(autouse=True)
def _no_process_stays() -> Iterator[None]:
    """Also where a test fails."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def start(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        **options,
    )
    STARTED.append(process)
    return process


def finish(process: "subprocess.Popen[str]") -> str:
    """Wait for a process that must succeed; returns what it complained about."""
    output, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, output + complaints
    return complaints


# --- what it does when all is well ------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [True, False])
def test_each_missing_key_is_computed_once_and_order_is_kept(tmp_path: Path, on_disk: bool) -> None:
    store = ThermalizationStore(tmp_path / "new" / "folder" if on_disk else None)
    assert store.path == (tmp_path / "new" / "folder" if on_disk else None)
    asked = [KEYS[2], KEYS[0], KEYS[2], KEYS[1], KEYS[0]]
    first, again = Computer(asked), Computer(KEYS)
    check(asked, store.get_or_compute(asked, first))
    check(KEYS, store.get_or_compute(KEYS, again))
    assert (first.calls, again.calls) == ([[0, 1, 3]], [[3, 4, 5]])
    check(KEYS[::-1], store.get_or_compute(KEYS[::-1], refuse))
    assert store.get_or_compute([], refuse) == []
    assert store.keys() == sorted(KEYS)
    assert fetch(store.path, KEYS) == ([] if on_disk else KEYS)


def test_memory_is_asked_before_the_disk(tmp_path: Path) -> None:
    store = ThermalizationStore(tmp_path / "store")
    store.get_or_compute(KEYS, Computer(KEYS))
    shutil.rmtree(tmp_path / "store")
    check(KEYS, store.get_or_compute(KEYS, refuse))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read", [True, False])
def test_a_caller_cannot_change_what_is_remembered(tmp_path: Path, read: bool) -> None:
    fetch(tmp_path, KEYS if read else KEYS[:1])
    store = ThermalizationStore(tmp_path)
    one, other, _ = store.get_or_compute([KEYS[1], KEYS[1], KEYS[2]], Computer(KEYS[1:2] * 2 + KEYS[2:3]))
    with pytest.raises(ValueError, match="read-only"):
        one["m"][0] = 0.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        one["m"].setflags(write=True)
    one["V"] = np.array(0.0)
    check([KEYS[1], KEYS[1]], [other, *store.get_or_compute([KEYS[1]], refuse)])


def test_what_compute_keeps_is_not_what_is_remembered(tmp_path: Path) -> None:
    mine = [expected(KEYS[0])]
    store = ThermalizationStore(tmp_path)
    store.get_or_compute(KEYS[:1], lambda _: mine)
    mine[0]["m"][:] = 0.0
    check(KEYS[:1], store.get_or_compute(KEYS[:1], refuse))


def test_clear_forgets_disk_and_memory(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS[:4])
    store = ThermalizationStore(tmp_path)
    store.get_or_compute(KEYS[3:], Computer(KEYS[3:]))
    assert store.clear() == len(KEYS)
    assert (store.clear(), store.keys(), fetch(tmp_path, KEYS)) == (0, [], KEYS)
    memory = ThermalizationStore(None)
    memory.get_or_compute(KEYS, Computer(KEYS))
    assert (memory.clear(), memory.clear(), memory.keys()) == (len(KEYS), 0, [])


def test_clear_takes_what_is_damaged_or_of_an_older_version(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS[:2])
    file_of(tmp_path, KEYS[0]).write_bytes(b"")
    for suffix in ("bak", "dat", "dir", "tmp"):
        (tmp_path / f"thermalized.{suffix}").write_text("'x', (0, 10)\n")
    (tmp_path / "notes.dat").write_text("mine")
    assert fetch(tmp_path, KEYS[1:2]) == []
    assert ThermalizationStore(tmp_path).clear() == 2
    assert {path.name for path in tmp_path.iterdir()} - {"thermalized.lock"} == {"notes.dat", "thermalized.holder"}


def test_any_byte_order_and_layout_comes_back_native(tmp_path: Path) -> None:
    given = np.arange(6.0).reshape(2, 3).T
    for kind in (">f8", "<f8", ">f4", "<f4"):
        store = ThermalizationStore(tmp_path / kind[1:] / ("big" if kind[0] == ">" else "little"))
        (entry,) = store.get_or_compute(["x"], lambda _, kind=kind: [{"x": given.astype(kind)}])
        assert entry["x"].dtype == np.dtype(kind[1:])
        np.testing.assert_array_equal(entry["x"], given)


@pytest.mark.parametrize("error", [OSError(28, "not the store's"), KeyError("x"), StopIteration()])
def test_an_error_in_compute_comes_through_and_nothing_is_stored(tmp_path: Path, error: Exception) -> None:
    def fail(_: list[int]) -> list[dict[str, np.ndarray]]:
        raise error

    store = ThermalizationStore(tmp_path)
    with pytest.raises(type(error)) as caught:
        store.get_or_compute(KEYS, fail)
    assert caught.value is error
    assert store.keys() == []
    check(KEYS, store.get_or_compute(KEYS, Computer(KEYS)))
    assert fetch(tmp_path, KEYS) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "returned 0 entries"),
        ([expected(KEYS[0])] * 3, "returned 3 entries"),
        ([expected(KEYS[0]), {"V": np.array(np.nan)}], "V = array.nan. of type float64"),
        ([expected(KEYS[0]), {"m": np.array([1.0, -np.inf], np.float32)}], "m = "),
        ([expected(KEYS[0]), {"m": np.arange(3)}], "of type int64"),
        ([expected(KEYS[0]), {"m": np.ones(3, np.float16)}], "of type float16"),
        ([expected(KEYS[0]), {"m": np.ones(3, complex)}], "of type complex128"),
        ([expected(KEYS[0]), {"m": np.array([None])}], "of type object"),
        ([expected(KEYS[0]), {"m": "-60"}], "of type <U3"),
    ],
)
def test_what_is_no_state_is_refused(tmp_path: Path, entries: list[Any], message: str) -> None:
    store = ThermalizationStore(tmp_path)
    with pytest.raises(ValueError, match=message):
        store.get_or_compute(KEYS[:2], lambda _: entries)
    assert store.keys() == []
    assert fetch(tmp_path, KEYS[:2]) == KEYS[:2]


@pytest.mark.parametrize("keys", ["one key", [KEYS[0], 7], [b"x"], [None]])
def test_keys_are_strings(keys: Any) -> None:
    with pytest.raises(TypeError, match=r"keys is .* must hold only strings: pass a list of str"):
        ThermalizationStore(None).get_or_compute(keys, refuse)


# --- several at once --------------------------------------------------------------------------


def test_compute_may_use_the_store_itself(tmp_path: Path) -> None:
    store = ThermalizationStore(tmp_path)

    def nested(positions: list[int]) -> list[dict[str, np.ndarray]]:
        check(KEYS[:2], store.get_or_compute(KEYS[:2], Computer(KEYS)))
        check(KEYS[1:3], ThermalizationStore(tmp_path).get_or_compute(KEYS[1:3], Computer(KEYS[1:])))
        return Computer(KEYS)(positions)

    begin = time.perf_counter()
    check(KEYS, store.get_or_compute(KEYS, nested))
    assert time.perf_counter() - begin < 10
    assert fetch(tmp_path, KEYS) == []


def test_threads_compute_each_key_once(tmp_path: Path) -> None:
    computer, found = Computer(KEYS), []

    def slow(positions: list[int]) -> list[dict[str, np.ndarray]]:
        time.sleep(0.05)
        return computer(positions)

    def work() -> None:
        found.append(ThermalizationStore(tmp_path).get_or_compute(KEYS, slow))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert computer.calls == [list(range(len(KEYS)))]
    assert len(found) == 4
    for entries in found:
        check(KEYS, entries)


def test_processes_compute_each_key_once(tmp_path: Path) -> None:
    workers = [start("share", tmp_path, seed) for seed in range(4)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    assert [finish(worker) for worker in workers] == [""] * 4
    assert sorted((tmp_path / "log").read_text().split()) == sorted(shared_keys())
    assert fetch(tmp_path / "store", shared_keys()) == []


def shared_keys() -> list[str]:
    return [f"shared-{i}" for i in range(20)]


def share(folder: Path, seed: int) -> None:
    """Ask for 20 keys in an own order, five at a time; log each that is computed."""
    keys = random.Random(seed).sample(shared_keys(), 20)
    print("ready", flush=True)
    while not (folder / "go").exists():
        time.sleep(0.001)
    for first in range(0, 20, 5):
        some = keys[first : first + 5]

        def compute(positions: list[int], some: list[str] = some) -> list[dict[str, np.ndarray]]:
            with (folder / "log").open("a") as log:
                log.writelines(some[i] + "\n" for i in positions)
            time.sleep(0.02)
            return Computer(some)(positions)

        check(some, ThermalizationStore(folder / "store").get_or_compute(some, compute))


def test_a_lock_is_not_waited_for_for_ever_and_ends_with_its_process(tmp_path: Path) -> None:
    holder = start("hold", tmp_path)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    store = ThermalizationStore(tmp_path)
    store.lock_seconds = 0.5
    with pytest.warns(StoreWarning, match=r"thermalized\.lock.* could not be acquired"):
        check(KEYS[:2], store.get_or_compute(KEYS[:2], Computer(KEYS)))
    begin = time.perf_counter()
    check(KEYS[2:], store.get_or_compute(KEYS[2:], Computer(KEYS[2:])))
    assert time.perf_counter() - begin < store.lock_seconds
    holder.kill()
    holder.communicate()
    assert fetch(tmp_path, KEYS) == KEYS
    assert fetch(tmp_path, KEYS) == []


def test_who_waits_is_told_for_whom(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = start("slow", tmp_path)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    store = ThermalizationStore(tmp_path)
    store.patience = 0.2
    check(KEYS, store.get_or_compute(KEYS, refuse))
    finish(worker)
    (told,) = caplog.messages
    assert f"waiting for process {worker.pid} on " in told
    assert f"{tmp_path}; at most 600 s" in told
    caplog.clear()
    fetch(tmp_path, [*KEYS, "more"])
    assert not caplog.messages


def slow(folder: Path) -> None:
    """Compute all keys, and take a second for it."""

    def compute(positions: list[int]) -> list[dict[str, np.ndarray]]:
        print("ready", flush=True)
        time.sleep(1)
        return Computer(KEYS)(positions)

    ThermalizationStore(folder).get_or_compute(KEYS, compute)


def hold(folder: Path) -> None:
    with FileLock(folder / "thermalized.lock"):
        print("ready", flush=True)
        time.sleep(60)


# --- killed -----------------------------------------------------------------------------------


def test_killed_at_random_while_another_reads(tmp_path: Path) -> None:
    rng, seen = random.Random(1), set[str]()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for turn in range(15):
            writer = start("write", tmp_path, turn)
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            killer = threading.Timer(rng.uniform(0.01, 0.15), writer.kill)
            killer.start()
            alive = True
            while alive:
                alive = writer.poll() is None
                store = ThermalizationStore(tmp_path)
                keys = store.keys()
                check(keys, store.get_or_compute(keys, refuse))
                assert seen <= set(keys), "an entry that was on the disk is gone"
                seen |= set(keys)
            killer.join()
            assert (writer.communicate()[1], writer.returncode) == ("", -signal.SIGKILL)
    assert {warning.category for warning in caught} <= {StoreWarning}
    assert len(seen) > 100, "the writers hardly wrote"


def write(folder: Path, turn: int) -> None:
    store = ThermalizationStore(folder)
    fetch(folder, [f"{turn}/0"])
    print("ready", flush=True)
    warnings.simplefilter("ignore", StoreWarning)
    for batch in range(1, sys.maxsize):
        keys = [f"{turn}/{batch}/{i}" for i in range(3)]
        check(keys, store.get_or_compute(keys, Computer(keys)))


def test_killed_before_each_step_on_the_disk(tmp_path: Path) -> None:
    process = start("steps", tmp_path)
    output, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    steps, fewest, most = map(int, output.split())
    assert steps >= 8
    assert (fewest, most) == (1, 3), "no kill fell between two of the three entries"


def steps(folder: Path) -> None:
    """Kill a child that adds three entries to three, before its 1st, 2nd ... access to a file."""
    lost = set[int]()
    warnings.simplefilter("error")
    for step in range(1, 100):
        place = folder / str(step)
        fetch(place, KEYS[:3])
        child = os.fork()
        if child == 0:
            try:
                die_before(step, place)
                fetch(place, KEYS)
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in {0, -signal.SIGKILL}
        computed = fetch(place, KEYS)
        assert set(computed) <= set(KEYS[3:]), f"an old entry was lost at step {step}"
        assert fetch(place, KEYS) == []
        if computed:
            lost.add(len(computed))
            assert not list(place.glob(".*")), "a draft was left"
        if code == 0:
            assert computed == []
            print(step - 1, min(lost), max(lost))
            return


def die_before(step: int, place: Path) -> None:
    left = step

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in {"open", "os.rename", "os.remove", "os.chmod", "os.listdir", "os.mkdir"}:
            path = arguments[0]
            left -= not isinstance(path, int) and str(place) in os.fsdecode(path)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


# --- damaged ----------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 10, 90, 300, -1])
def test_a_cut_file_costs_only_its_entry(tmp_path: Path, left: int) -> None:
    fetch(tmp_path, KEYS)
    file = file_of(tmp_path, KEYS[3])
    whole = file.read_bytes()
    file.write_bytes(whole[:left])
    with pytest.warns(StoreWarning, match="was damaged: 1 of its entries could not be read"):
        assert fetch(tmp_path, KEYS) == [KEYS[3]]
    assert fetch(tmp_path, KEYS) == []
    assert file.read_bytes() == whole


def test_a_lost_file_costs_only_its_entry(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS)
    file_of(tmp_path, KEYS[3]).unlink()
    assert fetch(tmp_path, KEYS) == [KEYS[3]]


def test_each_flipped_bit_is_found(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS[:1])
    file = file_of(tmp_path, KEYS[0])
    whole = file.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        for bit in range(0, 8 * len(whole), 7):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            file.write_bytes(flipped)
            assert fetch(tmp_path, KEYS[:1]) == KEYS[:1]
    assert file.read_bytes() == whole


def test_random_damage_never_harms(tmp_path: Path) -> None:
    rng = random.Random(2)
    fetch(tmp_path / "whole", KEYS)
    (tmp_path / "whole" / "thermalized.lock").touch()
    files = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert len(files) == 8
    warned = 0
    for turn in range(200):
        place = tmp_path / str(turn)
        shutil.copytree(tmp_path / "whole", place)
        for name in rng.sample(files, rng.choice([1, 1, 2, 4])):
            damage(rng, place / name)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fetch(place, KEYS)
            assert fetch(place, KEYS) == [], "what was damaged was not mended"
            store = ThermalizationStore(place)
            assert store.keys() == sorted(KEYS)
        assert all(issubclass(warning.category, StoreWarning) for warning in caught)
        assert len(caught) <= 1
        warned += len(caught)
    assert warned > 50


def damage(rng: random.Random, file: Path) -> None:
    raw = bytearray(file.read_bytes())
    for _ in range(rng.choice([1, 1, 3, 10])):
        at = rng.randrange(len(raw) + 1)
        until = min(len(raw), at + rng.choice([1, 1, 1, 8, 700]))
        junk = rng.choice([rng.randbytes(until - at), bytes(until - at), b"", rng.randbytes(9), b"0"])
        raw[at:until] = junk
    file.write_bytes(raw)


def test_swapped_records_are_noticed(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS[:2])
    one, other = (file_of(tmp_path, key) for key in KEYS[:2])
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    with pytest.warns(StoreWarning, match="2 of its entries could not be read .it is the record of another key"):
        assert fetch(tmp_path, KEYS[:2]) == KEYS[:2]
    assert fetch(tmp_path, KEYS[:2]) == []


def plant(folder: Path, key: str, body: bytes, form: bytes = b"thermalized cell 2") -> None:
    """Put bytes in the place of a record, as somebody who knows the format would."""
    digest = hashlib.sha256(body).hexdigest().encode()
    file_of(folder, key).write_bytes(b"\n".join((form, digest, body)))


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return eval, (f"open({str(self.mark)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("raw", [True, False])
def test_reading_runs_no_code(tmp_path: Path, protocol: int, raw: bool) -> None:
    fetch(tmp_path / "store", KEYS)
    live, mark = tmp_path / "live", tmp_path / "mark"
    pickle.loads(pickle.dumps(Bomb(live), protocol))
    assert live.exists()
    bomb = pickle.dumps(Bomb(mark), protocol)
    if raw:
        file_of(tmp_path / "store", KEYS[1]).write_bytes(bomb)
    else:
        plant(tmp_path / "store", KEYS[1], bomb)
    with pytest.warns(StoreWarning, match="1 of its entries could not be read"):
        assert fetch(tmp_path / "store", KEYS) == KEYS[1:2]
    assert not mark.exists()
    assert fetch(tmp_path / "store", KEYS) == []


ZERO = b"\0" * 8


def record(header: Any, data: bytes = ZERO) -> bytes:
    return json.dumps(header).encode() + b"\n" + data


def test_a_planted_record_is_read_if_it_has_the_right_form(tmp_path: Path) -> None:
    """The planted records below are refused for what they say, not for how they were planted."""
    fetch(tmp_path, KEYS)
    plant(tmp_path, KEYS[1], record([KEYS[1], [["V", "<f8", []]]]))
    assert ThermalizationStore(tmp_path).get_or_compute(KEYS[1:2], refuse) == [{"V": 0.0}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null\n",
        b"[" * 100_000,
        record(None),
        record([KEYS[1]]),
        record([KEYS[2], [["V", "<f8", []]]]),
        record([7, [["V", "<f8", []]]]),
        record([KEYS[1], {"V": 1}]),
        record([KEYS[1], [[7, "<f8", []]]]),
        record([KEYS[1], [["V", "|O", []]]]),
        record([KEYS[1], [["V", "<i8", []]]]),
        record([KEYS[1], [["V", ["<f8"], []]]]),
        record([KEYS[1], [["V", "<f8", []]]], ZERO * 2),
        record([KEYS[1], [["V", "<f8", []]]], ZERO[:7]),
        record([KEYS[1], [["V", "<f8", []]]], b"\xff" * 8),
        record([KEYS[1], [["V", "<f8", [-1]]]]),
        record([KEYS[1], [["V", "<f8", [1.0]]]]),
        record([KEYS[1], [["V", "<f8", [2**62, 4]]]]),
        record([KEYS[1], [["V", "<f8", [10**30]]]]),
        record([KEYS[1], [["V", "<f8", [1] * 100]]]),
        record([KEYS[1], [["V", "<f8", "x"]]]),
    ],
    ids=lambda body: repr(body)[:60],
)
def test_a_made_up_record_is_refused(tmp_path: Path, body: bytes) -> None:
    fetch(tmp_path, KEYS)
    plant(tmp_path, KEYS[1], body)
    with pytest.warns(StoreWarning, match="1 of its entries could not be read"):
        assert fetch(tmp_path, KEYS) == KEYS[1:2]
    assert fetch(tmp_path, KEYS) == []


def test_a_record_of_another_layout_is_computed_again(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS)
    plant(tmp_path, KEYS[1], record([KEYS[1], [["V", "<f8", []]]]), form=b"thermalized cell 1")
    with pytest.warns(StoreWarning, match="layout"):
        assert fetch(tmp_path, KEYS) == KEYS[1:2]


def test_what_the_caller_takes_for_no_state_is_computed_again(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS)
    plant(tmp_path, KEYS[1], record([KEYS[1], [["V", "<f8", []]]]))

    def check(entry: dict[str, np.ndarray]) -> None:
        if "m" not in entry:
            raise ValueError("a cell has an m")

    store, computer = ThermalizationStore(tmp_path), Computer(KEYS)
    with pytest.warns(StoreWarning, match="1 of its entries could not be read .a cell has an m"):
        store.get_or_compute(KEYS, computer, check)
    assert computer.calls == [[1]]
    assert fetch(tmp_path, KEYS) == []


# --- of others --------------------------------------------------------------------------------

AS_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757, 0o702])
def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path, mode: int) -> None:
    fetch(tmp_path / "store", KEYS)
    plant(tmp_path / "store", KEYS[1], record([KEYS[1], [["V", "<f8", []]]]))
    (tmp_path / "store").chmod(mode)
    with pytest.warns(StoreWarning, match=rf"is not used: its mode is {mode:o}.*chmod go-w.*store=") as caught:
        assert fetch(tmp_path / "store", KEYS) == KEYS
    assert len(caught) == 1
    assert fetch(tmp_path / "store", KEYS) == KEYS
    before = sorted((tmp_path / "store").iterdir())
    assert ThermalizationStore(tmp_path / "store").keys() == []
    assert ThermalizationStore(tmp_path / "store").clear() == 0
    assert sorted((tmp_path / "store").iterdir()) == before
    (tmp_path / "store").chmod(0o755)
    file_of(tmp_path / "store", KEYS[1]).unlink()
    assert fetch(tmp_path / "store", KEYS) == KEYS[1:2]


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_a_folder_of_this_user_is_used_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        (tmp_path / "mine").mkdir(mode=0o775)  # as a shell makes it where groups have one user
        for place in (tmp_path / "new", tmp_path / "mine"):
            fetch(place, KEYS)
            assert fetch(place, KEYS) == []
            for path in (place, *place.glob("*.cell")):
                assert not stat.S_IMODE(path.stat().st_mode) & stat.S_IWOTH
    finally:
        os.umask(old)


@AS_ROOT
def test_a_folder_that_a_group_can_write_is_not_used(tmp_path: Path) -> None:
    fetch(tmp_path / "store", KEYS)
    os.chown(tmp_path / "store", 0, 54321)
    assert fetch(tmp_path / "store", KEYS) == []
    (tmp_path / "store").chmod(0o775)
    with pytest.warns(StoreWarning, match=r"mode is 775.*users of group 54321"):
        assert fetch(tmp_path / "store", KEYS) == KEYS


@AS_ROOT
@pytest.mark.parametrize("link", [False, True])
def test_a_folder_of_another_user_is_not_used(tmp_path: Path, link: bool) -> None:
    fetch(tmp_path / "real", KEYS)
    (tmp_path / "store").symlink_to(tmp_path / "real")
    place = tmp_path / ("store" if link else "real")
    assert fetch(place, KEYS) == []
    os.chown(place, 54321, 54321, follow_symlinks=False)
    with pytest.warns(StoreWarning, match=r"is not used: it belongs to another user, 54321.*store="):
        assert fetch(place, KEYS) == KEYS


@AS_ROOT
def test_files_of_another_user_are_not_used(tmp_path: Path) -> None:
    """Those that were planted before the folder was closed."""
    fetch(tmp_path, KEYS)
    os.chown(file_of(tmp_path, KEYS[1]), 54321, 54321)
    file_of(tmp_path, KEYS[2]).chmod(0o666)
    with pytest.warns(StoreWarning, match=r"2 of its entries could not be read"):
        assert fetch(tmp_path, KEYS) == KEYS[1:3]
    assert fetch(tmp_path, KEYS) == []


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    fetch(tmp_path / "store", KEYS[:3])
    planted, precious = tmp_path / "planted.cell", tmp_path / "precious"
    file_of(tmp_path / "store", KEYS[0]).rename(planted)
    file_of(tmp_path / "store", KEYS[0]).symlink_to(planted)
    file_of(tmp_path / "store", KEYS[3]).symlink_to(precious)
    with pytest.warns(StoreWarning, match="2 of its entries could not be read"):
        assert fetch(tmp_path / "store", KEYS) == [KEYS[0], *KEYS[3:]]
    assert not precious.exists(), "a file was written through a link"
    assert fetch(tmp_path / "store", KEYS) == []
    assert not any(path.is_symlink() for path in (tmp_path / "store").iterdir())


# --- not usable -------------------------------------------------------------------------------


def _a_file(folder: Path) -> Path:
    folder.write_text("mine")
    return folder


def _below_a_file(folder: Path) -> Path:
    return _a_file(folder) / "below"


def _with_folder(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / f"thermalized{suffix}").mkdir(parents=True)
        return folder

    return make


def _with_pipe(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        os.mkfifo(folder / f"thermalized{suffix}")
        return folder

    return make


def _with_link(suffix: str, target: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        (folder / f"thermalized{suffix}").symlink_to(target)
        return folder

    return make


def _read_only(folder: Path) -> Path:
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("root may write everywhere")
    return folder


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_a_file, "File exists"),
        (_below_a_file, "Not a directory"),
        (_with_folder(".lock"), "not a regular file"),
        (_with_pipe(".lock"), "not a regular file"),
        (_with_link(".lock", "/dev/full"), "not a regular file"),
        (_with_link(".lock", "/nowhere"), "not a regular file"),
        (_read_only, "Permission denied"),
    ],
)
def test_a_folder_that_cannot_be_used_is_done_without(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    folder = make(tmp_path / "store")
    store = ThermalizationStore(folder)
    with pytest.warns(StoreWarning, match=reason) as caught:
        check(KEYS, store.get_or_compute(KEYS, Computer(KEYS)))
    (message,) = [str(warning.message) for warning in caught]
    assert f"in {folder} cannot be used" in message
    assert "choose another folder" in message
    assert store.path == folder
    check(KEYS, store.get_or_compute(KEYS, refuse))
    assert store.keys() == sorted(KEYS)
    assert fetch(folder, KEYS) == KEYS
    assert store.clear() == len(KEYS)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_in_the_place_of_an_entry(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """It is not waited for; a folder stays, and what is there is not lost."""
    fetch(tmp_path, KEYS[:3])
    make(file_of(tmp_path, KEYS[3]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert fetch(tmp_path, KEYS) == KEYS[3:]
    assert {warning.category for warning in caught} == {StoreWarning}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        assert not set(fetch(tmp_path, KEYS)) & set(KEYS[:3])


def test_a_folder_that_can_only_be_read_is_read(tmp_path: Path) -> None:
    """By many who share it, without a lock."""
    fetch(tmp_path, KEYS)
    for path in (tmp_path / "thermalized.lock", tmp_path / "thermalized.holder"):
        path.unlink(missing_ok=True)
    tmp_path.chmod(0o555)
    try:
        assert fetch(tmp_path, KEYS) == []
        assert len(list(tmp_path.iterdir())) == len(KEYS)
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("limit", [0, 80, 200])
def test_a_disk_that_takes_no_more_bytes(tmp_path: Path, limit: int) -> None:
    fetch(tmp_path, KEYS[:4])
    complaints = finish(start("add", tmp_path, limit, 6, 200, 4))
    assert complaints.count("StoreWarning: ") == 1
    assert "cannot be used: [Errno 27] File too large" in complaints
    assert "Exception ignored" not in complaints
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        assert not set(fetch(tmp_path, added_keys(200)[:4] + KEYS[:4])) & set(KEYS)


def test_a_full_disk(tmp_path: Path) -> None:
    place = str(tmp_path)
    script = 'mount -t tmpfs -o size=64k,mode=755 none "$0" && exec "$@"'
    small = ["unshare", "-rm", "sh", "-c", script, place]
    if not shutil.which("unshare") or subprocess.call([*small, "true"], stderr=subprocess.DEVNULL):
        pytest.skip("this system lends no small file system of one's own")
    command = [*small, sys.executable, __file__, "add", place, "-1", "5", "500", "5"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stderr.count("StoreWarning: ") == 1
    assert "cannot be used: [Errno 28] No space left on device" in done.stderr
    assert "Exception ignored" not in done.stderr


def added_keys(count: int) -> list[str]:
    return [f"added-{i}" for i in range(count)]


def add(folder: Path, limit: int, *counts: int) -> None:
    """Fetch some keys, then others, where no file may grow over a limit (bytes; -1 for none)."""
    import resource  # only where there are Unix processes to limit

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for count in counts:
        fetch(folder, added_keys(count))


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    with pytest.warns(StoreWarning, match="cannot be used: .* Not a directory"):
        assert ThermalizationStore(_a_file(tmp_path / "store")).keys() == []


def test_one_warning_for_one_broken_store(tmp_path: Path) -> None:
    place = _a_file(tmp_path / "store")

    def use() -> None:
        fetch(place, KEYS)
        ThermalizationStore(place).clear()

    with pytest.warns(StoreWarning) as caught:
        use()
    use()
    assert len(caught) == 1


if __name__ == "__main__":
    _commands: dict[str, Callable[..., None]] = {
        "add": add,
        "hold": hold,
        "share": share,
        "slow": slow,
        "steps": steps,
        "write": write,
    }
    _commands[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
