"""Projections made again from the events."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from flyball.errors import Conflict, Corrupt
from flyball.ledger.canonical import rewrite
from flyball.ledger.folds import fold_hash
from flyball.ledger.verify import verify
from flyball.records.base import Recorded
from flyball.records.training import RUNS, RunStarted

from .conftest import Place


def test_a_rebuild_makes_the_same_rows_and_mends_changed_ones(place: Place, kit: ModuleType) -> None:
    ledger = place.ledger()
    kit.give(ledger, "c1", kit.queued("r1"), kit.queued("r2"), RunStarted(run="r2", attempt=3))
    before = ledger.state().scan(RUNS)
    place.alter("DELETE FROM p_run WHERE key = 'r1'")
    place.alter("UPDATE p_run SET body = ? WHERE key = 'r2'", b"{}")
    assert not verify(ledger, None).verified
    assert ledger.rebuild() == 3
    assert ledger.state().scan(RUNS) == before
    assert verify(ledger, None).verified


def test_a_rebuild_makes_every_row_where_there_is_none_and_removes_those_that_no_event_explains(place: Place, kit: ModuleType) -> None:
    ledger = place.ledger()
    for number in range(1_200):
        kit.give(ledger, f"c{number}", kit.queued(f"r{number}"))
    rows = ledger.state().scan(RUNS)
    place.alter("DELETE FROM p_run")
    place.alter("INSERT INTO p_run VALUES ('a', ?)", b"{}")
    place.alter("INSERT INTO p_run VALUES ('z', ?)", b"{}")
    assert ledger.rebuild() == 1_200
    assert ledger.state().scan(RUNS) == rows
    assert verify(ledger, None).problems == ()


def test_a_rebuild_puts_no_changed_event_into_force(place: Place, kit: ModuleType) -> None:
    ledger = place.ledger()
    kit.give(ledger, "c1", kit.queued("r1"), RunStarted(run="r1", attempt=3))
    [_, (seq, body)] = [(each.seq, rewrite(each)) for each in ledger.read(0, 10)]
    changed = body.replace(b'"attempt":3', b'"attempt":4')
    place.alter("UPDATE event SET body = ? WHERE seq = ?", changed, seq)
    before = ledger.state().scan(RUNS)
    with pytest.raises(Corrupt, match="not those of which the tree is made"):
        ledger.rebuild()
    assert ledger.state().scan(RUNS) == before
    place.alter("UPDATE event SET body = ? WHERE seq = ?", body, seq)
    assert ledger.rebuild() == 2


def test_an_event_that_no_fold_can_take_is_told_as_what_somebody_changed(place: Place, kit: ModuleType) -> None:
    def started(_projection: object, recorded: Recorded) -> None:
        assert recorded.event.attempt == 3, "no decision makes another"  # type: ignore[attr-defined]

    folds = {**kit.FOLDS, RunStarted: started}
    ledger = place.ledger(folds=folds)
    kit.give(ledger, "c1", kit.queued("r1"), RunStarted(run="r1", attempt=3))
    [body] = [rewrite(each) for each in ledger.read(1, 1)]
    place.alter("UPDATE event SET body = ? WHERE seq = 2", body.replace(b'"attempt":3', b'"attempt":4'))
    with pytest.raises(Corrupt, match="not those of which the tree is made"):
        ledger.rebuild()
    place.alter("UPDATE meta SET value = 'older' WHERE key = 'fold_hash'")
    assert "event 2" in [each.where for each in verify(place.ledger(folds=folds), None).problems]


def test_other_folds_make_the_projections_anew_on_opening(place: Place, kit: ModuleType) -> None:
    before = place.ledger()
    kit.give(before, "c1", kit.queued("r1"), RunStarted(run="r1", attempt=3))

    def started_otherwise(projection: object, recorded: object) -> None:
        """Another version of this fold."""

    folds = {**kit.FOLDS, RunStarted: started_otherwise}
    after = place.ledger(folds=folds)
    row = after.state().get(RUNS, "r1")
    assert row is not None
    assert row.attempt == 0
    assert verify(after, None).verified
    # whoever still runs the former folds would now write rows that the new ones do not explain
    with pytest.raises(Conflict) as caught:
        kit.give(before, "c2", kit.queued("r2"))
    assert caught.value.code == "folds-changed"


def test_the_name_of_folds_changes_with_their_code_and_not_with_their_order(kit: ModuleType) -> None:
    assert fold_hash(kit.FOLDS) == fold_hash(dict(reversed(kit.FOLDS.items())))
    assert fold_hash(kit.FOLDS) != fold_hash({**kit.FOLDS, RunStarted: kit.fold_cancelled})


def test_the_name_of_folds_is_that_of_the_code_that_was_loaded_whatever_is_written_over_its_file(tmp_path: Path, kit: ModuleType) -> None:
    source = tmp_path / "older.py"
    source.write_text("def stage(projection, recorded):\n    pass\n")
    older = ModuleType("older")
    older.__file__ = str(source)
    exec(compile(source.read_text(), source, "exec"), vars(older))
    folds = {**kit.FOLDS, RunStarted: older.stage}
    sys.modules["older"] = older
    try:
        name = fold_hash(folds)
        source.write_text(f"{source.read_text()}# as an upgrade leaves it\n")
        assert fold_hash(dict(folds)) == name
    finally:
        del sys.modules["older"]


def test_a_ledger_whose_events_are_damaged_still_opens_for_reading_and_verifying(place: Place, kit: ModuleType) -> None:
    ledger = place.ledger()
    kit.give(ledger, "c1", kit.queued("r1"))
    kit.give(ledger, "c2", kit.queued("r2"))
    ledger.database.close()
    place.alter("UPDATE event SET body = ? WHERE seq = 2", b"{}")
    place.alter("UPDATE meta SET value = 'older' WHERE key = 'fold_hash'")
    damaged = place.ledger()
    assert [each.seq for each in damaged.read(0, 1)] == [1]
    assert not verify(damaged, None).verified
    with pytest.raises(Corrupt, match="not those of which the tree is made"):
        damaged.state()
    with pytest.raises(Corrupt, match="not those of which the tree is made"):
        kit.give(damaged, "c3", kit.queued("r3"))
