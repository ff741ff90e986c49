"""How data events change the projections."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from flyball.data.staleness import with_stale
from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.data import (
    COLLECTED,
    DATA_COMMITS,
    DATASET_VERSIONS,
    DATASETS,
    ERASURES,
    STANDING,
    CollectedRow,
    CommitRow,
    DataCollected,
    DataCommitted,
    DataErased,
    DataFresh,
    DataRefused,
    DatasetRow,
    DataStale,
    ErasureRow,
    StandingRow,
    SubjectErased,
    erasure_key,
)


def committed(projection: Projection, recorded: Recorded) -> None:
    """A good version becomes the head, and nothing is wrong with the source any more. What it brings back of what was erased is held again."""
    assert isinstance(recorded.event, DataCommitted)
    version = recorded.event.version
    before = projection.get(DATASETS, version.name)
    head = before.head if before is not None else None
    if head is None or (head.version, head.content) != (version.version, version.content):
        projection.delete(ERASURES, erasure_key(version.name, version.content))
    projection.delete(COLLECTED, f"{version.name}/{version.content}")
    row = before if before is not None else DatasetRow(head=None)
    kept = DatasetRow(
        head=version,
        findings=recorded.event.findings,
        unlisted=recorded.event.unlisted,
        stale_since=row.stale_since,
        stale_from=row.stale_from,
        stale=row.stale,
        first_at=row.first_at or recorded.at,
    )
    projection.put(DATASETS, version.name, kept)
    projection.put(DATASET_VERSIONS, f"{version.name}/{version.content}", version)
    projection.put(DATA_COMMITS, f"{version.name}/{version.content}", CommitRow(at=recorded.at, seq=recorded.seq))


def refused(projection: Projection, recorded: Recorded) -> None:
    """The head stays; what is wrong stands beside it."""
    assert isinstance(recorded.event, DataRefused)
    event = recorded.event
    before = projection.get(DATASETS, event.name)
    row = before if before is not None else DatasetRow(head=None)
    wrong = {"violations": event.violations, "findings": event.findings, "unlisted": event.unlisted}
    projection.put(DATASETS, event.name, msgspec.structs.replace(row, refused_mark=event.source_mark, **wrong))


def stale(projection: Projection, recorded: Recorded) -> None:
    """Its newest row is too old from now on, and has been since its time was over: nobody may have looked for a while."""
    event = recorded.event
    assert isinstance(event, DataStale)
    before = _known(projection, event.name)
    began = min(max(event.as_of + event.freshness, before.first_at), recorded.at)
    projection.put(DATASETS, event.name, msgspec.structs.replace(before, stale_since=recorded.at, stale_from=began))


def fresh(projection: Projection, recorded: Recorded) -> None:
    """It is not, any more."""
    event = recorded.event
    assert isinstance(event, DataFresh)
    before = _known(projection, event.name)
    over = with_stale(before.stale, before.stale_from, recorded.at) if before.stale_from else before.stale
    projection.put(DATASETS, event.name, msgspec.structs.replace(before, stale_since=0, stale_from=0, stale=over))


def _known(projection: Projection, name: str) -> DatasetRow:
    before = projection.get(DATASETS, name)
    assert before is not None, f"{name} was never read"
    return before


def subject_erased(projection: Projection, recorded: Recorded) -> None:
    """From now on rows of theirs from before are left out, in each of the data sets."""
    assert isinstance(recorded.event, SubjectErased)
    row = StandingRow(at=recorded.at, seq=recorded.seq, fingerprint=recorded.event.fingerprint)
    for name in recorded.event.data:
        projection.put(STANDING, f"{name}/{recorded.event.subject}", row)


def data_erased(projection: Projection, recorded: Recorded) -> None:
    """Who looks for what this one had under the old content is sent on to the new one. Names stay as they are."""
    event = recorded.event
    assert isinstance(event, DataErased)
    key = erasure_key(event.name, event.old_content)
    before = projection.get(ERASURES, key)
    assert before is None or before.content == event.new_content, f"{key} became two things"
    projection.put(ERASURES, key, ErasureRow(content=event.new_content, at=recorded.at))


def data_collected(projection: Projection, recorded: Recorded) -> None:
    """The version is still known, and what was said of it; its rows are gone."""
    event = recorded.event
    assert isinstance(event, DataCollected)
    projection.put(COLLECTED, f"{event.name}/{event.content}", CollectedRow(at=recorded.at))


FOLDS: Mapping[type[Event], Fold] = {
    DataCommitted: committed,
    DataRefused: refused,
    DataStale: stale,
    DataFresh: fresh,
    SubjectErased: subject_erased,
    DataErased: data_erased,
    DataCollected: data_collected,
}
"""One fold per kind of event of this stage."""
