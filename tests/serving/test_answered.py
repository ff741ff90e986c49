"""What a sealed segment holds is counted by version: rows, not requests, and nobody's answers are nobody's."""

from __future__ import annotations

from flyball.records.serving import SegmentCounted, SegmentSealed
from flyball.serving import wal
from flyball.serving.answered import AT_ONCE, counts
from flyball.serving.sealer import parquet

SEGMENT = SegmentSealed(gateway="g0", number=3, wal_sha256="", parquet_sha256="", rows=0, torn_bytes=0)


def record(kind: wal.Kind, version: str, rows: int) -> wal.LogRecord:
    return wal.LogRecord(kind, "r", 0, 0, 0, version, "champion", "", "ok", rows, None, None, None)


def test_rows_are_counted_by_version_and_apart_for_shadows() -> None:
    records = [
        record("answer", "m@1.0.0", 3),
        record("answer", "m@1.0.0", 1),
        record("shadow", "m@1.1.0", 4),
        record("shadow_dropped", "m@1.1.0", 9),
        record("refused", "m", 1),
        record("label", "m", 1),
        record("answer", "other@2.0.0", 5),
    ]
    [told] = counts(SEGMENT, parquet(records))
    assert told == SegmentCounted(gateway="g0", number=3, answered={"m@1.0.0": 4, "other@2.0.0": 5}, shadow={"m@1.1.0": 4})


def test_a_segment_of_very_many_versions_is_told_in_parts_that_leave_none_out() -> None:
    names = [f"model-{number:04d}@1.0.0" for number in range(2 * AT_ONCE + 1)]
    told = counts(SEGMENT, parquet([record("answer", name, 1) for name in names]))
    assert [len(part.answered) for part in told] == [AT_ONCE, AT_ONCE, 1]
    assert sorted(name for part in told for name in part.answered) == names


def test_an_empty_segment_is_nobodys() -> None:
    assert counts(SEGMENT, parquet([])) == ()
