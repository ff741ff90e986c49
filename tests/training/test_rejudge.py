"""A held version is judged again only on rows that it could have answered."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import polars as pl
import pytest

from flyball.clock import Span
from flyball.errors import BadInput
from flyball.training.rejudge import rejudge
from flyball.training.rows import assemble
from flyball.training.run import perform

from .conftest import HOUR, PRICE, RIDES, Project, market_frame, rides_frame


def test_rows_that_were_to_be_predicted_before_the_candidate_was_fitted_are_no_evidence(bikes):
    hour, end = int(Span.parse("1h")), bikes.spec().as_of
    first = bikes.spec(as_of=end - 72 * hour)
    made = perform(first, bikes.model, bikes.frames, None, package=False)
    rows = assemble(bikes.model, bikes.frames, as_of=end)
    spec = msgspec.structs.replace(first, as_of=end)
    result, frame = rejudge(spec, bikes.model, rows, made.result, candidate=made.predictor, champion=None, earlier=made.holdout)
    new = frame["__time"].to_list()[made.holdout.height :]
    gap = rows.label_delay + int(bikes.model.framing.horizon)
    assert gap > 0
    assert len(new) > 60
    assert min(new) > made.predictor.trained_until + gap
    assert result.holdout_rows == frame.height


def test_a_champion_of_another_label_answers_the_very_rows_that_judge_again(relabelled):
    before, after = relabelled
    end = after.spec().as_of
    first = after.spec(as_of=end - 72 * HOUR)
    champion = perform(before.spec(as_of=first.as_of), before.model, before.frames, None, package=False).predictor
    made = perform(first, after.model, after.frames, None, package=False, champion=champion)
    rows, theirs = (assemble(each.model, after.frames, as_of=end) for each in (after, before))
    assert theirs.frame.height == rows.frame.height + 500
    spec = msgspec.structs.replace(first, as_of=end)
    _, frame = rejudge(spec, after.model, rows, made.result, candidate=made.predictor, champion=(champion, theirs), earlier=made.holdout)
    new = frame[made.holdout.height :]
    assert new.height > 60
    asked = theirs.frame.filter(pl.col("__time").is_in(new["__time"].implode()))
    assert new["champion_score"].to_list() == champion.predict(asked.select(theirs.features)).score.tolist()


def test_a_champion_that_does_not_know_every_row_that_judges_again_is_refused(relabelled):
    before, after = relabelled
    end = after.spec().as_of
    first = after.spec(as_of=end - 72 * HOUR)
    champion = perform(before.spec(as_of=first.as_of), before.model, before.frames, None, package=False).predictor
    made = perform(first, after.model, after.frames, None, package=False, champion=champion)
    rows, theirs = (assemble(each.model, after.frames, as_of=end) for each in (after, before))
    lost = replace(theirs, frame=theirs.frame.filter(pl.int_range(pl.len()) != theirs.frame.height - 20))
    asked = {"candidate": made.predictor, "champion": (champion, lost), "earlier": made.holdout}
    with pytest.raises(BadInput, match="the champion cannot be judged on the same rows"):
        rejudge(msgspec.structs.replace(first, as_of=end), after.model, rows, made.result, **asked)


@pytest.mark.parametrize(
    ("text", "model", "edits", "column", "data"),
    [
        (RIDES, "bikes", {', "temp": fb.column(float, known_after="-6h")': ""}, "temp", "rides"),
        (
            PRICE, "price",
            {', "price": float': "", '"price_last": fb.window("2h").last("price"), "price_day": fb.window("1d").mean("price"), ': "",
             '    transforms={"gap": pl.col("price_last") - pl.col("price_day")},\n': ""},
            "price", "market",
        ),
    ],
)  # fmt: skip
def test_a_champion_that_reads_a_column_that_is_declared_no_more_ends_the_run_with_what_helps(tmp_path, text, model, edits, column, data):
    frames = {"rides": rides_frame()} if model == "bikes" else {"market": market_frame()}
    before = Project(tmp_path / "before", text, model, frames)
    champion = perform(before.spec(), before.model, before.frames, None, package=False).predictor
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    after = Project(tmp_path / "after", text, model, {name: frame.drop(column) for name, frame in frames.items()})
    with pytest.raises(BadInput, match="the champion cannot be asked about the rows that judge") as error:
        perform(after.spec(), after.model, after.frames, None, package=False, champion=champion)
    assert error.value.why == f'it reads "{column}" of data set "{data}", which is declared no more'
    assert "keep the column declared" in error.value.fix
