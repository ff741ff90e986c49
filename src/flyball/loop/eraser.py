"""Finds what is held of a person, writes what is left without them, and removes what is gone: everything about an erasure that takes time.

New blobs are written first, then the erasure is recorded, then the old blobs are removed: a crash between leaves rows that `sweep`
removes, and doing it again finds nothing else to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl

from flyball.clock import Instant
from flyball.data import erase, erasures, manifest
from flyball.data.erasures import NONE, Erasures, present
from flyball.data.sources.pushed import segments, through
from flyball.data.sources.segments import Segments
from flyball.declare.model import Model
from flyball.declare.reads import made_from
from flyball.declare.units import near
from flyball.errors import BadInput, Corrupt, NotFound
from flyball.ledger import personal
from flyball.ledger.erasurecheck import places, replaced
from flyball.ledger.ledger import SqlLedger
from flyball.loop import erasing
from flyball.loop.erasing import EraseSubject, Forgetting
from flyball.loop.ports import Library
from flyball.loop.subjectkey import SubjectKey, find_key, make_key
from flyball.records.base import State
from flyball.records.data import DATASET_VERSIONS, DATASETS, LOG, DataErased, DatasetVersion, SubjectErased
from flyball.records.serving import SEGMENTS, SegmentRow
from flyball.serving import forget, sealer, wal
from flyball.serving.fold import segment_key
from flyball.serving.layout import Layout
from flyball.store.blobs import LocalBlobs


class HeldRows(NamedTuple):
    """A data set version that has rows of a person, and where it lies now."""

    version: DatasetVersion
    column: str
    content: str
    rows: int


class HeldSegment(NamedTuple):
    """A sealed segment that has rows or labels of a person, and where it lies now."""

    row: SegmentRow
    content: str
    rows: int


@dataclass(frozen=True)
class Held:
    """Where rows of a person lie. `waiting` rows of the open log are under no standing erasure yet, of `logged` in all; `pushed` ones were sent and
    are in no version yet, or still lie beside it.
    """

    subject: str
    names: tuple[str, ...]
    versions: tuple[HeldRows, ...]
    segments: tuple[HeldSegment, ...]
    labelled: frozenset[str]
    logged: int
    waiting: int
    texts: tuple[str, ...]
    looked: tuple[tuple[str, str], ...]
    pushed: int = 0

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to erase."""
        return not (self.versions or self.segments or self.waiting or self.texts or self.pushed)


class Subjects:
    """What a project knows of persons: the columns and fields that name them, and the key under which the erased are remembered."""

    def __init__(self, ledger: SqlLedger, library: Library, keys: Path) -> None:
        """keys: the folder `.flyball/keys`."""
        self.ledger = ledger
        self.keys = keys
        self._library = library

    def models(self, state: State) -> list[Model]:
        """Every declaration that rows or records may be of."""
        return erasing.declared_models(state, self._library)

    def columns(self, state: State, models: list[Model]) -> dict[str, str]:
        """Data set → the column that says whose a row is; those without one are left out."""
        known = {name: data.subject for name, data in erasing.datasets(models).items() if data.subject}
        for _, version in state.scan(DATASET_VERSIONS):
            if version.subject:
                known.setdefault(version.name, version.subject)
        return known

    def chosen(self, columns: dict[str, str], name: str) -> tuple[str, ...]:
        """The data sets that are meant: the named one, or all. Raises NotFound, BadInput."""
        if not columns:
            raise BadInput(
                "no data set says whose its rows are",
                why="a person is looked for in the column that subject= names",
                fix='declare subject="customer_id" on the data set, then flyball apply',
            )
        if name and name not in columns:
            raise NotFound(f'no data set "{name}" says whose its rows are', fix=f"data sets: {near(name, list(columns))}")
        return (name,) if name else tuple(columns)

    def erasures(self, name: str) -> Erasures:
        """What was erased of a data set: what to leave out of its source, and where its contents lie. Raises Corrupt without the key."""
        state = self.ledger.state()
        known = erasing.erasures(state, name)
        where = partial(self.present, name)
        key = find_key(self.keys, state) if known.until else None
        return Erasures(present=where) if key is None else Erasures(until=known.until, seq=known.seq, present=where, keyed=key.who)

    def present(self, name: str, content: str) -> str:
        """Where a content of a data set lies now."""
        return present(self.ledger.state(), name, content)

    def segments(self) -> list[SegmentRow]:
        """The sealed segments, each with the hash of the blob in which it lies now."""
        state = self.ledger.state()
        return [msgspec.structs.replace(row, parquet_sha256=_lies(state, key, row)) for key, row in state.scan(SEGMENTS)]

    def forgetting(self) -> Forgetting:
        """What a segment that is sealed now is sealed without. Raises Corrupt without the key."""
        state = self.ledger.state()
        models = self.models(state)
        columns = self.columns(state, models)
        known = {name: self.erasures(name) for name in columns}
        seq = max((each.seq for each in known.values()), default=0)
        if not seq:
            return Forgetting(data=tuple(known))
        fields = erasing.subject_fields(models)
        return Forgetting(partial(_forgotten, fields=fields, known=known), seq, tuple(known))

    def key(self) -> SubjectKey | None:
        """The key under which the erased are remembered; None where nobody was erased yet. Raises Corrupt, Refused, Unavailable."""
        return find_key(self.keys, self.ledger.state())

    def make_key(self) -> SubjectKey:
        """The same, made where nobody was erased yet. Raises Corrupt, Refused, Unavailable."""
        return make_key(self.keys, self.ledger.state())


def _lies(state: State, key: str, row: SegmentRow) -> str:
    return present(state, f"{LOG}{key}", row.parquet_sha256)


def _forgotten(records: list[wal.LogRecord], *, fields: forget.Fields, known: dict[str, Erasures]) -> forget.Left:
    return forget.without(records, fields, lambda data, value, at: known.get(data, NONE).covers(value, at))


class Eraser:
    """Looks for one person in everything that is stored."""

    def __init__(self, subjects_: Subjects, blobs: LocalBlobs, layout: Layout) -> None:
        self._subjects = subjects_
        self._blobs = blobs
        self._layout = layout
        self._persons: dict[str, erase.Person] = {}

    def find(self, subject: str, name: str = "") -> Held:
        """Where rows of a person lie, in one data set or in all. Raises NotFound, BadInput, Corrupt."""
        state = self._subjects.ledger.state()
        models = self._subjects.models(state)
        columns = self._subjects.columns(state, models)
        names = self._subjects.chosen(columns, name)
        fields = erasing.within(erasing.subject_fields(models), names)
        rows, labelled = self._segments(state, fields, subject)
        logged, waiting = self._open(state, fields, subject)
        return Held(
            subject=subject,
            names=names,
            versions=tuple(self._versions(state, columns, names, subject)),
            segments=rows,
            labelled=labelled,
            logged=logged,
            waiting=waiting,
            texts=tuple(self._subjects.ledger.personal_of(subject)),
            looked=tuple(erasing.stored(state, names)),
            pushed=sum(own.count(_named(column, subject)) for _, own, column in self._pushed(names, columns)),
        )

    def order(self, held: Held, key: SubjectKey, *, command: str, actor: str, reason: str, keep: erase.Keep | None = None) -> EraseSubject:
        """The command that erases what was found. What is left is written, or only named where `keep` says so. Raises NotFound, Corrupt."""
        state = self._subjects.ledger.state()
        models = self._subjects.models(state)
        who = key.who(held.subject)
        fields = erasing.within(erasing.subject_fields(models), held.names)
        erased = [*self._without_rows(held, state, who, keep or self._blobs.put)]
        erased += self._without_records(held, fields, who, keep or self._blobs.put)
        what = SubjectErased(
            subject=who,
            data=held.names,
            rows=sum(each.rows for each in held.versions),
            predictions=sum(each.rows for each in held.segments),
            waiting=held.waiting + held.pushed,
            texts=len(held.texts),
            reason=reason,
            fingerprint=key.fingerprint,
        )
        readers = {model.name for model in models if made_from(model).keys() & {*held.names}}
        return EraseSubject(id=command, actor=actor, what=what, erased=tuple(erased), looked=held.looked, models=tuple(sorted(readers)))

    def finish(self, held: Held) -> int:
        """After it was recorded: forget the texts, remove old blobs; how many."""
        self._subjects.ledger.erase_personal(held.texts)
        if held.pushed:
            state = self._subjects.ledger.state()
            for _, own, column in self._pushed(held.names, self._subjects.columns(state, self._subjects.models(state))):
                own.erase(_named(column, held.subject))
        return sweep(self._subjects.ledger.state(), self._blobs)

    def finish_again(self, held: Held, event: int) -> tuple[Held, int]:
        """Finish what the erasure that ended with this event left undone if it was killed. What is held even so, and how many blobs went."""
        read = self._subjects.ledger.read(0, event) if held.texts else ()
        told = {digest for recorded in read for digest in personal.hashes(recorded.event)}
        left = tuple(text for text in held.texts if text in told)
        removed = self.finish(replace(held, texts=left))
        return replace(held, texts=tuple(text for text in held.texts if text not in told), pushed=0), removed

    def records(self, held: Held, models: list[Model]) -> list[list[wal.LogRecord]]:
        """The segments of the log in which something of a person lies: sealed ones, then all of the open log."""
        fields = erasing.within(erasing.subject_fields(models), held.names)
        sealed = [self._unsealed(each.content) for each in held.segments]
        return [*sealed, *self._files(self._subjects.ledger.state())] if fields else []

    def pushed(self, held: Held, state: State, models: list[Model]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows of a person that were sent and are in no version yet, as they were kept, each with its data set. Raises Corrupt."""
        declared = erasing.datasets(models)
        for name, own, column in self._pushed(held.names, self._subjects.columns(state, models)) if held.pushed else ():
            row = state.get(DATASETS, name)
            in_version = through(row.head if row is not None else None, declared[name]) if name in declared else 0
            yield from ((name, each) for each in own.rows(in_version) if _named(column, held.subject)(each, 0))

    def _pushed(self, names: tuple[str, ...], columns: dict[str, str]) -> Iterator[tuple[str, Segments, str]]:
        """Where rows lie that were sent, of which data set, and the column that says whose they are."""
        for name in names:
            if (self._layout.push / name).is_dir():
                yield name, segments(self._layout.push, name), columns[name]

    def _person(self, subject: str) -> erase.Person:
        # chunks never change, so what was found in one is known for good
        return self._persons.setdefault(subject, erase.Person(subject, self._blobs))

    def _versions(self, state: State, columns: dict[str, str], names: tuple[str, ...], subject: str) -> Iterator[HeldRows]:
        person = self._person(subject)
        for version in erasures.versions(state, names):
            column, content = erasures.subject_column(version, columns), present(state, version.name, version.content)
            if count := person.count(content, column):
                yield HeldRows(version, column, content, count)

    def _segments(self, state: State, fields: forget.Fields, subject: str) -> tuple[tuple[HeldSegment, ...], frozenset[str]]:
        """Sealed segments with rows of a person or labels of such rows, and the ids of the rows."""
        whose = is_of(subject)
        rows = [(row, _lies(state, key, row)) for key, row in state.scan(SEGMENTS)] if fields else []
        found = {content: [seen.id for seen in forget.seen(self._unsealed(content), fields, whose)] for _, content in rows}
        ids = frozenset(one for own in found.values() for one in own)
        open_ids = {seen.id for records in self._files(state) for seen in forget.seen(records, fields, whose)}
        every = ids | open_ids
        held = [
            HeldSegment(row, content, len(found[content]))
            for row, content in rows
            if found[content] or (every and self._labels(content, every))
        ]
        return tuple(held), frozenset(every)

    def _unsealed(self, content: str) -> list[wal.LogRecord]:
        return sealer.unseal(self._blobs.get(content))

    def _labels(self, content: str, ids: frozenset[str] | set[str]) -> bool:
        """Whether a segment has labels of these rows."""
        columns = pl.read_parquet(self._blobs.path(content), columns=["kind", "request_id"])
        return bool(columns.select(((pl.col("kind") == "label") & pl.col("request_id").is_in(list(ids))).any()).item())

    def _files(self, state: State) -> Iterator[list[wal.LogRecord]]:
        """The records of each segment that is not sealed yet."""
        for file in wal.segments(self._layout.log):
            if state.get(SEGMENTS, segment_key(file.gateway, file.number)) is None:
                yield list(sound_records(file.path))

    def _open(self, state: State, fields: forget.Fields, subject: str) -> tuple[int, int]:
        """Rows of a person in the open log, and how many of them no standing erasure means yet."""
        names = {data for own in fields.values() for _, data in own}
        known = {name: self._subjects.erasures(name) for name in names} if fields else {}

        def new(data: str, value: str, at: Instant) -> bool:
            return value == subject and not known[data].covers(value, at)

        logged = waiting = 0
        for own in self._files(state) if fields else ():
            logged += sum(1 for _ in forget.seen(own, fields, is_of(subject)))
            waiting += sum(1 for _ in forget.seen(own, fields, new))
        return logged, waiting

    def _without_rows(self, held: Held, state: State, who: str, keep: erase.Keep) -> Iterator[DataErased]:
        person = self._person(held.subject)
        made: dict[tuple[str, str], erase.Rest] = {}
        for each in held.versions:
            name, content = place = each.version.name, each.content
            if place not in made:
                # two versions of a data set may lie in one place, and name its persons by different columns
                columns = sorted({one.column for one in held.versions if (one.version.name, one.content) == place})
                made[place] = person.rest(content, columns, keep)
            event = DataErased(
                name=name,
                birth=each.version.content,
                old_content=content,
                new_content=made[place].content,
                rows=made[place].rows,
                subject=who,
            )
            yield erasing.listed(event, erasing.made_from(state, each.version))

    def _without_records(self, held: Held, fields: forget.Fields, who: str, keep: erase.Keep) -> Iterator[DataErased]:
        for each in held.segments:
            left = forget.without(self._unsealed(each.content), fields, is_of(held.subject), held.labelled)
            yield DataErased(
                name=f"{LOG}{segment_key(each.row.gateway, each.row.number)}",
                birth=each.row.parquet_sha256,
                old_content=each.content,
                new_content=keep(sealer.parquet(left.records)),
                rows=left.rows,
                subject=who,
            )


def sweep(state: State, blobs: LocalBlobs) -> int:
    """Remove every content that erasures replaced wherever it was; how many blobs went. Idempotent."""
    return manifest.drop(sorted(replaced(state)), (content for name, content in places(state) if not name.startswith(LOG)), blobs)


def sound_records(path: Path) -> Iterator[wal.LogRecord]:
    """Every sound record of a segment that is not sealed; none of a file that is gone or no segment."""
    offset = 0
    while True:
        try:
            found, after = wal.read(path, offset)
        except (FileNotFoundError, Corrupt):
            return
        yield from found
        if not found or after == offset:
            return
        offset = after


def is_of(subject: str) -> forget.Whose:
    """Rows of one person."""
    return lambda _data, value, _at: value == subject


def _named(column: str, subject: str) -> Callable[[dict[str, Any], Instant], bool]:
    """Sent rows that name a person."""
    return lambda row, _at: row.get(column) is not None and str(row[column]) == subject
