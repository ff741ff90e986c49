"""How events about people and keys change the projections."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.identity import REFUSED_ACCESS, TOKENS, AccessRefused, RefusedRow, TokenCreated, TokenRevoked, TokenRow
from flyball.records.proofs import KEYS, KeyAdded, KeyRow


def fold_token_created(projection: Projection, recorded: Recorded) -> None:
    """The token is taken from now on."""
    event = recorded.event
    assert isinstance(event, TokenCreated)
    row = TokenRow(
        token=event.token,
        person=event.person,
        team=event.team,
        jobs=event.jobs,
        roles=event.roles,
        scopes=event.scopes,
        models=event.models,
        hash=event.hash,
        created_at=recorded.at,
        created_by=recorded.actor,
        expires_at=event.expires_at,
    )
    projection.put(TOKENS, event.token, row)


def fold_token_revoked(projection: Projection, recorded: Recorded) -> None:
    """The token is refused; it stays listed."""
    event = recorded.event
    assert isinstance(event, TokenRevoked)
    row = projection.get(TOKENS, event.token)
    assert row is not None, f"token {event.token} was never created"
    projection.put(TOKENS, event.token, msgspec.structs.replace(row, revoked_at=recorded.at, revoked_why=event.reason))


def fold_access_refused(projection: Projection, recorded: Recorded) -> None:
    """Attempts add up."""
    event = recorded.event
    assert isinstance(event, AccessRefused)
    row = projection.get(REFUSED_ACCESS, event.source)
    count = event.count + (row.count if row else 0)
    projection.put(REFUSED_ACCESS, event.source, RefusedRow(source=event.source, count=count, last=event.until))


def fold_key_added(projection: Projection, recorded: Recorded) -> None:
    """The key is known."""
    event = recorded.event
    assert isinstance(event, KeyAdded)
    projection.put(KEYS, event.vkey, KeyRow(vkey=event.vkey, since=recorded.seq, added_at=recorded.at))


FOLDS: Mapping[type[Event], Fold] = MappingProxyType(
    {
        TokenCreated: fold_token_created,
        TokenRevoked: fold_token_revoked,
        AccessRefused: fold_access_refused,
        KeyAdded: fold_key_added,
    }
)
"""Event kind → its fold."""
