"""Whose the rows of the prediction log are, and what is left of records without some of them. Pure.

A row is a person's where a field of its request says so: the subject column of a data set, or the key of a view over it. A label is theirs
where it names such a row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from flyball.clock import Instant
from flyball.serving import wal
from flyball.serving.vectors import Vectors, taken_up

Fields: TypeAlias = Mapping[str, tuple[tuple[str, str], ...]]
"""Model → the fields of its requests that say whose a row is, each with the data set in which that person's rows are."""

Whose: TypeAlias = Callable[[str, str, Instant], bool]
"""(data set, value, moment) → whether what was known of this person then is meant."""

_SCORED = ("answer", "shadow", "shadow_dropped")


class Left(NamedTuple):
    """Records without some rows, how many rows of predictions went, and their ids."""

    records: list[wal.LogRecord]
    rows: int
    ids: frozenset[str]


class Seen(NamedTuple):
    """A row of the log: its record, its place in it, its id, the fields of its request by name, and what the model's views gave for it."""

    record: wal.LogRecord
    place: int
    id: str
    values: dict[str, Any]
    features: dict[str, Any] = {}


def everything(records: list[wal.LogRecord]) -> Left:
    """Forget nothing."""
    return Left(records, 0, frozenset())


def seen(records: Iterable[wal.LogRecord], fields: Fields, whose: Whose) -> Iterator[Seen]:
    """The rows that are meant, in the order of the log. A version's fields stand before its first record."""
    names: dict[str, tuple[str, ...]] = {}
    features: dict[str, tuple[str, ...]] = {}
    for record in records:
        if record.kind == "signature" and record.input:
            names[record.version] = tuple(record.input[0])
        elif record.kind == "views":
            features[record.request_id] = tuple(name for view in taken_up(record.input) for name in view.features)
        elif record.kind in _SCORED and record.input:
            own = names.get(record.version, ())
            for place in _places(record, own, fields, whose):
                values = dict(zip(own, record.input[place], strict=False))
                yield Seen(record, place, record.row_ids()[place], values, _given(record.vectors, place, features))


def without(records: Sequence[wal.LogRecord], fields: Fields, whose: Whose, ids: Collection[str] = ()) -> Left:
    """The records without the rows that are meant, without their shadows, and without labels of them or of `ids`."""
    meant: dict[int, set[int]] = {}
    gone = set(ids)
    own: set[str] = set()
    for row in seen(records, fields, whose):
        meant.setdefault(id(row.record), set()).add(row.place)
        own.add(row.id)
    gone |= own
    left: list[wal.LogRecord] = []
    for record in records:
        if record.kind == "label" and record.request_id in gone:
            continue
        # what a worker never got has no fields to look at; it goes with the answer of the same rows
        places = meant.get(id(record), set()) | _of(record, gone)
        kept = _kept(record, places) if places else record
        if kept is not None:
            left.append(kept)
    return Left(left, sum(len(places) for places in meant.values()), frozenset(own))


def _given(vectors: Vectors | None, place: int, features: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    if vectors is None or place >= len(vectors.values):
        return {}
    return dict(zip(features.get(vectors.mark, ()), vectors.values[place], strict=False))


def _places(record: wal.LogRecord, names: Sequence[str], fields: Fields, whose: Whose) -> list[int]:
    wanted = fields.get(record.version.partition("@")[0], ())
    columns = [(names.index(field), data) for field, data in wanted if field in names]
    rows = record.input if columns and record.input else []
    return [
        place
        for place, row in enumerate(rows)
        if any(column < len(row) and row[column] is not None and whose(data, text(row[column]), record.at) for column, data in columns)
    ]


def text(value: object) -> str:
    """A field's value as the person's name is written: as the text of a data set's column."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of(record: wal.LogRecord, gone: Collection[str]) -> set[int]:
    """The rows of a record without a request whose ids are gone; where there is one, it says itself whose the row is."""
    if record.kind not in _SCORED or record.input or not gone:
        return set()
    return {place for place, row in enumerate(record.row_ids()) if row in gone}


def _kept(record: wal.LogRecord, places: Collection[int]) -> wal.LogRecord | None:
    """A record without some of its rows; None where none is left. The others keep their ids."""
    ids = record.row_ids()
    keep = [place for place in range(max(record.rows, 1)) if place not in places]
    if not keep:
        return None
    marks = dict(record.marks or {}) | {"ids": [ids[place] for place in keep]}
    if isinstance(times := marks.get("t"), list):
        marks["t"] = _only(times, keep)
    if isinstance(marks.get("cv"), list):
        marks["cv"] = _only(marks["cv"], keep)
    return msgspec.structs.replace(
        record,
        rows=len(keep),
        input=None if record.input is None else _only(record.input, keep),
        output=None if record.output is None else _only(record.output, keep),
        marks=marks,
        vectors=None if record.vectors is None else _vectors(record.vectors, keep),
    )


def _vectors(vectors: Vectors, places: Sequence[int]) -> Vectors:
    return Vectors(vectors.mark, _only(vectors.moments, places), _only(vectors.values, places))


def _only(values: Sequence[Any], places: Sequence[int]) -> list[Any]:
    return [values[place] for place in places if place < len(values)]
