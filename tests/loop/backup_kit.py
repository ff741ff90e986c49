"""Small projects to be backed up and restored."""

from __future__ import annotations

from pathlib import Path

from flyball.loop.commands import Apply
from flyball.records.base import Event
from flyball.records.declarations import DeclarationApplied
from flyball.wiring import Wired, open_project


def project(folder: Path) -> Wired:
    """A new project."""
    folder.mkdir()
    (folder / "flyball.toml").write_text("")
    return open_project(folder)


def tell(wired: Wired, *events: Event) -> None:
    """Record events, whatever they are."""
    command = Apply(id=wired.ports.clock.new_id("cmd"), actor="test", models=())
    wired.ledger.execute(command, lambda *_: events)


def declare(wired: Wired, count: int) -> None:
    """Record so many declarations, each with a blob."""
    for number in range(count):
        body = wired.blobs.put(f"declaration {number}".encode())
        digests = {"version_digest": "v", "policy_digest": "p", "gates_digest": "", "code": "", "author": ""}
        tell(wired, DeclarationApplied(model=f"m{number}", file="loop.py", body=body, **digests))
