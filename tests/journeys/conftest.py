"""A project of one's own, and `up` over it that is gone when the test is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .kit import Project, Up


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def start(project: Project) -> Iterator[Callable[..., Up]]:
    """Starts `up`; what still runs at the end is stopped."""
    running: list[Up] = []

    def make(**more: object) -> Up:
        running.append(Up(project, **more))  # type: ignore[arg-type]
        return running[-1].ready()

    yield make
    for one in running:
        one.stop()
