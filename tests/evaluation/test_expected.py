"""What is kept of a hold-out is counts, from which its metrics and its error follow again, and no row."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flyball.evaluation.answers import answers
from flyball.evaluation.expected import expected, groups_of, places_of
from flyball.evaluation.reference import reference
from flyball.records import codec
from flyball.records.unlabelled import Expected


def held(n=2_000, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.beta(2, 2, n)
    return pl.DataFrame({"y": (rng.random(n) < score).astype(int), "value": (score > 0.6).astype(int), "score": score})


def of(task, frame, **more):
    return expected(answers(task, frame, **more), (), pl.DataFrame())


def test_scores_are_counted_by_cell_decision_and_label():
    frame = held()
    found = of("binary", frame, classes=(0, 1))
    sums = np.array(list(found.scores.values())).sum(axis=0).tolist()
    y, value = frame["y"].to_numpy(), frame["value"].to_numpy()
    assert sums == [int(((value == v) & (y == label)).sum()) for v, label in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert codec.decode(codec.encode(found), Expected) == found


@pytest.mark.parametrize(
    ("task", "frame", "why"),
    [
        ("binary", held().with_columns(score=pl.lit(None, pl.Float64)), "gives no scores"),
        ("binary", held().with_columns(score=pl.col("score") * 2), "gives no scores"),
        ("multiclass", held().with_columns(score=pl.lit(None, pl.Float64)), "several classes"),
        ("regression", held(500), "500 rows with an error, and 1,000 are needed"),
    ],
)
def test_what_cannot_be_estimated_says_why(task, frame, why):
    found = of(task, frame)
    assert not found.scores
    assert found.errors is None
    assert why in found.why


def test_one_class_is_counted_and_left_to_the_estimate_to_refuse():
    found = of("binary", held().with_columns(y=pl.lit(0)), classes=(0, 1))
    assert sum(four[1] + four[3] for four in found.scores.values()) == 0


def numbers(seed=0, n=4_000):
    rng = np.random.default_rng(seed)
    x, kind = rng.normal(0, 1, n), rng.choice(["calm", "wild"], n)
    value = x + rng.normal(0, 1, n)
    y = value + np.where(kind == "wild", 4.0, 1.0) * rng.normal(0, 1, n)
    return pl.DataFrame({"y": y, "value": value}), pl.DataFrame({"x": x, "kind": kind, "prediction": value})


def test_the_error_model_names_the_column_that_tells_and_its_mean_is_the_hold_outs():
    frame, columns = numbers()
    bins = reference(columns, columns.columns)
    found = expected(answers("regression", frame), bins, columns).errors
    assert found is not None
    assert [part.column for part in found.columns] == ["kind"]
    assert found.mean == pytest.approx(float((frame["y"] - frame["value"]).abs().mean()))
    assert len(found.columns[0].group_of) == len(bins[1].counts) + 1
    assert len(found.effects) == len(found.covariance) == len(found.squares) == 1 + found.columns[0].groups


def test_errors_that_are_not_finite_are_left_out():
    frame, columns = numbers()
    frame = frame.with_columns(value=pl.when(pl.int_range(pl.len()) < 10).then(float("nan")).otherwise(pl.col("value")))
    found = expected(answers("regression", frame), reference(columns, columns.columns), columns).errors
    assert found is not None
    assert found.n == 3_990


def test_every_value_has_a_cell_nulls_the_last_and_each_group_has_enough_rows():
    series = pl.Series("x", [*np.random.default_rng(1).normal(0, 1, 3_000), *[None] * 300])
    [bins] = reference(pl.DataFrame({"x": series}), ["x"])
    places = places_of(bins, series)
    assert (places[-300:] == len(bins.counts)).all()
    assert np.bincount(places)[:-1].tolist() == list(bins.counts)
    groups = groups_of(bins, places)
    assert groups[-1] == groups.max(), "as many nulls are a group of their own"
    assert np.bincount(groups[places]).min() >= 0.03 * 3_300
    texts = pl.Series("c", ["a"] * 900 + ["b"] * 90 + [f"rare-{n}" for n in range(50)] + [None])
    [bins] = reference(pl.DataFrame({"c": texts}), ["c"])
    places = places_of(bins, texts)
    groups = groups_of(bins, places)
    assert len({groups[places[0]], groups[places[900]], groups[places[990]]}) == 3
    assert len(set(groups[places[990:]].tolist())) == 1, "what is rare is together, and nulls are too few"
