"""The table of what a row may see, answered by rows in memory."""

from __future__ import annotations

import polars as pl
import pytest
from tests.features.brute import assert_same, replay
from tests.features.semantics import CASES

from flyball.features import windows

each = pytest.mark.parametrize("case", CASES, ids=[case.says for case in CASES])


@each
def test_rows_in_memory_answer_as_the_table_says(case):
    assert_same(windows.values(case.view, case.frame, case.moments), case.expected)


@each
def test_a_replay_row_by_row_comes_to_what_the_table_says(case):
    made = replay(case.view, case.frame, case.asked)
    assert_same(windows.values(case.view, case.frame, case.moments), made)
    assert made == list(case.expected)


@each
def test_rows_that_come_later_change_nothing(case):
    known = [windows.values(case.view, case.by(each.moment), case.moments[place]) for place, each in enumerate(case.asked)]
    assert_same(pl.concat(known), case.expected)


def test_no_sentence_stands_twice():
    assert len({case.says for case in CASES}) == len(CASES)
