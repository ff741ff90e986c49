"""A Git commit as runs and versions note it: hex digits, with `-dirty` where some of the code is otherwise there, or not at all; empty: not known."""

from __future__ import annotations

from typing import Final

DIRTY: Final = "-dirty"


def commit_text(commit: str) -> str:
    """A commit for people.

    >>> commit_text("3f2a1c9d04be7788aa"), commit_text("3f2a1c9d04be7788aa-dirty"), commit_text("")
    ('3f2a1c9d04be', '3f2a1c9d04be with changes', '')
    """
    return commit.removesuffix(DIRTY)[:12] + (" with changes" if commit.endswith(DIRTY) else "")
