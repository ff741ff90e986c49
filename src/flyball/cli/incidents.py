"""`flyball incidents`: what is wrong in production, who does what by when."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from flyball.cli import common, deliveries
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason, Yes
from flyball.cli.muting import mute, unmute
from flyball.cli.output import Output, ago, dated, roughly
from flyball.clock import Instant, rfc3339
from flyball.loop import lookup, orders
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState

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
        now = wired.ports.clock.now()
        found = [row for _, row in wired.ports.ledger.state().scan(INCIDENTS) if common.may_see(wired, row.model)]
        rows = [row for row in found if everything or row.state != IncidentState.CLOSED]
        rows.sort(key=lambda row: -row.opened_at)
        cells = [
            [row.incident, row.model, row.what, ago(row.opened_at, now), _mitigate(row, now), _review(row, now), step(row)] for row in rows
        ]
        if rows:
            out.table(("ID", "MODEL", "WHAT", "SINCE", "MITIGATE", "REVIEW", "NEXT STEP"), cells)
        else:
            out.line("no incident" if everything else "no incident is open")
        out.document({"incidents": [dated(row) for row in rows]})
    return 0


@app.command()
def show(incident: Incident, *, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """One incident. Its cause as far as it is known, its clocks, and everything that was noted on it."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        row, now = lookup.incident(wired.ports.ledger.state(), incident, partial(common.may_see, wired)), wired.ports.clock.now()
        common.must_see(wired, row.model)
        out.line(f"{row.incident}  {row.model}   {row.state.value}   {row.what}")
        for name, value in (
            ("kind", row.failure_mode.replace("_", " ")),
            ("cause", row.cause or "not known"),
            ("owner", row.owner),
            ("at stake", common.framing_of(wired, row.model)),
            ("opened", f"{rfc3339(row.opened_at)} ({ago(row.opened_at, now)} ago)"),
            ("mitigate", _mitigate(row, now)),
            ("review", _review(row, now)),
            ("actions", ", ".join(row.actions) or "none"),
            ("rollout", row.rollout),
            ("overdue", ", ".join(row.overdue)),
        ):
            if value:
                out.line(f"  {name:<9} {value}")
        for note in row.notes:
            out.line(f"  noted     {note}")
        told = deliveries.of_incident(out, wired.ports.ledger.state(), row.incident, now)
        out.line(f"  next      {step(row)}")
        out.document(dated(row) | {"deliveries": told})
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
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="what happened, and what will keep it from happening again")],
    *,
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write down what was learnt. A mitigated incident is reviewed with this."""
    return _settle(incident, "review", text, Acting(text, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet))


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


def _settle(
    incident: str, verb: Literal["ack", "review", "resolve"], text: str, acting: Acting, *, project: Path, env: str, out: Output
) -> int:
    if verb == "review":
        common.must_say("--text", text, "a review needs a text", why="an empty one teaches nobody")
    with common.opened(project, env) as wired:
        ports = wired.ports
        row = lookup.incident(ports.ledger.state(), incident, partial(common.may_see, wired))
        common.must_see(wired, row.model)
        command, decide = orders.settle(
            row, verb, command=common.command_id(wired, acting, f"{verb} {incident}"), actor=wired.caller.actor, text=text
        )
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is not None:
            after = lookup.incident(ports.ledger.state(), row.incident)
            said = {"ack": "acknowledged", "review": "reviewed", "resolve": "closed"}[verb]
            out.line(f"{after.incident} {said if receipt.last else 'is as it was'}   {after.state.value}   next: {step(after)}")
            out.document({"incident": after.incident, "state": after.state, "event": receipt.last})
    return 0


def step(row: IncidentRow) -> str:
    """The command that is due next."""
    if row.state in (IncidentState.OPEN, IncidentState.MITIGATING):
        undo = f"flyball rollback {row.model}, or " if "rollback" in row.actions or row.failure_mode in ("errors", "latency") else ""
        return f"{undo}flyball incidents ack {row.incident}"
    if row.state == IncidentState.MITIGATED:
        return f'flyball incidents review {row.incident} --text "…"'
    return "it closes when it stays well" if row.state == IncidentState.REVIEWED else "none"


def _mitigate(row: IncidentRow, now: Instant) -> str:
    if row.mitigated_at:
        return f"done {roughly(row.mitigated_at - row.opened_at)}"
    return _clock(row.mitigate_by, now)


def _review(row: IncidentRow, now: Instant) -> str:
    return "done" if row.reviewed_at else _clock(row.review_by, now)


def _clock(due: Instant, now: Instant) -> str:
    return f"in {roughly(due - now)}" if due > now else f"{roughly(now - due)} over"
