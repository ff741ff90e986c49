"""Every rule that needs no data, each broken once; and what is declared but not built is named."""

import polars as pl
import pytest

import flyball as fb
from flyball.declare import codec
from flyball.declare.problems import problems, unbuilt, warnings
from flyball.errors import DeclarationError


def said(model) -> list[str]:
    return [f"{item.what} | {item.why} | {item.fix}" for item in problems(model)]


SHOPS = fb.Dataset("shops", source="s.csv", id="shop", columns={"number": int})


@pytest.mark.parametrize(
    ("column", "more", "expected"),
    [
        (fb.column(float, unseen="1%"), {}, 'column "x" of type float has unseen='),
        (fb.column("time", shift="1%"), {}, 'column "x" of type time has shift='),
        (fb.column(str, personal=True, shift="1%"), {}, 'column "x" says who a row is of and has unseen= or shift='),
        (fb.column(str, personal=True, on_request="impute"), {}, 'column "x" says who a row is of and is imputed'),
        (fb.column(str), {"time": "", "gap": "1h", "ahead": "0s"}, 'data set "d" has gap=, ahead= and no time column'),
        (fb.column(str), {"references": {"x": (SHOPS, "number")}}, 'column "x" of type str must be found in shops.number of type int'),
    ],
)
def test_what_a_contract_cannot_ask_for_is_told(column, more, expected) -> None:
    data = fb.Dataset("d", **{"source": "d.csv", "time": "at", "columns": {"x": column, "y": bool}, **more})
    found = problems(fb.Model("m", task="binary", data=data, label="y", framing=fb.Framing("test")))
    assert expected in [item.what for item in found]


@pytest.mark.parametrize(
    ("key", "entity", "fits"),
    [
        ("str", "str", True),
        ("int", "float", True),
        ("int", "str", True),
        ("bool", "str", False),
        ("str", "time", False),
        ("time", "int", False),
    ],
)
def test_a_key_that_can_hold_no_entity_of_the_view_is_told(key, entity, fits) -> None:
    seen = fb.Dataset("seen", source="s.csv", time="at", columns={"who": fb.column(entity), "bad": bool})
    data = fb.Dataset("d", source="d.csv", time="at", columns={"whom": fb.column(key), "who": fb.column(key)})
    view = fb.FeatureView("v", seen, entity="who", features={"n": fb.window("1d").count()}).on("whom")
    label = fb.Label("bad", source=seen, on="who", within="1d")
    found = problems(fb.Model("m", task="binary", data=data, label=label, features=[view], framing=fb.Framing("test")))
    told = [item.what for item in found if "looks up" in item.what]
    assert told == (
        []
        if fits
        else [
            f"{place} looks up seen.who of type {entity} by d.{name} of type {key}"
            for place, name in (("label", "who"), ('view "v"', "whom"))
        ]
    )


def test_a_sound_model_has_no_problems_and_nothing_unbuilt(make) -> None:
    assert said(make()) == []
    assert unbuilt(make()) == []
    assert warnings(make()) == []


def test_a_persons_yes_can_be_given_so_a_gate_that_asks_for_it_is_built(make) -> None:
    good = fb.metric("accuracy") >= 0.5
    assert unbuilt(make(gates=[good, fb.approval("risk-officer"), good | fb.approval("admin", count=2)])) == []


def test_a_decoded_model_is_judged_alike_but_for_its_functions(make) -> None:
    wrong = make(slices=["dya"], gates=[fb.metric("acuracy") >= 0.5])
    assert said(codec.decode(codec.encode(wrong))) == said(wrong)


def test_a_problem_reads_like_the_documents_say(make) -> None:
    [problem] = problems(make(slices=["dya"], gates=[]), place="loops/price.py:31")
    assert str(problem) == (
        'loops/price.py:31  Model "price"  slice "dya" is not a column\n'
        '    why  data set "market" does not declare it\n'
        '    fix  did you mean "day"? columns: day, price, open, city, sex, email, up, ts'
    )


def test_all_problems_are_told_at_once(make) -> None:
    model = make(
        label="upp",
        slices=["dya"],
        gates=[fb.metric("acuracy") >= 0.5],
        train=fb.Train(print_xy, search={"deepth": fb.integers(1, 2)}, holdout="20d", window="28d"),
    )
    found = " ".join(said(model))
    for word in ('label "upp"', 'slice "dya"', '"acuracy" is not a metric', 'search names "deepth"', "cooldown 10d is shorter"):
        assert word in found


def print_xy(X, y, *, depth=1):
    return (X, y, depth)


def needs_group(X, y, group):
    return (X, y, group)


def no_default(X, y, depth):
    return (X, y, depth)


def lower_x(x, y):
    return (x, y)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"label": "upp"}, 'label "upp" is not a column'),
        ({"label": "price"}, 'label "price" of type float cannot be the label of a binary model'),
        ({"task": "forecast", "label": "city", "gates": [], "rollout": None, "monitors": [], "retrain": None}, "it predicts a number"),
        ({"inputs": ["up"]}, 'input "up" is the label'),
        ({"inputs": ["ts"]}, 'input "ts" says who or when'),
        ({"inputs": ["sex"]}, 'input "sex" is protected'),
        ({"inputs": ["email"]}, 'input "email" is personal'),
        ({"inputs": ["price"]}, 'input "price" is not known at the moment of prediction'),
        ({"inputs": ["prize"]}, 'did you mean "price"?'),
        ({"inputs": ["day", "day"]}, "name a column twice"),
        ({"transforms": {"gap": pl.col("last_prize") * 2}}, 'did you mean "last_price"?'),
        ({"transforms": {"gap": pl.col("price") * 2}}, 'reads "price", which is not known at the moment of prediction'),
        ({"transforms": {"sexed": pl.col("sex") == "f"}}, "is protected"),
        ({"transforms": {"b": pl.col("c"), "c": pl.col("day")}}, 'transform "b" reads "c", which is nothing it can see'),
        ({"gates": [fb.metric("mae") <= 1]}, "| accuracy, precision, recall,"),
        ({"transforms": {"day": pl.col("day") * 2}}, 'transform "day" is also a column'),
        ({"transforms": {"last_price": pl.col("day") * 2}}, 'transform "last_price" is also a feature'),
        ({"transforms": {"^d.*$": pl.col("day") * 2}}, '"^d.*$" stands for other columns'),
        ({"transforms": {"f": pl.col("day").map_batches(len, return_dtype=pl.Int64)}}, "it holds a Python function"),
        ({"transforms": {"f": pl.all() + 1}}, "selects columns by a pattern"),
        ({"transforms": {"f": pl.col("day") - pl.col("day").mean()}}, "it looks at other rows"),
        ({"slices": ["up"]}, 'slice "up" is the label'),
        ({"slices": {"score": pl.col("day") > 3}}, 'slice "score" has the name of what a hold-out says'),
        ({"slices": ["day", "day"]}, 'slice "day" is declared twice'),
        ({"slices": {"dear": pl.col("prce") > 1}}, 'did you mean "price"?'),
        ({"weight": "w"}, 'weight "w" is not a column'),
        ({"weight": "price"}, 'weight "price": fit has no parameter "weight"'),
        ({"task": "ranking"}, "without group"),
        ({"review": pl.col("scor") > 0.5}, 'did you mean "score"?'),
        ({"framing": fb.Framing("x", horizon="1h", act_within="2h")}, "act_within 2h is longer than 1h"),
        ({"gates": [fb.metric("mae") <= 1]}, "mae says nothing of a binary model"),
        ({"gates": [fb.metric("acuracy") >= 0.5]}, 'did you mean "accuracy"?'),
        ({"gates": [fb.metric("accuracy").by("city") >= 0.5]}, '"city" is not a slice'),
        ({"gates": [fb.metric("recall").gap("sx") <= 0.1]}, 'did you mean "sex"?'),
        ({"gates": [fb.metric("accuracy") >= fb.at_release]}, "at_release is not known there"),
        ({"gates": [(fb.metric("acuracy") >= 0.5) | fb.approval("risk-officer")]}, '"acuracy" is not a metric'),
        ({"gates": [fb.approval("risk-oficer")]}, "nobody is a risk-oficer"),
        ({"gates": [fb.approval("risk-oficer")]}, 'did you mean "risk-officer"?'),
        ({"gates": [(fb.metric("accuracy") >= 0.5) | fb.approval("Approver")]}, "so nobody could ever say this yes"),
        ({"gates": [fb.metric("accuracy") >= 62]}, "accuracy is between 0 and 1"),
        ({"gates": [fb.metric("accuracy") >= "50ms"]}, "accuracy is no time"),
        ({"gates": [fb.metric("latency_p99") <= 50]}, "has no unit of time"),
        ({"rollout": fb.Rollout(guards=[fb.metric("accuracy") >= fb.baseline])}, "baseline is not known there"),
        ({"monitors": [fb.metric("accuracy") >= fb.champion]}, "champion is not known there"),
        ({"monitors": [fb.drift(columns=["prce"])]}, 'did you mean "price"?'),
        ({"monitors": [fb.drift(columns=["up"])]}, '"up" is the label'),
        (
            {"gates": [fb.metric("accuracy") >= 0.6], "rollout": fb.Rollout(evidence="gate")},
            'evidence="gate" without a gate on quality against the champion',
        ),
        (
            {"gates": [fb.metric("size") <= fb.champion * 2], "rollout": fb.Rollout(evidence="gate")},
            'evidence="gate" without a gate on quality against the champion',
        ),
        ({"rollout": fb.Rollout().canary("25%", "1h").canary("5%", "1h")}, "takes less traffic"),
        ({"rollout": fb.Rollout().canary("25%", "1h").shadow("1h")}, "put shadow first"),
        ({"rollout": fb.Rollout(sticky="citty")}, 'did you mean "city"?'),
        ({"retrain": fb.Retrain(every="30d", cooldown="6d")}, "cooldown 6d is shorter than the hold-out 7d"),
        ({"retrain": fb.Retrain()}, "retrain has no trigger"),
        ({"train": None}, "retrain without train"),
        ({"train": fb.Train(print_xy, search={"deth": fb.integers(1, 2)})}, 'did you mean "depth"?'),
        ({"train": fb.Train(print_xy, search={"y": fb.integers(1, 2)})}, "it cannot be searched"),
        ({"train": fb.Train(no_default)}, 'parameter "depth" has no default'),
        ({"train": fb.Train(lower_x)}, 'has no parameter "X"'),
        ({"train": fb.Train(needs_group)}, "asks for group"),
        ({"train": fb.Train(print_xy, objective="mae")}, 'objective "mae" is not a metric of a binary model'),
        ({"train": fb.Train(print_xy, window="3d", holdout="7d")}, "window 3d is shorter"),
        ({"train": fb.Train(print_xy, save=print_xy)}, "save without load"),
        ({"train": fb.Train(print_xy, predict=lambda model: model)}, "its form is predict(model, X)"),
        ({"costs": {"false_positiv": "4 EUR"}}, 'did you mean "false_positive"?'),
        ({"costs": {"squared_error": "4 EUR"}}, "errors of a binary model are of the kind false_positive or false_negative"),
        ({"train": fb.Train(print_xy, objective="cost_per_1000")}, 'objective "cost_per_1000": no costs are declared'),
        ({"gates": [fb.metric("size") <= 5]}, 'write a quantity such as "50MB"'),
        ({"gates": [fb.metric("accuracy") >= "50MB"]}, "accuracy is no size"),
        ({"gates": [fb.metric("cost_per_1000") <= "4 EUR"]}, "no costs are declared"),
        ({"costs": {"false_positive": "4 USD"}, "gates": [fb.metric("cost_per_1000") <= "500 EUR"]}, "the costs are in USD"),
        ({"costs": {"false_positive": "4 USD"}, "monitors": [fb.metric("cost_per_1000") <= "500 EUR"]}, "write the bound in USD"),
        ({"gates": [fb.metric("size").by("day") <= "5MB"]}, "size is one number of a run"),
        ({"gates": [fb.metric("size") <= fb.baseline]}, "the baseline has no size"),
        ({"gates": [fb.metric("equalised_odds") <= 0.1]}, "equalised_odds is a gap between groups"),
        ({"monitors": [fb.metric("size") <= "5MB"]}, "size is measured by a run, and not in service"),
        ({"monitors": [fb.metric("card_blanks") <= 0]}, "card_blanks is measured by a run, and not in service"),
        ({"gates": [fb.metric("card_blanks") >= 1]}, "blanks of a card are counted, and held to a number"),
        ({"gates": [fb.metric("card_blanks") <= fb.champion]}, "blanks of a card are counted, and held to a number"),
        ({"costs": {"false_positive": "4 EUR", "false_negative": "4 USD"}}, "several currencies"),
        ({"playbook": fb.Playbook(errors="roll_back")}, 'did you mean "rollback"?'),
    ],
)
def test_a_broken_rule_is_named(make, changes, expected: str) -> None:
    found = said(make(**changes))
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    ("task", "kinds"),
    [
        ("binary", {"false_positive", "false_negative"}),
        ("multiclass", {"false_positive"}),
        ("regression", {"absolute_error", "squared_error"}),
        ("forecast", {"absolute_error", "squared_error"}),
        ("ranking", set()),
    ],
)
def test_what_an_error_costs_is_of_a_kind_that_the_task_makes_for_any_other_would_price_every_error_at_nothing(task, kinds) -> None:
    data = fb.Dataset("d", source="d.csv", time="at", columns={"x": float, "y": int, "g": str, "i": str})
    more = {"group": "g", "item": "i"} if task == "ranking" else {}
    refused = set()
    for kind in ("false_positive", "false_negative", "absolute_error", "squared_error"):
        found = problems(fb.Model("m", task=task, data=data, label="y", framing=fb.Framing("test"), costs={kind: "4 EUR"}, **more))
        refused |= {kind for item in found if item.what == f'costs name "{kind}"' and f"a {task} model" in item.why and item.fix}
    assert refused == {"false_positive", "false_negative", "absolute_error", "squared_error"} - kinds


def test_a_gate_on_cost_without_costs_is_told_which_kinds_the_task_has(make) -> None:
    data = fb.Dataset("d", source="d.csv", time="at", columns={"x": float, "y": float})
    gates = [fb.metric("cost_per_1000") <= "4 EUR"]
    found = problems(fb.Model("m", task="regression", data=data, label="y", framing=fb.Framing("test"), gates=gates))
    (told,) = (item for item in found if "no costs are declared" in item.what)
    assert told.fix == 'say what an error costs: costs={"absolute_error": "4 EUR", "squared_error": "4 EUR"}'


def test_a_bound_in_the_money_of_the_costs_is_right(make) -> None:
    changes = {"costs": {"false_positive": "4 USD"}, "gates": [fb.metric("cost_per_1000") <= "500 USD"]}
    assert said(make(**changes)) == []


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"x": fb.window("1h").last("prce")}, 'did you mean "price"?'),
        ({"x": fb.window("1h").mean("city")}, "no mean of"),
        ({"x": fb.window("1h").count(where="price")}, "rows are kept where it is true"),
        ({"x": fb.window("1h").count(where="opn")}, 'did you mean "open"?'),
        ({"x": fb.window("1h").count(where=pl.col("nothing") > 1)}, 'where "nothing"'),
        ({"x": fb.window("1h").last("sex")}, "which is protected"),
        ({"x": fb.window("1h").last("email")}, "which is personal"),
        ({"x": "prce"}, 'did you mean "price"?'),
        ({"x": "email"}, "which is personal"),
        ({"x": fb.window("1h").count(where=pl.col("sex") == "f")}, 'where reads "sex", which is protected'),
        ({"x": fb.window("1h").sum("price", where=pl.col("email").is_null())}, 'where reads "email", which is personal'),
        ({"x": pl.col("price") - pl.col("nothing")}, 'column "nothing" is not a column'),
        ({"x": pl.col("price") - pl.col("price").mean()}, "it looks at other rows"),
        ({"day": fb.window("1h").count()}, 'feature "day" of view "lags" is also a column'),
    ],
)
def test_a_broken_rule_of_a_view_is_named(make, make_lags, features, expected: str) -> None:
    found = said(make(features=[make_lags(**features)], transforms={}))
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"transforms": {"who": pl.col("city").str.len_chars()}}, 'reads "city", which is who a row is of'),
        ({"features": {"x": "city"}}, 'feature "x" reads "city", which is who a row is of'),
        ({"features": {"x": "visitor"}}, 'feature "x" reads "visitor", which is who a row is of'),
        ({"features": {"x": fb.window("1h").last("visitor")}}, 'feature "x" reads "visitor", which is who a row is of'),
        ({"slices": ["city"]}, 'slice "city" says who a row is of'),
        ({"slices": ["email"]}, 'slice "email" says who a row is of'),
        ({"weight": "visitor"}, 'weight "visitor" is who a row is of'),
        ({"weight": "email"}, 'weight "email" is personal'),
        ({"label": "sex", "gates": [], "task": "multiclass"}, 'label "sex" is protected'),
    ],
)
def test_what_says_who_a_row_is_of_never_reaches_fit_declared_personal_or_not(make, make_market, make_lags, changes, expected: str) -> None:
    data = make_market(subject="city", id="visitor")
    features = [make_lags(data, **changes.get("features", {"last_price": fb.window("30m").last("price")}))]
    found = said(make(data=data, **({"transforms": {}} | changes | {"features": features})))
    assert any(expected in line for line in found), found


def test_how_many_different_persons_there_are_may_be_counted(make, make_market, make_lags) -> None:
    data = make_market(subject="city", id="visitor")
    features = {"cities": fb.window("1d").distinct("city"), "mails": fb.window("1d").distinct("email")}
    assert said(make(data=data, features=[make_lags(data, **features)], transforms={})) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"time": ""}, "has no time column"),
        ({"source": "kafk://x/y"}, 'did you mean "kafka"?'),
        ({"columns": {"up": fb.column(str, between=(0, 1))}}, "only numbers have a range"),
        ({"columns": {"up": fb.column(int, one_of=("0", "1"))}}, "of another type in one_of"),
        ({"columns": {"up": int, "at": fb.column("time", one_of=("2026-01-01",))}}, "times are not listed"),
        ({"columns": {"up": int, "ts": str}}, 'time column "ts" is declared str'),
        ({"columns": {"up": int, "prediction": fb.column(float, known_after="-1d")}}, 'input "prediction" has the name'),
        ({"columns": {"up": int, "label": fb.column(float, known_after="-1d")}}, 'input "label" has the name'),
        ({"columns": {"up": fb.column(int, one_of=(0, 1, 2)), "day": fb.column(int, known_after="-1d")}}, "a binary label has two"),
        ({"columns": {"up": int, "late": fb.column(float, known_after="1h")}}, "nothing to learn from"),
    ],
)
def test_a_broken_rule_of_a_data_set_is_named(make, make_market, changes, expected: str) -> None:
    found = said(make(data=make_market(**changes), features=[], transforms={}, slices=[], gates=[]))
    assert any(expected in line for line in found), found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"review": pl.col("score") > 0.5}, "review"),
        ({"batch": fb.Batch(source="in.csv", to="out.csv", every="1d")}, "batch"),
        ({"gates": [fb.metric("error_rate") <= 0.1]}, "error_rate in gates"),
        ({"rollout": fb.Rollout(guards=[fb.metric("positive_rate") <= fb.champion * 1.2]).shadow("1d")}, "a live test of positive_rate"),
        ({"retrain": fb.Retrain(when=[fb.metric("accuracy").by("day") < fb.at_release])}, "slices in a trigger"),
        ({"gates": [fb.metric("feature_age_p99") <= "1h"]}, "the metric feature_age_p99"),
        ({"monitors": [fb.metric("accuracy").gap("day") <= fb.at_release]}, "live counts of accuracy gap across day"),
        ({"monitors": [fb.metric("error_rate").by("day") <= 0.1]}, "live counts of error_rate in each day"),
        ({"monitors": [fb.metric("error_rate") <= fb.at_release * 2]}, "live counts of error_rate"),
        (
            {"slices": {"dear": pl.col("price") > 1}, "gates": [], "monitors": [fb.metric("accuracy").by("dear") >= 0.5]},
            "live counts of accuracy in each dear",
        ),
        (
            {
                "slices": {"dear": pl.col("price") > 1},
                "gates": [],
                "rollout": fb.Rollout(guards=[fb.metric("accuracy").by("dear") >= fb.champion - 0.05]).shadow("1d"),
            },
            "a live test in dear",
        ),
        ({"slices": ["day", "price"], "monitors": [fb.metric("accuracy").by("price") >= 0.5]}, "live counts of accuracy in each price"),
        ({"monitors": [fb.drift(columns=["gap"])]}, "drift of gap"),
        ({"monitors": [fb.drift(columns=["last_price", "day"])]}, "drift of last_price"),
        ({"retrain": fb.Retrain(when=[fb.drift(columns=["gap"])])}, "drift of gap"),
        ({"monitors": [fb.drift("predictions", columns=["day"])]}, "columns of predictions"),
        ({"monitors": [fb.drift("labels", columns=["day"])]}, "columns of labels"),
        ({"retrain": fb.Retrain(when=[fb.metric("log_loss") > fb.at_release])}, "a trigger on log_loss itself"),
        ({"rollout": fb.Rollout(guards=[fb.metric("latency_p50") <= "50ms"]).shadow("1d")}, "a live test of latency_p50"),
        ({"rollout": fb.Rollout(guards=[fb.metric("error_rate").by("day") <= 0.1]).shadow("1d")}, "a live test of error_rate"),
        ({"rollout": fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion + 0.1]).shadow("1d")}, "a live test of error_rate"),
        ({"monitors": [fb.metric("recall").gap("sex") <= 0.1]}, "a gap across a column that is no slice"),
        ({"rollout": fb.Rollout().ab_test("50%", "1d")}, "rollout step ab_test"),
    ],
)
def test_what_is_not_built_yet_is_named_and_no_problem(make, changes, expected: str) -> None:
    model = make(**changes)
    assert any(item.what.startswith(f"not built yet: {expected}") for item in unbuilt(model)), unbuilt(model)
    assert said(model) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"monitors": [fb.metric("roc_auc").over("90d") >= 0.7, fb.metric("recall_at_1%") >= 0.5, fb.metric("log_loss") <= 0.4]},
        {"monitors": [fb.metric("brier").by("day") <= 0.4, fb.metric("equalised_odds").gap("day") <= 0.1]},
        {"retrain": fb.Retrain(when=[fb.metric("roc_auc") < 0.7])},
        {"slices": {"dear": pl.col("day") > 1}, "gates": [], "monitors": [fb.metric("accuracy").by("dear") >= 0.5]},
    ],
)
def test_what_live_rows_are_counted_by_is_not_named(make, changes) -> None:
    assert not [item.what for item in unbuilt(make(**changes)) if "live counts" in item.what or "slice" in item.what]


def test_a_sentence_is_found_by_its_pointer(make) -> None:
    good, bad = fb.metric("accuracy") >= 0.5, fb.metric("acuracy") >= 0.5
    assert [item.at for item in problems(make(gates=[good, bad]))] == ["/gates/1"]
    assert [item.at for item in problems(make(monitors=[good, good | bad]))] == ["/monitors/1"]
    assert [item.at for item in unbuilt(make(gates=[good, fb.metric("error_rate") <= 0.1]))] == ["/gates/1"]
    assert [item.at for item in warnings(make(gates=[fb.metric("accuracy") <= 0.5]))] == ["/gates/0"]
    assert [item.at for item in problems(make(slices=["dya"], gates=[]))] == [""], "a model's own fields have none"


def test_sources_that_are_not_built_yet_are_named(make, make_market, make_lags) -> None:
    events = make_market(source="kafka://events/x", id="up")
    other = fb.Dataset("late", source=fb.sql("select 1", url=fb.secret("URL")), time="at", columns={"city": str, "paid": bool})
    model = make(
        data=events, features=[make_lags(events)], label=fb.Label("paid", source=other, on="city", within="30d"), slices=[], gates=[]
    )
    assert said(model) == []
    assert [item.what for item in unbuilt(model)] == ['not built yet: a kafka:// source (data set "market")']


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gates": [fb.metric("accuracy") <= 0.9]}, "asks for a worse model"),
        ({"retrain": fb.Retrain(when=[fb.metric("accuracy") > fb.at_release])}, "triggers when the model is good"),
        ({"gates": []}, "there is no gate"),
        ({"owner": ""}, "there is no owner"),
        ({"rollout": fb.Rollout()}, "rollout has no steps"),
        ({"gates": [fb.metric("accuracy").over("7d") >= 0.5]}, "the span has no meaning there"),
        ({"rollout": fb.Rollout(sticky="city").shadow("1d"), "inputs": ["day"]}, 'sticky "city" is a column that no caller sends'),
        ({"rollout": fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 1.25]).shadow("1d")}, "no guard on quality"),
        ({"framing": fb.Framing("late", horizon="30d")}, "labels take 30d, and an undecided release is given up after 7d"),
        ({"framing": fb.Framing("now")}, 'label "up" is known at the moment of prediction'),
    ],
)
def test_a_doubtful_sentence_is_a_warning(make, changes, expected: str) -> None:
    assert any(expected in item.what for item in warnings(make(**changes)))
    assert said(make(**changes)) == []


def test_a_plan_that_rests_on_the_gate_waits_for_no_labels(make) -> None:
    rollout = fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 1.25], evidence="gate").shadow("1d")
    assert warnings(make(rollout=rollout, framing=fb.Framing("late", horizon="30d"), transforms={}, inputs=["day"])) == []


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "forecast"])
def test_the_rollout_that_is_written_when_none_is_tests_quality(make, task: str) -> None:
    model = make(task=task, label="up", rollout=None, gates=[], monitors=[], retrain=None)
    assert [item.what for item in warnings(model) if "rollout" in item.what or "live test" in item.what] == []


def test_a_gap_is_held_to_a_number_and_not_asked_for_within_a_slice_where_rows_are_counted(make) -> None:
    against = make(gates=[fb.metric("recall").gap("day") <= fb.champion + 0.02])
    assert any("a gap is compared with a number" in each for each in said(against)), said(against)
    live = make(monitors=[fb.metric("recall").by("day").gap("day") <= 0.1])
    assert any("a gap is not known within a slice there" in each for each in said(live)), said(live)
    assert said(make(gates=[fb.metric("recall").by("day").gap("day").upper <= 0.1])) == []


def test_a_role_that_is_like_none_is_a_word_of_the_house_and_doubted(make) -> None:
    model = make(gates=[(fb.metric("accuracy") >= 0.5) | fb.approval("fraud-lead")])
    assert said(model) == []
    assert ["it stays open" in item.why for item in warnings(model) if "nobody is a fraud-lead" in item.what] == [True]


@pytest.mark.parametrize(
    ("costs", "what", "always"),
    [
        ({"false_positive": "4 EUR"}, "costs: a false_negative has no price", "negative"),
        ({"false_negative": "9 EUR", "false_positive": "0 EUR"}, "costs: a false_positive has no price", "positive"),
    ],
)
def test_costs_of_one_kind_of_error_alone_are_doubted_for_one_answer_to_all_would_cost_nothing(make, costs, what, always) -> None:
    [told] = [item for item in warnings(make(costs=costs)) if item.at == "/costs"]
    assert told.what == what
    assert f"answers {always} to every row" in told.why
    assert "… EUR" in told.fix
    both = {"false_positive": "4 EUR", "false_negative": "9 EUR"}
    assert [item for item in warnings(make(costs=both)) if item.at == "/costs"] == []


def test_what_a_transform_may_read_is_listed_without_the_label(make) -> None:
    model = make(transforms={"b": pl.col("nothing_like_it")})
    [told] = [item for item in problems(model) if "nothing_like_it" in item.what]
    listed = told.fix.split(", ")
    assert "day" in listed
    assert model.label_column not in listed


@pytest.mark.parametrize(
    ("gate", "what", "fix"),
    [
        ("accuracy > 0.7", "'accuracy > 0.7' is not a gate", 'write fb.metric("accuracy") > 0.7'),
        ("mae ≤ champion * 1.05", "is not a gate", 'write fb.metric("mae") <= fb.champion * 1.05'),
        ("latency_p99 <= 50ms", "is not a gate", 'write fb.metric("latency_p99") <= "50ms"'),
        (fb.metric("mae > 0.7"), "mae > 0.7 is compared with nothing", 'write fb.metric("mae") > 0.7'),
        (fb.metric("mae"), "mae is compared with nothing", 'write fb.metric("mae") >= … or <= …'),
        (fb.metric("mae") == 0.7, "== and != make no check", "fb.champion"),
    ],
)
def test_what_stands_among_gates_and_is_none_is_told_with_what_was_meant(make, gate, what, fix) -> None:
    with pytest.raises(DeclarationError) as told:
        make(gates=[gate])
    assert what in str(told.value)
    assert fix in told.value.fix
