"""What views gave is read out of the log once, sealed or not, with what the worker knew next of its views."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from flyball.records.serving import SegmentRow
from flyball.serving import sealer, wal
from flyball.serving.vectorlog import VectorLog
from flyball.serving.vectors import TakenUp, Vectors, Views, packed
from flyball.store.blobs import LocalBlobs

pack = msgspec.msgpack.encode
OLD, NEW = (packed([TakenUp("week", "d", ("sold",), "sales", content)]) for content in ("old", "new"))


class Log:
    """A gateway's log on disk, whose segments are sealed on demand."""

    def __init__(self, root: Path) -> None:
        self.folder, self.blobs = root / "log", LocalBlobs(root / "blobs")
        self.sealed: list[SegmentRow] = []

    def write(self, *rows: tuple[str, Views], keep_open: bool = False) -> wal.Writer:
        writer = wal.Writer(self.folder, "g0", reserve_bytes=0)
        self.append(writer, *rows)
        if not keep_open:
            writer.close()
        return writer

    def append(self, writer: wal.Writer, *rows: tuple[str, Views]) -> None:
        frames = [] if writer.knows("m@1.0.0") else [writer.declare("m@1.0.0", ["shop"])]
        for own, views in rows:
            frames += writer.declare_views(views.packed)
            given = {"version": "m@1.0.0", "rows": 1, "picked_ns": time.monotonic_ns()}
            vectors = pack(Vectors(views.mark, [7], [[float(len(own))]]))
            frames.append(
                wal.frame("answer", own, packed_input=pack([["s"]]), packed_output=pack([[1, None]]), packed_vectors=vectors, **given)
            )
        frames.append(wal.frame("answer", "plain", version="m@1.0.0", rows=1, packed_input=pack([["s"]])))
        writer.append(frames)

    def seal(self) -> None:
        """Seal all but the newest segment."""
        for file in sealer.finished(wal.segments(self.folder), running=True):
            event = sealer.seal(file, self.blobs)
            self.sealed.append(SegmentRow(**{name: getattr(event, name) for name in SegmentRow.__struct_fields__}))
            file.path.unlink()

    def vectors(self) -> VectorLog:
        return VectorLog(self.folder, lambda: self.sealed, lambda row: sealer.unseal(self.blobs.get(row.parquet_sha256)))


def rows(log: VectorLog, after: int = 0) -> list[str]:
    return [row.row for row in log.read(after)]


def test_a_row_has_its_fields_its_values_and_the_views_that_they_are_of(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(("abc", OLD))
    [row] = log.vectors().read(0)
    assert (row.version, row.row, row.moment, row.fields, row.values) == ("m@1.0.0", "abc", 7, {"shop": "s"}, [3.0])
    assert row.heading.views == [TakenUp("week", "d", ("sold",), "sales", "old")]
    assert abs(row.at - time.time_ns() // 1000) < 5_000_000


def test_each_call_goes_on_where_the_last_one_ended_also_in_what_was_sealed_since(tmp_path: Path) -> None:
    log = Log(tmp_path)
    writer = log.write(("a", OLD), keep_open=True)
    read = log.vectors()
    assert rows(read) == ["a"]
    log.append(writer, ("b", OLD))
    assert rows(read) == ["b"]
    log.append(writer, ("c", NEW))
    writer.close()
    log.write(("d", NEW))
    log.seal()
    assert rows(read) == ["c", "d"]
    assert rows(read) == []
    assert rows(log.vectors()) == ["a", "b", "c", "d"]


def test_whoever_goes_on_from_a_position_is_told_what_was_read_before_it(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(("a", OLD))
    writer = log.write(("b", OLD), keep_open=True)
    log.seal()
    first = log.vectors()
    assert rows(first) == ["a", "b"]
    position = first.position(0)
    log.append(writer, ("c", OLD))
    writer.close()
    log.write(("d", NEW))
    log.seal()
    later = log.vectors()
    later.resume(position)
    assert [(row.row, row.again) for row in later.read(0)] == [("a", True), ("b", True), ("c", False), ("d", False)]
    # one that begins later looks at no segment from before that, and knows still how far it was read
    last = log.vectors()
    last.resume(later.position(0))
    assert rows(last, after=time.time_ns() // 1000 + 60_000_000) == []
    assert last.position(0) == later.position(0)
    assert last.position(time.time_ns() // 1000 + 60_000_000).keys() <= {"g0/2"}


def test_what_was_picked_before_the_beginning_is_left_out_and_what_comes_late_is_not(tmp_path: Path) -> None:
    log = Log(tmp_path)
    writer = log.write(("a", OLD), keep_open=True)
    read, later = log.vectors(), time.time_ns() // 1000 + 60_000_000
    assert rows(read, after=later) == []
    begun = log.vectors()
    assert rows(begun, after=time.time_ns() // 1000 - 60_000_000) == ["a"]
    log.append(writer, ("b", OLD))
    assert rows(begun, after=later) == ["b"], "it was picked while the last look was under way"
    writer.close()


def test_a_row_knows_what_its_views_were_next_across_segments(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(("a", OLD))
    log.write(("b", OLD), ("c", NEW))
    log.seal()
    found = {row.row: row.heading for row in log.vectors().read(0)}
    assert found["a"] is found["b"]
    assert found["a"].after is found["c"]
    assert found["c"].after is None


def test_a_file_that_is_no_segment_keeps_nobody_from_the_others(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write(("a", OLD))
    (tmp_path / "log" / "g0" / "000009.wal").write_bytes(b"something else entirely")
    assert rows(log.vectors()) == ["a"]
