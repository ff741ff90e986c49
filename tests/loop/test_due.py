"""What starts a training, and what no longer holds one up or starts one again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

import flyball as fb
from flyball.clock import Instant, Span
from flyball.declare.costs import price_setting
from flyball.declare.units import Money
from flyball.ledger.projection import MemoryProjection
from flyball.loop.advance import _next
from flyball.loop.memory import Memories, synced
from flyball.loop.ports import Ports
from flyball.loop.retraining import attempts, held_back, wish
from flyball.monitoring.detector import RECOVERY
from flyball.monitoring.state import MonitorState
from flyball.records.data import DATASETS, DatasetRow, DatasetVersion
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.estimates import Estimate
from flyball.records.evidence import Cursor
from flyball.records.incidents import INCIDENTS, MODEL_INCIDENTS, IncidentRow, IncidentState
from flyball.records.models import Field, Signature
from flyball.records.training import RUNS, RunRow, RunState, Trigger, put_run
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionRow, VersionState

DAY = int(Span.parse("1d"))
DATA = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
TAKES = {"a" * 64: Signature(task="binary", fields=(Field(name="x", type="float"),)), "b" * 64: Signature(task="binary", fields=())}


def model(**retrain: Any) -> fb.Model:
    return fb.Model(
        "m", task="binary", data=DATA, label="y", train=fb.Train(lambda X, y: (X, y), holdout="1d"), retrain=fb.Retrain(**retrain)
    )


class World:
    """A champion 1.0.0 since day 10, trained on day 9, and its monitors."""

    price: Money | None = None

    def __init__(self) -> None:
        self.state = MemoryProjection()
        self.kept = Memories(source=cast("Any", SimpleNamespace(load=lambda _: None)), cursor=Cursor())
        self.library = cast(
            "Any",
            SimpleNamespace(
                signature=TAKES.__getitem__,
                spec=lambda _: SimpleNamespace(declaration="what was asked of its run"),
                model=lambda _: fb.Model("m", task="binary", data=DATA, label="y"),
                result=lambda _: SimpleNamespace(
                    loss_bound=0.2,
                    loss_cap=1.0,
                    wakes_at=0.2,
                    page_swing=1.0,
                    metrics={"accuracy": Estimate(value=0.8)},
                    baseline={},
                    parameters={"l2": 0.1},
                    window_scores={},
                ),
            ),
        )
        self.state.put(
            DECLARATIONS,
            "m",
            DeclarationRow(model="m", file="loop.py", version_digest="v", policy_digest="p", body="", code="", applied_at=0),
        )
        head = DatasetVersion(
            name="rows", version="1.0.0", content="c", schema={}, rows=9, stats=(), parents=(), first=0, last=0, as_of=0, source_mark=""
        )
        self.state.put(DATASETS, "rows", DatasetRow(head=head))
        self.version("1.0.0", "a" * 64, VersionState.DEPLOYED)
        self.state.put(
            MODELS,
            "m",
            ModelRow(model="m", champion="1.0.0", champion_at=10 * DAY, newest="1.0.0", last_attempt_at=9 * DAY, trained_digest="v"),
        )

    def version(self, number: str, artifact: str, state: VersionState) -> None:
        row = VersionRow(
            model="m", version=number, state=state, run=f"run_{number}", artifact=artifact, result="", version_digest="v", policy_digest="p",
            data={}, metrics={}, registered_at=0,
        )  # fmt: skip
        self.state.put(VERSIONS, f"m/{number}", row)
        self.run(f"run_{number}", 9 * DAY, "schedule")

    def run(self, name: str, at: Instant, trigger: Trigger) -> None:
        row = RunRow(run=name, model="m", trigger=trigger, reason="", spec="", release=True, state=RunState.SUCCEEDED, queued_at=at)
        put_run(self.state, row)

    def model_row(self, **changes: Any) -> None:
        row = self.state.get(MODELS, "m")
        assert row is not None
        self.state.put(MODELS, "m", msgspec.structs.replace(row, **changes))

    def incident(self, action: str, at: Instant, name: str = "inc") -> None:
        row = IncidentRow(
            incident=name, model="m", failure_mode="concept_drift", alert="", what="worse", cause="", owner="", state=IncidentState.OPEN,
            opened_at=at, mitigate_by=0, review_by=0, root_cause_by=0, actions=(action,),
        )  # fmt: skip
        self.state.put(INCIDENTS, name, row)
        self.state.put(MODEL_INCIDENTS, f"m/{name}", row)

    def see(self, labels: int, now: Instant) -> None:
        self.kept = synced(self.kept, "m", self.state, self.library, now)
        monitor = self.kept.monitor("m")
        self.kept = self.kept.with_monitor(msgspec.structs.replace(monitor, labels=monitor.labels + labels))

    def due(self, declared: fb.Model, now: Instant) -> str:
        ports = cast("Ports", SimpleNamespace(library=self.library, cpu_price=self.price, reviews=True))
        found = wish(ports, self.state, declared, self.kept, None, now)
        return found[1] if found else ""


def test_labels_count_from_the_last_attempt_whatever_became_of_it() -> None:
    world, declared = World(), model(new_labels=1_000, cooldown="1d")
    world.see(900, 11 * DAY)
    assert world.due(declared, 20 * DAY) == ""
    world.see(200, 20 * DAY)
    assert "1,100 new labels" in world.due(declared, 20 * DAY)
    world.model_row(last_attempt_at=20 * DAY)
    world.see(500, 21 * DAY)
    assert world.due(declared, 40 * DAY) == "", "the attempt was rejected: its labels are not new any more"
    world.see(600, 41 * DAY)
    assert "1,100 new labels" in world.due(declared, 41 * DAY)


def test_labels_of_a_new_champion_count_from_its_release() -> None:
    world = World()
    world.see(900, 11 * DAY)
    world.version("1.1.0", "a" * 64, VersionState.DEPLOYED)
    world.model_row(champion="1.1.0", last_attempt_at=20 * DAY)
    world.see(5, 21 * DAY)
    assert (world.kept.monitor("m").labels, world.kept.monitor("m").new_labels) == (5, 5)
    world.see(5, 22 * DAY)
    assert world.kept.monitor("m").new_labels == 10


@pytest.mark.parametrize(
    ("release", "artifact", "frozen", "waits"),
    [
        ("act", "a" * 64, False, True),
        ("act", "a" * 64, True, False),
        ("act", "b" * 64, False, False),
        ("propose", "a" * 64, False, False),
        ("record", "a" * 64, False, False),
    ],
    ids=["about to be released", "frozen by an incident", "can never be released", "waits for a person", "only recorded"],
)
def test_only_a_version_that_flyball_is_about_to_release_holds_a_training_up(
    release: str, artifact: str, frozen: bool, waits: bool
) -> None:
    world, declared = World(), model(every="30d").replace(autonomy={"release": release})
    world.version("2.0.0", artifact, VersionState.ELIGIBLE)
    world.model_row(newest="2.0.0")
    if frozen:
        world.incident("freeze", 20 * DAY)
    assert (world.due(declared, 60 * DAY) == "") is waits
    if not frozen:
        world.incident("retrain", 50 * DAY)
    assert (world.due(declared, 60 * DAY) == "") is waits, "nor does it hold up an alarm"
    world.model_row(last_attempt_at=55 * DAY)
    assert world.due(declared, 60 * DAY) == "", "the cool-down holds, from the last attempt"


def test_an_answer_that_does_not_help_is_none_once_its_own_labels_say_so() -> None:
    world, declared = World(), model(every="300d", cooldown="1d")
    world.see(900, 11 * DAY)
    world.incident("retrain", 20 * DAY)
    assert "worse" in world.due(declared, 21 * DAY)
    world.version("1.1.0", "a" * 64, VersionState.DEPLOYED)
    world.model_row(champion="1.1.0", champion_at=22 * DAY, last_attempt_at=21 * DAY)
    state = IncidentState.REVIEWED

    def asked(labels: int, *, alarmed: bool) -> bool:
        world.see(labels, 23 * DAY)
        monitor = world.kept.monitor("m")
        page = msgspec.structs.replace(monitor.page, alarmed_at=20 * DAY if alarmed else 0)
        world.kept = world.kept.with_monitor(msgspec.structs.replace(monitor, page=page))
        row = world.state.get(INCIDENTS, "inc")
        assert row is not None
        for table, key in ((INCIDENTS, "inc"), (MODEL_INCIDENTS, "m/inc")):
            world.state.put(table, key, msgspec.structs.replace(row, state=state))
        return world.due(declared, 24 * DAY) != ""

    assert not asked(RECOVERY - 1, alarmed=True), "it is not observed yet"
    assert not asked(1, alarmed=False), "it has helped"
    assert asked(0, alarmed=True)
    state = IncidentState.CLOSED
    assert not asked(0, alarmed=True)


def test_judging_again_uses_up_no_run() -> None:
    world, declared = World(), model(every="30d", max_runs="4/30d")
    world.run("run_again", 12 * DAY, "evidence")
    world.run("run_more", 13 * DAY, "monitor")
    assert attempts(world.state, declared) == [9 * DAY, 13 * DAY]


def test_a_monitor_that_was_never_tried_has_all_its_labels_new() -> None:
    assert MonitorState(model="m", labels=7).new_labels == 7


def test_an_alarm_that_waits_says_until_when() -> None:
    world, declared = World(), model(cooldown="1d")
    now = 40 * DAY
    world.see(900, now)
    assert held_back(world.state, declared, world.kept, now) is None, "no alarm stands"
    world.incident("retrain", now)
    assert held_back(world.state, declared, world.kept, now) is None, "nothing keeps it"
    world.model_row(last_attempt_at=39 * DAY + 1)
    wait = held_back(world.state, declared, world.kept, now)
    assert wait == (40 * DAY + 1, "the cool-down since the last attempt")
    assert world.due(declared, now) == ""
    assert "worse" in world.due(declared, wait.until)


def test_a_spent_budget_holds_an_alarm_back_and_says_what_was_spent() -> None:
    world, declared = World(), model(cooldown="1d", budget="1 EUR/30d")
    now = 40 * DAY
    world.see(900, now)
    world.incident("retrain", now)
    run = RunRow(run="run_8", model="m", trigger="schedule", reason="", spec="", release=True, state=RunState.SUCCEEDED, queued_at=30 * DAY)
    put_run(world.state, msgspec.structs.replace(run, ended_at=30 * DAY + 1, cpu_s=7_200.0))

    def held(price: Money | None) -> str:
        wait = held_back(world.state, declared, world.kept, now, price=price)
        return wait.why if wait is not None else ""

    assert held(Money(0.4, "EUR")) == "", "0.80 EUR of 1 EUR"
    assert held(Money(0.6, "EUR")) == "the budget 1 EUR/30d: 1.2 EUR by 1 run"
    unknown = f"the budget 1 EUR/30d: what a run costs is not known; {price_setting('EUR')}"
    assert held(None) == unknown
    assert held(Money(0.1, "USD")) == unknown
    world.price = Money(0.6, "EUR")
    assert world.due(declared, now) == ""
    assert "worse" in world.due(declared, 60 * DAY), "the dear run has left the span"
    world.price = Money(0.4, "EUR")
    assert "worse" in world.due(declared, now)


@pytest.mark.parametrize(("run", "within"), [(RunState.QUEUED, "0s"), (RunState.RUNNING, "20s"), (RunState.SUCCEEDED, "1d")])
def test_a_run_under_way_is_looked_at_before_its_lease_is_over_and_one_that_waits_at_once(run: RunState, within: str) -> None:
    world, now = World(), 20 * DAY
    world.see(0, now)
    world.run("run_2", now, "schedule")
    found = world.state.get(RUNS, "run_2")
    assert found is not None
    put_run(world.state, msgspec.structs.replace(found, state=run))
    world.model_row(last_run="run_2")
    ports = cast("Ports", SimpleNamespace(ledger=SimpleNamespace(state=lambda: world.state), cpu_price=None, outbox=None))
    assert _next(ports, model(), world.kept, now) == now + int(Span.parse(within))
