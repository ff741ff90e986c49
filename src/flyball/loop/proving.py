"""What the loop signs, and by which key: versions here. A reconciling step signs whatever has no signature yet, so a crash in between is healed.

A decision takes a signature only as it would be checked later: by a key that the ledger knows, on exactly that version and artifact. The
private key never comes near a decision or the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flyball.clock import Instant
from flyball.errors import Corrupt
from flyball.loop.ports import Ports
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.proofs import KEYS, KeyAdded
from flyball.records.versions import UNSIGNED, VERSIONS, VersionSigned, VersionState
from flyball.serving.proofs import Proof

if TYPE_CHECKING:
    from flyball.ledger.note import Signer

ACTOR = "loop"


class AddKey(Record, frozen=True):
    """Take signatures by this key from here on. `vkey` is its public half."""

    id: str
    actor: str
    vkey: str


def decide_add_key(state: State, command: AddKey, _now: Instant) -> Sequence[Event] | Refusal:
    """A key that is known already changes nothing; what is no key is refused."""
    from flyball.ledger.note import Verifier

    if state.get(KEYS, command.vkey) is not None:
        return ()
    try:
        Verifier(command.vkey)
    except Corrupt as error:
        return Refusal(code="bad-input", what=error.what, why=error.why, fix="send the public half of an Ed25519 key")
    return (KeyAdded(vkey=command.vkey),)


class Sign(Record, frozen=True):
    """Give a version its signature: `note` says its name and the hash of its manifest."""

    id: str
    actor: str
    model: str
    version: str
    note: str


def decide_sign(state: State, command: Sign, _now: Instant) -> Sequence[Event] | Refusal:
    """A version is signed once, by a known key, as exactly what it is. One that is signed or deleted is left alone."""
    from flyball.ledger import note

    row = state.get(VERSIONS, f"{command.model}/{command.version}")
    ref = f"{command.model}@{command.version}"
    if row is None:
        return Refusal(code="not-found", what=f"no version {ref}", fix=f"flyball models list {command.model}")
    if row.signature or row.state == VersionState.DELETED:
        return ()
    try:
        text = note.opened(command.note.encode(), [note.Verifier(vkey) for vkey, _ in state.scan(KEYS)])
    except Corrupt as error:
        return Refusal(code="refused", what=f"{ref} is not signed: {error.what}", why=error.why, fix="sign it with this project's key")
    if text != note.version_text(ref, row.artifact):
        return Refusal(
            code="refused",
            what=f"{ref} is not signed: the note is about something else",
            why="it must say this version and the hash of its manifest, and nothing more",
            fix="sign it with this project's key",
        )
    return (VersionSigned(model=command.model, version=command.version, note=command.note),)


def known_key(ports: Ports) -> Signer:
    """The project's key, told to the ledger first if it does not know it yet. Raises Refused, Corrupt, Unavailable."""
    signer = ports.signer()
    if ports.ledger.state().get(KEYS, signer.vkey) is None:
        ports.ledger.execute(AddKey(id=ports.clock.new_id("cmd"), actor=ACTOR, vkey=signer.vkey), decide_add_key)
    return signer


def proof(state: State, ref: str) -> Proof:
    """What a worker is shown of a version: its note, and the key that it says it was signed by, if the ledger knows that key."""
    model, _, version = ref.partition("@")
    row = state.get(VERSIONS, f"{model}/{version}")
    signature = row.signature if row is not None else ""
    keys = (vkey for vkey, _ in state.scan(KEYS))
    return Proof(note=signature, keys=tuple(vkey for vkey in keys if f"\n— {vkey.partition('+')[0]} " in signature))


def sign_versions(ports: Ports) -> None:
    """Sign every version that has no signature, those of a former flyball too. Raises Refused, Corrupt, Unavailable."""
    rows = [row for _, row in ports.ledger.state().scan(UNSIGNED)]
    if not rows:
        return
    from flyball.ledger.note import version_text

    signer = known_key(ports)
    for row in rows:
        signed = signer.sign(version_text(f"{row.model}@{row.version}", row.artifact)).decode()
        command = Sign(id=ports.clock.new_id("cmd"), actor=ACTOR, model=row.model, version=row.version, note=signed)
        ports.ledger.execute(command, decide_sign)
