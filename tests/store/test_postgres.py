"""What is PostgreSQL's own: addresses, and what its errors mean to a person."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flyball.clock import VirtualClock
from flyball.errors import BadInput, Conflict, Corrupt, FlyballError, Unavailable, Unusable
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.verify import verify
from flyball.store.blobs import LocalBlobs
from flyball.store.operational import Operational
from flyball.store.postgres import Postgres
from flyball.store.sql import Database


@pytest.fixture
def database(postgres: Any) -> Iterator[Database]:
    with closing(Database.open(postgres.database())) as opened:
        yield opened


def test_a_restarted_server_costs_nobody_more_than_a_new_connection(postgres: Any, database: Database) -> None:
    memory = Operational(database)
    memory.save({"n": b"1"})
    with database.reading() as one, database.reading() as other:
        # two connections that will lie broken in the pool
        one.execute(database.sql.head)
        other.execute(database.sql.head)
    postgres.stop(crash=True)
    postgres.start()
    assert memory.load("n") == b"1"
    memory.save({"n": b"2"})
    assert memory.load("n") == b"2"


def test_a_server_that_is_gone_is_a_reason_to_try_later_and_is_found_again_when_it_is_back(postgres: Any, database: Database) -> None:
    memory = Operational(database)
    memory.save({"n": b"1"})
    postgres.stop()
    try:
        for use in (lambda: memory.load("n"), lambda: memory.save({"n": b"2"}), lambda: Database.open(postgres.url("t0"))):
            with pytest.raises(Unavailable) as caught:
                use()
            assert caught.value.exit_code == 3
            assert "start the server" in caught.value.fix
    finally:
        postgres.start()
    memory.save({"n": b"3"})
    assert memory.load("n") == b"3"


def test_a_connection_cut_in_the_middle_of_a_write_leaves_nothing_half_done(postgres: Any, database: Database) -> None:
    def cut() -> None:
        with database.writing() as connection:
            connection.execute(database.sql.operational_put, ("n", b"half"))
            number = connection.execute("SELECT pg_backend_pid()").fetchone()[0]
            postgres.psql(f"SELECT pg_terminate_backend({number}, 10000)")
            connection.execute(database.sql.operational_put, ("n", b"more"))

    with pytest.raises(Unavailable, match=r"connection to .* was lost") as caught:
        cut()
    assert "carried out once" in caught.value.fix
    assert Operational(database).load("n") is None
    Operational(database).save({"n": b"1"})


def test_whatever_was_added_to_the_schema_that_can_hold_or_change_rows_is_named_by_verify(postgres: Any) -> None:
    url = postgres.database()
    added = {
        "a_view": "CREATE VIEW a_view AS SELECT 1 AS one",
        "a_kept_view": "CREATE MATERIALIZED VIEW a_kept_view AS SELECT 1 AS one",
        "a_table": "CREATE TABLE a_table (one integer)",
        "a_divided_table": "CREATE TABLE a_divided_table (one integer) PARTITION BY RANGE (one)",
        "event (a trigger on event)": "CREATE FUNCTION does() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
        "CREATE TRIGGER event BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION does()",
        "head (a rule on head)": "CREATE RULE head AS ON DELETE TO head DO INSTEAD NOTHING",
        "a_foreign_table": "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; "
        "CREATE FOREIGN TABLE a_foreign_table (one integer) SERVER s",
    }
    with closing(Database.open(url)) as database:
        own = set(database.table_names())
    for statement in added.values():
        postgres.psql(statement, url)
    # what was added is in the way of nobody who opens it
    with closing(Database.open(url)) as again:
        assert set(again.table_names()) - own == set(added)
        blobs = LocalBlobs(Path("nothing is kept there"))
        named = {problem.where for problem in verify(SqlLedger(again, {}, VirtualClock(1)), blobs).problems}
    assert named == {f"table {name}" for name in added}


@pytest.mark.parametrize("read", ["get", "scan", "last", "next"])
def test_a_snapshot_whose_server_goes_says_so(postgres: Any, database: Database, read: str) -> None:
    from flyball.records.training import RUNS

    more = {"get": ("r",), "scan": (), "last": ("", "", 1), "next": ("", "", 1)}[read]
    ledger = SqlLedger(database, {}, VirtualClock(1))
    with ledger.state() as state:
        postgres.psql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'flyball'")
        with pytest.raises(Unavailable, match="lost"):
            getattr(state, read)(RUNS, *more)
    assert ledger.state().scan(RUNS) == []
    assert verify(ledger, None).verified


@pytest.mark.parametrize(
    ("part", "code", "what", "fix"),
    [
        ("dbname=nosuch", 1, "is not there", "createdb"),
        ("user=nosuch", 1, "lets nobody in", "PGPASSWORD"),
        ("host=/nowhere", 3, "cannot be reached", "start the server"),
        ("host=nosuch.invalid", 3, "cannot be reached", "mend the address"),
    ],
)
def test_what_does_not_answer_is_named_with_a_way_out(postgres: Any, part: str, code: int, what: str, fix: str) -> None:
    with pytest.raises(Unavailable) as caught:
        Database.open(f"{postgres.url('postgres')}&{part}")
    assert caught.value.exit_code == code
    assert what in caught.value.what
    assert fix in caught.value.fix
    assert "\n" not in caught.value.why


def test_a_right_that_is_taken_away_and_given_back_costs_a_process_nothing(postgres: Any) -> None:
    url = postgres.database()
    name = url.partition("@/")[2].partition("?")[0]
    postgres.psql("DROP ROLE IF EXISTS ben")
    postgres.psql("CREATE ROLE ben LOGIN")
    postgres.psql(f"ALTER DATABASE {name} OWNER TO ben")
    with closing(Database.open(url.replace("postgres@", "ben@"))) as database:
        memory = Operational(database)
        memory.save({"n": b"1"})
        postgres.psql("ALTER TABLE operational OWNER TO postgres", url)
        for use in (lambda: memory.load("n"), lambda: memory.save({"n": b"2"})):
            with pytest.raises(Unusable, match="cannot be used by this user"):
                use()
        postgres.psql("ALTER TABLE operational OWNER TO ben", url)
        memory.save({"n": b"3"})
        assert memory.load("n") == b"3"
    postgres.psql(f"ALTER DATABASE {name} OWNER TO postgres")
    postgres.psql(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    with pytest.raises(Unusable, match="cannot be used by this user"):
        Database.open(url.replace("postgres@", "ben@"))


def test_a_wrong_password_is_not_repeated(postgres: Any) -> None:
    url = postgres.database()
    postgres.psql("DROP ROLE IF EXISTS ana")
    postgres.psql("CREATE ROLE ana LOGIN PASSWORD 'right'")
    rules = postgres.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all ana scram-sha-256\n" + before)
    postgres.psql("SELECT pg_reload_conf()")
    try:
        with pytest.raises(Unusable, match="lets nobody in") as caught:
            Database.open(url.replace("postgres@", "ana:hunter2@"))
        assert "hunter2" not in str(caught.value)
        # and who may come in, but may make nothing
        with pytest.raises(Unusable, match="cannot be used by this user") as caught:
            Database.open(url.replace("postgres@", "ana:right@"))
        assert "grant" in caught.value.fix
    finally:
        rules.write_text(before)
        postgres.psql("SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    "url", ["postgresql://ana:hun/ter2@host/db", "postgresql://ana:hun%ter2@host/db", "postgres://ana:ter2@host/db?no=1"]
)
def test_an_address_that_cannot_be_read_is_not_repeated(url: str) -> None:
    with pytest.raises(FlyballError) as caught:
        Database.open(url)
    assert "ter2" not in str(caught.value)
    assert "%2F" in caught.value.fix


def test_a_database_in_another_encoding_is_refused(postgres: Any) -> None:
    with pytest.raises(BadInput, match="cannot be kept") as caught:
        Database.open(postgres.database("ENCODING 'SQL_ASCII' LOCALE 'C'"))
    assert "encoding 'UTF8'" in caught.value.fix


def test_a_server_that_takes_no_writes_is_still_read(postgres: Any) -> None:
    url = postgres.database()
    with closing(Database.open(url)) as writer:
        Operational(writer).save({"n": b"1"})
    postgres.psql(f"ALTER DATABASE {url.partition('@/')[2].partition('?')[0]} SET default_transaction_read_only = on")
    with closing(Database.open(url)) as reader:
        assert Operational(reader).load("n") == b"1"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (psycopg.errors.DiskFull("could not extend file"), Unavailable, "no room"),
        (psycopg.errors.TooManyConnections("too many clients"), Unavailable, "no more connections"),
        (psycopg.OperationalError("connection failed: FATAL:  sorry, too many clients already"), Unavailable, "no more connections"),
        (psycopg.OperationalError("connection failed: FATAL:  the database system is starting up"), Unavailable, "cannot be reached"),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT"), Unavailable, "cannot be written"),
        (psycopg.errors.InsufficientPrivilege("permission denied for table event"), Unusable, "cannot be used by this user"),
        (
            psycopg.OperationalError('connection failed: FATAL:  permission denied for database "db"'),
            Unusable,
            "cannot be used by this user",
        ),
        (psycopg.OperationalError('connection failed: FATAL:  too many connections for role "ana"'), Unavailable, "no more connections"),
        (psycopg.OperationalError('connection failed: FATAL:  too many connections for database "db"'), Unavailable, "no more connections"),
        (psycopg.errors.UniqueViolation("duplicate key"), Corrupt, "contradicts itself"),
        (psycopg.errors.UndefinedColumn("no column"), Corrupt, "does not hold flyball's tables"),
        (psycopg.errors.DataCorrupted("invalid page"), Corrupt, "is damaged"),
        (psycopg.errors.AdminShutdown("terminating connection"), Unavailable, "was lost"),
        (psycopg.errors.DeadlockDetected("deadlock"), Unavailable, "is busy"),
        (psycopg.InternalError("who knows"), Unavailable, "failed"),
    ],
)
def test_errors_are_told_by_what_to_do_about_them(error: psycopg.Error, kind: type[FlyballError], words: str) -> None:
    told = Postgres("postgresql://ana:hunter2@host:5433/db").explain(error)
    assert type(told) is kind
    assert words in told.what
    assert told.why
    assert told.fix
    assert "postgresql://ana@host:5433/db" in told.what
    assert "hunter2" not in str(told)


def test_sqlite_needs_no_driver_and_a_missing_one_is_named(tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["psycopg"] = None
from flyball.errors import BadInput
from flyball.store.sql import Database
Database.open({f"sqlite:///{tmp_path}/ledger.db"!r}).close()
try:
    Database.open("postgresql://ana:hunter2@host/db")
except BadInput as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "pip install 'flyball[postgres]'" in ran.stdout
    assert "hunter2" not in ran.stdout


def test_another_version_of_the_tables_is_told_with_the_name_of_the_database(postgres: Any) -> None:
    url = postgres.database()
    Database.open(url).close()
    postgres.psql("UPDATE meta SET value = '99' WHERE key = 'schema'", url)
    with pytest.raises(Conflict, match=r"postgresql://postgres@.* has tables of version 99"):
        Database.open(url)
