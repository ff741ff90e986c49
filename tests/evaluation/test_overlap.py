"""What stands on both sides of a split is counted, with an example, and how common each class is."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from flyball.evaluation.overlap import class_shares, copies, rarest, shared_groups


def test_rows_on_both_sides_are_counted_and_one_is_shown():
    train = pl.DataFrame({"a": [1, 2, 3, None], "b": ["x", "y", "z", "n"]})
    held = pl.DataFrame({"a": [2, 2, 3, None, 9], "b": ["y", "x", "z", "n", "y"]})
    found = copies(train, held)
    assert found.share.value == 3 / 5
    assert found.share.why == "3 of 5 held-out rows are in training too"
    assert found.example == "a=2, b=y"


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.lists(st.integers(0, 20), min_size=1, max_size=40))
def test_the_share_of_copies_is_that_of_a_plain_count(train: list[int], held: list[int]):
    found = copies(pl.DataFrame({"a": train}), pl.DataFrame({"a": held}))
    assert found.share.value == sum(each in set(train) for each in held) / len(held)


def test_a_group_on_both_sides_counts_once_and_rows_of_no_group_not_at_all():
    found = shared_groups(pl.Series(["u", "v", None]), pl.Series(["v", "v", "w", None, "x"]))
    assert found.value == 1 / 3
    assert shared_groups(pl.Series(["u"]), pl.Series([None], dtype=pl.String)).value is None


def test_the_rarest_class_is_named_with_its_share_even_where_no_row_has_it():
    y = pl.Series([0] * 95 + [1] * 5)
    assert class_shares(y, (0, 1)) == {"0": 0.95, "1": 0.05}
    found = rarest(y, (0, 1))
    assert (found.value, found.why) == (0.05, "class 1: 5 of 100 training rows")
    assert rarest(y, (0, 1, 2)).value == 0.0
