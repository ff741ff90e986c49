"""What the ledger says of a version that is served elsewhere."""

from __future__ import annotations

from flyball.ledger.projection import MemoryProjection
from flyball.monitoring.fold import reference_made, version_seen
from flyball.records.base import Event, Recorded
from flyball.records.elsewhere import ELSEWHERE, ReferenceMade, VersionSeen

DAY = 86_400_000_000
BEGAN = 1_700_000_000_000_000


def test_labels_that_are_learnt_after_a_slip_do_not_begin_anew_what_was_gathered_before_it() -> None:
    projection = MemoryProjection()

    def at(day: float, event: Event) -> None:
        fold = version_seen if isinstance(event, VersionSeen) else reference_made
        fold(projection, Recorded(seq=1, at=BEGAN + int(day * DAY), actor="loop", command="c", event=event))

    first = ReferenceMade(model="m", version="1", reference="a" * 64, rows=1_000, since=BEGAN, until=BEGAN + 7 * DAY, predictions=1_000)
    labelled = ReferenceMade(
        model="m", version="1", reference="b" * 64, rows=1_000, since=BEGAN, until=BEGAN + 7 * DAY, predictions=1_000, labels=500
    )
    at(0, VersionSeen(model="m", version="1", since=BEGAN))
    at(8, first)
    at(30, VersionSeen(model="m", version="slip", since=BEGAN + 30 * DAY))
    at(30.1, VersionSeen(model="m", version="1", since=BEGAN + 30 * DAY + 60_000_000))
    at(31, labelled)
    row = projection.get(ELSEWHERE, "m")
    assert row is not None
    assert (row.version, row.watched, row.watched_since, row.labels) == ("1", "1", BEGAN, 500)
