"""A rate that rests on next to nothing is not told as one: neither a share, nor how long something takes."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from flyball.cli.rollouts import waits, where
from flyball.clock import Span
from flyball.declare.policy import Rollout
from flyball.loop import memory
from flyball.monitoring.slabs import Slab
from flyball.monitoring.state import MonitorState
from flyball.records.evidence import Quality
from flyball.records.rollouts import RolloutEvidence, RolloutRow, RolloutState
from flyball.wiring import open_project

ROWS = 'rows a day of data set "town"'


def asked(project: Path, requests: int, *, errors: int = 0, labelled: int = 0) -> None:
    """So many requests ten minutes ago, of which so many failed, and so many have their label by now: counted as the loop counts them."""
    with contextlib.closing(open_project(project)) as wired:
        ports = wired.ports
        minute = ports.clock.now() // 60_000_000 - 10
        quality = Quality(model="demand", version="1.0.0", role="champion", slice="", minute=minute, matured=requests, labelled=labelled)
        slab = Slab(start=minute, n=requests, errors=errors, quality=(quality,))
        state = MonitorState(model="demand", version="1.0.0", slabs=(slab,))
        memory.save(ports.memory, memory.load(ports.memory).with_monitor(state))


def shown(flyball: Callable[..., Any], project: Path) -> tuple[str, dict[str, Any]]:
    [model] = flyball("status", "--project", project, "--json").document["models"]
    return flyball("status", "--project", project).out.splitlines()[1], model


def test_shares_of_a_few_requests_are_told_as_counts(flyball: Callable[..., Any], narrow: Path) -> None:
    line, model = shown(flyball, narrow)
    assert (model["error_rate"], model["labels"], "too few" in line) == (None, None, False), "nobody has asked"
    asked(narrow, 3, errors=1)
    line, model = shown(flyball, narrow)
    assert "1 of 3 (too few yet)" in line
    assert "0 of 3 (too few yet), 6h" in line
    assert "%" not in line
    assert (model["requests"], model["errors"], model["error_rate"]) == (3, 1, None)
    assert (model["labels_due"], model["labels_came"], model["labels"]) == (3, 0, None)
    asked(narrow, 100, errors=1, labelled=90)
    line, model = shown(flyball, narrow)
    assert " 1% " in line
    assert " 90%, 6h" in line
    assert (model["error_rate"], model["labels"]) == (0.01, 0.9)
    arrivals = model["arrivals"]
    assert (arrivals["span"], arrivals["judged"], arrivals["labelled"], arrivals["coverage"]) == ("7d", 100, 90, 0.9)
    assert (arrivals["late"], arrivals["lag_p50_s"]) == (0, None)


def test_how_long_live_evidence_takes_is_not_told_by_a_few_requests(flyball: Callable[..., Any], narrow: Path) -> None:
    def traffic() -> set[str]:
        [model] = flyball("check", narrow, "--json").document["models"]
        return {one["traffic"] for one in model["power"] if one.get("traffic")}

    assert traffic() == {ROWS}
    asked(narrow, 3)
    assert traffic() == {f"{ROWS} (too few requests yet to go by: 3)"}
    asked(narrow, 100)
    assert traffic() == {"requests a day, as they come (each of them labelled)"}


def test_a_rollout_that_nobody_asks_says_that_it_waits_for_requests() -> None:
    steps, hour = Rollout().shadow("1h").steps, 3_600_000_000
    row = RolloutRow(
        rollout="ro_1", model="m", version="1.1.0", champion="1.0.0", steps=steps, evidence="live", attempt=1, state=RolloutState.SHADOW,
        step=0, planned_at=hour, entered_at=hour, why="",
    )  # fmt: skip
    told = "waits for requests: none for 2 h, and only time with requests counts"
    assert waits(row, 3 * hour, RolloutEvidence()) == told
    assert waits(row, 4 * hour, RolloutEvidence(last=2 * hour, baked=Span(hour // 2))) == told
    assert waits(row, 2 * hour + 60_000_000, RolloutEvidence(last=2 * hour, baked=Span(hour // 2))) == "", "they come"
    assert waits(row, 4 * hour, RolloutEvidence(last=2 * hour, baked=Span(hour))) == "", "it waits for other things than time"

    # the step has just changed, and no request came since: what is known is of the one before
    then = RolloutEvidence(under="shadow:0", last=2 * hour, baked=Span(hour))
    canary = msgspec.structs.replace(
        row, steps=Rollout().shadow("1h").canary("25%", "1h").steps, state=RolloutState.CANARY, step=1, entered_at=2 * hour
    )
    assert waits(canary, 4 * hour, then) == told
    assert where(canary, 4 * hour, then) == "canary 25%, 0 s of 1 h"
