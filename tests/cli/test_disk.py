"""A full disk, a read-only one: what cannot be written is said with its reason, and what can be read is read."""

import errno
import os
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flyball.errors import Unavailable, Unusable
from flyball.store import sqlite
from flyball.store.operational import Operational
from flyball.store.sql import Database

READING = [("check",), ("status",), ("models",), ("incidents",), ("rollouts",), ("audit", "verify")]


class Disk(NamedTuple):
    """What of statvfs counts here."""

    f_bavail: int
    f_frsize: int = 4096
    f_files: int = 100
    f_favail: int = 50
    f_flag: int = 0


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """SQLite may open nothing for writing, as on a disk without room for its shared memory."""

    def make(told: Disk, name: str = "SQLITE_IOERR_SHMSIZE") -> None:
        def refuse(connection: sqlite3.Connection) -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = name
            connection.close()
            raise error

        monkeypatch.setattr(sqlite, "_use_wal", refuse)
        monkeypatch.setattr(os, "statvfs", lambda _path: told)

    return make


@pytest.mark.parametrize("verb", READING, ids=" ".join)
def test_what_can_be_read_is_read_where_nothing_can_be_written(flyball, trained_project: Path, unwritable, verb: tuple[str, ...]) -> None:
    unwritable(Disk(0))
    ended = flyball(*verb, "--project", trained_project)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("told", "may", "code", "words"),
    [
        (Disk(0), True, 3, "the disk is full"),
        (Disk(9999, f_favail=0), True, 3, "the disk is full"),
        (Disk(0, f_flag=os.ST_RDONLY), False, 1, "the disk is read-only"),
        (Disk(9999), False, 1, "no right to the file"),
        (Disk(9999), True, 3, "no right is missing"),
    ],
    ids=["no bytes", "no files", "read-only", "no right", "something else"],
)
def test_what_cannot_be_written_says_why_and_whether_waiting_helps(
    flyball, trained: Path, unwritable, monkeypatch: pytest.MonkeyPatch, told: Disk, may: bool, code: int, words: str
) -> None:
    unwritable(told, "SQLITE_CANTOPEN")
    monkeypatch.setattr(sqlite, "_may_write", lambda _path: may)
    ended = flyball("release", "demand@1.0.0", "--project", trained)
    assert ended.code == code
    assert words in ended.err
    assert "nothing was changed" in ended.err


def test_too_many_open_files_are_no_missing_right(tmp_path: Path) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, most[1]))
    try:
        with pytest.raises(Unavailable) as caught:
            Database.open(tmp_path / "ledger.db")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert not isinstance(caught.value, Unusable)
    assert "open files" in caught.value.fix


@pytest.mark.parametrize("taken", ["the folder", "the file"])
def test_a_database_that_lies_where_none_can_be_says_so_and_is_not_waited_for(tmp_path: Path, taken: str) -> None:
    path = tmp_path / "deep" / "ledger.db"
    backend = sqlite.Sqlite(path)
    path.mkdir(parents=True)
    if taken == "the folder":
        path.rmdir()
        path.parent.rmdir()
    with pytest.raises(sqlite3.Error) as caught:
        backend.connect()
    assert isinstance(backend.explain(caught.value), Unusable)


def test_a_folder_that_may_not_be_made_for_the_database_is_named(
    flyball, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").touch()
    monkeypatch.setenv("FLYBALL_DATABASE_URL", f"sqlite:///{tmp_path / 'taken' / 'deep' / 'ledger.db'}")
    ended = flyball("status", "--project", new, "--json")
    assert (ended.code, ended.document["code"]) == (1, "unusable")
    assert f"{tmp_path / 'taken'}" in ended.document["detail"]


def test_a_log_that_holds_data_is_never_passed_over(tmp_path: Path, unwritable, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Database.open(tmp_path / "ledger.db")
    Operational(kept).save({"a": b"1"})
    assert (tmp_path / "ledger.db-wal").stat().st_size
    unwritable(Disk(0))
    assert Operational(Database.open(tmp_path / "ledger.db")).load("a") == b"1", "through the memory that is there"
    plain = sqlite._plain

    def no_shared_memory(address: Any, *, uri: bool = False) -> sqlite3.Connection:
        if uri and "immutable" not in str(address):
            return plain("/nowhere/at/all")
        return plain(address, uri=uri)

    monkeypatch.setattr(sqlite, "_plain", no_shared_memory)
    with pytest.raises(Unavailable, match="no room to write"):
        Database.open(tmp_path / "ledger.db")
    kept.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_init_leaves_nothing_half_written(flyball, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    write = Path.write_text

    def full(path: Path, text: str, **options: Any) -> int:
        if path.name == "demand.csv":
            write(path, text[:1000], **options)
            raise OSError(number, os.strerror(number), str(path))
        return write(path, text, **options)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        ended = flyball("init", tmp_path / "deep" / "new", "--json")
    assert (ended.code, ended.document["code"], list(tmp_path.iterdir())) == (3, "unavailable", [])
    assert "the disk is full" in ended.document["detail"]
    assert "make room" in ended.document["fix"]
    assert flyball("init", tmp_path / "deep" / "new").code == 0


def test_init_in_an_empty_folder_leaves_that_folder(flyball, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    assert flyball("init", tmp_path).code == 130
    assert list(tmp_path.iterdir()) == []


def test_init_says_that_a_file_is_a_file(flyball, tmp_path: Path) -> None:
    (tmp_path / "loop.py").touch()
    ended = flyball("init", tmp_path / "loop.py")
    assert ended.code == 1
    assert "loop.py is a file" in ended.err
