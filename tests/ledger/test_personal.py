"""What events say of persons lies beside the record, salted and hashed in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flyball.clock import Instant, VirtualClock
from flyball.data.fold import FOLDS as DATA
from flyball.errors import Corrupt
from flyball.ledger.ledger import SqlLedger, inclusion
from flyball.ledger.personal import PersonalText, digest, hashes, hidden, misplaced, read
from flyball.ledger.verify import verify
from flyball.records.base import Event, Personal, Record, State
from flyball.records.data import SubjectErased
from flyball.store.sql import Database


class Named(Record, frozen=True):
    who: Personal
    age: int = 0


class Told(Event, frozen=True, tag="test.told"):
    who: Personal
    others: tuple[Personal, ...] = ()
    nested: Named | None = None
    notes: dict[str, Personal] = {}
    plain: str = ""


def salts() -> Callable[[int], bytes]:
    count = 0

    def next_one(size: int) -> bytes:
        nonlocal count
        count += 1
        return count.to_bytes(size, "big")

    return next_one


def erased(reason: str, name: str = "loans") -> SubjectErased:
    return SubjectErased(subject="k", data=(name,), rows=1, predictions=0, waiting=0, texts=0, reason=reason)


@pytest.fixture
def ledger(kit: ModuleType, tmp_path: Path) -> SqlLedger:
    return SqlLedger(Database.open(f"sqlite:///{tmp_path}/ledger.db"), {**kit.FOLDS, **DATA}, VirtualClock(kit.START))


def record(kit: ModuleType, ledger: SqlLedger, name: str, *events: Event) -> None:
    def decide(_state: State, _command: Any, _now: Instant) -> Sequence[Event]:
        return events

    ledger.execute(kit.Give(id=name), decide)


def change(ledger: SqlLedger, sql: str, *values: object) -> None:
    with ledger.database.writing() as connection:
        connection.execute(sql, values)


def test_every_personal_text_becomes_a_salted_hash_however_deep_it_lies() -> None:
    event = Told(who="ana", others=("bo", ""), nested=Named(who="cy", age=3), notes={"a": "dee"}, plain="ana")
    known, kept = hidden(event, salts())
    assert [read(kept[each]).text for each in hashes(known)] == ["ana", "bo", "cy", "dee"]
    assert (known.others[1], known.plain, known.nested.age) == ("", "ana", 3)
    assert all(digest(bytes.fromhex(read(body).salt), read(body).text) == key for key, body in kept.items())


def test_one_text_twice_in_an_event_is_one_row_and_in_two_events_two() -> None:
    once, kept = hidden(Told(who="ana", others=("ana",)), source := salts())
    again, _ = hidden(Told(who="ana"), source)
    assert len(kept) == 1
    assert once.who == once.others[0] != again.who


def test_an_event_without_personal_fields_takes_no_chance() -> None:
    event = Named(who="")
    assert hidden(Told(who=""), lambda _: pytest.fail("chance")) == (Told(who=""), {})
    assert event.who == ""


def test_the_event_and_its_fold_hold_the_hash_and_the_text_is_found_by_it(kit: ModuleType, ledger: SqlLedger) -> None:
    record(kit, ledger, "c1", erased("a letter of ana"))
    [recorded] = ledger.read(0, 10)
    assert isinstance(recorded.event, SubjectErased)
    assert len(recorded.event.reason) == 64
    assert ledger.personal(recorded.event.reason) == "a letter of ana"
    assert ledger.personal_of("a letter of ana") == [recorded.event.reason]
    assert ledger.personal("0" * 64) is None


def proof_of_the_first(ledger: SqlLedger) -> tuple[bytes, tuple[bytes, ...]]:
    with ledger.database.reading() as connection:
        return inclusion(connection, ledger.database, 1, ledger.size())


def test_erasing_a_text_changes_no_proof_and_no_projection(kit: ModuleType, ledger: SqlLedger) -> None:
    record(kit, ledger, "c1", erased("ana"), erased("bo", "cards"))
    before = ledger.head()
    before_erasing = proof_of_the_first(ledger)
    ledger.erase_personal(ledger.personal_of("ana"))
    ledger.erase_personal(ledger.personal_of("nobody"))
    assert ledger.head() == before
    assert proof_of_the_first(ledger) == before_erasing
    assert [ledger.personal(recorded.event.reason) for recorded in ledger.read(0, 9)] == [None, "bo"]  # type: ignore[attr-defined]
    assert verify(ledger, None).verified
    ledger.rebuild()
    assert verify(ledger, None).verified


def test_a_refused_command_leaves_no_text(kit: ModuleType, ledger: SqlLedger) -> None:
    with pytest.raises(KeyError):
        record(kit, ledger, "c1", erased("ana"), kit.RunFailed(run="r", why="a fold with a mistake in it"))
    assert ledger.personal_of("ana") == []


def test_a_changed_text_and_one_that_no_event_refers_to_are_named(kit: ModuleType, ledger: SqlLedger) -> None:
    record(kit, ledger, "c1", erased("ana"))
    [key] = ledger.personal_of("ana")
    body = b'{"salt":"' + b"00" * 16 + b'","text":"eve"}'
    change(ledger, "UPDATE personal SET body = ? WHERE key = ?", body, key)
    assert [(problem.where, problem.what) for problem in verify(ledger, None).problems] == [
        (f"personal {key}", "a personal text was changed: it does not hash to its name")
    ]
    change(ledger, "DELETE FROM personal")
    assert verify(ledger, None).verified
    right = digest(bytes(16), "eve")
    change(ledger, "INSERT INTO personal VALUES (?, ?)", right, body)
    assert [problem.what for problem in verify(ledger, None).problems] == ["a personal text that no event refers to"]


def test_a_text_that_somebody_changed_stops_nobody_elses_erasure(kit: ModuleType, ledger: SqlLedger) -> None:
    record(kit, ledger, "c1", erased("ana"), erased("bo"))
    [key] = ledger.personal_of("ana")
    change(ledger, "UPDATE personal SET body = ? WHERE key = ?", b"{}", key)
    ledger.erase_personal(ledger.personal_of("bo"))
    assert (ledger.personal_of("ana"), ledger.personal_of("bo")) == ([], [])
    with pytest.raises(Corrupt, match="was changed"):
        ledger.personal(key)


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"{}", b'{"salt":"zz","text":"a"}', b'{"salt":"00","text":"\\ud800"}', b'{"salt":1,"text":"a"}']
)
def test_whatever_lies_in_the_table_is_told_and_raises_nothing(body: bytes) -> None:
    assert [found.digest for found in misplaced([("k", body)], {"k"})] == ["k"]


def test_a_text_in_another_form_is_another_text() -> None:
    text = PersonalText(salt="00" * 16, text="ana")
    spaced = b'{ "salt":"' + b"00" * 16 + b'","text":"ana"}'
    assert list(misplaced([(digest(bytes(16), text.text), spaced)], {digest(bytes(16), "ana")})) != []


def test_salts_are_passed_in_so_that_a_rehearsal_repeats_itself(kit: ModuleType, tmp_path: Path) -> None:
    heads = []
    for name in ("a", "b"):
        database = Database.open(f"sqlite:///{tmp_path}/{name}.db")
        one = SqlLedger(database, {**kit.FOLDS, **DATA}, VirtualClock(kit.START), salts=bytes)
        record(kit, one, "c1", erased("ana"))
        heads.append(one.head())
    assert heads[0] == heads[1]


def test_an_erased_text_is_gone_from_the_files_of_the_database(kit: ModuleType, ledger: SqlLedger, tmp_path: Path) -> None:
    for number in range(50):
        record(kit, ledger, f"c{number}", erased(f"a letter of Quillfeather, page {number}"))
    files = [tmp_path / "ledger.db", tmp_path / "ledger.db-wal"]
    assert any(b"Quillfeather" in file.read_bytes() for file in files)
    ledger.erase_personal([key for number in range(50) for key in ledger.personal_of(f"a letter of Quillfeather, page {number}")])
    assert not any(b"Quillfeather" in file.read_bytes() for file in files)
    assert verify(ledger, None).verified
