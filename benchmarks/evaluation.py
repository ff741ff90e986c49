"""What judging a version costs: metrics in slices, a whole evaluation of a million held-out rows, what a run adds to its fits, and lists of many versions (`many`).

Inputs come from a seed. What is timed is checked as well: slices against counts by hand (and fairlearn's with `--peers`), the planted weak slice
is found in the million rows.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from benchmarks import many
from benchmarks.report import Bar, Report, Row, main

from flyball.data.commit import commit
from flyball.declare import codec as declarations
from flyball.declare.code import load_model
from flyball.evaluation.slices import by_slice
from flyball.records import codec
from flyball.records import evaluation as reports
from flyball.records.training import RunResult, RunSpec
from flyball.store.blobs import LocalBlobs
from flyball.training.choosing import Progress
from flyball.training.job import RESULT, Outcome, job_spec
from flyball.training.run import perform

ROWS, COLUMNS, ROUNDS = 1_000_000, 10, 5
METRICS = ("accuracy", "precision", "recall", "f1", "positive_rate")
HOUR = 3_600_000_000
START = 1_600_000_000_000_000

LOOP = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

rows = fb.Dataset("rows", source="rows.parquet", time="at", columns={
    **{f"x{place}": fb.column(float, known_after="-1d") for place in range(10)},
    **{f"k{place}": fb.column(str, known_after="-1d") for place in range(5)},
    "sex": fb.column(str, protected=True), "y": fb.column(int, one_of=(0, 1)),
})

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression().fit(X.select([f"x{place}" for place in range(10)]), y)

def predict(model, X: pl.DataFrame):
    return model.predict_proba(X.select([f"x{place}" for place in range(10)]))

judged = fb.Model("judged", task="binary", data=rows, label="y", framing=fb.Framing("be judged"), slices=["k0", "k1"],
    train=fb.Train(fit, predict=predict, window="TRAINEDh", holdout="HELDh"),
    gates=[fb.metric("accuracy") >= fb.baseline, fb.metric("recall").gap("sex") <= 0.2, fb.metric("weak_slices") <= 0])
"""


def slices(folder: Path, report: Report, *, peers: bool) -> float:
    """Median CPU seconds of five metrics in each value of ten columns of a million rows."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, ROWS)
    columns = {f"c{place}": random.integers(0, 4 + 2 * place, ROWS) for place in range(COLUMNS)}
    frame = pl.DataFrame({"y": y, "value": np.where(random.random(ROWS) < 0.8, y, 1 - y), "score": [None] * ROWS, **columns})
    samples = []
    for _ in range(ROUNDS):
        start = time.process_time()
        found = by_slice("binary", frame, list(columns), METRICS, classes=(0, 1))
        samples.append(time.process_time() - start)
    part = frame.filter(pl.col("c3") == 2)
    right = int((part["y"] == part["value"]).sum())
    assert found["c3=2"]["accuracy"].value == right / part.height
    row = Row.of("five metrics in the values of ten columns, 1M rows", "CPU s", samples)
    if peers:
        taken, theirs = by_fairlearn(frame.drop("score"), folder)
        ours = {
            (column, value, name): found[f"{column}={value}"][name].value
            for column, values in theirs.items()
            for value, metrics in values.items()
            for name in metrics
        }
        assert all(abs((each or 0.0) - theirs[column][value][name]) < 1e-9 for (column, value, name), each in ours.items())
        row = Row.of(row.name, row.unit, samples, peer="fairlearn", peer_samples=[taken])
    report.rows.append(row)
    return row.median


def by_fairlearn(frame: pl.DataFrame, folder: Path) -> tuple[float, dict[str, dict[str, dict[str, float]]]]:
    """CPU seconds of the same with fairlearn's MetricFrame, in an environment of its own, and what it found."""
    venv.create(folder / "fairlearn", with_pip=True)
    python = folder / "fairlearn" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "fairlearn", "pyarrow"], check=True)
    frame.write_parquet(folder / "rows.parquet")
    said = subprocess.run([python, Path(__file__).with_name("fairlearn_peer.py"), folder], check=True, capture_output=True, text=True)
    return float(said.stdout.split()[-1]), json.loads((folder / "found.json").read_text())


def history(count: int) -> pl.DataFrame:
    """Rows an hour apart; a fifth of them, of one value of `k3`, happen the other way round."""
    random = np.random.default_rng(1)
    x = random.normal(size=(count, 10))
    chance = 1 / (1 + np.exp(-(x @ np.linspace(2.0, -2.0, 10))))
    y = random.random(count) < chance
    kinds = {f"k{place}": pl.Series(random.integers(0, 5 + place, count)).cast(pl.String) for place in range(5)}
    kinds["k3"] = pl.Series(random.integers(0, 5, count)).cast(pl.String)
    turned = (kinds["k3"] == "2").to_numpy()
    return pl.DataFrame(
        {
            "at": pl.Series(START + HOUR * np.arange(count)).cast(pl.Datetime("us")),
            **{f"x{place}": x[:, place] for place in range(10)},
            **kinds,
            "sex": random.choice(["f", "m"], count),
            "y": np.where(turned, ~y, y).astype(int),
        }
    )


def project(root: Path, trained: int, held: int) -> tuple[LocalBlobs, RunSpec]:
    """A project of the loop above, and what a run of it is to do."""
    root.mkdir()
    text = LOOP.replace("TRAINED", str(trained)).replace("HELD", str(held))
    (root / "loop.py").write_text(text)
    blobs = LocalBlobs(root / "blobs")
    body = declarations.encode(load_model(root, "loop.py", "judged"))
    digests = declarations.digests(body)
    spec = RunSpec(
        model="judged",
        declaration=blobs.put(body.encode()),
        code=blobs.put(json.dumps({"loop.py": text}).encode()),
        file="loop.py",
        version_digest=digests.version,
        policy_digest=digests.policy,
        datasets={},
        as_of=START + HOUR * (trained + held),
    )
    return blobs, spec


def full_evaluation(folder: Path, report: Report) -> float:
    """CPU seconds from the first section of the report to the stored result, of a million held-out rows with 15 features."""
    blobs, spec = project(folder / "million", 100_000, ROWS)
    frame = history(100_000 + ROWS)
    seen: dict[str, tuple[float, float]] = {}

    def progress(stage: Progress) -> None:
        seen[stage.stage] = time.process_time(), time.perf_counter()

    found = perform(spec, load_model(folder / "million", "loop.py", "judged"), {"rows": frame}, blobs, progress=progress)
    seen["end"] = time.process_time(), time.perf_counter()
    assert found.result.holdout_rows >= ROWS - 1
    made = codec.decode(blobs.get(found.result.report), reports.Report)
    assert made.weak_slices is not None
    assert "k3=2" in [each.where for each in made.weak_slices.found]
    parts = (("report of 1M held-out rows", "evaluate", "judge"), ("gates on 1M held-out rows, all stored", "judge", "end"))
    for name, first, last in parts:
        cpu, wall = (seen[last][place] - seen[first][place] for place in (0, 1))
        report.rows += [Row.of(f"{name}, CPU", "s", [cpu]), Row.of(f"{name}, wall", "s", [wall])]
    return seen["end"][0] - seen["evaluate"][0]


def run_overhead(folder: Path, report: Report) -> float:
    """Median CPU seconds of a whole run's process less those of its fits, and of a process that only imports what the loop file does (Polars and
    scikit-learn): 2,000 rows, so that all that is left is flyball's. On a machine that does nothing else the wall differs little; it stands beside it.
    """
    cpu, wall = [], []
    bare = [_cpu_of("-c", "import polars, sklearn.linear_model") for _ in range(3)]
    for turn in range(3):
        root = folder / f"small-{turn}"
        blobs, spec = project(root, 1_500, 500)
        (root / "out").mkdir()
        content = commit(load_model(root, "loop.py", "judged").data, history(2_000), blobs, None, "m").content
        given = codec.encode(msgspec.structs.replace(spec, datasets={"rows": content}))
        (root / "spec.json").write_bytes(codec.encode(job_spec("run_1", blobs.put(given), blobs=root / "blobs", home=root)))
        start = time.perf_counter()
        used = _cpu_of("-m", "flyball.training.job", folder=root)
        taken = time.perf_counter() - start
        fits = codec.decode(blobs.get(codec.decode((root / RESULT).read_bytes(), Outcome).result), RunResult).fit_s
        cpu.append(used - fits)
        wall.append(taken - fits)
    report.rows += [Row.of("a whole run's process less its fits, 2,000 rows", unit, found) for unit, found in (("CPU s", cpu), ("s", wall))]
    report.rows.append(Row.of("a process that imports what the loop file does", "CPU s", bare))
    return statistics.median(cpu) - statistics.median(bare)


def _cpu_of(*arguments: str, folder: Path | None = None) -> float:
    """CPU seconds of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(arguments: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as temporary:
        folder = Path(temporary)
        report.bars.append(Bar.at_most("slices_1m_cpu_s", slices(folder, report, peers=arguments.peers), 0.3, "CPU s"))
        report.bars.append(Bar.at_most("full_evaluation_1m_s", full_evaluation(folder, report), 10, "CPU s"))
        report.bars.append(Bar.at_most("run_overhead_s", run_overhead(folder, report), 1.5, "CPU s"))
        report.bars.append(Bar.at_most("list_1000_models_ms", many.measure(folder, report), 50, "ms"))
    return report


if __name__ == "__main__":
    main(run, __doc__)
