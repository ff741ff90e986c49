"""Two versions side by side: what differs is listed with both values, and nothing else; metrics and verdicts all are."""

from __future__ import annotations

import msgspec

import flyball as fb
from flyball.clock import Span
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.models import Field, Manifest, Signature
from flyball.records.training import RunResult, RunSpec
from flyball.registry.compare import Side, compare

SIGNATURE = Signature(task="binary", fields=(Field(name="a", type="float"),), classes=(0, 1))
SPEC = RunSpec(
    model="m", declaration="d", code="c", file="loop.py", version_digest="v", policy_digest="p", datasets={"loans": "1" * 64}, as_of=1
)
RESULT = RunResult(
    artifact="a" * 64,
    signature=SIGNATURE,
    parameters={"depth": 3},
    window=Span.parse("7d"),
    rows=100,
    holdout_rows=20,
    metrics={"accuracy": Estimate(value=0.7)},
    baseline={},
    by_slice={"sex=F": {"accuracy": Estimate(value=0.6)}},
)
MANIFEST = Manifest(
    model="m",
    file="loop.py",
    code="c",
    declaration="d",
    files={},
    signature=SIGNATURE,
    python="3.12.1",
    libraries={"scikit-learn": "1.7.0"},
)


def declared(*, span: str = "1d", bound: float = 0.6) -> fb.Model:
    rows = fb.Dataset("rows", source="rows.csv", time="at", columns={"a": float, "y": fb.column(int, one_of=(0, 1))})
    view = fb.FeatureView("lags", rows, features={"a_mean": fb.window(span).mean("a")})
    gates = [fb.metric("accuracy") >= bound]
    return fb.Model("m", task="binary", data=rows, label="y", features=[view], gates=gates, framing=fb.Framing("test"))


DECLARED = declared()


def side(name: str = "m@1.0.0", **more: object) -> Side:
    values: dict[str, object] = {
        "name": name,
        "spec": SPEC,
        "model": DECLARED,
        "code": {"loop.py": "a\nb\n"},
        "result": RESULT,
        "manifest": MANIFEST,
        "verdicts": (Verdict(check="accuracy ≥ 0.6", outcome=Outcome.PASS),),
    }
    return Side(**(values | more))  # type: ignore[arg-type]


def test_the_same_twice_differs_in_nothing() -> None:
    found = compare(side(), side("m@1.1.0"))
    assert found.differences == ()
    assert [each.difference for each in found.metrics] == [0.0, 0.0]


def test_each_thing_that_differs_is_named_with_both_values() -> None:
    other = side(
        "m@1.1.0",
        spec=msgspec.structs.replace(SPEC, datasets={"loans": "2" * 64}, seed=7),
        model=declared(span="2d", bound=0.7),
        code={"loop.py": "a\nb\nc\n", "lib.py": "x\n"},
        result=msgspec.structs.replace(RESULT, parameters={"depth": 5}, rows=200),
        manifest=msgspec.structs.replace(MANIFEST, libraries={"scikit-learn": "1.8.0"}),
    )
    found = {(each.topic, each.what, each.first, each.second) for each in compare(side(), other).differences}
    assert found == {
        ("data", "loans", "1" * 64, "2" * 64),
        ("features", "features lags features a_mean window span", "1d", "2d"),
        ("declaration", "gates", "accuracy ≥ 0.6", ""),
        ("declaration", "gates", "", "accuracy ≥ 0.7"),
        ("code", "lib.py", "", "1 line"),
        ("code", "loop.py", "2 lines, 0 only here", "3 lines, 1 only here"),
        ("parameters", "depth", "3", "5"),
        ("environment", "scikit-learn", "1.7.0", "1.8.0"),
        ("run", "seed", "0", "7"),
        ("run", "rows", "100", "200"),
    }


def test_a_declaration_that_this_flyball_cannot_read_hides_nothing_else() -> None:
    other = side("m@0.9.0", model=None, spec=msgspec.structs.replace(SPEC, seed=7))
    assert [(each.topic, each.what) for each in compare(side(), other).differences] == [("declaration", "all of it"), ("run", "seed")]


def test_metrics_stand_side_by_side_whole_and_in_slices() -> None:
    better = msgspec.structs.replace(
        RESULT, metrics={"accuracy": Estimate(value=0.8)}, by_slice={"sex=M": {"accuracy": Estimate(value=0.9)}}
    )
    found = {(each.metric, each.slice): each for each in compare(side(), side(result=better)).metrics}
    assert round(found["accuracy", ""].difference or 0, 6) == 0.1
    assert found["accuracy", "sex=F"].second is None
    assert found["accuracy", "sex=M"].first is None


def test_a_run_without_a_result_is_compared_by_what_it_was_asked() -> None:
    found = compare(side(), side("run_2", result=None, manifest=None, verdicts=()))
    assert ("environment", "python") in {(each.topic, each.what) for each in found.differences}
    assert [(each.first, each.second) for each in found.verdicts] == [(Outcome.PASS, None)]
