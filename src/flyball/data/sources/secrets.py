"""Secrets by name, looked up where and when they are used: a variable of the environment, else a file of the project's secrets folder.

A value is never shown: errors name the secret and the places where it was looked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyball.errors import BadInput, DeclarationError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_LARGEST = 64 << 10

TABLE = "[secrets]"
"""Where flyball.toml says where secrets are, unless an environment has a table of its own."""


class Secrets:
    """What a process can look up. `folder` holds a file for each secret, as secrets are mounted; `table` of flyball.toml names it."""

    def __init__(self, environment: Mapping[str, str] | None = None, folder: Path | None = None, table: str = TABLE) -> None:
        self._environment = os.environ if environment is None else environment
        self.folder = folder
        self._table = table

    def get(self, name: str) -> str:
        """A secret's value, without the line end that a file has at its end. Raises BadInput if there is none."""
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name[:40]!r} is no name of a secret", fix="use letters, digits, _ . and -, such as WAREHOUSE_URL")
        value = self._environment.get(name) or self._file(name)
        if not value:
            where = f"the environment has no {name}" + (f", and {self.folder} no file of this name" if self.folder else "")
            fix = f"set {name} where flyball runs, or name a folder of secrets: {self._table} folder in flyball.toml"
            raise BadInput(f'there is no secret "{name}"', why=where, fix=fix, code="no-secret")
        return value

    def _file(self, name: str) -> str:
        if self.folder is None:
            return ""
        try:
            with (self.folder / name).open(encoding="utf-8") as file:
                return file.read(_LARGEST).rstrip("\r\n")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror or "the file cannot be opened" if isinstance(error, OSError) else "it is not text"
            fix = "let the user who runs flyball read it, and nobody else"
            raise BadInput(f'the secret "{name}" cannot be read from {self.folder}', why=why, fix=fix, code="no-secret") from None


def read_secrets(root: Path, toml: Any, environment: Mapping[str, str] | None = None, table: str = TABLE) -> Secrets:
    """The secrets of a project, as `table` of its flyball.toml says. Raises DeclarationError on what it cannot say."""
    if not isinstance(toml, Mapping):
        named = table.strip("[]")
        fix = f'write {table}, and below it folder = "/run/secrets"'
        raise DeclarationError(f"{named} is no table", why="flyball.toml names it", fix=fix)
    unknown = next((name for name in toml if name != "folder"), "")
    if unknown:
        raise DeclarationError(f'{table} has "{unknown}"', why="flyball.toml names it", fix=f'{table} takes folder = "/run/secrets"')
    folder = toml.get("folder")
    if folder is None:
        return Secrets(environment, table=table)
    if not isinstance(folder, str) or not folder.strip():
        raise DeclarationError(f"{table} folder is no path", fix='write folder = "/run/secrets"')
    return Secrets(environment, root / folder, table)
