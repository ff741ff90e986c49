"""The problems of a request at once, each with its JSON pointer: the slow path, taken only when the fast one has refused.

This is the specification of what a valid row is; `validate` is the shortcut for rows that are. What a request can cost is bounded: while one
is read, nobody else is answered.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain, islice
from typing import Any, NamedTuple, TypeAlias

from flyball.clock import FARTHEST, Instant, instant
from flyball.errors import BadInput, Problem
from flyball.records.models import Field, Signature
from flyball.serving.problems import TooLarge, Unparsable

Value: TypeAlias = int | float | str | bool | None
Row: TypeAlias = tuple[Value, ...]
Marks: TypeAlias = dict[str, str]
"""What was done with the values of a row that break their contract: field → "imputed" or "marked"."""

LONGEST_TEXT = 65_536
"""Characters in one text value."""

LONGEST_ID = 200
"""Characters of an id or a key."""

LONGEST_NAME = 200
"""Characters of a name that are looked at to guess what was meant, and shown."""

MOST_ROWS = 10_000
"""Rows, or labels, of one request."""

MOST_PROBLEMS = 50
"""Listed in one answer; what comes after them is not looked for."""

_JSON_NAMES = {bool: "a boolean", int: "an integer", float: "a number", str: "text", list: "a list", dict: "an object", type(None): "null"}
_WANTED = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text", "time": 'text such as "2026-01-31T12:00:00Z"'}


class Member(NamedTuple):
    """What a member of a body may be. `example` is JSON; one that is not required may be null as well."""

    types: tuple[type, ...]
    wanted: str
    example: str
    required: bool = False


def parse(body: bytes) -> Any:
    """Read JSON, NaN and Infinity included, so that they can be named where they stand. Raises Unparsable.

    What comes out of it can be logged: half of a surrogate pair is no text that could.
    """
    value = load(body)
    half = half_pair(value) if rb"\ud" in body.lower() else ""
    if half:
        raise Unparsable("the body has half of a surrogate pair", why=f"{half} alone is no character", fix="send whole characters")
    return value


def load(body: bytes) -> Any:
    """Read JSON as `parse` does, halves of surrogate pairs included. Raises Unparsable, for a name that is given twice too."""
    try:
        # decoded here: json.loads would guess other encodings, and take surrogates as UTF-8
        return json.loads(body.decode("utf-8-sig"), object_pairs_hook=once)
    except UnicodeDecodeError as problem:
        raise Unparsable(
            "the body is not UTF-8", why=f"byte {problem.start} is {body[problem.start]:#04x}", fix="send JSON encoded as UTF-8"
        ) from None
    except json.JSONDecodeError as problem:
        raise Unparsable(
            "the body is not JSON", why=f"{problem.msg} at line {problem.lineno} column {problem.colno}", fix="send a JSON object"
        ) from None
    except ValueError as problem:
        raise Unparsable(
            "the body has a number that is too long", why=str(problem).partition(";")[0], fix="integers have 64 bits"
        ) from None
    except RecursionError:
        raise _too_deep() from None


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members. Raises Unparsable where two have one name: either may have been meant."""
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise Unparsable(f"the body names {shown(twice)} twice in one object", why="either value may be meant", fix="send each name once")
    return made


def half_pair(value: Any) -> str:
    """The first half of a surrogate pair in the names and texts of `value`, escaped; "" where there is none. Raises Unparsable."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        return ascii(problem.object[problem.start])
    except RecursionError:
        raise _too_deep() from None
    return ""


def _too_deep() -> Unparsable:
    return Unparsable("the body is nested too deeply", fix='send {"row": {…}}')


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901); a name beyond `LONGEST_NAME` is cut."""
    return "".join("/" + _cut(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def field_of(where: str, names: Collection[str]) -> str:
    """The field of a signature that a pointer into a request leads to; "" where it leads to none.

    >>> field_of("/rows/7/amount", ["amount"])
    'amount'
    """
    parts = [part.replace("~1", "/").replace("~0", "~") for part in where.split("/")[1:]]
    place = 2 if parts[:1] in (["rows"], ["items"]) else 1
    name = parts[place] if parts[:1] and parts[0] in ("row", "rows", "items", "columns", "inputs") and len(parts) > place else ""
    return name if name in names else ""


def first(problems: Iterable[Problem]) -> list[Problem]:
    """As many as are listed, and one more where there are more."""
    return list(islice(problems, MOST_PROBLEMS + 1))


def near_name(name: str, options: Iterable[str]) -> str:
    """The name that was meant, or "". Of many or long ones only the first are looked at."""
    short = [option for option in islice(options, MOST_PROBLEMS) if len(option) <= LONGEST_NAME]
    found = get_close_matches(name, short, 1) if len(name) <= LONGEST_NAME else []
    return found[0] if found else ""


def moment(text: str) -> Instant:
    """Read RFC 3339 as `instant` does. Raises ValueError for what is none, BadInput for one that lies beyond `FARTHEST`."""
    found = instant(text)
    if abs(found) > FARTHEST:
        raise BadInput(
            f"{shown(text)} is too far away", why="times lie between the years 1685 and 2255", fix='write "2026-01-31T12:00:00Z"'
        )
    return found


def zoned(text: str) -> Instant:
    """The same of a `time` that a caller sends. Raises BadInput too for one without a zone: whether it is UTC or the caller's own, nobody can tell."""
    found = moment(text)
    clock = text[10:]
    if not clock.endswith("Z") and "+" not in clock and "-" not in clock:
        raise BadInput(f"{shown(text)} has no zone", why="times are RFC 3339", fix="add Z for UTC, or an offset such as +01:00")
    return found


def strange(given: Iterable[str], known: Collection[str], what: str, *at: str | int) -> Iterator[Problem]:
    """Members that an object does not have, with near names."""
    for name in given:
        if name not in known:
            near = near_name(name, known)
            fix = f'did you mean "{near}"?' if near else "leave it out"
            yield Problem(pointer(*at, name), f"there is no member {shown(_cut(name))}", f"{what} has {', '.join(known)}", fix)


def check_members(value: Any, known: Mapping[str, Member], what: str, *at: str | int) -> Iterator[Problem]:
    """What is wrong with an object's members, not with what is in them."""
    if not isinstance(value, dict):
        needed = ", ".join(f'"{name}": {member.example}' for name, member in known.items() if member.required)
        yield Problem(pointer(*at), f"{what} is an object, not {_JSON_NAMES.get(type(value), 'this')}", fix=f"send {{{needed}}}")
        return
    for name, member in known.items():
        given = value.get(name)
        send = f'send "{name}": {member.example}'
        if name not in value:
            if member.required:
                yield Problem(pointer(*at, name), f"{what} has no {name}", f"{name} is {member.wanted}", send)
        elif type(given) not in member.types and (given is not None or member.required):
            yield Problem(pointer(*at, name), f"{name} is {shown(given)}", f"it has to be {member.wanted}", send)
    yield from strange(value, known, what, *at)


def check_count(rows: int, what: str = "rows") -> None:
    """Raise TooLarge for more rows, or what `what` says, than one request may have."""
    if rows > MOST_ROWS:
        raise TooLarge(f"the request has {rows:,} {what}", why=f"one has {MOST_ROWS:,} at most", fix="send them in several requests")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…"


def shown(value: Any) -> str:
    """A value as it is written in JSON, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "a value nested too deeply"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "…"


def _mistyped(value: Any, field: Field, where: str) -> Problem:
    quoted = isinstance(value, str) and field.type in ("int", "float", "bool")
    fix = "send it without quotes" if quoted else f"send {_WANTED[field.type]}"
    what = f"{shown(value)} is {_JSON_NAMES.get(type(value), 'something else')}"
    return Problem(where, what, f'"{field.name}" is {_WANTED[field.type]}', fix, kind="type")


def _typed(value: Any, field: Field, where: str) -> Value | Problem:
    """The value as the field's type, or what is wrong with it."""
    kind = field.type
    if kind == "bool":
        return value if isinstance(value, bool) else _mistyped(value, field, where)
    if kind in ("str", "time"):
        if not isinstance(value, str):
            return _mistyped(value, field, where)
        if len(value) > LONGEST_TEXT:
            return Problem(
                where, f"the text has {len(value):,} characters", f"a text value has {LONGEST_TEXT:,} at most", "shorten it", kind="range"
            )
        if kind == "str":
            return value
        try:
            return moment(value)
        except (ValueError, OverflowError):
            return Problem(where, f"{shown(value)} is not a time", "times are RFC 3339", 'write "2026-01-31T12:00:00Z"', kind="type")
        except BadInput as far:
            return Problem(where, far.what, far.why, far.fix, kind="range")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _mistyped(value, field, where)
    if isinstance(value, float) and not math.isfinite(value):
        lax = field.nullable or field.on_request != "refuse"
        why = "a missing value is null" if lax else "every value must be finite, and this field may not be missing"
        return Problem(
            where,
            "the value is NaN" if math.isnan(value) else "the value is infinite",
            why,
            "send null" if lax else "send a number",
            kind="type",
        )
    if kind == "int":
        if (isinstance(value, float) and not value.is_integer()) or not -(2**63) <= value < 2**63:
            return (
                _mistyped(value, field, where)
                if isinstance(value, float)
                else Problem(where, f"{shown(value)} is too large", "integers have 64 bits", "send a smaller one", kind="range")
            )
        return int(value)
    try:
        return float(value)
    except OverflowError:
        return Problem(where, f"{shown(value)} is too large", "numbers are 64-bit floats", "send a smaller one", kind="range")


def check_value(value: Any, field: Field, where: str) -> Value | Problem:
    """One value against its field: the value, converted, or the problem."""
    typed = None if value is None else _typed(value, field, where)
    if isinstance(typed, Problem):
        return typed
    broken = _breach(typed, field, where)
    return typed if broken is None else broken


def settle_value(value: Any, field: Field, where: str, marks: Marks) -> Value | Problem:
    """As `check_value`; what breaks the field's contract, and is of its type, is imputed or taken as it is where the field says so.

    `marks` is told which.
    """
    if field.on_request == "refuse":
        return check_value(value, field, where)
    typed = None if value is None else _typed(value, field, where)
    if isinstance(typed, Problem):
        return typed
    broken = _breach(typed, field, where)
    if broken is None:
        return typed
    if field.on_request == "impute":
        if field.usual is None:
            return broken
        marks[field.name] = "imputed"
        return field.usual
    marks[field.name] = "marked"
    return typed


def _breach(typed: Value, field: Field, where: str) -> Problem | None:
    """What a value of the field's type, or none, breaks of its contract."""
    if typed is None:
        why = f'"{field.name}" may not be missing'
        return None if field.nullable else Problem(where, "the value is null", why, f"send {_WANTED[field.type]}", kind="missing")
    if isinstance(typed, int | float) and not isinstance(typed, bool) and field.type != "time":
        if field.low is not None and typed < field.low:
            return Problem(where, f"{typed} is below {field.low:g}", "the column's declared bounds", f"send {_span(field)}", kind="range")
        if field.high is not None and typed > field.high:
            return Problem(where, f"{typed} is above {field.high:g}", "the column's declared bounds", f"send {_span(field)}", kind="range")
    if field.one_of is not None and typed not in field.one_of:
        near = near_name(str(typed), [str(option) for option in field.one_of])
        options = ", ".join(shown(option) for option in field.one_of[:8]) + (" …" if len(field.one_of) > 8 else "")
        return Problem(
            where,
            f"{shown(typed)} is not a declared value",
            f"one of {options}",
            f'did you mean "{near}"?' if near else "send one of these",
            kind="value",
        )
    return None


def _span(field: Field) -> str:
    if field.low is not None and field.high is not None:
        return f"a value from {field.low:g} to {field.high:g}"
    return f"at least {field.low:g}" if field.low is not None else f"at most {field.high:g}"


def _names(found: Collection[str], signature: Signature, *at: str | int) -> Iterator[Problem]:
    """Missing and extra fields, with near names."""
    known = {field.name: field for field in signature.fields}
    extra = [name for name in found if name not in known]
    for name, field in known.items():
        if name in found or field.on_request != "refuse":
            continue
        near = near_name(name, extra)
        yield Problem(
            pointer(*at, name),
            "the field is missing",
            "the signature names it",
            f'is "{near}" meant to be "{name}"?' if near else f'send "{name}"',
            kind="missing",
        )
    for name in extra:
        near = near_name(name, known)
        some = ", ".join(islice(known, 8)) + (" …" if len(known) > 8 else "")
        fix = f'did you mean "{near}"?' if near else f"leave it out; fields: {some} ({len(known)})"
        yield Problem(pointer(*at, name), "there is no such field", "the signature does not name it", fix, kind="unknown")


def check_row(row: Any, signature: Signature, *at: str | int) -> tuple[Row, Marks, list[Problem]]:
    """One row, an object of fields: its values in signature order, what was done with some of them, and the first of its problems.

    A field that is not there counts as null where its contract may be broken.
    """
    marks: Marks = {}
    if not isinstance(row, dict):
        what = f"a row is an object, not {_JSON_NAMES.get(type(row), 'this')}"
        return (), marks, [Problem(pointer(*at), what, fix='send {"field": value, …}')]
    problems = first(_names(row, signature, *at))
    values: list[Value] = []
    for field in signature.fields:
        if (field.name in row or field.on_request != "refuse") and len(problems) <= MOST_PROBLEMS:
            checked = settle_value(row.get(field.name), field, pointer(*at, field.name), marks)
            if isinstance(checked, Problem):
                problems.append(checked)
            else:
                values.append(checked)
    return tuple(values), marks, problems


def check_columns(
    columns: Mapping[str, Any], signature: Signature, root: str = "columns"
) -> tuple[list[Row], list[Marks | None], list[Problem]]:
    """Columns of equal length: rows in signature order, what was done with some of their values (one a row, None where nothing was; empty
    where nothing was at all), and the first of the problems. Raises TooLarge.
    """
    no_lists = (
        Problem(pointer(root, name), "a column is a list of values", fix="send [value, …]")
        for name in columns
        if not isinstance(columns[name], list)
    )
    problems = first(chain(_names(columns, signature, root), no_lists))
    lengths = {name: len(column) for name, column in columns.items() if isinstance(column, list)}
    check_count(max(lengths.values(), default=0))
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{_cut(name)} {length}" for name, length in islice(lengths.items(), MOST_PROBLEMS))
        problems.append(Problem(pointer(root), "the columns differ in length", told, "send as many values in each"))
    if problems:
        return [], [], problems
    made: list[list[Value]] = [[] for _ in signature.fields]
    count = max(lengths.values(), default=0)
    marks: dict[int, Marks] = {}
    problems = first(_values(columns, signature, root, made, marks, count))
    if problems:
        return [], [], problems
    return list(zip(*made, strict=True)), [marks.get(row) for row in range(count)] if marks else [], []


_EXACT = {"float": float, "int": int, "bool": bool, "str": str}


def _all_hold(values: list[Any], field: Field) -> bool:
    """Whether `settle_value` would give every value back as it is, as far as that is seen of all at once: a column has thousands."""
    kind = _EXACT.get(field.type)
    if kind is None or set(map(type, values)) != {kind}:
        return False
    if field.one_of is not None and not set(values) <= set(field.one_of):
        return False
    if kind is str:
        return max(map(len, values)) <= LONGEST_TEXT
    if kind is float and not all(map(math.isfinite, values)):
        return False
    if kind is bool:
        return True
    least, most = min(values), max(values)
    if kind is int and not -(2**63) <= least <= most < 2**63:
        return False
    return (field.low is None or field.low <= least) and (field.high is None or most <= field.high)


def _values(
    columns: Mapping[str, Any], signature: Signature, root: str, made: list[list[Value]], marks: dict[int, Marks], count: int
) -> Iterator[Problem]:
    """Put every good value into `made`, and give every other's problem as it comes: whoever has enough of them stops here."""
    for field, column in zip(signature.fields, made, strict=True):
        values = columns.get(field.name, [None] * count)
        if _all_hold(values, field):
            column.extend(values)
            continue
        for index, value in enumerate(values):
            own: Marks = {}
            checked = settle_value(value, field, pointer(root, field.name, index), own)
            if own:
                marks.setdefault(index, {}).update(own)
            if isinstance(checked, Problem):
                yield checked
            else:
                column.append(checked)
