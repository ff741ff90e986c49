"""Registered versions: what may be released, and why."""

from __future__ import annotations

from enum import StrEnum

from flyball.clock import Instant
from flyball.records.base import Event, ManifestHash, Record, ResultHash, Table
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.integration import Integration

MOST_JUDGINGS = 3
"""A judging that fails is begun so often, as a lost job is: then it is for a person."""

BLANKS = ("out_of_scope", "limitations", "ethics")
"""The texts of a model card that only a person can write: what the model must not be used for, where it cannot be relied on, whom it may harm."""


class VersionState(StrEnum):
    """States of a version (docs/architecture.md). Champion and challenger are roles, kept in MODELS, not states."""

    REGISTERED = "registered"
    ELIGIBLE = "eligible"
    REJECTED = "rejected"
    HELD = "held"
    DEPLOYED = "deployed"
    RETIRED = "retired"
    QUARANTINED = "quarantined"
    DELETED = "deleted"


class VersionRegistered(Event, frozen=True, tag="version.registered"):
    """A run's result has a name. `result` is the blob of its RunResult; `fit_digest` names what was learned, however it is packed,
    `gates_digest` the gates that judge it, `features_digest` its inputs, views and transforms, `commit` the Git commit of its code.
    """

    model: str
    version: str
    run: str
    artifact: ManifestHash
    result: ResultHash
    version_digest: str
    policy_digest: str
    data: dict[str, str]
    metrics: dict[str, Estimate]
    fit_digest: str = ""
    gates_digest: str = ""
    features_digest: str = ""
    commit: str = ""


class VersionEligible(Event, frozen=True, tag="version.eligible"):
    """Every gate passed (or was waived): the version may be released.

    This event and its like list the verdicts that fit, those first that do not pass; `unlisted` counts the others by outcome. The run's result
    has all of them. `against` is the champion that the verdicts compared it with (empty: there was none); None: as the version was judged before.
    """

    model: str
    version: str
    verdicts: tuple[Verdict, ...]
    result: ResultHash = ""
    unlisted: dict[str, int] = {}
    gates_digest: str = ""
    against: str | None = None


class VersionRejected(Event, frozen=True, tag="version.rejected"):
    """A gate failed."""

    model: str
    version: str
    verdicts: tuple[Verdict, ...]
    result: ResultHash = ""
    unlisted: dict[str, int] = {}
    gates_digest: str = ""
    against: str | None = None


class VersionHeld(Event, frozen=True, tag="version.held"):
    """A gate lacks data or an approval: neither pass nor fail."""

    model: str
    version: str
    verdicts: tuple[Verdict, ...]
    result: ResultHash = ""
    unlisted: dict[str, int] = {}
    gates_digest: str = ""
    against: str | None = None


class VersionSigned(Event, frozen=True, tag="version.signed"):
    """The version's name and the hash of its manifest are signed: `note` is a signed note (C2SP) by a key that the ledger knew by then."""

    model: str
    version: str
    note: str


class VersionApproved(Event, frozen=True, tag="version.approved"):
    """A person said yes to a version, under these roles and jobs, as the gates of `gates_digest` have judged it."""

    model: str
    version: str
    roles: tuple[str, ...]
    reason: str
    gates_digest: str


class VersionDenied(Event, frozen=True, tag="version.denied"):
    """A person said no to a version: it is rejected."""

    model: str
    version: str
    roles: tuple[str, ...]
    reason: str
    gates_digest: str


class VersionWaived(Event, frozen=True, tag="version.waived"):
    """A person lets a version pass a gate that did not hold, until a time (0: without end).

    `gate` is the gate as its verdicts call it, `slice` the one part of it that is waived (empty: all of it). It counts for the gates of
    `gates_digest` alone, and from `until` on it blocks again. `outcomes` is what the gate had come to (empty: not noted, so it may be either):
    one that was given for want of data lifts no fail.
    """

    model: str
    version: str
    gate: str
    slice: str
    reason: str
    until: Instant
    gates_digest: str
    outcomes: tuple[Outcome, ...] = ()


class VersionJudged(Event, frozen=True, tag="version.judged"):
    """A version that was released has new verdicts, by a waiver or by gates that were declared anew: it stays what it is."""

    model: str
    version: str
    verdicts: tuple[Verdict, ...]
    result: ResultHash = ""
    unlisted: dict[str, int] = {}
    gates_digest: str = ""
    against: str | None = None


class VersionQuarantined(Event, frozen=True, tag="version.quarantined"):
    """A person takes a version out of everything: it is not released until somebody lets it out."""

    model: str
    version: str
    reason: str


class VersionReinstated(Event, frozen=True, tag="version.reinstated"):
    """A person lets a version out of quarantine: it is judged again."""

    model: str
    version: str
    reason: str


class VersionDeprecated(Event, frozen=True, tag="version.deprecated"):
    """A person, or the environment before, advises against a version. It stays what it is; whoever releases it is told, and the loop releases it no more by itself."""

    model: str
    version: str
    reason: str


class VersionUndeprecated(Event, frozen=True, tag="version.undeprecated"):
    """A version is not advised against any more."""

    model: str
    version: str
    reason: str


class VersionNoted(Event, frozen=True, tag="version.noted"):
    """What is known of a version was changed: failure modes in words that were `added` or `dropped`, tags that were set or taken off."""

    model: str
    version: str
    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    untagged: tuple[str, ...] = ()


class VersionDescribed(Event, frozen=True, tag="version.described"):
    """A person wrote one of the texts of a version's card that nobody else can write (`blank`); an empty `text` makes it a blank again."""

    model: str
    version: str
    blank: str
    text: str


class VersionDeployed(Event, frozen=True, tag="version.deployed"):
    """The version takes traffic or scores in shadow: it is in a route."""

    model: str
    version: str


class VersionRetired(Event, frozen=True, tag="version.retired"):
    """The version left every route; it can come back. `back`: by a roll-back, and not because another one took its place."""

    model: str
    version: str
    why: str
    back: bool = False


class VersionDeleted(Event, frozen=True, tag="version.deleted"):
    """What the version was made of is removed: its name and what is known of it stay, and it can never be released."""

    model: str
    version: str
    why: str


class ChampionChanged(Event, frozen=True, tag="champion.changed"):
    """Another version answers by default. `rollback` is true when the former champion came back."""

    model: str
    version: str
    former: str
    rollback: bool
    reason: str


class Said(Record, frozen=True):
    """What a person said of a version: yes or no, under these roles and jobs. A yes counts for the gates of `gates_digest` alone, a no for any."""

    actor: str
    yes: bool
    roles: tuple[str, ...]
    reason: str
    at: Instant
    gates_digest: str


class Waiver(Record, frozen=True):
    """Who let a version pass a gate that did not hold, why, and until when (0: without end). `slice` is empty for all of the gate.

    `outcomes` is what the gate had come to by then; empty: not noted.
    """

    gate: str
    slice: str
    actor: str
    reason: str
    at: Instant
    until: Instant
    gates_digest: str
    outcomes: tuple[Outcome, ...] = ()


class Known(Record, frozen=True):
    """A way in which a version fails, as a person put it."""

    text: str
    actor: str
    at: Instant


class Written(Record, frozen=True):
    """A text of a model card: what a person wrote, and when."""

    text: str
    actor: str
    at: Instant


class Taken(Record, frozen=True):
    """What the environment before said of a version when it was last looked at there. What is said here beside it is of this environment's own.

    `size`: how many events its record had then (0: not noted). `authors`: who had made it by then, there or before.
    """

    known: tuple[Known, ...] = ()
    tags: dict[str, str] = {}
    card: dict[str, Written] = {}
    deprecated: str = ""
    size: int = 0
    authors: tuple[str, ...] = ()


class VersionRow(Record, frozen=True):
    """A version as it stands. Of many verdicts it lists some, and counts the others by outcome in `unlisted`; `result` has all.

    `signature` is the signed note on its name and artifact (empty: not signed yet).
    """

    model: str
    version: str
    state: VersionState
    run: str
    artifact: ManifestHash
    result: ResultHash
    version_digest: str
    policy_digest: str
    data: dict[str, str]
    metrics: dict[str, Estimate]
    registered_at: Instant
    verdicts: tuple[Verdict, ...] = ()
    retired_why: str = ""
    unlisted: dict[str, int] = {}
    fit_digest: str = ""
    gates_digest: str = ""
    signature: str = ""
    said: tuple[Said, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    quarantined: str = ""
    """Why it is in quarantine."""
    deprecated: str = ""
    """Why it is advised against; empty: it is not."""
    known: tuple[Known, ...] = ()
    """Known failure modes."""
    tags: dict[str, str] = {}
    card: dict[str, Written] = {}
    """The texts of its card that persons have written, by blank."""
    tried: str = ""
    """The gates by which a judging was begun that is not to be begun again, whatever came of it."""
    failing: str = ""
    """The gates by which judgings have failed, `failures` times."""
    failures: int = 0
    origin: str = ""
    """The environment that it was taken over from; empty: it was made in this one."""
    integration: Integration | None = None
    """What was found when it was tried through the gateway of this environment."""
    checked: Integration | None = None
    """What `origin` had found when it was taken over."""
    taken: Taken = Taken()
    """What `origin` said of it then."""
    features_digest: str = ""
    commit: str = ""
    """The Git commit of its code, with `-dirty` where the code is otherwise there; empty: not known."""
    taken_back: bool = False
    """Whether it left its routes by a roll-back."""
    against: str | None = None
    """The champion that its verdicts compared it with; empty: there was none; None: not noted."""

    @property
    def blanks(self) -> tuple[str, ...]:
        """The blanks of its card that nobody has filled."""
        return tuple(name for name in BLANKS if name not in self.card)


class ModelRow(Record, frozen=True):
    """A model's roles. Empty text means none. `champion_at` is when the champion took over."""

    model: str
    champion: str = ""
    former: str = ""
    champion_at: Instant = 0
    rollout: str = ""
    newest: str = ""
    last_run: str = ""
    last_attempt_at: Instant = 0
    trained_digest: str = ""


class UnsignedRow(Record, frozen=True):
    """A version that waits for its signature."""

    model: str
    version: str
    artifact: ManifestHash


class RegisteredRow(Record, frozen=True):
    """Which version was registered."""

    model: str
    version: str


VERSIONS = Table("version", VersionRow)
"""Keyed by `model/version`."""

REGISTERED = Table("registered", RegisteredRow)
"""Every version, in the order in which they were registered: the newest of all models are read without those before. Keyed by `registered_key`."""


def registered_key(seq: int) -> str:
    """The key of the version that the event of this number registered: keys sort as numbers do."""
    return f"{seq:016d}"


UNSIGNED = Table("unsigned", UnsignedRow)
"""Keyed by `model/version`. The loop looks here at every tick, and it is nearly always empty."""

MODELS = Table("model", ModelRow)
"""Keyed by model."""

EVENTS = (
    VersionRegistered,
    VersionEligible,
    VersionRejected,
    VersionHeld,
    VersionSigned,
    VersionApproved,
    VersionDenied,
    VersionWaived,
    VersionJudged,
    VersionQuarantined,
    VersionReinstated,
    VersionDeprecated,
    VersionUndeprecated,
    VersionNoted,
    VersionDescribed,
    VersionDeployed,
    VersionRetired,
    VersionDeleted,
    ChampionChanged,
)
