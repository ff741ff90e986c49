"""Who may do what: tokens, the roles and jobs of the people who hold them, and attempts that were turned away."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table

SECRET_PREFIX = "fb_"  # noqa: S105 - how a secret begins, and none itself
"""How a token's secret begins, so that whoever finds one, or a scanner, sees what it is. What begins otherwise is none, an empty text least of all."""


class Role(StrEnum):
    """What a person may do. Every role reads; `governance/authority.py` says what else each does."""

    VIEWER = "viewer"
    SCIENTIST = "scientist"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Job(StrEnum):
    """What a person does, in the field's words. Each stands for roles (`governance/authority.py`), and gates may ask for one."""

    DATA_ENGINEER = "data-engineer"
    DATA_SCIENTIST = "data-scientist"
    MLOPS_ENGINEER = "mlops-engineer"
    BUSINESS_ANALYST = "business-analyst"
    RISK_OFFICER = "risk-officer"


class Scope(StrEnum):
    """Where a token is taken: by a gateway for predictions or for labels, or by the control plane."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    CONTROL = "control"


class TokenCreated(Event, frozen=True, tag="token.created"):
    """A person got a token. Of the secret there is the SHA-256 alone (it is 256 random bits, so nobody can guess it from that).

    `jobs` are the field's names for what the person does, such as `risk-officer`; `models` are patterns, empty means all.
    """

    token: str
    person: str
    team: str
    jobs: tuple[str, ...]
    roles: tuple[Role, ...]
    scopes: tuple[Scope, ...]
    models: tuple[str, ...]
    hash: str
    expires_at: Instant
    """0: never."""


class TokenRevoked(Event, frozen=True, tag="token.revoked"):
    """The token is refused from here on."""

    token: str
    reason: str


class AccessRefused(Event, frozen=True, tag="access.refused"):
    """Requests came without a valid token. Told once for many, so that nobody can fill the record: `count` of them between `since` and `until`."""

    source: str
    """The address they came from."""
    count: int
    since: Instant
    until: Instant
    why: str


class TokenRow(Record, frozen=True):
    """A token as it stands."""

    token: str
    person: str
    team: str
    jobs: tuple[str, ...]
    roles: tuple[Role, ...]
    scopes: tuple[Scope, ...]
    models: tuple[str, ...]
    hash: str
    created_at: Instant
    created_by: str
    expires_at: Instant
    revoked_at: Instant = 0
    revoked_why: str = ""


class RefusedRow(Record, frozen=True):
    """Attempts without a valid token from one address, all told."""

    source: str
    count: int
    last: Instant


TOKENS = Table("token", TokenRow)
"""Keyed by token id."""

REFUSED_ACCESS = Table("refused_access", RefusedRow)
"""Keyed by the address that the attempts came from."""

EVENTS = (TokenCreated, TokenRevoked, AccessRefused)


def secret_hash(secret: str) -> str:
    """What is stored of a token's secret: the SHA-256 of its text, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
