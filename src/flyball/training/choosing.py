"""What a run settles on before it is judged: hyperparameters and window, each chosen on rows that judge nothing later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.records.base import Record
from flyball.records.evaluation import Decision
from flyball.records.training import RunSpec
from flyball.training.calls import Parameters, Part
from flyball.training.fitting import Fitter, train_of
from flyball.training.judging import clearly_better, score
from flyball.training.predictor import Predictions, Predictor
from flyball.training.rows import MIN_HOLDOUT, MIN_TRAIN, Assembled, more_rows
from flyball.training.search import Searched
from flyball.training.searching import ALONE, Conduct, hyperparameters
from flyball.training.splits import WINDOWS, Split, Times, choose, smoothed, split, trial_split

ALL_ROWS = Span(0)
"""The window of a model whose rows are split whatever their time."""


class Progress(Record, frozen=True):
    """How far a run is. `best` is the objective's best value so far, as people read it."""

    stage: str
    done: int = 0
    total: int = 0
    objective: str = ""
    best: float | None = None

    def after(self, former: Progress) -> Progress:
        """The same with what a search before it came to: whoever looks only now and then would never see its end."""
        return self if self.total else msgspec.structs.replace(former, stage=self.stage)


@dataclass(frozen=True)
class Manner:
    """How a run goes about it: whom it tells how far it is, and how its searches are carried out. Neither changes what it finds."""

    progress: Callable[[Progress], None]
    conduct: Conduct = ALONE


@dataclass(frozen=True)
class Chosen:
    """What a run settled on before it was judged: hyperparameters and window, and the answers they give on the hold-out. `trial`: the split of what is
    judged before the hold-out is asked.
    """

    window: Span
    split: Split
    trial: Split
    parameters: Parameters
    answers: Predictions
    candidate: Predictor
    scores: dict[str, float]
    searched: Searched
    decision: Decision | None = None


def choose_by_time(
    spec: RunSpec, fitter: Fitter, times: Times, end: Instant, manner: Manner, *, searched: Searched | None = None
) -> Chosen:
    """Hyperparameters first, on a window in the middle, where nothing is searched yet; then the window, each with a fit of its own."""
    train, rows = train_of(fitter.model), fitter.rows
    gap = gap_of(fitter.model, rows)
    windows = WINDOWS if train.window == "auto" else (train.window,)
    splits = {window: split(times, end, train.holdout_span, window, gap) for window in windows}
    check_holdout(fitter, splits[windows[0]])
    usable = _usable(splits)
    if searched is None:
        searched = _searched(spec, fitter, splits, times, end, manner)
    parameters = searched.best
    manner.progress(Progress(stage="fit"))
    fitted = {window: fitter.fit(splits[window], parameters, window=str(window)) for window in usable}
    held = rows.part(splits[usable[0]].holdout, splits[usable[0]].end)
    given = {window: predictor.predict(held.X) for window, predictor in fitted.items()}
    scores: dict[Span, float] = {}
    if len(windows) > 1:
        for window, each in fitted.items():
            found = score(fitter.model, held, given[window], each.signature.classes)
            # one that is not defined on these rows says nothing of a window, and no number of it is kept
            if np.isfinite(found):
                scores[window] = smoothed(spec.window_scores.get(str(window)), found)
    window = choose(scores) if scores else max(usable)
    shown = {str(each): value for each, value in scores.items()}
    trial = trial_at(fitter, times, end, window)
    chosen = Chosen(window, splits[window], trial, parameters, given[window], fitted[window], shown, searched)
    return (_since_change(spec, fitter, chosen, held, times=times, end=end) if train.window == "auto" else None) or chosen


def search_before(spec: RunSpec, fitter: Fitter, times: Times, end: Instant, manner: Manner, *, fits_after: int) -> Searched:
    """Hyperparameters as `choose_by_time` would find them for the hold-out that ends at `end`."""
    train, gap = train_of(fitter.model), gap_of(fitter.model, fitter.rows)
    windows = WINDOWS if train.window == "auto" else (train.window,)
    splits = {window: split(times, end, train.holdout_span, window, gap) for window in windows}
    check_holdout(fitter, splits[windows[0]])
    return _searched(spec, fitter, splits, times, end, manner, more=fits_after)


def _searched(
    spec: RunSpec, fitter: Fitter, splits: dict[Span, Split], times: Times, end: Instant, manner: Manner, *, more: int = 0
) -> Searched:
    """A search on the window in the middle. After it, each window is fitted, perhaps the rows since a change, what is released, and `more`."""
    usable = _usable(splits)
    after = len(usable) + 1 + bool(spec.changed_at) + more
    return _hyperparameters(spec, fitter, trial_at(fitter, times, end, usable[len(usable) // 2]), manner, fits_after=after)


def trial_at(fitter: Fitter, times: Times, end: Instant, window: Span) -> Split:
    """What is judged before the hold-out that ends at `end` is asked."""
    holdout, gap = train_of(fitter.model).holdout_span, gap_of(fitter.model, fitter.rows)
    return trial_split(times, end, holdout, window, gap, stops_by=fitter.stops_by)


def _hyperparameters(spec: RunSpec, fitter: Fitter, cut: Split, manner: Manner, *, fits_after: int) -> Searched:
    def tell(done: int, total: int, name: str, best: float | None) -> None:
        manner.progress(Progress(stage="search", done=done, total=total, objective=name, best=best))

    gap = gap_of(fitter.model, fitter.rows)
    return hyperparameters(spec, fitter, cut, gap=gap, fits_after=fits_after, tell=tell, conduct=manner.conduct)


def _usable(splits: dict[Span, Split]) -> list[Span]:
    """A short window of sparse rows is no candidate; if none has rows enough, the longest says so."""
    return [window for window, cut in splits.items() if cut.stop - cut.start >= MIN_TRAIN] or [list(splits)[-1]]


def choose_by_share(spec: RunSpec, fitter: Fitter, cut: Split, trial: Split, manner: Manner, *, fits_after: int) -> Chosen:
    """Hyperparameters, on rows that are not held out either; the window is all rows."""
    check_holdout(fitter, cut)
    searched = _hyperparameters(spec, fitter, trial, manner, fits_after=fits_after)
    manner.progress(Progress(stage="fit"))
    return fitted_on(fitter, cut, trial, searched, ALL_ROWS)


def fitted_on(fitter: Fitter, cut: Split, trial: Split, searched: Searched, window: Span) -> Chosen:
    """One fit, and its answers on the hold-out."""
    candidate = fitter.fit(cut, searched.best, window=str(window) if window else "all rows")
    held = fitter.rows.part(cut.holdout, cut.end)
    return Chosen(window, cut, trial, searched.best, candidate.predict(held.X), candidate, {}, searched)


def gap_of(model: Model, rows: Assembled) -> Span:
    """How long before a row the newest row lies whose label is known when the row is predicted."""
    return Span(rows.label_delay + model.framing.horizon)


def _since_change(spec: RunSpec, fitter: Fitter, chosen: Chosen, held: Part, *, times: Times, end: Instant) -> Chosen | None:
    """The same on the rows since the champion's loss rose, if there are enough and the hold-out shows that they are better to learn from."""
    start = int(np.searchsorted(times, spec.changed_at, side="left"))
    cut = chosen.split._replace(start=start, inner=max(start, chosen.split.inner), valid=max(start, chosen.split.valid))
    if not spec.changed_at or cut.stop - start < MIN_TRAIN:
        return None
    try:
        candidate = fitter.fit(cut, chosen.parameters, window="since the loss rose")
    except BadInput:
        return None  # one and the same label: nothing to learn from yet
    answers = candidate.predict(held.X)
    # one and the same class in so few rows: another task
    alike = candidate.signature.classes == chosen.candidate.signature.classes
    if not alike or not clearly_better(fitter.model, held, answers, chosen.answers, candidate.signature.classes):
        return None
    # what is released learns from all of them, the hold-out included
    trial = Split(*(max(start, border) for border in chosen.trial))
    return replace(chosen, window=Span(end - spec.changed_at), split=cut, trial=trial, answers=answers, candidate=candidate)


def check_holdout(fitter: Fitter, cut: Split) -> None:
    """Raise BadInput where too few rows are held out to judge on."""
    model, few = fitter.model, more_rows(fitter.rows.frame.height)
    held, holdout = cut.end - cut.holdout, model.train.held if model.train is not None else ""
    folds = model.train.folds if model.train is not None else 1
    if held < MIN_HOLDOUT:
        raise BadInput(
            f'model "{model.name}": the hold-out ({holdout}) has {held} rows',
            why=f"at least {MIN_HOLDOUT} labelled rows are needed to judge a candidate"
            if cut.end
            else "it begins before the first row"
            if folds > 1
            else "no row has a label that is known yet",
            fix=few or ("ask for fewer folds, or wait for labels" if folds > 1 else "lengthen holdout, or wait for labels"),
            code="too-few-rows",
        )
