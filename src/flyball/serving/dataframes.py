"""Requests of MLflow's scoring protocol → rows in signature order, or every reason why not.

Four forms of JSON, of which a body has one, and CSV. pandas has NaN for what is missing, so that here NaN is null, of any type. A problem is told twice:
to the log under the names of the native protocol, by which it is counted, and to the caller under the place in the body.
Source: `mlflow.pyfunc.scoring_server` of MLflow 2.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from flyball.errors import BadInput, Problem
from flyball.records.models import Field, Signature
from flyball.serving import explain
from flyball.serving.explain import Marks, Member, Row, pointer, shown
from flyball.serving.problems import TooLarge, Unparsable
from flyball.serving.validate import Request, refuse

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_FIX = 'send {"dataframe_split": {"columns": ["km"], "data": [[1.5]]}}'
_SPLIT = {
    "columns": Member((list,), "a list of names", '["km"]'),
    "data": Member((list,), "a list of rows", "[[1.5]]", required=True),
    "index": Member((list,), "a list", "[0]"),
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BOOLS = {"true": True, "false": False}

Place: TypeAlias = Callable[[list[str]], str]
"""Where in the body something stands, by the parts of its native pointer: `["columns", "km", "3"]` or `["rows", "3", "km"]`."""


class Broken(NamedTuple):
    """A request that is refused: what the log is told, and what the caller is."""

    logged: BadInput
    told: BadInput


class _Table(NamedTuple):
    """Values by column, or rows (objects) where there are no columns."""

    columns: dict[str, Any] | None
    rows: list[Any]
    place: Place


def read(body: bytes, signature: Signature, *, is_csv: bool) -> Request | Broken:
    """Read a body. Raises Unparsable and TooLarge."""
    table, problems = _of_csv(body, signature.fields) if is_csv else _of_json(explain.parse(body), signature.fields)
    if table is None or problems:
        error = refuse(problems)
        return Broken(error, error)
    rows, marks, problems = _checked(table, signature)
    if not problems and not rows:
        problems = [Problem("", "the table is empty", "a request has at least one row", "send at least one row")]
    if not problems:
        return Request(rows, marks=marks if any(marks) else None)
    moved = [replace(one, where=table.place(one.where.split("/")[1:])) for one in problems]
    if is_csv:
        # there are no quotes to leave out
        moved = [replace(one, fix="write one") if one.kind == "type" else one for one in moved]
    return Broken(refuse(problems), refuse(moved))


def _checked(table: _Table, signature: Signature) -> tuple[list[Row], list[Marks | None], list[Problem]]:
    if table.columns is not None:
        return explain.check_columns(table.columns, signature)
    explain.check_count(len(table.rows))
    rows, marks, problems = list[Row](), list[Marks | None](), list[Problem]()
    for index, one in enumerate(table.rows):
        row, own, found = explain.check_row(one, signature, "rows", index)
        rows.append(row)
        marks.append(own or None)
        problems += found
        if len(problems) > explain.MOST_PROBLEMS:
            break
    return rows, marks, problems


def _of_json(given: Any, fields: Sequence[Field]) -> tuple[_Table | None, list[Problem]]:
    if not isinstance(given, dict):
        raise Unparsable("the body is not an object", why=f"it has one of {', '.join(FORMS)}", fix=_FIX)
    problems = explain.first(explain.strange(given, (*FORMS, "params"), "a request"))
    if given.get("params") not in (None, {}):
        problems.append(Problem("/params", "there are no parameters", "a version is asked with rows alone", "leave params out"))
    forms = [form for form in FORMS if form in given]
    if len(forms) != 1:
        what = "the body names no rows" if not forms else f"the body names rows in {len(forms)} ways"
        problems.append(Problem("", what, f"a request has one of {', '.join(FORMS)}", _FIX))
        return None, problems
    form, value = forms[0], given[forms[0]]
    if form == "dataframe_split":
        table, found = _of_split(value, fields)
    elif isinstance(value, dict) and form != "dataframe_records":
        columns = {name: _column(values) if isinstance(values, list) else values for name, values in value.items()}
        table, found = _Table(columns, [], _under(form)), []
    elif not isinstance(value, list) or not value:
        found = [Problem(pointer(form), f"{form} is {shown(value)}", "it is a list of at least one row", f'send "{form}": [{{"km": 1.5}}]')]
        table = None
    elif isinstance(value[0], dict) or form == "dataframe_records":
        table, found = _Table(None, [_record(row) for row in value], _under(form)), []
    else:
        table, found = _in_order(value, fields, form)
    return table, problems + found


def _of_split(value: Any, fields: Sequence[Field]) -> tuple[_Table | None, list[Problem]]:
    """As pandas has it; its index says nothing of the rows. Columns without names are in the order of the schema."""
    root = "dataframe_split"
    problems = explain.first(explain.check_members(value, _SPLIT, "a table", root))
    if problems:
        return None, problems
    names, data = value.get("columns"), value["data"]
    if names is None or names == list(range(len(fields))):
        return _in_order(data, fields, root, "data")
    problems = explain.first(_misnamed(names, root, "columns"))
    problems += explain.first(_ragged(data, len(names), "as many as columns", root, "data"))
    if problems:
        return None, problems
    numbers = {pointer(name)[1:]: str(number) for number, name in enumerate(names)}

    def place(parts: list[str]) -> str:
        if len(parts) < 2:
            return f"/{root}"
        number = numbers.get(parts[1], "")
        if len(parts) == 3:
            return f"/{root}/data/{parts[2]}/{number}"
        # a field that is missing has no number
        return f"/{root}/columns/{number}" if number else f"/{root}/columns"

    return _Table(_columns(names, data), [], place), []


def _in_order(data: list[Any], fields: Sequence[Field], *at: str) -> tuple[_Table | None, list[Problem]]:
    """Rows that are lists, in the order of the schema."""
    some = ", ".join(field.name for field in fields[:8]) + (" …" if len(fields) > 8 else "")
    problems = explain.first(_ragged(data, len(fields), f"one of each field, in this order: {some}", *at))
    if problems:
        return None, problems
    numbers = {pointer(field.name)[1:]: number for number, field in enumerate(fields)}
    root = pointer(*at)

    def place(parts: list[str]) -> str:
        return f"{root}/{parts[2]}/{numbers[parts[1]]}" if len(parts) == 3 else root

    return _Table(_columns([field.name for field in fields], data), [], place), []


def _ragged(data: list[Any], width: int, wanted: str, *at: str) -> Iterator[Problem]:
    """Rows that are no lists of `width` values. Raises TooLarge."""
    explain.check_count(len(data))
    for index, row in enumerate(data):
        if not isinstance(row, list):
            yield Problem(pointer(*at, index), f"the row is {shown(row)}", "rows are lists of values", f"send {width:,} values, {wanted}")
        elif len(row) != width:
            yield Problem(pointer(*at, index), f"the row has {len(row):,} values", f"it has {width:,}, {wanted}", "send them all, null too")


def _misnamed(names: list[Any], *at: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not isinstance(name, str):
            yield Problem(pointer(*at, index), f"the name {shown(name)} is no text", "columns are named as the schema does", 'send "km"')
        elif name in seen:
            yield Problem(pointer(*at, index), f"{shown(name)} is given twice", "either column may be meant", "send each column once")
        else:
            seen.add(name)


def _columns(names: Sequence[str], data: list[Any]) -> dict[str, Any]:
    return {name: _column([row[number] for row in data]) for number, name in enumerate(names)}


def _column(values: list[Any]) -> list[Any]:
    return [None if value != value else value for value in values]  # noqa: PLR0124 - so is NaN told from all else


def _record(row: Any) -> Any:
    return dict(zip(row, _column(list(row.values())), strict=True)) if isinstance(row, dict) else row


def _under(root: str) -> Place:
    return lambda parts: "/".join(["", root, *parts[1:]])


def _of_csv(body: bytes, fields: Sequence[Field]) -> tuple[_Table | None, list[Problem]]:
    """A line of names, and a line a row. An empty value is null; a first column without a name is pandas' index, and left out."""
    header, lines = _lines(body)
    skip = 1 if header[:1] == [""] else 0
    names = header[skip:]
    problems = explain.first(_misnamed(names, "header"))
    for index, line in enumerate(lines):
        if len(line) != len(header) and len(problems) <= explain.MOST_PROBLEMS:
            why = f"the first line has {len(header):,} names"
            problems.append(
                Problem(pointer("rows", index), f"the line has {len(line):,} values", why, "write a value for each, empty if none")
            )
    if problems:
        return None, problems
    kinds = {field.name: field.type for field in fields}
    columns = {name: [_value(line[number], kinds.get(name, "str")) for line in lines] for number, name in enumerate(names, start=skip)}

    def place(parts: list[str]) -> str:
        if len(parts) < 2:
            return "/rows"
        return f"/rows/{parts[2]}/{parts[1]}" if len(parts) == 3 else f"/header/{parts[1]}"

    return _Table(columns, [], place), []


def _lines(body: bytes) -> tuple[list[str], list[list[str]]]:
    """The first line, and the others that are not empty."""
    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
    except UnicodeDecodeError as problem:
        why = f"byte {problem.start} is {body[problem.start]:#04x}"
        raise Unparsable("the body is not UTF-8", why=why, fix="send CSV encoded as UTF-8") from None
    try:
        given = (line for line in reader if line)
        header = next(given, [])
        lines = list(islice(given, explain.MOST_ROWS + 1))
    except csv.Error as problem:
        raise Unparsable("the body is not CSV", why=f"{problem}, at line {reader.line_num}", fix="send what to_csv() gives") from None
    if len(lines) > explain.MOST_ROWS:
        what = f"the request has more than {explain.MOST_ROWS:,} rows"
        raise TooLarge(what, why="that is the most that one has", fix="send them in several requests")
    return header, lines


def _value(text: str, kind: str) -> Any:
    """What a text of CSV is as a field's type; as it is where it is none, which is told later."""
    if not text:
        return None
    if kind in ("int", "float"):
        number = text.strip()
        if number.lower() == "nan":
            return None
        if not _NUMBER.fullmatch(number) or len(number) > explain.LONGEST_ID:
            return text
        return float(number) if set(number) & set(".eE") else int(number)
    return _BOOLS.get(text.strip().lower(), text) if kind == "bool" else text
