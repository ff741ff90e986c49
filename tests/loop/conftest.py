"""Projects that several files of tests begin with. The small ones are made once; each test has a copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.wiring import Wired

from .backup_kit import filled, project
from .person_kit import OTHER, WHO, People
from .skew_kit import Shops


@pytest.fixture(scope="session")
def people_made(tmp_path_factory: pytest.TempPathFactory) -> People:
    people = People.make(tmp_path_factory.mktemp("people") / "made")
    people.log([[(10.0, WHO)], [(20.0, OTHER), (30.0, WHO), (40.0, "person-1")]], labels=["s0-r1/1"])
    people.log([[(50.0, OTHER)]], labels=["s0-r0", "s0-r1/0"])
    people.log([])
    people.seal()
    return people


@pytest.fixture
def people(people_made: People, tmp_path: Path) -> People:
    return People(Path(shutil.copytree(people_made.root, tmp_path / "p")))


@pytest.fixture(scope="session")
def shops_made(tmp_path_factory: pytest.TempPathFactory) -> Shops:
    return Shops.make(tmp_path_factory.mktemp("shops") / "made")


@pytest.fixture
def shops(shops_made: Shops, tmp_path: Path) -> Shops:
    return Shops(Path(shutil.copytree(shops_made.root, tmp_path / "project")))


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[Wired]:
    """A project with all that is backed up."""
    wired = filled(tmp_path / "one")
    yield wired
    wired.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Wired]:
    """A new project."""
    other = project(tmp_path / "two")
    yield other
    other.close()
