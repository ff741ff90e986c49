"""Whether the events are those that every checkpoint was signed for: those in the store, and those that somebody kept outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from flyball.errors import Corrupt
from flyball.ledger import checkpoints, note
from flyball.ledger.treecheck import TreeCheck, VerifyProblem
from flyball.records.base import State


class Kept(NamedTuple):
    """A checkpoint that is kept outside of the store, and where."""

    where: str
    note: bytes


class _Claim(NamedTuple):
    """What one checkpoint says."""

    where: str
    said: note.Checkpoint
    note: bytes
    outside: bool


class CheckpointCheck:
    """Told after every event; compares the root with each checkpoint of so many events."""

    def __init__(
        self,
        stored: Iterator[tuple[int, bytes]],
        kept: Sequence[Kept],
        tree: TreeCheck,
        state: State,
        tell: Callable[[VerifyProblem], None],
    ) -> None:
        """stored: (size, note) in order of size. state: the replay of the events so far, which names the keys."""
        self._stored = stored
        self._tree = tree
        self._state = state
        self._tell = tell
        outside = (self._read(each, outside=True) for each in kept)
        self._outside = sorted(filter(None, outside), key=lambda each: each.said.size)
        self._taken = 0
        self._good = 0
        self.count = 0
        self._ahead = next(stored, None)

    def at(self, size: int) -> None:
        """The tree has `size` events now."""
        while self._ahead is not None and self._ahead[0] <= size:
            self._compare_stored(*self._ahead)
            self._ahead = next(self._stored, None)
        while self._taken < len(self._outside) and self._outside[self._taken].said.size <= size:
            self._compare(self._outside[self._taken])
            self._taken += 1

    def finish(self, size: int) -> None:
        """After the last event: checkpoints of more events than there are."""
        while self._ahead is not None:
            self.count += 1
            self._cut(f"checkpoint {self._ahead[0]}", self._ahead[0], size)
            self._ahead = next(self._stored, None)
        for claim in self._outside[self._taken :]:
            if self._signed(claim):
                self._cut(claim.where, claim.said.size, size)

    def _compare_stored(self, size: int, signed: bytes) -> None:
        self.count += 1
        claim = self._read(Kept(f"checkpoint {size}", signed), outside=False)
        if claim is not None and claim.said.size != size:
            self._problem(f"the checkpoint of {size} events says that it is of {claim.said.size}", claim.where)
        elif claim is not None:
            self._compare(claim)

    def _compare(self, claim: _Claim) -> None:
        if not self._signed(claim):
            return
        name, roots = checkpoints.origin(self._state), self._tree.roots()
        if claim.said.origin != name:
            self._problem(f"it is a checkpoint of another ledger: {claim.said.origin}, and this one is {name}", claim.where)
        elif claim.said.size != self._tree.size:
            self._problem(f"it is of {claim.said.size} events, which are not all there", claim.where)
        elif claim.said.root in roots:
            self._good = claim.said.size
        # where no root can be known, an event is missing, and that was told
        elif roots:
            what = f"events {self._good + 1} to {claim.said.size} are not those that it was signed for: the record was written anew"
            self._problem(what, claim.where)

    def _signed(self, claim: _Claim) -> bool:
        """Whether the note is signed by a key that the ledger knew by then; tells if not."""
        try:
            note.opened(claim.note, checkpoints.verifiers(self._state), cosigned=claim.outside)
        except Corrupt as error:
            self._problem(f"{error.what}: {error.why}", claim.where)
            return False
        return True

    def _read(self, kept: Kept, *, outside: bool) -> _Claim | None:
        """What a note says, its signature unchecked; tells if it says nothing."""
        try:
            return _Claim(kept.where, note.Checkpoint.claimed(kept.note), kept.note, outside)
        except Corrupt as error:
            self._problem(f"it cannot be read: {error.what}: {error.why}", kept.where)
            return None

    def _cut(self, where: str, of: int, size: int) -> None:
        self._problem(f"it was signed for {of} events, and the ledger has {size}: its end was cut off", where)

    def _problem(self, what: str, where: str) -> None:
        self._tell(VerifyProblem(what=what, where=where))
