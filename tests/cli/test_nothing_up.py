"""A rollout where nothing is up: it is left by `rollback`, status says that it waits and for what, and `tick` ends it."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flyball.records import codec
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState, Step
from flyball.records.serving import Arm, ModelRoute, RouteDesired, RouteInForce, RouteTable
from flyball.records.versions import VERSIONS, ChampionChanged, VersionDeployed
from flyball.serving.layout import Layout
from flyball.serving.table import RoutesFile
from flyball.wiring import Wired, open_project

from ..loop.backup_kit import tell  # noqa: TID252


@pytest.fixture(scope="module")
def split_project(flyball, trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an `up` leaves that ends in the middle of a canary: 1.0.0 answers three in four requests, 1.1.0 the others."""
    project = Path(shutil.copytree(trained_project, tmp_path_factory.mktemp("split") / "project"))
    assert flyball("train", "demand", "--trials", 0, "--set", "max_depth=3", "--project", project, "--json").document["version"] == "1.1.0"
    wired = open_project(project)
    _split(wired)
    wired.close()
    return project


def _split(wired: Wired) -> None:
    def artifact(version: str) -> str:
        row = wired.ledger.state().get(VERSIONS, f"demand/{version}")
        assert row is not None
        return row.artifact

    old, new = artifact("1.0.0"), artifact("1.1.0")
    arms = (
        Arm(version="1.0.0", role="champion", artifact=old, weight=7_500),
        Arm(version="1.1.0", role="challenger", artifact=new, weight=2_500),
    )
    route = ModelRoute(signature=wired.ports.library.signature(old), arms=arms, salt="ro_1")
    step = Step(kind="canary", weight=2_500, bake=0, labels=0)
    states = (RolloutState.PLANNED, RolloutState.WARMING, RolloutState.CANARY)
    tell(
        wired,
        ChampionChanged(model="demand", version="1.0.0", former="", rollback=False, reason="first"),
        VersionDeployed(model="demand", version="1.0.0"),
        RolloutPlanned(rollout="ro_1", model="demand", version="1.1.0", champion="1.0.0", steps=(step,), evidence="gate", attempt=1, reason="new", slow_us=None),
        *(RolloutMoved(rollout="ro_1", model="demand", source=a, target=b, step=0, why="") for a, b in itertools.pairwise(states)),
        VersionDeployed(model="demand", version="1.1.0"),
        RouteDesired(epoch=1, model="demand", route=route),
        RouteInForce(epoch=1, ms=1.0, processes=1),
    )  # fmt: skip
    file = RoutesFile(stamp=1, table=RouteTable(epoch=1, models={"demand": route}))
    Layout(wired.layout.root).routes.write_bytes(codec.encode(file))


@pytest.fixture
def split(split_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(split_project, tmp_path / "project"))


def state_of(flyball, project: Path) -> str:
    return str(flyball("rollouts", "list", "--project", project, "--json").document["rollouts"][0]["state"])


def served(project: Path) -> list[Any]:
    routes = json.loads((project / ".flyball" / "run" / "routes.json").read_bytes())
    return [arm["version"] for arm in routes["table"]["models"]["demand"]["arms"]]


def test_a_roll_back_where_nothing_is_up_ends_with_a_tick_and_the_next_up_begins_with_the_old_route(flyball, split: Path) -> None:
    left = flyball("rollback", "demand", "--project", split, "--reason", "bad nights")
    assert (left.code, "in force with the next flyball up, or with flyball tick" in left.out) == (0, True), left.out
    assert state_of(flyball, split) == "rolling_back"
    shown = flyball("status", "--project", split)
    assert "rollout   demand ro_1: 1.1.0 goes back to 1.0.0, and waits: nothing is up" in shown.out, shown.out
    assert "→ flyball up, or flyball tick" in shown.out
    [stands] = flyball("status", "--project", split, "--json").document["rollouts"]
    assert (stands["model"], stands["rollout"], stands["next"]) == ("demand", "ro_1", "flyball up, or flyball tick")
    refused = flyball("release", "demand@1.1.0", "--project", split)
    assert (refused.code, "flyball up, or flyball tick" in refused.err) == (1, True), refused.err
    assert served(split) == ["1.0.0", "1.1.0"], "an up that began now would still ask both"
    assert flyball("tick", "--project", split).code == 0
    assert state_of(flyball, split) == "rolled_back"
    assert served(split) == ["1.0.0"]
    assert flyball("status", "--project", split, "--json").document["rollouts"] == []
    assert flyball("audit", "verify", "--project", split).code == 0
