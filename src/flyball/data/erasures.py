"""Who was erased, until when, and where contents have gone since. Pure, and quick to import: every command may ask.

A person is known here by a keyed hash: with the key, a row that comes again can be told to be theirs; without it, nothing is said of them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flyball.clock import Instant
from flyball.records.base import State
from flyball.records.data import COLLECTED, DATASET_VERSIONS, ERASURES, STANDING, DatasetVersion, erasure_key


def keyed(key: bytes, value: str) -> str:
    """The keyed hash (HMAC-SHA256, in hex) under which a person is remembered.

    >>> keyed(bytes(32), "ana")[:12]
    'aa50888b6abc'
    """
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def present(state: State, name: str, content: str) -> str:
    """Where the rows of a data set lie now that it stored under `content`: the hash itself, unless some were erased from it since.

    name: the data set's, or that of a segment (`log/` and its key). Another one with the same content keeps what it has.
    """
    row = state.get(ERASURES, erasure_key(name, content))
    while row is not None:
        content = row.content
        row = state.get(ERASURES, erasure_key(name, content))
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


def subject_column(version: DatasetVersion, declared: Mapping[str, str]) -> str:
    """The column that says whose the rows of a version are: as it was declared when they were read, else as it is now (by data set)."""
    return version.subject or declared.get(version.name, "")


def versions(state: State, names: tuple[str, ...]) -> list[DatasetVersion]:
    """Every version of these data sets whose rows are held, in order of name."""
    return [row for key, row in state.scan(DATASET_VERSIONS) if row.name in names and state.get(COLLECTED, key) is None]
