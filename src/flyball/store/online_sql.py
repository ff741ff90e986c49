"""What online stores in SQL databases have in common: three tables, and the transactions over them.

`online_view` says which generation of a view is live, `online_generation` how far each was written, `online_value` holds the values.
Statements are written with `?` for a value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

from flyball.errors import Conflict
from flyball.store.online import Generation, Merge, Part, not_online

BATCH = 5_000
"""Values that one statement writes."""

AT_ONCE = 10_000
"""Values of a dead generation that are removed, or of a live one that are copied, in one transaction: writers wait for each other, never for long."""

_GENERATIONS = """SELECT g.number, g.view, CASE WHEN v.live = g.number THEN 1 ELSE 0 END, g.cursor
FROM online_generation g LEFT JOIN online_view v ON v.name = g.view """
_NUMBERS = "SELECT number FROM online_generation"
READ = """SELECT x.entity, x.part, x.body FROM online_view v JOIN online_value x ON x.generation = v.live
WHERE v.name = ? AND x.entity """
"""Of the live generation, parts of the entities that the rest of the statement names."""
_READ_ONE = f"{READ}= ? ORDER BY x.part"

_LAST = "SELECT entity, part FROM online_value WHERE generation = ? ORDER BY entity DESC, part DESC LIMIT 1"
_COPIED = """INSERT INTO online_value (generation, entity, part, body)
SELECT CAST(? AS BIGINT), entity, part, body FROM online_value WHERE generation = ? """
_IN_STEPS = "ORDER BY entity, part LIMIT ? RETURNING 1"
_COPY = f"{_COPIED}{_IN_STEPS}"
_COPY_ON = f"{_COPIED}AND (entity, part) > (?, ?) {_IN_STEPS}"


class Work(ABC):
    """One write transaction."""

    @abstractmethod
    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement, and its rows if it has any."""

    @abstractmethod
    def write(self, number: int, parts: Sequence[Part]) -> None:
        """Write values of a generation over what is there."""

    @abstractmethod
    def find(self, number: int, keys: Sequence[tuple[bytes, int]]) -> list[tuple[bytes, int, bytes]]:
        """What is there of a generation under these keys."""


class SqlOnline(ABC):
    """`OnlineStore` over a database whose driver the subclass knows. Methods raise what `OnlineStore` says."""

    name: str

    @abstractmethod
    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one reading statement."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Work]:
        """A write transaction: no other writer is inside at the same time."""

    @abstractmethod
    def _several(self, view: str, entities: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """The parts of more than one entity."""

    def read(self, view: str, entities: Sequence[bytes]) -> list[Part]:
        """Every part of these entities of the live generation."""
        found = self._query(_READ_ONE, (view, entities[0])) if len(entities) == 1 else self._several(view, entities) if entities else []
        if not found and not self._query("SELECT 1 FROM online_view WHERE name = ?", (view,)):
            raise not_online(view)
        # the driver's tuples are read as parts are, by place; making parts of them would cost as much as the look-up
        return found  # type: ignore[return-value]

    def generations(self, views: Sequence[str] | None = None) -> list[Generation]:
        """All generations of these views, None: of all."""
        named = list(dict.fromkeys(views or ()))
        if views is not None and not named:
            return []
        where = f"WHERE g.view IN ({','.join('?' * len(named))}) " if named else ""
        found = self._query(f"{_GENERATIONS}{where}ORDER BY g.number", named)
        return [Generation(number, view, bool(live), bytes(cursor)) for number, view, live, cursor in found]

    def begin(self, view: str, cursor: bytes) -> Generation:
        """Begin a generation beside the live one, in place of any other that was being built."""
        with self._writing() as work:
            live = work.run("SELECT live FROM online_view WHERE name = ?", (view,))
            work.run("DELETE FROM online_generation WHERE view = ? AND number <> ?", (view, live[0][0] if live else -1))
            made = work.run("INSERT INTO online_generation (view, cursor) VALUES (?, ?) RETURNING number", (view, cursor))
        return Generation(int(made[0][0]), view, live=False, cursor=cursor)

    def put(self, generation: Generation, parts: Iterable[Part], cursor: bytes) -> Generation:
        """Write parts, and the cursor."""
        with self._writing() as work:
            self._advance(work, generation, cursor)
            for batch in _batches(parts, BATCH):
                work.write(generation.number, batch)
        return generation._replace(cursor=cursor)

    def copy(self, generation: Generation, source: Generation) -> int:
        """Copy the next values of `source`, in order of their keys: the last that is there says how far it is."""
        with self._writing() as work:
            for each in (generation, source):
                self._advance(work, each, each.cursor)
            last = work.run(_LAST, (generation.number,))
            if not last:
                return len(work.run(_COPY, (generation.number, source.number, AT_ONCE)))
            entity, part = last[0]
            return len(work.run(_COPY_ON, (generation.number, source.number, bytes(entity), part, AT_ONCE)))

    def update(
        self, generation: Generation, keys: Iterable[tuple[bytes, int]], merge: Merge, cursor: bytes, *, below: int | None = None
    ) -> Generation:
        """Write what `merge` makes of what is there, and the cursor; remove parts below `below`."""
        with self._writing() as work:
            self._advance(work, generation, cursor)
            for batch in _batches(keys, BATCH):
                there = {(bytes(entity), part): bytes(body) for entity, part, body in work.find(generation.number, batch)}
                made = [(entity, part, merge(entity, part, there.get((entity, part)))) for entity, part in dict.fromkeys(batch)]
                work.write(generation.number, [Part(entity, part, body) for entity, part, body in made if body is not None])
                for entity, part in [(entity, part) for entity, part, body in made if body is None and (entity, part) in there]:
                    sql = "DELETE FROM online_value WHERE generation = ? AND entity = ? AND part = ?"
                    work.run(sql, (generation.number, entity, part))
                if below is not None:
                    for entity in dict.fromkeys(entity for entity, _ in batch):
                        work.run(
                            "DELETE FROM online_value WHERE generation = ? AND entity = ? AND part < ?", (generation.number, entity, below)
                        )
        return generation._replace(cursor=cursor)

    def publish(self, generation: Generation, cursor: bytes | None = None) -> Generation:
        """Make a generation the live one of its view, and write the cursor."""
        made = generation._replace(live=True, cursor=generation.cursor if cursor is None else cursor)
        with self._writing() as work:
            self._advance(work, generation, made.cursor)
            work.run("DELETE FROM online_generation WHERE view = ? AND number <> ?", (generation.view, generation.number))
            work.run(
                "INSERT INTO online_view (name, live) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET live = excluded.live",
                (generation.view, generation.number),
            )
        return made

    def drop(self, view: str) -> None:
        """Remove a view with all its generations."""
        with self._writing() as work:
            work.run("DELETE FROM online_view WHERE name = ?", (view,))
            work.run("DELETE FROM online_generation WHERE view = ?", (view,))
        self.collect()

    def collect(self) -> int:
        """Remove the values of generations that are no more."""
        removed = 0
        for number in self._dead():
            while gone := self._remove(number):
                removed += gone
        return removed

    def health(self) -> None:
        """Return if a read can be answered now."""
        self._query("SELECT count(*) FROM online_view", ())

    def mend(self) -> str:
        """Nothing: a server mends itself."""
        return ""

    def _dead(self) -> list[int]:
        """Numbers of generations that have values and are no more: each is found by one step of the index."""
        known = {number for (number,) in self._query(_NUMBERS, ())}
        found: list[int] = []
        last = -1
        while after := self._query("SELECT generation FROM online_value WHERE generation > ? ORDER BY generation LIMIT 1", (last,)):
            last = int(after[0][0])
            if last not in known:
                found.append(last)
        # a generation that was begun in between is known by now
        return [number for number in found if not self._query(f"{_NUMBERS} WHERE number = ?", (number,))]

    def _remove(self, number: int) -> int:
        with self._writing() as work:
            sql = "SELECT entity, part FROM online_value WHERE generation = ? ORDER BY entity, part LIMIT 1 OFFSET ?"
            last = work.run(sql, (number, AT_ONCE - 1))
            if last:
                entity, part = last[0]
                sql = "DELETE FROM online_value WHERE generation = ? AND (entity, part) <= (?, ?) RETURNING 1"
                return len(work.run(sql, (number, bytes(entity), part)))
            return len(work.run("DELETE FROM online_value WHERE generation = ? RETURNING 1", (number,)))

    def _advance(self, work: Work, generation: Generation, cursor: bytes) -> None:
        """Set the cursor if it is still where the writer left it."""
        sql = "UPDATE online_generation SET cursor = ? WHERE number = ? AND view = ? AND cursor = ? RETURNING number"
        if not work.run(sql, (cursor, generation.number, generation.view, generation.cursor)):
            raise Conflict(
                f'somebody else writes view "{generation.view.partition("@")[0]}" to the online store',
                why="the values there are not those that this writer left",
                fix="nothing was changed; try again",
            )


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
