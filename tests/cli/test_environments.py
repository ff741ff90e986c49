"""A worker whose libraries are not those that its version was made with says so by default: in its log, in `status`, in `models show`."""

import os
import signal
import subprocess
import sys
import time

import pytest

from flyball.loop.proving import proof
from flyball.records.versions import VERSIONS
from flyball.serving.layout import worker_name, write_json
from flyball.wiring import open_project

REF = "demand@1.0.0"


@pytest.fixture
def serve(trained, tmp_path):
    """A real worker of the project's version, among whose installed libraries skops is said to be 0.0.1 where a test wants it."""
    started = []

    def start(*, other: bool):
        environment = dict(os.environ)
        if other:
            info = tmp_path / "elsewhere" / "skops-0.0.1.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: skops\nVersion: 0.0.1\n")
            environment["PYTHONPATH"] = os.pathsep.join([str(info.parent), environment.get("PYTHONPATH", "")])
        wired = open_project(trained)
        try:
            state, layout = wired.ledger.state(), wired.layout
            artifact = state.get(VERSIONS, "demand/1.0.0").artifact
            layout.prepare()
            shown = proof(state, REF)
            write_json(layout.wanted_workers, [{"ref": REF, "artifact": artifact, "note": shown.note, "keys": list(shown.keys)}])
        finally:
            wired.close()
        log = (tmp_path / "worker.log").open("wb")
        arguments = ["--root", str(trained / ".flyball"), "--ref", REF, "--artifact", artifact]
        process = subprocess.Popen(
            [sys.executable, "-m", "flyball.serving.worker", *arguments], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
        )
        started.append((process, log))
        ready, until = layout.ready(worker_name(REF, artifact)), time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, (tmp_path / "worker.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        return tmp_path / "worker.log"

    yield start
    for process, log in started:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        process.stdin.close()
        log.close()


@pytest.mark.process
def test_a_worker_with_other_libraries_says_so_and_serves(trained, flyball, serve):
    log = serve(other=True)
    status = flyball("status", "--project", trained, "--json").document["environments"]
    (ref, (differs,)), = status.items()  # fmt: skip
    assert ref == REF
    assert differs.startswith("skops ")
    assert differs.endswith(" → 0.0.1")
    assert f"{REF} is served by another environment than it was made with: skops " in flyball("status", "--project", trained).out
    assert f"{REF} is served by another environment" in flyball("models", "show", REF, "--project", trained).out
    assert flyball("models", "show", REF, "--project", trained, "--json").document["served_by"] == [differs]
    assert f"{REF} is served by another environment than it was made with: {differs}" in log.read_text()


@pytest.mark.process
def test_a_worker_with_the_same_libraries_says_nothing(trained, flyball, serve):
    log = serve(other=False)
    assert flyball("status", "--project", trained, "--json").document["environments"] == {}
    assert "another environment" not in flyball("models", "show", REF, "--project", trained).out + log.read_text()


def test_a_version_shows_what_it_was_made_with(trained, flyball):
    shown = flyball("models", "show", REF, "--project", trained, "--json").document
    assert shown["environment"]["libraries"]["scikit-learn"]
    assert "scikit-learn " in flyball("models", "show", REF, "--project", trained).out
