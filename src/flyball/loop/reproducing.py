"""A run that is to be made again: from what it was made of then, without what is remembered of it, and without a version of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from flyball.data import manifest
from flyball.data.erasures import present
from flyball.errors import BadInput, Conflict, Corrupt, NotFound, Problem
from flyball.loop import lookup
from flyball.loop.ports import Ports
from flyball.records import codec
from flyball.records.base import State
from flyball.records.models import Manifest, parse_ref
from flyball.records.training import NO_ATTEMPTS, RunResult, RunRow, RunSpec, RunState

FoundT = TypeVar("FoundT")


def find(state: State, model: str, named: str) -> RunRow:
    """The run that `named` is (its id, or `MODEL@V`), of this model. Raises NotFound, BadInput, Conflict for one that has no result of its own."""
    run = lookup.version(state, parse_ref(named)).run if "@" in named else named
    row = lookup.run(state, run)
    if row.model != model:
        raise BadInput(
            f"{row.run} is a run of {row.model}", why=f"{model} is to be trained", fix=f"flyball train {row.model} --reproduce {named}"
        )
    if row.state is not RunState.SUCCEEDED or not row.result or row.trigger in NO_ATTEMPTS:
        why = {
            "evidence": "it fitted nothing: it judged a version again on newer rows",
            "reproduction": "it is a reproduction itself",
        }.get(row.trigger, f"it is {row.state.value}: there is no artifact to compare with")
        raise Conflict(f"{row.run} cannot be made again", why=why, fix="name a run that made a version")
    return row


def reproduction_spec(ports: Ports, state: State, row: RunRow) -> RunSpec:
    """What making a run again is to do.

    Raises BadInput (code "not-reproducible"), naming everything that the run was made of and that is not there any more.
    """
    missing: list[Problem] = []
    spec = _read(missing, "what it was to do", lambda: ports.library.spec(row.spec))
    result = _read(missing, "its result", lambda: ports.library.result(row.result))
    made: Manifest | None = None
    if spec is not None and result is not None:
        made = _read(missing, "its artifact's manifest", lambda: _manifest(ports, result))
        _read(missing, f"its code {spec.code[:12]}", lambda: ports.blobs.check(spec.code))
        _read(missing, f"its declaration {spec.declaration[:12]}", lambda: ports.blobs.check(spec.declaration))
        for name, content in spec.datasets.items():
            rows = partial(_rows, ports, present(state, name, content))
            _read(missing, f'the rows of data set "{name}" {content[:12]}', rows)
    if missing or spec is None or result is None or made is None:
        raise BadInput(
            f"{row.run} cannot be made again",
            why="; ".join(each.what for each in missing),
            fix="restore them from a backup: flyball restore; or train anew",
            code="not-reproducible",
            problems=tuple(missing),
        )
    return msgspec.structs.replace(
        spec,
        champion="",
        champion_version="",
        champion_result="",
        # a search that ended for want of time made fewer
        trials=len(result.history) or spec.trials,
        reproduces=row.run,
        expected=row.result,
        form=made.served,
    )


def _manifest(ports: Ports, result: RunResult) -> Manifest:
    return codec.decode(ports.blobs.get(result.artifact), Manifest)


def _rows(ports: Ports, content: str) -> None:
    for chunk in manifest.manifest(content, ports.blobs).chunks:
        ports.blobs.check(chunk.content)


def _read(missing: list[Problem], what: str, read: Callable[[], FoundT]) -> FoundT | None:
    try:
        return read()
    except (NotFound, Corrupt) as error:
        missing.append(Problem("", f"{what} is not there any more", error.what))
        return None
