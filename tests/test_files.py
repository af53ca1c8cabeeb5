"""Files that the package writes: there whole or not at all, whenever a disk fails or a process ends."""

import json
import os
import pickle
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pyloric_simulator import __version__
from pyloric_simulator.config import CircuitSpec, find_circuit, write_circuit
from pyloric_simulator.files.results import Run, SimResult, run_of
from pyloric_simulator.files.writing import can_be_written, written_whole
from pyloric_simulator.lab import snapshots
from pyloric_simulator.prinz2004 import CHANNELS, CONSTANTS, Channel, Prinz2004

OLD = b"what was there before"
ROOT = not hasattr(os, "geteuid") or os.geteuid() == 0


def paper(**kwargs: Any) -> Prinz2004:
    return Prinz2004.from_toml(find_circuit("paper"), **kwargs)


def made_up(labels: dict[str, str] | None = None) -> SimResult:
    """A result of a circuit with other labels (label -> cell), without a run."""
    model = paper()
    if labels is not None:
        model = Prinz2004(dict.fromkeys(labels, 1), {}, np.stack([model.params.g[1]] * len(labels)), cell_types=labels)
    t = np.arange(0, 3, 0.5)
    states = type(model.cold)(*(np.stack([x + i / 7 for i in range(len(t))]) for x in model.cold))
    return SimResult(t, states, model, run=run_of(model, "staggered", 0.0, "thermalized", dt=0.05))


WRITERS: dict[str, Callable[[Path], Any]] = {
    "CSV": lambda path: made_up().to_csv(path),
    "Parquet": lambda path: made_up().to_parquet(path),
    "TOML": lambda path: paper().to_toml(path),
    "circuit": lambda path: write_circuit(CircuitSpec("x", {"LP": 1}, {}, {}, {}, None), path),
    "snapshot": lambda path: snapshots.save_state(path, made_up()),
}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def failing_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Let the n-th call that makes a file safe fail as a full disk does; tells whether one did."""
    left = step

    def patched(f: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(28, "No space left on device")
            return f(*args, **kwargs)

        return call

    for name in ("open", "fsync", "replace", "chmod"):
        monkeypatch.setattr(os, name, patched(getattr(os, name)))
    return lambda: left <= 0


def ending(call: Callable[[], Any]) -> str:
    """What an OSError of the call says; nothing if it raises none."""
    try:
        call()
    except OSError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "out"
    for step in range(1, 9):
        file.write_bytes(OLD)
        with monkeypatch.context() as patch:
            failed = failing_at(step, patch)
            message = ending(lambda: WRITERS[kind](file))
            assert bool(message) == failed()
        if not message:
            assert file.read_bytes() != OLD
            assert step > 3
            break
        assert f"No space left on device; '{file}' was not written" in message
        assert file.read_bytes() == OLD
        assert names_in(tmp_path) == ["out"], f"a draft was left at step {step}"
    else:
        pytest.fail("it never ended")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device is always full here")
def test_a_device_is_written_into() -> None:
    with (
        pytest.raises(OSError, match="No space left on device; '/dev/full' was not written"),
        written_whole("/dev/full") as file,
    ):
        file.write(b"x")
    with written_whole(os.devnull) as file:
        file.write(b"x")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


DYING = """
import os, signal, sys
from pyloric_simulator.files.writing import written_whole
left, file = int(sys.argv[1]), sys.argv[2]
def count(event, arguments):
    global left
    if event in {"open", "os.rename", "os.remove", "os.chmod"} and not isinstance(arguments[0], int):
        left -= os.path.dirname(file) in os.fsdecode(arguments[0])
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
with written_whole(file) as stream:
    stream.write(b"new" * 10_000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signal")
def test_killed_at_each_step_a_file_is_old_or_new(tmp_path: Path) -> None:
    file, seen = tmp_path / "out", list[bool]()
    for step in range(1, 30):
        file.write_bytes(OLD)
        done = subprocess.run([sys.executable, "-c", DYING, str(step), str(file)], check=False)
        found = file.read_bytes()
        assert found in (OLD, b"new" * 10_000)
        assert done.returncode == (-signal.SIGKILL if found == OLD else 0)
        seen.append(found != OLD)
        if seen[-1]:
            break
    assert seen[-1]
    assert len(seen) > 3


def broken_off(file: Path, error: BaseException) -> None:
    with written_whole(file) as stream:
        stream.write(b"new")
        raise error


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_bytes(OLD)
    for error in (RuntimeError("a bug"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            broken_off(file, error)
        assert file.read_bytes() == OLD
        assert names_in(tmp_path) == ["out"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
def test_permissions_and_links_stay(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        for mode in (0o600, 0o640, 0o666):
            (tmp_path / "real").write_bytes(OLD)
            (tmp_path / "real").chmod(mode)
            (tmp_path / "link").unlink(missing_ok=True)
            (tmp_path / "link").symlink_to("real")
            with written_whole(tmp_path / "link") as file:
                file.write(b"new")
            assert (tmp_path / "real").read_bytes() == b"new"
            assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == mode
            assert (tmp_path / "link").is_symlink()
        with written_whole(tmp_path / "fresh") as file:
            file.write(b"new")
        assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o644
    finally:
        os.umask(old)


@pytest.mark.parametrize(
    "name", ["a b", "ü 日本 🦞.csv", ".hidden", "trailing.", "trailing ", "x" * 250, "a'b\"c", "$HOME", "-o", "~"]
)
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    assert can_be_written(tmp_path / name) == tmp_path / name
    assert names_in(tmp_path) == []
    with written_whole(tmp_path / name) as file:
        file.write(b"x")
    assert names_in(tmp_path) == [name]


# ---------------------------------------------------------------- what they hold


ODD_LABELS = ["a#b", "#", "LP, 1", 'the "LP"', "a\nb", "\r\n# x", " lead", "trail ", "LP {x}", "{label.__class__}"]
ODD_LABELS += ["ü 日本 🦞", "V LP 0", "1e3", "%s", "'"]


@pytest.mark.parametrize("label", ODD_LABELS)
def test_any_label_is_read_as_documented(tmp_path: Path, label: str) -> None:
    result = made_up({label: "LP", "PY": "PY"})
    result.to_csv(tmp_path / "x.csv")
    read = pd.read_csv(tmp_path / "x.csv", comment="#", index_col="time")
    result.to_parquet(tmp_path / "x.parquet")
    stored = pq.read_table(tmp_path / "x.parquet").to_pandas().set_index("time")
    names = [f"{variable} {cell} 0" for variable in ("V", "Ca", "s") for cell in (label, "PY")]
    for table in (read, stored):
        assert list(table.columns) == names
        np.testing.assert_array_equal(table.index, result.t)
        np.testing.assert_allclose(table[f"V {label} 0"], result.V[label, 0], rtol=1e-15)
    header = (tmp_path / "x.csv").read_bytes().decode().split("\n")
    assert label in json.loads(header[0].removeprefix("# circuit: "))["pop_sizes"]


def test_usual_labels_come_without_quotes(tmp_path: Path) -> None:
    made_up().to_csv(tmp_path / "x.csv", ["V"])
    lines = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["# circuit", "# units", "# run"]
    assert lines[3] == "time,V AB/PD 0,V LP 0,V PY 0"


def test_files_tell_how_they_came_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "mine.toml"
    settings.write_text("dt = 0.1\n")
    monkeypatch.setenv("PYLORIC_CONFIG", str(settings))
    monkeypatch.delenv("PYLORIC_STORE", raising=False)
    result = made_up()
    expected = Run(__version__, "staggered", 0.05, None, "float64", 0.0, "thermalized", str(settings))
    assert result.run == result[1:2].run == pickle.loads(pickle.dumps(result.run)) == expected
    result.to_csv(tmp_path / "x.csv")
    result.to_parquet(tmp_path / "x.parquet")
    line = (tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()[2]
    assert Run(**json.loads(line.removeprefix("# run: "))) == expected
    assert Run(**json.loads(pq.read_table(tmp_path / "x.parquet").schema.metadata[b"run"])) == expected
    snapshots.save_state(tmp_path / "x.npz", result)
    assert Run(**json.loads(str(np.load(tmp_path / "x.npz")["run"]))) == expected


def test_runs_carry_what_they_used() -> None:
    model = paper()
    given = model([1.0, 2.0], state=model.cold, dt=0.25, t0=0.5)
    assert given.run == Run(__version__, "staggered", 0.25, None, "float64", 0.5, "given", given.run.settings)
    assert model([1.0], dt=0.25, store=None).run.start == "thermalized"

    class Adaptive:
        """As an instance of a solver of diffrax."""

    adaptive = run_of(model, Adaptive(), 0.0, "given", dt=0.05, rtol=1e-6, atol=1e-7)
    assert (adaptive.solver, adaptive.dt, adaptive.tolerances) == ("Adaptive", None, (1e-6, 1e-7))


def test_changed_constants_survive_a_file(tmp_path: Path) -> None:
    changed = CONSTANTS._replace(f=np.float32(15.5), Ca_out=13000, V_cold=-55.1)
    paper(constants=changed).to_toml(tmp_path / "x.toml")
    again = Prinz2004.from_toml(tmp_path / "x.toml")
    assert again.circuit.constants == changed
    paper().to_toml(tmp_path / "x.toml")
    assert "constants" not in (tmp_path / "x.toml").read_text(encoding="utf-8")
    made_up().to_csv(tmp_path / "x.csv")
    assert "constants" not in (tmp_path / "x.csv").read_text(encoding="utf-8")


def test_a_file_goes_with_channels_of_the_call(tmp_path: Path) -> None:
    """Cells of the table have none of a channel that it lacks; conductances in a file name all channels."""
    slow = Channel("slow", -80, 1, CHANNELS[5].m)
    model = paper(channels=(*CHANNELS, slow))
    np.testing.assert_array_equal(model.params.g, np.column_stack([paper().params.g, np.zeros(3)]))
    names = [c.name for c in CHANNELS] + ["slow"]
    g = ", ".join(f"{name} = {i}" for i, name in enumerate(reversed(names)))
    (tmp_path / "x.toml").write_text(f'title = "x"\n[populations.LP]\nsize = 1\ng = {{ {g} }}\n')
    model = Prinz2004.from_toml(tmp_path / "x.toml", channels=(*CHANNELS, slow))
    np.testing.assert_array_equal(model.params.g, [np.arange(9.0)[::-1]])


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match=r"Permission denied; .*x' was not written"):
        can_be_written(tmp_path / "x")
    tmp_path.chmod(0o700)
