"""The states of an alert: every arrow is walked, and none other exists."""

from __future__ import annotations

import pytest
from tests.monitoring.conftest import DAY, HOUR, START

from flyball.monitoring.alerts import ARROWS, acknowledge, alerts, key_of
from flyball.monitoring.fold import FOLDS
from flyball.records.alerts import ALERTS, AlertMoved, AlertRow, AlertState, Finding
from flyball.records.base import Recorded


class Rows:
    def __init__(self):
        self.rows = {}

    def get(self, table, key):
        return self.rows.get(key)

    def put(self, table, key, row):
        assert table is ALERTS
        self.rows[key] = row

    def look(self, *findings, now=START):
        moved = alerts("m", self.rows, findings, now)
        for event in moved:
            FOLDS[AlertMoved](self, Recorded(1, now, "loop", "c", event))
        return [(event.source.value, event.target.value) for event in moved]


def finding(severity="alert", standing="settled", **more):
    return Finding(monitor="drift of inputs", severity=severity, standing=standing, column="x", **more)


WELL, WARN, ALERT = finding("none"), finding("warn"), finding("alert")
PENDING, NOTHING = finding("alert", "pending"), finding("none", "insufficient")
BROKEN = Finding(monitor="drift of inputs", severity="warn", standing="broken")


@pytest.mark.parametrize(
    ("path", "arrows"),
    [
        ([WELL], []),
        ([NOTHING], []),
        ([PENDING, WELL], [("ok", "pending"), ("pending", "ok")]),
        ([PENDING, PENDING, ALERT], [("ok", "pending"), ("pending", "firing")]),
        ([ALERT, ALERT, WELL], [("ok", "firing"), ("firing", "resolved")]),
        ([ALERT, PENDING], [("ok", "firing")]),
        ([ALERT, NOTHING, NOTHING], [("ok", "firing"), ("firing", "stale")]),
        ([ALERT, NOTHING, WELL], [("ok", "firing"), ("firing", "stale"), ("stale", "resolved")]),
        ([ALERT, NOTHING, ALERT], [("ok", "firing"), ("firing", "stale"), ("stale", "firing")]),
        ([PENDING, NOTHING, PENDING], [("ok", "pending"), ("pending", "stale"), ("stale", "pending")]),
        ([WARN, ALERT, ALERT], [("ok", "firing"), ("firing", "firing")]),
        ([ALERT, WARN], [("ok", "firing")]),
        ([ALERT, WELL, PENDING], [("ok", "firing"), ("firing", "resolved"), ("resolved", "pending")]),
        ([BROKEN, BROKEN, WELL], [("ok", "broken"), ("broken", "resolved")]),
    ],
)
def test_findings_move_an_alert(path, arrows):
    rows = Rows()
    assert [arrow for step in path for arrow in rows.look(step)] == arrows


def test_no_data_keeps_what_was_last_known():
    rows = Rows()
    rows.look(finding(why="x is higher"))
    rows.look(NOTHING)
    (row,) = rows.rows.values()
    assert (row.state, row.finding.why) == (AlertState.STALE, "x is higher")


def test_a_finding_that_vanishes_makes_the_alert_stale():
    rows = Rows()
    rows.look(ALERT)
    assert rows.look() == [("firing", "stale")]


def test_an_alert_ends_with_its_monitor():
    rows = Rows()
    rows.look(ALERT)
    other = Finding(monitor="labels arrive", severity="none")
    assert rows.look(other) == [("firing", "resolved")]
    assert rows.rows["m/drift of inputs/x"].finding.why == "the monitor is no longer declared"
    sibling = Finding(monitor="drift of inputs", severity="none", column="z")
    rows.look(ALERT)
    assert rows.look(sibling) == [("firing", "stale")], "the monitor is there, its column is not"


def test_a_broken_monitor_is_an_alert_of_its_own():
    rows = Rows()
    rows.look(ALERT)
    assert rows.look(BROKEN) == [("ok", "broken"), ("firing", "stale")]
    assert set(rows.rows) == {"m/drift of inputs/x", "m/drift of inputs/broken"}


def test_pending_fires_by_waiting_only_where_the_finding_says_so():
    rows, drift = Rows(), Rows()
    waiting = finding("alert", "pending", wait=DAY)
    assert rows.look(waiting) == drift.look(PENDING) == [("ok", "pending")]
    assert rows.look(waiting, now=START + DAY - 1) == []
    assert rows.look(waiting, now=START + DAY) == [("pending", "firing")]
    assert drift.look(PENDING, now=START + 30 * DAY) == []


def test_what_is_well_by_chance_resolves_when_a_span_has_passed_since_it_fired():
    by_chance = finding("none", "pending", wait=DAY)
    rows, taken, silent = Rows(), Rows(), Rows()
    for own in (rows, taken, silent):
        own.look(ALERT)
    (row,) = taken.rows.values()
    FOLDS[AlertMoved](taken, Recorded(1, START + HOUR, "user:ana", "c", acknowledge(row)))
    silent.look(NOTHING, now=START + HOUR)
    for own, state in ((rows, "firing"), (taken, "acknowledged"), (silent, "stale")):
        assert own.look(by_chance, now=START + DAY - 1) == []
        assert own.look(by_chance, now=START + DAY) == [(state, "resolved")]
    rows.look(WARN, now=START + 2 * DAY)
    rows.look(ALERT, now=START + 3 * DAY)
    assert rows.look(by_chance, now=START + 4 * DAY - 1) == [], "it became graver since"
    assert rows.look(WELL, now=START + 4 * DAY - 1) == [("firing", "resolved")], "that is evident at once"


def test_every_episode_has_a_number_and_keeps_when_it_began():
    rows = Rows()
    for number, step in enumerate([WARN, ALERT, WELL, ALERT]):
        rows.look(step, now=START + number * HOUR)
        if number == 1:
            (row,) = rows.rows.values()
            assert row.since == START, "graver is the same episode"
    (row,) = rows.rows.values()
    assert (row.episode, row.since) == (2, START + 3 * HOUR)


def test_an_alert_keeps_when_it_was_found_as_grave_as_it_is_while_somebody_is_on_it_or_nothing_comes_to_judge_it_by():
    rows, found = Rows(), []
    for number, step in enumerate([PENDING, WARN, ALERT, NOTHING, ALERT, WELL, ALERT]):
        rows.look(step, now=START + number * HOUR)
        (row,) = rows.rows.values()
        found.append((row.found_at - START) // HOUR if row.found_at else None)
    assert found == [None, 1, 2, 2, 4, None, 6]
    moved = acknowledge(row)
    FOLDS[AlertMoved](rows, Recorded(1, START + 9 * HOUR, "user:ana", "c", moved))
    (row,) = rows.rows.values()
    assert (row.since, row.found_at) == (START + 9 * HOUR, START + 6 * HOUR)


def test_what_is_acknowledged_stays_so_until_it_is_well_or_worse():
    rows = Rows()
    rows.look(WARN)
    (row,) = rows.rows.values()
    moved = acknowledge(row)
    FOLDS[AlertMoved](rows, Recorded(1, START, "user:ana", "c", moved))
    assert rows.look(WARN) == []
    assert rows.look(ALERT) == [("acknowledged", "firing")]
    assert acknowledge(AlertRow(key="k", model="m", monitor="x", state=AlertState.OK, episode=0, since=0, finding=WELL)) is None


def test_every_arrow_is_walked_by_some_finding():
    """From each state, every finding leads along an arrow of the table, and every arrow but a person's is found."""
    found = {(AlertState.FIRING, AlertState.ACKNOWLEDGED)}
    for state in AlertState:
        for severity in ("none", "warn", "alert"):
            for standing in ("settled", "pending", "insufficient", "broken"):
                if (standing == "broken") != (state == AlertState.BROKEN) and state not in (AlertState.OK, AlertState.RESOLVED):
                    continue  # a broken monitor has a key of its own
                step = finding(severity, standing, wait=1)
                row = AlertRow(key=key_of("m", step), model="m", monitor=step.monitor, state=state, episode=1, since=START, finding=WARN)
                found |= {(move.source, move.target) for move in alerts("m", {row.key: row}, [step], START + 1)}
        other = AlertRow(key="m/gone/", model="m", monitor="gone", state=state, episode=1, since=START, finding=WARN)
        found |= {(move.source, move.target) for move in alerts("m", {other.key: other}, [], START + 1)}
    assert found == {(source, target) for source, targets in ARROWS.items() for target in targets}
