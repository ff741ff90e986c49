"""Estimates without labels cover what labels would have said, as far as docs/statistics.md §3 says, and are refused where they cannot."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from flyball.stats import cbpe
from flyball.stats.scores import cells_of

RUNS = 60


def counts(score, second):
    found = {}
    for cell, flag in zip(cells_of(np.asarray(score)).tolist(), np.asarray(second).tolist(), strict=True):
        found.setdefault(cell, [0, 0])[int(flag)] += 1
    return {cell: tuple(pair) for cell, pair in found.items()}


def drawn(rng, n, *, shift=0.0, concept=0.0):
    """Scores that are off by a factor on the log-odds, and labels."""
    x = rng.normal(shift, 1, n)
    return 1 / (1 + np.exp(-(1.35 * x - 0.5))), rng.random(n) < 1 / (1 + np.exp(-(1.5 * x - 0.5 - concept)))


def coverage(seed, *, reference=5_000, window=1_000, **change):
    rng, held = np.random.default_rng(seed), Counter()
    for _ in range(RUNS):
        known = cbpe.scored(counts(*drawn(rng, reference)))
        score, label = drawn(rng, window, **change)
        said = score >= 0.5
        found = cbpe.estimate(known, cbpe.answered(counts(score, said)), rng)
        true = {
            "accuracy": np.mean(said == label),
            "precision": label[said].mean(),
            "recall": said[label].mean(),
            "f1": 2 * np.sum(said & label) / (said.sum() + label.sum()),
            "roc_auc": roc_auc_score(label, score),
        }
        held.update(name for name, value in true.items() if found[name].low <= value <= found[name].high)
    return {name: held[name] / RUNS for name in ("accuracy", "precision", "recall", "f1", "roc_auc")}


def test_without_shift_the_interval_covers_what_labels_say():
    assert min(coverage(0).values()) >= 0.84
    assert min(coverage(1, reference=1_000).values()) >= 0.84


def test_a_mild_shift_of_inputs_is_covered():
    assert min(coverage(2, shift=0.5).values()) >= 0.84


def test_a_strong_shift_is_covered_less_often_than_promised_and_concept_drift_is_not_seen():
    assert coverage(3, reference=1_000, shift=1.5)["roc_auc"] < 0.9
    found = coverage(4, concept=1.0)
    assert found["precision"] < 0.1
    assert found["recall"] < 0.6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=30))
def test_pooling_adjacent_violators_is_isotonic_regression(pairs):
    positives, rows = np.array([min(a, b) for a, b in pairs], dtype=float), np.array([b for _, b in pairs], dtype=float)
    theirs = IsotonicRegression().fit(np.arange(len(pairs)), positives / rows, sample_weight=rows).predict(np.arange(len(pairs)))
    assert cbpe.isotonic(positives, rows) == pytest.approx(theirs)


def test_a_score_between_two_cells_means_what_lies_between_and_one_beyond_what_the_last_means():
    reference = cbpe.scored({0: (9, 1), 10: (1, 9)})
    assert cbpe.meaning(reference, np.array([-50, 0, 5, 10, 99])).tolist() == pytest.approx([0.1, 0.1, 0.5, 0.9, 0.9])


def test_the_same_randomness_gives_the_same_estimate_and_the_point_needs_none():
    rng = np.random.default_rng(5)
    reference, window = cbpe.scored(counts(*drawn(rng, 2_000))), cbpe.answered(counts(*drawn(rng, 500)))
    one, same, other = (cbpe.estimate(reference, window, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same
    assert {name: found.value for name, found in one.items()} == {name: found.value for name, found in other.items()}
    assert one["accuracy"].sd != other["accuracy"].sd


def refused(*, rows=2_000, share=0.4, window=500, shift=0.0, turned=False):
    rng = np.random.default_rng(7)
    score = rng.beta(2, 3, rows)
    label = rng.random(rows) < (score if share == 0.4 else share)
    if turned:
        # what the score means is another thing in every cell
        label = cells_of(score) % 2 == 0
    later = rng.beta(2, 3, window) * (1 - shift) + shift
    return cbpe.refusal(cbpe.scored(counts(score, label)), cbpe.answered(counts(later, later > 0.5)), rng)


def test_nothing_speaks_against_an_estimate_of_calibrated_scores():
    assert refused() == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rows": 900}, "the reference has 900 rows"),
        ({"share": 0.0}, "the reference has 0 rows of one class"),
        ({"share": 0.01}, "rows of one class, and 100 of each are needed"),
        ({"window": 150}, "the window has 150 answers"),
        ({"shift": 0.99}, "% of the scores lie outside"),
    ],
)
def test_an_estimate_is_refused_in_words(change, why):
    assert why in refused(**change)


def test_noise_alone_is_no_calibration_error_and_a_reference_of_two_halves_that_differ_by_luck_is_not_refused():
    rng = np.random.default_rng(8)
    errors = [cbpe.calibration_error(cbpe.scored(counts(*drawn(rng, 1_000))), rng) for _ in range(40)]
    assert np.mean(errors) < 0.01
    assert np.mean(np.array(errors) > cbpe.MOST_ERROR) < 0.1


def test_constant_scores_give_an_estimate_without_any_order():
    found = cbpe.estimate(cbpe.scored({0: (600, 500)}), cbpe.answered({0: (0, 400)}), np.random.default_rng(0))
    assert found["accuracy"].value == pytest.approx(500 / 1100)
    assert found["roc_auc"].value == pytest.approx(0.5)
    assert found["recall"].value == 1.0


def test_a_metric_that_is_not_defined_is_nan_and_never_a_number():
    found = cbpe.estimate(cbpe.scored({0: (1000, 200)}), cbpe.answered({0: (400, 0)}), np.random.default_rng(0))
    assert np.isnan(found["precision"].value)
    assert found["recall"].value == 0.0


def test_empty_counts_raise_in_words_and_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="a window without rows"):
        cbpe.estimate(cbpe.scored({0: (1, 1)}), cbpe.answered({}), rng)
    with pytest.raises(ValueError, match="a reference without rows"):
        cbpe.estimate(cbpe.scored({}), cbpe.answered({0: (1, 1)}), rng)
    assert cbpe.refusal(cbpe.scored({}), cbpe.answered({}), rng).startswith("the reference has 0 rows")
