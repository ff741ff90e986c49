"""Who else could say a word on a version, in words: whoever may not is told whose turn it is, and how such a person comes to be. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.clock import Instant
from flyball.governance.authority import actor_of, caller_of, is_valid
from flyball.records.base import State
from flyball.records.identity import TOKENS, Job, Scope
from flyball.records.rollouts import rollouts_of
from flyball.records.versions import VersionRow
from flyball.registry import approvals
from flyball.registry.mends import anybody


def another(state: State, row: VersionRow, now: Instant, names: Sequence[str]) -> str:
    """Another person than those who made or released a version, as one of these roles and jobs: "another person, as approver".

    Where no token of such a person is taken, also how an admin gives one.
    """
    released = (past.by for past in rollouts_of(state, row.model, row.version))
    own = {*approvals.authors(state, row), *released}
    known = any(
        is_valid(token, now)
        and Scope.CONTROL in token.scopes
        and actor_of(token.person) not in own
        and caller_of(token).covers(row.model)
        and caller_of(token).held & set(names)
        for _, token in state.scan(TOKENS)
    )
    # nobody else is one: the person has to be made first
    return anybody(names) if known else f"{anybody(names)} whom an admin makes first ({made(names[0])}),"


def made(name: str, person: str = "PERSON") -> str:
    """How an admin makes somebody what `name` says."""
    return f"flyball token create {person} --{'job' if name in tuple(Job) else 'role'} {name}"
