"""What a run does, and how it ends when it cannot be made."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import polars as pl
import pytest

from flyball.clock import Span, rfc3339
from flyball.errors import BadInput, DeclarationError, Refused
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.training import artifact
from flyball.training.choosing import Progress
from flyball.training.fitting import FitCache
from flyball.training.rows import assemble
from flyball.training.run import execute, memo_key, perform

LOOP = """
import flyball as fb
import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression, LinearRegression
from sklearn.dummy import DummyClassifier

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={
    "hour": fb.column(int, known_after="-1d"), "price": fb.column(float, known_after="-1d"), "up": fb.column(int, one_of=(0, 1))})

def fit(X: pl.DataFrame, y: pl.Series, *, C: float = 1.0):
    BODY

SEEN = []

m = fb.Model("m", task="binary", data=market, label="up", train=fb.Train(fit, EXTRA window="28d", holdout="7d"), gates=[fb.metric("accuracy") >= 0.6])
"""


def loop(body: str = "return LogisticRegression(C=C).fit(X, y)", extra: str = "") -> str:
    return LOOP.replace("BODY", body).replace("EXTRA", extra)


def made(project, **fields):
    return perform(project.spec(**fields), project.model, project.frames, None, package=False)


def test_a_run_beats_its_baseline_and_passes_its_gates(price):
    result = execute(price.spec(), price.model, price.frames, price.blobs)
    assert result.metrics["accuracy"].value > result.baseline["accuracy"].value
    assert {verdict.outcome for verdict in result.verdicts} == {Outcome.PASS}
    assert 0 < result.loss_bound < 0.3
    assert result.holdout_rows == 168
    assert "hour=6" in result.by_slice
    assert price.blobs.has(result.evidence)
    assert price.blobs.has(result.reference)


def test_the_same_spec_has_the_same_result_and_another_has_another_key(bikes):
    first, second = (execute(bikes.spec(trials=2), bikes.model, bikes.frames, bikes.blobs) for _ in range(2))
    assert (first.artifact, first.metrics, first.parameters) == (second.artifact, second.metrics, second.parameters)
    assert memo_key(bikes.spec()) == memo_key(bikes.spec())
    assert memo_key(bikes.spec()) != memo_key(bikes.spec(seed=1))


def test_the_last_rows_are_held_out_and_their_label_delay_is_a_gap(bikes):
    done = made(bikes)
    held = done.holdout["__time"]
    assert held[-1] - held[0] == 167 * int(Span.parse("1h"))
    frame = bikes.frames["rides"]
    assert held[-1] == frame["ts"].cast(pl.Int64).max()


def test_no_label_known_later_than_as_of_is_seen(bikes):
    as_of = int(bikes.frames["rides"]["ts"].cast(pl.Int64)[1000])
    changed = bikes.frames["rides"].with_columns(
        pl.when(pl.int_range(pl.len()) > 1000).then(0).otherwise(pl.col("rentals")).alias("rentals")
    )
    before = perform(bikes.spec(as_of=as_of), bikes.model, bikes.frames, None, package=False)
    after = perform(bikes.spec(as_of=as_of), bikes.model, {"rides": changed}, None, package=False)
    assert before.holdout.equals(after.holdout)
    assert before.holdout["__time"][-1] == as_of - int(Span.parse("1h"))


def test_a_champion_that_was_fitted_on_the_hold_out_is_compared_as_it_was_before_it(bikes, tmp_path):
    first = perform(bikes.spec(), bikes.model, bikes.frames, bikes.blobs)
    champion = artifact.load_champion(first.result.artifact, bikes.blobs, tmp_path / "scratch")
    again = perform(bikes.spec(), bikes.model, bikes.frames, bikes.blobs, champion=champion).result
    # the same fit twice: with the released champion, which has seen these rows, the new one would look worse
    assert again.champion == again.metrics
    compared = [each.why for each in again.verdicts if "champion" in each.check]
    until = rfc3339(champion.judged.trained_until)[:10]
    assert [why.endswith(f"; champion as it was judged, fitted until {until}") for why in compared] == [True], compared
    released = artifact.load(first.result.artifact, bikes.blobs, tmp_path / "scratch")
    unfair = perform(bikes.spec(), bikes.model, bikes.frames, bikes.blobs, champion=released).result
    assert unfair.champion == {}
    against = [each for each in unfair.verdicts if "champion" in each.check]
    assert [each.outcome for each in against] == [Outcome.INSUFFICIENT]


def longer(model, holdout):
    return model.replace(train=replace(model.train, holdout=Span.parse(holdout)))


def test_a_champion_is_compared_on_no_row_that_its_judged_fit_has_seen_when_the_hold_out_grows(bikes, tmp_path):
    first = perform(bikes.spec(), bikes.model, bikes.frames, bikes.blobs)
    champion = artifact.load_champion(first.result.artifact, bikes.blobs, tmp_path / "scratch")
    again = perform(bikes.spec(), longer(bikes.model, "21d"), bikes.frames, None, package=False, champion=champion)
    compared = again.holdout.filter(pl.col("champion_value").is_not_null())
    assert again.holdout["__time"].min() < champion.judged.trained_until < compared["__time"].min()
    assert compared["__time"].to_list()[-first.holdout.height :] == first.holdout["__time"].to_list()
    assert compared["champion_value"].to_list()[-first.holdout.height :] == first.holdout["value"].to_list()
    assert compared["__time"].min() - champion.judged.trained_until > int(Span.parse("1h")), "labels known too early are left out too"
    assert again.result.champion["mae"].n == compared.height < again.holdout.height


def test_an_artifact_that_does_not_say_what_its_judged_fit_saw_is_compared_on_its_former_hold_out(bikes, tmp_path):
    first = perform(bikes.spec(), bikes.model, bikes.frames, bikes.blobs)
    manifest = msgspec.structs.replace(artifact.manifest_of(first.result.artifact, bikes.blobs), judged_until=None)
    old = bikes.blobs.put(codec.encode(manifest))
    champion = artifact.load_champion(old, bikes.blobs, tmp_path / "scratch")
    again = perform(bikes.spec(), longer(bikes.model, "21d"), bikes.frames, None, package=False, champion=champion)
    compared = again.holdout.filter(pl.col("champion_value").is_not_null())
    assert compared["__time"].to_list() == first.holdout["__time"].to_list()


def test_a_champion_that_is_older_than_the_hold_out_is_compared_as_released(bikes):
    step = int(Span.parse("1h"))
    earlier = bikes.spec().as_of - int(Span.parse("8d")) // step * step
    first = perform(bikes.spec(as_of=earlier), bikes.model, bikes.frames, None, package=False)
    later = perform(bikes.spec(), bikes.model, bikes.frames, None, package=False, champion=first.predictor)
    assert "; champion as it answers, fitted until " in later.result.verdicts[0].why
    rows = assemble(bikes.model, bikes.frames, as_of=bikes.spec().as_of)
    held = rows.frame.tail(later.holdout.height).select(rows.features)
    assert later.holdout["champion_value"].to_list() == first.predictor.predict(held).value.tolist()


def test_a_transform_that_is_a_function_and_a_weight_are_used(project):
    text = loop("SEEN.append((weight.to_list()[:3], X.columns)); return LogisticRegression(C=C).fit(X, y, sample_weight=weight)")
    text = text.replace("y: pl.Series, *,", "y: pl.Series, weight: pl.Series, *,").replace(
        'label="up",', 'label="up", weight="price", transforms=late,'
    )
    text = text.replace("SEEN = []", "SEEN = []\n\ndef late(frame):\n    return frame.with_columns(late=pl.col('hour') > 12)")
    done = project(text, "m")
    made(done)
    from sys import modules

    weights, columns = modules["loops.m_loop"].SEEN[0]
    assert len(set(weights)) == 3
    assert columns == ["hour", "late"]


def test_rows_assembled_once_give_what_a_run_of_its_own_gives(bikes):
    frames = bikes.frames
    as_of = int(frames["rides"]["ts"].cast(pl.Int64)[1500])
    whole = assemble(bikes.model, frames, as_of=bikes.spec().as_of)
    shared = perform(bikes.spec(as_of=as_of), bikes.model, {}, None, rows=whole, package=False)
    own = perform(bikes.spec(as_of=as_of), bikes.model, frames, None, package=False)
    assert shared.holdout.equals(own.holdout)
    assert shared.result.metrics == own.result.metrics


def test_a_fit_of_the_same_rows_is_made_once(bikes):
    whole, cache = assemble(bikes.model, bikes.frames, as_of=bikes.spec().as_of), FitCache()
    spec = bikes.spec()
    first = perform(spec, bikes.model, {}, None, rows=whole, package=False, cache=cache)
    misses = cache.misses
    second = perform(spec, bikes.model, {}, None, rows=whole, package=False, cache=cache, champion=first.predictor)
    assert cache.misses == misses
    assert second.result.fit_s == 0
    assert second.result.champion["mae"].value is not None


def test_policies_that_differ_in_their_gates_share_their_fits(bikes):
    whole, cache = assemble(bikes.model, bikes.frames, as_of=bikes.spec().as_of), FitCache()
    perform(bikes.spec(), bikes.model, {}, None, rows=whole, package=False, cache=cache)
    other = bikes.model.replace(gates=())
    assert perform(bikes.spec(version_digest="other"), other, {}, None, rows=whole, package=False, cache=cache).result.fit_s == 0


def test_the_fit_cache_forgets_what_was_not_asked_for_longest():
    cache = FitCache(2)
    for key in ("a", "b"):
        cache.put(key, key)
    cache.get("a")
    cache.put("c", "c")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("a", None, "c")


def test_an_automatic_window_keeps_its_scores(price):
    first = execute(price.spec(), price.model, price.frames, price.blobs)
    assert set(first.window_scores) == {"28d", "60d", "120d"}
    # a window that was far better so far is kept, though today it is not
    second = execute(price.spec(window_scores=first.window_scores | {"28d": 9.0}), price.model, price.frames, price.blobs)
    assert second.window == Span.parse("28d")
    assert second.window_scores["28d"] == pytest.approx(0.7 * 9 + first.window_scores["28d"])


def test_a_search_stays_in_its_space_tells_its_progress_and_leaves_fixed_parameters_alone(bikes):
    seen: list[Progress] = []
    result = execute(bikes.spec(trials=4), bikes.model, bikes.frames, bikes.blobs, progress=seen.append)
    assert 2 <= result.parameters["max_depth"] <= 6
    searched = [each for each in seen if each.stage == "search"]
    assert [each.done for each in searched] == [0, 1, 2, 3, 4]
    assert searched[0].best is None, "a search that has begun has tried nothing yet"
    assert searched[-1].best <= searched[1].best, "an error is shown as it is: smaller is better"
    fixed = execute(bikes.spec(trials=4, parameters={"max_depth": 3}), bikes.model, bikes.frames, bikes.blobs)
    assert fixed.parameters["max_depth"] == 3
    assert fixed.trials == 0


def test_a_fit_gets_what_it_names(project):
    body = "SEEN.append((type(y).__name__, seed, X_valid.height, len(y_valid), weight is not None)); run.log(rows=X.height); return LogisticRegression(C=C).fit(X, y)"
    text = loop(body).replace("y: pl.Series, *,", "y: np.ndarray, X_valid, y_valid, weight, seed, run, *,")
    done = project(text, "m")
    result = made(done, seed=7).result
    assert result.parameters == {"C": 1.0}
    from sys import modules

    seen = modules["loops.m_loop"].SEEN
    assert seen[0] == ("ndarray", 7, 135, 135, True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise ValueError('bad luck')", "fit raised ValueError: bad luck"),
        ("return None", "fit returned None"),
        ("return 7", "cannot predict"),
        ("pass", "fit returned None"),
    ],
)
def test_a_fit_that_fails_says_how(project, body: str, says: str):
    with pytest.raises(BadInput, match=says) as error:
        made(project(loop(body), "m"))
    assert error.value.fix


def test_the_place_in_the_user_s_file_is_named(project):
    with pytest.raises(BadInput) as error:
        made(project(loop("raise ValueError('bad luck')"), "m"))
    assert "m_loop.py:" in error.value.why


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("[float('nan')] * len(X)", "NaN"),
        ("[0.5] * (len(X) - 1)", "answers for"),
        ("[3] * len(X)", "the class 3"),
        ("[[0.1, 0.2, 0.7]] * len(X)", "3 scores a row for 2 classes"),
        ("[1.7] * len(X)", r"scores outside \[0, 1\]"),
        ("1 / 0", "ZeroDivisionError"),
        ("['up'] * len(X)", "the class"),
    ],
)
def test_answers_that_cannot_be_used_end_the_run_by_name(project, answer: str, says: str):
    text = loop(extra="predict=predict,").replace("SEEN = []", f"def predict(model, X):\n    return {answer}")
    with pytest.raises(BadInput, match=says):
        made(project(text, "m"))


def test_own_scores_are_read_as_the_chance_of_the_second_class(project):
    text = loop(extra="predict=predict,").replace("SEEN = []", "def predict(model, X):\n    return model.predict_proba(X)[:, 1]")
    done = made(project(text, "m"))
    assert done.holdout["value"].to_list() == (done.holdout["score"] >= 0.5).cast(pl.Int64).to_list()


def test_one_class_or_too_few_rows_end_the_run_by_name(project):
    one = project(loop(), "m")
    one.frames["market"] = one.frames["market"].with_columns(pl.lit(1).alias("up"))
    with pytest.raises(BadInput, match="all have the label 1"):
        made(one)
    few = project(loop(), "m")
    few.frames["market"] = few.frames["market"].head(180)
    with pytest.raises(BadInput, match="at least 30"):
        made(few)
    none = project(loop(), "m")
    none.frames["market"] = none.frames["market"].head(5)
    with pytest.raises(BadInput, match="5 rows"):
        made(none)


def test_an_unknown_hyperparameter_is_named(project):
    with pytest.raises(BadInput, match='no hyperparameter "depth"'):
        made(project(loop(), "m"), parameters={"depth": 3})


def test_a_hyperparameter_without_a_default_is_named(project):
    with pytest.raises(DeclarationError, match='"C" without a default'):
        made(project(loop().replace("C: float = 1.0", "C: float"), "m"))


def test_a_model_without_training_is_refused(project):
    text = loop().replace('train=fb.Train(fit,  window="28d", holdout="7d"), ', "")
    with pytest.raises(Refused, match="declares no training"):
        made(project(text, "m"))


def test_a_decoded_declaration_cannot_be_run(price):
    from flyball.declare import codec

    with pytest.raises(DeclarationError, match="reference to code"):
        perform(price.spec(), codec.decode(codec.encode(price.model)), price.frames, None, package=False)


def test_text_classes_and_more_than_two_of_them_are_judged(project):
    text = (
        loop("return LogisticRegression(C=C).fit(X.select('price'), y)", "predict=predict,")
        .replace('"up": fb.column(int, one_of=(0, 1))', '"up": fb.column(str)')
        .replace('task="binary"', 'task="multiclass"')
        .replace("SEEN = []", "def predict(model, X):\n    return model.predict_proba(X.select('price'))")
    )
    many = project(text, "m")
    level = pl.when(pl.col("price") < 0.35).then(pl.lit("low")).when(pl.col("price") > 0.65).then(pl.lit("high")).otherwise(pl.lit("mid"))
    many.frames["market"] = many.frames["market"].with_columns(level.alias("up"))
    done = perform(many.spec(), many.model, many.frames, many.blobs)
    assert done.result.signature.classes == ("high", "low", "mid")
    assert done.result.metrics["accuracy"].value > 0.6
    assert done.result.metrics["log_loss"].value is not None
    loaded = artifact.load(done.result.artifact, many.blobs, many.root / "scratch")
    assert loaded.predict(loaded.golden.drop(artifact.VALUE, artifact.SCORE)).scores.shape == (20, 3)


def test_what_stands_in_for_a_broken_value_is_of_the_rows_that_the_version_was_fitted_on(project):
    text = loop().replace('"hour": fb.column(int', '"hour": fb.column(int, on_request="impute"')
    assert "impute" in text
    lax = project(text, "m")
    done = perform(lax.spec(), lax.model, lax.frames, lax.blobs)
    [hour] = [field for field in done.result.signature.fields if field.name == "hour"]
    assert hour.on_request == "impute"
    assert hour.usual in (11, 12), "the median of the hours of whole days"
    again = artifact.load(done.result.artifact, lax.blobs, lax.root / "scratch")
    assert again.signature == done.result.signature
