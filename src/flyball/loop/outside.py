"""What is done beside the loop for models that are served elsewhere, over the project's files: a pass at a time, and all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from flyball.clock import Instant
from flyball.loop.folder import GATEWAY, Folders, LogOf
from flyball.loop.learning import Learning, log_records
from flyball.loop.ports import Ports
from flyball.records.serving import SegmentRow
from flyball.serving import wal
from flyball.serving.sealer import unseal
from flyball.store.blobs import Blobs


@dataclass(frozen=True)
class Outside:
    """Both parts of it."""

    folders: Folders
    learning: Learning

    def step(self, ports: Ports, now: Instant) -> None:
        """One pass. Raises what either raised."""
        try:
            self.folders.step(ports)
        finally:
            # a folder that cannot be read keeps nothing from being learnt of what callers send
            self.learning.step(ports, now)

    def finish(self, ports: Ports, now: Instant) -> None:
        """All that there is enough of, and wait for it. Raises what either raised."""
        try:
            self.folders.finish(ports)
        finally:
            self.learning.finish(ports, now)


def outside(log: Path, blobs: Blobs, sealed: Callable[[], Iterable[SegmentRow]], present: Callable[[str, str], str]) -> Outside:
    """Over the prediction log under `log`. sealed: its segments that became blobs. present: where the content of a data set lies now."""

    def opened(row: SegmentRow) -> list[wal.LogRecord]:
        return unseal(blobs.get(row.parquet_sha256))

    def files() -> list[wal.SegmentFile]:
        return wal.segments(log)

    # the gateways hold the reserve
    folders = Folders(LogOf(files, sealed, opened), lambda: wal.Writer(log, GATEWAY, reserve_bytes=0), blobs, present)
    return Outside(folders, Learning(log_records(files, sealed, opened), blobs, present))
