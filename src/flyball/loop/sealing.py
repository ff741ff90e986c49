"""Finished segments of the prediction log become Parquet, recorded and then deleted: one at a time, beside the loop.

The order keeps everything whatever dies in between: evidence read, blob written, event recorded, file deleted. Each step done twice comes
to the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from flyball.clock import Instant
from flyball.errors import Corrupt, FlyballError
from flyball.loop.erasing import Forgetting, newest
from flyball.loop.ports import Ports
from flyball.records.base import Event, Record, State
from flyball.records.serving import SEGMENTS, SegmentCounted, SegmentSealed
from flyball.serving import sealer, wal
from flyball.serving.answered import counts
from flyball.serving.fold import segment_key
from flyball.store.blobs import Blobs

ACTOR = "loop"


class SealSegment(Record, frozen=True):
    """A finished segment is a blob by now. `erasure`: the newest erasure (event) that was heeded, in these data sets."""

    id: str
    actor: str
    segment: SegmentSealed
    counts: tuple[SegmentCounted, ...] = ()
    erasure: int = 0
    data: tuple[str, ...] = ()


def decide_seal(state: State, command: SealSegment, _now: Instant) -> Sequence[Event]:
    """A segment is sealed once, and not with rows of persons who were erased while it was written: then it is sealed again."""
    key = segment_key(command.segment.gateway, command.segment.number)
    if newest(state, command.data) > command.erasure:
        return ()
    return () if state.get(SEGMENTS, key) is not None else (command.segment, *command.counts)


class Sealing:
    """Seals what gateways have finished. `look` is called before a tick and `step` after it: only what the tick has read may go."""

    def __init__(self, log: Path, blobs: Blobs, forgetting: Callable[[], Forgetting] = Forgetting) -> None:
        """forgetting: the rows that may not be held any more, asked for each segment."""
        self._log = log
        self._blobs = blobs
        self._forgetting = forgetting
        self._finished: list[wal.SegmentFile] = []
        self._settled: set[Path] = set()
        self._thread: threading.Thread | None = None
        self._made: tuple[SegmentSealed, tuple[SegmentCounted, ...], Forgetting] | None = None
        self._failed: BaseException | None = None

    def look(self) -> None:
        """Note which segments nobody writes to any more: the next tick reads them to their end."""
        self._finished = [file for file in sealer.finished(wal.segments(self._log), running=True) if file.path not in self._settled]

    def step(self, ports: Ports) -> None:
        """Record and delete what is sealed, and start on the next. Never waits for a disk; raises what sealing raised, once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = None
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise error
        if self._made is not None:
            self._record(ports, *self._made)
            self._made = None
        state = ports.ledger.state()
        keys = {segment_key(file.gateway, file.number): file for file in self._finished}
        sealed = [file for key, file in keys.items() if state.get(SEGMENTS, key) is not None]
        # a file that is not what was sealed stays where it is; it is not looked at again
        self._settled.update(file.path for file in sealed)
        sealer.discard(sealed, state)
        todo = [file for file in self._finished if file not in sealed]
        if todo:
            self._thread = threading.Thread(target=self._seal, args=(todo[0],), name="seal", daemon=True)
            self._thread.start()

    def _record(self, ports: Ports, segment: SegmentSealed, counted: tuple[SegmentCounted, ...], heeded: Forgetting) -> None:
        command = SealSegment(
            id=ports.clock.new_id("cmd"),
            actor=ACTOR,
            segment=segment,
            counts=counted,
            erasure=heeded.erasure,
            data=heeded.data,
        )
        ports.ledger.execute(command, decide_seal)
        if not any(row.parquet_sha256 == segment.parquet_sha256 for _, row in ports.ledger.state().scan(SEGMENTS)):
            # somebody was erased while it was written, so it holds what may not be held: it is sealed again
            self._blobs.remove(segment.parquet_sha256)

    def _seal(self, file: wal.SegmentFile) -> None:
        try:
            heeded = self._forgetting()
        except FlyballError as error:
            # the file is sound: it is tried again
            self._failed = error
            return
        try:
            segment = sealer.seal(file, self._blobs, heeded.forget)
            self._made = segment, counts(segment, self._blobs.get(segment.parquet_sha256)), heeded
        except (FlyballError, OSError) as error:
            self._failed = error
            if isinstance(error, Corrupt):
                # it stays where it is, for somebody to look at; the others are not held up
                self._settled.add(file.path)
