"""A worker's scorer that notes what each part of an answer takes: what the views give, the transforms, the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import polars as pl

from flyball.clock import Instant
from flyball.features import transforms
from flyball.features.assemble import PreparedHistory, Served, moments
from flyball.features.fields import expressions
from flyball.features.windows import Lookup
from flyball.records.path import PathAsked
from flyball.serving.history import History, store_of
from flyball.serving.layout import Layout
from flyball.serving.worker import Scored, Scorer
from flyball.store.blobs import LocalBlobs
from flyball.training.artifact import load
from flyball.training.predictor import Predictor

_ALONE: Final = 5
_SLOW_S: Final = 0.1


class TimedScorer(Scorer):
    """The scorer itself; `took`: what each part took, in seconds, a number a batch."""

    def __init__(self, predictor: Predictor, history: History) -> None:
        super().__init__(predictor, history)
        self.took: dict[str, list[float]] = {"views": [], "transforms": [], "model": []}
        self.views_s = self._features_s = 0.0
        history.prepared = PreparedHistory(tuple(_Timed(view, self) for view in history.prepared.views))

    def score(self, rows: list[list[Any]], times: list[Instant]) -> Scored:
        """As a scorer does."""
        self.views_s = self._features_s = 0.0
        began = time.perf_counter()
        found = super().score(rows, times)
        whole = time.perf_counter() - began
        parts = {"views": self.views_s, "transforms": self._features_s - self.views_s, "model": whole - self._features_s}
        for name, took in parts.items():
            self.took[name].append(took)
        return found

    def _served(self, rows: list[list[Any]], times: list[Instant]) -> Served:
        began = time.perf_counter()
        found = super()._served(rows, times)
        self._features_s = time.perf_counter() - began
        return found

    def alone(self, row: list[Any]) -> dict[str, float]:
        """What each transform takes by itself for one row, in seconds: the median of some calls, of a slow one what one took."""
        model, moment = self._predictor.model, np.array([self.now()], dtype=np.int64)
        frame = pl.DataFrame([pl.Series(name, [value], dtype) for (name, dtype), value in zip(self._columns, row, strict=True)])
        for view, prepared in zip(model.features, self._history.prepared.views, strict=True):
            frame = frame.hstack(prepared.values(moments(model, view, moment, frame)))
        if not isinstance(model.transforms, Mapping):
            name = str(getattr(model.transforms, "__name__", "function"))
            return {name: _took(lambda: transforms.apply(model, frame))}
        whole = transforms.apply(model, frame)
        return {name: _took(partial(whole.select, value)) for name, value in expressions(model).items()}


class _Timed:
    """A view whose looking up is timed."""

    def __init__(self, view: Lookup, scorer: TimedScorer) -> None:
        self._view = view
        self._scorer = scorer

    def values(self, asked: pl.DataFrame) -> pl.DataFrame:
        """As the view gives them."""
        began = time.perf_counter()
        found = self._view.values(asked)
        self._scorer.views_s += time.perf_counter() - began
        return found


def _took(call: Callable[[], object]) -> float:
    took: list[float] = []
    while not took or (len(took) < _ALONE and took[-1] < _SLOW_S):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return median(took)


def timed(asked: PathAsked, folder: Path) -> tuple[TimedScorer, History]:
    """What a worker prepares, of an artifact that nobody has signed yet. Raises FlyballError."""
    predictor = load(asked.artifact, LocalBlobs(Path(asked.blobs)), folder / "code")
    history = History(predictor.model, partial(store_of, Layout(folder)))
    history.refresh()
    return TimedScorer(predictor, history), history
