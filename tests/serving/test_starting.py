"""While a worker starts, nothing that is asked says anything about its version, nor about the one it is compared with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from flyball.clock import Span
from flyball.records.evidence import Cursor, Watch
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import wal
from flyball.serving.evidence import LiveEvidence
from flyball.serving.layout import Layout, worker_name, write_json
from flyball.serving.limits import Limits
from flyball.serving.table import RoutesFile, Table

from .conftest import SIGNATURES, Border, Loans, Up, challenger, champion, eventually

GOOD = {"amount": 5.0, "age": 30}
KEYS = [f"user-{number}" for number in range(40)]
MARKS = {"ro": "ro_1", "w": 5_000}

HELD = """
import sys, time
from pathlib import Path
while "flyball.serving.worker" in sys.orig_argv and Path("HOLD").exists():
    time.sleep(0.05)
"""


def asked(root: Path, *, warm_s: float = 120.0, failed: tuple[str, ...] = (), shadow: bool = False) -> list[wal.LogRecord]:
    """What is logged of requests to two versions under comparison whose workers are not there; `failed` are those that could not start."""
    old, new = (Arm(version=version, role="champion", artifact=version[0] * 64, weight=5_000) for version in ("1.0.0", "2.0.0"))
    new = Arm(version=new.version, role="challenger", artifact=new.artifact, weight=0 if shadow else 5_000)
    arms, shadows = ((old,), (new,)) if shadow else ((old, new), ())
    route = ModelRoute(signature=SIGNATURES["wins"], arms=arms, shadows=shadows, salt="ro_1")
    border = Border(root, Limits(connect_s=0.01, warm_s=warm_s))
    for arm in (old, new):
        if arm.version in failed:
            write_json(Layout(root).failed(worker_name(f"wins@{arm.version}", arm.artifact)), {"reason": "it does not load"})

    async def run() -> None:
        await border.dispatcher.apply(Table(RoutesFile(stamp=1, table=RouteTable(epoch=1, models={"wins": route}))))
        for key in KEYS:
            answer = await border.ask("/models/wins/predict", json.dumps({"row": {"n": 1}, "key": key}).encode())
            assert answer.status == 503
        border.dispatcher.close()

    asyncio.run(run())
    border.writer.close()
    records, _ = wal.read(border.writer.path)
    assert 'version="2.0.0",role="challenger",status="' in border.dispatcher._metrics.text()
    return [record for record in records if record.kind != "signature"]


def shown(records: list[wal.LogRecord]) -> set[tuple[str, str, str | None]]:
    """Which versions there is something of, how it ended, and to which rollout it belongs."""
    return {(record.version, record.status, (record.marks or {}).get("ro")) for record in records}


def test_an_error_of_a_worker_that_is_starting_is_told_and_belongs_to_no_rollout(tmp_path: Path) -> None:
    records = asked(tmp_path)
    assert shown(records) == {("wins@1.0.0", "error", None), ("wins@2.0.0", "error", None)}
    assert {record.marks["why"] for record in records if record.marks} == {"its worker is starting"}
    assert {record.role for record in records} == {"champion", "challenger"}


def test_nor_does_what_only_the_other_version_has_been_asked(tmp_path: Path) -> None:
    # one could not start, so it is no longer waited for; the other still is
    assert shown(asked(tmp_path, failed=("1.0.0",))) == {("wins@1.0.0", "error", None), ("wins@2.0.0", "error", None)}


def test_while_a_shadow_starts_errors_of_the_champion_do_not_speak_for_it(tmp_path: Path) -> None:
    records = asked(tmp_path, failed=("1.0.0",), shadow=True)
    assert shown(records) == {("wins@1.0.0", "error", None), ("wins@2.0.0", "dropped", None)}


@pytest.mark.parametrize("more", [{"failed": ("1.0.0", "2.0.0")}, {"warm_s": 0.0}])
def test_a_worker_that_could_not_start_or_had_its_time_speaks_against_its_version(tmp_path: Path, more: dict[str, object]) -> None:
    records = asked(tmp_path, **more)  # type: ignore[arg-type]
    assert shown(records) == {("wins@1.0.0", "error", "ro_1"), ("wins@2.0.0", "error", "ro_1")}


@pytest.mark.process
def test_after_a_restart_two_versions_are_compared_from_when_both_are_there(loans: Loans, start: Callable[..., Up], tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    good, slow = loans.artifact(), loans.artifact(seed=1, also=HELD.replace("HOLD", str(hold)))
    first = start(gateways=1)
    first.make(loans.route(champion(good, 5_000), challenger(slow, 5_000), salt="ro_1"))
    first.stop()
    hold.write_text("")
    up = start(gateways=1)
    eventually(lambda: up.http.get("/v2/models/credit/ready").status_code == 200, "the champion is not there")

    def ask() -> tuple[Counter[str], list[wal.LogRecord]]:
        """Which versions answer, each key once, and what is logged of that."""
        known = len(records(loans))
        answers = [up.predict(GOOD, key=key) for key in KEYS]
        assert {answer.status_code for answer in answers} == {200}
        return Counter(answer.json()["version"] for answer in answers), records(loans)[known:]

    versions, alone = ask()
    assert set(versions) == {"1.0.0"}
    assert shown(alone) == {("credit@1.0.0", "ok", None), ("credit@1.1.0", "error", None)}
    hold.unlink()
    own = worker_name("credit@1.1.0", slow)
    eventually(lambda: up.http.post("/models/credit@1.1.0/predict", json={"row": GOOD}).status_code == 200, "the challenger is not there")
    versions, together = ask()
    assert set(versions) == {"1.0.0", "1.1.0"}
    assert shown(together) == {("credit@1.0.0", "ok", "ro_1"), ("credit@1.1.0", "ok", "ro_1")}
    # one that was here and is gone is an error of its version
    os.kill(json.loads(loans.layout.ready(own).read_bytes())["pid"], signal.SIGKILL)
    _, without = ask()
    assert ("credit@1.1.0", "error", "ro_1") in shown(without)
    assert all((record.marks or {}).get("ro") for record in without)

    watch = Watch(model="credit", task="binary", label_delay=Span.parse("1h"), arms={"ro_1": ("1.1.0", "1.0.0")})
    batch, _ = LiveEvidence(loans.layout.root).since(Cursor(), time.time_ns() // 1000, {"credit": watch})
    bad = sum(record.status == "error" for record in without)
    errors = sum(record.status == "error" for record in records(loans) if record.version == "credit@1.1.0")
    assert 0 < bad < errors
    # all of it counts as what it was for callers and monitors, and only what was compared for the rollout
    assert sum(one.errors for one in batch.traffic if one.version == "1.1.0") == errors
    assert sum(one.bad_units for one in batch.traffic if one.version == "1.1.0") == bad
    assert sum(one.met for one in batch.traffic) == len(KEYS)
    assert sum(one.units for one in batch.traffic) == len(KEYS)


def records(loans: Loans) -> list[wal.LogRecord]:
    """What is logged of requests, in order."""
    found = [record for file in wal.segments(loans.layout.log) for record in wal.read(file.path)[0]]
    return [record for record in found if record.kind in ("answer", "shadow", "shadow_dropped")]
