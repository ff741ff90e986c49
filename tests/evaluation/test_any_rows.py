"""Whatever the rows are like, a gate gives a verdict in words and finite numbers, never a traceback and never a pass by accident."""

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.declare.checks import baseline, champion, metric
from flyball.declare.metrics import metric_names
from flyball.evaluation.detector import loss_bound
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.metrics import measure
from flyball.evaluation.slices import by_slice
from flyball.records.estimates import Outcome

NUMBERS = st.one_of(st.none(), st.integers(-(10**8), 10**8).map(lambda cents: cents / 100), st.sampled_from([0.0, 3.0, math.nan, math.inf]))
FLAGS = st.one_of(st.none(), st.integers(0, 1))
SCORES = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, math.nan]), st.floats(0, 1))


def frames(values):
    """Up to 40 rows, repeated up to 6 times so that some are enough to judge."""
    row = st.tuples(values, values, values, values, SCORES, SCORES, SCORES, st.sampled_from([None, 1, 2]))
    return st.builds(
        lambda rows, times: pl.DataFrame(
            rows * times,
            schema=["y", "value", "base_value", "champion_value", "score", "base_score", "champion_score", "group"],
            orient="row",
            infer_schema_length=None,
        ),
        st.lists(row, min_size=0, max_size=40),
        st.integers(1, 6),
    )


def gates(task):
    for name in metric_names(task):
        for each in (metric(name), metric(name).lower, metric(name).by("group"), metric(name).gap("group")):
            yield from (each >= 0.5, each <= champion - 0.02, each <= champion * 1.01, each >= baseline)


@pytest.mark.parametrize(("task", "values"), [("binary", FLAGS), ("forecast", NUMBERS)])
def test_every_verdict_is_made_of_finite_numbers_and_words(task, values):
    @settings(max_examples=60, deadline=None)
    @given(frames(values))
    def holds(frame):
        verdicts = judge(list(gates(task)), Holdout(frame, task, slices=("group",)))
        estimates = [
            *measure(task, frame).values(),
            *(each for part in by_slice(task, frame, ["group"]).values() for each in part.values()),
        ]
        for found in (*estimates, *(each for verdict in verdicts for each in (verdict.estimate, verdict.reference) if each)):
            assert all(math.isfinite(number) for number in (found.value, found.low, found.high) if number is not None)
            assert found.value is not None or found.why
            if None not in (found.value, found.low, found.high):
                assert found.low <= found.value <= found.high
        assert all(verdict.why for verdict in verdicts)
        labelled = frame["y"].is_not_null().sum()
        assert labelled >= 100 or all(verdict.outcome == Outcome.INSUFFICIENT for verdict in verdicts)
        bound, cap = loss_bound(task, frame)
        assert 0 < bound <= 1
        assert cap > 0

    holds()
