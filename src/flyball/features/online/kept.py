"""Moments that are too long ago for what is kept online."""

from __future__ import annotations

from flyball.clock import Instant, rfc3339
from flyball.errors import BadInput


class NotKept(BadInput):
    """The rows that a moment saw are not kept online any more: it is the question that cannot be answered, and no fault of a model's."""

    code = "not-kept"
    title = "The moment is too long ago"


def not_kept(view: str, moment: Instant, kept_from: Instant) -> NotKept:
    """What is told of a moment (M = T − horizon) before the earliest one that a view can be asked about."""
    return NotKept(
        f'view "{view}" keeps no rows online for {rfc3339(moment)}',
        why=f"it can be asked about moments (time − horizon) from {rfc3339(kept_from)} on",
        fix="ask about a later time; flyball backtest and train read the whole data set",
    )
