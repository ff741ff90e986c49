"""The only place that picks backends: SQLite, local blobs, local jobs, the log on disk, routes as files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from flyball.clock import Clock, SystemClock
from flyball.compute.local import LocalCompute
from flyball.declare.project import find_project, read_project
from flyball.ledger.ledger import SqlLedger
from flyball.loop.folds import FOLDS
from flyball.loop.library import BlobLibrary
from flyball.loop.live import FencedLedger, LiveCounts, LiveData, LiveRuns
from flyball.loop.ports import Ports
from flyball.records.serving import SEGMENTS
from flyball.serving.layout import Layout
from flyball.serving.routes import FileRoutes
from flyball.settings import Settings, read_settings
from flyball.store.blobs import LocalBlobs
from flyball.store.operational import Operational
from flyball.store.sql import Database

STATE_FOLDER = ".flyball"


@dataclass(frozen=True)
class Wired:
    """A project opened for work."""

    root: Path
    settings: Settings
    layout: Layout
    database: Database
    ports: Ports
    ledger: SqlLedger
    blobs: LocalBlobs

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def open_project(start: Path, *, claim: bool = False, clock: Clock | None = None) -> Wired:
    """Open the project that `start` is in; `claim` makes this process the one whose loop commands count.

    Raises NotFound outside a project, BadInput for a bad setting, Unavailable when the store cannot be opened.
    """
    root = find_project(start)
    settings = read_settings(read_project(root).settings.get("settings", {}), os.environ)
    folder = root / STATE_FOLDER
    layout = Layout(folder)
    layout.prepare()
    clock = clock or SystemClock()
    database = Database.open(folder / "ledger.db")
    ledger = FencedLedger(database, FOLDS, clock) if claim else SqlLedger(database, FOLDS, clock)
    if isinstance(ledger, FencedLedger):
        ledger.fence = ledger.claim()
    blobs = LocalBlobs(folder / "blobs")
    library = BlobLibrary(blobs)
    ports = Ports(
        clock=clock,
        ledger=ledger,
        memory=Operational(database),
        blobs=blobs,
        library=library,
        runs=LiveRuns(LocalCompute(folder / "jobs"), blobs, folder),
        data=LiveData(root, blobs, layout),
        evidence=LiveCounts(folder, blobs, lambda: [row for _, row in ledger.state().scan(SEGMENTS)]),
        routes=FileRoutes(folder),
        detector=bool(settings.detector),
    )
    return Wired(root=root, settings=settings, layout=layout, database=database, ports=ports, ledger=ledger, blobs=blobs)
