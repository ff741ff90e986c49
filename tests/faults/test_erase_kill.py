"""kill -9 of an erasure at each of its steps: the record verifies, and doing it again leaves nothing of the person."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ..loop.person_kit import People  # noqa: TID252 - one such project

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> People:
    people = People.make(tmp_path_factory.mktemp("killed") / "made")
    people.log([[(10.0, f"person-{number}")] for number in range(38)])
    people.log([])
    people.seal()
    return people


def blobs(people: People) -> set[str]:
    return {str(path) for path in (people.state / "blobs").glob("*/*")}


def killed(people: People, who: str, when: Callable[[], bool], delay_s: float) -> bool:
    """Start an erasure and kill it `delay_s` after `when` is true; False where it was done by then."""
    argv = [sys.executable, "-c", "from flyball.cli.entry import main; main()"]
    argv += ["data", "erase", "--subject", who, "--reason", "request 9", "--project", str(people.root)]
    process = subprocess.Popen(argv, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    try:
        while process.poll() is None and not when():
            assert time.monotonic() < until
            time.sleep(0.001)
        time.sleep(delay_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return process.wait() != 0


@pytest.mark.parametrize("step", ["a new blob is there", "it is recorded", "an old blob is gone", "soon after the first blob"])
def test_whenever_an_erasure_is_killed_the_next_one_finishes_it(made: People, tmp_path: Path, step: str) -> None:
    people = People(Path(shutil.copytree(made.root, tmp_path / "p")))
    who = "person-27"
    before, size = blobs(people), people.size()
    record = sqlite3.connect(f"file:{people.state}/ledger.db?mode=ro", uri=True)
    whens: dict[str, Callable[[], bool]] = {
        "a new blob is there": lambda: bool(blobs(people) - before),
        "it is recorded": lambda: record.execute("SELECT size FROM head").fetchone()[0] > size,
        "an old blob is gone": lambda: bool(before - blobs(people)),
        "soon after the first blob": lambda: bool(blobs(people) - before),
    }
    was_killed = killed(people, who, whens[step], 0.02 if step.startswith("soon") else 0.0)
    record.close()
    assert was_killed or step != "a new blob is there"
    people.verified()
    recorded = people.size() > size
    assert people.call("data", "erase", "--subject", who, "--reason", "request 9").code == 0
    assert people.traces(who) == []
    assert people.traces("person-28")
    people.verified()
    if recorded:
        assert people.call("data", "erase", "--subject", who, "--reason", "request 9").document["event"] is None
