"""What is wrong with a source, gathered over all its files and blocks: one kind of fault of a column of a file is told once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flyball.data.cells import SHOWN
from flyball.errors import Problem

MOST: Final = 100
"""Problems that are kept; the others are counted."""

Tell = Callable[[list[Any], int], Problem]
"""A problem from its first spots and how many there are."""


@dataclass
class _Fault:
    tell: Tell
    spots: list[Any]
    count: int


@dataclass
class Wrong:
    """Faults in the order in which they were met. `hidden` are columns whose values are never shown: what is told goes into the ledger. `files` are
    those that are broken as files, whatever their rows would say, each with what is wrong with it; all of them, however many there are.
    """

    hidden: frozenset[str] = frozenset()
    files: dict[str, Problem] = field(default_factory=dict)
    _faults: dict[Any, _Fault] = field(default_factory=dict)
    _left_out: int = 0

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, problem: Problem) -> None:
        """One problem; the same again is the same."""
        self.note(problem, [], 1, lambda _spots, _count: problem)

    def broken(self, problem: Problem) -> None:
        """A file that is no whole file of its kind."""
        self.files.setdefault(problem.where, problem)
        self.add(problem)

    def note(self, key: Any, spots: Sequence[Any], count: int, tell: Tell) -> None:
        """More of a fault that `key` names: the first few spots are kept, all are counted."""
        known = self._faults.get(key)
        if known is None:
            if len(self._faults) >= MOST:
                self._left_out += 1
                return
            known = self._faults[key] = _Fault(tell, [], 0)
        known.spots += spots[: SHOWN - len(known.spots)]
        known.count += count

    def cannot_open(self, shown: str, error: OSError) -> None:
        """A file that cannot be opened, or is not there any more."""
        if isinstance(error, FileNotFoundError):
            self.add(Problem(shown, "the file is gone", why="it was there a moment ago", fix="it is looked for again"))
            return
        fix = "let the user who runs flyball read it" if isinstance(error, PermissionError) else "make it a readable file"
        self.add(Problem(shown, "the file cannot be opened", why=str(error.strerror or error), fix=fix))

    def problems(self) -> tuple[Problem, ...]:
        """Everything, told."""
        told = [fault.tell(fault.spots, fault.count) for fault in self._faults.values()]
        if self._left_out:
            told.append(Problem("", f"and {self._left_out:,} more", fix="mend these first"))
        return tuple(told)
