"""Whose yes counts for a version: four eyes. Pure.

An approver is never the author: not who asked for the run or declared what the loop trained, and not who released the version.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyball.evaluation.persons import Approved, approved
from flyball.records.base import State
from flyball.records.estimates import Asked, Outcome, Verdict
from flyball.records.training import RUNS
from flyball.records.versions import VersionRow

LOOP = "loop"


def authors(state: State, row: VersionRow) -> frozenset[str]:
    """Who made the version: who asked for a run that gave it; for one that flyball started by itself, who declared what it was to do."""
    found: set[str] = set()
    for _, run in state.scan(RUNS):
        if (run.model, run.version) == (row.model, row.version):
            found |= {*run.declared_by} if run.by == LOOP else {run.by}
    return frozenset(found - {LOOP, ""})


def standing(row: VersionRow, gates_digest: str) -> list[Approved]:
    """The yes that was said to the version as these gates judge it, once for each role; one said under other gates says nothing about these."""
    return [Approved(role, said.actor) for said in row.said if said.yes and said.gates_digest == gates_digest for role in said.roles]


def approvers(row: VersionRow) -> frozenset[str]:
    """Who said yes to the version as its gates judge it."""
    return frozenset(given.actor for given in standing(row, row.gates_digest))


def lifted(row: VersionRow, verdicts: Sequence[Verdict], gates_digest: str) -> tuple[Verdict, ...]:
    """Verdicts of these gates, with what persons have said about the version."""
    return approved(verdicts, standing(row, gates_digest))


def asked(verdicts: Sequence[Verdict], *, everything: bool = False) -> tuple[Asked, ...]:
    """Whose yes is still asked for, each once; with `everything` also what was given already."""
    found = [one for verdict in verdicts if everything or verdict.outcome is Outcome.INSUFFICIENT for one in verdict.asks]
    return tuple(dict.fromkeys(found))
