"""Runs and versions as people list, show, compare, search and cancel them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest

from flyball.cli.models import verdict_line
from flyball.cli.output import Output
from flyball.cli.runs import _show
from flyball.governance.authority import LOOP
from flyball.loop import lookup, training
from flyball.records.base import Record
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.models import parse_ref
from flyball.records.training import RUNS, RunQueued, RunRow, RunSpec, RunState
from flyball.records.versions import VERSIONS, VersionRegistered
from flyball.wiring import open_project


class _Say(Record, frozen=True):
    """A command that records what the test wants to have happened."""

    id: str
    actor: str = "loop"


@pytest.fixture(scope="module")
def two(flyball, trained_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two versions: the second has a hyperparameter fixed, and one more line of code."""
    project = Path(shutil.copytree(trained_project, tmp_path_factory.mktemp("runs") / "two"))
    loop = project / "loop.py"
    loop.write_text(loop.read_text() + "\n# another line\n")
    ended = flyball("train", "demand", "--trials", 0, "--set", "max_depth=3", "--project", project, "--json")
    assert ended.code == 0, ended.out
    return project


def test_runs_are_listed_newest_first_and_shown_with_their_log(flyball, two: Path) -> None:
    listed = flyball("runs", "--project", two, "--json").document["runs"]
    assert [row["version"] for row in listed] == ["1.1.0", "1.0.0"]
    first, second = listed[1]["run"], listed[0]["run"]
    assert flyball("runs", "list", "--limit", 1, "--project", two, "--json").document["more"]
    table = flyball("runs", "list", "demand", "--project", two).out
    assert table.index(second) < table.index(first)
    shown = flyball("runs", "show", second[-6:], "--project", two)
    assert f"{second}   demand   succeeded" in shown.out
    assert "gave      demand@1.1.0" in shown.out
    assert "max_depth=3" in shown.out
    log = flyball("runs", "show", second, "--log", "--project", two).out
    assert "fit" in log
    told = flyball("runs", "show", second, "--project", two, "--json").document
    assert told["spec_of"]["parameters"] == {"max_depth": 3}
    assert told["result_of"]["holdout_rows"] > 0
    missing = flyball("runs", "show", "run_nothing", "--project", two)
    assert (missing.code, "no run" in missing.err) == (1, True)


@pytest.mark.skipif(shutil.which("git") is None, reason="Git is not installed here")
def test_a_version_says_of_which_features_and_of_which_commit_it_is(flyball, trained: Path) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(["git", "-C", str(trained), *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", "loop.py")
    git("commit", "--quiet", "-m", "the loop")
    made = flyball("train", "demand", "--trials", 0, "--set", "max_depth=4", "--project", trained, "--json")
    assert made.code == 0, made
    head, ref = git("rev-parse", "HEAD"), f"demand@{made.document['version']}"
    told = flyball("models", "show", ref, "--project", trained, "--json").document
    assert told["commit"] == head
    first = flyball("models", "show", "demand@1.0.0", "--project", trained, "--json").document
    assert (first["commit"], first["features_digest"]) == (None, told["features_digest"])
    text = flyball("models", "show", ref, "--project", trained).out
    assert f"commit {head[:12]}" in text
    assert f"features {told['features_digest'].removeprefix('sha256:')[:8]}" in text
    assert f"commit {head[:12]}" in flyball("runs", "show", made.document["run"], "--project", trained).out
    assert f"Git commit {head[:12]}" in flyball("models", "card", ref, "--project", trained).out
    found = flyball("models", "list", "--search", f"commit={head[:8]}", "--project", trained, "--json").document["versions"]
    assert [each["version"] for each in found] == [made.document["version"]]


def test_two_runs_and_two_versions_stand_side_by_side(flyball, two: Path) -> None:
    runs = [row["run"] for row in flyball("runs", "--project", two, "--json").document["runs"]]
    by_run = flyball("runs", "compare", runs[1], runs[0], "--project", two, "--json").document
    by_version = flyball("models", "compare", "demand@1.0.0", "demand@1.1.0", "--project", two, "--json").document
    for found in (by_run, by_version):
        differs = {(each["topic"], each["what"]) for each in found["differences"]}
        assert ("code", "loop.py") in differs
        assert ("parameters", "max_depth") in differs
        assert not any(topic in ("data", "environment", "features") for topic, _ in differs)
        assert "mae" in {each["metric"] for each in found["metrics"]}
        assert found["verdicts"]
    assert (by_version["first"], by_version["second"]) == ("demand@1.0.0", "demand@1.1.0")
    text = flyball("models", "compare", "demand@1.0.0", "demand@1.1.0", "--project", two).out
    assert "DIFFERS IN" in text
    assert "lines, 0 only here" in text
    assert "both were made of the same" in flyball("models", "compare", "demand@1.0.0", "demand@1.0.0", "--project", two).out


def test_a_training_that_has_no_news_says_whose_result_it_shows(flyball, trained: Path) -> None:
    first = flyball("runs", "--project", trained, "--json").document["runs"][0]["run"]
    same = flyball("train", "demand", "--trials", 0, "--project", trained)
    assert (same.code, "nothing was fitted" in same.out, "cost " in same.out) == (0, True, False), same.out
    assert f"same      nothing has changed since {first}, " in same.out
    assert f"flyball train demand --reproduce {first}" in same.out
    again = flyball("train", "demand", "--trials", 0, "--project", trained, "--json").document
    assert (again["reused"], again["made_by"], again["cost"], again["version"]) == (first, first, None, "1.0.0")
    shown = flyball("runs", "show", again["run"], "--project", trained).out
    assert f"same      nothing had changed since {first}: this is its result, and nothing was fitted" in shown
    assert "\ncost " not in shown
    assert "\ncost " in flyball("runs", "show", first, "--project", trained).out
    fitted = flyball("train", "demand", "--trials", 0, "--set", "max_depth=6", "--project", trained, "--json").document
    assert (fitted["reused"], fitted["made_by"], fitted["version"]) == (None, first, "1.0.0"), "it is the default, written out"
    assert fitted["cost"]["cpu_s"] == fitted["cpu_s"] > 0, "its own fit has a cost of its own"
    other = flyball("train", "demand", "--trials", 0, "--set", "max_depth=3", "--project", trained, "--json").document
    assert (other["reused"], other["made_by"], other["version"]) == (None, other["run"], "1.1.0")


def test_versions_of_all_models_are_listed_newest_first(flyball, trained: Path) -> None:
    """Whatever the models are called; the newest alone are shown where no more are wanted."""
    with contextlib.closing(open_project(trained)) as wired:
        [row] = [row for _, row in wired.ledger.state().scan(VERSIONS)]
        fields = {name: getattr(row, name) for name in VersionRegistered.__struct_fields__} | {"run": "run_elsewhere"}
        for model, version in (("zoo", "1.0.0"), ("ant", "1.0.0"), ("zoo", "1.1.0")):
            made = VersionRegistered(**fields | {"model": model, "version": version})
            wired.ledger.execute(_Say(id=f"{model} {version}"), lambda *_, made=made: (made,))

    def listed(*more: object) -> list[str]:
        rows = flyball("models", "list", *more, "--project", trained, "--json").document["versions"]
        return [f"{row['model']}@{row['version']}" for row in rows]

    assert listed() == ["zoo@1.1.0", "ant@1.0.0", "zoo@1.0.0", "demand@1.0.0"]
    assert listed("--limit", 2) == ["zoo@1.1.0", "ant@1.0.0"]
    assert listed("--search", "run=run_elsewhere", "--limit", 1) == ["zoo@1.1.0"]


def test_versions_are_searched(flyball, two: Path) -> None:
    def found(terms: str) -> list[str]:
        ended = flyball("models", "list", "--search", terms, "--project", two, "--json")
        assert ended.code == 0, ended.out
        return [row["version"] for row in ended.document["versions"]]

    assert found("mae>0") == ["1.1.0", "1.0.0"]
    assert found("mae>1e9") == []
    assert found("mae>0 state=deleted") == []
    assert flyball("models", "note", "demand@1.0.0", "--tag", "region=eu", "--project", two).code == 0
    assert found("tag=region:eu") == ["1.0.0"]
    wrong = flyball("models", "list", "--search", "acuracy>1", "--project", two)
    assert (wrong.code, "accuracy" in wrong.err) == (2, True), wrong.err
    assert "no version is so" in flyball("models", "list", "--search", "mae>1e9", "--project", two).out


def _queued(project: Path, reason: str) -> str:
    """A run that somebody has asked for, of what is declared now, and that waits; returns its id."""
    with contextlib.closing(open_project(project)) as wired:
        ports = wired.ports
        spec = training.run_spec(ports, ports.ledger.state(), lookup.declared(ports, "demand"), "manual", ports.clock.now(), trials=0)
        return training.start(ports, spec, trigger="manual", reason=reason, actor=wired.caller.actor)[0]


def test_a_run_under_way_is_followed_where_it_trains_what_is_declared_now(flyball, trained: Path) -> None:
    run = _queued(trained, "asked by ana")
    ended = flyball("train", "demand", "--project", trained)
    assert (ended.code, f"{run} is under way already (asked by ana): following it" in ended.err) == (0, True), ended
    assert f"{run}  → demand@1.0.0" in ended.out


def test_a_run_of_the_former_code_is_not_taken_for_one_of_the_present(flyball, trained: Path) -> None:
    run, loop = _queued(trained, "asked by ana"), trained / "loop.py"
    loop.write_text(loop.read_text().replace("max_depth: int = 6", "max_depth: int = 3"))
    refused = flyball("train", "demand", "--project", trained)
    assert (refused.code, "following" in refused.err) == (3, False), refused
    assert f"demand is being trained as it was declared before ({run})" in refused.err
    assert f"flyball runs cancel {run}" in refused.err
    assert flyball("runs", "cancel", run, "--project", trained).code == 0
    made = flyball("train", "demand", "--trials", 0, "--project", trained, "--json").document
    assert (made["version"], made["made_by"]) == ("1.1.0", made["run"])


def test_what_ends_by_itself_is_worth_another_try_and_a_judging_is_called_one(flyball, trained: Path) -> None:
    loop = trained / "loop.py"
    loop.write_text(loop.read_text().replace("fb.champion * 1.05", "fb.champion * 1.04"))
    assert flyball("apply", "--project", trained).code == 0
    with contextlib.closing(open_project(trained)) as wired:
        ports = wired.acting(LOOP)
        state, model = ports.ledger.state(), lookup.declared(ports, "demand")
        spec = training.judging_anew(ports, state, model, lookup.version(state, parse_ref("demand@1.0.0")), ports.clock.now())
        assert spec is not None
        run, _ = training.start(ports, spec, trigger="evidence", reason="the gates were declared anew", actor="loop")
    refused = flyball("train", "demand", "--project", trained, "--json")
    told = refused.document
    assert (refused.code, told["code"], told["status"], told["retry"], told["retry_after"]) == (3, "busy", 409, "later", 10)
    assert f"demand is being judged again as 1.0.0 ({run})" in told["detail"]
    assert "trained" not in told["detail"]
    assert flyball("runs", "cancel", run, "--reason", "enough", "--project", trained).code == 0


def test_a_failure_is_told_though_the_run_after_it_was_cancelled(flyball, new: Path) -> None:
    loop = new / "loop.py"
    loop.write_text(loop.read_text().replace("    return Hist", "    raise ValueError('no luck')\n    return Hist"))
    assert flyball("train", "demand", "--trials", 0, "--project", new).code == 1
    run = _queued(new, "once more")
    [failed] = [row["run"] for row in flyball("runs", "--project", new, "--json").document["runs"] if row["state"] == "failed"]
    assert flyball("status", "--project", new, "--json").document["failed"] == [], "another one is under way"
    assert flyball("runs", "cancel", run, "--reason", "enough", "--project", new).code == 0
    [told] = flyball("status", "--project", new, "--json").document["failed"]
    assert (told["run"], "no luck" in told["why"]) == (failed, True)
    shown = flyball("runs", "show", run, "--project", new).out
    assert f"before    {failed} failed: " in shown
    assert f"flyball runs show {failed}" in shown


@pytest.mark.parametrize(("as_of", "known"), [(0, ""), (1_700_000_000_000_000, ", known by 2023-11-14T22:13:20Z")])
def test_rows_without_a_time_are_said_to_be_known_by_none(capsys: pytest.CaptureFixture[str], as_of: int, known: str) -> None:
    spec = RunSpec(
        model="m", declaration="d", code="c", file="f", version_digest="v", policy_digest="p", datasets={"d": "1" * 64}, as_of=as_of
    )
    row = RunRow(run="run_1", model="m", trigger="manual", reason="asked", spec="", release=True, state=RunState.QUEUED, queued_at=1)
    _show(Output(as_json=False), row, spec, None, 2, "")
    assert f"data      d {'1' * 12}{known}\n" in capsys.readouterr().out


def test_a_run_is_cancelled_once(flyball, trained: Path) -> None:
    with contextlib.closing(open_project(trained)) as wired:
        [row] = [row for _, row in wired.ledger.state().scan(RUNS)]
        queued = RunQueued(run="run_waiting", model="demand", trigger="manual", reason="asked", spec=row.spec)
        wired.ledger.execute(_Say(id="say"), lambda *_: (queued,))
    ended = flyball("runs", "cancel", "waiting", "--reason", "the wrong data", "--project", trained, "--json")
    assert (ended.code, ended.document["state"]) == (0, "cancelled"), ended.out
    assert "the wrong data" in flyball("runs", "show", "run_waiting", "--project", trained).out
    again = flyball("runs", "cancel", "run_waiting", "--project", trained)
    assert (again.code, "has ended" in again.err) == (1, True), again.err


def test_a_verdict_s_line_has_each_figure_once_and_in_its_unit() -> None:
    out = Output(as_json=False)
    found = Estimate(value=3.57, n=200)
    passed = Verdict(check="latency_p99 ≤ 200ms", outcome=Outcome.PASS, estimate=found, why="3.57 ms n=200")
    line = verdict_line(out, passed)
    assert line.endswith("  3.57 ms n=200")
    assert line.count("3.57") == 1
    few = Verdict(check="accuracy ≥ 0.7", outcome=Outcome.INSUFFICIENT, estimate=Estimate(value=0.9, n=50), why="0.900 n=50 < 100")
    assert verdict_line(out, few).endswith("  0.900 n=50 < 100")
