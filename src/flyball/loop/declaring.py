"""From loop files to declarations in effect: what a compilation found becomes one command."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from flyball.declare.project import fingerprint
from flyball.errors import Problem
from flyball.ledger.bounds import clipped
from flyball.loop.commands import Apply, decide_apply
from flyball.loop.compiling import Compilation, Compiler
from flyball.loop.ports import Ports
from flyball.records.base import Receipt
from flyball.records.declarations import DeclarationApplied, DeclarationIdle, DeclarationRefused
from flyball.store.blobs import Blobs

_MOST = 8
_NAMES = 100
_LONGEST = 640


def apply_command(compilation: Compilation, blobs: Blobs, *, command: str, actor: str, author: str = "") -> Apply:
    """The command that puts a compilation into effect; bodies and code snapshots become blobs. `author` as in `DeclarationApplied`."""
    models = tuple(
        DeclarationApplied(
            model=compiled.model,
            file=compiled.file,
            version_digest=compiled.version_digest,
            policy_digest=compiled.policy_digest,
            gates_digest=compiled.gates_digest,
            body=blobs.put(compiled.body.encode()),
            author=author,
            code=blobs.put(json.dumps(compiled.code, sort_keys=True, ensure_ascii=False).encode()),
        )
        for compiled in compilation.models
    )
    broken = tuple(DeclarationRefused(file=item.file, digest=item.digest, problems=told(item.problems)) for item in compilation.broken)
    names = compilation.idle
    idle = None if names is None else DeclarationIdle(names=names[:_NAMES], unlisted=max(0, len(names) - _NAMES))
    return Apply(id=command, actor=actor, models=models, broken=broken, idle=idle)


def told(problems: Sequence[Problem]) -> tuple[str, ...]:
    """Problems as text that fits an event: the first ones, each cut where it is too long."""
    texts = [clipped(str(problem), _LONGEST) for problem in problems[:_MOST]]
    return (*texts, *([f"and {len(problems) - _MOST} more: flyball check lists them"] if len(problems) > _MOST else []))


def apply(compilation: Compilation, ports: Ports, actor: str, author: str = "") -> Receipt:
    """Put a compilation into effect."""
    command = apply_command(compilation, ports.blobs, command=ports.clock.new_id("cmd"), actor=actor, author=author)
    return ports.ledger.execute(command, decide_apply)


class Watcher:
    """Looks at a project's files and compiles them when they change, beside the loop: a slow import never delays a tick."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._compiler = Compiler(root)
        self._seen = ""
        self._thread: threading.Thread | None = None
        self._done: list[Compilation] = []

    def poll(self) -> Compilation | None:
        """The newest compilation that was not handed out yet. Starts another when a file has changed since the last."""
        if self._thread is not None and self._thread.is_alive():
            return None
        if self._done:
            self._thread = None
            return self._done.pop()
        mark = fingerprint(self._root)
        if mark != self._seen:
            self._seen = mark
            self._thread = threading.Thread(target=self._run, name="compile", daemon=True)
            self._thread.start()
        return None

    def _run(self) -> None:
        self._done.append(self._compiler.compile())
