"""The names of a loop file: they parse what they are given, print as they read, and say what is wrong with an argument."""

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flyball as fb
from flyball.clock import Span
from flyball.declare import codec
from flyball.declare.checks import Reference
from flyball.declare.problems import problems, warnings
from flyball.declare.units import Money, Rate, near
from flyball.errors import DeclarationError


def shops(**changes) -> fb.Dataset:
    return fb.Dataset("shops", **({"source": "shops.csv", "id": "shop", "columns": {"kind": str, "a": float, "b": float}} | changes))


@pytest.mark.parametrize(
    ("word", "meant"), [("pric", "price"), ("PRICE", "price"), ("demand", "demand_on_the_next_day"), ("load", ""), ("p", ""), ("", "")]
)
def test_the_name_that_was_meant_is_guessed_and_of_several_that_begin_so_none_is(word: str, meant: str) -> None:
    names = ["price", "demand_on_the_next_day", "load_in_the_morning", "load_in_the_evening"]
    guess = f'did you mean "{meant}"? ' if meant else ""
    assert near(word, names) == f"{guess}{', '.join(names)}"


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import sys, flyball; print(sorted(name for name in sys.modules if name.startswith(('flyball.', 'msgspec', 'polars'))))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_vocabulary_loads_no_heavy_library() -> None:
    code = "import sys, flyball; flyball.Model, flyball.metric; print([n for n in ('polars', 'numpy', 'sqlalchemy', 'sklearn') if n in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_name_is_offered_once_for_editors_and_once_at_run_time_within_the_budget() -> None:
    tree = ast.parse(Path(fb.__file__).read_text())
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(dir(fb)) == seen - {"annotations", "import_module", "TYPE_CHECKING"}
    assert len(dir(fb)) <= 30
    for name in dir(fb):
        assert getattr(fb, name) is not None


def test_an_unknown_name_of_the_package_is_met_with_a_near_one() -> None:
    with pytest.raises(AttributeError, match='did you mean "metric"'):
        fb.metrc  # noqa: B018


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (lambda: fb.metric("accuracy").by("day") >= fb.champion - 0.05, "accuracy in each day ≥ champion − 0.05"),
        (lambda: fb.metric("mae") <= fb.champion * 1.01, "mae ≤ champion × 1.01"),
        (lambda: fb.metric("mae") <= 1.05 * fb.champion + 2, "mae ≤ champion × 1.05 + 2"),
        (lambda: fb.champion - 0.02 <= fb.metric("accuracy"), "accuracy ≥ champion − 0.02"),
        (lambda: fb.metric("latency_p99") <= "50ms", "latency_p99 ≤ 50ms"),
        (lambda: fb.metric("latency_p99") < "0.25s", "latency_p99 < 250ms"),
        (lambda: fb.metric("error_rate") <= "5%", "error_rate ≤ 0.05"),
        (lambda: fb.metric("cost") <= "4 EUR", "cost ≤ 4 EUR"),
        (lambda: fb.metric("recall").gap("sex").upper <= 0.05, "upper bound of recall gap across sex ≤ 0.05"),
        (lambda: fb.metric("accuracy").over("4w") > 0.6, "accuracy over 28d > 0.6"),
        (
            lambda: (fb.metric("a") > 1) | fb.approval("lead") | fb.drift("inputs", columns=["x"]),
            "a > 1 or approval by 1 lead or drift of inputs (x)",
        ),
    ],
)
def test_a_check_prints_as_it_reads(check, text: str) -> None:
    assert str(check()) == text


def test_a_check_has_no_truth_value() -> None:
    check = fb.metric("accuracy") >= 0.5
    for judge in (lambda: bool(check), lambda: 0.1 <= fb.metric("a") <= 0.5, lambda: check and check, lambda: not (check | check)):
        with pytest.raises(DeclarationError, match="no truth value"):
            judge()


@given(st.floats(-10, 10).map(lambda x: round(x, 6)), st.floats(0.1, 10).map(lambda x: round(x, 6)))
def test_a_reference_is_a_line_in_the_metric_of_another_version(plus: float, times: float) -> None:
    scaled = (fb.champion + plus) * times
    assert scaled.of == "champion"
    assert scaled.times == pytest.approx(times)
    assert scaled.plus == pytest.approx(plus * times)
    assert fb.champion + plus - plus == Reference("champion")


def test_quantities_are_parsed_when_the_object_is_made() -> None:
    assert fb.window("4w") == fb.window("28d")
    assert fb.column(float, nulls="5%").nulls == 0.05
    assert fb.Train(print, memory="16GB").memory == 16_000_000_000
    assert fb.Retrain(max_runs="4/30d", budget="50 EUR/30d") == fb.Retrain(
        max_runs=Rate(4, "", Span.parse("30d")), budget=Rate(50, "EUR", Span.parse("30d"))
    )
    step = fb.Rollout().canary("2.5%", "1d", labels=300).steps[0]
    assert (step.weight, step.bake, step.labels) == (250, Span.parse("24h"), 300)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: fb.window("30"), "window: .*not a time span"),
        (lambda: fb.window(30), "window: 30 is not a time span"),
        (lambda: fb.window("0s"), "too short"),
        (lambda: fb.Train(print, holdout=7), "holdout: 7"),
        (lambda: fb.Train("fit"), "fit: .*not a function"),
        (lambda: fb.Train(print, search={"depth": (2, 8)}), "search"),
        (lambda: fb.column("flaot"), "type: .*not known"),
        (lambda: fb.column(dict), "type"),
        (lambda: fb.column(float, between=(1, 0)), "between"),
        (lambda: fb.column(float, between=3), "between"),
        (lambda: fb.column(float, between=(0, float("inf"))), "between: 0 to inf is not finite"),
        (lambda: fb.column(int, between=(0, 10**400)), "between: .*is not finite"),
        (lambda: fb.column(float, one_of=(1.0, float("nan"))), "one_of: nan is not finite"),
        (lambda: fb.column(int, one_of=(1, 10**30)), "one_of: 1000.* has more than 64 bits"),
        (lambda: fb.column(float, nulls="500%"), "nulls"),
        (lambda: fb.column(str, one_of="abc"), "one_of"),
        (lambda: fb.integers(8, 2), "integers"),
        (lambda: fb.floats(0.0, 1.0, log=True), "log"),
        (fb.choice, "choice"),
        (lambda: fb.drift("output"), "drift: .*not known"),
        (lambda: fb.drift(window="3d"), "3d is no window of drift"),
        (lambda: fb.metric("accuracy") >= "high", "accuracy"),
        (lambda: fb.metric("accuracy") >= True, "accuracy"),
        (lambda: fb.metric("") >= 1, "metric"),
        (lambda: fb.Rollout().canary("0%", "1d"), "canary"),
        (lambda: fb.Rollout().canary("5", "1d"), "canary"),
        (lambda: fb.Rollout(evidence="gates"), "evidence"),
        (lambda: fb.Rollout(guards=[fb.approval("lead")]), r"guards\[0\]"),
        (lambda: fb.Retrain(max_runs="4"), "max_runs"),
        (lambda: fb.Retrain(budget="50/30d"), "budget"),
        (lambda: fb.Dataset("Not A Name", source="x.csv", columns={"a": int}), "cannot name a data set"),
        (lambda: fb.Dataset("x", source="x.csv", columns={}), "columns"),
        (lambda: fb.Dataset("x", source="x.csv", columns={"*": int}), r'columns: "\*" stands for other columns'),
        (lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, time="^a.*$"), "stands for other columns"),
        (lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, unique=["b"]), "unique"),
        (lambda: fb.column(str, on_request="drop"), "on_request: .*not known"),
        (lambda: fb.column(str, unseen="1"), "unseen"),
        (lambda: fb.column(str, shift=2.0), "shift"),
        (lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, gap="0s"), "gap: .*too short"),
        (lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, ahead=5), "ahead: 5 is not a time span"),
        (lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, on_breach="stop"), "on_breach"),
        (lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, references={"b": shops()}), 'references: "b" is not a column'),
        (
            lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, references={"a": "shops"}),
            r"references\['a'\]: 'shops' is not a data set",
        ),
        (lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, references={"a": (shops(), "town")}), '"town" is not a column'),
        (lambda: fb.Dataset("x", source="x.csv", columns={"a": int}, references={"a": shops(id=None)}), "has no id"),
        (lambda: fb.FeatureView("v", shops(), features={"n": 3}), r"features\['n'\]: 3 is not a feature"),
        (lambda: fb.FeatureView("v", "data", features={}), "data"),
        (lambda: fb.Framing("x", risk="medium"), "risk"),
    ],
)
def test_a_bad_argument_is_refused_by_name(make, said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        make()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "binry"}, 'task: "binry" is not known'),
        ({"data": "market.csv"}, "data"),
        ({"autonomy": "always"}, "autonomy"),
        ({"autonomy": {"relaese": "act"}}, "autonomy"),
        ({"transforms": {"a": 1}}, "transforms"),
        ({"gates": [0.5]}, r"gates\[0\]"),
        ({"monitors": [fb.approval("lead")]}, r"monitors\[0\]"),
        ({"costs": {"false_positive": 4}}, "costs"),
        ({"features": ["lags"]}, r"features\[0\]"),
    ],
)
def test_a_bad_argument_of_a_model_is_refused_by_name(make, changes, said: str) -> None:
    with pytest.raises(DeclarationError, match=said) as raised:
        make(**changes)
    assert raised.value.fix


@pytest.mark.parametrize(
    "junk", [3, 1.5, True, "words", b"bytes", ["a"], [3], {"a": 1}, object(), None, float("nan"), "\ud800", lambda: None, int]
)
@pytest.mark.parametrize("argument", [field.name for field in dataclasses.fields(fb.Model)])
def test_whatever_a_model_is_given_the_error_is_a_declaration_error_or_there_is_none(make, argument: str, junk) -> None:
    try:
        model = make(**{argument: junk}) if argument != "name" else make(junk)
        again = codec.decode(codec.encode(model))
        judged = [*problems(model), *warnings(model), *problems(again), *warnings(again)]
    except DeclarationError:
        return
    assert all(item.what for item in judged)


@pytest.mark.parametrize("junk", [3, "words", ["a"], {"a": 1}, object(), None, "\ud800", int, []])
@pytest.mark.parametrize("argument", ["source", "columns", "time", "arrived", "id", "freshness", "min_rows", "unique", "subject", "owner"])
def test_whatever_a_data_set_is_given_the_error_is_a_declaration_error_or_there_is_none(make, make_market, argument: str, junk) -> None:
    try:
        model = make(data=make_market(**{argument: junk}))
        judged = [*problems(model), *warnings(codec.decode(codec.encode(model)))]
    except DeclarationError:
        return
    assert all(item.what for item in judged)


def test_defaults_are_the_careful_ones(make_market) -> None:
    model = fb.Model("plain", task="binary", data=make_market(), label="up")
    assert (model.autonomy.training, model.autonomy.release, model.autonomy.rollback) == ("propose", "propose", "act")
    assert [step.kind for step in model.rollout.steps] == ["shadow", "canary"]
    assert [str(monitor) for monitor in model.monitors] == ["drift of inputs"]
    assert model.rollout.evidence == "live"


def test_autonomy_may_be_one_word_or_apart(make) -> None:
    assert make(autonomy="act").autonomy.release == "act"
    apart = make(autonomy={"training": "act"}).autonomy
    assert (apart.training, apart.release, apart.rollback) == ("act", "propose", "act")


def test_a_variant_differs_only_where_it_says_so(make) -> None:
    model = make()
    variant = model.replace("price-vic", slices={"dear": pl.col("last_price") > 0.5})
    assert (variant.name, variant.slice_names) == ("price-vic", ("dear",))
    assert variant.gates == model.gates
    assert model.slice_names == ("day",)
    with pytest.raises(DeclarationError, match='"slcies" is not an argument'):
        model.replace(slcies=[])


def test_a_view_is_looked_up_by_another_column(make_market) -> None:
    view = fb.FeatureView("by-city", make_market(), entity="city", features={"n": fb.window("1h").count()})
    assert (view.key, view.on("email").key, view.entity) == (("city",), ("email",), ("city",))


def test_an_entity_of_several_columns_is_looked_up_by_as_many(make_market) -> None:
    view = fb.FeatureView("by-both", make_market(), entity=["city", "day"], features={"n": fb.window("1h").count()})
    assert (view.key, view.on("email", "day").key) == (("city", "day"), ("email", "day"))
    with pytest.raises(DeclarationError, match='1 columns for view "by-both"'):
        view.on("email")
    with pytest.raises(DeclarationError, match="a column is named twice"):
        fb.FeatureView("by-both", make_market(), entity=["city", "city"], features={"n": fb.window("1h").count()})


def test_a_feature_is_a_window_a_column_or_an_expression() -> None:
    view = fb.FeatureView(
        "v", shops(), entity="shop", features={"n": fb.window("1h").count(), "kind": "kind", "rate": pl.col("a") / pl.col("b")}
    )
    assert [type(each).__name__ for each in view.features.values()] == ["WindowFeature", "RowFeature", "RowFeature"]
    assert view.features["kind"].value == "kind"


def test_a_column_may_refer_to_the_id_of_another_data_set_or_to_a_column_of_it() -> None:
    made = fb.Dataset("x", source="x.csv", columns={"a": str, "k": str}, references={"a": shops(), "k": (shops(), "kind")})
    assert {name: (each.data.name, each.column) for name, each in made.references.items()} == {
        "a": ("shops", "shop"),
        "k": ("shops", "kind"),
    }


def test_suites_may_stand_among_slices_or_gates(make, make_market) -> None:
    case = fb.suite("safety", make_market(), metric="accuracy", at_least=0.9)
    for model in (make(slices=["day", case]), make(gates=[case])):
        assert [item.name for item in model.suites] == ["safety"]
        assert case not in model.gates


def test_values_are_frozen(make) -> None:
    with pytest.raises(AttributeError):
        make().task = "regression"


def test_money_prints() -> None:
    assert str(Money(0.4, "EUR")) == "0.4 EUR"
