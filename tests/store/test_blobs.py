import errno
import hashlib
import os
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
