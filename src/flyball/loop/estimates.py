"""An estimate without labels, as a command: whether it is still of the version that answers, and news. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flyball.clock import Instant
from flyball.ledger.bounds import clipped, named
from flyball.records.base import Event, Record, State
from flyball.records.unlabelled import ESTIMATES, PerformanceEstimated
from flyball.records.versions import MODELS


class NoteEstimate(Record, frozen=True):
    """Note how good a version is estimated to be."""

    id: str
    actor: str
    made: PerformanceEstimated


def decide_note_estimate(state: State, command: NoteEstimate, _now: Instant) -> Sequence[Event]:
    """One is recorded a window, and of the champion alone. An idle model's, of which nothing could be said, is none."""
    made, row, before = command.made, state.get(MODELS, command.made.model), state.get(ESTIMATES, command.made.model)
    if row is None or row.champion != made.version or (not made.n and made.apart is None):
        return ()
    if before is not None and before.newest.version == made.version and before.newest.until >= made.until:
        return ()
    return (_bounded(made),)


def _bounded(made: PerformanceEstimated) -> PerformanceEstimated:
    """With texts that fit into an event: a column may have any name."""
    apart = made.apart
    if apart is not None:
        # the estimate's own text is empty or short; the names of columns are not ours
        apart = msgspec.structs.replace(apart, columns={named(name): value for name, value in apart.columns.items()})
    return msgspec.structs.replace(made, apart=apart, refused=clipped(made.refused), blind=clipped(made.blind), unseen=clipped(made.unseen))
