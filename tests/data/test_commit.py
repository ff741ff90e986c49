"""The same rows are the same version; other rows say by their number what kind of change they are."""

from __future__ import annotations

import msgspec
import polars as pl
import pytest

from flyball.data import source
from flyball.data.commit import commit, load_content, schema_of, statistics
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import Corrupt, NotFound
from flyball.ledger.canonical import write_body
from flyball.records.data import DataCommitted

HOUR = 3_600_000_000
JANUARY = 1_767_225_600_000_000


def grown(dataset, **changes):
    given = {"source": dataset.source, "columns": dataset.columns, "time": dataset.time, "id": dataset.id or None} | changes
    return Dataset(dataset.name, **given)


@pytest.fixture
def frame(dataset, root, write, csv):
    write(csv)
    return source.read(dataset, root)


def test_the_first_version_says_what_it_holds(dataset, frame, blobs):
    version = commit(dataset, frame, blobs, None, "m1")
    assert (version.version, version.rows, version.parents, version.source_mark) == ("1.0.0", 3, (), "m1")
    assert (version.first, version.last, version.as_of) == (JANUARY, JANUARY + 2 * HOUR, JANUARY + 2 * HOUR)
    assert version.schema == {"price": "float", "count": "int", "open": "bool", "kind": "str", "at": "time", "id": "str"}
    price, count = version.stats[:2]
    assert (price.name, price.nulls, price.distinct, price.low, price.high, price.mean) == ("price", 1, 2, 0.25, 0.5, 0.375)
    assert (count.low, count.high) == (1.0, 3.0)
    assert version.stats[3].mean is None
    assert load_content(version.content, blobs).equals(frame)


def test_the_same_rows_keep_their_version_and_take_the_new_mark(dataset, frame, blobs):
    first = commit(dataset, frame, blobs, None, "m1")
    again = commit(dataset, frame.clone(), blobs, first, "m1")
    moved = commit(dataset, frame, blobs, first, "m2")
    assert again == first
    assert (moved.version, moved.content, moved.source_mark) == (first.version, first.content, "m2")


def test_content_does_not_depend_on_how_a_frame_is_cut(dataset, frame, blobs):
    first = commit(dataset, frame, blobs, None, "m")
    pieces = pl.concat([frame.slice(place, 1) for place in range(3)], rechunk=False)
    assert commit(dataset, pieces, blobs, None, "m").content == first.content


def test_versions_rise_by_the_kind_of_change(dataset, frame, blobs):
    def number(made, rows, head):
        return commit(made, rows, blobs, head, "m2").version

    head = commit(dataset, frame.head(2), blobs, None, "m1")
    assert number(dataset, frame, head) == "1.0.1"
    assert number(dataset, pl.concat([frame.tail(1), frame.head(2)]), head) == "1.0.1"
    assert number(dataset, frame.head(1), head) == "1.1.0"
    assert number(dataset, frame.with_columns(pl.col("count") + 1), head) == "1.1.0"
    wider = grown(dataset, columns={**dataset.columns, "more": int})
    assert number(wider, frame.with_columns(more=1), head) == "1.1.0"
    narrower = grown(dataset, columns={name: value for name, value in dataset.columns.items() if name != "open"})
    assert number(narrower, frame.drop("open"), head) == "2.0.0"
    retyped = grown(dataset, columns={**dataset.columns, "count": float})
    assert number(retyped, frame.with_columns(pl.col("count").cast(pl.Float64)), head) == "2.0.0"


def test_a_version_names_its_parent(dataset, frame, blobs):
    head = commit(dataset, frame.head(2), blobs, None, "m1")
    assert commit(dataset, frame, blobs, head, "m2").parents == (head.content,)


def test_a_row_repeated_in_the_head_must_be_repeated_again_to_count_as_kept(dataset, frame, blobs):
    head = commit(dataset, pl.concat([frame.head(1), frame.head(1)]), blobs, None, "m1")
    assert commit(dataset, frame, blobs, head, "m2").version == "1.1.0"


def test_as_of_is_the_latest_arrival(dataset, frame, blobs):
    late = grown(dataset, arrived="came")
    rows = frame.with_columns((pl.col("at") + pl.duration(hours=5)).alias("came"))
    assert commit(late, rows, blobs, None, "m").as_of == JANUARY + 7 * HOUR


def test_a_data_set_without_time_has_no_moments(blobs):
    made = Dataset("t", source="t.csv", columns={"x": Column(int)})
    version = commit(made, pl.DataFrame({"x": [1]}), blobs, None, "m")
    assert (version.first, version.last, version.as_of) == (0, 0, 0)


def test_a_lost_version_and_a_blob_that_is_no_data_set_are_named(blobs):
    with pytest.raises(NotFound):
        load_content("0" * 64, blobs)
    with pytest.raises(Corrupt, match="is not a data set"):
        load_content(blobs.put(b"no parquet"), blobs)


def test_a_head_whose_rows_are_lost_does_not_stop_the_next_version(dataset, frame, blobs, tmp_path):
    head = commit(dataset, frame.head(2), blobs, None, "m1")
    blobs.path(head.content).unlink()
    assert commit(dataset, frame, blobs, head, "m2").version == "1.1.0"


@pytest.mark.parametrize(("columns", "length"), [(61, 4), (60, 200), (1_000, 4), (1_000, 300)])
def test_a_data_set_of_any_width_is_committed_by_an_event_that_can_be_recorded(blobs, columns, length):
    names = [f"c{place:0{length}}" for place in range(columns)]
    made = Dataset("wide", source="w.csv", columns=dict.fromkeys(names, int))
    frame = pl.DataFrame({name: [1, 2] for name in names})
    version = commit(made, frame.head(1), blobs, None, "m")
    write_body(1, "loop", "c", DataCommitted(version=version))
    assert [item.name for item in statistics(version, blobs)] == names
    assert schema_of(version, blobs) == dict.fromkeys(names, "int")
    assert commit(made, frame.head(1), blobs, version, "m2") == msgspec.structs.replace(version, source_mark="m2")
    assert commit(made, frame, blobs, version, "m").version == "1.0.1"
    narrower = Dataset("wide", source="w.csv", columns=dict.fromkeys(names[1:], int))
    assert commit(narrower, frame.drop(names[0]), blobs, version, "m").version == "2.0.0"


def test_a_narrow_data_set_says_what_it_holds_in_its_event(dataset, frame, blobs):
    version = commit(dataset, frame, blobs, None, "m")
    assert version.stats
    assert not version.stats_blob
    assert schema_of(version, blobs) == version.schema
