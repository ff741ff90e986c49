"""Every way in which a fit can be bad: what ends a run is a typed error that says what, why and fix; what does not is told plainly."""

from __future__ import annotations

import re

import polars as pl
import pytest

from flyball.declare.problems import problems
from flyball.errors import BadInput, DeclarationError, FlyballError, Stopped
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.training import RunResult
from flyball.training.run import execute, perform

LOOP = """
import os
import sys
import flyball as fb
import numpy as np
import polars as pl
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={
    "hour": fb.column(int, known_after="-1d"), "price": fb.column(float, known_after="-1d"), "up": fb.column(int, one_of=(0, 1))})

class Answers:
    def __init__(self, give):
        self.give = give
    def predict(self, X):
        return self.give(X)

def save(model, folder):
    (folder / "model.txt").write_text("anything")

def load(folder):
    raise OSError("half of it is missing")

def fit(X: pl.DataFrame, y: pl.Series, seed):
    BODY

m = fb.Model("m", task="binary", data=market, label="up", EXTRA train=fb.Train(fit, TRAIN window="28d", holdout="7d"), gates=[GATES])
"""

GOOD = "return LogisticRegression().fit(X, y)"


def loop(body: str = GOOD, extra: str = "", train: str = "", gates: str = 'fb.metric("accuracy") >= 0.1') -> str:
    return LOOP.replace("BODY", body).replace("EXTRA", extra).replace("TRAIN", train).replace("GATES", gates)


def fails(project) -> FlyballError:
    with pytest.raises(BadInput) as error:
        execute(project.spec(), project.model, project.frames, project.blobs)
    assert error.value.why, "it says why"
    assert error.value.fix, "it says what to do"
    return error.value


def answering(give: str) -> str:
    return f"return Answers(lambda X: {give})"


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("raise ValueError('bad luck')", "fit-failed", "fit raised ValueError: bad luck"),
        ("raise MemoryError()", "fit-failed", "MemoryError"),
        ("raise RecursionError('deep')", "fit-failed", "RecursionError"),
        ("raise GeneratorExit()", "fit-failed", "fit raised GeneratorExit"),
        ("sys.exit(3)", "fit-failed", r"fit called sys.exit\(3\)"),
        ("sys.exit()", "fit-failed", r"fit called sys.exit\(\)"),
        ("pass", "fit-failed", "fit returned None"),
        ("return 7", "unusable-answers", "cannot predict"),
        (answering("np.full(X.height, np.nan)"), "unusable-answers", "NaN"),
        (answering("np.zeros(X.height - 1)"), "unusable-answers", "answers for"),
        (answering("np.zeros((X.height, 3))"), "unusable-answers", "3 scores a row"),
        (answering("np.ones((X.height, 2, 2))"), "unusable-answers", r"an array of shape \(168, 2, 2\)"),
        (answering("np.zeros((X.height, 0))"), "unusable-answers", "0 scores a row"),
        (answering("[{'a': 1}] * X.height"), "unusable-answers", "answered a dict"),
        (answering("[None] * X.height"), "unusable-answers", "answered a NoneType"),
        (answering("[[1], [1, 2]] * (X.height // 2)"), "unusable-answers", "answered what is no array"),
        (answering("np.full((X.height, 2), 0.9)"), "unusable-answers", "do not add up to 1"),
        (answering("['up'] * X.height"), "unusable-answers", "the class 'up'"),
        (answering("sys.exit(1)"), "unusable-answers", "SystemExit"),
        (answering("None"), "unusable-answers", "answered NoneType None for 168 rows"),
        (answering("7"), "unusable-answers", "answered int 7 for 168 rows"),
    ],
)
def test_a_fit_or_a_model_that_cannot_be_used_is_an_error_with_a_code(project, body: str, code: str, says: str):
    error = fails(project(loop(body), "m"))
    assert error.code == code
    assert re.search(says, error.what), error.what


def test_a_number_that_is_not_finite_is_refused_where_it_is_logged(project):
    text = loop("run.log(best=float('nan')); return LogisticRegression().fit(X, y)").replace("seed):", "seed, run):")
    error = fails(project(text, "m"))
    assert error.code == "fit-failed"
    assert error.what.startswith("fit raised BadInput: run.log(best=nan) is not finite")


def test_a_default_that_is_not_finite_is_refused_before_anything_is_fitted(project):
    made = project(loop().replace("seed):", "seed, *, c: float = float('inf')):"), "m")
    with pytest.raises(DeclarationError, match="the default of c is inf") as error:
        execute(made.spec(), made.model, made.frames, made.blobs)
    assert error.value.fix


def test_windows_whose_objective_is_not_defined_leave_the_longest_and_no_score(project):
    made = project(loop().replace('TRAIN window="28d"', "").replace('window="28d"', 'objective="roc_auc"'), "m")
    frame = made.frames["market"]
    made.frames["market"] = frame.with_columns(up=pl.when(pl.int_range(pl.len()) >= frame.height - 220).then(0).otherwise(pl.col("up")))
    result = execute(made.spec(), made.model, made.frames, made.blobs)
    assert (result.window_scores, str(result.window)) == ({}, "120d")
    assert codec.decode(codec.encode(result), RunResult) == result


def test_a_process_that_is_told_to_end_is_not_a_bad_fit(project):
    made = project(loop("from flyball.errors import Stopped; raise Stopped(143)"), "m")
    with pytest.raises(Stopped):
        execute(made.spec(), made.model, made.frames, made.blobs)


def test_an_artifact_that_does_not_load_ends_the_run_before_anybody_is_to_serve_it(project):
    text = loop("return 1", train="predict=lambda model, X: X['hour'].to_numpy() * 0.01, save=save, load=load,")
    text = text.replace("predict=lambda model, X: X['hour'].to_numpy() * 0.01", "predict=predict").replace(
        "def fit(", "def predict(model, X):\n    return X['hour'].to_numpy() * 0.01\n\ndef fit("
    )
    error = fails(project(text, "m"))
    assert (error.code, error.what) == (
        "unusable-artifact",
        'the model of "m" does not answer when it is loaded: load= raised OSError: half of it is missing',
    )


@pytest.mark.parametrize(
    ("raises", "says"), [("sys.exit(4)", "called sys.exit(4)"), ("raise GeneratorExit('enough')", "raised GeneratorExit: enough")]
)
def test_a_save_or_load_that_exits_ends_the_run_with_its_code_and_no_process(project, raises: str, says: str):
    saves = loop("return 1", train="predict=predict, save=save, load=load,").replace(
        "def fit(", "def predict(model, X):\n    return X['hour'].to_numpy() * 0.01\n\ndef fit("
    )
    loads = saves.replace('raise OSError("half of it is missing")', raises)
    saves = saves.replace('(folder / "model.txt").write_text("anything")', raises)
    error = {name: fails(project(text, "m")) for name, text in (("save", saves), ("load", loads))}
    assert (error["save"].code, error["save"].what) == ("unusable-artifact", f"save= {says}")
    assert (error["load"].code, error["load"].what) == (
        "unusable-artifact",
        f'the model of "m" does not answer when it is loaded: load= {says}',
    )


@pytest.mark.parametrize("place", ["fit", "predict", "save", "load"])
def test_ctrl_c_goes_through_what_a_user_wrote(project, place: str):
    """A rehearsal fits in the process where a person presses it: told as a failed fit, it would go on with the next."""
    text = loop("return 1", train="predict=predict, save=save, load=load,").replace(
        "def fit(", "def predict(model, X):\n    return X['hour'].to_numpy() * 0.01\n\ndef fit("
    )
    lines = {
        "fit": "return 1",
        "predict": "return X['hour'].to_numpy() * 0.01",
        "save": '(folder / "model.txt").write_text("anything")',
        "load": 'raise OSError("half of it is missing")',
    }
    assert lines[place] in text
    made = project(text.replace(lines[place], "raise KeyboardInterrupt"), "m")
    with pytest.raises(KeyboardInterrupt):
        execute(made.spec(), made.model, made.frames, made.blobs)


@pytest.mark.parametrize(
    ("gives", "found"), [("X['price'].to_numpy() / X['price'].max()", True), ("(X['price'].to_numpy() / 4).clip(0, 1)", False)]
)
def test_a_model_that_answers_a_row_otherwise_among_others_is_found_when_it_is_packed(project, gives: str, found: bool):
    text = loop("return 1", train="predict=predict, save=save, load=load,").replace(
        "def fit(", f"def predict(model, X):\n    return {gives}\n\ndef fit("
    )
    made = project(text.replace('raise OSError("half of it is missing")', "return 1"), "m")
    if not found:
        assert execute(made.spec(), made.model, made.frames, made.blobs).artifact
        return
    error = fails(made)
    assert error.code == "unusable-answers"
    assert re.fullmatch(r'model "m" answers golden row 0 with 1.0 alone, and with 0\.\d+ among 20 rows', error.what)


def test_a_model_that_answers_no_row_alone_is_found_when_it_is_packed(project):
    text = loop("return 1", train="predict=predict, save=save, load=load,").replace(
        "def fit(",
        "def predict(model, X):\n    assert X.height > 1, 'one row is too few'\n    return X['hour'].to_numpy() * 0.01\n\ndef fit(",
    )
    error = fails(project(text.replace('raise OSError("half of it is missing")', "return 1"), "m"))
    assert (error.code, error.what) == ("unusable-answers", 'model "m" failed to predict 1 rows: AssertionError: one row is too few')


def test_a_model_that_answers_otherwise_each_time_ends_the_run(project):
    text = loop("return 1", train="predict=predict, save=save, load=load,").replace(
        "def fit(", "def predict(model, X):\n    return np.random.default_rng().random(len(X))\n\ndef fit("
    )
    error = fails(project(text.replace('raise OSError("half of it is missing")', "return 1"), "m"))
    assert error.code == "unusable-artifact"
    assert "no longer answers as it did" in error.what


@pytest.mark.parametrize(
    ("rows", "says", "helps"),
    [
        (3, "3 rows", "bring more rows: 3 have a label that is known, and a run takes 30 to learn from and 10 to be judged on"),
        (39, "are 0", "bring more rows: 39 have"),
        (180, "at least 30", "shorten holdout, or bring more rows"),
    ],
)
def test_too_few_rows_have_a_code_of_their_own_and_what_helps(project, rows: int, says: str, helps: str):
    few = project(loop(), "m")
    few.frames["market"] = few.frames["market"].head(rows)
    error = fails(few)
    assert error.code == "too-few-rows"
    assert says in f"{error.what} {error.why}"
    assert error.fix.startswith(helps), error.fix


AGE = (pl.col("ts").max() - pl.col("ts")).dt.total_days()


@pytest.mark.parametrize(
    ("label", "helps"),
    [
        (pl.lit(1), "bring rows with another label"),
        (pl.lit(0), "bring rows with another label"),
        ((pl.lit(40) < AGE).cast(pl.Int64), "widen train window: older rows have other labels"),
        ((pl.lit(5) > AGE).cast(pl.Int64), "shorten holdout, or bring more rows: those with another label are all held out"),
    ],
)
def test_a_constant_label_or_one_class_is_named_with_where_others_are(project, label: pl.Expr, helps: str):
    one = project(loop(), "m")
    one.frames["market"] = one.frames["market"].with_columns(up=label)
    error = fails(one)
    assert error.code == "unusable-label"
    assert error.fix.startswith(helps), error.fix


def test_a_label_that_is_never_there_leaves_no_row(project):
    none = project(loop(), "m")
    none.frames["market"] = none.frames["market"].with_columns(up=pl.lit(None, pl.Int64))
    error = fails(none)
    assert (error.code, error.why) == ("too-few-rows", "no row has a label that is known yet")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (loop().replace('label="up"', 'label="upp"'), 'label "upp" is not a column'),
        (loop(extra='inputs=["up"],'), 'input "up" is the label'),
        (loop(extra='transforms={"same": pl.col("up") * 2},'), 'transform "same" reads "up", which is the label'),
    ],
)
def test_a_label_that_is_missing_or_in_the_features_is_a_problem_of_the_declaration(project, text: str, says: str):
    found = problems(project(text, "m").model)
    assert says in [each.what for each in found]
    assert all(each.why and each.fix for each in found)


def test_a_slice_without_rows_is_insufficient_and_never_a_pass(project):
    made = project(loop(extra='slices=["hour"],', gates='fb.metric("accuracy").by("hour") >= 0.1'), "m")
    # the last week's labels of one hour are unknown: it has rows and nothing to judge on
    result = execute(made.spec(), made.model, made.frames, made.blobs)
    assert {each.outcome for each in result.verdicts} == {Outcome.INSUFFICIENT}
    assert all("hour=" in each.slice and each.why for each in result.verdicts)


def of_fit(result) -> list[str]:
    """The notes but for the one on simpler models, which most of these are."""
    return [note for note in result.notes if not note.startswith("a simpler model does ")]


def test_a_constant_model_is_told_plainly(project):
    gates = 'fb.metric("accuracy") >= fb.baseline, fb.metric("accuracy") >= fb.baseline - 0.5, fb.metric("accuracy") >= 0.1'
    constant = project(loop("return DummyClassifier(strategy='most_frequent').fit(X, y)", gates=gates), "m")
    result = execute(constant.spec(), constant.model, constant.frames, constant.blobs)
    (note,) = of_fit(result)
    assert note.startswith("the model answers ")
    assert note.endswith("to every row: it has learned nothing from its features, and passes no gate against the baseline")
    assert [each.outcome for each in result.verdicts] == [Outcome.FAIL, Outcome.FAIL, Outcome.PASS]
    assert "a constant is a baseline itself" in result.verdicts[0].why


def test_a_good_fit_has_nothing_noted(project):
    good = project(loop(), "m")
    assert of_fit(execute(good.spec(), good.model, good.frames, good.blobs)) == []


def test_what_a_person_sets_and_no_search_would_try_is_told_beside_the_result(bikes):
    for depth, told in ((6, []), (9, ["set outside of what is searched: max_depth=9 (2 to 6)"])):
        result = execute(bikes.spec(parameters={"max_depth": depth}), bikes.model, bikes.frames, bikes.blobs)
        assert [note for note in result.notes if "outside of what is searched" in note] == told


def test_a_fit_that_gives_another_model_each_time_is_told_with_what_differs(project):
    body = "return DecisionTreeClassifier(max_features=1, max_depth=9, random_state=int.from_bytes(os.urandom(3))).fit(X, y)"
    result = execute((made := project(loop(body), "m")).spec(seed=5), made.model, made.frames, made.blobs)
    (note,) = of_fit(result)
    assert note.startswith("fit is not deterministic: made twice on the same 672 rows with seed 5 it answers ")
    seeded = body.replace("int.from_bytes(os.urandom(3))", "seed")
    assert of_fit(execute((again := project(loop(seeded), "m")).spec(), again.model, again.frames, again.blobs)) == []


def test_a_rehearsal_does_not_pay_for_the_comparison(project):
    made = project(loop("print('fitted'); return LogisticRegression().fit(X, y)"), "m")
    assert perform(made.spec(), made.model, made.frames, None, package=False).result.notes == ()
