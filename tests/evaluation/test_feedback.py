"""How many labels are copies of answers: what agreement beyond the hold-out's says, and what it does not."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest

from flyball.evaluation.feedback import FEWEST, examine
from flyball.monitoring.alerts import alerts
from flyball.monitoring.feedback import OWN, SELECTIVE, feedback_findings
from flyball.records.alerts import AlertMoved, AlertRow
from flyball.records.feedback import AnswerCoverage, FeedbackExamined


def world(
    n: int, accuracy: float, share: float, seed: int, *, weight: float = 0.3
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, pl.DataFrame]]:
    """n answered rows, `share` of whose labels are copies, and the hold-out of the version that answered."""
    rng = np.random.default_rng(seed)

    def pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
        value = (rng.random(count) < weight).astype(float)
        return value, np.where(rng.random(count) < accuracy, value, 1 - value)

    value, truth = pairs(n)
    label = np.where(rng.random(n) < share, value, truth)
    keys = [f"k{place}" for place in range(n)]
    rows = pl.DataFrame({"key": keys, "known": [10] * n, "label": label})
    answers = pl.DataFrame(
        {"key": keys, "at": [5] * n, "version": ["1.0.0"] * n, "value": value, "score": rng.random(n), "due": [True] * n}
    )
    held, y = pairs(4 * n)
    return rows, answers, {"1.0.0": pl.DataFrame({"y": y, "value": held})}


@pytest.mark.parametrize("accuracy", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_the_share_of_copies_lies_above_its_lower_end_and_near_its_value(accuracy: float, share: float) -> None:
    found = examine(*world(4_000, accuracy, share, 1), task="binary").copied
    assert found.value == pytest.approx(share, abs=0.1)
    assert found.low is not None
    assert 0.05 < found.low <= share + 0.01


def test_honest_labels_are_called_copies_in_less_than_one_world_of_forty() -> None:
    lows = [examine(*world(1_000, 0.8, 0.0, seed), task="binary").copied.low for seed in range(200)]
    assert np.mean([low is not None and low >= 0.05 for low in lows]) <= 0.025


def test_other_answers_than_on_the_hold_out_are_no_copies() -> None:
    """The model is right of yes in 95%, of no in 60%: that it says yes more often makes it right more often, and learns it nothing of itself."""
    rng = np.random.default_rng(0)

    def made(n: int, yes: float) -> pl.DataFrame:
        value = (rng.random(n) < yes).astype(float)
        right = rng.random(n) < np.where(value == 1, 0.95, 0.6)
        return pl.DataFrame({"y": np.where(right, value, 1 - value), "value": value})

    told = made(2_000, 0.9).with_columns(key=pl.int_range(2_000).cast(pl.String), known=pl.lit(10))
    rows = told.select("key", "known", label="y")
    answers = told.select("key", "value", at=pl.lit(5), version=pl.lit("1.0.0"), score=pl.lit(0.5), due=pl.lit(value=True))
    found = examine(rows, answers, {"1.0.0": made(2_000, 0.2)}, task="binary").copied
    assert found.low is not None
    assert found.low < 0.05


def test_numbers_are_the_same_to_their_last_digit_or_not_at_all() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=1_000)
    copied = np.arange(1_000) % 10 == 0
    label = np.where(copied, value, value + rng.normal(scale=0.01, size=1_000))
    told = pl.DataFrame({"key": np.arange(1_000).astype(str), "value": value, "label": label, "at": 5, "known": 10})
    answers = told.select("key", "value", "at", version=pl.lit("1.0.0"), score=pl.lit(None, pl.Float64), due=pl.lit(value=True))
    holdout = pl.DataFrame({"y": rng.normal(size=500), "value": rng.normal(size=500)})
    found = examine(told.select("key", "known", "label"), answers, {"1.0.0": holdout}, task="regression")
    assert found.equal == 100
    assert found.copied.low is not None
    assert 0.05 < found.copied.low < 0.1
    assert found.coverage == ()


def test_rows_that_cannot_be_told_apart_and_answers_after_the_label_are_not_compared() -> None:
    rows, answers, holdouts = world(400, 0.8, 1.0, 2)
    twice = pl.concat([rows, rows.head(100)])
    late = answers.with_columns(at=pl.when(pl.col("key") < "k2").then(20).otherwise(5))
    assert examine(twice, answers, holdouts, task="binary").answered == 300
    assert examine(rows, late, holdouts, task="binary").answered < 400


def test_a_row_that_came_without_its_label_first_is_compared_once_it_has_it() -> None:
    rows, answers, holdouts = world(400, 0.8, 1.0, 2)
    before = rows.with_columns(label=pl.lit(None, pl.Float64))
    found = examine(pl.concat([before, rows]), answers, holdouts, task="binary")
    assert (found.rows, found.answered) == (400, 400)
    twice = examine(pl.concat([rows, rows]), answers, holdouts, task="binary")
    assert (twice.answered, sum(one.labelled for one in twice.coverage)) == (0, 400), (
        "which of two is meant is not known, that there is a label is"
    )


def test_a_hold_out_that_was_all_right_tells_nothing_and_too_few_rows_neither() -> None:
    rows, answers, _ = world(400, 1.0, 0.0, 3)
    perfect = {"1.0.0": pl.DataFrame({"y": [0.0, 1.0] * 2, "value": [0.0, 1.0] * 2})}
    assert examine(rows, answers, perfect, task="binary").copied.value is None
    few, asked, holdouts = world(FEWEST - 1, 0.8, 1.0, 3)
    assert examine(few, asked, holdouts, task="binary").copied.value is None


def test_findings_say_how_many_and_of_which_answers() -> None:
    found = FeedbackExamined(
        model="m", version="1.1.0", data="d", rows=9, answered=9,
        coverage=(AnswerCoverage("1.0", 1_000, 900), AnswerCoverage("0.0", 1_000, 20)),
    )  # fmt: skip
    told = {one.monitor: one for one in feedback_findings(found)}
    assert (told[OWN].standing, told[SELECTIVE].severity) == ("insufficient", "warn")
    assert "90% of 1,000 answered 1.0 have a label, 2% of 1,000 answered 0.0" in told[SELECTIVE].why
    assert list(feedback_findings(None)) == []


def test_an_alert_is_stale_until_the_next_version_is_looked_at_and_over_when_it_has_none() -> None:
    first = FeedbackExamined(model="m", version="1.1.0", data="d", rows=900, answered=900, columns={"own": 1.0})
    fired = [msgspec.structs.replace(one, severity="alert", standing="settled") for one in feedback_findings(first) if one.monitor == OWN]
    rows = {event.key: _row(event) for event in alerts("m", {}, fired, 1)}
    assert {row.finding.column: row.state for row in rows.values()} == {"": "firing", "own": "firing"}
    waiting = alerts("m", rows, tuple(feedback_findings(None, tuple(rows.values()))), 2)
    assert [event.target for event in waiting] == ["stale", "stale"]
    rows |= {event.key: _row(event) for event in waiting}
    assert alerts("m", rows, tuple(feedback_findings(None, tuple(rows.values()))), 3) == ()
    again = alerts("m", rows, tuple(feedback_findings(msgspec.structs.replace(first, version="1.2.0"), tuple(rows.values()))), 4)
    assert {(event.finding.column, event.target, event.episode) for event in again} == {("own", "firing", 1)}, "the same episode"
    clean = FeedbackExamined(model="m", version="1.2.0", data="d", rows=900)
    over = alerts("m", rows, tuple(feedback_findings(clean, tuple(rows.values()))), 4)
    assert {(event.finding.column, event.target) for event in over} == {("", "resolved"), ("own", "resolved")}
    assert all("of which the model itself had answered" in event.finding.why for event in over)


def _row(event: AlertMoved) -> AlertRow:
    return AlertRow(
        key=event.key, model="m", monitor=event.monitor, state=event.target, episode=event.episode, since=1, finding=event.finding
    )
