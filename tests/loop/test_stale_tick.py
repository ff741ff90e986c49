"""The loop says that data are stale, has an incident of their owner, and ends both when rows come again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flyball.clock import VirtualClock
from flyball.loop import tick as ticking
from flyball.loop.compiling import compile_project
from flyball.loop.declaring import apply
from flyball.loop.memory import IDLE
from flyball.records.data import DATASETS, DataFresh, DataStale
from flyball.wiring import open_project

LOOP = """
import flyball as fb

feed = fb.Dataset("feed", source="feed.csv", time="at", freshness="2h", owner="feeds", columns={"x": float, "y": int})

def fit(X, y):
    return None

m = fb.Model("m", task="binary", data=feed, label="y", train=fb.Train(fit), owner="team", framing=fb.Framing("test"), autonomy="record")
"""
START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
HOUR = 3_600_000_000


def test_a_feed_that_stops_is_noticed_and_heals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flyball.toml").touch()
    (tmp_path / "loop.py").write_text(LOOP)
    feed = tmp_path / "feed.csv"
    feed.write_text("at,x,y\n2026-01-01T00:00:00,1,0\n2026-01-01T00:30:00,2,1\n")
    monkeypatch.setattr(ticking, "advance", lambda _ports, _name, _kept, now: now + IDLE)
    clock = VirtualClock(START)
    wired = open_project(tmp_path, claim=True, clock=clock)
    try:
        apply(compile_project(tmp_path), wired.ports, "loop")

        def at(hours: float) -> list[str]:
            """What is said at this hour, after the source was looked at."""
            clock.advance_to(START + int(hours * HOUR))
            seen = wired.ledger.size()
            for _ in range(3):
                ticking.tick(clock.now(), wired.ports)
                for thread in wired.ports.data._reading.values():  # type: ignore[attr-defined]
                    thread.join()
            found = [recorded.event for recorded in wired.ledger.read(seen, 100)]
            return [event.kind for event in found if isinstance(event, DataStale | DataFresh)]

        assert at(1) == []
        assert at(2.5) == []
        assert at(2.6) == ["data.stale"]
        assert at(5) == []
        feed.write_text(feed.read_text() + "2026-01-01T05:00:00,3,0\n")
        assert at(5.1) == ["data.fresh"]
        row = wired.ledger.state().get(DATASETS, "feed")
        assert row is not None
        assert row.stale_since == 0
    finally:
        wired.close()
