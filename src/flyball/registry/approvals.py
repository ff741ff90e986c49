"""Whose yes, no and waiver count for a version: four eyes. Pure.

An approver is never the author: not who asked for the run or declared what the loop trained, and not who released the version. The same holds
for who waives a gate.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flyball.clock import Instant, rfc3339
from flyball.evaluation.persons import Approved, approved, written
from flyball.records.base import State
from flyball.records.estimates import Asked, Outcome, Verdict
from flyball.records.training import MODEL_RUNS
from flyball.records.versions import Said, VersionRow, Waiver
from flyball.registry.told import count, gate_name, slice_name

LOOP = "loop"

NOBODY_ASKED = "a person's verdict"
"""What a person's no is called where no gate asks for a person."""


def authors(state: State, row: VersionRow) -> frozenset[str]:
    """Who made the version, here and in the environments before: who asked for a run that gave it, and who declared what it was to do."""
    found = set(row.taken.authors)
    for _, run in state.scan(MODEL_RUNS, f"{row.model}/"):
        if run.version == row.version:
            found |= {*run.declared_by, run.by}
    return frozenset(found - {LOOP, ""})


def standing(row: VersionRow, gates_digest: str) -> list[Approved]:
    """The yes that was said to the version as these gates judge it, once for each role; one said under other gates says nothing about these."""
    return [Approved(role, said.actor) for said in row.said if said.yes and said.gates_digest == gates_digest for role in said.roles]


def approvers(row: VersionRow) -> frozenset[str]:
    """Who said yes to the version as its gates judge it, and who has waived one of them."""
    given = {given.actor for given in standing(row, row.gates_digest)}
    return frozenset(given | {each.actor for each in row.waivers if each.gates_digest == row.gates_digest})


def denied(row: VersionRow) -> list[Said]:
    """Each no that was said to the version. It stands whatever the gates are by now: to forget a yes is safe, to forget a no is not."""
    return [said for said in row.said if not said.yes]


def lifted(row: VersionRow, verdicts: Sequence[Verdict], gates_digest: str, now: Instant) -> tuple[Verdict, ...]:
    """Verdicts of these gates, with what persons have said about the version: their yes, their no, what they wrote on its card, and
    the waivers that have not expired. Their no comes last: nothing lifts it.
    """
    live = [each for each in row.waivers if each.gates_digest == gates_digest and not expired(each, now)]
    found = [_waived(verdict, live) for verdict in written(approved(verdicts, standing(row, gates_digest)), row.blanks)]
    for said in denied(row):
        found = _with_no(found, said)
    return tuple(found)


def _with_no(verdicts: Sequence[Verdict], said: Said) -> list[Verdict]:
    why = f"{said.actor} said no ({', '.join(said.roles)}): {said.reason}"
    theirs = [bool({asked.role for asked in verdict.asks} & set(said.roles)) for verdict in verdicts]
    if not any(theirs):
        return [*verdicts, Verdict(check=NOBODY_ASKED, outcome=Outcome.FAIL, why=why)]
    return [
        msgspec.structs.replace(verdict, outcome=Outcome.FAIL, why=why) if mine else verdict
        for verdict, mine in zip(verdicts, theirs, strict=True)
    ]


def _waived(verdict: Verdict, live: Sequence[Waiver]) -> Verdict:
    if verdict.outcome not in (Outcome.FAIL, Outcome.INSUFFICIENT):
        return verdict
    # of several that were given, the one that lasts longest
    found = max((each for each in live if covers(each, verdict)), key=lambda each: (each.until == 0, each.until), default=None)
    if found is None:
        return verdict
    was = f"{verdict.outcome.value}{f': {verdict.why}' if verdict.why else ''}"
    return msgspec.structs.replace(verdict, outcome=Outcome.WAIVED, why=f"{waiver_text(found)}; it was {was}")


def waiver_text(waiver: Waiver) -> str:
    """A waiver in words: "waived by user:ben until 2026-09-01T00:00:00Z: too few nights"."""
    until = f" until {rfc3339(waiver.until)}" if waiver.until else ""
    return f"waived by {waiver.actor}{until}: {waiver.reason}"


def covers(waiver: Waiver, verdict: Verdict) -> bool:
    """Whether a waiver is of this verdict's gate, of all of it or of this slice of it, and of what it came to."""
    theirs = waiver.gate == gate_name(verdict.check) and waiver.slice in ("", slice_name(verdict.slice))
    return theirs and (verdict.outcome is not Outcome.FAIL or lifts_fail(waiver))


def lifts_fail(waiver: Waiver) -> bool:
    """Whether a waiver was given to a gate that failed. One that was given for want of data says nothing of what the data show later."""
    return not waiver.outcomes or Outcome.FAIL in waiver.outcomes


def expired(waiver: Waiver, now: Instant) -> bool:
    """Whether a waiver has run out: at its end it counts no more."""
    return 0 < waiver.until <= now


def run_out(row: VersionRow, now: Instant) -> list[Waiver]:
    """The waivers that a version passed by and that have expired since, with none in their place: their gates are open again.

    One that was given for want of data takes the place of none that was given to a fail: a waived verdict does not say which it was.
    Of more verdicts than its row lists, those that are not listed may be any gate's: there each expired waiver counts.
    """
    known = [each for each in row.waivers if each.gates_digest == row.gates_digest]
    over = [each for each in known if expired(each, now)]
    if not over:
        return []
    live = [each for each in known if not expired(each, now)]
    waived = [verdict for verdict in row.verdicts if verdict.outcome is Outcome.WAIVED]
    more = count(row, Outcome.WAIVED) > len(waived)

    def bare(ended: Waiver, verdict: Verdict) -> bool:
        return not any(covers(each, verdict) and lifts_fail(each) >= lifts_fail(ended) for each in live)

    return [each for each in over if more or any(covers(each, verdict) and bare(each, verdict) for verdict in waived)]


def doubts(row: VersionRow, now: Instant) -> list[str]:
    """The gates of a version that passed once and do not hold now, each with why."""
    over = [f"{one.gate}: its waiver expired at {rfc3339(one.until)}" for one in run_out(row, now)]
    stopped = [one for one in row.verdicts if one.outcome in (Outcome.FAIL, Outcome.INSUFFICIENT)]
    return [*over, *(f"{one.check}{f' in {one.slice}' if one.slice else ''}: {one.outcome.value}, {one.why}" for one in stopped)]


def asked(verdicts: Sequence[Verdict], *, everything: bool = False) -> tuple[Asked, ...]:
    """Whose yes is still asked for, each once; with `everything` also what was given already."""
    found = [one for verdict in verdicts if everything or verdict.outcome is Outcome.INSUFFICIENT for one in verdict.asks]
    return tuple(dict.fromkeys(found))
