"""How a project's sources are reached: its secrets, and children that run the frames and functions of loop files.

Such code is loaded from a snapshot, never from the working tree, and never into the control plane: a child writes the rows to files, and
what it raises, or how it ends, comes back in words.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import msgspec

from flyball.data.sources.access import PREFIX, Access, Killed
from flyball.data.sources.secrets import Secrets, read_secrets
from flyball.declare.data import Dataset
from flyball.declare.functions import Frame
from flyball.declare.project import Project
from flyball.errors import BadInput, Corrupt, Problem
from flyball.loop import children
from flyball.records.declarations import Compiled, DeclarationRow
from flyball.settings import Settings
from flyball.store.blobs import Blobs

TIMEOUT_S: Final = 600.0
SCRATCH, PUSH = "scratch", "push"
"""Folders of a project's `.flyball`."""
_AGAIN_S: Final = 10.0
_SAID: Final = 2_000
"""Characters of what a child leaves on its standard error that are told."""


class Code(NamedTuple):
    """A snapshot of the project files that a loop file imports, and which of its models is meant."""

    model: str
    file: str
    texts: Callable[[], Mapping[str, str]]


def applied(row: DeclarationRow, blobs: Blobs) -> Code:
    """The code of a declaration in effect."""
    return Code(row.model, row.file, lambda: msgspec.json.decode(blobs.get(row.code), type=dict[str, str]))


def compiled(of: Compiled) -> Code:
    """The code of a declaration as it was just read."""
    return Code(of.model, of.file, lambda: of.code)


@dataclass(frozen=True)
class Reader:
    """Reaches the sources of the project at `root`. `timeout_s`: how long a loop file's code may take to give its rows. `scratch`: where rows
    lie on their way (None: the system's folder of temporary files); `pushed`: where those lie that callers sent.
    """

    root: Path
    secrets: Secrets = field(default_factory=Secrets)
    timeout_s: float = TIMEOUT_S
    scratch: Path | None = None
    pushed: Path | None = None

    def access(self, code: Code | None) -> Access:
        """What reading needs; without code no frame and no function can be read."""
        found = Access(self.root, self.secrets, scratch=self.scratch, pushed=self.pushed)
        return found if code is None else replace(found, run=partial(self._run, code))

    def _run(self, code: Code, dataset: Dataset, into: Path) -> None:
        """Have a child write the rows of a data set into a folder. Raises BadInput for what the code does wrong, Killed."""
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=into.parent) as made:
            folder = Path(made)
            _unpack(code.texts(), folder)
            ended, answer, said = self._child([str(folder), code.file, code.model, dataset.name, str(into), _digest(dataset)])
        where = f'data set "{dataset.name}"'
        if ended is None:
            raise BadInput(
                f"{where}: its source gave no rows within {self.timeout_s:g} s",
                why=f"{code.file} has the code",
                fix="let it read less, or raise the setting read_timeout_s",
            )
        if ended < 0:
            raise Killed(
                f"{where}: the process that reads it was ended by {signal.Signals(-ended).name}",
                why="out of memory, most often",
                fix="it is tried again; let the function give its rows in parts: a generator of frames",
                retry_after=_AGAIN_S,
            )
        try:
            told: dict[str, Any] = json.loads(answer)
        except ValueError:
            raise BadInput(
                f"{where}: the process that reads it ended with exit code {ended}, before it was done",
                why=said,
                fix="take out what ends it",
            ) from None
        if told:
            problems = tuple(Problem(**each) for each in told.pop("problems"))
            raise BadInput(**told, problems=problems)

    def _child(self, arguments: list[str]) -> tuple[int | None, bytes, str]:
        """A child's exit code (None: it took too long), what it answered, and the last it said. All it started is gone."""
        with tempfile.TemporaryFile() as errors:
            child = children.start("flyball.loop.read_child", arguments, self.root, errors=errors)
            try:
                answer, _ = child.communicate(timeout=self.timeout_s)
                ended: int | None = child.returncode
            except subprocess.TimeoutExpired:
                ended, answer = None, b""
            finally:
                children.end(child)
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _SAID))
            said = errors.read().decode("utf-8", "replace").strip().splitlines()
        return ended, answer, said[-1] if said else ""


def reader_of(project: Project, settings: Settings, folder: Path | None = None) -> Reader:
    """The reader of a project, as its flyball.toml says. folder: its `.flyball`. Raises DeclarationError."""
    secrets = read_secrets(project.root, project.secrets, table=project.secrets_table)
    return Reader(project.root, secrets, float(settings.read_timeout_s), folder and folder / SCRATCH, folder and folder / PUSH)


def sweep_reads(scratch: Path) -> None:
    """Remove what reads that were killed have left: it may be rows of persons."""
    for folder in scratch.glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _digest(dataset: Dataset) -> str:
    """Of a frame, what its rows were when it was declared."""
    return dataset.source.digest if isinstance(dataset.source, Frame) else ""


def _unpack(texts: Mapping[str, str], folder: Path) -> None:
    for name, text in texts.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise Corrupt(f"a code snapshot names {name!r}", why="a snapshot holds files of its project only")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
