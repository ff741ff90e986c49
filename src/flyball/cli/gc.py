"""`flyball gc`: room made of what came to nothing, without anything that is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, DryRun, Json, Project, Quiet
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
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Remove blobs that nothing needs: what nobody refers to, and what old runs left that came to nothing. Removals are recorded."""
    from flyball.loop import collecting
    from flyball.loop.authority import permit

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project) as wired:
        ports = wired.ports
        keep = common.span("--older-than", older_than) if older_than else Span(wired.settings.run_retention_d * Span.parse("1d"))
        found = collecting.garbage(ports, now=ports.clock.now(), keep=keep)
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
            "event": event,
        }
    )
