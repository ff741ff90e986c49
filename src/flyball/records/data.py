"""Data set versions and their events."""

from __future__ import annotations

from typing import Literal

from flyball.clock import Instant, Span
from flyball.records.base import BlobHash, ContentHash, Event, Personal, Record, Table
from flyball.records.models import FieldType


class ColumnStats(Record, frozen=True):
    """Per-column statistics of one data set version. `low`, `high`, `mean` are None for text.

    `estimated`: so many values are distinct that `distinct` is an estimate.
    """

    name: str
    dtype: str
    nulls: int
    distinct: int
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    estimated: bool = False


class Chunk(Record, frozen=True):
    """Some consecutive rows of a data set, as Parquet: its blob, how many rows it has, and the times of the earliest and latest (0: none)."""

    content: BlobHash
    rows: int
    first: Instant
    last: Instant


class ChunkColumn(Record, frozen=True):
    """A column of every chunk of a manifest."""

    name: str
    type: FieldType


class DatasetManifest(Record, frozen=True):
    """What a data set version is made of: a blob of canonical JSON, whose hash is the version's `content`.

    Columns are in order, and so are the chunks: of the column `time`, if rows have one.
    """

    columns: tuple[ChunkColumn, ...]
    chunks: tuple[Chunk, ...]
    time: str = ""
    format: int = 1


class Example(Record, frozen=True):
    """A row that breaks a rule: its number in the source, counted from 1, and what stands there (empty: it is personal, or missing)."""

    row: int
    value: str = ""


RuleName = Literal[
    "between", "one_of", "nulls", "time", "min_rows", "unique", "references", "unseen", "shift", "gap", "disorder", "ahead", "broken"
]


Severity = Literal["block", "warn"]


class Finding(Record, frozen=True):
    """A rule of a data set's contract that does not hold: `block` keeps what was read from being used, `warn` is only said.

    `count` of `of` rows (or values, or steps of time) break it; `column` is empty where it is the data set's own. `values` are those that
    are new or not known elsewhere. `text` says all of it, and what changed since the last good version. `broken`: `count` of `of` files of
    predictions are left out, the first of which `values` names.
    """

    rule: RuleName
    severity: Severity
    text: str
    column: str = ""
    count: int = 0
    of: int = 0
    examples: tuple[Example, ...] = ()
    values: tuple[str, ...] = ()


class DatasetVersion(Record, frozen=True):
    """A data set as it was: `content` (SHA-256 of its `DatasetManifest`) is its name in the blob store.

    `schema_hash` is the SHA-256 of the columns and their types, in hex, whatever their order; `schema_version` rises with it alone: the
    minor when a column came, the major when one went or changed its type.

    `source_mark` says which bytes of the source it was read from (paths, sizes, times), so that an unchanged source is not read
    again. `as_of` is the latest moment at which any of its rows was known. A version too wide for an event has no `schema` and
    `stats` here: `stats_blob` (JSON) tells both. `source` is the path or glob that was
    declared (empty: it has no name that lasts). `subject` is the column that says whose a row is. `erased` rows of the source were left
    out because their persons were erased; `erasure` is the newest such event that was heeded. What is erased later leaves this as it
    is: `content` stays the version's name, and ERASURES says under which name its rows lie. `profile` is a `data.baseline.Baseline` (JSON):
    what its columns held, with which the next version is compared.
    """

    name: str
    version: str
    content: ContentHash
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
    subject: str = ""
    erased: int = 0
    erasure: int = 0
    profile: BlobHash = ""
    schema_hash: str = ""
    schema_version: str = "1.0.0"


class DataCommitted(Event, frozen=True, tag="data.committed"):
    """A new version of a data set holds its contract and may be used. `findings` are what the contract only warns of (`unlisted` more did not fit)."""

    version: DatasetVersion
    findings: tuple[Finding, ...] = ()
    unlisted: int = 0


class DataRefused(Event, frozen=True, tag="data.refused"):
    """A data set's source changed and what was read does not hold the contract: it is not used.

    `violations` say why in words, also where the source could not be read, and last how many more there are; `findings` are the rules that do not
    hold, warnings too (`unlisted` more did not fit).
    """

    name: str
    source_mark: str
    violations: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    unlisted: int = 0


class SubjectErased(Event, frozen=True, tag="subject.erased"):
    """Nothing that was known of a person until now is to be held in these data sets, nor in the log of the models made from them.

    `subject` is the keyed hash of who it was (docs/privacy.md): rows of theirs that a source still holds are left out when it is read
    again, and the rows `waiting` in the open log when it is sealed. `rows` in data set versions, `predictions` in sealed segments and
    `texts` of events were taken out now. `fingerprint` tells the key of the hash from any other.
    """

    subject: str
    data: tuple[str, ...]
    rows: int
    predictions: int
    waiting: int
    texts: int
    reason: Personal = ""
    fingerprint: str = ""


class DataErased(Event, frozen=True, tag="data.erased"):
    """A person's rows were taken out of a data set version, or of a sealed segment (`name` is `log/g0/000017`), whose name stays `birth`.

    What lay under `old_content` lies without those `rows` under `new_content`, and the blob of the old one is removed, unless something else
    of another name still lies there. `models` are the versions made from it (`unlisted` more did not fit): what they learned stays.
    """

    name: str
    birth: str
    old_content: str
    new_content: ContentHash
    rows: int
    subject: str
    models: tuple[str, ...] = ()
    unlisted: int = 0


class DataCollected(Event, frozen=True, tag="data.collected"):
    """A version of a data set was let go: nothing was made from it, and it is kept no longer (`keep=`). Its rows can be read no more.

    `content` is the name it was born with. Chunks that it shares with versions that are kept stay. The same rows may be committed anew.
    """

    name: str
    version: str
    content: str
    rows: int


class DataStale(Event, frozen=True, tag="data.stale"):
    """The newest row of a data set is older than it may be: nothing that was known after `as_of` has come, and `freshness` has passed since."""

    name: str
    as_of: Instant
    freshness: Span


class DataFresh(Event, frozen=True, tag="data.fresh"):
    """The newest row of a data set is no older than it may be any more, or nothing is required of its age any more (`freshness` 0)."""

    name: str
    as_of: Instant
    freshness: Span


class StaleTime(Record, frozen=True):
    """So many µs, `stale`, of [start, end) in which the newest row of a data set was too old."""

    start: Instant
    end: Instant
    stale: int


class DatasetRow(Record, frozen=True):
    """The head of a data set: its newest good version, and what is wrong with its source, if anything.

    `stale_since` is when its newest row was found to be too old (0: it is not), `stale_from` when it became so; `stale` the times that are over: one by
    one for three days, then by day, for a hundred days. `first_at` is when the first version was committed. `findings` are what the newest look came to: warnings of the version in use, or all that is wrong with what was refused;
    `unlisted` more of them did not fit.
    """

    head: DatasetVersion | None
    refused_mark: str = ""
    violations: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    stale_since: Instant = 0
    stale_from: Instant = 0
    stale: tuple[StaleTime, ...] = ()
    first_at: Instant = 0
    unlisted: int = 0


class ErasureRow(Record, frozen=True):
    """Where a data set's rows lie that once lay under a content hash: under `content`, or where ERASURES sends that on to."""

    content: str
    at: Instant


class CommitRow(Record, frozen=True):
    """When a data set version was last committed, and by which event."""

    at: Instant
    seq: int


class CollectedRow(Record, frozen=True):
    """When a version was let go."""

    at: Instant


class StandingRow(Record, frozen=True):
    """Rows of a person that were known by `at` are not to be held; `seq` is the event that says so, under the key of this fingerprint."""

    at: Instant
    seq: int
    fingerprint: str = ""


DATASETS = Table("dataset", DatasetRow)
"""Keyed by data set name."""

DATASET_VERSIONS = Table("dataset_version", DatasetVersion)
"""Keyed by `name/content`."""

DATA_COMMITS = Table("data_commit", CommitRow)
"""Keyed by `name/content`, as the version is."""

ERASURES = Table("erasure", ErasureRow)
"""Keyed by `name/content` (`erasure_key`): the name of what had it, and the content hash of what is gone from there."""

COLLECTED = Table("collected_version", CollectedRow)
"""Keyed by `name/content`, as DATASET_VERSIONS."""

LOG = "log/"
"""Before the key of a segment where one is named beside data sets."""

STANDING = Table("standing_erasure", StandingRow)
"""Keyed by `name/subject`: a data set's name and the keyed hash of a person."""


def erasure_key(name: str, content: str) -> str:
    """The key in ERASURES of a data set, or of a segment (`log/` and its key), and a content that it had."""
    return f"{name}/{content}"


EVENTS = (DataCommitted, DataRefused, DataStale, DataFresh, SubjectErased, DataErased, DataCollected)
