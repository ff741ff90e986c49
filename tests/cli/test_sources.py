"""Verbs work on sources of every kind: a function of the loop file, a query, partitions, pushed rows."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from flyball.data.sources.pushed import checked, segments
from flyball.declare.reads import looked_at
from flyball.loop.lookup import declared
from flyball.records.data import DATASETS
from flyball.records.training import RUNS
from flyball.wiring import open_project

from .conftest import call

LOOP = """
from datetime import datetime, timedelta
import flyball as fb
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

def orders() -> pl.DataFrame:
    start = datetime(2026, 1, 1)
    rows = [(start + timedelta(hours=hour), float(hour % 7), f"s{hour % 3}", int(hour % 7 > 2)) for hour in range(1500)]
    return pl.DataFrame(rows, schema=["at", "size", "shop", "late"], orient="row")

shops = fb.Dataset("shops", source="shops/**/*.jsonl", id="shop", columns={"city": str})
orders_ = fb.Dataset(
    "orders", source=SOURCE, time="at", references={"shop": shops},
    columns={"size": float, "shop": str, "late": fb.column(int, one_of=(0, 1), known_after="1h")},
)
weather = fb.Dataset("weather", source=fb.sql("select at, rain from weather order by at", url=fb.secret("WEATHER_URL")), time="at", columns={"rain": float})
rain = fb.FeatureView("rain", weather, entity=None, features={"rained": fb.window("6h").mean("rain")})

def fit(X: pl.DataFrame, y: pl.Series):
    return HistGradientBoostingClassifier(max_iter=10).fit(X, y)

late = fb.Model(
    "late", task="binary", data=orders_, label="late", inputs=["size"], features=[rain], owner="ops", framing=fb.Framing("test"),
    train=fb.Train(fit, window="30d", holdout="7d"), gates=[fb.metric("accuracy") >= 0.5], autonomy="record",
)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "flyball.toml").write_text('[secrets]\nfolder = "secrets"\n')
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "WEATHER_URL").write_text("sqlite:///weather.db\n")
    for shop in range(3):
        (tmp_path / "shops" / f"shop=s{shop}").mkdir(parents=True)
        (tmp_path / "shops" / f"shop=s{shop}" / "a.jsonl").write_text(json.dumps({"city": f"c{shop}"}) + "\n")
    with sqlite3.connect(tmp_path / "weather.db") as made:
        made.execute("create table weather (at text, rain real)")
        rows = [(f"2026-{1 + day // 28:02}-{1 + day % 28:02}T{hour:02}:00:00", float(hour % 5)) for day in range(63) for hour in range(24)]
        made.executemany("insert into weather values (?, ?)", rows)
    made.close()
    (tmp_path / "loop.py").write_text(LOOP.replace("SOURCE", "orders"))
    return tmp_path


def test_a_model_is_checked_and_trained_on_a_function_a_query_and_partitions(root: Path) -> None:
    checked_ = call("check", "--data", "--project", root)
    assert checked_.code == 0, checked_.out
    ended = call("train", "late", "--trials", 0, "--project", root, "--json")
    assert ended.document["state"] == "eligible", ended.out
    wired = open_project(root)
    try:
        state = wired.ports.ledger.state()
        assert {name for name, _ in state.scan(DATASETS)} == {"shops", "orders", "weather"}
        (run,) = [row for _, row in state.scan(RUNS)]
        assert set(wired.ports.library.spec(run.spec).datasets) == {"orders", "weather"}
        assert state.get(DATASETS, "shops").head.rows == 3
    finally:
        wired.close()
    again = call("train", "late", "--trials", 0, "--project", root, "--json")
    assert again.document["data"]["version"] == "1.0.0", "unchanged rows are no new version"


def test_what_is_wrong_with_a_source_is_told_by_check_and_keeps_from_training(root: Path) -> None:
    (root / "secrets" / "WEATHER_URL").unlink()
    told = call("check", "--data", "--project", root)
    assert told.code == 1
    assert 'there is no secret "WEATHER_URL"' in told.out + told.err
    ended = call("train", "late", "--trials", 0, "--project", root)
    assert ended.code == 1
    assert 'data set "weather" does not hold its contract' in ended.out + ended.err


def test_a_function_that_raises_is_told_with_its_line(root: Path) -> None:
    (root / "loop.py").write_text(LOOP.replace("SOURCE", "orders").replace("start = datetime(2026, 1, 1)", "start = 1 / 0"))
    told = call("check", "--data", "--project", root)
    assert told.code == 1
    assert "ZeroDivisionError" in told.out + told.err
    assert "loop.py:8" in told.out + told.err


def test_a_rehearsal_reads_the_declared_sources_where_no_file_is_named(root: Path) -> None:
    ended = call("backtest", root / "loop.py", "--policy", "never", "--jobs", 1, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["rows"] == 1500
    assert ended.document["policies"]["never"]["answered"] > 500


def test_a_model_is_trained_on_pushed_rows(root: Path) -> None:
    (root / "loop.py").write_text(LOOP.replace("SOURCE", '"push://"'))
    empty = call("train", "late", "--trials", 0, "--project", root)
    assert empty.code == 1
    assert "has no rows" in empty.out + empty.err
    wired = open_project(root)
    try:
        dataset = looked_at(declared(wired.ports, "late"))["orders"]
        rows = [
            {
                "at": f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z",
                "size": hour % 7,
                "shop": f"s{hour % 3}",
                "late": int(hour % 7 > 2),
            }
            for hour in range(700)
        ]
        segments(wired.layout.push, "orders").append([checked(dataset, row, wired.ports.clock.now()) for row in rows], 0, "c")
    finally:
        wired.close()
    ended = call("train", "late", "--trials", 0, "--project", root, "--json")
    assert ended.document["data"]["rows"] == 700, ended.out
    assert call("check", "--data", "--project", root).code == 0


SHARED = """
import os, signal
import flyball as fb
import polars as pl

def rows() -> pl.DataFrame:
    with open("read", "a") as noted:
        noted.write("x")
    at = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 3), "1h", eager=True)
    return pl.DataFrame({"at": at}).with_columns(x=pl.lit(1.0), y=pl.lit(2.0))

def ended() -> pl.DataFrame:
    os.kill(os.getpid(), signal.SIGKILL)

def fit(X: pl.DataFrame, y: pl.Series):
    return None

def model(name, source):
    data = fb.Dataset(source.__name__, source=source, time="at", columns={"x": float, "y": fb.column(float, known_after="1h")})
    return fb.Model(name, task="regression", data=data, label="y", owner="o", framing=fb.Framing("t"), train=fb.Train(fit, holdout="7d"), autonomy="record")

a, b, c, d = model("a", ended), model("b", rows), model("c", rows), model("d", rows)
"""


def test_a_tick_reads_a_source_of_many_models_once_and_one_that_is_killed_keeps_none_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").touch()
    (tmp_path / "loop.py").write_text(SHARED)
    assert call("apply", "--project", tmp_path).code == 0
    ticked = call("tick", "--project", tmp_path)
    assert (ticked.code, "was ended by SIGKILL" in ticked.err) == (3, True)
    assert (tmp_path / "read").read_text() == "x"
    wired = open_project(tmp_path)
    try:
        assert [name for name, row in wired.ledger.state().scan(DATASETS) if row.head is not None] == ["rows"]
    finally:
        wired.close()
