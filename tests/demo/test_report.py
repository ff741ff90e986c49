"""What the bank saw, and the table that ends the demo."""

from __future__ import annotations

import dataclasses

from flyball.demo.report import Audit, BadCandidate, ContractSeen, Drift, Health, IncidentSeen, Quality, Report, StepTaken
from flyball.demo.table import rows
from flyball.demo.traffic import Asked, seen


def asked(number, at, *, right=True, defaulted=False, granted=True, status=200):
    return Asked(number, at, status, "1.0.0", 5.0 + number, granted=granted, right=right, defaulted=defaulted)


def test_quality_is_of_answers_whose_outcome_is_known():
    view = seen([asked(0, 10), asked(1, 11, right=False, defaulted=True), asked(2, 12, right=None, defaulted=None, granted=False)], 10, 20)
    assert (view.requests, view.known, view.quality, view.default_rate) == (3, 2, 0.5, 0.5)


def test_only_requests_of_the_span_count():
    view = seen([asked(0, 9), asked(1, 10), asked(2, 20)], 10, 20)
    assert view.requests == 1


def test_an_application_without_an_answer_is_an_error():
    view = seen([asked(0, 10), asked(1, 11, status=503, right=None, defaulted=None)], 10, 20)
    assert (view.http_errors, view.p99_ms) == (1, 5.0)


def test_of_nothing_nothing_is_seen():
    assert seen([], 0, 10).known == 0


GOOD = Report(
    elapsed_s=46.0,
    quality=Quality(0.93, 0.79, 0.89),
    default_rate=Quality(0.07, 0.21, 0.14),
    health_during=Health(12.0, 0),
    drift=Drift(640, 1415, 3.9, 25.7, 'purpose: "debt_consolidation" 0% → 16%', "purpose", "debt_consolidation"),
    contract=ContractSeen(
        "purpose: 41 of 212 new rows have a value that was never there: debt_consolidation (41)", ("debt_consolidation (41)",), 2.5
    ),
    retrained_version="1.1.0",
    rollout_steps=(StepTaken("shadow", 0.0, 18.0, ""), StepTaken("canary", 0.05, 21.0, ""), StepTaken("watching", 1.0, 25.6, "")),
    bad_candidate=BadCandidate("1.2.0", 22, 5, rolled_back=True, decision_to_effect_s=0.025),
    incident=IncidentSeen("inc_1", "concept_drift", "concept drift", 21.9),
    answered=9704,
    logged=9704,
    labels=8493,
    audit=Audit(verified=True, events=148, problems=()),
    failures=(),
)


def text(report):
    return "\n".join(f"{name} {line}" for name, line, _ in rows(report))


def test_the_table_tells_what_happened():
    told = text(GOOD)
    for part in (
        "93.0%",
        "79.0%",
        "89.0%",
        "debt_consolidation",
        "lending@1.1.0",
        "canary 5%",
        "lending@1.2.0 met 22 requests (the champion answered the 5 that it failed), rolled back 25 ms after the decision",
        "contract purpose: 41 of 212 new rows have a value that was never there: debt_consolidation (41) (after 2.5 s)",
        "25 ms",
        "9,704 = 9,704",
    ):
        assert part in told
    assert "FAILED" not in told


def test_a_bad_candidate_that_failed_no_request_is_told_so():
    alike = dataclasses.replace(GOOD, bad_candidate=BadCandidate("1.2.0", 1, 0, rolled_back=True, decision_to_effect_s=0.025))
    assert "lending@1.2.0 met 1 request and failed none, rolled back 25 ms after the decision" in text(alike)
    left = dataclasses.replace(GOOD, bad_candidate=BadCandidate("1.2.0", 40, 0, rolled_back=False, decision_to_effect_s=None))
    assert "lending@1.2.0 met 40 requests and failed none, NOT rolled back" in text(left)


def test_the_table_of_a_story_that_ended_early_has_dashes_and_names_what_failed():
    failed = dataclasses.replace(
        GOOD,
        quality=Quality(0.93, 0.79, None),
        drift=Drift(640, None, None, None, "", "", ""),
        retrained_version=None,
        rollout_steps=(),
        bad_candidate=None,
        incident=None,
        logged=9703,
        failures=("not within 25 s: the loop notices",),
    )
    told = text(failed)
    assert "FAILED not within 25 s: the loop notices" in told
    assert "9,704 ≠ 9,703" in told
