"""Data sets: a version committed, a person erased from five of them, a contract checked, and one that is larger than the memory it is given.

Inputs come from a seed. What is timed is checked as well: rows read back, the person in none of them, other chunks untouched.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import polars as pl
from benchmarks.contract import contracts
from benchmarks.report import Bar, Report, Row, main, peak_mb

from flyball.data.commit import commit, load_content, scan
from flyball.data.manifest import manifest, names, read
from flyball.data.refresh import refresh
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.views import FeatureView, Window
from flyball.governance.authority import LOOP
from flyball.loop.eraser import Eraser
from flyball.loop.erasing import decide_erase
from flyball.records.base import Event, Record
from flyball.records.data import DataCommitted, DatasetVersion
from flyball.store.blobs import LocalBlobs
from flyball.training.streamed import training_batches
from flyball.wiring import open_project

ROWS = 1_000_000
ROUNDS = 3
PERSONS = 30_000
START = 1_700_000_000_000_000


def columns(width: int) -> dict[str, type]:
    """Declared columns, so that with the time and the person there are `width` in all."""
    kinds: list[type] = [float, float, int, str]
    return {f"c{place}": kinds[place % 4] for place in range(width - 2)}


def dataset(name: str, width: int) -> Dataset:
    return Dataset(name, source="rows.parquet", time="at", subject="who", columns=columns(width))


def rows(width: int, count: int, seed: int, first: int = 0) -> pl.DataFrame:
    """Rows in order of time, two seconds apart on average, of persons at random."""
    chance = np.random.default_rng(seed)
    made: dict[str, pl.Series] = {}
    for name, kind in columns(width).items():
        if kind is float:
            made[name] = pl.Series(chance.normal(100, 30, count).round(3))
        elif kind is int:
            made[name] = pl.Series(chance.integers(0, 5_000, count))
        else:
            made[name] = pl.Series(chance.integers(0, 40, count)).cast(pl.String)
    steps = chance.integers(1, 4_000_000, count)
    made["at"] = pl.Series(START + first + np.cumsum(steps)).cast(pl.Datetime("us"))
    made["who"] = "person-" + pl.Series(chance.integers(0, PERSONS, count)).cast(pl.String)
    return pl.DataFrame(made)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """(CPU, wall) seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def commits(folder: Path, report: Report) -> float:
    """Median CPU seconds of committing 1M × 9, profile and all; and of the same rows with 1% more at the end."""
    data, frame = dataset("rows", 9), rows(9, ROWS, 1)
    more = pl.concat([frame, rows(9, ROWS // 100, 2, int(frame["at"].cast(pl.Int64)[-1]) - START)])
    first, appended = [], []
    for turn in range(ROUNDS):
        blobs = LocalBlobs(folder / str(turn))
        made: list[DatasetVersion] = []
        first.append(timed(lambda blobs=blobs, made=made: made.append(commit(data, frame, blobs, None, "m"))))
        appended.append(timed(lambda blobs=blobs, made=made: made.append(commit(data, more, blobs, made[0], "m"))))
        assert load_content(made[0].content, blobs).equals(frame)
        assert (made[1].version, len(manifest(made[0].content, blobs).chunks)) == ("1.0.1", len(names(made[0].content, blobs)))
        assert len(names(made[0].content, blobs) - names(made[1].content, blobs)) <= 1
    report.rows += _rows("commit of 1M × 9", first) + _rows("commit of the same and 1% more", appended)
    return report.rows[0].median


def _rows(name: str, taken: list[tuple[float, float]]) -> list[Row]:
    return [Row.of(f"{name}, CPU", "s", [cpu for cpu, _ in taken]), Row.of(f"{name}, wall", "s", [wall for _, wall in taken])]


class Tell(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str = "loop"


def erasures(folder: Path, report: Report) -> float:
    """Median CPU seconds until a person is in none of five versions of a data set that grew to 1M × 11: found, rewritten, recorded, removed."""
    (folder / "flyball.toml").touch()
    whole = rows(11, ROWS, 3)
    data, taken = dataset("people", 11), []
    with closing(open_project(folder)) as wired:
        ports = wired.acting(LOOP)

        def tell(*events: Event) -> None:
            wired.ledger.execute(Tell(id=ports.clock.new_id("cmd")), lambda *_: events)

        head, held = None, []
        for share in (60, 70, 80, 90, 100):
            head = commit(data, whole.head(ROWS * share // 100), wired.blobs, head, str(share))
            tell(DataCommitted(version=head))
            held.append(head)
        # the one with the most rows of the first few: a few dozen of them
        counted = whole["who"].value_counts(sort=True)
        persons, most = counted["who"].head(ROUNDS).to_list(), counted["count"].head(ROUNDS).to_list()
        assert 30 <= min(most) <= max(most) <= 90
        for who in persons:
            before = names(wired.subjects().present("people", head.content), wired.blobs)

            def erase(who: str = who) -> None:
                subjects = wired.subjects()
                eraser = Eraser(subjects, wired.blobs, wired.layout)
                found = eraser.find(who)
                order = eraser.order(found, subjects.make_key(), command=ports.clock.new_id("cmd"), actor="user:bench", reason="a request")
                wired.ledger.execute(order, decide_erase)
                assert eraser.finish(found) > 5

            taken.append(timed(erase))
            for version in held:
                left = load_content(wired.subjects().present("people", version.content), wired.blobs)
                gone = persons[: persons.index(who) + 1]
                assert left.equals(whole.head(version.rows).filter(~pl.col("who").is_in(gone)))
            after = names(wired.subjects().present("people", head.content), wired.blobs)
            report.rows.append(Row.of("chunks that an erasure left untouched in the newest version", "chunks", [len(before & after)]))
    report.rows += _rows("erasure of a person from 5 versions up to 1M × 11", taken)
    return report.rows[-2].median


LARGE_FILES, LARGE_ROWS, LARGE_WIDTH = 20, 1_000_000, 18
"""A data set of so many files, rows a file, and columns: 2.3 GB in memory."""


def large(folder: Path) -> Dataset:
    """Its declaration, with rules of every kind."""
    held = {
        name: Column(kind, between=(-1e6, 1e6)) if kind is not str else Column(kind, nulls="1%")
        for name, kind in columns(LARGE_WIDTH).items()
    }
    return Dataset(
        "large", source=str(folder / "part-*.parquet"), time="at", subject="who", columns=held, gap="1d", min_rows=1_000, disorder="1d"
    )


def _model(data: Dataset) -> Model:
    """What is joined to its rows: what each person did within a day, and what they did last."""
    day = Window("1d")
    view = FeatureView("habits", data, entity="who", features={"sum": day.sum("c0"), "count": day.count(), "last": "c2"})
    return Model("m", task="regression", data=data, label="c1", features=[view])


def _ingest(folder: Path, send: Connection) -> None:
    """In a process of its own: read, check, order, store and name the large data set, then join every row to what was known of its person.

    Sends the version, the CPU and wall seconds and the MB at the peak so far of either half, and how many rows were joined.
    """
    event: list[object] = []
    data, blobs = large(folder), LocalBlobs(folder / "blobs")
    taken = timed(lambda: event.append(refresh(data, folder, blobs, None)))
    [found] = event
    assert isinstance(found, DataCommitted), found
    version, peak, joined = found.version, peak_mb(), []

    def join() -> None:
        streams = {"large": lambda: scan(version.content, blobs, least=1_000_000)}
        joined.extend(batch.height for batch in training_batches(_model(data), streams, folder, as_of=2**52, held=1_000_000))

    send.send((version, (taken, timed(join)), (peak, peak_mb()), sum(joined)))


def large_ingest(folder: Path, report: Report) -> float:
    """MB at the peak of a process that takes in a data set larger than 2 GB, and joins its rows to what was known of their persons."""
    size, first, last = 0, 0, None
    for number in range(LARGE_FILES):
        part = rows(LARGE_WIDTH, LARGE_ROWS, 100 + number, first)
        first = int(part["at"].cast(pl.Int64)[-1]) - START
        size += int(part.estimated_size())
        part.write_parquet(folder / f"part-{number:02}.parquet", row_group_size=128 * 1024)
        last = part
    assert size > 2048 * 2**20
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_ingest, args=(folder, send))
    process.start()
    version, taken, peaks, joined = receive.recv()
    process.join()
    assert joined == version.rows == LARGE_FILES * LARGE_ROWS
    blobs = LocalBlobs(folder / "blobs")
    tail = manifest(version.content, blobs).chunks[-1]
    assert read(tail.content, blobs).equals(last.tail(tail.rows))
    report.rows += [
        Row.of("a data set larger than its memory", "MB", [size / 2**20]),
        *_rows("taken in: read, checked, ordered, stored", taken[:1]),
        *_rows("each row joined to what was known of its person", taken[1:]),
        Row.of("peak memory, taken in", "MB", [peaks[0]]),
        Row.of("peak memory, + joined", "MB", [peaks[1]]),
    ]
    return peaks[1]


def run(arguments: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        report.bars.append(Bar.at_most("commit_1m_x9_cpu_s", commits(Path(name), report), 1.5, "s"))
    with tempfile.TemporaryDirectory() as name:
        report.bars.append(Bar.at_most("erase_5_versions_s", erasures(Path(name), report), 2, "s"))
    with tempfile.TemporaryDirectory() as name:
        report.bars.append(Bar.at_most("large_ingest_peak_mb", large_ingest(Path(name), report), 2048, "MB"))
    contracts(report, peers=arguments.peers)
    return report


if __name__ == "__main__":
    main(run, __doc__)
