"""`flyball backup`: the project's state in a folder of plain files, while everything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Bar, Output, counted
from flyball.errors import BadInput

if TYPE_CHECKING:
    from flyball.loop.backup import Backup as Made

app = common.app()


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder, or an earlier backup to bring up to date")],
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write the record, its blobs, the prediction log and the keys of ids into a folder. Keep it as safe as the project: it holds personal texts."""
    from flyball.loop.authority import Backup
    from flyball.loop.backup import backup as write
    from flyball.loop.backup import open_to_others

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
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
    _tell_lost(out, made, folder)
    told = {"folder": str(folder), "events": record.events, "checkpoints": record.checkpoints, "blobs": made.blobs, "log": made.log}
    out.document(told | {"only_here": made.only_here, "lost": made.lost})
    return int(bool(made.only_here or made.lost))


def _tell_lost(out: Output, made: Made, folder: Path) -> None:
    """Name what the project has lost of what its record needs: the backup is made all the same."""
    if made.only_here:
        out.line(f"this project has lost {_named(made.only_here)}: there since an earlier backup. flyball restore {folder} brings it back")
    if made.lost:
        out.line(
            f"this project has lost {_named(made.lost)}, and this backup has no copy. Look for one in other backups; audit verify says what it was"
        )


def _named(digests: Sequence[str]) -> str:
    return f"{counted(len(digests), 'blob')} ({digests[0]}{', …' if digests[1:] else ''})"
