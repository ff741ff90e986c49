"""How version events change the projections."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

import msgspec

from flyball.errors import Conflict
from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.environments import (
    JUDGINGS,
    WANTED,
    JudgingRow,
    JudgingWanted,
    TrainingWanted,
    VersionCarried,
    VersionIntegrated,
    WantedRow,
)
from flyball.records.integration import Integration
from flyball.records.removals import REMOVED, BlobsRemoved, RemovedRow
from flyball.records.training import RUNS, put_run
from flyball.records.versions import (
    MODELS,
    REGISTERED,
    UNSIGNED,
    VERSIONS,
    ChampionChanged,
    Known,
    ModelRow,
    RegisteredRow,
    Said,
    UnsignedRow,
    VersionApproved,
    VersionDeleted,
    VersionDenied,
    VersionDeployed,
    VersionDeprecated,
    VersionDescribed,
    VersionEligible,
    VersionHeld,
    VersionJudged,
    VersionNoted,
    VersionQuarantined,
    VersionRegistered,
    VersionReinstated,
    VersionRejected,
    VersionRetired,
    VersionRow,
    VersionSigned,
    VersionState,
    VersionUndeprecated,
    VersionWaived,
    Waiver,
    Written,
    registered_key,
)
from flyball.registry.states import judged, move

ValueT = TypeVar("ValueT")


def fold_registered(projection: Projection, recorded: Recorded) -> None:
    """A version is there; it is its model's newest, and its run knows it."""
    event = recorded.event
    assert isinstance(event, VersionRegistered)
    key = f"{event.model}/{event.version}"
    if projection.get(VERSIONS, key) is not None:
        raise Conflict(f"{event.model}@{event.version} is registered already", why="a version's number is used once")
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    projection.put(VERSIONS, key, VersionRow(**fields, state=VersionState.REGISTERED, registered_at=recorded.at))
    projection.put(REGISTERED, registered_key(recorded.seq), RegisteredRow(model=event.model, version=event.version))
    projection.put(UNSIGNED, key, UnsignedRow(model=event.model, version=event.version, artifact=event.artifact))
    model = projection.get(MODELS, event.model) or ModelRow(model=event.model)
    # one that is taken over from another environment may be older than one that was taken over before
    projection.put(MODELS, event.model, msgspec.structs.replace(model, newest=max(model.newest, event.version, key=numbers)))
    run = projection.get(RUNS, event.run)
    if run is not None:
        put_run(projection, msgspec.structs.replace(run, version=event.version))


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, in the order of their weight; no version is before all others."""
    return tuple(int(part) for part in version.split(".")) if version else ()


def fold_integrated(projection: Projection, recorded: Recorded) -> None:
    """The version was tried where it answers."""
    event = recorded.event
    assert isinstance(event, VersionIntegrated)
    key, row = _row(projection, event.model, event.version)
    projection.put(VERSIONS, key, msgspec.structs.replace(row, integration=Integration(at=recorded.at, checks=event.checks)))


def fold_carried(projection: Projection, recorded: Recorded) -> None:
    """The version has its run and its past; what persons said of it here stays."""
    event = recorded.event
    assert isinstance(event, VersionCarried)
    key, row = _row(projection, event.model, event.version)
    row = carried(row, event, event.origin)
    projection.put(
        VERSIONS, key, msgspec.structs.replace(row, taken=msgspec.structs.replace(row.taken, size=event.size, authors=event.authors))
    )
    put_run(projection, event.made_by)
    model = projection.get(MODELS, event.model) or ModelRow(model=event.model)
    projection.put(MODELS, event.model, msgspec.structs.replace(model, last_attempt_at=max(model.last_attempt_at, event.made_by.queued_at)))


def carried(row: VersionRow, event: VersionCarried | VersionRow, origin: str) -> VersionRow:
    """A version with what the environment before (`origin`) says of it, as its row there or an event here has it.

    What was said there follows, also that it is said no more; what was said here, or taken back here, stays.
    """
    was, known = row.taken, {each.text: each for each in event.known}
    return msgspec.structs.replace(
        row,
        origin=origin,
        checked=event.integration or row.checked,
        known=tuple(_merged({each.text: each for each in row.known}, {each.text: each for each in was.known}, known).values()),
        tags=_merged(row.tags, was.tags, event.tags),
        card=_merged(row.card, was.card, event.card),
        deprecated=event.deprecated if row.deprecated == was.deprecated else row.deprecated,
        taken=msgspec.structs.replace(was, known=event.known, tags=event.tags, card=event.card, deprecated=event.deprecated),
    )


def _merged(own: dict[str, ValueT], was: dict[str, ValueT], now: dict[str, ValueT]) -> dict[str, ValueT]:
    """What stands where both sides may change it, one's own first: that of the other side (`was`, and is `now`) where nobody has changed it here."""
    found = {name: now.get(name) if own.get(name) == was.get(name) else own.get(name) for name in (*own, *now)}
    return {name: value for name, value in found.items() if value is not None}


def fold_wanted(projection: Projection, recorded: Recorded) -> None:
    """A later environment waits for a training."""
    event = recorded.event
    assert isinstance(event, TrainingWanted)
    row = WantedRow(model=event.model, origin=event.origin, reason=event.reason, at=recorded.at)
    projection.put(WANTED, event.model, row)


def fold_judging_wanted(projection: Projection, recorded: Recorded) -> None:
    """A later environment waits for verdicts."""
    event = recorded.event
    assert isinstance(event, JudgingWanted)
    row = JudgingRow(model=event.model, version=event.version, origin=event.origin, gates_digest=event.gates_digest)
    projection.put(JUDGINGS, f"{event.model}/{event.version}", row)


def fold_judged(projection: Projection, recorded: Recorded) -> None:
    """The gates' verdicts make a version eligible, rejected or held."""
    event = recorded.event
    assert isinstance(event, VersionEligible | VersionRejected | VersionHeld)
    targets = {VersionEligible: VersionState.ELIGIBLE, VersionRejected: VersionState.REJECTED, VersionHeld: VersionState.HELD}
    key, row = _row(projection, event.model, event.version)
    state = judged(f"{event.model}@{event.version}", row.state, targets[type(event)])
    projection.put(VERSIONS, key, msgspec.structs.replace(_with_verdicts(row, event), state=state))


def fold_judged_in_service(projection: Projection, recorded: Recorded) -> None:
    """New verdicts on a version that was released change nothing else of it."""
    event = recorded.event
    assert isinstance(event, VersionJudged)
    key, row = _row(projection, event.model, event.version)
    projection.put(VERSIONS, key, _with_verdicts(row, event))


def _with_verdicts(row: VersionRow, event: VersionEligible | VersionRejected | VersionHeld | VersionJudged) -> VersionRow:
    return msgspec.structs.replace(
        row,
        verdicts=event.verdicts,
        unlisted=event.unlisted,
        result=event.result or row.result,
        gates_digest=event.gates_digest or row.gates_digest,
        against=row.against if event.against is None else event.against,
    )


def fold_signed(projection: Projection, recorded: Recorded) -> None:
    """The version has a signature; the first one stays."""
    event = recorded.event
    assert isinstance(event, VersionSigned)
    key, row = _row(projection, event.model, event.version)
    projection.put(VERSIONS, key, msgspec.structs.replace(row, signature=row.signature or event.note))
    projection.delete(UNSIGNED, key)


def fold_said(projection: Projection, recorded: Recorded) -> None:
    """A person's word stands beside the verdicts; what it comes to is the verdict that follows."""
    event = recorded.event
    assert isinstance(event, VersionApproved | VersionDenied)
    key, row = _row(projection, event.model, event.version)
    said = Said(
        actor=recorded.actor,
        yes=isinstance(event, VersionApproved),
        roles=event.roles,
        reason=event.reason,
        at=recorded.at,
        gates_digest=event.gates_digest,
    )
    projection.put(VERSIONS, key, msgspec.structs.replace(row, said=(*row.said, said)))


def fold_waived(projection: Projection, recorded: Recorded) -> None:
    """A waiver stands beside the verdicts; what it comes to is the verdict that follows."""
    event = recorded.event
    assert isinstance(event, VersionWaived)
    key, row = _row(projection, event.model, event.version)
    waiver = Waiver(
        gate=event.gate,
        slice=event.slice,
        actor=recorded.actor,
        reason=event.reason,
        at=recorded.at,
        until=event.until,
        gates_digest=event.gates_digest,
        outcomes=event.outcomes,
    )
    projection.put(VERSIONS, key, msgspec.structs.replace(row, waivers=(*row.waivers, waiver)))


def fold_deployed(projection: Projection, recorded: Recorded) -> None:
    """The version is in a route."""
    event = recorded.event
    assert isinstance(event, VersionDeployed)
    key, row = _row(projection, event.model, event.version)
    state = move(f"{event.model}@{event.version}", row.state, VersionState.DEPLOYED)
    projection.put(VERSIONS, key, msgspec.structs.replace(row, state=state, retired_why="", taken_back=False))


def fold_retired(projection: Projection, recorded: Recorded) -> None:
    """The version left every route. That it was tried before it was taken back says nothing of how it answers when it is released again."""
    event = recorded.event
    assert isinstance(event, VersionRetired)
    key, row = _row(projection, event.model, event.version)
    state = move(f"{event.model}@{event.version}", row.state, VersionState.RETIRED)
    integration = None if event.back else row.integration
    row = msgspec.structs.replace(row, state=state, retired_why=event.why, taken_back=event.back, integration=integration)
    projection.put(VERSIONS, key, row)


def fold_deleted(projection: Projection, recorded: Recorded) -> None:
    """A tombstone is left. It needs no signature any more."""
    event = recorded.event
    assert isinstance(event, VersionDeleted)
    key, row = _row(projection, event.model, event.version)
    state = move(f"{event.model}@{event.version}", row.state, VersionState.DELETED)
    projection.put(VERSIONS, key, msgspec.structs.replace(row, state=state, retired_why=event.why))
    projection.delete(UNSIGNED, key)
    _no_way_back(projection, event.model, event.version)


def fold_quarantined(projection: Projection, recorded: Recorded) -> None:
    """The version is out of everything, also as what a rollback would go to."""
    event = recorded.event
    assert isinstance(event, VersionQuarantined)
    key, row = _row(projection, event.model, event.version)
    state = move(f"{event.model}@{event.version}", row.state, VersionState.QUARANTINED)
    projection.put(VERSIONS, key, msgspec.structs.replace(row, state=state, quarantined=event.reason))
    _no_way_back(projection, event.model, event.version)


def fold_reinstated(projection: Projection, recorded: Recorded) -> None:
    """The version is registered again; the verdict that follows says what it is. Once it answers, it is tried as one that is new."""
    event = recorded.event
    assert isinstance(event, VersionReinstated)
    key, row = _row(projection, event.model, event.version)
    state = move(f"{event.model}@{event.version}", row.state, VersionState.REGISTERED)
    projection.put(VERSIONS, key, msgspec.structs.replace(row, state=state, quarantined="", integration=None))


def fold_deprecated(projection: Projection, recorded: Recorded) -> None:
    """A version is advised against, or not any more."""
    event = recorded.event
    assert isinstance(event, VersionDeprecated | VersionUndeprecated)
    key, row = _row(projection, event.model, event.version)
    why = event.reason if isinstance(event, VersionDeprecated) else ""
    projection.put(VERSIONS, key, msgspec.structs.replace(row, deprecated=why))


def fold_noted(projection: Projection, recorded: Recorded) -> None:
    """What is known of a version."""
    event = recorded.event
    assert isinstance(event, VersionNoted)
    key, row = _row(projection, event.model, event.version)
    kept = tuple(each for each in row.known if each.text not in event.dropped)
    added = tuple(Known(text=text, actor=recorded.actor, at=recorded.at) for text in event.added)
    tags = {name: value for name, value in row.tags.items() if name not in event.untagged} | event.tags
    projection.put(VERSIONS, key, msgspec.structs.replace(row, known=(*kept, *added), tags=dict(sorted(tags.items()))))


def fold_described(projection: Projection, recorded: Recorded) -> None:
    """A text of its card is written, or is a blank again."""
    event = recorded.event
    assert isinstance(event, VersionDescribed)
    key, row = _row(projection, event.model, event.version)
    card = {name: text for name, text in row.card.items() if name != event.blank}
    if event.text:
        card[event.blank] = Written(text=event.text, actor=recorded.actor, at=recorded.at)
    projection.put(VERSIONS, key, msgspec.structs.replace(row, card=dict(sorted(card.items()))))


def _no_way_back(projection: Projection, model: str, version: str) -> None:
    row = projection.get(MODELS, model)
    if row is not None and row.former == version:
        projection.put(MODELS, model, msgspec.structs.replace(row, former=""))


def fold_blobs_removed(projection: Projection, recorded: Recorded) -> None:
    """What earlier events refer to may be missing."""
    event = recorded.event
    assert isinstance(event, BlobsRemoved)
    for digest in event.blobs:
        projection.put(REMOVED, digest, RemovedRow(since=recorded.seq))


def fold_champion(projection: Projection, recorded: Recorded) -> None:
    """Another version answers. After a rollback there is no former champion: the one that was left is not one to go back to."""
    event = recorded.event
    assert isinstance(event, ChampionChanged)
    model = projection.get(MODELS, event.model) or ModelRow(model=event.model)
    former = "" if event.rollback else event.former
    row = msgspec.structs.replace(model, champion=event.version, former=former, champion_at=recorded.at)
    projection.put(MODELS, event.model, row)


def _row(projection: Projection, model: str, version: str) -> tuple[str, VersionRow]:
    key = f"{model}/{version}"
    row = projection.get(VERSIONS, key)
    if row is None:
        raise Conflict(f"{model}@{version} is not registered", why="every version begins with version.registered")
    return key, row


FOLDS: Mapping[type[Event], Fold] = MappingProxyType(
    {
        VersionRegistered: fold_registered,
        VersionEligible: fold_judged,
        VersionRejected: fold_judged,
        VersionHeld: fold_judged,
        VersionSigned: fold_signed,
        VersionApproved: fold_said,
        VersionDenied: fold_said,
        VersionWaived: fold_waived,
        VersionJudged: fold_judged_in_service,
        VersionQuarantined: fold_quarantined,
        VersionReinstated: fold_reinstated,
        VersionDeprecated: fold_deprecated,
        VersionUndeprecated: fold_deprecated,
        VersionNoted: fold_noted,
        VersionDescribed: fold_described,
        VersionDeployed: fold_deployed,
        VersionRetired: fold_retired,
        VersionDeleted: fold_deleted,
        BlobsRemoved: fold_blobs_removed,
        ChampionChanged: fold_champion,
        VersionIntegrated: fold_integrated,
        VersionCarried: fold_carried,
        TrainingWanted: fold_wanted,
        JudgingWanted: fold_judging_wanted,
    }
)
"""Event kind → its fold."""
