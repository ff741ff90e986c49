"""Random streams of commands over every kind of event and its real fold: the record alone says what state is, on every database."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.clock import VirtualClock
from flyball.ledger.folds import fold
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.projection import MemoryProjection
from flyball.ledger.verify import verify
from flyball.loop.folds import FOLDS
from flyball.records import vocabulary
from flyball.records.base import Event, Receipt, Refusal
from flyball.store.sql import Database

from .conftest import load_kit
from .event_strategies import events

FAMILIES = [module.EVENTS for module in vocabulary._MODULES if module.EVENTS]
WRITTEN = ("event", "head", "personal", *(f"p_{table.name}" for table in vocabulary.PROJECTIONS))


def streams(family: Sequence[type[Event]]) -> st.SearchStrategy[list[tuple[str, list[Event] | None]]]:
    """Commands by their ids, which come again now and then: events mostly of one family, so that they meet each other's rows; None refuses."""
    own, any_event = st.sampled_from(family).flatmap(events), st.sampled_from(FAMILIES).flatmap(st.sampled_from).flatmap(events)
    one = own.map(lambda event: [event])
    what = st.one_of(one, one, one, st.lists(own, min_size=2, max_size=3), any_event.map(lambda event: [event]), st.none())
    return st.lists(st.tuples(st.sampled_from([f"c{number}" for number in range(30)]), what), min_size=10, max_size=20)


def carry_out(ledger: SqlLedger, kit: ModuleType, name: str, given: Sequence[Event] | None) -> Receipt | type[Exception]:
    """The receipt of a command, or the kind of its error."""
    try:
        return ledger.execute(kit.Give(id=name), lambda *_: Refusal(code="refused", what="no") if given is None else given)
    except Exception as error:  # noqa: BLE001 - a fold may refuse, in whatever way, an event that no decision of its stage would have made
        return type(error)


def contents(ledger: SqlLedger) -> dict[str, list[tuple[str, bytes]]]:
    with ledger.database.reading() as connection:
        sql = ledger.database.sql
        return {name: connection.execute(rows.everything).fetchall() for name, rows in [*sql.rows.items(), ("personal", sql.personal)]}


def record(ledger: SqlLedger) -> tuple[object, ...]:
    with ledger.database.reading() as connection:
        return connection.execute(ledger.database.sql.all_events).fetchall(), ledger.head()


@pytest.fixture(scope="module")
def server(postgres) -> Iterator[Database]:
    with closing(Database.open(postgres.database(), durable=False)) as database:
        yield database


def emptied(database: Database) -> Database:
    with database.writing() as connection:
        for name in WRITTEN:
            connection.execute(f"DELETE FROM {name}")
        connection.execute(database.sql.new_head, (b"",))
    return database


@settings(max_examples=20, deadline=None)
@given(stream=st.sampled_from(FAMILIES).flatmap(streams))
def test_a_replay_makes_the_same_rows_and_both_databases_hold_the_same_bytes(server: Database, stream) -> None:
    kit = load_kit()
    with tempfile.TemporaryDirectory() as folder, closing(Database.open(Path(folder) / "ledger.db", durable=False)) as file:
        # chance is the same for both, or else the hashes of personal texts were not
        ledgers = [SqlLedger(each, FOLDS, VirtualClock(kit.START), salts=bytes) for each in (file, emptied(server))]
        for name, given_events in stream:
            one, other = (carry_out(ledger, kit, name, given_events) for ledger in ledgers)
            assert one == other
        assert record(ledgers[0]) == record(ledgers[1])
        assert contents(ledgers[0]) == contents(ledgers[1])
        for ledger in ledgers:
            live = contents(ledger)
            assert verify(ledger, None).problems == ()
            assert ledger.rebuild() == ledger.size()
            assert contents(ledger) == live
        memory = MemoryProjection()
        for recorded in ledgers[0].read(0, 1000):
            fold(FOLDS, memory, recorded)
        with ledgers[1].state() as state:
            assert all(list(memory.rows(table.name)) == state.scan(table) for table in vocabulary.PROJECTIONS)
