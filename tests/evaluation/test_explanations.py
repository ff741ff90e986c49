"""Contributions add up to the answer, whatever the model; importances say what is lost without a feature, with an interval."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.evaluation import explanations
from flyball.evaluation.answers import answers


def frame(rows: int, features: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({f"f{place}": rng.normal(size=rows) for place in range(features)})


def crossed(X: pl.DataFrame) -> np.ndarray:
    """No sum of its features: each pair of neighbours is multiplied, and there are steps."""
    table = X.to_numpy()
    return (table[:, :-1] * table[:, 1:]).sum(axis=1) + np.where(table[:, 0] > 0, 3.0, -1.0)


@given(features=st.integers(1, 12), background=st.integers(1, 60), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_base_and_contributions_are_the_answer_for_any_model(features, background, seed):
    rows, row = frame(background, features, seed), frame(1, features, seed + 1)
    drawn = explanations.draws(features, background, seed)
    found = explanations.sampled(crossed, rows, row, drawn)
    assert math.isclose(found.output, float(crossed(row)[0]), abs_tol=1e-9)
    assert math.isclose(found.base + found.parts.sum(), found.output, abs_tol=1e-9)
    assert math.isclose(found.base, float(crossed(rows)[drawn.rows].mean()), abs_tol=1e-9), "the base is the mean of the stored rows"


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_of_a_sum_of_features_the_sampled_contributions_are_those_of_a_linear_model(seed):
    rng = np.random.default_rng(seed)
    weights, rows, row = rng.normal(size=5), frame(40, 5, seed), frame(1, 5, seed + 1)
    found = explanations.sampled(lambda X: X.to_numpy() @ weights + 2.0, rows, row, explanations.draws(5, 40, seed))
    exact = explanations.linear(weights, 2.0, rows.to_numpy().mean(axis=0), row.to_numpy()[0])
    assert np.allclose(found.parts, exact.parts)
    assert math.isclose(found.base, exact.base, abs_tol=1e-9)


def test_a_feature_that_changes_nothing_has_no_part_in_it():
    found = explanations.sampled(lambda X: X["f1"].to_numpy() ** 2, frame(30, 3), frame(1, 3, 9), explanations.draws(3, 30, 0))
    assert found.parts[0] == found.parts[2] == 0
    assert found.parts[1] != 0


def test_two_features_that_only_count_together_share_what_they_bring():
    rows = pl.DataFrame({"a": [0.0] * 50, "b": [0.0] * 50})
    drawn = explanations.draws(2, 50, 1)
    found = explanations.sampled(lambda X: X["a"].to_numpy() * X["b"].to_numpy(), rows, pl.DataFrame({"a": [1.0], "b": [1.0]}), drawn)
    assert found.parts.tolist() == [0.5, 0.5], "an order and its reverse"


@given(features=st.integers(1, 3000), background=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_no_explanation_asks_a_model_for_more_rows_than_a_request_may_have(features, background):
    drawn = explanations.draws(features, background, 0)
    assert len(drawn.rows) * (features + 1) <= max(explanations.MOST_ASKED, 2 * (features + 1))
    assert drawn.rows.min() >= 0
    assert drawn.rows.max() < background


def test_texts_categories_and_missing_values_are_mixed_as_they_are():
    kinds = pl.Enum(["low", "high"])
    rows = pl.DataFrame(
        {"kind": pl.Series(["low", "high", None], dtype=kinds), "note": ["a", None, "c"], "n": pl.Series([1, None, 3], dtype=pl.Int64)}
    )
    row = pl.DataFrame({"kind": pl.Series(["high"], dtype=kinds), "note": ["z"], "n": pl.Series([None], dtype=pl.Int64)})
    seen: list[pl.DataFrame] = []

    def ask(X: pl.DataFrame) -> np.ndarray:
        seen.append(X)
        return (X["note"] == "z").fill_null(False).cast(pl.Float64).to_numpy()

    found = explanations.sampled(ask, rows, row, explanations.draws(3, 3, 0))
    assert seen[0].schema == rows.schema
    assert found.parts.tolist() == [0.0, 1.0, 0.0]


def test_contributions_are_told_by_size_and_then_by_name():
    told = explanations.descending(["b", "a", "c", "d"], np.array([0.5, -0.5, 2.0, 0.0]))
    assert told == [("c", 2.0), ("a", -0.5), ("b", 0.5), ("d", 0.0)]


def lost(X: pl.DataFrame, *, by: np.ndarray) -> np.ndarray:
    return np.abs(X["f0"].to_numpy() - by)


def test_what_a_model_rests_on_is_important_and_what_it_never_looks_at_is_not():
    rows = frame(500, 3)
    truth = rows["f0"].to_numpy() + np.random.default_rng(3).normal(0, 0.1, 500)
    found = dict(explanations.importances(rows, lambda X: lost(X, by=truth), repeats=3, seed=0))
    assert found["f0"].low > 0.5
    assert found["f0"].low < found["f0"].value < found["f0"].high
    assert found["f1"].value == found["f2"].value == 0


def test_importances_are_the_same_again_and_wider_where_rows_come_in_groups():
    rows = frame(300, 2)
    truth = rows["f0"].to_numpy() * 2
    once, again, grouped = (
        dict(explanations.importances(rows, lambda X: lost(X, by=truth), repeats=2, seed=4, groups=groups))["f0"]
        for groups in (None, None, np.arange(300) // 30)
    )
    assert once == again
    assert grouped.value == pytest.approx(once.value)
    assert grouped.high - grouped.low != once.high - once.low


def test_one_row_gives_an_importance_without_an_interval():
    (_, found), *_ = explanations.importances(frame(1, 2), lambda X: lost(X, by=np.zeros(1)), repeats=1, seed=0)
    assert (found.low, found.high, found.n) == (None, None, 1)


def test_a_row_s_loss_is_that_of_its_task():
    def losses(task: str, **columns: list) -> tuple[str, list[float]]:
        name, found = explanations.row_losses(answers(task, pl.DataFrame(columns)))
        return name, [round(each, 6) for each in found.tolist()]

    assert losses("regression", y=[1.0, 2.0], value=[1.5, 0.0]) == ("absolute_error", [0.5, 2.0])
    assert losses("binary", y=[0, 1], value=[0, 0]) == ("error", [0.0, 1.0])
    assert losses("binary", y=[0, 1], value=[0, 0], score=[0.2, 0.4]) == ("log_loss", [0.223144, 0.916291])
    assert losses("binary", y=[1], value=[0], score=[0.0]) == ("log_loss", [13.815511]), "certain and wrong is bad, and not all there is"
    assert losses("multiclass", y=["a", "c"], value=["a", "b"], score=[[0.5, 0.2, 0.3], [0.1, 0.8, 0.1]])[0] in {"log_loss", "error"}
