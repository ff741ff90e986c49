"""No state of a rollout or an incident is one that nothing leads out of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

import flyball as fb
from flyball.clock import Span, VirtualClock
from flyball.declare.checks import Check
from flyball.errors import Conflict
from flyball.ledger.projection import MemoryProjection
from flyball.loop.advance import answer
from flyball.loop.findings import Report, SettleIncident, decide_report, decide_settle
from flyball.loop.folds import FOLDS
from flyball.loop.releases import (
    MoveRollout,
    Release,
    Rollback,
    Steer,
    decide_move,
    decide_release,
    decide_rollback,
    decide_steer,
    with_route,
)
from flyball.records.alerts import ALERTS, AlertMoved, AlertState, Finding
from flyball.records.base import Event, Record, Recorded, Refusal
from flyball.records.declarations import DeclarationApplied
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.incidents import INCIDENTS, IncidentMoved, IncidentOpened, IncidentState
from flyball.records.models import Signature
from flyball.records.proposals import PROPOSALS
from flyball.records.rollouts import ROLLOUTS, RolloutEvidence, RolloutMoved, RolloutPlanned, RolloutState, Step, StepCounts
from flyball.records.serving import Arm, ModelRoute, RouteDesired, RouteInForce
from flyball.records.versions import (
    MODELS,
    VERSIONS,
    ChampionChanged,
    VersionDeployed,
    VersionDeprecated,
    VersionEligible,
    VersionJudged,
    VersionRegistered,
    VersionRetired,
    VersionUndeprecated,
    VersionWaived,
)
from flyball.wiring import Wired, open_project

S = 1_000_000
DATA = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
MODEL = fb.Model("m", task="binary", data=DATA, label="y", framing=fb.Framing("test"))
SIGNATURE = Signature(task="binary", fields=())
ERRORS = IncidentOpened(
    incident="inc", model="m", failure_mode="errors", alert="m/errors/", what="errors", cause="", owner="", actions=("rollback",)
)
ROUTE = ModelRoute(signature=SIGNATURE, arms=(Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000),))


class Told(Record, frozen=True):
    """A command that does as it is told."""

    id: str
    actor: str


class World:
    """The projections, a second later with each step."""

    def __init__(self) -> None:
        self.state, self.clock = MemoryProjection(), VirtualClock(S)

    def add(self, *events: Event) -> None:
        self.clock.advance_to(self.clock.now() + S)
        for event in events:
            FOLDS[type(event)](self.state, Recorded(seq=1, at=self.clock.now(), actor="loop", command="c", event=event))

    def version(self, number: str, *verdicts: Verdict) -> None:
        self.add(
            VersionRegistered(
                model="m", version=number, run=f"run_{number}", artifact="a" * 64, result="b" * 64,
                version_digest="v", policy_digest="p", data={}, metrics={},
            ),
            VersionEligible(model="m", version=number, verdicts=verdicts),
        )  # fmt: skip

    def release(self, number: str, champion: str) -> None:
        step = Step(kind="shadow", weight=0, bake=Span.parse("1h"))
        self.add(
            RolloutPlanned(
                rollout="ro", model="m", version=number, champion=champion, steps=(step,), evidence="live", attempt=1, reason="test"
            )
        )
        self.move(RolloutState.PLANNED, RolloutState.WARMING)
        self.add(VersionDeployed(model="m", version=number))

    def move(self, source: RolloutState, target: RolloutState) -> None:
        self.add(RolloutMoved(rollout="ro", model="m", source=source, target=target, step=0, why="test"))

    def steer(self, verb: str) -> list[Event] | Refusal:
        found = decide_steer(
            self.state,
            Steer(id="c", actor="user:ana", rollout="ro", verb=verb, reason="enough"),  # type: ignore[arg-type]
            self.clock.now(),
            model=MODEL,
            folds=FOLDS,
            signatures=lambda _: SIGNATURE,
        )
        return found if isinstance(found, Refusal) else list(found)


@pytest.fixture
def world() -> World:
    made = World()
    made.version("1.0.0")
    return made


def test_the_incident_of_a_release_that_failed_to_warm_up_is_mitigated_when_the_route_without_it_is_in_force(world: World) -> None:
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    world.version("1.1.0")
    world.release("1.1.0", "1.0.0")
    world.move(RolloutState.WARMING, RolloutState.FAILED)
    world.add(
        IncidentOpened(
            incident="inc", model="m", failure_mode="bad_release", alert="", what="bad", cause="worker", owner="", actions=(), rollout="ro"
        ),
        RouteDesired(epoch=2, model="m", route=ROUTE),
    )

    def look() -> IncidentState:
        report = Report(id="c", actor="loop", model="m", findings=())
        world.add(*decide_report(world.state, report, world.clock.now(), model=MODEL, folds=FOLDS, new_id=lambda _: "x"))
        row = world.state.get(INCIDENTS, "inc")
        assert row is not None
        return row.state

    assert look() == IncidentState.OPEN
    world.add(RouteInForce(epoch=2, ms=1.0, processes=2))
    assert look() == IncidentState.MITIGATED


def test_a_first_release_that_answers_cannot_be_aborted_into_nobody_answering(world: World) -> None:
    world.release("1.0.0", "")
    world.move(RolloutState.WARMING, RolloutState.WATCHING)
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    refused = world.steer("abort")
    assert isinstance(refused, Refusal)
    assert "no version to go back to" in refused.what


def test_a_rollout_that_warms_up_is_aborted_along_the_table_and_its_version_leaves_the_route(world: World) -> None:
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    world.version("1.1.0")
    world.release("1.1.0", "1.0.0")
    events = world.steer("abort")
    assert not isinstance(events, Refusal)
    world.add(*events)
    row = world.state.get(ROLLOUTS, "ro")
    assert row is not None
    assert row.state == RolloutState.FAILED
    assert "user:ana" in row.why


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_rolls_back_is_neither_paused_nor_resumed(world: World, verb: str) -> None:
    world.release("1.0.0", "0.9.0")
    world.move(RolloutState.WARMING, RolloutState.SHADOW)
    world.move(RolloutState.SHADOW, RolloutState.ROLLING_BACK)
    assert isinstance(world.steer(verb), Refusal)


def _with_a_former_champion(world: World, root: Path) -> Wired:
    """The world in a project of its own, where 1.1.0 took the place of 1.0.0."""
    (root / "flyball.toml").write_text("")
    wired = open_project(root, claim=True)

    def add(*events: Event) -> None:
        wired.ledger.execute(Told(id=wired.ports.clock.new_id("cmd"), actor="loop"), lambda *_: events)

    world.add = add  # type: ignore[method-assign]
    wired.ports.library.signature = lambda _: SIGNATURE  # type: ignore[method-assign]
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        world.version(number)
    add(ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"))
    return wired


def test_the_playbook_leaves_a_rollout_and_then_goes_back_to_the_former_champion_even_while_something_is_under_way(
    world: World, tmp_path: Path
) -> None:
    wired = _with_a_former_champion(world, tmp_path)
    ledger, add = wired.ledger, world.add
    world.release("1.2.0", "1.1.0")
    world.move(RolloutState.WARMING, RolloutState.SHADOW)
    add(ERRORS, IncidentMoved(incident="inc", source=IncidentState.OPEN, target=IncidentState.MITIGATING, why="releasing 1.2.0"))

    def stands() -> tuple[str, RolloutState]:
        answer(wired.ports, MODEL.replace(autonomy="act"))
        model, rollout = ledger.state().get(MODELS, "m"), ledger.state().get(ROLLOUTS, "ro")
        assert model is not None
        assert rollout is not None
        return model.champion, rollout.state

    assert stands() == ("1.1.0", RolloutState.ROLLING_BACK)
    assert stands() == ("1.1.0", RolloutState.ROLLING_BACK)
    world.move(RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK)
    assert stands() == ("1.0.0", RolloutState.ROLLED_BACK)
    size = ledger.size()
    stands()
    assert ledger.size() == size
    wired.close()


@pytest.mark.parametrize("state", ["advised", "advised in a rollout", "failed"])
def test_the_playbook_asks_a_person_before_it_goes_back_to_what_is_advised_against(world: World, tmp_path: Path, state: str) -> None:
    wired = _with_a_former_champion(world, tmp_path)
    ledger, add = wired.ledger, world.add
    if state == "failed":
        add(VersionDeployed(model="m", version="1.0.0"))
        verdict = Verdict(check="bias ≤ 0.1", outcome=Outcome.FAIL, why="0.3")
        add(VersionJudged(model="m", version="1.0.0", verdicts=(verdict,), gates_digest="g2"))
    else:
        add(VersionDeprecated(model="m", version="1.0.0", reason="it leaks"))
    if state == "advised in a rollout":
        world.release("1.2.0", "1.1.0")
        world.move(RolloutState.WARMING, RolloutState.SHADOW)
    add(ERRORS)
    answer(wired.ports, MODEL.replace(autonomy="act"))
    model, rollout = ledger.state().get(MODELS, "m"), ledger.state().get(ROLLOUTS, "ro")
    asked = [(row.action, row.mode, row.target, row.reason) for _, row in ledger.state().scan(PROPOSALS) if not row.verdict]
    back = [one.event.reason for one in ledger.read(0, 1_000) if isinstance(one.event, ChampionChanged) and one.event.rollback]
    wired.close()
    assert model is not None
    if state == "failed":
        assert (model.champion, asked) == ("1.0.0", [])
        assert back == ["inc: errors; 1.0.0 holds not all of its gates any more (bias ≤ 0.1: fail, 0.3)"]
    elif state == "advised":
        assert model.champion == "1.1.0"
        assert asked == [("rollback", "propose", "1.0.0", "inc: errors; 1.0.0 is advised against: it leaks")]
    else:
        assert (model.champion, asked) == ("1.1.0", [])
        assert rollout is not None
        assert rollout.state is RolloutState.ROLLING_BACK, "the champion goes on: nobody goes back to 1.0.0"


def test_a_rollback_by_hand_of_a_release_that_warms_up_ends_it_along_the_table(world: World) -> None:
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    world.version("1.1.0")
    world.release("1.1.0", "1.0.0")
    command = Rollback(id="c", actor="user:ana", model="m", reason="not now")
    events = decide_rollback(world.state, command, world.clock.now(), model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE)
    assert not isinstance(events, Refusal)
    world.add(*events)
    row, model = world.state.get(ROLLOUTS, "ro"), world.state.get(MODELS, "m")
    assert row is not None
    assert model is not None
    assert (row.state, model.champion) == (RolloutState.FAILED, "1.0.0")


@pytest.mark.parametrize(("champion", "back"), [("1.1.0", True), ("1.0.0", False)])
def test_a_version_that_went_by_a_roll_back_is_told_from_one_that_another_replaced(world: World, champion: str, back: bool) -> None:
    """1.1.0 answers, and 1.0.0 did before it. Then 1.1.0 is rolled back; or it was 1.0.0 that answered, and 1.1.0 takes its place."""
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    world.version("1.1.0")
    world.add(ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"))
    arm = Arm(version=champion, role="champion", artifact="a" * 64, weight=10_000)
    world.add(
        VersionDeployed(model="m", version=champion), RouteDesired(epoch=1, model="m", route=msgspec.structs.replace(ROUTE, arms=(arm,)))
    )
    if back:
        command = Rollback(id="c", actor="user:ana", model="m", reason="it answers nonsense")
        found = decide_rollback(world.state, command, world.clock.now(), model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE)
    else:
        found = with_route(world.state, [], world.clock.now(), model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE)
    assert not isinstance(found, Refusal)
    [left] = [event for event in found if isinstance(event, VersionRetired)]
    assert (left.version, left.back) == (champion, back)
    world.add(*found)
    row = world.state.get(VERSIONS, f"m/{champion}")
    assert row is not None
    assert row.taken_back is back
    assert ("it answers nonsense" in row.retired_why) is back


@pytest.mark.parametrize("alert", ["", "m/accuracy ≥ 0.6/"])
def test_an_incident_is_acknowledged_with_a_reason_whether_or_not_an_alert_opened_it(world: World, alert: str) -> None:
    if alert:
        finding = Finding(monitor="accuracy ≥ 0.6", severity="alert")
        ok, firing = AlertState.OK, AlertState.FIRING
        world.add(AlertMoved(key=alert, model="m", monitor=finding.monitor, source=ok, target=firing, episode=1, finding=finding))
    world.add(
        IncidentOpened(incident="inc", model="m", failure_mode="bad_release", alert=alert, what="bad", cause="", owner="", actions=())
    )

    def ack(text: str) -> list[Event] | Refusal:
        command = SettleIncident(id="c", actor="user:ana", incident="inc", verb="ack", text=text)
        found = decide_settle(world.state, command, world.clock.now())
        return found if isinstance(found, Refusal) else list(found)

    events = ack("looking at the feed")
    assert not isinstance(events, Refusal)
    world.add(*events)
    row, alerted = world.state.get(INCIDENTS, "inc"), world.state.get(ALERTS, alert)
    assert row is not None
    assert row.notes == ("acknowledged by user:ana: looking at the feed",)
    assert (alerted.state if alerted else None) == (AlertState.ACKNOWLEDGED if alert else None)
    assert ack("looking at the feed") == []
    world.add(IncidentMoved(incident="inc", source=IncidentState.OPEN, target=IncidentState.CLOSED, why="false alarm"))
    assert isinstance(ack("again"), Refusal)


def test_an_incident_goes_along_its_table_only(world: World) -> None:
    world.add(IncidentOpened(incident="inc", model="m", failure_mode="errors", alert="", what="bad", cause="", owner="", actions=()))
    with pytest.raises(Conflict):
        world.add(IncidentMoved(incident="inc", source=IncidentState.OPEN, target=IncidentState.REVIEWED, why="too early"))


def test_an_alert_goes_along_its_table_only(world: World) -> None:
    finding = Finding(monitor="x", severity="alert")
    with pytest.raises(Conflict):
        world.add(
            AlertMoved(key="m/x/", model="m", monitor="x", source=AlertState.OK, target=AlertState.RESOLVED, episode=1, finding=finding)
        )


CHAMPION_GATE = fb.metric("accuracy") >= fb.champion - 0.02
BASELINE_GATE = fb.metric("accuracy") >= fb.baseline
KNOWN = Estimate(value=0.8, n=1000)


@pytest.mark.parametrize(
    ("verdict", "judged_against", "stands_in"),
    [
        (Verdict(check=str(CHAMPION_GATE), outcome=Outcome.PASS, estimate=KNOWN, reference=KNOWN), "1.0.0", True),
        (Verdict(check=str(CHAMPION_GATE), outcome=Outcome.PASS, estimate=KNOWN, reference=KNOWN), "0.9.0", False),
        (Verdict(check=str(CHAMPION_GATE), outcome=Outcome.PASS, why="no champion yet"), "1.0.0", False),
        (Verdict(check=str(CHAMPION_GATE), outcome=Outcome.WAIVED, estimate=KNOWN, reference=KNOWN), "1.0.0", False),
        (Verdict(check="accuracy ≥ baseline", outcome=Outcome.PASS, estimate=KNOWN, reference=KNOWN), "1.0.0", False),
        (None, "1.0.0", False),
    ],
)
def test_only_a_gate_passed_against_this_champion_stands_in_for_live_evidence(
    world: World, verdict: Verdict | None, judged_against: str, stands_in: bool
) -> None:
    assert [event.target.value for event in _shadowed(world, judged_against, *([verdict] if verdict else []))] == (
        ["watching"] if stands_in else []
    )


@pytest.mark.parametrize(
    "gate",
    [
        fb.metric("size") <= fb.champion * 2,
        fb.metric("latency_p99") <= fb.champion * 2,
        fb.metric("output_shift") <= fb.champion * 2,
        fb.metric("positive_rate") <= fb.champion + 0.1,
        fb.metric("accuracy") <= fb.champion + 0.1,
    ],
)
def test_no_gate_that_says_nothing_of_quality_stands_in_for_live_evidence(world: World, gate: Check) -> None:
    passed = Verdict(check=str(gate), outcome=Outcome.PASS, estimate=KNOWN, reference=KNOWN)
    assert _shadowed(world, "1.0.0", passed, declares=[gate]) == []


BY_SLICE = fb.metric("accuracy").by("x") >= fb.champion - 0.02


@pytest.mark.parametrize(
    ("second", "unlisted", "stands_in"),
    [
        (Outcome.PASS, {}, True),
        (Outcome.PASS, {"pass": 300}, True),
        (Outcome.WAIVED, {}, False),
        (Outcome.PASS, {"waived": 1, "pass": 300}, False),
    ],
)
def test_a_gate_that_was_waived_in_one_slice_stands_in_for_nothing(
    world: World, second: Outcome, unlisted: dict[str, int], stands_in: bool
) -> None:
    passed = Verdict(check=str(BY_SLICE), slice="x=1", outcome=Outcome.PASS, estimate=KNOWN, reference=KNOWN)
    other = msgspec.structs.replace(passed, slice="x=2", outcome=second)
    judged = VersionJudged(model="m", version="1.1.0", verdicts=(passed, other), unlisted=unlisted)
    found = _shadowed(world, "1.0.0", declares=[BY_SLICE], then=(judged,))
    assert [event.target.value for event in found] == (["watching"] if stands_in else [])


@pytest.mark.parametrize(("left", "goes_to"), [(60 * S, "watching"), (0, "frozen")])
def test_a_waiver_that_expires_on_the_way_holds_the_rollout(world: World, left: int, goes_to: str) -> None:
    met = Verdict(check=str(CHAMPION_GATE), outcome=Outcome.PASS, estimate=KNOWN, reference=KNOWN)
    waived = Verdict(check="accuracy ≥ baseline", outcome=Outcome.WAIVED)
    until = world.clock.now() + left
    found = _shadowed(world, "1.0.0", met, waived, until=until)
    assert [event.target.value for event in found] == [goes_to]
    assert ("accuracy ≥ baseline: its waiver expired" in found[0].why) is (goes_to == "frozen")


MET = Verdict(check=str(CHAMPION_GATE), outcome=Outcome.PASS, estimate=KNOWN, reference=KNOWN)


def test_gates_declared_anew_on_the_way_hold_the_rollout_until_they_have_judged(world: World) -> None:
    declared = DeclarationApplied(
        model="m", file="loop.py", version_digest="v", policy_digest="p2", body="0" * 64, code="0" * 64, gates_digest="g2", author=""
    )
    [held] = _shadowed(world, "1.0.0", MET, gates="g1", then=(declared,))
    assert held.target is RolloutState.FROZEN
    assert "the gates of m were declared anew and have not judged 1.1.0 yet" in held.why


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.INSUFFICIENT])
def test_a_gate_that_does_not_hold_any_more_on_the_way_holds_the_rollout(world: World, outcome: Outcome) -> None:
    judged = VersionJudged(
        model="m", version="1.1.0", verdicts=(MET, Verdict(check="bias ≤ 0.1", outcome=outcome, why="0.3")), gates_digest="g1"
    )
    [held] = _shadowed(world, "1.0.0", MET, gates="g1", then=(judged,))
    assert (held.target, held.why) == (RolloutState.FROZEN, f"bias ≤ 0.1: {outcome.value}, 0.3")


def test_a_version_that_is_advised_against_on_the_way_holds_the_rollout(world: World) -> None:
    advised = VersionDeprecated(model="m", version="1.1.0", reason="it leaks")
    [held] = _shadowed(world, "1.0.0", MET, then=(advised,))
    assert (held.target, held.why) == (RolloutState.FROZEN, "1.1.0 is advised against: it leaks")


def test_what_a_person_releases_in_spite_of_advice_goes_on_until_there_is_other_advice(world: World) -> None:
    def found() -> list[Event]:
        command = MoveRollout(id="c", actor="loop", rollout="ro", evidence=RolloutEvidence(), workers_ready=True)
        moved = decide_move(
            world.state, command, world.clock.now(), model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE, new_id=lambda _: "x"
        )
        assert not isinstance(moved, Refusal)
        return [event for event in moved if isinstance(event, RolloutMoved)]

    row = world.state.get(VERSIONS, "m/1.0.0")
    assert row is not None
    world.state.put(VERSIONS, "m/1.0.0", msgspec.structs.replace(row, signature="signed", deprecated="too slow"))
    release = Release(id="c", actor="user:ana", rollout="ro", model="m", version="1.0.0", reason="better than none")
    events = decide_release(world.state, release, world.clock.now(), model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE)
    assert not isinstance(events, Refusal)
    world.add(*events)
    assert found()
    world.add(VersionDeprecated(model="m", version="1.0.0", reason="it leaks"))
    assert found() == []
    world.add(VersionUndeprecated(model="m", version="1.0.0", reason="it does not"))
    assert found()


def _shadowed(
    world: World,
    judged_against: str,
    *verdicts: Verdict,
    until: int = 0,
    gates: str = "",
    then: Sequence[Event] = (),
    declares: Sequence[Check] = (CHAMPION_GATE, BASELINE_GATE),
) -> list[RolloutMoved]:
    """How a rollout moves whose shadow has baked, and which the gate against the champion may stand in for."""
    model = MODEL.replace(gates=declares)
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    world.version("1.1.0", *verdicts)
    version = world.state.get(VERSIONS, "m/1.1.0")
    assert version is not None
    world.state.put(
        VERSIONS, "m/1.1.0", msgspec.structs.replace(version, against=judged_against, gates_digest=gates or version.gates_digest)
    )
    if until:
        waiver = VersionWaived(model="m", version="1.1.0", gate="accuracy ≥ baseline", slice="", reason="", until=until, gates_digest="")
        world.add(waiver)
    world.release("1.1.0", "1.0.0")
    world.add(RolloutMoved(rollout="ro", model="m", source=RolloutState.WARMING, target=RolloutState.SHADOW, step=0, why=""))
    world.add(RouteDesired(epoch=1, model="m", route=ROUTE), RouteInForce(epoch=1, ms=1.0, processes=2))
    units = StepCounts(weight=0, canary_units=10_000, canary_met=10_000, stable_units=10_000)
    evidence = RolloutEvidence(steps=(units,), baked=Span.parse("2h"), under="shadow:0")
    row = world.state.get(ROLLOUTS, "ro")
    assert row is not None
    world.state.put(ROLLOUTS, "ro", msgspec.structs.replace(row, evidence="gate"))

    world.add(*then)
    command = MoveRollout(id="c", actor="loop", rollout="ro", evidence=evidence, workers_ready=True)
    found = decide_move(
        world.state, command, world.clock.now(), model=model, folds=FOLDS, signatures=lambda _: SIGNATURE, new_id=lambda _: "x"
    )
    assert not isinstance(found, Refusal)
    moves = [event for event in found if isinstance(event, RolloutMoved)]
    assert all("the gate's paired evidence stands in" in event.why for event in moves if event.target is RolloutState.WATCHING)
    return moves
