"""What is done about each failure mode, unless the declaration says otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.declare.policy import ACTIONS, Playbook

TOLD = frozenset({"page", "ticket"})
"""Not deeds of the loop: they say how urgently the owner is to hear of it."""

DEFAULTS: Mapping[str, tuple[str, ...]] = {
    # no model is at fault, so none is rolled back; rollouts hold by themselves
    "evidence_gap": ("page",),
    "schema_change": ("ticket",),
    "stale_data": ("ticket",),
    "skew": ("ticket",),
    "errors": ("page", "rollback"),
    "latency": ("page",),
    "bad_release": ("rollback",),
    # input drift alone proves no harm: it never rolls back, and a broken feed must not be trained on
    "input_drift": ("ticket",),
    # outcomes are others than in training: the world, or how it is labelled; whether the answers still hold the detector says
    "label_drift": ("ticket",),
    "concept_drift": ("retrain",),
    "performance": ("retrain",),
    "late_labels": ("ticket",),
    "bias": ("page",),
    "cost": ("ticket",),
}
"""Default reactions. What fires together has its root in what stands highest."""

EXPLAINING = frozenset({"schema_change", "stale_data", "skew", "input_drift"})
"""What is wrong with the data, and found later explains …"""

EXPLAINED = frozenset({"errors", "bad_release", "concept_drift", "performance", "bias"})
"""… what is wrong with the answers."""

_ORDER = {mode: place for place, mode in enumerate(DEFAULTS)}


def actions(playbook: Playbook, failure_mode: str) -> tuple[str, ...]:
    """The actions for a failure mode, in order. Concept drift is a loss of performance to the playbook."""
    declared = getattr(playbook, "performance" if failure_mode == "concept_drift" else failure_mode, None)
    return DEFAULTS.get(failure_mode, ("ticket",)) if declared is None else tuple(declared)


def by_hand(names: tuple[str, ...]) -> tuple[str, ...]:
    """The actions that flyball does not do by itself: a person has to."""
    return tuple(name for name in names if name not in TOLD and not ACTIONS.get(name, False))


def told_elsewhere(names: tuple[str, ...]) -> tuple[str, ...]:
    """The actions that a person has to do for a model that is served elsewhere: all, for flyball neither trains nor routes it."""
    return tuple(name for name in names if name not in TOLD)


def depth(failure_mode: str) -> int:
    """How far down the causes a failure mode stands; 0 is the root."""
    return _ORDER.get(failure_mode, len(_ORDER))
