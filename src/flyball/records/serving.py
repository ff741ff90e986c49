"""Routes and the prediction log."""

from __future__ import annotations

from typing import Literal

from flyball.clock import Instant
from flyball.records.base import BlobHash, Event, ManifestHash, Record, Table
from flyball.records.models import Role, Signature


class Arm(Record, frozen=True):
    """A version that takes part. `weight` in basis points, 0 in shadow. `artifact` is the manifest's blob hash."""

    version: str
    role: Role
    artifact: ManifestHash
    weight: int = 0


class ModelRoute(Record, frozen=True):
    """How one model's requests go. Arms' weights sum to 10,000; a first release that may not answer yet has no arms, and a worker as a shadow. `salt`
    is the rollout id while there is one.

    `sticky` names the request field whose value is the key of a caller who gives none. `warm` are versions whose workers run and
    get no requests. In an event a signature too large for it is left in the manifest `signature_of`, the first arm's. Where the fallback `answers`,
    versions are asked all the same, and nobody hears them.
    """

    signature: Signature
    arms: tuple[Arm, ...]
    shadows: tuple[Arm, ...] = ()
    warm: tuple[Arm, ...] = ()
    salt: str = ""
    fallback: float | int | str | bool | None = None
    sticky: str = ""
    signature_of: ManifestHash = ""
    answers: Literal["versions", "fallback"] = "versions"


class RouteTable(Record, frozen=True):
    """All that a gateway knows. Keyed by model name. `elsewhere`: of models that are served elsewhere, what one of their predictions is."""

    epoch: int
    models: dict[str, ModelRoute] = {}
    elsewhere: dict[str, Signature] = {}


class RouteDesired(Event, frozen=True, tag="route.desired"):
    """One model's route is to be `route` (None: withdrawn) from `epoch` on."""

    epoch: int
    model: str
    route: ModelRoute | None


class RouteInForce(Event, frozen=True, tag="route.in_force"):
    """Every gateway acknowledged `epoch`. `ms` is the time from the decision's commit to the last acknowledgement. With no `processes` nothing was up:
    it was written for the next `flyball up` to begin with.

    The models in `waiting` keep the route they had until their workers are ready; another event tells when they have theirs. Names that do
    not fit into one event follow at once in others, with `also`.
    """

    epoch: int
    ms: float
    processes: int
    waiting: tuple[str, ...] = ()
    also: bool = False


class SegmentSealed(Event, frozen=True, tag="segment.sealed"):
    """A prediction log segment became Parquet. `last` is the moment of its newest record (0: it has none).

    `erased` rows were left out because their persons were erased. `parquet_sha256` stays the segment's name when more are (`data.erased`).
    """

    gateway: str
    number: int
    wal_sha256: str
    parquet_sha256: BlobHash
    rows: int
    torn_bytes: int
    last: Instant = 0
    erased: int = 0


class SegmentCounted(Event, frozen=True, tag="segment.counted"):
    """Rows of a sealed segment by the version that answered them (`model@1.0.0`), and by the one that scored them in shadow.

    A segment may hold rows of very many versions, so its counts are told beside it, in as many events as they need.
    """

    gateway: str
    number: int
    answered: dict[str, int] = {}
    shadow: dict[str, int] = {}


class RouteRow(Record, frozen=True):
    """One model's desired route and the epoch that brought it."""

    epoch: int
    route: ModelRoute
    desired_at: Instant


class EpochRow(Record, frozen=True):
    """The newest desired epoch, and the newest that every gateway acknowledged; the models in `waiting` are not there yet."""

    desired: int
    desired_at: Instant
    in_force: int = 0
    in_force_at: Instant = 0
    ms: float = 0.0
    waiting: tuple[str, ...] = ()


class SegmentRow(Record, frozen=True):
    """A sealed segment of the prediction log."""

    gateway: str
    number: int
    wal_sha256: str
    parquet_sha256: BlobHash
    rows: int
    torn_bytes: int
    last: Instant = 0
    erased: int = 0


class AnsweredRow(Record, frozen=True):
    """Rows in sealed segments that a version answered, and that it scored in shadow. What was erased since is still counted.

    `segments` says in how many of them it has rows, `last` is the newest record of the newest.
    """

    answered: int = 0
    shadow: int = 0
    segments: int = 0
    last: Instant = 0


ROUTES = Table("route", RouteRow)
"""Keyed by model."""

EPOCHS = Table("epoch", EpochRow)
"""One row, key `routes`."""

SEGMENTS = Table("segment", SegmentRow)
"""Keyed by `gateway/number`, the number zero-padded to six digits."""

ANSWERED = Table("answered", AnsweredRow)
"""Keyed by `model/version`."""

EVENTS = (RouteDesired, RouteInForce, SegmentSealed, SegmentCounted)
