from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flyball.errors import Corrupt
from flyball.records.base import Recorded
from flyball.records.models import Signature
from flyball.records.serving import EPOCHS, ROUTES, SEGMENTS, Arm, ModelRoute, RouteDesired, RouteInForce, SegmentSealed
from flyball.serving import sealer, wal
from flyball.serving.fold import FOLDS
from flyball.store.blobs import LocalBlobs


class Rows:
    """Projections in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], object] = {}

    def get(self, table, key):
        return self.rows.get((table.name, key))

    def scan(self, table, prefix=""):
        return [(key, row) for (name, key), row in sorted(self.rows.items()) if name == table.name and key.startswith(prefix)]

    def put(self, table, key, row):
        self.rows[table.name, key] = row

    def delete(self, table, key):
        self.rows.pop((table.name, key), None)

    def fold(self, event, at: int = 5) -> None:
        FOLDS[type(event)](self, Recorded(1, at, "loop", "c", event))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for _ in range(2):
        writer = wal.Writer(tmp_path / "log", "g0", reserve_bytes=0)
        pack = msgspec.msgpack.encode
        frames = [
            wal.frame(
                "answer",
                f"r{n}",
                version="m@1.0.0",
                rows=1,
                packed_input=pack([[n, "x", None]]),
                packed_output=pack([[1, 0.5]]),
                marks={"w": n},
            )
            for n in range(4)
        ]
        writer.append([writer.declare("m@1.0.0", ["n", "s", "z"]), *frames])
        writer.close()
    return tmp_path / "log"


def test_a_sealed_segment_holds_the_very_records_of_the_log(log: Path, tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    first, _ = wal.segments(log)
    event = sealer.seal(first, blobs)
    assert (event.rows, event.torn_bytes) == (5, 0)
    assert sealer.unseal(blobs.get(event.parquet_sha256)) == wal.read(first.path)[0]
    assert sealer.seal(first, blobs) == event


def test_what_a_kill_tore_is_counted_and_left_out(log: Path, tmp_path: Path) -> None:
    first, _ = wal.segments(log)
    first.path.write_bytes(first.path.read_bytes()[:-3])
    event = sealer.seal(first, LocalBlobs(tmp_path / "blobs"))
    assert event.rows == 4
    assert event.torn_bytes > 0


def test_the_segment_being_written_is_left_alone_while_gateways_run(log: Path) -> None:
    files = wal.segments(log)
    assert [file.number for file in sealer.finished(files, running=True)] == [0]
    assert [file.number for file in sealer.finished(files, running=False)] == [0, 1]


def test_a_segment_is_deleted_only_when_its_event_is_recorded_and_it_is_what_was_sealed(log: Path, tmp_path: Path) -> None:
    state = Rows()
    files = wal.segments(log)
    events = [sealer.seal(file, LocalBlobs(tmp_path / "blobs")) for file in files]
    assert sealer.discard(files, state) == []
    for event in events:
        state.fold(event)
    files[1].path.write_bytes(files[1].path.read_bytes() + b"more")
    assert sealer.discard(files, state) == [files[0].path]
    assert files[1].path.exists()


def test_what_is_no_sealed_segment_is_named_as_such() -> None:
    with pytest.raises(Corrupt, match="not a sealed segment"):
        sealer.unseal(b"nonsense")


def test_routes_and_epochs_follow_their_events() -> None:
    state = Rows()
    route = ModelRoute(
        signature=Signature(task="binary", fields=()), arms=(Arm(version="1.0.0", role="champion", artifact="a", weight=10_000),)
    )
    state.fold(RouteDesired(epoch=3, model="m", route=route), at=10)
    assert state.get(ROUTES, "m").route == route
    assert (state.get(EPOCHS, "routes").desired, state.get(EPOCHS, "routes").in_force) == (3, 0)
    state.fold(RouteInForce(epoch=3, ms=41.5, processes=2), at=20)
    assert (state.get(EPOCHS, "routes").in_force, state.get(EPOCHS, "routes").ms) == (3, 41.5)
    state.fold(RouteInForce(epoch=2, ms=1.0, processes=2), at=30)
    assert state.get(EPOCHS, "routes").in_force == 3
    state.fold(RouteDesired(epoch=4, model="m", route=None), at=40)
    assert state.get(ROUTES, "m") is None
    assert state.get(EPOCHS, "routes").in_force == 3
    assert isinstance(state.scan(SEGMENTS), list)
    assert SegmentSealed in FOLDS
