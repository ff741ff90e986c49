"""`flyball init`: a project that runs as it stands, with data made from a seed."""

from __future__ import annotations

import contextlib
import errno
import math
import random
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from flyball.cli import common, init_text
from flyball.cli.common import Json, Quiet
from flyball.cli.output import Output
from flyball.clock import Instant, SystemClock, rfc3339
from flyball.errors import BadInput, Conflict, FlyballError, Refused, Unavailable
from flyball.ledger.keys import KEY, signer
from flyball.serving.layout import Layout, state_folder

app = common.app()

HOURS = 365 * 24
CHANGE = 250 * 24
"""From this hour on more of the heating is electric: cold raises demand twice as much as before."""

_HOUR = 3_600_000_000


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")],
    *,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="another seed makes other data")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write flyball.toml, loop.py, README.md, a year of hourly data and a signing key. An existing folder must be empty: nothing is overwritten."""
    out = Output(as_json=as_json, quiet=quiet)
    made = write(folder, seed=seed, now=SystemClock().now())
    for name in made:
        out.line(f"wrote  {folder / name}")
    out.line(f"next   cd {shlex.quote(str(folder))} && flyball check --data && flyball train demand && flyball up")
    out.document({"project": str(folder), "files": made})
    return 0


def write(folder: Path, *, seed: int, now: Instant) -> list[str]:
    """Write the project; returns the files' names. What cannot be finished leaves nothing behind.

    Raises BadInput for a file, Conflict for a folder that is not empty, Unavailable for a full disk, Refused for what may not be written.
    """
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder} is a file", why="a project is a folder", fix="name a new or empty folder")
        if folder.exists() and any(folder.iterdir()):
            raise Conflict(f"{folder} is not empty", why="init overwrites nothing", fix="name a new or empty folder", code="not-empty")
        for each in reversed([folder / "data", folder, *folder.parents]):
            if not each.exists():
                each.mkdir()
                made.append(each)
        files = {**init_text.FILES, "data/demand.csv": "".join(rows(seed, now))}
        for name, text in files.items():
            made.append(folder / name)
            (folder / name).write_text(text, encoding="utf-8")
        keys = Layout(state_folder(folder)).keys
        made += [keys.parent, keys, keys / KEY]
        signer(keys)
    except BaseException as error:  # Ctrl-C too: half a project would be refused the next time, for it is not empty
        _remove(made)
        if isinstance(error, OSError):
            raise _unwritten(folder, error) from None
        raise
    return list(files)


def _remove(made: list[Path]) -> None:
    """Take away what was written, the last first; a folder in which somebody else has put something stays."""
    for path in reversed(made):
        with contextlib.suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()


def _unwritten(folder: Path, error: OSError) -> FlyballError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        fix = "make room, or name a folder on another disk; nothing was left behind"
        return Unavailable(f"there is no room for {folder}", why="the disk is full", fix=fix, retry_after=30)
    return Refused(f"{folder} cannot be written", why=error.strerror or str(error), fix="name a folder where you may write")


def rows(seed: int, now: Instant) -> Iterator[str]:
    """A year of hourly demand up to `now` as CSV lines: a yearly and a daily cycle, weekends, weather, and one lasting change."""
    chance = random.Random(seed)  # noqa: S311 - made-up data, no secret
    first = now // _HOUR * _HOUR - (HOURS - 1) * _HOUR
    yield "ts,hour,weekday,temperature,demand\n"
    weather = 0.0
    for place in range(HOURS):
        moment = first + place * _HOUR
        hour, weekday = moment // _HOUR % 24, (moment // (24 * _HOUR) + 3) % 7
        year = 2 * math.pi * (moment // _HOUR % (365 * 24)) / (365 * 24)
        weather = 0.97 * weather + chance.gauss(0, 0.8)
        temperature = 11 - 10 * math.cos(year) + 4 * math.sin(2 * math.pi * (hour - 9) / 24) + weather
        cold = max(0.0, 16 - temperature) * (2.0 if place >= CHANGE else 1.0)
        day = 9 * math.sin(2 * math.pi * (hour - 7) / 24) + 5 * math.sin(4 * math.pi * (hour - 4) / 24)
        demand = 60 + day + cold - (8 if weekday >= 5 else 0) + chance.gauss(0, 1.5)
        yield f"{rfc3339(moment)},{hour},{weekday + 1},{temperature:.1f},{demand:.2f}\n"
