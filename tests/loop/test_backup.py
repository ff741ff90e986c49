"""A backup is of one moment, whatever is removed while it is made."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flyball.errors import Conflict, Corrupt, Unavailable
from flyball.ledger.verify import verify
from flyball.loop import backup as module
from flyball.loop.backup import backup, open_to_others
from flyball.loop.restoring import restore
from flyball.records.removals import BlobsRemoved
from flyball.wiring import Wired

from .backup_kit import declare, project, tell
from .person_kit import OTHER, WHO, People


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[Wired]:
    wired = project(tmp_path / "one")
    declare(wired, 3)
    yield wired
    wired.close()


def remove_one(wired: Wired) -> None:
    gone = next(wired.blobs.digests())
    tell(wired, BlobsRemoved(blobs=(gone,)))
    wired.blobs.remove(gone)


def test_what_is_collected_while_blobs_are_copied_is_missing_from_no_restored_record(wired: Wired, tmp_path: Path) -> None:
    removed = []

    def meanwhile(done: int, _of: int) -> None:
        if done == 0 and not removed:
            removed.append(True)
            remove_one(wired)

    made = backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7, meanwhile)
    assert made.record.events == wired.ledger.size()
    other = project(tmp_path / "two")
    restore(other.ledger, other.blobs, other.layout, tmp_path / "kept")
    assert verify(other.ledger, other.blobs).problems == ()
    other.close()


def test_a_backup_that_is_overtaken_for_ever_says_so(wired: Wired, tmp_path: Path) -> None:
    def meanwhile(done: int, _of: int) -> None:
        if done == 0:
            tell(wired, BlobsRemoved(blobs=("0" * 64,)))

    with pytest.raises(Unavailable, match="not finished"):
        backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7, meanwhile)
    assert not (tmp_path / "kept" / "backup.json").exists()


@pytest.mark.process
def test_predictions_that_are_sealed_while_blobs_are_copied_are_in_the_backup(people: People, tmp_path: Path) -> None:
    people.log([[(60.0, WHO)], [(70.0, OTHER)]])
    people.log([])
    before = len(people.records())
    sealed: list[int] = []

    def meanwhile(done: int, _of: int) -> None:
        if done == 0 and not sealed:
            people.seal()
            sealed.append(len(people.records()))

    with people.opened() as wired:
        backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7, meanwhile)
    assert sealed[0] > before
    assert len(restored(tmp_path).records()) == sealed[0]
    with people.opened() as wired:
        backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
    assert not list((tmp_path / "kept").rglob("000003.wal")), "its rows are among the blobs by now"
    assert len(restored(tmp_path).records()) == sealed[0]


def restored(tmp_path: Path) -> People:
    """What was kept, in a new project whose finished segments are sealed."""
    wired = project(tmp_path / f"restored-{len(list(tmp_path.iterdir()))}")
    restore(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept")
    wired.close()
    other = People(wired.root)
    other.seal()
    return other


def cut(blobs: Path, data: bytes) -> Path:
    """Leave so much of one blob."""
    file = next(each for each in sorted(blobs.rglob("*")) if each.is_file())
    file.chmod(0o644)
    file.write_bytes(data)
    return file


def test_a_blob_of_a_backup_that_was_cut_is_copied_again_where_it_is_brought_up_to_date(wired: Wired, tmp_path: Path) -> None:
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    cut(tmp_path / "kept" / "blobs", b"")
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
    assert sound(tmp_path) == 3


def test_a_blob_that_was_cut_in_the_project_replaces_none_of_the_earlier_backup(wired: Wired, tmp_path: Path) -> None:
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    cut(wired.layout.blobs, b"")
    with pytest.raises(Corrupt, match="is damaged"):
        backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
    assert sound(tmp_path) == 3


def test_a_blob_that_the_project_has_lost_stays_in_its_earlier_backup(wired: Wired, tmp_path: Path) -> None:
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    gone = next(wired.blobs.digests())
    wired.blobs.remove(gone)
    tell(wired, BlobsRemoved(blobs=("0" * 64,)))
    made = backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
    assert (made.blobs, made.only_here, made.lost) == (3, (gone,), ())
    assert sound(tmp_path) == 4
    restore(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept")
    made = backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 9)
    assert (made.blobs, made.only_here, made.lost) == (3, (), ())
    # what was removed on purpose is in no later backup
    remove_one(wired)
    assert backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 10).blobs == 2


def test_a_blob_that_is_nowhere_is_named_and_the_rest_is_backed_up(wired: Wired, tmp_path: Path) -> None:
    gone = next(wired.blobs.digests())
    wired.blobs.remove(gone)
    made = backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    assert (made.blobs, made.only_here, made.lost) == (2, (), (gone,))
    other = project(tmp_path / "two")
    restore(other.ledger, other.blobs, other.layout, tmp_path / "kept")
    assert [each.where for each in verify(other.ledger, other.blobs).problems] == [f"blob {gone}"]
    other.close()


@pytest.mark.parametrize("noted", [True, False], ids=["collected and made again", "lost and put back"])
def test_a_blob_that_comes_back_while_blobs_are_copied_is_in_the_backup(
    wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    gone = wired.blobs.put(b"declaration 0")
    if noted:
        tell(wired, BlobsRemoved(blobs=(gone,)))
    wired.blobs.remove(gone)
    real = module._copy_blobs

    def meanwhile(*arguments: Any) -> frozenset[str]:
        copied = real(*arguments)
        assert gone not in copied
        wired.blobs.put(b"declaration 0")
        if noted:
            declare(wired, 1)
        return copied

    monkeypatch.setattr(module, "_copy_blobs", meanwhile)
    assert backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8).blobs == 3
    assert sound(tmp_path) == 3 + noted


@pytest.mark.parametrize("left", [b"", b"declaration X"])
def test_a_restore_over_the_same_record_mends_its_damaged_blobs(wired: Wired, tmp_path: Path, left: bytes) -> None:
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    cut(wired.layout.blobs, left)
    restore(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept")
    assert verify(wired.ledger, wired.blobs).problems == ()


def test_what_is_collected_once_the_backup_is_whole_stays_in_it(wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.write_atomically

    def marked(path: Path, data: bytes) -> None:
        real(path, data)
        remove_one(wired)

    monkeypatch.setattr(module, "write_atomically", marked)
    assert backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7).blobs == 3
    other = project(tmp_path / "two")
    restore(other.ledger, other.blobs, other.layout, tmp_path / "kept")
    assert verify(other.ledger, other.blobs).problems == ()
    other.close()


def sound(tmp_path: Path, kept: str = "kept") -> int:
    """How many events a backup has, once it is restored and verified."""
    other = project(tmp_path / f"sound-{len(list(tmp_path.iterdir()))}")
    try:
        restore(other.ledger, other.blobs, other.layout, tmp_path / kept)
        assert verify(other.ledger, other.blobs).problems == ()
        return other.ledger.size()
    finally:
        other.close()


def fails(*_: object, **__: object) -> None:
    raise OSError(28, "no space left")


def test_an_unfinished_backup_leaves_the_earlier_one_even_if_events_come_meanwhile(
    wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    counted = wired.ledger.size

    def late() -> int:
        size = counted()
        tell(wired, BlobsRemoved(blobs=("0" * 64,)))
        return size

    with monkeypatch.context() as patched:
        patched.setattr(wired.ledger, "size", late)
        patched.setattr(module, "_copy_blobs", fails)
        with pytest.raises(OSError, match="no space"):
            backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
    assert sound(tmp_path) == 3
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 9)
    assert sound(tmp_path) == wired.ledger.size() > 3
    assert len(list((tmp_path / "kept").glob("record-*"))) == 1


@pytest.mark.parametrize("step", ["_copy_log", "export", "_forget", "_copy_keys", "_copy_blobs", "write_atomically", "_tidy"])
def test_a_backup_that_was_killed_at_any_step_is_done_again(
    wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    (wired.layout.log / "g0").mkdir(parents=True)
    (wired.layout.log / "g0" / "000001.wal").write_bytes(b"x")
    with monkeypatch.context() as patched:
        patched.setattr(module, step, fails)
        with pytest.raises(OSError, match="no space"):
            backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
    assert sound(tmp_path) == 3
    assert len(list((tmp_path / "kept").glob("record-*"))) == 1


def test_what_an_unfinished_backup_of_another_project_left_is_in_no_later_one(
    wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = project(tmp_path / "two")
    for part in (other.layout.log / "g0", other.layout.keys):
        part.mkdir(parents=True, exist_ok=True)
        (part / "000009.wal").write_bytes(b"x")
    with monkeypatch.context() as patched:
        patched.setattr(module, "_copy_blobs", fails)
        with pytest.raises(OSError, match="no space"):
            backup(other.ledger, other.blobs, other.layout, tmp_path / "kept", 7)
    other.close()
    assert list((tmp_path / "kept").rglob("000009.wal"))
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
    assert not list((tmp_path / "kept").rglob("000009.wal"))


def test_two_backups_are_not_written_into_one_folder_at_once(wired: Wired, tmp_path: Path) -> None:
    said: list[str] = []

    def meanwhile(done: int, _of: int) -> None:
        if done == 0:
            with pytest.raises(Conflict) as caught:
                backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
            said.append(str(caught.value))

    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7, meanwhile)
    assert "another backup is being written" in said[0]
    assert sound(tmp_path) == 3


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("kind", ["BLOB", "TEXT"])
def test_a_record_that_was_edited_is_not_backed_up_and_the_earlier_backup_stays(
    wired: Wired, tmp_path: Path, number: int, kind: str
) -> None:
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    with contextlib.closing(sqlite3.connect(wired.layout.root / "ledger.db")) as database, database:
        database.execute(f"UPDATE event SET body = CAST(replace(body, 'loop.py', 'lOOp.py') AS {kind}) WHERE seq = {number}")
    with pytest.raises(Corrupt, match="the record is not what its tree says"):
        backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)
    assert sound(tmp_path) == 3


@pytest.mark.parametrize("lost", ["events.jsonl", "checkpoints.txt", "personal.jsonl", ""])
def test_a_backup_whose_record_is_not_whole_is_named_as_what_is_damaged(wired: Wired, tmp_path: Path, lost: str) -> None:
    made = backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 7)
    record = tmp_path / "kept" / made.folder
    (record / lost).unlink() if lost else shutil.rmtree(record)
    other = project(tmp_path / "two")
    with pytest.raises(Corrupt, match=str(record)):
        restore(other.ledger, other.blobs, other.layout, tmp_path / "kept")
    assert other.ledger.size() == 0
    other.close()
    if lost in ("", "events.jsonl"):
        with pytest.raises(Corrupt, match=f"the backup in {tmp_path / 'kept'} is damaged"):
            backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8)


def test_a_folder_that_was_there_keeps_its_rights_and_shows_nobody_what_is_in_it(wired: Wired, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o755)
    backup(wired.ledger, wired.blobs, wired.layout, kept, 7)
    assert kept.stat().st_mode & 0o777 == 0o755
    assert {each.stat().st_mode & 0o077 for each in kept.iterdir() if each.is_dir()} == {0}
    assert not open_to_others(kept)
    (kept / "blobs").chmod(0o755)
    assert open_to_others(kept)
    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "made", 7)
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0
