"""The verbs against a project that is up: a real supervisor, gateways, a worker and the loop."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flyball.errors import Conflict
from flyball.serving import supervisor
from flyball.serving.layout import Layout

pytestmark = pytest.mark.process
ROW = '{"hour": 18, "weekday": 3, "temperature": 4.5}'


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Started(subprocess.Popen[str]):
    """A process that a test that fails does not wait for."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self.send_signal(signal.SIGINT)
        super().__exit__(kind, error, trace)


def start(*arguments: object, **options: Any) -> Started:
    command = [sys.executable, "-c", "from flyball.cli import main; main()", *map(str, arguments)]
    return Started(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, **options
    )


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


@pytest.fixture
def up(trained: Path) -> Iterator["subprocess.Popen[str]"]:
    process = start("up", "--port", free_port(), "--gateways", 2, "--project", trained)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("flyball is up on http://127.0.0.1:")
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def test_a_day_with_the_command_line(flyball, trained: Path, up: "subprocess.Popen[str]", tmp_path: Path) -> None:
    def status() -> Any:
        return flyball("status", "--project", trained, "--json").document

    until(lambda: status()["models"][0]["champion"] == "1.0.0")
    assert status()["up"]
    second = flyball("up", "--project", trained, "--json")
    assert (second.code, second.document["code"]) == (1, "already-up")
    assert flyball("tick", "--project", trained, "--json").document["ticked"] is False

    (tmp_path / "row.json").write_text(ROW)
    (tmp_path / "rows.json").write_text(f"[{ROW}, {ROW}]")
    until(lambda: flyball("predict", "demand", tmp_path / "row.json", "--project", trained).code == 0)
    answer = flyball("predict", "demand", tmp_path / "row.json", "--key", "me", "--project", trained, "--json").document
    assert (answer["model"], answer["version"], len(answer["predictions"])) == ("demand", "1.0.0", 1)
    assert len(flyball("predict", "demand@1.0.0", tmp_path / "rows.json", "--project", trained).out.splitlines()) == 2
    (told,) = flyball("predict", "demand", tmp_path / "row.json", "--explain", "--project", trained, "--json").document["explanations"]
    # where ONNX answers it does so in 32 bits; what is explained is the estimator
    assert told["value"] == pytest.approx(answer["predictions"][0]["value"], rel=1e-5)
    assert abs(told["base"] + sum(each["contribution"] for each in told["contributions"]) - told["output"]) < 1e-6 * abs(told["output"])
    shown = flyball("predict", "demand", tmp_path / "rows.json", "--explain", "--project", trained).out.splitlines()
    assert "FEATURE" in shown[1]
    assert len(shown) == 2 * (2 + len(told["contributions"]))
    (tmp_path / "bad.json").write_text('{"hour": 99, "weekday": 3, "temperatur": 4.5}')
    bad = flyball("predict", "demand", tmp_path / "bad.json", "--project", trained, "--json")
    assert (bad.code, {one["where"] for one in bad.document["problems"]}) == (1, {"/row/hour", "/row/temperatur", "/row/temperature"})
    unknown = flyball("predict", "demnad", tmp_path / "row.json", "--project", trained)
    assert (unknown.code, "demand" in unknown.err) == (1, True)

    (tmp_path / "labels.csv").write_text(f"id,value\n{answer['predictions'][0]['id']},70.5\np_forged,1\n")
    labelled = flyball("label", "demand", tmp_path / "labels.csv", "--project", trained, "--json")
    assert (labelled.code, labelled.document["accepted"], len(labelled.document["refused"])) == (1, 1, 1)

    trained_again = flyball("train", "demand", "--trials", 0, "--set", "max_depth=3", "--no-release", "--project", trained, "--json")
    assert (trained_again.code, trained_again.document["version"]) == (0, "1.1.0")
    if trained_again.document["state"] == "eligible":
        rollout = flyball("release", "demand@1.1.0", "--project", trained, "--json").document["rollout"]
        until(lambda: flyball("rollouts", "show", rollout, "--project", trained, "--json").document["rollout"]["state"] == "shadow")
        paused = flyball("rollouts", "pause", rollout, "--project", trained, "--json").document
        assert (paused["from"], paused["state"]) == ("shadow", "paused")
        assert flyball("rollouts", "resume", "demand", "--project", trained, "--json").document["state"] == "shadow"
        command = ("rollback", "demand", "--reason", "a test", "--idempotency-key", "once", "--project", trained, "--json")
        back = flyball(*command).document
        assert (back["from"], back["to"], back["processes"]) == ("1.1.0", "1.0.0", 2)
        assert 0 < back["effective_s"] < 10
        assert flyball(*command).document == back, "the same command again is told the same"
    assert flyball("audit", "verify", "--project", trained).code == 0

    up.send_signal(signal.SIGINT)
    assert up.wait(timeout=30) == 130
    assert flyball("predict", "demand", tmp_path / "row.json", "--project", trained).code == 3
    assert status()["up"] is False


def test_up_tells_what_happens_while_it_runs(trained: Path, tmp_path: Path) -> None:
    told = tmp_path / "told"
    with told.open("w") as output:
        command = [sys.executable, "-c", "from flyball.cli import main; main()", "up", "--port", str(free_port()), "--gateways", "1"]
        command += ["--project", str(trained), "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        until(lambda: "champion    demand@1.0.0" in told.read_text())
        until(lambda: "ready       demand@1.0.0 takes requests" in told.read_text())
        file = trained / "loop.py"
        sound = file.read_text()
        file.write_text("x = (")
        until(lambda: "broken      loop.py" in told.read_text())
        file.write_text(sound)
        until(lambda: "mended      loop.py" in told.read_text())
        data = trained / "data" / "demand.csv"
        data.write_text(data.read_text() + "not,a,row\n")
        until(lambda: "refused     data" in told.read_text())
        assert told.read_text().count("broken      loop.py") == 1
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert rest == "", "stdout is one document"


def test_ctrl_c_before_it_listens_is_one_document_and_no_traceback(new: Path) -> None:
    (new / ".flyball").mkdir(exist_ok=True)
    with (new / ".flyball" / "lock").open("w") as lock:
        # as processes of an `up` that was killed hold it until they have ended: this one waits for them
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start("up", "--port", free_port(), "--project", new, "--json")
        files = Path(f"/proc/{process.pid}/fd")
        until(lambda: any(file.is_symlink() and file.readlink().name == "lock" for file in files.iterdir()))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert json.loads(out)["code"] == "interrupted"


def test_a_restore_that_was_killed_while_it_waited_for_the_lock_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*_: object) -> None:
        raise Conflict("it begins")

    layout = Layout(tmp_path / ".flyball")
    layout.prepare()
    layout.restoring.write_text("{}")
    monkeypatch.setattr(supervisor, "bind", begun)
    assert supervisor.main(["--root", str(tmp_path)]) == 1
    assert "its restore was killed" in capsys.readouterr().err
    layout.restoring.unlink()
    assert supervisor.main(["--root", str(tmp_path)]) == 1
    assert "it begins" in capsys.readouterr().err, "the lock is free, and nothing else stands in its way"


def test_an_interrupted_run_is_cancelled_where_nothing_is_up(flyball, new: Path) -> None:
    file = new / "loop.py"
    file.write_text(file.read_text().replace("    return HistGradient", "    import time\n    time.sleep(300)\n    return HistGradient"))
    process = start("train", "demand", "--project", new, start_new_session=True)
    until(lambda: any((new / ".flyball" / "jobs").glob("*/*/progress.json")))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "is cancelled: flyball is not up" in err
    assert "Traceback" not in err
    until(lambda: any((new / ".flyball" / "jobs").glob("*/*/exit.json")))
    assert flyball("status", "--project", new, "--json").document["models"][0]["doing"] == ""


def test_a_run_whose_processes_were_killed_is_taken_up_by_the_next_train(flyball, new: Path) -> None:
    file, slow = new / "loop.py", new / "slow"
    waits = f"    import os, time\n    time.sleep(300 * os.path.exists({str(slow)!r}))\n    return HistGradient"
    file.write_text(file.read_text().replace("    return HistGradient", waits))
    slow.touch()
    process = start("train", "demand", "--trials", 0, "--project", new)
    jobs = new / ".flyball" / "jobs"
    until(lambda: any(jobs.glob("*/1/progress.json")))
    process.kill()
    process.communicate()
    [told] = jobs.glob("*/1/pid.json")
    os.kill(json.loads(told.read_text())["pid"], signal.SIGKILL)
    slow.unlink()
    ended = flyball("train", "demand", "--project", new, "--json")
    assert (ended.code, ended.document["version"]) == (0, "1.0.0")


def test_a_backtest_compares_policies_and_can_be_interrupted(new: Path, tmp_path: Path) -> None:
    lines = (new / "data" / "demand.csv").read_text().splitlines(keepends=True)
    (tmp_path / "short.csv").write_text("".join(lines[: 24 * 60]))
    arguments = ("backtest", new / "loop.py", "--data", tmp_path / "short.csv", "--json")
    process = start(*arguments, "--policy", "never", "--policy", "every_14d")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert document.keys() == {"model", "rows", "data", "metric", "baselines", "policies"}
    assert (document["model"], document["metric"]) == ("demand", "mae")
    assert list(document["policies"]) == ["never", "every_14d"]
    never, often = document["policies"]["never"], document["policies"]["every_14d"]
    assert (never["retrains"], often["retrains"]) == (0, 2)
    assert often["mae"] < document["baselines"]["persistence"]
    assert never.keys() == {"mae", "answered", "retrains", "released", "rejected", "alerts", "rollbacks", "elapsed_s", "fit_s"}
    again = start(*arguments, start_new_session=True)
    time.sleep(2)
    os.killpg(again.pid, signal.SIGINT)
    out, err = again.communicate(timeout=30)
    assert (again.returncode, json.loads(out)["code"]) == (130, "interrupted")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--policy", "every_90"), 1, 'did you mean "every_90d"?'),
        (("--model", "demnad"), 1, 'did you mean "demand"?'),
        (("--approval", "soon"), 2, "is not a time span"),
    ],
)
def test_what_a_backtest_cannot_do_is_said(flyball, new_project: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = flyball("backtest", new_project / "loop.py", "--data", new_project / "data" / "demand.csv", *arguments)
    assert ended.code == code
    assert words in ended.err


def test_a_history_that_is_too_short_or_broken_is_no_history(flyball, new_project: Path, tmp_path: Path) -> None:
    lines = (new_project / "data" / "demand.csv").read_text().splitlines(keepends=True)
    (tmp_path / "few.csv").write_text("".join(lines[:500]))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.py").write_text("import flyball as fb\nfb.Model(\n")
    cases = [("few.csv", "loop.py", "does not hold the contract"), ("other.csv", "loop.py", "cannot be read")]
    for data, file, words in cases:
        ended = flyball("backtest", new_project / file, "--data", tmp_path / data)
        assert ended.code == 1
        assert words in ended.err
    ended = flyball("backtest", tmp_path / "broken.py", "--data", tmp_path / "few.csv")
    assert (ended.code, "broken.py cannot be used" in ended.err) == (1, True)


def test_up_tells_under_json_where_it_listens_in_one_document(trained: Path) -> None:
    port = free_port()
    with start("up", "--port", port, "--gateways", 1, "--project", trained, "--json") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told == {"url": f"http://127.0.0.1:{port}", "port": port, "pid": process.pid, "others_reach_it": False}
        os.kill(told["pid"], signal.SIGINT)
        assert process.stdout.read() == "", "one document"
        assert process.wait(30) == 130
