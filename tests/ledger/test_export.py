"""The record as plain files: what is written is what the tree says, and what is loaded is what was written."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flyball.clock import Instant, VirtualClock
from flyball.data.fold import FOLDS as DATA
from flyball.errors import Corrupt
from flyball.governance.fold import FOLDS as GOVERNANCE
from flyball.ledger import checkpoints
from flyball.ledger.export import CHECKPOINTS, EVENTS, PERSONAL, export, load
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.note import Signer
from flyball.records.base import Event, Record, State
from flyball.records.data import SubjectErased
from flyball.records.proofs import KeyAdded
from flyball.store.sql import Database

START = 1_700_000_000_000_000
SIGNER = Signer("flyball/0123456789abcdef", bytes(range(32)))


class Give(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str
    events: tuple[Event, ...]


def decide(_state: State, command: Give, _now: Instant) -> Sequence[Event]:
    return command.events


def open_ledger(folder: Path) -> SqlLedger:
    return SqlLedger(Database.open(folder / "ledger.db"), {**GOVERNANCE, **DATA}, VirtualClock(START))


def erased(number: int) -> SubjectErased:
    return SubjectErased(subject=f"who{number}", data=("payments",), rows=1, predictions=0, waiting=0, texts=0, reason=f"request {number}")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    made = open_ledger(tmp_path / "one")
    events = (KeyAdded(vkey=SIGNER.vkey), *(erased(number) for number in range(3)))
    for number, event in enumerate(events):
        made.execute(Give(id=f"c{number}", actor="user:ana", events=(event,)), decide)
    checkpoints.sign(made, SIGNER)
    yield made
    made.database.close()


@pytest.mark.parametrize(
    ("change", "what", "file"),
    [
        ("UPDATE event SET body = CAST(replace(body, 'who1', 'who7') AS BLOB)", "the record is not what its tree says", EVENTS),
        ("UPDATE event SET body = replace(CAST(body AS TEXT), 'who1', 'who7')", "the record is not what its tree says", EVENTS),
        ("UPDATE event SET body = 5 WHERE seq = 2", "the record is not what its tree says", EVENTS),
        ("DELETE FROM event WHERE seq = 3", "the record is not what its tree says", EVENTS),
        ("UPDATE checkpoint SET note = CAST(note AS TEXT)", "the checkpoint of 4 events is none", CHECKPOINTS),
        ("UPDATE checkpoint SET size = 3", "the checkpoint of 3 events is none", CHECKPOINTS),
        ("UPDATE personal SET body = CAST(body AS TEXT)", "is not what was written", PERSONAL),
        ("UPDATE personal SET body = x'ff'", "is not what was written", PERSONAL),
        ("UPDATE personal SET body = CAST(replace(body, 'request', 'reqqest') AS BLOB)", "is not what was written", PERSONAL),
    ],
)
def test_a_record_that_was_changed_in_the_database_is_not_written(
    ledger: SqlLedger, tmp_path: Path, change: str, what: str, file: str
) -> None:
    database = sqlite3.connect(tmp_path / "one" / "ledger.db")
    with database:
        database.execute(change)
    database.close()
    with pytest.raises(Corrupt, match=what) as caught:
        export(ledger, tmp_path / "out", personal=True)
    assert "flyball audit verify names what was changed" in str(caught.value)
    assert not (tmp_path / "out" / file).exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "place"),
    [
        (EVENTS, b'"who1"', b'"who1', "line 3"),
        (EVENTS, b'"who1"', b'"' + b"w" * 20_000 + b'"', "line 3"),
        (EVENTS, b"subject.erased", b"subject.elated", "line 2"),
        (CHECKPOINTS, b"\n4\n", b"\nfour\n", "note 1"),
        (PERSONAL, b'"key"', b'"kex"', "line 1"),
    ],
)
def test_a_damaged_file_is_named_with_the_line_and_nothing_of_it_is_loaded(
    ledger: SqlLedger, tmp_path: Path, file: str, old: bytes, new: bytes, place: str
) -> None:
    written = export(ledger, tmp_path / "out", personal=True)
    path = tmp_path / "out" / file
    whole = path.read_bytes()
    path.write_bytes(whole.replace(old, new, 1))
    other = open_ledger(tmp_path / "two")
    with pytest.raises(Corrupt) as caught:
        load(other, tmp_path / "out", written)
    assert f"{path}, {place} is not what was written" in str(caught.value)
    assert "use another backup" in str(caught.value)
    assert "audit verify" not in str(caught.value), "there is nothing to verify in an empty record"
    path.write_bytes(whole)
    assert load(other, tmp_path / "out", written) == 4
    other.database.close()
