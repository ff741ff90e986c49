"""Reading a data set from its source: declared columns only, in declared order, of exactly the declared types.

A source that cannot be read raises BadInput with every problem in it. Reading never changes a source and never waits for one: a file
that somebody is writing is refused, or read, as it stands now, and looked at again when its mark changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from flyball.data.ordering import ordered
from flyball.data.rules import is_pushed
from flyball.data.sources import called, database, files, pushed
from flyball.data.sources.access import Access, access
from flyball.data.sources.wrong import Wrong
from flyball.declare.data import Dataset, Sql
from flyball.declare.functions import Frame, Function, is_frame
from flyball.errors import BadInput, Problem


class BrokenFiles(BadInput):
    """Files of the source are broken. `files` is a problem of each of them; `problems` are all, as far as they are kept."""

    def __init__(self, what: str, problems: tuple[Problem, ...], files: tuple[Problem, ...]) -> None:
        super().__init__(what, problems=problems)
        self.files = files


def read(dataset: Dataset, root: Path | Access) -> pl.DataFrame:
    """All rows of `dataset`, in order of time (rows of one time stay in the source's order). Raises as `stream` does."""
    return ordered(pl.concat(list(stream(dataset, root))), dataset.time)


def stream(dataset: Dataset, root: Path | Access) -> Iterator[pl.DataFrame]:
    """All rows of `dataset` in the source's order, in batches that fit into memory.

    Columns are those of `data.types.schema`, times naive UTC microseconds, NaN is null. Raises BadInput listing every problem at the end of
    the source (BrokenFiles, where some are of files): until then batches are on trial, and none comes after the first problem. Raises Unavailable where the code of a
    loop file is to be tried again.
    """
    wrong, rows = Wrong(hidden=dataset.identifying), 0
    for batch in _batches(dataset, root if isinstance(root, Access) else access(root), wrong):
        rows += batch.height
        if not wrong and batch.height:
            yield batch
    if wrong.files:
        raise BrokenFiles(f'data set "{dataset.name}" cannot be read', wrong.problems(), tuple(wrong.files.values()))
    if wrong:
        raise BadInput(f'data set "{dataset.name}" cannot be read', problems=wrong.problems())
    if not rows:
        raise _no_rows(dataset)


def _no_rows(dataset: Dataset) -> BadInput:
    what, source = f'data set "{dataset.name}" has no rows', dataset.source
    if is_pushed(dataset):
        return BadInput(what, why="none were sent to it yet", fix=f"POST /api/v1/datasets/{dataset.name}/rows")
    return BadInput(what, why="its source holds a header and nothing below it" if isinstance(source, str) else "its source gives none")


def mark(dataset: Dataset, root: Path | Access) -> str:
    """Say which bytes the source holds and under which contract they are read, without reading them: 32 hex digits; of
    pushed rows, 20 and how many there ever were.

    Paths, sizes and times of change stand for files' bytes. A source that is not there has a mark too; one that is timed
    (`data.rules.is_timed`) has the same as long as its declaration stands.
    """
    at = root if isinstance(root, Access) else access(root)
    seen: list[Any] = [_contract(dataset)]
    source = dataset.source
    if isinstance(source, str) and "://" not in source:
        seen += files.marks(dataset, at.root)
    elif isinstance(source, str):
        seen.append(source)
    elif isinstance(source, Sql):
        seen.append([source.text, source.url if isinstance(source.url, str) else source.url.name])
    elif isinstance(source, Function | Frame):
        seen.append(source.digest)
    elif is_frame(source):
        frame = called.polars(dataset, source)
        seen.append([frame.columns, frame.height, str(frame.hash_rows().to_frame().sum().row(0)) if frame.height else ""])
    digest = hashlib.sha256(json.dumps(seen, default=str).encode()).hexdigest()[:32]
    return pushed.mark(digest, dataset, at) if is_pushed(dataset) else digest


def _batches(dataset: Dataset, at: Access, wrong: Wrong) -> Iterator[pl.DataFrame]:
    source = dataset.source
    if is_pushed(dataset):
        return pushed.batches(dataset, at, wrong)
    if isinstance(source, str):
        return files.batches(dataset, at.root, wrong, frozenset(each.where for each in at.left))
    if isinstance(source, Sql):
        return database.batches(dataset, at, wrong)
    return called.batches(dataset, at, wrong)


def _contract(dataset: Dataset) -> list[Any]:
    """What decides how bytes become rows: at another contract the same bytes are looked at again."""
    rules = [
        [name, item.type, item.between, item.one_of, item.nulls, int(item.known_after), item.on_breach, item.unseen, item.shift]
        for name, item in dataset.columns.items()
    ]
    roles = [dataset.time, dataset.arrived, dataset.id, dataset.subject]
    spans = [None if span is None else int(span) for span in (dataset.gap, dataset.ahead, dataset.disorder)]
    references = [[name, item.data.name, item.column] for name, item in dataset.references.items()]
    return [dataset.name, roles, rules, dataset.min_rows, dataset.unique, spans, references, dataset.on_breach]
