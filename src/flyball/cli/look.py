"""A look at a data set's source by this process, for verbs that cannot wait for the loop to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.data.refresh import refresh
from flyball.loop.tick import commit
from flyball.records.data import DATASETS, DataCommitted, DataRefused, DatasetRow

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.wiring import Wired


def look(wired: Wired, model: Model) -> DatasetRow | None:
    """Read the model's data set if its source has changed, record what was found, and return how it stands. Raises BadInput."""
    ports, name = wired.driving(), model.data.name
    row = ports.ledger.state().get(DATASETS, name)
    found = refresh(model.data, wired.root, wired.blobs, row, lambda: wired.subjects().erasures(name), wired.against())
    if isinstance(found, DataCommitted | DataRefused):
        commit(ports, found)
    return ports.ledger.state().get(DATASETS, name)
