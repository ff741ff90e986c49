"""What the loop may not do by itself it proposes, or only records; a person does it with the same command."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from flyball.records.proposals import PROPOSALS, ProposalMade
from flyball.records.rollouts import ROLLOUTS, RolloutState
from flyball.records.serving import RouteDesired, RouteInForce
from flyball.records.training import RUNS
from flyball.records.versions import VERSIONS, VersionState

from .kit import Project, Traffic, Up, champion_is, eventually, in_state
from .people import release, rollback, train

pytestmark = pytest.mark.process

Start = Callable[..., Up]


def open_proposals(project: Project) -> list[tuple[str, str]]:
    return [(row.action, row.mode) for row in project.rows(PROPOSALS) if not row.verdict]


def test_a_loop_that_may_only_propose_waits_for_a_person_at_each_step(project: Project, start: Start) -> None:
    project.loop(autonomy='"propose"')
    up = start()
    eventually(lambda: open_proposals(project) == [("train", "propose")], project.story)
    time.sleep(1.5)
    assert project.rows(RUNS) == []
    assert len(project.events(ProposalMade)) == 1

    train(project)
    eventually(lambda: open_proposals(project) == [("release", "propose")], project.story)
    time.sleep(1.5)
    assert project.rows(ROLLOUTS) == []
    assert [row.state for row in project.rows(VERSIONS)] == [VersionState.ELIGIBLE]
    assert up.predict().status_code == 404

    release(project, "1.0.0")
    champion_is(project, "1.0.0")
    assert up.predict().json()["version"] == "1.0.0"
    assert {(row.action, row.verdict) for row in project.rows(PROPOSALS)} == {("train", "accepted"), ("release", "accepted")}
    assert up.stop() == (0, "")
    project.verified()


def test_a_loop_that_only_records_says_so_and_does_nothing(project: Project, start: Start) -> None:
    project.loop(autonomy='{"training": "act", "release": "record"}')
    up = start()
    eventually(lambda: open_proposals(project) == [("release", "record")], project.story)
    time.sleep(1.5)
    assert project.rows(ROLLOUTS) == []
    assert len(project.events(ProposalMade)) == 1
    assert up.predict().status_code == 404
    release(project, "1.0.0")
    champion_is(project, "1.0.0")
    assert up.stop() == (0, "")
    project.verified()


def test_a_rollback_given_by_another_process_is_in_force_within_a_second_and_the_log_proves_it(project: Project, start: Start) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    with Traffic(up.url) as traffic:
        project.loop(change={"C=1.0": "C=0.5"})
        in_state(project, "1.1.0", RolloutState.COMPLETED)
        # the former champion's worker has gone: it is warmed first, and the champion answers meanwhile
        rollback(project)
        assert project.champion() == "1.0.0"
        eventually(lambda: up.predict().json()["version"] == "1.0.0", "the former champion does not answer again")
        # out of a rollout, both versions are warm: the route is all that changes
        project.loop(steps='shadow("1s").canary("50%", "60s")', change={"C=1.0": "C=0.25"})
        in_state(project, "1.2.0", RolloutState.CANARY)
        known = len(traffic.answered)
        eventually(lambda: len(traffic.answered) > known + 50, "no answers")
        at = rollback(project)
        in_state(project, "1.2.0", RolloutState.ROLLED_BACK)
        known = len(traffic.answered)
        eventually(lambda: len(traffic.answered) > known + 200, "no answers")
        time.sleep(1.5)
    assert set(traffic.statuses) == {200}
    desired = next(event.epoch for event in reversed(project.events(RouteDesired)))
    ms = next(event.ms for event in project.events(RouteInForce) if event.epoch == desired)
    assert ms < 1_000
    answers = [record for record in project.log() if record.kind == "answer" and record.at > at + 1_000_000]
    assert answers
    assert {record.epoch for record in answers} == {desired}
    assert {record.version for record in answers} == {"credit@1.0.0"}
    assert up.stop() == (0, "")
    project.verified()
