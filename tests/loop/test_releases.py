"""Who may be released beside whom."""

import msgspec
import pytest

import flyball as fb
from flyball.ledger.projection import MemoryProjection
from flyball.loop.folds import FOLDS
from flyball.loop.releases import Release, decide_release, with_route
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.models import Field, Signature
from flyball.records.rollouts import RolloutPlanned, RolloutRow, RolloutState, put_rollout
from flyball.records.serving import RouteDesired, RouteTable
from flyball.records.versions import MODELS, VERSIONS, ChampionChanged, VersionEligible, VersionHeld, VersionRegistered, VersionSigned
from flyball.rollout.rules import plan
from flyball.serving.layout import worker_name
from flyball.serving.routes import admit, arms

TOOK = Signature(task="binary", fields=(Field(name="a", type="float"), Field(name="b", type="int")), classes=(0, 1))
MODEL = fb.Model(
    "m",
    task="binary",
    data=fb.Dataset("d", source="d.csv", columns={"a": float, "b": int, "y": int}),
    label="y",
    rollout=fb.Rollout().shadow("1h"),
)


class World:
    """A champion 1.0.0, and a version 1.1.0 whose signature the test says."""

    def __init__(self, signature: Signature, judged: type[Event] = VersionEligible) -> None:
        self.state = MemoryProjection()
        self.signatures = {"1" * 64: TOOK, "2" * 64: signature}
        for version, artifact in (("1.0.0", "1" * 64), ("1.1.0", "2" * 64)):
            kind = judged if version == "1.1.0" else VersionEligible
            self.tell(
                VersionRegistered(
                    model="m",
                    version=version,
                    run=f"run_{version}",
                    artifact=artifact,
                    result="3" * 64,
                    version_digest="",
                    policy_digest="",
                    data={},
                    metrics={},
                ),
                kind(model="m", version=version, verdicts=()),
                VersionSigned(model="m", version=version, note="signed"),
            )
        self.tell(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))

    def tell(self, *events: Event) -> None:
        for event in events:
            FOLDS[type(event)](self.state, Recorded(1, 1, "test", "c", event))

    def release(self) -> object:
        command = Release(id="c", actor="user:ana", rollout="ro_1", model="m", version="1.1.0", reason="")
        return decide_release(self.state, command, 1, model=MODEL, folds=FOLDS, signatures=self.signatures.__getitem__)


def test_a_version_that_takes_the_same_requests_is_released() -> None:
    assert any(isinstance(event, RolloutPlanned) for event in World(TOOK).release())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ((*TOOK.fields, Field(name="c", type="float")), "field c is new"),
        (TOOK.fields[:1], "field b is gone"),
        ((TOOK.fields[0], Field(name="b", type="float")), "field b was int and is float"),
    ],
)
def test_a_version_that_takes_other_requests_is_not_compared_on_the_champions(fields: tuple[Field, ...], said: str) -> None:
    refused = World(msgspec.structs.replace(TOOK, fields=fields)).release()
    assert isinstance(refused, Refusal)
    assert said in refused.what


def test_a_held_version_that_takes_other_requests_is_refused_for_both() -> None:
    refused = World(msgspec.structs.replace(TOOK, fields=TOOK.fields[:1]), VersionHeld).release()
    assert isinstance(refused, Refusal)
    assert "open gate" in refused.what
    assert "m@1.1.0 takes other requests than the champion 1.0.0: field b is gone" in refused.why
    assert refused.fix.startswith("declare it to take what the champion takes"), "what is open is not worth anybody's word"


def test_narrower_bounds_are_no_other_request() -> None:
    narrower = msgspec.structs.replace(TOOK, fields=(Field(name="a", type="float", low=0.0), TOOK.fields[1]))
    assert not isinstance(World(narrower).release(), Refusal)


def test_a_held_version_is_not_released() -> None:
    refused = World(TOOK, VersionHeld).release()
    assert isinstance(refused, Refusal)
    assert refused.code == "refused"


def test_the_former_champion_s_worker_stays_warm_for_a_rollback() -> None:
    world = World(TOOK)
    world.tell(ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"))
    (event, *_) = with_route(world.state, [], 1, model=MODEL, folds=FOLDS, signatures=world.signatures.__getitem__)
    assert isinstance(event, RouteDesired)
    assert event.route is not None
    assert [arm.version for arm in event.route.arms] == ["1.1.0"]
    assert [arm.version for arm in event.route.warm] == ["1.0.0"]
    table = RouteTable(epoch=1, models={"m": event.route})
    assert {ref for ref, _ in arms(table).values()} == {"m@1.1.0", "m@1.0.0"}
    # only what answers or shadows is waited for
    ready = {worker_name("m@1.1.0", "2" * 64): True}
    assert admit(table, RouteTable(epoch=0), ready)[1] == ()


def test_how_often_a_version_was_released_is_told_by_its_own_rollouts_alone() -> None:
    class Strict(MemoryProjection):
        def scan(self, table, prefix=""):
            assert table.name != "rollout", "the rollouts of all models are not looked at inside the write transaction"
            return super().scan(table, prefix)

    world, strict = World(TOOK), Strict()
    for table in (MODELS, VERSIONS):
        for key, row in world.state.scan(table):
            strict.put(table, key, row)
    world.state = strict
    steps = plan(MODEL.rollout, rollout="", model="", version="", champion="1.0.0", attempt=1, slow_us=None, reason="").steps
    for rollout, model, version in (("ro_a", "m", "1.1.0"), ("ro_b", "m", "1.0.0"), ("ro_c", "mm", "1.1.0"), ("ro_d", "m", "1.1.0")):
        row = RolloutRow(
            rollout=rollout, model=model, version=version, champion="1.0.0", steps=steps, evidence="gate", attempt=1,
            state=RolloutState.ROLLED_BACK, step=0, planned_at=0, entered_at=0, why="",
        )  # fmt: skip
        put_rollout(world.state, row)
    released = world.release()
    assert not isinstance(released, Refusal), released
    assert [event.attempt for event in released if isinstance(event, RolloutPlanned)] == [3]
