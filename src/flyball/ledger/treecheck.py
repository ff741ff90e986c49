"""The stored tree against the events: which event, node or head is not what the others say. Pure but for the rows it is fed.

Every stored hash is compared with the hash of what lies directly below it. If all agree, the whole tree is right; if one
does not, it is named rather than everything above it: a changed node disagrees with its children and with its parent, a
changed event only with its leaf hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    """A complete subtree: its hash as stored (None: missing) and as what lies below it says."""

    level: int
    idx: int
    stored: bytes | None
    computed: bytes

    @property
    def candidates(self) -> tuple[bytes, ...]:
        """What its parent may have been made of."""
        return (self.computed,) if self.stored is None or self.stored == self.computed else (self.stored, self.computed)


_TRIED = 6
"""So many differing hashes of one frontier are tried against each other: 64 roots."""


class TreeCheck:
    """Fed with every event's body in order, then with the head; tells problems as it finds them."""

    def __init__(self, nodes: Iterator[tuple[int, bytes]], tell: Callable[[VerifyProblem], None]) -> None:
        """nodes: the stored (place, hash) in order of place."""
        self._nodes = nodes
        self._ahead = next(nodes, None)
        self._tell = tell
        self._frontier: list[_Subtree] = []
        self.size = 0

    def add(self, body: bytes) -> None:
        """The next event."""
        self._leaf(_Subtree(0, self.size, self._take(0, self.size), merkle.leaf_hash(body)))

    def skip(self) -> None:
        """The next event is missing, and somebody told of it: its leaf hash is taken as it is stored."""
        stored = self._take(0, self.size) or b""
        self._leaf(_Subtree(0, self.size, stored, stored))

    def _leaf(self, current: _Subtree) -> None:
        self.size += 1
        while self._frontier and self._frontier[-1].level == current.level:
            current = self._join(self._frontier.pop(), current)
        self._frontier.append(current)

    def roots(self) -> set[bytes]:
        """What the root of the events so far may be: where stored hashes differ from what lies below them, each is tried."""
        differing = [each for each in self._frontier if len(each.candidates) > 1]
        if len(differing) > _TRIED:
            return {merkle.root([each.computed for each in self._frontier]), merkle.root([each.candidates[0] for each in self._frontier])}
        return {merkle.root(hashes) for hashes in product(*(each.candidates for each in self._frontier))}

    def finish(self, size: int, frontier: tuple[bytes, ...]) -> None:
        """Compare with the head (the caller tells if its size is another) and tell of nodes that belong to no event."""
        if size == self.size and len(frontier) != len(self._frontier):
            self._tell(VerifyProblem(what="the head's frontier does not have the shape of its size", where="head"))
        for place, each in enumerate(self._frontier):
            said = frontier[place] if size == self.size and len(frontier) == len(self._frontier) else None
            if said is not None and said not in each.candidates:
                self._tell(
                    VerifyProblem(what=f"the head's hash of {_events(each.level, each.idx)} is another than the tree's", where="head")
                )
                said = None
            self._blame(each, said)
        while self._ahead is not None:
            self._extra(self._ahead[0])
            self._ahead = next(self._nodes, None)

    def _join(self, left: _Subtree, right: _Subtree) -> _Subtree:
        level, idx = left.level + 1, left.idx >> 1
        stored = self._take(level, idx)
        for one, two in product(left.candidates, right.candidates):
            computed = merkle.node_hash(one, two)
            if computed == stored:
                self._blame(left, one)
                self._blame(right, two)
                return _Subtree(level, idx, stored, computed)
        self._blame(left, None)
        self._blame(right, None)
        return _Subtree(level, idx, stored, merkle.node_hash(left.stored or left.computed, right.stored or right.computed))

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

    def _take(self, level: int, idx: int) -> bytes | None:
        """The stored hash of the next subtree that the events complete, if it is there; tells of nodes before it that belong to no event."""
        place = merkle.place(level, idx)
        while self._ahead is not None and self._ahead[0] <= place:
            found, stored = self._ahead
            self._ahead = next(self._nodes, None)
            if found == place:
                return stored
            self._extra(found)
        return None

    def _extra(self, place: int) -> None:
        where = "node {}/{}".format(*merkle.at(place)) if place >= 0 else f"node {place}"
        self._tell(VerifyProblem(what="a hash of events that are not there", where=where))


def _events(level: int, idx: int) -> str:
    first, last = (idx << level) + 1, (idx + 1) << level
    return f"event {first}" if level == 0 else f"events {first} to {last}"
