"""What fit gets and what predict gets: made by one function, so they are one and the same."""

from __future__ import annotations

import dataclasses
from datetime import datetime

import polars as pl
import pytest

from flyball.clock import Span
from flyball.declare import codec
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Framing, Model
from flyball.declare.policy import Rollout
from flyball.declare.views import FeatureView, Window
from flyball.errors import BadInput, DeclarationError
from flyball.features import assemble, fields, reading

HOUR = 3_600_000_000
END = 10**15


def data(**extra):
    return Dataset(
        "sales",
        source="sales.csv",
        time="at",
        id="sale_id",
        columns={
            "shop": str,
            "kind": Column(str, one_of=("a", "b", "c"), known_after="-1d"),
            "forecast": Column(float, between=(-10, 40), known_after="-1d", nulls="10%"),
            "people": Column(int, known_after="0s"),
            "age_band": Column(str, protected=True, known_after="-1d"),
            "sold": Column(float, known_after="2h", nulls="100%"),
        },
        **extra,
    )


def model(dataset=None, **changes):
    dataset = dataset or data()
    lags = FeatureView("lags", dataset, entity="kind", features={"before": Window("6h").mean("people"), "visits": Window("1d").count()})
    arguments = {
        "task": "regression",
        "data": dataset,
        "label": "sold",
        "features": [lags],
        "framing": Framing("", horizon="3h"),
        "transforms": {"twice": pl.col("forecast") * 2, "warm": pl.col("twice") > pl.col("before")},
        "slices": ["age_band"],
    } | changes
    return Model("shop-sales", **arguments)


def frame(count=60):
    place = pl.int_range(count, eager=True)
    return pl.DataFrame({"place": place}).select(
        pl.format("s{}", pl.col("place") % 2).alias("shop"),
        pl.col("place").replace_strict({value: "abc"[value * 7 % 3] for value in range(count)}).alias("kind"),
        pl.when(pl.col("place") % 11 > 0).then(pl.col("place") * 0.5).alias("forecast"),
        (pl.col("place") * 13 % 100).alias("people"),
        pl.lit("x").alias("age_band"),
        (pl.col("place") * 1.5).alias("sold"),
        (pl.col("place") * HOUR).cast(pl.Datetime("us")).alias("at"),
        pl.format("i{}", "place").alias("sale_id"),
    )


def request(made, rows):
    return rows.select(name for name, _ in fields.request_fields(made))


def times(rows):
    return rows["at"].cast(pl.Int64).to_list()


def test_every_value_served_equals_the_value_trained_on():
    made, rows = model(), frame()
    trained = assemble.training_rows(made, {"sales": rows}, as_of=END).select(assemble.feature_columns(made))
    served = assemble.served(made, request(made, rows), times(rows), rows).features
    assert served.equals(trained)
    for place in range(0, 60, 7):
        one = rows.slice(place, 1)
        known = rows.filter(pl.col("at") < one["at"].item())
        assert assemble.served(made, request(made, one), times(one), known).features.equals(trained.slice(place, 1))


def test_the_market_is_served_as_it_was_trained_row_by_row(electricity):
    made, rows = electricity
    columns = assemble.feature_columns(made)
    trained = assemble.training_rows(made, {"nsw-market": rows}, as_of=END).select(columns)
    reach = max(reading.reach(view) for view in made.features) + made.framing.horizon
    for place in (0, 5, 9, 400, 1_000, 17_171, 30_000, 45_311):
        one = rows.slice(place, 1)
        moment = one["ts"].item()
        tail = rows.filter((pl.col("ts") < moment) & (pl.col("ts") >= moment - pl.duration(microseconds=int(reach))))
        stamps = one["ts"].cast(pl.Int64).to_list()
        assert assemble.served(made, request(made, one), stamps, tail).features.equals(trained.slice(place, 1)), place
    batch = rows.slice(20_000, 300)
    served = assemble.served(
        made, request(made, batch), batch["ts"].cast(pl.Int64).to_list(), assemble.prepare_history(made, rows)
    ).features
    assert served.equals(trained.slice(20_000, 300))


def test_inputs_are_what_is_known_at_the_moment_and_has_no_role():
    made = model()
    # people and shop are known too late, age_band is protected, kind looks the view up, sold is the label
    assert fields.inputs(made) == ["forecast"]
    assert assemble.feature_columns(made) == ["forecast", "before", "visits", "twice", "warm"]


def test_named_inputs_are_taken_as_they_are():
    assert fields.inputs(model(inputs=["kind", "forecast"])) == ["kind", "forecast"]


def test_a_caller_sends_inputs_keys_and_what_transforms_and_slices_read():
    assert [name for name, _ in fields.request_fields(model())] == ["forecast", "kind", "age_band"]


def test_a_slice_on_what_is_known_too_late_is_not_asked_of_a_caller():
    made = model(slices=["people"])
    assert "people" not in [name for name, _ in fields.request_fields(made)]
    assert "__slice_people" in assemble.training_rows(made, {"sales": frame()}, as_of=END).columns


def test_a_transform_on_what_is_known_too_late_is_refused():
    with pytest.raises(DeclarationError, match='transform "crowd" reads "people"'):
        fields.request_fields(model(transforms={"crowd": pl.col("people") * 2}))


def test_only_rows_whose_label_was_known_are_trained_on():
    made, rows = model(), frame()
    rows = rows.with_columns(pl.when(pl.col("sale_id") != "i3").then(pl.col("sold")).alias("sold"))
    got = assemble.training_rows(made, {"sales": rows}, as_of=10 * HOUR, since=2 * HOUR)
    assert (got["__time"] // HOUR).to_list() == [2, 4, 5, 6, 7, 8]
    assert got["__y"].to_list() == [3.0, 6.0, 7.5, 9.0, 10.5, 12.0]


def test_a_row_that_arrived_after_as_of_is_not_trained_on():
    made = model(data(arrived="came"))
    late = pl.when(pl.col("sale_id") == "i2").then(pl.col("at") + pl.duration(hours=30)).otherwise(pl.col("at"))
    got = assemble.training_rows(made, {"sales": frame().with_columns(late.alias("came"))}, as_of=20 * HOUR)
    assert "i2" not in got["__id"].to_list()
    assert "i3" in got["__id"].to_list()


def test_training_rows_say_when_who_and_where():
    made = model(weight="forecast", rollout=Rollout(sticky="shop").shadow("1d"))
    got = assemble.training_rows(made, {"sales": frame()}, as_of=END)
    assert got.columns[:6] == ["__time", "__y", "__id", "__weight", "__key", "__slice_age_band"]
    assert got["__key"].to_list()[:2] == ["s0", "s1"]
    assert got["__time"].is_sorted()


def test_rows_out_of_order_are_put_in_order_of_time():
    made, rows = model(), frame()
    mixed = rows.sample(fraction=1, shuffle=True, seed=3)
    assert assemble.training_rows(made, {"sales": mixed}, as_of=END).equals(assemble.training_rows(made, {"sales": rows}, as_of=END))


def test_text_with_a_closed_set_of_values_is_an_enumeration_for_fit_and_text_for_transforms():
    made = model(inputs=["kind"], transforms={"is_a": pl.col("kind") == "a"})
    got = assemble.training_rows(made, {"sales": frame()}, as_of=END)
    assert got["kind"].dtype == pl.Enum(["a", "b", "c"])
    assert got["is_a"].to_list() == (frame()["kind"] == "a").to_list()


def test_an_undeclared_column_is_never_seen():
    made = model(transforms=lambda rows: rows.with_columns(seen=pl.lit(",".join(rows.columns))))
    rows = frame().with_columns(secret=pl.lit(1))
    got = assemble.training_rows(made, {"sales": rows}, as_of=END)
    # age_band is sent for the slice, and protected
    assert got["seen"][0] == "forecast,kind,before,visits"


def test_a_function_of_the_frame_adds_columns_and_replaces_none():
    def more(rows):
        return rows.with_columns(forecast=pl.lit(0.0), tripled=pl.col("forecast") * 3)

    made = model(transforms=more)
    got = assemble.training_rows(made, {"sales": frame()}, as_of=END)
    assert assemble.feature_columns(made)[-1] == "tripled"
    assert got["forecast"].equals(frame()["forecast"])
    assert got["tripled"][1] == 1.5


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda rows: rows.filter(pl.col("forecast") > 5), "gave"),
        (lambda rows: rows.height, "gave int"),
        (lambda _rows: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_function_that_breaks_the_rules_is_named(function, says):
    with pytest.raises(BadInput, match=says):
        assemble.training_rows(model(transforms=function, features=[]), {"sales": frame()}, as_of=END)


def test_views_over_another_data_set_see_its_row_at_the_very_moment():
    other = Dataset("weather", source="w.csv", time="t", columns={"rain": float})
    view = FeatureView("sky", other, features={"rain": Window("1h").last("rain")})
    made = model(features=[view], framing=Framing(""), transforms={})
    rain = pl.DataFrame({"rain": [1.0, 2.0], "t": pl.Series([0, HOUR]).cast(pl.Datetime("us"))})
    got = assemble.training_rows(made, {"sales": frame(3), "weather": rain}, as_of=END)
    assert got["rain"].to_list() == [1.0, 2.0, None]


def test_a_missing_data_set_is_named():
    with pytest.raises(BadInput, match='no rows of data set "sales"'):
        assemble.training_rows(model(), {}, as_of=END)


def test_a_data_set_without_time_is_trained_on_in_its_own_order():
    table = Dataset("adults", source="a.csv", columns={"age": int, "rich": bool})
    made = Model("income", task="binary", data=table, label="rich")
    got = assemble.training_rows(made, {"adults": pl.DataFrame({"age": [3, 1, 2], "rich": [True, False, None]})}, as_of=END)
    assert got["__time"].to_list() == [0, 1]
    assert got["age"].to_list() == [3, 1]
    assert assemble.served(made, pl.DataFrame({"age": [5]}), [0]).features.to_dicts() == [{"age": 5}]


def test_the_signature_says_types_bounds_and_nulls():
    got = fields.signature(model(inputs=["kind", "forecast"]), ())
    names = [field.name for field in got.fields]
    assert names == sorted(names)
    kind, forecast = (got.fields[names.index(name)] for name in ("kind", "forecast"))
    assert (kind.name, kind.type, kind.nullable, kind.one_of) == ("kind", "str", False, ("a", "b", "c"))
    assert (forecast.name, forecast.type, forecast.nullable, forecast.low, forecast.high) == ("forecast", "float", True, -10.0, 40.0)
    assert got.task == "regression"


def test_what_is_usual_is_the_median_or_the_most_frequent_value_of_rows_that_hold_their_contract():
    table = Dataset(
        "d",
        source="d.csv",
        time="at",
        columns={
            "x": Column(float, between=(0, 9), on_request="impute"),
            "k": Column(int, on_request="impute"),
            "word": Column(str, one_of=("a", "b"), on_request="impute"),
            "flag": Column(bool, on_request="impute"),
            "seen": Column("time", on_request="impute"),
            "none": Column(float, nulls=1, on_request="impute"),
            "free": Column(float, on_request="mark"),
            "y": Column(bool, known_after="1h"),
        },
    )
    made = Model("m", task="binary", data=table, label="y")
    rows = pl.DataFrame(
        {
            "x": [1.0, 2.0, 3.0, 99.0, None],
            "k": [4, 1, 2, 3, 5],
            "word": ["b", "a", "b", "c", "a"],
            "flag": [True, False, True, None, True],
            "seen": [datetime(1970, 1, 1, 0, 0, second) for second in range(5)],
            "none": pl.Series([None] * 5, dtype=pl.Float64),
            "free": [1.0] * 5,
        }
    )
    usual = fields.usual_values(made, rows)
    assert usual == {"x": 2.0, "k": 3, "word": "a", "flag": True, "seen": 2_000_000}
    signed = {field.name: (field.on_request, field.usual) for field in fields.signature(made, (False, True), usual).fields}
    assert signed["x"] == ("impute", 2.0)
    assert signed["none"] == ("impute", None)
    assert signed["free"] == ("mark", None)


def test_a_view_reaches_back_over_its_longest_window_and_as_far_as_a_newest_row_may_lie():
    assert max(reading.reach(view) for view in model().features) == Span.parse("1d")
    newest = FeatureView("newest", data(), entity="kind", features={"crowd": "people"}, ttl="3d")
    assert reading.reach(newest) == Span.parse("3d")
    for_ever = FeatureView("newest", data(), entity="kind", features={"crowd": "people"})
    assert reading.reach(for_ever) is None


def test_requests_without_history_are_served_with_what_is_known():
    made = model()
    got = assemble.served(made, pl.DataFrame({"forecast": [1.0], "kind": ["a"], "age_band": ["x"]}), [HOUR]).features
    assert got.row(0, named=True) == {"forecast": 1.0, "before": None, "visits": 0, "twice": 2.0, "warm": None}


def test_whole_numbers_sent_for_a_float_are_floats_to_the_model():
    made = model()
    got = assemble.served(made, pl.DataFrame({"forecast": [1], "kind": ["a"], "age_band": ["x"]}), [HOUR]).features
    assert got["forecast"].dtype == pl.Float64


def test_a_decoded_declaration_makes_the_same_features():
    made, rows = model(), frame()
    decoded = codec.decode(codec.encode(made))
    assert assemble.training_rows(decoded, {"sales": rows}, as_of=END).equals(assemble.training_rows(made, {"sales": rows}, as_of=END))
    assert fields.signature(decoded) == fields.signature(made)


def test_what_is_watched_for_drift_is_what_callers_send_but_no_key_and_nobodys_name():
    made = model(inputs=["people"], slices=["age_band"])
    assert fields.watched(made) == ["people", "forecast", "age_band"], "kind is an entity's key"
    rows = assemble.training_rows(made, {"sales": frame(20)}, as_of=END)
    assert rows.select(assemble.watched_columns(made, rows)).columns == ["people", "forecast", "age_band"]
    assert [name for name in rows.columns if name.startswith(assemble.SENT)] == ["__sent_forecast", "__sent_age_band"]

    own = dataclasses.replace(data(), columns={**data().columns, "age_band": Column(str, personal=True, known_after="-1d")})
    assert fields.watched(model(own, inputs=["people"], slices=["age_band"])) == ["people", "forecast"]
