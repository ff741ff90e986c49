"""Tokens and attempts as they stand."""

from __future__ import annotations

from flyball.governance.fold import FOLDS
from flyball.ledger.projection import MemoryProjection
from flyball.records.base import Recorded
from flyball.records.identity import REFUSED_ACCESS, TOKENS, AccessRefused, Role, Scope, TokenCreated, TokenRevoked


def test_a_revoked_token_stays_listed() -> None:
    state = MemoryProjection()
    made = TokenCreated(
        token="tok_1", person="ana", team="", jobs=(), roles=(Role.VIEWER,), scopes=(Scope.CONTROL,), models=(), hash="0" * 64, expires_at=0
    )
    FOLDS[TokenCreated](state, Recorded(1, 10, "user:root", "c", made))
    FOLDS[TokenRevoked](state, Recorded(2, 20, "user:root", "d", TokenRevoked(token="tok_1", reason="lost")))
    row = state.get(TOKENS, "tok_1")
    assert row is not None
    assert (row.created_at, row.created_by, row.revoked_at, row.revoked_why) == (10, "user:root", 20, "lost")


def test_attempts_from_one_address_add_up() -> None:
    state = MemoryProjection()
    for count, until in ((3, 10), (4, 20)):
        event = AccessRefused(source="10.0.0.9", count=count, since=0, until=until, why="no token")
        FOLDS[AccessRefused](state, Recorded(1, until, "loop", "c", event))
    row = state.get(REFUSED_ACCESS, "10.0.0.9")
    assert row is not None
    assert (row.count, row.last) == (7, 20)
