"""Which rows train, which validate, which judge. Pure arithmetic of time: the newest rows are held out, never a random share.

Rows are given by their times in ascending order (`__time`), splits as positions in them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flyball.clock import Instant, Span

Times = npt.NDArray[np.int64]
WINDOWS = (Span.parse("28d"), Span.parse("60d"), Span.parse("120d"))
"""The spans that `window="auto"` chooses among (docs/statistics.md §5)."""

KEPT = 0.7
"""How much of a window's former score S_W counts beside the new one."""


class Split(NamedTuple):
    """Positions of rows: `[start, stop)` train, and `[holdout, end)` judge. A fit that asks for rows to stop by learns from `[start, inner)`, and
    gets `[valid, stop)` as them.
    """

    start: int
    inner: int
    valid: int
    stop: int
    holdout: int
    end: int


def anchor(times: Times, as_of: Instant, label_delay: Span) -> Instant:
    """The end of the hold-out: the newest moment whose labels are known at `as_of`, or the newest row, if the data end before that."""
    newest = int(times[-1]) + 1 if len(times) else as_of
    return min(as_of - label_delay + 1, newest)


def split(times: Times, end: Instant, holdout: Span, window: Span, gap: Span) -> Split:
    """The last `holdout` before `end` judges; the `window` before that trains; its own last `holdout` (at most a fifth of it) validates.

    `gap` = label delay + horizon: when the first held-out row was predicted, labels of the rows just before it were not known yet, so
    the candidate that is judged must not have seen them. The same gap lies before the validation.
    """
    judge = end - holdout
    stop = judge - gap
    valid = stop - _validates(holdout, window)
    return _positions(times, [stop - window, valid - gap, valid, stop, judge, end])


def trial_split(times: Times, end: Instant, holdout: Span, window: Span, gap: Span, *, stops_by: bool) -> Split:
    """A run in small, before the hold-out of `split`: its own hold-out, the validation rows, judges trials of a search and shows a threshold.

    With `stops_by` a fit asks for rows to stop by: then the later half of the validation judges, and the fit gets as long a part before it, so
    that no trial is judged on rows that its fit has seen. The gap lies before either.
    """
    stop = end - holdout - gap
    validates = _validates(holdout, window)
    by = validates // 2 if stops_by else 0
    judge = stop - (validates - by)
    learned = judge - gap
    valid = learned - by
    return _positions(times, [stop - window, valid - gap, valid, learned, judge, stop])


def refit(times: Times, end: Instant, holdout: Span, window: Span, gap: Span) -> Split:
    """The last `window` before `end`, hold-out included, trains what is released; its own last part validates where a fit asks for it."""
    valid = end - _validates(holdout, window)
    return _positions(times, [end - window, valid - gap, valid, end, end, end])


def _validates(holdout: Span, window: Span) -> int:
    return min(int(holdout), int(window) // 5)


def _positions(times: Times, moments: list[int]) -> Split:
    start, *others = (int(bound) for bound in np.searchsorted(times, moments, side="left"))
    return Split(start, *(max(start, bound) for bound in others))


def smoothed(former: float | None, score: float) -> float:
    """S_W ← .7 S_W + score (docs/statistics.md §5). `score`: higher is better."""
    return KEPT * former + score if former is not None else score


def choose(scores: dict[Span, float]) -> Span:
    """The window with the largest smoothed score; of equal ones the longer."""
    return max(scores, key=lambda window: (scores[window], window))
