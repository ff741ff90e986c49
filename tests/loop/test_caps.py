"""Trainings that come in vain are a storm, and a cap keeps the loop from more of them until somebody says a word."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.loop.besides import besides_counts
from flyball.loop.caps import COOLDOWNS, capped_by
from flyball.loop.storms import storms_of
from flyball.monitoring.storms import HELPS
from flyball.records.incidents import INCIDENTS, MODEL_INCIDENTS, IncidentNoted, IncidentOpened
from flyball.records.proposals import ProposalMade
from flyball.records.training import RUNS, RunRow, RunState, Trigger, put_run
from flyball.records.versions import VERSIONS, VersionRow, VersionState

from .test_due import DAY, model
from .test_proposals import Asked


def tried(world: Asked, number: str, at: int, trigger: Trigger, became: VersionState | None) -> None:
    """A training that is over; None: it failed."""
    state = RunState.FAILED if became is None else RunState.SUCCEEDED
    run = RunRow(
        run=f"run_{number}", model="m", trigger=trigger, reason="", spec="", release=True, state=state, queued_at=at,
        version=number if became is not None else "",
    )  # fmt: skip
    put_run(world.state, run)
    if became is not None:
        row = VersionRow(
            model="m", version=number, state=became, run=run.run, artifact="a" * 64, result="", version_digest="v", policy_digest="p",
            data={}, metrics={}, registered_at=at,
        )  # fmt: skip
        world.state.put(VERSIONS, f"m/{number}", row)


def found(world: Asked) -> tuple[str, str]:
    """The alert, or what is said where there is none."""
    findings = [one for one in besides_counts(world.state, world.declared, world.now) if one.monitor == HELPS]
    assert [one.column for one in findings] == ["alarm", "declaration"], "each kind is spoken of at each look, or its alert is never over"
    finding = max(findings, key=lambda one: one.severity == "alert")
    return finding.severity, finding.why


@pytest.mark.parametrize("became", [VersionState.REJECTED, VersionState.HELD, None])
def test_three_trainings_that_an_alarm_asked_for_and_that_came_in_vain_are_a_storm(became: VersionState | None) -> None:
    world = Asked(model(cooldown="2d"))
    for day in (12, 14, 16):
        world.now = day * DAY
        assert found(world)[0] == "none"
        tried(world, f"1.{day}.0", day * DAY, "monitor", became)
    world.now = 17 * DAY
    severity, why = found(world)
    assert severity == "alert"
    assert why.startswith("3 trainings that an alarm asked for within 8d, and none gave a better champion")
    world.now = 21 * DAY
    assert found(world)[0] == "none", "they have come to an end"


@pytest.mark.parametrize(
    ("trigger", "became", "cooldown"),
    [
        ("schedule", VersionState.REJECTED, "2d"),
        ("manual", VersionState.REJECTED, "2d"),
        ("evidence", VersionState.REJECTED, "2d"),
        ("declaration", VersionState.REJECTED, "2d"),
        ("monitor", VersionState.ELIGIBLE, "2d"),
        ("monitor", VersionState.DEPLOYED, "2d"),
        ("monitor", VersionState.REJECTED, "0.2d"),
    ],
)
def test_what_was_asked_for_or_helps_or_comes_seldom_is_no_storm(trigger: Trigger, became: VersionState, cooldown: str) -> None:
    world = Asked(fb.Model.replace(model(cooldown="1h" if cooldown == "0.2d" else cooldown)))
    for day in (12, 14, 16):
        tried(world, f"1.{day}.0", day * DAY, trigger, became)
    world.now = 17 * DAY
    assert found(world)[0] == "none"


def test_a_loop_file_that_says_something_else_each_time_it_is_read_is_a_storm() -> None:
    world = Asked(model(cooldown="10d"))
    for hour in range(6):
        world.now = 20 * DAY + hour * DAY // 24
        assert found(world)[0] == "none"
        tried(world, f"1.{hour + 1}.0", world.now, "declaration", VersionState.REJECTED)
    assert found(world)[0] == "alert"
    assert [one.kind for one in storms_of(world.state, world.declared, world.now)] == ["declaration"]


def test_before_anything_answers_there_is_nothing_to_be_better_than() -> None:
    world = Asked(model(cooldown="2d"))
    world.model_row(champion="")
    for day in (12, 14, 16):
        tried(world, f"1.{day}.0", day * DAY, "monitor", VersionState.REJECTED)
    world.now = 17 * DAY
    assert found(world)[0] == "none"


def settle(world: Asked, **changes: Any) -> None:
    row = world.state.get(INCIDENTS, "inc")
    assert row is not None
    row = msgspec.structs.replace(row, **changes)
    world.state.put(INCIDENTS, "inc", row)
    world.state.put(MODEL_INCIDENTS, "m/inc", row)


def test_a_cap_holds_until_somebody_acknowledges_it() -> None:
    world = Asked(model(cooldown="2d", every="2d").replace(autonomy={"training": "act"}))
    world.incident("cap", 10 * DAY)
    assert capped_by(world.state, world.declared, "monitor", 11 * DAY) == "inc"
    assert capped_by(world.state, world.declared, "schedule", 11 * DAY) == "inc"
    assert capped_by(world.state, world.declared, "declaration", 11 * DAY) == "", "a declaration is a person's deed, and may be the cure"
    world.wait(12 * DAY)
    said = [event.reason for event in world.events if isinstance(event, ProposalMade)]
    assert len(said) == 1, "said once, and not at every look"
    assert said[0].startswith("inc caps trainings until somebody acknowledges it: ")
    assert len(world.state.scan(RUNS)) == 1
    settle(world, taken_by="user:ana", taken_at=12 * DAY)
    assert capped_by(world.state, world.declared, "monitor", 12 * DAY) == ""
    settle(world, reopened_at=13 * DAY)
    assert capped_by(world.state, world.declared, "monitor", 13 * DAY) == "inc", "opened again, it caps again"


def test_a_cap_that_nobody_speaks_of_ends_by_itself() -> None:
    world = Asked(model(cooldown="2d"))
    world.incident("cap", 10 * DAY)
    ends = 10 * DAY + COOLDOWNS * int(Span.parse("2d"))
    assert capped_by(world.state, world.declared, "monitor", ends - 1) == "inc"
    assert capped_by(world.state, world.declared, "monitor", ends) == ""


def test_a_storm_that_joins_an_old_incident_caps_from_then_on_whoever_had_taken_it() -> None:
    world = Asked(model(cooldown="2d"))
    opened = IncidentOpened(
        incident="inc", model="m", failure_mode="concept_drift", alert="m/loss/", what="worse", cause="", owner="", actions=("retrain",)
    )
    taken = IncidentNoted(incident="inc", note="acknowledged by user:ana", taken_by="user:ana")
    storm = IncidentNoted(incident="inc", note="also m/trainings help/", actions=("ticket", "cap"))
    for day, event in ((10, opened), (11, taken), (40, storm)):
        world.now = day * DAY
        world.execute(SimpleNamespace(id="c"), lambda *_, event=event: (event,))
        assert capped_by(world.state, world.declared, "monitor", world.now) == ("inc" if day == 40 else "")
    assert capped_by(world.state, world.declared, "monitor", 45 * DAY) == "inc"
    assert capped_by(world.state, world.declared, "monitor", 46 * DAY) == ""


def test_an_incident_without_a_cap_keeps_no_training_up() -> None:
    world = Asked(model(cooldown="2d"))
    world.incident("ticket", 10 * DAY)
    assert capped_by(world.state, world.declared, "monitor", 11 * DAY) == ""
