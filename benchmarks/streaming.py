"""A busy model's rows: as frames for the fold, as a gateway's log for the loop, and a month of it as the loop keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from benchmarks.report import Report, Row

from flyball.api.heap import Heap
from flyball.clock import Span
from flyball.evaluation.counts import Folder
from flyball.evaluation.reference import bin_frame, reference
from flyball.loop import memory
from flyball.monitoring.state import MonitorState, absorb, released
from flyball.records.evidence import Batch, Bins, Cursor, LabelBlock, Quality, Traffic, Watch
from flyball.serving import wal
from flyball.serving.evidence import LiveEvidence
from flyball.store.operational import Operational
from flyball.store.sql import Database

NUMBERS, TEXTS = 7, {"kind": 3, "shop": 40, "item": 2_000}
NAMES = (*(f"x{place}" for place in range(NUMBERS)), *TEXTS)
START = 1_700_000_000_000_000
DELAY = Span.parse("1m")
RATE, SECONDS, LABELLED, ROUNDS = 500, 180, 0.1, 5
BUSIER = 4_000
"""Requests a second at which what a look costs by itself is shared by many more."""

FLEET = 200
"""Models that answer little, each of which a look has to count."""

MINUTE = 60_000_000
DAYS, SLICES, MONTH_COLUMNS = 30, 10, 20


def table(random: np.random.Generator, rows: int) -> pl.DataFrame:
    """Requests: seven numbers, three texts of 3, 40 and 2,000 values."""
    numbers = {f"x{place}": random.lognormal(size=rows) if place % 2 else random.normal(size=rows) for place in range(NUMBERS)}
    texts = {name: pl.Series(random.integers(0, count, rows)).cast(pl.String) for name, count in TEXTS.items()}
    return pl.DataFrame({**numbers, **texts})


def watched(random: np.random.Generator) -> Watch:
    """What the loop watches of the model, against a reference of 70 days."""
    rows = 100_000
    at = START - Span.parse("70d") + np.arange(rows) * (int(Span.parse("70d")) // rows)
    frame = table(random, rows).with_columns(prediction=pl.Series(random.integers(0, 2, rows).astype(float)), at=pl.Series(at))
    bins = reference(frame, [*NAMES, "prediction"], time="at", slices={"kind": "kind"})
    return Watch(model="m", task="binary", label_delay=DELAY, slices=("kind",), bins=bins)


def fold(batch: int, rows: int) -> float:
    """CPU seconds of folding so many rows, four in five of them labelled, in batches of so many."""
    random = np.random.default_rng(1)
    folder = Folder(watched(random))
    made = [_batch(random, first, batch) for first in range(0, rows, batch)]
    matured = 0
    start = time.process_time()
    for asked, labels, until in made:
        folder.add(asked, labels)
        matured += sum(part.matured for part in folder.take(until).quality if not part.slice)
    last = folder.take(made[-1][2] + DELAY)
    spent = time.process_time() - start
    assert matured + sum(part.matured for part in last.quality if not part.slice) == sum(len(asked) for asked, _, _ in made)
    return spent


def _batch(random: np.random.Generator, first: int, rows: int) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    ids = pl.Series("request_id", [f"{place:026d}" for place in range(first, first + rows)])
    at = pl.Series("at", START + np.arange(first, first + rows) * (1_000_000 // RATE))
    asked = table(random, rows).with_columns(
        ids,
        at,
        version=pl.lit("1.0.0"),
        latency_us=pl.Series(random.integers(500, 2_000, rows)),
        score=pl.Series(random.random(rows)),
        value=pl.Series(random.integers(0, 2, rows).astype(float)),
    )
    told = pl.Series(random.random(rows) < 0.8)
    labels = pl.DataFrame([ids, at + 10_000_000, pl.Series("value", random.integers(0, 2, rows).astype(float))]).filter(told)
    return asked, labels, int(at[-1])


def requests(root: Path, report: Report) -> float:
    """CPU µs that monitoring costs for a request, the median of several runs of three minutes; and once where requests are eight times as many."""
    found = 0.0
    for rate, seconds, rounds in ((BUSIER, 120, 1), (RATE, SECONDS, ROUNDS)):
        runs = [live(root / f"{rate}-{each}", rate, seconds) for each in range(rounds)]
        report.rows += [
            every := Row.of(
                f"a request of the log, {rate:,} a second, {LABELLED:.0%} labelled: all looks", "CPU µs", [own[0] for own in runs]
            ),
            Row.of("… and a look in which it is left for the next", "CPU µs", [own[1] for own in runs]),
        ]
        found = every.median
    return found


def live(root: Path, rate: int, seconds: int) -> tuple[float, float]:
    """CPU µs a request of what the loop does with the log each second, from frames on disk to the saved state: all that monitoring costs while requests
    come, reading and counting included; and of a look in which nothing is counted. `rate` requests a second for so many seconds, of which the first
    third is not counted.
    """
    random = np.random.default_rng(2)
    watch = watched(random)
    with _loop(root, {"m": watch}) as loop:
        samples, heap = [], Heap()
        for second in range(seconds):
            loop.log.append(_frames(random, second, loop.mono, rate))
            start = time.process_time()
            loop.look(second)
            heap.look(second)
            samples.append((time.process_time() - start) / rate * 1e6)
        counted = sum(slab.n for slab in memory.load(loop.kept_in).monitor("m").slabs)
    assert counted > rate * (seconds - 60), counted
    # the first seconds read the log from its beginning and import what they need
    steady = np.array(samples[seconds // 3 :])
    return float(steady.mean()), float(np.median(steady))


def fleet(root: Path, report: Report) -> None:
    """CPU ms a second of counting many models that each answer once a second, looked at each second for two minutes, of which the first is not counted."""
    random = np.random.default_rng(4)
    own = watched(random)
    watches = {f"m{place}": msgspec.structs.replace(own, model=f"m{place}") for place in range(FLEET)}
    samples, counted = [], 0
    with _loop(root, watches) as loop:
        for second in range(120):
            loop.log.append(_frames(random, second, loop.mono, FLEET, models=list(watches)))
            start = time.process_time()
            batch = loop.look(second)
            samples.append((time.process_time() - start) * 1e3)
            counted += sum(part.n for part in batch.traffic)
    assert counted > FLEET * 90, counted
    report.rows.append(
        Row.of(f"a second's counting of {FLEET} models that answer once each: the mean", "CPU ms", [float(np.mean(samples[60:]))])
    )


@dataclass(frozen=True)
class _Loop:
    """What the loop does with a gateway's log, from the frames on disk to the saved state of these models."""

    log: wal.Writer
    mono: int
    wall: int
    kept_in: Operational
    evidence: LiveEvidence
    watches: dict[str, Watch]

    def look(self, second: int) -> Batch:
        kept = memory.load(self.kept_in)
        batch, cursor = self.evidence.since(kept.cursor, (self.wall + (second + 1) * 10**9) // 1_000, self.watches)
        memory.save(self.kept_in, kept.with_batch(batch, cursor, dict.fromkeys(self.watches), self.watches))
        return batch


@contextmanager
def _loop(root: Path, watches: dict[str, Watch]) -> Iterator[_Loop]:
    log = wal.Writer(root / "log", "g0", reserve_bytes=0, segment_bytes=1 << 40)
    header = wal.read_header(log.path)
    assert header is not None
    database = Database.open(root / "ledger.db")
    loop = _Loop(log, header[0].monotonic_ns, header[0].wall_ns, Operational(database), LiveEvidence(root), watches)
    kept = memory.load(loop.kept_in)
    for name in watches:
        kept = kept.with_monitor(released(kept.monitor(name), "1.0.0", 0.25, loop.wall // 1_000))
    memory.save(loop.kept_in, kept)
    log.append([log.declare(f"{name}@1.0.0", NAMES) for name in watches])
    yield loop
    log.close()
    database.close()


def _frames(random: np.random.Generator, second: int, mono: int, rate: int, models: Sequence[str] = ("m",)) -> list[bytes]:
    pack = msgspec.msgpack.encode
    answers = random.integers(0, 2, rate)
    found = []
    for place, row in enumerate(table(random, rate).rows()):
        picked = mono + second * 10**9 + place * (10**9 // rate)
        model = models[place % len(models)]
        found.append(
            wal.frame(
                "answer",
                f"{second:016d}{place:010d}",
                picked_ns=picked,
                answered_ns=picked + 1_000_000 + int(random.integers(0, 500_000)),
                epoch=1,
                version=f"{model}@1.0.0",
                role="champion",
                rows=1,
                packed_input=pack([list(row)]),
                packed_output=pack([[float(answers[place]), float(random.random())]]),
            )
        )
        if second >= 30 and random.random() < LABELLED:
            found.append(wal.label_frame(model, f"{second - 30:016d}{place:010d}", int(answers[place]), 0, now_ns=picked))
    return found


def month(root: Path, report: Report) -> None:
    """Bytes of what the loop keeps of a month of one model with 20 columns and 10 slices, and what a second's batch adds to them."""
    random = np.random.default_rng(3)
    bins = _columns(random)
    state = released(MonitorState(model="m"), "1.0.0", 0.25, START)
    for hour in range(DAYS * 24):
        state = absorb(state, _hour(random, bins, hour), bins)
    root.mkdir()
    database = Database.open(root / "ledger.db")
    store = Operational(database)
    kept = memory.save(store, memory.load(store).with_monitor(state))
    size = _stored(database)
    samples = []
    for second in range(20):
        until = START + DAYS * 24 * 60 * MINUTE + second * 1_000_000
        grown = kept.with_monitor(absorb(memory.load(store).monitor("m"), _second(until), bins))
        start = time.process_time()
        kept = memory.save(store, grown)
        samples.append((time.process_time() - start) * 1e3)
    kept = memory.load(store)
    assert kept.monitor("m").slabs
    assert kept.cursor == Cursor()
    report.rows += [
        Row.of(f"state of a month of one model, {MONTH_COLUMNS} columns, {SLICES} slices", "MB", [size / 1e6]),
        Row.of("… to save what a second adds", "CPU ms", samples),
    ]
    assert size <= 20e6, size
    database.close()


def _stored(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute("select sum(length(body)) from operational").fetchone()[0])


def _columns(random: np.random.Generator) -> tuple[Bins, ...]:
    frame = pl.DataFrame({f"x{place}": random.normal(size=20_000) for place in range(MONTH_COLUMNS)})
    return reference(frame, frame.columns)


def _hour(random: np.random.Generator, bins: tuple[Bins, ...], hour: int) -> Batch:
    until = START + (hour + 1) * 60 * MINUTE
    minutes = range(until // MINUTE - 60, until // MINUTE)
    frame = pl.DataFrame({own.column: random.normal(size=600) for own in bins})
    return Batch(
        until=until,
        traffic=tuple(
            Traffic("m", "1.0.0", "champion", "", 0, minute, n=600, latency=dict.fromkeys(range(70, 100), 20)) for minute in minutes
        ),
        quality=tuple(_quality(minute, place) for minute in minutes for place in range(SLICES + 1)),
        blocks=(LabelBlock("m", "1.0.0", tuple((random.random(16) < 0.2).astype(float).tolist()), until),),
        inputs=bin_frame(bins, frame, model="m"),
    )


def _second(until: int) -> Batch:
    return Batch(until=until, quality=tuple(_quality(until // MINUTE, place) for place in range(SLICES + 1)))


def _quality(minute: int, place: int) -> Quality:
    name = f"kind={place}" if place else ""
    return Quality(
        "m",
        "1.0.0",
        "champion",
        name,
        minute,
        matured=600,
        labelled=480,
        correct=400,
        tp=200,
        fp=40,
        fn=40,
        tn=200,
        loss=80.0,
        loss_sq=80.0,
    )
