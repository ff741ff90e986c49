import sqlite3
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.clock import VirtualClock
from flyball.errors import Conflict, Corrupt
from flyball.ledger.folds import fold, fold_hash
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.projection import MemoryProjection
from flyball.ledger.verify import verify
from flyball.records.base import Event
from flyball.records.training import RUNS, RunCancelled, RunQueued, RunStarted
from flyball.records.vocabulary import PROJECTIONS
from flyball.store.sql import Database

runs = st.sampled_from(["a", "a/1", "b", "ü", "run"])
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(RunQueued, run=runs, model=st.text(max_size=3), trigger=st.just("manual"), reason=st.text(max_size=5), spec=st.just("")),
    st.builds(RunStarted, run=runs, attempt=st.integers(-(2**53) + 1, 2**53 - 1)),
    st.builds(RunCancelled, run=runs, reason=st.text(max_size=5)),
)


def rows(ledger: SqlLedger) -> dict[str, list[tuple[str, bytes]]]:
    with ledger.database.reading() as connection:
        return {table.name: connection.execute(ledger.database.sql.rows[table.name].everything).fetchall() for table in PROJECTIONS}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(events, max_size=4), max_size=8))
def test_live_rebuilt_and_in_memory_projections_are_the_same(stream: list[list[Event]]) -> None:
    kit = sys.modules["ledger_test_kit"]
    with tempfile.TemporaryDirectory() as folder:
        ledger = kit.open_ledger(Path(folder))
        for number, group in enumerate(stream):
            kit.give(ledger, f"c{number}", *group)
        live = rows(ledger)
        assert verify(ledger, None).problems == ()
        assert ledger.rebuild() == sum(map(len, stream))
        assert rows(ledger) == live
        memory = MemoryProjection()
        for recorded in ledger.read(0, 1000):
            fold(ledger.folds, memory, recorded)
        assert dict(memory.rows("run")) == dict(ledger.state().scan(RUNS))
        ledger.database.close()


def test_other_folds_make_the_projections_anew_on_opening(tmp_path: Path, kit: ModuleType) -> None:
    before = kit.open_ledger(tmp_path)
    kit.give(before, "c1", kit.queued("r1"), RunStarted(run="r1", attempt=3))

    def started_otherwise(projection: object, recorded: object) -> None:
        """Another version of this fold."""

    folds = {**kit.FOLDS, RunStarted: started_otherwise}
    after = SqlLedger(Database.open(f"sqlite:///{tmp_path}/ledger.db"), folds, VirtualClock(kit.START))
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


def test_a_ledger_whose_events_are_damaged_still_opens_for_reading_and_verifying(tmp_path: Path, kit: ModuleType) -> None:
    ledger = kit.open_ledger(tmp_path)
    kit.give(ledger, "c1", kit.queued("r1"))
    kit.give(ledger, "c2", kit.queued("r2"))
    ledger.database.close()
    plain = sqlite3.connect(tmp_path / "ledger.db")
    plain.execute("UPDATE event SET body = ? WHERE seq = 2", (b"{}",))
    plain.execute("UPDATE meta SET value = 'older' WHERE key = 'fold_hash'")
    plain.commit()
    plain.close()
    damaged = kit.open_ledger(tmp_path)
    assert [each.seq for each in damaged.read(0, 1)] == [1]
    assert not verify(damaged, None).verified
    with pytest.raises(Corrupt, match="event 2 cannot be read"):
        damaged.state()
    with pytest.raises(Corrupt, match="event 2 cannot be read"):
        kit.give(damaged, "c3", kit.queued("r3"))
