"""Every version gets a signature, and only one that says what it is, by a key that the ledger knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyball.errors import BadInput, FlyballError, NotFound, Refused
from flyball.ledger.keys import KEY
from flyball.ledger.note import Signer, Verifier, opened, version_text
from flyball.loop.proving import AddKey, Sign, decide_add_key, decide_sign, known_key, proof, sign_versions
from flyball.loop.tick import tick
from flyball.records.base import Event, Record
from flyball.records.proofs import KEYS, KeyAdded
from flyball.records.versions import UNSIGNED, VERSIONS, VersionRegistered, VersionRow, VersionSigned
from flyball.serving.proofs import Proof, check
from flyball.wiring import Wired, open_project


class Tell(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str = "test"


def registered(version: str, artifact: str = "1" * 64) -> VersionRegistered:
    return VersionRegistered(
        model="m",
        version=version,
        run=f"run_{version}",
        artifact=artifact,
        result="3" * 64,
        version_digest="",
        policy_digest="",
        data={},
        metrics={},
    )


@pytest.fixture
def wired(tmp_path: Path) -> Iterator[Wired]:
    (tmp_path / "flyball.toml").write_text("")
    wired = open_project(tmp_path)
    tell(wired, registered("1.0.0"), registered("1.1.0", "2" * 64))
    yield wired
    wired.close()


def tell(wired: Wired, *events: Event) -> None:
    wired.ledger.execute(Tell(id=wired.ports.clock.new_id("cmd")), lambda *_: events)


def row(wired: Wired, version: str = "1.0.0") -> VersionRow:
    found = wired.ledger.state().get(VERSIONS, f"m/{version}")
    assert found is not None
    return found


def sign(wired: Wired, note: bytes, version: str = "1.0.0") -> None:
    wired.ledger.execute(
        Sign(id=wired.ports.clock.new_id("cmd"), actor="loop", model="m", version=version, note=note.decode()), decide_sign
    )


def events(wired: Wired, kind: type[Event]) -> list[Event]:
    return [one.event for one in wired.ledger.read(0, wired.ledger.size()) if isinstance(one.event, kind)]


def test_a_tick_signs_every_version_that_has_no_signature(wired: Wired) -> None:
    tick(wired.ports.clock.now(), wired.driving())
    keys = [Verifier(vkey) for vkey, _ in wired.ledger.state().scan(KEYS)]
    assert opened(row(wired, "1.0.0").signature.encode(), keys) == version_text("m@1.0.0", "1" * 64)
    assert opened(row(wired, "1.1.0").signature.encode(), keys) == version_text("m@1.1.0", "2" * 64)
    assert wired.ledger.state().scan(UNSIGNED) == []


def test_the_key_is_told_to_the_ledger_before_it_signs_and_only_once(wired: Wired) -> None:
    signer = known_key(wired.driving())
    sign_versions(wired.driving())
    assert events(wired, KeyAdded) == [KeyAdded(vkey=signer.vkey)]
    assert known_key(wired.driving()).vkey == signer.vkey
    assert len(events(wired, KeyAdded)) == 1


def test_signing_again_changes_nothing(wired: Wired) -> None:
    sign_versions(wired.driving())
    before = wired.ledger.size()
    sign_versions(wired.driving())
    assert wired.ledger.size() == before


def test_what_was_signed_before_a_crash_is_not_signed_twice(wired: Wired) -> None:
    signer = known_key(wired.driving())
    sign(wired, signer.sign(version_text("m@1.0.0", "1" * 64)))
    first = row(wired).signature
    sign_versions(wired.driving())
    assert row(wired).signature == first
    assert [event.version for event in events(wired, VersionSigned) if isinstance(event, VersionSigned)] == ["1.0.0", "1.1.0"]


def test_another_key_that_is_made_later_is_added_beside_the_first(wired: Wired) -> None:
    sign_versions(wired.driving())
    (wired.layout.root / "keys" / KEY).unlink()
    wired.close()
    again = open_project(wired.root)
    try:
        tell(again, registered("1.2.0"))
        sign_versions(again.driving())
        keys = [Verifier(vkey) for vkey, _ in again.ledger.state().scan(KEYS)]
        assert len(keys) == 2
        for version in ("1.0.0", "1.2.0"):
            assert opened(row(again, version).signature.encode(), keys)
    finally:
        again.close()


def of_another_version(signer: Signer) -> bytes:
    return signer.sign(version_text("m@1.1.0", "1" * 64))


def of_another_artifact(signer: Signer) -> bytes:
    return signer.sign(version_text("m@1.0.0", "2" * 64))


def with_more_in_it(signer: Signer) -> bytes:
    return signer.sign(version_text("m@1.0.0", "1" * 64) + "and more\n")


def by_an_unknown_key(_: Signer) -> bytes:
    return Signer("flyball/other", bytes(32)).sign(version_text("m@1.0.0", "1" * 64))


def with_another_text(signer: Signer) -> bytes:
    return signer.sign(version_text("m@1.1.0", "1" * 64)).replace(b"1.1.0", b"1.0.0")


def no_note(_: Signer) -> bytes:
    return b"signed, believe me"


@pytest.mark.parametrize("note", [of_another_version, of_another_artifact, with_more_in_it, by_an_unknown_key, with_another_text, no_note])
def test_a_note_that_does_not_hold_is_refused(wired: Wired, note: Callable[[Signer], bytes]) -> None:
    signer = known_key(wired.driving())
    with pytest.raises(Refused, match=r"m@1\.0\.0 is not signed"):
        sign(wired, note(signer))
    assert row(wired).signature == ""


def test_only_what_is_registered_can_be_signed(wired: Wired) -> None:
    signer = known_key(wired.driving())
    with pytest.raises(NotFound):
        sign(wired, signer.sign(version_text("m@9.0.0", "1" * 64)), "9.0.0")


def test_what_is_no_key_is_not_added(wired: Wired) -> None:
    with pytest.raises(BadInput):
        wired.ledger.execute(AddKey(id="c", actor="loop", vkey="flyball/x+00000000+AAAA"), decide_add_key)


def test_a_key_that_others_can_read_signs_nothing_and_the_tick_says_so(wired: Wired) -> None:
    wired.ports.signer()
    (wired.layout.root / "keys" / KEY).chmod(0o644)
    wired.close()
    again = open_project(wired.root)
    try:
        with pytest.raises(FlyballError, match="can be read by others"):
            tick(again.ports.clock.now(), again.driving())
        assert row(again).signature == ""
    finally:
        again.close()


def test_a_worker_is_shown_the_note_and_the_key_that_signed_it_alone(wired: Wired) -> None:
    sign_versions(wired.driving())
    wired.ledger.execute(AddKey(id="c", actor="loop", vkey=Signer("flyball/other", bytes(32)).vkey), decide_add_key)
    state = wired.ledger.state()
    found = proof(state, "m@1.0.0")
    assert found == Proof(note=row(wired).signature, keys=(wired.ports.signer().vkey,))
    check("m@1.0.0", "1" * 64, found)
    assert proof(state, "m@9.0.0") == Proof()
