"""What is declared: applied by a command, compiled from a loop file by a child process."""

from __future__ import annotations

from typing import Any

from flyball.clock import Instant
from flyball.records.base import BlobHash, Event, Record, Table


class Compiled(Record, frozen=True):
    """One model of a loop file, compiled. `body` is the canonical JSON of the declaration (declare/codec.py reads it back).

    `code` maps project-relative paths of the imported project files to their text: the snapshot a version carries.
    """

    model: str
    file: str
    line: int
    version_digest: str
    policy_digest: str
    gates_digest: str
    body: str
    code: dict[str, str]


class DeclarationApplied(Event, frozen=True, tag="declaration.applied"):
    """A model's declaration takes effect. `body` and `code` are blob hashes; `gates_digest` is empty where gates had none yet."""

    version_of_kind = 2

    model: str
    file: str
    version_digest: str
    policy_digest: str
    body: BlobHash
    code: BlobHash
    gates_digest: str
    author: str
    """Who wrote it, where the loop found it in the project's files: the user whom flyball runs as. Else whoever gave the command."""


class DeclarationRefused(Event, frozen=True, tag="declaration.refused"):
    """A loop file could not be compiled: its models stay as they were. `problems` are drawn as text, one each."""

    file: str
    digest: str
    problems: tuple[str, ...]


class DeclarationHealed(Event, frozen=True, tag="declaration.healed"):
    """A loop file that was broken can be read again, or is gone."""

    file: str


class DeclarationIdle(Event, frozen=True, tag="declaration.idle"):
    """The views and data sets (`view:card`) that loop files declare and no model uses, all there are; `unlisted` more did not fit."""

    names: tuple[str, ...]
    unlisted: int = 0


class IdleRow(Record, frozen=True):
    """What is declared and used by no model."""

    names: tuple[str, ...]
    unlisted: int = 0


class DeclarationRow(Record, frozen=True):
    """The declaration in effect."""

    model: str
    file: str
    version_digest: str
    policy_digest: str
    body: BlobHash
    code: BlobHash
    applied_at: Instant
    gates_digest: str = ""
    version_by: str = ""
    """Who last changed what is trained."""
    policy_by: str = ""
    """Who last changed how it is judged, released and watched."""
    gates_by: str = ""
    """Who last changed by what it is judged."""


class LoopFileRow(Record, frozen=True):
    """A loop file that is broken right now."""

    file: str
    digest: str
    problems: tuple[str, ...]


DECLARATIONS = Table("declaration", DeclarationRow)
"""Keyed by model."""

IDLE = Table("idle", IdleRow)
"""One row, `IDLE_KEY`."""

IDLE_KEY = "project"

LOOP_FILES = Table("loop_file", LoopFileRow)
"""Broken loop files, keyed by file."""


def _before_gates_and_authors(fields: dict[str, Any]) -> dict[str, Any]:
    """Version 1 of `declaration.applied`: gates had no digest, and whoever gave the command was its author."""
    return {"gates_digest": "", "author": "", **fields}


EVENTS = (DeclarationApplied, DeclarationRefused, DeclarationHealed, DeclarationIdle)

UPCASTS = {"declaration.applied": (_before_gates_and_authors,)}
"""How former versions of these kinds are read (`records.vocabulary`)."""
