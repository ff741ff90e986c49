"""What every database must do for flyball."""

import subprocess
import sys
import threading
from itertools import islice
from typing import Any

import pytest

from flyball.errors import BadInput, Conflict, Unavailable
from flyball.store import sqlite, tables
from flyball.store.operational import Operational
from flyball.store.sql import Connection, Database, exists

from .conftest import Place

# as many rows as anybody asks for: reading all of them first would never end
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"


def test_a_new_database_gets_every_table_and_nothing_before_it_is_opened(place: Place) -> None:
    assert not exists(place.url)
    assert not exists(place.url), "looking makes nothing"
    assert set(place.database().table_names()) == set(tables.metadata.tables)
    assert exists(place.url)


def test_opening_again_keeps_what_is_there(place: Place) -> None:
    Operational(place.database()).save({"cursor": b"17"})
    assert Operational(place.database()).load("cursor") == b"17"


def test_a_table_that_a_newer_flyball_needs_is_added(place: Place) -> None:
    place.database().close()
    place.alter("DROP TABLE p_model")
    assert "p_model" in place.database().table_names()


def test_tables_of_another_version_are_left_alone(place: Place) -> None:
    place.database().close()
    place.alter("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(Conflict, match="version 99") as caught:
        place.database()
    assert "newer one" in caught.value.fix


def test_a_database_of_somebody_else_is_left_alone(place: Place) -> None:
    place.alter("CREATE TABLE event (id INTEGER, name TEXT)")
    with pytest.raises(Conflict, match='table "event" that flyball did not make'):
        place.database()
    place.alter("INSERT INTO event VALUES (1, 'theirs')")


@pytest.mark.process
def test_several_may_open_a_new_database_at_once(place: Place) -> None:
    program = f"from flyball.store.sql import Database; print(len(Database.open({place.url!r}).table_names()))"
    opening = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for each in opening:
        said, complaints = each.communicate(timeout=60)
        assert said.strip() == str(len(tables.metadata.tables)), complaints


def test_operational_bytes_are_written_together_and_removed_with_none(place: Place) -> None:
    memory = Operational(place.database())
    memory.save({"a": b"1", "b": b"2", "binary": bytes(range(256))})
    memory.save({"a": None, "b": b"3", "never": None})
    assert memory.load("a") is None
    assert memory.load("b") == b"3"
    assert memory.load("binary") == bytes(range(256))
    assert memory.load("other") is None


def test_a_failed_transaction_leaves_nothing(place: Place) -> None:
    opened = place.database()

    def half() -> None:
        with opened.writing() as connection:
            connection.execute(opened.sql.operational_put, ("half", b"1"))
            raise RuntimeError("power")

    with pytest.raises(RuntimeError):
        half()
    assert Operational(opened).load("half") is None
    Operational(opened).save({"half": b"2"})
    assert Operational(opened).load("half") == b"2"


def test_a_statement_that_failed_takes_its_transaction_with_it(place: Place) -> None:
    opened = place.database()
    add = opened.sql.rows["model"].add

    def twice(connection: Connection) -> None:
        connection.execute(add, ("k", b"{}"))
        try:
            connection.execute(add, ("k", b"{}"))
        except opened.backend.errors as error:
            raise KeyError("somebody's own trouble") from error

    with pytest.raises(KeyError), opened.writing() as connection:
        twice(connection)
    with opened.reading() as connection:
        assert connection.execute(opened.sql.rows["model"].get, ("k",)).fetchone() is None
    Operational(opened).save({"next": b"1"})


def test_a_reader_sees_one_moment_while_others_write(place: Place) -> None:
    opened = place.database()
    memory = Operational(opened)
    memory.save({"x": b"before"})
    with opened.reading() as connection:
        first = connection.execute(opened.sql.operational_get, ("x",)).fetchone()
        memory.save({"x": b"after"})
        assert connection.execute(opened.sql.operational_get, ("x",)).fetchone() == first
    assert memory.load("x") == b"after"


def test_a_write_goes_on_after_a_read(place: Place) -> None:
    opened = place.database()
    with opened.reading() as connection:
        connection.execute(opened.sql.head).fetchone()
    with opened.writing() as connection:
        connection.execute(opened.sql.operational_put, ("x", b"1"))
    assert Operational(opened).load("x") == b"1"


def test_writers_of_threads_and_of_other_handles_go_one_after_the_other(place: Place) -> None:
    shared, own = place.database(), place.database()

    def count(opened: Database) -> None:
        for _ in range(15):
            with opened.writing() as connection:
                row = connection.execute(opened.sql.operational_get, ("n",)).fetchone()
                connection.execute(opened.sql.operational_put, ("n", str(int(row[0] if row else 0) + 1).encode()))

    threads = [threading.Thread(target=count, args=(each,)) for each in (shared, shared, own)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Operational(shared).load("n") == b"45"


def test_a_writer_that_hangs_makes_others_give_up_with_a_reason(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from flyball.store import postgres

    monkeypatch.setattr(sqlite, "BUSY_S", 0.05)
    monkeypatch.setattr(postgres, "BUSY_S", 0.05)
    first, second = place.database(), place.database()
    with first.writing(), pytest.raises(Unavailable, match="is busy"):
        Operational(second).save({"x": b"1"})
    Operational(second).save({"x": b"1"})


def test_a_stream_gives_rows_before_it_has_them_all(place: Place) -> None:
    opened = place.database()
    with opened.reading() as connection:
        rows = connection.stream(ENDLESS)
        assert [row[0] for row in islice(rows, 2500)] == list(range(1, 2501))
        # another one beside it, and the first one goes on
        assert next(iter(connection.stream(opened.sql.all_events, ())), None) is None
        assert next(rows) == (2501,)
    assert set(opened.table_names()) == set(tables.metadata.tables), "what was left unread is in nobody's way"


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001])
def test_a_stream_ends_where_its_rows_do(place: Place, count: int) -> None:
    opened = place.database()
    with opened.writing() as connection:
        connection.executemany(opened.sql.append, [(seq, "c", b"x", b"y") for seq in range(count)])
    with opened.reading() as connection:
        assert list(connection.stream(opened.sql.all_events, ())) == [(seq, "c", b"x", b"y") for seq in range(count)]


@pytest.mark.parametrize("key", ["a\0b", "\0"])
def test_a_text_that_no_database_can_hold_is_refused_on_each(place: Place, kit: Any, key: str) -> None:
    ledger = place.ledger()
    with pytest.raises(BadInput):
        kit.give(ledger, key, kit.queued("r1"))
    with pytest.raises(BadInput):
        kit.give(ledger, "c1", kit.queued(key))
    assert ledger.size() == 0
    kit.give(ledger, "c1", kit.queued("r1"))
