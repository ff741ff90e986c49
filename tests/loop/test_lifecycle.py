"""What persons make of a version: what serves is not touched before a rollback, and everything else leaves by an event."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
import pytest

from flyball.clock import Span
from flyball.errors import BadInput
from flyball.loop import lifecycle
from flyball.loop.folds import FOLDS
from flyball.loop.lifecycle import (
    Annotate,
    Delete,
    Deprecate,
    Quarantine,
    Reinstate,
    Undeprecate,
    decide_annotate,
    decide_delete,
    decide_deprecate,
    decide_quarantine,
    decide_reinstate,
    decide_undeprecate,
)
from flyball.loop.proposals import candidate
from flyball.loop.releases import with_route
from flyball.records.base import Event, Record, Recorded, Refusal
from flyball.records.declarations import DeclarationApplied
from flyball.records.estimates import Outcome, Verdict
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState
from flyball.records.serving import ROUTES
from flyball.records.training import RunResult
from flyball.records.versions import (
    MODELS,
    VERSIONS,
    ChampionChanged,
    VersionApproved,
    VersionDenied,
    VersionDeployed,
    VersionRejected,
    VersionRetired,
    VersionRow,
    VersionState,
    VersionWaived,
)

from .test_releases import MODEL, TOOK, World

FAILED = Verdict(check="accuracy ≥ 0.6", outcome=Outcome.FAIL)


class Lived(World):
    """A champion 1.0.0 and an eligible 1.1.0, of which persons make what the test says."""

    def __init__(self) -> None:
        super().__init__(TOOK)
        applied = DeclarationApplied(
            model="m", file="loop.py", version_digest="", policy_digest="", body="0" * 64, code="0" * 64, gates_digest="", author=""
        )
        self.tell(applied)

    def row(self, version: str = "1.1.0") -> VersionRow:
        row = self.state.get(VERSIONS, f"m/{version}")
        assert row is not None
        return row

    def routed(self) -> None:
        """The champion and, if there is one, the former champion have their places in the route."""
        self.tell(*with_route(self.state, [], 1, model=MODEL, folds=FOLDS, signatures=self.signatures.__getitem__))

    def promoted(self) -> None:
        """1.1.0 has taken over, and 1.0.0 is what a rollback goes to."""
        self.routed()
        self.tell(ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"))
        self.routed()

    def gives(self, kind: type[Record], version: str = "1.1.0", reason: str = "it is wrong", **more: object) -> Sequence[Event] | Refusal:
        command = kind(id="c", actor="user:ben", model="m", version=version, **({"reason": reason} if kind is not Annotate else {}), **more)
        with_model = {"model": MODEL, "folds": FOLDS, "signatures": self.signatures.__getitem__}
        decide = {
            Deprecate: decide_deprecate,
            Undeprecate: decide_undeprecate,
            Quarantine: partial(decide_quarantine, **with_model),
            Reinstate: decide_reinstate,
            Delete: partial(decide_delete, **with_model),
            Annotate: decide_annotate,
        }[kind]
        outcome = decide(self.state, command, 5)  # type: ignore[operator]
        if not isinstance(outcome, Refusal):
            for event in outcome:
                FOLDS[type(event)](self.state, Recorded(1, 5, "user:ben", "c", event))
        return outcome

    def reinstated(self, *verdicts: Verdict, version: str = "1.1.0") -> Sequence[Event] | Refusal:
        what = RunResult(
            artifact="2" * 64,
            signature=TOOK,
            parameters={},
            window=Span.parse("7d"),
            rows=1,
            holdout_rows=1,
            metrics={},
            baseline={},
            verdicts=verdicts,
        )
        return self.gives(Reinstate, version, result="3" * 64, what=what)


def said(outcome: object) -> str:
    assert isinstance(outcome, Refusal), outcome
    return f"{outcome.what}; {outcome.why}; {outcome.fix}"


@pytest.mark.parametrize("kind", [Quarantine, Delete])
def test_the_champion_is_rolled_back_before_it_is_taken_away(kind: type[Record]) -> None:
    world = Lived()
    world.routed()
    assert "is the champion" in said(world.gives(kind, "1.0.0"))
    assert "release another version first" in said(world.gives(kind, "1.0.0"))
    world.promoted()
    assert "flyball rollback m first" in said(world.gives(kind, "1.1.0"))


@pytest.mark.parametrize("kind", [Quarantine, Delete])
@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_neither_side_of_a_rollout_is_taken_away_while_it_is_on(kind: type[Record], version: str) -> None:
    world = Lived()
    world.routed()
    world.tell(
        RolloutPlanned(rollout="ro_1", model="m", version="1.1.0", champion="1.0.0", steps=(), evidence="live", attempt=1, reason="")
    )
    text = said(world.gives(kind, version))
    assert "the rollout ro_1" in text
    assert ("flyball rollback m first" in text) == (version == "1.1.0")


def test_a_first_release_is_aborted_first() -> None:
    world = Lived()
    row = world.state.get(MODELS, "m")
    assert row is not None
    world.state.put(MODELS, "m", msgspec.structs.replace(row, champion=""))
    world.tell(RolloutPlanned(rollout="ro_1", model="m", version="1.1.0", champion="", steps=(), evidence="live", attempt=1, reason=""))
    assert "flyball rollouts abort ro_1 first" in said(world.gives(Quarantine))
    world.tell(RolloutMoved(rollout="ro_1", model="m", source=RolloutState.PLANNED, target=RolloutState.WARMING, step=0, why=""))
    world.tell(RolloutMoved(rollout="ro_1", model="m", source=RolloutState.WARMING, target=RolloutState.FAILED, step=0, why=""))
    world.gives(Quarantine)
    assert world.row().state is VersionState.QUARANTINED


@pytest.mark.parametrize("kind", [Quarantine, Delete])
def test_a_former_champion_that_is_taken_away_is_no_way_back_and_leaves_the_route(kind: type[Record]) -> None:
    world = Lived()
    world.promoted()
    route = world.state.get(ROUTES, "m")
    assert route is not None
    assert [arm.version for arm in route.route.warm] == ["1.0.0"]
    world.gives(kind, "1.0.0")
    row, route = world.state.get(MODELS, "m"), world.state.get(ROUTES, "m")
    assert row is not None
    assert route is not None
    assert (row.champion, row.former, route.route.warm) == ("1.1.0", "", ())
    assert [arm.version for arm in route.route.arms] == ["1.1.0"]


def test_what_is_quarantined_is_not_released_and_says_why_and_comes_back_by_its_verdicts() -> None:
    world = Lived()
    world.gives(Quarantine, reason="its labels were wrong")
    assert "in quarantine: its labels were wrong" in said(world.release())
    assert candidate(world.state, "m", 5) is None
    assert "in quarantine already" in said(world.gives(Quarantine))
    world.reinstated(Verdict(check="accuracy ≥ 0.6", outcome=Outcome.PASS))
    assert (world.row().state, world.row().quarantined) == (VersionState.ELIGIBLE, "")
    assert not isinstance(world.release(), Refusal)
    assert "is in no quarantine" in said(world.reinstated())


def test_what_was_rolled_back_comes_out_of_quarantine_for_a_person_and_not_for_the_loop() -> None:
    world = Lived()
    world.tell(
        VersionDeployed(model="m", version="1.1.0"), VersionRetired(model="m", version="1.1.0", why="rolled back by user:ben: it is wrong")
    )
    world.gives(Quarantine)
    world.reinstated(Verdict(check="accuracy ≥ 0.6", outcome=Outcome.PASS))
    assert world.row().state is VersionState.ELIGIBLE
    assert candidate(world.state, "m", 5) is None
    assert not isinstance(world.release(), Refusal), "a person may"


@pytest.mark.parametrize("now_over", [True, False])
def test_out_of_quarantine_a_version_is_what_persons_words_make_of_it_by_then(now_over: bool) -> None:
    world = Lived()
    until = 4 if now_over else 9
    waived = VersionWaived(model="m", version="1.1.0", gate=FAILED.check, slice="", reason="", until=until, gates_digest="")
    world.tell(waived)
    world.gives(Quarantine)
    world.reinstated(FAILED)
    assert world.row().state is (VersionState.REJECTED if now_over else VersionState.ELIGIBLE)


def test_a_no_outlasts_a_quarantine() -> None:
    world = Lived()
    world.tell(VersionDenied(model="m", version="1.1.0", roles=("approver",), reason="too risky", gates_digest=""))
    world.tell(VersionApproved(model="m", version="1.1.0", roles=("approver",), reason="", gates_digest=""))
    world.tell(VersionRejected(model="m", version="1.1.0", verdicts=(FAILED,)))
    world.gives(Quarantine)
    world.reinstated(Verdict(check="accuracy ≥ 0.6", outcome=Outcome.PASS))
    assert world.row().state is VersionState.REJECTED
    assert "said no" in said(world.release())


def test_only_what_comes_to_nothing_is_deleted_and_a_tombstone_is_left() -> None:
    world = Lived()
    assert "flyball models quarantine m@1.1.0" in said(world.gives(Delete))
    world.gives(Quarantine)
    world.gives(Delete, reason="made of stolen rows")
    assert (world.row().state, world.row().retired_why) == (VersionState.DELETED, "user:ben: made of stolen rows")
    for kind in (Delete, Quarantine, Deprecate):
        assert "is deleted" in said(world.gives(kind))
    assert "is deleted" in said(world.release())


def test_a_retired_version_is_deleted() -> None:
    world = Lived()
    world.promoted()
    world.gives(Delete, "1.0.0")
    assert world.row("1.0.0").state is VersionState.DELETED


def test_what_is_advised_against_stays_what_it_is_and_the_loop_leaves_it() -> None:
    world = Lived()
    assert candidate(world.state, "m", 5) == world.row()
    world.gives(Deprecate, reason="1.2.0 is on its way")
    assert (world.row().state, world.row().deprecated) == (VersionState.ELIGIBLE, "1.2.0 is on its way")
    assert candidate(world.state, "m", 5) is None
    assert not isinstance(world.release(), Refusal), "a person may"
    assert world.gives(Deprecate, reason="1.2.0 is on its way") == ()
    world.gives(Undeprecate)
    assert world.row().deprecated == ""
    assert candidate(world.state, "m", 5) == world.row()
    assert "is not deprecated" in said(world.gives(Undeprecate))


def test_notes_and_tags_are_added_changed_and_taken_off() -> None:
    world = Lived()
    world.gives(Annotate, add=("fails at night", "fails in snow"), tags={"region": "eu", "reviewed": ""})
    assert [(each.text, each.actor, each.at) for each in world.row().known] == [
        ("fails at night", "user:ben", 5),
        ("fails in snow", "user:ben", 5),
    ]
    assert world.row().tags == {"region": "eu", "reviewed": ""}
    assert world.gives(Annotate, add=("fails at night",), tags={"region": "eu"}) == (), "it is known"
    world.gives(Annotate, drop=("fails at night",), tags={"region": "us", "reviewed": None})
    assert [each.text for each in world.row().known] == ["fails in snow"]
    assert world.row().tags == {"region": "us"}
    assert "taken off meanwhile" in said(world.gives(Annotate, drop=("fails at night",)))


def test_there_is_an_end_to_notes_and_tags() -> None:
    world = Lived()
    many = tuple(f"{place} {'é' * 800}" for place in range(lifecycle.MOST_NOTES))
    assert "too much at once" in said(world.gives(Annotate, add=many))
    for text in many:
        world.gives(Annotate, add=(text,))
    assert "50 notes" in said(world.gives(Annotate, add=("one more",)))
    assert not isinstance(world.gives(Annotate, add=("one more",), drop=many[:1]), Refusal), "one goes, one comes"
    assert "50 tags" in said(world.gives(Annotate, tags={f"t{place}": "" for place in range(51)}))
    for bad in ({"add": ["  "]}, {"add": ["x" * 1_001]}, {"tags": {"a b": ""}}, {"tags": {"": ""}}, {"tags": {"a": "x" * 201}}):
        with pytest.raises(BadInput):
            lifecycle.annotate(world.row(), command="c", actor="user:ben", **({"tags": {}} | bad))  # type: ignore[arg-type]


def test_a_reason_is_asked_for() -> None:
    row = Lived().row()
    with pytest.raises(BadInput):
        lifecycle.deprecate(row, command="c", actor="user:ben", reason=" ")


def test_all_notes_are_replaced_by_what_differs() -> None:
    world = Lived()
    world.gives(Annotate, add=("a", "b"))
    assert lifecycle.replaced(world.row(), ["b", " c "]) == (("c",), ("a",))
    assert lifecycle.replaced(world.row(), []) == ((), ("a", "b"))
