"""How many rows of a sealed segment each version answered: counts, never rows."""

from __future__ import annotations

import io

import polars as pl

from flyball.records.serving import SegmentCounted, SegmentSealed

AT_ONCE = 100
"""Versions of which one event tells: their names and numbers stay far below what an event may hold."""


def counts(segment: SegmentSealed, parquet: bytes) -> tuple[SegmentCounted, ...]:
    """What a segment's blob holds, by version. Refused requests and dropped shadows are nobody's answers."""
    columns = pl.read_parquet(io.BytesIO(parquet), columns=["kind", "version", "rows"])
    told = columns.filter(pl.col("kind").is_in(["answer", "shadow"])).group_by("version", "kind").agg(pl.col("rows").sum())
    by_kind: dict[str, dict[str, int]] = {"answer": {}, "shadow": {}}
    for version, kind, rows in sorted(told.iter_rows()):
        by_kind[kind][version] = rows
    names = sorted({*by_kind["answer"], *by_kind["shadow"]})
    return tuple(_part(segment, by_kind, names[start : start + AT_ONCE]) for start in range(0, len(names), AT_ONCE))


def _part(segment: SegmentSealed, by_kind: dict[str, dict[str, int]], names: list[str]) -> SegmentCounted:
    answered, shadow = ({name: by_kind[kind][name] for name in names if name in by_kind[kind]} for kind in ("answer", "shadow"))
    return SegmentCounted(gateway=segment.gateway, number=segment.number, answered=answered, shadow=shadow)
