"""Views into the online store: whole, by what was added, or from a moment on.

A whole fill goes into a new generation beside the live one, entity by entity, and is published when it is complete: whoever reads sees
the old values until then. So does a backfill, after the values of the live one. What was added goes into the live one, in one transaction.
All leave off only between transactions, so whoever begins again after a kill goes on where the store says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from flyball.clock import Instant
from flyball.features.online import encode
from flyball.features.online.merge import merged_head, merged_tile
from flyball.features.online.plan import HEAD, Plan
from flyball.features.online.progress import Progress, packed, read
from flyball.store.online import Generation, OnlineStore

ENTITIES: Final = 20_000
"""Entities that are filled in one transaction."""

ROWS: Final = 200_000
"""Rows that are filled in one transaction, but for those of a single entity: other writers wait for it, and they are held as Python's own values. More
rows than these are not added but filled whole."""

Report = Callable[[int, int], None]
"""(entities done, of how many)."""


@dataclass(frozen=True)
class Version:
    """A data set version as a view needs it: `content` names it, `rows` has at least the columns that `encode.columns` names.

    `through`: the last of the rows pushed to the data set that the version holds.
    """

    content: str
    rows: pl.DataFrame
    through: int = 0


@dataclass(frozen=True)
class At:
    """A generation in the store and how far it is."""

    generation: Generation
    progress: Progress


def _told(_done: int, _of: int) -> None:
    """Nobody listens."""


def live(store: OnlineStore, made: Plan) -> At | None:
    """What is read of a view now; None if nothing is, or it was made by another form of flyball's bytes. Raises Unavailable."""
    return next((at for at in _own(store, made) if at.generation.live), None)


def filling(store: OnlineStore, made: Plan) -> At | None:
    """The fill that is under way, or was broken off. Raises Unavailable."""
    return next((at for at in _own(store, made) if not at.generation.live), None)


def fill(store: OnlineStore, made: Plan, version: Version, now: Instant, report: Report = _told) -> At:
    """Fill a view whole and publish it; a fill of the same version that was broken off is gone on with.

    Raises Unavailable, Conflict (somebody else fills it), BadInput (the view cannot be computed).
    """
    taken = encode.take(made, version.rows)
    at = filling(store, made)
    if at is None or at.progress.content != version.content or at.progress.since is not None:
        begun = Progress(content=version.content, present=_present(taken.as_of, now))
        at = At(store.begin(made.store_name, packed(begun)), begun)
    while at.progress.done < taken.count:
        upto = taken.upto(at.progress.done, ENTITIES, ROWS)
        parts = encode.parts(made, taken.of(at.progress.done, upto), at.progress.present)
        further = msgspec.structs.replace(at.progress, done=upto)
        at = At(store.put(at.generation, parts, packed(further)), further)
        report(upto, taken.count)
    count = version.rows.height
    full = msgspec.structs.replace(
        at.progress,
        whole=True,
        rows=count,
        next=count,
        as_of=taken.as_of,
        made_at=now,
        through=version.through,
        pushed=version.through,
    )
    at = At(store.publish(at.generation, packed(full)), full)
    store.collect()
    return at


def add(
    store: OnlineStore,
    made: Plan,
    at: At,
    added: Version,
    now: Instant,
    *,
    rows: int,
    places: pl.Series | None = None,
    pushed: int | None = None,
) -> At:
    """Put rows into the live generation `at`, which holds the version `added.content` then, of `rows` rows in all. All of it or nothing.

    `places`: of the rows in the data set, where they do not follow those that are there. `pushed`: they were pushed, up to this one, and are
    of no version yet. Raises Unavailable, Conflict, BadInput.
    """
    taken = encode.take(made, added.rows, at.progress.next if places is None else places)
    as_of = max(at.progress.as_of, taken.as_of)
    further = msgspec.structs.replace(
        at.progress,
        content=added.content,
        present=max(at.progress.present, _present(as_of, now)),
        rows=rows,
        next=at.progress.next + added.rows.height,
        as_of=as_of,
        made_at=now,
        through=added.through,
        pushed=max(at.progress.pushed, added.through) if pushed is None else pushed,
    )
    heads = dict(encode.head_rows(made, taken, further.present))
    tiles = {(entity, number): own for entity, number, own in encode.tile_rows(made, taken, further.present)}

    def merge(entity: bytes, number: int, there: bytes | None) -> bytes | None:
        if number == HEAD:
            return merged_head(made, there, heads[entity], further.present)
        return merged_tile(made, there, tiles[entity, number])

    keys = [*((entity, HEAD) for entity in heads), *tiles]
    below = made.floor(further.present) if made.streams else None
    return At(store.update(at.generation, keys, merge, packed(further), below=below), further)


def backfill(store: OnlineStore, made: Plan, at: At, version: Version, since: Instant, now: Instant, report: Report = _told) -> At:
    """Make anew all that rows from `since` on have a part in, and publish it beside what else the live generation `at` has. `version` must be
    the one that it holds.

    What an earlier row alone decides stays. One from the same moment that was broken off is gone on with. Raises Unavailable, Conflict, BadInput.
    """
    taken = encode.take(made, version.rows)
    own = taken.since(since)
    first = made.tile(since)
    half = _copied(store, made, at, since)
    while half.progress.remade < own.count:
        done = half.progress.remade
        upto = own.upto(done, ENTITIES, ROWS)
        parts = (part for part in encode.parts(made, own.of(done, upto), at.progress.present) if part.number >= first)
        further = msgspec.structs.replace(half.progress, remade=upto)
        half = At(store.put(half.generation, parts, packed(further)), further)
        report(upto, own.count)
    # rows that came into the live one meanwhile are not lost: it begins again from there
    store.copy(half.generation, at.generation)
    full = msgspec.structs.replace(_settled(at.progress), next=max(at.progress.next, version.rows.height), made_at=now)
    half = At(store.publish(half.generation, packed(full)), full)
    store.collect()
    return half


def _copied(store: OnlineStore, made: Plan, at: At, since: Instant) -> At:
    """A generation with the values of the live one, for a backfill from `since`: the one that is under way, where the live one is as it was
    then.
    """
    half = filling(store, made)
    begun = msgspec.structs.replace(_settled(at.progress), since=since)
    if half is None or msgspec.structs.replace(half.progress, copied=False, remade=0) != begun:
        half = At(store.begin(made.store_name, packed(begun)), begun)
    if half.progress.copied:
        return half
    while store.copy(half.generation, at.generation):
        pass
    copied = msgspec.structs.replace(begun, copied=True)
    return At(store.put(half.generation, (), packed(copied)), copied)


def _settled(progress: Progress) -> Progress:
    """A live generation's, without a backfill: one that earlier code broke off had been made within it, and from another moment on nothing is done."""
    return msgspec.structs.replace(progress, since=None, copied=False, remade=0)


def added(before: pl.DataFrame, after: pl.DataFrame, ties: Sequence[pl.Expr] = ()) -> pl.DataFrame | None:
    """The rows that `after` has beyond those of `before`, in its order; None where a row of `before` was changed or is gone.

    ties: what rows that only their order tells apart have in common; in `after` those of `before` come first, in the order that they had,
    else it is None as well. Without it rows that are equal are told apart by their number.
    """
    if before.columns != after.columns or before.dtypes != after.dtypes or after.height < before.height:
        return None
    if after.head(before.height).equals(before):
        return after.slice(before.height)
    old, new = _numbered(before, ties), _numbered(after, ties)
    fresh = new.join(old, on=["row", "number"], how="anti", maintain_order="left")
    return after[fresh["place"]] if fresh.height == after.height - before.height else None


def _numbered(frame: pl.DataFrame, ties: Sequence[pl.Expr]) -> pl.DataFrame:
    """A row's hash, and how many rows with the same `ties` (with that hash) stand before it."""
    tied = frame.select(tie.alias(f"tie {place}") for place, tie in enumerate(ties))
    hashed = frame.hash_rows(seed=0).alias("row").to_frame().with_row_index("place").hstack(tied)
    return hashed.with_columns(pl.int_range(pl.len()).over(tied.columns or ["row"]).alias("number"))


def _present(as_of: Instant, now: Instant) -> Instant:
    """The moment about which callers ask from now on: the newest row's, but no later than now (there are rows about times to come)."""
    return min(as_of, now)


def _own(store: OnlineStore, made: Plan) -> Iterator[At]:
    for generation in store.generations([made.store_name]):
        progress = read(generation.cursor)
        if progress is not None:
            yield At(generation, progress)
