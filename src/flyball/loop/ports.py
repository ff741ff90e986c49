"""What the loop needs from the world. Live and backtest give the same ports; the tick cannot tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flyball.clock import Clock, Instant
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.routes import Routes as AlertRoutes
from flyball.declare.units import Money
from flyball.monitoring.usage import Reading
from flyball.records.base import Event, Receipt, Recorded, Refusal, State
from flyball.records.data import DatasetRow
from flyball.records.declarations import DeclarationRow
from flyball.records.deliveries import DeliveryRow
from flyball.records.evaluation import Report
from flyball.records.evidence import Bins, Evidence
from flyball.records.models import Signature
from flyball.records.serving import RouteTable
from flyball.records.training import RunResult, RunSpec
from flyball.records.unlabelled import Expected
from flyball.serving.proofs import Proofs
from flyball.serving.routes import InForce
from flyball.store.blobs import Blobs
from flyball.training.job import Observed

if TYPE_CHECKING:
    from flyball.incidents.retries import Tried
    from flyball.ledger.note import Signer
    from flyball.loop.carrying import Offer
    from flyball.loop.deadloop import Outage
    from flyball.loop.online import Wanted
    from flyball.records.integration import IntegrationCheck
    from flyball.records.versions import VersionRow


class Command(Protocol):
    """A request to change something, with an id chosen by its caller and the actor who answers for it."""

    @property
    def id(self) -> str:
        """The caller's id: the same id twice gives the first receipt."""
        ...

    @property
    def actor(self) -> str:
        """Who asks, such as `user:ana` or `loop`."""
        ...


CommandT = TypeVar("CommandT", bound=Command)
Decision = Sequence[Event] | Refusal
Decide = Callable[[State, CommandT, Instant], Decision]


class Ledger(Protocol):
    """The record."""

    def execute(self, command: CommandT, decide: Decide[CommandT]) -> Receipt:
        """Decide inside the write transaction and append what was decided. A refusal is raised as its error."""
        ...

    def read(self, after: int, limit: int) -> Iterator[Recorded]:
        """Events in order, from the one after `after`."""
        ...

    def state(self) -> State:
        """A snapshot of the projections."""
        ...

    def size(self) -> int:
        """How many events there are."""
        ...


class Before(Protocol):
    """The environment before this one, from which versions come."""

    @property
    def name(self) -> str:
        """What flyball.toml calls it."""
        ...

    def due(self, models: Sequence[str]) -> list[str]:
        """Those of the models that were not followed yet, or of which something was recorded there since. Raises Unavailable, Corrupt."""
        ...

    def followed(self, model: str) -> None:
        """All that is there of a model is here, until something is recorded of it there."""
        ...

    def rows(self, model: str, here: Sequence[str]) -> list[VersionRow]:
        """The version that answers there, and those of `here` that are there. Raises Unavailable."""
        ...

    def offer(self, model: str, version: str) -> Offer:
        """A version as it stands there. Raises NotFound, Unavailable."""
        ...

    def copy(self, offer: Offer, blobs: Blobs) -> None:
        """Bring everything that a version is made of, and was judged by. Raises NotFound, Corrupt, Unavailable."""
        ...

    def want(self, model: str, origin: str, reason: str) -> None:
        """Say there that a training is wanted here. Raises Unavailable."""
        ...

    def want_judged(self, model: str, version: str, origin: str, gates_digest: str) -> None:
        """Say there that a version serves here that these gates have not judged. Raises Unavailable."""
        ...


class Probe(Protocol):
    """The gateway of the environment that this is, as a caller sees it."""

    def ask(self, model: str, version: str, requests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The predictions for requests, in one call. Raises what the gateway answers, Unavailable."""
        ...

    def is_time(self, ref: str, now: Instant) -> bool:
        """Whether a version may be tried now: what did not hold is left for a while."""
        ...

    def begin(self, ref: str, since: Instant, trial: Callable[[], tuple[IntegrationCheck, ...]]) -> None:
        """Try a version that answers `since` then, beside the loop, unless it is being tried."""
        ...

    def ended(self, ref: str, since: Instant) -> tuple[IntegrationCheck, ...] | None:
        """What a try came to, once; None while it goes on, and where there is none of what answers `since` then. Raises what the try has raised."""
        ...

    def newest(self, model: Model, columns: Sequence[str], content: str, most: int) -> list[dict[str, Any]]:
        """The newest rows of the model's data set, as JSON has them. Raises NotFound, Corrupt."""
        ...


class Runs(Protocol):
    """Where runs are done."""

    def submit(self, run: str, attempt: int, spec: str, model: Model) -> None:
        """Start an attempt. The same (run, attempt) again changes nothing."""
        ...

    def observe(self, run: str, attempt: int) -> Observed:
        """What became of it: absent, running, succeeded, failed, lost."""
        ...

    def keep(self, runs: Sequence[tuple[str, int]]) -> None:
        """Renew the leases of running attempts."""
        ...

    def cancel(self, run: str, attempt: int) -> None:
        """Ask an attempt to stop."""
        ...

    def held(self) -> Sequence[str]:
        """The runs of which logs and other files are still kept."""
        ...

    def forget(self, run: str) -> None:
        """Remove a run's logs and files; one that still runs, or has none, is left alone."""
        ...


class Data(Protocol):
    """Where data sets come from."""

    def refresh(self, dataset: Dataset, row: DatasetRow | None, declared: DeclarationRow) -> Event | None:
        """A new version or a refusal of a data set, if its source has changed since `row`; `declared` has the code that declares it."""
        ...


class Views(Protocol):
    """The online store, as far as the loop keeps it."""

    def keep(self, wanted: Mapping[str, Wanted]) -> None:
        """Bring these views, by their names in the store, to their data sets' versions, beside the loop; remove others in time."""
        ...

    def finish(self) -> None:
        """Wait until what was begun is done."""
        ...

    def forget_others(self, wanted: Mapping[str, Wanted]) -> None:
        """Remove every view that is not wanted, now. Raises Unavailable."""
        ...

    def behind(self, wanted: Mapping[str, Wanted]) -> list[str]:
        """Those of the views that are in the store, and hold another version than is wanted. Raises Unavailable."""
        ...


class Routes(Protocol):
    """The serving side."""

    def desire(self, table: RouteTable, since: Instant, proofs: Proofs) -> None:
        """Make `table` true. Called again until it is; `since` is when it was decided, `proofs` gives the signatures of its versions."""
        ...

    def status(self) -> InForce:
        """What is in force."""
        ...


class Outbox(Protocol):
    """Who people are told by: the routes that flyball.toml declares."""

    @property
    def routes(self) -> AlertRoutes:
        """What is declared."""
        ...

    def begin(self, route: str, letters: Sequence[DeliveryRow]) -> bool:
        """Send messages to a route beside the loop, in order, up to the first that it does not take now; False while it is at work already."""
        ...

    def ended(self) -> Sequence[Tried]:
        """What tries came to since this was asked, in order."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait until what was begun is over, so long at most."""
        ...


class Memory(Protocol):
    """Operational state: counts and cursors, disposable and rebuilt from the log."""

    def load(self, key: str) -> bytes | None:
        """The bytes last saved under `key`."""
        ...

    def load_all(self, keys: Sequence[str]) -> dict[str, bytes | None]:
        """The same of many keys, as they are at one moment."""
        ...

    def save(self, items: Mapping[str, bytes | None]) -> None:
        """Write all items in one transaction; None removes."""
        ...


class WorkerTimes(Protocol):
    """What workers take of this machine."""

    def read(self, now: Instant) -> Mapping[str, Mapping[str, Reading]]:
        """By model and version, the processor time since the last reading; empty while it is too soon for one."""
        ...


class Library(Protocol):
    """Immutable values behind blob hashes, decoded once."""

    def model(self, body: str) -> Model:
        """The declaration whose canonical JSON is blob `body`, with all that its framing implies."""
        ...

    def result(self, digest: str) -> RunResult:
        """A run's result."""
        ...

    def spec(self, digest: str) -> RunSpec:
        """What a run was asked to do."""
        ...

    def signature(self, artifact: str) -> Signature:
        """The signature in an artifact's manifest."""
        ...

    def report(self, digest: str) -> Report:
        """What a run found out beside its hold-out; an empty report for no digest."""
        ...

    def bins(self, digest: str) -> tuple[Bins, ...]:
        """A drift reference."""
        ...

    def expected(self, digest: str) -> Expected:
        """What estimates without labels rest on; says why there is none for no digest."""
        ...


def _no_commit(_code: Mapping[str, str]) -> str:
    return ""


def _no_outage() -> None:
    return None


def _not_told() -> Sequence[tuple[Instant, Instant]]:
    return ()


@dataclass(frozen=True)
class Ports:
    """Everything a tick touches. `signer` reads the project's key; `detector`: whether the sequential detector of loss is listened to;
    `cpu_price`: that of an hour of CPU time, by which a budget of retraining is kept.

    `views`: None where nothing is served. `environment`: its name (empty: the project's own); `before`: None where versions are made; `probe`: None
    where no later environment waits for what is tried here. `commit_of`: the Git commit of some code (path → text); empty where nobody knows.
    `outbox`: None where nobody is told of anything. `reviews`: whether there is anybody to review incidents, for whom automatic releases wait.
    `usage`: None where no workers run; `outage`: the last time that the loop was dead, if it is over; `heard`: when gateways listened, as far as they
    tell (nothing: always).
    """

    clock: Clock
    ledger: Ledger
    memory: Memory
    blobs: Blobs
    library: Library
    runs: Runs
    data: Data
    evidence: Evidence
    routes: Routes
    signer: Callable[[], Signer]
    detector: bool = True
    cpu_price: Money | None = None
    views: Views | None = None
    environment: str = ""
    before: Before | None = None
    probe: Probe | None = None
    commit_of: Callable[[Mapping[str, str]], str] = _no_commit
    outbox: Outbox | None = None
    reviews: bool = True
    usage: WorkerTimes | None = None
    outage: Callable[[], Outage | None] = _no_outage
    heard: Callable[[], Sequence[tuple[Instant, Instant]]] = _not_told
