"""What lineage costs in a large project: 500 models on 20 data sets, 5,000 versions, half of them made by declarations that are in effect no more.

The project's history is told to the ledger as it would have happened; what is measured is the CPU of whole `flyball lineage` processes, and of a
question to a process that has the graph. Before that each answer is checked against what the project is known to hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from benchmarks.report import Bar, Report, Row, main
from benchmarks.startup import cpu_of, flyball

import flyball as fb
from flyball.declare import codec as declarations
from flyball.declare.functions import Function
from flyball.loop.tracing import Direction, overview_of, trace_in
from flyball.records import codec
from flyball.records.base import Event, Record
from flyball.records.data import ColumnStats, DataCommitted, DatasetVersion
from flyball.records.declarations import DeclarationApplied
from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteDesired
from flyball.records.training import RunQueued, RunResult, RunSpec, RunStarted, RunSucceeded
from flyball.records.versions import ChampionChanged, VersionRegistered
from flyball.wiring import Wired, open_project

MODELS, DATASETS, VERSIONS, COLUMNS = 500, 20, 10, 24
PROCESSES = 5
BOUND_S = 1.0
"""CPU of a whole process, imports and all."""
KEPT_BOUND_S = 0.3
"""CPU of a question to a process that was asked one before, as the control plane is over HTTP."""
EXPORT_BOUND_S = 15.0
"""CPU of an export of the whole project as OpenLineage events: 12,040 of them."""
EVENTS = DATASETS * 2 + 2 * MODELS + MODELS + 2 * MODELS * VERSIONS + MODELS
"""Of a data set its commit's START and end, of a model two views and what it is, of a run START and end, and predictions."""


class Tell(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str = "user:benchmarks"


FIT = Function("loop", "fit", "f" * 64)
"""As a stored declaration names a function."""


def dataset(number: int) -> fb.Dataset:
    columns = {f"c{place:02d}": fb.column(float, between=(0, 1), about="a figure") for place in range(COLUMNS)}
    return fb.Dataset(
        f"data-{number:02d}",
        source=f"data/{number:02d}/*.parquet",
        time="at",
        columns=columns | {"shop": str, "y": fb.column(int, one_of=(0, 1))},
        owner=f"team-{number % 5}",
    )


def model(number: int, data: fb.Dataset, *, former: bool = False) -> fb.Model:
    """Ten window features, four transforms; the former declaration has one feature fewer."""
    windows = [fb.window("1h"), fb.window("1d")]
    features = {f"f{place}": windows[place % 2].mean(f"c{(number + place) % COLUMNS:02d}") for place in range(9 if former else 10)}
    view = fb.FeatureView(f"view-{number:03d}", data, entity="shop", features=features)
    return fb.Model(
        f"model-{number:03d}",
        task="binary",
        data=data,
        label="y",
        features=[view],
        owner=f"team-{number % 7}",
        transforms={f"t{place}": pl.col(f"f{place}") - pl.col(f"c{place:02d}") for place in range(4)},
        train=fb.Train(FIT, search={"depth": fb.integers(2, 8)}, window="28d", holdout="7d"),
        gates=[fb.metric("accuracy") >= fb.baseline, fb.metric("accuracy") >= fb.champion - 0.02],
        monitors=[fb.drift(), fb.metric("accuracy").over("7d") >= 0.6],
    )


class History:
    """Tells the ledger what happened, many events in one command."""

    def __init__(self, wired: Wired) -> None:
        self.wired = wired
        self.code = wired.blobs.put(b"{}")
        self.count = 0
        self.waiting: list[Event] = []

    def tell(self, *events: Event) -> None:
        """Keep events for the next command."""
        self.waiting += events

    def flush(self) -> None:
        """Have them recorded."""
        events, self.waiting = tuple(self.waiting), []
        self.count += 1
        self.wired.ledger.execute(Tell(id=f"cmd_{self.count}"), lambda *_: events)

    def declare(self, declared: fb.Model) -> DeclarationApplied:
        """Apply a declaration."""
        body = declarations.encode(declared)
        found = declarations.digests(body)
        made = DeclarationApplied(
            model=declared.name,
            file="loop.py",
            version_digest=found.version,
            policy_digest=found.policy,
            gates_digest=found.gates,
            body=self.wired.blobs.put(body.encode()),
            code=self.code,
            author="",
        )
        self.tell(made)
        return made

    def commit(self, data: fb.Dataset, content: str) -> None:
        """Commit the first version of a data set."""
        stats = tuple(ColumnStats(name=name, dtype="float", nulls=0, distinct=100, low=0.0, high=1.0, mean=0.5) for name in data.columns)
        version = DatasetVersion(
            name=data.name,
            version="1.0.0",
            content=content,
            schema=dict.fromkeys(data.names, "float"),
            rows=1_000_000,
            stats=stats,
            parents=(),
            first=1,
            last=2,
            as_of=2,
            source_mark="m",
            source=str(data.source),
        )
        self.tell(DataCommitted(version=version))

    def train(
        self,
        applied: DeclarationApplied,
        number: str,
        data: dict[str, str],
        *,
        as_of: int,
        result: RunResult | None = None,
        artifact: str = "a" * 64,
    ) -> None:
        """Make a run and its version; without a `result` it has one of which only the name is known."""
        digest = self.wired.blobs.put(codec.encode(result)) if result is not None else "b" * 64
        run = f"run_{applied.model}_{number}"
        spec = RunSpec(
            model=applied.model,
            declaration=applied.body,
            code=applied.code,
            file=applied.file,
            version_digest=applied.version_digest,
            policy_digest=applied.policy_digest,
            datasets=data,
            as_of=as_of,
        )
        queued = RunQueued(
            run=run,
            model=applied.model,
            trigger="schedule",
            reason="30d",
            spec=self.wired.blobs.put(codec.encode(spec)),
            declaration=applied.body,
            version_digest=applied.version_digest,
            data=data,
            as_of=as_of,
        )
        registered = VersionRegistered(
            model=applied.model,
            version=number,
            run=run,
            artifact=artifact,
            result=digest,
            version_digest=applied.version_digest,
            policy_digest=applied.policy_digest,
            data=data,
            metrics=result.metrics if result is not None else {},
        )
        self.tell(queued, RunStarted(run=run, attempt=1), RunSucceeded(run=run, result=digest), registered)

    def release(self, name: str, number: str, epoch: int) -> None:
        """Make a version the champion, with all of the traffic."""
        arm = Arm(version=number, role="champion", artifact="a" * 64, weight=10_000)
        route = RouteDesired(epoch=epoch, model=name, route=ModelRoute(signature=Signature(task="binary", fields=()), arms=(arm,)))
        self.tell(ChampionChanged(model=name, version=number, former="", rollback=False, reason=""), route)


def make(root: Path) -> None:
    (root / "flyball.toml").touch()
    wired = open_project(root)
    history = History(wired)
    sets = [dataset(number) for number in range(DATASETS)]
    for number, data in enumerate(sets):
        history.commit(data, f"{number:064x}")
    history.flush()
    for number in range(MODELS):
        data = sets[number % DATASETS]
        read = {data.name: f"{number % DATASETS:064x}"}
        for former in (True, False):
            applied = history.declare(model(number, data, former=former))
            for place in range(VERSIONS // 2):
                history.train(applied, f"1.{0 if former else 1}.{place}", read, as_of=place + 1)
        history.release(f"model-{number:03d}", f"1.1.{VERSIONS // 2 - 1}", number + 1)
        history.flush()
    wired.close()


QUESTIONS = {
    "column_down": ["data-03.c05", "--down"],
    "version_up": ["model-123@champion", "--up"],
    "model": ["model-123"],
    "data_set_down": ["data-03", "--down"],
    "overview": [],
}


def check(root: Path, question: list[str]) -> Iterator[str]:
    """What is wrong with an answer."""
    ran = subprocess.run([*flyball(), "lineage", *question, "--json", "--project", str(root)], check=True, capture_output=True, text=True)
    told = json.loads(ran.stdout)
    if not question:
        if (told["counts"]["model"], told["counts"]["version"]) != (2 * MODELS, MODELS * VERSIONS):
            yield f"the overview counts {told['counts']}"
        return
    kinds = [node["kind"] for node in told["nodes"]]
    served = len(told["production"])
    expected = {"data-03": (2 * MODELS // DATASETS, MODELS // DATASETS), "model-123@champion": (1, 0), "model-123": (2, 1)}
    wanted = expected.get(question[0])
    if wanted is not None and (kinds.count("model"), served) != wanted:
        yield f"{question[0]} leads to {kinds.count('model')} models and {served} in production"
    if question[0] == "data-03.c05" and not 0 < served <= MODELS // DATASETS:
        yield f"a column leads to {served} versions in production"


def kept(root: Path, question: list[str]) -> list[float]:
    """CPU seconds of a question in a process that has the graph."""
    wired = open_project(root)
    library, found = wired.ports.library, []
    direction: Direction = "down" if "--down" in question else "up" if "--up" in question else "both"
    for _ in range(PROCESSES + 1):
        before = time.process_time()
        state = wired.ledger.state()
        made = wired.graphs.project(state, (), None)
        if question:
            trace_in(made, state, library, question[0], direction)
        else:
            overview_of(made, state, library, everything=True)
        found.append(time.process_time() - before)
        state.close()
    wired.close()
    return found[1:]


def run(_arguments: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="fb-lineage-") as folder:
        root = Path(folder)
        make(root)
        empty = root / "empty"
        empty.mkdir()
        (empty / "flyball.toml").touch()
        # what of each figure is the start of Python
        report.rows.append(
            Row.of("in an empty project", "s CPU", cpu_of([*flyball(), "lineage", "--json", "--project", str(empty)], PROCESSES))
        )
        for name, question in QUESTIONS.items():
            wrong = list(check(root, question))
            if wrong:
                sys.exit(f"lineage does not say what is there: {wrong[0]}")
            samples = cpu_of([*flyball(), "lineage", *question, "--json", "--project", str(root)], PROCESSES)
            report.rows.append(Row.of(name, "s CPU", samples))
            report.bars.append(Bar.at_most(f"lineage_{name}_cpu_s", float(np.median(samples)), BOUND_S, "s"))
            samples = kept(root, question)
            report.rows.append(Row.of(f"{name}, asked again", "s CPU", samples))
            report.bars.append(Bar.at_most(f"lineage_{name}_kept_cpu_s", float(np.median(samples)), KEPT_BOUND_S, "s"))
        told = root / "events.jsonl"
        samples = cpu_of([*flyball(), "lineage", "--openlineage", "--out", str(told), "--project", str(root)], 2)
        count = len(told.read_text(encoding="utf-8").splitlines())
        if count != EVENTS:
            sys.exit(f"{count:,} events are told and {EVENTS:,} happened")
        report.rows.append(Row.of("export", "s CPU", samples))
        report.bars.append(Bar.at_most("lineage_export_cpu_s", float(np.median(samples)), EXPORT_BOUND_S, "s"))
    return report


if __name__ == "__main__":
    main(run, __doc__)
