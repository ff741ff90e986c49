"""A person is erased from all that is stored, and every proof stays valid."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flyball.data.refresh import refresh
from flyball.errors import Corrupt
from flyball.governance.authority import LOOP
from flyball.loop.eraser import Eraser, Held, Subjects
from flyball.loop.sealing import Sealing
from flyball.loop.tick import commit
from flyball.loop.training import run_spec, start
from flyball.records.data import DATASET_VERSIONS, DATASETS, DataCommitted, DataErased, SubjectErased
from flyball.records.declarations import DECLARATIONS

from .person_kit import OTHER, WHO, People, erase, events, rows

pytestmark = pytest.mark.process


def test_the_person_is_in_no_file_any_more_and_every_proof_holds(people: People) -> None:
    before = people.size()
    root = people.root_of(before)
    assert people.traces()
    people.verified()
    ended = erase(people)
    assert ended.code == 0, ended.err
    assert people.traces() == []
    assert people.root_of(before) == root
    people.verified()
    assert people.call("audit", "rebuild").code == 0
    people.verified()
    assert people.traces() == []


def test_other_persons_rows_are_what_they_were(people: People) -> None:
    before, log = people.frames(), people.records()
    erase(people)
    after = people.frames()
    assert set(after) == set(before)
    assert len(after) == 2
    for version, frame in before.items():
        assert after[version].equals(frame.filter(frame["customer"] != WHO))
        assert (frame["customer"] == WHO).sum() > 10
    kept = people.records()
    assert [one for one in kept if one.kind == "label"] == [one for one in log if one.request_id == "s0-r1/0" and one.kind == "label"]
    assert [one for one in kept if one.request_id == "s1-r0"] == [one for one in log if one.request_id == "s1-r0"]
    [answer, shadow] = [one for one in kept if one.request_id == "s0-r1"]
    assert answer.row_ids() == shadow.row_ids() == ["s0-r1/0", "s0-r1/2"]
    assert answer.input == [[20.0, OTHER], [40.0, "person-1"]]
    assert answer.output == [[1, 0.502], [1, 0.504]]
    assert answer.marks["t"] == [20, 40]


def test_it_is_recorded_with_what_went_and_the_versions_that_were_made_from_it(people: People) -> None:
    ended = erase(people).document
    assert ended["models"] == ["pay@1.0.0"]
    assert ended["erased"] == {"rows": 15 + 17, "versions": 2, "predictions": 4, "sent": 0, "texts": 0}
    [what] = events(people, SubjectErased)
    assert (what.data, what.rows, what.predictions) == (("payments",), 32, 4)
    assert WHO not in what.subject
    assert len(what.subject) == 64
    with people.opened() as wired:
        assert what.fingerprint == wired.subjects().make_key().fingerprint
    erased = events(people, DataErased)
    assert [one.name for one in erased] == ["payments", "payments", "log/g0/000000", "log/g0/000001"]
    # the versions come in the order of their hashes
    assert [*sorted(one.rows for one in erased[:2]), *(one.rows for one in erased[2:])] == [15, 17, 4, 0]
    with people.opened() as wired:
        state = wired.ledger.state()
        assert {row.content for _, row in state.scan(DATASET_VERSIONS)} == {one.birth for one in erased[:2]}
        assert wired.ledger.personal(what.reason) == "request 4711"
        assert all(not wired.blobs.has(one.old_content) and wired.blobs.has(one.new_content) for one in erased)


def test_a_text_about_the_person_in_an_event_goes_as_well(people: People) -> None:
    assert people.call("data", "erase", "--subject", OTHER, "--reason", WHO).code == 0
    [told] = events(people, SubjectErased)
    with people.opened() as wired:
        assert wired.ledger.personal(told.reason) == WHO
    assert [one["kind"] for one in people.call("data", "export", "--subject", WHO).document["decisions"]] == ["subject.erased"]
    assert erase(people).document["erased"]["texts"] == 1
    assert people.traces() == []
    people.verified()


def test_a_rehearsal_changes_nothing(people: People) -> None:
    before, traces = people.size(), people.traces()
    ended = erase(people, "--dry-run")
    assert [one["kind"] for one in ended.document["events"]] == ["subject.erased", *["data.erased"] * 4]
    assert (people.size(), people.traces()) == (before, traces)


def test_what_is_left_is_trained_on_under_the_same_name(people: People) -> None:
    erase(people)
    ended = people.call("train", "pay", "--trials", 0)
    assert ended.code == 0, ended.err
    assert ended.document["version"] == "1.1.0"
    with people.opened() as wired:
        head = wired.ledger.state().get(DATASETS, "payments").head
        assert ended.document["data"]["version"] == head.version
        assert not wired.blobs.has(head.content)
    assert people.traces() == []
    people.verified()


def test_a_source_that_still_has_the_rows_is_read_without_them(people: People) -> None:
    erase(people)
    more = rows(650).with_columns(amount=rows(650)["amount"] + 1)
    people.write(more)
    assert people.call("tick").code == 0
    shown = people.call("data", "show", "payments").document
    head = shown["head"]
    assert head["erased"] == 17
    assert head["rows"] == 650 - 17
    assert people.traces() == []
    people.verified()


def test_a_touched_source_makes_no_new_version(people: People) -> None:
    erase(people)
    with people.opened() as wired:
        before = wired.ledger.state().get(DATASETS, "payments").head
    people.write(rows(650))
    os.utime(people.root / "data" / "payments.csv", (1, 1))
    assert people.call("tick").code == 0
    with people.opened() as wired:
        after = wired.ledger.state().get(DATASETS, "payments").head
    assert (after.version, after.content) == (before.version, before.content)
    assert after.erased == 17
    assert people.traces() == []


def test_a_tick_whose_sources_are_as_they_were_does_not_read_who_was_erased(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    erase(people)
    assert people.call("tick").code == 0
    asked: list[str] = []
    monkeypatch.setattr(Subjects, "erasures", lambda _self, name: asked.append(name))
    assert people.call("tick").code == 0
    assert asked == []


def test_without_the_key_nothing_is_read_in_which_the_person_may_be(people: People) -> None:
    erase(people)
    (people.state / "keys" / "subjects.key").unlink()
    people.write(rows(600))
    with people.opened() as wired, pytest.raises(Corrupt, match=r"subjects.key is missing"):
        wired.subjects().erasures("payments")
    assert people.call("tick").code == 1
    assert people.traces() == []


def test_neither_a_rehearsal_nor_an_erasure_of_nobody_makes_the_key(people: People) -> None:
    assert erase(people, "--dry-run").code == 0
    assert erase(people, "--dry-run", "--idempotency-key", "k").code == 0
    assert erase(people, who="nobody").code == 0
    assert erase(people, "--idempotency-key", "k", who="nobody").code == 0
    assert not (people.state / "keys" / "subjects.key").exists()


def test_rows_in_the_open_log_are_left_out_when_it_is_sealed(people: People) -> None:
    people.log([[(60.0, WHO)], [(70.0, OTHER)]], labels=["s3-r0"])
    ended = erase(people)
    assert ended.document["waiting"] == 2
    assert people.traces() == ["log/g0/000003.wal"]
    people.log([])
    people.seal()
    assert people.traces() == []
    assert [record.input for record in people.records() if record.kind == "answer"][-1] == [[70.0, OTHER]]
    people.verified()
    assert erase(people).document["event"] is None


def test_rows_that_come_after_the_erasure_are_new_ones(people: People) -> None:
    erase(people)
    people.log([[(60.0, WHO)]])
    people.log([])
    people.seal()
    assert [record.input for record in people.records() if record.kind == "answer"][-1] == [[60.0, WHO]]
    assert erase(people).document["erased"]["predictions"] == 2
    assert people.traces() == []
    people.verified()


def test_a_kill_between_the_record_and_the_removal_is_healed(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Eraser, "finish", lambda *_: 0)
    erase(people)
    monkeypatch.undo()
    assert people.traces()
    people.verified()
    before = people.size()
    ended = erase(people).document
    assert (ended["event"], ended["blobs_removed"]) == (None, 6)
    assert (people.traces(), people.size()) == ([], before)


def test_the_next_control_plane_heals_it_too(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Eraser, "finish", lambda *_: 0)
    erase(people)
    with people.opened(claim=True):
        pass
    assert people.traces() == []


def test_a_chain_that_ends_in_nothing_is_named(people: People) -> None:
    erase(people)
    last = events(people, DataErased)[0]
    with people.opened() as wired:
        wired.blobs.remove(last.new_content)
    ended = people.call("audit", "verify")
    assert ended.code == 1
    [problem] = ended.document["problems"]
    assert problem["where"] == f"blob {last.new_content}"
    assert "new_content" in problem["what"]


def test_two_persons_one_after_the_other(people: People) -> None:
    erase(people)
    ended = erase(people, who=OTHER)
    assert ended.document["erased"]["versions"] == 2
    assert (people.traces(), people.traces(OTHER)) == ([], [])
    people.verified()
    assert {frame["customer"].n_unique() for frame in people.frames().values()} == {38}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--subject", WHO, "--reason", f"mail of {WHO}"), "the reason holds the person's name"),
        (("--subject", WHO), "an erasure needs a reason"),
        (("--subject", WHO, "--reason", " ", "--dry-run"), "an erasure needs a reason"),
        (("--subject", ""), "names nobody"),
        (("--subject", WHO, "--data", "payment", "--reason", "request 1"), 'no data set "payment"'),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason(people: People, arguments: tuple[str, ...], what: str) -> None:
    ended = people.call("data", "erase", *arguments)
    assert ended.code == (2 if "needs a reason" in what or "names nobody" in what else 1)
    assert what in ended.document["detail"]
    assert WHO not in ended.document["detail"]
    assert people.traces(), "nothing was erased"


def test_everything_of_a_person_is_exported_and_nothing_of_others(people: People, tmp_path: Path) -> None:
    people.log([[(60.0, WHO)]])
    ended = people.call("data", "export", "--subject", WHO).document
    frame = rows(650)
    own = frame.filter(frame["customer"] == WHO)
    assert [one["row"]["payment"] for one in ended["rows"]] == own["payment"].to_list()
    assert sorted(ended["rows"][0]["versions"]) == ["1.0.0", "1.0.1"]
    assert ended["rows"][-1]["versions"] == ["1.0.1"]
    [feature] = ended["features"]
    assert (feature["view"], feature["values"]["times"]) == ("habits", pytest.approx(own.height, abs=1))
    answers = [one for one in ended["predictions"] if one["kind"] == "answer"]
    assert [(one["id"], one["row"]["amount"], one["value"]) for one in answers] == [
        ("s0-r0", 10.0, 1),
        ("s0-r1/1", 30.0, 1),
        ("s3-r0", 60.0, 1),
    ]
    assert {(one["id"], one["value"]) for one in ended["labels"]} == {("s0-r0", 1), ("s0-r1/1", 1)}
    assert ended["models"] == ["pay@1.0.0"]
    assert "person-1" not in str(ended)
    assert OTHER not in str(ended)
    files = people.call("data", "export", "--subject", WHO, "--out", tmp_path / "out")
    assert files.code == 0
    assert len((tmp_path / "out" / "rows.jsonl").read_text().splitlines()) == own.height
    erase(people)
    after = people.call("data", "export", "--subject", WHO).document
    assert (after["rows"], after["features"], after["labels"]) == ([], [], [])
    assert [one["kind"] for one in after["decisions"]] == ["subject.erased"]


def test_data_sets_are_listed_with_their_versions(people: People) -> None:
    [listed] = people.call("data").document["datasets"]
    assert (listed["name"], listed["head"]["version"]) == ("payments", "1.0.1")
    assert len(people.call("data", "show", "payments").document["versions"]) == 2
    assert people.call("data", "show", "payment").code == 1


def test_a_backup_that_is_brought_up_to_date_forgets_the_person_too(people: People, tmp_path: Path) -> None:
    assert people.call("backup", tmp_path / "kept").code == 0
    assert people.traces(folder=tmp_path / "kept")
    erase(people)
    assert people.call("backup", tmp_path / "kept").code == 0
    assert people.traces(folder=tmp_path / "kept") == []


def test_a_run_that_learns_from_the_rows_just_now_is_waited_for(people: People) -> None:
    with people.opened() as wired:
        ports = wired.acting(LOOP)
        model = ports.library.model(ports.ledger.state().get(DECLARATIONS, "pay").body)
        spec = run_spec(ports, ports.ledger.state(), model, "manual", ports.clock.now())
        run, _ = start(ports, spec, trigger="manual", reason="test", actor="loop")
    before = people.traces()
    ended = erase(people)
    assert (ended.code, ended.document["code"], ended.document["retry"]) == (3, "busy", "later")
    assert run in ended.document["detail"]
    assert people.traces() == before
    people.verified()


def test_what_was_stored_while_the_rows_were_looked_for_is_looked_through_too(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    find, looks = Eraser.find, []

    def slow(self: Eraser, subject: str, name: str = "") -> Held:
        held = find(self, subject, name)
        looks.append(held)
        if len(looks) == 1:
            people.write(rows(640))
            assert people.call("tick").code == 0
        return held

    monkeypatch.setattr(Eraser, "find", slow)
    assert erase(people).document["erased"]["versions"] == 3
    assert len(looks) == 2
    assert people.traces() == []
    people.verified()


def test_a_source_that_was_read_before_the_erasure_is_read_again(people: People) -> None:
    with people.opened() as wired:
        people.write(rows(640))
        ports = wired.acting(LOOP)
        model = ports.library.model(ports.ledger.state().get(DECLARATIONS, "pay").body)
        row = ports.ledger.state().get(DATASETS, "payments")
        found = refresh(model.data, people.root, wired.blobs, row)
        assert isinstance(found, DataCommitted)
        erase(people)
        assert people.traces()
        commit(ports, found)
        assert people.traces() == []
        again = refresh(model.data, people.root, wired.blobs, row, lambda: wired.subjects().erasures("payments"))
        assert isinstance(again, DataCommitted)
        commit(ports, again)
        assert ports.ledger.state().get(DATASETS, "payments").head.erased == 16
    assert people.traces() == []
    people.verified()


def test_a_segment_that_was_read_before_the_erasure_is_sealed_again(people: People) -> None:
    people.log([[(60.0, WHO)], [(70.0, OTHER)]])
    people.log([])
    with people.opened(claim=True) as wired:
        sealing = Sealing(wired.layout.log, wired.blobs, wired.subjects().forgetting)
        for _ in range(3):
            sealing.look()
            sealing.step(wired.ports)
            if sealing._thread is not None:
                sealing._thread.join()
            if any(file.number == 3 for file in sealing._finished) and sealing._made is not None and sealing._made[0].number == 3:
                break
        assert sealing._made is not None
        unfiltered = sealing._made[0].parquet_sha256
        assert erase(people).document["waiting"] == 2
        for _ in range(4):
            sealing.look()
            sealing.step(wired.ports)
            if sealing._thread is not None:
                sealing._thread.join()
        sealing.step(wired.ports)
        [row] = [row for row in wired.subjects().segments() if row.number == 3]
        assert (row.erased, row.parquet_sha256 == unfiltered) == (2, False)
    assert people.traces() == []


def test_a_viewer_may_not_erase(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    made = people.call("token", "create", "vera", "--role", "viewer")
    assert made.code == 0, made.out
    monkeypatch.setenv("FLYBALL_TOKEN", made.document["secret"])
    ended = erase(people)
    assert (ended.code, ended.document["code"]) == (1, "refused")
    assert "operator or admin" in ended.document["detail"]
    monkeypatch.delenv("FLYBALL_TOKEN")
    assert people.traces()
