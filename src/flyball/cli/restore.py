"""`flyball restore`: what `flyball backup` wrote, in a project whose record is empty, and verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Output, counted, roughly
from flyball.clock import rfc3339
from flyball.errors import FlyballError

if TYPE_CHECKING:
    from flyball.wiring import Wired

app = common.app()


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="what flyball backup wrote")],
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Bring a backup into this project, whose record is empty, and verify it. Loop files are yours: they are not in a backup."""
    from flyball.ledger.verify import verify
    from flyball.loop.authority import Restore
    from flyball.loop.restoring import restore as bring

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        wired.permit(Restore)
        made = bring(
            wired.ledger, wired.blobs, wired.layout, folder, before=wired.ports.before.name if wired.ports.before is not None else ""
        )
        found = verify(wired.ledger, wired.blobs)
        _admit(wired, out)
        age = max(wired.ports.clock.now() - made.made_at, 0)
    for problem in found.problems:
        out.line(f"{out.paint('PROBLEM', 'bad')}  {problem.where}  {problem.what}")
    kinds = (("event", found.events), ("blob", made.blobs), ("log file", made.log))
    counts = ", ".join(counted(number, one) for one, number in kinds)
    out.line(f"{counts} of {roughly(age)} ago: {'verified' if found.verified else 'not verified'}")
    out.document({"made_at": rfc3339(made.made_at), "blobs": made.blobs, "log": made.log, "audit": found})
    return 0 if found.verified else 1


def _admit(wired: Wired, out: Output) -> None:
    """Give the local user an admin's token: the one that the backup's record knows has its secret on another machine."""
    from flyball.loop.local import admitted

    try:
        # whoever brings a whole record into an empty place could have written anything there, wherever the database is
        admitted(wired.ledger, wired.layout.keys, wired.ports.clock, embedded=True)
    except FlyballError as error:
        out.note(f"nobody is let in here by their local token: {error}; flyball token create PERSON --recover makes one")
