"""How versions go from one environment to the next, and what comes back: that a training is wanted."""

from __future__ import annotations

from typing import Final

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table
from flyball.records.integration import Integration, IntegrationCheck
from flyball.records.training import RunRow
from flyball.records.versions import Known, Written


class VersionIntegrated(Event, frozen=True, tag="version.integrated"):
    """A version that answers in an environment was tried through its gateway, on requests made of its newest rows."""

    model: str
    version: str
    checks: tuple[IntegrationCheck, ...]


class VersionCarried(Event, frozen=True, tag="version.carried"):
    """A version was taken over from the environment before this one, with the run that made it and what is known of it.

    `integration` is what `origin` found when it tried it. `authors` are those whose yes does not count for it there, by four eyes. `size` and `root` are the number of events of that environment's record then, and the
    hash of their tree: whoever doubts what was taken over finds it there, and nowhere else.
    """

    model: str
    version: str
    origin: str
    made_by: RunRow
    integration: Integration
    size: int
    root: str
    known: tuple[Known, ...] = ()
    tags: dict[str, str] = {}
    card: dict[str, Written] = {}
    deprecated: str = ""
    authors: tuple[str, ...] = ()


class TrainingWanted(Event, frozen=True, tag="training.wanted"):
    """A later environment (`origin`) wants a training: what went wrong there. Versions are made here."""

    model: str
    origin: str
    reason: str


class JudgingWanted(Event, frozen=True, tag="judging.wanted"):
    """A version is to be judged here by the gates that are declared now (`gates_digest`), which have not judged it: a later environment (`origin`) is
    served by it, or a person wants it (empty), for this reason.
    """

    model: str
    version: str
    origin: str
    gates_digest: str
    reason: str = ""


class JudgingRow(Record, frozen=True):
    """The gates by which a version was last wanted judged, and by which later environment (empty: by a person)."""

    model: str
    version: str
    origin: str
    gates_digest: str


JUDGINGS = Table("judgings_wanted", JudgingRow)
"""Keyed by `model/version`."""


class WantedRow(Record, frozen=True):
    """The last time that a later environment wanted a training of a model."""

    model: str
    origin: str
    reason: str
    at: Instant


WANTED = Table("wanted", WantedRow)
"""Keyed by model."""

QUARANTINED: Final = "has put it in quarantine"
TAKEN_BACK: Final = "has taken it back"
DELETED: Final = "has deleted it"
"""How an environment has given a version up, in the words by which the next one advises against it, after its name."""

EVENTS = (VersionIntegrated, VersionCarried, TrainingWanted, JudgingWanted)
