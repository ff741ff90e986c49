"""What the story came to, in numbers that were measured: from the ledger, the prediction log, and the bank's own books."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flyball.clock import Instant
from flyball.demo.project import MODEL
from flyball.demo.story import Course, Story
from flyball.demo.traffic import Seen, seen
from flyball.demo.world import BECOMES
from flyball.ledger.verify import VerifyReport, verify
from flyball.records.alerts import AlertMoved, AlertState
from flyball.records.data import DataCommitted, DataRefused
from flyball.records.incidents import INCIDENTS, IncidentRow
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState
from flyball.serving import wal
from flyball.wiring import Wired

FELL = 0.05
"""By how much quality has to fall for the story to be one."""


@dataclass(frozen=True)
class Quality:
    """Share of answers that came true, of those whose outcome became known; None where the story did not get so far."""

    before: float | None
    during: float | None
    after: float | None


@dataclass(frozen=True)
class Drift:
    """What went wrong, and what the loop made of it. Requests are counted from 0; `column` and `value` are what the cause names."""

    onset_request: int | None
    detected_request: int | None
    detect_s: float | None
    recover_s: float | None
    cause: str
    column: str
    value: str


@dataclass(frozen=True)
class ContractSeen:
    """What the contract of the data set said of the upstream job's change, `after_s` seconds after it; `values` are the new ones, counted."""

    text: str
    values: tuple[str, ...]
    after_s: float


@dataclass(frozen=True)
class StepTaken:
    """An arrow of the retrained version's rollout, `at_s` seconds after the beginning of the drift."""

    step: str
    traffic: float
    at_s: float
    why: str


@dataclass(frozen=True)
class BadCandidate:
    """`requests_served`: requests that met the candidate; `failed` of them it could not answer, and the champion did instead."""

    version: str
    requests_served: int
    failed: int
    rolled_back: bool
    decision_to_effect_s: float | None


@dataclass(frozen=True)
class IncidentSeen:
    """The incident of the drift. `mitigated_s`: seconds from its opening until another champion was in force everywhere."""

    id: str
    failure_mode: str
    what: str
    mitigated_s: float | None


@dataclass(frozen=True)
class Health:
    """What ordinary monitoring shows while the model goes wrong."""

    p99_ms: float
    http_errors: int


@dataclass(frozen=True)
class Audit:
    """Whether everything that is stored is what the events say."""

    verified: bool
    events: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The demo's document. `failures` is empty when the loop did its job."""

    elapsed_s: float
    quality: Quality
    default_rate: Quality
    health_during: Health | None
    drift: Drift
    contract: ContractSeen | None
    retrained_version: str | None
    rollout_steps: tuple[StepTaken, ...]
    bad_candidate: BadCandidate | None
    incident: IncidentSeen | None
    answered: int
    logged: int
    labels: int
    audit: Audit
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Logged:
    """The prediction log, counted: answers, and what the bad candidate met."""

    answers: int
    met: int
    failed: int


def count_log(log: Path, bad: str) -> Logged:
    """Read every frame. `bad` is the candidate's version, or empty. Raises Corrupt."""
    answered: set[str] = set()
    met: set[str] = set()
    failed: set[str] = set()
    for segment in wal.segments(log):
        offset = 0
        while True:
            records, after = wal.read(segment.path, offset)
            for record in records:
                if record.kind != "answer":
                    continue
                if record.output:
                    answered.add(record.request_id)
                if bad and record.version == f"{MODEL}@{bad}":
                    met.add(record.request_id)
                    if not record.output:
                        failed.add(record.request_id)
            if not records:
                break
            offset = after
    return Logged(len(answered), len(met), len(failed))


def make_report(story: Story, wired: Wired, *, began: float) -> Report:
    """Measure the story. Traffic has ended; whether `up` still runs does not matter. `began`: on the monotonic clock, s."""
    course, bank = story.course, story.bank
    asked = bank.asked if bank else []
    counted = count_log(wired.layout.log, course.bad)
    audit = verify(wired.ledger, wired.blobs)
    spans = _spans(course, story)
    views = {name: seen(asked, since, until) if until else None for name, (since, until) in spans.items()}
    quality, rate = _of(views, "quality"), _of(views, "default_rate")
    during = views["during"]
    drift = _drift(story)
    contract = _contract(story)
    bad = _bad(course, counted)
    incident = _incident(story, wired)
    answered = bank.answered if bank else 0
    failures = (
        *course.failures,
        *_unmet(quality, drift, contract, bad, audit),
        *_lost(answered, bank.failed if bank else 0, counted.answers),
    )
    return Report(
        elapsed_s=round(time.monotonic() - began, 2),
        quality=quality,
        default_rate=rate,
        health_during=Health(round(during.p99_ms, 1), during.http_errors) if during else None,
        drift=drift,
        contract=contract,
        retrained_version=course.retrained or None,
        rollout_steps=_steps(story),
        bad_candidate=bad,
        incident=incident,
        answered=answered,
        logged=counted.answers,
        labels=bank.labels if bank else 0,
        audit=Audit(audit.verified, audit.events, tuple(str(problem) for problem in audit.problems)),
        failures=failures,
    )


def _spans(course: Course, story: Story) -> dict[str, tuple[Instant, Instant]]:
    """Before the drift; from its beginning until the retrained version is in force; from then until the partner comes. 0: not reached."""
    end = story.tape.events[-1].at if story.tape.events else 0
    promoted = course.promoted.at if course.promoted else 0
    return {
        "before": (course.steady_at, course.onset_at),
        "during": (course.onset_at, promoted or end) if course.onset_at else (0, 0),
        "after": (promoted, course.partner_at or end) if promoted else (0, 0),
    }


def _of(views: dict[str, Seen | None], name: str) -> Quality:
    return Quality(
        **{key: round(float(getattr(view, name)), 4) if view is not None and view.known else None for key, view in views.items()}
    )


def _drift(story: Story) -> Drift:
    course = story.course
    onset, incident = course.onset_at, course.incident
    asked = story.bank.asked if story.bank else []
    found = story.tape.all(AlertMoved, lambda event: event.target == AlertState.FIRING and event.finding.failure == "schema_change")
    # a warning may come before the alert; the alert is what the incident rests on
    named = max(found, key=lambda one: one.event.finding.severity == "alert", default=None)
    return Drift(
        onset_request=course.onset_request if onset else None,
        detected_request=sum(one.at < incident.at for one in asked) if incident else None,
        detect_s=round((incident.at - onset) / 1e6, 2) if incident else None,
        recover_s=round((course.promoted.at - onset) / 1e6, 2) if course.promoted else None,
        cause=named.event.finding.why if named else "",
        column=named.event.finding.column if named else "",
        value=named.event.finding.value if named else "",
    )


def _contract(story: Story) -> ContractSeen | None:
    """The first look at the data in which the contract names a value of `purpose` that was never there."""
    onset = story.course.onset_at
    looks = story.tape.all(DataCommitted) + story.tape.all(DataRefused)
    for found in sorted(looks, key=lambda one: one.seq):
        for finding in found.event.findings:
            if onset and found.at >= onset and (finding.rule, finding.column) == ("unseen", "purpose"):
                return ContractSeen(finding.text, finding.values, round((found.at - onset) / 1e6, 2))
    return None


def _steps(story: Story) -> tuple[StepTaken, ...]:
    course = story.course
    plan = story.tape.first(RolloutPlanned, lambda event: event.rollout == course.rollout)
    if plan is None:
        return ()
    steps = plan.event.steps
    found = []
    for moved in story.tape.all(RolloutMoved, lambda event: event.rollout == course.rollout):
        state = moved.event.target
        traffic = 1.0 if state in (RolloutState.WATCHING, RolloutState.COMPLETED) else 0.0
        if state == RolloutState.CANARY:
            traffic = steps[moved.event.step].weight / 10_000
        found.append(StepTaken(state.value, traffic, round((moved.at - course.onset_at) / 1e6, 2), moved.event.why))
    return tuple(found)


def _bad(course: Course, counted: Logged) -> BadCandidate | None:
    if not course.bad:
        return None
    effect = round(course.back.event.ms / 1000, 3) if course.back else None
    return BadCandidate(course.bad, counted.met, counted.failed, rolled_back=course.back is not None, decision_to_effect_s=effect)


def _incident(story: Story, wired: Wired) -> IncidentSeen | None:
    opened = story.course.incident
    row: IncidentRow | None = wired.ledger.state().get(INCIDENTS, opened.event.incident) if opened else None
    if row is None:
        return None
    observed = story.course.mitigated
    mitigated = round((observed.at - row.opened_at) / 1e6, 2) if observed else None
    return IncidentSeen(row.incident, row.failure_mode, row.what, mitigated)


def _unmet(quality: Quality, drift: Drift, contract: ContractSeen | None, bad: BadCandidate | None, audit: VerifyReport) -> Sequence[str]:
    """What the loop should have come to, and did not. An act that did not come about is told by the story itself."""
    found = []
    before, during, after = quality.before, quality.during, quality.after
    if before is not None and during is not None and during > before - FELL:
        found.append(f"nothing went wrong: quality was {before:.3f} before, {during:.3f} during")
    if before is not None and during is not None and after is not None and after < (before + during) / 2:
        found.append(f"quality did not come back: {before:.3f} before, {during:.3f} during, {after:.3f} after")
    if after is not None and (drift.column, drift.value) != ("purpose", BECOMES):
        found.append(f"the cause was not named: column purpose, value {BECOMES}")
    if after is not None and not (contract and any(BECOMES in value for value in contract.values)):
        found.append(f"the contract of the data did not name {BECOMES}")
    if bad is not None and bad.decision_to_effect_s is not None and bad.decision_to_effect_s > 1:
        found.append(f"the roll-back took {bad.decision_to_effect_s} s to be in force")
    if not audit.verified:
        found.append(f"the ledger does not verify: {audit.problems[0]}")
    return found


def _lost(answered: int, failed: int, logged: int) -> Sequence[str]:
    found = []
    if failed:
        found.append(f"{failed} applications got no answer")
    if answered != logged:
        found.append(f"{answered} answers were given, {logged} are in the log")
    return found
