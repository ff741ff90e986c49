"""A loop file and the rows of its data sets, made ready to rehearse on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from flyball.data.against import Against
from flyball.data.commit import commit
from flyball.data.ordering import ordered
from flyball.data.source import mark, stream
from flyball.data.sources.access import Access
from flyball.data.sources.access import access as access_of
from flyball.declare.code import load_model
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.project import read_project
from flyball.declare.reads import judged_on, made_from
from flyball.errors import BadInput, FlyballError, NotFound, Problem
from flyball.loop.backtest import History, check_length
from flyball.loop.reading import reader_of
from flyball.records.data import DatasetVersion
from flyball.settings import Settings
from flyball.store.blobs import LocalBlobs
from flyball.training.rows import assemble

_ALWAYS = 2**52
"""Everything in the file is known by then; what a run may see of it is decided later, by its own moment."""


def load_history(root: Path, file: str, name: str, data: Path | None, *, ready: Path | None = None) -> tuple[Model, History]:
    """Import model `name` of the loop file `file` (relative to `root`), with real functions, and assemble its rows.

    `data` stands in for the source of the model's own data set (None: its own source is read); the others are read from theirs. `ready` is a
    folder where `keep_rows` has put what was read before. Raises for rows that do not hold the contract, or too few of them; NotFound for a model that is not there; and whatever the loop file raises.
    """
    model = load_model(root, file, name)
    if model.train is None:
        raise BadInput(f'model "{name}" cannot be rehearsed', why="it declares no train=", fix="declare train=fb.Train(fit)")
    if model.task == "ranking":
        why = "a rehearsal lives on live labels, and of a ranking no live quality is measured"
        raise BadInput(f'model "{name}" cannot be rehearsed', why=why, fix="judge it on hold-outs: flyball train")
    if model.train.by_share:
        raise BadInput(
            f'model "{name}" cannot be rehearsed',
            why=f'a rehearsal goes through time, and split="{model.train.split}" holds out rows whatever their time',
            fix='split="time", for rows that have one',
        )
    access = _access(root)
    frames: dict[str, pl.DataFrame] = {}
    versions: dict[str, DatasetVersion] = {}
    with TemporaryDirectory(prefix="flyball-history-") as folder:
        blobs = LocalBlobs(Path(folder))
        for declared in made_from(model).values():
            given = data is not None and declared.name == model.data.name
            dataset = replace(declared, source=str(data.resolve())) if given and data is not None else declared
            if ready is None:
                frame = _sound(dataset, access, data if given else None)
            else:
                frame = pl.read_parquet(ready / f"{dataset.name}.parquet")
            frames[dataset.name] = frame
            versions[dataset.name] = commit(declared, frame, blobs, None, mark(dataset, access))
        for case in judged_on(model).values():
            found = _case_rows(case, access, ready)
            if found is not None:
                frames.setdefault(case.name, found)
    history = History(frames, assemble(model, frames, as_of=_ALWAYS), versions)
    check_length(history)
    return model, history


def _case_rows(dataset: Dataset, access: Access, ready: Path | None) -> pl.DataFrame | None:
    """The rows of a suite's cases; None where they cannot be read: the suite then lacks data, and says so in each verdict."""
    if ready is not None:
        path = ready / f"{dataset.name}.parquet"
        return pl.read_parquet(path) if path.exists() else None
    try:
        return _sound(dataset, access, None)
    except FlyballError:
        return None


def keep_rows(history: History, folder: Path) -> None:
    """Leave the rows where another process finds them: a query asked twice may give others."""
    for name, frame in history.frames.items():
        frame.write_parquet(folder / f"{name}.parquet", compression="lz4")


def _access(root: Path) -> Access:
    """What reading needs; outside a project there are no secrets but those of the environment."""
    try:
        return reader_of(read_project(root), Settings()).access(None)
    except NotFound:
        return access_of(root)


def _sound(dataset: Dataset, access: Access, data: Path | None) -> pl.DataFrame:
    """The rows of a data set, in order of time. Raises BadInput for rows that do not hold the contract."""
    batches = list(stream(dataset, access))
    checker = Against().checker(dataset, access, None, None, lambda: batches)
    for batch in batches:
        checker.add(batch)
    broken = [found.text for found in checker.findings() if found.severity == "block"]
    if broken:
        whose = f'the contract of data set "{dataset.name}"'
        what = f"{data} does not hold {whose}" if data else f"its rows do not hold {whose}"
        raise BadInput(what, problems=tuple(Problem("", item) for item in broken[:20]))
    return ordered(pl.concat(batches), dataset.time)
