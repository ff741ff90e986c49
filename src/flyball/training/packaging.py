"""In which form a version is served: as its estimator, or as an ONNX graph where that answers alike and is clearly faster.

Nothing is converted on trust: the graph is compared with the estimator, as it is read back from its bytes, over at least a thousand rows, and over
the same with values that a model is seldom asked with: missing ones, infinite ones, and those that 32 bits do not hold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from flyball.declare.columns import Column
from flyball.errors import BadInput, FlyballError
from flyball.features.fields import inputs
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

_ODD: Final = {
    "nan": (float("nan"), "where values are missing"),
    "inf": (float("inf"), "where values are infinite"),
    "large": (1e39, "where values are too large for 32 bits"),
}
"""What is put into columns to see whether they are taken, and how it is called. The keys are those of onnx_form.REFUSED."""

_MOST_32: Final = float(np.finfo(np.float32).max)

_PIECE: Final = 500
"""Rows that are asked at once when forms are compared: a graph of neighbours holds each row's distance to every one that it was fitted on."""

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
        data, found = _equal_graph(stored, compared)
    except FlyballError as error:
        return Packed(None, Packaging(served="skops", why=f"ONNX was tried: {error.what}; {error.why}"))
    told = Packaging(served="skops", why="", rows=found.rows, classes_differ=found.classes, difference=found.difference)
    if not found.is_equal:
        where = f" {_ODD[found.kind][1]}" if found.kind else ""
        differ = f"{found.classes} classes of {found.rows:,} rows differ, scores by up to {found.difference:.2g}"
        return Packed(None, _with(told, why=f"its ONNX form answers otherwise{where}: {differ}"))
    graph = _asked(stored, data)
    cpu = {
        f"{name}_{batch}": _cpu_us(each, compared.head(batch)) for name, each in (("skops", stored), ("onnx", graph)) for batch in _BATCHES
    }
    share = max(cpu[f"onnx_{batch}"] / cpu[f"skops_{batch}"] for batch in _BATCHES)
    shown = ", ".join(f"{cpu[f'onnx_{batch}']:.0f} against {cpu[f'skops_{batch}']:.0f} µs CPU for {batch}" for batch in _BATCHES)
    equal = f"equal on {compared.height:,} rows (to {found.difference:.1g})"
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


class _Compared(NamedTuple):
    """In how many of `rows` the class differs, and the largest difference of a score or number. `kind`: which values (of _ODD) were put into them, if any;
    `failed`: what then came in place of an answer.
    """

    rows: int
    classes: int
    difference: float
    kind: str = ""
    failed: BadInput | None = None

    @property
    def is_equal(self) -> bool:
        return not self.classes and self.difference <= TOLERANCE


def _equal_graph(stored: Predictor, compared: pl.DataFrame) -> tuple[bytes, _Compared]:
    """The graph, which refuses what its estimator refuses, and how it compares.

    One that answers odd values otherwise refuses them in the columns that never hold such, and is equal if it is in all others. Raises BadInput for an
    estimator that has no such form, and where one of the two fails.
    """
    plain, refused = onnx_form.graph_of(stored.fitted, compared.width), _refused(stored, compared)
    while True:
        data = onnx_form.refusing(plain, refused)
        found = _compared(stored, _asked(stored, data), compared, refused)
        never = _never(stored, compared.columns, found.kind) if found.kind else set()
        if never <= set(refused.get(found.kind, ())):
            if found.failed is not None:
                raise found.failed
            return data, found
        refused[found.kind] = sorted(never.union(refused[found.kind]))


def _asked(stored: Predictor, data: bytes) -> Predictor:
    return Predictor(stored.model, stored.signature, onnx_form.OnnxEstimator(data, stored.signature.classes))


def _compared(stored: Predictor, graph: Predictor, rows: pl.DataFrame, refused: Mapping[str, Sequence[int]]) -> _Compared:
    """The first comparison that is not equal, else the one of `rows` with the largest difference of all."""
    found = worst = _Compared(rows.height, *_beside(stored, graph, rows))
    if not found.is_equal or not rows.height:
        return found
    for kind in _ODD:
        if not (places := [place for place in range(rows.width) if place not in refused[kind]]):
            continue
        odd = _with_odd(rows, places, kind)
        # what a scaler makes of the largest numbers is no news
        try:
            with np.errstate(all="ignore"):
                beside = _Compared(odd.height, *_beside(stored, graph, odd), kind)
        except BadInput as error:
            return _Compared(odd.height, 0, math.inf, kind, error)
        if not beside.is_equal:
            return beside
        worst = max(worst, beside, key=lambda each: each.difference)
    return found._replace(difference=worst.difference)


def _beside(stored: Predictor, graph: Predictor, rows: pl.DataFrame) -> tuple[int, float]:
    """As `_difference`, of what both answer for these rows."""
    each = [_difference(stored.predict(piece), graph.predict(piece)) for piece in rows.iter_slices(_PIECE)]
    return sum(classes for classes, _ in each), max((difference for _, difference in each), default=0.0)


def _with_odd(rows: pl.DataFrame, places: Sequence[int], kind: str) -> pl.DataFrame:
    """`MOST_ROWS` of the rows, again where they are few, with such values at these places: in one half of them each place alone, in the other some
    to all. What is infinite or large has either sign.
    """
    chance = np.random.default_rng(0)
    half, width = MOST_ROWS // 2, len(places)
    odd = np.zeros((MOST_ROWS, rows.width), dtype=np.bool_)
    odd[np.arange(half), np.take(places, np.arange(half) % width)] = True
    odd[half:, places] = chance.random((MOST_ROWS - half, width)) < chance.random((MOST_ROWS - half, 1))
    made = rows[np.arange(MOST_ROWS) % rows.height].cast(pl.Float64).to_numpy(writable=True)
    made[odd] = _ODD[kind][0] * chance.choice((-1.0, 1.0), int(odd.sum()))
    # a missing value is null to whoever asks for a frame
    return pl.DataFrame(made, schema=rows.columns, orient="row").fill_nan(None)


def _never(stored: Predictor, names: Sequence[str], kind: str) -> set[int]:
    """The places of columns in which no data set and no request may hold such a value: what views and transforms make of them may."""
    own = {name: stored.model.data.columns[name] for name in inputs(stored.model)}
    return {place for place, name in enumerate(names) if name in own and not _may_hold(own[name], kind)}


def _may_hold(column: Column, kind: str) -> bool:
    """Whether a value of this kind may come from a data set or a request (docs/data.md): none that is infinite ever does."""
    if kind == "inf":
        return False
    lax = column.on_breach != "block" or column.on_request == "mark"
    if kind == "nan":
        return lax or column.nulls > 0
    declared = [values for values in (column.between, column.one_of) if values]
    bounded = any(max(abs(float(value)) for value in values) <= _MOST_32 for values in declared)
    return column.type == "float" and (lax or not bounded)


def _refused(stored: Predictor, rows: pl.DataFrame) -> dict[str, list[int]]:
    """The places of the columns in which the estimator takes no such value, by kind: one that takes it everywhere is asked once."""
    plain = rows.head(1).cast(pl.Float64)

    def refuses(value: float, *names: str) -> bool:
        try:
            with np.errstate(all="ignore"):
                stored.predict(plain.with_columns(pl.lit(value).alias(name) for name in names))
        except BadInput:
            return True
        return False

    return {
        kind: [place for place, name in enumerate(rows.columns) if refuses(value, name)] if refuses(value, *rows.columns) else []
        for kind, (value, _) in _ODD.items()
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
