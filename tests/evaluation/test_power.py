"""What a gate is said to see, it sees: at δ_min the shipped paired test lets an equal version pass four times in five."""

import math

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.declare.checks import Check
from flyball.evaluation import power
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout
from flyball.records.estimates import Outcome

ROWS = 2_000
SHARES = (0.75, 0.86)
"""Four in five, with three standard errors of 400 simulations."""


def classes(random: np.random.Generator, *, rows: int = ROWS, differ: float = 0.1) -> pl.DataFrame:
    """Two equal versions: each alone is wrong in half of the rows in which they differ, and both are in a tenth of the others."""
    kind = random.choice(4, rows, p=[differ / 2, differ / 2, (1 - differ) * 0.1, (1 - differ) * 0.9])
    y = random.integers(0, 2, rows)
    new, old = np.where(np.isin(kind, (0, 2)), 1 - y, y), np.where(np.isin(kind, (1, 2)), 1 - y, y)
    return pl.DataFrame({"y": y, "value": new, "champion_value": old})


def numbers(random: np.random.Generator, *, rows: int = ROWS) -> pl.DataFrame:
    """Two versions with errors of one size, half of which they share."""
    y, shared = random.normal(0, 1, rows), random.normal(0, 1, rows)
    return pl.DataFrame({"y": y, "value": y + shared + random.normal(0, 1, rows), "champion_value": y + shared + random.normal(0, 1, rows)})


def scores(random: np.random.Generator, *, rows: int = ROWS) -> pl.DataFrame:
    """Two equal scores of a binary label."""
    y, shared = random.integers(0, 2, rows), random.normal(0, 1, rows)
    one, other = (1 / (1 + np.exp(-(y + shared + random.normal(0, 1, rows)))) for _ in range(2))
    return pl.DataFrame(
        {"y": y, "value": (one > 0.5).astype(int), "score": one, "champion_value": (other > 0.5).astype(int), "champion_score": other}
    )


def smallest(check: Check, holdout: Holdout) -> float:
    found = power.of_gate(check, holdout)
    assert found is not None
    assert found.basis == "measured"
    value = found.worst.smallest
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("name", "task", "frames", "sign"),
    [("accuracy", "binary", classes, -1), ("roc_auc", "binary", scores, -1), ("mae", "regression", numbers, 1)],
)
def test_at_the_smallest_margin_an_equal_version_passes_four_times_in_five(name, task, frames, sign) -> None:
    random = np.random.default_rng(5)
    metric = fb.metric(name)

    def check(margin: float) -> Check:
        return metric >= fb.champion - margin if sign < 0 else metric <= fb.champion + margin

    seen = [smallest(check(0.01), Holdout(frames(random), task)) for _ in range(20)]
    margin = float(np.mean(seen))
    assert max(seen) < 1.2 * margin, "one hold-out tells it as well as another"
    passed = [judge([check(margin)], Holdout(frames(random), task))[0].outcome is Outcome.PASS for _ in range(400)]
    assert SHARES[0] <= np.mean(passed) <= SHARES[1]


def test_half_the_margin_passes_an_equal_version_seldom() -> None:
    random = np.random.default_rng(6)
    margin = smallest(fb.metric("accuracy") >= fb.champion - 0.01, Holdout(classes(random), "binary")) / 2
    check = fb.metric("accuracy") >= fb.champion - margin
    passed = [judge([check], Holdout(classes(random), "binary"))[0].outcome is Outcome.PASS for _ in range(300)]
    assert np.mean(passed) < 0.5


def test_without_a_champion_what_is_assumed_is_said() -> None:
    frame = classes(np.random.default_rng(1)).drop("champion_value")
    found = power.of_gate(fb.metric("accuracy") >= fb.champion - 0.02, Holdout(frame, "binary"))
    assert found is not None
    assert found.basis == "assumed: versions differ on 10% of rows"
    assert found.worst.smallest == pytest.approx(2.487 * math.sqrt(0.1 / ROWS))
    assert found.worst.shows


def test_versions_that_never_differed_are_not_said_to_show_everything() -> None:
    frame = classes(np.random.default_rng(1), differ=0.0)
    found = power.of_gate(fb.metric("accuracy") >= fb.champion - 0.02, Holdout(frame, "binary"))
    assert found is not None
    least = found.worst.smallest
    assert least == pytest.approx(1.645**2 / ROWS, rel=1e-3)
    judged = judge([fb.metric("accuracy") >= fb.champion - 1.01 * least], Holdout(frame, "binary"))
    assert judged[0].outcome is Outcome.PASS
    judged = judge([fb.metric("accuracy") >= fb.champion - 0.9 * least], Holdout(frame, "binary"))
    assert judged[0].outcome is Outcome.INSUFFICIENT


def test_a_gate_by_slice_names_the_slice_that_shows_least() -> None:
    frame = classes(np.random.default_rng(2)).with_columns(pl.Series("day", [1] * 1_500 + [2] * 450 + [3] * 50))
    found = power.of_gate(fb.metric("accuracy").by("day") >= fb.champion - 0.05, Holdout(frame, "binary", slices=("day",)))
    assert found is not None
    assert [one.slice for one in found.seen] == ["day=1", "day=2", "day=3"]
    assert (found.worst.slice, found.worst.lacking) == ("day=3", "n=50 < 100")
    assert [one.shows for one in found.seen] == [True, True, False]


def test_rows_of_one_entity_count_as_one() -> None:
    frame = numbers(np.random.default_rng(3), rows=200)
    doubled = pl.concat([frame.with_columns(pl.Series("who", range(200)))] * 5)
    alone = smallest(fb.metric("mae") <= fb.champion + 1, Holdout(frame, "regression"))
    together = smallest(fb.metric("mae") <= fb.champion + 1, Holdout(doubled, "regression", group="who"))
    assert together == pytest.approx(alone, rel=0.01)


def test_a_relative_margin_is_told_in_the_metrics_units() -> None:
    frame = numbers(np.random.default_rng(4))
    found = power.of_gate(fb.metric("mae") <= fb.champion * 1.1, Holdout(frame, "regression"))
    assert found is not None
    old = float((frame["champion_value"] - frame["y"]).abs().mean())
    assert found.worst.margin == pytest.approx(0.1 * old)


@pytest.mark.parametrize(
    "check",
    [
        fb.metric("accuracy") >= 0.7,
        fb.metric("accuracy") >= fb.baseline,
        fb.metric("recall").gap("y") <= 0.1,
        fb.metric("size") <= fb.champion,
    ],
)
def test_what_is_no_paired_test_against_the_champion_has_no_power_to_tell(check: Check) -> None:
    assert power.of_gate(check, Holdout(classes(np.random.default_rng(1)), "binary")) is None


def test_before_any_run_the_rows_that_a_hold_out_would_have_are_enough_for_accuracy() -> None:
    found = power.of_counts(fb.metric("accuracy").by("day") >= fb.champion - 0.05, [("day=1", 400), ("day=2", 20)])
    assert found is not None
    assert (found.worst.slice, found.worst.lacking) == ("day=2", "n=20 < 100")
    assert found.seen[0].smallest == pytest.approx(2.487 * math.sqrt(0.1 / 400))
    assert power.of_counts(fb.metric("mae") <= fb.champion * 1.1, [("", 400)]) is None


def test_labels_to_promote_follow_the_margin_and_what_differs() -> None:
    frame = classes(np.random.default_rng(8), rows=20_000, differ=0.04)
    guard = fb.metric("accuracy") >= fb.champion - 0.01
    found = power.of_guard(guard, Holdout(frame, "binary"), 1.0)
    assert found is not None
    assert found.labels == pytest.approx((3_200, 6_800), rel=0.1)
    assumed = power.of_guard(guard, None, 1.0)
    assert assumed is not None
    assert assumed.labels == pytest.approx((8_000, 17_000))
    assert power.of_guard(fb.metric("accuracy") >= fb.champion + 0.01, None, 1.0) is None, "an equal version is never shown to be better"


def test_of_numbers_the_mean_square_of_the_difference_stands_for_what_differs() -> None:
    frame = numbers(np.random.default_rng(9), rows=20_000)
    cap = 10.0
    found = power.of_guard(fb.metric("mae") <= fb.champion + 0.5, Holdout(frame, "regression"), cap)
    assert found is not None
    difference = ((frame["value"] - frame["y"]).abs() - (frame["champion_value"] - frame["y"]).abs()) / cap
    assert found.labels[0] == pytest.approx(8 * float((difference**2).mean()) / (0.5 / cap) ** 2, rel=1e-6)


def test_a_drop_within_what_the_hold_out_leaves_unsure_is_told_as_not_found_and_so_is_what_is() -> None:
    holdout = Holdout(classes(np.random.default_rng(10), rows=300), "binary")
    checks = [fb.metric("accuracy") >= fb.champion - 0.02]
    found = power.discoveries(checks, holdout, bound=0.19, cap=1.0, threshold=5_000)
    assert [round(one.drop, 3) for one in found] == [0.02, 0.04, 0.08][: len(found)]
    assert not math.isfinite(found[0].labels[0])
    assert math.isfinite(found[-1].labels[0])
    assert found[0].unsure == pytest.approx(0.81)


def test_rows_that_the_champion_has_seen_say_nothing_of_how_much_versions_differ() -> None:
    frame = classes(np.random.default_rng(11), rows=8_000, differ=0.04)
    half = frame.with_columns(pl.when(pl.int_range(pl.len()) < 4_000).then("champion_value").alias("champion_value"))
    gate, guard = fb.metric("accuracy") >= fb.champion - 0.02, fb.metric("accuracy") >= fb.champion - 0.01
    found, promoted = power.of_gate(gate, Holdout(half, "binary")), power.of_guard(guard, Holdout(half, "binary"), 1.0)
    assert found is not None
    assert promoted is not None
    assert (found.basis, found.worst.n) == ("measured", 4_000)
    assert promoted.labels[0] == pytest.approx(3_200, rel=0.2)
    seen = frame.with_columns(pl.lit(None, dtype=pl.Int64).alias("champion_value"))
    found, promoted = power.of_gate(gate, Holdout(seen, "binary")), power.of_guard(guard, Holdout(seen, "binary"), 1.0)
    assert found is not None
    assert promoted is not None
    assert found.basis == promoted.basis == "assumed: versions differ on 10% of rows"
    assert found.worst.n == 8_000
