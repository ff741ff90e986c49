"""What is SQLite's own, and the lists of tables."""

from contextlib import closing
from pathlib import Path

import pytest

from flyball.errors import BadInput, Corrupt, Unavailable
from flyball.store import tables
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


def test_statements_are_compiled_once_for_all_databases_of_a_kind(tmp_path: Path) -> None:
    one, two = database(tmp_path / "one"), database(tmp_path / "two")
    assert one.sql is two.sql
    assert two.table_names() == one.table_names()


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "what? 100% #1"
    Operational(Database.open(folder / "ledger.db")).save({"cursor": b"17"})
    assert (folder / "ledger.db").is_file()


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "ledger.db", "nosuch:///x"])
def test_an_address_that_cannot_be_used_is_refused_with_the_form_to_write(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        Database.open(url)
    assert "sqlite:///" in caught.value.fix


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(BadInput) as caught:
        Database.open("mysql://ana:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


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
    opened._held.execute("PRAGMA query_only = ON")
    with pytest.raises(Unavailable) as caught:
        Operational(opened).save({"x": b"1"})
    assert "write access" in caught.value.fix


def test_a_relative_path_is_relative_to_the_given_folder(tmp_path: Path) -> None:
    Database.open("sqlite:///deep/ledger.db", base=tmp_path).close()
    assert (tmp_path / "deep" / "ledger.db").is_file()


def test_a_view_or_a_trigger_is_named_also_where_it_bears_the_name_of_a_table(tmp_path: Path) -> None:
    with closing(Database.open(tmp_path / "ledger.db")) as opened:
        with opened.writing() as connection:
            connection.execute("CREATE VIEW a_view AS SELECT 1")
            connection.execute("CREATE TRIGGER event BEFORE INSERT ON event BEGIN SELECT 1; END")
        assert set(opened.table_names()) - set(tables.metadata.tables) == {"a_view", "event (a trigger on event)"}


@pytest.mark.parametrize("transaction", ["reading", "writing"])
def test_what_the_system_refuses_inside_a_transaction_is_not_blamed_on_the_database(tmp_path: Path, transaction: str) -> None:
    opened = Database.open(tmp_path / "ledger.db")
    with pytest.raises(FileNotFoundError, match="events"), getattr(opened, transaction)():
        (tmp_path / "events").read_bytes()
    with opened.writing() as connection:
        assert connection.execute(opened.sql.head).fetchone() is not None
    opened.close()
