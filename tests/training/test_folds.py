"""Data without a time, whole groups, several hold-outs: who judges is never among those who taught, in a run or in the one before it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from flyball.errors import BadInput
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.training import artifact
from flyball.training.folds import FOLD
from flyball.training.parts import parts
from flyball.training.rows import assemble
from flyball.training.run import perform

PEOPLE = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

people = fb.Dataset("people", source="people.csv", columns={"age": float, "score": float, "town": str, "rich": fb.column(int, one_of=(0, 1))})
SEEN = []

def fit(X: pl.DataFrame, y: pl.Series, *, C: float = 1.0):
    SEEN.append(set(X["age"]))
    return LogisticRegression(C=C).fit(X.select("age", "score"), y)

def predict(model, X: pl.DataFrame):
    return model.predict_proba(X.select("age", "score"))

m = fb.Model("m", task="binary", data=people, label="rich", group=GROUP, framing=fb.Framing("test"),
    train=fb.Train(fit, predict=predict, TRAIN),
    gates=[fb.metric("accuracy") >= 0.6, fb.metric("accuracy") >= fb.champion - 0.05])
"""


def people(n: int = 1_500, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    age, score = rng.normal(0, 1, n), rng.normal(0, 1, n)
    rich = (age + score + rng.normal(0, 1, n) > 0.8).astype(int)
    return pl.DataFrame({"age": age, "score": score, "town": [f"t{place}" for place in rng.integers(0, 120, n)], "rich": rich})


@pytest.fixture
def made(project):
    def make(train: str, group: str = "", frame: pl.DataFrame | None = None):
        done = project(PEOPLE.replace("TRAIN", train).replace("GROUP", repr(group)), "m")
        done.frames = {"people": people() if frame is None else frame}
        return done

    return make


def run(project, **given):
    return perform(project.spec(as_of=0), project.model, project.frames, None, package=False, **given)


def test_a_share_is_held_out_and_none_of_it_teaches_the_candidate(made):
    project = made('split="stratified", holdout="30%", search={"C": fb.floats(0.1, 10.0, log=True)}')
    done = perform(project.spec(as_of=0, trials=3), project.model, project.frames, None, package=False)
    held = set(people()["age"][done.holdout["__time"].to_list()])
    assert 0.26 < len(held) / 1_500 < 0.34
    *fits, released = project.model.train.fit.__globals__["SEEN"]
    assert len(fits) == 4
    assert all(not held & seen for seen in fits)
    assert len(released) == 1_500
    assert done.result.rows == 1_500


def test_the_labels_shares_are_those_of_all_rows_up_to_chance(made):
    held = run(made('split="stratified"', frame=people(6_000))).holdout
    share, n = people(6_000)["rich"].mean(), held.height
    assert abs(held["y"].mean() - share) < 3 * np.sqrt(share * (1 - share) / n)


def test_no_group_is_on_both_sides(made):
    project = made('split="group", holdout="25%", search={"C": fb.floats(0.1, 10.0)}', "town")
    rows = assemble(project.model, project.frames, as_of=0)
    [part] = parts(rows, rows.frame.height, project.model.train, stops_by=False)
    town = people()["town"].gather(pl.Series(part.order))
    train, valid, judge = (set(town[start:stop]) for start, stop in pairwise((0, part.cut.inner, part.cut.stop, part.cut.end)))
    assert train
    assert valid
    assert judge
    assert not train & valid
    assert not (train | valid) & judge


def test_every_row_is_held_out_once_by_a_fit_that_has_not_seen_it(made):
    project = made('split="stratified", folds=5')
    done = run(project)
    assert sorted(done.holdout["__time"]) == list(range(1_500))
    seen = project.model.train.fit.__globals__["SEEN"]
    age = people()["age"]
    assert len(seen) == 6
    for fold, rows in done.holdout.group_by(FOLD):
        assert not set(age[rows["__time"].to_list()]) & seen[fold[0]]
    assert done.result.holdout_rows == done.result.metrics["accuracy"].n == 1_500


def test_the_report_tells_each_fold_by_itself(made):
    project = made('split="stratified", folds=4')
    done = perform(project.spec(as_of=0), project.model, project.frames, project.blobs)
    report = codec.decode(project.blobs.get(done.result.report), Report)
    assert [fold.holdout_rows for fold in report.folds] == [done.holdout.filter(pl.col(FOLD) == k).height for k in range(4)]
    assert sum(fold.metrics["accuracy"].value * fold.holdout_rows for fold in report.folds) / 1_500 == pytest.approx(
        done.result.metrics["accuracy"].value
    )


def test_a_champion_is_compared_on_rows_that_it_has_not_seen_either_also_when_the_data_have_grown(made, tmp_path):
    first = made('split="stratified"')
    kept = perform(first.spec(as_of=0), first.model, first.frames, first.blobs)
    champion = artifact.load_champion(kept.result.artifact, first.blobs, tmp_path / "scratch")
    held = set(people()["age"][kept.holdout["__time"].to_list()])

    grown = {"people": pl.concat([people(400, seed=5), people()])}
    again = perform(first.spec(as_of=0), first.model, grown, None, package=False, champion=champion)
    assert again.holdout["champion_value"].null_count() == 0
    judged = set(grown["people"]["age"][again.holdout["__time"].to_list()])
    assert judged & set(people()["age"]) == held
    assert (
        champion.judged.predict(people()[again_rows(held)].select("age", "score", "town")).value.tolist() == kept.holdout["value"].to_list()
    )


def again_rows(held: set[float]) -> list[int]:
    return [place for place, age in enumerate(people()["age"]) if age in held]


def test_a_champion_that_was_split_otherwise_has_seen_the_rows_that_judge_and_is_not_compared(made, tmp_path):
    first = made('split="stratified", holdout="20%"')
    champion = run(first).predictor
    other = first.model.replace(train=replace(first.model.train, holdout=0.4))
    done = perform(first.spec(as_of=0), other, first.frames, None, package=False, champion=champion)
    verdict = done.result.verdicts[1]
    assert verdict.outcome == Outcome.INSUFFICIENT
    assert "the champion has seen every row that judges" in verdict.why
    assert done.result.champion == {}


def test_of_several_folds_the_champion_is_compared_on_the_one_that_it_held_out(made):
    project = made('split="stratified", folds=3')
    champion = run(project).predictor
    done = run(project, champion=champion)
    compared = done.holdout.filter(pl.col("champion_value").is_not_null())
    assert compared[FOLD].unique().to_list() == [2]
    verdict = done.result.verdicts[1]
    assert verdict.outcome == Outcome.PASS
    assert verdict.reference.n == compared.height


def test_rolling_hold_outs_follow_each_other_and_each_fit_knows_only_what_was_known_before_its_own(bikes):
    hour, day = 3_600_000_000, 86_400_000_000
    model = bikes.model.replace(train=replace(bikes.model.train, split="rolling", folds=3, search={}))
    frame = bikes.frames["rides"]
    done = perform(bikes.spec(), model, bikes.frames, None, package=False)
    spans = done.holdout.group_by(FOLD).agg(pl.col("__time").min().alias("first"), pl.col("__time").max().alias("last")).sort(FOLD)
    assert [last - first for first, last in spans.select("first", "last").rows()] == [7 * day - hour] * 3
    assert spans["first"].diff()[1:].to_list() == [7 * day] * 2
    assert done.holdout["__time"][-1] == frame["ts"].cast(pl.Int64).max()

    # what happened from the second hold-out on changes nothing of what was said of the first
    second = spans["first"][1]
    changed = frame.with_columns(pl.when(pl.col("ts").cast(pl.Int64) >= second).then(0).otherwise(pl.col("rentals")).alias("rentals"))
    other = perform(bikes.spec(), model, {"rides": changed}, None, package=False)
    first = [each.holdout.filter(pl.col(FOLD) == 0)["value"] for each in (done, other)]
    assert first[0].equals(first[1])


def test_the_newest_of_rolling_hold_outs_is_judged_as_a_single_one_is(bikes):
    plain = bikes.model.replace(train=replace(bikes.model.train, search={}))
    rolling = plain.replace(train=replace(plain.train, split="rolling", folds=3))
    one, three = (perform(bikes.spec(), model, bikes.frames, None, package=False).holdout for model in (plain, rolling))
    assert three.filter(pl.col(FOLD) == 2).drop(FOLD).equals(one)


def test_a_champion_is_not_compared_on_older_hold_outs_that_it_was_fitted_on(bikes):
    model = bikes.model.replace(train=replace(bikes.model.train, split="rolling", folds=3, search={}))
    champion = perform(bikes.spec(), model, bikes.frames, None, package=False).predictor
    done = perform(bikes.spec(), model, bikes.frames, None, package=False, champion=champion)
    assert done.holdout.filter(pl.col("champion_value").is_not_null())[FOLD].unique().to_list() == [2]


def test_too_few_rows_to_hold_out_are_said(made):
    with pytest.raises(BadInput, match=r"the hold-out \(20%\) has \d rows"):
        run(made('split="stratified"', frame=people(30)))


def test_a_rehearsal_of_rows_without_a_time_is_refused(made):
    from flyball.loop.history import load_history

    project = made('split="stratified"')
    with pytest.raises(BadInput, match="cannot be rehearsed"):
        load_history(project.root, project.file, "m", None)
