"""Who may do what with the whole record, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flyball.cli import up
from flyball.errors import Conflict
from flyball.loop.authority import Drive
from flyball.loop.local import login_name
from flyball.records.incidents import IncidentOpened
from flyball.wiring import open_project

ROLES = ("viewer", "scientist", "operator", "approver", "admin")
KEEPERS = {"operator", "admin"}


@pytest.fixture
def secrets(flyball, new: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A token's secret for each role, and for an operator of one model alone."""
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)

    def given(*what: str) -> str:
        return str(flyball("token", "create", "ben", *what, "--project", new, "--json").document["secret"])

    return {role: given("--role", role) for role in ROLES} | {"of one model": given("--role", "operator", "--model", "demand")}


@pytest.mark.parametrize(
    ("verb", "command", "may"),
    [
        (("backup", "{}"), "Backup", KEEPERS),
        (("restore", "{}"), "Restore", KEEPERS),
        (("audit", "rebuild"), "Rebuild", KEEPERS),
        (("audit", "export", "{}"), "ExportRecord", KEEPERS | {"approver"}),
        (("data", "erase", "--subject", "anybody", "--reason", "request 1"), "EraseSubject", KEEPERS),
        (("data", "erase", "--subject", "anybody", "--reason", "request 1", "--dry-run"), "EraseSubject", KEEPERS),
    ],
)
def test_the_whole_record_is_for_those_whom_the_table_names(
    flyball,
    new: Path,
    tmp_path: Path,
    secrets: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    verb: tuple[str, ...],
    command: str,
    may: set[str],
) -> None:
    let = set()
    for who, secret in secrets.items():
        folder = tmp_path / who.replace(" ", "-")
        monkeypatch.setenv("FLYBALL_TOKEN", secret)
        ended = flyball(*(part.format(folder) for part in verb), "--project", new)
        refused = ended.code == 1 and command in ended.err and ended.err.startswith("refused")
        assert not (refused and folder.exists()), "nothing is written for whoever is refused"
        if not refused:
            let.add(who)
    assert let == may


@pytest.mark.parametrize(
    ("watch", "may", "command"),
    [
        (("--no-watch",), {"scientist", "operator", "admin", "of one model"}, "Drive"),
        ((), {"scientist", "admin"}, "Watch"),
    ],
)
def test_flyball_is_started_by_who_may_tick_and_watches_files_for_who_may_apply(
    flyball, new: Path, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch, watch: tuple[str, ...], may: set[str], command: str
) -> None:
    def begun(*_: object) -> int:
        raise Conflict("it begins")

    monkeypatch.setattr(up, "take_lock", begun)
    let = set()
    for who, secret in secrets.items():
        monkeypatch.setenv("FLYBALL_TOKEN", secret)
        ended = flyball("up", *watch, "--project", new)
        if "it begins" in ended.err:
            let.add(who)
        else:
            assert ended.err.startswith("refused"), ended.err
            assert ("--no-watch" in ended.err) is (command in ended.err and not watch), ended.err
    assert let == may
    monkeypatch.setenv("FLYBALL_TOKEN", "fb_guess")
    assert (flyball("up", *watch, "--project", new).code, "it begins" in flyball("up", *watch, "--project", new).err) == (1, False)
    monkeypatch.delenv("FLYBALL_TOKEN")
    assert "it begins" in flyball("up", *watch, "--project", new).err, "the user of this machine needs no token"


def test_an_approver_gets_the_record_with_a_signature(
    flyball, new: Path, tmp_path: Path, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYBALL_TOKEN", secrets["approver"])
    ended = flyball("audit", "export", tmp_path / "out", "--project", new, "--json")
    assert (ended.code, ended.document["checkpoints"]) == (0, 1), ended.out


@pytest.fixture
def watched(flyball, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a version in a rollout and an open incident of its model."""
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    assert flyball("release", "demand@1.0.0", "--project", trained).code == 0
    wired = open_project(trained)
    opened = IncidentOpened(
        incident="inc_1", model="demand", failure_mode="drift", alert="", what="it drifts", cause="", owner="ana", actions=(), rollout=""
    )
    wired.ledger.execute(Drive(id="c", actor="loop"), lambda *_: (opened,))
    wired.close()
    return trained


@pytest.mark.parametrize(("pattern", "seen"), [("dem*", True), ("price-*", False)])
def test_a_token_for_some_models_shows_these_alone(
    flyball, watched: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, seen: bool
) -> None:
    made = flyball("token", "create", "ben", "--role", "operator", "--model", pattern, "--project", watched, "--json").document
    [started] = flyball("rollouts", "list", "--project", watched, "--json").document["rollouts"]
    monkeypatch.setenv("FLYBALL_TOKEN", made["secret"])

    def told(*verb: str) -> Any:
        return flyball(*verb, "--project", watched, "--json").document

    status = told("status")
    listed = (told("models", "list")["versions"], told("rollouts", "list")["rollouts"], told("incidents", "list")["incidents"])
    assert [bool(each) for each in (*listed, status["models"], status["incidents"])] == [seen] * 5
    assert told("models", "list")["without_version"] == []
    assert [each["name"] for each in told("data", "list")["datasets"]] == (["town"] if seen else [])
    shown = flyball("data", "show", "town", "--project", watched)
    assert (shown.code == 0, "town" in shown.out, 'no data set "town"' in shown.err) == (seen, seen, not seen)
    for verb in (
        ("models", "show", "demand@1.0.0"),
        ("models", "list", "demand"),
        ("rollouts", "show", started["rollout"]),
        ("incidents", "show", "inc_1"),
    ):
        ended = flyball(*verb, "--project", watched)
        assert (ended.code == 0, "is not for demand" in ended.err) == (seen, not seen), verb
    for verb in (("rollouts", "pause", started["rollout"], "--reason", "x"), ("incidents", "ack", "inc_1", "--reason", "x")):
        ended = flyball(*verb, "--dry-run", "--project", watched)
        assert ("is not for demand" in ended.err) is not seen, verb


@pytest.mark.parametrize(("pattern", "code"), [("dem*", 1), ("*", 0)])
def test_a_token_for_some_models_gets_no_proof_from_the_record_which_is_of_all(
    flyball, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, code: int
) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    proof = flyball("audit", "prove", 1, "--project", trained, "--json").document
    checkpoint = tmp_path / "checkpoint.txt"
    checkpoint.write_text(proof["checkpoint"])
    made = flyball("token", "create", "ben", "--role", "operator", "--model", pattern, "--project", trained, "--json").document
    monkeypatch.setenv("FLYBALL_TOKEN", made["secret"])
    for verb in (("prove", 1), ("prove", 1, "--out", tmp_path / "proof.json"), ("consistency", checkpoint)):
        ended = flyball("audit", *verb, "--project", trained)
        assert (ended.code, "the record is of all models" in ended.err) == (code, bool(code)), ended.err
        assert not (code and ended.out), "nothing of it is shown"
    assert (tmp_path / "proof.json").exists() is (code == 0)


@pytest.mark.parametrize(("pattern", "seen"), [("demand", True), ("price-*", False), ("?", False), ("*", True)])
def test_a_broken_file_is_shown_to_whom_its_models_are(
    flyball, new: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, seen: bool
) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    assert flyball("apply", "--project", new).code == 0
    made = flyball("token", "create", "ben", "--role", "viewer", "--model", pattern, "--project", new, "--json").document
    [file] = [each for each in new.rglob("*.py") if "fb.Model" in each.read_text()]
    file.write_text("this is no Python")
    flyball("apply", "--project", new)
    assert "broken" in flyball("status", "--project", new).out
    monkeypatch.setenv("FLYBALL_TOKEN", made["secret"])
    assert ("broken" in flyball("status", "--project", new).out) is seen


@pytest.fixture
def locked(flyball, new: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that does not take its local user's token any more; the only admin's secret is lost."""
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    assert flyball("token", "create", "gone", "--role", "admin", "--project", new).code == 0
    own = next(row for row in flyball("token", "list", "--project", new, "--json").document["tokens"] if row["person"] == login_name())
    assert flyball("token", "revoke", own["token"], "--reason", "moved", "--project", new).code == 0
    assert flyball("apply", "--project", new).code == 1
    return new


def test_whoever_holds_the_database_lets_an_admin_in_again_and_the_record_shows_it(
    flyball, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dry = flyball("token", "create", "ana", "--recover", "--dry-run", "--project", locked)
    assert (dry.code, "would record  token.created" in dry.out) == (0, True), dry.err
    made = flyball("token", "create", "ana", "--recover", "--project", locked, "--json").document
    assert (made["roles"], made["created_by"]) == (["admin"], f"recovery:{login_name()}")
    monkeypatch.setenv("FLYBALL_TOKEN", made["secret"])
    assert flyball("apply", "--project", locked).code == 0
    assert f"by recovery:{login_name()}" in flyball("token", "list", "--project", locked).out


def test_whoever_has_a_token_recovers_nothing_with_it(flyball, new: Path, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_TOKEN", secrets["viewer"])
    ended = flyball("token", "create", "ana", "--recover", "--project", new)
    assert (ended.code, "unset FLYBALL_TOKEN" in ended.err) == (1, True)
