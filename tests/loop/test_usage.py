"""What workers take is read from the system, once for each reading."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.loop.usage import EVERY, WorkerUsage
from flyball.serving.layout import Layout, write_json

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell what a process takes")


@pytest.mark.process
def test_the_processor_time_of_a_worker_is_what_it_took_since_the_last_reading(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    burns = "import sys, time\nfor line in sys.stdin:\n    end = time.process_time() + float(line)\n    while time.process_time() < end: pass\n    print(flush=True)"
    with subprocess.Popen([sys.executable, "-c", burns], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None

        def burn(seconds: float) -> None:
            worker.stdin.write(f"{seconds}\n")  # type: ignore[union-attr]
            worker.stdin.flush()  # type: ignore[union-attr]
            worker.stdout.readline()  # type: ignore[union-attr]

        write_json(layout.ready("w"), {"pid": worker.pid, "ref": "credit@1.0.0", "artifact": "a"})
        usage = WorkerUsage(tmp_path)
        burn(0.2)
        assert usage.read(0) == {}, "the first reading is where it begins"
        burn(0.4)
        first = usage.read(EVERY)["credit"]["1.0.0"]
        assert 0.35 <= first.cpu_s <= 0.6
        assert first.wall_s >= 0.35
        assert usage.read(2 * EVERY)["credit"]["1.0.0"].cpu_s <= 0.05, "nothing is told twice"
        worker.stdin.close()
    layout.ready("w").unlink()
    assert usage.read(3 * EVERY) == {}


def test_a_reading_that_comes_too_soon_says_nothing_and_loses_nothing(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    write_json(layout.ready("w"), {"pid": os.getpid(), "ref": "credit@1.0.0", "artifact": "a"})
    usage, now = WorkerUsage(tmp_path), 1_000 * EVERY
    assert usage.read(now) == {}
    assert usage.read(now + EVERY - 1) == {}
    assert usage.read(now + EVERY)["credit"]["1.0.0"].wall_s >= 0.0


def test_a_clock_that_was_set_back_keeps_nobody_waiting(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    write_json(layout.ready("w"), {"pid": os.getpid(), "ref": "credit@1.0.0", "artifact": "a"})
    usage, now = WorkerUsage(tmp_path), 1_000 * EVERY
    assert usage.read(now) == {}
    assert "1.0.0" in usage.read(now - 60 * EVERY)["credit"]
