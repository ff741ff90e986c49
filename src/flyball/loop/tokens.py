"""The commands that give people tokens and take them away, and how each is decided.

A command carries the hash of a secret, never the secret: that is shown once, by the face that made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

from flyball.clock import Instant
from flyball.declare.units import near
from flyball.errors import BadInput
from flyball.governance.authority import is_valid, roles_of
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.identity import TOKENS, Job, Role, Scope, TokenCreated, TokenRevoked, TokenRow, secret_hash

LONGEST_REASON = 500

NameT = TypeVar("NameT", bound=StrEnum)

_PERSON = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?")
_PATTERN = re.compile(r"[a-z0-9_*?\[\]!-]{1,64}")


class CreateToken(Record, frozen=True):
    """Give a person a token. `hash` is that of its secret; `expires_at` 0 is never. Without `scopes` it is for the control plane."""

    id: str
    actor: str
    token: str
    person: str
    hash: str
    team: str = ""
    jobs: tuple[Job, ...] = ()
    roles: tuple[Role, ...] = ()
    scopes: tuple[Scope, ...] = ()
    models: tuple[str, ...] = ()
    expires_at: Instant = 0


class RevokeToken(Record, frozen=True):
    """Refuse a token from here on."""

    id: str
    actor: str
    token: str
    reason: str


class GiveLocalToken(Record, frozen=True):
    """Give the user of this machine the token whose secret lies in a file that only they can read.

    `embedded`: whether the ledger lies in the project's own folder, so that whoever can read that file could write the ledger too.
    """

    id: str
    actor: str
    token: str
    person: str
    hash: str
    embedded: bool


def named(kind: type[NameT], texts: Iterable[str]) -> tuple[NameT, ...]:
    """Roles, jobs or scopes as people write them, each once. Raises BadInput with a near name."""
    found: dict[NameT, None] = {}
    for text in texts:
        try:
            found[kind(text)] = None
        except ValueError:
            what = kind.__name__.lower()
            raise BadInput(f'"{text[:80]}" is no {what}', why="it would let nobody do anything", fix=near(text, list(kind))) from None
    return tuple(found)


def checked_person(text: str) -> str:
    """A person's name, as it will stand in the record. Raises BadInput."""
    if not _PERSON.fullmatch(text):
        raise BadInput(
            f'"{text[:80]}" cannot name a person',
            why="a name is 1 to 64 letters, digits and . _ @ + -, and begins and ends with a letter or digit",
            fix="write a login name or a mail address",
        )
    return text


def checked_team(text: str) -> str:
    """A team's name; empty for none. Raises BadInput."""
    if len(text) > 64 or not text.isprintable():
        raise BadInput(f'"{text[:80]}" cannot name a team', why="a team has at most 64 printable characters", fix="shorten it")
    return text.strip()


def checked_patterns(texts: Iterable[str]) -> tuple[str, ...]:
    """Patterns of model names. Raises BadInput."""
    found = tuple(dict.fromkeys(texts))
    for text in found:
        if not _PATTERN.fullmatch(text):
            raise BadInput(
                f'"{text[:80]}" matches no model',
                why="names of models have a-z 0-9 - _; * ? and [ ] stand for some of them",
                fix='write a name, or a pattern such as "price-*"',
            )
    return found


def decide_create(state: State, command: CreateToken, now: Instant) -> Sequence[Event] | Refusal:
    """What the jobs stand for is written out as roles. Nobody gets a token that is of no use, or a name that could be taken for another's."""
    roles = roles_of(command.jobs, command.roles)
    scopes = command.scopes or ((Scope.CONTROL,) if roles else ())
    if not scopes or (Scope.CONTROL in scopes and not roles):
        return Refusal(
            code="bad-input",
            what=f"the token of {command.person} would let nobody do anything",
            why="it has no role and no job",
            fix="--role or --job for a person; --scope predict or feedback for a program that only calls",
        )
    if command.expires_at and command.expires_at <= now:
        return Refusal(code="bad-input", what=f"the token of {command.person} would have expired already", fix="name a later time")
    tokens = [row for _, row in state.scan(TOKENS)]
    alike = next((row.person for row in tokens if row.person != command.person and row.person.lower() == command.person.lower()), None)
    if alike is not None:
        return Refusal(
            code="conflict",
            what=f"{command.person} and {alike} could be taken for each other",
            why="four eyes are two persons, and these differ by case alone",
            fix=f"write {alike}, or another name",
        )
    if any(row.token == command.token or row.hash == command.hash for row in tokens):
        return Refusal(code="conflict", what=f"there is a token {command.token} already", why="ids and secrets are used once")
    created = TokenCreated(
        token=command.token,
        person=command.person,
        team=command.team,
        jobs=tuple(job.value for job in command.jobs),
        roles=roles,
        scopes=tuple(scope for scope in Scope if scope in scopes),
        models=command.models,
        hash=command.hash,
        expires_at=command.expires_at,
    )
    return (created,)


def decide_revoke(state: State, command: RevokeToken, now: Instant) -> Sequence[Event] | Refusal:
    """The last token of an admin stays: without one nobody could ever be let in again."""
    row = state.get(TOKENS, command.token)
    if row is None:
        known = [key for key, _ in state.scan(TOKENS)]
        return Refusal(code="not-found", what=f'no token "{command.token[:80]}"', fix=f"tokens: {near(command.token, known)}")
    if row.revoked_at:
        return Refusal(code="conflict", what=f"{row.token} is revoked already", why=row.revoked_why)
    if is_admin(row, now) and not any(is_admin(other, now) for key, other in state.scan(TOKENS) if key != row.token):
        return Refusal(
            code="refused",
            what=f"{row.token} is the last token of an admin",
            why="without one nobody could give or take a token again",
            fix="flyball token create PERSON --role admin, then revoke this one",
        )
    return (TokenRevoked(token=row.token, reason=command.reason),)


def is_admin(row: TokenRow, now: Instant) -> bool:
    """Whether the token's holder can give and take tokens now."""
    return is_valid(row, now) and Role.ADMIN in row.roles and Scope.CONTROL in row.scopes and not row.models


def decide_give_local(state: State, command: GiveLocalToken, now: Instant) -> Sequence[Event] | Refusal:
    """The user of a machine is admin of what lies on it, and of a ledger elsewhere that has no admin yet."""
    tokens = [row for _, row in state.scan(TOKENS)]
    if any(row.hash == command.hash for row in tokens):
        return ()
    if not command.embedded and any(is_admin(row, now) for row in tokens):
        return Refusal(
            code="unauthenticated",
            what="this machine's user has no token of this ledger",
            why="the ledger is shared, and it has an admin already",
            fix="ask for a token, and set FLYBALL_TOKEN to it; where no admin is left: flyball token create PERSON --recover",
        )
    created = TokenCreated(
        token=command.token,
        person=command.person,
        team="",
        jobs=(),
        roles=(Role.ADMIN,),
        scopes=tuple(Scope),
        models=(),
        hash=command.hash,
        expires_at=0,
    )
    return (created,)


def order(
    *,
    command: str,
    actor: str,
    token: str,
    person: str,
    secret: str,
    team: str = "",
    jobs: Iterable[str] = (),
    roles: Iterable[str] = (),
    scopes: Iterable[str] = (),
    models: Iterable[str] = (),
    expires_at: Instant = 0,
) -> CreateToken:
    """The command that gives a person a token, from what a face was told. Of `secret` only the hash goes on. Raises BadInput."""
    return CreateToken(
        id=command,
        actor=actor,
        token=token,
        person=checked_person(person),
        hash=secret_hash(secret),
        team=checked_team(team),
        jobs=named(Job, jobs),
        roles=named(Role, roles),
        scopes=named(Scope, scopes),
        models=checked_patterns(models),
        expires_at=expires_at,
    )
