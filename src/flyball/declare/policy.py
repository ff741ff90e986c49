"""What happens after training: rollouts, retraining, autonomy, reactions, scheduled scoring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Never, TypeAlias

from flyball.clock import Span
from flyball.declare.change_window import change_window as window_of
from flyball.declare.checks import AnyOf, Check, Drift, Metric, metric
from flyball.declare.data import Sql
from flyball.declare.units import (
    Rate,
    count,
    fail,
    fill,
    items,
    mapping,
    maybe_span,
    maybe_text,
    names,
    near,
    one_of,
    rate,
    share,
    span,
    words,
)
from flyball.errors import DeclarationError
from flyball.records.rollouts import Step

Mode = Literal["record", "propose", "act"]
_MODES: tuple[Mode, ...] = ("record", "propose", "act")

MOST_STEPS = 50
"""Steps of a rollout at most: the event that plans them names them all."""


def listed(value: Any, argument: str, kinds: tuple[type[Any], ...], fix: str) -> tuple[Any, ...]:
    """Read one check or a list of checks. Raises DeclarationError naming the place."""
    found = (value,) if isinstance(value, kinds) else items(value, argument)
    for place, item in enumerate(found):
        if not isinstance(item, kinds):
            raise fail(f"{argument}[{place}]", f"{item!r} does not belong here", fix=fix)
    return found


@dataclass(frozen=True, init=False)
class Rollout:
    """Steps in order; after the last, promotion. `give_up` ends an undecided rollout.

    `evidence` "live" waits for labels; "gate" may rest on the paired gate where labels are too few, and the ledger says so. `change_window` says when
    a release may go forward ("Mon-Fri 09:00-17:00 Europe/Berlin"; empty: always); it is kept in its one form, see declare/change_window.py.
    """

    guards: tuple[Check, ...]
    sticky: str
    watch: Span | None
    change_window: str
    evidence: Literal["live", "gate"]
    give_up: Span
    steps: tuple[Step, ...]

    def __init__(
        self,
        *,
        guards: Check | Iterable[Check] = (),
        sticky: str = "",
        watch: str | Span | None = None,
        change_window: str = "",
        evidence: str = "live",
        give_up: str | Span = "7d",
        steps: Iterable[Step] = (),
    ) -> None:
        fill(
            self,
            {
                "guards": listed(guards, "guards", (Check,), 'a guard is a check, such as fb.metric("error_rate") <= fb.champion * 1.25'),
                "sticky": maybe_text(sticky, "sticky"),
                "watch": maybe_span(watch, "watch"),
                "change_window": window_of(window).text if (window := maybe_text(change_window, "change_window")) else "",
                "evidence": one_of(evidence, ("live", "gate"), "evidence"),
                "give_up": span(give_up, "give_up", least=1),
                "steps": listed(steps, "steps", (Step,), "add steps with .shadow and .canary"),
            },
        )
        if len(self.steps) > MOST_STEPS:
            raise fail("rollout", f"{len(self.steps)} steps are too many", fix=f"{MOST_STEPS} at most: each is compared by itself")

    def shadow(self, bake: str | Span, *, labels: int = 0) -> Rollout:
        """Score every request without answering, for `bake` of evidence and until so many labels are in."""
        return self._then("shadow", 0, bake, labels)

    def canary(self, weight: str | float, bake: str | Span, *, labels: int = 0) -> Rollout:
        """Answer a share of requests."""
        return self._then("canary", weight, bake, labels)

    def ab_test(self, weight: str | float, bake: str | Span, *, labels: int = 0) -> Rollout:
        """Answer a share of requests to compare outcomes."""
        return self._then("ab_test", weight, bake, labels)

    def blue_green(self, bake: str | Span, *, labels: int = 0) -> Rollout:
        """Answer all requests at once, with the way back kept warm."""
        return self._then("blue_green", 1.0, bake, labels)

    def _then(
        self, kind: Literal["shadow", "canary", "ab_test", "blue_green"], weight: str | float, bake: str | Span, labels: int
    ) -> Rollout:
        basis = round(share(weight, kind) * 10_000)
        if kind != "shadow" and basis == 0:
            raise fail(kind, f"{weight} of traffic is none", fix="use .shadow for a step without traffic")
        step = Step(kind=kind, weight=basis, bake=span(bake, kind), labels=count(labels, "labels"))
        return replace(self, steps=(*self.steps, step))


@dataclass(frozen=True, init=False)
class Retrain:
    """Triggers and bounds. `when` triggers when all of its checks are true; `a | b` is one of them, true when either is."""

    when: tuple[Check | AnyOf | Drift, ...]
    every: Span | None
    cooldown: Span | None
    new_labels: int | None
    budget: Rate | None
    max_runs: Rate | None

    def __init__(
        self,
        *,
        when: Check | AnyOf | Drift | Iterable[Check | AnyOf | Drift] = (),
        every: str | Span | None = None,
        cooldown: str | Span | None = None,
        new_labels: int | None = None,
        budget: str | Rate | None = None,
        max_runs: str | Rate | None = None,
    ) -> None:
        fill(
            self,
            {
                "when": listed(when, "when", (Check, AnyOf, Drift), 'write when=[fb.metric("accuracy") < fb.at_release]'),
                "every": maybe_span(every, "every"),
                "cooldown": maybe_span(cooldown, "cooldown", least=0),
                "new_labels": None if new_labels is None else count(new_labels, "new_labels", least=1),
                "budget": None if budget is None else rate(budget, "budget", with_money=True),
                "max_runs": None if max_runs is None else rate(max_runs, "max_runs", with_money=False),
            },
        )


@dataclass(frozen=True, init=False)
class Autonomy:
    """What the loop may do by itself, apart for training, release and rollback."""

    training: Mode
    release: Mode
    rollback: Mode

    def __init__(self, *, training: str = "propose", release: str = "propose", rollback: str = "act") -> None:
        given = {"training": training, "release": release, "rollback": rollback}
        fill(self, {key: one_of(value, _MODES, f"autonomy.{key}") for key, value in given.items()})


def autonomy(value: str | Mapping[str, str] | Autonomy | None) -> Autonomy:
    """Read `autonomy=`: one word for all three, a mapping, or nothing (propose, propose, act). Raises DeclarationError."""
    if isinstance(value, Autonomy):
        return value
    if value is None:
        return Autonomy()
    if isinstance(value, str):
        word = one_of(value, _MODES, "autonomy")
        return Autonomy(training=word, release=word, rollback=word)
    given = mapping(value, "autonomy")
    for key in given:
        if key not in ("training", "release", "rollback"):
            raise fail("autonomy", f'"{key}" is not a decision of the loop', fix=near(key, ("training", "release", "rollback")))
    return Autonomy(**given)


FAILURE_MODES = (
    "errors",
    "latency",
    "performance",
    "input_drift",
    "label_drift",
    "schema_change",
    "skew",
    "stale_data",
    "late_labels",
    "bias",
    "cost",
    "policy_violation",
    "retrain_storm",
    "complaint",
    "outcome",
    "feedback",
)
"""What a playbook may say the reaction to."""

FIXED: dict[str, str] = {
    "dead_loop": "no loop is there to react, and the one that is back tells whoever is to be woken",
    "evidence_gap": "no version has made it, so none is taken back or trained; rollouts hold by themselves",
    "bad_release": "that it was sent back is the reaction",
    "concept_drift": "it is a loss of performance",
}
"""The failure modes that a playbook says nothing of, and why."""

ACTIONS: dict[str, str] = {
    "retrain": "train on newer rows",
    "shadow-train": "train, and release nothing of it",
    "rollback": "the former champion answers again",
    "fallback": "the declared fallback= answers, or without one the former champion",
    "freeze": "no rollout goes on, and nothing new is released",
    "cap": "nothing more is trained by itself until somebody acknowledges it",
    "page": "the owner is to hear of it at once",
    "ticket": "the owner is to hear of it when they look",
}
"""Every action that a playbook may name, and what it does."""

Actions: TypeAlias = tuple[str, ...] | None


@dataclass(frozen=True, init=False)
class Playbook:
    """The reaction to each failure mode, as names of actions in order. None: the default reaction."""

    errors: Actions
    latency: Actions
    performance: Actions
    input_drift: Actions
    label_drift: Actions
    schema_change: Actions
    skew: Actions
    stale_data: Actions
    late_labels: Actions
    bias: Actions
    cost: Actions
    policy_violation: Actions
    retrain_storm: Actions
    complaint: Actions
    outcome: Actions
    feedback: Actions
    route: str

    def __init__(
        self,
        *,
        errors: str | Iterable[str] | None = None,
        latency: str | Iterable[str] | None = None,
        performance: str | Iterable[str] | None = None,
        input_drift: str | Iterable[str] | None = None,
        label_drift: str | Iterable[str] | None = None,
        schema_change: str | Iterable[str] | None = None,
        skew: str | Iterable[str] | None = None,
        stale_data: str | Iterable[str] | None = None,
        late_labels: str | Iterable[str] | None = None,
        bias: str | Iterable[str] | None = None,
        cost: str | Iterable[str] | None = None,
        policy_violation: str | Iterable[str] | None = None,
        retrain_storm: str | Iterable[str] | None = None,
        complaint: str | Iterable[str] | None = None,
        outcome: str | Iterable[str] | None = None,
        feedback: str | Iterable[str] | None = None,
        route: str = "",
        **others: Never,
    ) -> None:
        for mode in others:
            raise _no_reaction(mode)
        given = (
            errors,
            latency,
            performance,
            input_drift,
            label_drift,
            schema_change,
            skew,
            stale_data,
            late_labels,
            bias,
            cost,
            policy_violation,
            retrain_storm,
            complaint,
            outcome,
            feedback,
        )
        modes = dict(zip(FAILURE_MODES, given, strict=True))
        fill(self, {mode: None if actions is None else names(actions, mode) for mode, actions in modes.items()})
        fill(self, {"route": words(route, "route")})


def _no_reaction(mode: str) -> DeclarationError:
    if mode not in FIXED:
        return fail("playbook", f'"{mode}" is no failure mode', fix=near(mode, (*FAILURE_MODES, "route")))
    fix = "say it of performance" if mode == "concept_drift" else "leave it out"
    return fail("playbook", f'the reaction to "{mode}" is fixed', why=FIXED[mode], fix=fix)


@dataclass(frozen=True, init=False)
class Objective:
    """A service or quality objective with an error budget: `target` is the share of time or requests that must be good."""

    metric: Metric | Check
    target: float
    window: Span

    def __init__(self, metric: str | Metric | Check, *, target: str | float, window: str | Span) -> None:
        named = _metric(metric) if isinstance(metric, str) else metric
        fill(self, {"metric": named, "target": share(target, "target"), "window": span(window, "window", least=1)})

    def __str__(self) -> str:
        """Write it as it reads: `error_rate, 99.9% over 30d`."""
        return f"{self.metric}, {100 * self.target:.12g}% over {self.window}"


_metric = metric


@dataclass(frozen=True, init=False, eq=False)
class Batch:
    """Scheduled scoring through the online code path."""

    source: Any
    to: str | Sql
    every: Span | None
    cron: str
    key: str
    write: Literal["upsert", "append", "replace"]

    def __init__(
        self, *, source: Any, to: str | Sql, every: str | Span | None = None, cron: str = "", key: str = "", write: str = "upsert"
    ) -> None:
        fill(
            self,
            {
                "source": source,
                "to": to,
                "every": maybe_span(every, "every"),
                "cron": maybe_text(cron, "cron"),
                "key": maybe_text(key, "key"),
                "write": one_of(write, ("upsert", "append", "replace"), "write"),
            },
        )
