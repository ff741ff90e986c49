"""One turn of a model sees one moment, until it records something or asks anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flyball.clock import VirtualClock
from flyball.ledger.ledger import SqlLedger
from flyball.loop.commands import decide_apply
from flyball.loop.compiling import Compilation
from flyball.loop.declaring import apply_command
from flyball.loop.folds import FOLDS
from flyball.loop.moment import OneMoment, anew
from flyball.records.declarations import DECLARATIONS, Compiled
from flyball.store.blobs import LocalBlobs
from flyball.store.sql import Database


@dataclass
class Turn:
    """A turn over a ledger that others write to."""

    others: SqlLedger
    ledger: OneMoment
    blobs: LocalBlobs

    def declares(self, ledger: OneMoment | SqlLedger, name: str) -> None:
        made = Compiled(
            model=name, file=f"{name}.py", line=1, version_digest="v", policy_digest="p", gates_digest="p", body=f"{name}'s", code={}
        )
        ledger.execute(apply_command(Compilation((made,), (), (), ""), self.blobs, command=f"declares {name}", actor="ana"), decide_apply)

    def seen(self) -> list[str]:
        return [name for name, _ in self.ledger.state().scan(DECLARATIONS)]


@pytest.fixture
def turn(tmp_path: Path) -> Iterator[Turn]:
    database = Database.open(tmp_path / "ledger.db")
    ledger = SqlLedger(database, FOLDS, VirtualClock(0))
    yield Turn(ledger, OneMoment(ledger), LocalBlobs(tmp_path / "blobs"))
    database.close()


def test_what_others_record_meanwhile_is_not_seen(turn: Turn) -> None:
    assert turn.seen() == []
    turn.declares(turn.others, "a")
    assert turn.seen() == []
    assert turn.ledger.state().get(DECLARATIONS, "a") is None


def test_what_it_records_itself_is_seen_and_all_else_with_it(turn: Turn) -> None:
    assert turn.seen() == []
    turn.declares(turn.others, "a")
    turn.declares(turn.ledger, "b")
    assert turn.seen() == ["a", "b"]


def test_what_is_asked_anew_is_seen_as_it_is(turn: Turn) -> None:
    assert turn.seen() == []
    turn.declares(turn.others, "a")
    assert [name for name, _ in anew(turn).scan(DECLARATIONS)] == ["a"]  # type: ignore[arg-type]  # of ports it takes the ledger alone
    assert turn.seen() == ["a"]
    # a ledger that is not of a turn is always as it is
    assert [name for name, _ in anew(Turn(turn.others, turn.others, turn.blobs)).scan(DECLARATIONS)] == ["a"]  # type: ignore[arg-type]
