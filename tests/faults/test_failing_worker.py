"""A version whose worker fails or is slow to start: its rollout fails or waits, and nobody else notices."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from flyball.records import codec
from flyball.records.models import Manifest
from flyball.records.rollouts import RolloutState
from flyball.records.serving import RouteInForce
from flyball.records.versions import VERSIONS

from ..journeys.kit import (  # noqa: TID252 - one way to start a whole project
    Project,
    Traffic,
    Up,
    champion_is,
    eventually,
    held_by,
    in_state,
    path_of,
)
from ..journeys.people import cli, release, rollback  # noqa: TID252 - as above

pytestmark = pytest.mark.process

Start = Callable[..., Up]


def test_a_version_that_does_not_load_fails_its_rollout_and_the_champion_stays(project: Project, start: Start) -> None:
    project.loop(autonomy='{"training": "act", "release": "propose"}')
    up = start()
    eventually(lambda: project.row(VERSIONS, "credit/1.0.0"), project.story)
    release(project, "1.0.0")
    champion_is(project, "1.0.0")
    project.loop(autonomy='{"training": "act", "release": "propose"}', change={"C=1.0": "C=0.5"})
    version = eventually(lambda: project.row(VERSIONS, "credit/1.1.0"), project.story)
    with project.opened() as wired:
        files = codec.decode(wired.blobs.get(version.artifact), Manifest).files
        path = wired.blobs.path(files["model.skops"])
    sound = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(sound[:-100])
    with Traffic(up.url) as traffic:
        release(project, "1.1.0")
        row = in_state(project, "1.1.0", RolloutState.FAILED)
        eventually(lambda: any(event.epoch > 2 for event in project.events(RouteInForce)), "the old route is not in force")
    assert path_of(project, "1.1.0") == [RolloutState.WARMING, RolloutState.FAILED]
    assert "its worker failed" in row.why
    assert files["model.skops"][:12] in row.why
    assert set(traffic.statuses) == {200}
    assert {record.version for record in project.log() if record.kind in ("answer", "shadow")} == {"credit@1.0.0"}
    assert project.champion() == "1.0.0"
    # mended, the same version goes out in a second attempt
    path.write_bytes(sound)
    release(project, "1.1.0")
    with Traffic(up.url):
        champion_is(project, "1.1.0")
    assert up.stop()[0] == 0
    project.verified()


def test_a_model_that_warms_up_for_long_keeps_no_other_from_being_rolled_back_in_a_second(project: Project, start: Start) -> None:
    project.loop("credit")
    project.loop("fraud")
    up = start()
    champion_is(project, "1.0.0", "credit")
    champion_is(project, "1.0.0", "fraud")
    hold = project.root / "hold"
    hold.write_text("")
    with Traffic(up.url) as traffic:
        project.loop("credit", steps='shadow("1s").canary("50%", "60s")', change={"C=1.0": "C=0.5"})
        in_state(project, "1.1.0", RolloutState.CANARY)
        project.loop("fraud", change={"C=1.0": "C=0.5", **held_by(hold)})
        in_state(project, "1.1.0", RolloutState.WARMING, model="fraud")
        known = len(project.recorded())
        rollback(project)
        in_state(project, "1.1.0", RolloutState.ROLLED_BACK, within_s=10)
        (event,) = [one.event for one in project.recorded()[known:] if isinstance(one.event, RouteInForce)]
        assert event.waiting == ("fraud",)
        assert event.ms < 1_000
        assert up.predict("fraud").json()["version"] == "1.0.0"
        # and when the slow one is ready it goes its way
        hold.unlink()
        in_state(project, "1.1.0", RolloutState.SHADOW, model="fraud")
    assert set(traffic.statuses) == {200}
    assert project.events(RouteInForce)[-1].waiting == ()
    assert up.stop() == (0, "")
    project.verified()


def test_status_names_a_champion_whose_worker_does_not_start(project: Project, start: Start) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    assert json.loads(cli(project, "status", "--json")[1])["workers"] == []
    assert up.stop()[0] == 0
    version = project.row(VERSIONS, "credit/1.0.0")
    with project.opened() as wired:
        path = wired.blobs.path(codec.decode(wired.blobs.get(version.artifact), Manifest).files["model.skops"])
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-100])
    up = start()

    def told() -> list[dict[str, str]]:
        return json.loads(cli(project, "status", "--json")[1])["workers"]

    (found,) = eventually(told, "nothing is said of the worker")
    assert (found["model"], found["version"], found["next"]) == ("credit", "1.0.0", "flyball models show credit@1.0.0")
    assert "is damaged" in found["why"]
    lines = cli(project, "status")[1].splitlines()
    assert any(line.startswith("worker    credit@1.0.0 does not start: ") for line in lines)
    assert up.stop()[0] == 0
    # nothing is up: nothing is said to fail
    assert told() == []
