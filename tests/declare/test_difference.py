"""Differences of two declarations, a line each."""

from dataclasses import replace

import polars as pl

import flyball as fb
from flyball.declare import codec
from flyball.declare.difference import differences


def fit_otherwise(X, y, *, depth=3, rate=0.1):
    return None


def test_equal_declarations_differ_in_nothing_decoded_or_not(make) -> None:
    assert differences(make(), make()) == ()
    assert differences(codec.decode(codec.encode(make())), codec.decode(codec.encode(make()))) == ()


def test_each_difference_is_a_line(make) -> None:
    before = codec.decode(codec.encode(make()))
    after = make(
        owner="risk",
        gates=[fb.metric("accuracy") >= fb.baseline],
        rollout=fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.01]).shadow("12h").canary("10%", "6h"),
        transforms={"gap": pl.col("last_price") * 2, "more": pl.col("day")},
        train=fb.Train(fit_otherwise, search={"depth": fb.integers(2, 9)}, window="28d", holdout="7d"),
    )
    assert tuple(map(str, differences(before, codec.decode(codec.encode(after))))) == (
        "train fit: fit → fit_otherwise",
        "train search depth high: 8 → 9",
        "owner: markets → risk",
        "transforms: + more",
        "transforms gap: the expression changed",
        "gates: − accuracy in each day ≥ champion − 0.02",
        "rollout guards: − accuracy ≥ champion − 0.05",
        "rollout guards: + accuracy ≥ champion − 0.01",
        "rollout steps: shadow 12h → canary 25% 6h   now   shadow 12h → canary 10% 6h",
    )


def test_the_password_of_a_database_is_in_no_difference(make) -> None:
    def at(source: object) -> fb.Model:
        return codec.decode(codec.encode(make(data=replace(make().data, source=source))))

    def told(before: fb.Model, after: fb.Model) -> tuple[str, ...]:
        lines = tuple(map(str, differences(before, after)))
        assert "hunter" not in str(differences(before, after))
        return tuple(line for line in lines if line.startswith("data "))

    one, two = at(fb.sql("select 1", url="postgresql://u:hunter2@h/x")), at(fb.sql("select 1", url="postgresql://u:hunter3@h/x"))
    other = at(fb.sql("select 2", url="postgresql://h/y?password=hunter2"))
    assert told(one, two) == ("data source url: who is let in changed",)
    assert told(one, other) == ("data source text: select 1 → select 2", "data source url: postgresql://h/x → postgresql://h/y")
    assert told(one, at("a.csv")) == ("data source: select 1 at postgresql://h/x → a.csv",)
    assert told(one, at(fb.sql("select 1", url=fb.secret("W")))) == ("data source url: postgresql://h/x → secret W",)


def test_a_pair_of_bounds_is_told_whole_and_a_data_set_once_though_views_read_it_too(make) -> None:
    def bounded(high: int) -> fb.Model:
        data = make().data
        columns = {**data.columns, "day": fb.column(int, between=(1, high), known_after="-1d")}
        data = replace(data, columns=columns)
        return codec.decode(codec.encode(make(data=data, features=[replace(view, data=data) for view in make().features])))

    assert make().features, "or nothing is told twice"
    assert [tuple(each) for each in differences(bounded(7), bounded(14))] == [("data columns day between", "(1, 7)", "(1, 14)", "")]


def test_both_sides_of_a_changed_function_and_expression_are_named_apart(make) -> None:
    after = make(transforms={"gap": pl.col("last_price") * 3})
    [found] = differences(codec.decode(codec.encode(make())), codec.decode(codec.encode(after)))
    assert found.where == "transforms gap"
    assert found.was != found.now
    assert found.now.startswith("an expression of last_price (")
