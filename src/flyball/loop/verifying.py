"""Verifies served features by itself, beside the loop: a bounded sample of what was logged since the last look, every so often.

A row is judged once all data of its moment is in a version, or after a day, whichever comes first. What is found goes into the record where
it is news, and into counts for the metrics. After a restart, or from one `flyball tick` to the next, it goes on where it was: no row is judged twice.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import msgspec

from flyball.clock import FARTHEST, Instant, Span
from flyball.errors import Corrupt, DeclarationError, FlyballError, NotFound
from flyball.loop.ports import Memory, Ports
from flyball.loop.skew import NoteVerified, decide_note_verified
from flyball.loop.verifier import Verified, Verifier, examples
from flyball.loop.watch import SETTLE
from flyball.records import codec
from flyball.records.base import Record
from flyball.records.skew import Skew
from flyball.serving.layout import read_json, write_whole
from flyball.serving.vectorlog import LoggedVector, VectorLog

ACTOR = "loop"

SAMPLE = 500
"""Rows of a version that are judged at one look: 1 in 100 of wrong rows is found with 99%, and a look takes seconds at most."""

PATIENCE = Span.parse("1d")
"""How long a row waits for the data of its moment to be in a version."""

EXAMPLES = 5

_KEY = "1/features verified"
"""Of what is kept in the operational memory; the number is that of its form."""


class Looked(Record, frozen=True):
    """How far the log was looked at: rows logged until then were judged. `at` is when it was looked last.

    `read`: how many records of each segment were read by then. `waiting`: versions of which rows waited, and until when all was known that their views look at.
    """

    until: Instant = 0
    at: Instant = 0
    read: dict[str, int] = {}
    waiting: dict[str, Instant] = {}

    def judged(self, row: LoggedVector) -> bool:
        """Whether a row that the log gives is among those that were judged, or left out of a sample, by then."""
        return row.again and (row.version not in self.waiting or _is_due(row, self.waiting[row.version], self.at))


@dataclass(frozen=True)
class _Found:
    """What one look found, and the state after it."""

    looked: Looked
    verified: list[Verified]


@dataclass
class Sample:
    """At most `most` rows a version, by a hash of their ids: the same of the same rows, in whatever order they come."""

    most: int
    rows: dict[str, list[LoggedVector]] = field(default_factory=dict)

    def add(self, row: LoggedVector) -> None:
        """Take a row in, and another one out where there are too many."""
        own = self.rows.setdefault(row.version, [])
        own.append(row)
        if len(own) >= 2 * self.most:
            self._cut(row.version)

    def cut(self) -> None:
        """Leave no more than there may be."""
        for version in self.rows:
            self._cut(version)

    def _cut(self, version: str) -> None:
        self.rows[version] = sorted(self.rows[version], key=lambda one: (crc32(one.row.encode()), one.row, one.at))[: self.most]


class Verifying:
    """One look at a time, in a thread. `step` is called with every pass of the loop and never waits for a disk."""

    def __init__(self, log: VectorLog, verifier: Callable[[], Verifier], counts: Path, *, every: Span) -> None:
        """verifier: made for each look. counts: the file whose counts gateways tell with their own. every: how far apart looks lie; 0: none."""
        self._log = log
        self._verifier = verifier
        self._counts = SkewCounts(counts)
        self._every = every
        self._sample = Sample(SAMPLE)
        self._looked: Looked | None = None
        self._begun = Looked()
        """Where this process took over."""
        self._thread: threading.Thread | None = None
        self._made: _Found | None = None
        self._failed: FlyballError | OSError | None = None

    def step(self, ports: Ports, now: Instant) -> None:
        """Record what the last look found, and begin the next when it is due. Raises what a look raised, once."""
        if not self._every or (self._thread is not None and self._thread.is_alive()):
            return
        self._settle(ports)
        looked = self._looked or self._begin(_kept(ports.memory) or Looked(until=now - PATIENCE))
        if abs(now - looked.at) >= self._every:
            if looked.at > now:
                # a clock that was ahead once must not put off for as long what is looked at next
                looked = msgspec.structs.replace(looked, until=min(looked.until, now - PATIENCE))
            self._looked = msgspec.structs.replace(looked, at=now)
            self._thread = threading.Thread(target=self._look, args=(looked.until, now), name="verify", daemon=True)
            self._thread.start()

    def finish(self, ports: Ports) -> None:
        """Wait for a look that is under way, and record what it found. Raises what it raised."""
        if self._thread is None:
            return
        self._thread.join()
        self._settle(ports)

    def _settle(self, ports: Ports) -> None:
        self._thread = None
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise error
        if self._made is not None:
            self._record(ports, self._made)
            self._made = None

    def _begin(self, kept: Looked) -> Looked:
        self._begun = kept
        self._log.resume(kept.read)
        return kept

    def _look(self, after: Instant, now: Instant) -> None:
        try:
            self._made = self._find(after, now)
        except (FlyballError, OSError) as error:
            self._failed = error

    def _find(self, after: Instant, now: Instant) -> _Found:
        for row in self._log.read(after):
            if not self._begun.judged(row):
                self._sample.add(row)
        self._sample.cut()
        verifier = self._verifier()
        verified, waiting, known = [], Sample(SAMPLE), {}
        for version, rows in self._sample.rows.items():
            as_of = _as_of(verifier, version)
            due = [row for row in rows if _is_due(row, as_of, now)]
            if later := [row for row in rows if not _is_due(row, as_of, now)]:
                waiting.rows[version], known[version] = later, as_of
            if due and as_of != FARTHEST:
                verified.append(verifier.judge(version, due))
        self._sample = waiting
        # one that was picked by then may not be answered yet
        until = max(after, min((row.at for rows in waiting.rows.values() for row in rows), default=now) - int(SETTLE))
        return _Found(Looked(until=until, at=now, read=self._log.position(until), waiting=known), verified)

    def _record(self, ports: Ports, found: _Found) -> None:
        for one in found.verified:
            command = NoteVerified(
                id=ports.clock.new_id("cmd"),
                actor=ACTOR,
                model=one.model,
                version=one.version,
                rows=one.rows,
                features=one.features,
                examples=tuple(examples(one, most=EXAMPLES)),
            )
            if decide_note_verified(ports.ledger.state(), command, ports.clock.now()):
                ports.ledger.execute(command, decide_note_verified)
        self._counts.add(found.verified)
        self._looked = found.looked
        ports.memory.save({_KEY: codec.encode(found.looked)})


def _as_of(verifier: Verifier, version: str) -> Instant:
    """Until when all is known that a version's views look at; FARTHEST where nothing will ever be known of it."""
    try:
        return verifier.as_of(version)
    except (NotFound, Corrupt, DeclarationError):
        return FARTHEST


def _is_due(row: LoggedVector, as_of: Instant, now: Instant) -> bool:
    """Whether a row can be judged, or has waited long enough."""
    return row.moment <= as_of or now - row.at >= PATIENCE


def _kept(memory: Memory) -> Looked | None:
    raw = memory.load(_KEY)
    return codec.decode(raw, Looked) if raw else None


class SkewCounts:
    """Values by model, feature and how they stood, since `flyball up`: in a file of the form that gateways sum (`serving/metrics.py`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = read_json(path) or {}
        self._counts: dict[tuple[str, ...], int] = {tuple(key): n for key, n in kept.get("skew", [])}

    def add(self, verified: Sequence[Verified]) -> None:
        """Count, and write the file if anything was counted. Raises OSError."""
        before = dict(self._counts)
        for one in verified:
            for feature in one.features:
                for skew in Skew:
                    key = (one.model, feature.view, feature.feature, skew.value)
                    self._counts[key] = self._counts.get(key, 0) + getattr(feature, skew.value)
        if self._counts != before:
            document = {"counts": [], "latency": {}, "sums": {}, "unlogged": 0, "skew": [[list(key), n] for key, n in self._counts.items()]}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(document, ensure_ascii=False).encode())
