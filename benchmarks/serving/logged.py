"""What the prediction log costs: the records that a gateway wrote under sixteen callers, framed and appended again in the batches that it wrote them in."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import msgspec
from benchmarks.report import Bar, Report, Row

from flyball.serving import wal
from flyball.serving.layout import Layout

RECORDS = 40_000
ROUNDS = 5
SYNC_EACH = 4_000
"""Records between two calls that bring them to the disk: about a second's."""


def records(root: Path) -> list[wal.LogRecord]:
    """All that is in a project's log and not sealed."""
    found: list[wal.LogRecord] = []
    for segment in wal.segments(Layout(root / ".flyball").log):
        offset = 0
        while True:
            read, after = wal.read(segment.path, offset)
            if not read:
                break
            found += read
            offset = after
    return found


def kinds(root: Path) -> Counter[str]:
    """How many rows of each kind of record there are in a project's log."""
    found: Counter[str] = Counter()
    for one in records(root):
        found[one.kind] += one.rows
    return found


def slowness(root: Path) -> float:
    """How many times as long a shadow's answers took as those of the champion (medians, from the pick to the record)."""
    took: dict[str, list[int]] = {"answer": [], "shadow": []}
    for one in records(root):
        if one.kind in took and one.status == "ok":
            took[one.kind].append(one.answered_ns - one.picked_ns)
    return statistics.median(took["shadow"]) / statistics.median(took["answer"])


def measure(root: Path, folder: Path, report: Report) -> None:
    """The bar: CPU µs a record, writing included."""
    answers = [one for one in records(root) if one.kind == "answer"][-RECORDS:]
    pack = msgspec.msgpack.encode
    # what comes packed to the gateway's log is packed here before the clock starts
    packed = [(one, pack(one.input), pack(one.output)) for one in answers]
    batches = [list(each) for _, each in groupby(packed, key=lambda one: one[0].answered_ns)]
    samples = []
    for turn in range(ROUNDS + 1):
        writer = wal.Writer(folder / "log", f"g{turn}", reserve_bytes=0)
        spent = _appended(writer, batches)
        writer.close()
        if turn:
            samples.append(spent / len(answers) * 1e6)
    row = Row.of("a record appended to the prediction log", "CPU µs", samples)
    report.rows += [row, Row.of("… records in one write, under 16 callers", "records", [len(one) for one in batches])]
    report.bars.append(Bar.at_most("log_us", row.median, 3, "CPU µs"))


def _appended(writer: wal.Writer, batches: Sequence[Sequence[tuple[wal.LogRecord, bytes, bytes]]]) -> float:
    since = 0
    begun = time.process_time()
    for batch in batches:
        frames = [
            wal.frame(
                "answer",
                one.request_id,
                picked_ns=one.picked_ns,
                answered_ns=one.answered_ns,
                epoch=one.epoch,
                version=one.version,
                role=one.role,
                key_hash=one.key_hash,
                status=one.status,
                rows=one.rows,
                packed_input=given,
                packed_output=made,
                marks=one.marks,
            )
            for one, given, made in batch
        ]
        assert writer.append(frames)
        since += len(frames)
        if since >= SYNC_EACH:
            writer.sync()
            since = 0
    return time.process_time() - begun
