"""Whose rows are whose, which of them may not be held any more, and where contents have gone since. Pure.

A person is known here by a keyed hash: with the key, a row that comes again can be told to be theirs; without it, nothing is said of them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from flyball.clock import Instant
from flyball.data.types import instants
from flyball.declare.data import Dataset
from flyball.records.base import State
from flyball.records.data import DATASET_VERSIONS, ERASURES, STANDING, DatasetVersion


def keyed(key: bytes, value: str) -> str:
    """The keyed hash (HMAC-SHA256, in hex) under which a person is remembered.

    >>> keyed(bytes(32), "ana")[:12]
    'aa50888b6abc'
    """
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def present(state: State, content: str) -> str:
    """Where the rows lie now that were stored under `content`: the hash itself, unless some were erased since."""
    row = state.get(ERASURES, content)
    while row is not None:
        content = row.content
        row = state.get(ERASURES, content)
    return content


def same(content: str) -> str:
    """What `present` is where nothing was ever erased."""
    return content


@dataclass(frozen=True)
class Erasures:
    """What was erased, as far as one data set goes.

    `until`: keyed hash of a person → the moment until which their rows are not to be held. `keyed`: text → keyed hash. `seq`: the newest
    of these events. `present`: where a content lies now.
    """

    until: Mapping[str, Instant] = field(default_factory=dict)
    keyed: Callable[[str], str] = same
    seq: int = 0
    present: Callable[[str], str] = same

    def covers(self, value: str, at: Instant) -> bool:
        """Whether what was known of this person at this moment is not to be held."""
        return bool(self.until) and at <= self.until.get(self.keyed(value), at - 1)


NONE = Erasures()
"""Nothing was erased."""


def standing(state: State, name: str) -> tuple[dict[str, Instant], int]:
    """Of one data set: keyed hash → the moment until which rows are not to be held; and the newest event that says so."""
    rows = {key.rpartition("/")[2]: row for key, row in state.scan(STANDING, f"{name}/")}
    return {subject: row.at for subject, row in rows.items()}, max((row.seq for row in rows.values()), default=0)


def texts(frame: pl.DataFrame, column: str) -> pl.Series:
    """The values of a column as a person writes them: whole numbers without a point."""
    return frame[column].cast(pl.String)


def heeded(dataset: Dataset, frame: pl.DataFrame, erasures: Erasures) -> pl.DataFrame:
    """The rows of a source (as `source.read` gives them) that may be held.

    A row counts as known when it arrived, else at its time; where a data set has neither, whoever was erased stays out for good.
    """
    if not dataset.subject or not erasures.until:
        return frame
    who = texts(frame, dataset.subject)
    hashed = {value: erasures.keyed(value) for value in who.unique().to_list() if value is not None}
    until = {value: erasures.until[subject] for value, subject in hashed.items() if subject in erasures.until}
    if not until:
        return frame
    limit = who.replace_strict(list(until), list(until.values()), default=None, return_dtype=pl.Int64)
    known = dataset.arrived or dataset.time
    moment = frame.select(instants(known)).to_series() if known else pl.repeat(None, frame.height, dtype=pl.Int64, eager=True)
    return frame.filter(~(limit.is_not_null() & (moment.is_null() | (moment <= limit))))


def subject_column(version: DatasetVersion, declared: Mapping[str, str]) -> str:
    """The column that says whose the rows of a version are: as it was declared when they were read, else as it is now (by data set)."""
    return version.subject or declared.get(version.name, "")


def versions(state: State, names: tuple[str, ...]) -> list[DatasetVersion]:
    """Every stored version of these data sets, in order of name."""
    return [row for _, row in state.scan(DATASET_VERSIONS) if row.name in names]
