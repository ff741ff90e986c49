"""The environment before is read as it is, by whoever may read it; whatever keeps it from being read is told as that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from flyball.errors import Conflict, FlyballError, Unavailable
from flyball.loop import live_before
from flyball.loop.live_before import EarlierEnvironment
from flyball.records.environments import WANTED
from flyball.records.versions import VersionDeprecated
from flyball.store.blobs import LocalBlobs
from flyball.wiring import Wired, open_project

from .backup_kit import tell
from .environment_kit import answers_there, environments

NAME = {"model": "m", "version": "1.0.0"}
STAGING = ".flyball/env/staging"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "p"


@pytest.fixture
def both(root: Path) -> Iterator[tuple[Wired, Wired]]:
    staging, production = environments(root, "staging", "production")
    answers_there(staging)
    yield staging, production
    staging.close()
    production.close()


def before(production: Wired) -> EarlierEnvironment:
    found = production.ports.before
    assert isinstance(found, EarlierEnvironment)
    return found


def there(production: Wired) -> list[str]:
    """The versions that staging offers, each with what it is advised against for."""
    return [f"{row.version} {row.deprecated}".strip() for row in before(production).rows("m", ())]


def away(look: Callable[[], object], what: str = "read") -> FlyballError:
    with pytest.raises(Unavailable) as raised:
        look()
    assert (raised.value.code, raised.value.what) == ("environment-away", f"the environment staging cannot be {what}")
    return raised.value


@contextmanager
def another_user(root: Path) -> Iterator[None]:
    """As a user of the machine who may read everything here and write nothing."""
    for parent in root.parents:
        if parent.stat().st_uid == 0 and parent.name.startswith(("pytest", "popen-", "test_")):
            parent.chmod(0o755)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="another user can be played by root alone")


OTHER = """
import sys
from pathlib import Path
from flyball.records.base import Record
from flyball.records.versions import VersionDeprecated
from flyball.wiring import open_project
class Say(Record, frozen=True):
    id: str
    actor: str = "user:ana"
staging = open_project(Path(sys.argv[1]), "staging")
for number, line in enumerate(sys.stdin):
    said = VersionDeprecated(model="m", version="1.0.0", reason=line.strip())
    staging.ledger.execute(Say(id=f"say-{sys.argv[2]}-{number}"), lambda *_: (said,))
    print("told", flush=True)
staging.close()
"""


@contextmanager
def process_of_staging(root: Path, name: str) -> Iterator[Callable[[str], None]]:
    """Another process that writes the record of staging, for one process shares its locks with itself. Yields what lets it say something."""
    running = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(root), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert running.stdin is not None
    assert running.stdout is not None
    to, fro = running.stdin, running.stdout

    def say(reason: str) -> None:
        if not reason:
            running.kill()
            running.wait(20)
            return
        to.write(f"{reason}\n")
        to.flush()
        assert fro.readline() == "told\n"

    try:
        yield say
        with suppress(BrokenPipeError):
            to.close()
        running.wait(20)
    finally:
        running.kill()
        running.wait(20)
        with suppress(BrokenPipeError):
            to.close()
        fro.close()


@needs_root
@pytest.mark.process
@pytest.mark.parametrize("state", ["up", "stopped", "killed"])
def test_who_may_only_read_staging_sees_all_of_it(both: tuple[Wired, Wired], root: Path, state: str) -> None:
    staging, production = both
    staging.close()
    folder = root / STAGING

    def files() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if "-shm" not in path.name}

    with process_of_staging(root, "first") as say:
        say("wrong on Sundays")
        if state == "killed":
            say("")
            assert (folder / "ledger.db-wal").stat().st_size, "a part of the record is in the log alone"
        if state != "stopped":
            sees(production, root, files, "1.0.0 wrong on Sundays")
    if state == "stopped":
        assert not (folder / "ledger.db-wal").exists(), "the file alone is the whole record"
        sees(production, root, files, "1.0.0 wrong on Sundays")
    with process_of_staging(root, "again") as say:
        say("wrong on Mondays")
        sees(production, root, files, "1.0.0 wrong on Mondays")
        with another_user(root):
            refused = away(lambda: before(production).want("m", "production", "accuracy 0.4"), "told what is wanted")
    assert "cannot be opened for writing" in refused.why


def sees(production: Wired, root: Path, files: Callable[[], dict[str, int]], version: str) -> None:
    """Another user sees this version of staging, and makes nothing there."""
    there_before = files()
    with another_user(root):
        assert there(production) == [version]
        assert before(production).offer("m", "1.0.0").row.version == "1.0.0"
        assert before(production).due(["m"]) == ["m"]
    assert files() == there_before


@needs_root
def test_who_may_not_read_it_is_told_so_and_not_that_it_cannot_be_written(both: tuple[Wired, Wired], root: Path) -> None:
    staging, production = both
    staging.close()
    with another_user(root):
        os.seteuid(0)
        (root / STAGING / "ledger.db").chmod(0o600)
        os.seteuid(65534)
        refused = away(lambda: there(production))
    assert "ledger.db cannot be read: " in refused.why
    assert "writ" not in refused.why + refused.fix


@needs_root
def test_a_blob_that_may_not_be_read_is_one_of_staging_and_a_store_that_cannot_be_written_is_ones_own(
    both: tuple[Wired, Wired], root: Path, tmp_path: Path
) -> None:
    _, production = both
    offer, blobs = before(production).offer("m", "1.0.0"), LocalBlobs(tmp_path / "own")
    with another_user(root):
        with pytest.raises(Unavailable, match="no right to write under") as refused:
            before(production).copy(offer, blobs)
        assert refused.value.code != "environment-away"
        os.seteuid(0)
        (tmp_path / "own").mkdir()
        os.chown(tmp_path / "own", 65534, 65534)
        LocalBlobs(root / STAGING / "blobs").path(offer.row.artifact).chmod(0o600)
        os.seteuid(65534)
        assert "cannot be read" in away(lambda: before(production).copy(offer, blobs)).why


def test_what_is_damaged_or_is_no_record_or_is_away_is_told_as_that_and_found_again(both: tuple[Wired, Wired], root: Path) -> None:
    staging, production = both
    staging.close()
    file = root / STAGING / "ledger.db"
    whole = file.read_bytes()
    for content, why in (
        (b"not a database at all" * 100, "is not a database that can be read"),
        (b"", "holds no record yet"),
        (whole[:4096] + b"\0" * (len(whole) - 4096), "ledger.db"),
    ):
        file.write_bytes(content)
        assert why in away(lambda: there(production)).why
    shutil.move(root / STAGING, root / "aside")
    refused = away(lambda: before(production).due(["m"]))
    assert ("it has no record yet" in refused.why, refused.fix) == (True, "flyball apply --env staging")
    shutil.move(root / "aside", root / STAGING)
    file.write_bytes(whole)
    assert there(production) == ["1.0.0"]


def test_a_server_that_is_not_there_is_told_as_that(both: tuple[Wired, Wired], root: Path) -> None:
    _, production = both
    (root / "flyball.toml").write_text('[env.staging]\ndatabase_url = "postgresql://flyball:secret@127.0.0.1:1/x"\n[env.production]\n')
    refused = away(lambda: before(production).offer("m", "1.0.0"))
    assert "127.0.0.1:1/x cannot be reached" in refused.why
    assert "secret" not in str(refused)


def test_what_was_made_anew_in_its_place_is_what_is_read(both: tuple[Wired, Wired], root: Path) -> None:
    staging, production = both
    assert before(production).due(["m"]) == ["m"]
    before(production).followed("m")
    staging.close()
    shutil.rmtree(root / STAGING)
    again = open_project(root, "staging")
    assert there(production) == []
    answers_there(again, version="2.0.0")
    assert before(production).due(["m"]) == ["m"]
    assert there(production) == ["2.0.0"]
    again.close()


def test_one_that_takes_long_to_fail_is_left_alone_for_a_while(
    both: tuple[Wired, Wired], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, production = both
    monkeypatch.setattr(live_before, "SLOW_S", -1.0)
    monkeypatch.setattr(live_before, "REST", 1e9)
    shutil.move(root / STAGING, root / "aside")
    first = away(lambda: there(production))
    shutil.move(root / "aside", root / STAGING)
    again = away(lambda: before(production).due(["m"]))
    assert (again.why, again.fix) == (first.why, first.fix)
    monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
    assert there(production) == ["1.0.0"]


@pytest.mark.parametrize("copied", ["staging into production", "production into staging"])
def test_a_copy_of_the_record_of_the_other_is_refused_whatever_it_has_become(tmp_path: Path, copied: str) -> None:
    root = tmp_path / "p"
    staging, production = environments(root, "staging", "production")
    answers_there(staging if copied.startswith("staging") else production)
    for each in (staging, production):
        each.close()
    source, target = copied.split(" into ")
    shutil.rmtree(root / ".flyball/env" / target)
    shutil.copytree(root / ".flyball/env" / source, root / ".flyball/env" / target)
    staging, production = (open_project(root, name) for name in ("staging", "production"))
    tell(staging, VersionDeprecated(**NAME, reason="wrong on Sundays"))
    for look in (lambda: there(production), lambda: before(production).due(["m"]), lambda: before(production).offer("m", "1.0.0")):
        with pytest.raises(Conflict, match="production and staging have one record") as refused:
            look()
        assert refused.value.code == "one-record"
        assert "database_url under [env.production]" in refused.value.fix
    for each in (staging, production):
        each.close()


def test_two_records_that_are_new_are_no_copies_of_each_other(root: Path) -> None:
    staging, production = environments(root, "staging", "production")
    assert there(production) == []
    answers_there(staging)
    answers_there(production, model="n")
    assert staging.ledger.origin() != production.ledger.origin()
    assert there(production) == ["1.0.0"]
    for each in (staging, production):
        each.close()


def test_staging_in_postgresql_is_read_there_and_is_not_production_by_another_name(tmp_path: Path, postgres: Any) -> None:
    url, root = postgres.database(), tmp_path / "p"
    root.mkdir()
    (root / "flyball.toml").write_text(f'[env.staging]\ndatabase_url = "{url}"\n[env.production]\n')
    staging, production = (open_project(root, name) for name in ("staging", "production"))
    answers_there(staging)
    assert there(production) == ["1.0.0"]
    before(production).want("m", "production", "accuracy 0.4")
    assert staging.ledger.state().get(WANTED, "m") is not None
    production.close()
    # an option that changes nothing makes it another address
    same = f"{url}{'&' if '?' in url else '?'}options=-cwork_mem%3D8MB"
    (root / "flyball.toml").write_text(f'[env.staging]\ndatabase_url = "{url}"\n[env.production]\ndatabase_url = "{same}"\n')
    production = open_project(root, "production")
    with pytest.raises(Conflict, match="production and staging have one record"):
        there(production)
    for each in (staging, production):
        each.close()
