"""A restore that was killed, failed or interrupted leaves a project that can be restored and go up; and one is done again over its record."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from flyball.data.sources.pushed import segments
from flyball.errors import Conflict, Unavailable
from flyball.governance.authority import LOOP
from flyball.loop import backup as backing
from flyball.loop import restoring
from flyball.loop.commands import Apply, decide_apply
from flyball.records.data import SubjectErased
from flyball.records.removals import BlobsRemoved
from flyball.records.serving import SegmentSealed
from flyball.serving.layout import Layout
from flyball.wiring import Wired

from .backup_kit import bring, declare, kept, killed_at, log, project, sound, tell
from .person_kit import OTHER, WHO, People, erase


@pytest.mark.parametrize(("step", "call"), [("_bring_blobs", 1), ("copy", 4), ("load", 1)])
def test_after_a_restore_that_was_killed_another_backup_is_restored_as_if_there_had_been_none(
    wired: Wired, other: Wired, tmp_path: Path, step: str, call: int
) -> None:
    kept(wired, tmp_path / "good")
    log(wired, 3)
    kept(wired, tmp_path / "first")
    with killed_at(step, call):
        bring(other, tmp_path / "first")
    assert other.ledger.size() == 0
    assert other.layout.restoring.exists(), "flyball up begins nothing"
    bring(other, tmp_path / "good")
    assert sound(other)
    assert not other.layout.restoring.exists()


@pytest.mark.parametrize("error", [OSError(28, "no space left"), KeyboardInterrupt()], ids=["no space", "Ctrl-C"])
@pytest.mark.parametrize("step", ["_check_file", "_bring_blobs", "copy", "load"])
def test_a_restore_that_fails_or_is_interrupted_at_any_step_leaves_nothing_but_blobs(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    kept(wired, tmp_path / "kept")
    with monkeypatch.context() as patched:
        patched.setattr(restoring, step, fails)
        with pytest.raises(type(error)):
            bring(other, tmp_path / "kept")
    assert not list(other.layout.log.rglob("*.wal"))
    assert not (other.layout.keys / "subjects.key").exists()
    assert not other.layout.restoring.exists()
    bring(other, tmp_path / "kept")
    assert sound(other)


def test_a_restore_that_is_interrupted_once_the_record_is_there_keeps_all_of_it(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = restoring.load

    def interrupted(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    kept(wired, tmp_path / "kept")
    monkeypatch.setattr(restoring, "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bring(other, tmp_path / "kept")
    assert sound(other)
    assert not other.layout.restoring.exists(), "it is done"


def test_a_restore_whose_database_does_not_answer_any_more_says_why_and_is_settled_by_the_next(
    wired: Wired, other: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise Unavailable("the server is gone")

    def still_gone(_: object, layout: Layout) -> None:
        if layout.restoring.exists():
            raise Unavailable("nobody answers")

    kept(wired, tmp_path / "kept")
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "load", gone)
        patched.setattr(restoring, "_settle", still_gone)
        with pytest.raises(Unavailable, match="the server is gone"):
            bring(other, tmp_path / "kept")
    assert other.layout.restoring.exists(), "nobody knows whether the record is there"
    bring(other, tmp_path / "kept")
    assert sound(other)


def test_no_command_is_carried_out_between_a_restore_that_was_killed_and_the_next(wired: Wired, other: Wired, tmp_path: Path) -> None:
    kept(wired, tmp_path / "kept")
    with killed_at("load"):
        bring(other, tmp_path / "kept")
    command = Apply(id="cmd_1", actor=LOOP.actor, models=())
    for ports in (other.ports, other.acting(LOOP)):
        with pytest.raises(Conflict, match="its restore was killed") as caught:
            ports.ledger.execute(command, decide_apply)
        assert caught.value.code == "restoring"
    assert other.ledger.size() == 0, "not even who gave it was recorded"
    bring(other, tmp_path / "kept")
    other.acting(LOOP).ledger.execute(command, decide_apply)


@pytest.mark.parametrize("later", [0, 1])
def test_a_restore_that_was_killed_once_the_record_was_there_is_finished_by_the_next(
    wired: Wired, other: Wired, tmp_path: Path, later: int
) -> None:
    kept(wired, tmp_path / "kept")
    with killed_at("load", done=True):
        bring(other, tmp_path / "kept")
    assert other.layout.restoring.exists()
    # as from another machine, where the database is a server
    declare(other, later)
    bring(other, tmp_path / "kept")
    assert sound(other)
    assert other.ledger.size() == 3 + later
    assert not other.layout.restoring.exists()


def test_a_restore_that_was_killed_once_the_record_was_there_keeps_all_of_it_whatever_backup_comes_next(
    wired: Wired, other: Wired, tmp_path: Path
) -> None:
    kept(wired, tmp_path / "kept")
    declare(wired, 1)
    kept(wired, tmp_path / "later")
    with killed_at("load", done=True):
        bring(other, tmp_path / "kept")
    with pytest.raises(Conflict, match="has a record already"):
        bring(other, tmp_path / "later")
    assert sound(other)
    assert not other.layout.restoring.exists()


def test_where_a_record_began_after_a_restore_was_killed_what_it_brought_goes_and_the_record_stays(
    wired: Wired, other: Wired, tmp_path: Path
) -> None:
    kept(wired, tmp_path / "kept")
    with killed_at("load"):
        bring(other, tmp_path / "kept")
    declare(other, 4)
    with pytest.raises(Conflict, match="has a record already"):
        bring(other, tmp_path / "kept")
    assert other.ledger.size() == 4
    assert not list(other.layout.log.rglob("*.wal"))
    assert not other.layout.restoring.exists(), "flyball up begins"


def test_a_restore_into_a_record_that_has_gone_on_since_brings_what_is_missing(wired: Wired, other: Wired, tmp_path: Path) -> None:
    kept(wired, tmp_path / "kept")
    bring(other, tmp_path / "kept")
    declare(other, 2)
    (other.layout.keys / "subjects.key").unlink()
    grown = log(other, 1)
    grown.write_bytes(b"answers" * 200)
    bring(other, tmp_path / "kept")
    assert sound(other)
    assert grown.stat().st_size == 1400, "what the project has stays"
    assert other.ledger.size() == 5


def test_a_restore_brings_nothing_back_that_was_sealed_or_removed_since(wired: Wired, tmp_path: Path) -> None:
    kept(wired, tmp_path / "kept")
    removed, lost = sorted(wired.blobs.digests())[:2]
    rows = wired.blobs.put(b"sealed")
    tell(
        wired,
        BlobsRemoved(blobs=(removed,)),
        SegmentSealed(gateway="g0", number=1, wal_sha256="0" * 64, parquet_sha256=rows, rows=1, torn_bytes=0),
    )
    for digest in (removed, lost):
        wired.blobs.remove(digest)
    for number in (1, 2):
        log(wired, number).unlink()
    bring(wired, tmp_path / "kept")
    assert (wired.blobs.has(removed), wired.blobs.has(lost)) == (False, True)
    assert [file.name for file in (wired.layout.log / "g0").iterdir()] == ["000002.wal"]


@pytest.mark.process
def test_a_restore_brings_nobody_back_who_was_erased_since(people: People, tmp_path: Path) -> None:
    people.log([[(60.0, WHO), (70.0, OTHER)]])
    people.log([])
    with people.opened() as wired:
        kept(wired, tmp_path / "kept")
    assert erase(people).code == 0
    left, others, size = people.traces(), people.traces(OTHER), people.size()
    assert left == ["log/g0/000003.wal"], "which leaves the person out when it is sealed"
    with people.opened() as wired:
        bring(wired, tmp_path / "kept")
    assert (people.traces(), people.traces(OTHER), people.size()) == (left, others, size)
    people.seal()
    with people.opened() as wired:
        bring(wired, tmp_path / "kept")
    assert people.traces() == []
    assert people.verified().problems == ()


def test_a_record_that_is_not_the_beginning_of_the_one_here_is_refused(wired: Wired, other: Wired, tmp_path: Path) -> None:
    kept(wired, tmp_path / "kept")
    declare(other, 3)
    with pytest.raises(Conflict, match="has a record already"):
        bring(other, tmp_path / "kept")
    bring(wired, tmp_path / "kept")
    declare(wired, 1)
    kept(wired, tmp_path / "later")
    third = project(tmp_path / "three")
    kept(third, tmp_path / "empty")
    bring(third, tmp_path / "kept")
    for folder in ("later", "empty"):
        with pytest.raises(Conflict, match="has a record already"):
            bring(third, tmp_path / folder)
    third.close()


def test_pushed_rows_are_backed_up_and_restored(wired: Wired, other: Wired, tmp_path: Path) -> None:
    for number in range(1, 4):
        segments(wired.layout.push, "pay").append([b"{}"], number, f"k{number}")
    kept(wired, tmp_path / "kept")
    bring(other, tmp_path / "kept")
    assert segments(other.layout.push, "pay").end() == 3
    shutil.rmtree(other.layout.push)
    bring(other, tmp_path / "kept")
    assert [frame.first for frame in segments(other.layout.push, "pay").since(0)] == [1, 2, 3], "what was lost beside the record"


def test_pushed_rows_of_before_an_erasure_are_not_brought_back(wired: Wired, tmp_path: Path) -> None:
    segments(wired.layout.push, "pay").append([b'{"who":"ana"}'], 1, "k")
    kept(wired, tmp_path / "kept")
    shutil.rmtree(wired.layout.push)
    tell(wired, SubjectErased(subject="x", data=("pay",), rows=1, predictions=0, waiting=0, texts=0))
    bring(wired, tmp_path / "kept")
    assert not wired.layout.push.exists()


def test_who_is_erased_while_pushed_rows_are_copied_is_in_no_backup(wired: Wired, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = segments(wired.layout.push, "pay")
    own.append([b'{"who":"ana"}', b'{"who":"bob"}'], 1, "k")
    export = backing.export

    def erased_meanwhile(*arguments: Any, **options: Any) -> Any:
        if own.erase(lambda row, _at: row["who"] == "ana"):
            tell(wired, SubjectErased(subject="x", data=("pay",), rows=1, predictions=0, waiting=0, texts=0))
        return export(*arguments, **options)

    monkeypatch.setattr(backing, "export", erased_meanwhile)
    made = kept(wired, tmp_path / "kept")
    assert b'"ana"' not in next((tmp_path / "kept" / made.folder).rglob("*.rows")).read_bytes()
