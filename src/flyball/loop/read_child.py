"""The child that runs one data set's frame or function of a loop file and writes its rows, only declared columns, a Parquet file a part.

Run as `python -P -m flyball.loop.read_child CODE FILE MODEL DATASET INTO DIGEST`, in the project's folder; `{}`, or what is wrong, goes to what was
standard output, and whatever the code prints goes nowhere.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from flyball.data.sources import called
from flyball.data.sources.typed import absent
from flyball.declare.code import load_model
from flyball.declare.data import Dataset
from flyball.declare.functions import frame_digest
from flyball.declare.reads import looked_at
from flyball.errors import BadInput, FlyballError

MEMORY = 8 * 2**30
"""Bytes of data that reading may take."""

NICER = 10
"""How much this process stands back: those who answer requests go first."""


def main(arguments: list[str]) -> int:
    """Read one data set; the exit code is 0 whenever an answer was written."""
    folder, file, model, name, into, digest = arguments
    with os.fdopen(os.dup(1), "wb") as answer, Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.nice(NICER)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        answer.write(json.dumps(_read(Path(folder), file, model, name, Path(into), digest)).encode())
    return 0


def _read(folder: Path, file: str, model: str, name: str, into: Path, digest: str) -> dict[str, Any]:
    try:
        dataset = looked_at(load_model(folder, file, model))[name]
        if digest and frame_digest(dataset.source) != digest:
            why = "its rows come from something that has changed since"
            return _told(
                name, "its frame is another than the one declared", why, "flyball apply; or name a file, which is read when it changes"
            )
        for place, frame in enumerate(called.frames(dataset)):
            _write(dataset, frame, into / f"{place:06}.parquet")
    except FlyballError as error:
        problems = [{"where": each.where, "what": each.what, "why": each.why, "fix": each.fix} for each in error.problems]
        return {"what": error.what, "why": error.why, "fix": error.fix, "problems": problems}
    except MemoryError:
        why = f"a process that reads may take {MEMORY >> 30} GB"
        return _told(name, "its source runs out of memory", why, "give the rows in parts: a generator of frames")
    except BaseException as error:  # noqa: BLE001 - the project's own code runs here, from its first import on, exits included
        return _told(name, f"its source raised {type(error).__name__}: {error}", f"at {called.place(error) or file}", "correct it")
    return {}


def _told(name: str, what: str, why: str, fix: str) -> dict[str, Any]:
    return {"what": f'data set "{name}": {what}', "why": why, "fix": fix, "problems": []}


def _write(dataset: Dataset, frame: pl.DataFrame, path: Path) -> None:
    """The declared columns of a frame. Raises BadInput for one that it lacks, or whose values are of no one kind."""
    where = f'data set "{dataset.name}"'
    lost = tuple(absent(where, name, frame.columns) for name in dataset.names if name not in frame.columns)
    if lost:
        raise BadInput(f"{where} cannot be read", problems=lost)
    try:
        frame.select(dataset.names).write_parquet(path, compression="lz4")
    except PolarsError as error:
        mixed = [name for name in dataset.names if frame[name].dtype == pl.Object]
        what = f"{where}: column {', '.join(mixed) or 'of its frame'} cannot be read"
        raise BadInput(what, why=str(error).splitlines()[0][:200], fix="keep numbers, bools, text or times, one kind a column") from error


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    os._exit(ended)  # threads that the code has started would keep the child alive
