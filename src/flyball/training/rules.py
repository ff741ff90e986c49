"""When to train again. Pure: the loop gives it what it knows, and the present moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flyball.clock import Instant, Span
from flyball.declare.policy import Retrain
from flyball.records.training import Trigger

DEFAULT_COOLDOWN = Span.parse("10d")


class Due(NamedTuple):
    """A run is wanted, and why."""

    trigger: Trigger
    reason: str


def due(
    retrain: Retrain,
    *,
    now: Instant,
    last_attempt_at: Instant,
    champion_at: Instant,
    alarm: str | None,
    new_labels: int,
    runs: Sequence[Instant] = (),
    holdout: Span | None = None,
    ripe_at: Instant = 0,
) -> Due | None:
    """The reason to train now, or None.

    `last_attempt_at` and `champion_at` are 0 where there was none; `alarm` says which check triggers; `new_labels` counts labels since
    the last attempt; `runs` are the starts of recent runs, whatever started them; `holdout` lengthens a cool-down that is not
    declared. An alarm trains from `ripe_at` on. A first training is not the policy's to start: without an attempt and a champion nothing
    is due.
    """
    since = max(last_attempt_at, champion_at if not last_attempt_at else 0)
    if not since or now < _open_at(retrain, since, runs, holdout, now):
        return None
    if alarm and now >= ripe_at:
        return Due("monitor", alarm)
    if retrain.every is not None and now >= since + retrain.every:
        return Due("schedule", f"{Span(now - since).brief} since the last attempt, every {retrain.every}")
    if retrain.new_labels is not None and new_labels >= retrain.new_labels:
        return Due("schedule", f"{new_labels:,} new labels since the last attempt, {retrain.new_labels:,} wanted")
    return None


def next_due(
    retrain: Retrain,
    *,
    now: Instant,
    last_attempt_at: Instant,
    champion_at: Instant,
    runs: Sequence[Instant] = (),
    holdout: Span | None = None,
    ripe_at: Instant = 0,
) -> Instant | None:
    """The earliest moment at which time alone can make a run due, or end what holds an alarm back; None if there is none."""
    since = max(last_attempt_at, champion_at if not last_attempt_at else 0)
    if not since:
        return None
    opens = _open_at(retrain, since, runs, holdout, now)
    due_at = None if retrain.every is None else max(opens, since + retrain.every)
    # an alarm may stand already: what holds it back ends by time alone
    opens = max(opens, ripe_at)
    if due_at is not None:
        waits = retrain.when or retrain.new_labels is not None
        return min(opens, due_at) if waits and opens > now else due_at
    return opens if opens > now else None


def ripe_at(onset: Instant, holdout: Span | None) -> Instant:
    """From when on an alarm is worth a training: the rows since the loss rose fill the hold-out twice, once to learn from, once to judge on.

    Trained at once, a version would have learned the world before the change, and be judged on it too. `onset`: 0 where the loss has not risen.
    """
    return onset + 2 * holdout if onset and holdout is not None else 0


def cooldown(retrain: Retrain, holdout: Span | None) -> Span:
    """The time no attempt follows another: as declared, else 10 d, never less than the hold-out (the champion would have seen it)."""
    declared = DEFAULT_COOLDOWN if retrain.cooldown is None else retrain.cooldown
    return max(declared, holdout) if holdout is not None else declared


def _open_at(retrain: Retrain, since: Instant, runs: Sequence[Instant], holdout: Span | None, now: Instant) -> Instant:
    """When the cool-down and `max_runs` let the next run start."""
    opens = since + cooldown(retrain, holdout)
    limit = retrain.max_runs
    if limit is not None:
        recent = sorted(start for start in runs if start > now - limit.per)
        most = int(limit.amount)
        if most < 1:
            return now + limit.per
        if len(recent) >= most:
            opens = max(opens, recent[-most] + limit.per)
    return opens
