"""The log as it is read while segments of it are sealed: whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.errors import Unavailable
from flyball.loop.learning import log_records, segments
from flyball.records.evidence import Cursor
from flyball.records.serving import SegmentRow
from flyball.serving import sealer, wal
from flyball.store.blobs import LocalBlobs


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for _ in range(2):
        writer = wal.Writer(tmp_path / "log", "g0", reserve_bytes=0)
        assert writer.append([wal.frame("answer", f"p{place}", picked_ns=1, answered_ns=1, version="m@1.0.0") for place in range(3)])
        writer.close()
    return tmp_path / "log"


def sealed(log: Path, blobs: LocalBlobs) -> SegmentRow:
    """Seal the first segment, and delete its file."""
    file = wal.segments(log)[0]
    made = sealer.seal(file, blobs)
    file.path.unlink()
    return SegmentRow(
        gateway=made.gateway,
        number=made.number,
        wal_sha256=made.wal_sha256,
        parquet_sha256=made.parquet_sha256,
        rows=made.rows,
        torn_bytes=0,
        last=made.last,
    )


def test_a_file_that_is_sealed_before_it_is_read_is_read_from_its_blob(log: Path, tmp_path: Path) -> None:
    blobs, rows = LocalBlobs(tmp_path / "blobs"), list[SegmentRow]()
    listed = [(file.gateway, file.number) for file in wal.segments(log)]
    read = log_records(lambda: segments(log, listed), lambda: rows, lambda row: sealer.unseal(blobs.get(row.parquet_sha256)))
    rows.append(sealed(log, blobs))
    assert [record.request_id for part in read(0) for record in part] == ["p0", "p1", "p2"] * 2


def test_one_that_is_sealed_while_it_is_read_is_given_once(log: Path, tmp_path: Path) -> None:
    blobs, rows = LocalBlobs(tmp_path / "blobs"), list[SegmentRow]()
    read = log_records(lambda: wal.segments(log), lambda: rows, lambda row: sealer.unseal(blobs.get(row.parquet_sha256)))
    found: list[str] = []
    for part in read(0):
        found += [record.request_id for record in part]
        if not rows:
            rows.append(sealed(log, blobs))
    assert found == ["p0", "p1", "p2"] * 2


def test_where_it_is_not_known_that_it_was_sealed_nothing_is_passed_over(log: Path, tmp_path: Path) -> None:
    listed = [(file.gateway, file.number) for file in wal.segments(log)]
    sealed(log, LocalBlobs(tmp_path / "blobs"))
    read = log_records(lambda: segments(log, listed), list, lambda _: [])
    with pytest.raises(Unavailable, match="sealed while it was read"):
        list(read(0))


def test_it_is_read_up_to_where_a_cursor_is(log: Path, tmp_path: Path) -> None:
    blobs, rows = LocalBlobs(tmp_path / "blobs"), list[SegmentRow]()
    first, second = wal.segments(log)
    read = log_records(lambda: wal.segments(log), lambda: rows, lambda row: sealer.unseal(blobs.get(row.parquet_sha256)))
    _, whole = wal.read(first.path)
    frames = wal.stretch(second.path)
    last = frames.after - frames.ends[-1] + frames.ends[0]
    until = max(record.at for part in read(0) for record in part)
    behind = Cursor(until=until, offsets={"g0/000000.wal": whole, "g0/000001.wal": last})
    assert {first.path.name, second.path.name} == {"000000.wal", "000001.wal"}

    def ids(cursor: Cursor) -> list[str]:
        return [record.request_id for part in read(0, cursor) for record in part]

    assert ids(behind) == ["p0", "p1", "p2", "p0"]
    rows.append(sealed(log, blobs))
    assert ids(behind) == ["p0", "p1", "p2", "p0"]
    assert ids(Cursor(until=until, offsets={"g0/000000.wal": whole})) == ["p0", "p1", "p2"]
    assert ids(Cursor(until=until - 10**12, offsets={"g0/000000.wal": whole})) == []
