"""Rows that callers push: checked one by one, kept durably, and read back behind those that the newest version holds already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import polars as pl

from flyball.clock import FARTHEST, Instant, Span, rfc3339
from flyball.data.cells import brief
from flyball.data.rules import named_source
from flyball.data.sources import jsonlines
from flyball.data.sources.access import Access
from flyball.data.sources.segments import Segments
from flyball.data.sources.typed import keys, typed
from flyball.data.sources.wrong import Wrong
from flyball.data.types import empty, schema
from flyball.declare.data import Dataset
from flyball.declare.units import near
from flyball.errors import BadInput
from flyball.records.data import DatasetVersion

AHEAD: Final = Span.parse("1d")
"""How far an arrival may lie ahead of this machine's clock: clocks differ, and zones are left out."""

_SIGN: Final = "+"


class PushedRows(NamedTuple):
    """Rows after a cursor, typed, in the order in which they came, and the cursor behind them. `missed`: some before them lie in versions only."""

    frame: pl.DataFrame
    cursor: int
    missed: bool


@lru_cache(maxsize=256)
def segments(folder: Path, dataset: str) -> Segments:
    """What was pushed of a data set, the same for all threads: what one has read of it, another need not read again. folder: `.flyball/push`."""
    return Segments(folder / dataset)


def through(head: DatasetVersion | None, dataset: Dataset) -> int:
    """The number of the last pushed row that a version was made with; 0 of one that was read from another source."""
    if head is None or head.source != named_source(dataset):
        return 0
    text = head.source_mark.rpartition(_SIGN)[2]
    return int(text) if _SIGN in head.source_mark and text.isdigit() else 0


def mark(digest: str, dataset: Dataset, access: Access) -> str:
    """What tells a state of the source from others: how many rows were ever pushed, behind a digest of the declaration."""
    end = access.until if access.until is not None else _segments(dataset, access).end()
    return f"{digest[:20]}{_SIGN}{end}"


def bounded(dataset: Dataset, access: Access, head: DatasetVersion | None, held: Callable[[], Iterator[pl.DataFrame]]) -> Access:
    """The access for one look: up to the rows that are there now, behind those of `head`, which `held` gives."""
    before = through(head, dataset)
    own = held if head is not None and head.source == named_source(dataset) else None
    # where what was sent is gone, as in a restored project, the version still holds it
    return replace(access, through=before, until=max(before, _segments(dataset, access).end()), held=own)


def batches(dataset: Dataset, access: Access, wrong: Wrong) -> Iterator[pl.DataFrame]:
    """The rows that the newest version holds, then those that came since. Of rows with the same `unique` values the last one counts."""
    types, shown = schema(dataset), f'data set "{dataset.name}"'
    new = list(_new(dataset, access, wrong, shown))
    rows = pl.concat(new) if new else None
    if rows is not None and dataset.unique:
        rows = rows.unique(dataset.unique, keep="last", maintain_order=True)
    first = 0
    for frame in access.held() if access.held is not None else ():
        known = (
            frame
            if set(types) <= set(frame.columns)
            else frame.with_columns(pl.lit(None).alias(name) for name in types if name not in frame.columns)
        )
        made = typed(known, types, shown, wrong, first)
        first += frame.height
        if made is not None and rows is not None and dataset.unique:
            made = made.join(rows.select(dataset.unique), on=list(dataset.unique), how="anti", nulls_equal=True)
        if made is not None and made.height:
            yield made
    if rows is not None:
        keys(dataset, rows, shown, wrong, first)
        yield rows


def pushed_since(dataset: Dataset, cursor: int, folder: Path) -> PushedRows:
    """The rows that were pushed after a cursor (0: all that are kept here), for who cannot wait until a version holds them.

    folder: `.flyball/push`. A cursor is the number of a row, as `PushedRows.cursor` and the answer to a push say it. Raises BadInput for rows
    that are not what is declared now.
    """
    own, wrong = segments(folder, dataset.name), Wrong(hidden=dataset.identifying)
    last, parts = cursor, []
    for frame in own.since(cursor):
        last = frame.last
        parts.append(frame.lines)
    found = list(jsonlines.blocks(iter(parts), f'data set "{dataset.name}"', schema(dataset), wrong, sparse=True))
    if wrong:
        raise BadInput(f'pushed rows of data set "{dataset.name}" cannot be read', problems=wrong.problems())
    return PushedRows(pl.concat([empty(dataset), *found]), last, missed=own.first() > cursor + 1)


def _new(dataset: Dataset, access: Access, wrong: Wrong, shown: str) -> Iterator[pl.DataFrame]:
    found = _segments(dataset, access).since(access.through, access.until)
    yield from jsonlines.blocks((frame.lines for frame in found), shown, schema(dataset), wrong, sparse=True)


def _segments(dataset: Dataset, access: Access) -> Segments:
    if access.pushed is None:
        raise BadInput(
            f'data set "{dataset.name}" is pushed to a running flyball',
            why="its rows are in no file that could be read here",
            fix="name a file of rows instead: --data FILE",
        )
    return segments(access.pushed, dataset.name)


def checked(dataset: Dataset, row: Any, now: Instant) -> bytes:
    """A row that a caller sent, as a line that can be kept: every declared column, its arrival where that is declared and was not sent.

    Raises BadInput for what its contract refuses of one row: an unknown column, a value of another type, out of range, or missing where none may
    be. What is required of all rows together is looked at when a version is made.
    """
    if not isinstance(row, Mapping):
        raise BadInput("the row is no object", why="a row is an object of columns", fix='send {"column": value}')
    types = schema(dataset)
    unknown = next((name for name in row if name not in types), None)
    if unknown is not None:
        raise BadInput(
            f'"{str(unknown)[:40]}" is not a column',
            why=f'data set "{dataset.name}" does not declare it',
            fix=near(str(unknown), list(types)),
        )
    made: dict[str, Any] = {}
    for name, type_ in types.items():
        given = rfc3339(now) if name == dataset.arrived and row.get(name) is None else row.get(name)
        try:
            value = jsonlines.value_of(given, type_)
        except (ValueError, OverflowError):
            told = "" if name in dataset.identifying else f": {brief(given)}"
            raise BadInput(f'"{name}" is no {type_}{told}', fix=f'send "{name}" as it is declared, or leave it out') from None
        _hold(dataset, name, value, now)
        made[name] = value.isoformat() if type_ == "time" and value is not None else value
    return msgspec.json.encode(made)


def _hold(dataset: Dataset, name: str, value: Any, now: Instant) -> None:
    """Raise BadInput for a value that its column cannot have in any row."""
    column = dataset.columns.get(name)
    told = "" if name in dataset.identifying else f": {brief(value)}"
    if value is None:
        late = column is not None and (column.nulls > 0 or column.known_after > 0 or column.on_breach == "warn")
        if name in (dataset.time, dataset.id) or not (late or column is None):
            raise BadInput(f'"{name}" is missing', why="every row has one", fix=f'send "{name}"')
        return
    if name in (dataset.time, dataset.arrived) or (column is not None and column.type == "time"):
        at = int((pl.Series([value]).dt.epoch("us")).item())
        if abs(at) > FARTHEST:
            raise BadInput(f'"{name}" is no plausible time', why="it lies more than 2^53 µs from 1970", fix="correct it")
        if name == dataset.time and dataset.ahead is not None and dataset.on_breach == "block" and at > now + dataset.ahead:
            # a row that no version may hold would keep all others out of it
            raise BadInput(f'"{name}" lies more than {dataset.ahead} ahead', why=f"it is {rfc3339(now)} here", fix="correct it")
        if name == dataset.arrived and at > now + AHEAD:
            raise BadInput(
                f'"{name}" lies in the future', why=f"it is {rfc3339(now)} here", fix="leave it out: it is noted when the row comes"
            )
    if column is None or column.on_breach == "warn":
        return
    if column.between is not None and not column.between[0] <= value <= column.between[1]:
        raise BadInput(f'"{name}" is not between {column.between[0]:g} and {column.between[1]:g}{told}', fix="correct it")
    if column.one_of is not None and value not in column.one_of:
        raise BadInput(f'"{name}" is not one of {", ".join(str(each) for each in column.one_of[:8])}{told}', fix="correct it")
