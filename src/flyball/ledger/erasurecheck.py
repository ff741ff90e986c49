"""What `audit verify` says of what was erased or removed: gone is what an event says is gone, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flyball.ledger import personal
from flyball.ledger.treecheck import VerifyProblem
from flyball.records.base import Recorded, State
from flyball.records.data import COLLECTED, DATASET_VERSIONS, ERASURES, LOG, erasure_key
from flyball.records.removals import REMOVED
from flyball.records.serving import SEGMENTS


def held(state: State) -> frozenset[str]:
    """Every content in which a data set version or a segment lies now, or the rest of one that was erased from."""
    return frozenset(content for _, content in places(state))


def places(state: State) -> list[tuple[str, str]]:
    """Those contents, each with the name of the data set that has it, or `log/` and the key of the segment."""
    found = [(version.name, version.content) for key, version in state.scan(DATASET_VERSIONS) if state.get(COLLECTED, key) is None]
    found += [(f"{LOG}{key}", row.parquet_sha256) for key, row in state.scan(SEGMENTS)]
    moved = dict(state.scan(ERASURES))
    found += [(key.rpartition("/")[0], row.content) for key, row in moved.items()]
    return [(name, content) for name, content in found if erasure_key(name, content) not in moved]


def replaced(state: State) -> frozenset[str]:
    """Every content that erasures replaced wherever it was: its blob is to be gone."""
    return frozenset(key.rpartition("/")[2] for key, _ in state.scan(ERASURES)) - held(state)


class ErasureCheck:
    """Fed with every event and with blobs that are not there; tells, at the end, of those that no event explains, and of personal texts."""

    def __init__(self, tell: Callable[[VerifyProblem], None]) -> None:
        self._tell = tell
        self._hashes: set[str] = set()
        self._gone: dict[str, tuple[VerifyProblem, int]] = {}
        self._needed: dict[str, set[str]] = {}

    def add(self, recorded: Recorded) -> None:
        """The next event."""
        self._hashes.update(personal.hashes(recorded.event))

    def gone(self, digest: str, problem: VerifyProblem, seq: int) -> None:
        """A blob that event `seq` refers to is not there. Whether it was erased or removed since, later events say."""
        self._gone[digest] = (problem, seq)

    def needed(self, digest: str, of: str) -> None:
        """A blob is named by an event (`of` is empty), or by the blob `of`: a manifest names chunks."""
        self._needed.setdefault(digest, set()).add(of)

    def named(self, digest: str, seq: int) -> None:
        """Event `seq` refers to a blob that was looked for before."""
        if digest in self._gone:
            self._gone[digest] = (self._gone[digest][0], seq)

    def finish(self, replayed: State, rows: Iterable[tuple[str, bytes]]) -> None:
        """All events were seen. `replayed`: what follows from them; `rows`: the stored personal texts.

        What an erased content became is a blob of the erasing event: a chain that ends in a missing one is told there.
        """
        erased = replaced(replayed) if self._gone else frozenset()
        for digest, (problem, seq) in self._gone.items():
            removed = replayed.get(REMOVED, digest)
            # an erasure takes the chunks first, then the manifest that named them
            over = digest in erased or self._needed.get(digest, {""}) <= erased
            # what was removed and is needed again must be there again
            if not over and (removed is None or removed.since < seq):
                self._tell(problem)
        for key, what in personal.misplaced(rows, self._hashes):
            self._tell(VerifyProblem(what=what, where=f"personal {key}"))
