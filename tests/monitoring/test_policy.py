"""What answers and does not hold the declared gates is said, and what holds them is not."""

from __future__ import annotations

import pytest

from flyball.monitoring.policy import policy_findings
from flyball.records.estimates import Outcome, Verdict
from flyball.records.versions import VersionRow, VersionState, Waiver

DAY = 86_400_000_000
NOW = 100 * DAY


def champion(*outcomes: Outcome, until: int | None = None) -> VersionRow:
    verdicts = tuple(Verdict(check=f"gate {place}", outcome=outcome, why="0.3") for place, outcome in enumerate(outcomes))
    waivers = (
        () if until is None else (Waiver(gate="gate 0", slice="", at=0, actor="user:ben", reason="for now", until=until, gates_digest="g"),)
    )
    return VersionRow(
        model="m", version="1.0.0", state=VersionState.DEPLOYED, run="r", artifact="a" * 64, result="", version_digest="v", policy_digest="p",
        gates_digest="g", data={}, metrics={}, registered_at=0, verdicts=verdicts, waivers=waivers,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "severity"),
    [
        (champion(Outcome.PASS, Outcome.PASS), "none"),
        (champion(), "none"),
        (champion(Outcome.PASS, Outcome.FAIL), "alert"),
        (champion(Outcome.PASS, Outcome.INSUFFICIENT), "warn"),
        (champion(Outcome.WAIVED, until=NOW + DAY), "none"),
        (champion(Outcome.WAIVED, until=0), "none"),
        (champion(Outcome.WAIVED, until=NOW - 1), "alert"),
    ],
    ids=["holds", "no gates", "fails", "lacks data", "waived", "waived for ever", "its waiver ran out"],
)
def test_a_version_that_answers_holds_the_declared_gates_or_is_a_violation(row: VersionRow, severity: str) -> None:
    [found] = policy_findings(row, "g", NOW)
    assert (found.severity, found.failure) == (severity, "policy_violation")
    if severity == "alert":
        assert found.why.startswith("1.0.0 answers, and does not hold: gate ")


def test_gates_that_have_not_judged_it_yet_say_nothing_of_it() -> None:
    [found] = policy_findings(champion(Outcome.FAIL), "others", NOW)
    assert (found.severity, found.why) == ("none", "the gates were declared anew and have not judged 1.0.0 yet")


def test_without_a_champion_there_is_nothing_to_say() -> None:
    assert list(policy_findings(None, "g", NOW)) == []
