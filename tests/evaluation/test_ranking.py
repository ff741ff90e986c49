"""Lists are worth what the standard says: NDCG and recall of the first K, over lists, with the list (or who asked) as the unit."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from sklearn.metrics import ndcg_score

import flyball as fb
from flyball.declare.metrics import at_k, metric_info, metric_names
from flyball.evaluation.answers import answers
from flyball.evaluation.detector import loss_bound
from flyball.evaluation.gates import Holdout, judge
from flyball.evaluation.metrics import measure
from flyball.evaluation.power import of_gate
from flyball.evaluation.ranking import of_lists
from flyball.evaluation.slices import by_slice
from flyball.records.estimates import Outcome


def frame(lists: int = 200, items: int = 12, noise: float = 0.5, seed: int = 0) -> pl.DataFrame:
    """Lists with relevance 0 to 4; `value` is the relevance with noise, `champion_value` with twice as much, `base_value` a constant."""
    rng = np.random.default_rng(seed)
    n = lists * items
    y = rng.integers(0, 5, n).astype(float)
    return pl.DataFrame(
        {
            "__time": np.repeat(np.arange(lists), items),
            "__group": np.repeat(np.arange(lists) % 90, items),
            "y": y,
            "value": y + rng.normal(0, noise, n),
            "champion_value": y + rng.normal(0, 2 * noise + 0.5, n),
            "base_value": np.zeros(n),
            "device": np.repeat(np.where(np.arange(lists) % 2, "phone", "desk"), items),
        }
    )


ragged = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=2, max_size=15).filter(lambda one: any(y for y, _ in one)),
    min_size=1,
    max_size=8,
)


@given(ragged, st.integers(1, 20))
def test_ndcg_is_what_scikit_learn_computes_with_ties_and_all(lists: list[list[tuple[int, int]]], k: int):
    y = np.array([float(y) for one in lists for y, _ in one])
    score = np.array([float(s) for one in lists for _, s in one])
    numbers = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    found = of_lists("ndcg", k, y=y, score=score, lists=numbers).values
    theirs = [ndcg_score([[y for y, _ in one]], [[s for _, s in one]], k=k) for one in lists]
    assert found == pytest.approx(theirs)


@given(ragged, st.integers(1, 20), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_worth_nothing(lists: list[list[tuple[int, int]]], k: int, random: object):
    rows = [(number, y, s) for number, one in enumerate(lists) for y, s in one]
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]

    def values(given: list[tuple[int, int, int]], kind: str) -> np.ndarray:
        number, y, s = (np.array(column) for column in zip(*given, strict=True))
        return of_lists(kind, k, y=y.astype(float), score=s.astype(float), lists=number).values

    for kind in ("ndcg", "recall"):
        assert values(mixed, kind) == pytest.approx(values(rows, kind))


def test_recall_is_the_share_of_relevant_items_among_the_first():
    y, score = np.array([1.0, 0, 2, 0, 3]), np.array([5.0, 4, 3, 2, 1])
    one = np.zeros(5, dtype=np.int64)
    assert of_lists("recall", 1, y=y, score=score, lists=one).values == pytest.approx([1 / 3])
    assert of_lists("recall", 3, y=y, score=score, lists=one).values == pytest.approx([2 / 3])
    assert of_lists("recall", 9, y=y, score=score, lists=one).values == pytest.approx([1])


def test_a_list_without_a_relevant_item_is_left_out_and_counted():
    given = frame(lists=60).with_columns(y=pl.when(pl.col("__time") < 7).then(0.0).otherwise(pl.col("y")))
    whole = measure("ranking", given, ["recall_at_3"], group="__group")["recall_at_3"]
    rest = measure("ranking", given.filter(pl.col("__time") >= 7), ["recall_at_3"], group="__group")["recall_at_3"]
    assert (whole.value, whole.n) == (pytest.approx(rest.value), 53)
    assert whole.why == "7 of 60 lists have no relevant item and are left out"
    nothing = measure("ranking", given.with_columns(y=pl.lit(0.0)), ["ndcg_at_3"], group="__group")["ndcg_at_3"]
    assert (nothing.value, nothing.why) == (None, "none of 60 lists has a relevant item")


def test_the_interval_is_students_over_groups():
    # one list a group: the interval is that of the mean of its values, but for a list that goes wrong which nobody has seen
    given = frame(lists=90, noise=4)
    found = measure("ranking", given, ["ndcg_at_5"], group="__group")["ndcg_at_5"]
    values = np.array([ndcg_score([part["y"]], [part["value"]], k=5) for part in given.partition_by("__time")])
    reach = student.ppf(0.975, 89) * values.std(ddof=1) / math.sqrt(90)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 90)
    assert reach <= found.value - found.low <= 1.35 * reach
    assert reach <= found.high - found.value <= 1.35 * reach


def test_lists_of_one_group_at_other_times_are_lists_of_their_own_and_one_cluster():
    # every group asks twice and sees the same list: twice as many lists, and no more is known
    once = frame(lists=50)
    twice = pl.concat([once, once.with_columns(pl.col("__time") + 50)])
    one = measure("ranking", once, ["ndcg_at_5"], group="__group")["ndcg_at_5"]
    two = measure("ranking", twice, ["ndcg_at_5"], group="__group")["ndcg_at_5"]
    assert (two.n, two.value, two.low) == (100, pytest.approx(one.value), pytest.approx(one.low, abs=0.005))


def test_a_long_list_counts_as_much_as_a_short_one():
    long, short = frame(lists=40, items=30, noise=3), frame(lists=40, items=3, noise=0).with_columns(pl.col("__time") + 40)
    each = [measure("ranking", part, ["ndcg_at_3"], group="__group")["ndcg_at_3"].value for part in (long, short)]
    both = measure("ranking", pl.concat([long, short]), ["ndcg_at_3"], group="__group")["ndcg_at_3"].value
    counted = [sum(part["y"].max() > 0 for part in given.partition_by("__time")) for given in (long, short)]  # type: ignore[operator]
    assert both == pytest.approx(np.average(np.array(each, dtype=float), weights=counted))


def test_gates_compare_rankings_with_the_champion_and_the_baseline_list_by_list():
    gates = [
        fb.metric("ndcg_at_5") >= fb.champion,
        fb.metric("ndcg_at_5") >= fb.baseline + 0.1,
        fb.metric("recall_at_5").lower >= 0.5,
        fb.metric("ndcg_at_5").by("device") >= 0.8,
        fb.metric("ndcg_at_5").gap("device") <= 0.1,
    ]
    found = judge(gates, Holdout(frame(), "ranking", slices=("device",), group="__group"))
    assert [verdict.outcome for verdict in found] == [Outcome.PASS] * 6, found
    assert [verdict.slice for verdict in found][3:5] == ["device=desk", "device=phone"]
    swapped = frame().rename({"value": "champion_value", "champion_value": "value"})
    assert judge(gates[:1], Holdout(swapped, "ranking", group="__group"))[0].outcome is Outcome.FAIL


def test_few_lists_are_insufficient_however_long_they_are():
    (verdict,) = judge([fb.metric("ndcg_at_10") >= 0.1], Holdout(frame(lists=20, items=500), "ranking", group="__group"))
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert "20 lists < 30" in verdict.why
    (few,) = judge([fb.metric("ndcg_at_10") >= 0.1], Holdout(frame().with_columns(pl.col("__group") % 20), "ranking", group="__group"))
    assert few.outcome is Outcome.INSUFFICIENT
    assert "20 entities < 30" in few.why


def test_a_slice_has_the_metrics_of_its_lists():
    found = by_slice("ranking", frame(), ["device"], group="__group")
    assert set(found) == {"device=desk", "device=phone"}
    only = measure("ranking", frame().filter(pl.col("device") == "desk"), ["ndcg_at_10", "recall_at_10"], group="__group")
    assert found["device=desk"] == only


def test_a_constant_is_worth_a_shuffled_list():
    given = frame(lists=400, noise=0).sort("__time", "y", descending=[False, True])
    flat = measure("ranking", given.with_columns(value=pl.lit(1.0)), ["ndcg_at_5"], group="__group")["ndcg_at_5"].value
    shuffled = given.with_columns(value=pl.Series(np.random.default_rng(3).uniform(size=given.height)))
    chance = measure("ranking", shuffled, ["ndcg_at_5"], group="__group")["ndcg_at_5"]
    assert flat is not None
    assert chance.low is not None
    assert chance.high is not None
    assert chance.low < flat < chance.high


def test_names_say_how_many_items_and_never_a_share():
    assert at_k("recall_at_1%") is None
    assert at_k("ndcg_at_0") is None
    assert at_k("recall_at_10") == ("recall", 10)
    assert metric_info("ndcg_at_7").tasks == {"ranking"}  # type: ignore[union-attr]
    assert metric_info("recall_at_1%").tasks == {"binary"}  # type: ignore[union-attr]
    assert metric_names("ranking") == ("ndcg_at_10", "recall_at_10")


def test_without_groups_there_are_no_lists():
    assert answers("ranking", frame()).lists is None
    assert measure("ranking", frame(), ["ndcg_at_5"])["ndcg_at_5"].why == "there are no lists"


def test_the_detector_of_losses_watches_no_ranking():
    assert loss_bound("ranking", frame(), group="__group") == (1.0, 1.0)


def test_what_a_gate_can_see_counts_lists_and_no_rows():
    found = of_gate(fb.metric("ndcg_at_5") >= fb.champion - 0.01, Holdout(frame(), "ranking", group="__group"))
    assert found is not None
    [whole] = found.seen
    assert (found.basis, whole.n) == ("measured", 200)
    alone = of_gate(fb.metric("ndcg_at_5") >= fb.champion - 0.01, Holdout(frame().drop("champion_value"), "ranking", group="__group"))
    assert alone is not None
    assert alone.basis == "assumed: versions differ in a list as one does from its mean"
