from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.errors import Corrupt
from flyball.serving import wal


def pack(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def answer(request: str, **more: object) -> bytes:
    return wal.frame("answer", request, version="m@1.0.0", rows=1, packed_input=pack([[1.5, "a"]]), packed_output=pack([[1, 0.25]]), **more)


@pytest.fixture
def writer(tmp_path: Path):
    made = wal.Writer(tmp_path, "g0", reserve_bytes=1 << 16)
    yield made
    made.close()


def test_what_was_appended_is_read_back_in_order(writer: wal.Writer) -> None:
    writer.append([writer.declare("m@1.0.0", ["x", "kind"]), answer("a", marks={"ro": "ro_1", "w": 500}), answer("b")])
    records, _ = wal.read(writer.path)
    assert [record.kind for record in records] == ["signature", "answer", "answer"]
    assert records[0].input == [["x", "kind"]]
    assert records[1].input == [[1.5, "a"]]
    assert records[1].output == [[1, 0.25]]
    assert records[1].marks == {"ro": "ro_1", "w": 500}
    assert wal.signatures(writer.path) == {"m@1.0.0": ("x", "kind")}


def test_a_reader_goes_on_where_it_stopped(writer: wal.Writer) -> None:
    writer.append([answer("a")])
    first, offset = wal.read(writer.path)
    assert wal.read(writer.path, offset) == ([], offset)
    writer.append([answer("b")])
    second, _ = wal.read(writer.path, offset)
    assert [record.request_id for record in first + second] == ["a", "b"]


def test_a_frame_larger_than_the_limit_is_still_read(writer: wal.Writer) -> None:
    writer.append([answer("x" * 5000), answer("b")])
    first, offset = wal.read(writer.path, limit=100)
    assert len(first) == 1
    assert [record.request_id for record in wal.read(writer.path, offset, limit=1000)[0]] == ["b"]


def test_the_time_of_a_record_is_wall_time(writer: wal.Writer) -> None:
    before = time.time_ns() // 1000
    writer.append([answer("a", picked_ns=time.monotonic_ns())])
    assert abs(wal.read(writer.path)[0][0].at - before) < 5_000_000


@given(cut=st.integers(0, 400))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_gives_whole_records_only(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    made = wal.Writer(folder, "g0", reserve_bytes=0)
    made.append([answer(f"r{i}") for i in range(5)])
    made.close()
    data = made.path.read_bytes()
    made.path.write_bytes(data[:cut])
    records, offset = wal.read(made.path)
    assert [record.request_id for record in records] == [f"r{i}" for i in range(len(records))]
    assert offset <= cut


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_a_flipped_bit_hides_what_follows_and_invents_nothing(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    folder = tmp_path_factory.mktemp("log")
    made = wal.Writer(folder, "g0", reserve_bytes=0)
    made.append([answer(f"r{i}") for i in range(5)])
    made.close()
    data = bytearray(made.path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    made.path.write_bytes(data)
    try:
        records, _ = wal.read(made.path)
    except Corrupt:
        return
    assert [record.request_id for record in records] == [f"r{i}" for i in range(len(records))]


def test_a_restarted_gateway_opens_the_next_number_even_when_the_last_was_sealed(tmp_path: Path) -> None:
    first = wal.Writer(tmp_path, "g0", reserve_bytes=0)
    first.close()
    first.path.unlink()
    second = wal.Writer(tmp_path, "g0", reserve_bytes=0)
    second.close()
    assert (first.path.name, second.path.name) == ("000000.wal", "000001.wal")


def test_a_full_disk_costs_the_reserve_first_and_then_a_gap_is_written(
    writer: wal.Writer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real, room = os.write, [0]

    def full(fd: int, data: bytes) -> int:
        if room[0] <= 0 and not (tmp_path / "reserve").exists():
            raise OSError(errno.ENOSPC, "no space")
        if (tmp_path / "reserve").exists():
            room[0] = 1
            return real(fd, data[: len(data) // 2])
        room[0] -= 1
        return real(fd, data)

    monkeypatch.setattr(os, "write", full)
    assert writer.append([answer("a")])
    assert not (tmp_path / "reserve").exists()
    assert not writer.append([answer("b"), answer("c")])
    room[0] = 9
    assert writer.append([answer("d")])
    records, _ = wal.read(writer.path)
    assert [(record.kind, record.request_id, record.rows) for record in records] == [("answer", "a", 1), ("gap", "", 2), ("answer", "d", 1)]


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    made = wal.Writer(tmp_path, "g0", reserve_bytes=0, segment_bytes=200)
    for i in range(6):
        made.append([answer(f"r{i}")])
    made.close()
    files = wal.segments(tmp_path)
    assert len(files) > 1
    assert [record.request_id for file in files for record in wal.read(file.path)[0]] == [f"r{i}" for i in range(6)]


def test_a_file_that_is_no_segment_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "x.wal").write_bytes(b"something else entirely")
    with pytest.raises(Corrupt, match="not a prediction log segment"):
        wal.read(tmp_path / "x.wal")


def test_row_ids_are_the_request_id_or_its_parts_or_the_callers() -> None:
    one = wal.LogRecord("answer", "r", 0, 0, 0, "m@1.0.0", "champion", "", "ok", 1, None, None, None)
    assert one.row_ids() == ["r"]
    one.rows = 2
    assert one.row_ids() == ["r/0", "r/1"]
    one.marks = {"ids": ["x", "y"]}
    assert one.row_ids() == ["x", "y"]


def test_without_room_for_a_segment_a_writer_says_so_and_opens_one_when_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def full(path, flags, mode=0o777, **more):
        if str(path).endswith(".wal"):
            raise OSError(errno.ENOSPC, "no space")
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", full)
    made = wal.Writer(tmp_path, "g0", reserve_bytes=0)
    assert not made.append([answer("a")])
    made.sync()
    monkeypatch.setattr(os, "open", real)
    monkeypatch.setattr("time.monotonic", lambda: 1e9)
    assert made.append([answer("b")])
    made.close()
    assert [(record.kind, record.request_id, record.rows) for record in wal.read(made.path)[0]] == [("gap", "", 1), ("answer", "b", 1)]


def test_an_append_waits_for_no_disk_when_a_segment_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = wal.Writer(tmp_path, "g0", reserve_bytes=0, segment_bytes=200)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    for i in range(6):
        assert made.append([answer(f"r{i}")])
    assert synced == []
    made.sync()
    assert len(synced) == len(wal.segments(tmp_path))
    made.sync()
    assert len(synced) == len(wal.segments(tmp_path)) + 1
    made.close()


@pytest.mark.parametrize("moved_s", [8 * 3600, -1800])
def test_records_tell_the_right_time_after_the_clock_was_set_or_the_machine_has_slept(
    writer: wal.Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved_s: int
) -> None:
    real = time.time_ns
    writer.append([writer.declare("m@1.0.0", ["x", "kind"]), answer("before", picked_ns=time.monotonic_ns())])
    monkeypatch.setattr(time, "time_ns", lambda: real() + moved_s * 1_000_000_000)
    writer.settle()
    assert not writer.knows("m@1.0.0"), "the next segment says anew what rows mean"
    writer.append([answer("after", picked_ns=time.monotonic_ns())])
    records = [record for file in wal.segments(tmp_path) for record in wal.read(file.path)[0] if record.kind == "answer"]
    assert [record.request_id for record in records] == ["before", "after"]
    assert abs(records[0].at - real() // 1000) < 60_000_000
    assert abs(records[1].at - time.time_ns() // 1000) < 60_000_000


def test_a_clock_that_goes_on_as_it_should_begins_no_segment(writer: wal.Writer, tmp_path: Path) -> None:
    for _ in range(3):
        writer.settle()
    assert len(wal.segments(tmp_path)) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EBADF, errno.EFBIG])
def test_an_append_says_that_the_disk_refuses_and_never_raises(writer: wal.Writer, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(_fd: int, _data: bytes) -> int:
        raise OSError(code, "no")

    monkeypatch.setattr(os, "write", refuse)
    assert not writer.append([answer("a")])
    monkeypatch.undo()
    assert writer.append([answer("b")])
    assert [(record.kind, record.request_id) for record in wal.read(writer.path)[0]] == [("gap", ""), ("answer", "b")]


def test_sizes_are_those_of_segments_alone(tmp_path: Path) -> None:
    assert wal.sizes(tmp_path / "none") == {}
    for name in ("g0/000001.wal", "g0/000002.wal", "g1/1000000.wal", "g0/later.wal", "g0/000001.tmp", "reserve"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * len(name))
    found = {("g0", 1): ("g0/000001.wal", 13), ("g0", 2): ("g0/000002.wal", 13), ("g1", 1_000_000): ("g1/1000000.wal", 14)}
    assert wal.sizes(tmp_path) == found
    assert set(found) == {(file.gateway, file.number) for file in wal.segments(tmp_path)}
