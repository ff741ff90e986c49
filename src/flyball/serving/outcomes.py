"""How a question ended, and what the prediction log says of it."""

from __future__ import annotations

from typing import Any

from flyball.serving import wal
from flyball.serving.link import LATE, Pending, Unanswerable


def status_of(pending: Pending, error: str | None) -> str:
    """How a question ended, as it is counted. A shadow one that there was no time for, or that cannot be answered, says nothing about the version."""
    if error is None:
        return "ok"
    if pending.future is None:
        return "dropped" if error is LATE or isinstance(error, Unanswerable) else "error"
    return "refused" if isinstance(error, Unanswerable) else "error"


def record_of(
    kind: wal.Kind,
    pending: Pending,
    now: int,
    *,
    status: str = "ok",
    output: bytes | None = None,
    marks: dict[str, Any] | None = None,
    vectors: bytes = b"",
) -> bytes:
    """A log record of a question, answered at `now` (ns of the monotonic clock)."""
    return wal.frame(
        kind,
        pending.request_id,
        picked_ns=pending.picked_ns,
        answered_ns=now,
        epoch=pending.served.epoch,
        version=pending.target.version,
        role=pending.role,
        key_hash=pending.key_hash,
        status=status,
        rows=pending.rows,
        packed_input=None if kind == "shadow_dropped" else pending.packed,
        packed_output=output,
        marks=marks,
        packed_vectors=vectors,
    )
