"""What is held out: spans where time splits, shares where it does not."""

import re

import polars as pl
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.declare import codec
from flyball.declare.problems import problems
from flyball.errors import DeclarationError


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    raise NotImplementedError


def model(train: fb.Train, *, time: str = "", group: str = "", features: bool = False) -> fb.Model:
    data = fb.Dataset("people", source="x.csv", time=time, columns={"age": float, "who": str, "rich": fb.column(int, one_of=(0, 1))})
    views = [fb.FeatureView("v", data, entity=None, features={"n": fb.window("1d").count()})] if features else []
    return fb.Model("m", task="binary", data=data, label="rich", group=group, features=views, train=train, framing=fb.Framing("test"))


def said(declared: fb.Model) -> str:
    return "\n".join(str(each) for each in problems(declared))


def test_time_splits_by_a_span_and_the_others_by_a_share():
    assert fb.Train(fit).holdout == Span.parse("7d")
    assert fb.Train(fit, split="rolling", folds=3, holdout="2d").holdout == Span.parse("2d")
    assert fb.Train(fit, split="stratified").holdout == 0.2
    assert fb.Train(fit, split="group", holdout="10%").holdout == 0.1
    assert fb.Train(fit, split="group", folds=4).holdout == 0.25


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"holdout": "20%"}, 'hold out a share of the rows: split="stratified"'),
        ({"holdout": 0.2}, 'hold out a share of the rows: split="stratified"'),
        ({"split": "stratified", "holdout": "7d"}, 'write a share such as "20%"'),
        ({"split": "group", "holdout": "60%"}, "something must be left"),
        ({"split": "stratified", "holdout": "0%"}, "something must be left"),
        ({"split": "stratified", "folds": 5, "holdout": "30%"}, "leave holdout out"),
        ({"split": "random"}, "split"),
    ],
)
def test_what_cannot_be_held_out_is_refused_with_what_to_write(given, expected):
    with pytest.raises(DeclarationError, match=re.escape(expected)):
        fb.Train(fit, **given)


@pytest.mark.parametrize(
    ("train", "about", "expected"),
    [
        ({}, {}, 'rows that have none are split by share: fb.Train(…, split="stratified")'),
        ({"split": "rolling", "folds": 3}, {}, "has no time column"),
        ({"split": "group"}, {}, "name its column: group="),
        ({"split": "stratified", "window": "30d"}, {}, "window 30d means nothing"),
        ({"split": "stratified"}, {"features": True}, "a view gives values at a moment"),
        ({"folds": 3}, {"time": "ts"}, 'split="rolling"'),
        ({"split": "rolling"}, {"time": "ts"}, "say how many hold-outs judge"),
    ],
)
def test_a_split_that_does_not_fit_the_data_is_a_problem(train, about, expected):
    assert expected in said(model(fb.Train(fit, **train), **about))


def test_data_without_a_time_are_no_problem_where_a_share_is_held_out():
    assert said(model(fb.Train(fit, split="stratified"))) == ""
    assert said(model(fb.Train(fit, split="group"), group="who")) == ""


def test_a_share_comes_back_from_the_ledger():
    declared = model(fb.Train(fit, split="stratified", holdout="25%"))
    assert codec.decode(codec.encode(declared)).train.holdout == 0.25
