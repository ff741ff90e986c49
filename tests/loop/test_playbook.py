"""What the playbook asks for is done, once for each incident, and undone when the incident is mitigated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import flyball as fb
from flyball.clock import Span
from flyball.errors import Refused
from flyball.loop.advance import answer, move_rollout
from flyball.loop.compiling import compile_project
from flyball.loop.declaring import apply
from flyball.loop.fallbacks import BeginFallback, decide_begin
from flyball.loop.folds import FOLDS
from flyball.loop.freezes import overdue_review
from flyball.loop.lookup import declared
from flyball.loop.memory import load
from flyball.loop.tick import observe_data
from flyball.records.base import Event, Record
from flyball.records.data import DATASETS
from flyball.records.declarations import DECLARATIONS
from flyball.records.fallbacks import FALLBACKS
from flyball.records.incidents import INCIDENTS, IncidentMoved, IncidentNoted, IncidentOpened, IncidentState
from flyball.records.models import Signature
from flyball.records.proposals import PROPOSALS
from flyball.records.rollouts import ROLLOUTS, RolloutMoved, RolloutPlanned, RolloutState, Step
from flyball.records.serving import ROUTES, Arm, ModelRoute, RouteDesired
from flyball.records.training import RUNS
from flyball.records.versions import MODELS, ChampionChanged, VersionDeployed, VersionEligible, VersionRegistered
from flyball.wiring import Wired, open_project

LOOP = """
import flyball as fb
rows = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
def fit(X, y):
    from sklearn.linear_model import LogisticRegression
    return LogisticRegression().fit(X, y)
m = fb.Model("m", task="binary", data=rows, label="y", framing=fb.Framing("test"), train=fb.Train(fit, window="30d", holdout="2d"),
    fallback=0, autonomy="act")
"""
SIGNATURE = Signature(task="binary", fields=())


class Told(Record, frozen=True):
    """A command that does as it is told."""

    id: str
    actor: str


class World:
    """A project whose model m is declared, has rows, and is served: 1.1.0 answers, and 1.0.0 did before."""

    def __init__(self, root: Path) -> None:
        (root / "flyball.toml").write_text("")
        (root / "loop.py").write_text(LOOP)
        lines = [f"2026-01-{1 + n // 24:02d}T{n % 24:02d}:00:00Z,{n % 7},{n % 2}" for n in range(240)]
        (root / "rows.csv").write_text("\n".join(["ts,x,y", *lines]))
        self.wired: Wired = open_project(root, claim=True)
        self.ports = self.wired.ports
        apply(compile_project(root), self.ports, "loop")
        until = time.monotonic() + 30
        while self.state.get(DATASETS, "rows") is None and time.monotonic() < until:
            observe_data(self.ports, self.state, [row for _, row in self.state.scan(DECLARATIONS)], [])
            time.sleep(0.05)
        self.ports.library.signature = lambda _: SIGNATURE  # type: ignore[method-assign]
        for number in ("1.0.0", "1.1.0"):
            self.add(
                VersionRegistered(
                    model="m", version=number, run=f"run_{number}", artifact="a" * 64, result="b" * 64,
                    version_digest="v", policy_digest="p", data={}, metrics={},
                ),
                VersionEligible(model="m", version=number, verdicts=()),
            )  # fmt: skip
        arm = Arm(version="1.1.0", role="champion", artifact="a" * 64, weight=10_000)
        self.add(
            ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"),
            VersionDeployed(model="m", version="1.1.0"),
            RouteDesired(epoch=1, model="m", route=ModelRoute(signature=SIGNATURE, arms=(arm,), fallback=0)),
        )
        self.model = declared(self.ports, "m")

    @property
    def state(self):
        return self.wired.ledger.state()

    def add(self, *events: Event) -> None:
        self.wired.ledger.execute(Told(id=self.ports.clock.new_id("cmd"), actor="loop"), lambda *_: events)

    def open(self, *actions: str, name: str = "inc", mode: str = "errors") -> None:
        self.add(
            IncidentOpened(incident=name, model="m", failure_mode=mode, alert=f"m/{mode}/", what=mode, cause="", owner="", actions=actions)
        )

    def mitigate(self, name: str = "inc") -> None:
        row = self.state.get(INCIDENTS, name)
        assert row is not None
        self.add(IncidentMoved(incident=name, source=row.state, target=IncidentState.MITIGATED, why="its alert has resolved"))

    def answers(self) -> str:
        row = self.state.get(ROUTES, "m")
        assert row is not None
        return row.route.answers

    def size(self) -> int:
        return self.wired.ledger.size()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.wired.close()


def test_the_declared_fallback_answers_while_the_incident_lasts_and_versions_answer_again_when_it_is_mitigated(world: World) -> None:
    answer(world.ports, world.model)
    assert world.answers() == "versions", "nothing is wrong"
    world.open("page", "fallback")
    answer(world.ports, world.model)
    assert world.answers() == "fallback"
    route = world.state.get(ROUTES, "m")
    assert route is not None
    assert [arm.version for arm in route.route.arms] == ["1.1.0"], "the champion goes on being asked"
    before = world.size()
    answer(world.ports, world.model)
    assert world.size() == before, "once for each incident"
    world.mitigate()
    answer(world.ports, world.model)
    assert world.answers() == "versions"
    assert world.state.get(FALLBACKS, "m") is None
    before = world.size()
    answer(world.ports, world.model)
    assert world.size() == before


def test_without_a_declared_fallback_the_former_champion_is_it(world: World) -> None:
    world.open("fallback")
    answer(world.ports, world.model.replace(fallback=None))
    row = world.state.get(MODELS, "m")
    assert row is not None
    assert (row.champion, world.state.get(FALLBACKS, "m")) == ("1.0.0", None)


@pytest.mark.parametrize("mode", ["propose", "record"])
def test_a_fallback_that_the_loop_may_not_choose_is_proposed_and_a_person_takes_it(world: World, mode: str) -> None:
    world.open("fallback")
    kept = world.model.replace(autonomy={"rollback": mode})
    answer(world.ports, kept)
    answer(world.ports, kept)
    assert world.answers() == "versions"
    assert [(row.action, row.mode, row.cause) for _, row in world.state.scan(PROPOSALS)] == [("fallback", mode, "inc")]
    command = BeginFallback(id="by-hand", actor="loop", model="m", incident="inc", reason="yes")
    world.ports.ledger.execute(
        command,
        lambda state, given, now: decide_begin(state, given, now, model=world.model, folds=FOLDS, signatures=world.ports.library.signature),
    )
    assert world.answers() == "fallback"
    assert [row.verdict for _, row in world.state.scan(PROPOSALS)] == ["accepted"]


def test_a_fallback_is_refused_where_none_is_declared_or_nothing_is_wrong(world: World) -> None:
    def begin(model: fb.Model) -> None:
        command = BeginFallback(id=world.ports.clock.new_id("cmd"), actor="loop", model="m", incident="inc", reason="")
        world.ports.ledger.execute(
            command,
            lambda state, given, now: decide_begin(state, given, now, model=model, folds=FOLDS, signatures=world.ports.library.signature),
        )

    world.open("fallback")
    with pytest.raises(Refused, match="declares no fallback") as refused:
        begin(world.model.replace(fallback=None))
    assert refused.value.fix == "flyball rollback m; or declare fallback= and flyball apply"
    world.mitigate()
    with pytest.raises(Exception, match="inc is mitigated"):
        begin(world.model)


def test_a_training_in_shadow_is_begun_once_for_an_incident_and_is_released_by_nobody_but_a_person(world: World) -> None:
    known = len(world.state.scan(RUNS))
    world.open("shadow-train", mode="input_drift")
    for _ in range(3):
        answer(world.ports, world.model)
    begun = [row for _, row in world.state.scan(RUNS)][known:]
    assert [(row.trigger, row.release) for row in begun] == [("monitor", False)]
    assert begun[0].reason == "inc, in shadow: input_drift"
    world.mitigate()
    answer(world.ports, world.model)
    assert len(world.state.scan(RUNS)) == known + 1


def test_an_incident_without_the_action_begins_no_training(world: World) -> None:
    known = len(world.state.scan(RUNS))
    world.open("ticket", mode="input_drift")
    answer(world.ports, world.model)
    assert len(world.state.scan(RUNS)) == known


def notes(world: World) -> list[str]:
    row = world.state.get(INCIDENTS, "inc")
    assert row is not None
    return list(row.notes)


def test_what_the_model_gives_no_means_to_do_is_said_once_on_the_incident(world: World) -> None:
    world.add(ChampionChanged(model="m", version="1.1.0", former="", rollback=False, reason="the first"))
    world.open("page", "rollback", "retrain", "fallback", mode="concept_drift")
    for _ in range(3):
        answer(world.ports, world.model)
    said = ['action "rollback" is not done: no version was champion before 1.1.0', 'action "retrain" is not done: no retrain= is declared']
    assert notes(world) == said, "the declared fallback answers"
    answer(world.ports, world.model.replace(fallback=None))
    last = 'action "fallback" is not done: no fallback= is declared, and no version was champion before 1.1.0'
    assert notes(world) == [*said, last]


def test_what_can_be_done_is_not_said_to_be_undone(world: World) -> None:
    world.open("page", "rollback", "retrain", "fallback", mode="concept_drift")
    for _ in range(2):
        answer(world.ports, world.model.replace(retrain=fb.Retrain()))
    assert notes(world) == [], "nor that nothing is left to go back to, when it has gone back"
    row = world.state.get(MODELS, "m")
    assert row is not None
    assert row.champion == "1.0.0"


def test_an_overdue_review_holds_what_the_loop_would_release_and_says_so(world: World) -> None:
    world.open("page")
    assert overdue_review(world.state, "m") == ""
    world.mitigate()
    world.add(IncidentNoted(incident="inc", note="overdue: review"))
    assert overdue_review(world.state, "m") == "the review of inc is overdue: flyball incidents review inc"
    world.add(IncidentMoved(incident="inc", source=IncidentState.MITIGATED, target=IncidentState.REVIEWED, why="learnt"))
    assert overdue_review(world.state, "m") == ""


@pytest.mark.parametrize("state", [IncidentState.OPEN, IncidentState.MITIGATING])
def test_an_incident_that_is_not_mitigated_has_no_review_to_write_and_does_not_hold_what_may_end_it(
    world: World, state: IncidentState
) -> None:
    world.open("retrain", mode="concept_drift")
    if state == IncidentState.MITIGATING:
        world.add(IncidentMoved(incident="inc", source=IncidentState.OPEN, target=state, why="releasing 1.2.0"))
    world.add(IncidentNoted(incident="inc", note="overdue: review"))
    assert overdue_review(world.state, "m") == ""
    world.mitigate()
    assert overdue_review(world.state, "m") == "the review of inc is overdue: flyball incidents review inc"


@pytest.mark.parametrize(("by", "goes"), [("loop", RolloutState.FROZEN), ("user:ana", RolloutState.SHADOW)])
def test_an_overdue_review_freezes_what_the_loop_released_and_not_what_a_person_did(world: World, by: str, goes: RolloutState) -> None:
    world.open("page")
    world.mitigate()
    world.add(IncidentNoted(incident="inc", note="overdue: review"))
    step = Step(kind="shadow", weight=0, bake=Span.parse("1h"))
    planned = RolloutPlanned(
        rollout="ro", model="m", version="1.0.0", champion="1.1.0", steps=(step,), evidence="live", attempt=1, reason="test"
    )
    world.wired.ledger.execute(Told(id="planned", actor=by), lambda *_: (planned,))
    world.ports.library.result = lambda _: SimpleNamespace(loss_cap=1.0)  # type: ignore[method-assign, assignment, return-value]
    for source, target in ((RolloutState.PLANNED, RolloutState.WARMING), (RolloutState.WARMING, RolloutState.SHADOW)):
        world.add(RolloutMoved(rollout="ro", model="m", source=source, target=target, step=0, why="test"))
    move_rollout(world.ports, world.model, load(world.ports.memory))
    row = world.state.get(ROLLOUTS, "ro")
    assert row is not None
    assert row.state == goes
    if by == "loop":
        assert row.why == "the review of inc is overdue: flyball incidents review inc"
        world.add(IncidentMoved(incident="inc", source=IncidentState.MITIGATED, target=IncidentState.REVIEWED, why="learnt"))
        move_rollout(world.ports, world.model, load(world.ports.memory))
        row = world.state.get(ROLLOUTS, "ro")
        assert row is not None
        assert row.state == RolloutState.SHADOW, "the review lets it go on"
