"""A version is served as ONNX where that answers alike and is faster, and says so; its estimator stays in the artifact."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import rfc8785
from sklearn.base import is_regressor
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import flyball as fb
from flyball.errors import BadInput, Corrupt
from flyball.features.fields import signature
from flyball.records import codec
from flyball.records.evaluation import Packaging, Report
from flyball.training import artifact, onnx_form, packaging
from flyball.training.explaining import Explainer
from flyball.training.predictor import Predictions, Predictor
from flyball.training.run import Performed, perform

needs_onnx = pytest.mark.skipif(not onnx_form.can_make(), reason="the extra onnx is not installed: its libraries come with 120 MB")

LOOP = """
import flyball as fb
import numpy as np
import polars as pl
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={
    "hour": fb.column(int, between=(0, 23), known_after="-1d"), "price": fb.column(float, known_after="-1d"), "up": fb.column(int, one_of=(0, 1))})

def fit(X: pl.DataFrame, y: pl.Series):
    return ESTIMATOR.fit(X, y)

PREDICT
served = fb.Model("served", task="TASK", data=market, label="up", framing=fb.Framing("test"),
    train=fb.Train(fit, window="30d", holdout="7d"MORE))
"""


def made(project, estimator: str, *, task: str = "binary", predict: str = "", more: str = "") -> tuple[Performed, Packaging, object]:
    text = LOOP.replace("ESTIMATOR", estimator).replace("TASK", task).replace("PREDICT", predict).replace("MORE", more)
    own = project(text, "served")
    found = perform(own.spec(), own.model, own.frames, own.blobs)
    return found, codec.decode(own.blobs.get(found.result.report), Report).packaging, own


def made_as_onnx(project, estimator: str, *, task: str = "binary") -> tuple[Performed, Packaging, object]:
    """As `made`, of what is faster as ONNX. It is measured, and on a machine that others use as well the first measurement may say otherwise."""
    for _ in range(5):
        found = made(project, estimator, task=task)
        if found[1].served == "onnx":
            break
    return found


@needs_onnx
@pytest.mark.parametrize(
    ("estimator", "task"),
    [
        ("LogisticRegression()", "binary"),
        ("make_pipeline(StandardScaler(), LogisticRegression())", "binary"),
        ("HistGradientBoostingClassifier(max_iter=20)", "binary"),
        ("RandomForestClassifier(21, random_state=0)", "multiclass"),
        ("HistGradientBoostingRegressor(max_iter=20)", "regression"),
    ],
)
def test_an_equal_and_faster_form_is_served_and_the_estimator_explains(project, tmp_path: Path, estimator, task):
    performed, told, own = made_as_onnx(project, estimator, task=task)
    assert told.served == "onnx", told.why
    assert "faster" in told.why
    assert told.rows == 1_000, "the hold-out has fewer, so older rows are compared as well"
    assert (told.classes_differ, told.difference <= packaging.TOLERANCE) == (0, True)
    assert told.cpu_us["onnx_1"] < told.cpu_us["skops_1"]
    manifest = artifact.manifest_of(performed.result.artifact, own.blobs)
    assert manifest.served == "onnx"
    assert {"model.onnx", "model.skops"} <= set(manifest.files)

    loaded = artifact.load(performed.result.artifact, own.blobs, tmp_path / "scratch")
    assert isinstance(loaded.fitted, onnx_form.OnnxEstimator)
    rows = loaded.background
    given, expected = loaded.predict(rows), performed.predictor.predict(rows)
    assert (given.value == expected.value).all() or np.allclose(given.value, expected.value, rtol=1e-5)
    explained = Explainer(loaded).explain(rows[:1])
    base, output, parts = explained.contributions
    assert math.isclose(base + parts.sum(), output, abs_tol=1e-9)


@needs_onnx
def test_the_same_run_gives_the_same_artifact_and_the_graph_says_nothing_of_what_was_learned(project):
    performed, _, own = made(project, "HistGradientBoostingClassifier(max_iter=20)")
    again = perform(own.spec(), own.model, own.frames, own.blobs)
    assert again.result.artifact == performed.result.artifact
    manifest = artifact.manifest_of(performed.result.artifact, own.blobs)
    rows = artifact.load(performed.result.artifact, own.blobs, own.root / "s").golden.drop(artifact.VALUE, artifact.SCORE)
    plain = artifact.pack(performed.predictor, rows, own.blobs, code=manifest.code, declaration=manifest.declaration, file=manifest.file)
    assert artifact.fit_digest(plain, own.blobs) == performed.result.fit_digest


@needs_onnx
@pytest.mark.parametrize(
    ("estimator", "takes"),
    [
        ("GradientBoostingClassifier(n_estimators=20)", ()),
        ("HistGradientBoostingClassifier(max_iter=20)", (0, 1)),
        ("make_pipeline(StandardScaler(), LogisticRegression())", ()),
    ],
)
def test_a_form_refuses_the_missing_values_that_its_estimator_refuses(project, tmp_path: Path, estimator: str, takes: tuple[int, ...]):
    performed, _, own = made_as_onnx(project, estimator)
    loaded = artifact.load(performed.result.artifact, own.blobs, tmp_path / "scratch")
    assert isinstance(loaded.fitted, onnx_form.OnnxEstimator)
    rows = loaded.background.head(3).cast(pl.Float64)
    for place, name in enumerate(rows.columns):
        missing = rows.with_columns(pl.lit(None, pl.Float64).alias(name))
        if place in takes:
            assert (loaded.predict(missing).value == performed.predictor.predict(missing).value).all()
            continue
        for one in (loaded, performed.predictor):
            with pytest.raises(BadInput, match="NaN"):
                one.predict(missing)
    with pytest.raises(BadInput, match="infinity") if 1 not in takes else contextlib.nullcontext():
        loaded.predict(rows.with_columns(pl.lit(float("inf")).alias(rows.columns[1])))


def fit(X: pl.DataFrame, y: pl.Series):
    """Declares that a frame is asked for; nothing is fitted by it."""


RANDOM = np.random.default_rng(0)
ROWS = pl.DataFrame({name: RANDOM.normal(size=3_000) for name in ("income", "debt", "age")})
SCORE = ROWS["income"] + ROWS["debt"] ** 2 + 0.3 * RANDOM.normal(size=3_000)


def chosen(
    estimator, monkeypatch, rows: pl.DataFrame = ROWS, *, kind: type = float, **income
) -> tuple[packaging.Packed, Predictor, Predictor | None]:
    """What is chosen where every form is fast enough, and the estimator and its graph as they are asked. `kind`, `income`: how its column is declared.
    Columns of `rows` that are none of the data set's are made by transforms.
    """
    monkeypatch.setattr(packaging, "CLEARLY", math.inf)
    numbers = is_regressor(estimator)
    label = fb.column(float if numbers else int, one_of=None if numbers else (0, 1), known_after="1d")
    columns = {"income": fb.column(kind, **income), "debt": fb.column(float), "age": fb.column(float), "y": label}
    data = fb.Dataset("d", source="data/*.parquet", time="at", columns=columns)
    train = fb.Train(fit, window="30d", holdout="7d")
    task, made = "regression" if numbers else "binary", {name: pl.col("income") * 2 for name in rows.columns if name not in columns}
    model = fb.Model("m", task=task, data=data, label="y", framing=fb.Framing("t"), train=train, transforms=made)
    y = SCORE if numbers else (SCORE > 0.7).cast(pl.Int64)
    classes = () if numbers else (0, 1)
    own = Predictor(model, signature(model, classes), estimator.fit(rows[:2_000], y[:2_000]))
    packed = packaging.choose(own, rows, 2_000)
    graph = onnx_form.OnnxEstimator(packed.graph, classes) if packed.graph else None
    return packed, own, graph and Predictor(model, own.signature, graph)


FORESTS = (
    RandomForestClassifier(11, max_depth=5, random_state=0),
    ExtraTreesClassifier(11, max_depth=5, random_state=0),
    BaggingClassifier(DecisionTreeClassifier(max_depth=5), 5, random_state=0),
    DecisionTreeClassifier(max_depth=5, random_state=0),
    RandomForestRegressor(11, max_depth=5, random_state=0),
)


@needs_onnx
@pytest.mark.parametrize("trained_with", [0, 300], ids=["never", "trained with"])
@pytest.mark.parametrize("estimator", FORESTS, ids=lambda each: type(each).__name__)
def test_a_form_that_answers_missing_values_otherwise_is_not_served_though_no_compared_row_misses_any(estimator, trained_with, monkeypatch):
    income = pl.Series([None] * trained_with, dtype=pl.Float64).extend(ROWS["income"][trained_with:])
    packed, _, _ = chosen(estimator, monkeypatch, ROWS.with_columns(income.alias("income")), nulls="10%")
    assert packed.graph is None
    assert packed.told.served == "skops"
    assert packed.told.why.startswith("its ONNX form answers otherwise where values are missing: ")
    assert packed.told.difference > packaging.TOLERANCE


@needs_onnx
@pytest.mark.parametrize("estimator", FORESTS, ids=lambda each: type(each).__name__)
def test_where_no_value_may_be_missing_it_is_served_and_refuses_them(estimator, monkeypatch):
    packed, own, graph = chosen(estimator, monkeypatch)
    assert packed.told.served == "onnx", packed.told.why
    rows = ROWS.tail(5)
    assert np.allclose(graph.predict(rows).value, own.predict(rows).value, rtol=1e-5)
    for name in rows.columns:
        with pytest.raises(BadInput, match="NaN"):
            graph.predict(rows.with_columns(pl.lit(None, pl.Float64).alias(name)))


@needs_onnx
@pytest.mark.parametrize("income", [{"on_request": "mark"}, {"on_breach": "warn"}, {"nulls": "1%"}], ids=str)
def test_a_column_may_be_missing_where_a_request_or_the_data_may_lack_it(income, monkeypatch):
    assert chosen(FORESTS[0], monkeypatch, **income)[0].told.served == "skops"
    assert chosen(FORESTS[0], monkeypatch, on_request="impute")[0].told.served == "onnx", "the model is asked with the usual value"


@needs_onnx
def test_where_nothing_of_a_column_was_learned_it_may_be_missing(monkeypatch):
    rows = ROWS.with_columns(pl.lit(1.0).alias("income"))
    packed, own, graph = chosen(FORESTS[0], monkeypatch, rows, nulls="10%")
    assert packed.told.served == "onnx", packed.told.why
    missing = rows.tail(5).with_columns(pl.lit(None, pl.Float64).alias("income"))
    assert np.allclose(graph.predict(missing).score, own.predict(missing).score, atol=1e-5)
    with pytest.raises(BadInput, match="NaN"):
        graph.predict(missing.with_columns(pl.lit(None, pl.Float64).alias("debt")))


BOOSTED = HistGradientBoostingClassifier(max_iter=20)


@needs_onnx
@pytest.mark.parametrize(
    ("estimator", "refused"),
    [
        (BOOSTED, ()),
        (HistGradientBoostingRegressor(max_iter=20), ()),
        (make_pipeline(StandardScaler(), BOOSTED), ("inf",)),
        (make_pipeline(SimpleImputer(), FORESTS[0]), ("inf", "large")),
        (FORESTS[0], ("nan", "inf", "large")),
        (LogisticRegression(), ("nan", "inf")),
        (LinearRegression(), ("nan", "inf")),
    ],
    ids=lambda each: "+".join(type(step).__name__ for _, step in each.steps) if hasattr(each, "steps") else type(each).__name__,
)
def test_odd_values_are_answered_alike_or_refused(estimator, refused, monkeypatch):
    nulls = "0%" if estimator is FORESTS[0] else "10%"
    packed, own, graph = chosen(estimator, monkeypatch, nulls=nulls)
    assert packed.told.served == "onnx", packed.told.why
    rows = ROWS.tail(50)
    for kind, value in (("nan", None), ("inf", math.inf), ("inf", -math.inf), ("large", 1e39), ("large", -1e39), ("", 3e38)):
        for names in (*([name] for name in rows.columns), rows.columns):
            odd = rows.with_columns(pl.lit(value, pl.Float64).alias(name) for name in names)
            if kind in refused:
                with pytest.raises(BadInput, match=r"NaN|infinity|too large"):
                    graph.predict(odd)
            else:
                classes, difference = packaging._difference(own.predict(odd), graph.predict(odd))
                assert (classes, difference <= packaging.TOLERANCE) == (0, True)


@needs_onnx
@pytest.mark.parametrize("kind", ["inf", "large"])
def test_a_form_that_answers_other_odd_values_otherwise_is_not_served(kind, monkeypatch):
    own_run = onnx_form.OnnxEstimator._run

    def run(self, X):
        wrong = np.isinf(X) if kind == "inf" else np.isfinite(X) & (np.abs(X) > 1e38)
        return np.where(wrong.any(axis=1, keepdims=True), 0.5, own_run(self, X))

    monkeypatch.setattr(onnx_form.OnnxEstimator, "_run", run)
    # a linear model takes large values, and none that are missing
    rows = ROWS.with_columns((pl.col("income") * 2).alias("twice"))
    told = chosen(BOOSTED if kind == "inf" else LogisticRegression(), monkeypatch, rows)[0].told
    where = {"inf": "infinite", "large": "too large for 32 bits"}[kind]
    assert (told.served, told.rows) == ("skops", packaging.MOST_ROWS)
    assert told.why.startswith(f"its ONNX form answers otherwise where values are {where}: ")


def other_than_its_estimator(monkeypatch, kind: str, places: tuple[int, ...]) -> None:
    """Graphs answer otherwise where such a value stands at one of these places."""
    own_run = onnx_form.OnnxEstimator._run

    def run(self, X):
        given = X[:, places]
        wrong = {"nan": np.isnan(given), "inf": np.isinf(given), "large": np.isfinite(given) & (np.abs(given) > 1e38)}[kind]
        return np.where(wrong.any(axis=1, keepdims=True), 0.5, own_run(self, X))

    monkeypatch.setattr(onnx_form.OnnxEstimator, "_run", run)


BOUNDED = {"between": (-9, 9)}


@needs_onnx
@pytest.mark.parametrize(
    ("kind", "income", "served"),
    [
        ("inf", {}, "onnx"),
        ("inf", {"on_request": "mark"}, "onnx"),
        ("inf", {"on_breach": "warn"}, "onnx"),
        ("large", {}, "skops"),
        ("large", {"kind": int}, "onnx"),
        ("large", {"kind": int, "on_request": "mark", "on_breach": "warn"}, "onnx"),
        ("large", {"kind": bool}, "onnx"),
        ("large", BOUNDED, "onnx"),
        ("large", {"between": (-9, 1e300)}, "skops"),
        ("large", {"one_of": (0.5, 1.5)}, "onnx"),
        ("large", {"on_request": "impute", **BOUNDED}, "onnx"),
        ("large", {"on_request": "mark", **BOUNDED}, "skops"),
        ("large", {"on_breach": "warn", **BOUNDED}, "skops"),
    ],
    ids=str,
)
def test_what_a_column_never_holds_is_refused_where_the_form_answers_it_otherwise(kind, income, served, monkeypatch):
    with monkeypatch.context() as patched:
        other_than_its_estimator(patched, kind, (0,))
        packed, own, _ = chosen(BOOSTED, patched, **income)
    assert packed.told.served == served, packed.told.why
    if packed.graph is None:
        return
    graph = Predictor(own.model, own.signature, onnx_form.OnnxEstimator(packed.graph, own.signature.classes))
    odd = pl.lit({"inf": math.inf, "large": 1e39}[kind])
    for name in ROWS.columns:
        asked = ROWS.tail(5).with_columns(odd.alias(name))
        # what is infinite never comes, and of these two what is large may
        if kind == "large" and name != "income":
            assert np.allclose(graph.predict(asked).score, own.predict(asked).score, atol=packaging.TOLERANCE)
        else:
            with pytest.raises(BadInput, match="infinity"):
                graph.predict(asked)


@needs_onnx
@pytest.mark.parametrize("name", ["twice", "y"])
@pytest.mark.parametrize("kind", ["nan", "inf", "large"])
def test_what_a_transform_makes_may_hold_anything(kind, name, monkeypatch):
    other_than_its_estimator(monkeypatch, kind, (3,))
    packed, _, _ = chosen(BOOSTED, monkeypatch, ROWS.with_columns((pl.col("income") * 2).alias(name)), **BOUNDED)
    assert (packed.told.served, packed.told.rows) == ("skops", packaging.MOST_ROWS)
    assert packed.told.why.startswith(f"its ONNX form answers otherwise {packaging._ODD[kind][1]}: ")


@needs_onnx
def test_neighbours_that_lie_alike_far_from_what_nobody_asks_are_no_difference(monkeypatch):
    rows = ROWS.select("income")
    estimator = KNeighborsClassifier(5)
    packed, own, graph = chosen(estimator, monkeypatch, rows, **BOUNDED)
    assert packed.told.served == "onnx", packed.told.why
    assert np.allclose(graph.predict(rows.tail(50)).score, own.predict(rows.tail(50)).score)
    with pytest.raises(BadInput, match="too large"):
        graph.predict(rows.tail(1).with_columns(pl.lit(1e39).alias("income")))
    told = chosen(estimator, monkeypatch, rows)[0].told
    assert told.why.startswith("its ONNX form answers otherwise where values are too large for 32 bits: ")


@needs_onnx
@pytest.mark.parametrize(("income", "served"), [({}, "skops"), (BOUNDED, "onnx")], ids=str)
def test_where_an_estimator_has_no_answer_matters_only_if_it_may_be_asked(income, served, monkeypatch):
    rows = ROWS.select("income")
    fitted = PoissonRegressor().fit(rows[:2_000], -rows["income"][:2_000] + 10)
    assert fitted.coef_[0] < 0, "or the answer to what is far below is 0"
    monkeypatch.setattr(PoissonRegressor, "fit", lambda self, *_: fitted)
    told = chosen(PoissonRegressor(), monkeypatch, rows, **income)[0].told
    assert told.served == served, told.why
    assert served == "onnx" or "answers that are NaN or infinite" in told.why


@needs_onnx
def test_forms_are_compared_some_rows_at_a_time(monkeypatch):
    asked = []
    predict = Predictor.predict
    monkeypatch.setattr(Predictor, "predict", lambda self, X: asked.append(X.height) or predict(self, X))
    packed, _, _ = chosen(BOOSTED, monkeypatch)
    assert (packed.told.rows, max(asked)) == (1_000, packaging._PIECE)
    assert asked.count(packaging._PIECE) == 2 * (1_000 + 3 * packaging.MOST_ROWS) // packaging._PIECE


def test_what_differs_is_added_up_over_the_pieces():
    class Answers:
        """Numbers of a column as they are, or the last one otherwise."""

        def __init__(self, off: float) -> None:
            self.off = off

        def predict(self, X: pl.DataFrame) -> Predictions:
            score = X["score"].to_numpy() + self.off * (X["score"].to_numpy() > 0.9)
            return Predictions(score > 0.95, score)

    rows = pl.DataFrame({"score": np.linspace(0, 1, 1_200)})
    classes, difference = packaging._beside(Answers(0.0), Answers(-0.25), rows)
    assert (classes, difference) == (60, pytest.approx(0.25))
    assert packaging._beside(Answers(0.0), Answers(-0.25), rows.clear()) == (0, 0.0)


def test_odd_values_are_put_into_each_column_alone_and_into_several():
    rows = ROWS.head(7).with_columns(pl.lit(3).alias("whole"))
    made = packaging._with_odd(rows, (0, 2, 3), "nan")
    assert made.equals(packaging._with_odd(rows, (0, 2, 3), "nan"))
    odd = np.column_stack([made[name].is_null() for name in made.columns])
    assert made["debt"].equals(rows["debt"][np.arange(packaging.MOST_ROWS) % 7])
    assert {tuple(row) for row in odd.tolist()} == {
        (first, False, second, third) for first in (False, True) for second in (False, True) for third in (False, True)
    }
    for place in (0, 2, 3):
        assert int((odd[:, place] & (odd.sum(axis=1) == 1)).sum()) > packaging.MOST_ROWS // 7
    assert set(packaging._with_odd(rows, (3,), "inf")["whole"].unique()) == {-math.inf, 3.0, math.inf}


@needs_onnx
def test_graphs_of_before_refuse_as_they_did() -> None:
    X = np.random.default_rng(0).random((200, 2))
    y = (X[:, 0] > 0.5).astype(int)
    trees = onnx_form.graph_of(HistGradientBoostingClassifier(max_iter=5).fit(X, y), 2)
    form = onnx_form.OnnxEstimator(onnx_form.refusing(trees, {"nan": [], "inf": [0]}), (0, 1))
    assert form.predict([[0.1, 1e39], [0.1, np.inf]]).shape == (2,)
    with pytest.raises(ValueError, match="too large"):
        form.predict([[1e39, 0.1]])
    numbers = onnx_form.graph_of(LogisticRegression().fit(X, y), 2)
    form = onnx_form.OnnxEstimator(onnx_form.refusing(numbers, {"nan": [], "inf": [0]}), (0, 1))
    assert form.predict([[1e39, 0.1]]).tolist() == [1]
    with pytest.raises(ValueError, match="infinity"):
        form.predict([[np.inf, 0.1]])


@needs_onnx
def test_a_form_refuses_by_column() -> None:
    X = np.random.default_rng(0).random((200, 2))
    fitted = HistGradientBoostingClassifier(max_iter=5).fit(X, (X[:, 0] > 0.5).astype(int))
    graph = onnx_form.refusing(onnx_form.graph_of(fitted, 2), {"nan": [1], "inf": [0]})
    form = onnx_form.OnnxEstimator(graph, (0, 1))
    assert form.predict([[np.nan, 0.2], [0.3, np.inf]]).shape == (2,)
    with pytest.raises(ValueError, match="NaN"):
        form.predict([[0.1, 0.2], [0.1, np.nan]])
    with pytest.raises(ValueError, match="infinity"):
        form.predict([[-np.inf, 0.2]])


@needs_onnx
def test_a_form_that_answers_otherwise_is_not_served(project, monkeypatch):
    real = onnx_form.graph_of

    def other(estimator: object, features: int) -> bytes:
        """The graph of another model: as a wrong converter would make it."""
        X = np.random.default_rng(0).random((200, features))
        return real(LogisticRegression().fit(X, (X[:, 0] > 0.5).astype(int)), features)

    monkeypatch.setattr(onnx_form, "graph_of", other)
    performed, told, own = made(project, "HistGradientBoostingClassifier(max_iter=20)")
    assert told.served == "skops"
    assert "answers otherwise" in told.why
    assert told.classes_differ > 0
    assert "model.onnx" not in artifact.manifest_of(performed.result.artifact, own.blobs).files


@needs_onnx
def test_a_form_that_is_not_clearly_faster_is_not_served(project, monkeypatch):
    monkeypatch.setattr(packaging, "CLEARLY", 0.0)
    _, told, _ = made(project, "LogisticRegression()")
    assert told.served == "skops"
    assert "not clearly faster" in told.why


@needs_onnx
def test_a_graph_that_was_changed_does_not_load(project, tmp_path: Path):
    performed, _, own = made_as_onnx(project, "LogisticRegression()")
    path = own.blobs.path(artifact.manifest_of(performed.result.artifact, own.blobs).files["model.onnx"])
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(Corrupt, match=r"model\.onnx"):
        artifact.load(performed.result.artifact, own.blobs, tmp_path / "scratch")


@needs_onnx
def test_a_graph_of_another_model_fails_the_golden_rows(project, tmp_path: Path):
    performed, _, own = made(project, "LogisticRegression()")
    X = np.random.default_rng(0).random((200, 2))
    wrong = onnx_form.graph_of(LogisticRegression().fit(X, (X[:, 0] < 0.5).astype(int)), 2)
    manifest = codec.plain(artifact.manifest_of(performed.result.artifact, own.blobs))
    # whichever form was the faster one here
    manifest["served"] = "onnx"
    manifest["files"]["model.onnx"] = own.blobs.put(wrong)
    other = own.blobs.put(rfc8785.dumps(manifest))
    with pytest.raises(Corrupt, match="golden row"):
        artifact.load(other, own.blobs, tmp_path / "scratch")


@needs_onnx
def test_what_cannot_be_a_graph_is_said(project):
    _, told, _ = made(project, "LogisticRegression()", predict="def own(model, X): return model.predict_proba(X)", more=", predict=own")
    assert (told.served, told.why) == ("skops", "ONNX was not tried: the model has a predict= or save= of its own")
    _, told, _ = made(project, "RandomForestClassifier(500, random_state=0)")
    assert "nodes, which take seconds to convert" in told.why


def test_without_the_extra_nothing_changes_and_the_report_says_so(project, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(onnx_form, "can_make", lambda: False)
    performed, told, own = made(project, "LogisticRegression()")
    assert told == Packaging(served="skops", why="ONNX was not tried: extra missing (pip install 'flyball[onnx]')")
    manifest = artifact.manifest_of(performed.result.artifact, own.blobs)
    assert (manifest.served, "model.onnx" in manifest.files) == ("skops", False)
    assert artifact.load(performed.result.artifact, own.blobs, tmp_path / "scratch").original().fitted is not None


def test_a_version_served_as_onnx_is_answered_by_its_estimator_where_graphs_cannot_be_run(project, monkeypatch, tmp_path: Path, capsys):
    monkeypatch.setattr(onnx_form, "can_make", lambda: False)
    performed, _, own = made(project, "LogisticRegression()")
    manifest = codec.plain(artifact.manifest_of(performed.result.artifact, own.blobs))
    manifest["files"]["model.onnx"], manifest["served"] = own.blobs.put(b"a graph"), "onnx"
    other = own.blobs.put(rfc8785.dumps(manifest))
    monkeypatch.setattr(onnx_form, "can_run", lambda: False)
    loaded = artifact.load(other, own.blobs, tmp_path / "scratch")
    assert isinstance(loaded.fitted, LogisticRegression)
    assert "ONNX Runtime is not installed" in capsys.readouterr().out


def test_manifests_of_before_name_no_form_and_are_served_as_they_were(project, tmp_path: Path):
    performed, _, own = made(
        project, "LogisticRegression()", predict="def own(model, X): return model.predict_proba(X)", more=", predict=own"
    )
    manifest = codec.plain(artifact.manifest_of(performed.result.artifact, own.blobs))
    manifest.pop("served", None)
    manifest["files"].pop("background.parquet")
    before = own.blobs.put(rfc8785.dumps(manifest))
    assert isinstance(artifact.load(before, own.blobs, tmp_path / "scratch"), Predictor)


def test_numbers_are_compared_relative_to_their_size():
    one, other = Predictions(np.array([1e6, 0.5])), Predictions(np.array([1e6 + 5, 0.5]))
    assert packaging._difference(one, other) == (0, pytest.approx(5e-6))
