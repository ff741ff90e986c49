"""A backup is of one moment, whatever is removed while it is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.errors import Unavailable
from flyball.ledger.verify import verify
from flyball.loop import backup as module
from flyball.loop.backup import backup, restore
from flyball.loop.commands import Apply
from flyball.records.base import Event
from flyball.records.declarations import DeclarationApplied
from flyball.records.removals import BlobsRemoved
from flyball.wiring import Wired, open_project

from .person_kit import OTHER, WHO, People


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[Wired]:
    wired = project(tmp_path / "one")
    for number in range(3):
        body = wired.blobs.put(f"declaration {number}".encode())
        tell(
            wired,
            DeclarationApplied(
                model=f"m{number}", file="loop.py", version_digest="v", policy_digest="p", body=body, code="", gates_digest="", author=""
            ),
        )
    yield wired
    wired.close()


def project(folder: Path) -> Wired:
    folder.mkdir()
    (folder / "flyball.toml").write_text("")
    return open_project(folder)


def tell(wired: Wired, *events: Event) -> None:
    command = Apply(id=wired.ports.clock.new_id("cmd"), actor="test", models=())
    wired.ledger.execute(command, lambda *_: events)


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
    assert not list((tmp_path / "kept").glob("log/*/000003.wal")), "its rows are among the blobs by now"
    assert len(restored(tmp_path).records()) == sealed[0]


def restored(tmp_path: Path) -> People:
    """What was kept, in a new project whose finished segments are sealed."""
    wired = project(tmp_path / f"restored-{len(list(tmp_path.iterdir()))}")
    restore(wired.ledger, wired.blobs, wired.layout, tmp_path / "kept")
    wired.close()
    other = People(wired.root)
    other.seal()
    return other


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
