"""Feedback loops: how much of what a version learned from are the model's own earlier answers, as far as its log and its rows tell."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table
from flyball.records.estimates import Estimate


class AnswerCoverage(Record, frozen=True):
    """Of `asked` logged answers that were `answer`, whose labels were due when the version was trained, so many are `labelled` rows."""

    answer: str
    asked: int
    labelled: int


class FeedbackExamined(Event, frozen=True, tag="feedback.examined"):
    """The rows that a version was trained on beside the model's own logged answers, joined by `joined_by` ("id": the row's id is that of the prediction;
    "values": the row has the values that were sent, which no other has).

    Of `rows` labelled rows the model itself had `answered` so many before their label was known, in `equal` of them with the very label. `copied` is the
    share of these labels that its quality on the hold-out does not explain. `columns`: of columns that hold the answer's score, in which share of the rows. `coverage`
    by answer. `why` says why nothing was looked into (empty: it was).
    """

    model: str
    version: str
    data: str = ""
    joined_by: str = ""
    rows: int = 0
    answered: int = 0
    equal: int = 0
    copied: Estimate = Estimate(value=None)
    columns: dict[str, float] = {}
    coverage: tuple[AnswerCoverage, ...] = ()
    why: str = ""


class FeedbackRow(Record, frozen=True):
    """What was found last of a model, and when."""

    newest: FeedbackExamined
    at: Instant


FEEDBACKS = Table("feedback", FeedbackRow)
"""Keyed by `model/version`."""

EVENTS = (FeedbackExamined,)
