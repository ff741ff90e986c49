"""A fitted object behind one question."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from flyball.data.forms import frame_for, series_for
from flyball.errors import BadInput
from flyball.records.models import Signature
from flyball.training.predictor import Predictor, classes_of, without_names

RNG = np.random.default_rng(0)
X = pl.DataFrame({"a": RNG.random(300), "b": RNG.integers(0, 9, 300), "c": RNG.random(300) > 0.5})
Y = pl.Series((X["a"] > 0.5).cast(pl.Int64))


def fit(X: pl.DataFrame, y: pl.Series):
    return None


@pytest.fixture
def predictor(price):
    def make(fitted, classes=(0, 1)):
        return Predictor(price.model.replace(train=_train()), Signature(task="binary", fields=(), classes=classes), fitted)

    def _train():
        import flyball as fb

        return fb.Train(fit)

    return make


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        HistGradientBoostingClassifier(max_iter=5),
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        CalibratedClassifierCV(LogisticRegression()),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_estimator_answers_as_it_does_by_itself(predictor, estimator):
    estimator.fit(X, Y)
    answers = predictor(estimator).predict(X)
    assert np.array_equal(answers.value, estimator.predict(X))
    assert np.allclose(answers.score, estimator.predict_proba(X)[:, 1])
    assert "feature_names_in_" in dir(estimator), "the estimator itself is not changed"


def test_names_are_kept_where_they_may_matter():
    assert without_names(LogisticRegression().fit(X, Y)) is not None
    assert without_names(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)) is None
    assert without_names(CalibratedClassifierCV(LogisticRegression()).fit(X, Y)) is None
    assert without_names(LogisticRegression().fit(X.to_numpy(), Y)) is None


def test_nulls_are_missing_values(predictor):
    holes = X.with_columns(pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise(pl.col("a")).alias("a"))
    estimator = HistGradientBoostingClassifier(max_iter=5).fit(holes, Y)
    assert np.allclose(predictor(estimator).predict(holes).score, estimator.predict_proba(holes)[:, 1])


def test_categories_of_an_enumeration_reach_the_estimator(predictor):
    kind = pl.Series("kind", (["x", "y", "z"] * 100), dtype=pl.Enum(["x", "y", "z"]))
    frame = X.with_columns(kind)
    estimator = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(frame, (kind == "x").cast(pl.Int64))
    assert predictor(estimator).predict(frame).value.tolist() == (kind == "x").cast(pl.Int64).to_list()


def test_a_class_the_estimator_never_saw_has_no_probability(predictor):
    estimator = LogisticRegression().fit(X, Y)
    answers = predictor(estimator, classes=(0, 1, 2)).predict(X[:5])
    assert answers.scores.shape == (5, 3)
    assert answers.scores[:, 2].tolist() == [0.0] * 5
    assert answers.score is None


class Gives:
    """What fit may return: an object that answers what it is told to."""

    def __init__(self, give):
        self.predict = give


@pytest.mark.parametrize("classes", [(0, 1), (1, 2), (False, True), ("no", "yes")])
def test_floats_of_a_binary_model_are_scores_whatever_stands_in_the_batch(predictor, classes):
    scores = np.array([0.0, 1.0, 0.25, 1.0, 0.75, 0.5])
    frame = pl.DataFrame({"s": scores})
    asked = predictor(Gives(lambda X: X["s"].to_numpy()), classes=classes)
    together = asked.predict(frame)
    alone = [asked.predict(frame[row : row + 1]) for row in range(len(scores))]
    assert together.value.tolist() == [each.value.tolist()[0] for each in alone]
    assert together.value.tolist()[:4] == [classes[0], classes[1], classes[0], classes[1]]
    assert together.score.tolist() == scores.tolist() == [each.score.tolist()[0] for each in alone]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_short_floats_are_scores_too(predictor, dtype):
    given = predictor(Gives(lambda X: np.array([0.0, 0.75], dtype)), classes=(1, 2)).predict(X[:2])
    assert (given.value.tolist(), given.score.tolist()) == ([1, 2], [0.0, 0.75])


def test_floats_that_are_no_chances_are_refused_with_what_they_would_be(predictor):
    with pytest.raises(BadInput, match=r"scores outside \[0, 1\]") as error:
        predictor(Gives(lambda X: np.array([1.0, 2.0])), classes=(1, 2)).predict(X[:2])
    assert error.value.code == "unusable-answers"
    assert error.value.why == "floats are scores, the chance of 2; classes are given as int"


def test_an_estimator_that_names_its_classes_and_gives_no_chances_answers_classes(predictor):
    estimator = LinearSVC().fit(X, Y + 1.0)
    given = predictor(estimator, classes=(1, 2)).predict(X)
    assert given.score is None
    assert given.value.dtype.kind == "i"
    assert np.array_equal(given.value, estimator.predict(X))


@pytest.mark.parametrize("classes", [(0, 1, 2), (False, True)])
def test_a_number_between_classes_is_no_class(predictor, classes):
    given = np.array([0.4, 1.7]) if len(classes) == 3 else np.array([1, 2])
    with pytest.raises(BadInput, match="the class") as error:
        predictor(Gives(lambda X: given), classes=classes).predict(X[:2])
    assert error.value.code == "unusable-answers"


def test_no_rows_have_no_answers(predictor):
    assert len(predictor(LogisticRegression().fit(X, Y)).predict(X[:0]).value) == 0


def test_what_the_object_raises_is_told_as_bad_input(predictor):
    with pytest.raises(BadInput, match="failed to predict 2 rows: ValueError"):
        predictor(LogisticRegression().fit(X, Y)).predict(X[:2].drop("c"))


def test_classes_are_ascending_and_numbers_have_none():
    assert classes_of("binary", pl.Series([True, False, None])) == (False, True)
    assert classes_of("multiclass", pl.Series(["b", "a"])) == ("a", "b")
    assert classes_of("forecast", pl.Series([1.0, 2.0])) == ()


def test_a_frame_comes_in_the_form_that_is_asked_for():
    def numpy_fit(X: np.ndarray, y: np.ndarray): ...

    def plain(X, y): ...

    def quoted(X: "np.ndarray", y: "pl.Series"): ...  # noqa: UP037 - a quoted annotation is what is tested

    assert isinstance(frame_for(numpy_fit)(X), np.ndarray)
    assert isinstance(series_for(numpy_fit)(Y), np.ndarray)
    assert isinstance(frame_for(plain)(X), pl.DataFrame)
    assert isinstance(frame_for(quoted)(X), np.ndarray)
    assert isinstance(series_for(quoted)(Y), pl.Series)
    assert frame_for(None)(X) is X


def test_pandas_that_is_not_installed_is_said_so(monkeypatch):
    def pandas_fit(X: "pd.DataFrame", y): ...  # noqa: F821, UP037 - resolved by its text

    def absent(_frame):
        raise ModuleNotFoundError("No module named 'pandas'", name="pandas")

    monkeypatch.setattr(pl.DataFrame, "to_pandas", absent)
    with pytest.raises(BadInput, match="asks for pandas"):
        frame_for(pandas_fit)(X)
