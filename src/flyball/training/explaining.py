"""Why a version answered a row as it did: the way that fits what was fitted, chosen once and checked against the model's own answers.

A booster says so itself, a linear model's coefficients do; any other model is asked again and again with values of stored training rows in the
places of the row's own. Whichever is taken adds up: base + the sum of the contributions = the answer, in the space that is named.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from flyball.errors import NotFound
from flyball.evaluation import explanations
from flyball.evaluation.explanations import Contributions
from flyball.stats.logspace import Floats
from flyball.training.predictor import Predictions, Predictor

_SEED: Final = 0
"""The orders are the same for every row and every worker: equal rows have equal explanations."""

_NEAR: Final = 1e-4
"""How far a sum of contributions may lie from the answer: boosters add in 32 bits."""

_LINEAR = frozenset(
    [
        "ARDRegression",
        "BayesianRidge",
        "ElasticNet",
        "ElasticNetCV",
        "HuberRegressor",
        "Lars",
        "LarsCV",
        "Lasso",
        "LassoCV",
        "LassoLars",
        "LassoLarsCV",
        "LinearRegression",
        "LogisticRegression",
        "LogisticRegressionCV",
        "OrthogonalMatchingPursuit",
        "QuantileRegressor",
        "Ridge",
        "RidgeCV",
        "SGDClassifier",
        "SGDRegressor",
    ]
)
_ONE_TO_ONE = frozenset(
    ["MaxAbsScaler", "MinMaxScaler", "PowerTransformer", "QuantileTransformer", "RobustScaler", "SimpleImputer", "StandardScaler"]
)
"""Steps of a pipeline that make one column of each."""

_TREES = ("sklearn.ensemble.", "sklearn.tree.")

Answered = Floats
"""The probability (binary), the chance of the class that is explained (multiclass), or the value itself; shape (n,)."""


class Way(NamedTuple):
    """How contributions are found. `of(X, place)`: one row a contribution; `place` is the place of the class that is explained, 1 of a binary model."""

    method: str
    space: str
    of: Callable[[pl.DataFrame, int], list[Contributions]]


@dataclass(frozen=True)
class Explanation:
    """Of one row: its answer, and contributions of every feature, the largest in size first, each with the feature's value."""

    value: Any
    score: float | None
    contributions: Contributions
    features: tuple[tuple[str, Any, float], ...]


class Explainer:
    """Explains one predictor's answers. Making it asks the model a few hundred rows."""

    def __init__(self, predictor: Predictor) -> None:
        """Raises NotFound for a version that holds no stored rows and cannot be explained without."""
        self._predictor = predictor.original()
        self.way = _way(self._predictor)

    def explain(self, X: pl.DataFrame) -> Explanation:
        """One row of features. Raises BadInput if the model fails on it."""
        given = self._predictor.predict(X)
        value = given.value.tolist()[0]
        place = self._predictor.signature.classes.index(value) if given.scores is not None else 1
        found = self.way.of(X, place)[0]
        values = X.row(0, named=True)
        features = tuple((name, values[name], part) for name, part in explanations.descending(X.columns, found.parts))
        score = float(_answered(given, place)[0]) if given.score is not None or given.scores is not None else None
        return Explanation(value, score, found, features)


def preload(predictor: Predictor) -> None:
    """Import what explaining this model needs, where that takes seconds: before anybody waits for an answer."""
    if _by_shap(predictor):
        importlib.import_module("shap")


def _answered(given: Predictions, place: int) -> Answered:
    if given.scores is not None:
        return given.scores[:, place]
    return given.score if given.score is not None else np.asarray(given.value, dtype=np.float64)


def _way(predictor: Predictor) -> Way:
    """The model's own contributions where it has them and they add up to what it answers, else those of its answers."""
    background = predictor.background
    own = _own(predictor)
    if own is not None:
        rows = background if background is not None else _golden(predictor)
        space = _space(predictor, own[1], rows)
        if space:
            return Way(own[0], space, own[1])
    if background is None or background.height == 0:
        raise NotFound(
            f'this version of "{predictor.model.name}" cannot be explained',
            why="its artifact holds no training rows to compare with: it was made before they were kept, and its model has no contributions of its own",
            fix="train it again",
            code="no-background",
        )
    return _by_asking(predictor, background)


def _golden(predictor: Predictor) -> pl.DataFrame:
    from flyball.training.artifact import SCORE, VALUE

    golden = predictor.golden
    return pl.DataFrame() if golden is None else golden.drop(VALUE, SCORE)


_Own = tuple[str, Callable[[pl.DataFrame, int], list[Contributions]]]


def _own(predictor: Predictor) -> _Own | None:
    """The fitted object's own contributions: none where a function of the user's stands between it and its answers."""
    fitted = predictor.asked
    if predictor.asked_by_function:
        return None
    home = type(fitted).__module__.partition(".")[0]
    if home == "lightgbm":
        return "lightgbm", lambda X, place: _from_table(fitted.predict(predictor.form(X), pred_contrib=True), place, X.width)
    if home == "xgboost" and hasattr(fitted, "get_booster"):
        return "xgboost", lambda X, place: _from_table(_xgboost(fitted, predictor.form(X)), place, X.width)
    if (line := _linear(predictor)) is not None:
        return "linear", line
    return _shap(predictor) if _by_shap(predictor) else None


def _xgboost(fitted: Any, X: Any) -> Any:
    import xgboost

    categories = getattr(fitted, "enable_categorical", False)
    data = xgboost.DMatrix(X, missing=fitted.missing, enable_categorical=categories, feature_types=fitted.feature_types)
    best = getattr(fitted.get_booster(), "best_iteration", None) if fitted.get_params().get("early_stopping_rounds") else None
    return fitted.get_booster().predict(data, pred_contribs=True, iteration_range=(0, best + 1) if best is not None else (0, 0))


def _from_table(found: Any, place: int, features: int) -> list[Contributions]:
    """Boosters give [n, features + 1], the last is the base; of several classes one such block a class."""
    table = np.asarray(found.toarray() if hasattr(found, "toarray") else found, dtype=np.float64)
    table = table.reshape(len(table), -1, features + 1)
    block = table[:, place if table.shape[1] > 1 else 0]
    return [Contributions(float(row[-1]), float(row.sum()), row[:-1]) for row in block]


def _linear(predictor: Predictor) -> Callable[[pl.DataFrame, int], list[Contributions]] | None:
    """Coefficient × (value − mean of the stored rows), of a linear model, also behind steps that make one column of each."""
    steps = list(getattr(predictor.asked, "steps", None) or [("", predictor.asked)])
    *before, (_, last) = steps
    if any(type(step).__name__ not in _ONE_TO_ONE for _, step in before if step != "passthrough"):
        return None
    background = predictor.background
    if type(last).__name__ not in _LINEAR or not type(last).__module__.startswith("sklearn.linear_model") or background is None:
        return None
    several = np.atleast_2d(np.asarray(last.coef_, dtype=np.float64))
    intercepts = np.broadcast_to(np.asarray(last.intercept_, dtype=np.float64).ravel(), (len(several),))

    def columns(X: pl.DataFrame) -> Floats:
        given = predictor.form(X)
        for _, step in before:
            given = given if step == "passthrough" else step.transform(given)
        return np.asarray(given, dtype=np.float64)

    means = columns(background).mean(axis=0)
    if several.shape[1] != background.width or len(means) != background.width:
        return None

    def of(X: pl.DataFrame, place: int) -> list[Contributions]:
        which = place if len(several) > 1 else 0
        return [explanations.linear(several[which], float(intercepts[which]), means, row) for row in columns(X)]

    return of


def _by_shap(predictor: Predictor) -> bool:
    """Whether the extra `shap` is here and knows this kind of model: scikit-learn's trees, which have no contributions of their own."""
    kind = type(predictor.fitted).__module__
    return not predictor.asked_by_function and kind.startswith(_TREES) and importlib.util.find_spec("shap") is not None


def _shap(predictor: Predictor) -> _Own | None:
    import shap

    try:
        explainer = shap.TreeExplainer(predictor.asked)
    except Exception:  # noqa: BLE001 - its own error type, and others, say that it does not know this model
        return None

    def of(X: pl.DataFrame, place: int) -> list[Contributions]:
        values = np.asarray(explainer.shap_values(predictor.form(X), check_additivity=False), dtype=np.float64)
        bases = np.atleast_1d(np.asarray(explainer.expected_value, dtype=np.float64))
        which = place if len(bases) > 1 else 0
        parts = values[:, :, which] if values.ndim == 3 else values
        return [Contributions(float(bases[which]), float(bases[which] + row.sum()), row) for row in parts]

    return "shap", of


_LINKS: Mapping[str, Callable[[Floats], Floats]] = {
    "log-odds": lambda raw: 1.0 / (1.0 + np.exp(-raw)),
    "probability": lambda raw: raw,
    "value": lambda raw: raw,
    "log": np.exp,
}


def _space(predictor: Predictor, of: Callable[[pl.DataFrame, int], list[Contributions]], rows: pl.DataFrame) -> str:
    """In which space the contributions add up to the model's answers to these rows; empty: in none, and they are not taken."""
    if rows.height == 0:
        return ""
    given = predictor.predict(rows)
    classes = predictor.signature.classes
    try:
        if given.scores is not None:
            raw = np.column_stack([[each.output for each in of(rows, place)] for place in range(len(classes))])
            likely = np.exp(raw - raw.max(axis=1, keepdims=True))
            near = np.allclose(likely / likely.sum(axis=1, keepdims=True), given.scores, atol=_NEAR, rtol=_NEAR)
            return "raw score" if near else "probability" if np.allclose(raw, given.scores, atol=_NEAR, rtol=_NEAR) else ""
        raw = np.array([each.output for each in of(rows, 1)])
    except Exception:  # noqa: BLE001 - a library that cannot tell of this model is one way less, and no error
        return ""
    if given.score is None and classes:
        return ""
    names = ("log-odds", "probability") if given.score is not None else ("value", "log")
    with np.errstate(over="ignore"):
        return next((name for name in names if np.allclose(_LINKS[name](raw), _answered(given, 1), atol=_NEAR, rtol=_NEAR)), "")


def _by_asking(predictor: Predictor, background: pl.DataFrame) -> Way:
    """Contributions to the answers themselves: of a model with classes and no probabilities, to whether it says this class."""
    drawn = explanations.draws(background.width, background.height, _SEED)
    scored = predictor.predict(background.head(1))
    chances = scored.score is not None or scored.scores is not None
    classes = predictor.signature.classes

    def of(X: pl.DataFrame, place: int) -> list[Contributions]:
        def ask(rows: pl.DataFrame) -> Floats:
            given = predictor.predict(rows)
            if classes and not chances:
                return np.asarray([value == mine for value in given.value.tolist()], dtype=np.float64)
            return _answered(given, place)

        found = []
        for row in X.iter_slices(1):
            mine = predictor.predict(row).value.tolist()[0] if classes and not chances else None
            found.append(explanations.sampled(ask, background, row, drawn))
        return found

    return Way("permutation", ("probability" if chances else "class") if classes else "value", of)
