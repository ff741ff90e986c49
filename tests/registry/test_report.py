"""A report in a few lines."""

from flyball.records.estimates import Estimate
from flyball.records.evaluation import (
    Calibration,
    Confusion,
    Group,
    GroupGap,
    Groups,
    Importance,
    Importances,
    Mistakes,
    OutputShift,
    Packaging,
    Report,
    Robustness,
    ScoreBin,
    Threshold,
    WeakSlices,
)
from flyball.records.path import Path, PathPart
from flyball.registry.report import lines

HALF = Estimate(value=0.5, low=0.4, high=0.6, n=900)


def said(**sections) -> str:
    return "\n".join(f"{topic} {line}" for topic, line in lines(Report(**sections)))


def test_what_was_looked_through_in_vain_is_said():
    assert said(weak_slices=WeakSlices(rows=5, of=9, columns=6, pairs=15, count=0)) == (
        "weak no weak slice in 6 columns and 15 pairs of them, on 5 of 9 rows"
    )


def test_gaps_name_their_groups_and_those_too_small():
    gaps = {"recall": GroupGap(HALF, "f 0.30, m 0.80", "x: n=8 < 100"), "accuracy": GroupGap(Estimate(value=None, why="x: n=8 < 100"))}
    text = said(groups=(Groups("sex", True, (Group("f", 9, {}),), gaps),))

    assert "groups sex: gap in recall 0.500 [0.400, 0.600]: f 0.30, m 0.80 (too small to compare: x: n=8 < 100)" in text
    assert "groups sex: gap in accuracy not known: x: n=8 < 100" in text


def test_scores_and_the_cheapest_threshold():
    curve = tuple(Threshold(at, at, 0.9, 0.8, 0.1, cost) for at, cost in ((0.2, 30.0), (0.4, 20.0), (0.6, 40.0)))
    text = said(calibration=Calibration(HALF, (ScoreBin(9, 0.1, HALF), ScoreBin(9, 0.9, HALF))), thresholds=curve)

    assert "calibration error 0.500 [0.400, 0.600] in 2 bins; lowest and highest score → frequency: 0.100 → 0.500, 0.900 → 0.500" in text
    assert "cheapest threshold 0.4: 20 for 1,000 answers, recall 0.800, precision 0.900" in text
    assert "cheapest" not in said(thresholds=(Threshold(0.5, 0.5, None, None, None),))


def test_the_commonest_mistakes_come_first():
    text = said(mistakes=Mistakes(wrong=12, rows=90, confusion=(Confusion("", ("no", "yes"), ((70, 3), (9, 8))),)))

    assert text.splitlines() == ["errors 12 of 90 rows wrong", "errors 9 × yes taken for no", "errors 3 × no taken for yes"]
    assert said(mistakes=Mistakes(wrong=None, rows=9, residuals=((0.5, -1.0),))) == "errors answer less truth: 50% −1"


def test_losses_say_their_column_or_why_there_is_no_number():
    failed = Estimate(value=1.0, why="fails on missing values: Input contains NaN")
    text = said(
        robustness=(
            Robustness("permuted", 900, "accuracy", HALF, HALF, HALF, ("price",)),
            Robustness("missing", 900, "accuracy", HALF, failed),
        )
    )

    assert "robust permuted (price): accuracy 0.500 → 0.500, 50.0% of it lost, n=900" in text
    assert "robust missing: fails on missing values: Input contains NaN" in text


def test_answers_beside_the_champion_s_and_what_was_not_looked_into():
    assert said(output_shift=OutputShift("score", 0.2, 900, changed=HALF)) == (
        "shift PSI 0.200 between its score and the champion's; 50.0% of rows get another class, n=900"
    )
    assert "on average 0.500 from the champion's" in said(output_shift=OutputShift("value", 0.2, 9, difference=HALF, distance=HALF))
    assert said(missing={"weak_slices": "n=5 < 200"}) == "weak_slices not looked into: n=5 < 200"


def test_what_features_are_worth_names_the_first_and_counts_the_rest():
    features = tuple(Importance(f"f{place}", HALF) for place in range(7))
    assert said(importances=Importances("log_loss", 0.4, 900, features)) == (
        "features rise of log_loss without each (900 rows): "
        + ", ".join(f"f{place} 0.500 [0.400, 0.600]" for place in range(5))
        + ", and 2 more"
    )


def test_the_form_that_is_served_says_why_and_the_path_where_its_time_goes():
    path = Path(
        200, 1.5, 2.0, 12.0, "transform gap", (PathPart("transforms", 1.0, 9.0), PathPart("model", 0.5, 3.0)), {"gap": 0.9}, 255_000_000
    )
    text = said(packaging=Packaging("skops", "ONNX was not tried: extra missing"), path=path)

    assert "served as skops: ONNX was not tried: extra missing" in text
    assert "path p50 1.5, p95 2, p99 12 ms of 200 calls; transforms 1, model 0.500; slowest: transform gap; its worker holds 255 MB" in text
