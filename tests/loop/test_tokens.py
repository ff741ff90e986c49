"""Tokens are given and taken away by admins, never to the last of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flyball.errors import BadInput
from flyball.ledger.projection import MemoryProjection
from flyball.loop.folds import FOLDS
from flyball.loop.tokens import (
    CreateToken,
    GiveLocalToken,
    RevokeToken,
    checked_patterns,
    checked_person,
    checked_team,
    decide_create,
    decide_give_local,
    decide_revoke,
    named,
    order,
)
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.identity import TOKENS, Job, Role, Scope, TokenCreated, TokenRevoked

NOW = 1_000


class World:
    def __init__(self) -> None:
        self.state = MemoryProjection()
        self.count = 0

    def done(self, outcome: Sequence[Event] | Refusal, actor: str = "user:root") -> Sequence[Event] | Refusal:
        if not isinstance(outcome, Refusal):
            for event in outcome:
                FOLDS[type(event)](self.state, Recorded(1, NOW, actor, "c", event))
        return outcome

    def create(self, person: str = "ana", **what: Any) -> Sequence[Event] | Refusal:
        self.count += 1
        command = CreateToken(id="c", actor="user:root", token=f"tok_{self.count}", person=person, hash=f"{self.count:064}", **what)
        return self.done(decide_create(self.state, command, NOW))

    def revoke(self, token: str, now: int = NOW) -> Sequence[Event] | Refusal:
        return self.done(decide_revoke(self.state, RevokeToken(id="c", actor="user:root", token=token, reason="lost"), now))

    def give_local(self, *, embedded: bool, secret: str = "f" * 64) -> Sequence[Event] | Refusal:
        command = GiveLocalToken(id="c", actor="loop", token="tok_local", person="root", hash=secret, embedded=embedded)
        return self.done(decide_give_local(self.state, command, NOW))


def refused(outcome: object, says: str) -> bool:
    return isinstance(outcome, Refusal) and says in f"{outcome.what} {outcome.why}"


def test_what_a_job_stands_for_is_written_out_as_roles() -> None:
    [made] = World().create(jobs=(Job.MLOPS_ENGINEER,), roles=(Role.APPROVER,))  # type: ignore[misc]
    assert isinstance(made, TokenCreated)
    assert (made.jobs, made.roles) == (("mlops-engineer",), (Role.SCIENTIST, Role.OPERATOR, Role.APPROVER))
    assert made.scopes == (Scope.CONTROL,), "where nothing is said, for the control plane"


def test_a_token_that_lets_nobody_do_anything_is_not_made() -> None:
    assert refused(World().create(), "no role and no job")
    assert refused(World().create(scopes=(Scope.CONTROL, Scope.PREDICT)), "no role and no job")
    assert refused(World().create(roles=(Role.VIEWER,), expires_at=NOW), "expired already")
    assert not isinstance(World().create(scopes=(Scope.PREDICT,)), Refusal), "a program that only calls needs no role"


def test_two_persons_whose_names_differ_by_case_alone_are_not_told_apart_by_four_eyes() -> None:
    world = World()
    world.create("ana", roles=(Role.SCIENTIST,))
    assert refused(world.create("Ana", roles=(Role.APPROVER,)), "taken for each other")
    assert not isinstance(world.create("ana", roles=(Role.APPROVER,)), Refusal), "the same person may have two"


def test_a_secret_is_one_tokens() -> None:
    world = World()
    world.create(roles=(Role.VIEWER,))
    command = CreateToken(id="c", actor="user:root", token="tok_9", person="ben", hash=f"{1:064}", roles=(Role.VIEWER,))
    assert refused(decide_create(world.state, command, NOW), "used once")


def test_the_last_admin_cannot_be_shut_out() -> None:
    world = World()
    world.create("root", roles=(Role.ADMIN,))
    world.create("ben", roles=(Role.ADMIN,), models=("price-*",))
    world.create("cat", roles=(Role.ADMIN,), scopes=(Scope.PREDICT,))
    world.create("dan", roles=(Role.ADMIN,), expires_at=NOW + 10)
    assert refused(world.revoke("tok_1", NOW + 10), "last token of an admin"), "the others are for some models, elsewhere, or expired"
    assert not isinstance(world.revoke("tok_1", NOW), Refusal)
    assert refused(world.revoke("tok_4"), "last token of an admin")


def test_a_token_is_revoked_once_and_one_that_is_not_there_not_at_all() -> None:
    world = World()
    world.create("root", roles=(Role.ADMIN,))
    world.create("ben", roles=(Role.VIEWER,))
    assert world.revoke("tok_2") == (TokenRevoked(token="tok_2", reason="lost"),)
    assert refused(world.revoke("tok_2"), "revoked already")
    missing = world.revoke("tok_22")
    assert isinstance(missing, Refusal)
    assert (missing.code, "tok_2" in missing.fix) == ("not-found", True)


def test_the_local_user_is_admin_of_what_lies_on_their_machine_and_told_once() -> None:
    world = World()
    world.create("root", roles=(Role.ADMIN,))
    assert not isinstance(world.give_local(embedded=True), Refusal)
    row = world.state.get(TOKENS, "tok_local")
    assert row is not None
    assert (row.person, row.roles, row.scopes) == ("root", (Role.ADMIN,), tuple(Scope))
    assert world.give_local(embedded=True) == ()


def test_a_shared_ledger_makes_the_local_user_admin_only_while_it_has_none() -> None:
    world = World()
    assert not isinstance(world.give_local(embedded=False), Refusal)
    assert refused(world.give_local(embedded=False, secret="e" * 64), "the ledger is shared")


def test_a_revoked_local_token_is_not_given_again() -> None:
    world = World()
    world.create("root", roles=(Role.ADMIN,))
    world.give_local(embedded=True)
    world.revoke("tok_local")
    assert world.give_local(embedded=True) == ()


@pytest.mark.parametrize(
    ("kind", "text", "meant"), [(Role, "aprover", "approver"), (Job, "risk-oficer", "risk-officer"), (Scope, "controll", "control")]
)
def test_an_unknown_role_job_or_scope_is_refused_with_a_near_name(kind: Any, text: str, meant: str) -> None:
    with pytest.raises(BadInput) as caught:
        named(kind, [text])
    assert f'did you mean "{meant}"?' in caught.value.fix
    assert named(kind, [meant, meant]) == (kind(meant),)


@pytest.mark.parametrize("name", ["", "-", "a b", "ana\n", "user:ana", "../x", "a" * 65, "é", "ana\x1b[2J", "."])
def test_what_cannot_name_a_person_is_refused_at_the_border(name: str) -> None:
    with pytest.raises(BadInput):
        checked_person(name)


@pytest.mark.parametrize("name", ["a", "ana", "Ana.Lee", "ana@example.org", "ana+risk@example.org", "x" * 64])
def test_login_names_and_mail_addresses_name_persons(name: str) -> None:
    assert checked_person(name) == name


def test_a_team_is_text_for_people_and_a_pattern_matches_models() -> None:
    assert checked_team(" risk models ") == "risk models"
    assert checked_patterns(["price-*", "credit", "price-*"]) == ("price-*", "credit")
    for bad in ("a\nb", "t" * 65):
        with pytest.raises(BadInput):
            checked_team(bad)
    for bad in ("", "Price", "a/b", "x" * 65):
        with pytest.raises(BadInput):
            checked_patterns([bad])


def test_an_order_holds_the_hash_of_the_secret_alone() -> None:
    made = order(command="c", actor="user:root", token="tok_1", person="ana", secret="fb_secret", roles=["viewer"])
    assert "fb_secret" not in repr(made)
    assert len(made.hash) == 64
