"""Every failure mode in one table: what it means, what finds it, what is done by itself, what is left to a person, how recovery is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from flyball.declare.model import Model
from flyball.declare.policy import ACTIONS, Playbook

TOLD = frozenset({"page", "ticket"})
"""Not deeds of the loop: they say how urgently the owner is to hear of it."""

Layer = Literal["data set", "view", "model", "project"]


@dataclass(frozen=True)
class FailureMode:
    """One way to fail. `detector` is the monitor's name, `actions` are the default ones, `layer` says whose it is (`declare.owners`).

    `known_as` is what operators call it; `recovery` is what ends it, as it is observed.
    """

    name: str
    known_as: str
    meaning: str
    detector: str
    actions: tuple[str, ...]
    human: str
    layer: Layer
    recovery: str


_ROUTE = "another champion's route is in force everywhere, or the alert has resolved"
_RESOLVED = "the alert has resolved"

MODES: tuple[FailureMode, ...] = (
    FailureMode(
        "dead_loop",
        "dead loop",
        "the loop has made no pass for longer than `loop_silent_s`",
        "the watchdog of `flyball up`",
        ("page",),
        "read the control plane's log: why it hung, or could not start",
        "project",
        "the loop makes passes again",
    ),
    # no model is at fault, so none is rolled back; rollouts hold by themselves
    FailureMode(
        "evidence_gap",
        "gap in the log",
        "answers are in no log, or could not be counted",
        "answers are logged",
        ("page",),
        "make room on the disk, or mend the declaration that cannot be read",
        "model",
        "a minute without a gap",
    ),
    FailureMode(
        "schema_change",
        "schema change",
        "a column has values that it never had, or has lost the ones it had",
        "drift, `fb.drift()`",
        ("ticket",),
        "ask the data's owner for the old coding, or declare and train on the new one",
        "data set",
        _ROUTE,
    ),
    FailureMode(
        "stale_data",
        "pipeline break",
        "a data set's newest row is older than its `freshness`",
        "data is fresh",
        ("ticket",),
        "start the feed again, or mend what its contract refuses",
        "data set",
        _RESOLVED,
    ),
    FailureMode(
        "skew",
        "skew between training and serving",
        "a served feature value is not the one that training would have had",
        "features are served as trained",
        ("ticket",),
        "find where the two computations differ: `flyball features verify`",
        "view",
        _ROUTE,
    ),
    FailureMode(
        "errors",
        "errors",
        "too many requests have no answer of the model's",
        "a check on `error_rate`",
        ("page", "rollback"),
        "read what was raised: `flyball incidents show`; roll back if there is a version to go back to",
        "model",
        _ROUTE,
    ),
    FailureMode(
        "latency",
        "latency",
        "answers come too late, or the worker has no time left",
        "a check on `latency_p50`, `latency_p99`; *the worker has time left*",
        ("page",),
        "find what is slow: the row, the version, the machine; roll back, or add workers",
        "model",
        _ROUTE,
    ),
    FailureMode(
        "bad_release",
        "bad release",
        "a guard sent a release back",
        "the rollout's guards",
        ("rollback",),
        "say why the gates let it pass",
        "model",
        "the route without it is in force everywhere",
    ),
    # input drift alone proves no harm: it never rolls back, and a broken feed must not be trained on
    FailureMode(
        "input_drift",
        "input drift",
        "a column's values are distributed otherwise than in training",
        "drift, `fb.drift()`",
        ("ticket",),
        "decide whether the world or the feed has changed: `flyball monitor`",
        "data set",
        _ROUTE,
    ),
    # outcomes are others than in training: the world, or how it is labelled; whether the answers still hold the detector says
    FailureMode(
        "label_drift",
        "label drift",
        "labels are distributed otherwise than in training",
        'drift, `fb.drift("labels")`',
        ("ticket",),
        "decide whether the world has changed, or how it is labelled",
        "model",
        _ROUTE,
    ),
    # a loop feeds on every training: whether the labels are wrong, or the feed, a person knows
    FailureMode(
        "feedback",
        "feedback loop",
        "labels or columns that a version learned from are copies of the model's own answers, or exist for some answers alone",
        "it does not learn its own answers; labels come whatever it answers",
        ("ticket",),
        "find what writes the answers into the data set; learn and judge on labels that do not come from the model",
        "data set",
        _RESOLVED,
    ),
    FailureMode(
        "concept_drift",
        "concept drift",
        "the same inputs have other labels: the loss has risen above its bound at release",
        "loss since release",
        ("retrain",),
        "see whether a training on the rows since helps; if not, the model needs other inputs",
        "model",
        _ROUTE,
    ),
    FailureMode(
        "performance",
        "loss of quality",
        "a declared sentence about quality does not hold",
        "a check on a metric",
        ("retrain",),
        "see whether a training on newer rows helps",
        "model",
        _ROUTE,
    ),
    # what moves a business value is seldom the model alone: nothing is trained or taken back for it
    FailureMode(
        "outcome",
        "loss of a business outcome",
        "what answers bring has fallen below a declared bound",
        "a check on an outcome",
        ("ticket",),
        "look whether the model's quality, its callers or the business have changed: `flyball monitor` shows the relation",
        "model",
        _RESOLVED,
    ),
    FailureMode(
        "late_labels",
        "label outage",
        "labels have stopped coming, though they came before",
        "labels arrive",
        ("ticket",),
        "ask whoever sends labels; what they send later still counts",
        "model",
        _RESOLVED,
    ),
    FailureMode(
        "bias",
        "bias",
        "groups are treated otherwise than the declaration allows",
        "a check with `.gap`",
        ("page",),
        "stop the decisions that it is about, or release a version that holds",
        "model",
        _ROUTE,
    ),
    FailureMode(
        "policy_violation",
        "policy violation",
        "the version that answers does not hold the declared gates, or its waiver has run out",
        "the policy holds",
        ("page",),
        "release a version that holds them, or have the gate waived until one is there",
        "model",
        _ROUTE,
    ),
    FailureMode(
        "retrain_storm",
        "retrain storm",
        "trainings come again and again, and none gives a better champion",
        "trainings help",
        ("ticket", "cap"),
        "find why training does not help: the rows, the labels, or what it is trained for",
        "model",
        _ROUTE,
    ),
    FailureMode(
        "cost",
        "cost spike",
        "a prediction takes twice the processor time that it took",
        "a prediction costs what it did",
        ("ticket", "cap"),
        "find what became dear: the version, the rows, or the machine",
        "model",
        _ROUTE,
    ),
    FailureMode(
        "complaint",
        "complaint",
        "a person says that something is wrong: `flyball incidents open`",
        "a person",
        ("page",),
        "answer whoever complained; add the monitor that would have seen it",
        "model",
        "another champion's route is in force everywhere, or a person says what ended it: `flyball incidents mitigated`",
    ),
)
"""All of them. What fires together has its root in what stands highest."""

DEFAULTS: Mapping[str, tuple[str, ...]] = {mode.name: mode.actions for mode in MODES}
"""Default reactions."""

EXPLAINING = frozenset({"schema_change", "stale_data", "skew", "input_drift"})
"""What is wrong with the data, and found later explains …"""

EXPLAINED = frozenset({"errors", "bad_release", "concept_drift", "performance", "outcome", "bias"})
"""… what is wrong with the answers, or with what they bring."""

_ORDER = {mode: place for place, mode in enumerate(DEFAULTS)}
_PLACE = {mode.name: mode for mode in MODES}


def mode_of(failure_mode: str) -> FailureMode | None:
    """The table's line of a failure mode; None for one that it has not."""
    return _PLACE.get(failure_mode)


def actions(playbook: Playbook, failure_mode: str) -> tuple[str, ...]:
    """The actions for a failure mode, in order. Concept drift is a loss of performance to the playbook."""
    declared = getattr(playbook, "performance" if failure_mode == "concept_drift" else failure_mode, None)
    return DEFAULTS.get(failure_mode, ("ticket",)) if declared is None else tuple(declared)


def by_hand(names: tuple[str, ...]) -> tuple[str, ...]:
    """The actions that flyball does not do by itself: a person has to."""
    return tuple(name for name in names if name not in ACTIONS)


def told_elsewhere(names: tuple[str, ...]) -> tuple[str, ...]:
    """The actions that a person has to do for a model that is served elsewhere: all, for flyball neither trains nor routes it."""
    return tuple(name for name in names if name not in TOLD)


SERVED_ELSEWHERE = "served elsewhere: "
"""How the note of an incident begins that says who mitigates it, where flyball cannot."""


def left_to(model: Model, owner: str) -> tuple[str, ...]:
    """The note that says who mitigates an incident of a model that is served elsewhere; none of any other."""
    who = owner or "its owner"
    told = f"{SERVED_ELSEWHERE}flyball routes nothing of it, so {who} mitigates it there, and it ends here when that is seen"
    return () if model.train is not None else (told,)


def is_left(notes: Iterable[str]) -> bool:
    """Whether the notes of an incident say so."""
    return any(note.startswith(SERVED_ELSEWHERE) for note in notes)


def not_done(action: str, why: str) -> str:
    """The note of an incident that says why an action of its playbook is not done."""
    return f'action "{action}" is not done: {why}'


def why_not(notes: Iterable[str], action: str) -> str:
    """Why an action is not done, as the notes of an incident say; empty where they do not."""
    start = f'action "{action}" is not done'
    return next((note.removeprefix(start).removeprefix(" by flyball").removeprefix(": ") for note in notes if note.startswith(start)), "")


def depth(failure_mode: str) -> int:
    """How far down the causes a failure mode stands; 0 is the root."""
    return _ORDER.get(failure_mode, len(_ORDER))


def table() -> str:
    """The table of docs/incidents.md."""
    lines = [
        "| failure mode | means | found by | done by itself | a person's step | over when |",
        "|---|---|---|---|---|---|",
    ]
    for mode in MODES:
        name = f"`{mode.name}`" if mode.known_as == mode.name.replace("_", " ") else f"{mode.known_as} (`{mode.name}`)"
        done = ", ".join(mode.actions)
        lines.append(f"| {name} | {mode.meaning} | {mode.detector} | {done} | {mode.human} | {mode.recovery} |")
    return "\n".join(lines) + "\n"
