"""Runs as jobs: real processes that see nothing but blobs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import polars as pl
import pytest

from flyball.clock import Span
from flyball.compute.local import LocalCompute
from flyball.compute.port import JobObservation
from flyball.data.commit import commit
from flyball.declare.data import Dataset
from flyball.records import codec
from flyball.records.training import RunResult
from flyball.store.blobs import LocalBlobs
from flyball.training.artifact import load
from flyball.training.job import Observed, job_spec, observe
from flyball.training.rows import assemble

pytestmark = pytest.mark.process


def kinds(frame) -> dict[str, object]:
    return {name: "time" if kind == pl.Datetime else kind.to_python() for name, kind in frame.schema.items()}


class Jobs:
    """Runs of one project."""

    def __init__(self, project, home: Path) -> None:
        self.project, self.home = project, home
        self.compute = LocalCompute(home / "jobs")
        self.datasets = {
            name: commit(Dataset(name, source=frame, columns=kinds(frame)), frame, project.blobs, None, "m").content
            for name, frame in project.frames.items()
        }

    def start(self, run: str, timeout: str = "60s", memory: int | None = None, attempt: int = 1, **fields) -> None:
        spec = self.project.blobs.put(codec.encode(self.project.spec(datasets=self.datasets, **fields)))
        limit = Span.parse(timeout)
        self.compute.submit(
            job_spec(run, spec, blobs=self.project.blobs.root, home=self.home, timeout=limit, memory=memory, attempt=attempt)
        )

    def end(self, run: str) -> Observed:
        for _ in range(1200):
            seen = observe(self.compute, run, self.project.blobs)
            if seen.state not in ("running", "absent"):
                return seen
            time.sleep(0.05)
        pytest.fail("the run does not end")


def test_a_run_gives_a_result_from_blobs_alone_and_the_same_run_again_is_remembered(price, tmp_path: Path):
    jobs = Jobs(price, tmp_path / "home")
    shutil.rmtree(price.root / "loops")
    jobs.start("run_1", trials=2)
    seen = jobs.end("run_1")
    assert seen.state == "succeeded", (seen, jobs.compute.log("run_1", 0))
    result = codec.decode(price.blobs.get(seen.result), RunResult)
    assert result.metrics["accuracy"].value > 0.8
    assert result.trials == 2
    progress = jobs.compute.output("run_1", "progress.json") or b""
    assert b'"stage":"judge"' in progress
    assert b'"done":2,"total":2' in progress, "who looks at the end sees that all trials were made"
    predictor = load(result.artifact, price.blobs, tmp_path / "scratch")
    assert predictor.model.name == "price"

    jobs.start("run_2", trials=2)
    assert jobs.end("run_2").result == seen.result
    assert b"done before" in jobs.compute.log("run_2", 0)[0]

    price.blobs.path(result.evidence).unlink()
    manifest_file = price.blobs.path(next(iter(_files(price, result.artifact))))
    manifest_file.unlink()
    assert observe(jobs.compute, "run_1", price.blobs).why.startswith("its result does not verify")


def _files(project, artifact: str) -> list[str]:
    from flyball.training.artifact import manifest_of

    return list(manifest_of(artifact, project.blobs).files.values())


def test_a_run_that_cannot_be_made_fails_with_what_why_and_fix(bikes, tmp_path: Path):
    jobs = Jobs(bikes, tmp_path / "home")
    jobs.start("run_1", as_of=0)
    seen = jobs.end("run_1")
    assert seen.state == "failed"
    assert "the hold-out (7d) has 0 rows" in seen.why
    assert "fix" in seen.why


def test_a_champion_in_another_job_is_compared_on_the_same_rows(bikes, tmp_path: Path):
    jobs = Jobs(bikes, tmp_path / "home")
    jobs.start("run_1", trials=0)
    first = codec.decode(bikes.blobs.get(jobs.end("run_1").result), RunResult)
    jobs.start("run_2", trials=0, champion=first.artifact, champion_version="1.0.0")
    second = codec.decode(bikes.blobs.get(jobs.end("run_2").result), RunResult)
    assert second.champion["mae"].n == second.metrics["mae"].n == 168
    assert second.verdicts[0].reference is not None
    assert second.fit_digest == first.fit_digest, "the same was learned"


def test_a_held_version_is_judged_again_beside_its_champions_answers_to_the_same_rows(relabelled, tmp_path: Path):
    before, after = relabelled
    jobs = Jobs(after, tmp_path / "home")
    late = after.spec().as_of
    early = late - int(Span.parse("3d"))

    def made(run: str, project, **fields) -> tuple[str, RunResult]:
        jobs.project = project
        jobs.start(run, **fields)
        seen = jobs.end(run)
        assert seen.state == "succeeded", (seen, jobs.compute.log(run, 0))
        return seen.result, codec.decode(project.blobs.get(seen.result), RunResult)

    _, champion = made("run_1", before, as_of=early)
    against = {"champion": champion.artifact, "champion_version": "1.0.0"}
    prior, held = made("run_2", after, as_of=early, **against)
    judged = {"candidate": held.artifact, "candidate_version": "2.0.0", "prior": prior, "as_of": late}
    _, again = made("run_3", after, **against, **judged)
    old, new = (pl.read_parquet(after.blobs.get(each.evidence)) for each in (held, again))
    assert new.height > old.height + 60
    released = load(champion.artifact, after.blobs, tmp_path / "scratch")
    rows = assemble(released.model, after.frames, as_of=late)
    asked = rows.frame.filter(pl.col("__time").is_in(new["__time"][old.height :].implode())).select(rows.features)
    assert new["champion_score"][old.height :].to_list() == released.predict(asked).score.tolist()
    assert set(new["__champion"][old.height :].str.head(len("champion as it answers"))) == {"champion as it answers"}


MEAN = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={"hour": fb.column(int, known_after="-1d"), "up": int})

def later(X: pl.DataFrame) -> pl.DataFrame:
    return X.with_columns(later=pl.col("hour") - VALUE)

def fit(X: pl.DataFrame, y):
    print("fitted")
    return LogisticRegression().fit(X, y)

m = fb.Model("m", task="binary", data=market, label="up", transforms=later, train=fb.Train(fit, window="28d", holdout="7d"), gates=[])
"""


def test_a_transform_that_looks_at_other_rows_ends_the_run_before_anything_is_fitted(project, tmp_path: Path):
    jobs = Jobs(project(MEAN.replace("VALUE", "pl.col('hour').mean()"), "m"), tmp_path / "home")
    jobs.start("run_1")
    seen = jobs.end("run_1")
    assert (seen.state, seen.code) == ("failed", "not-row-by-row")
    assert 'transform "later" is not row by row' in seen.why
    assert "fix  compute it from the row's own columns" in seen.why
    assert "fitted" not in (tmp_path / "home" / "jobs" / "run_1" / "1" / "log.txt").read_text()


def test_a_transform_of_the_row_itself_is_proved_and_fitted(project, tmp_path: Path):
    jobs = Jobs(project(MEAN.replace("VALUE", "3"), "m"), tmp_path / "home")
    jobs.start("run_1")
    assert jobs.end("run_1").state == "succeeded"


HASHED = MEAN.replace("transforms=later, ", "").replace('print("fitted")', 'print("hash of a text", hash("depth"))')


def test_a_fit_that_rests_on_the_hash_of_a_text_has_the_same_in_every_run(project, tmp_path: Path):
    jobs = Jobs(project(HASHED, "m"), tmp_path / "home")
    seen = set()
    for run, seed in (("run_1", 1), ("run_2", 2)):
        jobs.start(run, seed=seed)
        assert jobs.end(run).state == "succeeded"
        log = (tmp_path / "home" / "jobs" / run / "1" / "log.txt").read_text()
        seen |= {line for line in log.splitlines() if line.startswith("hash of a text")}
    assert len(seen) == 1


def test_a_reason_that_no_encoding_has_is_told_all_the_same(project, tmp_path: Path):
    jobs = Jobs(project(HANGS.replace("time.sleep(600)", "raise ValueError('bad ' + chr(0xd800) + ' luck')"), "m"), tmp_path / "home")
    jobs.start("run_1")
    seen = jobs.end("run_1")
    assert (seen.state, seen.code) == ("failed", "fit-failed")
    assert "fit raised ValueError: bad ? luck" in seen.why


HANGS = """
import time
import flyball as fb

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={"hour": fb.column(int, known_after="-1d"), "up": int})

def fit(X, y):
    time.sleep(600)

m = fb.Model("m", task="binary", data=market, label="up", train=fb.Train(fit, window="28d", holdout="7d"), gates=[])
"""


@pytest.mark.parametrize(("trials", "helps"), [(0, "make one fit faster: "), (2, "ask for fewer trials")])
def test_a_fit_that_hangs_ends_at_the_declared_timeout_with_the_reason(project, tmp_path: Path, trials: int, helps: str):
    jobs = Jobs(project(HANGS, "m"), tmp_path / "home")
    jobs.start("run_1", timeout="4s", trials=trials)
    seen = jobs.end("run_1")
    assert (seen.state, seen.code) == ("failed", "run-timeout")
    assert seen.why.startswith("it took longer than train timeout allows, at fit\n    why  ")
    assert f"raise fb.Train(timeout=…), or {helps}" in seen.why
    assert jobs.compute.log("run_1", 0)[0].endswith(b"stopped\n")


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("os._exit(0)", "run-exited", "its process ended with exit code 0, at fit and left no reason"),
        ("os._exit(3)", "run-exited", "its process ended with exit code 3, at fit"),
        ("os.kill(os.getpid(), 11)", "run-exited", "its process ended with signal SIGSEGV, at fit"),
        ("sys.exit(0)", "fit-failed", "fit called sys.exit(0)"),
        ("held = bytearray(900_000_000); time.sleep(60)", "run-memory", "it took more memory than it may have ("),
    ],
)
def test_a_fit_that_ends_its_process_or_eats_memory_is_a_failed_run_with_a_code(project, body: str, code: str, says: str, tmp_path: Path):
    text = HANGS.replace("time.sleep(600)", body).replace("import time\n", "import os\nimport sys\nimport time\n")
    jobs = Jobs(project(text, "m"), tmp_path / "home")
    jobs.start("run_1", memory=700_000_000)
    seen = jobs.end("run_1")
    assert (seen.state, seen.code) == ("failed", code), seen
    assert seen.why.startswith(says)
    assert "\n    fix  " in seen.why


SEARCHES = """
import time
import flyball as fb
import polars as pl
from sklearn.tree import DecisionTreeClassifier

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={"hour": fb.column(int, known_after="-1d"), "up": int})

def fit(X: pl.DataFrame, y: pl.Series, *, max_depth: int = 3):
    print("fits", max_depth, flush=True)
    time.sleep(0.2)
    return DecisionTreeClassifier(max_depth=max_depth, random_state=0).fit(X, y)

train = fb.Train(fit, search={"max_depth": fb.integers(1, 1000)}, window="28d", holdout="7d")
m = fb.Model("m", task="binary", data=market, label="up", train=train, gates=[])
"""


def test_a_search_whose_machine_went_down_goes_on_in_the_next_attempt(project, tmp_path: Path):
    jobs = Jobs(project(SEARCHES, "m"), tmp_path / "home")
    jobs.start("run_1", trials=12)
    until = time.monotonic() + 60
    while not any(path.read_bytes().count(b"\n") >= 5 for path in (tmp_path / "home" / "memo").glob("*.trials")):
        assert time.monotonic() < until, jobs.compute.log("run_1", 0)
        time.sleep(0.02)
    pids = json.loads((tmp_path / "home" / "jobs" / "run_1" / "1" / "pid.json").read_text())
    for pid in (pids["guardian"], pids["pid"]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert jobs.end("run_1").state == "lost"
    jobs.start("run_1", trials=12, attempt=2)
    seen = jobs.end("run_1")
    assert (seen.state, seen.attempt) == ("succeeded", 2)
    result = codec.decode(jobs.project.blobs.get(seen.result), RunResult)
    log = jobs.compute.log("run_1", 0)[0].decode()
    assert "trials 1, 2, 3, 4: made by an earlier attempt" in log
    earlier = {trial.parameters["max_depth"] for trial in result.history[:5]} - {result.parameters["max_depth"]}
    assert not {f"fits {depth}" for depth in earlier} & set(log.splitlines())
    jobs.start("run_2", trials=12, seed=0)
    assert jobs.end("run_2").result == seen.result, "the same run is remembered"
    assert not list((tmp_path / "home" / "memo").glob("*.trials"))


LEAKS = """
import polars as pl
from sklearn.tree import DecisionTreeClassifier
import flyball as fb

columns = {"hour": fb.column(int, known_after="-1d"), "same": fb.column(int, known_after="-1d"), "up": int}
market = fb.Dataset("market", source="data/market.csv", time="ts", columns=columns)

def fit(X: pl.DataFrame, y: pl.Series):
    return DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, y)

m = fb.Model("m", task="binary", data=market, label="up", train=fb.Train(fit, window="28d", holdout="7d"), gates=[])
"""


def test_a_runs_log_says_what_gives_the_answer_away_and_the_run_goes_on(project, tmp_path: Path):
    made = project(LEAKS, "m")
    for run, copied in (("run_1", False), ("run_2", True)):
        frame = made.frames["market"]
        same = pl.col("up") if copied else pl.col("up").shuffle(seed=0)
        made.frames["market"] = frame.with_columns(same=same.cast(pl.Int64)).select("ts", "hour", "same", "up")
        jobs = Jobs(made, tmp_path / "home")
        jobs.start(run, trials=0)
        assert jobs.end(run).state == "succeeded", jobs.compute.log(run, 0)
        told = [line for line in jobs.compute.log(run, 0)[0].decode().splitlines() if "leak" in line]
        assert [line.split(":")[:2] for line in told] == [["note", " leak"]] * copied
        assert all('feature "same" is the label' in line and "known_after=" in line for line in told)


class Left:
    """A compute whose job ended so, leaving this."""

    def __init__(self, why: str, left: bytes | None = None) -> None:
        self.why, self.left = why, left

    def observe(self, keys: list[str]) -> dict[str, JobObservation]:
        return dict.fromkeys(keys, JobObservation(state="ended", attempt=2, rc=0 if self.why == "exited" else -9, why=self.why))

    def output(self, key: str, name: str) -> bytes | None:
        return self.left


@pytest.mark.parametrize("why", ["lease", "stopped"])
def test_a_run_whose_keeper_was_away_is_lost_and_so_tried_again(why, tmp_path: Path):
    seen = observe(Left(why), "run_1", LocalBlobs(tmp_path))
    assert (seen.state, seen.attempt) == ("lost", 2)


@pytest.mark.parametrize("left", [b"", b"{", b'{"result": 1}'])
def test_a_result_that_a_power_cut_left_unreadable_is_a_failed_run_and_ends_no_loop(left, tmp_path: Path):
    seen = observe(Left("exited", left), "run_1", LocalBlobs(tmp_path))
    assert seen.state == "failed"
    assert "does not verify" in seen.why
