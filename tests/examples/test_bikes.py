"""The bikes loop on its data, end to end: checked, applied, trained, judged, released, served with the right fields and view values, labelled."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from flyball.clock import rfc3339
from flyball.declare.code import load_model
from flyball.features.assemble import training_rows
from flyball.loop.checking import check_project
from flyball.serving import wal
from flyball.serving.layout import Layout

from ..journeys.kit import Up, eventually  # noqa: TID252 - the processes are started the same way
from .kit import flyball

pytestmark = pytest.mark.process

NEXT = datetime(2013, 1, 1)
"""The hour after the last row: what a caller asks for at 23:00."""

ASKED = NEXT - timedelta(hours=1)
WEATHER = {"weathersit": 1, "temp": 0.26, "atemp": 0.2727, "hum": 0.65, "windspeed": 0.1343}
ROW = {"season": 1, "yr": 2, "mth": 1, "hr": 0, "holiday": 1, "weekday": 2, "workingday": 0} | WEATHER


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = os.environ.get("FLYBALL_TEST_DATA")
    if not folder:
        pytest.skip("FLYBALL_TEST_DATA names no folder with loops/bikes.py and data/bike_sharing.csv")
    root = tmp_path_factory.mktemp("bikes")
    flyball("init", root / "p")
    root = root / "p"
    (root / "loop.py").write_bytes((Path(folder) / "loops" / "bikes.py").read_bytes())
    (root / "data" / "demand.csv").unlink()
    (root / "data" / "bike_sharing.csv").write_bytes((Path(folder) / "data" / "bike_sharing.csv").read_bytes())
    return root


@pytest.fixture(scope="module")
def rides(project: Path) -> pl.DataFrame:
    return pl.read_csv(project / "data" / "bike_sharing.csv").with_columns(
        pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us")
    )


@pytest.fixture(scope="module")
def made(project: Path) -> dict[str, Any]:
    """What training came to."""
    flyball("apply", "--project", project)
    return dict(flyball("train", "bike-demand", "--trials", 2, "--project", project))


@pytest.fixture(scope="module")
def up(project: Path, made: dict[str, Any]) -> Iterator[Up]:
    flyball("release", f"bike-demand@{made['version']}", "--project", project, "--reason", "the first")
    running = Up(SimpleNamespace(root=project, env=""), gateways=1).ready()  # type: ignore[arg-type]
    yield running
    running.stop()


def by_hand(rides: pl.DataFrame, moment: datetime) -> dict[str, float | int]:
    """The views' values at a moment, as their definition reads: rentals are known an hour after their row."""
    known = rides.filter(pl.col("ts") + timedelta(hours=1) <= moment)

    def window(hours: int, ago: int = 0) -> list[int]:
        end = moment - timedelta(hours=ago)
        return known.filter((pl.col("ts") > end - timedelta(hours=hours)) & (pl.col("ts") <= end)).sort("ts")["rentals"].to_list()

    day, week = window(24), window(168)
    return {
        "mean_24h": math.fsum(day) / len(day),
        "mean_7d": math.fsum(week) / len(week),
        "same_hour_yesterday": window(1, 24)[-1],
        "same_hour_last_week": window(1, 168)[-1],
    }


def test_the_loop_holds_its_contract_on_its_data_and_gives_nothing_away(project: Path) -> None:
    checked = check_project(project, data=True)
    assert [str(problem) for problem in checked.problems] == []
    [model] = checked.models
    assert set(model.request) == set(ROW), "calendar and forecast weather; demand itself comes from the views"
    assert not [warning.what for warning in checked.warnings if warning.what.startswith("leak")]


def test_a_version_is_registered_with_every_gate_judged(project: Path, made: dict[str, Any]) -> None:
    assert (made["version"], made["state"]) == ("1.0.0", "eligible")
    gates = [verdict["gate"] for verdict in made["verdicts"]]
    assert gates == ["mae ≤ champion × 1.01", "mae in each workingday ≤ champion × 1.05", "mae ≤ baseline × 0.9"]
    shown = flyball("models", "show", "bike-demand", "--project", project)
    assert shown["metrics"]["mae"]["value"] < 0.9 * shown["baseline"]["mae"]["value"]
    assert shown["framing"]["kpi"] == "empty docks"


def test_training_saw_what_was_known_an_hour_ahead(project: Path, rides: pl.DataFrame) -> None:
    model = load_model(project, "loop.py", "bike-demand")
    rows = training_rows(model, {"bike-rides": rides}, as_of=2**52)
    for place in (500, 9_999, rows.height - 1):
        row = rows.row(place, named=True)
        moment = datetime.fromisoformat(rfc3339(row["__time"]).removesuffix("Z")) - timedelta(hours=1)
        assert {name: row[name] for name in by_hand(rides, moment)} == by_hand(rides, moment)


def test_a_request_is_answered_with_the_views_values_of_its_moment_and_takes_its_label(project: Path, rides: pl.DataFrame, up: Up) -> None:
    asked = {"row": ROW, "time": f"{NEXT.isoformat()}Z"}
    eventually(lambda: up.http.post("/models/bike-demand/predict", json=asked).status_code == 200, "no version answers", 180.0)
    fields = up.http.get("/models/bike-demand/schema").json()["fields"]
    assert [field["name"] for field in fields] == sorted(ROW)
    answer = up.http.post("/models/bike-demand/predict", json=asked).json()
    [prediction] = answer["predictions"]
    assert answer["version"] == "1.0.0"
    assert 0 < prediction["value"] < 1_000
    [record] = [record for record in log(project) if record.request_id == prediction["id"]]
    assert record.vectors is not None
    expected = by_hand(rides, ASKED)
    assert [list(row) for row in record.vectors.values] == [list(expected.values())]
    missing = up.http.post("/models/bike-demand/predict", json={"row": {key: value for key, value in ROW.items() if key != "temp"}})
    assert missing.status_code == 422
    assert "temp" in missing.text
    labels = {"labels": [{"id": prediction["id"], "value": 42}, {"id": prediction["id"], "value": 42}]}
    taken = up.http.post("/models/bike-demand/labels", json=labels).json()
    assert (taken["accepted"], taken["duplicates"], taken["refused"]) == (1, 1, [])


def log(project: Path) -> list[wal.LogRecord]:
    """What is in the log by now, if the answers are."""
    return [
        record for file in wal.segments(Layout(project / ".flyball").log) for record in wal.read(file.path)[0] if record.kind == "answer"
    ]
