"""Loop files become declarations: each is imported by a child of its own, and only what the child says is believed.

A file that cannot be read, raises, exits, hangs or breaks a rule stops its own models alone. The control plane never imports one.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from flyball.declare.project import fingerprint, loop_files
from flyball.errors import BadInput, Problem
from flyball.loop import children
from flyball.records.declarations import Compiled

TIMEOUT_S = 60.0
"""Seconds of wall clock a loop file may take to import: slow libraries take ten, and one that waits for something never ends."""

DATA_TIMEOUT_S = 900.0
"""The same where the data that its models are made from are read as well."""


@dataclass(frozen=True)
class Broken:
    """A loop file that cannot be used, with every reason. `digest` is the SHA-256 of its text.

    `names`: the models that this stops, where it is not all of the file: a name that another file has too stops that model alone.
    """

    file: str
    digest: str
    problems: tuple[Problem, ...]
    names: tuple[str, ...] = ()

    def stops(self, model: str) -> bool:
        """Whether a model that was applied from this file stays as it was."""
        return not self.names or model in self.names


@dataclass(frozen=True)
class Compilation:
    """What a project declares right now. `fingerprint` is that of the files before they were read."""

    models: tuple[Compiled, ...]
    broken: tuple[Broken, ...]
    files: tuple[str, ...]
    fingerprint: str
    doubts: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    """What the data gave reason to doubt, by model; only where it was asked for."""
    idle: tuple[str, ...] | None = None
    """Views and data sets (`view:card`) that are declared and that no model uses. None where a file is broken: then nobody can tell."""

    def gone(self, applied: Iterable[str]) -> tuple[str, ...]:
        """Those of the applied models that no loop file declares any more. Where a file is broken, nobody can tell."""
        declared = {compiled.model for compiled in self.models}
        return () if self.broken else tuple(sorted(name for name in applied if name not in declared))

    def refuse_empty(self, root: Path) -> None:
        """Raise BadInput if the project has no loop file at all: it would be taken for a sound one."""
        if not self.files:
            raise BadInput(f"{root} declares nothing", why="it has neither loop.py nor loops/*.py", fix="write one: docs/loop-files.md")


@dataclass(frozen=True)
class _Answer:
    """What one file came to, and the texts that it came from (of a broken file: the whole project's fingerprint)."""

    key: str
    models: tuple[Compiled, ...]
    problems: tuple[Problem, ...]
    doubts: Mapping[str, tuple[Problem, ...]]
    named: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()


class Compiler:
    """Compiles a project again and again, and runs no child for a file whose imported files have not changed."""

    def __init__(self, root: Path, *, timeout_s: float = TIMEOUT_S) -> None:
        self._root = root.resolve()
        self._timeout_s = timeout_s
        self._known: dict[str, _Answer] = {}
        self._last: Compilation | None = None

    def compile(self, *, prove: str = "") -> Compilation:
        """Compile what has changed. `prove` "made" or "data" also tries transforms row by row, on made-up rows or the data's own; "data"
        also looks for what gives the answer away.
        """
        before = fingerprint(self._root)
        if self._last is not None and self._last.fingerprint == before and not prove:
            return self._last
        files = loop_files(self._root)
        running: set[subprocess.Popen[bytes]] = set()
        children.hear_interrupts()
        with ThreadPoolExecutor(max_workers=2) as pool:
            try:
                answers = dict(zip(files, pool.map(lambda file: self._file(file, before, prove, running), files), strict=True))
            except BaseException:  # Ctrl-C first of all: nobody waits for an import that may take a minute
                pool.shutdown(wait=False, cancel_futures=True)
                for child in tuple(running):
                    children.kill(child)
                raise
        self._known = {} if prove else answers
        self._last = _gather(self._root, answers, before)
        return self._last

    def _file(self, file: str, mark: str, prove: str, running: set[subprocess.Popen[bytes]]) -> _Answer:
        known = self._known.get(file)
        if known is not None and not prove:
            current = mark if known.problems or not known.models else _text_key(self._root, known.models[0].code)
            if known.key == current:
                return known
        timeout_s = max(self._timeout_s, DATA_TIMEOUT_S) if prove == "data" else self._timeout_s
        document = run_child(self._root, file, timeout_s=timeout_s, prove=prove, running=running)
        models = tuple(msgspec.convert(entry, Compiled) for entry in document["models"])
        problems = tuple(Problem(**item) for item in document["problems"])
        doubts = {name: tuple(Problem(**item) for item in found) for name, found in document.get("doubts", {}).items()}
        named, used = (frozenset(document.get(part, ())) for part in ("named", "used"))
        return _Answer(_code_key(models[0].code) if models and not problems else mark, models, problems, doubts, named, used)


def compile_project(root: Path, *, prove: str = "", timeout_s: float = TIMEOUT_S) -> Compilation:
    """Compile every loop file of a project once."""
    return Compiler(root, timeout_s=timeout_s).compile(prove=prove)


def run_child(
    root: Path, file: str, *, timeout_s: float = TIMEOUT_S, prove: str = "", running: set[subprocess.Popen[bytes]] | None = None
) -> dict[str, Any]:
    """Compile one file in a child. The child and all it started are gone when this returns. It is in `running` while it runs."""
    child = children.start("flyball.loop.compile_child", [str(root), file, *([prove] if prove else [])], root, PYTHONHASHSEED="0")
    running = set() if running is None else running
    running.add(child)
    late = 0.0
    try:
        answer, _ = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as expired:
        answer, late = expired.output or b"", timeout_s
    finally:
        running.discard(child)
        children.end(child)
    told = [dict(json.loads(line)) for line in answer.splitlines() if line.endswith(b"}")]
    if told and "models" in told[-1]:
        return told[-1]
    how = f"by signal {-child.returncode}" if child.returncode < 0 else f"with exit code {child.returncode}"
    if told:
        what = f"its data were still being read after {late:g} s" if late else f"the process that reads its data ended {how}"
        return _failed(str(told[-1]["at"]), what, "see what the sources of its data sets, its views and transforms run")
    if late:
        what = f"the file was still being imported after {late:g} s"
        return _failed(f"{file}:1", what, "importing a loop file has no effect; load no data in it")
    return _failed(f"{file}:1", f"the process that imports the file ended {how}, before it was done", "take out what ends it")


def _failed(where: str, what: str, fix: str) -> dict[str, Any]:
    return {"models": [], "problems": [{"where": where, "what": what, "why": "", "fix": fix}]}


def _gather(root: Path, answers: dict[str, _Answer], mark: str) -> Compilation:
    """Put files together: a file with problems gives no models, and a name in two places is no model of either file."""
    wrong = {file: list(answer.problems) for file, answer in answers.items()}
    stopped: dict[str, set[str]] = {}
    for name, found in _doubles(model for answer in answers.values() for model in answer.models).items():
        places = [f"{model.file}:{model.line}" for model in found]
        told = Problem(
            f'{places[-1]}  Model "{name}"',
            f"there are {'two' if len(found) == 2 else len(found)} of this name: {', '.join(places[:-1])} and {places[-1]}",
            "a name is that of one model; until then it stays as it was",
            "rename one of them",
        )
        for file in dict.fromkeys(model.file for model in found):
            wrong[file].append(told)
            stopped.setdefault(file, set()).add(name)
    models = tuple(
        model
        for file, answer in answers.items()
        if not answer.problems
        for model in answer.models
        if model.model not in stopped.get(file, ())
    )
    broken = tuple(
        Broken(file, _file_digest(root / file), tuple(found), () if answers[file].problems else tuple(sorted(stopped[file])))
        for file, found in wrong.items()
        if found
    )
    doubts = {name: found for answer in answers.values() for name, found in answer.doubts.items()}
    named = {name for answer in answers.values() for name in answer.named}
    used = {name for answer in answers.values() for name in answer.used}
    return Compilation(models, broken, tuple(answers), mark, doubts, None if broken else tuple(sorted(named - used)))


def _doubles(models: Iterable[Compiled]) -> dict[str, list[Compiled]]:
    """The models whose name is not theirs alone, by name."""
    found: dict[str, list[Compiled]] = {}
    for model in models:
        found.setdefault(model.model, []).append(model)
    return {name: same for name, same in found.items() if len(same) > 1}


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _code_key(code: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()


def _text_key(root: Path, code: dict[str, str]) -> str:
    """The key of the same files as they are now; empty if one is gone."""
    try:
        return _code_key({name: (root / name).read_text(encoding="utf-8") for name in code})
    except (OSError, UnicodeDecodeError):
        return ""
