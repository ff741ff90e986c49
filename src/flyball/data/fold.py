"""How data events change the projections."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.data import DATASET_VERSIONS, DATASETS, DataCommitted, DataRefused, DatasetRow


def committed(projection: Projection, recorded: Recorded) -> None:
    """A good version becomes the head, and nothing is wrong with the source any more."""
    assert isinstance(recorded.event, DataCommitted)
    version = recorded.event.version
    projection.put(DATASETS, version.name, DatasetRow(head=version))
    projection.put(DATASET_VERSIONS, f"{version.name}/{version.content}", version)


def refused(projection: Projection, recorded: Recorded) -> None:
    """The head stays; what is wrong stands beside it."""
    assert isinstance(recorded.event, DataRefused)
    event = recorded.event
    before = projection.get(DATASETS, event.name)
    head = before.head if before is not None else None
    projection.put(DATASETS, event.name, DatasetRow(head=head, refused_mark=event.source_mark, violations=event.violations))


FOLDS: Mapping[type[Event], Fold] = {DataCommitted: committed, DataRefused: refused}
"""One fold per kind of event of this stage."""
