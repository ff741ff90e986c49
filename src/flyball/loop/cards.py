"""The model card of a version, put together from the ledger and the blobs that it names."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.errors import Corrupt, DeclarationError, NotFound, Unavailable
from flyball.loop.ports import Ports
from flyball.records import codec
from flyball.records.base import State
from flyball.records.models import Manifest
from flyball.records.training import RUNS
from flyball.records.versions import VersionRow
from flyball.registry import approvals
from flyball.registry.card import card_of


class Card(NamedTuple):
    """A card as text, and what its version was declared as."""

    text: str
    model: Model


def declared(ports: Ports, state: State, row: VersionRow) -> Model | None:
    """What a version was declared as; None where that cannot be read any more."""
    run = state.get(RUNS, row.run)
    try:
        return ports.library.model(ports.library.spec(run.spec).declaration) if run is not None else None
    except (NotFound, Corrupt, Unavailable, DeclarationError):
        return None


def card(ports: Ports, state: State, row: VersionRow, now: Instant) -> Card:
    """A version's card. Raises NotFound where the run's result, or what the version was declared as, cannot be read any more."""
    ref = f"{row.model}@{row.version}"
    result = ports.library.result(row.result)
    model = declared(ports, state, row)
    if model is None:
        raise NotFound(
            f"what {ref} was declared as cannot be read any more",
            why="a card says what a version is for",
            fix=f"flyball models show {ref}",
        )
    whole = row.unlisted or row.waivers
    verdicts = approvals.lifted(row, result.verdicts, row.gates_digest, now) if whole else row.verdicts
    judged = msgspec.structs.replace(result, verdicts=verdicts)
    return Card(card_of(model, row, judged, now, ports.library.report(result.report), _manifest(ports, row)), model)


def _manifest(ports: Ports, row: VersionRow) -> Manifest | None:
    try:
        return codec.decode(ports.blobs.get(row.artifact), Manifest)
    except (NotFound, Corrupt, Unavailable):
        return None
