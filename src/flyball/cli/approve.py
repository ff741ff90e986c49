"""`flyball approve`: a person's yes to a version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.output import Output, event_text
from flyball.errors import BadInput
from flyball.loop import approvals
from flyball.loop.waiting import asked_text
from flyball.records.models import parse_ref
from flyball.records.versions import VERSIONS, VersionState

app = common.app()

VersionArgument = Annotated[str, typer.Argument(metavar="MODEL@V", help="the version, as in price-direction@1.4.0")]


@app.command()
def approve(
    version: VersionArgument,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Say yes to a version whose gates ask for a person. Never to one of your own: four eyes."""
    return give(version, "approve", Acting(reason, dry_run, key), project=project, env=env, out=Output(as_json=as_json, quiet=quiet))


def give(version: str, verb: Literal["approve", "reject"], acting: Acting, *, project: Path, env: str, out: Output) -> int:
    """Give a person's verdict; a reason is always asked for."""
    common.must_say("--reason", acting.reason, "a person's verdict needs a reason")
    if not parse_ref(version).version:
        raise BadInput(f"{version} names no version", why="a verdict is on one version", fix=f"flyball models list {version} shows them")
    with common.opened(project, env) as wired:
        row = common.find_reference(wired, version)
        ports, caller, command = wired.ports, wired.caller, common.command_id(wired, acting, f"{verb} {row.model}@{row.version}")
        if verb == "approve":
            receipt = common.act(wired, out, *approvals.approve(ports, caller, row, command=command, reason=acting.reason), acting)
        else:
            receipt = common.act(wired, out, *approvals.reject(ports, caller, row, command=command, reason=acting.reason), acting)
        if receipt is None:
            return 0
        after = wired.ports.ledger.state().get(VERSIONS, f"{row.model}/{row.version}")
        assert after is not None, f"{version} was judged and is not there"
        said = {"approve": "approved", "reject": "rejected"}[verb] if receipt.last else "is as it was"
        out.line(
            f"{row.model}@{row.version} {said}   {after.state.value}{_still(after.state, asked_text(after))}   {event_text(receipt.last)}"
        )
        out.document({"model": row.model, "version": row.version, "state": after.state, "said": after.said, "event": receipt.last or None})
    return 0


def _still(state: VersionState, asked: str) -> str:
    if state is not VersionState.HELD:
        return ""
    return f": {asked}" if asked else ": its other open gates want more rows"
