import sqlite3
import threading
from pathlib import Path

import pytest

from flyball.errors import BadInput, Conflict, Corrupt, Unavailable
from flyball.store import sqlite, tables
from flyball.store.operational import Operational
from flyball.store.sql import Database


def database(folder: Path) -> Database:
    return Database.open(f"sqlite:///{folder}/ledger.db")


def test_every_table_is_in_exactly_one_list() -> None:
    listed = [*tables.LEDGER, *tables.PROJECTIONS.values(), *tables.ERASABLE, *tables.OPERATIONAL]
    assert len(listed) == len(set(listed))
    assert {table.name for table in listed} == set(tables.metadata.tables)


def test_a_new_file_gets_its_folder_and_every_table(tmp_path: Path) -> None:
    opened = database(tmp_path / "deep" / "er")
    assert set(opened.table_names()) == set(tables.metadata.tables)


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "what? 100% #1"
    Operational(Database.open(folder / "ledger.db")).save({"cursor": b"17"})
    assert (folder / "ledger.db").is_file()


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    Operational(database(tmp_path)).save({"cursor": b"17"})
    assert Operational(database(tmp_path)).load("cursor") == b"17"


def test_a_table_that_a_newer_flyball_needs_is_added(tmp_path: Path) -> None:
    database(tmp_path).close()
    plain = sqlite3.connect(tmp_path / "ledger.db")
    plain.execute("DROP TABLE p_model")
    plain.close()
    assert "p_model" in database(tmp_path).table_names()


def test_operational_bytes_are_written_together_and_removed_with_none(tmp_path: Path) -> None:
    memory = Operational(database(tmp_path))
    memory.save({"a": b"1", "b": b"2"})
    memory.save({"a": None, "b": b"3", "never": None})
    assert memory.load("a") is None
    assert memory.load("b") == b"3"
    assert memory.load("other") is None


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    opened = database(tmp_path)

    def half() -> None:
        with opened.writing() as connection:
            connection.execute(opened.sql.operational_put, ("half", b"1"))
            raise RuntimeError("power")

    with pytest.raises(RuntimeError):
        half()
    assert Operational(opened).load("half") is None
    Operational(opened).save({"half": b"2"})
    assert Operational(opened).load("half") == b"2"


def test_a_reader_sees_one_moment_while_others_write(tmp_path: Path) -> None:
    opened = database(tmp_path)
    memory = Operational(opened)
    memory.save({"x": b"before"})
    with opened.reading() as connection:
        first = connection.execute(opened.sql.operational_get, ("x",)).fetchone()
        memory.save({"x": b"after"})
        assert connection.execute(opened.sql.operational_get, ("x",)).fetchone() == first
    assert memory.load("x") == b"after"


def test_threads_of_one_process_write_one_after_the_other(tmp_path: Path) -> None:
    opened = database(tmp_path)

    def count() -> None:
        for _ in range(20):
            with opened.writing() as connection:
                row = connection.execute(opened.sql.operational_get, ("n",)).fetchone()
                connection.execute(opened.sql.operational_put, ("n", str(int(row[0] if row else 0) + 1).encode()))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Operational(opened).load("n") == b"80"


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "ledger.db", "nosuch:///x"])
def test_an_address_that_cannot_be_used_is_refused_with_the_form_to_write(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        Database.open(url)
    assert "sqlite:///" in caught.value.fix


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(BadInput) as caught:
        Database.open("mysql://ana:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_tables_of_another_version_are_left_alone(tmp_path: Path) -> None:
    database(tmp_path).close()
    plain = sqlite3.connect(tmp_path / "ledger.db")
    plain.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    plain.commit()
    plain.close()
    with pytest.raises(Conflict, match="version 99"):
        database(tmp_path)


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"these are not the tables you are looking for" * 100)
    with pytest.raises(Corrupt, match="not a database"):
        database(tmp_path)


def test_a_full_disk_says_so_and_changes_nothing(tmp_path: Path) -> None:
    opened = database(tmp_path)
    with opened.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable) as caught:
        Operational(opened).save({"big": b"x" * 1_000_000})
    assert caught.value.why == "the disk is full"
    assert "nothing was changed" in caught.value.fix
    assert Operational(opened).load("big") is None


def test_a_file_that_may_not_be_written_says_what_right_is_missing(tmp_path: Path) -> None:
    opened = database(tmp_path)
    with opened.writing() as connection:
        connection.execute(opened.sql.operational_put, ("warm", b"1"))
    # a pragma rather than file rights: rights do not bind root, under whom tests may run
    opened._held.driver_connection.execute("PRAGMA query_only = ON")
    with pytest.raises(Unavailable) as caught:
        Operational(opened).save({"x": b"1"})
    assert "write access" in caught.value.fix


def test_a_writer_that_hangs_makes_others_give_up_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.05)
    first, second = database(tmp_path), database(tmp_path)
    with first.writing(), pytest.raises(Unavailable, match="is busy"):
        Operational(second).save({"x": b"1"})
    Operational(second).save({"x": b"1"})
