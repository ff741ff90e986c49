"""Bytes of one CSV file, and what is wrong with it as a file: before any cell is read."""

from __future__ import annotations

import csv
import difflib
import io

import numpy as np

from flyball.data.cells import brief
from flyball.errors import Problem

_NEWLINE, _COMMA = 10, 44


def csv_body(data: bytes, shown: str, wanted: list[str], problems: list[Problem]) -> bytes | None:
    """The bytes of a CSV file whose every line has the header's cells. Adds every problem: encoding, header, missing columns, ragged lines."""
    body = data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
    if not body:
        problems.append(Problem(shown, "the file is empty", fix="write a header and at least one row"))
        return None
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        problems.append(
            Problem(f"{shown}:{line}", "the file is not UTF-8", why=f"byte {error.start}: {error.reason}", fix="save it as UTF-8")
        )
        return None
    try:
        header = next(csv.reader(io.StringIO(text, newline="")))
        ragged = _ragged_quoted(text, len(header)) if '"' in text else _ragged(body, len(header))
    except csv.Error as error:
        problems.append(Problem(shown, "the file is not CSV", why=str(error)))
        return None
    other = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), "")
    if other:
        fix = "separate cells by commas, and write decimals with a point"
        problems.append(
            Problem(f"{shown}:1", f"the header is one cell, with {other!r} in it", why="cells are separated by commas", fix=fix)
        )
        return None
    before = len(problems)
    twice = sorted({name for name in header if header.count(name) > 1})
    problems += [Problem(f"{shown}:1", f'column "{name}" stands twice in the header', fix="rename or drop one of them") for name in twice]
    problems += [absent(shown, name, header) for name in wanted if name not in header]
    if ragged:
        problems.append(_ragged_problem(shown, ragged, len(header)))
    return body + b"\n" if len(problems) == before else None


def absent(shown: str, name: str, columns: list[str]) -> Problem:
    """The problem of a declared column that a file does not have, with the nearest name it has."""
    near = difflib.get_close_matches(name, columns, n=1, cutoff=0.6)
    guess = f'did you mean "{near[0]}"? ' if near else ""
    listed = ", ".join(brief(each) for each in columns[:12])
    return Problem(shown, f'column "{name}" is missing', why="it is declared", fix=f"{guess}columns: {listed}")


def _ragged(body: bytes, width: int) -> list[tuple[int, int]]:
    """(line, cells) of each line without `width` cells, of a file without quotes: counted, not parsed."""
    raw = np.frombuffer(body, dtype=np.uint8)
    ends = np.append(np.flatnonzero(raw == _NEWLINE), len(raw))
    commas = np.searchsorted(np.flatnonzero(raw == _COMMA), ends)
    cells = np.diff(commas, prepend=0) + 1
    cells[np.diff(ends, prepend=-1) == 1] = 0  # a blank line has no cell at all
    return [(int(line) + 1, int(cells[line])) for line in np.flatnonzero(cells != width)]


def _ragged_quoted(text: str, width: int) -> list[tuple[int, int]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    return [(reader.line_num, len(row)) for row in reader if len(row) != width]


def _ragged_problem(shown: str, ragged: list[tuple[int, int]], width: int) -> Problem:
    line, cells = ragged[0]
    more = f"; lines {', '.join(str(number) for number, _ in ragged[:3])} of {len(ragged):,} such lines" if len(ragged) > 1 else ""
    return Problem(
        f"{shown}:{line}",
        f"the line has {cells} cells, the header {width}" + more,
        why="cells would move to other columns",
        fix="complete the line, or quote cells that hold a comma; a file that is being written is read again when it changes",
    )
