"""What two versions do not have in common is told to the row, from as few chunks as can be."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.data import additions, chunks, difference, manifest
from flyball.data.additions import apart, only_added, same_rows, unshared
from flyball.data.commit import baseline_of, commit, load_content, scan, statistics
from flyball.data.difference import Version
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import NotFound
from flyball.store.blobs import LocalBlobs


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(chunks, "MOST", 32 * 24)
    monkeypatch.setattr(chunks, "LEAST", 8 * 24)


DATA = Dataset("d", source="d.csv", time="at", columns={"x": int, "kind": str})


def frame(rows):
    ordered = sorted(rows, key=lambda row: row[0])
    at = pl.Series("at", [row[0] for row in ordered], dtype=pl.Int64).cast(pl.Datetime("us"))
    made = pl.DataFrame({"x": [row[1] for row in ordered], "kind": ["abc"[row[1] % 3] for row in ordered]})
    return made.cast({"x": pl.Int64, "kind": pl.String}).with_columns(at)


ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=120)


@given(ROWS, ROWS, ROWS)
@settings(max_examples=40, deadline=None)
def test_rows_that_came_and_went_are_counted_as_often_as_they_did(tmp_path_factory, shared, old, new):
    blobs = LocalBlobs(tmp_path_factory.mktemp("blobs"))
    before, after = frame(shared + old), frame(shared + new)
    first = commit(DATA, before, blobs, None, "m")
    second = commit(DATA, after, blobs, first, "m")
    one, two = (manifest.manifest(each.content, blobs) for each in (first, second))
    settled = list(unshared(one, two, ["x", "kind", "at"], blobs))
    counts = Counter(before.rows()), Counter(after.rows())
    assert sum(each.added.rows for each in settled) == (counts[1] - counts[0]).total()
    assert sum(each.removed.rows for each in settled) == (counts[0] - counts[1]).total()
    assert only_added(one, two, blobs) == (not counts[0] - counts[1])
    # where there is no time, hashes are compared in parts
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(additions, "HELD", 7)
        untimed = [msgspec.structs.replace(each, time="") for each in (one, two)]
        assert only_added(*untimed, blobs) == (not counts[0] - counts[1])
    assert same_rows(one, two, blobs) == before.equals(after)
    assert (first.content == second.content) == before.equals(after)
    assert load_content(second.content, blobs).equals(after)


@given(ROWS, ROWS)
@settings(max_examples=20, deadline=None)
def test_a_version_does_not_depend_on_what_was_there_before(tmp_path_factory, one, two):
    blobs = LocalBlobs(tmp_path_factory.mktemp("blobs"))
    other = commit(DATA, frame(two), blobs, None, "m")
    assert commit(DATA, frame(one), blobs, other, "m").content == commit(DATA, frame(one), blobs, None, "m").content


def test_chunks_that_both_versions_have_are_not_read(tmp_path, monkeypatch):
    blobs = LocalBlobs(tmp_path)
    rows = [(at, at % 5) for at in range(2000)]
    first = commit(DATA, frame(rows), blobs, None, "m")
    reads = []
    whole = additions.read
    monkeypatch.setattr(additions, "read", lambda chunk, *more: reads.append(chunk) or whole(chunk, *more))
    second = commit(DATA, frame([*rows, (1000, 9), (2001, 3)]), blobs, first, "m")
    assert second.version == "1.0.1"
    assert 0 < len(reads) <= 8
    reads.clear()
    found = apart(first.content, second.content, ["at", "x"], "at", 2, blobs)
    assert found is not None
    assert (found.rows, found.after.height - found.before.height, found.after.columns) == (2002, 2, ["at", "x"])
    assert {*reads} == manifest.names(second.content, blobs) ^ manifest.names(first.content, blobs)


@pytest.mark.parametrize(
    "after",
    [
        [(at, at % 5) for at in range(2001) if at != 700],
        [(at, at % 5) for at in range(2100)],
        [(at, at % 5) for at in range(1900)],
    ],
    ids=["one for another", "too many", "some went"],
)
def test_where_rows_went_or_too_many_came_nothing_is_read(tmp_path, monkeypatch, after):
    blobs = LocalBlobs(tmp_path)
    first = commit(DATA, frame([(at, at % 5) for at in range(2000)]), blobs, None, "m")
    second = commit(DATA, frame(after), blobs, first, "m")
    if len(after) == 2000:
        found = apart(first.content, second.content, ["at", "x"], "at", 50, blobs)
        assert found is not None
        assert (found.before.height, found.after["at"].dt.epoch().max()) == (found.after.height, 2000)
        return
    monkeypatch.setattr(additions, "read", None)
    assert apart(first.content, second.content, ["at", "x"], "at", 50, blobs) is None


def test_rows_of_a_time_that_a_shared_chunk_begins_with_are_not_told_apart(tmp_path):
    """So many rows of one time that they are in several chunks: a new one among them stands before some that were there."""
    blobs = LocalBlobs(tmp_path)
    rows = [(1, place % 3) for place in range(200)]
    first = commit(DATA, frame(rows), blobs, None, "m")
    end, middle = (commit(DATA, frame(each), blobs, first, "m") for each in ([*rows, (1, 7)], [*rows[:20], (1, 7), *rows[20:]]))
    found = apart(first.content, end.content, ["at", "x"], "at", 50, blobs)
    assert found is not None
    assert found.after["x"].to_list() == [*found.before["x"], 7]
    assert manifest.names(middle.content, blobs) & manifest.names(first.content, blobs)
    assert apart(first.content, middle.content, ["at", "x"], "at", 50, blobs) is None


def test_columns_that_are_missing_or_of_another_type_and_another_time_are_not_compared(tmp_path):
    blobs = LocalBlobs(tmp_path)
    content = commit(DATA, frame([(at, 1) for at in range(9)]), blobs, None, "m").content
    assert apart(content, content, ["at", "x"], "at", 0, blobs) is not None
    assert apart(content, content, ["at", "gone"], "at", 0, blobs) is None
    assert apart(content, content, ["at", "x"], "then", 0, blobs) is None
    with pytest.raises(NotFound):
        apart("0" * 64, content, ["at"], "at", 0, blobs)


def test_a_content_is_read_chunk_by_chunk_and_by_columns(tmp_path):
    blobs = LocalBlobs(tmp_path)
    rows = frame([(at, 1) for at in range(300)])
    content = commit(DATA, rows, blobs, None, "m").content
    parts = list(scan(content, blobs, ["kind", "x"]))
    assert len(parts) == len(manifest.names(content, blobs)) > 5
    assert pl.concat(parts).select("x", "kind").equals(rows.select("x", "kind"))
    larger = list(scan(content, blobs, least=100))
    assert [part.height >= 100 for part in larger[:-1]] == [True] * (len(larger) - 1)
    assert pl.concat(larger).equals(rows)
    empty = commit(DATA, rows.clear(), blobs, None, "m").content
    assert [part.schema for part in scan(empty, blobs)] == [rows.schema]


def told(version, blobs):
    return Version(
        manifest=manifest.manifest(version.content, blobs), stats=statistics(version, blobs), baseline=baseline_of(version, blobs)
    )


def compare(old, new, blobs, hidden=()):
    return difference.difference(told(old, blobs), told(new, blobs), frozenset(hidden), blobs)


def test_columns_rows_and_distributions_are_compared(tmp_path):
    blobs = LocalBlobs(tmp_path)
    old = [(at, at % 3) for at in range(900)]
    first = commit(DATA, frame(old), blobs, None, "m")
    # all of one kind changed to another, and one row went
    after = frame(old[1:]).with_columns(pl.col("kind").replace("c", "z"), y=pl.lit(0.5))
    wider = Dataset("d", source="d.csv", time="at", columns={"x": float, "kind": str, "y": float})
    second = commit(wider, after.cast({"x": pl.Float64}).select("x", "kind", "y", "at"), blobs, first, "m")
    assert (second.version, second.schema_version) == ("2.0.0", "2.0.0")
    found = compare(first, second, blobs)
    assert (found.schema.came, found.schema.went) == (("y",), ())
    assert [(each.column, each.before, each.after) for each in found.schema.retyped] == [("x", "int", "float")]
    assert (found.rows.before, found.rows.after, found.rows.added, found.rows.removed) == (900, 899, 300, 301)
    assert found.rows.removed_examples[0] == {"kind": "a", "at": "1970-01-01T00:00:00Z"}
    kind = next(each for each in found.columns if each.column == "kind")
    assert (kind.came, kind.went, kind.measure) == (("z",), ("c",), "tv")
    assert kind.distance == pytest.approx(1 / 3, abs=0.01)


def test_numbers_that_moved_are_told_and_those_that_did_not_are_not(tmp_path):
    blobs = LocalBlobs(tmp_path)
    data = Dataset("d", source="d.csv", columns={"x": Column(float, nulls="50%"), "y": float})
    rows = pl.DataFrame({"x": [n % 97 / 97 for n in range(5000)], "y": [n % 89 / 89 for n in range(5000)]})
    first = commit(data, rows, blobs, None, "m")
    moved = rows.with_columns(x=pl.when(pl.int_range(pl.len()) % 10 == 0).then(None).otherwise(pl.col("x") + 0.3))
    second = commit(data, moved, blobs, first, "m")
    x, y = compare(first, second, blobs).columns
    assert (x.nulls_before, x.nulls_after) == (0, 500)
    assert x.distance > 0.3
    assert y.distance == 0
    assert x.mean_after == pytest.approx(x.mean_before + 0.3, abs=0.01)


def test_no_value_of_a_column_that_says_who_a_row_is_of_is_told(tmp_path):
    blobs = LocalBlobs(tmp_path)
    data = Dataset(
        "d", source="d.csv", time="at", id="order", subject="who", columns={"x": int, "phone": Column(str, personal=True), "town": str}
    )

    def of(who, count):
        at = pl.Series("at", range(count), dtype=pl.Int64).cast(pl.Datetime("us"))
        columns = {"x": 1, "phone": f"0049-{who}", "town": who, "order": f"o-{who}", "who": who}
        return pl.DataFrame({"at": at}).with_columns(**{name: pl.lit(value) for name, value in columns.items()}).select(*data.names)

    first = commit(data, of("ana", 5), blobs, None, "m")
    second = commit(data, of("bo", 6), blobs, first, "m")
    shown = str(compare(first, second, blobs))
    assert "town" in shown
    assert "ana" in shown
    assert not [name for name in ("0049", "o-ana", "o-bo") if name in shown]
    # a column that is declared to be personal only since is not shown either
    assert "ana" not in str(compare(first, second, blobs, ["town"]))


def test_a_version_whose_chunk_is_lost_is_not_compared(tmp_path):
    blobs = LocalBlobs(tmp_path)
    first = commit(DATA, frame([(1, 1)]), blobs, None, "m")
    second = commit(DATA, frame([(2, 2)]), blobs, first, "m")
    [chunk] = manifest.names(first.content, blobs)
    blobs.remove(chunk)
    with pytest.raises(NotFound, match=chunk):
        compare(first, second, blobs)


def test_without_a_time_a_new_order_takes_no_memory_of_its_size(tmp_path):
    program = """
        import resource, sys
        from pathlib import Path
        import polars as pl
        from flyball.data.commit import commit
        from flyball.declare.data import Dataset
        from flyball.store.blobs import LocalBlobs

        def parts(rows, seed):
            for first in range(0, rows, 100_000):
                part = pl.DataFrame({"x": pl.int_range(first, first + 100_000, eager=True)})
                yield part.sample(fraction=1, shuffle=True, seed=seed) if seed else part

        def peak(rows):
            data, blobs = Dataset("d", source="d.csv", columns={"x": int}), LocalBlobs(Path(sys.argv[1]) / str(rows))
            head = commit(data, parts(rows, 0), blobs, None, "m")
            assert commit(data, parts(rows, 1), blobs, head, "n").version == "1.0.1"
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        small = peak(400_000)
        print(peak(2_000_000) - small)
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program), tmp_path], capture_output=True, text=True, check=True)
    assert float(ran.stdout) < 150, "MB for 1.6 million rows more"
