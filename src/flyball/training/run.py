"""One training run from rows to a judged, packaged result. The same function runs in a job and, hundreds of times, in a backtest.

Order (docs/statistics.md §5): hold out the newest rows, choose hyperparameters on a slice before them, choose the window, judge the
candidate against the champion and the baseline on the hold-out, then fit again with the hold-out included: that is what is released.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import polars as pl
import rfc8785

from flyball.clock import Instant, Span
from flyball.declare import codec as declarations
from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.evaluation.reference import reference
from flyball.features.assemble import watched_columns
from flyball.records import codec
from flyball.records.base import Record
from flyball.records.estimates import Estimate
from flyball.records.evaluation import Packaging
from flyball.records.monitoring import Bins
from flyball.records.training import RunResult, RunSpec
from flyball.store.blobs import Blobs
from flyball.training import artifact
from flyball.training.calls import Parameters, Part
from flyball.training.evaluating import Evaluated, Subject, evaluate
from flyball.training.fitting import FitCache, Fitter, train_of
from flyball.training.judging import Judged, holdout_frame, judge_holdout, parquet, score
from flyball.training.packaging import choose as choose_form
from flyball.training.predictor import Predictions, Predictor
from flyball.training.remarks import remarks
from flyball.training.rows import MIN_HOLDOUT, MIN_TRAIN, Assembled, assemble
from flyball.training.search import Searched
from flyball.training.searching import ALONE, Conduct, hyperparameters
from flyball.training.sections import SECTIONS, asked
from flyball.training.splits import WINDOWS, Split, Times, anchor, choose, refit, smoothed, split

Frames = Mapping[str, pl.DataFrame]


class Progress(Record, frozen=True):
    """How far a run is. `best` is the objective's best value so far, as people read it."""

    stage: str
    done: int = 0
    total: int = 0
    objective: str = ""
    best: float | None = None


@dataclass(frozen=True)
class Performed:
    """A run's result with what a caller in the same process goes on with: the released predictor and the judged hold-out."""

    result: RunResult
    predictor: Predictor
    holdout: pl.DataFrame


def no_progress(_progress: Progress) -> None:
    """For callers that do not look."""


def memo_key(spec: RunSpec) -> str:
    """The name of a run's result: equal specs give equal results."""
    return hashlib.sha256(rfc8785.dumps(codec.plain(spec))).hexdigest()


def execute(
    spec: RunSpec,
    model: Model,
    frames: Frames,
    blobs: Blobs,
    *,
    champion: Predictor | None = None,
    progress: Callable[[Progress], None] = no_progress,
    rows: Assembled | None = None,
    package: bool = True,
    cache: FitCache | None = None,
    conduct: Conduct = ALONE,
) -> RunResult:
    """Make the run that `spec` says; see `perform`."""
    return perform(
        spec, model, frames, blobs, champion=champion, progress=progress, rows=rows, package=package, cache=cache, conduct=conduct
    ).result


def perform(
    spec: RunSpec,
    model: Model,
    frames: Frames,
    blobs: Blobs | None,
    *,
    champion: Predictor | None = None,
    progress: Callable[[Progress], None] = no_progress,
    rows: Assembled | None = None,
    package: bool = True,
    cache: FitCache | None = None,
    conduct: Conduct = ALONE,
) -> Performed:
    """Make the run that `spec` says of the real `model` (with functions) and its data sets' `frames` by name.

    `rows` saves assembling them; `conduct` says how a search is carried out; `package=False` stores nothing (`artifact`, `evidence`, `reference` stay empty, `blobs` may be
    None). Raises BadInput, Refused or DeclarationError with the reason for which there is no result.
    """
    began = time.process_time()
    train = train_of(model)
    progress(Progress(stage="assemble"))
    rows = (rows if rows is not None else assemble(model, frames, as_of=spec.as_of)).as_known(spec.as_of)
    known = rows.known_by(spec.as_of)
    fitter = Fitter(model, rows, spec.seed, cache if cache is not None else FitCache(64), spec.as_of)
    end = anchor(rows.times[:known], spec.as_of, Span(rows.label_delay))
    chosen = _choose(spec, fitter, rows.times[:known], end, progress=progress, conduct=conduct)
    against = _champion(champion, model, frames, rows=rows, cut=chosen.split, spec=spec)
    frame = holdout_frame(model, chosen.answers, rows, chosen.split, champion=against)
    progress(Progress(stage="refit"))
    final = refit(rows.times[:known], end, train.holdout, chosen.window, _gap(model, rows))
    released = fitter.fit(final, chosen.parameters, window=str(chosen.window))
    released.judged = chosen.candidate
    released.trained_until = int(rows.times[final.stop - 1])
    store = blobs if package else None
    made, told = "", None
    if store is not None:
        progress(Progress(stage="package"))
        made, told = _artifact(spec, released, rows, final, store, chosen.split.holdout)
    progress(Progress(stage="evaluate"))
    subject = Subject(
        spec, model, frames, fitter, chosen.split, chosen.candidate, released, frame, against, artifact=made, blobs=store, packaging=told
    )
    evaluated = evaluate(subject, asked(model) if store is None else SECTIONS)
    progress(Progress(stage="judge"))
    judged = judge_holdout(model, frame, chosen.candidate.signature.classes, evaluated.beside(_champions(spec, store)))
    result = _result(judged, evaluated, released, fitter, chosen=chosen, final=final)
    if store is not None:
        result = _stored(result, evaluated, released, made, frame=frame, trained=rows.frame[final.start : final.end], blobs=store)
        notes = (chosen.searched.ended, *remarks(fitter, released, final, chosen.parameters, frame))
        result = msgspec.structs.replace(result, notes=tuple(filter(None, notes)))
    return Performed(msgspec.structs.replace(result, cpu_s=time.process_time() - began), released, frame)


@dataclass(frozen=True)
class Chosen:
    """What a run settled on before it was judged: hyperparameters and window, and the answers they give on the hold-out."""

    window: Span
    split: Split
    parameters: Parameters
    answers: Predictions
    candidate: Predictor
    scores: dict[str, float]
    searched: Searched


def _choose(spec: RunSpec, fitter: Fitter, times: Times, end: Instant, *, progress: Callable[[Progress], None], conduct: Conduct) -> Chosen:
    """Hyperparameters first, on a window in the middle; then the window, each with a fit of its own."""
    train, rows = train_of(fitter.model), fitter.rows
    gap = _gap(fitter.model, rows)
    windows = WINDOWS if train.window == "auto" else (train.window,)
    splits = {window: split(times, end, train.holdout, window, gap) for window in windows}
    _check_holdout(fitter.model, splits[windows[0]], train.holdout)
    # a short window of sparse rows is no candidate; if none has rows enough, the longest says so
    usable = [window for window in windows if splits[window].stop - splits[window].start >= MIN_TRAIN] or [windows[-1]]
    middle = splits[usable[len(usable) // 2]]

    def tell(done: int, total: int, name: str, best: float | None) -> None:
        progress(Progress(stage="search", done=done, total=total, objective=name, best=best))

    # after it, each window is fitted, perhaps the rows since a change, and what is released
    searched = hyperparameters(
        spec, fitter, middle, gap=gap, fits_after=len(usable) + 1 + bool(spec.changed_at), tell=tell, conduct=conduct
    )
    parameters = searched.best
    progress(Progress(stage="fit"))
    fitted = {window: fitter.fit(splits[window], parameters, window=str(window)) for window in usable}
    held = rows.part(splits[usable[0]].holdout, splits[usable[0]].end)
    given = {window: predictor.predict(held.X) for window, predictor in fitted.items()}
    scores: dict[Span, float] = {}
    if len(windows) > 1:
        for window, each in fitted.items():
            found = score(fitter.model, held, given[window], each.signature.classes)
            scores[window] = smoothed(spec.window_scores.get(str(window)), found)
    window = choose(scores) if scores else usable[0]
    shown = {str(each): value for each, value in scores.items()}
    chosen = Chosen(window, splits[window], parameters, given[window], fitted[window], shown, searched)
    return (_since_change(spec, fitter, chosen, held, times=times, end=end) if train.window == "auto" else None) or chosen


def _gap(model: Model, rows: Assembled) -> Span:
    """How long before a row the newest row lies whose label is known when the row is predicted."""
    return Span(rows.label_delay + model.framing.horizon)


def _since_change(spec: RunSpec, fitter: Fitter, chosen: Chosen, held: Part, *, times: Times, end: Instant) -> Chosen | None:
    """The same on the rows since the champion's loss rose, if there are enough and the hold-out finds them better to learn from."""
    start = int(np.searchsorted(times, spec.changed_at, side="left"))
    cut = chosen.split._replace(start=start, inner=max(start, chosen.split.inner), valid=max(start, chosen.split.valid))
    if not spec.changed_at or cut.stop - start < MIN_TRAIN:
        return None
    try:
        candidate = fitter.fit(cut, chosen.parameters, window="since the loss rose")
    except BadInput:
        return None  # one and the same label: nothing to learn from yet
    answers = candidate.predict(held.X)
    ours, theirs = (
        score(fitter.model, held, each, by.signature.classes) for each, by in ((answers, candidate), (chosen.answers, chosen.candidate))
    )
    if ours <= theirs:
        return None
    # what is released learns from all of them, the hold-out included
    return replace(chosen, window=Span(end - spec.changed_at), split=cut, answers=answers, candidate=candidate)


def _check_holdout(model: Model, cut: Split, holdout: Span) -> None:
    held = cut.end - cut.holdout
    if held < MIN_HOLDOUT:
        raise BadInput(
            f'model "{model.name}": the hold-out ({holdout}) has {held} rows',
            why=f"at least {MIN_HOLDOUT} labelled rows are needed to judge a candidate"
            if cut.end
            else "no row has a label that is known yet",
            fix="lengthen holdout, or wait for labels",
            code="too-few-rows",
        )


def _champion(
    champion: Predictor | None, model: Model, frames: Frames, *, rows: Assembled, cut: Split, spec: RunSpec
) -> tuple[Predictor, pl.DataFrame] | None:
    """The champion with its own features of the held-out rows: its declaration may make them otherwise than the candidate's."""
    if champion is None:
        return None
    if champion.judged is not None and champion.trained_until + _gap(model, rows) >= rows.times[cut.holdout]:
        # the released champion was fitted on labels that were not known when these rows were predicted; the one judged before it was not
        champion = champion.judged
    if champion.model is model or _same_features(champion.model, model):
        return champion, rows.frame[cut.holdout : cut.end].select(rows.features)
    theirs = assemble(champion.model, frames, as_of=spec.as_of)
    wanted = rows.frame[cut.holdout : cut.end]
    held = theirs.frame.filter(pl.col("__time").is_between(wanted["__time"][0], wanted["__time"][-1]))
    if held["__time"].to_list() != wanted["__time"].to_list():
        raise BadInput(
            f'model "{model.name}": the champion cannot be judged on the same rows',
            why="its data set or label differs from the candidate's, so their rows do not match",
            fix="declare the changed model under a new name",
        )
    return champion, held.select(theirs.features)


def _same_features(one: Model, other: Model) -> bool:
    return declarations.digests(declarations.encode(one)).version == declarations.digests(declarations.encode(other)).version


def _champions(spec: RunSpec, blobs: Blobs | None) -> Mapping[str, Estimate]:
    """What the champion's own run measured."""
    if blobs is None or not spec.champion_result:
        return {}
    return codec.decode(blobs.get(spec.champion_result), RunResult).measured


def _result(judged: Judged, evaluated: Evaluated, released: Predictor, fitter: Fitter, *, chosen: Chosen, final: Split) -> RunResult:
    return RunResult(
        artifact="",
        signature=released.signature,
        parameters=fitter.defaults | chosen.parameters,
        window=chosen.window,
        rows=final.stop - final.start,
        holdout_rows=chosen.split.end - chosen.split.holdout,
        metrics=judged.metrics,
        baseline=judged.baseline,
        champion=judged.champion,
        by_slice=judged.by_slice,
        verdicts=judged.verdicts,
        loss_bound=judged.loss_bound,
        loss_cap=judged.loss_cap,
        fit_s=fitter.cpu_s,
        trials=len(chosen.searched.trials),
        history=chosen.searched.trials,
        logged=fitter.log.values,
        window_scores=chosen.scores,
        measured=evaluated.measured,
        unmeasured=evaluated.unmeasured,
    )


def _artifact(spec: RunSpec, released: Predictor, rows: Assembled, final: Split, blobs: Blobs, holdout: int) -> tuple[str, Packaging]:
    """Store what is released in the form that serves best, and load it again, as whoever serves it will."""
    packed = choose_form(released, rows.frame[: final.end].select(rows.features), holdout)
    trained = rows.frame[final.start : final.end].select(rows.features)
    golden = trained.tail(artifact.GOLDEN_ROWS)
    released.background = artifact.background_of(trained, spec.seed)
    made = artifact.pack(released, golden, blobs, code=spec.code, declaration=spec.declaration, file=spec.file, graph=packed.graph)
    artifact.check_loads(made, released.model, blobs)
    return made, packed.told


def _stored(
    result: RunResult, evaluated: Evaluated, released: Predictor, made: str, *, frame: pl.DataFrame, trained: pl.DataFrame, blobs: Blobs
) -> RunResult:
    """The result with its artifact, the hold-out as evidence, the report, and the reference of drift."""
    bins = drift_reference(released.model, trained, frame)
    return msgspec.structs.replace(
        result,
        artifact=made,
        fit_digest=artifact.fit_digest(made, blobs),
        evidence=blobs.put(parquet(frame)),
        report=blobs.put(codec.encode(evaluated.report)),
        reference=blobs.put(msgspec.json.encode(bins)),
    )


def drift_reference(model: Model, trained: pl.DataFrame, holdout: pl.DataFrame) -> list[Bins]:
    """What later inputs and answers are compared with: the rows a version was fitted on, and what it answered on its hold-out."""
    sent = trained.select("__time", *watched_columns(model, trained))
    answered = holdout.select("__time", pl.col("value").alias("prediction"))
    return [*reference(sent, sent.columns[1:]), *reference(answered, ["prediction"])]
