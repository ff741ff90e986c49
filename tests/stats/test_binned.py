"""Counts of scores say what the scores themselves would."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.evaluation.answers import Answers
from flyball.evaluation.rows import in_top
from flyball.stats import binned, clusters, delong
from flyball.stats.calibration import reliability


def world(seed=0, n=20_000, slope=1.0, shift=-2.0, noise=0.6):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n) * slope + shift
    y = rng.random(n) < 1 / (1 + np.exp(-z))
    return 1 / (1 + np.exp(-(z + rng.normal(size=n) * noise))), y


@pytest.mark.parametrize(("slope", "shift"), [(1.0, -2.0), (2.0, 0.0), (1.5, -5.0), (0.5, 1.0)])
def test_auc_calibration_and_recall_of_the_top_are_those_of_the_rows(slope, shift):
    score, y = world(slope=slope, shift=shift)
    cells = binned.unpack(binned.of(score, y))
    exact = delong.auc(y, score)
    found = binned.auc(cells)
    assert found.value == pytest.approx(exact.value, abs=0.001)
    assert found.se == pytest.approx(exact.se, rel=0.02)
    assert binned.calibration(cells).value == pytest.approx(reliability(y.astype(float), score).error, abs=0.005)
    for share in (0.01, 0.05, 0.2):
        exact_recall = float(in_top(score, share) @ y) / y.sum()
        assert binned.recall_of_top(cells, share).value == pytest.approx(exact_recall, abs=0.006)


def test_a_model_with_a_few_distinct_scores_is_read_at_these_scores():
    rng = np.random.default_rng(1)
    score = rng.choice([0.1, 0.5, 0.73], size=20_000)
    y = rng.random(20_000) < score
    cells = binned.unpack(binned.of(score, y))
    assert binned.calibration(cells).value == pytest.approx(reliability(y.astype(float), score).error, abs=2e-4)
    assert binned.auc(cells).value == pytest.approx(delong.auc(y, score).value, abs=1e-12)


def test_a_spread_is_that_of_the_rows_one_by_one():
    values, weights = np.array([0.0, 2.0, 5.0]), np.array([7.0, 2.0, 4.0])
    found, each = binned.weighted(values, weights), clusters.mean(np.repeat(values, weights.astype(int)))
    assert found == pytest.approx(each)


def test_recall_of_the_top_has_the_spread_that_rows_have():
    score, y = world(seed=5)
    answers = Answers("binary", y.astype(float), (score > 0.5).astype(float), score)
    from flyball.evaluation.rows import row_values

    each = clusters.mean(row_values("recall_at_5%", answers).values)
    assert binned.recall_of_top(binned.unpack(binned.of(score, y)), 0.05).se == pytest.approx(each.se, rel=0.05)


scores = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(rows=scores, cut=st.integers(0, 60))
def test_cells_add_up_wherever_rows_are_cut(rows, cut):
    score, y = np.array([each for each, _ in rows]), np.array([each for _, each in rows])
    whole = binned.of(score, y)
    assert binned.merged([binned.of(score[:cut], y[:cut]), binned.of(score[cut:], y[cut:])]) == whole
    cells = binned.unpack(whole)
    assert (int(cells.positives.sum()), int(cells.rows.sum())) == (int(y.sum()), y.size)
    assert binned.pack(cells) == whole
    assert np.all(np.diff(cells.cell) > 0)
    mean = float(cells.rows @ cells.score) / y.size
    assert mean == pytest.approx(float(np.clip(score, 1e-6, 1 - 1e-6).mean()), abs=2e-4)


def test_no_rows_are_no_bytes_and_other_bytes_are_refused():
    assert binned.of(np.empty(0), np.empty(0, dtype=bool)) == b""
    assert binned.merged([b"", b""]) == b""
    assert binned.unpack(b"").rows.size == 0
    with pytest.raises(ValueError, match="no packed cells"):
        binned.unpack(b"something else")


def test_one_row_of_each_class_has_an_auc_without_an_interval():
    found = binned.auc(binned.unpack(binned.of(np.array([0.2, 0.8]), np.array([False, True]))))
    assert (found.value, found.se) == (1.0, np.inf)


def test_a_month_of_cells_of_one_slice_is_small():
    score, y = world(n=200_000)
    assert len(binned.of(score, y)) < 1_500
