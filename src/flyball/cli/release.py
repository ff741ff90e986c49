"""`flyball release`: start a version's rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.output import Output
from flyball.declare.change_window import closed
from flyball.errors import BadInput
from flyball.ledger.ledger import error_of
from flyball.loop import lookup, orders
from flyball.records.base import Receipt
from flyball.records.models import parse_ref
from flyball.records.rollouts import RolloutPlanned, Step
from flyball.registry.rules import met_another

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.wiring import Wired

app = common.app()


@app.command()
def release(
    version: Annotated[str, typer.Argument(metavar="MODEL@V", help="the version, as in price-direction@1.4.0")],
    *,
    outside_window: Annotated[
        bool, typer.Option("--outside-window", help="go forward while the change window is closed, too; needs --reason")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Start the rollout that the declaration describes. Refused unless every gate of the version passed."""
    out = Output(as_json=as_json, quiet=quiet)
    if not parse_ref(version).version:
        raise BadInput(f"{version} names no version", why="a release is of one version", fix=f"flyball models list {version} shows them")
    if outside_window:
        common.must_say("--reason", reason, orders.OUTSIDE, why=orders.OUTSIDE_WHY)
    with common.opened(project, env) as wired:
        if dry_run and _would_take_over(wired, out, version):
            return 0
        if not dry_run:
            bring(wired, version, Acting(reason, dry_run, key))
        row = common.find_reference(wired, version)
        model = common.declared(wired, row.model)
        met = met_another(row, lookup.roles(wired.ports.ledger.state(), row.model).champion)
        started = start(wired, out, model, row.version, Acting(reason, dry_run, key), outside_window=outside_window)
        if met:
            out.note(met)
        if row.deprecated:
            out.note(f"{row.model}@{row.version} is deprecated: {row.deprecated}")
        if started is None:
            return 0
        rollout, receipt = started
        out.line(
            f"rollout {rollout}  {steps(model)}    guards: {', '.join(map(str, model.rollout.guards)) or 'none'}    event {receipt.last}"
        )
        shut = "" if outside_window else closed(model.rollout.change_window, wired.ports.clock.now())
        told = [{"kind": step.kind, "weight": step.weight, "bake": f"{step.bake.seconds:g}s"} for step in model.rollout.steps]
        out.document(
            {
                "rollout": rollout,
                "model": row.model,
                "version": row.version,
                "steps": told,
                "deprecated": row.deprecated or None,
                "waits": shut or None,
                "event": receipt.last,
            }
        )
        if not lookup.roles(wired.ports.ledger.state(), row.model).champion:
            out.note("it is the first release: it answers everybody once its worker is ready, for there is no champion to compare it with")
        if shut:
            out.note(f"{shut}: its workers start, and it begins then")
        if not common.is_up(wired):
            out.note("flyball is not up: the rollout waits for workers; start them: flyball up")
    return 0


def bring(wired: Wired, text: str, acting: Acting) -> None:
    """Where versions come from another environment, take this one over as it stands there. Raises what would refuse its release."""
    ref = common.reference(text)
    if ref.version not in ("", "champion", "challenger"):
        common.declared(wired, ref.model)
        wired.take_over(wired.caller, ref.model, ref.version, common.command_id(wired, acting, _order(ref.model, ref.version)))


def _order(model: str, version: str) -> str:
    """What a key stands for."""
    return f"release {model}@{version}"


def _would_take_over(wired: Wired, out: Output, text: str) -> bool:
    """Show what taking the version over would record, if it is to be taken over; its rollout follows from what it is then. Raises as `bring`."""
    from flyball.loop.bringing import weigh_release

    ref, before = common.reference(text), wired.ports.before
    if before is None or ref.version in ("", "champion", "challenger"):
        return False
    weighed = weigh_release(wired.ports, common.declared(wired, ref.model), ref.version, wired.caller)
    if weighed.refused is not None:
        raise error_of(weighed.refused)
    if weighed.events:
        common.show_events(out, weighed.events)
        out.note(f"first {ref} is taken over from {before.name}; what its rollout would record can be shown then")
    return bool(weighed.events)


def start(
    wired: Wired, out: Output, model: Model, version: str, acting: Acting, *, outside_window: bool = False
) -> tuple[str, Receipt] | None:
    """Release a version by this person; the rollout's id and the receipt, None for a dry run. Raises what a refusal says."""
    ports = wired.ports
    command, decide = orders.release(
        ports,
        model,
        version,
        command=common.command_id(wired, acting, _order(model.name, version) + (" --outside-window" if outside_window else "")),
        actor=wired.caller.actor,
        reason=acting.reason,
        outside_window=outside_window,
    )
    receipt = common.act(wired, out, command, decide, acting)
    if receipt is None:
        return None
    # a command that was given before has started another rollout than the one just named
    planned = (event.rollout for event in lookup.events_of(ports.ledger, receipt) if isinstance(event, RolloutPlanned))
    return next(planned, command.rollout), receipt


def steps(model: Model) -> str:
    """The steps in order: "shadow 12h → canary 25% 6h → champion"."""
    return " → ".join([*map(step_text, model.rollout.steps), "champion"])


def step_text(step: Step) -> str:
    """One step as it was declared."""
    share = f" {step.weight / 100:g}%" if step.weight else ""
    wanted = f" {step.labels:,} labels" if step.labels else ""
    return f"{step.kind}{share} {step.bake}{wanted}"
