"""Gates keep their level where errors are rare: a candidate that is worse by exactly the margin passes about one time in twenty, at most.

The champion is always right and the candidate loses some rows, so a sample often has no spread at all. With 400 draws a level of .067 (Wilson's and
Tango's own worst, where the margin is just what no error shows) stays below .105 but for one time in a thousand; without regard to what a sample cannot
have seen each of these is .12 to .5.
"""

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.declare.checks import Check
from flyball.evaluation.comparison import LOOKS
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.metrics import estimate
from flyball.records.estimates import Outcome

DRAWS = 400
MOST = 0.105


def passes(check: Check, make, **holdout) -> float:
    random = np.random.default_rng(0)
    kept = {"task": "binary", "classes": (0, 1), **holdout}
    return float(np.mean([judge([check], Holdout(make(random), **kept))[0].outcome is Outcome.PASS for _ in range(DRAWS)]))


def losing(positives: int, negatives: int, share: float, *, of: int = 1, copies: int = 1):
    """Rows of class `of` that the candidate answers wrongly with chance `share`; `copies`: rows of one entity, which are right or wrong together."""

    def make(random: np.random.Generator) -> pl.DataFrame:
        y = np.array([1] * positives + [0] * negatives)
        lost = (y == of) & (random.random(y.size) < share)
        new = np.where(lost, 1 - y, y)
        score = np.where(lost, (1 - y) * 0.9, y * 0.8 + 0.1)
        frame = pl.DataFrame(
            {"y": y, "value": new, "score": score, "champion_value": y, "champion_score": y * 0.8 + 0.1, "who": range(y.size)}
        )
        return pl.concat([frame] * copies)

    return make


RECALL, FALSE, ACCURACY = fb.metric("recall"), fb.metric("false_positive_rate"), fb.metric("accuracy")


@pytest.mark.parametrize("positives", [30, 60, 100, 200])
@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_recall(positives: int, margin: float) -> None:
    assert passes(fb.champion - margin <= RECALL, losing(positives, 100, margin)) <= MOST


@pytest.mark.parametrize("margin", [0.01, 0.03])
def test_false_positives(margin: float) -> None:
    assert passes(fb.champion + margin >= FALSE, losing(30, 100, margin, of=0)) <= MOST


@pytest.mark.parametrize(("name", "margin"), [("f1", 0.03), ("roc_auc", 0.05), ("precision", 0.05), ("recall_at_30%", 0.05)])
def test_metrics_with_a_denominator_of_their_own(name: str, margin: float) -> None:
    # a share of 30% of 200 rows has 60 places, one for each positive
    lost = {"f1": 2 * margin / (1 + margin), "precision": margin / (1 - margin) * 60 / 140}.get(name, margin)
    make = losing(60, 140, lost, of=0 if name == "precision" else 1)
    assert passes(fb.metric(name) >= fb.champion - margin, make) <= MOST


@pytest.mark.parametrize("copies", [1, 10])
@pytest.mark.parametrize("margin", [0.02, 0.03, 0.06])
def test_rows_that_share_an_entity(copies: int, margin: float) -> None:
    check, make = fb.champion - margin <= ACCURACY, losing(100, 0, margin, copies=copies)
    assert passes(check, make, group="who") <= MOST
    assert passes(ACCURACY.lower >= 1 - margin, make, group="who") <= MOST


def test_an_auc_of_one_is_not_certain() -> None:
    assert passes(fb.metric("roc_auc").lower >= 0.95, losing(60, 100, 0.05)) <= MOST


@pytest.mark.parametrize("positives", [30, 60])
def test_a_gap_between_groups(positives: int) -> None:
    def make(random: np.random.Generator) -> pl.DataFrame:
        groups = losing(positives, 100, 0.0)(random), losing(positives, 100, 0.05)(random)
        return pl.concat([part.with_columns(sex=pl.lit(name)) for name, part in zip("fm", groups, strict=True)])

    assert passes(RECALL.gap("sex").upper <= 0.05, make) <= MOST


def shifted(n: int, by: float, champion: float = 0.0):
    """Scores that are off by `by` everywhere, which is their calibration error, and a champion's that are off by another."""

    def make(random: np.random.Generator) -> pl.DataFrame:
        chance = random.beta(2, 3, size=n) * 0.7 + 0.15
        called, label = (chance >= 0.5).astype(int), (random.random(n) < chance).astype(int)
        return pl.DataFrame(
            {"y": label, "value": called, "score": chance + by, "champion_value": called, "champion_score": chance + champion}
        )

    return make


CALIBRATION = fb.metric("calibration_error")


@pytest.mark.parametrize(("n", "by"), [(100, 0.1), (300, 0.05), (300, 0.1), (2_000, 0.05)])
def test_a_calibration_error_against_a_champion_that_has_none(n: int, by: float) -> None:
    # with signs chosen on the rows that are measured the champion has one too, out of noise, and .3 to .55 pass
    assert passes(fb.champion + by >= CALIBRATION, shifted(n, by)) <= MOST


@pytest.mark.parametrize(("sizes", "wider"), [((2_000, 200), 0.1), ((1_000, 1_000), 0.05), ((2_000, 2_000), 0.03)])
def test_a_gap_of_calibration_errors(sizes: tuple[int, int], wider: float) -> None:
    def make(random: np.random.Generator) -> pl.DataFrame:
        return pl.concat(
            [shifted(n, by)(random).with_columns(sex=pl.lit(name)) for n, by, name in zip(sizes, (wider, 0.0), "fm", strict=True)]
        )

    assert passes(CALIBRATION.gap("sex").upper <= wider, make) <= MOST


def test_an_equal_version_passes_a_gate_on_calibration_as_often_as_check_promises() -> None:
    from flyball.evaluation.power import of_gate

    make, gate = shifted(2_000, 0.0), fb.champion + 0.05 >= CALIBRATION
    seen = of_gate(gate, Holdout(make(np.random.default_rng(1)), "binary", classes=(0, 1)))
    assert seen is not None
    assert seen.worst.smallest == pytest.approx(0.05, abs=0.02)
    assert passes(gate, make) >= 0.6
    outcomes = {judge([gate], Holdout(make(np.random.default_rng(seed)), "binary", classes=(0, 1)))[0].outcome for seed in range(50)}
    assert outcomes == {Outcome.PASS, Outcome.INSUFFICIENT}


def ranked(n: int, alike: float, others: float, lost: float):
    """Scores of two versions that go with each other by `alike` on the positives and by `others` on the rest, three in ten of the rows being positive."""

    def make(random: np.random.Generator) -> pl.DataFrame:
        y = random.random(n) < 0.3
        shared = np.where(y, alike, others)
        common, own, old = random.normal(size=(3, n))
        new, old = (np.sqrt(shared) * common + np.sqrt(1 - shared) * noise for noise in (own, old))
        scores = (1 / (1 + np.exp(-part)) for part in (new + (1.5 - lost) * y, old + 1.5 * y))
        columns = dict(zip(("score", "champion_score"), scores, strict=True))
        return pl.DataFrame({"y": y.astype(int), "value": 0, "champion_value": 0, **columns})

    return make


@pytest.mark.parametrize(("alike", "others"), [(1.0, 0.0), (0.5, 0.5)])
def test_a_recall_whose_cut_moves_with_the_rows(alike: float, others: float) -> None:
    name, make = "recall_at_30%", ranked(300, alike, others, 0.1)
    whole = truth(name, ranked(1_000_000, alike, others, 0.1))
    # without regard to the cut .13 pass of versions that rank the positives alike
    assert 0.01 <= passes(fb.metric(name) >= fb.champion * (whole[0] / whole[1]), make) <= MOST
    assert 0.01 <= passes(fb.metric(name).lower >= whole[0], make) <= MOST


def truth(name: str, make) -> tuple[float, float]:
    """The truth, nearly: both versions' values on very many rows."""
    held = Holdout(make(np.random.default_rng(1)), "binary", classes=(0, 1))
    new, old = (measured.value for measured in (estimate(name, held.new), estimate(name, held.champion)))
    return new, old


def test_numbers_of_which_few_differ() -> None:
    def make(random: np.random.Generator) -> pl.DataFrame:
        error = random.normal(size=100)
        return pl.DataFrame({"y": np.zeros(100), "value": error + np.sign(error) * (random.random(100) < 0.02), "champion_value": error})

    assert passes(fb.metric("mae") <= fb.champion + 0.02, make, task="regression") <= MOST


@pytest.mark.parametrize("name", ["accuracy", "recall", "precision", "f1", "roc_auc", "brier", "log_loss", "false_positive_rate"])
def test_a_champion_again_shows_no_margin_that_is_finer_than_its_rows(name: str) -> None:
    same = losing(30, 70, 0.0)(np.random.default_rng(0))
    less = name in ("brier", "log_loss", "false_positive_rate")

    def outcome(margin: float) -> Outcome:
        check = fb.metric(name) <= fb.champion + margin if less else fb.metric(name) >= fb.champion - margin
        return judge([check], Holdout(same, "binary", classes=(0, 1)))[0].outcome

    assert outcome(0.0001) is Outcome.INSUFFICIENT
    assert outcome(0.1) is Outcome.PASS


def test_what_check_promises_of_equal_answers_the_gate_keeps() -> None:
    from flyball.evaluation.power import of_gate

    holdout = Holdout(losing(60, 140, 0.0)(np.random.default_rng(0)), "binary", classes=(0, 1))
    for name in ("accuracy", "recall", "precision", "f1", "roc_auc", "brier"):
        metric, sign = fb.metric(name), -1 if name == "brier" else 1

        def gate(margin: float, metric=metric, sign=sign) -> Check:
            return metric >= fb.champion - margin if sign > 0 else metric <= fb.champion + margin

        seen = of_gate(gate(0.01), holdout)
        assert seen is not None
        least = seen.worst.smallest
        assert least is not None
        assert judge([gate(1.02 * least)], holdout)[0].outcome is Outcome.PASS, name
        assert judge([gate(0.9 * least)], holdout)[0].outcome is Outcome.INSUFFICIENT, name


@pytest.mark.parametrize("check", [fb.champion - 0.05 <= ACCURACY, ACCURACY.lower >= 0.9, FALSE.gap("who").upper <= 0.1], ids=str)
def test_a_version_that_is_looked_at_eight_times_as_its_rows_come(check: Check) -> None:
    """Exactly at the margin, on 700 rows and 100 more before each look: .05 at the first of them, and little more in all of them."""
    random = np.random.default_rng(0)
    passed = np.zeros((DRAWS, LOOKS), dtype=bool)
    for draw in range(DRAWS):
        n = 1400
        who = np.arange(n) % 2
        old = random.random(n) < 0.05
        # a gap of .1 between the groups, or .1 of all rows
        share = np.where(who == 1, 0.15, 0.05) if "gap" in str(check) else 0.10
        new = random.random(n) < share
        frame = pl.DataFrame({"y": 0, "value": new.astype(int), "champion_value": old.astype(int), "who": who})
        for look in range(1, LOOKS + 1):
            rows = frame[: 600 + 100 * look]
            found = judge([check], Holdout(rows, "binary", classes=(0, 1), look=look))[0]
            passed[draw, look - 1] = found.outcome is Outcome.PASS
    # each look at the first one's level would let another .055 to .07 pass
    assert passed[:, 0].mean() <= MOST
    assert passed.any(axis=1).mean() - passed[:, 0].mean() <= 0.02


def by_entity(sizes: np.ndarray, *, bearing: float = 1.0):
    """Entities of these sizes, each with a share of right answers of its own; only the first `bearing` of them have positives."""
    of = np.repeat(np.arange(sizes.size), sizes)
    positive = (of < bearing * sizes.size).astype(int)

    def make(random: np.random.Generator) -> pl.DataFrame:
        new, old = (random.random(of.size) < random.beta(2 * share, 2 * (1 - share), sizes.size)[of] for share in (0.85, 0.9))
        frame = {"y": positive, "value": np.where(new, positive, 1 - positive), "champion_value": np.where(old, positive, 1 - positive)}
        return pl.DataFrame(frame | {"who": of})

    return make


ZIPF = np.maximum(1, np.round(6_000 / np.arange(1, 301) / np.sum(1 / np.arange(1, 301)))).astype(int)


@pytest.mark.parametrize(
    ("check", "make"),
    [
        (ACCURACY.lower >= 0.85, by_entity(np.full(100, 20))),
        (fb.champion - 0.05 <= ACCURACY, by_entity(np.full(100, 20))),
        (RECALL.lower >= 0.85, by_entity(np.full(120, 10), bearing=0.5)),
        # few large entities, or few that have what the metric rests on, say as little as few
        (ACCURACY.lower >= 0.85, by_entity(ZIPF)),
        (fb.champion - 0.05 <= ACCURACY, by_entity(ZIPF)),
        (RECALL.lower >= 0.85, by_entity(np.full(100, 10), bearing=0.05)),
    ],
)
def test_entities_of_any_sizes(check: Check, make) -> None:
    assert passes(check, make, group="who") <= MOST


def test_entities_of_unlike_sizes_say_so() -> None:
    frame = by_entity(ZIPF)(np.random.default_rng(0))
    found = judge([ACCURACY.lower >= 0.5], Holdout(frame, "binary", classes=(0, 1), group="who"))[0]
    assert found.outcome is Outcome.INSUFFICIENT
    assert "300 entities say as much as 24 of one size < 30" in found.why
    few = by_entity(np.full(100, 10), bearing=0.05)(np.random.default_rng(0))
    found = judge([RECALL.lower >= 0.5], Holdout(few, "binary", classes=(0, 1), group="who"))[0]
    assert "5 entities < 30 have what recall rests on" in found.why
