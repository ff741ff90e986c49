"""Finished segments are sealed one at a time, and nothing is deleted before it is recorded."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from flyball.errors import Corrupt
from flyball.governance.authority import LOOP
from flyball.ledger.verify import verify
from flyball.loop.sealing import Sealing
from flyball.records.evidence import Cursor, Watch
from flyball.records.serving import ANSWERED, SEGMENTS, SegmentSealed
from flyball.serving import wal
from flyball.wiring import Wired, open_project

WATCH = {"m": Watch(model="m", task="binary", label_delay=0)}
PACK = msgspec.msgpack.encode


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[Wired]:
    (tmp_path / "flyball.toml").write_text("")
    opened = open_project(tmp_path)
    yield dataclasses.replace(opened, ports=opened.acting(LOOP))
    opened.close()


def write(wired: Wired, *requests: str) -> None:
    """One segment with these answers; the gateway that wrote it is gone."""
    writer = wal.Writer(wired.layout.log, "g0", reserve_bytes=0)
    now = time.monotonic_ns()
    frames = [
        wal.frame(
            "answer",
            request,
            picked_ns=now,
            answered_ns=now,
            version="m@1.0.0",
            role="champion",
            rows=1,
            packed_input=PACK([[1.0]]),
            packed_output=PACK([[1, 0.5]]),
        )
        for request in requests
    ]
    writer.append([writer.declare("m@1.0.0", ["x"]), *frames])
    writer.close()


def until(true: Callable[[], bool], act: Callable[[], None]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        act()


def numbers(wired: Wired) -> list[int]:
    return [file.number for file in wal.segments(wired.layout.log)]


def counted(wired: Wired, cursor: Cursor) -> tuple[int, Cursor]:
    """Requests since the cursor, as a process that has just started reads them."""
    again = open_project(wired.root)
    batch, cursor = again.ports.evidence.since(cursor, time.time_ns() // 1000, WATCH)
    again.close()
    return sum(one.n for one in batch.traffic), cursor


def test_all_but_the_newest_segment_is_sealed_recorded_and_then_deleted(wired: Wired) -> None:
    for requests in (("a", "b"), ("c",), ("d",)):
        write(wired, *requests)
    before, cursor = counted(wired, Cursor())
    sealing = Sealing(wired.layout.log, wired.blobs)

    def step() -> None:
        sealing.look()
        sealing.step(wired.ports)

    until(lambda: numbers(wired) == [2], step)
    events = [one.event for one in wired.ledger.read(0, 100)]
    assert [(event.number, event.rows) for event in events if isinstance(event, SegmentSealed)] == [(0, 3), (1, 2)]
    assert before == 4
    # one that starts from nothing counts the same from Parquet; one that goes on from its cursor counts nothing twice
    assert counted(wired, Cursor())[0] == 4
    assert counted(wired, cursor)[0] == 0
    step()
    assert len(list(wired.ledger.read(0, 100))) == len(events)


def test_a_segment_that_was_not_looked_at_before_the_tick_stays(wired: Wired) -> None:
    write(wired, "a")
    sealing = Sealing(wired.layout.log, wired.blobs)
    sealing.look()
    write(wired, "b")
    for _ in range(3):
        sealing.step(wired.ports)
        time.sleep(0.05)
    assert numbers(wired) == [0, 1]
    assert wired.ledger.size() == 0


def test_a_crash_between_the_event_and_the_deletion_is_healed_by_the_next_process(wired: Wired) -> None:
    write(wired, "a")
    write(wired, "b")
    kept = wal.segments(wired.layout.log)[0]
    content = kept.path.read_bytes()
    first = Sealing(wired.layout.log, wired.blobs)

    def step() -> None:
        first.look()
        first.step(wired.ports)

    until(lambda: numbers(wired) == [1], step)
    kept.path.write_bytes(content)
    second = Sealing(wired.layout.log, wired.blobs)
    second.look()
    second.step(wired.ports)
    assert numbers(wired) == [1]
    assert [recorded.event.kind for recorded in wired.ledger.read(0, 10)] == ["segment.sealed", "segment.counted"]


def test_a_sealed_segment_is_counted_by_version_once(wired: Wired) -> None:
    for requests in (("a", "b"), ("c",), ("d",)):
        write(wired, *requests)
    sealing = Sealing(wired.layout.log, wired.blobs)

    def step() -> None:
        sealing.look()
        sealing.step(wired.ports)

    until(lambda: numbers(wired) == [2], step)
    [(key, row)] = wired.ledger.state().scan(ANSWERED)
    assert (key, row.answered, row.shadow, row.segments) == ("m/1.0.0", 3, 0, 2)
    assert row.last == max(segment.last for _, segment in wired.ledger.state().scan(SEGMENTS)), "the open log is not counted yet"


def test_a_file_that_is_no_segment_stays_and_does_not_hold_up_the_others(wired: Wired) -> None:
    for requests in (("a",), ("b",), ("c",)):
        write(wired, *requests)
    wal.segments(wired.layout.log)[0].path.write_bytes(b"nonsense that is no segment")
    sealing = Sealing(wired.layout.log, wired.blobs)
    told: list[Corrupt] = []

    def step() -> None:
        sealing.look()
        try:
            sealing.step(wired.ports)
        except Corrupt as error:
            told.append(error)

    until(lambda: numbers(wired) == [0, 2], step)
    assert "000000.wal" in told[0].what
    assert len(told) == 1


def test_verify_names_a_sealed_segment_whose_blob_was_changed(wired: Wired) -> None:
    write(wired, "a")
    write(wired, "b")
    sealing = Sealing(wired.layout.log, wired.blobs)

    def step() -> None:
        sealing.look()
        sealing.step(wired.ports)

    until(lambda: numbers(wired) == [1], step)
    assert verify(wired.ledger, wired.blobs).verified
    ((_, row),) = wired.ledger.state().scan(SEGMENTS)
    path = wired.blobs.path(row.parquet_sha256)
    path.chmod(0o644)
    path.write_bytes(b"other bytes")
    report = verify(wired.ledger, wired.blobs)
    assert not report.verified
    assert any(row.parquet_sha256[:12] in f"{problem.what} {problem.where}" for problem in report.problems)
