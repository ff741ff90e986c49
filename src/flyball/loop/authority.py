"""The one table of who may give which command, and the ledger that asks it first. What is not in the table is refused.

It knows commands by name, so that asking costs no import of what is not used. It never decides what a command does: that is `decide_…`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from flyball.governance.authority import Caller, in_scope, not_for
from flyball.ledger.ledger import error_of
from flyball.loop.commands import Apply, changes
from flyball.loop.people import made
from flyball.loop.ports import Command, CommandT, Decide, Ledger
from flyball.records.base import Receipt, Record, Recorded, Refusal, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.identity import Role, Scope
from flyball.records.incidents import INCIDENTS, IncidentRow
from flyball.records.rollouts import ROLLOUTS, RolloutRow
from flyball.records.training import RUNS, RunRow


class Drive(Record, frozen=True):
    """Do the loop's own work, or a piece of it: `flyball up`, `flyball tick`, what `flyball train` does where nothing runs. Records nothing itself."""

    id: str
    actor: str


class Watch(Record, frozen=True):
    """Apply the loop files whenever they change: `flyball up` without `--no-watch`. Records nothing itself."""

    id: str
    actor: str


class Backup(Record, frozen=True):
    """Copy the whole record, personal texts and all, with the log and the keys of ids: `flyball backup`. Records nothing itself."""

    id: str
    actor: str


class Restore(Record, frozen=True):
    """Bring a backup into a project whose record is empty: `flyball restore`. Records nothing itself."""

    id: str
    actor: str


class Rebuild(Record, frozen=True):
    """Make every projection again from the events: `flyball audit rebuild`. Records nothing itself."""

    id: str
    actor: str


class ExportRecord(Record, frozen=True):
    """Copy the whole record for somebody who has no flyball: `flyball audit export`. Records nothing itself."""

    id: str
    actor: str


class Rule(NamedTuple):
    """Who may give a command: persons with one of `roles`, flyball itself if `loop`, a holder of the database without a token if `recovery`, and a route
    that signs its requests if what it asks for (the command's `verb`) is one of `routes`.
    """

    roles: frozenset[Role]
    loop: bool = False
    recovery: bool = False
    routes: tuple[str, ...] = ()


def _rule(*roles: Role, loop: bool = False) -> Rule:
    return Rule(frozenset(roles), loop)


_MAKERS = (Role.SCIENTIST, Role.ADMIN)
_WORKERS = (Role.SCIENTIST, Role.OPERATOR, Role.ADMIN)
_OPERATORS = (Role.OPERATOR, Role.ADMIN)
_LOOP = _rule(loop=True)

TABLE: Mapping[str, Rule] = MappingProxyType(
    {
        # what is declared, read and trained
        "loop.commands.Apply": _rule(*_MAKERS, loop=True),
        "loop.commands.Commit": _rule(*_WORKERS, loop=True),
        "loop.pushing.PushRows": _rule(*_WORKERS),
        "loop.commands.Train": _rule(*_WORKERS, loop=True),
        "loop.commands.CancelRun": _rule(*_WORKERS),
        "loop.commands.ObserveRun": _LOOP,
        "loop.commands.Register": _LOOP,
        "loop.authority.Drive": _rule(*_WORKERS),
        "loop.authority.Watch": _rule(*_MAKERS),
        # what is served
        "loop.releases.Release": _rule(*_OPERATORS, loop=True),
        "loop.releases.Rollback": _rule(*_OPERATORS, loop=True),
        "loop.releases.Steer": _rule(*_OPERATORS),
        "loop.releases.MoveRollout": _LOOP,
        "loop.releases.AcknowledgeRoutes": _LOOP,
        # what goes from one environment to the next
        "loop.carrying.Carry": _rule(*_OPERATORS, loop=True),
        "loop.carrying.Heed": _LOOP,
        "loop.carrying.Want": _LOOP,
        "loop.carrying.WantJudged": _LOOP,
        "loop.integration.NoteIntegration": _LOOP,
        # what is watched
        "loop.findings.Report": _LOOP,
        "loop.normal.RaiseBound": _LOOP,
        "loop.findings.SettleIncident": Rule(frozenset(_WORKERS), routes=("ack",)),
        "loop.findings.OpenIncident": _rule(Role.SCIENTIST, Role.OPERATOR, Role.APPROVER, Role.ADMIN),
        "loop.fallbacks.BeginFallback": _rule(*_OPERATORS, loop=True),
        "loop.fallbacks.EndFallback": _LOOP,
        "loop.deadloop.NoteDeadLoop": _LOOP,
        "loop.queueing.Tell": _LOOP,
        "loop.queueing.NoteSent": _LOOP,
        "loop.muting.Mute": _rule(*_WORKERS),
        "loop.muting.Unmute": _rule(*_WORKERS),
        "loop.reactions.NoteUndone": _LOOP,
        "loop.proposals.Propose": _LOOP,
        "loop.proposals.Withdraw": _LOOP,
        "loop.sealing.SealSegment": _LOOP,
        "loop.skew.NoteVerified": _LOOP,
        "loop.elsewhere.NoteSeen": _LOOP,
        "loop.elsewhere.NoteReference": _LOOP,
        "loop.estimates.NoteEstimate": _LOOP,
        "loop.feedback.NoteFeedback": _LOOP,
        "loop.freshness.NoteFreshness": _LOOP,
        # a person's rights
        "loop.erasing.EraseSubject": _rule(*_OPERATORS),
        "loop.erasing.Disclose": _rule(*_OPERATORS),
        # the whole record; proof of it is also whose who answers for the risk
        "loop.authority.Backup": _rule(*_OPERATORS),
        "loop.authority.Restore": _rule(*_OPERATORS),
        "loop.authority.Rebuild": _rule(*_OPERATORS),
        "loop.authority.ExportRecord": _rule(Role.OPERATOR, Role.APPROVER, Role.ADMIN),
        # what is signed
        "loop.proving.AddKey": _LOOP,
        "loop.proving.Sign": _LOOP,
        # what is removed
        "loop.collecting.RemoveBlobs": _rule(*_OPERATORS),
        # a person's verdict: a gate may ask for any role or job, so whose it is, is decided by what the version's gates say
        "loop.approvals.Approve": _rule(*Role),
        "loop.approvals.Reject": _rule(*Role),
        # a gate that asks for a person's yes takes an admin, which is decided by what the version's gates say
        "loop.waivers.Waive": _rule(Role.APPROVER, Role.ADMIN),
        # what persons make of a version
        "loop.lifecycle.Deprecate": _rule(Role.SCIENTIST, Role.OPERATOR, Role.APPROVER, Role.ADMIN),
        "loop.lifecycle.Undeprecate": _rule(Role.SCIENTIST, Role.OPERATOR, Role.APPROVER, Role.ADMIN),
        "loop.lifecycle.Quarantine": _rule(Role.OPERATOR, Role.APPROVER, Role.ADMIN),
        "loop.lifecycle.Reinstate": _rule(Role.OPERATOR, Role.APPROVER, Role.ADMIN),
        "loop.lifecycle.Judge": _rule(*_WORKERS),
        "loop.lifecycle.Delete": _rule(*_OPERATORS),
        "loop.lifecycle.Annotate": _rule(Role.SCIENTIST, Role.OPERATOR, Role.APPROVER, Role.ADMIN),
        "loop.describing.Describe": _rule(Role.SCIENTIST, Role.OPERATOR, Role.APPROVER, Role.ADMIN),
        # who may do what
        "loop.tokens.CreateToken": Rule(frozenset({Role.ADMIN}), recovery=True),
        "loop.tokens.RevokeToken": _rule(Role.ADMIN),
        "loop.tokens.GiveLocalToken": _LOOP,
        "loop.access.NoteRefused": _LOOP,
    }
)
"""Command → who may give it. A command is named by its module and class."""


def name_of(command: type) -> str:
    """A command's name in the table: `loop.commands.Train`."""
    return f"{command.__module__.removeprefix('flyball.')}.{command.__qualname__}"


def may_give(caller: Caller, name: str) -> Refusal | None:
    """Why this caller may give no command of this name, whatever is in it; None if they may give some."""
    rule = TABLE.get(name, Rule(frozenset()))
    return in_scope(caller, Scope.CONTROL) or _by_role(caller, rule, name.rpartition(".")[2])


def authorise(caller: Caller, command: Command, state: State | Callable[[], State]) -> Refusal | None:
    """Why this caller may not give this command; None if they may. Deny by default.

    `state`: the projections, or what gives them: they are looked at only for a token that is not for all models.
    """
    rule = TABLE.get(name_of(type(command)))
    name = type(command).__name__
    if rule is None:
        return Refusal(code="refused", what=f"nobody may give the command {name}", why="it is not in the table of who may do what")
    if command.actor != caller.actor:
        return Refusal(
            code="refused", what=f"{caller.actor} cannot act as {command.actor}", why="whoever gives a command answers for it by name"
        )
    if caller.is_loop:
        return None if rule.loop else Refusal(code="refused", what=f"{name} is a person's command", why="flyball itself never gives it")
    if caller.is_recovery:
        return (
            None
            if rule.recovery
            else Refusal(code="refused", what=f"{name} is no way to be let in again", why="a new token is the one way")
        )
    if caller.is_route:
        return _by_route(rule, name, command)
    refused = in_scope(caller, Scope.CONTROL) or _by_role(caller, rule, name) or _holds(caller, command)
    if refused is not None or not caller.models:
        return refused
    return _for_models(caller, command, state() if callable(state) else state)


def _by_route(rule: Rule, name: str, command: Command) -> Refusal | None:
    """A route says that somebody is on it. What is over is observed here, and nobody outside can say it."""
    if getattr(command, "verb", "") in rule.routes:
        return None
    return Refusal(code="refused", what=f"a route may not do this: {name}", why="it may acknowledge what it was told of, and nothing else")


def _by_role(caller: Caller, rule: Rule, name: str) -> Refusal | None:
    if rule.roles & set(caller.roles):
        return None
    if not rule.roles:
        return Refusal(code="refused", what=f"{name} is a command of flyball itself", why="no person gives it")
    wanted = " or ".join(role.value for role in Role if role in rule.roles)
    return Refusal(
        code="refused",
        what=f"{caller.person} may not do this: {name}",
        why=f"it takes the role {wanted}; this token has {', '.join(caller.roles) or 'none'}",
        fix=f"whoever has it does it; or an admin gives it: {made(wanted.partition(' ')[0], caller.person)}",
    )


def _holds(caller: Caller, command: Command) -> Refusal | None:
    """A command that says under which roles and jobs it is given names only those that the caller has."""
    missing = [name for name in getattr(command, "held", ()) if name not in caller.held]
    if not missing:
        return None
    return Refusal(
        code="refused",
        what=f"{caller.person} is no {missing[0]}",
        why=f"this token is for {', '.join(sorted(caller.held)) or 'no role or job'}",
        fix=f"an admin makes {caller.person} one: {made(missing[0], caller.person)}",
    )


def _for_models(caller: Caller, command: Command, state: State) -> Refusal | None:
    """A token for some models gives commands about them alone."""
    if isinstance(command, Drive):
        # the loop's own work is not of the caller's choosing
        return None
    models = _models(command, state)
    if models is None:
        return Refusal(
            code="refused",
            what=f"the token {caller.token} is for {', '.join(caller.models)} alone",
            why=f"{type(command).__name__} concerns more than these models",
            fix="ask an admin for a token without --model",
        )
    return next((refused for model in models if (refused := not_for(caller, model)) is not None), None)


def _models(command: Command, state: State) -> tuple[str, ...] | None:
    """The models that a command is about; none of them for a thing that is not there, None for one that is about no model."""
    if isinstance(command, Apply):
        return tuple(each.model for each in command.models if changes(state.get(DECLARATIONS, each.model), each))
    if isinstance(model := getattr(command, "model", None), str):
        return (model,)
    row: RolloutRow | RunRow | IncidentRow | None
    if isinstance(key := getattr(command, "rollout", None), str):
        row = state.get(ROLLOUTS, key)
    elif isinstance(key := getattr(command, "run", None), str):
        row = state.get(RUNS, key)
    elif isinstance(key := getattr(command, "incident", None), str):
        row = state.get(INCIDENTS, key)
    else:
        return None
    return (row.model,) if row is not None else ()


def permit(caller: Caller, command: Command, state: State | Callable[[], State]) -> None:
    """Raise the error of a command that this caller may not give."""
    refused = authorise(caller, command, state)
    if refused is not None:
        raise error_of(refused)


class Authorised:
    """A ledger that carries out what this caller may give, and refuses the rest before a transaction is opened."""

    def __init__(self, ledger: Ledger, caller: Callable[[], Caller], ready: Callable[[], None] = lambda: None) -> None:
        """caller: asked at the first command, so that reading needs nobody. ready: raises where nobody may give any command now."""
        self._ledger = ledger
        self._caller = caller
        self._ready = ready

    def permit(self, command: Command) -> None:
        """Raise the error of a command that this caller may not give, and Conflict where nobody may give one now."""
        # first, since who the caller is may itself be recorded
        self._ready()
        permit(self._caller(), command, self._ledger.state)

    def execute(self, command: CommandT, decide: Decide[CommandT]) -> Receipt:
        """Authorise, then decide and record. Raises Refused, Conflict, and what the ledger raises."""
        self.permit(command)
        return self._ledger.execute(command, decide)

    def read(self, after: int, limit: int) -> Iterator[Recorded]:
        """Events in order, from the one after `after`."""
        return self._ledger.read(after, limit)

    def state(self) -> State:
        """A snapshot of the projections."""
        return self._ledger.state()

    def size(self) -> int:
        """How many events there are."""
        return self._ledger.size()
