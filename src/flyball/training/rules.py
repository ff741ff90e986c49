"""When to train again. Pure: the loop gives it what it knows, and the present moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flyball.clock import Instant, Span
from flyball.declare.costs import price_setting
from flyball.declare.policy import Retrain
from flyball.declare.units import Rate
from flyball.records.training import Trigger

DEFAULT_COOLDOWN = Span.parse("10d")


class Due(NamedTuple):
    """A run is wanted, and why."""

    trigger: Trigger
    reason: str


class Spent(NamedTuple):
    """What a run has cost, and when it began; `money` is None where that is not known."""

    at: Instant
    money: float | None


class Wait(NamedTuple):
    """Until when an alarm is held back, and by what."""

    until: Instant
    why: str


@dataclass(frozen=True)
class Past:
    """What the next attempt follows on: moments are 0 where there was none.

    `runs` are the starts of recent runs, whatever started them; `holdout` lengthens a cool-down that is not declared. `spent` are the costs of recent runs in the budget's currency; None: there is no price in it.
    """

    last_attempt_at: Instant = 0
    champion_at: Instant = 0
    runs: Sequence[Instant] = ()
    holdout: Span | None = None
    spent: Sequence[Spent] | None = ()

    @property
    def since(self) -> Instant:
        """What cool-down and schedule count from. A first training is not the policy's to start: then it is 0."""
        return self.last_attempt_at or self.champion_at


def due(retrain: Retrain, past: Past, *, now: Instant, alarm: str | None, new_labels: int) -> Due | None:
    """The reason to train now, or None. `alarm` says which check triggers; `new_labels` counts labels since the last attempt."""
    if not past.since or now < _open_at(retrain, past, now):
        return None
    if alarm:
        return Due("monitor", alarm)
    if retrain.every is not None and now >= past.since + retrain.every:
        return Due("schedule", f"{Span(now - past.since).brief} since the last attempt, every {retrain.every}")
    if retrain.new_labels is not None and new_labels >= retrain.new_labels:
        return Due("schedule", f"{new_labels:,} new labels since the last attempt, {retrain.new_labels:,} wanted")
    return None


def next_due(retrain: Retrain, past: Past, *, now: Instant) -> Instant | None:
    """The earliest moment at which time alone can make a run due, or end what holds an alarm back; None if there is none."""
    if not past.since:
        return None
    opens = _open_at(retrain, past, now)
    due_at = None if retrain.every is None else max(opens, past.since + retrain.every)
    if due_at is not None:
        waits = retrain.when or retrain.new_labels is not None
        return min(opens, due_at) if waits and opens > now else due_at
    return opens if opens > now else None


def held_back(retrain: Retrain, past: Past, *, now: Instant) -> Wait | None:
    """What an alarm that stands now waits for; None: nothing."""
    opens = _open_at(retrain, past, now)
    if opens <= now:
        return None
    if opens == past.since + cooldown(retrain, past.holdout):
        return Wait(opens, "the cool-down since the last attempt")
    if retrain.budget is not None and opens == _affordable_at(retrain.budget, past, now):
        return Wait(opens, _budget_text(retrain.budget, past, now))
    return Wait(opens, f"max_runs {retrain.max_runs}")


def _budget_text(budget: Rate, past: Past, now: Instant) -> str:
    if past.spent is None:
        return f"the budget {budget}: what a run costs is not known; {price_setting(budget.unit)}"
    costs = _costs(budget, past.spent, now)
    unknown = sum(each.money is None for each in past.spent if each.at > now - budget.per)
    told = f" ({unknown} of unknown cost, each taken as the dearest known)" if unknown else ""
    total = sum(money for _, money in costs)
    spent = f"{total:.4g} {budget.unit}" if total != float("inf") else "what is not known was spent"
    return f"the budget {budget}: {spent} by {len(costs)} run{'' if len(costs) == 1 else 's'}{told}"


def cooldown(retrain: Retrain, holdout: Span | None) -> Span:
    """The time no attempt follows another: as declared, else 10 d, never less than the hold-out (the champion would have seen it)."""
    declared = DEFAULT_COOLDOWN if retrain.cooldown is None else retrain.cooldown
    return max(declared, holdout) if holdout is not None else declared


def _open_at(retrain: Retrain, past: Past, now: Instant) -> Instant:
    """When the cool-down and `max_runs` let the next run start."""
    opens = past.since + cooldown(retrain, past.holdout)
    limit = retrain.max_runs
    if limit is not None:
        recent = sorted(start for start in past.runs if start > now - limit.per)
        most = int(limit.amount)
        if most < 1:
            return now + limit.per
        if len(recent) >= most:
            opens = max(opens, recent[-most] + limit.per)
    return opens if retrain.budget is None else max(opens, _affordable_at(retrain.budget, past, now))


def _costs(budget: Rate, spent: Sequence[Spent], now: Instant) -> list[tuple[Instant, float]]:
    """What the runs within the budget's span have cost, oldest first. A cost that is not known is taken as the dearest that is, or as the whole
    budget where none is: never as nothing.
    """
    recent = sorted((each for each in spent if each.at > now - budget.per), key=lambda each: each.at)
    dearest = max((each.money for each in recent if each.money is not None), default=float("inf"))
    return [(each.at, dearest if each.money is None else each.money) for each in recent]


def _affordable_at(budget: Rate, past: Past, now: Instant) -> Instant:
    """From when on less than the budget is spent within its span, if nothing more is; 0: it is now. Without a price it never is."""
    if past.spent is None or budget.amount <= 0:
        return now + budget.per
    costs, opens = _costs(budget, past.spent, now), 0
    while costs and sum(money for _, money in costs) >= budget.amount:
        opens = costs.pop(0)[0] + budget.per
    return opens
