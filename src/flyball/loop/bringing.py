"""A release where versions come from another environment: what can refuse it is asked before the version is taken over, as it would stand here.

What only persons of this environment can settle (a gate that asks for them, or that a waiver let pass there) they settle here, so that version is
taken over all the same, and the refusal says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from flyball.declare.model import Model
from flyball.governance.authority import Caller
from flyball.ledger.ledger import error_of
from flyball.loop import orders
from flyball.loop.authority import permit
from flyball.loop.carrying import Carry, decide_carry, to_release, weigh
from flyball.loop.folds import FOLDS
from flyball.loop.overlay import Overlay, after
from flyball.loop.ports import Ports
from flyball.loop.releases import Release, decide_release
from flyball.records.base import Event, Refusal
from flyball.records.models import Signature
from flyball.records.versions import UNSIGNED, VERSIONS, VersionSigned, VersionState


class Weighed(NamedTuple):
    """What taking a version over would record, and why it would not be released then. `asks`: persons of this environment can settle that."""

    carry: Carry
    events: Sequence[Event]
    refused: Refusal | None
    asks: bool


def weigh_release(ports: Ports, model: Model, version: str, caller: Caller) -> Weighed:
    """What a release of a version of the environment before would come to. Changes nothing.

    Raises Refused for one that was not tried there, or for who may not, Conflict, NotFound, Unavailable.
    """
    assert ports.before is not None, "where versions are made, none is taken over"
    carry, found = weigh(ports, to_release(ports.before, model.name, version), caller)
    if isinstance(found, Refusal):
        raise error_of(found)
    command, _ = orders.release(ports, model, version, command=carry.id, actor=caller.actor, reason="")
    permit(caller, command, ports.ledger.state)
    key, state = f"{model.name}/{version}", ports.ledger.state()
    then = after(state, found, FOLDS, ports.clock.now())
    if then.get(UNSIGNED, key) is not None:
        # it is as soon as it is here
        then = after(then, [VersionSigned(model=model.name, version=version, note=ports.environment)], FOLDS, ports.clock.now())
    refused = _refused(ports, model, command, then, carry)
    row = then.get(VERSIONS, key)
    asks = row is not None and state.get(VERSIONS, key) is None and row.state in (VersionState.HELD, VersionState.REJECTED)
    return Weighed(carry, found, refused, asks)


def _refused(ports: Ports, model: Model, command: Release, then: Overlay, carry: Carry) -> Refusal | None:
    def signature(artifact: str) -> Signature:
        # its manifest may not be here yet
        return carry.offer.what.signature if artifact == carry.offer.row.artifact else ports.library.signature(artifact)

    found = decide_release(then, command, ports.clock.now(), model=model, folds=FOLDS, signatures=signature)
    return found if isinstance(found, Refusal) else None


def take_over(ports: Ports, model: Model, version: str, caller: Caller) -> Refusal | None:
    """Take a version over as it stands in the environment before, if it may be released then; why it may not, if not. Raises as `weigh_release`."""
    carry, events, refused, asks = weigh_release(ports, model, version, caller)
    if refused is not None and not asks:
        return refused
    if events and ports.before is not None:
        ports.before.copy(carry.offer, ports.blobs)
        ports.ledger.execute(carry, decide_carry)
    if refused is None:
        return None
    why = f"{refused.why}; it was taken over from {carry.offer.origin} now, since that is settled in {ports.environment}"
    return msgspec.structs.replace(refused, why=why)
