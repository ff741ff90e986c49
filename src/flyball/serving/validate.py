"""A request's body → rows in signature order, or every reason why not.

The fast path is one typed JSON decode, compiled for the signature. Whatever it refuses is read again slowly (`explain`), which either
lists the problems or, being the specification, accepts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from flyball.clock import Instant
from flyball.errors import BadInput, Problem
from flyball.records.models import Field, Signature
from flyball.serving import explain
from flyball.serving.explain import Marks, Row, pointer
from flyball.serving.problems import Unparsable

_MEMBERS = ("row", "rows", "columns", "id", "ids", "key", "keys", "time", "times")
_LEAST, _MOST = -(2**63), 2**63 - 1
_PLURAL = {"id": "ids", "key": "keys", "time": "times"}


class Listed(NamedTuple):
    """That the rows of a request are one list (serving/lists.py): the item of each, and the caller's id and key of the whole."""

    items: list[Any]
    id: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asked: rows in signature order; ids, keys and times (µs) one a row where given.

    `marks`: what was done with values that break their contract, one a row (None: nothing in it); None where nothing was at all.
    `listed`: of a ranking.
    """

    rows: list[Row]
    ids: list[str] | None = None
    keys: list[str] | None = None
    times: list[Instant] | None = None
    marks: list[Marks | None] | None = None
    listed: Listed | None = None


def field_type(field: Field) -> Any:
    """The type that msgspec decodes a field's value as."""
    simple = field.one_of is not None and all(type(option) is (int if field.type == "int" else str) for option in field.one_of)
    kind: Any
    if field.one_of is not None and simple and field.type in ("int", "str"):
        kind = Literal[field.one_of]
    elif field.type == "int":
        low = _LEAST if field.low is None else max(_LEAST, math.ceil(field.low))
        high = _MOST if field.high is None else min(_MOST, math.floor(field.high))
        kind = Annotated[int, msgspec.Meta(ge=min(low, _MOST), le=max(high, _LEAST))]
    elif field.type == "float":
        kind = Annotated[float, msgspec.Meta(ge=field.low, le=field.high)]
    elif field.type == "bool":
        kind = bool
    else:
        kind = Annotated[str, msgspec.Meta(max_length=explain.LONGEST_TEXT)]
    return kind | None if field.nullable else kind


def _needs_second_look(field: Field) -> bool:
    """Fields whose value the typed decode does not fully check or convert."""
    return (
        field.type == "time"
        or (field.one_of is not None and field.type in ("float", "bool"))
        or (field.type == "int" and field.one_of is not None)
        # a range in which no number of 64 bits lies
        or (field.type == "int" and ((field.low or 0) > _MOST or (field.high or 0) < _LEAST))
    )


class RowReader:
    """Reads requests of one signature. Made once for a route; safe to share."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        members = [(f"f{index}", field_type(field)) for index, field in enumerate(signature.fields)]
        # a name that JSON escapes is none of a typed decode: such rows are read slowly, always
        self._typed = not any(set(field.name) & {'"', "\\"} for field in signature.fields)
        names = {f"f{index}": field.name for index, field in enumerate(signature.fields)} if self._typed else {}
        row = msgspec.defstruct("Row", members, rename=names, forbid_unknown_fields=True, gc=False)
        text = Annotated[str, msgspec.Meta(min_length=1, max_length=explain.LONGEST_ID)]
        body = msgspec.defstruct(
            "Body",
            [("row", row), ("id", text | None, None), ("key", text | None, None), ("time", str | None, None)],
            forbid_unknown_fields=True,
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(body).decode
        self._astuple = msgspec.structs.astuple
        texts = [(index, field.nullable) for index, field in enumerate(signature.fields) if field.type in ("str", "time")]
        # "row", every name, and every text that is always there
        self._quotes = 2 * (1 + len(members) + sum(not nullable for _, nullable in texts))
        self._nullable = [index for index, nullable in texts if nullable]
        self._again = [(index, field) for index, field in enumerate(signature.fields) if _needs_second_look(field)]

    def read(self, body: bytes) -> Request:
        """Read a predict body (docs/http.md). Raises Unparsable or BadInput with every problem."""
        if not self._typed:
            return self._slowly(explain.parse(body))
        try:
            asked = self._decode(body)
            row: Row = self._astuple(asked.row)
            if not self._each_once(body, asked, row):
                return self._slowly(explain.parse(body))
            if self._again:
                row = self._second_look(row)
            return Request(
                [row],
                None if asked.id is None else [asked.id],
                None if asked.key is None else [asked.key],
                None if asked.time is None else [explain.zoned(asked.time)],
            )
        except (msgspec.MsgspecError, BadInput, ValueError, OverflowError, RecursionError):
            return self._slowly(explain.parse(body))

    def read_columns(self, columns: Mapping[str, Any], root: str = "columns") -> Request:
        """Rows from columns. Raises BadInput with every problem."""
        rows, marks, problems = explain.check_columns(columns, self.signature, root)
        if problems:
            raise refuse(problems)
        return Request(rows, marks=marks or None)

    def _each_once(self, body: bytes, asked: Any, row: Row) -> bool:
        """Whether no name can be there twice, of which the typed decode takes the last: by the quotes of the body, without a second look
        at it. One in a text makes for too many, and then the slow path tells.
        """
        quotes = self._quotes
        for index in self._nullable:
            quotes += 2 * (row[index] is not None)
        # their names are quoted as well
        quotes += 4 * ((asked.id is not None) + (asked.key is not None) + (asked.time is not None))
        return body.count(b'"') == quotes

    def _second_look(self, row: Row) -> Row:
        values = list(row)
        for index, field in self._again:
            checked = explain.check_value(values[index], field, "")
            if isinstance(checked, Problem):
                raise refuse([checked])
            values[index] = checked
        return tuple(values)

    def _slowly(self, body: Any) -> Request:
        if not isinstance(body, dict):
            raise Unparsable("the body is not an object", fix='send {"row": {…}}')
        problems: list[Problem] = []
        given = [name for name in ("row", "rows", "columns") if name in body]
        if len(given) != 1:
            known = ", ".join(field.name for field in self.signature.fields[:8])
            what = "the body names no rows" if not given else f"the body names rows in {len(given)} ways"
            problems.append(Problem("", what, "a request has one of row, rows, columns", f'send {{"row": {{…}}}}; fields: {known}'))
        problems += explain.first(explain.strange(body, _MEMBERS, "a request"))
        rows: list[Row] = []
        marks: list[Marks | None] = []
        if len(given) == 1:
            rows, marks, found = self._rows(given[0], body[given[0]])
            problems += found
        single = given == ["row"]
        count = 1 if single else len(rows)
        ids = per_row(body, "id", single=single, count=count, problems=problems)
        keys = per_row(body, "key", single=single, count=count, problems=problems)
        times = times_of(per_row(body, "time", single=single, count=count, problems=problems), single=single, problems=problems)
        if ids is not None and len(set(ids)) != len(ids):
            problems.append(Problem("/ids", "an id is given twice", "a label names one row"))
        if problems:
            raise refuse(problems)
        return Request(rows, ids, keys, times, marks if any(marks) else None)

    def _rows(self, given: str, value: Any) -> tuple[list[Row], list[Marks | None], list[Problem]]:
        if given == "row":
            row, marks, problems = explain.check_row(value, self.signature, "row")
            return [row], [marks or None], problems
        if given == "rows":
            if not isinstance(value, list) or not value:
                return [], [], [Problem("/rows", "rows is a list of at least one row", fix='send {"rows": [{"field": value, …}]}')]
            explain.check_count(len(value))
            rows, told, problems = [], [], []
            for index, one in enumerate(value):
                row, marks, found = explain.check_row(one, self.signature, "rows", index)
                rows.append(row)
                told.append(marks or None)
                problems += found
                if len(problems) > explain.MOST_PROBLEMS:
                    break
            return rows, told, problems
        if not isinstance(value, dict) or not value:
            return [], [], [Problem("/columns", "columns is an object of lists", fix='send {"columns": {"field": [value, …]}}')]
        rows, told, problems = explain.check_columns(value, self.signature)
        return (
            rows,
            told,
            problems
            or (
                []
                if rows
                else [Problem("/columns", "the columns are empty", "a request has at least one row", "send one value a column at least")]
            ),
        )


def per_row(body: dict[str, Any], one: str, *, single: bool, count: int, problems: list[Problem]) -> list[str] | None:
    """`id` beside `row`, `ids` beside `rows` or `columns`: one text a row; None when not given."""
    right, wrong = (one, _PLURAL[one]) if single else (_PLURAL[one], one)
    if wrong in body:
        problems.append(Problem(pointer(wrong), f'"{wrong}" does not go with these rows', fix=f'send "{right}"'))
    if body.get(right) is None:
        return None
    values = [body[right]] if single else body[right]
    if not isinstance(values, list) or not all(isinstance(value, str) and 0 < len(value) <= explain.LONGEST_ID for value in values):
        problems.append(
            Problem(
                pointer(right),
                f"{right} must be text of 1 to {explain.LONGEST_ID} characters{'' if single else ', one a row'}",
                fix="send it in quotes, or leave it out",
            )
        )
        return None
    if len(values) != count and not problems:
        problems.append(Problem(pointer(right), f"{len(values)} {right} for {count} rows", fix="send one a row"))
    return values


def times_of(texts: list[str] | None, *, single: bool, problems: list[Problem]) -> list[Instant] | None:
    """The moments of `time` beside `row`, or of `times`; adds what is wrong with them to `problems`."""
    if texts is None:
        return None
    moments: list[Instant] = []
    for index, text in enumerate(texts):
        try:
            moments.append(explain.zoned(text))
        except (BadInput, ValueError, OverflowError) as error:
            where = pointer("time") if single else pointer("times", index)
            if isinstance(error, BadInput):
                problems.append(Problem(where, error.what, error.why, error.fix))
                continue
            problems.append(Problem(where, f'"{text[:40]}" is not a time', "times are RFC 3339", 'write "2026-01-31T12:00:00Z"'))
    return moments


def refuse(problems: list[Problem]) -> BadInput:
    """One error for the problems of a request."""
    shown = problems[: explain.MOST_PROBLEMS]
    more = len(problems) > len(shown)
    first = f"{shown[0].where} {shown[0].what}".strip()
    count = f"more than {len(shown)}" if more else f"{len(shown)}"
    what = f"the request has {count} problems, first: {first}" if len(problems) > 1 else first
    why = shown[0].why if len(problems) == 1 else ("the others are not listed" if more else "")
    return BadInput(
        what,
        why=why,
        fix=shown[0].fix if len(problems) == 1 else "see problems; GET …/schema shows what a request is",
        problems=tuple(shown),
    )
