"""Versions go from one environment to the next: what was made, judged and tried in the one before is taken over with its evidence.

A version is made in the first environment alone. The next takes over what the gates measured, and not what persons said: their yes, their
no and their waivers count where they were given. It takes nothing that was not tried through a gateway there, and no model but by its hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from flyball.clock import Instant
from flyball.errors import FlyballError, Refused, Unavailable
from flyball.governance.authority import LOOP, Caller
from flyball.ledger.bounds import clipped, size
from flyball.loop import lookup
from flyball.loop.authority import permit
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.environments import DELETED, JUDGINGS, QUARANTINED, TAKEN_BACK, WANTED, JudgingWanted, TrainingWanted, VersionCarried
from flyball.records.integration import Integration
from flyball.records.training import RunResult, RunRow
from flyball.records.versions import (
    MODELS,
    VERSIONS,
    Known,
    ModelRow,
    Taken,
    VersionDeprecated,
    VersionRow,
    VersionState,
    VersionUndeprecated,
    Written,
)
from flyball.registry import approvals
from flyball.registry import rules as registry
from flyball.registry.fold import carried
from flyball.registry.states import RELEASED

if TYPE_CHECKING:
    from flyball.loop.ports import Before, Ports

ACTOR = "loop"

ROOM: Final = 8 << 10
"""Bytes of what persons wrote of a version that are taken over: an event has 16 KiB, and says more."""


class Offer(Record, frozen=True):
    """A version as it stands in the environment `origin`, whose record had `size` events with this `root`. `what` is the result that it was judged by.

    `authors`: whose yes does not count for it there. `since`: of how many events of that record it was known here when this was read; 0 for a version that was not.
    """

    origin: str
    row: VersionRow
    run: RunRow
    what: RunResult
    size: int
    root: str
    since: int = 0
    authors: tuple[str, ...] = ()


class Carry(Record, frozen=True):
    """Take a version over."""

    id: str
    actor: str
    offer: Offer

    @property
    def model(self) -> str:
        """The model that it is about."""
        return self.offer.row.model


class Want(Record, frozen=True):
    """A later environment wants a training."""

    id: str
    actor: str
    model: str
    origin: str
    reason: str


class WantJudged(Record, frozen=True):
    """A later environment is served by a version, and wants it judged by the gates of `gates_digest`."""

    id: str
    actor: str
    model: str
    version: str
    origin: str
    gates_digest: str


class Heed(Record, frozen=True):
    """How a version stands in the environment before (`origin`): how it was given up there, and why, or (empty) that it was not."""

    id: str
    actor: str
    model: str
    version: str
    origin: str
    given_up: str


def decide_carry(state: State, command: Carry, now: Instant) -> Sequence[Event] | Refusal:
    """A version that is new here is registered and judged by what its gates measured; of one that is known, what has changed since is taken over,
    also when it went where it comes from: to release it is another question.
    """
    offer = command.offer
    row, own = with_room(offer.row), state.get(VERSIONS, f"{offer.row.model}/{offer.row.version}")
    tried = row.integration or (own.checked if own is not None else None)
    if tried is None or (unchecked(row) and not is_known(own, row, offer.origin)):
        return Refusal(code="not-checked", what=f"{offer.origin} has not checked {row.model}@{row.version}", why=unchecked(row))
    event = VersionCarried(
        model=row.model,
        version=row.version,
        origin=offer.origin,
        made_by=offer.run,
        integration=tried,
        size=offer.size,
        root=offer.root,
        known=row.known,
        tags=row.tags,
        card=row.card,
        deprecated=row.deprecated,
        authors=offer.authors,
    )
    if own is None:
        registered = registry.register(
            model=row.model,
            version=row.version,
            run=row.run,
            result_blob=row.result,
            result=offer.what,
            data=row.data,
            version_digest=row.version_digest,
            policy_digest=row.policy_digest,
            gates_digest=row.gates_digest,
            features_digest=row.features_digest,
            commit=row.commit,
        )
        # what it is where it comes from, and what persons said there, it is not here
        new = msgspec.structs.replace(row, state=VersionState.REGISTERED, said=(), waivers=())
        return (registered, event, _judged(new, offer, now))
    if own.artifact != row.artifact:
        return Refusal(
            code="conflict",
            what=f"{row.model}@{row.version} is another one here than in {offer.origin}",
            why="they have one number and are made of different things",
            fix=f"train a new one in {offer.origin}",
        )
    if is_older(own, offer) or not is_news(own, row, offer.origin):
        return ()
    then = carried(own, row, offer.origin)
    anew = (own.result, own.gates_digest) != (row.result, row.gates_digest) or own.blanks != then.blanks
    return (event, _judged(then, offer, now)) if anew else (event,)


def is_known(own: VersionRow | None, there: VersionRow, origin: str) -> bool:
    """Whether a version was taken over from `origin`: what is said of it there follows from then on, wherever it stands there. Nothing of one that
    has its number by now, in a record that was made anew.
    """
    return own is not None and (own.origin, own.artifact) == (origin, there.artifact)


def is_news(own: VersionRow | None, there: VersionRow, origin: str) -> bool:
    """Whether taking over a version that stands so in `origin` would change what is known of it here. By the rows alone: it is asked often."""
    if own is None or own.artifact != there.artifact:
        return True
    if own.state in (VersionState.QUARANTINED, VersionState.DELETED):
        return False
    return (own.result, own.gates_digest) != (there.result, there.gates_digest) or carried(own, with_room(there), origin) != own


def is_older(own: VersionRow, offer: Offer) -> bool:
    """Whether what was read there later is here already, taken over while this was on its way. A record that is shorter than the one that was known
    when it was read is no older one: it took its place, from a backup or as a new one.
    """
    return offer.size < own.taken.size != offer.since


def with_room(row: VersionRow) -> VersionRow:
    """The version with as many of the texts that persons wrote of it as an event has room for: of its card, then notes, the newest first. The others
    are read where they were written.
    """
    card: dict[str, Written] = {}
    known: list[Known] = []
    for name, text in row.card.items():
        if size(Taken(card=card | {name: text})) <= ROOM:
            card[name] = text
    for note in reversed(row.known):
        if size(Taken(card=card, known=(note, *known))) > ROOM:
            break
        known.insert(0, note)
    return msgspec.structs.replace(row, card=card, known=tuple(known))


def _judged(row: VersionRow, offer: Offer, now: Instant) -> Event:
    """What the verdicts that were measured come to, with what persons have said here."""
    verdicts = approvals.lifted(row, offer.what.verdicts, offer.row.gates_digest, now)
    return registry.judge(
        row.model,
        row.version,
        verdicts,
        offer.row.result,
        offer.row.gates_digest,
        released=row.state in RELEASED,
        against=offer.row.against,
    )


def decide_want(state: State, command: Want, _now: Instant) -> Sequence[Event]:
    """Noted once for each attempt: a wish that stands is not said again, also not in other figures."""
    row, model = state.get(WANTED, command.model), state.get(MODELS, command.model)
    if model is None or (row is not None and row.origin == command.origin and row.at > model.last_attempt_at):
        return ()
    return (TrainingWanted(model=command.model, origin=command.origin, reason=command.reason),)


def decide_want_judged(state: State, command: WantJudged, _now: Instant) -> Sequence[Event]:
    """Noted once for each declaration of gates, of a version that is not judged here anyway, as the newest is, unless it went, and the champion.
    What is deleted, or in quarantine, no gate judges.
    """
    key, roles = f"{command.model}/{command.version}", state.get(MODELS, command.model) or ModelRow(model=command.model)
    row, noted = state.get(VERSIONS, key), state.get(JUDGINGS, key)
    if row is None or not registry.other_gates(row, command.gates_digest) or row.state in (VersionState.DELETED, VersionState.QUARANTINED):
        return ()
    if command.version in (roles.newest, roles.champion) and row.state is not VersionState.RETIRED:
        return ()
    if noted is not None and noted.gates_digest == command.gates_digest:
        return ()
    wanted = JudgingWanted(model=command.model, version=command.version, origin=command.origin, gates_digest=command.gates_digest)
    return (wanted,)


def decide_heed(state: State, command: Heed, _now: Instant) -> Sequence[Event]:
    """What was given up where it comes from is advised against here, unless a person here does so already, and no more once it is not there."""
    row, name = state.get(VERSIONS, f"{command.model}/{command.version}"), command.origin
    if row is None or row.origin != name or row.state in (VersionState.QUARANTINED, VersionState.DELETED):
        return ()
    said = clipped(f"{name} {command.given_up}") if command.given_up else ""
    heeded = row.deprecated.startswith(tuple(f"{name} {how}" for how in (QUARANTINED, TAKEN_BACK, DELETED)))
    if said and row.deprecated != said and (heeded or not row.deprecated):
        return (VersionDeprecated(model=row.model, version=row.version, reason=said),)
    if not said and heeded:
        return (VersionUndeprecated(model=row.model, version=row.version, reason=f"{name} has given it up no more"),)
    return ()


def given_up(row: VersionRow) -> str:
    """How a version was given up in an environment, and why; empty if it was not."""
    if row.state is VersionState.QUARANTINED:
        return f"{QUARANTINED}: {row.quarantined or 'no reason was given'}"
    if row.state is VersionState.DELETED:
        was = f"; it was in quarantine: {row.quarantined}" if row.quarantined else "; it was taken back" if row.taken_back else ""
        return f"{DELETED}: {row.retired_why}{was}"
    return f"{TAKEN_BACK}: {row.retired_why}" if row.state is not VersionState.DEPLOYED and row.taken_back else ""


def unchecked(row: VersionRow) -> str:
    """Why a version may not go on to the next environment, by how it stands in this one; empty if it may."""
    if row.state is VersionState.QUARANTINED:
        return f"it is in quarantine there: {row.quarantined}"
    if row.state not in RELEASED:
        return f"it is {row.state.value} there, and answers nobody"
    if row.state is VersionState.RETIRED and row.taken_back:
        return f"it was taken back there: {row.retired_why}"
    if row.integration is None or not row.integration.checks:
        return "it was not tried through its gateway there yet"
    return "; ".join(f"{check.name}: {check.told}" for check in row.integration.failed)


def fix_unchecked(row: VersionRow, env: str) -> str:
    """What helps a version that may not go on, where it comes from. A release is refused there, too, of one that did not pass."""
    ref = f"{row.model}@{row.version}"
    if row.taken_back:
        return f"release another version; once it answers there again, {env} tries it: flyball release {ref} --env {env}"
    if row.state in RELEASED:
        return f"flyball up --env {env} tries it"
    if row.state is VersionState.ELIGIBLE:
        return f"flyball release {ref} --env {env}"
    return f"flyball models show {ref} --env {env} says what it lacks; once it has that: flyball release {ref} --env {env}"


def bring(ports: Ports, model: str, version: str, caller: Caller = LOOP) -> None:
    """Take a version over that is to be released here, as it stands in the environment before, if there is one. Raises Refused for who may not,
    and what `to_release` and `Before.copy` do.
    """
    if ports.before is not None:
        _take(ports, ports.before, to_release(ports.before, model, version), caller)


def to_release(before: Before, model: str, version: str) -> Offer:
    """A version as it stands in the environment before. Raises Refused for one that answers nobody there, was not tried there, or whose checks
    did not hold, and what `Before.offer` does.
    """
    offer = before.offer(model, version)
    if why := unchecked(offer.row):
        what = f"{before.name} has not checked {model}@{version}"
        raise Refused(what, why=why, fix=fix_unchecked(offer.row, before.name), code="not-checked")
    return offer


def _take(ports: Ports, before: Before, offer: Offer, caller: Caller) -> None:
    command, found = weigh(ports, offer, caller)
    if found and not isinstance(found, Refusal):
        before.copy(offer, ports.blobs)
    if found:
        ports.ledger.execute(command, decide_carry)


def weigh(ports: Ports, offer: Offer, caller: Caller) -> tuple[Carry, Sequence[Event] | Refusal]:
    """The command that takes an offer up, and what it would come to. Raises Refused for who may not give it."""
    command = Carry(id=ports.clock.new_id("cmd"), actor=caller.actor, offer=offer)
    permit(caller, command, ports.ledger.state)
    return command, decide_carry(ports.ledger.state(), command, ports.clock.now())


def follow(ports: Ports, model: str) -> None:
    """Take over what answers in the environment before and was tried there, and what is said there by now of what is in play here.

    Raises FlyballError.
    """
    if ports.before is None:
        return
    state = ports.ledger.state()
    with away():
        wanted = (row.version for _, row in state.scan(JUDGINGS, f"{model}/"))
        rows = ports.before.rows(model, (*lookup.in_play(state, lookup.roles(state, model)), *wanted))
        # what was given up does not wait for what cannot be taken over
        for there in rows:
            heed(ports, there)
        for there in rows:
            own, name = state.get(VERSIONS, f"{model}/{there.version}"), ports.before.name
            # of what was deleted there, all that was said was said before, and its evidence may be gone
            follows = there.state is not VersionState.DELETED if is_known(own, there, name) else not unchecked(there)
            if follows and is_news(own, there, name):
                _take(ports, ports.before, ports.before.offer(model, there.version), LOOP)
                # what a person said against it there, and says no more, may have stood in its place
                heed(ports, there)


def heed(ports: Ports, there: VersionRow) -> None:
    """Have a version here be advised against while it is given up in the environment before."""
    assert ports.before is not None, "nothing comes before"
    own = ports.ledger.state().get(VERSIONS, f"{there.model}/{there.version}")
    if not is_known(own, there, ports.before.name):
        return
    command = Heed(
        id=ports.clock.new_id("cmd"),
        actor=ACTOR,
        model=there.model,
        version=there.version,
        origin=ports.before.name,
        given_up=given_up(there),
    )
    if decide_heed(ports.ledger.state(), command, ports.clock.now()):
        ports.ledger.execute(command, decide_heed)


def take_up(ports: Ports, model: str, version: str) -> None:
    """Before the loop releases a version: what has become of it where it comes from. Raises Refused, NotFound for one that is no more to be had
    there, FlyballError.
    """
    if ports.before is not None:
        with away():
            bring(ports, model, version)


def hand_on(ports: Ports, model: str, reason: str) -> None:
    """Say where versions are made that a training is wanted here. Raises FlyballError."""
    if ports.before is not None:
        with away():
            ports.before.want(model, ports.environment, reason)


def ask_for_verdicts(ports: Ports, model: str) -> None:
    """Where versions are judged elsewhere, say there which of those in play here the gates that are declared now have not judged.

    Raises FlyballError.
    """
    state = ports.ledger.state()
    declared = state.get(DECLARATIONS, model)
    if ports.before is None or declared is None:
        return
    later = (row.version for _, row in state.scan(JUDGINGS, f"{model}/") if row.gates_digest == declared.gates_digest)
    for number in dict.fromkeys((*lookup.in_play(state, lookup.roles(state, model)), *later)):
        row = state.get(VERSIONS, f"{model}/{number}") if number else None
        if row is not None and row.origin == ports.before.name and registry.other_gates(row, declared.gates_digest):
            with away():
                ports.before.want_judged(model, number, ports.environment, declared.gates_digest)


@contextmanager
def away() -> Iterator[None]:
    """An environment that cannot be reached is one model's trouble at a time: what is served here does not wait for it."""
    try:
        yield
    except Unavailable as error:
        if error.code != "environment-away":
            raise
        raise FlyballError(error.what, why=error.why, fix=error.fix, code=error.code) from error


def checked_before(version: VersionRow, before: str) -> Refusal | None:
    """Why a version may not be released in an environment that another one comes before; None if it may."""
    if not before or (version.origin == before and version.checked is not None and version.checked.passed):
        return None
    ref = f"{version.model}@{version.version}"
    return Refusal(
        code="not-checked",
        what=f"{before} has not checked {ref}",
        why=f"nothing answers here that did not answer in {before} first",
        fix=f"flyball release {ref} --env {before}",
    )


def integration_text(found: Integration | None) -> str:
    """The checks in words: `5 of 5 hold`, or those that do not."""
    if found is None:
        return "not tried through a gateway"
    failed = "; ".join(f"{check.name}: {check.told}" for check in found.failed)
    return failed or f"{len(found.checks)} of {len(found.checks)} checks hold"
