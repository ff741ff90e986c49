"""Whatever follows references follows a version to its chunks: verify, backups, restores and gc."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from flyball.data.commit import load_content
from flyball.data.manifest import manifest, names
from flyball.loop.eraser import Eraser
from flyball.records.data import DATASETS, DataErased
from flyball.store.blobs import LocalBlobs
from flyball.wiring import open_project

from .person_kit import People, erase, events

pytestmark = pytest.mark.process


def head(people: People) -> str:
    with people.opened() as wired:
        content = wired.ledger.state().get(DATASETS, "payments").head.content
        return wired.subjects().present("payments", content)


def chunk_of(people: People) -> str:
    with people.opened() as wired:
        return manifest(head(people), wired.blobs).chunks[0].content


def test_verify_names_a_missing_chunk_and_one_that_was_changed(people: People) -> None:
    chunk, path = chunk_of(people), people.state / "blobs"
    file = path / chunk[:2] / chunk[2:]
    whole = file.read_bytes()
    file.unlink()
    [problem] = people.call("audit", "verify").document["problems"]
    assert problem["where"] == f"blob {chunk}"
    assert "version.content → chunks[0].content" in problem["what"]
    file.write_bytes(whole[:-1])
    [problem] = people.call("audit", "verify").document["problems"]
    assert "was changed" in problem["what"]
    file.write_bytes(whole)
    people.verified()


def test_verify_names_a_manifest_that_is_none(people: People) -> None:
    with people.opened() as wired:
        content = head(people)
        path = wired.blobs.path(content)
        path.chmod(0o600)
        path.write_bytes(b"{}")
    problems = people.call("audit", "verify").document["problems"]
    assert [problem["where"] for problem in problems] == [f"blob {content}"]


def test_a_chunk_of_what_is_left_after_an_erasure_must_be_there(people: People) -> None:
    erase(people)
    last = events(people, DataErased)[0]
    with people.opened() as wired:
        [chunk] = names(last.new_content, wired.blobs)
        wired.blobs.remove(chunk)
    [problem] = people.call("audit", "verify").document["problems"]
    assert problem["where"] == f"blob {chunk}"
    assert "new_content → chunks[0].content" in problem["what"]


def test_an_erasure_that_is_killed_between_a_chunk_and_its_manifest_is_healed(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    old = head(people)
    with people.opened() as wired:
        [chunk] = names(old, wired.blobs)
    monkeypatch.setattr(Eraser, "finish", lambda *_: 0)
    erase(people)
    monkeypatch.undo()
    with people.opened() as wired:
        wired.blobs.remove(chunk)
    people.verified()
    with people.opened(claim=True):
        pass
    with people.opened() as wired:
        assert not wired.blobs.has(old)
    assert people.traces() == []
    people.verified()


def test_a_backup_holds_the_chunks_and_brings_them_back(people: People, tmp_path: Path) -> None:
    frames = people.frames()
    assert people.call("backup", tmp_path / "backup").code == 0
    copied = set(LocalBlobs(next((tmp_path / "backup").glob("blobs"))).digests())
    with people.opened() as wired:
        assert {head(people), *names(head(people), wired.blobs)} <= copied
    chunk = chunk_of(people)
    with people.opened() as wired:
        wired.blobs.remove(chunk)
    assert people.call("restore", tmp_path / "backup").code == 0
    assert {version: frame.rows() for version, frame in people.frames().items()} == {
        version: frame.rows() for version, frame in frames.items()
    }
    people.verified()


def test_gc_takes_no_chunk_of_a_version_and_nothing_where_a_manifest_cannot_be_read(people: People) -> None:
    with people.opened() as wired:
        for digest in wired.blobs.digests():
            os.utime(wired.blobs.path(digest), (1, 1))
    assert people.call("gc").code == 0
    with closing(open_project(people.root)) as wired:
        assert load_content(head(people), wired.blobs).height == 650
        path = wired.blobs.path(head(people))
        path.chmod(0o600)
        path.write_bytes(b"{}")
    ended = people.call("gc")
    assert ended.code == 1
    assert "nothing was removed" in ended.out
