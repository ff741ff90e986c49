"""`train --reproduce`: the same artifact hash, or which input differs; never a version, and nothing of the model's standing changes."""

import pytest

from flyball.errors import NotFound
from flyball.records.training import RUNS, RunState
from flyball.records.versions import MODELS, VERSIONS
from flyball.wiring import open_project

pytestmark = pytest.mark.process

FIT = "    return HistGradientBoostingRegressor(max_depth=max_depth, learning_rate=learning_rate, random_state=0).fit(X, y)"


def standing(project):
    wired = open_project(project)
    try:
        state = wired.ledger.state()
        return dict(state.scan(VERSIONS)), state.get(MODELS, "demand"), dict(state.scan(RUNS))
    finally:
        wired.close()


def result_of(project, run: str):
    wired = open_project(project)
    try:
        return wired.ports.library.result(wired.ledger.state().get(RUNS, run).result)
    finally:
        wired.close()


def test_a_run_made_again_gives_the_very_artifact_and_no_version(trained, flyball):
    versions, model, runs = standing(trained)
    (run,) = runs
    (version,) = versions.values()
    # what lies in the folder now has no part in it
    (trained / "loop.py").write_text((trained / "loop.py").read_text().replace("random_state=0", "random_state=9"))
    ended = flyball("train", "demand", "--reproduce", run, "--project", trained, "--json")
    assert ended.code == 0, ended
    found = ended.document
    assert (found["same"], found["artifact"], found["reproduces"], found["differs"]) == (True, version.artifact, run, [])
    after = standing(trained)
    assert after[:2] == (versions, model)
    row = after[2][found["run"]]
    assert (row.state, row.trigger, row.version, row.release) == (RunState.SUCCEEDED, "reproduction", "", False)
    assert result_of(trained, row.run).environment == result_of(trained, run).environment
    # what was made again is not remembered: it is made each time it is asked for
    by_version = flyball("train", "demand", "--reproduce", f"demand@{version.version}", "--project", trained, "--json", "--quiet")
    assert by_version.document["same"]
    log = (trained / ".flyball" / "jobs" / by_version.document["run"] / "1" / "log.txt").read_text()
    assert "done before" not in log
    assert f"note: the same artifact hash as {run}" in log


def test_a_search_is_made_again_with_all_its_trials(trained, flyball):
    made = flyball("train", "demand", "--trials", 5, "--project", trained, "--json")
    assert made.code == 0, made
    ended = flyball("train", "demand", "--reproduce", made.document["run"], "--project", trained, "--json")
    assert (ended.code, ended.document["same"]) == (0, True)
    first, again = (result_of(trained, each.document["run"]).history for each in (made, ended))
    assert len(again) == 5
    assert [(trial.parameters, trial.value) for trial in again] == [(trial.parameters, trial.value) for trial in first]


def test_a_fit_that_is_not_deterministic_is_said_to_be_so(new, flyball):
    text = (new / "loop.py").read_text().replace("random_state=0", "random_state=int.from_bytes(os.urandom(3)), max_features=0.5")
    (new / "loop.py").write_text(text.replace("import flyball as fb", "import os\n\nimport flyball as fb", 1))
    made = flyball("train", "demand", "--trials", 0, "--project", new, "--json")
    assert made.code == 0, made
    assert [note for note in result_of(new, made.document["run"]).notes if note.startswith("fit is not deterministic")]
    ended = flyball("train", "demand", "--reproduce", made.document["run"], "--project", new, "--json")
    assert (ended.code, ended.document["same"], ended.document["learned_same"]) == (1, False, False)
    assert ended.document["differs"] == ["fit is not deterministic: every input that is recorded is what it was"]


def test_what_the_run_was_made_of_and_is_gone_is_named(trained, flyball):
    _, _, runs = standing(trained)
    (run,) = runs
    wired = open_project(trained)
    try:
        spec = wired.ports.library.spec(runs[run].spec)
        wired.blobs.path(spec.code).unlink()
        with pytest.raises(NotFound):
            wired.blobs.check(spec.code)
    finally:
        wired.close()
    ended = flyball("train", "demand", "--reproduce", run, "--project", trained, "--json")
    assert (ended.code, ended.document["code"]) == (1, "not-reproducible")
    assert [one["what"] for one in ended.document["problems"]] == [f"its code {spec.code[:12]} is not there any more"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--reproduce", "run_nobody"), 1, "run_nobody"),
        (("--reproduce", "demand@9.9.9"), 1, "9.9.9"),
        (("--reproduce", "RUN", "--trials", "3"), 2, "--reproduce stands with no --trials"),
        (("--reproduce", "RUN", "--set", "max_depth=3"), 2, "--reproduce stands with no --trials"),
        (("--reproduce", "RUN", "--release"), 2, "--reproduce stands with no --trials"),
    ],
)
def test_what_cannot_be_meant_is_told(trained, flyball, arguments, code: int, says: str):
    (run,) = standing(trained)[2]
    ended = flyball("train", "demand", *(run if each == "RUN" else each for each in arguments), "--project", trained, "--json")
    assert ended.code == code, ended
    assert says in ended.out


def test_a_dry_run_queues_nothing(trained, flyball):
    before = standing(trained)
    (run,) = before[2]
    ended = flyball("train", "demand", "--reproduce", run, "--dry-run", "--project", trained, "--json")
    assert ended.code == 0, ended
    assert standing(trained) == before
