"""`flyball incidents mute` and `unmute`: hear nothing of a model's alerts for a while. They are watched all the same."""

from __future__ import annotations

from typing import Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.deliveries import unmute_step
from flyball.cli.output import Output
from flyball.clock import rfc3339
from flyball.loop import muting

Model = Annotated[str, typer.Argument(metavar="MODEL", help="a model's name")]
Monitor = Annotated[str, typer.Option("--monitor", metavar="NAME", help="one of its monitors, as `status` and incidents name it; else all")]


def mute(
    model: Model,
    *,
    lasts: Annotated[str, typer.Option("--for", metavar="SPAN", help="for how long, such as 2h; 30d at most")],
    monitor: Monitor = "",
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Hear nothing of a model's alerts for a while. They are watched all the same, and what still fires when it ends is told."""
    common.must_say("--reason", reason, "muting needs a reason")
    length = common.span("--for", lasts, example="2h")
    acting = Acting(reason, dry_run, key)
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        declared = common.declared(wired, common.model_name(model))
        given = common.command_id(wired, acting, f"mute {declared.name} {monitor} {lasts}")
        with common.reading_options():
            command, decide = muting.mute(
                declared, monitor, length, wired.ports.clock.now(), command=given, actor=wired.caller.actor, reason=reason
            )
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is not None:
            what = f'{declared.name}: "{monitor}"' if monitor else declared.name
            out.line(f"{what} is muted until {rfc3339(command.until)}   sooner: {unmute_step(declared.name, monitor)}")
            out.document({"model": declared.name, "monitor": monitor, "until": rfc3339(command.until), "event": receipt.last})
    return 0


def unmute(
    model: Model,
    *,
    monitor: Monitor = "",
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Hear of a model's alerts again. What still fires opens its incident and is told at once."""
    acting = Acting(reason, dry_run, key)
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        declared = common.declared(wired, common.model_name(model))
        given = common.command_id(wired, acting, f"unmute {declared.name} {monitor}")
        command, decide = muting.unmute(declared, monitor, command=given, actor=wired.caller.actor, reason=reason)
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is not None:
            what = f'{declared.name}: "{monitor}"' if monitor else declared.name
            out.line(f"{what} is heard again")
            out.document({"model": declared.name, "monitor": monitor, "event": receipt.last})
    return 0
