"""A look at a source comes to an event exactly when there is something to say."""

from __future__ import annotations

import io
import os
from collections import UserDict
from pathlib import Path

import polars as pl
import pytest

from flyball.data import refresh as module
from flyball.data import source
from flyball.data.against import Against
from flyball.data.commit import load_content
from flyball.data.fold import FOLDS
from flyball.data.refresh import refresh
from flyball.data.rules import due, is_news
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.ledger.canonical import write_body
from flyball.records.base import Recorded
from flyball.records.data import DATASET_VERSIONS, DATASETS, DataCommitted, DataRefused, DatasetRow
from flyball.store.blobs import LocalBlobs


class Rows(UserDict):
    """A projection in a dictionary."""

    def get(self, table, key):
        return self.data.get((table.name, key))

    def put(self, table, key, row):
        self.data[table.name, key] = row

    def delete(self, table, key):
        self.data.pop((table.name, key), None)


@pytest.fixture
def look(dataset, root, blobs):
    """Look at the source, fold what it comes to, and return the event."""
    rows = Rows()

    def looked(made=dataset):
        event = refresh(made, root, blobs, rows.get(DATASETS, made.name))
        if event is not None:
            FOLDS[type(event)](rows, Recorded(1, 0, "loop", "c", event))
        return event

    looked.rows = rows
    return looked


def head(look):
    return look.rows.get(DATASETS, "prices")


def test_a_new_source_is_committed_once(look, write, csv):
    write(csv)
    event = look()
    assert isinstance(event, DataCommitted)
    assert event.version.version == "1.0.0"
    assert look() is None
    assert look.rows.get(DATASET_VERSIONS, f"prices/{event.version.content}") == event.version


def test_an_unchanged_source_is_not_read_again(look, write, csv, monkeypatch):
    write(csv)
    look()
    monkeypatch.setattr(source, "stream", lambda *_: pytest.fail("read"))
    assert look() is None


def test_new_rows_make_a_new_version(look, write, csv):
    write(csv)
    look()
    write(csv + "2026-01-01T03:00:00,d,1,4,true,y,?\n")
    assert look().version.version == "1.0.1"
    assert head(look).head.rows == 4


def test_a_broken_contract_is_refused_once_and_the_head_stays(look, write, csv):
    write(csv)
    good = look().version
    write(csv.replace("0.25", "25.0").replace(",x,", ",z,"))
    event = look()
    assert isinstance(event, DataRefused)
    assert len(event.violations) == 2
    assert look() is None
    assert head(look).head == good
    assert head(look).violations == event.violations


def test_a_source_that_is_put_right_is_good_again_under_its_old_version(look, write, csv):
    write(csv)
    good = look().version
    write("nonsense")
    look()
    write(csv)
    assert look().version.content == good.content
    assert head(look).head.version == "1.0.0"
    assert head(look).violations == ()
    assert look() is None


def test_a_missing_source_is_refused_and_found_when_it_comes(look, write, csv):
    assert "does not exist" in look().violations[0]
    assert look() is None
    write(csv)
    assert isinstance(look(), DataCommitted)


def test_a_file_written_in_pieces_loses_nothing(look, root, blobs, dataset, write, csv):
    whole = source.read(dataset, (write(csv)).parent)
    out = io.BytesIO()
    whole.write_parquet(out)
    data = out.getvalue()
    made = Dataset("prices", source="p.parquet", time="at", id="id", columns=dataset.columns)
    for size in (10, len(data) // 2, len(data) - 2):
        write(data[:size], "p.parquet")
        assert isinstance(look(made), DataRefused)
    write(data, "p.parquet")
    assert look(made).version.rows == 3
    assert head(look).violations == ()


def test_a_file_that_changes_while_it_is_read_is_left_to_the_next_look(look, root, write, csv, monkeypatch):
    write(csv)
    real = source.stream

    def meanwhile(dataset, folder):
        yield from real(dataset, folder)
        write(csv + "2026-01-01T03:00:00,d,1,4,true,y,?\n")

    monkeypatch.setattr(source, "stream", meanwhile)
    assert look() is None
    monkeypatch.setattr(source, "stream", real)
    assert look().version.rows == 4


def test_a_changed_contract_looks_at_the_same_bytes_again(look, dataset, write, csv):
    write(csv)
    look()
    stricter = Dataset("prices", source=dataset.source, time="at", id="id", columns=dataset.columns, min_rows=10)
    assert look(stricter).violations == ("3 rows, at least 10 are required; 3 in version 1.0.0",)


def test_many_long_violations_are_cut_and_counted(look, root, blobs):
    made = Dataset("prices", source="w.csv", columns={f"c{place}": int for place in range(60)})
    names = ",".join(made.columns)
    (root / "w.csv").write_text(f"{names}\n" + ",".join(["x" * 5_000] * 60) + "\n")
    event = look(made)
    assert len(event.violations) == module.MOST + 1
    assert event.violations[-1] == "and 40 more"
    assert max(map(len, event.violations)) <= module.LONGEST + 1


def test_violations_in_any_script_fit_into_an_event(look, root, blobs):
    names = [f"столбец_{place}_" + "ё" * 300 for place in range(60)]
    (root / "w.csv").write_text(",".join(names) + "\n" + ",".join(["ж" * 5_000] * 60) + "\n")
    event = look(Dataset("prices", source="w.csv", columns=dict.fromkeys(names, int)))
    assert isinstance(event, DataRefused)
    assert len(write_body(1, "loop", "c", event)) <= 16 * 1024


def test_the_same_refusal_is_said_once():
    rows = Rows()
    event = DataRefused(name="prices", source_mark="m", violations=("a",))
    FOLDS[DataRefused](rows, Recorded(1, 0, "loop", "c", event))
    row = rows.get(DATASETS, "prices")
    assert not is_news(row, DataRefused(name="prices", source_mark="m", violations=("other words",)))
    assert not due(row, "m")
    assert due(row, "n")
    assert due(None, "m")


def test_the_market_is_read_committed_and_read_back(blobs):
    folder = os.environ.get("FLYBALL_TEST_DATA")
    if not folder:
        pytest.skip("FLYBALL_TEST_DATA does not name the folder of test data")
    columns = dict.fromkeys(("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"), float)
    made = Dataset("nsw", source="data/electricity.csv", time="ts", columns={"day": int, **columns, "up": int}, min_rows=1_000)
    event = refresh(made, Path(folder), blobs, None)
    assert event.version.rows == 45_312
    assert load_content(event.version.content, blobs).schema["ts"] == pl.Datetime("us")


def test_what_the_contract_only_warns_of_is_committed_with_the_version(look, root, write, csv):
    free = Dataset("prices", source="prices.csv", time="at", id="id", columns={"kind": str, "price": Column(float, nulls="50%")})
    rows = [
        f"2026-01-01T{hour:02}:{minute:02}:00,r{hour}-{minute},1,1,true,{'xy'[minute % 2]},?" for hour in range(20) for minute in range(60)
    ]
    header = csv.splitlines()[0]
    write("\n".join([header, *rows]))
    assert look(free).findings == ()
    assert head(look).findings == ()
    write("\n".join([header, *rows, *(f"2026-01-02T00:{minute:02}:00,s{minute},1,1,true,{'xz'[minute % 2]},?" for minute in range(60))]))
    event = look(free)
    assert isinstance(event, DataCommitted)
    assert [one.text for one in event.findings] == [
        "kind: 30 of 60 new rows have a value that was never there: z (30); 0 in version 1.0.0; new since 2026-01-02"
    ]
    assert event.findings[0].values == ("z (30)",)
    assert head(look).findings == event.findings
    assert head(look).head == event.version


def test_what_is_refused_says_all_that_does_not_hold_and_what_blocks_first(look, write, csv):
    made = Dataset(
        "prices",
        source="prices.csv",
        time="at",
        id="id",
        columns={"price": Column(float, between=(0, 0.3), nulls="50%", on_breach="warn"), "count": Column(int, between=(0, 2))},
    )
    write(csv)
    event = look(made)
    assert event.violations == ("count: 1 of 3 values are not between 0 and 2 (row 3: 3)",)
    assert [(one.rule, one.column, one.severity) for one in event.findings] == [("between", "count", "block"), ("between", "price", "warn")]
    assert head(look).findings == event.findings


def test_rows_are_numbered_and_ordered_as_in_the_source(look, write, csv):
    made = Dataset("prices", source="prices.csv", time="at", id="id", disorder="30m", columns={"count": Column(int, between=(2, 9))})
    lines = csv.splitlines()
    write("\n".join([lines[0], lines[3], lines[1], lines[2]]))
    assert look(made).violations == (
        "at: 2 of 3 rows lie more than 30m behind an earlier row of the source, at most 2h (row 2: 2026-01-01 00:00:00, row 3: 2026-01-01 01:00:00)",
        "count: 1 of 3 values are not between 2 and 9 (row 2: 1)",
    )


def test_values_are_looked_for_in_the_head_of_the_other_data_set_and_else_in_its_source(root, blobs, write, csv):
    kinds = Dataset("kinds", source="kinds.csv", id="kind", columns={"name": str})
    made = Dataset("prices", source="prices.csv", time="at", id="id", columns={"kind": str}, references={"kind": kinds})
    write(csv)
    assert refresh(made, root, blobs, None).violations == ("kind: nothing is known of kinds.kind, where its values must be found",)
    write("kind,name\nx,one\n", "kinds.csv")
    assert refresh(made, root, blobs, None).violations == ("kind: 1 of 3 values are not in kinds.kind: y (1) (row 2: y)",)
    known = refresh(kinds, root, blobs, None).version
    write("kind,name\nx,one\ny,two\n", "kinds.csv")
    lies = Against(content={"kinds": known.content}.get)
    assert isinstance(refresh(made, root, blobs, None, against=lies), DataRefused)
    assert isinstance(refresh(made, root, blobs, None), DataCommitted)


def test_times_in_the_future_are_held_against_the_clock(root, blobs, write, csv, dataset):
    write(csv)
    early = Against(now=lambda: 1_767_225_600_000_000 - 2 * 86_400_000_000)
    event = refresh(dataset, root, blobs, None, against=early)
    assert [(one.rule, one.count) for one in event.findings] == [("ahead", 3)]


def test_so_many_warnings_as_fit_are_in_the_event(look, root, blobs):
    made = Dataset(
        "prices", source="w.csv", columns={f"c{place}{'é' * 200}": Column(int, between=(0, 1), on_breach="warn") for place in range(60)}
    )
    (root / "w.csv").write_text(",".join(made.columns) + "\n" + ",".join(["9"] * 60) + "\n", encoding="utf-8")
    event = look(made)
    assert isinstance(event, DataCommitted)
    assert 5 < len(event.findings) <= module.MOST
    assert len(write_body(1, "loop", "c", event)) <= 16 * 1024


CELLS = {int: "{0}", float: "{0}.0", bool: "true", str: "w{0}", "time": "2026-01-01T00:00:{0:02}Z"}


@pytest.mark.parametrize("before", CELLS)
@pytest.mark.parametrize("after", CELLS)
def test_a_column_that_is_declared_anew_with_another_type_is_compared_with_nothing(tmp_path, before, after):
    blobs, file = LocalBlobs(tmp_path / "blobs"), tmp_path / "r.csv"
    file.write_text("x\n" + "\n".join(CELLS[before].format(place % 60) for place in range(600)) + "\n")
    shift = None if after == "time" else "1%"
    data = [Dataset("r", source="r.csv", columns={"x": column}) for column in (Column(before), Column(after, shift=shift))]
    first = refresh(data[0], tmp_path, blobs, None)
    file.write_text("x\n" + "\n".join(CELLS[after].format(place % 60) for place in range(1_200)) + "\n")
    found = refresh(data[1], tmp_path, blobs, DatasetRow(head=first.version))
    assert isinstance(found, DataCommitted), found
    assert found.findings == ()
