"""Whether a project may be worked in: not between the files of a backup that were brought and the record that was not. Standard library only."""

from __future__ import annotations

from flyball.errors import Conflict
from flyball.serving.layout import Layout


def require_whole(layout: Layout) -> None:
    """Raise Conflict while a backup is being restored into the project, and after a restore that was killed, until it was done again."""
    if layout.restoring.exists():
        raise Conflict(
            "this project is being restored, or its restore was killed",
            why="what is done now would be lost, or come under another record",
            fix="wait for it; if it was killed: flyball restore DIR again, with this backup or another",
            code="restoring",
        )
