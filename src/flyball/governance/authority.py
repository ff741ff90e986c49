"""Who a caller is: from a token's secret to a person, with roles, jobs, scopes and models. Pure.

What a command needs is said in one table (`loop/authority.py`); this module never knows commands, and never sees where a secret came from.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType

from flyball.clock import Instant, rfc3339
from flyball.records.base import Record, Refusal, State
from flyball.records.identity import SECRET_PREFIX, TOKENS, Job, Role, Scope, TokenRow, secret_hash

BITS = 256
"""Random bits of a secret."""

_LONG = len(SECRET_PREFIX) + -(-BITS // 6)

LOOP_ACTOR = "loop"
_RECOVERY = "recovery:"
_ROUTE = "route:"

JOBS: Mapping[Job, tuple[Role, ...]] = MappingProxyType(
    {
        Job.DATA_ENGINEER: (Role.SCIENTIST,),
        Job.DATA_SCIENTIST: (Role.SCIENTIST,),
        Job.MLOPS_ENGINEER: (Role.SCIENTIST, Role.OPERATOR),
        Job.BUSINESS_ANALYST: (Role.VIEWER,),
        Job.RISK_OFFICER: (Role.APPROVER,),
    }
)
"""What a job lets its holder do."""


class Caller(Record, frozen=True):
    """Who gives commands. `models` are patterns, empty means all; `token` is the token's id, empty for flyball itself."""

    actor: str
    person: str = ""
    team: str = ""
    roles: tuple[Role, ...] = ()
    jobs: tuple[str, ...] = ()
    scopes: tuple[Scope, ...] = ()
    models: tuple[str, ...] = ()
    token: str = ""

    @property
    def is_loop(self) -> bool:
        """Whether this is flyball itself. No token can be: a person's actor begins with `user:`."""
        return self.actor == LOOP_ACTOR and not self.token

    @property
    def is_recovery(self) -> bool:
        """Whether this is somebody who holds the database, and lets an admin in again. No token can be, either."""
        return self.actor.startswith(_RECOVERY) and not self.token

    @property
    def is_route(self) -> bool:
        """Whether this is a service that people are told by, which has signed its request. No token can be, either."""
        return self.actor.startswith(_ROUTE) and not self.token

    @property
    def held(self) -> frozenset[str]:
        """The names under which this person may say yes at a gate: roles and jobs."""
        return frozenset((*(role.value for role in self.roles), *self.jobs))

    @property
    def is_for_all(self) -> bool:
        """Whether the token is for all models, those to come too."""
        return not self.models or "*" in self.models

    def covers(self, model: str) -> bool:
        """Whether the token is for this model."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


LOOP = Caller(actor=LOOP_ACTOR, scopes=(Scope.CONTROL,))
"""flyball itself: the loop, and what a process does of its work."""


def recovery(login: str) -> Caller:
    """Whoever holds the database and has no token that it takes: the record shows by whom, and that it was in this way."""
    return Caller(actor=f"{_RECOVERY}{login}", scopes=(Scope.CONTROL,))


def route_caller(route: str) -> Caller:
    """A route whose signature holds: the record shows that it was the route, and not a person that is known here."""
    return Caller(actor=f"{_ROUTE}{route}", scopes=(Scope.CONTROL,))


def actor_of(person: str) -> str:
    """How a person is written in the record."""
    return f"user:{person}"


def secret_of(chance: bytes) -> str:
    """A token's secret from 32 random bytes: `fb_` and 43 characters of base64url."""
    assert len(chance) * 8 == BITS, f"a secret has {BITS} random bits"
    return SECRET_PREFIX + base64.urlsafe_b64encode(chance).rstrip(b"=").decode()


def is_secret(text: str) -> bool:
    """Whether a text has the form of a secret; an empty or a cut-off one has not."""
    return text.startswith(SECRET_PREFIX) and len(text) == _LONG and text.isascii()


def roles_of(jobs: Iterable[Job], roles: Iterable[Role] = ()) -> tuple[Role, ...]:
    """The roles that are given and those that the jobs stand for, in the order of `Role`."""
    found = {*roles, *(role for job in jobs for role in JOBS[job])}
    return tuple(role for role in Role if role in found)


def caller_of(row: TokenRow) -> Caller:
    """Whose token this is."""
    return Caller(
        actor=actor_of(row.person),
        person=row.person,
        team=row.team,
        roles=row.roles,
        jobs=row.jobs,
        scopes=row.scopes,
        models=row.models,
        token=row.token,
    )


def is_valid(row: TokenRow, now: Instant) -> bool:
    """Whether the token is taken: neither revoked nor expired."""
    return not row.revoked_at and (not row.expires_at or now < row.expires_at)


def authenticate(state: State, secret: str, now: Instant) -> Caller | Refusal:
    """Whose secret this is, or why it is not taken.

    Every token is compared, in constant time each. What was never a secret and what is a wrong one are refused alike; only who has the right secret
    is told that it is expired or revoked.
    """
    given = secret_hash(secret)
    found = None
    for _, row in state.scan(TOKENS):
        if hmac.compare_digest(row.hash, given):
            found = row
    if not secret.startswith(SECRET_PREFIX):
        # whatever has its hash in the record, nothing is no secret
        found = None
    if found is None:
        return Refusal(
            code="unauthenticated",
            what="the token is not valid",
            why="no token of this flyball has this secret",
            fix="an admin makes one: flyball token create PERSON",
        )
    if found.revoked_at:
        return Refusal(
            code="unauthenticated",
            what=f"the token {found.token} was revoked {rfc3339(found.revoked_at)}",
            why=found.revoked_why,
            fix="an admin makes another: flyball token create PERSON",
        )
    if not is_valid(found, now):
        return Refusal(
            code="unauthenticated",
            what=f"the token {found.token} expired {rfc3339(found.expires_at)}",
            fix="an admin makes another: flyball token create PERSON",
        )
    return caller_of(found)


def in_scope(caller: Caller, scope: Scope) -> Refusal | None:
    """Why a token is not taken there; None if it is."""
    if scope in caller.scopes:
        return None
    return Refusal(
        code="refused",
        what=f"the token {caller.token} is not for {scope.value}",
        why=f"its scopes: {', '.join(caller.scopes) or 'none'}",
        fix=f"flyball token create {caller.person} --scope {scope.value}",
    )


def may_read(caller: Caller, model: str = "") -> Refusal | None:
    """Why a caller may not see what there is of `model` (empty: of no model in particular); None for whoever has any role."""
    if caller.is_loop:
        return None
    refused = in_scope(caller, Scope.CONTROL)
    if refused is not None:
        return refused
    if not caller.roles:
        return Refusal(
            code="refused", what=f"{caller.person} has no role", why="reading needs one", fix="an admin gives one: viewer is enough"
        )
    return not_for(caller, model) if model else None


def not_for(caller: Caller, model: str) -> Refusal | None:
    """Why a token is not for this model; None if it is."""
    if caller.covers(model):
        return None
    return Refusal(
        code="refused",
        what=f"the token {caller.token} is not for {model}",
        why=f"it is for {', '.join(caller.models)}",
        fix="ask an admin for one that covers it",
    )


def may_read_record(caller: Caller) -> Refusal | None:
    """Why a caller may not read the record itself: its events, their proofs, its checkpoints. It is of all models, so a token for some is not
    for it.
    """
    return may_read(caller) or _for_all(caller, "the record is of all models")


def _for_all(caller: Caller, why: str) -> Refusal | None:
    """Why a token is not for what concerns all models; None if it is for all."""
    if caller.is_for_all:
        return None
    return Refusal(
        code="refused",
        what=f"the token {caller.token} is for {', '.join(caller.models)} alone",
        why=why,
        fix="ask an admin for a token without --model",
    )


def may_see_tokens(caller: Caller) -> Refusal | None:
    """Why a caller may not see who has which token; None for an admin whose own token is for all models."""
    if caller.is_loop:
        return None
    refused = in_scope(caller, Scope.CONTROL)
    if refused is not None:
        return refused
    if Role.ADMIN not in caller.roles:
        return Refusal(code="refused", what=f"{caller.person} may not see the tokens", why="it takes the role admin", fix="ask an admin")
    return _for_all(caller, "tokens are for any models")
