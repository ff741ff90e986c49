"""What people were told, where it went, and what does not get through: the part of it that `status` and `incidents show` tell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from flyball.cli import common
from flyball.cli.output import Output, ago, dated, one_line, roughly
from flyball.clock import Instant, rfc3339
from flyball.declare.routes import Routes
from flyball.loop.delivering import news_of, state_of, told_of, waiting_of
from flyball.records.base import State
from flyball.records.declarations import DECLARATIONS
from flyball.records.deliveries import DeliveryRow, DeliveryState
from flyball.records.mutes import MUTES, MuteRow

if TYPE_CHECKING:
    from flyball.wiring import Wired


def told(out: Output, wired: Wired, state: State, now: Instant, *, up: bool) -> dict[str, Any]:
    """Write what waits for its route and since when, which routes the flyball that is up does not know as they are declared, and what is muted; the same
    for the document.
    """
    declared = wired.ports.outbox.routes if wired.ports.outbox is not None else Routes()
    routes = declared.routes
    failing = []
    for route, rows in waiting_of(state).items():
        own = [row for row in rows if common.may_see(wired, row.said.model)]
        if own:
            failing.append(_failing(out, wired, route, own, now, declared=route in routes))
    if not routes and state.scan(DECLARATIONS):
        out.line("routes    none are declared: nobody is told of incidents (docs/alerts.md)")
    news = news_of(wired.ports.memory, declared) if up else []
    if news:
        out.line(
            f"{out.paint('routes', 'unsure')}    {', '.join(news)} in flyball.toml since flyball was started, which goes on with what it read then   → start flyball anew"
        )
    mutes = [row for _, row in state.scan(MUTES) if now < row.until and common.may_see(wired, row.model)]
    for row in mutes:
        out.line(mute_text(out, row, now))
    return {
        "routes": list(routes),
        "routes_unread": news,
        "undelivered": failing,
        "muted": [dated(row) | {"until": rfc3339(row.until), "at": rfc3339(row.at)} for row in mutes],
    }


def _failing(out: Output, wired: Wired, route: str, rows: list[DeliveryRow], now: Instant, *, declared: bool) -> dict[str, Any]:
    """What waits for one route: since when, why, and when it is tried again."""
    held = state_of(wired.ports.memory, route)
    failed = next((row for row in reversed(rows) if row.undelivered_at), None)
    why = held.why or (failed.why if failed is not None else "")
    since = held.since or (failed.undelivered_at if failed is not None else 0)
    many = f"{len(rows)} messages wait" if len(rows) > 1 else "a message waits"
    if not declared:
        step = "declare it again in flyball.toml, and start flyball anew"
    elif not why:
        step = "it is sent by the next pass of the loop"
    else:
        step = f"tried again in {roughly(held.again_at - now)}" if held.again_at > now else "tried again by the next pass of the loop"
    failing = f", failing for {ago(since, now)}: {one_line(why)}" if why else ""
    out.line(
        f"{out.paint('route', 'bad' if why else 'unsure')}     {route}: {many} since {ago(rows[0].queued_at, now)} ago{failing}   → {step}"
    )
    return {
        "route": route,
        "waiting": len(rows),
        "incidents": list(dict.fromkeys(row.said.incident for row in rows if row.said.incident)),
        "since": rfc3339(since) if since else None,
        "why": why,
        "again_at": rfc3339(held.again_at) if held.again_at > now else None,
    }


def mute_text(out: Output, row: MuteRow, now: Instant) -> str:
    """A mute on one line."""
    what = f'{row.model}: "{row.monitor}"' if row.monitor else row.model
    of = f"{what} for {roughly(row.until - now)} more, by {row.actor}: {one_line(row.reason)}"
    return f"{out.paint('muted', 'unsure')}     {of}   → {unmute_step(row.model, row.monitor)}"


def unmute_step(model: str, monitor: str) -> str:
    """The command that ends a mute."""
    return f"flyball incidents unmute {model}" + (f" --monitor {shlex.quote(monitor)}" if monitor else "")


def of_incident(out: Output, state: State, incident: str, now: Instant) -> list[dict[str, Any]]:
    """Write what was told of an incident and where it went; the same for the document."""
    rows = [row for _, row in told_of(state, incident)]
    for row in rows:
        with_ = f" in one with {row.said.incident}" if row.said.incident != incident else ""
        out.line(f"  told      {row.said.told}{with_} to {row.route}: {_became(row, now)}")
    return [
        {
            "message": row.said.message,
            "told": row.said.told,
            "thread": row.said.thread,
            "route": row.route,
            "state": row.state,
            "queued_at": rfc3339(row.queued_at),
            "delivered_at": rfc3339(row.delivered_at) if row.delivered_at else None,
            "attempts": row.attempts,
            "receipt": row.receipt,
            "why": row.why,
        }
        for row in rows
    ]


def _became(row: DeliveryRow, now: Instant) -> str:
    if row.state == DeliveryState.DELIVERED:
        tries = f", at try {row.attempts}" if row.attempts > 1 else ""
        missed = f", {one_line(row.why)}" if row.undelivered_at == row.delivered_at else ""
        return f"delivered {ago(row.delivered_at, now)} ago, {roughly(row.delivered_at - row.queued_at)} after it happened{tries}{missed}"
    if row.state == DeliveryState.SUPERSEDED:
        return "not sent: what came later was delivered"
    return f"failing for {ago(row.undelivered_at, now)}: {one_line(row.why)}" if row.undelivered_at else "waits"
