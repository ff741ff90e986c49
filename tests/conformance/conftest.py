"""One suite for the store and the ledger, run on every database there is."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest

from flyball.clock import Clock, VirtualClock
from flyball.ledger.ledger import SqlLedger
from flyball.store.sql import Database

from ..ledger.conftest import load_kit  # noqa: TID252 - one name for the kit in every process


class Place:
    """A database of a test's own: as flyball opens it, and as somebody gets at it who goes around flyball."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kind = url.partition(":")[0]
        self._opened: list[Database] = []

    def database(self, **more: Any) -> Database:
        self._opened.append(Database.open(self.url, **more))
        return self._opened[-1]

    def ledger(self, clock: Clock | None = None, folds: Mapping[Any, Any] | None = None) -> SqlLedger:
        kit = load_kit()
        return SqlLedger(self.database(), folds or kit.FOLDS, clock or VirtualClock(kit.START))

    def alter(self, statement: str, *values: object) -> None:
        """Change something behind flyball's back; `?` stands for a value."""
        if self.kind == "sqlite":
            with sqlite3.connect(self.url.removeprefix("sqlite:///")) as connection:
                connection.execute(statement, values)
            connection.close()
        else:
            with psycopg.connect(self.url) as server:
                server.execute(statement.replace("?", "%s").encode(), values)

    def close(self) -> None:
        for each in self._opened:
            each.close()


@pytest.fixture
def kit() -> ModuleType:
    return load_kit()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path}/ledger.db" if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    place = Place(url)
    yield place
    place.close()


@pytest.fixture
def ledger(place: Place) -> SqlLedger:
    return place.ledger()
