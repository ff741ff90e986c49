"""Weak slices: found where they are, and next to never where they are not."""

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.errors import BadInput
from flyball.evaluation import weak
from flyball.evaluation.answers import Answers
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout, Measured
from flyball.evaluation.weak import counted, weak_slices
from flyball.records.estimates import Outcome


def columns(n, random):
    """Three columns of numbers and three of text that have nothing to do with anything."""
    numbers = {f"number{place}": pl.Series(random.normal(size=n)) for place in range(3)}
    return numbers | {f"text{place}": pl.Series(random.choice(list("abcde"), n)) for place in range(3)}


def answered(wrong, random):
    y = (random.random(wrong.size) < 0.5).astype(np.float64)
    return Answers("binary", y, np.where(wrong, 1 - y, y))


def planted(n, seed=0, error=0.05):
    """One value of one column, a fifth of the rows, is wrong nine times in ten; the others are wrong as often as `error`."""
    random = np.random.default_rng(seed)
    colour = random.choice(["red", "green", "blue", "black", "white"], n)
    wrong = (random.random(n) < error) | ((colour == "red") & (random.random(n) < 0.9))
    return answered(wrong, random), columns(n, random) | {"colour": pl.Series(colour)}


def test_what_only_overlaps_the_weak_slice_is_not_named_beside_it():
    found = [weak_slices(*planted((500, 2_000, 6_000)[seed % 3], seed), seed=seed) for seed in range(60)]

    assert all(each.found[0].where == "colour=red" for each in found)
    assert sum(each.count > 1 for each in found) <= 3, "1 of 60 when this was written"


@pytest.mark.parametrize("n", [500, 2_000, 20_000])
def test_one_value_of_one_column_that_is_wrong_is_found_alone(n):
    found = weak_slices(*planted(n, seed=1))

    assert found.count == 1
    (one,) = found.found
    assert (one.where, one.metric) == ("colour=red", "accuracy")
    assert one.share == pytest.approx(0.2, abs=0.05)
    assert one.n == pytest.approx(n / 5, rel=0.25)
    assert one.here.value == pytest.approx(0.1, abs=0.1)
    assert one.rest.value == pytest.approx(0.95, abs=0.03)
    assert one.here.n + one.rest.n == n - n // 2  # the half that the search has not seen


def test_a_pair_of_values_is_found_where_neither_of_them_is_weak_alone():
    random = np.random.default_rng(1)
    n = 8_000
    about = columns(n, random)
    both = ((about["text0"] == "a") & (about["text1"] == "b")).to_numpy()
    found = weak_slices(answered((random.random(n) < 0.05) | (both & (random.random(n) < 0.7)), random), about)

    assert [one.where for one in found.found] == ["text0=a, text1=b"]


def test_a_bin_of_a_number_and_missing_values_are_slices_too():
    random = np.random.default_rng(2)
    n = 6_000
    about = columns(n, random)
    about["number0"] = pl.Series(np.where(random.random(n) < 0.1, np.nan, about["number0"].to_numpy())).fill_nan(None)
    bad = about["number0"].is_null().to_numpy() | (about["number1"] > about["number1"].quantile(0.9)).to_numpy()
    found = weak_slices(answered((random.random(n) < 0.03) | (bad & (random.random(n) < 0.6)), random), about)

    wheres = {one.where for one in found.found}
    assert "number0=null" in wheres
    assert any(where.startswith("number1 > ") for where in wheres)
    assert found.count == 2


def test_numbers_are_judged_by_their_absolute_error():
    random = np.random.default_rng(3)
    n = 4_000
    about = columns(n, random)
    spread = np.where((about["text2"] == "e").to_numpy(), 6.0, 1.0)
    y = random.normal(100, 20, n)
    found = weak_slices(Answers("regression", y, y + random.normal(0, spread)), about)

    (one,) = found.found
    assert (one.where, one.metric) == ("text2=e", "mae")
    assert one.here.value == pytest.approx(6 * np.sqrt(2 / np.pi), rel=0.15)
    assert one.rest.value == pytest.approx(np.sqrt(2 / np.pi), rel=0.15)


def test_where_there_is_nothing_next_to_nothing_is_found():
    """200 hold-outs without any weak slice, small and large, often right and often wrong: α = .05 for each."""
    random, false = np.random.default_rng(4), 0
    for turn in range(200):
        n, error = (300, 1_000, 3_000)[turn % 3], (0.05, 0.2)[turn % 2]
        found = weak_slices(answered(random.random(n) < error, random), columns(n, random), seed=turn)
        false += found.count > 0

    assert false <= 10, "4 of 200 when this was written"


def test_a_difference_that_is_certain_and_small_is_no_weak_slice():
    random = np.random.default_rng(5)
    n = 100_000
    about = columns(n, random)
    wrong = random.random(n) < np.where((about["text0"] == "a").to_numpy(), 0.13, 0.10)

    assert weak_slices(answered(wrong, random), about).count == 0


def test_what_is_worse_for_most_rows_is_no_slice():
    random = np.random.default_rng(6)
    n = 4_000
    about = {"kind": pl.Series(np.where(random.random(n) < 0.8, "most", "few"))}
    wrong = random.random(n) < np.where((about["kind"] == "most").to_numpy(), 0.4, 0.05)

    assert weak_slices(answered(wrong, random), about).count == 0


def test_rows_of_one_entity_count_as_one():
    """Twelve entities whose rows all go wrong together: as rows they would be evidence, as entities they are chance."""
    random = np.random.default_rng(7)
    of = np.repeat(np.arange(40), 100)
    wrong = (random.random(40) < 0.2)[of]
    about = {"kind": pl.Series(random.choice(list("abcd"), 40)[of])}
    alone = answered(wrong, random)

    assert weak_slices(alone, about).count > 0
    assert weak_slices(Answers(alone.task, alone.y, alone.value, groups=of), about).count == 0


def test_of_many_rows_a_sample_is_looked_through_and_it_is_said(monkeypatch):
    monkeypatch.setattr(weak, "MOST_ROWS", 5_000)
    found = weak_slices(*planted(20_000))

    assert (found.rows, found.of) == (5_000, 20_000)
    assert [one.where for one in found.found] == ["colour=red"]
    assert weak_slices(*planted(20_000)) == found, "the same seed takes the same rows"


def test_of_many_columns_pairs_are_made_of_those_that_differ_most(monkeypatch):
    monkeypatch.setattr(weak, "MOST_PAIRED", 3)

    assert weak_slices(*planted(2_000)).pairs == 3


def test_what_cannot_be_searched_says_why():
    with pytest.raises(BadInput, match="n=150 < 200"):
        weak_slices(*planted(150))
    found, _ = planted(400)
    with pytest.raises(BadInput, match="no column has few values"):
        weak_slices(found, {"id": pl.Series([f"id {place}" for place in range(400)])})
    with pytest.raises(BadInput, match="a ranking whose rows are in no lists"):
        weak_slices(Answers("ranking", found.y, found.value), {})
    with pytest.raises(BadInput, match="n=199 lists < 200"):
        weak_slices(*ordered(199))


def ordered(lists: int, items: int = 8, seed: int = 0) -> tuple[Answers, dict[str, pl.Series]]:
    """Lists that are well ordered but for the red fifth, which lie as they fall; the kind of an item says nothing."""
    random = np.random.default_rng(seed)
    of = np.repeat(np.arange(lists), items)
    red = (random.random(lists) < 0.2)[of]
    y = random.integers(0, 4, lists * items).astype(float)
    y[::items] = 3.0
    value = np.where(red, random.random(y.size), y + random.normal(0, 0.5, y.size))
    about = {
        "colour": pl.Series(np.where(red, "red", np.where(of % 2, "blue", "green"))),
        "hour": pl.Series(of % 24),
        "kind": pl.Series(random.choice(list("abcd"), y.size)),
    }
    return Answers("ranking", y, value, groups=of, lists=of), about


def test_lists_whose_order_is_worse_are_named_by_what_they_have_in_common():
    found = weak_slices(*ordered(1_200))

    assert (found.rows, found.of, found.columns) == (1_200, 1_200, 2), "lists, and the columns that are the same for a whole list"
    assert [one.where for one in found.found] == ["colour=red"]
    [red] = found.found
    assert red.metric == "ndcg_at_10"
    assert red.here.value + 0.05 < red.rest.value
    assert red.here.n + red.rest.n == 600, "the half that the search had not seen"
    assert 0.15 < red.share < 0.25


def test_where_every_list_is_ordered_alike_nothing_is_named():
    found, about = ordered(1_200)
    good = Answers("ranking", found.y, found.y + np.random.default_rng(1).normal(0, 0.5, found.n), groups=found.groups, lists=found.lists)

    assert weak_slices(good, about).count == 0


def test_a_gate_on_their_number_fails_by_name():
    found, about = planted(2_000)
    number = counted(weak_slices(found, about))
    holdout = Holdout(pl.DataFrame({"y": found.y, "value": found.value}), "binary", classes=(0, 1))
    (verdict,) = judge([fb.metric("weak_slices") <= 0], holdout, measured=Measured({"weak_slices": number}))

    assert verdict.outcome is Outcome.FAIL
    assert "colour=red: accuracy 0.0" in verdict.why
    clean = counted(weak_slices(found, {"text0": about["text0"]}))
    assert judge([fb.metric("weak_slices") <= 0], holdout, measured=Measured({"weak_slices": clean}))[0].outcome is Outcome.PASS


def test_of_entities_that_differ_nothing_is_named_where_columns_tell_nothing():
    """60 entities of 20 rows, each with a share of errors of its own: every fourth such hold-out had a weak part that was two or three of them."""
    named = 0
    for seed in range(30):
        random = np.random.default_rng(seed)
        of = np.repeat(np.arange(60), 20)
        wrong = random.random(1_200) < random.beta(0.3, 2.7, 60)[of]
        about = {
            f"c{place}": pl.Series(random.integers(0, values, 60)[of].astype(str)) for place, values in enumerate((2, 3, 5, 8, 12) * 2)
        }
        alone = answered(wrong, random)
        named += weak_slices(Answers(alone.task, alone.y, alone.value, groups=of), about, seed=seed).count > 0
    assert named <= 2
