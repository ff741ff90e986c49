"""A held version is judged again only on rows that it could have answered."""

from __future__ import annotations

import msgspec

from flyball.clock import Span
from flyball.training.rejudge import rejudge
from flyball.training.rows import assemble
from flyball.training.run import perform


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
