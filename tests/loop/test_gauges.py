"""What the monitors know is told to Prometheus: of each model what is wrong first, and never without bound."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import msgspec

import flyball as fb
from flyball.declare.units import Money
from flyball.ledger.projection import MemoryProjection
from flyball.loop import memory as memories
from flyball.loop.compiling import compile_project
from flyball.loop.declaring import apply
from flyball.loop.gauges import MOST, GaugesFile, gauges, of_model
from flyball.loop.ports import Ports
from flyball.monitoring.slabs import Slab
from flyball.monitoring.state import MonitorState
from flyball.monitoring.usage import Usage, Used
from flyball.monitoring.windows import Trail
from flyball.records.alerts import ALERTS, AlertRow, AlertState, Finding
from flyball.records.estimates import Estimate
from flyball.records.evidence import Quality
from flyball.records.incidents import INCIDENTS, MODEL_INCIDENTS, IncidentOpened
from flyball.records.versions import MODELS, ModelRow
from flyball.serving.gauges import Sample, render
from flyball.wiring import open_project

from .test_dead_ends import World

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
NOW = 1_700_000_000_000_000 // DAY * DAY
DATA = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
MODEL = fb.Model("m", task="binary", data=DATA, label="y", objectives=[fb.Objective("error_rate", target="99%", window="1d")])

LOOP = """
import flyball as fb
rows = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
def fit(X, y): ...
m = fb.Model("m", task="binary", data=rows, label="y", framing=fb.Framing("test"), train=fb.Train(fit))
"""


def watched(columns: int = 2) -> MonitorState:
    part = Quality(
        model="m",
        version="1.0.0",
        role="champion",
        slice="",
        minute=0,
        matured=1_000,
        labelled=900,
        correct=720,
        tp=300,
        fp=100,
        fn=80,
        tn=420,
    )
    trails = tuple(
        Trail(column=f"c{at}", test="cells", pace="slow", hits=("none",), effects=(at / 1_000,), verdict="alert" if at == 1 else "none")
        for at in range(columns)
    )
    return MonitorState(
        model="m",
        version="1.0.0",
        released_at=NOW - DAY,
        labels=900,
        labels_since=NOW - DAY,
        until=NOW,
        at_release={"accuracy": Estimate(value=0.85)},
        slabs=(Slab(start=NOW // MINUTE - 30, n=1_000, errors=30, quality=(part,)),),
        trails=trails,
    )


def told(
    state: MemoryProjection, model: fb.Model | None = MODEL, kept: MonitorState | None = None
) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for name, labels, value in of_model(state, "m", model, kept or watched(), NOW):
        assert labels[0] == "m"
        found.setdefault(name, {})[labels[1:]] = value
    return found


def alert(number: int, severity: str = "warn", state: AlertState = AlertState.FIRING) -> AlertRow:
    finding = Finding(monitor="drift of inputs", severity=severity, column=f"c{number}", failure="input_drift")  # type: ignore[arg-type]
    return AlertRow(key=f"m/d/c{number}", model="m", monitor="drift of inputs", state=state, episode=1, since=NOW, finding=finding)


def test_quality_has_its_interval_and_what_it_was_at_release() -> None:
    found, key = told(MemoryProjection()), ("1.0.0", "accuracy")
    assert found["flyball_quality"][key] == 0.8
    assert found["flyball_quality_low"][key] < 0.8 < found["flyball_quality_high"][key]
    assert found["flyball_quality_at_release"][key] == 0.85
    assert ("1.0.0", "mae") not in found["flyball_quality"], "classes have no absolute error"
    assert found["flyball_label_coverage_ratio"][()] == 0.9
    assert found["flyball_labels"][()] == 900


def test_a_budget_that_is_spent_and_how_fast_it_burns() -> None:
    found, key = told(MemoryProjection()), ("error_rate, 99% over 1d",)
    assert found["flyball_error_budget_left_ratio"][key] == -2
    assert found["flyball_error_budget_spent"][key] == 1
    assert found["flyball_error_budget_burn_ratio"][(*key, "6h")] == 3
    assert 0 < found["flyball_false_pages_per_year"][()] < 1.01


def test_alerts_and_incidents_are_told_until_they_are_over() -> None:
    world = World()
    world.add(
        IncidentOpened(
            incident="inc", model="m", failure_mode="errors", alert="a", what="errors", cause="", owner="", actions=("page", "rollback")
        )
    )
    state = world.state
    state.put(ALERTS, "m/d/c1", alert(1, "alert"))
    state.put(ALERTS, "m/d/c2", alert(2, state=AlertState.RESOLVED))
    found = told(state)
    assert found["flyball_alert"] == {("drift of inputs", "c1", "input_drift", "alert", "firing"): 1}
    assert found["flyball_incidents"] == {("errors", "page", "open"): 1}
    assert list(found["flyball_incident_opened_timestamp_seconds"]) == [("inc",)]
    assert state.get(INCIDENTS, "inc") == state.get(MODEL_INCIDENTS, "m/inc")


def test_a_column_and_the_same_column_in_one_slice_are_two_series() -> None:
    state = MemoryProjection()
    whole = alert(1)
    state.put(ALERTS, "m/d/c1", whole)
    part = msgspec.structs.replace(whole.finding, slice="region=north")
    state.put(ALERTS, "m/d/c1 in region=north", msgspec.structs.replace(whole, key="m/d/c1 in region=north", finding=part))
    assert [part for _, part, *_ in told(state)["flyball_alert"]] == ["c1", "c1 in region=north"]


def test_who_answers_and_since_when() -> None:
    state = MemoryProjection()
    state.put(MODELS, "m", ModelRow(model="m", champion="1.0.0", champion_at=NOW, last_attempt_at=NOW - HOUR))
    found = told(state)
    assert found["flyball_champion"] == {("1.0.0",): 1}
    assert found["flyball_champion_since_timestamp_seconds"][()] == NOW / 1e6
    assert found["flyball_last_training_timestamp_seconds"][()] == NOW / 1e6 - 3_600


def test_what_a_model_has_many_of_is_told_of_the_worst_and_two_hundred_lines_are_all() -> None:
    state = MemoryProjection()
    for number in range(300):
        state.put(ALERTS, f"m/d/c{number:03d}", alert(number, "alert" if number == 299 else "warn"))
    samples = of_model(state, "m", MODEL, watched(columns=300), NOW)
    assert len(samples) <= MOST
    found = told(state, kept=watched(columns=300))
    assert ("drift of inputs", "c299", "input_drift", "alert", "firing") in found["flyball_alert"]
    assert next(iter(found["flyball_drift_verdict"])) == ("c1", "cells", "slow"), "what has a verdict comes first"
    assert ("c299", "cells", "slow") in found["flyball_drift_effect"]
    assert len(render(samples).splitlines()) <= MOST + 2 * len(found)


def test_a_model_whose_declaration_cannot_be_read_is_told_of_as_far_as_the_record_goes() -> None:
    found = told(MemoryProjection(), model=None)
    assert "flyball_error_budget_left_ratio" not in found
    assert "flyball_labels" in found
    assert "flyball_drift_effect" in found


def test_the_file_is_written_when_it_is_time_and_only_if_something_changed(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").write_text("")
    wired = open_project(tmp_path)
    try:
        path, ports = wired.layout.gauges, cast("Ports", wired.ports)
        file = GaugesFile(path)
        file.step(ports, NOW)
        assert path.read_text() == "", "nothing is declared"
        first = path.stat().st_ino
        file.step(ports, NOW + 6_000_000)
        assert path.stat().st_ino == first, "what is as it was is not written again"
        path.unlink()
        file.step(ports, NOW + 7_000_000)
        assert not path.exists(), "it is not time yet"
        file.step(ports, NOW + 12_000_000)
        assert path.exists()
        file.step(ports, NOW - DAY)
        assert file.step(ports, NOW - DAY + 1) is None, "a clock that was set back holds nothing up"
    finally:
        wired.close()


def test_a_series_is_told_once() -> None:
    samples = of_model(MemoryProjection(), "m", MODEL, msgspec.structs.replace(watched(), trails=watched().trails * 2), NOW)
    lines = [line.rpartition(" ")[0] for line in render(samples).splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))
    assert isinstance(samples[0], Sample)


def test_what_predictions_take_is_told_with_its_price_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").write_text("")
    (tmp_path / "loop.py").write_text(LOOP)
    wired = open_project(tmp_path, claim=True)
    try:
        apply(compile_project(tmp_path), wired.ports, "loop")
        used = Used(start=NOW // MINUTE - 5, cpu_s=1.8, wall_s=60.0, n=2_000)
        usage = Usage(model="m", version="1.0.0", versions={"1.0.0": (used,)})
        memories.save(wired.ports.memory, memories.load(wired.ports.memory).with_usage(usage))
        priced = dataclasses.replace(wired.ports, cpu_price=Money(0.04, "EUR"))
        found = {one.name: one for one in gauges(priced, NOW, 20.0) if one.name.startswith(("flyball_thousand", "flyball_worker"))}
        assert {name: one.value for name, one in found.items()} == {
            "flyball_thousand_predictions_cpu_seconds": 0.9,
            "flyball_thousand_predictions_joules": 18.0,
            "flyball_thousand_predictions_cost": 1e-05,
            "flyball_worker_busy_ratio": 0.03,
        }
        assert found["flyball_thousand_predictions_cost"].labels == ("m", "1.0.0", "EUR")
        unpriced = {one.name for one in gauges(wired.ports, NOW, 20.0)}
        assert "flyball_thousand_predictions_cost" not in unpriced, "what is not known is not 0"
        assert "flyball_thousand_predictions_joules" in unpriced
        assert "flyball_worker_busy_ratio" not in {one.name for one in gauges(wired.ports, NOW + 9 * DAY)}, "nothing was measured since"
    finally:
        wired.close()
