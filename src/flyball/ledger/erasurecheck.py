"""What `audit verify` says of what was erased: gone is what an event says is gone, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flyball.ledger import personal
from flyball.ledger.treecheck import VerifyProblem
from flyball.records.base import Recorded, State
from flyball.records.data import ERASURES


class ErasureCheck:
    """Fed with every event and with blobs that are not there; tells, at the end, of those that no erasure explains, and of personal texts."""

    def __init__(self, tell: Callable[[VerifyProblem], None]) -> None:
        self._tell = tell
        self._hashes: set[str] = set()
        self._gone: list[tuple[str, VerifyProblem]] = []

    def add(self, recorded: Recorded) -> None:
        """The next event."""
        self._hashes.update(personal.hashes(recorded.event))

    def gone(self, digest: str, problem: VerifyProblem) -> None:
        """A blob that an event refers to is not there. Whether it was erased since, later events say."""
        self._gone.append((digest, problem))

    def finish(self, replayed: State, rows: Iterable[tuple[str, bytes]]) -> None:
        """All events were seen. `replayed`: what follows from them; `rows`: the stored personal texts.

        What an erased content became is a blob of the erasing event: a chain that ends in a missing one is told there.
        """
        for digest, problem in self._gone:
            if replayed.get(ERASURES, digest) is None:
                self._tell(problem)
        for key, what in personal.misplaced(rows, self._hashes):
            self._tell(VerifyProblem(what=what, where=f"personal {key}"))
