"""What users' data and code can be as large as they like keeps no decision from being recorded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import flyball as fb
from flyball.cli import models
from flyball.clock import VirtualClock
from flyball.data.commit import commit
from flyball.errors import DeclarationError, Problem
from flyball.ledger.canonical import write_body
from flyball.ledger.projection import MemoryProjection
from flyball.loop import backtest, proposals, retraining
from flyball.loop.backtest import History, Policy
from flyball.loop.commands import ObserveRun, decide_observe_run
from flyball.loop.declaring import told
from flyball.loop.findings import Report, decide_report
from flyball.loop.folds import FOLDS
from flyball.loop.releases import with_route
from flyball.loop.tick import reconcile_routes
from flyball.monitoring import rules as monitoring
from flyball.monitoring.state import MonitorState
from flyball.monitoring.windows import Trail
from flyball.records.alerts import AlertMoved
from flyball.records.base import Event, Recorded
from flyball.records.declarations import DeclarationRefused
from flyball.records.estimates import Outcome, Verdict
from flyball.records.incidents import IncidentOpened
from flyball.records.models import Field, Signature
from flyball.records.proposals import ProposalMade
from flyball.records.serving import ROUTES, RouteTable
from flyball.records.training import RUNS, RunFailed, RunQueued, RunState
from flyball.records.versions import VERSIONS, ChampionChanged, ModelRow, VersionEligible, VersionRegistered, VersionState
from flyball.rollout import rules as rollout
from flyball.store.blobs import LocalBlobs
from flyball.training.fitting import FitCache
from flyball.training.rows import assemble

MODEL = fb.Model("m", task="binary", data=fb.Dataset("d", source="d.csv", columns={"a": float, "y": int}), label="y", rollout=fb.Rollout())
ROW = ModelRow(model="m", newest="1.0.0")
WIDE = Signature(task="binary", fields=tuple(Field(name=f"field_{k}", type="float", low=0.0) for k in range(1_000)), classes=(0, 1))


def recorded(*events: Event) -> None:
    for event in events:
        assert len(write_body(2**52, "loop", "cmd_01HN9881000000000002", event)) <= 16 * 1024


def told_to(state: MemoryProjection, *events: Event) -> None:
    for event in events:
        FOLDS[type(event)](state, Recorded(1, 1, "test", "c", event))


def fit(X: np.ndarray, y: np.ndarray) -> object:
    return LogisticRegression().fit(X, y)


@pytest.mark.parametrize(("stores", "state"), [(150, VersionState.ELIGIBLE), (200, VersionState.HELD)])
def test_a_model_gated_by_a_slice_of_many_values_gets_its_version_and_can_be_trained_again(
    tmp_path: Path, stores: int, state: VersionState
) -> None:
    rng, rows = np.random.default_rng(0), 60_000
    x = rng.normal(size=rows)
    moments = pl.datetime_range(pl.datetime(2025, 1, 1), pl.datetime(2026, 1, 1), "1m", eager=True).head(rows)
    frame = pl.DataFrame(
        {
            "at": moments.cast(pl.Datetime("us")),
            "x": x,
            "store": np.arange(rows) % stores,
            "y": (x + rng.normal(0, 0.3, rows) > 0).astype(int),
        }
    )
    known = fb.column(int, known_after="-1h")
    columns = {"x": fb.column(float, known_after="-1h"), "store": known, "y": fb.column(int, one_of=(0, 1), known_after="1h")}
    data = fb.Dataset("d", source=frame, time="at", columns=columns)
    enough = 105 if state == VersionState.ELIGIBLE else 95
    holdout = f"{stores * enough}m"
    model = fb.Model(
        "m", task="binary", data=data, label="y", inputs=["x"], slices=["store"], train=fb.Train(fit, window="20d", holdout=holdout),
        framing=fb.Framing("x", horizon="1h"), gates=[fb.metric("accuracy").by("store") >= 0.5], rollout=fb.Rollout(), autonomy="act", monitors=[],
    )  # fmt: skip
    version = commit(data, frame, LocalBlobs(tmp_path / "blobs"), None, "m")
    past = History({"d": frame}, assemble(model, {"d": frame}, as_of=2**52), {"d": version})
    start = int(past.rows.times[-1])
    clock = VirtualClock(start)
    ports, *_ = backtest._ports(Policy("x", model), past, tmp_path, clock, FitCache())
    backtest._declare(model, ports, "first")
    for second in range(3):
        clock.advance_to(start + second * 1_000_000)
        backtest._settle(start + second * 1_000_000, ports)
    state_now = ports.ledger.state()
    assert [row.state for _, row in state_now.scan(RUNS)] == [RunState.SUCCEEDED]
    row = state_now.get(VERSIONS, "m/1.0.0")
    assert row is not None
    assert row.unlisted
    assert len(row.verdicts) + sum(row.unlisted.values()) == len(ports.library.result(row.result).verdicts) == stores
    assert models.verdicts(row, ports.library.result(row.result), 1) == ports.library.result(row.result).verdicts
    released = {VersionState.DEPLOYED, VersionState.ELIGIBLE}
    assert row.state in (released if state == VersionState.ELIGIBLE else {VersionState.HELD})


def test_a_held_version_with_many_open_gates_is_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [f"accuracy in each store_{k // 40}_of_all_the_regions_that_we_know ≥ 0.8" for k in range(200)]
    started: list[str] = []
    verdicts = [Verdict(check=check, outcome=Outcome.INSUFFICIENT, slice=f"s={k}") for k, check in enumerate(checks)]
    held = SimpleNamespace(version="1.0.0", state=VersionState.HELD, verdicts=verdicts)
    ports = SimpleNamespace(ledger=SimpleNamespace(state=lambda: SimpleNamespace(get=lambda table, _: held if table is VERSIONS else ROW)))
    monkeypatch.setattr(retraining, "active_run", lambda *_: None)
    monkeypatch.setattr(retraining, "active_rollout", lambda *_: None)
    monkeypatch.setattr(retraining.runs, "judging_spec", lambda *_: "spec")
    monkeypatch.setattr(retraining.runs, "start", lambda *_, reason, **__: started.append(reason))
    retraining.judge_again(ports, MODEL, 1)  # type: ignore[arg-type]
    assert started[0].count("accuracy") == 5, "each gate is named once"
    recorded(RunQueued(run="r", model="m", trigger="evidence", reason=started[0], spec="0" * 64))


def test_an_error_of_the_users_own_code_ends_its_run_whatever_its_length() -> None:
    state = MemoryProjection()
    told_to(state, RunQueued(run="r", model="m", trigger="manual", reason="", spec="0" * 64))
    why = "ValueError: found unknown categories ['\x1b[31mновый\x1b[0m', " + "'ещё один', " * 5_000
    (failed,) = decide_observe_run(state, ObserveRun(id="c", actor="loop", run="r", attempt=1, seen="failed", why=why), 1)
    assert isinstance(failed, RunFailed)
    assert failed.why.startswith("ValueError: found unknown categories")
    recorded(failed)


def test_problems_of_a_loop_file_in_any_script_fit_into_an_event() -> None:
    problems = [Problem(where="цикл.py:1", what="\x1b" * 5_000, why="неверно " * 1_000)] * 50
    recorded(DeclarationRefused(file="loops/" + "ж" * 120 + ".py", digest="0" * 64, problems=told(problems)))


def routed(*champions: str) -> MemoryProjection:
    """The projections with a wide model's champions, one after another."""
    state = MemoryProjection()
    for place, version in enumerate(champions):
        artifact = str(place + 1) * 64
        common = {"version_digest": "", "policy_digest": "", "data": {}, "metrics": {}}
        told_to(
            state,
            VersionRegistered(model="m", version=version, run="r", artifact=artifact, result="9" * 64, **common),
            VersionEligible(model="m", version=version, verdicts=()),
            ChampionChanged(model="m", version=version, former=champions[place - 1] if place else "", rollback=False, reason="better"),
        )
        events = list(with_route(state, [], 1, model=MODEL, folds=FOLDS, signatures=lambda _: WIDE))
        recorded(*events)
        told_to(state, *events)
    return state


def test_a_model_of_a_thousand_fields_is_routed_and_its_gateways_get_its_signature() -> None:
    state, desired = routed("1.0.0", "1.1.0"), list[RouteTable]()
    row = state.get(ROUTES, "m")
    assert row is not None
    assert (row.route.signature_of, row.route.signature.fields) == (row.route.arms[0].artifact, ())
    assert with_route(state, [], 1, model=MODEL, folds=FOLDS, signatures=lambda _: WIDE) == [], "the same route is no news"
    routes = SimpleNamespace(desire=lambda table, *_: desired.append(table), status=lambda: SimpleNamespace(epoch=0))
    library = SimpleNamespace(signature={"2" * 64: WIDE}.__getitem__)
    reconcile_routes(SimpleNamespace(ledger=SimpleNamespace(state=lambda: state), routes=routes, library=library))  # type: ignore[arg-type]
    (table,) = desired
    assert table.models["m"].signature == WIDE
    assert table.models["m"].signature_of == ""


def test_a_route_of_few_fields_says_them_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(__name__ + ".WIDE", msgspec.structs.replace(WIDE, fields=WIDE.fields[:50]))
    row = routed("1.0.0").get(ROUTES, "m")
    assert row is not None
    assert len(row.route.signature.fields) == 50


def drifting(columns: list[str]) -> MonitorState:
    trail = Trail(
        column="", test="unseen", pace="slow", hits=("alert",) * 3, effects=(0.9,) * 3, verdict="alert", value="нечто " * 13, n=1_000
    )
    return MonitorState(model="m", trails=tuple(msgspec.structs.replace(trail, column=name) for name in columns))


@pytest.mark.parametrize("columns", [[f"column_{k}" for k in range(1_000)], ["столбец " * 500], ["a" * 3_000 + end for end in "xyz"]])
def test_drift_of_many_or_long_columns_is_an_alert_and_an_incident(columns: list[str]) -> None:
    model = MODEL.replace(monitors=[fb.drift("inputs", columns=columns)])
    findings = monitoring.assess(model, drifting(columns[:20]), now=1).findings
    ids = iter(range(10_000))
    command = Report(id="c", actor="loop", model="m", findings=findings)
    events = decide_report(MemoryProjection(), command, 1, model=model, folds=FOLDS, new_id=lambda kind: f"{kind}_{next(ids)}")
    assert len({event.key for event in events if isinstance(event, AlertMoved)}) >= len(columns[:20])
    assert any(isinstance(event, IncidentOpened) for event in events)
    recorded(*events)


def test_a_plan_of_the_most_steps_is_recorded_and_of_more_is_none() -> None:
    plan = fb.Rollout()
    for _ in range(50):
        plan = plan.canary("12.34%", "365d", labels=1_000_000)
    names = {"rollout": "ro_01HN9881000000000002", "model": "m" * 64, "version": "100.100.100", "champion": "99.99.99"}
    recorded(rollout.plan(plan, **names, attempt=10, slow_us=10**9, reason="r" * 2_000))
    with pytest.raises(DeclarationError, match="51 steps are too many"):
        plan.canary("1%", "1h")


def test_a_wish_of_any_length_is_proposed() -> None:
    made: list[Event] = []
    ledger = SimpleNamespace(state=MemoryProjection, execute=lambda command, decide: made.extend(decide(MemoryProjection(), command, 1)))
    clock = SimpleNamespace(new_id=lambda kind: kind, now=lambda: 1)
    reason = "m@2.0.0 takes other requests than the champion: " + "; ".join(f"field field_{k} is new" for k in range(1_000))
    assert not proposals.may(SimpleNamespace(ledger=ledger, clock=clock), MODEL, "record", "release", "2.0.0", reason)  # type: ignore[arg-type]
    assert isinstance(made[0], ProposalMade)
    recorded(*made)
