"""`data show` and `data diff` tell of a data set's versions, and nothing of whose rows they are."""

from __future__ import annotations

import pytest

from flyball.clock import Span
from flyball.loop.collecting import RemoveBlobs, decide_remove
from flyball.loop.retention import chosen
from flyball.records.data import DATASET_VERSIONS, DataCollected, erasure_key

from .person_kit import OTHER, WHO, People, events, rows

pytestmark = pytest.mark.process


def test_two_versions_are_compared_by_number_or_content(people: People) -> None:
    ended = people.call("data", "diff", "payments", "1.0.0", "1.0.1")
    assert ended.code == 0, ended.err
    found = ended.document
    assert (found["rows"]["before"], found["rows"]["after"], found["rows"]["added"], found["rows"]["removed"]) == (600, 650, 50, 0)
    assert found["schema"] == {"came": [], "went": [], "retyped": []}
    assert set(found["rows"]["added_examples"][0]) == {"amount", "good", "ts"}
    by_content = people.call("data", "diff", "payments", found["before"]["content"][:10]).document
    assert by_content == found
    assert WHO not in ended.out
    assert OTHER not in ended.out


def test_a_reencoded_column_is_seen_in_its_distribution(people: People) -> None:
    people.write(rows(650).with_columns(amount=rows(650)["amount"] / 10))
    assert people.call("tick").code == 0
    found = people.call("data", "diff", "payments", "1.0.1", "1.1.0").document
    assert found["rows"]["removed"] == found["rows"]["added"] == 650
    distances = {each["column"]: each["distance"] for each in found["columns"]}
    assert distances["amount"] > 1
    assert distances["good"] == 0
    assert distances["customer"] is None


def test_show_tells_schema_profile_parents_and_chunks(people: People) -> None:
    found = people.call("data", "show", "payments").document
    assert (found["lineage"]["models"], found["lineage"]["views"]) != ([], [])
    assert {each["name"] for each in found["stats"]} == {"amount", "good", "ts", "payment", "customer"}
    first, second = found["versions"]
    assert second["parents"] == [first["content"]]
    assert first["schema_hash"] == second["schema_hash"] != ""
    assert (second["schema_version"], second["chunks"], second["chunks_shared"], second["collected_at"]) == ("1.0.0", 1, 0, None)


def test_what_is_no_version_is_refused_with_those_that_are(people: People) -> None:
    ended = people.call("data", "diff", "payments", "1.0.9")
    assert ended.code == 1
    assert "1.0.0" in ended.document["fix"]
    assert people.call("data", "diff", "nothing", "1.0.0").code == 1


def test_a_version_that_was_let_go_says_so(people: People) -> None:
    for count in (640, 630):
        people.write(rows(count))
        assert people.call("tick").code == 0
    with people.opened() as wired:
        state = wired.ledger.state()
        found = {row.version: row for _, row in state.scan(DATASET_VERSIONS, "payments/")}
        # their time is over; the head stays, and what a model was made from
        long_ago = {erasure_key("payments", row.content): 0 for row in found.values()}
        going = chosen(state, {"payments": Span(1)}, long_ago, wired.ports.clock.now(), frozenset())
        assert sorted(going.versions) == sorted(erasure_key("payments", found[number].content) for number in ("1.0.1", "1.1.0"))
        command = RemoveBlobs(id="c", actor="user:ana", blobs=(), versions=(), ended_before=0, data=going)
        wired.ledger.execute(command, decide_remove)
    assert {event.version for event in events(people, DataCollected)} == {"1.0.1", "1.1.0"}
    ended = people.call("data", "diff", "payments", "1.0.1")
    assert ended.code == 1
    assert "let it go" in ended.out
    shown = {each["version"]: each["collected_at"] is not None for each in people.call("data", "show", "payments").document["versions"]}
    assert shown == {"1.0.0": False, "1.0.1": True, "1.1.0": True, "1.2.0": False}
