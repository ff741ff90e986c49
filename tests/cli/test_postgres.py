"""The command line over a ledger in PostgreSQL."""

from pathlib import Path
from typing import Any

import pytest


def test_check_makes_nothing_and_afterwards_knows_what_is_in_effect(
    flyball, new: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()
    monkeypatch.setenv("FLYBALL_DATABASE_URL", url)
    assert flyball("check", "--project", new).code == 0
    assert postgres.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url) == "0"
    assert flyball("apply", "--project", new).code == 0
    checked = flyball("check", "--project", new, "--json")
    assert checked.code == 0
    assert int(postgres.psql("SELECT size FROM head", url)) > 0
    assert flyball("audit", "verify", "--project", new, "--json").document["verified"]
    assert not (new / ".flyball" / "ledger.db").exists()


def test_a_backup_of_a_file_is_restored_into_a_server_and_one_of_a_server_into_a_file(
    flyball, trained: Path, new: Path, tmp_path: Path, postgres: Any, monkeypatch
) -> None:
    assert flyball("backup", tmp_path / "kept", "--project", trained).code == 0
    before = flyball("audit", "verify", "--project", trained, "--json").document
    monkeypatch.setenv("FLYBALL_DATABASE_URL", postgres.database())
    restored = flyball("restore", tmp_path / "kept", "--project", new)
    assert restored.code == 0, restored.err
    after = flyball("audit", "verify", "--project", new, "--json").document
    assert after["verified"]
    # who restored it, and the key of the new project, are events of their own
    assert after["events"] >= before["events"]
    assert flyball("models", "--project", new, "--json").document
    assert flyball("backup", tmp_path / "again", "--project", new).code == 0
    monkeypatch.delenv("FLYBALL_DATABASE_URL")
    assert flyball("init", tmp_path / "third").code == 0
    assert flyball("restore", tmp_path / "again", "--project", tmp_path / "third").code == 0
    assert flyball("audit", "verify", "--project", tmp_path / "third", "--json").document["events"] >= after["events"]


def test_who_restores_into_a_server_is_let_in_and_who_lost_the_keys_lets_an_admin_in_again(
    flyball, trained: Path, new: Path, tmp_path: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    assert flyball("token", "create", "ana", "--role", "admin", "--project", trained).code == 0
    assert flyball("backup", tmp_path / "kept", "--project", trained).code == 0
    monkeypatch.setenv("FLYBALL_DATABASE_URL", postgres.database())
    restored = flyball("restore", tmp_path / "kept", "--project", new)
    assert (restored.code, restored.err) == (0, "")
    assert flyball("apply", "--project", new).code == 0
    (new / ".flyball" / "keys" / "local.token").unlink()
    lost = flyball("apply", "--project", new)
    assert (lost.code, "--recover" in lost.err) == (1, True)
    made = flyball("token", "create", "ana", "--recover", "--project", new, "--json")
    monkeypatch.setenv("FLYBALL_TOKEN", made.document["secret"])
    assert flyball("apply", "--project", new).code == 0


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("postgresql://ana:hunter2@/x?host=/nowhere", 3, "cannot be reached"),
        ("postgresql://ana:hun/ter2@host/x", 1, "%2F"),
        ("mysql://ana:hunter2@host/x", 1, "postgresql://user:password@host"),
    ],
)
def test_an_address_that_leads_nowhere_is_an_error_with_words(
    flyball, new: Path, monkeypatch: pytest.MonkeyPatch, url: str, code: int, words: str
) -> None:
    monkeypatch.setenv("FLYBALL_DATABASE_URL", url)
    for verb in ("status", "check"):
        ended = flyball(verb, "--project", new)
        assert (ended.code, ended.out) == (code, "")
        assert words in ended.err
        assert "ter2" not in ended.err


def test_a_database_that_is_not_there_is_no_reason_to_wait(flyball, new: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_DATABASE_URL", f"{postgres.url('postgres')}&dbname=nosuch")
    ended = flyball("status", "--project", new, "--json")
    assert (ended.code, ended.document["code"], ended.document["status"]) == (1, "unusable", 503)
    assert "createdb" in ended.document["fix"]
