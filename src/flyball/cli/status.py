"""`flyball status`: one line a model, what is wrong, and the command that answers it. Works where nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from flyball.cli import common, deliveries, elsewhere, estimated
from flyball.cli.budgets import tell_budgets
from flyball.cli.common import HERE, LOOP_FRESH, Env, Json, Project, Quiet
from flyball.cli.live_quality import Former, LiveQuality, live
from flyball.cli.output import Output, ago, dated, number, roughly
from flyball.cli.served import environments, workers
from flyball.cli.serving_cost import cost_of, cost_text
from flyball.clock import Instant, Span
from flyball.declare.live import label_delay
from flyball.errors import Corrupt, FlyballError
from flyball.loop import lookup
from flyball.loop.carrying import fix_unchecked, unchecked
from flyball.loop.findings import alerts_of
from flyball.loop.freezes import LIVE
from flyball.loop.freshness import ages
from flyball.loop.memory import load
from flyball.loop.nextstep import next_of
from flyball.loop.online import noted
from flyball.loop.retraining import held_back
from flyball.loop.telling import first_of
from flyball.loop.waiting import Waiting, waiting
from flyball.monitoring.checks import FEWEST, FEWEST_LATENCIES
from flyball.monitoring.labels import labels_seen
from flyball.monitoring.slabs import latency_ms, within
from flyball.monitoring.usage import Price
from flyball.records.alerts import AlertState
from flyball.records.base import Record, State
from flyball.records.data import DATASETS
from flyball.records.declarations import DECLARATIONS, LOOP_FILES, LoopFileRow
from flyball.records.evidence import LabelsSeen
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.records.proposals import PROPOSALS, ProposalRow
from flyball.records.serving import EPOCHS, ROUTES
from flyball.records.training import RUNS, RunState
from flyball.records.versions import MODELS, VERSIONS, VersionRow, VersionState
from flyball.registry.approvals import doubts
from flyball.registry.states import RELEASABLE
from flyball.serving.watchdog import SILENT_S

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.loop.ports import Before, Ports
    from flyball.wiring import Wired

app = common.app()

_HOUR = Span.parse("1h")
_BAR = 10
_FIRING = (AlertState.FIRING, AlertState.ACKNOWLEDGED)
_DATA = "   → flyball check --data"
_NEXT = {"act": "trains again", "propose": "asks for a training", "record": "would train"}
"""What an alarm leads to, by the model's autonomy."""

UNREAD = "cannot be read"
"""How a model's line begins that is told by the record alone."""


class Line(Record, frozen=True):
    """One model as status shows it; what it is for as its framing says. `traffic` maps versions to their share; `requests`, `errors`, `error_rate`
    and `p99_ms` are of the last hour; `labels` is which share of the `labels_due` since the release came, and `arrivals` how
    labels came in the last week. A share is told from FEWEST on. `cost` is what 1,000 predictions take; null where no worker was measured.
    `quality` and `labels` are of `champion` alone; `former` is what it is compared with until what is normal for it is learnt (served elsewhere).
    """

    name: str
    champion: str
    challenger: str
    rollout: str
    traffic: dict[str, float]
    quality: LiveQuality
    p99_ms: float | None
    requests: int
    errors: int
    error_rate: float | None
    drift: tuple[str, ...]
    watched: bool
    labels: float | None
    labels_due: int
    labels_came: int
    arrivals: LabelsSeen
    label_delay: str
    since: Instant
    doing: str
    purpose: str
    kpi: str
    risk: str
    cost: Price | None = None
    former: Former | None = None


@app.command()
def status(*, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """Champion, traffic, live quality against its release, latency, drift and labels of each model; open incidents and proposals, views behind."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        state, now = wired.ports.ledger.state(), wired.ports.clock.now()
        lines = [line(wired, state, name, now) for name, _ in state.scan(DECLARATIONS) if common.may_see(wired, name)]
        incidents = [row for _, row in state.scan(INCIDENTS) if row.state != IncidentState.CLOSED and common.may_see(wired, row.model)]
        proposals = [row for _, row in state.scan(PROPOSALS) if not row.verdict and common.may_see(wired, row.model)]
        age, up = common.loop_age(wired, now), common.is_up(wired)
        waits = _waits(wired, state, lines, now, up=up)
        doubtful = [row for row in in_doubt(state, now) if common.may_see(wired, row.model)]
        # whose models a file declares is known from when it was whole
        files = {row.file for name, row in state.scan(DECLARATIONS) if common.may_see(wired, name)}
        every = common.may_read_record(wired) is None
        broken = [row for file, row in state.scan(LOOP_FILES) if every or file in files]
        if lines:
            _table(out, wired.ports, state, lines, waits, now)
        elif state.scan(DECLARATIONS):
            out.line("this token is for none of the models here")
        else:
            out.line("no model is declared yet: flyball apply, or flyball up")
        _wrong(out, state, incidents, proposals, waits, broken, now, {each.name: each.kpi for each in lines})
        estimated.tell(out, state, [each.name for each in lines], now)
        for row in doubtful:
            out.line(doubt_text(out, state, row, now))
        for row in advised_against(state):
            if common.may_see(wired, row.model):
                ref = f"{row.model}@{row.version}"
                out.line(f"{out.paint('advised', 'bad')}   against {ref} ({lookup.role(state, row) or row.state.value}): {row.deprecated}")
        spent = tell_budgets(out, wired, state, [each.name for each in lines], now)
        failing = workers(wired, out, state) if up else []
        strange = environments(wired, out)
        views = [
            each for each in noted(wired.layout.views).views if each.problem and any(common.may_see(wired, name) for name in each.models)
        ]
        for each in views:
            out.line(f"{out.paint('view', 'bad')}      {each.view}: {each.problem}   → flyball features show {each.view}")
        routed = deliveries.told(out, wired, state, now, up=up)
        passes = {"up": up, "starting": up and is_starting(wired, age, now), "loop_age_s": None if age is None else round(age / 1e6, 3)}
        out.line(loop_text(age, up=up, starting=bool(passes["starting"])))
        if not wired.ports.detector:
            out.line(f"{out.paint('detector', 'bad')}  off, by its setting: nobody looks at the loss of labelled rows")
        document: dict[str, Any] = routed | {
            "models": [estimated.document(state, each, each.name) for each in lines],
            "incidents": [row.incident for row in incidents],
            "proposals": [dated(row) for row in proposals],
            "views": [{"view": each.view, "models": each.models, "problem": each.problem} for each in views],
            "in_doubt": [{"model": row.model, "version": row.version, "gates": gates_in_doubt(state, row, now)} for row in doubtful],
            "environments": strange,
            "workers": failing,
            "held": _waiting(waits, "held", "version", "for"),
            "rejected": _waiting(waits, "rejected", "version", "why"),
            "refused": _waiting(waits, "refused", "version", "why"),
            "failed": _waiting(waits, "failed", "run", "why"),
            "rollouts": _waiting(waits, "rollout", "rollout", "why"),
        }
        out.document(document | spent | {"detector": wired.ports.detector} | passes)
    return 0


def _waits(wired: Wired, state: State, lines: list[Line], now: Instant, *, up: bool) -> list[Waiting]:
    """What waits or is broken of all models that are shown, but for what a model's own line says already."""
    said = {each.name for each in lines if each.doing.startswith(UNREAD)}
    found = (
        each
        for name, _ in state.scan(MODELS)
        if common.may_see(wired, name)
        for each in waiting(state, name, now=now, up=up, library=wired.ports.library)
    )
    return [each for each in found if each.kind != "unread" or each.model not in said]


def line(wired: Wired, state: State, name: str, now: Instant) -> Line:
    """One model as it stands; where something it is made from cannot be read, as far as the record alone says."""
    model, unread = lookup.readable(wired.ports.library, lookup.declaration(state, name))
    if model is not None:
        try:
            return _whole(wired, state, model, now)
        except Corrupt as error:
            unread = f"{error.what}; {error.fix}"
    return _recorded(state, name, f"{UNREAD}: {unread}")


def _recorded(state: State, name: str, doing: str) -> Line:
    """What the record alone says of a model, with nothing measured."""
    roles, route, active = lookup.roles(state, name), state.get(ROUTES, name), lookup.active_rollout(state, name)
    return Line(
        name=name,
        champion=roles.champion or elsewhere.version(state, name),
        challenger=active.version if active else "",
        rollout=active.rollout if active else "",
        traffic={arm.version: arm.weight / 10_000 for arm in route.route.arms} if route else {},
        quality=LiveQuality(metric="quality", value=None, low=None, high=None, n=0, at_release=None, verdict="insufficient"),
        p99_ms=None,
        requests=0,
        errors=0,
        error_rate=None,
        drift=(),
        watched=False,
        labels=None,
        labels_due=0,
        labels_came=0,
        arrivals=labels_seen((), 0),
        label_delay="",
        since=roles.champion_at or elsewhere.since(state, name),
        doing=doing,
        purpose="",
        kpi="",
        risk="",
    )


def _whole(wired: Wired, state: State, model: Model, now: Instant) -> Line:
    name = model.name
    kept = load(wired.ports.memory).monitor(name)
    hour = within(kept.slabs, now - _HOUR, now)
    found = live(state, model, kept, now)
    whole = next((part for part in found.counts.quality if not part.slice), None)
    doing = filter(None, (elsewhere.doing(state, model, kept), _doing(wired, state, model, now)))
    return msgspec.structs.replace(
        _recorded(state, name, "; ".join(doing)),
        quality=found.quality,
        former=found.former,
        p99_ms=round(latency_ms(hour.latency, 0.99), 1) if sum(hour.latency.values()) >= FEWEST_LATENCIES else None,
        requests=hour.n,
        errors=hour.errors,
        error_rate=hour.errors / hour.n if hour.n >= FEWEST else None,
        drift=tuple(sorted({trail.column for trail in kept.trails if trail.verdict != "none"})),
        watched=bool(kept.trails),
        labels=whole.labelled / whole.matured if whole and whole.matured >= FEWEST else None,
        labels_due=whole.matured if whole else 0,
        labels_came=whole.labelled if whole else 0,
        arrivals=labels_seen(kept.slabs, now),
        label_delay=str(label_delay(model)),
        purpose=model.framing.purpose,
        kpi=model.framing.kpi,
        risk=model.framing.risk,
        cost=cost_of(wired, name, now),
    )


def _doing(wired: Wired, state: State, model: Model, now: Instant) -> str:
    """What is under way, or what an alarm waits for, in a few words."""
    name = model.name
    last = lookup.roles(state, name).last_run
    run = state.get(RUNS, last) if last else None
    if run is not None and run.state in (RunState.QUEUED, RunState.RUNNING):
        return f"{run.run} {run.state.value}"
    data = state.get(DATASETS, model.data.name)
    if data is not None and data.refused_mark:
        return f"data refused: {first_of(data.violations)}{_DATA}" if data.violations else f"data refused{_DATA}"
    stale = [age for age in ages(state, model) if now - age.as_of > age.freshness]
    if stale:
        oldest = min(stale, key=lambda age: age.as_of)
        old = roughly(now - oldest.as_of, parts=2, up=True)
        return f"stale data: the newest row of {oldest.data} is {old} old, {oldest.freshness} at most is wanted"
    warned = (
        f"data warns: {first_of([each.text for each in data.findings], data.unlisted)}{_DATA}" if data is not None and data.findings else ""
    )
    wait = held_back(state, model, load(wired.ports.memory), now, detector=wired.ports.detector, price=wired.ports.cpu_price)
    return f"{_NEXT[model.autonomy.training]} in {roughly(wait.until - now)}: {wait.why}" if wait else warned


def _table(out: Output, ports: Ports, state: State, lines: list[Line], waits: list[Waiting], now: Instant) -> None:
    cells = [
        [
            each.name,
            each.champion or "none",
            bar(each),
            _learning(each) if each.former else _quality(each.quality),
            "–" if each.p99_ms is None else f"{number(each.p99_ms)} ms",
            _share(each.error_rate, each.errors, each.requests),
            _drift(each),
            f"{_share(each.labels, each.labels_came, each.labels_due)}, {each.label_delay}" if each.labels_due else "–",
            ago(each.since, now),
        ]
        for each in lines
    ]
    out.table(("MODEL", "CHAMPION", "TRAFFIC", "QUALITY (vs release)", "P99", "ERRORS", "DRIFT", "LABELS", "SINCE"), cells)
    # that the newest run failed says nothing of what was made before
    told = {each.model for each in waits if each.kind != "failed" or not _newest_waits(state, each.model)}
    for each in lines:
        if each.doing:
            out.line(f"{each.name}: {each.doing}")
        elif not each.champion and not each.rollout:
            # what it waits for, and the command, have a line of their own below
            step = "" if each.name in told else f": {_first_step(ports, state, each.name)}"
            out.line(f"{each.name}: no version answers yet{step}")
        if each.cost is not None:
            out.line(f"cost      {each.name}: {cost_text(each.cost)}")


def _newest_waits(state: State, name: str) -> bool:
    """Whether the newest version is only to be released."""
    newest = state.get(VERSIONS, f"{name}/{lookup.roles(state, name).newest}")
    return newest is not None and newest.state is VersionState.ELIGIBLE


def _first_step(ports: Ports, state: State, name: str) -> str:
    """What brings a model's first version into service."""
    newest = state.get(VERSIONS, f"{name}/{lookup.roles(state, name).newest}")
    if newest is not None and newest.state is VersionState.ELIGIBLE:
        # what its gates do not hold any more has a line of its own
        verb = "models show" if gates_in_doubt(state, newest, ports.clock.now()) else "release"
        return f"flyball {verb} {name}@{newest.version}"
    return f"flyball train {name}" if ports.before is None else _first_from(ports.before, name, ports.environment)


def _first_from(before: Before, name: str, here: str) -> str:
    """The same where versions come from another environment: what answers there is released here, once it was tried there."""
    try:
        there = next(iter(before.rows(name, ())), None)
    except FlyballError:
        there = None
    if there is None:
        return f"flyball train {name} --env {before.name}; once it answers there: flyball release {name}@VERSION --env {here}"
    first = f"{fix_unchecked(there, before.name)}; then " if unchecked(there) else ""
    return f"{first}flyball release {name}@{there.version} --env {here}"


def bar(each: Line) -> str:
    """Ten blocks: full for the champion, then the challenger's version."""
    if not each.traffic:
        return "–"
    full = round(_BAR * each.traffic.get(each.champion, 0.0))
    other = f" {each.challenger}" if each.challenger and each.challenger != each.champion else ""
    return "█" * full + "░" * (_BAR - full) + other


def _quality(found: LiveQuality) -> str:
    word = {"ok": "ok", "worse": "worse", "insufficient": "?"}[found.verdict]
    if found.value is None:
        return f"{found.metric} ?"
    interval = "" if found.low is None or found.high is None else f" [{number(found.low)}, {number(found.high)}]"
    return f"{number(found.value)}{interval} {word}"


def _learning(each: Line) -> str:
    """Nothing is said yet of the version that answers; what the former one was is its own."""
    former = f" ({each.former.version}: {_quality(each.former.quality)})" if each.former else ""
    return f"{'worse' if each.quality.verdict == 'worse' else 'learning'}{former}"


def _share(share: float | None, count: int, n: int) -> str:
    """A share, or of how many it would be while these are too few to say."""
    if share is not None:
        return f"{number(100 * share)}%"
    return f"{count} of {n} (too few yet)" if n else "–"


def _drift(each: Line) -> str:
    if not each.watched:
        return "?"
    return f"{len(each.drift)} col" if each.drift else "none"


def _clock(row: IncidentRow, now: Instant) -> str:
    """What is due next of an incident, and in what time."""
    what, at = ("mitigation", row.mitigate_by) if row.state in LIVE and row.mitigate_by else ("review", row.review_by)
    return f"{what} due in {roughly(at - now)}" if at > now else f"{what} overdue"


def _firing_now(state: State, row: IncidentRow) -> list[str]:
    """What fires of the same failure mode while what the incident opened for does not any more, the first two of it."""
    alerts = alerts_of(state, row.model) if row.model and row.alert else {}
    firing = {key: each for key, each in alerts.items() if each.state in _FIRING and each.finding.severity == "alert"}
    if row.alert in firing:
        return []
    return [each.finding.why for each in firing.values() if each.finding.failure == row.failure_mode][:2]


def _wrong(
    out: Output,
    state: State,
    incidents: list[IncidentRow],
    proposals: list[ProposalRow],
    waits: list[Waiting],
    broken: list[LoopFileRow],
    now: Instant,
    kpis: dict[str, str],
) -> None:
    for row in incidents:
        due = _clock(row, now)
        cause = f" ({row.cause})" if row.cause else ""
        cause += "".join(f"; now {each}" for each in _firing_now(state, row))
        stake = f", at stake: {kpis[row.model]}" if kpis.get(row.model) else ""
        out.line(
            f"{out.paint('incident', 'bad')}  {row.incident} {row.model}: {row.what}{cause}{stake}, {row.state.value}, {due}   → {next_of(state, row)}"
        )
    refused = {(each.model, each.subject) for each in waits if each.kind == "refused"}
    for made in proposals:
        if made.action == "release" and (made.model, made.target) in refused:
            # its own line, below, says what to do instead
            continue
        asks = "proposed" if made.mode == "propose" else "would"
        out.line(f"{out.paint(f'{asks:<8}', 'unsure')}  {made.action} {made.model} {made.target}: {made.reason}   → {answer(made)}")
    for each in waits:
        out.line(waiting_text(out, each))
    for one in broken:
        out.line(f"{out.paint('broken', 'bad')}    {one.file}: {first_of(one.problems)}   → flyball check")
    epochs = state.get(EPOCHS, "routes")
    if epochs is not None and epochs.in_force < epochs.desired:
        out.line(f"routes    decided {ago(epochs.desired_at, now)} ago, not in force everywhere yet")


def waiting_text(out: Output, each: Waiting) -> str:
    """What of a model waits or is broken, on one line, with the command that ends it."""
    subject = f"{each.model}@{each.subject}" if each.kind in ("held", "rejected", "refused") else f"{each.model} {each.subject}".rstrip()
    word = out.paint(each.kind, "bad" if each.kind in ("failed", "rejected", "unread") else "unsure")
    return f"{word}{' ' * (10 - len(each.kind))}{subject}: {each.what}   → {each.step}"


def _waiting(waits: list[Waiting], kind: str, subject: str, what: str) -> list[dict[str, str]]:
    return [{"model": each.model, subject: each.subject, what: each.what, "next": each.step} for each in waits if each.kind == kind]


def advised_against(state: State) -> list[VersionRow]:
    """The versions of each model that answer, may again, or wait, where a person, or the environment before, advises against them."""
    found = ((name, version) for name, roles in state.scan(MODELS) for version in lookup.in_play(state, roles))
    rows = (state.get(VERSIONS, f"{name}/{version}") for name, version in found)
    return [row for row in rows if row is not None and row.deprecated]


def in_doubt(state: State, now: Instant) -> list[VersionRow]:
    """The champion and the newest version of each model, where a gate that it passed by does not hold now: a waiver has expired, or a gate was
    declared anew and it fails it, or was not judged by it.
    """
    found: dict[str, VersionRow] = {}
    for name, roles in state.scan(MODELS):
        for version in (roles.champion, roles.newest):
            row = state.get(VERSIONS, f"{name}/{version}") if version else None
            passed = row is not None and row.state in RELEASABLE
            if row is not None and passed and gates_in_doubt(state, row, now):
                found[f"{name}/{version}"] = row
    return list(found.values())


def gates_in_doubt(state: State, row: VersionRow, now: Instant) -> list[str]:
    """The gates of a version that passed once and do not hold now, and whether the present ones have judged it, unless it went."""
    unjudged = "" if row.state is VersionState.RETIRED else lookup.unjudged(state, row)
    return list(filter(None, (*doubts(row, now), unjudged)))


def doubt_text(out: Output, state: State, row: VersionRow, now: Instant) -> str:
    """A version in doubt on one line."""
    ref, gates = f"{row.model}@{row.version}", gates_in_doubt(state, row, now)
    more = f" (and {len(gates) - 1} more)" if len(gates) > 1 else ""
    return f"{out.paint('gate', 'bad')}      {ref} ({row.state.value}): {gates[0]}{more}   → flyball models show {ref}"


def answer(made: ProposalRow) -> str:
    """The command that does what is proposed."""
    return f"flyball {made.action} {made.model}" + (f"@{made.target}" if made.action == "release" else "")


def is_starting(wired: Wired, age: int | None, now: Instant) -> bool:
    """Whether no pass was made since `flyball up` was started, and it has not had the time yet that the watchdog gives it."""
    since = wired.layout.up_age(now)
    patience = max(wired.settings.loop_silent_s, SILENT_S) * 1_000_000
    return age is None if since is None else (age is None or age > since) and since <= patience


def loop_text(age: int | None, *, up: bool, starting: bool = False) -> str:
    """Whether the loop runs."""
    ago_ = "" if age is None else f"{roughly(age)} ago"
    if not up:
        return "loop: not running" + (f", last seen {ago_}" if ago_ else "") + " (flyball up)"
    if starting:
        return "loop: starting" + (f", the last pass was made {ago_}" if ago_ else "")
    late = age is None or age > LOOP_FRESH
    return f"loop: {ago_ or 'no pass yet'}" + (", late: see .flyball/run/logs/control.log" if late else "")
