"""`flyball backup`: the project's state in a folder of plain files, while everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Json, Project, Quiet
from flyball.cli.output import Bar, Output, counted
from flyball.errors import BadInput

app = common.app()


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder, or an earlier backup to bring up to date")],
    *,
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write the record, its blobs, the prediction log and the keys of ids into a folder. Keep it as safe as the project: it holds personal texts."""
    from flyball.loop.authority import Backup
    from flyball.loop.backup import backup as write
    from flyball.loop.backup import open_to_others

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project) as wired:
        wired.permit(Backup)
        if wired.layout.root in (folder.absolute(), *folder.absolute().parents):
            raise BadInput(
                f"{folder} is inside {wired.layout.root}", why="what is lost with the project is no backup", fix="name another folder"
            )
        bar = Bar(out, "blobs")
        made = write(
            wired.ledger,
            wired.blobs,
            wired.layout,
            folder,
            wired.ports.clock.now(),
            lambda done, of: bar.show(done / max(of, 1), f"{done}/{of}"),
        )
        bar.end()
    if open_to_others(folder):
        out.note(
            f"others can read {folder}, which holds personal texts and keys: chmod -R go-rwx {folder}, or keep it on a disk that knows rights"
        )
    record = made.record
    kinds = (("event", record.events), ("checkpoint", record.checkpoints), ("blob", made.blobs), ("log file", made.log))
    out.line(f"{', '.join(counted(number, one) for one, number in kinds)} in {folder}")
    out.document({"folder": str(folder), "events": record.events, "checkpoints": record.checkpoints, "blobs": made.blobs, "log": made.log})
    return 0
