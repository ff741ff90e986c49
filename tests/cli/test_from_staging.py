"""From staging, whose record is a file, to production, whose record is in PostgreSQL: by the command line."""

import time
from pathlib import Path
from typing import Any

import pytest

from flyball.governance.authority import LOOP
from flyball.loop import lookup
from flyball.loop.memory import load
from flyball.loop.releasing import release_newest
from flyball.records.environments import JudgingWanted, VersionCarried
from flyball.records.estimates import Outcome
from flyball.records.proposals import ProposalMade
from flyball.records.rollouts import ROLLOUTS
from flyball.records.versions import (
    VERSIONS,
    ChampionChanged,
    VersionDeployed,
    VersionDeprecated,
    VersionEligible,
    VersionJudged,
    VersionQuarantined,
    VersionRegistered,
    VersionRetired,
    VersionState,
)
from flyball.wiring import open_project

from ..loop.backup_kit import tell  # noqa: TID252
from ..loop.environment_kit import answers, into_staging  # noqa: TID252 - one way to have environments


def test_a_version_goes_from_a_file_to_a_server(flyball, trained: Path, postgres: Any) -> None:
    url = postgres.database()
    into_staging(trained, f'database_url = "{url}"')
    answers(trained, "demand", "1.0.0")
    there = ("--env", "production", "--project", trained)
    assert flyball("apply", *there).code == 0
    refused = flyball("release", "demand@1.1.0", *there)
    assert (refused.code, "staging has no version demand@1.1.0" in refused.err) == (1, True)
    released = flyball("release", "demand@1.0.0", *there)
    assert released.code == 0, released.err
    again = flyball("release", "demand@1.0.0", *there)
    assert (again.code, "in a rollout already" in again.err) == (1, True)
    shown = flyball("models", "show", "demand@1.0.0", *there, "--json").document
    assert (shown["origin"], shown["checked"]["checks"][0]["passed"], shown["integration"]) == ("staging", True, None)
    verified = flyball("audit", "verify", *there, "--json").document
    assert verified["verified"]
    assert int(postgres.psql("SELECT size FROM head", url)) == verified["events"]
    assert not (trained / ".flyball/env/production/ledger.db").exists()
    assert flyball("audit", "verify", "--env", "staging", "--project", trained, "--json").document["verified"]


def test_status_names_what_brings_a_version_here_and_no_training_that_is_refused(flyball, trained: Path) -> None:
    into_staging(trained)
    there = ("--env", "production", "--project", trained)
    assert flyball("apply", *there).code == 0
    refused = flyball("train", "demand", *there, "--json")
    assert (refused.code, refused.document["code"]) == (1, "made-before")
    release = "flyball release demand@{} --env production"
    none = f"flyball train demand --env staging; once it answers there: {release.format('VERSION')}"
    assert f"demand: no version answers yet: {none}\n" in flyball("status", *there).out
    answers(trained, "demand", "1.0.0")
    assert f"demand: no version answers yet: {release.format('1.0.0')}\n" in flyball("status", *there).out
    assert flyball("release", "demand@1.0.0", *there).code == 0, "what is advised is taken"


@pytest.mark.parametrize("given_up", [False, True])
def test_the_loop_asks_once_more_before_it_releases_what_it_took_over(flyball, trained: Path, given_up: bool) -> None:
    into_staging(trained)
    answers(trained, "demand", "1.0.0")
    there = ("--env", "production", "--project", trained)
    assert flyball("apply", *there).code == 0
    production = open_project(trained, "production")
    production.take_over(LOOP, "demand", "1.0.0")
    if given_up:
        staging = open_project(trained, "staging")
        tell(staging, VersionQuarantined(model="demand", version="1.0.0", reason="wrong labels"))
        staging.close()
        # as in a pass that had looked at staging just before
        ports = production.acting(LOOP)
        release_newest(ports, lookup.declared(ports, "demand"), load(ports.memory))
    for _ in range(2):
        ended = flyball("tick", *there)
        assert ended.code == 0, ended.err
    released = [row.version for _, row in production.ledger.state().scan(ROLLOUTS)]
    assert released == ([] if given_up else ["1.0.0"])
    if given_up:
        told = [each.event for each in production.ledger.read(0, 1_000) if isinstance(each.event, ProposalMade)]
        assert [(each.action, each.mode, "in quarantine there: wrong labels" in each.reason) for each in told] == [
            ("release", "record", True)
        ]
        assert "against demand@1.0.0 (eligible): staging has put it in quarantine: wrong labels" in flyball("status", *there).out
    production.close()


def test_what_staging_advises_against_by_now_is_not_released_by_the_loop(flyball, trained: Path) -> None:
    into_staging(trained)
    answers(trained, "demand", "1.0.0")
    assert flyball("apply", "--env", "production", "--project", trained).code == 0
    production = open_project(trained, "production")
    production.take_over(LOOP, "demand", "1.0.0")
    staging = open_project(trained, "staging")
    tell(staging, VersionDeprecated(model="demand", version="1.0.0", reason="wrong on Sundays"))
    staging.close()
    ports = production.acting(LOOP)
    # as in a pass that had looked at staging just before
    release_newest(ports, lookup.declared(ports, "demand"), load(ports.memory))
    assert production.ledger.state().scan(ROLLOUTS) == []
    row = production.ledger.state().get(VERSIONS, "demand/1.0.0")
    assert (row.state, row.deprecated) == (VersionState.ELIGIBLE, "wrong on Sundays")
    production.close()
    # a person may, and is told
    released = flyball("release", "demand@1.0.0", "--env", "production", "--project", trained)
    assert released.code == 0, released.err
    assert "demand@1.0.0 is deprecated: wrong on Sundays" in released.err


def recorded(root: Path, env: str = "production") -> list[Any]:
    """The events of an environment, in order."""
    wired = open_project(root, env)
    try:
        return [each.event for each in wired.ledger.read(0, 1_000)]
    finally:
        wired.close()


def test_a_release_that_is_refused_has_taken_nothing_over(flyball, trained: Path) -> None:
    into_staging(trained)
    answers(trained, "demand", "1.0.0")
    there = ("--env", "production", "--project", trained)
    loop = trained / "loop.py"
    loop.write_text(loop.read_text().replace("gates=[", 'gates=[fb.metric("mae") <= 0.001, ', 1))
    assert flyball("apply", *there).code == 0
    dry = flyball("release", "demand@1.0.0", *there, "--dry-run")
    refused = flyball("release", "demand@1.0.0", *there)
    assert (refused.code, dry.code, refused.err) == (1, 1, dry.err)
    assert "judged by other gates than those declared now" in refused.err
    assert not [each for each in recorded(trained) if isinstance(each, VersionRegistered | VersionCarried)]
    blobs = trained / ".flyball/env"
    artifact = next(each.artifact for each in recorded(trained, "staging") if isinstance(each, VersionRegistered))
    assert not list((blobs / "production").rglob(f"*{artifact[2:]}*"))
    assert list((blobs / "staging").rglob(f"*{artifact[2:]}*"))


def test_what_only_persons_here_can_settle_is_taken_over_and_the_refusal_says_so(
    flyball, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    loop = trained / "loop.py"
    loop.write_text(loop.read_text().replace("gates=[", 'gates=[fb.approval("risk-officer"), ', 1))
    version = flyball("train", "demand", "--trials", 0, "--project", trained, "--json").document["version"]
    into_staging(trained)
    staging = open_project(trained, "staging")
    tell(staging, VersionEligible(model="demand", version=version, verdicts=()))
    staging.close()
    answers(trained, "demand", version)
    there, ref = ("--env", "production", "--project", trained), f"demand@{version}"
    assert flyball("apply", *there).code == 0
    dry = flyball("release", ref, *there, "--dry-run")
    assert (dry.code, "has an open gate" in dry.err, "taken over" in dry.err) == (1, True, False)
    assert not [each for each in recorded(trained) if isinstance(each, VersionCarried)]
    refused = flyball("release", ref, *there)
    assert (refused.code, "has an open gate" in refused.err) == (1, True)
    assert "it was taken over from staging now, since that is settled in production" in refused.err
    again = flyball("release", ref, *there)
    assert (again.code, "has an open gate" in again.err, "taken over" in again.err) == (1, True, False)
    assert len([each for each in recorded(trained) if isinstance(each, VersionCarried)]) == 1
    ben = flyball("token", "create", "ben", "--job", "risk-officer", *there, "--json").document["secret"]
    monkeypatch.setenv("FLYBALL_TOKEN", ben)
    approved = flyball("approve", ref, "--reason", "looked at the days", *there)
    assert approved.code == 0, approved.err
    monkeypatch.delenv("FLYBALL_TOKEN")
    released = flyball("release", ref, *there)
    assert released.code == 0, released.err


def test_a_release_that_is_sent_again_is_answered_though_staging_is_away(flyball, trained: Path) -> None:
    into_staging(trained)
    answers(trained, "demand", "1.0.0")
    there = ("--env", "production", "--project", trained)
    assert flyball("apply", *there).code == 0
    release = ("release", "demand@1.0.0", *there, "--json", "--idempotency-key", "k1")
    first = flyball(*release)
    assert first.code == 0, first.err
    state = trained / ".flyball/env/staging"
    state.rename(trained / "away")
    again = flyball(*release)
    assert (again.code, again.document) == (0, first.document), again.err
    other = flyball("release", "demand@1.0.0", *there, "--idempotency-key", "k2")
    assert (other.code, "the environment staging cannot be read" in other.err) == (3, True)


def test_gates_that_are_declared_anew_judge_in_staging_what_answers_in_production_alone(flyball, trained: Path) -> None:
    into_staging(trained)
    answers(trained, "demand", "1.0.0")
    there, before = (("--env", env, "--project", trained) for env in ("production", "staging"))
    assert flyball("apply", *there).code == 0
    production, old = open_project(trained, "production"), {"model": "demand", "version": "1.0.0"}
    production.take_over(LOOP, "demand", "1.0.0")
    tell(production, VersionDeployed(**old), ChampionChanged(**old, former="", rollback=False, reason="it passed"))
    staging = open_project(trained, "staging")
    row = staging.ledger.state().get(VERSIONS, "demand/1.0.0")
    newer = {"model": "demand", "version": "1.1.0"}
    fields = {name: getattr(row, name) for name in VersionRegistered.__struct_fields__} | newer
    tell(
        staging,
        VersionRegistered(**fields),
        VersionEligible(**newer, verdicts=()),
        VersionDeployed(**newer),
        ChampionChanged(**newer, former="1.0.0", rollback=False, reason="it passed"),
        VersionRetired(**old, why="1.1.0 answers"),
    )
    loop = trained / "loop.py"
    loop.write_text(loop.read_text().replace("gates=[", 'gates=[fb.metric("mae") <= 0.001, ', 1))
    for env in (before, there):
        assert flyball("apply", *env).code == 0
    told = "not judged yet by the gates as they are declared now: staging is asked to, and its verdicts follow"
    assert told in flyball("status", *there).out
    assert told in flyball("models", "show", "demand@1.0.0", *there).out
    flyball("tick", *there)
    assert [each.version for each in recorded(trained, "staging") if isinstance(each, JudgingWanted)] == ["1.0.0"]
    for _ in range(200):
        flyball("tick", *before)
        if any(isinstance(each, VersionJudged) and each.version == "1.0.0" for each in recorded(trained, "staging")):
            break
        time.sleep(0.1)
    flyball("tick", *there)
    own, judged = (each.ledger.state().get(VERSIONS, "demand/1.0.0") for each in (production, staging))
    assert (own.state, own.gates_digest) == (VersionState.DEPLOYED, judged.gates_digest)
    assert own.gates_digest != row.gates_digest
    assert {each.check: each.outcome for each in own.verdicts}["mae ≤ 0.001"] is Outcome.FAIL
    assert "demand@1.0.0 (deployed): mae ≤ 0.001: fail" in flyball("status", *there).out
    for wired in (production, staging):
        wired.close()
