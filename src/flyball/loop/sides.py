"""What two runs or versions are compared by, read from where it lies. Reads, and decides nothing."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.errors import DeclarationError, NotFound
from flyball.loop.ports import Ports
from flyball.records import codec
from flyball.records.base import State
from flyball.records.models import Manifest
from flyball.records.training import RUNS, RunRow
from flyball.records.versions import VersionRow, VersionState
from flyball.registry import approvals
from flyball.registry.compare import Side


def of_run(ports: Ports, row: RunRow) -> Side:
    """A run, also one that has no result. Raises NotFound where what it was asked is gone."""
    spec = ports.library.spec(row.spec)
    result = ports.library.result(row.result) if row.result else None
    return Side(
        name=row.run,
        spec=spec,
        model=_declared(ports, spec.declaration),
        code=msgspec.json.decode(ports.blobs.get(spec.code), type=dict[str, str]),
        result=result,
        manifest=codec.decode(ports.blobs.get(result.artifact), Manifest) if result is not None else None,
        verdicts=result.verdicts if result is not None else (),
        commit=row.commit,
    )


def _declared(ports: Ports, body: str) -> Model | None:
    """What is declared in a blob; None where it was written by another version of flyball. Raises NotFound where the blob is gone."""
    with suppress(DeclarationError):
        return ports.library.model(body)
    return None


def of_version(ports: Ports, state: State, row: VersionRow, now: Instant) -> Side:
    """A version, with what persons said of it. Raises NotFound for one that is deleted."""
    run = state.get(RUNS, row.run)
    if run is None or row.state is VersionState.DELETED:
        raise NotFound(
            f"what {row.model}@{row.version} was made of is not there any more",
            why=row.retired_why or "its run is not known",
            fix=f"flyball models list {row.model} shows the others",
        )
    side, result = of_run(ports, run), ports.library.result(row.result)
    verdicts = approvals.lifted(row, result.verdicts, row.gates_digest, now)
    manifest = codec.decode(ports.blobs.get(row.artifact), Manifest)
    return side._replace(name=f"{row.model}@{row.version}", result=result, manifest=manifest, verdicts=verdicts)
