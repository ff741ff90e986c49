"""Figures as people read them, wherever they are told: what is unbounded is not known, and nobody counts two hundred digits."""

import math

import pytest

from flyball.cli import output
from flyball.declare.checks import Reference
from flyball.evaluation.comparison import Compared, between, explain, number, shown
from flyball.monitoring.checks import _shown
from flyball.records.estimates import Estimate
from flyball.registry import markdown
from flyball.stats.intervals import Interval

HUGE = Estimate(value=-1e200, low=-math.inf, high=math.inf, n=1)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.7, 0.83, "[0.700, 0.830]"),
        (-math.inf, math.inf, "[unknown]"),
        (None, math.inf, "[unknown]"),
        (2_002, math.inf, "[2,002, ?]"),
        (None, 3, "[?, 3]"),
        (-1e200, 1e16, "[−1e+200, 1e+16]"),
    ],
)
def test_an_end_that_is_not_known_is_said_to_be(low: float | None, high: float | None, says: str) -> None:
    assert between(low, high) == says


def test_no_face_writes_infinity_or_a_hundred_digits() -> None:
    compared = Compared(-1e200, Interval(-math.inf, math.inf), 0.0, False, 0.5)
    told = [
        shown(HUGE),
        explain(HUGE, Estimate(value=1e300, n=1), Reference("champion"), compared),
        output.estimate(HUGE),
        markdown.shown(HUGE),
        _shown(HUGE, "EUR"),
        number(-math.inf),
        output.number(math.nan),
    ]
    assert told[0] == "−1e+200 [unknown] n=1"
    for text in told:
        assert "inf" not in text
        assert "nan" not in text
        assert len(text) < 80, text


def test_usual_figures_stay_as_they_were() -> None:
    assert (number(12_345.6), number(-0.5), number(3), number(None)) == ("12,346", "−0.500", "3", "?")
    assert (output.number(12_345.6), output.number(0.5)) == ("12,346", "0.5")
    assert markdown.shown(Estimate(value=0.5, low=0.25, high=0.75, n=9)) == "0.5 [0.25, 0.75], n=9"
