"""A rollout in virtual time, from rows to the champion's change: fold, accumulate, decide, route, and round again."""

import msgspec
import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.declare.checks import champion, metric
from flyball.declare.policy import Rollout
from flyball.evaluation.counts import Folder
from flyball.ledger.canonical import write_body
from flyball.records.base import Recorded
from flyball.records.evidence import Watch
from flyball.records.models import Signature
from flyball.records.rollouts import ROLLOUTS, RolloutEvidence, RolloutState
from flyball.records.versions import MODELS, ModelRow
from flyball.rollout.evidence import accumulate
from flyball.rollout.fold import FOLDS
from flyball.rollout.routes import route
from flyball.rollout.rules import Facts, decide, plan, replay
from flyball.rollout.states import TERMINAL, TRANSITIONS

MINUTE = 60_000_000
DELAY = Span(5 * MINUTE)
POLICY = Rollout(guards=[metric("accuracy") >= champion - 0.05], watch="20m", give_up="1d").shadow("10m").canary("25%", "10m")


class Rows:
    def __init__(self):
        self.rows = {("model", "m"): ModelRow(model="m", champion="1.0.0")}

    def get(self, table, key):
        return self.rows.get((table.name, key))

    def put(self, table, key, row):
        self.rows[table.name, key] = row


def scored(desired, rng, tick, accuracy, *, failing, n=200):
    """What gateways would log under this route, and the labels, which come four minutes later."""
    at = tick * MINUTE + np.sort(rng.integers(0, MINUTE, n))
    ids, truth, day = [f"r{tick}-{k}" for k in range(n)], rng.integers(0, 2, n), rng.integers(1, 4, n)
    challenger = next((one for one in desired.arms if one.role == "challenger"), None)
    weight = challenger.weight if challenger else 0
    picked = np.where(rng.random(n) * 10_000 < weight, challenger.version if challenger else "", desired.arms[0].version)
    frames = []
    versions = {one.version for one in (*desired.arms, *desired.shadows)}
    for version in sorted(versions):
        answered = picked == version
        right = rng.random(n) < accuracy[version]
        role = np.where(answered, "challenger" if challenger and version == challenger.version else "champion", "shadow")
        role = np.where((role == "shadow") & any(one.role == "former" for one in desired.shadows), "former", role)
        failed = (rng.random(n) < failing.get(version, 0.0)) & answered & (weight > 0)
        frames.append(
            pl.DataFrame(
                {
                    "request_id": ids,
                    "at": at,
                    "version": [version] * n,
                    "role": role,
                    "rollout": [desired.salt] * n,
                    "weight": [weight] * n,
                    "status": np.where(failed, "error", "ok"),
                    "latency_us": rng.integers(1_000, 3_000, n),
                    "value": np.where(right, truth, 1 - truth).astype(float),
                    "day": day,
                }
            )
        )
    labels = pl.DataFrame({"request_id": ids, "at": at + 4 * MINUTE, "value": truth})
    shadows = bool(desired.shadows)
    return pl.concat(frames if shadows else frames[:1]), labels


def live(accuracy, *, failing=None, seed=0, ticks=200):
    """Run until the rollout has ended; its moves, and the champion in the end."""
    rng = np.random.default_rng(seed)
    rows = Rows()
    seq = 0

    def record(event):
        nonlocal seq
        seq += 1
        write_body(now, "loop", "c", event)
        FOLDS[type(event)](rows, Recorded(seq=seq, at=now, actor="loop", command="c", event=event))

    now = 0
    record(plan(POLICY, rollout="ro", model="m", version="1.1.0", champion="1.0.0", attempt=1, slow_us=None, reason="new data"))
    folder = Folder(Watch(model="m", task="binary", label_delay=DELAY, slices=("day",), arms={"ro": ("1.1.0", "1.0.0")}))
    evidence, moves = RolloutEvidence(), []
    for tick in range(ticks):
        row = rows.get(ROLLOUTS, "ro")
        if row.state in TERMINAL:
            break
        desired = route(rows.get(MODELS, "m").champion, row, lambda version: (version, Signature(task="binary", fields=())))
        folder.add(*scored(desired, rng, tick, accuracy, failing=failing or {}))
        now = (tick + 1) * MINUTE
        evidence = accumulate(evidence, folder.take(now), row)
        moved = decide(row, POLICY, evidence, Facts(now=now, workers_ready=True, in_force=True, label_delay=DELAY))
        if moved is None:
            continue
        assert moved.target in TRANSITIONS[moved.source]
        assert replay(moved, row, POLICY, task="binary")[1] == ()
        moves.append(moved)
        record(moved)
        if moved.target is RolloutState.WATCHING:
            rows.put(MODELS, "m", msgspec.structs.replace(rows.get(MODELS, "m"), champion="1.1.0"))
        if moved.target is RolloutState.ROLLING_BACK:
            rows.put(MODELS, "m", msgspec.structs.replace(rows.get(MODELS, "m"), champion="1.0.0"))
    return [one.target.value for one in moves], rows.get(MODELS, "m"), moves


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_version_as_good_is_promoted_watched_and_done(seed):
    path, model, moves = live({"1.0.0": 0.8, "1.1.0": 0.8}, seed=seed)
    assert path == ["warming", "shadow", "canary", "watching", "completed"]
    assert (model.champion, model.rollout) == ("1.1.0", "")
    promoted = moves[3].counts
    assert [step.weight for step in promoted.steps] == [0, 2500]
    assert promoted.labelled == promoted.matured > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_worse_version_goes_back_before_it_answers_anybody(seed):
    path, model, moves = live({"1.0.0": 0.8, "1.1.0": 0.6}, seed=seed)
    assert path == ["warming", "shadow", "rolling_back", "rolled_back"]
    assert model.champion == "1.0.0"
    assert "accuracy ≥ champion − 0.05" in moves[2].why


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_version_that_fails_under_traffic_goes_back_from_the_canary(seed):
    path, _model, moves = live({"1.0.0": 0.8, "1.1.0": 0.8}, failing={"1.1.0": 0.15, "1.0.0": 0.002}, seed=seed)
    assert path == ["warming", "shadow", "canary", "rolling_back", "rolled_back"]
    assert "error_rate" in moves[3].why
    assert sum(step.canary_units for step in moves[3].counts.steps if step.weight) <= 150


def test_the_same_world_gives_the_same_moves():
    first, second = (live({"1.0.0": 0.8, "1.1.0": 0.79}, seed=7) for _ in range(2))
    assert first == second
