"""Whom an id is told to: what is guessed of it, and listed where it is nobody's, is of models that the caller sees."""

from __future__ import annotations

import pytest

from flyball.errors import NotFound
from flyball.ledger.projection import MemoryProjection
from flyball.loop import lookup
from flyball.records.training import RunRow, RunState, put_run


def test_a_run_that_the_caller_may_not_see_is_neither_guessed_nor_named() -> None:
    state = MemoryProjection()
    for run, model in (("run_01AAA", "demand"), ("run_01BBB", "secret")):
        row = RunRow(run=run, model=model, trigger="manual", reason="", spec="", release=True, state=RunState.SUCCEEDED, queued_at=1)
        put_run(state, row)
    own = "demand".__eq__
    with pytest.raises(NotFound) as unknown:
        lookup.run(state, "nosuch", own)
    assert "run_01AAA" in str(unknown.value)
    assert "run_01BBB" not in str(unknown.value)
    with pytest.raises(NotFound):
        lookup.run(state, "BBB", own)
    assert lookup.run(state, "BBB").model == "secret"
    assert lookup.run(state, "AAA", own).model == "demand"
