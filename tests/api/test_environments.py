"""The API of production: what staging has not checked is not released by it either, and what it has is taken over on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.api import idempotency
from flyball.records.environments import VersionCarried
from flyball.records.identity import Role
from flyball.records.rollouts import ROLLOUTS
from flyball.records.training import RUNS, RunQueued
from flyball.records.versions import VERSIONS, VersionQuarantined, VersionRegistered
from flyball.wiring import open_project

from ..cli.conftest import call  # noqa: TID252 - one way to make a small project
from ..loop.backup_kit import tell  # noqa: TID252
from ..loop.environment_kit import FAILED, answers, into_staging  # noqa: TID252
from .kit import Served, serve

WANTED = {"model": "demand", "version": "1.0.0"}


@pytest.fixture
def production(root: Path) -> Iterator[Served]:
    into_staging(root)
    assert call("apply", "--env", "production", "--project", root).code == 0
    wired = open_project(root, "production", claim=True)
    try:
        with tempfile.TemporaryDirectory(prefix="fb-") as folder:
            yield from serve(wired, Path(folder))
    finally:
        wired.close()


def test_a_version_is_released_when_staging_has_checked_it_and_not_before(production: Served, root: Path) -> None:
    def release(token: str) -> tuple[int, str, str]:
        answer = production.post("/rollouts", WANTED, token=token)
        return answer.status_code, answer.json().get("code", ""), answer.json().get("detail", "") + answer.json().get("why", "")

    ona = production.caller(Role.OPERATOR, person="ona")
    status, code, said = release(ona)
    assert (status, code, "answers nobody" in said) == (403, "not-checked", True)
    answers(root, "demand", "1.0.0", FAILED)
    status, code, said = release(ona)
    assert (status, code, "no answer in time" in said) == (403, "not-checked", True)
    answers(root, "demand", "1.0.0")
    assert release(production.caller(Role.VIEWER, person="vic"))[0] == 403
    assert not [each for each in production.wired.ledger.read(0, 1_000) if isinstance(each.event, VersionRegistered)]
    status, _, _ = release(ona)
    assert status == 202
    row = production.wired.ledger.state().get(VERSIONS, "demand/1.0.0")
    assert row is not None
    assert (row.origin, bool(row.signature)) == ("staging", True)
    [carried] = [each for each in production.wired.ledger.read(0, 1_000) if isinstance(each.event, VersionCarried)]
    assert carried.actor == "user:ona"
    assert [rollout.version for _, rollout in production.wired.ledger.state().scan(ROLLOUTS)] == ["1.0.0"]


def test_what_staging_has_given_up_since_is_not_released_though_it_is_here(production: Served, root: Path) -> None:
    answers(root, "demand", "1.0.0")
    caller = production.wired.caller
    production.wired.take_over(caller, "demand", "1.0.0")
    staging = open_project(root, "staging")
    tell(staging, VersionQuarantined(model="demand", version="1.0.0", reason="wrong labels"))
    staging.close()
    answer = production.post("/rollouts", WANTED)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-checked")


def test_a_request_that_is_sent_again_is_answered_though_staging_is_away_and_the_answer_was_not_kept(
    production: Served, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(root, "demand", "1.0.0")
    first = production.post("/rollouts", WANTED, headers={"Idempotency-Key": "k1"})
    assert first.status_code == 202
    monkeypatch.setattr(idempotency, "KEPT_FOR", 0)
    (root / ".flyball/env/staging").rename(root / "away")
    again = production.post("/rollouts", WANTED, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()) == (202, first.json())
    other = production.post("/rollouts", WANTED, headers={"Idempotency-Key": "k2"})
    assert (other.status_code, other.json()["code"]) == (503, "environment-away")


def test_nothing_is_trained_and_what_is_made_again_gives_no_version(production: Served, root: Path) -> None:
    sam = production.caller(Role.SCIENTIST, person="sam")
    refused = production.post("/runs", {"model": "demand"}, token=sam)
    assert (refused.status_code, refused.json()["code"]) == (403, "made-before")
    assert not [each for each in production.wired.ledger.read(0, 1_000) if isinstance(each.event, RunQueued)]
    answers(root, "demand", "1.0.0")
    production.wired.take_over(production.wired.caller, "demand", "1.0.0")
    [(run, _)] = production.wired.ledger.state().scan(RUNS)
    again = production.post("/runs", {"model": "demand", "reproduce": run}, token=sam)
    # its rows are staging's: what it was made of is not all here
    assert (again.status_code, again.json()["code"]) == (422, "not-reproducible")
