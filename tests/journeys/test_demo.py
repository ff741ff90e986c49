"""The whole story, with real processes, real HTTP and the real clock; and the same with the detector off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.process


def demo(*arguments, folder, timeout_s=280):
    return subprocess.run(
        [sys.executable, "-c", "from flyball.cli import main; main()", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, "TMPDIR": str(folder)},
        check=False,
    )


def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path):
    ended = demo("--json", folder=tmp_path)
    report = json.loads(ended.stdout)
    assert (ended.returncode, report["failures"]) == (0, []), ended.stderr[-4000:]
    quality, drift, bad = report["quality"], report["drift"], report["bad_candidate"]
    assert quality["during"] < quality["after"] <= quality["before"] + 0.05
    assert 0 < drift["onset_request"] < drift["detected_request"]
    assert "debt_consolidation" in drift["cause"]
    assert "debt_consolidation" in report["contract"]["text"]
    assert drift["column"] == "purpose"
    assert report["retrained_version"] == "1.1.0"
    steps = [step["step"] for step in report["rollout_steps"]]
    assert steps[steps.index("shadow") :] == ["shadow", "canary", "canary", "watching", "completed"]
    assert bad["rolled_back"]
    assert bad["requests_served"] > bad["failed"] > 0
    assert bad["decision_to_effect_s"] < 1
    assert report["incident"]["failure_mode"] == "concept_drift"
    assert report["incident"]["mitigated_s"] > 0
    assert report["answered"] == report["logged"] > 2_000
    assert report["audit"]["verified"]
    assert not list(tmp_path.glob("flyball-demo-*"))


def test_with_the_detector_off_the_demo_fails_and_says_what_did_not_happen(tmp_path):
    ended = demo("--sabotage", "--json", folder=tmp_path)
    report = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert (report["incident"], report["retrained_version"]) == (None, None)
    assert any("the loop notices" in failure for failure in report["failures"])
    assert report["quality"]["during"] < report["quality"]["before"] - 0.05
    assert report["answered"] == report["logged"]
    assert report["audit"]["verified"]


def test_ctrl_c_ends_every_process_and_exits_130(tmp_path):
    running = subprocess.Popen(
        [sys.executable, "-c", "from flyball.cli import main; main()", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not list(tmp_path.glob("flyball-demo-*/.flyball/jobs/*")) and time.monotonic() < until:
        time.sleep(0.1)
    project = next(tmp_path.glob("flyball-demo-*"))
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("flyball-demo-*"))
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert project.name not in processes
