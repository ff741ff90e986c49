"""Whether the callers of a champion could go on with another version or declaration. `check`, `apply`, a release and all that advise one ask here. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from flyball.declare import live
from flyball.errors import Corrupt, NotFound, Unavailable
from flyball.records.base import Refusal, State
from flyball.records.models import Signature
from flyball.records.versions import MODELS, VERSIONS, VersionRow

Signatures = Callable[[str], Signature]

FIX = "declare it to take what the champion takes, and train it again; or as a model of another name: move its callers there, then retire this one"
"""What to do about a version, or a declaration, whose requests are not the champion's."""


class Requests(NamedTuple):
    """What callers send to `who`, which says "the champion 1.0.0": fields (name → type), and for which task. `supposed`: nobody knows whether a
    champion takes them; they are those of a declaration.
    """

    who: str
    task: str
    fields: Mapping[str, str]
    supposed: bool = False


def taken(signature: Signature, who: str = "") -> Requests:
    """The requests that a version of this signature takes."""
    return Requests(who, signature.task, {field.name: field.type for field in signature.fields})


def of_champion(state: State, model: str, signatures: Signatures) -> Requests | None:
    """What the callers of a model send now; None where no version answers."""
    roles = state.get(MODELS, model)
    row = state.get(VERSIONS, f"{model}/{roles.champion}") if roles is not None and roles.champion else None
    return taken(signatures(row.artifact), f"the champion {row.version}") if row is not None else None


def readable(state: State, model: str, signatures: Signatures) -> Requests | None:
    """The same, where the champion's artifact can be read: that it cannot is a doubt of others, who say so."""
    try:
        return of_champion(state, model, signatures)
    except (NotFound, Corrupt, Unavailable):
        return None


def unlike(before: Requests, after: Requests) -> tuple[str, ...]:
    """What of requests and answers is not as before; bounds may differ, for both see what the one that answers lets in."""
    task = (f"the task was {before.task} and is {after.task}",) if before.task != after.task else ()
    return (*live.other_requests(before.fields, after.fields), *task)


def unreleasable(state: State, version: VersionRow, signatures: Signatures) -> Refusal | None:
    """Why a version is never released beside the champion that there is: it takes other requests. None where it does not."""
    before = of_champion(state, version.model, signatures)
    other = unlike(before, taken(signatures(version.artifact))) if before is not None else ()
    if before is None or not other:
        return None
    return Refusal(
        code="refused",
        what=f"{version.model}@{version.version} takes other requests than {before.who}: {'; '.join(other)}",
        why="callers send what the champion takes, so the two cannot be compared on the same requests",
        fix=FIX,
    )


def never_released(state: State, version: VersionRow, signatures: Signatures) -> Refusal | None:
    """The same for who only tells it: None as well where an artifact cannot be read, for others say so."""
    try:
        return unreleasable(state, version, signatures)
    except (NotFound, Corrupt, Unavailable):
        return None


def never_text(never: Refusal, version: VersionRow) -> str:
    """Why a version is never released, where its name stands already."""
    return f"it {never.what.removeprefix(f'{version.model}@{version.version} ')}; {never.why}"
