"""An erasure that is given again: done once under its key, finished if it was killed, and never said to be done where it was not."""

from __future__ import annotations

import pytest

from flyball.loop.eraser import Eraser, Held
from flyball.records.data import SubjectErased

from .person_kit import OTHER, WHO, Ended, People, erase, events, share

pytestmark = pytest.mark.process
KEY = ("--idempotency-key", "request-1")


def refused(ended: Ended) -> bool:
    return (ended.code, ended.document["code"]) == (1, "key-reused")


def still_held(people: People) -> int:
    return len(people.call("data", "export", "--subject", WHO).document["rows"])


def test_a_second_time_finds_nothing_and_records_nothing(people: People) -> None:
    erase(people)
    before = people.size()
    again = erase(people)
    assert again.code == 0
    assert again.document["event"] is None
    assert people.size() == before


def test_the_same_command_again_is_the_first_one(people: People) -> None:
    first = erase(people, "--idempotency-key", "request-1")
    again = erase(people, "--idempotency-key", "request-1")
    assert first.document["event"] == again.document["event"] == people.size()


def test_a_key_is_of_one_data_set_or_of_all(people: People) -> None:
    share(people, "ledgers")
    assert erase(people, "--data", "payments", *KEY).code == 0
    before = people.size()
    assert refused(erase(people, "--data", "ledgers", *KEY))
    assert refused(erase(people, *KEY))
    assert (people.size(), still_held(people)) == (before, 17)
    assert erase(people, "--data", "ledgers", "--idempotency-key", "request-2").document["erased"]["rows"] == 17
    assert still_held(people) == 0


def test_a_key_that_was_used_for_anything_else_is_refused_where_nothing_is_held_too(people: People) -> None:
    assert people.call("token", "create", "vera", "--role", "viewer", *KEY).code == 0
    assert refused(erase(people, *KEY))
    assert refused(erase(people, *KEY, who="nobody"))
    assert not (people.state / "keys" / "subjects.key").exists()
    assert erase(people, "--idempotency-key", "request-2").code == 0
    assert refused(erase(people, "--idempotency-key", "request-2", who="nobody"))
    assert erase(people, "--idempotency-key", "request-2").code == 0


def test_rows_that_came_since_are_not_said_to_be_erased_by_the_same_command(people: People) -> None:
    erase(people, *KEY)
    people.log([[(60.0, WHO)]])
    people.log([])
    people.seal()
    before = people.size()
    ended = erase(people, *KEY)
    assert refused(ended)
    assert "2 predictions" in ended.document["detail"]
    assert (people.size(), people.traces() != []) == (before, True)
    assert erase(people, "--idempotency-key", "request-2").document["erased"]["predictions"] == 2
    assert people.traces() == []


def test_a_text_that_a_killed_erasure_left_goes_with_the_same_command_again(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    assert people.call("data", "erase", "--subject", OTHER, "--reason", WHO).code == 0
    monkeypatch.setattr(Eraser, "finish", lambda *_: 0)
    erase(people)
    monkeypatch.undo()
    [told, _] = events(people, SubjectErased)
    with people.opened(claim=True) as wired:
        assert wired.ledger.personal(told.reason) == WHO
    assert erase(people).code == 0
    assert people.traces() == []
    people.verified()


def test_the_same_command_finishes_what_a_kill_left_and_leaves_what_came_since(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    assert people.call("data", "erase", "--subject", OTHER, "--reason", WHO).code == 0
    monkeypatch.setattr(Eraser, "finish", lambda *_: 0)
    first = erase(people, *KEY)
    monkeypatch.undo()
    again = erase(people, *KEY)
    assert (again.code, again.document["event"], people.traces()) == (0, first.document["event"], [])
    assert people.call("data", "erase", "--subject", "person-1", "--reason", WHO).code == 0
    assert refused(erase(people, *KEY))
    assert people.traces() != [], "a text that came since goes by a command that records it"
    assert erase(people).document["erased"]["texts"] == 1
    assert people.traces() == []
    people.verified()


def test_of_two_that_erase_the_same_person_at_once_one_records_it(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    order, first = Eraser.order, []

    def overtaken(self: Eraser, held: Held, *given: object, **more: object):
        made = order(self, held, *given, **more)
        if not first:
            first.append(made)
            first.append(erase(people, *KEY).document)
        return made

    monkeypatch.setattr(Eraser, "order", overtaken)
    second = erase(people, *KEY)
    assert second.code == 0
    assert second.document["event"] == first[1]["event"] == people.size()
    assert second.document["erased"]["rows"] == 0
    assert len(events(people, SubjectErased)) == 1


def test_who_is_overtaken_without_a_key_says_that_nothing_is_held(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    order, first = Eraser.order, []

    def overtaken(self: Eraser, held: Held, *given: object, **more: object):
        made = order(self, held, *given, **more)
        if not first:
            first.append(made)
            assert erase(people).code == 0
        return made

    monkeypatch.setattr(Eraser, "order", overtaken)
    second = erase(people)
    assert (second.code, second.document["event"], second.document["erased"]["rows"]) == (0, None, 0)
    assert len(events(people, SubjectErased)) == 1
