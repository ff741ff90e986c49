"""Fits, each made once: the same rows, hyperparameters and code give the same fitted object, so it is remembered within a process.

A backtest asks for hundreds of fits, and policies that differ only in what they do with a version ask for the same ones.
"""

from __future__ import annotations

import inspect
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from flyball.clock import Instant
from flyball.declare.functions import Function
from flyball.declare.model import Model
from flyball.declare.training import Train
from flyball.errors import DeclarationError, Refused
from flyball.features.assemble import SENT, watched_columns
from flyball.features.fields import Usual, request_fields, signature, usual_values
from flyball.records.models import Signature
from flyball.training.calls import Parameters, RunLog, call_fit, hyperparameters
from flyball.training.predictor import Predictor, classes_of
from flyball.training.rows import Assembled, check_train, differing
from flyball.training.splits import Split


class FitCache:
    """The last `size` fitted objects by what they were made of. Not shared between threads."""

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __contains__(self, key: Hashable) -> bool:
        """Whether there is one; asking is no use of it."""
        return key in self._kept

    def get(self, key: Hashable) -> Any | None:
        """The fitted object under `key`, or None."""
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, fitted: Any) -> None:
        """Keep a fitted object; the one not asked for longest gives way."""
        self._kept[key] = fitted
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)


@dataclass
class Fitter:
    """Fits of one model on one set of rows, counted."""

    model: Model
    rows: Assembled
    seed: int
    cache: FitCache
    as_of: Instant
    log: RunLog = field(default_factory=RunLog)
    cpu_s: float = 0.0
    fits: int = 0
    longest_s: float = 0.0
    """CPU seconds of the fit that took longest."""

    def __post_init__(self) -> None:
        train = train_of(self.model)
        if isinstance(train.fit, Function):
            raise DeclarationError(
                f"{train.fit} is a reference to code", why="a decoded declaration cannot run", fix="load the model from its files"
            )
        self.defaults: Parameters = hyperparameters(train.fit)
        self.stops_by = bool({"X_valid", "y_valid"} & set(inspect.signature(train.fit).parameters))
        """Whether fit asks for rows to stop by."""

    def fit(self, split: Split, parameters: Parameters, *, window: str = "", log: RunLog | None = None) -> Predictor:
        """Fit on the rows before the split's hold-out, on labels known by then. `log`: what fit gets as `run`, the run's own if none is given."""
        stop, asked, judged = self._before(split)
        full = self.defaults | parameters
        key = self._key(split, parameters)
        part = self.rows.part(split.start, stop, known_by=asked)
        fitted = self.cache.get(key)
        if fitted is None:
            valid = self.rows.part(split.valid, split.stop, known_by=judged)
            check_train(part, self.model, window, self.rows.frame["__y"], stop)
            began = time.process_time()
            run = self.log if log is None else log
            try:
                fitted = call_fit(train_of(self.model).fit, part, valid, full, seed=self.seed, run=run)
            finally:
                took = time.process_time() - began
                self.cpu_s += took
                self.longest_s = max(self.longest_s, took)
            self.fits += 1
            self.cache.put(key, fitted)
        usual = self._usual(split.start, stop)
        return Predictor(self.model, self.signature(self.rows.frame["__y"][split.start : split.end], usual), fitted)

    def made(self, split: Split, parameters: Parameters) -> bool:
        """Whether this very fit is remembered."""
        return self._key(split, parameters) in self.cache

    def learns(self, split: Split) -> int:
        """How many rows a fit would learn from."""
        return self._before(split)[0] - split.start

    def _before(self, split: Split) -> tuple[int, Instant, Instant]:
        """The end of what is learned from, and the moments by which labels are known of it and of the rows to stop by."""
        judged = self._asked(split.holdout)
        return (split.inner, self._asked(split.valid), judged) if self.stops_by else (split.stop, judged, judged)

    def _key(self, split: Split, parameters: Parameters) -> Hashable:
        stop, *moments = self._before(split)
        rows = (
            self.rows.digest,
            split.start,
            stop,
            tuple(moments) if self.rows.late else (),
            (split.valid, split.stop) if self.stops_by else (),
        )
        # the function itself is the code: policies that differ in their windows or gates share its fits
        return (train_of(self.model).fit, rows, self.seed, *sorted((self.defaults | parameters).items()))

    def _asked(self, first: int) -> Instant:
        """When the first row is predicted that what is fitted is asked; the run's own moment where it is asked none yet."""
        times = self.rows.times
        return min(self.as_of, int(times[first]) - int(self.model.framing.horizon)) if first < len(times) else self.as_of

    def _usual(self, start: int, stop: int) -> dict[str, Usual]:
        """What stands in, in requests, for what breaks the contract of a column that is to be imputed."""
        if all(item.on_request != "impute" for _, item in request_fields(self.model)):
            return {}
        frame = self.rows.frame
        return usual_values(self.model, frame[start:stop].select(watched_columns(self.model, frame)))

    def signature(self, y: pl.Series, usual: Mapping[str, Usual] | None = None) -> Signature:
        """What a version of these labels takes and gives; `usual` stands in for what breaks a contract."""
        return signature(self.model, classes_of(self.model.task, y), usual, differing=self._differing)

    @cached_property
    def _differing(self) -> tuple[str, ...]:
        """Of a ranking's fields, those that belong to the item and not to the list."""
        if self.model.task != "ranking":
            return ()
        names = [name for name, _ in request_fields(self.model)]
        return differing(self.rows, {name: name if name in self.rows.frame.columns else f"{SENT}{name}" for name in names})


def train_of(model: Model) -> Train:
    """How the model is trained. Raises Refused for one that is not."""
    if model.train is None:
        raise Refused(f'model "{model.name}" declares no training', why="train= is missing", fix="give fb.Model(train=fb.Train(fit))")
    return model.train
