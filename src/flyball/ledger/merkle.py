"""The tree of RFC 6962 (section 2.1), with SHA-256. Pure.

Subtree (level, idx) covers the leaves idx·2^level … (idx + 1)·2^level − 1; the last of them completes it. The frontier of a tree of `size` leaves is the hashes of its largest
complete subtrees from left to right: one for every bit that is set in `size`, the highest bit first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

SIZE = 32
"""Bytes of a hash."""

EMPTY = hashlib.sha256(b"").digest()
"""The root of no leaves."""

GetNode = Callable[[int, int], bytes]
"""(level, idx) → the hash of that complete subtree."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees side by side."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def append(size: int, frontier: list[bytes], leaf: bytes) -> list[bytes]:
    """Add a leaf to a tree of `size` leaves. Changes `frontier`; returns the hashes of the subtrees that it completes, itself first."""
    completed = [leaf]
    while size & 1:
        completed.append(node_hash(frontier.pop(), completed[-1]))
        size >>= 1
    frontier.append(completed[-1])
    return completed


def root(frontier: Sequence[bytes]) -> bytes:
    """The root of the tree whose frontier this is."""
    if not frontier:
        return EMPTY
    current = frontier[-1]
    for left in reversed(frontier[:-1]):
        current = node_hash(left, current)
    return current


def root_of_first(get: GetNode, size: int) -> bytes:
    """The root of the first `size` leaves."""
    return _range(get, 0, size) if size else EMPTY


def _range(get: GetNode, start: int, end: int) -> bytes:
    """The hash over the leaves start … end − 1, for a range that the recursion of RFC 6962 meets."""
    width = end - start
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return get(level, start >> level)
    middle = start + _split(width)
    return node_hash(_range(get, start, middle), _range(get, middle, end))


def _split(width: int) -> int:
    """The largest power of two below `width` (width > 1)."""
    return 1 << ((width - 1).bit_length() - 1)


def inclusion_proof(get: GetNode, index: int, size: int) -> tuple[bytes, ...]:
    """Hashes that lead from leaf `index` to the root of the first `size` leaves, from the leaf up. Needs 0 ≤ index < size."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range(get, middle, end))
            end = middle
        else:
            path.append(_range(get, start, middle))
            start = middle
    return tuple(reversed(path))


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether `proof` shows that leaf hash `leaf` is number `index` of the `size` leaves under root `expected` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, current = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            current = node_hash(sibling, current)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            current = node_hash(current, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and current == expected


def consistency_proof(get: GetNode, old: int, new: int) -> tuple[bytes, ...]:
    """Hashes that show that the first `old` leaves of the tree of `new` leaves are the older tree. Needs 0 < old ≤ new."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {old} leaves is not an older one of {new} leaves")
    path: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range(get, middle, end))
            end = middle
        else:
            path.append(_range(get, start, middle))
            start, whole = middle, False
    if not whole:
        path.append(_range(get, start, end))
    return tuple(reversed(path))


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree under `old_root` is the beginning of the one under `new_root` (RFC 9162, 2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    hashes = list(proof)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
