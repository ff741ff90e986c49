"""`gc` removes what came to nothing, and never what anything that is kept needs: after whatever history."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flyball as fb
from flyball.clock import Instant, Span, VirtualClock
from flyball.errors import Conflict, Corrupt, Refused
from flyball.governance.authority import LOOP
from flyball.ledger.verify import verify
from flyball.loop import collecting
from flyball.loop.authority import Authorised
from flyball.loop.collecting import RemoveBlobs, decide_remove, garbage
from flyball.loop.folds import FOLDS
from flyball.loop.releases import Release, Rollback, decide_release, decide_rollback, with_route
from flyball.records import codec
from flyball.records.base import Event, Record
from flyball.records.declarations import DeclarationApplied
from flyball.records.estimates import Outcome, Verdict
from flyball.records.models import Field, Manifest, Signature
from flyball.records.removals import REMOVED
from flyball.records.rollouts import RolloutMoved, RolloutState
from flyball.records.training import RUNS, RunCancelled, RunFailed, RunQueued, RunResult, RunSpec, RunStarted, RunSucceeded
from flyball.records.versions import (
    MODELS,
    VERSIONS,
    ChampionChanged,
    ModelRow,
    VersionRow,
    VersionSigned,
    VersionState,
)
from flyball.registry import rules as registry
from flyball.training.artifact import verify as whole
from flyball.wiring import Wired, open_project

DAY = Span.parse("1d")
KEEP = Span.parse("90d")
SIGNATURE = Signature(task="binary", fields=(Field(name="a", type="float"),), classes=(0, 1))
MODEL = fb.Model(
    "m",
    task="binary",
    data=fb.Dataset("d", source="d.csv", columns={"a": float, "y": int}),
    label="y",
    rollout=fb.Rollout(evidence="gate").shadow("1h"),
)
OUTCOMES = {"passes": Outcome.PASS, "fails": Outcome.FAIL, "waits": Outcome.INSUFFICIENT}


class Tell(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str = "loop"


@dataclass
class World:
    """A project whose events are told rather than lived, with real blobs, whose files are as old as the clock says."""

    root: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(1_900_000_000_000_000))
    runs: int = 0

    def __post_init__(self) -> None:
        (self.root / "flyball.toml").write_text("")
        self.wired: Wired = open_project(self.root, clock=self.clock)
        self.ports = self.wired.acting(LOOP)
        self.blobs = self.wired.blobs
        self.code = self.put(b"{}")
        self.declaration = self.put(b"a declaration")
        self.tell(
            DeclarationApplied(
                model="m",
                file="loop.py",
                version_digest="v",
                policy_digest="p",
                gates_digest="g",
                body=self.declaration,
                code=self.code,
                author="",
            )
        )

    def put(self, data: bytes) -> str:
        """A blob, written now by the world's clock."""
        digest = self.blobs.put(data)
        self.touch(digest)
        return digest

    def touch(self, digest: str) -> None:
        os.utime(self.blobs.path(digest), ns=(self.clock.now() * 1000,) * 2)

    def tell(self, *events: Event) -> None:
        self.wired.ledger.execute(Tell(id=self.clock.new_id("cmd")), lambda *_: events)

    def later(self, span: Span = DAY) -> None:
        self.clock.advance_to(self.clock.now() + span)

    def queue(self) -> str:
        self.runs += 1
        run = f"run_{self.runs:04d}"
        spec = RunSpec(
            model="m",
            declaration=self.declaration,
            code=self.code,
            file="loop.py",
            version_digest="v",
            policy_digest="p",
            datasets={},
            as_of=self.runs,
        )
        self.tell(
            RunQueued(run=run, model="m", trigger="manual", reason="", spec=self.put(codec.encode(spec))), RunStarted(run=run, attempt=1)
        )
        folder = self.wired.layout.root / "jobs" / run / "1"
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text("it went like this")
        return run

    def made(self, fitted: int, seed: int) -> tuple[str, RunResult]:
        """The result of a run: equal `fitted` are equal artifacts."""
        files = {"model.skops": self.put(b"model %d" % fitted), "golden.parquet": self.put(b"golden %d" % (fitted % 2))}
        manifest = Manifest(
            model="m",
            file="loop.py",
            code=self.code,
            declaration=self.declaration,
            files=files,
            signature=SIGNATURE,
            python="3",
            libraries={},
        )
        result = RunResult(
            artifact=self.put(codec.encode(manifest)),
            fit_digest=str(fitted),
            signature=SIGNATURE,
            parameters={},
            window=Span.parse("7d"),
            rows=100,
            holdout_rows=20,
            metrics={},
            baseline={},
            evidence=self.put(b"evidence %d" % seed),
            reference=self.put(b"reference %d" % (seed % 3)),
        )
        return self.put(codec.encode(result)), result

    def version(self, outcome: str, fitted: int | None = None) -> str:
        """A run that ends in a version."""
        run = self.queue()
        digest, result = self.made(self.runs if fitted is None else fitted, self.runs)
        version = f"1.{self.runs}.0"
        verdict = Verdict(check="accuracy ≥ 0.5", outcome=OUTCOMES[outcome])
        self.tell(
            RunSucceeded(run=run, result=digest),
            registry.register(
                model="m", version=version, run=run, result_blob=digest, result=result, data={}, version_digest="v", policy_digest="p"
            ),
            registry.judge("m", version, (verdict,)),
            VersionSigned(model="m", version=version, note="signed"),
        )
        return version

    def failed(self) -> str:
        run = self.queue()
        self.tell(RunFailed(run=run, why="it broke"))
        return run

    def promote(self, version: str) -> None:
        """A whole rollout: released, watched, champion."""
        decided = {"model": MODEL, "folds": FOLDS, "signatures": self.wired.ports.library.signature}
        rollout = self.clock.new_id("ro")
        release = Release(id=self.clock.new_id("cmd"), actor="loop", rollout=rollout, model="m", version=version, reason="")
        self.wired.ledger.execute(release, partial(decide_release, **decided))
        former = self.model.champion
        move = partial(RolloutMoved, rollout=rollout, model="m", step=0, why="told")
        watching = [
            move(source=RolloutState.WARMING, target=RolloutState.SHADOW),
            move(source=RolloutState.SHADOW, target=RolloutState.WATCHING),
            ChampionChanged(model="m", version=version, former=former, rollback=False, reason="better"),
        ]
        for events in (watching, [move(source=RolloutState.WATCHING, target=RolloutState.COMPLETED)]):
            self.wired.ledger.execute(
                Tell(id=self.clock.new_id("cmd")),
                lambda state, _, now, events=events: with_route(state, list(events), now, **decided),
            )

    def roll_back(self) -> None:
        """The former champion comes back."""
        decided = {"model": MODEL, "folds": FOLDS, "signatures": self.wired.ports.library.signature}
        back = Rollback(id=self.clock.new_id("cmd"), actor="loop", model="m", reason="worse")
        self.wired.ledger.execute(back, partial(decide_rollback, **decided))

    @property
    def model(self) -> ModelRow:
        row = self.wired.ledger.state().get(MODELS, "m")
        assert row is not None
        return row

    def row(self, version: str) -> VersionRow:
        row = self.wired.ledger.state().get(VERSIONS, f"m/{version}")
        assert row is not None
        return row

    def files(self) -> set[str]:
        return set(self.blobs.digests())

    def gc(self, keep: Span = KEEP) -> set[str]:
        """Collect, and what went."""
        before = self.files()
        found = garbage(self.ports, now=self.clock.now(), keep=keep)
        self.wired.ledger.execute(collecting.command(found, id=self.clock.new_id("cmd"), actor="user:ana"), decide_remove)
        collecting.remove(self.ports, found)
        return before - self.files()

    def problems(self) -> list[str]:
        return [problem.what for problem in verify(self.wired.ledger, self.blobs).problems]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.wired.close()


def test_a_rejected_version_goes_when_its_time_is_over_and_leaves_a_tombstone(world: World) -> None:
    rejected = world.version("fails")
    world.promote(world.version("passes"))
    row = world.row(rejected)
    world.later(KEEP)
    assert world.gc() == set(), "not yet"
    world.later()
    gone = world.gc()
    assert {row.artifact, row.result} <= gone
    assert world.row(rejected).state == VersionState.DELETED
    assert world.problems() == []
    with pytest.raises(Refused, match="is deleted"):
        world.promote(rejected)


def test_what_a_run_was_asked_stays_where_it_gave_a_version_and_its_logs_go(world: World) -> None:
    rejected = world.version("fails")
    failed = world.failed()
    world.version("passes")
    specs = {run: world.wired.ledger.state().get(RUNS, run).spec for run in (world.row(rejected).run, failed)}
    world.later(KEEP + DAY)
    gone = world.gc()
    assert specs[world.row(rejected).run] not in gone
    assert specs[failed] in gone
    left = {path.name for path in (world.wired.layout.root / "jobs").iterdir()}
    assert left == {"run_0003"}


def test_what_a_kept_version_shares_with_a_rejected_one_stays(world: World) -> None:
    rejected = world.version("fails", fitted=7)
    kept = world.version("passes", fitted=7)
    assert world.row(rejected).artifact == world.row(kept).artifact
    world.later(KEEP + DAY)
    assert world.gc(), "its evidence is its own"
    whole(world.row(kept).artifact, world.blobs)
    assert world.problems() == []


def test_a_model_s_newest_version_stays_whatever_became_of_it(world: World) -> None:
    """The next run starts from its result."""
    newest = world.version("fails")
    world.later(KEEP + DAY)
    assert world.gc() == set()
    assert world.row(newest).state == VersionState.REJECTED


def test_nothing_of_a_model_that_is_being_trained_goes(world: World) -> None:
    world.version("fails")
    world.version("passes")
    world.later(KEEP + DAY)
    run = world.queue()
    assert world.gc() == set()
    world.tell(RunCancelled(run=run, reason="enough"))
    assert world.gc()


def test_every_version_that_was_ever_champion_can_come_back(world: World) -> None:
    """The former champion by a rollback, an older one by a release."""
    first, second, third = (world.version("passes") for _ in range(3))
    for version in (first, second, third):
        world.promote(version)
    world.version("fails")
    world.version("fails")
    world.later(Span.parse("1000d"))
    assert world.gc()
    for version in (first, second):
        whole(world.row(version).artifact, world.blobs)
    world.roll_back()
    assert world.model.champion == second
    world.promote(first)
    assert world.model.champion == first
    assert world.problems() == []


def test_what_nobody_refers_to_goes_after_a_day_and_unrecorded(world: World) -> None:
    stray = world.put(b"a command died before it referred to this")
    world.later(Span.parse("23h"))
    assert world.gc() == set()
    world.later(Span.parse("2h"))
    events = world.wired.ledger.size()
    assert world.gc() == {stray}
    assert world.wired.ledger.size() == events


def test_what_a_run_has_written_waits_for_it_to_be_registered_however_long(world: World) -> None:
    """As where flyball was not up for days after the run had ended."""
    run = world.queue()
    digest, result = world.made(1, 1)
    world.later(Span.parse("20d"))
    assert world.gc() == set()
    world.tell(
        RunSucceeded(run=run, result=digest),
        registry.register(
            model="m", version="1.0.0", run=run, result_blob=digest, result=result, data={}, version_digest="v", policy_digest="p"
        ),
    )
    assert world.problems() == []


def test_what_is_written_again_while_gc_looks_stays(world: World) -> None:
    rejected = world.version("fails")
    world.version("passes")
    world.later(KEEP + DAY)
    found = garbage(world.ports, now=world.clock.now(), keep=KEEP)
    world.wired.ledger.execute(collecting.command(found, id="c", actor="user:ana"), decide_remove)
    row = world.row(rejected)
    world.put(world.blobs.get(row.artifact))
    collecting.remove(world.ports, found)
    assert world.blobs.has(row.artifact)
    assert not world.blobs.has(row.result)


def test_what_is_needed_by_the_time_it_is_recorded_is_not_removed(world: World) -> None:
    rejected = world.version("fails", fitted=7)
    world.version("passes")
    world.later(KEEP + DAY)
    found = garbage(world.ports, now=world.clock.now(), keep=KEEP)
    again = world.version("passes", fitted=7)
    assert world.row(again).artifact == world.row(rejected).artifact
    with pytest.raises(Conflict, match=f"m/{again} needs by now"):
        world.wired.ledger.execute(collecting.command(found, id="c", actor="user:ana"), decide_remove)


def test_a_crash_after_it_was_recorded_is_healed_by_the_next_one(world: World) -> None:
    rejected = world.version("fails")
    world.version("passes")
    world.later(KEEP + DAY)
    found = garbage(world.ports, now=world.clock.now(), keep=KEEP)
    world.wired.ledger.execute(collecting.command(found, id="c", actor="user:ana"), decide_remove)
    # killed here, with the manifest gone and all that it names still there
    world.blobs.remove_idle(world.row(rejected).artifact, found.before)
    assert world.problems() == []
    assert world.files() & set(found.recorded)
    events = world.wired.ledger.size()
    world.gc()
    assert not world.files() & set(found.recorded)
    assert world.wired.ledger.size() == events, "it was recorded before"
    assert world.problems() == []


def test_what_was_removed_and_is_needed_again_must_be_there_again(world: World) -> None:
    world.version("fails", fitted=7)
    world.version("passes")
    world.later(KEEP + DAY)
    assert world.gc()
    again = world.row(world.version("passes", fitted=7))
    assert world.problems() == []
    assert world.gc() == set()
    world.blobs.path(again.artifact).unlink()
    assert any("a blob is missing (artifact" in what for what in world.problems())


def test_what_was_lost_is_not_taken_for_removed(world: World) -> None:
    rejected = world.row(world.version("fails"))
    kept = world.row(world.version("passes"))
    world.blobs.path(kept.result).unlink()
    world.later(KEEP + DAY)
    with pytest.raises(Corrupt, match=f"the result {kept.result} cannot be read"):
        world.gc()
    assert world.blobs.has(rejected.artifact), "what it needs is not known, so nothing goes"
    assert world.row(rejected.version).state == VersionState.REJECTED


def test_who_may_not_operate_removes_nothing(world: World) -> None:
    from flyball.governance.authority import Caller
    from flyball.records.identity import Role, Scope

    viewer = Caller(actor="user:eva", person="eva", token="t", roles=(Role.VIEWER,), scopes=tuple(Scope), models=(), jobs=())
    command = RemoveBlobs(id="c", actor="user:eva", blobs=(), versions=(), ended_before=0)
    with pytest.raises(Refused, match="eva may not do this: RemoveBlobs"):
        Authorised(world.wired.ledger, lambda: viewer).execute(command, decide_remove)


def test_many_blobs_are_recorded_in_pieces_that_fit(world: World) -> None:
    digests = tuple(hashlib.sha256(b"%d" % number).hexdigest() for number in range(450))
    world.wired.ledger.execute(RemoveBlobs(id="c", actor="user:ana", blobs=digests, versions=(), ended_before=0), decide_remove)
    assert {key for key, _ in world.wired.ledger.state().scan(REMOVED)} == set(digests)


COMMON = ["champion", "champion", "fails", "wait"]
RARE = ["passes", "waits", "failed", "running", "promote", "roll back", "stray", "gc"]
STEPS = st.lists(st.tuples(st.sampled_from([*COMMON, *COMMON, *RARE]), st.integers(0, 5)), min_size=8, max_size=30)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.integers(0, 200))
def test_after_any_history_nothing_that_is_kept_lacks_anything(steps: list[tuple[str, int]], wait: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fb-") as folder:
        world = World(Path(folder))
        try:
            _live(world, steps)
            world.later(Span.parse(f"{wait}d"))
            ended_before, before = world.clock.now() - KEEP, world.files()
            gone = world.gc()
            assert world.problems() == []
            _check_kept(world, ended_before)
            assert gone <= before
            assert world.gc() == set(), "nothing is left to do"
            _check_targets(world)
            assert world.problems() == []
        finally:
            world.wired.close()


def _live(world: World, steps: list[tuple[str, int]]) -> None:
    active = ""
    for step, number in steps:
        state = world.wired.ledger.state()
        rows = [row for _, row in state.scan(VERSIONS)]
        releasable = [row.version for row in rows if row.state in (VersionState.ELIGIBLE, VersionState.RETIRED)]
        champion = state.get(MODELS, "m").champion if state.get(MODELS, "m") else ""
        if step in (*OUTCOMES, "champion", "failed", "running") and active:
            world.tell(RunCancelled(run=active, reason="enough"))
            active = ""
        if step in OUTCOMES:
            world.version(step, fitted=number)
        elif step == "champion":
            world.promote(world.version("passes", fitted=number))
        elif step == "failed":
            world.failed()
        elif step == "running":
            active = world.queue()
        elif step == "promote" and releasable:
            world.promote(releasable[number % len(releasable)])
        elif step == "roll back" and champion and world.model.former:
            world.roll_back()
        elif step == "stray":
            world.put(b"stray %d" % number)
        elif step == "gc":
            world.gc()
        elif step == "wait":
            world.later(Span.parse(f"{number * 20 + 1}d"))


def _check_kept(world: World, ended_before: Instant) -> None:
    state = world.wired.ledger.state()
    rows = {row.version: row for _, row in state.scan(VERSIONS)}
    for row in rows.values():
        run = state.get(RUNS, row.run)
        assert run is not None
        codec.decode(world.blobs.get(run.spec), RunSpec)
        if row.state != VersionState.DELETED:
            whole(row.artifact, world.blobs)
            result = codec.decode(world.blobs.get(row.result), RunResult)
            for digest in (result.evidence, result.reference):
                world.blobs.check(digest)
        else:
            assert run.ended_at < ended_before
            assert row.verdicts[0].outcome == Outcome.FAIL, "only what was rejected is deleted"
    for _, run in state.scan(RUNS):
        if run.ended_at == 0 or run.ended_at >= ended_before:
            world.blobs.check(run.spec)
    for digest in (world.code, world.declaration):
        world.blobs.check(digest)


def _check_targets(world: World) -> None:
    """Whoever was champion before can be champion again, and its worker would load it."""
    model = world.wired.ledger.state().get(MODELS, "m")
    if model is None or not model.champion:
        return
    targets = [row.version for _, row in world.wired.ledger.state().scan(VERSIONS) if row.state == VersionState.RETIRED]
    for version in [*targets, *([model.former] if model.former else [])]:
        if version != world.wired.ledger.state().get(MODELS, "m").champion:
            world.promote(version)
            whole(world.row(version).artifact, world.blobs)
