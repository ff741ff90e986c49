"""Paths, globs and folders of partitions: which files are read, and what their folders say."""

from __future__ import annotations

import polars as pl
import pytest

from flyball.data import source
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import BadInput


def sales(path="sales/**/*.parquet", **columns):
    return Dataset("sales", source=path, time="at", columns={"amount": float, "day": "time", "shop": int, **columns})


def rows(*hours, amount=1.0):
    return pl.DataFrame({"amount": [amount] * len(hours), "at": [f"2026-01-0{day}T00:00:00" for day in hours]}).with_columns(
        pl.col("at").str.to_datetime(time_unit="us")
    )


def said(dataset, root):
    with pytest.raises(BadInput) as caught:
        source.read(dataset, root)
    return str(caught.value)


@pytest.mark.parametrize("path", ["sales/**/*.parquet", "sales/*/*/*.parquet", "sales"])
def test_folders_of_partitions_give_the_columns_that_they_name(root, write, path):
    write(rows(1), "sales/day=2026-01-01/shop=7/a.parquet")
    write(rows(2, 3), "sales/day=2026-01-02/shop=8/a.parquet")
    write(b"", "sales/day=2026-01-02/shop=8/_SUCCESS")
    frame = source.read(sales(path), root)
    assert frame.columns == ["amount", "day", "shop", "at"]
    assert frame["shop"].to_list() == [7, 8, 8]
    assert [str(day)[:10] for day in frame["day"]] == ["2026-01-01", "2026-01-02", "2026-01-02"]
    assert frame["shop"].dtype == pl.Int64


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_partitions_hold_files_of_any_kind(root, write, kind):
    text = "amount,at\n1.5,2026-01-01\n" if kind == "csv" else '{"amount": 1.5, "at": "2026-01-01"}\n'
    write(text, f"sales/day=2026-01-01/shop=7/a.{kind}")
    assert source.read(sales(f"sales/**/*.{kind}"), root)["shop"].to_list() == [7]


def test_a_folder_without_a_value_is_missing_and_its_name_is_unquoted(root, write):
    write(rows(1), "sales/day=2026-01-01/shop=__HIVE_DEFAULT_PARTITION__/city=S%C3%A3o%20Paulo/a.parquet")
    frame = source.read(sales(city=str), root)
    assert frame.select("shop", "city").row(0) == (None, "São Paulo")


def test_a_folder_that_names_no_value_of_its_column_is_named(root, write):
    write(rows(1), "sales/day=2026-01-01/shop=seven/a.parquet")
    write(rows(1), "sales/day=yesterday/shop=7/a.parquet")
    told = said(sales(), root)
    assert 'shop=seven/a.parquet  the folder "shop=seven" names no int' in told
    assert 'the folder "day=yesterday" names no time' in told


def test_a_column_that_changes_its_kind_between_files_is_named_with_both_files(root, write):
    write(rows(1), "p/a.parquet")
    write(rows(2).with_columns(amount=pl.lit("cheap")), "p/b.parquet")
    told = said(Dataset("p", source="p/*.parquet", time="at", columns={"amount": float}), root)
    assert 'p/b.parquet  column "amount" changes from file to file' in told
    assert "p/a.parquet says double, p/b.parquet says large_string" in told


def test_files_may_keep_a_column_in_other_widths(root, write):
    write(rows(1).with_columns(pl.col("amount").cast(pl.Float32)), "p/a.parquet")
    write(rows(2).with_columns(pl.col("amount").cast(pl.Int16)), "p/b.parquet")
    frame = source.read(Dataset("p", source="p/*.parquet", time="at", columns={"amount": float}), root)
    assert frame["amount"].to_list() == [1.0, 1.0]


def test_a_column_that_one_file_of_many_lacks_is_named_with_the_file(root, write):
    write(rows(1), "p/a.parquet")
    write(rows(2).rename({"amount": "amounts"}), "p/b.parquet")
    told = said(Dataset("p", source="p/*.parquet", time="at", columns={"amount": float}), root)
    assert 'p/b.parquet  column "amount" is missing' in told
    assert 'did you mean "amounts"?' in told


def test_many_small_files_are_given_in_one_batch_and_a_large_one_in_many(root, write):
    for place in range(50):
        write(rows(1), f"p/{place:02}.parquet")
    small = Dataset("p", source="p/*.parquet", time="at", columns={"amount": float})
    assert [batch.height for batch in source.stream(small, root)] == [50]
    write(pl.concat([rows(1)] * 300_000), "large.parquet")
    heights = [batch.height for batch in source.stream(Dataset("p", source="large.parquet", time="at", columns={"amount": float}), root)]
    assert sum(heights) == 300_000
    assert max(heights) <= 131_072


def test_an_id_that_is_missing_is_named_by_row_and_never_shown(root, write):
    write("id,amount,at\na,1,2026-01-01\n,2,2026-01-02\n,3,2026-01-03\n", "p.csv")
    told = said(Dataset("p", source="p.csv", time="at", id="id", columns={"amount": float}), root)
    assert 'p.csv  "id" is missing' in told
    assert "row 2, row 3" in told


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_no_number_is_no_key(root, write, value):
    frame = rows(1, 2).with_columns(account=pl.Series([1.0, value]))
    write(frame, "p.parquet")
    keyed = Dataset("p", source="p.parquet", time="at", id="account", columns={"amount": float, "account": Column(int)})
    if value != value:  # missing, and how much of a column may be missing is in its contract
        assert source.read(keyed, root)["account"].to_list() == [1, None]
    else:
        assert 'column "account" is not an int' in said(keyed, root)


@pytest.mark.parametrize("path", ["sales", "sales/**/*.csv"])
def test_what_lies_hidden_or_unfinished_beside_the_files_is_none_of_the_data(root, write, path):
    text = "amount,at\n1.5,2026-01-01\n"
    write(text, "sales/day=2026-01-01/shop=7/a.csv")
    for beside in ("_temporary/0/day=2026-01-01/shop=7/a.csv", ".ipynb_checkpoints/a-checkpoint.csv", "day=2026-01-01/shop=7/._a.csv"):
        write(text, f"sales/{beside}")
    assert source.read(sales(path), root).height == 1


@pytest.mark.parametrize("path", ["sales/.hidden/*.csv", "sales/.h*/*.csv", "sales/_old/*.csv"])
def test_what_a_pattern_spells_out_is_read(root, write, path):
    for folder in (".hidden", "_old"):
        write("amount,at,day,shop\n1.5,2026-01-01,2026-01-01,7\n", f"sales/{folder}/a.csv")
    assert source.read(sales(path), root).height == 1


@pytest.mark.parametrize("path", ["*.csv", "a[1].csv", "../in*/*.csv"])
def test_a_project_and_its_files_may_be_called_anything(root, write, path):
    write("amount,at,day,shop\n1.5,2026-01-01,2026-01-01,7\n", "in [x]/a[1].csv")
    assert source.read(sales(path), root / "in [x]").height == 1


def test_a_folder_above_the_project_gives_no_column_its_value(root, write):
    write("amount,at,day,shop\n1.5,2026-01-01,2026-01-01,7\n", "shop=9/project/a.csv")
    assert source.read(sales("a.csv"), root / "shop=9/project")["shop"].to_list() == [7]


def test_a_folder_of_files_that_are_no_parquet_says_how_to_name_them(root, write):
    write("amount,at,day,shop\n1.5,2026-01-01,2026-01-01,7\n", "sales/a.csv")
    assert "sales  is a folder without Parquet files\n    fix  name its files, such as sales/*.csv" in said(sales("sales"), root)
