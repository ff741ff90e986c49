"""The rows themselves are looked into by every run: leaks, copies, shared groups and rare classes are said, and stop a version where a gate asks."""

import numpy as np
import polars as pl
import pytest

from flyball.evaluation.told import warnings
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.training.run import perform

PEOPLE = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

people = fb.Dataset("people", source="people.csv", ID columns={
    "age": float, "score": float, "town": str, "told": float, "rich": fb.column(int, one_of=(0, 1), known_after="1d")})

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression().fit(X.select("age", "score"), y)

def predict(model, X: pl.DataFrame):
    return model.predict_proba(X.select("age", "score"))

m = fb.Model("m", task="binary", data=people, label="rich", group="town", framing=fb.Framing("test"), inputs=INPUTS,
    train=fb.Train(fit, predict=predict, TRAIN), gates=[fb.metric("leaks") <= 0, fb.metric("duplicates") <= "1%",
        fb.metric("group_overlap") <= 0, fb.metric("minority_share").lower >= "10%"])
"""


def people(n: int = 2_000, *, rare: float = 0.8, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    age, score = rng.normal(0, 1, n), rng.normal(0, 1, n)
    rich = (age + score + rng.normal(0, 1, n) > rare).astype(int)
    told = rich * 2.0 + rng.normal(0, 0.05, n)
    town = [f"t{place}" for place in rng.integers(0, 200, n)]
    return pl.DataFrame({"age": age, "score": score, "town": town, "told": told, "rich": rich, "id": [str(place) for place in range(n)]})


@pytest.fixture
def run(project):
    def made(train: str, frame: pl.DataFrame, *, inputs: str = '["age", "score"]', by_id: str = "", group: str = 'group="town",'):
        text = PEOPLE.replace("TRAIN", train).replace("INPUTS", inputs).replace("ID", by_id).replace('group="town",', group)
        done = project(text, "m")
        done.frames = {"people": frame}
        result = perform(done.spec(as_of=0), done.model, done.frames, done.blobs).result
        return result, codec.decode(done.blobs.get(result.report), Report).data

    return made


def outcomes(result) -> list[str]:
    return [verdict.outcome.value for verdict in result.verdicts]


def test_sound_rows_pass_and_nothing_is_said(run):
    result, found = run('split="group"', people())
    assert outcomes(result) == ["pass"] * 4
    assert list(warnings(found)) == []
    assert found.looked_at == 2_000
    mine, theirs = zip(*found.classes.values(), strict=True)
    assert sum(mine) == pytest.approx(1)
    assert sum(theirs) == pytest.approx(1)


def test_a_feature_that_gives_the_label_away_fails_its_gate_and_is_said_on_the_run(run):
    result, found = run('split="group"', people(), inputs='["age", "score", "told"]')
    assert result.verdicts[0].outcome == Outcome.FAIL
    assert 'feature "told" alone nearly gives the label' in result.verdicts[0].why
    assert any('feature "told"' in note for note in result.notes)
    assert result.measured["leaks"].value == len(found.leaks) >= 1


def test_rows_with_ids_of_their_own_that_are_copies_are_found_across_the_split(run):
    rows = people(1_500)
    copied = pl.concat([rows, rows.head(500).with_columns(id=pl.col("id") + "again")])
    result, found = run('split="stratified"', copied, by_id='id="id",')
    assert result.verdicts[1].outcome == Outcome.FAIL
    assert found.duplicates.value > 0.05
    assert found.example.startswith("label ") or "age=" in found.example
    assert any(note.startswith("duplicates: ") for note in result.notes)


def test_no_row_is_shown_of_data_that_are_of_persons(run):
    rows = people(1_500)
    copied = pl.concat([rows, rows.head(500).with_columns(id=pl.col("id") + "again")])
    result, found = run('split="stratified"', copied, by_id='id="id", subject="town",', group="")
    assert found.duplicates.value > 0.05
    assert found.example == ""
    assert any(note.startswith("duplicates: ") and "such as" not in note for note in result.notes)


def test_copies_without_an_id_stand_on_one_side_and_count_as_nothing(run):
    rows = people(1_500)
    result, _ = run('split="stratified"', pl.concat([rows, rows.head(500)]))
    assert result.measured["duplicates"].value == 0


def test_groups_on_both_sides_are_said_and_split_group_has_none(run):
    result, _ = run('split="stratified"', people())
    assert result.verdicts[2].outcome == Outcome.FAIL
    assert "held-out groups are in training too" in result.verdicts[2].why
    assert run('split="group"', people())[0].measured["group_overlap"].value == 0


def test_a_rare_class_is_said_and_may_stop_a_version(run):
    result, _ = run('split="group"', people(4_000, rare=3.2))
    assert result.verdicts[3].outcome == Outcome.FAIL
    assert any(note.startswith("imbalance: class 1 is ") for note in result.notes)


def test_too_few_rows_to_look_for_leaks_are_insufficient_and_never_a_pass(run):
    result, found = run('split="stratified"', people(150))
    assert result.verdicts[0].outcome == Outcome.INSUFFICIENT
    assert "leaks were not looked for in 150 rows" in result.verdicts[0].why
    assert found.unsearched
