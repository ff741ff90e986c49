"""What `status` says of an open incident is what is wrong now, and what is due next."""

import msgspec
import pytest

from flyball.cli.status import _clock, _firing_now
from flyball.ledger.projection import MemoryProjection
from flyball.records.alerts import ALERTS, AlertRow, AlertState, Finding
from flyball.records.incidents import IncidentRow, IncidentState

MINUTE = 60_000_000
ROW = IncidentRow(
    incident="inc", model="m", failure_mode="schema_change", alert="m/requests/purpose", what="schema change", cause="purpose: new", owner="",
    state=IncidentState.OPEN, opened_at=0, mitigate_by=5 * MINUTE, review_by=1_440 * MINUTE, root_cause_by=0, actions=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("state", "minute", "said"),
    [
        (IncidentState.OPEN, 2, "mitigation due in 3 m"),
        (IncidentState.MITIGATING, 6, "mitigation overdue"),
        (IncidentState.MITIGATED, 720, "review due in 12 h"),
        (IncidentState.MITIGATED, 1_441, "review overdue"),
    ],
)
def test_the_clock_that_runs_is_told(state: IncidentState, minute: int, said: str) -> None:
    assert _clock(msgspec.structs.replace(ROW, state=state), minute * MINUTE) == said


def test_what_fires_now_is_told_where_what_it_opened_for_is_over() -> None:
    state = MemoryProjection()

    def alert(column: str, stands: AlertState, failure: str = "schema_change") -> None:
        finding = Finding(monitor="requests", severity="alert", column=column, why=f"{column}: nulls 0% → 100%", failure=failure)
        row = AlertRow(key=f"m/requests/{column}", model="m", monitor="requests", state=stands, episode=1, since=0, finding=finding)
        state.put(ALERTS, row.key, row)

    alert("purpose", AlertState.FIRING)
    alert("amount", AlertState.FIRING)
    alert("age", AlertState.FIRING, "input_drift")
    assert _firing_now(state, ROW) == [], "its own cause stands"
    alert("purpose", AlertState.RESOLVED)
    assert _firing_now(state, ROW) == ["amount: nulls 0% → 100%"]
    assert _firing_now(state, msgspec.structs.replace(ROW, alert="")) == [], "a complaint is about no alert"
