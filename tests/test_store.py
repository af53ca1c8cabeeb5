"""The store of thermalized cells: nothing wrong, nothing twice, and no crash, whatever happens.

The entries are a function of their key, so every value that is read can be told right from wrong.
Run as a script, this file is one of the processes that the tests start, limit and kill.
"""

import ast
import dbm.dumb
import hashlib
import importlib.util
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from filelock import FileLock


def _store_alone() -> ModuleType:
    """The module without the package around it, whose imports a short-lived process can spare."""
    path = Path(__file__).parents[1] / "pyloric_simulator" / "store.py"
    spec = importlib.util.spec_from_file_location("store_alone", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    _module = _store_alone()
    StoreWarning, ThermalizationStore = _module.StoreWarning, _module.ThermalizationStore
else:
    from pyloric_simulator.store import StoreWarning, ThermalizationStore

KEYS = [f'{{"cell": {i}, "note": "Ca²⁺ \\n\ud800"}}' for i in range(6)]
FILES = (".dat", ".dir", ".bak", ".lock")


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


def start(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        **options,
    )


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
    one, other, _ = store.get_or_compute(
        [KEYS[1], KEYS[1], KEYS[2]], Computer(KEYS[1:2] * 2 + KEYS[2:3])
    )
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


def test_any_byte_order_and_layout_comes_back_native(tmp_path: Path) -> None:
    given = np.arange(6.0).reshape(2, 3).T
    for kind in (">f8", "<f8", ">f4", "<f4"):
        store = ThermalizationStore(tmp_path / kind[1:] / ("big" if kind[0] == ">" else "little"))
        (entry,) = store.get_or_compute(["x"], lambda _, kind=kind: [{"x": given.astype(kind)}])
        assert entry["x"].dtype == np.dtype(kind[1:])
        np.testing.assert_array_equal(entry["x"], given)


@pytest.mark.parametrize("error", [OSError(28, "not the store's"), KeyError("x"), StopIteration()])
def test_an_error_in_compute_comes_through_and_nothing_is_stored(
    tmp_path: Path, error: Exception
) -> None:
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
        check(
            KEYS[1:3], ThermalizationStore(tmp_path).get_or_compute(KEYS[1:3], Computer(KEYS[1:]))
        )
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
    store.lock_seconds = 0.2
    with pytest.warns(StoreWarning, match=r"thermalized\.lock.* could not be acquired"):
        check(KEYS[:2], store.get_or_compute(KEYS[:2], Computer(KEYS)))
    begin = time.perf_counter()
    check(KEYS[2:], store.get_or_compute(KEYS[2:], Computer(KEYS[2:])))
    assert time.perf_counter() - begin < store.lock_seconds
    holder.kill()
    holder.communicate()
    assert fetch(tmp_path, KEYS) == KEYS
    assert fetch(tmp_path, KEYS) == []


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
    steps, recovered = map(int, output.split())
    assert steps >= 8
    assert recovered >= 1, "no kill fell between the two renames of a commit"


def steps(folder: Path) -> None:
    """Kill a child that adds three entries to three, before its 1st, 2nd ... access to a file."""
    recovered = 0
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
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            computed = fetch(place, KEYS)
            assert set(computed) <= set(KEYS[3:]), f"an old entry was lost at step {step}"
            assert fetch(place, KEYS) == []
        assert all(issubclass(warning.category, StoreWarning) for warning in caught)
        recovered += len(caught)
        if code == 0:
            assert (computed, len(caught)) == ([], 0)
            print(step - 1, recovered)
            return


def die_before(step: int, place: Path) -> None:
    left = step

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in {"open", "os.rename", "os.remove", "os.chmod"}:
            path = arguments[0]
            left -= not isinstance(path, int) and str(place) in os.fsdecode(path)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


# --- damaged ----------------------------------------------------------------------------------


def test_an_index_lost_in_a_commit_is_recovered_from_its_backup(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS)
    (tmp_path / "thermalized.dir").rename(tmp_path / "thermalized.bak")
    with pytest.warns(StoreWarning, match="6 entries were kept") as caught:
        assert fetch(tmp_path, KEYS) == []
    assert len(caught) == 1
    assert str(tmp_path) in str(caught[0].message)
    assert not (tmp_path / "thermalized.bak").exists()
    assert fetch(tmp_path, KEYS) == []


def test_an_index_half_written_in_a_commit_is_completed_from_its_backup(tmp_path: Path) -> None:
    fetch(tmp_path / "whole", KEYS)
    index = (tmp_path / "whole" / "thermalized.dir").read_bytes()
    for size in range(0, len(index), 61):
        place = tmp_path / str(size)
        shutil.copytree(tmp_path / "whole", place)
        (place / "thermalized.bak").write_bytes(index)
        (place / "thermalized.dir").write_bytes(index[:size])
        with pytest.warns(StoreWarning, match="6 entries were kept"):
            assert fetch(place, KEYS) == []


@pytest.mark.parametrize("suffix", [".dat", ".dir"])
def test_a_cut_or_lost_file_costs_only_what_was_in_it(tmp_path: Path, suffix: str) -> None:
    fetch(tmp_path / "whole", KEYS)
    lines = (tmp_path / "whole" / "thermalized.dir").read_text().splitlines(keepends=True)
    whole = (tmp_path / "whole" / "thermalized.dat").stat().st_size
    cuts: tuple[int | None, ...]
    if suffix == ".dir":
        ends = np.cumsum([len(line) for line in lines]) - 1  # the last line end may be missing
        cuts = (0, ends[0] // 2, ends[0], ends[2] - 1, ends[3], ends[4] + 5, ends[5], None)
    else:
        ends = np.array([sum(ast.literal_eval(line)[1]) for line in lines])
        cuts = (0, ends[0] - 1, ends[0], ends[2] + 1, ends[3] + 50, ends[5] - 1, None)
    for left in cuts:
        place = tmp_path / str(left)
        shutil.copytree(tmp_path / "whole", place)
        file = place / f"thermalized{suffix}"
        if left is None:
            file.unlink()
        else:
            os.truncate(file, left)
        with pytest.warns(StoreWarning, match="was damaged"):
            assert fetch(place, KEYS) == KEYS[(ends <= (left or 0)).sum() :]
        assert fetch(place, KEYS) == []
        if not left:
            assert (place / "thermalized.dat").stat().st_size == whole, "dead data was kept"


def test_random_damage_never_harms(tmp_path: Path) -> None:
    rng = random.Random(2)
    fetch(tmp_path / "whole", KEYS)
    index = tmp_path / "whole" / "thermalized.dir"
    shutil.copy(index, index.with_suffix(".bak"))
    shutil.copytree(tmp_path / "whole", tmp_path / "unharmed")
    assert fetch(tmp_path / "unharmed", KEYS) == []
    warned = 0
    for turn in range(200):
        place = tmp_path / str(turn)
        shutil.copytree(tmp_path / "whole", place)
        for suffix in rng.sample(FILES, rng.choice([1, 1, 2, 4])):
            damage(rng, place / f"thermalized{suffix}")
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
        junk = rng.choice(
            [rng.randbytes(until - at), bytes(until - at), b"", rng.randbytes(9), b"0"]
        )
        raw[at:until] = junk
    file.write_bytes(raw)


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"\0" * 4096,
        b"\xff\xfe\x80",
        b"'\xe9', (0, 10)",
        b"(" * 200_000,
        b"'" + b"0" * 64 + b"', " + b"(" * 1000 + b")" * 1000,
        b"-" * 200_000 + b"1",
        b"__import__('os').mkdir('made'), (0, 1)",
        b"'" + b"0" * 64 + b"', (0, " + b"9" * 5000 + b")",
        b"'" + b"0" * 64 + b"', (9000000000000, 10)",
        b"'" + b"0" * 64 + b"', (-1, 10)",
        b"'" + b"0" * 64 + b"', (00, 10)",
        b"'" + b"0" * 64 + b"', (0, 10), 1",
        b"'" + b"0" * 63 + b"', (0, 10)",
    ],
    ids=repr,
)
def test_no_line_of_a_made_up_index_is_believed(
    tmp_path: Path, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fetch(tmp_path / "store", KEYS[:3])
    index = tmp_path / "store" / "thermalized.dir"
    index.write_bytes(line + b"\n" + index.read_bytes())
    with pytest.warns(StoreWarning, match="3 entries were kept"):
        assert fetch(tmp_path / "store", KEYS) == KEYS[3:]
    assert not (tmp_path / "made").exists()
    assert fetch(tmp_path / "store", KEYS) == []


def test_swapped_records_are_noticed(tmp_path: Path) -> None:
    fetch(tmp_path, KEYS[:2])
    index = tmp_path / "thermalized.dir"
    one, other = re.findall(r"\(.*\)", index.read_text())
    swap = {one: other, other: one}
    index.write_text(re.sub(r"\(.*\)", lambda found: swap[found[0]], index.read_text()))
    with pytest.warns(StoreWarning, match="2 of its entries could not be read"):
        assert fetch(tmp_path, KEYS[:2]) == KEYS[:2]
    assert fetch(tmp_path, KEYS[:2]) == []


def plant(folder: Path, key: str, body: bytes, checksum: bool = True) -> None:
    """Put bytes in the place of a record, as somebody who knows the format would."""
    name = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    with dbm.dumb.open(os.fspath(folder / "thermalized")) as database:
        database[name] = (hashlib.sha256(name.encode() + body).digest() if checksum else b"") + body
    (folder / "thermalized.bak").unlink()


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return eval, (f"open({str(self.mark)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("checksum", [True, False])
def test_reading_runs_no_code(tmp_path: Path, protocol: int, checksum: bool) -> None:
    fetch(tmp_path / "store", KEYS)
    live, mark = tmp_path / "live", tmp_path / "mark"
    pickle.loads(pickle.dumps(Bomb(live), protocol))
    assert live.exists()
    plant(tmp_path / "store", KEYS[1], pickle.dumps((1, Bomb(mark), {}), protocol), checksum)
    with pytest.warns(StoreWarning, match="1 of its entries could not be read"):
        assert fetch(tmp_path / "store", KEYS) == KEYS[1:2]
    assert not mark.exists()
    assert fetch(tmp_path / "store", KEYS) == []


ZERO = b"\0" * 8


def test_a_planted_record_is_read_if_it_has_the_right_form(tmp_path: Path) -> None:
    """The planted records below are refused for what they say, not for how they were planted."""
    fetch(tmp_path, KEYS)
    plant(tmp_path, KEYS[1], pickle.dumps((1, KEYS[1], {"V": ("<f8", (), ZERO)})))
    assert ThermalizationStore(tmp_path).get_or_compute(KEYS[1:2], refuse) == [{"V": 0.0}]


@pytest.mark.parametrize(
    "record",
    [
        None,
        (1, KEYS[1]),
        (2, KEYS[1], {"V": ("<f8", (), ZERO)}),
        (1, KEYS[2], {"V": ("<f8", (), ZERO)}),
        (1, KEYS[1].encode("utf-8", "surrogatepass"), {"V": ("<f8", (), ZERO)}),
        (1, KEYS[1], [("V", "<f8", (), ZERO)]),
        (1, KEYS[1], {7: ("<f8", (), ZERO)}),
        (1, KEYS[1], {"V": ("|O", (), ZERO)}),
        (1, KEYS[1], {"V": ("<i8", (), ZERO)}),
        (1, KEYS[1], {"V": ("<f8", (), ZERO * 2)}),
        (1, KEYS[1], {"V": ("<f8", (), b"\xff" * 8)}),
        (1, KEYS[1], {"V": ("<f8", (-1,), ZERO)}),
        (1, KEYS[1], {"V": ("<f8", (2**62, 4), ZERO)}),
        (1, KEYS[1], {"V": ("<f8", (10**30,), ZERO)}),
        (1, KEYS[1], {"V": ("<f8", (1,) * 100, ZERO)}),
        (1, KEYS[1], {"V": ("<f8", (), "\0" * 8)}),
    ],
    ids=repr,
)
def test_a_made_up_record_is_refused(tmp_path: Path, record: Any) -> None:
    fetch(tmp_path, KEYS)
    plant(tmp_path, KEYS[1], pickle.dumps(record))
    with pytest.warns(StoreWarning, match="1 of its entries could not be read"):
        assert fetch(tmp_path, KEYS) == KEYS[1:2]
    assert fetch(tmp_path, KEYS) == []


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


def _with_device(suffix: str, device: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        folder.mkdir()
        (folder / f"thermalized{suffix}").symlink_to(device)
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
        (_with_folder(".lock"), "Is a directory"),
        (_with_folder(".dat"), "not a regular file"),
        (_with_folder(".dir"), "not a regular file"),
        (_with_pipe(".dat"), "not a regular file"),
        (_with_pipe(".dir"), "not a regular file"),
        (_with_pipe(".bak"), "not a regular file"),
        (_with_device(".dat", "/dev/full"), "not a regular file"),
        (_with_device(".dir", "/dev/zero"), "not a regular file"),
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


@pytest.mark.parametrize("limit", [0, 80, 400, 1200, 4000])
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
    script = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'
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
        "steps": steps,
        "write": write,
    }
    _commands[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
