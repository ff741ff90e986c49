"""A data set that gets no new rows is said to be stale once, its model has an incident, and both are over when rows come again."""

from __future__ import annotations

import pytest

import flyball as fb
from flyball.clock import Span
from flyball.data.fold import FOLDS
from flyball.declare.owners import of_failure
from flyball.ledger.projection import MemoryProjection
from flyball.loop.freshness import NoteFreshness, ages, decide_note_freshness, next_due
from flyball.monitoring.freshness import freshness_findings
from flyball.records.base import Recorded
from flyball.records.data import DATASETS, DataCommitted, DataFresh, DataRefused, DatasetRow, DatasetVersion, DataStale

HOUR = 3_600_000_000
AS_OF = 1_800_000_000_000_000


def version(as_of=AS_OF, number="1.0.0"):
    return DatasetVersion(
        name="rows", version=number, content="a" * 64, schema={}, rows=1, stats=(), parents=(), first=0, last=as_of, as_of=as_of, source_mark="m"
    )  # fmt: skip


@pytest.fixture
def state():
    made = MemoryProjection()
    made.put(DATASETS, "rows", DatasetRow(head=version()))
    return made


def note(state, now, freshness="2h"):
    """Look at this moment; the event that it came to."""
    command = NoteFreshness(id="c", actor="loop", name="rows", freshness=Span.parse(freshness))
    events = decide_note_freshness(state, command, now)
    for event in events:
        FOLDS[type(event)](state, Recorded(1, now, "loop", "c", event))
    return events[0] if events else None


def test_it_is_said_once_when_it_becomes_stale_and_once_when_it_is_fresh_again(state):
    assert note(state, AS_OF + 2 * HOUR) is None
    assert note(state, AS_OF + 2 * HOUR + 1) == DataStale(name="rows", as_of=AS_OF, freshness=Span.parse("2h"))
    assert note(state, AS_OF + 9 * HOUR) is None
    newer = DataCommitted(version=version(AS_OF + 9 * HOUR, "1.0.1"))
    FOLDS[DataCommitted](state, Recorded(2, AS_OF + 9 * HOUR, "loop", "c", newer))
    assert state.get(DATASETS, "rows").stale_since == AS_OF + 2 * HOUR + 1, "it is said that it is fresh, not assumed"
    assert note(state, AS_OF + 10 * HOUR) == DataFresh(name="rows", as_of=AS_OF + 9 * HOUR, freshness=Span.parse("2h"))
    assert state.get(DATASETS, "rows").stale_since == 0
    assert note(state, AS_OF + 10 * HOUR) is None


def test_a_row_whose_time_lies_ahead_keeps_nothing_fresh_for_ever(state):
    ahead = DataCommitted(version=version(AS_OF + 10_000 * HOUR, "1.0.1"))
    FOLDS[DataCommitted](state, Recorded(2, AS_OF, "loop", "c", ahead))
    assert note(state, AS_OF + 2 * HOUR) is None
    assert note(state, AS_OF + 3 * HOUR) == DataStale(name="rows", as_of=AS_OF, freshness=Span.parse("2h"))
    assert [age.as_of for age in ages(state, model())] == [AS_OF]


def test_a_source_that_is_refused_stays_stale(state):
    note(state, AS_OF + 3 * HOUR)
    FOLDS[DataRefused](state, Recorded(2, AS_OF, "loop", "c", DataRefused(name="rows", source_mark="x", violations=("broken",))))
    assert state.get(DATASETS, "rows").stale_since == AS_OF + 3 * HOUR
    assert state.get(DATASETS, "rows").violations == ("broken",)


def test_what_is_not_required_any_more_is_over(state):
    note(state, AS_OF + 3 * HOUR)
    assert isinstance(note(state, AS_OF + 3 * HOUR, "0s"), DataFresh)


def test_nothing_is_said_of_what_was_never_read_or_has_no_time(state):
    state.put(DATASETS, "rows", DatasetRow(head=None))
    assert note(state, AS_OF + 9 * HOUR) is None
    state.put(DATASETS, "rows", DatasetRow(head=version(0)))
    assert note(state, AS_OF + 9 * HOUR) is None


def fit(X, y):
    return X, y


def model():
    rows = fb.Dataset("rows", source="r.csv", time="at", columns={"x": float}, freshness="2h", owner="feeds")
    own = fb.Dataset("own", source="o.csv", time="at", columns={"x": float, "y": int})
    view = fb.FeatureView("v", rows, entity=None, features={"sum": fb.window("1h").sum("x")})
    return fb.Model("m", task="binary", data=own, label="y", features=[view], train=fb.Train(fit), owner="team")


def test_the_finding_names_the_data_set_its_owner_and_what_is_refused(state):
    declared = model()
    assert [finding.severity for finding in freshness_findings(ages(state, declared), AS_OF + HOUR)] == ["none"]
    FOLDS[DataRefused](state, Recorded(2, AS_OF, "loop", "c", DataRefused(name="rows", source_mark="x", violations=("x: 2 are missing",))))
    (found,) = freshness_findings(ages(state, declared), AS_OF + 3 * HOUR)
    assert (found.severity, found.failure, found.column) == ("alert", "stale_data", "rows")
    assert "may be 2h old; what came since is refused: x: 2 are missing" in found.why
    assert of_failure(declared, found.failure, found.column) == "feeds"


def test_the_loop_looks_again_when_it_would_become_stale(state):
    assert next_due(state, model(), AS_OF) == [AS_OF + 2 * HOUR + 1]
    assert next_due(state, model(), AS_OF + 3 * HOUR) == []
