"""Data sets that hold the very same bytes: each is erased from by itself, and none loses what another still has."""

from __future__ import annotations

import pytest

from flyball.data.commit import load_content
from flyball.data.manifest import names
from flyball.loop.eraser import Eraser, Held
from flyball.records.data import DATASETS, DataErased

from .person_kit import OTHER, WHO, People, erase, events, share

pytestmark = pytest.mark.process


def lies(people: People, name: str, content: str) -> str:
    with people.opened() as wired:
        where = wired.subjects().present(name, content)
        wired.blobs.check(where)
    return where


def test_a_data_set_that_shares_a_content_with_the_named_one_keeps_it(people: People) -> None:
    content = share(people, "ledgers")
    ended = erase(people, "--data", "payments").document
    assert (ended["erased"]["versions"], ended["erased"]["rows"]) == (2, 15 + 17)
    assert lies(people, "ledgers", content) == content != lies(people, "payments", content)
    assert {one.name for one in events(people, DataErased) if not one.name.startswith("log/")} == {"payments"}
    people.verified()
    assert people.call("audit", "rebuild").code == 0
    assert lies(people, "ledgers", content) == content
    assert erase(people).document["erased"]["versions"] == 1
    assert people.traces() == []
    assert lies(people, "ledgers", content) == lies(people, "payments", content)
    people.verified()


def test_each_data_set_that_shares_a_content_names_its_persons_by_its_own_column(people: People) -> None:
    content = share(people, "ledgers", subject="payment")
    assert erase(people, who="p0").document["erased"]["versions"] == 1
    ended = erase(people).document["erased"]
    assert (ended["versions"], ended["rows"]) == (2, 15 + 17)
    where = lies(people, "ledgers", content)
    with people.opened() as wired:
        left = load_content(where, wired.blobs)
    assert ("p0" in left["payment"].to_list(), WHO in left["customer"].to_list()) == (False, True)
    people.verified()


def test_a_content_that_is_committed_again_after_an_erasure_is_kept(people: People) -> None:
    with people.opened() as wired:
        content = wired.ledger.state().get(DATASETS, "payments").head.content
        data = [wired.blobs.get(blob) for blob in (content, *names(content, wired.blobs))]
    erase(people)
    with people.opened() as wired:
        for each in data:
            wired.blobs.put(each)
    assert share(people, "copies", subject="") == content
    with people.opened(claim=True):
        pass
    assert lies(people, "copies", content) == content
    people.verified()


def test_a_missing_content_that_another_data_set_still_has_is_named(people: People) -> None:
    content = share(people, "ledgers")
    erase(people, "--data", "payments")
    with people.opened() as wired:
        wired.blobs.remove(content)
    [problem] = people.call("audit", "verify").document["problems"]
    assert problem["where"] == f"blob {content}"


def test_bytes_that_another_data_set_stores_while_they_are_looked_for_are_looked_through_there_too(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(people, "ledgers")
    find, looks = Eraser.find, []

    def slow(self: Eraser, subject: str, name: str = "") -> Held:
        looks.append(find(self, subject, name))
        if len(looks) == 1:
            # the payments have these bytes, so that they were looked through: as theirs
            share(people, "ledgers", version="1.0.0")
        return looks[-1]

    monkeypatch.setattr(Eraser, "find", slow)
    assert erase(people).document["erased"]["versions"] == 4
    assert len(looks) == 2
    assert people.traces() == []
    people.verified()


def test_a_lost_key_is_not_replaced_by_an_erasure_in_another_data_set(people: People) -> None:
    share(people, "ledgers")
    erase(people, "--data", "payments")
    key = people.state / "keys" / "subjects.key"
    kept = key.read_text()
    key.unlink()
    before = people.size()
    ended = erase(people, "--data", "ledgers", who=OTHER)
    assert (ended.code, ended.document["code"]) == (1, "corrupt")
    assert "restore it from a backup" in ended.document["fix"]
    key.write_text("00" * 32)
    key.chmod(0o600)
    assert "is another one" in erase(people, "--data", "ledgers", who=OTHER).document["detail"]
    assert people.size() == before
    key.write_text(kept)
    assert erase(people, "--data", "ledgers", who=OTHER).code == 0
