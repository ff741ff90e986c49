"""Each failure mode by its cause: the real thing is broken from outside, found, answered, and seen to recover; the same bank unbroken stays quiet.

One bank lives through all of it, in this order. Nothing here writes an event or calls a rule: a test changes the world, and reads the ledger.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from flyball.records.alerts import AlertMoved, AlertState
from flyball.records.training import RunQueued
from flyball.records.versions import ChampionChanged

from .bank import Bank
from .kit import Project, Up

pytestmark = pytest.mark.process

MONITORS = 'fb.drift(), fb.metric("accuracy").gap("channel").over("1m") <= 0.2, fb.metric("error_rate").over("1m") <= 0.05, fb.metric("latency_p99").over("1m") <= "400ms"'
PLAYBOOK = 'playbook=fb.Playbook(latency=["page", "rollback"]),'

minutes = pytest.mark.skipif(not os.environ.get("SOAK"), reason="it takes minutes: make soak runs it")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    project, running = Project(tmp_path_factory.mktemp("bank")), list[Up]()

    def start() -> Up:
        running.append(Up(project))
        return running[-1].ready()

    try:
        with Bank(project, start, monitors=MONITORS, more=PLAYBOOK, freshness="20s") as bank:
            yield bank
    finally:
        for up in running:
            up.stop()


@pytest.fixture(autouse=True)
def calm(bank: Bank) -> None:
    bank.calm()


def test_a_bank_that_nobody_breaks_has_no_incident(bank: Bank) -> None:
    time.sleep(30)
    bank.quiet()
    assert bank.share_ok(25) == 1.0


def test_a_feed_that_stops(bank: Bank) -> None:
    bank.world.feeds = False
    found = bank.incident("stale_data")
    assert (found.owner, found.actions) == ("data-team", ("ticket",))
    assert "loans" in found.what
    assert bank.share_ok(5) == 1.0
    bank.world.feeds = True
    bank.recovered(found)


def test_what_people_ask_for_moves(bank: Bank) -> None:
    bank.world.shift = 300.0
    found = bank.incident("input_drift")
    assert found.owner == "data-team"
    # of the whole, or of the slice in which it stands highest
    assert found.cause.startswith(("amount: values are higher", "amount in channel="))
    # drift alone is no harm: who answers stays
    assert bank.project.champion() == "1.0.0"
    bank.world.shift = 0.0
    bank.recovered(found)


def test_those_who_ask_by_phone_are_judged_wrongly(bank: Bank) -> None:
    bank.world.biased = True
    found = bank.incident("bias", within_s=150)
    assert "page" in found.actions
    assert "accuracy gap across channel" in found.alert
    bank.world.biased = False
    bank.recovered(found, within_s=240)


def test_a_gate_that_the_champion_does_not_hold(bank: Bank) -> None:
    bank.declare({'fb.metric("accuracy") >= 0.6': 'fb.metric("accuracy") >= 0.995'})
    found = bank.incident("policy_violation")
    assert "page" in found.actions
    assert "accuracy ≥ 0.995" in found.cause
    # a gate declared anew takes nothing out of service by itself: a person decides
    assert bank.project.champion() == "1.0.0"
    bank.declare()
    bank.recovered(found)


@minutes
def test_a_version_whose_file_is_deleted(bank: Bank) -> None:
    bank.second_version()
    (bank.project.root / "data" / "rates.json").unlink()
    found = bank.incident("errors")
    assert "page" in found.actions
    back = bank.wait(lambda: [one for one in bank.project.events(ChampionChanged) if one.rollback], "nobody goes back")
    assert back[-1].version == "1.0.0"
    bank.wait(lambda: bank.share_ok(2) == 1.0, "requests still fail")
    bank.rates(amount=1.0)
    bank.recovered(found)


@minutes
def test_the_same_people_turn_bad(bank: Bank) -> None:
    bank.world.turned = True
    found = bank.incident("concept_drift")
    assert "retrain" in found.actions
    runs = bank.wait(lambda: [one for one in bank.project.events(RunQueued) if one.trigger == "monitor"], "nothing is trained")
    assert found.incident in runs[0].reason
    # a version that learned the new world answers now: that is the recovery, and it is measured
    bank.recovered(found, within_s=180)
    assert bank.project.champion() not in ("1.0.0", "1.1.0")


def test_every_alert_resolved_by_measurement(bank: Bank) -> None:
    moved = bank.project.events(AlertMoved)
    fired = {one.key for one in moved if one.target == AlertState.FIRING and one.finding.severity == "alert"}
    assert fired
    assert fired <= {one.key for one in moved if one.target == AlertState.RESOLVED}
    bank.project.verified()
