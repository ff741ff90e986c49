"""`flyball gc` says what it removes, and removes nothing under --dry-run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flyball.records.base import Event, Record
from flyball.records.estimates import Outcome, Verdict
from flyball.records.training import RunFailed, RunQueued
from flyball.records.versions import VERSIONS, VersionDeleted, VersionRejected
from flyball.wiring import open_project

from .conftest import Ended

Flyball = Callable[..., Ended]
OLD_S = 100 * 86_400


class Tell(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str = "test"


def tell(project: Path, *events: Event) -> None:
    wired = open_project(project)
    wired.ledger.execute(Tell(id=wired.ports.clock.new_id("cmd")), lambda *_: events)
    wired.close()


def stray(project: Path, age_s: float = OLD_S) -> Path:
    """A blob that nobody refers to."""
    wired = open_project(project)
    path = wired.blobs.path(wired.blobs.put(b"x" * 2_000_000))
    wired.close()
    moment = time.time() - age_s
    os.utime(path, (moment, moment))
    return path


def test_a_dry_run_tells_and_the_real_one_removes(flyball: Flyball, trained: Path) -> None:
    path = stray(trained)
    would = flyball("gc", "--dry-run", "--project", trained, "--json")
    assert would.code == 0, would.err
    assert path.exists()
    did = flyball("gc", "--project", trained, "--json")
    assert did.code == 0, did.err
    assert not path.exists()
    assert would.document | {"dry_run": False} == did.document
    assert did.document == {
        "dry_run": False,
        "older_than": "90d",
        "blobs": 1,
        "bytes": 2_000_000,
        "recorded": 0,
        "versions": [],
        "runs": [],
        "data": [],
        "event": None,
    }
    assert flyball("audit", "verify", "--project", trained).code == 0
    assert "1.0.0" in flyball("models", "show", "demand", "--project", trained).out


def test_what_is_younger_than_a_day_stays(flyball: Flyball, trained: Path) -> None:
    path = stray(trained, age_s=3_600)
    assert flyball("gc", "--project", trained).out.startswith("removed  0 blobs")
    assert path.exists()


def test_older_than_says_for_how_long_runs_are_kept(flyball: Flyball, trained: Path) -> None:
    """The run failed just now; of what it was asked nothing is left but an old blob."""
    spec = stray(trained)
    digest = spec.parent.name + spec.name
    tell(trained, RunQueued(run="run_1", model="demand", trigger="manual", reason="", spec=digest), RunFailed(run="run_1", why="it broke"))
    tell(trained, RunQueued(run="run_2", model="demand", trigger="manual", reason="", spec=""), RunFailed(run="run_2", why="it broke"))
    assert flyball("gc", "--project", trained, "--json").document["blobs"] == 0
    ended = flyball("gc", "--older-than", "0s", "--project", trained, "--json")
    assert ended.document["recorded"] == 1
    assert ended.document["event"]
    assert not spec.exists()
    assert flyball("audit", "verify", "--project", trained).code == 0


def test_a_damaged_blob_is_told_with_one_reason_and_one_way_out(flyball: Flyball, trained: Path) -> None:
    wired = open_project(trained)
    [version] = [row for _, row in wired.ledger.state().scan(VERSIONS)]
    path = wired.blobs.path(version.result)
    wired.close()
    path.chmod(0o644)
    path.write_bytes(b"{}")
    ended = flyball("gc", "--project", trained)
    assert ended.code == 1
    told = [line.split()[0] for line in ended.err.splitlines() if line.startswith("    ")]
    assert (told.count("why"), told.count("fix")) == (1, 1), ended.err
    assert "damaged" in ended.err


def test_a_tombstone_is_shown_as_one(flyball: Flyball, trained: Path) -> None:
    verdict = Verdict(check="mae ≤ 1", outcome=Outcome.FAIL, why="3")
    tell(
        trained,
        VersionRejected(model="demand", version="1.0.0", verdicts=(verdict,)),
        VersionDeleted(model="demand", version="1.0.0", why="what it was made of is removed"),
    )
    wired = open_project(trained)
    row = wired.ledger.state().get(VERSIONS, "demand/1.0.0")
    assert row is not None
    wired.blobs.path(row.result).unlink()
    wired.close()
    shown = flyball("models", "show", "demand@1.0.0", "--project", trained)
    assert shown.code == 0, shown.err
    assert "deleted: what it was made of is removed" in shown.out
    assert "mae ≤ 1" in shown.out
    assert flyball("models", "show", "demand@1.0.0", "--project", trained, "--json").document["artifact"] is None
    refused = flyball("release", "demand@1.0.0", "--project", trained)
    assert refused.code == 1
    assert "demand@1.0.0 is deleted" in refused.err


def test_a_time_to_keep_that_is_longer_than_any_span_is_bad_usage_and_no_run_is_old_enough_for_such_a_setting(
    flyball: Flyball, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = flyball("gc", "--older-than", "9" * 320 + "d", "--project", trained)
    assert (ended.code, "it is at most 104249d" in ended.err) == (2, True), ended.err
    monkeypatch.setenv("FLYBALL_RUN_RETENTION_D", "9" * 12)
    ended = flyball("gc", "--project", trained, "--json")
    assert (ended.code, ended.document["runs"]) == (0, []), ended.out
