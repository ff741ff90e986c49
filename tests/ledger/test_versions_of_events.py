"""Events of former versions are read for ever, as if they had been written today; what they hold stays as it was."""

import msgspec
import pytest

from flyball.errors import Corrupt
from flyball.ledger import canonical
from flyball.ledger.canonical import is_canonical, read_body, rewrite, write_body
from flyball.records.declarations import DeclarationApplied
from flyball.records.vocabulary import KINDS, UPCASTS

OLD = (
    b'{"actor":"user:ana","at":7,"command":"c1","event":{"body":"","code":"","file":"loop.py","kind":"declaration.applied",'
    b'"model":"price","policy_digest":"p","version_digest":"v"},"v":1}'
)


def test_every_former_version_of_every_kind_can_be_read() -> None:
    assert {kind: len(UPCASTS.get(kind, ())) for kind in KINDS} == {kind: struct.version_of_kind - 1 for kind, struct in KINDS.items()}
    assert set(UPCASTS) <= set(KINDS)


def test_an_event_of_a_former_version_is_read_as_one_of_today() -> None:
    read = read_body(3, OLD)
    assert read.event == DeclarationApplied(
        model="price", file="loop.py", version_digest="v", policy_digest="p", body="", code="", gates_digest="", author=""
    )
    assert (read.seq, read.at, read.actor, read.command) == (3, 7, "user:ana", "c1")
    assert rewrite(read) != OLD
    assert is_canonical(OLD), "which is why it stays whole for audit verify"


def test_an_event_is_written_with_the_version_of_its_kind() -> None:
    body = write_body(7, "user:ana", "c1", read_body(3, OLD).event)
    assert msgspec.json.decode(body)["v"] == 2
    assert read_body(3, body).event == read_body(3, OLD).event


def changed(**values: object) -> bytes:
    found = msgspec.json.decode(OLD)
    return msgspec.json.encode({**found, **values})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (changed(v=3), "version 3"),
        (changed(v=0), "version 0"),
        (changed(v="1"), "v"),
        (changed(event={"kind": "declaration.applied", "model": "price"}), "missing required field"),
        (changed(event={**msgspec.json.decode(OLD)["event"], "more": 1}), "unknown field"),
        (changed(event={"kind": "declaration.unheard"}), "kind"),
        (changed(event=[]), "object"),
        (b"[]", "object"),
    ],
)
def test_an_event_that_no_version_explains_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(Corrupt) as caught:
        read_body(3, body)
    assert why in caught.value.why


def test_upcasts_are_applied_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Third(DeclarationApplied, frozen=True, tag="declaration.applied"):
        """A later version, in which one more field came."""

        version_of_kind = 3
        note: str

    steps = (*UPCASTS["declaration.applied"], lambda fields: {**fields, "note": f"of {fields['author'] or 'nobody'}"})
    monkeypatch.setattr(canonical, "KINDS", {**KINDS, "declaration.applied": Third})
    monkeypatch.setattr(canonical, "UPCASTS", {**UPCASTS, "declaration.applied": steps})

    class Body(canonical.Record, frozen=True):
        v: int
        at: int
        actor: str
        command: str
        event: Third

    monkeypatch.setattr(canonical, "_Body", Body)
    canonical._body_decoder.cache_clear()
    try:
        event = read_body(3, OLD).event
        assert isinstance(event, Third)
        assert event.note == "of nobody"
    finally:
        canonical._body_decoder.cache_clear()
