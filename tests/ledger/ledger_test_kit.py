"""Commands, folds and events that the ledger's tests share, and a writer that tests start as a process of its own."""

import sys
from collections.abc import Sequence
from pathlib import Path

from flyball.clock import Clock, Instant, SystemClock, VirtualClock
from flyball.ledger.ledger import SqlLedger
from flyball.records.base import Event, Projection, Receipt, Record, Recorded, Refusal, State
from flyball.records.declarations import DECLARATIONS, DeclarationApplied, DeclarationRow
from flyball.records.training import RUNS, RunCancelled, RunFailed, RunQueued, RunRow, RunStarted, RunState
from flyball.store.sql import Database

START = 1_700_000_000_000_000


class Give(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str = "user:ana"


def fold_queued(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, RunQueued)
    row = RunRow(
        run=event.run,
        model=event.model,
        trigger=event.trigger,
        reason=event.reason,
        spec=event.spec,
        release=event.release,
        state=RunState.QUEUED,
        queued_at=recorded.at,
        # reads through scan, so that a wrong scan shows in a row
        attempt=len(projection.scan(RUNS)),
    )
    projection.put(RUNS, event.run, row)


def fold_started(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, RunStarted)
    row = projection.get(RUNS, event.run)
    if row is not None:
        projection.put(RUNS, event.run, RunRow(**{**fields(row), "state": RunState.RUNNING, "attempt": event.attempt}))


def fold_cancelled(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, RunCancelled)
    projection.delete(RUNS, event.run)


def fold_applied(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, DeclarationApplied)
    projection.put(DECLARATIONS, event.model, DeclarationRow(**fields(event), applied_at=recorded.at))


def fold_badly(_projection: Projection, _recorded: Recorded) -> None:
    raise KeyError("a fold with a mistake in it")


FOLDS = {
    RunQueued: fold_queued,
    RunStarted: fold_started,
    RunCancelled: fold_cancelled,
    DeclarationApplied: fold_applied,
    RunFailed: fold_badly,
}


def fields(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def queued(run: str, reason: str = "because", spec: str = "") -> RunQueued:
    return RunQueued(run=run, model="price", trigger="manual", reason=reason, spec=spec)


def open_ledger(where: Path | str, clock: Clock | None = None) -> SqlLedger:
    """In a folder, or at a database's address."""
    url = f"sqlite:///{where}/ledger.db" if isinstance(where, Path) else where
    return SqlLedger(Database.open(url), FOLDS, clock or VirtualClock(START))


def give(ledger: SqlLedger, name: str, *events: Event, actor: str = "user:ana", fence: int | None = None) -> Receipt:
    def decide(_state: State, _command: Give, _now: Instant) -> Sequence[Event] | Refusal:
        return events

    return ledger.execute(Give(id=name, actor=actor), decide, fence=fence)


def main() -> None:
    """Append pairs of events from FIRST on until COUNT commands are done (0: until killed), saying each command's number."""
    url, who, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    ledger = open_ledger(url, SystemClock())
    number = first
    while count == 0 or number < first + count:
        give(ledger, f"{who}-{number}", queued(f"{who}-{number:05d}"), RunStarted(run=f"{who}-{number:05d}", attempt=number))
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main()
