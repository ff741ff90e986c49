"""`flyball rollback`: back to the former champion, and how long that took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.output import Output, event_text
from flyball.loop import lookup, orders, releases
from flyball.records.base import Event, State
from flyball.records.rollouts import RolloutMoved
from flyball.records.serving import RouteDesired, RouteInForce
from flyball.records.versions import ChampionChanged

if TYPE_CHECKING:
    from flyball.wiring import Wired

app = common.app()

WAIT_S = 15.0
"""Longer than workers of a former champion, still running, ever took; a cold one may need more and is said to be on its way."""


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="which model")],
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Leave the rollout that is under way; without one, the former champion answers again. Waits until that is in force."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        declared = common.declared(wired, common.model_name(model))
        ports = wired.ports
        acting = Acting(reason, dry_run, key)
        command, decide = orders.rollback(
            ports, declared, command=common.command_id(wired, acting, f"rollback {declared.name}"), actor=wired.caller.actor, reason=reason
        )
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is None:
            return 0
        events = lookup.events_of(ports.ledger, receipt)
        left, to, what = told(ports.ledger.state(), declared.name, events)
        seen = wait(wired, declared.name, receipt.last, epoch_of(events)) if common.is_up(wired) else None
        out.line(f"{what}   {in_force(wired, declared.name, seen)}   {event_text(receipt.last)}")
        out.document(
            {
                "model": declared.name,
                "from": left,
                "to": to,
                "effective_s": round(seen.ms / 1000, 3) if seen else None,
                "processes": seen.processes if seen else 0,
                "event": receipt.last,
            }
        )
    return 0


def told(state: State, model: str, events: list[Event]) -> tuple[str, str, str]:
    """(the version that is left, the one that answers, both in words) from what was decided."""
    left, to = lookup.rolled_back(state, model, events)
    if any(isinstance(event, ChampionChanged) for event in events):
        return left, to, f"champion {left} → {to}"
    rollout = next((event.rollout for event in events if isinstance(event, RolloutMoved)), "")
    return left, to, f"out of {rollout}: {left} → {to}" if left else f"{model} is being rolled back already"


def epoch_of(events: list[Event]) -> int:
    """The route that was decided; 0 if no route had to change."""
    return next((event.epoch for event in events if isinstance(event, RouteDesired)), 0)


def wait(wired: Wired, model: str, after: int, epoch: int) -> RouteInForce | None:
    """The event that says that a model's route is in force everywhere; None if it did not come in time, or no route had to change."""
    until = time.monotonic() + WAIT_S
    while epoch and time.monotonic() < until:
        if releases.in_force(wired.ports.ledger.state(), model):
            events = (recorded.event for recorded in wired.ports.ledger.read(after, 1000))
            acknowledged = (event for event in events if isinstance(event, RouteInForce) and event.epoch >= epoch)
            return next((event for event in acknowledged if model not in event.waiting), None)
        time.sleep(0.02)
    return None


def in_force(wired: Wired, model: str, seen: RouteInForce | None) -> str:
    """Whether, and after how long, the model's route is as decided."""
    if seen is not None:
        return f"in force in {seen.processes} of {seen.processes} processes after {seen.ms / 1000:.2f} s"
    if not common.is_up(wired):
        return "nothing is running: in force with the next flyball up, or with flyball tick"
    if releases.in_force(wired.ports.ledger.state(), model):
        return "in force"
    return f"not in force after {WAIT_S:g} s: flyball status shows when it is"
