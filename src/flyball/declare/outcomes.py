"""What a declared business outcome is joined by, and which sentences are about one. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

from flyball.clock import Span
from flyball.declare.checks import AnyOf, Check
from flyball.declare.live import sent
from flyball.declare.model import Model, Outcome

PREDICTION_ID = "prediction_id"
"""What `on` is called where the outcome's rows name the predictions themselves, by the ids that the answers bore."""

JoinedBy: TypeAlias = Literal["column", "id", "key", ""]


def joined_by(model: Model, outcome: Outcome) -> JoinedBy:
    """What of an answer the outcome's `on` is compared with: a column of the request, the prediction's id, or the key that it was sent with; empty:
    nothing, for callers send no such thing.
    """
    if outcome.on in sent(model):
        return "column"
    if outcome.on == PREDICTION_ID or (model.data.id and outcome.on == model.data.id):
        return "id"
    return "key" if outcome.on == model.rollout.sticky else ""


def known_after(outcome: Outcome) -> Span:
    """How long after its time a row of the outcome is known."""
    column = outcome.source.columns.get(outcome.column)
    return Span(max(0, column.known_after)) if column is not None else Span(0)


def outcome_of(model: Model, check: object) -> Outcome | None:
    """The outcome that a sentence is about; None where it is about something else."""
    if not isinstance(check, Check):
        return None
    return next((each for each in model.outcomes if each.name == check.metric.name), None)


def about_outcomes(model: Model, sentence: object) -> bool:
    """Whether a sentence, or an alternative in it, is about an outcome."""
    parts = sentence.checks if isinstance(sentence, AnyOf) else (sentence,)
    return any(outcome_of(model, part) is not None for part in parts)
