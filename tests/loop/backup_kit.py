"""Small projects to be backed up and restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyball.ledger.verify import verify
from flyball.loop import restoring
from flyball.loop.backup import Backup, backup
from flyball.loop.commands import Apply
from flyball.loop.restoring import restore
from flyball.records.base import Event
from flyball.records.declarations import DeclarationApplied
from flyball.wiring import Wired, open_project


def project(folder: Path) -> Wired:
    """A new project."""
    folder.mkdir()
    (folder / "flyball.toml").write_text("")
    return open_project(folder)


def tell(wired: Wired, *events: Event, actor: str = "test") -> None:
    """Record events, whatever they are."""
    command = Apply(id=wired.ports.clock.new_id("cmd"), actor=actor, models=())
    wired.ledger.execute(command, lambda *_: events)


def declare(wired: Wired, count: int) -> None:
    """Record so many declarations, each with a blob."""
    for number in range(count):
        body = wired.blobs.put(f"declaration {number}".encode())
        digests = {"version_digest": "v", "policy_digest": "p", "gates_digest": "", "code": "", "author": ""}
        tell(wired, DeclarationApplied(model=f"m{number}", file="loop.py", body=body, **digests))


def filled(folder: Path) -> Wired:
    """A project with three declarations, two segments and the key of erasures."""
    wired = project(folder)
    declare(wired, 3)
    log(wired, 1)
    log(wired, 2)
    wired.layout.keys.mkdir(exist_ok=True)
    (wired.layout.keys / "subjects.key").write_bytes(b"k" * 64)
    wired.layout.id_key.write_bytes(b"i" * 32)
    return wired


def log(wired: Wired, number: int) -> Path:
    """Write a segment of the log."""
    file = wired.layout.log / "g0" / f"{number:06}.wal"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"answers" * 100)
    return file


def kept(wired: Wired, folder: Path) -> Backup:
    return backup(wired.ledger, wired.blobs, wired.layout, folder, 7)


def bring(wired: Wired, folder: Path) -> Backup:
    return restore(wired.ledger, wired.blobs, wired.layout, folder)


def sound(wired: Wired) -> bool:
    """Whether a project has all that a filled one has."""
    names = {file.name for file in (wired.layout.log / "g0").iterdir()}
    keys = (wired.layout.keys / "subjects.key").exists() and wired.layout.id_key.exists()
    return verify(wired.ledger, wired.blobs).problems == () and names == {"000001.wal", "000002.wal"} and keys


class Killed(BaseException):
    """The end of a process, after which nothing of it runs."""


@contextmanager
def killed_at(step: str, call: int = 1, *, done: bool = False) -> Iterator[None]:
    """Kill a restore at so many calls of one of its steps: before the step, or once it is `done`."""
    real, calls = getattr(restoring, step), []

    def dies(*arguments: object, **options: object) -> None:
        calls.append(step)
        if len(calls) < call or done:
            real(*arguments, **options)
        if len(calls) == call:
            raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(restoring, step, dies)
        patched.setattr(restoring, "_settle", lambda *_: None)
        try:
            yield
        except Killed:
            return
    raise AssertionError(f"{step} was not reached")
