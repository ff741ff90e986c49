import errno
import fcntl
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.errors import BadInput, Corrupt, NotFound, Unavailable
from flyball.store.blobs import LocalBlobs


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000))
def test_what_is_put_comes_back_under_its_hash(blobs: LocalBlobs, data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert blobs.get(digest) == data
    assert blobs.path(digest).read_bytes() == data
    assert blobs.has(digest)


def test_a_file_and_its_bytes_have_the_same_name(blobs: LocalBlobs, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "model.bin").write_bytes(data)
    digest = blobs.put_file(tmp_path / "model.bin")
    assert digest == blobs.put(data)
    assert (tmp_path / "model.bin").read_bytes() == data


def test_the_same_bytes_are_kept_once_and_nothing_is_left_beside(blobs: LocalBlobs, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes(b"same")
    names = {blobs.put(b"same"), blobs.put(b"same"), blobs.put_file(tmp_path / "same")}
    assert len(names) == 1
    assert len([path for path in blobs.root.rglob("*") if path.is_file()]) == 1


def test_changed_bytes_are_never_handed_out(blobs: LocalBlobs) -> None:
    digest = blobs.put(b"the model")
    blobs.path(digest).chmod(0o644)
    blobs.path(digest).write_bytes(b"another model")
    with pytest.raises(Corrupt, match=digest):
        blobs.get(digest)
    with pytest.raises(Corrupt, match=digest):
        blobs.check(digest)


@pytest.mark.parametrize("left", [b"", b"the", b"the model and more"])
def test_a_file_that_has_not_the_size_of_the_blob_is_replaced_where_the_blob_is_put(blobs: LocalBlobs, tmp_path: Path, left: bytes) -> None:
    (tmp_path / "model").write_bytes(b"the model")
    for put in (lambda: blobs.put(b"the model"), lambda: blobs.put_file(tmp_path / "model")):
        digest = put()
        blobs.path(digest).chmod(0o644)
        blobs.path(digest).write_bytes(left)
        put()
        assert blobs.get(digest) == b"the model"


def test_a_blob_that_is_not_there_is_not_found(blobs: LocalBlobs) -> None:
    absent = "0" * 64
    assert not blobs.has(absent)
    for ask in (blobs.get, blobs.path, blobs.check):
        with pytest.raises(NotFound, match=absent):
            ask(absent)


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "0" * 63, "A" * 64, "0" * 64 + "\n"])
def test_only_a_hash_can_become_a_path(blobs: LocalBlobs, text: str) -> None:
    with pytest.raises(BadInput, match="not a blob hash"):
        blobs.has(text)


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "Read-only"), (errno.EIO, "Input/output")])
def test_a_disk_that_refuses_says_why_and_leaves_nothing_half_written(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(Unavailable) as caught:
        blobs.put(b"too much")
    assert words in caught.value.why
    assert caught.value.fix
    assert [path for path in blobs.root.rglob("*") if path.is_file()] == []


LONG_AGO, SINCE = 1_000_000, 2_000_000
"""Moments (µs) before every real one."""


def aged(blobs: LocalBlobs, digest: str) -> Path:
    path = blobs.path(digest)
    os.utime(path, ns=(LONG_AGO * 1000, LONG_AGO * 1000))
    return path


def test_what_nobody_has_touched_for_long_is_removed(blobs: LocalBlobs) -> None:
    digest = blobs.put(b"old")
    aged(blobs, digest)
    assert blobs.touched(digest) == (LONG_AGO, 3)
    assert blobs.remove_idle(digest, SINCE)
    assert not blobs.has(digest)
    assert blobs.touched(digest) is None
    assert not blobs.remove_idle(digest, SINCE), "it is gone, which is no error"


@pytest.mark.parametrize("way", ["put", "put_file", "refresh"])
def test_what_is_about_to_be_referred_to_again_stays(blobs: LocalBlobs, tmp_path: Path, way: str) -> None:
    digest = blobs.put(b"again")
    aged(blobs, digest)
    (tmp_path / "again").write_bytes(b"again")
    {"put": lambda: blobs.put(b"again"), "put_file": lambda: blobs.put_file(tmp_path / "again"), "refresh": lambda: blobs.refresh(digest)}[
        way
    ]()
    assert not blobs.remove_idle(digest, SINCE)
    assert blobs.get(digest) == b"again"


def test_a_blob_that_is_gone_cannot_be_refreshed(blobs: LocalBlobs) -> None:
    with pytest.raises(NotFound, match="0" * 64):
        blobs.refresh("0" * 64)


def test_a_blob_put_while_it_is_taken_away_is_there_afterwards(blobs: LocalBlobs) -> None:
    """Whoever of the two comes first, round after round."""
    rounds, meet = 300, threading.Barrier(2, timeout=20)
    digest = blobs.put(b"wanted")

    def collect() -> int:
        removed = 0
        for _ in range(rounds):
            meet.wait()
            removed += blobs.remove_idle(digest, SINCE)
            meet.wait()
        return removed

    with ThreadPoolExecutor(1) as pool:
        collector = pool.submit(collect)
        for _ in range(rounds):
            aged(blobs, digest)
            meet.wait()
            blobs.put(b"wanted")
            meet.wait()
            assert blobs.get(digest) == b"wanted"
        assert collector.result() <= rounds


def test_one_that_waits_for_the_remover_writes_the_blob_again(blobs: LocalBlobs) -> None:
    digest = blobs.put(b"wanted")
    path = aged(blobs, digest)
    held = os.open(path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    putting = threading.Thread(target=blobs.put, args=(b"wanted",))
    putting.start()
    # as the remover does, while the other waits for its lock
    path.unlink()
    os.close(held)
    putting.join(10)
    assert not putting.is_alive()
    assert blobs.get(digest) == b"wanted"


def test_what_killed_writers_left_is_swept_and_what_is_being_written_is_not(blobs: LocalBlobs) -> None:
    digest = blobs.put(b"kept")
    old, new = blobs.root / ".new-old", blobs.path(digest).parent / ".new-young"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, ns=(LONG_AGO * 1000, LONG_AGO * 1000))
    assert blobs.sweep(SINCE) == 1
    assert (old.exists(), new.exists(), blobs.has(digest)) == (False, True, True)


def test_a_blob_is_written_for_reading_only(blobs: LocalBlobs, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"one")
    for digest in (blobs.put(b"two"), blobs.put_file(tmp_path / "one")):
        assert blobs.path(digest).stat().st_mode & 0o777 == 0o444
