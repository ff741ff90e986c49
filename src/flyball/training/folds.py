"""The fits that judge: one for each hold-out, with everybody's answers to its rows. Most models have one hold-out, the newest rows.

`rolling` has several, each after the other, and each fit knows what was known before its own; `group` and `stratified` hold out disjoint parts
in turn. The last fit is the candidate: it is compared, kept with the artifact, and fitted again on all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from flyball.clock import Instant, Span
from flyball.declare import codec as declarations
from flyball.declare.model import Model
from flyball.declare.reads import made_from
from flyball.errors import BadInput
from flyball.features.labels import label_data
from flyball.features.lots import LOT
from flyball.records.evaluation import FoldPart
from flyball.records.training import RunSpec
from flyball.training import parts
from flyball.training.choosing import Chosen, Manner, choose_by_share, choose_by_time, fitted_on, gap_of, search_before, trial_at
from flyball.training.deciding import with_threshold
from flyball.training.fitting import Fitter, train_of
from flyball.training.judging import estimates, holdout_frame
from flyball.training.predictor import Predictor
from flyball.training.rows import GROUP, ITEM, Assembled, assemble
from flyball.training.splits import Split, anchor, refit, split

Frames = Mapping[str, pl.DataFrame]
Champion = tuple[Predictor, pl.DataFrame]
FOLD = "__fold"
"""The column of the evidence that says which hold-out a row is of, where there are several; the last judges what is released."""


@dataclass(frozen=True)
class Fold:
    """A fit and its hold-out. `order`: the place of each of the fitter's rows among all rows, where they are arranged."""

    fitter: Fitter
    chosen: Chosen
    order: parts.Ints | None = None

    @property
    def rows(self) -> Assembled:
        """The rows that its split cuts."""
        return self.fitter.rows


def make_folds(spec: RunSpec, fitter: Fitter, known: int, manner: Manner) -> tuple[Fold, ...]:
    """Every fold of a run, oldest first, each answering from the threshold that costs choose. `known`: how many rows, from the first, had their label
    known.
    """
    return tuple(replace(each, chosen=with_threshold(each.fitter, each.chosen)) for each in _folds(spec, fitter, known, manner))


def _folds(spec: RunSpec, fitter: Fitter, known: int, manner: Manner) -> tuple[Fold, ...]:
    train = train_of(fitter.model)
    if train.by_share:
        made = [(replace(fitter, rows=part.rows), part) for part in parts.parts(fitter.rows, known, train, stops_by=fitter.stops_by)]
        # trials that an earlier attempt has kept are of one search
        apart = manner if len(made) == 1 else replace(manner, conduct=replace(manner.conduct, kept=None))
        left = range(len(made) - 1, -1, -1)
        return tuple(
            Fold(own, choose_by_share(spec, own, part.cut, part.trial, apart, fits_after=(spec.trials + 1) * later + 2), part.order)
            for (own, part), later in zip(made, left, strict=True)
        )
    times = fitter.rows.times[:known]
    end = anchor(times, spec.as_of, Span(fitter.rows.label_delay))
    if train.folds == 1:
        return (Fold(fitter, choose_by_time(spec, fitter, times, end, manner)),)
    gap, holdout = gap_of(fitter.model, fitter.rows), train.holdout_span
    ends = [end - place * holdout for place in range(train.folds - 1, 0, -1)]
    # what the oldest hold-out knows nothing of, no newer one does: hyperparameters have seen none of the rows that judge
    found = search_before(spec, fitter, times, ends[0], manner, fits_after=len(ends))
    newest = choose_by_time(spec, fitter, times, end, manner, searched=found)
    cuts = [(split(times, each, holdout, newest.window, gap), trial_at(fitter, times, each, newest.window)) for each in ends]
    older = [Fold(fitter, fitted_on(fitter, cut, trial, found, newest.window)) for cut, trial in cuts]
    return (*older, Fold(fitter, newest))


def final_split(fold: Fold, known: int, as_of: Instant) -> Split:
    """What is released is fitted on: all that the candidate was, and its hold-out."""
    train = train_of(fold.fitter.model)
    if train.by_share:
        return parts.refit(fold.chosen.split)
    times = fold.rows.times[:known]
    end = anchor(times, as_of, Span(fold.rows.label_delay))
    return refit(times, end, train.holdout_span, fold.chosen.window, gap_of(fold.fitter.model, fold.rows))


def hold_out(model: Model, folds: tuple[Fold, ...], champions: tuple[Champion | None, ...], *, compared: bool) -> pl.DataFrame:
    """The rows of all hold-outs with everybody's answers. `compared`: there is a champion, whose answers are null on rows that it has seen."""
    held = [_held(model, fold, champion) for fold, champion in zip(folds, champions, strict=True)]
    if len(held) > 1:
        held = [each.with_columns(pl.lit(place, pl.Int64).alias(FOLD)) for place, each in enumerate(held)]
    frame = pl.concat(held, how="diagonal_relaxed") if len(held) > 1 else held[0]
    if compared and "champion_value" not in frame.columns:
        frame = frame.with_columns(
            pl.lit(None, frame.schema["value"]).alias("champion_value"), pl.lit(None, frame.schema["score"]).alias("champion_score")
        )
    return frame.sort("__time", maintain_order=True) if len(held) > 1 else frame


def _held(model: Model, fold: Fold, champion: Champion | None) -> pl.DataFrame:
    """One hold-out with everybody's answers; the champion's are null on rows that it was fitted on, or whose labels it knew too early."""
    frame = holdout_frame(model, fold.chosen.answers, fold.rows, fold.chosen.split, champion=champion)
    if champion is None or train_of(model).by_share:
        return frame
    seen = pl.col("__time") <= champion[0].trained_until + gap_of(model, fold.rows)
    return frame.with_columns(pl.when(~seen).then(pl.col(name)).alias(name) for name in ("champion_value", "champion_score"))


def last_of(frame: pl.DataFrame, folds: tuple[Fold, ...]) -> pl.DataFrame:
    """The rows of the last hold-out, in the order of its fold's."""
    return frame.filter(pl.col(FOLD) == len(folds) - 1) if len(folds) > 1 else frame


def fold_parts(model: Model, frame: pl.DataFrame, folds: tuple[Fold, ...]) -> tuple[FoldPart, ...]:
    """Each fold by itself: how many rows it learned from and was judged on, and what it came to. Nothing of a single one."""
    if len(folds) == 1:
        return ()
    return tuple(
        FoldPart(
            rows=fold.chosen.split.stop - fold.chosen.split.start,
            holdout_rows=fold.chosen.split.end - fold.chosen.split.holdout,
            metrics=estimates(model, frame.filter(pl.col(FOLD) == place), fold.chosen.candidate.signature.classes),
        )
        for place, fold in enumerate(folds)
    )


def champions_of(
    champion: Predictor | None, model: Model, frames: Frames, spec: RunSpec, folds: tuple[Fold, ...]
) -> tuple[Champion | None, ...]:
    """For each fold the champion with its own features of the held-out rows, of which those that it has not seen; None: it has seen them all."""
    if champion is None:
        return (None,) * len(folds)
    theirs = None if _same_features(champion.model, model) else assemble_theirs(champion.model, frames, spec.as_of)
    if train_of(model).by_share:
        return (*(None for _ in folds[:-1]), _by_share(champion, model, folds[-1], theirs))
    return tuple(_by_time(champion, model, fold, theirs) for fold in folds)


def assemble_theirs(champion: Model, frames: Frames, as_of: Instant) -> Assembled:
    """The rows with the champion's own features. Raises BadInput where its data have a column no more."""
    try:
        return assemble(champion, frames, as_of=as_of)
    except (pl.exceptions.ColumnNotFoundError, BadInput):
        gone = [
            f'"{column}" of data set "{name}"'
            for name, dataset in made_from(champion).items()
            for column in dataset.columns
            if name in frames and column not in frames[name].columns
        ]
        if not gone:
            raise
        raise BadInput(
            f'model "{champion.name}": the champion cannot be asked about the rows that judge',
            why=f"it reads {', '.join(gone)}, which is declared no more",
            fix="keep the column declared, and leave it out of the model (inputs=[…]); or declare the changed model under a new name",
        ) from None


def _by_time(champion: Predictor, model: Model, fold: Fold, theirs: Assembled | None) -> Champion | None:
    cut, rows = fold.chosen.split, fold.rows
    first, last = int(rows.times[cut.holdout]), int(rows.times[cut.end - 1])
    gap = gap_of(model, rows)
    if champion.trained_until + gap >= first:
        # the released champion was fitted on labels that were not known when these rows were predicted; the one judged before it on fewer of them
        champion = champion.judged or champion
    if champion.trained_until + gap >= last:
        return None
    wanted = rows.frame[cut.holdout : cut.end]
    return champion, wanted.select(rows.features) if theirs is None else their_rows(model, wanted, champion.model, theirs)


def _by_share(champion: Predictor, model: Model, fold: Fold, theirs: Assembled | None) -> Champion | None:
    """The champion as it was judged, where it held out the rows that judge here: what is released has seen every row."""
    train, cut = champion.model.train, fold.chosen.split
    if champion.judged is None or train is None or not train.by_share:
        return None
    assert fold.order is not None, "rows that are split by share are arranged"
    rows = fold.rows.frame
    if theirs is not None:
        if theirs.frame.height < len(fold.order):
            raise _other_rows(model)
        rows = theirs.frame.select(pl.all().gather(pl.Series(fold.order)))
        if not _same_rows(model, fold.rows.frame, champion.model, rows):
            raise _other_rows(model)
    names = fold.rows.features if theirs is None else theirs.features
    seen = ~parts.held(rows[LOT][cut.holdout : cut.end].to_numpy(), train, train.folds - 1)
    if seen.any():
        return None
    return champion.judged, rows[cut.holdout : cut.end].select(names)


def their_rows(model: Model, wanted: pl.DataFrame, champion: Model, theirs: Assembled) -> pl.DataFrame:
    """A champion's own features of the very rows in `wanted`, which are assembled rows of `model`: those of the same moments, never of the same places.

    Its label may be known of other rows than the candidate's. Raises BadInput where the rows cannot be matched.
    """
    held = theirs.frame.filter(pl.col("__time").is_in(wanted["__time"].unique().implode()))
    if not _same_rows(model, wanted, champion, held):
        raise _other_rows(model)
    return held.select(theirs.features)


def _same_rows(model: Model, rows: pl.DataFrame, champion: Model, theirs: pl.DataFrame) -> bool:
    """Whether both models' assembled rows are of the same moments in the same order. Where rows share a moment, lists and items tell them apart, or
    ids; where there are none, both models know the same label, and so have lost the same rows.
    """
    told: tuple[str, ...] = ("__time",)
    if "ranking" in (model.task, champion.task):
        told = ("__time", GROUP, ITEM)
    elif rows["__time"].is_duplicated().any():
        if model.data.id and model.data.id == champion.data.id:
            told = ("__time", "__id")
        elif (model.label_column, label_data(model)) != (champion.label_column, label_data(champion)):
            return False
    return all(name in rows.columns and name in theirs.columns and rows[name].to_list() == theirs[name].to_list() for name in told)


def _other_rows(model: Model) -> BadInput:
    """What is told of a champion whose rows are others."""
    return BadInput(
        f'model "{model.name}": the champion cannot be judged on the same rows',
        why="its data set or label differs from the candidate's, so their rows do not match",
        fix="declare the changed model under a new name",
    )


def _same_features(one: Model, other: Model) -> bool:
    return one is other or _version(one) == _version(other)


def _version(model: Model) -> str:
    return declarations.digests(declarations.encode(model)).version
