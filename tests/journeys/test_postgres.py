"""The whole story on a PostgreSQL server: nothing but one variable is different."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from flyball.records.declarations import DECLARATIONS

from .kit import champion_is, eventually

pytestmark = pytest.mark.process


def demo(url, folder):
    return subprocess.run(
        [sys.executable, "-c", "from flyball.cli import main; main()", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "TMPDIR": str(folder), "FLYBALL_DATABASE_URL": url},
        check=False,
    )


def test_the_demo_on_postgresql_tells_the_same_story(postgres, tmp_path):
    url = postgres.database()
    ended = demo(url, tmp_path)
    assert ended.stdout, ended.stderr[-4000:]
    report = json.loads(ended.stdout)
    assert (ended.returncode, report["failures"]) == (0, []), ended.stderr[-4000:]
    assert report["retrained_version"] == "1.1.0"
    assert report["bad_candidate"]["rolled_back"]
    assert report["bad_candidate"]["decision_to_effect_s"] < 1
    assert report["answered"] == report["logged"] > 2_000
    assert report["audit"]["verified"]
    assert int(postgres.psql("SELECT size FROM head", url)) == report["audit"]["events"], "the record is there and nowhere else"
    assert not list(tmp_path.glob("**/ledger.db"))
    again = demo(url, tmp_path)
    assert (again.returncode, json.loads(again.stdout)["code"]) == (1, "conflict"), (
        "a database with something in it is not the demo's to use"
    )
    assert not list(tmp_path.glob("flyball-demo-*"))


def test_predictions_go_on_without_the_server_and_the_loop_goes_on_when_it_is_back(postgres, project, start):
    project.write("flyball.toml", f'[settings]\ntick_ms = 200\ndatabase_url = "{postgres.database()}"\n')
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    control = up.pid("flyball.api.control")
    before = len(project.recorded())
    postgres.stop()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", "from flyball.cli import main; main()", "status", "--json", "--project", str(project.root)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, json.loads(ended.stdout)["code"]) == (3, "unavailable"), ended.stderr
        eventually(lambda: "put off" in project.output("control"), lambda: project.output("control"))
        eventually(lambda: up.http.get("/api/v1/health").status_code == 503, "the control plane says that all is well")
        assert up.predict().status_code == 200
    finally:
        postgres.start()
    eventually(lambda: up.http.get("/api/v1/health").status_code == 200, "the control plane says that nothing is well")
    project.loop("other")
    eventually(lambda: project.row(DECLARATIONS, "other"), project.story)
    assert len(project.recorded()) > before
    assert up.pid("flyball.api.control") == control, "the control plane lived through it"
    code, err = up.stop()
    assert code == 0
    assert "Traceback" not in err
    project.verified()
