"""A feed of labels that is gone is an alert; fewer labels, and a model that never had any, are not."""

from __future__ import annotations

import msgspec
import pytest

from flyball.monitoring import rules
from flyball.monitoring.learning import Seen
from flyball.monitoring.outage import outage
from flyball.monitoring.state import MonitorState, absorb
from flyball.records.evidence import Batch

from .conftest import DAY, HOUR, START, make_model, quality


def days(shares: list[float], n: int = 200) -> MonitorState:
    """A day for each share of matured rows that got a label, hour by hour."""
    state = MonitorState(model="m", version="1.0.0", m0=0.4)
    for day, share in enumerate(shares):
        for hour in range(24):
            until = START + day * DAY + (hour + 1) * HOUR
            whole = quality(round(n / 24 * share), 0, until)
            state = absorb(state, Batch(until=until, quality=(msgspec.structs.replace(whole, matured=round(n / 24)),)), ())
    return state


def said(shares: list[float], n: int = 200) -> tuple[str, str]:
    state, now = days(shares, n), START + len(shares) * DAY
    [found] = [one for one in rules.assess(make_model(), state, now=now).findings if one.monitor == rules.LABELS]
    return found.severity, found.why


def test_labels_that_stop_altogether_are_an_alert_within_a_day() -> None:
    severity, why = said([0.9] * 8 + [0.0])
    assert severity == "alert"
    assert why.startswith("labels (y) have stopped: ")
    assert why.endswith("in the week before")


@pytest.mark.parametrize("after", [3, 9, 20])
def test_the_alert_lasts_as_long_as_the_outage(after: int) -> None:
    assert said([0.9] * 8 + [0.0] * after)[0] == "alert"


@pytest.mark.parametrize(
    ("shares", "n"),
    [
        ([0.9] * 9, 200),
        ([0.9] * 8 + [0.3], 200),
        ([0.5] * 8 + [0.0], 200),
        ([0.0] * 9, 200),
        ([0.9] * 8 + [0.0], 48),
        ([0.9] * 8 + [0.0, 0.9], 200),
    ],
    ids=["they come", "fewer come", "they never came for most", "none ever came", "too few rows", "they came back"],
)
def test_what_is_no_outage_raises_no_alert(shares: list[float], n: int) -> None:
    assert outage(days(shares, n), START + len(shares) * DAY, monitor="labels arrive", label="good") is None
    assert said(shares, n)[0] != "alert"


def test_of_a_model_that_is_served_elsewhere_labels_are_missed_once_they_are_no_more_on_their_way() -> None:
    seen = (Seen(version="7", rows=200),)

    def after(gone: int) -> str:
        state = msgspec.structs.replace(days([0.9] * 8 + [0.0] * gone), seen=seen)
        found = rules.assess(make_model(), state, now=START + (8 + gone) * DAY).findings
        return next(one.severity for one in found if one.monitor == rules.LABELS)

    assert [after(gone) for gone in (1, 2, 3, 4)] == ["none", "none", "alert", "alert"]
