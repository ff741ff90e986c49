"""Where answers are wrong, against counts by hand."""

import numpy as np
import polars as pl
import pytest

from flyball.evaluation.answers import answers
from flyball.evaluation.mistakes import MOST_ROWS, mistakes


def frame(**columns):
    return pl.DataFrame({"__time": np.arange(len(columns["y"])), **columns})


def test_classes_are_counted_whole_and_by_slice():
    rows = frame(y=["a", "a", "b", "c"], value=["a", "b", "b", "a"], kind=["x", "x", "y", None])
    found = mistakes(answers("multiclass", rows, classes=("a", "b", "c")), rows, {}, classes=("a", "b", "c"), slices=["kind"])

    tables = {each.where: each.counts for each in found.confusion}
    assert tables[""] == ((1, 1, 0), (0, 1, 0), (1, 0, 0))
    assert tables["kind=x"] == ((1, 1, 0), (0, 0, 0), (0, 0, 0))
    assert tables["kind=null"] == ((0, 0, 0), (0, 0, 0), (1, 0, 0))
    assert (found.wrong, found.rows) == (2, 4)
    assert np.sum([np.array(tables[f"kind={value}"]) for value in ("x", "y", "null")], axis=0).tolist() == np.array(tables[""]).tolist()


def test_the_worst_rows_are_those_whose_truth_got_the_least_score():
    rows = frame(y=[1, 0, 1], value=[1, 1, 0], score=[0.9, 0.99, 0.4])
    found = mistakes(answers("binary", rows, classes=(0, 1)), rows, {"city": pl.Series(["Rome", None, "Oslo"])}, classes=(0, 1))

    assert [row.time for row in found.worst] == [1, 2, 0]
    assert found.worst[0].features == {"city": "null"}
    assert (found.worst[0].truth, found.worst[0].answer) == (0, 1)
    assert found.worst[0].loss == pytest.approx(-np.log(0.01))


def test_numbers_have_quantiles_of_what_they_miss_by():
    rows = frame(y=np.zeros(1_001), value=np.arange(-500.0, 501.0))
    found = mistakes(answers("regression", rows), rows, {})

    assert dict(found.residuals) == {0.01: -490.0, 0.05: -450.0, 0.25: -250.0, 0.5: 0.0, 0.75: 250.0, 0.95: 450.0, 0.99: 490.0}
    assert len(found.worst) == MOST_ROWS
    assert {abs(row.loss) for row in found.worst[:2]} == {500.0}
    assert found.wrong is None


def test_no_row_of_a_person_is_told():
    rows = frame(y=[1, 0], value=[0, 1])
    found = mistakes(answers("binary", rows, classes=(0, 1)), rows, {}, classes=(0, 1), private="rows of persons are not kept")

    assert found.worst == ()
    assert found.worst_missing == "rows of persons are not kept"


def test_without_mistakes_there_is_no_worst_row():
    rows = frame(y=[1, 0], value=[1, 0])

    assert mistakes(answers("binary", rows, classes=(0, 1)), rows, {}, classes=(0, 1)).worst == ()
