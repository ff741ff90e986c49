"""Queries at real databases: typed, streamed, and refused in words that never hold a password."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap

import pytest

from flyball.data import source
from flyball.data.refresh import refresh
from flyball.data.sources import database
from flyball.data.sources.access import access
from flyball.declare.columns import Column
from flyball.declare.data import Dataset, secret, sql
from flyball.errors import BadInput
from flyball.records.data import DataRefused

COLUMNS = {"n": int, "x": Column(float, nulls="50%"), "ok": bool, "who": Column(str, nulls="50%")}
QUERY = "select n, x, ok, who, at from t order by n"
MADE = "create table t (n integer, x double precision, ok boolean, who text, at timestamp)"
FILLED = "insert into t values (1, 0.5, true, 'ä', '2026-01-01 00:00:00'), (2, null, false, null, '2026-01-01 01:00:00.250000')"


def data(url, query=QUERY, **more):
    return Dataset("t", source=sql(query, url=url), time="at", columns=COLUMNS, **more)


@pytest.fixture
def lite(root):
    with sqlite3.connect(root / "t.db") as made:
        made.execute(MADE)
        made.execute(FILLED)
    made.close()
    return "sqlite:///t.db"


@pytest.fixture
def pg(postgres):
    url = postgres.database()
    postgres.psql(MADE, url)
    postgres.psql(FILLED, url)
    return url


@pytest.fixture(params=["lite", "pg"])
def url(request):
    return request.getfixturevalue(request.param)


def told(dataset, root):
    with pytest.raises(BadInput) as caught:
        source.read(dataset, root)
    return str(caught.value)


def test_a_query_gives_typed_rows(root, url):
    frame = source.read(data(url), root)
    assert frame.drop("at").rows() == [(1, 0.5, True, "ä"), (2, None, False, None)]
    assert [str(at) for at in frame["at"]] == ["2026-01-01 00:00:00", "2026-01-01 01:00:00.250000"]


def test_a_query_is_sent_as_it_is_written(root, url):
    text = "select n, x, ok, who, at from t where 'a:b' like 'a:%' and who is not null /* 100% :sure */"
    assert source.read(data(url, text), root)["n"].to_list() == [1]


def test_an_address_may_be_a_secret(root, url):
    at = access(root, {"WAREHOUSE": url})
    assert source.read(data(secret("WAREHOUSE")), at).height == 2


def test_a_missing_secret_is_named(root):
    with pytest.raises(BadInput, match='there is no secret "WAREHOUSE"'):
        source.read(data(secret("WAREHOUSE")), access(root, {}))


def test_rows_come_in_batches_through_a_cursor_on_the_server(root, pg, postgres, monkeypatch):
    monkeypatch.setattr(database, "FETCH", 100)
    many = "select g as n, 0.5::float8 as x, true as ok, 'a' as who, timestamp '2026-01-01' as at from generate_series(1, 1000) g"
    stream = source.stream(data(pg, many), root)
    assert next(stream).height == 100
    named = postgres.psql("select count(*) from pg_stat_activity where query ilike '%declare%cursor%' or query ilike 'fetch forward%'")
    assert int(named) >= 1
    assert sum(batch.height for batch in stream) == 900


def test_a_large_result_takes_no_memory_of_its_size(root, pg):
    program = """
        import resource, sys
        from pathlib import Path
        from flyball.data import source
        from flyball.declare.data import Dataset, sql
        text = "select g as n, repeat('x', 200) as pad, timestamp '2026-01-01' as at from generate_series(1, {}) g"
        def read(rows):
            made = Dataset("t", source=sql(text.format(rows), url=sys.argv[1]), time="at", columns={"n": int, "pad": str})
            assert sum(batch.height for batch in source.stream(made, Path("."))) == rows
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        small = read(100_000)
        print(read(800_000) - small)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program), pg], capture_output=True, text=True, check=True)
    assert float(ran.stdout) < 100, "700,000 rows more of 200 bytes are 140 MB"


def test_a_query_that_fails_halfway_commits_nothing(root, pg, blobs, monkeypatch):
    monkeypatch.setattr(database, "FETCH", 10)
    halfway = "select g as n, 1.0 / (50 - g) as x, true as ok, 'a' as who, timestamp '2026-01-01' as at from generate_series(1, 100) g"
    event = refresh(data(pg, halfway), root, blobs, None)
    assert isinstance(event, DataRefused)
    assert "the database refuses the query" in event.violations[0]
    assert "division by zero" in event.violations[0]
    assert not list(blobs.root.rglob("*")) or not any(path.is_file() for path in blobs.root.rglob("*"))


def test_a_value_that_breaks_halfway_in_sqlite_is_told_by_its_row(root, lite):
    said = told(data(lite, QUERY.replace("select n", "select case n when 2 then 'two' else n end as n")), root)
    assert 'column "n" is not an int\n    why  row 2: "two"' in said


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select nothing from t", "the database"),
        ("selekt", "the database"),
        ("select n, x, ok, at from t", 'column "who" is missing'),
        ("select n, x, ok, who, at, n from t", 'column "n" is there twice'),
        ("delete from t", "the "),
        (QUERY + " limit 0", "has no rows"),
    ],
)
def test_a_query_that_cannot_be_used_is_told(root, url, query, says):
    made = data(url, query.replace(" order by n limit 0", " limit 0"))
    assert says in told(made, root)
    assert source.read(data(url), root).height == 2, "what it did is rolled back"


def test_types_that_are_not_declared_are_told_value_by_value(root, pg):
    text = "select 'x' as n, 'NaN'::float8 as x, 2 as ok, 5 as who, timestamptz '2026-01-01 02:00+02' as at"
    said = told(data(pg, text), root)
    assert 'column "n" is not an int' in said
    assert 'column "ok" is not a bool' in said
    assert 'column "who" is not text' in said
    assert "finite float" not in said, "NaN is missing"


def test_decimals_dates_zones_and_uuids_are_read_as_declared(root, pg):
    text = "select 3.0::numeric as n, 1.25::numeric as x, true as ok, gen_random_uuid() as who, timestamptz '2026-01-01 02:00+02' as at"
    frame = source.read(data(pg, text), root)
    assert frame.select("n", "x").row(0) == (3, 1.25)
    assert len(frame["who"][0]) == 36
    assert str(frame["at"][0]) == "2026-01-01 00:00:00"
    dates = data(pg, text.replace("timestamptz '2026-01-01 02:00+02'", "date '2026-01-01'"))
    assert str(source.read(dates, root)["at"][0]) == "2026-01-01 00:00:00"


def test_infinity_is_no_number_and_no_time(root, pg):
    text = "select 1 as n, 'inf'::float8 as x, true as ok, 'a' as who, timestamp '2026-01-01' as at"
    assert 'column "x" is not a finite float' in told(data(pg, text), root)
    told(data(pg, text.replace("'inf'::float8", "1.0").replace("'2026-01-01'", "'infinity'")), root)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:hunter2@127.0.0.1:1/x",
        "postgresql://ann:hunter2@/x?host=/nowhere",
        "postgresql+psycopg://ann:hunter2@127.0.0.1:1/x",
    ],
)
def test_a_database_that_does_not_answer_is_told_without_its_password(root, address):
    said = told(data(address), root)
    assert "the database cannot be read" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("no address: hunter2", "no address of a database"),
        ("nodb://ann:hunter2@h/x", "no database of nodb can be reached from here"),
        ("mysql://ann:hunter2@h/x", "pip install"),
        ("sqlite:///gone.db", "there is no file"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_what_it_holds(root, address, says):
    said = told(data(address), root)
    assert says in said
    assert "hunter2" not in said


def test_a_connection_that_is_lost_halfway_is_told(root, pg, postgres, monkeypatch):
    monkeypatch.setattr(database, "FETCH", 10)
    many = "select g as n, 0.5::float8 as x, true as ok, 'a' as who, timestamp '2026-01-01' as at from generate_series(1, 100000) g"
    stream = source.stream(data(pg, many), root)
    next(stream)
    postgres.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query ilike '%forward%'")
    with pytest.raises(BadInput, match="cannot be read"):
        list(stream)


def test_values_of_persons_are_not_shown(root, lite):
    said = told(data(lite, QUERY.replace("select n, x, ok, who", "select n, x, ok, 77 as who"), subject="who"), root)
    assert 'column "who" is not text\n    why  row 1, row 2' in said
    assert "77" not in said


@pytest.mark.parametrize("query", ["drop table t", "delete from t", "insert into t (n) values (9)", "create table u (n int)"])
def test_what_would_change_something_is_refused_by_the_database(root, url, query):
    assert "the database refuses the query" in told(data(url, query), root)
    assert source.read(data(url), root).height == 2


@pytest.mark.parametrize(
    "query", ["select json('{') as n, x, ok, who, at from t", "select abs(-9223372036854775807 - 1) as n, x, ok, who, at from t"]
)
def test_rows_that_a_query_cannot_make_are_no_fault_of_the_server(root, lite, query):
    said = told(data(lite, query), root)
    assert "the database refuses the query" in said
    assert "lets this user in" not in said


def test_what_a_database_quotes_of_a_row_is_not_told_where_rows_are_of_persons(root, pg):
    query = "select n, x, ok, cast('Quill' || 'feather' as int)::text as who, at from t"
    assert "Quillfeather" in told(data(pg, query), root)
    said = told(data(pg, query, subject="who"), root)
    assert "Quillfeather" not in said
    assert "invalid input syntax for type integer" in said
    assert '"nobody" does not exist' in told(data(pg, "select nobody from t", subject="who"), root)
