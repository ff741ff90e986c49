"""The ledger's costs: append, proof, verify, rebuild, on runs as the training stage records them (queued, running, failed).

Appends are CPU per event, one event with its projection a transaction and durable (a disk sync each; its wait is in the rows as
wall time). Verify and rebuild are CPU over 100,000 events, each of a command of its own. The proof is timed in a tree of a
million leaves, and every proof is checked. Memory is the peak of a process that appends, verifies and rebuilds 100,000 and 1,000,000 events
of the same fifty models: what it adds must not grow with the events.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.report import Bar, Report, Row, main, peak_mb

from flyball.clock import Instant, VirtualClock
from flyball.ledger import merkle
from flyball.ledger.canonical import canonical
from flyball.ledger.ledger import SqlLedger, inclusion
from flyball.ledger.verify import verify
from flyball.loop.folds import FOLDS
from flyball.records.base import Event, Record, State
from flyball.records.declarations import DeclarationApplied
from flyball.records.training import RUNS, RunFailed, RunQueued, RunStarted
from flyball.records.versions import MODELS as MODEL_ROWS
from flyball.store.sql import Database

EVENTS = 100_000
LEAVES = 1_000_000
SINGLE = 2_000
ROUNDS = 5
MODELS = 50
BATCH = 100


class Append(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str
    events: tuple[Event, ...]


def decide(_state: State, command: Append, _now: Instant) -> Sequence[Event]:
    return command.events


def stream(seed: int) -> Iterator[Event]:
    """Runs without end: queued, seen running, failed."""
    chance = random.Random(seed)
    number = 0
    while True:
        run, number = f"run_{number:020d}", number + 1
        yield RunQueued(
            run=run, model=f"model-{chance.randrange(50)}", trigger="schedule", reason="every 1d", spec=chance.randbytes(32).hex()
        )
        yield RunStarted(run=run, attempt=1)
        yield RunFailed(run=run, why="its process vanished 3 times")


def ledger(folder: Path, *, durable: bool) -> SqlLedger:
    return SqlLedger(Database.open(folder / "ledger.db", durable=durable), FOLDS, VirtualClock(1_700_000_000_000_000))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(CPU, wall) seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def bare(database: Database, of: SqlLedger, first: int, commands: Sequence[Append]) -> float:
    """CPU seconds of the database alone: what `of` read and wrote for these commands, from event `first` on, through the driver's cursor.

    The rows are the finished ones, each as large as the last write of it.
    """
    sql, state = database.sql, of.state()
    runs = {run: canonical(row) for run, row in state.scan(RUNS)}
    models = {name: canonical(row) for name, row in state.scan(MODEL_ROWS)}
    with of.database.reading() as connection:
        events = {row[0]: row for row in connection.execute(sql.all_events).fetchall()}
        [frontier] = connection.execute("SELECT frontier FROM head").fetchone()
    held, rows = database.backend.connect(), sql.rows
    start = time.process_time()
    for seq, command in enumerate(commands, first):
        [event] = command.events
        puts = [("run", event.run, runs[event.run])]
        if isinstance(event, RunQueued):
            puts.append(("model", event.model, models[event.model]))
        held.execute(database.backend.begin_writing)
        held.execute(sql.head).fetchone()
        held.execute(sql.command, (command.id,)).fetchone()
        for table, key, _ in puts:
            held.execute(rows[table].get, (key,)).fetchone()
        held.execute(sql.append, events[seq])
        held.execute(sql.set_head, (seq, frontier, seq))
        for table, key, body in puts:
            held.execute(rows[table].put, (key, body))
        held.commit()
    taken = time.process_time() - start
    with of.database.reading() as connection:
        assert list(held.execute(sql.all_events)) == connection.execute(sql.all_events).fetchall()
    held.close()
    return taken


def appends(folder: Path, batch: int, report: Report) -> float:
    """Median CPU µs an event, over rounds of transactions of `batch` events; single ones in turn with the same rows through the driver alone."""
    opened, events = ledger(folder, durable=True), stream(batch)
    alone = Database.open(folder / "alone.db")
    taken, driver = [], []
    for turn in range(ROUNDS):
        commands = [
            Append(id=f"{turn}-{number}", actor="loop", events=tuple(next(events) for _ in range(batch)))
            for number in range(max(SINGLE // batch, 20))
        ]
        count = len(commands) * batch
        before = opened.size()
        taken.append(
            [1e6 * seconds / count for seconds in timed(lambda commands=commands: [opened.execute(each, decide) for each in commands])]
        )
        assert opened.size() == before + count
        if batch == 1:
            driver.append(1e6 * bare(alone, opened, before + 1, commands) / count)
    peer = "the driver alone" if driver else ""
    cpu = Row.of(f"append, {batch} a transaction, CPU", "us/event", [each[0] for each in taken], peer=peer, peer_samples=driver)
    if driver:
        report.rows.append(Row.of("the same rows through the driver alone, CPU", "us/event", driver))
    report.rows += [cpu, Row.of(f"append, {batch} a transaction, wall", "us/event", [each[1] for each in taken])]
    return cpu.median


def history(folder: Path, report: Report) -> tuple[float, float]:
    """CPU seconds of verify, and of rebuild with every row as it should be, over a ledger of EVENTS events."""
    opened, events = ledger(folder, durable=False), stream(3)
    for number in range(EVENTS):
        opened.execute(Append(id=f"cmd_{number:020d}", actor="loop", events=(next(events),)), decide)
    reports = []
    checked = [timed(lambda: reports.append(verify(opened, None))) for _ in range(3)]
    assert all(each.verified and each.events == EVENTS for each in reports)
    rebuilt = [timed(opened.rebuild) for _ in range(3)]
    assert verify(opened, None).verified
    anew = []
    for _ in range(3):
        with opened.database.writing() as connection:
            for each in opened.database.sql.rows.values():
                connection.execute(each.clear)
        anew.append(timed(opened.rebuild))
    assert verify(opened, None).verified
    medians = []
    for name, taken in (("verify", checked), ("rebuild", rebuilt), ("rebuild, where no row is left,", anew)):
        cpu = Row.of(f"{name} of {EVENTS:,} events, CPU", "s", [each[0] for each in taken])
        report.rows += [cpu, Row.of(f"{name} of {EVENTS:,} events, wall", "s", [each[1] for each in taken])]
        medians.append(cpu.median)
    return medians[0], medians[1]


def proof(folder: Path, report: Report) -> float:
    """Median wall ms of an inclusion proof in a tree of LEAVES leaves, read from the database. The events have no bodies."""
    opened = ledger(folder, durable=False)
    frontier: list[bytes] = []
    rows = (
        (size + 1, "", b"", b"".join(merkle.append(size, frontier, merkle.leaf_hash(size.to_bytes(8, "big"))))) for size in range(LEAVES)
    )
    with opened.database.writing() as connection:
        connection.executemany(opened.database.sql.append, rows)
        connection.execute(opened.database.sql.set_head, (LEAVES, b"".join(frontier), 0))
    expected = opened.head().root
    chance, taken = random.Random(1), []
    for _ in range(500):
        index = chance.randrange(LEAVES)
        start = time.perf_counter()
        with opened.database.reading() as connection:
            leaf, path = inclusion(connection, opened.database, index + 1, LEAVES)
        taken.append(1e3 * (time.perf_counter() - start))
        assert merkle.includes(leaf, index, LEAVES, path, expected)
    row = Row.of(f"inclusion proof among {LEAVES:,} events", "ms", taken)
    report.rows.append(row)
    return row.median


def declarations(seed: int) -> Iterator[Event]:
    """Fifty models that are declared anew for ever: as many events as one likes, and always the same state."""
    chance = random.Random(seed)
    while True:
        for number in range(MODELS):
            digest, body = f"sha256:{chance.randbytes(32).hex()}", chance.randbytes(32).hex()
            yield DeclarationApplied(
                model=f"model-{number}",
                file="loop.py",
                version_digest=digest,
                policy_digest=digest,
                gates_digest=digest,
                body=body,
                code=body,
                author="",
            )


def _peak(count: int, send: Connection) -> None:
    """In a process of its own: MB of peak memory after appending, verifying and rebuilding `count` events."""
    with tempfile.TemporaryDirectory() as name:
        opened, events = ledger(Path(name), durable=False), declarations(7)
        peaks = []
        for number in range(count // BATCH):
            opened.execute(Append(id=f"cmd_{number:020d}", actor="loop", events=tuple(next(events) for _ in range(BATCH))), decide)
        peaks.append(peak_mb())
        assert verify(opened, None).events == count
        peaks.append(peak_mb())
        assert opened.rebuild() == count
        peaks.append(peak_mb())
    send.send(peaks)


def memory(report: Report) -> float:
    """MB that ten times as many events add to the peak."""
    found = []
    for count in (EVENTS, LEAVES):
        receive, send = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=_peak, args=(count, send))
        process.start()
        peaks = receive.recv()
        process.join()
        found.append(peaks[-1])
        report.rows += [
            Row.of(f"peak memory, {what} {count:,} events", "MB", [peak])
            for what, peak in zip(("append", "+ verify", "+ rebuild"), peaks, strict=True)
        ]
    return found[1] - found[0]


def run(_arguments: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / part for part in ("single", "batch", "history", "proof")]
        report.bars.append(Bar.at_most("append_single_us", appends(folders[0], 1, report), 250, "us"))
        report.bars.append(Bar.at_most("append_batch100_us", appends(folders[1], 100, report), 60, "us"))
        report.bars.append(Bar.at_most("inclusion_proof_1m_ms", proof(folders[3], report), 1, "ms"))
        verified, rebuilt = history(folders[2], report)
        report.bars.append(Bar.at_most("verify_100k_s", verified, 6, "s"))
        report.bars.append(Bar.at_most("rebuild_100k_s", rebuilt, 1, "s"))
    report.bars.append(Bar.at_most("memory_added_1m_mb", memory(report), 10, "MB"))
    return report


if __name__ == "__main__":
    main(run, __doc__)
