"""The local user's token: a file that nobody else can read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from flyball.errors import Refused, Unauthenticated, Unavailable
from flyball.loop.local import FILE, local_secret, login_name, new_secret
from flyball.loop.tokens import RevokeToken, decide_revoke, order
from flyball.loop.tokens import decide_create as create
from flyball.records.identity import TOKENS, Role
from flyball.wiring import TOKEN_VARIABLE, Wired, open_project


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "flyball.toml").write_text("")
    return tmp_path


def give(wired: Wired, person: str, *roles: Role) -> str:
    """A token of this person; its secret."""
    secret, clock = new_secret(), wired.ports.clock
    command = order(
        command=clock.new_id("cmd"),
        actor=wired.caller.actor,
        token=f"tok_{person}",
        person=person,
        secret=secret,
        roles=[role.value for role in roles],
    )
    wired.ports.ledger.execute(command, create)
    return secret


def test_the_secret_lies_in_a_file_that_its_user_alone_can_read_and_stays_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    secret = local_secret(folder)
    assert secret.startswith("fb_")
    assert (folder.stat().st_mode & 0o777, (folder / FILE).stat().st_mode & 0o777) == (0o700, 0o600)
    assert local_secret(folder) == secret
    assert [path.name for path in folder.iterdir()] == [FILE], "nothing else is left"


def test_processes_that_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        found.append(local_secret(tmp_path / "keys"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(found), len(set(found))) == (8, 1)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    local_secret(tmp_path)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(Refused, match="can be read by others") as caught:
        local_secret(tmp_path)
    assert "chmod 600" in caught.value.fix


@pytest.mark.parametrize("keep", [0, 3, 45])
def test_a_file_that_is_empty_or_cut_off_is_not_used_and_gives_nobody_a_token(project: Path, keep: int) -> None:
    path = project / ".flyball" / "keys" / FILE
    path.write_text(local_secret(path.parent)[:keep])
    with pytest.raises(Refused, match="empty or damaged") as caught:
        local_secret(path.parent)
    assert str(path) in caught.value.fix
    wired = open_project(project, claim=True)
    assert wired.ledger.state().scan(TOKENS) == []
    wired.close()
    path.unlink()
    wired = open_project(project, claim=True)
    assert [row.person for _, row in wired.ledger.state().scan(TOKENS)] == [login_name()]
    wired.close()


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    with pytest.raises(Unavailable, match="cannot be used"):
        local_secret(tmp_path / "keys")


def test_looking_records_nothing_and_the_first_deed_the_token_and_only_its_hash(project: Path) -> None:
    wired = open_project(project)
    assert wired.caller.actor == f"user:{login_name()}"
    assert wired.ledger.size() == 0
    give(wired, "ben", Role.VIEWER)
    rows = [row for _, row in wired.ledger.state().scan(TOKENS)]
    assert {(row.person, row.created_by) for row in rows} == {(login_name(), "loop"), ("ben", f"user:{login_name()}")}
    secret = (project / ".flyball" / "keys" / FILE).read_text().strip()
    wired.close()
    held = b"".join(path.read_bytes() for path in (project / ".flyball").glob("ledger.db*"))
    assert secret.encode() not in held


def test_the_control_plane_gives_the_local_user_a_token_and_acts_as_the_loop(project: Path) -> None:
    wired = open_project(project, claim=True)
    assert wired.caller.is_loop
    assert [row.person for _, row in wired.ledger.state().scan(TOKENS)] == [login_name()]
    wired.close()
    again = open_project(project)
    assert again.caller.token, "the command line finds it"
    again.close()


def test_with_a_token_in_the_environment_its_holder_acts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wired = open_project(project)
    secret = give(wired, "ben", Role.VIEWER)
    wired.close()
    monkeypatch.setenv(TOKEN_VARIABLE, secret)
    wired = open_project(project)
    assert wired.caller.actor == "user:ben"
    with pytest.raises(Refused, match="ben may not do this"):
        give(wired, "cat", Role.ADMIN)
    with pytest.raises(Refused, match="Drive"):
        wired.driving()
    wired.close()


def test_a_revoked_local_token_lets_nobody_in(project: Path) -> None:
    wired = open_project(project)
    give(wired, "ben", Role.ADMIN)
    command = RevokeToken(id="c", actor=wired.caller.actor, token=wired.caller.token or _local(wired), reason="moved")
    wired.ports.ledger.execute(command, decide_revoke)
    wired.close()
    wired = open_project(project)
    with pytest.raises(Unauthenticated, match="revoked"):
        _ = wired.caller
    wired.close()


def _local(wired: Wired) -> str:
    return next(row.token for _, row in wired.ledger.state().scan(TOKENS) if row.person == login_name())


@pytest.mark.skipif(os.getuid() != 0, reason="another user can be played by root alone")
def test_another_user_of_the_machine_is_told_to_ask_for_a_token(tmp_path: Path) -> None:
    local_secret(tmp_path / "keys")
    tmp_path.chmod(0o755)
    (tmp_path / "keys").chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and parent.name.startswith("p"):
            parent.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(Refused, match="cannot be read") as caught:
            local_secret(tmp_path / "keys")
    finally:
        os.seteuid(0)
    assert "FLYBALL_TOKEN" in caught.value.fix
