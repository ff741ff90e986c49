"""Rows that callers push: which data set they are for, and what of them is kept. Nothing is recorded until a version holds them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flyball.clock import Instant
from flyball.data.rules import is_pushed
from flyball.declare.data import Dataset
from flyball.declare.reads import looked_at
from flyball.declare.units import near
from flyball.errors import BadInput, Conflict, NotFound, Problem
from flyball.loop.lookup import readable
from flyball.loop.ports import Library
from flyball.records.base import Record, State
from flyball.records.data import DatasetRow, DatasetVersion
from flyball.records.declarations import DECLARATIONS

MOST = 10_000
"""Rows of a request."""


class PushRows(Record, frozen=True):
    """Send rows of a data set that is pushed: `POST /datasets/{dataset}/rows`. Records nothing itself."""

    id: str
    actor: str


class Taken(NamedTuple):
    """How many rows were kept, those that were not, and the number of the last one."""

    accepted: int
    refused: tuple[tuple[int, BadInput], ...]
    last: int


def declared(state: State, library: Library, name: str) -> Dataset | None:
    """The data set of a name, as the first declaration in effect has it; None where none has."""
    for _, row in state.scan(DECLARATIONS):
        model, _unread = readable(library, row)
        found = looked_at(model).get(name) if model is not None else None
        if found is not None:
            return found
    return None


def pushed(state: State, library: Library, name: str) -> Dataset:
    """The data set of a name whose rows are pushed. Raises NotFound, Conflict."""
    found = declared(state, library, name)
    if found is None:
        models = (readable(library, row)[0] for _, row in state.scan(DECLARATIONS))
        known = [each for model in models if model is not None for each in looked_at(model)]
        raise NotFound(f'no data set "{name}" is declared', fix=near(name, known) if known else "flyball apply")
    if not is_pushed(found):
        raise Conflict(
            f'data set "{name}" is not pushed', why="its rows come from the source that is declared", fix='declare source="push://"'
        )
    return found


def compact(folder: Path | None, dataset: Dataset, row: DatasetRow | None) -> None:
    """Remove pushed rows that the newest version holds, once the record says that it does. folder: `.flyball/push`."""
    if folder is None or row is None or row.head is None or not is_pushed(dataset):
        return
    from flyball.data.sources.pushed import segments, through

    segments(folder, dataset.name).drop(through(row.head, dataset))


def push(folder: Path, dataset: Dataset, rows: Sequence[Any], *, now: Instant, command: str, head: DatasetVersion | None) -> Taken:
    """Keep the rows that may be kept; they are on the disk when this returns. folder: `.flyball/push`. head: the newest version, whose rows go
    before these.

    Raises BadInput where there is none, with what is wrong with each, and Unavailable where the disk does not take them.
    """
    from flyball.data.sources.pushed import checked, segments, through

    if not 0 < len(rows) <= MOST:
        raise BadInput(f"{len(rows):,} rows were sent", why=f"a request has 1 to {MOST:,}", fix='send {"rows": [{…}]}')
    lines: list[bytes] = []
    refused: list[tuple[int, BadInput]] = []
    for place, row in enumerate(rows):
        try:
            lines.append(checked(dataset, row, now))
        except BadInput as error:
            refused.append((place, error))
    if not lines:
        problems = tuple(Problem(f"/rows/{place}", error.what, error.why, error.fix) for place, error in refused[:100])
        raise BadInput(f"all {len(rows):,} rows are refused", fix="see problems", problems=problems)
    last = segments(folder, dataset.name).append(lines, now, command, after=through(head, dataset))
    return Taken(len(lines), tuple(refused), last)
