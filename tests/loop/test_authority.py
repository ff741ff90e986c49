"""Who may give which command: the table covers every command there is, and what is not in it is refused."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest

import flyball
from flyball.clock import VirtualClock
from flyball.errors import Refused
from flyball.governance.authority import LOOP, Caller, recovery, route_caller
from flyball.ledger.projection import MemoryProjection
from flyball.loop.authority import TABLE, Authorised, Drive, authorise, name_of
from flyball.loop.commands import Apply, CancelRun, Train
from flyball.loop.findings import SettleIncident
from flyball.loop.folds import FOLDS
from flyball.loop.releases import Rollback, Steer
from flyball.loop.tokens import CreateToken
from flyball.records.base import Event, Receipt, Record, Recorded
from flyball.records.declarations import DeclarationApplied
from flyball.records.identity import Role, Scope
from flyball.records.rollouts import RolloutPlanned
from flyball.records.training import RunQueued

S, O, P, A = Role.SCIENTIST, Role.OPERATOR, Role.APPROVER, Role.ADMIN  # noqa: E741 - a table of roles
NOBODY: set[Role] = set()

DOCUMENTED: dict[str, tuple[set[Role], bool]] = {
    "Apply": ({S, A}, True),
    "Commit": ({S, O, A}, True),
    "Train": ({S, O, A}, True),
    "CancelRun": ({S, O, A}, False),
    "ObserveRun": (NOBODY, True),
    "Register": (NOBODY, True),
    "Drive": ({S, O, A}, False),
    "Watch": ({S, A}, False),
    "Release": ({O, A}, True),
    "Rollback": ({O, A}, True),
    "Carry": ({O, A}, True),
    "Heed": (NOBODY, True),
    "Want": (NOBODY, True),
    "WantJudged": (NOBODY, True),
    "NoteIntegration": (NOBODY, True),
    "Steer": ({O, A}, False),
    "MoveRollout": (NOBODY, True),
    "AcknowledgeRoutes": (NOBODY, True),
    "Report": (NOBODY, True),
    "SettleIncident": ({S, O, A}, False),
    "Tell": (NOBODY, True),
    "NoteSent": (NOBODY, True),
    "Mute": ({S, O, A}, False),
    "Unmute": ({S, O, A}, False),
    "OpenIncident": ({S, O, P, A}, False),
    "BeginFallback": ({O, A}, True),
    "EndFallback": (NOBODY, True),
    "NoteDeadLoop": (NOBODY, True),
    "RaiseBound": (NOBODY, True),
    "NoteUndone": (NOBODY, True),
    "Propose": (NOBODY, True),
    "Withdraw": (NOBODY, True),
    "SealSegment": (NOBODY, True),
    "NoteVerified": (NOBODY, True),
    "NoteSeen": (NOBODY, True),
    "NoteReference": (NOBODY, True),
    "NoteEstimate": (NOBODY, True),
    "NoteFeedback": (NOBODY, True),
    "NoteFreshness": (NOBODY, True),
    "PushRows": ({S, O, A}, False),
    "EraseSubject": ({O, A}, False),
    "Disclose": ({O, A}, False),
    "Backup": ({O, A}, False),
    "Restore": ({O, A}, False),
    "Rebuild": ({O, A}, False),
    "ExportRecord": ({O, P, A}, False),
    "AddKey": (NOBODY, True),
    "Sign": (NOBODY, True),
    "RemoveBlobs": ({O, A}, False),
    "Approve": (set(Role), False),
    "Reject": (set(Role), False),
    "Deprecate": (set(Role) - {Role.VIEWER}, False),
    "Undeprecate": (set(Role) - {Role.VIEWER}, False),
    "Quarantine": ({Role.OPERATOR, Role.APPROVER, Role.ADMIN}, False),
    "Reinstate": ({Role.OPERATOR, Role.APPROVER, Role.ADMIN}, False),
    "Judge": ({S, O, A}, False),
    "Delete": ({Role.OPERATOR, Role.ADMIN}, False),
    "Annotate": (set(Role) - {Role.VIEWER}, False),
    "Describe": (set(Role) - {Role.VIEWER}, False),
    "Waive": ({Role.APPROVER, Role.ADMIN}, False),
    "CreateToken": ({A}, False),
    "RevokeToken": ({A}, False),
    "GiveLocalToken": (NOBODY, True),
    "NoteRefused": (NOBODY, True),
}
"""Command → (the roles that may give it, whether flyball itself does), as docs/access.md says."""


def commands() -> Iterator[type[Record]]:
    """Every command class of the package: a record with an id and an actor, which a ledger would carry out."""
    seen: set[type] = set()
    for module in pkgutil.walk_packages(flyball.__path__, "flyball."):
        if module.name.rpartition(".")[2] == "__main__":
            continue
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            fields = getattr(kind, "__struct_fields__", ())
            if issubclass(kind, Record) and {"id", "actor"} <= set(fields) and kind not in seen:
                seen.add(kind)
                yield kind


COMMANDS = sorted(commands(), key=name_of)


def caller(*roles: Role, models: Sequence[str] = (), scopes: Sequence[Scope] = (Scope.CONTROL,), jobs: Sequence[str] = ()) -> Caller:
    return Caller(actor="user:ana", person="ana", roles=roles, jobs=tuple(jobs), scopes=tuple(scopes), models=tuple(models), token="tok_1")


def made(kind: type[Record], actor: str) -> Any:
    """A command of this kind, with whatever it takes to be one."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values = {name: "x" for name, field in fields.items() if field.required}
    return kind(**{**values, **({"held": ()} if "held" in fields else {}), "id": "c", "actor": actor})


@pytest.mark.parametrize("kind", COMMANDS, ids=name_of)
def test_every_command_is_in_the_table(kind: type[Record]) -> None:
    assert name_of(kind) in TABLE, "say in loop/authority.py who may give it"


def test_the_table_names_no_command_that_is_not_there() -> None:
    assert set(TABLE) == {name_of(kind) for kind in COMMANDS}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", COMMANDS, ids=name_of)
def test_each_role_may_give_what_the_documents_say_and_nothing_else(kind: type[Record], role: Role) -> None:
    roles, _ = DOCUMENTED[kind.__name__]
    refused = authorise(caller(role), made(kind, "user:ana"), MemoryProjection())
    assert (refused is None) is (role in roles), refused


@pytest.mark.parametrize("kind", COMMANDS, ids=name_of)
def test_flyball_itself_gives_what_the_documents_say_and_no_persons_command(kind: type[Record]) -> None:
    assert (authorise(LOOP, made(kind, "loop"), MemoryProjection()) is None) is DOCUMENTED[kind.__name__][1]


@pytest.mark.parametrize("kind", COMMANDS, ids=name_of)
def test_who_is_let_in_again_gets_a_token_and_gives_no_other_command(kind: type[Record]) -> None:
    who = recovery("ana")
    assert (authorise(who, made(kind, who.actor), MemoryProjection()) is None) is (kind is CreateToken)


@pytest.mark.parametrize("kind", COMMANDS, ids=name_of)
def test_a_route_gives_no_command_but_that_somebody_is_on_an_incident(kind: type[Record]) -> None:
    who = route_caller("risk")
    assert authorise(who, made(kind, who.actor), MemoryProjection()) is not None
    if kind is SettleIncident:
        for verb in ("ack", "review", "resolve"):
            command = SettleIncident(id="c", actor=who.actor, incident="inc_1", verb=verb, text="")  # type: ignore[arg-type]
            assert (authorise(who, command, MemoryProjection()) is None) is (verb == "ack")
        other = SettleIncident(id="c", actor="user:ana", incident="inc_1", verb="ack", text="")
        assert authorise(who, other, MemoryProjection()) is not None


class Unlisted(Record, frozen=True):
    """A command that nobody has put into the table."""

    id: str
    actor: str


@pytest.mark.parametrize("who", [caller(*Role), LOOP])
def test_a_command_that_is_not_in_the_table_is_refused_to_everybody(who: Caller) -> None:
    refused = authorise(who, Unlisted(id="c", actor=who.actor), MemoryProjection())
    assert refused is not None
    assert "nobody may" in refused.what


def test_a_command_that_only_has_the_name_of_a_listed_one_is_refused() -> None:
    class Train(Record, frozen=True):
        id: str
        actor: str

    assert authorise(caller(A), Train(id="c", actor="user:ana"), MemoryProjection()) is not None


@pytest.mark.parametrize("other", ["loop", "user:ben", "user:root", ""])
def test_nobody_acts_in_anothers_name(other: str) -> None:
    refused = authorise(caller(*Role), CancelRun(id="c", actor=other, run="r", reason=""), MemoryProjection())
    assert refused is not None
    assert "cannot act as" in refused.what
    assert authorise(LOOP, made(Train, "user:ana"), MemoryProjection()) is not None


def test_a_token_for_predictions_gives_no_command() -> None:
    assert authorise(caller(A, scopes=(Scope.PREDICT, Scope.FEEDBACK)), made(Train, "user:ana"), MemoryProjection()) is not None


def test_a_command_is_given_under_no_role_that_its_caller_has_not() -> None:
    kind = next(kind for kind in COMMANDS if kind.__name__ == "Approve")
    command = msgspec.structs.replace(made(kind, "user:ana"), held=("risk-officer",))
    refused = authorise(caller(P), command, MemoryProjection())
    assert refused is not None
    assert "no risk-officer" in refused.what
    assert authorise(caller(P, jobs=["risk-officer"]), command, MemoryProjection()) is None


def declared(model: str) -> DeclarationApplied:
    return DeclarationApplied(
        model=model, file="loop.py", version_digest="v", policy_digest="p", body="0" * 64, code="0" * 64, gates_digest="", author=""
    )


@pytest.fixture
def state() -> MemoryProjection:
    """A run and a rollout of `price-nsw`, and a run of `credit`."""
    events: list[Event] = [
        declared("credit"),
        RunQueued(run="run_p", model="price-nsw", trigger="manual", reason="", spec="0" * 64),
        RunQueued(run="run_c", model="credit", trigger="manual", reason="", spec="0" * 64),
        RolloutPlanned(rollout="ro_p", model="price-nsw", version="1.0.0", champion="", steps=(), evidence="live", attempt=1, reason=""),
    ]
    found = MemoryProjection()
    for event in events:
        FOLDS[type(event)](found, Recorded(1, 1, "user:ana", "c", event))
    return found


def test_a_token_for_some_models_gives_commands_about_them_alone(state: MemoryProjection) -> None:
    ana = caller(S, O, A, models=["price-*"])

    def allowed(command: Any) -> bool:
        return authorise(ana, command, state) is None

    assert allowed(Rollback(id="c", actor="user:ana", model="price-nsw", reason=""))
    assert not allowed(Rollback(id="c", actor="user:ana", model="credit", reason=""))
    assert allowed(CancelRun(id="c", actor="user:ana", run="run_p", reason=""))
    assert not allowed(CancelRun(id="c", actor="user:ana", run="run_c", reason=""))
    assert allowed(Steer(id="c", actor="user:ana", rollout="ro_p", verb="abort", reason=""))
    assert allowed(CancelRun(id="c", actor="user:ana", run="gone", reason="")), "what is not there is said to be so when it is decided"
    assert not allowed(CreateToken(id="c", actor="user:ana", token="t", person="ana", hash="0", roles=(A,))), "it could be for all models"
    assert allowed(Drive(id="c", actor="user:ana"))


def test_applying_the_files_needs_a_token_for_what_changes_in_them_alone(state: MemoryProjection) -> None:
    ana = caller(S, models=["price-*"])
    same, new = declared("credit"), declared("price-nsw")
    assert authorise(ana, Apply(id="c", actor="user:ana", models=(same, new)), state) is None
    other = msgspec.structs.replace(same, policy_digest="another")
    assert authorise(ana, Apply(id="c", actor="user:ana", models=(other, new)), state) is not None


def test_what_is_refused_never_reaches_the_ledger() -> None:
    class Inner:
        """A ledger that is never to be asked."""

        def __init__(self) -> None:
            self.given: list[object] = []

        def execute(self, command: Any, _decide: Any) -> Receipt:
            self.given.append(command)
            return Receipt(command=command.id, first=0, last=0)

        def state(self) -> MemoryProjection:
            return MemoryProjection()

    inner: Any = Inner()
    ledger = Authorised(inner, lambda: caller(Role.VIEWER))
    with pytest.raises(Refused, match="may not do this: CancelRun"):
        ledger.execute(CancelRun(id=VirtualClock(0).new_id("cmd"), actor="user:ana", run="r", reason=""), lambda *_: ())
    assert inner.given == []
