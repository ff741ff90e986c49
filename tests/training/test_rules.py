"""When a run is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.declare.costs import price_setting
from flyball.declare.policy import Retrain
from flyball.training.rules import Past, Spent, cooldown, due, held_back, next_due

DAY = int(Span.parse("1d"))
T0 = 20_000 * DAY
POLICY = Retrain(every="30d", cooldown="10d", max_runs="4/60d", new_labels=1_000)


def asked(policy=POLICY, *, day: float, attempt: float = 0, champion: float = 0, alarm=None, labels=0, runs=(), holdout=None):
    return due(
        policy,
        Past(T0 + int(attempt * DAY), T0 + int(champion * DAY), runs=[T0 + int(each * DAY) for each in runs], holdout=holdout),
        now=T0 + int(day * DAY),
        alarm=alarm,
        new_labels=labels,
    )


def test_an_alarm_is_due_after_the_cool_down_and_not_before():
    assert asked(day=9.9, alarm="accuracy < at_release") is None
    assert asked(day=10, alarm="accuracy < at_release") == ("monitor", "accuracy < at_release")


def test_the_schedule_counts_from_the_last_attempt_not_from_the_champion():
    assert asked(day=31, attempt=5) is None
    assert asked(day=35, attempt=5).trigger == "schedule"
    assert "every 30d" in asked(day=35, attempt=5).reason


def test_enough_new_labels_are_a_reason():
    assert asked(day=12, labels=999) is None
    assert asked(day=12, labels=1_000).reason == "1,000 new labels since the last attempt, 1,000 wanted"


def test_an_alarm_is_named_before_the_schedule():
    assert asked(day=31, alarm="drift").trigger == "monitor"


def test_no_more_than_max_runs_in_their_span():
    runs = (-20, -10, -5, 0)
    assert asked(day=31, runs=runs) is None
    assert asked(day=40.1, runs=runs).trigger == "schedule"


def test_nothing_is_due_before_a_first_attempt():
    assert due(POLICY, Past(), now=T0, alarm="x", new_labels=9_999) is None
    assert next_due(POLICY, Past(), now=T0) is None


def test_a_cool_down_that_is_not_declared_is_ten_days_and_never_shorter_than_the_hold_out():
    assert cooldown(Retrain(), None) == Span.parse("10d")
    assert cooldown(Retrain(), Span.parse("14d")) == Span.parse("14d")
    assert asked(Retrain(), day=13, alarm="x", holdout=Span.parse("14d")) is None


def test_what_an_alarm_waits_for_is_told():
    week, slow = Span.parse("7d"), Retrain(cooldown="10d", max_runs="2/60d")

    def at(day: float, **past):
        return held_back(slow, Past(T0, T0, holdout=week, **past), now=T0 + int(day * DAY))

    assert at(5) == (T0 + 10 * DAY, "the cool-down since the last attempt")
    assert at(10) is None
    assert at(21, runs=[T0 - 10 * DAY, T0]) == (T0 + 50 * DAY, "max_runs 2/60d")


def test_a_policy_without_triggers_is_never_due():
    assert asked(Retrain(), day=400) is None
    assert next_due(Retrain(), Past(T0, T0), now=T0 + 400 * DAY) is None


@given(
    every=st.none() | st.integers(1, 60),
    cool=st.integers(0, 30),
    most=st.none() | st.integers(1, 4),
    runs=st.lists(st.integers(-80, 0), max_size=6),
    costs=st.none() | st.lists(st.none() | st.integers(0, 9), max_size=6),
    day=st.integers(0, 120),
)
def test_nothing_becomes_due_by_time_alone_before_next_due(every, cool, most, runs, costs, day):
    budget = "10 EUR/20d" if costs is not None else None
    policy = Retrain(every=f"{every}d" if every else None, cooldown=f"{cool}d", max_runs=f"{most}/30d" if most else None, budget=budget)
    starts = [T0 + each * DAY for each in runs]
    past = Past(T0, T0, runs=starts, spent=[Spent(*each) for each in zip(starts, costs or (), strict=False)])
    now = T0 + day * DAY

    def at(moment: int):
        return due(policy, past, now=moment, alarm=None, new_labels=0)

    following = next_due(policy, past, now=now)
    if every is None:
        assert at(now) is None
        return
    assert following is not None
    if at(now) is None:
        assert following > now
        assert at(following - 1) is None
        assert at(following) is not None
    else:
        assert following <= now


@pytest.mark.parametrize("alarm", [None, "x"])
def test_what_holds_an_alarm_back_ends_at_next_due(alarm):
    now = T0 + 3 * DAY
    assert next_due(POLICY, Past(T0, T0), now=now) == T0 + 10 * DAY


MONEY = Retrain(every="1d", cooldown="0d", budget="10 EUR/30d")


def spent(*costs: float | None):
    """A run a day since day −20."""
    return [Spent(T0 + (place - 20) * DAY, cost) for place, cost in enumerate(costs)]


def bought(*costs: float | None, day: float = 5) -> bool:
    return due(MONEY, Past(T0, T0, spent=spent(*costs)), now=T0 + int(day * DAY), alarm=None, new_labels=0) is not None


def test_a_budget_that_is_spent_holds_back_until_the_dear_run_has_left_its_span():
    assert bought(4, 5.99)
    assert not bought(4, 6)
    assert not bought(4, 6, day=9.99), "both are within 30 days"
    assert bought(4, 6, day=10), "the first is not any more"
    past = Past(T0, T0, spent=spent(4, 6))
    assert held_back(MONEY, past, now=T0 + 5 * DAY) == (T0 + 10 * DAY, "the budget 10 EUR/30d: 10 EUR by 2 runs")


def test_a_cost_that_is_not_known_counts_as_the_dearest_that_is_and_never_as_nothing():
    assert bought(3, 3)
    assert not bought(3, 3, None, None), "3 + 3 + 3 + 3"
    wait = held_back(MONEY, Past(T0, T0, spent=spent(3, 3, None, None)), now=T0 + 5 * DAY)
    assert wait is not None
    assert wait.why == "the budget 10 EUR/30d: 12 EUR by 4 runs (2 of unknown cost, each taken as the dearest known)"
    assert not bought(None), "nothing is known: the whole budget"
    assert bought(None, day=10)


def test_a_budget_without_a_price_starts_nothing_and_says_what_to_set():
    past = Past(T0, T0, spent=None)
    assert due(MONEY, past, now=T0 + 90 * DAY, alarm="worse", new_labels=0) is None
    wait = held_back(MONEY, past, now=T0 + 90 * DAY)
    assert wait is not None
    assert wait.why == f"the budget 10 EUR/30d: what a run costs is not known; {price_setting('EUR')}"
    assert due(Retrain(every="1d", cooldown="0d"), past, now=T0 + 90 * DAY, alarm=None, new_labels=0) is not None, (
        "without a budget nobody asks"
    )
