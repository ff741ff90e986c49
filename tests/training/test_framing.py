"""What is known later than T − horizon reaches no answer to the row at T: not through features, fits, the champion, or the baseline."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.declare.data import Dataset
from flyball.declare.model import Framing, Model
from flyball.declare.views import FeatureView, Window
from flyball.features.assemble import training_rows
from flyball.features.fields import last_known_label
from flyball.training.fitting import FitCache, Fitter
from flyball.training.judging import holdout_frame
from flyball.training.rejudge import rejudge
from flyball.training.rows import Assembled, assemble
from flyball.training.run import Performed, perform
from flyball.training.splits import split, trial_split

from .conftest import HOUR, Project, end_of

DAY = 24 * HOUR
VALUES = ("price", "up")
"""What the market data set knows at a row's own time."""


def poisoned(frame: pl.DataFrame, after: int, *, keep: int | None = None) -> pl.DataFrame:
    """The rows with other values wherever they were not known at `after`; those of the row at time `keep` stay."""
    time = pl.col("ts").cast(pl.Int64)
    other = (time > after) & (pl.lit(value=True) if keep is None else time != keep)
    return frame.with_columns(
        pl.when(other).then(1 - pl.col("up")).otherwise(pl.col("up")).alias("up"),
        pl.when(other).then(99 - pl.col("price")).otherwise(pl.col("price")).alias("price"),
    )


def first_held_out(made: Performed, project: Project) -> tuple[int, int]:
    """(T, T − horizon) of the first row that judges."""
    first = int(made.holdout["__time"][0])
    return first, first - int(project.model.framing.horizon)


def answers(frame: pl.DataFrame) -> dict[str, object]:
    """What everybody answered to the first row that judges."""
    return {name: value for name, value in frame.row(0, named=True).items() if name not in ("y", "__slice_hour")}


def test_no_feature_of_a_row_changes_with_what_is_known_later(price) -> None:
    [frame] = price.frames.values()
    rows = training_rows(price.model, price.frames, as_of=price.spec().as_of)
    for place in (100, 333, 700, rows.height - 1):
        row = rows.row(place, named=True)
        moment = row["__time"] - int(price.model.framing.horizon)
        again = training_rows(price.model, {"market": poisoned(frame, moment, keep=row["__time"])}, as_of=price.spec().as_of)
        assert again.row(place, named=True) == row


def test_the_poison_would_be_seen_if_anything_looked_later_than_the_horizon(price) -> None:
    [frame] = price.frames.values()
    near = price.model.replace(framing=Framing("test", horizon="3h"))
    rows = training_rows(near, price.frames, as_of=price.spec().as_of)
    row = rows.row(700, named=True)
    again = training_rows(near, {"market": poisoned(frame, row["__time"] - 4 * HOUR, keep=row["__time"])}, as_of=price.spec().as_of)
    assert again.row(700, named=True) != row


def test_neither_candidate_nor_champion_nor_baseline_answers_from_labels_known_later(price) -> None:
    [frame] = price.frames.values()
    spec = price.spec(parameters={"C": 1.0}, champion_version="1.0.0")
    champion = perform(price.spec(parameters={"C": 0.1}), price.model, price.frames, None, package=False).predictor
    made = perform(spec, price.model, price.frames, None, package=False, champion=champion)
    first, moment = first_held_out(made, price)
    later = {"market": poisoned(frame, moment, keep=first)}
    champion = perform(price.spec(parameters={"C": 0.1}), price.model, later, None, package=False).predictor
    again = perform(spec, price.model, later, None, package=False, champion=champion)
    assert {"value", "score", "base_value", "champion_value", "champion_score"} <= set(made.holdout.columns)
    assert answers(again.holdout) == answers(made.holdout)
    assert again.holdout["y"].to_list() != made.holdout["y"].to_list(), "the labels after it are others"


def test_what_searches_hyperparameters_never_fits_on_labels_that_its_validation_could_not_know(price) -> None:
    spec = price.spec()
    rows = assemble(price.model, price.frames, as_of=spec.as_of)
    fitter = Fitter(price.model, rows, 0, FitCache(), spec.as_of)
    gap = Span(rows.label_delay + price.model.framing.horizon)
    cut = trial_split(rows.times, int(rows.times[-1]) + 1, Span(7 * DAY), Span(28 * DAY), gap, stops_by=False)
    [frame] = price.frames.values()
    moment = int(rows.times[cut.holdout]) - int(gap)
    changed = assemble(price.model, {"market": poisoned(frame, moment)}, as_of=spec.as_of)
    other = Fitter(price.model, changed, 0, FitCache(), spec.as_of)
    asked = rows.frame[cut.holdout : cut.holdout + 1].select(rows.features)
    one, two = (each.fit(cut, {"C": 1.0}).predict(asked).score for each in (fitter, other))
    assert one is not None
    assert two is not None
    assert one[0] == two[0]


def test_a_version_judged_again_has_a_baseline_that_knew_no_later_label(price) -> None:
    [frame] = price.frames.values()
    end = price.spec().as_of
    first = price.spec(as_of=end - 5 * DAY, parameters={"C": 1.0})
    made = perform(first, price.model, price.frames, None, package=False)

    def judged_again(frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
        rows = assemble(price.model, frames, as_of=end)
        spec = msgspec.structs.replace(first, as_of=end)
        _, found = rejudge(spec, price.model, rows, made.result, candidate=made.predictor, champion=None, earlier=made.holdout)
        return found[made.holdout.height :]

    new = judged_again(price.frames)
    time = int(new["__time"][0])
    again = judged_again({"market": poisoned(frame, time - int(price.model.framing.horizon), keep=time)})
    assert answers(again) == answers(new)


def test_the_persistence_baseline_answers_with_the_newest_label_known_at_the_moment_of_prediction(price) -> None:
    assert last_known_label(price.model) == "up_last"
    rows = assemble(price.model, price.frames, as_of=price.spec().as_of)
    [frame] = price.frames.values()
    known = dict(zip(frame["ts"].cast(pl.Int64), frame["up"], strict=True))
    moments = rows.times[50:] - int(price.model.framing.horizon)
    assert rows.frame["up_last"][50:].to_list() == [known[moment] for moment in moments.tolist()]


def arrived_late(project: Project, delay: int = 2 * DAY) -> tuple[Model, dict[str, pl.DataFrame]]:
    """Every third row arrives two days after its time; the label of one is known when it arrives, and not before."""
    [frame] = project.frames.values()
    late = np.where(np.arange(frame.height) % 3 == 0, delay, 0)
    arrived = (frame["ts"].cast(pl.Int64) + pl.Series(late)).cast(pl.Datetime("us")).alias("arrived")
    data = project.model.data
    own = Dataset("market", source="data/market.csv", time="ts", arrived="arrived", columns=data.columns)
    return project.model.replace(data=own, features=()), {"market": frame.with_columns(arrived)}


@pytest.fixture
def late(price) -> tuple[Project, Model, dict[str, pl.DataFrame], Assembled]:
    model, frames = arrived_late(price)
    return price, model.replace(transforms=None), frames, assemble(model.replace(transforms=None), frames, as_of=2**52)


def test_a_run_in_history_sees_no_row_that_arrived_after_it(late) -> None:
    project, model, frames, rows = late
    as_of = end_of(frames["market"].head(900))
    spec = project.spec(as_of=as_of, parameters={"C": 1.0})
    whole = perform(spec, model, frames, None, package=False, rows=rows)
    then = {"market": frames["market"].filter(pl.col("arrived").cast(pl.Int64) <= as_of)}
    alone = perform(spec, model, then, None, package=False)
    assert whole.holdout.equals(alone.holdout)
    assert whole.result.rows == alone.result.rows < 900


def test_a_candidate_learns_from_no_row_that_arrived_after_its_first_question(late) -> None:
    project, model, frames, rows = late
    cut = split(rows.times, int(rows.times[-1]) + 1, Span(7 * DAY), Span(28 * DAY), Span(4 * HOUR))
    moment = int(rows.times[cut.holdout]) - int(model.framing.horizon)
    part = rows.part(cut.start, cut.stop, known_by=moment)
    within = rows.frame[cut.start : cut.stop]
    assert part.X.height == within.filter(pl.col("__known") <= moment).height < within.height
    changed = frames["market"].with_columns(
        pl.when(pl.max_horizontal("ts", "arrived").cast(pl.Int64) > moment).then(1 - pl.col("up")).otherwise(pl.col("up")).alias("up")
    )
    one = perform(project.spec(parameters={"C": 1.0}), model, frames, None, package=False).holdout
    two = perform(project.spec(parameters={"C": 1.0}), model, {"market": changed}, None, package=False).holdout
    assert answers(one) == answers(two)


def test_the_hold_out_of_a_model_without_a_champion_has_the_baseline_of_rows_known_by_then(late) -> None:
    project, model, frames, _ = late
    made = perform(project.spec(parameters={"C": 1.0}), model, frames, None, package=False)
    moment = int(made.holdout["__time"][0]) - int(model.framing.horizon)
    rows = assemble(model, frames, as_of=project.spec().as_of)
    cut = split(rows.times, int(rows.times[-1]) + 1, Span(7 * DAY), made.result.window, Span(4 * HOUR))
    known = rows.frame[cut.start : cut.stop].filter(pl.col("__known") <= moment)
    frame = holdout_frame(model, made.predictor.predict(rows.part(cut.holdout, cut.end).X), rows, cut, champion=None)
    assert frame["base_score"][0] == pytest.approx((known["__y"] == 1).mean())


def test_only_a_plain_last_value_of_the_label_stands_for_its_persistence(price) -> None:
    own = price.model
    features = {"twice": pl.col("up") * 2, "dear": Window("1d").last("up", where=pl.col("price") > 0.5)}
    view = FeatureView("made", own.data, features=features)
    assert last_known_label(own.replace("other", features=[view])) == ""
