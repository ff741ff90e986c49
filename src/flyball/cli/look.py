"""A look at data sets' sources by this process, for verbs that cannot wait for the loop to look."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from flyball.data.refresh import not_read, refresh
from flyball.data.rules import is_apart, is_form
from flyball.declare.reads import looked_at
from flyball.errors import FlyballError
from flyball.loop.pushing import compact
from flyball.loop.reading import applied
from flyball.loop.tick import LOST, commit
from flyball.records.data import DATASETS, DataCommitted, DataRefused, DatasetRow
from flyball.records.declarations import DECLARATIONS

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.wiring import Wired


def look(wired: Wired, model: Model, looked: set[str] | None = None) -> DatasetRow | None:
    """Read each of the model's data sets whose source has changed, record what was found, and return how its own stands. Raises BadInput.

    looked: names of data sets that need no look any more; those that are looked at now come to them.
    """
    ports = wired.driving()
    declared = ports.ledger.state().get(DECLARATIONS, model.name)
    access = wired.reader.access(applied(declared, wired.blobs) if declared is not None else None)
    seen = set() if looked is None else looked
    needed = looked_at(model.replace(suites=()))
    for name, dataset in looked_at(model).items():
        if name in seen or is_form(model, dataset):
            continue
        seen.add(name)
        row = ports.ledger.state().get(DATASETS, name)
        try:
            at = replace(access, apart=is_apart(model, dataset))
            found = refresh(dataset, at, wired.blobs, row, partial(wired.subjects().erasures, name), wired.against())
        except FlyballError as error:
            if name in needed or error.code in LOST:
                raise
            # cases of a suite that cannot be read: no former ones stand in for them, and each verdict says so
            found = not_read(dataset, access, error)
        if isinstance(found, DataCommitted | DataRefused):
            commit(ports, found)
        compact(wired.layout.push, dataset, ports.ledger.state().get(DATASETS, name))
    return ports.ledger.state().get(DATASETS, model.data.name)
