"""Groups beside each other: metrics a group, and gaps with intervals, on rows with known answers."""

import numpy as np
import polars as pl
import pytest

from flyball.errors import BadInput
from flyball.evaluation.answers import Answers
from flyball.evaluation.fairness import groups


def rows(n=6_000, seed=0):
    """Women who are positive are found half the time, men four times in five; nobody else is called positive but one in ten."""
    random = np.random.default_rng(seed)
    sex = random.choice(["f", "m"], n)
    y = (random.random(n) < 0.4).astype(np.float64)
    recall = np.where(sex == "f", 0.5, 0.8)
    value = (random.random(n) < np.where(y == 1, recall, 0.1)).astype(np.float64)
    score = np.where(value == 1, 0.8, 0.2)
    return Answers("binary", y, value, score), pl.Series("sex", sex)


def test_the_gaps_that_are_there_are_measured_with_their_groups():
    found = groups(*rows(), protected=True)

    assert [group.value for group in found.groups] == ["f", "m"]
    assert sum(group.n for group in found.groups) == 6_000
    parity, opportunity, odds = (found.gaps[name] for name in ("positive_rate", "recall", "equalised_odds"))
    assert parity.gap.value == pytest.approx(0.4 * 0.3, abs=0.03)
    assert opportunity.gap.low < 0.3 < opportunity.gap.high
    assert opportunity.between.startswith("f 0.5")
    assert odds.between.startswith("recall f 0.5")
    assert odds.gap.value == opportunity.gap.value
    assert found.groups[0].metrics["recall"].low < 0.5 < found.groups[0].metrics["recall"].high
    assert found.groups[1].metrics["false_positive_rate"].value == pytest.approx(0.1, abs=0.02)


def test_scores_that_are_wrong_for_one_group_show_in_its_calibration():
    answers, sex = rows()
    random = np.random.default_rng(1)
    score = random.random(answers.n)
    y = (random.random(answers.n) < np.where(sex.to_numpy() == "f", score / 2, score)).astype(np.float64)
    found = groups(Answers("binary", y, (score >= 0.5).astype(np.float64), score), sex, protected=True)

    assert found.groups[0].metrics["calibration_error"].value == pytest.approx(0.25, abs=0.03)
    assert found.groups[1].metrics["calibration_error"].value < 0.04
    assert found.gaps["calibration_error"].gap.value == pytest.approx(0.25, abs=0.04)


def test_without_scores_there_is_no_calibration_and_other_tasks_have_their_own_metric():
    answers, sex = rows()
    assert "calibration_error" not in groups(Answers("binary", answers.y, answers.value), sex, protected=True).gaps

    wide = np.where(sex.to_numpy() == "f", 2.0, 1.0)
    numbers = groups(Answers("regression", answers.y, answers.y + wide), sex, protected=False)
    assert {name: each.gap.value for name, each in numbers.gaps.items()} == {"mae": 1.0}
    classes = groups(Answers("multiclass", answers.y, answers.value), sex, protected=False)
    assert set(classes.gaps) == {"accuracy"}


def test_a_group_that_is_too_small_is_named_and_a_number_is_cut_into_parts():
    answers, sex = rows()
    with_few = pl.Series("sex", ["x"] * 80 + sex.to_list()[80:])
    assert "x: n=80 < 100" in groups(answers, with_few, protected=True).gaps["recall"].lacking

    age = groups(answers, pl.Series("age", np.arange(answers.n) % 60 + 18), protected=True)
    assert [group.value for group in age.groups][:2] == ["≤ 29", "(29, 41]"]
    assert len(age.groups) == 5


def test_a_column_without_groups_says_so():
    answers, _ = rows(400)
    with pytest.raises(BadInput, match="all rows are f"):
        groups(answers, pl.Series("sex", ["f"] * 400), protected=True)
    with pytest.raises(BadInput, match="each of its values is rare"):
        groups(answers, pl.Series("name", [f"n{place}" for place in range(400)]), protected=True)
