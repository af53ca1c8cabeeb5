"""Settings and circuit files: what is read, from where, and what is said about bad input."""

import importlib.util
import os
import random
import re
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import cast

import numpy as np
import platformdirs
import pytest

from pyloric_simulator import config
from pyloric_simulator.config import (
    CircuitSpec,
    Settings,
    find_circuit,
    load_settings,
    read_circuit,
    store_folder,
    write_circuit,
)

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = Path(config.__file__).parent
SHIPPED = ("five_populations", "paper", "reduced")
DEFAULTS = Settings("staggered", 0.05, "float64", "", progress=True)


@pytest.fixture(autouse=True)
def clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's environment nor the checkout's own files reach a test."""
    monkeypatch.delenv("PYLORIC_CONFIG", raising=False)
    monkeypatch.delenv("PYLORIC_STORE", raising=False)
    monkeypatch.chdir(tmp_path)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def imported_copy(folder: Path) -> ModuleType:
    """The package as another project would vendor it: just its files, under another name."""
    spec = importlib.util.spec_from_file_location("vendored", folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------ settings


def test_defaults() -> None:
    assert load_settings() == DEFAULTS
    assert [type(value) for value in load_settings()] == [str, float, str, str, bool]


def test_a_file_overrides_single_keys(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.toml", 'dt = 1\nprecision = "float32"\nprogress = false\n')
    settings = load_settings(file)
    assert settings == DEFAULTS._replace(dt=1.0, precision="float32", progress=False)
    assert isinstance(settings.dt, float)
    assert load_settings(str(file)) == settings


def test_precedence_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "project" / "runs" / "today"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (tmp_path / "pyproject.toml").touch()
    assert load_settings().dt == DEFAULTS.dt
    written(tmp_path / "config" / "pyloric.toml", "dt = 0.1")
    assert load_settings().dt == 0.1
    written(tmp_path / "project" / "config" / "pyloric.toml", "dt = 0.2")
    assert load_settings().dt == 0.2
    written(inner / "config" / "pyloric.toml", "dt = 0.3")
    assert load_settings().dt == 0.3
    monkeypatch.setenv("PYLORIC_CONFIG", str(written(tmp_path / "env.toml", "dt = 0.4")))
    assert load_settings().dt == 0.4
    assert load_settings(written(tmp_path / "path.toml", "dt = 0.5")).dt == 0.5
    monkeypatch.setenv("PYLORIC_CONFIG", "")
    assert load_settings().dt == 0.3


@pytest.mark.parametrize("mark", [".git", "pyproject.toml", "setup.cfg", "environment.yml"])
def test_files_above_the_project_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    inner = tmp_path / "project" / "runs"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    written(tmp_path / "config" / "pyloric.toml", "dt = 0.1")
    assert load_settings() == DEFAULTS
    written(tmp_path / "project" / "config" / "pyloric.toml", "dt = 0.2")
    assert load_settings() == DEFAULTS, "without a root the working directory is all"
    (tmp_path / "project" / mark).touch()
    assert load_settings().dt == 0.2
    (inner / mark).touch()
    assert load_settings() == DEFAULTS


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
@pytest.mark.parametrize("inside", [True, False])
def test_files_in_a_shared_folder_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, inside: bool
) -> None:
    """Somebody else could have put them there, and a mark of a project as well."""
    shared = tmp_path / "shared"
    (shared / "mine").mkdir(parents=True)
    written(shared / "config" / "pyloric.toml", "dt = 0.1")
    written(shared / "config" / "circuits" / "paper.toml", "")
    (shared / ".git").touch()
    (tmp_path / ".git").touch()
    monkeypatch.chdir(shared / "mine" if inside else shared)
    assert load_settings().dt == 0.1
    shared.chmod(0o1777)
    assert load_settings() == load_settings() == DEFAULTS
    assert find_circuit("paper") == PACKAGE / "circuits" / "paper.toml"
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == (0 if inside else 2), "once for each file where it was probably meant"
    assert all("everybody's" in message and "PYLORIC_CONFIG" in message for message in told)


def test_the_home_folder_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    written(tmp_path / "config" / "pyloric.toml", "dt = 0.1")
    assert load_settings() == DEFAULTS
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert load_settings() == DEFAULTS
    (tmp_path / ".git").mkdir()
    assert load_settings().dt == 0.1


def test_a_removed_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert load_settings() == DEFAULTS
    assert find_circuit("paper") == PACKAGE / "circuits" / "paper.toml"


def test_settings_tell_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert load_settings().source == "defaults"
    file = written(tmp_path / "config" / "pyloric.toml", "dt = 0.1")
    assert load_settings().source == load_settings().source == str(file)
    assert caplog.messages.count(f"settings come from {file}") == 1
    monkeypatch.setenv("PYLORIC_STORE", "here")
    assert load_settings().source == f"{file} and PYLORIC_STORE"
    assert load_settings()._replace(dt=1.0).source == DEFAULTS.source == "code"


def test_only_one_user_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "config" / "pyloric.toml", "progress = false")
    monkeypatch.setenv("PYLORIC_CONFIG", str(written(tmp_path / "env.toml", "dt = 0.4")))
    assert load_settings() == DEFAULTS._replace(dt=0.4)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.toml", "dt = 0.1")
    os.utime(file, ns=(0, 1))
    assert load_settings(file).dt == 0.1
    written(file, "dt = 0.2")
    os.utime(file, ns=(0, 1))
    assert load_settings(file).dt == 0.1  # same time and size: the cached values
    os.utime(file, ns=(0, 2))
    assert load_settings(file).dt == 0.2


def test_environment_overrides_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "mine.toml", 'thermalization_store = "from file"')
    assert load_settings(file).thermalization_store == "from file"
    monkeypatch.setenv("PYLORIC_STORE", "from env")
    assert load_settings(file).thermalization_store == "from env"
    assert load_settings().thermalization_store == "from env"
    monkeypatch.setenv("PYLORIC_STORE", "")
    assert load_settings(file).thermalization_store == "from file"


def test_store_folder(tmp_path: Path) -> None:
    def folder(store: str) -> Path | None:
        return store_folder(DEFAULTS._replace(thermalization_store=store))

    assert folder("memory") is None
    assert folder("") == platformdirs.user_cache_path("pyloric_simulator")
    assert folder("./memory") == tmp_path / "memory"
    assert folder("cells/here") == tmp_path / "cells" / "here"
    assert folder("~/cells") == Path.home() / "cells"
    assert folder(str(tmp_path)) == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_a_call_says_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the settings."""
    monkeypatch.setenv("PYLORIC_STORE", "from env")
    words = {"settings": "from env", "./memory": "memory", "a b": "a b", "cells/none": "cells/none"}
    assert {said: store_folder(said) for said in words} == {said: tmp_path / folder for said, folder in words.items()}
    assert store_folder("memory") is store_folder(None) is None
    assert store_folder() == tmp_path / "from env"
    assert store_folder("") == platformdirs.user_cache_path("pyloric_simulator")
    assert store_folder(Path("memory")) == tmp_path / "memory"  # a path object is a path
    assert store_folder(Path("~/x")) == Path.home() / "x"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such numbers of users")
def test_a_user_without_a_home_has_a_store_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(uid: int) -> None:
        raise KeyError(f"uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert store_folder("") is None
    assert load_settings() == DEFAULTS
    with pytest.raises(ValueError, match="known home folder"):
        store_folder("~/cells")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows guesses the homes of other users")
def test_store_of_an_unknown_user() -> None:
    with pytest.raises(ValueError, match=r"~no-such-user.*known home folder.*full path"):
        store_folder(DEFAULTS._replace(thermalization_store="~no-such-user/cells"))


BAD_SETTINGS = [  # text, what the message must show
    ("dt = 0.1\ndtt = 0.2", "dtt = 0.2", "did you mean dt?"),
    ("\n# comment\nsolvr = 'x'", 'solvr = "x"', "did you mean solver?"),
    ("[solver]\nname = 'x'", 'solver = { name = "x" }', "text in quotes"),
    ("solver = 3", "solver = 3", "text in quotes"),
    ("dt = '0.05'", 'dt = "0.05"', "a number"),
    ("dt = true", "dt = true", "a number"),
    ("\ndt = 0", "dt = 0", "finite and positive"),
    ("dt = -0.05", "dt = -0.05", "finite and positive"),
    ("dt = nan", "dt = nan", "finite and positive"),
    ("dt = inf", "dt = inf", "finite and positive"),
    ("dt = 1" + 400 * "0", "dt = 1000", "finite and positive"),
    ("dt = 2020-01-01", "dt = 2020-01-01", "a number"),
    ("precision = 'float16'", 'precision = "float16"', '"float64" or "float32"'),
    ("precision = 64", "precision = 64", "text in quotes"),
    ("progress = 1", "progress = 1", "true or false"),
    ("progress = 'no'", 'progress = "no"', "true or false"),
    ("thermalization_store = false", "thermalization_store = false", "text in quotes"),
    ("source = 'x'", 'source = "x"', "known key"),
]


def names_value_and_cure(error: ValueError, value: str, place: str, rule: str) -> None:
    """The message is: value in place: rule; cure."""
    shown, found, rule_and_cure = str(error).partition(f" in {place}: ")
    assert found
    assert shown.startswith(value)
    assert rule in rule_and_cure
    assert "; " in rule_and_cure


@pytest.mark.parametrize(("text", "value", "rule"), BAD_SETTINGS)
def test_bad_settings(tmp_path: Path, text: str, value: str, rule: str) -> None:
    file = written(tmp_path / "bad.toml", text)
    with pytest.raises(ValueError, match="; ") as caught:
        load_settings(file)
    names_value_and_cure(caught.value, value, str(file), rule)


NOT_TOML = [  # text, line of the error, what it holds
    ("dt = 0.1\nsolver = staggered", 2, "solver = staggered"),
    ("dt = 0.1\ndt = 0.2", 2, "dt = 0.2"),
    ("dt = 0.1\n\nsolver = '''abc\n", 3, "solver = '''abc"),
    ("dt = " + "[" * 100_000, 1, "dt = [[["),
]


@pytest.mark.parametrize(("text", "line", "value"), NOT_TOML)
def test_settings_that_are_not_toml(tmp_path: Path, text: str, line: int, value: str) -> None:
    file = written(tmp_path / "bad.toml", text)
    with pytest.raises(ValueError, match="; ") as caught:
        load_settings(file)
    names_value_and_cure(caught.value, value, f"{file}:{line}", "not TOML")


def test_bad_settings_found_upwards_name_their_file(tmp_path: Path) -> None:
    file = written(tmp_path / "config" / "pyloric.toml", "\nprecision = 'double'")
    with pytest.raises(ValueError, match=re.escape(f'precision = "double" in {file}: ')):
        load_settings()


def test_missing_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "config" / "pyloric.toml", "dt = 0.1")
    with pytest.raises(FileNotFoundError, match=r"none\.toml.*\(path\)"):
        load_settings("none.toml")
    with pytest.raises(FileNotFoundError, match=r"config.*settings file"):
        load_settings(tmp_path / "config")
    monkeypatch.setenv("PYLORIC_CONFIG", "none.toml")
    with pytest.raises(FileNotFoundError, match=r"none\.toml.*PYLORIC_CONFIG"):
        load_settings()


def test_encodings(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xef\xbb\xbfdt = 0.1\r\nprogress = false\r\n")
    assert load_settings(file) == DEFAULTS._replace(dt=0.1, progress=False)
    file.write_bytes(b"dt = 0.1\n\nsolver = '\xfc'\n")
    with pytest.raises(ValueError, match=re.escape(f"byte 0xfc in {file}:3: TOML must be UTF-8")):
        load_settings(file)


def test_the_settings_of_the_checkout_are_the_defaults() -> None:
    text = (CHECKOUT / "config" / "pyloric.toml").read_text(encoding="utf-8")
    assert load_settings(CHECKOUT / "config" / "pyloric.toml") == DEFAULTS
    assert tomllib.loads(text) == {}
    shown = "\n".join(re.findall(r"^#(\w+ = .*)$", text, re.MULTILINE))
    assert Settings(**tomllib.loads(shown)) == DEFAULTS


# ------------------------------------------------------------------------------------ circuits

PAPER_GS = {
    ("AB", "LP"): 30.0,
    ("PD", "LP"): 30.0,
    ("AB", "PY"): 10.0,
    ("PD", "PY"): 3.0,
    ("LP", "AB/PD"): 30.0,
    ("LP", "PY"): 1.0,
    ("PY", "LP"): 30.0,
}


def test_paper_circuit() -> None:
    spec = read_circuit(find_circuit())
    assert spec.pop_sizes == {"AB/PD": 1, "LP": 1, "PY": 1}
    assert spec.cells == {"AB/PD": "AB/PD 2", "LP": "LP 4", "PY": "PY 1"}
    assert spec.gs == PAPER_GS
    assert (spec.cell_types, spec.ge) == ({}, None)


def test_five_populations() -> None:
    spec = read_circuit(find_circuit("five_populations"))
    sizes = [("AB", 1), ("PD", 2), ("LP 4", 1), ("PY 1", 3), ("PY 5", 2)]
    assert list(spec.pop_sizes.items()) == sizes
    assert spec.cells == {"AB": "AB/PD 2", "PD": "AB/PD 2"}
    paper = read_circuit(find_circuit("paper")).gs
    onto_lp = {pre: g * spec.pop_sizes[pre] for (pre, post), g in spec.gs.items() if post == "LP 4"}
    assert onto_lp["AB"] == paper["AB", "LP"]
    assert onto_lp["PD"] == paper["PD", "LP"]
    assert onto_lp["PY 1"] + onto_lp["PY 5"] == paper["PY", "LP"]
    assert spec.ge is None


def test_reduced_circuit() -> None:
    spec = read_circuit(find_circuit("reduced"))
    assert spec.pop_sizes == {"AB": 1, "LP": 1}
    assert spec.cells == {"AB": "AB/PD 3", "LP": "LP 1"}
    assert spec.gs == {("AB", "LP"): 3.0, ("LP", "AB"): 3.0}
    assert spec.ge is None


def test_the_checkout_shows_the_circuits_of_the_package() -> None:
    packaged = sorted((PACKAGE / "circuits").glob("*.toml"))
    assert tuple(file.stem for file in packaged) == SHIPPED
    for file in packaged:
        shown = CHECKOUT / "config" / "circuits" / file.name
        assert shown.read_bytes() == file.read_bytes(), (
            f"config/circuits/{file.name} and pyloric_simulator/config/circuits/{file.name} must "
            "be equal: copy the one you mean over the other (and save variants of your own under "
            "another name)"
        )


FULL_CIRCUIT = """\
title = 'All there is'
[populations]
LP.size = 2
"LP 1" = { size = 3 }
[populations."my \\"cell\\""]
size = 1
g = { Na = 100, "leak" = 0.01 }
type = "PY"
[[synapses]]
pre = "LP"
post = 'my "cell"'
g = 0
[electrical]
g = 1.5
[constants]
f = 15
Ca_out = 13e3
"""


def test_every_feature_of_a_circuit_file(tmp_path: Path) -> None:
    assert read_circuit(written(tmp_path / "full.toml", FULL_CIRCUIT)) == CircuitSpec(
        title="All there is",
        pop_sizes={"LP": 2, "LP 1": 3, 'my "cell"': 1},
        cells={'my "cell"': {"Na": 100.0, "leak": 0.01}},
        cell_types={'my "cell"': "PY"},
        gs={("LP", 'my "cell"'): 0.0},
        ge=1.5,
        constants={"f": 15.0, "Ca_out": 13000.0},
    )


HEAD = 'title = "x"\n[populations.LP]\nsize = 1\n'  # three good lines
SYNAPSE = '[[synapses]]\npre = "LP"\npost = "LP"\ng = 1\n'  # four more

BAD_CIRCUITS = [  # text, what the message must show of the value, of the rule
    # keys
    ("", "file = {  }", "title is missing"),
    ("[populations.LP]\nsize = 1", "file = { populations", "title is missing"),
    ('title = "x"', 'file = { title = "x" }', "populations is missing"),
    ('\ntitle = "x"\n\n[populations]', "populations = {  }", "at least one population"),
    ("titel = 1\n" + HEAD, "titel = 1", "did you mean title?"),
    (HEAD + "[population.PY]\nsize = 1", "population = { PY", "did you mean populations?"),
    (HEAD + "sise = 2", "populations.LP.sise = 2", "did you mean size?"),
    (HEAD + SYNAPSE + "gs = 2", "synapses[0].gs = 2", "did you mean g?"),
    (HEAD + "[electrical]\nge = 3", "electrical.ge = 3", "did you mean g?"),
    (HEAD + "[electrical]", "electrical = {  }", "g is missing"),
    (HEAD + '[populations."a.b"]\ntype = "LP"', 'populations."a.b" = { type', "size is miss"),
    (HEAD + '[populations."ü"]', 'populations."ü" = {  }', "size is missing"),
    (HEAD + '[populations.""]\nsize = 1', 'populations."" = ', "needs a name"),
    (HEAD + "[[synapses]]\npost = 'LP'\ng = 1", 'synapses[0] = { post = "LP"', "pre is missing"),
    (HEAD + SYNAPSE + "[[synapses]]\npre = 'LP'\ng = 1", "synapses[1] = { pre", "post is miss"),
    (HEAD + "[[synapses]]\npre = 'LP'\npost = 'LP'", "synapses[0] = { pre", "g is missing"),
    # types
    ("title = 4\n[populations.LP]\nsize = 1", "title = 4", "text in quotes"),
    ("title = ''\n[populations.LP]\nsize = 1", 'title = ""', "not empty"),
    ('title = "x"\npopulations = 3', "populations = 3", "must be a table"),
    ('title = "x"\n[[populations]]\nLP = 1', "populations = [{ LP = 1 }]", "must be a table"),
    ('title = "x"\npopulations.LP = 1', "populations.LP = 1", "must be a table"),
    (HEAD + "cell = 4", "populations.LP.cell = 4", "text in quotes"),
    (HEAD + "\ncell = { Na = 1 }", "populations.LP.cell = { Na = 1 }", "or g = {"),
    (HEAD + "type = false", "populations.LP.type = false", "text in quotes"),
    (HEAD + "[synapses]\npre = 'LP'", 'synapses = { pre = "LP" }', "[[synapses]], in double"),
    (HEAD + "[[synapses]]\npre = 1\npost = 'LP'\ng = 1", "synapses[0].pre = 1", "text in quo"),
    (HEAD + "[[synapses]]\npre = 'LP'\npost = ''\ng = 1", 'synapses[0].post = ""', "not empty"),
    ("electrical = 3\n" + HEAD, "electrical = 3", "must be a table"),
    ("synapses = [\n 1,\n]\n" + HEAD, "synapses[0] = 1", "write [[synapses]]"),
    # sizes
    ('title = "x"\n[populations]\nLP.size = 0', "populations.LP.size = 0", "positive whole"),
    ('title = "x"\n[populations.LP]\nsize = -1', "populations.LP.size = -1", "positive whole"),
    ('title = "x"\n[populations.LP]\nsize = 1.0', "populations.LP.size = 1.0", "positive whole"),
    ('title = "x"\n[populations.LP]\nsize = true', "populations.LP.size = true", "positive wh"),
    ('title = "x"\n[populations.LP]\nsize = "1"', 'populations.LP.size = "1"', "positive whole"),
    # conductances
    (HEAD + "g = 4", "populations.LP.g = 4", "must be a table"),
    (HEAD + "g = {}", "populations.LP.g = {  }", "needs conductances"),
    (HEAD + "g = { Na = -1 }", "populations.LP.g.Na = -1", "zero or positive"),
    (HEAD + "g = { Na = 1, H = inf }", "populations.LP.g.H = inf", "finite number"),
    (HEAD + "[populations.LP.g]\nNa = 1\nH = '2'", 'populations.LP.g.H = "2"', "finite number"),
    (HEAD + "cell = 'LP 1'\ng.Na = 1", "populations.LP.g = { Na = 1 }", "keep one of"),
    (HEAD + SYNAPSE.replace("g = 1", "g = -30"), "synapses[0].g = -30", "zero or positive"),
    (HEAD + SYNAPSE.replace("g = 1", "g = nan"), "synapses[0].g = nan", "finite number"),
    (HEAD + SYNAPSE.replace("g = 1", "g = true"), "synapses[0].g = true", "finite number"),
    (HEAD + SYNAPSE.replace("g = 1", "g = '3'"), 'synapses[0].g = "3"', "finite number"),
    (HEAD + "[electrical]\n\ng = -0.5", "electrical.g = -0.5", "zero or positive"),
    # constants
    (HEAD + "constants = 3", "populations.LP.constants = 3", "did you mean"),
    ("constants = 3\n" + HEAD, "constants = 3", "must be a table"),
    (HEAD + "[constants]\nf = '15'", 'constants.f = "15"', "finite number"),
    (HEAD + "[constants]\nf = 1\nA = nan", "constants.A = nan", "finite number"),
    (HEAD + "[constants]\nf = true", "constants.f = true", "finite number"),
    # synapses
    (HEAD + SYNAPSE.replace("post = 'LP'", "").replace('post = "LP"', 'post = "LPP"'),
     'synapses[0].post = "LPP"', 'did you mean "LP"?'),
    (HEAD + SYNAPSE + "# again\n" + SYNAPSE, "synapses[1] = { pre", "given by synapses[0] already"),
    (HEAD + SYNAPSE + SYNAPSE.replace('pre = "LP"', 'pre = """\nPY"""').replace('post = "LP"',
     'post = "PY"'), 'synapses[1].post = "PY"', "must be a population"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "rule"), BAD_CIRCUITS)
def test_bad_circuits(tmp_path: Path, text: str, value: str, rule: str) -> None:
    file = written(tmp_path / "bad.toml", text)
    with pytest.raises(ValueError, match="; ") as caught:
        read_circuit(file)
    names_value_and_cure(caught.value, value, str(file), rule)


BROKEN_CIRCUITS = [  # text, line of the error, what it holds
    (HEAD + "[populations.LP]\nsize = 2", 4, "[populations.LP]"),
    (HEAD + "cell = LP 1", 4, "cell = LP 1"),
    (HEAD + "[populations.AB/PD]\nsize = 1", 4, "[populations.AB/PD]"),
    (HEAD + 'cell = "LP 1\n', 4, 'cell = "LP 1'),
    (HEAD + "g = { Na = 1,\n  H = 2 }", 4, "g = { Na = 1,"),
]


@pytest.mark.parametrize(("text", "line", "value"), BROKEN_CIRCUITS)
def test_circuits_that_are_not_toml(tmp_path: Path, text: str, line: int, value: str) -> None:
    file = written(tmp_path / "bad.toml", text)
    with pytest.raises(ValueError, match="; ") as caught:
        read_circuit(file)
    names_value_and_cure(caught.value, value, f"{file}:{line}", "not TOML")


def test_missing_circuit_file() -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.toml: the circuit file must be"):
        read_circuit("none.toml")


# ------------------------------------------------------------------------- writing circuits

ODD = ['"', "'", "\\", "\n", "\r\n", "\t", "\x00", "\x1f", "\x7f", ".", "#", "]", "=", " ", "AB/PD"]
ODD += ["ü", "日本", "\u2028", "🦞", "LP 1", "a.b", "[[x]]", '"""', "\\u0041", "true", "1"]


def random_spec(rng: random.Random) -> CircuitSpec:
    def text() -> str:
        return "".join(rng.choices(ODD, k=rng.randint(1, 4)))

    def number() -> float:
        return rng.choice([0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 30.0, rng.random()])

    labels = list({text() for _ in range(rng.randint(1, 5))})
    rng.shuffle(labels)
    return CircuitSpec(
        title=text(),
        pop_sizes={label: rng.randint(1, 9) for label in labels},
        cells={
            label: text() if rng.random() < 0.5 else {text(): number() for _ in range(8)}
            for label in labels
            if rng.random() < 0.8
        },
        cell_types={label: text() for label in labels if rng.random() < 0.5},
        gs={(text(), rng.choice(labels)): number() for _ in range(rng.randint(0, 6))},
        ge=rng.choice([None, number()]),
        constants={text(): rng.choice([-1, 1]) * number() for _ in range(rng.randint(0, 3))},
    )


def test_round_trip_is_exact(tmp_path: Path) -> None:
    file = tmp_path / "spec.toml"
    for seed in range(150):
        spec = random_spec(random.Random(seed))
        write_circuit(spec, file)
        assert read_circuit(file) == spec
        assert list(read_circuit(file).pop_sizes) == list(spec.pop_sizes)
        assert list(read_circuit(file).gs) == list(spec.gs)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_circuits_survive_writing(tmp_path: Path, name: str) -> None:
    spec = read_circuit(find_circuit(name))
    write_circuit(spec, tmp_path / "copy.toml")
    assert read_circuit(tmp_path / "copy.toml") == spec


def test_a_written_circuit_reads_well(tmp_path: Path) -> None:
    spec = CircuitSpec("Two", {"AB/PD": 1, "LP": 2}, {"LP": "LP 1"}, {}, {("AB", "LP"): 30.0}, 3)
    write_circuit(spec, tmp_path / "two.toml")
    assert (tmp_path / "two.toml").read_bytes().decode().split("\n") == [
        'title = "Two"',
        "",
        '[populations."AB/PD"]',
        "size = 1",
        "",
        "[populations.LP]",
        "size = 2",
        'cell = "LP 1"',
        "",
        "[[synapses]]",
        'pre = "AB"',
        'post = "LP"',
        "g = 30.0",
        "",
        "[electrical]",
        "g = 3",
        "",
    ]


def test_numbers_of_numpy_are_written_exactly(tmp_path: Path) -> None:
    single, double, two = np.float32(0.1), np.float64(0.1), cast(int, np.int64(2))
    cells = {"LP": {"Na": cast(float, single)}}
    spec = CircuitSpec("x", {"LP": two}, {**cells}, {}, {("a", "LP"): double}, None)
    write_circuit(spec, tmp_path / "numpy.toml")
    back = read_circuit(tmp_path / "numpy.toml")
    assert back.cells == {"LP": {"Na": float(single)}}
    assert (back.pop_sizes, back.gs) == ({"LP": 2}, {("a", "LP"): 0.1})


GOOD = CircuitSpec("x", {"LP": 1}, {"LP": "LP 1"}, {}, {("LP", "LP"): 1.0}, None)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"title": ""}, r"title = \"\""),
        ({"pop_sizes": {}, "cells": {}}, "populations"),
        ({"pop_sizes": {"LP": 0}}, r"LP\.size = 0"),
        ({"pop_sizes": {"LP": True}}, r"LP\.size = true"),
        ({"cells": {"PY": "PY 1"}}, r"cells\['PY'\].*pop_sizes.*'LP'"),
        ({"cell_types": {"PY": "PY"}}, r"cell_types\['PY'\]"),
        ({"cells": {"LP": {}}}, r"LP\.g = {  }"),
        ({"gs": {("LP", "LP"): -1.0}}, r"synapses\[0\]\.g = -1\.0"),
        ({"gs": {("LP", "LP"): float("nan")}}, "g = nan"),
        ({"gs": {("LP", "LP"): "3"}}, 'g = "3"'),
        ({"gs": {("LP", "PY"): 1.0}}, 'post = "PY"'),
        ({"ge": float("inf")}, r"electrical\.g = inf"),
        ({"constants": {"f": float("nan")}}, r"constants\.f = nan"),
    ],
)  # fmt: skip
def test_a_bad_spec_is_not_written(tmp_path: Path, change: dict[str, object], shown: str) -> None:
    file = written(tmp_path / "old.toml", "old")
    with pytest.raises(ValueError, match=shown):
        write_circuit(GOOD._replace(**change), file)  # type: ignore[arg-type]
    assert file.read_text(encoding="utf-8") == "old"


# ------------------------------------------------------------------------- finding circuits


def test_find_circuit_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "runs" / "today"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    packaged = PACKAGE / "circuits" / "paper.toml"
    assert find_circuit() == find_circuit("paper") == find_circuit("paper.toml") == packaged
    outer = written(tmp_path / "config" / "circuits" / "paper.toml", "")
    assert find_circuit("paper") == packaged, "above no root of a project"
    (tmp_path / ".git").mkdir()
    assert find_circuit("paper") == outer
    nearer = written(inner / "config" / "circuits" / "paper.toml", "")
    assert find_circuit("paper") == nearer
    written(inner / "paper", "")
    assert find_circuit("paper") == Path("paper")
    assert find_circuit(outer) == find_circuit(str(outer)) == outer


def test_find_circuit_of_the_user(tmp_path: Path) -> None:
    mine = written(tmp_path / "config" / "circuits" / "mine.toml", "")
    assert find_circuit("mine") == mine
    with pytest.raises(FileNotFoundError, match=r"'mime'.*five_populations, mine, paper, reduced"):
        find_circuit("mime")


@pytest.mark.parametrize("name", ["", "nowhere/paper", "../circuits/paper", "papers\0"])
def test_no_such_circuit(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="five_populations, paper, reduced"):
        find_circuit(name)


def test_a_vendored_copy_brings_its_circuits(tmp_path: Path) -> None:
    copy = shutil.copytree(PACKAGE, tmp_path / "elsewhere" / "settings")
    module = imported_copy(copy)
    assert module.find_circuit() == copy / "circuits" / "paper.toml"
    assert module.read_circuit(module.find_circuit()).gs == PAPER_GS
    assert module.load_settings() == DEFAULTS


def test_importing_reads_nothing(tmp_path: Path) -> None:
    copy = shutil.copytree(PACKAGE, tmp_path / "bare", ignore=shutil.ignore_patterns("*.toml"))
    module = imported_copy(copy)
    with pytest.raises(FileNotFoundError, match=r"defaults\.toml"):
        module.load_settings()
