"""Tables in files: text in the forms that instruments and spreadsheets write, and Parquet.

Mechanics of `recording`. A text file says nothing of its form, so that its first lines are looked at: the sign between columns, the sign
of decimals, how many lines come before the numbers, which of them has the names, and whether one has units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..engine import checks

__all__ = ["read_table"]

COMPRESSED = (".gz", ".bz2", ".zip", ".xz", ".zst", ".tar")  # which pandas opens
PANDAS = tuple(int(x) for x in pd.__version__.split(".")[:2])
EXACT: dict[str, Any] = (
    {"float_precision": "round_trip"} if PANDAS < (3, 1) else {}
)  # so that no digit is lost; later pandas does it


def read_table(path: Any) -> pd.DataFrame:
    """The table in a file of text or Parquet, with all of its columns, and the index that a Parquet file has.

    Lines of text that begin with # are comments; within a line the sign may belong to a label. A unit from a row of units is added to the
    name of its column, "PD (mV)". Raises ValueError for what is no table, OSError if the file cannot be read.
    """
    file = known_file(path)
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    try:
        if file.suffix == ".parquet" or head.startswith(b"PAR1"):
            checks.package("pyarrow", "parquet", "reading Parquet")
            return pd.read_parquet(file)
        form = None if file.suffix in COMPRESSED else form_of(head)
        return read_csv(file) if form is None or form.plain else read_text(file, form)
    except (ValueError, OSError) as error:
        reason = str(error).strip().rstrip(".")
        raise ValueError(
            f"'{file}' cannot be read: {reason}. It must be text with a column for each channel, or Parquet. Export it anew."
        ) from None


def known_file(path: Any) -> Path:
    """A path at which there is a file."""
    checks.of_type("the path", path, (str, Path), "the path of a file")
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"'{file}' is no file; it must be one of text, Parquet or an instrument. Check the path.")
    return file


def read_csv(file: Path) -> pd.DataFrame:
    """The table in a CSV file, its numbers to the last digit. Raises ValueError for a column that is there twice."""
    options: dict[str, Any] = {"comment": "#"} if file.suffix in COMPRESSED else {"skiprows": comments(file, "utf-8")}
    names = pd.read_csv(file, header=None, nrows=1, dtype=str, **options).iloc[0].dropna()
    if len(names) == 1 and (other := [x for x in (";", "\t") if x in names.iloc[0]]):
        raise ValueError(f"its columns are separated by {other[0]!r} and hold no rows of numbers")
    refuse_twice(names)
    return pd.read_csv(file, **EXACT, **options)


def refuse_twice(names: Iterable[str]) -> None:
    """Refuse names of columns of which one comes twice."""
    series = pd.Series(list(names), dtype=object)
    if (twice := series[series.duplicated()]).size:
        raise ValueError(f"the column {twice.iloc[0]!r} is there twice, and each cell needs a label of its own")


def comments(file: Path, encoding: str) -> list[int]:
    """Which lines of a file begin with #."""
    if encoding.startswith("utf-16"):
        with file.open(encoding=encoding) as text:
            return [i for i, line in enumerate(text) if line.startswith("#")]
    with file.open("rb") as opened:
        return [i for i, line in enumerate(opened) if line.startswith(b"#")]


# ---------------------------------------------------------------- the form of a text file

HEAD = 1 << 16  # bytes that are looked at
ALIKE = 20  # rows of numbers that must have the same form, or as many as there are
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
NOTHING = ("", "nan", "na", "n/a", "inf", "-inf", "+inf", "null", "none")  # what a sample that is missing may be
SEPARATORS = ("\t", ";", ",", r"\s+")
BLANKS = SEPARATORS[-1]
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # at the beginning of a file


class Form(NamedTuple):
    """How a text file is written."""

    encoding: str
    separator: str  # a regular expression, if it is that of blanks
    decimal: str  # "." or ","
    first: int  # number of the line with which the numbers begin, from 0
    names: tuple[str, ...] | None  # of the columns, with their units; None where the file has none
    plain: bool  # whether it is as pandas expects it


def form_of(head: bytes) -> Form | None:
    """The form of a text, from its first bytes; None where it shows no rows of numbers, which is for pandas to say."""
    encoding = encoding_of(head)
    lines = head.decode(encoding, "ignore").splitlines()
    lines = lines[:-1] if len(head) == HEAD else lines  # the last one is cut
    said = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    for k, i in enumerate(said):
        rows = [lines[j] for j in said[k : k + ALIKE]]
        for separator in SEPARATORS:
            for decimal in ".,":
                if separator == decimal or not (n := width(rows, separator, decimal)):
                    continue
                names, above = names_of([lines[j] for j in said[:k]], separator, n)
                if names is None and above:
                    return None
                usual = (encoding, separator, decimal, k, above) == ("utf-8", ",", ".", 1, 1)
                return Form(encoding, separator, decimal, i, names, usual and bool(names and names[-1]))
    return None


def encoding_of(head: bytes) -> str:
    """The encoding of a text: by its mark, or UTF-8, or else that of older Windows."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    try:
        head[: len(head) - 4].decode("utf-8")  # a letter may be cut at the end
        return "utf-8"
    except UnicodeDecodeError:
        return "cp1252"


def fields(line: str, separator: str) -> list[str]:
    """The fields of a line, without quotes and blanks around them."""
    found = re.split(r"\s+", line.strip()) if separator == BLANKS else line.rstrip("\r\n").split(separator)
    return [x.strip().strip('"').strip() for x in found]


def width(rows: Sequence[str], separator: str, decimal: str) -> int:
    """The number of columns, if all of the rows consist of numbers in this form; else 0. One row alone must be the last of a file."""
    split = [fields(row, separator) for row in rows]
    n = len(split[0])
    if separator != BLANKS and n < 2:
        return 0
    good = all(len(row) == n and any(map(is_number(decimal), row)) for row in split)
    clean = all(is_number(decimal)(x) or x.lower() in NOTHING for row in split for x in row)
    return n if good and clean else 0


def is_number(decimal: str) -> Any:
    """A function that tells a number with this sign of decimals."""
    if decimal == ".":
        return NUMBER.fullmatch
    return lambda x: "." not in x and NUMBER.fullmatch(x.replace(",", "."))


def names_of(above: Sequence[str], separator: str, n: int) -> tuple[tuple[str, ...] | None, int]:
    """The names of n columns, from the lines above the numbers, and how many of these they take; a row of units belongs to them."""
    split = [header_fields(line, separator) for line in above[-2:]]
    if not split or len(split[-1]) != n:
        return None, 0
    last, before = split[-1], split[0] if len(split) == 2 and len(split[0]) == n else []
    if before and all(bare(x) in UNITS or not x for x in last):
        return tuple(f"{name} ({bare(x)})" if x else name for name, x in zip(before, last, strict=True)), 2
    if before and all(before) and separator != BLANKS and not before[0].endswith(("=", ":")):
        return None, 2  # two rows of names
    return tuple(last), 1


def header_fields(line: str, separator: str) -> list[str]:
    """The fields of a line of names; between blanks, a unit in brackets belongs to the name before it."""
    return fields(line, separator) if separator != BLANKS else re.split(r"\s+(?![\[(])", line.strip())


def bare(unit: str) -> str:
    """A unit without brackets."""
    return unit.strip("()[] ")


# ---------------------------------------------------------------- reading it


def read_text(file: Path, form: Form) -> pd.DataFrame:
    """The table in a text file of a form. Columns without names are called time, ch1, ch2, …"""
    skipped = [i for i in comments(file, form.encoding) if i >= form.first]
    data = pd.read_csv(
        file, header=None, sep=form.separator, decimal=form.decimal, encoding=form.encoding, skipinitialspace=True,
        skiprows=[*range(form.first), *skipped], **EXACT,
    )  # fmt: skip
    if form.names is None:
        data = data.set_axis([f"ch{i}" for i in range(data.shape[1])], axis=1).rename(columns={"ch0": FIRST})
        return data.rename(columns={FIRST: "ch1"}) if data.shape[1] == 1 else data
    if data.shape[1] != len(form.names):
        raise ValueError(f"it has {len(form.names)} names and {data.shape[1]} columns; each column needs one")
    refuse_twice(name for name in form.names if name)
    empty = [i for i, name in enumerate(form.names) if not name and data.iloc[:, i].isna().all()]  # a sign at the end
    data.columns = pd.Index([name or f"Unnamed: {i}" for i, name in enumerate(form.names)])
    return data.drop(columns=data.columns[empty])


FIRST = "time"  # what the first of several columns without names is called

# ---------------------------------------------------------------- units

POTENTIALS = {"V": 1e3, "mV": 1.0, "µV": 1e-3, "nV": 1e-6}  # mV
TIMES = {"s": 1e3, "sec": 1e3, "ms": 1.0, "msec": 1.0, "µs": 1e-3, "ns": 1e-6, "min": 6e4}  # ms
OTHERS = (
    "A", "mA", "µA", "nA", "pA", "S", "mS", "µS", "nS", "pS", "MΩ", "GΩ", "°C", "degC", "Hz", "kHz", "Pa", "kPa", "mmHg", "cmH2O", "N", "mN",
    "g", "µM", "mM", "nM", "%",
)  # fmt: skip  # of other quantities
UNITS = {*POTENTIALS, *TIMES, *OTHERS, "uV", "uA", "uS", "us", "uM", "μV", "μA", "μs", "volt", "volts", "mv"}
SPELLINGS = {
    "volt": "V",
    "volts": "V",
    "v": "V",
    "mv": "mV",
    "millivolt": "mV",
    "millivolts": "mV",
    "microvolts": "µV",
    "uv": "µV",
}
NAMED = re.compile(r"(?P<name>.*\S)\s*[\[(/]\s*(?P<unit>[^\[\]()/\s]+)\s*[\])]?")


def spelled_unit(unit: str) -> str:
    """A unit as the tables above have it: with the sign of micro, not u or the Greek letter."""
    x = unit.strip().replace("μ", "µ")
    x = SPELLINGS.get(x.lower(), x)
    return "µ" + x[1:] if len(x) > 1 and x[0] == "u" and "µ" + x[1:] in {*POTENTIALS, *TIMES, *OTHERS} else x


def name_and_unit(label: Any) -> tuple[Any, str]:
    """A label such as "PD (mV)" or "PD [V]" in two parts; the second is empty where it says no unit that is known."""
    found = NAMED.fullmatch(label) if isinstance(label, str) else None
    unit = spelled_unit(found["unit"]) if found else ""
    known = unit in POTENTIALS or unit in TIMES or unit in OTHERS
    return (found["name"].strip(), unit) if found and known else (label, "")
