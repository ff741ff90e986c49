"""A restore brings what was backed up, or nothing; and what failed on the way is done again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from flyball.errors import BadInput, Conflict, Corrupt
from flyball.loop import backup as writing
from flyball.loop import restoring
from flyball.loop.backup import CLAIM, MARK, backup
from flyball.serving import supervisor
from flyball.serving.supervisor import take_lock
from flyball.wiring import Wired

from .backup_kit import bring, declare, kept, log, sound


def test_what_was_backed_up_is_restored(wired: Wired, other: Wired, tmp_path: Path) -> None:
    made = kept(wired, tmp_path / "kept")
    assert bring(other, tmp_path / "kept") == made
    assert (made.blobs, made.log) == (3, 2)
    assert sound(other)
    assert not other.layout.restoring.exists()


def test_a_key_is_its_owners_alone_whatever_rights_it_had_in_the_backup(wired: Wired, other: Wired, tmp_path: Path) -> None:
    made = kept(wired, tmp_path / "kept")
    for file in (tmp_path / "kept" / made.folder).rglob("*"):
        file.chmod(0o755)
    shutil.rmtree(other.layout.keys, ignore_errors=True)
    bring(other, tmp_path / "kept")
    for key in (other.layout.keys / "subjects.key", other.layout.id_key):
        assert key.stat().st_mode & 0o777 == 0o600
    assert other.layout.keys.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "name", ["log/g0/000002.wal", "keys/subjects.key", "keys/id.key", "checkpoints.txt", "keys.txt", "personal.jsonl", "blobs.txt"]
)
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_backup_with_a_file_that_is_not_what_was_written_is_refused_and_leaves_nothing(
    wired: Wired, other: Wired, tmp_path: Path, name: str, damage: str
) -> None:
    made = kept(wired, tmp_path / "kept")
    file = tmp_path / "kept" / made.folder / name
    whole = file.read_bytes() or b"x"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:-10] if damage == "cut" and len(whole) > 10 else whole[:-1] + b"?")
    with pytest.raises(Corrupt, match=str(file)):
        bring(other, tmp_path / "kept")
    assert other.ledger.size() == 0
    assert not list(other.layout.log.rglob("*.wal"))
    kept(wired, tmp_path / "good")
    bring(other, tmp_path / "good")
    assert sound(other)


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_backup_whose_blobs_are_not_whole_is_refused_before_the_record_comes(
    wired: Wired, other: Wired, tmp_path: Path, damage: str
) -> None:
    kept(wired, tmp_path / "kept")
    blob = next(each for each in sorted((tmp_path / "kept" / "blobs").rglob("*")) if each.is_file())
    blob.unlink()
    if damage == "damaged":
        blob.write_bytes(b"x")
    with pytest.raises(Corrupt, match=str(tmp_path / "kept")) as caught:
        bring(other, tmp_path / "kept")
    assert "use another backup" in str(caught.value)
    assert other.ledger.size() == 0
    kept(wired, tmp_path / "good")
    bring(other, tmp_path / "good")
    assert sound(other)


def test_a_segment_that_grows_while_it_is_copied_is_restored_as_it_was_copied(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writing.copy

    def meanwhile(source: Path, target: Path, **options: Any) -> None:
        real(source, target, **options)
        with source.open("ab") as file:
            file.write(b"more")

    with monkeypatch.context() as patched:
        patched.setattr(writing, "copy", meanwhile)
        kept(wired, tmp_path / "kept")
    bring(other, tmp_path / "kept")
    assert sound(other)
    assert (other.layout.log / "g0" / "000002.wal").read_bytes() == b"answers" * 100


def test_a_backup_that_fails_does_not_change_the_segments_of_the_earlier_one(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "no space left")

    kept(wired, tmp_path / "kept")
    log(wired, 2).write_bytes(b"answers" * 200)
    with monkeypatch.context() as patched:
        patched.setattr(writing, "_copy_blobs", fails)
        with pytest.raises(OSError, match="no space"):
            kept(wired, tmp_path / "kept")
    bring(other, tmp_path / "kept")
    assert sound(other)


def test_a_disk_that_fills_while_a_file_is_copied_has_no_half_of_it_afterwards(
    wired: Wired, other: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "no space left")

    (other.layout.log / "g0").mkdir(parents=True)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            writing.copy(log(wired, 1), other.layout.log / "g0" / "000001.wal")
    assert list((other.layout.log / "g0").iterdir()) == []


def test_a_record_that_somebody_begins_during_a_restore_is_without_the_log_and_keys_of_the_backup(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restoring.load

    def meanwhile(*arguments: Any) -> None:
        declare(other, 1)
        real(*arguments)

    kept(wired, tmp_path / "kept")
    monkeypatch.setattr(restoring, "load", meanwhile)
    with pytest.raises(Conflict, match="not empty"):
        bring(other, tmp_path / "kept")
    assert other.ledger.size() == 1
    assert not list(other.layout.log.rglob("*.wal"))
    assert not other.layout.id_key.exists()
    assert not other.layout.restoring.exists()


def test_neither_flyball_up_nor_another_restore_begins_during_a_restore(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, said = restoring.load, []

    def meanwhile(*arguments: Any) -> None:
        with pytest.raises(Conflict) as caught:
            bring(other, tmp_path / "kept")
        said.append(caught.value)
        with pytest.raises(Conflict, match="or a backup is being restored") as caught:
            take_lock(other.layout.lock, wait_s=0)
        said.append(caught.value)
        real(*arguments)

    kept(wired, tmp_path / "kept")
    monkeypatch.setattr(restoring, "load", meanwhile)
    bring(other, tmp_path / "kept")
    assert "another restore is under way" in str(said[0])
    assert [each.code for each in said] == ["already-up", "already-up"]
    assert "wait for it" in said[1].fix
    assert sound(other)
    os.close(take_lock(other.layout.lock, wait_s=0))


def test_nothing_is_restored_while_flyball_is_up(wired: Wired, other: Wired, tmp_path: Path) -> None:
    kept(wired, tmp_path / "kept")
    lock = take_lock(other.layout.lock)
    with pytest.raises(Conflict, match="flyball is up here"):
        bring(other, tmp_path / "kept")
    os.close(lock)
    bring(other, tmp_path / "kept")


def test_who_looks_whether_flyball_is_up_stops_no_restore(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(wired, tmp_path / "kept")
    looks = other.layout.lock.open("w")
    fcntl.flock(looks, fcntl.LOCK_SH)
    with monkeypatch.context() as patched:
        patched.setattr(supervisor.time, "sleep", lambda _: looks.close())
        bring(other, tmp_path / "kept")
    assert looks.closed
    assert sound(other)


def test_during_a_restore_nobody_is_sent_to_the_last_flyball_up(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restoring.load

    def meanwhile(*arguments: Any) -> None:
        # its number may be another process's by now
        with pytest.raises(Conflict, match="the project is in use"):
            take_lock(other.layout.lock, wait_s=0)
        real(*arguments)

    kept(wired, tmp_path / "kept")
    other.layout.lock.write_text(f"{os.getpid()} 7117")
    monkeypatch.setattr(restoring, "load", meanwhile)
    bring(other, tmp_path / "kept")


def test_a_backup_is_not_written_while_it_is_restored_nor_restored_while_it_is_written(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(wired, tmp_path / "kept")
    said: list[str] = []
    real = restoring.load

    def meanwhile(*arguments: object) -> None:
        with pytest.raises(Conflict) as caught:
            kept(wired, tmp_path / "kept")
        said.append(str(caught.value))
        real(*arguments)

    def written(done: int, _of: int) -> None:
        if done == 0:
            with pytest.raises(Conflict) as caught:
                bring(other, tmp_path / "kept")
            said.append(str(caught.value))

    backup(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept", 8, written)
    monkeypatch.setattr(restoring, "load", meanwhile)
    bring(other, tmp_path / "kept")
    assert len(said) == 2
    assert all("is in use" in each for each in said)


@pytest.mark.parametrize("claim", ["there is none", "it cannot be opened"])
def test_a_backup_that_cannot_be_locked_is_restored(wired: Wired, other: Wired, tmp_path: Path, claim: str) -> None:
    kept(wired, tmp_path / "kept")
    (tmp_path / "kept" / CLAIM).unlink()
    if claim == "it cannot be opened":
        (tmp_path / "kept" / CLAIM).mkdir()
    bring(other, tmp_path / "kept")
    assert sound(other)


@pytest.mark.parametrize("change", [{"files": []}, {"folder": "elsewhere"}, {"files": [{"name": "../x", "size": 0, "sha256": ""}]}])
def test_a_list_of_files_that_no_backup_has_is_refused(wired: Wired, other: Wired, tmp_path: Path, change: dict[str, object]) -> None:
    kept(wired, tmp_path / "kept")
    mark = tmp_path / "kept" / MARK
    mark.write_text(json.dumps(json.loads(mark.read_text()) | change))
    with pytest.raises(Corrupt, match=f"{mark} was changed"):
        bring(other, tmp_path / "kept")


@pytest.mark.parametrize("number", [1, 3])
def test_a_backup_of_another_format_is_called_that_whatever_is_in_it(wired: Wired, other: Wired, tmp_path: Path, number: int) -> None:
    kept(wired, tmp_path / "kept")
    (tmp_path / "kept" / MARK).write_text(json.dumps({"format": number, "more": 1}))
    for use in (lambda: bring(other, tmp_path / "kept"), lambda: kept(wired, tmp_path / "kept")):
        with pytest.raises(BadInput, match=f"a backup of format {number}") as caught:
            use()
        assert "knows format 2 alone" in str(caught.value)
        assert "use the flyball that wrote it" in str(caught.value)


def test_a_backup_holds_no_room_that_a_gateway_keeps_for_its_last_answers(wired: Wired, tmp_path: Path) -> None:
    (wired.layout.log / "reserve").write_bytes(bytes(1000))
    made = kept(wired, tmp_path / "kept")
    assert made.log == 2
    assert not list((tmp_path / "kept").rglob("reserve"))
