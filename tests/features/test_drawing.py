"""The drawing of docs/features.md says what the engine does: its table is its rows, and the values told under it are those."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import flyball as fb
from flyball.features.assemble import served, training_rows

DOCS = (Path(__file__).parent.parent.parent / "docs" / "features.md").read_text()
DAY = datetime(2026, 1, 1)
ROW = re.compile(r"^\| (\w+) \| (\d\d:\d\d) \| (\d\d:\d\d) \| (\d\d:\d\d) \| (yes|no)[^|]*\| (yes|no)[^|]*\| (\d+) \|$", re.MULTILINE)
DRAWN = ROW.findall(DOCS)


def moment(text: str) -> datetime:
    return DAY + timedelta(hours=int(text[:2]), minutes=int(text[3:]))


ROWS = pl.DataFrame(
    {
        "n": [int(row[6]) for row in DRAWN],
        "ts": [moment(row[1]) for row in DRAWN],
        "arrived": [moment(row[2]) for row in DRAWN],
        "y": 1.0,
        "day": 1,
    },
    schema={"n": pl.Int64, "ts": pl.Datetime("us"), "arrived": pl.Datetime("us"), "y": pl.Float64, "day": pl.Int64},
)


def values(rows: pl.DataFrame = ROWS, ttl: str | None = None) -> dict[str, Any]:
    """What the view gives for the row at T = 16:00."""
    columns = {"day": fb.column(int, known_after="-7d"), "n": fb.column(int, known_after="30m"), "y": fb.column(float, known_after="30m")}
    data = fb.Dataset("d", source="d.csv", time="ts", arrived="arrived", columns=columns)
    view = fb.FeatureView("v", data, ttl=ttl, features={"newest": "n", "window": fb.window("3h", ago="1h").sum("n")})
    framing = fb.Framing("drawn", horizon="4h")
    model = fb.Model("m", task="regression", data=data, label="y", features=[view], framing=framing)
    trained = training_rows(model, {"d": rows}, as_of=2**52).filter(pl.col("__time") == int(ROWS["ts"].cast(pl.Int64)[-1]))
    asked = served(model, pl.DataFrame({"day": [1]}), [int(ROWS["ts"].cast(pl.Int64)[-1])], rows).features
    assert trained.select("newest", "window").equals(asked.select("newest", "window"))
    return asked.select("newest", "window").row(0, named=True)


def test_the_table_has_the_rows_of_the_drawing() -> None:
    assert [row[0] for row in DRAWN] == ["a", "b", "c", "d", "e", "f", "g", "h", "self"]


def test_the_values_are_those_that_are_told() -> None:
    assert values() == {"newest": 32, "window": 52.0}
    assert values(ttl="30m") == {"newest": None, "window": 52.0}
    assert "`window` is 4 + 16 + 32 = 52, and `newest` is 32" in DOCS


@pytest.mark.parametrize("row", DRAWN, ids=[row[0] for row in DRAWN])
def test_each_row_is_seen_and_counted_as_the_table_says(row: tuple[str, ...]) -> None:
    _, time, arrived, known, seen, counted, n = row
    assert moment(known) == max(moment(arrived), moment(time) + timedelta(minutes=30))
    own = ROWS["n"] == int(n)
    # alone beside the row that asks, it is the newest one if it is seen at all
    alone = values(ROWS.filter(own | (ROWS["n"] == 256)))
    assert (alone["newest"] == int(n)) == (seen == "yes")
    assert (alone["window"] == float(n)) == (counted == "yes")
    assert (int(values()["window"]) & int(n) > 0) == (counted == "yes")
