"""`flyball demo`: the story in a minute, with real processes, real HTTP and the real clock."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flyball.cli import common
from flyball.cli.common import Json, Quiet
from flyball.cli.output import Output
from flyball.errors import Conflict

app = common.app()


@app.command()
def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="leave everything running, to look at")] = False,
    sabotage: Annotated[
        bool, typer.Option("--sabotage", help="switch the detector, the monitors and the triggers off: must exit 1")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="N", min=1, max=65535, help="where to listen on 127.0.0.1", show_default="any that is free"),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """A model is trained, gated, released, drifts, is retrained and rolled out; a bad candidate is rolled back. Exit 1 if any part fails."""
    out = Output(as_json=as_json, quiet=quiet)
    from flyball.demo.run import play
    from flyball.demo.table import rows
    from flyball.demo.teller import Teller

    # under --json stdout is for the document alone
    try:
        report, kept = play(Teller(sys.stderr if as_json else sys.stdout, quiet=quiet), keep=keep, sabotage=sabotage, port=port or 0)
    except Conflict as error:
        if error.code != "port-in-use":
            raise
        raise Conflict(error.what, why=error.why, fix="choose another port, or none: flyball demo", code=error.code) from None
    out.line()
    for name, text, mood in rows(report):
        out.line(f"  {name:<18}{out.paint(text, mood) if mood else text}".rstrip())
    if kept is not None:
        out.note(f"\nstill running: {kept.url}   project {kept.project}")
        out.note(f"look at it:    flyball status --project {kept.project}")
        out.note(f"stop it:       kill {kept.pid}   and then remove the folder")
    out.document(report)
    return 1 if report.failures else 0
