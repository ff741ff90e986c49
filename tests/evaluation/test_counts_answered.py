"""Answers by day of prediction, labelled or not: the same sums however time is cut, and what became of the same rows."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.evaluation.counts import Folder
from flyball.evaluation.counts_answered import DAY, joined
from flyball.evaluation.reference import reference
from flyball.records.evidence import Watch
from flyball.stats.scores import cells_of

DELAY = Span.parse("2d")
START = 20_000 * DAY


def watch(**fields):
    return Watch(**({"model": "m", "task": "binary", "label_delay": DELAY, "estimated": True} | fields))


def rows(score, *, value=None, at=None, role="champion", version="1.0.0", **more):
    n = len(score)
    return pl.DataFrame(
        {
            "request_id": [f"p{k}" for k in range(n)],
            "at": pl.Series(at if at is not None else [START + k * DAY // 8 for k in range(n)], dtype=pl.Int64),
            "version": version,
            "role": role,
            "score": pl.Series(score, dtype=pl.Float64),
            "value": pl.Series(value if value is not None else [float(one is not None and one > 0.5) for one in score]),
            **more,
        }
    )


def labels(values, *, after=DAY):
    return pl.DataFrame(
        {
            "request_id": [f"p{k}" for k, value in enumerate(values) if value is not None],
            "at": [START + k * DAY // 8 + after for k, value in enumerate(values) if value is not None],
            "value": [value for value in values if value is not None],
        }
    )


def folded(frames, marks, known=(), **fields):
    folder = Folder(watch(**fields))
    for frame in frames:
        folder.add(frame, pl.DataFrame())
    for each in known:
        folder.add(pl.DataFrame(), each)
    return joined(day for until in marks for day in folder.take(until).answered)


def test_scores_are_counted_by_day_cell_and_decision_and_what_became_of_them_by_the_same_day():
    score = [0.1, 0.9, 0.9, 0.4, 0.6, 0.2, 0.8, 0.3, 0.9, 0.1]
    truth = [0, 1, 0, 1, None, 0, 1, 0, 1, None]
    first, second = folded([rows(score)], [START + 9 * DAY], [labels(truth)])
    assert (first.day, first.n, first.nulls, first.matured, first.labelled) == (20_000, 8, 0, 8, 7)
    assert (first.tp, first.fp, first.fn, first.tn) == (2, 1, 1, 3)
    assert (second.day, second.n, second.labelled, second.tp) == (20_001, 2, 1, 1)
    cells = dict(zip(score, cells_of(np.array(score)).tolist(), strict=True))
    assert first.scores[cells[0.9]] == (0, 2)
    assert first.scores[cells[0.1]] == (1, 0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 40), max_size=6), st.integers(0, 2**32 - 1))
def test_the_sums_are_the_same_however_time_is_cut(cuts, seed):
    rng = np.random.default_rng(seed)
    score = rng.random(40).tolist()
    truth = [None if rng.random() < 0.3 else int(rng.random() < one) for one in score]
    end = START + 10 * DAY
    whole = folded([rows(score)], [end], [labels(truth)])
    assert folded([rows(score)], [*sorted(START + cut * DAY // 4 for cut in cuts), end], [labels(truth)]) == whole


def test_a_score_that_is_none_counts_as_null_and_other_roles_and_failures_not_at_all():
    odd = rows([float("nan"), None, 1.5, 0.5], value=[1.0, 0.0, 1.0, 1.0])
    shadow = rows([0.5], role="shadow")
    failed = rows([0.5], status="error")
    [found] = folded([odd, shadow, failed], [START + DAY])
    assert (found.n, found.nulls, sum(map(sum, found.scores.values()))) == (4, 3, 1)


def test_text_classes_have_their_own_positive_one():
    frame = rows([0.2, 0.9], value=["paid", "lost"])
    known = labels(["paid", "lost"])
    [found] = folded([frame], [START + 9 * DAY], [known], positive="paid")
    assert (found.tp, found.tn, found.fp, found.fn) == (1, 1, 0, 0)
    assert sorted(found.scores.values()) == [(0, 1), (1, 0)]


def test_numbers_are_counted_in_the_cells_of_the_columns_that_tell_and_their_errors_summed():
    columns = pl.DataFrame({"x": np.linspace(0, 1, 500), "prediction": np.linspace(0, 9, 500)})
    bins = reference(columns, columns.columns)
    frame = rows([None] * 3, value=[1.0, 2.0, 8.0], x=[0.1, None, 0.9])
    [found] = folded(
        [frame], [START + 9 * DAY], [labels([1.5, None, 6.0])], task="regression", bins=bins, telling=("x", "prediction"), loss="absolute"
    )
    assert (sum(found.columns["x"]), found.columns["x"][-1], sum(found.columns["prediction"])) == (3, 1, 3)
    assert (found.labelled, found.abs_error, found.sq_error) == (2, 2.5, 4.25)
    assert found.scores == {}


def test_nothing_is_counted_of_a_model_that_is_not_estimated_nor_of_an_empty_log():
    assert folded([rows([0.5])], [START + 9 * DAY], estimated=False) == ()
    assert folded([], [START + 9 * DAY]) == ()
