"""What a framing implies, contradicts, and refuses; and that what it implies is no other declaration."""

import pytest

import flyball as fb
from flyball.declare import codec
from flyball.declare.framing import implied, in_force, summary
from flyball.declare.problems import problems, warnings

CALENDAR = {"day": fb.column(int, known_after="-7d")}


def parcels(known_after: str = "0s", **framing: object) -> fb.Model:
    """Will a parcel be late? A courier is sent when it will: that takes a day."""
    data = fb.Dataset(
        "parcels", source="parcels.csv", time="due", columns=CALENDAR | {"late": fb.column(int, one_of=(0, 1), known_after=known_after)}
    )
    return fb.Model("parcels", task="binary", data=data, label="late", owner="fleet", framing=fb.Framing("send a courier", **framing))  # type: ignore[arg-type]


def told(model: fb.Model) -> list[str]:
    return [f"{one.what} | {one.why} | {one.fix}" for one in problems(model)]


def test_an_answer_that_comes_too_late_to_act_on_is_refused_with_both_spans_and_a_way_out() -> None:
    [found] = problems(parcels(horizon="12h", act_within="24h"))
    assert found.what == "act_within 1d is longer than 12h"
    assert "the answer comes 12h before a row's time and the label is known 0s after it" in found.why
    assert "a reaction that takes 1d" in found.why
    assert 'horizon="1d"' in found.fix
    assert 'act_within="12h"' in found.fix
    assert told(parcels(horizon="24h", act_within="24h")) == []
    assert told(parcels(horizon="12h", act_within="12h")) == []


@pytest.mark.parametrize(
    ("known_after", "horizon", "act_within", "way_out"),
    [
        ("6h", "12h", "24h", 'horizon="18h"; or act within 18h'),  # 18 h until the label is known anyway
        ("12h", "12h", "24h", ""),
        ("2d", "0s", "24h", ""),
        ("-6h", "12h", "12h", 'horizon="18h"; or act within 6h'),  # what is known before its time leaves less
        ("-12h", "12h", "1h", 'horizon="13h"'),
    ],
)
def test_what_is_left_to_act_in_ends_when_the_label_is_known(known_after: str, horizon: str, act_within: str, way_out: str) -> None:
    found = told(parcels(known_after, horizon=horizon, act_within=act_within))
    assert bool(found) == bool(way_out)
    assert all(way_out in one for one in found)


def test_a_label_of_another_data_set_leaves_its_own_time(make_market) -> None:
    claims = fb.Dataset("claims", source="claims.csv", time="at", columns={"city": str, "paid": bool})
    orders = make_market()
    label = fb.Label("paid", source=claims, on="city", within="30d")
    model = fb.Model("m", task="binary", data=orders, label=label, framing=fb.Framing("x", act_within="31d"), inputs=["price"])
    assert [one.what for one in problems(model)] == ["act_within 31d is longer than 30d"]
    assert problems(model.replace(framing=fb.Framing("x", act_within="30d"))) == []


def test_time_to_act_is_watched_where_nobody_declared_a_latency(make) -> None:
    model = make(framing=fb.Framing("buy low", horizon="4h", act_within="1h"))
    [one] = implied(model)
    assert str(one) == "monitors latency_p99 ≤ 1h, implied by framing: answers must come within act_within 1h"
    assert [str(check) for check in in_force(model).monitors] == [*map(str, model.monitors), "latency_p99 ≤ 1h"]
    declared = make(framing=model.framing, monitors=[fb.metric("latency_p50") <= "1s"])
    objective = make(framing=model.framing, objectives=[fb.Objective(fb.metric("latency_p99") <= "1s", target="99%", window="30d")])
    without = make(framing=fb.Framing("buy low", horizon="4h"))
    for silent in (declared, objective, without):
        assert implied(silent) == ()
        assert in_force(silent) is silent


def test_a_high_risk_asks_for_another_persons_approval_unless_releases_were_left_to_the_loop(make) -> None:
    framing = fb.Framing("lend", horizon="4h", risk="high")
    model = make(framing=framing, autonomy="propose")
    [one] = implied(model)
    assert (one.place, str(one.check)) == ("gates", "approval by 1 approver")
    assert [str(gate) for gate in in_force(model).gates][-1] == "approval by 1 approver"
    assert implied(in_force(model)) == (), "what is in force implies nothing more"
    own = make(framing=framing, autonomy="propose", gates=[(fb.metric("accuracy") >= 0.9) | fb.approval("risk-officer")])
    assert implied(own) == ()
    acting = make(framing=framing, autonomy="act")
    assert implied(acting) == ()
    assert any("released without a person's approval" in one.what for one in warnings(acting))
    assert not any("released without a person's approval" in one.what for one in warnings(model))


def test_what_a_high_risk_lacks_of_fairness_is_named(make, make_market) -> None:
    framing = fb.Framing("lend", horizon="4h", risk="high")
    assert any("no gate looks at the gap across sex" in one.what for one in warnings(make(framing=framing)))
    watched = make(framing=framing, gates=[fb.metric("accuracy") >= 0.5, fb.metric("positive_rate").gap("sex").upper <= 0.1])
    assert not any("gap" in one.what for one in warnings(watched) if one.what.startswith("risk is high"))
    nobody = make(framing=framing, data=make_market(columns=CALENDAR | {"price": float, "up": fb.column(int, one_of=(0, 1))}))
    assert any("no column is protected" in one.what for one in warnings(nobody))
    for risk in ("low", "limited"):
        assert not any("risk is" in one.what for one in warnings(make(framing=fb.Framing("buy", horizon="4h", risk=risk))))


def test_what_is_implied_is_no_part_of_the_declaration_but_changes_what_judges_it(make) -> None:
    limited = make(framing=fb.Framing("lend", horizon="4h"), autonomy="propose")
    high = make(framing=fb.Framing("lend", horizon="4h", risk="high"), autonomy="propose")
    before, after = (codec.digests(codec.encode(model)) for model in (limited, high))
    assert "approval" not in codec.encode(high)
    assert before.version == after.version
    assert before.policy != after.policy
    assert before.gates != after.gates, "a version that a low risk let pass was not judged as a high one asks"


def test_other_costs_judge_anew_and_train_nothing(make) -> None:
    none, before, after = (
        codec.digests(codec.encode(make(costs=costs))) for costs in (None, {"false_positive": "4 EUR"}, {"false_positive": "5 EUR"})
    )
    assert len({none.gates, before.gates, after.gates}) == 3, "a version that passed at other prices was not judged at these"
    assert none.version == before.version == after.version


@pytest.mark.parametrize("place", ["monitors", "rollout"])
def test_a_latency_that_is_longer_than_the_time_to_act_is_doubted(make, place: str) -> None:
    framing = fb.Framing("hold a payment", horizon="4h", act_within="1s")

    def declared(bound: str) -> fb.Model:
        check = fb.metric("latency_p99") <= bound
        return make(framing=framing, **{place: [check] if place == "monitors" else fb.Rollout(guards=[check]).shadow("1d")})

    found = [one for one in warnings(declared("2s")) if "later than act_within 1s" in one.what]
    assert [one.at for one in found] == [{"monitors": "/monitors/0", "rollout": "/rollout/guards/0"}[place]]
    assert not [one for one in warnings(declared("1s")) if "act_within" in one.what]


def test_windows_that_are_empty_while_data_count_as_fresh_are_told(make, make_market) -> None:
    def doubts(freshness: str, ttl: str = "7d", **features: object) -> list[str]:
        data = make_market(freshness=freshness)
        lags = fb.FeatureView("lags", data, ttl=ttl, features=features)  # type: ignore[arg-type]
        found = warnings(make(data=data, features=[lags], transforms={}))
        return [one.what for one in found if one.what.startswith("view")]

    near, day = fb.window("30m").last("price"), fb.window("1d").mean("price")
    told = 'view "lags": near may be empty while data set "market" counts as fresh'
    assert doubts("2h", near=near, day=day) == [told]
    assert doubts("20m", near=near, day=day) == []
    assert doubts("2h", near=fb.window("30m", ago="2h").last("price")) == [], "it looks beyond what may be missing"
    assert doubts("2d", ttl="1d", day=fb.window("7d").mean("price")) == [
        'view "lags": values expire after 1d while data set "market" counts as fresh for 2d'
    ]


def test_a_label_that_is_known_when_the_model_is_asked_is_a_leak_and_so_is_what_comes_with_it(make, make_market) -> None:
    price = {"price": float, "vicprice": float, "up": fb.column(int, one_of=(0, 1))}

    def leaks(columns: dict, time: str = "ts", **changes: object) -> list:
        data = make_market(columns=columns, time=time)
        given = {"features": [], "transforms": {}, "slices": [], "gates": [], "framing": fb.Framing("buy")} | changes
        return [one for one in warnings(make(data=data, **given)) if one.what.startswith("leak")]

    [found] = leaks(CALENDAR | price)
    assert found.what == 'leak: label "up" is known at the moment of prediction'
    assert "may be read off them: price, vicprice" in found.why
    assert "day" not in found.why, "what is known before it is no part of it"
    assert "known_after=" in found.fix
    assert leaks(CALENDAR | price, time="") == [], "rows without a time are of no moment"
    assert leaks(CALENDAR | price, framing=fb.Framing("buy", horizon="4h")) == []
    assert leaks(CALENDAR | price | {"up": fb.column(int, known_after="1m")}) == []
    [early] = leaks(CALENDAR | {"up": fb.column(int, known_after="-1d")}, framing=fb.Framing("buy", horizon="4h"))
    assert "read off" not in early.why


def test_a_framing_in_one_line() -> None:
    whole = fb.Framing("buy power", horizon="6h", act_within="1h", kpi="imbalance", gain="2 EUR/MWh", risk="low")
    assert summary(whole) == "buy power; 6h ahead, to be acted on within 1h; KPI imbalance; 2 EUR/MWh; risk low"
    assert summary(fb.Framing("")) == "risk limited"
