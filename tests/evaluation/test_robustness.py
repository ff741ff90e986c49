"""What is lost when features are not what they should be, of models whose loss is known."""

import numpy as np
import polars as pl
import pytest

from flyball.errors import BadInput
from flyball.evaluation.answers import Answers
from flyball.evaluation.robustness import NEVER_SEEN, lost_share, robustness

N = 4_000


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    X = pl.DataFrame({"a": random.normal(size=N), "b": random.normal(size=N), "kind": random.choice(["x", "y"], N)})
    return X, (X["a"] > 0).to_numpy().astype(np.float64)


def model(y, rule, seen=None):
    """Ask a rule (features to 0/1), which sees what it is asked."""

    def ask(X):
        if seen is not None:
            seen.append(X)
        return Answers("binary", y, np.asarray(rule(X), dtype=np.float64))

    return ask


def by_a(X):
    return X["a"].fill_null(-1.0) > 0


def found_of(X, ask, **told):
    return {each.kind: each for each in robustness(X, ask, "accuracy", **({"may_miss": ["a"]} | told))}


def test_a_model_of_one_column_loses_what_that_column_says(rows):
    X, y = rows
    found = found_of(X, model(y, by_a))

    assert found["permuted"].columns == ("a",)
    assert found["permuted"].lost.value == pytest.approx(0.5, abs=0.04)
    assert found["permuted"].after.value == pytest.approx(0.5, abs=0.04)
    # a tenth is missing, of which half were positive
    assert found["missing"].lost.low < 0.05 < found["missing"].lost.high
    assert found["missing"].columns == ("a",)
    assert 0 < found["noise"].lost.value < 0.06
    assert found["unseen"].lost.value == 0.0
    assert found["unseen"].before.value == 1.0


def test_what_is_changed_is_a_tenth_of_the_values_and_nothing_else(rows):
    X, y = rows
    seen = []
    found_of(X, model(y, by_a, seen))
    missing, noise, unseen = seen[1], seen[2], seen[3]

    assert missing["a"].null_count() == pytest.approx(N / 10, rel=0.15)
    assert missing.drop("a").equals(X.drop("a"))
    assert (noise["a"] - X["a"]).std() == pytest.approx(0.1, rel=0.1)
    assert noise["kind"].equals(X["kind"])
    assert (unseen["kind"] == NEVER_SEEN).mean() == pytest.approx(0.1, abs=0.02)
    assert unseen.drop("kind").equals(X.drop("kind"))


def test_a_model_that_needs_nothing_loses_nothing(rows):
    X, _ = rows
    found = found_of(X, model(np.ones(N), lambda X: np.ones(X.height)))

    assert {each.lost.value for each in found.values()} == {0.0}


def raises(X):
    if X["a"].null_count():
        raise BadInput('model "m" failed to predict 4000 rows: ValueError: Input contains NaN')
    return by_a(X)


def test_a_model_that_fails_on_what_is_declared_to_be_possible_loses_all(rows):
    X, y = rows
    lost = found_of(X, model(y, raises), may_miss=["a"])["missing"].lost

    assert lost.value == 1.0
    assert lost.why.startswith("fails on missing values: ")
    assert "Input contains NaN" in lost.why


def test_a_model_that_fails_on_what_its_contract_excludes_is_only_said_to(rows):
    X, y = rows
    found = found_of(X, model(y, raises), may_miss=[])["missing"]

    assert found.lost.value is None
    assert "fails on missing values" in found.lost.why
    assert "no column may have any, by what is declared" in found.lost.why
    assert found.after is None


def test_where_nothing_can_be_changed_it_is_said(rows):
    X, y = rows
    found = found_of(X, model(y, by_a), closed=["kind"])
    assert "no feature is a text whose values are open" in found["unseen"].lost.why

    texts = found_of(X.select("kind"), model(y, lambda X: X["kind"] == "x"), may_miss=[])
    assert "no feature is a number" in texts["noise"].lost.why


def test_whole_numbers_stay_whole_and_in_their_range(rows):
    _, y = rows
    X = pl.DataFrame({"count": np.arange(N)})
    seen = []
    found_of(X, model(y, lambda X: X["count"].fill_null(0) > 0, seen), may_miss=[])

    assert seen[2]["count"].dtype == pl.Int64
    assert (seen[2]["count"].min(), seen[2]["count"].max()) == (0, N - 1)


def test_a_loss_is_a_share_of_the_objective_with_an_interval_of_the_same_rows():
    random = np.random.default_rng(1)
    y = random.normal(size=10_000)
    good = Answers("regression", y, y + random.choice([-1.0, 1.0], 10_000))
    bad = Answers("regression", y, y + 1.5 * (good.value - y))

    found = lost_share("mae", good, bad)
    assert found.value == pytest.approx(0.5)
    assert found.high - found.low < 1e-6, "every row loses the same, so nothing is left to chance"
    assert lost_share("mae", bad, good).value == pytest.approx(-1 / 3)
    perfect = Answers("regression", y, y)
    assert "there is no share of it to lose" in lost_share("mae", perfect, good).why


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random, covered = np.random.default_rng(2), 0
    for _ in range(200):
        y = np.ones(400)
        before = Answers("binary", y, (random.random(400) < 0.9).astype(np.float64))
        after = Answers("binary", y, before.value * (random.random(400) < 0.8))
        found = lost_share("accuracy", before, after)
        covered += found.low <= 0.2 <= found.high

    assert covered >= 180


def test_an_objective_that_is_not_defined_says_so(rows):
    X, y = rows
    with pytest.raises(BadInput, match="roc_auc is not defined on these 4000 rows"):
        list(robustness(X, model(y, by_a), "roc_auc", may_miss=[]))
