"""What reading a source needs besides the source: where the project lies, secrets, how a loop file's own code is run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.data.sources.secrets import Secrets
from flyball.declare.data import Dataset, Secret
from flyball.errors import BadInput, Problem, Unavailable

if TYPE_CHECKING:
    import polars as pl

PREFIX = "read-"
"""How the folders are called in which rows lie on their way."""

Run = Callable[[Dataset, Path], None]
"""Writes what a loop file's function or frame gives into a folder, a Parquet file a part. Raises BadInput for what the code raises, Killed."""


class Killed(Unavailable):
    """The process that read a source was ended from outside: what the source holds is not known, and it is tried again."""

    code = "killed"


def _nobody(dataset: Dataset, _path: Path) -> None:
    raise BadInput(
        f'data set "{dataset.name}" cannot be read here: its source is code of a loop file',
        why="this process has no snapshot of the code",
        fix="flyball apply; or write the rows to a file, and name it in source=",
    )


@dataclass(frozen=True)
class Access:
    """How sources are reached from one project. `scratch`: where rows lie on their way (None: the system's folder of temporary files).
    `pushed`: where pushed rows lie; of these a look reads rows `through` + 1 to `until`, behind those that `held` gives. `apart`: whether a broken
    file leaves the others usable; `left` says then which were left out, and why.
    """

    root: Path
    secrets: Secrets = field(default_factory=Secrets)
    run: Run = _nobody
    scratch: Path | None = None
    pushed: Path | None = None
    through: int = 0
    until: int | None = None
    held: Callable[[], Iterator[pl.DataFrame]] | None = None
    apart: bool = False
    left: tuple[Problem, ...] = ()

    def folder(self) -> tempfile.TemporaryDirectory[str]:
        """A new folder for rows on their way, which only this user can read; it is gone when it is closed."""
        if self.scratch is not None:
            self.scratch.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=PREFIX, dir=self.scratch)

    def url(self, given: str | Secret) -> str:
        """An address, or what a secret says it is. Raises BadInput."""
        return self.secrets.get(given.name) if isinstance(given, Secret) else given


def access(root: Path, environment: Mapping[str, str] | None = None) -> Access:
    """Files below `root`, databases, and secrets of the environment: no loop file's code, nothing that was pushed."""
    return Access(root, Secrets() if environment is None else Secrets(environment))
