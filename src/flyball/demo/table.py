"""The report as the table that ends the demo."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.demo.report import Report

Row = tuple[str, str, str]
"""Name, text, and a mood: good, bad, or none."""


def rows(report: Report) -> Iterator[Row]:
    """Every line of the table. What the story did not come to is a dash."""
    quality, rate, drift = report.quality, report.default_rate, report.drift
    yield "", f"{'before':>8}{'during':>10}{'after':>10}", ""
    yield (
        "answers true",
        "".join(_share(value, width) for value, width in ((quality.before, 8), (quality.during, 10), (quality.after, 10))),
        "",
    )
    yield "loans in default", "".join(_share(value, width) for value, width in ((rate.before, 8), (rate.during, 10), (rate.after, 10))), ""
    health = report.health_during
    if health is not None:
        yield "internal health", f"p99 {health.p99_ms:.0f} ms, {health.http_errors} errors while it went wrong: nothing to see there", ""
    yield "detected after", _seconds(drift.detect_s) + _requests(drift.onset_request, drift.detected_request), ""
    yield "cause", drift.cause or "–", ""
    if report.contract is not None:
        yield "contract", f"{report.contract.text} (after {_seconds(report.contract.after_s)})", ""
    yield "recovered after", _seconds(drift.recover_s) + (f": lending@{report.retrained_version}" if report.retrained_version else ""), ""
    for step in report.rollout_steps:
        if step.step in ("shadow", "canary", "watching"):
            name = {"watching": "champion"}.get(step.step, step.step)
            yield "", f"{step.at_s:6.1f} s  {name} {step.traffic:.0%}" if step.traffic else f"{step.at_s:6.1f} s  {name}", ""
    if report.incident is not None:
        mitigated = report.incident.mitigated_s
        yield "incident", f"{report.incident.what}, mitigated after {_seconds(mitigated)}", ""
    yield from _bad(report)
    same = report.answered == report.logged
    yield (
        "answered, logged",
        f"{report.answered:,} = {report.logged:,}" if same else f"{report.answered:,} ≠ {report.logged:,}",
        "good" if same else "bad",
    )
    audit = report.audit
    yield "ledger", f"{audit.events} events, {'verified' if audit.verified else 'NOT verified'}", "good" if audit.verified else "bad"
    yield "took", f"{report.elapsed_s:.0f} s", ""
    for failure in report.failures:
        yield "FAILED", failure, "bad"


def _bad(report: Report) -> Iterator[Row]:
    bad = report.bad_candidate
    if bad is None:
        return
    effect = "–" if bad.decision_to_effect_s is None else f"{1000 * bad.decision_to_effect_s:.0f} ms"
    text = f"lending@{bad.version} met {bad.requests_served} request{'' if bad.requests_served == 1 else 's'}{_failed(bad.failed)}, "
    text += f"rolled back {effect} after the decision" if bad.rolled_back else "NOT rolled back"
    yield "bad candidate", text, "good" if bad.rolled_back else "bad"


def _failed(count: int) -> str:
    """What became of the requests that it could not answer."""
    return f" (the champion answered the {count} that it failed)" if count else " and failed none"


def _share(value: float | None, width: int) -> str:
    return f"{'–' if value is None else f'{value:.1%}':>{width}}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _requests(onset: int | None, detected: int | None) -> str:
    return "" if onset is None or detected is None else f", {detected - onset:,} applications"
