"""What 1,000 served models cost whoever lists them, searches their versions, and looks after them, with 20 versions each and with 2.

What is measured is the control plane's own code over a record that was told what would have happened. Lists and searches are checked against what
is known to be there; a look of the loop is one in which nothing is due, as nearly all are.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from benchmarks.lineage import History, dataset, model
from benchmarks.report import Bar, Report, Row, main

from flyball.api import reading
from flyball.api.asking import Asked
from flyball.clock import Instant, Span
from flyball.declare.data import Dataset
from flyball.governance.authority import LOOP as CALLER
from flyball.loop.lookup import newest_versions
from flyball.loop.replay import ReplayRoutes
from flyball.loop.tick import tick
from flyball.records import codec
from flyball.records.data import DatasetRow
from flyball.records.declarations import DeclarationApplied, DeclarationRow
from flyball.records.estimates import Estimate
from flyball.records.models import Manifest, Signature
from flyball.records.training import RunResult
from flyball.registry.search import matches, parse
from flyball.wiring import Wired, open_project

MODELS, VERSIONS, FEW, ROUNDS = 1_000, 20, 2, 5
FOUND = 0.9
"""The accuracy of one model's newest version; that of all others is lower."""

T = TypeVar("T")


class StillData:
    """Sources in which nothing ever happens: what they cost is theirs."""

    def refresh(self, dataset: Dataset, row: DatasetRow | None, declared: DeclarationRow) -> None:
        """Nothing is new."""


@contextmanager
def many(root: Path, versions: int) -> Iterator[Wired]:
    """A project of 1,000 served models with so many versions each, the newest with a result and an artifact of its own: nobody looks at the others'."""
    root.mkdir()
    (root / "flyball.toml").touch()
    wired = open_project(root, claim=True)
    told, data, signature = History(wired), dataset(0), Signature(task="binary", fields=())
    told.commit(data, f"{0:064x}")
    for number in range(MODELS):
        applied = told.declare(model(number, data))
        for place in range(versions):
            own = FOUND if number == MODELS // 2 else 0.6 + number / 10_000
            accuracy = own if place == versions - 1 else 0.5
            result, artifact = _made(wired, applied, signature, accuracy)
            told.train(applied, f"1.{place}.0", {data.name: f"{0:064x}"}, as_of=place + 1, result=result, artifact=artifact)
        told.release(applied.model, f"1.{versions - 1}.0", number + 1)
        if number % 20 == 19:
            told.flush()
    try:
        yield wired
    finally:
        wired.close()


def _made(wired: Wired, applied: DeclarationApplied, signature: Signature, accuracy: float) -> tuple[RunResult, str]:
    """A version's result, and its artifact, of which only what is written down is there."""
    manifest = Manifest(
        model=applied.model,
        file=applied.file,
        code=applied.code,
        declaration=applied.body,
        files={},
        signature=signature,
        python="3.11",
        libraries={"numpy": str(accuracy)},
    )
    artifact = wired.blobs.put(codec.encode(manifest))
    metrics = {"accuracy": Estimate(value=accuracy, low=accuracy - 0.02, high=accuracy + 0.02, n=2_000)}
    result = RunResult(
        artifact=artifact,
        signature=signature,
        parameters={"depth": 4},
        window=Span.parse("28d"),
        rows=10_000,
        holdout_rows=2_000,
        metrics=metrics,
        baseline=metrics,
    )
    return result, artifact


def _timed(act: Callable[[], T], clock: Callable[[], float] = time.perf_counter) -> tuple[T, float]:
    """What it gives, and the milliseconds it took by a clock."""
    start = clock()
    found = act()
    return found, (clock() - start) * 1e3


def _rounds(act: Callable[[], T], clock: Callable[[], float] = time.perf_counter) -> tuple[T, list[float]]:
    """The last of what it gives, and the milliseconds that each round took."""
    measured = [_timed(act, clock) for _ in range(ROUNDS)]
    return measured[-1][0], [took for _, took in measured]


def pages(wired: Wired, report: Report) -> float:
    """Median milliseconds until the control plane has a page of 50 models; and of the whole list, page by page."""

    def page(**query: str) -> tuple[list[str], str | None]:
        answer = reading.models(Asked(wired, CALLER, wired.ports, {}, query)).value
        codec.encode(answer.items[0])
        return [each.model for each in answer.items], answer.next

    def everything() -> list[str]:
        names, after = page(limit="200")
        while after is not None:
            found, after = page(limit="200", after=after)
            names += found
        return names

    _, samples = _rounds(page)
    names, whole = _timed(everything)
    assert len(set(names)) == MODELS
    row = Row.of(f"a page of 50 of 1,000 models × {VERSIONS} versions", "ms", samples)
    report.rows += [row, Row.of("all 1,000 of them, 200 a page", "ms", [whole])]
    return row.median


def versions_of(wired: Wired, versions: int, report: Report) -> None:
    """Lists of versions, and a search that has to look at every one."""
    one = Asked(wired, CALLER, wired.ports, {"model": f"model-{MODELS // 2}"}, {})
    listed, samples = _rounds(lambda: reading.versions(one).value.items)
    assert len(listed) == versions
    newest, took = _rounds(lambda: list(islice(newest_versions(wired.ledger.state(), CALLER.covers), 200)))
    assert newest == sorted(newest, key=lambda each: each.registered_at, reverse=True)
    query = parse(f"accuracy>={FOUND}")
    found, searched = _rounds(lambda: [row for row in newest_versions(wired.ledger.state(), CALLER.covers) if matches(query, row)])
    assert [row.model for row in found] == [f"model-{MODELS // 2}"]
    report.rows += [
        Row.of(f"the {versions} versions of one of 1,000 models", "ms", samples),
        Row.of(f"the newest 200 of {MODELS * versions:,} versions", "ms", took),
        Row.of(f"a search of {MODELS * versions:,} versions", "ms", searched),
    ]


def looks(wired: Wired, versions: int, report: Report) -> None:
    """A look of the loop at all models, after the first, which signs all versions and reads what the later ones know."""
    ports = replace(wired.driving(), data=StillData(), routes=ReplayRoutes(), views=None)

    def look() -> Instant:
        return tick(ports.clock.now(), ports)

    look()
    told = wired.ledger.size()
    _, samples = _rounds(look, time.process_time)
    assert wired.ledger.size() == told
    report.rows.append(Row.of(f"a look of the loop at 1,000 served models × {versions} versions", "CPU ms", samples))


def measure(folder: Path, report: Report) -> float:
    """All of it; returns the milliseconds of a page of models."""
    with many(folder / "few", FEW) as wired:
        versions_of(wired, FEW, report)
        looks(wired, FEW, report)
    with many(folder / "many", VERSIONS) as wired:
        versions_of(wired, VERSIONS, report)
        looks(wired, VERSIONS, report)
        return pages(wired, report)


def run(_: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as temporary:
        report.bars.append(Bar.at_most("list_1000_models_ms", measure(Path(temporary), report), 50, "ms"))
    return report


if __name__ == "__main__":
    main(run, __doc__)
