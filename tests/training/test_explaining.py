"""A version is explained in the way that fits it, and what is told adds up to what it answers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import flyball as fb
from flyball.errors import NotFound
from flyball.records.models import Signature
from flyball.training import artifact
from flyball.training.explaining import Explainer
from flyball.training.predictor import Predictor
from flyball.training.run import perform

NAMES = [f"f{place}" for place in range(6)]
RNG = np.random.default_rng(0)
X = pl.DataFrame({name: RNG.normal(size=300) for name in NAMES})
F0, F1 = X["f0"].to_numpy(), X["f1"].to_numpy()
Y = {
    "binary": (F0 + F1 * X["f2"].to_numpy() + RNG.normal(0, 0.4, 300) > 0).astype(int),
    "multiclass": np.digitize(F0, [-0.5, 0.5]),
    "regression": np.exp(F0) + 1 + 0.1 * F1,
}
LINK = {
    "log-odds": lambda raw: 1 / (1 + math.exp(-raw)),
    "probability": lambda raw: raw,
    "value": lambda raw: raw,
    "log": math.exp,
}


def as_arrays(X: np.ndarray, y: np.ndarray) -> None:
    """What a fit that takes arrays looks like."""


def as_frames(X: pl.DataFrame, y: pl.Series) -> None:
    """What a fit that takes frames looks like."""


def predictor(task: str, estimator: object, *, arrays: bool = False, background: bool = True) -> Predictor:
    data = fb.Dataset("d", source="d.csv", time="ts", columns={**dict.fromkeys(NAMES, float), "y": int})
    train = fb.Train(as_arrays if arrays else as_frames)
    model = fb.Model("m", task=task, data=data, label="y", owner="o", framing=fb.Framing("t"), train=train)
    estimator.fit(X.to_numpy() if arrays else X, Y[task])
    classes = () if task == "regression" else tuple(sorted(set(Y[task].tolist())))
    made = Predictor(model, Signature(task=task, fields=(), classes=classes), estimator)
    made.background = X[:60] if background else None
    return made


def lightgbm(kind: str, **more: object):
    found = pytest.importorskip("lightgbm", reason="the extra boosters is not installed")
    return getattr(found, kind)(n_estimators=15, verbose=-1, **more)


def xgboost(kind: str, **more: object):
    found = pytest.importorskip("xgboost", reason="the extra xgboost is not installed: its wheels are larger than all others together")
    return getattr(found, kind)(n_estimators=15, **more)


CASES = [
    ("binary", LogisticRegression, {}, "linear", "log-odds"),
    ("binary", lambda: make_pipeline(StandardScaler(), LogisticRegression()), {}, "linear", "log-odds"),
    ("binary", lambda: make_pipeline(PolynomialFeatures(2), LogisticRegression()), {}, "permutation", "probability"),
    ("binary", lambda: HistGradientBoostingClassifier(max_iter=15), {}, "permutation", "probability"),
    ("binary", RidgeClassifier, {}, "permutation", "class"),
    ("multiclass", LogisticRegression, {}, "linear", "raw score"),
    ("multiclass", lambda: HistGradientBoostingClassifier(max_iter=10), {}, "permutation", "probability"),
    ("regression", Ridge, {}, "linear", "value"),
    ("regression", PoissonRegressor, {}, "permutation", "value"),
    ("regression", lambda: HistGradientBoostingRegressor(max_iter=15), {}, "permutation", "value"),
    ("binary", lambda: lightgbm("LGBMClassifier"), {"arrays": True}, "lightgbm", "log-odds"),
    ("multiclass", lambda: lightgbm("LGBMClassifier"), {"arrays": True}, "lightgbm", "raw score"),
    ("regression", lambda: lightgbm("LGBMRegressor"), {"arrays": True}, "lightgbm", "value"),
    ("regression", lambda: lightgbm("LGBMRegressor", objective="poisson"), {"arrays": True}, "lightgbm", "log"),
    ("binary", lambda: xgboost("XGBClassifier"), {"arrays": True}, "xgboost", "log-odds"),
    ("multiclass", lambda: xgboost("XGBClassifier"), {"arrays": True}, "xgboost", "raw score"),
    ("regression", lambda: xgboost("XGBRegressor", objective="count:poisson"), {"arrays": True}, "xgboost", "log"),
]


@pytest.mark.parametrize(("task", "make", "how", "method", "space"), CASES, ids=lambda each: str(each)[:24])
def test_contributions_add_up_to_the_answer_in_the_space_that_is_named(task, make, how, method, space):
    asked = predictor(task, make(), **how)
    explainer = Explainer(asked)
    assert (explainer.way.method, explainer.way.space) == (method, space)
    for row in X[100:110].iter_slices(1):
        found = explainer.explain(row)
        base, output, parts = found.contributions
        assert math.isclose(base + sum(part for *_, part in found.features), output, abs_tol=1e-5)
        assert len(parts) == len(NAMES)
        given = asked.predict(row)
        assert found.value == given.value[0]
        if space in LINK:
            answered = found.score if found.score is not None else found.value
            assert math.isclose(LINK[space](output), answered, rel_tol=1e-4, abs_tol=1e-4)
        assert found.features[0][0] == "f0" or abs(found.features[0][2]) >= abs({n: p for n, _, p in found.features}["f0"])
    assert {name: value for name, value, _ in found.features} == X[109:110].row(0, named=True)


def test_the_classes_of_a_multiclass_model_are_told_apart():
    explainer = Explainer(predictor("multiclass", LogisticRegression()))
    low, high = explainer.explain(X[[int(F0.argmin())]]), explainer.explain(X[[int(F0.argmax())]])
    assert (low.value, high.value) == (0, 2)
    parts = [{name: part for name, _, part in each.features}["f0"] for each in (low, high)]
    assert parts[0] > 1
    assert parts[1] > 1, "each is about the class that was answered"


def test_a_function_between_the_estimator_and_its_answers_is_explained_with_it():
    asked = predictor("binary", LogisticRegression())

    def own(fitted: object, X: pl.DataFrame) -> np.ndarray:
        return np.where(X["f5"].to_numpy() > 0, 0.9, 0.1)

    train = fb.Train(as_frames, predict=own)
    changed = Predictor(asked.model.replace(train=train), asked.signature, asked.fitted)
    changed.background = X[:60]
    found = Explainer(changed).explain(X[:1])
    assert Explainer(changed).way.method == "permutation"
    assert found.features[0][0] == "f5"
    assert [part for *_, part in found.features[1:]] == [0.0] * 5


def test_a_version_without_stored_rows_is_explained_by_its_own_contributions_or_said_not_to_be(price, tmp_path: Path):
    with pytest.raises(NotFound, match="cannot be explained") as refused:
        Explainer(predictor("binary", HistGradientBoostingClassifier(max_iter=5), background=False))
    assert refused.value.code == "no-background"


def test_equal_rows_have_equal_explanations():
    asked = predictor("binary", HistGradientBoostingClassifier(max_iter=15))
    assert Explainer(asked).explain(X[:1]).features == Explainer(asked).explain(X[:1]).features


def test_a_run_keeps_rows_that_explanations_compare_with_and_they_travel_with_the_artifact(price, tmp_path: Path):
    made = perform(price.spec(), price.model, price.frames, price.blobs)
    loaded = artifact.load(made.result.artifact, price.blobs, tmp_path / "scratch")
    assert loaded.background is not None
    assert loaded.background.height == artifact.BACKGROUND_ROWS
    assert loaded.background.columns == loaded.golden.drop(artifact.VALUE, artifact.SCORE).columns
    found = Explainer(loaded).explain(loaded.background[:1])
    assert math.isclose(found.contributions.base + found.contributions.parts.sum(), found.score, abs_tol=1e-9)


def test_what_was_learned_is_named_alike_with_other_stored_rows(price):
    made = perform(price.spec(), price.model, price.frames, price.blobs)
    manifest = artifact.manifest_of(made.result.artifact, price.blobs)
    assert "background.parquet" in manifest.files
    made.predictor.background = None
    code, declaration, file = manifest.code, manifest.declaration, manifest.file
    rows = artifact.load(made.result.artifact, price.blobs, price.root / "scratch").golden.drop(artifact.VALUE, artifact.SCORE)
    without = artifact.pack(made.predictor, rows, price.blobs, code=code, declaration=declaration, file=file)
    assert artifact.fit_digest(without, price.blobs) == made.result.fit_digest
    assert artifact.load(without, price.blobs, price.root / "scratch").background is None, "as of a version made before they were kept"


def test_shap_explains_trees_where_it_is_installed():
    pytest.importorskip("shap", reason="the extra shap is not installed: it brings a compiler of 170 MB")
    explainer = Explainer(predictor("binary", RandomForestClassifier(10, random_state=0)))
    assert (explainer.way.method, explainer.way.space) == ("shap", "probability")
    found = explainer.explain(X[:1])
    assert math.isclose(found.contributions.base + found.contributions.parts.sum(), found.score, abs_tol=1e-6)
