"""What callers get, where it is not a record of its own already. `event` is the last event that a command appended; 0 if none was needed."""

from __future__ import annotations

from typing import Any

import msgspec

from flyball.clock import Instant
from flyball.loop.complained import About
from flyball.loop.raised import Raised
from flyball.loop.timeline import Timeline
from flyball.loop.waiting import Waiting
from flyball.monitoring.objectives import Budget
from flyball.records.alerts import AlertRow
from flyball.records.base import Record
from flyball.records.data import DatasetVersion, Finding
from flyball.records.difference import ColumnDifference, RowDifference, SchemaDifference
from flyball.records.estimates import Verdict
from flyball.records.evidence import LabelsSeen
from flyball.records.identity import Role, Scope
from flyball.records.incidents import Impact, IncidentRow
from flyball.records.mutes import MuteRow
from flyball.records.online import ViewStatus
from flyball.records.outcomes import OutcomeSeen
from flyball.records.rollouts import Reading, RolloutEvidence, RolloutRow, RolloutState
from flyball.records.training import RunResult, RunRow, RunState
from flyball.records.unlabelled import PerformanceEstimated
from flyball.records.versions import Known, VersionRow, VersionState, Written


class Health(Record, frozen=True):
    """That the control plane works: its database answered a moment ago. `loop_age_s`: seconds since the loop's last pass; null before the first."""

    status: str
    loop_age_s: float | None


class Standing(Record, frozen=True):
    """A model and the parts of its versions. `traffic` maps versions to their share of it.

    `unread` says why the declaration cannot be read now (empty: it can); then `task` and `owner` are empty. `waits` is what `flyball status` says of
    it that waits or is broken: a held version, a failed run, a rollout that stands, each with what ends it.
    """

    model: str
    task: str
    owner: str
    file: str
    champion: str
    challenger: str
    former: str
    newest: str
    rollout: str
    last_run: str
    traffic: dict[str, float]
    applied_at: Instant
    champion_at: Instant
    unread: str = ""
    purpose: str = ""
    kpi: str = ""
    risk: str = ""
    waits: tuple[Waiting, ...] = ()


class Version(VersionRow, frozen=True):
    """A version, and its part in serving: champion, challenger, former, or none."""

    role: str = ""


class Verdicts(Record, frozen=True):
    """How a version was judged, gate by gate."""

    model: str
    version: str
    state: VersionState
    verdicts: tuple[Verdict, ...]


class Run(RunRow, frozen=True):
    """A run, and what came of it, once it has a result that is still kept: what it measured, its search, what it took and was made with, and of a
    reproduction whether the artifact is the same.
    """

    result_of: RunResult | None = None


class Rollout(Record, frozen=True):
    """A rollout, what each of its tests has for and against it, and the counts that this rests on."""

    rollout: RolloutRow
    readings: tuple[Reading, ...]
    counts: RolloutEvidence


class Dataset(Record, frozen=True):
    """A data set: its newest good version, what is wrong with its source, if anything, and what the newest look at it found, warnings too (`unlisted`
    more findings did not fit).
    """

    name: str
    head: DatasetVersion | None
    refused_mark: str
    violations: tuple[str, ...]
    findings: tuple[Finding, ...]
    unlisted: int


class VersionsCompared(Record, frozen=True):
    """Two versions of a data set, and what they do not have in common: columns, rows, and how the values of each column have moved."""

    name: str
    before: DatasetVersion
    after: DatasetVersion
    schema: SchemaDifference
    rows: RowDifference
    columns: tuple[ColumnDifference, ...]


class DataVersion(DatasetVersion, frozen=True):
    """A version, and where its rows lie: `present` is the content that holds them, without whoever was erased since; empty where they were let go,
    at `collected_at`.
    """

    present: str = ""
    collected_at: Instant = 0


class View(Record, frozen=True):
    """A feature view in the online store: its definitions that models read, the declared one and those that older versions were made with."""

    view: str
    definitions: tuple[ViewStatus, ...]


class RefusedRow(Record, frozen=True):
    """A row that was not taken, by its place in the request."""

    index: int
    code: str
    detail: str
    fix: str


class RowsTaken(Record, frozen=True):
    """Rows that are kept from here on, whatever happens, and those that are not. `cursor` is the number of the last one ever pushed."""

    accepted: int
    refused: tuple[RefusedRow, ...]
    cursor: int


class DataRow(Record, frozen=True):
    """A row of a version, without the columns that say who it is of. `index` counts from 0 in the version's order."""

    index: int
    row: dict[str, Any]


class ServingCost(Record, frozen=True):
    """What 1,000 predictions of the champion take, by the last hour (or day, or week) that had any: seconds of processor time, watt hours by `cpu_watts`.

    `money` is null where `cpu_hour_price` is not set; `busy` is the share of a processor that its worker takes.
    """

    predictions: int
    cpu_s: float
    watt_hours: float
    busy: float
    money: float | None
    currency: str


class Monitors(Record, frozen=True):
    """What a model's monitors say. `incidents` are those that are not closed; `muted` are the keys of the alerts that are muted now, by `mutes`; `budgets` the
    error budgets of its objectives; `labels` says how labels came in the last week; `estimate` how good it is estimated to be without labels (null: nothing
    was); `outcomes` are the business values that are declared; `cost` is null where no worker was measured.
    """

    model: str
    version: str
    alerts: tuple[AlertRow, ...]
    incidents: tuple[str, ...]
    labels: LabelsSeen
    muted: tuple[str, ...] = ()
    mutes: tuple[MuteRow, ...] = ()
    budgets: tuple[Budget, ...] = ()
    cost: ServingCost | None = None
    estimate: PerformanceEstimated | None = None
    outcomes: tuple[OutcomeSeen, ...] = ()


class EventAnswer(Record, frozen=True):
    """An event in its place in the ledger."""

    seq: int
    at: Instant
    actor: str
    command: str
    event: Any


class CheckpointAnswer(Record, frozen=True):
    """What the root of the first `size` events was: a signed note (C2SP)."""

    size: int
    note: str


class Token(Record, frozen=True):
    """A token, without its secret, of which there is a hash alone."""

    token: str
    person: str
    team: str
    jobs: tuple[str, ...]
    roles: tuple[Role, ...]
    scopes: tuple[Scope, ...]
    models: tuple[str, ...]
    created_at: Instant
    created_by: str
    expires_at: Instant
    revoked_at: Instant
    revoked_why: str


class Changed(Record, frozen=True):
    """A model of a loop file. `changed`: new, or which of version, policy, file and code differ from what was in effect."""

    model: str
    file: str
    changed: tuple[str, ...]


class BrokenFile(Record, frozen=True):
    """A loop file that cannot be used; its models stay as they were."""

    file: str
    problems: tuple[str, ...]


class Applied(Record, frozen=True):
    """What was declared. `gone` are models in effect that no loop file declares any more."""

    models: tuple[Changed, ...]
    broken: tuple[BrokenFile, ...]
    gone: tuple[str, ...]
    event: int


class RolledBack(Record, frozen=True):
    """The version that is left and the one that answers. In force when `route.in_force` says so, in far less than a second."""

    model: str
    left: str = msgspec.field(name="from")
    to: str
    event: int


class RunWanted(Record, frozen=True):
    """A run that is queued: see `Location`."""

    run: str
    model: str
    event: int


class RunEnded(Record, frozen=True):
    """A run that was cancelled."""

    run: str
    state: RunState
    event: int


class Released(Record, frozen=True):
    """A rollout that has begun: see `Location`. `deprecated` says why somebody advises against the version."""

    rollout: str
    model: str
    version: str
    event: int
    deprecated: str = ""


class Steered(Record, frozen=True):
    """Where a rollout was, and where it is."""

    rollout: str
    left: RolloutState = msgspec.field(name="from")
    state: RolloutState
    event: int


class Incident(IncidentRow, frozen=True):
    """An incident as it stands, what it has cost by now, what happened around it, and as far as the log has it the answer that a complaint is about, and of one
    that tells of errors what was raised.
    """

    counted: Impact | None = None
    timeline: Timeline = Timeline()
    about: About | None = None
    raised: Raised | None = None


class Complained(Record, frozen=True):
    """The incident that a complaint has opened, and the answer that it is about, where it names one."""

    incident: str
    model: str
    event: int
    about: About | None = None


class Settled(Record, frozen=True):
    """Where an incident is."""

    incident: str
    state: str
    event: int


class Muted(Record, frozen=True):
    """What is muted of a model, and until when (null: it is heard)."""

    model: str
    monitor: str
    until: Instant
    event: int


class Heard(Record, frozen=True):
    """What came of what a route said. `taken`: whether it was recorded; else `why` not."""

    route: str
    incident: str | None
    taken: bool
    why: str
    event: int


class Judged(Record, frozen=True):
    """Where a version is after a person's verdict, or what else they made of it. `deprecated` says why it is advised against."""

    model: str
    version: str
    state: VersionState
    event: int
    deprecated: str = ""


class Noted(Record, frozen=True):
    """What is known of a version."""

    model: str
    version: str
    known: tuple[Known, ...]
    tags: dict[str, str]
    event: int


class Card(Record, frozen=True):
    """A version's model card. `written` are the texts that persons wrote, `blanks` those that nobody has; `event` is 0 where nothing was written now."""

    model: str
    version: str
    state: VersionState
    card: str
    written: dict[str, Written]
    blanks: tuple[str, ...]
    event: int = 0


class TokenMade(Record, frozen=True):
    """A token, and its secret: it is told this once, and null when the same request is repeated."""

    token: str
    person: str
    secret: str | None
    event: int


class TokenTaken(Record, frozen=True):
    """A token that is refused from here on: by every gateway within a second."""

    token: str
    event: int
