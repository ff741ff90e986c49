"""An incident as the loop reports it: with its likely causes when it opens and anew when they change, and with what it has cost when it is over."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

import flyball as fb
from flyball.clock import Span
from flyball.incidents.persons import complaint, reviewed
from flyball.incidents.rules import false_alarm
from flyball.loop.advance import acting_on
from flyball.loop.causes import causes_of, impact_of
from flyball.loop.findings import Report, alerts_of, decide_report, incidents_of
from flyball.loop.folds import FOLDS
from flyball.monitoring.alerts import acknowledge
from flyball.monitoring.slabs import MINUTE, Slab
from flyball.monitoring.state import MonitorState
from flyball.records.alerts import AlertState, Finding
from flyball.records.base import Event
from flyball.records.data import DataCommitted, DatasetVersion
from flyball.records.evidence import Quality
from flyball.records.incidents import Cause, IncidentMoved, IncidentNoted, IncidentOpened, IncidentRow, IncidentState, Review
from flyball.records.mutes import AlertMuted, AlertUnmuted
from flyball.records.training import RunQueued
from flyball.records.versions import ChampionChanged

from .test_dead_ends import MODEL, World

BASE = 1_700_000_000_000_000
HOUR, DAY = Span.parse("1h"), Span.parse("1d")


def found(failure: str, severity: str = "alert", **more: Any) -> Finding:
    why = f"{failure} is seen"
    return Finding(monitor=failure, severity=severity, failure=failure, effect=0.3, floor=0.1, why=why, **more)  # type: ignore[arg-type]


class Story(World):
    """The world of one model whose findings are reported."""

    def __init__(self, model: fb.Model = MODEL) -> None:
        super().__init__()
        self.model = model
        self.clock.advance_to(BASE)
        self.ids = itertools.count(1)
        self.monitor = MonitorState(model="m", version="1.1.0", m0=0.1)
        for number in ("1.0.0", "1.1.0"):
            self.version(number)
        self.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))

    def report(self, *findings: Finding) -> list[Event]:
        report = Report(id="c", actor="loop", model="m", findings=findings)
        now = self.clock.now() + 1_000_000
        events = list(decide_report(self.state, report, now, model=self.model, folds=FOLDS, new_id=self.new_id, monitor=self.monitor))
        self.add(*events)
        return events

    def new_id(self, kind: str) -> str:
        return f"{kind}_{next(self.ids)}"

    def later(self, span: int) -> None:
        self.clock.advance_to(self.clock.now() + span)

    def release(self) -> None:
        self.add(ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"))

    def causes(self, row: IncidentRow) -> tuple[Cause, ...]:
        """The causes of an incident as they are now."""
        return causes_of(self.state, MODEL, row, alerts_of(self.state, "m").values(), self.monitor)

    def commit(self, version: str) -> None:
        """The data set has a new version."""
        moment = self.clock.now()
        new = DatasetVersion(
            name="rows", version=version, content="d" * 64, schema={}, rows=5_000, stats=(), parents=(), first=moment, last=moment,
            as_of=moment, source_mark=version,
        )  # fmt: skip
        self.add(DataCommitted(version=new))

    @property
    def row(self) -> IncidentRow:
        [row] = incidents_of(self.state, "m")
        return row


def test_an_incident_opens_with_its_likely_causes_and_learns_of_others_once() -> None:
    story = Story()
    story.add(ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"))
    story.report(found("errors"))
    assert [(cause.kind, cause.what) for cause in story.row.causes] == [("version", "version 1.1.0 took over")]
    assert story.report(found("errors")) == [], "nothing is new"
    story.report(found("errors"), found("schema_change", column="x"))
    assert ("data", "schema change (x)") in [(cause.kind, cause.what) for cause in story.row.causes]
    assert not [event for event in story.report(found("errors"), found("schema_change", column="x")) if isinstance(event, IncidentNoted)]


def test_a_training_may_end_an_incident_and_a_run_that_only_judges_a_version_or_is_made_again_does_not() -> None:
    for trigger, acting in (("manual", "training: run_1"), ("monitor", "training: run_1"), ("evidence", ""), ("reproduction", "")):
        story = Story()
        story.add(RunQueued(run="run_1", model="m", trigger=trigger, reason="", spec="0" * 64))  # type: ignore[arg-type]
        assert acting_on(story.state, "m") == acting
        World.release(story, "1.1.0", "1.0.0")
        assert acting_on(story.state, "m") == (acting or "releasing 1.1.0: ro")


def test_the_cause_stays_when_it_is_mended_and_the_repair_is_none() -> None:
    story = Story()
    stale = found("stale_data", column="rows")
    story.report(stale)
    known = story.row.causes
    assert (known[0].kind, known[0].what) == ("upstream", "stale data (rows)")
    story.commit("1.0.1")
    story.report(stale)
    story.report(found("stale_data", "none", column="rows"))
    assert story.row.state == IncidentState.MITIGATED
    assert story.row.causes == known


def test_a_change_before_what_was_found_is_a_likely_cause_and_one_after_it_is_none() -> None:
    story = Story()
    story.commit("1.0.0")
    story.report(found("input_drift", column="x"))
    known = story.row.causes
    assert "data set rows has a new version" in [cause.what for cause in known]
    story.commit("1.0.1")
    story.add(ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"))
    story.report(found("input_drift", column="x"), found("skew", column="x"))
    assert story.row.causes[0].what == "skew (x)"
    assert story.row.causes[1:] == known


def test_that_somebody_is_on_it_makes_no_cause_less_likely() -> None:
    story = Story()
    drift = found("input_drift", column="x")
    story.report(drift)
    known = story.row.causes
    story.clock.advance_to(BASE + 2 * 3_600_000_000)
    alert = alerts_of(story.state, "m")[story.row.alert]
    taken = acknowledge(alert)
    assert taken is not None
    story.add(taken)
    late = found("skew", column="x")
    story.report(drift, late)
    assert [cause for cause in story.row.causes if cause.what != "skew (x)"] == list(known)


def test_that_somebody_is_on_one_incident_makes_no_cause_of_another_less_likely() -> None:
    story = Story()
    breach = found("schema_change", column="x")
    story.report(breach)
    story.later(6 * HOUR)
    story.add(*complaint(MODEL, story.new_id, what="too low", request="", by="user:ana"))
    own, other = incidents_of(story.state, "m")
    known = story.causes(other)
    assert (known[0].what, known[0].score) == ("schema change (x)", 0.9)
    story.later(3 * HOUR)
    taken = acknowledge(alerts_of(story.state, "m")[own.alert])
    assert taken is not None
    story.add(taken)
    assert story.causes(other) == known


def test_that_nothing_comes_to_judge_it_by_makes_no_cause_less_likely() -> None:
    story = Story()
    story.report(found("errors"), found("schema_change", column="x"))
    known = story.causes(story.row)
    story.later(9 * HOUR)
    story.report(found("errors"), found("schema_change", "none", column="x", standing="insufficient"))
    assert [row.state for row in alerts_of(story.state, "m").values()] == [AlertState.FIRING, AlertState.STALE]
    assert story.causes(story.row) == known


def test_a_release_that_made_a_warning_grave_is_a_likely_cause() -> None:
    story = Story()
    story.report(found("input_drift", "warn", column="x"))
    story.later(21 * DAY)
    story.release()
    story.later(HOUR)
    story.report(found("input_drift", column="x"))
    first, *others = story.row.causes
    assert (first.what, first.score) == ("version 1.1.0 took over", 0.8)
    assert [(cause.what, cause.since) for cause in others] == [("input drift (x)", story.row.opened_at)], "since it is as grave as it is"


def test_a_release_before_a_warning_that_became_grave_weeks_later_is_still_named() -> None:
    story = Story()
    story.release()
    story.report(found("input_drift", "warn", column="x"))
    story.later(21 * DAY)
    story.report(found("input_drift", column="x"))
    assert [cause.what for cause in story.row.causes] == ["input drift (x)", "version 1.1.0 took over"]


def test_a_release_after_a_muted_alert_had_fired_is_no_cause_of_it() -> None:
    story = Story()
    muted = AlertMuted(model="m", until=BASE + 9 * DAY, reason="the depot moves")
    story.add(muted)
    story.report(found("input_drift", column="x"))
    story.later(HOUR)
    story.release()
    story.add(AlertUnmuted(model="m"))
    story.report(found("input_drift", column="x"))
    assert [cause.what for cause in story.row.causes] == ["input drift (x)"]


def test_a_release_before_an_alert_that_fires_again_after_a_false_alarm_is_a_likely_cause() -> None:
    story = Story()
    drift, nothing = found("input_drift", column="x"), found("input_drift", "none", column="x", standing="insufficient")
    story.report(drift)
    story.add(false_alarm(story.row, "a planned migration"))
    story.report(nothing)
    story.later(9 * DAY)
    story.release()
    story.later(HOUR)
    story.report(drift)
    _, again = incidents_of(story.state, "m")
    assert again.causes[0].what == "version 1.1.0 took over"


def test_what_warned_before_an_incident_was_closed_and_is_grave_afterwards_opens_one() -> None:
    story = Story()
    story.report(found("input_drift", column="x"))
    story.report(found("input_drift", "none", column="x"))
    story.report(found("input_drift", "warn", column="x"))
    story.add(*reviewed(story.row, Review(what="a feed")))
    story.report(found("input_drift", "warn", column="x"))
    assert story.row.state == IncidentState.CLOSED
    events = story.report(found("input_drift", column="x"))
    assert [event.alert for event in events if isinstance(event, IncidentOpened)] == ["m/input_drift/x"]


def test_what_opens_again_says_what_is_found_now() -> None:
    story = Story()
    story.report(found("stale_data", column="rows"))
    old = story.row.causes[0]
    story.commit("1.0.1")
    story.report(found("stale_data", "none", column="rows"))
    now = msgspec.structs.replace(found("stale_data", column="rows"), why="rows: its newest row was known an hour later")
    story.report(now)
    row = story.row
    assert (row.state, row.cause) == (IncidentState.OPEN, now.why)
    assert (row.causes[0].what, row.causes[0].evidence) == (old.what, now.why)
    assert row.causes[0].since > old.since
    (data,) = (cause for cause in row.causes if cause.kind == "data")
    assert data.evidence.endswith(" before it began")
    assert story.report(now) == [], "nothing is new"


def test_data_that_explain_answers_that_are_wrong_again_are_their_cause() -> None:
    story = Story()
    breach = found("schema_change", column="x")
    story.report(found("errors"))
    story.report(found("errors"), breach)
    story.report(found("errors", "none"), msgspec.structs.replace(breach, severity="none"))
    story.report(found("errors"), msgspec.structs.replace(breach, why="x: another breach"))
    assert story.row.state == IncidentState.OPEN
    assert story.row.cause == "schema change (x): x: another breach"


def test_what_it_has_cost_is_noted_when_it_is_mitigated() -> None:
    story = Story()
    story.report(found("latency"))
    minute = story.row.opened_at // MINUTE
    quality = Quality(model="m", version="1.0.0", role="champion", slice="", minute=minute, matured=100, labelled=100, correct=70, fp=30)
    story.monitor = msgspec.structs.replace(story.monitor, slabs=(Slab(start=minute, n=500, errors=3, quality=(quality,)),))
    story.report(found("latency", "none"))
    row = story.row
    assert row.state == IncidentState.MITIGATED
    assert row.impact is not None
    assert (row.impact.requests, row.impact.errors, row.impact.labelled, row.impact.wrong) == (500, 3, 100, 20.0)
    assert alerts_of(story.state, "m")


def test_a_release_that_ends_an_incident_and_fails_is_why_it_opens_again() -> None:
    story = Story()
    drift = found("concept_drift")
    story.report(drift)
    story.later(20 * HOUR)
    story.release()
    why = "another champion's route was in force everywhere 20 h after the incident opened"
    row = story.row
    story.add(IncidentMoved(incident=row.incident, source=row.state, target=IncidentState.MITIGATED, why=why))
    # its windows begin anew with the champion
    quiet = msgspec.structs.replace(drift, severity="none", standing="insufficient")
    story.later(MINUTE)
    story.report(quiet)
    story.later(2 * HOUR)
    story.report(quiet, found("errors"))
    assert story.row.state == IncidentState.OPEN
    assert story.row.causes[0].what == "version 1.1.0 took over"


STALE = found("stale_data", column="rows")
WELL, FRESH = found("errors", "none"), found("stale_data", "none", column="rows")


def all_of(story: Story) -> list[tuple[str, str]]:
    return [(row.failure_mode, row.state.value) for row in incidents_of(story.state, "m")]


def test_data_that_run_stale_after_errors_are_an_incident_of_their_own_and_hold_none_open() -> None:
    story = Story()
    story.report(found("errors"))
    story.later(4 * MINUTE)
    story.report(found("errors"), STALE)
    assert all_of(story) == [("errors", "open"), ("stale_data", "open")]
    assert incidents_of(story.state, "m")[0].cause == "errors is seen"
    story.report(WELL, STALE)
    assert all_of(story) == [("errors", "mitigated"), ("stale_data", "open")]
    story.report(WELL, FRESH)
    assert all_of(story) == [("errors", "mitigated"), ("stale_data", "mitigated")]


def test_data_that_were_stale_when_errors_began_are_their_cause() -> None:
    story = Story()
    story.report(STALE, found("errors"))
    assert all_of(story) == [("stale_data", "open")]
    other = Story()
    other.report(STALE)
    other.later(HOUR)
    other.report(STALE, found("errors"))
    assert all_of(other) == [("stale_data", "open")]


def test_what_is_mitigated_opens_again_for_its_like_and_not_for_data_that_go_wrong_afterwards() -> None:
    story = Story()
    story.report(found("errors"))
    story.report(WELL)
    story.later(4 * MINUTE)
    story.report(WELL, STALE)
    assert all_of(story) == [("errors", "mitigated"), ("stale_data", "open")]
    story.report(WELL, FRESH)
    story.report(found("errors"), FRESH)
    assert all_of(story) == [("errors", "open"), ("stale_data", "mitigated")]


def test_what_is_found_wrong_with_the_data_when_it_opens_again_is_its_cause() -> None:
    story = Story()
    story.report(found("errors"))
    story.report(WELL)
    story.later(4 * MINUTE)
    story.report(found("errors"), found("schema_change", column="x"))
    assert all_of(story) == [("errors", "open")]
    assert story.row.cause == "schema change (x): schema_change is seen"


def test_an_incident_that_opened_again_says_what_resolved_last_and_has_cost_what_it_did_each_time() -> None:
    story = Story(MODEL.replace(train=fb.Train(dict)))

    def passed(errors: int) -> None:
        start = story.clock.now() // MINUTE
        slab = Slab(start=start, n=500, errors=errors)
        story.monitor = msgspec.structs.replace(story.monitor, slabs=(*story.monitor.slabs, slab))

    story.report(found("errors"))
    passed(145)
    story.report(WELL)
    assert story.row.impact is not None
    assert (story.row.impact.requests, story.row.impact.errors) == (500, 145)
    story.later(10 * MINUTE)
    passed(0)
    story.later(10 * MINUTE)
    story.report(WELL, found("latency"))
    passed(7)
    story.report(WELL, found("latency", "none"))
    assert story.row.state == IncidentState.MITIGATED
    assert story.row.notes[-1] == "mitigated: latency has resolved: latency is seen"
    assert (story.row.impact.requests, story.row.impact.errors) == (1_000, 152)
    again = impact_of(story.model, story.row, None, story.monitor, story.clock.now())
    assert (again.requests, again.errors, again.since % MINUTE) == (1_000, 152, 0)


def test_what_was_changed_after_the_predictions_were_made_elsewhere_that_are_wrong_is_no_cause() -> None:
    late, soon = Story(), Story()
    late.monitor = msgspec.structs.replace(late.monitor, slabs=(Slab(start=(BASE - 8 * HOUR) // MINUTE, n=500),))
    soon.monitor = msgspec.structs.replace(soon.monitor, slabs=(Slab(start=BASE // MINUTE, n=500),))
    for story in (late, soon):
        story.commit("1.0.1")
        story.report(found("errors", n=100))
    assert sorted(cause.kind for cause in soon.row.causes) == ["data", "version"]
    assert [cause.kind for cause in late.row.causes] == []
