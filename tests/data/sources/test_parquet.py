"""A Parquet file is read to sound rows, or refused in words; however it is damaged, nothing else ends the read."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.data import source
from flyball.data.refresh import refresh
from flyball.data.sources import parquet
from flyball.data.sources.footer import extremes
from flyball.data.sources.wrong import Wrong
from flyball.declare.data import Dataset
from flyball.errors import BadInput
from flyball.ledger.canonical import write_body
from flyball.records.data import DataCommitted, DataRefused

ROWS = 2_000
COLUMNS = {"km": float, "n": int, "kind": str, "late": bool}


@pytest.fixture(scope="module")
def frame():
    draw = random.Random(0)
    start = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    return pl.DataFrame(
        {
            "km": [draw.uniform(0, 3_000) for _ in range(ROWS)],
            "n": [draw.randrange(10**6) for _ in range(ROWS)],
            "kind": [draw.choice(["a", "bb", "ccc"]) for _ in range(ROWS)],
            "late": [draw.random() < 0.2 for _ in range(ROWS)],
            "planned_at": [start + timedelta(minutes=7 * row) for row in range(ROWS)],
        }
    )


@pytest.fixture
def deliveries():
    return Dataset("deliveries", source="d.parquet", time="planned_at", columns=COLUMNS)


def written(frame, by="polars", **options):
    out = io.BytesIO()
    if by == "polars":
        frame.write_parquet(out, **options)
    else:
        pq.write_table(frame.to_arrow(), out, **options)
    return out.getvalue()


def damaged(data, seed):
    draw, wrong = random.Random(seed), bytearray(data)
    first = max(0, len(data) - 2_500) if draw.random() < 0.5 else 0
    for _ in range(draw.choice([1, 1, 3, 20])):
        wrong[draw.randrange(first, len(data))] ^= draw.randrange(1, 256)
    return bytes(wrong)


def refused(made, root):
    with pytest.raises(BadInput) as caught:
        source.read(made, root)
    assert len(caught.value.problems) == 1, str(caught.value)
    return str(caught.value.problems[0])


@pytest.mark.parametrize(("by", "options"), [("polars", {}), ("arrow", {"compression": "none", "row_group_size": 100})])
@pytest.mark.parametrize("rows", [200, ROWS])
def test_flipped_bytes_are_read_or_refused_in_words(deliveries, frame, root, blobs, write, capfd, by, options, rows):
    whole = written(frame.head(rows), by, **options)
    seen = {DataCommitted: 0, DataRefused: 0}
    for seed in range(60):
        write(damaged(whole, seed), "d.parquet")
        event = refresh(deliveries, root, blobs, None)
        write_body(1, "loop", "c", event)
        seen[type(event)] += 1
    assert min(seen.values()) > 5
    assert capfd.readouterr() == ("", "")


def test_damage_that_still_decodes_is_found_by_what_the_file_says_of_its_columns(deliveries, frame, root, write):
    whole = bytearray(written(frame, compression="uncompressed"))
    whole[2_000:4_000] = bytes(each ^ 0xFF for each in whole[2_000:4_000])
    write(bytes(whole), "d.parquet")
    said = refused(deliveries, root)
    assert "d.parquet  the file is damaged" in said
    assert 'column "km" lies from' in said
    hidden = replace(deliveries, columns=deliveries.columns | {"km": replace(deliveries.columns["km"], personal=True)})
    said = refused(hidden, root)
    assert 'column "km" has another least or greatest value' in said
    assert "lies from" not in said


def test_damage_is_found_by_a_checksum_where_a_file_has_one(deliveries, frame, root, write):
    whole = bytearray(written(frame.with_columns(late=True), "arrow", write_page_checksum=True, compression="none", use_dictionary=False))
    place = bytes(whole).index(b"\3\0\0\0ccc", len(whole) // 2)
    whole[place + 4 : place + 7] = b"aaa"
    write(bytes(whole), "d.parquet")
    assert "CRC" in refused(deliveries, root)


def test_a_file_that_says_falsely_that_it_is_sorted_is_sorted(frame, root, write):
    out = io.BytesIO()
    mixed = frame.sample(fraction=1, shuffle=True, seed=1)
    pq.write_table(mixed.to_arrow(), out, sorting_columns=[pq.SortingColumn(mixed.columns.index("planned_at"))])
    write(out.getvalue(), "d.parquet")
    made = Dataset("deliveries", source="d.parquet", time="planned_at", columns=COLUMNS)
    assert source.read(made, root)["planned_at"].to_list() == frame["planned_at"].to_list()


@pytest.mark.parametrize("options", [{}, {"compression": "snappy", "statistics": False}, {"row_group_size": 300}])
def test_a_whole_file_is_read_however_it_was_written(deliveries, frame, root, write, options):
    write(written(frame, **options), "d.parquet")
    assert source.read(deliveries, root).equals(frame.select(*COLUMNS, "planned_at"))


@pytest.mark.parametrize("options", [{"version": "1.0"}, {"use_deprecated_int96_timestamps": True}, {"coerce_timestamps": "ms"}])
def test_times_are_read_in_whatever_unit_they_were_written(deliveries, frame, root, write, options):
    write(written(frame, "arrow", **options), "d.parquet")
    assert source.read(deliveries, root).equals(frame.select(*COLUMNS, "planned_at"))


def test_many_files_are_read_in_one_and_a_damaged_one_among_them_is_named(frame, root, write):
    for place in range(4):
        write(written(frame.slice(place * 500, 500)), f"p/{place}.parquet")
    made = Dataset("deliveries", source="p/*.parquet", time="planned_at", columns=COLUMNS)
    assert source.read(made, root).equals(frame.select(*COLUMNS, "planned_at"))
    write(written(frame.head(500))[:-9], "p/2.parquet")
    assert refused(made, root).startswith("p/2.parquet  the file is not whole Parquet")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([[1.0]], "list"),
        ([{"a": 1}], "struct"),
        ([timedelta(seconds=1)], "duration"),
        ([b"\xff"], "binary"),
        ([datetime(2026, 1, 1).time()], "time64"),
    ],
)
def test_a_column_that_holds_no_plain_values_is_refused_by_its_type(root, write, values, says):
    write(pl.DataFrame({"x": values}), "x.parquet")
    said = refused(Dataset("x", source="x.parquet", columns={"x": float}), root)
    assert 'column "x" cannot be read' in said
    assert says in said


def test_columns_that_are_not_declared_may_hold_anything_under_any_name(root, write):
    out = io.BytesIO()
    other = pa.table({"": [[1]], "a\nb": [{"c": 1}], "x": [1.5], "x.y": [2]})
    pq.write_table(other, out)
    write(out.getvalue(), "x.parquet")
    assert source.read(Dataset("x", source="x.parquet", columns={"x": float}), root).to_dicts() == [{"x": 1.5}]
    assert r"columns: , a\nb, x, x.y" in refused(Dataset("x", source="x.parquet", columns={"other": float}), root)


def test_a_column_that_is_there_twice_is_refused(root, write):
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), out)
    write(out.getvalue(), "x.parquet")
    assert 'column "x" is there twice' in refused(Dataset("x", source="x.parquet", columns={"x": int}), root)


def test_a_file_that_asks_for_more_memory_than_there_is_is_refused(monkeypatch, root, write):
    def starved(*_):
        raise MemoryError

    monkeypatch.setattr(parquet, "_read", starved)
    wrong = Wrong()
    assert list(parquet.batches([(write(b"x" * 100, "d.parquet"), "d.parquet")], {"x": "float"}, wrong)) == []
    assert "more memory" in str(wrong.problems()[0])


def test_a_footer_says_the_least_and_the_greatest_over_all_row_groups(frame):
    said = extremes(written(frame, row_group_size=100))
    assert said["km"] == (frame["km"].min(), frame["km"].max())
    assert said["n"] == (frame["n"].min(), frame["n"].max())
    assert "kind" not in said


@pytest.mark.parametrize("data", [b"", b"PAR1", b"\xff" * 40, b"\x19" * 5_000 + (4_000).to_bytes(4, "little") + b"PAR1"])
def test_what_is_no_footer_says_nothing(data):
    assert extremes(data) == {}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_text_is_text_in_every_layout(kind, write):
    out = io.BytesIO()
    pq.write_table(pa.table({"a": pa.array(["x", None, "a longer text, which no view holds by itself"]).cast(kind)}), out)
    path, wrong = write(out.getvalue(), "d.parquet"), Wrong()
    ((frame, _, _),) = parquet.batches([(path, "d.parquet")], {"a": "str"}, wrong)
    assert not wrong
    assert frame["a"].to_list() == ["x", None, "a longer text, which no view holds by itself"]
    assert frame.schema == {"a": pl.String}
