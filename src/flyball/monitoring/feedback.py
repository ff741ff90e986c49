"""What is said of a version that learned from the model's own answers. Pure.

A share of copied labels is evidence; that there is none proves nothing where rows could not be told to be the model's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flyball.evaluation.feedback import FEWEST
from flyball.ledger.bounds import clipped
from flyball.records.alerts import AlertRow, Finding
from flyball.records.feedback import AnswerCoverage, FeedbackExamined
from flyball.stats.intervals import wilson

OWN = "it does not learn its own answers"
"""Name of the built-in monitor of labels, and columns, that are copies of answers."""

SELECTIVE = "labels come whatever it answers"
"""Name of the built-in monitor of labels that exist for some answers alone."""

FAILURE = "feedback"

WARN, ALERT = 0.05, 0.20
"""Shares of labels that are surely copies."""

APART = 0.1
"""Labels of one answer are at most so many times as frequent as those of another for it to be selective."""


def feedback_findings(found: FeedbackExamined | None, standing: Sequence[AlertRow] = ()) -> Iterator[Finding]:
    """What is found of the newest version. Where it was not looked into, nothing is known of what alerts are `standing`; a column that it holds no
    answers in is told to be over.
    """
    if found is None or found.why:
        why = (
            "the newest version is not looked at yet"
            if found is None
            else f"{found.model}@{found.version} was not looked into: {found.why}"
        )
        yield from (_said(one.monitor, "none", why, column=one.finding.column, known=False) for one in standing)
        return
    over = {(one.monitor, one.finding.column) for one in standing}
    ref = f"{found.model}@{found.version}"
    low = found.copied.low
    severity = "none" if low is None or low < WARN else "warn" if low < ALERT else "alert"
    answered = f"{ref} learned from {found.rows:,} labelled rows of {found.data}, {found.answered:,} of which the model itself had answered"
    copied = f"; {found.copied.why}" + ("" if low is None else f": at least {100 * low:.3g}% of these labels are copies of its answers")
    # that it had answered none says nothing new of a version, and that what another one had learned is over
    known = low is not None or (not found.answered and (OWN, "") in over)
    yield _said(OWN, severity, answered + copied, effect=found.copied.value, n=found.copied.n, known=known)
    for name, share in found.columns.items():
        why = f"{answered}; {name} is the answer's own score in {100 * share:.3g}% of them"
        yield _said(OWN, "alert", why, column=name, effect=share, n=found.answered)
    for name in sorted(column for monitor, column in over if monitor == OWN and column and column not in found.columns):
        yield _said(OWN, "none", f"{answered}; {name} is not the answer's own score", column=name, n=found.answered)
    apart = selective(found.coverage)
    if apart is None:
        told = _told(found.coverage)
        yield _said(
            SELECTIVE,
            "none",
            told or "too few answers have had the time for a label",
            n=sum(one.asked for one in found.coverage),
            known=bool(told),
        )
        return
    most, least = apart
    why = (
        f"{ref}: {_share(most)} have a label, {_share(least)}: what it learns and is judged on says nothing of those answered {least.answer}; "
        "label some of them whatever it answers"
    )
    yield _said(SELECTIVE, "warn", why, effect=least.labelled / least.asked, n=least.asked)


def selective(coverage: Sequence[AnswerCoverage]) -> tuple[AnswerCoverage, AnswerCoverage] | None:
    """The answers that are labelled most and least often, where the least are surely labelled less than a tenth as often; None where none are."""
    known = [one for one in coverage if one.asked >= FEWEST]
    if len(known) < 2:
        return None
    most, least = max(known, key=lambda one: one.labelled / one.asked), min(known, key=lambda one: one.labelled / one.asked)
    apart = wilson(least.labelled, least.asked).high <= APART * wilson(most.labelled, most.asked).low
    return (most, least) if apart else None


def _share(one: AnswerCoverage) -> str:
    return f"{100 * one.labelled / one.asked:.3g}% of {one.asked:,} answered {one.answer}"


def _told(coverage: Sequence[AnswerCoverage]) -> str:
    known = [one for one in coverage if one.asked >= FEWEST]
    return f"labelled: {'; '.join(_share(one) for one in known[:4])}" if len(known) >= 2 else ""


def _said(
    monitor: str, severity: str, why: str, *, column: str = "", effect: float | None = None, n: int = 0, known: bool = True
) -> Finding:
    return Finding(
        monitor=monitor,
        severity=severity,  # type: ignore[arg-type]  # one of its words
        column=column,
        effect=effect,
        n=n,
        why=clipped(why),
        failure=FAILURE,
        standing="settled" if known else "insufficient",
    )
