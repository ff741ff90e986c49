"""A spent error budget holds what the loop would release, and no longer than it is spent; what mends it is not held."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

import flyball as fb
from flyball.clock import Instant
from flyball.data.fold import FOLDS as DATA_FOLDS
from flyball.ledger.projection import MemoryProjection
from flyball.loop import memory as memories
from flyball.loop.budgets import budgets_of
from flyball.loop.findings import Report, alerts_of, decide_report, incidents_of
from flyball.loop.folds import FOLDS
from flyball.loop.freezes import frozen_by
from flyball.loop.memory import Memories
from flyball.loop.overlay import after
from flyball.monitoring.objectives import objective_findings
from flyball.monitoring.slabs import Slab, extend
from flyball.records.base import Recorded, State
from flyball.records.data import DataCommitted, DataFresh, DatasetVersion, DataStale
from flyball.records.evidence import Quality
from flyball.records.training import RUNS, RunRow, RunState
from flyball.records.versions import VERSIONS

from .test_dead_ends import World

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
NOW: Instant = 1_700_000_000_000_000 // DAY * DAY + 12 * HOUR
ERRORS = fb.Objective("error_rate", target="99%", window="1d")
RIGHT = fb.Objective("accuracy", target="90%", window="30d")
DATA = fb.Dataset("rows", source="rows.csv", time="ts", freshness="2h", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
MODEL = fb.Model("m", task="binary", data=DATA, label="y", train=fb.Train(lambda X, y: (X, y)), owner="ana", objectives=[ERRORS, RIGHT])


def kept(*slabs: Slab) -> Memories:
    saved: dict[str, bytes | None] = {}
    made = memories.load(cast("Any", SimpleNamespace(load=saved.get, save=saved.update)))
    return made.with_monitor(msgspec.structs.replace(made.monitor("m"), slabs=extend((), slabs, NOW)))


def requests(n: int, errors: int, *, ago: int = 10) -> Slab:
    return Slab(start=NOW // MINUTE - ago, n=n, errors=errors)


def rows(n: int, wrong: int) -> Slab:
    part = Quality(model="m", version="1.0.0", role="champion", slice="", minute=0, matured=n, labelled=n, correct=n - wrong)
    return Slab(start=NOW // MINUTE - 10, quality=(part,))


def trained(trigger: str) -> State:
    """Version 1.0.0, by a run that was started for this reason."""
    world = World()
    world.version("1.0.0")
    row = world.state.get(VERSIONS, "m/1.0.0")
    assert row is not None
    run = RunRow(
        run=row.run,
        model="m",
        spec="s",
        trigger=cast("Any", trigger),
        reason="",
        state=RunState.SUCCEEDED,
        attempt=1,
        queued_at=NOW,
        release=True,
    )
    world.state.put(RUNS, row.run, run)
    return world.state


def test_a_spent_budget_says_until_when_nothing_is_released_and_ends_by_itself() -> None:
    state, spent = cast("State", MemoryProjection()), kept(requests(1_000, 30))
    assert frozen_by(state, MODEL, spent, NOW) == 'the error budget of "error_rate, 99% over 1d" is spent until 2023-11-15'
    assert frozen_by(state, MODEL, spent, NOW + DAY) == ""
    assert frozen_by(state, MODEL, kept(requests(1_000, 9)), NOW) == ""
    assert frozen_by(state, MODEL, kept(requests(12, 10)), NOW) == "", "so few requests are no evidence"


def test_who_releases_by_hand_does_so_knowingly() -> None:
    state, spent = cast("State", MemoryProjection()), kept(requests(1_000, 30))
    assert frozen_by(state, MODEL, spent, NOW, by="loop")
    assert frozen_by(state, MODEL, spent, NOW, by="user:ana") == ""


@pytest.mark.parametrize(("trigger", "held"), [("monitor", False), ("schedule", True)])
def test_what_was_trained_because_the_model_got_worse_is_not_held_by_the_budget_that_it_mends(trigger: str, *, held: bool) -> None:
    state = trained(trigger)
    assert bool(frozen_by(state, MODEL, kept(rows(1_000, 200)), NOW, version="1.0.0")) is held
    assert frozen_by(state, MODEL, kept(rows(1_000, 200)), NOW), "any other version is"
    assert "error_rate" in frozen_by(state, MODEL, kept(requests(1_000, 30)), NOW, version="1.0.0"), "and errors are no matter of training"


def test_a_burning_budget_opens_an_incident_of_its_failure_and_a_slow_one_none() -> None:
    state = cast("State", MemoryProjection())

    def incident(memory: Memories) -> list[str]:
        found = tuple(objective_findings(MODEL.objectives, budgets_of(state, MODEL, memory.monitor("m"), NOW)))
        command = Report(id="c", actor="loop", model="m", findings=found)
        events = decide_report(state, command, NOW, model=MODEL, folds=FOLDS, new_id=lambda kind: f"{kind}_1")
        then = after(state, list(events), FOLDS, NOW)
        assert all(key.startswith(f"m/{ERRORS}/") for key in alerts_of(then, "m"))
        return [row.failure_mode for row in incidents_of(then, "m")]

    assert incident(kept(requests(1_000, 300, ago=2))) == ["errors"]
    assert incident(kept(requests(1_000, 30, ago=2))) == []


def test_data_that_go_stale_spend_their_budget_by_the_minute_also_while_nobody_looks() -> None:
    model = MODEL.replace(objectives=[fb.Objective("freshness", target="95%", window="30d")])
    state = MemoryProjection()

    def at(moment: Instant, event: DataCommitted | DataStale | DataFresh) -> None:
        DATA_FOLDS[type(event)](state, Recorded(1, moment, "loop", "c", event))

    version = DatasetVersion(
        name="rows", version="1.0.0", content="a" * 64, schema={}, rows=1, stats=(), parents=(), first=0, last=NOW, as_of=NOW, source_mark="m"
    )  # fmt: skip
    at(NOW, DataCommitted(version=version))
    told = {"name": "rows", "as_of": NOW, "freshness": DATA.freshness}
    # the loop was down when it became stale
    at(NOW + 6 * HOUR, DataStale(**told))

    def bad(now: Instant) -> tuple[float, bool]:
        [budget] = budgets_of(state, model, kept().monitor("m"), now)
        return budget.bad, budget.spent

    assert bad(NOW + 7 * HOUR) == (5 * 60, True)
    at(NOW + 8 * HOUR, DataCommitted(version=msgspec.structs.replace(version, version="1.0.1", content="b" * 64, as_of=NOW + 8 * HOUR)))
    at(NOW + 8 * HOUR, DataFresh(name="rows", as_of=NOW + 8 * HOUR, freshness=DATA.freshness))
    assert bad(NOW + 20 * HOUR) == (6 * 60, True)
    assert bad(NOW + 6 * DAY) == (6 * 60, False)
    assert bad(NOW + 40 * DAY) == (0, False)
