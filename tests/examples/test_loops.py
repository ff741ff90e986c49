"""The loop files that people start from pass `flyball check`, and what they declare and nothing does yet is named, never ignored."""

import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from flyball.declare import codec, problems
from flyball.declare.live import label_attributes, live_slices, loss_metric, sent, untested
from flyball.declare.model import Model
from flyball.declare.rules_columns import inputs
from flyball.evaluation.reference import counted, reference
from flyball.ledger.projection import MemoryProjection
from flyball.loop.checking import CheckReport, check_project
from flyball.loop.compiling import Compiler
from flyball.loop.folds import FOLDS
from flyball.monitoring import rules
from flyball.monitoring.state import MonitorState, absorb, released
from flyball.records.base import Recorded
from flyball.records.estimates import Estimate
from flyball.records.evidence import Batch, Quality, Traffic
from flyball.records.rollouts import ROLLOUTS, PairCounts, RolloutEvidence, StepCounts
from flyball.rollout.readings import readings
from flyball.rollout.rules import plan, slow_threshold
from flyball.stats import binned

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.process


def unbuilt(checked: CheckReport) -> set[str]:
    return {warning.what.removeprefix("not built yet: ") for warning in checked.warnings if warning.what.startswith("not built yet: ")}


def test_the_electricity_example_has_no_problem_and_declares_nothing_that_nothing_does_yet(tmp_path: Path) -> None:
    root = shutil.copytree(ROOT / "examples" / "electricity", tmp_path / "electricity")
    checked = check_project(root)
    assert [str(problem) for problem in checked.problems] == []
    [model] = checked.models
    assert model.name == "price-direction"
    assert model.request == {"day": "int", "period": "float"}, "four hours ahead a caller knows the calendar and nothing else"
    assert unbuilt(checked) == set()
    told = [warning.what for warning in checked.warnings]
    assert told == ['view "lags": price, demand, up_last may be empty while data set "nsw-market" counts as fresh'], (
        "two hours, and half an hour"
    )


def test_the_electricity_example_holds_its_contract_on_the_real_file(tmp_path: Path) -> None:
    file = _test_data() / "data" / "electricity.csv"
    root = shutil.copytree(ROOT / "examples" / "electricity", tmp_path / "electricity", ignore=shutil.ignore_patterns("data"))
    (root / "data").mkdir()
    (root / "data" / "electricity.csv").symlink_to(file)
    checked = check_project(root, data=True)
    assert [str(problem) for problem in checked.problems] == []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four loop files, their data being absent."""
    root = tmp_path_factory.mktemp("four")
    (root / "flyball.toml").touch()
    (root / "loops").mkdir()
    for file in sorted((_test_data() / "loops").glob("*.py")):
        (root / "loops" / file.name).write_bytes(file.read_bytes())
    return root


@pytest.fixture(scope="module")
def four(project: Path) -> CheckReport:
    """The check of the four loop files."""
    return check_project(project)


@pytest.fixture(scope="module")
def models(project: Path) -> dict[str, Model]:
    """The four models, by name."""
    return {one.model: codec.decode(one.body) for one in Compiler(project).compile().models}


def test_all_four_loop_files_pass_the_check_without_their_data(four: CheckReport) -> None:
    assert [str(problem) for problem in four.problems] == []
    assert four.broken == ()
    assert {model.name for model in four.models} == {"price-direction", "bike-demand", "credit-default", "card-fraud"}


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("card-fraud", "a kafka:// source"),
    ],
)
def test_what_is_declared_and_not_built_is_named_with_its_effect(four: CheckReport, model: str, named: str) -> None:
    [found] = [one for one in four.models if one.name == model]
    told = [warning for warning in found.warnings if warning.what.startswith("not built yet: ") and named in warning.what]
    assert told, [warning.what for warning in found.warnings]
    assert all(f'Model "{model}"' in warning.where and warning.why for warning in told)


def test_every_model_says_what_a_caller_sends(four: CheckReport, models: dict[str, Model]) -> None:
    assert all(model.request for model in four.models)
    for model in four.models:
        assert set(sent(models[model.name])) == set(model.request), model.name


MODELS = ("price-direction", "bike-demand", "credit-default", "card-fraud")


@pytest.mark.parametrize("name", MODELS)
def test_every_monitor_comes_to_a_finding_or_is_named_by_check(models: dict[str, Model], name: str) -> None:
    model = models[name]
    named = [problem.what for problem in problems.unbuilt(model)]
    findings = rules.assess(model, _watched(model), now=NOW).findings
    for monitor in model.monitors:
        found = [finding for finding in findings if finding.monitor == str(monitor)]
        told = any(f'monitors "{monitor}"' in what for what in named)
        seen = bool(found) and all(finding.standing in ("settled", "pending") for finding in found)
        assert seen != told, (str(monitor), found, named)


@pytest.mark.parametrize("name", MODELS)
def test_every_guard_comes_to_a_reading_or_is_named_by_check(models: dict[str, Model], name: str) -> None:
    model = models[name]
    named = [problem.what for problem in problems.unbuilt(model)]
    planned = plan(
        model.rollout,
        rollout="ro",
        model=name,
        version="1.1.0",
        champion="1.0.0",
        attempt=1,
        slow_us=slow_threshold({80: 2_000}, model.rollout),
        reason="test",
    )
    projection = MemoryProjection()
    FOLDS[type(planned)](projection, Recorded(seq=1, at=NOW, actor="loop", command="c", event=planned))
    row = projection.get(ROLLOUTS, "ro")
    assert row is not None
    step = StepCounts(weight=500, canary_units=500, canary_bad=5, stable_units=9_500, stable_bad=90, canary_met=500, canary_failed=5)
    evidence = RolloutEvidence(steps=(step,), pairs=(PairCounts(minus=4, zero=492, plus=4, old_loss=100),))
    tested = {one.test for one in readings(row, model.rollout, evidence, task=model.task) if one.need_against is not None}
    for guard in model.rollout.guards:
        # errors and slow answers are always tested, at what a guard against the champion names
        seen = str(guard) in tested or (guard.metric.name in tested and not untested(guard, model.task))
        assert seen != any(f'guards "{guard}"' in what for what in named), (str(guard), tested, named)


NOW = 1_700_000_000_000_000


def _watched(model: Model) -> MonitorState:
    """Monitors that have seen all that counts can hold: labels in every slice that is counted, and two windows of every input."""
    at = NOW // 60_000_000 - 5
    sums = {"matured": 900, "labelled": 900, "correct": 800, "tp": 100, "fp": 50, "fn": 50, "tn": 700}
    sums |= {"abs_error": 90.0, "sq_error": 20.0, "quad_error": 5.0, "relative": 90.0, "relative_sq": 20.0, "relative_n": 900}
    sums |= {"truth_sq": 900.0, "truth_quad": 2_700.0, "sq_truth_sq": 20.0}
    scores = np.linspace(0.01, 0.99, 900)
    sums |= {"scored": 900, "log_loss": 300.0, "log_loss_sq": 200.0, "sq_score": 90.0, "quad_score": 20.0}
    sums |= {"scores": binned.of(scores, scores > 0.8)}
    names = ("", *(f"{column}={value}" for column in (*live_slices(model), *label_attributes(model)) for value in (1, 2)))
    quality = tuple(Quality(model=model.name, version="1.0.0", role="champion", slice=part, minute=at, **sums) for part in names)  # type: ignore[arg-type]
    traffic = Traffic(
        model=model.name, version="1.0.0", role="champion", rollout="", weight=0, minute=at, n=2_000, errors=4, latency={80: 2_000}
    )
    rows = pl.DataFrame({"value": [float(number % 97) for number in range(6_000)]})
    [reference_bins] = reference(rows, ["value"])
    bins = tuple(msgspec.structs.replace(reference_bins, column=column) for column in (*inputs(model), "prediction"))
    released_ = released(
        MonitorState(model=model.name),
        "1.0.0",
        0.2,
        NOW - 10_000_000,
        at_release={loss_metric(model.task): Estimate(value=0.5, n=1_000)},
    )
    state = absorb(released_, Batch(until=NOW - 5, quality=quality, traffic=(traffic,)), bins)
    for number in range(2):
        counts = tuple(counted(own, rows["value"], model=model.name) for own in bins)
        state = absorb(state, Batch(until=NOW - 4 + number, inputs=counts), bins)
    return state


def _test_data() -> Path:
    folder = os.environ.get("FLYBALL_TEST_DATA")
    if not folder:
        pytest.skip("FLYBALL_TEST_DATA does not say where the real data and loop files are")
    return Path(folder)
