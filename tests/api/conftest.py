"""A project that was trained once for the whole session, and its API."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyball.wiring import Wired, open_project

from ..cli.conftest import call  # noqa: TID252 - one way to make a small project
from .kit import Served, serve


@pytest.fixture(scope="session")
def trained_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "project"
    assert call("init", folder).code == 0
    ended = call("train", "demand", "--trials", 0, "--project", folder, "--json")
    assert ended.document["state"] == "eligible"
    return folder


@contextmanager
def opened(root: Path) -> Iterator[Wired]:
    wired = open_project(root, claim=True)
    try:
        yield wired
    finally:
        wired.close()


@pytest.fixture
def root(trained_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_project, tmp_path / "project"))


@pytest.fixture
def api(root: Path) -> Iterator[Served]:
    # a Unix socket's path is short
    with opened(root) as wired, tempfile.TemporaryDirectory(prefix="fb-") as folder:
        yield from serve(wired, Path(folder))
