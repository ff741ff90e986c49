"""What gives the answer away is named with its figure, and what is merely a good predictor is not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.features.leakage import leaks, says

HOUR = 3_600_000_000
N = 4_000
CLOCK = {"hour": fb.column(int, known_after="-7d")}
EARLY = fb.column(float, known_after="-7d")


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    return (X, y)


def rows(seed: int = 0, **columns: object) -> pl.DataFrame:
    """Hourly rows: a slow wave that noise rides on, and a label that the noise decides."""
    rng = np.random.default_rng(seed)
    place = np.arange(N)
    noise = rng.normal(0, 1, N)
    load = 50 + 20 * np.sin(place / 24) + noise
    given = {"hour": place % 24, "noise": noise, "load": load, "up": (noise > 0.3).astype(int), "other": rng.normal(0, 1, N)}
    return pl.DataFrame(given | columns).with_columns(ts=pl.Series(place * HOUR).cast(pl.Datetime("us")))


def model(label: str = "up", columns: dict | None = None, **changes: object) -> fb.Model:
    declared = CLOCK | {"up": fb.column(int, one_of=(0, 1), known_after="1h"), "load": fb.column(float, known_after="1h")} | (columns or {})
    data = fb.Dataset("d", source="d.csv", time="ts", columns=declared)
    task = "binary" if label == "up" else "regression"
    lags = fb.FeatureView("lags", data, features={"last_up": fb.window("3h").last("up"), "last_load": fb.window("3h").last("load")})
    given = {"framing": fb.Framing("x"), "features": [lags], "train": fb.Train(fit, window="60d", holdout="7d")}
    return fb.Model("m", task=task, data=data, label=label, **(given | changes))  # type: ignore[arg-type]


def told(declared: fb.Model, frame: pl.DataFrame) -> list[str]:
    return [f"{one.what} | {one.why} | {one.fix}" for one in leaks(declared, {"d": frame})]


def test_honest_rows_are_not_suspected() -> None:
    assert told(model(), rows()) == []
    assert told(model("load"), rows()) == []


@pytest.mark.parametrize("label", ["up", "load"])
def test_a_feature_that_is_the_label_is_named_with_its_share(label: str) -> None:
    frame = rows()
    copy = frame.with_columns(copy=pl.when(pl.int_range(N) % 500 == 0).then(7.0).otherwise(pl.col(label).cast(pl.Float64)))
    [found] = told(model(label, {"copy": EARLY}), copy)
    assert 'feature "copy" is the label: 99.80% of 4,000 rows' in found
    assert "known_after=" in found


def test_a_rare_label_is_not_taken_for_a_column_that_is_always_the_commonest_value() -> None:
    rare = (np.arange(N) % 40 == 0).astype(int)
    frame = rows(up=rare, nothing=np.zeros(N))
    assert told(model("up", {"nothing": EARLY}), frame) == []


def test_a_feature_that_alone_nearly_gives_a_class_is_named_beside_what_the_last_label_gives() -> None:
    [found] = told(model("up", {"noise": EARLY}), rows())
    assert 'feature "noise" alone nearly gives the label: accuracy 0.99' in found
    assert "on 2,000 rows" in found
    assert "the last known label (last_up) gives accuracy 0." in found


def test_a_feature_that_alone_nearly_gives_a_number_is_named() -> None:
    frame = rows()
    near = frame.with_columns(near=pl.col("load") * 3 - 7)
    [found] = told(model("load", {"near": EARLY}), near)
    assert 'feature "near" alone nearly gives the label: R² 1.000' in found
    rough = frame.with_columns(near=pl.col("load") + pl.col("other") * 5)
    assert told(model("load", {"near": EARLY}), rough) == [], "a forecast that is good and no more"


def test_a_text_that_is_the_label_by_another_name_is_named() -> None:
    frame = rows().with_columns(word=pl.when(pl.col("up") == 1).then(pl.lit("yes")).otherwise(pl.lit("no")))
    [found] = told(model("up", {"word": fb.column(str, known_after="-7d")}), frame)
    assert 'feature "word" alone nearly gives the label: accuracy 1.000' in found


def test_a_label_that_hardly_moves_makes_a_suspect_of_nothing_that_says_no_more_than_its_last_value() -> None:
    slow = (np.arange(N) // 200 % 2).astype(int)
    frame = rows(up=slow).with_columns(echo=pl.col("up").shift(24).fill_null(0).cast(pl.Float64))
    assert told(model("up", {"echo": EARLY}), frame) == []


def test_a_transform_gives_the_answer_away_as_well_as_a_column() -> None:
    declared = model("up", {"load": fb.column(float), "wave": EARLY}, transforms={"rest": pl.col("load") - pl.col("wave")}, features=[])
    frame = rows().with_columns(wave=pl.lit(50) + 20 * (pl.int_range(N) / 24).sin())
    found = told(declared, frame)
    assert any('feature "rest" alone nearly gives the label' in one for one in found), found


def test_inputs_that_come_with_a_label_that_is_known_already_are_shown_beside_their_row_before() -> None:
    mixed = rows().with_columns(mixed=pl.col("noise") + pl.col("other"))
    early = model("up", {"mixed": float, "other": float, "up": fb.column(int, one_of=(0, 1))}, features=[])
    found = told(early, mixed)
    assert len(found) == 1, found
    assert '"mixed" is known no earlier than the label and says more of it than it could have said before: AUC 0.8' in found[0]
    assert "its value of the row before gives AUC 0.5" in found[0]
    late = early.replace(framing=fb.Framing("x", horizon="4h"), inputs=["hour"])
    assert told(late, mixed) == []


def test_rows_that_stand_on_both_sides_of_the_hold_out_are_counted() -> None:
    frame = rows()
    copies = pl.concat(
        [frame, frame.sample(300, seed=1).with_columns(ts=(pl.lit(N * HOUR) + pl.int_range(300) * HOUR).cast(pl.Datetime("us")))]
    )
    [found] = told(model(features=[]), copies)
    assert 'of the last 7d of data set "d" stand before it as well' in found
    assert "chance would make it 0." in found


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_numbers_of_any_size_are_told_alike(scale: float) -> None:
    chance = np.random.default_rng(5)
    other, near = chance.normal(0, 1, N), rows()["load"].to_numpy()
    frame = rows(load=near * scale, other=other / scale, near=(near + 0.01 * other) * scale)
    found = told(model("load", columns={"other": EARLY, "near": EARLY}, features=[]), frame)
    assert len(found) == 1, found
    assert 'feature "near" alone nearly gives the label: R² 1.000 [1.000, 1.000]' in found[0]


def test_a_column_may_have_any_name() -> None:
    assert told(model(features=[], columns={"count": int}), rows(count=np.arange(N))) == []


def test_rows_of_few_values_coincide_by_chance_and_are_no_copies() -> None:
    few = rows(load=np.arange(N) % 5)
    assert told(model(features=[]), few) == []


def test_too_few_rows_and_models_without_training_say_nothing() -> None:
    assert told(model("up", {"noise": EARLY}), rows().head(150)) == []
    assert told(model("up", {"noise": EARLY}, train=None), rows()) == []
    assert says("binary", pl.Series([1] * 500), pl.Series(range(500))) is None


def test_nulls_and_nan_are_values_of_their_own() -> None:
    frame = rows().with_columns(seen=pl.when(pl.col("up") == 1).then(None).otherwise(pl.col("other")))
    [found] = told(model("up", {"seen": fb.column(float, nulls="100%", known_after="-7d")}), frame)
    assert 'feature "seen" alone nearly gives the label: accuracy 1.000' in found


def test_a_feature_that_is_null_in_every_row_is_named_with_its_view() -> None:
    declared = model()
    short = fb.FeatureView("short", declared.data, features={"never": fb.window("30m").last("load"), "ever": fb.window("3h").last("load")})
    [found] = told(declared.replace("other", features=[short], transforms={"twice": pl.col("ever") * 2}), rows())
    assert 'feature "never" of view "short" is null in each of' in found
    assert "reaches beyond the columns' known_after" in found
