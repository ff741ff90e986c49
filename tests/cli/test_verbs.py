"""What each verb does and shows, where nothing is up."""

import contextlib
import json
import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from flyball.cli.init import write
from flyball.cli.label import read_labels
from flyball.cli.main import run
from flyball.cli.output import ago, number, roughly
from flyball.clock import Span
from flyball.errors import BadInput
from flyball.ledger.verify import verify
from flyball.serving.client import GatewayClient
from flyball.serving.layout import Layout, write_json
from flyball.serving.supervisor import take_lock
from flyball.wiring import open_project


def events(flyball, project: Path) -> int:
    count = flyball("audit", "verify", "--project", project, "--json").document["events"]
    assert isinstance(count, int)
    return count


def test_a_new_project_has_no_problems(flyball, new_project: Path) -> None:
    ended = flyball("check", new_project, "--data")
    assert ended.code == 0, ended.out
    assert ended.out.splitlines()[-1] == "1 model, 0 problems, 0 warnings"
    assert "  a request      hour, weekday int, temperature float" in ended.out
    assert not (new_project / ".flyball" / "ledger.db").exists(), "a check writes nothing"


def test_the_same_seed_makes_the_same_data(tmp_path: Path) -> None:
    # the rows end with the hour that it is: at one moment, or the next hour would make others
    moment = 1_790_000_000_000_000
    made = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        write(tmp_path / name, seed=seed, now=moment)
        made.append((tmp_path / name / "data" / "demand.csv").read_text())
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_every_problem_of_a_file_is_shown_with_exit_code_1(flyball, new: Path) -> None:
    text = (new / "loop.py").read_text()
    (new / "loop.py").write_text(text.replace('label="demand"', 'label="demnad"').replace('owner="you",', 'owner="you", slices=["dya"],'))
    ended = flyball("check", new)
    assert ended.code == 1
    assert "demnad" in ended.out
    assert "dya" in ended.out
    told = flyball("check", new, "--json")
    assert told.code == 1
    assert told.document["problems"] == 2


def test_a_project_without_a_loop_file_is_no_sound_project(flyball, new: Path) -> None:
    (new / "loop.py").rename(new / "model.py")
    for verb in ("check", "apply"):
        ended = flyball(verb, "--project", new)
        assert ended.code == 1
        assert "declares nothing" in ended.err
        assert "neither loop.py nor loops/*.py" in ended.err


def test_checking_one_file_needs_a_loop_file(flyball, new_project: Path) -> None:
    assert flyball("check", new_project / "loop.py").code == 0
    ended = flyball("check", new_project / "README.md")
    assert (ended.code, "is not a loop file" in ended.err) == (1, True)


def test_apply_records_what_changed_once(flyball, new: Path) -> None:
    dry = flyball("apply", "--project", new, "--dry-run", "--json").document
    assert [event["kind"] for event in dry["events"]] == ["declaration.applied"]
    assert events(flyball, new) == 0
    first = flyball("apply", "--project", new, "--json").document
    # the first thing that is done here gives the local user a token
    assert (first["models"][0]["changed"], first["event"]) == (["new"], 2)
    assert flyball("apply", "--project", new, "--json").document["event"] == 0
    (new / "loop.py").write_text((new / "loop.py").read_text().replace("* 1.05", "* 1.20"))
    assert flyball("apply", "--project", new).out.rstrip().endswith("policy changed")
    (new / "loop.py").write_text("import flyball as fb\nraise RuntimeError('half written')\n")
    ended = flyball("apply", "--project", new)
    assert ended.code == 1
    assert "half written" in ended.out
    assert "its models stay as they were" in ended.out
    assert "broken    loop.py" in flyball("status", "--project", new).out


def test_new_comments_are_shipped_and_packed_into_a_patch(flyball, trained: Path) -> None:
    (trained / "loop.py").write_text((trained / "loop.py").read_text() + "\n# whom to ask: the dispatch desk\n")
    assert flyball("check", "--project", trained, "--json").document["models"][0]["changed"] == []
    assert flyball("apply", "--project", trained).out.rstrip().endswith("code changed")
    assert flyball("apply", "--project", trained).out.rstrip().endswith("as it was")
    assert flyball("train", "demand", "--trials", "0", "--project", trained, "--json").document["version"] == "1.0.1"


def test_a_trained_version_is_listed_and_shown(flyball, trained_project: Path) -> None:
    [version] = flyball("models", "--project", trained_project, "--json").document["versions"]
    assert (version["model"], version["version"], version["state"], version["role"]) == ("demand", "1.0.0", "eligible", "")
    ended = flyball("models", "show", "demand", "--project", trained_project)
    assert ended.out.startswith("demand@1.0.0   eligible")
    assert "PASS          mae ≤ baseline" in ended.out
    assert "lineage   flyball lineage demand@1.0.0" in ended.out.splitlines()
    document = flyball("models", "show", "demand@1.0.0", "--project", trained_project, "--json").document
    assert document["parameters"] == {"max_depth": 6, "learning_rate": 0.1}
    assert document["baseline"]["mae"]["value"] > document["metrics"]["mae"]["value"]


def test_a_loop_that_was_started_anew_is_starting_until_its_time_is_over(flyball, new: Path) -> None:
    layout = Layout(new / ".flyball")

    def told(*, started_s: int, passed_s: int | None) -> str:
        now = time.time_ns() // 1000
        os.utime(layout.lock, ns=((now - started_s * 1_000_000) * 1000,) * 2)
        layout.beat.unlink(missing_ok=True)
        if passed_s is not None:
            write_json(layout.beat, {"at": now - passed_s * 1_000_000})
        return flyball("status", "--project", new).out.splitlines()[-1]

    flyball("apply", "--project", new)
    lock = take_lock(layout.lock)
    try:
        layout.beat.parent.mkdir(parents=True, exist_ok=True)
        assert told(started_s=14, passed_s=300) == "loop: starting, the last pass was made 5 m ago"
        assert told(started_s=14, passed_s=None) == "loop: starting"
        assert flyball("status", "--project", new, "--json").document["starting"] is True
        assert told(started_s=100, passed_s=58).endswith("ago, late: see .flyball/run/logs/control.log"), "it has passed since"
        assert told(started_s=100, passed_s=200).endswith(", late: see .flyball/run/logs/control.log"), "its minute is over"
        assert told(started_s=100, passed_s=None) == "loop: no pass yet, late: see .flyball/run/logs/control.log"
    finally:
        os.close(lock)
    assert flyball("status", "--project", new, "--json").document["starting"] is False


def test_status_works_where_nothing_runs(flyball, trained_project: Path, new_project: Path) -> None:
    ended = flyball("status", "--project", trained_project)
    assert ended.code == 0
    head, line, *rest = ended.out.splitlines()
    assert head.split() == ["MODEL", "CHAMPION", "TRAFFIC", "QUALITY", "(vs", "release)", "P99", "ERRORS", "DRIFT", "LABELS", "SINCE"]
    assert line.split()[:3] == ["demand", "none", "–"]
    assert rest[-1] == "loop: not running (flyball up)"
    document = flyball("status", "--project", trained_project, "--json").document
    assert document["models"][0]["quality"]["verdict"] == "insufficient"
    assert (document["up"], document["loop_age_s"], document["incidents"], document["proposals"]) == (False, None, [], [])
    assert document["detector"] is True


def test_status_says_when_nobody_looks(flyball, new: Path) -> None:
    (new / "flyball.toml").write_text("[settings]\ndetector = 0\n")
    assert "detector  off, by its setting" in flyball("status", "--project", new).out
    assert flyball("status", "--project", new, "--json").document["detector"] is False


def test_train_says_what_it_would_do(flyball, trained: Path) -> None:
    before = events(flyball, trained)
    [event] = flyball("train", "demand", "--dry-run", "--reason", "why not", "--project", trained, "--json").document["events"]
    assert (event["kind"], event["reason"]) == ("run.queued", "why not")
    assert events(flyball, trained) == before


def test_a_run_that_cannot_be_made_fails_with_its_reason(flyball, new: Path) -> None:
    file = new / "loop.py"
    file.write_text(file.read_text().replace("    return HistGradient", '    raise ValueError("no luck")\n    return HistGradient'))
    ended = flyball("train", "demand", "--trials", 0, "--project", new, "--json")
    assert (ended.code, ended.document["code"]) == (1, "fit-failed")
    assert "no luck" in ended.document["detail"]
    assert "\n" not in ended.document["detail"] + ended.document["fix"]


def test_data_that_breaks_its_contract_is_not_trained_on(flyball, new: Path) -> None:
    with (new / "data" / "demand.csv").open("a") as rows:
        rows.write("2031-01-01T00:00:00Z,25,1,3.0,60.0\n")
    ended = flyball("train", "demand", "--project", new)
    assert ended.code == 1
    assert "hour" in ended.err
    assert "flyball check --data" in ended.err


def test_a_source_that_was_refused_is_not_said_to_hold_its_contract(flyball, trained: Path) -> None:
    (trained / "data" / "demand.csv").write_text("")
    ended = flyball("train", "demand", "--trials", 0, "--no-release", "--project", trained)
    assert ended.code == 0, ended.err
    assert "the last good version is used: data/demand.csv  the file is empty" in ended.err


def test_rows_of_another_source_are_not_trained_on(flyball, trained: Path) -> None:
    loop = trained / "loop.py"
    loop.write_text(loop.read_text().replace("data/demand.csv", "data/other.csv"))
    ended = flyball("train", "demand", "--trials", 0, "--project", trained)
    assert (ended.code, "data/other.csv" in ended.err) == (1, True)
    (trained / "data" / "demand.csv").rename(trained / "data" / "other.csv")
    moved = flyball("train", "demand", "--trials", 0, "--no-release", "--project", trained, "--json").document
    assert (moved["data"]["version"], moved["data"]["refused"]) == ("1.0.0", []), "the same rows from elsewhere are the same version"


def test_gates_declared_anew_judge_before_a_release(flyball, trained: Path) -> None:
    loop = trained / "loop.py"
    loop.write_text(loop.read_text().replace('fb.metric("mae") <= fb.baseline', 'fb.metric("mae") <= 0.001'))
    assert flyball("apply", "--project", trained).code == 0
    refused = flyball("release", "demand@1.0.0", "--project", trained)
    assert (refused.code, "was judged by other gates than those declared now" in refused.err) == (1, True)


def test_a_release_waits_for_up_and_can_be_tried_first(flyball, trained: Path) -> None:
    before = events(flyball, trained)
    kinds = [event["kind"] for event in flyball("release", "demand@1.0.0", "--dry-run", "--project", trained, "--json").document["events"]]
    assert kinds == ["rollout.planned", "rollout.moved", "route.desired", "version.deployed"]
    assert events(flyball, trained) == before
    first = flyball("release", "demand@1.0.0", "--idempotency-key", "k1", "--reason", "at last", "--project", trained, "--json")
    assert first.code == 0
    assert "flyball is not up" in first.err
    assert first.document["steps"] == [
        {"kind": "shadow", "weight": 0, "bake": "21600s"},
        {"kind": "canary", "weight": 2500, "bake": "21600s"},
    ]
    again = flyball("release", "demand@1.0.0", "--idempotency-key", "k1", "--project", trained, "--json")
    assert again.document == first.document
    other = flyball("release", "demand@1.0.0", "--project", trained)
    assert other.code == 1
    assert "is in a rollout already" in other.err
    shown = flyball("rollouts", "show", "demand", "--project", trained, "--json").document
    assert shown["rollout"]["rollout"] == first.document["rollout"]
    assert {reading["test"] for reading in shown["readings"]} >= {"mae ≤ champion × 1.1", "error_rate"}
    assert flyball("rollouts", "--project", trained).out.count("ro_") == 1


def test_train_with_release_stops_at_a_gate_with_exit_code_1(flyball, trained: Path) -> None:
    file = trained / "loop.py"
    file.write_text(file.read_text().replace('fb.metric("mae") <= fb.baseline', 'fb.metric("mae") <= 0.001'))
    ended = flyball("train", "demand", "--trials", 0, "--release", "--project", trained, "--json")
    assert (ended.code, ended.document["state"], ended.document["rollout"]) == (1, "rejected", None)
    refused = flyball("release", "demand@1.0.1", "--project", trained)
    assert refused.code == 1
    assert refused.err.startswith("refused  ")


def test_one_pass_of_the_loop_does_what_is_due(flyball, trained: Path) -> None:
    ended = flyball("tick", "--project", trained, "--json")
    assert ended.document["ticked"]
    assert ended.document["events"] >= 2, "the eligible version is released"
    assert flyball("rollouts", "list", "demand", "--project", trained, "--json").document["rollouts"][0]["state"] == "warming"


def test_audit_names_what_was_changed(flyball, trained: Path) -> None:
    ended = flyball("audit", "verify", "--project", trained)
    assert ended.code == 0
    assert ended.out.rstrip().endswith("artifacts: verified")
    blob = next(path for path in sorted((trained / ".flyball" / "blobs").rglob("*")) if path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(b"changed")
    ended = flyball("audit", "verify", "--project", trained, "--json")
    assert (ended.code, ended.document["verified"]) == (1, False)
    assert "a blob was changed" in ended.document["problems"][0]["what"]


def test_every_blob_of_a_training_is_looked_for(trained: Path) -> None:
    wired = open_project(trained)
    with contextlib.closing(wired):
        assert verify(wired.ledger, wired.blobs).verified
        for blob in [path for path in (trained / ".flyball" / "blobs").rglob("*") if path.is_file()]:
            content = blob.read_bytes()
            blob.chmod(0o644)
            blob.write_bytes(b"changed")
            assert not verify(wired.ledger, wired.blobs).verified, content[:60]
            blob.write_bytes(content)
        assert verify(wired.ledger, wired.blobs).verified


def test_a_changed_row_of_state_is_named_and_made_again_from_the_events(flyball, trained: Path) -> None:
    with contextlib.closing(sqlite3.connect(trained / ".flyball" / "ledger.db")) as ledger, ledger:
        ledger.execute("update p_version set body = replace(cast(body as text), 'eligible', 'deployed')")
    ended = flyball("audit", "verify", "--project", trained)
    assert ended.code == 1
    assert "row demand/1.0.0 of version is not what its events make of it" in ended.out
    assert flyball("audit", "rebuild", "--project", trained, "--json").document["events"] > 0
    assert flyball("audit", "verify", "--project", trained).code == 0


def test_status_names_the_step_to_a_first_champion(flyball, trained: Path) -> None:
    assert "no version answers yet: flyball release demand@1.0.0" in flyball("status", "--project", trained).out
    loop = trained / "loop.py"
    loop.write_text(re.sub(r"(def fit\(.*\) -> object:\n)", r"\1    raise ValueError('no\\nway')\n", loop.read_text(), count=1))
    failed = flyball("train", "demand", "--trials", 0, "--project", trained)
    assert (failed.code, "fit raised ValueError: no way;" in failed.err) == (1, True), failed.err
    shown = flyball("status", "--project", trained).out
    assert "no version answers yet: flyball release demand@1.0.0" in shown, "that the newest run failed says nothing of it"
    assert "fit raised ValueError" in shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.json", '[{"id": "a", "value": 1}, {"id": "b", "value": 2.5}]'),
        ("l.json", '{"labels": [{"id": "a", "value": 1}, {"id": "b", "value": 2.5}]}'),
        ("l.jsonl", '{"id": "a", "value": 1}\n\n{"id": "b", "value": 2.5}\n'),
        ("l.csv", "id,value\na,1\nb,2.5\n"),
        ("-", "id,value,time\na,1,\nb,2.5,\n"),
    ],
)
def test_labels_are_read_in_three_forms(name: str, text: str) -> None:
    assert read_labels(text, name) == [{"id": "a", "value": 1}, {"id": "b", "value": 2.5}]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("l.json", "[]", "holds no labels"),
        ("l.csv", "", "holds no labels"),
        ("l.csv", "id,value\na,\n,2\nc,3\n", "2 of 3 labels cannot be used"),
        ("l.csv", "id,val\na,1\n", 'no column "value"'),
        ("l.csv", "id;value\na;1\n", 'no column "id"'),
        ("l.csv", "id,value,value\na,1,2\n", 'names "value" twice'),
        ("l.csv", "id,value\na,1,2\n", "line 2 has more cells"),
        ("l.jsonl", '{"id": "a", "value": 1, "value": 2}\n', 'names "value" twice'),
        ("l.json", '[{"id": "a"}, 3]', "2 of 2 labels cannot be used"),
        ("l.jsonl", '{"id": "a", "value": 1}\n{"id": \n', "line 2 of l.jsonl is not JSON"),
    ],
)
def test_labels_that_are_none_are_named(name: str, text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_labels(text, name)


@pytest.mark.parametrize(
    ("classes", "values"),
    [((), [7, True, "no", 1.5]), (("007", "true", "no", "1.5"), ["007", "true", "no", "1.5"]), (("no", 7, True), [7, True, "no", 1.5])],
)
def test_a_label_in_csv_is_text_where_the_classes_are(classes: tuple[int | str | bool, ...], values: list[object]) -> None:
    assert read_labels("id,value\na,1_000\n", "l.csv") == [{"id": "a", "value": "1_000"}]
    found = read_labels("id,value\na,007\nb,true\nc,no\nd,1.5\n", "l.csv", classes)
    assert [one["value"] for one in found] == values


class _Counting:
    """A gateway that must not be asked: what is sent is counted."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def __enter__(self) -> "_Counting":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def schema(self, _model: str) -> dict[str, Any]:
        return {"classes": ["nan", "some"]}

    def label(self, _model: str, labels: list[Any]) -> dict[str, Any]:
        self.sent += labels
        return {"accepted": len(labels), "duplicates": 0, "corrected": 0, "refused": []}


def test_all_that_is_wrong_with_labels_is_named_at_once_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = _Counting()
    monkeypatch.setattr("flyball.cli.label.gateway", lambda *_: gateway)
    file = tmp_path / "l.csv"
    file.write_text("id,value,time\na,some,not-a-time\nb,x,\n,1,\nc,some,2026-01-31T12:00:00Z\n,,never\nd,some,2026-01-31T12:00:00\n")
    assert run(["label", "demand", str(file)]) == 1
    told = capsys.readouterr().err
    assert "5 of 6 labels cannot be used" in told
    for line in (
        "label 1  its time not-a-time is none",
        "label 2  its value x is no class",
        "label 3  it has no id, its value 1 is no class",
        "label 5  it has no id and no value, its time never is none",
        'label 6  its time "2026-01-31T12:00:00" has no zone',
    ):
        assert line in told
    assert "nothing was sent" in told
    assert gateway.sent == []


def test_a_label_that_is_nan_is_named_with_its_row_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = _Counting()
    monkeypatch.setattr("flyball.cli.label.gateway", lambda *_: gateway)
    file = tmp_path / "l.jsonl"
    file.write_text('{"id": "a", "value": 1}\n{"id": "b", "value": NaN, "attributes": {"age": Infinity}}\n')
    assert run(["label", "demand", str(file)]) == 1
    told = capsys.readouterr().err
    assert "1 of 2 labels cannot be used" in told
    assert 'label 2, id b  its value is nan, its attribute "age" is inf' in told
    assert "a label is a finite number" in told
    assert "leave out a label that is not known" in told
    assert gateway.sent == []
    # a class that is called so is text
    named = tmp_path / "l.csv"
    named.write_text("id,value\na,nan\nb,some\n")
    assert run(["label", "demand", str(named)]) == 0
    assert [one["value"] for one in gateway.sent] == ["nan", "some"]


def test_the_client_sends_no_label_that_is_not_finite() -> None:
    with GatewayClient("http://127.0.0.1:9") as client, pytest.raises(BadInput) as raised:
        client.label("demand", [{"id": "a", "value": 1.0}, {"id": "b", "value": float("inf")}])
    assert [(one.where, one.what) for one in raised.value.problems] == [("label 2, id b", "its value is inf")]


def test_of_many_bad_labels_the_first_are_named_and_the_rest_is_counted() -> None:
    with pytest.raises(BadInput) as raised:
        read_labels("id,value\n" + "x,\n" * 3000, "l.csv")
    told = str(raised.value).splitlines()
    assert len(told) == 24
    assert told[3] == "label 1  it has no value"
    assert told[-1] == "and 2,980 more labels"


def test_times_and_numbers_read_as_people_say_them() -> None:
    assert roughly(Span.parse("3h10m5s")) == "3 h"
    assert roughly(Span.parse("3h10m5s"), parts=2) == "3 h 10 m"
    assert roughly(Span.parse("2d5m"), parts=2) == "2 d"
    given = ("7186s", "7140s", "134s", "120s", "59s", "89s", "3570s", "230m", "86300s", "47h", "60h", "9d20h", "2d")
    told = [roughly(Span.parse(each)) for each in given]
    assert told == ["2 h", "1 h 59 m", "2 m 14 s", "2 m", "59 s", "1 m 29 s", "1 h", "4 h", "1 d", "1 d 23 h", "2 d 12 h", "10 d", "2 d"]
    assert roughly(400_000) == "0 s"
    assert roughly(Span.parse("5d20m"), parts=2, up=True) == "5 d 1 h", "more than five days reads so"
    assert roughly(Span.parse("5m1s"), parts=2, up=True) == "5 m 1 s"
    assert (roughly(0), ago(0, 5)) == ("0 s", "–")
    assert (number(0.7684), number(-0.05), number(14200.4)) == ("0.768", "−0.05", "14,200")


def not_json(name: str) -> None:
    pytest.fail(f"{name} is no JSON")


def test_json_documents_hold_no_value_that_json_does_not_know(flyball, trained_project: Path) -> None:
    for verb in (("models", "show", "demand"), ("status",), ("rollouts",), ("incidents", "--all"), ("check",)):
        arguments = (*verb, trained_project) if verb == ("check",) else (*verb, "--project", trained_project)
        text = flyball(*arguments, "--json").out
        json.loads(text, parse_constant=not_json)


def test_a_model_whose_file_is_gone_is_named_and_not_trained(flyball, trained: Path) -> None:
    (trained / "loop.py").write_text("")
    assert "gone     demand: applied, and no loop file declares it any more" in flyball("apply", "--project", trained).out
    assert flyball("apply", "--project", trained, "--json").document["gone"] == ["demand"]
    ended = flyball("train", "demand", "--project", trained)
    assert (ended.code, "no loop file declares demand any more" in ended.err) == (1, True)


def test_a_first_release_is_left_by_aborting_it(flyball, trained: Path) -> None:
    assert flyball("release", "demand@1.0.0", "--project", trained).code == 0
    again = flyball("release", "demand@1.0.0", "--project", trained)
    refused = flyball("rollback", "demand", "--project", trained)
    assert again.code == refused.code == 1
    for ended in (again, refused):
        assert "flyball rollouts abort ro_" in ended.err
    rollout = flyball("rollouts", "--project", trained, "--json").document["rollouts"][0]["rollout"]
    assert flyball("rollouts", "abort", rollout, "--reason", "not yet", "--project", trained).code == 0
