"""What goes from one environment to the next: what was measured, known and tried, and nothing that persons decided."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.cli.status import advised_against
from flyball.errors import Conflict, FlyballError, NotFound, Refused, Unavailable
from flyball.governance.authority import LOOP, Caller
from flyball.ledger.bounds import fits
from flyball.ledger.projection import MemoryProjection
from flyball.ledger.verify import verify
from flyball.loop import lookup
from flyball.loop.approvals import Approve, decide_approve
from flyball.loop.backup import backup
from flyball.loop.carrying import (
    Carry,
    Offer,
    Want,
    WantJudged,
    ask_for_verdicts,
    bring,
    checked_before,
    decide_carry,
    decide_want,
    decide_want_judged,
    follow,
    unchecked,
    weigh,
)
from flyball.loop.folds import FOLDS
from flyball.loop.integration import NoteIntegration, decide_note_integration
from flyball.loop.live_before import EarlierEnvironment
from flyball.loop.restoring import restore
from flyball.loop.tick import observe_environments
from flyball.records import codec
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.declarations import DECLARATIONS, DeclarationApplied
from flyball.records.environments import JUDGINGS, WANTED, JudgingWanted, TrainingWanted, VersionCarried, VersionIntegrated
from flyball.records.estimates import Asked, Outcome, Verdict
from flyball.records.integration import Integration
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState
from flyball.records.training import MODEL_RUNS, RUNS, RunQueued, RunStarted, RunSucceeded
from flyball.records.versions import (
    MODELS,
    UNSIGNED,
    VERSIONS,
    ChampionChanged,
    Known,
    Said,
    Taken,
    VersionApproved,
    VersionDeleted,
    VersionDenied,
    VersionDeployed,
    VersionDeprecated,
    VersionDescribed,
    VersionEligible,
    VersionHeld,
    VersionJudged,
    VersionNoted,
    VersionQuarantined,
    VersionRegistered,
    VersionReinstated,
    VersionRetired,
    VersionRow,
    VersionState,
    VersionUndeprecated,
    VersionWaived,
    Waiver,
    Written,
)
from flyball.registry import approvals
from flyball.registry.fold import numbers
from flyball.registry.rules import to_judge_anew
from flyball.wiring import Wired, open_project

from .backup_kit import tell
from .environment_kit import FAILED, HELD, answers_there, environments, made, result, row, run, tried

PASSED = Verdict(check="accuracy >= 0.6", outcome=Outcome.PASS)
BELOW = Verdict(check="accuracy >= 0.9", outcome=Outcome.FAIL, why="0.8")
ASKED = Verdict(check="approval by 1 approver", outcome=Outcome.INSUFFICIENT, asks=(Asked(role="approver", count=1),))
BLANK = Verdict(check="blanks of the card <= 2", outcome=Outcome.INSUFFICIENT, blanks=2)
NAME = {"model": "m", "version": "1.0.0"}
INTEGRATED = Integration(at=9, checks=(HELD,))


class Here:
    """The record of production. `carry` takes over what staging offers, and folds what that comes to."""

    def __init__(self) -> None:
        self.state = MemoryProjection()
        self.now = 100
        self.said: list[Event] = []

    def tell(self, *events: Event, actor: str = "loop") -> None:
        for event in events:
            self.now += 1
            self.said.append(event)
            FOLDS[type(event)](self.state, Recorded(len(self.said), self.now, actor, "c", event))

    def decide(self, there: VersionRow, *verdicts: Verdict, size: int = 40, since: int = 0) -> Any:
        what = result(there.artifact, *verdicts)
        offer = Offer(origin="staging", row=there, run=run(there.version), what=what, size=size, root="ab" * 32, since=since)
        return decide_carry(self.state, Carry(id="c", actor="loop", offer=offer), self.now)

    def carry(self, there: VersionRow, *verdicts: Verdict, size: int = 40, since: int = 0) -> list[Event]:
        events = self.decide(there, *verdicts, size=size, since=since)
        assert not isinstance(events, Refusal), events
        self.tell(*events)
        return list(events)

    def row(self, version: str = "1.0.0") -> VersionRow:
        found = self.state.get(VERSIONS, f"m/{version}")
        assert found is not None
        return found


@pytest.fixture
def here() -> Here:
    return Here()


def kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


def test_more_notes_than_an_event_has_room_for_keep_nothing_back_and_the_newest_come(here: Here) -> None:
    notes = tuple(Known(text=f"{place} " + "é" * 900, actor="user:ana", at=place) for place in range(50))
    card = {name: Written(text="ü" * 3_000, actor="user:ana", at=3) for name in ("ethics", "limitations", "out_of_scope")}
    there = row(known=notes, card=card)
    carried_over = here.carry(there, PASSED)[1]
    assert fits(carried_over)
    own = here.row()
    assert list(own.card) == ["ethics"], "the others are read where they were written"
    assert own.known == notes[-len(own.known) :]
    assert here.carry(there, PASSED) == [], "and it is no news each time"


def test_what_was_taken_back_where_it_comes_from_goes_no_further_and_why_is_said() -> None:
    replaced = row(state=VersionState.RETIRED, retired_why="another version answers")
    assert unchecked(replaced) == ""
    back = row(state=VersionState.RETIRED, retired_why="rolled back by user:ana: it answers nonsense", taken_back=True)
    assert unchecked(back) == "it was taken back there: rolled back by user:ana: it answers nonsense"


def test_a_token_for_one_model_may_take_over_a_version_of_it(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    answers_there(staging)
    declared(production, "m")
    olga = Caller(
        actor="user:olga", person="olga", roles=("operator",), scopes=("control",), models=("m",), token="tok_1", jobs=(), team=""
    )
    ports, before = production.ports, production.ports.before
    assert before is not None
    assert weigh(ports, before.offer("m", "1.0.0"), olga)[0].model == "m"
    answers_there(staging, "n")
    declared(production, "n")
    with pytest.raises(Refused, match="is for m"):
        weigh(ports, before.offer("n", "1.0.0"), olga)


def test_a_version_that_is_new_is_registered_with_its_past_and_judged_by_what_was_measured(here: Here) -> None:
    there = row(known=(Known(text="fails at night", actor="user:ana", at=3),), tags={"team": "risk"}, deprecated="too slow")
    assert kinds(here.carry(there, PASSED)) == [VersionRegistered, VersionCarried, VersionEligible]
    own = here.row()
    assert (own.state, own.origin, own.checked, own.verdicts) == (VersionState.ELIGIBLE, "staging", INTEGRATED, (PASSED,))
    assert own.integration is None, "it was not tried here"
    assert (own.artifact, own.gates_digest, own.known, own.tags, own.deprecated) == (
        there.artifact,
        "g",
        there.known,
        there.tags,
        "too slow",
    )
    assert here.state.get(RUNS, "run_1.0.0") == run()
    assert here.state.get(MODEL_RUNS, "m/run_1.0.0") == run()
    assert here.state.get(UNSIGNED, "m/1.0.0") is not None
    roles = here.state.get(MODELS, "m")
    assert roles is not None
    assert (roles.newest, roles.champion, roles.last_attempt_at) == ("1.0.0", "", 5)


def test_the_same_once_more_is_no_event(here: Here) -> None:
    here.carry(row(), PASSED)
    assert here.decide(row(), PASSED) == ()
    assert here.decide(row(state=VersionState.RETIRED), PASSED) == (), "that another one answers there by now is not about this one"


@pytest.mark.parametrize("since", [0, 30])
def test_what_was_read_earlier_and_comes_later_changes_nothing(here: Here, since: int) -> None:
    if since:
        here.carry(row(), PASSED, size=since)
    anew = row(result="3" * 64, tags={"use": "now"})
    here.carry(anew, BELOW, size=50, since=since)
    assert here.carry(row(tags={"use": "before"}), PASSED, size=40, since=since) == [], "two processes took it over at once"
    assert (here.row().state, here.row().tags) == (VersionState.REJECTED, {"use": "now"})
    assert here.carry(row(result="4" * 64), PASSED, size=51, since=50) != []
    assert here.row().state is VersionState.ELIGIBLE


def test_a_record_that_took_the_place_of_a_longer_one_is_heard(here: Here) -> None:
    here.carry(row(), PASSED, size=50)
    assert here.carry(row(result="3" * 64), BELOW, size=20, since=50) != [], "it was read when 50 events were known"
    assert here.row().state is VersionState.REJECTED
    assert here.row().taken.size == 20


def test_from_the_second_environment_to_the_third_it_is_new_again(here: Here) -> None:
    assert kinds(here.carry(row(origin="laboratory"), PASSED)) == [VersionRegistered, VersionCarried, VersionEligible]
    assert (here.row().origin, here.row().state) == ("staging", VersionState.ELIGIBLE)


@pytest.mark.parametrize(
    ("before", "state", "after"),
    [
        ((ASKED,), VersionState.HELD, VersionEligible),
        ((PASSED,), VersionState.ELIGIBLE, VersionEligible),
        ((BELOW,), VersionState.REJECTED, VersionEligible),
    ],
)
def test_new_verdicts_of_a_version_that_waits_are_taken_over(
    here: Here, before: tuple[Verdict, ...], state: VersionState, after: type[Event]
) -> None:
    here.carry(row(), *before)
    assert here.row().state is state
    assert kinds(here.carry(row(result="3" * 64, gates_digest="h"), PASSED)) == [VersionCarried, after]
    assert (here.row().result, here.row().gates_digest, here.row().verdicts) == ("3" * 64, "h", (PASSED,))


@pytest.mark.parametrize("retired", [False, True])
def test_new_verdicts_of_a_version_that_was_released_leave_it_where_it_is(here: Here, retired: bool) -> None:
    here.carry(row(), PASSED)
    here.tell(VersionDeployed(**NAME), *([VersionRetired(**NAME, why="replaced")] if retired else []))
    state = here.row().state
    assert kinds(here.carry(row(result="3" * 64), BELOW)) == [VersionCarried, VersionJudged]
    assert (here.row().state, here.row().verdicts) == (state, (BELOW,))


def test_another_artifact_under_one_number_is_refused(here: Here) -> None:
    here.carry(row(), PASSED)
    found = here.decide(row(artifact="5" * 64), PASSED)
    assert isinstance(found, Refusal)
    assert (found.code, found.fix) == ("conflict", "train a new one in staging")


@pytest.mark.parametrize("gone", [VersionQuarantined(**NAME, reason="wrong labels"), VersionDeleted(**NAME, why="old")])
def test_what_is_in_quarantine_or_deleted_here_stays_so(here: Here, gone: Event) -> None:
    here.carry(row(), BELOW)
    here.tell(gone)
    assert here.decide(row(result="3" * 64, tags={"team": "risk"}), PASSED) == ()


def test_the_word_of_persons_counts_where_it_was_given(here: Here) -> None:
    yes = Said(actor="user:ben", yes=True, roles=("approver",), reason="", at=2, gates_digest="g")
    waiver = Waiver(gate=BELOW.check, slice="", actor="user:ben", reason="", at=2, until=0, gates_digest="g")
    here.carry(row(said=(yes,), waivers=(waiver,)), PASSED, ASKED, BELOW)
    own = here.row()
    assert (own.state, own.said, own.waivers, own.verdicts) == (VersionState.REJECTED, (), (), (PASSED, ASKED, BELOW))
    here.tell(VersionApproved(**NAME, roles=("approver",), reason="", gates_digest="g"), actor="user:eve")
    here.tell(VersionWaived(**NAME, gate=BELOW.check, slice="", until=0, reason="", gates_digest="g"), actor="user:eve")
    # new rows judged it there: what was said here still counts
    assert kinds(here.carry(row(result="3" * 64, said=(yes,)), PASSED, ASKED, BELOW)) == [VersionCarried, VersionEligible]
    assert [said.actor for said in here.row().said] == ["user:eve"]
    here.tell(VersionDenied(**NAME, roles=("approver",), reason="not in our country", gates_digest="g"), actor="user:eve")
    here.carry(row(result="4" * 64), PASSED)
    assert here.row().state is VersionState.REJECTED, "a no that was said here"


def test_notes_of_both_sides_stand_beside_each_other_and_ones_own_come_first(here: Here) -> None:
    here.carry(row(), PASSED)
    here.tell(VersionNoted(**NAME, added=("slow on Mondays",), dropped=(), tags={"team": "risk"}, untagged=()), actor="user:eve")
    here.tell(VersionDescribed(**NAME, blank="ethics", text="none is harmed"), actor="user:eve")
    card = {name: Written(text="as ana wrote", actor="user:ana", at=3) for name in ("ethics", "limitations")}
    there = row(known=(Known(text="fails at night", actor="user:ana", at=3),), tags={"team": "lab", "use": "trial"}, card=card)
    assert VersionCarried in kinds(here.carry(there, PASSED))
    own = here.row()
    assert [each.text for each in own.known] == ["slow on Mondays", "fails at night"]
    assert own.tags == {"team": "risk", "use": "trial"}
    assert {name: written.text for name, written in own.card.items()} == {"ethics": "none is harmed", "limitations": "as ana wrote"}
    assert here.decide(there, PASSED) == ()


def test_what_is_said_no_more_there_is_said_no_more_here_and_ones_own_stays(here: Here) -> None:
    night, monday = (Known(text=text, actor="user:ana", at=3) for text in ("fails at night", "slow on Mondays"))
    written = {"ethics": Written(text="none is harmed", actor="user:ana", at=3)}
    here.carry(row(known=(night, monday), tags={"team": "risk", "use": "trial"}, card=written, deprecated="too slow"), PASSED)
    assert here.row().deprecated == "too slow"
    here.tell(VersionNoted(**NAME, added=("fails in Lent",), dropped=(), tags={"use": "ours"}, untagged=()), actor="user:eve")
    there = row(known=(monday,), tags={"team": "lab"})
    assert here.carry(there, PASSED) != []
    own = here.row()
    assert own.deprecated == ""
    assert [each.text for each in own.known] == ["slow on Mondays", "fails in Lent"]
    assert own.tags == {"team": "lab", "use": "ours"}
    assert own.card == {}
    assert here.decide(there, PASSED) == ()


def test_what_was_taken_back_here_is_not_said_again_because_it_is_still_said_there(here: Here) -> None:
    here.carry(row(tags={"team": "risk"}, deprecated="too slow"), PASSED)
    here.tell(VersionUndeprecated(**NAME, reason="fast enough for us"), actor="user:eve")
    here.tell(VersionNoted(**NAME, added=(), dropped=(), tags={}, untagged=("team",)), actor="user:eve")
    assert here.decide(row(tags={"team": "risk"}, deprecated="too slow"), PASSED) == ()
    here.carry(row(tags={"team": "risk"}, deprecated="too slow", result="3" * 64), PASSED)
    assert (here.row().deprecated, here.row().tags) == ("", {})


def test_a_text_of_the_card_settles_its_gate_as_it_would_have_here(here: Here) -> None:
    here.carry(row(), BLANK)
    assert here.row().state is VersionState.HELD
    card = {"ethics": Written(text="none is harmed", actor="user:ana", at=3)}
    assert kinds(here.carry(row(card=card), BLANK)) == [VersionCarried, VersionEligible]


def test_what_was_not_tried_or_did_not_hold_is_not_taken_over(here: Here) -> None:
    for found in (None, Integration(at=9, checks=()), Integration(at=9, checks=(HELD, FAILED))):
        refused = here.decide(row(integration=found), PASSED)
        assert isinstance(refused, Refusal)
        assert refused.code == "not-checked"
    assert here.said == []


def test_an_older_version_that_comes_later_is_not_the_newest(here: Here) -> None:
    here.carry(row("1.10.0"), PASSED)
    here.carry(row("1.9.0"), PASSED)
    roles = here.state.get(MODELS, "m")
    assert roles is not None
    assert roles.newest == "1.10.0"
    assert sorted(["1.10.0", "", "2.0.0", "1.9.0"], key=numbers) == ["", "1.9.0", "1.10.0", "2.0.0"]


VERDICTS = st.lists(st.sampled_from([PASSED, BELOW, ASKED, BLANK]), max_size=3, unique=True)
SAID_HERE = st.sampled_from(
    [
        VersionApproved(**NAME, roles=("approver",), reason="", gates_digest="g"),
        VersionDenied(**NAME, roles=("approver",), reason="", gates_digest="g"),
        VersionNoted(**NAME, added=("slow",), dropped=(), tags={"a": "b"}, untagged=()),
        VersionDescribed(**NAME, blank="ethics", text="none"),
        VersionNoted(**NAME, added=(), dropped=(), tags={}, untagged=("a",)),
        VersionDeprecated(**NAME, reason="old"),
        VersionUndeprecated(**NAME, reason="young"),
    ]
)
THERE = st.builds(
    row,
    state=st.sampled_from([VersionState.DEPLOYED, VersionState.RETIRED]),
    result=st.sampled_from(["2" * 64, "3" * 64]),
    gates_digest=st.sampled_from(["g", "h"]),
    tags=st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
    deprecated=st.sampled_from(["", "old"]),
    card=st.just({}) | st.just({"ethics": Written(text="all", actor="user:ana", at=3)}),
    origin=st.sampled_from(["", "laboratory"]),
)


@given(steps=st.lists(st.tuples(THERE, VERDICTS, st.none() | SAID_HERE, st.booleans()), min_size=1, max_size=6))
def test_whatever_becomes_of_it_there_it_can_be_taken_over_and_once_is_enough(steps: list[Any]) -> None:
    here = Here()
    for there, verdicts, said, released in steps:
        here.carry(there, *verdicts)
        assert here.decide(there, *verdicts) == ()
        own = here.row()
        assert checked_before(own, "staging") is None
        assert all(each.actor == "user:eve" for each in own.said)
        if said is not None:
            here.tell(said, actor="user:eve")
        if released and here.row().state is VersionState.ELIGIBLE:
            here.tell(VersionDeployed(**NAME))
    again = Here()
    again.now = 100
    for number, event in enumerate(here.said):
        actor = "user:eve" if isinstance(event, VersionApproved | VersionDenied | VersionNoted | VersionDescribed) else "loop"
        FOLDS[type(event)](again.state, Recorded(number + 1, 101 + number, actor, "c", event))
    assert again.state.scan(VERSIONS) == here.state.scan(VERSIONS)


def test_a_training_is_wanted_once_for_each_attempt(here: Here) -> None:
    def want(origin: str, reason: str) -> list[Event]:
        events = list(decide_want(here.state, Want(id="c", actor="loop", model="m", origin=origin, reason=reason), here.now))
        here.tell(*events)
        return events

    assert want("production", "accuracy 0.4") == [], "there is no such model"
    here.carry(row(), PASSED)
    assert kinds(want("production", "accuracy 0.4")) == [TrainingWanted]
    assert want("production", "accuracy 0.3") == []
    model = here.state.get(MODELS, "m")
    assert model is not None
    here.now += 10
    here.state.put(MODELS, "m", msgspec.structs.replace(model, last_attempt_at=here.now))
    assert kinds(want("production", "accuracy 0.3")) == [TrainingWanted]
    found = here.state.get(WANTED, "m")
    assert found is not None
    assert (found.origin, found.reason) == ("production", "accuracy 0.3")


def test_verdicts_are_wanted_once_for_each_declaration_of_gates_of_what_nothing_else_judges(here: Here) -> None:
    def want(version: str, gates: str) -> list[Event]:
        command = WantJudged(id="c", actor="loop", model="m", version=version, origin="production", gates_digest=gates)
        events = list(decide_want_judged(here.state, command, here.now))
        here.tell(*events)
        return events

    assert want("1.0.0", "h") == [], "there is no such version"
    here.carry(row(), PASSED)
    assert want("1.0.0", "h") == [], "the newest is judged anyway"
    here.carry(row("1.1.0"), PASSED)
    assert want("1.0.0", "g") == [], "these have judged it"
    assert kinds(want("1.0.0", "h")) == [JudgingWanted]
    assert want("1.0.0", "h") == []
    assert kinds(want("1.0.0", "i")) == [JudgingWanted]
    found = here.state.get(JUDGINGS, "m/1.0.0")
    assert found is not None
    assert (found.origin, found.gates_digest) == ("production", "i")
    here.tell(VersionDeployed(**NAME), VersionRetired(**NAME, why="replaced"))
    assert to_judge_anew(here.row(), "i", "v", found.gates_digest)
    assert not to_judge_anew(here.row(), "j", "v", found.gates_digest), "those are not the gates that it was wanted by"
    assert not to_judge_anew(here.row(), "i", "v")
    here.tell(VersionDeployed(model="m", version="1.1.0"))
    assert want("1.1.0", "i") == []
    here.tell(VersionRetired(model="m", version="1.1.0", why="rolled back"))
    assert kinds(want("1.1.0", "i")) == [JudgingWanted], "the newest went here, and answers there"


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (row(), ""),
        (row(state=VersionState.RETIRED), ""),
        (row(state=VersionState.ELIGIBLE), "it is eligible there, and answers nobody"),
        (row(state=VersionState.QUARANTINED, quarantined="wrong labels"), "it is in quarantine there: wrong labels"),
        (row(integration=None), "it was not tried through its gateway there yet"),
        (row(integration=Integration(at=9, checks=(HELD, FAILED))), "requests are answered: no answer in time"),
        (row(integration=Integration(at=9, checks=())), "it was not tried through its gateway there yet"),
    ],
)
def test_why_a_version_may_not_go_on_is_named(there: VersionRow, why: str) -> None:
    assert unchecked(there) == why


AGAIN = {
    "rolled back": (VersionRetired(**NAME, why="it crashes", back=True),),
    "in quarantine": (
        VersionRetired(**NAME, why="replaced"),
        VersionQuarantined(**NAME, reason="it crashes"),
        VersionReinstated(**NAME, reason="it does not"),
        VersionEligible(**NAME, verdicts=()),
    ),
}


@pytest.mark.parametrize("was", AGAIN)
def test_what_was_given_up_and_answers_again_is_tried_again_before_it_goes_on(here: Here, was: str) -> None:
    here.carry(row(), PASSED)
    here.tell(VersionDeployed(**NAME), tried())
    assert unchecked(here.row()) == ""
    here.tell(*AGAIN[was], VersionDeployed(**NAME))
    assert unchecked(here.row()) == "it was not tried through its gateway there yet"
    here.tell(tried())
    assert unchecked(here.row()) == ""
    here.tell(VersionRetired(**NAME, why="replaced"), VersionDeployed(**NAME))
    assert unchecked(here.row()) == "", "another one answered in between, and that says nothing of it"


@pytest.mark.parametrize(
    ("own", "before", "refused"),
    [
        (row(), "", False),
        (row(origin="staging", checked=INTEGRATED), "staging", False),
        (row(), "staging", True),
        (row(origin="laboratory", checked=INTEGRATED), "staging", True),
        (row(origin="staging"), "staging", True),
        (row(origin="staging", checked=Integration(at=9, checks=(FAILED,))), "staging", True),
        (row(origin="staging", checked=Integration(at=9, checks=())), "staging", True),
    ],
)
def test_only_what_the_environment_before_has_checked_is_released(own: VersionRow, before: str, refused: bool) -> None:
    found = checked_before(own, before)
    assert (found is not None) is refused
    assert found is None or found.code == "not-checked"


def test_a_version_of_a_ledger_from_before_there_were_environments_is_one_that_was_made_here() -> None:
    now = codec.encode(row(integration=None))
    then = {name: value for name, value in msgspec.json.decode(now).items() if name not in ("origin", "integration", "checked")}
    read = codec.decode(msgspec.json.encode(then), VersionRow)
    assert (read.origin, read.integration, read.checked) == ("", None, None)
    assert read == row(integration=None)
    assert (read.taken.size, codec.decode(b"{}", Taken).size) == (0, 0)


# with two environments on the disk


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Wired, Wired]]:
    staging, production = environments(tmp_path / "p", "staging", "production")
    yield staging, production
    staging.close()
    production.close()


def declared(production: Wired, *models: str, gates: str = "g", actor: str = "test") -> list[Any]:
    for model in models:
        body = production.blobs.put(model.encode())
        digests = {"version_digest": "v", "policy_digest": "p", "gates_digest": gates, "code": "", "author": ""}
        tell(production, DeclarationApplied(model=model, file="loop.py", body=body, **digests), actor=actor)
    return [each for _, each in production.ledger.state().scan(DECLARATIONS)]


def look(production: Wired) -> list[FlyballError]:
    """What a pass of the loop takes over; what has failed."""
    failed: list[FlyballError] = []
    ports = production.acting(LOOP)
    observe_environments(ports, [each for _, each in ports.ledger.state().scan(DECLARATIONS)], failed)
    return failed


def carried(production: Wired) -> list[str]:
    return [
        f"{each.event.model}@{each.event.version}" for each in production.ledger.read(0, 1_000) if isinstance(each.event, VersionCarried)
    ]


def test_what_answers_there_comes_with_all_that_it_is_made_of_and_a_rebuild_gives_the_same_rows(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    declared(production, "m", "n")
    answers_there(staging)
    tell(staging, *made(staging.blobs, "n"))
    assert look(production) == []
    assert carried(production) == ["m@1.0.0"], "n was not tried"
    tell(staging, tried("n", check=FAILED))
    assert look(production) == []
    tell(staging, tried("n"))
    assert look(production) == []
    assert carried(production) == ["m@1.0.0", "n@1.0.0"]
    assert verify(production.ledger, production.blobs).problems == ()
    tables = (VERSIONS, RUNS, MODEL_RUNS, MODELS, UNSIGNED)
    before = [production.ledger.state().scan(table) for table in tables]
    production.ledger.rebuild()
    assert [production.ledger.state().scan(table) for table in tables] == before
    there = [each.event for each in staging.ledger.read(0, 1_000)]
    taken = next(each.event for each in production.ledger.read(0, 1_000) if isinstance(each.event, VersionCarried))
    assert VersionIntegrated in kinds(there[: taken.size]), "what is said of its record was in it"


def test_a_version_that_was_slow_to_copy_does_not_hide_what_another_process_took_over_meanwhile(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    declared(production, "m")
    answers_there(staging)
    ports, before = production.acting(LOOP), production.ports.before
    assert before is not None
    slow = before.offer("m", "1.0.0")
    assert (slow.since, slow.size, slow.root) == (0, staging.ledger.size(), staging.ledger.head().root.hex())
    tell(staging, VersionNoted(**NAME, added=("fails at night",), dropped=(), tags={}, untagged=()))
    follow(ports, "m")
    size = production.ledger.size()
    ports.ledger.execute(Carry(id="cmd_slow", actor="loop", offer=slow), decide_carry)
    assert production.ledger.size() == size
    assert [each.text for each in own(production).known] == ["fails at night"]
    assert before.offer("m", "1.0.0").since == own(production).taken.size == staging.ledger.size()


def test_what_failed_on_the_way_is_done_by_the_next_look_though_nothing_has_happened_there(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    declared(production, "m", "n")
    answers_there(staging)
    answers_there(staging, "n")
    found = staging.ledger.state().get(VERSIONS, "m/1.0.0")
    assert found is not None
    artifact = staging.blobs.path(found.artifact)
    away = artifact.with_name("away")
    artifact.rename(away)
    failed = look(production)
    assert [type(each) for each in failed] == [NotFound]
    assert carried(production) == ["n@1.0.0"], "the others do not wait for it"
    away.rename(artifact)
    assert look(production) == []
    assert carried(production) == ["n@1.0.0", "m@1.0.0"]


def test_what_is_said_there_of_what_answers_here_follows_when_another_one_answers_there(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    declared(production, "m")
    answers_there(staging)
    assert look(production) == []
    tell(production, VersionDeployed(**NAME), ChampionChanged(**NAME, former="", rollback=False, reason=""))
    tell(staging, VersionRetired(**NAME, why="replaced"))
    answers_there(staging, version="1.1.0")
    assert look(production) == []
    tell(staging, VersionDeprecated(**NAME, reason="wrong on Sundays"))
    assert look(production) == []
    own = production.ledger.state().get(VERSIONS, "m/1.0.0")
    assert own is not None
    assert (own.state, own.deprecated) == (VersionState.DEPLOYED, "wrong on Sundays")
    assert look(production) == []
    assert carried(production) == ["m@1.0.0", "m@1.1.0", "m@1.0.0"]


def test_what_serves_in_the_last_of_three_is_wanted_judged_in_the_first(tmp_path: Path) -> None:
    first, second, third = environments(tmp_path / "p", "laboratory", "staging", "production")
    declared(second, "m")
    for origin, each in (("laboratory", second), ("staging", third)):
        answers_there(first) if each is second else tell(second, VersionDeployed(**NAME), tried())
        before = each.ports.before
        assert before is not None
        bring(each.acting(LOOP), "m", "1.0.0")
        assert before.name == origin
    tell(third, VersionDeployed(**NAME), ChampionChanged(**NAME, former="", rollback=False, reason=""))
    answers_there(first, version="1.1.0")
    tell(second, *made(second.blobs, version="1.1.0")[:5])
    declared(third, "m", gates="h")
    for _ in range(2):
        ask_for_verdicts(third.acting(LOOP), "m")
    assert wanted(second) == ["m@1.0.0 by h for production"]
    ask_for_verdicts(second.acting(LOOP), "m")
    assert wanted(first) == [], "other gates are declared in the second"
    declared(second, "m", gates="h")
    for _ in range(2):
        ask_for_verdicts(second.acting(LOOP), "m")
    assert wanted(first) == ["m@1.0.0 by h for staging"]
    assert wanted(second) == ["m@1.0.0 by h for production"]
    for each in (first, second, third):
        each.close()


def wanted(wired: Wired) -> list[str]:
    found = [each.event for each in wired.ledger.read(0, 1_000) if isinstance(each.event, JudgingWanted)]
    return [f"{each.model}@{each.version} by {each.gates_digest} for {each.origin}" for each in found]


def test_what_answers_here_is_advised_against_while_it_is_given_up_there(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    declared(production, "m")
    answers_there(staging)
    assert look(production) == []
    tell(production, VersionDeployed(**NAME), ChampionChanged(**NAME, former="", rollback=False, reason=""))
    tell(staging, VersionRetired(**NAME, why="replaced"))
    answers_there(staging, version="1.1.0")

    def advised() -> str:
        assert look(production) == []
        found = production.ledger.state().get(VERSIONS, "m/1.0.0")
        assert found is not None
        assert found.state is VersionState.DEPLOYED, "what is served is for a person to take back"
        return found.deprecated

    assert advised() == ""
    tell(staging, VersionQuarantined(**NAME, reason="wrong labels"))
    assert advised() == "staging has put it in quarantine: wrong labels"
    assert advised() == "staging has put it in quarantine: wrong labels"
    tell(staging, VersionReinstated(**NAME, reason="they were right"), VersionEligible(**NAME, verdicts=()))
    assert advised() == ""
    tell(staging, VersionDeployed(**NAME), VersionRetired(**NAME, why="accuracy fell", back=True))
    assert advised() == "staging has taken it back: accuracy fell"
    tell(staging, VersionQuarantined(**NAME, reason="wrong labels, too"))
    assert advised() == "staging has put it in quarantine: wrong labels, too"
    tell(staging, VersionReinstated(**NAME, reason="they were right"), VersionEligible(**NAME, verdicts=()))
    assert advised() == "staging has taken it back: accuracy fell", "nobody has released it there since"
    tell(staging, VersionDeployed(**NAME))
    assert advised() == ""
    tell(staging, VersionRetired(**NAME, why="replaced"))
    assert advised() == ""
    tell(production, VersionDeprecated(**NAME, reason="too slow for us"))
    tell(staging, VersionQuarantined(**NAME, reason="wrong labels"))
    assert advised() == "too slow for us", "a person here advises against it already"
    tell(staging, VersionReinstated(**NAME, reason="they were right"), VersionEligible(**NAME, verdicts=()))
    assert advised() == "too slow for us"
    tell(production, VersionUndeprecated(**NAME, reason="fast enough"))
    tell(staging, VersionQuarantined(**NAME, reason="wrong labels"))
    assert advised() == "staging has put it in quarantine: wrong labels"
    tell(staging, VersionDeleted(**NAME, why="user:ana: of no use"))
    assert advised() == "staging has deleted it: user:ana: of no use; it was in quarantine: wrong labels"


def on_its_way(wired: Wired, version: str, champion: str) -> None:
    """Let a canary of a version be under way."""
    plan = RolloutPlanned(rollout="ro", model="m", version=version, champion=champion, steps=(), evidence="live", attempt=1, reason="")
    moved = (RolloutState.PLANNED, RolloutState.WARMING, RolloutState.CANARY)
    arrows = [RolloutMoved(rollout="ro", model="m", source=a, target=b, step=0, why="") for a, b in pairwise(moved)]
    tell(wired, plan, *arrows, VersionDeployed(model="m", version=version))


@pytest.mark.parametrize("role", ["former champion", "challenger (canary)"])
def test_what_answers_here_in_part_or_may_again_is_followed_and_wanted_judged_as_the_champion_is(
    both: tuple[Wired, Wired], role: str
) -> None:
    staging, production = both
    declared(production, "m")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        answers_there(staging, version=version)
        assert look(production) == []
    if role == "former champion":
        # another one answers, and a rollback goes to 1.0.0
        tell(production, VersionDeployed(**NAME), ChampionChanged(**NAME, former="", rollback=False, reason=""))
        tell(production, VersionRetired(**NAME, why="replaced"), VersionDeployed(model="m", version="1.1.0"))
        tell(production, ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason=""))
    else:
        tell(production, VersionDeployed(model="m", version="1.1.0"))
        tell(production, ChampionChanged(model="m", version="1.1.0", former="", rollback=False, reason=""))
        on_its_way(production, "1.0.0", "1.1.0")
    declared(production, "m", gates="h")
    ask_for_verdicts(production.acting(LOOP), "m")
    assert "m@1.0.0 by h for production" in wanted(staging)
    state = production.ledger.state()
    found = state.get(VERSIONS, "m/1.0.0")
    assert found is not None
    assert lookup.unjudged(state, found).startswith("not judged yet by the gates as they are declared now: staging is asked to")
    tell(staging, VersionRetired(**NAME, why="replaced"), VersionQuarantined(**NAME, reason="wrong labels"))
    assert look(production) == []
    state = production.ledger.state()
    told = [(row.version, lookup.role(state, row), row.deprecated) for row in advised_against(state)]
    assert told == [("1.0.0", role, "staging has put it in quarantine: wrong labels")]


def serving(staging: Wired, production: Wired) -> None:
    """Let 1.0.0 be the champion of production, and another version that of staging."""
    declared(production, "m")
    answers_there(staging)
    assert look(production) == []
    tell(production, VersionDeployed(**NAME), ChampionChanged(**NAME, former="", rollback=False, reason=""))
    answers_there(staging, version="1.1.0")


def own(wired: Wired) -> VersionRow:
    found = wired.ledger.state().get(VERSIONS, "m/1.0.0")
    assert found is not None
    return found


def test_verdicts_follow_of_what_was_rolled_back_there_and_let_nothing_be_released(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    serving(staging, production)
    tell(staging, VersionRetired(**NAME, why="it crashes", back=True))
    declared(production, "m", gates="h")
    ask_for_verdicts(production.acting(LOOP), "m")
    assert wanted(staging) == ["m@1.0.0 by h for production"]
    assert "staging is asked to, and its verdicts follow" in lookup.unjudged(production.ledger.state(), own(production))
    anew = staging.blobs.put(codec.encode(result(own(staging).artifact, BELOW)))
    tell(staging, VersionJudged(**NAME, verdicts=(BELOW,), result=anew, gates_digest="h"))
    assert look(production) == []
    here = own(production)
    assert (here.state, here.verdicts, here.gates_digest) == (VersionState.DEPLOYED, (BELOW,), "h")
    assert here.deprecated == "staging has taken it back: it crashes"
    assert lookup.unjudged(production.ledger.state(), here) == ""
    with pytest.raises(Refused, match="has not checked") as refused:
        bring(production.acting(LOOP), "m", "1.0.0")
    assert refused.value.why == "it was taken back there: it crashes"
    size = production.ledger.size()
    tell(staging, VersionNoted(model="m", version="1.1.0", added=(), dropped=(), tags={}, untagged=()))
    assert look(production) == []
    assert [type(each.event) for each in production.ledger.read(size, 9) if getattr(each.event, "version", "") == "1.0.0"] == []


def test_what_is_given_up_there_is_said_though_another_one_cannot_be_taken_over(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    serving(staging, production)
    newer = staging.ledger.state().get(VERSIONS, "m/1.1.0")
    assert newer is not None
    staging.blobs.path(newer.artifact).rename(staging.root / "away")
    tell(staging, VersionRetired(**NAME, why="replaced"), VersionQuarantined(**NAME, reason="wrong labels"))
    assert [type(each) for each in look(production)] == [NotFound]
    assert own(production).deprecated == "staging has put it in quarantine: wrong labels"


def test_what_has_its_number_in_a_record_that_was_made_anew_says_nothing_of_it(tmp_path: Path) -> None:
    staging, production = environments(tmp_path / "p", "staging", "production")
    serving(staging, production)
    assert look(production) == []
    staging.close()
    shutil.rmtree(tmp_path / "p/.flyball/env/staging")
    again = open_project(tmp_path / "p", "staging")
    tell(again, *made(again.blobs, kind="of another record")[:4], VersionQuarantined(**NAME, reason="it leaks"))
    size = production.ledger.size()
    assert look(production) == []
    assert (own(production).deprecated, production.ledger.size()) == ("", size)
    for each in (again, production):
        each.close()


def test_who_is_an_author_there_is_one_here_and_does_not_approve(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    answers_there(staging)
    declared(production, "m", gates="h", actor="user:dan")
    assert look(production) == []
    assert own(production).taken.authors == ("test",), "who asked for the run"
    # ben declares gates, by which it is judged anew there; the run that made it knows nothing of him
    declared(staging, "m", gates="h", actor="user:ben")
    what = result(own(staging).artifact, PASSED, ASKED)
    anew = staging.blobs.put(codec.encode(what))
    judging = RunQueued(run="run_z", model="m", trigger="evidence", reason="", spec=staging.blobs.put(b"spec z"), candidate_version="1.0.0")
    tell(staging, judging, RunStarted(run="run_z", attempt=1), RunSucceeded(run="run_z", result=anew, version="1.0.0"), actor="loop")
    tell(staging, VersionJudged(**NAME, verdicts=(PASSED, ASKED), result=anew, gates_digest="h"))
    assert look(production) == []
    assert own(production).state is VersionState.HELD

    def approve(actor: str) -> Any:
        command = Approve(id="c", actor=actor, **NAME, held=("approver",), reason="fine", result=own(production).result, what=what)
        return decide_approve(production.ledger.state(), command, 10**15)

    refused = approve("user:ben")
    assert isinstance(refused, Refusal)
    assert refused.what == "user:ben is the author of m@1.0.0, and cannot approve it"
    assert kinds(approve("user:eve")) == [VersionApproved, VersionEligible]


def test_who_is_an_author_in_the_first_of_three_is_one_in_the_last(tmp_path: Path) -> None:
    first, second, third = environments(tmp_path / "p", "laboratory", "staging", "production")
    for each in (second, third):
        declared(each, "m")
    answers_there(first)
    declared(first, "m", actor="user:ben")
    judging = RunQueued(run="run_z", model="m", trigger="evidence", reason="", spec=first.blobs.put(b"spec z"), candidate_version="1.0.0")
    tell(first, judging, RunStarted(run="run_z", attempt=1), RunSucceeded(run="run_z", result=own(first).result, version="1.0.0"))
    assert look(second) == []
    tell(second, VersionDeployed(**NAME), ChampionChanged(**NAME, former="", rollback=False, reason=""), tried())
    assert look(third) == []
    assert "user:ben" in approvals.authors(third.ledger.state(), own(third))
    for each in (first, second, third):
        each.close()


def test_what_is_deleted_there_or_in_quarantine_is_not_asked_for_and_no_verdicts_are_promised(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    serving(staging, production)
    tell(staging, VersionRetired(**NAME, why="replaced"), VersionQuarantined(**NAME, reason="wrong labels"))
    declared(production, "m", gates="h")

    def told() -> str:
        assert look(production) == []
        ask_for_verdicts(production.acting(LOOP), "m")
        return lookup.unjudged(production.ledger.state(), own(production))

    before = "not judged yet by the gates as they are declared now: "
    assert told().startswith(f"{before}it is in quarantine in staging, and judged once it is let out there;")
    tell(staging, VersionDeleted(**NAME, why="of no use"))
    assert told().startswith(f"{before}nor will it be, as it is deleted in staging;")
    assert wanted(staging) == []


def test_what_is_no_more_advised_against_there_and_was_given_up_there_is_advised_against_here(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    serving(staging, production)
    tell(staging, VersionDeprecated(**NAME, reason="too slow"))
    assert look(production) == []
    assert own(production).deprecated == "too slow"
    tell(staging, VersionRetired(**NAME, why="it crashes", back=True), VersionUndeprecated(**NAME, reason="fast enough"))
    assert look(production) == []
    assert own(production).deprecated == "staging has taken it back: it crashes"


def test_a_model_that_is_declared_later_is_looked_at_though_nothing_has_happened_there(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    answers_there(staging)
    assert look(production) == []
    declared(production, "m")
    assert look(production) == []
    assert carried(production) == ["m@1.0.0"]


def test_an_environment_that_is_not_there_is_told_once_and_not_for_each_model(tmp_path: Path) -> None:
    staging, production = environments(tmp_path / "p", "staging", "production")
    staging.close()
    shutil.rmtree(tmp_path / "p/.flyball/env/staging")
    declared(production, "m", "n", "o")
    assert [each.code for each in look(production)] == ["environment-away"]
    again = open_project(tmp_path / "p", "staging")
    answers_there(again)
    assert look(production) == []
    assert carried(production) == ["m@1.0.0"]
    again.close()
    production.close()


def test_a_record_that_another_version_of_flyball_runs_is_read_by_none_and_changed_by_none(tmp_path: Path) -> None:
    staging, production = environments(tmp_path / "p", "staging", "production")
    declared(production, "m")
    answers_there(staging)
    with staging.database.writing() as connection:
        connection.execute(staging.database.sql.set_meta, ("fold_hash", "another"))
    [failed] = look(production)
    assert "run by another version of flyball" in failed.why
    assert staging.ledger.head().fold_hash == "another"
    staging.close()
    # whoever runs it now opens it, and it is theirs
    again = open_project(tmp_path / "p", "staging")
    assert look(production) == []
    assert carried(production) == ["m@1.0.0"]
    with again.database.writing() as connection:
        connection.execute(again.database.sql.set_meta, ("fold_hash", "another"))
    before = production.ports.before
    assert before is not None
    with pytest.raises(Unavailable, match="another version of flyball"):
        before.want("m", "production", "accuracy 0.4")
    for each in (again, production):
        each.close()


def test_a_version_that_was_given_up_there_is_not_to_be_had(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    answers_there(staging)
    ports = production.acting(LOOP)
    with pytest.raises(NotFound, match=r"staging has no version m@1\.1\.0"):
        bring(ports, "m", "1.1.0")
    tell(staging, VersionQuarantined(**NAME, reason="wrong labels"))
    with pytest.raises(Refused, match=r"staging has not checked m@1\.0\.0") as refused:
        bring(ports, "m", "1.0.0")
    assert (refused.value.code, "in quarantine there: wrong labels" in refused.value.why) == ("not-checked", True)
    follow(ports, "m")
    assert carried(production) == []


@pytest.mark.parametrize(
    ("held", "helps"),
    [
        (False, "flyball release m@1.0.0 --env staging"),
        (True, "flyball models show m@1.0.0 --env staging says what it lacks; once it has that: flyball release m@1.0.0 --env staging"),
    ],
)
def test_of_a_version_that_waits_there_the_next_step_is_one_that_is_taken_there(both: tuple[Wired, Wired], held: bool, helps: str) -> None:
    staging, production = both
    *registered, eligible = made(staging.blobs)[:5]
    open_ = Verdict(check="accuracy ≥ 0.7", outcome=Outcome.INSUFFICIENT, why="n=3")
    tell(staging, *registered, VersionHeld(model="m", version="1.0.0", verdicts=(open_,)) if held else eligible)
    with pytest.raises(Refused) as refused:
        bring(production.acting(LOOP), "m", "1.0.0")
    assert (refused.value.code, refused.value.fix) == ("not-checked", helps)


def test_one_number_for_two_artifacts_is_a_conflict_and_brings_nothing(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    answers_there(staging)
    tell(production, *made(production.blobs, kind="of its own")[:5])
    there = set(production.blobs.digests())
    with pytest.raises(Conflict, match="another one here than in staging"):
        bring(production.acting(LOOP), "m", "1.0.0")
    assert set(production.blobs.digests()) == there


def test_a_chain_of_three_passes_a_version_on_when_each_has_tried_it(tmp_path: Path) -> None:
    first, second, third = environments(tmp_path / "p", "laboratory", "staging", "production")
    for each in (second, third):
        declared(each, "m")
    answers_there(first)
    assert look(second) == look(third) == []
    assert (carried(second), carried(third)) == (["m@1.0.0"], [])
    tell(second, VersionDeployed(**NAME), ChampionChanged(**NAME, former="", rollback=False, reason=""))
    assert look(third) == []
    assert carried(third) == [], "what the first has tried is not tried in the second"
    tell(second, tried())
    assert look(third) == []
    own = third.ledger.state().get(VERSIONS, "m/1.0.0")
    assert own is not None
    assert (own.state, own.origin) == (VersionState.ELIGIBLE, "staging")
    for each in (first, second, third):
        each.close()


def test_a_backup_of_another_environment_is_no_way_around(both: tuple[Wired, Wired], tmp_path: Path) -> None:
    staging, production = both
    tell(staging, *made(staging.blobs))
    backup(staging.ledger, staging.blobs, staging.layout, tmp_path / "kept", 7)
    with pytest.raises(Conflict, match="is a backup of staging, and this is production") as refused:
        restore(production.ledger, production.blobs, production.layout, tmp_path / "kept", before="staging")
    assert "staging has not checked it" in refused.value.why
    assert (production.ledger.size(), list(production.blobs.digests())) == (0, [])
    declared(production, "m")
    backup(production.ledger, production.blobs, production.layout, tmp_path / "own", 7)
    first, elsewhere = environments(tmp_path / "q", "staging", "production")
    restore(elsewhere.ledger, elsewhere.blobs, elsewhere.layout, tmp_path / "own", before="staging")
    assert elsewhere.ledger.size() == production.ledger.size()
    first.close()
    elsewhere.close()


def test_models_of_which_nothing_is_new_are_not_looked_at(both: tuple[Wired, Wired]) -> None:
    staging, production = both
    answers_there(staging)
    answers_there(staging, "n")
    before = production.ports.before
    assert isinstance(before, EarlierEnvironment)
    assert before.due(["m", "n", "o"]) == ["m", "n", "o"]
    for model in ("m", "n"):
        before.followed(model)
    assert before.due(["m", "n", "o"]) == ["o"]
    tell(staging, VersionNoted(**NAME, added=("slow",), dropped=(), tags={}, untagged=()))
    assert before.due(["m", "n"]) == ["m"]
    assert before.due(["m", "n"]) == ["m"], "it was not followed yet"


# what an environment finds when it tries a version itself


def test_what_was_found_is_noted_when_it_is_news_and_of_what_answers(here: Here) -> None:
    def note(*checks: Any, artifact: str = "1" * 64, version: str = "1.0.0") -> list[Event]:
        command = NoteIntegration(id="c", actor="loop", model="m", version=version, artifact=artifact, checks=checks)
        events = decide_note_integration(here.state, command, here.now)
        assert not isinstance(events, Refusal)
        here.tell(*events)
        return list(events)

    assert note(HELD) == [], "there is none"
    here.carry(row(), PASSED)
    assert note(FAILED) == [], "it answers nobody"
    here.tell(VersionDeployed(**NAME))
    assert kinds(note(FAILED)) == [VersionIntegrated]
    assert note(FAILED) == []
    assert kinds(note(msgspec.structs.replace(FAILED, told="refused"))) == [VersionIntegrated]
    assert note(HELD, artifact="5" * 64) == [], "another one was tried"
    assert kinds(note(HELD)) == [VersionIntegrated]
    assert note(msgspec.structs.replace(HELD, told="19 of 19 of the newest rows")) == [], "that it held is said once"
    here.tell(VersionRetired(**NAME, why="replaced"))
    assert note(FAILED) == []
