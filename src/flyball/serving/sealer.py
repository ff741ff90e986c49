"""Finished segments become Parquet blobs, in two steps that a crash may come between.

`seal` writes the blob and gives the event; only after the event is in the ledger does `discard` delete the segment. A crash before the
event seals the same bytes again (same blob); a crash after it leaves a file that the next `discard` removes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from flyball.errors import Corrupt
from flyball.records.base import State
from flyball.records.serving import SEGMENTS, SegmentSealed
from flyball.serving import wal
from flyball.serving.fold import segment_key
from flyball.serving.forget import Left, everything
from flyball.serving.vectors import Vectors
from flyball.store.blobs import Blobs

_pack = msgspec.msgpack.Encoder().encode
_PACKED = {"input": list[list[Any]], "output": list[list[Any]], "marks": dict[str, Any], "vectors": Vectors}
_COLUMNS = {
    "kind": pl.String,
    "request_id": pl.String,
    "picked_ns": pl.Int64,
    "answered_ns": pl.Int64,
    "epoch": pl.Int64,
    "version": pl.String,
    "role": pl.String,
    "key_hash": pl.String,
    "status": pl.String,
    "rows": pl.Int64,
    "input": pl.Binary,
    "output": pl.Binary,
    "marks": pl.Binary,
    "vectors": pl.Binary,
    "at": pl.Int64,
}


def finished(files: Sequence[wal.SegmentFile], *, running: bool) -> list[wal.SegmentFile]:
    """The segments that nobody writes to any more: all but each gateway's newest; those too once nothing runs. Pure."""
    newest = {file.gateway: max(other.number for other in files if other.gateway == file.gateway) for file in files}
    return [file for file in files if not running or file.number < newest[file.gateway]]


def seal(file: wal.SegmentFile, blobs: Blobs, forget: Callable[[list[wal.LogRecord]], Left] = everything) -> SegmentSealed:
    """Write a finished segment's records as a Parquet blob; the event that says so. Raises Corrupt for what is no segment.

    forget: leaves out rows of persons who were erased; they are counted.
    """
    data = file.path.read_bytes()
    records: list[wal.LogRecord] = []
    offset = 0
    while True:
        found, after = wal.read(file.path, offset)
        records += found
        if not found or after == offset:
            break
        offset = after
    header = wal.read_header(file.path)
    sound = max(offset, header[1] if header else 0)
    left = forget(records)
    return SegmentSealed(
        gateway=file.gateway,
        number=file.number,
        wal_sha256=hashlib.sha256(data).hexdigest(),
        parquet_sha256=blobs.put(parquet(left.records)),
        rows=len(left.records),
        torn_bytes=len(data) - sound,
        last=max((record.at for record in left.records), default=0),
        erased=left.rows,
    )


def discard(files: Sequence[wal.SegmentFile], state: State) -> list[Path]:
    """Delete the segments whose event is in the ledger; what was deleted. A file that is not what was sealed stays. Raises nothing."""
    gone: list[Path] = []
    for file in files:
        row = state.get(SEGMENTS, segment_key(file.gateway, file.number))
        if row is not None and hashlib.sha256(file.path.read_bytes()).hexdigest() == row.wal_sha256:
            file.path.unlink()
            gone.append(file.path)
    return gone


def parquet(records: Sequence[wal.LogRecord]) -> bytes:
    """The bytes of a sealed segment."""
    columns = {
        name: [None if getattr(record, name) is None else _pack(getattr(record, name)) for record in records]
        if name in _PACKED
        else [getattr(record, name) for record in records]
        for name in _COLUMNS
    }
    buffer = io.BytesIO()
    pl.DataFrame(columns, schema=_COLUMNS).write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def unseal(data: bytes) -> list[wal.LogRecord]:
    """The records of a sealed segment, as `wal.read` gave them. Raises Corrupt."""
    return _opened(data, None)


def bearing(data: bytes, ids: Sequence[str]) -> list[wal.LogRecord]:
    """The records of a sealed segment that have one of these request ids, or name one among their rows, and its signatures; nothing where there are none
    of the former. Raises Corrupt.
    """
    try:
        # of most segments nothing else is read
        heads = pl.read_parquet(io.BytesIO(data), columns=["kind", "request_id", "marks"])
    except pl.exceptions.PolarsError as problem:
        raise _no_segment(problem) from None
    named = pl.any_horizontal(pl.col("marks").bin.contains(one.encode()) for one in ids).fill_null(value=False)
    mine = heads.select(pl.col("request_id").is_in(list(ids)) | named).to_series()
    return _opened(data, mine | (heads["kind"] == "signature")) if mine.any() else []


def failed(data: bytes, most: int) -> list[wal.LogRecord]:
    """The records of a sealed segment that are errors, the newest so many, and its signatures; nothing where there are none of the former. Raises Corrupt."""
    try:
        heads = pl.read_parquet(io.BytesIO(data), columns=["kind", "status"])
    except pl.exceptions.PolarsError as problem:
        raise _no_segment(problem) from None
    errors = heads["status"] == "error"
    errors &= errors.cum_sum(reverse=True) <= most
    return _opened(data, errors | (heads["kind"] == "signature")) if errors.any() else []


def _opened(data: bytes, wanted: pl.Series | None) -> list[wal.LogRecord]:
    try:
        frame = pl.read_parquet(io.BytesIO(data))
        if wanted is not None:
            frame = frame.filter(wanted)
        if "vectors" not in frame.columns:
            # sealed from a log of version 1
            frame = frame.with_columns(pl.lit(None, pl.Binary).alias("vectors"))
        rows = frame.select(list(_COLUMNS)).iter_rows(named=True)
        opened = [
            {
                name: msgspec.msgpack.decode(value, type=_PACKED[name]) if name in _PACKED and value is not None else value
                for name, value in row.items()
            }
            for row in rows
        ]
    except (pl.exceptions.PolarsError, msgspec.MsgspecError) as problem:
        raise _no_segment(problem) from None
    return [wal.LogRecord(**row) for row in opened]


def _no_segment(problem: Exception) -> Corrupt:
    return Corrupt("this is not a sealed segment of the prediction log", why=str(problem))
