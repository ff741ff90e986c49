"""The typed commands that declare, observe and train, and how each is decided. Every face and the loop itself make these same commands.

A `decide_…` is pure: it reads the state it is given (inside the write transaction) and returns events or a refusal. Whatever
takes time (statistics, fits, hashing) was done before and comes in as values or blob hashes.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyball.clock import Instant
from flyball.data.erasures import standing
from flyball.data.rules import is_news
from flyball.ledger.bounds import clipped
from flyball.loop.proposals import settle
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.data import DATASETS, DataCommitted, DataRefused
from flyball.records.declarations import (
    DECLARATIONS,
    IDLE,
    IDLE_KEY,
    LOOP_FILES,
    DeclarationApplied,
    DeclarationHealed,
    DeclarationIdle,
    DeclarationRefused,
    DeclarationRow,
    IdleRow,
)
from flyball.records.models import Signature
from flyball.records.training import (
    NO_ATTEMPTS,
    RUNS,
    RunCancelled,
    RunFailed,
    RunLost,
    RunQueued,
    RunResult,
    RunRow,
    RunSpec,
    RunStarted,
    RunState,
    RunSucceeded,
    Trigger,
)
from flyball.records.versions import MODELS, VERSIONS, VersionRow, VersionState
from flyball.registry import approvals
from flyball.registry import rules as registry
from flyball.registry.states import RELEASED

MAX_ATTEMPTS = 3


class Apply(Record, frozen=True):
    """Make these declarations the ones in effect, and note the loop files that could not be read: all there are in the project."""

    id: str
    actor: str
    models: tuple[DeclarationApplied, ...]
    broken: tuple[DeclarationRefused, ...] = ()
    idle: DeclarationIdle | None = None
    """What is declared and used by no model; None where nobody can tell."""


def decide_apply(state: State, command: Apply, _now: Instant) -> Sequence[Event]:
    """Only what differs from the state is recorded. A broken file changes nothing of its own models."""
    events: list[Event] = [each for each in command.models if changes(state.get(DECLARATIONS, each.model), each)]
    for broken in command.broken:
        row_broken = state.get(LOOP_FILES, broken.file)
        if row_broken is None or (row_broken.digest, row_broken.problems) != (broken.digest, broken.problems):
            events.append(broken)
    still = {broken.file for broken in command.broken}
    events += [DeclarationHealed(file=file) for file, _ in state.scan(LOOP_FILES) if file not in still]
    known = state.get(IDLE, IDLE_KEY) or IdleRow(names=())
    if command.idle is not None and (known.names, known.unlisted) != (command.idle.names, command.idle.unlisted):
        events.append(command.idle)
    return events


def changes(row: DeclarationRow | None, declared: DeclarationApplied) -> tuple[str, ...]:
    """What of a declaration differs from the one in effect: "new", or those of "version", "policy", "file", "code" that changed.

    Code alone is a comment, or what no digest counts: the next version is packed with it, nothing is trained because of it.
    """
    if row is None:
        return ("new",)
    parts = {
        "version": row.version_digest != declared.version_digest,
        "policy": row.policy_digest != declared.policy_digest,
        "file": row.file != declared.file,
        "code": row.code != declared.code,
    }
    return tuple(name for name, differs in parts.items() if differs)


class Commit(Record, frozen=True):
    """A data set's source was read: it holds its contract or it does not."""

    id: str
    actor: str
    found: DataCommitted | DataRefused


def decide_commit(state: State, command: Commit, _now: Instant) -> Sequence[Event]:
    """A version that is already the head, or a refusal already known, changes nothing; nor does what was read before somebody's erasure."""
    found = command.found
    name = found.version.name if isinstance(found, DataCommitted) else found.name
    if isinstance(found, DataCommitted) and standing(state, name)[1] > found.version.erasure:
        return ()
    return (found,) if is_news(state.get(DATASETS, name), found) else ()


class Train(Record, frozen=True):
    """Start a run. `spec` is the blob of `what`, `commit` the Git commit of its code, where it is known."""

    id: str
    actor: str
    run: str
    model: str
    trigger: Trigger
    reason: str
    spec: str
    what: RunSpec
    release: bool
    commit: str = ""


def active_run(state: State, model: str) -> RunRow | None:
    """The model's run that is queued or running, if there is one."""
    row = state.get(MODELS, model)
    run = state.get(RUNS, row.last_run) if row and row.last_run else None
    return run if run is not None and run.state in (RunState.QUEUED, RunState.RUNNING) else None


def decide_train(state: State, command: Train, _now: Instant) -> Sequence[Event] | Refusal:
    """One run of a model at a time: a trigger that comes while one runs is already being answered."""
    running = active_run(state, command.model)
    if running is not None:
        if command.trigger not in ("manual", "reproduction"):
            return ()
        doing = _doing(running, command.what)
        return Refusal(
            code="busy",
            what=f"{command.model} is being {doing} ({running.run})",
            why="one run of a model at a time",
            fix=f"wait until it has ended (flyball runs show {running.run}), or end it: flyball runs cancel {running.run}",
        )
    if state.get(DECLARATIONS, command.model) is None:
        return Refusal(code="not-found", what=f'no model "{command.model}" is declared', fix="flyball apply")
    queued = RunQueued(
        run=command.run,
        model=command.model,
        trigger=command.trigger,
        reason=command.reason,
        spec=command.spec,
        release=command.release,
        declaration=command.what.declaration,
        version_digest=command.what.version_digest,
        data=command.what.datasets,
        as_of=command.what.as_of,
        candidate_version=command.what.candidate_version,
        gates_digest=command.what.gates_digest if command.what.candidate else "",
        commit=command.commit,
    )
    return (queued, *settle(state, command.model, "train", "accepted", f"{command.run} is started by {command.actor}"))


def answers(running: RunRow, version_digest: str) -> bool:
    """Whether a run under way makes what a person asks for who wants the model of this version digest trained."""
    return running.trigger not in NO_ATTEMPTS and running.version_digest == version_digest


def _doing(running: RunRow, wanted: RunSpec) -> str:
    if running.trigger == "reproduction":
        return "made again"
    if running.judges:
        return f"judged again as {running.judges}"
    return "trained already" if answers(running, wanted.version_digest) else "trained as it was declared before"


class ObserveRun(Record, frozen=True):
    """What was seen of a run's attempt."""

    id: str
    actor: str
    run: str
    attempt: int
    seen: str
    why: str = ""
    code: str = ""
    cpu_s: float | None = None


def decide_observe_run(state: State, command: ObserveRun, _now: Instant) -> Sequence[Event]:
    """Running, failed, or lost; a run lost for the third time has failed."""
    row = state.get(RUNS, command.run)
    if row is None or row.state not in (RunState.QUEUED, RunState.RUNNING):
        return ()
    if command.seen == "running":
        started = row.state == RunState.RUNNING and row.attempt == command.attempt
        return () if started else (RunStarted(run=row.run, attempt=command.attempt),)
    if command.seen == "lost":
        lost = RunLost(run=row.run, attempt=command.attempt)
        if command.attempt < MAX_ATTEMPTS:
            return (lost,)
        return (lost, RunFailed(run=row.run, why=f"its process vanished {MAX_ATTEMPTS} times", code="run-vanished"))
    # an error of the user's own code may be of any length
    return (
        RunFailed(run=row.run, why=clipped(command.why) or "no reason was left", code=command.code or "run-failed", cpu_s=command.cpu_s),
    )


class CancelRun(Record, frozen=True):
    """Stop a run."""

    id: str
    actor: str
    run: str
    reason: str


def decide_cancel_run(state: State, command: CancelRun, _now: Instant) -> Sequence[Event] | Refusal:
    """Only a run that has not ended can be cancelled."""
    row = state.get(RUNS, command.run)
    if row is None:
        return Refusal(code="not-found", what=f'no run "{command.run}"', fix="flyball runs list shows them")
    if row.state not in (RunState.QUEUED, RunState.RUNNING):
        return Refusal(code="conflict", what=f"{row.run} has ended: {row.state.value}")
    return (RunCancelled(run=row.run, reason=command.reason),)


class Register(Record, frozen=True):
    """A run succeeded: give its result a version and judge it. `result` is the blob of `what`."""

    id: str
    actor: str
    run: str
    result: str
    what: RunResult
    spec: RunSpec
    champion_signature: Signature | None
    cpu_s: float | None = None
    features_digest: str = ""
    newest_signature: Signature | None = None


def decide_register(state: State, command: Register, now: Instant) -> Sequence[Event]:
    """Succeeded, registered, judged: one transaction, so that no version is without its verdicts."""
    row = state.get(RUNS, command.run)
    if row is None or row.state not in (RunState.QUEUED, RunState.RUNNING):
        return ()
    model = state.get(MODELS, row.model)
    if command.spec.reproduces:
        # it answers a question, and makes no version: what it made is that version, or is none that was judged
        return (RunSucceeded(run=row.run, result=command.result, cpu_s=command.cpu_s),)
    if command.spec.candidate:
        succeeded = RunSucceeded(run=row.run, result=command.result, cpu_s=command.cpu_s, version=command.spec.candidate_version)
        return (succeeded, *_judged_again(state, row.model, command, now))
    same = _same_version(state, row, command)
    if same is not None:
        # what was learned before would be released anew under a new number, also after a rollback took it back
        succeeded = RunSucceeded(run=row.run, result=command.result, cpu_s=command.cpu_s, version=same.version)
        return (succeeded, *_made_again(same, command, now))
    newest = state.get(VERSIONS, f"{row.model}/{model.newest}") if model else None
    version = registry.next_version(
        newest.version if newest else "",
        command.champion_signature,
        command.what.signature,
        repackaged=newest is not None and registry.same_training(newest, command.what, command.spec.version_digest),
        champion=model.champion if model is not None else "",
        latest=command.newest_signature,
    )
    registered = registry.register(
        model=row.model,
        version=version,
        run=row.run,
        result_blob=command.result,
        result=command.what,
        data=command.spec.datasets,
        version_digest=command.spec.version_digest,
        policy_digest=command.spec.policy_digest,
        gates_digest=command.spec.gates_digest,
        features_digest=command.features_digest,
        commit=row.commit,
    )
    judged = registry.judge(row.model, version, command.what.verdicts, against=command.spec.champion_version)
    return (RunSucceeded(run=row.run, result=command.result, cpu_s=command.cpu_s), registered, judged)


def _made_again(same: VersionRow, command: Register, now: Instant) -> Sequence[Event]:
    """The verdict of a run on the version that it made again: what its gates say now counts, whatever they said before.

    Of the champion itself its own run says nothing, for it was compared with itself; one that was rejected, or is out of everything, stays so.
    """
    digest, released = command.spec.gates_digest, same.state in RELEASED
    judged = same.state in (VersionState.HELD, VersionState.ELIGIBLE) or (released and command.spec.champion_version != same.version)
    known = same.state != VersionState.HELD and (same.result, same.gates_digest) == (command.result, digest)
    if not judged or known:
        return ()
    verdicts = approvals.lifted(same, command.what.verdicts, digest, now)
    against = command.spec.champion_version
    return (registry.judge(same.model, same.version, verdicts, command.result, digest, released=released, against=against),)


def _same_version(state: State, run: RunRow, command: Register) -> VersionRow | None:
    """The version that a run made again. Packed otherwise it is another one only where a person asked: the loop has learned nothing new. What a
    person said no to, or took out of everything, gets no other name by another packing either, nor once it is deleted; what was taken back by a
    roll-back and then deleted gets none for the same bytes.
    """
    what, digest = command.what, command.spec.version_digest
    for _, row in state.scan(VERSIONS, f"{run.model}/"):
        deleted = row.state == VersionState.DELETED
        out = row.state == VersionState.QUARANTINED or (deleted and bool(row.quarantined)) or bool(approvals.denied(row))
        again = (run.trigger != "manual" or out) and registry.same_training(row, what, digest)
        # what other gates rejected gets a number of its own, if these let it pass: a rejected version stays one, and a person's no stands
        by_others = row.state == VersionState.REJECTED and registry.judged_otherwise(row, command.spec.gates_digest)
        over = by_others and not approvals.denied(row)
        forgotten = deleted and not out and not row.taken_back
        if not forgotten and not over and (row.artifact == what.artifact or again):
            return row
    return None


def _judged_again(state: State, model: str, command: Register, now: Instant) -> Sequence[Event]:
    """The verdict on a version that is still held, that was judged by other gates, or that a person let go on, by a waiver, while its newer rows were
    looked at; any other one needs none.

    One that was released stays what it is: its row says what the gates make of it.
    """
    version = state.get(VERSIONS, f"{model}/{command.spec.candidate_version}")
    if version is None:
        return ()
    digest = command.spec.gates_digest or version.gates_digest
    released = version.state in RELEASED
    by_others = digest != version.gates_digest and (released or version.state in (VersionState.ELIGIBLE, VersionState.REJECTED))
    on_its_way = command.spec.prior == version.result and (released or version.state == VersionState.ELIGIBLE)
    if version.state != VersionState.HELD and not by_others and not on_its_way:
        return ()
    # what a person said stays said while the gates are the same
    verdicts = approvals.lifted(version, command.what.verdicts, digest, now)
    against = command.spec.champion_version
    return (registry.judge(model, version.version, verdicts, command.result, digest, released=released, against=against),)
