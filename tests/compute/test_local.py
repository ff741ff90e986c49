"""Real guardians, real jobs."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.clock import Span
from flyball.compute.guardian import process_stat
from flyball.compute.local import LocalCompute
from flyball.compute.port import JobObservation, JobSpec
from flyball.errors import BadInput

pytestmark = pytest.mark.process


def job(key: str, code: str, **fields) -> JobSpec:
    return JobSpec(key=key, argv=(sys.executable, "-S", "-c", code), **fields)


def until(compute: LocalCompute, key: str, *states: str, within_s: float = 30.0) -> JobObservation:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        seen = compute.observe([key])[key]
        if seen.state in states:
            return seen
        time.sleep(0.02)
    pytest.fail(f"{key} is {compute.observe([key])[key]}, not {states}; guardian said {_guardian_log(compute, key)!r}")


def _guardian_log(compute: LocalCompute, key: str) -> str:
    folder = compute.folder(key)
    return (folder / "guardian.log").read_text() if folder else ""


def recorded(compute: LocalCompute, key: str) -> dict[str, int]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        folder = compute.folder(key)
        if folder and (folder / "pid.json").exists():
            return json.loads((folder / "pid.json").read_text())
        time.sleep(0.02)
    pytest.fail("no pid.json")


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[LocalCompute]:
    compute = LocalCompute(tmp_path / "jobs")
    yield compute
    # no job outlives its test, whatever became of the test
    for home in compute.root.glob("*"):
        compute.cancel(home.name)
        until(compute, home.name, "ended", "lost", "absent")


def test_a_job_that_works_is_seen_ended_with_its_output_and_log(compute: LocalCompute):
    code = "import os; print('hello', os.environ['OMP_NUM_THREADS']); open('out/answer', 'w').write('42')"
    compute.submit(job("run_1", code))
    assert until(compute, "run_1", "ended") == compute.observe(["run_1"])["run_1"]
    seen = compute.observe(["run_1"])["run_1"]
    assert (seen.rc, seen.why, seen.attempt) == (0, "exited", 1)
    assert compute.output("run_1", "out/answer") == b"42"
    assert compute.log("run_1", 0) == (b"hello 1\n", 8)
    assert compute.log("run_1", 6) == (b"1\n", 8)


def test_a_job_reads_its_input_from_its_spec(compute: LocalCompute):
    code = "import json; open('out/seen', 'w').write(json.load(open('spec.json'))['input'])"
    compute.submit(job("run_1", code, input="weigh this"))
    until(compute, "run_1", "ended")
    assert compute.output("run_1", "out/seen") == b"weigh this"


def test_a_job_does_not_see_the_token_of_whoever_started_it(compute: LocalCompute, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLYBALL_TOKEN", "fb_secret")
    compute.submit(job("env", "import os; print(sorted(name for name in os.environ if 'TOKEN' in name))"))
    until(compute, "env", "ended")
    assert compute.log("env", 0)[0].decode().strip() == "[]"


def test_a_failing_job_keeps_its_exit_code(compute: LocalCompute):
    compute.submit(job("run_1", "raise SystemExit(3)"))
    assert until(compute, "run_1", "ended").rc == 3


def test_a_command_that_does_not_exist_ends_with_the_reason(compute: LocalCompute):
    compute.submit(JobSpec(key="run_1", argv=("/no/such/program",)))
    seen = until(compute, "run_1", "ended")
    assert seen.rc == 127
    assert "No such file" in seen.why


def test_a_hanging_job_ends_at_its_deadline(compute: LocalCompute):
    compute.submit(job("run_1", "import time; time.sleep(600)", deadline=Span.parse("300ms")))
    seen = until(compute, "run_1", "ended")
    assert (seen.rc, seen.why) == (-signal.SIGTERM, "deadline")


def test_a_job_over_its_memory_is_killed(compute: LocalCompute):
    code = "import time; held = bytearray(120_000_000); time.sleep(600)"
    compute.submit(job("run_1", code, memory=60_000_000))
    seen = until(compute, "run_1", "ended")
    assert (seen.rc, seen.why) == (-signal.SIGKILL, "memory")
    assert seen.peak_bytes > 60_000_000


def test_cancel_ends_the_job_and_all_its_children(compute: LocalCompute):
    code = (
        "import subprocess, sys, time; c = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)']); "
        "open('out/child', 'w').write(str(c.pid)); time.sleep(600)"
    )
    compute.submit(job("run_1", code))
    until(compute, "run_1", "running")
    end = time.monotonic() + 20
    while not compute.output("run_1", "out/child") and time.monotonic() < end:
        time.sleep(0.02)
    compute.cancel("run_1")
    assert until(compute, "run_1", "ended").why == "cancelled"
    assert process_stat(int(compute.output("run_1", "out/child") or b"0")) is None


@pytest.mark.parametrize("ends", ["", "time.sleep(600)"], ids=["by itself", "by a cancel"])
def test_what_a_job_starts_in_sessions_of_their_own_ends_with_it(compute: LocalCompute, ends: str):
    # a daemon and its child: neither is in the job's group, and whoever started them has ended
    code = f"""
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        if not os.fork():
            os.setsid()
            open("out/child.new", "w").write(str(os.getpid()))
            os.rename("out/child.new", "out/child")
            time.sleep(600)
        open("out/daemon.new", "w").write(str(os.getpid()))
        os.rename("out/daemon.new", "out/daemon")
        time.sleep(600)
    os._exit(0)
os.wait()
while not (os.path.exists("out/child") and os.path.exists("out/daemon")):
    time.sleep(0.01)
open("out/ready", "w").close()
{ends}
"""
    compute.submit(job("run_1", code))
    until(compute, "run_1", "running", "ended")
    end = time.monotonic() + 20
    while compute.output("run_1", "out/ready") is None and time.monotonic() < end:
        time.sleep(0.02)
    if ends:
        compute.cancel("run_1")
    seen = until(compute, "run_1", "ended")
    assert seen.why == ("cancelled" if ends else "exited")
    pids = [int(compute.output("run_1", f"out/{name}") or b"0") for name in ("daemon", "child")]
    assert all(pids)
    assert [process_stat(pid) for pid in pids] == [None, None]


def test_a_job_nobody_keeps_ends_with_its_lease(compute: LocalCompute):
    compute.submit(job("run_1", "import time; time.sleep(600)", lease=Span.parse("400ms")))
    assert until(compute, "run_1", "ended").why == "lease"


def test_a_kept_job_outlives_its_lease(compute: LocalCompute):
    compute.submit(job("run_1", "import time; time.sleep(2.5)", lease=Span.parse("1500ms")))
    end = time.monotonic() + 20
    while compute.observe(["run_1"])["run_1"].state == "running" and time.monotonic() < end:
        compute.keep(["run_1", "run_unknown"])
        time.sleep(0.1)
    assert compute.observe(["run_1"])["run_1"].why == "exited"


def test_a_killed_guardian_leaves_a_lost_job_with_no_process_and_a_second_attempt_runs(compute: LocalCompute):
    compute.submit(job("run_1", "import time; time.sleep(600)"))
    pids = recorded(compute, "run_1")
    os.kill(pids["guardian"], signal.SIGKILL)
    assert until(compute, "run_1", "lost").attempt == 1
    end = time.monotonic() + 10
    while process_stat(pids["pid"]) and time.monotonic() < end:
        time.sleep(0.02)
    assert process_stat(pids["pid"]) is None
    compute.submit(job("run_1", "pass", attempt=2))
    seen = until(compute, "run_1", "ended")
    assert (seen.rc, seen.attempt) == (0, 2)


def test_submitting_twice_runs_once(compute: LocalCompute, tmp_path: Path):
    spec = job("run_1", f"open({str(tmp_path / 'count')!r}, 'a').write('x')")
    compute.submit(spec)
    compute.submit(spec)
    LocalCompute(compute.root).submit(spec)
    until(compute, "run_1", "ended")
    compute.submit(spec)
    assert compute.observe(["run_1"])["run_1"].state == "ended"
    assert (tmp_path / "count").read_text() == "x"


def test_another_process_s_locks_do_not_reach_the_guardian_or_the_job(compute: LocalCompute, tmp_path: Path):
    lock = os.open(tmp_path / "project.lock", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(lock, True)
    try:
        compute.submit(job("run_1", "import time; time.sleep(600)"))
        pids = recorded(compute, "run_1")
        for pid in (pids["guardian"], pids["pid"]):
            held = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
            assert str(tmp_path / "project.lock") not in held
    finally:
        os.close(lock)
        compute.cancel("run_1")
        until(compute, "run_1", "ended")


def test_an_unknown_key_is_absent_and_a_bad_one_refused(compute: LocalCompute):
    assert compute.observe(["run_9"])["run_9"].state == "absent"
    assert compute.output("run_9", "out/x") is None
    assert compute.log("run_9", 5) == (b"", 5)
    with pytest.raises(BadInput, match="cannot name a job"):
        compute.observe(["../../etc"])


def test_output_never_leaves_the_job_s_folder(compute: LocalCompute):
    compute.submit(job("run_1", "pass"))
    until(compute, "run_1", "ended")
    assert compute.output("run_1", "../../../etc/passwd") is None
