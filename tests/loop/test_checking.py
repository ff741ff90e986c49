"""Checking shows every problem of a project in one pass, the request of each model, and what has changed."""

import json
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import flyball as fb
from flyball.data.against import Against
from flyball.data.refresh import refresh
from flyball.declare import codec
from flyball.errors import NotFound
from flyball.loop.checking import Applied, Standards, check_project, other_requests, to_json, to_lines
from flyball.loop.compiling import compile_project
from flyball.loop.requests import Requests
from flyball.loop.routing import NONE
from flyball.records.data import DataCommitted
from flyball.store.blobs import LocalBlobs

LOOP = """
import flyball as fb
import polars as pl

data = fb.Dataset("d", source="d.csv", time="ts", columns={
    "day": fb.column(int, between=(1, 7), known_after="-1d"), "a": fb.column(float, between=(0, 1), on_breach=BREACH), "y": fb.column(int, known_after="1h")})
lags = fb.FeatureView("lags", data, features={"last_a": fb.window("1h").last("a"), "mean_a": fb.window("1d").mean("a")})

def fit(X, y, *, depth=2):
    return depth

one = fb.Model("one", task="regression", data=data, label="y", owner="me", framing=fb.Framing("x", horizon="1h"), features=[lags],
    transforms={"gap": GAP}, train=fb.Train(fit), slices=["day"], gates=[fb.metric("mae") <= BOUND],
    rollout=fb.Rollout(guards=[fb.metric("mae") <= fb.champion * 1.25]).shadow("12h").canary("25%", "6h"))
"""
pytestmark = pytest.mark.process


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    (tmp_path / "flyball.toml").touch()

    def write(
        gap: str = 'pl.col("last_a") - pl.col("mean_a")', bound: str = "1", extra: str = "", breach: str = "block", horizon: str = "1h"
    ) -> Path:
        text = (
            LOOP.replace("GAP", gap)
            .replace("BOUND", bound)
            .replace("BREACH", f'"{breach}"')
            .replace('horizon="1h"', f'horizon="{horizon}"')
        )
        (tmp_path / "loop.py").write_text(text + extra)
        return tmp_path

    return write


def write_rows(root: Path, **changes: object) -> None:
    rows = 50
    columns = {"ts": [f"2024-01-01T{hour // 2:02d}:{30 * (hour % 2):02d}:00" for hour in range(rows - 2)] + ["2024-01-02T00:00:00"] * 2}
    columns |= {"day": [1] * rows, "a": [0.5] * rows, "y": [3] * rows} | changes
    pl.DataFrame(columns).write_csv(root / "d.csv")


def test_a_sound_project_is_described(project) -> None:
    checked = check_project(project())
    [model] = checked.models
    assert checked.problems == ()
    assert model.counts == {"gates": 1, "guards": 1, "monitors": 1, "steps": 2}
    assert model.request == {"day": "int"}
    assert model.changed == ("new",)
    head, request, pages, note, total = to_lines(checked)
    assert note == NONE, "it has no route"
    assert head == (
        "loop.py   one   1 gate, 1 guard, 1 monitor, 2 steps   "
        f"version {model.version_digest[7:15]} (new)  policy {model.policy_digest[7:15]} (new)"
    )
    assert request == "  a request      day int"
    assert pages == "  power          expected false pages: ≤ 1 a year while nothing is wrong"
    assert total == "1 model, 0 problems, 0 warnings"


def test_a_model_that_is_served_elsewhere_has_no_guards_and_no_steps(project) -> None:
    """The default rollout is of models that are released here."""
    elsewhere = """
told = fb.Model("told", task="regression", data=data, label="y", owner="me", framing=fb.Framing("x"), monitors=[fb.drift()])
"""
    checked = check_project(project(extra=elsewhere))
    [line] = [line for line in to_lines(checked) if " told " in line and line.startswith("loop.py ")]
    assert line.split("told")[1].split("version")[0].strip() == "1 monitor"


def test_the_json_document_has_the_form_of_the_documents(project) -> None:
    document = json.loads(json.dumps(to_json(check_project(project(extra="\nbroken(")))))
    assert document["problems"] == 1
    assert document["models"] == []
    assert document["broken"][0]["problems"][0]["where"].startswith("loop.py:")
    document = to_json(check_project(project()))
    assert document["models"][0].keys() >= {
        "name",
        "file",
        "version_digest",
        "policy_digest",
        "changed",
        "request",
        "problems",
        "warnings",
    }
    assert document["models"][0]["version_digest"].startswith("sha256:")


def test_what_changed_against_what_is_applied_is_said(project) -> None:
    [before] = compile_project(project()).models
    applied = {"one": Applied(before.version_digest, before.policy_digest, before.body), "old": Applied("", "")}
    same = check_project(project(), applied=applied)
    assert same.models[0].changed == ()
    assert same.gone == ("old",)
    policy = check_project(project(bound="2"), applied=applied)
    assert policy.models[0].changed == ("policy",)
    assert policy.models[0].differences == ("gates: − mae ≤ 1", "gates: + mae ≤ 2")
    version = check_project(project(gap='pl.col("last_a")'), applied=applied)
    assert version.models[0].changed == ("version",)


def test_a_transform_that_looks_at_other_rows_is_refused_without_any_data(project) -> None:
    [problem] = check_project(project(gap='pl.col("last_a").cum_sum()')).problems
    assert 'loop.py:12  Model "one"' in problem.where
    assert '"gap" is not row by row' in problem.what


def test_data_that_break_their_contract_are_a_problem_of_the_check_with_data(project) -> None:
    root = project()
    write_rows(root)
    assert check_project(root, data=True).problems == ()
    write_rows(root, a=[7.0] * 50)
    assert check_project(root).problems == ()
    [problem] = check_project(root, data=True).problems
    assert problem.where == 'Data set "d"'
    assert "a" in problem.what


def test_the_check_says_what_is_new_since_the_last_good_version(project, tmp_path_factory) -> None:
    root, blobs = project(), LocalBlobs(tmp_path_factory.mktemp("blobs"))
    write_rows(root)
    [compiled] = compile_project(root).models
    good = refresh(codec.decode(compiled.body).data, root, blobs, None)
    assert isinstance(good, DataCommitted)
    write_rows(root, a=[0.5] * 49 + [7.0])
    [problem] = check_project(root, data=True, standards=Standards(Against(), blobs, {"d": good.version})).problems
    assert problem.what == "a: 1 of 50 values are not between 0 and 1 (row 50: 7.0); 0 in version 1.0.0; new since 2024-01-02"


def test_what_a_column_only_warns_of_is_said_and_stops_nothing(project) -> None:
    root = project(breach="warn")
    write_rows(root, a=[7.0] * 50)
    checked = check_project(root, data=True)
    assert checked.problems == ()
    [told] = [each for each in checked.warnings if "of 50 values" in each.what]
    assert (told.where, told.what) == ('Data set "d"', "a: 50 of 50 values are not between 0 and 1 (row 1: 7.0)")
    assert 'on_breach="warn"' in told.why


def test_a_declaration_is_held_to_what_callers_send_whatever_was_applied_since(project) -> None:
    [before] = compile_project(project()).models

    def applied(sent: Requests | None) -> dict[str, Applied]:
        return {"one": Applied(before.version_digest, before.policy_digest, before.body, requests=sent)}

    sent = Requests("the champion 1.0.0", "regression", {"day": "int"})
    assert check_project(project(bound="2"), applied=applied(sent)).warnings == ()
    [told] = check_project(project(horizon="0s"), applied=applied(sent)).warnings
    assert told.what == "it takes other requests than the champion 1.0.0: field a is new"
    assert "never released" in told.why
    assert "another name" in told.fix
    [told] = check_project(project(), applied=applied(sent._replace(fields={"day": "int", "a": "float"}))).warnings
    assert told.what == "it takes other requests than the champion 1.0.0: field a is gone", (
        "it is what is applied, and is released as little"
    )
    assert check_project(project(horizon="0s"), applied=applied(None)).warnings == (), "nobody sends anything yet"


def test_a_missing_source_is_a_problem_of_the_check_with_data(project) -> None:
    [problem] = check_project(project(), data=True).problems
    assert "d.csv" in problem.what


def test_a_file_that_cannot_be_read_is_named_with_its_line(project) -> None:
    root = project()
    write_rows(root)
    [source] = root.rglob("d.csv")
    source.write_text(source.read_text() + "1,2,3,4,5,6,7,8\n")
    lines = len(source.read_text().splitlines())
    assert f'Data set "d"  d.csv:{lines}' in [problem.where for problem in check_project(root, data=True).problems]


def test_warnings_do_not_count_as_problems(project) -> None:
    checked = check_project(project(extra='\ntwo = one.replace("two", review=pl.col("score") >= 0.5, owner="")\n'))
    assert checked.problems == ()
    assert [warning.what for warning in checked.warnings] == ["there is no owner", "not built yet: review"]
    assert to_lines(checked)[-1] == "2 models, 0 problems, 2 warnings"


def test_outside_a_project_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not a flyball project"):
        check_project(tmp_path)


def test_rows_are_not_held_while_they_are_checked(project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import flyball.data.source as reading

    held: list[weakref.ref[Any]] = []
    stream = reading.stream

    class Batch(pl.DataFrame):
        """A frame that can be asked for."""

    def watched(*arguments: Any) -> Iterator[pl.DataFrame]:
        for batch in stream(*arguments):
            for part in batch.iter_slices(5):
                assert sum(each() is not None for each in held) < 3, "all of the batches are kept"
                made = Batch(part)
                held.append(weakref.ref(made))
                yield made
                del made

    monkeypatch.setattr(reading, "stream", watched)
    root = project()
    write_rows(root)
    assert check_project(root, data=True).problems == ()
    assert len(held) >= 10


def test_a_query_is_checked_without_a_file_being_written_unless_its_keys_are_looked_at_twice(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "t.db") as made:
        made.execute("create table t (ts text, x real, y int)")
        made.executemany("insert into t values (?, ?, ?)", [(f"2026-01-01T00:{minute:02}:00", 1.0, minute % 2) for minute in range(60)])
    made.close()
    (tmp_path / "flyball.toml").touch()
    (tmp_path / "loop.py").write_text(
        """
import flyball as fb

data = fb.Dataset("d", source=fb.sql("select * from t", url="sqlite:///t.db"), time="ts", columns={"x": float, "y": fb.column(int, known_after="1h")}, unique=UNIQUE)

def fit(X, y):
    return None

m = fb.Model("m", task="binary", data=data, label="y", owner="me", framing=fb.Framing("x"), train=fb.Train(fit), autonomy="record")
""".replace("UNIQUE", "()")
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    assert check_project(tmp_path, data=True).problems == ()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before
    (tmp_path / "loop.py").write_text((tmp_path / "loop.py").read_text().replace("unique=()", 'unique=["x"]'))
    (found,) = check_project(tmp_path, data=True).problems
    assert "x: must be unique, 59 of 60 rows repeat another" in str(found)


COSTLY = """
two = fb.Model("two", task="binary", data=data, label="y", owner="me", framing=fb.Framing("x", horizon="1h"), train=fb.Train(fit),
    gates=[fb.metric("accuracy") >= 0.5], costs={"false_positive": "ALARM EUR", "false_negative": "MISS EUR"})
"""


@pytest.mark.parametrize(("alarm", "miss", "stays"), [("1", "9", True), ("2", "2", False)])
def test_other_costs_are_a_judging_anew_that_leaves_the_threshold(project, alarm, miss, stays) -> None:
    root = project(extra=COSTLY.replace("ALARM", "1").replace("MISS", "1"))
    known = {
        each.model: Applied(each.version_digest, each.policy_digest, each.body, each.gates_digest) for each in compile_project(root).models
    }
    project(extra=COSTLY.replace("ALARM", alarm).replace("MISS", miss))
    said = {each.name: each.when_applied for each in check_project(root, applied=known).models}
    assert said["one"] == "nothing: it is so already"
    assert said["two"].startswith("a judging anew, without a training")
    assert ("the threshold of each was chosen by the former costs" in said["two"]) is stays, "equal odds choose the same one"


def test_a_column_that_the_champion_reads_and_nobody_declares_any_more_is_said_to_end_every_run() -> None:
    data = fb.Dataset("d", source="d.csv", columns={"a": float, "kept": float, "y": int})
    model = fb.Model("m", task="regression", data=data, label="y", inputs=["a"])
    [kept] = other_requests(Requests("the champion 1.0.0", "regression", {"a": "float", "kept": "float"}), model)
    assert kept.why == "callers send what the champion takes, so its versions are trained and never released"
    [gone] = other_requests(Requests("the champion 1.0.0", "regression", {"a": "float", "b": "float"}), model)
    assert gone.why == 'the champion 1.0.0 reads "b", and no version is made that cannot be compared with it on the same rows'
    assert gone.fix.startswith("keep it declared in the data set, and versions are made again; declare it to take ")
