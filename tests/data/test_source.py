"""A source is read as declared, or refused with every reason."""

from __future__ import annotations

import io
import os

import polars as pl
import pytest

from flyball.data import source
from flyball.data.refresh import refresh
from flyball.data.sources import delimited
from flyball.declare.columns import Column
from flyball.declare.data import Dataset, secret, sql
from flyball.errors import BadInput
from flyball.ledger.canonical import write_body

TYPES = {"price": pl.Float64, "count": pl.Int64, "open": pl.Boolean, "kind": pl.String, "at": pl.Datetime("us"), "id": pl.String}


def other(dataset, **changes):
    given = {"source": dataset.source, "columns": dataset.columns, "time": dataset.time, "id": dataset.id or None} | changes
    return Dataset(dataset.name, **given)


def refused(dataset, root):
    with pytest.raises(BadInput) as caught:
        source.read(dataset, root)
    return str(caught.value)


def test_declared_columns_come_in_declared_order_and_type(dataset, root, write, csv):
    write(csv)
    frame = source.read(dataset, root)
    assert dict(frame.schema) == TYPES
    assert frame["price"].to_list() == [0.5, 0.25, None]
    assert frame["open"].to_list() == [True, False, True]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n\n"])
def test_line_endings_a_byte_order_mark_and_blank_lines_at_the_end_change_nothing(dataset, root, write, csv, ending, last):
    write(csv)
    plain = source.read(dataset, root)
    write(b"\xef\xbb\xbf" + (csv.rstrip("\n") + last).replace("\n", ending).encode())
    assert source.read(dataset, root).equals(plain)


def test_parquet_gives_the_same_rows_as_csv(dataset, root, write, csv):
    write(csv)
    frame = source.read(dataset, root)
    write(frame.with_columns(pl.col("count").cast(pl.Int16), pl.col("kind").cast(pl.Categorical), extra=1), "prices.parquet")
    assert source.read(other(dataset, source="prices.parquet"), root).equals(frame)


def test_a_glob_reads_all_its_files_in_order_of_time(dataset, root, write, csv):
    head, first, second, third = csv.splitlines()
    write(f"{head}\n{third}", "p/a.csv")
    write(f"{head}\n{first}\n{second}", "p/b.csv")
    frame = source.read(other(dataset, source="p/*.csv"), root)
    assert frame["id"].to_list() == ["a", "b", "c"]


def test_frames_and_callables_are_read_in_this_process(dataset, root, write, csv):
    write(csv)
    frame = source.read(dataset, root)
    assert source.read(other(dataset, source=frame), root).equals(frame)
    assert source.read(other(dataset, source=frame.reverse), root).equals(frame)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01", "2026-01-01 00:00:00"),
        ("2026-01-01 03:04", "2026-01-01 03:04:00"),
        ("2026-01-01T03:04:05Z", "2026-01-01 03:04:05"),
        ("2026-01-01T03:04:05.250000+02:00", "2026-01-01 01:04:05.250000"),
        ("2026-01-01 03:04:05-0130", "2026-01-01 04:34:05"),
    ],
)
def test_times_are_read_as_iso_8601_and_kept_in_utc(dataset, root, write, text, moment):
    write(f"at,id,price,count,open,kind\n{text},a,1,1,1,x\n2026-01-02T00:00:00,b,1,1,0,x\n")
    assert str(source.read(dataset, root)["at"][0]) == moment


def test_zoned_times_of_parquet_are_brought_to_utc(dataset, root, write, csv):
    write(csv)
    frame = source.read(dataset, root)
    zoned = frame.with_columns(pl.col("at").dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Paris"))
    assert source.read(other(dataset, source=zoned), root).equals(frame)


def test_nan_is_missing(dataset, root, write, csv):
    write(csv.replace("0.25", "NaN"))
    assert source.read(dataset, root)["price"].to_list() == [0.5, None, None]


def test_a_quoted_comma_and_a_quoted_line_break_stay_in_their_cell(root, write):
    write('note,n\n"a, b",1\n"two\nlines",2\n"",3\n', "notes.csv")
    frame = source.read(Dataset("notes", source="notes.csv", columns={"note": str, "n": int}), root)
    assert frame["note"].to_list() == ["a, b", "two\nlines", ""]


def test_a_missing_file_is_named_with_the_nearest_name(dataset, root, write, csv):
    write(csv, "price.csv")
    said = refused(dataset, root)
    assert "prices.csv does not exist" in said
    assert 'did you mean "price.csv"?' in said


def test_a_glob_without_a_match_is_refused(dataset, root):
    assert "no file matches p/*.csv" in refused(other(dataset, source="p/*.csv"), root)


def test_a_stream_is_refused_as_not_read_yet(dataset, root):
    assert "read from kafka://" in refused(other(dataset, source="kafka://x/y"), root)


@pytest.mark.parametrize("name", ["prices.csv", "prices.parquet"])
def test_an_empty_file_is_refused(dataset, root, write, name):
    write(b"", name)
    assert f"{name}  the file is empty" in refused(other(dataset, source=name), root)


def test_a_header_alone_is_refused(dataset, root, write, csv):
    write(csv.splitlines()[0] + "\n")
    assert "has no rows" in refused(dataset, root)


def test_parquet_cut_anywhere_is_refused(dataset, root, write, csv):
    write(csv)
    out = io.BytesIO()
    source.read(dataset, root).write_parquet(out)
    for size in (3, 100, len(out.getvalue()) - 1):
        write(out.getvalue()[:size], "prices.parquet")
        assert "not whole Parquet" in refused(other(dataset, source="prices.parquet"), root)


def test_a_line_cut_short_is_named_by_its_number(dataset, root, write, csv):
    write(csv.rstrip()[:-9])
    assert "prices.csv:4  the line has 4 cells, the header 7" in refused(dataset, root)


def test_a_line_too_long_and_a_blank_line_are_named(dataset, root, write, csv):
    lines = csv.splitlines()
    write("\n".join([*lines[:2], "", lines[2] + ",9", lines[3]]))
    assert "prices.csv:3  the line has 0 cells, the header 7; lines 3, 4 of 2 such lines" in refused(dataset, root)


def test_a_ragged_line_is_found_among_quoted_ones(root, write):
    write('note,n\n"a, b",1\n"c"\n', "notes.csv")
    dataset = Dataset("notes", source="notes.csv", columns={"note": str, "n": int})
    assert "notes.csv:3  the line has 1 cells" in refused(dataset, root)


def test_a_column_twice_in_the_header_is_refused(dataset, root, write, csv):
    write(csv.replace("extra", "count"))
    assert 'column "count" stands twice in the header' in refused(dataset, root)


def test_a_missing_column_is_named_with_the_nearest_name(dataset, root, write, csv):
    write(csv.replace("price", "prise"))
    said = refused(dataset, root)
    assert 'column "price" is missing' in said
    assert 'did you mean "prise"?' in said


def test_every_problem_of_every_file_and_column_is_listed(dataset, root, write, csv):
    write(csv.replace("0.25", "cheap").replace(",3,", ",3.5,").replace("false", "maybe"), "p/a.csv")
    write(b"", "p/b.csv")
    said = refused(other(dataset, source="p/*.csv"), root)
    assert 'column "price" is not a finite float\n    why  row 2: "cheap"' in said
    assert 'column "count" is not an int\n    why  row 3: "3.5"' in said
    assert 'column "open" is not a bool' in said
    assert "p/b.csv  the file is empty" in said


def test_a_time_that_is_no_time_is_shown(dataset, root, write, csv):
    write(csv.replace("2026-01-01T01", "yesterday"))
    assert 'column "at" is not a time' in refused(dataset, root)


def test_infinity_is_not_a_number(dataset, root, write, csv):
    write(csv.replace("0.25", "inf"))
    assert 'row 2: "inf"' in refused(dataset, root)


@pytest.mark.parametrize(
    ("column", "values"),
    [("count", ["1", "2"]), ("count", [1.5, 2.0]), ("price", [True, False]), ("open", [0, 1]), ("kind", [1, 2]), ("at", [1, 2])],
)
def test_a_typed_column_of_another_type_is_refused(dataset, root, column, values):
    good = pl.DataFrame(
        {
            "price": [0.1, 0.2],
            "count": [1, 2],
            "open": [True, False],
            "kind": ["x", "y"],
            "at": ["2026-01-01", "2026-01-02"],
            "id": ["a", "b"],
        }
    ).with_columns(pl.col("at").str.to_datetime("%Y-%m-%d"))
    assert f'column "{column}" is not' in refused(other(dataset, source=good.with_columns(pl.Series(column, values))), root)


def test_bytes_that_are_not_utf8_are_named_by_line(dataset, root, write, csv):
    write(csv.replace(",y,", ",é,").encode("latin-1"))
    assert "prices.csv:3  the file is not UTF-8" in refused(dataset, root)


def test_a_folder_in_place_of_a_file_is_refused(dataset, root):
    (root / "prices.csv").mkdir()
    assert "cannot be opened" in refused(dataset, root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(dataset, root, write, csv):
    write(csv).chmod(0)
    assert "cannot be opened" in refused(dataset, root)


def test_a_permission_error_says_who_must_act(dataset, root, write, csv, monkeypatch):
    write(csv)

    def denied(_self, _mode):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    assert "let the user who runs flyball read it" in refused(dataset, root)


def test_an_unknown_kind_of_file_is_refused(dataset, root, write, csv):
    write(csv, "prices.xlsx")
    assert '".xlsx" files are not read' in refused(other(dataset, source="prices.xlsx"), root)


def test_a_mark_stays_until_the_file_or_the_contract_changes(dataset, root, write, csv):
    path = write(csv)
    mark = source.mark(dataset, root)
    assert source.mark(dataset, root) == mark
    os.utime(path, ns=(1, 1))
    touched = source.mark(dataset, root)
    stricter = other(dataset, columns={**dataset.columns, "price": Column(float, between=(0, 0.4))})
    assert len({mark, touched, source.mark(stricter, root)}) == 3
    path.unlink()
    assert source.mark(dataset, root) not in {mark, touched}


def test_reading_typed_and_reading_as_text_give_the_same_rows(dataset, root, write, csv, monkeypatch):
    for text in (
        csv,
        csv.replace("0.25", "1e-3"),
        csv.replace("T02:00:00", " 02:00"),
        csv.replace("c,,3", "c,NaN,3"),
        csv.replace("0.25", " 0.25 "),
    ):
        write(text)
        typed = source.read(dataset, root)
        with monkeypatch.context() as patch:
            patch.setattr(delimited, "quick", lambda *_: None)
            assert source.read(dataset, root).equals(typed)


def test_cells_that_are_not_separated_by_commas_are_said(dataset, root, write, csv):
    write(csv.replace(",", ";"))
    assert "the header is one cell, with ';' in it" in refused(dataset, root)


def test_a_source_function_that_raises_is_named(dataset, root):
    broken = other(dataset, source=lambda: 1 / 0)
    assert "its source raised ZeroDivisionError" in refused(broken, root)
    assert source.mark(broken, root) == source.mark(broken, root)


@pytest.mark.parametrize("made", [sql("select 1", url="sqlite://"), sql("select 1", url=secret("NO_SUCH_SECRET")), "s3://bucket/x.parquet"])
def test_every_source_has_a_mark_without_being_reached(dataset, root, made):
    assert len(source.mark(other(dataset, source=made), root)) == 32


FAR = 2**53


@pytest.mark.parametrize("moment", [FAR, -FAR, 6_511_086_857_254_642_010, -(2**63) + 1, 2**63 - 1])
@pytest.mark.parametrize("column", ["at", "born", "came"])
def test_a_time_that_no_event_can_say_is_named_by_file_column_and_row(dataset, root, write, csv, column, moment):
    write(csv)
    rows = source.read(dataset, root).with_columns(born=pl.col("at"), came=pl.col("at"))
    wrong = pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(moment)).otherwise(pl.col(column).cast(pl.Int64)).cast(pl.Datetime("us"))
    write(rows.with_columns(wrong.alias(column)), "prices.parquet")
    made = other(dataset, source="prices.parquet", columns={**dataset.columns, "born": Column("time")}, arrived="came")
    said = refused(made, root)
    assert f'prices.parquet  "{column}" in row 2 is no plausible time' in said
    assert "within 2^53 µs of 1970, from 1684-07-28 to 2255-06-05" in said


@pytest.mark.parametrize("moment", [FAR - 1, 1 - FAR])
def test_the_farthest_times_are_read_and_can_be_recorded(root, write, blobs, moment):
    write(pl.DataFrame({"x": [1, 2], "at": pl.Series([moment, 0]).cast(pl.Datetime("us"))}), "x.parquet")
    event = refresh(Dataset("x", source="x.parquet", time="at", columns={"x": int}), root, blobs, None)
    assert moment in (event.version.first, event.version.last)
    write_body(1, "loop", "c", event)


@pytest.mark.parametrize(
    "far",
    [
        pl.Series([None, 2**62]).cast(pl.Datetime("ms")),
        pl.Series([None, 2**63 - 1]).cast(pl.Datetime("ns")),
        pl.Series([None, 2**31 - 1], dtype=pl.Int32).cast(pl.Date),
        pl.Series([None, -(2**62)]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
    ],
)
def test_a_time_of_any_unit_may_be_too_far(root, write, far):
    write(pl.DataFrame({"x": [1, 2], "at": far}), "x.parquet")
    assert '"at" in row 2 is no plausible time' in refused(Dataset("x", source="x.parquet", time="at", columns={"x": int}), root)


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59", "9999-12-31", "0001-01-01 00:00", "1066-10-14T09:00:00Z"])
def test_a_time_in_a_csv_may_be_too_far(dataset, root, write, csv, text):
    write(csv.replace("2026-01-01T01:00:00", text))
    assert 'prices.csv  "at" in row 2 is no plausible time' in refused(dataset, root)


def test_a_cell_is_shown_on_one_line(root, write):
    write('n\n"a\tb' + "\n" + "x" * 100 + '"\n', "x.csv")
    assert r'row 1: "a\tb\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"' in refused(Dataset("x", source="x.csv", columns={"n": int}), root)
