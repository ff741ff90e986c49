"""A project with environments, and versions in them as if they had been trained, judged and tried: the records and the blobs are real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from flyball.clock import Instant, Span
from flyball.ledger.canonical import canonical
from flyball.records.base import Event
from flyball.records.environments import VersionIntegrated
from flyball.records.estimates import Verdict
from flyball.records.integration import Integration, IntegrationCheck
from flyball.records.models import Field, Manifest, Signature
from flyball.records.training import RunQueued, RunResult, RunRow, RunStarted, RunState, RunSucceeded
from flyball.records.versions import (
    VERSIONS,
    ChampionChanged,
    VersionDeployed,
    VersionEligible,
    VersionRegistered,
    VersionRow,
    VersionState,
)
from flyball.store.blobs import Blobs
from flyball.wiring import Wired, open_project

from .backup_kit import tell

SIGNATURE = Signature(task="binary", fields=(Field(name="a", type="float"),), classes=(0, 1))
HELD = IntegrationCheck(name="requests are answered", passed=True, told="20 of 20 of the newest rows")
FAILED = IntegrationCheck(name="requests are answered", passed=False, told="no answer in time")


def environments(root: Path, *names: str) -> list[Wired]:
    """A new project, opened in each of these environments."""
    root.mkdir()
    (root / "flyball.toml").write_text("".join(f"[env.{name}]\n" for name in names))
    return [open_project(root, name) for name in names]


def result(artifact: str = "1" * 64, *verdicts: Verdict, **more: Any) -> RunResult:
    """What a run gave."""
    return RunResult(
        artifact=artifact,
        fit_digest=artifact,
        signature=SIGNATURE,
        parameters={},
        window=Span.parse("7d"),
        rows=100,
        holdout_rows=20,
        metrics={},
        baseline={},
        verdicts=verdicts,
        **more,
    )


def run(version: str = "1.0.0", at: Instant = 5) -> RunRow:
    """The run that made a version."""
    return RunRow(
        run=f"run_{version}",
        model="m",
        trigger="manual",
        reason="",
        spec="0" * 64,
        release=True,
        state=RunState.SUCCEEDED,
        queued_at=at,
        version=version,
    )


def row(version: str = "1.0.0", **changed: Any) -> VersionRow:
    """A version as it stands in the environment before: it answers there, and held."""
    made = VersionRow(
        model="m",
        version=version,
        state=VersionState.DEPLOYED,
        run=f"run_{version}",
        artifact="1" * 64,
        result="2" * 64,
        version_digest="v",
        policy_digest="p",
        gates_digest="g",
        data={},
        metrics={},
        registered_at=7,
        integration=Integration(at=9, checks=(HELD,)),
    )
    return msgspec.structs.replace(made, **changed)


def made(blobs: Blobs, model: str = "m", version: str = "1.0.0", kind: str = "") -> list[Event]:
    """The events of a version that was trained, passed, and answers; with blobs for all that it is made of. `kind`: what tells its bytes apart."""
    said = f"{model} {version} {kind}"
    declaration = blobs.put(f"declaration of {said}".encode())
    manifest = Manifest(
        model=model,
        file="loop.py",
        signature=SIGNATURE,
        code=blobs.put(f"code of {said}".encode()),
        declaration=declaration,
        files={"model.bin": blobs.put(f"bytes of {said}".encode())},
        libraries={},
        python="3.12",
    )
    artifact = blobs.put(canonical(manifest))
    found = blobs.put(canonical(result(artifact, evidence=blobs.put(f"evidence of {said}".encode()))))
    name = f"run_{model}_{version}"
    return [
        RunQueued(run=name, model=model, trigger="manual", reason="", spec=blobs.put(f"spec of {said}".encode()), declaration=declaration),
        RunStarted(run=name, attempt=1),
        RunSucceeded(run=name, result=found),
        VersionRegistered(
            model=model,
            version=version,
            run=name,
            artifact=artifact,
            result=found,
            version_digest="v",
            policy_digest="p",
            gates_digest="g",
            data={},
            metrics={},
        ),
        VersionEligible(model=model, version=version, verdicts=()),
        VersionDeployed(model=model, version=version),
        ChampionChanged(model=model, version=version, former="", rollback=False, reason="it was tested"),
    ]


def tried(model: str = "m", version: str = "1.0.0", check: IntegrationCheck = HELD) -> VersionIntegrated:
    """A version was tried through its gateway."""
    return VersionIntegrated(model=model, version=version, checks=(check,))


def answers_there(wired: Wired, model: str = "m", version: str = "1.0.0", kind: str = "") -> None:
    """A version is made in an environment, answers there, and held."""
    tell(wired, *made(wired.blobs, model, version, kind), tried(model, version))


def into_staging(root: Path, production: str = "") -> None:
    """Let a project of its own environment be one whose versions were made in staging, and go on to production. `production`: its settings."""
    state = root / ".flyball"
    state.rename(root / "away")
    (state / "env").mkdir(parents=True)
    (root / "away").rename(state / "env" / "staging")
    with (root / "flyball.toml").open("a") as file:
        file.write(f"\n[env.staging]\n\n[env.production]\n{production}\n")


def answers(root: Path, model: str, version: str, check: IntegrationCheck = HELD) -> None:
    """Let a version of staging be the one that answers there, and be tried, as if its loop had done so."""
    staging = open_project(root, "staging")
    name = {"model": model, "version": version}
    row = staging.ledger.state().get(VERSIONS, f"{model}/{version}")
    assert row is not None
    enters = [VersionDeployed(**name), ChampionChanged(**name, former="", rollback=False, reason="it passed")]
    tell(staging, *(enters if row.state is VersionState.ELIGIBLE else []), tried(model, version, check))
    staging.close()
