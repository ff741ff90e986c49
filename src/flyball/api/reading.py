"""What the API shows: records as they stand. Nothing here changes anything, and nobody is shown what their token is not for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from typing import cast

import msgspec

from flyball.api import answers, pages
from flyball.api.asking import Answer, Asked
from flyball.data.erasures import present
from flyball.errors import BadInput, Corrupt, NotFound
from flyball.ledger import checkpoints
from flyball.ledger.projection import Snapshot
from flyball.loop import lookup, online, tracing
from flyball.loop.budgets import budgets_of
from flyball.loop.findings import alerts_of, incidents_of
from flyball.loop.lineage import Project
from flyball.loop.memory import load
from flyball.loop.outcomes import outcomes_seen
from flyball.loop.waiting import waiting
from flyball.monitoring.labels import labels_seen
from flyball.monitoring.usage import price
from flyball.records.base import Recorded, State
from flyball.records.data import COLLECTED, DATASET_VERSIONS, DATASETS, DatasetVersion, erasure_key
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.identity import TOKENS, TokenRow
from flyball.records.incidents import INCIDENTS, IncidentState
from flyball.records.models import parse_ref, valid_name
from flyball.records.mutes import is_muted, mutes_of
from flyball.records.rollouts import ROLLOUTS
from flyball.records.serving import ROUTES
from flyball.records.training import RUNS
from flyball.records.unlabelled import ESTIMATES
from flyball.records.versions import VERSIONS, VersionRow, VersionState
from flyball.registry import approvals, search

_LOG_PART = 256 << 10


def health(asked: Asked) -> Answer:
    """Whether the control plane works: its database answered a moment ago (503: it did not). Nobody waits for this."""
    asked.works()
    age = asked.wired.layout.loop_age(asked.now)
    return Answer(answers.Health(status="ok", loop_age_s=None if age is None else round(age / 1e6, 3)))


def declarations(asked: Asked) -> Answer:
    """The declarations in effect."""
    found = pages.by_name(asked.state(), DECLARATIONS, asked.query, keep=asked.caller.covers)
    return Answer(pages.Page([row for _, row in found.items], found.next))


def models(asked: Asked) -> Answer:
    """Every declared model and the parts of its versions."""
    state = asked.state()
    found = pages.by_name(state, DECLARATIONS, asked.query, keep=asked.caller.covers)
    return Answer(pages.Page([_standing(asked, state, row) for _, row in found.items], found.next))


def model(asked: Asked) -> Answer:
    """One model."""
    name = _model(asked)
    state = asked.state()
    return Answer(_standing(asked, state, lookup.declaration(state, name)))


def versions(asked: Asked) -> Answer:
    """Versions of a model; with `search`, those of which all its terms hold."""
    name, state, query = _model(asked), asked.state(), search.parse(asked.query.get("search", ""))
    held = (row for _, row in state.scan(VERSIONS, f"{name}/") if search.matches(query, row))
    rows = sorted(held, key=lambda row: (-row.registered_at, row.version))
    found = pages.of_list([(row.version, row) for row in rows], f"{VERSIONS.name}/{name}", asked.query)
    return Answer(pages.Page([_version(state, row) for row in found.items], found.next))


def version(asked: Asked) -> Answer:
    """One version: `1.4.0`, `champion` or `challenger`."""
    state = asked.state()
    return Answer(_version(state, find_version(asked, state)))


def verdicts(asked: Asked) -> Answer:
    """How a version was judged, gate by gate."""
    row = find_version(asked, asked.state())
    # of many verdicts the row lists some; the result that it was judged by has all
    whole = (row.unlisted or row.waivers) and row.state is not VersionState.DELETED
    found = row.verdicts
    if whole:
        found = approvals.lifted(row, asked.ports.library.result(row.result).verdicts, row.gates_digest, asked.now)
    return Answer(answers.Verdicts(model=row.model, version=row.version, state=row.state, verdicts=found))


def runs(asked: Asked) -> Answer:
    """Runs; with `model`, that model's."""
    return Answer(pages.newest(asked.state(), RUNS, asked.query, keep=lambda row: _wanted(asked, row.model)))


def run(asked: Asked) -> Answer:
    """One run, with its result."""
    row = lookup.run(asked.state(), asked.path["run"], asked.sees)
    asked.must_see(row.model)
    result = None
    if row.result:
        with suppress(NotFound):  # what came to nothing is let go in time, and its row stays
            result = asked.ports.library.result(row.result)
    return Answer(answers.Run(**msgspec.structs.asdict(row), result_of=result))


def run_log(asked: Asked) -> Answer:
    """What a run has written so far, from `offset` on; the header `Flyball-Next-Offset` says where the next part begins."""
    row = lookup.run(asked.state(), asked.path["run"], asked.sees)
    asked.must_see(row.model)
    offset = _number(asked, "offset")
    part = b""
    path = asked.wired.layout.run_log(row.run, max(row.attempt, 1))
    if path.is_file():
        with path.open("rb") as file:
            file.seek(offset)
            part = file.read(_LOG_PART)
    return Answer(part, headers={"flyball-next-offset": str(offset + len(part))})


def rollouts(asked: Asked) -> Answer:
    """Rollouts; with `model`, that model's."""
    return Answer(pages.newest(asked.state(), ROLLOUTS, asked.query, keep=lambda row: _wanted(asked, row.model)))


def rollout(asked: Asked) -> Answer:
    """One rollout, by its id, or by its model the newest."""
    state = asked.state()
    row = lookup.rollout(state, asked.path["rollout"], asked.sees)
    asked.must_see(row.model)
    evidence = load(asked.ports.memory).evidence(row.rollout)
    return Answer(answers.Rollout(rollout=row, readings=lookup.readings_of(asked.ports, state, row, evidence), counts=evidence))


def datasets(asked: Asked) -> Answer:
    """Every data set and its newest good version."""
    state = asked.state()
    found = pages.by_name(state, DATASETS, asked.query, keep=lookup.datasets_of(asked.caller, asked.ports.library, state))
    rows = [
        answers.Dataset(
            name=name,
            head=row.head,
            refused_mark=row.refused_mark,
            violations=row.violations,
            findings=row.findings,
            unlisted=row.unlisted,
        )
        for name, row in found.items
    ]
    return Answer(pages.Page(rows, found.next))


def dataset_versions(asked: Asked) -> Answer:
    """Every version of a data set, and whether its rows are held."""
    name, state = _dataset(asked), asked.state()
    rows = sorted((row for _, row in state.scan(DATASET_VERSIONS, f"{name}/")), key=lambda row: (-row.as_of, row.content))
    found = pages.of_list([(row.content, row) for row in rows], f"{DATASET_VERSIONS.name}/{name}", asked.query)
    return Answer(pages.Page([_with_place(state, row) for row in found.items], found.next))


def _with_place(state: State, row: DatasetVersion) -> answers.DataVersion:
    gone = state.get(COLLECTED, erasure_key(row.name, row.content))
    at = 0 if gone is None else gone.at
    return answers.DataVersion(**msgspec.structs.asdict(row), present="" if at else present(state, row.name, row.content), collected_at=at)


def lineage_overview(asked: Asked) -> Answer:
    """What is declared and recorded, and what of it is unused or nobody's."""
    state = asked.state()
    return Answer(tracing.overview_of(_graph(asked, state), state, asked.ports.library, everything=asked.caller.is_for_all))


def lineage(asked: Asked) -> Answer:
    """What a thing was made of, and what was made of it: a source's path, data set, column, view, run, model, version or rollout."""
    state, direction = asked.state(), _direction(asked)
    return Answer(tracing.trace_in(_graph(asked, state), state, asked.ports.library, asked.path["ref"], direction)[1])


def _graph(asked: Asked, state: Snapshot) -> Project:
    """All that the caller may see, as it was when it was last asked for, where nothing happened since."""
    scope = () if asked.caller.is_for_all else asked.caller.models
    return asked.wired.graphs.project(state, scope, _covered(asked))


def _direction(asked: Asked) -> tracing.Direction:
    direction = asked.query.get("direction", "both")
    if direction not in ("up", "down", "both"):
        raise BadInput(f'"{direction[:40]}" is no direction', fix="direction=up or direction=down")
    return cast("tracing.Direction", direction)


def _covered(asked: Asked) -> Callable[[str], bool] | None:
    """Which models the caller's token is for; None: all of them."""
    return None if asked.caller.is_for_all else asked.caller.covers


def view(asked: Asked) -> Answer:
    """A feature view: what is read of it online, how old that is, and what keeps it behind."""
    name = valid_name(asked.path["view"], "view")
    found = online.seen(online.noted(asked.wired.layout.views), asked.caller)
    own = tuple(each for each in found if each.view == name)
    if not own:
        raise lookup.missing("feature view", name, sorted({each.view for each in found}))
    return Answer(answers.View(view=name, definitions=own))


def openlineage(asked: Asked) -> Answer:
    """OpenLineage events, one a line: of the thing that `of` names and what is told of it, or of everything."""
    from flyball.loop.openlineage import lines

    wired, state = asked.wired, asked.state()
    told = lines(state, asked.ports.library, wired.blobs, wired.root, asked.query.get("of", ""), _direction(asked), _covered(asked))
    parts = _parts(f"{line}\n".encode() for line in told)
    # what is wrong from the start is still a problem of its own, not an answer that breaks off
    return Answer(chain([next(parts, b"")], parts))


def _parts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines in parts of a size that is worth to be sent by itself: all of them may be more than a process should hold."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _LOG_PART:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def dataset_rows(asked: Asked) -> Answer:
    """Rows of a version of a data set (`version`: the one in use, if it is not said), without the columns that say who a row is of."""
    from flyball.api.rows import page
    from flyball.loop import comparing

    return Answer(page(asked, comparing.meant(asked.state(), _dataset(asked), asked.query.get("version", ""))))


def dataset_difference(asked: Asked) -> Answer:
    """What two versions of a data set do not have in common: that of `from`, and that of `to`, else the one in use."""
    from flyball.loop import comparing

    name, first = _dataset(asked), asked.query.get("from", "")
    if not first:
        raise BadInput("from= is missing", why="two versions are compared", fix="from=1.0.0")
    before, after, found = comparing.compare(asked.state(), asked.ports.library, asked.wired.blobs, name, first, asked.query.get("to", ""))
    return Answer(
        answers.VersionsCompared(name=name, before=before, after=after, schema=found.schema, rows=found.rows, columns=found.columns)
    )


def _dataset(asked: Asked) -> str:
    """The data set that the path names, if the caller may see it. Raises BadInput, NotFound."""
    name, state = valid_name(asked.path["dataset"], "data set"), asked.state()
    seen = lookup.datasets_of(asked.caller, asked.ports.library, state)
    if state.get(DATASETS, name) is None or not seen(name):
        raise lookup.missing("data set", name, [key for key, _ in state.scan(DATASETS) if seen(key)])
    return name


def monitors(asked: Asked) -> Answer:
    """What a model's monitors say now."""
    name, state = _model(asked), asked.state()
    alerts = tuple(row for _, row in sorted(alerts_of(state, name).items()))
    open_ = tuple(row.incident for row in incidents_of(state, name) if row.state != IncidentState.CLOSED)
    kept = load(asked.ports.memory)
    watched, mutes = kept.monitor(name), mutes_of(state, name, asked.now)
    # what cannot be read has no objectives that anybody knows of
    model, _ = lookup.readable(asked.ports.library, lookup.declaration(state, name))
    taken = price(kept.usage(name), asked.now, hour_price=asked.ports.cpu_price, watts=asked.wired.settings.cpu_watts)
    made = state.get(ESTIMATES, name)
    found = answers.Monitors(
        model=name,
        version=watched.version,
        alerts=alerts,
        incidents=open_,
        labels=labels_seen(watched.slabs, asked.now),
        muted=tuple(row.key for row in alerts if is_muted(mutes, row.monitor)),
        mutes=tuple(mutes.values()),
        budgets=budgets_of(state, model, watched, asked.now) if model is not None else (),
        cost=None if taken is None else answers.ServingCost(**msgspec.structs.asdict(taken)),
        estimate=made.newest if made is not None else None,
        outcomes=outcomes_seen(asked.ports.memory, model, watched.version) if model is not None else (),
    )
    return Answer(found)


def incidents(asked: Asked) -> Answer:
    """Incidents; with `model`, that model's; with `state`, those in it."""
    state = asked.query.get("state", "")
    if state and state not in set(IncidentState):
        raise BadInput(f'"{state[:40]}" is no state of an incident', fix=f"states: {', '.join(IncidentState)}")

    def keep(row: object) -> bool:
        return _wanted(asked, str(getattr(row, "model", ""))) and state in ("", getattr(row, "state", ""))

    return Answer(pages.newest(asked.state(), INCIDENTS, asked.query, keep=keep))


def events(asked: Asked) -> Answer:
    """Events after number `after`, in the order in which they happened. With `Accept: text/event-stream`, as they happen."""
    limit, after = pages.limit_of(asked.query), _number(asked, "after")
    found = [event_answer(recorded) for recorded in asked.wired.ledger.read(after, limit + 1)]
    more = len(found) > limit
    return Answer(pages.Page(found[:limit], str(found[limit - 1].seq) if more else None))


def event(asked: Asked) -> Answer:
    """One event."""
    seq = _seq(asked)
    found = next(iter(asked.wired.ledger.read(seq - 1, 1)), None) if seq else None
    if found is None:
        raise NotFound(
            f"there is no event {seq}", why=f"the ledger has {asked.wired.ledger.size():,} events", fix="events are numbered from 1"
        )
    return Answer(event_answer(found))


def event_answer(recorded: Recorded) -> answers.EventAnswer:
    """An event as it is shown."""
    return answers.EventAnswer(seq=recorded.seq, at=recorded.at, actor=recorded.actor, command=recorded.command, event=recorded.event)


def proof(asked: Asked) -> Answer:
    """That an event is in the ledger: what a third party needs to check it."""
    return Answer(checkpoints.prove(asked.wired.ledger, _seq(asked)))


def list_checkpoints(asked: Asked) -> Answer:
    """Checkpoints of more than `after` events, the oldest first."""
    limit, after = pages.limit_of(asked.query), _number(asked, "after")
    found: list[answers.CheckpointAnswer] = []
    for signed in checkpoints.every(asked.wired.ledger, after):
        if len(found) == limit:
            return Answer(pages.Page(found, str(found[-1].size)))
        found.append(answers.CheckpointAnswer(size=signed.size, note=_text(signed)))
    return Answer(pages.Page(found, None))


def _text(signed: checkpoints.Signed) -> str:
    """A checkpoint's note, which is text whoever has signed it. Raises Corrupt."""
    try:
        return signed.note.decode()
    except UnicodeDecodeError as error:
        what = f"the checkpoint of {signed.size:,} events is no text"
        raise Corrupt(what, why="it was changed", fix="flyball audit verify names it; restore from a backup") from error


def tokens(asked: Asked) -> Answer:
    """Every token, revoked ones too; never a secret, nor its hash."""
    # that it is an admin's, for all models, the door has seen to
    found = pages.newest(asked.state(), TOKENS, asked.query)
    return Answer(pages.Page([token_answer(row) for row in found.items], found.next))


def token_answer(row: TokenRow) -> answers.Token:
    """A token as it is shown."""
    values = msgspec.structs.asdict(row)
    del values["hash"]
    return answers.Token(**values)


def find_version(asked: Asked, state: State) -> VersionRow:
    """The version that a path names. Raises BadInput, NotFound, Refused."""
    name = _model(asked)
    lookup.must_be_made(asked.ports, state, name)
    return lookup.version(state, parse_ref(f"{name}@{asked.path['version']}"))


def _model(asked: Asked) -> str:
    """The model that a path names. Raises BadInput, NotFound, Refused."""
    name = valid_name(asked.path["model"], "model")
    asked.must_see(name)
    return lookup.declaration(asked.state(), name).model


def _wanted(asked: Asked, model: str) -> bool:
    return asked.query.get("model", model) == model and asked.caller.covers(model)


def _standing(asked: Asked, state: State, row: DeclarationRow) -> answers.Standing:
    declared, unread = lookup.readable(asked.ports.library, row)
    roles, active, route = lookup.roles(state, row.model), lookup.active_rollout(state, row.model), state.get(ROUTES, row.model)
    return answers.Standing(
        model=row.model,
        task=declared.task if declared else "",
        owner=declared.owner if declared else "",
        file=row.file,
        champion=roles.champion,
        challenger=lookup.challenger(state, row.model),
        former=roles.former,
        newest=roles.newest,
        rollout=active.rollout if active else "",
        last_run=roles.last_run,
        traffic={arm.version: arm.weight / 10_000 for arm in route.route.arms} if route else {},
        applied_at=row.applied_at,
        champion_at=roles.champion_at,
        unread=unread,
        purpose=declared.framing.purpose if declared else "",
        kpi=declared.framing.kpi if declared else "",
        risk=declared.framing.risk if declared else "",
        waits=waiting(state, row.model, now=asked.ports.clock.now(), up=True, library=asked.ports.library),
    )


def _version(state: State, row: VersionRow) -> answers.Version:
    return answers.Version(**msgspec.structs.asdict(row), role=lookup.role(state, row))


def _number(asked: Asked, name: str) -> int:
    text = asked.query.get(name, "0")
    number = pages.number_of(text)
    if number is None:
        raise BadInput(f'{name} is "{text[:40]}"', why="it is a whole number, 0 or more", fix=f"{name}=0")
    return number


def _seq(asked: Asked) -> int:
    text = asked.path["seq"]
    number = pages.number_of(text)
    if number is None:
        raise BadInput(f'"{text[:40]}" is no event', why="events have numbers, from 1", fix="/api/v1/events lists them")
    return number


def start_of(asked: Asked) -> int:
    """The number of the event after which a stream begins. Raises BadInput."""
    return _number(asked, "after")
