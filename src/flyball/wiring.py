"""The only place that picks backends: SQLite or PostgreSQL, local blobs, local jobs, the log on disk, routes as files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from flyball.clock import Clock, Instant, Span, SystemClock
from flyball.compute.local import LocalCompute
from flyball.data.erasures import Erasures, present
from flyball.declare.project import Project, find_project, read_project
from flyball.declare.units import Money, money
from flyball.errors import FlyballError
from flyball.governance.authority import LOOP, Caller
from flyball.ledger.ledger import SqlLedger, error_of
from flyball.loop import bringing
from flyball.loop.authority import Authorised, Drive, permit
from flyball.loop.deadloop import Outage
from flyball.loop.folds import FOLDS
from flyball.loop.library import BlobLibrary
from flyball.loop.live import FencedLedger, LiveCounts, LiveData, LiveRuns
from flyball.loop.live_before import EarlierEnvironment
from flyball.loop.live_online import LiveViews
from flyball.loop.live_outbox import LiveOutbox
from flyball.loop.live_probe import LiveProbe
from flyball.loop.local import admitted, holder, local_caller, local_secret
from flyball.loop.lookup import declared
from flyball.loop.online import Rows
from flyball.loop.ports import Command, Ports
from flyball.loop.proving import sign_versions
from flyball.loop.reading import SCRATCH, Reader, reader_of, sweep_reads
from flyball.loop.revision import commit_of
from flyball.loop.sharing import keep_apart, record_of
from flyball.loop.usage import WorkerUsage
from flyball.records.data import DATASETS, ERASURES
from flyball.records.serving import EPOCHS, RouteTable
from flyball.serving.heard import listened
from flyball.serving.layout import Layout, read_json, state_folder, write_private
from flyball.serving.proofs import unproven
from flyball.serving.routes import FileRoutes
from flyball.serving.whole import require_whole
from flyball.settings import Settings, read_settings
from flyball.store.blobs import LocalBlobs
from flyball.store.operational import Operational
from flyball.store.sql import Database, exists
from flyball.training.job import Costs

if TYPE_CHECKING:
    import polars as pl

    from flyball.data.additions import Apart
    from flyball.data.against import Against
    from flyball.data.sources.pushed import PushedRows
    from flyball.declare.data import Dataset
    from flyball.ledger.anchors import Anchor
    from flyball.ledger.note import Signer
    from flyball.loop.checkpointing import Checkpointing
    from flyball.loop.complained import Answers
    from flyball.loop.delivering import Delivering
    from flyball.loop.eraser import Subjects
    from flyball.loop.estimating import Estimating
    from flyball.loop.feedback import Feedback
    from flyball.loop.graphs import Graphs
    from flyball.loop.outcomes import Outcomes
    from flyball.loop.outside import Outside
    from flyball.loop.verifier import Verifier
    from flyball.loop.verifying import Verifying
    from flyball.serving.vectorlog import VectorLog
    from flyball.store.online import OnlineStore

TOKEN_VARIABLE = "FLYBALL_TOKEN"  # noqa: S105 - the name of the variable
"""The environment variable with the secret of a token: what this process does, its holder does. Read here alone, and no setting."""

KEYS_FOLDER = "keys"


@dataclass(frozen=True)
class Wired:
    """A project opened for work."""

    root: Path
    settings: Settings
    layout: Layout
    database: Database
    ports: Ports
    ledger: SqlLedger
    blobs: LocalBlobs
    identify: Callable[[], Caller]
    subjects: Callable[[], Subjects]
    against: Callable[[], Against]
    reader: Reader

    @property
    def caller(self) -> Caller:
        """Who acts here: flyball itself in the control plane, else the holder of FLYBALL_TOKEN, else the local user.

        Raises Unauthenticated, Refused.
        """
        return self.identify()

    def acting(self, caller: Caller) -> Ports:
        """The ports with a ledger that carries out what `caller` may give."""
        return replace(self.ports, ledger=Authorised(self.ledger, lambda: caller, partial(require_whole, self.layout)))

    def permit(self, kind: Callable[..., Command]) -> None:
        """Raise Refused where the caller may not give a command of this kind, whatever would be in it."""
        if not self.caller.is_loop:
            permit(self.caller, kind(id="", actor=self.caller.actor), self.ledger.state)

    def driving(self) -> Ports:
        """The ports as flyball itself, for a piece of the loop's work in this process. Raises Refused for a caller who may not set it going."""
        self.permit(Drive)
        return self.acting(LOOP)

    def take_over(self, caller: Caller, model: str, version: str, command: str = "") -> None:
        """Where versions come from another environment, take one over that is to be released, as it stands there, signed at once as the loop would.

        command: the id of the release; where it was given before, nothing is left to do. Raises what would refuse the release, Refused for a version
        that was not tried there, or a caller who may not, NotFound, Unavailable.
        """
        if self.ports.before is None or (command and self.ledger.knows(command)):
            return
        refused = bringing.take_over(self.acting(caller), declared(self.ports, model), version, caller)
        sign_versions(self.acting(LOOP))
        if refused is not None:
            raise error_of(refused)

    def anchors(self) -> tuple[Anchor, ...]:
        """Where checkpoints are kept outside. Raises BadInput for a setting that names no such place."""
        from flyball.ledger.anchors import anchors

        return anchors(self.settings.anchor_file, self.settings.anchor_url, self.root)

    def checkpointing(self) -> Checkpointing:
        """What signs checkpoints and gives them to the anchors. Raises BadInput."""
        from flyball.loop.checkpointing import Checkpointing

        age = Span(self.settings.checkpoint_s * 1_000_000)
        return Checkpointing(self.ledger, self.ports.memory, self.anchors(), events=self.settings.checkpoint_events, age=age)

    def delivering(self, *, stays: bool = False) -> Delivering:
        """What brings messages to their routes; `stays`: in a process that goes on."""
        from flyball.loop.delivering import Delivering

        return Delivering(self.ports.memory, stays=stays)

    @cached_property
    def graphs(self) -> Graphs:
        """The lineage that this process was asked for."""
        from flyball.loop.graphs import Graphs

        return Graphs(self.ports.library)

    def vectors(self) -> VectorLog:
        """What views gave, as the prediction log has it."""
        from flyball.serving.sealer import unseal
        from flyball.serving.vectorlog import VectorLog

        return VectorLog(self.layout.log, lambda: self.subjects().segments(), lambda row: unseal(self.blobs.get(row.parquet_sha256)))

    def verifier(self) -> Verifier:
        """What judges these by the data set versions that there are now."""
        from flyball.data.sources.pushed import segments
        from flyball.loop.verifier import Verifier

        def pushed(name: str) -> int:
            return segments(self.layout.push, name).end()

        return Verifier(self.ledger.state(), self.ports.library, self.blobs, lambda name: self.subjects().erasures(name), pushed)

    def verifying(self) -> Verifying:
        """What verifies served features beside the loop."""
        from flyball.loop.verifying import Verifying

        every = Span(self.settings.verify_s * 1_000_000)
        return Verifying(self.vectors(), self.verifier, self.layout.metrics("features"), every=every)

    def elsewhere(self) -> Outside:
        """What is done beside the loop for models that are served elsewhere: their folders are read, and it is learnt what is normal for them."""
        from flyball.loop.outside import outside

        return outside(self.layout.log, self.blobs, lambda: self.subjects().segments(), partial(_lies, self.ledger))

    def estimating(self) -> Estimating:
        """What estimates performance without labels beside the loop."""
        from flyball.loop.estimating import Estimating

        return Estimating(self.layout.log, self.blobs.root, lambda: self.subjects().segments(), on=bool(self.settings.estimate))

    def outcomes(self) -> Outcomes:
        """What counts business outcomes beside the loop."""
        from flyball.loop.outcomes import Outcomes

        return Outcomes(self.layout.log, self.blobs.root, self.layout.id_key, lambda: self.subjects().segments())

    def feedback(self) -> Feedback:
        """What looks for the model's own answers in what versions learned from."""
        from flyball.loop.feedback import Feedback

        return Feedback(self.layout.log, self.blobs.root, lambda: self.subjects().segments())

    def answers(self) -> Answers:
        """Where the answer that somebody complains of is found."""
        from flyball.loop.complained import Answers

        return Answers.of(self.layout.log, self.blobs, self.subjects())

    def online(self) -> OnlineStore:
        """Where values of feature views are. Raises BadInput."""
        return online_store(self.settings, self.layout)

    @property
    def rows(self) -> Rows:
        """Where rows for the online store come from."""
        return _rows(self.blobs, self.layout)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def has_ledger(root: Path, env: str = "") -> bool:
    """Whether there is anything to read where the project at `root` keeps its ledger. Makes nothing. Raises DeclarationError, BadInput, Unavailable."""
    settings = read_settings(read_project(root, env).settings, os.environ)
    return exists(record_of(root, env, settings), base=root)


def open_project(start: Path, env: str = "", *, claim: bool = False, clock: Clock | None = None) -> Wired:
    """Open the project that `start` is in, in one of its environments; `claim` makes this process the one whose loop commands count.

    Raises NotFound (no project, no such environment), BadInput (a setting), DeclarationError (a record that is another's too), Unavailable (the store).
    """
    project = read_project(root := find_project(start), env)
    settings = _settings(project)
    folder, clock = state_folder(root, env), clock or SystemClock()
    reader = reader_of(project, settings, folder)
    layout = Layout(folder)
    layout.prepare()
    database = Database.open(record_of(root, env, settings), base=root)
    ledger = _ledger(database, clock, claim=claim)
    blobs, lies = LocalBlobs(folder / "blobs"), partial(_lies, ledger)
    identify, admit = (
        lru_cache(maxsize=1)(partial(_caller, local, ledger, folder / KEYS_FOLDER, settings, clock, claim=claim))
        for local in (local_caller, admitted)
    )
    library = BlobLibrary(blobs, rehearses=project.is_followed)
    subjects = lru_cache(maxsize=1)(partial(_subjects, ledger, library, folder / KEYS_FOLDER))
    if claim:
        _give_local_token(ledger, folder / KEYS_FOLDER, settings, clock)
        _sweep(ledger, blobs, layout)
    against = lru_cache(maxsize=1)(partial(_against, ledger, clock, lies))
    routes = FileRoutes(folder, own_environments=bool(settings.own_environments))
    ports = Ports(
        clock=clock,
        ledger=Authorised(ledger, admit, partial(require_whole, layout)),
        memory=Operational(database),
        blobs=blobs,
        library=library,
        runs=LiveRuns(LocalCompute(folder / "jobs"), blobs, folder, lies, costs=_costs(settings)),
        data=LiveData(reader, blobs, clock.now, _every(settings), erasures=_erasures(subjects), against=against),
        evidence=LiveCounts(folder, blobs, lambda: subjects().segments()),
        routes=routes,
        signer=lru_cache(maxsize=1)(partial(_signer, folder / KEYS_FOLDER)),
        detector=bool(settings.detector),
        cpu_price=cpu_price(settings),
        views=_views(settings, layout, blobs, clock, claim=claim),
        environment=env,
        before=EarlierEnvironment(project.before, root, env, ledger, clock) if project.before else None,
        commit_of=partial(commit_of, root),
        outbox=LiveOutbox(project.routes, reader.secrets, clock.now),
        probe=LiveProbe(layout, blobs, partial(secret, root, env)) if claim and project.is_followed else None,
        **_own_processes(layout, claim=claim),
    )
    _known_to_serve_nothing(routes, ledger, clock, claim=claim)
    return Wired(
        root=root,
        settings=settings,
        layout=layout,
        database=database,
        ports=ports,
        ledger=ledger,
        blobs=blobs,
        identify=identify,
        subjects=subjects,
        against=against,
        reader=reader,
    )


class _OfProcesses(TypedDict):
    usage: WorkerUsage | None
    outage: Callable[[], Outage | None]
    heard: Callable[[], Sequence[tuple[Instant, Instant]]]


def _own_processes(layout: Layout, *, claim: bool) -> _OfProcesses:
    """What the control plane sees of the processes of its `up`."""
    return {
        "usage": WorkerUsage(layout.root) if claim else None,
        "outage": partial(_outage, layout),
        "heard": partial(listened, layout),
    }


def _outage(layout: Layout) -> Outage | None:
    """The last time that the supervisor saw no passes of the loop, if that is over."""
    told = read_json(layout.watchdog)
    if not isinstance(told, dict) or told.get("silent") or not told.get("ended"):
        return None
    began, ended, killed = (int(told[name]) for name in ("began", "ended", "killed"))
    return Outage(began, ended, killed, int(told.get("ends", 0)), bool(told.get("between")))


def _settings(project: Project) -> Settings:
    """The settings of a project, in a place of its own. Raises BadInput, DeclarationError."""
    settings = read_settings(project.settings, os.environ)
    if project.environments:
        keep_apart(project.root, project.env, settings)
    return settings


def _ledger(database: Database, clock: Clock, *, claim: bool) -> SqlLedger:
    if not claim:
        return SqlLedger(database, FOLDS, clock)
    fenced = FencedLedger(database, FOLDS, clock)
    fenced.fence = fenced.claim()
    return fenced


def online_store(settings: Settings, layout: Layout) -> OnlineStore:
    """Where values of feature views are. Raises BadInput for an address of no known kind."""
    from flyball.store.online_address import open_online

    return open_online(settings.online_url, layout.root, layout.project)


def _views(settings: Settings, layout: Layout, blobs: LocalBlobs, clock: Clock, *, claim: bool) -> LiveViews:
    if claim:
        # workers are told where values are; the address may hold a password
        write_private(layout.online, json.dumps({"url": settings.online_url}).encode())

    return LiveViews(partial(online_store, settings, layout), _rows(blobs, layout), clock, layout.views)


def _rows(blobs: LocalBlobs, layout: Layout) -> Rows:
    def pushed(dataset: Dataset, after: int) -> PushedRows:
        from flyball.data.sources.pushed import pushed_since

        return pushed_since(dataset, after, layout.push)

    def apart(before: str, after: str, columns: Sequence[str], time: str, most: int) -> Apart | None:
        from flyball.data.additions import apart

        return apart(before, after, columns, time, most, blobs)

    return Rows(partial(_columns, blobs), pushed, apart)


def _columns(blobs: LocalBlobs, content: str, columns: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    from flyball.data.commit import scan
    from flyball.data.manifest import manifest

    # whoever needs one that is not there says so better
    there = {column.name for column in manifest(content, blobs).columns}
    return pl.concat(scan(content, blobs, [name for name in columns if name in there]))


def _known_to_serve_nothing(routes: FileRoutes, ledger: SqlLedger, clock: Clock, *, claim: bool) -> None:
    """Gateways that have no table answer that they do not know what is served; where nothing ever was, that is known."""
    if claim and not routes.models and ledger.state().get(EPOCHS, "routes") is None:
        routes.desire(RouteTable(epoch=0), clock.now(), unproven)


def _erasures(subjects: Callable[[], Subjects]) -> Callable[[str], Erasures]:
    return lambda name: subjects().erasures(name)


def _every(settings: Settings) -> Span:
    return Span(settings.reread_s * 1_000_000)


def _give_local_token(ledger: SqlLedger, keys: Path, settings: Settings, clock: Clock) -> None:
    """Whoever talks to the control plane from this machine finds a token; the loop itself works without."""
    with suppress(FlyballError):
        admitted(ledger, keys, clock, embedded=_embedded(settings))


def _subjects(ledger: SqlLedger, library: BlobLibrary, keys: Path) -> Subjects:
    # it takes data frames along, which most commands do without
    from flyball.loop.eraser import Subjects

    return Subjects(ledger, library, keys)


def cpu_price(settings: Settings) -> Money | None:
    """The price of an hour of CPU time; None where it is not set. Raises DeclarationError."""
    return money(settings.cpu_hour_price, "the setting cpu_hour_price") if settings.cpu_hour_price else None


def _costs(settings: Settings) -> Costs:
    cpu_price(settings)
    return Costs(at_once=settings.trials_at_once, watts=settings.cpu_watts, price=settings.cpu_hour_price)


def _lies(ledger: SqlLedger, name: str, content: str) -> str:
    return present(ledger.state(), name, content)


def _against(ledger: SqlLedger, clock: Clock, lies: Callable[[str, str], str]) -> Against:
    # it takes data frames along too
    from flyball.data.against import Against

    def content(name: str) -> str:
        row = ledger.state().get(DATASETS, name)
        return lies(name, row.head.content) if row is not None and row.head is not None else ""

    return Against(clock.now, content)


def _sweep(ledger: SqlLedger, blobs: LocalBlobs, layout: Layout) -> None:
    """Remove what a read or an erasure that was killed left behind. What cannot be removed now is removed another time."""
    sweep_reads(layout.root / SCRATCH)
    if not ledger.state().scan(ERASURES):
        return
    from flyball.loop.eraser import sweep

    with suppress(FlyballError, OSError):
        sweep(ledger.state(), blobs)


def _caller(local: Callable[..., Caller], ledger: SqlLedger, keys: Path, settings: Settings, clock: Clock, *, claim: bool) -> Caller:
    if claim:
        return LOOP
    given = os.environ.get(TOKEN_VARIABLE, "")
    return holder(ledger, given, clock) if given else local(ledger, keys, clock, embedded=_embedded(settings))


def secret(root: Path, env: str = "") -> str:
    """What this process shows a gateway: FLYBALL_TOKEN, else the secret of the local user. Raises Refused, Unavailable."""
    return os.environ.get(TOKEN_VARIABLE, "") or local_secret(state_folder(root, env) / KEYS_FOLDER)


def _embedded(settings: Settings) -> bool:
    """Whether the ledger is a file of this machine, which its user could write without asking."""
    return not settings.database_url or settings.database_url.startswith("sqlite:")


def _signer(folder: Path) -> Signer:
    # cryptography takes a while to import, and most commands sign nothing
    from flyball.ledger.keys import signer

    return signer(folder)
