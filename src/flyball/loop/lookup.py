"""What a name means: models, versions, rollouts, incidents and runs as people write them, for every face alike. Reads, and decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from flyball.declare.elsewhere import is_elsewhere
from flyball.declare.model import Model
from flyball.declare.reads import looked_at
from flyball.declare.units import near
from flyball.errors import BadInput, Corrupt, DeclarationError, NotFound, Unavailable
from flyball.governance.authority import Caller
from flyball.ledger.projection import Snapshot
from flyball.loop.commands import active_run
from flyball.loop.ports import Ledger, Library, Ports
from flyball.records.base import Event, Receipt, RowT, State
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.environments import DELETED, JUDGINGS, QUARANTINED
from flyball.records.incidents import INCIDENTS, IncidentRow
from flyball.records.models import ModelRef, parse_ref
from flyball.records.rollouts import ACTIVE, ROLLOUTS, Reading, RolloutEvidence, RolloutMoved, RolloutRow
from flyball.records.training import MODEL_RUNS, RUNS, RunRow, RunState
from flyball.records.versions import MODELS, REGISTERED, VERSIONS, ChampionChanged, ModelRow, VersionRow, VersionState
from flyball.registry.rules import other_gates

_PAGE = 200
_CANCELLED = 20
"""Runs that were cancelled, one after the other, which are looked past: each is a look, and somebody who cancels more knows why."""


def declared(ports: Ports, name: str) -> Model:
    """The declaration in effect of a model. Raises NotFound with a near name."""
    return ports.library.model(declaration(ports.ledger.state(), name).body)


def declaration(state: State, name: str) -> DeclarationRow:
    """That a model is declared, and in which blob: the blob is not read. Raises NotFound with a near name."""
    row = state.get(DECLARATIONS, name)
    if row is None:
        known = [key for key, _ in state.scan(DECLARATIONS)]
        raise NotFound(
            f'no model "{name}" is declared',
            why="" if known else "nothing was applied in this project yet",
            fix=f"models: {near(name, known)}" if known else "flyball apply",
        )
    return row


def readable(library: Library, row: DeclarationRow) -> tuple[Model | None, str]:
    """What is declared; None, and why, where that cannot be read now: one model keeps nobody from seeing the others."""
    try:
        return library.model(row.body), ""
    except (NotFound, Corrupt, Unavailable, DeclarationError) as error:
        return None, f"{error.what}; {error.fix}"


def datasets_of(caller: Caller, library: Library, state: State) -> Callable[[str], bool]:
    """Whether a caller may see the data set of a name: with a token for some models, those that these models are made from."""
    if caller.is_for_all:
        return lambda _name: True
    rows = [row for name, row in state.scan(DECLARATIONS) if caller.covers(name)]
    own = {name for row in rows if (model := readable(library, row)[0]) is not None for name in looked_at(model)}
    return own.__contains__


def active_rollout(state: State, model: str) -> RolloutRow | None:
    """The model's rollout that has not ended."""
    row = state.get(MODELS, model)
    found = state.get(ROLLOUTS, row.rollout) if row and row.rollout else None
    return found if found is not None and found.state in ACTIVE else None


def unjudged(state: State, row: VersionRow) -> str:
    """That the gates as they are declared now have not judged a version, and why not; empty: they have."""
    declared = state.get(DECLARATIONS, row.model)
    digest = declared.gates_digest if declared is not None else ""
    if not other_gates(row, digest):
        return ""
    wanted, known = state.get(JUDGINGS, f"{row.model}/{row.version}"), roles(state, row.model)
    # where it comes from, what could answer again is judged too
    gone = (row.state is VersionState.RETIRED and not row.origin) or row.version not in in_play(state, known)
    if gone and (wanted is None or wanted.gates_digest != digest):
        return "judged by other gates than those declared now: its verdicts are of those, and it is not released by them"
    text = "not judged yet by the gates as they are declared now"
    if row.origin:
        return f"{text}: {_judged_there(row)}; those here are of the gates before"
    if row.tried != digest or active_run(state, row.model) is not None:
        return text
    runs = [run for _, run in state.scan(MODEL_RUNS, f"{row.model}/") if run.judges == row.version]
    last = max(runs, key=lambda run: run.run, default=None)
    if last is None or last.state not in (RunState.FAILED, RunState.CANCELLED):
        return f"{text}, and the judging came to nothing: flyball runs list {row.model}"
    times = "once" if row.failures == 1 else f"{row.failures} times"
    failed = f"failed {times}" if row.failures else ""
    what = failed if last.state is RunState.FAILED else f"{failed} and then was cancelled" if failed else "was cancelled"
    way = f"flyball train {row.model} makes one that is; gates that are declared otherwise judge it anew"
    return f"{text}: the judging {what} ({last.run}: {(last.why or 'no reason was left').splitlines()[0]}); {way}"


def _judged_there(row: VersionRow) -> str:
    """Whether the environment that a version comes from judges it, as far as that is known here."""
    if row.deprecated.startswith(f"{row.origin} {DELETED}"):
        return f"nor will it be, as it is deleted in {row.origin}"
    if row.deprecated.startswith(f"{row.origin} {QUARANTINED}"):
        return f"it is in quarantine in {row.origin}, and judged once it is let out there"
    return f"{row.origin} is asked to, and its verdicts follow"


def last_not_cancelled(state: State, run: str) -> RunRow | None:
    """A run, or where it was cancelled the newest before it that was not; None where there is none among the last few."""
    for _ in range(_CANCELLED):
        row = state.get(RUNS, run) if run else None
        if row is None or row.state is not RunState.CANCELLED:
            return row
        run = row.after
    return None


def roles(state: State, model: str) -> ModelRow:
    """A model's champion, newest version and rollout; empty for a model that has none yet."""
    return state.get(MODELS, model) or ModelRow(model=model)


def in_play(state: State, row: ModelRow) -> tuple[str, ...]:
    """The versions of a model that answer, or may without being released again: the champion and the one on its way, the former champion, to which
    a rollback goes; and the newest, which waits. Each once.
    """
    rollout = state.get(ROLLOUTS, row.rollout) if row.rollout else None
    on_its_way = rollout.version if rollout is not None and rollout.state in ACTIVE else ""
    return tuple(dict.fromkeys(filter(None, (row.champion, on_its_way, row.former, row.newest))))


def challenger(state: State, model: str) -> str:
    """The version in a rollout that has not taken over yet; empty for none, and while the new champion is watched."""
    active = active_rollout(state, model)
    return active.version if active is not None and active.version != roles(state, model).champion else ""


def version(state: State, ref: ModelRef) -> VersionRow:
    """The version that a reference means; without a version: the champion, else the newest. Raises NotFound."""
    row = roles(state, ref.model)
    meant = {"champion": row.champion, "challenger": challenger(state, ref.model), "": row.champion or row.newest}
    number = meant.get(ref.version, ref.version)
    found = state.get(VERSIONS, f"{ref.model}/{number}") if number else None
    if found is None:
        known = [key.partition("/")[2] for key, _ in state.scan(VERSIONS, f"{ref.model}/")]
        raise NotFound(
            f"{ref.model} has no {ref.version or 'version'} yet" if not number else f"there is no version {ref}",
            fix=f"versions: {near(number, known)}" if known else f"flyball train {ref.model}",
        )
    return found


def must_be_made(ports: Ports, state: State, name: str) -> None:
    """Raise NotFound for a model that is served elsewhere: it has no version here."""
    if is_unmade(ports, state, name):
        what = f"{name} is served elsewhere: flyball has made no version of it"
        raise NotFound(what, why="it is declared without train", fix=f"flyball monitor {name}")


def is_unmade(ports: Ports, state: State, name: str) -> bool:
    """Whether a model is served elsewhere, and flyball never made a version of it."""
    row = state.get(DECLARATIONS, name)
    model = readable(ports.library, row)[0] if row is not None and state.get(MODELS, name) is None else None
    return model is not None and is_elsewhere(model)


def newest_versions(state: Snapshot, sees: Callable[[str], bool]) -> Iterator[VersionRow]:
    """Every version of the models that `sees` lets through, the newest first. A page at a time is read: those who want few read few."""
    before = ""
    while page := state.last(REGISTERED, "", before, _PAGE):
        for _, each in page:
            row = state.get(VERSIONS, f"{each.model}/{each.version}") if sees(each.model) else None
            if row is not None:
                yield row
        before = page[-1][0]


def rollout(state: State, name: str, sees: Callable[[str], bool] = lambda _model: True) -> RolloutRow:
    """The rollout of an id, of an id's unmistakable end, or the newest of a model. Only ids of models that the caller `sees` are guessed and told. Raises NotFound."""
    found = state.get(ROLLOUTS, name)
    if found is not None:
        return found
    rows = {key: row for key, row in state.scan(ROLLOUTS) if sees(row.model)}
    of_model = [row for row in rows.values() if row.model == name]
    if of_model:
        return active_rollout(state, parse_ref(name).model) or max(of_model, key=lambda row: row.planned_at)
    return _by_end("rollout", rows, name)


def incident(state: State, name: str, sees: Callable[[str], bool] = lambda _model: True) -> IncidentRow:
    """The incident of an id, or of an id's unmistakable end; see `rollout`. Raises NotFound."""
    found = state.get(INCIDENTS, name)
    return found if found is not None else _by_end("incident", {key: row for key, row in state.scan(INCIDENTS) if sees(row.model)}, name)


def _by_end(what: str, rows: Mapping[str, RowT], end: str) -> RowT:
    """The only one of these rows whose id ends so. Raises NotFound."""
    ends = [key for key in rows if end and key.endswith(end)]
    if len(ends) == 1:
        return rows[ends[0]]
    raise missing(what, end, list(rows))


def run(state: State, name: str, sees: Callable[[str], bool] = lambda _model: True) -> RunRow:
    """The run of an id, or of an id's unmistakable end; see `rollout`. Raises NotFound."""
    found = state.get(RUNS, name)
    return found if found is not None else _by_end("run", {key: row for key, row in state.scan(RUNS) if sees(row.model)}, name)


def reused(state: State, row: RunRow) -> str:
    """The run whose result another one was given, because it was asked for the same: nothing was fitted. Empty: it made a result of its own."""
    rows = (run for _, run in state.scan(MODEL_RUNS, f"{row.model}/")) if row.result else ()
    return min((run.run for run in rows if run.result == row.result and run.run < row.run), default="")


def exact(model: str, number: str) -> ModelRef:
    """The reference to a version that must be named: `1.4.0`, `champion` or `challenger`. Raises BadInput."""
    if not number:
        raise BadInput(f"no version of {model} is named", why="a release is of one version", fix="name one, such as 1.4.0")
    return parse_ref(f"{model}@{number}")


def role(state: State, row: VersionRow) -> str:
    """What a version does in serving now; empty for nothing."""
    known = roles(state, row.model)
    if known.champion == row.version:
        return "champion"
    active = active_rollout(state, row.model)
    if active is not None and active.version == row.version:
        return f"challenger ({active.state.value})"
    return "former champion" if known.former == row.version else ""


def readings_of(ports: Ports, state: State, row: RolloutRow, evidence: RolloutEvidence) -> tuple[Reading, ...]:
    """What each test of a rollout has for and against it. Raises NotFound where its model is not declared any more."""
    # the statistics take a while to import, and most verbs look at none
    from flyball.loop.watch import loss_cap
    from flyball.rollout.readings import readings

    model = declared(ports, row.model)
    return readings(row, model.rollout, evidence, task=model.task, loss_cap=loss_cap(ports.library, state, row))


def rolled_back(state: State, model: str, events: Sequence[Event]) -> tuple[str, str]:
    """(the version that is left, the one that answers) from what a rollback decided; nothing is left where one was under way already."""
    for event in events:
        if isinstance(event, ChampionChanged):
            return event.former, event.version
    for event in events:
        row = state.get(ROLLOUTS, event.rollout) if isinstance(event, RolloutMoved) else None
        if row is not None:
            return row.version, row.champion
    return "", roles(state, model).champion


def events_of(ledger: Ledger, receipt: Receipt) -> list[Event]:
    """The events of a command, also of one that was given before."""
    if not receipt.last:
        return []
    return [recorded.event for recorded in ledger.read(receipt.first - 1, receipt.last - receipt.first + 1)]


def missing(kind: str, name: str, known: Sequence[str]) -> NotFound:
    """The error for an id that is not there, with the nearest one that is."""
    return NotFound(f'no {kind} "{name[:80]}"', fix=f"{kind}s: {near(name, known)}" if known else f"there is no {kind} yet")
