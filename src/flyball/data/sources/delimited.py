"""CSV files, read in blocks that end with a record: what is wrong with a file as a file is found before any cell is read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from flyball.data.sources.text import as_text, missing, parsed, quick
from flyball.data.sources.typed import Types, absent, cells, implausible
from flyball.data.sources.wrong import Wrong
from flyball.errors import Problem

BLOCK: Final = 16 << 20
"""Bytes that are looked at together."""

LONGEST: Final = 256 << 20
"""Bytes of one record: a quote that is never closed would take the whole file for one cell."""

_NEWLINE, _COMMA, _QUOTE = 10, 44, 34
_CELL: Final = re.compile(r'(?:^|(?<=,))(?:"(?:[^"]|"")*"|[^,\r\n]*)', re.MULTILINE)

csv.field_size_limit(LONGEST)


def batches(path: Path, shown: str, types: Types, wrong: Wrong) -> Iterator[pl.DataFrame]:
    """The declared columns of a file, a block at a time. Raises OSError; all else is noted in `wrong`: encoding, header, ragged lines, cells."""
    with path.open("rb") as file:
        reader = _File(shown, types, wrong)
        for block in records(unmarked(iter(partial(file.read, BLOCK), b"")), wrong, shown):
            frame = reader.block(block)
            if frame is not None:
                yield frame
        reader.end()


class _File:
    """One file on its way: its header, and how many lines and rows were read."""

    def __init__(self, shown: str, types: Types, wrong: Wrong) -> None:
        self._shown, self._types, self._wrong = shown, types, wrong
        self._header: list[str] | None = None
        self._head = b""
        self._sound = True
        self._line = 1
        self._bytes = 0
        self._rows = 0
        self._held = b""

    def end(self) -> None:
        """Nothing comes any more."""
        if self._header is None and self._sound:
            self._wrong.add(Problem(self._shown, "the file is empty", fix="write a header and at least one row"))

    def block(self, data: bytes) -> pl.DataFrame | None:
        """The rows of whole records. Blank lines at their end are held back: at the end of the file they mean nothing."""
        data = self._held + data
        body = data.rstrip(b"\r\n")
        if not body:
            self._held = data
            return None
        tail = data[len(body) :]
        ended = b"\r\n" if tail.startswith(b"\r\n") else tail[:1]
        self._held = tail[len(ended) :]
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            self._not_utf8(body, error)
            text = ""
        frame = self._rows_of(body, text) if text and self._sound else None
        self._line += body.count(b"\n") + bool(ended)
        self._bytes += len(body) + len(ended)
        return frame

    def _not_utf8(self, body: bytes, error: UnicodeDecodeError) -> None:
        line, place = self._line + body[: error.start].count(b"\n"), self._bytes + error.start
        what = Problem(f"{self._shown}:{line}", "the file is not UTF-8", why=f"byte {place}: {error.reason}", fix="save it as UTF-8")
        self._wrong.note(("encoding", self._shown), [], 1, lambda *_: what)
        self._sound = False

    def _rows_of(self, body: bytes, text: str) -> pl.DataFrame | None:
        line = self._line
        try:
            if self._header is None:
                header = self._begin(body, text)
                line, body = line + header.count(b"\n"), body[len(header) :]
                text = body.decode("utf-8")
            if not body or not self._sound:
                return None
            ragged = self._ragged(body, text, line)
        except _QuotesError as error:
            self._wrong.add(_misquoted(f"{self._shown}:{line + error.line - 1}", str(error)))
            self._sound = False
            return None
        frame = self._cells(body, line) if self._head and not ragged else None
        self._rows += body.count(b"\n") + 1 if frame is None else frame.height
        return frame

    def _begin(self, body: bytes, text: str) -> bytes:
        """Read the header, note what is wrong with it, and give its bytes."""
        if b"\n" not in body and b"\r" in body:
            what, why = "its lines end with a carriage return alone", "they would be read as one line"
            self._wrong.add(Problem(f"{self._shown}:1", what, why=why, fix="save it with line ends of Unix or Windows"))
            self._header, self._sound = [], False
            return body
        lines, header = next(_records(text))
        self._header = header
        head = b"\n".join(body.split(b"\n", lines)[:lines]) + b"\n"
        other = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), "")
        if other:
            fix = "separate cells by commas, and write decimals with a point"
            what = f"the header is one cell, with {other!r} in it"
            self._wrong.add(Problem(f"{self._shown}:1", what, why="cells are separated by commas", fix=fix))
            self._sound = False
            return head
        twice = sorted({name for name in header if header.count(name) > 1})
        lost = [name for name in self._types if name not in header]
        for name in twice:
            what = f'column "{name}" stands twice in the header'
            self._wrong.add(Problem(f"{self._shown}:1", what, fix="rename or drop one of them"))
        for name in lost:
            self._wrong.add(absent(self._shown, name, header))
        self._head = b"" if twice or lost else head
        return head

    def _ragged(self, body: bytes, text: str, line: int) -> bool:
        """Note the lines that have not as many cells as the header; whether there are any. `line` is the number of the first."""
        width = len(self._header or ())
        found = ragged_quoted(text, width) if '"' in text else ragged(body, width)
        if not found:
            return False
        spots = [(line + place - 1, cells) for place, cells in found]
        self._wrong.note(("ragged", self._shown), spots, len(spots), lambda told, count: _ragged_problem(self._shown, told, count, width))
        return True

    def _cells(self, body: bytes, line: int) -> pl.DataFrame | None:
        """Cells to their types; notes those that do not fit."""
        data = self._head + body + b"\n"
        made = quick(data, self._types)
        if made is None:
            try:
                frame = as_text(data, list(self._types))
            except PolarsError:
                text = body.decode("utf-8")
                place = f"{self._shown}:{line + text.count(chr(10), 0, _odd(text))}"
                self._wrong.add(_misquoted(place, "a quote stands in a cell without quotes around it"))
                return None
            made = strict(frame, self._types, self._shown, self._wrong, self._rows)
        implausible(made, self._types, self._shown, self._wrong, self._rows)
        return made


def strict(frame: pl.DataFrame, types: Types, shown: str, wrong: Wrong, first: int) -> pl.DataFrame:
    """Columns of text to their types; notes the cells that cannot be read."""
    made = frame.select(parsed(name, type_).alias(name) for name, type_ in types.items())
    for name, type_ in types.items():
        lost = made[name].is_null() & ~frame.select(missing(name, type_)).to_series()
        if lost.any():
            cells(name, type_, frame[name], lost, shown, wrong, first)
    return made


def records(parts: Iterator[bytes], wrong: Wrong, shown: str) -> Iterator[bytes]:
    """The same bytes, cut where a record ends."""
    rest = b""
    for part in parts:
        rest += part
        cut = _cut(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > LONGEST:
            why = f"{LONGEST >> 20} MB without the end of a line outside quotes"
            wrong.add(Problem(shown, "the file is not CSV", why=why, fix="close the quotes"))
            return
    if rest:
        yield rest


def unmarked(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts of a file without a byte order mark."""
    for place, part in enumerate(parts):
        yield part if place else part.removeprefix(b"\xef\xbb\xbf")


def _cut(data: bytes) -> int:
    """How many bytes are whole records: up to the last end of a line before which quotes are paired."""
    if b'"' not in data:
        return data.rfind(b"\n") + 1
    raw = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(raw == _NEWLINE)
    paired = ends[np.searchsorted(np.flatnonzero(raw == _QUOTE), ends) % 2 == 0]
    return int(paired[-1]) + 1 if len(paired) else 0


def ragged(body: bytes, width: int) -> list[tuple[int, int]]:
    """(line, cells) of each line without `width` cells, of text without quotes: counted, not parsed."""
    raw = np.frombuffer(body, dtype=np.uint8)
    ends = np.append(np.flatnonzero(raw == _NEWLINE), len(raw))
    commas = np.searchsorted(np.flatnonzero(raw == _COMMA), ends)
    cells = np.diff(commas, prepend=0) + 1
    cells[np.diff(ends, prepend=-1) == 1] = 0  # a blank line has no cell at all
    return [(int(line) + 1, int(cells[line])) for line in np.flatnonzero(cells != width)]


def ragged_quoted(text: str, width: int) -> list[tuple[int, int]]:
    """The same of text with quotes. Raises _QuotesError."""
    return [(line, len(row)) for line, row in _records(text) if len(row) != width]


class _QuotesError(Exception):
    """Quotes that do not pair, in the record that begins at a line."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """The records, each with the line in which it ends. Raises _QuotesError."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begins = 1
    try:
        for row in reader:
            begins = reader.line_num + 1
            yield reader.line_num, row
    except csv.Error as error:
        raise _QuotesError(begins, str(error)) from error


def _odd(text: str) -> int:
    """Where the first cell begins that has a quote in it and none around it; 0 where there is none."""
    return next((cell.start() for cell in _CELL.finditer(text) if '"' in cell.group() and not cell.group().startswith('"')), 0)


def _misquoted(place: str, why: str) -> Problem:
    """The problem of a record whose quotes say nothing; what stands in it may be a person's."""
    return Problem(place, "the line is not CSV", why=why, fix='put quotes around the whole cell, and write one in it twice: "5"" pipe"')


def _ragged_problem(shown: str, spots: list[tuple[int, int]], count: int, width: int) -> Problem:
    line, cells = spots[0]
    more = f"; lines {', '.join(str(number) for number, _ in spots)} of {count:,} such lines" if count > 1 else ""
    return Problem(
        f"{shown}:{line}",
        f"the line has {cells} cells, the header {width}" + more,
        why="cells would move to other columns",
        fix="complete the line, or quote cells that hold a comma; a file that is being written is read again when it changes",
    )
