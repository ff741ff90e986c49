"""A metric, or the difference of two versions' in it, as a mean with its spread and what its rows cannot have shown: all that a test needs. Pure."""

from __future__ import annotations

import math
from typing import NamedTuple

from flyball.evaluation.answers import Answers
from flyball.evaluation.rows import CALIBRATION, RowValues, least_values, row_values
from flyball.stats import clusters, delong
from flyball.stats.unseen import Unseen


class Spread(NamedTuple):
    """`mean` in the metric's units; `unseen`: what one row more that goes wrong would change."""

    mean: clusters.Mean
    unseen: Unseen


def of(name: str, found: Answers, rows: RowValues) -> Spread:
    """The spread of a metric that is defined on these rows: DeLong's of AUC, else that of the rows, or of the entities that they share."""
    mean = clusters.mean(rows.values, found.groups, rows.among)
    if name == "roc_auc" and found.groups is None and found.score is not None:
        mean = mean._replace(se=delong.auc(found.y == 1, found.score).se, df=math.inf)
    return Spread(mean, unseen(mean.units, rows))


class Difference(NamedTuple):
    """A difference as observed, and what it is on average at least and at most: all the same but of a calibration error, which is no mean of the rows
    until its signs are chosen. Whatever is to be shown of it rests on the end that speaks against it.
    """

    observed: Spread
    least: Spread
    most: Spread


def of_difference(name: str, new: Answers, old: Answers, times: float) -> Difference:
    """The same of new − times × old on the same rows, in which the metric is defined for both."""
    first, second = row_values(name, new), row_values(name, old)
    observed = _difference(name, new, old, times, first, second)
    if name != CALIBRATION:
        return Difference(observed, observed, observed)
    return Difference(
        observed,
        _difference(name, new, old, times, least_values(name, new), second),
        _difference(name, new, old, times, first, least_values(name, old)),
    )


def _difference(name: str, new: Answers, old: Answers, times: float, first: RowValues, second: RowValues) -> Spread:
    mean = clusters.mean(first.values - times * second.values, new.groups, first.among)
    if name == "roc_auc" and new.groups is None and new.score is not None and old.score is not None:
        mean = mean._replace(se=delong.paired(new.y == 1, new.score, old.score, times=times).se, df=math.inf)
    return Spread(mean, unseen(mean.units, first, second))


def unseen(units: int, *found: RowValues) -> Unseen:
    """What one row that goes wrong changes, of the versions the one that it changes most; of an entity, all of its rows go wrong at once."""
    wrong, denominator = max(rows.wrong for rows in found), max(1, min(rows.denominator for rows in found))
    return Unseen(wrong / denominator, wrong / min(denominator, units))
