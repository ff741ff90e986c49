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
import polars as pl
import rfc8785

from flyball.clock import Instant
from flyball.declare.live import request_slices
from flyball.declare.model import Model
from flyball.evaluation.counts_columns import held
from flyball.evaluation.counts_labels import plain
from flyball.evaluation.expected import expected
from flyball.evaluation.reference import reference
from flyball.evaluation.told import notes as notes_of
from flyball.features.assemble import watched_columns
from flyball.records import codec
from flyball.records.estimates import Estimate
from flyball.records.evaluation import Packaging
from flyball.records.evidence import Bins
from flyball.records.training import RunResult, RunSpec
from flyball.store.blobs import Blobs
from flyball.training import artifact
from flyball.training.choosing import Manner, Progress
from flyball.training.cost import meter_from_now
from flyball.training.deciding import take
from flyball.training.evaluating import Evaluated, Subject, evaluate
from flyball.training.fitting import FitCache, Fitter
from flyball.training.folds import Fold, champions_of, final_split, fold_parts, hold_out, last_of, make_folds
from flyball.training.judging import Judged, judge_holdout, parquet
from flyball.training.packaging import choose as choose_form
from flyball.training.predictor import Predictor
from flyball.training.remarks import remarks
from flyball.training.requested import requested
from flyball.training.rows import Assembled, assemble, taught
from flyball.training.search import failures
from flyball.training.searching import ALONE, Conduct
from flyball.training.sections import SECTIONS, asked
from flyball.training.splits import Split
from flyball.training.suites import ask_suites, cases_of, stored_suites

Frames = Mapping[str, pl.DataFrame]


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
    began, meter = time.process_time(), conduct.meter or meter_from_now()
    progress(Progress(stage="assemble"))
    rows = (rows if rows is not None else assemble(model, frames, as_of=spec.as_of)).as_known(spec.as_of)
    known = rows.known_by(spec.as_of) if model.data.time else rows.frame.height
    folds = make_folds(
        spec, Fitter(model, rows, spec.seed, cache if cache is not None else FitCache(64), spec.as_of), known, Manner(progress, conduct)
    )
    chosen, fitter = folds[-1].chosen, folds[-1].fitter
    against = champions_of(champion, model, frames, spec, folds)
    frame = hold_out(model, folds, against, compared=champion is not None)
    progress(Progress(stage="refit"))
    final = final_split(folds[-1], known, spec.as_of)
    released = _released(folds[-1], final, until=int(rows.times[(known if fitter.rows.arranged else final.stop) - 1]))
    store = blobs if package else None
    made, told = "", None
    if store is not None:
        progress(Progress(stage="package"))
        made, told = _artifact(spec, released, fitter.rows, final, store, chosen.split.holdout)
    progress(Progress(stage="evaluate"))
    held, sides = last_of(frame, folds), (chosen.candidate, released)
    subject = Subject(spec, model, frames, fitter, chosen.split, *sides, held, against[-1], artifact=made, blobs=store, packaging=told)
    evaluated = evaluate(replace(subject, cost=meter.read(), parameters=chosen.parameters), asked(model) if store is None else SECTIONS)
    evaluated = replace(
        evaluated, report=msgspec.structs.replace(evaluated.report, folds=fold_parts(model, frame, folds), decision=chosen.decision)
    )
    progress(Progress(stage="judge"))
    suites = ask_suites(model, chosen.candidate, frames, spec.as_of, spec.unread, learned=taught(model, fitter.rows, chosen.split))
    judged = judge_holdout(model, frame, chosen.candidate.signature.classes, evaluated.beside(_champions(spec, store)), suites)
    result = msgspec.structs.replace(_result(judged, evaluated, released, folds, final=final), holdout_rows=frame.height)
    if store is not None:
        trained = fitter.rows.frame[final.start : final.end]
        bins = drift_reference(model, requested(model, frames, trained, spec.as_of), trained, frame)
        result = _stored(result, evaluated, subject, made, frame=frame, bins=bins, blobs=store)
        result = msgspec.structs.replace(
            result, suites=stored_suites(suites, store), suites_of=cases_of(model, suites, frames, spec.datasets)
        )
        said = remarks(fitter, released, final, chosen.parameters, frame, spec.parameters)
        notes = (chosen.searched.ended, failures(chosen.searched.trials), *notes_of(evaluated.report), *said)
        result = msgspec.structs.replace(result, notes=tuple(filter(None, notes)))
    return Performed(msgspec.structs.replace(result, cpu_s=time.process_time() - began, cost=meter.read()), released, frame)


def _released(fold: Fold, final: Split, *, until: Instant) -> Predictor:
    """The candidate fitted once more, with its hold-out; it keeps the candidate by it."""
    made = fold.fitter.fit(final, fold.chosen.parameters, window=str(fold.chosen.window) if fold.chosen.window else "all rows")
    made.judged, made.trained_until = fold.chosen.candidate, until
    # rows that are split by share lie in no order of time: of these it may have seen any
    newest = int(fold.rows.times[fold.chosen.split.stop - 1])
    made.judged.trained_until = until if fold.fitter.rows.arranged else newest
    take(made, fold.chosen.candidate.signature.threshold)
    return made


def _champions(spec: RunSpec, blobs: Blobs | None) -> Mapping[str, Estimate]:
    """What the champion's own run measured."""
    if blobs is None or not spec.champion_result:
        return {}
    return codec.decode(blobs.get(spec.champion_result), RunResult).measured


def _result(judged: Judged, evaluated: Evaluated, released: Predictor, folds: tuple[Fold, ...], *, final: Split) -> RunResult:
    fitter, chosen = folds[-1].fitter, folds[-1].chosen
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
        page_bound=judged.page_bound,
        page_swing=judged.page_swing,
        fit_s=sum(each.cpu_s for each in {id(fold.fitter): fold.fitter for fold in folds}.values()),
        trials=len(chosen.searched.trials),
        history=chosen.searched.trials,
        logged=fitter.log.values,
        window_scores=chosen.scores,
        measured=evaluated.measured,
        unmeasured=evaluated.unmeasured,
    )


def _artifact(spec: RunSpec, released: Predictor, rows: Assembled, final: Split, blobs: Blobs, holdout: int) -> tuple[str, Packaging]:
    """Store what is released in the form that serves best, and load it again, as whoever serves it will."""
    packed = choose_form(released, rows.frame[: final.end].select(rows.features), holdout, spec.form)
    trained = rows.frame[final.start : final.end].select(rows.features)
    golden = trained.tail(artifact.GOLDEN_ROWS)
    released.background = artifact.background_of(trained, spec.seed)
    made = artifact.pack(released, golden, blobs, code=spec.code, declaration=spec.declaration, file=spec.file, graph=packed.graph)
    artifact.check_loads(made, released.model, blobs)
    return made, packed.told


def _stored(
    result: RunResult, evaluated: Evaluated, subject: Subject, made: str, *, frame: pl.DataFrame, bins: list[Bins], blobs: Blobs
) -> RunResult:
    """The result with its artifact, the hold-out as evidence, the report, the reference of drift, and what is expected of the answers."""
    return msgspec.structs.replace(
        result,
        artifact=made,
        fit_digest=artifact.fit_digest(made, blobs),
        evidence=blobs.put(parquet(frame)),
        report=blobs.put(codec.encode(evaluated.report)),
        reference=blobs.put(msgspec.json.encode(bins)),
        expected=blobs.put(codec.encode(expected(subject.answers, bins, _watched(subject)))),
    )


def _watched(subject: Subject) -> pl.DataFrame:
    """The watched columns of the held-out rows that have a label, and what was answered."""
    rows = subject.rows.frame[subject.split.holdout : subject.split.end]
    # a model may be asked by keys alone, and then watches no column
    columns = rows.select(*watched_columns(subject.model, rows), subject.frame["value"].alias("prediction"))
    return columns.filter(subject.frame["y"].is_not_null())


def drift_reference(model: Model, sent: pl.DataFrame, trained: pl.DataFrame, holdout: pl.DataFrame) -> list[Bins]:
    """What later inputs, labels and answers are compared with: what was `requested` while a version learned, the labels of the rows that it was fitted on,
    and what it answered on its hold-out.
    """
    trained, holdout = (each if each["__time"].is_sorted() else each.sort("__time") for each in (trained, holdout))
    parts = {name: name for name in request_slices(model) if name in sent.columns and f"__slice_{name}" in trained.columns}
    # the place of a row says nothing of how days differ
    time = "__time" if model.data.time else None
    found = [*reference(sent, sent.columns[1:], time=time, slices=parts)]
    if "label" not in sent.columns:
        # as matured labels are counted; an input of that name keeps it
        labels = trained.select("__time", plain(trained["__y"]).alias("label"), *(pl.col(f"__slice_{name}").alias(name) for name in parts))
        found += reference(labels, ["label"], time=time, slices=parts)
    # what the hold-out itself is made of may have the name of a slice
    seen = {name: name for name in parts if name in holdout.columns and held(name) == name and not name.startswith(("base_", "champion_"))}
    # as live answers are counted: classes that are true and false are 1 and 0
    answered = holdout.select("__time", plain(holdout["value"]).alias("prediction"), *seen)
    return [*found, *reference(answered, ["prediction"], time=time, slices=seen)]
