"""A bank that nobody breaks, for nine days: long enough for what judges by the week. Apart from the broken one, in whose next hours thirty times as many
requests arrive as in those days.
"""

from __future__ import annotations

import pytest

from flyball.loop.memory import load
from flyball.monitoring.volume import volume_findings

from .bank import Bank
from .hours import Hours
from .slow_bank import bank, hours, minutes, passes

__all__ = ["bank", "hours"]

pytestmark = pytest.mark.process


@minutes
def test_a_bank_that_nobody_breaks_has_no_incident_in_nine_days(bank: Bank, hours: Hours) -> None:
    """Until what needs a week has judged as well: windows of a week, and whether requests arrive as they did a week before."""
    passes(bank, hours, "9d", "1h")
    bank.quiet()
    assert bank.share_ok(15) == 1.0
    bank.wait(lambda: "all monitors are quiet" in bank.typed("monitor", "credit"), "a monitor lacks data")
    with bank.project.opened() as wired:
        kept = load(wired.ports.memory)
    monitor = kept.monitor("credit")
    assert {trail.column for trail in monitor.trails if trail.pace == "slow" and trail.windows} >= {"amount", "prediction"}
    arrive = list(volume_findings(monitor.arrivals, int(hours.now() * 1e6), kept.heard))
    assert [(one.severity, one.standing) for one in arrive] == [("none", "settled")], arrive
