"""What is there and what comes, made into what shall be there. Pure: the same rows in any order and number of steps make the same bytes."""

from __future__ import annotations

import msgspec

from flyball.declare.views import NUMERIC
from flyball.features import exact
from flyball.features.online.form import ARRIVED, PLACE, TIME, VALUES, Row, Tile, Totals, pack, unpack_rows, unpack_tile
from flyball.features.online.plan import SUMMED, Plan, Stream


def merged_head(made: Plan, there: bytes | None, rows: list[Row], present: int) -> bytes | None:
    """A head with these rows in it. A row goes only when a newer one (by time, arrival, place) is known no later, or has been for long."""
    return head_body(made, _united(unpack_rows(there) if there else [], rows), present)


def merged_tile(made: Plan, there: bytes | None, rows: list[Row]) -> bytes:
    """A tile with these rows in it."""
    return tile_body(made, _united(unpack_rows(unpack_tile(there).rows) if there else [], rows))


def head_body(made: Plan, rows: list[Row], present: int) -> bytes | None:
    """The bytes of a head of these rows, which are in order; None where there are none."""
    if not rows:
        return None
    if len(rows) > 1:
        rows = _unsurpassed(made, rows, present)
    return pack(rows)


def tile_body(made: Plan, rows: list[Row]) -> bytes:
    """The bytes of a tile of these rows, which are in order."""
    totals = [_totals(stream, rows, VALUES + number) for number, stream in enumerate(made.streams)] if len(rows) >= SUMMED else None
    return pack(Tile(msgspec.Raw(pack(rows)), totals))


def _united(there: list[Row], rows: list[Row]) -> list[Row]:
    if not there:
        return rows
    every = {(row[TIME], row[ARRIVED], row[PLACE]): row for row in there}
    every |= {(row[TIME], row[ARRIVED], row[PLACE]): row for row in rows}
    return [every[key] for key in sorted(every)]


def _unsurpassed(made: Plan, rows: list[Row], present: int) -> list[Row]:
    """As `encode` does with a frame: a row stays if, at some delay, a moment that may still be asked about sees it as the newest."""
    kept: list[Row] = []
    surpassed: dict[int, int] = {}
    for row in reversed(rows):
        stays = False
        for delay in made.delays:
            known = max(row[ARRIVED], row[TIME] + delay)
            by = surpassed.get(delay)
            stays = stays or by is None or (by > known and by >= present - made.kept)
            surpassed[delay] = known if by is None else min(by, known)
        if stays:
            kept.append(row)
    kept.reverse()
    return kept


def _totals(stream: Stream, rows: list[Row], place: int) -> Totals:
    some = [row for row in rows if row[place] is not None]
    if not some:
        return Totals(0)
    values = [row[place] for row in some]
    newest = some[-1]
    made = Totals(
        count=len(some),
        known=max(max(row[ARRIVED], row[TIME] + stream.delay) for row in some),
        newest=[newest[TIME], newest[ARRIVED], newest[PLACE], newest[place]],
    )
    if stream.hows & {"sum", "mean"}:
        made.total = exact.pack(exact.of(values))
    if stream.hows & NUMERIC:
        made.low, made.high = min(values), max(values)
    if "distinct" in stream.hows:
        made.distinct = list(dict.fromkeys(values))
    return made
