"""One pass of the loop: observe, absorb evidence, then advance each model. Idempotent: a crash anywhere is healed by the next pass.

Nothing is remembered between passes but what the ledger and the operational memory hold, so any scheduler may call `tick`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from flyball.clock import Instant
from flyball.data import manifest
from flyball.data.erasures import standing
from flyball.data.rules import is_form
from flyball.data.sources.access import Killed
from flyball.declare.codec import features_digest
from flyball.declare.data import Dataset
from flyball.declare.reads import looked_at
from flyball.errors import Corrupt, FlyballError, NotFound, Unavailable
from flyball.ledger.erasurecheck import held, places
from flyball.loop import deadloop, freshness
from flyball.loop import memory as memories
from flyball.loop.advance import advance
from flyball.loop.carrying import away, follow
from flyball.loop.commands import Commit, ObserveRun, Register, active_run, decide_commit, decide_observe_run, decide_register
from flyball.loop.delivering import tell, tell_project
from flyball.loop.elsewhere import answers_elsewhere, note_seen, predictions, readable
from flyball.loop.integration import try_champion
from flyball.loop.lookup import active_rollout
from flyball.loop.memory import Memories
from flyball.loop.normal import raise_bound
from flyball.loop.online import wanted
from flyball.loop.ports import Ports
from flyball.loop.proving import proof, sign_versions
from flyball.loop.releases import AcknowledgeRoutes, decide_acknowledge
from flyball.loop.together import peers_of
from flyball.loop.watch import declared, watch
from flyball.monitoring.heard import hear
from flyball.monitoring.usage import metered
from flyball.records.base import State
from flyball.records.data import DATASETS, LOG, DataCommitted, DataRefused
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.evidence import Batch, Watch
from flyball.records.models import Signature
from flyball.records.serving import EPOCHS, ROUTES, EpochRow, ModelRoute, RouteTable
from flyball.records.training import RunRow, RunState
from flyball.records.versions import MODELS, VERSIONS, VersionRow
from flyball.rollout.routes import whole

ACTOR = "loop"

LOST = ("fenced", "folds-changed")
"""Codes of a Conflict after which nothing of this process counts any more."""


def tick(now: Instant, ports: Ports, looked: Callable[[], None] = lambda: None) -> Instant:
    """Do everything that is due; return the earliest time at which anything can be due again. looked: called when the models have had their
    turns, unless each of them failed: a pass without it has watched nobody.

    What goes wrong with one model is raised after the others have had their turn.
    """
    state = ports.ledger.state()
    declared = [row for _, row in state.scan(DECLARATIONS)]
    failed: list[FlyballError] = []
    observe_data(ports, state, declared, failed)
    keep_views(ports)
    # before what is new is signed
    observe_environments(ports, declared, failed)
    observe_runs(ports, declared, failed)
    with one_models_own(failed):
        reconcile_routes(ports)
    kept = absorb(ports, now, failed)
    deadloop.observe(ports, now)
    tell_project(ports)
    due = []
    for row in declared:
        with one_models_own(failed):
            due.append(advance(ports, row.model, kept, now))
    if due or not declared:
        looked()
    tell_models(ports, declared, failed)
    with one_models_own(failed):
        reconcile_routes(ports)
    for row in declared if ports.probe is not None else ():
        with one_models_own(failed):
            try_champion(ports, ports.library.model(row.body))
    if failed:
        raise failed[0]
    return min(due, default=now + memories.IDLE)


def tell_models(ports: Ports, declared: list[DeclarationRow], failed: list[FlyballError]) -> None:
    """Queue what is to be said of each model, after all of them were looked at: what is behind several is said once."""
    if ports.outbox is None or not ports.outbox.routes.routes:
        return
    models = [model for row in declared if (model := readable(ports, row)) is not None]
    peers = peers_of(ports.ledger.state(), models)
    for model in models:
        with one_models_own(failed):
            tell(ports, model, peers)


@contextmanager
def one_models_own(failed: list[FlyballError] | None) -> Iterator[None]:
    """Keep an error that is one model's own in `failed`, for the end of the tick; raise what concerns all (without a list: any)."""
    try:
        yield
    except Unavailable as error:
        # the process that was ended read one model's source
        if failed is None or not isinstance(error, Killed):
            raise
        failed.append(error)
    except FlyballError as error:
        if failed is None or error.code in LOST:
            raise
        failed.append(error)


def observe_data(ports: Ports, state: State, declared: list[DeclarationRow], failed: list[FlyballError]) -> None:
    """Commit what has changed in the data sets' sources, each data set once, and note which have become stale or fresh again."""
    seen: set[str] = set()
    aging: dict[str, Dataset] = {}
    for row in declared:
        with one_models_own(failed):
            model = ports.library.model(row.body)
            for name, dataset in looked_at(model).items():
                if name not in seen and not is_form(model, dataset):
                    seen.add(name)
                    before = state.get(DATASETS, name)
                    if dataset.freshness is not None or (before is not None and before.stale_since):
                        aging[name] = dataset
                    with one_models_own(failed):
                        found = ports.data.refresh(dataset, before, row)
                        if isinstance(found, DataCommitted | DataRefused):
                            commit(ports, found)
    freshness.observe(ports, aging, ACTOR)


def observe_environments(ports: Ports, declared: list[DeclarationRow], failed: list[FlyballError]) -> None:
    """Take over what answers in the environment before this one and was tried there, when anything has happened there."""
    if ports.before is None:
        return
    due: list[str] = []
    # one that does not answer is asked once, and not for each model
    with one_models_own(failed), away():
        due = ports.before.due([row.model for row in declared])
    for model in due:
        with one_models_own(failed):
            follow(ports, model)
            ports.before.followed(model)


def keep_views(ports: Ports) -> None:
    """Have the online store hold what models read, as far as data sets are read by now. Nobody waits for it."""
    if ports.views is not None:
        ports.views.keep(wanted(ports.ledger.state(), ports.library))


def commit(ports: Ports, found: DataCommitted | DataRefused) -> None:
    """Record what a look at a source came to. What was read before an erasure that has come since is given up, and read again."""
    ports.ledger.execute(Commit(id=ports.clock.new_id("cmd"), actor=ACTOR, found=found), decide_commit)
    if isinstance(found, DataCommitted):
        state, version = ports.ledger.state(), found.version
        if standing(state, version.name)[1] > version.erasure and version.content not in held(state):
            manifest.drop([version.content], (content for name, content in places(state) if not name.startswith(LOG)), ports.blobs)


def observe_runs(ports: Ports, declared: list[DeclarationRow], failed: list[FlyballError] | None = None) -> None:
    """Start what is queued, look at what runs, register and sign what succeeded."""
    state = ports.ledger.state()
    active = [run for row in declared if (run := active_run(state, row.model)) is not None]
    ports.runs.keep([(row.run, row.attempt) for row in active])
    for row in active:
        with one_models_own(failed):
            observe_run(ports, state, row)
    with one_models_own(failed):
        sign_versions(ports)


def observe_run(ports: Ports, state: State, row: RunRow) -> None:
    """Start one run, or record what became of it."""
    attempt = row.attempt + 1 if row.state == RunState.QUEUED else row.attempt
    seen = ports.runs.observe(row.run, attempt)
    if seen.state == "absent":
        model = ports.library.model(ports.library.spec(row.spec).declaration)
        ports.runs.submit(row.run, attempt, row.spec, model)
        seen = ports.runs.observe(row.run, attempt)
    if seen.state == "succeeded":
        register(ports, state, row, seen.result, cpu_s=seen.cpu_s)
    elif seen.state != "absent":
        command = ObserveRun(
            id=ports.clock.new_id("cmd"),
            actor=ACTOR,
            run=row.run,
            attempt=attempt,
            seen=seen.state,
            why=seen.why,
            code=seen.code,
            cpu_s=seen.cpu_s,
        )
        ports.ledger.execute(command, decide_observe_run)


def register(ports: Ports, state: State, row: RunRow, result: str, *, cpu_s: float | None = None) -> None:
    """Give a succeeded run its version and its verdicts."""
    model = state.get(MODELS, row.model)
    champion = state.get(ROUTES, row.model)
    newest = state.get(VERSIONS, f"{row.model}/{model.newest}") if model is not None and model.newest else None
    signature = whole(champion.route, ports.library.signature).signature if champion is not None and newest is not None else None
    spec = ports.library.spec(row.spec)
    command = Register(
        id=ports.clock.new_id("cmd"),
        actor=ACTOR,
        run=row.run,
        result=result,
        what=ports.library.result(result),
        spec=spec,
        champion_signature=signature,
        cpu_s=cpu_s,
        features_digest=features_digest(ports.blobs.get(spec.declaration).decode()),
        newest_signature=_signature(ports, newest),
    )
    ports.ledger.execute(command, decide_register)


def _signature(ports: Ports, version: VersionRow | None) -> Signature | None:
    """What a version takes; None where that is not known any more."""
    if version is None or not version.artifact:
        return None
    try:
        return ports.library.signature(version.artifact)
    except (NotFound, Corrupt):
        return None


def reconcile_routes(ports: Ports) -> None:
    """Make the desired routes true, and record when every gateway has them. A model whose signature cannot be read keeps the route that it has; why is
    raised at the end.
    """
    failed: list[FlyballError] = []
    state = ports.ledger.state()
    epochs, elsewhere = state.get(EPOCHS, "routes"), predictions(ports, state)
    if epochs is None and not elsewhere:
        return
    epochs = epochs or EpochRow(desired=0, desired_at=ports.clock.now())
    models: dict[str, ModelRoute] = {}
    for key, row in state.scan(ROUTES):
        # without its signature it waits
        models[key] = row.route
        with one_models_own(failed):
            models[key] = whole(row.route, ports.library.signature)
    ports.routes.desire(RouteTable(epoch=epochs.desired, models=models, elsewhere=elsewhere), epochs.desired_at, partial(proof, state))
    status = ports.routes.status()
    if status.epoch and (status.epoch, status.waiting) != (epochs.in_force, epochs.waiting):
        command = AcknowledgeRoutes(
            id=ports.clock.new_id("cmd"),
            actor=ACTOR,
            epoch=status.epoch,
            ms=status.ms,
            processes=status.processes,
            waiting=status.waiting,
        )
        if decide_acknowledge(state, command, ports.clock.now()):
            ports.ledger.execute(command, decide_acknowledge)
    if failed:
        raise failed[0]


def absorb(ports: Ports, now: Instant, failed: list[FlyballError]) -> Memories:
    """Read new evidence into the operational counts, and save them with the cursor in one transaction.

    A model whose declaration cannot be read is counted by the one that was read last: its evidence does not wait for the file. Where none
    ever was, or its champion's result cannot be read, the model is not counted, and what was left out is noted as a gap.
    """
    state = ports.ledger.state()
    declarations = state.scan(DECLARATIONS)
    kept = memories.load(ports.memory).read_ahead([key for key, _ in declarations])
    kept = kept.with_heard(hear(kept.heard, ports.heard(), now))
    watches: dict[str, Watch] = {}
    answering = [row for key, row in declarations if state.get(ROUTES, key) is not None or answers_elsewhere(ports, state, row, kept)]
    for row in answering:
        with one_models_own(failed):
            kept = kept.with_declared(declared(ports.library.model(row.body)))
        own = kept.declared(row.model)
        if own is not None:
            with one_models_own(failed):
                watches[row.model] = watch(own, state, ports.library)
                state = raise_bound(ports, state, kept.monitor(row.model))
                kept = memories.synced(kept, row.model, state, ports.library, now)
    batch, cursor = ports.evidence.since(kept.cursor, now, watches)
    active = {row.model: active_rollout(state, row.model) for row in answering}
    for rollout in active.values():
        kept = kept.inherited(rollout, state) if rollout is not None else kept
    kept = kept.with_batch(batch, cursor, active, watches)
    # before the cursor is kept: a version that is seen and not noted would never be seen again
    kept = note_seen(ports, batch, kept, [model for model, watch in watches.items() if watch.patience])
    kept = meter(kept, ports, state, batch, now)
    memories.save(ports.memory, kept)
    return kept


def meter(kept: Memories, ports: Ports, state: State, batch: Batch, now: Instant) -> Memories:
    """Count what workers took beside what they scored."""
    readings = ports.usage.read(now) if ports.usage is not None else {}
    scored = {part.model for part in batch.traffic} if ports.usage is not None else set()
    for model in sorted(scored | readings.keys()):
        roles = state.get(MODELS, model)
        if roles is not None:
            usage = metered(kept.usage(model), readings.get(model, {}), batch.traffic, champion=roles.champion, now=now)
            kept = kept.with_usage(usage)
    return kept
