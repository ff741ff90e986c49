"""A data set's declaration, guessed from its rows: types, bounds and values that hold for every row there is, and why.

A guess is a beginning: it says what the rows are, not what they should be. Whoever pastes it decides what of that is a rule.
"""

from __future__ import annotations

import csv
import io
import json
import keyword
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import polars as pl

from flyball.clock import rfc3339
from flyball.data.cells import brief
from flyball.data.source import stream
from flyball.data.sources import files
from flyball.data.sources.access import access
from flyball.data.sources.text import missing, parsed
from flyball.data.types import instants
from flyball.declare.columns import Column
from flyball.declare.data import Dataset, is_pattern
from flyball.errors import BadInput
from flyball.records.models import FieldType

FEW: Final = 12
"""At most so many values are listed as those that are allowed, each of ten rows on average."""

RARE: Final = 0.02
"""A share of cells that are no numbers, up to which it is worth a word that all others are."""

_TIMES: Final = ("time", "ts", "timestamp", "datetime", "date", "at", "when", "moment")
_ARRIVALS: Final = ("arrived", "arrived_at", "ingested_at", "received_at", "loaded_at", "inserted_at")
_PERSONAL: Final = re.compile(
    r"(^|_)(e?mail|phone|mobile|surname|firstname|lastname|fullname|name|address|street|iban|ssn|birth(day|date)?)(_|$)"
)
_CODE: Final = r"^\s*[+-]?0[0-9]"
_WORDS: Final[dict[FieldType, str]] = {"int": "int", "float": "float", "bool": "bool", "str": "str", "time": '"time"'}


@dataclass(frozen=True)
class Guess:
    """One column: what it holds in every row, and why that was guessed. `nulls` is a share in whole percent."""

    name: str
    type: FieldType
    between: tuple[float, float] | None = None
    one_of: tuple[str | int, ...] | None = None
    nulls: int = 0
    personal: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Inferred:
    """A guessed data set. Roles that nothing speaks for are empty; `reasons` of roles by name; `skipped` columns hold no plain value."""

    name: str
    source: str
    rows: int
    columns: tuple[Guess, ...]
    time: str
    arrived: str
    id: str
    reasons: dict[str, str]
    skipped: tuple[str, ...]


def infer(source: str, root: Path, name: str = "") -> Inferred:
    """Guess the declaration of the rows of a file or glob, which is taken from `root`. Reads all of them.

    Raises BadInput for what cannot be read.
    """
    name = name or _named(source)
    first = files.paths(Dataset(name, source=source, columns={"x": str}), root)[0]
    types, skipped = _types(source, root, name, first)
    # what the folders of a file say is text as long as nobody says what it is
    folders = [column for column in files.folders(Path(files.shown(first, root))) if column not in types]
    types |= dict.fromkeys(folders, "str")
    # a name that cannot be printed cannot be declared
    skipped += [column for column in types if not _is_plain(column)]
    types = {column: kind for column, kind in types.items() if _is_plain(column)}
    if not types:
        raise BadInput(
            f"{source} has no column that could be declared", why=f"it has {', '.join(skipped) or 'none'}", fix="write plain columns"
        )
    rows = pl.concat(list(stream(Dataset(name, source=source, columns={key: Column(kind) for key, kind in types.items()}), access(root))))
    for column in folders:
        types[column] = _strictest(rows[column])
        rows = rows.with_columns(parsed(column, types[column]))
    guesses = [_guess(rows[key], kind) for key, kind in types.items()]
    time, why_time = _time(rows, types)
    arrived, why_arrived = _arrived(rows, types, time)
    who, why_who = _id(rows, types)
    reasons = {"time": why_time, "arrived": why_arrived, "id": why_who}
    return Inferred(
        name=name,
        source=source,
        rows=rows.height,
        columns=tuple(replace(guess, between=None, one_of=None) if guess.name == who else guess for guess in guesses),
        time=time,
        arrived=arrived,
        id=who,
        reasons={role: reason for role, reason in reasons.items() if reason},
        skipped=tuple(skipped),
    )


def _named(source: str) -> str:
    stem = re.sub(r"[^a-z0-9]+", "_", Path(source.split("*", maxsplit=1)[0].rstrip("/")).stem.lower()).strip("_")
    return stem[:64].rstrip("_") or "rows"


def _types(source: str, root: Path, name: str, first: Path) -> tuple[dict[str, FieldType], list[str]]:
    """Every column that can be declared and its type, and those that cannot be."""
    kind = first.suffix.lower()
    if kind == ".csv":
        with first.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next(csv.reader(file), [])
        if not header or any("\0" in column or "\ufffd" in column for column in header):
            # no text, or nothing: the reader says which
            list(stream(Dataset(name, source=source, columns={"x": str}), access(root)))
        types = _of_text(source, root, name, [column for column in header if _is_plain(column)])
        return types, [column for column in header if column and not _is_plain(column)]
    if kind in (".jsonl", ".ndjson"):
        try:
            plain = pl.read_ndjson(io.BytesIO(first.read_bytes()), infer_schema_length=None)
        except pl.exceptions.PolarsError as error:
            why = _first_wrong(first) or str(error).splitlines()[0]
            raise BadInput(
                f"{source} is not JSON Lines", why=why, fix="write one JSON object a line, and null where there is no value"
            ) from error
    elif kind in (".parquet", ".pq"):
        try:
            plain = pl.read_parquet(first, n_rows=100_000)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BadInput(f"{source} is not whole Parquet", why=str(error).splitlines()[0], fix="write it again") from error
    else:
        raise BadInput(f'"{kind}" files are not read', fix="use .csv, .parquet or .jsonl")
    known: dict[str, FieldType] = {}
    for column, series in zip(plain.columns, plain.get_columns(), strict=True):
        found = _of_dtype(series)
        if found is not None:
            known[column] = found
    return known, [column for column in plain.columns if column not in known]


def _first_wrong(path: Path) -> str:
    """The first line of a file that is no JSON."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                json.loads(line, parse_constant=refuse)
            except ValueError as error:
                return f"line {number}: {error}"
    return ""


def _is_plain(name: str) -> bool:
    return bool(name) and name.isprintable() and not is_pattern(name)


def _of_dtype(series: pl.Series) -> FieldType | None:
    dtype = series.dtype
    if dtype.is_integer():
        return "int"
    if dtype.is_float() or isinstance(dtype, pl.Decimal):
        return "float"
    if isinstance(dtype, pl.Datetime | pl.Date):
        return "time"
    if dtype == pl.Boolean:
        return "bool"
    if dtype == pl.String:
        return "time" if _all(series, "time") and not series.drop_nulls().is_empty() else "str"
    return "str" if isinstance(dtype, pl.Categorical | pl.Enum | pl.Null) else None


def _of_text(source: str, root: Path, name: str, header: list[str]) -> dict[str, FieldType]:
    """The strictest type that every cell of a column can be read as."""
    if not header:
        return {}
    possible: dict[str, list[FieldType]] = {column: ["int", "float", "bool", "time"] for column in header}
    filled = dict.fromkeys(header, False)
    for batch in stream(Dataset(name, source=source, columns=dict.fromkeys(header, Column(str))), access(root)):
        for column, kinds in possible.items():
            filled[column] = filled[column] or bool((~batch.select(missing(column, "float")).to_series()).any())
            # a number loses the zeros that a code begins with
            coded = bool(batch[column].str.contains(_CODE).any())
            possible[column] = [kind for kind in kinds if not (coded and kind in ("int", "float")) and _all(batch[column], kind)]
    return {column: kinds[0] if kinds and filled[column] else "str" for column, kinds in possible.items()}


def _strictest(series: pl.Series) -> FieldType:
    coded = bool(series.str.contains(_CODE).any())
    kinds: tuple[FieldType, ...] = ("bool", "time") if coded else ("int", "float", "bool", "time")
    return next((kind for kind in kinds if _all(series, kind)), "str") if series.drop_nulls().len() else "str"


def _all(series: pl.Series, kind: FieldType) -> bool:
    """Whether every cell can be read as this type."""
    frame = series.to_frame("cell")
    lost = frame.select(parsed("cell", kind).is_null() & ~missing("cell", kind)).to_series()
    return not lost.any()


def _guess(series: pl.Series, kind: FieldType) -> Guess:
    count = len(series)
    values = series.drop_nulls()
    nulls = math.ceil(100 * series.null_count() / count) if count else 0
    plain = Guess(series.name, kind, nulls=nulls, reason=f"{series.null_count():,} of {count:,} are missing" if nulls else "")
    if kind in ("str", "int", "float") and _PERSONAL.search(series.name.lower()):
        return replace(plain, personal=True, reason=_joined("by its name it says who a row is of", plain.reason))
    if values.is_empty():
        return replace(plain, reason="no row has a value")
    distinct = values.n_unique()
    if kind == "str" or (kind == "int" and distinct <= 3):
        # text that differs from row to row is no list of values
        few = distinct <= (FEW if kind == "str" else 3) and (count >= 10 * distinct or kind == "int")
        listed = tuple(values.unique().sort().to_list()) if few else None
        if listed is not None and all(len(str(value)) <= 60 for value in listed):
            return replace(plain, one_of=listed, reason=_joined(f"{distinct} values in {count:,} rows", plain.reason))
        if kind == "str":
            return replace(plain, reason=_joined(f"{distinct:,} values", _spoiled(values), plain.reason))
    if kind in ("int", "float"):
        low, high = values.min(), values.max()
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        return replace(plain, between=_outwards(low, high), reason=_joined(f"{low:,.6g} to {high:,.6g}", plain.reason))
    return plain


def _spoiled(values: pl.Series) -> str:
    """Which cells keep a column of text from being one of numbers, where they are few."""
    frame = values.to_frame("cell")
    lost = frame.filter(parsed("cell", "float").is_null())["cell"]
    return f"all but {len(lost):,} are numbers: {brief(lost[0])}" if 0 < len(lost) <= len(values) * RARE else ""


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _outwards(low: float, high: float) -> tuple[float, float]:
    """Round numbers around a range: tenths of its length, or of the number itself where there is one only.

    >>> _outwards(512.3, 98_112.0)
    (500.0, 100000.0)
    """
    span = Decimal(repr(high)) - Decimal(repr(low)) or abs(Decimal(repr(low))) or Decimal(1)
    # a range of 0 to 98,000 is rounded to tens of thousands, its lower end to what is small beside it
    step = Decimal(10) ** (max(-300, span.adjusted()))
    ends = []
    for value, sign in ((low, -1), (high, 1)):
        exact = Decimal(repr(value))
        own = min(step, Decimal(10) ** exact.adjusted()) if exact else step
        whole = (exact / own).to_integral_value(rounding="ROUND_FLOOR" if sign < 0 else "ROUND_CEILING") * own
        rounded = float(whole)
        ends.append(rounded if math.isfinite(rounded) and sign * (rounded - value) >= 0 else float(value))
    return ends[0], ends[1]


def _time(rows: pl.DataFrame, types: dict[str, FieldType]) -> tuple[str, str]:
    """The column that says when a row is about: a time in every row, best in the order of the file, best with such a name."""
    whole = [name for name, kind in types.items() if kind == "time" and not rows[name].null_count() and name.lower() not in _ARRIVALS]
    if not whole:
        return "", ""

    def rank(name: str) -> tuple[bool, bool, int]:
        return not rows[name].is_sorted(), not _says(name, _TIMES), whole.index(name)

    best = min(whole, key=rank)
    order = "in the order of the file" if rows[best].is_sorted() else "not in the order of the file"
    first, last = rows.select(instants(best).min().alias("first"), instants(best).max().alias("last")).row(0)
    return best, f"a time in every row, {order}: {rfc3339(first)} to {rfc3339(last)}"


def _arrived(rows: pl.DataFrame, types: dict[str, FieldType], time: str) -> tuple[str, str]:
    for name, kind in types.items():
        if kind == "time" and time and name.lower() in _ARRIVALS and not rows[name].null_count() and bool((rows[name] >= rows[time]).all()):
            return name, f"by its name, and never before {brief(time)}"
    return "", ""


def _id(rows: pl.DataFrame, types: dict[str, FieldType]) -> tuple[str, str]:
    for name, kind in types.items():
        ends = _says(name, ("id", "uuid", "key", "number", "no"))
        if kind in ("str", "int") and ends and rows.height > 1 and not rows[name].null_count() and rows[name].n_unique() == rows.height:
            return name, f"no two of {rows.height:,} rows have the same"
    return "", ""


def _says(name: str, words: tuple[str, ...]) -> bool:
    return re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())[-1] in words


def lines(found: Inferred) -> Iterator[str]:
    """The declaration as Python, to be pasted into a loop file."""
    plain = found.name.isidentifier() and not keyword.iskeyword(found.name) and found.name != "fb"
    variable = found.name if plain else f"data_{re.sub(r'[^a-z0-9_]', '_', found.name)}"
    yield "import flyball as fb"
    yield ""
    yield f"# guessed from {found.rows:,} rows: what they are, not what they should be"
    yield f"{variable} = fb.Dataset("
    yield f"    {quoted(found.name)},"
    yield f"    source={quoted(found.source)},"
    for role, column in (("time", found.time), ("arrived", found.arrived), ("id", found.id), ("unique", found.id)):
        if column:
            yield _noted(f"    {role}={quoted(column)},", found.reasons.get(role, ""))
    yield "    columns={"
    roles = {found.time, found.arrived}
    for guess in found.columns:
        # an id that is not declared is read as text
        if guess.name not in roles and not (guess.name == found.id and guess.type == "str"):
            yield _noted(f"        {quoted(guess.name)}: {_column(guess)},", guess.reason)
    for name in found.skipped:
        yield f"        # {brief(name)} is left out: it holds no plain values, or has no plain name"
    yield "    },"
    yield ")"


def _noted(code: str, reason: str) -> str:
    return f"{code}  # {brief(reason, 200)}" if reason else code


def _column(guess: Guess) -> str:
    more = [_WORDS[guess.type]]
    if guess.between is not None:
        more.append(f"between=({_number(guess.between[0])}, {_number(guess.between[1])})")
    if guess.one_of is not None:
        values = ", ".join(quoted(value) if isinstance(value, str) else str(value) for value in guess.one_of)
        more.append(f"one_of=({values}{',' if len(guess.one_of) == 1 else ''})")
    if guess.nulls:
        more.append(f'nulls="{guess.nulls}%"')
    if guess.personal:
        more.append("personal=True")
    return f"fb.column({', '.join(more)})"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def quoted(text: str) -> str:
    """Text as a Python literal in double quotes."""
    body = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in body) + '"'
