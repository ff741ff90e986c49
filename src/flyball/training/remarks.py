"""What a run says of a candidate that no metric says: that it answers a constant, that it was set to what no search would try, or that the same fit gives
another model each time.

Neither ends a run. A fit that is not repeatable cannot be made again exactly, which a person should know before they rely on it.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from flyball.declare.functions import Function
from flyball.declare.training import Space
from flyball.errors import FlyballError
from flyball.evaluation.answers import answers as read_answers
from flyball.training import estimators
from flyball.training.artifact import write
from flyball.training.calls import Parameters, Part, RunLog, call_fit
from flyball.training.fitting import Fitter, train_of
from flyball.training.predictor import Predictor, answers
from flyball.training.rows import check_train
from flyball.training.search import holds, told
from flyball.training.splits import Split

SAMPLE = 1_000
"""Rows of the two fits that are compared."""

MOST_S = 60.0
"""A fit that took longer than this is not made again: that would cost more than it tells."""


def remarks(
    fitter: Fitter, released: Predictor, final: Split, parameters: Parameters, holdout: pl.DataFrame, fixed: Parameters
) -> tuple[str, ...]:
    """The notes of a run, a sentence each. `fixed`: the hyperparameters that a person set."""
    outside = outside_search(train_of(fitter.model).search, fixed)
    return tuple(filter(None, (constant_answers(released, holdout), outside, repeatable(fitter, released, final, parameters))))


def outside_search(space: Mapping[str, Space], fixed: Parameters) -> str:
    """What is said of hyperparameters that were set to what their own search never tries; else empty."""
    found = [f"{name}={value} ({told(space[name])})" for name, value in fixed.items() if name in space and not holds(space[name], value)]
    return f"set outside of what is searched: {', '.join(found)}" if found else ""


def constant_answers(released: Predictor, holdout: pl.DataFrame) -> str:
    """What is said of a candidate that gave every held-out row one and the same answer; else empty."""
    if not read_answers(released.model.task, holdout, classes=released.signature.classes).constant:
        return ""
    return f"the model answers {holdout['value'][0]} to every row: it has learned nothing from its features, and passes no gate against the baseline"


def repeatable(fitter: Fitter, released: Predictor, final: Split, parameters: Parameters) -> str:
    """What is said of a fit that gives another model when it is made again: twice on the newest rows, with the same seed. Else empty."""
    if fitter.longest_s > MOST_S:
        return f"whether fit gives the same model each time was not looked for: one fit took {fitter.longest_s:.0f} s of CPU"
    part = fitter.rows.part(max(final.start, final.stop - SAMPLE), final.stop)
    began = time.process_time()
    try:
        check_train(part, fitter.model, "of the comparison", part.y, part.y.len())
        first, second = (_fit(fitter, part, parameters) for _ in range(2))
        if _digest(released, first) == _digest(released, second):
            return ""
        apart = _apart(released, first, second, part.X)
    except FlyballError as error:
        return f"whether fit gives the same model each time could not be told on {part.X.height:,} rows: {error.what}"
    finally:
        fitter.cpu_s += time.process_time() - began
    return (
        f"fit is not deterministic: made twice on the same {part.X.height:,} rows with seed {fitter.seed} it {apart}; "
        "this version cannot be made again exactly (give fit a parameter seed, and use it)"
    )


def _fit(fitter: Fitter, part: Part, parameters: Parameters) -> Any:
    return call_fit(train_of(fitter.model).fit, part, part, fitter.defaults | parameters, seed=fitter.seed, run=RunLog())


def _digest(released: Predictor, fitted: Any) -> str:
    """The SHA-256 of a fitted object as it would be stored."""
    save = train_of(released.model).save
    if save is None or isinstance(save, Function):
        return hashlib.sha256(estimators.dumps(fitted)).hexdigest()
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix="flyball-save-") as folder:
        write(save, fitted, Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _apart(released: Predictor, first: Any, second: Any, X: pl.DataFrame) -> str:
    """How far two models are apart, in words."""
    one, other = (answers(Predictor(released.model, released.signature, each).predict(X)) for each in (first, second))
    differ = sum(a != b for a, b in zip(_rows(one), _rows(other), strict=True))
    return f"answers {differ / X.height:.0%} of them otherwise" if differ else "is stored otherwise, though it answers alike"


def _rows(given: tuple[pl.Series, pl.Series]) -> list[tuple[object, object]]:
    return list(zip(given[0].to_list(), given[1].to_list(), strict=True))
