"""Runs and what they produce."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from flyball.clock import Instant, Span
from flyball.records.base import BlobHash, Event, ManifestHash, Projection, Record, ResultHash, Table
from flyball.records.cost import Cost
from flyball.records.environment import Environment, Reproduction
from flyball.records.estimates import Estimate, Verdict
from flyball.records.models import Signature

Trigger = Literal["manual", "declaration", "schedule", "monitor", "evidence", "reproduction"]
"""Why a run is made. "evidence": not to train, but to judge a version again, on newer rows or by other gates; "reproduction": to see whether a run can be made again."""

NO_ATTEMPTS: frozenset[Trigger] = frozenset({"evidence", "reproduction"})
"""Runs that are no attempt at a new version: no cool-down begins with them, and no bound on runs counts them."""


MAKING = 1
"""Which of flyball's ways makes a run now; raised where equal specs come to something else than before. 1: what a fit stops by judges no trial."""


class RunSpec(Record, frozen=True):
    """All that decides a run's result: the memo key is the SHA-256 of this record. Hashes are blob hashes.

    `as_of`: only rows and labels known by then are seen. `champion` is the artifact to compare with, `parameters` fixes
    hyperparameters, `trials` > 0 searches the rest (0: defaults and what the last search found). `file` is the loop file within
    the code snapshot. `window_scores` are the smoothed scores S_W so far of a window chosen by itself (docs/statistics.md §5), keyed by span.
    `changed_at`: the time of the first row since which the champion's loss has been above its bound (0: it is not, or nobody looked).
    `gates_digest` names the gates and slices that judge the result. `champion_result` is the blob of the champion's own RunResult.
    With a `candidate` nothing is fitted: that artifact (version `candidate_version`, result `prior`) is judged again, by the gates of `declaration`,
    and on newer rows, or, where `known_until` is not 0, on those that were known by then and have judged it before.
    `unread` says of data sets of suites why their cases cannot be read as the source is now: they are not in `datasets`, whatever was read before.
    `look` counts the looks at enough evidence of a version, from 1: between them rows are added to it, and the level of its gates follows.
    `making` is the way (MAKING) it was asked for in, so that nothing that was made in a former one is taken for it; 0: before there were numbers.
    With `reproduces` the run of that id is made again, without what is remembered: `expected` is its result, `form` the one its version is served in.
    """

    model: str
    declaration: str
    code: str
    file: str
    version_digest: str
    policy_digest: str
    datasets: dict[str, str]
    as_of: Instant
    champion: str = ""
    champion_version: str = ""
    parameters: dict[str, int | float | str | bool] = {}
    trials: int = 0
    seed: int = 0
    window_scores: dict[str, float] = {}
    changed_at: Instant = 0
    candidate: ManifestHash = ""
    candidate_version: str = ""
    prior: ResultHash = ""
    gates_digest: str = ""
    champion_result: ResultHash = ""
    reproduces: str = ""
    expected: ResultHash = ""
    form: str = ""
    known_until: Instant = 0
    unread: dict[str, str] = {}
    look: int = 1
    making: int = 0


class Trial(Record, frozen=True):
    """One point of a search. `state`: complete, pruned (its reports were below the others' median), failed (`why` says how), stopped (it would have
    taken the time that the run needs for its own fits).

    `value` is the objective on the validation slice and `reports` what fit reported by step, both turned so that higher is better (an error is
    negative); None where there is none. `seconds` is wall time, `cpu_s` CPU time: 0 where an equal point was tried before.
    """

    number: int
    parameters: dict[str, int | float | str | bool]
    state: str
    value: float | None = None
    seconds: float = 0.0
    cpu_s: float = 0.0
    why: str = ""
    reports: dict[int, float] = {}


class CasesOf(Record, frozen=True):
    """Whose cases a suite's answers are: the data set's name, a digest of its declared source, and its content when it was asked."""

    data: str
    source: str
    content: str = ""


class RunResult(Record, frozen=True):
    """What a succeeded run gives. `artifact` is the manifest's blob hash, `evidence` the hold-out frame's (Parquet).

    `fit_digest` names what was learned, however it is packed (empty in a rehearsal, which packs nothing).

    `metrics` and `baseline` are on the hold-out (`champion` too, where there is one); `by_slice` is keyed `column=value`.
    `measured` are numbers beside the hold-out, by metric (docs/metrics.md), `unmeasured` why one of them is missing; `report` is the blob of the
    Report they come from. `reference`: that of drift; `expected`: what estimates without labels rest on (`records/unlabelled.py`). `suites`: the candidate's answers to the cases of each (Parquet); none of those that could not be asked; `suites_of`: of which data set
    they are. `notes` are for a person: what the run wants said. `history` are the trials of its search, `logged` what fit logged by
    `run.log`. `loss_bound` is m₀ of the sequential detector (docs/statistics.md §3), `page_bound` and `page_swing` are m₀ and φ of the one that wakes people
    (0: as `loss_bound`), `window` the span of data chosen
    (0: rows whatever their time).
    """

    artifact: ManifestHash
    signature: Signature
    parameters: dict[str, int | float | str | bool]
    window: Span
    rows: int
    holdout_rows: int
    metrics: dict[str, Estimate]
    baseline: dict[str, Estimate]
    champion: dict[str, Estimate] = {}
    by_slice: dict[str, dict[str, Estimate]] = {}
    verdicts: tuple[Verdict, ...] = ()
    loss_bound: float = 1.0
    loss_cap: float = 1.0
    page_bound: float = 0.0
    page_swing: float = 1.0
    fit_digest: str = ""
    evidence: BlobHash = ""
    suites: dict[str, BlobHash] = {}
    suites_of: dict[str, CasesOf] = {}
    reference: BlobHash = ""
    expected: BlobHash = ""
    cpu_s: float = 0.0
    fit_s: float = 0.0
    trials: int = 0
    window_scores: dict[str, float] = {}
    measured: dict[str, Estimate] = {}
    unmeasured: dict[str, str] = {}
    report: BlobHash = ""
    notes: tuple[str, ...] = ()
    history: tuple[Trial, ...] = ()
    logged: dict[str, float] = {}
    environment: Environment | None = None
    reproduction: Reproduction | None = None
    cost: Cost | None = None

    @property
    def wakes_at(self) -> float:
        """m₀ of the detector that wakes people."""
        return self.page_bound or self.loss_bound

    @property
    def taken(self) -> str:
        """Which rows it learned from, for people: `of the last 60d`, or all of them where no time splits."""
        return f"of the last {self.window}" if self.window else "whatever their time"

    @property
    def whole_cpu_s(self) -> float:
        """CPU seconds of the whole run with all its processes; of this record's own process where nobody measured the others."""
        return self.cpu_s if self.cost is None else self.cost.cpu_s


class RunState(StrEnum):
    """States of a job (docs/architecture.md)."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


class RunQueued(Event, frozen=True, tag="run.queued"):
    """A run is wanted; `spec` is the blob of its RunSpec. What it reads is told here too: the declaration, by its blob and its version digest,
    the data sets by their contents, and rows known by `as_of`. Of a judging, also the version that is judged, and by which gates.
    """

    run: str
    model: str
    trigger: Trigger
    reason: str
    spec: BlobHash
    release: bool = True
    declaration: BlobHash = ""
    version_digest: str = ""
    data: dict[str, str] = {}
    as_of: Instant = 0
    candidate_version: str = ""
    gates_digest: str = ""
    commit: str = ""
    """The Git commit of its code, with `-dirty` where the code is otherwise there; empty: not known."""


class RunStarted(Event, frozen=True, tag="run.running"):
    """Attempt `attempt` of a run was seen running."""

    run: str
    attempt: int


class RunSucceeded(Event, frozen=True, tag="run.succeeded"):
    """A run ended with a verified result; `result` is the blob of its RunResult. `version` is set where an earlier one is the same, `cpu_s` to the CPU
    seconds of its processes, where they are known.
    """

    run: str
    result: ResultHash
    version: str = ""
    cpu_s: float | None = None


class RunFailed(Event, frozen=True, tag="run.failed"):
    """A run ended without a result. `code` is one of docs/errors.md; empty: told before runs had codes."""

    run: str
    why: str
    code: str = ""
    cpu_s: float | None = None


class RunCancelled(Event, frozen=True, tag="run.cancelled"):
    """A person cancelled a run."""

    run: str
    reason: str


class RunLost(Event, frozen=True, tag="run.lost"):
    """A run's process vanished without an exit file; it is queued again, three attempts at most."""

    run: str
    attempt: int


class RunRow(Record, frozen=True):
    """A run as it stands."""

    run: str
    model: str
    trigger: Trigger
    reason: str
    spec: BlobHash
    release: bool
    state: RunState
    queued_at: Instant
    attempt: int = 0
    result: ResultHash = ""
    why: str = ""
    ended_at: Instant = 0
    version: str = ""
    by: str = ""
    """Who asked for it."""
    declared_by: tuple[str, ...] = ()
    """Who declared what was trained."""
    declaration: BlobHash = ""
    version_digest: str = ""
    data: dict[str, str] = {}
    as_of: Instant = 0
    code: str = ""
    """Why it failed, as a code of docs/errors.md."""
    cpu_s: float | None = None
    """CPU seconds of its processes; None where that is not known: it was cancelled, an attempt vanished, or nobody counted yet."""
    after: str = ""
    """The model's last run before it; of a reproduction it is its last again when this one has ended."""
    judges: str = ""
    """Which version it judges again; empty: it trains."""
    commit: str = ""
    """The Git commit of its code; see RunQueued."""


RUNS = Table("run", RunRow)
"""Keyed by run id (ids sort by time)."""

MODEL_RUNS = Table("model_run", RunRow)
"""The same rows, keyed by `model/run`: what a model's runs have cost must not cost a look at the runs of all others."""


def put_run(projection: Projection, row: RunRow) -> None:
    """Write a run's row where each of the two tables has it."""
    projection.put(RUNS, row.run, row)
    projection.put(MODEL_RUNS, f"{row.model}/{row.run}", row)


EVENTS = (RunQueued, RunStarted, RunSucceeded, RunFailed, RunCancelled, RunLost)
