"""How events become projections, and a name for the code that does it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from flyball.errors import BadInput
from flyball.records import base, vocabulary
from flyball.records.base import Event, Fold, Projection, Recorded

Folds = Mapping[type[Event], Fold]


def fold(folds: Folds, projection: Projection, recorded: Recorded) -> None:
    """Apply one event to the rows of its stage. Raises BadInput for a kind without a fold."""
    stage = folds.get(type(recorded.event))
    if stage is None:
        raise BadInput(
            f'no part of flyball has a fold for events of kind "{recorded.event.kind}"',
            why="an event that changes nothing that can be seen is a mistake",
            fix="name a fold for it in FOLDS of its stage's fold.py, even one that does nothing",
        )
    stage(projection, recorded)


def fold_hash(folds: Folds) -> str:
    """SHA-256 over the source of every module of flyball that a fold can reach, and of the folds' own: the name of this code.

    The code that runs is the one that was loaded, so it is named once in a process.
    """
    return _named(tuple(folds.items()))


@lru_cache(maxsize=16)
def _named(folds: tuple[tuple[type[Event], Fold], ...]) -> str:
    start = {sys.modules[module] for _, each in folds if (module := getattr(each, "__module__", None)) in sys.modules}
    found: dict[str, ModuleType] = {}
    waiting = [*start, base, vocabulary, sys.modules[__name__]]
    while waiting:
        module = waiting.pop()
        if module.__name__ not in found:
            found[module.__name__] = module
            waiting.extend(_neighbours(module))
    hashed = hashlib.sha256()
    for name in sorted(found):
        file = found[name].__file__
        source = Path(file).read_bytes() if file else b""
        hashed.update(f"{name} {len(source)}\n".encode() + source)
    for line in sorted(f"{kind.__name__}={each.__module__}:{getattr(each, '__qualname__', '')}\n" for kind, each in folds):
        hashed.update(line.encode())
    return hashed.hexdigest()


def _neighbours(module: ModuleType) -> list[ModuleType]:
    """Modules of flyball from which `module` took a name."""
    names = {value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) for value in vars(module).values()}
    return [sys.modules[name] for name in names if isinstance(name, str) and name.startswith("flyball.") and name in sys.modules]
