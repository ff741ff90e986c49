"""What outcomes say, and what they may not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.declare.model import Model
from flyball.evaluation.outcomes import DAY
from flyball.incidents.playbook import actions
from flyball.monitoring.outcomes import NO_TRIAL, added, effect_of, mean_of, merged, outcome_findings, relation_of, seen, value_of
from flyball.monitoring.rules import assess
from flyball.monitoring.state import MonitorState
from flyball.records.evidence import MOST
from flyball.records.outcomes import OutcomeCounts, OutcomeDay, OutcomesKept, Trial, TrialArm
from flyball.stats.businessmean import Arm, difference

ORDERS = fb.Dataset("orders", source="orders.csv", time="ts", columns={"customer": str, "worth": float})
OUTCOME = fb.Outcome("conversion", source=ORDERS, on="customer", column="worth", within="1d", how="count")


def model(*monitors: object) -> Model:
    data = fb.Dataset("asked", source="a.csv", time="ts", columns={"x": float, "customer": str, "region": str, "up": int})
    return fb.Model(
        "m",
        task="binary",
        data=data,
        label="up",
        inputs=["x", "customer", "region"],
        slices=["region"],
        outcomes=OUTCOME,
        monitors=monitors,
    )  # type: ignore[arg-type]


def day(at: int, n: int = 200, total: float = 20.0, **more: object) -> OutcomeDay:
    base = OutcomeDay(version="1.0.0", role="champion", slice="", day=at, asked=n, due=n, told=int(total), n=n, total=total, squares=total)
    return msgspec.structs.replace(base, **more)


def kept(*days: OutcomeDay, trials: tuple[Trial, ...] = ()) -> OutcomesKept:
    return OutcomesKept(
        model="m", at=1, counts=(OutcomeCounts(outcome="conversion", content="x", known=40 * DAY, days=days, trials=trials),)
    )


def test_a_share_has_wilsons_interval_and_a_mean_students() -> None:
    share, mean = mean_of(100, 10, 10, other=0), mean_of(100, 500.0, 3_000.0)
    assert (share.low, share.high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))
    assert mean.low is not None
    assert mean.high is not None
    assert mean.high - 5.0 == pytest.approx(5.0 - mean.low)
    assert mean_of(0, 0, 0).value is None


def test_a_mean_of_values_too_large_to_be_squared_has_no_interval_and_too_large_to_be_added_none() -> None:
    found = mean_of(100, 1e200, MOST)
    assert (found.value, found.low, "too large to be squared" in found.why) == (1e198, None, True)
    found = mean_of(100, MOST, MOST)
    assert (found.value, "too large to be added" in found.why) == (None, True)
    assert difference([Arm(new, 0.5, 2_000, 1e200, 1e300) for new in (True, False)]) is None


def test_days_that_are_counted_anew_take_the_place_of_what_was_known() -> None:
    before = (day(1), day(9, total=1.0), day(10, total=1.0))
    found = merged(before, (day(10, total=7.0),), 9 * DAY, 11 * DAY, Span.parse("9d"))
    assert [(one.day, one.total) for one in found] == [(10, 7.0)], "day 1 is too old, and nothing is left of day 9"


def test_a_monitor_looks_at_answers_that_are_due_and_fires_on_evidence_alone() -> None:
    declared = model(fb.metric("conversion").over("7d") >= 0.2)
    low = kept(*(day(at) for at in range(20, 40)))
    [found] = outcome_findings(declared, low, "1.0.0", 40 * DAY)
    assert (found.severity, found.standing, found.failure, found.effect) == ("alert", "settled", "outcome", pytest.approx(0.1))
    assert found.n == 1_600, "of seven days, and of the one that outcomes have"
    [held] = outcome_findings(model(fb.metric("conversion").over("7d") >= 0.05), low, "1.0.0", 40 * DAY)
    assert (held.severity, held.standing) == ("none", "settled")
    [few] = outcome_findings(declared, kept(day(39, n=50, total=1.0)), "1.0.0", 40 * DAY)
    assert (few.standing, few.why) == ("insufficient", "n=50 < 100")
    [nothing] = outcome_findings(declared, OutcomesKept(model="m"), "1.0.0", 40 * DAY)
    assert nothing.standing == "insufficient"


def test_a_monitor_by_slice_has_a_finding_for_each() -> None:
    declared = model(fb.metric("conversion").over("7d").by("region") >= 0.2)
    parts = kept(day(38), day(38, slice="region=north", total=60.0), day(38, slice="region=south"))
    found = {one.slice: one.severity for one in outcome_findings(declared, parts, "1.0.0", 40 * DAY)}
    assert found == {"region=north": "none", "region=south": "alert"}


class Compared(str):
    """A text that counts how often one is compared."""

    __slots__ = ()

    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)


def test_each_count_is_looked_at_once_however_many_values_a_slice_has() -> None:
    declared = model(fb.metric("conversion").over("100d").by("region") >= 0.2)
    parts = kept(*(day(at, slice=Compared(f"region={place}")) for at in range(20) for place in range(50)), *(day(at) for at in range(20)))
    Compared.times = 0
    assert len(list(outcome_findings(declared, parts, "1.0.0", 40 * DAY))) == 50
    found = seen(declared, OUTCOME, parts, "1.0.0")
    assert (len(found.slices), found.slices["region=7"].n, found.value.n) == (50, 4_000, 4_000)
    assert Compared.times < 5 * 1_020


def test_the_counts_of_the_log_are_not_asked_for_an_outcome() -> None:
    findings = assess(model(fb.metric("conversion") >= 0.2), MonitorState(model="m"), now=DAY).findings
    assert not [one for one in findings if one.standing == "broken" or one.monitor.startswith("conversion")]


def test_a_lost_outcome_is_a_ticket_and_nothing_is_taken_back_for_it() -> None:
    assert actions(model().playbook, "outcome") == ("ticket",)


def test_days_of_better_answers_that_bring_more_are_a_relation_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    days = []
    for at in range(40):
        accuracy = rng.uniform(0.6, 0.9)
        days.append(day(at, n=500, total=float(rng.binomial(500, accuracy / 5)), labelled=500, loss=500 * (1 - accuracy)))
    found = relation_of(days, "binary").daily
    assert found.value is not None
    assert found.low is not None
    assert found.low > 0
    assert found.n == 40
    few = relation_of(days[:5], "binary").daily
    assert few.value is None
    assert few.why.startswith("5 days have")


def test_what_right_and_wrong_answers_brought_is_told_apart_with_its_interval() -> None:
    whole = day(1, n=2_000, right_n=1_500, right_total=225.0, right_squares=225.0, wrong_n=500, wrong_total=25.0, wrong_squares=25.0)
    found = relation_of([whole], "binary")
    assert (found.right.value, found.wrong.value) == (0.15, 0.05)
    assert found.difference.low is not None
    assert 0.05 < found.difference.low < 0.1
    assert relation_of([day(1)], "binary").difference.value is None


def arm(*, new: bool, n: int, total: float) -> TrialArm:
    return TrialArm(new=new, weight=5_000, units=n, n=n, total=total, squares=total)


def trial_of(*arms: TrialArm, **more: object) -> Trial:
    return msgspec.structs.replace(Trial(rollout="ro_1", new="1.1.0", old="1.0.0", started=1, arms=arms, bounded=True), **more)


EVEN = (arm(new=True, n=20_000, total=2_600.0), arm(new=False, n=20_000, total=2_000.0))


def test_an_effect_is_claimed_of_units_that_were_dealt_at_random() -> None:
    found = effect_of(trial_of(*EVEN)).difference
    assert found.value == pytest.approx(0.03)
    assert found.low is not None
    assert 0 < found.low < 0.03


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (trial_of(arm(new=True, n=20_000, total=2_600.0), arm(new=False, n=22_000, total=2_000.0)), "were not dealt as planned"),
        (trial_of(*EVEN, mixed=40, joined=1_000), "4% of the keys met both versions"),
        (trial_of(*EVEN, bounded=False), "where extreme values are cut off"),
        (trial_of(arm(new=True, n=900, total=90.0), arm(new=False, n=900, total=90.0)), "900 units of the smaller side"),
        (trial_of(), "no unit is due yet"),
        (
            trial_of(
                TrialArm(new=True, weight=5_000, units=20_000, n=20_000, total=1e200, squares=MOST),
                TrialArm(new=False, weight=5_000, units=20_000, n=20_000, total=2_000.0, squares=2_000.0),
            ),
            "too large to be squared",
        ),
    ],
)
def test_no_effect_is_claimed_where_something_speaks_against_it(given: Trial, why: str) -> None:
    found = effect_of(given).difference
    assert found.value is None
    assert why in found.why


def test_units_that_answer_on_one_side_alone_are_no_fair_comparison() -> None:
    """A mean is known of those who answer: that they do so more often under one version is told."""
    arms = (
        TrialArm(new=True, weight=5_000, units=20_000, n=9_000, total=900.0, squares=900.0),
        TrialArm(new=False, weight=5_000, units=20_000, n=6_000, total=600.0, squares=600.0),
    )
    assert "not dealt as planned" in effect_of(trial_of(*arms)).difference.why


def test_another_version_after_a_release_is_no_experiment() -> None:
    both = (day(1), day(2, version="1.1.0", total=90.0))
    found = seen(model(), OUTCOME, kept(*both), "1.1.0")
    assert (found.value.value, found.effects, found.no_effect) == (0.45, (), NO_TRIAL)
    assert {name: one.value for name, one in found.versions.items()} == {"1.0.0": 0.1, "1.1.0": 0.45}


def test_counts_add_up() -> None:
    whole = added([day(1, lag={3: 1}), day(2, lag={3: 2, 4: 1})])
    assert whole is not None
    assert (whole.n, whole.lag) == (400, {3: 3, 4: 1})
    assert value_of(None).value is None
