"""A secret is on the disk, name and all, before anything is done with it; and the first one stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from flyball.store import secretfile


def test_the_name_of_a_secret_is_on_the_disk_once_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys" / "subjects.key"
    real, synced = os.fsync, []

    def sync(descriptor: int) -> None:
        real(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    secretfile.make(path, "a secret")
    assert synced == [(path.parent.stat().st_ino, True)]


def test_the_first_secret_stays_and_its_owner_alone_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "subjects.key"
    secretfile.make(path, "first")
    secretfile.make(path, "second")
    assert path.read_text() == "first\n"
    assert [path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777] == [0o600, 0o700]
    assert list(path.parent.iterdir()) == [path]
