"""Data set versions and their events."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import BlobHash, Event, Record, Table


class ColumnStats(Record, frozen=True):
    """Per-column statistics of one data set version. `low`, `high`, `mean` are None for text."""

    name: str
    dtype: str
    nulls: int
    distinct: int
    low: float | None = None
    high: float | None = None
    mean: float | None = None


class DatasetVersion(Record, frozen=True):
    """A data set as it was: `content` (SHA-256 of its canonical Parquet) is its name in the blob store.

    `source_mark` says which bytes of the source it was read from (paths, sizes, times), so that an unchanged source is not read
    again. `as_of` is the latest moment at which any of its rows was known. A version too wide for an event has no `schema` and
    `stats` here: `stats_blob` (JSON) tells both. `source` is the path or glob that was
    declared (empty: it has no name that lasts).
    """

    name: str
    version: str
    content: BlobHash
    schema: dict[str, str]
    rows: int
    stats: tuple[ColumnStats, ...]
    parents: tuple[str, ...]
    first: Instant
    last: Instant
    as_of: Instant
    source_mark: str
    stats_blob: BlobHash = ""
    source: str = ""


class DataCommitted(Event, frozen=True, tag="data.committed"):
    """A new version of a data set holds its contract and may be used."""

    version: DatasetVersion


class DataRefused(Event, frozen=True, tag="data.refused"):
    """A data set's source changed and what was read does not hold the contract: it is not used. Every violation is listed."""

    name: str
    source_mark: str
    violations: tuple[str, ...]


class DatasetRow(Record, frozen=True):
    """The head of a data set: its newest good version, and what is wrong with its source, if anything."""

    head: DatasetVersion | None
    refused_mark: str = ""
    violations: tuple[str, ...] = ()


DATASETS = Table("dataset", DatasetRow)
"""Keyed by data set name."""

DATASET_VERSIONS = Table("dataset_version", DatasetVersion)
"""Keyed by `name/content`."""

EVENTS = (DataCommitted, DataRefused)
