from __future__ import annotations

import os
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flyball.serving.layout import Layout, write_atomically, write_whole


def test_a_disk_that_takes_a_part_at_a_time_still_gets_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, data[:3]))
    write_atomically(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_file_that_could_not_be_written_whole_never_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "file", b"old")
    whole, room = os.write, [4]

    def full(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = whole(fd, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", b"new and longer")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"], "a part takes room that is missed"


def test_what_a_power_cut_may_cost_is_whole_for_its_readers_and_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _fd: pytest.fail("it waits for the disk"))
    (tmp_path / "file").write_bytes(b"old")
    with (tmp_path / "file").open("rb") as reader:
        write_whole(tmp_path / "file", b"new")
        assert reader.read() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_socket_s_path_fits_however_long_the_project_s_and_the_temporary_folder_s_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    layout = Layout(long)
    layout.prepare()
    path = layout.socket("credit@1.0.0-0123456789ab")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert path.is_socket()
    path.unlink()
    path.parent.rmdir()


def test_processes_that_start_at_once_meet_in_one_folder_and_a_copied_project_has_its_own(tmp_path: Path) -> None:
    project, copied = tmp_path / ("x" * 90), tmp_path / ("y" * 90)
    Layout(project).prepare()
    start = threading.Barrier(16)

    def asked(_: int) -> Path:
        start.wait()
        # each opens the note anew, as each process does
        return Layout(project).control_socket()

    with ThreadPoolExecutor(16) as many:
        [path] = set(many.map(asked, range(16)))
    shutil.copytree(project, copied)
    of_the_copy = Layout(copied).control_socket()
    assert of_the_copy != path
    assert (Layout(project).control_socket(), Layout(copied).control_socket()) == (path, of_the_copy)
    for folder in (path.parent, of_the_copy.parent):
        folder.rmdir()
