"""A worker's side of explanations: one question in steps of a row, so that an answer can be given between any two of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

from flyball.clock import Instant
from flyball.serving import wire
from flyball.serving.faults import failed
from flyball.training.explaining import Explainer, Explanation


class Explains(Protocol):
    """What explains rows of requests."""

    @property
    def explainer(self) -> Explainer: ...  # noqa: D102 - see `worker.Scorer`

    def explain(self, row: list[Any], moment: Instant) -> Explanation: ...  # noqa: D102


def steps(scorer: Explains, question: wire.Question, now: Instant) -> Iterator[bytes | None]:
    """The reply to a question of explanations, as the last of some steps; None for each before it."""
    rows: list[wire.ExplainedRow] = []
    try:
        way = scorer.explainer.way
        yield None
        for row, moment in zip(question.rows, question.times or [now] * len(question.rows), strict=True):
            rows.append(_row(scorer.explain(row, moment)))
            yield None
        yield wire.reply(question.tag, None, wire.Explained(way.method, way.space, rows))
    except Exception as problem:  # noqa: BLE001 - the user's transforms and model run here: any failure is an answer, never an end
        yield failed(question, problem)


def too_many(question: wire.Question, waiting: int) -> bytes:
    """The reply to a question that a worker has no place for."""
    why = "they are made one after the other, when there is no prediction to be made"
    return wire.no_answer(
        question.tag, f"{waiting} requests for explanations are waiting", wire.Fault("unavailable", why, "ask again in a moment", 1.0)
    )


def _row(found: Explanation) -> wire.ExplainedRow:
    base, output, _ = found.contributions
    features = [(name, _plain(value), part) for name, value, part in found.features]
    return wire.ExplainedRow(found.value, found.score, base, output, features)


def _plain(value: Any) -> Any:
    """A feature's value as JSON has it: a missing number is null, a time RFC 3339."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else value
