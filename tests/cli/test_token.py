"""Tokens on the command line: given, listed, taken away, and acted under."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.loop.local import login_name


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)


def test_a_token_is_made_shown_once_listed_and_revoked(flyball, new: Path) -> None:
    made = flyball(
        "token",
        "create",
        "ben",
        "--job",
        "risk-officer",
        "--team",
        "risk",
        "--model",
        "dem*",
        "--expires",
        "90d",
        "--project",
        new,
        "--json",
    )
    assert made.code == 0, made.out
    token = made.document
    assert (token["person"], token["jobs"], token["roles"], token["models"]) == ("ben", ["risk-officer"], ["approver"], ["dem*"])
    assert token["secret"].startswith("fb_")
    listed = flyball("token", "list", "--project", new, "--json")
    assert token["secret"] not in listed.out
    assert "hash" not in listed.out
    assert [row["person"] for row in listed.document["tokens"]] == ["ben", login_name()]
    assert flyball("token", "revoke", token["token"], "--project", new).code == 2, "a reason is needed"
    assert flyball("token", "revoke", token["token"], "--reason", "left", "--project", new).code == 0
    assert [row["person"] for row in flyball("token", "list", "--project", new, "--json").document["tokens"]] == [login_name()]
    assert "revoked" in flyball("token", "list", "--all", "--project", new).out


def test_the_secret_is_on_a_line_of_its_own_and_nowhere_on_disk(flyball, new: Path) -> None:
    made = flyball("token", "create", "ben", "--role", "viewer", "--project", new)
    assert "shown once" in made.err
    secret = made.out.splitlines()[1]
    assert secret.startswith("fb_")
    files = [path for path in (new / ".flyball").rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_a_command_that_is_repeated_shows_no_secret_that_is_none(flyball, new: Path) -> None:
    arguments = ("token", "create", "ben", "--role", "viewer", "--idempotency-key", "k1", "--project", new, "--json")
    first, again = flyball(*arguments).document, flyball(*arguments).document
    assert (first["token"], first["event"]) == (again["token"], again["event"])
    assert again["secret"] is None
    assert len(flyball("token", "list", "--project", new, "--json").document["tokens"]) == 2


def test_a_dry_run_shows_no_secret_and_records_nothing(flyball, new: Path) -> None:
    dry = flyball("token", "create", "ben", "--role", "viewer", "--dry-run", "--project", new)
    assert dry.code == 0, dry.err
    assert "would record  token.created" in dry.out
    assert "fb_" not in dry.out + dry.err
    assert flyball("token", "list", "--project", new, "--json").document["tokens"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("create", "ben", "--role", "aprover"), 2, 'did you mean "approver"'),
        (("create", "ben", "--job", "risk"), 2, '"risk" is no job'),
        (("create", "ben"), 1, "no role and no job"),
        (("create", "be n", "--role", "viewer"), 2, "cannot name a person"),
        (("create", "ben", "--role", "viewer", "--expires", "0s"), 1, "expired already"),
        (("revoke", "tok_1", "--reason", "x"), 1, 'no token "tok_1"'),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(flyball, new: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    ended = flyball("token", *arguments, "--project", new)
    assert ended.code == code
    assert says in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("expires", "says"),
    [("9" * 320 + "d", "it is at most 104249d"), ("99999999d", "it is at most 104249d"), ("104000d", "d from now: until the year 2255")],
)
def test_an_expiry_that_no_time_lies_at_is_bad_usage(flyball, new: Path, expires: str, says: str) -> None:
    ended = flyball("token", "create", "ben", "--role", "viewer", "--expires", expires, "--project", new)
    assert (ended.code, says in ended.err, "expires_at" in ended.err) == (2, True, False), ended.err


def test_the_last_admin_stays(flyball, new: Path) -> None:
    flyball("token", "create", "ben", "--role", "viewer", "--project", new)
    own = next(row for row in flyball("token", "list", "--project", new, "--json").document["tokens"] if row["person"] == login_name())
    ended = flyball("token", "revoke", own["token"], "--reason", "x", "--project", new)
    assert (ended.code, "last token of an admin" in ended.err) == (1, True)


def test_a_viewer_looks_and_does_nothing(flyball, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = flyball("token", "create", "ben", "--role", "viewer", "--project", new, "--json").document["secret"]
    monkeypatch.setenv("FLYBALL_TOKEN", secret)
    assert flyball("status", "--project", new).code == 0
    for verb in (("apply",), ("tick",), ("token", "create", "x", "--role", "admin"), ("token", "list")):
        ended = flyball(*verb, "--project", new)
        assert (ended.code, ended.err.startswith("refused")) == (1, True), verb
    dry = flyball("apply", "--dry-run", "--project", new)
    assert (dry.code, "may not do this" in dry.err) == (1, True), "nor does a dry run say what it would do"


def test_with_a_token_that_is_not_taken_nothing_is_shown(flyball, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_TOKEN", "fb_guess")
    ended = flyball("status", "--project", new, "--json")
    assert (ended.code, ended.document["code"], ended.document["status"]) == (1, "unauthenticated", 401)
    assert "fb_guess" not in ended.out + ended.err


def test_a_programs_own_process_acts_as_the_tokens_holder(flyball, new: Path) -> None:
    secret = flyball("token", "create", "dan", "--job", "data-scientist", "--project", new, "--json").document["secret"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("flyball")), "apply", "--project", str(new), "--json"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(new), "FLYBALL_TOKEN": secret},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["models"][0]["changed"] == ["new"]
    assert flyball("release", "demand@1.0.0", "--project", new).code == 1


def test_a_key_that_was_used_for_another_command_is_refused_and_not_taken_for_done(flyball, new: Path) -> None:
    ids = [flyball("token", "create", name, "--role", "viewer", "--project", new, "--json").document["token"] for name in ("ben", "cleo")]
    revoke = ("--reason", "left", "--idempotency-key", "k", "--project", new, "--json")
    assert flyball("token", "revoke", ids[0], *revoke).code == 0
    refused = flyball("token", "revoke", ids[1], *revoke)
    assert (refused.code, refused.document["code"]) == (1, "key-reused")
    assert flyball("token", "revoke", ids[0], *revoke).code == 0, "the same again is the same"
    # the list is of those that are taken
    listed = [row["token"] for row in flyball("token", "list", "--project", new, "--json").document["tokens"]]
    assert ids[1] in listed
    assert ids[0] not in listed
