"""A fit that goes wrong, from the command line: a typed error, a failed run, and the version that serves stays as it was."""

import pytest

from flyball.records.training import RUNS, RunState
from flyball.records.versions import VERSIONS
from flyball.wiring import open_project

FIT = "    return HistGradientBoostingRegressor(max_depth=max_depth, learning_rate=learning_rate, random_state=0).fit(X, y)"


def state_of(project):
    wired = open_project(project)
    try:
        state = wired.ledger.state()
        return dict(state.scan(VERSIONS)), dict(state.scan(RUNS))
    finally:
        wired.close()


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("raise ValueError('no luck')", "fit-failed", "fit raised ValueError: no luck"),
        ("import os; os._exit(7)", "run-exited", "exit code 7"),
        ("import time; time.sleep(600)", "run-timeout", "it took longer than train timeout allows, at fit"),
    ],
)
def test_a_bad_fit_is_a_failed_run_with_a_code_and_no_version_is_touched(trained, flyball, body: str, code: str, says: str):
    before, _ = state_of(trained)
    text = (trained / "loop.py").read_text().replace(FIT, f"    {body}").replace('holdout="7d")', 'holdout="7d", timeout="5s")')
    (trained / "loop.py").write_text(text)
    ended = flyball("train", "demand", "--trials", 0, "--project", trained, "--json")
    assert (ended.code, ended.document["code"]) == (1, code), ended
    assert says in ended.document["detail"]
    assert "its log: " in ended.document["fix"]
    versions, runs = state_of(trained)
    assert versions == before
    newest = runs[max(runs)]
    assert (newest.state, newest.code) == (RunState.FAILED, code)
