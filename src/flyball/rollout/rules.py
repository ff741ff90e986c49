"""What a rollout does next: pure decisions on its row, its declaration and its evidence. No clock, no disk, no randomness.

Whoever calls it live or in virtual time gets the same arrow for the same values, and the arrow carries the evidence it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from flyball.clock import Instant, Span
from flyball.declare.change_window import CLOSED, closed, opens
from flyball.declare.checks import Reference
from flyball.declare.live import SLOW, untested
from flyball.declare.policy import Rollout
from flyball.records.base import Refusal
from flyball.records.rollouts import Reading, RolloutEvidence, RolloutMoved, RolloutPlanned, RolloutRow
from flyball.records.rollouts import RolloutState as S
from flyball.rollout import readings as tests
from flyball.rollout.moves import move
from flyball.rollout.readings import readings
from flyball.rollout.states import RUNNING, TERMINAL, TRANSITIONS, leaving

COVERAGE = 0.8
"""Share of matured rows that must have labels before quality may promote."""

NO_SPAN = Span(0)

NEVER: Instant = 2**53 - 1
"""Nothing is due by the clock alone."""

SPLIT_LEAST = Span.parse("3s")
"""The last split of traffic takes no less: an answer is told at once, and that one hangs only when its time limit has passed (2 s)."""

SLOWER = 1.1
"""How many times the stable version's p99 an answer must take to count as slow."""

_FEWEST = 500
"""Requests that a p99 needs."""

_FIRED_NAMED = 5


@dataclass(frozen=True)
class Facts:
    """What the loop knows beside the evidence.

    `workers_ready`: True, False (they failed) or None (not known yet). `in_force`: every gateway acknowledged the route that
    the present state asks for.
    `gate_passed`: a gate against this champion was shown to hold on rows newer than both training sets. `frozen_by`: why nothing may move now, or empty.
    """

    now: Instant
    workers_ready: bool | None = None
    in_force: bool = False
    gate_passed: bool = False
    frozen_by: str = ""
    task: str = "binary"
    loss_cap: float = 1.0
    label_delay: Span = NO_SPAN


def plan(
    declaration: Rollout,
    *,
    rollout: str,
    model: str,
    version: str,
    champion: str,
    attempt: int,
    slow_us: int | None,
    reason: str,
    despite: str = "",
    outside_window: bool = False,
) -> RolloutPlanned:
    """The release as an event. `champion` may be empty: then there is nothing to compare with.

    `slow_us` is `slow_threshold` of the champion. `attempt` counts from 1. `despite`: why the version is advised against already, if it is.
    `outside_window`: whether a person lets it go forward outside the change window.
    """
    return RolloutPlanned(
        rollout=rollout,
        model=model,
        version=version,
        champion=champion,
        steps=declaration.steps,
        evidence=declaration.evidence,
        attempt=attempt,
        reason=reason,
        slow_us=slow_us,
        despite=despite,
        outside_window=outside_window,
    )


def slow_threshold(latency: Mapping[int, int], declaration: Rollout, act_within: Span | None = None) -> int | None:
    """τ in µs, from which an answer is slow: the least that a guard on `latency_p99` names, else 1.1 × the stable version's p99.

    A guard names a multiple of the stable p99, or a time; a time that is less than 1.1 × the stable p99 counts as that, for most of what is
    beyond it is the stable version's own. With fewer than 500 requests there is no p99, and only times count, that within which an answer
    can be acted on (`act_within`) where no guard names one; None where there are none.
    `latency` counts requests by floor(8 × log2(µs)), as `Traffic.latency` does; hand in about the last 2,000.
    """
    guards = [guard for guard in declaration.guards if guard.metric.name == SLOW and not untested(guard, "")]
    times = [round(guard.bound * 1000) for guard in guards if not isinstance(guard.bound, Reference)]
    p99 = _p99(latency)
    if p99 is None:
        return min(times, default=act_within if act_within is None else int(act_within))
    usual = math.ceil(SLOWER * p99)
    named = [math.ceil(guard.bound.times * p99 + guard.bound.plus * 1000) for guard in guards if isinstance(guard.bound, Reference)]
    return min([*named, *(max(time, usual) for time in times)], default=usual)


def _p99(latency: Mapping[int, int]) -> float | None:
    """The upper end of the bin in which the 99th percentile lies, µs; None with too few requests."""
    total, seen = sum(latency.values()), 0
    if total < _FEWEST:
        return None
    for place in sorted(latency):
        seen += latency[place]
        if seen >= 0.99 * total:
            return float(2 ** ((place + 1) / 8))
    return None


def decide(row: RolloutRow, declaration: Rollout, evidence: RolloutEvidence, facts: Facts) -> RolloutMoved | None:
    """The next arrow, or None to stay.

    Guards are looked at first, in every state with evidence: what fires rolls back, also a rollout that is frozen or paused.
    What is due to go forward while the change window is closed is frozen until it opens. When the target is `watching`, the caller changes the champion
    in the same transaction.
    """
    if row.state in TERMINAL:
        return None
    if row.state is S.PLANNED:
        return move(row, S.WARMING, "workers of the new version start")
    if row.state is S.WARMING:
        return _warmed(row, facts, shut(row, declaration, facts.now))
    if row.state is S.ROLLING_BACK:
        return move(row, S.ROLLED_BACK, "the old route is in force everywhere") if facts.in_force else None
    found = readings(row, declaration, evidence, task=facts.task, loss_cap=facts.loss_cap)
    target, step, why = _with_evidence(row, declaration, evidence, facts, found)
    return None if target is None else move(row, target, why, step=step, found=found, evidence=evidence)


def shut(row: RolloutRow, declaration: Rollout, now: Instant) -> str:
    """Why this rollout does not go forward by the clock: its change window is closed, and until when; empty where it may."""
    return "" if row.outside_window else closed(declaration.change_window, now)


def for_window(row: RolloutRow) -> bool:
    """Whether it is frozen by its change window, and by nothing else when it was."""
    return row.state is S.FROZEN and row.why.startswith(CLOSED)


def by_person(row: RolloutRow, action: Literal["pause", "resume", "abort"], why: str, *, who: str = "a person") -> RolloutMoved | Refusal:
    """A person's arrow, or why there is none."""
    targets: dict[str, S | None] = {"pause": S.PAUSED, "resume": row.resume, "abort": leaving(row.state)}
    target = targets[action]
    if target is S.ROLLING_BACK and not row.champion:
        return Refusal(
            code="conflict",
            what=f"{row.rollout} is a first release: there is no version to go back to",
            why="without it nobody would answer",
            fix=f"release a better version: flyball train {row.model}",
        )
    if target is None or target not in TRANSITIONS[row.state]:
        allowed = ", ".join(sorted(state.value for state in TRANSITIONS[row.state])) or "nothing: it has ended"
        return Refusal(
            code="conflict",
            what=f"{row.rollout} is {row.state.value}: it cannot {action}",
            why=f"from {row.state.value} it goes to {allowed}",
            fix=f"flyball rollouts show {row.rollout}",
        )
    return move(row, target, f"{action} by {who}: {why}")


def replay(
    moved: RolloutMoved, row: RolloutRow, declaration: Rollout, *, task: str, loss_cap: float = 1.0
) -> tuple[tuple[Reading, ...], tuple[str, ...]]:
    """The readings that the recorded counts give now, and each difference from the recorded ones beyond 1e-6 (none: it replays).

    `row` is the rollout as it stood before the move.
    """
    if moved.counts is None:
        return (), ()
    again = readings(row, declaration, moved.counts, task=task, loss_cap=loss_cap)
    now = {(one.test, one.slice): one for one in again}
    differ = [f"{was.test} {was.slice}".strip() for was in moved.readings if not _same(was, now.get((was.test, was.slice)))]
    return again, tuple(differ)


def next_due(row: RolloutRow, declaration: Rollout, now: Instant, *, label_delay: Span = NO_SPAN) -> Instant:
    """The earliest time at which the clock alone can move this rollout. New evidence or an acknowledged route may move it before."""
    if row.state in TERMINAL:
        return NEVER
    opening = (None if row.outside_window else opens(declaration.change_window, now)) or now
    if row.state in {S.PLANNED, S.WARMING, S.ROLLING_BACK}:
        return opening if row.state is S.WARMING else now
    if row.state is S.WATCHING:
        return max(now, row.entered_at + _watch(declaration, label_delay))
    if row.state is S.PAUSED:
        return NEVER
    if for_window(row):
        return opening
    over = row.entered_at + (max(row.steps[row.step].bake, _least(row)) if row.step < len(row.steps) else 0)
    return max(now, over if row.state in RUNNING else over + declaration.give_up)


def _least(row: RolloutRow) -> Span:
    """What the present step takes by the clock, however much of it is covered by evidence."""
    last = row.step + 1 == len(row.steps)
    return SPLIT_LEAST if last and row.steps[row.step].kind == "canary" else NO_SPAN


def _warmed(row: RolloutRow, facts: Facts, window: str) -> RolloutMoved | None:
    if facts.workers_ready is False:
        return move(row, S.FAILED, "a worker of the new version did not start")
    # who starts workers says when one has had its time: nobody may be up, and that speaks against no version
    if facts.workers_ready is None or facts.frozen_by or window:
        return None
    if not row.champion:
        return move(row, S.WATCHING, "first release: there is no champion to compare with, so it answers at once")
    if not row.steps:
        return move(row, S.WATCHING, "no steps are declared: it answers at once")
    return move(row, _state_of(row, 0), "workers are ready")


def _with_evidence(
    row: RolloutRow, declaration: Rollout, evidence: RolloutEvidence, facts: Facts, found: tuple[Reading, ...]
) -> tuple[S | None, int, str]:
    # a first release has nothing to go back to: rolling it back would leave nobody to answer
    bad = tests.fired(found) if row.champion else ()
    if bad:
        worst = sorted(bad, key=lambda one: (bool(one.slice), -(one.log10_against or 0.0)))
        more = f"; and {len(worst) - _FIRED_NAMED} more" if len(worst) > _FIRED_NAMED else ""
        return S.ROLLING_BACK, row.step, "; ".join(_against(one) for one in worst[:_FIRED_NAMED]) + more
    if row.state is S.PAUSED:
        return None, row.step, ""
    bake = row.steps[row.step].bake if row.step < len(row.steps) else Span(0)
    ran_out = facts.now - row.entered_at > bake + declaration.give_up
    # what waits for the change window has been decided
    if ran_out and S.WATCHING not in (row.resume, row.state) and not for_window(row):
        return (
            S.ROLLING_BACK,
            row.step,
            f"undecided {declaration.give_up} after the step's bake: {_missing(row, declaration, evidence, facts, found)}",
        )
    uneven = [one for one in found if one.test == tests.RATIO and tests.reached(one.log10_against, one.need_against)]
    held = facts.frozen_by or "; ".join(f"{_against(one)}: the split is not what the route says" for one in uneven)
    if row.state is S.FROZEN:
        return _thawed(row, declaration, evidence, facts, found, held)
    if held:
        return S.FROZEN, row.step, held
    if row.state is S.WATCHING:
        return _watched(row, declaration, facts)
    target, step, why = _next_step(row, declaration, evidence, facts, found)
    window = shut(row, declaration, facts.now)
    return (S.FROZEN, row.step, window) if window and target is not None else (target, step, why)


def _thawed(
    row: RolloutRow, declaration: Rollout, evidence: RolloutEvidence, facts: Facts, found: tuple[Reading, ...], held: str
) -> tuple[S | None, int, str]:
    if not for_window(row):
        return (None, row.step, "") if held else (row.resume, row.step, "what froze it is over")
    if shut(row, declaration, facts.now):
        return None, row.step, ""
    # what holds it besides freezes it by its own name at the next look
    target, step, why = (None, row.step, "") if held else _next_step(row, declaration, evidence, facts, found)
    return target or row.resume, step, "; ".join(filter(None, ("the change window is open", why)))


def _watched(row: RolloutRow, declaration: Rollout, facts: Facts) -> tuple[S | None, int, str]:
    if not facts.in_force:
        return None, row.step, ""
    if not row.champion:
        return S.COMPLETED, row.step, "first release: in force, with nothing to compare with"
    watch = _watch(declaration, facts.label_delay)
    if facts.now - row.entered_at < watch:
        return None, row.step, ""
    return S.COMPLETED, row.step, f"no guard fired in {watch} of watching"


def _next_step(
    row: RolloutRow, declaration: Rollout, evidence: RolloutEvidence, facts: Facts, found: tuple[Reading, ...]
) -> tuple[S | None, int, str]:
    step = row.steps[row.step]
    pairs = sum(one.minus + one.zero + one.plus for one in evidence.pairs if not one.slice)
    baked = evidence.baked if evidence.under == f"{(row.resume or row.state).value}:{row.step}" else Span(0)
    if not facts.in_force or baked < step.bake or pairs < step.labels or facts.now - row.entered_at < _least(row):
        return None, row.step, ""
    if row.step + 1 < len(row.steps):
        return _state_of(row, row.step + 1), row.step + 1, f"{step.kind} baked {baked.brief}, no guard fired, {pairs:.0f} pairs"
    lacking = _missing(row, declaration, evidence, facts, found)
    silent = [one.test for one in found if one.need_against is None and one.test != SLOW]
    note = f"; not tested on live rows: {', '.join(silent)}" if silent else ""
    if row.evidence == "live" and not tests.on_quality(declaration, facts.task):
        note = f"; quality not tested on live rows: no guard asks for it{note}"
    if not lacking:
        passed = "; ".join(f"{one.test}: evidence {_shown(one.log10_for)} of {one.need_for:.3g}" for one in found if one.need_for)
        return S.WATCHING, row.step, passed + note
    if row.evidence == "gate" and facts.gate_passed and not _errors_doubled(evidence):
        return S.WATCHING, row.step, f"live evidence insufficient: the gate's paired evidence stands in ({lacking}){note}"
    return None, row.step, ""


def _missing(row: RolloutRow, declaration: Rollout, evidence: RolloutEvidence, facts: Facts, found: tuple[Reading, ...]) -> str:
    """What promotion still lacks, in words; empty when nothing.

    Without a guard on quality that live rows can test, a plan that may rest on the gate rests on it; any other has named what it wants tested.
    """
    lacking = [
        f"{one.test}: evidence {_shown(one.log10_for)} of {one.need_for:.3g}, n={one.n}"
        for one in found
        if one.need_for is not None and not tests.cleared(one)
    ]
    quality = tests.on_quality(declaration, facts.task)
    if quality and evidence.labelled < COVERAGE * evidence.matured:
        lacking.append(f"labels for {evidence.labelled} of {evidence.matured} matured rows")
    elif quality and not evidence.matured:
        lacking.append("no row has matured")
    if not quality and row.evidence == "gate":
        lacking.append("no guard on quality that live rows can test" + ("" if facts.gate_passed else ", and no passed paired gate"))
    return ", ".join(lacking)


def _errors_doubled(evidence: RolloutEvidence) -> bool:
    # too few for a test, but enough not to promote on what happened before the version met traffic
    bad, units = sum(one.canary_bad for one in evidence.steps), sum(one.canary_units for one in evidence.steps)
    stable_bad, stable = sum(one.stable_bad for one in evidence.steps), sum(one.stable_units for one in evidence.steps)
    return bad >= 3 and bad * max(stable, 1) > 2 * stable_bad * max(units, 1)


def _state_of(row: RolloutRow, step: int) -> S:
    return S.SHADOW if row.steps[step].kind == "shadow" else S.CANARY


def _watch(declaration: Rollout, label_delay: Span) -> Span:
    # labels of the last rows before promotion take this long
    return declaration.watch if declaration.watch is not None else label_delay


def _shown(log10_e: float | None) -> str:
    """E as a person reads it: 14.2, 3.1e+06."""
    if log10_e is None:
        return "none"
    return f"{10**log10_e:.3g}" if abs(log10_e) < 6 else f"10^{log10_e:.0f}"


def _against(one: Reading) -> str:
    where = f" in {one.slice}" if one.slice else ""
    return f"{one.test}{where}: evidence against {_shown(one.log10_against)} of {one.need_against or 0:.4g}, n={one.n}"


def _same(was: Reading, now: Reading | None) -> bool:
    def near(a: float | None, b: float | None) -> bool:
        return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6)

    if now is None:
        return False
    alike = (was.test, was.slice, was.n) == (now.test, now.slice, now.n)
    return alike and all(
        near(getattr(was, name), getattr(now, name)) for name in ("log10_for", "need_for", "log10_against", "need_against")
    )
