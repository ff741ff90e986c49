"""What counting and judging must agree on."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.evaluation.counts import Folder
from flyball.ledger.projection import MemoryProjection
from flyball.loop.folds import FOLDS
from flyball.loop.replay import _requests
from flyball.loop.watch import declared, loss_cap
from flyball.records.base import Recorded
from flyball.records.evidence import Watch
from flyball.records.versions import VersionRegistered
from flyball.training.requested import requested
from flyball.training.rows import assemble
from flyball.training.run import drift_reference


@pytest.mark.parametrize(("champion", "cap"), [("1.0.0", 40.0), ("", 8.0)])
def test_a_rollouts_margin_is_read_in_the_cap_that_its_pairs_were_clipped_by(champion: str, cap: float) -> None:
    state = MemoryProjection()
    for number, result in (("1.0.0", "a" * 64), ("1.1.0", "b" * 64)):
        event = VersionRegistered(
            model="m", version=number, run="r", artifact="c" * 64, result=result, version_digest="v", policy_digest="p", data={}, metrics={}
        )
        FOLDS[VersionRegistered](state, Recorded(seq=1, at=1, actor="loop", command="c", event=event))
    library: Any = SimpleNamespace(result=lambda digest: SimpleNamespace(loss_cap=40.0 if digest[0] == "a" else 8.0))
    row: Any = SimpleNamespace(model="m", version="1.1.0", champion=champion)
    assert loss_cap(library, state, row) == cap


def test_a_rehearsal_counts_every_column_that_is_watched() -> None:
    data = fb.Dataset(
        "d",
        source="x.csv",
        time="ts",
        columns={
            "a": fb.column(float, known_after="-1h"),
            "b": fb.column(float, known_after="-1h"),
            "y": fb.column(int, one_of=(0, 1), known_after="1h"),
        },
    )
    made = fb.Model(
        "m", task="binary", data=data, label="y", inputs=["b"], transforms={"t": pl.col("a") * 2}, train=fb.Train(lambda X, y: (X, y))
    )
    hours = range(200)
    frame = pl.DataFrame({
        "ts": [datetime(2024, 1, 1) + timedelta(hours=hour) for hour in hours],
        "a": [hour % 7 / 7 for hour in hours],
        "b": [hour % 5 / 5 for hour in hours],
        "y": [hour % 2 for hour in hours],
    })  # fmt: skip
    rows = assemble(made, {"d": frame}, as_of=2**52)
    held = rows.frame.tail(50).select("__time", pl.lit(1).alias("value"))
    watched = [bins.column for bins in drift_reference(made, requested(made, {"d": frame}, rows.frame, 2**52), rows.frame, held)]
    assert watched == ["b", "a", "label", "prediction"]
    assert {"a", "b"} <= set(_requests(made, rows, rows.times).columns)


@pytest.mark.parametrize("label", [(0, 1), ("no", "yes"), (False, True)])
def test_the_reference_has_labels_as_matured_ones_are_counted_and_every_column_by_slice(label: tuple[Any, Any]) -> None:
    kind = type(label[0])
    columns = {
        "a": fb.column(float, known_after="-1h"),
        "day": fb.column(int, known_after="-1h"),
        "who": fb.column(str, known_after="-1h", personal=True),
        "y": fb.column(kind, one_of=label) if kind is not bool else fb.column(bool),
    }
    data = fb.Dataset("d", source="x.csv", time="ts", columns=columns)
    made = fb.Model(
        "m", task="binary", data=data, label="y", inputs=["a", "day"], slices=["day", "who"], train=fb.Train(lambda X, y: (X, y))
    )
    hours = range(1_500)
    frame = pl.DataFrame({
        "ts": [datetime(2024, 1, 1) + timedelta(hours=hour) for hour in hours],
        "a": [hour % 7 / 7 for hour in hours],
        "day": [hour % 3 for hour in hours],
        "who": ["ana", "bo"] * 750,
        "y": [label[hour % 5 == 0] for hour in hours],
    })  # fmt: skip
    rows = assemble(made, {"d": frame}, as_of=2**52)
    held = rows.frame.tail(900).select("__time", pl.lit(1.0).alias("value"), pl.col("__slice_day").alias("day"))
    found = {
        (bins.column, bins.slice): bins
        for bins in drift_reference(made, requested(made, {"d": frame}, rows.frame, 2**52), rows.frame, held)
    }
    by_day = [f"day={number}" for number in range(3)]
    # who a row is of goes into no ledger, and in its own value a slice never moves
    assert set(found) == {("day", ""), *((column, name) for column in ("a", "label", "prediction") for name in ("", *by_day))}
    folder = Folder(Watch(model="m", task="binary", label_delay=Span(0), slices=("day",), bins=tuple(found.values()), origin=1))
    asked = _requests(made, rows, rows.times).with_columns(version=pl.lit("1.0.0"), value=rows.frame["__y"], score=pl.lit(None, pl.Float64))
    folder.add(asked, asked.select("request_id", "at", pl.col("value")))
    matured = [counts for counts in folder.take(2**52).inputs if counts.column == "label"]
    for name in ("", *by_day):
        mine = [counts.cells for counts in matured if counts.slice == name]
        assert [sum(cells) for cells in zip(*mine, strict=True)] == list(found["label", name].counts)


def test_what_is_watched_day_by_day_is_counted_so() -> None:
    data = fb.Dataset(
        "d", source="x.csv", time="ts", columns={"a": fb.column(float, known_after="-1h"), "y": fb.column(int, one_of=(0, 1))}
    )
    for monitors, retrain, daily in (
        ([fb.drift()], None, False),
        ([fb.drift(window="1d")], None, True),
        ([(fb.metric("accuracy") >= 0.5) | fb.drift("labels", window="1d")], None, True),
        ([], fb.Retrain(when=[fb.drift(window="1d")]), True),
    ):
        made = fb.Model("m", task="binary", data=data, label="y", train=fb.Train(lambda X, y: (X, y)), monitors=monitors, retrain=retrain)
        assert declared(made).daily is daily
