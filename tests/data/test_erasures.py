"""Which rows of a source may be held after erasures, and where contents lie."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from flyball.data import contract, source
from flyball.data.commit import commit, load_content
from flyball.data.erase import Person
from flyball.data.erasures import NONE, Erasures, keyed, present, standing
from flyball.data.fold import FOLDS
from flyball.data.profile import profile
from flyball.data.refresh import refresh
from flyball.data.subjects import heeded
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import BadInput
from flyball.ledger.projection import MemoryProjection
from flyball.records.base import Recorded
from flyball.records.data import DataCommitted, DataErased, DataRefused, DatasetRow, ErasureRow, StandingRow

KEY = bytes(32)
HOUR = 3_600_000_000


def erasures(until, **more):
    return Erasures(until={keyed(KEY, who): at for who, at in until.items()}, keyed=lambda value: keyed(KEY, value), **more)


def people(**more):
    given = {"source": "people.csv", "columns": {"x": int}, "subject": "who", "time": "at"}
    return Dataset("people", **given | more)


def frame(*rows, **columns):
    at = pl.Series("at", [row[1] * HOUR for row in rows], dtype=pl.Int64).cast(pl.Datetime("us"))
    made = pl.DataFrame({"x": list(range(len(rows))), "who": [row[0] for row in rows]}).with_columns(at)
    return made.with_columns(**columns)


def test_rows_up_to_the_erasure_are_left_out_and_later_ones_are_not():
    rows = frame(("ana", 1), ("bo", 1), ("ana", 2), ("ana", 3), (None, 1))
    kept = heeded(people(), rows, erasures({"ana": 2 * HOUR}))
    assert kept["x"].to_list() == [1, 3, 4]


def test_where_rows_arrive_the_arrival_counts():
    arrived = pl.Series("came", [5 * HOUR, 1 * HOUR], dtype=pl.Int64).cast(pl.Datetime("us"))
    rows = frame(("ana", 1), ("ana", 3), came=arrived)
    assert heeded(people(arrived="came"), rows, erasures({"ana": 2 * HOUR}))["x"].to_list() == [0]


def test_without_any_time_who_was_erased_stays_out_and_so_does_a_row_without_one():
    rows = frame(("ana", 1), ("bo", 1))
    assert heeded(people(time=""), rows.drop("at"), erasures({"ana": 2}))["x"].to_list() == [1]
    unknown = rows.with_columns(at=pl.lit(None, dtype=pl.Datetime("us")))
    assert heeded(people(), unknown, erasures({"ana": 2}))["x"].to_list() == [1]


def test_numbers_are_persons_too():
    rows = frame(("a", 1), ("b", 1)).with_columns(who=pl.Series([7, 77]))
    assert heeded(people(columns={"x": int, "who": int}), rows, erasures({"7": HOUR}))["who"].to_list() == [77]


def test_nothing_is_left_out_where_nobody_was_erased():
    rows = frame(("ana", 1))
    assert heeded(people(), rows, NONE) is rows
    assert heeded(people(subject=None), rows, erasures({"ana": HOUR})) is rows


def test_an_erased_content_is_found_at_the_end_of_its_chain():
    class State:
        def get(self, _table, key):
            return {"people/a": ErasureRow(content="b", at=1), "people/b": ErasureRow(content="c", at=2)}.get(key)

        def scan(self, _table, prefix):
            return [(f"{prefix}k1", StandingRow(at=5, seq=3)), (f"{prefix}k2", StandingRow(at=4, seq=9))]

    assert [present(State(), "people", content) for content in "abcd"] == ["c", "c", "c", "d"]
    assert present(State(), "others", "a") == "a"
    assert standing(State(), "people") == ({"k1": 5, "k2": 4}, 9)


def test_what_is_left_of_a_version_is_what_a_commit_of_the_other_rows_writes(blobs):
    rows = frame(("ana", 1), ("bo", 1), (None, 2))
    version = commit(people(), rows, blobs, None, "m")
    ana = Person("ana", blobs)
    assert ana.count(version.content, "who") == 1
    assert ana.count(version.content, "nobody") == 0
    left = ana.rest(version.content, ["who"], blobs.put)
    assert (left.rows, load_content(left.content, blobs)["x"].to_list()) == (1, [1, 2])
    again = commit(people(), rows.filter(pl.col("who").is_null() | (pl.col("who") != "ana")), blobs, None, "m")
    assert left.content == again.content


def test_the_same_rows_without_the_person_are_the_same_version_under_its_name(blobs):
    rows = frame(("ana", 1), ("bo", 1))
    head = commit(people(), rows, blobs, None, "m1")
    left = Person("ana", blobs).rest(head.content, ["who"], blobs.put)
    blobs.remove(head.content)
    known = erasures({"ana": HOUR}, seq=7, present=lambda content: left.content if content == head.content else content)
    same = commit(people(), load_content(left.content, blobs), blobs, head, "m2", erasures=known, erased=1)
    assert (same.content, same.version, same.erased, same.erasure) == (head.content, "1.0.0", 1, 7)
    more = pl.concat([load_content(left.content, blobs), frame(("cy", 2))])
    added = commit(people(), more, blobs, head, "m3", erasures=known, erased=1)
    assert (added.version, added.parents) == ("1.0.1", (head.content,))


def test_what_comes_back_as_new_rows_is_a_new_version_and_is_held_again(blobs):
    rows, projection = frame(("ana", 1), ("bo", 1)), MemoryProjection()
    head = commit(people(), rows, blobs, None, "m1")
    left = Person("ana", blobs).rest(head.content, ["who"], blobs.put)
    blobs.remove(head.content)
    erased = DataErased(name="people", birth=head.content, old_content=head.content, new_content=left.content, rows=1, subject="k")
    for seq, event in enumerate((DataCommitted(version=head), erased), 1):
        FOLDS[type(event)](projection, Recorded(seq=seq, at=seq, actor="loop", command="c", event=event))
    assert present(projection, "people", head.content) == left.content
    known = Erasures(present=lambda content: present(projection, "people", content))
    same = commit(people(), load_content(left.content, blobs), blobs, head, "m2", erasures=known)
    again = commit(people(), rows, blobs, head, "m3", erasures=known)
    assert (again.content, again.version, blobs.has(head.content)) == (head.content, "1.0.1", True)
    for version, lies in ((same, left.content), (again, head.content)):
        FOLDS[DataCommitted](projection, Recorded(seq=3, at=3, actor="loop", command="c", event=DataCommitted(version=version)))
        assert present(projection, "people", head.content) == lies


def test_a_look_at_the_source_counts_what_it_left_out(root, blobs, write):
    write("x,who,at\n1,ana,1970-01-01T01:00:00\n2,bo,1970-01-01T01:00:00\n", "people.csv")
    known = erasures({"ana": 2 * HOUR}, seq=4)
    event = refresh(people(), root, blobs, None, lambda: known)
    assert isinstance(event, DataCommitted)
    version = event.version
    assert (version.rows, version.erased, version.erasure, version.subject) == (1, 1, 4, "who")


def test_who_was_erased_is_not_asked_for_where_the_source_is_as_it_was(root, blobs, write):
    write("x,who,at\n1,ana,1970-01-01T01:00:00\n", "people.csv")
    head = refresh(people(), root, blobs, None).version
    asked = []
    assert refresh(people(), root, blobs, DatasetRow(head=head), lambda: asked.append(1) or NONE) is None
    assert asked == []


def test_no_statistic_tells_a_value_of_a_column_that_says_who_a_row_is_of():
    data = people(columns={"x": int, "who": int, "phone": Column(int, personal=True)}, id="x")
    rows = frame(("a", 1)).with_columns(who=pl.Series([4711]), phone=pl.Series([110]))
    told = {each.name: (each.low, each.high, each.mean, each.distinct) for each in profile(data, rows)}
    assert told["who"] == told["phone"] == told["x"] == (None, None, None, 1)


def test_what_is_refused_shows_no_value_of_a_person(root, blobs, write):
    data = people(columns={"x": int, "who": Column(int, between=(0, 9))}, time="")
    write("x,who\n1,4711\n", "people.csv")
    event = refresh(data, root, blobs, None)
    assert isinstance(event, DataRefused)
    # the mark of its source is figures of the file, and may hold any four of them
    assert "4711" not in str((event.violations, event.findings))
    assert contract.violations(dataclasses.replace(data, subject=""), pl.DataFrame({"x": [1], "who": [4711]}))[0].endswith("(row 1: 4711)")
    write("x,who\n1,Quillfeather\n", "people.csv")
    with pytest.raises(BadInput) as refused:
        source.read(data, root)
    assert "Quillfeather" not in str(refused.value)
    assert "row 1" in str(refused.value)
    born = people(columns={"x": int, "born": Column("time", personal=True)}, time="")
    write("x,who,born\n1,a,0001-04-07\n", "people.csv")
    with pytest.raises(BadInput, match="no plausible time") as refused:
        source.read(born, root)
    assert "04-07" not in str(refused.value)
