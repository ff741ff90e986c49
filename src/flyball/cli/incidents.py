"""`flyball incidents`: what is wrong in production, who does what by when."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common, deliveries
from flyball.cli import incidenttext as text
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason, Yes
from flyball.cli.muting import mute, unmute
from flyball.cli.output import Output, ago, roughly
from flyball.clock import Instant
from flyball.loop import lookup, orders
from flyball.loop.nextstep import next_of
from flyball.records.declarations import DECLARATIONS
from flyball.records.incidents import INCIDENTS, IncidentOpened, IncidentRow, IncidentState, Review

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.loop.complained import About
    from flyball.loop.raised import Raised
    from flyball.wiring import Wired

app = common.app()
Incident = Annotated[str, typer.Argument(metavar="ID", help="an incident's id, or its end if that is unmistakable")]


@app.callback()
def incidents() -> None:
    """Incidents of all models."""


@app.command("list")
def list_incidents(
    *,
    everything: Annotated[bool, typer.Option("--all", help="closed ones too")] = False,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Incidents that are not closed, newest first. Each is shown with its next step."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        now, state = wired.ports.clock.now(), wired.ports.ledger.state()
        found = [row for _, row in state.scan(INCIDENTS) if common.may_see(wired, row.model)]
        rows = [row for row in found if everything or row.state != IncidentState.CLOSED]
        rows.sort(key=lambda row: -row.opened_at)
        cells = [
            [row.incident, row.model or "-", row.what, ago(row.opened_at, now), _mitigate(row, now), _review(row, now), next_of(state, row)]
            for row in rows
        ]
        if rows:
            out.table(("ID", "MODEL", "WHAT", "SINCE", "MITIGATE", "REVIEW", "NEXT STEP"), cells)
        else:
            out.line("no incident" if everything else "no incident is open")
        out.document({"incidents": [text.row_document(row) for row in rows]})
    return 0


@app.command()
def show(incident: Incident, *, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """One incident. Its likely causes, what it has cost, its clocks, what was noted on it, and what happened around it."""
    from flyball.loop import reviews
    from flyball.loop.timeline import timeline

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        row, now = _found(wired, incident), wired.ports.clock.now()
        counted, told = reviews.measured(wired.ports, row), timeline(wired.ports.ledger, wired.ports.library, row, now)
        clocks, about, raised = (_mitigate(row, now), _review(row, now)), _about(wired, row), _raised(wired, row)
        text.shown(out, row, counted, told, now=now, stake=common.framing_of(wired, row.model), clocks=clocks, about=about, raised=raised)
        state = wired.ports.ledger.state()
        delivered = deliveries.of_incident(out, state, row.incident, now)
        out.line(f"  next      {next_of(state, row)}")
        out.document(text.document(row, counted, told, about, raised) | {"deliveries": delivered})
    return 0


@app.command("open")
def open_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="which model the complaint is about")],
    what: Annotated[str, typer.Option("--what", metavar="TEXT", help="what is wrong, as whoever complains sees it")] = "",
    request: Annotated[str, typer.Option("--request", metavar="ID", help="the id of the prediction that it is about")] = "",
    *,
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Open an incident. A person complains, and no monitor has seen why."""
    out = Output(as_json=as_json, quiet=quiet)
    common.must_say("--what", what, "a complaint needs a text", why="whoever sees to it has to know what is wrong")
    with common.opened(project, env) as wired:
        common.must_see(wired, model)
        acting, declared = Acting(what, dry_run, key), lookup.declared(wired.ports, model)
        about = _known(wired, declared, request) if request.strip() else None
        command, decide = orders.complain(
            wired.ports,
            declared,
            command=common.command_id(wired, acting, f"open {model}"),
            actor=wired.caller.actor,
            what=what,
            request=request,
        )
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is not None:
            events = lookup.events_of(wired.ports.ledger, receipt)
            state = wired.ports.ledger.state()
            row = lookup.incident(state, next(one.incident for one in events if isinstance(one, IncidentOpened)))
            out.line(f"{row.incident} opened   {row.model}   next: {next_of(state, row)}")
            if about is not None:
                out.line(f"  asked     {about}")
            told = text.about_document(about)
            out.document({"incident": row.incident, "model": row.model, "state": row.state, "about": told, "event": receipt.last})
    return 0


@app.command()
def mitigated(
    incident: Incident,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say what ended a complaint. Of every other incident that is observed."""
    common.must_say("--reason", reason, "what ended it is to be said", why="no monitor has seen it")
    return _settle(
        incident, "mitigated", reason, Acting(reason, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet)
    )


@app.command()
def fallback(
    incident: Incident,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Let the declared fallback answer. Until it is mitigated; the model's versions are asked unheard meanwhile."""
    out, acting = Output(as_json=as_json, quiet=quiet), Acting(reason, dry_run, key)
    with common.opened(project, env) as wired:
        row = _found(wired, incident)
        named = common.command_id(wired, acting, f"fallback {incident}")
        command, decide = orders.fall_back(wired.ports, row, command=named, actor=wired.caller.actor, reason=reason)
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is not None:
            out.line(f"{row.model}: its fallback answers{'' if receipt.last else ' already'}, until {row.incident} is mitigated")
            out.document({"incident": row.incident, "model": row.model, "event": receipt.last})
    return 0


@app.command()
def ack(
    incident: Incident,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say that somebody is on it. It is noted with the reason, and its alert, if it has one, is acknowledged."""
    return _settle(
        incident, "ack", reason, Acting(reason, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet)
    )


@app.command()
def review(
    incident: Incident,
    text_: Annotated[str, typer.Option("--text", metavar="TEXT", help="the short form: what happened, and what will be different")] = "",
    what: Annotated[str, typer.Option("--what", metavar="TEXT", help="what happened")] = "",
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="why it happened, and was not seen before")] = "",
    impact: Annotated[
        str, typer.Option("--impact", metavar="TEXT", help="whom it hurt, and how much", show_default="what was counted")
    ] = "",
    action: Annotated[
        list[str] | None,
        typer.Option("--action", metavar='"WHAT; OWNER; DUE"', help="what will be different, by whom and when (14d); again for more"),
    ] = None,
    *,
    export: Annotated[bool, typer.Option("--export", help="write the whole incident as Markdown, and change nothing")] = False,
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write down what was learnt. A mitigated incident is reviewed with this."""
    from flyball.loop import reviews

    out, said = Output(as_json=as_json, quiet=quiet), what or text_
    common.not_both("--text", "--what", both=bool(text_ and what))
    if export:
        return _export(incident, out, project=project, env=env)
    common.must_say("--text", said, "a review needs a text", why="an empty one teaches nobody")
    with common.opened(project, env) as wired:
        row = _found(wired, incident)
        with common.reading_options():
            actions = [reviews.action(one, wired.ports.clock.now()) for one in action or ()]
        form = reviews.form(wired.ports, row, what=said, why=why, impact=impact, actions=actions)
    return _settle(incident, "review", said, Acting(said, dry_run, key), project=project, env=env, out=out, form=form)


def _export(incident: str, out: Output, *, project: Path, env: str) -> int:
    from flyball.loop import reviews
    from flyball.loop.deeds import deeds
    from flyball.loop.timeline import timeline

    with common.opened(project, env) as wired:
        ports = wired.ports
        row = _found(wired, incident)
        told = timeline(ports.ledger, ports.library, row, ports.clock.now())
        done = deeds(ports.ledger, row, ports.clock.now())
        written = reviews.markdown(row, told, reviews.measured(ports, row), done, _about(wired, row))
        out.line(written.rstrip())
        out.document({"incident": row.incident, "markdown": written})
    return 0


@app.command()
def resolve(
    incident: Incident,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    yes: Yes = False,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Close it as a false alarm, with a reason. What really was wrong closes by itself, when that is seen."""
    common.must_say("--reason", reason, "a false alarm needs a reason")
    if not dry_run and not common.sure(f"close {incident} as a false alarm?", yes=yes):
        return 1
    return _settle(
        incident, "resolve", reason, Acting(reason, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet)
    )


app.command()(mute)
app.command()(unmute)


def _found(wired: Wired, incident: str) -> IncidentRow:
    """The incident that is meant, which this caller may see. Raises NotFound, BadInput, Refused."""
    row = lookup.incident(wired.ports.ledger.state(), incident, partial(common.may_see, wired))
    common.must_see(wired, row.model)
    return row


def _known(wired: Wired, model: Model, request: str) -> About:
    """What a complaint is about. Raises NotFound for a request that is not in the log."""
    # it takes data frames along, which most commands do without
    from flyball.loop.complained import known

    return known(wired.answers(), model, request)


def _about(wired: Wired, row: IncidentRow) -> About | None:
    """The same of an incident, as far as the log still has it."""
    if not row.request:
        return None
    from flyball.loop.complained import about_of

    return about_of(wired.answers(), _readable(wired, row), row)


def _raised(wired: Wired, row: IncidentRow) -> Raised | None:
    """What was raised of an incident that tells of errors, as far as the log still has it."""
    from flyball.loop.raised import raised_of

    return raised_of(wired.answers(), wired.ports.ledger.state(), _readable(wired, row), row)


def _readable(wired: Wired, row: IncidentRow) -> Model | None:
    declared = wired.ports.ledger.state().get(DECLARATIONS, row.model)
    return lookup.readable(wired.ports.library, declared)[0] if declared is not None else None


def _settle(
    incident: str,
    verb: orders.SettleVerb,
    said: str,
    acting: Acting,
    *,
    project: Path,
    env: str,
    out: Output,
    form: Review | None = None,
) -> int:
    with common.opened(project, env) as wired:
        ports = wired.ports
        row = _found(wired, incident)
        command, decide = orders.settle(
            row, verb, command=common.command_id(wired, acting, f"{verb} {incident}"), actor=wired.caller.actor, text=said, review=form
        )
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is not None:
            known = ports.ledger.state()
            after = lookup.incident(known, row.incident)
            done = {"ack": "acknowledged", "mitigated": "mitigated", "review": "reviewed", "resolve": "closed"}[verb]
            same = "is acknowledged already" if verb == "ack" else "is as it was"
            what = done if receipt.last else same
            # a state that the verb is called by is said once
            state = "" if what == after.state.value else f"   {after.state.value}"
            out.line(f"{after.incident} {what}{state}   next: {next_of(known, after)}")
            out.document({"incident": after.incident, "state": after.state, "event": receipt.last})
    return 0


def _mitigate(row: IncidentRow, now: Instant) -> str:
    return _done(row, row.mitigated_at) if row.mitigated_at else _clock(row.mitigate_by, now)


def _review(row: IncidentRow, now: Instant) -> str:
    return _done(row, row.reviewed_at) if row.reviewed_at else _clock(row.review_by, now)


def _done(row: IncidentRow, at: Instant) -> str:
    return f"done after {roughly(at - max(row.opened_at, row.reopened_at))}"


def _clock(due: Instant, now: Instant) -> str:
    return f"in {roughly(due - now)}" if due > now else f"{roughly(now - due)} over"
