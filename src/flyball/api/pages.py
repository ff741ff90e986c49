"""Lists a page at a time: at most so many things, and a cursor that says where the next page begins. A page costs what it shows."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flyball.errors import BadInput
from flyball.ledger.projection import Snapshot
from flyball.records.base import RowT, Table

MOST = 200
USUAL = 50
_DIGITS = 15
_LOOKED_AT = 2_000
"""Rows that a page looks at for those that it shows; then it ends, and its cursor goes on from there."""


class Page(NamedTuple):
    """Some of a list. `next` is the cursor of the next page; None at the end."""

    items: Sequence[Any]
    next: str | None


def number_of(text: str) -> int | None:
    """The number that digits stand for; None for anything else, and for more digits than a number here has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def limit_of(query: Mapping[str, str]) -> int:
    """How many things a page shall have. Raises BadInput."""
    text = query.get("limit", str(USUAL))
    limit = number_of(text)
    if limit is None or not 1 <= limit <= MOST:
        raise BadInput(f'limit is "{text[:40]}"', why=f"a page has 1 to {MOST} items", fix=f"limit={USUAL}")
    return limit


def cursor(name: str, key: str) -> str:
    """The cursor of list `name` after the thing `key`."""
    return base64.urlsafe_b64encode(f"{name}\n{key}".encode()).rstrip(b"=").decode()


def after_of(query: Mapping[str, str], name: str) -> str:
    """The key that a cursor of list `name` stands for; empty at the beginning. Raises BadInput."""
    text = query.get("after", "")
    try:
        of, _, key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition("\n")
    except (binascii.Error, ValueError):
        of, key = "", ""
    # a text that is read leniently, and is not what was given out, is none of ours
    if text and (of != name or not key or cursor(name, key) != text):
        raise BadInput(
            f'"{text[:80]}" is no cursor of this list', why='it is what an earlier page said in "next"', fix="begin without after="
        )
    return key


def newest(
    state: Snapshot, table: Table[RowT], query: Mapping[str, str], *, prefix: str = "", keep: Callable[[RowT], bool] = lambda _row: True
) -> Page:
    """Rows whose keys sort by time, the newest first; only those that `keep` keeps. Raises BadInput."""
    return _page(lambda key, most: state.last(table, prefix, key, most), table.name, query, keep)


def by_name(state: Snapshot, table: Table[RowT], query: Mapping[str, str], *, keep: Callable[[str], bool] = lambda _key: True) -> Page:
    """(key, row) of what is known by name, in the order of names; only those that `keep` keeps. Raises BadInput."""
    found = _page(
        lambda key, most: [(name, (name, row)) for name, row in state.next(table, "", key, most)], table.name, query, _first(keep)
    )
    return Page(found.items, found.next)


def of_list(items: Sequence[tuple[str, Any]], name: str, query: Mapping[str, str]) -> Page:
    """A page of (key, thing) that are all at hand. Raises BadInput."""
    limit, after = limit_of(query), after_of(query, name)
    start = next((place for place, (key, _) in enumerate(items, 1) if key == after), 0)
    shown = items[start : start + limit]
    more = start + limit < len(items)
    return Page([thing for _, thing in shown], cursor(name, shown[-1][0]) if more and shown else None)


def _first(keep: Callable[[str], bool]) -> Callable[[tuple[str, Any]], bool]:
    return lambda pair: keep(pair[0])


def _page(read: Callable[[str, int], list[tuple[str, Any]]], name: str, query: Mapping[str, str], keep: Callable[[Any], bool]) -> Page:
    limit, key = limit_of(query), after_of(query, name)
    found: list[tuple[str, Any]] = []
    looked_at = 0
    while True:
        rows = read(key, limit + 1)
        for place, row in rows:
            if keep(row):
                if len(found) == limit:
                    return Page([row for _, row in found], cursor(name, found[-1][0]))
                found.append((place, row))
            key = place
        looked_at += len(rows)
        if len(rows) <= limit:
            return Page([row for _, row in found], None)
        if looked_at >= _LOOKED_AT:
            return Page([row for _, row in found], cursor(name, key))
