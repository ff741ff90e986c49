"""The reference of drift is made of what everybody asked, not of those alone whose label came."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

import flyball as fb
from flyball.features.assemble import training_rows
from flyball.training.requested import requested

END = 2**52


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    return None


def model(frame: pl.DataFrame, *, time: str = "at") -> fb.Model:
    data = fb.Dataset(
        "loans",
        source=frame,
        time=time,
        columns={"x": float, "why": str, "paid": fb.column(int, one_of=(0, 1), nulls="100%", known_after="1d")},
    )
    return fb.Model("m", task="binary", data=data, label="paid", inputs=["x"], slices=["why"], train=fb.Train(fit))


def rows(n: int = 100) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "at": [datetime(2026, 1, 1) + timedelta(hours=hour) for hour in range(n)],
            "x": np.arange(n, dtype=float),
            "why": ["car", "home"] * (n // 2),
            "paid": [1 if hour % 3 == 0 else None for hour in range(n)],
        }
    )


def test_rows_without_a_label_count_between_the_first_and_the_last_that_was_learned() -> None:
    frame = rows()
    declared = model(frame)
    trained = training_rows(declared, {"loans": frame}, as_of=END)[10:20]
    found = requested(declared, {"loans": frame}, trained, END)
    assert found.columns == ["__time", "x", "why"]
    assert found["x"].to_list() == [float(hour) for hour in range(30, 58)]
    assert found["__time"].is_sorted()


def test_what_was_not_known_yet_is_not_seen() -> None:
    frame = rows()
    declared = model(frame)
    trained = training_rows(declared, {"loans": frame}, as_of=END)
    known_by = int(trained["__time"][-1]) - 10 * 3_600_000_000 + 86_400_000_000
    found = requested(declared, {"loans": frame}, trained, known_by)
    assert int(found["__time"][-1]) <= known_by - 86_400_000_000


def test_where_every_row_has_a_label_nothing_else_is_read() -> None:
    frame = rows().with_columns(pl.lit(1).alias("paid"))
    declared = model(frame)
    trained = training_rows(declared, {"loans": frame}, as_of=END)
    assert requested(declared, {"loans": frame}, trained, END)["x"].to_list() == trained["x"].to_list()


def test_rows_without_a_time_are_those_that_were_learned() -> None:
    frame = rows().drop("at")
    declared = model(frame, time="")
    trained = training_rows(declared, {"loans": frame}, as_of=END)
    assert requested(declared, {"loans": frame}, trained, END).height == trained.height
