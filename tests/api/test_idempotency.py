"""Keys of requests: the first answer stays, for a day and ten thousand requests, over restarts and crashes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flyball.api import idempotency
from flyball.api.idempotency import Keys, place_of
from flyball.clock import Span, VirtualClock
from flyball.errors import BadInput, Conflict
from flyball.governance.authority import Caller

PLACE, DIGEST = place_of(Caller(actor="user:ana", token="tok_1"), "k"), "d"


class Memory:
    def __init__(self) -> None:
        self.items: dict[str, bytes] = {}

    def load(self, key: str) -> bytes | None:
        return self.items.get(key)

    def save(self, items: Mapping[str, bytes | None]) -> None:
        for key, body in items.items():
            if body is None:
                self.items.pop(key, None)
            else:
                self.items[key] = body


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_000_000)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def keys(memory: Memory, clock: VirtualClock) -> Keys:
    return Keys(memory, clock)


def test_the_first_answer_is_given_again_after_a_restart_too(keys: Keys, memory: Memory, clock: VirtualClock) -> None:
    assert keys.begin(PLACE, DIGEST) is None
    keys.keep(PLACE, DIGEST, 202, "/runs/1", "{}")
    for each in (keys, Keys(memory, clock)):
        kept = each.begin(PLACE, DIGEST)
        assert kept is not None
        assert (kept.status, kept.location, kept.body) == (202, "/runs/1", "{}")


def test_another_request_may_not_have_the_key(keys: Keys) -> None:
    keys.begin(PLACE, DIGEST)
    with pytest.raises(BadInput) as refused:
        keys.begin(PLACE, "other")
    assert refused.value.code == "key-reused"


def test_one_that_is_being_carried_out_is_not_begun_again(keys: Keys) -> None:
    keys.begin(PLACE, DIGEST)
    with pytest.raises(Conflict):
        keys.begin(PLACE, DIGEST)


def test_one_whose_process_died_is_carried_out_again(keys: Keys, memory: Memory, clock: VirtualClock) -> None:
    keys.begin(PLACE, DIGEST)
    assert Keys(memory, clock).begin(PLACE, DIGEST) is None


def test_one_that_was_refused_frees_its_key(keys: Keys) -> None:
    keys.begin(PLACE, DIGEST)
    keys.drop(PLACE)
    assert keys.begin(PLACE, "other") is None


def test_a_key_is_forgotten_after_a_day(keys: Keys, clock: VirtualClock) -> None:
    keys.begin(PLACE, DIGEST)
    keys.keep(PLACE, DIGEST, 200, "", "{}")
    clock.advance_to(clock.now() + Span.parse("1d"))
    assert keys.begin(PLACE, "other") is None


def test_only_so_many_are_kept(keys: Keys, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST", 10)
    for number in range(100):
        assert keys.begin(f"{number}", DIGEST) is None
        keys.keep(f"{number}", DIGEST, 200, "", "{}")
    assert len(memory.items) == 21
    assert keys.begin("99", DIGEST) is not None
    assert keys.begin("89", DIGEST) is None


def test_keys_of_two_tokens_do_not_meet() -> None:
    callers = [Caller(actor="user:ana", token="tok_1"), Caller(actor="user:bo", token="tok_2"), Caller(actor="loop")]
    assert len({place_of(caller, "k") for caller in callers}) == 3
    assert place_of(callers[0], "k") == PLACE
