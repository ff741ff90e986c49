"""What is known of a model beside the counts of its log, as findings: each source of it is one line here."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.loop.feedback import feedback_of
from flyball.loop.freshness import ages
from flyball.loop.storms import storms_of
from flyball.monitoring.estimates import estimate_findings
from flyball.monitoring.freshness import freshness_findings
from flyball.monitoring.policy import policy_findings
from flyball.monitoring.skew import skew_findings
from flyball.monitoring.storms import storm_findings
from flyball.records.alerts import Finding
from flyball.records.base import State
from flyball.records.declarations import DECLARATIONS
from flyball.records.serving import ROUTES
from flyball.records.skew import SKEWS
from flyball.records.unlabelled import ESTIMATES
from flyball.records.versions import MODELS, VERSIONS


def besides_counts(state: State, model: Model, now: Instant) -> list[Finding]:
    """The findings of every source but the counts."""
    return [
        *skew_of(state, model),
        *freshness_findings(ages(state, model), now),
        *policy_of(state, model, now),
        *storm_findings(storms_of(state, model, now)),
        *estimates_of(state, model),
        *feedback_of(state, model.name),
    ]


def policy_of(state: State, model: Model, now: Instant) -> Sequence[Finding]:
    """Whether the version that answers holds the gates that are declared."""
    row, declared = state.get(MODELS, model.name), state.get(DECLARATIONS, model.name)
    champion = state.get(VERSIONS, f"{model.name}/{row.champion}") if row is not None and row.champion else None
    return policy_findings(champion, declared.gates_digest if declared is not None else "", now)


def estimates_of(state: State, model: Model) -> list[Finding]:
    """What is estimated without labels of the champion, and whether its rows are told from the hold-out's."""
    row = state.get(MODELS, model.name)
    champion = row.champion if row is not None else ""
    return list(estimate_findings(state.get(ESTIMATES, model.name), champion)) if champion else []


def skew_of(state: State, model: Model) -> list[Finding]:
    """What is known of the features that the versions in the model's route are served."""
    rows = [row for _, row in state.scan(SKEWS, f"{model.name}/")] if model.features else []
    route = state.get(ROUTES, model.name) if rows else None
    serving = {arm.version for arm in (*route.route.arms, *route.route.shadows)} if route is not None else set()
    return list(skew_findings(rows, serving))
