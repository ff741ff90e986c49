"""Whose secret it is, and what that lets its holder do."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.governance.authority import (
    JOBS,
    LOOP,
    Caller,
    actor_of,
    authenticate,
    in_scope,
    is_secret,
    may_read,
    may_see_tokens,
    recovery,
    roles_of,
    secret_of,
)
from flyball.governance.fold import FOLDS
from flyball.ledger.projection import MemoryProjection
from flyball.records.base import Recorded, Refusal
from flyball.records.identity import Job, Role, Scope, TokenCreated, TokenRevoked, secret_hash

SECRET = secret_of(bytes(range(32)))
ANA = Caller(actor="user:ana", person="ana", roles=(Role.SCIENTIST,), scopes=(Scope.CONTROL,), models=("price-*",), token="tok_1")


def world(*events: TokenCreated | TokenRevoked) -> MemoryProjection:
    state = MemoryProjection()
    for event in events:
        FOLDS[type(event)](state, Recorded(1, 10, "user:root", "c", event))
    return state


def created(secret: str = SECRET, *, token: str = "tok_1", expires_at: int = 0) -> TokenCreated:
    return TokenCreated(
        token=token,
        person="ana",
        team="markets",
        jobs=("data-scientist",),
        roles=(Role.SCIENTIST,),
        scopes=(Scope.CONTROL,),
        models=("price-*",),
        hash=secret_hash(secret),
        expires_at=expires_at,
    )


def test_a_secret_says_what_it_is_and_holds_256_bits() -> None:
    assert SECRET.startswith("fb_")
    assert len(SECRET) == 3 + 43
    assert is_secret(SECRET)
    assert not any(is_secret(text) for text in ("", "fb_", SECRET[:-1], SECRET + "x", SECRET[3:], "fb_" + 43 * "é"))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_no_two_chances_make_one_secret(one: bytes, other: bytes) -> None:
    assert (secret_of(one) == secret_of(other)) is (one == other)


def test_the_record_holds_no_secret() -> None:
    assert SECRET not in repr(created())
    assert SECRET not in repr(list(world(created()).rows("token")))


def test_the_holder_of_the_secret_is_the_person() -> None:
    found = authenticate(world(created(), created("fb_other", token="tok_2")), SECRET, 20)
    assert isinstance(found, Caller)
    assert (found.actor, found.person, found.team, found.token) == ("user:ana", "ana", "markets", "tok_1")
    assert found.held == {"scientist", "data-scientist"}


def test_an_unknown_secret_and_a_wrong_one_are_refused_in_the_same_words() -> None:
    state = world(created())
    refusals = {
        repr(authenticate(state, secret, 20)) for secret in ("", "fb_", SECRET[:-1], SECRET + "x", "Bearer", "é\udc80", "fb_" + 43 * "A")
    }
    assert len(refusals) == 1
    assert refusals == {repr(authenticate(world(), SECRET, 20))}, "nor does it say whether there is any token"


@pytest.mark.parametrize("nothing", ["", "secret", "Fb_x"])
def test_what_does_not_begin_as_a_secret_is_nobodys_even_if_the_record_has_its_hash(nothing: str) -> None:
    assert isinstance(authenticate(world(created(nothing)), nothing, 20), Refusal)


@pytest.mark.parametrize(("now", "taken"), [(99, True), (100, False), (101, False)])
def test_a_token_is_taken_until_it_expires(now: int, taken: bool) -> None:
    found = authenticate(world(created(expires_at=100)), SECRET, now)
    assert isinstance(found, Caller) is taken
    if isinstance(found, Refusal):
        assert "expired" in found.what


def test_a_revoked_token_tells_its_holder_why_and_nobody_else_anything() -> None:
    state = world(created(), TokenRevoked(token="tok_1", reason="left the team"))
    found = authenticate(state, SECRET, 20)
    assert isinstance(found, Refusal)
    assert (found.code, "revoked" in found.what, found.why) == ("unauthenticated", True, "left the team")
    assert "left the team" not in repr(authenticate(state, "fb_guess", 20))


def test_a_job_stands_for_roles_and_all_jobs_stand_for_some() -> None:
    assert set(JOBS) == set(Job)
    assert roles_of([Job.MLOPS_ENGINEER]) == (Role.SCIENTIST, Role.OPERATOR)
    assert roles_of([Job.RISK_OFFICER], [Role.VIEWER]) == (Role.VIEWER, Role.APPROVER)


def test_no_job_makes_an_admin() -> None:
    assert Role.ADMIN not in roles_of(Job)


def test_nobody_can_pass_for_flyball_itself() -> None:
    assert LOOP.is_loop
    assert not Caller(actor=actor_of("loop"), person="loop", token="tok_1").is_loop


def test_nobody_with_a_token_can_pass_for_who_holds_the_database() -> None:
    assert recovery("ana").is_recovery
    assert not Caller(actor=actor_of("recovery:ana"), person="recovery:ana").is_recovery
    assert not Caller(actor="recovery:ana", person="ana", token="tok_1").is_recovery


def test_every_role_reads_what_its_token_is_for() -> None:
    assert may_read(ANA) is None
    assert may_read(ANA, "price-nsw") is None
    assert may_read(ANA, "credit") is not None
    assert may_read(Caller(actor="user:x", person="x", scopes=(Scope.CONTROL,), token="t")) is not None, "no role"
    assert may_read(Caller(actor="user:x", person="x", roles=(Role.ADMIN,), scopes=(Scope.PREDICT,), token="t")) is not None, (
        "another scope"
    )
    assert may_read(LOOP, "credit") is None


def test_a_token_is_taken_only_where_its_scopes_say() -> None:
    assert in_scope(ANA, Scope.CONTROL) is None
    refused = in_scope(ANA, Scope.PREDICT)
    assert refused is not None
    assert "not for predict" in refused.what


def test_only_an_admin_sees_the_tokens() -> None:
    assert may_see_tokens(ANA) is not None
    admin = Caller(actor="user:x", person="x", roles=(Role.ADMIN,), scopes=(Scope.CONTROL,), token="t")
    assert may_see_tokens(admin) is None
    refused = may_see_tokens(msgspec.structs.replace(admin, models=("price-*",)))
    assert refused is not None, "a token for some models does not show who has the others"
    assert (refused.what, refused.why) == ("the token t is for price-* alone", "tokens are for any models"), "nobody asked for the record"
