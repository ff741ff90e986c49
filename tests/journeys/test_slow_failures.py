"""Failure modes whose detectors need hours, by their causes: one bank for which hours pass in seconds, broken from outside, and the same bank unbroken.

As in test_failure_modes.py nothing here writes an event or calls a rule. What makes the hours pass stands in hours.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from flyball.records.alerts import AlertMoved, AlertState
from flyball.records.incidents import INCIDENTS
from flyball.records.training import RUNS, RunQueued, RunState
from flyball.records.versions import ChampionChanged

from .bank import Bank
from .hours import Hours
from .slow_bank import bank, hours, minutes, passes

__all__ = ["bank", "hours"]

pytestmark = pytest.mark.process

SLOW_S = 0.4


def renamed(row: dict[str, Any]) -> dict[str, Any]:
    return {"amt" if name == "amount" else name: value for name, value in row.items()}


def trainings(bank: Bank) -> list[RunQueued]:
    """Those that an alarm asked for."""
    return [one for one in bank.project.events(RunQueued) if one.trigger == "monitor"]


def over(bank: Bank) -> bool:
    """Whether every training is."""
    return all(row.state == RunState.SUCCEEDED for row in bank.project.rows(RUNS))


def test_a_bank_that_nobody_breaks_has_no_incident_in_a_day(bank: Bank, hours: Hours) -> None:
    passes(bank, hours, "30h", "1h")
    bank.quiet()
    assert bank.share_ok(15) == 1.0
    # nor is it quiet for want of data
    bank.wait(lambda: "all monitors are quiet" in bank.typed("monitor", "credit"), "a monitor lacks data")


def test_a_column_that_callers_rename(bank: Bank, hours: Hours) -> None:
    bank.world.written = renamed
    hours.run("1m")
    found = bank.incident("schema_change")
    hours.run("0s")
    assert (found.owner, found.actions) == ("data-team", ("ticket",))
    assert found.cause.startswith("amount: missing in")
    assert "unknown field amt" in found.cause
    # nobody was answered by a row that is half there: callers are told which column, and what they wrote
    refused = bank.asked(1)
    assert {one.status for one in refused} == {422}
    assert "amount" in refused[-1].text
    assert "amt" in refused[-1].text
    bank.world.written = lambda row: row
    bank.wait(lambda: bank.share_ok(1) == 1.0, "requests are still refused")
    hours.run("10m")
    bank.recovered(found)


@minutes
def test_a_file_that_grows_and_is_read_for_each_request(bank: Bank, hours: Hours) -> None:
    bank.second_version()
    passes(bank, hours, "70m", "5m")
    bank.quiet_of("cost")
    bank.rates(amount=1.0, more=400_000)
    # an hour in five minutes: a spike has to take real processor time
    hours.run("5s")
    found = bank.incident("cost", within_s=900)
    hours.run("0s")
    assert (found.owner, found.actions) == ("risk", ("ticket", "cap"))
    assert "CPU s in the last hour; the former version took" in found.cause
    # it is dear, and neither wrong nor late
    assert bank.share_ok(5) == 1.0
    bank.rates(amount=1.0)
    hours.run("5m")
    bank.recovered(found)


def test_a_version_that_waits_for_somebody_else(bank: Bank, hours: Hours) -> None:
    if bank.project.champion() == "1.0.0":
        bank.second_version()
    passes(bank, hours, "10m", "1m")
    assert bank.share_slow(4, SLOW_S) < 0.1
    bank.rates(amount=1.0, wait_s=0.6)
    bank.wait(lambda: bank.share_slow(2, SLOW_S) > 0.9, "requests are not slow")
    hours.run("1m")
    found = bank.incident("latency")
    assert (found.owner, found.actions) == ("risk", ("page", "rollback"))
    assert "latency_p50" in found.alert
    # the version before waits for nobody, and answers again
    back = bank.wait(lambda: [one for one in bank.project.events(ChampionChanged) if one.rollback], "nobody goes back")
    assert (back[-1].version, back[-1].former) == ("1.0.0", "1.1.0")
    bank.wait(lambda: bank.asked(1) and bank.share_slow(1, SLOW_S) < 0.1, "requests are still slow")
    # what broke it is broken still: it is the route that ended it
    hours.run("2m")
    bank.recovered(found)
    assert bank.project.row(INCIDENTS, found.incident).causes[0].what == "version 1.1.0 took over"
    assert bank.share_ok(5) == 1.0
    bank.rates(amount=1.0)


def test_labels_that_stop(bank: Bank, hours: Hours) -> None:
    # they have come until now
    passes(bank, hours, "12h", "1h")
    bank.world.labels = False
    hours.run("1h")
    found = bank.incident("late_labels")
    hours.run("0s")
    assert (found.owner, found.actions) == ("risk", ("ticket",))
    assert found.cause.startswith("labels (good) have stopped: ")
    # whether answers are right nobody knows now, and it is not said that they are
    assert "no data   accuracy over 6h ≥ 0.4" in bank.typed("monitor", "credit")
    assert bank.share_ok(5) == 1.0
    bank.world.labels = True
    hours.run("1h")
    bank.recovered(found)


def test_trainings_that_do_not_help(bank: Bank, hours: Hours) -> None:
    bank.world.random = True
    for count in (1, 2, 3):
        hours.run("30m")
        bank.wait(lambda count=count: len(trainings(bank)) == count, "nothing is trained")
        hours.run("0s")
        bank.wait(lambda: over(bank), "it is not over")
    found = bank.incident("retrain_storm")
    assert (found.owner, found.actions) == ("risk", ("ticket", "cap"))
    assert "3 trainings that an alarm asked for" in found.cause
    assert "none gave a better champion" in found.cause
    # the alarm stands, two cool-downs are over, and nothing is trained
    passes(bank, hours, "11h", "1h")
    assert len(trainings(bank)) == 3
    assert bank.project.champion() == "1.0.0"
    bank.acknowledged(found)
    bank.wait(lambda: len(trainings(bank)) == 4, "nothing is trained again")
    bank.world.random = False
    hours.run("1h")
    bank.recovered(found, within_s=180)


def test_every_alert_resolved_by_measurement(bank: Bank, hours: Hours) -> None:
    moved = bank.project.events(AlertMoved)
    fired = {one.key for one in moved if one.target == AlertState.FIRING and one.finding.severity == "alert"}
    assert fired
    assert fired <= {one.key for one in moved if one.target == AlertState.RESOLVED}
    bank.project.verified()
