"""A first release answers everybody at once: so it answers nobody while anything holds it."""

from __future__ import annotations

import msgspec
import pytest

from flyball.loop.folds import FOLDS
from flyball.loop.releases import MoveRollout, Release, decide_move, decide_release
from flyball.records.base import Refusal
from flyball.records.declarations import DeclarationApplied
from flyball.records.estimates import Outcome, Verdict
from flyball.records.rollouts import ROLLOUTS, RolloutEvidence, RolloutState
from flyball.records.serving import EPOCHS, ROUTES, RouteInForce
from flyball.records.versions import MODELS, VERSIONS, VersionDeprecated, VersionJudged, VersionState, VersionUndeprecated

from .test_dead_ends import MODEL, SIGNATURE, World


class First(World):
    """1.0.0 is released, and its worker starts."""

    def __init__(self) -> None:
        super().__init__()
        self.version("1.0.0")
        self.declare("g1")
        row = self.state.get(VERSIONS, "m/1.0.0")
        assert row is not None
        self.state.put(VERSIONS, "m/1.0.0", msgspec.structs.replace(row, gates_digest="g1", signature="signed"))
        command = Release(id="c", actor="user:ana", rollout="ro", model="m", version="1.0.0", reason="first")
        events = decide_release(self.state, command, self.clock.now(), model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE)
        assert not isinstance(events, Refusal)
        self.add(*events)

    def declare(self, gates: str) -> None:
        self.add(
            DeclarationApplied(
                model="m",
                file="loop.py",
                version_digest="v",
                policy_digest=gates,
                body="0" * 64,
                code="0" * 64,
                gates_digest=gates,
                author="",
            )
        )

    def judge(self, outcome: Outcome) -> None:
        verdict = Verdict(check="bias ≤ 0.1", outcome=outcome, why="0.3")
        self.add(VersionJudged(model="m", version="1.0.0", verdicts=(verdict,), gates_digest="g2"))

    def ready(self) -> None:
        epochs = self.state.get(EPOCHS, "routes")
        assert epochs is not None
        self.add(RouteInForce(epoch=epochs.desired, ms=1.0, processes=2))

    def look(self, frozen_by: str = "", *, ready: bool | None = True) -> tuple[RolloutState, str, list[str]]:
        """How the rollout stands after a look, who the champion is, and who answers."""
        command = MoveRollout(id="c", actor="loop", rollout="ro", evidence=RolloutEvidence(), workers_ready=ready, frozen_by=frozen_by)
        found = decide_move(
            self.state, command, self.clock.now(), model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE, new_id=lambda _: "x"
        )
        assert not isinstance(found, Refusal)
        self.add(*found)
        rollout, roles, route = self.state.get(ROLLOUTS, "ro"), self.state.get(MODELS, "m"), self.state.get(ROUTES, "m")
        assert rollout is not None
        assert roles is not None
        assert route is not None
        return rollout.state, roles.champion, [arm.version for arm in route.route.arms if arm.weight]


@pytest.fixture
def first() -> First:
    return First()


HELD = (RolloutState.WARMING, "", [])
STARTS = (RolloutState.WARMING, "", ["1.0.0"])
ANSWERS = (RolloutState.WATCHING, "1.0.0", ["1.0.0"])


def test_a_first_release_answers_as_soon_as_its_worker_is_ready(first: First) -> None:
    assert first.look(ready=None) == STARTS
    first.ready()
    assert first.look() == ANSWERS


def test_a_first_release_whose_gates_are_declared_anew_answers_nobody_until_they_have_passed(first: First) -> None:
    first.declare("g2")
    assert first.look(ready=None) == HELD
    first.ready()
    assert first.look() == HELD
    first.judge(Outcome.FAIL)
    assert first.look() == HELD
    size = first.state.get(EPOCHS, "routes")
    assert first.look() == HELD
    assert first.state.get(EPOCHS, "routes") == size, "the same route is desired once"
    row = first.state.get(VERSIONS, "m/1.0.0")
    assert row is not None
    assert row.state is VersionState.DEPLOYED, "its worker stays"
    first.judge(Outcome.PASS)
    assert first.look() == ANSWERS


def test_a_first_release_that_is_held_before_its_worker_is_there_starts_as_any_other_after_it(first: First) -> None:
    first.add(VersionDeprecated(model="m", version="1.0.0", reason="it leaks"))
    assert first.look(ready=None) == HELD
    first.add(VersionUndeprecated(model="m", version="1.0.0", reason="it does not"))
    assert first.look(ready=None) == STARTS


def test_an_incident_that_freezes_releases_keeps_a_first_one_from_answering(first: First) -> None:
    first.ready()
    assert first.look("inc") == HELD
    assert first.look() == ANSWERS
