"""Who may do what with the whole record, on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        (("data", "erase", "--subject", "anybody"), "EraseSubject", KEEPERS),
        (("data", "erase", "--subject", "anybody", "--dry-run"), "EraseSubject", KEEPERS),
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


def test_an_approver_gets_the_record_with_a_signature(
    flyball, new: Path, tmp_path: Path, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYBALL_TOKEN", secrets["approver"])
    ended = flyball("audit", "export", tmp_path / "out", "--project", new, "--json")
    assert (ended.code, ended.document["checkpoints"]) == (0, 1), ended.out
