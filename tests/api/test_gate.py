"""Many who come at once are told apart by one look at the ledger, and a database that does not answer keeps them waiting once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from flyball.api import gate
from flyball.api.app import _AT_THE_DOOR
from flyball.api.gate import Gate
from flyball.errors import Unauthenticated, Unavailable
from flyball.ledger.projection import MemoryProjection
from flyball.loop.local import new_secret
from flyball.records.identity import TOKENS, Role, Scope, TokenRow, secret_hash

from .kit import Served, eventually

LONG_S = 30.0
MANY = 20


class Database:
    """A ledger that has tokens. `look` is what happens at each look, after the moment that it sees."""

    def __init__(self) -> None:
        self.held: list[TokenRow] = []
        self.looks = self.seen = 0
        self.look: Callable[[], object] = lambda: None

    def size(self) -> int:
        self.looks += 1
        self.seen = len(self.held)
        self.look()
        return self.seen

    @contextmanager
    def state(self) -> Iterator[Any]:
        found = MemoryProjection()
        for row in self.held[: self.seen]:
            found.put(TOKENS, row.token, row)
        yield SimpleNamespace(scan=found.scan, size=self.seen)

    def give(self) -> str:
        """The header of a new token."""
        secret = new_secret()
        self.held.append(
            TokenRow(
                token=f"tok_{len(self.held)}",
                person="bo",
                team="",
                jobs=(),
                roles=(Role.VIEWER,),
                scopes=(Scope.CONTROL,),
                models=(),
                hash=secret_hash(secret),
                created_at=1,
                created_by="loop",
                expires_at=0,
            )
        )
        return f"Bearer {secret}"

    def gate(self) -> Gate:
        clock = SimpleNamespace(now=lambda: 1)
        wired: Any = SimpleNamespace(ledger=self, ports=SimpleNamespace(clock=clock))
        return Gate(wired)


def broken() -> None:
    raise Unavailable("the database cannot be reached", why="timeout", fix="start the server")


@pytest.fixture
def database() -> Database:
    return Database()


def test_those_who_come_while_the_ledger_is_asked_share_its_error(database: Database) -> None:
    header, came, release = database.give(), [], threading.Event()

    def slowly() -> None:
        assert release.wait(LONG_S)
        broken()

    def ask(_: int) -> str:
        came.append(1)
        with pytest.raises(Unavailable, match="cannot be reached"):
            door.caller(header, "10.0.0.1")
        return "told"

    door, database.look = database.gate(), slowly
    with ThreadPoolExecutor(MANY) as pool:
        asked = [pool.submit(ask, number) for number in range(MANY)]
        eventually(lambda: len(came) == MANY, "not all have come")
        release.set()
        assert [each.result(LONG_S) for each in asked] == ["told"] * MANY
    # one who was only just coming may have asked again
    assert database.looks <= 3


def test_while_a_broken_ledger_is_tried_again_nobody_else_waits_for_it(database: Database) -> None:
    header, trying, release = database.give(), threading.Event(), threading.Event()
    door, database.look = database.gate(), broken
    with pytest.raises(Unavailable):
        door.caller(header, "10.0.0.1")

    def slowly() -> None:
        trying.set()
        assert release.wait(LONG_S)

    database.look = slowly
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(door.caller, header, "10.0.0.1")
        assert trying.wait(LONG_S)
        with pytest.raises(Unavailable, match="cannot be reached"):
            pool.submit(door.caller, header, "10.0.0.2").result(LONG_S)
        release.set()
        assert first.result(LONG_S).actor == "user:bo"
    assert door.caller(header, "10.0.0.2").actor == "user:bo"


def test_a_token_that_was_made_while_the_ledger_was_asked_for_others_is_known(database: Database) -> None:
    header, trying, release = database.give(), threading.Event(), threading.Event()

    def slowly() -> None:
        trying.set()
        assert release.wait(LONG_S)

    door, database.look = database.gate(), slowly
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(door.caller, header, "10.0.0.1")
        assert trying.wait(LONG_S)
        second = pool.submit(door.caller, database.give(), "10.0.0.1")
        release.set()
        assert first.result(LONG_S).actor == second.result(LONG_S).actor == "user:bo"


def test_a_mistake_of_ours_while_the_ledger_is_asked_leaves_nobody_waiting(database: Database) -> None:
    header, door = database.give(), database.gate()
    database.look = lambda: {}["nothing"]
    for _ in range(2):
        with pytest.raises(KeyError):
            door.caller(header, "10.0.0.1")
    database.look = lambda: None
    assert door.caller(header, "10.0.0.1").actor == "user:bo"
    with pytest.raises(Unauthenticated):
        door.caller(f"Bearer {new_secret()}", "10.0.0.1")


def test_health_is_answered_while_more_wait_to_be_let_in_than_there_are_threads(
    api: Served, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real pool of threads: the door has its own."""
    release = threading.Event()

    def slowly() -> None:
        assert release.wait(LONG_S)
        broken()

    def ask(_: int) -> int:
        return api.get("/models").status_code

    database.look = slowly
    monkeypatch.setattr(gate, "KNOWN_S", 0.0)
    monkeypatch.setattr(api.gate, "_wired", SimpleNamespace(ledger=database, ports=api.wired.ports))
    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(ask, number) for number in range(60)]
        try:
            eventually(lambda: api.made._door.borrowed_tokens == _AT_THE_DOOR, "the door is not full")
            assert database.looks
            assert api.get("/health", timeout=LONG_S / 2).status_code == 200
        finally:
            release.set()
        assert {each.result(LONG_S) for each in asked} == {503}
