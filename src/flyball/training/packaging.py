"""In which form a version is served: as its estimator, or as an ONNX graph where that answers alike and is clearly faster.

Nothing is converted on trust: the graph is compared with the estimator, as it is read back from its bytes, over at least a thousand rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from flyball.errors import BadInput, FlyballError
from flyball.records.evaluation import Packaging
from flyball.training import estimators, onnx_form
from flyball.training.evaluating import Found, Subject
from flyball.training.predictor import Predictions, Predictor, is_numeric

LEAST_ROWS: Final = 1_000
MOST_ROWS: Final = 5_000
TOLERANCE: Final = 1e-5
"""Largest difference of a score, or of a number relative to it: trees are added up in 32 bits."""

CLEARLY: Final = 0.8
"""A graph is taken where it needs at most this share of the CPU, alone and in batches: nearer ones would be taken in one run and not in the next."""

MOST_NODES: Final = 50_000
"""Nodes of trees: more take seconds to convert."""

_BATCHES: Final = (1, 100)
_ROUNDS: Final = 3
_ROUND_S: Final = 0.01


class Packed(NamedTuple):
    """The graph, if it is to be served, and what is to be said of it."""

    graph: bytes | None
    told: Packaging


def choose(released: Predictor, rows: pl.DataFrame, holdout: int, form: str = "") -> Packed:
    """`form`: that of a run that is made again, whatever is faster today. `rows` are features in order of time, the hold-out's from `holdout` on: those are compared first, older ones where they are few."""
    why = "the run that is made again had none" if form and form != "onnx" else _why_not(released, rows)
    if why:
        form = "own" if released.model.train is not None and released.model.train.save is not None else "skops"
        return Packed(None, Packaging(served=form, why=f"ONNX was not tried: {why}"))
    compared = rows[max(0, min(holdout, rows.height - LEAST_ROWS)) :].head(MOST_ROWS)
    stored = Predictor(released.model, released.signature, estimators.loads(estimators.dumps(released.fitted)))
    try:
        data = onnx_form.refusing(onnx_form.graph_of(stored.fitted, rows.width), _refused(stored, compared))
        graph = Predictor(released.model, released.signature, onnx_form.OnnxEstimator(data, released.signature.classes))
        classes, difference = _difference(stored.predict(compared), graph.predict(compared))
    except FlyballError as error:
        return Packed(None, Packaging(served="skops", why=f"ONNX was tried: {error.what}; {error.why}"))
    told = Packaging(served="skops", why="", rows=compared.height, classes_differ=classes, difference=difference)
    if classes or not difference <= TOLERANCE:
        why = f"its ONNX form answers otherwise: {classes} classes of {compared.height:,} rows differ, scores by up to {difference:.2g}"
        return Packed(None, _with(told, why=why))
    cpu = {
        f"{name}_{batch}": _cpu_us(each, compared.head(batch)) for name, each in (("skops", stored), ("onnx", graph)) for batch in _BATCHES
    }
    share = max(cpu[f"onnx_{batch}"] / cpu[f"skops_{batch}"] for batch in _BATCHES)
    shown = ", ".join(f"{cpu[f'onnx_{batch}']:.0f} against {cpu[f'skops_{batch}']:.0f} µs CPU for {batch}" for batch in _BATCHES)
    equal = f"equal on {compared.height:,} rows (to {difference:.1g})"
    if share > CLEARLY and form != "onnx":
        return Packed(None, _with(told, why=f"its ONNX form is {equal} and not clearly faster: {shown}", cpu_us=cpu))
    return Packed(data, _with(told, served="onnx", why=f"{equal} and faster: {shown}", cpu_us=cpu))


def packaging(subject: Subject) -> Found:
    """The section `packaging`: what was found when the artifact was made."""
    return Found({"packaging": subject.packaging} if subject.packaging is not None else {})


def _with(told: Packaging, **changes: Any) -> Packaging:
    import msgspec

    return msgspec.structs.replace(told, **changes)


def _why_not(released: Predictor, rows: pl.DataFrame) -> str:
    train = released.model.train
    if train is not None and (train.save is not None or train.predict is not None):
        return "the model has a predict= or save= of its own"
    if not type(released.fitted).__module__.startswith("sklearn."):
        return f"a {type(released.fitted).__name__} is not scikit-learn's"
    if not onnx_form.can_make():
        return "extra missing (pip install 'flyball[onnx]')"
    if released.model.task not in ("binary", "multiclass", "regression", "forecast"):
        return f"a {released.model.task} model is not compared yet"
    if released.signature.classes and list(getattr(released.fitted, "classes_", ())) != list(released.signature.classes):
        return "the estimator's classes are not all that the model answers"
    if released.signature.classes and not hasattr(released.fitted, "predict_proba"):
        return "the estimator gives no probabilities to compare"
    if not is_numeric(rows):
        return f"features that are no numbers: {', '.join(name for name, dtype in rows.schema.items() if not (dtype.is_numeric() or dtype == pl.Boolean))}"
    nodes = _nodes(released.fitted)
    return f"its trees have {nodes:,} nodes, which take seconds to convert" if nodes > MOST_NODES else ""


def _refused(stored: Predictor, rows: pl.DataFrame) -> dict[str, list[int]]:
    """The places of the columns in which the estimator takes no NaN, and nothing infinite: one that takes it everywhere is asked once."""
    plain = rows.head(1).cast(pl.Float64)

    def refuses(value: float, *names: str) -> bool:
        try:
            stored.predict(plain.with_columns(pl.lit(value).alias(name) for name in names))
        except BadInput:
            return True
        return False

    return {
        kind: [place for place, name in enumerate(rows.columns) if refuses(value, name)] if refuses(value, *rows.columns) else []
        for kind, value in (("nan", float("nan")), ("inf", float("inf")))
    }


def _nodes(estimator: Any) -> int:
    """How many nodes the trees in an estimator have."""
    estimator = estimator.steps[-1][1] if getattr(estimator, "steps", None) else estimator
    if (several := getattr(estimator, "_predictors", None)) is not None:
        return sum(len(tree.nodes) for stage in several for tree in stage)
    trees = np.ravel(np.asarray(getattr(estimator, "estimators_", []), dtype=object))
    return sum(tree.tree_.node_count for tree in trees if hasattr(tree, "tree_"))


def _difference(one: Predictions, other: Predictions) -> tuple[int, float]:
    """In how many rows the class differs, and the largest difference of a score or number."""
    if one.scores is not None and other.scores is not None:
        return int((one.value != other.value).sum()), float(np.abs(one.scores - other.scores).max(initial=0.0))
    if one.score is not None and other.score is not None:
        return int((one.value != other.value).sum()), float(np.abs(one.score - other.score).max(initial=0.0))
    numbers = np.asarray(one.value, dtype=np.float64)
    return 0, float((np.abs(numbers - other.value) / np.maximum(1.0, np.abs(numbers))).max(initial=0.0))


def _cpu_us(predictor: Predictor, rows: pl.DataFrame) -> float:
    """CPU of one call in µs: the least of some rounds, each as long as the clock can tell."""

    def ask() -> None:
        predictor.predict(rows)

    ask()
    return min(_round_us(ask) for _ in range(_ROUNDS))


def _round_us(ask: Callable[[], None]) -> float:
    calls, began = 0, time.process_time()
    while (spent := time.process_time() - began) < _ROUND_S:
        ask()
        calls += 1
    return spent / calls * 1e6
