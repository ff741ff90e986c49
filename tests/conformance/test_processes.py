"""Real processes on one ledger: writing at once, and killed in the middle."""

import os
import signal
import subprocess
import sys

import pytest

from flyball.ledger.verify import verify
from flyball.records.training import RUNS, RunState

from ..ledger.conftest import KIT  # noqa: TID252 - one kit
from .conftest import Place

pytestmark = pytest.mark.process


def writer(place: Place, who: str, first: int, count: int) -> subprocess.Popen[str]:
    kit = KIT.parent
    program = f"import sys; sys.path.insert(0, {str(kit)!r}); import ledger_test_kit; ledger_test_kit.main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, place.url, who, str(first), str(count)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_that_write_at_once_all_get_in_and_the_tree_holds(place: Place) -> None:
    writers = [writer(place, who, 0, 60) for who in ("left", "right")]
    for each in writers:
        _, complaints = each.communicate(timeout=60)
        assert each.returncode == 0, complaints
    ledger = place.ledger()
    read = list(ledger.read(0, 1000))
    assert [each.seq for each in read] == list(range(1, 241))
    assert len({each.command for each in read}) == 120
    report = verify(ledger, None)
    assert (report.verified, report.events) == (True, 240)


def test_a_killed_writer_leaves_whole_commands_and_nothing_it_said_was_done_is_lost(place: Place) -> None:
    said = -1
    for kill in range(4):
        process = writer(place, "w", said + 1, 0)
        assert process.stdout is not None
        # killed at another place in its loop each time
        for _ in range(3 + 7 * kill):
            said = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        # to the end by the same reader: what it has read ahead is part of what was said
        with process:
            rest = process.stdout.read()
        whole = rest[: rest.rfind("\n") + 1].split()
        said = int(whole[-1]) if whole else said
        ledger = place.ledger()
        report = verify(ledger, None)
        assert report.problems == ()
        rows = ledger.state().scan(RUNS)
        assert report.events == 2 * len(rows), "a command's two events are there together or not at all"
        assert {row.state for _, row in rows} == {RunState.RUNNING}
        # one more than it said may have been committed: it was killed before it could say so
        assert len(rows) - (said + 1) in {0, 1}
        ledger.database.close()
