"""`flyball gc`: room made of what came to nothing, without anything that is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, DryRun, Env, Json, Project, Quiet
from flyball.cli.output import Output, counted
from flyball.clock import Span

if TYPE_CHECKING:
    from flyball.loop.collecting import Garbage

app = common.app()


@app.command()
def gc(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="SPAN", help="keep what runs left for so long; default is the setting run_retention_d")
    ] = "",
    dry_run: DryRun = False,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Remove blobs that nothing needs: what nobody refers to, what old runs left that came to nothing, and versions of data sets that are kept
    no longer (keep=). Removals are recorded.
    """
    from flyball.loop import collecting, retention
    from flyball.loop.authority import permit

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        ports = wired.ports
        keep = common.span("--older-than", older_than) if older_than else Span(wired.settings.run_retention_d * Span.parse("1d"))
        data = retention.declared(ports.ledger.state(), ports.library)
        found = collecting.garbage(ports, now=ports.clock.now(), keep=keep, data=data)
        command = collecting.command(found, id=ports.clock.new_id("cmd"), actor=wired.caller.actor)
        if dry_run:
            permit(wired.caller, command, wired.ledger.state)
            _tell(out, found, removed=len(found.blobs), keep=keep, event=None, dry_run=True)
            return 0
        # what is recorded may be missing from then on: a crash here is healed by the next gc
        receipt = ports.ledger.execute(command, collecting.decide_remove)
        removed = collecting.remove(ports, found)
        _tell(out, found, removed=removed, keep=keep, event=receipt.last or None, dry_run=False)
    return 0


def _tell(out: Output, found: Garbage, *, removed: int, keep: Span, event: int | None, dry_run: bool) -> None:
    verb = "would remove" if dry_run else "removed"
    of_runs = len(found.recorded)
    out.line(f"{verb}  {counted(removed, 'blob')}, {found.size / 1e6:,.1f} MB: {of_runs} of runs that came to nothing more than {keep} ago")
    for key in found.versions:
        out.line(f"{'would delete' if dry_run else 'deleted'}  {key.replace('/', '@')}, which was rejected")
    for key in found.data.versions:
        name, _, content = key.rpartition("/")
        out.line(f"{'would let go' if dry_run else 'let go'}  version {content[:12]} of {name}, from which nothing was made")
    if found.jobs:
        out.line(f"{verb}  logs and files of {counted(len(found.jobs), 'run')}")
    out.document(
        {
            "dry_run": dry_run,
            "older_than": str(keep),
            "blobs": removed,
            "bytes": found.size,
            "recorded": of_runs,
            "versions": [key.replace("/", "@") for key in found.versions],
            "runs": list(found.jobs),
            "data": list(found.data.versions),
            "event": event,
        }
    )
