"""Sections of a run's report for which the candidate is asked again, or whose answers are laid beside the champion's."""

from __future__ import annotations

import numpy as np
import polars as pl

from flyball.errors import BadInput
from flyball.evaluation import shift
from flyball.evaluation.answers import Answers
from flyball.evaluation.answers import answers as read_answers
from flyball.evaluation.robustness import KINDS, MOST_ASKED, MOST_ROWS, robustness
from flyball.features.fields import inputs, view_features
from flyball.records.estimates import Estimate
from flyball.training.evaluating import Found, Section, Subject
from flyball.training.judging import amounts, objective
from flyball.training.predictor import answers as answered
from flyball.training.rows import GROUP

_LEAST_ROWS = 500


def robust(subject: Subject) -> Found:
    """What is lost of the objective when features are missing, noisy, never seen, or permuted."""
    model, held, about = subject.model, subject.held, subject.frame
    most = max(_LEAST_ROWS, min(MOST_ROWS, MOST_ASKED // max(1, held.width)))
    taken = _sample(subject.answers, most, subject.spec.seed)
    if taken is not None:
        held, about = held[taken], about[taken]
    kept = [about[name] for name in ("__time", GROUP) if name in about.columns]

    def ask(X: pl.DataFrame) -> Answers:
        frame = pl.DataFrame([about["y"], *answered(subject.candidate.predict(X)), *kept])
        classes, group = subject.candidate.signature.classes, GROUP if GROUP in about.columns else ""
        return read_answers(model.task, frame, classes=classes, group=group, costs=amounts(model))

    declared = model.data.columns
    own = [name for name in inputs(model) if name in declared]
    found = tuple(
        robustness(
            held,
            ask,
            objective(model),
            may_miss=[*(name for name in own if declared[name].nulls > 0), *view_features(model)],
            closed=[name for name in own if declared[name].one_of],
            seed=subject.spec.seed,
        )
    )
    return Found({"robustness": found}, {f"robustness_{each.kind}": each.lost for each in found})


def _sample(found: Answers, most: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    """Rows to ask again, in order; of a ranking whole lists. None for all of them."""
    if found.n <= most:
        return None
    random = np.random.default_rng(seed)
    if found.lists is None:
        return np.sort(random.choice(found.n, most, replace=False))
    numbers, of = np.unique(found.lists, return_inverse=True)
    order = random.permutation(numbers.size)
    rows = np.cumsum(np.bincount(of)[order])
    return np.flatnonzero(np.isin(of, order[: max(1, int(np.searchsorted(rows, most, side="right")))]))


def output_shift(subject: Subject) -> Found:
    """How far the candidate's answers lie from the champion's, on the rows that the champion has not seen. Raises BadInput where it has seen all of them."""
    if "champion_value" not in subject.frame.columns:
        nothing = Estimate(value=0.0, why="no champion yet: there is nothing to compare with")
        return Found(measured={"output_shift": nothing})
    model, classes = subject.model, subject.candidate.signature.classes
    frame = subject.frame.filter(pl.col("champion_value").is_not_null())
    if frame.height == 0:
        raise BadInput("the champion has seen every held-out row", why="its answers to them are not those that callers get")
    group = GROUP if GROUP in frame.columns else ""
    ours = read_answers(model.task, frame, classes=classes, group=group, costs=amounts(model))
    theirs = read_answers(
        model.task, frame, value="champion_value", score="champion_score", classes=classes, group=group, costs=amounts(model)
    )
    if not (np.isfinite(theirs.value).all() and np.isfinite(ours.value).all()) and not classes:
        raise BadInput("an answer is missing or not finite")
    found = shift.output_shift(ours, theirs)
    what = "" if found.changed is None or found.changed.value is None else f"{found.changed.value:.1%} of rows get another class"
    return Found({"output_shift": found}, {"output_shift": Estimate(value=found.psi, n=found.rows, why=what)})


SECTIONS = (
    Section("robustness", tuple(f"robustness_{kind}" for kind in KINDS), robust),
    Section("output_shift", ("output_shift",), output_shift),
)
