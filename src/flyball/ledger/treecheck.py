"""The stored tree against the events: which event, node or head is not what the others say. Pure but for the rows it is fed.

Every stored hash is compared with the hash of what lies directly below it. If all agree, the whole tree is right; if one
does not, it is named rather than everything above it: a changed node disagrees with its children and with its parent, a
changed event only with its leaf hash.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from flyball.ledger import merkle
from flyball.records.base import Record


class VerifyProblem(Record, frozen=True):
    """One thing that is not as the record says. `event`: the event it belongs to, where there is one."""

    what: str
    where: str
    event: int | None = None


class _Subtree(NamedTuple):
    """A complete subtree: its hash as stored (None: missing) and as what lies below it says (None: that is missing, and told of)."""

    level: int
    idx: int
    stored: bytes | None
    computed: bytes | None

    @property
    def candidates(self) -> tuple[bytes, ...]:
        """What its parent may have been made of, as far as that is known."""
        known = (self.computed,) if self.stored is None or self.stored == self.computed else (self.stored, self.computed)
        return tuple(each for each in known if each is not None)


_TRIED = 6
"""So many differing hashes of one frontier are tried against each other: 64 roots."""


class TreeCheck:
    """Fed with every event's body and hashes in order, then with the head; tells problems as it finds them."""

    def __init__(self, tell: Callable[[VerifyProblem], None]) -> None:
        self._tell = tell
        self._frontier: list[_Subtree] = []
        self.size = 0

    def add(self, body: bytes, hashes: bytes) -> None:
        """The next event, and the hashes that are stored with it."""
        self._leaf(merkle.leaf_hash(body), hashes)

    def skip(self) -> None:
        """The next event is missing, with its hashes, and somebody told of it."""
        self._leaf(None, b"")

    def _leaf(self, computed: bytes | None, hashes: bytes) -> None:
        current = _Subtree(0, self.size, _hash(hashes, 0), computed)
        self.size += 1
        while self._frontier and self._frontier[-1].level == current.level:
            current = self._join(self._frontier.pop(), current, hashes)
        self._frontier.append(current)
        if len(hashes) > (current.level + 1) * merkle.SIZE:
            where = f"node {current.level + 1}/{current.idx >> 1}"
            self._tell(VerifyProblem(what=f"event {self.size} holds more hashes than it completes subtrees", where=where, event=self.size))

    def roots(self) -> set[bytes]:
        """What the root of the events so far may be: where stored hashes differ from what lies below them, each is tried.

        Empty where it cannot be known, since an event is missing.
        """
        if not all(each.candidates for each in self._frontier):
            return set()
        differing = [each for each in self._frontier if len(each.candidates) > 1]
        if len(differing) > _TRIED:
            first, last = zip(*((each.candidates[0], each.candidates[-1]) for each in self._frontier), strict=True)
            return {merkle.root(first), merkle.root(last)}
        return {merkle.root(hashes) for hashes in product(*(each.candidates for each in self._frontier))}

    def finish(self, size: int, frontier: tuple[bytes, ...]) -> None:
        """Compare with the head (the caller tells if its size is another)."""
        if size == self.size and len(frontier) != len(self._frontier):
            self._tell(VerifyProblem(what="the head's frontier does not have the shape of its size", where="head"))
        for place, each in enumerate(self._frontier):
            said = frontier[place] if size == self.size and len(frontier) == len(self._frontier) else None
            if said is not None and each.candidates and said not in each.candidates:
                self._tell(
                    VerifyProblem(what=f"the head's hash of {_events(each.level, each.idx)} is another than the tree's", where="head")
                )
                said = None
            self._blame(each, said)

    def _join(self, left: _Subtree, right: _Subtree, hashes: bytes) -> _Subtree:
        level, idx = left.level + 1, left.idx >> 1
        stored = _hash(hashes, level)
        for one, two in product(left.candidates, right.candidates):
            computed = merkle.node_hash(one, two)
            if computed == stored:
                self._blame(left, one)
                self._blame(right, two)
                return _Subtree(level, idx, stored, computed)
        self._blame(left, None)
        self._blame(right, None)
        if not left.candidates or not right.candidates:
            return _Subtree(level, idx, stored, stored)
        return _Subtree(level, idx, stored, merkle.node_hash(left.candidates[0], right.candidates[0]))

    def _blame(self, each: _Subtree, parent_says: bytes | None) -> None:
        """Tell of a subtree whose stored hash is not what lies below it. `parent_says`: the hash its parent was made of, if known."""
        if each.stored == each.computed:
            return
        where, first = f"node {each.level}/{each.idx}", (each.idx << each.level) + 1
        if each.stored is None:
            self._tell(VerifyProblem(what=f"the hash of {_events(each.level, each.idx)} is missing", where=where, event=first))
        elif each.level == 0 and parent_says != each.computed:
            self._tell(
                VerifyProblem(what=f"event {first} was changed: its body does not hash to its leaf", where=f"event {first}", event=first)
            )
        else:
            self._tell(VerifyProblem(what=f"the hash of {_events(each.level, each.idx)} was changed", where=where, event=first))


def _hash(hashes: bytes, level: int) -> bytes | None:
    """The hash of the subtree of that level among those that are stored with an event."""
    found = hashes[level * merkle.SIZE : (level + 1) * merkle.SIZE]
    return found if len(found) == merkle.SIZE else None


def _events(level: int, idx: int) -> str:
    first, last = (idx << level) + 1, (idx + 1) << level
    return f"event {first}" if level == 0 else f"events {first} to {last}"
