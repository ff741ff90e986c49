"""A project whose history is told rather than lived: declarations, data sets, runs, versions, rollouts and what they answered."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import flyball as fb
from flyball.clock import Instant, Span, VirtualClock
from flyball.declare import codec as declarations
from flyball.loop.lineage import Project, project
from flyball.loop.tracing import find
from flyball.records import codec
from flyball.records.base import Event, Record
from flyball.records.data import ColumnStats, DataCommitted, DatasetVersion
from flyball.records.declarations import DECLARATIONS, DeclarationApplied
from flyball.records.models import Signature
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState, Step
from flyball.records.serving import Arm, ModelRoute, RouteDesired, SegmentCounted, SegmentSealed
from flyball.records.training import RunFailed, RunQueued, RunSpec, RunStarted, RunSucceeded
from flyball.records.versions import ChampionChanged, VersionEligible, VersionRegistered
from flyball.wiring import Wired, open_project

PAYMENTS = fb.Dataset(
    "payments",
    source="data/payments/*.parquet",
    time="at",
    id="payment_id",
    columns={
        "card_id": fb.column(str, personal=True),
        "amount": fb.column(float, about="in EUR"),
        "country": str,
        "age_band": fb.column(str, protected=True),
        "declined": fb.column(bool, known_after="1s"),
        "spare": fb.column(float, known_after="1d"),
        "fraud": fb.column(bool, known_after="30d"),
    },
    owner="payments",
)
CARD = fb.FeatureView(
    "card",
    PAYMENTS,
    entity="card_id",
    ttl="30d",
    features={"spent": fb.window("1h").sum("amount"), "declined": fb.window("1h").count(where="declined")},
)


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    return (X, y)


def fraud(**changes: object) -> fb.Model:
    given: dict[str, object] = {
        "task": "binary",
        "data": PAYMENTS,
        "label": "fraud",
        "features": [CARD],
        "inputs": ["amount"],
        "owner": "risk",
        "framing": fb.Framing("hold a payment"),
        "transforms": {"usual": pl.col("amount") / (pl.col("spent") + 1)},
        "slices": ["age_band"],
    }
    return fb.Model("fraud", **(given | changes))  # type: ignore[arg-type]


class Tell(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str = "user:ana"


class World:
    """The project. `tell` has events recorded as if they had happened."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        (root / "flyball.toml").write_text("")
        self.clock = VirtualClock(1_900_000_000_000_000)
        self.wired: Wired = open_project(root, clock=self.clock)
        self.runs = 0

    def tell(self, *events: Event) -> None:
        self.clock.advance_to(self.clock.now() + Span.parse("1m"))
        self.wired.ledger.execute(Tell(id=self.clock.new_id("cmd")), lambda *_: events)

    def declare(self, *models: fb.Model) -> None:
        for model in models:
            body = declarations.encode(model)
            found = declarations.digests(body)
            self.tell(
                DeclarationApplied(
                    model=model.name,
                    file="loop.py",
                    version_digest=found.version,
                    policy_digest=found.policy,
                    gates_digest=found.gates,
                    body=self.wired.blobs.put(body.encode()),
                    code=self.wired.blobs.put(b"{}"),
                    author="",
                )
            )

    def commit(self, name: str, version: str, content: str, source: str = "", parents: tuple[str, ...] = ()) -> None:
        stats = (ColumnStats(name="amount", dtype="Float64", nulls=1, distinct=90, low=0.0, high=9.5, mean=4.0),)
        made = DatasetVersion(
            name=name,
            version=version,
            content=content,
            schema={"amount": "Float64", "card_id": "String"},
            rows=100,
            stats=stats,
            parents=parents,
            first=1,
            last=2,
            as_of=self.clock.now(),
            source_mark="m",
            source=source,
        )
        self.tell(DataCommitted(version=made))

    def queue(self, model: str, data: dict[str, str], *, trigger: str = "manual", told: bool = True, as_of: Instant = 0) -> str:
        """A run that was asked for; `told`: the event says what it reads, as those of today do."""
        self.runs += 1
        run, row = f"run_{self.runs:04d}", self.wired.ledger.state().get(DECLARATIONS, model)
        assert row is not None
        as_of = as_of or self.clock.now()
        spec = RunSpec(
            model=model,
            declaration=row.body,
            code=row.code,
            file="loop.py",
            version_digest=row.version_digest,
            policy_digest=row.policy_digest,
            datasets=data,
            as_of=as_of,
        )
        reads = {"declaration": row.body, "version_digest": row.version_digest, "data": data, "as_of": as_of} if told else {}
        queued = RunQueued(
            run=run,
            model=model,
            trigger=trigger,  # type: ignore[arg-type]
            reason="for a test",
            spec=self.wired.blobs.put(codec.encode(spec)),
            **reads,  # type: ignore[arg-type]
        )
        self.tell(queued, RunStarted(run=run, attempt=1))
        return run

    def version(self, model: str, number: str, data: dict[str, str], **more: bool) -> str:
        """A run and the version that it gave."""
        run, row = self.queue(model, data, **more), self.wired.ledger.state().get(DECLARATIONS, model)
        assert row is not None
        registered = VersionRegistered(
            model=model,
            version=number,
            run=run,
            artifact="a" * 64,
            result="b" * 64,
            version_digest=row.version_digest,
            policy_digest=row.policy_digest,
            data=data,
            metrics={},
        )
        eligible = VersionEligible(model=model, version=number, verdicts=())
        self.tell(RunSucceeded(run=run, result="b" * 64), registered, eligible)
        return run

    def fail(self, model: str, data: dict[str, str], *, as_of: Instant = 0) -> str:
        run = self.queue(model, data, as_of=as_of)
        self.tell(RunFailed(run=run, why="it broke"))
        return run

    def release(self, model: str, number: str, weight: int = 10_000) -> str:
        """A rollout, the champion's role, and a route in which the version has this share."""
        name = self.clock.new_id("ro")
        step = Step(kind="shadow", weight=0, bake=Span.parse("1h"))
        planned = RolloutPlanned(
            rollout=name, model=model, version=number, champion="", steps=(step,), evidence="gate", attempt=1, reason="it is better"
        )
        moves = [
            RolloutMoved(rollout=name, model=model, source=source, target=target, step=0, why="so it was")
            for source, target in (
                (RolloutState.PLANNED, RolloutState.WARMING),
                (RolloutState.WARMING, RolloutState.SHADOW),
                (RolloutState.SHADOW, RolloutState.WATCHING),
                (RolloutState.WATCHING, RolloutState.COMPLETED),
            )
        ]
        self.tell(planned, *moves, ChampionChanged(model=model, version=number, former="", rollback=False, reason=""))
        arm = Arm(version=number, role="champion", artifact="a" * 64, weight=weight)
        self.tell(RouteDesired(epoch=1, model=model, route=ModelRoute(signature=Signature(task="binary", fields=()), arms=(arm,))))
        return name

    def answered(self, number: int, **rows: int) -> None:
        """A sealed segment in which `fraud` of 1.0.0 (`fraud_1_0_0`) answered so many rows."""
        told = {f"{name.replace('_', '@', 1).replace('_', '.')}": count for name, count in rows.items()}
        sealed = SegmentSealed(gateway="g0", number=number, wal_sha256="c" * 64, parquet_sha256="d" * 64, rows=1, torn_bytes=0, last=7)
        self.tell(sealed, SegmentCounted(gateway="g0", number=number, answered=told))

    def graph(self) -> Project:
        return project(self.wired.ledger.state(), self.wired.ports.library)

    def names(self, text: str, way: str, **more: object) -> set[str]:
        """The names that `trace` reaches, in this direction, without where it began."""
        from flyball.loop.tracing import trace

        _, found = trace(self.wired.ledger.state(), self.wired.ports.library, text, way, **more)  # type: ignore[arg-type]
        return {node.id for node in found.nodes} - set(found.start)

    def close(self) -> None:
        self.wired.close()


__all__ = ["CARD", "PAYMENTS", "World", "find", "fraud"]
