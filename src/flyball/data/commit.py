"""Frames to data set versions and back: a version's content is the SHA-256 of its Parquet, which is its name in the blob store.

The same rows make the same bytes under one Polars; another Polars may write other bytes, and then the rows get one new version.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from flyball.data.baseline import Baseline, Gathering
from flyball.data.erasures import NONE, Erasures
from flyball.data.profile import profile
from flyball.data.rules import named_source
from flyball.data.types import epoch, schema
from flyball.declare.data import Dataset
from flyball.errors import Corrupt, NotFound
from flyball.ledger.bounds import fits
from flyball.records.codec import decode, encode
from flyball.records.data import ColumnStats, DataCommitted, DatasetVersion
from flyball.store.blobs import Blobs

ROW_GROUP = 128 * 1024

Former = Callable[[], pl.DataFrame]
"""The rows of the head as they lie now."""


def parquet(frame: pl.DataFrame) -> bytes:
    """The canonical bytes of a frame: one chunk, fixed row groups, fixed compression, no metadata of who wrote it when."""
    out = io.BytesIO()
    frame.rechunk().write_parquet(out, compression="zstd", compression_level=3, row_group_size=ROW_GROUP, statistics=True)
    return out.getvalue()


def commit(
    dataset: Dataset,
    frame: pl.DataFrame,
    blobs: Blobs,
    head: DatasetVersion | None,
    mark: str,
    *,
    erasures: Erasures = NONE,
    erased: int = 0,
) -> DatasetVersion:
    """Store `frame` (as `source.read` gives it, without the `erased` rows that `erasures` left out) and name it.

    Versions: 1.0.0 first; then the patch rises when rows were only added, the minor when a column came, or rows changed or went, the
    major when a column went or changed its type. What the head holds now keeps its version, with the new mark. `first` and `last` are the
    times of the earliest and latest row, `as_of` the latest moment at which a row was known: the greatest of arrival and time; all
    three are 0 where the data set has no time.
    """
    data = parquet(frame)
    content = hashlib.sha256(data).hexdigest()
    types = {name: str(type_) for name, type_ in schema(dataset).items()}
    first, last = epoch(frame, dataset.time) if dataset.time else (0, 0)
    as_of = max(last, epoch(frame, dataset.arrived)[1]) if dataset.arrived else last
    before = {} if head is None else schema_of(head, blobs)
    told: dict[str, Any] = {
        "source_mark": mark,
        "source": named_source(dataset),
        "subject": dataset.subject,
        "erased": erased,
        "erasure": erasures.seq,
    }
    # what was erased from the head and comes back as new rows is a new version, even where its bytes are the old ones
    if head is not None and content == erasures.present(head.content) and before == types:
        return msgspec.structs.replace(head, **told)
    blobs.put(data)
    made = DatasetVersion(
        name=dataset.name,
        version="1.0.0" if head is None else _next(head, before, types, frame, lambda: load_content(erasures.present(head.content), blobs)),
        content=content,
        schema=types,
        rows=frame.height,
        stats=profile(dataset, frame),
        parents=() if head is None else (head.content,),
        first=first,
        last=last,
        as_of=as_of,
        profile=blobs.put(encode(_baseline(dataset, frame))),
        **told,
    )
    if fits(DataCommitted(version=made)):
        return made
    return msgspec.structs.replace(made, schema={}, stats=(), stats_blob=blobs.put(msgspec.json.encode(made.stats)))


def _baseline(dataset: Dataset, frame: pl.DataFrame) -> Baseline:
    gathering = Gathering(dataset)
    gathering.add(frame)
    return gathering.baseline()


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


def load(version: DatasetVersion, blobs: Blobs) -> pl.DataFrame:
    """The rows of a version. Raises NotFound, or Corrupt if the bytes are not what the version says."""
    return load_content(version.content, blobs)


def load_content(content: str, blobs: Blobs) -> pl.DataFrame:
    """The rows under a content hash, for those who were told only that. Raises NotFound, Corrupt."""
    try:
        return pl.read_parquet(io.BytesIO(blobs.get(content)))
    except PolarsError as error:
        raise Corrupt(f"blob {content} is not a data set", why=str(error).splitlines()[0], fix="restore it from a backup") from error


def _next(head: DatasetVersion, before: dict[str, str], types: dict[str, str], frame: pl.DataFrame, former: Former) -> str:
    major, minor, patch = (int(part) for part in head.version.split("."))
    if any(types.get(name) != type_ for name, type_ in before.items()):
        return f"{major + 1}.0.0"
    if len(types) > len(before):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}" if _only_added(frame, former) else f"{major}.{minor + 1}.0"


def _only_added(frame: pl.DataFrame, former: Former) -> bool:
    """Whether every row of the head is still there, as often as it was."""
    try:
        before = former()
    except (NotFound, Corrupt):
        return False  # what cannot be compared is not called an addition
    if frame.height < before.height:
        return False
    before = before.select(frame.columns)
    if frame.head(before.height).equals(before):
        return True
    old, new = (rows.hash_rows(seed=0).alias("row").to_frame().group_by("row").len() for rows in (before, frame))
    return old.join(new, on="row", how="left").select((pl.col("len_right").fill_null(0) >= pl.col("len")).all()).item() is True
