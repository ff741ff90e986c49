"""Rows to data set versions and back: a version's content is the SHA-256 of its manifest, which names its chunks in the blob store.

The same rows make the same chunks under one Polars; another Polars may write other bytes, and then the rows get one new version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import polars as pl

from flyball.data import manifest
from flyball.data.additions import only_added, same_rows
from flyball.data.baseline import Baseline
from flyball.data.erasures import NONE, Erasures
from flyball.data.rules import named_source
from flyball.data.types import schema
from flyball.data.writing import Written
from flyball.declare.data import Dataset
from flyball.errors import Corrupt, NotFound
from flyball.ledger.bounds import fits
from flyball.ledger.canonical import canonical_json
from flyball.records.codec import decode, encode
from flyball.records.data import ColumnStats, DataCommitted, DatasetVersion
from flyball.store.blobs import Blobs


def commit(
    dataset: Dataset,
    frames: pl.DataFrame | Iterable[pl.DataFrame],
    blobs: Blobs,
    head: DatasetVersion | None,
    mark: str,
    *,
    erasures: Erasures = NONE,
    erased: int = 0,
) -> DatasetVersion:
    """Store rows (as `source.read` gives them, without the `erased` ones that `erasures` left out) and name them.

    frames: all rows, or frames of them in order of time, of which few are held at once.
    """
    written = Written(dataset, [frames] if isinstance(frames, pl.DataFrame) else frames, blobs)
    return version_of(dataset, written, blobs, head, mark, erasures=erasures, erased=erased)


def version_of(
    dataset: Dataset,
    written: Written,
    blobs: Blobs,
    head: DatasetVersion | None,
    mark: str,
    *,
    erasures: Erasures = NONE,
    erased: int = 0,
) -> DatasetVersion:
    """Name what was written: the version to be committed. Raises NotFound, Corrupt, Unavailable.

    Versions: 1.0.0 first; then the patch rises when rows were only added, the minor when a column came, or rows changed or went, the
    major when a column went or changed its type. What the head holds now keeps its version, with the new mark. `first` and `last` are the
    times of the earliest and latest row, `as_of` the latest moment at which a row was known: the greatest of arrival and time; all
    three are 0 where the data set has no time.
    """
    types = {name: str(kind) for name, kind in schema(dataset).items()}
    before = {} if head is None else schema_of(head, blobs)
    told: dict[str, Any] = {
        "source_mark": mark,
        "source": named_source(dataset),
        "subject": dataset.subject,
        "erased": erased,
        "erasure": erasures.seq,
    }
    # what was erased from the head and comes back as new rows is a new version, even where its bytes are the old ones
    if head is not None and before == types and _holds(erasures.present(head.content), head.content, written, blobs):
        # after an erasure the rows may lie in other chunks than a reading of what is left gives; else a lost one is there again
        if written.content != erasures.present(head.content):
            written.abandon()
        return msgspec.structs.replace(head, **told)
    written.keep()
    number = schema_number = "1.0.0"
    if head is not None:
        rise = _schema_rise(before, types)
        number = _risen(head.version, rise or ("patch" if _only_added(head, written, erasures, blobs) else "minor"))
        schema_number = _risen(head.schema_version, rise)
    first, last = written.span
    made = DatasetVersion(
        name=dataset.name,
        version=number,
        content=written.content,
        schema=types,
        rows=written.rows,
        stats=written.stats(),
        parents=() if head is None else (head.content,),
        first=first,
        last=last,
        as_of=written.as_of,
        profile=blobs.put(encode(written.baseline())),
        schema_hash=schema_hash(types),
        schema_version=schema_number,
        **told,
    )
    if fits(DataCommitted(version=made)):
        return made
    return msgspec.structs.replace(made, schema={}, stats=(), stats_blob=blobs.put(msgspec.json.encode(made.stats)))


def schema_hash(types: Mapping[str, str]) -> str:
    """The SHA-256, in hex, of columns and their types in canonical JSON: their order does not count."""
    return hashlib.sha256(canonical_json(dict(types))).hexdigest()


def baseline_of(version: DatasetVersion, blobs: Blobs) -> Baseline | None:
    """What a version's columns held; None where nothing tells. Raises Corrupt."""
    try:
        return decode(blobs.get(version.profile), Baseline) if version.profile else None
    except NotFound:
        return None


def schema_of(version: DatasetVersion, blobs: Blobs) -> dict[str, str]:
    """A version's columns and their types, wherever they are kept. Raises NotFound, Corrupt."""
    return version.schema or {column.name: column.dtype for column in statistics(version, blobs)}


def statistics(version: DatasetVersion, blobs: Blobs) -> tuple[ColumnStats, ...]:
    """A version's statistics, wherever they are kept. Raises NotFound, Corrupt."""
    return msgspec.json.decode(blobs.get(version.stats_blob), type=tuple[ColumnStats, ...]) if version.stats_blob else version.stats


def load_content(content: str, blobs: Blobs) -> pl.DataFrame:
    """The rows under a content hash, such as a version's. Raises NotFound, or Corrupt if the bytes are not what the hash says."""
    found = manifest.manifest(content, blobs)
    return pl.concat([manifest.nothing(found), *(manifest.read(chunk.content, blobs) for chunk in found.chunks)])


def scan(content: str, blobs: Blobs, columns: Sequence[str] | None = None, *, least: int = 0) -> Iterator[pl.DataFrame]:
    """The rows under a content hash, all columns or these: chunk by chunk, or so many chunks at once that they have `least` rows; one frame
    without rows where there are none. Raises NotFound, Corrupt.
    """
    found = manifest.manifest(content, blobs)
    if not found.chunks:
        yield manifest.nothing(found, columns)
    waiting: list[pl.DataFrame] = []
    for chunk in found.chunks:
        waiting.append(manifest.read(chunk.content, blobs, columns))
        if sum(frame.height for frame in waiting) >= least:
            yield pl.concat(waiting)
            waiting = []
    if waiting:
        yield pl.concat(waiting)


def _holds(present: str, birth: str, written: Written, blobs: Blobs) -> bool:
    """Whether what the head holds now is what was written. After an erasure its chunks end where they ended before."""
    if present == written.content:
        return True
    if present == birth:
        return False
    try:
        return same_rows(manifest.manifest(present, blobs), written.manifest, blobs)
    except (NotFound, Corrupt):
        return False


Part = Literal["major", "minor", "patch"]


def _schema_rise(before: dict[str, str], types: dict[str, str]) -> Part | None:
    """Which part of a version's number rises because of its columns; None where they are what they were."""
    if any(types.get(name) != type_ for name, type_ in before.items()):
        return "major"
    return "minor" if len(types) > len(before) else None


def _risen(number: str, part: Part | None) -> str:
    """A number with one of its parts risen; as it is where None is."""
    major, minor, patch = (int(each) for each in number.split("."))
    if part is None:
        return number
    return {"major": f"{major + 1}.0.0", "minor": f"{major}.{minor + 1}.0", "patch": f"{major}.{minor}.{patch + 1}"}[part]


def _only_added(head: DatasetVersion, written: Written, erasures: Erasures, blobs: Blobs) -> bool:
    """Whether every row of the head is still there, as often as it was."""
    try:
        before = manifest.manifest(erasures.present(head.content), blobs)
        return written.rows >= sum(chunk.rows for chunk in before.chunks) and only_added(before, written.manifest, blobs)
    except (NotFound, Corrupt):
        return False  # what cannot be compared is not called an addition
