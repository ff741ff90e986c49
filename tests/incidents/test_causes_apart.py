"""One incident a cause: what goes wrong with other data days later is a cause of its own, and ends by itself."""

from __future__ import annotations

from flyball.records.alerts import AlertState
from flyball.records.incidents import IncidentState

from .test_rules import DAY, HOUR, T, World, alert

WELL = AlertState.RESOLVED


def test_data_that_go_wrong_together_are_one_cause():
    world = World()
    world.react(alert("input_drift", name="rate"))
    world.react(alert("input_drift", name="rate"), alert("schema_change", name="purpose", since=T + 20 * HOUR), now=T + 20 * HOUR)
    assert len(world.rows) == 1


def test_another_column_that_goes_wrong_days_later_is_an_incident_of_its_own():
    world = World()
    first, later = alert("input_drift", name="rate"), alert("schema_change", name="purpose", since=T + 5 * DAY)
    world.react(first)
    world.react(first, later, now=T + 5 * DAY)
    assert [row.failure_mode for row in world.rows] == ["input_drift", "schema_change"]
    assert not world.react(first, later, now=T + 6 * DAY)


def test_the_same_column_that_goes_on_changing_is_the_same_cause():
    world = World()
    world.react(alert("input_drift", name="rate"))
    world.react(alert("schema_change", name="rate", since=T + 5 * DAY), now=T + 5 * DAY)
    assert len(world.rows) == 1


def test_wrong_answers_belong_to_the_incident_that_explains_them_however_late_they_come():
    world = World()
    drift = alert("input_drift", name="rate")
    world.react(drift)
    world.react(drift, alert("performance", name="", since=T + 9 * DAY), now=T + 9 * DAY)
    assert len(world.rows) == 1


def test_each_ends_with_what_it_speaks_of():
    world = World()
    first, later = alert("input_drift", name="rate"), alert("schema_change", name="purpose", since=T + 5 * DAY)
    world.react(first)
    world.react(first, later, now=T + 5 * DAY)
    over = alert("schema_change", name="purpose", state=WELL, since=T + 6 * DAY)
    world.progress(first, over, now=T + 6 * DAY)
    assert [row.state for row in world.rows] == [IncidentState.OPEN, IncidentState.MITIGATED]


def test_no_version_makes_data_arrive():
    for mode in ("stale_data", "late_labels"):
        world = World()
        world.react(alert(mode))
        assert not [event for event in world.progress(alert(mode), now=T + HOUR, in_force_at=T + HOUR) if hasattr(event, "target")]
        assert world.row.state == IncidentState.OPEN
