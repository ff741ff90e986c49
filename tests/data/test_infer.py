"""What is guessed from rows can be pasted as it is, and holds for the rows it was guessed from."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flyball as fb
from flyball.data.contract import findings
from flyball.data.infer import _outwards, infer, lines
from flyball.data.source import read
from flyball.declare.data import Dataset
from flyball.errors import BadInput


def pasted(root, source):
    """The declaration that is written, run as Python."""
    text = "\n".join(lines(infer(source, root)))
    names: dict[str, object] = {}
    exec(compile(text, "loop.py", "exec"), names)
    [made] = [value for value in names.values() if isinstance(value, Dataset)]
    return made, text


def frame(count=100):
    return pl.DataFrame(
        {
            "order_id": range(1000, 1000 + count),
            "amount": [12.5 * place for place in range(count)],
            "word": ["new", "used"] * (count // 2),
            "flag": [True, False] * (count // 2),
            "comment": [f"line {place}" for place in range(count)],
            "email": [f"p{place % 7}@example.org" for place in range(count)],
            "code": [0, 1] * (count // 2),
            "maybe": [None if place % 8 == 0 else place for place in range(count)],
            "bought_at": [datetime(2026, 1, 1) + timedelta(hours=place) for place in range(count)],
            "arrived_at": [datetime(2026, 1, 1, 0, 5) + timedelta(hours=place) for place in range(count)],
        }
    )


def written(root, kind, rows):
    path = root / f"orders.{kind}"
    if kind == "csv":
        rows.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%S")
    elif kind == "jsonl":
        path.write_bytes(rows.with_columns(pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_ndjson().encode())
    else:
        rows.write_parquet(path)
    return path.name


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_what_is_guessed_is_pasted_and_holds(root, kind):
    made, text = pasted(root, written(root, kind, frame()))
    assert (made.name, made.time, made.arrived, made.id, made.unique) == ("orders", "bought_at", "arrived_at", "order_id", ("order_id",))
    columns = made.columns
    assert {name: column.type for name, column in columns.items()} == {
        "order_id": "int",
        "amount": "float",
        "word": "str",
        "flag": "bool",
        "comment": "str",
        "email": "str",
        "code": "int",
        "maybe": "int",
    }
    assert columns["amount"].between == (0, 2000)
    assert columns["word"].one_of == ("new", "used")
    assert columns["code"].one_of == (0, 1)
    assert columns["comment"].one_of is None
    assert columns["maybe"].nulls == 0.13
    assert columns["email"].personal
    assert "example.org" not in text
    assert findings(made, read(made, root)) == []


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12),
    whole=st.integers(-(2**62), 2**62),
    word=st.text(max_size=8),
)
def test_any_rows_hold_what_was_guessed_of_them(tmp_path_factory, numbers, whole, word):
    root = tmp_path_factory.mktemp("rows")
    rows = pl.DataFrame(
        {"x": numbers, "whole": [whole] * len(numbers), word + "w": ['é"\\\n' + word] * len(numbers)}, schema_overrides={"x": pl.Float64}
    )
    rows.write_parquet(root / "rows.parquet")
    made, _ = pasted(root, "rows.parquet")
    assert findings(made, read(made, root)) == []


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (512.3, 98_112.0, (500, 100_000)),
        (-3.2, 7.9, (-4, 8)),
        (0, 0, (0, 0)),
        (5, 5, (5, 5)),
        (0.012, 0.087, (0.01, 0.09)),
        (1, 7, (1, 7)),
        (-1e308, 1e308, None),
    ],
)
def test_ranges_are_rounded_outwards(low, high, ends):
    found = _outwards(low, high)
    assert found[0] <= low
    assert found[1] >= high
    if ends:
        assert found == ends


def test_numbers_in_quotes_and_mixed_cells_are_what_the_reader_reads(root):
    (root / "t.csv").write_text("a,b,c,d\n1,yes,2026-01-01,\n2.5,no,2026-01-02,\nNA,1,,\n", encoding="utf-8")
    made, _ = pasted(root, "t.csv")
    assert {name: column.type for name, column in made.columns.items()} == {"a": "float", "b": "str", "c": "time", "d": "str"}
    assert read(made, root)["a"].to_list() == [1.0, 2.5, None]


def test_columns_that_hold_no_plain_values_are_named_and_left_out(root):
    pl.DataFrame({"x": [1], "many": [[1, 2]]}).write_parquet(root / "t.parquet")
    _, text = pasted(root, "t.parquet")
    assert "# many is left out: it holds no plain values, or has no plain name" in text


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("t.txt", b"x", "are not read"),
        ("t.parquet", b"no", "is not whole Parquet"),
        ("t.jsonl", b"{", "is not JSON Lines"),
        ("t.jsonl", b'{"a": 1}\n{"a": NaN}\n', "line 2: NaN is no JSON"),
        ("t.csv", b"", "the file is empty"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16"), "is not UTF-8"),
        ("t.csv", b"a,b\n1\n", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(root, name, data, says):
    (root / name).write_bytes(data)
    with pytest.raises(BadInput, match=says):
        infer(name, root)


def test_the_command_writes_python_or_a_document(root, capsys):
    from flyball.cli.main import run

    written(root, "csv", frame())
    assert run(["data", "infer", str(root / "orders.csv"), "--project", str(root)]) == 0
    text = capsys.readouterr().out
    assert f'source="{root / "orders.csv"}"' in text or 'source="orders.csv"' in text
    assert run(["data", "infer", str(root / "orders.csv"), "--name", "sales", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["name"], document["rows"], document["time"]) == ("sales", 100, "bought_at")
    assert 'fb.Dataset(\n    "sales"' in document["text"]
    assert fb.Dataset
    assert run(["data", "infer", str(root / "nothing.csv")]) != 0
    assert "does not exist" in capsys.readouterr().err


def test_a_declared_data_set_is_looked_at_by_its_name(root, capsys):
    from flyball.cli.main import run

    written(root, "csv", frame())
    (root / "flyball.toml").touch()
    (root / "loop.py").write_text(
        'import flyball as fb\norders = fb.Dataset("sold", source="orders.csv", time="bought_at", columns={"amount": float, "flag": bool})\n'
        'm = fb.Model("m", task="binary", data=orders, label="flag")\n'
    )
    assert run(["data", "infer", "sold", "--project", str(root)]) == 0
    out = capsys.readouterr().out
    assert 'sold = fb.Dataset(\n    "sold",\n    source="orders.csv"' in out


def test_so_is_one_that_a_model_only_refers_to(root, capsys):
    from flyball.cli.main import run

    (root / "shops.csv").write_text("shop,size\na,3\nb,4\n")
    (root / "flyball.toml").touch()
    (root / "loop.py").write_text(
        'import flyball as fb\nshops = fb.Dataset("places", source="shops.csv", id="shop", columns={"size": int})\n'
        'orders = fb.Dataset("sold", source="o.csv", time="at", columns={"shop": str, "ok": bool}, references={"shop": shops})\n'
        'm = fb.Model("m", task="binary", data=orders, label="ok")\n'
    )
    assert run(["data", "infer", "places", "--project", str(root)]) == 0
    assert 'source="shops.csv"' in capsys.readouterr().out


@pytest.mark.parametrize("stem", ["class", "fb", "0x", "None"])
def test_a_file_may_have_any_name(tmp_path, stem):
    (tmp_path / f"{stem}.csv").write_text("x\n1\n")
    made, _ = pasted(tmp_path, f"{stem}.csv")
    assert made.name == stem.lower()


def test_a_number_that_begins_with_zeros_is_a_code(tmp_path):
    (tmp_path / "towns.csv").write_text("zip,price,part\n01067,0.5,007\n80331,10,\n")
    made, _ = pasted(tmp_path, "towns.csv")
    assert [column.type for column in made.columns.values()] == ["str", "float", "str"]
    assert read(made, tmp_path)["zip"].to_list() == ["01067", "80331"]


def test_a_column_whose_name_cannot_be_declared_is_named(tmp_path):
    (tmp_path / "odd.csv").write_text("x,*,^y$\n1,2,3\n")
    made, text = pasted(tmp_path, "odd.csv")
    assert list(made.columns) == ["x"]
    assert "# * is left out" in text
    assert "# ^y$ is left out" in text


def test_what_folders_name_is_declared_as_what_it_holds(tmp_path):
    for day, shop in (("2026-01-01", "07"), ("2026-01-02", "08")):
        folder = tmp_path / "sales" / f"day={day}" / f"shop={shop}" / "rank=3"
        folder.mkdir(parents=True)
        pl.DataFrame({"x": [1.5, 2.5]}).write_parquet(folder / "a.parquet")
    for source in ("sales", "sales/**/*.parquet"):
        found = infer(source, tmp_path)
        assert {guess.name: guess.type for guess in found.columns} == {"x": "float", "day": "time", "shop": "str", "rank": "int"}
        made, _ = pasted(tmp_path, source)
        assert made.time == "day"
        assert read(made, tmp_path).height == 4


def test_the_cell_that_keeps_a_column_from_being_of_numbers_is_shown(tmp_path):
    (tmp_path / "t.csv").write_text("a\n" + "\n".join("hello" if place == 77 else str(place) for place in range(400)) + "\n")
    assert "400 values; all but 1 are numbers: hello" in pasted(tmp_path, "t.csv")[1]
