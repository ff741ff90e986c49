"""A fitted object behind one question: a frame of features in, values and scores out, checked.

Whatever a `fit` returns (an estimator, or any object with its own `predict=`), the rest of flyball sees only this.
"""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.clock import Instant
from flyball.data.forms import frame_for
from flyball.declare.costs import HALF
from flyball.declare.functions import Function
from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.records.models import Signature
from flyball.training.calls import OURS

Values = npt.NDArray[Any]
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """`value` [n]: a class, or a float64 number. `score` [n]: P(second class) of a binary model, else None.

    `scores` [n, classes]: of a multiclass model that gives them, else None.
    """

    value: Values
    score: Scores | None = None
    scores: Scores | None = None


class Predictor:
    """A fitted object with what is needed to ask it. `golden` holds rows of features with their known answers.

    `trained_until` is the time of the newest row it was fitted on, `judged` the fit that was judged before it: without the hold-out,
    with its own `trained_until`. `background`
    are some of the rows of features that it was fitted on, for explanations; None where they were not kept.

    `classes` in the order of the signature: for a binary model the second is the positive one.
    """

    def __init__(self, model: Model, signature: Signature, fitted: Any, *, golden: pl.DataFrame | None = None, artifact: str = "") -> None:
        self.model = model
        self.signature = signature
        self.fitted = fitted
        self.golden = golden
        self.artifact = artifact
        self.trained_until: Instant = 0
        self.judged: Predictor | None = None
        self.background: pl.DataFrame | None = None
        self.read_original: Callable[[], Predictor] | None = None
        train = model.train
        own = train.predict if train is not None else None
        asked = own if own is not None else (train.fit if train is not None else None)
        self._own = own if callable(own) and not isinstance(own, Function) else None
        self._frame: Callable[[pl.DataFrame], Any] = frame_for(asked)
        bare = None if self._own is not None else without_names(fitted)
        self._asked = fitted if bare is None else bare
        self._array_form = bare is not None or getattr(fitted, "takes_arrays", False) is True
        self._ask = self._method()
        # what a float says is told by who answers, never by which values stand in a batch: a row has one answer, alone or among others
        classes = self._own is None and hasattr(self._asked, "classes_")
        self._scores = len(signature.classes) == 2 and not classes

    def predict(self, X: pl.DataFrame) -> Predictions:
        """Answers for `X` [n, features in order]. Raises BadInput if the fitted object fails or its answer is not usable."""
        if X.height == 0:
            return self._read(np.empty(0), 0)
        try:
            raw = self._ask(self.form(X))
        except OURS:
            raise
        except BaseException as error:  # the user's own object answers here: whatever it raises is theirs to read
            raise BadInput(
                f'model "{self.model.name}" failed to predict {X.height} rows: {type(error).__name__}: {error}',
                why="it was raised by what fit returned, or by predict=",
                fix="try the model on such rows: flyball predict, or model.fit(…) in a notebook",
                code="unusable-answers",
            ) from error
        try:
            given = _array(raw)
        except ValueError as error:  # rows of several lengths
            raise self._unusable("what is no array", str(error)) from error
        return self._read(given, X.height)

    def original(self) -> Predictor:
        """The predictor of the estimator itself, where this one asks another form of it."""
        if self.read_original is None:
            return self
        found = self.read_original()
        found.golden, found.background, found.artifact = self.golden, self.background, self.artifact
        return found

    @property
    def asked_by_function(self) -> bool:
        """Whether a `predict=` of the user's stands between the fitted object and its answers."""
        return self._own is not None

    @property
    def asked(self) -> Any:
        """The fitted object as it is asked: what takes `form` without a word."""
        return self._asked

    def form(self, X: pl.DataFrame) -> Any:
        """`X` as the fitted object is given it."""
        return as_array(X) if self._array_form and is_numeric(X) else self._frame(X)

    def _method(self) -> Callable[[Any], Any]:
        if self._own is not None:
            own, fitted = self._own, self.fitted
            return lambda X: own(fitted, X)
        if self.signature.classes and callable(getattr(self._asked, "predict_proba", None)):
            return self._probabilities
        method: Callable[[Any], Any] | None = getattr(self._asked, "predict", None)
        if not callable(method):
            raise BadInput(
                f'model "{self.model.name}": fit returned a {type(self.fitted).__name__} that cannot predict',
                why="it has no predict method",
                fix="return a fitted estimator, or give fb.Train(predict=…)",
                code="unusable-answers",
            )
        return method

    def _probabilities(self, X: Any) -> Scores:
        """Columns in the signature's order of classes; a class the estimator never saw has probability 0."""
        given = np.asarray(self._asked.predict_proba(X), dtype=np.float64)
        own = list(getattr(self._asked, "classes_", self.signature.classes))
        if own == list(self.signature.classes):
            return given
        out = np.zeros((len(given), len(self.signature.classes)))
        for place, name in enumerate(self.signature.classes):
            if name in own:
                out[:, place] = given[:, own.index(name)]
        return out

    def _read(self, raw: Values, rows: int) -> Predictions:
        if raw.ndim == 0 or len(raw) != rows:
            given = f"{type(raw.item()).__name__} {raw.item()!r}" if raw.ndim == 0 else f"{len(raw)} answers"
            raise self._unusable(f"{given} for {rows} rows", "one answer a row is needed, in order")
        if raw.dtype.kind == "O" and (odd := [each for each in raw.ravel().tolist() if not isinstance(each, _SCALARS)]):
            raise self._unusable(f"a {type(odd[0]).__name__}", "an answer is a number, a text or a boolean")
        if not self.signature.classes:
            return self._numbers(raw, rows)
        if raw.size != rows and raw.ndim != 2:
            raise self._unusable(f"an array of shape {raw.shape}", "one class or score a row is needed, or one score a class")
        if raw.ndim == 2 and raw.shape[1] != 1:
            return self._from_scores(_float(raw))
        raw = raw.reshape(rows)
        if self._scores and raw.dtype.kind == "f":
            score = raw.astype(np.float64)
            return self._from_scores(np.column_stack([1 - score, score]))
        return Predictions(self._classes(raw))

    def _numbers(self, raw: Values, rows: int) -> Predictions:
        if raw.size != rows:
            raise self._unusable(f"an array of shape {raw.shape}", f"a {self.signature.task} model gives one number a row")
        value = _float(raw).reshape(rows)
        if not np.isfinite(value).all():
            raise self._unusable(f"{int((~np.isfinite(value)).sum())} answers that are NaN or infinite", "a prediction is a number")
        return Predictions(value)

    def _from_scores(self, scores: Scores) -> Predictions:
        classes = self.signature.classes
        if scores.shape[1] != len(classes):
            raise self._unusable(f"{scores.shape[1]} scores a row for {len(classes)} classes", "one score a class is needed")
        # NaN fails both comparisons
        if not (np.all(scores >= -1e-9) and np.all(scores <= 1 + 1e-9)):
            why = (
                f"floats are scores, the chance of {classes[1]!r}; classes are given as {type(classes[1]).__name__}" if self._scores else ""
            )
            raise self._unusable("scores outside [0, 1] or NaN", why or "a score is a probability")
        if len(scores) and float(np.abs(scores.sum(axis=1) - 1).max()) > _NEAR:
            raise self._unusable("scores that do not add up to 1 in a row", "they are chances of classes, of which one is right")
        value = decided(scores, classes, self.signature.threshold)
        return Predictions(value, scores[:, 1] if len(classes) == 2 else None, scores if len(classes) > 2 else None)

    def _classes(self, raw: Values) -> Values:
        known = np.asarray(self.signature.classes)
        numbers = raw.dtype.kind in "biuf" and known.dtype.kind in "biuf"
        unknown = raw[~np.isin(raw, known)] if numbers else raw
        strange = [each for each in np.unique(unknown).tolist() if each not in self.signature.classes]
        value = raw.astype(known.dtype) if numbers and not strange else raw
        if strange:
            raise self._unusable(f"the class {strange[0]!r}", f"its classes are {', '.join(str(each) for each in self.signature.classes)}")
        return value

    def _unusable(self, what: str, why: str) -> BadInput:
        return BadInput(
            f'model "{self.model.name}" answered {what}',
            why=why,
            fix="look at what fit returns, or at predict=",
            code="unusable-answers",
        )


_NEAR = 1e-3
"""How far from 1 the scores of a row may add up to: some are given in few digits."""

_SCALARS = (numbers.Number, str, np.generic)

_PLAIN = (
    "sklearn.linear_model.",
    "sklearn.tree.",
    "sklearn.naive_bayes",
    "sklearn.neural_network.",
    "sklearn.ensemble._forest",
    "sklearn.ensemble._gb",
    "sklearn.ensemble._hist_gradient_boosting.",
)
"""Modules of estimators that answer by themselves, so that no estimator inside them asks for names."""


def without_names(fitted: Any) -> Any | None:
    """A shallow copy of a scikit-learn estimator that takes arrays as it takes frames; None where names may matter.

    Checking the names of a frame's columns costs as much as a small model's answer, and flyball gives columns in order anyway. Whatever
    holds another estimator that knows names (a meta-estimator, a preprocessor) is left as it is.
    """
    if not type(fitted).__module__.startswith(_PLAIN) or "feature_names_in_" not in vars(fitted):
        return None
    for value in vars(fitted).values():
        inner = value if isinstance(value, list | tuple) else (value,)
        if any(hasattr(each, "feature_names_in_") or hasattr(each, "transform") for each in inner):
            return None
    bare = copy.copy(fitted)
    del bare.feature_names_in_
    return bare


def is_numeric(X: pl.DataFrame) -> bool:
    """Whether every column is a number or a boolean."""
    return all(dtype.is_numeric() or dtype == pl.Boolean for dtype in X.dtypes)


def as_array(X: pl.DataFrame) -> Scores:
    """Columns as float64 [n, features]; nulls are NaN, as scikit-learn reads them from a frame."""
    return (X if all(dtype == pl.Float64 for dtype in X.dtypes) else X.cast(pl.Float64)).to_numpy()


def decided(scores: Scores, classes: tuple[int | str | bool, ...], threshold: float) -> Values:
    """The class of each row: of two the second from `threshold` on, else the one with the largest score."""
    by_threshold = len(classes) == 2 and threshold != HALF
    places = (scores[:, 1] >= threshold).astype(np.int64) if by_threshold else scores.argmax(axis=1)
    found: Values = np.asarray(classes)[places]
    return found


def classes_of(task: str, y: pl.Series) -> tuple[int | str | bool, ...]:
    """The classes of a label, ascending; none for tasks whose answer is a number."""
    if task not in ("binary", "multiclass"):
        return ()
    return tuple(sorted(y.drop_nulls().unique().to_list()))


def answers(predictions: Predictions) -> tuple[pl.Series, pl.Series]:
    """The columns `value` and `score` of an evaluation frame: null where there are none, one list a row for several classes."""
    value = pl.Series("value", _plain(predictions.value))
    if predictions.scores is not None:
        return value, pl.Series("score", predictions.scores.tolist(), dtype=pl.List(pl.Float64))
    if predictions.score is not None:
        return value, pl.Series("score", predictions.score)
    return value, pl.Series("score", [None] * len(value), dtype=pl.Float64)


def _plain(value: Values) -> Values | Sequence[Any]:
    return value.tolist() if value.dtype.kind in "OU" else value


def _array(raw: Any) -> Values:
    if isinstance(raw, pl.DataFrame | pl.Series):
        return raw.to_numpy()
    return np.asarray(raw)


def _float(raw: Values) -> Scores:
    try:
        return raw.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(
            "a prediction is not a number", why=str(error), fix="look at what fit returns, or at predict=", code="unusable-answers"
        ) from error
