"""What every ledger must do, on every database."""

from collections.abc import Sequence
from types import ModuleType

import pytest

from flyball import errors
from flyball.clock import Instant, VirtualClock
from flyball.errors import BadInput, Conflict, Corrupt, FlyballError, Refused, Unavailable
from flyball.ledger import merkle
from flyball.ledger.ledger import SqlLedger, inclusion
from flyball.ledger.verify import verify
from flyball.records.base import Event, Receipt, Refusal, State
from flyball.records.data import DataRefused
from flyball.records.training import RUNS, RunFailed, RunStarted

from .conftest import Place


def test_a_new_ledger_is_empty_and_verifies(ledger: SqlLedger) -> None:
    assert ledger.size() == 0
    assert ledger.head().root == merkle.EMPTY
    assert list(ledger.read(0, 10)) == []
    assert ledger.state().scan(RUNS) == []
    assert verify(ledger, None).verified


def test_events_come_back_in_order_with_who_when_and_why(ledger: SqlLedger, kit: ModuleType) -> None:
    receipt = kit.give(ledger, "c1", kit.queued("r1"), kit.queued("r2"))
    assert receipt == Receipt(command="c1", first=1, last=2)
    assert kit.give(ledger, "c2", RunStarted(run="r1", attempt=1), actor="loop").first == 3
    read = list(ledger.read(0, 10))
    assert [(each.seq, each.actor, each.command) for each in read] == [(1, "user:ana", "c1"), (2, "user:ana", "c1"), (3, "loop", "c2")]
    assert read[0].event == kit.queued("r1")
    assert {each.at for each in read} == {kit.START}


def test_reading_starts_after_a_number_and_stops_at_the_limit(ledger: SqlLedger, kit: ModuleType) -> None:
    kit.give(ledger, "c", *(RunStarted(run="r", attempt=number) for number in range(2500)))
    assert [each.seq for each in ledger.read(3, 2)] == [4, 5]
    assert [each.seq for each in ledger.read(0, 10_000)] == list(range(1, 2501))
    assert list(ledger.read(2500, 5)) == []
    assert list(ledger.read(0, 0)) == []


def test_a_repeated_command_gives_the_first_receipt_and_does_not_decide_again(ledger: SqlLedger, kit: ModuleType) -> None:
    first = kit.give(ledger, "c1", kit.queued("r1"), kit.queued("r2"))
    kit.give(ledger, "c2", kit.queued("r3"))

    def never(_state: State, _command: object, _now: Instant) -> Sequence[Event]:
        raise AssertionError("decided twice")

    again = ledger.execute(kit.Give(id="c1"), never)
    assert again == Receipt(command="c1", first=first.first, last=first.last, repeated=True)
    assert ledger.size() == 3


def test_a_command_id_belongs_to_the_actor_who_used_it_first(ledger: SqlLedger, kit: ModuleType) -> None:
    kit.give(ledger, "c1", kit.queued("r1"))
    with pytest.raises(Conflict, match="used by user:ana"):
        kit.give(ledger, "c1", kit.queued("r2"), actor="user:bo")


def test_deciding_that_nothing_is_needed_writes_nothing(ledger: SqlLedger, kit: ModuleType) -> None:
    assert kit.give(ledger, "c1") == Receipt(command="c1", first=0, last=0)
    assert ledger.size() == 0
    assert not kit.give(ledger, "c1", kit.queued("r1")).repeated


def test_a_decision_sees_the_state_as_the_last_command_left_it(ledger: SqlLedger, kit: ModuleType) -> None:
    kit.give(ledger, "c1", kit.queued("r1"))

    def only_one(state: State, _command: object, _now: Instant) -> Sequence[Event] | Refusal:
        return Refusal(code="conflict", what="there is one") if state.scan(RUNS) else (kit.queued("r2"),)

    with pytest.raises(Conflict, match="there is one"):
        ledger.execute(kit.Give(id="c2"), only_one)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("refused", Refused), ("conflict", Conflict), ("not-found", errors.NotFound), ("bad-input", BadInput), ("unavailable", Unavailable)],
)
def test_a_refusal_is_raised_as_the_error_of_its_code_and_leaves_nothing(
    ledger: SqlLedger, kit: ModuleType, code: str, kind: type[FlyballError]
) -> None:
    with pytest.raises(kind) as caught:
        ledger.execute(kit.Give(id="c1"), lambda *_: Refusal(code=code, what="no", why="because", fix="ask"))
    assert (caught.value.code, caught.value.why, caught.value.fix) == (code, "because", "ask")
    assert ledger.size() == 0
    assert kit.give(ledger, "c1", kit.queued("r1")).repeated is False


def test_a_refusal_of_a_code_of_its_own_keeps_it(ledger: SqlLedger, kit: ModuleType) -> None:
    with pytest.raises(Refused) as caught:
        ledger.execute(kit.Give(id="c1"), lambda *_: Refusal(code="change-window", what="not on Fridays"))
    assert caught.value.code == "change-window"


def test_time_in_the_record_never_goes_back(place: Place, kit: ModuleType) -> None:
    kit.give(place.ledger(VirtualClock(kit.START + 50)), "c1", kit.queued("r1"))
    earlier = place.ledger(VirtualClock(kit.START))
    seen: list[Instant] = []
    earlier.execute(kit.Give(id="c2"), lambda _state, _command, now: seen.append(now) or [kit.queued("r2")])
    assert seen == [kit.START + 50]
    assert [each.at for each in earlier.read(0, 9)] == [kit.START + 50] * 2


def test_a_fold_that_fails_takes_the_whole_command_with_it(ledger: SqlLedger, kit: ModuleType) -> None:
    with pytest.raises(KeyError):
        kit.give(ledger, "c1", kit.queued("r1"), RunFailed(run="r1", why=""))
    assert ledger.size() == 0
    assert ledger.state().get(RUNS, "r1") is None
    assert verify(ledger, None).verified


def test_an_event_without_a_fold_is_refused(ledger: SqlLedger, kit: ModuleType) -> None:
    with pytest.raises(BadInput, match=r'fold for events of kind "data.refused"'):
        kit.give(ledger, "c1", DataRefused(name="d", source_mark="", violations=()))
    assert ledger.size() == 0


def test_an_event_that_is_not_what_it_declares_is_refused(ledger: SqlLedger, kit: ModuleType) -> None:
    with pytest.raises(BadInput, match="does not hold what its record declares"):
        kit.give(ledger, "c1", RunStarted(run="r1", attempt="first"))  # type: ignore[arg-type]
    with pytest.raises(BadInput):
        kit.give(ledger, "c2", kit.queued("r1", reason="x" * 20_000))
    assert ledger.size() == 0


def test_folds_of_one_command_see_the_rows_of_its_earlier_events(ledger: SqlLedger, kit: ModuleType) -> None:
    kit.give(ledger, "c1", kit.queued("b"), kit.queued("a"), RunStarted(run="b", attempt=7), kit.queued("c"))
    assert [(key, row.attempt) for key, row in ledger.state().scan(RUNS)] == [("a", 1), ("b", 7), ("c", 2)]


def test_scan_finds_a_prefix_and_nothing_else(ledger: SqlLedger, kit: ModuleType) -> None:
    kit.give(ledger, "c1", *(kit.queued(run) for run in ("a", "a/1", "a/2", "a0", "b/1", "a/é", "a%")))
    assert [key for key, _ in ledger.state().scan(RUNS, "a/")] == ["a/1", "a/2", "a/é"]


def test_keys_are_in_the_order_of_their_code_points_on_every_database(ledger: SqlLedger, kit: ModuleType) -> None:
    runs = [
        "Z",
        "a",
        "a ",
        "a%",
        "a-b",
        "a/1",
        "a/10",
        "a/2",
        "a0",
        "a_",
        "ab",
        "B",
        "é",
        "e\u0301",
        "ß",
        "\U0001f600",
        "\uffff",
        "~",
        "'",
        '"',
    ]
    kit.give(ledger, "c1", *map(kit.queued, runs))
    assert [key for key, _ in ledger.state().scan(RUNS)] == sorted(runs)
    for prefix in ("a", "a/", "a%", "a_", "é", "\U0001f600", "nothing"):
        assert [key for key, _ in ledger.state().scan(RUNS, prefix)] == sorted(run for run in runs if run.startswith(prefix))
    assert ledger.state().get(RUNS, "a%") is not None
    assert verify(ledger, None).verified


def test_a_snapshot_stays_as_it_was(ledger: SqlLedger, kit: ModuleType) -> None:
    kit.give(ledger, "c1", kit.queued("r1"))
    with ledger.state() as before:
        kit.give(ledger, "c2", kit.queued("r2"))
        assert before.size == 1
        assert [key for key, _ in before.scan(RUNS)] == ["r1"]
    assert ledger.state().size == 2


def test_a_newer_claim_fences_off_the_older_one(ledger: SqlLedger, kit: ModuleType) -> None:
    old = ledger.claim()
    kit.give(ledger, "c1", kit.queued("r1"), fence=old)
    new = ledger.claim()
    assert new > old
    with pytest.raises(Conflict) as caught:
        kit.give(ledger, "c2", kit.queued("r2"), fence=old)
    assert caught.value.code == "fenced"
    kit.give(ledger, "c3", kit.queued("r3"), fence=new)
    kit.give(ledger, "c4", kit.queued("r4"))


def test_the_tree_proves_every_event(ledger: SqlLedger, kit: ModuleType) -> None:
    for number in range(13):
        kit.give(ledger, f"c{number}", kit.queued(f"r{number}"))
    head = ledger.head()
    with ledger.database.reading() as connection:
        for index in range(head.size):
            leaf, proof = inclusion(connection, ledger.database, index + 1, head.size)
            assert merkle.includes(leaf, index, head.size, proof, head.root)


def test_opened_again_it_goes_on_where_it_stood(place: Place, kit: ModuleType) -> None:
    first = place.ledger()
    kit.give(first, "c1", kit.queued("r1"), kit.queued("r2"))
    root = first.head().root
    first.database.close()
    second = place.ledger()
    assert (second.size(), second.head().root) == (2, root)
    assert kit.give(second, "c1", kit.queued("other")).repeated
    assert kit.give(second, "c2", kit.queued("r3")).first == 3


def test_a_change_behind_its_back_is_named(place: Place, kit: ModuleType) -> None:
    ledger = place.ledger()
    kit.give(ledger, "c1", kit.queued("r1"))
    kit.give(ledger, "c2", kit.queued("r2"))
    place.alter("UPDATE event SET body = ? WHERE seq = 2", b"{}")
    place.alter("UPDATE p_run SET body = ? WHERE key = 'r1'", b"{}")
    place.alter("UPDATE event SET hashes = substr(hashes, 1, 32) WHERE seq = 2")
    place.alter("CREATE TABLE stranger (x INTEGER)")
    found = {problem.where for problem in verify(ledger, None).problems}
    assert {"event 2", "run r1", "node 1/0", "table stranger"} <= found


def test_an_event_put_where_the_next_one_belongs_stops_the_writer_with_words(place: Place, kit: ModuleType) -> None:
    ledger = place.ledger()
    kit.give(ledger, "c1", kit.queued("r1"))
    place.alter("INSERT INTO event VALUES (2, 'c9', ?, ?)", b"{}", b"")
    with pytest.raises(Corrupt, match="contradicts itself"):
        kit.give(ledger, "c2", kit.queued("r2"))
    place.alter("DELETE FROM event WHERE seq = 2")
    assert kit.give(ledger, "c2", kit.queued("r2")).first == 2


@pytest.mark.parametrize("name", ["command", "commands"])
def test_a_command_is_looked_up_by_the_index_however_many_events_there_are(place: Place, name: str) -> None:
    ledger = place.ledger()
    with ledger.database.writing() as connection:
        connection.executemany(ledger.database.sql.append, [(seq, f"c{seq}", b"x" * 400, b"y" * 64) for seq in range(1, 20_000)])
    explain = "EXPLAIN QUERY PLAN" if place.kind == "sqlite" else "EXPLAIN"
    parameters = ("none",) if name == "command" else ("none/", "none/z")
    with ledger.database.reading() as connection:
        plan = str(connection.execute(f"{explain} {getattr(ledger.database.sql, name)}", parameters).fetchall())
    assert "event_command" in plan
    assert "event_pkey" not in plan
    assert "SCAN" not in plan.upper().replace("INDEX ONLY SCAN", "").replace("INDEX SCAN", "").replace("BITMAP HEAP SCAN", "")


def test_an_event_that_was_put_under_another_command_answers_for_none(place: Place, kit: ModuleType) -> None:
    ledger = place.ledger()
    kit.give(ledger, "c1", kit.queued("r1"))
    place.alter("UPDATE event SET command = 'c2' WHERE seq = 1")
    with pytest.raises(Corrupt, match="kept as one of the command c2"):
        kit.give(ledger, "c2", kit.queued("r2"))
    assert ledger.rebuild() == 1
    assert kit.give(ledger, "c1", kit.queued("other")).repeated
    assert kit.give(ledger, "c2", kit.queued("r2")).first == 2
